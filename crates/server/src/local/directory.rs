//! An open directory (draft-ietf-secsh-filexfer-02 §6.7): its entries, each with what is known of it.
//! Not how it was found.

use super::attributes::{self, Target};
use super::names::Owners;
use super::path::ClientPath;
use super::root::{Reach, Root};
use super::status;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{self, AtFlags, Dir, Stat};
use rustix::io::{self, Errno};
use sansftp_proto::sftp::extensions::StatVfs;
use sansftp_proto::sftp::{Attrs, Entry};
use sansftp_tokio::sftp::server::{Directory, Outcome, longname};
use std::sync::Arc;

/// An open directory.
#[derive(Debug)]
pub(super) struct LocalDirectory {
    /// The descriptor that `entries` reads from.
    directory: OwnedFd,
    entries: Dir,
    /// An entry that did not fit into the answer before.
    left: Option<Entry>,
    root: Arc<Root>,
    owners: Arc<Owners>,
    /// Where it was found.
    path: ClientPath,
    read_only: bool,
}

impl LocalDirectory {
    /// `directory` was opened for reading, from `path`.
    pub(super) fn new(
        directory: OwnedFd,
        path: ClientPath,
        root: Arc<Root>,
        owners: Arc<Owners>,
        read_only: bool,
    ) -> Outcome<Self> {
        let copy = io::fcntl_dupfd_cloexec(&directory, 0).map_err(status::of)?;
        Ok(Self {
            directory,
            entries: Dir::new(copy).map_err(status::of)?,
            left: None,
            root,
            owners,
            path,
            read_only,
        })
    }

    /// The next entry, those that vanished while the directory was read left out.
    fn next(&mut self) -> io::Result<Option<Entry>> {
        while let Some(entry) = self.entries.read() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            let stat = match name {
                b".." => self.stat_parent(),
                name => fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW),
            };
            let stat = match stat {
                Err(Errno::NOENT) => continue,
                // What only its owner may look at has a name all the same.
                Err(_) => {
                    let attrs = Attrs::default();
                    return Ok(Some(Entry {
                        filename: name.to_vec().into(),
                        longname: longname(name, &attrs, None, b"", b""),
                        attrs,
                    }));
                }
                Ok(stat) => stat,
            };
            let attrs = attributes::attrs(&stat);
            return Ok(Some(Entry {
                filename: name.to_vec().into(),
                longname: self.owners.longname(name, &stat, &attrs),
                attrs,
            }));
        }
        Ok(None)
    }

    /// The parent as a client sees it, which for the root is the root; seen from the descriptor, it
    /// would be a directory outside.
    fn stat_parent(&self) -> io::Result<Stat> {
        if self.root.reach() == Reach::Whole {
            return fs::statat(&self.directory, "..", AtFlags::SYMLINK_NOFOLLOW);
        }
        let parent = self.root.locate(self.path.join(b"..").beneath());
        match parent {
            Ok(parent) => fs::fstat(parent),
            // Moved or removed meanwhile.
            Err(_) => fs::fstat(&self.directory),
        }
    }
}

impl Directory for LocalDirectory {
    fn read(&mut self, most: usize) -> Outcome<Vec<Entry>> {
        let (mut entries, mut length) = (Vec::new(), 0);
        loop {
            let next = match self.left.take() {
                None => self.next().map_err(status::of)?,
                left => left,
            };
            let Some(entry) = next else {
                return Ok(entries);
            };
            length += entry.filename.len() + entry.longname.len();
            if length > most && !entries.is_empty() {
                self.left = Some(entry);
                return Ok(entries);
            }
            entries.push(entry);
        }
    }

    fn stat(&self) -> Outcome<Attrs> {
        let stat = fs::fstat(&self.directory).map_err(status::of)?;
        Ok(attributes::attrs(&stat))
    }

    fn set_stat(&self, attrs: &Attrs) -> Outcome<()> {
        super::guard(self.read_only)?;
        let target = Target::Opened(self.directory.as_fd());
        attributes::change(target, self.root.reach(), attrs)
    }

    fn sync(&self) -> Outcome<()> {
        io::retry_on_intr(|| fs::fsync(&self.directory)).map_err(status::of)
    }

    fn stat_vfs(&self) -> Outcome<StatVfs> {
        attributes::stat_vfs(&self.directory, self.read_only)
    }
}
