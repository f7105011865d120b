//! Proxies between us and the server: CONNECT of HTTP (RFC 9110 §9.3.6) with Basic authentication
//! (RFC 7617), SOCKS 4 and 4a, SOCKS 5 (RFC 1928) with user and password (RFC 1929).
//!
//! A name is always resolved by the proxy. Not one byte is read that belongs to the server behind it.

use crate::error::ProxyFailure;
use crate::tcp::Target;
use base64ct::{Base64, Encoding};
use sansftp_proto::crypto::Secret;
use sansftp_proto::error::printable;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A proxy.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Proxy {
    /// What it speaks.
    pub kind: ProxyKind,
    /// Where it is.
    pub target: Target,
    /// Who asks it, if it wants to know.
    pub user: Option<String>,
    /// That one's password.
    pub password: Option<Secret>,
}

impl Proxy {
    /// One that asks nobody who he is.
    pub const fn new(kind: ProxyKind, target: Target) -> Self {
        Self {
            kind,
            target,
            user: None,
            password: None,
        }
    }

    /// The same with a user, and his password.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>, password: Option<Secret>) -> Self {
        self.user = Some(user.into());
        self.password = password;
        self
    }
}

/// What a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyKind {
    /// HTTP, by CONNECT.
    Http,
    /// SOCKS 4; 4a for names.
    Socks4,
    /// SOCKS 5.
    Socks5,
}

/// The longest head of an answer that is read, in bytes, with those before it (1xx).
const HEAD: usize = 16 * 1024;
/// The longest name or user or password of SOCKS 5 (RFC 1928 §5, RFC 1929 §2), whose length is one
/// byte; SOCKS 4 names no bound and gets the same.
const SOCKS_TEXT: usize = 255;

/// Has the proxy connect the stream to `target`.
pub(crate) async fn traverse(
    proxy: &Proxy,
    stream: &mut TcpStream,
    target: &Target,
) -> Result<(), ProxyFailure> {
    if target.host().is_empty() || !target.host().bytes().all(|it| it.is_ascii_graphic()) {
        return Err(ProxyFailure::Unfit("the server's name cannot be told it"));
    }
    if target.host().contains('%') {
        return Err(ProxyFailure::Unfit(
            "the zone of the server's address is one of this machine",
        ));
    }
    match proxy.kind {
        ProxyKind::Http => http(proxy, stream, target).await,
        ProxyKind::Socks4 => socks4(proxy, stream, target).await,
        ProxyKind::Socks5 => socks5(proxy, stream, target).await,
    }
}

