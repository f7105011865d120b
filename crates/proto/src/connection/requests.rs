//! Channel requests (RFC 4254 §5.4, §6) as types, one enum per direction, and the order of replies.
//!
//! What an end may be asked is what the other end may ask: the same enum is written by one and read
//! by the other. When a request may come is said by its [`Place`]; the mux enforces it.

use crate::error::{PeerMisbehaved, printable};
use crate::limits;
use crate::wire::{Field, Malformed, Reader};
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::VecDeque;
use std::fmt::Debug;

/// Channel requests that an end may receive. Each end has its own enum, so that `exec` cannot reach
/// a client.
pub trait InboundRequest: Sized + Debug + Send {
    /// Whether the peer may open channels to this end. RFC 4254 §6.1: "Client implementations SHOULD
    /// reject any session channel open requests".
    const TAKES_CHANNELS: bool;

    /// Reads the fields behind a name; `None` when the name is not known, whatever follows it.
    ///
    /// # Errors
    /// [`Malformed`] when they are not those of this request.
    fn parse(name: &[u8], body: &mut Reader<'_>) -> Result<Option<Self>, Malformed>;

    /// The name on the wire.
    fn name(&self) -> &'static [u8];

    /// Appends the fields behind the name.
    fn write_body(&self, out: &mut BytesMut);

    /// When the request may come.
    fn place(&self) -> Place;
}

/// When a request may come on a session channel, and whether it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It starts the program, answered. RFC 4254 §6.5: "Only one of these requests can succeed per
    /// channel."
    Start,
    /// It prepares what is then started, answered (RFC 4254 §6.2, §6.4).
    Setup,
    /// It tells something, unanswered: `want_reply` is FALSE (RFC 4254 §6.7, §6.9, §6.10).
    Notice,
}

/// What a client may be told on a session channel, and a server may tell (RFC 4254 §6.10).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToClient {
    /// `exit-status`: the program ended with this status.
    ExitStatus(u32),
    /// `exit-signal`: the program was killed.
    ExitSignal {
        /// The signal's name without `SIG`.
        signal: Bytes,
        /// Whether a core was dumped.
        core_dumped: bool,
        /// What the server says about it; of text that came in, control characters are replaced.
        message: String,
    },
}

impl InboundRequest for ToClient {
    const TAKES_CHANNELS: bool = false;

    fn parse(name: &[u8], body: &mut Reader<'_>) -> Result<Option<Self>, Malformed> {
        let request = match name {
            b"exit-status" => Self::ExitStatus(body.read()?),
            b"exit-signal" => {
                let signal = owned(body)?;
                let core_dumped = body.read()?;
                let message = printable(body.read()?);
                let _language: &[u8] = body.read()?;
                Self::ExitSignal {
                    signal,
                    core_dumped,
                    message,
                }
            }
            _ => return Ok(None),
        };
        Ok(Some(request))
    }

    fn name(&self) -> &'static [u8] {
        match self {
            Self::ExitStatus(_) => b"exit-status",
            Self::ExitSignal { .. } => b"exit-signal",
        }
    }

    fn write_body(&self, out: &mut BytesMut) {
        match self {
            Self::ExitStatus(status) => status.write(out),
            Self::ExitSignal {
                signal,
                core_dumped,
                message,
            } => {
                signal.as_ref().write(out);
                core_dumped.write(out);
                message.as_str().write(out);
                "".write(out);
            }
        }
    }

    fn place(&self) -> Place {
        Place::Notice
    }
}

/// What a server may be asked on a session channel, and a client may ask (RFC 4254 §6).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ToServer {
    /// `subsystem`: start a predefined program such as `sftp` (RFC 4254 §6.5).
    Subsystem(Bytes),
    /// `exec`: start this command (RFC 4254 §6.5).
    Exec(Bytes),
    /// `shell`: start the user's shell (RFC 4254 §6.5).
    Shell,
    /// `env`: set a variable for what is started later (RFC 4254 §6.4).
    Env {
        /// The variable.
        name: Bytes,
        /// What it is set to.
        value: Bytes,
    },
    /// `pty-req`: allocate a terminal (RFC 4254 §6.2).
    Pty(Pty),
    /// `window-change`: the terminal's size changed (RFC 4254 §6.7).
    WindowChange(WindowSize),
    /// `signal`: deliver the signal of this name, without `SIG` (RFC 4254 §6.9).
    Signal(Bytes),
}

/// A terminal (RFC 4254 §6.2).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the fields of RFC 4254 §6.2, of which there are no others"
)]
pub struct Pty {
    /// The value of the TERM variable.
    pub term: Bytes,
    /// Its size.
    pub size: WindowSize,
    /// Opcodes 1 to 159 with their arguments, in their order (RFC 4254 §8).
    pub modes: Vec<(u8, u32)>,
}

