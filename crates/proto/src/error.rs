//! One error per connection, by blame, terminal and cloneable; one place maps it to the wire.

use crate::config::Offered;
use crate::crypto::CryptoError;
use crate::wire::Malformed;
use std::fmt;

/// Why a connection ended. The same value is given to everyone who asks again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The peer broke the protocol.
    PeerMisbehaved(PeerMisbehaved),
    /// No algorithm in common.
    PeerIncompatible {
        /// Which list of KEXINIT: `kex`, `host key`, `cipher`, `mac` or `compression`.
        list: &'static str,
        /// What we offered.
        ours: String,
        /// What the peer offered.
        theirs: String,
        /// All that the peer offered, because more than one list may have nothing in common; none when
        /// it was not asked.
        offered: Option<Box<Offered>>,
    },
    /// The peer's identification is of a protocol version that we do not speak.
    VersionNotSupported,
    /// A message did not read as what its number says.
    InvalidMessage {
        /// The number of the message.
        number: u8,
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        cause: Malformed,
    },
    /// A packet failed authentication: damaged or forged on the way.
    Integrity,
    /// The peer sent SSH_MSG_DISCONNECT.
    Disconnected {
        /// The reason code (RFC 4253 §11.1).
        reason: u32,
        /// The peer's words, control characters replaced.
        text: String,
    },
    /// The peer closed the transport without SSH_MSG_DISCONNECT.
    ConnectionLost {
        /// Where the connection stood.
        stage: &'static str,
    },
    /// All ways of authentication were tried, or too many attempts made.
    AuthenticationFailed,
    /// The application does not trust the server's key.
    HostKeyRejected,
    /// The host key's signature over the key exchange does not verify.
    HostKeyUnproven(CryptoError),
    /// Something took too long.
    TimedOut {
        /// What was waited for.
        waiting_for: &'static str,
    },
    /// The application ended the connection.
    Closed,
    /// The provider failed.
    Crypto(CryptoError),
    /// The application used the interface wrongly: an answer to a question that was never asked.
    ApiMisuse(&'static str),
    /// A state was left half-way: a bug of ours.
    Unreachable(&'static str),
}

/// What the peer did that it must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerMisbehaved {
    /// A message that may not arrive now.
    UnexpectedMessage {
        /// The number of the message.
        number: u8,
        /// Where the connection stood.
        phase: &'static str,
    },
    /// No identification within the bounds of RFC 4253 §4.2.
    BadIdentification,
    /// A packet longer than is read, or too short to be one (RFC 4253 §6.1).
    BadPacketLength,
    /// Padding shorter than 4 bytes or longer than the packet (RFC 4253 §6).
    BadPadding,
    /// A packet without a message in it.
    EmptyPayload,
    /// A payload that does not decompress, or to more than is read (RFC 4253 §6.2).
    BadCompression,
    /// In strict key exchange something came before KEXINIT.
    KexInitNotFirst,
    /// A second KEXINIT before NEWKEYS (RFC 4253 §7.1).
    DuplicateKexInit,
    /// NEWKEYS without a finished exchange (RFC 4253 §7.3).
    NewKeysWithoutExchange,
    /// More packets under one key than can be allowed (RFC 4344 §3.1).
    KeyOverused,
    /// Other messages without end while keys were being exchanged.
    FloodInExchange,
    /// The host key changed at a re-exchange.
    HostKeyChanged,
    /// Key or signature is not of the algorithm that was negotiated (RFC 8332 §3).
    WrongHostKeyAlgorithm,
    /// EXT_INFO where RFC 8308 §2.4 does not allow it.
    MisplacedExtInfo,
    /// A key share outside its group.
    BadShare,
    /// In a group exchange, sizes that no group has, or a group that is refused (RFC 4419 §3).
    BadGroup(&'static str),
    /// A service that we did not ask for was accepted.
    WrongService,
    /// PK_OK for another key than was asked about (RFC 4252 §7).
    WrongPkOk,
    /// More prompts, rounds or banners than are read.
    TooManyPrompts,
    /// More data than the window allows (RFC 4254 §5.2).
    WindowExceeded,
    /// A window above 2³²-1 (RFC 4254 §5.2).
    WindowOverflow,
    /// More data in one message than was announced (RFC 4254 §5.2).
    ChannelPacketTooLong,
    /// A channel that takes no data: maximum packet size 0.
    UselessChannel,
    /// A channel number that is not open (RFC 4254 §5).
    UnknownChannel,
    /// A message on a channel whose opening is not decided.
    ChannelNotOpen,
    /// A reply to a request that was not made (RFC 4254 §4, §5.4).
    UnsolicitedReply,
    /// More requests than are held unanswered.
    TooManyRequests,
    /// An SFTP message longer or shorter than can be.
    BadSftpLength,
    /// An SFTP message that may not come now.
    UnexpectedSftpMessage {
        /// Its type.
        number: u8,
    },
    /// An SFTP version below 3.
    BadSftpVersion,
    /// A reply to no request.
    UnknownRequestId,
    /// A reply that does not answer its request's kind (draft-ietf-secsh-filexfer-02 §7).
    WrongReplyKind,
    /// A reply longer than was asked for.
    ReplyTooLong,
    /// A handle longer than 256 bytes (draft-ietf-secsh-filexfer-02 §6.2).
    HandleTooLong,
    /// A reply with another number of names than can be (draft-ietf-secsh-filexfer-02 §6.11).
    WrongNameCount,
}

/// SSH_MSG_DISCONNECT's reasons (RFC 4253 §11.1) as far as we give them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// SSH_DISCONNECT_PROTOCOL_ERROR
    ProtocolError = 2,
    /// SSH_DISCONNECT_KEY_EXCHANGE_FAILED
    KeyExchangeFailed = 3,
    /// SSH_DISCONNECT_MAC_ERROR
    MacError = 5,
    /// SSH_DISCONNECT_SERVICE_NOT_AVAILABLE
    ServiceNotAvailable = 7,
    /// SSH_DISCONNECT_PROTOCOL_VERSION_NOT_SUPPORTED
    ProtocolVersionNotSupported = 8,
    /// SSH_DISCONNECT_HOST_KEY_NOT_VERIFIABLE
    HostKeyNotVerifiable = 9,
    /// SSH_DISCONNECT_BY_APPLICATION
    ByApplication = 11,
    /// SSH_DISCONNECT_TOO_MANY_CONNECTIONS
    TooManyConnections = 12,
    /// SSH_DISCONNECT_NO_MORE_AUTH_METHODS_AVAILABLE
    NoMoreAuthMethods = 14,
}

