//! Files, names and directories at the driver's level: what no content, no name, no change underneath
//! and no abandoned future may break.

use crate::common::{Login, Noise, disk_hash, get, get_hash, put, put_noise};
use bytes::Bytes;
use sansftp_testkit::sshd::{Sftp as Served, Sshd};
use sansftp_tokio::sftp::{Listed, OpenFlags, Sftp, StatusCode};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::future::{Future, poll_fn};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

/// Names that are hard on whoever thinks that names are text.
const NAMES: &[&[u8]] = &[
    b"with space",
    b" leading and trailing ",
    b"quo\"te's",
    b"new\nline",
    b"tab\tand\rreturn",
    b"-rf",
    b"--",
    b"...",
    b".hidden",
    b"*?[a-z]{x,y}",
    b"back\\slash",
    b"$HOME `id` ;|&",
    b"caf\xc3\xa9",
    b"caf\xe9",
    b"\xff\xfe\x80",
    b"\x01\x1b[31m\x7f",
];

/// All names in a directory, each once.
async fn names(sftp: &Sftp, path: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::new();
    let mut dir = sftp.read_dir(path).await.unwrap();
    while let Some(batch) = dir.batch().await.unwrap() {
        for listed in batch {
            let Listed::Entry(entry) = listed else {
                panic!("{listed:?}")
            };
            assert!(all.insert(entry.filename.to_vec()), "{entry:?} came twice");
        }
    }
    all
}

#[tokio::test]
async fn an_empty_file_goes_both_ways() {
    let sshd = Sshd::start();
    let (_client, sftp) = Login::new(&sshd).session().await;
    put(&sftp, b"empty", b"").await;
    assert_eq!(fs::metadata(sshd.home().join("empty")).unwrap().len(), 0);
    assert!(get(&sftp, b"empty").await.is_empty());
}

#[tokio::test]
async fn names_are_bytes_and_stay_so() {
    let sshd = Sshd::start();
    let (_client, sftp) = Login::new(&sshd).session().await;
    let longest = [b'n'; 255];
    let wanted: BTreeSet<Vec<u8>> = NAMES
        .iter()
        .copied()
        .chain([longest.as_slice()])
        .map(<[u8]>::to_vec)
        .collect();
    sftp.make_dir(b"odd names").await.unwrap();
    for name in &wanted {
        let path = [b"odd names/", name.as_slice()].concat();
        put(&sftp, &path, name).await;
        let lies = sshd.home().join(OsStr::from_bytes(&path));
        assert_eq!(fs::read(&lies).unwrap(), *name, "{}", name.escape_ascii());
        let there = sftp.real_path(&path).await.unwrap();
        assert_eq!(there.as_ref(), lies.as_os_str().as_bytes());
    }
    assert_eq!(names(&sftp, b"odd names").await, wanted);
    sftp.make_dir(b"moved").await.unwrap();
    for name in &wanted {
        let from = [b"odd names/", name.as_slice()].concat();
        let to = [b"moved/", name.as_slice()].concat();
        sftp.rename(&from, &to).await.unwrap();
        assert_eq!(get(&sftp, &to).await, *name);
        sftp.remove(&to).await.unwrap();
    }
    sftp.remove_dir(b"moved").await.unwrap();
    assert!(names(&sftp, b"odd names").await.is_empty());
}

#[tokio::test]
async fn ten_thousand_names_are_listed_once_each() {
    let sshd = Sshd::start();
    let dir = sshd.mkdir("many");
    let wanted: BTreeSet<_> = (0..10_000)
        .map(|n| format!("file {n:05}").into_bytes())
        .collect();
    for name in &wanted {
        fs::write(dir.join(OsStr::from_bytes(name)), b"").unwrap();
    }
    let (_client, sftp) = Login::new(&sshd).session().await;
    assert!(names(&sftp, b"many").await == wanted);
}

#[tokio::test]
async fn a_listing_that_is_dropped_half_way_leaves_the_session_usable() {
    let sshd = Sshd::builder().sftp(Served::Logged).start();
    for n in 0..500 {
        sshd.write(format!("d/{n}"), b"");
    }
    let (_client, sftp) = Login::new(&sshd).session().await;
    for _ in 0..20 {
        let mut dir = sftp.read_dir(b"d").await.unwrap();
        assert!(dir.batch().await.unwrap().is_some());
    }
    sftp.stat(b"d").await.unwrap();
    closed_in_the_end(&sshd, "opendir \"", "closedir \"", 20).await;
}