/// The size of a terminal; 0 means that it is not known (RFC 4254 §6.2). Any value may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the fields of RFC 4254 §6.7, of which there are no others"
)]
pub struct WindowSize {
    /// Width in characters.
    pub columns: u32,
    /// Height in characters.
    pub rows: u32,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl InboundRequest for ToServer {
    const TAKES_CHANNELS: bool = true;

    fn parse(name: &[u8], body: &mut Reader<'_>) -> Result<Option<Self>, Malformed> {
        let request = match name {
            b"subsystem" => Self::Subsystem(owned(body)?),
            b"exec" => Self::Exec(owned(body)?),
            b"shell" => Self::Shell,
            b"env" => Self::Env {
                name: owned(body)?,
                value: owned(body)?,
            },
            b"pty-req" => {
                let term = owned(body)?;
                let size = WindowSize::read(body)?;
                Self::Pty(Pty {
                    term,
                    size,
                    modes: modes(body.read()?)?,
                })
            }
            b"window-change" => Self::WindowChange(WindowSize::read(body)?),
            b"signal" => Self::Signal(owned(body)?),
            _ => return Ok(None),
        };
        Ok(Some(request))
    }

    fn name(&self) -> &'static [u8] {
        match self {
            Self::Subsystem(_) => b"subsystem",
            Self::Exec(_) => b"exec",
            Self::Shell => b"shell",
            Self::Env { .. } => b"env",
            Self::Pty(_) => b"pty-req",
            Self::WindowChange(_) => b"window-change",
            Self::Signal(_) => b"signal",
        }
    }

    fn write_body(&self, out: &mut BytesMut) {
        match self {
            Self::Subsystem(it) | Self::Exec(it) | Self::Signal(it) => it.as_ref().write(out),
            Self::Shell => {}
            Self::Env { name, value } => {
                name.as_ref().write(out);
                value.as_ref().write(out);
            }
            Self::Pty(Pty { term, size, modes }) => {
                term.as_ref().write(out);
                size.write(out);
                let mut encoded = BytesMut::with_capacity(modes.len() * 5 + 1);
                for &(opcode, argument) in modes {
                    encoded.put_u8(opcode);
                    encoded.put_u32(argument);
                }
                encoded.put_u8(TTY_OP_END);
                encoded.as_ref().write(out);
            }
            Self::WindowChange(size) => size.write(out),
        }
    }

    fn place(&self) -> Place {
        match self {
            Self::Subsystem(_) | Self::Exec(_) | Self::Shell => Place::Start,
            Self::Env { .. } | Self::Pty(_) => Place::Setup,
            Self::WindowChange(_) | Self::Signal(_) => Place::Notice,
        }
    }
}

impl WindowSize {
    fn read(body: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self {
            columns: body.read()?,
            rows: body.read()?,
            width: body.read()?,
            height: body.read()?,
        })
    }

    fn write(self, out: &mut BytesMut) {
        for number in [self.columns, self.rows, self.width, self.height] {
            number.write(out);
        }
    }
}

/// Ends the encoded modes (RFC 4254 §8).
const TTY_OP_END: u8 = 0;

/// RFC 4254 §8: "Opcodes 1 to 159 have a single uint32 argument. Opcodes 160 to 255 are not yet
/// defined, and cause parsing to stop". A missing TTY_OP_END is as good as one.
fn modes(encoded: &[u8]) -> Result<Vec<(u8, u32)>, Malformed> {
    let mut reader = Reader::new(encoded);
    let mut modes = Vec::new();
    while !reader.remaining().is_empty() {
        let opcode: u8 = reader.read()?;
        if !matches!(opcode, 1..=159) {
            break;
        }
        modes.push((opcode, reader.read()?));
    }
    Ok(modes)
}

/// A string, copied: a name must not pin the packet that it came in.
fn owned(body: &mut Reader<'_>) -> Result<Bytes, Malformed> {
    body.read().map(Bytes::copy_from_slice)
}

/// Replies that are owed to the peer, in the order of its requests.
///
/// RFC 4254 §4 and §5.4 have replies carry no number: only their order says what they reply to. The
/// application may decide in any order; a reply leaves when all before it are decided.
#[derive(Debug, Default)]
pub(super) struct Replies {
    /// The number of the slot in front.
    first: u64,
    /// Decided or not, oldest first.
    slots: VecDeque<Option<Verdict>>,
}

/// How a request was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// SSH_MSG_CHANNEL_SUCCESS
    Success,
    /// SSH_MSG_CHANNEL_FAILURE
    Failure,
}

impl Replies {
    /// Makes room for a reply, decided or yet to be decided, and names it.
    pub(super) fn owe(&mut self, verdict: Option<Verdict>) -> Result<u64, PeerMisbehaved> {
        if self.slots.len() >= limits::UNANSWERED_REQUESTS {
            return Err(PeerMisbehaved::TooManyRequests);
        }
        self.slots.push_back(verdict);
        Ok(self.first + (self.slots.len() as u64 - 1))
    }

    /// Decides a reply.
    pub(super) fn decide(&mut self, slot: u64, verdict: Verdict) {
        let at = slot
            .checked_sub(self.first)
            .and_then(|it| usize::try_from(it).ok());
        if let Some(open) = at.and_then(|at| self.slots.get_mut(at)) {
            *open = Some(verdict);
        }
    }

