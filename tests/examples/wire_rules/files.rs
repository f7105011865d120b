//! Rules for a server's SFTP (draft-ietf-secsh-filexfer-02; OpenSSH's PROTOCOL §4). Those that need a file make one in the
//! user's home and take it away, if that was allowed.

use bytes::BytesMut;

use crate::report::{Fault, Rule};
use crate::session::{Channel, Files, Target};
use crate::wire::put;

type Seen = Result<String, Fault>;

fn holds() -> Seen {
    Ok(String::new())
}

pub(crate) const RULES: &[Rule<Target>] = &[
    Rule {
        section: "filexfer-02 §4",
        says: "INIT 3 is answered with VERSION 3 and whole pairs of extensions",
        look: version,
    },
    Rule {
        section: "filexfer-02 §4",
        says: "a client of version 6 gets version 6 or less",
        look: newer_client,
    },
    Rule {
        section: "filexfer-02 §6.1",
        says: "each of several requests in flight has one answer with its id",
        look: ids,
    },
    Rule {
        section: "filexfer-02 §8",
        says: "an unknown extended request is answered with OP_UNSUPPORTED",
        look: unknown_extended,
    },
    Rule {
        section: "filexfer-02 §3",
        says: "an unknown type of packet is answered with OP_UNSUPPORTED, and the session goes on",
        look: unknown_type,
    },
    Rule {
        section: "filexfer-02 §7",
        says: "a STATUS has a message and a language behind its code",
        look: status_is_whole,
    },
    Rule {
        section: "filexfer-02 §7",
        says: "what is not there is NO_SUCH_FILE for STAT, LSTAT, OPEN and OPENDIR",
        look: no_such_file,
    },
    Rule {
        section: "filexfer-02 §6.11",
        says: "REALPATH gives one name, which begins with /",
        look: realpath,
    },
    Rule {
        section: "filexfer-02 §6.7",
        says: "READDIR ends with EOF, and no name in it is empty or has a /",
        look: readdir,
    },
    Rule {
        section: "filexfer-02 §6.2",
        says: "a handle has at most 256 bytes, and is of no use behind its CLOSE",
        look: closed_handle,
    },
    Rule {
        section: "filexfer-02 §6.4",
        says: "READ behind the end is EOF",
        look: read_behind_end,
    },
    Rule {
        section: "filexfer-02 §6.4",
        says: "READ of no bytes is no EOF",
        look: empty_read,
    },
    Rule {
        section: "filexfer-02 §3",
        says: "a packet of 34000 bytes is taken",
        look: large_write,
    },
    Rule {
        section: "filexfer-02 §6.3",
        says: "EXCL fails where the file is there",
        look: exclusive,
    },
    Rule {
        section: "filexfer-02 §6.5",
        says: "RENAME fails where the target is there",
        look: rename,
    },
    Rule {
        section: "filexfer-02 §6.1",
        says: "requests on one file are done in the order in which they were sent",
        look: in_order,
    },
];

const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const READ: u8 = 5;
const WRITE: u8 = 6;
const LSTAT: u8 = 7;
const OPENDIR: u8 = 11;
const READDIR: u8 = 12;
const REMOVE: u8 = 13;
const REALPATH: u8 = 16;
const STAT: u8 = 17;
const RENAME: u8 = 18;
const EXTENDED: u8 = 200;

const OK: u32 = 0;
const EOF: u32 = 1;
const NO_SUCH_FILE: u32 = 2;
const OP_UNSUPPORTED: u32 = 8;

const READABLE: u32 = 1;
const WRITABLE: u32 = 2;
const CREATE: u32 = 8;
const EXCLUSIVE: u32 = 0x20;

const MISSING: &[u8] = b"a-file-that-is-not-there";

fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    put(&mut out, bytes);
    out.to_vec()
}

fn version(target: &Target) -> Seen {
    version_of(target, 3, 3)
}

fn newer_client(target: &Target) -> Seen {
    version_of(target, 6, 6)
}

