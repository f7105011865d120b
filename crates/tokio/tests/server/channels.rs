//! Channels: what is offered, asked, answered and told, and what becomes of that which is dropped.

use crate::peer::*;
use bytes::Bytes;
use sansftp_proto::connection::{ChannelEvent, ToClient, ToServer};
use sansftp_proto::error::Error;
use sansftp_proto::role::Client;
use sansftp_proto::session::{ClientEvent, Config};
use sansftp_tokio::server::{DisconnectReason, Incoming, OpenFailureReason, WindowSize};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

fn exec(command: &str) -> ToServer {
    ToServer::Exec(Bytes::copy_from_slice(command.as_bytes()))
}

fn env(name: &str) -> ToServer {
    ToServer::Env {
        name: Bytes::copy_from_slice(name.as_bytes()),
        value: Bytes::from_static(b"x"),
    }
}

fn signal(name: &str) -> ToServer {
    ToServer::Signal(Bytes::copy_from_slice(name.as_bytes()))
}

#[tokio::test]
async fn offers_are_accepted_refused_with_the_reason_or_refused_as_they_are_dropped() {
    let (mut session, mut peer) = session().await;
    tokio::spawn(async move {
        for decision in 0.. {
            let Ok(Incoming::Session(offer)) = session.next().await else {
                return;
            };
            match decision {
                0 => offer.refuse(OpenFailureReason::ResourceShortage, "not now"),
                1 => drop(offer),
                _ => drop(offer.accept()),
            }
        }
    });
    assert_eq!(peer.opens().await, Err(4), "a shortage of resources");
    assert_eq!(peer.opens().await, Err(1), "administratively prohibited");
    let id = peer.opens().await.unwrap();
    peer.sees_closed(id).await;
}

#[tokio::test]
async fn requests_are_answered_in_their_order_and_refused_as_they_are_dropped() {
    let (mut session, mut peer) = session().await;
    let server = tokio::spawn(async move {
        let mut channel = accept(&mut session).await;
        let mut asked = Vec::new();
        while asked.len() < 4 {
            asked.push(channel.next().await.unwrap());
        }
        let requests: Vec<_> = asked.iter().map(|it| it.request.clone()).collect();
        let mut asked = asked.into_iter();
        let [first, second, third, fourth] = [(); 4].map(|()| asked.next().unwrap());
        // Not in their order.
        fourth.accept();
        drop(third);
        second.refuse();
        tokio::time::sleep(Duration::from_millis(20)).await;
        first.accept();
        (requests, channel, session)
    });
    let id = peer.opens().await.unwrap();
    let asked = [env("A"), env("B"), env("C"), exec("true")];
    for request in &asked {
        peer.mux().request(id, request).unwrap();
    }
    for (n, expected) in [true, false, false, true].into_iter().enumerate() {
        assert_eq!(peer.answered(id).await, expected, "answer {n}");
    }
    let (requests, _channel, _session) = server.await.unwrap();
    assert_eq!(requests, asked);
}

#[tokio::test]
async fn what_the_client_tells_comes_in_between() {
    let (mut session, mut peer) = session().await;
    let (channel, id) = tokio::join!(accept(&mut session), peer.opens());
    let (mut channel, id) = (channel, id.unwrap());
    let server = tokio::spawn(async move {
        let mut requests = Vec::new();
        while let Some(asked) = channel.next().await {
            requests.push(asked.request.clone());
            asked.accept();
        }
        requests
    });
    assert!(peer.asks(id, ToServer::Subsystem("sftp".into())).await);
    let size = WindowSize {
        columns: 0,
        rows: u32::MAX,
        ..WindowSize::default()
    };
    peer.mux()
        .request(id, &ToServer::WindowChange(size))
        .unwrap();
    peer.mux().request(id, &signal("INT")).unwrap();
    assert!(
        !peer.asks(id, ToServer::Shell).await,
        "one program per channel"
    );
    peer.mux().close(id);
    peer.sees_closed(id).await;
    let expected = [
        ToServer::Subsystem("sftp".into()),
        ToServer::WindowChange(size),
        signal("INT"),
    ];
    assert_eq!(server.await.unwrap(), expected);
}

