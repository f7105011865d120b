//! One channel in both directions against a model: every byte that was taken in comes out, in order and once, and never
//! more is under way than windows and queues hold (RFC 4254 §5.2).

use super::assert_not_ours;
use crate::pair::{Ends, Pair};
use crate::seeds::Choices;
use crate::suite::Suite;
use ::bytes::Bytes;
use sansftp_proto::connection::{ChannelId, Mux, WriteError};
use sansftp_proto::role::Role;

/// One direction, as it should be.
#[derive(Debug, Default)]
struct Model {
    written: u64,
    read: u64,
    finished: bool,
}

impl Model {
    /// Byte `at` of a direction: enough to notice a byte lost, doubled or moved.
    const fn pattern(at: u64) -> u8 {
        (at % 251) as u8
    }

    fn write<R: Role>(&mut self, mux: &mut Mux<R>, id: ChannelId, len: usize) {
        let data: Vec<u8> = (self.written..).take(len).map(Self::pattern).collect();
        let room = mux.room(id);
        match mux.write(id, Bytes::from(data)) {
            Ok(()) => {
                assert!(!self.finished && (room > 0 || len == 0));
                self.written += len as u64;
            }
            Err(WriteError::Blocked(data)) => assert!(data.len() == len && room == 0),
            Err(WriteError::Closed) => assert!(self.finished),
            Err(error) => panic!("{error}"),
        }
    }

    fn read<R: Role>(&mut self, mux: &mut Mux<R>, id: ChannelId) -> bool {
        let Some(data) = mux.read(id) else {
            return false;
        };
        assert!(!data.is_empty());
        for &byte in &data {
            assert_eq!(byte, Self::pattern(self.read));
            self.read += 1;
        }
        assert!(self.read <= self.written, "bytes out of nothing");
        true
    }

    fn finish<R: Role>(&mut self, mux: &mut Mux<R>, id: ChannelId) {
        self.finished = true;
        mux.finish(id);
    }
}

/// Writes, reads and finishes as the fuzzer says.
pub fn mux_model(data: &[u8]) {
    let mut choices = Choices::new(data);
    let (window, queue) = (
        1 + (choices.number() & 0x3fff),
        1 + usize::from(choices.byte()) * 64,
    );
    let mut ends = Ends::over(Suite::Null);
    for limits in [&mut ends.client.limits, &mut ends.server.limits] {
        limits.window = window;
        limits.send_queue = queue;
        limits.max_packet = 1 + (window >> 2);
    }
    let mut pair = ends.start();
    pair.connect();
    let (ours, theirs) = pair.channel();
    let mut models = [Model::default(), Model::default()];
    while !choices.is_empty() {
        let [up, down] = &mut models;
        match choices.below(10) {
            0..=1 => up.write(pair.client_mux(), ours, usize::from(choices.byte()) * 8),
            2..=3 => down.write(pair.server_mux(), theirs, usize::from(choices.byte()) * 8),
            4 => drop(up.read(pair.server_mux(), theirs)),
            5 => drop(down.read(pair.client_mux(), ours)),
            6 => pair.drive(),
            7 => {
                pair.step();
            }
            8 => drop(pair.client.rekey()),
            _ => match choices.below(16) {
                0 => up.finish(pair.client_mux(), ours),
                1 => down.finish(pair.server_mux(), theirs),
                _ => pair.drive(),
            },
        }
        // A window with the reader, a queue and one write with the writer.
        let most = u64::from(window) + queue as u64 + 255 * 8;
        for model in &models {
            assert!(model.written - model.read <= most, "{model:?}");
        }
        assert_unharmed(&pair);
    }
    let [up, down] = &mut models;
    loop {
        pair.drive();
        if !(up.read(pair.server_mux(), theirs) | down.read(pair.client_mux(), ours)) {
            break;
        }
    }
    assert_unharmed(&pair);
    for (model, at_eof) in [
        (&models[0], pair.server_mux().at_eof(theirs)),
        (&models[1], pair.client_mux().at_eof(ours)),
    ] {
        assert_eq!(model.written, model.read, "all that was written arrives");
        assert_eq!(model.finished, at_eof);
    }
}

fn assert_unharmed(pair: &Pair) {
    for error in pair.errors() {
        assert_not_ours(error);
        assert_eq!(error, None);
    }
}
