//! Reading a file with many requests under way (draft-ietf-secsh-filexfer-02 §6.4).
//!
//! The file is a row of segments, from the first byte that was not taken to the first that nobody
//! asked for. A short read cuts its segment in two, and the rest is asked for again. An end of file
//! or a failure cuts the row off; the lowest one counts, whichever comes first.
//!
//! ```text
//!            position                                  next
//!   taken ──────┤ arrived │ asked │ gap │ arrived │ asked ├────── not asked
//!               └───────── held, at most the window ──────┘
//! ```

use super::{Failure, TransferError};
use crate::sftp::rope::Data;
use crate::sftp::status::Status;
use std::collections::VecDeque;

/// Requests that a download begins with: enough that a small file and its end take one round trip.
const FIRST_REQUESTS: usize = 4;

/// So many bytes are asked for at the beginning of a file that is known to have them, whatever the length of a
/// request: far away each round trip counts, and a bandwidth below that is found by what comes.
const FIRST_BYTES: u64 = 4 << 20;

/// How far, in windows, a download out of order may run ahead of its slowest request.
const LEAD: u64 = 4;

/// What to read, and how much of it at once.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a plain description, any of which is valid"
)]
pub struct DownloadPlan {
    /// The first byte to read; not 0 where a transfer is taken up again.
    pub offset: u64,
    /// How long the file is thought to be, in bytes from its beginning. Only the pace follows it:
    /// the end is where the server says EOF.
    pub size_hint: Option<u64>,
    /// Bytes of one request, from [`RequestLengths`](crate::sftp::extensions::RequestLengths); 0
    /// counts as 1.
    pub request_len: u32,
    /// Bytes that are asked for, or have come and were not taken, at most; one request may always go.
    pub max_in_flight_bytes: usize,
    /// In which order data is handed out.
    pub order: Order,
}

/// In which order data is handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third way")]
pub enum Order {
    /// From the first byte to the last.
    InFile,
    /// As it comes, for whoever can write anywhere. What has come from beyond the end that
    /// [`Download::finished`] tells is to be cut off.
    Arrival,
}

/// One READ to send. Linear: [`Download::done`] takes it back.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct ReadAt {
    /// Where to read.
    pub offset: u64,
    /// How many bytes; not 0.
    pub len: u32,
}

/// File contents and their place.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Piece {
    /// Offset of the first byte in the file.
    pub offset: u64,
    /// The bytes; never empty.
    pub data: Data,
}

/// The plan of one download under way.
#[derive(Debug)]
pub struct Download {
    plan: DownloadPlan,
    /// Without holes and in the order of the file, up to `next`.
    segments: VecDeque<Segment>,
    /// The first byte that nobody asked for.
    next: u64,
    /// Offsets of segments that must be asked for (again).
    gaps: VecDeque<u64>,
    /// Offsets of segments as they arrived; for [`Order::Arrival`] only.
    arrivals: VecDeque<u64>,
    /// Bytes of all segments that were not taken.
    held: usize,
    /// Bound of `held`: grows with every answer up to the plan's.
    window: usize,
    end: Option<(u64, Option<Failure>)>,
}

#[derive(Debug)]
struct Segment {
    offset: u64,
    len: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    /// To be asked for, since an answer was short.
    Gap(LastAnswer),
    Asked(LastAnswer),
    Arrived(Data),
    Taken,
}

/// What the last answer for these very bytes was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LastAnswer {
    None,
    Empty,
}

impl Download {
    /// Begins; nothing is under way yet.
    pub fn new(plan: DownloadPlan) -> Self {
        let plan = DownloadPlan {
            request_len: plan.request_len.max(1),
            ..plan
        };
        let first = (plan.request_len as usize).saturating_mul(FIRST_REQUESTS);
        let known = plan
            .size_hint
            .map_or(0, |it| it.saturating_sub(plan.offset));
        let known = usize::try_from(known.min(FIRST_BYTES)).unwrap_or(first);
        let first = first.max(known);
        Self {
            plan,
            segments: VecDeque::new(),
            next: plan.offset,
            gaps: VecDeque::new(),
            arrivals: VecDeque::new(),
            held: 0,
            window: first.min(plan.max_in_flight_bytes),
            end: None,
        }
    }

    /// Changes how much may be in flight at most. What is on its way already still comes.
    pub fn set_max_in_flight(&mut self, bytes: usize) {
        self.plan.max_in_flight_bytes = bytes;
        self.window = self.window.min(bytes);
    }

