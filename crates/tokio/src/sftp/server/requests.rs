//! Sets of requests by the names that OpenSSH's `sftp-server` has for them, for what is allowed and
//! what is denied.

use sansftp_proto::error::printable;
use sansftp_proto::sftp::{Asked, Extension, Extensions};
use std::fmt;

/// Some of the requests that SFTP has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Requests(u32);

/// A name that no request has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no request '{0}'")]
pub struct UnknownRequest(String);

impl Requests {
    /// Every request.
    pub const fn all() -> Self {
        Self((1 << Asked::NAMES.len()) - 1)
    }

    /// No request.
    pub const fn none() -> Self {
        Self(0)
    }

    /// The requests of a list of names with commas between them, as `-P` and `-p` of `sftp-server`
    /// take it.
    ///
    /// # Errors
    /// A name that no request has, the empty one included.
    pub fn parse(list: &str) -> Result<Self, UnknownRequest> {
        list.split(',').try_fold(Self::none(), |them, name| {
            let bit = bit(name).ok_or_else(|| UnknownRequest(printable(name.as_bytes())))?;
            Ok(Self(them.0 | bit))
        })
    }

    /// Those that are not in `denied`.
    #[must_use]
    pub const fn without(self, denied: Self) -> Self {
        Self(self.0 & !denied.0)
    }

    /// Whether the request of this name is among them.
    pub fn contains(self, name: &str) -> bool {
        bit(name).is_some_and(|bit| self.0 & bit != 0)
    }

    /// Their names, in the order in which `sftp-server -Q requests` lists them.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let names = Asked::NAMES.iter().copied();
        names.filter(move |name| self.contains(name))
    }

    /// Those of `extensions` whose requests are among them.
    pub(super) fn among(self, extensions: Extensions) -> Extensions {
        extensions
            .iter()
            .filter(|it| self.contains(request_name(*it)))
            .fold(Extensions::NONE, Extensions::with)
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

/// The name of an extension's request: without the domain that tells extensions apart.
fn request_name(extension: Extension) -> &'static str {
    let name = extension.name();
    name.split_once('@').map_or(name, |(name, _)| name)
}

fn bit(name: &str) -> Option<u32> {
    let at = Asked::NAMES.iter().position(|it| *it == name)?;
    Some(1 << at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_name_by_name() {
        let some = Requests::parse("remove,posix-rename").unwrap();
        assert_eq!(some.names().collect::<Vec<_>>(), ["remove", "posix-rename"]);
        let rest = Requests::all().without(some);
        assert!(!rest.contains("remove") && rest.contains("rename"));
        assert_eq!(rest.names().count(), Asked::NAMES.len() - 2);
        assert_eq!(Requests::all().names().count(), Asked::NAMES.len());
    }

    #[test]
    fn a_name_that_no_request_has_is_an_error() {
        for list in [
            "",
            "remove,",
            "remove, rename",
            "Remove",
            "posix-rename@openssh.com",
        ] {
            assert!(Requests::parse(list).is_err(), "{list:?}");
        }
        let error = Requests::parse("read,wr\x1bite").unwrap_err();
        assert_eq!(error.to_string(), "there is no request 'wr\u{fffd}ite'");
    }

    #[test]
    fn every_extension_has_a_request_of_its_name() {
        assert_eq!(Requests::all().among(Extensions::ALL), Extensions::ALL);
        let denied = Requests::parse("users-groups-by-id,copy-data").unwrap();
        let rest = Requests::all().without(denied).among(Extensions::ALL);
        let expected = Extensions::ALL
            .without(Extension::UsersGroupsById)
            .without(Extension::CopyData);
        assert_eq!(rest, expected);
    }
}
