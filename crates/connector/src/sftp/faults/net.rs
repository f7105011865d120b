//! A network in memory that knows where packets begin, and harms one of them.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sansftp_testkit::null;
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream,
};

/// Which way a packet travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    ToServer,
    ToClient,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Harm {
    /// The connection ends before it.
    Cut,
    /// The connection ends in its middle.
    Half,
    /// Neither it nor anything behind it arrives; the other direction goes on.
    Stall,
    /// Neither it nor anything else arrives, in either direction; nobody is told.
    Silence,
    /// One bit of it arrives inverted.
    Flip,
}

pub(super) const HARMS: [Harm; 5] = [
    Harm::Cut,
    Harm::Half,
    Harm::Stall,
    Harm::Silence,
    Harm::Flip,
];

/// The packet that is harmed: its number in its direction, over all connections of a run. Identification lines count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strike {
    pub(super) direction: Direction,
    pub(super) at: usize,
    pub(super) harm: Harm,
}

/// Looks whether all is as it must be at any moment.
pub(super) type Look = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// The network of one run.
#[derive(Clone)]
pub(super) struct Net(Arc<Inner>);

struct Inner {
    strike: Option<Strike>,
    passed: [AtomicUsize; 2],
    struck: AtomicBool,
    look: Look,
    looks: AtomicUsize,
    /// The first that a look found amiss.
    amiss: Mutex<Option<String>>,
}

impl Net {
    pub(super) fn new(strike: Option<Strike>, look: Look) -> Self {
        Self(Arc::new(Inner {
            strike,
            passed: Default::default(),
            struck: AtomicBool::new(false),
            look,
            looks: AtomicUsize::new(0),
            amiss: Mutex::default(),
        }))
    }

    /// The client's and the server's end of a new connection.
    pub(super) fn connect(&self) -> (DuplexStream, DuplexStream) {
        let (client, near) = tokio::io::duplex(64 * 1024);
        let (far, server) = tokio::io::duplex(64 * 1024);
        tokio::spawn(self.clone().relay(near, far));
        (client, server)
    }

    /// Whether the packet came that was to be harmed.
    pub(super) fn has_struck(&self) -> bool {
        self.0.struck.load(Ordering::SeqCst)
    }

    /// How many packets set out in that direction.
    pub(super) fn passed(&self, direction: Direction) -> usize {
        self.0.passed[direction as usize].load(Ordering::SeqCst)
    }

    /// How many packets set out.
    pub(super) fn traffic(&self) -> usize {
        self.passed(Direction::ToServer) + self.passed(Direction::ToClient)
    }

    /// Looks once more, and says how often it was looked.
    ///
    /// # Errors
    /// What the first look found that did not find all well.
    pub(super) fn looked(&self) -> Result<usize, String> {
        self.look();
        let mut amiss = self.0.amiss.lock().unwrap_or_else(PoisonError::into_inner);
        match amiss.take() {
            Some(amiss) => Err(amiss),
            None => Ok(self.0.looks.load(Ordering::SeqCst)),
        }
    }

    fn look(&self) {
        self.0.looks.fetch_add(1, Ordering::SeqCst);
        if let Err(found) = (self.0.look)() {
            let mut amiss = self.0.amiss.lock().unwrap_or_else(PoisonError::into_inner);
            amiss.get_or_insert(found);
        }
    }

    async fn relay(self, near: DuplexStream, far: DuplexStream) {
        let (from_client, to_client) = tokio::io::split(near);
        let (from_server, to_server) = tokio::io::split(far);
        let silent = AtomicBool::new(false);
        let up = self.lane(Direction::ToServer, from_client, to_server, &silent);
        let down = self.lane(Direction::ToClient, from_server, to_client, &silent);
        // Whatever breaks one direction drops both.
        let _ = tokio::try_join!(up, down);
    }

    /// Hands packets on until the sender is done.
    ///
    /// # Errors
    /// The connection is at its end.
    async fn lane(
        &self,
        direction: Direction,
        from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
        silent: &AtomicBool,
    ) -> io::Result<()> {
        let mut packets = Packets::new(from);
        while let Some(mut packet) = packets.next().await? {
            self.look();
            let number = self.0.passed[direction as usize].fetch_add(1, Ordering::SeqCst);
            let strike = self
                .0
                .strike
                .filter(|it| (it.direction, it.at) == (direction, number));
            if let Some(Strike { harm, .. }) = strike {
                self.0.struck.store(true, Ordering::SeqCst);
                match harm {
                    Harm::Cut => return Err(io::ErrorKind::ConnectionReset.into()),
                    Harm::Half => {
                        to.write_all(&packet[..packet.len() / 2]).await?;
                        return Err(io::ErrorKind::ConnectionReset.into());
                    }
                    Harm::Stall => std::future::pending().await,
                    Harm::Silence => silent.store(true, Ordering::SeqCst),
                    // Another byte in each packet, the length and the tag included.
                    Harm::Flip => {
                        let place = (number * 7919 + 5) % packet.len();
                        packet[place] ^= 1 << (number % 8);
                    }
                }
            }
            if silent.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            to.write_all(&packet).await?;
        }
        if silent.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        to.shutdown().await
    }
}

/// Takes a stream apart whose cipher leaves the lengths in clear.
struct Packets<R> {
    from: BufReader<R>,
    state: State,
}

enum State {
    Ident,
    Clear,
    Sealed,
}

/// SSH_MSG_NEWKEYS
const NEWKEYS: u8 = 21;

impl<R: AsyncRead + Unpin> Packets<R> {
    fn new(from: R) -> Self {
        Self {
            from: BufReader::new(from),
            state: State::Ident,
        }
    }

    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut packet = Vec::new();
        if let State::Ident = self.state {
            self.from.read_until(b'\n', &mut packet).await?;
            self.state = State::Clear;
            return Ok((!packet.is_empty()).then_some(packet));
        }
        let mut length = [0; 4];
        if self.from.read(&mut length[..1]).await? == 0 {
            return Ok(None);
        }
        self.from.read_exact(&mut length[1..]).await?;
        let tag = match self.state {
            State::Sealed => null::WIDTH,
            State::Ident | State::Clear => 0,
        };
        let rest = u32::from_be_bytes(length) as usize + tag;
        packet.extend_from_slice(&length);
        packet.resize(4 + rest, 0);
        self.from.read_exact(&mut packet[4..]).await?;
        if matches!(self.state, State::Clear) && packet.get(5) == Some(&NEWKEYS) {
            self.state = State::Sealed;
        }
        Ok(Some(packet))
    }
}
