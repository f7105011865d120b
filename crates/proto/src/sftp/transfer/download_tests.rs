//! The download planner against models of files: short reads, gaps, ends and failures anywhere, files
//! that change while they are read, answers in any order.

use super::*;
use crate::sftp::StatusCode;
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn plan(size_hint: Option<u64>) -> DownloadPlan {
    DownloadPlan {
        offset: 0,
        size_hint,
        request_len: 100,
        max_in_flight_bytes: 800,
        order: Order::InFile,
    }
}

fn data(len: usize) -> Result<Data, Status> {
    Ok(Data::from(Bytes::from(vec![7; len])))
}

fn eof() -> Result<Data, Status> {
    Err(StatusCode::EOF.into())
}

fn asked(download: &mut Download) -> Vec<ReadAt> {
    std::iter::from_fn(|| download.next()).collect()
}

fn taken(download: &mut Download) -> usize {
    std::iter::from_fn(|| download.poll_data())
        .map(|it| it.data.len())
        .sum()
}

fn places(reads: &[ReadAt]) -> Vec<(u64, u32)> {
    reads.iter().map(|it| (it.offset, it.len)).collect()
}

#[test]
fn a_small_file_and_its_end_take_one_round_trip() {
    let mut download = Download::new(plan(Some(130)));
    let reads = asked(&mut download);
    assert_eq!(
        places(&reads),
        [(0, 100), (100, 30), (130, 100)],
        "one past the expected end"
    );
    for (read, answer) in reads.into_iter().zip([data(100), data(30), eof()]) {
        download.done(read, answer);
    }
    assert_eq!((download.finished(), taken(&mut download)), (None, 130));
    assert_eq!(
        (download.next(), download.finished()),
        (None, Some(Ok(130)))
    );
}

#[test]
fn an_empty_file_takes_one_request() {
    let mut download = Download::new(plan(Some(0)));
    let mut reads = asked(&mut download);
    assert_eq!(places(&reads), [(0, 100)]);
    download.done(reads.remove(0), eof());
    assert_eq!(download.finished(), Some(Ok(0)));
}

#[test]
fn the_window_doubles_with_each_round_trip_up_to_its_bound() {
    let mut download = Download::new(plan(None));
    let mut depths = Vec::new();
    for _ in 0..4 {
        let reads = asked(&mut download);
        depths.push(reads.len());
        reads
            .into_iter()
            .for_each(|read| download.done(read, data(100)));
        taken(&mut download);
    }
    assert_eq!(depths, [4, 8, 8, 8]);
}

#[test]
fn data_that_is_not_taken_stops_the_asking() {
    let mut download = Download::new(plan(None));
    let mut requests = 0;
    while let Some(read) = download.next() {
        download.done(read, data(100));
        requests += 1;
    }
    assert_eq!(requests, 8);
    assert_eq!(taken(&mut download), 800);
    assert!(download.next().is_some());
}

#[test]
fn one_request_may_go_however_small_the_bound() {
    let mut download = Download::new(DownloadPlan {
        max_in_flight_bytes: 0,
        ..plan(None)
    });
    assert_eq!(asked(&mut download).len(), 1);
}

#[test]
fn a_short_read_is_asked_for_again_before_anything_else() {
    let mut download = Download::new(plan(None));
    let mut reads = asked(&mut download);
    download.done(reads.remove(1), data(40));
    assert_eq!(places(&[download.next().unwrap()]), [(140, 60)]);
    download.done(reads.remove(0), data(100));
    assert_eq!((taken(&mut download), download.position()), (140, 140));
}

/// draft-ietf-secsh-filexfer-02 §6.4, and OpenSSH on servers that never come to an end.
#[test]
fn the_second_answer_without_data_is_a_failure() {
    let mut download = Download::new(plan(Some(100)));
    let mut reads = asked(&mut download);
    download.done(reads.remove(0), data(0));
    let again = download.next().unwrap();
    assert_eq!(again.offset, 0);
    download.done(again, data(1));
    let rest = download.next().unwrap();
    download.done(rest, data(0));
    let again = download.next().unwrap();
    assert_eq!(
        again.offset, 1,
        "the count begins anew where something came"
    );
    download.done(again, data(0));
    assert_eq!(taken(&mut download), 1);
    let error = download.finished().unwrap().unwrap_err();
    assert_eq!((error.offset, error.failure), (1, Failure::NoProgress));
}

#[test]
fn only_eof_is_the_end_and_past_the_expected_one_there_is_one_request_at_a_time() {
    let mut download = Download::new(plan(Some(50)));
    let mut reads = asked(&mut download);
    assert_eq!(places(&reads), [(0, 50), (50, 100)]);
    download.done(reads.remove(1), data(100));
    let past = asked(&mut download);
    assert_eq!(places(&past), [(150, 100)]);
    for read in past {
        download.done(read, data(30));
    }
    let mut gap = asked(&mut download);
    assert_eq!(places(&gap), [(180, 70)]);
    download.done(gap.remove(0), eof());
    download.done(reads.remove(0), data(50));
    assert_eq!(
        (taken(&mut download), download.finished()),
        (180, Some(Ok(180)))
    );
}

