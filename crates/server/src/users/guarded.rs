//! Files that decide who comes in: opened only where nobody else could have written them, as sshd's
//! `StrictModes` has it (sshd_config(5)).
//!
//! Where the system has no modes and owners nothing is checked.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Most that is read of such a file, in bytes: some 100,000 keys or users.
const MOST: u64 = 32 << 20;

/// Whether others may be able to change who comes in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Permissions {
    /// Not others: a file, and the directories above it, are written by their owner alone, who is this
    /// account or root.
    #[default]
    Strict,
    /// They may; whoever set it up knows why.
    Unchecked,
}

/// What a file is by: if none of it changes, the content did not either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    len: u64,
    modified: Option<SystemTime>,
    #[cfg(unix)]
    inode: (u64, u64, i64, i64, u32, u32),
}

impl Stamp {
    /// Of the file under this name now.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        std::fs::metadata(path).map(|it| Self::new(&it))
    }

    /// Whether a change after `now` would show. File systems tell time in ticks, of 2 s at the longest,
    /// and within one a file can change more than once.
    pub(super) fn is_settled(&self, now: SystemTime) -> bool {
        let age = self.modified.and_then(|it| now.duration_since(it).ok());
        age.is_some_and(|it| it > Duration::from_secs(2))
    }

    /// Whether everybody on this machine can read it.
    pub(super) const fn is_public(&self) -> bool {
        #[cfg(unix)]
        return self.inode.4 & 0o004 != 0;
        #[cfg(not(unix))]
        return false;
    }

    fn new(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt as _;
        Self {
            len: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            inode: (
                metadata.dev(),
                metadata.ino(),
                metadata.ctime(),
                metadata.ctime_nsec(),
                metadata.mode(),
                metadata.uid(),
            ),
        }
    }
}

/// Reads a file whole. Blocks.
pub(super) fn read(path: &Path, permissions: Permissions) -> Result<(Vec<u8>, Stamp), Unusable> {
    let unreadable = |error| Unusable::new(path, Why::Io(error));
    // Links are followed first, so that what is checked is where the content is.
    let real = path.canonicalize().map_err(unreadable)?;
    let file = open(&real).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Unusable::new(path, Why::Kind));
    }
    if permissions == Permissions::Strict {
        check(path, &real, &metadata)?;
    }
    let stamp = Stamp::new(&metadata);
    let mut content = Vec::new();
    file.take(MOST + 1)
        .read_to_end(&mut content)
        .map_err(unreadable)?;
    if u64::try_from(content.len()).unwrap_or(u64::MAX) > MOST {
        return Err(Unusable::new(path, Why::TooLarge));
    }
    Ok((content, stamp))
}

/// Does not wait for whoever may write to it one day: under the name of a file may lie a pipe.
#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

#[cfg(unix)]
fn check(path: &Path, real: &Path, file: &Metadata) -> Result<(), Unusable> {
    check_owner_and_mode(path, real, file)?;
    for above in real.ancestors().skip(1) {
        let metadata =
            std::fs::metadata(above).map_err(|error| Unusable::new(path, Why::Io(error)))?;
        check_owner_and_mode(path, above, &metadata)?;
    }
    Ok(())
}

#[cfg(unix)]
fn check_owner_and_mode(path: &Path, what: &Path, metadata: &Metadata) -> Result<(), Unusable> {
    use std::os::unix::fs::MetadataExt;
    let (owner, mode) = (metadata.uid(), metadata.mode());
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(Unusable::new(path, Why::Owner(what.to_owned(), owner)));
    }
    // In a sticky directory everybody can make files, and nobody can replace another's.
    let is_sticky = metadata.is_dir() && mode & 0o1000 != 0;
    if mode & 0o022 != 0 && !is_sticky {
        let mode = mode & 0o7777;
        return Err(Unusable::new(path, Why::Writable(what.to_owned(), mode)));
    }
    Ok(())
}

