//! The channels of a connection at the server's end: what waits in each for the application, and who
//! waits for it. Behind the connection's lock, fed inside the driver.
//!
//! What is bounded where: channels, offered ones included, by [`Limits::channels`]; data in either
//! direction by [`Limits::window`] and [`Limits::send_queue`]; requests here, by [`REQUESTS`] and
//! [`REQUEST_BYTES`].
//!
//! [`Limits::channels`]: sansftp_proto::limits::Limits::channels
//! [`Limits::window`]: sansftp_proto::limits::Limits::window
//! [`Limits::send_queue`]: sansftp_proto::limits::Limits::send_queue

use crate::error::Lost;
use crate::sftp::server::Engine;
use crate::shared;
use sansftp_proto::connection::{Answer, ChannelEvent, ChannelId, Mux, Offer, ToClient, ToServer};
use sansftp_proto::limits;
use sansftp_proto::role::Server;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// Requests of one channel that wait for the application: as many as the core lets wait for an answer.
/// Of those that want none, more could come.
const REQUESTS: usize = limits::UNANSWERED_REQUESTS;
/// Bytes in them, so that a few requests do not hold a packet each: one command as long as a packet.
const REQUEST_BYTES: usize = limits::PACKET;

/// All channels of one connection.
#[derive(Default)]
pub(crate) struct Channels {
    open: Vec<Channel>,
    /// Undecided, oldest first.
    offers: VecDeque<Offer>,
    listener: Waiters,
    lost: Option<Lost>,
}

impl Channels {
    /// The next channel that the client wants; the loss once the connection has ended.
    pub(super) fn poll_offer(&mut self, cx: &Context<'_>) -> Poll<Result<Offer, Lost>> {
        if let Some(lost) = &self.lost {
            return Poll::Ready(Err(lost.clone()));
        }
        if let Some(offer) = self.offers.pop_front() {
            return Poll::Ready(Ok(offer));
        }
        self.listener.add(cx);
        Poll::Pending
    }

    /// A channel that was just accepted.
    pub(super) fn begin(&mut self, id: ChannelId) {
        self.open.push(Channel::new(id));
    }

    pub(super) fn get(&mut self, id: ChannelId) -> Option<&mut Channel> {
        self.open.iter_mut().find(|it| it.id == id)
    }

    /// Nobody holds the channel any more.
    pub(super) fn leave(&mut self, mux: Option<&mut Mux<Server>>, id: ChannelId) {
        let Some(mux) = mux else {
            return self.open.retain(|it| it.id != id);
        };
        if let Some(channel) = self.get(id) {
            channel.leave(mux);
        }
    }

    /// How the connection ended, once it has.
    pub(super) const fn lost(&self) -> Option<&Lost> {
        self.lost.as_ref()
    }
}

impl shared::Machines<Server> for Channels {
    fn event(&mut self, mux: &mut Mux<Server>, event: ChannelEvent<ToServer>) {
        match event {
            ChannelEvent::Offered(offer) => {
                self.offers.push_back(offer);
                self.listener.wake();
            }
            ChannelEvent::Readable(id) => {
                if let Some(channel) = self.get(id) {
                    channel.readers.wake();
                }
            }
            // A client has no use for it (RFC 4254 §5.2 names standard error, which servers write to).
            ChannelEvent::ExtendedReadable(id) => while mux.read_extended(id).is_some() {},
            ChannelEvent::Writable(id) => {
                if let Some(channel) = self.get(id) {
                    channel.writers.wake();
                }
            }
            ChannelEvent::Request {
                id,
                request,
                answer,
            } => {
                let refused = match self.get(id) {
                    Some(channel) => channel.take_request(request, answer),
                    None => answer,
                };
                if let Some(answer) = refused {
                    mux.answer(answer, false);
                }
            }
            ChannelEvent::Closed(id) => match self.get(id) {
                Some(channel) => channel.closed(mux),
                None => mux.close(id),
            },
            _ => {}
        }
    }

    fn pump(&mut self, mux: &mut Mux<Server>, _progress: &mut Instant, _now: Instant) -> bool {
        let mut moved = false;
        self.open.retain_mut(|channel| {
            moved |= channel.pump(mux);
            channel.stage != Stage::Gone
        });
        moved
    }

    fn queued(&self, _mux: &Mux<Server>) -> usize {
        // Only a client measures how its requests get on.
        0
    }

