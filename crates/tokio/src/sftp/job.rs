//! Transfers that run inside the driver: each asks and is answered without waking its owner, who is
//! woken when there is something to take.
//!
//! A job has a lock of its own, taken inside the connection's when the driver works on it, and alone
//! when its owner takes from it: the connection is never locked while a job is.

use super::error::SftpError;
use crate::shared::wake;
use bytes::Bytes;
use sansftp_proto::error::Error as Protocol;
use sansftp_proto::sftp::messages::{Read, Readdir};
use sansftp_proto::sftp::transfer::{
    Download, DownloadPlan, Failure, Listed, Listing, NamesTicket, ReadAt, TransferError, Upload,
    UploadPlan, WriteAt,
};
use sansftp_proto::sftp::{
    Blocked, Client, Completion, Data, Entry, Handle, Pending, RequestId, Status, kind,
};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A transfer, seen by the session that runs it.
pub(super) trait Job: Send + Sync {
    /// Sends the next request, if one is wanted now.
    fn next(&self, machine: &mut Client) -> Result<Option<RequestId>, Blocked>;
    /// Takes an answer to one of its requests.
    fn complete(&self, done: Completion);
    /// The session has ended.
    fn fail(&self, error: SftpError);
    /// Nobody wants it any more: what is under way is abandoned.
    fn abandon(&self, machine: &mut Client);
    /// Whether it will never ask again.
    fn is_over(&self) -> bool;
    /// Whether it sends no more than the channel's window has room for, the last request apart.
    fn minds_window(&self) -> bool {
        false
    }
    /// It minds the window, which is used up.
    fn window_used_up(&self) {}
    /// As [`Planner::worth_having`].
    fn worth_having(&self, _bytes: usize) {}
}

/// A request that was sent and what the planner knows it by, if one was wanted.
type Sent<K, T> = Result<Option<(Pending<K>, T)>, Blocked>;

/// How a planner's requests and answers look, whatever it plans.
pub(super) trait Planner: Send {
    type Ticket: Send;
    type Kind: kind::Kind;

    fn send(&mut self, machine: &mut Client, handle: &Handle) -> Sent<Self::Kind, Self::Ticket>;
    fn answer(
        &mut self,
        ticket: Self::Ticket,
        result: Result<<Self::Kind as kind::Kind>::Value, Status>,
    );
    /// Whether there is something that the owner can take, or learn.
    fn has_news(&mut self) -> bool;
    /// Whether the owner waits for room, and there is.
    fn has_room(&self) -> bool {
        false
    }
    fn is_over(&self) -> bool;
    /// As [`Job::minds_window`].
    fn minds_window(&self) -> bool {
        false
    }
    /// As [`Job::window_used_up`]; says whether that is news for the owner.
    fn window_used_up(&mut self) -> bool {
        false
    }
    /// So many bytes of files are worth having under way.
    fn worth_having(&mut self, _bytes: usize) {}
}

/// A planner under way: its requests, its owner, its failure.
pub(super) struct Running<P: Planner>(Mutex<State<P>>);

struct State<P: Planner> {
    planner: P,
    handle: Handle,
    under_way: Vec<(Pending<P::Kind>, P::Ticket)>,
    owner: Option<Waker>,
    failure: Option<SftpError>,
}

