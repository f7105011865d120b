//! The multiplexer (RFC 4254), application's side: commands in, messages pulled out. What the peer
//! says is taken in by `inbound.rs`; windows are in `credit.rs`.

use super::channel::{ChannelId, Channels, Program, SendEnd, Sent, State, Stream};
use super::credit::{Allowance, Credit};
use super::host_keys::{ANNOUNCE, HostKeys};
use super::messages::{
    Close, Failure, GlobalRequest, Open, OpenConfirmation, OpenFailure, Request, Success,
    WindowAdjust,
};
use super::open::{ChannelKind, Offer, OpenFailureReason};
use super::requests::{InboundRequest, Place, ToClient, ToServer, Verdict};
use super::{Answer, ChannelEvent, EventOf};
use crate::auth::Authenticated;
use crate::limits::{self, Limits};
use crate::role::{Client, Role, Server, sealed};
use crate::wire::{self, Message, Rest, SentBy, Text};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;

/// Sent to see whether the peer is alive. Nobody knows it by that name but OpenSSH; everybody
/// answers it (RFC 4254 §4: an unknown request is answered with a failure).
const KEEPALIVE: &[u8] = b"keepalive@openssh.com";

/// All channels of one connection, seen from end `R`.
#[derive(Debug)]
pub struct Mux<R: Role> {
    proof: Authenticated,
    pub(super) limits: Limits,
    pub(super) channels: Channels,
    pub(super) control: Control<R>,
    /// Our global requests that the peer has not answered, oldest first.
    pub(super) globals: VecDeque<Global>,
    /// Whether the peer may open further sessions.
    pub(super) sessions: Sessions,
    /// What the server has announced, or what it announces and proves.
    pub(super) host_keys: <R as sealed::Role>::HostKeys,
    /// Channels whose writers are to be told that there is room.
    writable: VecDeque<ChannelId>,
    /// The place where the next turn begins.
    next: usize,
}

/// Whose global request waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    Keepalive,
    Application,
}

/// Whether the peer may open further sessions (OpenSSH PROTOCOL §2.2, no-more-sessions@openssh.com).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sessions {
    Open,
    NoMore,
}

/// Why a channel could not be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// As many channels as [`Limits::channels`] are there already.
    TooManyChannels,
}

/// Why a request could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// The channel is not open, or not any more.
    NotOpen,
    /// As many requests as [`limits::AWAITED_REPLIES`] wait for the peer's answer.
    TooMany,
}

/// Why data could not be queued.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WriteError {
    /// Enough waits already: [`ChannelEvent::Writable`] will tell. The data is given back.
    Blocked(Bytes),
    /// The channel is not open, or finished, or closed.
    Closed,
}

/// What the peer lets us send on a channel, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerLimits {
    /// Most data in one message, in bytes.
    pub max_packet: u32,
    /// Bytes that may be sent before the peer adjusts its window; those that are queued not
    /// subtracted.
    pub window: u32,
}

impl<R: Role> Mux<R> {
    /// No channels yet. The proof of authentication is the only way in; what it still had to say,
    /// SUCCESS included, leaves before anything of ours; the announcement of host keys is the first of it.
    pub(crate) fn new(
        mut proof: Authenticated,
        limits: &Limits,
        host_keys: <R as sealed::Role>::HostKeys,
    ) -> Self {
        let waiting = proof.take_unsent();
        let announcement = host_keys.announcement();
        let mut this = Self {
            proof,
            limits: limits.clone(),
            channels: Channels::default(),
            control: Control {
                waiting,
                _role: PhantomData,
            },
            globals: VecDeque::new(),
            sessions: Sessions::Open,
            host_keys,
            writable: VecDeque::new(),
            next: 0,
        };
        if let Some(keys) = announcement {
            this.control.say(&GlobalRequest {
                name: ANNOUNCE,
                want_reply: false,
                rest: Rest(&keys),
            });
        }
        this
    }

    /// Asks the peer something about the whole connection (RFC 4254 §4).
    /// [`ChannelEvent::GlobalAnswered`] follows, in the order of the requests.
    ///
    /// # Errors
    /// [`RequestError::TooMany`] when too many wait for an answer.
    pub fn global_request(&mut self, name: &[u8], rest: &[u8]) -> Result<(), RequestError> {
        if self.globals.len() >= limits::AWAITED_REPLIES {
            return Err(RequestError::TooMany);
        }
        self.globals.push_back(Global::Application);
        self.control.say(&GlobalRequest {
            name,
            want_reply: true,
            rest: Rest(rest),
        });
        Ok(())
    }

