//! What TARGET means: `NAME[:DIRECTORY]` or `sftp://[USER@]HOST[:PORT][/DIRECTORY]`.
//!
//! Not a general URL parser: what an SFTP URL has (RFC 3986 §3, draft-ietf-secsh-scp-sftp-ssh-uri
//! §4) and nothing else. Directories are bytes, `%XX` included.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use sansftp_connector::{Error, Result, printable};

/// A parsed TARGET.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A connection of the configuration.
    Named {
        /// Its name.
        name: String,
        /// What stands after the colon, unless that is nothing.
        directory: Option<Vec<u8>>,
    },
    /// A server by itself.
    Server {
        /// Account.
        user: Option<String>,
        /// Name or address, without brackets.
        host: String,
        /// Port.
        port: Option<u16>,
        /// Absolute, or relative to the account's home; none for the home itself.
        directory: Option<Vec<u8>>,
    },
}

impl Target {
    /// Reads it.
    ///
    /// # Errors
    /// `configuration`, with the form that would be right as its hint.
    pub(crate) fn parse(text: &OsStr) -> Result<Self> {
        let bytes = text.as_bytes();
        if let Some(rest) = strip_scheme(bytes) {
            return server(rest);
        }
        if let Some(at) = find(bytes, b"://") {
            return Err(wrong(format!(
                "the scheme '{}' is not spoken here",
                printable(&bytes[..at])
            )));
        }
        let (name, directory) = match bytes.iter().position(|&byte| byte == b':') {
            Some(colon) => (&bytes[..colon], &bytes[colon + 1..]),
            None => (bytes, &[][..]),
        };
        let name = std::str::from_utf8(name)
            .ok()
            .filter(|name| !name.is_empty())
            .ok_or_else(|| wrong(format!("the target '{}' has no name", printable(bytes))))?;
        Ok(Self::Named {
            name: name.to_owned(),
            directory: exact(directory.to_vec()),
        })
    }
}

fn server(rest: &[u8]) -> Result<Target> {
    let (authority, path) = match rest.iter().position(|&byte| byte == b'/') {
        Some(slash) => (&rest[..slash], Some(&rest[slash..])),
        None => (rest, None),
    };
    let (user, place) = match authority.iter().rposition(|&byte| byte == b'@') {
        Some(at) => (Some(&authority[..at]), &authority[at + 1..]),
        None => (None, authority),
    };
    let user = user.map(account).transpose()?;
    let (host, port) = host_and_port(place)?;
    let directory = match path {
        None => None,
        Some(path) => directory(&decoded(path)?),
    };
    Ok(Target::Server {
        user,
        host,
        port,
        directory,
    })
}

/// The part before the `@`. A password in it would be seen by every user of this machine.
fn account(text: &[u8]) -> Result<String> {
    if text.contains(&b':') {
        return Err(
            Error::configuration("a password does not belong into an sftp:// target")
                .with_hint("use --password-file FILE or the environment variable SANSFTP_PASSWORD"),
        );
    }
    let user = String::from_utf8(decoded(text)?)
        .map_err(|_| wrong("the user of the sftp:// target is not UTF-8"))?;
    if user.is_empty() {
        return Err(wrong("the user of the sftp:// target is empty"));
    }
    Ok(user)
}

fn host_and_port(text: &[u8]) -> Result<(String, Option<u16>)> {
    let text = String::from_utf8(decoded(text)?)
        .map_err(|_| wrong("the host of the sftp:// target is not UTF-8"))?;
    let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
        let Some((host, rest)) = bracketed.split_once(']') else {
            return Err(wrong("the address in brackets does not end"));
        };
        let port = match rest.strip_prefix(':') {
            Some(port) => Some(port),
            None if rest.is_empty() => None,
            None => {
                return Err(wrong(
                    "after the address in brackets comes a port or a slash",
                ));
            }
        };
        (host, port)
    } else {
        match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(wrong(
                    "an IPv6 address stands in brackets, as in sftp://[::1]:22",
                ));
            }
            Some((host, port)) => (host, Some(port)),
            None => (text.as_str(), None),
        }
    };
    if host.is_empty() {
        return Err(wrong("the sftp:// target has no host"));
    }
    if host.contains(|character: char| character.is_whitespace() || character.is_control()) {
        return Err(wrong("the host of the sftp:// target holds white space"));
    }
    let port = match port {
        None | Some("") => None,
        Some(port) => Some(
            port.parse::<u16>()
                .ok()
                .filter(|&port| port > 0)
                .ok_or_else(|| wrong(format!("'{port}' is no port; there are 1 to 65535")))?,
        ),
    };
    Ok((host.to_owned(), port))
}

/// `/~` and `/~/x` begin at the account's home, everything else at the root.
fn directory(path: &[u8]) -> Option<Vec<u8>> {
    let relative = match path.strip_prefix(b"/~") {
        Some([]) => Some(&[][..]),
        Some([b'/', rest @ ..]) => Some(rest),
        _ => None,
    };
    exact(relative.unwrap_or(path).to_vec())
}

/// A directory that means the same after it was trimmed, as settings are; none when it is empty.
fn exact(mut directory: Vec<u8>) -> Option<Vec<u8>> {
    if directory.first()?.is_ascii_whitespace() {
        directory.splice(..0, *b"./");
    }
    if directory.last()?.is_ascii_whitespace() {
        directory.push(b'/');
    }
    Some(directory)
}

