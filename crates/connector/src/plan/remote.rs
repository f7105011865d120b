//! A session that looks at the server and changes nothing.
//!
//! What would change is answered as OpenSSH answers it, or as this server is known to: nothing can
//! be tried out. A server that would refuse for a reason that cannot be seen is not foreseen.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use ring::digest::{Context, SHA256};

use super::overlay::{Known, Overlay};
use crate::path::RemotePath;
use crate::remote::{
    Attrs, Capabilities, Entry, FileKind, Listing, Reader, Remote, RemoteError, RemoteErrorKind,
    Room, SetAttrs, WriteMode, Writer,
};
use crate::run::compare::sha256;

/// A session that changes nothing.
#[derive(Debug)]
pub struct PlannedRemote<R> {
    remote: R,
    overlay: Arc<Overlay>,
}

impl<R: Remote> PlannedRemote<R> {
    pub(super) fn new(remote: R, overlay: Arc<Overlay>) -> Self {
        Self { remote, overlay }
    }

    /// What the name is, and where the server has it now.
    async fn found(&self, path: &RemotePath) -> Result<(Attrs, Option<RemotePath>), RemoteError> {
        match self.overlay.get(path) {
            Some(Known::Gone) => Err(refused(RemoteErrorKind::NoSuchFile)),
            Some(Known::There { attrs, origin }) => Ok((attrs, origin)),
            None => {
                let attrs = self.remote.lstat(path).await?;
                Ok((attrs, Some(path.clone())))
            }
        }
    }

    /// The same behind symbolic links.
    async fn behind_links(&self, path: &RemotePath) -> Result<Attrs, RemoteError> {
        match self.overlay.get(path) {
            None => self.remote.stat(path).await,
            Some(_) => match self.found(path).await? {
                (attrs, Some(origin)) if attrs.kind == FileKind::Symlink => {
                    self.remote.stat(&origin).await
                }
                (attrs, _) => Ok(attrs),
            },
        }
    }

    /// Whether the name is there.
    async fn is_there(&self, path: &RemotePath) -> Result<bool, RemoteError> {
        match self.found(path).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind == RemoteErrorKind::NoSuchFile => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A name can be made only in a directory that is there, and where nothing has it.
    async fn expect_free(&self, path: &RemotePath) -> Result<(), RemoteError> {
        if let Some(parent) = path.parent() {
            self.behind_links(&parent).await?;
        }
        match self.is_there(path).await? {
            true => Err(refused(RemoteErrorKind::Failure)),
            false => Ok(()),
        }
    }

    async fn take_away(&self, path: &RemotePath, wanted: Taken) -> Result<(), RemoteError> {
        let (attrs, _) = self.found(path).await?;
        let is_directory = attrs.kind == FileKind::Directory;
        if is_directory != (wanted == Taken::Directory) {
            return Err(refused(RemoteErrorKind::Failure));
        }
        self.overlay.put(path, Known::Gone);
        Ok(())
    }

    async fn put_at(&self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteError> {
        let (attrs, origin) = self.found(from).await?;
        if let Some(parent) = to.parent() {
            self.behind_links(&parent).await?;
        }
        self.overlay.put(to, Known::There { attrs, origin });
        Ok(())
    }
}

/// What is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taken {
    File,
    Directory,
}

impl<R: Remote> Remote for PlannedRemote<R> {
    type Reader = PlannedReader;
    type Writer = PlannedWriter;
    type Listing = PlannedListing<R::Listing>;

    fn capabilities(&self) -> &Capabilities {
        self.remote.capabilities()
    }

    async fn open_read(&self, path: &RemotePath) -> Result<PlannedReader, RemoteError> {
        let attrs = self.behind_links(path).await?;
        if attrs.kind == FileKind::Directory {
            return Err(refused(RemoteErrorKind::Failure));
        }
        Ok(PlannedReader { attrs, at: 0 })
    }

