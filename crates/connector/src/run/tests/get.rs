//! Get: 3.1's order of checks, after-actions, filters and what may not be deleted.

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use super::*;
use crate::document::Body;
use crate::mem::HOME;
use crate::operation::{
    After, AfterFailure, GetAction, LocalIfExists, MoveCollision, Sort, Symlinks,
};
use crate::outcome::{AfterAction, SkipReason};
use crate::remote::RemoteErrorKind;

fn server_with(files: &[(&str, &str)]) -> Server {
    let server = Server::new(Behaviour::openssh());
    server.files(|tree| {
        for (name, content) in files {
            tree.put(&format!("{HOME}/{name}"), *content);
        }
    });
    server
}

fn from_out(action: GetAction) -> Get {
    Get {
        action,
        remote_directory: Some("out".to_owned()),
        ..Get::default()
    }
}

fn moving_to(target: &str) -> Get {
    Get {
        move_to_directory: Some(target.to_owned()),
        ..from_out(GetAction::GetAndMove)
    }
}

fn home(name: &str) -> String {
    format!("{HOME}/{name}")
}

#[tokio::test]
async fn files_arrive_whole_in_order_with_their_properties() {
    let big = "x".repeat(100_000);
    let server = server_with(&[("out/b", "bee"), ("out/a", &big), ("out/empty", "")]);
    let folder = scratch();
    let options = Get {
        checksum: true,
        ..from_out(GetAction::Get)
    };
    let outcomes = get(&server, folder.path(), options).await;
    let names: Vec<_> = outcomes
        .iter()
        .map(|o| o.properties.text("filename").unwrap())
        .collect();
    assert_eq!(names, ["a", "b", "empty"]);
    assert!(outcomes.iter().all(|outcome| outcome.delivered));
    assert_eq!(
        std::fs::read(folder.path().join("a")).unwrap(),
        big.as_bytes()
    );
    let bee = &outcomes[1].properties;
    assert_eq!(bee.text("size"), Some("3"));
    assert_eq!(bee.text("host"), Some("mem"));
    assert_eq!(bee.text("port"), Some("22"));
    assert_eq!(bee.text("remote-directory"), Some(home("out").as_str()));
    assert_eq!(bee.text("permissions"), Some("0644"));
    assert!(bee.text("modified").unwrap().starts_with("2023-11-14T"));
    assert_eq!(bee.text("sha256").unwrap().len(), 64);
    assert_eq!(server.sessions(), (1, 0), "one session, and closed");
}

#[tokio::test]
async fn without_documents_nobody_connects() {
    let server = server_with(&[]);
    let folder = scratch();
    let into = Destination::Directory(folder.path().to_owned());
    let outcomes = run(&server, 0, into, Operation::Get(Get::default()), Vec::new()).await;
    assert!(outcomes.is_empty());
    assert_eq!(server.sessions(), (0, 0));
}

#[tokio::test]
async fn deleting_and_moving_come_after_delivery_and_a_last_look() {
    let server = server_with(&[("out/a", "1")]);
    let folder = scratch();
    let outcome = good(get(&server, folder.path(), from_out(GetAction::GetAndDelete)).await);
    assert_eq!(outcome.after_action, AfterAction::Deleted);
    assert!(server.files(|files| files.file_names()).is_empty());
    let calls = server.calls();
    let own: Vec<&str> = calls
        .iter()
        .filter_map(|call| call.strip_suffix("/home/user/out/a"))
        .collect();
    assert_eq!(
        own,
        [
            "open ", "fstat ", "read ", "read ", "fstat ", "close ", "lstat ", "remove "
        ]
    );
}

#[tokio::test]
async fn a_taken_move_target_is_found_before_the_fetch() {
    let server = server_with(&[("out/a", "1"), ("done/a", "old")]);
    let folder = scratch();
    assert_eq!(
        class(get(&server, folder.path(), moving_to("done")).await),
        Class::Exists
    );
    assert!(!server.calls().iter().any(|call| call.starts_with("open")));
    let forced = Get {
        force_move: true,
        ..moving_to("done")
    };
    let outcome = good(get(&server, folder.path(), forced).await);
    assert_eq!(outcome.after_action, AfterAction::Moved);
    assert_eq!(outcome.properties.text("moved-by"), Some("posix-rename"));
    assert_eq!(
        server
            .files(|files| files.content(&home("done/a")).map(<[u8]>::to_vec))
            .unwrap(),
        b"1"
    );
}

