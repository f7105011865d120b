//! Get that goes on where it was cut off, with several hands, and into directories below.

use std::num::NonZeroUsize;

use tokio::sync::mpsc;

use super::*;
use crate::document::Body;
use crate::mem::{Fault, HOME, What, When};
use crate::operation::{GetAction, Sort};
use crate::outcome::AfterAction;
use crate::remote::RemoteErrorKind;

const LINE: &str = "0123456789";

/// A server with one file of 100 reads, whose connection is lost at these reads.
fn server_cut_off_at(reads: &[usize]) -> Server {
    let server = Server::new(Behaviour {
        chunk: LINE.len(),
        ..Behaviour::openssh()
    });
    server.files(|files| files.put(&home("out/a"), LINE.repeat(100)));
    for &at in reads {
        let (when, what) = (When::Before, What::Disconnect);
        server.fail(Fault { at, when, what });
    }
    server
}

fn home(name: &str) -> String {
    format!("{HOME}/{name}")
}

fn from_out(action: GetAction) -> Get {
    Get {
        action,
        remote_directory: Some("out".to_owned()),
        ..Get::default()
    }
}

fn count(server: &Server, prefix: &str) -> usize {
    let calls = server.calls();
    calls.iter().filter(|call| call.starts_with(prefix)).count()
}

#[tokio::test]
async fn after_each_lost_connection_only_what_is_missing_is_read() {
    // More often than there are retries, because each brings it further.
    let cuts = [20, 40, 60, 80, 100];
    let server = server_cut_off_at(&cuts);
    let folder = scratch();
    let outcome = good(get(&server, folder.path(), from_out(GetAction::GetAndDelete)).await);
    assert_eq!(outcome.after_action, AfterAction::Deleted);
    let content = std::fs::read_to_string(folder.path().join("a")).unwrap();
    assert_eq!(content, LINE.repeat(100));
    // Each cut is one read in vain, and the last one finds the end.
    assert_eq!(count(&server, "read "), 100 + cuts.len() + 1);
}

#[tokio::test]
async fn a_receiver_sees_the_bytes_go_on() {
    let server = server_cut_off_at(&[20, 40]);
    let (outcomes, body) = received(&server, from_out(GetAction::GetAndDelete)).await;
    assert_eq!(body, Ok(LINE.repeat(100)));
    let outcome = good(outcomes);
    assert_eq!(outcome.after_action, AfterAction::Deleted);
    assert_eq!(count(&server, "read "), 100 + 2 + 1);
}

#[tokio::test]
async fn without_resume_a_file_begins_again_and_a_receiver_is_told() {
    let plain = Get {
        resume: false,
        ..from_out(GetAction::Get)
    };
    let server = server_cut_off_at(&[20]);
    let folder = scratch();
    good(get(&server, folder.path(), plain.clone()).await);
    assert!(count(&server, "read ") > 105);
    let server = server_cut_off_at(&[20]);
    let (outcomes, body) = received(&server, plain).await;
    assert_eq!(body, Err(Class::Disconnected));
    assert_eq!(class(outcomes), Class::Disconnected);
}

#[tokio::test]
async fn a_file_that_was_replaced_while_the_connection_was_away_is_not_continued() {
    let server = server_cut_off_at(&[40]);
    let folder = scratch();
    let outcomes = get(&server, folder.path(), from_out(GetAction::Get));
    let (outcomes, ()) = tokio::join!(outcomes, replaced_before_the_next_session(&server));
    good(outcomes);
    let content = std::fs::read_to_string(folder.path().join("a")).unwrap();
    assert_eq!(content, "another content");
    let server = server_cut_off_at(&[40]);
    let receiving = received(&server, from_out(GetAction::Get));
    let ((outcomes, body), ()) = tokio::join!(receiving, replaced_before_the_next_session(&server));
    assert_eq!(body, Err(Class::Integrity));
    assert_eq!(class(outcomes), Class::Integrity);
}

async fn replaced_before_the_next_session(server: &Server) {
    while count(server, "read ") == 0 {
        tokio::task::yield_now().await;
    }
    server.before("connect", |files| {
        files.put(&home("out/a"), "another content")
    });
}

