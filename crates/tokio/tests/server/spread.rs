//! One upload over several channels of a connection, at a server whose window holds it up.
//!
//! The window is smaller than one write, so that it is used up by the first, however fast anybody is.

use crate::peer::*;
use bytes::Bytes;
use sansftp_proto::session::Trust;
use sansftp_tokio::server::{Serving, Session};
use sansftp_tokio::sftp::server::{Event, MemFs, Observe, Options};
use sansftp_tokio::sftp::{OpenFlags, Sftp, SftpError, Spread, WriteFile};
use sansftp_tokio::{Client, Credentials, Deadlines};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::timeout;

const WINDOW: u32 = 16 * 1024;
const BLOCK: usize = 256 * 1024;
/// For what has to come, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(120);

async fn connection() -> (Session<Known>, Client) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let mut config = server_config();
    config.limits.window = WINDOW;
    let accepted = tokio::spawn(Session::accept(theirs, Arc::new(config), Password));
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

/// Counts the files that were opened.
#[derive(Debug, Default)]
struct Opened(AtomicUsize);

impl Observe for Opened {
    fn observe(&self, event: &Event<'_>) {
        if matches!(
            event,
            Event::Opened {
                outcome: Ok(()),
                ..
            }
        ) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// The next channel, with an engine on it.
async fn serving(session: &mut Session<Known>, files: &MemFs, opened: &Arc<Opened>) -> Serving {
    let mut channel = accept(session).await;
    channel.next().await.unwrap().accept();
    let mut options = Options::default();
    options.observe = Some(Arc::clone(opened) as Arc<dyn Observe>);
    channel.serve_sftp(Arc::new(files.clone()), options)
}

/// A new file that may go over four channels.
async fn spread(sftp: &Sftp) -> WriteFile {
    let mut file = sftp
        .open_write(b"file", OpenFlags::CREATE_NEW)
        .await
        .unwrap();
    let plan = Spread {
        channels: NonZeroUsize::new(4).unwrap(),
        farther_than: Duration::ZERO,
        size_hint: None,
    };
    file.spread(b"file", plan);
    file
}

/// Writes blocks from `offset` on until `enough`, and says where that is.
async fn write_until(
    file: &mut WriteFile,
    mut offset: u64,
    mut enough: impl FnMut(u64) -> bool,
) -> Result<u64, SftpError> {
    while !enough(offset) {
        file.write(offset, Bytes::from(block_at(offset))).await?;
        offset += BLOCK as u64;
    }
    Ok(offset)
}

/// What belongs there: no two blocks are alike, and none is of zeros.
fn block_at(offset: u64) -> Vec<u8> {
    let number = offset / BLOCK as u64 + 1;
    number.to_be_bytes().repeat(BLOCK / 8)
}

fn is_right(content: &[u8]) -> bool {
    let blocks = content.chunks(BLOCK).zip((0_u64..).step_by(BLOCK));
    blocks
        .into_iter()
        .all(|(block, offset)| *block == block_at(offset)[..block.len()])
}

#[tokio::test]
async fn an_upload_goes_over_as_many_channels_as_it_may_and_every_byte_is_there_once() {
    let (mut session, client) = connection().await;
    let opened = Arc::new(Opened::default());
    // Each channel has files of its own: so it is seen what went over which.
    let places: [MemFs; 4] = std::array::from_fn(|_| MemFs::new(1 << 30));
    for place in &places[1..] {
        place.put(b"/file", b"").unwrap();
    }
    let (first, sftp) = tokio::join!(serving(&mut session, &places[0], &opened), client.sftp());
    let sftp = sftp.unwrap();
    // A task of its own, which has its turn as often as the others: it is to be ahead of the window.
    let (uploading, seen) = (sftp.clone(), places.clone());
    let upload = tokio::spawn(async move {
        let mut file = spread(&uploading).await;
        let has_some = |place: &MemFs| !place.get(b"/file").unwrap().is_empty();
        let all = |_| seen.iter().all(has_some);
        let size = write_until(&mut file, 0, all).await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(file.acknowledged(), size, "over all channels");
        file.fsync().await.unwrap();
        file.close().await.unwrap();
        size
    });
    let others = async {
        let mut others = Vec::new();
        for place in &places[1..] {
            others.push(serving(&mut session, place, &opened).await);
        }
        others
    };
    let both = async { tokio::join!(upload, others) };
    let (size, others) = timeout(PATIENCE, both).await.expect("it comes to an end");
    let size = size.unwrap();
    assert_eq!(opened.0.load(Ordering::SeqCst), 4);
    let mut whole = vec![0; usize::try_from(size).unwrap()];
    for place in &places {
        for (byte, part) in whole.iter_mut().zip(place.get(b"/file").unwrap()) {
            *byte |= part;
        }
    }
    assert!(is_right(&whole));
    // The further channels are closed with their file, the first is the session's.
    let mut written = 0;
    for other in others {
        let end = timeout(PATIENCE, other).await.expect("it is closed");
        assert!(end.error.is_none(), "{end:?}");
        written += end.bytes_written;
    }
    sftp.stat(b"file").await.unwrap();
    drop(sftp);
    written += timeout(PATIENCE, first).await.unwrap().bytes_written;
    assert_eq!(written, size, "nothing twice");
}

#[tokio::test]
async fn an_upload_whose_further_channels_are_refused_goes_over_the_first() {
    let (mut session, client) = connection().await;
    let (files, opened) = (MemFs::new(1 << 30), Arc::new(Opened::default()));
    let (first, sftp) = tokio::join!(serving(&mut session, &files, &opened), client.sftp());
    let sftp = sftp.unwrap();
    let size = 16 * BLOCK as u64;
    let upload = async {
        let mut file = spread(&sftp).await;
        write_until(&mut file, 0, |it| it == size).await.unwrap();
        file.close().await.unwrap();
    };
    let refusals = async {
        for _ in 0..3 {
            drop(accept(&mut session).await);
        }
    };
    let both = async { tokio::join!(upload, refusals) };
    timeout(PATIENCE, both).await.expect("it comes to an end");
    let content = files.get(b"/file").unwrap();
    assert!(content.len() as u64 == size && is_right(&content));
    drop(sftp);
    let end = timeout(PATIENCE, first).await.unwrap();
    assert_eq!(end.bytes_written, size);
}

#[tokio::test]
async fn when_one_channel_fails_what_is_acknowledged_stands_without_a_gap() {
    let (mut session, client) = connection().await;
    let (files, opened) = (MemFs::new(8 << 20), Arc::new(Opened::default()));
    let (_first, sftp) = tokio::join!(serving(&mut session, &files, &opened), client.sftp());
    let sftp = sftp.unwrap();
    let upload = async {
        let mut file = spread(&sftp).await;
        let written = write_until(&mut file, 0, |_| false).await;
        (written.unwrap_err(), file.acknowledged())
    };
    let others = async {
        let mut others = Vec::new();
        for _ in 0..3 {
            others.push(serving(&mut session, &files, &opened).await);
        }
        others
    };
    let both = async { tokio::join!(upload, others) };
    let ((error, acknowledged), _others) =
        timeout(PATIENCE, both).await.expect("it comes to an end");
    assert!(matches!(error, SftpError::Refused(_)), "{error}");
    let stands = usize::try_from(acknowledged).unwrap();
    let content = files.get(b"/file").unwrap();
    assert!(stands > 0 && stands <= content.len(), "{stands}");
    assert!(is_right(&content[..stands]));
}
