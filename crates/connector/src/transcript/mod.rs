//! The transcript of sessions: one line of JSON for each thing that was asked of a server, and what it
//! answered.
//!
//! Not a capture: no content of files and no secrets are in it, and not the packets. What is asked
//! for many times in a row, such as the blocks of a file, is one line with its number of bytes. A file
//! of such lines can be [replayed](replay).

mod form;
mod remote;
pub mod replay;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::mem;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use tokio::sync::mpsc;

use self::form::{Answer, Fault, Form};
pub use self::remote::{
    Transcribed, TranscribedListing, TranscribedReader, TranscribedRemote, TranscribedWriter,
};
use crate::error::{Error, Result};
use crate::path::{RemotePath, printable};
use crate::remote::{RemoteError, SetAttrs, WriteMode};

/// The result of what was done.
const OK: &str = "ok";
/// The result of what its user did not read or write to its end.
const GIVEN_UP: &str = "given up";
/// The result of reading that another line goes on with.
const CONTINUED: &str = "continued";
/// The result of what nobody waited for any more, and the mode of closing a file by dropping it.
const NOT_WAITED_FOR: &str = "not waited for";
/// So many runs of chunks of equal size are on one line at most: what a server that answers in ever
/// other pieces can make a line, and the memory for it, grow to.
const MAX_RUNS: usize = 1000;

/// How many sessions of this process are in files. The steps of a process may write into one file, and
/// each opens it.
static IN_FILES: LazyLock<Arc<AtomicU64>> = LazyLock::new(Arc::default);

/// Where lines go. Clones write the same transcript.
#[derive(Clone, Debug)]
pub struct Transcript(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sink: Mutex<Sink>,
    sessions: Arc<AtomicU64>,
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
    /// The number of the session: in the transcript, from 1; in files, in all of this process.
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
        Ok(Self::new(Sink::File(file), Arc::clone(&IN_FILES)))
    }

    /// A transcript that somebody reads: what was asked, without what was answered. What is not read
    /// waits.
    pub fn to_receiver() -> (Self, mpsc::UnboundedReceiver<Record>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self::new(Sink::Receiver(sender), Arc::default()), receiver)
    }

    fn new(sink: Sink, sessions: Arc<AtomicU64>) -> Self {
        Self(Arc::new(Inner {
            sink: Mutex::new(sink),
            sessions,
        }))
    }

    fn session(&self, account: &Arc<str>) -> Session {
        Session {
            transcript: self.clone(),
            account: Arc::clone(account),
            answers: self.wants_answers(),
            number: 1 + self.0.sessions.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Whether the answers are written down as well.
    fn wants_answers(&self) -> bool {
        let sink = self.0.sink.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*sink, Sink::File(_))
    }

    fn write(&self, record: Record, answer: Option<Answer>, error: Option<Fault>) {
        let mut sink = self.0.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let written = match &mut *sink {
            Sink::File(file) => {
                let mut line = serde_json::to_vec(&Form::new(&record, answer, error))
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
    /// Whether the answers are written down as well.
    answers: bool,
    number: u64,
}

/// A line that is begun. One that is dropped says that nobody waited for its end, where answers are
/// written down.
#[derive(Debug)]
struct Line {
    session: Session,
    begun: Instant,
    record: Record,
    answer: Option<Answer>,
    error: Option<Fault>,
    written: bool,
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
            answer: None,
            error: None,
            written: false,
        }
    }

    /// What came back, where that is written down.
    fn answered(&mut self, answer: impl FnOnce() -> Answer) {
        if self.session.answers {
            self.answer = Some(answer());
        }
    }

    /// Writes that it was refused.
    fn failed(mut self, error: &RemoteError) {
        self.error = Some(Fault::from(error));
        self.end(error.to_string());
    }

    /// Writes it.
    fn end(mut self, result: String) {
        self.write(result);
    }

    fn write(&mut self, result: String) {
        self.written = true;
        let mut record = mem::take(&mut self.record);
        record.result = result;
        record.time = Timestamp::now().to_string();
        let took = self.begun.elapsed().as_millis();
        record.milliseconds = u64::try_from(took).unwrap_or(u64::MAX);
        let transcript = &self.session.transcript;
        transcript.write(record, self.answer.take(), self.error.take());
    }

    fn ended<T>(self, done: &Result<T, RemoteError>) {
        match done {
            Ok(_) => self.end(OK.to_owned()),
            Err(error) => self.failed(error),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.written && self.session.answers {
            self.write(NOT_WAITED_FOR.to_owned());
        }
    }
}

/// How a file is opened for writing, in words.
fn open_mode(mode: WriteMode) -> &'static str {
    match mode {
        WriteMode::CreateExclusive => "create-exclusive",
        WriteMode::CreateOrTruncate => "create-or-truncate",
        WriteMode::Existing => "existing",
    }
}

/// Which attributes are set, in words.
fn set_mode(attrs: SetAttrs) -> String {
    let permissions = attrs
        .permissions
        .map(|mode| format!("permissions {mode:04o}"));
    let modified = attrs.modified.map(|time| format!("modified {time}"));
    let both: Vec<String> = permissions.into_iter().chain(modified).collect();
    both.join(", ")
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Form::new(self, None, None).serialize(serializer)
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