    /// Answers a channel request. Answers may be given in any order: they leave in the order of the
    /// requests. Nothing happens if the channel has been closed meanwhile.
    pub fn answer(&mut self, answer: Answer, accepted: bool) {
        let Some(channel) = self.channels.get(answer.id) else {
            return;
        };
        let verdict = if accepted {
            Verdict::Success
        } else {
            Verdict::Failure
        };
        if answer.place == Place::Start && channel.program == Program::Asked {
            // RFC 4254 §6.5 has one of them succeed; after a failure another may be tried.
            channel.program = if accepted {
                Program::Started
            } else {
                Program::None
            };
        }
        channel.replies.decide(answer.slot, verdict);
        self.flush_replies(answer.id);
    }

    /// Takes a piece of received data, if there is one. Only this lets the peer send more.
    pub fn read(&mut self, id: ChannelId) -> Option<Bytes> {
        self.read_stream(id, Stream::Data)
    }

    /// As [`read`](Self::read), of extended data of type 1, which is what a program writes to its
    /// standard error (RFC 4254 §5.2). It shares the channel's window: if nobody reads it, the peer
    /// stops. Extended data of other types is dropped.
    pub fn read_extended(&mut self, id: ChannelId) -> Option<Bytes> {
        self.read_stream(id, Stream::Extended)
    }

    /// Queues data to be sent, whatever its length, unless [`room`](Self::room) is 0.
    ///
    /// # Errors
    /// [`WriteError::Blocked`] gives the data back; [`WriteError::Closed`] when the channel takes none.
    pub fn write(&mut self, id: ChannelId, data: Bytes) -> Result<(), WriteError> {
        self.write_stream(id, Stream::Data, data)
    }

    /// Ends our direction: EOF follows what is queued (RFC 4254 §5.3). The other direction goes on.
    pub fn finish(&mut self, id: ChannelId) {
        if let Some(channel) = self.channels.get(id).filter(|it| it.takes_data()) {
            channel.send_end = SendEnd::EofDue;
        }
    }

    /// Closes the channel, in both directions: what has been received and not read is dropped. What
    /// waits to be sent still leaves if [`finish`](Self::finish) was called before, and is dropped
    /// otherwise. [`ChannelEvent::Closed`] follows when the peer has closed too, if it had not.
    ///
    /// Every id wants to be closed: a channel that is not holds its number.
    pub fn close(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get(id) else {
            return;
        };
        match channel.state {
            State::Opening => channel.state = State::Abandoned,
            State::Open => {
                channel.discard();
                channel.state = State::Closing;
                if channel.send_end == SendEnd::Open {
                    channel.outbox.clear();
                    channel.state = State::CloseSent;
                    self.control.say(&Close {
                        recipient: channel.remote,
                    });
                }
                self.adjust_window(id);
            }
            State::Closed => self.channels.remove(id),
            State::Abandoned | State::Offered | State::Closing | State::CloseSent => {}
        }
    }

    /// Aims at another receive window than [`Limits::window`], in bytes. The peer learns of a larger
    /// one at once if it grew by half of itself or more, of a smaller one as it uses up what it has.
    pub fn set_window(&mut self, id: ChannelId, bytes: u32) {
        if let Some(channel) = self.channels.get(id) {
            channel.credit.set_target(bytes);
            self.adjust_window(id);
        }
    }

    /// Whose connection it is, and how that was proved.
    pub const fn authenticated(&self) -> &Authenticated {
        &self.proof
    }

    /// Whether nothing more will come to be [`read`](Self::read): the peer has finished or closed, and
    /// all has been read.
    pub fn at_eof(&self, id: ChannelId) -> bool {
        self.channels
            .peek(id)
            .is_none_or(|it| it.inbox.is_empty() && (it.peer_finished || it.state == State::Closed))
    }

    /// How many more bytes are taken before [`WriteError::Blocked`]; 0 if the channel takes none. The
    /// last write may exceed it.
    pub fn room(&self, id: ChannelId) -> usize {
        self.channels
            .peek(id)
            .filter(|it| it.takes_data())
            .map_or(0, |it| {
                self.limits.send_queue.saturating_sub(it.outbox.queued())
            })
    }

    /// Bytes that were written and have not left yet; 0 if the channel is not open.
    pub fn queued(&self, id: ChannelId) -> usize {
        self.channels.peek(id).map_or(0, |it| it.outbox.queued())
    }

    /// What the peer lets us send on the channel; `None` when it is not open.
    pub fn peer_limits(&self, id: ChannelId) -> Option<PeerLimits> {
        let channel = self
            .channels
            .peek(id)
            .filter(|it| it.state == State::Open)?;
        let (max_packet, window) = (channel.allowance.max_packet(), channel.allowance.window());
        Some(PeerLimits { max_packet, window })
    }

