//! Messages of the transport layer (RFC 4253, RFC 8308) and of key exchanges.

use crate::wire::{NameList, Rest, Text};

crate::messages! {
    Transport from both;
    /// RFC 4253 §11.1. Some peers leave the texts out.
    1 Disconnect<'a> { reason: u32, description: Text<'a>, language: Text<'a> }
    /// RFC 4253 §11.2
    2 Ignore<'a> { data: &'a [u8] }
    /// RFC 4253 §11.4
    3 Unimplemented { seq: u32 }
    /// RFC 4253 §11.3
    4 Debug<'a> { always_display: bool, message: &'a [u8], language: &'a [u8] }
    /// RFC 8308 §2.3
    7 ExtInfo<'a> { count: u32, extensions: Rest<'a> }
    /// RFC 4253 §7.1
    20 KexInit<'a> {
        cookie: [u8; 16],
        kex: NameList<'a>,
        host_key: NameList<'a>,
        cipher_to_server: NameList<'a>,
        cipher_to_client: NameList<'a>,
        mac_to_server: NameList<'a>,
        mac_to_client: NameList<'a>,
        compression_to_server: NameList<'a>,
        compression_to_client: NameList<'a>,
        languages_to_server: NameList<'a>,
        languages_to_client: NameList<'a>,
        first_kex_packet_follows: bool,
        reserved: u32,
    }
    /// RFC 4253 §7.3
    21 NewKeys {}
    /// OpenSSH's PROTOCOL §1.8, as an extension of RFC 8308
    192 Ping<'a> { data: &'a [u8] }
    /// OpenSSH's PROTOCOL §1.8, as an extension of RFC 8308
    193 Pong<'a> { data: &'a [u8] }
}

pub(super) mod ecdh {
    //! The two messages of methods whose shares are strings. Only an exchange reads them.
    crate::messages! {
        Transport from client;
        /// RFC 5656 §4, RFC 8731 §3
        30 Init<'a> { client_share: &'a [u8] }
    }
    crate::messages! {
        Transport from server;
        /// RFC 5656 §4, RFC 8731 §3
        31 Reply<'a> { host_key: &'a [u8], server_share: &'a [u8], signature: &'a [u8] }
    }
}

pub(super) mod dh {
    //! The two messages of methods whose shares are numbers. Only an exchange reads them.
    use crate::wire::MpInt;
    crate::messages! {
        Transport from client;
        /// RFC 4253 §8
        30 Init<'a> { e: MpInt<'a> }
    }
    crate::messages! {
        Transport from server;
        /// RFC 4253 §8
        31 Reply<'a> { host_key: &'a [u8], f: MpInt<'a>, signature: &'a [u8] }
    }
}

pub(super) mod gex {
    //! The four messages of methods whose server chooses the group (RFC 4419 §5). Only an exchange reads
    //! them. The request of old, number 30, is not known: who sends it asks for no least size.
    use crate::wire::MpInt;
    crate::messages! {
        Transport from client;
        /// RFC 4419 §3
        34 Request { min: u32, n: u32, max: u32 }
        /// RFC 4419 §3
        32 Init<'a> { e: MpInt<'a> }
    }
    crate::messages! {
        Transport from server;
        /// RFC 4419 §3
        31 Group<'a> { p: MpInt<'a>, g: MpInt<'a> }
        /// RFC 4419 §3
        33 Reply<'a> { host_key: &'a [u8], f: MpInt<'a>, signature: &'a [u8] }
    }
}
