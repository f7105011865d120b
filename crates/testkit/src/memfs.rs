//! A file tree in memory that answers an SFTP server's questions, for tests. It knows files and directories, and neither
//! links, owners, permissions nor times; names are bytes, `/` is the root and every path begins there.

use bytes::Bytes;
use sansftp_proto::sftp::{
    Asked, Attrs, Data, Entry, Extension, Extensions, Handle, OpenFlags, Server, Status, StatusCode,
};
use std::collections::BTreeMap;

/// What a listing gives out in one answer.
const NAMES_AT_ONCE: usize = 3;

/// Files and directories, and what is open of them.
#[derive(Debug)]
pub struct MemFs {
    /// By whole path; the parents of each are there as well.
    nodes: BTreeMap<Bytes, Node>,
    open: BTreeMap<Handle, Open>,
    next: u32,
    /// The most bytes that one READ is answered with.
    pub longest_read: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    File(Vec<u8>),
    Dir,
}

#[derive(Debug)]
enum Open {
    File(Bytes),
    /// The names that have not been given out.
    Dir(Vec<Bytes>),
}

impl Default for MemFs {
    fn default() -> Self {
        Self {
            nodes: BTreeMap::from([(Bytes::from_static(b"/"), Node::Dir)]),
            open: BTreeMap::new(),
            next: 0,
            longest_read: usize::MAX,
        }
    }
}

impl MemFs {
    /// The extensions that [`answer`](Self::answer) knows, for [`Server::new`].
    pub fn extensions() -> Extensions {
        Extensions::NONE
            .with(Extension::PosixRename)
            .with(Extension::Fsync)
    }

    /// Puts a file there; its directory is there.
    pub fn put(&mut self, path: &[u8], contents: impl Into<Vec<u8>>) {
        self.nodes
            .insert(Bytes::copy_from_slice(path), Node::File(contents.into()));
    }

    /// The contents of a file, if it is one.
    pub fn contents(&self, path: &[u8]) -> Option<&[u8]> {
        match self.nodes.get(path) {
            Some(Node::File(contents)) => Some(contents),
            _ => None,
        }
    }

    /// How many handles are open.
    pub fn open_handles(&self) -> usize {
        self.open.len()
    }

    /// Answers everything that the server was asked.
    ///
    /// # Errors
    /// The error that ended the session.
    pub fn serve(&mut self, server: &mut Server) -> Result<(), sansftp_proto::error::Error> {
        while let Some(asked) = server.poll_request()? {
            self.answer(server, asked);
        }
        Ok(())
    }

    /// Answers one question.
    pub fn answer(&mut self, server: &mut Server, asked: Asked) {
        match asked {
            Asked::Open {
                path, flags, reply, ..
            } => server.reply(reply, self.open_file(path, flags)),
            Asked::Close { handle, reply } => server.reply(reply, self.close(&handle)),
            Asked::Read {
                handle,
                offset,
                len,
                reply,
            } => {
                server.reply(reply, self.read(&handle, offset, len));
            }
            Asked::Write {
                handle,
                offset,
                data,
                reply,
            } => {
                server.reply(reply, self.write(&handle, offset, &data));
            }
            Asked::Stat { path, reply } | Asked::Lstat { path, reply } => {
                server.reply(reply, self.stat(&path));
            }
            Asked::Fstat { handle, reply } => {
                let path = self.file(&handle);
                server.reply(reply, path.and_then(|path| self.stat(&path)));
            }
            Asked::Opendir { path, reply } => server.reply(reply, self.open_dir(&path)),
            Asked::Readdir { handle, reply } => server.reply(reply, self.read_dir(&handle)),
            Asked::Remove { path, reply } => server.reply(reply, self.remove(&path, Kind::File)),
            Asked::Rmdir { path, reply } => server.reply(reply, self.remove(&path, Kind::Dir)),
            Asked::Mkdir { path, reply, .. } => server.reply(reply, self.make_dir(path)),
            Asked::Realpath { path, reply } => server.reply(reply, Ok(absolute(&path))),
            Asked::Rename { from, to, reply } => {
                let result = if self.nodes.contains_key(&to) {
                    Err(StatusCode::FAILURE.into())
                } else {
                    self.rename(&from, to)
                };
                server.reply(reply, result);
            }
            Asked::PosixRename { from, to, reply } => server.reply(reply, self.rename(&from, to)),
            Asked::Fsync { handle, reply } => server.reply(reply, self.file(&handle).map(drop)),
            Asked::Setstat { reply, .. } | Asked::Fsetstat { reply, .. } => {
                server.reply(reply, Ok(()));
            }
            Asked::Symlink { reply, .. } => server.reply(reply, unsupported()),
            Asked::Readlink { reply, .. } => server.reply(reply, unsupported()),
            other => unreachable!("an extension that was not announced: {other:?}"),
        }
    }