#[tokio::test]
async fn requests_that_nobody_looks_at_are_bounded_in_number_and_bytes() {
    let (mut session, mut peer) = session().await;
    let (channel, id) = tokio::join!(accept(&mut session), peer.opens());
    let (mut channel, id) = (channel, id.unwrap());
    // Three of these are more than one packet.
    let long = ToServer::Env {
        name: Bytes::from_static(b"LONG"),
        value: vec![b'x'; 100_000].into(),
    };
    for _ in 0..4 {
        peer.mux().request(id, &long).unwrap();
    }
    let waits = Duration::from_millis(50);
    peer.lives(waits).await;
    for columns in 0..100 {
        let size = WindowSize {
            columns,
            ..WindowSize::default()
        };
        peer.mux()
            .request(id, &ToServer::WindowChange(size))
            .unwrap();
    }
    for _ in 0..100 {
        peer.mux().request(id, &signal("USR1")).unwrap();
    }
    peer.lives(waits).await;
    let mut requests = Vec::new();
    while let Ok(Some(asked)) = timeout(waits, channel.next()).await {
        requests.push(asked.request.clone());
        asked.accept();
    }
    assert_eq!(requests.len(), 16);
    assert_eq!(requests[..2], [long.clone(), long]);
    let newest = |it: &ToServer| matches!(it, ToServer::WindowChange(size) if size.columns == 99);
    assert!(newest(&requests[2]), "{:?}", requests[2]);
    for expected in [true, true, false, false] {
        assert_eq!(peer.answered(id).await, expected);
    }
}

#[tokio::test]
async fn how_the_program_ended_is_told_behind_all_its_output_also_to_a_client_that_reads_late() {
    let (mut session, mut peer) = session().await;
    let (channel, id) = tokio::join!(accept(&mut session), peer.opens());
    let (channel, id) = (channel, id.unwrap());
    // More than the client's window holds.
    let output = pattern(3_000_000);
    let (mut stream, mut stderr) = (channel.stream(), channel.stderr());
    let expected = output.clone();
    let server = tokio::spawn(async move {
        stderr.write_all(b"a warning").await.unwrap();
        stream.write_all(&output).await.unwrap();
        stderr.write_all(b"and another").await.unwrap();
        channel.exit_status(7);
    });
    peer.lives(Duration::from_millis(300)).await;
    server.await.unwrap();
    let exited =
        |event: &ClientEvent| matches!(event, ClientEvent::Channel(ChannelEvent::Request { .. }));
    let mut all = Vec::new();
    while !peer.has_seen(exited) {
        assert!(all.len() < expected.len(), "all was read, and nothing told");
        all.extend(peer.reads(id, 100_000).await);
        let _ = peer.mux().read_extended(id);
        peer.lives(Duration::from_millis(1)).await;
    }
    // What is left had come before.
    while let Some(piece) = peer.mux().read(id) {
        all.extend_from_slice(&piece);
    }
    assert!(all == expected);
    assert_eq!(peer.is_told(id).await, ToClient::ExitStatus(7));
    peer.sees_closed(id).await;
}

#[tokio::test]
async fn standard_error_comes_apart_from_standard_output() {
    let (mut session, mut peer) = session().await;
    let (channel, id) = tokio::join!(accept(&mut session), peer.opens());
    let (channel, id) = (channel, id.unwrap());
    channel.stream().send("output".into()).await.unwrap();
    channel.stderr().send("error".into()).await.unwrap();
    channel.exit_signal("KILL", true, "out of memory");
    channel.close();
    assert_eq!(peer.reads(id, usize::MAX).await, b"output");
    assert_eq!(peer.mux().read_extended(id).as_deref(), Some(&b"error"[..]));
    let told = ToClient::ExitSignal {
        signal: "KILL".into(),
        core_dumped: true,
        message: "out of memory".to_owned(),
    };
    assert_eq!(peer.is_told(id).await, told);
    peer.sees_closed(id).await;
}

#[tokio::test]
async fn either_direction_ends_by_itself() {
    let (mut session, mut peer) = session().await;
    let (channel, id) = tokio::join!(accept(&mut session), peer.opens());
    let (channel, id) = (channel, id.unwrap());
    let server = tokio::spawn(async move {
        // `cat`: what comes is sent back when its end has come.
        let mut stream = channel.stream();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        stream.write_all(&all).await.unwrap();
        stream.shutdown().await.unwrap();
        let error = stream.write_all(b"more").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        // Ended, and not closed: something can still be told.
        tokio::time::sleep(Duration::from_millis(20)).await;
        channel.exit_status(0);
    });
    peer.writes(id, b"there and back").await;
    peer.mux().finish(id);
    assert_eq!(peer.reads(id, usize::MAX).await, b"there and back");
    assert!(peer.mux().at_eof(id));
    assert_eq!(peer.is_told(id).await, ToClient::ExitStatus(0));
    peer.sees_closed(id).await;
    server.await.unwrap();
}

