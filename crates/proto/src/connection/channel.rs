//! One channel (RFC 4254 §5): its state, what waits in it in either direction, and the table of all
//! channels. Which messages change a state is the mux's to know.

use super::credit::{Allowance, Credit, LARGEST_PIECE};
use super::messages::{Close, Data, Eof, ExtendedData, STDERR};
use super::requests::Replies;
use crate::error::PeerMisbehaved;
use crate::limits::{PINNED_PIECES, SMALL_PIECE};
use crate::wire::Message;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::VecDeque;

/// Names one channel once: the generation outlives the number, so that a stale id finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChannelId {
    /// Our number of the channel on the wire. The peer's is its own affair (RFC 4254 §5).
    pub(super) number: u32,
    generation: u64,
}

/// Where a channel stands.
///
/// ```text
///  we open     Opening ──confirmed──▶ Open ──close()──────────────▶ CloseSent ──their CLOSE──▶ gone
///                 │                    │  └─close() after finish()─▶ Closing ─queue empty─▲
///              close()                 │                                │
///                 ▼                    │ their CLOSE, answered          │ their CLOSE, answered
///             Abandoned ──confirmed──▶ CloseSent                        ▼
///                                      ▼                               gone
///  they open   Offered ──accept()──▶ Open             Closed ──read to the end, or close()──▶ gone
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// We sent OPEN, and it is not decided.
    Opening,
    /// As `Opening`, but the application wants it no more: closed as soon as it is confirmed.
    Abandoned,
    /// The peer sent OPEN, and the application has not decided.
    Offered,
    /// Both ends have agreed.
    Open,
    /// The application has closed it; what it had written before it finished still leaves.
    Closing,
    /// We sent CLOSE and wait for the peer's.
    CloseSent,
    /// Both CLOSEs have been; data is left for the reader. On the wire the channel is no more.
    Closed,
}

/// How far the sending direction is from its end (RFC 4254 §5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SendEnd {
    /// The application may write.
    Open,
    /// EOF follows what is queued.
    EofDue,
    /// EOF has left: no data after it.
    EofSent,
}

/// Which of the requests that start a program a session channel has seen (RFC 4254 §6.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// No session channel: it takes none of the requests of RFC 4254 §6.
    Never,
    /// None has been asked for, or none of those has been allowed.
    None,
    /// One was asked for, and the application has not answered.
    Asked,
    /// One runs.
    Started,
}

/// One channel.
#[derive(Debug)]
pub(super) struct Channel {
    generation: u64,
    /// The peer's number: the `recipient` of whatever we send.
    pub(super) remote: u32,
    pub(super) state: State,
    pub(super) program: Program,
    /// Data to be read.
    pub(super) inbox: Inbox,
    /// Extended data of type 1, SSH_EXTENDED_DATA_STDERR, to be read.
    pub(super) extended: Inbox,
    /// The peer has sent EOF.
    pub(super) peer_finished: bool,
    pub(super) credit: Credit,
    pub(super) outbox: Outbox,
    pub(super) allowance: Allowance,
    pub(super) send_end: SendEnd,
    /// Replies that we owe.
    pub(super) replies: Replies,
    /// Replies that the peer owes.
    pub(super) awaited: usize,
}

/// What a channel had to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    Nothing,
    Data,
    Eof,
    Close,
}

impl Channel {
    /// Writes this channel's next message: data, then EOF, then CLOSE.
    pub(super) fn poll_message(&mut self, out: &mut BytesMut) -> Sent {
        if !matches!(self.state, State::Open | State::Closing) {
            return Sent::Nothing;
        }
        let recipient = self.remote;
        if !self.outbox.is_empty() {
            // RFC 4254 §5.2: a window of 0 stops data, and nothing but data.
            if self.allowance.window() == 0 {
                return Sent::Nothing;
            }
            let (stream, run) = self.outbox.run();
            let bytes = self.allowance.claim(run);
            // As `Data::write` and `ExtendedData::write`, but out of several pieces that were never
            // joined.
            match stream {
                Stream::Data => {
                    out.put_u8(Data::NUMBER);
                    out.put_u32(recipient);
                }
                Stream::Extended => {
                    out.put_u8(ExtendedData::NUMBER);
                    out.put_u32(recipient);
                    out.put_u32(STDERR);
                }
            }
            out.put_u32(bytes);
            self.outbox.write_to(bytes, out);
            return Sent::Data;
        }
        if self.send_end == SendEnd::EofDue {
            self.send_end = SendEnd::EofSent;
            Eof { recipient }.write(out);
            return Sent::Eof;
        }
        if self.state == State::Closing {
            self.state = State::CloseSent;
            Close { recipient }.write(out);
            return Sent::Close;
        }
        Sent::Nothing
    }

    /// Whether the application may write.
    pub(super) fn takes_data(&self) -> bool {
        self.state == State::Open && self.send_end == SendEnd::Open
    }

    /// Whether we may still send on it at all.
    pub(super) const fn is_ours_to_use(&self) -> bool {
        matches!(self.state, State::Open | State::Closing)
    }

