//! The contents of one file in memory: blocks, with holes between them, and the bytes that all files
//! together may take.

use crate::sftp::server::Outcome;
use bytes::Bytes;
use sansftp_proto::sftp::{Data, Status, StatusCode};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a block: large enough that large files are few, small enough that growing one by little
/// copies little.
const BLOCK: usize = 64 * 1024;
/// What a block takes of the quota beside what is in it, about.
const BLOCK_COST: u64 = 128;
/// Largest size of a file: that of `off_t`.
const LARGEST: u64 = i64::MAX as u64;

/// Bytes that are taken, of those that may be.
#[derive(Debug)]
pub(super) struct Quota {
    pub(super) most: u64,
    used: AtomicU64,
}

impl Quota {
    pub(super) const fn new(most: u64) -> Self {
        let used = AtomicU64::new(0);
        Self { most, used }
    }

    /// Takes `bytes`.
    ///
    /// # Errors
    /// There are not so many left.
    pub(super) fn take(&self, bytes: u64) -> Outcome<()> {
        let sum = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= self.most);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum)
            .map(drop)
            .map_err(|_| FULL)
    }

    /// Gives `bytes` back that were taken.
    pub(super) fn give(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes that may still be taken.
    pub(super) fn left(&self) -> u64 {
        self.most.saturating_sub(self.used.load(Ordering::Relaxed))
    }
}

/// What is in a file.
#[derive(Debug)]
pub(super) struct Contents {
    /// By number; what is missing, or missing at the end of one, is zeros.
    blocks: BTreeMap<u64, Vec<u8>>,
    len: u64,
    quota: Arc<Quota>,
}

impl Contents {
    pub(super) const fn new(quota: Arc<Quota>) -> Self {
        Self {
            blocks: BTreeMap::new(),
            len: 0,
            quota,
        }
    }

    pub(super) const fn len(&self) -> u64 {
        self.len
    }

    /// Up to `len` bytes from `offset`.
    pub(super) fn read(&self, offset: u64, len: usize) -> Data {
        let there = self.len.saturating_sub(offset);
        let len = usize::try_from(there).map_or(len, |there| len.min(there));
        let mut out = Vec::with_capacity(len);
        while out.len() < len {
            let (number, start) = place(offset + out.len() as u64);
            let end = BLOCK.min(start + len - out.len());
            let block = self.blocks.get(&number).map_or(&[][..], |it| it);
            let written = block.get(start..end.min(block.len())).unwrap_or_default();
            out.extend_from_slice(written);
            out.resize(out.len() + (end - start - written.len()), 0);
        }
        Bytes::from(out).into()
    }

    /// Writes all of `data`; nothing of nothing makes a file longer.
    ///
    /// # Errors
    /// No file is so long, or there is no room; some may then be written.
    pub(super) fn write(&mut self, offset: u64, data: &Data) -> Outcome<()> {
        let end = offset.checked_add(data.len() as u64);
        if end.is_none_or(|end| end > LARGEST) {
            return Err(TOO_LARGE);
        }
        let mut at = offset;
        for piece in data.pieces() {
            let mut piece = &piece[..];
            while !piece.is_empty() {
                let (number, start) = place(at);
                let (now, later) = piece.split_at(piece.len().min(BLOCK - start));
                self.write_block(number, start, now)?;
                at += now.len() as u64;
                self.len = self.len.max(at);
                piece = later;
            }
        }
        Ok(())
    }

    /// Cuts the file, or lengthens it by a hole.
    ///
    /// # Errors
    /// No file is so long.
    pub(super) fn set_len(&mut self, len: u64) -> Outcome<()> {
        if len > LARGEST {
            return Err(TOO_LARGE);
        }
        let (last, kept) = place(len);
        let mut cut = self.blocks.split_off(&last);
        if kept > 0
            && let Some(mut block) = cut.remove(&last)
        {
            let before = cost(&block);
            block.truncate(kept);
            // What is not counted any more must not be held either.
            block.shrink_to_fit();
            self.quota.give(before - cost(&block));
            self.blocks.insert(last, block);
        }
        self.quota.give(cut.values().map(|it| cost(it)).sum());
        self.len = len;
        Ok(())
    }

    fn write_block(&mut self, number: u64, start: usize, data: &[u8]) -> Outcome<()> {
        let end = start + data.len();
        // Before there is a block: where there is no room, nothing of it may stay.
        let (len, new) = match self.blocks.get(&number) {
            Some(block) => (block.len(), 0),
            None => (0, BLOCK_COST),
        };
        self.quota.take(new + end.saturating_sub(len) as u64)?;
        let block = self.blocks.entry(number).or_default();
        if end > len {
            if end > block.capacity() {
                // No more than a block, however a vector likes to grow.
                let room = end.max(block.capacity() * 2).min(BLOCK);
                block.reserve_exact(room - len);
            }
            block.resize(end, 0);
        }
        block[start..end].copy_from_slice(data);
        Ok(())
    }
}

impl Drop for Contents {
    fn drop(&mut self) {
        let taken = self.blocks.values().map(|it| cost(it)).sum();
        self.quota.give(taken);
    }
}

/// What a block takes of the quota.
const fn cost(block: &[u8]) -> u64 {
    BLOCK_COST + block.len() as u64
}

/// The block that a byte is in, and where.
fn place(offset: u64) -> (u64, usize) {
    let block = BLOCK as u64;
    let start = usize::try_from(offset % block).expect("less than a block");
    (offset / block, start)
}

