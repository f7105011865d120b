//! The fuzz bodies on the stable toolchain, with seeded random inputs: not for coverage, which libFuzzer has, but so that
//! every change runs them, and so that it is seen how deep they get.

use sansftp_testkit::fuzz::{self, BODIES, Body};
use sansftp_testkit::seeds::Rng;

/// Runs one body with so many inputs of up to so many bytes. A failure names the input, which is all that is needed to see it
/// again.
fn run(name: &str, runs: u64, longest: usize) {
    let &(_, body): &Body = BODIES
        .iter()
        .find(|(it, _)| *it == name)
        .expect("there is such a body");
    for seed in 0..runs * factor() {
        let data = Rng::new(seed).bytes(longest);
        let outcome = std::panic::catch_unwind(|| body(&data));
        assert!(
            outcome.is_ok(),
            "fuzz body {name} fails with seed {seed}: {data:?}"
        );
    }
    body(b"");
}

/// `FUZZ_FACTOR=100` runs each body a hundred times as often as every change does.
fn factor() -> u64 {
    let factor = std::env::var("FUZZ_FACTOR").ok();
    factor.map_or(1, |it| it.parse().expect("FUZZ_FACTOR is a number"))
}

macro_rules! bodies {
    ($($name:ident $runs:literal of $longest:literal;)*) => {
        $(#[test]
        fn $name() {
            run(stringify!($name), $runs, $longest);
        })*

        #[test]
        fn every_body_is_run_here() {
            let here = [$(stringify!($name)),*];
            assert!(BODIES.iter().all(|(name, _)| here.contains(name)) && here.len() == BODIES.len());
        }
    };
}

bodies! {
    wire 20000 of 120;
    ident 5000 of 300;
    decoder 4000 of 400;
    negotiate 5000 of 60;
    client_bytes 5000 of 400;
    server_bytes 5000 of 400;
    script 1500 of 1200;
    mux_model 2000 of 400;
    sftp_client 20000 of 400;
    sftp_server 20000 of 600;
    transfer 10000 of 600;
    keys 20000 of 300;
    known_hosts 20000 of 300;
    ssh_config 20000 of 300;
    zlib 300 of 3000;
}

#[test]
fn random_scripts_reach_every_depth() {
    let runs = 400;
    let mut counts = [0; 7];
    for seed in 0..runs {
        let depth = fuzz::script_depth(&Rng::new(seed).bytes(1500));
        let reached = [
            depth.keys,
            depth.authenticated,
            depth.channel,
            depth.answered,
            depth.data,
            depth.rekeyed,
            depth.closed,
        ];
        for (count, reached) in counts.iter_mut().zip(reached) {
            *count += u32::from(reached);
        }
    }
    let names = [
        "keys",
        "authenticated",
        "channel",
        "answered",
        "data",
        "rekeyed",
        "closed",
    ];
    for (name, count) in names.iter().zip(counts) {
        println!("{count:4} of {runs} scripts: {name}");
        assert!(count > 0, "no script reaches: {name}");
    }
}

#[test]
fn random_messages_reach_every_stage() {
    let runs = 600;
    let mut counts = [0; 4];
    for seed in 0..runs {
        let reached = fuzz::reached(&Rng::new(seed).bytes(600));
        let reached = [
            reached.client_channel,
            reached.server_authenticated,
            reached.server_channel,
            reached.data,
        ];
        for (count, reached) in counts.iter_mut().zip(reached) {
            *count += u32::from(reached);
        }
    }
    let names = [
        "client's channel",
        "server's authentication",
        "server's channel",
        "data",
    ];
    for (name, count) in names.iter().zip(counts) {
        println!("{count:4} of {runs} inputs: {name}");
        assert!(count > 0, "no input reaches: {name}");
    }
}
