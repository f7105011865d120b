//! Operations on servers in memory, each rule with each behaviour, and a fault at every call.

mod cut_off;
mod delete;
mod get;
mod get_on;
mod get_once;
mod killed;
mod listen;
mod moves;
mod select;
mod send;
mod taken_away;

use std::path::Path;
use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::{Connector, Destination};
use crate::connection::{Connection, RetryDelay};
use crate::document::Document;
use crate::error::Class;
use crate::mem::{Behaviour, PlainRename, Server};
use crate::operation::{Get, Operation, Send};
use crate::outcome::{Outcome, Status};

/// A connection that tries again at once.
pub(super) fn connection(retries: u32) -> Connection {
    Connection {
        host: "mem".to_owned(),
        retries,
        retry_delay: RetryDelay {
            first: Duration::from_micros(1),
            longest: Duration::from_micros(1),
        },
        ..Connection::default()
    }
}

pub(super) async fn run(
    server: &Server,
    retries: u32,
    destination: Destination,
    operation: Operation,
    documents: Vec<Document>,
) -> Vec<Outcome> {
    let connector =
        Connector::new(server.clone(), connection(retries)).with_destination(destination);
    connector
        .run(operation, stream::iter(documents))
        .collect()
        .await
}

pub(super) async fn get(server: &Server, into: &Path, get: Get) -> Vec<Outcome> {
    let into = Destination::Directory(into.to_owned());
    let document = vec![Document::empty()];
    run(server, 2, into, Operation::Get(get), document).await
}

pub(super) async fn send(server: &Server, send: Send, documents: Vec<Document>) -> Vec<Outcome> {
    run(
        server,
        2,
        Destination::None,
        Operation::Send(send),
        documents,
    )
    .await
}

/// A document of this name and content.
pub(super) fn document(name: &str, content: &str) -> Document {
    Document::bytes(content.as_bytes().to_vec()).with("filename", name.to_owned())
}

/// The one outcome, which must be good.
#[track_caller]
pub(super) fn good(outcomes: Vec<Outcome>) -> Outcome {
    let outcome = only(outcomes);
    assert_eq!(outcome.status, Status::Ok, "{:?}", outcome.error);
    outcome
}

/// The one outcome's class of failure.
#[track_caller]
pub(super) fn class(outcomes: Vec<Outcome>) -> Class {
    let outcome = only(outcomes);
    assert_eq!(outcome.status, Status::Failed, "{outcome:?}");
    outcome
        .error
        .expect("a failed outcome has an error")
        .class()
}

#[track_caller]
pub(super) fn only(mut outcomes: Vec<Outcome>) -> Outcome {
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    outcomes.remove(0)
}

/// Servers that differ in what their renames do.
pub(super) fn behaviours() -> Vec<(&'static str, Behaviour)> {
    vec![
        ("openssh", Behaviour::openssh()),
        ("refuses", Behaviour::bare(PlainRename::Refuses)),
        ("replaces", Behaviour::bare(PlainRename::Replaces)),
        (
            "replaces, hard links",
            Behaviour {
                hardlink: true,
                ..Behaviour::bare(PlainRename::Replaces)
            },
        ),
        (
            "posix only",
            Behaviour {
                posix_rename: true,
                ..Behaviour::bare(PlainRename::Missing)
            },
        ),
        (
            "devices",
            Behaviour {
                directories_are_devices: true,
                ..Behaviour::openssh()
            },
        ),
        (
            "devices, no extensions",
            Behaviour {
                directories_are_devices: true,
                ..Behaviour::bare(PlainRename::Refuses)
            },
        ),
        (
            "devices, replaces, copies",
            Behaviour {
                directories_are_devices: true,
                copy_data: true,
                ..Behaviour::bare(PlainRename::Replaces)
            },
        ),
    ]
}

/// The files that have the form of our own temporary and backup files.
pub(super) fn leftovers(server: &Server) -> Vec<String> {
    let names = server.files(|files| files.file_names());
    names
        .into_iter()
        .filter(|name| {
            let base = name.rsplit('/').next().unwrap_or_default();
            crate::names::is_ours(base.as_bytes())
        })
        .collect()
}

/// A local folder; in memory where the system has that, for thousands of runs that wait for the
/// disk.
pub(super) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a temporary folder can be made")
}
