//! A server, a local directory, and operations written as a configuration has them.

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use sansftp_connector::connection::Connection;
use sansftp_connector::document::{Document, Properties};
use sansftp_connector::operation::Operation;
use sansftp_connector::outcome::{Outcome, Status};
use sansftp_connector::sftp::SftpConnect;
use sansftp_connector::{Class, Connector, Destination};
use sansftp_testkit::faultproxy::{FaultProxy, Plan};
pub(crate) use sansftp_testkit::seeds::noise;
use sansftp_testkit::serve::program;
use sansftp_testkit::sshd::{ClientKey, Sshd};
use tempfile::TempDir;

/// A server, and where its files go.
pub(crate) struct World {
    pub(crate) sshd: Sshd,
    local: TempDir,
}

/// Names and contents of files.
pub(crate) type Files = BTreeMap<String, String>;

impl World {
    pub(crate) fn start() -> Self {
        Self::with(Sshd::start())
    }

    pub(crate) fn with(sshd: Sshd) -> Self {
        let local = tempfile::tempdir().unwrap();
        fs::create_dir(local.path().join("inbox")).unwrap();
        Self { sshd, local }
    }

    /// One with these files at the server.
    pub(crate) fn holding(files: &[(&str, &str)]) -> Self {
        let world = Self::start();
        for (name, content) in files {
            world.sshd.write(name, content);
        }
        world
    }

    /// A path beside the inbox.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.local.path().join(name)
    }

    /// Writes a file beside the inbox.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// A connection that gets in, with these keys in place of its own.
    pub(crate) fn connection(&self, keys: &str) -> Connection {
        let mut table = toml::Table::new();
        let mut set = |key: &str, value: toml::Value| table.insert(key.to_owned(), value);
        set("host", "127.0.0.1".into());
        set("port", i64::from(self.sshd.port()).into());
        set("user", self.sshd.user().into());
        let key = self.sshd.key(ClientKey::Ed25519);
        set("private-key", key.to_str().unwrap().into());
        set("known-host", self.sshd.known_hosts_line().into());
        set("retries", 0.into());
        set("retry-delay", "20ms to 50ms".into());
        table.extend(toml::from_str::<toml::Table>(keys).unwrap());
        table.try_into().unwrap_or_else(|error| panic!("{error}"))
    }

    /// A connection through a proxy that does this harm, with two retries.
    pub(crate) fn through(&self, plan: Plan) -> (FaultProxy, Connection) {
        let proxy = FaultProxy::start(self.sshd.addr(), plan);
        let line = self.sshd.known_hosts_line();
        let (_, key) = line.split_once(' ').unwrap();
        let port = proxy.port();
        let keys = format!("port = {port}\nknown-host = '{key}'\nretries = 2");
        (proxy, self.connection(&keys))
    }

    pub(crate) async fn run_as(
        &self,
        connection: Connection,
        operation: &str,
        documents: Vec<Document>,
    ) -> Vec<Outcome> {
        let operation: Operation =
            toml::from_str(operation).unwrap_or_else(|error| panic!("{error}"));
        let connect = match SftpConnect::prepare(&connection, None) {
            Ok(connect) => connect,
            Err(error) => return vec![Outcome::failed(Properties::default(), error)],
        };
        let connector = Connector::new(connect, connection)
            .with_destination(Destination::Directory(self.path("inbox")));
        let outcomes = connector.run(operation, stream::iter(documents));
        in_time(outcomes.collect()).await
    }

    /// An operation on the server, such as `action = "get"`.
    pub(crate) async fn run(&self, operation: &str, documents: Vec<Document>) -> Vec<Outcome> {
        self.run_as(self.connection(""), operation, documents).await
    }

    pub(crate) async fn get(&self, keys: &str) -> Vec<Outcome> {
        self.get_as(self.connection(""), keys).await
    }

    pub(crate) async fn get_as(&self, connection: Connection, keys: &str) -> Vec<Outcome> {
        let keys = with_action(keys, "get");
        self.run_as(connection, &keys, vec![Document::empty()])
            .await
    }

    pub(crate) async fn send(&self, keys: &str, documents: Vec<Document>) -> Vec<Outcome> {
        self.run(&with_action(keys, "send"), documents).await
    }

    /// Whether this connection gets in.
    pub(crate) async fn login(&self, connection: Connection) -> Result<(), (Class, String)> {
        let documents = vec![Document::empty()];
        let outcomes = self.run_as(connection, "action = 'list'", documents).await;
        match outcomes.into_iter().find_map(|it| it.error) {
            None => Ok(()),
            Some(error) => Err((
                error.class(),
                format!("{error}\n{}", error.hint().unwrap_or_default()),
            )),
        }
    }

    pub(crate) fn remote(&self) -> Files {
        tree(self.sshd.home())
    }

    pub(crate) fn inbox(&self) -> Files {
        tree(&self.path("inbox"))
    }

    /// The program in the local directory, which is its home too, without the tester's environment.
    pub(crate) fn program(&self) -> Command {
        let mut command = Command::new(program());
        command
            .current_dir(self.local.path())
            .env_clear()
            .env("HOME", self.local.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null());
        command
    }

    /// Writes `sansftp.toml` with a connection `c` that gets in, with these keys in place of its own,
    /// and with what else is given.
    pub(crate) fn configure(&self, keys: &str, more: &str) {
        let mut connection = toml::Table::try_from(self.connection("")).unwrap();
        connection.extend(toml::from_str::<toml::Table>(keys).unwrap());
        let named = toml::Table::from_iter([("c".to_owned(), connection.into())]);
        let all = toml::Table::from_iter([("connections".to_owned(), named.into())]);
        let text = toml::to_string(&all).unwrap();
        self.write("sansftp.toml", format!("{text}\n{more}"));
    }

    /// Lines of sshd's log with these words, as soon as there are so many.
    pub(crate) async fn logged(&self, words: &str, at_least: usize) -> usize {
        let count = || self.sshd.log().matches(words).count();
        until(|| count() >= at_least).await;
        count()
    }
}

