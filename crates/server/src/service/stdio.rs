//! Standard input and output as one stream of bytes, whatever they are: pipes, sockets, files.
//!
//! Not a protocol. Pipes and sockets are waited for without blocking a thread; anything else is read
//! and written on threads that may block.

use rustix::fs::{FileType, fstat};
use rustix::net::{AddressFamily, sockopt};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;
use tokio::net::{TcpStream, UnixStream};

/// Both directions, and who is at the other end where that has an address.
#[derive(Debug)]
pub struct Stdio {
    input: Input,
    output: Output,
    peer: Option<SocketAddr>,
}

/// Whether standard error is free for a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandardError {
    /// It is.
    Free,
    /// It is the connection itself, as under inetd: what is written there goes to the client.
    Connection,
}

#[derive(Debug)]
enum Input {
    Pipe(pipe::Receiver),
    Unix(UnixStream),
    Tcp(TcpStream),
    Blocking(tokio::io::Stdin),
}

#[derive(Debug)]
enum Output {
    Pipe(pipe::Sender),
    Unix(UnixStream),
    Tcp(TcpStream),
    Blocking(tokio::io::Stdout),
}

impl Stdio {
    /// Takes them over. To be called once in a process, within a runtime.
    ///
    /// # Errors
    /// The system's; also when one of the two is closed.
    pub fn open() -> io::Result<Self> {
        let (stdin, stdout) = (io::stdin(), io::stdout());
        let input = match Kind::of(stdin.as_fd())? {
            // A description of our own where that can be had, because to be non-blocking is a
            // property that everyone shares who has this end of the pipe.
            Kind::Pipe => Input::Pipe(
                pipe::OpenOptions::new()
                    .open_receiver("/proc/self/fd/0")
                    .or_else(|_| {
                        pipe::Receiver::from_owned_fd(stdin.as_fd().try_clone_to_owned()?)
                    })?,
            ),
            Kind::Unix => Input::Unix(unix(stdin.as_fd())?),
            Kind::Tcp => Input::Tcp(tcp(stdin.as_fd())?),
            Kind::Other => Input::Blocking(tokio::io::stdin()),
        };
        let output = match Kind::of(stdout.as_fd())? {
            Kind::Pipe => Output::Pipe(
                pipe::OpenOptions::new()
                    .open_sender("/proc/self/fd/1")
                    .or_else(|_| {
                        pipe::Sender::from_owned_fd(stdout.as_fd().try_clone_to_owned()?)
                    })?,
            ),
            Kind::Unix => Output::Unix(unix(stdout.as_fd())?),
            Kind::Tcp => Output::Tcp(tcp(stdout.as_fd())?),
            Kind::Other => Output::Blocking(tokio::io::stdout()),
        };
        let peer = match &input {
            Input::Tcp(stream) => stream.peer_addr().ok(),
            _ => None,
        };
        Ok(Self {
            input,
            output,
            peer,
        })
    }

    /// Where the other end is, when it is at the other end of a TCP connection.
    pub const fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }
}

impl StandardError {
    /// What it is in this process.
    pub fn of_process() -> Self {
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let shared = |other: BorrowedFd<'_>| {
            let is_stream = !matches!(Kind::of(other), Ok(Kind::Other) | Err(_));
            is_stream && is_same(other, stderr.as_fd())
        };
        if shared(stdin.as_fd()) || shared(stdout.as_fd()) {
            return Self::Connection;
        }
        Self::Free
    }
}

enum Kind {
    Pipe,
    Unix,
    Tcp,
    Other,
}

impl Kind {
    fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(match FileType::from_raw_mode(fstat(fd)?.st_mode) {
            FileType::Fifo => Self::Pipe,
            FileType::Socket => match sockopt::socket_domain(fd)? {
                AddressFamily::UNIX => Self::Unix,
                AddressFamily::INET | AddressFamily::INET6 => Self::Tcp,
                _ => Self::Other,
            },
            _ => Self::Other,
        })
    }
}

fn unix(fd: BorrowedFd<'_>) -> io::Result<UnixStream> {
    let stream = StdUnixStream::from(fd.try_clone_to_owned()?);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

fn tcp(fd: BorrowedFd<'_>) -> io::Result<TcpStream> {
    let stream = std::net::TcpStream::from(fd.try_clone_to_owned()?);
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    TcpStream::from_std(stream)
}

fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    match (fstat(one), fstat(other)) {
        (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
        _ => false,
    }
}

impl AsyncRead for Stdio {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.input {
            Input::Pipe(input) => Pin::new(input).poll_read(cx, buffer),
            Input::Unix(input) => Pin::new(input).poll_read(cx, buffer),
            Input::Tcp(input) => Pin::new(input).poll_read(cx, buffer),
            Input::Blocking(input) => Pin::new(input).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stdio {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.output {
            Output::Pipe(output) => Pin::new(output).poll_write(cx, bytes),
            Output::Unix(output) => Pin::new(output).poll_write(cx, bytes),
            Output::Tcp(output) => Pin::new(output).poll_write(cx, bytes),
            Output::Blocking(output) => Pin::new(output).poll_write(cx, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.output {
            Output::Pipe(output) => Pin::new(output).poll_flush(cx),
            Output::Unix(output) => Pin::new(output).poll_flush(cx),
            Output::Tcp(output) => Pin::new(output).poll_flush(cx),
            Output::Blocking(output) => Pin::new(output).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.output {
            Output::Pipe(output) => Pin::new(output).poll_shutdown(cx),
            Output::Unix(output) => Pin::new(output).poll_shutdown(cx),
            Output::Tcp(output) => Pin::new(output).poll_shutdown(cx),
            Output::Blocking(output) => Pin::new(output).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.output {
            Output::Pipe(output) => Pin::new(output).poll_write_vectored(cx, pieces),
            Output::Unix(output) => Pin::new(output).poll_write_vectored(cx, pieces),
            Output::Tcp(output) => Pin::new(output).poll_write_vectored(cx, pieces),
            Output::Blocking(output) => Pin::new(output).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        !matches!(self.output, Output::Blocking(_))
    }
}
