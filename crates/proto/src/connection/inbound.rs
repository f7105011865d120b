//! The multiplexer (RFC 4254), peer's side: what each message from the peer does, or why it must not
//! come. Everything that a peer can do wrong on the connection layer is found here or in `credit.rs`.

use super::channel::{Program, State, Stream};
use super::credit::{Allowance, Credit};
use super::host_keys::HostKeys;
use super::messages::{
    Close, Data, Eof, ExtendedData, Failure, GlobalRequest, Open, OpenConfirmation, OpenFailure,
    Request, RequestFailure, RequestSuccess, STDERR, Success, WindowAdjust,
};
use super::mux::{Global, Mux, Sessions};
use super::open::{ChannelKind, Offer, OpenFailureReason};
use super::requests::{InboundRequest, Place, Verdict};
use super::{Answer, ChannelEvent, EventOf};
use crate::error::{Error, PeerMisbehaved, printable};
use crate::packet::Payload;
use crate::role::{Role, sealed};
use crate::wire::{self, Malformed, Message, Reader, Rest};
use bytes::Bytes;
use std::collections::VecDeque;

/// The client promises to open no further sessions (OpenSSH PROTOCOL §2.2).
const NO_MORE_SESSIONS: &[u8] = b"no-more-sessions@openssh.com";

type Received<R> = Payload<R, wire::Connection>;
type Events<R> = VecDeque<EventOf<R>>;

impl<R: Role> Mux<R> {
    /// Takes one message.
    ///
    /// # Errors
    /// Whatever the peer must not do; the connection then ends.
    pub(crate) fn handle(
        &mut self,
        payload: Received<R>,
        events: &mut Events<R>,
    ) -> Result<(), Error> {
        events.extend(std::iter::from_fn(|| self.poll_event()));
        match payload.number() {
            GlobalRequest::NUMBER => self.handle_global_request(&payload),
            RequestSuccess::NUMBER => {
                let data = payload.read::<RequestSuccess<'_>>()?.rest.0;
                self.handle_global_reply(true, data, events)
            }
            RequestFailure::NUMBER => {
                payload.read::<RequestFailure>()?;
                self.handle_global_reply(false, &[], events)
            }
            Open::NUMBER => self.handle_open(&payload, events),
            OpenConfirmation::NUMBER => self.handle_confirmation(&payload, events),
            OpenFailure::NUMBER => self.handle_refusal(&payload, events),
            WindowAdjust::NUMBER => self.handle_adjust(&payload),
            Data::NUMBER => {
                let Data { recipient, data } = payload.read()?;
                let length = data.len();
                self.handle_data(recipient, Some(Stream::Data), length, payload, events)
            }
            ExtendedData::NUMBER => {
                let ExtendedData {
                    recipient,
                    kind,
                    data,
                } = payload.read()?;
                let stream = (kind == STDERR).then_some(Stream::Extended);
                let length = data.len();
                self.handle_data(recipient, stream, length, payload, events)
            }
            Eof::NUMBER => self.handle_eof(&payload, events),
            Close::NUMBER => self.handle_close(&payload, events),
            Request::NUMBER => self.handle_request(&payload, events),
            Success::NUMBER => {
                self.handle_reply(payload.read::<Success>()?.recipient, true, events)
            }
            Failure::NUMBER => {
                self.handle_reply(payload.read::<Failure>()?.recipient, false, events)
            }
            _ => Err(payload.unexpected("connection")),
        }
    }

    /// RFC 4254 §4: "If the recipient does not recognize or support the request, it simply responds
    /// with SSH_MSG_REQUEST_FAILURE." Each is answered as it comes, hence in order.
    fn handle_global_request(&mut self, payload: &Received<R>) -> Result<(), Error> {
        let GlobalRequest {
            name,
            want_reply,
            rest,
        } = payload.read()?;
        let is_server = <R as sealed::Role>::Inbound::TAKES_CHANNELS;
        let done = if is_server && name == NO_MORE_SESSIONS {
            self.sessions = Sessions::NoMore;
            Some(Bytes::new())
        } else {
            self.host_keys.handle(name, rest.0, want_reply)
        };
        match (want_reply, done) {
            (true, Some(data)) => self.control.say(&RequestSuccess { rest: Rest(&data) }),
            (true, None) => self.control.say(&RequestFailure {}),
            (false, _) => {}
        }
        Ok(())
    }

    /// RFC 4254 §4: "it is REQUIRED that replies to SSH_MSG_GLOBAL_REQUESTS MUST be sent in the same
    /// order as the corresponding request messages".
    fn handle_global_reply(
        &mut self,
        ok: bool,
        data: &[u8],
        events: &mut Events<R>,
    ) -> Result<(), Error> {
        match self
            .globals
            .pop_front()
            .ok_or(PeerMisbehaved::UnsolicitedReply)?
        {
            Global::Keepalive => {}
            Global::Application => {
                events.push_back(ChannelEvent::GlobalAnswered {
                    ok,
                    data: Bytes::copy_from_slice(data),
                });
            }
        }
        Ok(())
    }

