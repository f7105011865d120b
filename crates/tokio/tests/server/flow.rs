//! Who disturbs whom: data that nobody reads stops its sender and nobody else.

use crate::peer::*;
use bytes::Bytes;
use sansftp_proto::connection::PeerLimits;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const WINDOW: u32 = 64 * 1024;

#[tokio::test]
async fn a_channel_that_the_server_does_not_read_stops_at_its_window_and_others_go_on() {
    let mut config = server_config();
    config.limits.window = WINDOW;
    let (mut session, mut peer) = session_with(config, client_config()).await;
    let (unread, stuck) = tokio::join!(accept(&mut session), peer.opens());
    let (echo, lively) = tokio::join!(accept(&mut session), peer.opens());
    let (stuck, lively) = (stuck.unwrap(), lively.unwrap());
    let data = pattern(1_000_000);
    peer.mux().write(stuck, Bytes::from(data.clone())).unwrap();
    peer.lives(Duration::from_millis(50)).await;
    let gone = |peer: &mut Peer| {
        peer.mux()
            .peer_limits(stuck)
            .map(|it: PeerLimits| it.window)
    };
    assert_eq!(gone(&mut peer), Some(0), "all of its window and no more");
    assert_eq!(peer.mux().queued(stuck), data.len() - WINDOW as usize);
    let mut stream = echo.stream();
    let echoes = tokio::spawn(async move {
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        tokio::io::copy(&mut reader, &mut writer).await.unwrap()
    });
    for _ in 0..20 {
        peer.writes(lively, &data[..50_000]).await;
        assert!(peer.reads(lively, 50_000).await == data[..50_000]);
    }
    assert_eq!(gone(&mut peer), Some(0), "nobody has read meanwhile");
    // Once somebody reads, everything comes.
    let mut stream = unread.stream();
    let reader = tokio::spawn(async move {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.map(|_| all)
    });
    peer.mux().finish(stuck);
    peer.mux().finish(lively);
    peer.lives(Duration::from_millis(300)).await;
    assert!(timeout(SOON, reader).await.unwrap().unwrap().unwrap() == data);
    assert_eq!(timeout(SOON, echoes).await.unwrap().unwrap(), 1_000_000);
}

#[tokio::test]
async fn a_client_that_does_not_read_a_channel_stops_its_writer_and_no_other() {
    let mut config = client_config();
    config.limits.window = WINDOW;
    let mut server = server_config();
    server.limits.send_queue = 100_000;
    let (mut session, mut peer) = session_with(server, config).await;
    let (stuck, unread) = tokio::join!(accept(&mut session), peer.opens());
    let (lively, read) = tokio::join!(accept(&mut session), peer.opens());
    let (unread, read) = (unread.unwrap(), read.unwrap());
    let stuck_writer = tokio::spawn(async move {
        let mut stream = stuck.stream();
        let mut written = 0;
        while let Ok(Ok(())) =
            timeout(Duration::from_millis(300), stream.write_all(&[7; 10_000])).await
        {
            written += 10_000;
        }
        // Held as well, so that the channel stays.
        (written, stuck)
    });
    let lively_writer = tokio::spawn(async move {
        let stream = lively.stream();
        for _ in 0..40 {
            stream.send(pattern(50_000).into()).await.unwrap();
        }
    });
    let all = peer.reads(read, 2_000_000).await;
    assert!(all.chunks(50_000).all(|it| it == pattern(50_000)));
    lively_writer.await.unwrap();
    peer.lives(Duration::from_millis(500)).await;
    let (written, _stuck) = stuck_writer.await.unwrap();
    let most = WINDOW as usize + 100_000 + 10_000;
    assert!(
        (WINDOW as usize..=most).contains(&written),
        "{written} of {most}"
    );
    assert!(peer.reads(unread, written).await.iter().all(|it| *it == 7));
}

#[tokio::test]
async fn a_client_that_reads_nothing_at_all_disturbs_no_other_connection() {
    let (mut slow, mut deaf) = session().await;
    let (channel, id) = tokio::join!(accept(&mut slow), deaf.opens());
    id.unwrap();
    let flood = tokio::spawn(async move {
        let mut stream = channel.stream();
        // Until there is no room.
        loop {
            if stream.write_all(&[1; 100_000]).await.is_err() {
                return;
            }
        }
    });
    let (mut session, mut peer) = session().await;
    let (echo, id) = tokio::join!(accept(&mut session), peer.opens());
    let id = id.unwrap();
    let mut stream = echo.stream();
    tokio::spawn(async move {
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        tokio::io::copy(&mut reader, &mut writer).await
    });
    let data = pattern(100_000);
    for _ in 0..20 {
        peer.writes(id, &data).await;
        assert!(peer.reads(id, data.len()).await == data);
    }
    assert!(!flood.is_finished());
    // And its session can be ended all the same.
    drop(slow);
    timeout(SOON, flood).await.expect("it is told").unwrap();
    drop(deaf);
}

#[tokio::test]
async fn keys_change_while_data_goes_both_ways() {
    let mut server = server_config();
    server.limits.rekey_bytes = Some(300_000);
    let mut client = client_config();
    client.limits.rekey_bytes = Some(500_000);
    let (mut session, mut peer) = session_with(server, client).await;
    let (channel, id) = tokio::join!(accept(&mut session), peer.opens());
    let id = id.unwrap();
    let mut stream = channel.stream();
    let echoes = tokio::spawn(async move {
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        tokio::io::copy(&mut reader, &mut writer).await.unwrap()
    });
    let data = pattern(700_000);
    let mut back = Vec::new();
    for round in 0..10 {
        peer.mux().write(id, Bytes::from(data.clone())).unwrap();
        if round == 5 {
            session.rekey();
        }
        back.extend(peer.reads(id, data.len()).await);
    }
    let expected = data.repeat(10);
    assert!(back == expected);
    assert!(session.exchanges() > 10, "{}", session.exchanges());
    peer.mux().finish(id);
    peer.lives(Duration::from_millis(50)).await;
    assert_eq!(timeout(SOON, echoes).await.unwrap().unwrap(), 7_000_000);
}

#[tokio::test]
async fn bytes_that_dribble_in_come_out_whole() {
    let (mut session, mut peer) = session().await;
    let (channel, id) = tokio::join!(accept(&mut session), peer.opens());
    let id = id.unwrap();
    let mut stream = channel.stream();
    for byte in 0..100u8 {
        peer.mux()
            .write(id, Bytes::copy_from_slice(&[byte]))
            .unwrap();
        peer.flushes().await;
    }
    let mut all = [0; 100];
    let mut one = [0; 1];
    for slot in &mut all {
        timeout(SOON, stream.read_exact(&mut one))
            .await
            .unwrap()
            .unwrap();
        *slot = one[0];
    }
    assert!(all.iter().copied().eq(0..100));
}
