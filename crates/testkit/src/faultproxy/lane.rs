//! One direction of one connection: bytes read, harmed where the plan says so, queued and written. Not the waiting, which
//! needs both directions and is the proxy's.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::Fault;

/// Above this many queued bytes the lane does not read, so that a slow receiver is felt by the sender.
const QUEUE: usize = 1 << 20;

/// What a write means for the whole connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    GoOn,
    Reset,
    Close,
}

/// What to do when everything before it has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The sender closed its half, and so do we.
    OfFile,
    Reset,
    Close,
    Stall,
}

#[derive(Debug)]
enum Source {
    Open,
    /// Nothing more is read.
    Shut,
    /// What comes is read and thrown away.
    Discarding,
}

#[derive(Debug)]
struct Piece {
    due: Instant,
    bytes: Vec<u8>,
    written: usize,
}

#[derive(Debug)]
pub(super) struct Lane {
    /// By offset.
    faults: VecDeque<(u64, Fault)>,
    offset: u64,
    delay: Duration,
    fragment: Option<usize>,
    queue: VecDeque<Piece>,
    queued: usize,
    source: Source,
    end: Option<End>,
    done: bool,
    /// The next byte is to be inverted.
    flip: bool,
    /// A duplicate that is being gathered: how many bytes are missing, and those that have come.
    duplicate: Option<(usize, Vec<u8>)>,
}

impl Lane {
    pub(super) fn new(mut faults: Vec<(u64, Fault)>) -> Self {
        faults.sort_by_key(|(at, _)| *at);
        Self {
            faults: faults.into(),
            offset: 0,
            delay: Duration::ZERO,
            fragment: None,
            queue: VecDeque::new(),
            queued: 0,
            source: Source::Open,
            end: None,
            done: false,
            flip: false,
            duplicate: None,
        }
    }

    /// Reads what has come, up to a block, and returns how much that was.
    pub(super) fn read(&mut self, mut from: &TcpStream) -> io::Result<u64> {
        if !self.wants_to_read() {
            return Ok(0);
        }
        // A cut at byte 0 is due before any byte has come.
        self.meet_faults();
        if !self.wants_to_read() {
            return Ok(0);
        }
        let mut block = vec![0; 64 << 10];
        let read = match from.read(&mut block) {
            Ok(0) => {
                self.source_ended();
                return Ok(0);
            }
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            // The other end may answer our close with a reset; there was nothing more to hand on.
            Err(_) if matches!(self.source, Source::Discarding) => {
                self.source_ended();
                return Ok(0);
            }
            Err(error) => return Err(error),
        };
        block.truncate(read);
        if matches!(self.source, Source::Open) {
            self.harm(&block);
        }
        Ok(read as u64)
    }

    /// Writes what is due, and says what follows when the last byte has gone.
    pub(super) fn write(&mut self, mut to: &TcpStream) -> io::Result<Verdict> {
        let now = Instant::now();
        while let Some(piece) = self.queue.front_mut() {
            if piece.due > now {
                return Ok(Verdict::GoOn);
            }
            match to.write(&piece.bytes[piece.written..]) {
                Ok(written) => {
                    piece.written += written;
                    self.queued -= written;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Verdict::GoOn),
                Err(error) => return Err(error),
            }
            if piece.written == piece.bytes.len() {
                self.queue.pop_front();
            }
        }
        match self.end {
            _ if self.done => Ok(Verdict::GoOn),
            Some(End::Reset) => Ok(Verdict::Reset),
            Some(End::Close) => Ok(Verdict::Close),
            Some(End::OfFile) => {
                self.done = true;
                // The receiver may have gone in the meantime; then there is nobody to tell.
                let _ = to.shutdown(Shutdown::Write);
                Ok(Verdict::GoOn)
            }
            Some(End::Stall) | None => Ok(Verdict::GoOn),
        }
    }

