//! Send: 3.2's rules for taken names, staging, places and what is checked first.

mod believed;
mod hashed;
mod resumed;
mod side_by_side;

use super::*;
use crate::document::Delivery;
use crate::mem::HOME;
use crate::operation::{IfExists, Permissions, TargetSymlinks, Verify};
use crate::outcome::SkipReason;
use crate::remote::RemoteErrorKind;

fn home(name: &str) -> String {
    format!("{HOME}/{name}")
}

fn server_of(behaviour: Behaviour, files: &[(&str, &str)]) -> Server {
    let server = Server::new(behaviour);
    server.files(|tree| {
        for directory in ["in", "pub", "tmp"] {
            tree.make_directories(home(directory).as_bytes());
        }
        for (name, content) in files {
            tree.put(&home(name), *content);
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

fn into(if_exists: IfExists) -> Send {
    Send {
        if_exists,
        remote_directory: Some("in".to_owned()),
        ..Send::default()
    }
}

fn names(server: &Server) -> Vec<String> {
    let names = server.files(|files| files.file_names());
    let home = format!("{HOME}/");
    names
        .into_iter()
        .map(|name| name.strip_prefix(&home).unwrap().to_owned())
        .collect()
}

/// An equal file that another sender links under the name between our look and our link passed for our
/// own, and our document was gone.
#[tokio::test]
async fn an_equal_document_of_another_sender_is_not_taken_for_this_one() {
    for (what, cut) in [("refused", false), ("lost", true)] {
        let behaviour = Behaviour {
            posix_rename: false,
            hardlink: true,
            ..Behaviour::bare(PlainRename::Replaces)
        };
        let server = server_of(behaviour, &[]);
        server.before("hardlink", |files| {
            files.put(&home("in/a"), "same");
            let temporary = files.file_names();
            let temporary = temporary.iter().find(|name| name.ends_with(".part"));
            let same = files.modified(temporary.unwrap()).unwrap();
            files.set_modified(&home("in/a"), same);
        });
        if cut {
            server.cut_after("hardlink", 1);
        }
        let documents = vec![document("a", "same")];
        let outcomes = send(&server, into(IfExists::Rename), documents).await;
        assert_eq!(outcomes[0].status, Status::Ok, "{what}: {outcomes:?}");
        assert_eq!(
            outcomes[0].properties.text("filename"),
            Some("a1"),
            "{what}"
        );
        assert_eq!(names(&server), ["in/a", "in/a1"], "{what}");
    }
}

#[tokio::test]
async fn what_a_directory_is_really_called_is_asked_once_in_a_step() {
    let server = server_of(Behaviour::openssh(), &[]);
    let sending = Send {
        move_to_directory: Some("pub".to_owned()),
        ..into(IfExists::Rename)
    };
    let documents = (0..100).map(|n| document(&format!("{n}.txt"), "x"));
    for outcome in send(&server, sending, documents.collect()).await {
        assert_eq!(outcome.status, Status::Ok, "{:?}", outcome.error);
    }
    let calls = server.calls();
    let asked = calls.iter().filter(|call| call.starts_with("realpath"));
    assert_eq!(asked.count(), 3, "the home and the two directories");
}

/// Copying between devices did not look at it, and a step went on for as long as the file was large.
#[tokio::test]
async fn a_stop_ends_a_copy_between_devices_and_leaves_nothing_of_it() {
    for if_exists in [IfExists::Rename, IfExists::Overwrite] {
        let behaviour = Behaviour {
            directories_are_devices: true,
            ..Behaviour::openssh()
        };
        let server = server_of(behaviour, &[("in/a", "old")]);
        let connector = Connector::new(server.clone(), connection(0));
        let cancel = connector.canceller();
        server.before("read /", move |_| cancel.cancel());
        let sending = Send {
            staging_directory: Some("tmp".to_owned()),
            ..into(if_exists)
        };
        let documents = [document("a", &"x".repeat(1 << 20))];
        let outcomes = connector.run(sending.into(), stream::iter(documents));
        let outcomes: Vec<Outcome> = outcomes.collect().await;
        assert_eq!(class(outcomes), Class::Cancelled, "{if_exists}");
        assert_eq!(names(&server), ["in/a"], "{if_exists}");
        assert_eq!(content(&server, "in/a").unwrap(), "old");
    }
}

/// Equal content within one second made the second document pass for the first.
#[tokio::test]
async fn equal_documents_within_one_second_are_each_stored() {
    for (name, behaviour) in behaviours() {
        let server = server_of(behaviour, &[]);
        let documents = vec![document("a.txt", "same"), document("a.txt", "same")];
        let outcomes = send(&server, into(IfExists::Rename), documents).await;
        assert_eq!(outcomes.len(), 2, "{name}");
        assert_eq!(names(&server), ["in/a.txt", "in/a1.txt"], "{name}");
    }
}

#[tokio::test]
async fn rename_takes_the_first_free_name_on_every_server() {
    for (name, behaviour) in behaviours() {
        let server = server_of(behaviour, &[("in/a.txt", "old"), ("in/a1.txt", "old")]);
        let outcome = good(
            send(
                &server,
                into(IfExists::Rename),
                vec![document("a.txt", "new")],
            )
            .await,
        );
        assert_eq!(
            outcome.properties.text("filename"),
            Some("a2.txt"),
            "{name}"
        );
        assert_eq!(content(&server, "in/a2.txt").unwrap(), "new");
        assert_eq!(content(&server, "in/a.txt").unwrap(), "old");
        assert_eq!(names(&server).len(), 3, "{name}: {:?}", names(&server));
        let by = outcome.properties.text("claimed-by").unwrap();
        let expected = match name {
            "openssh" | "refuses" | "devices" | "devices, no extensions" => "rename",
            "replaces, hard links" => "hardlink",
            _ => "placeholder",
        };
        assert_eq!(by, expected, "{name}");
    }
}

#[tokio::test]
async fn what_a_server_is_not_known_to_do_is_probed_once_in_a_step() {
    let server = server_of(Behaviour::bare(PlainRename::Replaces), &[]);
    let documents = ["a", "b", "c"].map(|name| document(name, "x"));
    let outcomes = send(&server, into(IfExists::Rename), documents.into()).await;
    assert!(outcomes.iter().all(|outcome| outcome.status == Status::Ok));
    let probes = server
        .calls()
        .iter()
        .filter(|call| call.starts_with("rename") && call.matches("probe").count() == 2)
        .count();
    assert_eq!(probes, 1);
    assert_eq!(names(&server), ["in/a", "in/b", "in/c"]);
    let known = server_of(Behaviour::openssh(), &[]);
    good(send(&known, into(IfExists::Rename), vec![document("a", "x")]).await);
    assert!(!known.calls().iter().any(|call| call.contains("probe")));
}

#[tokio::test]
async fn two_senders_at_once_never_overwrite_each_other() {
    for (name, behaviour) in behaviours() {
        let server = server_of(behaviour, &[]);
        let one = (0..5).map(|_| document("a", "one")).collect();
        let two = (0..5).map(|_| document("a", "two")).collect();
        let (one, two) = tokio::join!(
            send(&server, into(IfExists::Rename), one),
            send(&server, into(IfExists::Rename), two)
        );
        for outcome in one.iter().chain(&two) {
            assert_eq!(outcome.status, Status::Ok, "{name}: {:?}", outcome.error);
        }
        let contents: Vec<_> = names(&server)
            .iter()
            .map(|name| content(&server, name).unwrap())
            .collect();
        assert_eq!(contents.len(), 10, "{name}");
        assert_eq!(
            contents.iter().filter(|content| *content == "one").count(),
            5,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_crowded_directory_is_listed_once() {
    let taken: Vec<String> = (0..200)
        .map(|n| match n {
            0 => "in/a.txt".to_owned(),
            n => format!("in/a{n}.txt"),
        })
        .collect();
    let files: Vec<(&str, &str)> = taken.iter().map(|name| (name.as_str(), "x")).collect();
    let server = server_of(Behaviour::openssh(), &files);
    let outcome = good(
        send(
            &server,
            into(IfExists::Rename),
            vec![document("a.txt", "new")],
        )
        .await,
    );
    assert_eq!(outcome.properties.text("filename"), Some("a200.txt"));
    let renames = server
        .calls()
        .iter()
        .filter(|call| call.starts_with("rename"))
        .count();
    assert!(renames <= 5, "{renames}");
}

#[tokio::test]
async fn error_fails_before_the_upload_and_never_replaces() {
    for (name, behaviour) in behaviours() {
        let server = server_of(behaviour, &[("in/a", "old")]);
        let outcomes = send(&server, into(IfExists::Error), vec![document("a", "new")]).await;
        assert_eq!(class(outcomes), Class::Exists, "{name}");
        assert!(
            !server.calls().iter().any(|call| call.starts_with("create")),
            "{name}"
        );
        good(send(&server, into(IfExists::Error), vec![document("b", "new")]).await);
        assert_eq!(content(&server, "in/b").unwrap(), "new");
        // The name is taken while the file is uploaded.
        server.before("write", |files| files.put(&home("in/c"), "other"));
        let outcomes = send(&server, into(IfExists::Error), vec![document("c", "new")]).await;
        assert_eq!(class(outcomes), Class::Exists, "{name}");
        assert_eq!(content(&server, "in/c").unwrap(), "other");
        assert_eq!(leftovers(&server), [""; 0], "{name}");
    }
}

#[tokio::test]
async fn overwrite_replaces_on_every_server_and_leaves_nothing() {
    for (name, behaviour) in behaviours() {
        let server = server_of(behaviour, &[("in/a", "old")]);
        good(
            send(
                &server,
                into(IfExists::Overwrite),
                vec![document("a", "new")],
            )
            .await,
        );
        good(
            send(
                &server,
                into(IfExists::Overwrite),
                vec![document("b", "new")],
            )
            .await,
        );
        assert_eq!(names(&server), ["in/a", "in/b"], "{name}");
        assert_eq!(content(&server, "in/a").unwrap(), "new", "{name}");
    }
}

#[tokio::test]
async fn overwriting_a_link_is_refused_or_follows_it() {
    let server = server_of(Behaviour::openssh(), &[("pub/real", "old")]);
    server.files(|files| files.symlink(&home("in/link"), "/home/user/pub/real"));
    let outcomes = send(
        &server,
        into(IfExists::Overwrite),
        vec![document("link", "new")],
    )
    .await;
    assert_eq!(class(outcomes), Class::Exists);
    let following = Send {
        symlinks: TargetSymlinks::Follow,
        ..into(IfExists::Overwrite)
    };
    good(send(&server, following, vec![document("link", "new")]).await);
    assert_eq!(content(&server, "pub/real").unwrap(), "new");
    assert_eq!(names(&server), ["in/link", "pub/real"]);
}

#[tokio::test]
async fn overwriting_a_link_to_a_directory_fails_before_the_upload() {
    let server = server_of(Behaviour::openssh(), &[]);
    server.files(|files| files.symlink(&home("in/link"), &home("pub")));
    let following = Send {
        symlinks: TargetSymlinks::Follow,
        ..into(IfExists::Overwrite)
    };
    let outcomes = send(&server, following, vec![document("link", "new")]).await;
    assert_eq!(class(outcomes), Class::Exists);
    assert!(!server.calls().iter().any(|call| call.starts_with("create")));
}

#[tokio::test]
async fn append_extends_or_makes_the_file() {
    let server = server_of(Behaviour::openssh(), &[("in/log", "one ")]);
    let append = Send {
        verify: Verify::Hash,
        checksum: true,
        ..into(IfExists::Append)
    };
    let documents = vec![
        document("log", "two "),
        document("log", "three"),
        document("fresh", "x"),
    ];
    for outcome in send(&server, append, documents).await {
        assert_eq!(outcome.status, Status::Ok, "{:?}", outcome.error);
        assert_eq!(outcome.properties.text("verified"), Some("hash"));
    }
    assert_eq!(content(&server, "in/log").unwrap(), "one two three");
    assert_eq!(content(&server, "in/fresh").unwrap(), "x");
    assert!(
        !server
            .calls()
            .iter()
            .any(|call| call.starts_with("truncate"))
    );
}

#[tokio::test]
async fn another_writer_is_noticed_while_appending() {
    let server = server_of(Behaviour::openssh(), &[("in/log", "one ")]);
    server.before("fsync", |files| {
        files.put(&home("in/log"), "one two AND MORE")
    });
    let outcome = only(
        send(
            &server,
            into(IfExists::Append),
            vec![document("log", "two")],
        )
        .await,
    );
    let error = outcome.error.unwrap();
    assert_eq!(error.class(), Class::Integrity);
    assert!(error.message().contains("bytes of it stand"), "{error}");
}

#[tokio::test]
async fn what_another_appended_to_a_file_that_was_made_for_it_stays() {
    let server = server_of(Behaviour::openssh(), &[]);
    server.before("fsync", |files| files.put(&home("in/log"), "two AND MORE"));
    let documents = vec![document("log", "two")];
    let error = only(send(&server, into(IfExists::Append), documents).await)
        .error
        .unwrap();
    assert_eq!(error.class(), Class::Integrity);
    assert!(error.message().contains("3 bytes of it stand"), "{error}");
    assert_eq!(content(&server, "in/log").unwrap(), "two AND MORE");
}

#[tokio::test]
async fn staging_holds_the_file_until_it_is_complete() {
    for (name, behaviour) in behaviours() {
        for if_exists in [IfExists::Rename, IfExists::Error, IfExists::Overwrite] {
            let server = server_of(behaviour.clone(), &[]);
            let staged = Send {
                staging_directory: Some("tmp".to_owned()),
                temporary_name: Some("{name}.filepart".to_owned()),
                ..into(if_exists)
            };
            good(send(&server, staged, vec![document("a", "new")]).await);
            assert_eq!(names(&server), ["in/a"], "{name} {if_exists}");
            let created = server
                .calls()
                .into_iter()
                .find(|call| call.starts_with("create"))
                .unwrap();
            assert_eq!(created, "create /home/user/tmp/a.filepart");
        }
    }
}

#[tokio::test]
async fn with_a_move_directory_the_name_is_free_in_both() {
    for (name, behaviour) in behaviours() {
        let server = server_of(behaviour, &[("in/a", "old"), ("pub/a1", "old")]);
        let publishing = Send {
            move_to_directory: Some("pub".to_owned()),
            ..into(IfExists::Rename)
        };
        let outcome = good(send(&server, publishing, vec![document("a", "new")]).await);
        assert_eq!(outcome.properties.text("filename"), Some("a2"), "{name}");
        assert_eq!(names(&server), ["in/a", "pub/a1", "pub/a2"], "{name}");
    }
}

#[tokio::test]
async fn with_a_move_directory_each_rule_looks_before_the_upload() {
    let publishing = |if_exists, force_move| Send {
        move_to_directory: Some("pub".to_owned()),
        force_move,
        ..into(if_exists)
    };
    for (name, behaviour) in behaviours() {
        for (if_exists, force) in [
            (IfExists::Error, false),
            (IfExists::Error, true),
            (IfExists::Overwrite, false),
            (IfExists::Append, false),
        ] {
            let server = server_of(behaviour.clone(), &[("pub/a", "old")]);
            let outcomes = send(
                &server,
                publishing(if_exists, force),
                vec![document("a", "new")],
            )
            .await;
            assert_eq!(class(outcomes), Class::Exists, "{name} {if_exists}");
            assert_eq!(names(&server), ["pub/a"], "{name} {if_exists}");
        }
        for if_exists in [IfExists::Overwrite, IfExists::Append] {
            let server = server_of(behaviour.clone(), &[("in/a", "1"), ("pub/a", "old")]);
            good(
                send(
                    &server,
                    publishing(if_exists, true),
                    vec![document("a", "2")],
                )
                .await,
            );
            assert_eq!(names(&server), ["pub/a"], "{name} {if_exists}");
            let expected = if if_exists == IfExists::Append {
                "12"
            } else {
                "2"
            };
            assert_eq!(
                content(&server, "pub/a").unwrap(),
                expected,
                "{name} {if_exists}"
            );
        }
    }
}

#[tokio::test]
async fn in_place_claims_the_name_at_once_and_takes_a_failure_back() {
    let server = server_of(Behaviour::openssh(), &[("in/a", "old")]);
    let in_place = |if_exists| Send {
        in_place: true,
        ..into(if_exists)
    };
    let outcome = good(
        send(
            &server,
            in_place(IfExists::Rename),
            vec![document("a", "new")],
        )
        .await,
    );
    assert_eq!(outcome.properties.text("filename"), Some("a1"));
    assert_eq!(outcome.properties.text("claimed-by"), Some("exclusive"));
    let outcomes = send(
        &server,
        in_place(IfExists::Error),
        vec![document("a", "new")],
    )
    .await;
    assert_eq!(class(outcomes), Class::Exists);
    let truncating = Send {
        allow_truncate: true,
        ..in_place(IfExists::Overwrite)
    };
    good(send(&server, truncating, vec![document("a", "newer")]).await);
    assert_eq!(content(&server, "in/a").unwrap(), "newer");
    server.refuse("write", RemoteErrorKind::Failure);
    let outcomes = send(
        &server,
        in_place(IfExists::Rename),
        vec![document("b", "new")],
    )
    .await;
    assert_eq!(class(outcomes), Class::Failure);
    assert_eq!(names(&server), ["in/a", "in/a1"]);
    assert!(!server.calls().iter().any(|call| call.starts_with("rename")));
}

#[tokio::test]
async fn a_full_disk_is_told_from_other_failures() {
    let full = Behaviour {
        room: Some(0),
        ..Behaviour::openssh()
    };
    let server = server_of(full, &[]);
    let outcomes = send(&server, into(IfExists::Rename), vec![document("a", "new")]).await;
    assert_eq!(class(outcomes), Class::NoSpace);
    assert_eq!(names(&server), [""; 0]);
}

#[tokio::test]
async fn permissions_and_time_are_set_only_when_asked_and_are_a_separate_matter() {
    let server = server_of(Behaviour::openssh(), &[("in/a", "old")]);
    server.files(|files| files.set_permissions(&home("in/a"), 0o640));
    good(send(&server, into(IfExists::Overwrite), vec![document("b", "x")]).await);
    assert!(
        !server
            .calls()
            .iter()
            .any(|call| call.starts_with("set-attrs"))
    );
    let keeping = Send {
        permissions: Some(Permissions::Keep),
        ..into(IfExists::Overwrite)
    };
    good(send(&server, keeping, vec![document("a", "new")]).await);
    assert_eq!(
        server.files(|files| files.permissions(&home("in/a"))),
        Some(0o640)
    );
    let folder = scratch();
    let path = folder.path().join("c");
    std::fs::write(&path, "x").unwrap();
    let time = std::time::UNIX_EPOCH + Duration::from_secs(1_234_567_890);
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(time)
        .unwrap();
    let preserving = Send {
        preserve_modified: true,
        permissions: Some(Permissions::Mode(0o600)),
        ..into(IfExists::Rename)
    };
    good(send(&server, preserving.clone(), vec![Document::file(&path)]).await);
    assert_eq!(
        server.files(|files| files.modified(&home("in/c"))),
        Some(1_234_567_890)
    );
    assert_eq!(
        server.files(|files| files.permissions(&home("in/c"))),
        Some(0o600)
    );
    server.refuse("set-attrs", RemoteErrorKind::Permission);
    let outcome = good(send(&server, preserving, vec![Document::file(&path)]).await);
    assert_eq!(outcome.warnings.len(), 2);
    assert_eq!(outcome.warnings[0].class(), Class::Permission);
    for part in ["permissions-set", "modified-set"] {
        assert_eq!(outcome.properties.text(part), Some("failed"));
    }
}

#[tokio::test]
async fn stop_on_error_leaves_the_rest_alone_and_without_it_all_are_tried() {
    let documents = || vec![document("a", "1"), document("b", "2"), document("c", "3")];
    for (stop_on_error, expected) in [
        (false, [Status::Ok, Status::Failed, Status::Ok]),
        (
            true,
            [
                Status::Ok,
                Status::Failed,
                Status::Skipped(SkipReason::Stopped),
            ],
        ),
    ] {
        let server = server_of(Behaviour::openssh(), &[("in/b", "old")]);
        let sending = Send {
            stop_on_error,
            ..into(IfExists::Error)
        };
        let outcomes = send(&server, sending, documents()).await;
        let statuses: Vec<_> = outcomes.iter().map(|outcome| outcome.status).collect();
        assert_eq!(statuses, expected);
        assert_eq!(server.sessions(), (1, 0));
    }
}

#[tokio::test]
async fn names_come_from_the_property_the_file_or_the_template() {
    let server = server_of(Behaviour::openssh(), &[]);
    let folder = scratch();
    let path = folder.path().join("own.csv");
    std::fs::write(&path, "x").unwrap();
    let template = Send {
        name_template: Some("{base}-{seq}.{extension}".to_owned()),
        ..into(IfExists::Error)
    };
    let documents = vec![
        Document::file(&path),
        Document::file(&path).with("filename", "b.txt"),
    ];
    let outcomes = send(&server, template, documents).await;
    assert!(outcomes.iter().all(|outcome| outcome.status == Status::Ok));
    assert_eq!(names(&server), ["in/b-2.txt", "in/own-1.csv"]);
    let nameless = send(&server, into(IfExists::Error), vec![Document::bytes("x")]).await;
    assert_eq!(class(nameless), Class::Configuration);
    let wicked = send(&server, into(IfExists::Error), vec![document("../x", "x")]).await;
    assert_eq!(class(wicked), Class::Configuration);
}

#[tokio::test]
async fn a_missing_directory_is_an_error_or_made() {
    let server = server_of(Behaviour::openssh(), &[]);
    let deep = Send {
        remote_directory: Some("x/y/z".to_owned()),
        ..Send::default()
    };
    let outcomes = send(&server, deep.clone(), vec![document("a", "1")]).await;
    assert_eq!(class(outcomes), Class::NotFound);
    let making = Send {
        create_directories: true,
        ..deep
    };
    // Another makes one of them at the same time.
    server.before("mkdir /home/user/x/y", |files| {
        files.make_directories(home("x/y").as_bytes())
    });
    good(send(&server, making, vec![document("a", "1")]).await);
    assert_eq!(names(&server), ["x/y/z/a"]);
}

#[tokio::test]
async fn a_sent_document_is_confirmed_and_a_failed_one_is_not() {
    let server = server_of(Behaviour::openssh(), &[("in/b", "old")]);
    let (first, first_done) = Delivery::pair();
    let (second, second_done) = Delivery::pair();
    let mut documents = vec![document("a", "1"), document("b", "2")];
    documents[0].delivery = Some(first);
    documents[1].delivery = Some(second);
    send(&server, into(IfExists::Error), documents).await;
    assert!(first_done.wait().await);
    assert!(!second_done.wait().await);
}

#[tokio::test]
async fn a_source_that_changes_while_it_is_sent_is_not_published() {
    let folder = scratch();
    let path = folder.path().join("a");
    std::fs::write(&path, "before").unwrap();
    let server = server_of(Behaviour::openssh(), &[]);
    let changed = path.clone();
    server.before("fsync", move |_| {
        std::fs::write(changed, "after, and longer").unwrap()
    });
    let outcomes = send(&server, into(IfExists::Rename), vec![Document::file(path)]).await;
    assert_eq!(class(outcomes), Class::Integrity);
    assert_eq!(names(&server), [""; 0]);
}

#[tokio::test]
async fn a_step_whose_time_is_up_clears_away_and_closes() {
    let server = server_of(Behaviour::openssh(), &[]);
    let connector = Connector::new(
        server.clone(),
        Connection {
            operation_timeout: Some(Duration::from_millis(30)),
            ..connection(2)
        },
    );
    let never = stream::once(async { Ok(bytes::Bytes::from_static(b"half")) });
    let never = never.chain(stream::pending());
    let document = Document {
        body: crate::document::Body::Stream(Box::pin(never)),
        ..Document::empty().with("filename", "a")
    };
    let operation = Operation::Send(into(IfExists::Rename));
    let outcomes = connector.run(operation, stream::iter([document]));
    assert_eq!(class(outcomes.collect().await), Class::Timeout);
    assert_eq!(names(&server), [""; 0]);
    assert_eq!(server.sessions(), (1, 0));
}

#[tokio::test]
async fn in_place_overwrite_of_nothing_takes_a_failure_back() {
    let server = server_of(Behaviour::openssh(), &[]);
    server.refuse("write", RemoteErrorKind::Failure);
    let truncating = Send {
        in_place: true,
        allow_truncate: true,
        ..into(IfExists::Overwrite)
    };
    let outcomes = send(&server, truncating, vec![document("a", "new")]).await;
    assert_eq!(class(outcomes), Class::Failure);
    assert_eq!(names(&server), [""; 0]);
}

#[tokio::test]
async fn a_server_that_is_gone_for_good_is_not_asked_again_for_each_document() {
    let server = server_of(Behaviour::openssh(), &[]);
    for at in 5..100 {
        server.fail(crate::mem::Fault {
            at,
            when: crate::mem::When::Before,
            what: match at {
                5 => crate::mem::What::Disconnect,
                _ => crate::mem::What::Refusal(RemoteErrorKind::Failure),
            },
        });
    }
    let documents = ["a", "b", "c", "d"].map(|name| document(name, "x"));
    let outcomes = send(&server, into(IfExists::Rename), documents.into()).await;
    for outcome in &outcomes {
        let error = outcome.error.as_ref().unwrap();
        assert_eq!(error.class(), Class::Disconnected, "{error}");
        assert!(!error.is_before_session(), "there was a session once");
    }
    let left = names(&server);
    let first = outcomes[0].error.as_ref().unwrap().message();
    assert!(
        left.iter().all(|name| first.contains(name.as_str())),
        "{left:?}: {first}"
    );
    assert_eq!(
        server.calls().len(),
        6 + 3,
        "three tries to connect again, for all"
    );
}

#[tokio::test]
async fn documents_of_one_name_list_their_directory_once_and_take_each_number() {
    for in_place in [false, true] {
        let server = server_of(Behaviour::openssh(), &[]);
        let documents = (0..40).map(|_| document("a.txt", "same")).collect();
        let operation = Send {
            in_place,
            ..into(IfExists::Rename)
        };
        let outcomes = send(&server, operation, documents).await;
        let expected = (0..40).map(|n| match n {
            0 => "a.txt".to_owned(),
            n => format!("a{n}.txt"),
        });
        for (outcome, name) in outcomes.iter().zip(expected) {
            assert_eq!(outcome.properties.text("filename"), Some(&name[..]));
        }
        let calls = server.calls();
        let listings = calls
            .iter()
            .filter(|call| call.starts_with("list "))
            .count();
        assert!(listings <= 1, "{listings} listings");
        assert!(calls.len() < 40 * 12, "{} calls", calls.len());
    }
}

#[tokio::test]
async fn no_name_is_reserved_where_nothing_could_be_renamed_over_it() {
    let server = Server::new(Behaviour::bare(PlainRename::Missing));
    let error = class(send(&server, Send::default(), vec![document("a", "new")]).await);
    assert_eq!(error, Class::Unsupported);
    let calls = server.calls();
    let reserved = calls
        .iter()
        .filter(|call| call.starts_with("create ") && call.ends_with("/a"));
    assert_eq!(reserved.count(), 0, "{calls:?}");
    assert_eq!(leftovers(&server), Vec::<String>::new());
}
