//! A TCP proxy on loopback that does one exact harm to a connection: cut, close, stall, flip, inject, duplicate, delay or
//! fragment, at byte N of one direction. Not a model of a network: what is not harmed passes at once and in order.
//!
//! Offsets count the bytes that came from the sender, from 0, for each connection anew.

mod lane;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;

use crate::seeds::Rng;
use lane::{Lane, Verdict};

/// Which way the harmed bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the end that connected to the proxy.
    ToServer,
    /// From the end that the proxy connects to.
    ToClient,
}

/// What happens when byte N of a direction is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Both connections are reset, once the N bytes before it have been handed on.
    Reset,
    /// Both connections are closed properly, once the N bytes before it have been handed on.
    Close,
    /// Byte N and what follows it are never handed on, nor read; the other direction goes on.
    Stall,
    /// Bit 0 of byte N is inverted.
    Flip,
    /// These bytes are put in before byte N.
    Inject(Vec<u8>),
    /// Byte N and those that follow it, this many in all, are sent twice in a row.
    Duplicate(usize),
    /// Byte N and what follows it are each held for this long.
    Delay(Duration),
    /// Byte N and what follows it go out in writes of at most this many bytes, each a segment of its own. At least 1.
    Fragment(usize),
}

/// The harm to be done: any number of faults, each at its own place.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    faults: Vec<(Direction, u64, Fault)>,
    only: Option<u64>,
    /// A seed, and the farthest byte.
    random: Option<(u64, u64)>,
}

impl Plan {
    /// No harm: everything passes.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// One fault.
    #[must_use]
    pub fn one(direction: Direction, at: u64, fault: Fault) -> Self {
        Self::none().and(direction, at, fault)
    }

    /// Three of four connections are reset, closed, stalled or have a bit flipped, in one direction, at one of the first
    /// `most` bytes. What, where and when is made from the seed and the number of the connection. `most` is not 0.
    #[must_use]
    pub fn random(seed: u64, most: u64) -> Self {
        Self {
            random: Some((seed, most)),
            ..Self::default()
        }
    }

    /// One fault more.
    #[must_use]
    pub fn and(mut self, direction: Direction, at: u64, fault: Fault) -> Self {
        self.faults.push((direction, at, fault));
        self
    }

    /// Harms only the connection of this number, counted from 0, and lets the others pass.
    #[must_use]
    pub fn only(mut self, connection: u64) -> Self {
        self.only = Some(connection);
        self
    }

    fn lane(&self, direction: Direction, connection: u64) -> Lane {
        let harmed = self.only.is_none_or(|only| only == connection);
        let faults = self
            .faults
            .iter()
            .filter(|(toward, ..)| harmed && *toward == direction);
        let faults = faults.map(|(_, at, fault)| (*at, fault.clone()));
        let random = self.made_for(connection).filter(|it| it.0 == direction);
        Lane::new(faults.chain(random.map(|it| (it.1, it.2))).collect())
    }

    fn made_for(&self, connection: u64) -> Option<(Direction, u64, Fault)> {
        let (seed, most) = self.random?;
        let mut rng = Rng::new(seed ^ connection.wrapping_mul(0x9e37_79b9));
        // The first numbers of neighbouring seeds are alike.
        rng.next();
        let direction = [Direction::ToServer, Direction::ToClient][rng.below(2)];
        let fault = match rng.below(20) {
            0..5 => return None,
            5..11 => Fault::Reset,
            11..15 => Fault::Close,
            15..19 => Fault::Flip,
            _ => Fault::Stall,
        };
        Some((direction, rng.next() % most, fault))
    }
}

/// How much has passed, over all connections.
#[derive(Debug, Default)]
struct Totals {
    connections: AtomicU64,
    to_server: AtomicU64,
    to_client: AtomicU64,
}

/// A running proxy. Dropping it resets every connection that is still open.
#[derive(Debug)]
pub struct FaultProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    upstream: SocketAddr,
    plan: Plan,
    stop: AtomicBool,
    totals: Totals,
    connections: Mutex<Vec<JoinHandle<()>>>,
}

impl FaultProxy {
    /// Listens on a free port of 127.0.0.1 and connects each client to `upstream`.
    ///
    /// # Panics
    /// If no port can be had.
    #[must_use]
    pub fn start(upstream: SocketAddr, plan: Plan) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let addr = listener
            .local_addr()
            .expect("a bound socket has an address");
        let shared = Arc::new(Shared {
            upstream,
            plan,
            stop: AtomicBool::new(false),
            totals: Totals::default(),
            connections: Mutex::default(),
        });
        let acceptor = thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.accept(&listener)
        });
        Self {
            addr,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The port, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.addr.port()
    }

    /// How many connections were accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.totals.connections.load(Ordering::Relaxed)
    }

    /// How many bytes of that direction were read from their senders, over all connections. Run once without harm, this
    /// says where the places for harm end.
    #[must_use]
    pub fn passed(&self, direction: Direction) -> u64 {
        self.shared.totals.of(direction).load(Ordering::Relaxed)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // The acceptor waits in accept; a connection wakes it.
        let _ = TcpStream::connect(self.addr);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        let connections = self
            .shared
            .connections
            .lock()
            .map(|mut all| std::mem::take(&mut *all));
        for connection in connections.into_iter().flatten() {
            let _ = connection.join();
        }
    }
}

