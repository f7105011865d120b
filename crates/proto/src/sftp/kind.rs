//! Which reply answers which request (draft-ietf-secsh-filexfer-02 §6, §7), in types: a request names
//! the kind of its reply, so a reply of another kind can be neither given nor taken.

use super::answer::{Body, Held};
use super::extensions::{FileHashes, Limits, OwnerNames, StatVfs};
use super::values::{self, Entry};
use super::{attrs, rope};
use crate::role::Client;
use crate::wire::{Message, SentBy};
use bytes::Bytes;
use std::fmt::Debug;

/// A request that a client can make, and the kind of reply that it gets.
pub trait Request<'a>: Message<'a> + SentBy<Client> {
    /// What answers it, if it is not a failure.
    type Reply: Kind;

    /// What the reply is held against.
    fn expected(&self) -> Expected {
        Self::Reply::EXPECTED
    }
}

/// What a reply must be, with the bounds that its request set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expected {
    /// SSH_FXP_STATUS with SSH_FX_OK.
    Status,
    /// SSH_FXP_HANDLE
    Handle,
    /// SSH_FXP_DATA
    Data {
        /// Bytes that were asked for.
        most: u32,
    },
    /// SSH_FXP_NAME with any number of names.
    Names,
    /// SSH_FXP_NAME with exactly one name (§6.11).
    Path,
    /// SSH_FXP_ATTRS
    Attrs,
    /// The reply to `limits@openssh.com`.
    Limits,
    /// The reply to `statvfs@openssh.com` and `fstatvfs@openssh.com`.
    StatVfs,
    /// The reply to `users-groups-by-id@openssh.com`.
    OwnerNames {
        /// How many users were asked about.
        users: usize,
        /// How many groups were asked about.
        groups: usize,
    },
    /// The reply to `check-file-handle` and `check-file-name`.
    FileHashes,
}

/// A kind of reply. Sealed: `Body` cannot be made outside.
pub trait Kind: Debug + 'static {
    /// What a reply of this kind holds.
    type Value: Debug;
    #[doc(hidden)]
    const EXPECTED: Expected;
    #[doc(hidden)]
    fn take(body: Body) -> Option<Self::Value>;
    #[doc(hidden)]
    fn give(value: Self::Value) -> Body;
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $Kind:ident: $Value:ty = $expected:expr, $pattern:pat => $take:expr, $give:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        #[expect(clippy::exhaustive_enums, reason = "a name for a type; there are no values")]
        pub enum $Kind {}

        impl Kind for $Kind {
            type Value = $Value;
            const EXPECTED: Expected = $expected;

            fn take(body: Body) -> Option<$Value> {
                match body.0 {
                    $pattern => Some($take),
                    _ => None,
                }
            }

            fn give(value: $Value) -> Body {
                Body(($give)(value))
            }
        }
    )*};
}

kinds! {
    /// Nothing but success.
    Status: () = Expected::Status, Held::Done => (), |()| Held::Done;
    /// An open file or directory.
    Handle: values::Handle = Expected::Handle, Held::Handle(it) => it, Held::Handle;
    /// File contents.
    Data: rope::Data = Expected::Data { most: 0 }, Held::Data(it) => it, Held::Data;
    /// Some names of a directory.
    Names: Vec<Entry> = Expected::Names, Held::Names(it) => it, Held::Names;
    /// One path.
    Path: Bytes = Expected::Path, Held::Path(it) => it, Held::Path;
    /// What is known of a file.
    Attrs: attrs::Attrs = Expected::Attrs, Held::Attrs(it) => it, Held::Attrs;
    /// The server's limits.
    ServerLimits: Limits = Expected::Limits, Held::Limits(it) => it, Held::Limits;
    /// What is known of a file system.
    FileSystem: StatVfs = Expected::StatVfs, Held::StatVfs(it) => it, Held::StatVfs;
    /// Names of users and groups.
    Owners: OwnerNames = Expected::OwnerNames { users: 0, groups: 0 },
        Held::OwnerNames(it) => it, Held::OwnerNames;
    /// Hashes of a file.
    Hashes: FileHashes = Expected::FileHashes, Held::FileHashes(it) => it, Held::FileHashes;
}