    fn open_file(&mut self, path: Bytes, flags: OpenFlags) -> Result<Handle, Status> {
        let exists = match self.nodes.get(&path) {
            Some(Node::Dir) => return Err(StatusCode::FAILURE.into()),
            Some(Node::File(_)) => true,
            None => false,
        };
        if exists && flags.contains(OpenFlags::CREATE_NEW) {
            return Err(StatusCode::FAILURE.into());
        }
        if !exists {
            if !flags.contains(OpenFlags::CREATE) || !self.has_parent(&path) {
                return Err(StatusCode::NO_SUCH_FILE.into());
            }
            self.put(&path, Vec::new());
        }
        if flags.contains(OpenFlags::TRUNCATE) {
            self.put(&path, Vec::new());
        }
        Ok(self.handle(Open::File(path)))
    }

    fn handle(&mut self, open: Open) -> Handle {
        self.next += 1;
        let handle = Handle::new(Bytes::copy_from_slice(&self.next.to_be_bytes()));
        let handle = handle.expect("four bytes are no more than 256");
        self.open.insert(handle.clone(), open);
        handle
    }

    fn close(&mut self, handle: &Handle) -> Result<(), Status> {
        let open = self.open.remove(handle);
        open.map(drop).ok_or_else(|| StatusCode::FAILURE.into())
    }

    fn file(&self, handle: &Handle) -> Result<Bytes, Status> {
        match self.open.get(handle) {
            Some(Open::File(path)) => Ok(path.clone()),
            _ => Err(StatusCode::FAILURE.into()),
        }
    }

    fn read(&self, handle: &Handle, offset: u64, len: u32) -> Result<Data, Status> {
        let path = self.file(handle)?;
        let contents = self.contents(&path).ok_or(StatusCode::NO_SUCH_FILE)?;
        let rest = usize::try_from(offset)
            .ok()
            .and_then(|at| contents.get(at..))
            .filter(|rest| !rest.is_empty() || len == 0);
        let rest = rest.ok_or(StatusCode::EOF)?;
        let mut data = Data::default();
        let len = rest.len().min(len as usize).min(self.longest_read);
        data.push(Bytes::copy_from_slice(&rest[..len]));
        Ok(data)
    }

    fn write(&mut self, handle: &Handle, offset: u64, data: &Data) -> Result<(), Status> {
        /// No test writes so much; a fuzzer says any offset.
        const LONGEST: usize = 64 << 20;
        let path = self.file(handle)?;
        let Some(Node::File(contents)) = self.nodes.get_mut(&path) else {
            return Err(StatusCode::NO_SUCH_FILE.into());
        };
        let start = usize::try_from(offset).ok().filter(|at| *at <= LONGEST);
        let mut at = start.ok_or(StatusCode::FAILURE)?;
        contents.resize(contents.len().max(at + data.len()), 0);
        for piece in data.pieces() {
            contents[at..at + piece.len()].copy_from_slice(piece);
            at += piece.len();
        }
        Ok(())
    }