    async fn open_write(
        &self,
        path: &RemotePath,
        mode: WriteMode,
    ) -> Result<PlannedWriter, RemoteError> {
        match mode {
            WriteMode::CreateExclusive => self.expect_free(path).await?,
            WriteMode::CreateOrTruncate => {
                if self.is_there(path).await? {
                    self.take_away(path, Taken::File).await?;
                } else {
                    self.expect_free(path).await?;
                }
            }
            WriteMode::Existing => {
                let attrs = self.behind_links(path).await?;
                if attrs.kind == FileKind::Directory {
                    return Err(refused(RemoteErrorKind::Failure));
                }
                let origin = None;
                self.overlay.put(path, Known::There { attrs, origin });
            }
        }
        if mode != WriteMode::Existing {
            self.overlay.put(path, Known::new(FileKind::File, 0, now()));
        }
        Ok(PlannedWriter {
            overlay: Arc::clone(&self.overlay),
            path: path.clone(),
            end: 0,
        })
    }

    async fn list(&self, directory: &RemotePath) -> Result<Self::Listing, RemoteError> {
        let changed = self.overlay.within(directory);
        let is_ours = match self.overlay.get(directory) {
            Some(Known::Gone) => return Err(refused(RemoteErrorKind::NoSuchFile)),
            Some(Known::There { origin, .. }) => origin.is_none(),
            None => false,
        };
        let listing = match is_ours {
            true => None,
            false => Some(self.remote.list(directory).await?),
        };
        Ok(PlannedListing { listing, changed })
    }

    async fn lstat(&self, path: &RemotePath) -> Result<Attrs, RemoteError> {
        self.found(path).await.map(|(attrs, _)| attrs)
    }

    async fn stat(&self, path: &RemotePath) -> Result<Attrs, RemoteError> {
        self.behind_links(path).await
    }

    async fn realpath(&self, path: &RemotePath) -> Result<RemotePath, RemoteError> {
        match self.overlay.get(path) {
            Some(Known::There { origin: None, .. }) => Ok(path.clone()),
            _ => self.remote.realpath(path).await,
        }
    }