const FULL: Status = Status::with_text(StatusCode::FAILURE, "no space left");
const TOO_LARGE: Status = Status::with_text(StatusCode::FAILURE, "no file may be that large");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn contents(most: u64) -> (Contents, Arc<Quota>) {
        let quota = Arc::new(Quota::new(most));
        (Contents::new(Arc::clone(&quota)), quota)
    }

    fn bytes(data: &Data) -> Vec<u8> {
        data.pieces().flatten().copied().collect()
    }

    #[derive(Debug, Clone)]
    enum Step {
        Write(u64, Vec<u8>),
        SetLen(u64),
        Read(u64, usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let near = |step: u64| (0..4_u64, 0..9_u64).prop_map(move |(block, at)| block * step + at);
        let data = (1..3_usize, 0..BLOCK, any::<u8>())
            .prop_map(|(times, len, byte)| vec![byte; len * times]);
        prop_oneof![
            (near(BLOCK as u64 - 4), data).prop_map(|(at, data)| Step::Write(at, data)),
            near(BLOCK as u64 - 4).prop_map(Step::SetLen),
            (near(BLOCK as u64 - 4), 0..3 * BLOCK).prop_map(|(at, len)| Step::Read(at, len)),
        ]
    }

    proptest! {
        #[test]
        fn it_is_as_a_vector_would_be(steps in prop::collection::vec(step(), 0..20)) {
            let (mut contents, quota) = contents(u64::MAX);
            let mut model = Vec::new();
            for step in steps {
                match step {
                    Step::Write(at, data) => {
                        let at = at as usize;
                        if !data.is_empty() {
                            model.resize(model.len().max(at + data.len()), 0);
                            model[at..at + data.len()].copy_from_slice(&data);
                        }
                        contents.write(at as u64, &Bytes::from(data).into()).unwrap();
                    }
                    Step::SetLen(len) => {
                        model.resize(len as usize, 0);
                        contents.set_len(len).unwrap();
                    }
                    Step::Read(at, len) => {
                        let rest = model.get(at as usize..).unwrap_or_default();
                        let expected = &rest[..len.min(rest.len())];
                        prop_assert_eq!(bytes(&contents.read(at, len)), expected);
                    }
                }
                prop_assert_eq!(contents.len(), model.len() as u64);
            }
            prop_assert_eq!(bytes(&contents.read(0, model.len())), model);
            drop(contents);
            prop_assert_eq!(quota.left(), u64::MAX);
        }
    }

    #[test]
    fn a_hole_takes_no_room() {
        let (mut contents, quota) = contents(BLOCK_COST + 10);
        contents.set_len(LARGEST).unwrap();
        assert_eq!(quota.left(), BLOCK_COST + 10);
        let far = 1 << 40;
        contents
            .write(far, &Bytes::from_static(b"x").into())
            .unwrap();
        assert_eq!((contents.len(), quota.left()), (LARGEST, 9));
        assert_eq!(bytes(&contents.read(far - 2, 4)), b"\0\0x\0");
    }

    #[test]
    fn positions_at_their_extremes_are_refused() {
        let (mut contents, _) = contents(1000);
        let one = Bytes::from_static(b"x").into();
        for offset in [LARGEST, LARGEST + 1, u64::MAX - 1, u64::MAX] {
            assert_eq!(contents.write(offset, &one), Err(TOO_LARGE), "{offset}");
            assert!(contents.read(offset, usize::MAX).is_empty());
        }
        assert_eq!(contents.write(u64::MAX, &Data::default()), Err(TOO_LARGE));
        assert_eq!(contents.set_len(LARGEST + 1), Err(TOO_LARGE));
        assert_eq!(contents.len(), 0);
    }

    #[test]
    fn what_is_cut_off_may_be_taken_again() {
        let (mut contents, quota) = contents(100_000 + 2 * BLOCK_COST);
        let data: Data = Bytes::from(vec![1; 100_000]).into();
        contents.write(0, &data).unwrap();
        assert_eq!(quota.left(), 0);
        assert_eq!(
            contents.write(100_000, &Bytes::from_static(b"x").into()),
            Err(FULL)
        );
        contents.set_len(70_000).unwrap();
        assert_eq!(quota.left(), 30_000);
        contents.set_len(0).unwrap();
        assert_eq!(quota.left(), 100_000 + 2 * BLOCK_COST);
    }

    #[test]
    fn what_is_held_is_what_is_counted() {
        let (mut contents, quota) = contents(1_000_000);
        let data: Data = Bytes::from(vec![1; BLOCK]).into();
        contents.write(0, &data).unwrap();
        contents.set_len(1).unwrap();
        let capacity = contents.blocks[&0].capacity();
        assert!(capacity < 100, "{capacity} bytes are held for one");
        let one: Data = Bytes::from_static(b"x").into();
        let writes = (0..).take_while(|at| contents.write(at * BLOCK as u64, &one).is_ok());
        assert!(writes.count() < 10_000, "a block of one byte is no byte");
        let blocks = contents.blocks.len();
        for at in 20_000..20_100 {
            assert_eq!(contents.write(at * BLOCK as u64, &one), Err(FULL));
        }
        assert_eq!(
            contents.blocks.len(),
            blocks,
            "nothing is kept of a failure"
        );
        drop(contents);
        assert_eq!(quota.left(), 1_000_000);
    }
}
