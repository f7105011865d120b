//! The rules of moves and of names that are taken, each on a stock server, on one without
//! posix-rename, on one whose plain RENAME replaces, and on one that refuses RENAME between
//! directories: the result is the same on every one.

use sansftp_connector::Class;
use sansftp_connector::document::Document;
use sansftp_connector::operation::{Get, GetAction, IfExists, MoveCollision, Operation, Send};
use sansftp_connector::outcome::{AfterAction, Outcome, Status};
use sansftp_server::sftp::FileSystem;

use crate::servers::{ALL, Renames, Server, bad, good};

const BACKUP: &str = ".a.7b0c7a8e-0000-4000-8000-000000000000.old";

fn moving(force_move: bool) -> Get {
    Get {
        action: GetAction::GetAndMove,
        remote_directory: Some("in".to_owned()),
        move_to_directory: Some("pub".to_owned()),
        force_move,
        ..Get::default()
    }
}

async fn get(server: &Server, get: Get) -> Vec<Outcome> {
    server
        .run(Operation::Get(get), vec![Document::empty()])
        .await
}

fn sending(if_exists: IfExists) -> Send {
    Send {
        if_exists,
        remote_directory: Some("in".to_owned()),
        ..Send::default()
    }
}

fn publishing(if_exists: IfExists, force_move: bool) -> Send {
    Send {
        move_to_directory: Some("pub".to_owned()),
        force_move,
        ..sending(if_exists)
    }
}

fn document(name: &str, content: &str) -> Document {
    Document::bytes(content.as_bytes().to_vec()).with("filename", name.to_owned())
}

