//! One direction of a connection without a socket: bytes in, the same bytes out, in pieces, later, or damaged. Time is
//! whatever the caller says it is.

use bytes::{Buf, BytesMut};
use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

/// One direction.
#[derive(Debug)]
pub struct Link {
    /// At most so many bytes are delivered at once; all with `usize::MAX`.
    pub chunk: usize,
    /// How long a byte is under way.
    pub delay: Duration,
    /// Nothing is delivered while it is set; what is written waits.
    pub stalled: bool,
    /// Bytes to be changed: where they stand in all that is carried, and what is xored to each.
    pub flips: Vec<(u64, u8)>,
    /// Bytes to be put in: ahead of which byte of all that is written, and what.
    pub inserts: Vec<(u64, Vec<u8>)>,
    /// Bytes to be taken out: where they stand in all that is written.
    pub drops: Vec<Range<u64>>,
    /// After so many bytes nothing more is carried, and the reader sees the end.
    pub cut: Option<u64>,
    flight: VecDeque<(Instant, BytesMut)>,
    accepted: u64,
    delivered: u64,
    log: Option<Vec<u8>>,
}

impl Default for Link {
    fn default() -> Self {
        Self::new()
    }
}

impl Link {
    /// A faultless link without delay that delivers all there is.
    pub const fn new() -> Self {
        Self {
            chunk: usize::MAX,
            delay: Duration::ZERO,
            stalled: false,
            flips: Vec::new(),
            inserts: Vec::new(),
            drops: Vec::new(),
            cut: None,
            flight: VecDeque::new(),
            accepted: 0,
            delivered: 0,
            log: None,
        }
    }

    /// Keeps all that is written from now on, for [`written`](Self::written).
    pub fn record(&mut self) {
        self.log = Some(Vec::new());
    }

    /// What was written since [`record`](Self::record), undamaged.
    pub fn written(&self) -> &[u8] {
        self.log.as_deref().unwrap_or_default()
    }

    /// Takes bytes in.
    pub fn write(&mut self, now: Instant, bytes: &[u8]) {
        if let Some(log) = &mut self.log {
            log.extend_from_slice(bytes);
        }
        let room = self
            .cut
            .map_or(u64::MAX, |cut| cut.saturating_sub(self.accepted));
        let carried = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        let mut bytes = BytesMut::from(&bytes[..carried]);
        for &(at, mask) in &self.flips {
            let Some(at) = at
                .checked_sub(self.accepted)
                .and_then(|at| usize::try_from(at).ok())
            else {
                continue;
            };
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= mask;
            }
        }
        let start = self.accepted;
        self.accepted += bytes.len() as u64;
        if !(self.inserts.is_empty() && self.drops.is_empty()) {
            bytes = self.meddled(start, &bytes);
        }
        if !bytes.is_empty() {
            self.flight.push_back((now + self.delay, bytes));
        }
    }

    /// These bytes, the first of which stands there in all that is written, with what is put in and without what is taken
    /// out.
    fn meddled(&self, start: u64, bytes: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        for (at, byte) in (start..).zip(bytes) {
            for (_, put) in self.inserts.iter().filter(|(before, _)| *before == at) {
                out.extend_from_slice(put);
            }
            if !self.drops.iter().any(|dropped| dropped.contains(&at)) {
                out.extend_from_slice(&[*byte]);
            }
        }
        out
    }

    /// Puts bytes between those that were written, ahead of none of them.
    pub fn inject(&mut self, now: Instant, bytes: &[u8]) {
        self.flight.push_back((now, BytesMut::from(bytes)));
    }

    /// Delivers what is due, at most a chunk of it, and says how much that was.
    pub fn deliver(&mut self, now: Instant, into: &mut BytesMut) -> usize {
        if self.stalled {
            return 0;
        }
        let mut room = self.chunk;
        while room > 0
            && let Some((due, bytes)) = self.flight.front_mut()
            && *due <= now
        {
            let n = bytes.len().min(room);
            into.extend_from_slice(&bytes[..n]);
            bytes.advance(n);
            room -= n;
            if bytes.is_empty() {
                self.flight.pop_front();
            }
        }
        let delivered = self.chunk - room;
        self.delivered += delivered as u64;
        delivered
    }

    /// When the next byte arrives, if one is under way and the link is not stalled.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.flight
            .front()
            .map(|(due, _)| *due)
            .filter(|_| !self.stalled)
    }

    /// Whether the reader has seen all that it ever will.
    pub fn is_at_end(&self) -> bool {
        self.flight.is_empty() && self.cut.is_some_and(|cut| self.accepted >= cut)
    }

    /// Bytes delivered so far.
    pub const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Bytes under way.
    pub fn in_flight(&self) -> usize {
        self.flight.iter().map(|(_, bytes)| bytes.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_put_in_and_taken_out_where_they_stand_in_all_that_is_written() {
        let start = Instant::now();
        let mut link = Link {
            inserts: vec![(1, b"xy".to_vec()), (4, b"z".to_vec())],
            drops: vec![2..3, 3..5],
            ..Link::new()
        };
        link.write(start, b"abc");
        link.write(start, b"defg");
        let mut got = BytesMut::new();
        link.deliver(start, &mut got);
        assert_eq!(&got[..], b"axybzfg");
    }

    #[test]
    fn bytes_arrive_in_order_in_pieces_and_not_before_they_are_due() {
        let start = Instant::now();
        let mut link = Link {
            chunk: 2,
            delay: Duration::from_secs(1),
            flips: vec![(3, 0xff)],
            cut: Some(5),
            ..Link::new()
        };
        link.write(start, b"abc");
        link.write(start, b"\0efg");
        let mut got = BytesMut::new();
        assert_eq!(link.deliver(start, &mut got), 0);
        let due = start + link.delay;
        assert_eq!(link.next_arrival(), Some(due));
        assert_eq!([(); 4].map(|()| link.deliver(due, &mut got)), [2, 2, 1, 0]);
        assert_eq!(&got[..], b"abc\xffe");
        assert!(link.is_at_end());
    }
}
