//! One session over SFTP, as the connector sees it.

use std::num::NonZeroUsize;
use std::time::Duration;

use bytes::Bytes;
use sansftp_tokio::Client;
use sansftp_tokio::sftp::{
    self, Extension, OpenFlags, ReadDir, ReadFile, Sftp, Spread, Times, WriteFile,
};

use super::connect::{CLOSE, Details, Jumped};
use super::convert;
use super::sessions::{Inside, Place, Sessions, Share};
use crate::connection::UploadChannels;
use crate::remote::{
    Attrs, Capabilities, Entry, Listing, Reader, Remote, RemoteError, RemotePath, Room, SetAttrs,
    WriteMode, Writer,
};

/// SHA-256, as requests to hash a file name it.
const SHA256: &[u8] = b"sha256";

/// A session over SFTP.
#[derive(Debug)]
pub struct SftpRemote {
    client: Client,
    sftp: Sftp,
    capabilities: Capabilities,
    details: Details,
    home: RemotePath,
    /// Bytes in flight for all files.
    memory: usize,
    channels: UploadChannels,
    held: Held,
}

/// The round trip from which the window of a channel, 2 MiB at OpenSSH, is taken to be what holds an
/// upload up: with a shorter one it lets 400 MB pass in a second.
const FAR: Duration = Duration::from_millis(5);

/// What a session holds of what its program's sessions share.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) sessions: Sessions,
    /// What the session runs through, in the order in which it was opened.
    pub(super) jumped: Vec<Jumped>,
    pub(super) _inside: Inside,
    pub(super) _place: Place,
}

impl SftpRemote {
    pub(super) fn new(
        client: Client,
        sftp: Sftp,
        details: Details,
        home: Bytes,
        memory: usize,
        channels: UploadChannels,
        held: Held,
    ) -> Self {
        let has = |extension| sftp.extensions().contains(extension);
        let capabilities = Capabilities {
            posix_rename: has(Extension::PosixRename),
            hardlink: has(Extension::Hardlink),
            fsync: has(Extension::Fsync),
            statvfs: has(Extension::Statvfs),
            copy_data: has(Extension::CopyData),
            // ProFTPD answers it in every version, and announces it to version 6 only.
            check_file: has(Extension::CheckFileName)
                || has(Extension::CheckFileHandle)
                || details.server.starts_with("mod_sftp"),
            // OpenSSH's RENAME links and unlinks, so it never replaces; others are to be tried.
            plain_rename_replaces: details.server.starts_with("OpenSSH").then_some(false),
            open_files: details.limits.as_ref().map(|it| match it.max_open_handles {
                0 => u64::MAX,
                most => most,
            }),
            server: details.server.clone(),
        };
        Self {
            client,
            sftp,
            capabilities,
            details,
            home: RemotePath::new(home),
            memory,
            channels,
            held,
        }
    }

    /// How uploads to temporary names may be spread, if at all.
    fn spread(&self) -> Option<Spread> {
        let (channels, farther_than) = match self.channels {
            UploadChannels::Auto if self.details.server.starts_with("OpenSSH") => {
                (UploadChannels::MOST, FAR)
            }
            UploadChannels::Auto => return None,
            UploadChannels::UpTo(channels) => (channels, Duration::ZERO),
        };
        (channels > NonZeroUsize::MIN).then_some(Spread {
            channels,
            farther_than,
            size_hint: None,
        })
    }

    /// What the session turned out to be.
    pub fn details(&self) -> Details {
        self.details.clone()
    }
}

impl Remote for SftpRemote {
    type Reader = SftpReader;
    type Writer = SftpWriter;
    type Listing = SftpListing;

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn open_read(&self, path: &RemotePath) -> Result<SftpReader, RemoteError> {
        let file = self
            .sftp
            .open_read(path.as_bytes())
            .await
            .map_err(convert::error)?;
        Ok(SftpReader {
            file,
            share: self.held.sessions.share(self.memory),
        })
    }

