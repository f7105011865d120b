//! The SFTP machines of a connection, each on its channel, fed inside the driver: from the socket to
//! a finished request there is one wake-up.

use super::client::blocked;
use super::error::SftpError;
use super::job::Job;
use super::pace::Pace;
use crate::deadline::now;
use crate::error::Lost;
use crate::onward::Onward;
use crate::shared::{self, wake};
use bytes::Bytes;
use sansftp_proto::connection::{ChannelEvent, ChannelId, Mux, ToClient, ToServer, WriteError};
use sansftp_proto::error::{Error as Protocol, printable};
use sansftp_proto::role::Client as ClientRole;
use sansftp_proto::sftp::messages::Close;
use sansftp_proto::sftp::{
    Blocked, Client, Completion, Extensions, Handle, Pending, Request, RequestId,
};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Requests that transfers may have in flight together: the rest of the client's 1,024 is left for
/// single requests, which would else wait until a transfer ends.
const JOB_REQUESTS: usize = 960;

/// All that sits on the channels of one connection: sessions of SFTP, usually one, and connections
/// onward.
#[derive(Default)]
pub(crate) struct Machines {
    sessions: Vec<Session>,
    onward: Vec<Onward>,
    host_keys: HostKeys,
}

/// Having the server prove that it holds some host keys.
#[derive(Default)]
pub(crate) struct HostKeys {
    /// The answer.
    pub(crate) proof: Option<Proof>,
    /// Who waits for it.
    pub(crate) asker: Option<Waker>,
}

/// Whether the server did what it was asked, and what it sent.
pub(crate) type Proof = (bool, Bytes);

impl Machines {
    /// Tells everybody who waits for a session why all are given up, which ends the connection.
    pub(super) fn give_up(&mut self, error: &SftpError) {
        for session in &mut self.sessions {
            session.fail(error.clone());
        }
    }

    pub(crate) const fn host_keys(&mut self) -> &mut HostKeys {
        &mut self.host_keys
    }

    /// A session on a channel that is being opened.
    pub(crate) fn begin(&mut self, channel: ChannelId) {
        self.sessions.push(Session::new(channel));
    }

    pub(crate) fn get(&mut self, channel: ChannelId) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|it| it.channel == channel)
    }

    /// Ends a session; whoever still waits in it is told.
    pub(crate) fn remove(&mut self, channel: ChannelId) {
        self.sessions.retain(|it| it.channel != channel);
    }

    /// A connection onward, on a channel that is being opened.
    pub(crate) fn begin_onward(&mut self, channel: ChannelId) {
        self.onward.push(Onward::new(channel));
    }

    pub(crate) fn onward(&mut self, channel: ChannelId) -> Option<&mut Onward> {
        self.onward.iter_mut().find(|it| it.id == channel)
    }

    /// Nobody holds the stream any more.
    pub(crate) fn end_onward(&mut self, channel: ChannelId) -> Option<Onward> {
        let at = self.onward.iter().position(|it| it.id == channel)?;
        Some(self.onward.swap_remove(at))
    }
}

impl shared::Machines<ClientRole> for Machines {
    fn event(&mut self, mux: &mut Mux<ClientRole>, event: ChannelEvent<ToClient>) {
        match event {
            ChannelEvent::Opened(id) => {
                if let Some(onward) = self.onward(id) {
                    return onward.opened();
                }
                let Some(session) = self.get(id) else { return };
                session.stage = Stage::Starting;
                // INIT follows in the same flight, without waiting for the answer.
                let subsystem = ToServer::Subsystem(b"sftp".as_slice().into());
                if mux.request(id, &subsystem).is_err() {
                    session.refuse("the channel closed at once".to_owned());
                }
            }
            ChannelEvent::Refused {
                id,
                reason,
                description,
            } => {
                if let Some(onward) = self.onward(id) {
                    return onward.refused(reason, description);
                }
                if let Some(session) = self.get(id) {
                    session.refuse(format!("it opens no channel ({description})"));
                }
            }
            ChannelEvent::Answered { id, ok: false } => {
                if let Some(session) = self.get(id) {
                    session.refuse("it does not start the subsystem 'sftp'".to_owned());
                }
                mux.close(id);
            }
            // conformance: what a server's program writes to stderr is logged and never parsed.
            ChannelEvent::ExtendedReadable(id) => {
                while let Some(text) = mux.read_extended(id) {
                    tracing::info!(stderr = %printable(&text));
                }
            }
            // Keepalives apart, which the machine takes itself, nothing else is asked.
            ChannelEvent::GlobalAnswered { ok, data } => {
                self.host_keys.proof = Some((ok, data));
                wake(self.host_keys.asker.take());
            }
            ChannelEvent::Readable(id) => {
                if let Some(onward) = self.onward(id) {
                    onward.readable();
                }
            }
            ChannelEvent::Writable(id) => {
                if let Some(onward) = self.onward(id) {
                    onward.writable();
                }
            }
            ChannelEvent::Closed(id) => {
                // What came last is still read; the stream closes it when it is dropped.
                if let Some(onward) = self.onward(id) {
                    return onward.closed();
                }
                if let Some(session) = self.get(id) {
                    session.drain(mux);
                    session.channel_ended();
                }
                mux.close(id);
            }
            _ => {}
        }
    }