    /// Takes a piece for the reader, and the room that it held; `None` when there is none yet.
    pub(super) fn read(&mut self, stream: Stream) -> Option<Bytes> {
        let piece = match stream {
            Stream::Data => self.inbox.pop(),
            Stream::Extended => self.extended.pop(),
        }?;
        self.credit
            .take(u32::try_from(piece.len()).expect("a window is a u32, and no piece exceeds it"));
        Some(piece)
    }

    /// Drops what nobody will read any more, as if it had been read.
    pub(super) fn discard(&mut self) {
        while self.read(Stream::Data).is_some() || self.read(Stream::Extended).is_some() {}
    }

    /// How many bytes the peer is to be told that it may send again, if that is worth a message now.
    pub(super) fn adjustment(&mut self) -> Option<u32> {
        if !self.is_ours_to_use() || self.peer_finished {
            return None;
        }
        self.credit.due()
    }

    /// Whether both directions have been read to the end.
    pub(super) fn is_drained(&self) -> bool {
        self.inbox.is_empty() && self.extended.is_empty()
    }
}

/// Which of a channel's two streams is meant (RFC 4254 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Data,
    Extended,
}

/// Data that has arrived and waits for its reader.
///
/// Pieces are slices of the packets that they came in. Short ones are copied together: each byte
/// dribbled in a packet of its own would pin a whole read buffer. Where many wait already the reader is
/// the slower one, and all further ones are copied.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pieces: VecDeque<Bytes>,
    /// Short pieces, all younger than `pieces`.
    tail: BytesMut,
    /// The reader was told, and has not come to the end yet.
    told: bool,
}

impl Inbox {
    /// Appends a piece.
    pub(super) fn push(&mut self, piece: Bytes) {
        if piece.len() < SMALL_PIECE {
            self.tail.extend_from_slice(&piece);
            return;
        }
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
        self.pieces.push_back(if self.pieces.len() < PINNED_PIECES {
            piece
        } else {
            Bytes::copy_from_slice(&piece)
        });
    }

    /// Whether the reader is to be told of news: once, and again only after it has seen the end.
    pub(super) const fn tells(&mut self) -> bool {
        !std::mem::replace(&mut self.told, true)
    }

    /// Takes the oldest piece. At the end the reader asks to be told again.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        if let Some(piece) = self.pieces.pop_front() {
            return Some(piece);
        }
        if !self.tail.is_empty() {
            return Some(self.tail.split().freeze());
        }
        self.told = false;
        None
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.tail.is_empty()
    }
}

/// Data of both streams that waits for the peer's window, which they share, and for room on the way.
/// It leaves in the order in which it was written. Short pieces are copied together as they come: each
/// would otherwise cost many times its length, and pin the buffer that it is part of.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pieces: VecDeque<(Stream, Bytes)>,
    /// Short pieces of one stream, all younger than `pieces`.
    tail: Option<(Stream, BytesMut)>,
    /// The sum of the pieces' lengths.
    queued: usize,
    /// How much of it is extended data.
    extended: usize,
    /// A write was refused, and the application waits to be told.
    blocked: bool,
}

impl Outbox {
    /// Appends a piece, unless `limit` bytes or more wait already.
    pub(super) fn push(&mut self, stream: Stream, piece: Bytes, limit: usize) -> Result<(), Bytes> {
        if self.queued >= limit {
            self.blocked = true;
            return Err(piece);
        }
        if piece.is_empty() {
            return Ok(());
        }
        self.queued = self.queued.saturating_add(piece.len());
        if stream == Stream::Extended {
            self.extended = self.extended.saturating_add(piece.len());
        }
        match &mut self.tail {
            Some((it, tail)) if *it == stream && piece.len() < SMALL_PIECE => {
                tail.extend_from_slice(&piece);
            }
            _ => {
                self.settle();
                if piece.len() < SMALL_PIECE {
                    self.tail = Some((stream, BytesMut::from(&*piece)));
                } else {
                    self.pieces.push_back((stream, piece));
                }
            }
        }
        Ok(())
    }

    /// Makes the short ones a piece like any other.
    fn settle(&mut self) {
        let tail = self.tail.take();
        self.pieces
            .extend(tail.map(|(stream, tail)| (stream, tail.freeze())));
    }

    /// The stream that is next, and how many bytes of it can go into one message: as many as wait
    /// before the other stream's, counted no further than needed.
    fn run(&mut self) -> (Stream, usize) {
        self.settle();
        let Some(&(stream, _)) = self.pieces.front() else {
            return (Stream::Data, 0);
        };
        if self.extended == 0 {
            return (stream, self.queued);
        }
        let mut run = 0usize;
        for (_, piece) in self.pieces.iter().take_while(|(it, _)| *it == stream) {
            run = run.saturating_add(piece.len());
            if run >= LARGEST_PIECE {
                break;
            }
        }
        (stream, run)
    }

