//! The one normal form of a client's path, which every operation goes by: absolute, without empty
//! components and without `.` in the middle. It is a form of writing only: `..` and symbolic links
//! are the kernel's to resolve, for only it sees the directories while it walks them.
//!
//! No RFC says what a path is; draft-ietf-secsh-filexfer-02 §6.2 says that `/` separates, that `..`
//! is the parent, and that a relative path begins at a directory of the server's choice.

use super::status;
use rustix::io::Errno;
use sansftp_proto::sftp::{Status, StatusCode};
use sansftp_tokio::sftp::server::Outcome;
use std::fmt;

/// What the kernel reads of a path, its terminating NUL included (`PATH_MAX`).
const LONGEST: usize = 4096;

/// A path in normal form: `/`, or components that each follow a `/`. Behind the last of them may
/// stand one more `/`, which says that it is to be a directory; the last, and no other, may be `.`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ClientPath(Vec<u8>);

/// The last component of a path where it is a name, so neither `.` nor `..`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name<'a> {
    /// Not empty, and without `/` and NUL.
    pub(super) bytes: &'a [u8],
    /// Whether it is to be a directory, because a `/` followed.
    pub(super) directory: bool,
}

impl ClientPath {
    /// The directory that is served.
    pub(super) fn root() -> Self {
        Self(b"/".to_vec())
    }

    /// Reads a path as a client wrote it; one that is relative begins at `start`.
    ///
    /// # Errors
    /// NO_SUCH_FILE for an empty path, as the kernel answers it; BAD_MESSAGE for one with a NUL byte
    /// or longer than the kernel reads.
    pub(super) fn new(path: &[u8], start: &Self) -> Outcome<Self> {
        if path.is_empty() {
            return Err(Status::with_text(
                StatusCode::NO_SUCH_FILE,
                "an empty path names nothing",
            ));
        }
        if path.contains(&0) {
            return Err(Status::with_text(
                StatusCode::BAD_MESSAGE,
                "a path cannot contain a NUL byte",
            ));
        }
        if path.len() >= LONGEST {
            return Err(status::of(Errno::NAMETOOLONG));
        }
        let mut normal = match path {
            [b'/', ..] => Vec::new(),
            _ => start.stem().to_vec(),
        };
        let components: Vec<&[u8]> = path
            .split(|&byte| byte == b'/')
            .filter(|it| !it.is_empty())
            .collect();
        for (index, &component) in components.iter().enumerate() {
            let last = index + 1 == components.len();
            // Behind "file" a `.` says that it is to be a directory, so the last one has to stay.
            // The root is one anyway.
            if component == b"." && (!last || normal.is_empty()) {
                continue;
            }
            normal.push(b'/');
            normal.extend_from_slice(component);
        }
        let dots = matches!(components.last(), None | Some(&(b"." | b"..")));
        if normal.is_empty() || path.ends_with(b"/") && !dots {
            normal.push(b'/');
        }
        Ok(Self(normal))
    }

    /// The whole path.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path from the root on, as system calls take it beside the root's descriptor.
    pub(super) fn beneath(&self) -> &[u8] {
        match &self.0[1..] {
            [] => b".",
            beneath => beneath,
        }
    }

    /// The directory that the last component is looked up in, from the root on, and that component;
    /// `None` where the path ends in no name: `/`, `.` and `..`.
    pub(super) fn split(&self) -> Option<(&[u8], Name<'_>)> {
        let (whole, directory) = match self.0.strip_suffix(b"/") {
            Some(whole) => (whole, true),
            None => (&*self.0, false),
        };
        let slash = whole.iter().rposition(|&byte| byte == b'/')?;
        let (parent, bytes) = (&whole[..slash], &whole[slash + 1..]);
        if matches!(bytes, b"." | b"..") {
            return None;
        }
        let parent = match parent {
            [] => b".",
            [_, beneath @ ..] => beneath,
        };
        Some((parent, Name { bytes, directory }))
    }