#[test]
fn what_comes_from_beyond_the_end_is_dropped() {
    for order in [Order::InFile, Order::Arrival] {
        let mut download = Download::new(DownloadPlan {
            order,
            ..plan(None)
        });
        let mut reads = asked(&mut download);
        download.done(reads.remove(3), data(100));
        download.done(reads.remove(1), eof());
        assert_eq!(download.poll_data(), None);
        download.done(reads.remove(1), Err(StatusCode::FAILURE.into()));
        assert_eq!((download.next(), download.finished()), (None, None));
        download.done(reads.remove(0), data(100));
        assert_eq!(
            (taken(&mut download), download.finished()),
            (100, Some(Ok(100)))
        );
    }
}

#[test]
fn in_arrival_order_what_was_dropped_hides_nothing_behind_it() {
    let mut download = Download::new(DownloadPlan {
        order: Order::Arrival,
        ..plan(None)
    });
    let mut reads = asked(&mut download);
    download.done(reads.remove(3), data(100));
    download.done(reads.remove(0), data(100));
    download.done(reads.remove(1), eof());
    download.done(reads.remove(0), data(100));
    assert_eq!(download.poll_data().map(|it| it.offset), Some(0));
    assert_eq!(
        (taken(&mut download), download.finished()),
        (100, Some(Ok(200)))
    );
}

#[test]
fn what_lies_below_a_failure_is_still_handed_out() {
    let mut download = Download::new(plan(None));
    let mut reads = asked(&mut download);
    download.done(reads.remove(2), Err(StatusCode::FAILURE.into()));
    download.done(reads.remove(2), eof());
    download.done(reads.remove(1), data(100));
    assert_eq!(download.finished(), None);
    download.done(reads.remove(0), data(100));
    assert_eq!(taken(&mut download), 200);
    let error = download.finished().unwrap().unwrap_err();
    assert_eq!((error.offset, download.position()), (200, 200));
}

#[test]
fn in_arrival_order_one_slow_request_stops_the_others_in_time() {
    let mut download = Download::new(DownloadPlan {
        order: Order::Arrival,
        ..plan(None)
    });
    let slow = download.next().unwrap();
    let mut requests = 0;
    while let Some(read) = download.next() {
        download.done(read, data(100));
        taken(&mut download);
        requests += 1;
    }
    assert_eq!(requests, 4 * 800 / 100);
    assert_eq!(download.position(), 0);
    download.done(slow, data(100));
    assert_eq!((taken(&mut download), download.position()), (100, 3300));
}

#[test]
fn offsets_do_not_overflow() {
    let hint = Some(u64::MAX);
    for size_hint in [None, hint] {
        let offset = u64::MAX - 150;
        let mut download = Download::new(DownloadPlan {
            offset,
            ..plan(size_hint)
        });
        for read in asked(&mut download) {
            assert!(read.offset.checked_add(u64::from(read.len)).is_some());
            let len = read.len as usize;
            download.done(read, data(len));
        }
        taken(&mut download);
        assert_eq!(download.next(), None);
        assert_eq!(
            download.finished().unwrap().unwrap_err().failure,
            Failure::TooLarge
        );
    }
}

/// What the file and the server do at each step.
#[derive(Debug, Clone)]
enum Move {
    /// Send the request and answer the one chosen, of those under way.
    Answer(prop::sample::Index),
    Grow(u16),
    Shrink(prop::sample::Index),
    Take,
}

fn moves(change: u32) -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        20 => any::<prop::sample::Index>().prop_map(Move::Answer),
        change => (0_u16..300).prop_map(Move::Grow),
        change => any::<prop::sample::Index>().prop_map(Move::Shrink),
        10 => Just(Move::Take),
    ];
    prop::collection::vec(one, 1..200)
}

#[derive(Debug, Clone)]
struct Model {
    size: usize,
    hint: Option<u64>,
    offset: u64,
    request_len: u32,
    window: usize,
    order: Order,
    shortness: Vec<u32>,
    bad: Option<u64>,
}

fn models() -> impl Strategy<Value = Model> {
    let order = prop_oneof![Just(Order::InFile), Just(Order::Arrival)];
    (
        0_usize..5000,
        prop::option::of(0_u64..6000),
        prop_oneof![3 => Just(0), 1 => 0_u64..5500],
        1_u32..500,
        0_usize..4000,
        order,
        prop::collection::vec(prop_oneof![3 => Just(u32::MAX), 2 => 0_u32..500], 1..20),
        prop_oneof![3 => Just(None), 1 => (0_u64..5000).prop_map(Some)],
    )
        .prop_map(
            |(size, hint, offset, request_len, window, order, shortness, bad)| Model {
                size,
                hint,
                offset,
                request_len,
                window,
                order,
                shortness,
                bad,
            },
        )
}

/// The content never depends on when it is read, so that the result can be checked byte for byte.
fn byte_at(offset: u64) -> u8 {
    (offset ^ offset >> 8) as u8
}

