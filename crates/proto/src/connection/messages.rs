//! Messages of the connection protocol (RFC 4254). What they mean is not known here.
//!
//! Names of requests and of channel types are bytes: one that is not even text is an unknown name,
//! which is answered with a refusal, and no reason to end the connection.

use crate::wire::{Rest, Text};

crate::messages! {
    Connection from both;
    /// RFC 4254 §4
    80 GlobalRequest<'a> { name: &'a [u8], want_reply: bool, rest: Rest<'a> }
    /// RFC 4254 §4
    81 RequestSuccess<'a> { rest: Rest<'a> }
    /// RFC 4254 §4
    82 RequestFailure {}
    /// RFC 4254 §5.1
    90 Open<'a> { kind: &'a [u8], sender: u32, window: u32, max_packet: u32, rest: Rest<'a> }
    /// RFC 4254 §5.1
    91 OpenConfirmation<'a> { recipient: u32, sender: u32, window: u32, max_packet: u32, rest: Rest<'a> }
    /// RFC 4254 §5.1. Some peers leave the texts out.
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

/// SSH_EXTENDED_DATA_STDERR, the only type of extended data that there is (RFC 4254 §5.2).
pub(super) const STDERR: u32 = 1;
