//! A tree of files in memory, with inodes, so that hard links are what they are elsewhere.
//!
//! Not a server: what a server does with it is in the module above. Follows POSIX rename(2) and
//! link(2) where SFTP leaves the meaning to the server.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::path::RemotePath;
use crate::remote::{Attrs, FileKind, RemoteError, RemoteErrorKind, SetAttrs};

/// Links that lead to links end here, as ELOOP does.
const MAX_LINKS: usize = 16;

/// A tree of files. Paths are absolute.
#[derive(Debug)]
pub struct Files {
    names: BTreeMap<Vec<u8>, u64>,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    clock: i64,
}

#[derive(Clone, Debug)]
struct Inode {
    content: Content,
    permissions: u32,
    modified: i64,
}

#[derive(Clone, Debug)]
enum Content {
    File(Vec<u8>),
    Directory,
    Symlink(Vec<u8>),
}

type Result<T> = std::result::Result<T, RemoteError>;

/// A refusal in the words of OpenSSH.
pub(super) fn refused(kind: RemoteErrorKind) -> RemoteError {
    let words = match kind {
        RemoteErrorKind::NoSuchFile => "No such file",
        RemoteErrorKind::Permission => "Permission denied",
        RemoteErrorKind::Unsupported => "Operation unsupported",
        _ => "Failure",
    };
    RemoteError::new(kind, words)
}

fn failure<T>() -> Result<T> {
    Err(refused(RemoteErrorKind::Failure))
}

impl Files {
    pub(super) fn new() -> Self {
        let mut files = Self {
            names: BTreeMap::new(),
            inodes: BTreeMap::new(),
            next_inode: 1,
            clock: 1_700_000_000,
        };
        files.insert(b"/".to_vec(), Content::Directory, 0o755);
        files
    }

    /// Puts a file there, and the directories above it; replaces the content of one that is.
    pub fn put(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.put_bytes(path.as_bytes(), content);
    }

    /// As [`put`](Self::put), for names that are not text.
    pub fn put_bytes(&mut self, path: &[u8], content: impl Into<Vec<u8>>) {
        if let Some(parent) = RemotePath::new(path.to_vec()).parent() {
            self.make_directories(parent.as_bytes());
        }
        if let Some(&inode) = self.names.get(path) {
            let modified = self.tick();
            let inode = self.inodes.get_mut(&inode).expect("a name has an inode");
            inode.content = Content::File(content.into());
            inode.modified = modified;
            return;
        }
        self.insert(path.to_vec(), Content::File(content.into()), 0o644);
    }

    /// Makes a directory and those above it.
    pub fn make_directories(&mut self, path: &[u8]) {
        let mut end = 0;
        while end < path.len() {
            end = path[end + 1..]
                .iter()
                .position(|&byte| byte == b'/')
                .map_or(path.len(), |slash| end + 1 + slash);
            if !self.names.contains_key(&path[..end]) {
                self.insert(path[..end].to_vec(), Content::Directory, 0o755);
            }
        }
    }

