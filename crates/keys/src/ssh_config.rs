//! What a user's `ssh_config` says of a host (ssh_config(5)): where it is, who logs in, with which key,
//! through whom.
//!
//! A handful of keywords, and `Host` with its patterns; the first value of a keyword wins. What would
//! have to run a program, read another file or know the machine is not done: `Include` is refused, a
//! `Match` other than `all` is skipped and said, other keywords are left to whom they concern.

use crate::pattern::{MAX_NAME, matches};
use crate::text;
use std::fmt;

/// What is said of a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostSettings {
    /// `HostName`, with `%h` and `%%` filled in.
    pub host_name: Option<String>,
    /// `Port`.
    pub port: Option<u16>,
    /// `User`.
    pub user: Option<String>,
    /// `IdentityFile`, each that is named, in their order; `~` is not expanded.
    pub identity_files: Vec<String>,
    /// `ProxyJump`; `none` is no value but ends the search for one.
    pub proxy_jump: Option<String>,
    /// `UserKnownHostsFile`, the first that is named; `~` is not expanded.
    pub user_known_hosts_file: Option<String>,
    /// `HostKeyAlias`.
    pub host_key_alias: Option<String>,
    /// Numbers of the lines that begin a `Match` that was skipped.
    pub skipped: Vec<usize>,
}

/// A line that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SshConfigError {
    /// Its number, from 1.
    pub line: usize,
    /// Why, for people.
    pub reason: &'static str,
}

impl fmt::Display for SshConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.reason)
    }
}

impl std::error::Error for SshConfigError {}

/// What the file says of `host`, as the user named it.
///
/// # Errors
/// [`SshConfigError`] for a line that concerns the host, or would say which do, and is not understood.
pub fn ssh_config(file: &[u8], host: &str) -> Result<HostSettings, SshConfigError> {
    let mut found = HostSettings::default();
    let mut jump = None;
    let mut applies = true;
    for (line, content) in text::lines(file) {
        let Some(content) = text::content(content) else {
            continue;
        };
        let refuse = |reason| SshConfigError { line, reason };
        let (keyword, rest) = keyword(content);
        match keyword.as_str() {
            "host" => {
                let patterns = words(rest).map_err(refuse)?;
                applies = concerns(&patterns, host);
                continue;
            }
            "match" => {
                let criteria = words(rest).map_err(refuse)?;
                applies = criteria.len() == 1 && criteria[0].eq_ignore_ascii_case("all");
                if !applies {
                    found.skipped.push(line);
                }
                continue;
            }
            "include" => {
                return Err(refuse(
                    "Include is not followed; put the lines into this file",
                ));
            }
            _ if !applies => continue,
            _ => {}
        }
        let value = || -> Result<String, SshConfigError> {
            let mut words = words(rest).map_err(refuse)?.into_iter();
            words
                .next()
                .ok_or_else(|| refuse("the keyword has no value"))
        };
        match keyword.as_str() {
            "hostname" => {
                let name = filled(&value()?, host).map_err(refuse)?;
                found.host_name.get_or_insert(name);
            }
            "port" => {
                let port = value()?.parse::<u16>().ok().filter(|it| *it > 0);
                found
                    .port
                    .get_or_insert(port.ok_or_else(|| refuse("not a port"))?);
            }
            "user" => {
                found.user.get_or_insert(value()?);
            }
            "identityfile" => {
                let path = path(value()?).map_err(refuse)?;
                if !path.eq_ignore_ascii_case("none") && found.identity_files.len() < IDENTITIES {
                    found.identity_files.push(path);
                }
            }
            "proxyjump" => {
                jump.get_or_insert(value()?);
            }
            "proxycommand" if jump.is_none() => {
                return Err(refuse("ProxyCommand is not run; use ProxyJump, or proxy"));
            }
            "userknownhostsfile" => {
                let path = path(value()?).map_err(refuse)?;
                found.user_known_hosts_file.get_or_insert(path);
            }
            "hostkeyalias" => {
                found.host_key_alias.get_or_insert(value()?);
            }
            _ => {}
        }
    }
    found.proxy_jump = jump.filter(|it| !it.eq_ignore_ascii_case("none"));
    Ok(found)
}

/// Key files that are remembered of one host; more are of no use, since servers hang up before.
const IDENTITIES: usize = 16;

/// The keyword in small letters, and what stands behind it: blanks or one `=` are between them.
fn keyword(line: &[u8]) -> (String, &[u8]) {
    let end = line
        .iter()
        .position(|&byte| text::is_blank(byte) || byte == b'=')
        .unwrap_or(line.len());
    let (keyword, rest) = line.split_at(end);
    let rest = text::trim(rest);
    let rest = text::trim(rest.strip_prefix(b"=").unwrap_or(rest));
    (String::from_utf8_lossy(keyword).to_ascii_lowercase(), rest)
}