impl<P: Planner> Running<P> {
    pub(super) fn new(planner: P, handle: Handle) -> Self {
        Self(Mutex::new(State {
            planner,
            handle,
            under_way: Vec::new(),
            owner: None,
            failure: None,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State<P>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the owner look; waits when `look` says that there is nothing yet, fails once the session
    /// has.
    pub(super) fn poll<T>(
        &self,
        cx: &Context<'_>,
        look: impl FnOnce(&mut P) -> Poll<Result<T, SftpError>>,
    ) -> Poll<Result<T, SftpError>> {
        let mut state = self.lock();
        let seen = look(&mut state.planner);
        if seen.is_ready() {
            return seen;
        }
        if let Some(failure) = &state.failure {
            return Poll::Ready(Err(failure.clone()));
        }
        state.owner = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The next request, to be sent and answered over another session, with a handle of that one.
    pub(super) fn next_by(
        &self,
        machine: &mut Client,
        handle: &Handle,
    ) -> Sent<P::Kind, P::Ticket> {
        let state = &mut *self.lock();
        if state.failure.is_some() {
            return Ok(None);
        }
        let sent = state.planner.send(machine, handle)?;
        if sent.is_some() {
            state.tell_of_room();
        }
        Ok(sent)
    }

    /// The answer to a request of [`next_by`](Self::next_by), or of its own.
    pub(super) fn answered(&self, pending: Pending<P::Kind>, ticket: P::Ticket, done: Completion) {
        self.lock().answered(pending, ticket, done);
    }

    /// Lets the owner look without waiting.
    pub(super) fn look<T>(&self, look: impl FnOnce(&mut P) -> T) -> T {
        look(&mut self.lock().planner)
    }
}

impl<P: Planner> State<P> {
    /// What was just sent may leave room for more, which no answer has to come for.
    fn tell_of_room(&mut self) {
        if self.planner.has_room() {
            wake(self.owner.take());
        }
    }

    fn answered(&mut self, pending: Pending<P::Kind>, ticket: P::Ticket, done: Completion) {
        match pending.claim(done) {
            Ok(result) => self.planner.answer(ticket, result),
            Err(_) => {
                self.failure = Some(SftpError::Ended(Protocol::Unreachable(
                    "an answer changed hands",
                )));
            }
        }
        if self.planner.has_news() || self.failure.is_some() {
            wake(self.owner.take());
        }
    }
}

impl<P: Planner> Job for Running<P> {
    fn next(&self, machine: &mut Client) -> Result<Option<RequestId>, Blocked> {
        let state = &mut *self.lock();
        if state.failure.is_some() {
            return Ok(None);
        }
        let Some((pending, ticket)) = state.planner.send(machine, &state.handle)? else {
            return Ok(None);
        };
        let id = pending.id();
        state.under_way.push((pending, ticket));
        state.tell_of_room();
        Ok(Some(id))
    }

    fn complete(&self, done: Completion) {
        let state = &mut *self.lock();
        // Answers come mostly in order, so it is mostly the first.
        let Some(at) = state
            .under_way
            .iter()
            .position(|(it, _)| it.id() == done.id())
        else {
            return;
        };
        let (pending, ticket) = state.under_way.remove(at);
        state.answered(pending, ticket, done);
    }

    fn fail(&self, error: SftpError) {
        let mut state = self.lock();
        state.failure.get_or_insert(error);
        state.under_way.clear();
        wake(state.owner.take());
    }

    fn abandon(&self, machine: &mut Client) {
        for (pending, _) in self.lock().under_way.drain(..) {
            machine.abandon(pending.id());
        }
    }

    fn is_over(&self) -> bool {
        let state = self.lock();
        state.failure.is_some() || state.planner.is_over() && state.under_way.is_empty()
    }

    fn minds_window(&self) -> bool {
        self.lock().planner.minds_window()
    }

    fn window_used_up(&self) {
        let state = &mut *self.lock();
        if state.planner.window_used_up() {
            wake(state.owner.take());
        }
    }

    fn worth_having(&self, bytes: usize) {
        self.lock().planner.worth_having(bytes);
    }
}

/// What a planner found out about its transfer, as an error of a request.
pub(super) fn transfer_error(error: TransferError) -> SftpError {
    failure(error.failure)
}

fn failure(failure: Failure) -> SftpError {
    match failure {
        Failure::Status(status) => SftpError::Refused(status),
        other => SftpError::Contradiction(other.to_string()),
    }
}

/// Reads a file from some byte to its end.
pub(super) struct Reading {
    plan: Download,
    request_len: usize,
    /// What the owner lets be in flight.
    allowed: usize,
    /// What the session's way is worth.
    worth: usize,
    /// Pieces that were taken from the plan and not by the owner.
    ready: VecDeque<Bytes>,
    /// The plan asks for nothing until the owner has taken something.
    held_up: bool,
    /// The owner has taken something since.
    taken: bool,
}

impl Reading {
    pub(super) fn new(plan: DownloadPlan) -> Self {
        Self {
            plan: Download::new(plan),
            request_len: plan.request_len as usize,
            allowed: plan.max_in_flight_bytes,
            worth: usize::MAX,
            ready: VecDeque::new(),
            held_up: false,
            taken: false,
        }
    }

    /// The next piece; `None` at the end.
    pub(super) fn poll_chunk(&mut self) -> Poll<Result<Option<Bytes>, SftpError>> {
        loop {
            if let Some(chunk) = self.ready.pop_front() {
                return Poll::Ready(Ok(Some(chunk)));
            }
            if let Some(mut piece) = self.plan.poll_data() {
                while let Some(bytes) = piece.data.pop() {
                    self.ready.push_back(bytes);
                }
                self.taken = true;
                continue;
            }
            return match self.plan.finished() {
                None => Poll::Pending,
                Some(Ok(_)) => Poll::Ready(Ok(None)),
                Some(Err(error)) => Poll::Ready(Err(transfer_error(error))),
            };
        }
    }

    /// How much may be in flight at most, from now on.
    pub(super) fn set_in_flight(&mut self, bytes: usize) {
        self.allowed = bytes;
        self.plan.set_max_in_flight(self.allowed.min(self.worth));
    }

    /// Whether the driver must be woken because there is room again.
    pub(super) fn take_held_up(&mut self) -> bool {
        let room = self.held_up && self.taken;
        self.taken = false;
        self.held_up &= !room;
        room
    }
}

impl Planner for Reading {
    type Ticket = ReadAt;
    type Kind = kind::Data;

    fn send(&mut self, machine: &mut Client, handle: &Handle) -> Sent<kind::Data, ReadAt> {
        if !machine.has_room_for(self.request_len) {
            return Err(Blocked::Full);
        }
        let Some(read) = self.plan.next() else {
            self.held_up = true;
            return Ok(None);
        };
        let request = Read {
            handle: handle.as_bytes(),
            offset: read.offset,
            len: read.len,
        };
        machine.send(&request).map(|pending| Some((pending, read)))
    }

    fn answer(&mut self, ticket: ReadAt, result: Result<Data, Status>) {
        self.plan.done(ticket, result);
    }

    fn has_news(&mut self) -> bool {
        if !self.ready.is_empty() {
            return true;
        }
        if let Some(mut piece) = self.plan.poll_data() {
            while let Some(bytes) = piece.data.pop() {
                self.ready.push_back(bytes);
            }
            return true;
        }
        self.plan.finished().is_some()
    }

    fn is_over(&self) -> bool {
        self.plan.finished().is_some()
    }

    /// What is asked for beyond it does not come sooner: it would only lie here once it has come, where
    /// the disk is slower than the way.
    fn worth_having(&mut self, bytes: usize) {
        self.worth = bytes;
        self.plan.set_max_in_flight(self.allowed.min(self.worth));
    }
}

/// Writes a file from some byte on, in order.
pub(super) struct Writing {
    plan: Upload,
    write_len: usize,
    /// Where the next byte that is given goes.
    next: u64,
    /// What the owner waits for besides room.
    awaited: Awaited,
    ways: Ways,
}

/// Over how many channels an upload goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ways {
    /// The one, whatever its window.
    One,
    /// More, as soon as the window is what holds it up.
    MoreWhenHeldUp,
    /// It is held up, and the owner is to open more.
    HeldUp,
    /// As many as the owner could open: none takes more than its window has room for.
    Many,
}

/// What makes news for the owner of an upload.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Room,
    Everything,
}

impl Writing {
    pub(super) fn new(plan: UploadPlan) -> Self {
        Self {
            plan: Upload::new(plan),
            write_len: plan.write_len as usize,
            next: plan.offset,
            awaited: Awaited::Room,
            ways: Ways::One,
        }
    }

    /// The owner is told once the channel's window holds the upload up.
    pub(super) const fn mind_window(&mut self) {
        self.ways = Ways::MoreWhenHeldUp;
    }

    /// Whether the owner is to open more channels; said once.
    pub(super) fn take_held_up(&mut self) -> bool {
        let held_up = self.ways == Ways::HeldUp;
        if held_up {
            self.ways = Ways::Many;
        }
        held_up
    }

    /// How much may be in flight at most, from now on.
    pub(super) const fn set_in_flight(&mut self, bytes: usize) {
        self.plan.set_max_in_flight(bytes);
    }

    /// Where the next byte that is given goes.
    pub(super) const fn next_offset(&self) -> u64 {
        self.next
    }

    /// All bytes below it are acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        self.plan.acknowledged()
    }

    /// Takes data once there is room for it.
    pub(super) fn poll_push(&mut self, data: &mut Option<Bytes>) -> Poll<Result<(), SftpError>> {
        self.awaited = Awaited::Room;
        if let Some(Err(error)) = self.plan.finished() {
            return Poll::Ready(Err(transfer_error(error)));
        }
        if !self.plan.wants_data() {
            return Poll::Pending;
        }
        if let Some(data) = data.take() {
            self.next = self.next.saturating_add(data.len() as u64);
            self.plan.push(data);
        }
        Poll::Ready(Ok(()))
    }

    /// Waits until everything given is acknowledged.
    pub(super) fn poll_flushed(&mut self) -> Poll<Result<(), SftpError>> {
        self.awaited = Awaited::Everything;
        if let Some(Err(error)) = self.plan.finished() {
            return Poll::Ready(Err(transfer_error(error)));
        }
        if self.is_flushed() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    fn is_flushed(&self) -> bool {
        self.plan.acknowledged() == self.next
    }
}

impl Planner for Writing {
    type Ticket = WriteAt;
    type Kind = kind::Status;

    fn send(&mut self, machine: &mut Client, handle: &Handle) -> Sent<kind::Status, WriteAt> {
        if !machine.has_room_for(self.write_len) {
            return Err(Blocked::Full);
        }
        let Some((write, data)) = self.plan.next() else {
            return Ok(None);
        };
        machine
            .write(handle, write.offset, &data)
            .map(|pending| Some((pending, write)))
    }

    fn answer(&mut self, ticket: WriteAt, result: Result<(), Status>) {
        self.plan.done(ticket, result);
    }

    fn has_news(&mut self) -> bool {
        match (self.plan.finished(), self.awaited) {
            (Some(Err(_)), _) => true,
            (_, Awaited::Room) => self.plan.wants_data(),
            (_, Awaited::Everything) => self.is_flushed(),
        }
    }

    fn is_over(&self) -> bool {
        matches!(self.plan.finished(), Some(Err(_)))
    }

    fn has_room(&self) -> bool {
        self.awaited == Awaited::Room && self.plan.wants_data()
    }

    /// What waits for the window is better left in its file.
    fn minds_window(&self) -> bool {
        true
    }

    fn window_used_up(&mut self) -> bool {
        if self.ways == Ways::MoreWhenHeldUp {
            self.ways = Ways::HeldUp;
            return true;
        }
        false
    }
}

/// Reads a directory to its end.
pub(super) struct Names(Listing);

impl Names {
    pub(super) fn new(max_depth: usize) -> Self {
        Self(Listing::new(max_depth))
    }

    /// The names that have come; `None` at the end.
    pub(super) fn poll_batch(&mut self) -> Poll<Result<Option<Vec<Listed>>, SftpError>> {
        let batch: Vec<_> = std::iter::from_fn(|| self.0.poll_name()).collect();
        if !batch.is_empty() {
            return Poll::Ready(Ok(Some(batch)));
        }
        match self.0.finished() {
            None => Poll::Pending,
            Some(Ok(())) => Poll::Ready(Ok(None)),
            Some(Err(error)) => Poll::Ready(Err(failure(error))),
        }
    }
}

impl Planner for Names {
    type Ticket = NamesTicket;
    type Kind = kind::Names;

    fn send(&mut self, machine: &mut Client, handle: &Handle) -> Sent<kind::Names, NamesTicket> {
        if !machine.has_room_for(0) {
            return Err(Blocked::Full);
        }
        let Some(ticket) = self.0.next() else {
            return Ok(None);
        };
        machine
            .send(&Readdir {
                handle: handle.as_bytes(),
            })
            .map(|pending| Some((pending, ticket)))
    }

    fn answer(&mut self, ticket: NamesTicket, result: Result<Vec<Entry>, Status>) {
        self.0.done(ticket, result);
    }

    fn has_news(&mut self) -> bool {
        // Names come in large batches: each is worth a wake-up.
        true
    }

    fn is_over(&self) -> bool {
        self.0.finished().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sansftp_proto::sftp::transfer::Order;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A far server has answered nothing for a long time: what is in flight is bounded, not this.
    #[test]
    fn what_was_sent_makes_room_for_more_before_any_of_it_is_answered() {
        let mut machine = Client::default();
        let version = Bytes::from_static(&[0, 0, 0, 5, 2, 0, 0, 0, 3]);
        machine.handle_data(version).unwrap();
        let plan = UploadPlan {
            offset: 0,
            write_len: 10,
            max_in_flight_bytes: 45,
        };
        let handle = Handle::new(Bytes::from_static(b"h")).unwrap();
        let job = Running::new(Writing::new(plan), handle);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let cx = Context::from_waker(&waker);
        let push = |job: &Running<Writing>| {
            let mut data = Some(Bytes::from_static(&[7; 10]));
            job.poll(&cx, |it| it.poll_push(&mut data)).is_ready()
        };
        for round in 0..4 {
            assert!(push(&job), "{round}");
            assert!(!push(&job), "one request's worth waits already");
            assert!(job.next(&mut machine).unwrap().is_some());
            assert_eq!(woken.0.load(Ordering::SeqCst), round + 1);
        }
        assert!(push(&job));
        assert!(job.next(&mut machine).unwrap().is_none(), "its bound");
    }

    #[test]
    fn a_download_asks_for_little_more_than_the_server_may_send() {
        let mut machine = Client::default();
        let version = Bytes::from_static(&[0, 0, 0, 5, 2, 0, 0, 0, 3]);
        machine.handle_data(version).unwrap();
        let mut reading = Reading::new(DownloadPlan {
            offset: 0,
            size_hint: None,
            request_len: 10,
            max_in_flight_bytes: 1000,
            order: Order::InFile,
        });
        let handle = Handle::new(Bytes::from_static(b"h")).unwrap();
        let mut asked = |reading: &mut Reading| {
            let mut tickets = Vec::new();
            while let Some((_, ticket)) = reading.send(&mut machine, &handle).unwrap() {
                tickets.push(ticket);
            }
            tickets
        };
        let come = |reading: &mut Reading, tickets: Vec<ReadAt>| {
            for ticket in tickets {
                let data = Data::from(Bytes::from_static(&[7; 10]));
                reading.answer(ticket, Ok(data));
                while reading.poll_chunk().is_ready() {}
            }
        };
        // The owner's word, what is worth it, and the requests then: begun with four, doubled by each round.
        for (allowed, worth, expected) in [
            (1000, 60, 4),
            (1000, 60, 6),
            (1000, 150, 6),
            (1000, 150, 12),
            (50, 150, 5),
            (1000, 30, 3),
        ] {
            reading.set_in_flight(allowed);
            reading.worth_having(worth);
            let tickets = asked(&mut reading);
            assert_eq!(tickets.len(), expected, "{allowed} {worth}");
            come(&mut reading, tickets);
        }
    }
}