/// Percent-decoding (RFC 3986 §2.1): any byte can be written.
fn decoded(text: &[u8]) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let decoded = after.first_chunk::<2>().and_then(|digits| {
            let high = char::from(digits[0]).to_digit(16)?;
            let low = char::from(digits[1]).to_digit(16)?;
            u8::try_from(high * 16 + low).ok()
        });
        let Some(byte) = decoded else {
            return Err(
                wrong("after % in an sftp:// target come two hexadecimal digits")
                    .with_hint("write a percent sign as %25"),
            );
        };
        if byte == 0 {
            return Err(wrong("%00 cannot be part of a name"));
        }
        bytes.push(byte);
        rest = &after[2..];
    }
    Ok(bytes)
}

fn strip_scheme(bytes: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = bytes.split_at_checked(b"sftp://".len())?;
    scheme.eq_ignore_ascii_case(b"sftp://").then_some(rest)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

fn wrong(message: impl Into<String>) -> Error {
    Error::configuration(message).with_hint(
        "a target is NAME[:DIRECTORY] of the configuration, or sftp://[USER@]HOST[:PORT][/DIRECTORY]",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Target {
        Target::parse(OsStr::new(text)).unwrap()
    }

    fn server(user: Option<&str>, host: &str, port: Option<u16>, dir: Option<&[u8]>) -> Target {
        Target::Server {
            user: user.map(str::to_owned),
            host: host.to_owned(),
            port,
            directory: dir.map(<[u8]>::to_vec),
        }
    }

    fn refusal(text: &str) -> String {
        let error = Target::parse(OsStr::new(text)).unwrap_err();
        assert!(error.hint().is_some(), "{error}");
        error.message().to_owned()
    }

    #[test]
    fn a_name_may_have_a_directory_after_a_colon() {
        let named = |name: &str, directory: Option<&[u8]>| Target::Named {
            name: name.to_owned(),
            directory: directory.map(<[u8]>::to_vec),
        };
        assert_eq!(parse("partner"), named("partner", None));
        assert_eq!(parse("partner:"), named("partner", None));
        assert_eq!(parse("partner:out/x"), named("partner", Some(b"out/x")));
        assert_eq!(parse("partner:/a:b"), named("partner", Some(b"/a:b")));
        let bytes = Target::parse(OsStr::from_bytes(b"p:\xff")).unwrap();
        assert_eq!(bytes, named("p", Some(b"\xff")));
    }

    #[test]
    fn a_server_has_its_parts_where_a_url_has_them() {
        assert_eq!(parse("sftp://h"), server(None, "h", None, None));
        assert_eq!(
            parse("SFTP://u@h:2222/a/b"),
            server(Some("u"), "h", Some(2222), Some(b"/a/b"))
        );
        assert_eq!(
            parse("sftp://[::1]/x"),
            server(None, "::1", None, Some(b"/x"))
        );
        assert_eq!(
            parse("sftp://[fe80::1%25eth0]:22"),
            server(None, "fe80::1%eth0", Some(22), None)
        );
        assert_eq!(
            parse("sftp://u%40d@h"),
            server(Some("u@d"), "h", None, None)
        );
        assert_eq!(parse("sftp://u@d@h"), server(Some("u@d"), "h", None, None));
    }

    #[test]
    fn a_tilde_begins_at_the_home_and_a_slash_at_the_root() {
        let directory = |text: &str| match parse(text) {
            Target::Server { directory, .. } => directory,
            Target::Named { .. } => panic!("not a server"),
        };
        assert_eq!(directory("sftp://h/~/x").unwrap(), b"x");
        assert_eq!(directory("sftp://h/~"), None);
        assert_eq!(directory("sftp://h/~/"), None);
        assert_eq!(directory("sftp://h/").unwrap(), b"/");
        assert_eq!(directory("sftp://h/~other/x").unwrap(), b"/~other/x");
        assert_eq!(directory("sftp://h/~/a%20b%ff%25").unwrap(), b"a b\xff%");
    }

    #[test]
    fn white_space_at_the_ends_of_a_directory_is_not_lost() {
        let Target::Server { directory, .. } = parse("sftp://h/~/%20x%20") else {
            panic!("not a server");
        };
        assert_eq!(directory.unwrap(), b"./ x /");
    }

    #[test]
    fn what_is_no_target_is_told_with_what_is() {
        assert!(refusal("ftp://h").contains("ftp"));
        assert!(refusal("sftp://").contains("no host"));
        assert!(refusal("sftp://h:0").contains("port"));
        assert!(refusal("sftp://h:66000").contains("66000"));
        assert!(refusal("sftp://::1").contains("brackets"));
        assert!(refusal("sftp://[::1").contains("brackets"));
        assert!(refusal("sftp://[::1]x").contains("brackets"));
        assert!(refusal("sftp://@h").contains("empty"));
        assert!(refusal("sftp://h/%zz").contains("hexadecimal"));
        assert!(refusal("sftp://h/a%0").contains("hexadecimal"));
        assert!(refusal("sftp://h/%00").contains("%00"));
        assert!(refusal("").contains("no name"));
        assert!(refusal(":x").contains("no name"));
    }

    #[test]
    fn a_password_in_a_target_is_refused_and_not_repeated() {
        let refused = refusal("sftp://u:hunter2@h");
        assert!(refused.contains("password") && !refused.contains("hunter2"));
    }
}
