//! Every bound of the core, with its reason. At a bound the peer is refused or not read, never buffered.

use std::time::Duration;

/// Longest identification line, CR LF included (RFC 4253 §4.2).
pub const IDENT_LINE: usize = 255;
/// Longest line that a server may send before its identification. Not in the RFC; OpenSSH reads 8 KiB.
pub const PREAMBLE_LINE: usize = 8 * 1024;
/// Lines that a server may send before its identification (OpenSSH reads as many).
pub const PREAMBLE_LINES: usize = 1024;
/// Longest packet that is read, its length field apart: 256 KiB of data as OpenSSH's SFTP sends it
/// in one message, and the room that headers and padding need. RFC 4253 §6.1 asks for 35,000.
pub const PACKET: usize = 256 * 1024 + 4 * 1024;
/// Longest KEXINIT that is read; a list of every algorithm ever named is a tenth of it.
pub const KEXINIT: usize = 64 * 1024;
/// Our own messages that wait to be sealed before the peer is no longer read: answers to a peer
/// that asks and never reads. More may wait while a key exchange holds them back
/// ([`MESSAGES_IN_EXCHANGE`]).
pub const CONTROL_QUEUE: usize = 64;
/// Messages that a peer may send in one key exchange and that are no part of it: IGNORE, DEBUG and the
/// like, and questions whose answers must wait for its end.
pub const MESSAGES_IN_EXCHANGE: u32 = 1024;
/// Longest user, service or method name that is read.
pub const NAME: usize = 1024;
/// Longest banner that is handed on (RFC 4252 §5.4 sets none).
pub const BANNER: usize = 64 * 1024;
/// Banners handed on before authentication is done.
pub const BANNERS: usize = 64;
/// Prompts of one keyboard-interactive request (RFC 4256 §3.2 sets none).
pub const PROMPTS: usize = 32;
/// Rounds of keyboard-interactive in one attempt.
pub const INTERACTIVE_ROUNDS: usize = 32;
/// Entries of EXT_INFO that are read (RFC 8308 §2.3 sets none).
pub const EXTENSIONS: usize = 256;
/// Channel requests of one channel that wait for the application's answer.
pub const UNANSWERED_REQUESTS: usize = 16;
/// Host keys of a server's announcement that are looked at; one of each type is five.
pub const HOST_KEYS: usize = 32;
/// Signatures by host keys that a client may ask for behind authentication: all keys twice over. More
/// would be work for nothing.
pub const HOST_KEY_PROOFS: usize = 64;
/// Channel requests of one channel that may wait for the peer's answer.
pub const AWAITED_REPLIES: usize = 256;
/// Pieces of received data shorter than this are copied together, so that dribbled bytes do not each
/// pin a whole read buffer. With buffers of 256 KiB, data pins at most 256 times its length.
pub const SMALL_PIECE: usize = 1024;
/// Pieces of received data that wait in one channel in the buffers that they came in; what comes
/// behind them is copied. With buffers of 256 KiB, a channel that nobody reads pins 4 MiB beyond its
/// window.
pub const PINNED_PIECES: usize = 16;

/// Longest SFTP message: 256 KiB of data and its header, as OpenSSH accepts.
pub const SFTP_MESSAGE: usize = 256 * 1024 + 1024;
/// Longest SFTP handle (draft-ietf-secsh-filexfer-02 §6.2).
pub const SFTP_HANDLE: usize = 256;
/// Longest path of a request that the server reads.
pub const SFTP_PATH: usize = 64 * 1024;
/// Bytes of names in one SSH_FXP_NAME that a server gives: what every client takes
/// (draft-ietf-secsh-filexfer-02 §3), less a header.
pub const SFTP_NAMES: usize = 32 * 1024;
/// Longest path that an answer usually holds, to be set aside for it: PATH_MAX of Linux.
pub const SFTP_PATH_USUAL: usize = 4096;
/// Requests that the server holds unanswered before it stops reading.
pub const SFTP_UNANSWERED: usize = 1024;
/// Bytes of requests and answers that the server holds before it stops reading.
pub const SFTP_UNSENT: usize = 8 * 1024 * 1024;

/// The bounds that an application may want to set for itself.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// From the first byte to the end of authentication; 2 minutes, as OpenSSH's LoginGraceTime.
    pub login: Duration,
    /// From KEXINIT to NEWKEYS of a re-exchange; 2 minutes. The application's data waits that long.
    pub exchange: Duration,
    /// Bytes in one direction after which keys are changed; `None`: what the cipher asks for.
    pub rekey_bytes: Option<u64>,
    /// Packets in one direction after which keys are changed; 2³¹ (RFC 4344 §3.1).
    pub rekey_packets: u64,
    /// Age of keys at which they are changed; 1 hour (RFC 4253 §9).
    pub rekey_interval: Duration,
    /// Channels open at once; 64. More are refused as a shortage of resources.
    pub channels: usize,
    /// Receive window that a channel starts with, in bytes; 2 MiB, as OpenSSH. Also what one channel
    /// can make us hold, [`PINNED_PIECES`] apart.
    pub window: u32,
    /// Bytes of data in one channel message that we announce we take; 256 KiB. Larger packets cost
    /// fewer system calls.
    pub max_packet: u32,
    /// Bytes of data that wait in one channel for the peer's window before writes are refused; 2 MiB.
    pub send_queue: usize,
    /// Attempts at authentication that a server takes; 6, as OpenSSH's MaxAuthTries.
    pub auth_attempts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            login: Duration::from_secs(120),
            exchange: Duration::from_secs(120),
            rekey_bytes: None,
            rekey_packets: 1 << 31,
            rekey_interval: Duration::from_secs(3600),
            channels: 64,
            window: 2 * 1024 * 1024,
            max_packet: 256 * 1024,
            send_queue: 2 * 1024 * 1024,
            auth_attempts: 6,
        }
    }
}
