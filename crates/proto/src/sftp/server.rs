//! The server's half of SFTP version 3 as a machine: bytes in, questions out; answers in, bytes out
//! (draft-ietf-secsh-filexfer-02 §3 to §8).
//!
//! It knows no files. What a request means, whether a handle is open, and where a path leads is for
//! whoever answers; that no answer is of the wrong kind, given twice or too long is settled here.

use super::VERSION;
use super::answer::{Body, invalid, read, read_fields, write_reply, write_status};
use super::attrs::{Attrs, OpenFlags};
use super::extensions::{self, Extension, Extensions};
use super::kind::{self, Expected, Kind, Request};
use super::messages::{self, Extended, Init, Version};
use super::rope::{Data, Input, Output};
use super::status::{Status, StatusCode};
use super::values::Handle;
use crate::error::{Error, PeerMisbehaved};
use crate::limits;
use crate::wire::{Malformed, Message, Reader, Rest};
use bytes::{Bytes, BytesMut};
use std::marker::PhantomData;

/// The right to answer one request with a `K`. Linear: [`Server::reply`] spends it. Dropped, it
/// keeps its place among the unanswered, and the client waits for ever.
#[derive(Debug)]
#[must_use]
pub struct Reply<K: Kind> {
    open: Unanswered,
    kind: PhantomData<fn(K)>,
}

/// A request's answer, of whatever kind. Linear as the [`Reply`] was: [`Server::give`] spends it.
#[derive(Debug)]
#[must_use]
pub struct Answer {
    open: Unanswered,
    result: Result<Body, Status>,
}

/// Requests to write that are handed out with their data in the buffers that it came in; that of
/// others is copied. A few bytes keep a whole buffer, of 256 KiB perhaps, whatever else was in it. As
/// many as OpenSSH's client sends ahead, so that for it nothing is copied.
const PINNED: usize = 64;

/// What a server holds at most for its client. One request may always come, whatever it asks for.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::exhaustive_structs,
    reason = "plain numbers, any of which is valid"
)]
pub struct ServerBounds {
    /// Requests that were handed out and not answered; 1,024.
    pub unanswered: usize,
    /// Bytes that these requests carry or ask for, and of answers that were not sent; 8 MiB. Below a
    /// few messages of 257 KiB, requests come one at a time.
    pub bytes: usize,
}

impl Default for ServerBounds {
    fn default() -> Self {
        Self {
            unanswered: limits::SFTP_UNANSWERED,
            bytes: limits::SFTP_UNSENT,
        }
    }
}

/// What is remembered of a request until it is answered.
#[derive(Debug, Clone, Copy)]
struct Unanswered {
    id: u32,
    expected: Expected,
    /// Bytes that the request carries, or that its answer may take.
    weight: usize,
    /// Whether it has the buffers that it came in.
    pins: bool,
}

impl<K: Kind> Reply<K> {
    /// The answer, its kind forgotten: for whoever answers requests of all kinds in one place.
    pub fn with(self, result: Result<K::Value, Status>) -> Answer {
        Answer {
            open: self.open,
            result: result.map(K::give),
        }
    }

    fn to<'a, Q: Request<'a, Reply = K>>(request: &Q, open: Unanswered) -> Self {
        Self {
            open: Unanswered {
                expected: request.expected(),
                ..open
            },
            kind: PhantomData,
        }
    }
}