    async fn open_write(
        &self,
        path: &RemotePath,
        mode: WriteMode,
    ) -> Result<SftpWriter, RemoteError> {
        let flags = match mode {
            WriteMode::CreateExclusive => OpenFlags::CREATE_NEW,
            WriteMode::CreateOrTruncate => OpenFlags::TRUNCATE,
            WriteMode::Existing => OpenFlags::WRITE,
        };
        let file = self
            .sftp
            .open_write(path.as_bytes(), flags)
            .await
            .map_err(convert::error)?;
        Ok(SftpWriter {
            file,
            path: path.clone(),
            spread: self.spread(),
            share: self.held.sessions.share(self.memory),
        })
    }

    async fn list(&self, directory: &RemotePath) -> Result<SftpListing, RemoteError> {
        self.sftp
            .read_dir(directory.as_bytes())
            .await
            .map(SftpListing)
            .map_err(convert::error)
    }

    async fn lstat(&self, path: &RemotePath) -> Result<Attrs, RemoteError> {
        let attrs = self
            .sftp
            .lstat(path.as_bytes())
            .await
            .map_err(convert::error)?;
        Ok(convert::attrs(&attrs))
    }

    async fn stat(&self, path: &RemotePath) -> Result<Attrs, RemoteError> {
        let attrs = self
            .sftp
            .stat(path.as_bytes())
            .await
            .map_err(convert::error)?;
        Ok(convert::attrs(&attrs))
    }

    async fn realpath(&self, path: &RemotePath) -> Result<RemotePath, RemoteError> {
        // The account's home was told when the session began.
        if path.as_bytes() == b"." {
            return Ok(self.home.clone());
        }
        let real = self
            .sftp
            .real_path(path.as_bytes())
            .await
            .map_err(convert::error)?;
        Ok(RemotePath::new(real))
    }