    /// Makes a symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) {
        self.insert(path.into(), Content::Symlink(target.into()), 0o777);
    }

    /// Takes a name away, whatever it is.
    pub fn delete(&mut self, path: &str) {
        self.names.remove(path.as_bytes());
    }

    /// The content of a file under this very name.
    pub fn content(&self, path: &str) -> Option<&[u8]> {
        self.content_bytes(path.as_bytes())
    }

    /// As [`content`](Self::content), for names that are not text.
    pub fn content_bytes(&self, path: &[u8]) -> Option<&[u8]> {
        match &self.inodes[self.names.get(path)?].content {
            Content::File(content) => Some(content),
            _ => None,
        }
    }

    /// The names of all files, in order, without directories.
    pub fn file_names(&self) -> Vec<String> {
        self.names
            .iter()
            .filter(|(_, inode)| !matches!(self.inodes[inode].content, Content::Directory))
            .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
            .collect()
    }

    /// The permission bits of a name.
    pub fn permissions(&self, path: &str) -> Option<u32> {
        Some(self.inodes[self.names.get(path.as_bytes())?].permissions)
    }

    /// The modified time of a name.
    pub fn modified(&self, path: &str) -> Option<i64> {
        Some(self.inodes[self.names.get(path.as_bytes())?].modified)
    }

    /// Gives a file a second name.
    pub fn hard_link(&mut self, from: &str, to: &str) {
        let inode = self.names[from.as_bytes()];
        self.names.insert(to.into(), inode);
    }

    /// Sets the modified time of a name.
    pub fn set_modified(&mut self, path: &str, modified: i64) {
        let inode = self.names[path.as_bytes()];
        let inode = self.inodes.get_mut(&inode).expect("a name has an inode");
        inode.modified = modified;
    }

    /// Sets the permission bits of a name.
    pub fn set_permissions(&mut self, path: &str, permissions: u32) {
        let inode = self.names[path.as_bytes()];
        self.inodes
            .get_mut(&inode)
            .expect("a name has an inode")
            .permissions = permissions;
    }

    fn insert(&mut self, path: Vec<u8>, content: Content, permissions: u32) -> u64 {
        let modified = self.tick();
        let number = self.next_inode;
        self.next_inode += 1;
        self.inodes.insert(
            number,
            Inode {
                content,
                permissions,
                modified,
            },
        );
        self.names.insert(path, number);
        number
    }

    /// Every change has a time of its own.
    fn tick(&mut self) -> i64 {
        self.clock += 1;
        self.clock
    }

    pub(super) fn inode(&self, path: &[u8]) -> Result<u64> {
        self.names
            .get(path)
            .copied()
            .ok_or_else(|| refused(RemoteErrorKind::NoSuchFile))
    }

    /// The path with its last component's links followed.
    pub(super) fn follow(&self, path: &[u8]) -> Result<Vec<u8>> {
        let mut path = path.to_vec();
        for _ in 0..MAX_LINKS {
            let Some(inode) = self.names.get(&path) else {
                return Ok(path);
            };
            let Content::Symlink(target) = &self.inodes[inode].content else {
                return Ok(path);
            };
            let here = RemotePath::new(path.clone());
            let parent = here.parent().unwrap_or_else(|| RemotePath::from("/"));
            path = parent.resolve(target).as_bytes().to_vec();
        }
        failure()
    }

    pub(super) fn attrs(&self, inode: u64) -> Attrs {
        let inode = &self.inodes[&inode];
        let (kind, size) = match &inode.content {
            Content::File(content) => (FileKind::File, content.len()),
            Content::Directory => (FileKind::Directory, 4096),
            Content::Symlink(target) => (FileKind::Symlink, target.len()),
        };
        Attrs {
            kind,
            size: Some(size as u64),
            permissions: Some(inode.permissions),
            uid: Some(1000),
            gid: Some(1000),
            modified: Some(inode.modified),
            accessed: Some(inode.modified),
        }
    }

    pub(super) fn read(&self, inode: u64, offset: u64, len: usize) -> Result<Bytes> {
        let Content::File(content) = &self.inodes[&inode].content else {
            return failure();
        };
        let start = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(content.len());
        let end = start.saturating_add(len).min(content.len());
        Ok(Bytes::copy_from_slice(&content[start..end]))
    }

    pub(super) fn write(&mut self, inode: u64, offset: u64, data: &[u8]) -> Result<()> {
        let modified = self.tick();
        let inode = self
            .inodes
            .get_mut(&inode)
            .expect("an open file keeps its inode");
        let Content::File(content) = &mut inode.content else {
            return failure();
        };
        let start = usize::try_from(offset).expect("a test file fits into memory");
        let end = start + data.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[start..end].copy_from_slice(data);
        inode.modified = modified;
        Ok(())
    }

    pub(super) fn create_exclusive(&mut self, path: &[u8]) -> Result<u64> {
        if self.names.contains_key(path) {
            return failure();
        }
        self.expect_parent(path)?;
        Ok(self.insert(path.to_vec(), Content::File(Vec::new()), 0o644))
    }

    pub(super) fn create_or_truncate(&mut self, path: &[u8]) -> Result<u64> {
        let path = self.follow(path)?;
        let Some(&number) = self.names.get(&path) else {
            return self.create_exclusive(&path);
        };
        let modified = self.tick();
        let inode = self.inodes.get_mut(&number).expect("a name has an inode");
        let Content::File(content) = &mut inode.content else {
            return failure();
        };
        content.clear();
        inode.modified = modified;
        Ok(number)
    }

    pub(super) fn open_existing(&self, path: &[u8]) -> Result<u64> {
        let inode = self.inode(&self.follow(path)?)?;
        match self.inodes[&inode].content {
            Content::File(_) => Ok(inode),
            _ => failure(),
        }
    }

    pub(super) fn children(&self, directory: &[u8]) -> Result<Vec<(Bytes, Attrs)>> {
        let directory = self.follow(directory)?;
        let inode = self.inode(&directory)?;
        if !matches!(self.inodes[&inode].content, Content::Directory) {
            return failure();
        }
        let directory = RemotePath::new(directory);
        let own = self.attrs(inode);
        let mut children = vec![
            (Bytes::from_static(b"."), own),
            (Bytes::from_static(b".."), own),
        ];
        for (name, &inode) in &self.names {
            let path = RemotePath::new(name.clone());
            if path.parent().as_ref() == Some(&directory) {
                children.push((Bytes::copy_from_slice(path.name()), self.attrs(inode)));
            }
        }
        Ok(children)
    }

    pub(super) fn link(&mut self, from: &[u8], to: &[u8]) -> Result<()> {
        let inode = self.inode(from)?;
        self.expect_parent(to)?;
        if self.names.contains_key(to) {
            return failure();
        }
        self.names.insert(to.to_vec(), inode);
        Ok(())
    }

    /// rename(2): replaces a file; onto another name of the same file it does nothing at all.
    pub(super) fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<()> {
        let inode = self.inode(from)?;
        self.expect_parent(to)?;
        if let Some(existing) = self.names.get(to) {
            if *existing == inode {
                return Ok(());
            }
            if matches!(self.inodes[existing].content, Content::Directory) {
                return failure();
            }
        }
        self.names.remove(from);
        self.names.insert(to.to_vec(), inode);
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &[u8]) -> Result<()> {
        let inode = self.inode(path)?;
        if matches!(self.inodes[&inode].content, Content::Directory) {
            return failure();
        }
        self.names.remove(path);
        Ok(())
    }

    pub(super) fn remove_directory(&mut self, path: &[u8]) -> Result<()> {
        let inode = self.inode(path)?;
        if !matches!(self.inodes[&inode].content, Content::Directory) {
            return failure();
        }
        let within = [path, b"/"].concat();
        if self.names.keys().any(|name| name.starts_with(&within)) {
            return failure();
        }
        self.names.remove(path);
        Ok(())
    }

    pub(super) fn mkdir(&mut self, path: &[u8]) -> Result<()> {
        if self.names.contains_key(path) {
            return failure();
        }
        self.expect_parent(path)?;
        self.insert(path.to_vec(), Content::Directory, 0o755);
        Ok(())
    }

    pub(super) fn set_attrs(&mut self, path: &[u8], attrs: SetAttrs) -> Result<()> {
        let inode = self.inode(&self.follow(path)?)?;
        let inode = self.inodes.get_mut(&inode).expect("a name has an inode");
        inode.permissions = attrs.permissions.unwrap_or(inode.permissions);
        inode.modified = attrs.modified.unwrap_or(inode.modified);
        Ok(())
    }

    fn expect_parent(&self, path: &[u8]) -> Result<()> {
        let path = RemotePath::new(path.to_vec());
        let Some(parent) = path.parent() else {
            return failure();
        };
        let inode = self.inode(&self.follow(parent.as_bytes())?)?;
        match self.inodes[&inode].content {
            Content::Directory => Ok(()),
            _ => failure(),
        }
    }
}