#[cfg(not(unix))]
#[expect(
    clippy::unnecessary_wraps,
    reason = "the same signature as where there are modes"
)]
fn check(_: &Path, _: &Path, _: &Metadata) -> Result<(), Unusable> {
    Ok(())
}

/// Why a file is not used. `Display` is one line, with the remedy where there is one.
#[derive(Debug)]
pub struct Unusable {
    path: PathBuf,
    why: Why,
}

#[derive(Debug)]
enum Why {
    Io(io::Error),
    Kind,
    TooLarge,
    #[cfg(unix)]
    Owner(PathBuf, u32),
    #[cfg(unix)]
    Writable(PathBuf, u32),
}

impl Unusable {
    fn new(path: &Path, why: Why) -> Self {
        Self {
            path: path.to_owned(),
            why,
        }
    }

    /// Whether there simply is no such file.
    pub(super) fn is_absence(&self) -> bool {
        matches!(&self.why, Why::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not used: ", self.path.display())?;
        match &self.why {
            Why::Io(error) => write!(f, "{error}"),
            Why::Kind => f.write_str("it is no regular file"),
            Why::TooLarge => write!(f, "it is larger than {} MiB", MOST >> 20),
            #[cfg(unix)]
            Why::Owner(what, owner) => write!(
                f,
                "{} belongs to user {owner}, who is neither root nor this account",
                what.display()
            ),
            #[cfg(unix)]
            Why::Writable(what, mode) => write!(
                f,
                "{} can be written by others (mode {mode:04o}); chmod go-w",
                what.display()
            ),
        }
    }
}

impl std::error::Error for Unusable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.why {
            Why::Io(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_that_others_can_write_or_replace_is_not_used() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("dir");
        fs::create_dir(&dir).unwrap();
        let path = dir.join("keys");
        fs::write(&path, "x").unwrap();
        for (of_dir, of_file, usable) in [
            (0o755, 0o644, true),
            (0o700, 0o600, true),
            (0o755, 0o664, false),
            (0o755, 0o646, false),
            (0o775, 0o644, false),
            (0o777, 0o644, false),
            (0o1777, 0o644, true),
        ] {
            set(&dir, of_dir);
            set(&path, of_file);
            let read = read(&path, Permissions::Strict);
            assert_eq!(read.is_ok(), usable, "{of_dir:o} {of_file:o}: {read:?}");
            assert!(super::read(&path, Permissions::Unchecked).is_ok());
        }
    }

    #[test]
    fn a_link_is_as_good_as_the_place_it_leads_to() {
        let root = tempfile::tempdir().unwrap();
        let open = root.path().join("open");
        fs::create_dir(&open).unwrap();
        set(&open, 0o777);
        fs::write(open.join("keys"), "x").unwrap();
        let link = root.path().join("link");
        std::os::unix::fs::symlink(open.join("keys"), &link).unwrap();
        let error = read(&link, Permissions::Strict).unwrap_err();
        assert!(error.to_string().contains("open can be written by others"));
    }

    #[test]
    fn a_pipe_in_the_place_of_a_file_makes_nobody_wait() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("keys");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
        let (told, hears) = std::sync::mpsc::channel();
        std::thread::spawn(move || told.send(read(&path, Permissions::Unchecked)));
        let read = hears.recv_timeout(Duration::from_secs(10));
        let error = read.expect("it is not waited for a writer").unwrap_err();
        assert!(error.to_string().contains("no regular file"), "{error}");
    }

    #[test]
    fn a_change_shows_in_the_stamp() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("keys");
        fs::write(&path, "x").unwrap();
        let (_, before) = read(&path, Permissions::Strict).unwrap();
        assert_eq!(Stamp::of(&path).unwrap(), before);
        let new = root.path().join("new");
        fs::write(&new, "y").unwrap();
        fs::rename(&new, &path).unwrap();
        assert_ne!(Stamp::of(&path).unwrap(), before);
    }
}
