//! Sessions of SFTP on channels, from beginning to end.

use crate::peer::*;
use bytes::Bytes;
use sansftp_proto::connection::{ToClient, ToServer};
use sansftp_proto::session::Trust;
use sansftp_tokio::server::{Serving, Session};
use sansftp_tokio::sftp::server::{Event, MemFs, Observe, Options};
use sansftp_tokio::sftp::{OpenFlags, SftpError};
use sansftp_tokio::{Client, Credentials, Deadlines};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// A connection of this crate's own client, and its session.
async fn connection() -> (Session<Known>, Client) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let accepted = tokio::spawn(Session::accept(theirs, Arc::new(server_config()), Password));
    let password = String::from_utf8(PASSWORD.to_vec()).unwrap();
    let credentials = Credentials::new("ann").password(password);
    let deadlines = Deadlines::default();
    let client = Client::over(
        ours,
        client_config(),
        &deadlines,
        |_| Trust::Trusted,
        credentials,
    );
    let client = client.await.unwrap();
    (accepted.await.unwrap().unwrap(), client)
}

/// The next channel, on which `files` are served once that is asked for.
async fn serving(session: &mut Session<Known>, files: &MemFs) -> Serving {
    let mut channel = accept(session).await;
    let asked = channel.next().await.unwrap();
    assert_eq!(asked.request, ToServer::Subsystem("sftp".into()));
    asked.accept();
    channel.serve_sftp(Arc::new(files.clone()), Options::default())
}

#[tokio::test]
async fn files_go_both_ways_and_the_end_says_how_much() {
    let (mut session, client) = connection().await;
    let files = MemFs::new(1 << 30);
    let (serving, sftp) = tokio::join!(serving(&mut session, &files), client.sftp());
    let sftp = sftp.unwrap();
    let data = pattern(3_000_000);
    let mut file = sftp
        .open_write(b"file", OpenFlags::CREATE_NEW)
        .await
        .unwrap();
    file.write(0, Bytes::from(data.clone())).await.unwrap();
    file.close().await.unwrap();
    let mut file = sftp.open_read(b"file").await.unwrap();
    let mut back = Vec::new();
    while let Some(chunk) = file.chunk().await.unwrap() {
        back.extend_from_slice(&chunk);
    }
    file.close().await.unwrap();
    assert!(back == data);
    assert!(files.get(b"/file").unwrap() == data);
    drop(sftp);
    let end = timeout(SOON, serving).await.expect("the client is done");
    assert_eq!((end.bytes_read, end.bytes_written), (3_000_000, 3_000_000));
    // The connection stands, for the next one.
    let (_serving, sftp) = tokio::join!(self::serving(&mut session, &files), client.sftp());
    sftp.unwrap().stat(b"file").await.unwrap();
}

#[tokio::test]
async fn a_session_of_sftp_ends_with_its_connection() {
    let (mut session, client) = connection().await;
    let files = MemFs::new(1 << 20);
    let (serving, sftp) = tokio::join!(serving(&mut session, &files), client.sftp());
    let sftp = sftp.unwrap();
    let _open = sftp.open_write(b"file", OpenFlags::CREATE_NEW).await;
    drop(session);
    let end = timeout(SOON, serving).await.expect("it is told");
    assert!(end.error.is_some(), "broken off: {end:?}");
    let error = sftp.stat(b"file").await.unwrap_err();
    assert!(matches!(error, SftpError::Lost(_)), "{error}");
}

/// Holds up the end of a session until it is told to let it go.
#[derive(Debug)]
struct SlowEnd(Mutex<Receiver<()>>);

impl Observe for SlowEnd {
    fn observe(&self, event: &Event<'_>) {
        if matches!(event, Event::Ended(_)) {
            let _ = self.0.lock().unwrap().recv_timeout(SOON);
        }
    }
}

#[tokio::test]
async fn a_session_of_sftp_that_ends_later_than_its_connection_is_heard_of() {
    let pause = || tokio::time::sleep(Duration::from_millis(50));
    let (mut session, mut peer) = session().await;
    let (channel, id) = tokio::join!(accept(&mut session), peer.opens());
    id.unwrap();
    let (go, wait) = std::sync::mpsc::channel();
    let mut options = Options::default();
    options.observe = Some(Arc::new(SlowEnd(Mutex::new(wait))));
    let serving = tokio::spawn(channel.serve_sftp(Arc::new(MemFs::new(1)), options));
    // More than the client takes, so that the driver stays for a while after the end.
    let (flood, id) = tokio::join!(accept(&mut session), peer.opens());
    id.unwrap();
    let sent = flood.stream().send(pattern(1_000_000).into()).await;
    sent.unwrap();
    pause().await;
    drop(session);
    pause().await;
    // It has something to do then, too.
    peer.into_stream().write_all(&[0; 16]).await.unwrap();
    pause().await;
    assert!(!serving.is_finished());
    go.send(()).unwrap();
    let end = timeout(SOON, serving).await.expect("it is told").unwrap();
    assert!(end.error.is_some(), "broken off: {end:?}");
}

#[tokio::test]
async fn a_session_of_sftp_that_is_dropped_closes_its_channel_alone() {
    let (mut session, client) = connection().await;
    let files = MemFs::new(1 << 20);
    let (first, sftp) = tokio::join!(serving(&mut session, &files), client.sftp());
    let sftp = sftp.unwrap();
    let (_second, other) = tokio::join!(serving(&mut session, &files), client.sftp());
    drop(first);
    let error = timeout(SOON, sftp.stat(b"/")).await.unwrap().unwrap_err();
    assert!(matches!(error, SftpError::Ended(_)), "{error}");
    other.unwrap().stat(b"/").await.unwrap();
}

#[tokio::test]
async fn the_program_ends_well_when_the_client_has_said_all_and_badly_when_that_was_nonsense() {
    let (mut session, mut peer) = session().await;
    for (said, status) in [(&b""[..], 0), (b"\xff\xff\xff\xff nonsense", 1)] {
        let (channel, id) = tokio::join!(accept(&mut session), peer.opens());
        let id = id.unwrap();
        let serving = channel.serve_sftp(Arc::new(MemFs::new(1)), Options::default());
        let served = tokio::spawn(serving);
        peer.mux().write(id, Bytes::from_static(said)).unwrap();
        peer.mux().finish(id);
        assert_eq!(peer.is_told(id).await, ToClient::ExitStatus(status));
        peer.sees_closed(id).await;
        let end = timeout(SOON, served).await.unwrap().unwrap();
        assert_eq!(end.error.is_some(), status > 0);
        peer.lives(Duration::ZERO).await;
    }
}
