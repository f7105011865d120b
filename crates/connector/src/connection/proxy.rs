//! The proxy of a connection, as plain data; and what the environment says of proxies.
//!
//! Not the speaking to one: that is the driver's.

use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::secret::{Secret, SecretRef};

/// A proxy between us and the server, which resolves the server's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Proxy {
    /// What it speaks.
    #[serde(rename = "type")]
    pub kind: ProxyType,
    /// Name or address. A scheme before it is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// TCP port; 1080 for SOCKS when unset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Who asks it, if it wants to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where that one's password is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
}

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProxyType {
    /// HTTP, by CONNECT.
    Http,
    /// SOCKS 4; 4a for names.
    Socks4,
    /// SOCKS 5.
    Socks5,
    /// What the variables `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say, in either case of letters,
    /// when the connection is prepared.
    Runtime,
}

impl FromStr for ProxyType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "http" => Ok(Self::Http),
            "socks4" => Ok(Self::Socks4),
            "socks5" => Ok(Self::Socks5),
            "runtime" => Ok(Self::Runtime),
            other => Err(format!(
                "'{other}' is no type of proxy; there are http, socks4, socks5 and runtime"
            )),
        }
    }
}

/// Reads `runtime`, `HOST:PORT` for HTTP, or a URL: `http://`, `socks4://`, `socks4a://`, `socks5://`,
/// `socks5h://`, with `USER@` or `USER:PASSWORD@` in front of the host.
impl FromStr for Proxy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "runtime" {
            return Ok(Self::of(ProxyType::Runtime));
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let kind = match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => ProxyType::Http,
            "socks4" | "socks4a" => ProxyType::Socks4,
            "socks5" | "socks5h" | "socks" => ProxyType::Socks5,
            other => {
                return Err(format!(
                    "'{other}://' is no type of proxy; write http:// or socks5://"
                ));
            }
        };
        let rest = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (who, place) = match rest.rsplit_once('@') {
            Some((who, place)) => (Some(who), place),
            None => (None, rest),
        };
        let (host, port) = host_and_port(place)?;
        let mut proxy = Self {
            host: Some(host),
            port,
            ..Self::of(kind)
        };
        if let Some(who) = who {
            let (user, password) = match who.split_once(':') {
                Some((user, password)) => (user, Some(password)),
                None => (who, None),
            };
            let user = String::from_utf8(unescaped(user)?);
            proxy.user = Some(user.map_err(|_| "the proxy's user is not UTF-8".to_owned())?);
            proxy.password = password
                .map(|it| unescaped(it).map(|it| SecretRef::Literal(Secret::new(it))))
                .transpose()?;
        }
        if proxy.place().is_err() {
            return Err(format!(
                "the proxy {} has no port; write {scheme}://HOST:PORT",
                proxy.host.unwrap_or_default()
            ));
        }
        Ok(proxy)
    }
}

impl Proxy {
    /// One of which only the type is known.
    pub const fn of(kind: ProxyType) -> Self {
        Self {
            kind,
            host: None,
            port: None,
            user: None,
            password: None,
        }
    }

    /// Reports what cannot be carried out.
    ///
    /// # Errors
    /// `configuration`
    pub(super) fn validate(&self) -> Result<()> {
        if self.kind == ProxyType::Runtime {
            let is_bare = self == &Self::of(ProxyType::Runtime);
            return is_bare.then_some(()).ok_or_else(|| {
                Error::configuration("proxy.type = runtime has no host, port, user or password")
                    .with_hint("leave them out: the environment names the proxy; or set proxy.type")
            });
        }
        if self.password.is_some() && self.user.is_none() {
            return Err(
                Error::configuration("proxy.password is set, but no proxy.user")
                    .with_hint("set proxy.user, or leave proxy.password out"),
            );
        }
        if self.password.is_some() && self.kind == ProxyType::Socks4 {
            return Err(Error::configuration("SOCKS 4 knows no password")
                .with_hint("leave proxy.password out"));
        }
        self.place().map(|_| ())
    }