    fn stat(&self, path: &[u8]) -> Result<Attrs, Status> {
        self.nodes
            .get(path)
            .map(attrs)
            .ok_or_else(|| StatusCode::NO_SUCH_FILE.into())
    }

    fn open_dir(&mut self, path: &[u8]) -> Result<Handle, Status> {
        if self.nodes.get(path) != Some(&Node::Dir) {
            return Err(StatusCode::NO_SUCH_FILE.into());
        }
        let names = self.children(path);
        Ok(self.handle(Open::Dir(names)))
    }

    fn read_dir(&mut self, handle: &Handle) -> Result<Vec<Entry>, Status> {
        let Some(Open::Dir(names)) = self.open.get_mut(handle) else {
            return Err(StatusCode::FAILURE.into());
        };
        if names.is_empty() {
            return Err(StatusCode::EOF.into());
        }
        let some = names.drain(..names.len().min(NAMES_AT_ONCE));
        let entry = |path: Bytes| Entry {
            filename: base(&path),
            longname: Bytes::new(),
            attrs: self.nodes.get(&path).map(attrs).unwrap_or_default(),
        };
        Ok(some.map(entry).collect())
    }

    fn remove(&mut self, path: &[u8], kind: Kind) -> Result<(), Status> {
        let right = match (self.nodes.get(path), kind) {
            (None, _) => return Err(StatusCode::NO_SUCH_FILE.into()),
            (Some(Node::File(_)), Kind::File) => true,
            (Some(Node::Dir), Kind::Dir) => path != b"/" && self.children(path).is_empty(),
            _ => false,
        };
        if !right {
            return Err(StatusCode::FAILURE.into());
        }
        self.nodes.remove(path);
        Ok(())
    }

    fn make_dir(&mut self, path: Bytes) -> Result<(), Status> {
        if self.nodes.contains_key(&path) || !self.has_parent(&path) {
            return Err(StatusCode::FAILURE.into());
        }
        self.nodes.insert(path, Node::Dir);
        Ok(())
    }

    /// Files only: that is what the tests rename.
    fn rename(&mut self, from: &[u8], to: Bytes) -> Result<(), Status> {
        if !matches!(self.nodes.get(from), Some(Node::File(_))) {
            return Err(StatusCode::NO_SUCH_FILE.into());
        }
        if self.nodes.get(&to) == Some(&Node::Dir) || !self.has_parent(&to) {
            return Err(StatusCode::FAILURE.into());
        }
        let node = self.nodes.remove(from).expect("it was there a moment ago");
        self.nodes.insert(to, node);
        Ok(())
    }

    fn has_parent(&self, path: &[u8]) -> bool {
        self.nodes.get(parent(path)) == Some(&Node::Dir)
    }

    fn children(&self, dir: &[u8]) -> Vec<Bytes> {
        let paths = self.nodes.keys().filter(|path| *path != "/");
        paths.filter(|path| parent(path) == dir).cloned().collect()
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    File,
    Dir,
}

fn unsupported<T>() -> Result<T, Status> {
    Err(StatusCode::OP_UNSUPPORTED.into())
}

fn attrs(node: &Node) -> Attrs {
    let (size, permissions) = match node {
        Node::File(contents) => (Some(contents.len() as u64), 0o100_644),
        Node::Dir => (None, 0o040_755),
    };
    Attrs {
        size,
        permissions: Some(permissions),
        ..Attrs::default()
    }
}

fn absolute(path: &Bytes) -> Bytes {
    if path.starts_with(b"/") {
        return path.clone();
    }
    match path.as_ref() {
        b"" | b"." => Bytes::from_static(b"/"),
        relative => [b"/", relative].concat().into(),
    }
}

fn parent(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|&byte| byte == b'/') {
        None | Some(0) => b"/",
        Some(at) => &path[..at],
    }
}

fn base(path: &Bytes) -> Bytes {
    let at = path.iter().rposition(|&byte| byte == b'/');
    path.slice(at.map_or(0, |at| at + 1)..)
}
