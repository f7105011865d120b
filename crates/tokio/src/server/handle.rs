//! One channel as its handles see it: polled under the connection's lock, closed with the last of
//! them.

use super::channels::Channels;
use crate::error::Lost;
use crate::sftp::server::{End, Engine};
use crate::shared::{Shared, State};
use bytes::Bytes;
use sansftp_proto::connection::{Answer, ChannelId, Mux, ToClient, ToServer, WriteError};
use sansftp_proto::role::Server;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

/// What handles of a channel share.
pub(super) struct Handle {
    shared: Arc<Shared<Server>>,
    id: ChannelId,
}

/// Which of the two streams to the client is meant (RFC 4254 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    Standard,
    Error,
}

impl Handle {
    /// Of a channel that was just accepted.
    pub(super) const fn new(shared: Arc<Shared<Server>>, id: ChannelId) -> Self {
        Self { shared, id }
    }

    /// The next request; `None` when there will be none.
    pub(super) fn poll_request(
        &self,
        cx: &Context<'_>,
    ) -> Poll<Option<(ToServer, Option<Answer>)>> {
        let mut state = self.shared.lock();
        if state.machines.lost().is_some() {
            return Poll::Ready(None);
        }
        match state.machines.get(self.id) {
            Some(channel) => channel.poll_request(cx),
            None => Poll::Ready(None),
        }
    }

    /// Answers a request.
    pub(super) fn answer(&self, answer: Answer, accepted: bool) {
        self.shared.with(|state| {
            if let Some(mux) = state.conn.mux() {
                mux.answer(answer, accepted);
            }
        });
    }

    /// The next piece of data; `None` at its end.
    pub(super) fn poll_read(&self, cx: &Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let mut state = self.shared.lock();
        let (mux, channels) = parts(&mut state)?;
        if let Some(piece) = mux.read(self.id) {
            Shared::done(state);
            return Poll::Ready(Ok(Some(piece)));
        }
        if mux.at_eof(self.id) {
            return Poll::Ready(Ok(None));
        }
        if let Some(channel) = channels.get(self.id) {
            channel.readers.add(cx);
        }
        Poll::Pending
    }

    /// Writes as soon as there is room: what `piece` makes for so many bytes. How many bytes that
    /// were.
    pub(super) fn poll_write(
        &self,
        output: Output,
        cx: &Context<'_>,
        piece: impl FnOnce(usize) -> Bytes,
    ) -> Poll<io::Result<usize>> {
        let mut state = self.shared.lock();
        let (mux, channels) = parts(&mut state)?;
        if !channels.get(self.id).is_some_and(|it| it.is_open()) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = mux.room(self.id);
        // No room: the empty write asks to be told of some, or learns that there will be none.
        let piece = if room == 0 { Bytes::new() } else { piece(room) };
        let length = piece.len();
        let written = match output {
            Output::Standard => mux.write(self.id, piece),
            Output::Error => mux.write_extended(self.id, piece),
        };
        match written {
            Ok(()) => {
                Shared::done(state);
                Poll::Ready(Ok(length))
            }
            Err(WriteError::Blocked(_)) => {
                if let Some(channel) = channels.get(self.id) {
                    channel.writers.add(cx);
                }
                Poll::Pending
            }
            Err(_) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Waits until the channel is not open any more.
    pub(super) fn poll_closed(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.shared.lock();
        match parts(&mut state) {
            Ok((_, channels)) => match channels.get(self.id) {
                Some(channel) => channel.poll_closed(cx),
                None => Poll::Ready(()),
            },
            Err(_) => Poll::Ready(()),
        }
    }

    /// No more data follows.
    pub(super) fn finish(&self) {
        self.shared.with(|state| {
            if let Some(mux) = state.conn.mux() {
                mux.finish(self.id);
            }
        });
    }

    /// Says how the program ended, once its output has left.
    pub(super) fn farewell(&self, farewell: ToClient) {
        self.shared.with(|state| {
            if let Some(channel) = state.machines.get(self.id) {
                channel.set_farewell(farewell);
            }
        });
    }

    /// Lets a session of SFTP have the channel's data.
    pub(super) fn serve(&self, engine: &Arc<Engine>) {
        self.shared.with(|state| {
            let State { conn, machines, .. } = state;
            match conn.mux().zip(machines.get(self.id)) {
                Some((mux, channel)) => channel.serve(mux, Arc::clone(engine)),
                None => engine.abort(),
            }
        });
    }

    /// How the session of SFTP ended.
    pub(super) fn poll_end(&self, engine: &Engine, cx: &Context<'_>) -> Poll<End> {
        let mut state = self.shared.lock();
        let is_served = state.machines.lost().is_none()
            && state
                .machines
                .get(self.id)
                .is_some_and(|it| it.wait_for_end(cx).is_some());
        if !is_served {
            // No driver has a use for its waker any more.
            engine.set_waker(cx.waker());
        }
        engine.ended().map_or(Poll::Pending, Poll::Ready)
    }

    /// Closes the channel, behind what was written.
    pub(super) fn leave(&self) {
        self.shared.with(|state| {
            let State { conn, machines, .. } = state;
            machines.leave(conn.mux(), self.id);
        });
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.id).finish()
    }
}

/// The two parts of the state that handles work on; how the connection ended, once it has.
fn parts(state: &mut State<Server>) -> io::Result<(&mut Mux<Server>, &mut Channels)> {
    let State { conn, machines, .. } = state;
    match (conn.mux(), machines.lost()) {
        (Some(mux), None) => Ok((mux, machines)),
        (_, lost) => Err(gone(lost)),
    }
}

fn gone(lost: Option<&Lost>) -> io::Error {
    match lost {
        Some(lost) => io::Error::new(io::ErrorKind::ConnectionAborted, lost.clone()),
        None => io::ErrorKind::ConnectionAborted.into(),
    }
}
