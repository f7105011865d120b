//! The messages of SFTP version 3 (draft-ietf-secsh-filexfer-02). Handles, paths and names are bytes.
//!
//! Not here: the extended requests, which share number 200 and are told apart by name
//! ([`extensions`](super::extensions)).

use super::attrs::{Attrs, OpenFlags};
use super::kind::{self, Expected, Request};
use crate::wire::{Rest, Text};

crate::messages! { Sftp from client;
    /// §4. Pairs of extension name and data may follow the version.
    1 Init<'a> { version: u32, extensions: Rest<'a> }
    /// §6.3
    3 Open<'a> { filename: &'a [u8], pflags: OpenFlags, attrs: Attrs }
    /// §6.3
    4 Close<'a> { handle: &'a [u8] }
    /// §6.4
    5 Read<'a> { handle: &'a [u8], offset: u64, len: u32 }
    /// §6.4. No [`Request`]: [`Client::write`](super::Client::write) sends it without a copy.
    6 Write<'a> { handle: &'a [u8], offset: u64, data: &'a [u8] }
    /// §6.8
    7 Lstat<'a> { path: &'a [u8] }
    /// §6.8
    8 Fstat<'a> { handle: &'a [u8] }
    /// §6.9
    9 Setstat<'a> { path: &'a [u8], attrs: Attrs }
    /// §6.9
    10 Fsetstat<'a> { handle: &'a [u8], attrs: Attrs }
    /// §6.7
    11 Opendir<'a> { path: &'a [u8] }
    /// §6.7
    12 Readdir<'a> { handle: &'a [u8] }
    /// §6.5
    13 Remove<'a> { filename: &'a [u8] }
    /// §6.6
    14 Mkdir<'a> { path: &'a [u8], attrs: Attrs }
    /// §6.6
    15 Rmdir<'a> { path: &'a [u8] }
    /// §6.11
    16 Realpath<'a> { path: &'a [u8] }
    /// §6.8
    17 Stat<'a> { path: &'a [u8] }
    /// §6.5. Fails where the target exists.
    18 Rename<'a> { oldpath: &'a [u8], newpath: &'a [u8] }
    /// §6.10
    19 Readlink<'a> { path: &'a [u8] }
    /// §6.10, its arguments in the order of OpenSSH (its PROTOCOL §4.1), which all others followed:
    /// what the link points at, and then where it lies.
    20 Symlink<'a> { targetpath: &'a [u8], linkpath: &'a [u8] }
    /// §8
    200 Extended<'a> { request: &'a [u8], data: Rest<'a> }
}

crate::messages! { Sftp from server;
    /// §4
    2 Version<'a> { version: u32, extensions: Rest<'a> }
    /// §7. Servers are known to leave out the texts.
    101 StatusReply<'a> { code: u32, message: Text<'a>, language: Text<'a> }
    /// §7
    102 HandleReply<'a> { handle: &'a [u8] }
    /// §7
    103 DataReply<'a> { data: &'a [u8] }
    /// §7
    104 NameReply<'a> { count: u32, names: Rest<'a> }
    /// §7
    105 AttrsReply { attrs: Attrs }
    /// §8
    201 ExtendedReply<'a> { data: Rest<'a> }
}

macro_rules! replies {
    ($($Request:ident $Kind:ident;)*) => {$(
        impl<'a> Request<'a> for $Request<'a> {
            type Reply = kind::$Kind;
        }
    )*};
}

replies! {
    Open Handle;
    Close Status;
    Lstat Attrs;
    Fstat Attrs;
    Setstat Status;
    Fsetstat Status;
    Opendir Handle;
    Readdir Names;
    Remove Status;
    Mkdir Status;
    Rmdir Status;
    Realpath Path;
    Stat Attrs;
    Rename Status;
    Readlink Path;
    Symlink Status;
}

impl<'a> Request<'a> for Read<'a> {
    type Reply = kind::Data;

    fn expected(&self) -> Expected {
        Expected::Data { most: self.len }
    }
}
