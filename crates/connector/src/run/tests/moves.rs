//! The move ladder on servers that differ.

use std::sync::Arc;

use super::*;
use crate::mem::{Fault, HOME, What, When};
use crate::operation::GetAction;
use crate::progress::{Observer, Progress};
use crate::remote::RemoteErrorKind;

fn home(name: &str) -> String {
    format!("{HOME}/{name}")
}

fn moving(force_move: bool) -> Get {
    Get {
        action: GetAction::GetAndMove,
        remote_directory: Some("out".to_owned()),
        move_to_directory: Some("done".to_owned()),
        force_move,
        ..Get::default()
    }
}

fn server_of(behaviour: Behaviour, target: Option<&str>) -> Server {
    let server = Server::new(behaviour);
    server.files(|files| {
        files.put(&home("out/a"), "new");
        files.make_directories(home("done").as_bytes());
        if let Some(old) = target {
            files.put(&home("done/a"), old);
        }
    });
    server
}

fn content(server: &Server, name: &str) -> Option<String> {
    server.files(|files| {
        let content = files.content(&home(name))?;
        Some(String::from_utf8_lossy(content).into_owned())
    })
}

#[tokio::test]
async fn force_move_ends_the_same_on_every_server() {
    for target in [None, Some("old"), Some("new")] {
        for (name, behaviour) in behaviours() {
            let server = server_of(behaviour, target);
            let folder = scratch();
            let outcome = good(get(&server, folder.path(), moving(true)).await);
            assert_eq!(
                server.files(|files| files.file_names()),
                [home("done/a")],
                "{name}"
            );
            assert_eq!(content(&server, "done/a").unwrap(), "new", "{name}");
            let by = outcome.properties.text("moved-by").unwrap();
            let expected: &[&str] = match name {
                "openssh" | "posix only" => &["posix-rename"],
                "refuses" | "replaces" | "replaces, hard links" if target.is_none() => &["rename"],
                "refuses" | "replaces" | "replaces, hard links" => &["backup"],
                _ => &["copy"],
            };
            assert!(expected.contains(&by), "{name}: {by}");
        }
    }
}

#[tokio::test]
async fn without_force_a_free_target_is_taken_and_a_taken_one_never_replaced() {
    for (name, behaviour) in behaviours() {
        let renames =
            !behaviour.directories_are_devices && behaviour.plain_rename != PlainRename::Missing;
        let free = server_of(behaviour.clone(), None);
        let folder = scratch();
        let outcomes = get(&free, folder.path(), moving(false)).await;
        if renames {
            let outcome = good(outcomes);
            let safety = outcome.properties.text("no-replace").unwrap();
            assert_eq!(
                safety,
                if name == "openssh" {
                    "atomic"
                } else {
                    "looked"
                },
                "{name}"
            );
        } else {
            assert_eq!(class(outcomes), Class::Unsupported, "{name}");
            assert_eq!(content(&free, "out/a").unwrap(), "new");
        }
        let taken = server_of(behaviour, Some("old"));
        let folder = scratch();
        assert_eq!(
            class(get(&taken, folder.path(), moving(false)).await),
            Class::Exists,
            "{name}"
        );
        assert_eq!(content(&taken, "done/a").unwrap(), "old");
        assert_eq!(content(&taken, "out/a").unwrap(), "new");
    }
}

#[tokio::test]
async fn a_hard_link_of_the_same_file_is_seen_through() {
    let server = server_of(Behaviour::openssh(), None);
    server.before("posix-rename", |files| {
        files.delete(&home("done/a"));
        files.hard_link(&home("out/a"), &home("done/a"));
    });
    let folder = scratch();
    let outcome = good(get(&server, folder.path(), moving(true)).await);
    assert_eq!(outcome.properties.text("moved-by"), Some("reconciled"));
    assert_eq!(server.files(|files| files.file_names()), [home("done/a")]);
}

#[tokio::test]
async fn a_rename_cut_between_link_and_unlink_is_reconciled() {
    let server = server_of(Behaviour::openssh(), None);
    let folder = scratch();
    // Finds the call's number on a server of the same kind.
    let at = {
        let rehearsal = server_of(Behaviour::openssh(), None);
        good(get(&rehearsal, scratch().path(), moving(false)).await);
        let calls = rehearsal.calls();
        calls
            .iter()
            .position(|call| call.starts_with("rename"))
            .unwrap()
    };
    server.fail(Fault {
        at,
        when: When::Halfway,
        what: What::Disconnect,
    });
    let outcome = good(get(&server, folder.path(), moving(false)).await);
    assert_eq!(outcome.properties.text("moved-by"), Some("reconciled"));
    assert_eq!(server.files(|files| files.file_names()), [home("done/a")]);
}

#[tokio::test]
async fn a_directory_is_never_put_aside() {
    for (name, behaviour) in behaviours() {
        let server = server_of(behaviour, None);
        server.files(|files| files.make_directories(home("done/a").as_bytes()));
        let folder = scratch();
        assert_eq!(
            class(get(&server, folder.path(), moving(true)).await),
            Class::Exists,
            "{name}"
        );
        assert_eq!(content(&server, "out/a").unwrap(), "new");
    }
}

#[tokio::test]
async fn the_old_target_is_put_back_when_its_place_cannot_be_taken() {
    let server = server_of(Behaviour::bare(PlainRename::Refuses), Some("old"));
    server.refuse("rename /home/user/out/a", RemoteErrorKind::Permission);
    server.refuse("create /home/user/done", RemoteErrorKind::Permission);
    let folder = scratch();
    let outcome = only(get(&server, folder.path(), moving(true)).await);
    assert_eq!(outcome.status, Status::Failed);
    assert_eq!(content(&server, "done/a").unwrap(), "old");
    assert_eq!(content(&server, "out/a").unwrap(), "new");
    assert_eq!(leftovers(&server), [""; 0]);
}