    /// From now on reads to the end and throws away: the connection is being closed.
    pub(super) fn discard(&mut self) {
        self.queue.clear();
        self.queued = 0;
        self.end = None;
        match self.source {
            Source::Open | Source::Shut if !self.done => self.source = Source::Discarding,
            _ => {}
        }
    }

    pub(super) fn wants_to_read(&self) -> bool {
        match self.source {
            Source::Open => self.queued < QUEUE,
            Source::Discarding => true,
            Source::Shut => false,
        }
    }

    pub(super) fn wants_to_write(&self, now: Instant) -> bool {
        self.queue.front().is_some_and(|piece| piece.due <= now)
    }

    /// When the next held byte may go.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.queue.front().map(|piece| piece.due)
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.end == Some(End::Stall)
    }

    /// Nothing will be read or written any more.
    pub(super) fn is_over(&self) -> bool {
        self.done
    }

    fn source_ended(&mut self) {
        if matches!(self.source, Source::Discarding) {
            self.done = true;
        } else {
            self.end = Some(End::OfFile);
        }
        self.source = Source::Shut;
        if let Some((_, gathered)) = self.duplicate.take() {
            self.push(gathered);
        }
    }

    /// Passes a block on, piece by piece between the faults that lie in it.
    fn harm(&mut self, mut block: &[u8]) {
        while !block.is_empty() && matches!(self.source, Source::Open) {
            if let Some((first, later)) = block.split_first().filter(|_| self.flip) {
                self.flip = false;
                self.pass(vec![first ^ 1]);
                block = later;
            } else {
                let (now, later) = block.split_at(self.until_next_fault(block.len()));
                self.pass(now.to_vec());
                block = later;
            }
            // At the very end of a block too, not when more comes: a cut before byte N needs no byte N.
            self.meet_faults();
        }
    }

    fn until_next_fault(&self, limit: usize) -> usize {
        let distance = self
            .faults
            .front()
            .map(|(at, _)| at.saturating_sub(self.offset));
        distance
            .and_then(|distance| usize::try_from(distance).ok())
            .map_or(limit, |distance| distance.min(limit))
    }

    /// Takes up every fault whose place has been reached.
    fn meet_faults(&mut self) {
        while let Some((_, fault)) = self.faults.pop_front_if(|(at, _)| *at <= self.offset) {
            match fault {
                Fault::Reset => self.shut(End::Reset),
                Fault::Close => self.shut(End::Close),
                Fault::Stall => self.shut(End::Stall),
                Fault::Flip => self.flip = true,
                Fault::Inject(bytes) => self.push(bytes),
                Fault::Duplicate(count) => self.duplicate = Some((count, Vec::new())),
                Fault::Delay(delay) => self.delay = delay,
                Fault::Fragment(size) => self.fragment = Some(size.max(1)),
            }
        }
    }

    fn shut(&mut self, end: End) {
        self.source = Source::Shut;
        self.end = Some(end);
    }

    /// Passes bytes that count.
    fn pass(&mut self, bytes: Vec<u8>) {
        self.offset += bytes.len() as u64;
        let gathered = self.duplicate.take();
        let Some((missing, mut gathered)) = gathered else {
            return self.push(bytes);
        };
        let taken = missing.min(bytes.len());
        gathered.extend_from_slice(&bytes[..taken]);
        if taken < missing {
            self.push(bytes);
            self.duplicate = Some((missing - taken, gathered));
            return;
        }
        self.push(bytes[..taken].to_vec());
        self.push(gathered);
        self.push(bytes[taken..].to_vec());
    }

    fn push(&mut self, bytes: Vec<u8>) {
        let due = Instant::now() + self.delay;
        let size = self.fragment.unwrap_or(bytes.len()).max(1);
        for piece in bytes.chunks(size) {
            self.queued += piece.len();
            self.queue.push_back(Piece {
                due,
                bytes: piece.to_vec(),
                written: 0,
            });
        }
    }
}
