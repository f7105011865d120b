//! Connections onward from the server (RFC 4254 §7.2) as streams: how a client goes through a jump
//! host.
//!
//! Not the listening kind, which would let servers open connections to us.

use crate::error::{ConnectError, Lost, Stage};
use crate::sftp::Machines;
use crate::shared::{Shared, State, wake};
use bytes::{Buf, Bytes};
use sansftp_proto::connection::{ChannelId, ChannelKind, Mux, OpenFailureReason, WriteError};
use sansftp_proto::error::Error as Protocol;
use sansftp_proto::role::Client;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection onward, both ways. What is not read gives the server no credit for more.
///
/// Shutting it down ends our direction and leaves the other open. Dropped, it is closed, behind what
/// was written.
pub struct ChannelStream {
    shared: Arc<Shared<Client>>,
    id: ChannelId,
    /// What was not handed out yet of a piece.
    rest: Bytes,
}

/// A stream's channel, as the driver sees it.
pub(crate) struct Onward {
    pub(crate) id: ChannelId,
    stage: Opening,
    opener: Option<Waker>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// Whether there is a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Opening {
    Asked,
    Open,
    Refused(OpenFailureReason, String),
    /// The server has closed it. What had come before can still be read.
    Closed,
}

/// Why there is no channel: the code, and the words.
type Refusal = (OpenFailureReason, String);

impl Onward {
    pub(crate) const fn new(id: ChannelId) -> Self {
        Self {
            id,
            stage: Opening::Asked,
            opener: None,
            reader: None,
            writer: None,
        }
    }

    pub(crate) fn opened(&mut self) {
        self.become_(Opening::Open);
    }

    pub(crate) fn refused(&mut self, reason: OpenFailureReason, why: String) {
        self.become_(Opening::Refused(reason, why));
    }

    pub(crate) fn closed(&mut self) {
        self.become_(Opening::Closed);
    }

    pub(crate) fn readable(&mut self) {
        wake(self.reader.take());
    }

    pub(crate) fn writable(&mut self) {
        wake(self.writer.take());
    }

    /// The connection is gone: whoever waits looks, and is told.
    pub(crate) fn wake(&mut self) {
        wake(self.opener.take());
        wake(self.reader.take());
        wake(self.writer.take());
    }

    fn become_(&mut self, stage: Opening) {
        self.stage = stage;
        self.wake();
    }
}

impl ChannelStream {
    /// Asks the server for a connection to `host`, and waits for it. The deadline is the caller's.
    pub(crate) async fn open(
        shared: Arc<Shared<Client>>,
        host: &str,
        port: u16,
    ) -> Result<Self, ConnectError> {
        let refused = |(reason, why)| ConnectError::NotForwarded {
            host: crate::Target::new(host, port).to_string(),
            reason,
            why,
        };
        let kind = ChannelKind::DirectTcpip {
            host: Bytes::copy_from_slice(host.as_bytes()),
            port,
            // Nobody asked us: the connection is our own.
            originator: Bytes::from_static(b"127.0.0.1"),
            originator_port: 0,
        };
        let id = shared.with(|state| {
            let (mux, machines) = parts(state).map_err(lost)?;
            let id = mux.open(&kind).map_err(|_| {
                let why = "too many channels are open".to_owned();
                refused((OpenFailureReason::ResourceShortage, why))
            })?;
            machines.begin_onward(id);
            Ok(id)
        })?;
        let stream = Self {
            shared,
            id,
            rest: Bytes::new(),
        };
        poll_fn(|cx| stream.poll_opened(cx))
            .await
            .map_err(lost)?
            .map_err(refused)?;
        Ok(stream)
    }