#[tokio::test]
async fn many_files_on_one_session_are_told_in_the_order_of_the_listing() {
    for fault in [None, Some(60)] {
        let server = Server::new(Behaviour::openssh());
        let names: Vec<String> = (0..40).map(|number| format!("{number:02}")).collect();
        server.files(|files| {
            for (at, name) in names.iter().enumerate() {
                // The first ones are done last.
                files.put(&home(&format!("out/{name}")), LINE.repeat(2000 / (at + 1)));
            }
        });
        if let Some(at) = fault {
            let (when, what) = (When::Before, What::Disconnect);
            server.fail(Fault { at, when, what });
        }
        let folder = scratch();
        let connector = Connector::new(server.clone(), connection(3))
            .with_destination(Destination::Directory(folder.path().to_owned()));
        let operation = Operation::Get(from_out(GetAction::GetAndDelete));
        let outcomes = connector.run(operation, stream::iter([Document::empty()]));
        let outcomes: Vec<Outcome> = outcomes.collect().await;
        let told = outcomes.iter().map(|outcome| {
            assert_eq!(outcome.status, Status::Ok, "{:?}", outcome.error);
            outcome.properties.text("filename").unwrap().to_owned()
        });
        assert_eq!(told.collect::<Vec<_>>(), names);
        // All lanes went over to the one new session, and closed it.
        let sessions = 1 + usize::from(fault.is_some());
        assert_eq!(count(&server, "connect"), sessions);
        assert_eq!(server.sessions().1, 0);
        assert!(server.files(|files| files.file_names()).is_empty());
    }
}

#[tokio::test]
async fn several_hands_take_each_file_once_and_close_their_sessions() {
    let server = Server::new(Behaviour::openssh());
    let names: Vec<String> = (0..40).map(|number| format!("{number:02}")).collect();
    server.files(|files| {
        for name in &names {
            files.put(&home(&format!("out/{name}")), LINE.repeat(50));
        }
    });
    let folder = scratch();
    let outcomes = with_jobs(&server, &folder, 4).await;
    assert!(outcomes.iter().all(|outcome| outcome.status == Status::Ok));
    assert_eq!(server.sessions(), (4, 0));
    let mut got: Vec<String> = outcomes
        .iter()
        .map(|outcome| outcome.properties.text("filename").unwrap().to_owned())
        .collect();
    got.sort();
    assert_eq!(got, names);
    assert_eq!(count(&server, "open "), names.len());
    assert!(server.files(|files| files.file_names()).is_empty());
}

#[tokio::test]
async fn there_are_no_more_hands_than_files() {
    let server = server_cut_off_at(&[]);
    let folder = scratch();
    good(with_jobs(&server, &folder, 8).await);
    assert_eq!(server.sessions(), (1, 0));
}

#[tokio::test]
async fn hands_that_get_no_session_leave_the_files_to_the_others() {
    let server = Server::new(Behaviour::openssh());
    server.files(|files| {
        for name in ["a", "b", "c"] {
            files.put(&home(&format!("out/{name}")), LINE);
        }
    });
    let folder = scratch();
    let refusing = server.clone();
    let outcomes = with_jobs(&server, &folder, 3);
    let refuse = async move {
        while count(&refusing, "list ") == 0 {
            tokio::task::yield_now().await;
        }
        refusing.refuse("connect", RemoteErrorKind::Permission);
    };
    let (outcomes, ()) = tokio::join!(outcomes, refuse);
    assert_eq!(outcomes.len(), 3);
    assert!(outcomes.iter().all(|outcome| outcome.status == Status::Ok));
    assert_eq!(server.sessions(), (1, 0));
}

/// Its receiver does not go on with the large file, which comes first, until all others are through:
/// also those of batches behind it, and more than wait at most.
#[tokio::test]
async fn a_large_file_of_an_unsorted_listing_holds_nothing_up() {
    for files in [1, 2, 40, 600] {
        let server = Server::new(Behaviour {
            batch: 3,
            chunk: 64,
            ..Behaviour::openssh()
        });
        let names: Vec<String> = (0..files).map(|number| format!("{number:03}")).collect();
        server.files(|files| {
            files.put(&home("out/!large"), LINE.repeat(1_000));
            for name in &names {
                files.put(&home(&format!("out/{name}")), LINE);
            }
        });
        let (sender, mut receiver) = mpsc::channel::<Document>(1);
        let connector = Connector::new(server.clone(), connection(0))
            .with_destination(Destination::Documents(sender))
            .with_jobs(NonZeroUsize::new(2).unwrap());
        let operation = Operation::Get(Get {
            sort: Sort::None,
            ..from_out(GetAction::GetAndDelete)
        });
        let outcomes = connector.run(operation, stream::iter([Document::empty()]));
        drop(connector);
        let receiving = async {
            let (mut large, mut small) = (None, 0);
            while let Some(document) = receiver.recv().await {
                if document.properties.text("filename") == Some("!large") {
                    large = Some(document);
                } else {
                    document.body.read_to_its_end().await.unwrap();
                    document.delivery.unwrap().confirm();
                    small += 1;
                }
                if small == names.len()
                    && let Some(large) = large.take()
                {
                    large.body.read_to_its_end().await.unwrap();
                    large.delivery.unwrap().confirm();
                }
            }
        };
        let both = futures_util::future::join(outcomes.collect::<Vec<Outcome>>(), receiving);
        let (outcomes, ()) = tokio::time::timeout(Duration::from_secs(120), both)
            .await
            .unwrap_or_else(|_| panic!("{files} files wait for the large one"));
        assert_eq!(outcomes.len(), names.len() + 1);
        assert!(outcomes.iter().all(|outcome| outcome.status == Status::Ok));
        assert_eq!(server.sessions(), (2, 0));
        assert!(server.files(|files| files.file_names()).is_empty());
    }
}