/// Words between blanks; those with blanks in them stand in double quotes. `#` begins a comment.
fn words(mut rest: &[u8]) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    loop {
        rest = text::trim(rest);
        let (word, after) = match rest.split_first() {
            None | Some((b'#', _)) => return Ok(words),
            Some((b'"', quoted)) => {
                let end = quoted.iter().position(|&byte| byte == b'"');
                let (word, after) = quoted.split_at(end.ok_or("a quote is not closed")?);
                (word, after.get(1..).unwrap_or_default())
            }
            Some(_) => {
                let end = rest.iter().position(|&byte| text::is_blank(byte));
                rest.split_at(end.unwrap_or(rest.len()))
            }
        };
        let word = std::str::from_utf8(word).map_err(|_| "not UTF-8")?;
        words.push(word.to_owned());
        rest = after;
    }
}

/// Whether one pattern matches, and none that begins with `!`.
fn concerns(patterns: &[String], host: &str) -> bool {
    if host.len() > MAX_NAME {
        return false;
    }
    let is = |pattern: &str| matches(pattern.as_bytes(), host.as_bytes());
    let excluded = patterns
        .iter()
        .filter_map(|it| it.strip_prefix('!'))
        .any(is);
    !excluded && patterns.iter().any(|it| is(it))
}

/// A host's name with `%h` for the one that the user gave.
fn filled(name: &str, host: &str) -> Result<String, &'static str> {
    let mut out = String::new();
    let mut characters = name.chars();
    while let Some(character) = characters.next() {
        match (character, character == '%') {
            (_, false) => out.push(character),
            _ => match characters.next() {
                Some('%') => out.push('%'),
                Some('h') => out.push_str(host),
                _ => return Err("only %h and %% are understood in HostName"),
            },
        }
    }
    Ok(out)
}

/// A path, in which `%d` at the front is the home directory as `~` is.
fn path(path: String) -> Result<String, &'static str> {
    let path = match path.strip_prefix("%d/") {
        Some(rest) => format!("~/{rest}"),
        None => path,
    };
    if path.contains('%') || path.contains("${") {
        return Err("only ~ and %d at the front are understood in paths");
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"# mine
Host gate
    HostName gate.example
    User=jumper
Host *.internal !db.internal
    ProxyJump gate
    IdentityFile \"~/.ssh/my key\"
    IdentityFile %d/.ssh/other
Host db.internal
    ProxyJump none
Host short
  HostName %h.example.com
  Port 2222
  HostKeyAlias alias
  UserKnownHostsFile ~/.ssh/kh ~/.ssh/kh2
Match exec \"true\"
  User evil
Match all
  ServerAliveInterval 5
Host *
  User everyone
  Port = 22
  ProxyJump late
";

    #[test]
    fn the_first_value_wins_and_patterns_choose_the_lines() {
        let gate = ssh_config(FILE, "gate").unwrap();
        assert_eq!(gate.host_name.as_deref(), Some("gate.example"));
        assert_eq!(gate.user.as_deref(), Some("jumper"));
        assert_eq!(gate.skipped, [16]);
        let web = ssh_config(FILE, "WEB.internal").unwrap();
        assert_eq!(web.proxy_jump.as_deref(), Some("gate"));
        assert_eq!(web.identity_files, ["~/.ssh/my key", "~/.ssh/other"]);
        assert_eq!(web.user.as_deref(), Some("everyone"));
        let db = ssh_config(FILE, "db.internal").unwrap();
        assert_eq!((db.proxy_jump, db.identity_files.len()), (None, 0));
        let short = ssh_config(FILE, "short").unwrap();
        assert_eq!(short.host_name.as_deref(), Some("short.example.com"));
        assert_eq!(short.port, Some(2222));
        assert_eq!(short.host_key_alias.as_deref(), Some("alias"));
        assert_eq!(short.user_known_hosts_file.as_deref(), Some("~/.ssh/kh"));
        assert_eq!(ssh_config(b"", "x").unwrap(), HostSettings::default());
    }

    #[test]
    fn what_cannot_be_followed_is_refused_with_its_line() {
        for (file, line) in [
            (&b"\nInclude other"[..], 2),
            (b"Host *\nPort many", 2),
            (b"User \"open", 1),
            (b"User", 1),
            (b"HostName %n.example", 1),
            (b"IdentityFile ${X}/k", 1),
            (b"ProxyCommand nc %h %p", 1),
            (b"User \xff", 1),
        ] {
            let error = ssh_config(file, "h").unwrap_err();
            assert_eq!(error.line, line, "{error}");
        }
        assert!(ssh_config(b"Host other\nPort many", "h").is_ok());
        assert!(ssh_config(b"ProxyJump j\nProxyCommand nc", "h").is_ok());
    }
}