    /// Whether the peer may be read: not while it asks and does not read the answers.
    pub(crate) fn wants_input(&self) -> bool {
        self.waiting() < limits::CONTROL_QUEUE
    }

    /// Messages that are no data and wait to leave.
    pub(crate) fn waiting(&self) -> usize {
        self.control.waiting.len()
    }

    /// What came to pass by sending rather than by receiving.
    pub(crate) fn poll_event(&mut self) -> Option<EventOf<R>> {
        self.writable.pop_front().map(ChannelEvent::Writable)
    }

    /// Asks for a sign of life. Whatever the answer, it is one; the application does not see it. One
    /// question at a time: the answer to it is all that there is to learn.
    pub(crate) fn keepalive(&mut self) {
        if self.globals.contains(&Global::Keepalive) {
            return;
        }
        self.globals.push_back(Global::Keepalive);
        self.control.say(&GlobalRequest {
            name: KEEPALIVE,
            want_reply: true,
            rest: Rest(&[]),
        });
    }

    /// Writes the next message straight into the packet being built; says whether there was one.
    ///
    /// Control messages first, so that no adjustment and no reply waits behind data; then a message
    /// of each channel in turn.
    pub(crate) fn poll_message(&mut self, out: &mut BytesMut) -> bool {
        if let Some(message) = self.control.waiting.pop_front() {
            out.extend_from_slice(&message);
            return true;
        }
        let places = self.channels.places();
        for turn in 0..places {
            let place = (self.next + turn) % places;
            let Some((id, channel)) = self.channels.at(place) else {
                continue;
            };
            let sent = channel.poll_message(out);
            if sent == Sent::Nothing {
                continue;
            }
            if sent == Sent::Data
                && channel.takes_data()
                && channel.outbox.unblocks(self.limits.send_queue)
            {
                self.writable.push_back(id);
            }
            self.next = place + 1;
            return true;
        }
        false
    }

    /// Replies that are decided and have none undecided before them leave.
    pub(super) fn flush_replies(&mut self, id: ChannelId) {
        let Some(channel) = self.channels.get(id).filter(|it| it.is_ours_to_use()) else {
            return;
        };
        let recipient = channel.remote;
        while let Some(verdict) = channel.replies.next() {
            match verdict {
                Verdict::Success => self.control.say(&Success { recipient }),
                Verdict::Failure => self.control.say(&Failure { recipient }),
            }
        }
    }

    /// Tells the peer that it may send more, if that is worth a message by now.
    pub(super) fn adjust_window(&mut self, id: ChannelId) {
        #[cfg(sansftp_bugs)]
        if crate::bugs::seeded("window-never-returned") {
            return;
        }
        if let Some(channel) = self.channels.get(id)
            && let Some(bytes) = channel.adjustment()
        {
            self.control.say(&WindowAdjust {
                recipient: channel.remote,
                bytes,
            });
        }
    }

    fn write_stream(
        &mut self,
        id: ChannelId,
        stream: Stream,
        data: Bytes,
    ) -> Result<(), WriteError> {
        let limit = self.limits.send_queue;
        let Some(channel) = self.channels.get(id).filter(|it| it.takes_data()) else {
            return Err(WriteError::Closed);
        };
        channel
            .outbox
            .push(stream, data, limit)
            .map_err(WriteError::Blocked)
    }

    fn read_stream(&mut self, id: ChannelId, stream: Stream) -> Option<Bytes> {
        let channel = self.channels.get(id)?;
        let piece = channel.read(stream)?;
        if channel.state == State::Closed && channel.is_drained() {
            self.channels.remove(id);
        } else {
            self.adjust_window(id);
        }
        Some(piece)
    }

    /// Sends a request; what the peer may receive is what we may send.
    fn ask<Q: InboundRequest>(&mut self, id: ChannelId, request: &Q) -> Result<(), RequestError> {
        let channel = self.channels.get(id).filter(|it| it.state == State::Open);
        let channel = channel.ok_or(RequestError::NotOpen)?;
        let want_reply = request.place() != Place::Notice;
        if want_reply {
            if channel.awaited >= limits::AWAITED_REPLIES {
                return Err(RequestError::TooMany);
            }
            channel.awaited += 1;
        }
        let mut body = BytesMut::new();
        request.write_body(&mut body);
        let recipient = channel.remote;
        self.control.say(&Request {
            recipient,
            name: request.name(),
            want_reply,
            rest: Rest(&body),
        });
        Ok(())
    }
}

impl Mux<Client> {
    /// Asks the server to open a session channel (RFC 4254 §6.1). [`ChannelEvent::Opened`] or
    /// [`ChannelEvent::Refused`] follows.
    ///
    /// # Errors
    /// [`OpenError::TooManyChannels`]
    pub fn open_session(&mut self) -> Result<ChannelId, OpenError> {
        self.open(&ChannelKind::Session)
    }