    /// Moves `bytes`, no more than a [`run`](Self::run), from the front into `out`, short pieces
    /// joined.
    fn write_to(&mut self, bytes: u32, out: &mut BytesMut) {
        let mut left = bytes as usize;
        self.queued = self.queued.saturating_sub(left);
        out.reserve(left);
        while left > 0 {
            let Some((stream, front)) = self.pieces.front_mut() else {
                break;
            };
            let here = left.min(front.len());
            out.put_slice(front.get(..here).unwrap_or_default());
            front.advance(here);
            left -= here;
            if *stream == Stream::Extended {
                self.extended = self.extended.saturating_sub(here);
            }
            if front.is_empty() {
                self.pieces.pop_front();
            }
        }
        debug_assert_eq!(left, 0, "no more was claimed than is queued");
    }

    /// Whether a refused writer is to be told that there is room: once less than half is queued, so
    /// that it does not wake for every packet.
    pub(super) fn unblocks(&mut self, limit: usize) -> bool {
        self.queued < limit.div_ceil(2) && std::mem::take(&mut self.blocked)
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Bytes that wait.
    pub(super) const fn queued(&self) -> usize {
        self.queued
    }

    const fn is_empty(&self) -> bool {
        self.queued == 0
    }
}

/// All channels of a connection, by our number.
#[derive(Debug, Default)]
pub(super) struct Channels {
    slots: Vec<Option<Channel>>,
    generation: u64,
}

impl Channels {
    /// Enters a channel under the lowest free number.
    pub(super) fn insert(
        &mut self,
        state: State,
        program: Program,
        remote: u32,
        credit: Credit,
        allowance: Allowance,
    ) -> ChannelId {
        let at = self
            .slots
            .iter()
            .position(Option::is_none)
            .unwrap_or_else(|| {
                self.slots.push(None);
                self.slots.len() - 1
            });
        self.generation += 1;
        let generation = self.generation;
        let channel = Channel {
            generation,
            remote,
            state,
            program,
            inbox: Inbox::default(),
            extended: Inbox::default(),
            peer_finished: false,
            credit,
            outbox: Outbox::default(),
            allowance,
            send_end: SendEnd::Open,
            replies: Replies::default(),
            awaited: 0,
        };
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Some(channel);
        }
        ChannelId {
            number: u32::try_from(at).expect("channels are far fewer than 2^32"),
            generation,
        }
    }

    /// Forgets a channel; its number may be given anew.
    pub(super) fn remove(&mut self, id: ChannelId) {
        if self.get(id).is_some()
            && let Some(slot) = self.slots.get_mut(id.number as usize)
        {
            *slot = None;
        }
    }

    /// The application's view: by id, which may be stale.
    pub(super) fn get(&mut self, id: ChannelId) -> Option<&mut Channel> {
        self.slots
            .get_mut(id.number as usize)?
            .as_mut()
            .filter(|channel| channel.generation == id.generation)
    }

    /// As [`get`](Self::get), to look only.
    pub(super) fn peek(&self, id: ChannelId) -> Option<&Channel> {
        self.slots
            .get(id.number as usize)?
            .as_ref()
            .filter(|channel| channel.generation == id.generation)
    }

    /// The peer's view: by number. A channel that both ends have closed is not there any more.
    pub(super) fn known(
        &mut self,
        number: u32,
    ) -> Result<(ChannelId, &mut Channel), PeerMisbehaved> {
        let channel = usize::try_from(number)
            .ok()
            .and_then(|at| self.slots.get_mut(at))
            .and_then(Option::as_mut)
            .filter(|channel| channel.state != State::Closed)
            .ok_or(PeerMisbehaved::UnknownChannel)?;
        Ok((
            ChannelId {
                number,
                generation: channel.generation,
            },
            channel,
        ))
    }

    /// As [`known`](Self::known), for messages that make sense only once the opening is decided.
    pub(super) fn confirmed(
        &mut self,
        number: u32,
    ) -> Result<(ChannelId, &mut Channel), PeerMisbehaved> {
        let (id, channel) = self.known(number)?;
        match channel.state {
            State::Open | State::Closing | State::CloseSent | State::Closed => Ok((id, channel)),
            State::Opening | State::Abandoned | State::Offered => {
                Err(PeerMisbehaved::ChannelNotOpen)
            }
        }
    }

    /// Whether the number was given once and its channel is closed.
    pub(super) fn was_closed(&self, number: u32) -> bool {
        let slot = usize::try_from(number)
            .ok()
            .and_then(|at| self.slots.get(at));
        slot.is_some_and(|it| {
            it.as_ref()
                .is_none_or(|channel| channel.state == State::Closed)
        })
    }

    /// The channel in a place, and its id, to go round all of them.
    pub(super) fn at(&mut self, place: usize) -> Option<(ChannelId, &mut Channel)> {
        let channel = self.slots.get_mut(place)?.as_mut()?;
        let number = u32::try_from(place).expect("channels are far fewer than 2^32");
        Some((
            ChannelId {
                number,
                generation: channel.generation,
            },
            channel,
        ))
    }

    /// How many places there are, free ones included.
    pub(super) const fn places(&self) -> usize {
        self.slots.len()
    }

    /// How many channels there are, undecided ones included.
    pub(super) fn count(&self) -> usize {
        self.slots.iter().flatten().count()
    }
}
