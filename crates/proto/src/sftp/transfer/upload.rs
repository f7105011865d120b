//! Writing a file with many requests under way (draft-ietf-secsh-filexfer-02 §6.4).
//!
//! A failure may be told after later writes have succeeded: what counts is the first byte that is not
//! known to be written. After a failure nothing more is sent, and what is under way is waited for.

use super::{Failure, TransferError};
use crate::sftp::rope::Data;
use crate::sftp::status::Status;
use bytes::Bytes;
use std::collections::VecDeque;

/// Where to write, and how much at once.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a plain description, any of which is valid"
)]
pub struct UploadPlan {
    /// Where the first byte goes.
    pub offset: u64,
    /// Bytes of one request, from [`RequestLengths`](crate::sftp::extensions::RequestLengths); 0
    /// counts as 1.
    pub write_len: u32,
    /// Bytes from the first that is not acknowledged to the last that was sent, at most; one request may
    /// always go. What is acknowledged behind a gap counts: whoever may have to send it again keeps it.
    pub max_in_flight_bytes: usize,
}

/// One WRITE to send. Linear: [`Upload::done`] takes it back.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct WriteAt {
    /// Where to write.
    pub offset: u64,
    /// How many bytes; not 0.
    pub len: u32,
}

/// The plan of one upload under way.
#[derive(Debug)]
pub struct Upload {
    plan: UploadPlan,
    /// Data that was given and not sent.
    waiting: Data,
    input: Source,
    /// Writes in the order of the file; the front one is not acknowledged.
    writes: VecDeque<Sent>,
    /// Where the next byte goes.
    next: u64,
    unanswered: usize,
    failed: bool,
}

/// Whether more data will be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Open,
    Finished,
}

#[derive(Debug)]
struct Sent {
    offset: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    Sent,
    Acknowledged,
    Failed(Failure),
}

impl Upload {
    /// Begins; nothing is under way yet.
    pub fn new(plan: UploadPlan) -> Self {
        Self {
            plan: UploadPlan {
                write_len: plan.write_len.max(1),
                ..plan
            },
            waiting: Data::default(),
            input: Source::Open,
            writes: VecDeque::new(),
            next: plan.offset,
            unanswered: 0,
            failed: false,
        }
    }

    /// Changes how much may be in flight at most. What was sent already stays under way.
    pub const fn set_max_in_flight(&mut self, bytes: usize) {
        self.plan.max_in_flight_bytes = bytes;
    }

    /// Whether more data is wanted: less than one request's waits, and nothing has failed.
    pub fn wants_data(&self) -> bool {
        let full = self.waiting.len() >= self.plan.write_len as usize;
        self.input == Source::Open && !self.failed && !full
    }

    /// The next data, in the order of the file; sent as it lies, small pieces apart. After
    /// [`finish`](Self::finish) or a failure it is dropped.
    pub fn push(&mut self, data: Bytes) {
        if self.input == Source::Open && !self.failed {
            self.waiting.push_joined(data);
        }
    }

    /// There is no more data.
    pub fn finish(&mut self) {
        self.input = Source::Finished;
    }

