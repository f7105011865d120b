//! How much goes over long ways, in virtual time: round trip x what is in flight, and round trip x window x channels.
//!
//! No clock is looked at: time stands still while anybody works, and jumps to the next timer. So the tables
//! hold on every machine, and change only with the policy: how the receive window grows, how much is asked for
//! ahead, over how many channels an upload goes.

use crate::peer::*;
use bytes::Bytes;
use sansftp_proto::session::Trust;
use sansftp_tokio::server::{Incoming, Session};
use sansftp_tokio::sftp::server::{MemFs, Options};
use sansftp_tokio::sftp::{OpenFlags, Sftp, Spread};
use sansftp_tokio::{Client, Credentials, Deadlines};
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

const MIB: usize = 1 << 20;
/// The link carries so much a second, each way.
const RATE: u64 = 256 << 20;
/// What is transferred.
const SIZE: usize = 32 * MIB;
const ROUND_TRIPS: [u64; 4] = [20, 50, 100, 200];

/// Both ends of a link that is `round_trip` long, and holds all that is on its way.
fn link(round_trip: Duration) -> (DuplexStream, DuplexStream) {
    let (client, near) = tokio::io::duplex(256 * 1024);
    let (server, far) = tokio::io::duplex(256 * 1024);
    let (near_reader, near_writer) = tokio::io::split(near);
    let (far_reader, far_writer) = tokio::io::split(far);
    tokio::spawn(carry(near_reader, far_writer, round_trip / 2));
    tokio::spawn(carry(far_reader, near_writer, round_trip / 2));
    (client, server)
}

