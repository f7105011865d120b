//! A server that lists and delivers what it likes, against `get` over SSH: what it says never decides where anything is
//! written on this side, nor what is deleted on the other.

use crate::served::{Served, connection};
use crate::servers::connector;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sansftp_connector::Destination;
use sansftp_connector::document::Document;
use sansftp_connector::operation::Operation;
use sansftp_connector::outcome::{Outcome, Status};
use sansftp_connector::remote::{Connect, Remote};
use sansftp_connector::sftp::SftpConnect;
use sansftp_proto::auth::server::{Attempt, Offered};
use sansftp_proto::sftp::{Attrs, Entry, Status as Refusal, StatusCode};
use sansftp_server::algorithms::Selection;
use sansftp_server::default_provider;
use sansftp_server::host_keys::HostKeys;
use sansftp_server::service::{Limits, Proved, Service};
use sansftp_server::sftp::{Directory, File, FileSystem, MemFs, OpenFlags, Outcome as Answer};
use sansftp_server::users::Proof;
use sansftp_tokio::server::{Authenticate, Judgement};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// The names in each directory, as files or as directories; whatever is opened is a file with the same content.
#[derive(Debug)]
struct Liar {
    names: Vec<&'static [u8]>,
    mode: u32,
    content: MemFs,
    opened: Mutex<Vec<Vec<u8>>>,
    removed: Mutex<Vec<Vec<u8>>>,
}

const FILE: u32 = 0o100_644;
const DIRECTORY: u32 = 0o040_755;

impl Liar {
    fn lists(names: &[&'static [u8]], mode: u32) -> Arc<Self> {
        let content = MemFs::default();
        content.put(b"content", b"evil").unwrap();
        Arc::new(Self {
            names: names.to_vec(),
            mode,
            content,
            opened: Mutex::default(),
            removed: Mutex::default(),
        })
    }

    fn is_listed(&self, path: &[u8]) -> bool {
        path.len() > 1 && !path.ends_with(b"/out")
    }

    fn attrs(&self, path: &[u8]) -> Attrs {
        match self.is_listed(path) {
            true => self.listed(),
            false => Attrs {
                permissions: Some(DIRECTORY),
                ..Attrs::default()
            },
        }
    }

    /// Of each entry: those of the content, so that what is looked at again has not changed.
    fn listed(&self) -> Attrs {
        Attrs {
            permissions: Some(self.mode),
            ..self.content.stat(b"content").unwrap()
        }
    }
}

impl FileSystem for Liar {
    fn open(&self, path: &[u8], _: OpenFlags, _: &Attrs) -> Answer<Arc<dyn File>> {
        self.opened.lock().unwrap().push(path.to_vec());
        self.content
            .open(b"content", OpenFlags::READ, &Attrs::default())
    }

    fn open_dir(&self, path: &[u8]) -> Answer<Box<dyn Directory>> {
        let deep = path.iter().filter(|byte| **byte == b'/').count() > 3;
        let names = if deep { Vec::new() } else { self.names.clone() };
        let attrs = self.listed();
        Ok(Box::new(Lies { names, attrs }))
    }

    fn stat(&self, path: &[u8]) -> Answer<Attrs> {
        Ok(self.attrs(path))
    }

    fn real_path(&self, path: &[u8]) -> Answer<Bytes> {
        Ok(Bytes::copy_from_slice(path))
    }

    fn remove(&self, path: &[u8]) -> Answer<()> {
        self.removed.lock().unwrap().push(path.to_vec());
        Ok(())
    }
}

#[derive(Debug)]
struct Lies {
    names: Vec<&'static [u8]>,
    attrs: Attrs,
}

impl Directory for Lies {
    fn read(&mut self, _: usize) -> Answer<Vec<Entry>> {
        let entry = |name: &[u8]| Entry {
            filename: Bytes::copy_from_slice(name),
            longname: Bytes::from_static(b"-rw-r--r-- 1 root root 4 Jan 1 00:00 /etc/passwd"),
            attrs: self.attrs,
        };
        let names = std::mem::take(&mut self.names);
        Ok(names.into_iter().map(entry).collect())
    }

    fn stat(&self) -> Answer<Attrs> {
        Err(Refusal::new(StatusCode::FAILURE))
    }
}

/// Gets from this server into `inbox`, beside which there is nothing else.
async fn get(liar: &Arc<Liar>, keys: &str) -> (tempfile::TempDir, Vec<Outcome>) {
    let served = Served::start(Arc::clone(liar) as Arc<dyn FileSystem>).await;
    let folder = tempfile::tempdir().unwrap();
    let inbox = folder.path().join("a/b/inbox");
    fs::create_dir_all(&inbox).unwrap();
    let operation: Operation =
        toml::from_str(&format!("remote-directory = '/out'\nhidden = true\n{keys}")).unwrap();
    let connector = connector(served.port).with_destination(Destination::Directory(inbox));
    let outcomes = connector.run(operation, stream::iter([Document::empty()]));
    let outcomes = outcomes.collect().await;
    (folder, outcomes)
}

/// Every file and directory below, as its path.
fn below(root: &Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            }
            let path = entry.path();
            let path = path.strip_prefix(root).unwrap();
            found.push(path.as_os_str().as_bytes().to_vec());
        }
    }
    found.sort();
    found
}