    /// Takes the next reply that may leave.
    pub(super) fn next(&mut self) -> Option<Verdict> {
        let verdict = (*self.slots.front()?)?;
        self.slots.pop_front();
        self.first += 1;
        Some(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip<Q: InboundRequest + PartialEq>(request: &Q) {
        let mut body = BytesMut::new();
        request.write_body(&mut body);
        let mut reader = Reader::new(&body);
        assert_eq!(
            Q::parse(request.name(), &mut reader).unwrap().as_ref(),
            Some(request)
        );
        assert_eq!(reader.finish(), Ok(()));
        // Cut at each byte: an error or a shorter reading that leaves the cut unseen, never a panic.
        for cut in 0..body.len() {
            assert!(
                Q::parse(request.name(), &mut Reader::new(&body[..cut])).is_err(),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn what_one_end_asks_the_other_reads() {
        let size = WindowSize {
            columns: 80,
            rows: 0,
            width: u32::MAX,
            height: 1,
        };
        let pty = |modes| Pty {
            term: Bytes::from_static(b"xterm\xff"),
            size,
            modes,
        };
        for request in [
            ToServer::Subsystem(Bytes::from_static(b"sftp")),
            ToServer::Exec(Bytes::from_static(b"true\0\xff")),
            ToServer::Shell,
            ToServer::Env {
                name: Bytes::from_static(b"A"),
                value: Bytes::new(),
            },
            ToServer::Pty(pty(vec![(1, 3), (159, u32::MAX), (1, 4)])),
            ToServer::Pty(pty(vec![])),
            ToServer::WindowChange(size),
            ToServer::Signal(Bytes::from_static(b"TERM")),
        ] {
            round_trip(&request);
        }
        round_trip(&ToClient::ExitStatus(u32::MAX));
        round_trip(&ToClient::ExitSignal {
            signal: Bytes::from_static(b"KILL"),
            core_dumped: true,
            message: "killed".into(),
        });
    }

    #[test]
    fn terminal_modes_end_at_op_end_or_at_an_undefined_opcode() {
        assert_eq!(
            modes(&[1, 0, 0, 0, 3, 0, 0, 99]),
            Ok(vec![(1, 3)]),
            "a second end is not looked at"
        );
        assert_eq!(modes(&[159, 0, 0, 1, 0, 160, 7]), Ok(vec![(159, 256)]));
        assert_eq!(modes(&[255]), Ok(vec![]));
        assert_eq!(modes(&[]), Ok(vec![]));
        assert_eq!(
            modes(&[2, 0, 0, 0, 9]),
            Ok(vec![(2, 9)]),
            "TTY_OP_END left out"
        );
        assert_eq!(modes(&[2, 0, 0, 0]), Err(Malformed("truncated")));
    }

    #[test]
    fn each_end_knows_only_its_own_requests() {
        let mut nothing = Reader::new(&[]);
        for name in [
            &b"exec"[..],
            b"subsystem",
            b"shell",
            b"exit-statu",
            b"",
            b"\xff",
        ] {
            assert_eq!(ToClient::parse(name, &mut nothing), Ok(None));
        }
        for name in [
            &b"exit-status"[..],
            b"x11-req",
            b"keepalive@openssh.com",
            b"Shell",
            b"\0",
        ] {
            assert_eq!(ToServer::parse(name, &mut nothing), Ok(None));
        }
    }

    #[test]
    fn a_servers_last_words_are_fit_for_a_terminal() {
        let mut body = BytesMut::new();
        b"SEGV".as_slice().write(&mut body);
        false.write(&mut body);
        b"\x1b[31m\xff".as_slice().write(&mut body);
        "".write(&mut body);
        let parsed = ToClient::parse(b"exit-signal", &mut Reader::new(&body)).unwrap();
        let Some(ToClient::ExitSignal { message, .. }) = parsed else {
            panic!("{parsed:?}")
        };
        assert_eq!(message, "\u{fffd}[31m\u{fffd}");
    }

    #[test]
    fn replies_leave_in_the_order_of_requests() {
        let mut replies = Replies::default();
        let first = replies.owe(None).unwrap();
        replies.owe(Some(Verdict::Failure)).unwrap();
        let third = replies.owe(None).unwrap();
        assert_eq!(replies.next(), None);
        replies.decide(third, Verdict::Success);
        assert_eq!(replies.next(), None, "the first is not decided");
        replies.decide(first, Verdict::Success);
        let left: Vec<_> = std::iter::from_fn(|| replies.next()).collect();
        assert_eq!(left, [Verdict::Success, Verdict::Failure, Verdict::Success]);
        replies.decide(first, Verdict::Success);
        assert_eq!(replies.next(), None, "a slot that has left is nobody's");
    }

    #[test]
    fn only_so_many_requests_wait() {
        let mut replies = Replies::default();
        let first = replies.owe(None).unwrap();
        for _ in 1..limits::UNANSWERED_REQUESTS {
            replies.owe(Some(Verdict::Failure)).unwrap();
        }
        assert_eq!(replies.owe(None), Err(PeerMisbehaved::TooManyRequests));
        replies.decide(first, Verdict::Failure);
        while replies.next().is_some() {}
        assert!(replies.owe(None).is_ok());
    }
}
