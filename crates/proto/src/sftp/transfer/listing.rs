//! Reading a directory with many requests under way (draft-ietf-secsh-filexfer-02 §6.7).
//!
//! Names come out in the order of the requests. Names that could lead out of the directory are set
//! apart here, once for all; whether a name can be used on this machine is not decided here.

use super::Failure;
use crate::sftp::status::Status;
use crate::sftp::values::Entry;
use std::collections::VecDeque;
use std::vec;

/// Requests that a listing begins with. A directory with fewer names than the server gives for so many,
/// some 700 of OpenSSH, takes one round trip; what is asked beyond its end costs a status of some bytes each.
const FIRST_DEPTH: usize = 8;

/// Requests more with each answer: four times as many in every round trip.
const GROWTH: usize = 3;

/// Names that are asked for and not taken, at most, judged by the largest answer so far: a server that gives
/// thousands at once is asked a few times at once.
const NAMES_UNDER_WAY: usize = 32 << 10;

/// Answers without a name, one after the other, before the server is taken not to come to an end.
const EMPTY_ANSWERS: usize = 64;

/// One READDIR to send. Linear: [`Listing::done`] takes it back.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct NamesTicket(u64);

/// A name of the directory.
#[derive(Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a name is usable or it is not")]
pub enum Listed {
    /// A name of something in the directory.
    Entry(Entry),
    /// A name that no file in a directory can have: empty, or with `/` or NUL in it.
    Refused(Entry),
}

/// The plan of one listing under way.
#[derive(Debug)]
pub struct Listing {
    /// Requests under way, and answers not taken, at most.
    max_depth: usize,
    /// The same for now: grows with every answer.
    depth: usize,
    /// Names in the largest answer.
    largest: usize,
    /// Answers by request, the front one first; `None` while it is waited for.
    answers: VecDeque<Option<Vec<Entry>>>,
    /// Number of the request that the front of `answers` is for.
    first: u64,
    unanswered: usize,
    /// What is left of the answer that is being handed out.
    current: vec::IntoIter<Entry>,
    empty_answers: usize,
    end: Option<Result<(), Failure>>,
}

impl Listing {
    /// Begins with few requests under way, growing up to `max_depth`, of which 0 counts as 1. 64
    /// list 10,000 names of OpenSSH's, a hundred an answer, in three round trips.
    pub fn new(max_depth: usize) -> Self {
        let max_depth = max_depth.max(1);
        Self {
            max_depth,
            depth: FIRST_DEPTH.min(max_depth),
            largest: 0,
            answers: VecDeque::new(),
            first: 0,
            unanswered: 0,
            current: Vec::new().into_iter(),
            empty_answers: 0,
            end: None,
        }
    }

    /// A READDIR to send now; `None` while enough is under way, and when the end is known.
    #[expect(
        clippy::should_implement_trait,
        reason = "after a `None` more may come; a loop over it would mislead"
    )]
    pub fn next(&mut self) -> Option<NamesTicket> {
        if self.end.is_some() || self.answers.len() >= self.depth {
            return None;
        }
        let ticket = NamesTicket(self.first + self.answers.len() as u64);
        self.answers.push_back(None);
        self.unanswered += 1;
        Some(ticket)
    }

    /// The answer to `ticket`, in any order. Only [`EOF`](crate::sftp::StatusCode::EOF) is the end:
    /// no names are just no names (§6.7).
    pub fn done(&mut self, ticket: NamesTicket, result: Result<Vec<Entry>, Status>) {
        let index = ticket
            .0
            .checked_sub(self.first)
            .and_then(|it| usize::try_from(it).ok());
        let Some(answer @ None) = index.and_then(|index| self.answers.get_mut(index)) else {
            return;
        };
        self.unanswered -= 1;
        let names = match result {
            Ok(names) => names,
            Err(status) => {
                *answer = Some(Vec::new());
                let end = if status.is_eof() {
                    Ok(())
                } else {
                    Err(Failure::Status(status))
                };
                return self.end_with(end);
            }
        };
        let count = names.len();
        *answer = Some(names);
        if count > 0 {
            self.empty_answers = 0;
            self.largest = self.largest.max(count);
            let most = (NAMES_UNDER_WAY / self.largest).clamp(1, self.max_depth);
            self.depth = (self.depth + GROWTH).min(most);
            return;
        }
        self.empty_answers += 1;
        if self.empty_answers >= EMPTY_ANSWERS {
            self.end_with(Err(Failure::NoProgress));
        }
    }

    /// The next name, `.` and `..` left out. Taking them lets more be asked for.
    pub fn poll_name(&mut self) -> Option<Listed> {
        loop {
            if let Some(entry) = self
                .current
                .find(|it| !matches!(&*it.filename, b"." | b".."))
            {
                return Some(sorted(entry));
            }
            let answer = self.answers.pop_front_if(|it| it.is_some())?;
            self.first += 1;
            self.current = answer.unwrap_or_default().into_iter();
        }
    }

    /// How it ended. `None` until every request is answered and every name taken.
    pub fn finished(&self) -> Option<Result<(), Failure>> {
        let taken = self.answers.is_empty() && self.current.as_slice().is_empty();
        self.end.clone().filter(|_| taken)
    }

    /// A failure counts more than an end.
    fn end_with(&mut self, end: Result<(), Failure>) {
        if !matches!(self.end, Some(Err(_))) {
            self.end = Some(end);
        }
    }
}