fn version_of(target: &Target, ours: u8, most: u32) -> Seen {
    let mut channel = target.channel(1 << 20, 1 << 15)?;
    channel.starts_sftp()?;
    channel.sends(&[0, 0, 0, 5, 1, 0, 0, 0, ours])?;
    let packet = channel.hears_sftp()?;
    let [2, a, b, c, d, extensions @ ..] = packet.as_slice() else {
        return Err("no VERSION".into());
    };
    let version = u32::from_be_bytes([*a, *b, *c, *d]);
    if version > most || (most == 3 && version != 3) {
        return Err(format!("version {version}").into());
    }
    let mut reader = sansftp_proto::wire::Reader::new(extensions);
    let mut names = Vec::new();
    while reader.clone().finish().is_err() {
        let pair = reader
            .read::<&[u8]>()
            .and_then(|name| reader.read::<&[u8]>().map(|_| name));
        let name = pair.map_err(|it| format!("extensions that do not read: {it}"))?;
        names.push(String::from_utf8_lossy(name).into_owned());
    }
    Ok(format!("version {version}, {} extensions", names.len()))
}

fn ids(target: &Target) -> Seen {
    let mut channel = target.sftp()?;
    let mut open: Vec<u32> = (0..20).map(|it| it * 0x0101_0101).collect();
    for (number, &id) in open.iter().enumerate() {
        let kind = if number % 2 == 0 { REALPATH } else { STAT };
        channel.asks_sftp(kind, id, &string(b"."))?;
    }
    while !open.is_empty() {
        let packet = channel.hears_sftp()?;
        let id = packet.get(1..5).and_then(|it| it.first_chunk());
        let id = u32::from_be_bytes(*id.ok_or("an answer without an id")?);
        let at = open.iter().position(|&it| it == id);
        open.remove(at.ok_or("an id that was not asked for")?);
    }
    holds()
}

fn is(code: u32, expected: u32) -> Seen {
    match code == expected {
        true => holds(),
        false => Err(format!("STATUS {code} in place of {expected}").into()),
    }
}

fn unknown_extended(target: &Target) -> Seen {
    let mut channel = target.sftp()?;
    let code = channel.status(EXTENDED, 5, &string(b"unheard-of@example.com"))?;
    is(code, OP_UNSUPPORTED)
}

fn unknown_type(target: &Target) -> Seen {
    let mut channel = target.sftp()?;
    let code = channel.status(99, 5, &string(b"."))?;
    channel.answer(REALPATH, 6, &string(b"."))?;
    is(code, OP_UNSUPPORTED)
}

fn status_is_whole(target: &Target) -> Seen {
    let mut channel = target.sftp()?;
    let (kind, fields) = channel.answer(STAT, 5, &string(MISSING))?;
    if kind != 101 {
        return Err(format!("type {kind} in place of STATUS").into());
    }
    let mut reader = sansftp_proto::wire::Reader::new(fields.get(4..).unwrap_or_default());
    let read = reader
        .read::<&[u8]>()
        .and_then(|_| reader.read::<&[u8]>())
        .and_then(|_| reader.finish());
    match read {
        Ok(()) => holds(),
        Err(cause) => Err(cause.to_string().into()),
    }
}

fn no_such_file(target: &Target) -> Seen {
    let mut channel = target.sftp()?;
    let mut open = string(MISSING);
    open.extend_from_slice(&[0, 0, 0, 1, 0, 0, 0, 0]);
    let path = string(MISSING);
    for (kind, fields) in [
        (STAT, &path),
        (LSTAT, &path),
        (OPENDIR, &path),
        (OPEN, &open),
    ] {
        is(channel.status(kind, 5, fields)?, NO_SUCH_FILE)?;
    }
    holds()
}

/// The names of a NAME: how many there are said to be, and each.
fn names(fields: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
    let mut reader = sansftp_proto::wire::Reader::new(fields);
    let malformed = |it: sansftp_proto::wire::Malformed| Fault::Differs(it.to_string());
    let count: u32 = reader.read().map_err(malformed)?;
    let mut names = Vec::new();
    for _ in 0..count {
        let name: &[u8] = reader.read().map_err(malformed)?;
        let _longname: &[u8] = reader.read().map_err(malformed)?;
        let flags: u32 = reader.read().map_err(malformed)?;
        // Size, owner, permissions and times.
        for (flag, words) in [(1, 2), (2, 2), (4, 1), (8, 2)] {
            for _ in 0..if flags & flag == 0 { 0 } else { words } {
                let _word: u32 = reader.read().map_err(malformed)?;
            }
        }
        names.push(name.to_vec());
    }
    Ok(names)
}