#[tokio::test]
async fn what_was_sent_before_the_client_closed_can_be_read() {
    let (mut session, mut peer) = session().await;
    let (channel, id) = tokio::join!(accept(&mut session), peer.opens());
    let (mut channel, id) = (channel, id.unwrap());
    let data = pattern(500_000);
    peer.mux().request(id, &exec("cat > file")).unwrap();
    peer.writes(id, &data).await;
    peer.mux().finish(id);
    peer.mux().close(id);
    peer.sees_closed(id).await;
    let asked = channel.next().await.expect("it came before the end");
    assert_eq!(asked.request, exec("cat > file"));
    asked.accept();
    assert!(channel.next().await.is_none());
    let mut stream = channel.stream();
    let mut all = Vec::new();
    while let Some(piece) = stream.chunk().await.unwrap() {
        all.extend_from_slice(&piece);
    }
    assert!(all == data);
    let error = stream.send("too late".into()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
}

/// A client that takes little at once.
fn reluctant() -> Config<Client> {
    let mut config = client_config();
    config.limits.window = 1000;
    config
}

#[tokio::test]
async fn what_comes_when_the_program_has_ended_is_dropped_and_holds_nobody_up() {
    let (mut session, mut peer) = session_with(server_config(), reluctant()).await;
    let (channel, id) = tokio::join!(accept(&mut session), peer.opens());
    let id = id.unwrap();
    let output = pattern(100_000);
    channel.stream().send(output.clone().into()).await.unwrap();
    channel.exit_status(3);
    drop(channel);
    // More than the server's window, before anything is read.
    let input = pattern(5_000_000);
    let sent = timeout(SOON, peer.writes(id, &input)).await;
    sent.expect("somebody takes it");
    assert!(peer.reads(id, usize::MAX).await == output);
    assert_eq!(peer.is_told(id).await, ToClient::ExitStatus(3));
    peer.sees_closed(id).await;
}

#[tokio::test]
async fn channels_that_nobody_holds_give_their_places_back_whatever_came_last() {
    let mut config = server_config();
    config.limits.channels = 2;
    let (mut session, mut peer) = session_with(config, reluctant()).await;
    for _ in 0..5 {
        let (channel, id) = tokio::join!(accept(&mut session), peer.opens());
        let id = id.expect("there is a place");
        // How the program ended waits for output that the client does not take.
        channel.stream().send(pattern(5000).into()).await.unwrap();
        channel.exit_status(0);
        drop(channel);
        peer.writes(id, b"too late").await;
        peer.mux().close(id);
        peer.sees_closed(id).await;
    }
}

#[tokio::test]
async fn closing_does_not_wait_for_whoever_still_writes() {
    let (mut session, mut peer) = session_with(server_config(), reluctant()).await;
    let (channel, id) = tokio::join!(accept(&mut session), peer.opens());
    let id = id.unwrap();
    let mut stream = channel.stream();
    let writer = tokio::spawn(async move {
        loop {
            if let Err(error) = stream.write_all(&[7; 100_000]).await {
                return error;
            }
        }
    });
    peer.lives(Duration::from_millis(50)).await;
    channel.exit_status(0);
    channel.close();
    let error = timeout(SOON, writer).await.expect("it is told").unwrap();
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    let output = peer.reads(id, usize::MAX).await;
    assert!(output.len() > 1000 && output.iter().all(|it| *it == 7));
    assert_eq!(peer.is_told(id).await, ToClient::ExitStatus(0));
    peer.sees_closed(id).await;
}

#[tokio::test]
async fn whoever_neither_reads_nor_writes_can_wait_for_the_close() {
    let (mut session, mut peer) = session().await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let (channel, id) = tokio::join!(accept(&mut session), peer.opens());
        let id = id.unwrap();
        peer.mux().finish(id);
        peer.flushes().await;
        let mut stream = channel.stream();
        let end = timeout(SOON, stream.chunk()).await.unwrap();
        assert_eq!(end.unwrap(), None);
        waiting.push((tokio::spawn(stream.closed()), channel, id));
    }
    peer.lives(Duration::from_millis(50)).await;
    let [(first, _one, id), (second, _other, _)] = &mut waiting[..] else {
        panic!("two of them")
    };
    assert!(!first.is_finished(), "one direction has ended, and no more");
    peer.mux().close(*id);
    peer.flushes().await;
    timeout(SOON, first).await.expect("closed").unwrap();
    assert!(!second.is_finished());
    drop(session);
    timeout(SOON, second).await.expect("lost").unwrap();
}

#[tokio::test]
async fn as_many_channels_as_allowed_and_each_place_is_given_again() {
    let (mut session, mut peer) = session().await;
    let (held, mut channels) = tokio::sync::mpsc::channel(64);
    tokio::spawn(async move {
        while let Ok(Incoming::Session(offer)) = session.next().await {
            let _ = held.send(offer.accept()).await;
        }
    });
    let mut open = Vec::new();
    for _ in 0..64 {
        open.push(peer.opens().await.unwrap());
    }
    // The client's own bound is as high: it has to give up one of its own first.
    for _ in 0..3 {
        let id = open.remove(0);
        peer.mux().close(id);
        drop(channels.recv().await.unwrap());
        peer.sees_closed(id).await;
        open.push(peer.opens().await.unwrap());
    }
    for id in open {
        let mut server = channels.recv().await.unwrap().unwrap().stream();
        server.write_all(b"hello").await.unwrap();
        peer.writes(id, b"good day").await;
        assert_eq!(
            server.chunk().await.unwrap().as_deref(),
            Some(&b"good day"[..])
        );
        assert_eq!(peer.reads(id, 5).await, b"hello");
    }
}