#[tokio::test]
async fn collision_can_be_set_apart_from_force() {
    let server = server_with(&[("out/a", "1"), ("done/a", "old")]);
    let folder = scratch();
    let forced_but_careful = Get {
        force_move: true,
        move_collision: Some(MoveCollision::Error),
        ..moving_to("done")
    };
    let outcomes = get(&server, folder.path(), forced_but_careful).await;
    assert_eq!(class(outcomes), Class::Exists);
    let replacing = Get {
        move_collision: Some(MoveCollision::Replace),
        ..moving_to("done")
    };
    good(get(&server, folder.path(), replacing).await);
}

#[tokio::test]
async fn one_directory_under_two_names_is_refused_before_anything() {
    let server = server_with(&[("out/a", "1")]);
    server.files(|files| files.symlink(&home("link"), "out"));
    let folder = scratch();
    for target in ["out", "./out", "link", "out/../out", "/home/user/out/"] {
        let outcomes = get(&server, folder.path(), moving_to(target)).await;
        assert_eq!(class(outcomes), Class::Configuration, "{target}");
    }
    assert!(!server.calls().iter().any(|call| call.starts_with("open")));
}

#[tokio::test]
async fn a_missing_move_directory_is_an_error_or_made() {
    let server = server_with(&[("out/a", "1")]);
    let folder = scratch();
    let outcomes = get(&server, folder.path(), moving_to("x/y/done")).await;
    assert_eq!(class(outcomes), Class::NotFound);
    let making = Get {
        create_directories: true,
        ..moving_to("x/y/done")
    };
    let outcome = good(get(&server, folder.path(), making).await);
    assert_eq!(outcome.properties.text("no-replace"), Some("atomic"));
    assert!(server.files(|files| files.content(&home("x/y/done/a")).is_some()));
}

#[tokio::test]
async fn a_missing_directory_is_named() {
    let server = server_with(&[]);
    let folder = scratch();
    let outcomes = get(&server, folder.path(), from_out(GetAction::Get)).await;
    let error = only(outcomes).error.unwrap();
    assert_eq!(error.class(), Class::NotFound);
    assert!(error.message().contains("/home/user/out"), "{error}");
}

#[tokio::test]
async fn a_file_that_grows_while_it_is_read_is_not_delivered_and_stays() {
    let server = server_with(&[("out/a", "1")]);
    server.before("read /", |files| files.put(&home("out/a"), "12"));
    let folder = scratch();
    let outcome = only(get(&server, folder.path(), from_out(GetAction::GetAndDelete)).await);
    assert_eq!(outcome.error.unwrap().class(), Class::Integrity);
    assert!(!outcome.delivered);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(server.files(|files| files.content(&home("out/a")).is_some()));
}

#[tokio::test]
async fn a_file_that_changed_after_it_was_read_is_delivered_and_stays() {
    let server = server_with(&[("out/a", "1")]);
    server.before("close", |files| files.put(&home("out/a"), "2"));
    let folder = scratch();
    let outcome = only(get(&server, folder.path(), from_out(GetAction::GetAndDelete)).await);
    assert_eq!(outcome.status, Status::Failed);
    assert!(outcome.delivered);
    assert_eq!(outcome.after_action, AfterAction::Failed);
    assert_eq!(outcome.error.unwrap().class(), Class::Integrity);
    assert!(server.files(|files| files.content(&home("out/a")).is_some()));
}

#[tokio::test]
async fn an_after_action_that_fails_can_be_a_warning() {
    let server = server_with(&[("out/a", "1")]);
    server.refuse("remove", RemoteErrorKind::Permission);
    let folder = scratch();
    let outcome = only(get(&server, folder.path(), from_out(GetAction::GetAndDelete)).await);
    assert_eq!(outcome.status, Status::Failed);
    assert!(outcome.delivered);
    assert_eq!(outcome.error.unwrap().class(), Class::Permission);
    let warned = Get {
        after_failure: AfterFailure::Warn,
        ..from_out(GetAction::GetAndDelete)
    };
    let outcome = good(get(&server, folder.path(), warned).await);
    assert_eq!(outcome.after_action, AfterAction::Failed);
    assert_eq!(outcome.warnings[0].class(), Class::Permission);
    assert_eq!(outcome.properties.text("already-present"), Some("true"));
}