macro_rules! asked {
    (
        numbered { $($(#[$meta:meta])* $Variant:ident $name:literal { $($field:ident: $Type:ty = $how:ident $from:ident),* } -> $Kind:ident;)* }
        extended { $($(#[$xmeta:meta])* $XVariant:ident $xname:literal $Message:ident { $($xfield:ident: $XType:ty = $xhow:ident $xfrom:ident),* } -> $XKind:ident;)* }
        by_hand { $($(#[$hmeta:meta])* $HVariant:ident $hname:literal { $($(#[$fmeta:meta])* $hfield:ident: $HType:ty),* } -> $HKind:ident;)* }
    ) => {
        /// A request, and the right to answer it. Requests come in the order in which the client sent
        /// them, and those on the same file are to be processed in that order (§6.1).
        #[derive(Debug)]
        #[non_exhaustive]
        #[expect(missing_docs, reason = "the fields are those of the message that each variant names")]
        pub enum Asked {
            $($(#[$meta])* $Variant { $($field: $Type,)* reply: Reply<kind::$Kind> },)*
            $($(#[$hmeta])* $HVariant { $($(#[$fmeta])* $hfield: $HType,)* reply: Reply<kind::$HKind> },)*
            $($(#[$xmeta])* $XVariant { $($xfield: $XType,)* reply: Reply<kind::$XKind> },)*
        }

        impl Asked {
            /// What OpenSSH's `sftp-server` calls the request where requests are denied and allowed.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$Variant { .. } => $name,)*
                    $(Self::$HVariant { .. } => $hname,)*
                    $(Self::$XVariant { .. } => $xname,)*
                }
            }

            /// The answer that refuses the request, whatever it asks for.
            pub fn refuse(self, status: Status) -> Answer {
                match self {
                    $(Self::$Variant { reply, .. } => reply.with(Err(status)),)*
                    $(Self::$HVariant { reply, .. } => reply.with(Err(status)),)*
                    $(Self::$XVariant { reply, .. } => reply.with(Err(status)),)*
                }
            }

            const fn open_mut(&mut self) -> &mut Unanswered {
                match self {
                    $(Self::$Variant { reply, .. } => &mut reply.open,)*
                    $(Self::$HVariant { reply, .. } => &mut reply.open,)*
                    $(Self::$XVariant { reply, .. } => &mut reply.open,)*
                }
            }
        }

        /// Reads a request of the draft; `None` for a number that no request has.
        fn read_numbered(number: u8, body: &Bytes, open: Unanswered) -> Result<Option<Asked>, Malformed> {
            match number {
                $(messages::$Variant::NUMBER => {
                    let it: messages::$Variant<'_> = read_fields(body)?;
                    Ok(Some(Asked::$Variant {
                        $($field: $how(body, it.$from)?,)*
                        reply: Reply::to(&it, open),
                    }))
                })*
                _ => Ok(None),
            }
        }

        /// Reads an extended request (§8).
        fn read_extended(extension: Extension, body: &Bytes, open: Unanswered) -> Result<Asked, Malformed> {
            Ok(match extension {
                $(Extension::$XVariant => {
                    let it: extensions::$Message<'_> = read_fields(body)?;
                    Asked::$XVariant {
                        $($xfield: $xhow(body, it.$xfrom)?,)*
                        reply: Reply::to(&it, open),
                    }
                })*
                Extension::Limits => {
                    let it: extensions::GetLimits = read_fields(body)?;
                    Asked::Limits { reply: Reply::to(&it, open) }
                }
            })
        }
    };
}

asked! {
    numbered {
        /// SSH_FXP_OPEN (§6.3)
        Open "open" { path: Bytes = path filename, flags: OpenFlags = value pflags, attrs: Attrs = value attrs } -> Handle;
        /// SSH_FXP_CLOSE (§6.3): the handle is useless afterwards, whatever the answer.
        Close "close" { handle: Handle = handle handle } -> Status;
        /// SSH_FXP_READ (§6.4): to be answered with at most `len` bytes, which is cut to what one
        /// message holds; nothing left is [`StatusCode::EOF`], except for a `len` of 0.
        Read "read" { handle: Handle = handle handle, offset: u64 = value offset, len: u32 = read_len len } -> Data;
        /// SSH_FXP_LSTAT (§6.8): does not follow links.
        Lstat "lstat" { path: Bytes = path path } -> Attrs;
        /// SSH_FXP_FSTAT (§6.8)
        Fstat "fstat" { handle: Handle = handle handle } -> Attrs;
        /// SSH_FXP_SETSTAT (§6.9): follows links.
        Setstat "setstat" { path: Bytes = path path, attrs: Attrs = value attrs } -> Status;
        /// SSH_FXP_FSETSTAT (§6.9)
        Fsetstat "fsetstat" { handle: Handle = handle handle, attrs: Attrs = value attrs } -> Status;
        /// SSH_FXP_OPENDIR (§6.7)
        Opendir "opendir" { path: Bytes = path path } -> Handle;
        /// SSH_FXP_READDIR (§6.7): the end is [`StatusCode::EOF`], not an empty answer. More names
        /// than fit into one message are answered as a failure.
        Readdir "readdir" { handle: Handle = handle handle } -> Names;
        /// SSH_FXP_REMOVE (§6.5)
        Remove "remove" { path: Bytes = path filename } -> Status;
        /// SSH_FXP_MKDIR (§6.6)
        Mkdir "mkdir" { path: Bytes = path path, attrs: Attrs = value attrs } -> Status;
        /// SSH_FXP_RMDIR (§6.6)
        Rmdir "rmdir" { path: Bytes = path path } -> Status;
        /// SSH_FXP_REALPATH (§6.11)
        Realpath "realpath" { path: Bytes = path path } -> Path;
        /// SSH_FXP_STAT (§6.8): follows links.
        Stat "stat" { path: Bytes = path path } -> Attrs;
        /// SSH_FXP_RENAME (§6.5): fails where `to` exists.
        Rename "rename" { from: Bytes = path oldpath, to: Bytes = path newpath } -> Status;
        /// SSH_FXP_READLINK (§6.10)
        Readlink "readlink" { path: Bytes = path path } -> Path;
        /// SSH_FXP_SYMLINK (§6.10) as OpenSSH reads it (its PROTOCOL §4.1): `link` is to lie where it
        /// says and to point at `target`.
        Symlink "symlink" { target: Bytes = path targetpath, link: Bytes = path linkpath } -> Status;
    }
    extended {
        /// `posix-rename@openssh.com`: replaces `to` where it exists.
        PosixRename "posix-rename" PosixRename { from: Bytes = path oldpath, to: Bytes = path newpath } -> Status;
        /// `statvfs@openssh.com`
        Statvfs "statvfs" Statvfs { path: Bytes = path path } -> FileSystem;
        /// `fstatvfs@openssh.com`
        Fstatvfs "fstatvfs" Fstatvfs { handle: Handle = handle handle } -> FileSystem;
        /// `hardlink@openssh.com`
        Hardlink "hardlink" Hardlink { existing: Bytes = path oldpath, link: Bytes = path newpath } -> Status;
        /// `fsync@openssh.com`
        Fsync "fsync" Fsync { handle: Handle = handle handle } -> Status;
        /// `lsetstat@openssh.com`: does not follow links.
        Lsetstat "lsetstat" Lsetstat { path: Bytes = path path, attrs: Attrs = value attrs } -> Status;
        /// `expand-path@openssh.com`: like REALPATH, and knows `~`.
        ExpandPath "expand-path" ExpandPath { path: Bytes = path path } -> Path;
        /// `copy-data`: `len` 0 copies to the end of the file. The two handles differ; whether they
        /// are the same file is for the server to find out.
        CopyData "copy-data" CopyData {
            from: Handle = handle read_from_handle,
            from_offset: u64 = value read_from_offset,
            len: u64 = value read_data_length,
            to: Handle = handle write_to_handle,
            to_offset: u64 = value write_to_offset
        } -> Status;
        /// `home-directory`: an empty `user` is the one that is logged in.
        HomeDirectory "home-directory" HomeDirectory { user: Bytes = path username } -> Path;
        /// `users-groups-by-id@openssh.com`: the answer has a name for each, empty where unknown.
        UsersGroupsById "users-groups-by-id" UsersGroupsById { users: Vec<u32> = ids uids, groups: Vec<u32> = ids gids } -> Owners;
        /// `check-file-handle`: `algorithms` are names with commas between them, of which the first
        /// that is known is used; `len` 0 goes to the end of the file; `block_size` 0 is one hash over
        /// all, and else at least 256.
        CheckFileHandle "check-file-handle" CheckFileHandle {
            handle: Handle = handle handle,
            algorithms: Bytes = path hash_algorithm_list,
            offset: u64 = value start_offset,
            len: u64 = value length,
            block_size: u32 = value block_size
        } -> Hashes;
        /// `check-file-name`: the same of a file that is not open. Links are followed.
        CheckFileName "check-file-name" CheckFileName {
            path: Bytes = path name,
            algorithms: Bytes = path hash_algorithm_list,
            offset: u64 = value start_offset,
            len: u64 = value length,
            block_size: u32 = value block_size
        } -> Hashes;
    }
    by_hand {
        /// SSH_FXP_WRITE (§6.4): `data` in the pieces in which it came, uncopied but where many such
        /// requests are unanswered.
        Write "write" { handle: Handle, offset: u64, data: Data } -> Status;
        /// `limits@openssh.com`
        Limits "limits" {} -> ServerLimits;
    }
}

impl Asked {
    /// Every [`name`](Self::name), in the order in which `sftp-server -Q requests` lists them; then
    /// those that it does not have.
    pub const NAMES: &'static [&'static str] = &[
        "open",
        "close",
        "read",
        "write",
        "lstat",
        "fstat",
        "setstat",
        "fsetstat",
        "opendir",
        "readdir",
        "remove",
        "mkdir",
        "rmdir",
        "realpath",
        "stat",
        "rename",
        "readlink",
        "symlink",
        "posix-rename",
        "statvfs",
        "fstatvfs",
        "hardlink",
        "fsync",
        "lsetstat",
        "limits",
        "expand-path",
        "copy-data",
        "home-directory",
        "users-groups-by-id",
        "check-file-handle",
        "check-file-name",
    ];

    /// Bytes to set aside for the request and its answer, where `carried` came with it.
    const fn weight(&self, carried: usize) -> usize {
        match self {
            Self::Read { len, .. } => *len as usize,
            Self::Readdir { .. } => carried + limits::SFTP_NAMES,
            Self::UsersGroupsById { .. }
            | Self::CheckFileHandle { .. }
            | Self::CheckFileName { .. } => carried + limits::SFTP_MESSAGE,
            Self::Readlink { .. }
            | Self::Realpath { .. }
            | Self::ExpandPath { .. }
            | Self::HomeDirectory { .. } => carried + limits::SFTP_PATH_USUAL,
            _ => carried,
        }
    }
}

/// The server's half of an SFTP session.
#[derive(Debug)]
pub struct Server {
    announced: Extensions,
    /// Extensions whose requests are handed out.
    known: Extensions,
    bounds: ServerBounds,
    greeted: bool,
    input: Input,
    output: Output,
    /// Requests that were handed out and not answered, and their bytes.
    unanswered: usize,
    weight: usize,
    /// Those of them that have the buffers that they came in.
    pinned: usize,
    ended: Option<Error>,
}

impl Server {
    /// Begins a session that announces `extensions`. Requests of others are answered with
    /// [`StatusCode::OP_UNSUPPORTED`] without asking anybody.
    pub fn new(extensions: Extensions) -> Self {
        Self {
            announced: extensions,
            known: extensions,
            bounds: ServerBounds::default(),
            greeted: false,
            input: Input::default(),
            output: Output::default(),
            unanswered: 0,
            weight: 0,
            pinned: 0,
            ended: None,
        }
    }

    /// The same with other bounds than the usual ones.
    #[must_use]
    pub const fn bounded(mut self, bounds: ServerBounds) -> Self {
        self.bounds = bounds;
        self
    }

    /// The same, and requests of `extensions` are handed out although they were not announced: for
    /// whoever denies them in words of its own.
    #[must_use]
    pub const fn knowing(mut self, extensions: Extensions) -> Self {
        self.known = self.known.union(extensions);
        self
    }

    /// Takes what the client sent; [`poll_request`](Self::poll_request) reads it. To be called when
    /// [`wants_data`](Self::wants_data) says so: that is what slows a client down.
    ///
    /// # Errors
    /// The error that has ended the session.
    pub fn handle_data(&mut self, chunk: Bytes) -> Result<(), Error> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        self.input.push(chunk);
        Ok(())
    }

    /// The next request, in order. `None` also while as much is unanswered or unsent as may be, so
    /// it is to be asked again after each answer and each transmission.
    ///
    /// What is malformed but has an id is answered with [`StatusCode::BAD_MESSAGE`] and passed over;
    /// its length was right, so the next message is found. What nobody knows is answered with
    /// [`StatusCode::OP_UNSUPPORTED`] (§8).
    ///
    /// # Errors
    /// What the client did wrong. The session has ended then, and the same error comes back each time.
    pub fn poll_request(&mut self) -> Result<Option<Asked>, Error> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        self.read_requests()
            .inspect_err(|error| self.abort(error.clone()))
    }

    /// Answers a request, in any order. An answer that does not fit into a message becomes
    /// [`StatusCode::FAILURE`]; data beyond what was asked for is cut off; [`StatusCode::OK`] as a
    /// failure is one.
    pub fn reply<K: Kind>(&mut self, reply: Reply<K>, result: Result<K::Value, Status>) {
        self.give(reply.with(result));
    }

    /// What [`reply`](Self::reply) does, with an answer of whatever kind.
    pub fn give(&mut self, answer: Answer) {
        let Unanswered {
            id,
            expected,
            weight,
            pins,
        } = answer.open;
        self.unanswered -= 1;
        self.weight -= weight;
        self.pinned -= usize::from(pins);
        if self.ended.is_some() {
            return;
        }
        match answer.result {
            Ok(body) => {
                if write_reply(&mut self.output, id, expected, body).is_err() {
                    self.refuse(
                        id,
                        StatusCode::FAILURE,
                        "the answer does not fit into a message",
                    );
                }
            }
            Err(status) => {
                let code = if status.code == StatusCode::OK {
                    StatusCode::FAILURE
                } else {
                    status.code
                };
                if write_status(&mut self.output, id, code, &status.message).is_err() {
                    self.refuse(id, code, "");
                }
            }
        }
    }

    /// The next bytes for the client.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        self.output.pop()
    }

    /// Ends the session, for instance because its channel has ended. Answers to what is still open
    /// are dropped. The first reason stays.
    pub fn abort(&mut self, error: Error) {
        self.ended.get_or_insert(error);
        self.input.clear();
        self.output.clear();
    }

    /// Whether more bytes may come: the way an application that is slow slows the client.
    pub fn wants_data(&mut self) -> bool {
        self.may_ask() && !self.input.has_message()
    }

    /// Requests that were handed out and not answered.
    pub const fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Bytes of answers that were not taken.
    pub const fn unsent(&self) -> usize {
        self.output.len()
    }

    /// Whether everything that came whole was answered, and every answer taken.
    pub fn is_idle(&mut self) -> bool {
        self.unanswered == 0 && self.output.len() == 0 && !self.input.has_message()
    }

    /// Whether one more request may be handed out. What requests carry and ask for is going to be
    /// held as well, on one way or the other, and the next one may be as large as any.
    const fn may_ask(&self) -> bool {
        let held = self.weight + self.output.len();
        if self.unanswered == 0 && self.output.len() == 0 {
            return true;
        }
        self.unanswered < self.bounds.unanswered && held + limits::SFTP_MESSAGE <= self.bounds.bytes
    }

    fn read_requests(&mut self) -> Result<Option<Asked>, Error> {
        while self.may_ask()
            && let Some(mut message) = self.input.next_message()?
        {
            let number = message.take_u8().expect("a message has its type");
            if !self.greeted {
                self.greet(number, &message.copied())?;
                continue;
            }
            // INIT has no id, and comes once (§4).
            if number == Init::NUMBER {
                return Err(PeerMisbehaved::UnexpectedSftpMessage { number }.into());
            }
            let id = message
                .take_u32()
                .expect("a message has four bytes behind its type");
            match self.read_request(number, id, message) {
                Ok(asked) => {
                    self.unanswered += 1;
                    return Ok(Some(asked));
                }
                Err(Refused { code, text }) => self.refuse(id, code, text),
            }
        }
        Ok(None)
    }

    /// Answers INIT with the lower of the versions, which is ours (§4).
    fn greet(&mut self, number: u8, body: &[u8]) -> Result<(), Error> {
        if number != Init::NUMBER {
            return Err(PeerMisbehaved::UnexpectedSftpMessage { number }.into());
        }
        let init: Init<'_> = read(body)?;
        if init.version < VERSION {
            return Err(PeerMisbehaved::BadSftpVersion.into());
        }
        // A client's extensions change nothing here, but they must be pairs.
        let _: Extensions = Reader::new(init.extensions.0)
            .read()
            .map_err(invalid::<Init<'_>>)?;
        self.greeted = true;
        let mut pairs = BytesMut::new();
        crate::wire::Field::write(&self.announced, &mut pairs);
        self.output
            .message(
                None,
                &Version {
                    version: VERSION,
                    extensions: Rest(&pairs),
                },
            )
            .expect("the extensions are a few hundred bytes");
        Ok(())
    }

    fn read_request(&mut self, number: u8, id: u32, message: Data) -> Result<Asked, Refused> {
        let open = Unanswered {
            id,
            expected: Expected::Status,
            weight: message.len(),
            pins: false,
        };
        let mut asked = if number == messages::Write::NUMBER {
            let open = Unanswered {
                pins: self.pinned < PINNED,
                ..open
            };
            let asked = read_write(message, open)?;
            self.pinned += usize::from(open.pins);
            asked
        } else {
            let body = message.copied();
            if number == Extended::NUMBER {
                self.read_known_extended(&body, open)?
            } else {
                read_numbered(number, &body, open)?.ok_or(Refused::UNKNOWN)?
            }
        };
        let weight = asked.weight(open.weight);
        if let Asked::Read { len, reply, .. } = &mut asked {
            reply.open.expected = Expected::Data { most: *len };
        }
        asked.open_mut().weight = weight;
        self.weight += weight;
        Ok(asked)
    }

    fn read_known_extended(&self, body: &Bytes, open: Unanswered) -> Result<Asked, Refused> {
        let extended: Extended<'_> = read_fields(body)?;
        let extension = Extension::named(extended.request)
            .filter(|&it| self.known.contains(it))
            .ok_or(Refused::UNKNOWN)?;
        let asked = read_extended(extension, body, open)?;
        // "If the server is asked to copy a file onto itself" it refuses (PROTOCOL §4.10).
        if let Asked::CopyData { from, to, .. } = &asked
            && from == to
        {
            let text = "a file cannot be copied onto itself";
            return Err(Refused {
                code: StatusCode::INVALID_PARAMETER,
                text,
            });
        }
        Ok(asked)
    }

    fn refuse(&mut self, id: u32, code: StatusCode, text: &'static str) {
        write_status(&mut self.output, id, code, text.as_bytes())
            .expect("our own words fit into a message");
    }
}

/// A request that is answered here, without asking anybody.
#[derive(Debug)]
struct Refused {
    code: StatusCode,
    text: &'static str,
}

impl Refused {
    const UNKNOWN: Self = Self {
        code: StatusCode::OP_UNSUPPORTED,
        text: "this request is not supported",
    };
}

impl From<Malformed> for Refused {
    fn from(Malformed(text): Malformed) -> Self {
        Self {
            code: StatusCode::BAD_MESSAGE,
            text,
        }
    }
}

/// SSH_FXP_WRITE field by field, so that its data stays in the pieces in which it came (§6.4).
///
/// Alone of all requests it may be longer than its fields: rclone up to 1.60 sends its whole buffer
/// with the last block of a file, under the right length, and sftp-server passes over the rest.
fn read_write(mut message: Data, open: Unanswered) -> Result<Asked, Malformed> {
    const TRUNCATED: Malformed = Malformed("truncated");
    let length = message.take_u32().ok_or(TRUNCATED)? as usize;
    if length > message.len() {
        return Err(TRUNCATED);
    }
    let handle = Handle::new(message.split_to(length).copied()).ok_or(HANDLE_TOO_LONG)?;
    let offset = message.take_u64().ok_or(TRUNCATED)?;
    let length = message.take_u32().ok_or(TRUNCATED)? as usize;
    if length > message.len() {
        return Err(TRUNCATED);
    }
    let mut data = message.split_to(length);
    if !open.pins {
        data = data.copied().into();
    }
    Ok(Asked::Write {
        handle,
        offset,
        data,
        reply: Reply {
            open,
            kind: PhantomData,
        },
    })
}

const HANDLE_TOO_LONG: Malformed = Malformed("a handle above 256 bytes");

fn handle(body: &Bytes, bytes: &[u8]) -> Result<Handle, Malformed> {
    Handle::new(body.slice_ref(bytes)).ok_or(HANDLE_TOO_LONG)
}

fn path(body: &Bytes, bytes: &[u8]) -> Result<Bytes, Malformed> {
    if bytes.len() > limits::SFTP_PATH {
        return Err(Malformed("a path above 64 KiB"));
    }
    Ok(body.slice_ref(bytes))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "one of the ways to read a field, which can fail"
)]
fn value<T>(_: &Bytes, value: T) -> Result<T, Malformed> {
    Ok(value)
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "one of the ways to read a field, which can fail"
)]
fn read_len(_: &Bytes, len: u32) -> Result<u32, Malformed> {
    // "may return fewer bytes than were requested" (§6.4): what fits beside the header.
    Ok(len.min(extensions::RequestLengths::LONGEST))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "one of the ways to read a field, which can fail"
)]
fn ids(_: &Bytes, ids: extensions::Ids<'_>) -> Result<Vec<u32>, Malformed> {
    Ok(ids.iter().collect())
}