fn sorted(entry: Entry) -> Listed {
    if entry.filename.is_empty() || entry.filename.iter().any(|it| matches!(it, b'/' | 0)) {
        return Listed::Refused(entry);
    }
    Listed::Entry(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sftp::{Attrs, StatusCode};
    use bytes::Bytes;
    use proptest::prelude::*;

    fn entry(name: impl Into<Bytes>) -> Entry {
        Entry {
            filename: name.into(),
            longname: Bytes::new(),
            attrs: Attrs::default(),
        }
    }

    fn names(names: &[&'static [u8]]) -> Result<Vec<Entry>, Status> {
        Ok(names.iter().map(|&it| entry(it)).collect())
    }

    fn eof() -> Result<Vec<Entry>, Status> {
        Err(StatusCode::EOF.into())
    }

    fn taken(listing: &mut Listing) -> Vec<Listed> {
        std::iter::from_fn(|| listing.poll_name()).collect()
    }

    #[test]
    fn a_small_directory_takes_one_round_trip() {
        let mut listing = Listing::new(32);
        let (first, second) = (listing.next().unwrap(), listing.next().unwrap());
        let rest: Vec<_> = std::iter::from_fn(|| listing.next()).collect();
        assert_eq!(rest.len(), FIRST_DEPTH - 2);
        listing.done(first, names(&[b".", b"..", b"a", b"..."]));
        listing.done(second, eof());
        assert_eq!(listing.next(), None);
        for ticket in rest {
            listing.done(ticket, eof());
        }
        assert_eq!(
            taken(&mut listing),
            [b"a".as_slice(), b"..."].map(|it| Listed::Entry(entry(it)))
        );
        assert_eq!(listing.finished(), Some(Ok(())));
    }

    #[test]
    fn names_that_lead_elsewhere_are_set_apart() {
        let mut listing = Listing::new(1);
        let ticket = listing.next().unwrap();
        listing.done(
            ticket,
            names(&[
                b"../x",
                b"/etc/passwd",
                b"",
                b"a\0b",
                b"a\\b",
                b"\x1b[2J",
                b"\xff",
            ]),
        );
        let refused: Vec<bool> = taken(&mut listing)
            .iter()
            .map(|it| matches!(it, Listed::Refused(_)))
            .collect();
        assert_eq!(refused, [true, true, true, true, false, false, false]);
    }

    /// draft-ietf-secsh-filexfer-02 §6.7
    #[test]
    fn no_names_are_not_the_end_but_cannot_go_on_for_ever() {
        let mut listing = Listing::new(1);
        for _ in 1..EMPTY_ANSWERS {
            let ticket = listing.next().unwrap();
            listing.done(ticket, names(&[]));
            assert_eq!((listing.poll_name(), listing.finished()), (None, None));
        }
        let ticket = listing.next().unwrap();
        listing.done(ticket, names(&[]));
        assert_eq!((listing.poll_name(), listing.next()), (None, None));
        assert_eq!(listing.finished(), Some(Err(Failure::NoProgress)));
    }

    #[test]
    fn names_that_were_not_taken_stop_the_asking() {
        let mut listing = Listing::new(3);
        let mut round_trips = 0;
        while let Some(ticket) = listing.next() {
            listing.done(ticket, names(&[b"a"]));
            round_trips += 1;
        }
        assert_eq!(round_trips, 3);
        assert!(listing.poll_name().is_some());
        assert!(listing.next().is_some());
    }

    /// So many are asked for in each of the round trips that a directory takes, a hundred names an answer.
    fn asked_by_round(max_depth: usize, answer: usize, names_there: usize) -> Vec<usize> {
        let mut listing = Listing::new(max_depth);
        let mut left = names_there;
        let mut rounds = Vec::new();
        while listing.finished().is_none() {
            let tickets: Vec<_> = std::iter::from_fn(|| listing.next()).collect();
            rounds.push(tickets.len());
            for ticket in tickets {
                let count = left.min(answer);
                left -= count;
                let names: Vec<_> = (0..count).map(|_| entry(&b"a"[..])).collect();
                let result = if names.is_empty() { eof() } else { Ok(names) };
                listing.done(ticket, result);
                taken(&mut listing);
            }
        }
        rounds
    }

    #[test]
    fn ten_thousand_names_take_three_round_trips() {
        assert_eq!(asked_by_round(64, 100, 10_000), [8, 32, 64]);
        assert_eq!(asked_by_round(64, 100, 700), [8]);
    }

    #[test]
    fn a_server_with_large_answers_is_asked_for_few_at_once() {
        let rounds = asked_by_round(64, 8 << 10, 1 << 20);
        assert_eq!(rounds[0], 8);
        assert!(rounds[1..].iter().all(|&asked| asked <= 4), "{rounds:?}");
    }

    #[test]
    fn a_failure_is_told_after_the_names_that_came() {
        let mut listing = Listing::new(4);
        let (first, second) = (listing.next().unwrap(), listing.next().unwrap());
        let rest: Vec<_> = std::iter::from_fn(|| listing.next()).collect();
        for ticket in rest {
            listing.done(ticket, eof());
        }
        listing.done(second, Err(StatusCode::PERMISSION_DENIED.into()));
        assert_eq!((listing.next(), listing.finished()), (None, None));
        listing.done(first, names(&[b"a"]));
        assert_eq!(taken(&mut listing), [Listed::Entry(entry(&b"a"[..]))]);
        let failure = Failure::Status(StatusCode::PERMISSION_DENIED.into());
        assert_eq!(listing.finished(), Some(Err(failure)));
    }

    proptest! {
        #[test]
        fn all_names_come_once_and_in_order(
            batches in prop::collection::vec(0_usize..5, 0..60),
            max_depth in 0_usize..40,
            choices in prop::collection::vec(any::<prop::sample::Index>(), 100),
        ) {
            let expected: Vec<String> = (0..batches.iter().sum()).map(|it: usize| it.to_string()).collect();
            let mut unread = expected.iter();
            let mut batches = batches.into_iter();
            let mut listing = Listing::new(max_depth);
            let mut under_way = Vec::new();
            let mut choices = choices.into_iter().cycle();
            let mut read = Vec::new();
            loop {
                while let Some(ticket) = listing.next() {
                    // The server answers in order, and its answers arrive in any order.
                    let answer = match batches.next() {
                        Some(len) => Ok(unread.by_ref().take(len).map(|it| entry(it.clone())).collect()),
                        None => eof(),
                    };
                    under_way.push((ticket, answer));
                }
                prop_assert!(under_way.len() <= max_depth.max(1));
                for listed in std::iter::from_fn(|| listing.poll_name()) {
                    let Listed::Entry(entry) = listed else { panic!("refused") };
                    read.push(String::from_utf8(entry.filename.to_vec()).unwrap());
                }
                if let Some(end) = listing.finished() {
                    prop_assert_eq!(end, Ok(()));
                    break;
                }
                if under_way.is_empty() {
                    continue;
                }
                let (ticket, answer) = under_way.swap_remove(choices.next().unwrap().index(under_way.len()));
                listing.done(ticket, answer);
            }
            prop_assert_eq!(read, expected);
        }
    }
}
