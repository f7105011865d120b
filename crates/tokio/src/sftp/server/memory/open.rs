//! Open files and directories in memory. They stay what they are when their names go.

use super::tree::{Body, Inode};
use super::{MemFs, NOT_A_FILE, owner_name, set_attrs, tree};
use crate::sftp::server::{Directory, File, FileId, Outcome, longname};
use bytes::Bytes;
use sansftp_proto::sftp::extensions::StatVfs;
use sansftp_proto::sftp::{Attrs, Data, Entry, OpenFlags, Status, StatusCode};
use std::ops::Bound;
use std::sync::Arc;

/// An open file.
#[derive(Debug)]
pub(super) struct MemFile {
    inode: Arc<Inode>,
    flags: OpenFlags,
    fs: MemFs,
}

impl MemFile {
    pub(super) const fn new(inode: Arc<Inode>, flags: OpenFlags, fs: MemFs) -> Self {
        Self { inode, flags, fs }
    }
}

impl File for MemFile {
    fn identity(&self) -> FileId {
        FileId {
            device: 0,
            inode: self.inode.number,
        }
    }

    fn read_at(&self, offset: u64, len: usize) -> Outcome<Data> {
        let Body::File(contents) = &self.inode.body else {
            return Err(NOT_A_FILE);
        };
        // As open(2): what is not opened for writing is opened for reading.
        if !self.flags.contains(OpenFlags::READ) && self.flags.contains(OpenFlags::WRITE) {
            return Err(NOT_FOR_READING);
        }
        Ok(tree::read(contents).read(offset, len))
    }

    fn write_at(&self, offset: u64, data: &Data) -> Outcome<()> {
        let Body::File(contents) = &self.inode.body else {
            return Err(NOT_A_FILE);
        };
        if !self.flags.contains(OpenFlags::WRITE) {
            return Err(NOT_FOR_WRITING);
        }
        let mut contents = tree::write(contents);
        let offset = if self.flags.contains(OpenFlags::APPEND) {
            contents.len()
        } else {
            offset
        };
        contents.write(offset, data)?;
        drop(contents);
        self.inode.touch();
        Ok(())
    }

    fn stat(&self) -> Outcome<Attrs> {
        Ok(self.inode.attrs())
    }

    fn set_stat(&self, attrs: &Attrs) -> Outcome<()> {
        if attrs.size.is_some() && !self.flags.contains(OpenFlags::WRITE) {
            return Err(NOT_FOR_WRITING);
        }
        set_attrs(&self.inode, attrs)
    }

    fn sync(&self) -> Outcome<()> {
        Ok(())
    }

    fn stat_vfs(&self) -> Outcome<StatVfs> {
        Ok(self.fs.usage())
    }
}

/// An open directory: what was given of it so far.
#[derive(Debug)]
pub(super) struct MemDirectory {
    inode: Arc<Inode>,
    parent: Arc<Inode>,
    given: Given,
    fs: MemFs,
}

#[derive(Debug)]
enum Given {
    Nothing,
    Dots,
    /// All names up to this one.
    UpTo(Bytes),
}

impl MemDirectory {
    pub(super) const fn new(inode: Arc<Inode>, parent: Arc<Inode>, fs: MemFs) -> Self {
        Self {
            inode,
            parent,
            given: Given::Nothing,
            fs,
        }
    }
}

impl Directory for MemDirectory {
    fn read(&mut self, most: usize) -> Outcome<Vec<Entry>> {
        if matches!(self.given, Given::Nothing) {
            self.given = Given::Dots;
            let here = entry(Bytes::from_static(b"."), &self.inode);
            return Ok(vec![here, entry(Bytes::from_static(b".."), &self.parent)]);
        }
        let from = match &self.given {
            Given::UpTo(name) => Bound::Excluded(name.clone()),
            _ => Bound::Unbounded,
        };
        // The names are looked at while none of them is changed.
        let _tree = self.fs.lock();
        let names = self.inode.names()?;
        let mut entries = Vec::new();
        let mut length = 0;
        for (name, inode) in names.range((from, Bound::Unbounded)) {
            let entry = entry(name.clone(), inode);
            length += entry.filename.len() + entry.longname.len();
            if length > most && !entries.is_empty() {
                break;
            }
            self.given = Given::UpTo(name.clone());
            entries.push(entry);
        }
        Ok(entries)
    }

    fn stat(&self) -> Outcome<Attrs> {
        Ok(self.inode.attrs())
    }

    fn set_stat(&self, attrs: &Attrs) -> Outcome<()> {
        set_attrs(&self.inode, attrs)
    }

    fn sync(&self) -> Outcome<()> {
        Ok(())
    }

    fn stat_vfs(&self) -> Outcome<StatVfs> {
        Ok(self.fs.usage())
    }
}

fn entry(filename: Bytes, inode: &Inode) -> Entry {
    let attrs = inode.attrs();
    let links = inode.meta().links;
    let name = |id: Option<u32>| match id {
        Some(id) if owner_name(id).is_empty() => Bytes::from(id.to_string()),
        Some(id) => owner_name(id),
        None => Bytes::new(),
    };
    let user = name(attrs.owner.map(|it| it.uid));
    let group = name(attrs.owner.map(|it| it.gid));
    Entry {
        longname: longname(&filename, &attrs, Some(links), &user, &group),
        filename,
        attrs,
    }
}

const NOT_FOR_READING: Status =
    Status::with_text(StatusCode::PERMISSION_DENIED, "not opened for reading");
const NOT_FOR_WRITING: Status =
    Status::with_text(StatusCode::PERMISSION_DENIED, "not opened for writing");
