//! Paths and names on the far side: bytes with `/` between them.
//!
//! Not [`std::path::Path`]: a remote name need not be UTF-8, and what it means is the server's
//! affair (draft-ietf-secsh-filexfer-02 §6.2). Nothing here touches a local file system.

use sansftp_proto::error::misleads;
use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

/// A path on the server: any bytes, components separated by `/`.
///
/// Cheap to clone. `Debug` and `Display` escape what a terminal must not see.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemotePath(Bytes);

impl RemotePath {
    /// The path made of exactly these bytes.
    pub fn new(path: impl Into<Bytes>) -> Self {
        Self(path.into())
    }

    /// This path's bytes, as they go over the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// `name` inside this directory.
    pub fn join(&self, name: &[u8]) -> Self {
        let mut path = Vec::with_capacity(self.0.len() + 1 + name.len());
        path.extend_from_slice(&self.0);
        if !path.is_empty() && path.last() != Some(&b'/') {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Self(path.into())
    }

    /// `path` seen from this directory: itself when it is absolute, below this one otherwise.
    pub fn resolve(&self, path: &[u8]) -> Self {
        if path.first() == Some(&b'/') {
            return Self(Bytes::copy_from_slice(path));
        }
        let path = path.strip_prefix(b"./").unwrap_or(path);
        if path.is_empty() || path == b"." {
            return self.clone();
        }
        self.join(path)
    }

    /// The last component; empty for `/` and for the empty path.
    pub fn name(&self) -> &[u8] {
        let path = trim_slashes(&self.0);
        match path.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => &path[slash + 1..],
            None => path,
        }
    }

    /// The directory that holds this path; `None` for `/`, for a bare name and for the empty path.
    pub fn parent(&self) -> Option<Self> {
        let path = trim_slashes(&self.0);
        let slash = path.iter().rposition(|&byte| byte == b'/')?;
        let parent = trim_slashes(&path[..slash]);
        Some(Self(if parent.is_empty() {
            Bytes::from_static(b"/")
        } else {
            Bytes::copy_from_slice(parent)
        }))
    }
}

impl From<&str> for RemotePath {
    fn from(path: &str) -> Self {
        Self(Bytes::copy_from_slice(path.as_bytes()))
    }
}

impl fmt::Display for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.0))
    }
}

impl fmt::Debug for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'", printable(&self.0))
    }
}

/// Bytes from the other end as text that a terminal can show: what could mislead is escaped,
/// what is not UTF-8 is shown as `\xNN`.
pub fn printable(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.chars().any(misleads)
    {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if misleads(character) {
                shown.extend(character.escape_default());
            } else {
                shown.push(character);
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    Cow::Owned(shown)
}

fn trim_slashes(path: &[u8]) -> &[u8] {
    let end = path
        .iter()
        .rposition(|&byte| byte != b'/')
        .map_or(0, |last| last + 1);
    &path[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RemotePath {
        RemotePath::from(text)
    }

    #[test]
    fn a_path_is_taken_apart_at_its_last_slash() {
        assert_eq!(path("/a/b/").name(), b"b");
        assert_eq!(path("/a/b/").parent(), Some(path("/a")));
        assert_eq!(path("/a").parent(), Some(path("/")));
        assert_eq!(path("a").parent(), None);
        assert_eq!(path("/").name(), b"");
        assert_eq!(path("/").parent(), None);
    }

    #[test]
    fn a_relative_path_is_resolved_and_an_absolute_one_stands() {
        assert_eq!(path("/home/u").resolve(b"out"), path("/home/u/out"));
        assert_eq!(path("/home/u").resolve(b"./out"), path("/home/u/out"));
        assert_eq!(path("/home/u").resolve(b"/srv"), path("/srv"));
        assert_eq!(path("/home/u").resolve(b"."), path("/home/u"));
        assert_eq!(path("/").join(b"a"), path("/a"));
    }

    #[test]
    fn what_a_terminal_must_not_see_is_escaped() {
        assert_eq!(printable(b"a\x1b[2Jb\xff"), "a\\u{1b}[2Jb\\xff");
        assert_eq!(printable("grüße".as_bytes()), "grüße");
    }
}
