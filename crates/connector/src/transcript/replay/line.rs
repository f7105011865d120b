//! A line of a transcript, read: what was asked and how it ended.
//!
//! Whatever is in a line that does not fit together is found here, and not where it is used.

use super::super::form::{Answer, Fault, Form, Named};
use super::super::{CONTINUED, GIVEN_UP, NOT_WAITED_FOR, OK};
use super::names::shape;
use crate::error::Error;
use crate::path::RemotePath;
use crate::remote::{Attrs, Capabilities, Entry, RemoteError, Room};

/// So large is a chunk at most: no server sends more in one piece, and memory is reserved for it.
const MAX_CHUNK: u64 = 64 << 20;

/// What a line is about.
#[derive(Debug)]
pub(super) enum Line {
    /// The begin of a session.
    Connect(Connected),
    Call(Box<Call>),
}

/// How a session began.
#[derive(Clone, Debug)]
pub(super) enum Connected {
    Session(Capabilities),
    Failed(Error),
    NotWaitedFor,
}

/// A recorded call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// The number of its line.
    pub(super) line: usize,
    pub(super) asked: Asked,
    /// How many bytes were written.
    pub(super) bytes: u64,
    pub(super) reply: Reply,
    pub(super) ended: Ended,
    /// How much a server had that lost the rest.
    pub(super) acknowledged: Option<u64>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) operation: String,
    pub(super) path: Option<RemotePath>,
    pub(super) to: Option<RemotePath>,
    pub(super) mode: Option<String>,
    pub(super) offset: u64,
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Nothing,
    Attributes(Attrs),
    Path(RemotePath),
    Batch(Vec<Entry>),
    LastBatch(Vec<Entry>),
    Room(Room),
    Sha256(Option<[u8; 32]>),
    /// Sizes, and how many of each came in a row.
    Chunks(Vec<(u64, u64)>),
}

/// How a call ended.
#[derive(Clone, Debug)]
pub(super) enum Ended {
    Ok,
    /// Its user did not want the rest.
    GivenUp,
    /// The next line goes on with it.
    Continued,
    NotWaitedFor,
    Refused(RemoteError),
}

impl Line {
    /// Reads a line: of which account and session, and what it says.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(number: usize, line: &[u8]) -> Result<((String, u64), Self), String> {
        let form: Form = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let session = (form.account.clone(), form.session);
        let line = match form.operation.as_str() {
            "connect" => Self::Connect(connected(form)?),
            _ => Self::Call(Box::new(call(number, form)?)),
        };
        Ok((session, line))
    }
}

fn connected(form: Form) -> Result<Connected, String> {
    match (form.error, form.answer) {
        (None, Some(Answer::Capabilities(capabilities))) if form.result == OK => {
            Ok(Connected::Session(capabilities))
        }
        (None, None) if form.result == NOT_WAITED_FOR => Ok(Connected::NotWaitedFor),
        (
            Some(Fault::Connect {
                class,
                message,
                hint,
                retryable,
            }),
            None,
        ) => {
            let mut error = Error::new(class, message);
            if let Some(hint) = hint {
                error = error.with_hint(hint);
            }
            Ok(Connected::Failed(match retryable {
                true => error,
                false => error.not_retryable(),
            }))
        }
        _ => Err("it tells neither what the server can do nor why there is no session".to_owned()),
    }
}

fn call(line: usize, form: Form) -> Result<Call, String> {
    let asked = Asked {
        path: form.path()?,
        to: form.to()?,
        operation: form.operation,
        mode: form.mode,
        offset: form.counts.offset.unwrap_or(0),
    };
    let ended = match (form.error, form.result.as_str()) {
        (Some(Fault::Request { kind, message }), _) => {
            Ended::Refused(RemoteError::new(kind, message))
        }
        (Some(Fault::Connect { .. }), _) => {
            return Err("its error is one of connecting".to_owned());
        }
        (None, OK) => Ended::Ok,
        (None, GIVEN_UP) => Ended::GivenUp,
        (None, CONTINUED) => Ended::Continued,
        (None, NOT_WAITED_FOR) => Ended::NotWaitedFor,
        (None, _) => {
            return Err("its result is an error, and the error's kind is missing".to_owned());
        }
    };
    let acknowledged = match form.answer {
        Some(Answer::Acknowledged(acknowledged)) => Some(acknowledged),
        _ => None,
    };
    let came = form.answer.filter(|_| acknowledged.is_none());
    let reply = match (reply(&asked.operation, came)?, &ended) {
        (Reply::Nothing, Ended::Ok | Ended::GivenUp) if is_answered(&asked.operation) => {
            return Err(format!("a {} without its answer", asked.operation));
        }
        (reply, _) => reply,
    };
    Ok(Call {
        line,
        asked,
        bytes: form.counts.bytes.unwrap_or(0),
        reply,
        ended,
        acknowledged,
    })
}

