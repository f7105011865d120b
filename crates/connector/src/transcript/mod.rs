//! The transcript of sessions: one line of JSON for each thing that was asked of a server.
//!
//! Not a capture: no content of files and no secrets are in it, and not the packets. What is asked
//! for many times in a row, such as the blocks of a file, is one line with its number of bytes.

mod remote;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use base64ct::{Base64, Encoding};
use jiff::Timestamp;
use serde::{Serialize, Serializer};
use tokio::sync::mpsc;

pub use self::remote::{
    Transcribed, TranscribedListing, TranscribedReader, TranscribedRemote, TranscribedWriter,
};
use crate::error::{Error, Result};
use crate::path::{RemotePath, printable};
use crate::remote::RemoteError;

/// Where lines go. Clones write the same transcript.
#[derive(Clone, Debug)]
pub struct Transcript(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sink: Mutex<Sink>,
    sessions: AtomicU64,
}

#[derive(Debug)]
enum Sink {
    File(File),
    Receiver(mpsc::UnboundedSender<Record>),
    /// Writing failed, which was said once.
    Broken,
}

/// One thing that was asked of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The number of the session in the transcript, from 1.
    pub session: u64,
    /// With whom: `user@host:port` as configured.
    pub account: Arc<str>,
    /// When it ended, RFC 3339.
    pub time: String,
    /// What was asked: `connect`, `realpath`, `lstat`, `stat`, `list`, `read-directory`,
    /// `open-read`, `fstat`, `read`, `open-write`, `write`, `flush`, `fsync`, `close`, `rename`,
    /// `posix-rename`, `hardlink`, `copy-data`, `remove`, `remove-directory`, `make-directory`,
    /// `set-attributes`, `statvfs`, `disconnect`.
    pub operation: &'static str,
    /// The path that it was about.
    pub path: Option<RemotePath>,
    /// The other path, of what has two.
    pub to: Option<RemotePath>,
    /// How a file was opened for writing, or which attributes were set.
    pub mode: Option<String>,
    /// Where reading or writing began, where that is not 0.
    pub offset: Option<u64>,
    /// How many bytes were read or written.
    pub bytes: Option<u64>,
    /// How many entries of a directory were read.
    pub entries: Option<u64>,
    /// `ok`, or why not.
    pub result: String,
    /// How long it took.
    pub milliseconds: u64,
}

impl Transcript {
    /// A transcript in a file, which only its owner may read. A file that is there is written on at
    /// its end. Blocks on the disk.
    ///
    /// # Errors
    /// `local-io`.
    pub fn to_file(path: &Path) -> Result<Self> {
        let opened = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path);
        let file = opened.map_err(|error| {
            let path = printable(path.as_os_str().as_bytes()).into_owned();
            Error::local_io(format_args!("the transcript {path}"), error)
        })?;
        Ok(Self::new(Sink::File(file)))
    }

    /// A transcript that somebody reads. What is not read waits.
    pub fn to_receiver() -> (Self, mpsc::UnboundedReceiver<Record>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self::new(Sink::Receiver(sender)), receiver)
    }

    fn new(sink: Sink) -> Self {
        Self(Arc::new(Inner {
            sink: Mutex::new(sink),
            sessions: AtomicU64::new(0),
        }))
    }

    fn session(&self, account: &Arc<str>) -> Session {
        Session {
            transcript: self.clone(),
            account: Arc::clone(account),
            number: 1 + self.0.sessions.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn write(&self, record: Record) {
        let mut sink = self.0.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let written = match &mut *sink {
            Sink::File(file) => {
                let mut line = serde_json::to_vec(&record)
                    .expect("a record is made of texts and numbers with text keys");
                line.push(b'\n');
                // In one call, so that lines of several transcripts in one file stay whole.
                file.write_all(&line)
            }
            Sink::Receiver(sender) => {
                // Nobody reads it any more.
                let _ = sender.send(record);
                Ok(())
            }
            Sink::Broken => Ok(()),
        };
        if let Err(error) = written {
            tracing::warn!(%error, "the transcript ends here: it cannot be written");
            *sink = Sink::Broken;
        }
    }
}

/// A session in a transcript.
#[derive(Clone, Debug)]
struct Session {
    transcript: Transcript,
    account: Arc<str>,
    number: u64,
}

/// A line that is begun.
#[derive(Debug)]
struct Line {
    session: Session,
    begun: Instant,
    record: Record,
}

impl Line {
    fn new(session: &Session, operation: &'static str, path: Option<&RemotePath>) -> Self {
        Self {
            session: session.clone(),
            begun: Instant::now(),
            record: Record {
                session: session.number,
                account: Arc::clone(&session.account),
                operation,
                path: path.cloned(),
                ..Record::default()
            },
        }
    }

    /// Writes it.
    fn end(mut self, result: String) {
        self.record.result = result;
        self.record.time = Timestamp::now().to_string();
        let took = self.begun.elapsed().as_millis();
        self.record.milliseconds = u64::try_from(took).unwrap_or(u64::MAX);
        self.session.transcript.write(self.record);
    }

    fn ended<T>(self, done: &Result<T, RemoteError>) {
        self.end(match done {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        });
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("time", &self.time)?;
        map.serialize_entry("session", &self.session)?;
        map.serialize_entry("account", &*self.account)?;
        map.serialize_entry("operation", self.operation)?;
        for (name, encoded, path) in [
            ("path", "path-base64", &self.path),
            ("to", "to-base64", &self.to),
        ] {
            let Some(path) = path else { continue };
            let bytes = path.as_bytes();
            map.serialize_entry(name, &String::from_utf8_lossy(bytes))?;
            if std::str::from_utf8(bytes).is_err() {
                map.serialize_entry(encoded, &Base64::encode_string(bytes))?;
            }
        }
        if let Some(mode) = &self.mode {
            map.serialize_entry("mode", mode)?;
        }
        for (name, number) in [
            ("offset", self.offset),
            ("bytes", self.bytes),
            ("entries", self.entries),
        ] {
            if let Some(number) = number {
                map.serialize_entry(name, &number)?;
            }
        }
        map.serialize_entry("result", &self.result)?;
        map.serialize_entry("milliseconds", &self.milliseconds)?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_what_was_asked_and_what_came_of_it() {
        let record = Record {
            session: 1,
            account: "u@h:22".into(),
            time: "2026-01-01T00:00:00Z".to_owned(),
            operation: "rename",
            path: Some(RemotePath::new(&b"/a\xff"[..])),
            to: Some("/b".into()),
            result: "ok".to_owned(),
            milliseconds: 3,
            ..Record::default()
        };
        assert_eq!(
            serde_json::to_string(&record).unwrap(),
            "{\"time\":\"2026-01-01T00:00:00Z\",\"session\":1,\"account\":\"u@h:22\",\"operation\":\"rename\",\
             \"path\":\"/a\u{fffd}\",\"path-base64\":\"L2H/\",\"to\":\"/b\",\"result\":\"ok\",\
             \"milliseconds\":3}"
        );
    }
}