#[tokio::test]
async fn one_failed_file_does_not_hide_the_others() {
    let server = server_with(&[("out/a", "1"), ("out/b", "2"), ("out/c", "3")]);
    server.refuse("open /home/user/out/b", RemoteErrorKind::Permission);
    server.before("open /home/user/out/c", |files| {
        files.delete(&home("out/c"))
    });
    let folder = scratch();
    let outcomes = get(&server, folder.path(), from_out(GetAction::Get)).await;
    let classes: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome.error.as_ref().map(|error| error.class()))
        .collect();
    assert_eq!(
        classes,
        [None, Some(Class::Permission), Some(Class::NotFound)]
    );
}

#[tokio::test]
async fn names_from_the_server_never_lead_elsewhere() {
    let server = server_with(&[("out/ok", "1")]);
    server.files(|files| files.put_bytes(b"/home/user/out/new\nline \xff-", "2"));
    let folder = scratch();
    let outcomes = get(&server, folder.path(), from_out(GetAction::GetAndDelete)).await;
    assert!(outcomes.iter().all(|outcome| outcome.status == Status::Ok));
    use std::os::unix::ffi::OsStrExt;
    let odd = folder
        .path()
        .join(std::ffi::OsStr::from_bytes(b"new\nline \xff-"));
    assert_eq!(std::fs::read(odd).unwrap(), b"2");
    assert!(server.files(|files| files.file_names()).is_empty());
}

#[tokio::test]
async fn local_names_that_are_taken_follow_their_rule() {
    let server = server_with(&[("out/a.txt", "new")]);
    let folder = scratch();
    std::fs::write(folder.path().join("a.txt"), "older").unwrap();
    let outcomes = get(&server, folder.path(), from_out(GetAction::GetAndDelete)).await;
    assert_eq!(class(outcomes), Class::Exists);
    assert!(!server.calls().iter().any(|call| call.starts_with("open")));
    let renaming = Get {
        local_if_exists: LocalIfExists::Rename,
        ..from_out(GetAction::GetAndDelete)
    };
    good(get(&server, folder.path(), renaming).await);
    assert_eq!(std::fs::read(folder.path().join("a1.txt")).unwrap(), b"new");
}

#[tokio::test]
async fn links_are_skipped_or_followed_and_only_the_link_is_deleted() {
    let server = server_with(&[("elsewhere", "data")]);
    server.files(|files| {
        files.make_directories(home("out").as_bytes());
        files.symlink(&home("out/link"), "../elsewhere");
        files.symlink(&home("out/link"), "/home/user/elsewhere");
    });
    let folder = scratch();
    let outcome = only(get(&server, folder.path(), from_out(GetAction::Get)).await);
    assert_eq!(outcome.status, Status::Skipped(SkipReason::Symlink));
    let following = Get {
        symlinks: Symlinks::Follow,
        ..from_out(GetAction::GetAndDelete)
    };
    good(get(&server, folder.path(), following).await);
    assert_eq!(std::fs::read(folder.path().join("link")).unwrap(), b"data");
    assert_eq!(
        server.files(|files| files.file_names()),
        [home("elsewhere")]
    );
}

#[tokio::test]
async fn the_documents_properties_stand_above_the_operation_and_come_along() {
    let server = server_with(&[("in/a", "1")]);
    let folder = scratch();
    let into = Destination::Directory(folder.path().to_owned());
    let (delivery, delivered) = crate::document::Delivery::pair();
    let mut first = Document::empty()
        .with("connector.dynamic.sftp.remotedirectory", " in ")
        .with("region", "north");
    first.delivery = Some(delivery);
    let second = Document::empty().with("region", "south");
    let operation = Operation::Get(from_out(GetAction::Get));
    let outcome = good(run(&server, 0, into, operation, vec![first, second]).await);
    assert_eq!(outcome.properties.text("region"), Some("north"));
    assert_eq!(outcome.properties.text("filename"), Some("a"));
    assert_eq!(
        outcome.properties.text("remote-directory"),
        Some(home("in").as_str())
    );
    assert!(delivered.wait().await);
}

#[tokio::test]
async fn unsorted_files_are_taken_as_they_are_listed() {
    let server = server_with(&[("out/a", "1"), ("out/b", "2"), ("out/c", "3")]);
    let folder = scratch();
    let streaming = Get {
        sort: Sort::None,
        max_files: 2,
        ..from_out(GetAction::GetAndDelete)
    };
    let outcomes = get(&server, folder.path(), streaming).await;
    let statuses: Vec<_> = outcomes.iter().map(|outcome| outcome.status).collect();
    assert_eq!(
        statuses,
        [Status::Ok, Status::Ok, Status::Skipped(SkipReason::Limit)]
    );
}

