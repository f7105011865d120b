//! Memory and descriptors of this process, which is client and server.

use std::fmt;
use std::fs;

/// So much memory may grow from the first third of the rounds behind the warming up to the last, in KiB: what allocators
/// keep differs from round to round.
const SLACK: u64 = 16 << 10;
/// So many rounds warm up.
const WARM: usize = 3;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    resident: u64,
    descriptors: usize,
    threads: usize,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} KiB resident, {} descriptors, {} threads",
            self.resident, self.descriptors, self.threads
        )
    }
}

/// What was seen after each round.
#[derive(Debug, Default)]
pub(crate) struct Watch(Vec<Seen>);

impl Watch {
    pub(crate) fn look(&mut self) -> Seen {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let number = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let word = line.unwrap().split_whitespace().next();
            word.unwrap().parse().unwrap()
        };
        let seen = Seen {
            resident: number("VmRSS:"),
            descriptors: fs::read_dir("/proc/self/fd").unwrap().count(),
            threads: number("Threads:") as usize,
        };
        self.0.push(seen);
        seen
    }

    /// # Panics
    /// Where the last third of the rounds needed more than the first third did.
    pub(crate) fn flat(&self) {
        let warm = self.0.get(WARM..).unwrap_or_default();
        let third = warm.len() / 3;
        if third == 0 {
            return;
        }
        let (first, last) = (&warm[..third], &warm[warm.len() - third..]);
        let median = |seen: &[Seen], of: fn(&Seen) -> u64| {
            let mut all: Vec<_> = seen.iter().map(of).collect();
            all.sort_unstable();
            all[all.len() / 2]
        };
        let memory = |seen| median(seen, |it| it.resident);
        assert!(
            memory(last) <= memory(first) + SLACK,
            "memory grows: {first:?} {last:?}"
        );
        let descriptors = |seen| median(seen, |it| it.descriptors as u64);
        assert!(
            descriptors(last) <= descriptors(first),
            "descriptors are left: {first:?} {last:?}"
        );
    }
}