    fn pump(&mut self, mux: &mut Mux<ClientRole>, progress: &mut Instant, now: Instant) -> bool {
        let mut moved = false;
        for session in &mut self.sessions {
            moved |= session.pump(mux, progress, now);
        }
        moved
    }

    fn queued(&self, mux: &Mux<ClientRole>) -> usize {
        self.sessions.iter().map(|it| mux.queued(it.channel)).sum()
    }

    fn end(&mut self, lost: &Lost) {
        for session in &mut self.sessions {
            session.fail(SftpError::Lost(lost.clone()));
        }
        self.onward.iter_mut().for_each(Onward::wake);
        wake(self.host_keys.asker.take());
    }
}

/// One session of SFTP: the machine, and who waits for what in it.
pub(crate) struct Session {
    channel: ChannelId,
    machine: Client,
    stage: Stage,
    starter: Option<Waker>,
    /// By [`RequestId::index`].
    owners: Vec<Owner>,
    /// Answers that their waiters have not taken. Not with the owners: the machine gives the place of
    /// an answered request to the next one.
    answered: Vec<(Ticket, Completion)>,
    /// Requests of waiters so far.
    tickets: u64,
    /// Requests that wait for room.
    blocked: Vec<Waker>,
    jobs: Vec<Arc<dyn Job>>,
    /// Handles to be closed for nobody, as soon as there is room.
    unattended: Vec<Handle>,
    pace: Pace,
    failure: Option<SftpError>,
}

#[derive(PartialEq, Eq)]
enum Stage {
    /// The channel is not open yet.
    Opening,
    /// The subsystem was asked for.
    Starting,
    Running,
    /// The server does not want to.
    Refused(String),
    /// Failed, or closed.
    Ended,
}

/// Tells a waiter's request from all others of the session, also from those that had its id before:
/// ids come again, and a waiter may be slow to look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Ticket {
    id: RequestId,
    number: u64,
}

/// A request that was sent, and what its waiter asks for the answer with.
pub(super) type Sent<K> = (Pending<K>, Ticket);

/// Who waits for an answer; a waiter's request was made at this time.
enum Owner {
    Nobody,
    Waiter(Ticket, Instant, Option<Waker>),
    Job(Arc<dyn Job>),
}

/// How the start went.
pub(super) enum Started {
    Ready(Extensions),
    Refused(String),
    Failed(SftpError),
}

impl Session {
    fn new(channel: ChannelId) -> Self {
        Self {
            channel,
            machine: Client::default(),
            stage: Stage::Opening,
            starter: None,
            owners: Vec::new(),
            answered: Vec::new(),
            tickets: 0,
            blocked: Vec::new(),
            jobs: Vec::new(),
            unattended: Vec::new(),
            pace: Pace::new(),
            failure: None,
        }
    }

    // ---- for the handles

