//! The bodies of documents that are sent, read in large blocks off the runtime's threads.
//!
//! Not the writing. A body that lies on disk or in memory can be read again; one that is still on
//! its way cannot.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use ring::digest::{Context, SHA256};
use tokio::sync::mpsc;

use super::compare::sha256;
use super::get::hex;
use super::step::Rehearsal;
use crate::document::{Body, BodyStream, Temporary};
use crate::error::{Class, Error, Result};
use crate::path::printable;
use crate::plan::zeros;

/// Read at once: large enough that system calls do not count, small enough to be reused by the
/// allocator.
const BLOCK: usize = 256 << 10;
/// So many blocks wait for the network at most.
const QUEUE: usize = 4;

/// The body of a document that is sent.
pub(super) struct Source {
    body: Kind,
    size: Option<u64>,
    content: Content,
    /// Held as long as it may be read.
    temporary: Option<Temporary>,
}

/// What is read of a body that can be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Real,
    /// Zeros, as many as it has bytes.
    Zeros,
}

enum Kind {
    File {
        path: PathBuf,
        version: Version,
    },
    Bytes(Bytes),
    /// In a lock only so that it can be shared while something else is waited for.
    Stream(Mutex<Option<BodyStream>>),
}

/// What shows that a local file was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    size: u64,
    modified: Option<SystemTime>,
}

/// A body being read.
pub(super) enum Reading {
    File {
        blocks: mpsc::Receiver<io::Result<Bytes>>,
        path: PathBuf,
    },
    Bytes(Bytes),
    /// In a lock for the same reason.
    Stream(Mutex<BodyStream>),
}

impl Source {
    pub(super) async fn of(body: Body) -> Result<Self> {
        let mut temporary = None;
        let (body, size) = match body {
            Body::Absent => {
                return Err(Error::configuration("the document has no body to send")
                    .with_hint("name a file, or give bytes, even if there are none"));
            }
            Body::File(path) => {
                let version = version_of(path.clone()).await?;
                (Kind::File { path, version }, Some(version.size))
            }
            Body::Bytes(bytes) => {
                let size = bytes.len() as u64;
                (Kind::Bytes(bytes), Some(size))
            }
            Body::Temporary(file) => {
                let path = file.path().to_owned();
                temporary = Some(file);
                let version = version_of(path.clone()).await?;
                (Kind::File { path, version }, Some(version.size))
            }
            Body::Stream(stream) => (Kind::Stream(Mutex::new(Some(stream))), None),
        };
        let content = Content::Real;
        Ok(Self {
            body,
            size,
            content,
            temporary,
        })
    }

    /// The same, of which nothing but its size counts.
    pub(super) fn rehearsed(self, rehearsal: Rehearsal) -> Self {
        match rehearsal {
            Rehearsal::No => self,
            Rehearsal::Yes => Self {
                content: Content::Zeros,
                ..self
            },
        }
    }

    /// The base name of the local file, where the body is one.
    pub(super) fn name(&self) -> Option<Bytes> {
        let (Kind::File { path, .. }, None) = (&self.body, &self.temporary) else {
            return None;
        };
        let name = path.file_name()?.as_bytes();
        Some(Bytes::copy_from_slice(name))
    }

    /// Where the body comes from, as far as that has a name.
    pub(super) fn origin(&self) -> Option<Bytes> {
        match &self.body {
            Kind::File { path, .. } if self.temporary.is_none() => {
                Some(Bytes::copy_from_slice(path.as_os_str().as_bytes()))
            }
            _ => None,
        }
    }

    /// Its size in bytes, where that is known.
    pub(super) fn size(&self) -> Option<u64> {
        self.size
    }

    /// When the local file was last modified, in seconds since 1970.
    pub(super) fn modified(&self) -> Option<i64> {
        let (Kind::File { version, .. }, None) = (&self.body, &self.temporary) else {
            return None;
        };
        let modified = jiff::Timestamp::try_from(version.modified?).ok()?;
        Some(modified.as_second())
    }