#[tokio::test]
async fn many_files_move_at_once_in_two_sessions_of_one_connection() {
    let sshd = Sshd::builder().sftp(Served::Internal).start();
    let (client, first) = Login::new(&sshd).session().await;
    let second = client.sftp().await.unwrap();
    let data = Noise::all(3_000_001);
    let mut moves = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (sftp, data) = ([&first, &second][n % 2].clone(), data.clone());
        moves.spawn(async move {
            let name = format!("file{n}");
            put(&sftp, name.as_bytes(), &data).await;
            assert!(get(&sftp, name.as_bytes()).await == data, "{name}");
        });
    }
    while let Some(done) = moves.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_read_ends_where_it_ends() {
    let sshd = Sshd::start();
    let data = Noise::all(40_000_000);
    let path = sshd.write("shrinks", &data);
    let (_client, sftp) = Login::new(&sshd).session().await;
    let mut file = sftp.open_read(b"shrinks").await.unwrap();
    file.set_in_flight(1 << 20);
    let mut got = file.chunk().await.unwrap().unwrap().to_vec();
    fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(20_000_000)
        .unwrap();
    while let Some(chunk) = file.chunk().await.unwrap() {
        got.extend_from_slice(&chunk);
    }
    assert_eq!(got.len(), 20_000_000);
    assert!(data.starts_with(&got));
}

#[tokio::test]
async fn a_file_that_grows_while_it_is_read_is_read_to_its_new_end() {
    let sshd = Sshd::start();
    let data = Noise::all(20_000_000);
    let path = sshd.write("grows", &data[..15_000_000]);
    let (_client, sftp) = Login::new(&sshd).session().await;
    let mut file = sftp.open_read(b"grows").await.unwrap();
    file.set_in_flight(1 << 20);
    let mut got = file.chunk().await.unwrap().unwrap().to_vec();
    fs::OpenOptions::new()
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(&data[15_000_000..])
        .unwrap();
    while let Some(chunk) = file.chunk().await.unwrap() {
        got.extend_from_slice(&chunk);
    }
    assert!(got == data, "{} bytes", got.len());
}

#[tokio::test]
async fn what_the_account_may_not_do_is_refused_and_the_session_goes_on() {
    let sshd = Sshd::start();
    sshd.write("exists", b"x");
    let (_client, sftp) = Login::new(&sshd).session().await;
    let code = |error: sansftp_tokio::sftp::SftpError| error.code();
    let error = sftp.open_read(b"nowhere/file").await.unwrap_err();
    assert_eq!(code(error), Some(StatusCode::NO_SUCH_FILE));
    let error = sftp.read_dir(b"nowhere").await.unwrap_err();
    assert_eq!(code(error), Some(StatusCode::NO_SUCH_FILE));
    let error = sftp
        .open_write(b"exists", OpenFlags::CREATE_NEW)
        .await
        .unwrap_err();
    assert_eq!(code(error), Some(StatusCode::FAILURE));
    if sshd.has_own_account() {
        let private = sshd.private_dir();
        let private = private.as_os_str().as_bytes();
        let error = sftp.read_dir(private).await.unwrap_err();
        assert_eq!(code(error), Some(StatusCode::PERMISSION_DENIED));
        let inside = [private, b"/new"].concat();
        let error = sftp
            .open_write(&inside, OpenFlags::CREATE_NEW)
            .await
            .unwrap_err();
        assert_eq!(code(error), Some(StatusCode::PERMISSION_DENIED));
    }
    assert_eq!(get(&sftp, b"exists").await, b"x");
}

#[tokio::test]
async fn a_write_to_a_full_disk_is_an_error_at_the_latest_when_closed() {
    let sshd = Sshd::start();
    let (_client, sftp) = Login::new(&sshd).session().await;
    let mut file = sftp
        .open_write(b"/dev/full", OpenFlags::WRITE)
        .await
        .unwrap();
    let mut failed = None;
    for (n, block) in (0..).zip(Noise::new(20 << 20)) {
        if let Err(error) = file.write(n << 20, block).await {
            failed = Some(error);
            break;
        }
    }
    let error = match failed {
        Some(error) => error,
        None => file.close().await.unwrap_err(),
    };
    assert_eq!(error.code(), Some(StatusCode::FAILURE), "{error}");
    sftp.stat(b".").await.unwrap();
}

// ---- futures that nobody awaits any longer

/// Polls a future `times` times and drops it; what it gave, if it was ready that soon.
async fn polled<T>(times: usize, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    for _ in 0..times {
        let ready = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
        if let Poll::Ready(value) = ready {
            return Some(value);
        }
        tokio::task::yield_now().await;
    }
    None
}

