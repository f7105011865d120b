//! What can go wrong while connecting, and how an established connection is lost.

use sansftp_proto::connection::OpenFailureReason;
use sansftp_proto::error::Error as Protocol;
use std::fmt;
use std::io;
use std::sync::Arc;

/// How far a connection had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// Turning the host's name into addresses.
    Resolve,
    /// Opening the TCP connection.
    Tcp,
    /// What a proxy wants to know before it connects us.
    Proxy,
    /// Identification and key exchange.
    Handshake,
    /// User authentication.
    Authentication,
    /// Opening the channel and starting the SFTP subsystem.
    Subsystem,
    /// Opening a connection onward from the server.
    Onward,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolving the host's name",
            Self::Tcp => "connecting",
            Self::Proxy => "the way through the proxy",
            Self::Handshake => "key exchange",
            Self::Authentication => "authentication",
            Self::Subsystem => "the start of SFTP",
            Self::Onward => "the opening of a connection onward",
        })
    }
}

/// Why there is no connection.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No address, or none that answers.
    #[error("cannot reach {host}: {cause}")]
    Unreachable {
        /// Host and port.
        host: String,
        /// Resolve or Tcp.
        stage: Stage,
        /// What the system says.
        cause: Arc<io::Error>,
    },
    /// A proxy does not connect us.
    #[error("the proxy {proxy} {failure}")]
    Proxy {
        /// Host and port of the proxy.
        proxy: String,
        /// Why.
        failure: ProxyFailure,
    },
    /// The server opens no connection onward.
    #[error("it opens no connection to {host}: {why}")]
    NotForwarded {
        /// Host and port behind the server.
        host: String,
        /// Whether it may not, or cannot.
        reason: OpenFailureReason,
        /// The server's words.
        why: String,
    },
    /// The deadline passed.
    #[error("timed out during {stage} ({doing})")]
    TimedOut {
        /// How far it had come.
        stage: Stage,
        /// What the connection was waiting for.
        doing: &'static str,
    },
    /// The connection ended.
    #[error("{lost} during {stage}")]
    Lost {
        /// How far it had come.
        stage: Stage,
        /// How.
        lost: Lost,
    },
    /// The server takes none of the credentials.
    #[error("the server refused authentication (tried: {})", list(tried))]
    Refused {
        /// The methods that were tried.
        tried: Vec<String>,
        /// The methods that the server would still take.
        remaining: Vec<String>,
        /// What is to be known besides, for example that the agent did not sign.
        remark: Option<String>,
    },
    /// The password is right, but the server wants another one first (RFC 4252 §8). It was not changed.
    #[error("the password has expired: the server wants another one{}", quoted(.words))]
    PasswordExpired {
        /// What the server says to it; may be empty.
        words: String,
        /// The methods that were tried.
        tried: Vec<String>,
    },
    /// The server does not open a channel or start the SFTP subsystem.
    #[error("the server does not offer SFTP to this account: {0}")]
    NoSubsystem(String),
}

/// Why a proxy does not connect us.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyFailure {
    /// No address of it, or none that answers.
    #[error("cannot be reached: {0}")]
    Unreachable(Arc<io::Error>),
    /// The deadline passed before it had answered.
    #[error("did not answer in time")]
    TimedOut,
    /// It hung up.
    #[error("closed the connection before it had answered")]
    Closed,
    /// Reading from it or writing to it failed.
    #[error("broke off: {0}")]
    Io(Arc<io::Error>),
    /// It wants user and password, others, or another way to authenticate. Its words.
    #[error("refuses us: {0}")]
    Unauthorized(String),
    /// It cannot or does not want to connect to the server. Its words.
    #[error("does not connect to the server: {0}")]
    Refused(String),
    /// It speaks something else.
    #[error("answers {0}")]
    Garbage(String),
    /// What it would have to be told does not fit.
    #[error("cannot be used: {0}")]
    Unfit(&'static str),
}

fn quoted(words: &str) -> String {
    match words {
        "" => String::new(),
        words => format!(" ('{words}')"),
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

/// How a connection was lost. Cheap to clone: everyone who waits is told the same.
#[derive(Debug, Clone)]
pub struct Lost {
    /// What the protocol says.
    pub protocol: Protocol,
    /// What the socket says, where that was the cause.
    pub io: Option<Arc<io::Error>>,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.io {
            Some(io) => write!(f, "{} ({io})", self.protocol),
            None => self.protocol.fmt(f),
        }
    }
}

impl std::error::Error for Lost {}