async fn carry(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin + Send + 'static,
    distance: Duration,
) {
    let (way, mut on_it) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((due, bytes)) = on_it.recv().await {
            sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut free = Instant::now();
    let mut buffer = vec![0; 256 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let nanos = read as u64 * 1_000_000_000 / RATE;
        free = free.max(Instant::now()) + Duration::from_nanos(nanos);
        if way
            .send((free + distance, buffer[..read].to_vec()))
            .is_err()
        {
            return;
        }
    }
}

/// A connection at the end of such a link. The server lets a channel have `window`, and each channel that is
/// asked for.
async fn connection_over(round_trip: Duration, window: usize, files: &MemFs) -> Client {
    let (ours, theirs) = link(round_trip);
    let mut config = server_config();
    config.limits.window = u32::try_from(window).unwrap();
    let files = files.clone();
    tokio::spawn(async move {
        let mut session = Session::accept(theirs, Arc::new(config), Password)
            .await
            .unwrap();
        while let Ok(Incoming::Session(offer)) = session.next().await {
            let mut channel = offer.accept().unwrap();
            let files = files.clone();
            tokio::spawn(async move {
                channel.next().await.unwrap().accept();
                channel
                    .serve_sftp(Arc::new(files), Options::default())
                    .await
            });
        }
    });
    let password = String::from_utf8(PASSWORD.to_vec()).unwrap();
    let deadlines = Deadlines::default();
    let client = Client::over(
        ours,
        client_config(),
        &deadlines,
        |_| Trust::Trusted,
        Credentials::new("ann").password(password),
    );
    client.await.unwrap()
}

/// The same with a session of SFTP.
async fn session_over(round_trip: Duration, window: usize, files: &MemFs) -> (Client, Sftp) {
    let client = connection_over(round_trip, window, files).await;
    let sftp = client.sftp().await.unwrap();
    // Any answer tells how far away the server is.
    sftp.stat(b"/").await.unwrap();
    (client, sftp)
}

/// Identifications and KEXINITs cross on their way; the key exchange, the service, the password. Then the channel,
/// the subsystem with INIT, and limits with the home.
#[tokio::test(start_paused = true)]
async fn a_connection_takes_three_round_trips_and_a_half_and_a_session_that_knows_its_home_three_more()
 {
    let round_trip = Duration::from_secs(1);
    let began = Instant::now();
    let files = MemFs::new(1 << 20);
    let client = connection_over(round_trip, 2 * MIB, &files).await;
    let connected = began.elapsed();
    let (_sftp, home) = client.sftp_at_home().await.unwrap();
    assert_eq!(home.unwrap(), "/");
    let rounds = |time: Duration| (time.as_secs_f64() * 10.0).round() / 10.0;
    assert_eq!((rounds(connected), rounds(began.elapsed())), (3.5, 6.5));
}

/// What a small file costs: to open, to write, to have on the disk and looked at together, to close.
#[tokio::test(start_paused = true)]
async fn a_file_is_put_on_the_disk_and_looked_at_in_one_round_trip() {
    let files = MemFs::new(1 << 20);
    let (_client, sftp) = session_over(Duration::from_secs(1), 2 * MIB, &files).await;
    let began = Instant::now();
    let mut file = sftp
        .open_write(b"/new", OpenFlags::CREATE_NEW)
        .await
        .unwrap();
    file.write(0, Bytes::from_static(b"content")).await.unwrap();
    let (durable, attrs) = file.fsync_and_stat().await;
    durable.unwrap();
    assert_eq!(attrs.unwrap().size, Some(7));
    file.close().await.unwrap();
    assert_eq!(began.elapsed().as_secs_f64().round(), 4.0);
    // Each has its own outcome.
    let mut file = sftp.open_write(b"/new", OpenFlags::CREATE_NEW).await;
    assert!(file.is_err());
    file = sftp.open_write(b"/new", OpenFlags::WRITE).await;
    let (durable, attrs) = file.unwrap().fsync_and_stat().await;
    assert!(durable.is_ok() && attrs.unwrap().size == Some(7));
}

/// MiB a second.
fn speed(bytes: usize, since: Instant) -> u64 {
    let millis = since.elapsed().as_millis().max(1);
    u64::try_from(bytes as u128 * 1000 / (MIB as u128 * millis)).unwrap()
}

async fn download(round_trip: Duration, in_flight: Option<usize>) -> u64 {
    let size = SIZE;
    let files = MemFs::new(1 << 30);
    files.put(b"/file", &vec![7; size]).unwrap();
    let (_client, sftp) = session_over(round_trip, 2 * MIB, &files).await;
    let began = Instant::now();
    let mut file = sftp.open_read(b"file").await.unwrap();
    file.start(0, Some(size as u64));
    if let Some(bytes) = in_flight {
        file.set_in_flight(bytes);
    }
    let mut got = 0;
    while let Some(chunk) = file.chunk().await.unwrap() {
        got += chunk.len();
    }
    assert_eq!(got, size);
    file.close().await.unwrap();
    speed(size, began)
}

async fn upload(round_trip: Duration, window: usize, channels: usize) -> u64 {
    let size = SIZE;
    let files = MemFs::new(1 << 30);
    let (_client, sftp) = session_over(round_trip, window, &files).await;
    let began = Instant::now();
    let mut file = sftp
        .open_write(b"file", OpenFlags::CREATE_NEW)
        .await
        .unwrap();
    file.set_in_flight(64 * MIB);
    if let Some(channels) = NonZeroUsize::new(channels).filter(|it| it.get() > 1) {
        let plan = Spread {
            channels,
            farther_than: Duration::ZERO,
            size_hint: Some(size as u64),
        };
        file.spread(b"file", plan);
    }
    let block = Bytes::from(vec![7; MIB / 4]);
    for offset in (0..size).step_by(block.len()) {
        file.write(offset as u64, block.clone()).await.unwrap();
    }
    file.flush().await.unwrap();
    file.close().await.unwrap();
    let took = speed(size, began);
    assert_eq!(files.get(b"/file").unwrap().len(), size);
    took
}

/// The two tables: a cell may be off by a tenth, because work that is done at one moment is not always cut into
/// the same packets.
fn compare(shown: &str, expected: &str) {
    let cells = |table: &str| -> Vec<Vec<String>> {
        let lines = table.lines().map(str::trim).filter(|line| !line.is_empty());
        lines
            .map(|line| line.split_whitespace().map(str::to_owned).collect())
            .collect()
    };
    let is_near =
        |shown: &String, expected: &String| match (shown.parse::<u64>(), expected.parse::<u64>()) {
            (Ok(shown), Ok(expected)) => shown.abs_diff(expected) <= (expected / 10).max(1),
            _ => shown == expected,
        };
    let (rows, wanted) = (cells(shown), cells(expected));
    let same = rows.len() == wanted.len()
        && rows.iter().zip(&wanted).all(|(row, wanted)| {
            row.len() == wanted.len() && row.iter().zip(wanted).all(|(a, b)| is_near(a, b))
        });
    assert!(same, "is:\n{shown}\nwas:\n{expected}");
}

#[tokio::test(start_paused = true)]
async fn downloads_are_held_up_by_what_is_asked_for_and_by_nothing_else() {
    let expected = "
        ms   1MiB 4MiB default
        20   41  131  161
        50   17   55   81
        100   8   28   43
        200   4   14   22";
    let mut table = String::from("ms 1MiB 4MiB default\n");
    for millis in ROUND_TRIPS {
        let _ = write!(table, "{millis}");
        let asked = [Some(MIB), Some(4 * MIB), None];
        for in_flight in asked {
            let speed = download(Duration::from_millis(millis), in_flight).await;
            let _ = write!(table, " {speed}");
        }
        table.push('\n');
    }
    compare(&table, expected);
}

#[tokio::test(start_paused = true)]
async fn uploads_are_held_up_by_the_servers_window_and_less_over_several_channels() {
    let expected = "
        ms   2MiBx1 2MiBx4 2MiBx8 8MiBx1
        20   70    110     110    150
        50   31     52     57     71
        100  16     27     30     37
        200   8     14     15     19";
    let mut table = String::from("ms 2MiBx1 2MiBx4 2MiBx8 8MiBx1\n");
    for millis in ROUND_TRIPS {
        let _ = write!(table, "{millis}");
        for (window, channels) in [(2, 1), (2, 4), (2, 8), (8, 1)] {
            let speed = upload(Duration::from_millis(millis), window * MIB, channels).await;
            let _ = write!(table, " {speed}");
        }
        table.push('\n');
    }
    compare(&table, expected);
}