/// The operation with this action, unless the keys have one.
fn with_action(keys: &str, action: &str) -> String {
    if keys.contains("action = ") {
        return keys.to_owned();
    }
    format!("action = '{action}'\n{keys}")
}

/// Waits for what is about to happen, with patience.
pub(crate) async fn until(mut happened: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !happened() {
        assert!(begun.elapsed() < PATIENCE, "it does not happen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) async fn in_time<T>(work: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, work).await;
    done.expect("it comes to an end")
}

/// Machines that run tests are slow and busy.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn document(name: &str, content: &str) -> Document {
    Document::bytes(content.as_bytes().to_vec()).with("filename", name.to_owned())
}

/// `NAME ok`, `NAME failed CLASS` or `NAME skipped REASON` for each, in their order.
pub(crate) fn said(outcomes: &[Outcome]) -> Vec<String> {
    let words = |outcome: &Outcome| {
        let name = outcome.properties.text("filename").unwrap_or("-");
        match outcome.status {
            Status::Ok => format!("{name} ok"),
            Status::Skipped(reason) => format!("{name} skipped {}", reason.name()),
            Status::Failed => {
                let error = outcome.error.as_ref().expect("a failure says why");
                format!("{name} failed {}", error.class())
            }
        }
    };
    outcomes.iter().map(words).collect()
}

/// Those that were not skipped.
pub(crate) fn taken(outcomes: &[Outcome]) -> Vec<String> {
    let taken = |it: &String| !it.contains(" skipped ");
    said(outcomes).into_iter().filter(taken).collect()
}

/// The only outcome, which is good.
#[track_caller]
pub(crate) fn good(mut outcomes: Vec<Outcome>) -> Outcome {
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    let outcome = outcomes.remove(0);
    assert_eq!(outcome.status, Status::Ok, "{outcome:?}");
    outcome
}

/// The only outcome, which is a failure of this class, in all its words.
#[track_caller]
pub(crate) fn bad(outcomes: Vec<Outcome>, class: Class) -> String {
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    let error = outcomes[0].error.as_ref().expect("a failure says why");
    assert_eq!(error.class(), class, "{error}");
    format!("{error}\n{}", error.hint().unwrap_or_default())
}

/// A property of an outcome.
#[track_caller]
pub(crate) fn text<'a>(outcome: &'a Outcome, name: &str) -> &'a str {
    let text = outcome.properties.text(name);
    text.unwrap_or_else(|| panic!("no {name}: {outcome:?}"))
}

pub(crate) fn files(files: &[(&str, &str)]) -> Files {
    let own = |(name, content): &(&str, &str)| ((*name).to_owned(), (*content).to_owned());
    files.iter().map(own).collect()
}

fn tree(root: &Path) -> Files {
    let mut found = Files::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
                continue;
            }
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap().to_string_lossy();
            let content = fs::read(&path).unwrap_or_default();
            let content = String::from_utf8_lossy(&content).into_owned();
            found.insert(name.into_owned(), content);
        }
    }
    found
}

/// What a program of OpenSSH says.
pub(crate) fn openssh(program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {output:?}"
    );
    output
}

/// Appends to a file as its owner does, from beside.
pub(crate) fn append(path: &Path, content: &str) {
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(content.as_bytes()).unwrap();
}
