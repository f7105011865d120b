//! The trace of a delivery: a second name of the part, there from before the rename into place until
//! the delivery is recorded.
//!
//! ```text
//!   part           complete; may be put into its place
//!   part, second   about to be put into its place; or in it, where the rename is a link and an unlink
//!   second         in its place, or taken away from there since: delivered
//! ```
//! The second name goes before the part wherever a part is given up, so that it never stands alone
//! for a file that was not delivered. Not the record: that is the journal's.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::part::{OnDrop, Temporary};
use super::{Complete, Directory, PartName, blocking};
use crate::error::Result;
use crate::names;

/// Whether a delivery can be seen afterwards, wherever the file has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// A second name stays until [`Directory::recorded`], where the file system has hard links.
    Stays,
    /// Nobody will look.
    None,
}

impl Directory {
    /// Whether this part was put into its place with a trace of it: it is gone, and its second name
    /// is there.
    ///
    /// # Errors
    /// `local-io`.
    pub async fn was_placed(&self, part: &PartName) -> Result<bool> {
        let Some(second) = names::second_of(&part.temporary) else {
            return Ok(false);
        };
        // In this order: once it is gone it does not come back.
        Ok(
            self.size_of(&part.temporary).await?.is_none()
                && self.size_of(&second).await?.is_some(),
        )
    }

    /// Removes the trace of a part that was put into its place, once that is recorded.
    ///
    /// # Errors
    /// `local-io`.
    pub async fn recorded(&self, part: &PartName) -> Result<()> {
        let (handle, name) = (Arc::clone(&self.handle), part.temporary.clone());
        blocking(move || remove_second(&handle, &name))
            .await
            .map_err(|error| self.failed("removing the second name of", &part.name, error))
    }

    /// Removes a complete part whose content is in its place already, and leaves the trace of it.
    ///
    /// # Errors
    /// `local-io`.
    pub async fn is_placed(&self, complete: Complete) -> Result<()> {
        let name = complete.name().clone();
        let directory = self.clone();
        blocking(move || directory.make_way(complete, Trace::Stays))
            .await
            .map_err(|error| self.failed("removing the part of", &name, error))
    }

    /// Removes a part whose content is in its place already.
    pub(super) fn make_way(&self, mut complete: Complete, trace: Trace) -> io::Result<()> {
        let temporary = complete.temporary();
        let traced = trace == Trace::Stays && self.link_second(temporary)?;
        if traced {
            rustix::fs::unlinkat(
                &*self.handle,
                OsStr::from_bytes(&temporary.name),
                AtFlags::empty(),
            )?;
            temporary.on_drop = OnDrop::Leave;
        } else {
            temporary.on_drop = OnDrop::Remove;
        }
        drop(complete);
        // Whoever wrote what is there may not have waited for the disk.
        Ok(rustix::fs::fsync(&*self.handle)?)
    }

    /// Gives a complete part its second name, durably; `false` where there are no hard links.
    pub(super) fn link_second(&self, temporary: &Temporary) -> io::Result<bool> {
        let Some(second) = names::second_of(&temporary.name) else {
            return Ok(false);
        };
        let (from, to) = (
            OsStr::from_bytes(&temporary.name),
            OsStr::from_bytes(&second),
        );
        let link = || rustix::fs::linkat(&*self.handle, from, &*self.handle, to, AtFlags::empty());
        let linked = match link() {
            // Of a run that was killed; or, after a copy of the whole directory, another file.
            Err(Errno::EXIST) if !self.still_names(&second, &temporary.file)? => {
                remove_second(&self.handle, &temporary.name)?;
                link()
            }
            Err(Errno::EXIST) => Ok(()),
            linked => linked,
        };
        match linked {
            Ok(()) => {
                rustix::fs::fsync(&*self.handle)?;
                Ok(true)
            }
            // What file systems without hard links, or with no room for one more, say.
            Err(
                Errno::PERM
                | Errno::ACCESS
                | Errno::NOTSUP
                | Errno::NOSYS
                | Errno::INVAL
                | Errno::MLINK,
            ) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Removes the second name of a part, durably.
pub(super) fn remove_second(directory: &OwnedFd, temporary: &[u8]) -> io::Result<()> {
    let Some(second) = names::second_of(temporary) else {
        return Ok(());
    };
    match rustix::fs::unlinkat(directory, OsStr::from_bytes(&second), AtFlags::empty()) {
        Ok(()) => Ok(rustix::fs::fsync(directory)?),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
