//! The TCP connect path: names, addresses, socket options.

use crate::error::{ConnectError, Stage};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
}

impl Target {
    /// A host by name or address, IPv6 without brackets.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
        }
    }

    /// Name or address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How long one address of several is waited for: one that drops packets must not use up the whole
/// deadline. They are tried one after the other.
const PER_ADDRESS: Duration = Duration::from_secs(10);

/// Connects to the first address that answers.
pub(crate) async fn connect(target: &Target) -> Result<TcpStream, ConnectError> {
    let unreachable = |stage, cause: io::Error| ConnectError::Unreachable {
        host: target.to_string(),
        stage,
        cause: Arc::new(cause),
    };
    let addresses: Vec<_> = tokio::net::lookup_host((target.host(), target.port()))
        .await
        .map_err(|cause| unreachable(Stage::Resolve, cause))?
        .collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let several = addresses.len() > 1;
    for address in addresses {
        let attempt = TcpStream::connect(address);
        let connected = if several {
            tokio::time::timeout(PER_ADDRESS, attempt)
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        } else {
            attempt.await
        };
        match connected {
            Ok(stream) => {
                tune(&stream);
                return Ok(stream);
            }
            Err(cause) => last = cause,
        }
    }
    Err(unreachable(Stage::Tcp, last))
}

/// Small requests must not wait for the acknowledgement of earlier ones. Best effort: a connection
/// without these options still works.
pub(crate) fn tune(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    for outcome in [socket.set_tcp_nodelay(true), socket.set_keepalive(true)] {
        if let Err(error) = outcome {
            tracing::debug!(%error, "socket option not set");
        }
    }
}
