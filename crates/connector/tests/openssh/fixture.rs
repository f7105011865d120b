//! A server, a connection to it, and a short way to run one operation.
//!
//! Not the assertions: those are in the tests.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use ring::digest::{SHA256, digest};
use rustix::process::{Pid, Signal, kill_process};
use sansftp_connector::connection::{Connection, PrivateKey, RetryDelay};
use sansftp_connector::document::Document;
use sansftp_connector::operation::{Get, Operation, Send};
use sansftp_connector::outcome::{Outcome, Status};
use sansftp_connector::progress::{Observer, Progress};
use sansftp_connector::sftp::SftpConnect;
use sansftp_connector::{Class, Connector, Destination, is_ours};
pub(crate) use sansftp_testkit::seeds::noise;
use sansftp_testkit::sshd::{ClientKey, Sshd};

pub(crate) fn connection(sshd: &Sshd) -> Connection {
    Connection {
        host: "127.0.0.1".to_owned(),
        port: sshd.port(),
        user: Some(sshd.user().to_owned()),
        private_key: Some(PrivateKey::Path(sshd.key(ClientKey::Ed25519))),
        known_host: vec![sshd.known_hosts_line()],
        retries: 2,
        retry_delay: RetryDelay {
            first: Duration::from_millis(20),
            longest: Duration::from_millis(50),
        },
        ..Connection::default()
    }
}

pub(crate) fn connector(sshd: &Sshd) -> Connector<SftpConnect> {
    let connection = connection(sshd);
    Connector::new(SftpConnect::prepare(&connection, None).unwrap(), connection)
}

/// The same by another port, at which something stands in between.
pub(crate) fn connector_through(sshd: &Sshd, port: u16) -> Connector<SftpConnect> {
    let connection = Connection {
        port,
        known_host: vec![sshd.known_hosts_line().replacen(
            &sshd.port().to_string(),
            &port.to_string(),
            1,
        )],
        ..connection(sshd)
    };
    Connector::new(SftpConnect::prepare(&connection, None).unwrap(), connection)
}

pub(crate) async fn run(
    connector: &Connector<SftpConnect>,
    operation: Operation,
    documents: Vec<Document>,
) -> Vec<Outcome> {
    connector
        .run(operation, stream::iter(documents))
        .collect()
        .await
}

pub(crate) async fn get(sshd: &Sshd, into: &Path, get: Get) -> Vec<Outcome> {
    let connector = connector(sshd).with_destination(Destination::Directory(into.to_owned()));
    run(&connector, Operation::Get(get), vec![Document::empty()]).await
}

pub(crate) async fn send(sshd: &Sshd, send: Send, documents: Vec<Document>) -> Vec<Outcome> {
    run(&connector(sshd), Operation::Send(send), documents).await
}

pub(crate) fn document(name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Document {
    Document::bytes(content.as_ref().to_vec()).with("filename", name.as_ref().to_vec())
}

#[track_caller]
pub(crate) fn good(mut outcomes: Vec<Outcome>) -> Outcome {
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    let outcome = outcomes.remove(0);
    assert_eq!(outcome.status, Status::Ok, "{:?}", outcome.error);
    assert!(outcome.warnings.is_empty(), "{:?}", outcome.warnings);
    outcome
}

/// The one failure: its class, and all that it says.
#[track_caller]
pub(crate) fn bad(mut outcomes: Vec<Outcome>) -> (Class, String) {
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    let outcome = outcomes.remove(0);
    assert_eq!(outcome.status, Status::Failed, "{outcome:?}");
    let error = outcome.error.expect("a failed outcome has an error");
    let hint = error.hint().unwrap_or_default();
    (error.class(), format!("{error} ({hint})"))
}

pub(crate) fn sha256(content: &[u8]) -> String {
    let digest = digest(&SHA256, content);
    digest
        .as_ref()
        .iter()
        .map(|it| format!("{it:02x}"))
        .collect()
}

/// Every file below a directory, ours included, and its SHA-256.
pub(crate) fn files(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
                continue;
            }
            let name = path.strip_prefix(root).unwrap();
            let content = fs::read(&path).unwrap_or_default();
            found.insert(name.as_os_str().as_bytes().to_vec(), sha256(&content));
        }
    }
    found
}

/// What [`files`] is to say.
pub(crate) fn those(all: &[(impl AsRef<[u8]>, impl AsRef<[u8]>)]) -> BTreeMap<Vec<u8>, String> {
    all.iter()
        .map(|(name, content)| (name.as_ref().to_vec(), sha256(content.as_ref())))
        .collect()
}

/// Files of the form of our temporary ones.
pub(crate) fn leftovers(root: &Path) -> Vec<String> {
    files(root)
        .into_keys()
        .filter(|name| is_ours(name.rsplit(|byte| *byte == b'/').next().unwrap()))
        .map(|name| String::from_utf8_lossy(&name).into_owned())
        .collect()
}

type Act = Box<dyn FnOnce() + std::marker::Send>;

/// Does something once, when so many bytes have moved.
pub(crate) struct After {
    bytes: u64,
    state: std::sync::Mutex<(u64, Option<Act>)>,
}

pub(crate) fn after(bytes: u64, act: impl FnOnce() + std::marker::Send + 'static) -> Observer {
    Observer::new(std::sync::Arc::new(After {
        bytes,
        state: std::sync::Mutex::new((0, Some(Box::new(act)))),
    }))
}

impl Progress for After {
    fn advanced(&self, bytes: u64) {
        let mut state = self.state.lock().unwrap();
        state.0 += bytes;
        if state.0 >= self.bytes
            && let Some(act) = state.1.take()
        {
            act();
        }
    }
}

/// Ends every session of a listener that goes on listening.
pub(crate) fn cut_sessions(listener: u32) {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
            let end = stat.iter().rposition(|byte| *byte == b')')?;
            let fields = String::from_utf8_lossy(&stat[end + 1..]).into_owned();
            Some((pid, fields.split_whitespace().nth(1)?.parse().ok()?))
        })
        .collect();
    let mut ancestors = vec![listener];
    while let Some(ancestor) = ancestors.pop() {
        for (pid, _) in parents.iter().filter(|(_, parent)| *parent == ancestor) {
            ancestors.push(*pid);
            if let Some(pid) = Pid::from_raw(i32::try_from(*pid).unwrap()) {
                // One that is gone already needs no killing.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}
