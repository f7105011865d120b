//! Many sessions at once, each with files of its own: all complete, and what each costs the server is measured.

use crate::host::Host;
use crate::login::Login;
use crate::process::{Peak, memory};
use bytes::Bytes;
use sansftp_tokio::Client;
use sansftp_tokio::sftp::{OpenFlags, Sftp};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Barrier, Semaphore};

/// So many handshakes at once. More than the server's bound on them would be dropped, as they should.
const HANDSHAKES: usize = 32;

/// Another content for each session, of which no piece is like another.
fn block(session: u64, number: u64) -> Bytes {
    let mut state = (session << 32 | number).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut out = Vec::with_capacity(1 << 18);
    while out.len() < 1 << 18 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.into()
}

async fn put_and_get(sftp: &Sftp, session: u64, len: u64) {
    let name = format!("crowd-{session}");
    let mut sent = Sha256::new();
    let mut file = sftp
        .open_write(name.as_bytes(), OpenFlags::CREATE_NEW)
        .await
        .unwrap();
    for number in 0..len >> 18 {
        let block = block(session, number);
        sent.update(&block);
        file.write(number << 18, block).await.unwrap();
    }
    file.close().await.unwrap();
    let mut got = Sha256::new();
    let mut file = sftp.open_read(name.as_bytes()).await.unwrap();
    while let Some(chunk) = file.chunk().await.unwrap() {
        got.update(&chunk);
    }
    file.close().await.unwrap();
    assert_eq!(sent.finalize(), got.finalize(), "session {session}");
    sftp.remove(name.as_bytes()).await.unwrap();
}

/// `len` is a multiple of 256 KiB.
async fn crowd(sessions: u64, len: u64) {
    let host = Host::serve_in_memory();
    let (login, pid) = (Login::new(&host), host.pid());
    // The first session pays for what all share.
    let (client, sftp) = session(&login).await;
    put_and_get(&sftp, u64::from(u32::MAX), len).await;
    drop(sftp);
    client.close().await;
    let before = memory(pid);

    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    let all_in = Arc::new(Barrier::new(usize::try_from(sessions).unwrap() + 1));
    let go = Arc::new(Barrier::new(usize::try_from(sessions).unwrap() + 1));
    let start = Instant::now();
    let tasks: Vec<_> = (0..sessions)
        .map(|number| {
            let (login, handshakes) = (login.clone(), Arc::clone(&handshakes));
            let (all_in, go) = (Arc::clone(&all_in), Arc::clone(&go));
            tokio::spawn(async move {
                let permit = handshakes.acquire_owned().await.unwrap();
                let (client, sftp) = session(&login).await;
                drop(permit);
                all_in.wait().await;
                go.wait().await;
                put_and_get(&sftp, number, len).await;
                drop(sftp);
                client.close().await;
            })
        })
        .collect();
    all_in.wait().await;
    let in_after = start.elapsed().as_secs_f64();
    // What the handshakes left behind is given back, if it ever is.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let idle = memory(pid);
    let peak = Peak::watch(pid);
    go.wait().await;
    let start = Instant::now();
    for task in tasks {
        task.await.unwrap();
    }
    let took = start.elapsed().as_secs_f64();
    let per_session = |rss: u64| rss.saturating_sub(before) / sessions;
    println!(
        "{sessions} sessions: in after {in_after:.1} s; 2 x {} MiB each after {took:.1} s, {:.0} MiB/s in all; \
         server: {before} KiB with none, {idle} KiB idle ({} KiB each), {} KiB at most ({} KiB each)",
        len >> 20,
        (2 * sessions * len) as f64 / took / f64::from(1 << 20),
        per_session(idle),
        peak.highest(),
        per_session(peak.highest()),
    );
    assert!(per_session(idle) < 1024, "{} KiB", per_session(idle));
    // The quota of requests and answers, a window each way, and what the allocator keeps.
    let bound = (8 + 2 + 2 + 4) * 1024;
    assert!(
        per_session(peak.highest()) < bound,
        "{} KiB",
        per_session(peak.highest())
    );
}

async fn session(login: &Login) -> (Client, Sftp) {
    let client = login.connect().await.unwrap();
    let sftp = client.sftp().await.unwrap();
    (client, sftp)
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_sessions_at_once_all_complete() {
    crowd(20, 2 << 20).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "nightly: 200 sessions with 16 MiB each"]
async fn two_hundred_sessions_at_once_all_complete() {
    crowd(200, 16 << 20).await;
}
