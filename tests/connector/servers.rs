//! Embedded servers that differ in what their renames do, and operations on them over SSH.
//!
//! Not the assertions: those are in the tests.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use sansftp_connector::document::Document;
use sansftp_connector::operation::Operation;
use sansftp_connector::outcome::{Outcome, Status};
use sansftp_connector::sftp::SftpConnect;
use sansftp_connector::{Connector, Destination};
use sansftp_proto::sftp::extensions::StatVfs;
use sansftp_proto::sftp::{Attrs, Extension, Extensions, Status as Refusal, StatusCode};
use sansftp_server::sftp::{
    Directory, File, FileSystem, Hasher, MemFs, OpenFlags, Outcome as Answer,
};
use sha2::{Digest, Sha256, Sha512};

use crate::served::{Served, connection};

/// What a server's renames do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renames {
    /// Plain ones refuse a name that is taken, and posix-rename replaces it.
    Stock,
    /// The same without posix-rename.
    NoPosixRename,
    /// Plain ones replace; no posix-rename, no hard links.
    Replace,
    /// None of them goes from one directory to another.
    RefuseAcross,
}

/// What a server answers that is asked to hash a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hashes {
    /// It was not announced.
    Unknown,
    /// SHA-256 and SHA-512, right.
    Right,
    /// The same of a file that is a byte longer.
    Wrong,
    /// It was announced, and nothing is known that is asked for.
    Other,
}

pub(crate) const ALL: [Renames; 4] = [
    Renames::Stock,
    Renames::NoPosixRename,
    Renames::Replace,
    Renames::RefuseAcross,
];

/// A server with one user, whose home is `/`.
pub(crate) struct Server {
    pub(crate) files: MemFs,
    served: Served,
}

/// A connector to the server at this port, or to what stands before it.
pub(crate) fn connector(port: u16) -> Connector<SftpConnect> {
    let connection = connection(port);
    Connector::new(SftpConnect::prepare(&connection, None).unwrap(), connection)
}

impl Server {
    pub(crate) async fn start(renames: Renames) -> Self {
        Self::hashing(renames, Hashes::Unknown).await
    }

    pub(crate) async fn hashing(renames: Renames, hashes: Hashes) -> Self {
        let files = MemFs::default();
        for directory in ["in", "pub", "tmp"] {
            let made = files.make_dir(directory.as_bytes(), &Attrs::default());
            made.unwrap();
        }
        let served = Served::start(Arc::new(Peculiar {
            files: files.clone(),
            renames,
            hashes,
        }));
        Self {
            files,
            served: served.await,
        }
    }

    pub(crate) fn connector(&self) -> Connector<SftpConnect> {
        connector(self.served.port)
    }

    pub(crate) async fn run(&self, operation: Operation, documents: Vec<Document>) -> Vec<Outcome> {
        let into = tempfile::tempdir().unwrap();
        let connector = self
            .connector()
            .with_destination(Destination::Directory(into.path().to_owned()));
        let outcomes = connector.run(operation, stream::iter(documents));
        outcomes.collect().await
    }

    pub(crate) fn put(&self, path: &str, content: &str) {
        self.files.put(path.as_bytes(), content.as_bytes()).unwrap();
    }

    pub(crate) fn content(&self, path: &str) -> Option<String> {
        let content = self.files.get(path.as_bytes()).ok()?;
        Some(String::from_utf8(content).unwrap())
    }

    /// Every file of these directories with its content, ours included.
    pub(crate) fn all(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for directory in ["in", "pub", "tmp"] {
            let mut open = self.files.open_dir(directory.as_bytes()).unwrap();
            loop {
                let batch = open.read(1 << 20).unwrap();
                if batch.is_empty() {
                    break;
                }
                for entry in batch {
                    let name = String::from_utf8(entry.filename.to_vec()).unwrap();
                    if name != "." && name != ".." {
                        let path = format!("{directory}/{name}");
                        let content = self.content(&path).unwrap();
                        found.push((path, content));
                    }
                }
            }
        }
        found.sort();
        found
    }

    #[track_caller]
    pub(crate) fn expect(&self, wanted: &[(&str, &str)]) {
        let mut wanted: Vec<_> = wanted
            .iter()
            .map(|(path, content)| ((*path).to_owned(), (*content).to_owned()))
            .collect();
        wanted.sort();
        assert_eq!(self.all(), wanted);
    }
}