/// Waits until sftp-server has closed as much as it opened.
async fn closed_in_the_end(sshd: &Sshd, opens: &str, closes: &str, least: usize) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let log = sshd.sftp_log();
        let count = |words: &str| log.lines().filter(|line| line.starts_with(words)).count();
        let (opened, closed) = (count(opens), count(closes));
        if opened == closed && opened >= least {
            return;
        }
        assert!(
            Instant::now() < end,
            "{opened} opened (at least {least} wanted), {closed} closed"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_abandoned_opens_leave_no_handle_open() {
    let sshd = Sshd::builder().sftp(Served::Logged).start();
    sshd.write("file", b"contents");
    let (_client, sftp) = Login::new(&sshd).session().await;
    let mut opened = 0;
    for n in 0..1000 {
        if polled(1 + n % 8, sftp.open_read(b"file")).await.is_some() {
            opened += 1;
        }
    }
    assert!(opened < 1000, "none was abandoned");
    // Requests are answered in order: when this one is, so are they all.
    assert_eq!(get(&sftp, b"file").await, b"contents");
    closed_in_the_end(&sshd, "open \"", "close \"", 1001).await;
}

#[tokio::test]
async fn a_read_that_is_abandoned_again_and_again_loses_nothing() {
    let sshd = Sshd::builder().sftp(Served::Internal).start();
    let data = Noise::all(10_000_000);
    sshd.write("file", &data);
    let (_client, sftp) = Login::new(&sshd).session().await;
    let mut file = sftp.open_read(b"file").await.unwrap();
    let mut got = Vec::new();
    let mut abandoned = 0;
    loop {
        match polled(1, file.chunk()).await {
            None => {
                abandoned += 1;
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
            Some(chunk) => match chunk.unwrap() {
                Some(chunk) => got.extend_from_slice(&chunk),
                None => break,
            },
        }
    }
    assert!(abandoned > 0);
    assert!(
        got == data,
        "{} bytes, {abandoned} times abandoned",
        got.len()
    );
}

#[tokio::test]
async fn transfers_that_are_dropped_half_way_leave_the_session_usable() {
    let sshd = Sshd::builder().sftp(Served::Logged).start();
    let data = Noise::all(10_000_000);
    sshd.write("source", &data);
    let (_client, sftp) = Login::new(&sshd).session().await;
    for n in 0..10 {
        let mut file = sftp.open_read(b"source").await.unwrap();
        file.chunk().await.unwrap();
        polled(n, file.chunk()).await;
        drop(file);

        let name = format!("target{n}");
        let mut file = sftp
            .open_write(name.as_bytes(), OpenFlags::CREATE_NEW)
            .await
            .unwrap();
        for (offset, block) in (0..).step_by(1 << 20).zip(Noise::new(10_000_000)) {
            if polled(1, file.write(offset, block)).await.is_none() {
                break;
            }
        }
    }
    assert!(get(&sftp, b"source").await == data);
    closed_in_the_end(&sshd, "open \"", "close \"", 21).await;
}

#[tokio::test]
async fn a_close_that_is_abandoned_still_closes() {
    let sshd = Sshd::builder().sftp(Served::Logged).start();
    let (_client, sftp) = Login::new(&sshd).session().await;
    for n in 0..50 {
        let name = format!("file{n}");
        let mut file = sftp
            .open_write(name.as_bytes(), OpenFlags::CREATE_NEW)
            .await
            .unwrap();
        file.write(0, Bytes::from_static(b"some")).await.unwrap();
        polled(n % 4, file.close()).await;
    }
    closed_in_the_end(&sshd, "open \"", "close \"", 50).await;
}

#[tokio::test]
#[ignore = "nightly: moves 4 GiB"]
async fn two_gibibytes_go_both_ways() {
    const LEN: u64 = (2 << 30) + 1;
    let memory = std::path::Path::new("/dev/shm");
    let mut builder = Sshd::builder();
    if memory.is_dir() {
        builder = builder.data_in(memory);
    }
    let sshd = builder.start();
    let (client, sftp) = Login::new(&sshd).session().await;
    let sent = put_noise(&sftp, b"large", LEN).await;
    let lies = sshd.home().join("large");
    assert_eq!(fs::metadata(&lies).unwrap().len(), LEN);
    assert_eq!(disk_hash(&lies), sent);
    assert_eq!(get_hash(&sftp, b"large").await, sent);
    client.close().await;
}