    /// What to send now. A write that is not full goes only when nothing else is under way, or at the
    /// end: a slow source is not held up, and a fast one makes no small requests.
    #[expect(
        clippy::should_implement_trait,
        reason = "after a `None` more may come; a loop over it would mislead"
    )]
    pub fn next(&mut self) -> Option<(WriteAt, Data)> {
        let len = self.waiting.len().min(self.plan.write_len as usize);
        let full = len == self.plan.write_len as usize || self.input == Source::Finished;
        let span = (self.next - self.acknowledged()).saturating_add(len as u64);
        let room = span <= self.plan.max_in_flight_bytes as u64;
        if self.failed || len == 0 || self.unanswered > 0 && !(full && room) {
            return None;
        }
        let offset = self.next;
        let Some(next) = offset.checked_add(len as u64) else {
            self.fail();
            self.writes.push_back(Sent {
                offset,
                state: State::Failed(Failure::TooLarge),
            });
            return None;
        };
        self.next = next;
        self.unanswered += 1;
        self.writes.push_back(Sent {
            offset,
            state: State::Sent,
        });
        let data = self.waiting.split_to(len);
        let len = u32::try_from(len).expect("no longer than write_len, which has 32 bits");
        Some((WriteAt { offset, len }, data))
    }

    /// The answer to `write`, in any order.
    pub fn done(&mut self, write: WriteAt, result: Result<(), Status>) {
        let index = self
            .writes
            .binary_search_by_key(&write.offset, |it| it.offset);
        let Some(sent) = index.ok().and_then(|index| self.writes.get_mut(index)) else {
            return;
        };
        let State::Sent = sent.state else {
            return;
        };
        self.unanswered -= 1;
        match result {
            Ok(()) => sent.state = State::Acknowledged,
            Err(status) => {
                sent.state = State::Failed(Failure::Status(status));
                self.fail();
            }
        }
        while self
            .writes
            .front()
            .is_some_and(|it| matches!(it.state, State::Acknowledged))
        {
            self.writes.pop_front();
        }
    }

    /// The first byte that is not known to be written: all below is acknowledged. Where an upload can
    /// be taken up again.
    pub fn acknowledged(&self) -> u64 {
        self.writes.front().map_or(self.next, |it| it.offset)
    }

    /// How it ended: the bytes that were written, or where and why it failed. `None` until every
    /// write is answered and, without a failure, all data was sent.
    pub fn finished(&self) -> Option<Result<u64, TransferError>> {
        if self.unanswered > 0 {
            return None;
        }
        // Acknowledged writes leave the front, so the first that is left has failed.
        if let Some(Sent {
            offset,
            state: State::Failed(failure),
        }) = self.writes.front()
        {
            return Some(Err(TransferError {
                offset: *offset,
                failure: failure.clone(),
            }));
        }
        let all = self.input == Source::Finished && self.waiting.is_empty();
        all.then(|| Ok(self.next - self.plan.offset))
    }

    fn fail(&mut self) {
        self.failed = true;
        self.waiting = Data::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sftp::StatusCode;
    use proptest::prelude::*;

    fn upload(write_len: u32, max_in_flight_bytes: usize) -> Upload {
        Upload::new(UploadPlan {
            offset: 0,
            write_len,
            max_in_flight_bytes,
        })
    }

    fn full() -> Result<(), Status> {
        Err(Status::with_text(StatusCode::FAILURE, "disk full"))
    }

    #[test]
    fn an_empty_file_needs_no_write() {
        let mut upload = upload(10, 100);
        assert_eq!(upload.finished(), None);
        upload.finish();
        assert_eq!((upload.next(), upload.finished()), (None, Some(Ok(0))));
    }

    #[test]
    fn a_slow_source_is_not_held_up() {
        let mut upload = upload(10, 100);
        upload.push(Bytes::from_static(b"abc"));
        let (first, data) = upload.next().unwrap();
        assert_eq!((first.offset, data.len()), (0, 3));
        upload.push(Bytes::from_static(b"def"));
        assert_eq!(upload.next(), None, "half a write while one is under way");
        upload.done(first, Ok(()));
        let (second, _) = upload.next().unwrap();
        assert_eq!((second.offset, second.len), (3, 3));
    }

    #[test]
    fn in_flight_bytes_are_bounded_and_back_pressure_reaches_the_source() {
        let mut upload = upload(10, 25);
        upload.push(Bytes::from(vec![1; 35]));
        assert!(!upload.wants_data());
        let (a, _) = upload.next().unwrap();
        let (b, _) = upload.next().unwrap();
        assert_eq!(upload.next(), None);
        upload.done(b, Ok(()));
        assert_eq!(upload.acknowledged(), 0, "the first is not acknowledged");
        assert_eq!(upload.next(), None, "what is behind a gap is kept too");
        upload.done(a, Ok(()));
        let (c, _) = upload.next().unwrap();
        assert_eq!((upload.acknowledged(), c.offset), (20, 20));
        assert!(upload.wants_data());
    }

    #[test]
    fn one_write_may_go_however_small_the_bound() {
        let mut upload = upload(10, 0);
        upload.push(Bytes::from(vec![1; 20]));
        let (first, _) = upload.next().unwrap();
        assert_eq!((first.len, upload.next()), (10, None));
    }

    /// draft-ietf-secsh-filexfer-02 §6.4: errors may come after later writes have succeeded.
    #[test]
    fn the_first_failing_offset_counts() {
        let mut upload = upload(10, 100);
        upload.push(Bytes::from(vec![1; 50]));
        let mut writes: Vec<_> = std::iter::from_fn(|| upload.next())
            .map(|(it, _)| it)
            .collect();
        assert_eq!(writes.len(), 5);
        upload.done(writes.remove(3), full());
        upload.push(Bytes::from(vec![1; 50]));
        assert_eq!(
            (upload.next(), upload.wants_data()),
            (None, false),
            "nothing after a failure"
        );
        upload.done(writes.remove(1), full());
        upload.done(writes.remove(2), Ok(()));
        assert_eq!(upload.finished(), None, "two writes are unanswered");
        upload.done(writes.remove(1), Ok(()));
        upload.done(writes.remove(0), Ok(()));
        let error = upload.finished().unwrap().unwrap_err();
        assert_eq!((error.offset, upload.acknowledged()), (10, 10));
        assert_eq!(error.to_string(), "at byte 10: failure (disk full)");
    }

    #[test]
    fn an_upload_that_passes_the_largest_offset_fails() {
        let plan = UploadPlan {
            offset: u64::MAX - 3,
            write_len: 4,
            max_in_flight_bytes: 10,
        };
        let mut upload = Upload::new(plan);
        upload.push(Bytes::from_static(b"abcd"));
        assert_eq!(upload.next(), None);
        let error = upload.finished().unwrap().unwrap_err();
        assert_eq!(
            (error.offset, error.failure),
            (u64::MAX - 3, Failure::TooLarge)
        );
    }

    proptest! {
        #[test]
        fn every_byte_is_written_once_and_a_failure_is_where_it_is(
            pieces in prop::collection::vec(1_usize..700, 0..20),
            offset in 0_u64..1000,
            write_len in 1_u32..300,
            max_in_flight_bytes in 0_usize..1000,
            choices in prop::collection::vec(any::<prop::sample::Index>(), 200),
            bad in prop::option::of(0_u64..8000),
        ) {
            let content: Vec<u8> = (0..pieces.iter().sum()).map(|at: usize| at as u8).collect();
            let mut left = Bytes::from(content.clone());
            let mut pieces = pieces.into_iter();
            let mut upload = Upload::new(UploadPlan { offset, write_len, max_in_flight_bytes });
            let mut written = vec![None; content.len()];
            let mut under_way: Vec<WriteAt> = Vec::new();
            let mut choices = choices.into_iter().cycle();
            let end = loop {
                while upload.wants_data() {
                    match pieces.next() {
                        Some(len) => upload.push(left.split_to(len)),
                        None => upload.finish(),
                    }
                }
                while let Some((write, data)) = upload.next() {
                    prop_assert_eq!(write.len as usize, data.len());
                    for (at, byte) in (write.offset - offset..).zip(data.pieces().flatten()) {
                        prop_assert_eq!(written[at as usize].replace(*byte), None);
                    }
                    under_way.push(write);
                }
                let last = under_way.iter().map(|it| it.offset + u64::from(it.len)).max();
                let span = last.unwrap_or(0).saturating_sub(upload.acknowledged());
                prop_assert!(span <= max_in_flight_bytes as u64 || under_way.len() == 1);
                if let Some(end) = upload.finished() {
                    break end;
                }
                let chosen = choices.next().unwrap().index(under_way.len());
                let write = under_way.swap_remove(chosen);
                let range = write.offset..write.offset + u64::from(write.len);
                let result = if bad.is_some_and(|it| range.contains(&it)) { full() } else { Ok(()) };
                upload.done(write, result);
            };
            let whole = offset..offset + content.len() as u64;
            match (end, bad) {
                (Err(error), Some(bad)) => {
                    let failing = error.offset..error.offset + u64::from(write_len);
                    prop_assert!(whole.contains(&bad) && failing.contains(&bad));
                }
                (Ok(total), bad) => {
                    prop_assert!(!bad.is_some_and(|it| whole.contains(&it)));
                    prop_assert_eq!(total, content.len() as u64);
                    prop_assert_eq!(written.into_iter().collect::<Option<Vec<_>>>(), Some(content));
                }
                (Err(error), None) => prop_assert!(false, "failed for no reason: {error}"),
            }
        }
    }
}