/// The one outcome, which must be good.
#[track_caller]
pub(crate) fn good(mut outcomes: Vec<Outcome>) -> Outcome {
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    let outcome = outcomes.remove(0);
    assert_eq!(outcome.status, Status::Ok, "{:?}", outcome.error);
    assert!(outcome.warnings.is_empty(), "{:?}", outcome.warnings);
    outcome
}

/// The one failure.
#[track_caller]
pub(crate) fn bad(mut outcomes: Vec<Outcome>) -> sansftp_connector::Error {
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    let outcome = outcomes.remove(0);
    assert_eq!(outcome.status, Status::Failed, "{outcome:?}");
    outcome.error.expect("a failed outcome has an error")
}

/// Files in memory behind renames of one kind.
#[derive(Debug)]
struct Peculiar {
    files: MemFs,
    renames: Renames,
    hashes: Hashes,
}

struct Sha<D> {
    digest: D,
    hashes: Hashes,
}

impl<D: Digest> Hasher for Sha<D> {
    fn update(&mut self, data: &[u8]) {
        self.digest.update(data);
    }

    fn finish(&mut self) -> Bytes {
        if self.hashes == Hashes::Wrong {
            self.digest.update(b"x");
        }
        let digest = std::mem::replace(&mut self.digest, D::new());
        Bytes::copy_from_slice(&digest.finalize())
    }
}

impl Peculiar {
    fn crosses(&self, from: &[u8], to: &[u8]) -> bool {
        let parent = |path: &[u8]| {
            let end = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
            path[..end].to_vec()
        };
        self.renames == Renames::RefuseAcross && parent(from) != parent(to)
    }

    fn within(&self, from: &[u8], to: &[u8]) -> Answer<()> {
        match self.crosses(from, to) {
            true => Err(Refusal::new(StatusCode::FAILURE)),
            false => Ok(()),
        }
    }
}

impl FileSystem for Peculiar {
    fn extensions(&self) -> Extensions {
        let mut all = self.files.extensions();
        if self.hashes != Hashes::Unknown {
            all = all
                .with(Extension::CheckFileHandle)
                .with(Extension::CheckFileName);
        }
        match self.renames {
            Renames::Stock | Renames::RefuseAcross => all,
            Renames::NoPosixRename => all.without(Extension::PosixRename),
            Renames::Replace => all
                .without(Extension::PosixRename)
                .without(Extension::Hardlink),
        }
    }

    fn open(&self, path: &[u8], flags: OpenFlags, attrs: &Attrs) -> Answer<Arc<dyn File>> {
        self.files.open(path, flags, attrs)
    }

    fn open_dir(&self, path: &[u8]) -> Answer<Box<dyn Directory>> {
        self.files.open_dir(path)
    }

    fn stat(&self, path: &[u8]) -> Answer<Attrs> {
        self.files.stat(path)
    }

    fn lstat(&self, path: &[u8]) -> Answer<Attrs> {
        self.files.lstat(path)
    }

    fn real_path(&self, path: &[u8]) -> Answer<Bytes> {
        self.files.real_path(path)
    }

    fn set_stat(&self, path: &[u8], attrs: &Attrs) -> Answer<()> {
        self.files.set_stat(path, attrs)
    }

    fn remove(&self, path: &[u8]) -> Answer<()> {
        self.files.remove(path)
    }

    fn make_dir(&self, path: &[u8], attrs: &Attrs) -> Answer<()> {
        self.files.make_dir(path, attrs)
    }

    fn rename(&self, from: &[u8], to: &[u8]) -> Answer<()> {
        self.within(from, to)?;
        match self.renames {
            Renames::Replace => self.files.posix_rename(from, to),
            _ => self.files.rename(from, to),
        }
    }

    fn posix_rename(&self, from: &[u8], to: &[u8]) -> Answer<()> {
        self.within(from, to)?;
        self.files.posix_rename(from, to)
    }

    fn hard_link(&self, existing: &[u8], link: &[u8]) -> Answer<()> {
        self.within(existing, link)?;
        self.files.hard_link(existing, link)
    }

    fn stat_vfs(&self, path: &[u8]) -> Answer<StatVfs> {
        self.files.stat_vfs(path)
    }

    fn hasher(&self, algorithm: &[u8]) -> Option<Box<dyn Hasher>> {
        let hashes = self.hashes;
        match algorithm {
            _ if hashes == Hashes::Other => None,
            b"sha256" => {
                let digest = Sha256::new();
                Some(Box::new(Sha { digest, hashes }))
            }
            b"sha512" => {
                let digest = Sha512::new();
                Some(Box::new(Sha { digest, hashes }))
            }
            _ => None,
        }
    }
}