/// What is no name of an entry.
const NO_NAMES: [&[u8]; 11] = [
    b"../x",
    b"../../../x",
    b"/etc/x",
    b"a/b",
    b"a/../../x",
    b"x/",
    b"./x",
    b"/",
    b"",
    b"x\0",
    b"\0",
];

/// What is a name here, and would be something else elsewhere.
const NAMES: [&[u8]; 8] = [
    b"..\\x",
    b"C:\\x",
    b"x:y",
    b"CON",
    b"...",
    b"-rf",
    b"\x1b[2J",
    b"\xff\xfe",
];

/// CVE-2019-6111, CVE-2018-20685, CVE-2016-5725, OpenSSH 36480181: as files and, where they are descended into, as directories.
#[tokio::test(flavor = "multi_thread")]
async fn no_name_of_a_server_leads_out_of_the_directory() {
    let names = [&NO_NAMES[..], &NAMES, &[b".", b".."]].concat();
    for action in ["get", "get-and-delete"] {
        let liar = Liar::lists(&names, FILE);
        let keys = format!("action = '{action}'");
        let (folder, outcomes) = get(&liar, &keys).await;
        let mut expected: Vec<Vec<u8>> =
            [&b"a"[..], b"a/b", b"a/b/inbox"].map(<[u8]>::to_vec).into();
        expected.extend(NAMES.map(|name| [b"a/b/inbox/", name].concat()));
        expected.sort();
        assert_eq!(below(folder.path()), expected, "{outcomes:?}");
        let good = outcomes.iter().filter(|it| it.status == Status::Ok).count();
        assert_eq!(good, NAMES.len(), "{outcomes:#?}");
        let asked = |name: &[u8]| [b"/out/", name].concat();
        let mut own: Vec<_> = NAMES.map(asked).into();
        own.sort();
        for (said, all) in [
            (&liar.opened, true),
            (&liar.removed, action == "get-and-delete"),
        ] {
            let mut said = said.lock().unwrap().clone();
            said.sort();
            said.dedup();
            assert_eq!(said, if all { own.clone() } else { Vec::new() });
        }
    }
    // And nothing is made of them where directories are followed.
    let liar = Liar::lists(&names, DIRECTORY);
    let (folder, _) = get(&liar, "action = 'get'\nrecursive = true").await;
    let found = below(folder.path());
    assert!(
        found
            .iter()
            .all(|it| { it.starts_with(b"a/b/inbox/") || b"a/b/inbox".starts_with(it) }),
        "{found:?}"
    );
}

/// CVE-2019-6111: whoever asks for one name is not given another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_lists_other_names_than_asked_for_delivers_nothing_under_them() {
    let liar = Liar::lists(
        &[b"wanted", b".bashrc", b"authorized_keys", b"wanted2"],
        FILE,
    );
    let (folder, _) = get(&liar, "action = 'get'\nfile-filter = 'wanted'").await;
    let inbox = below(&folder.path().join("a/b/inbox"));
    assert_eq!(inbox, [b"wanted".to_vec()]);
    assert_eq!(*liar.opened.lock().unwrap(), [b"/out/wanted".to_vec()]);
}

/// Lets in whoever comes, or asks for the password and takes any.
#[derive(Clone, Copy)]
enum Doorman {
    AsksNothing,
    AsksForThePassword,
}

/// Nobody in particular.
struct Anybody;

impl Proved for Anybody {
    fn proofs(&self) -> &[Proof] {
        &[]
    }
}

impl Authenticate for Doorman {
    type Identity = Anybody;

    async fn judge(&mut self, attempt: &Attempt) -> Judgement<Anybody> {
        match (*self, &attempt.method) {
            (Self::AsksNothing, _) | (_, Offered::Password(_)) => Judgement::Accept(Anybody),
            _ => Judgement::Reject {
                methods: vec!["password".to_owned()],
            },
        }
    }
}

/// CVE-2021-36367: whoever is told nothing may take what comes next for the server's own question.
#[tokio::test]
async fn a_server_that_asks_for_no_proof_is_remarked_upon() {
    for (doorman, expected) in [
        (Doorman::AsksNothing, true),
        (Doorman::AsksForThePassword, false),
    ] {
        let provider = default_provider();
        let keys = HostKeys::transient(&provider).unwrap();
        let service = Service::new(
            Selection::default().configure(provider, &keys).unwrap(),
            &Limits::default(),
            move |_| doorman,
            |_: &Anybody| Arc::new(MemFs::default()),
            |_| {},
        );
        let mut bound = service.bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let port = bound.address().port();
        tokio::spawn(async move { bound.run().await });
        let connect = SftpConnect::prepare(&connection(port), None).unwrap();
        let remote = connect.connect().await.unwrap();
        let remarks = remote.details().remarks;
        let remarked = remarks.iter().any(|it| it.contains("asked for no proof"));
        assert_eq!(remarked, expected, "{remarks:?}");
        remote.close().await;
    }
}