impl Error {
    /// What to tell the peer, if anything: the only map from errors to the wire.
    pub const fn disconnect_reason(&self) -> Option<DisconnectReason> {
        Some(match self {
            Self::PeerMisbehaved(PeerMisbehaved::WrongService) => {
                DisconnectReason::ServiceNotAvailable
            }
            Self::PeerMisbehaved(
                PeerMisbehaved::BadShare
                | PeerMisbehaved::BadGroup(_)
                | PeerMisbehaved::WrongHostKeyAlgorithm
                | PeerMisbehaved::HostKeyChanged,
            )
            | Self::PeerIncompatible { .. }
            | Self::HostKeyUnproven(_)
            | Self::Crypto(_) => DisconnectReason::KeyExchangeFailed,
            Self::PeerMisbehaved(_) | Self::InvalidMessage { .. } => {
                DisconnectReason::ProtocolError
            }
            Self::VersionNotSupported => DisconnectReason::ProtocolVersionNotSupported,
            Self::Integrity => DisconnectReason::MacError,
            Self::HostKeyRejected => DisconnectReason::HostKeyNotVerifiable,
            Self::AuthenticationFailed => DisconnectReason::NoMoreAuthMethods,
            Self::TimedOut { .. } | Self::Closed | Self::ApiMisuse(_) | Self::Unreachable(_) => {
                DisconnectReason::ByApplication
            }
            // RFC 4253 §11.1: nothing is sent after DISCONNECT was received; nobody is left to read.
            Self::Disconnected { .. } | Self::ConnectionLost { .. } => return None,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerMisbehaved(how) => write!(f, "the peer broke the protocol: {how}"),
            Self::PeerIncompatible {
                list, ours, theirs, ..
            } => {
                write!(
                    f,
                    "no {list} algorithm in common: we offer {ours}; the peer offers {theirs}"
                )
            }
            Self::VersionNotSupported => f.write_str("the peer does not speak SSH 2.0"),
            Self::InvalidMessage {
                number,
                name,
                cause,
            } => {
                write!(
                    f,
                    "message {number} ({name}) from the peer is malformed: {cause}"
                )
            }
            Self::Integrity => {
                f.write_str("a packet failed authentication: it was changed on the way")
            }
            Self::Disconnected { reason, text } => {
                write!(f, "the peer disconnected (reason {reason}): {text}")
            }
            Self::ConnectionLost { stage } => write!(f, "the connection was lost during {stage}"),
            Self::AuthenticationFailed => f.write_str("authentication failed"),
            Self::HostKeyRejected => f.write_str("the server's host key is not trusted"),
            Self::HostKeyUnproven(cause) => {
                write!(
                    f,
                    "the server did not prove that it holds its host key: {cause}"
                )
            }
            Self::TimedOut { waiting_for } => write!(f, "timed out waiting for {waiting_for}"),
            Self::Closed => f.write_str("the connection was closed on our side"),
            Self::Crypto(cause) => cause.fmt(f),
            Self::ApiMisuse(what) => write!(f, "wrong use of the interface: {what}"),
            Self::Unreachable(what) => write!(f, "a bug in this program: {what}"),
        }
    }
}

impl fmt::Display for PeerMisbehaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::UnexpectedMessage { number, phase } => {
                return write!(f, "message {number} may not come during {phase}");
            }
            Self::UnexpectedSftpMessage { number } => {
                return write!(f, "SFTP message {number} may not come now");
            }
            Self::BadIdentification => "no SSH identification line where one must be",
            Self::BadPacketLength => "a packet of a length that cannot be",
            Self::BadPadding => "padding of a length that cannot be",
            Self::EmptyPayload => "a packet without a message",
            Self::BadCompression => "a packet that does not decompress, or to too much",
            Self::KexInitNotFirst => "something came before KEXINIT in a strict key exchange",
            Self::DuplicateKexInit => "a second KEXINIT within one key exchange",
            Self::NewKeysWithoutExchange => "NEWKEYS without a finished key exchange",
            Self::KeyOverused => "too much was sent under one key",
            Self::FloodInExchange => "too many other messages within one key exchange",
            Self::HostKeyChanged => "the host key changed at a key re-exchange",
            Self::WrongHostKeyAlgorithm => {
                "host key or signature is not of the negotiated algorithm"
            }
            Self::MisplacedExtInfo => "EXT_INFO where it may not be",
            Self::BadShare => "a key share outside its group",
            Self::BadGroup(why) => why,
            Self::WrongService => "a service that is not offered or was not asked for",
            Self::WrongPkOk => "PK_OK for another key than was asked about",
            Self::TooManyPrompts => "more prompts, rounds or banners than are read",
            Self::WindowExceeded => "more channel data than the window allows",
            Self::WindowOverflow => "a channel window above 2^32-1",
            Self::ChannelPacketTooLong => "a channel message longer than was announced",
            Self::UselessChannel => "a channel with a maximum packet size of 0",
            Self::UnknownChannel => "a message for a channel that is not open",
            Self::ChannelNotOpen => "a message on a channel that is not open yet",
            Self::UnsolicitedReply => "a reply that nobody asked for",
            Self::TooManyRequests => "more requests than are held unanswered",
            Self::BadSftpLength => "an SFTP message of a length that cannot be",
            Self::BadSftpVersion => "an SFTP version below 3",
            Self::UnknownRequestId => "an SFTP reply to no request",
            Self::WrongReplyKind => "an SFTP reply that does not answer its request",
            Self::ReplyTooLong => "an SFTP reply with more than was asked for",
            Self::HandleTooLong => "an SFTP handle above 256 bytes",
            Self::WrongNameCount => "an SFTP reply with an impossible number of names",
        };
        f.write_str(text)
    }
}

