//! What waits for what, what overlaps, what is held, and how sessions end.

use super::*;
use sansftp_proto::sftp::extensions::{Fsync, PosixRename, RequestLengths};
use sansftp_proto::sftp::messages::{Fstat, Realpath, Stat};

fn both() -> OpenFlags {
    OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE
}

fn scripted(paths: &[&[u8]]) -> (Session, Scripted, Receiver<&'static str>) {
    let files = MemFs::default();
    for path in paths {
        files.put(path, b"contents").unwrap();
    }
    let (fs, beginnings) = Scripted::new(files);
    let session = Session::of(fs.clone(), Options::default());
    (session, fs, beginnings)
}

/// The next thing that begins.
fn next(beginnings: &Receiver<&'static str>) -> &'static str {
    beginnings.recv_timeout(PATIENCE).unwrap()
}

/// draft-ietf-secsh-filexfer-02 §6.1
#[test]
fn a_read_sees_the_write_before_it_and_not_the_one_behind_it() {
    let mut session = Session::over(&MemFs::default());
    let (one, other) = (session.open(b"/f", both()), session.open(b"/f", both()));
    for round in 0..200_u32 {
        let mut pending = Vec::new();
        for step in 0..4_u32 {
            let number = (round * 4 + step).to_be_bytes();
            // By either handle: it is the same file.
            let (writer, reader) = if step % 2 == 0 {
                (&one, &other)
            } else {
                (&other, &one)
            };
            let written = session.write(writer, 0, &number);
            pending.push((written, session.send(&read(reader, 0, 4)), number));
        }
        for (written, data, number) in pending {
            session.take(written).unwrap();
            assert_eq!(bytes(&session.take(data).unwrap()), number);
        }
    }
}

#[test]
fn a_file_that_blocks_does_not_stop_another() {
    let (mut session, fs, beginnings) = scripted(&[b"/slow", b"/fast"]);
    let (slow, fast) = (
        session.open(b"/slow", both()),
        session.open(b"/fast", both()),
    );
    let go = fs.stop(b"/slow");
    let stuck = session.send(&read(&slow, 0, 8));
    let behind = session.write(&slow, 0, b"x");
    assert_eq!(session.read(&fast, 0, 8).unwrap(), b"contents");
    assert_eq!(next(&beginnings), "read");
    assert_eq!(session.put(&fast, 0, b"CON"), StatusCode::OK);
    assert!(!session.has(stuck.id()) && !session.has(behind.id()));
    go.send(()).unwrap();
    assert_eq!(bytes(&session.take(stuck).unwrap()), b"contents");
    assert_eq!(next(&beginnings), "write");
    go.send(()).unwrap();
    session.take(behind).unwrap();
}

#[test]
fn a_path_waits_for_the_files_before_it_and_they_for_it() {
    let (mut session, fs, beginnings) = scripted(&[b"/f", b"/g"]);
    let (f, g) = (session.open(b"/f", both()), session.open(b"/g", both()));
    let go = fs.stop(b"/f");
    let written = session.write(&f, 0, b"late");
    let renamed = session.send(&PosixRename {
        oldpath: b"/f",
        newpath: b"/g",
    });
    let opened = session.send(&open(b"/g", OpenFlags::READ));
    let read_behind = session.send(&read(&g, 0, 8));
    let stat = session.send(&Stat { path: b"/f" });
    session.give();
    assert_eq!(next(&beginnings), "write");
    for id in [renamed.id(), opened.id(), read_behind.id(), stat.id()] {
        assert!(!session.has(id));
    }
    assert_eq!(fs.files.get(b"/g").unwrap(), b"contents");
    drop(go);
    session.take(written).unwrap();
    session.take(renamed).unwrap();
    let code = session.take(stat).unwrap_err().code;
    assert_eq!(code, StatusCode::NO_SUCH_FILE);
    let opened = session.take(opened).unwrap();
    assert_eq!(session.read(&opened, 0, 8).unwrap(), b"lateents");
    // The handle is of the file that had the name before.
    assert_eq!(bytes(&session.take(read_behind).unwrap()), b"contents");
}

#[test]
fn a_close_waits_for_the_writes_before_it_and_nothing_finds_the_handle_behind_it() {
    let (mut session, fs, beginnings) = scripted(&[b"/f"]);
    let handle = session.open(b"/f", both());
    let go = fs.stop(b"/f");
    let written = session.write(&handle, 0, b"late");
    let closed = session.send(&Close {
        handle: handle.as_bytes(),
    });
    let stale = session.send(&read(&handle, 0, 1));
    let code = session.take(stale).unwrap_err().code;
    assert_eq!(code, StatusCode::FAILURE, "it is refused at once");
    assert_eq!(next(&beginnings), "write");
    assert!(!session.has(closed.id()));
    go.send(()).unwrap();
    assert_eq!(next(&beginnings), "close");
    go.send(()).unwrap();
    session.take(written).unwrap();
    session.take(closed).unwrap();
    assert_eq!(next(&beginnings), "drop");
}

/// A client that asks for a whole file at once, as paramiko's prefetch does, and reads late.
#[test]
fn a_client_that_asks_for_everything_at_once_is_not_read_any_further() {
    const FILE: u64 = 256 << 20;
    const PIECE: u32 = 32 * 1024;
    const REQUESTS: u64 = FILE / PIECE as u64;
    let (fs, _beginnings) = Scripted::new(MemFs::default());
    let file = fs.files.open(b"/f", both(), &Attrs::default()).unwrap();
    let attrs = Attrs {
        size: Some(FILE),
        ..Attrs::default()
    };
    file.set_stat(&attrs).unwrap();
    let options = Options {
        memory: 2 << 20,
        ..Options::default()
    };
    let mut session = Session::of(fs.clone(), options);
    let handle = session.open(b"/f", OpenFlags::READ);
    let request = |number: u64| {
        let mut fields = 16_u32.to_be_bytes().to_vec();
        fields.extend(handle.as_bytes());
        fields.extend((number * u64::from(PIECE)).to_be_bytes());
        fields.extend(PIECE.to_be_bytes());
        raw(5, number as u32, &fields)
    };
    let mut stream = Bytes::from_iter((0..REQUESTS).flat_map(request));
    let give = |stream: &mut Bytes| {
        while !stream.is_empty() && session.engine.wants_data() {
            let some = stream.split_to(stream.len().min(1000));
            session.engine.handle_data(some);
        }
    };
    give(&mut stream);
    thread::sleep(Duration::from_millis(300));
    give(&mut stream);
    let unread = (stream.len() / request(0).len()) as u64;
    assert!(unread > REQUESTS * 9 / 10, "{unread} requests wait outside");
    let ahead = fs.read.load(Ordering::Relaxed);
    let bounds = 512 * 1024..=1024 * 1024 + u64::from(PIECE);
    assert!(
        bounds.contains(&ahead),
        "{ahead} bytes were read for nobody"
    );
    let mut got = 0;
    wait(|waker| {
        session.engine.set_waker(waker);
        while let Some(bytes) = session.engine.poll_transmit() {
            got += bytes.len() as u64;
            give(&mut stream);
        }
        give(&mut stream);
        (got == FILE + REQUESTS * 13).then_some(())
    });
    assert_eq!(session.finish().bytes_read, FILE);
}

#[test]
fn one_request_is_served_however_little_memory_there_is() {
    let fs = MemFs::default();
    fs.put(b"/f", &[7; 1 << 20]).unwrap();
    let options = Options {
        memory: 0,
        ..Options::default()
    };
    let mut session = Session::of(fs, options);
    let handle = session.open(b"/f", both());
    let most = RequestLengths::LONGEST;
    let pending: Vec<_> = (0..4)
        .map(|it| session.send(&read(&handle, it * u64::from(most), most)))
        .collect();
    let written: Vec<_> = (0..4)
        .map(|it| session.write(&handle, it * 200_000, &[1; 200_000]))
        .collect();
    for data in pending {
        let len = session.take(data).unwrap().len();
        assert!(len == most as usize || len == (1 << 20) - 3 * most as usize);
    }
    for written in written {
        session.take(written).unwrap();
    }
}

#[test]
fn a_panic_is_a_failure_and_the_session_goes_on() {
    let (mut session, _fs, _beginnings) = scripted(&[b"/panics", b"/f"]);
    let (broken, file) = (
        session.open(b"/panics", both()),
        session.open(b"/f", both()),
    );
    let (failed, code, closed) = quietly(|| {
        (
            session.read(&broken, 0, 1),
            session.code(&open(b"/panics at once", both())),
            session.close(&broken),
        )
    });
    assert_eq!(failed, Err(StatusCode::FAILURE));
    assert_eq!(code, StatusCode::FAILURE);
    assert_eq!(closed, StatusCode::FAILURE);
    assert_eq!(session.read(&file, 0, 8).unwrap(), b"contents");
    assert_eq!(session.finish().error, None);
}

#[test]
fn an_abort_finishes_what_is_at_work_begins_nothing_and_closes_all() {
    let (mut session, fs, beginnings) = scripted(&[b"/slow", b"/f"]);
    let (slow, _file) = (session.open(b"/slow", both()), session.open(b"/f", both()));
    let go = fs.stop(b"/slow");
    for _ in 0..10 {
        drop(session.write(&slow, 0, b"x"));
    }
    drop(session.send(&Realpath { path: b"." }));
    session.give();
    assert_eq!(next(&beginnings), "write");
    session.engine.abort();
    assert!(session.engine.ended().is_none(), "one is at work");
    assert!(!session.engine.wants_data());
    go.send(()).unwrap();
    let end = session.end();
    assert_eq!(end.error, Some(Error::Closed));
    assert_eq!(end.bytes_written, 1);
    let mut rest: Vec<_> = beginnings.try_iter().collect();
    rest.sort_unstable();
    assert_eq!(rest, ["drop", "drop"], "nine writes never begin");
    assert_eq!(session.engine.poll_transmit(), None);
}

/// One that ends while others are at work does not go on with what waits.
#[test]
fn after_an_abort_nothing_begins_while_another_file_is_at_work() {
    let (mut session, fs, beginnings) = scripted(&[b"/slow", b"/f"]);
    let (slow, file) = (session.open(b"/slow", both()), session.open(b"/f", both()));
    let (hold, go) = (fs.stop(b"/slow"), fs.stop(b"/f"));
    drop(session.write(&slow, 0, b"x"));
    for _ in 0..10 {
        drop(session.write(&file, 0, b"x"));
    }
    session.give();
    assert_eq!([next(&beginnings), next(&beginnings)], ["write", "write"]);
    session.engine.abort();
    drop(go);
    thread::sleep(Duration::from_millis(50));
    drop(hold);
    assert_eq!(session.end().bytes_written, 2);
}

#[test]
fn a_file_that_panics_when_it_is_dropped_harms_nobody() {
    let (mut session, fs, beginnings) = scripted(&[b"/f", b"/falls", b"/falls too"]);
    let file = session.open(b"/f", both());
    let falls = session.open(b"/falls", both());
    let too = session.open(b"/falls too", both());
    let (closed, end) = quietly(|| {
        let closed = session.close(&falls);
        let go = fs.stop(b"/f");
        drop(session.write(&file, 0, b"x"));
        // These wait when the session ends, and the second is the last that has its file.
        drop(session.send(&Realpath { path: b"." }));
        drop(session.send(&Close {
            handle: too.as_bytes(),
        }));
        session.give();
        while next(&beginnings) != "write" {}
        session.engine.abort();
        drop(go);
        (closed, session.end())
    });
    assert_eq!(closed, StatusCode::OK);
    assert_eq!(end.error, Some(Error::Closed));
}

#[test]
fn a_session_that_is_dropped_closes_its_files_elsewhere() {
    let (mut session, _fs, beginnings) = scripted(&[b"/f"]);
    session.open(b"/f", both());
    let Session {
        engine, runtime, ..
    } = session;
    drop(engine);
    assert_eq!(next(&beginnings), "drop");
    drop(runtime);
}

/// A copy without end is ended by the end of the session.
#[test]
fn a_copy_is_broken_off_with_its_session() {
    let fs = MemFs::new(1 << 20);
    let file = fs.open(b"/huge", both(), &Attrs::default()).unwrap();
    let attrs = Attrs {
        size: Some(1 << 50),
        ..Attrs::default()
    };
    file.set_stat(&attrs).unwrap();
    #[derive(Debug)]
    struct Sink(MemFs);
    #[derive(Debug)]
    struct Nowhere(Arc<dyn File>);
    impl FileSystem for Sink {
        fn extensions(&self) -> sansftp_proto::sftp::Extensions {
            self.0.extensions()
        }
        fn open(&self, path: &[u8], flags: OpenFlags, attrs: &Attrs) -> Outcome<Arc<dyn File>> {
            let file = self.0.open(path, flags, attrs)?;
            Ok(if path == b"/sink" {
                Arc::new(Nowhere(file))
            } else {
                file
            })
        }
        fn open_dir(&self, path: &[u8]) -> Outcome<Box<dyn Directory>> {
            self.0.open_dir(path)
        }
        fn stat(&self, path: &[u8]) -> Outcome<Attrs> {
            self.0.stat(path)
        }
        fn real_path(&self, path: &[u8]) -> Outcome<Bytes> {
            self.0.real_path(path)
        }
    }
    impl File for Nowhere {
        fn identity(&self) -> FileId {
            self.0.identity()
        }
        fn read_at(&self, offset: u64, len: usize) -> Outcome<Data> {
            self.0.read_at(offset, len)
        }
        fn write_at(&self, _: u64, _: &Data) -> Outcome<()> {
            Ok(())
        }
        fn stat(&self) -> Outcome<Attrs> {
            self.0.stat()
        }
    }
    let mut session = Session::of(Sink(fs), Options::default());
    let (from, to) = (
        session.open(b"/huge", OpenFlags::READ),
        session.open(b"/sink", both()),
    );
    let copied = session.send(&sansftp_proto::sftp::extensions::CopyData {
        read_from_handle: from.as_bytes(),
        read_from_offset: 0,
        read_data_length: 0,
        write_to_handle: to.as_bytes(),
        write_to_offset: 0,
    });
    assert!(!session.has(copied.id()));
    session.engine.abort();
    session.end();
}

#[test]
fn a_client_that_breaks_the_protocol_ends_its_session() {
    let (mut session, _fs, beginnings) = scripted(&[b"/f"]);
    session.open(b"/f", both());
    session.engine.handle_data(Bytes::from_static(&[0xff; 16]));
    let end = session.end();
    assert!(end.error.is_some());
    assert_eq!(next(&beginnings), "drop");
    assert!(!session.engine.wants_data());
    session.engine.handle_data(Bytes::from_static(b"more"));
    session.engine.handle_eof();
}

#[test]
fn the_end_comes_when_everything_is_answered_and_taken() {
    let (mut session, fs, _beginnings) = scripted(&[b"/slow"]);
    let slow = session.open(b"/slow", both());
    let go = fs.stop(b"/slow");
    let pending = session.send(&read(&slow, 0, 8));
    session.give();
    session.engine.handle_eof();
    assert!(!session.has(pending.id()) && session.engine.ended().is_none());
    drop(go);
    thread::sleep(Duration::from_millis(50));
    assert!(
        session.engine.ended().is_none(),
        "an answer waits to be taken"
    );
    assert_eq!(bytes(&session.take(pending).unwrap()), b"contents");
    assert_eq!(session.end().error, None);
}

/// What is asked of one session at the same time is as much as a few threads can do.
#[test]
fn a_session_takes_few_threads() {
    let files = MemFs::default();
    let (fs, beginnings) = Scripted::new(files);
    let mut session = Session::of(fs.clone(), Options::default());
    let paths: [&'static [u8]; 8] = [b"/0", b"/1", b"/2", b"/3", b"/4", b"/5", b"/6", b"/7"];
    let handles: Vec<_> = paths
        .iter()
        .map(|path| session.open(path, both()))
        .collect();
    let gates: Vec<_> = paths.iter().map(|path| fs.stop(path)).collect();
    let pending: Vec<_> = handles
        .iter()
        .map(|it| session.send(&read(it, 0, 1)))
        .collect();
    session.give();
    for _ in 0..4 {
        assert_eq!(next(&beginnings), "read");
    }
    let more = beginnings.recv_timeout(Duration::from_millis(50));
    assert!(more.is_err(), "a fifth has begun");
    drop(gates);
    for data in pending {
        assert_eq!(session.take(data).unwrap_err().code, StatusCode::EOF);
    }
}

#[derive(Debug, Default)]
struct Log(Mutex<Vec<String>>);

impl Observe for Log {
    fn observe(&self, event: &Event<'_>) {
        let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        let line = match event {
            Event::Opened { path, outcome, .. } => {
                format!("open {} {}", text(path), outcome.is_ok())
            }
            Event::Closed {
                path,
                read,
                written,
                by,
                ..
            } => format!("close {} {read} {written} {by:?}", text(path)),
            Event::OpenedDirectory { path, .. } => format!("opendir {}", text(path)),
            Event::ClosedDirectory { path } => format!("closedir {}", text(path)),
            Event::Performed {
                request,
                path,
                second,
                outcome,
                ..
            } => format!(
                "{request} {} {} {}",
                text(path),
                text(second.unwrap_or_default()),
                outcome.is_ok()
            ),
            Event::Denied { request } => format!("denied {request}"),
            Event::Ended(end) => format!("end {} {}", end.bytes_read, end.bytes_written),
        };
        self.0.lock().unwrap().push(line);
    }
}

#[test]
fn what_is_done_is_told() {
    let log = Arc::new(Log::default());
    let options = Options {
        allowed: Requests::all().without(Requests::parse("stat").unwrap()),
        observe: Some(Arc::clone(&log) as Arc<dyn Observe>),
        ..Options::default()
    };
    let mut session = Session::of(MemFs::default(), options);
    let file = session.open(b"/f", both());
    session.put(&file, 0, b"four");
    session.read(&file, 0, 3).unwrap();
    session.code(&Fsync {
        handle: file.as_bytes(),
    });
    session.code(&Fstat {
        handle: file.as_bytes(),
    });
    session.code(&open(b"/none", OpenFlags::READ));
    session.code(&Stat { path: b"/f" });
    session.code(&PosixRename {
        oldpath: b"/f",
        newpath: b"/g",
    });
    session.open_dir(b"/");
    let again = session.open(b"/g", both());
    session.close(&again);
    session.finish();
    let lines = log.0.lock().unwrap();
    let expected = [
        "open /f true",
        "fsync /f  true",
        "open /none false",
        "denied stat",
        "posix-rename /f /g true",
        "opendir /",
        "open /g true",
        "close /g 0 0 Client",
        "close /f 3 4 End",
        "closedir /",
        "end 3 4",
    ];
    assert_eq!(*lines, expected);
}