    pub(super) fn poll_started(&mut self, cx: &Context<'_>) -> Poll<Started> {
        match &self.stage {
            Stage::Running => Poll::Ready(Started::Ready(self.machine.extensions())),
            Stage::Refused(why) => Poll::Ready(Started::Refused(why.clone())),
            Stage::Ended => Poll::Ready(Started::Failed(self.failure())),
            Stage::Opening | Stage::Starting => {
                self.starter = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Sends a request as soon as there is room.
    pub(super) fn poll_send<'a, Q: Request<'a>>(
        &mut self,
        request: &Q,
        cx: &Context<'_>,
    ) -> Result<Poll<Sent<Q::Reply>>, SftpError> {
        match self.machine.send(request) {
            Ok(pending) => {
                self.tickets += 1;
                let ticket = Ticket {
                    id: pending.id(),
                    number: self.tickets,
                };
                self.set_owner(ticket.id, Owner::Waiter(ticket, now(), None));
                Ok(Poll::Ready((pending, ticket)))
            }
            Err(why) => match blocked(why, self) {
                Some(error) => Err(error),
                None => {
                    if !self.blocked.iter().any(|it| it.will_wake(cx.waker())) {
                        self.blocked.push(cx.waker().clone());
                    }
                    Ok(Poll::Pending)
                }
            },
        }
    }

    /// The answer to a request of [`poll_send`](Self::poll_send), once it has come.
    pub(super) fn poll_done(
        &mut self,
        ticket: Ticket,
        cx: &Context<'_>,
    ) -> Poll<Result<Completion, SftpError>> {
        if let Some(done) = self.take_answer(ticket) {
            return Poll::Ready(Ok(done));
        }
        match self.owners.get_mut(ticket.id.index()) {
            Some(Owner::Waiter(it, _, waker)) if *it == ticket && self.failure.is_none() => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(Err(self.failure())),
        }
    }

    /// Nobody waits for the request any more.
    pub(super) fn abandon(&mut self, ticket: Ticket) {
        if let Some(done) = self.take_answer(ticket) {
            return self.machine.discard(done);
        }
        if let Some(owner) = self.owners.get_mut(ticket.id.index())
            && matches!(owner, Owner::Waiter(it, ..) if *it == ticket)
        {
            *owner = Owner::Nobody;
            self.machine.abandon(ticket.id);
        }
    }

    fn take_answer(&mut self, ticket: Ticket) -> Option<Completion> {
        let at = self.answered.iter().position(|(it, _)| *it == ticket)?;
        Some(self.answered.swap_remove(at).1)
    }

    /// Lets a job send and receive by itself, inside the driver, until it is done.
    pub(super) fn begin(&mut self, job: Arc<dyn Job>) -> Result<(), SftpError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        job.worth_having(self.pace.worth());
        self.jobs.push(job);
        Ok(())
    }

    /// Ends a job: answers to what it still has under way are dropped.
    pub(super) fn end_job(&mut self, job: &Arc<dyn Job>) {
        self.jobs.retain(|it| !Arc::ptr_eq(it, job));
        job.abandon(&mut self.machine);
        for owner in &mut self.owners {
            if matches!(owner, Owner::Job(it) if Arc::ptr_eq(it, job)) {
                *owner = Owner::Nobody;
            }
        }
    }

    pub(super) fn close_unattended(&mut self, handle: &Handle) {
        self.unattended.push(handle.clone());
    }

    /// Why the session ended.
    pub(super) fn failure(&self) -> SftpError {
        self.failure
            .clone()
            .unwrap_or(SftpError::Ended(Protocol::Closed))
    }

    /// The time that an answer takes at least, once there was one.
    pub(super) const fn round_trip(&self) -> Option<Duration> {
        self.pace.round_trip()
    }

    // ---- for the driver

    fn pump(&mut self, mux: &mut Mux<ClientRole>, progress: &mut Instant, now: Instant) -> bool {
        let arrived = self.drain(mux);
        let mut moved = arrived > 0;
        if moved {
            *progress = now;
            if let Some(window) = self.pace.arrived(arrived, now) {
                mux.set_window(self.channel, window);
                let worth = self.pace.worth();
                self.jobs.iter().for_each(|job| job.worth_having(worth));
            }
        }
        self.close_handles();
        moved |= self.fill_jobs(mux);
        moved |= self.transmit(mux);
        if mux.at_eof(self.channel) && !matches!(self.stage, Stage::Refused(_) | Stage::Opening) {
            self.channel_ended();
        }
        moved
    }

    /// Channel to machine to whoever waits; says how many bytes.
    fn drain(&mut self, mux: &mut Mux<ClientRole>) -> usize {
        let mut moved = 0_usize;
        while self.machine.wants_data()
            && let Some(data) = mux.read(self.channel)
        {
            moved = moved.saturating_add(data.len());
            if let Err(error) = self.machine.handle_data(data) {
                self.fail(SftpError::Ended(error));
                return moved;
            }
        }
        if self.stage == Stage::Starting && self.machine.is_ready() {
            self.stage = Stage::Running;
            wake(self.starter.take());
        }
        self.hand_out();
        moved
    }

    fn hand_out(&mut self) {
        while let Some(done) = self.machine.poll_completion() {
            let Some(owner) = self.owners.get_mut(done.id().index()) else {
                continue;
            };
            match std::mem::replace(owner, Owner::Nobody) {
                Owner::Waiter(ticket, asked, waker) => {
                    self.pace
                        .answered_after(now().saturating_duration_since(asked));
                    self.answered.push((ticket, done));
                    wake(waker);
                }
                Owner::Job(job) => job.complete(done),
                Owner::Nobody => self.machine.discard(done),
            }
        }
        // Not only if there was an answer: requests that nobody waits for any more make room too.
        if self.machine.has_room_for(0) {
            self.blocked.drain(..).for_each(Waker::wake);
        }
    }

    fn fill_jobs(&mut self, mux: &mut Mux<ClientRole>) -> bool {
        let mut moved = false;
        let jobs = std::mem::take(&mut self.jobs);
        for job in &jobs {
            while self.machine.in_flight() < JOB_REQUESTS {
                if job.minds_window() {
                    moved |= self.transmit(mux);
                    if self.window_is_used_up(mux) {
                        job.window_used_up();
                        break;
                    }
                }
                match job.next(&mut self.machine) {
                    Ok(Some(id)) => {
                        moved = true;
                        self.set_owner(id, Owner::Job(Arc::clone(job)));
                    }
                    Ok(None) | Err(Blocked::Full | Blocked::NotReady) => break,
                    Err(why) => {
                        let error = blocked(why, self).unwrap_or_else(|| self.failure());
                        job.fail(error);
                        break;
                    }
                }
            }
        }
        self.jobs = jobs;
        self.jobs.retain(|job| !job.is_over());
        moved
    }

    /// Whether what waits in the channel is all that its window has room for.
    fn window_is_used_up(&self, mux: &Mux<ClientRole>) -> bool {
        let peer = mux.peer_limits(self.channel);
        peer.is_some_and(|peer| peer.window as usize <= mux.queued(self.channel))
    }

    /// Machine to channel, as far as the channel has room.
    fn transmit(&mut self, mux: &mut Mux<ClientRole>) -> bool {
        let mut moved = false;
        if self.stage == Stage::Opening {
            return moved;
        }
        while mux.room(self.channel) > 0
            && let Some(bytes) = self.machine.poll_transmit()
        {
            moved = true;
            match mux.write(self.channel, bytes) {
                Ok(()) => {}
                Err(WriteError::Blocked(_)) => {
                    self.fail(SftpError::Ended(Protocol::Unreachable(
                        "a channel with room blocks",
                    )));
                    break;
                }
                Err(_) => break,
            }
        }
        moved
    }

    fn close_handles(&mut self) {
        while let Some(handle) = self.unattended.pop() {
            match self.machine.send(&Close {
                handle: handle.as_bytes(),
            }) {
                Ok(pending) => self.machine.abandon(pending.id()),
                Err(Blocked::Full) => {
                    self.unattended.push(handle);
                    return;
                }
                Err(_) => {}
            }
        }
    }

    fn channel_ended(&mut self) {
        if matches!(self.stage, Stage::Opening | Stage::Starting) {
            self.refuse("the subsystem 'sftp' ended before it began".to_owned());
        } else {
            self.fail(SftpError::Ended(Protocol::ConnectionLost {
                stage: "the SFTP session",
            }));
        }
    }

    fn refuse(&mut self, why: String) {
        if matches!(self.stage, Stage::Opening | Stage::Starting) {
            self.stage = Stage::Refused(why);
            wake(self.starter.take());
        }
    }

    /// Ends the session: whoever waits is told at once, and the first reason stays.
    fn fail(&mut self, error: SftpError) {
        if self.failure.is_some() {
            return;
        }
        self.machine.close();
        while let Some(done) = self.machine.poll_completion() {
            self.machine.discard(done);
        }
        for job in self.jobs.drain(..) {
            job.fail(error.clone());
        }
        self.failure = Some(error);
        if !matches!(self.stage, Stage::Refused(_)) {
            self.stage = Stage::Ended;
        }
        for owner in &mut self.owners {
            if let Owner::Waiter(_, _, waker) = owner {
                wake(waker.take());
            }
        }
        self.blocked.drain(..).for_each(Waker::wake);
        wake(self.starter.take());
    }

    fn set_owner(&mut self, id: RequestId, owner: Owner) {
        let index = id.index();
        if self.owners.len() <= index {
            self.owners.resize_with(index + 1, || Owner::Nobody);
        }
        if let Some(slot) = self.owners.get_mut(index) {
            *slot = owner;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.fail(SftpError::Ended(Protocol::Closed));
    }
}
