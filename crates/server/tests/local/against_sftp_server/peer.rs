//! A client that asks one thing at a time and keeps the answers as text.

use bytes::Bytes;
use sansftp_proto::sftp::extensions::{
    ExpandPath, Fstatvfs, Fsync, Hardlink, HomeDirectory, Ids, Lsetstat, PosixRename, Statvfs,
    UsersGroupsById,
};
use sansftp_proto::sftp::kind::Kind;
use sansftp_proto::sftp::messages::{
    Close, Fsetstat, Fstat, Lstat, Mkdir, Open, Opendir, Read, Readdir, Readlink, Realpath, Remove,
    Rename, Rmdir, Setstat, Stat, Symlink,
};
use sansftp_proto::sftp::{
    Attrs, Bounds, Client, Data, Handle, OpenFlags, Pending, Request, Status,
};
use sansftp_server::local::LocalFs;
use sansftp_tokio::sftp::server::{Options, serve};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;

const SFTP_SERVER: [&str; 4] = [
    "/usr/lib/openssh/sftp-server",
    "/usr/libexec/openssh/sftp-server",
    "/usr/lib/ssh/sftp-server",
    "/usr/libexec/sftp-server",
];

/// A session with a server that begins in a directory.
pub(super) struct Peer {
    client: Client,
    stream: UnixStream,
    child: Option<Child>,
    /// What was answered, in order.
    pub(super) answers: Vec<String>,
}

impl Peer {
    pub(super) fn openssh(start: &Path) -> Self {
        let program = SFTP_SERVER.iter().find(|it| Path::new(it).exists());
        let program = program.expect("sftp-server is installed (openssh-sftp-server)");
        let (stream, theirs) = UnixStream::pair().unwrap();
        let output: OwnedFd = theirs.try_clone().unwrap().into();
        let child = Command::new(program)
            .arg("-d")
            .arg(start)
            .stdin(OwnedFd::from(theirs))
            .stdout(output)
            .spawn()
            .unwrap();
        Self::greet(stream, Some(child))
    }