async fn http(proxy: &Proxy, stream: &mut TcpStream, target: &Target) -> Result<(), ProxyFailure> {
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
    if let Some(user) = &proxy.user {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(basic(user, proxy.password.as_ref()).expose());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    let request = Secret::new(request);
    stream.write_all(request.expose()).await.map_err(broken)?;
    let mut room = HEAD;
    loop {
        let head = head(stream, room).await?;
        room = room.saturating_sub(head.len());
        let line = head.split(|it| *it == b'\n').next().unwrap_or_default();
        let shown = shown(line);
        let mut words = line.split(|it| *it == b' ').filter(|it| !it.is_empty());
        let is_http = words.next().is_some_and(|it| it.starts_with(b"HTTP/1."));
        let status = words.next().map(<[u8]>::trim_ascii).unwrap_or_default();
        return match status {
            _ if !is_http => Err(ProxyFailure::Garbage(format!("no HTTP but '{shown}'"))),
            // A body after this one is none: what follows is the server's (RFC 9110 §9.3.6).
            [b'2', b'0'..=b'9', b'0'..=b'9'] => Ok(()),
            b"407" => Err(ProxyFailure::Unauthorized(match asked_for(&head) {
                asked if asked.is_empty() => format!("'{shown}'"),
                asked => format!("'{shown}', it takes {asked}; we speak Basic"),
            })),
            b"101" => Err(ProxyFailure::Refused(format!("'{shown}'"))),
            // RFC 9110 §15.2: before the final answer there may be any number of others.
            [b'1', b'0'..=b'9', b'0'..=b'9'] => continue,
            [b'3'..=b'5', b'0'..=b'9', b'0'..=b'9'] => {
                Err(ProxyFailure::Refused(format!("'{shown}'")))
            }
            _ => Err(ProxyFailure::Garbage(format!("'{shown}'"))),
        };
    }
}

/// A line of the answer for people, not more than 200 bytes of it.
fn shown(line: &[u8]) -> String {
    let line = line.trim_ascii();
    printable(line.get(..200).unwrap_or(line))
}

/// The ways to authenticate that a head lists (RFC 9110 §11.7.1), without their parameters.
fn asked_for(head: &[u8]) -> String {
    const FIELD: &[u8] = b"proxy-authenticate:";
    let schemes = head.split(|it| *it == b'\n').filter_map(|line| {
        let (name, value) = line.split_at_checked(FIELD.len())?;
        let scheme = value.trim_ascii().split(|it| *it == b' ').next()?;
        (name.eq_ignore_ascii_case(FIELD) && !scheme.is_empty()).then(|| shown(scheme))
    });
    schemes.collect::<Vec<_>>().join(", ")
}

/// What Basic authentication says (RFC 7617 §2).
fn basic(user: &str, password: Option<&Secret>) -> Secret {
    let mut plain = format!("{user}:").into_bytes();
    plain.extend_from_slice(password.map(Secret::expose).unwrap_or_default());
    let plain = Secret::new(plain);
    let mut text = b"Basic ".to_vec();
    let word = Secret::from(Base64::encode_string(plain.expose()));
    text.extend_from_slice(word.expose());
    Secret::new(text)
}

/// The head of an answer, through the empty line, of not much more than `room` bytes. It is looked at
/// before it is taken, so that what the server behind says in the same segment stays where it is.
async fn head(stream: &mut TcpStream, room: usize) -> Result<Vec<u8>, ProxyFailure> {
    let mut head = Vec::new();
    let mut seen = [0; 1024];
    while head.len() < room {
        let here = stream.peek(&mut seen).await.map_err(broken)?;
        if here == 0 {
            return Err(ProxyFailure::Closed);
        }
        let before = head.len();
        head.extend_from_slice(seen.get(..here).unwrap_or_default());
        let end = end_of_head(&head, before);
        head.truncate(end.unwrap_or(head.len()));
        let taken = head.get_mut(before..).unwrap_or_default();
        stream.read_exact(taken).await.map_err(broken)?;
        if end.is_some() {
            return Ok(head);
        }
    }
    Err(ProxyFailure::Garbage(format!(
        "an answer whose head has more than {HEAD} bytes"
    )))
}

/// Behind the empty line, if there is one. RFC 9112 §2.2 lets a single LF end a line.
fn end_of_head(head: &[u8], looked: usize) -> Option<usize> {
    let from = looked.saturating_sub(3);
    (from..head.len()).find_map(|at| {
        let rest = head.get(at..)?;
        [&b"\n\r\n"[..], b"\n\n"]
            .into_iter()
            .find(|end| rest.starts_with(end))
            .map(|end| at + end.len())
    })
}

async fn socks4(
    proxy: &Proxy,
    stream: &mut TcpStream,
    target: &Target,
) -> Result<(), ProxyFailure> {
    let user = proxy.user.as_deref().unwrap_or_default();
    if user.len() > SOCKS_TEXT || user.contains('\0') || target.host().len() > SOCKS_TEXT {
        return Err(ProxyFailure::Unfit("user or host is too long for SOCKS 4"));
    }
    let address = target.host().parse::<IpAddr>();
    let mut request = vec![4, 1];
    request.extend_from_slice(&target.port().to_be_bytes());
    match address {
        Ok(IpAddr::V6(_)) => return Err(ProxyFailure::Unfit("SOCKS 4 knows no IPv6 address")),
        Ok(IpAddr::V4(address)) => request.extend_from_slice(&address.octets()),
        // 4a: an address that cannot be one, and the name behind the user.
        Err(_) => request.extend_from_slice(&Ipv4Addr::new(0, 0, 0, 1).octets()),
    }
    request.extend_from_slice(user.as_bytes());
    request.push(0);
    if address.is_err() {
        request.extend_from_slice(target.host().as_bytes());
        request.push(0);
    }
    stream.write_all(&request).await.map_err(broken)?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer).await.map_err(broken)?;
    let why = match (answer[0], answer[1]) {
        (0, 90) => return Ok(()),
        (0, 91) => "request rejected or failed",
        (0, code @ (92 | 93)) => {
            return Err(ProxyFailure::Unauthorized(format!(
                "SOCKS 4 reply {code}: it cannot make sure of the user"
            )));
        }
        _ => return Err(ProxyFailure::Garbage("no reply of SOCKS 4".to_owned())),
    };
    Err(ProxyFailure::Refused(format!("SOCKS 4 reply 91: {why}")))
}

