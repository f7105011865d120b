//! The JSON form of a transcript's lines, to be written and to be read.
//!
//! What the fields mean is in docs/transcripts.md. A reader takes fields that it does not know for those
//! of a later version.

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Serialize};

use super::Record;
use crate::error::{Class, Error};
use crate::path::RemotePath;
use crate::remote::{Attrs, Capabilities, Entry, RemoteError, RemoteErrorKind, Room};

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Form {
    #[serde(default)]
    time: String,
    pub(super) session: u64,
    #[serde(default)]
    pub(super) account: String,
    pub(super) operation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mode: Option<String>,
    #[serde(flatten)]
    pub(super) counts: Counts,
    pub(super) result: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Fault>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answer: Option<Answer>,
    #[serde(default)]
    milliseconds: u64,
}

/// Its numbers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Counts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) offset: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    entries: Option<u64>,
}

/// What the server answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// To `connect`: what it can do.
    Capabilities(Capabilities),
    /// To `lstat`, `stat` and `fstat`.
    Attributes(Attrs),
    /// To `realpath`.
    Path(Name),
    /// To `read-directory`, with more to come.
    Batch(Vec<Named>),
    /// To `read-directory`, and nothing thereafter.
    LastBatch(Vec<Named>),
    /// To `statvfs`.
    Room(Room),
    /// To `check-file`, in hexadecimal; nothing where it was no SHA-256.
    Sha256(Option<String>),
    /// To `read`: sizes of chunks, and how many of each came in a row.
    Chunks(Vec<(u64, u64)>),
    /// Up to where it had acknowledged what was written, when writing ended early.
    Acknowledged(u64),
}

/// Bytes that are nearly always text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Name {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name_base64: Option<String>,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    #[serde(flatten)]
    name: Name,
    #[serde(flatten)]
    attrs: Attrs,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Fault {
    /// A request was refused, or was lost.
    Request {
        kind: RemoteErrorKind,
        message: String,
    },
    /// There was no session.
    Connect {
        class: Class,
        message: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        retryable: bool,
    },
}

impl Form {
    pub(super) fn new(record: &Record, answer: Option<Answer>, error: Option<Fault>) -> Self {
        let split = |path: &Option<RemotePath>| {
            let name = path.as_ref().map(|path| Name::from(path.as_bytes()));
            name.map_or((None, None), |it| (Some(it.name), it.name_base64))
        };
        let (path, path_base64) = split(&record.path);
        let (to, to_base64) = split(&record.to);
        Self {
            time: record.time.clone(),
            session: record.session,
            account: record.account.to_string(),
            operation: record.operation.to_owned(),
            path,
            path_base64,
            to,
            to_base64,
            mode: record.mode.clone(),
            counts: Counts {
                offset: record.offset,
                bytes: record.bytes,
                entries: record.entries,
            },
            result: record.result.clone(),
            error,
            answer,
            milliseconds: record.milliseconds,
        }
    }

    /// The path that it was about; an error where its base64 is none.
    pub(super) fn path(&self) -> Result<Option<RemotePath>, &'static str> {
        bytes_of(self.path.as_deref(), self.path_base64.as_deref())
    }

    /// The other path.
    pub(super) fn to(&self) -> Result<Option<RemotePath>, &'static str> {
        bytes_of(self.to.as_deref(), self.to_base64.as_deref())
    }
}

fn bytes_of(text: Option<&str>, encoded: Option<&str>) -> Result<Option<RemotePath>, &'static str> {
    let Some(encoded) = encoded else {
        return Ok(text.map(RemotePath::from));
    };
    let bytes = Base64::decode_vec(encoded).map_err(|_| "a name is not the base64 that it says")?;
    Ok(Some(RemotePath::new(bytes)))
}

impl From<&[u8]> for Name {
    fn from(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes);
        Self {
            name: String::from_utf8_lossy(bytes).into_owned(),
            name_base64: text.is_err().then(|| Base64::encode_string(bytes)),
        }
    }
}

impl Name {
    /// The bytes; an error where the base64 is none.
    pub(super) fn path(&self) -> Result<RemotePath, &'static str> {
        let bytes = bytes_of(Some(&self.name), self.name_base64.as_deref())?;
        bytes.ok_or("a name is missing")
    }
}

impl From<&Entry> for Named {
    fn from(entry: &Entry) -> Self {
        Self {
            name: Name::from(&*entry.name),
            attrs: entry.attrs,
        }
    }
}

impl Named {
    /// The bytes of its name, and its attributes.
    pub(super) fn parts(&self) -> Result<(RemotePath, Attrs), &'static str> {
        Ok((self.name.path()?, self.attrs))
    }
}

impl From<&RemoteError> for Fault {
    fn from(error: &RemoteError) -> Self {
        Self::Request {
            kind: error.kind,
            message: error.message.clone(),
        }
    }
}

impl From<&Error> for Fault {
    fn from(error: &Error) -> Self {
        Self::Connect {
            class: error.class(),
            message: error.message().to_owned(),
            hint: error.hint().map(str::to_owned),
            retryable: error.retryable(),
        }
    }
}
