//! A session over a byte stream.

use super::*;
use sansftp_proto::sftp::messages::Realpath;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

fn serving(fs: impl FileSystem, room: usize) -> (DuplexStream, tokio::task::JoinHandle<End>) {
    let (ours, theirs) = duplex(room);
    let end = tokio::spawn(serve(theirs, Arc::new(fs), Options::default()));
    (ours, end)
}

/// Sends what the client has to say and takes what comes, until it has an answer to each request.
async fn settle(io: &mut DuplexStream, client: &mut Client, requests: usize) -> Vec<Completion> {
    let mut done = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    let (mut reader, mut writer) = tokio::io::split(io);
    let mut output = Vec::new();
    while done.len() < requests || !client.is_ready() {
        while let Some(bytes) = client.poll_transmit() {
            output.extend_from_slice(&bytes);
        }
        tokio::select! {
            written = writer.write(&output), if !output.is_empty() => {
                output.drain(..written.unwrap());
            }
            count = reader.read(&mut buffer) => {
                let count = count.unwrap();
                assert!(count > 0, "the server has gone");
                client.handle_data(Bytes::copy_from_slice(&buffer[..count])).unwrap();
            }
        }
        done.extend(std::iter::from_fn(|| client.poll_completion()));
    }
    done
}

#[tokio::test]
async fn a_file_goes_through_a_narrow_stream() {
    let fs = MemFs::default();
    let contents: Vec<u8> = (0..3_000_000_u32).map(|it| (it % 253) as u8).collect();
    fs.put(b"/f", &contents).unwrap();
    for room in [1000, 1 << 20] {
        let (mut io, end) = serving(fs.clone(), room);
        let mut client = Client::default();
        settle(&mut io, &mut client, 0).await;
        let opened = client.send(&open(b"/f", OpenFlags::READ)).unwrap();
        let done = settle(&mut io, &mut client, 1).await.remove(0);
        let handle = opened.claim(done).unwrap().unwrap();
        let pieces = contents.len().div_ceil(200_000);
        let pending: Vec<_> = (0..pieces)
            .map(|it| {
                client
                    .send(&read(&handle, it as u64 * 200_000, 200_000))
                    .unwrap()
            })
            .collect();
        let mut done = settle(&mut io, &mut client, pieces).await;
        let mut found = Vec::new();
        for pending in pending {
            let at = done.iter().position(|it| it.id() == pending.id()).unwrap();
            let data = pending.claim(done.swap_remove(at)).unwrap().unwrap();
            found.extend(bytes(&data));
        }
        assert!(found == contents);
        io.shutdown().await.unwrap();
        let end = end.await.unwrap();
        assert_eq!((end.error, end.bytes_read), (None, 3_000_000));
    }
}

#[tokio::test]
async fn the_end_of_the_stream_is_the_end_of_the_session_once_all_is_answered() {
    let (mut io, end) = serving(MemFs::default(), 1 << 20);
    let mut client = Client::default();
    settle(&mut io, &mut client, 0).await;
    for _ in 0..100 {
        drop(client.send(&Realpath { path: b"." }).unwrap());
    }
    while let Some(bytes) = client.poll_transmit() {
        io.write_all(&bytes).await.unwrap();
    }
    io.shutdown().await.unwrap();
    let mut answers = Vec::new();
    io.read_to_end(&mut answers).await.unwrap();
    client.handle_data(answers.into()).unwrap();
    assert_eq!(std::iter::from_fn(|| client.poll_completion()).count(), 100);
    assert_eq!(end.await.unwrap().error, None);
}

#[tokio::test]
async fn a_stream_that_breaks_ends_the_session() {
    let (fs, beginnings) = Scripted::new(MemFs::default());
    let (mut io, end) = serving(fs, 1 << 20);
    let mut client = Client::default();
    settle(&mut io, &mut client, 0).await;
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
    let opened = client.send(&open(b"/f", flags)).unwrap();
    let done = settle(&mut io, &mut client, 1).await.remove(0);
    opened.claim(done).unwrap().unwrap();
    // An answer that nobody is there to take.
    drop(client.send(&Realpath { path: b"." }).unwrap());
    while let Some(bytes) = client.poll_transmit() {
        io.write_all(&bytes).await.unwrap();
    }
    drop(io);
    end.await.unwrap();
    assert_eq!(beginnings.recv_timeout(PATIENCE), Ok("drop"));
}

#[tokio::test]
async fn nonsense_ends_the_session_with_its_reason() {
    let (mut io, end) = serving(MemFs::default(), 1 << 20);
    io.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let end = end.await.unwrap();
    assert!(end.error.is_some());
}
