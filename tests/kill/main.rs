//! The program with a journal, killed by SIGKILL at random moments and started again until it is done: every file is
//! delivered exactly once, and at no look is one missing on both sides.
//!
//! The moments are drawn from seeds; what is asserted holds at any moment, so nothing here depends on which they are. Which
//! states the journal was found in after each kill is printed, and in the long run each must have been met.
//!
//! Not the judgement after a failure of every single request: the connector's own tests play that on servers in memory.

mod get;
mod local;
mod scene;
mod send;
mod syscalls;
mod watch;

/// How much of it.
#[derive(Clone, Copy, Debug)]
struct Amount {
    files: usize,
    rounds: u64,
    /// So many kills a round; then a run is let to its end.
    kills: usize,
    /// Each kill comes at most so long after the program began to work, in milliseconds.
    latest: usize,
    /// How often each state of the journal must have been met; 0: it is only told.
    coverage: usize,
}

/// What runs with every change.
const SHORT: Amount = Amount {
    files: 200,
    rounds: 3,
    kills: 12,
    latest: 300,
    coverage: 0,
};

/// What runs at night.
const LONG: Amount = Amount {
    files: 2_000,
    rounds: 50,
    kills: 25,
    latest: 1_200,
    coverage: 5,
};
