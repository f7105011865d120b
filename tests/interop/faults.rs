//! The network fails at each of the first 4,000 bytes of a session in each direction: always an error
//! that names the stage, never a hang, a panic, or a success with wrong contents.
//!
//! One thing may be flipped without anybody noticing: the padding of the packets before the first
//! NEWKEYS, which no MAC and no exchange hash covers (RFC 4253 §6, §8). Where it lies is read off a
//! recorded session, so that nothing else can hide behind it.

use crate::common::{Login, Noise, load};
use crate::provider;
use bytes::Bytes;
use sansftp_proto::crypto::SigningKey;
use sansftp_proto::error::Error as Protocol;
use sansftp_testkit::faultproxy::{Direction, Fault, FaultProxy, Plan};
use sansftp_testkit::sshd::{ClientKey, Sftp as Served, Sshd};
use sansftp_tokio::sftp::{OpenFlags, SftpError};
use sansftp_tokio::{Client, ConnectError, Credentials, Stage};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Where the places for harm end.
const PLACES: u64 = 4_000;
/// How long connecting, and then each request, may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Both deadlines, and what a busy machine adds to them.
const HANG: Duration = Duration::from_secs(20);

/// What each session does, and with what.
#[derive(Debug)]
struct Scene {
    sshd: Sshd,
    key: Arc<dyn SigningKey>,
    data: Vec<u8>,
}

/// Why a session did not come to its end.
#[derive(Debug)]
enum Failure {
    Connect(ConnectError),
    Sftp(SftpError),
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        Self::Connect(error)
    }
}

impl From<SftpError> for Failure {
    fn from(error: SftpError) -> Self {
        Self::Sftp(error)
    }
}

impl Scene {
    fn new() -> Self {
        let sshd = Sshd::builder()
            .sftp(Served::Internal)
            .config("MaxStartups 10000")
            .start();
        let data = Noise::all(4_500);
        sshd.write("source", &data);
        let key = load(&provider(), &sshd, ClientKey::Ed25519);
        Self { sshd, key, data }
    }

    /// Connects, starts SFTP, asks for attributes, fetches a small file and sends another. Whatever
    /// succeeds must have come out right.
    async fn play(&self, port: u16, name: &str, patience: Duration) -> Result<Client, Failure> {
        let credentials = Credentials::new(self.sshd.user()).key(Arc::clone(&self.key));
        let mut login = Login::new(&self.sshd)
            .credentials(credentials)
            .through(port);
        login.deadlines.connect = patience;
        login.deadlines.request = patience;
        login.deadlines.durable = patience;
        let client = login.connect().await?;
        let sftp = client.sftp().await?;
        let size = sftp.stat(b"source").await?.size;
        assert_eq!(size, Some(self.data.len() as u64));
        let mut file = sftp.open_read(b"source").await?;
        let mut got = Vec::new();
        while let Some(chunk) = file.chunk().await? {
            got.extend_from_slice(&chunk);
            assert!(self.data.starts_with(&got), "wrong contents");
        }
        assert_eq!(got.len(), self.data.len(), "wrong end");
        file.close().await?;
        let mut file = sftp
            .open_write(name.as_bytes(), OpenFlags::CREATE_NEW)
            .await?;
        file.write(0, Bytes::copy_from_slice(&self.data)).await?;
        file.close().await?;
        let lies = self.sshd.home().join(name);
        assert!(
            std::fs::read(lies).unwrap() == self.data,
            "wrong contents sent"
        );
        Ok(client)
    }
}

/// What went over the wire in one direction of a session without harm.
#[derive(Debug)]
struct Recording {
    /// The first byte of the identification, of each packet and what ends the last one.
    boundaries: BTreeSet<u64>,
    /// Padding that nothing protects.
    unprotected: Vec<Range<u64>>,
}