    /// What to ask now; `None` while enough is under way, or nothing more is to be asked.
    #[expect(
        clippy::should_implement_trait,
        reason = "after a `None` more may come; a loop over it would mislead"
    )]
    pub fn next(&mut self) -> Option<ReadAt> {
        self.next_gap().or_else(|| self.next_new())
    }

    /// The answer to `read`, in any order. Answers to what lies beyond an end that is known by now
    /// change nothing.
    pub fn done(&mut self, read: ReadAt, result: Result<Data, Status>) {
        let ReadAt { offset, len } = read;
        let Some((index, segment)) = self.segment(offset) else {
            return;
        };
        let State::Asked(last) = segment.state else {
            return;
        };
        let data = match result {
            Ok(mut data) => data.split_to(len as usize),
            Err(status) if status.is_eof() => return self.end_at(offset, None),
            Err(status) => return self.end_at(offset, Some(Failure::Status(status))),
        };
        let arrived = u32::try_from(data.len()).expect("no more than was asked for");
        if arrived == 0 {
            // One answer without data is a short read; a second would go on for ever.
            if last == LastAnswer::Empty {
                return self.end_at(offset, Some(Failure::NoProgress));
            }
            segment.state = State::Gap(LastAnswer::Empty);
            self.gaps.push_back(offset);
            return;
        }
        segment.len = arrived;
        segment.state = State::Arrived(data);
        self.window = self
            .window
            .saturating_add(arrived as usize)
            .min(self.plan.max_in_flight_bytes);
        if self.plan.order == Order::Arrival {
            self.arrivals.push_back(offset);
        }
        if arrived < len {
            let offset = offset + u64::from(arrived);
            let state = State::Gap(LastAnswer::None);
            self.segments.insert(
                index + 1,
                Segment {
                    offset,
                    len: len - arrived,
                    state,
                },
            );
            self.gaps.push_back(offset);
        }
    }

    /// Data that has come, in the order of the plan. Taking it lets more be asked for.
    pub fn poll_data(&mut self) -> Option<Piece> {
        let offset = self.next_arrived()?;
        let (_, segment) = self.segment(offset)?;
        let State::Arrived(data) = &mut segment.state else {
            return None;
        };
        let data = std::mem::take(data);
        segment.state = State::Taken;
        self.held -= data.len();
        while self
            .segments
            .front()
            .is_some_and(|it| matches!(it.state, State::Taken))
        {
            self.segments.pop_front();
        }
        Some(Piece { offset, data })
    }

    /// How it ended: the bytes from the plan's offset to the end of the file, or where and why it
    /// failed. `None` until all data below that place was taken. Answers may still be outstanding;
    /// they no longer matter.
    pub fn finished(&self) -> Option<Result<u64, TransferError>> {
        let (offset, failure) = self.end.as_ref().filter(|_| self.segments.is_empty())?;
        Some(match failure {
            None => Ok(offset - self.plan.offset),
            Some(failure) => Err(TransferError {
                offset: *offset,
                failure: failure.clone(),
            }),
        })
    }

    /// The first byte that was not taken.
    pub fn position(&self) -> u64 {
        let end = self.end.as_ref().map_or(self.next, |(offset, _)| *offset);
        self.segments.front().map_or(end, |it| it.offset)
    }

    /// Where the segment begins that is to be handed out next; its data may still be waited for.
    fn next_arrived(&mut self) -> Option<u64> {
        match self.plan.order {
            Order::InFile => self.segments.front().map(|it| it.offset),
            Order::Arrival => self.arrivals.pop_front(),
        }
    }

    fn next_gap(&mut self) -> Option<ReadAt> {
        while let Some(offset) = self.gaps.pop_front() {
            // It may lie beyond an end that was found since.
            if let Some((_, segment)) = self.segment(offset)
                && let State::Gap(last) = segment.state
            {
                segment.state = State::Asked(last);
                return Some(ReadAt {
                    offset,
                    len: segment.len,
                });
            }
        }
        None
    }

    fn next_new(&mut self) -> Option<ReadAt> {
        if self.end.is_some() {
            return None;
        }
        let len = self.next_len()?;
        let Some(next) = self.next.checked_add(u64::from(len)) else {
            self.end_at(self.next, Some(Failure::TooLarge));
            return None;
        };
        let offset = std::mem::replace(&mut self.next, next);
        self.held += len as usize;
        self.segments.push_back(Segment {
            offset,
            len,
            state: State::Asked(LastAnswer::None),
        });
        Some(ReadAt { offset, len })
    }

    /// Length of the next request into what nobody asked for, if one may go now.
    fn next_len(&self) -> Option<u32> {
        let request = self.plan.request_len;
        let len = match self
            .plan
            .size_hint
            .map(|size| size.saturating_sub(self.next))
        {
            // Past the expected end, where most likely nothing is: one request at a time.
            Some(0) => {
                let size = self.plan.size_hint?;
                let last = self.segments.back();
                let asked = last.is_some_and(|it| {
                    it.offset >= size && matches!(it.state, State::Asked(_) | State::Gap(_))
                });
                (!asked).then_some(request)?
            }
            // Up to the expected end and not beyond, so that a file of that size has no short read.
            Some(left) => u32::try_from(left).map_or(request, |left| left.min(request)),
            None => request,
        };
        let fits = self.held.saturating_add(len as usize) <= self.window || self.held == 0;
        // In arrival order taken segments wait for the slowest one: bounded, too.
        let lead = (self.plan.max_in_flight_bytes as u64).saturating_mul(LEAD);
        let near = self.segments.is_empty() || self.next - self.position() <= lead;
        (fits && near).then_some(len)
    }

    /// Nothing is at or beyond `offset`; a lower end replaces a higher one.
    fn end_at(&mut self, offset: u64, failure: Option<Failure>) {
        if self.end.as_ref().is_some_and(|(end, _)| *end <= offset) {
            return;
        }
        self.end = Some((offset, failure));
        while let Some(last) = self.segments.pop_back_if(|it| it.offset >= offset) {
            if !matches!(last.state, State::Taken) {
                self.held -= last.len as usize;
            }
        }
        self.arrivals.retain(|it| *it < offset);
        // What is left may have been taken already, all of it.
        while self
            .segments
            .front()
            .is_some_and(|it| matches!(it.state, State::Taken))
        {
            self.segments.pop_front();
        }
    }

    fn segment(&mut self, offset: u64) -> Option<(usize, &mut Segment)> {
        let index = self
            .segments
            .binary_search_by_key(&offset, |it| it.offset)
            .ok()?;
        self.segments.get_mut(index).map(|it| (index, it))
    }
}

#[cfg(test)]
#[path = "download_tests.rs"]
mod tests;
