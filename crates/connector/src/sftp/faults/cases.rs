//! The operations, and what must hold of each.

use std::sync::LazyLock;

use super::*;
use crate::operation::{Delete, Get, GetAction, IfExists, List, Send};

/// Three files, of which the last but one takes several messages.
fn contents() -> &'static [(&'static str, Vec<u8>); 3] {
    static CONTENTS: LazyLock<[(&'static str, Vec<u8>); 3]> = LazyLock::new(|| {
        let large = (0..100_000u32).map(|n| (n * 31 + n / 251) as u8).collect();
        [
            ("empty.txt", Vec::new()),
            ("large.bin", large),
            ("small.txt", b"what a small file holds".to_vec()),
        ]
    });
    &CONTENTS
}

/// What stood there before.
const OLD: &[u8] = b"the old content";

fn directories(files: &MemFs, names: &[&str]) {
    for name in names {
        files
            .make_dir(name.as_bytes(), &Default::default())
            .unwrap();
    }
}

fn prepare_out(files: &MemFs) {
    directories(files, &["/out", "/done"]);
    for (name, content) in contents() {
        files
            .put(format!("/out/{name}").as_bytes(), content)
            .unwrap();
    }
    files.put(b"/done/small.txt", OLD).unwrap();
}

fn get(action: GetAction, journal: &Path) -> Operation {
    Operation::Get(Get {
        action,
        remote_directory: Some("out".to_owned()),
        journal: Some(journal.to_owned()),
        move_to_directory: (action == GetAction::GetAndMove).then(|| "done".to_owned()),
        force_move: action == GetAction::GetAndMove,
        ..Get::default()
    })
}

fn no_documents() -> Vec<Document> {
    vec![Document::empty()]
}

/// Every file is at the server or delivered, whole; and what has a final name is whole.
fn gets(sides: &Sides) -> Result<(), String> {
    for (name, content) in contents() {
        let at_server = ["out", "done"]
            .iter()
            .any(|it| sides.content(&format!("/{it}/{name}")).as_ref() == Some(content));
        let local = [&sides.inbox, &sides.taken];
        let delivered = || {
            let found = local.iter().map(|it| std::fs::read(it.join(name)));
            found.flatten().any(|it| it == *content)
        };
        if !at_server && !delivered() {
            return Err(format!("{name} is on neither side"));
        }
    }
    for (name, found) in local(&sides.inbox) {
        let whole = contents()
            .iter()
            .any(|(it, content)| *it == name && *content == found);
        if !is_ours(name.as_bytes()) && !whole {
            return Err(format!(
                "{name} is there with {} bytes of something",
                found.len()
            ));
        }
    }
    Ok(())
}

/// The old file at the move's target stands until the new one does.
fn moves(sides: &Sides) -> Result<(), String> {
    gets(sides)?;
    for (name, content) in contents() {
        if !sides.stands(&["/out", "/done"], content) {
            return Err(format!("{name} is gone from the server"));
        }
    }
    let small = contents()[2].1.clone();
    let replaced = || sides.content("/done/small.txt") == Some(small);
    if !sides.stands(&["/done"], OLD) && !replaced() {
        return Err("neither the old nor the new small.txt stands".to_owned());
    }
    Ok(())
}

fn all_taken(sides: &Sides) -> Result<(), String> {
    let wanted = contents().clone().map(|(name, it)| (name.to_owned(), it));
    let wanted = BTreeMap::from(wanted);
    let taken = local(&sides.taken);
    if taken != wanted {
        return Err(format!("delivered: {:?}", taken.keys()));
    }
    Ok(())
}

/// The names, apart from our own.
fn expect(sides: &Sides, directory: &str, wanted: &[&str]) -> Result<(), String> {
    let mut names = sides.names(directory);
    names.retain(|name| !is_ours(name.as_bytes()));
    if names != wanted {
        return Err(format!("in {directory}: {names:?}"));
    }
    Ok(())
}

const ALL: [&str; 3] = ["empty.txt", "large.bin", "small.txt"];

fn got(sides: &Sides) -> Result<(), String> {
    all_taken(sides)?;
    expect(sides, "/out", &ALL)
}

fn got_and_deleted(sides: &Sides) -> Result<(), String> {
    all_taken(sides)?;
    expect(sides, "/out", &[])
}

