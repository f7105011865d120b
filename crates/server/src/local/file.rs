//! An open regular file (draft-ietf-secsh-filexfer-02 §6.4, §6.8, §6.9). Not how it was found and
//! opened, and nothing that is not a regular file.

use super::attributes::{self, Target};
use super::root::{Reach, identity};
use super::status;
use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs;
use rustix::io::{self, Errno};
use sansftp_proto::sftp::extensions::StatVfs;
use sansftp_proto::sftp::{Attrs, Data, OpenFlags, Status, StatusCode};
use sansftp_tokio::sftp::server::{File, FileId, Outcome};
use std::io::IoSlice;

/// An open file. What it was opened for is asked here and not left to the system, whose answer
/// ("bad descriptor") would say nothing to a client.
#[derive(Debug)]
pub(super) struct LocalFile {
    file: OwnedFd,
    id: FileId,
    flags: OpenFlags,
    reach: Reach,
    read_only: bool,
}

impl LocalFile {
    /// `file` is a regular one, opened as `flags` say.
    pub(super) fn new(
        file: OwnedFd,
        flags: OpenFlags,
        reach: Reach,
        read_only: bool,
    ) -> Outcome<Self> {
        let id = identity(&fs::fstat(&file).map_err(status::of)?);
        Ok(Self {
            file,
            id,
            flags,
            reach,
            read_only,
        })
    }

    fn check_writing(&self) -> Outcome<()> {
        if self.flags.contains(OpenFlags::WRITE) {
            return Ok(());
        }
        let text = "the file was not opened for writing";
        Err(Status::with_text(StatusCode::PERMISSION_DENIED, text))
    }

    fn write(&self, mut offset: u64, data: &Data) -> io::Result<()> {
        let mut pieces: Vec<IoSlice<'_>> = data.pieces().map(|it| IoSlice::new(it)).collect();
        let mut left = pieces.as_mut_slice();
        while !left.is_empty() {
            let written = match io::pwritev(&self.file, left, offset) {
                Err(Errno::INTR) => continue,
                // No file system says so of a regular file; asked again, it would for ever.
                Ok(0) => return Err(Errno::IO),
                other => other?,
            };
            IoSlice::advance_slices(&mut left, written);
            offset += written as u64;
        }
        Ok(())
    }
}

impl File for LocalFile {
    fn identity(&self) -> FileId {
        self.id
    }

    fn read_at(&self, offset: u64, len: usize) -> Outcome<Data> {
        // Without either flag the file is open for reading, as OpenSSH's sftp-server opens it.
        if self.flags.contains(OpenFlags::WRITE) && !self.flags.contains(OpenFlags::READ) {
            let text = "the file was not opened for reading";
            return Err(Status::with_text(StatusCode::PERMISSION_DENIED, text));
        }
        // No file goes further than the system counts, and the system refuses to look there.
        let most = (i64::MAX as u64).saturating_sub(offset);
        let len = usize::try_from(most).unwrap_or(usize::MAX).min(len);
        if len == 0 {
            return Ok(Data::default());
        }
        let mut buffer = Vec::with_capacity(len);
        io::retry_on_intr(|| io::pread(&self.file, spare_capacity(&mut buffer), offset))
            .map_err(status::of)?;
        // A few bytes at the end of a file are not to hold the room for many.
        if buffer.len() < len {
            buffer.shrink_to_fit();
        }
        Ok(Bytes::from(buffer).into())
    }

    fn write_at(&self, offset: u64, data: &Data) -> Outcome<()> {
        self.check_writing()?;
        // A file that was opened for appending has its own idea of the offset.
        let offset = match self.flags.contains(OpenFlags::APPEND) {
            true => 0,
            false => offset,
        };
        let end = offset.checked_add(data.len() as u64);
        if end.is_none_or(|end| i64::try_from(end).is_err()) {
            return Err(status::of(Errno::FBIG));
        }
        self.write(offset, data).map_err(status::of)
    }

    fn stat(&self) -> Outcome<Attrs> {
        let stat = fs::fstat(&self.file).map_err(status::of)?;
        Ok(attributes::attrs(&stat))
    }

    fn set_stat(&self, attrs: &Attrs) -> Outcome<()> {
        super::guard(self.read_only)?;
        if attrs.size.is_some() {
            self.check_writing()?;
        }
        attributes::change(Target::Opened(self.file.as_fd()), self.reach, attrs)
    }

    fn sync(&self) -> Outcome<()> {
        io::retry_on_intr(|| fs::fsync(&self.file)).map_err(status::of)
    }

    fn stat_vfs(&self) -> Outcome<StatVfs> {
        attributes::stat_vfs(&self.file, self.read_only)
    }

    /// File servers and quotas may refuse only now what was written before, and tell it to whoever
    /// closes a descriptor, even if it is not the last.
    fn close(&self) -> Outcome<()> {
        if !self.flags.contains(OpenFlags::WRITE) {
            return Ok(());
        }
        let copy = io::fcntl_dupfd_cloexec(&self.file, 0).map_err(status::of)?;
        nix::unistd::close(copy).map_err(|errno| status::of(Errno::from_raw_os_error(errno as i32)))
    }
}