    fn poll_opened(&self, cx: &Context<'_>) -> Poll<Result<Result<(), Refusal>, Lost>> {
        let mut state = self.shared.lock();
        let (_, machines) = parts(&mut state)?;
        let Some(channel) = machines.onward(self.id) else {
            let why = "it closed the channel at once".to_owned();
            return Poll::Ready(Ok(Err((OpenFailureReason::ConnectFailed, why))));
        };
        match channel.stage.clone() {
            Opening::Asked => {
                channel.opener = Some(cx.waker().clone());
                Poll::Pending
            }
            Opening::Refused(reason, why) => Poll::Ready(Ok(Err((reason, why)))),
            Opening::Open | Opening::Closed => Poll::Ready(Ok(Ok(()))),
        }
    }

    fn poll_piece(&self, cx: &Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let mut state = self.shared.lock();
        let (mux, machines) = parts(&mut state).map_err(gone)?;
        if let Some(piece) = mux.read(self.id) {
            // What was read is credit that the server is to be told of.
            Shared::done(state);
            return Poll::Ready(Ok(Some(piece)));
        }
        let channel = machines.onward(self.id);
        let is_closed = channel
            .as_ref()
            .is_none_or(|it| it.stage == Opening::Closed);
        if is_closed || mux.at_eof(self.id) {
            return Poll::Ready(Ok(None));
        }
        if let Some(channel) = channel {
            channel.reader = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

fn lost(lost: Lost) -> ConnectError {
    ConnectError::Lost {
        stage: Stage::Onward,
        lost,
    }
}

fn gone(lost: Lost) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, lost)
}

/// The parts of the state that streams work on; how the connection ended, once it has.
fn parts(state: &mut State<Client>) -> Result<(&mut Mux<Client>, &mut Machines), Lost> {
    let error = state.conn.error().cloned();
    let State {
        conn,
        machines,
        ended,
        ..
    } = state;
    match (conn.mux(), ended) {
        (Some(mux), None) => Ok((mux, machines)),
        (_, Some(lost)) => Err(lost.clone()),
        (None, None) => {
            let early = Protocol::ApiMisuse("a channel before authentication");
            let protocol = error.unwrap_or(early);
            Err(Lost { protocol, io: None })
        }
    }
}

impl AsyncRead for ChannelStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rest.is_empty() {
            match ready!(self.poll_piece(cx))? {
                Some(piece) => self.rest = piece,
                None => return Poll::Ready(Ok(())),
            }
        }
        let here = self.rest.len().min(buf.remaining());
        buf.put_slice(self.rest.get(..here).unwrap_or_default());
        self.rest.advance(here);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ChannelStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.shared.lock();
        let (mux, machines) = parts(&mut state).map_err(gone)?;
        let is_open = |it: &Onward| it.stage == Opening::Open;
        if !machines.onward(self.id).is_some_and(|it| is_open(it)) {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if buf.is_empty() {
            // Needs no room: waiting for some could be for ever.
            return Poll::Ready(Ok(0));
        }
        let room = mux.room(self.id).min(buf.len());
        // No room: the empty write asks to be told of some, or learns that there will be none.
        let piece = Bytes::copy_from_slice(buf.get(..room).unwrap_or_default());
        match mux.write(self.id, piece) {
            Ok(()) => {
                Shared::done(state);
                Poll::Ready(Ok(room))
            }
            Err(WriteError::Blocked(_)) => {
                if let Some(channel) = machines.onward(self.id) {
                    channel.writer = Some(cx.waker().clone());
                }
                Poll::Pending
            }
            Err(_) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// What was written leaves by itself.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.with(|state| {
            if let Some(mux) = state.conn.mux() {
                mux.finish(self.id);
            }
        });
        Poll::Ready(Ok(()))
    }
}

impl Drop for ChannelStream {
    fn drop(&mut self) {
        self.shared.with(|state| {
            let was_refused = state
                .machines
                .end_onward(self.id)
                .is_some_and(|it| matches!(it.stage, Opening::Refused(..)));
            // The id of a channel that was refused is void.
            if let Some(mux) = state.conn.mux().filter(|_| !was_refused) {
                mux.finish(self.id);
                mux.close(self.id);
            }
        });
    }
}

impl fmt::Debug for ChannelStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChannelStream").field(&self.id).finish()
    }
}
