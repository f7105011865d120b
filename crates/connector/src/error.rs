//! What can go wrong, as a person or a program needs to know it: a class, words, a hint.
//!
//! Not the wire's status codes: those stay in [`RemoteError`](crate::remote::RemoteError) and in
//! the cause chain. SFTP v3's FAILURE carries no cause
//! (draft-ietf-secsh-filexfer-02 §7); how one is found is in `run::diagnose`.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// What kind of failure it is. The kebab-case names are those of JSON output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Class {
    /// The settings cannot be carried out; nothing was tried.
    Configuration,
    /// No connection: the name does not resolve, nobody listens, or the network is in the way.
    Unreachable,
    /// The proxy refused or failed.
    Proxy,
    /// The server's key is unknown, changed or revoked.
    HostKey,
    /// The two ends share no algorithm of some category.
    NoCommonAlgorithm,
    /// The server took none of the credentials.
    Authentication,
    /// A wait ended without progress.
    Timeout,
    /// The connection was lost.
    Disconnected,
    /// The server says that this account may not.
    Permission,
    /// The file or directory is not there.
    NotFound,
    /// The name is taken.
    Exists,
    /// The server's disk is full.
    NoSpace,
    /// The server cannot do this.
    Unsupported,
    /// The server refused and gave no cause that could be found.
    Failure,
    /// What came, or what stands, is not what was to be.
    Integrity,
    /// The local file system failed.
    LocalIo,
    /// Stopped on request.
    Cancelled,
}

impl Class {
    /// The name in kebab-case, as JSON output has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Unreachable => "unreachable",
            Self::Proxy => "proxy",
            Self::HostKey => "host-key",
            Self::NoCommonAlgorithm => "no-common-algorithm",
            Self::Authentication => "authentication",
            Self::Timeout => "timeout",
            Self::Disconnected => "disconnected",
            Self::Permission => "permission",
            Self::NotFound => "not-found",
            Self::Exists => "exists",
            Self::NoSpace => "no-space",
            Self::Unsupported => "unsupported",
            Self::Failure => "failure",
            Self::Integrity => "integrity",
            Self::LocalIo => "local-io",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the same attempt, made again later, can succeed without anyone changing a thing.
    pub fn retryable(self) -> bool {
        matches!(self, Self::Unreachable | Self::Disconnected | Self::Timeout)
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A failure of a step or of one document in it.
///
/// Cloneable, so that it can stand in an outcome and be told to whoever waits as well.
#[derive(Clone, Debug)]
pub struct Error {
    class: Class,
    message: String,
    hint: Option<String>,
    retryable: bool,
    before_session: bool,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The result of whatever this crate does.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A failure of `class`, in one line for a person. Retryable as the class says.
    pub fn new(class: Class, message: impl Into<String>) -> Self {
        Self {
            class,
            message: message.into(),
            hint: None,
            retryable: class.retryable(),
            before_session: false,
            source: None,
        }
    }

    /// Settings that cannot be carried out.
    pub fn configuration(message: impl Into<String>) -> Self {
        Self::new(Class::Configuration, message)
    }

    /// A failure of the local file system.
    pub fn local_io(what: impl fmt::Display, source: std::io::Error) -> Self {
        Self::new(Class::LocalIo, format!("{what}: {source}")).with_source(source)
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with more words at the end of its message, after `; `.
    #[must_use]
    pub fn with_note(mut self, note: impl fmt::Display) -> Self {
        self.message = format!("{}; {note}", self.message);
        self
    }

    /// The same, in this step of a process.
    #[must_use]
    pub fn in_step(mut self, number: usize) -> Self {
        self.message = format!("step {number}: {}", self.message);
        self
    }

    /// The same with what caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// The same, where trying again cannot help or would do a part of it twice.
    #[must_use]
    pub fn not_retryable(mut self) -> Self {
        self.retryable = false;
        self
    }

    /// The same, known to have come before there was a session.
    #[must_use]
    pub fn before_session(mut self) -> Self {
        self.before_session = true;
        self
    }

    /// Whether it came before there was a session: nothing was asked of the server.
    pub fn is_before_session(&self) -> bool {
        self.before_session
    }

    /// What kind of failure it is.
    pub fn class(&self) -> Class {
        self.class
    }

    /// One line for a person, with the server's own words where it said any.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, where that is known.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Whether trying again can help.
    pub fn retryable(&self) -> bool {
        self.retryable
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

impl Serialize for Error {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut out = serializer.serialize_struct("Error", 4)?;
        out.serialize_field("class", &self.class)?;
        out.serialize_field("message", &self.message)?;
        out.serialize_field("hint", &self.hint)?;
        out.serialize_field("retryable", &self.retryable)?;
        out.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_three_classes_can_be_helped_by_trying_again() {
        assert!(Class::Unreachable.retryable());
        assert!(Class::Disconnected.retryable());
        assert!(Class::Timeout.retryable());
        assert!(!Class::Authentication.retryable());
        assert!(!Class::Failure.retryable());
    }

    #[test]
    fn the_json_of_an_error_has_its_four_fields() {
        let error = Error::new(Class::NoSpace, "disk full").with_hint("make room");
        assert_eq!(
            serde_json::to_string(&error).unwrap(),
            r#"{"class":"no-space","message":"disk full","hint":"make room","retryable":false}"#
        );
    }
}