impl Recording {
    /// Packets of AES-GCM are as easy to find as plain ones: their length is not encrypted
    /// (RFC 5647 §7.3).
    fn new(bytes: &[u8]) -> Self {
        const NEWKEYS: u8 = 21;
        const TAG: usize = 16;
        let mut at = 1 + bytes.iter().position(|byte| *byte == b'\n').unwrap();
        let mut this = Self {
            boundaries: BTreeSet::from([0, at as u64]),
            unprotected: Vec::new(),
        };
        let mut tag = 0;
        while let Some((length, rest)) = bytes[at..].split_first_chunk() {
            let length = u32::from_be_bytes(*length) as usize;
            assert!(
                length < 40_000,
                "not the length of a packet: {length} at {at}"
            );
            let end = at + 4 + length;
            if tag == 0 {
                let padding = usize::from(rest[0]);
                this.unprotected.push((end - padding) as u64..end as u64);
                if rest[1] == NEWKEYS {
                    tag = TAG;
                    at = end;
                    this.boundaries.insert(at as u64);
                    continue;
                }
            }
            at = end + tag;
            this.boundaries.insert(at as u64);
        }
        this
    }

    fn protects(&self, at: u64) -> bool {
        !self.unprotected.iter().any(|range| range.contains(&at))
    }
}

/// Plays the scene over a tap and returns what went to the server and what to the client before the
/// client said goodbye.
async fn record(scene: &Scene) -> [Vec<u8>; 2] {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let upstream = scene.sshd.addr();
    let tap = tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect(upstream).await.unwrap();
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let up = tokio::spawn(copy(from_client, to_server));
        let down = tokio::spawn(copy(from_server, to_client));
        [up.await.unwrap(), down.await.unwrap()]
    });
    let client = scene.play(port, "recorded", HANG).await.unwrap();
    client.close().await;
    tap.await.unwrap()
}

async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let seen = all.len();
        match from.read_buf(&mut all).await {
            Ok(0) | Err(_) => return all,
            Ok(_) if to.write_all(&all[seen..]).await.is_err() => return all,
            Ok(_) => {}
        }
    }
}

/// What is done to a session.
#[derive(Debug, Clone)]
struct Harm {
    fault: Fault,
    direction: Direction,
    at: u64,
    /// Whether somebody must notice.
    felt: bool,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    /// In the last step of the TCP connection: a reset can come before the client looks.
    Connecting,
    Handshake,
    Authentication,
    Subsystem,
    Session,
    Unharmed,
}

/// Plays the scene with one harm. The error, if it is not one that this harm may cause.
async fn suffer(scene: Arc<Scene>, number: usize, harm: Harm) -> Result<Seen, String> {
    let plan = Plan::one(harm.direction, harm.at, harm.fault.clone());
    let proxy = FaultProxy::start(scene.sshd.addr(), plan);
    let (port, name) = (proxy.port(), format!("t{number}"));
    let play = tokio::spawn({
        let scene = Arc::clone(&scene);
        async move { scene.play(port, &name, PATIENCE).await.map(drop) }
    });
    let outcome = tokio::time::timeout(HANG, play).await;
    // It joins threads.
    tokio::task::spawn_blocking(move || drop(proxy))
        .await
        .unwrap();
    let complain = |what: String| Err(format!("{harm:?}: {what}"));
    match outcome {
        Err(_) => complain("it hangs".to_owned()),
        Ok(Err(panic)) => complain(format!("it panics: {panic}")),
        Ok(Ok(Ok(()))) if harm.felt => complain("nobody noticed".to_owned()),
        Ok(Ok(Ok(()))) => Ok(Seen::Unharmed),
        Ok(Ok(Err(failure))) => match stage(&failure) {
            Some(seen) => Ok(seen),
            None => complain(format!("{failure:?} does not say what happened")),
        },
    }
}

/// The stage that an error names, if it is one that a broken network explains.
fn stage(failure: &Failure) -> Option<Seen> {
    let explained = |protocol: &Protocol| {
        !matches!(
            protocol,
            Protocol::Unreachable(_)
                | Protocol::ApiMisuse(_)
                | Protocol::Closed
                | Protocol::AuthenticationFailed
                | Protocol::HostKeyRejected
        )
    };
    match failure {
        Failure::Connect(ConnectError::Lost { stage, lost }) if explained(&lost.protocol) => {
            named(*stage)
        }
        Failure::Connect(ConnectError::TimedOut { stage, .. }) => named(*stage),
        Failure::Connect(ConnectError::Unreachable { stage, .. }) => named(*stage),
        Failure::Sftp(SftpError::Lost(lost)) if explained(&lost.protocol) => Some(Seen::Session),
        Failure::Sftp(SftpError::TimedOut { .. }) => Some(Seen::Session),
        _ => None,
    }
}