    /// Host and port.
    ///
    /// # Errors
    /// `configuration` when one of them is neither set nor known.
    pub(crate) fn place(&self) -> Result<(String, u16)> {
        let host = self.host.as_deref().unwrap_or_default().trim();
        let host = host.split_once("://").map_or(host, |(_, rest)| rest);
        let host = host.split('/').next().unwrap_or_default();
        let (host, in_host) = host_and_port(host).map_err(|error| {
            Error::configuration(format!("proxy.host: {error}"))
                .with_hint("set proxy.host to the proxy's name or address")
        })?;
        let usual = match self.kind {
            ProxyType::Socks4 | ProxyType::Socks5 => Some(SOCKS),
            ProxyType::Http | ProxyType::Runtime => None,
        };
        match self.port.or(in_host).or(usual) {
            Some(port) if port > 0 => Ok((host, port)),
            _ => Err(
                Error::configuration(format!("the proxy {host} has no port"))
                    .with_hint("set proxy.port; HTTP proxies often listen on 3128 or 8080"),
            ),
        }
    }

    /// What the environment says for a server, read by `variable`; none when it says none.
    ///
    /// # Errors
    /// `configuration` when it says something that is no proxy.
    pub(crate) fn of_environment(
        host: &str,
        port: u16,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>> {
        let either = |name: &str| {
            let set = |name: &str| variable(name).filter(|it| !it.trim().is_empty());
            set(name).or_else(|| set(&name.to_ascii_lowercase()))
        };
        if either("NO_PROXY").is_some_and(|list| is_excepted(&list, host, port)) {
            return Ok(None);
        }
        let found = ["HTTPS_PROXY", "ALL_PROXY"]
            .into_iter()
            .find_map(|name| Some((name, either(name)?)));
        let Some((name, text)) = found else {
            return Ok(None);
        };
        // What stands in the variable may hold a password.
        text.parse().map(Some).map_err(|_| {
            Error::configuration(format!(
                "the variable {name} names no proxy that is understood"
            ))
            .with_hint("write it as http://HOST:PORT or socks5://HOST:PORT, or unset it")
        })
    }
}

/// The port of SOCKS (IANA).
const SOCKS: u16 = 1080;

/// Whether a list of names excepts a host: `*`, a name, also of a domain above, or an address, each
/// with a port if it is to be that one; or a range of addresses, such as `10.0.0.0/8`.
fn is_excepted(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim().to_ascii_lowercase();
    list.split([',', ' ']).map(str::trim).any(|entry| {
        if is_in_range(entry, &host) {
            return true;
        }
        let Ok((name, of_port)) = host_and_port(entry) else {
            return false;
        };
        let name = name.to_ascii_lowercase();
        let domain = name.trim_start_matches("*.").trim_start_matches('.');
        let is_below = host
            .strip_suffix(domain)
            .is_some_and(|front| front.is_empty() || front.ends_with('.'));
        of_port.is_none_or(|it| it == port) && (name == "*" || is_below)
    })
}

/// Whether a host is an address of a range that is written as `ADDRESS/BITS` (RFC 4632 §3.1). A name is
/// not resolved for it: that is the proxy's.
fn is_in_range(range: &str, host: &str) -> bool {
    let Some((first, bits)) = range.split_once('/') else {
        return false;
    };
    let (Ok(first), Ok(bits), Ok(host)) = (first.parse(), bits.parse::<u32>(), host.parse()) else {
        return false;
    };
    let (differs, width) = match (first, host) {
        (IpAddr::V4(first), IpAddr::V4(host)) => (u128::from(first.to_bits() ^ host.to_bits()), 32),
        (IpAddr::V6(first), IpAddr::V6(host)) => (first.to_bits() ^ host.to_bits(), 128),
        _ => return false,
    };
    // A shift by the whole width, for a range of all addresses, leaves no difference.
    bits <= width && differs.checked_shr(width - bits).unwrap_or(0) == 0
}

/// `HOST`, `HOST:PORT`, `[ADDRESS]:PORT` or an IPv6 address.
pub(super) fn host_and_port(text: &str) -> Result<(String, Option<u16>), String> {
    let number = |port: &str| {
        port.parse::<u16>()
            .ok()
            .filter(|it| *it > 0)
            .map(Some)
            .ok_or_else(|| format!("'{port}' is no port"))
    };
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest
            .split_once(']')
            .ok_or_else(|| format!("'{text}' has a bracket that is not closed"))?;
        match port.strip_prefix(':') {
            Some(port) => (host, number(port)?),
            None if port.is_empty() => (host, None),
            None => return Err(format!("'{text}' is no host")),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) if !port.contains(':') => (host, number(port)?),
            _ => (text, None),
        }
    };
    if host.is_empty() || !host.bytes().all(|it| it.is_ascii_graphic()) {
        return Err("there is no host".to_owned());
    }
    Ok((host.to_owned(), port))
}