    async fn rename(&self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteError> {
        let replaces = self.remote.capabilities().plain_rename_replaces == Some(true);
        if !replaces && self.is_there(to).await? {
            return Err(refused(RemoteErrorKind::Failure));
        }
        self.posix_rename(from, to).await
    }

    async fn posix_rename(&self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteError> {
        self.put_at(from, to).await?;
        self.overlay.put(from, Known::Gone);
        Ok(())
    }

    async fn hardlink(&self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteError> {
        self.expect_free(to).await?;
        self.put_at(from, to).await
    }

    async fn remove(&self, path: &RemotePath) -> Result<(), RemoteError> {
        self.take_away(path, Taken::File).await
    }

    async fn remove_directory(&self, path: &RemotePath) -> Result<(), RemoteError> {
        self.take_away(path, Taken::Directory).await
    }

    async fn mkdir(&self, path: &RemotePath) -> Result<(), RemoteError> {
        self.expect_free(path).await?;
        let made = Known::new(FileKind::Directory, 0, now());
        self.overlay.put(path, made);
        Ok(())
    }

    async fn set_attrs(&self, path: &RemotePath, set: SetAttrs) -> Result<(), RemoteError> {
        let (mut attrs, origin) = self.found(path).await?;
        attrs.permissions = set.permissions.or(attrs.permissions);
        attrs.modified = set.modified.or(attrs.modified);
        self.overlay.put(path, Known::There { attrs, origin });
        Ok(())
    }

    async fn statvfs(&self, path: &RemotePath) -> Result<Room, RemoteError> {
        self.remote.statvfs(path).await
    }

    async fn copy_data(&self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteError> {
        self.expect_free(to).await?;
        let attrs = self.behind_links(from).await?;
        let size = attrs.size.unwrap_or(0);
        self.overlay
            .put(to, Known::new(FileKind::File, size, now()));
        Ok(())
    }

    async fn check_file(
        &self,
        path: &RemotePath,
        offset: u64,
    ) -> Result<Option<[u8; 32]>, RemoteError> {
        // As the file is not there, its zeros are what is compared.
        let mut reader = self.open_read(path).await?;
        reader.start(offset, None);
        let mut digest = Context::new(&SHA256);
        while let Some(chunk) = reader.chunk().await? {
            digest.update(&chunk);
        }
        Ok(Some(sha256(digest)))
    }

    async fn close(self) {
        self.remote.close().await;
    }
}

/// A file that is not read: zeros of its size.
#[derive(Debug)]
pub struct PlannedReader {
    attrs: Attrs,
    at: u64,
}

/// What a file that is not read consists of.
pub(crate) static ZEROS: [u8; 256 << 10] = [0; 256 << 10];

/// The next zeros of a file of `size` bytes, from `at`; none at its end.
pub(crate) fn zeros(at: u64, size: u64) -> Option<Bytes> {
    let rest = size.saturating_sub(at).min(ZEROS.len() as u64);
    let count = usize::try_from(rest).unwrap_or(ZEROS.len());
    (count > 0).then(|| Bytes::from_static(ZEROS.get(..count).unwrap_or(&ZEROS)))
}

impl Reader for PlannedReader {
    async fn stat(&mut self) -> Result<Attrs, RemoteError> {
        Ok(self.attrs)
    }

    fn start(&mut self, offset: u64, _: Option<u64>) {
        self.at = offset;
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, RemoteError> {
        let chunk = zeros(self.at, self.attrs.size.unwrap_or(0));
        self.at += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        // Others get their turn: nothing else here waits for anything.
        tokio::task::yield_now().await;
        Ok(chunk)
    }

    async fn close(self) -> Result<(), RemoteError> {
        Ok(())
    }
}

/// A file that is not written: only its size is kept.
#[derive(Debug)]
pub struct PlannedWriter {
    overlay: Arc<Overlay>,
    path: RemotePath,
    end: u64,
}

impl Writer for PlannedWriter {
    async fn stat(&mut self) -> Result<Attrs, RemoteError> {
        match self.overlay.get(&self.path) {
            Some(Known::There { attrs, .. }) => Ok(attrs),
            _ => Err(refused(RemoteErrorKind::Failure)),
        }
    }

    async fn write(&mut self, offset: u64, data: Bytes) -> Result<(), RemoteError> {
        self.end = offset.saturating_add(data.len() as u64);
        self.overlay.grow(&self.path, self.end, now());
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), RemoteError> {
        Ok(())
    }

    fn acknowledged(&self) -> u64 {
        self.end
    }

    async fn fsync(&mut self) -> Result<(), RemoteError> {
        Ok(())
    }

    async fn close(self) -> Result<(), RemoteError> {
        Ok(())
    }
}

/// A directory as it would be.
#[derive(Debug)]
pub struct PlannedListing<L> {
    listing: Option<L>,
    /// What is other than the server has it, until it was told.
    changed: BTreeMap<Bytes, Known>,
}

impl<L: Listing> Listing for PlannedListing<L> {
    async fn batch(&mut self) -> Result<Option<Vec<Entry>>, RemoteError> {
        while let Some(listing) = &mut self.listing {
            let Some(mut entries) = listing.batch().await? else {
                self.listing = None;
                break;
            };
            entries.retain_mut(|entry| match self.changed.remove(&entry.name) {
                None => true,
                Some(known) => match known.entry(entry.name.clone()) {
                    Some(other) => {
                        *entry = other;
                        true
                    }
                    None => false,
                },
            });
            if !entries.is_empty() {
                return Ok(Some(entries));
            }
        }
        let changed = std::mem::take(&mut self.changed).into_iter();
        let rest: Vec<Entry> = changed
            .filter_map(|(name, known)| known.entry(name))
            .collect();
        Ok((!rest.is_empty()).then_some(rest))
    }
}

/// A refusal in the words that most servers have for it.
fn refused(kind: RemoteErrorKind) -> RemoteError {
    let words = match kind {
        RemoteErrorKind::NoSuchFile => "No such file",
        _ => "Failure",
    };
    RemoteError::new(kind, words)
}

/// Seconds since 1970 by this machine's clock.
fn now() -> i64 {
    Timestamp::now().as_second()
}