fn realpath(target: &Target) -> Seen {
    let mut channel = target.sftp()?;
    let (kind, fields) = channel.answer(REALPATH, 5, &string(b"."))?;
    if kind != 104 {
        return Err(format!("type {kind} in place of NAME").into());
    }
    match names(&fields)?.as_slice() {
        [name] if name.starts_with(b"/") => holds(),
        [_] => Err("a name that is not absolute".into()),
        many => Err(format!("{} names", many.len()).into()),
    }
}

fn readdir(target: &Target) -> Seen {
    let mut channel = target.sftp()?;
    let handle = channel.handle(OPENDIR, 5, &string(b"."))?;
    let mut seen = 0;
    for id in 6..1000 {
        let (kind, fields) = channel.answer(READDIR, id, &handle)?;
        match kind {
            101 if fields.get(..4) == Some(&EOF.to_be_bytes()) => {
                return Ok(format!("{seen} names"));
            }
            104 => {}
            other => return Err(format!("type {other} in place of NAME").into()),
        }
        let names = names(&fields)?;
        if names.is_empty() {
            return Err("a NAME without names".into());
        }
        if names.iter().any(|it| it.is_empty() || it.contains(&b'/')) {
            return Err("a name that is empty or has a /".into());
        }
        seen += names.len();
    }
    Ok("the directory was not read to its end".to_owned())
}

fn closed_handle(target: &Target) -> Seen {
    let mut channel = target.sftp()?;
    let handle = channel.handle(OPENDIR, 5, &string(b"."))?;
    // Four bytes are its length.
    if handle.len() > 4 + 256 {
        return Err(format!("a handle of {} bytes", handle.len() - 4).into());
    }
    is(channel.status(CLOSE, 6, &handle)?, OK)?;
    match channel.status(READDIR, 7, &handle)? {
        OK | EOF => Err("it was served".into()),
        code => Ok(format!("STATUS {code}")),
    }
}

/// A file of our own in the user's home, open; taken away at the end.
struct Made {
    channel: Channel,
    path: Vec<u8>,
    handle: Vec<u8>,
}

impl Made {
    fn at(target: &Target) -> Result<Self, Fault> {
        if target.files == Files::Untouched {
            return Err(Fault::NotTried("needs --files".to_owned()));
        }
        let mut drawn = [0; 8];
        let random = target.provider.random.fill(&mut drawn);
        random.map_err(|it| Fault::NotTried(it.to_string()))?;
        let name = format!(".wire_rules-{:016x}", u64::from_be_bytes(drawn));
        let path = string(name.as_bytes());
        let mut channel = target.sftp()?;
        let flags = READABLE | WRITABLE | CREATE | EXCLUSIVE;
        let handle = channel.handle(OPEN, 5, &opening(&path, flags))?;
        Ok(Self {
            channel,
            path,
            handle,
        })
    }

    /// Looks, and takes the file away whatever was seen.
    fn used(mut self, look: impl FnOnce(&mut Self) -> Seen) -> Seen {
        let seen = look(&mut self);
        let closed = self.channel.status(CLOSE, 90, &self.handle);
        let removed = self.channel.status(REMOVE, 91, &self.path);
        let seen = seen?;
        is(closed?, OK)?;
        is(removed?, OK)?;
        Ok(seen)
    }

    fn writes(&mut self, id: u32, offset: u64, data: &[u8]) -> Result<(), Fault> {
        let fields = [&self.handle, &offset.to_be_bytes()[..], &string(data)].concat();
        Ok(self.channel.asks_sftp(WRITE, id, &fields)?)
    }

    fn reads(&mut self, id: u32, offset: u64, len: u32) -> Result<(u8, Vec<u8>), Fault> {
        let fields = [&self.handle, &offset.to_be_bytes()[..], &len.to_be_bytes()].concat();
        Ok(self.channel.answer(READ, id, &fields)?)
    }
}