    /// This directory's entry `name`.
    pub(super) fn join(&self, name: &[u8]) -> Self {
        let mut joined = self.stem().to_vec();
        joined.push(b'/');
        joined.extend_from_slice(name);
        Self(joined)
    }

    /// What a `/` and one more component may follow.
    fn stem(&self) -> &[u8] {
        let stem = self.0.strip_suffix(b"/");
        stem.or_else(|| self.0.strip_suffix(b"/."))
            .unwrap_or(&self.0)
    }
}

impl fmt::Debug for ClientPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normal(path: &str) -> String {
        let start = ClientPath::new(b"/start/here", &ClientPath::root()).unwrap();
        let path = ClientPath::new(path.as_bytes(), &start).unwrap();
        String::from_utf8(path.0).unwrap()
    }

    #[test]
    fn paths_are_absolute_and_keep_what_means_something() {
        for (path, expected) in [
            ("/", "/"),
            ("///", "/"),
            ("/.", "/"),
            ("/./.", "/"),
            ("/..", "/.."),
            ("/../", "/.."),
            ("a", "/start/here/a"),
            (".", "/start/here/."),
            ("./", "/start/here/."),
            ("..", "/start/here/.."),
            ("./a//b/./c", "/start/here/a/b/c"),
            ("/a/", "/a/"),
            ("/a//", "/a/"),
            ("/a/.", "/a/."),
            ("/a/./", "/a/."),
            ("/a/../", "/a/.."),
            ("/a/./..", "/a/.."),
            ("/a/../b", "/a/../b"),
        ] {
            assert_eq!(normal(path), expected, "{path:?}");
        }
    }

    #[test]
    fn the_last_component_is_a_name_or_there_is_none() {
        let split = |path: &str| {
            let path = ClientPath::new(path.as_bytes(), &ClientPath::root()).unwrap();
            let (parent, name) = path.split()?;
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            Some((text(parent), text(name.bytes), name.directory))
        };
        let some = |parent: &str, name: &str, directory| {
            Some((parent.to_owned(), name.to_owned(), directory))
        };
        assert_eq!(split("/a"), some(".", "a", false));
        assert_eq!(split("/a/"), some(".", "a", true));
        assert_eq!(split("/a/b/../c"), some("a/b/..", "c", false));
        assert_eq!(split("/..a"), some(".", "..a", false));
        for path in ["/", "/.", "/..", "/a/.", "/a/..", "/a/./", "/a/../"] {
            assert_eq!(split(path), None, "{path:?}");
        }
    }

    #[test]
    fn what_no_file_is_called_is_refused_with_its_reason() {
        let code = |path: &[u8]| ClientPath::new(path, &ClientPath::root()).unwrap_err().code;
        assert_eq!(code(b""), StatusCode::NO_SUCH_FILE);
        assert_eq!(code(b"a\0b"), StatusCode::BAD_MESSAGE);
        assert_eq!(code(&[b'a'; LONGEST]), StatusCode::BAD_MESSAGE);
    }

    proptest! {
        #[test]
        fn a_normal_path_is_normal(path in "[a./\\xff]{1,12}", start in "[a./]{1,8}") {
            let start = ClientPath::new(start.as_bytes(), &ClientPath::root()).unwrap();
            let once = ClientPath::new(path.as_bytes(), &start).unwrap();
            prop_assert_eq!(once.as_bytes()[0], b'/');
            let again = ClientPath::new(once.as_bytes(), &ClientPath::root()).unwrap();
            prop_assert_eq!(&once, &again);
            if let Some((parent, name)) = once.split() {
                prop_assert!(!name.bytes.contains(&b'/') && !name.bytes.is_empty());
                prop_assert!(parent[0] != b'/' );
                prop_assert!(name.bytes != b"." && name.bytes != b"..");
            }
            prop_assert!(once.beneath()[0] != b'/');
        }
    }
}
