//! The rows of the table: what is done, how far away, with which cipher, and what is aimed at. Nothing is measured here.

use std::time::Duration;

use crate::clients::Client;
use crate::work::{Contents, Work};

/// Sizes: what is written down, or a trial that shows that everything runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    Full,
    Quick,
}

/// One row, which is a table of its own: a line for each client.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) aim: &'static str,
    pub(crate) work: Work,
    pub(crate) ciphers: &'static [&'static str],
    pub(crate) kex: &'static str,
    pub(crate) round_trip: Duration,
    pub(crate) clients: &'static [Client],
}

const GCM: &[&str] = &["aes256-gcm@openssh.com"];
const CHACHA: &[&str] = &["chacha20-poly1305@openssh.com"];
const CTR: &[&str] = &["aes256-ctr"];
/// Where the cipher is not what costs: some clients do not have GCM.
const ANY: &[&str] = &["aes256-gcm@openssh.com", "aes256-ctr"];
const CURVE: &str = "curve25519-sha256,curve25519-sha256@libssh.org";
/// Older OpenSSH has this one of them, and newer too.
const HYBRID: &str = "sntrup761x25519-sha512@openssh.com";
const PAIR: &[Client] = &[Client::Sansftp, Client::Sftp];

/// All of them, in the order of the document.
pub(crate) fn rows(scale: Scale) -> Vec<Row> {
    let pick = |full: u64, quick: u64| match scale {
        Scale::Full => full,
        Scale::Quick => quick,
    };
    let count = |full: usize, quick: usize| match scale {
        Scale::Full => full,
        Scale::Quick => quick,
    };
    let large = pick(1 << 30, 16 << 20);
    let far = pick(256 << 20, 8 << 20);
    let random = Contents::Random;
    let mut all = Vec::new();
    let mut row = |name: String, title: String, aim, work, ciphers, ms, clients| {
        all.push(Row {
            name,
            title,
            aim,
            work,
            ciphers,
            kex: CURVE,
            round_trip: Duration::from_millis(ms),
            clients,
        });
    };
    for (short, ciphers) in [("gcm", GCM), ("chacha", CHACHA), ("ctr", CTR)] {
        let (get, put) = match short {
            "gcm" => (
                "wall at most 1.05 x the fastest other, CPU at most 0.70 of sftp's",
                "wall at most 1.05 x the fastest other, CPU at most 0.60 of sftp's",
            ),
            _ => (
                "no slower than sftp, less CPU",
                "no slower than sftp, less CPU",
            ),
        };
        let what = format!("{} MiB on loopback, {}", large >> 20, ciphers.join(" "));
        let (size, contents) = (large, random);
        row(
            format!("get-{short}"),
            format!("Get {what}"),
            get,
            Work::Get { size, contents },
            ciphers,
            0,
            &Client::ALL,
        );
        row(
            format!("put-{short}"),
            format!("Put {what}"),
            put,
            Work::Put { size, contents },
            ciphers,
            0,
            &Client::ALL,
        );
    }
    row(
        "get-checked".into(),
        format!(
            "Get {} MiB on loopback with its SHA-256 (`--checksum`; sftp without), aes256-gcm",
            large >> 20
        ),
        "stated",
        Work::GetChecked { size: large },
        GCM,
        0,
        PAIR,
    );
    for (ms, aim) in [(20, "4 x sftp"), (50, "5 x sftp"), (100, "5 x sftp")] {
        let work = Work::Get {
            size: far,
            contents: random,
        };
        row(
            format!("get-{ms}ms"),
            format!("Get {} MiB at {ms} ms", far >> 20),
            aim,
            work,
            ANY,
            ms,
            &Client::ALL,
        );
    }
    for ms in [20, 50, 100] {
        let work = Work::Put {
            size: far,
            contents: random,
        };
        row(
            format!("put-{ms}ms"),
            format!("Put {} MiB at {ms} ms", far >> 20),
            "3 x sftp",
            work,
            ANY,
            ms,
            &Client::ALL,
        );
    }
    for (ms, files) in [(20, count(500, 20)), (100, count(100, 10))] {
        row(
            format!("get-small-{ms}ms"),
            format!("Get {files} files of 10 KiB at {ms} ms"),
            "20 x sftp; at most 0.2 round trips for each file, with the connection",
            Work::GetMany { count: files },
            ANY,
            ms,
            &Client::ALL,
        );
        row(
            format!("put-small-{ms}ms"),
            format!("Put {files} files of 10 KiB at {ms} ms"),
            "12 x sftp; at most 0.25 round trips for each file, with the connection",
            Work::PutMany { count: files },
            ANY,
            ms,
            &Client::ALL,
        );
    }
    let files = count(2000, 50);
    row(
        "get-small".into(),
        format!("Get {files} files of 10 KiB on loopback"),
        "wall at most 0.6, CPU at most 0.5 of sftp's",
        Work::GetMany { count: files },
        ANY,
        0,
        &Client::ALL,
    );
    row(
        "put-small".into(),
        format!("Put {files} files of 10 KiB on loopback"),
        "wall at most 0.6, CPU at most 0.5 of sftp's",
        Work::PutMany { count: files },
        ANY,
        0,
        &Client::ALL,
    );
    let names = count(10_000, 300);
    row(
        "list-50ms".into(),
        format!("List {names} names at 50 ms"),
        "10 x sftp",
        Work::List { count: names },
        ANY,
        50,
        &Client::ALL,
    );
    let names = count(50_000, 1000);
    row(
        "list".into(),
        format!("List {names} names on loopback"),
        "wall at most 0.6, CPU at most 0.5 of sftp's",
        Work::List { count: names },
        ANY,
        0,
        &Client::ALL,
    );
    row("connect".into(), "Connect, log in, start SFTP on loopback, curve25519-sha256 (`sansftp test`, which lists an empty directory too)".into(), "at most 40 ms", Work::Connect, ANY, 0, &Client::ALL);
    row("connect-100ms".into(), "The same at 100 ms (a round trip is 0.1 s; `sansftp test` lists an empty directory too, sftp asks where it is)".into(), "at most 6 round trips until SFTP is ready", Work::Connect, ANY, 100, &Client::ALL);
    let (sessions, size) = (count(64, 4), pick(16 << 20, 1 << 20));
    row(
        "sessions".into(),
        format!(
            "{sessions} sessions at once, each gets {} MiB (the example `many_sessions`; sftp as {sessions} processes; memory is that of the largest process)",
            size >> 20
        ),
        "no slower than the fastest other, under 64 MiB",
        Work::Sessions {
            count: sessions,
            size,
        },
        ANY,
        0,
        &[Client::Sansftp, Client::Sftp, Client::Paramiko],
    );
    let size = pick(4 << 30, 64 << 20);
    let contents = Contents::Hole;
    row(
        "memory-get".into(),
        format!("Get a hole of {} MiB: memory", size >> 20),
        "under 24 MiB",
        Work::Get { size, contents },
        GCM,
        0,
        PAIR,
    );
    row(
        "memory-put".into(),
        format!("Put a hole of {} MiB: memory", size >> 20),
        "under 24 MiB",
        Work::Put { size, contents },
        GCM,
        0,
        PAIR,
    );
    all.push(Row {
        name: "connect-hybrid".into(),
        title: "Connect on loopback with a post-quantum exchange, sntrup761x25519-sha512".into(),
        aim: "at most 15 ms more client CPU than with curve25519-sha256",
        work: Work::Connect,
        ciphers: ANY,
        kex: HYBRID,
        round_trip: Duration::ZERO,
        clients: PAIR,
    });
    all
}