fn named(stage: Stage) -> Option<Seen> {
    match stage {
        Stage::Tcp => Some(Seen::Connecting),
        Stage::Handshake => Some(Seen::Handshake),
        Stage::Authentication => Some(Seen::Authentication),
        Stage::Subsystem => Some(Seen::Subsystem),
        _ => None,
    }
}

/// Does every harm at the places that `wanted` picks, and prints what came of it.
async fn suffer_all(wanted: impl Fn(u64, &Recording) -> bool) {
    let panics = count_panics();
    let scene = Arc::new(Scene::new());
    let recordings = record(&scene).await;
    for bytes in &recordings {
        assert!(
            bytes.len() as u64 > PLACES + 200,
            "the scene is too short: {}",
            bytes.len()
        );
    }
    let mut quick = Vec::new();
    let mut slow = Vec::new();
    for (direction, bytes) in [Direction::ToServer, Direction::ToClient]
        .into_iter()
        .zip(recordings)
    {
        let recording = Recording::new(&bytes);
        for at in (0..PLACES).filter(|at| wanted(*at, &recording)) {
            let harm = |fault, felt| Harm {
                fault,
                direction,
                at,
                felt,
            };
            quick.push(harm(Fault::Reset, true));
            quick.push(harm(Fault::Close, true));
            quick.push(harm(Fault::Flip, recording.protects(at)));
            slow.push(harm(Fault::Stall, true));
        }
    }
    let mut tally = BTreeMap::new();
    let mut complaints = Vec::new();
    let mut number = 0;
    // What stalls sleeps, what does not needs the processor.
    for (harms, at_once) in [(quick, 8), (slow, 64)] {
        let mut harms = harms.into_iter();
        let mut under_way = JoinSet::new();
        loop {
            while under_way.len() < at_once
                && let Some(harm) = harms.next()
            {
                number += 1;
                let scene = Arc::clone(&scene);
                under_way.spawn(async move {
                    let started = Instant::now();
                    let seen = suffer(scene, number, harm.clone()).await;
                    (harm, seen, started.elapsed())
                });
            }
            let Some(done) = under_way.join_next().await else {
                break;
            };
            let (harm, seen, took) = done.unwrap();
            match seen {
                Ok(seen) => {
                    let what = (format!("{:?} {:?}", harm.fault, harm.direction), seen);
                    let entry = tally.entry(what).or_insert((0_u32, Duration::ZERO));
                    *entry = (entry.0 + 1, entry.1.max(took));
                }
                Err(complaint) => complaints.push(complaint),
            }
        }
    }
    for ((what, seen), (count, longest)) in &tally {
        println!(
            "{what:>14}: {seen:>14} {count:>5}, at most {longest:.1?}",
            seen = format!("{seen:?}")
        );
    }
    assert!(
        complaints.is_empty(),
        "{} of {number}:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
    assert_eq!(panics.load(Ordering::Relaxed), 0, "something panicked");
    let seen: BTreeSet<Seen> = tally.keys().map(|(_, seen)| *seen).collect();
    for stage in [
        Seen::Handshake,
        Seen::Authentication,
        Seen::Subsystem,
        Seen::Session,
    ] {
        assert!(seen.contains(&stage), "no harm was felt in {stage:?}");
    }
}

/// Counts panics from now on, those of the driver's own tasks too, which nobody joins.
fn count_panics() -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let before = std::panic::take_hook();
    let counter = Arc::clone(&count);
    std::panic::set_hook(Box::new(move |info| {
        counter.fetch_add(1, Ordering::Relaxed);
        before(info);
    }));
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_network_is_an_error_that_names_the_stage() {
    suffer_all(|at, recording| {
        let edge = |near: u64| recording.boundaries.contains(&near);
        at % 61 == 0 || edge(at) || edge(at + 1)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "nightly: every byte, takes minutes"]
async fn a_network_that_breaks_at_any_byte_is_an_error_that_names_the_stage() {
    suffer_all(|_, _| true).await;
}