/// Whether success comes with an answer.
fn is_answered(operation: &str) -> bool {
    [
        "lstat",
        "stat",
        "fstat",
        "realpath",
        "read-directory",
        "statvfs",
        "check-file",
    ]
    .contains(&operation)
}

fn reply(operation: &str, answer: Option<Answer>) -> Result<Reply, String> {
    Ok(match (operation, answer) {
        (
            "read" | "open-read" | "open-write" | "write" | "flush" | "fsync" | "close" | "list"
            | "rename" | "posix-rename" | "hardlink" | "copy-data" | "remove" | "remove-directory"
            | "make-directory" | "set-attributes" | "disconnect",
            None,
        ) => Reply::Nothing,
        (operation, None) if is_answered(operation) => Reply::Nothing,
        ("lstat" | "stat" | "fstat", Some(Answer::Attributes(attrs))) => Reply::Attributes(attrs),
        ("realpath", Some(Answer::Path(name))) => Reply::Path(name.path()?),
        ("read-directory", Some(Answer::Batch(names))) => Reply::Batch(entries(&names)?),
        ("read-directory", Some(Answer::LastBatch(names))) => Reply::LastBatch(entries(&names)?),
        ("statvfs", Some(Answer::Room(room))) => Reply::Room(room),
        ("check-file", Some(Answer::Sha256(hash))) => {
            Reply::Sha256(hash.map(|hash| sha256(&hash)).transpose()?)
        }
        ("read", Some(Answer::Chunks(runs))) => {
            let usual = |&(size, times): &(u64, u64)| (1..=MAX_CHUNK).contains(&size) && times > 0;
            if !runs.iter().all(usual) {
                return Err("a chunk is empty or larger than any".to_owned());
            }
            Reply::Chunks(runs)
        }
        (operation, None) => return Err(format!("it has an unknown operation, {operation:?}")),
        (operation, Some(_)) => return Err(format!("a {operation:?} has no such answer")),
    })
}

fn entries(names: &[Named]) -> Result<Vec<Entry>, String> {
    let entry = |named: &Named| {
        let (name, attrs) = named.parts()?;
        Ok(Entry {
            name: name.as_bytes().to_vec().into(),
            attrs,
        })
    };
    names.iter().map(entry).collect()
}

fn sha256(hex: &str) -> Result<[u8; 32], String> {
    let mut hash = [0; 32];
    let digits: Option<Vec<u32>> = hex.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() == 64);
    let digits = digits.ok_or("a SHA-256 is not 64 hexadecimal digits")?;
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair
            .iter()
            .fold(0, |byte, digit| byte << 4 | (*digit as u8));
    }
    Ok(hash)
}

impl Asked {
    pub(super) fn new(operation: &str, path: &RemotePath) -> Self {
        Self {
            operation: operation.to_owned(),
            path: Some(path.clone()),
            to: None,
            mode: None,
            offset: 0,
        }
    }

    /// What all have in common that differ in UUIDs alone.
    pub(super) fn shape(&self) -> Self {
        Self {
            path: self.path.as_ref().map(shape),
            to: self.to.as_ref().map(shape),
            ..self.clone()
        }
    }

    pub(super) fn words(&self) -> String {
        let mut words = self.operation.clone();
        if let Some(path) = &self.path {
            words.push_str(&format!(" {path}"));
        }
        if let Some(to) = &self.to {
            words.push_str(&format!(" to {to}"));
        }
        if self.offset > 0 {
            words.push_str(&format!(" from {}", self.offset));
        }
        if let Some(mode) = &self.mode {
            words.push_str(&format!(" ({mode})"));
        }
        words
    }
}

impl Call {
    pub(super) fn words(&self) -> String {
        format!("line {}: {}", self.line, self.asked.words())
    }
}
