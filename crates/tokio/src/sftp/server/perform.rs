//! One request at a time against the file system, on a thread that may block.

use super::engine::Inner;
use super::handles::{OpenDirectory, OpenFile, Opened, Reading};
use super::observe::{ClosedBy, Event};
use super::{Directory, End, Outcome};
use bytes::Bytes;
use sansftp_proto::limits;
use sansftp_proto::sftp::extensions::OwnerNames;
use sansftp_proto::sftp::{
    Answer, Asked, Attrs, Data, Entry, Handle, OpenFlags, Status, StatusCode,
};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

mod copy;
mod hash;

use hash::Wanted;

/// A request, and what it is about.
#[derive(Debug)]
pub(super) enum Task {
    /// It is not allowed.
    Denied(Asked),
    /// By path, or by nothing.
    Paths(Asked),
    /// By handle.
    Opened(Asked, Opened),
    /// By two handles.
    Between {
        asked: Asked,
        from: Opened,
        to: Opened,
    },
}

impl Inner {
    pub(super) fn perform(&self, task: Task) -> Answer {
        match task {
            Task::Denied(asked) => {
                let request = asked.name();
                self.tell(&Event::Denied { request });
                asked.refuse(StatusCode::PERMISSION_DENIED.into())
            }
            Task::Paths(asked) => self.on_paths(asked),
            Task::Opened(asked, opened) => {
                let answer = match &opened {
                    Opened::File(file) => self.on_file(asked, file),
                    Opened::Directory(directory) => self.on_directory(asked, directory),
                };
                discard(opened);
                answer
            }
            Task::Between { asked, from, to } => self.between(asked, &from, &to),
        }
    }

    /// Closes what the client did not.
    pub(super) fn close_unasked(&self, opened: Opened) {
        match &opened {
            Opened::File(file) => self.tell_closed(file, ClosedBy::End, &Ok(())),
            Opened::Directory(directory) => self.tell(&Event::ClosedDirectory {
                path: &directory.path,
            }),
        }
        discard(opened);
    }

    pub(super) fn tell_end(&self, end: &End) {
        self.tell(&Event::Ended(end));
    }

    fn on_paths(&self, asked: Asked) -> Answer {
        let fs = &self.fs;
        let name = asked.name();
        match asked {
            Asked::Open {
                path,
                flags,
                attrs,
                reply,
            } => reply.with(self.open(path, flags, &attrs)),
            Asked::Opendir { path, reply } => reply.with(self.open_dir(path)),
            Asked::Stat { path, reply } => reply.with(self.one(name, &path, || fs.stat(&path))),
            Asked::Lstat { path, reply } => reply.with(self.one(name, &path, || fs.lstat(&path))),
            Asked::Setstat { path, attrs, reply } => {
                reply.with(self.setting(name, &path, &attrs, || fs.set_stat(&path, &attrs)))
            }
            Asked::Lsetstat { path, attrs, reply } => {
                reply.with(self.setting(name, &path, &attrs, || fs.set_lstat(&path, &attrs)))
            }
            Asked::Mkdir { path, attrs, reply } => {
                reply.with(self.setting(name, &path, &attrs, || fs.make_dir(&path, &attrs)))
            }
            Asked::Remove { path, reply } => reply.with(self.one(name, &path, || fs.remove(&path))),
            Asked::Rmdir { path, reply } => {
                reply.with(self.one(name, &path, || fs.remove_dir(&path)))
            }
            Asked::Realpath { path, reply } => {
                reply.with(self.one(name, &path, || fs.real_path(&path)))
            }
            Asked::Readlink { path, reply } => {
                reply.with(self.one(name, &path, || fs.read_link(&path)))
            }
            Asked::ExpandPath { path, reply } => {
                reply.with(self.one(name, &path, || fs.expand_path(&path)))
            }
            Asked::HomeDirectory { user, reply } => {
                reply.with(self.one(name, &user, || fs.home_directory(&user)))
            }
            Asked::Statvfs { path, reply } => {
                reply.with(self.one(name, &path, || fs.stat_vfs(&path)))
            }
            Asked::Rename { from, to, reply } => {
                reply.with(self.two(name, &from, &to, || fs.rename(&from, &to)))
            }
            Asked::PosixRename { from, to, reply } => {
                reply.with(self.two(name, &from, &to, || fs.posix_rename(&from, &to)))
            }
            Asked::Hardlink {
                existing,
                link,
                reply,
            } => reply.with(self.two(name, &existing, &link, || fs.hard_link(&existing, &link))),
            Asked::Symlink {
                target,
                link,
                reply,
            } => reply.with(self.two(name, &link, &target, || fs.symlink(&target, &link))),
            Asked::CheckFileName {
                path,
                algorithms,
                offset,
                len,
                block_size,
                reply,
            } => reply.with(self.one(name, &path, || {
                let file = fs.open(&path, OpenFlags::READ, &Attrs::default())?;
                let wanted = Wanted {
                    algorithms: &algorithms,
                    offset,
                    len,
                    block_size,
                };
                let hashes = self.hash(&*file, &wanted)?;
                file.close()?;
                Ok(hashes)
            })),
            Asked::UsersGroupsById {
                users,
                groups,
                reply,
            } => reply.with(self.one(name, b"", || {
                let names = fs.owner_names(&users, &groups)?;
                Ok(fitting(names, users.len(), groups.len()))
            })),
            other => other.refuse(StatusCode::OP_UNSUPPORTED.into()),
        }
    }