impl Totals {
    fn of(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn accept(self: &Arc<Self>, listener: &TcpListener) {
        while let Ok((client, _)) = listener.accept() {
            if self.stopped() {
                return;
            }
            let number = self.totals.connections.fetch_add(1, Ordering::Relaxed);
            let shared = Arc::clone(self);
            let thread = thread::spawn(move || {
                // An error of a socket ends the connection, which is all that a proxy can do about it.
                let _ = shared.serve(client, number);
            });
            if let Ok(mut all) = self.connections.lock() {
                all.retain(|earlier| !earlier.is_finished());
                all.push(thread);
            }
        }
    }

    /// One connection. A single thread owns both sockets, because a reset needs them closed for certain: no clone of
    /// them may be left in a thread that is waiting to read.
    fn serve(&self, client: TcpStream, number: u64) -> io::Result<()> {
        let Ok(server) = TcpStream::connect(self.upstream) else {
            return reset(client);
        };
        for socket in [&client, &server] {
            socket.set_nodelay(true)?;
            socket.set_nonblocking(true)?;
        }
        let mut up = self.plan.lane(Direction::ToServer, number);
        let mut down = self.plan.lane(Direction::ToClient, number);
        let result = self.run(&client, &server, &mut up, &mut down);
        if matches!(result, Ok(Ending::Closed)) {
            return Ok(());
        }
        reset(client)?;
        reset(server)
    }

    fn run(
        &self,
        client: &TcpStream,
        server: &TcpStream,
        up: &mut Lane,
        down: &mut Lane,
    ) -> io::Result<Ending> {
        while !self.stopped() {
            let verdicts = [
                self.step(up, client, server, Direction::ToServer)?,
                self.step(down, server, client, Direction::ToClient)?,
            ];
            if verdicts.contains(&Verdict::Reset) {
                return Ok(Ending::Reset);
            }
            if verdicts.contains(&Verdict::Close) {
                // What still comes must be read: closing with unread bytes would send a reset.
                client.shutdown(std::net::Shutdown::Write)?;
                server.shutdown(std::net::Shutdown::Write)?;
                up.discard();
                down.discard();
            }
            if up.is_over() && down.is_over() {
                return Ok(Ending::Closed);
            }
            // Whoever was to receive the rest has said that it sends no more; behind what is not read, nobody else's
            // end would ever be seen.
            if up.is_over() && down.is_stalled() || down.is_over() && up.is_stalled() {
                return Ok(Ending::Reset);
            }
            if self.wait(client, server, up, down)? == Waited::Abandoned {
                return Ok(Ending::Reset);
            }
        }
        Ok(Ending::Reset)
    }

    /// Reads and writes of one direction, as far as they go without waiting.
    fn step(
        &self,
        lane: &mut Lane,
        from: &TcpStream,
        to: &TcpStream,
        direction: Direction,
    ) -> io::Result<Verdict> {
        let read = lane.read(from)?;
        self.totals.of(direction).fetch_add(read, Ordering::Relaxed);
        lane.write(to)
    }

    /// Sleeps until something can move, and at most 20 ms, so that a stop is noticed.
    fn wait(
        &self,
        client: &TcpStream,
        server: &TcpStream,
        up: &Lane,
        down: &Lane,
    ) -> io::Result<Waited> {
        let now = Instant::now();
        let interest = |reads: &Lane, writes: &Lane| {
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, reads.wants_to_read());
            flags.set(PollFlags::OUT, writes.wants_to_write(now));
            // A stalled lane does not read, and would never learn that its sender has gone.
            flags.set(PollFlags::RDHUP, reads.is_stalled());
            flags
        };
        let (of_client, of_server) = (interest(up, down), interest(down, up));
        // A socket without interest is left out: its end would be reported without end.
        let mut sockets: Vec<_> = [(client, of_client), (server, of_server)]
            .into_iter()
            .filter(|(_, flags)| !flags.is_empty())
            .map(|(socket, flags)| PollFd::from_borrowed_fd(socket.as_fd(), flags))
            .collect();
        let due = [up.next_due(), down.next_due()].into_iter().flatten();
        let due = due.filter(|due| *due > now).min();
        let limit = Duration::from_millis(20);
        let sleep = due.map_or(limit, |due| (due - now).min(limit));
        let sleep = Timespec {
            tv_sec: 0,
            tv_nsec: sleep.subsec_nanos().into(),
        };
        match poll(&mut sockets, Some(&sleep)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let gone = sockets
            .iter()
            .any(|socket| socket.revents().contains(PollFlags::RDHUP));
        Ok(if gone {
            Waited::Abandoned
        } else {
            Waited::Served
        })
    }
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    Closed,
    Reset,
}

#[derive(Debug, PartialEq, Eq)]
enum Waited {
    Served,
    /// The sender of a stalled direction has closed.
    Abandoned,
}

/// Closes with a reset instead of an end of file.
fn reset(socket: TcpStream) -> io::Result<()> {
    SockRef::from(&socket).set_linger(Some(Duration::ZERO))
}

#[cfg(test)]
mod tests;
