//! What a scripted peer can say by name: the messages of RFC 4252, 4253, 4254 and 8308 that tests need, declared here a
//! second time because the core keeps its own tables to itself. Not checked against what an end may send: a peer says
//! anything.

use sansftp_proto::messages;
use sansftp_proto::wire::{NameList, Rest, Text};

messages! {
    Transport from both;
    /// RFC 4253 §11.1
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
    /// RFC 5656 §4
    30 KexStart<'a> { client_share: &'a [u8] }
    /// RFC 5656 §4
    31 KexReply<'a> { host_key: &'a [u8], server_share: &'a [u8], signature: &'a [u8] }
    /// RFC 4419 §3
    34 GroupRequest { min: u32, n: u32, max: u32 }
    /// RFC 4419 §3
    31 Group<'a> { p: &'a [u8], g: &'a [u8] }
    /// RFC 4419 §3
    32 GroupStart<'a> { client_share: &'a [u8] }
    /// RFC 4419 §3
    33 GroupReply<'a> { host_key: &'a [u8], server_share: &'a [u8], signature: &'a [u8] }
    /// OpenSSH's PROTOCOL §1.8, as an extension of RFC 8308
    192 Ping<'a> { data: &'a [u8] }
    /// OpenSSH's PROTOCOL §1.8, as an extension of RFC 8308
    193 Pong<'a> { data: &'a [u8] }
}

messages! {
    Auth from both;
    /// RFC 4253 §10
    5 ServiceRequest<'a> { name: &'a [u8] }
    /// RFC 4253 §10
    6 ServiceAccept<'a> { name: &'a [u8] }
    /// RFC 4252 §5
    50 AuthRequest<'a> { user: &'a str, service: &'a str, method: &'a str, rest: Rest<'a> }
    /// RFC 4252 §5.1
    51 AuthFailure<'a> { methods: NameList<'a>, partial: bool }
    /// RFC 4252 §5.1
    52 AuthSuccess {}
    /// RFC 4252 §5.4
    53 Banner<'a> { message: &'a [u8], language: &'a [u8] }
    /// RFC 4252 §7
    60 PkOk<'a> { algorithm: &'a [u8], key: &'a [u8] }
    /// RFC 4256 §3.4
    61 InfoResponse<'a> { count: u32, rest: Rest<'a> }
}

messages! {
    Connection from both;
    /// RFC 4254 §4
    80 GlobalRequest<'a> { name: &'a [u8], want_reply: bool, rest: Rest<'a> }
    /// RFC 4254 §4
    81 GlobalSuccess<'a> { rest: Rest<'a> }
    /// RFC 4254 §4
    82 GlobalFailure {}
    /// RFC 4254 §5.1
    90 Open<'a> { kind: &'a [u8], sender: u32, window: u32, max_packet: u32, rest: Rest<'a> }
    /// RFC 4254 §5.1
    91 OpenConfirmation<'a> { recipient: u32, sender: u32, window: u32, max_packet: u32, rest: Rest<'a> }
    /// RFC 4254 §5.1
    92 OpenFailure<'a> { recipient: u32, reason: u32, description: Text<'a>, language: Text<'a> }
    /// RFC 4254 §5.2
    93 WindowAdjust { recipient: u32, bytes: u32 }
    /// RFC 4254 §5.2
    94 Data<'a> { recipient: u32, data: &'a [u8] }
    /// RFC 4254 §5.2
    95 ExtendedData<'a> { recipient: u32, kind: u32, data: &'a [u8] }
    /// RFC 4254 §5.3
    96 Eof { recipient: u32 }
    /// RFC 4254 §5.3
    97 Close { recipient: u32 }
    /// RFC 4254 §5.4
    98 Request<'a> { recipient: u32, name: &'a [u8], want_reply: bool, rest: Rest<'a> }
    /// RFC 4254 §5.4
    99 Success { recipient: u32 }
    /// RFC 4254 §5.4
    100 Failure { recipient: u32 }
}