    fn open(&self, path: Bytes, flags: OpenFlags, attrs: &Attrs) -> Outcome<Handle> {
        let outcome = self.has_room().and_then(|()| {
            guarded(|| {
                let file = self.fs.open(&path, flags, attrs)?;
                Ok((file.identity(), file))
            })
        });
        self.tell(&Event::Opened {
            path: &path,
            flags,
            mode: attrs.mode(),
            outcome: told(&outcome),
        });
        let (id, file) = outcome?;
        self.insert(|_| {
            Opened::File(Arc::new(OpenFile {
                file,
                id,
                path: kept(&path),
                appends: flags.contains(OpenFlags::APPEND),
                since: Instant::now(),
                read: AtomicU64::new(0),
                written: AtomicU64::new(0),
            }))
        })
    }

    fn open_dir(&self, path: Bytes) -> Outcome<Handle> {
        let room = self.has_room();
        let outcome = room.and_then(|()| guarded(|| self.fs.open_dir(&path)));
        self.tell(&Event::OpenedDirectory {
            path: &path,
            outcome: told(&outcome),
        });
        let directory = outcome?;
        self.insert(|number| {
            let reading = Reading {
                directory,
                left: VecDeque::new(),
            };
            Opened::Directory(Arc::new(OpenDirectory {
                number,
                path: kept(&path),
                reading: Mutex::new(reading),
            }))
        })
    }

    fn on_file(&self, asked: Asked, opened: &OpenFile) -> Answer {
        let OpenFile { file, path, .. } = opened;
        let name = asked.name();
        match asked {
            Asked::Read {
                offset, len, reply, ..
            } => reply.with(guarded(|| self.read_at(opened, offset, len))),
            Asked::Write {
                offset,
                data,
                reply,
                ..
            } => reply.with(guarded(|| self.write_at(opened, offset, &data))),
            Asked::Close { reply, .. } => {
                let outcome = guarded(|| file.close());
                self.tell_closed(opened, ClosedBy::Client, &outcome);
                reply.with(outcome)
            }
            Asked::Fstat { reply, .. } => reply.with(guarded(|| file.stat())),
            Asked::Fsetstat { attrs, reply, .. } => {
                reply.with(self.setting(name, path, &attrs, || file.set_stat(&attrs)))
            }
            Asked::Fsync { reply, .. } => reply.with(self.one(name, path, || file.sync())),
            Asked::Fstatvfs { reply, .. } => reply.with(guarded(|| file.stat_vfs())),
            Asked::CheckFileHandle {
                algorithms,
                offset,
                len,
                block_size,
                reply,
                ..
            } => reply.with(self.one(name, path, || {
                let wanted = Wanted {
                    algorithms: &algorithms,
                    offset,
                    len,
                    block_size,
                };
                self.hash(&**file, &wanted)
            })),
            other => other.refuse(NOT_A_DIRECTORY),
        }
    }

