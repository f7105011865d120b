//! Scripts over a pair that proptest shrinks: transfers in both directions with keys changed anywhere, at any
//! fragmentation and delay (RFC 4253 §9, RFC 4254 §5.2).

use bytes::Bytes;
use proptest::prelude::*;
use sansftp_testkit::pair::Ends;
use sansftp_testkit::suite::Suite;
use std::time::Duration;

#[derive(Debug, Clone)]
enum Move {
    Up(usize),
    Down(usize),
    ReadUp,
    ReadDown,
    ClientRekeys,
    ServerRekeys,
    Run,
    Step,
    Pass(u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        (1..3000usize).prop_map(Move::Up),
        (1..3000usize).prop_map(Move::Down),
        Just(Move::ReadUp),
        Just(Move::ReadDown),
        Just(Move::ClientRekeys),
        Just(Move::ServerRekeys),
        Just(Move::Run),
        Just(Move::Step),
        (1..400u64).prop_map(Move::Pass),
    ];
    proptest::collection::vec(one, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_is_written_arrives_whatever_happens_to_the_keys(
        moves in moves(),
        fragment in prop_oneof![Just(1), Just(7), Just(64), Just(usize::MAX)],
        delay in 0..50u64,
        rekey in proptest::option::of(1000..20_000u64),
    ) {
        let mut ends = Ends::over(Suite::Null);
        ends.client.limits.rekey_bytes = rekey;
        ends.server.limits.rekey_interval = Duration::from_secs(60);
        let mut pair = ends.start();
        pair.fragment(fragment);
        pair.to_server.delay = Duration::from_millis(delay);
        pair.connect();
        let (ours, theirs) = pair.channel();
        let (mut up, mut down) = (Vec::new(), Vec::new());
        let (mut got_up, mut got_down) = (Vec::new(), Vec::new());
        for (turn, it) in moves.into_iter().enumerate() {
            let byte = u8::try_from(turn).unwrap();
            match it {
                Move::Up(len) => {
                    if pair.client_mux().write(ours, Bytes::from(vec![byte; len])).is_ok() {
                        up.resize(up.len() + len, byte);
                    }
                }
                Move::Down(len) => {
                    if pair.server_mux().write(theirs, Bytes::from(vec![byte; len])).is_ok() {
                        down.resize(down.len() + len, byte);
                    }
                }
                Move::ReadUp => got_up.extend(pair.server_mux().read(theirs).into_iter().flatten()),
                Move::ReadDown => got_down.extend(pair.client_mux().read(ours).into_iter().flatten()),
                Move::ClientRekeys => pair.client.rekey().unwrap(),
                Move::ServerRekeys => pair.server.rekey().unwrap(),
                Move::Run => pair.drive(),
                Move::Step => drop(pair.step()),
                Move::Pass(seconds) => pair.pass(Duration::from_secs(seconds)),
            }
        }
        loop {
            pair.drive();
            let (a, b) = (pair.server_mux().read(theirs), pair.client_mux().read(ours));
            if a.is_none() && b.is_none() {
                break;
            }
            got_up.extend(a.into_iter().flatten());
            got_down.extend(b.into_iter().flatten());
        }
        prop_assert!(up == got_up && down == got_down);
        prop_assert_eq!(pair.client.exchanges(), pair.server.exchanges());
    }
}