fn got_and_moved(sides: &Sides) -> Result<(), String> {
    all_taken(sides)?;
    expect(sides, "/out", &[])?;
    expect(sides, "/done", &ALL)?;
    match sides.content("/done/small.txt") {
        Some(content) if content == contents()[2].1 => Ok(()),
        _ => Err("small.txt was not replaced".to_owned()),
    }
}

#[test]
fn get_survives_every_fault() {
    let case = Case {
        name: "get",
        kind: Kind::Full,
        prepare: prepare_out,
        operation: |journal| get(GetAction::Get, journal),
        documents: no_documents,
        holds: gets,
        wanted: got,
    };
    sweep(&case, From::TheBeginning, 200);
}

#[test]
fn get_and_delete_survives_every_fault() {
    let case = Case {
        name: "get-and-delete",
        kind: Kind::Full,
        prepare: prepare_out,
        operation: |journal| get(GetAction::GetAndDelete, journal),
        documents: no_documents,
        holds: gets,
        wanted: got_and_deleted,
    };
    sweep(&case, From::TheSession, 150);
}

#[test]
fn get_and_move_survives_every_fault() {
    for kind in [Kind::Full, Kind::Bare] {
        let case = Case {
            name: "get-and-move",
            kind,
            prepare: prepare_out,
            operation: |journal| get(GetAction::GetAndMove, journal),
            documents: no_documents,
            holds: moves,
            wanted: got_and_moved,
        };
        sweep(&case, From::TheSession, 200);
    }
}

fn prepare_in(files: &MemFs) {
    directories(files, &["/in", "/pub"]);
    files.put(b"/in/small.txt", OLD).unwrap();
    files.put(b"/pub/small.txt", OLD).unwrap();
}

fn prepare_empty(files: &MemFs) {
    directories(files, &["/in", "/pub"]);
}

fn send(if_exists: IfExists, journal: &Path) -> Send {
    Send {
        if_exists,
        remote_directory: Some("in".to_owned()),
        journal: Some(journal.to_owned()),
        ..Send::default()
    }
}

fn documents() -> Vec<Document> {
    let documents = contents().iter().map(|(name, content)| {
        Document::bytes(content.clone())
            .with("filename", (*name).to_owned())
            .with("document-id", (*name).to_owned())
    });
    documents.collect()
}

/// What has a final name is whole: one of what is sent, or what stood there before.
fn whole(sides: &Sides) -> Result<(), String> {
    for directory in ["/in", "/pub"] {
        for name in sides.names(directory) {
            if is_ours(name.as_bytes()) {
                continue;
            }
            // It may have been renamed since it was listed.
            let Some(found) = sides.content(&format!("{directory}/{name}")) else {
                continue;
            };
            if found != OLD && !contents().iter().any(|(_, content)| *content == found) {
                return Err(format!(
                    "{directory}/{name} has {} bytes of something",
                    found.len()
                ));
            }
        }
    }
    Ok(())
}

fn untouched(sides: &Sides) -> Result<(), String> {
    whole(sides)?;
    match sides.content("/in/small.txt") {
        Some(content) if content == OLD => Ok(()),
        _ => Err("the old small.txt was touched".to_owned()),
    }
}

/// The old one stands until the new one does; which may be put aside itself, by a run that replaces it by the same.
fn replaces(sides: &Sides, directory: &str) -> Result<(), String> {
    whole(sides)?;
    let new = &contents()[2].1;
    if !sides.stands(&[directory], OLD) && !sides.stands(&[directory], new) {
        return Err(format!(
            "neither the old nor the new {directory}/small.txt stands"
        ));
    }
    Ok(())
}

/// Under these names is what was sent, and nothing else of it.
fn sent(sides: &Sides, directory: &str, small: &str, beside: &[&str]) -> Result<(), String> {
    let mut names = vec!["empty.txt", "large.bin", small];
    names.extend(beside);
    names.sort_unstable();
    expect(sides, directory, &names)?;
    for (name, content) in contents() {
        let name = if *name == "small.txt" { small } else { name };
        if sides.content(&format!("{directory}/{name}")).as_ref() != Some(content) {
            return Err(format!("{directory}/{name} is something else"));
        }
    }
    Ok(())
}

#[test]
fn send_with_rename_survives_every_fault() {
    let case = Case {
        name: "send, rename",
        kind: Kind::Full,
        prepare: prepare_in,
        operation: |journal| Operation::Send(send(IfExists::Rename, journal)),
        documents,
        holds: untouched,
        wanted: |sides| sent(sides, "/in", "small1.txt", &["small.txt"]),
    };
    sweep(&case, From::TheBeginning, 350);
}

