//! The one future per connection: moves bytes, time and wake-ups. Decides nothing.

use crate::deadline;
use crate::shared::{Driven, Shared};
use bytes::{Buf, BufMut, BytesMut};
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::Sleep;

/// Room that is made for reads from the socket at most: many of the packets that servers send, so that
/// few are split between two buffers and moved; little enough that a piece that is kept does not pin
/// much. It is reached as the peer fills smaller ones.
const READ_BLOCK: usize = 256 * 1024;
/// Room that is made at first: most connections of a server never need more.
const READ_FIRST: usize = 8 * 1024;
/// Below this part of a block in room a new one is begun.
const READ_LEAST: usize = 4;
/// Bytes that are read ahead of what may be acted on, to notice a peer that hangs up meanwhile.
const READ_AHEAD: usize = 1024;
/// After this long without a byte either way buffers are given back.
const IDLE: Duration = Duration::from_secs(1);
/// What is sealed ahead of the socket: enough for one large write, little enough that a window
/// adjust or a key exchange never waits long behind it.
const WRITE_ROOM: usize = 256 * 1024;
/// Rounds per poll before other tasks get their turn.
const ROUNDS: usize = 16;
/// How long the last words may take to leave.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Drives one connection over one transport. Completes when the connection has ended and what it
/// had to say is sent, or cannot be.
pub(crate) struct Driver<R: Driven, Io> {
    shared: Arc<Shared<R>>,
    io: Io,
    input: BytesMut,
    /// Room that the next read makes.
    block: usize,
    /// Sealed bytes on their way to the socket: swapped with the connection's own buffer, so that
    /// the lock is not held while the socket is written.
    output: BytesMut,
    /// Whether there are requests in `output`.
    carries: Carries,
    receiving: Half,
    sending: Half,
    /// Set when nothing can be sent any more: what the peer had to say has come by then, or will not.
    heard_by: Option<Instant>,
    sleep: Pin<Box<Sleep>>,
    /// When it is looked whether the buffers were of use since the last time; `None` while there are
    /// none.
    idle_at: Option<Instant>,
    used: Used,
    /// When the connection ended: what is left to send has until shortly after.
    ended: Option<Instant>,
}

/// Whether a direction of the socket is still of use.
#[derive(PartialEq, Eq)]
enum Half {
    Open,
    Ended,
}

/// Whether buffers were of use lately.
#[derive(PartialEq, Eq)]
enum Used {
    Yes,
    No,
}

/// What is on its way to the socket.
#[derive(PartialEq, Eq)]
enum Carries {
    /// Requests, or parts of them.
    Requests,
    /// Signs of life, window adjustments, key exchange.
    Other,
}

impl<R: Driven, Io: AsyncRead + AsyncWrite + Unpin> Driver<R, Io> {
    pub(crate) fn new(shared: Arc<Shared<R>>, io: Io) -> Self {
        Self {
            shared,
            io,
            input: BytesMut::new(),
            block: READ_FIRST,
            output: BytesMut::new(),
            carries: Carries::Other,
            receiving: Half::Open,
            sending: Half::Open,
            heard_by: None,
            sleep: Box::pin(tokio::time::sleep(LAST_WORDS)),
            idle_at: None,
            used: Used::No,
            ended: None,
        }
    }

    /// Socket to machine. Bytes that the machine does not want yet stay in `input`, and then nothing
    /// more is read: that is the back-pressure.
    fn receive(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let mut moved = false;
        {
            let mut state = self.shared.lock();
            if !self.input.is_empty() && state.conn.wants_input() {
                let before = self.input.len();
                // The error is sticky and comes back as an event.
                let _ = state.conn.handle_input(now, &mut self.input);
                moved |= self.input.len() != before;
            }
            if self.receiving == Half::Ended {
                return moved;
            }
            if !state.conn.wants_input() {
                drop(state);
                return moved | self.look_ahead(cx, now);
            }
        }
        if self.input.capacity() - self.input.len() < self.block / READ_LEAST {
            self.input.reserve(self.block);
        }
        let room = self.input.capacity() - self.input.len();
        let outcome = match pin!(self.io.read_buf(&mut self.input)).poll(cx) {
            Poll::Pending => return moved,
            Poll::Ready(outcome) => outcome,
        };
        if matches!(outcome, Ok(read) if read == room) {
            self.block = READ_BLOCK.min(self.block.saturating_mul(READ_LEAST));
        }
        self.used = Used::Yes;
        self.take_in(outcome, now);
        true
    }

    /// While nothing may be acted on, only a peer that hangs up is of interest: a little is read so that
    /// this is noticed, and kept.
    fn look_ahead(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if !self.input.is_empty() {
            return false;
        }
        self.input.reserve(READ_AHEAD);
        let mut ahead = (&mut self.input).limit(READ_AHEAD);
        match pin!(self.io.read_buf(&mut ahead)).poll(cx) {
            Poll::Pending => false,
            // It stays in `input`, and more is read only when that was acted on.
            Poll::Ready(Ok(read)) if read > 0 => {
                self.used = Used::Yes;
                true
            }
            Poll::Ready(outcome) => {
                self.take_in(outcome, now);
                true
            }
        }
    }

