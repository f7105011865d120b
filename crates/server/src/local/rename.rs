//! New names for what lies beneath the root: RENAME (draft-ietf-secsh-filexfer-02 §6.5),
//! `posix-rename@openssh.com` and `hardlink@openssh.com` (OpenSSH PROTOCOL §4.3, §4.5). Where the
//! names lie has been settled before; no link is followed here.

use super::root::Place;
use rustix::fs::{self, AtFlags, FileType, RenameFlags};
use rustix::io::{self, Errno};

/// Renames where nothing is of the new name, in one step if the file system can.
pub(super) fn to_new_name(from: &Place<'_>, to: &Place<'_>) -> io::Result<()> {
    refuse_file_as_directory(from, to)?;
    let renamed = fs::renameat_with(
        &from.parent,
        from.name.bytes,
        &to.parent,
        to.name.bytes,
        RenameFlags::NOREPLACE,
    );
    match renamed {
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => to_new_name_in_steps(from, to),
        other => other,
    }
}

/// Renames, and replaces what has the new name.
pub(super) fn over(from: &Place<'_>, to: &Place<'_>) -> io::Result<()> {
    refuse_file_as_directory(from, to)?;
    let (old, new) = (from.name.bytes, to.name.bytes);
    fs::renameat(&from.parent, old, &to.parent, new)
}

/// Gives a file, or a symbolic link itself, one more name.
pub(super) fn link(existing: &Place<'_>, link: &Place<'_>) -> io::Result<()> {
    refuse_file_as_directory(existing, existing)?;
    link.refuse_directory_name()?;
    let (old, new) = (existing.name.bytes, link.name.bytes);
    fs::linkat(&existing.parent, old, &link.parent, new, AtFlags::empty())
}

/// Renames on a file system that cannot refuse by itself: a link fails where the name is taken. What
/// cannot be linked, such as a directory, is renamed if the name is free, which can change meanwhile.
fn to_new_name_in_steps(from: &Place<'_>, to: &Place<'_>) -> io::Result<()> {
    let stat = from.stat()?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        match link(from, to) {
            Ok(()) => {
                let removed = remove(from);
                if removed.is_err() {
                    // The first failure is what counts.
                    let _ = remove(to);
                }
                return removed;
            }
            Err(Errno::EXIST) => return Err(Errno::EXIST),
            Err(_) => {}
        }
    }
    match to.stat() {
        Err(Errno::NOENT) => over(from, to),
        Ok(_) => Err(Errno::EXIST),
        Err(errno) => Err(errno),
    }
}

fn remove(place: &Place<'_>) -> io::Result<()> {
    fs::unlinkat(&place.parent, place.name.bytes, AtFlags::empty())
}

/// A `/` behind either name says that a directory is moved.
fn refuse_file_as_directory(from: &Place<'_>, to: &Place<'_>) -> io::Result<()> {
    if !from.name.directory && !to.name.directory {
        return Ok(());
    }
    match FileType::from_raw_mode(from.stat()?.st_mode) {
        FileType::Directory => Ok(()),
        _ => Err(Errno::NOTDIR),
    }
}

#[cfg(test)]
mod tests {
    use super::super::path::ClientPath;
    use super::super::root::{Reach, Root};
    use super::*;

    /// NFS, and some that are mounted through FUSE, know no renaming that refuses.
    #[test]
    fn a_file_system_that_cannot_refuse_is_not_let_replace() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        for name in ["dir", "empty"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        for name in ["file", "other", "dir/file"] {
            std::fs::write(path(name), name).unwrap();
        }
        std::os::unix::fs::symlink("nowhere", path("link")).unwrap();
        let root = Root::open(directory.path(), Reach::Beneath).unwrap();
        let rename = |from: &str, to: &str| {
            let paths = [from, to].map(|it| ClientPath::new(it.as_bytes(), &ClientPath::root()));
            let [from, to] = paths.map(Result::unwrap);
            to_new_name_in_steps(&root.place(&from).unwrap(), &root.place(&to).unwrap())
        };
        for (from, to) in [
            ("file", "other"),
            ("file", "link"),
            ("file", "empty"),
            ("link", "file"),
            ("dir", "empty"),
            ("dir", "link"),
            ("file", "file"),
        ] {
            assert_eq!(rename(from, to), Err(Errno::EXIST), "{from} {to}");
        }
        assert_eq!(rename("missing", "new"), Err(Errno::NOENT));
        assert_eq!(rename("dir", "dir/sub"), Err(Errno::INVAL));
        rename("file", "empty/file").unwrap();
        rename("link", "empty/link").unwrap();
        rename("dir", "moved").unwrap();
        let read = |name: &str| std::fs::read_to_string(path(name)).unwrap();
        assert_eq!(
            (read("empty/file"), read("moved/file")),
            ("file".into(), "dir/file".into())
        );
        assert_eq!(
            std::fs::read_link(path("empty/link")).unwrap(),
            std::path::Path::new("nowhere")
        );
        for gone in ["file", "link", "dir"] {
            assert!(path(gone).symlink_metadata().is_err(), "{gone}");
        }
    }
}