#[test]
fn send_with_error_survives_every_fault() {
    let case = Case {
        name: "send, error",
        kind: Kind::Bare,
        prepare: prepare_empty,
        operation: |journal| Operation::Send(send(IfExists::Error, journal)),
        documents,
        holds: whole,
        wanted: |sides| sent(sides, "/in", "small.txt", &[]),
    };
    sweep(&case, From::TheSession, 250);
}

#[test]
fn send_with_overwrite_survives_every_fault() {
    for kind in [Kind::Full, Kind::Bare] {
        let case = Case {
            name: "send, overwrite",
            kind,
            prepare: prepare_in,
            operation: |journal| Operation::Send(send(IfExists::Overwrite, journal)),
            documents,
            holds: |sides| replaces(sides, "/in"),
            wanted: |sides| sent(sides, "/in", "small.txt", &[]),
        };
        sweep(&case, From::TheSession, 200);
    }
}

#[test]
fn send_with_a_move_survives_every_fault() {
    for kind in [Kind::Full, Kind::Bare] {
        let case = Case {
            name: "send, overwrite, move",
            kind,
            prepare: prepare_in,
            operation: |journal| {
                Operation::Send(Send {
                    move_to_directory: Some("pub".to_owned()),
                    force_move: true,
                    ..send(IfExists::Overwrite, journal)
                })
            },
            documents,
            holds: |sides| replaces(sides, "/pub"),
            wanted: |sides| sent(sides, "/pub", "small.txt", &[]),
        };
        sweep(&case, From::TheSession, 300);
    }
}

#[test]
fn send_in_place_survives_every_fault() {
    let case = Case {
        name: "send, error, in place",
        kind: Kind::Full,
        prepare: prepare_empty,
        operation: |journal| {
            Operation::Send(Send {
                in_place: true,
                ..send(IfExists::Error, journal)
            })
        },
        documents,
        holds: |_| Ok(()),
        wanted: |sides| sent(sides, "/in", "small.txt", &[]),
    };
    sweep(&case, From::TheSession, 120);
}

#[test]
fn append_survives_every_fault() {
    let case = Case {
        name: "send, append",
        kind: Kind::Full,
        prepare: prepare_in,
        operation: |journal| Operation::Send(send(IfExists::Append, journal)),
        documents,
        // A prefix of what it is to be.
        holds: |sides| match sides.content("/in/small.txt") {
            Some(it) if appended().starts_with(&it) && it.starts_with(OLD) => Ok(()),
            other => Err(format!("small.txt is {:?}", other.map(|it| it.len()))),
        },
        wanted: |sides| {
            expect(sides, "/in", &ALL)?;
            let [empty, large, _] = contents();
            for (name, content) in [empty, large, &("small.txt", appended())] {
                if sides.content(&format!("/in/{name}")).as_ref() != Some(content) {
                    return Err(format!("{name} is something else"));
                }
            }
            Ok(())
        },
    };
    sweep(&case, From::TheSession, 180);
}

fn appended() -> Vec<u8> {
    [OLD, &contents()[2].1].concat()
}

#[test]
fn delete_survives_every_fault() {
    let case = Case {
        name: "delete",
        kind: Kind::Full,
        prepare: prepare_out,
        operation: |_| {
            Operation::Delete(Delete {
                remote_directory: Some("out".to_owned()),
                missing_ok: true,
                ..Delete::default()
            })
        },
        documents: || {
            let named = ["empty.txt", "small.txt"];
            named
                .map(|name| Document::empty().with("filename", name.to_owned()))
                .into()
        },
        holds: |sides| match sides.content("/out/large.bin") {
            Some(_) => Ok(()),
            None => Err("what nobody named is gone".to_owned()),
        },
        wanted: |sides| expect(sides, "/out", &["large.bin"]),
    };
    sweep(&case, From::TheSession, 40);
}

#[test]
fn list_survives_every_fault() {
    let case = Case {
        name: "list",
        kind: Kind::Full,
        prepare: prepare_out,
        operation: |_| {
            Operation::List(List {
                remote_directory: Some("out".to_owned()),
                ..List::default()
            })
        },
        documents: no_documents,
        holds: |sides| expect(sides, "/out", &ALL),
        wanted: |_| Ok(()),
    };
    sweep(&case, From::TheSession, 40);
}
