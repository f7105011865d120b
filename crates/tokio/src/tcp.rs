//! The TCP connect path: names, addresses, socket options.

use crate::error::{ConnectError, Stage};
use crate::proxy::Proxy;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};

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

/// How a server is reached; by default straight away.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Way {
    /// The proxy in between, which resolves the server's name.
    pub proxy: Option<Proxy>,
    /// The local address to connect from: the server's or the proxy's address must be of its family.
    pub bind: Option<IpAddr>,
}

/// How long one address of several is waited for: one that drops packets must not use up the whole
/// deadline. They are tried one after the other.
const PER_ADDRESS: Duration = Duration::from_secs(10);

/// Connects to the first address that answers.
pub(crate) async fn connect(
    target: &Target,
    bind: Option<IpAddr>,
) -> Result<TcpStream, ConnectError> {
    let unreachable = |stage, cause: io::Error| ConnectError::Unreachable {
        host: target.to_string(),
        stage,
        cause: Arc::new(cause),
    };
    let addresses: Vec<_> = tokio::net::lookup_host((target.host(), target.port()))
        .await
        .map_err(|cause| unreachable(Stage::Resolve, cause))?
        .collect();
    let addresses: Vec<_> = addresses
        .into_iter()
        .filter(|it| bind.is_none_or(|bind| bind.is_ipv4() == it.is_ipv4()))
        .collect();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    if bind.is_some() {
        last = io::Error::other("no address of it is of the family of the address to connect from");
    }
    let several = addresses.len() > 1;
    for address in addresses {
        let attempt = attempt(address, bind);
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

async fn attempt(address: SocketAddr, bind: Option<IpAddr>) -> io::Result<TcpStream> {
    let Some(bind) = bind else {
        return TcpStream::connect(address).await;
    };
    let socket = match bind {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind(SocketAddr::new(bind, 0))?;
    socket.connect(address).await
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