impl std::error::Error for Error {}

impl From<PeerMisbehaved> for Error {
    fn from(how: PeerMisbehaved) -> Self {
        Self::PeerMisbehaved(how)
    }
}

impl From<CryptoError> for Error {
    fn from(cause: CryptoError) -> Self {
        match cause {
            CryptoError::BadShare => Self::PeerMisbehaved(PeerMisbehaved::BadShare),
            CryptoError::BadGroup(why) => Self::PeerMisbehaved(PeerMisbehaved::BadGroup(why)),
            other => Self::Crypto(other),
        }
    }
}

/// The peer's own words, fit for a terminal and a log: control characters replaced, length bounded.
pub fn printable(text: &[u8]) -> String {
    const LONGEST: usize = 1024;
    let cut = text.get(..LONGEST).unwrap_or(text);
    String::from_utf8_lossy(cut)
        .chars()
        .map(|it| if misleads(it) { '\u{fffd}' } else { it })
        .collect()
}

/// Whether a character of a stranger's text could do or show something else than itself: control
/// characters, and the marks that turn the direction of what follows (UAX #9).
pub fn misleads(it: char) -> bool {
    it.is_control()
        || matches!(it, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_words_can_neither_move_the_cursor_nor_turn_the_direction() {
        let shown = printable("a\x1b[2J\u{202e}fdp.exe\u{2066}".as_bytes());
        assert_eq!(shown, "a\u{fffd}[2J\u{fffd}fdp.exe\u{fffd}");
    }
}
