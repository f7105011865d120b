//! Get that goes on where it was cut off, with several hands, and into directories below.

use std::num::NonZeroUsize;

use tokio::sync::mpsc;

use super::*;
use crate::document::Body;
use crate::mem::{Fault, HOME, What, When};
use crate::operation::GetAction;
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

async fn with_jobs(server: &Server, folder: &tempfile::TempDir, jobs: usize) -> Vec<Outcome> {
    let connector = Connector::new(server.clone(), connection(0))
        .with_destination(Destination::Directory(folder.path().to_owned()))
        .with_jobs(NonZeroUsize::new(jobs).unwrap());
    let operation = Operation::Get(from_out(GetAction::GetAndDelete));
    let outcomes = connector.run(operation, stream::iter([Document::empty()]));
    outcomes.collect().await
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
