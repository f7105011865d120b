//! What is allocated, counted: how often once a transfer runs, and how much at most for an input, whatever it says of
//! its lengths.
//!
//! Counts of the core, one thread, and no time: the same on every machine. What a whole process holds, sockets and runtime
//! included, is measured by `cargo xtask bench`.

mod hostile;

use allocation_counter::measure;
use bytes::Bytes;
use sansftp_proto::connection::ChannelId;
use sansftp_testkit::pair::{Ends, Pair};
use sansftp_testkit::suite::Suite;

/// As much as a packet carries by default, so that each write is a packet.
const CHUNK: usize = 32 * 1024;
/// Packets of a transfer that is counted.
const PACKETS: usize = 1024;

/// Moves so many packets from client to server on an open channel.
fn carry(pair: &mut Pair, (from, to): (ChannelId, ChannelId), packets: usize) {
    let chunk = Bytes::from_static(&[3; CHUNK]);
    let (mut sent, mut read) = (0, 0);
    while read < packets * CHUNK {
        while sent < packets && pair.client_mux().write(from, chunk.clone()).is_ok() {
            sent += 1;
        }
        pair.drive();
        while let Some(data) = pair.server_mux().read(to) {
            read += data.len();
        }
    }
}

#[test]
fn no_packet_costs_an_allocation_of_its_own_once_a_transfer_runs() {
    for cipher in [
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
        "aes128-ctr",
    ] {
        let mut ends = Ends::over(Suite::Ring);
        ends.client.algorithms.cipher = vec![cipher.to_owned()];
        let mut pair = ends.start();
        pair.connect();
        let ids = pair.channel();
        carry(&mut pair, ids, PACKETS / 4);
        let counted = measure(|| carry(&mut pair, ids, PACKETS));
        // Received data stays where it was opened, in the buffer that it came in, which goes to whoever reads it:
        // there is a new one for every few packets, at each end of the line and, in this test, on it.
        assert!(
            counted.count_total < PACKETS as u64 / 2,
            "{cipher}: {counted:?}"
        );
        // Two windows, and what is on the way: not what was carried.
        assert!(counted.bytes_max < 6 << 20, "{cipher}: {counted:?}");
    }
}