    /// Asks the server to open a channel. [`ChannelEvent::Opened`] or [`ChannelEvent::Refused`]
    /// follows.
    ///
    /// # Errors
    /// [`OpenError::TooManyChannels`]
    pub fn open(&mut self, kind: &ChannelKind) -> Result<ChannelId, OpenError> {
        if self.channels.count() >= self.limits.channels {
            return Err(OpenError::TooManyChannels);
        }
        let Limits {
            window, max_packet, ..
        } = self.limits;
        let credit = Credit::new(window, max_packet);
        let program = Program::of(kind);
        let id = self
            .channels
            .insert(State::Opening, program, 0, credit, Allowance::NONE);
        let mut body = BytesMut::new();
        kind.write_body(&mut body);
        let (kind, sender, rest) = (kind.name(), id.number, Rest(&body));
        self.control.say(&Open {
            kind,
            sender,
            window,
            max_packet,
            rest,
        });
        Ok(id)
    }

    /// Asks the server for something on a session channel, or tells it. [`ChannelEvent::Answered`]
    /// follows for all but [`ToServer::WindowChange`] and [`ToServer::Signal`], in the order of the
    /// requests.
    ///
    /// # Errors
    /// [`RequestError`]
    pub fn request(&mut self, id: ChannelId, request: &ToServer) -> Result<(), RequestError> {
        self.ask(id, request)
    }
}

impl Mux<Server> {
    /// Opens the channel that the client wants; `None` if the offer is of another connection.
    pub fn accept(&mut self, offer: Offer) -> Option<ChannelId> {
        let id = offer.id;
        let channel = self
            .channels
            .get(id)
            .filter(|it| it.state == State::Offered)?;
        channel.state = State::Open;
        let Limits {
            window, max_packet, ..
        } = self.limits;
        let (recipient, sender, rest) = (channel.remote, id.number, Rest(&[]));
        self.control.say(&OpenConfirmation {
            recipient,
            sender,
            window,
            max_packet,
            rest,
        });
        Some(id)
    }

    /// Does not open the channel that the client wants, and says why. The text is for people.
    pub fn refuse(&mut self, offer: Offer, reason: OpenFailureReason, text: &str) {
        let Some(channel) = self
            .channels
            .get(offer.id)
            .filter(|it| it.state == State::Offered)
        else {
            return;
        };
        let recipient = channel.remote;
        self.channels.remove(offer.id);
        self.control.refuse(recipient, reason, text);
    }

    /// As [`write`](Self::write), of extended data of type 1: what a program writes to its standard
    /// error (RFC 4254 §5.2). Both share the queue and leave in the order in which they were written.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_extended(&mut self, id: ChannelId, data: Bytes) -> Result<(), WriteError> {
        self.write_stream(id, Stream::Extended, data)
    }

    /// Tells the client how its program ended (RFC 4254 §6.10); before [`close`](Self::close).
    ///
    /// # Errors
    /// [`RequestError::NotOpen`]
    pub fn request(&mut self, id: ChannelId, request: &ToClient) -> Result<(), RequestError> {
        self.ask(id, request)
    }
}

impl Program {
    /// What a channel of a kind begins with.
    pub(super) const fn of(kind: &ChannelKind) -> Self {
        match kind {
            ChannelKind::Session => Self::None,
            ChannelKind::DirectTcpip { .. } => Self::Never,
        }
    }
}

/// Messages that are no data, in the order in which they were said.
#[derive(Debug)]
pub(super) struct Control<R> {
    waiting: VecDeque<BytesMut>,
    _role: PhantomData<fn() -> R>,
}

impl<R: Role> Control<R> {
    /// Queues a message of the connection protocol that this end is one to send.
    pub(super) fn say<'m, M>(&mut self, message: &M)
    where
        M: Message<'m, Layer = wire::Connection> + SentBy<R>,
    {
        let mut out = BytesMut::new();
        message.write(&mut out);
        self.waiting.push_back(out);
    }

    /// Answers an OPEN with a refusal.
    pub(super) fn refuse(&mut self, recipient: u32, reason: OpenFailureReason, text: &str) {
        self.say(&OpenFailure {
            recipient,
            reason: reason.code(),
            description: Text(text.as_bytes()),
            language: Text(&[]),
        });
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooManyChannels => "too many channels are open",
        })
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOpen => "the channel is not open",
            Self::TooMany => "too many requests wait for an answer",
        })
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocked(_) => "enough data waits to be sent",
            Self::Closed => "the channel takes no more data",
        })
    }
}

impl std::error::Error for OpenError {}
impl std::error::Error for RequestError {}
impl std::error::Error for WriteError {}