    fn handle_open(&mut self, payload: &Received<R>, events: &mut Events<R>) -> Result<(), Error> {
        let open: Open<'_> = payload.read()?;
        let allowance = Allowance::new(open.window, open.max_packet)?;
        let mut body = Reader::new(open.rest.0);
        let kind = ChannelKind::parse(open.kind, &mut body).map_err(malformed::<Open<'_>>)?;
        let Some(kind) = kind else {
            // RFC 4254 §5.1: "If the recipient of the SSH_MSG_CHANNEL_OPEN message does not support
            // the specified 'channel type', it responds with SSH_MSG_CHANNEL_OPEN_FAILURE."
            let reason = OpenFailureReason::UnknownChannelType;
            self.control
                .refuse(open.sender, reason, "unknown channel type");
            return Ok(());
        };
        body.finish().map_err(malformed::<Open<'_>>)?;
        let no_more = kind == ChannelKind::Session && self.sessions == Sessions::NoMore;
        if no_more || !<R as sealed::Role>::Inbound::TAKES_CHANNELS {
            let reason = OpenFailureReason::AdministrativelyProhibited;
            self.control.refuse(open.sender, reason, "not to this end");
            return Ok(());
        }
        if self.channels.count() >= self.limits.channels {
            self.control.refuse(
                open.sender,
                OpenFailureReason::ResourceShortage,
                "too many channels",
            );
            return Ok(());
        }
        let credit = Credit::new(self.limits.window, self.limits.max_packet);
        let program = Program::of(&kind);
        let id = self
            .channels
            .insert(State::Offered, program, open.sender, credit, allowance);
        events.push_back(ChannelEvent::Offered(Offer { kind, id }));
        Ok(())
    }

    fn handle_confirmation(
        &mut self,
        payload: &Received<R>,
        events: &mut Events<R>,
    ) -> Result<(), Error> {
        let message: OpenConfirmation<'_> = payload.read()?;
        let (id, channel) = self.channels.known(message.recipient)?;
        if !matches!(channel.state, State::Opening | State::Abandoned) {
            return Err(payload.unexpected("a channel that we did not ask for"));
        }
        channel.remote = message.sender;
        channel.allowance = Allowance::new(message.window, message.max_packet)?;
        if channel.state == State::Abandoned {
            channel.state = State::CloseSent;
            self.control.say(&Close {
                recipient: message.sender,
            });
            return Ok(());
        }
        channel.state = State::Open;
        // The target may have been set anew while the peer was deciding.
        self.adjust_window(id);
        events.push_back(ChannelEvent::Opened(id));
        Ok(())
    }

    fn handle_refusal(
        &mut self,
        payload: &Received<R>,
        events: &mut Events<R>,
    ) -> Result<(), Error> {
        let message: OpenFailure<'_> = payload.read()?;
        let (id, channel) = self.channels.known(message.recipient)?;
        if !matches!(channel.state, State::Opening | State::Abandoned) {
            return Err(payload.unexpected("a channel that we did not ask for"));
        }
        let (reason, description) = (message.reason.into(), printable(message.description.0));
        self.channels.remove(id);
        events.push_back(ChannelEvent::Refused {
            id,
            reason,
            description,
        });
        Ok(())
    }

    /// RFC 4254 §5.2 and §5.3: adjustments may come after EOF, from either end. After a CLOSE they
    /// mean nothing; there are peers that send them even after both.
    fn handle_adjust(&mut self, payload: &Received<R>) -> Result<(), Error> {
        let WindowAdjust { recipient, bytes } = payload.read()?;
        if self.channels.was_closed(recipient) {
            return Ok(());
        }
        let (_, channel) = self.channels.confirmed(recipient)?;
        if channel.is_ours_to_use() {
            channel.allowance.grant(bytes)?;
        }
        Ok(())
    }

    /// Data of either kind; of no stream: data of a type that nobody knows, which costs window as all
    /// data does and is then dropped (RFC 4254 §5.2).
    fn handle_data(
        &mut self,
        recipient: u32,
        stream: Option<Stream>,
        length: usize,
        payload: Received<R>,
        events: &mut Events<R>,
    ) -> Result<(), Error> {
        let (id, channel) = self.channels.confirmed(recipient)?;
        let arrived = channel.credit.spend(length)?;
        // Once the application has closed the channel, nobody reads; what the peer had under way is
        // no misbehaviour. Nor does anyone read behind EOF, which says that no more will be sent
        // (RFC 4254 §5.3): clients in Go that close while a request of theirs is under way send it
        // all the same, and sshd drops it. No credit is given for it.
        let read = channel.state == State::Open && !channel.peer_finished && length > 0;
        let stream = stream.filter(|_| read);
        match stream {
            Some(Stream::Data) => {
                channel.inbox.push(payload.into_tail(length));
                if channel.inbox.tells() {
                    events.push_back(ChannelEvent::Readable(id));
                }
            }
            Some(Stream::Extended) => {
                channel.extended.push(payload.into_tail(length));
                if channel.extended.tells() {
                    events.push_back(ChannelEvent::ExtendedReadable(id));
                }
            }
            None => {
                channel.credit.take(arrived);
                self.adjust_window(id);
            }
        }
        Ok(())
    }

    /// RFC 4254 §5.3: "No explicit response is sent to this message." It takes no window, and the
    /// other direction stays open.
    fn handle_eof(&mut self, payload: &Received<R>, events: &mut Events<R>) -> Result<(), Error> {
        let Eof { recipient } = payload.read()?;
        let (id, channel) = self.channels.confirmed(recipient)?;
        if std::mem::replace(&mut channel.peer_finished, true) {
            // It is no news the second time.
            return Ok(());
        }
        if channel.state == State::Open && channel.inbox.tells() {
            events.push_back(ChannelEvent::Readable(id));
        }
        Ok(())
    }

    /// RFC 4254 §5.3: "Upon receiving this message, a party MUST send back an SSH_MSG_CHANNEL_CLOSE
    /// unless it has already sent this message for the channel." What was received before is still
    /// the reader's.
    fn handle_close(&mut self, payload: &Received<R>, events: &mut Events<R>) -> Result<(), Error> {
        let Close { recipient } = payload.read()?;
        let (id, channel) = self.channels.confirmed(recipient)?;
        if channel.state != State::CloseSent {
            self.control.say(&Close {
                recipient: channel.remote,
            });
        }
        if channel.state == State::Open && channel.inbox.tells() {
            events.push_back(ChannelEvent::Readable(id));
        }
        // What the application closed itself is drained: it was dropped, and nothing was added.
        if channel.is_drained() {
            self.channels.remove(id);
        } else {
            channel.state = State::Closed;
            channel.outbox.clear();
        }
        events.push_back(ChannelEvent::Closed(id));
        Ok(())
    }

    /// RFC 4254 §5.4: "If the request is not recognized or is not supported for the channel,
    /// SSH_MSG_CHANNEL_FAILURE is returned", if a reply is wanted.
    fn handle_request(
        &mut self,
        payload: &Received<R>,
        events: &mut Events<R>,
    ) -> Result<(), Error> {
        let message: Request<'_> = payload.read()?;
        let mut body = Reader::new(message.rest.0);
        let request = <R as sealed::Role>::Inbound::parse(message.name, &mut body)
            .map_err(malformed::<Request<'_>>)?;
        if request.is_some() {
            body.finish().map_err(malformed::<Request<'_>>)?;
        }
        let (id, channel) = self.channels.confirmed(message.recipient)?;
        if !channel.is_ours_to_use() {
            // We have sent CLOSE: nothing may follow it, not even a reply.
            return Ok(());
        }
        let allowed = request.filter(|request| match request.place() {
            // RFC 4254 §6.5: one program per session channel; §6.2, §6.4: what prepares it comes before.
            Place::Start | Place::Setup => channel.program == Program::None,
            Place::Notice => channel.program != Program::Never,
        });
        let Some(request) = allowed.filter(|_| channel.state == State::Open) else {
            if message.want_reply {
                channel.replies.owe(Some(Verdict::Failure))?;
                self.flush_replies(id);
            }
            return Ok(());
        };
        let place = request.place();
        let answer = match (message.want_reply, place) {
            (false, _) => None,
            // RFC 4254 §6.7, §6.9, §6.10 let nobody ask for it; a peer that does gets it.
            (true, Place::Notice) => {
                channel.replies.owe(Some(Verdict::Success))?;
                None
            }
            (true, Place::Start | Place::Setup) => Some(Answer {
                id,
                slot: channel.replies.owe(None)?,
                place,
            }),
        };
        if place == Place::Start {
            channel.program = if answer.is_some() {
                Program::Asked
            } else {
                Program::Started
            };
        }
        self.flush_replies(id);
        events.push_back(ChannelEvent::Request {
            id,
            request,
            answer,
        });
        Ok(())
    }

    fn handle_reply(
        &mut self,
        recipient: u32,
        ok: bool,
        events: &mut Events<R>,
    ) -> Result<(), Error> {
        let (id, channel) = self.channels.confirmed(recipient)?;
        channel.awaited = channel
            .awaited
            .checked_sub(1)
            .ok_or(PeerMisbehaved::UnsolicitedReply)?;
        if channel.state == State::Open {
            events.push_back(ChannelEvent::Answered { id, ok });
        }
        Ok(())
    }
}

/// That the part of `M` that depends on a name is not what the name says.
fn malformed<'m, M: Message<'m>>(cause: Malformed) -> Error {
    Error::InvalidMessage {
        number: M::NUMBER,
        name: M::NAME,
        cause,
    }
}