async fn send(server: &Server, send: Send, content: &str) -> Vec<Outcome> {
    server
        .run(Operation::Send(send), vec![document("a", content)])
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn two_names_of_one_directory_are_a_configuration_error_before_anything_is_fetched() {
    for renames in ALL {
        let server = Server::start(renames).await;
        server.put("in/a", "new");
        server.files.symlink(b"/in", b"/same").unwrap();
        let same = Get {
            move_to_directory: Some("same".to_owned()),
            ..moving(true)
        };
        let error = bad(get(&server, same).await);
        assert_eq!(error.class(), Class::Configuration, "{renames:?}: {error}");
        server.expect(&[("in/a", "new")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_force_move_a_free_target_is_moved_to_and_a_taken_one_never_replaced() {
    for renames in ALL {
        let server = Server::start(renames).await;
        server.put("in/a", "new");
        if renames == Renames::RefuseAcross {
            let error = bad(get(&server, moving(false)).await);
            assert_eq!(error.class(), Class::Unsupported, "{error}");
            assert!(error.hint().is_some_and(|hint| hint.contains("force-move")));
            server.expect(&[("in/a", "new")]);
            continue;
        }
        let outcome = good(get(&server, moving(false)).await);
        assert_eq!(outcome.after_action, AfterAction::Moved);
        assert_eq!(outcome.properties.text("moved-by"), Some("rename"));
        // Nobody told what this server's plain RENAME does, so only the look protects the target.
        assert_eq!(outcome.properties.text("no-replace"), Some("looked"));
        server.expect(&[("pub/a", "new")]);

        server.put("in/a", "newer");
        let error = bad(get(&server, moving(false)).await);
        assert_eq!(error.class(), Class::Exists, "{renames:?}: {error}");
        assert!(!error.retryable());
        server.expect(&[("in/a", "newer"), ("pub/a", "new")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_force_move_the_target_is_replaced_by_the_first_step_that_serves() {
    for (renames, onto_old, onto_free) in [
        (Renames::Stock, "posix-rename", "posix-rename"),
        (Renames::NoPosixRename, "backup", "rename"),
        (Renames::Replace, "backup", "rename"),
        (Renames::RefuseAcross, "copy", "copy"),
    ] {
        let server = Server::start(renames).await;
        server.put("in/a", "new");
        let outcome = good(get(&server, moving(true)).await);
        assert_eq!(
            outcome.properties.text("moved-by"),
            Some(onto_free),
            "{renames:?}"
        );
        server.expect(&[("pub/a", "new")]);
        server.put("in/a", "newer");
        let outcome = good(get(&server, moving(true)).await);
        assert_eq!(
            outcome.properties.text("moved-by"),
            Some(onto_old),
            "{renames:?}"
        );
        server.expect(&[("pub/a", "newer")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn move_collision_can_be_set_apart_from_force_move() {
    for renames in ALL {
        let server = Server::start(renames).await;
        server.put("in/a", "new");
        server.put("pub/a", "old");
        let refusing = Get {
            move_collision: Some(MoveCollision::Error),
            ..moving(true)
        };
        assert_eq!(bad(get(&server, refusing).await).class(), Class::Exists);
        server.expect(&[("in/a", "new"), ("pub/a", "old")]);
        let replacing = Get {
            move_collision: Some(MoveCollision::Replace),
            ..moving(false)
        };
        let outcomes = get(&server, replacing).await;
        if renames == Renames::RefuseAcross {
            // Without force-move nothing is copied, and both are as they were.
            bad(outcomes);
            server.expect(&[("in/a", "new"), ("pub/a", "old")]);
        } else {
            good(outcomes);
            server.expect(&[("pub/a", "new")]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_was_left_is_put_back_or_goes() {
    for renames in [Renames::NoPosixRename, Renames::Replace] {
        let server = Server::start(renames).await;
        server.put("in/a", "new");
        server.put(&format!("pub/{BACKUP}"), "old");
        good(get(&server, moving(true)).await);
        server.expect(&[("pub/a", "new")]);
        server.put("in/a", "newer");
        server.put(&format!("pub/{BACKUP}"), "older");
        good(get(&server, moving(true)).await);
        server.expect(&[("pub/a", "newer")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_onto_another_name_of_the_same_file_leaves_one_name() {
    for renames in ALL {
        let server = Server::start(renames).await;
        server.put("in/a", "same");
        server.files.hard_link(b"/in/a", b"/pub/a").unwrap();
        let outcome = good(get(&server, moving(true)).await);
        server.expect(&[("pub/a", "same")]);
        if renames == Renames::Stock {
            // posix-rename reports success and does nothing.
            assert_eq!(outcome.properties.text("moved-by"), Some("reconciled"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rule_for_a_taken_name_gives_the_same_on_every_server() {
    for renames in ALL {
        let server = Server::start(renames).await;
        server.put("in/a", "old");
        let outcome = good(send(&server, sending(IfExists::Rename), "new").await);
        assert_eq!(outcome.properties.text("filename"), Some("a1"));
        let by = outcome.properties.text("claimed-by");
        let expected = match renames {
            Renames::Replace => "placeholder",
            _ => "rename",
        };
        assert_eq!(by, Some(expected), "{renames:?}");
        server.expect(&[("in/a", "old"), ("in/a1", "new")]);
        let error = bad(send(&server, sending(IfExists::Error), "other").await);
        assert_eq!(error.class(), Class::Exists);
        good(send(&server, sending(IfExists::Append), "er").await);
        server.expect(&[("in/a", "older"), ("in/a1", "new")]);
        good(send(&server, sending(IfExists::Overwrite), "newest").await);
        server.expect(&[("in/a", "newest"), ("in/a1", "new")]);
        let staged = Send {
            staging_directory: Some("tmp".to_owned()),
            ..sending(IfExists::Overwrite)
        };
        good(send(&server, staged, "staged").await);
        server.expect(&[("in/a", "staged"), ("in/a1", "new")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_move_to_directory_rename_takes_a_name_that_is_free_in_both() {
    for renames in ALL {
        let server = Server::start(renames).await;
        server.put("in/a", "old");
        server.put("pub/a1", "older");
        let outcome = good(send(&server, publishing(IfExists::Rename, false), "new").await);
        assert_eq!(
            outcome.properties.text("filename"),
            Some("a2"),
            "{renames:?}"
        );
        server.expect(&[("in/a", "old"), ("pub/a1", "older"), ("pub/a2", "new")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_move_to_directory_error_means_either() {
    for renames in ALL {
        for taken in ["in/a", "pub/a"] {
            let server = Server::start(renames).await;
            server.put(taken, "old");
            let error = bad(send(&server, publishing(IfExists::Error, false), "new").await);
            assert_eq!(error.class(), Class::Exists, "{renames:?} {taken}");
            server.expect(&[(taken, "old")]);
        }
        let server = Server::start(renames).await;
        good(send(&server, publishing(IfExists::Error, false), "new").await);
        server.expect(&[("pub/a", "new")]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_move_to_directory_overwrite_and_append_replace_there_only_with_force_move() {
    for renames in ALL {
        for (if_exists, wanted) in [(IfExists::Overwrite, "new"), (IfExists::Append, "oldnew")] {
            let server = Server::start(renames).await;
            server.put("in/a", "old");
            server.put("pub/a", "published");
            let error = bad(send(&server, publishing(if_exists, false), "new").await);
            assert_eq!(error.class(), Class::Exists, "{renames:?} {if_exists}");
            server.expect(&[("in/a", "old"), ("pub/a", "published")]);
            good(send(&server, publishing(if_exists, true), "new").await);
            server.expect(&[("pub/a", wanted)]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_senders_of_five_hundred_files_of_one_name_lose_nothing() {
    const EACH: usize = 500;
    for renames in ALL {
        let server = Server::start(renames).await;
        let documents = |who: &str| {
            (0..EACH)
                .map(|n| document("a.txt", &format!("{who} {n}")))
                .collect::<Vec<_>>()
        };
        let operation = || Operation::Send(sending(IfExists::Rename));
        let (one, other) = tokio::join!(
            server.run(operation(), documents("one")),
            server.run(operation(), documents("other"))
        );
        for outcome in one.iter().chain(&other) {
            assert_eq!(
                outcome.status,
                Status::Ok,
                "{renames:?}: {:?}",
                outcome.error
            );
        }
        let found = server.all();
        assert_eq!(found.len(), 2 * EACH, "{renames:?}");
        let mut contents: Vec<_> = found.into_iter().map(|(_, content)| content).collect();
        contents.sort();
        contents.dedup();
        assert_eq!(
            contents.len(),
            2 * EACH,
            "{renames:?}: one replaced another"
        );
    }
}
