//! A directory that is served, with an outside beside it, and what can be said of the two.

use sansftp_proto::sftp::{Attrs, Data, OpenFlags, Owner, StatusCode, Times};
use sansftp_server::local::LocalFs;
use sansftp_tokio::sftp::server::{File, FileSystem, Outcome};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// `root1`, which is served, between `root10` and `outside`, which are not.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) around: TempDir,
}

impl Tree {
    pub(crate) fn new() -> Self {
        let around = tempfile::tempdir().unwrap();
        for directory in ["root1/dir/sub", "root10/dir", "outside/dir"] {
            fs::create_dir_all(around.path().join(directory)).unwrap();
        }
        for (file, contents) in [
            ("root1/file", "inside"),
            ("root1/dir/file", "inside dir"),
            ("root10/secret", SECRET),
            ("outside/secret", SECRET),
            ("outside/dir/secret", SECRET),
        ] {
            fs::write(around.path().join(file), contents).unwrap();
        }
        Self { around }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.around.path().join("root1")
    }

    pub(crate) fn outside(&self) -> PathBuf {
        self.around.path().join("outside")
    }

    pub(crate) fn serve(&self) -> LocalFs {
        LocalFs::new(&self.root()).unwrap()
    }

    pub(crate) fn write(&self, path: &str, contents: &[u8]) {
        fs::write(self.root().join(path), contents).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.root().join(path)).unwrap()
    }

    pub(crate) fn mkdir(&self, path: &str) {
        fs::create_dir_all(self.root().join(path)).unwrap();
    }

    pub(crate) fn link(&self, target: impl AsRef<Path>, path: &str) {
        symlink(target, self.root().join(path)).unwrap();
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        fs::symlink_metadata(self.root().join(path)).is_ok()
    }

    pub(crate) fn mode(&self, path: &str) -> u32 {
        let metadata = fs::symlink_metadata(self.root().join(path)).unwrap();
        metadata.mode() & 0o7777
    }
}

/// What nobody may be told.
pub(crate) const SECRET: &str = "nobody may be told this";

/// Everything beneath a directory, by path: kind, mode, owner, length, contents or target, and the
/// time of modification where somebody has set it to one long ago.
pub(crate) fn snapshot(directory: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut all = BTreeMap::new();
    walk(directory, directory, &mut all);
    all
}

fn walk(base: &Path, path: &Path, all: &mut BTreeMap<Vec<u8>, String>) {
    let metadata = fs::symlink_metadata(path).unwrap();
    let kind = metadata.file_type();
    // What its owner may not look at is closed to everybody but root.
    let needed = match kind {
        _ if kind.is_dir() => 0o500,
        _ if kind.is_file() => 0o400,
        _ => 0,
    };
    let closed = metadata.mode() & needed != needed;
    if closed {
        fs::set_permissions(path, Permissions::from_mode(metadata.mode() | needed)).unwrap();
    }
    let what = match kind {
        _ if kind.is_symlink() => format!("link to {:?}", fs::read_link(path).unwrap()),
        _ if kind.is_dir() => "directory".to_owned(),
        _ if kind.is_fifo() => "pipe".to_owned(),
        _ if kind.is_file() => {
            let contents = fs::read(path).unwrap();
            format!(
                "{} bytes {:?}",
                contents.len(),
                contents.escape_ascii().to_string()
            )
        }
        _ => "other".to_owned(),
    };
    let set = metadata.mtime() < 1_600_000_000;
    let line = format!(
        "{what} {:o} {}:{} links {} {}",
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
        if kind.is_dir() { 0 } else { metadata.nlink() },
        if set { metadata.mtime() } else { 0 },
    );
    let name = path.strip_prefix(base).unwrap();
    all.insert(name.as_os_str().as_bytes().to_vec(), line);
    if kind.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            walk(base, &entry.unwrap().path(), all);
        }
    }
    if closed {
        fs::set_permissions(path, metadata.permissions()).unwrap();
    }
}

/// The code of a failure, OK for none.
pub(crate) fn code<T>(outcome: Outcome<T>) -> StatusCode {
    outcome.map_or_else(|status| status.code, |_| StatusCode::OK)
}

pub(crate) fn open(fs: &LocalFs, path: &[u8], flags: OpenFlags) -> Outcome<Arc<dyn File>> {
    fs.open(path, flags, &Attrs::default())
}

/// All of a file, as one READ.
pub(crate) fn read_all(fs: &LocalFs, path: &[u8]) -> Outcome<Vec<u8>> {
    let data = open(fs, path, OpenFlags::READ)?.read_at(0, 65536)?;
    Ok(joined(&data))
}

pub(crate) fn joined(data: &Data) -> Vec<u8> {
    data.pieces().flatten().copied().collect()
}

pub(crate) fn data(pieces: &[&'static [u8]]) -> Data {
    let mut data = Data::default();
    pieces.iter().for_each(|&it| data.push(it.into()));
    data
}

/// All names of a directory, sorted.
pub(crate) fn list(fs: &LocalFs, path: &[u8]) -> Outcome<Vec<String>> {
    let mut directory = fs.open_dir(path)?;
    let mut names = Vec::new();
    loop {
        let entries = directory.read(4096)?;
        if entries.is_empty() {
            names.sort();
            return Ok(names);
        }
        names.extend(
            entries
                .iter()
                .map(|it| it.filename.escape_ascii().to_string()),
        );
    }
}

pub(crate) fn mode_attrs(mode: u32) -> Attrs {
    Attrs {
        permissions: Some(mode),
        ..Attrs::default()
    }
}

pub(crate) fn size_attrs(size: u64) -> Attrs {
    Attrs {
        size: Some(size),
        ..Attrs::default()
    }
}

pub(crate) fn time_attrs(atime: u32, mtime: u32) -> Attrs {
    Attrs {
        times: Some(Times { atime, mtime }),
        ..Attrs::default()
    }
}

pub(crate) fn owner_attrs(uid: u32, gid: u32) -> Attrs {
    Attrs {
        owner: Some(Owner { uid, gid }),
        ..Attrs::default()
    }
}

/// Bytes of a host path, for clients that name it.
pub(crate) fn bytes(path: &Path) -> Vec<u8> {
    let path: &OsStr = path.as_os_str();
    path.as_bytes().to_vec()
}
