//! The data of a channel as streams, uncopied where the reader takes pieces.

use super::handle::{Handle, Output};
use bytes::{Buf, Bytes};
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The data of a channel, both ways. What is not read gives the client no credit for more; what the
/// client does not read makes writes wait, from [`Limits::send_queue`] on.
///
/// Shutting it down ends our direction (RFC 4254 §5.3) and leaves the other open. The channel is
/// closed when the last that belongs to it is dropped; what was written leaves before.
///
/// [`Limits::send_queue`]: sansftp_proto::limits::Limits::send_queue
#[derive(Debug)]
pub struct ChannelStream {
    handle: Arc<Handle>,
    /// What [`AsyncRead`] has not handed out yet of a piece.
    rest: Bytes,
}

impl ChannelStream {
    pub(super) const fn new(handle: Arc<Handle>) -> Self {
        Self {
            handle,
            rest: Bytes::new(),
        }
    }

    /// The next piece as it came; `None` when the client has finished.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionAborted`] with [`Lost`](crate::Lost) in it.
    pub async fn chunk(&mut self) -> io::Result<Option<Bytes>> {
        if !self.rest.is_empty() {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        poll_fn(|cx| self.handle.poll_read(cx)).await
    }

    /// Queues data, of any length, as soon as there is room for any.
    ///
    /// # Errors
    /// [`io::ErrorKind::BrokenPipe`] when the channel takes none any more;
    /// [`io::ErrorKind::ConnectionAborted`] with [`Lost`](crate::Lost) in it.
    pub async fn send(&self, data: Bytes) -> io::Result<()> {
        send(&self.handle, Output::Standard, data).await
    }

    /// Completes when the channel is not open any more: the client has closed it, or it was closed
    /// here, or the connection has ended. Until it is dropped it keeps the channel as a stream does.
    ///
    /// For whoever neither reads nor writes: a client that has ended its own direction and then goes
    /// away is noticed by nothing else.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        let handle = Arc::clone(&self.handle);
        async move { poll_fn(|cx| handle.poll_closed(cx)).await }
    }

    /// Ends our direction, behind what was written: as shutting down.
    pub fn finish(&self) {
        self.handle.finish();
    }
}

impl AsyncRead for ChannelStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.rest.is_empty() {
            match ready!(self.handle.poll_read(cx))? {
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
        write(&self.handle, Output::Standard, cx, buf)
    }

    /// What was written leaves by itself.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.handle.finish();
        Poll::Ready(Ok(()))
    }
}

/// What a program writes to its standard error (RFC 4254 §5.2). Shares queue and window with
/// [`ChannelStream`], and ends with it.
#[derive(Debug)]
pub struct Stderr(Arc<Handle>);

impl Stderr {
    pub(super) const fn new(handle: Arc<Handle>) -> Self {
        Self(handle)
    }

    /// Queues data, of any length, as soon as there is room for any.
    ///
    /// # Errors
    /// As [`ChannelStream::send`].
    pub async fn send(&self, data: Bytes) -> io::Result<()> {
        send(&self.0, Output::Error, data).await
    }
}

impl AsyncWrite for Stderr {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        write(&self.0, Output::Error, cx, buf)
    }

    /// What was written leaves by itself.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// There is no end of standard error alone: it ends with the channel's data.
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

async fn send(handle: &Handle, output: Output, data: Bytes) -> io::Result<()> {
    if data.is_empty() {
        return Ok(());
    }
    poll_fn(|cx| handle.poll_write(output, cx, |_| data.clone())).await?;
    Ok(())
}

fn write(handle: &Handle, output: Output, cx: &Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
    if buf.is_empty() {
        return Poll::Ready(Ok(0));
    }
    handle.poll_write(output, cx, |room| {
        Bytes::copy_from_slice(buf.get(..room).unwrap_or(buf))
    })
}