    fn end(&mut self, lost: &Lost) {
        self.lost = Some(lost.clone());
        self.offers.clear();
        self.listener.wake();
        for channel in &mut self.open {
            channel.lost();
        }
    }

    /// Sessions of SFTP work on threads of their own.
    fn park(&mut self, driver: &Waker) {
        for served in self.open.iter().filter_map(|it| it.served.as_ref()) {
            served.engine.set_waker(driver);
        }
    }
}

/// One channel.
pub(super) struct Channel {
    id: ChannelId,
    stage: Stage,
    /// Requests that the application has not looked at.
    requests: VecDeque<(ToServer, Option<Answer>)>,
    /// Bytes in them.
    held: usize,
    /// How the program ended: told once its output has left.
    farewell: Option<ToClient>,
    served: Option<Served>,
    pub(super) askers: Waiters,
    pub(super) readers: Waiters,
    pub(super) writers: Waiters,
}

/// A session of SFTP that has the channel's data, and the requests that still come.
struct Served {
    engine: Arc<Engine>,
    input: Input,
    /// Who waits for its end.
    waiters: Waiters,
}

/// Whether the client may send more.
#[derive(Debug, PartialEq, Eq)]
enum Input {
    Open,
    Ended,
}

/// Where a channel stands.
///
/// ```text
///  Open ──application leaves──▶ Leaving ──output and farewell gone──▶ Closing ──their CLOSE──▶ Gone
///    └──their CLOSE──▶ Closed ──application leaves──────────────────────────────────────────────▲
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The client has closed it. What had come before can still be read.
    Closed,
    /// Nobody holds it any more; what was written leaves first.
    Leaving,
    /// CLOSE follows what is queued.
    Closing,
    /// Both have closed.
    Gone,
}

impl Channel {
    const fn new(id: ChannelId) -> Self {
        Self {
            id,
            stage: Stage::Open,
            requests: VecDeque::new(),
            held: 0,
            farewell: None,
            served: None,
            askers: Waiters::NOBODY,
            readers: Waiters::NOBODY,
            writers: Waiters::NOBODY,
        }
    }

    // ---- for the handles

    /// The next request; `None` when there will be none.
    pub(super) fn poll_request(
        &mut self,
        cx: &Context<'_>,
    ) -> Poll<Option<(ToServer, Option<Answer>)>> {
        if let Some((request, answer)) = self.requests.pop_front() {
            self.held = self.held.saturating_sub(size(&request));
            return Poll::Ready(Some((request, answer)));
        }
        if self.stage != Stage::Open {
            return Poll::Ready(None);
        }
        self.askers.add(cx);
        Poll::Pending
    }

    /// Whether it is open at both ends.
    pub(super) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// Waits until it is not open any more.
    pub(super) fn poll_closed(&mut self, cx: &Context<'_>) -> Poll<()> {
        if !self.is_open() {
            return Poll::Ready(());
        }
        self.askers.add(cx);
        Poll::Pending
    }

    /// How the program ended; the last that is said counts.
    pub(super) fn set_farewell(&mut self, farewell: ToClient) {
        self.farewell = Some(farewell);
    }

    /// Lets `engine` have the channel's data from now on; the channel ends with it. Nobody is left to
    /// look at requests.
    pub(super) fn serve(&mut self, mux: &mut Mux<Server>, engine: Arc<Engine>) {
        self.refuse_requests(mux);
        self.served = Some(Served {
            engine,
            input: Input::Open,
            waiters: Waiters::NOBODY,
        });
    }

    /// Waits for the end of what is served; nothing is, if it says so.
    pub(super) fn wait_for_end(&mut self, cx: &Context<'_>) -> Option<()> {
        self.served.as_mut().map(|it| it.waiters.add(cx))
    }

    // ---- for the driver

    /// Keeps a request for the application; gives back the answer that nobody will give.
    fn take_request(&mut self, request: ToServer, answer: Option<Answer>) -> Option<Answer> {
        if self.stage != Stage::Open || self.served.is_some() {
            return answer;
        }
        // Of sizes only the newest matters (RFC 4254 §6.7).
        if matches!(request, ToServer::WindowChange(_)) {
            self.requests
                .retain(|(it, _)| !matches!(it, ToServer::WindowChange(_)));
        }
        let size = size(&request);
        if self.requests.len() >= REQUESTS || self.held.saturating_add(size) > REQUEST_BYTES {
            return answer;
        }
        self.held += size;
        self.requests.push_back((request, answer));
        self.askers.wake();
        None
    }