    pub(super) fn ours(start: &Path) -> Self {
        let (stream, theirs) = UnixStream::pair().unwrap();
        let start = start.as_os_str().as_bytes();
        let fs = LocalFs::whole().unwrap().start_directory(start).unwrap();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                theirs.set_nonblocking(true).unwrap();
                let theirs = tokio::net::UnixStream::from_std(theirs).unwrap();
                serve(theirs, Arc::new(fs), Options::default()).await;
            });
        });
        Self::greet(stream, None)
    }

    fn greet(stream: UnixStream, child: Option<Child>) -> Self {
        let mut peer = Self {
            client: Client::new(Bounds::default()),
            stream,
            child,
            answers: Vec::new(),
        };
        while !peer.client.is_ready() {
            peer.transfer();
        }
        peer
    }

    fn transfer(&mut self) {
        while let Some(bytes) = self.client.poll_transmit() {
            self.stream.write_all(&bytes).unwrap();
        }
        let mut buffer = vec![0; 65536];
        let length = self.stream.read(&mut buffer).unwrap();
        assert!(length > 0, "the server has left, after {:?}", self.answers);
        buffer.truncate(length);
        self.client.handle_data(buffer.into()).unwrap();
    }

    fn wait<K: Kind>(&mut self, pending: Pending<K>) -> Result<K::Value, Status> {
        loop {
            while let Some(bytes) = self.client.poll_transmit() {
                self.stream.write_all(&bytes).unwrap();
            }
            if let Some(done) = self.client.poll_completion() {
                return pending.claim(done).unwrap();
            }
            self.transfer();
        }
    }

    fn ask<'a, Q: Request<'a>>(
        &mut self,
        request: &Q,
    ) -> Result<<Q::Reply as Kind>::Value, Status> {
        let pending = self.client.send(request).unwrap();
        self.wait(pending)
    }

    /// Words are each server's own, codes are not.
    fn note<T>(&mut self, outcome: Result<T, Status>, show: impl FnOnce(T) -> String) {
        self.answers.push(match outcome {
            Ok(value) => show(value),
            Err(status) => format!("{:?}", status.code),
        });
    }

    fn note_status(&mut self, outcome: Result<(), Status>) {
        self.note(outcome, |()| "OK".to_owned());
    }

    fn note_path(&mut self, outcome: Result<Bytes, Status>) {
        self.note(outcome, |path| path.escape_ascii().to_string());
    }

    fn note_attrs(&mut self, outcome: Result<Attrs, Status>) {
        self.note(outcome, |attrs| attributes(&attrs));
    }

    pub(super) fn stat(&mut self, path: &[u8]) {
        let outcome = self.ask(&Stat { path });
        self.note_attrs(outcome);
    }

    pub(super) fn lstat(&mut self, path: &[u8]) {
        let outcome = self.ask(&Lstat { path });
        self.note_attrs(outcome);
    }

    pub(super) fn realpath(&mut self, path: &[u8]) {
        let outcome = self.ask(&Realpath { path });
        self.note_path(outcome);
    }

    pub(super) fn expand_path(&mut self, path: &[u8]) {
        let outcome = self.ask(&ExpandPath { path });
        self.note_path(outcome);
    }

    pub(super) fn home(&mut self, username: &[u8]) {
        let outcome = self.ask(&HomeDirectory { username });
        self.note_path(outcome);
    }

    pub(super) fn readlink(&mut self, path: &[u8]) {
        let outcome = self.ask(&Readlink { path });
        self.note_path(outcome);
    }

    pub(super) fn statvfs(&mut self, path: &[u8]) {
        let outcome = self.ask(&Statvfs { path });
        self.note(outcome, |it| {
            format!("{} {} {}", it.f_bsize, it.f_fsid, it.f_flag)
        });
    }

    pub(super) fn owner_names(&mut self, users: &[u32], groups: &[u32]) {
        let (mut packed_users, mut packed_groups) = Default::default();
        let request = UsersGroupsById {
            uids: Ids::pack(users, &mut packed_users),
            gids: Ids::pack(groups, &mut packed_groups),
        };
        let outcome = self.ask(&request);
        self.note(outcome, |names| format!("{names:?}"));
    }

    pub(super) fn list(&mut self, path: &[u8]) {
        let handle = match self.ask(&Opendir { path }) {
            Ok(handle) => handle,
            Err(status) => return self.note(Err::<(), _>(status), |()| String::new()),
        };
        let mut lines = Vec::new();
        let end = loop {
            match self.ask(&Readdir {
                handle: handle.as_bytes(),
            }) {
                Ok(entries) => lines.extend(entries.iter().map(|it| {
                    let words = it.longname.split(|&byte| byte == b' ');
                    let mode = words.clone().next().unwrap_or_default();
                    let name = it.filename.escape_ascii();
                    format!("{name} {} {}", attributes(&it.attrs), mode.escape_ascii())
                })),
                Err(status) => break status,
            }
        };
        lines.sort();
        self.answers.push(lines.join(", "));
        self.note_status(Err(end));
        self.close(&handle);
    }

    pub(super) fn create(&mut self, path: &[u8], flags: OpenFlags, attrs: Attrs) {
        let opened = self.ask(&Open {
            filename: path,
            pflags: flags,
            attrs,
        });
        match opened {
            Ok(handle) => self.close(&handle),
            Err(status) => self.note_status(Err(status)),
        }
    }

    pub(super) fn with_file(
        &mut self,
        path: &[u8],
        flags: OpenFlags,
        then: impl FnOnce(&mut Self, &Handle),
    ) {
        let attrs = Attrs::default();
        match self.ask(&Open {
            filename: path,
            pflags: flags,
            attrs,
        }) {
            Ok(handle) => {
                then(self, &handle);
                self.close(&handle);
            }
            Err(status) => self.note_status(Err(status)),
        }
    }

    fn close(&mut self, handle: &Handle) {
        let outcome = self.ask(&Close {
            handle: handle.as_bytes(),
        });
        self.note_status(outcome);
    }

    pub(super) fn read(&mut self, handle: &Handle, offset: u64, len: u32) {
        let outcome = self.ask(&Read {
            handle: handle.as_bytes(),
            offset,
            len,
        });
        self.note(outcome, |data: Data| {
            let bytes: Vec<u8> = data.pieces().flatten().copied().collect();
            format!("\"{}\"", bytes.escape_ascii())
        });
    }

    pub(super) fn write(&mut self, handle: &Handle, offset: u64, data: &'static [u8]) {
        let data = Bytes::from_static(data).into();
        let pending = self.client.write(handle, offset, &data).unwrap();
        let outcome = self.wait(pending);
        self.note_status(outcome);
    }

    pub(super) fn fstat(&mut self, handle: &Handle) {
        let outcome = self.ask(&Fstat {
            handle: handle.as_bytes(),
        });
        self.note_attrs(outcome);
    }

    pub(super) fn fsetstat(&mut self, handle: &Handle, attrs: Attrs) {
        let outcome = self.ask(&Fsetstat {
            handle: handle.as_bytes(),
            attrs,
        });
        self.note_status(outcome);
    }

    pub(super) fn fsync(&mut self, handle: &Handle) {
        let outcome = self.ask(&Fsync {
            handle: handle.as_bytes(),
        });
        self.note_status(outcome);
    }

    pub(super) fn fstatvfs(&mut self, handle: &Handle) {
        let outcome = self.ask(&Fstatvfs {
            handle: handle.as_bytes(),
        });
        self.note(outcome, |it| {
            format!("{} {} {}", it.f_bsize, it.f_fsid, it.f_flag)
        });
    }

    pub(super) fn setstat(&mut self, path: &[u8], attrs: Attrs) {
        let outcome = self.ask(&Setstat { path, attrs });
        self.note_status(outcome);
    }

    pub(super) fn lsetstat(&mut self, path: &[u8], attrs: Attrs) {
        let outcome = self.ask(&Lsetstat { path, attrs });
        self.note_status(outcome);
    }

    pub(super) fn mkdir(&mut self, path: &[u8], attrs: Attrs) {
        let outcome = self.ask(&Mkdir { path, attrs });
        self.note_status(outcome);
    }

    pub(super) fn rmdir(&mut self, path: &[u8]) {
        let outcome = self.ask(&Rmdir { path });
        self.note_status(outcome);
    }

    pub(super) fn remove(&mut self, path: &[u8]) {
        let outcome = self.ask(&Remove { filename: path });
        self.note_status(outcome);
    }

    pub(super) fn symlink(&mut self, targetpath: &[u8], linkpath: &[u8]) {
        let outcome = self.ask(&Symlink {
            targetpath,
            linkpath,
        });
        self.note_status(outcome);
    }

    pub(super) fn rename(&mut self, oldpath: &[u8], newpath: &[u8]) {
        let outcome = self.ask(&Rename { oldpath, newpath });
        self.note_status(outcome);
    }

    pub(super) fn posix_rename(&mut self, oldpath: &[u8], newpath: &[u8]) {
        let outcome = self.ask(&PosixRename { oldpath, newpath });
        self.note_status(outcome);
    }

    pub(super) fn hardlink(&mut self, oldpath: &[u8], newpath: &[u8]) {
        let outcome = self.ask(&Hardlink { oldpath, newpath });
        self.note_status(outcome);
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What does not depend on when the files were made.
fn attributes(attrs: &Attrs) -> String {
    let mut text = String::new();
    if let Some(mode) = attrs.permissions {
        write!(text, "{mode:o}").unwrap();
    }
    if let Some(owner) = attrs.owner {
        write!(text, " {}:{}", owner.uid, owner.gid).unwrap();
    }
    if let Some(size) = attrs.size {
        write!(text, " {size} bytes").unwrap();
    }
    if let Some(times) = attrs.times.filter(|it| it.mtime < 1_600_000_000) {
        write!(text, " {times:?}").unwrap();
    }
    text
}