async fn with_jobs(server: &Server, folder: &tempfile::TempDir, jobs: usize) -> Vec<Outcome> {
    let connector = Connector::new(server.clone(), connection(0))
        .with_destination(Destination::Directory(folder.path().to_owned()))
        .with_jobs(NonZeroUsize::new(jobs).unwrap());
    let operation = Operation::Get(from_out(GetAction::GetAndDelete));
    let outcomes = connector.run(operation, stream::iter([Document::empty()]));
    outcomes.collect().await
}

#[tokio::test]
async fn files_of_directories_below_arrive_and_are_moved_with_their_path() {
    let server = Server::new(Behaviour::openssh());
    server.files(|files| {
        files.put(&home("out/sub/deep/a"), "one");
        files.put(&home("out/a"), "two");
    });
    let folder = scratch();
    let options = Get {
        recursive: true,
        move_to_directory: Some("done".to_owned()),
        create_directories: true,
        ..from_out(GetAction::GetAndMove)
    };
    let outcomes = get(&server, folder.path(), options).await;
    let errors: Vec<_> = outcomes.iter().filter_map(|o| o.error.as_ref()).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(
        (read("sub/deep/a"), read("a")),
        ("one".into(), "two".into())
    );
    assert_eq!(
        server.files(|files| files.file_names()),
        [home("done/a"), home("done/sub/deep/a")]
    );
    let paths = outcomes
        .iter()
        .filter_map(|o| o.properties.text("relative-path"));
    assert_eq!(paths.collect::<Vec<_>>(), ["sub/deep/a"]);
}

#[tokio::test]
async fn a_local_link_in_the_place_of_a_directory_below_is_not_followed() {
    let server = Server::new(Behaviour::openssh());
    server.files(|files| files.put(&home("out/sub/a"), "one"));
    let folder = scratch();
    let elsewhere = scratch();
    std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("sub")).unwrap();
    let options = Get {
        recursive: true,
        ..from_out(GetAction::Get)
    };
    let outcomes = get(&server, folder.path(), options).await;
    let failed = outcomes.into_iter().filter(|o| o.status == Status::Failed);
    assert_eq!(class(failed.collect()), Class::LocalIo);
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_done_file_goes_with_its_file_and_after_it() {
    for action in [GetAction::GetAndDelete, GetAction::GetAndMove] {
        let server = Server::new(Behaviour::openssh());
        server.files(|files| {
            files.put(&home("out/a"), "one");
            files.put(&home("out/a.done"), "");
            files.make_directories(home("done").as_bytes());
        });
        let folder = scratch();
        let options = Get {
            done_file: Some("{name}.done".to_owned()),
            move_to_directory: (action == GetAction::GetAndMove).then(|| "done".to_owned()),
            ..from_out(action)
        };
        let outcomes = get(&server, folder.path(), options).await;
        let good = outcomes.iter().filter(|o| o.status == Status::Ok);
        assert_eq!(good.count(), 1, "{outcomes:?}");
        assert!(!folder.path().join("a.done").exists());
        let expected: &[String] = match action {
            GetAction::GetAndDelete => &[],
            _ => &[home("done/a"), home("done/a.done")],
        };
        assert_eq!(server.files(|files| files.file_names()), expected);
        let calls = server.calls();
        let away = |name: &str| {
            calls.iter().position(|call| {
                let verb = call.starts_with("remove") || call.starts_with("rename");
                verb && call.split(' ').nth(1) == Some(&home(name))
            })
        };
        assert!(away("out/a") < away("out/a.done"), "{calls:?}");
        assert!(away("out/a").is_some());
    }
}

async fn received(server: &Server, get: Get) -> (Vec<Outcome>, Result<String, Class>) {
    let (sender, mut receiver) = mpsc::channel::<Document>(1);
    let connector = Connector::new(server.clone(), connection(2))
        .with_destination(Destination::Documents(sender));
    let outcomes = connector.run(Operation::Get(get), stream::iter([Document::empty()]));
    drop(connector);
    let receiving = async {
        let document = receiver.recv().await.expect("a document comes");
        let Body::Stream(mut body) = document.body else {
            panic!("a body that is not on its way");
        };
        let mut all = String::new();
        while let Some(chunk) = body.next().await {
            match chunk {
                Ok(chunk) => all.push_str(std::str::from_utf8(&chunk).unwrap()),
                Err(error) => return Err(error.class()),
            }
        }
        document.delivery.expect("it can be confirmed").confirm();
        Ok(all)
    };
    tokio::join!(outcomes.collect(), receiving)
}