    /// Both ends have closed the channel.
    fn closed(&mut self, mux: &mut Mux<Server>) {
        self.stage = match self.stage {
            Stage::Open | Stage::Closed => Stage::Closed,
            Stage::Leaving | Stage::Closing | Stage::Gone => {
                // What came last nobody will read, and it would hold the channel's number.
                mux.close(self.id);
                Stage::Gone
            }
        };
        self.wake();
    }

    fn refuse_requests(&mut self, mux: &mut Mux<Server>) {
        self.held = 0;
        for (_, answer) in self.requests.drain(..) {
            if let Some(answer) = answer {
                mux.answer(answer, false);
            }
        }
    }

    fn leave(&mut self, mux: &mut Mux<Server>) {
        self.refuse_requests(mux);
        if let Some(served) = self.served.take() {
            served.engine.abort();
        }
        match self.stage {
            Stage::Open => self.stage = Stage::Leaving,
            Stage::Closed => {
                mux.close(self.id);
                self.stage = Stage::Gone;
            }
            Stage::Leaving | Stage::Closing | Stage::Gone => {}
        }
        // There may be streams of it that wait.
        self.wake();
    }

    /// The connection has ended. What was served is the application's alone from here on: whoever waits
    /// for its end is woken by it, and not by a driver that may be gone by then.
    fn lost(&mut self) {
        if let Some(mut served) = self.served.take() {
            served.engine.abort();
            served.waiters.wake();
        }
        self.wake();
    }

    fn pump(&mut self, mux: &mut Mux<Server>) -> bool {
        let mut moved = self.pump_served(mux);
        if self.stage == Stage::Leaving {
            // Nobody reads it any more, and a client may read only once it has sent all.
            while mux.read(self.id).is_some() {}
        }
        // Clients may take the end of the program for the end of its output.
        if mux.queued(self.id) == 0
            && let Some(farewell) = self.farewell.take()
        {
            // Too late is no harm: nobody is left who would want to know.
            let _ = mux.request(self.id, &farewell);
            moved = true;
        }
        if self.stage == Stage::Leaving && self.farewell.is_none() {
            mux.finish(self.id);
            mux.close(self.id);
            self.stage = Stage::Closing;
            moved = true;
        }
        moved
    }

    /// Moves data between the channel and the session of SFTP on it.
    fn pump_served(&mut self, mux: &mut Mux<Server>) -> bool {
        let Some(served) = &mut self.served else {
            return false;
        };
        let mut moved = false;
        while served.engine.wants_data()
            && let Some(data) = mux.read(self.id)
        {
            served.engine.handle_data(data);
            moved = true;
        }
        if served.input == Input::Open && mux.at_eof(self.id) {
            served.engine.handle_eof();
            served.input = Input::Ended;
            moved = true;
        }
        // What came before the client closed the channel is still done; nobody hears the answers.
        while (mux.room(self.id) > 0 || self.stage == Stage::Closed)
            && let Some(bytes) = served.engine.poll_transmit()
        {
            let _ = mux.write(self.id, bytes);
            moved = true;
        }
        if let Some(end) = served.engine.ended() {
            served.waiters.wake();
            self.served = None;
            self.farewell = Some(ToClient::ExitStatus(end.error.is_some().into()));
            if self.stage == Stage::Open {
                self.stage = Stage::Leaving;
            }
            moved = true;
        }
        moved
    }

    fn wake(&mut self) {
        self.askers.wake();
        self.readers.wake();
        self.writers.wake();
    }
}

/// Bytes in a request.
const fn size(request: &ToServer) -> usize {
    match request {
        ToServer::Subsystem(it) | ToServer::Exec(it) | ToServer::Signal(it) => it.len(),
        ToServer::Env { name, value } => name.len() + value.len(),
        ToServer::Pty(pty) => pty.term.len() + pty.modes.len() * size_of::<(u8, u32)>(),
        _ => 0,
    }
}

/// Tasks that wait for the same thing. All are woken together, and ask again.
#[derive(Default)]
pub(super) struct Waiters(Vec<Waker>);

impl Waiters {
    const NOBODY: Self = Self(Vec::new());

    pub(super) fn add(&mut self, cx: &Context<'_>) {
        if !self.0.iter().any(|it| it.will_wake(cx.waker())) {
            self.0.push(cx.waker().clone());
        }
    }

    fn wake(&mut self) {
        self.0.drain(..).for_each(Waker::wake);
    }
}