    fn on_directory(&self, asked: Asked, opened: &OpenDirectory) -> Answer {
        let mut reading = opened
            .reading
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Reading { directory, left } = &mut *reading;
        let (name, path) = (asked.name(), &opened.path);
        match asked {
            Asked::Readdir { reply, .. } => {
                reply.with(guarded(|| next_names(directory.as_mut(), left)))
            }
            Asked::Close { reply, .. } => {
                self.tell(&Event::ClosedDirectory { path });
                reply.with(Ok(()))
            }
            Asked::Fstat { reply, .. } => reply.with(guarded(|| directory.stat())),
            Asked::Fsetstat { attrs, reply, .. } => {
                reply.with(self.setting(name, path, &attrs, || directory.set_stat(&attrs)))
            }
            Asked::Fsync { reply, .. } => reply.with(self.one(name, path, || directory.sync())),
            Asked::Fstatvfs { reply, .. } => reply.with(guarded(|| directory.stat_vfs())),
            other => other.refuse(NOT_A_FILE),
        }
    }

    fn between(&self, asked: Asked, from: &Opened, to: &Opened) -> Answer {
        let Asked::CopyData {
            from_offset,
            len,
            to_offset,
            reply,
            ..
        } = asked
        else {
            return asked.refuse(StatusCode::OP_UNSUPPORTED.into());
        };
        let (Opened::File(from), Opened::File(to)) = (from, to) else {
            return reply.with(Err(NOT_A_FILE));
        };
        let outcome = guarded(|| self.copy(from, from_offset, len, to, to_offset));
        self.tell(&Event::Performed {
            request: "copy-data",
            path: &from.path,
            second: Some(&to.path),
            attrs: None,
            outcome: told(&outcome),
        });
        reply.with(outcome)
    }

    fn read_at(&self, opened: &OpenFile, offset: u64, len: u32) -> Outcome<Data> {
        let data = opened.file.read_at(offset, len as usize)?;
        if data.is_empty() && len > 0 {
            return Err(StatusCode::EOF.into());
        }
        let read = data.len() as u64;
        opened.read.fetch_add(read, Ordering::Relaxed);
        self.read.fetch_add(read, Ordering::Relaxed);
        Ok(data)
    }

    fn write_at(&self, opened: &OpenFile, offset: u64, data: &Data) -> Outcome<()> {
        opened.file.write_at(offset, data)?;
        let written = data.len() as u64;
        opened.written.fetch_add(written, Ordering::Relaxed);
        self.written.fetch_add(written, Ordering::Relaxed);
        Ok(())
    }

    // ---- what is told of it

    fn one<T>(
        &self,
        request: &'static str,
        path: &[u8],
        f: impl FnOnce() -> Outcome<T>,
    ) -> Outcome<T> {
        self.performed(request, path, None, None, f)
    }

    fn two<T>(
        &self,
        request: &'static str,
        path: &[u8],
        second: &[u8],
        f: impl FnOnce() -> Outcome<T>,
    ) -> Outcome<T> {
        self.performed(request, path, Some(second), None, f)
    }

    fn setting<T>(
        &self,
        request: &'static str,
        path: &[u8],
        attrs: &Attrs,
        f: impl FnOnce() -> Outcome<T>,
    ) -> Outcome<T> {
        self.performed(request, path, None, Some(attrs), f)
    }

