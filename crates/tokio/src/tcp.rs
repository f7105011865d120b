//! The TCP connect path: names, addresses, socket options.

use crate::error::{ConnectError, Stage};
use crate::proxy::Proxy;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// Where to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    host: String,
    port: u16,
}

impl Target {
    /// A host by name or address. An IPv6 address may be in brackets, and may name a zone of this
    /// machine (`fe80::1%eth0`, RFC 4007 §11).
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        let host = host.into();
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
        Self {
            host: bare.map(str::to_owned).unwrap_or(host),
            port,
        }
    }

    /// Name or address, without brackets.
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

/// How long an address is waited for before the next is tried beside it (RFC 8305 §5): one that drops
/// packets must not use up the deadline.
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to the address that answers first, each having a little longer than the one after it.
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
    let none = match bind {
        Some(_) => "no address of it is of the family of the address to connect from",
        None => "the name has no address",
    };
    let stream = first(in_turns(addresses), |it| attempt(it, bind))
        .await
        .unwrap_or_else(|| Err(io::Error::new(io::ErrorKind::NotFound, none)))
        .map_err(|cause| unreachable(Stage::Tcp, cause))?;
    tune(&stream);
    Ok(stream)
}

/// The families in turns, beginning with that of the first address (RFC 8305 §4): where one family has
/// no way out, the second attempt has one.
fn in_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let begins_with_v4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
    let (mut one, mut other): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|it| it.is_ipv4() == begins_with_v4);
    let rest = one.split_off(one.len().min(other.len()));
    let also = other.split_off(one.len());
    let pairs = one.into_iter().zip(other).flat_map(<[_; 2]>::from);
    pairs.chain(rest).chain(also).collect()
}

/// What the first attempt yields that succeeds, else the last failure; nothing where there is no
/// address. The others are given up.
async fn first<T, Attempt>(
    addresses: Vec<SocketAddr>,
    attempt: impl Fn(SocketAddr) -> Attempt,
) -> Option<io::Result<T>>
where
    T: Send + 'static,
    Attempt: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut waiting = addresses.into_iter();
    let mut tried = JoinSet::new();
    let mut last = None;
    loop {
        if let Some(address) = waiting.next() {
            tried.spawn(attempt(address));
        }
        let ended = match waiting.len() {
            0 => tried.join_next().await,
            _ => match tokio::time::timeout(HEAD_START, tried.join_next()).await {
                Ok(ended) => ended,
                Err(_) => continue,
            },
        };
        match ended {
            None => return last,
            Some(Ok(Ok(stream))) => return Some(Ok(stream)),
            Some(Ok(Err(cause))) => last = Some(Err(cause)),
            Some(Err(panicked)) => last = Some(Err(io::Error::other(panicked))),
        }
    }
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

/// A connection that acknowledges at once what it reads while it is young. A server that leaves Nagle's
/// algorithm on sends the second of two small messages only once the first is acknowledged, and systems wait
/// with that for 40 ms; in a handshake that adds up.
#[derive(Debug)]
pub(crate) struct Prompt {
    stream: TcpStream,
    /// Reads that are still acknowledged at once.
    left: u8,
}

/// More than handshake, authentication and the start of SFTP take; what comes then is either large, or
/// answered by a request that carries the acknowledgement.
const YOUNG: u8 = 32;

impl Prompt {
    pub(crate) const fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            left: YOUNG,
        }
    }
}

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if self.left > 0 && polled.is_ready() {
            self.left -= 1;
            acknowledge(&self.stream);
        }
        polled
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Sends the acknowledgement that is due, and does so for a while; the system falls back by itself.
#[cfg(target_os = "linux")]
fn acknowledge(stream: &TcpStream) {
    // Best effort, as the options above.
    let _ = socket2::SockRef::from(stream).set_tcp_quickack(true);
}

#[cfg(not(target_os = "linux"))]
fn acknowledge(_: &TcpStream) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|it| it.parse().unwrap()).collect()
    }

    #[test]
    fn an_ipv6_address_may_be_in_brackets_and_have_a_zone() {
        for (given, host) in [
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("[fe80::1%eth0]", "fe80::1%eth0"),
            ("h.example", "h.example"),
        ] {
            let target = Target::new(given, 22);
            assert_eq!(target.host(), host);
            assert_eq!(target, Target::new(host, 22));
        }
        assert_eq!(Target::new("[::1]", 22).to_string(), "[::1]:22");
    }

    #[test]
    fn families_take_turns_and_keep_their_order() {
        let given = addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1", "1.0.0.2:1"]);
        let turns = addresses(&["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "[::3]:1"]);
        assert_eq!(in_turns(given), turns);
        let alone = addresses(&["1.0.0.1:1", "1.0.0.2:1"]);
        assert_eq!(in_turns(alone.clone()), alone);
        assert_eq!(in_turns(Vec::new()), []);
    }

    /// An attempt on a port: 1 is never answered, 2 refuses, any other connects.
    async fn played(address: SocketAddr) -> io::Result<u16> {
        match address.port() {
            1 => std::future::pending().await,
            2 => Err(io::ErrorKind::ConnectionRefused.into()),
            port => Ok(port),
        }
    }

    #[tokio::test]
    async fn dead_addresses_do_not_keep_the_living_from_being_tried() {
        let dead = ["1.0.0.1:1"; 5].to_vec();
        let list = addresses(&[&dead[..], &["1.0.0.1:2", "1.0.0.1:9"]].concat());
        let found = tokio::time::timeout(Duration::from_secs(60), first(list, played));
        assert_eq!(found.await.unwrap().unwrap().unwrap(), 9);
    }

    #[tokio::test]
    async fn the_last_failure_is_told_and_that_there_was_no_address() {
        let list = addresses(&["1.0.0.1:2", "1.0.0.2:2"]);
        let failed = first(list, played).await.unwrap().unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::ConnectionRefused);
        assert!(first(Vec::new(), played).await.is_none());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_young_connection_acknowledges_at_once_and_hands_everything_on() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap());
        let (stream, accepted) = tokio::join!(stream, listener.accept());
        let (mut near, mut far) = (Prompt::new(stream.unwrap()), accepted.unwrap().0);
        for number in 0..=YOUNG {
            far.write_all(&[number; 9]).await.unwrap();
            let socket = socket2::SockRef::from(&near.stream);
            socket.set_tcp_quickack(false).unwrap();
            let mut read = [0; 9];
            near.read_exact(&mut read).await.unwrap();
            assert_eq!(read, [number; 9]);
            let prompt = socket2::SockRef::from(&near.stream).tcp_quickack();
            // Of an old one the system decides.
            assert!(prompt.unwrap() || number == YOUNG, "read {number}");
            near.write_all(&read).await.unwrap();
            far.read_exact(&mut read).await.unwrap();
            assert_eq!(read, [number; 9]);
        }
        assert_eq!(near.left, 0);
        near.shutdown().await.unwrap();
        assert_eq!(far.read(&mut [0]).await.unwrap(), 0);
    }
}
