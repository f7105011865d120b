//! The connection protocol (RFC 4254): channels over one authenticated transport.
//!
//! [`Mux`] is the machine of both ends. It knows neither packets nor sockets: payloads come in
//! sorted and decrypted, and messages are pulled out one at a time, into the very packet that is then
//! sealed. What runs in a channel is not known here either; SFTP is in [`sftp`](crate::sftp).
//!
//! How back-pressure works: received data waits in its channel, and only [`Mux::read`] gives the peer
//! credit for more. Data to be sent waits in its channel too, and [`Mux::write`] hands it back when
//! enough waits. Messages that are no data go before data, and none of them waits for a window.
//!
//! What is left out: port forwarding by the server (RFC 4254 §7.1) and X11 (§6.3) are refused, as
//! those sections allow.

mod channel;
mod credit;
mod host_keys;
mod inbound;
mod messages;
mod mux;
mod open;
mod requests;

pub use channel::ChannelId;
pub(crate) use host_keys::{Announced, Held, HostKeys, check_proofs};
pub use mux::{Mux, OpenError, PeerLimits, RequestError, WriteError};
pub use open::{ChannelKind, Offer, OpenFailureReason};
pub(crate) use requests::InboundRequest;
pub use requests::{Pty, ToClient, ToServer, WindowSize};

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use requests::Place;

/// What happened on channels. `Q` is what this end may be asked: [`ToClient`] or [`ToServer`].
#[derive(Debug)]
#[non_exhaustive]
pub enum ChannelEvent<Q> {
    /// The peer wants to open a channel: [`Mux::accept`] or [`Mux::refuse`] it.
    Offered(Offer),
    /// The peer has opened the channel that we asked for.
    Opened(ChannelId),
    /// The peer has not opened the channel that we asked for; its id is void.
    Refused {
        /// Which.
        id: ChannelId,
        /// Why.
        reason: OpenFailureReason,
        /// The peer's words, control characters replaced.
        description: String,
    },
    /// There is data to [`read`](Mux::read), or its end. Said once, and again only after `read`
    /// returned `None`.
    Readable(ChannelId),
    /// There is data to [`read_extended`](Mux::read_extended). Said once, and again only after that
    /// returned `None`.
    ExtendedReadable(ChannelId),
    /// After [`WriteError::Blocked`]: less than half of what may be queued is queued.
    Writable(ChannelId),
    /// The peer asks for something on a channel, or tells it.
    Request {
        /// Which channel.
        id: ChannelId,
        /// What.
        request: Q,
        /// What to [`answer`](Mux::answer) with, if the peer wants an answer.
        answer: Option<Answer>,
    },
    /// The peer has answered the oldest of our requests on the channel that it had not answered.
    Answered {
        /// Which channel.
        id: ChannelId,
        /// Whether it did what was asked.
        ok: bool,
    },
    /// Both ends have closed the channel. Nothing more happens on it; data that has not been read yet
    /// can still be read, and holds memory until it is, or until [`Mux::close`].
    Closed(ChannelId),
    /// The peer has answered the oldest of our global requests that it had not answered.
    GlobalAnswered {
        /// Whether it did what was asked.
        ok: bool,
        /// What came with the answer.
        data: Bytes,
    },
}

/// The right to answer one channel request. Linear: given once, used once. A request whose answer is
/// dropped stays unanswered, and so do all after it on its channel.
#[derive(Debug)]
#[must_use = "requests are answered in order: one that is not holds up all after it"]
pub struct Answer {
    id: ChannelId,
    slot: u64,
    /// It is about starting a program (RFC 4254 §6.5).
    place: Place,
}

pub(crate) type EventOf<R> = ChannelEvent<<R as crate::role::sealed::Role>::Inbound>;
