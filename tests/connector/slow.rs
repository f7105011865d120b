//! A server whose disk takes its time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sansftp_proto::sftp::{Attrs, Data, Extensions};
use sansftp_server::sftp::{
    Directory, File, FileId, FileSystem, MemFs, OpenFlags, Outcome as Answer,
};

/// How long it takes to force a file to this disk.
pub(crate) const SYNC: Duration = Duration::from_secs(3);

/// Files in memory that are forced to a slow disk.
#[derive(Debug, Default)]
pub(crate) struct SlowDisk(MemFs);

impl FileSystem for SlowDisk {
    fn extensions(&self) -> Extensions {
        self.0.extensions()
    }

    fn open(&self, path: &[u8], flags: OpenFlags, attrs: &Attrs) -> Answer<Arc<dyn File>> {
        Ok(Arc::new(SlowFile(self.0.open(path, flags, attrs)?)))
    }

    fn open_dir(&self, path: &[u8]) -> Answer<Box<dyn Directory>> {
        self.0.open_dir(path)
    }

    fn stat(&self, path: &[u8]) -> Answer<Attrs> {
        self.0.stat(path)
    }

    fn lstat(&self, path: &[u8]) -> Answer<Attrs> {
        self.0.lstat(path)
    }

    fn real_path(&self, path: &[u8]) -> Answer<Bytes> {
        self.0.real_path(path)
    }

    fn remove(&self, path: &[u8]) -> Answer<()> {
        self.0.remove(path)
    }

    fn rename(&self, from: &[u8], to: &[u8]) -> Answer<()> {
        self.0.rename(from, to)
    }

    fn hard_link(&self, existing: &[u8], link: &[u8]) -> Answer<()> {
        self.0.hard_link(existing, link)
    }
}

#[derive(Debug)]
struct SlowFile(Arc<dyn File>);

impl File for SlowFile {
    fn identity(&self) -> FileId {
        self.0.identity()
    }

    fn read_at(&self, offset: u64, len: usize) -> Answer<Data> {
        self.0.read_at(offset, len)
    }

    fn write_at(&self, offset: u64, data: &Data) -> Answer<()> {
        self.0.write_at(offset, data)
    }

    fn stat(&self) -> Answer<Attrs> {
        self.0.stat()
    }

    fn sync(&self) -> Answer<()> {
        std::thread::sleep(SYNC);
        self.0.sync()
    }

    fn close(&self) -> Answer<()> {
        self.0.close()
    }
}