#[tokio::test]
async fn one_channel_too_many_is_refused_as_a_shortage() {
    let mut config = server_config();
    config.limits.channels = 2;
    let (mut session, mut peer) = session_with(config, client_config()).await;
    let (first, id) = tokio::join!(accept(&mut session), peer.opens());
    // One that is not decided counts, too.
    peer.mux().open_session().unwrap();
    assert_eq!(peer.opens().await, Err(4));
    drop(session.next().await.unwrap());
    drop(first);
    peer.sees_closed(id.unwrap()).await;
    let (_channel, id) = tokio::join!(accept(&mut session), peer.opens());
    id.unwrap();
}

#[tokio::test]
async fn a_connection_onward_carries_data_both_ways() {
    let (mut session, mut peer) = session().await;
    let server = tokio::spawn(async move {
        let Ok(Incoming::DirectTcpip {
            host,
            port,
            originator,
            originator_port,
            offer,
        }) = session.next().await
        else {
            panic!("not what was asked for")
        };
        assert_eq!((host, port), ("db.internal".into(), 5432));
        assert_eq!((originator, originator_port), ("::1".into(), 9));
        let mut stream = offer.accept().unwrap();
        stream.write_all(b"welcome").await.unwrap();
        let mut line = [0; 5];
        stream.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"query");
        drop(stream);
        let Ok(Incoming::DirectTcpip { offer, .. }) = session.next().await else {
            panic!("not what was asked for")
        };
        offer.refuse(OpenFailureReason::ConnectFailed, "connection refused");
        session
    });
    let id = peer.opens_onward("db.internal", 5432).await.unwrap();
    assert!(
        peer.mux().request(id, &ToServer::Shell).is_ok() && !peer.answered(id).await,
        "no program runs there"
    );
    peer.writes(id, b"query").await;
    assert_eq!(peer.reads(id, usize::MAX).await, b"welcome");
    peer.sees_closed(id).await;
    assert_eq!(peer.opens_onward("::1", 1).await, Err(2));
    drop(server.await.unwrap());
}

#[tokio::test]
async fn no_more_sessions_is_taken_at_its_word_and_forwarding_to_the_client_is_refused() {
    let (mut session, mut peer) = session().await;
    let (_channel, id) = tokio::join!(accept(&mut session), peer.opens());
    id.unwrap();
    for (name, expected) in [
        (&b"tcpip-forward"[..], false),
        (b"cancel-tcpip-forward", false),
        (b"streamlocal-forward@openssh.com", false),
        (b"keepalive@openssh.com", false),
        (b"no-more-sessions@openssh.com", true),
    ] {
        peer.mux().global_request(name, b"").unwrap();
        let ok = peer
            .awaits(|event| match event {
                ClientEvent::Channel(ChannelEvent::GlobalAnswered { ok, .. }) => Some(*ok),
                _ => None,
            })
            .await;
        assert_eq!(ok, expected, "{}", String::from_utf8_lossy(name));
    }
    assert_eq!(peer.opens().await, Err(1), "administratively prohibited");
}

#[tokio::test]
async fn closing_says_why_and_ends_what_runs() {
    let (mut session, mut peer) = session().await;
    let (channel, id) = tokio::join!(accept(&mut session), peer.opens());
    id.unwrap();
    let mut channel = channel;
    let mut stream = channel.stream();
    let reader = tokio::spawn(async move { stream.chunk().await });
    tokio::join!(
        session.close(DisconnectReason::TooManyConnections, "come back later"),
        peer.lives(Duration::from_millis(100))
    );
    let Error::Disconnected { reason: 12, text } = peer.sees_the_end().await else {
        panic!("SSH_DISCONNECT_TOO_MANY_CONNECTIONS")
    };
    assert_eq!(text, "come back later");
    assert!(channel.next().await.is_none());
    let error = timeout(SOON, reader).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    let error = channel.stream().send("x".into()).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
}

#[tokio::test]
async fn a_session_ends_with_its_client_and_a_client_with_its_session() {
    let (mut lost, peer) = session().await;
    drop(peer);
    let ended = timeout(SOON, lost.next()).await.unwrap().unwrap_err();
    assert!(
        matches!(ended.protocol, Error::ConnectionLost { .. }),
        "{ended}"
    );
    assert!(lost.next().await.is_err(), "and stays so");
    let (session, mut peer) = session().await;
    drop(session);
    assert!(matches!(
        peer.sees_the_end().await,
        Error::Disconnected { reason: 11, .. }
    ));
}