/// Undoes the `%` of a URL (RFC 3986 §2.1).
fn unescaped(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digit = |it: Option<u8>| char::from(it?).to_digit(16);
        let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
            return Err("a % is not followed by two digits".to_owned());
        };
        out.push(u8::try_from(high * 16 + low).expect("two digits of sixteen make a byte"));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_type_place_and_user() {
        let proxy: Proxy = "socks5h://me%40x:p%3Aw@proxy.example:1081/"
            .parse()
            .unwrap();
        assert_eq!(proxy.kind, ProxyType::Socks5);
        assert_eq!(proxy.place().unwrap(), ("proxy.example".to_owned(), 1081));
        assert_eq!(proxy.user.as_deref(), Some("me@x"));
        let password = proxy.password.as_ref().unwrap().resolve().unwrap();
        assert_eq!(password.expose(), b"p:w");
        assert!(!format!("{proxy:?}").contains("p:w"));
        assert_eq!(
            "socks4a://[::1]".parse::<Proxy>().unwrap().place().unwrap(),
            ("::1".to_owned(), 1080)
        );
        for refused in [
            "http://h",
            "ftp://h:1",
            "http://:80",
            "http://h:0",
            "http://%4@h:1",
        ] {
            assert!(refused.parse::<Proxy>().is_err(), "{refused}");
        }
    }

    #[test]
    fn a_scheme_before_the_host_is_dropped() {
        let proxy: Proxy =
            toml::from_str("type = 'http'\nhost = 'https://proxy.example/'\nport = 3128").unwrap();
        assert_eq!(proxy.place().unwrap(), ("proxy.example".to_owned(), 3128));
        let proxy: Proxy = toml::from_str("type = 'http'\nhost = 'http://p:8080'").unwrap();
        assert_eq!(proxy.place().unwrap(), ("p".to_owned(), 8080));
        assert!(toml::from_str::<Proxy>("host = 'p'").is_err(), "no type");
        let proxy: Proxy = toml::from_str("type = 'http'\nhost = 'p'").unwrap();
        assert!(
            proxy
                .validate()
                .unwrap_err()
                .hint()
                .unwrap()
                .contains("proxy.port")
        );
    }

    #[test]
    fn the_environment_names_the_proxy_and_who_needs_none() {
        let environment = |name: &str| match name {
            "https_proxy" => Some("http://p:3128".to_owned()),
            "ALL_PROXY" => Some("socks5://q".to_owned()),
            "NO_PROXY" => {
                let list =
                    "localhost, .inside.example,10.0.0.7:22,192.168.4.0/22,fd00::/8,10.1.0.0/33";
                Some(list.to_owned())
            }
            _ => None,
        };
        let of = |host, port| Proxy::of_environment(host, port, environment).unwrap();
        assert_eq!(of("outside.example", 22).unwrap().kind, ProxyType::Http);
        for (host, port) in [
            ("localhost", 22),
            ("a.inside.example", 22),
            ("inside.example", 22),
            ("10.0.0.7", 22),
            ("192.168.7.255", 22),
            ("fd12::7", 2222),
        ] {
            assert_eq!(of(host, port), None, "{host}");
        }
        assert!(of("10.0.0.7", 2222).is_some());
        assert!(of("notinside.example", 22).is_some());
        for outside in ["192.168.8.0", "fe00::7", "10.1.0.0", "192.168.7.example"] {
            assert!(of(outside, 22).is_some(), "{outside}");
        }
        assert!(is_in_range("0.0.0.0/0", "203.0.113.9") && is_in_range("::/0", "2001:db8::1"));
        assert!(is_in_range("10.0.0.7/32", "10.0.0.7") && !is_in_range("10.0.0.7/32", "10.0.0.6"));
        let only = |name: &str| (name == "all_proxy").then(|| "socks5://q".to_owned());
        let found = Proxy::of_environment("h", 22, only).unwrap().unwrap();
        assert_eq!(found.kind, ProxyType::Socks5);
        assert_eq!(Proxy::of_environment("h", 22, |_| None).unwrap(), None);
        let broken = |_: &str| Some("me:secret@".to_owned());
        let error = Proxy::of_environment("h", 22, broken).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