    async fn rename(&self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteError> {
        self.sftp
            .rename(from.as_bytes(), to.as_bytes())
            .await
            .map_err(convert::error)
    }

    async fn posix_rename(&self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteError> {
        self.sftp
            .posix_rename(from.as_bytes(), to.as_bytes())
            .await
            .map_err(convert::error)
    }

    async fn hardlink(&self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteError> {
        self.sftp
            .hard_link(from.as_bytes(), to.as_bytes())
            .await
            .map_err(convert::error)
    }

    async fn remove(&self, path: &RemotePath) -> Result<(), RemoteError> {
        self.sftp
            .remove(path.as_bytes())
            .await
            .map_err(convert::error)
    }

    async fn remove_directory(&self, path: &RemotePath) -> Result<(), RemoteError> {
        self.sftp
            .remove_dir(path.as_bytes())
            .await
            .map_err(convert::error)
    }

    async fn mkdir(&self, path: &RemotePath) -> Result<(), RemoteError> {
        self.sftp
            .make_dir(path.as_bytes())
            .await
            .map_err(convert::error)
    }

    async fn set_attrs(&self, path: &RemotePath, attrs: SetAttrs) -> Result<(), RemoteError> {
        let times = attrs.modified.map(|seconds| {
            // SFTP's seconds are unsigned 32 bits: what lies outside goes to the nearest.
            let mtime = u32::try_from(seconds.max(0)).unwrap_or(u32::MAX);
            Times {
                atime: mtime,
                mtime,
            }
        });
        let attrs = sftp::Attrs {
            permissions: attrs.permissions,
            times,
            ..sftp::Attrs::default()
        };
        self.sftp
            .set_stat(path.as_bytes(), attrs)
            .await
            .map_err(convert::error)
    }

    async fn statvfs(&self, path: &RemotePath) -> Result<Room, RemoteError> {
        let found = self
            .sftp
            .stat_vfs(path.as_bytes())
            .await
            .map_err(convert::error)?;
        Ok(Room {
            available: found.f_bavail.saturating_mul(found.f_frsize),
            files_available: found.f_favail,
            files: found.f_files,
        })
    }

    async fn copy_data(&self, from: &RemotePath, to: &RemotePath) -> Result<(), RemoteError> {
        self.sftp
            .copy(from.as_bytes(), to.as_bytes())
            .await
            .map_err(convert::error)
    }

    async fn check_file(
        &self,
        path: &RemotePath,
        offset: u64,
    ) -> Result<Option<[u8; 32]>, RemoteError> {
        let found = self
            .sftp
            .check_file(path.as_bytes(), SHA256, offset)
            .await
            .map_err(convert::error)?;
        Ok(match &*found.algorithm == SHA256 {
            true => found.only(),
            false => None,
        })
    }

    async fn close(mut self) {
        self.sftp.close();
        // The driver bounds it too; this is for a driver that is itself in trouble.
        let _ = tokio::time::timeout(CLOSE * 2, self.client.close()).await;
        for (client, _inside) in self.held.jumped.drain(..).rev() {
            let _ = tokio::time::timeout(CLOSE * 2, client.close()).await;
        }
        // Whoever waits for the place finds the session gone at the server, too.
        drop(self.held);
    }
}

/// A file open for reading.
#[derive(Debug)]
pub struct SftpReader {
    file: ReadFile,
    share: Share,
}

impl Reader for SftpReader {
    async fn stat(&mut self) -> Result<Attrs, RemoteError> {
        let attrs = self.file.stat().await.map_err(convert::error)?;
        Ok(convert::attrs(&attrs))
    }

    async fn stat_and_read(&mut self, expected: Option<u64>) -> Result<Attrs, RemoteError> {
        self.file.set_in_flight(self.share.bytes());
        let attrs = self.file.stat_and_read(expected).await;
        Ok(convert::attrs(&attrs.map_err(convert::error)?))
    }

    fn start(&mut self, offset: u64, expected: Option<u64>) {
        self.file
            .start(offset, expected.map(|it| offset.saturating_add(it)));
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, RemoteError> {
        self.file.set_in_flight(self.share.bytes());
        self.file.chunk().await.map_err(convert::error)
    }

    async fn close(self) -> Result<(), RemoteError> {
        self.file.close().await.map_err(convert::error)
    }
}

/// A file open for writing.
#[derive(Debug)]
pub struct SftpWriter {
    file: WriteFile,
    path: RemotePath,
    spread: Option<Spread>,
    share: Share,
}

impl Writer for SftpWriter {
    async fn stat(&mut self) -> Result<Attrs, RemoteError> {
        let attrs = self.file.stat().await.map_err(convert::error)?;
        Ok(convert::attrs(&attrs))
    }

    fn spread(&mut self, size: Option<u64>) {
        if let Some(spread) = self.spread {
            let size_hint = size;
            self.file.spread(
                self.path.as_bytes(),
                Spread {
                    size_hint,
                    ..spread
                },
            );
        }
    }

    async fn write(&mut self, offset: u64, data: Bytes) -> Result<(), RemoteError> {
        self.file.set_in_flight(self.share.bytes());
        self.file.write(offset, data).await.map_err(convert::error)
    }

    async fn flush(&mut self) -> Result<(), RemoteError> {
        self.file.flush().await.map_err(convert::error)
    }

    fn acknowledged(&self) -> u64 {
        self.file.acknowledged()
    }

    async fn fsync(&mut self) -> Result<(), RemoteError> {
        self.file.fsync().await.map_err(convert::error)
    }

    async fn fsync_and_stat(&mut self) -> (Result<(), RemoteError>, Result<Attrs, RemoteError>) {
        let (durable, attrs) = self.file.fsync_and_stat().await;
        (
            durable.map_err(convert::error),
            attrs.map(|it| convert::attrs(&it)).map_err(convert::error),
        )
    }

    async fn close(self) -> Result<(), RemoteError> {
        self.file.close().await.map_err(convert::error)
    }
}

/// A directory being listed.
#[derive(Debug)]
pub struct SftpListing(ReadDir);

impl Listing for SftpListing {
    async fn batch(&mut self) -> Result<Option<Vec<Entry>>, RemoteError> {
        let batch = self.0.batch().await.map_err(convert::error)?;
        Ok(batch.map(|names| names.into_iter().map(convert::entry).collect()))
    }
}
