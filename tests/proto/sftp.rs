//! SFTP sessions over whole connections: both machines, a channel and keys, files in memory
//! (draft-ietf-secsh-filexfer-02).

use bytes::Bytes;
use sansftp_proto::sftp::transfer::{Download, DownloadPlan, Order};
use sansftp_proto::sftp::{Attrs, Data, OpenFlags, StatusCode, messages};
use sansftp_testkit::pair::Pair;
use sansftp_testkit::session::Session;
use sansftp_testkit::suite::Suite;

fn open<'a>(filename: &'a [u8], pflags: OpenFlags) -> messages::Open<'a> {
    messages::Open {
        filename,
        pflags,
        attrs: Attrs::default(),
    }
}

fn a_file_is_written_listed_read_and_removed(suite: Suite, fragment: usize) {
    let mut pair = Pair::over(suite);
    pair.fragment(fragment);
    pair.connect();
    let mut session = Session::start(&mut pair);
    let name = b"/na\xffme \n";
    let pending = session
        .client
        .send(&open(name, OpenFlags::WRITE | OpenFlags::CREATE))
        .unwrap();
    session.drive(&mut pair);
    let handle = session.answer(pending).unwrap();
    let mut data = Data::default();
    data.push(Bytes::from_static(b"first "));
    data.push(Bytes::from_static(b"second"));
    let write = session.client.write(&handle, 0, &data).unwrap();
    let close = session
        .client
        .send(&messages::Close {
            handle: handle.as_bytes(),
        })
        .unwrap();
    session.drive(&mut pair);
    session.answer(write).unwrap();
    session.answer(close).unwrap();
    assert_eq!(session.files.contents(name).unwrap(), b"first second");

    let opendir = session
        .client
        .send(&messages::Opendir { path: b"/" })
        .unwrap();
    session.drive(&mut pair);
    let dir = session.answer(opendir).unwrap();
    let readdir = session
        .client
        .send(&messages::Readdir {
            handle: dir.as_bytes(),
        })
        .unwrap();
    let end = session
        .client
        .send(&messages::Readdir {
            handle: dir.as_bytes(),
        })
        .unwrap();
    session.drive(&mut pair);
    let entries = session.answer(readdir).unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (&entries[0].filename[..], entries[0].attrs.size),
        (&name[1..], Some(12))
    );
    assert!(session.answer(end).unwrap_err().is_eof());

    let remove = session
        .client
        .send(&messages::Remove { filename: name })
        .unwrap();
    let stat = session.client.send(&messages::Stat { path: name }).unwrap();
    session.drive(&mut pair);
    session.answer(remove).unwrap();
    assert_eq!(
        session.answer(stat).unwrap_err().code,
        StatusCode::NO_SUCH_FILE
    );
    assert_eq!(pair.errors(), [None, None]);
}

#[test]
fn a_session_works_at_any_fragmentation_over_any_provider() {
    for fragment in [1, 2, 3, 7, 64, usize::MAX] {
        a_file_is_written_listed_read_and_removed(Suite::Null, fragment);
    }
    for suite in [Suite::Ring, Suite::RustCrypto] {
        a_file_is_written_listed_read_and_removed(suite, usize::MAX);
    }
}

/// Reads `/f` with many requests under way, and returns what came and in how many pieces.
fn download(
    session: &mut Session,
    pair: &mut Pair,
    mut disturb: impl FnMut(&mut Pair),
) -> (Vec<u8>, usize) {
    let pending = session.client.send(&open(b"/f", OpenFlags::READ)).unwrap();
    session.drive(pair);
    let handle = session.answer(pending).unwrap();
    let mut plan = Download::new(DownloadPlan {
        offset: 0,
        size_hint: None,
        request_len: 32 << 10,
        max_in_flight_bytes: 2 << 20,
        order: Order::InFile,
    });
    let (mut under_way, mut contents, mut pieces) = (Vec::new(), Vec::new(), 0);
    loop {
        while let Some(read) = plan.next() {
            let request = messages::Read {
                handle: handle.as_bytes(),
                offset: read.offset,
                len: read.len,
            };
            under_way.push((session.client.send(&request).unwrap(), read));
        }
        session.drive(pair);
        disturb(pair);
        while let Some(done) = session.client.poll_completion() {
            let at = under_way
                .iter()
                .position(|(pending, _)| pending.id() == done.id())
                .unwrap();
            let (pending, read) = under_way.swap_remove(at);
            plan.done(read, pending.claim(done).unwrap());
        }
        while let Some(piece) = plan.poll_data() {
            for data in piece.data.pieces() {
                contents.extend_from_slice(data);
                pieces += 1;
            }
        }
        if let Some(result) = plan.finished() {
            assert_eq!(result, Ok(contents.len() as u64));
            return (contents, pieces);
        }
    }
}

#[test]
fn a_download_is_the_file_with_short_reads_and_keys_changed_under_it() {
    let file: Vec<u8> = (0..3_000_000u32).map(|at| (at % 249) as u8).collect();
    for longest in [usize::MAX, 10_000] {
        let mut pair = Pair::over(Suite::Null);
        pair.connect();
        let mut session = Session::start(&mut pair);
        session.files.put(b"/f", file.clone());
        session.files.longest_read = longest;
        let mut turn = 0;
        let (contents, _) = download(&mut session, &mut pair, |pair| {
            turn += 1;
            if turn % 2 == 0 {
                pair.client.rekey().unwrap()
            } else {
                pair.server.rekey().unwrap()
            }
        });
        assert!(contents == file);
        assert!(pair.client.exchanges() > 2);
    }
}

#[test]
fn an_empty_file_is_read_as_one() {
    let mut pair = Pair::over(Suite::Null);
    pair.connect();
    let mut session = Session::start(&mut pair);
    session.files.put(b"/f", b"".as_slice());
    assert_eq!(download(&mut session, &mut pair, |_| {}), (Vec::new(), 0));
}

/// A packet carries many small answers or a part of a large one; data is cut where packets end, and nowhere joined.
#[test]
fn file_data_reaches_the_application_in_the_pieces_in_which_it_came() {
    let mut pair = Pair::over(Suite::Null);
    pair.connect();
    let mut session = Session::start(&mut pair);
    session.files.put(b"/f", vec![5; 1 << 20]);
    let (contents, pieces) = download(&mut session, &mut pair, |_| {});
    assert_eq!(contents.len(), 1 << 20);
    assert!(
        (32..=96).contains(&pieces),
        "{pieces} pieces for 32 answers"
    );
}

#[test]
fn a_session_that_ends_answers_whoever_waits() {
    let mut pair = Pair::over(Suite::Null);
    pair.connect();
    let mut session = Session::start(&mut pair);
    let pending = session
        .client
        .send(&messages::Realpath { path: b"." })
        .unwrap();
    session.client.abort(sansftp_proto::error::Error::Closed);
    assert_eq!(
        session.answer(pending).unwrap_err().code,
        StatusCode::CONNECTION_LOST
    );
}
