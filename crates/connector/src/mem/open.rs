//! Files and directories open at a server in memory.
//!
//! Not what they hold: that is in `files`.

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;

use super::files::refused;
use super::{Link, line};
use crate::path::{RemotePath, printable};
use crate::remote::{Attrs, Entry, Listing, Reader, RemoteError, RemoteErrorKind, Writer};

/// A file open at a server in memory.
pub struct OpenFile {
    link: Link,
    name: String,
    inode: u64,
    offset: u64,
    written: u64,
}

impl OpenFile {
    pub(super) fn new(link: &Link, path: &RemotePath, inode: u64) -> Self {
        Self {
            link: link.clone(),
            name: printable(path.as_bytes()).into_owned(),
            inode,
            offset: 0,
            written: 0,
        }
    }

    async fn fstat(&self) -> Result<Attrs, RemoteError> {
        self.link
            .call(format!("fstat {}", self.name), |files| {
                Ok(files.attrs(self.inode))
            })
            .await
    }

    async fn end(&self) -> Result<(), RemoteError> {
        self.link
            .call(format!("close {}", self.name), |_| Ok(()))
            .await
    }
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenFile({})", self.name)
    }
}

impl Reader for OpenFile {
    async fn stat(&mut self) -> Result<Attrs, RemoteError> {
        self.fstat().await
    }

    fn start(&mut self, offset: u64, _expected: Option<u64>) {
        self.offset = offset;
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, RemoteError> {
        let len = self.link.behaviour().chunk;
        let data = self
            .link
            .call(format!("read {}", self.name), |files| {
                files.read(self.inode, self.offset, len)
            })
            .await?;
        self.offset += data.len() as u64;
        Ok((!data.is_empty()).then_some(data))
    }

    async fn close(self) -> Result<(), RemoteError> {
        self.end().await
    }
}

impl Writer for OpenFile {
    async fn stat(&mut self) -> Result<Attrs, RemoteError> {
        self.fstat().await
    }

    async fn write(&mut self, offset: u64, data: Bytes) -> Result<(), RemoteError> {
        let room = self.link.behaviour().room;
        self.link
            .call(format!("write {}", self.name), |files| {
                if room == Some(0) {
                    return Err(refused(RemoteErrorKind::Failure));
                }
                files.write(self.inode, offset, &data)
            })
            .await?;
        self.written = offset + data.len() as u64;
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), RemoteError> {
        Ok(())
    }

    fn acknowledged(&self) -> u64 {
        self.written
    }

    async fn fsync(&mut self) -> Result<(), RemoteError> {
        self.link
            .call(format!("fsync {}", self.name), |_| Ok(()))
            .await
    }

    async fn close(self) -> Result<(), RemoteError> {
        self.end().await
    }
}

/// A directory being listed at a server in memory.
pub struct OpenDirectory {
    link: Link,
    path: RemotePath,
    rest: VecDeque<Entry>,
}

impl OpenDirectory {
    pub(super) fn new(link: &Link, path: &RemotePath, children: Vec<(Bytes, Attrs)>) -> Self {
        Self {
            link: link.clone(),
            path: path.clone(),
            rest: children
                .into_iter()
                .map(|(name, attrs)| Entry { name, attrs })
                .collect(),
        }
    }
}

impl fmt::Debug for OpenDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenDirectory({})", self.path)
    }
}

impl Listing for OpenDirectory {
    async fn batch(&mut self) -> Result<Option<Vec<Entry>>, RemoteError> {
        let size = self.link.behaviour().batch.min(self.rest.len());
        self.link
            .call(line("readdir", &self.path), |_| Ok(()))
            .await?;
        let batch: Vec<Entry> = self.rest.drain(..size).collect();
        Ok((!batch.is_empty()).then_some(batch))
    }
}
