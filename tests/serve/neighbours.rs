//! Clients that behave badly, beside one that does not: it is not disturbed, and the server holds no more than its quota.

use crate::clients::{Cell, paramiko};
use crate::host::Host;
use crate::login::Login;
use crate::process::{Peak, memory};
use sansftp_tokio::Client;
use sansftp_tokio::sftp::Sftp;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// A stream that can be told to stop reading, or to let a byte a second out.
struct Slow {
    inner: tokio::net::TcpStream,
    deaf: Arc<AtomicBool>,
    dribbles: Arc<AtomicBool>,
    pause: Pin<Box<Sleep>>,
}

impl AsyncRead for Slow {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.deaf.load(Ordering::Relaxed) {
            // Never woken for it again, which is what is wanted.
            return Poll::Pending;
        }
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Slow {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.dribbles.load(Ordering::Relaxed) {
            return Pin::new(&mut self.inner).poll_write(cx, buf);
        }
        std::task::ready!(self.pause.as_mut().poll(cx));
        self.pause = Box::pin(sleep(Duration::from_secs(1)));
        Pin::new(&mut self.inner).poll_write(cx, &buf[..1])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// A session over such a stream, and its two switches.
async fn slow_session(
    login: &Login,
    port: u16,
) -> (Client, Sftp, Arc<AtomicBool>, Arc<AtomicBool>) {
    let inner = tokio::net::TcpStream::connect(("127.0.0.1", port))
        .await
        .unwrap();
    let (deaf, dribbles) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let slow = Slow {
        inner,
        deaf: Arc::clone(&deaf),
        dribbles: Arc::clone(&dribbles),
        pause: Box::pin(sleep(Duration::ZERO)),
    };
    let client = login.over(slow).await.unwrap();
    let sftp = client.sftp().await.unwrap();
    (client, sftp, deaf, dribbles)
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_never_read_and_clients_that_dribble_disturb_nobody() {
    const LEN: u64 = 16 << 20;
    let host = Host::serve();
    crate::files::fill(&host.home().join("file"), 1, LEN);
    let (login, pid) = (Login::new(&host), host.pid());
    let get = async || {
        let start = Instant::now();
        let client = login.connect().await.unwrap();
        let sftp = client.sftp().await.unwrap();
        let mut file = sftp.open_read(b"file").await.unwrap();
        let mut len = 0;
        while let Some(chunk) = file.chunk().await.unwrap() {
            len += chunk.len() as u64;
        }
        assert_eq!(len, LEN);
        client.close().await;
        start.elapsed()
    };
    get().await;
    let alone = get().await;
    let before = memory(pid);

    let mut kept = Vec::new();
    for _ in 0..8 {
        // Asks for all of a file, and reads nothing any more.
        let (client, sftp, deaf, _) = slow_session(&login, host.port()).await;
        let mut file = sftp.open_read(b"file").await.unwrap();
        assert!(file.chunk().await.unwrap().is_some());
        deaf.store(true, Ordering::Relaxed);
        let reader = tokio::spawn(async move { while let Ok(Some(_)) = file.chunk().await {} });
        kept.push((client, sftp, reader));
        // In the middle of a packet, a byte a second.
        let (client, sftp, _, dribbles) = slow_session(&login, host.port()).await;
        dribbles.store(true, Ordering::Relaxed);
        let asking = sftp.clone();
        let asks = tokio::spawn(async move {
            let _ = asking.stat(b"file").await;
        });
        kept.push((client, sftp, asks));
    }
    // The same before authentication: silent after the greeting, and dribbling its own.
    let strangers: Vec<_> = (0..16)
        .map(|number| {
            let mut stream = TcpStream::connect(("127.0.0.1", host.port())).unwrap();
            let mut later = stream.try_clone().unwrap();
            if number % 2 == 0 {
                std::thread::spawn(move || {
                    for byte in b"SSH-2.0-dribble" {
                        if later.write_all(&[*byte]).is_err() {
                            return;
                        }
                        std::thread::sleep(Duration::from_secs(1));
                    }
                });
            }
            stream.write_all(b"S").unwrap();
            stream
        })
        .collect();
    sleep(Duration::from_secs(2)).await;
    let mut beside = get().await;
    for _ in 0..2 {
        beside = beside.min(get().await);
    }
    let held = memory(pid).saturating_sub(before) / 8;
    println!(
        "{LEN} bytes: {alone:?} alone, {beside:?} beside 32 bad neighbours; {held} KiB per client that never reads"
    );
    // The machine runs other tests meanwhile; who waits for a bad neighbour waits for minutes.
    assert!(
        beside < alone * 5 + Duration::from_secs(5),
        "{alone:?} became {beside:?}"
    );
    assert!(held < 16 * 1024, "{held} KiB");
    drop(strangers);
    for (client, _, task) in kept {
        task.abort();
        drop(client);
    }
}

/// paramiko asks for every block of a file before it reads the first answer.
fn prefetch(len: u64) {
    let host = Host::serve_in_memory();
    let cell = Cell::new(&host, "prefetch");
    let get = |name: &str| {
        let output = paramiko::script(&cell, &["get-of", name]).output().unwrap();
        assert!(output.status.success(), "{output:?}\n{}", host.log());
    };
    cell.make("small", 1, 1 << 20);
    cell.make("source", 2, len);
    get("small");
    let before = memory(host.pid());
    let peak = Peak::watch(host.pid());
    let start = Instant::now();
    get("source");
    let grown = peak.highest().saturating_sub(before);
    println!(
        "prefetch of {len} bytes: {:.1} s, the server grew by {grown} KiB",
        start.elapsed().as_secs_f64()
    );
    assert_eq!(
        crate::files::hash(&cell.disk("source")),
        crate::files::hash(&cell.local("source"))
    );
    assert!(grown < BOUND, "{grown} KiB");

    // And one that asks, and reads no answer until the test is done.
    let mut child = paramiko::script(&cell, &["prefetch-unread"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "asked\n");
    std::thread::sleep(Duration::from_secs(2));
    let grown = memory(host.pid()).saturating_sub(before);
    println!("unread, it holds {grown} KiB");
    assert!(grown < BOUND, "{grown} KiB");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

/// In KiB: the session's quota of 8 MiB, a window of 2 MiB each way, and the allocator's and the page cache's part.
const BOUND: u64 = (8 + 2 + 2 + 4) * 1024;

#[test]
fn a_prefetch_of_32_mib_completes_within_the_quota() {
    prefetch(32 << 20);
}

#[test]
#[ignore = "nightly: takes a while in Python"]
fn a_prefetch_of_256_mib_completes_within_the_quota() {
    prefetch(256 << 20);
}