#[tokio::test]
async fn a_backup_that_was_left_is_put_back_or_removed_first() {
    let backup = String::from_utf8(crate::names::backup(b"a").to_vec()).unwrap();
    for (target, expected_first) in [(None, "rename"), (Some("old"), "remove")] {
        let server = server_of(Behaviour::bare(PlainRename::Refuses), target);
        server.files(|files| files.put(&home(&format!("done/{backup}")), "older"));
        let folder = scratch();
        good(get(&server, folder.path(), moving(true)).await);
        let first = server
            .calls()
            .into_iter()
            .find(|call| call.contains(&backup) && !call.starts_with("lstat"))
            .unwrap();
        assert!(first.starts_with(expected_first), "{first}");
        assert_eq!(server.files(|files| files.file_names()), [home("done/a")]);
        assert_eq!(content(&server, "done/a").unwrap(), "new");
    }
}

#[tokio::test]
async fn a_copy_across_devices_is_verified_before_the_source_goes() {
    let behaviour = Behaviour {
        directories_are_devices: true,
        ..Behaviour::openssh()
    };
    let server = server_of(behaviour, Some("old"));
    server.before("fsync", |files| {
        let copy = files
            .file_names()
            .into_iter()
            .find(|name| name.ends_with(".part"))
            .unwrap();
        files.put(&copy, "bad");
    });
    let folder = scratch();
    assert_eq!(
        class(get(&server, folder.path(), moving(true)).await),
        Class::Integrity
    );
    assert_eq!(content(&server, "done/a").unwrap(), "old");
    assert_eq!(content(&server, "out/a").unwrap(), "new");
    assert_eq!(leftovers(&server), [""; 0]);
}

#[tokio::test]
async fn what_is_written_while_a_copy_is_published_is_not_deleted() {
    let behaviour = Behaviour {
        directories_are_devices: true,
        ..Behaviour::bare(PlainRename::Refuses)
    };
    let server = server_of(behaviour, None);
    // The rename that gives the copy its name; the one before was refused.
    server.before("rename /home/user/done/.a.", |files| {
        files.put(&home("out/a"), "written since");
    });
    let folder = scratch();
    assert_eq!(
        class(get(&server, folder.path(), moving(true)).await),
        Class::Integrity
    );
    assert_eq!(content(&server, "out/a").unwrap(), "written since");
    assert_eq!(leftovers(&server), [""; 0]);
}

#[tokio::test]
async fn of_several_backups_the_youngest_is_put_back() {
    for young_first in [true, false] {
        let server = server_of(Behaviour::bare(PlainRename::Refuses), None);
        let name = |uuid: &str| home(&format!("done/.a.{uuid}-0000-4000-8000-000000000000.old"));
        let (first, second) = (name("11111111"), name("22222222"));
        let (young, old) = match young_first {
            true => (first, second),
            false => (second, first),
        };
        server.files(|files| {
            files.put(&young, "young");
            files.put(&old, "old");
            files.set_modified(&young, 2_000);
            files.set_modified(&old, 1_000);
        });
        server.refuse("rename /home/user/out/a", RemoteErrorKind::Permission);
        server.refuse("create /home/user/done", RemoteErrorKind::Permission);
        let folder = scratch();
        assert_eq!(
            only(get(&server, folder.path(), moving(true)).await).status,
            Status::Failed
        );
        assert_eq!(content(&server, "done/a").unwrap(), "young");
        assert_eq!(leftovers(&server), [""; 0]);
    }
}

#[tokio::test]
async fn a_directory_is_listed_for_backups_once_in_a_step() {
    let server = server_of(Behaviour::bare(PlainRename::Refuses), None);
    server.files(|files| {
        for n in 0..20 {
            files.put(&home(&format!("out/b{n}")), "new");
            files.put(&home(&format!("done/b{n}")), "old");
        }
    });
    let folder = scratch();
    for outcome in get(&server, folder.path(), moving(true)).await {
        assert_eq!(outcome.status, Status::Ok, "{:?}", outcome.error);
    }
    let calls = server.calls();
    let listings = calls
        .iter()
        .filter(|call| *call == "list /home/user/done")
        .count();
    assert_eq!(listings, 1);
    assert_eq!(leftovers(&server), [""; 0]);
}

/// Writes the source again while the connection is lost.
struct Rewrites(Server);

impl Progress for Rewrites {
    fn advanced(&self, _: u64) {
        self.0.before("connect", |files| {
            if files.content(&home("out/a")).is_some() {
                files.put(&home("out/a"), "written since");
            }
        });
    }
}

#[tokio::test]
async fn a_source_that_was_written_again_while_the_connection_was_lost_is_not_moved_unread() {
    let mut stayed = 0;
    for at in 0..40 {
        let (server, folder) = (server_of(Behaviour::openssh(), None), scratch());
        server.fail(Fault {
            at,
            when: When::Before,
            what: What::Disconnect,
        });
        let connector = Connector::new(server.clone(), connection(2))
            .with_destination(Destination::Directory(folder.path().to_owned()))
            .with_observer(Observer::new(Arc::new(Rewrites(server.clone()))));
        let documents = stream::iter([Document::empty()]);
        let get = Operation::Get(moving(true));
        let _: Vec<_> = connector.run(get, documents).collect().await;
        let delivered = std::fs::read_to_string(folder.path().join("a")).unwrap();
        match content(&server, "done/a") {
            Some(moved) => assert_eq!(moved, delivered, "call {at}"),
            None => stayed += 1,
        }
    }
    assert!(stayed > 0, "no fault hit the move");
}
