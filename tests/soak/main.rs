//! Gets, sends, moves and a listener at once, for as long as wanted, against servers that refuse calls at random, over
//! connections that are harmed at random and change their keys all the time. What was to be moved is there once and nothing
//! else is, to the byte; and the process needs no more memory and no more descriptors than in its first rounds.
//!
//! `SANSFTP_SOAK_MINUTES` is how long, `SANSFTP_SEED` what the randomness is made from. The seed does not make a run the
//! same again: what is under way when a connection breaks depends on the machine.

#[path = "../../crates/connector/src/sftp/faults/faulty.rs"]
mod faulty;
mod lanes;
#[path = "../connector/served.rs"]
mod served;
mod site;
mod watch;

use std::env;
use std::time::{Duration, Instant};

use faulty::Kind;
use site::Site;
use watch::Watch;

/// What was moved and found to be right.
#[derive(Clone, Copy, Debug, Default)]
struct Moved {
    files: u64,
    bytes: u64,
    /// Operations that were run until all was there.
    runs: u64,
}

impl std::ops::AddAssign for Moved {
    fn add_assign(&mut self, other: Self) {
        self.files += other.files;
        self.bytes += other.bytes;
        self.runs += other.runs;
    }
}

fn seed() -> u64 {
    env::var("SANSFTP_SEED").map_or(1, |seed| seed.parse().expect("SANSFTP_SEED is a number"))
}

/// Rounds until the time is over, at least `least`. Says after each what it came to.
async fn soak(time: Duration, least: u64) {
    let seed = seed();
    let sites = [
        Site::start(Kind::Full, seed).await,
        Site::start(Kind::Bare, seed + 1).await,
    ];
    let end = Instant::now() + time;
    let (mut moved, mut watch) = (Moved::default(), Watch::default());
    let mut round = 0;
    while round < least || Instant::now() < end {
        let began = Instant::now();
        let [full, bare] = &sites;
        let (one, other) = tokio::join!(full.round(round, seed), bare.round(round, seed));
        for lane in one.into_iter().chain(other) {
            moved += lane;
        }
        for site in &sites {
            site.idle().await;
        }
        let seen = watch.look();
        let harmed: u64 = sites.iter().map(Site::connections).sum();
        let written: u64 = sites.iter().map(Site::written).sum();
        let refused: usize = sites.iter().map(Site::refused).sum();
        println!(
            "round {round:>4} in {:>5.1} s: {} files, {} bytes, {} runs; {written} written there; {harmed} connections, {refused} calls refused; {seen}",
            began.elapsed().as_secs_f64(),
            moved.files,
            moved.bytes,
            moved.runs,
        );
        round += 1;
    }
    assert!(
        sites.iter().all(|site| site.refused() > 0),
        "no call was refused"
    );
    watch.flat();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_soak() {
    soak(Duration::ZERO, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes twenty minutes: cargo xtask soak"]
async fn a_long_soak() {
    let minutes = env::var("SANSFTP_SOAK_MINUTES").map_or(20, |it| it.parse().expect("minutes"));
    soak(Duration::from_secs(60 * minutes), 12).await;
}
