//! What a scripted peer is opposite to: the core itself, or whatever is at the other end of a socket.

use bytes::BytesMut;
use sansftp_proto::role::Role;
use sansftp_proto::session::Connection;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// Takes bytes and gives bytes.
pub trait End {
    /// Takes what it will of `input`, and adds what it has to say to `output`.
    fn turn(&mut self, now: Instant, input: &mut BytesMut, output: &mut BytesMut);

    /// Waits until it says something more, which is added to `output`. False if it does not, or not for some time.
    fn says_more(&mut self, output: &mut BytesMut) -> bool;

    /// Is told that nothing more will come.
    fn hang_up(&mut self, now: Instant);

    /// What it knows of its own end, for a failed test to show.
    fn complaint(&self) -> String;
}

/// The core says what it has to say in its turn.
impl<R: Role> End for Connection<R> {
    fn turn(&mut self, now: Instant, input: &mut BytesMut, output: &mut BytesMut) {
        // What comes of it is seen in what it says, and in its error.
        let _ = self.handle_input(now, input);
        let out = self.transmit(now, usize::MAX);
        output.extend_from_slice(out);
        out.clear();
    }

    fn says_more(&mut self, _: &mut BytesMut) -> bool {
        false
    }

    fn hang_up(&mut self, now: Instant) {
        let _ = self.handle_eof(now);
    }

    fn complaint(&self) -> String {
        format!("{:?}", self.error())
    }
}

/// An end behind a socket, in another thread of this process.
#[derive(Debug)]
pub struct Wire {
    stream: UnixStream,
    patience: Duration,
    ended: bool,
}

impl Wire {
    /// Takes silence of `patience` for the last word. Long enough for the slowest answer that is waited for; a test that
    /// expects silence lasts as long.
    ///
    /// # Panics
    /// If the socket takes no timeout.
    pub fn new(stream: UnixStream, patience: Duration) -> Self {
        stream
            .set_read_timeout(Some(patience))
            .expect("a socket takes any timeout but zero");
        // An end that reads no more is to fail its test, not to hang it.
        stream
            .set_write_timeout(Some(Duration::from_secs(20)))
            .expect("a socket takes any timeout but zero");
        Self {
            stream,
            patience,
            ended: false,
        }
    }

    /// Whether the other end has hung up.
    pub const fn ended(&self) -> bool {
        self.ended
    }

    /// Waits until it does; what it says before is passed over.
    ///
    /// # Panics
    /// If it does not within `within`.
    #[track_caller]
    pub fn sees_the_end(&mut self, within: Duration) {
        let until = Instant::now() + within;
        let mut passed = BytesMut::new();
        while !self.ended {
            assert!(
                Instant::now() < until,
                "it has not hung up within {within:?}"
            );
            self.says_more(&mut passed);
        }
    }
}

impl End for Wire {
    fn turn(&mut self, _: Instant, input: &mut BytesMut, _: &mut BytesMut) {
        // One that hangs up reads no more, which is seen in what it says.
        let _ = self.stream.write_all(input);
        input.clear();
    }

    fn says_more(&mut self, output: &mut BytesMut) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(len) => {
                output.extend_from_slice(&buffer[..len]);
                return true;
            }
            Err(error) => {
                let waited = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                self.ended = !waited;
            }
        }
        false
    }

    fn hang_up(&mut self, _: Instant) {
        // An error means that the other end was first.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    fn complaint(&self) -> String {
        if self.ended {
            return "it has hung up".to_owned();
        }
        format!("it was silent for {:?}", self.patience)
    }
}