async fn socks5(
    proxy: &Proxy,
    stream: &mut TcpStream,
    target: &Target,
) -> Result<(), ProxyFailure> {
    const NOBODY: u8 = 0;
    const PASSWORD: u8 = 2;
    let methods: &[u8] = match proxy.user {
        Some(_) => &[5, 2, NOBODY, PASSWORD],
        None => &[5, 1, NOBODY],
    };
    stream.write_all(methods).await.map_err(broken)?;
    let mut chosen = [0; 2];
    stream.read_exact(&mut chosen).await.map_err(broken)?;
    match (chosen, &proxy.user) {
        ([5, NOBODY], _) => {}
        ([5, PASSWORD], Some(user)) => {
            password(stream, user, proxy.password.as_ref()).await?;
        }
        ([5, 0xff], _) => {
            return Err(ProxyFailure::Unauthorized(
                "it takes none of the ways to authenticate".to_owned(),
            ));
        }
        _ => return Err(ProxyFailure::Garbage("no answer of SOCKS 5".to_owned())),
    }
    let mut request = vec![5, 1, 0];
    match target.host().parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => {
            request.push(1);
            request.extend_from_slice(&address.octets());
        }
        Ok(IpAddr::V6(address)) => {
            request.push(4);
            request.extend_from_slice(&address.octets());
        }
        Err(_) => {
            request.push(3);
            text(&mut request, target.host().as_bytes())?;
        }
    }
    request.extend_from_slice(&target.port().to_be_bytes());
    stream.write_all(&request).await.map_err(broken)?;
    let mut reply = [0; 4];
    stream.read_exact(&mut reply).await.map_err(broken)?;
    let [5, code, _, kind] = reply else {
        return Err(ProxyFailure::Garbage("no reply of SOCKS 5".to_owned()));
    };
    if code != 0 {
        return Err(ProxyFailure::Refused(format!(
            "SOCKS 5 reply {code}: {}",
            socks5_reply(code)
        )));
    }
    // The address that it connects from, and a port: of no use here.
    let len = match kind {
        1 => 4,
        4 => 16,
        3 => usize::from(stream.read_u8().await.map_err(broken)?),
        _ => {
            return Err(ProxyFailure::Garbage(
                "an unknown kind of address".to_owned(),
            ));
        }
    };
    let mut bound = [0; SOCKS_TEXT + 2];
    let bound = bound.get_mut(..len + 2).unwrap_or_default();
    stream.read_exact(bound).await.map_err(broken)?;
    Ok(())
}

/// RFC 1929.
async fn password(
    stream: &mut TcpStream,
    user: &str,
    password: Option<&Secret>,
) -> Result<(), ProxyFailure> {
    let mut request = vec![1];
    text(&mut request, user.as_bytes())?;
    text(
        &mut request,
        password.map(Secret::expose).unwrap_or_default(),
    )?;
    let request = Secret::new(request);
    stream.write_all(request.expose()).await.map_err(broken)?;
    let mut answer = [0; 2];
    stream.read_exact(&mut answer).await.map_err(broken)?;
    match answer {
        [1, 0] => Ok(()),
        [1, _] => Err(ProxyFailure::Unauthorized(
            "user or password is wrong".to_owned(),
        )),
        // Some say 5 here, which RFC 1929 does not.
        [5, 0] => Ok(()),
        _ => Err(ProxyFailure::Garbage("no answer of RFC 1929".to_owned())),
    }
}

fn text(out: &mut Vec<u8>, text: &[u8]) -> Result<(), ProxyFailure> {
    let len = u8::try_from(text.len())
        .map_err(|_| ProxyFailure::Unfit("a host, user or password is too long for SOCKS 5"))?;
    out.push(len);
    out.extend_from_slice(text);
    Ok(())
}

/// RFC 1928 §6.
const fn socks5_reply(code: u8) -> &'static str {
    match code {
        1 => "general failure",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "time to live expired",
        7 => "command not supported",
        8 => "kind of address not supported",
        _ => "unknown",
    }
}

fn broken(error: io::Error) -> ProxyFailure {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ProxyFailure::Closed,
        _ => ProxyFailure::Io(Arc::new(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_head_is_found_wherever_the_segments_are_cut() {
        let whole = b"HTTP/1.1 200 OK\r\nVia: x\r\n\r\nSSH-2.0-x\r\n";
        for cut in 0..whole.len() {
            let first = end_of_head(&whole[..cut], 0);
            let end = first.or_else(|| end_of_head(whole, cut));
            assert_eq!(end, Some(27), "{cut}");
        }
        assert_eq!(end_of_head(b"HTTP/1.0 200 OK\n\nSSH", 0), Some(17));
        assert_eq!(end_of_head(b"HTTP/1.0 200 OK\r\n\r", 0), None);
    }

    #[test]
    fn basic_authentication_is_as_in_the_standard() {
        // RFC 7617 §2.
        let password = Secret::from("open sesame");
        let words = basic("Aladdin", Some(&password));
        assert_eq!(words.expose(), b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    }
}
