//! Serves SFTP over any byte stream: standard input and output, a pipe, a channel of whatever brings
//! one. No SSH.

use super::engine::Engine;
use super::{End, FileSystem, Options};
use bytes::{Buf, Bytes, BytesMut};
use sansftp_proto::error::Error;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::runtime::Handle as Runtime;

/// Room that is made for reads: a request with all its data, so that few are split.
const READ_BLOCK: usize = 256 * 1024;
/// Below this much room a new block is begun.
const READ_LEAST: usize = 64 * 1024;
/// Blocks that are remembered, to be used again once what came in them was written.
const BLOCKS: usize = 16;
/// What is handed to one write.
const WRITE_MOST: usize = 256 * 1024;
/// Pieces that are handed to one write.
const PIECES_MOST: usize = 64;

/// Serves one session until the client ends its stream or breaks the protocol, or the stream fails.
/// When this returns, everything is closed. Dropped, it leaves that to threads of the runtime. Awaited
/// elsewhere, it does not return once the runtime that it began on is shut down.
///
/// # Panics
/// Outside a tokio runtime.
pub async fn serve<Io: AsyncRead + AsyncWrite>(
    io: Io,
    fs: Arc<dyn FileSystem>,
    options: Options,
) -> End {
    let engine = Engine::start(fs, options, &Runtime::current());
    let mut pump = Pump {
        io: pin!(io),
        engine,
        input: BytesMut::new(),
        blocks: VecDeque::new(),
        output: VecDeque::new(),
        reading: Reading::Open,
        writing: Writing::Flushed,
    };
    std::future::poll_fn(|cx| pump.poll(cx)).await
}

struct Pump<'a, Io> {
    io: Pin<&'a mut Io>,
    engine: Arc<Engine>,
    input: BytesMut,
    /// Those before it, the oldest first. Fresh memory costs more than what is read into it.
    blocks: VecDeque<BytesMut>,
    /// Bytes that the stream has not taken.
    output: VecDeque<Bytes>,
    reading: Reading,
    writing: Writing,
}

#[derive(PartialEq, Eq)]
enum Reading {
    Open,
    Ended,
}

#[derive(PartialEq, Eq)]
enum Writing {
    /// The stream has everything, and was told to pass it on.
    Flushed,
    /// The stream may keep some of it back.
    Written,
    Failed,
}

impl<Io: AsyncRead + AsyncWrite> Pump<'_, Io> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.engine.set_waker(cx.waker());
        loop {
            let mut moved = false;
            match self.write(cx) {
                Poll::Ready(Ok(written)) => moved |= written,
                Poll::Ready(Err(_)) => {
                    self.writing = Writing::Failed;
                    self.output.clear();
                    self.fail();
                }
                Poll::Pending => {}
            }
            match self.read(cx) {
                Poll::Ready(Ok(read)) => moved |= read,
                Poll::Ready(Err(_)) => self.fail(),
                Poll::Pending => {}
            }
            if let Some(mut end) = self.engine.ended()
                && self.is_over()
            {
                if self.writing == Writing::Failed {
                    // The last answers may have been on their way.
                    end.error.get_or_insert(LOST);
                }
                return Poll::Ready(end);
            }
            if !moved {
                return Poll::Pending;
            }
        }
    }

    /// Engine to stream; whether anything moved.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.writing == Writing::Failed {
            return Poll::Ready(Ok(false));
        }
        let mut waiting: usize = self.output.iter().map(Bytes::len).sum();
        while waiting < WRITE_MOST
            && self.output.len() < PIECES_MOST
            && let Some(bytes) = self.engine.poll_transmit()
        {
            waiting += bytes.len();
            self.output.push_back(bytes);
        }
        if self.output.is_empty() {
            if self.writing == Writing::Flushed {
                return Poll::Ready(Ok(false));
            }
            ready!(self.io.as_mut().poll_flush(cx))?;
            self.writing = Writing::Flushed;
            return Poll::Ready(Ok(false));
        }
        let written = if self.io.is_write_vectored() {
            let mut slices = [IoSlice::new(&[]); PIECES_MOST];
            let pieces = slices.iter_mut().zip(&self.output);
            let count = pieces.map(|(slice, it)| *slice = IoSlice::new(it)).count();
            self.io.as_mut().poll_write_vectored(cx, &slices[..count])
        } else {
            // A header and the data behind it, which would else be two writes.
            if self.output.len() > 1 {
                let mut joined = BytesMut::with_capacity(waiting);
                self.output.drain(..).for_each(|it| joined.extend(it));
                self.output.push_back(joined.freeze());
            }
            let bytes = self.output.front().map_or(&[][..], |it| it);
            self.io.as_mut().poll_write(cx, bytes)
        };
        let mut written = ready!(written)?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.writing = Writing::Written;
        while written > 0
            && let Some(front) = self.output.front_mut()
        {
            let taken = written.min(front.len());
            front.advance(taken);
            written -= taken;
            if front.is_empty() {
                self.output.pop_front();
            }
        }
        Poll::Ready(Ok(true))
    }

    /// Stream to engine; whether anything moved.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.reading == Reading::Ended || !self.engine.wants_data() {
            return Poll::Ready(Ok(false));
        }
        if self.input.capacity() < READ_LEAST {
            self.next_block();
        }
        let read = ready!(pin!(self.io.read_buf(&mut self.input)).poll(cx))?;
        if read == 0 {
            self.reading = Reading::Ended;
            self.engine.handle_eof();
        } else {
            self.engine.handle_data(self.input.split().freeze());
        }
        Poll::Ready(Ok(true))
    }

    /// Makes room to read into; nothing is in the block by now.
    fn next_block(&mut self) {
        self.blocks.push_back(mem::take(&mut self.input));
        let free = self
            .blocks
            .iter_mut()
            .position(|it| it.try_reclaim(READ_BLOCK));
        let block = free.and_then(|at| self.blocks.remove(at));
        self.input = block.unwrap_or_else(|| BytesMut::with_capacity(READ_BLOCK));
        if self.blocks.len() > BLOCKS {
            self.blocks.pop_front();
        }
    }

    fn fail(&mut self) {
        self.reading = Reading::Ended;
        self.engine.fail(LOST);
    }

    /// Whether nothing is left to write.
    fn is_over(&self) -> bool {
        self.output.is_empty() && self.writing != Writing::Written
    }
}

const LOST: Error = Error::ConnectionLost {
    stage: "the SFTP session",
};