    /// What came of a read.
    fn take_in(&mut self, outcome: io::Result<usize>, now: Instant) {
        let mut state = self.shared.lock();
        let _ = match outcome {
            Ok(0) => {
                self.receiving = Half::Ended;
                state.conn.handle_eof(now)
            }
            Ok(_) => state.conn.handle_input(now, &mut self.input),
            Err(error) => {
                self.receiving = Half::Ended;
                state.io_error.get_or_insert_with(|| Arc::new(error));
                state.conn.handle_eof(now)
            }
        };
    }

    /// Machine to socket.
    fn send(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        if self.sending == Half::Ended {
            return false;
        }
        if self.output.is_empty() {
            let mut state = self.shared.lock();
            let queued = state.queued();
            let sealed = state.conn.transmit(now, WRITE_ROOM);
            if sealed.is_empty() {
                return false;
            }
            std::mem::swap(sealed, &mut self.output);
            self.used = Used::Yes;
            self.carries = if state.queued() < queued {
                Carries::Requests
            } else {
                Carries::Other
            };
        }
        let outcome = match Pin::new(&mut self.io).poll_write(cx, &self.output) {
            Poll::Pending => return false,
            Poll::Ready(Ok(0)) => Err(io::ErrorKind::WriteZero.into()),
            Poll::Ready(outcome) => outcome,
        };
        match outcome {
            Ok(written) => {
                self.output.advance(written);
                if self.carries == Carries::Requests {
                    self.shared.lock().progress = now;
                }
            }
            // What the peer said before it went away is still to be read, and its end is mostly found
            // there; the error is kept for the message.
            Err(error) => {
                self.sending = Half::Ended;
                self.heard_by = Some(now + LAST_WORDS);
                let mut state = self.shared.lock();
                state.io_error.get_or_insert_with(|| Arc::new(error));
                if self.receiving == Half::Ended {
                    let _ = state.conn.handle_eof(now);
                }
            }
        }
        true
    }

    /// Gives buffers back that are empty and were of no use for a while: most connections of a server
    /// are idle most of the time.
    fn give_back(&mut self, now: Instant) {
        if self.idle_at.is_some_and(|at| at > now) {
            return;
        }
        if std::mem::replace(&mut self.used, Used::No) == Used::Yes {
            self.idle_at = now.checked_add(IDLE);
            return;
        }
        self.idle_at = None;
        self.block = READ_FIRST;
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        if self.output.is_empty() {
            self.output = BytesMut::new();
        }
        let mut state = self.shared.lock();
        let sealed = state.conn.transmit(now, 0);
        if sealed.is_empty() {
            *sealed = BytesMut::new();
        }
    }

    /// Clock to machine; arms the timer for the next time.
    fn tick(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let due = {
            let mut state = self.shared.lock();
            if self.heard_by.take_if(|at| *at <= now).is_some() {
                self.receiving = Half::Ended;
                let _ = state.conn.handle_eof(now);
                return true;
            }
            let due = state.conn.poll_timeout();
            if due.is_some_and(|at| at <= now) {
                let _ = state.conn.handle_timeout(now);
                return true;
            }
            let due = due
                .into_iter()
                .chain(self.heard_by)
                .chain(self.idle_at)
                .min();
            due.or_else(|| self.ended.map(|at| at + LAST_WORDS))
        };
        let Some(at) = due else { return false };
        if self.sleep.deadline().into_std() != at {
            self.sleep.as_mut().reset(at.into());
        }
        self.sleep.as_mut().poll(cx).is_ready()
    }

    /// Whether there is nothing left to do for anyone.
    fn is_done(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let silent = {
            let mut state = self.shared.lock();
            if state.ended.is_none() {
                return false;
            }
            self.output.is_empty() && state.conn.transmit(now, 1).is_empty()
        };
        let ended = *self.ended.get_or_insert(now);
        if self.sending == Half::Ended || now >= ended + LAST_WORDS {
            return true;
        }
        silent && Pin::new(&mut self.io).poll_shutdown(cx).is_ready()
    }
}

impl<R: Driven, Io: AsyncRead + AsyncWrite + Unpin> Future for Driver<R, Io> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.shared.lock().park(cx);
        for _ in 0..ROUNDS {
            let now = deadline::now();
            let mut moved = this.receive(cx, now);
            moved |= this.shared.lock().work(now);
            moved |= this.send(cx, now);
            this.give_back(now);
            moved |= this.tick(cx, now);
            if this.is_done(cx, now) {
                return Poll::Ready(());
            }
            if !moved {
                let _ = Pin::new(&mut this.io).poll_flush(cx);
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<R: Driven, Io> Drop for Driver<R, Io> {
    /// A runtime may end, or a poll panic, before the connection has ended: nobody may wait for a
    /// driver that is gone.
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.conn.disconnect();
        state.work(deadline::now());
    }
}