    fn performed<T>(
        &self,
        request: &'static str,
        path: &[u8],
        second: Option<&[u8]>,
        attrs: Option<&Attrs>,
        f: impl FnOnce() -> Outcome<T>,
    ) -> Outcome<T> {
        let outcome = guarded(f);
        self.tell(&Event::Performed {
            request,
            path,
            second,
            attrs,
            outcome: told(&outcome),
        });
        outcome
    }

    fn tell_closed(&self, file: &OpenFile, by: ClosedBy, outcome: &Outcome<()>) {
        self.tell(&Event::Closed {
            path: &file.path,
            read: file.read.load(Ordering::Relaxed),
            written: file.written.load(Ordering::Relaxed),
            time: file.since.elapsed(),
            by,
            outcome: told(outcome),
        });
    }

    fn tell(&self, event: &Event<'_>) {
        let Some(observe) = &self.options.observe else {
            return;
        };
        // Whoever keeps a log must not be able to stop the session.
        let _ = guarded(|| {
            observe.observe(event);
            Ok(())
        });
    }
}

/// A path for as long as something is open, without the request that it came in: behind a short path
/// there may be 256 KiB of attributes.
fn kept(path: &[u8]) -> Bytes {
    Bytes::copy_from_slice(path)
}

fn told<T>(outcome: &Outcome<T>) -> Result<(), &Status> {
    outcome.as_ref().map(drop)
}

/// Runs what is not ours. A panic in it is answered like any failure: the session and its other
/// files go on.
fn guarded<T>(f: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|_| {
        tracing::error!("a file system panicked while a request was processed");
        Err(Status::with_text(
            StatusCode::FAILURE,
            "the server failed; this is a bug in it",
        ))
    })
}

/// Drops what may be the last of something open: what a file system does then may go wrong as well.
pub(super) fn discard<T>(it: T) {
    let _ = guarded(|| {
        drop(it);
        Ok(())
    });
}

/// The next names of a directory, as many as go into one answer.
fn next_names(directory: &mut dyn Directory, left: &mut VecDeque<Entry>) -> Outcome<Vec<Entry>> {
    /// Bytes of an entry beside its names: two lengths, and all attributes (§5, §7).
    const AROUND: usize = 8 + 32;
    if left.is_empty() {
        left.extend(directory.read(limits::SFTP_NAMES)?);
    }
    let mut room = limits::SFTP_NAMES;
    let mut names = Vec::new();
    while let Some(entry) = left.front() {
        let length = entry.filename.len() + entry.longname.len() + AROUND;
        // One is answered in any case: one that is too long for all messages is a failure.
        if length > room && !names.is_empty() {
            break;
        }
        room = room.saturating_sub(length);
        names.extend(left.pop_front());
    }
    if names.is_empty() {
        return Err(StatusCode::EOF.into());
    }
    Ok(names)
}

/// One name for each number that was asked about, and no more than an answer holds: what does not
/// fit is as unknown as a number that nobody has.
fn fitting(names: OwnerNames, users: usize, groups: usize) -> OwnerNames {
    /// Bytes of the answer that are no name: header and lengths.
    const HEADER: usize = 64;
    let mut room = limits::SFTP_MESSAGE.saturating_sub(HEADER + 4 * (users + groups));
    let mut fit = |mut names: Vec<Bytes>, asked: usize| {
        names.resize(asked, Bytes::new());
        for name in &mut names {
            match room.checked_sub(name.len()) {
                Some(rest) => room = rest,
                None => *name = Bytes::new(),
            }
        }
        names
    };
    OwnerNames {
        users: fit(names.users, users),
        groups: fit(names.groups, groups),
    }
}

const NOT_A_FILE: Status = Status::with_text(StatusCode::FAILURE, "the handle is of no file");
const NOT_A_DIRECTORY: Status =
    Status::with_text(StatusCode::FAILURE, "the handle is of no directory");