struct Run {
    download: Download,
    /// Requests under way and what the server, which answers in order, has said to each.
    under_way: Vec<(ReadAt, Result<Data, Status>)>,
    size: u64,
    received: Vec<(u64, Data)>,
    shortness: std::iter::Cycle<std::vec::IntoIter<u32>>,
    /// Where nothing was answered once.
    empty_at: BTreeSet<u64>,
    model: Model,
}

impl Run {
    fn new(model: Model) -> Self {
        let plan = DownloadPlan {
            offset: model.offset,
            size_hint: model.hint,
            request_len: model.request_len,
            max_in_flight_bytes: model.window,
            order: model.order,
        };
        Self {
            download: Download::new(plan),
            under_way: Vec::new(),
            size: model.size as u64,
            received: Vec::new(),
            shortness: model.shortness.clone().into_iter().cycle(),
            empty_at: BTreeSet::new(),
            model,
        }
    }

    fn send(&mut self) {
        while let Some(read) = self.download.next() {
            let answer = self.answer(&read);
            self.under_way.push((read, answer));
        }
        let held: usize = self
            .under_way
            .iter()
            .map(|(read, _)| read.len as usize)
            .sum();
        assert!(held <= self.model.window || self.under_way.len() == 1);
    }

    fn answer(&mut self, read: &ReadAt) -> Result<Data, Status> {
        let left = self
            .size
            .saturating_sub(read.offset)
            .min(u64::from(read.len));
        if left == 0 {
            return eof();
        }
        let mut len = u64::from(self.shortness.next().unwrap()).min(left);
        // Never twice nothing at one place; that has a test of its own.
        if len == 0 && !self.empty_at.insert(read.offset) {
            len = 1;
        }
        if self
            .model
            .bad
            .is_some_and(|it| (read.offset..read.offset + len.max(1)).contains(&it))
        {
            return Err(StatusCode::FAILURE.into());
        }
        Ok(Data::from(Bytes::from_iter(
            (read.offset..read.offset + len).map(byte_at),
        )))
    }

    fn step(&mut self, it: Move) {
        match it {
            Move::Answer(index) if !self.under_way.is_empty() => {
                let (read, answer) = self.under_way.remove(index.index(self.under_way.len()));
                self.download.done(read, answer);
            }
            Move::Answer(_) => {}
            Move::Grow(by) => self.size += u64::from(by),
            Move::Shrink(to) => self.size = to.index(self.size as usize + 1) as u64,
            Move::Take => self.take(),
        }
    }

    fn take(&mut self) {
        while let Some(piece) = self.download.poll_data() {
            self.received.push((piece.offset, piece.data));
        }
    }

    fn run(&mut self, moves: Vec<Move>) -> Result<u64, TransferError> {
        for it in moves {
            self.send();
            self.step(it);
        }
        loop {
            self.take();
            if let Some(end) = self.download.finished() {
                return end;
            }
            self.send();
            assert!(
                !self.under_way.is_empty(),
                "neither finished nor anything under way"
            );
            let (read, answer) = self.under_way.remove(self.under_way.len() / 2);
            self.download.done(read, answer);
        }
    }

    /// Everything up to `end`, once, and each byte in its place.
    fn check(&mut self, end: u64) {
        if self.model.order == Order::InFile {
            assert!(self.received.last().is_none_or(|(offset, _)| *offset < end));
            assert!(self.received.is_sorted_by_key(|(offset, _)| *offset));
        }
        self.received.sort_by_key(|(offset, _)| *offset);
        let mut at = self.model.offset;
        // In arrival order, what lay beyond the end may have been handed out before it was known.
        for (offset, data) in self.received.iter().filter(|(offset, _)| *offset < end) {
            assert_eq!(*offset, at, "a hole, or the same bytes twice");
            for byte in data.pieces().flatten() {
                assert_eq!(*byte, byte_at(at));
                at += 1;
            }
        }
        assert_eq!(at, end);
    }
}

proptest! {
    #[test]
    fn a_file_that_does_not_change_is_read_exactly(model in models(), moves in moves(0)) {
        let mut run = Run::new(model.clone());
        let end = run.run(moves);
        let size = (model.size as u64).max(model.offset);
        match (end, model.bad.filter(|it| (model.offset..size).contains(it))) {
            (Ok(total), None) => {
                prop_assert_eq!(total, size - model.offset);
                run.check(size);
            }
            (Err(error), Some(bad)) => {
                prop_assert!(error.offset <= bad);
                run.check(error.offset);
            }
            (end, bad) => prop_assert!(false, "{end:?} with a bad byte at {bad:?}"),
        }
    }

    #[test]
    fn a_file_that_grows_and_shrinks_is_read_to_some_end_without_holes(
        model in models(),
        moves in moves(3),
    ) {
        let mut run = Run::new(model.clone());
        match run.run(moves) {
            Ok(total) => run.check(model.offset + total),
            Err(error) => run.check(error.offset),
        }
    }
}
