//! What the driver and the handles share: one connection, the machines on its channels, and who
//! waits.

use crate::deadline::now;
use crate::error::Lost;
use sansftp_proto::connection::{ChannelEvent, Mux, ToClient, ToServer};
use sansftp_proto::error::Error as Protocol;
use sansftp_proto::role::{Client, Role, Server};
use sansftp_proto::session::{ClientEvent, Common, Connection, ServerEvent};
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// A role that the driver can route events for.
pub(crate) trait Driven: Role {
    /// What an end can be told of channels.
    type ChannelEvent;
    /// The machines that sit on channels, fed inside the driver without a task in between.
    type Machines: Machines<Self>;

    /// Whose the event is.
    fn route(event: Self::Event) -> Routed<Self::Event, Self::ChannelEvent>;
}

/// Whose an event is.
pub(crate) enum Routed<E, C> {
    /// A machine's.
    Channel(C),
    /// The connection has ended.
    Ended(Protocol),
    /// For whoever listens.
    Listener(E),
}

/// Machines that sit on channels.
pub(crate) trait Machines<R: Driven>: Default + Send {
    /// Something happened on a channel.
    fn event(&mut self, mux: &mut Mux<R>, event: R::ChannelEvent);
    /// Moves what can be moved between machines and channels; whether anything moved. `progress` is
    /// set when a reply came.
    fn pump(&mut self, mux: &mut Mux<R>, progress: &mut Instant, now: Instant) -> bool;
    /// Bytes of the machines' that wait in channels.
    fn queued(&self, mux: &Mux<R>) -> usize;
    /// The connection is gone.
    fn end(&mut self, lost: &Lost);
    /// Who is to be woken when a machine has something to move without having been asked. Told
    /// whenever the driver begins to work.
    fn park(&mut self, _driver: &Waker) {}
}

impl Driven for Client {
    type ChannelEvent = ChannelEvent<ToClient>;
    type Machines = crate::sftp::Machines;

    fn route(event: ClientEvent) -> Routed<ClientEvent, Self::ChannelEvent> {
        match event {
            ClientEvent::Channel(event) => Routed::Channel(event),
            ClientEvent::Common(Common::Closed(error)) => Routed::Ended(error),
            other => Routed::Listener(other),
        }
    }
}

impl Driven for Server {
    type ChannelEvent = ChannelEvent<ToServer>;
    type Machines = crate::server::Channels;

    fn route(event: ServerEvent) -> Routed<ServerEvent, Self::ChannelEvent> {
        match event {
            ServerEvent::Channel(event) => Routed::Channel(event),
            ServerEvent::Common(Common::Closed(error)) => Routed::Ended(error),
            other => Routed::Listener(other),
        }
    }
}

/// Behind the lock.
pub(crate) struct State<R: Driven> {
    pub(crate) conn: Connection<R>,
    pub(crate) machines: R::Machines,
    /// Set once the connection has ended; everybody is told the same.
    pub(crate) ended: Option<Lost>,
    /// When bytes of a request last left or a reply last came: what request deadlines are measured
    /// from. Signs of life are no progress: a server whose files hang gives them all the same.
    pub(crate) progress: Instant,
    pub(crate) io_error: Option<Arc<io::Error>>,
    events: VecDeque<R::Event>,
    driver: Option<Waker>,
    listener: Option<Waker>,
}

/// One connection, shared by its driver and its handles.
pub(crate) struct Shared<R: Driven>(Mutex<State<R>>);

impl<R: Driven> Shared<R> {
    pub(crate) fn new(conn: Connection<R>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            conn,
            machines: R::Machines::default(),
            ended: None,
            progress: now(),
            io_error: None,
            events: VecDeque::new(),
            driver: None,
            listener: None,
        })))
    }

    /// The state, to look at. A panic elsewhere under the lock left the connection's own sticky error
    /// behind, so a poisoned lock is no reason to panic here too.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the state, then lets the driver see what came of it.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State<R>) -> T) -> T {
        let mut state = self.lock();
        let out = f(&mut state);
        Self::done(state);
        out
    }

    /// Lets the driver see what came of what was done to the state.
    pub(crate) fn done(mut state: MutexGuard<'_, State<R>>) {
        let driver = state.driver.take();
        drop(state);
        wake(driver);
    }

    /// The next event that belongs to no channel; the loss once the connection has ended.
    pub(crate) async fn event(&self) -> Result<R::Event, Lost> {
        std::future::poll_fn(|cx| {
            let mut state = self.lock();
            if let Some(event) = state.events.pop_front() {
                return Poll::Ready(Ok(event));
            }
            if let Some(lost) = &state.ended {
                return Poll::Ready(Err(lost.clone()));
            }
            state.listener = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl<R: Driven> Shared<R> {
    /// Completes when the connection has ended.
    pub(crate) async fn ended(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.lock();
            if state.ended.is_some() {
                return Poll::Ready(());
            }
            state.listener = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl<R: Driven> State<R> {
    /// Remembers the driver before it begins to work: a handle that acts meanwhile wakes it again.
    pub(crate) fn park(&mut self, cx: &Context<'_>) {
        self.driver = Some(cx.waker().clone());
        self.machines.park(cx.waker());
    }

    /// Bytes of the machines' that wait in channels.
    pub(crate) fn queued(&mut self) -> usize {
        match self.conn.mux() {
            Some(mux) => self.machines.queued(mux),
            None => 0,
        }
    }

    /// Hands every event to whom it concerns and moves the machines' data; whether anything moved.
    pub(crate) fn work(&mut self, now: Instant) -> bool {
        let mut moved = false;
        while let Some(event) = self.conn.poll_event() {
            moved = true;
            match R::route(event) {
                Routed::Channel(event) => {
                    if let Some(mux) = self.conn.mux() {
                        self.machines.event(mux, event);
                    }
                }
                Routed::Ended(protocol) => {
                    let lost = Lost {
                        protocol,
                        io: self.io_error.clone(),
                    };
                    self.machines.end(&lost);
                    self.ended = Some(lost);
                    wake(self.listener.take());
                }
                Routed::Listener(event) => {
                    self.events.push_back(event);
                    wake(self.listener.take());
                }
            }
        }
        if let Some(mux) = self.conn.mux() {
            moved |= self.machines.pump(mux, &mut self.progress, now);
        }
        moved
    }
}

/// Wakes whoever waits, if anybody does.
pub(crate) fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl<R: Driven> fmt::Debug for Shared<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared(..)")
    }
}