/// Receives documents, reads each, and confirms those that it is told to.
async fn receive(
    mut receiver: mpsc::Receiver<Document>,
    confirm: bool,
) -> Vec<Result<Vec<u8>, Class>> {
    let mut bodies = Vec::new();
    while let Some(document) = receiver.recv().await {
        let Body::Stream(mut body) = document.body else {
            panic!("a body that is not on its way");
        };
        let mut all = Ok(Vec::new());
        while let Some(chunk) = body.next().await {
            match (chunk, &mut all) {
                (Ok(chunk), Ok(all)) => all.extend_from_slice(&chunk),
                (Err(error), all) => *all = Err(error.class()),
                (Ok(_), Err(_)) => panic!("more after an error"),
            }
        }
        if confirm && all.is_ok() {
            document.delivery.unwrap().confirm();
        }
        bodies.push(all);
    }
    bodies
}

async fn get_documents(
    server: &Server,
    get: Get,
    confirm: bool,
) -> (Vec<Outcome>, Vec<Result<Vec<u8>, Class>>) {
    let (sender, receiver) = mpsc::channel(1);
    let outcomes = {
        let connector = Connector::new(server.clone(), connection(1))
            .with_destination(Destination::Documents(sender));
        connector.run(Operation::Get(get), stream::iter([Document::empty()]))
    };
    tokio::join!(outcomes.collect(), receive(receiver, confirm))
}

#[tokio::test]
async fn a_document_that_its_receiver_drops_is_not_delivered_and_stays() {
    let server = server_with(&[("out/a", "1"), ("out/b", "2")]);
    let (outcomes, bodies) = get_documents(&server, from_out(GetAction::GetAndDelete), false).await;
    assert_eq!(bodies, [Ok(b"1".to_vec()), Ok(b"2".to_vec())]);
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.status == Status::Failed && !outcome.delivered)
    );
    assert_eq!(server.files(|files| files.file_names()).len(), 2);
    let (outcomes, _) = get_documents(&server, from_out(GetAction::GetAndDelete), true).await;
    assert!(
        outcomes
            .iter()
            .all(|outcome| outcome.after_action == AfterAction::Deleted)
    );
    assert!(server.files(|files| files.file_names()).is_empty());
}

#[tokio::test]
async fn eager_does_not_wait_for_the_receiver() {
    let server = server_with(&[("out/a", "1")]);
    let eager = Get {
        after: After::Eager,
        ..from_out(GetAction::GetAndDelete)
    };
    let (outcomes, _) = get_documents(&server, eager, false).await;
    assert_eq!(good(outcomes).after_action, AfterAction::Deleted);
}

#[tokio::test]
async fn a_body_that_was_given_up_ends_with_an_error_not_with_an_end() {
    let server = server_with(&[("out/a", "1")]);
    server.before("read /", |files| files.put(&home("out/a"), "12"));
    let (outcomes, bodies) = get_documents(&server, from_out(GetAction::GetAndDelete), true).await;
    assert_eq!(bodies, [Err(Class::Integrity)]);
    assert_eq!(class(outcomes), Class::Integrity);
}

#[tokio::test]
async fn a_cancelled_get_leaves_nothing_behind_and_closes() {
    let big = "x".repeat(1 << 20);
    let server = server_with(&[("out/a", &big), ("out/b", "2")]);
    let folder = scratch();
    let connector = Connector::new(server.clone(), connection(0))
        .with_destination(Destination::Directory(folder.path().to_owned()));
    let cancel = connector.canceller();
    server.before("read /", move |_| cancel.cancel());
    let operation = Operation::Get(from_out(GetAction::GetAndDelete));
    let outcomes: Vec<Outcome> = connector
        .run(operation, stream::iter([Document::empty()]))
        .collect()
        .await;
    assert!(
        outcomes
            .iter()
            .all(|o| o.error.as_ref().unwrap().class() == Class::Cancelled)
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_eq!(server.files(|files| files.file_names()).len(), 2);
    assert_eq!(server.sessions(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_be_reached_is_tried_again_and_one_that_refuses_is_not() {
    let folder = scratch();
    for (kind, class_expected, attempts) in [
        (RemoteErrorKind::Failure, Class::Unreachable, 3),
        (RemoteErrorKind::Permission, Class::Authentication, 1),
    ] {
        let server = server_with(&[("out/a", "1")]);
        server.refuse("connect", kind);
        let outcome = only(get(&server, folder.path(), from_out(GetAction::Get)).await);
        let error = outcome.error.unwrap();
        assert_eq!(error.class(), class_expected);
        assert!(error.is_before_session());
        assert_eq!(server.calls().len(), attempts);
    }
}