fn opening(path: &[u8], flags: u32) -> Vec<u8> {
    // No attributes.
    [path, &flags.to_be_bytes(), &[0; 4]].concat()
}

/// The next answer is a STATUS of this request; its code.
fn hears_status(made: &mut Made, id: u32) -> Result<u32, Fault> {
    let packet = made.channel.hears_sftp()?;
    match packet.as_slice() {
        [101, theirs @ ..] if theirs.starts_with(&id.to_be_bytes()) => {
            let code = theirs[4..].first_chunk().ok_or("a STATUS without a code")?;
            Ok(u32::from_be_bytes(*code))
        }
        _ => Err("another answer than a STATUS of this request".into()),
    }
}

fn written(made: &mut Made, data: &[u8]) -> Result<(), Fault> {
    made.writes(6, 0, data)?;
    is(hears_status(made, 6)?, OK)?;
    Ok(())
}

fn read_behind_end(target: &Target) -> Seen {
    Made::at(target)?.used(|made| {
        written(made, b"0123456789")?;
        let (kind, fields) = made.reads(7, 10, 100)?;
        match (kind, fields.as_slice()) {
            (101, [0, 0, 0, code, ..]) => is(u32::from(*code), EOF),
            (kind, _) => Err(format!("type {kind} in place of STATUS").into()),
        }
    })
}

fn empty_read(target: &Target) -> Seen {
    Made::at(target)?.used(|made| {
        written(made, b"0123456789")?;
        let (kind, fields) = made.reads(7, 0, 0)?;
        match (kind, fields.as_slice()) {
            (103, [0, 0, 0, 0]) => holds(),
            (101, [0, 0, 0, 0, ..]) => Ok("STATUS OK".to_owned()),
            (101, [0, 0, 0, code, ..]) => Err(format!("STATUS {code}").into()),
            (kind, _) => Err(format!("type {kind}").into()),
        }
    })
}

fn large_write(target: &Target) -> Seen {
    Made::at(target)?.used(|made| {
        // Type, id, handle, offset and length make up the rest of the packet.
        let data = vec![b'x'; 34_000 - 21 - made.handle.len()];
        written(made, &data)?;
        holds()
    })
}

fn exclusive(target: &Target) -> Seen {
    Made::at(target)?.used(|made| {
        let fields = opening(&made.path, WRITABLE | CREATE | EXCLUSIVE);
        match made.channel.status(OPEN, 6, &fields)? {
            OK => Err("STATUS OK".into()),
            code => Ok(format!("STATUS {code}")),
        }
    })
}

fn rename(target: &Target) -> Seen {
    let other = Made::at(target)?;
    Made::at(target)?.used(|made| {
        let both = [made.path.clone(), other.path.clone()].concat();
        let code = made.channel.status(RENAME, 6, &both)?;
        if code == OK {
            // What is at the other's name now is taken away with it; ours is made again, to be taken away.
            let fields = opening(&made.path, WRITABLE | CREATE);
            let handle = made.channel.handle(OPEN, 7, &fields)?;
            made.channel.status(CLOSE, 8, &handle)?;
        }
        other.used(|_| match code {
            OK => Err("the file at the target was replaced".into()),
            code => Ok(format!("STATUS {code}")),
        })
    })
}

fn in_order(target: &Target) -> Seen {
    Made::at(target)?.used(|made| {
        let writes = 10_u8;
        for number in 0..writes {
            made.writes(10 + u32::from(number), 0, &[b'a' + number])?;
        }
        let mut open: Vec<u32> = (10..10 + u32::from(writes)).collect();
        while let Some(&first) = open.first() {
            let packet = made.channel.hears_sftp()?;
            let id = packet.get(1..5).and_then(|it| it.first_chunk());
            let id = id.map_or(first, |it| u32::from_be_bytes(*it));
            let at = open.iter().position(|&it| it == id);
            open.remove(at.ok_or("an id that was not asked for")?);
        }
        let (kind, data) = made.reads(30, 0, 1)?;
        match (kind, data.last()) {
            (103, Some(&last)) if last == b'a' + writes - 1 => holds(),
            (103, _) => Err("another write than the last is in the file".into()),
            _ => Err("what was written cannot be read".into()),
        }
    })
}
