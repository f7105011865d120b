//! What a client wants of channels: offers to decide, session channels and their requests to answer.

use super::handle::Handle;
use super::stream::{ChannelStream, Stderr};
use crate::sftp::server::{End, Engine, FileSystem, Options};
use crate::shared::Shared;
use bytes::Bytes;
use sansftp_proto::connection::{
    Answer, ChannelKind, Offer, OpenFailureReason, ToClient, ToServer,
};
use sansftp_proto::role::Server;
use std::fmt;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A channel that the client wants.
#[derive(Debug)]
#[non_exhaustive]
pub enum Incoming {
    /// One to run a program on (RFC 4254 §6.1).
    Session(Offered<SessionChannel>),
    /// A connection onward (RFC 4254 §7.2). What it is told of the originator is the client's word.
    DirectTcpip {
        /// Where to: a name or an address.
        host: Bytes,
        /// The port there.
        port: u16,
        /// The address of whoever asks.
        originator: Bytes,
        /// The port of whoever asks.
        originator_port: u16,
        /// To be accepted once the connection onward stands.
        offer: Offered<ChannelStream>,
    },
}

impl Incoming {
    pub(super) fn new(shared: Arc<Shared<Server>>, offer: Offer) -> Option<Self> {
        Some(match offer.kind.clone() {
            ChannelKind::Session => Self::Session(Offered::new(shared, offer)),
            ChannelKind::DirectTcpip {
                host,
                port,
                originator,
                originator_port,
            } => Self::DirectTcpip {
                host,
                port,
                originator,
                originator_port,
                offer: Offered::new(shared, offer),
            },
            // A kind that this driver does not know: the offer is refused as it is dropped.
            _ => {
                drop(Offered::<ChannelStream>::new(shared, offer));
                return None;
            }
        })
    }
}

/// A channel that waits for a decision. Refused when it is dropped.
#[must_use = "an offer that is dropped is refused"]
pub struct Offered<C> {
    shared: Arc<Shared<Server>>,
    offer: Option<Offer>,
    channel: PhantomData<fn() -> C>,
}

impl<C> Offered<C> {
    fn new(shared: Arc<Shared<Server>>, offer: Offer) -> Self {
        Self {
            shared,
            offer: Some(offer),
            channel: PhantomData,
        }
    }

    /// Does not open it, and says why. The text is for people.
    pub fn refuse(mut self, reason: OpenFailureReason, text: &str) {
        self.decline(reason, text);
    }

    fn decline(&mut self, reason: OpenFailureReason, text: &str) {
        let Some(offer) = self.offer.take() else {
            return;
        };
        self.shared.with(|state| {
            if let Some(mux) = state.conn.mux() {
                mux.refuse(offer, reason, text);
            }
        });
    }

    fn open(mut self) -> Option<Arc<Handle>> {
        let offer = self.offer.take()?;
        let id = self.shared.with(|state| {
            let id = state.conn.mux()?.accept(offer)?;
            state.machines.begin(id);
            Some(id)
        })?;
        Some(Arc::new(Handle::new(Arc::clone(&self.shared), id)))
    }
}

impl Offered<SessionChannel> {
    /// Opens it; `None` when the connection has ended.
    pub fn accept(self) -> Option<SessionChannel> {
        self.open().map(SessionChannel)
    }
}

impl Offered<ChannelStream> {
    /// Opens it; `None` when the connection has ended.
    pub fn accept(self) -> Option<ChannelStream> {
        self.open().map(ChannelStream::new)
    }
}

impl<C> Drop for Offered<C> {
    fn drop(&mut self) {
        self.decline(OpenFailureReason::AdministrativelyProhibited, "refused");
    }
}

impl<C> fmt::Debug for Offered<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Offered").field(&self.offer).finish()
    }
}

/// A session channel (RFC 4254 §6). Closed when the last that belongs to it is dropped, streams
/// included; what was written, and how the program ended, leaves before.
#[derive(Debug)]
pub struct SessionChannel(Arc<Handle>);

impl SessionChannel {
    /// The next request; `None` when there will be none, because the client has closed the channel or
    /// the connection has ended.
    ///
    /// No more than 16 requests and 260 KiB in them wait here: of those beyond, the ones that want an
    /// answer are refused, the others dropped. Of window changes only the newest waits.
    pub async fn next(&mut self) -> Option<ChannelRequest> {
        let (request, answer) = poll_fn(|cx| self.0.poll_request(cx)).await?;
        Some(ChannelRequest {
            request,
            answer,
            handle: Arc::clone(&self.0),
        })
    }

    /// The channel's data. Streams of one channel share it: a piece goes to whoever asks first.
    pub fn stream(&self) -> ChannelStream {
        ChannelStream::new(Arc::clone(&self.0))
    }

    /// Where the program's standard error goes.
    pub fn stderr(&self) -> Stderr {
        Stderr::new(Arc::clone(&self.0))
    }

    /// Tells how the program ended (RFC 4254 §6.10), once its output has left. Told once: the last
    /// word counts.
    pub fn exit_status(&self, status: u32) {
        self.0.farewell(ToClient::ExitStatus(status));
    }

    /// Tells that the program was killed (RFC 4254 §6.10), once its output has left. `signal` is the
    /// name without `SIG`; `message` is for people.
    pub fn exit_signal(&self, signal: impl Into<Bytes>, core_dumped: bool, message: &str) {
        self.0.farewell(ToClient::ExitSignal {
            signal: signal.into(),
            core_dumped,
            message: message.to_owned(),
        });
    }

    /// Serves `fs` by SFTP on the channel's data from now on, inside the connection's driver: once a
    /// request for the subsystem was accepted. Files are touched on threads that may block. The
    /// channel is closed when the session ends.
    ///
    /// # Panics
    /// Outside a runtime of tokio.
    pub fn serve_sftp(self, fs: Arc<dyn FileSystem>, options: Options) -> Serving {
        let engine = Engine::start(fs, options, &tokio::runtime::Handle::current());
        self.0.serve(&engine);
        Serving {
            engine,
            handle: self.0,
        }
    }

    /// Closes the channel once what was written has left, whatever streams of it there are still.
    pub fn close(self) {
        self.0.leave();
    }
}

/// A session of SFTP that runs on a channel; completes with its end. Dropped, the session is broken
/// off: what is under way is finished, nothing further begins, and what is open is closed.
#[derive(Debug)]
#[must_use = "the session ends when this is dropped"]
pub struct Serving {
    engine: Arc<Engine>,
    handle: Arc<Handle>,
}

impl Future for Serving {
    type Output = End;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<End> {
        self.handle.poll_end(&self.engine, cx)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.handle.leave();
    }
}

/// What the client asks on a session channel, or tells. Refused when it is dropped.
#[derive(Debug)]
#[must_use = "a request that is dropped is refused"]
pub struct ChannelRequest {
    /// What it is about.
    pub request: ToServer,
    /// `None`: the client wants none.
    answer: Option<Answer>,
    handle: Arc<Handle>,
}

impl ChannelRequest {
    /// It is done, or will be.
    pub fn accept(mut self) {
        self.decide(true);
    }

    /// It is not done.
    pub fn refuse(mut self) {
        self.decide(false);
    }

    fn decide(&mut self, accepted: bool) {
        if let Some(answer) = self.answer.take() {
            self.handle.answer(answer, accepted);
        }
    }
}

impl Drop for ChannelRequest {
    fn drop(&mut self) {
        self.decide(false);
    }
}