    /// What it is known by in a journal: of a file its path and version, with the SHA-256 of its
    /// content; of bytes the name they are sent under, and their SHA-256.
    pub(super) async fn identity(&self, name: &Bytes) -> Result<String> {
        let mut reading = match &self.body {
            Kind::File { path, .. } => Reading::File {
                blocks: read_file(path.clone()),
                path: path.clone(),
            },
            Kind::Bytes(bytes) => Reading::Bytes(bytes.clone()),
            Kind::Stream(_) => {
                return Err(Error::configuration(
                    "a stream has no identity that a journal could know it by",
                )
                .with_hint("give the document a property document-id, or leave journal out"));
            }
        };
        let mut digest = Context::new(&SHA256);
        while let Some(block) = reading.next().await? {
            digest.update(&block);
        }
        let sha256 = hex(&sha256(digest));
        let Kind::File { path, version } = &self.body else {
            return Ok(format!("bytes {} sha256={sha256}", printable(name)));
        };
        let path = std::path::absolute(path).map_err(|error| failed(path, error))?;
        let modified = version
            .modified
            .and_then(|time| jiff::Timestamp::try_from(time).ok());
        Ok(format!(
            "file {} size={} modified={} sha256={sha256}",
            printable(path.as_os_str().as_bytes()),
            version.size,
            modified.map_or_else(|| "unknown".to_owned(), |time| time.to_string()),
        ))
    }

    /// Whether it can be read from its beginning now.
    pub(super) fn is_readable(&self) -> bool {
        match &self.body {
            Kind::Stream(stream) => stream.lock().is_ok_and(|stream| stream.is_some()),
            Kind::File { .. } | Kind::Bytes(_) => true,
        }
    }

    /// Begins to read it from its first byte.
    pub(super) fn read(&mut self) -> Result<Reading> {
        if let (Content::Zeros, Some(size)) = (self.content, self.size) {
            let zeros = stream::unfold(0, move |at| async move {
                let chunk = zeros(at, size)?;
                let next = at + chunk.len() as u64;
                Some((Ok(chunk), next))
            });
            return Ok(Reading::Stream(Mutex::new(Box::pin(zeros))));
        }
        match &mut self.body {
            Kind::File { path, .. } => Ok(Reading::File {
                blocks: read_file(path.clone()),
                path: path.clone(),
            }),
            Kind::Bytes(bytes) => Ok(Reading::Bytes(bytes.clone())),
            Kind::Stream(stream) => {
                let stream = stream.get_mut().ok().and_then(Option::take);
                stream.map(Mutex::new).map(Reading::Stream).ok_or_else(|| {
                    Error::new(
                        Class::Failure,
                        "the document's body was a stream, which cannot be read twice",
                    )
                })
            }
        }
    }

    /// Whether what was read is what was there at the beginning.
    pub(super) async fn expect_unchanged(&self, read: u64) -> Result<()> {
        let Kind::File { path, version } = &self.body else {
            return Ok(());
        };
        if read == version.size && version_of(path.clone()).await? == *version {
            return Ok(());
        }
        Err(Error::new(
            Class::Integrity,
            format!(
                "{} changed while it was sent",
                printable(path.as_os_str().as_bytes())
            ),
        )
        .with_hint("send it again once its writer has finished"))
    }
}

impl Reading {
    /// The next bytes; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        match self {
            Self::File { blocks, path } => blocks
                .recv()
                .await
                .transpose()
                .map_err(|error| failed(path, error)),
            Self::Bytes(bytes) => {
                let block = bytes.split_to(bytes.len().min(BLOCK));
                Ok((!block.is_empty()).then_some(block))
            }
            Self::Stream(stream) => loop {
                match stream
                    .get_mut()
                    .unwrap_or_else(PoisonError::into_inner)
                    .next()
                    .await
                    .transpose()?
                {
                    Some(chunk) if chunk.is_empty() => {}
                    chunk => return Ok(chunk),
                }
            },
        }
    }
}

fn read_file(path: PathBuf) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::task::spawn_blocking(move || {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) => return drop(sender.blocking_send(Err(error))),
        };
        loop {
            let mut block = Vec::with_capacity(BLOCK);
            let read = file.by_ref().take(BLOCK as u64).read_to_end(&mut block);
            let next = match read {
                Ok(0) => return,
                Ok(_) => Ok(Bytes::from(block)),
                Err(error) => Err(error),
            };
            let failed = next.is_err();
            // A receiver that is gone wants no more.
            if sender.blocking_send(next).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

async fn version_of(path: PathBuf) -> Result<Version> {
    let looked = path.clone();
    let metadata = match tokio::task::spawn_blocking(move || std::fs::metadata(looked)).await {
        Ok(metadata) => metadata.map_err(|error| failed(&path, error))?,
        Err(error) => return Err(failed(&path, io::Error::other(error))),
    };
    if metadata.is_dir() {
        return Err(
            failed(&path, io::ErrorKind::IsADirectory.into()).with_hint("name the files in it")
        );
    }
    Ok(Version {
        size: metadata.len(),
        modified: metadata.modified().ok(),
    })
}

fn failed(path: &std::path::Path, error: io::Error) -> Error {
    Error::local_io(
        format_args!("reading {}", printable(path.as_os_str().as_bytes())),
        error,
    )
}
