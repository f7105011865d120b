//! Every request and extension, against files in memory.

use super::*;
use bytes::BytesMut;
use sansftp_proto::limits;
use sansftp_proto::sftp::extensions::*;
use sansftp_proto::sftp::messages::*;
use sansftp_proto::sftp::{Entry, Extensions, FileType, Owner, Times};

const NEW: OpenFlags = OpenFlags::TRUNCATE;

fn new_file() -> OpenFlags {
    OpenFlags::READ | OpenFlags::WRITE | NEW
}

/// All names of a directory, in their order.
fn names(session: &mut Session, path: &[u8]) -> Vec<Entry> {
    let handle = session.open_dir(path);
    let mut names = Vec::new();
    let status = loop {
        match session.ask(&Readdir {
            handle: handle.as_bytes(),
        }) {
            Ok(some) => names.extend(some),
            Err(status) => break status,
        }
    };
    assert!(status.is_eof(), "{status}");
    assert_eq!(session.close(&handle), StatusCode::OK);
    names
}

fn filenames(session: &mut Session, path: &[u8]) -> Vec<Bytes> {
    let names = names(session, path);
    names.into_iter().map(|it| it.filename).collect()
}

#[test]
fn a_file_is_made_written_read_and_closed() {
    let mut session = Session::over(&MemFs::default());
    let handle = session.open(b"/f", new_file());
    assert_eq!(session.put(&handle, 0, b"hello world"), StatusCode::OK);
    assert_eq!(session.put(&handle, 6, b"there"), StatusCode::OK);
    assert_eq!(session.read(&handle, 0, 100).unwrap(), b"hello there");
    assert_eq!(session.read(&handle, 6, 2).unwrap(), b"th");
    assert_eq!(session.read(&handle, 11, 1), Err(StatusCode::EOF));
    let attrs = session
        .ask(&Fstat {
            handle: handle.as_bytes(),
        })
        .unwrap();
    assert_eq!(attrs.size, Some(11));
    assert_eq!(attrs.file_type(), Some(FileType::Regular));
    assert_eq!(attrs.mode(), Some(0o644));
    assert_eq!(session.close(&handle), StatusCode::OK);
    assert_eq!(session.close(&handle), StatusCode::FAILURE);
    let end = session.finish();
    assert_eq!(end.error, None);
    assert_eq!((end.bytes_read, end.bytes_written), (13, 16));
}

/// draft-ietf-secsh-filexfer-02 §6.3
#[test]
fn open_does_what_its_flags_say() {
    let fs = MemFs::default();
    fs.put(b"/f", b"old contents").unwrap();
    let mut session = Session::over(&fs);
    let code = |session: &mut Session, path: &[u8], flags| session.code(&open(path, flags));
    let (read, write) = (OpenFlags::READ, OpenFlags::WRITE);
    assert_eq!(code(&mut session, b"/none", read), StatusCode::NO_SUCH_FILE);
    assert_eq!(
        code(&mut session, b"/none/f", NEW),
        StatusCode::NO_SUCH_FILE
    );
    assert_eq!(code(&mut session, b"/", read), StatusCode::FAILURE);
    let exclusive = write | OpenFlags::CREATE_NEW;
    assert_eq!(code(&mut session, b"/f", exclusive), StatusCode::FAILURE);
    assert_eq!(code(&mut session, b"/new", exclusive), StatusCode::OK);
    assert_eq!(
        code(&mut session, b"/f", write | OpenFlags::CREATE),
        StatusCode::OK
    );
    assert_eq!(fs.get(b"/f").unwrap(), b"old contents");
    let reader = session.open(b"/f", read);
    assert_eq!(session.put(&reader, 0, b"x"), StatusCode::PERMISSION_DENIED);
    let appender = session.open(b"/f", write | OpenFlags::APPEND);
    assert_eq!(session.put(&appender, 0, b" and new"), StatusCode::OK);
    assert_eq!(
        session.read(&appender, 0, 1),
        Err(StatusCode::PERMISSION_DENIED)
    );
    assert_eq!(fs.get(b"/f").unwrap(), b"old contents and new");
    session.open(b"/f", write | NEW);
    assert_eq!(fs.get(b"/f").unwrap(), b"");
    let attrs = Attrs {
        permissions: Some(0o600),
        ..Attrs::default()
    };
    let made = Open {
        filename: b"/private",
        pflags: exclusive,
        attrs,
    };
    session.ask(&made).unwrap();
    let attrs = session.ask(&Stat { path: b"/private" }).unwrap();
    assert_eq!(attrs.permissions, Some(0o100_600));
}

/// draft-ietf-secsh-filexfer-02 §6.4
#[test]
fn positions_and_lengths_at_their_extremes_are_answered() {
    let fs = MemFs::default();
    fs.put(b"/f", b"contents").unwrap();
    let mut session = Session::over(&fs);
    let handle = session.open(b"/f", OpenFlags::READ | OpenFlags::WRITE);
    for (offset, len, expected) in [
        (0, 0, Ok(&b""[..])),
        (8, 0, Ok(b"")),
        (u64::MAX, 0, Ok(b"")),
        (0, u32::MAX, Ok(b"contents")),
        (7, u32::MAX, Ok(b"s")),
        (8, u32::MAX, Err(StatusCode::EOF)),
        (u64::MAX, 1, Err(StatusCode::EOF)),
        (u64::MAX, u32::MAX, Err(StatusCode::EOF)),
        (i64::MAX as u64, u32::MAX, Err(StatusCode::EOF)),
    ] {
        let found = session.read(&handle, offset, len);
        assert_eq!(
            found.as_deref().map_err(|it| *it),
            expected,
            "{offset} {len}"
        );
    }
    for (offset, data, expected) in [
        (0, &b""[..], StatusCode::OK),
        (100, b"", StatusCode::OK),
        (u64::MAX, b"x", StatusCode::FAILURE),
        (u64::MAX - 1, b"xyz", StatusCode::FAILURE),
        (i64::MAX as u64, b"x", StatusCode::FAILURE),
    ] {
        assert_eq!(session.put(&handle, offset, data), expected, "{offset}");
    }
    assert_eq!(
        fs.get(b"/f").unwrap(),
        b"contents",
        "none of it was written"
    );
}

/// draft-ietf-secsh-filexfer-02 §6.2
#[test]
fn a_handle_that_is_stale_or_invented_or_of_the_other_kind_is_refused() {
    let fs = MemFs::default();
    fs.put(b"/f", b"contents").unwrap();
    let mut session = Session::over(&fs);
    let (file, directory) = (session.open(b"/f", OpenFlags::READ), session.open_dir(b"/"));
    let stale = session.open(b"/f", OpenFlags::READ);
    session.close(&stale);
    let again = session.open(b"/f", OpenFlags::READ);
    assert_eq!(session.read(&again, 0, 3).unwrap(), b"con");
    for bytes in [
        Vec::new(),
        vec![0; 16],
        vec![0xff; 256],
        stale.as_bytes().to_vec(),
    ] {
        let handle = &bytes[..];
        let wrong = Handle::new(bytes.clone().into()).unwrap();
        let attrs = Attrs::default();
        let codes = [
            session.code(&Read {
                handle,
                offset: 0,
                len: 1,
            }),
            session.put(&wrong, 0, b"x"),
            session.code(&Fstat { handle }),
            session.code(&Fsetstat { handle, attrs }),
            session.code(&Readdir { handle }),
            session.code(&Close { handle }),
            session.code(&Fsync { handle }),
            session.code(&Fstatvfs { handle }),
            session.code(&CopyData {
                read_from_handle: handle,
                read_from_offset: 0,
                read_data_length: 1,
                write_to_handle: file.as_bytes(),
                write_to_offset: 0,
            }),
        ];
        assert_eq!(codes, [StatusCode::FAILURE; 9], "{wrong:?}");
    }
    assert_eq!(session.read(&directory, 0, 1), Err(StatusCode::FAILURE));
    assert_eq!(session.put(&directory, 0, b"x"), StatusCode::FAILURE);
    let handle = file.as_bytes();
    assert_eq!(session.code(&Readdir { handle }), StatusCode::FAILURE);
    assert_eq!(session.close(&file), StatusCode::OK);
    assert_eq!(session.close(&directory), StatusCode::OK);
}

#[test]
fn no_more_is_open_at_once_than_may_be() {
    let fs = MemFs::default();
    fs.put(b"/f", b"").unwrap();
    let options = Options {
        handles: 3,
        ..Options::default()
    };
    let mut session = Session::of(fs, options);
    let limits = session.ask(&GetLimits {}).unwrap();
    assert_eq!(limits.max_open_handles, 3);
    let first = session.open(b"/f", OpenFlags::READ);
    session.open(b"/f", OpenFlags::READ);
    session.open_dir(b"/");
    let one_more = open(b"/made", OpenFlags::WRITE | NEW);
    assert_eq!(session.code(&one_more), StatusCode::FAILURE);
    assert_eq!(session.code(&Opendir { path: b"/" }), StatusCode::FAILURE);
    assert_eq!(
        session.code(&Stat { path: b"/made" }),
        StatusCode::NO_SUCH_FILE,
        "what cannot be open is not made"
    );
    // A close and the open behind it in one flight.
    let closed = session.send(&Close {
        handle: first.as_bytes(),
    });
    let opened = session.send(&one_more);
    session.take(closed).unwrap();
    session.take(opened).unwrap();
}

#[test]
fn attributes_are_set_and_read() {
    let fs = MemFs::default();
    fs.put(b"/f", b"contents").unwrap();
    fs.symlink(b"f", b"/l").unwrap();
    let mut session = Session::over(&fs);
    let attrs = Attrs {
        size: Some(3),
        owner: Some(Owner { uid: 7, gid: 8 }),
        permissions: Some(0o751),
        times: Some(Times { atime: 1, mtime: 2 }),
    };
    session.ask(&Setstat { path: b"/l", attrs }).unwrap();
    let found = session.ask(&Stat { path: b"/f" }).unwrap();
    let expected = Attrs {
        permissions: Some(0o100_751),
        ..attrs
    };
    assert_eq!(found, expected);
    let link = session.ask(&Lstat { path: b"/l" }).unwrap();
    assert_eq!(
        (link.file_type(), link.size),
        (Some(FileType::Symlink), Some(1))
    );
    let times = Some(Times { atime: 5, mtime: 6 });
    let only_times = Attrs {
        times,
        ..Attrs::default()
    };
    session
        .ask(&Lsetstat {
            path: b"/l",
            attrs: only_times,
        })
        .unwrap();
    assert_eq!(session.ask(&Lstat { path: b"/l" }).unwrap().times, times);
    assert_eq!(
        session.ask(&Stat { path: b"/l" }).unwrap().times,
        attrs.times
    );
    let handle = session.open(b"/f", OpenFlags::WRITE);
    let longer = Attrs {
        size: Some(6),
        ..Attrs::default()
    };
    session
        .ask(&Fsetstat {
            handle: handle.as_bytes(),
            attrs: longer,
        })
        .unwrap();
    assert_eq!(fs.get(b"/f").unwrap(), b"con\0\0\0");
    for attrs in [attrs, longer] {
        let code = session.code(&Setstat { path: b"/", attrs });
        assert_eq!(code, StatusCode::FAILURE, "a directory has no size to set");
    }
}

#[test]
fn directories_are_made_listed_and_removed() {
    let fs = MemFs::default();
    let mut session = Session::over(&fs);
    let attrs = Attrs::default();
    session.ask(&Mkdir { path: b"d", attrs }).unwrap();
    assert_eq!(
        session.code(&Mkdir { path: b"/d", attrs }),
        StatusCode::FAILURE
    );
    assert_eq!(
        session.code(&Mkdir {
            path: b"/none/d",
            attrs
        }),
        StatusCode::NO_SUCH_FILE
    );
    for name in [&b"d/b"[..], b"d/a\xff", b"d/c"] {
        let handle = session.open(name, new_file());
        session.close(&handle);
    }
    assert_eq!(
        filenames(&mut session, b"d"),
        [&b"."[..], b"..", b"a\xff", b"b", b"c"]
    );
    let entry = names(&mut session, b"d/").remove(2);
    assert!(
        entry
            .longname
            .starts_with(b"-rw-r--r--   1 root     root            0 ")
    );
    assert!(entry.longname.ends_with(b" a\xff"));
    assert_eq!(session.code(&Rmdir { path: b"d" }), StatusCode::FAILURE);
    assert_eq!(
        session.code(&Rmdir { path: b"d/a\xff" }),
        StatusCode::NO_SUCH_FILE
    );
    assert_eq!(
        session.code(&Remove { filename: b"d" }),
        StatusCode::FAILURE
    );
    for filename in [&b"d/a\xff"[..], b"d/b", b"d/c"] {
        session.ask(&Remove { filename }).unwrap();
    }
    session.ask(&Rmdir { path: b"d/" }).unwrap();
    assert_eq!(
        session.code(&Opendir { path: b"d" }),
        StatusCode::NO_SUCH_FILE
    );
    assert_eq!(session.code(&Rmdir { path: b"/" }), StatusCode::FAILURE);
    assert_eq!(session.code(&Rmdir { path: b"." }), StatusCode::FAILURE);
}

/// draft-ietf-secsh-filexfer-02 §3: no answer is longer than every client reads.
#[test]
fn many_names_come_in_answers_of_a_length_that_every_client_reads() {
    let fs = MemFs::default();
    let expected: Vec<_> = (0..5000).map(|it| format!("{it:05}")).collect();
    for name in &expected {
        fs.put(name.as_bytes(), b"").unwrap();
    }
    let mut session = Session::over(&fs);
    let handle = session.open_dir(b"/");
    let mut found = Vec::new();
    let mut answers = 0;
    while let Ok(names) = session.ask(&Readdir {
        handle: handle.as_bytes(),
    }) {
        let length = |it: &Entry| it.filename.len() + it.longname.len() + 40;
        assert!(names.iter().map(length).sum::<usize>() <= 32 * 1024);
        answers += 1;
        found.extend(names.into_iter().map(|it| it.filename));
    }
    assert_eq!(found[2..], expected);
    assert!(answers < 30, "{answers} answers are too many");
}

/// A directory that gives everything at once is cut to answers all the same.
#[test]
fn names_that_do_not_fit_are_kept_for_the_next_answer() {
    #[derive(Debug)]
    struct Flood;
    impl FileSystem for Flood {
        fn open(&self, _: &[u8], _: OpenFlags, _: &Attrs) -> Outcome<Arc<dyn File>> {
            Err(StatusCode::FAILURE.into())
        }
        fn open_dir(&self, _: &[u8]) -> Outcome<Box<dyn Directory>> {
            Ok(Box::new(AtOnce(20_000)))
        }
        fn stat(&self, _: &[u8]) -> Outcome<Attrs> {
            Err(StatusCode::FAILURE.into())
        }
        fn real_path(&self, path: &[u8]) -> Outcome<Bytes> {
            Ok(Bytes::copy_from_slice(path))
        }
    }
    #[derive(Debug)]
    struct AtOnce(u32);
    impl Directory for AtOnce {
        fn read(&mut self, _: usize) -> Outcome<Vec<Entry>> {
            let entry = |number: u32| Entry {
                filename: number.to_string().into(),
                longname: Bytes::new(),
                attrs: Attrs::default(),
            };
            Ok((0..std::mem::take(&mut self.0)).map(entry).collect())
        }
        fn stat(&self) -> Outcome<Attrs> {
            Ok(Attrs::default())
        }
    }
    let mut session = Session::of(Flood, Options::default());
    let names = filenames(&mut session, b"any");
    assert_eq!(
        names,
        (0..20_000).map(|it| it.to_string()).collect::<Vec<_>>()
    );
}

#[test]
fn names_are_changed_as_each_request_has_it() {
    let fs = MemFs::default();
    for name in [&b"/a"[..], b"/b", b"/c"] {
        fs.put(name, name).unwrap();
    }
    fs.make_dir(b"/d", &Attrs::default()).unwrap();
    fs.make_dir(b"/d/e", &Attrs::default()).unwrap();
    fs.make_dir(b"/empty", &Attrs::default()).unwrap();
    let mut session = Session::over(&fs);
    let rename =
        |session: &mut Session, oldpath, newpath| session.code(&Rename { oldpath, newpath });
    let posix =
        |session: &mut Session, oldpath, newpath| session.code(&PosixRename { oldpath, newpath });
    // "It is an error if there already exists a file with the name specified by newpath" (§6.5).
    assert_eq!(rename(&mut session, b"/a", b"/b"), StatusCode::FAILURE);
    assert_eq!(rename(&mut session, b"/a", b"/d/e/x"), StatusCode::OK);
    assert_eq!(rename(&mut session, b"/a", b"/x"), StatusCode::NO_SUCH_FILE);
    assert_eq!(posix(&mut session, b"/b", b"/c"), StatusCode::OK);
    assert_eq!(fs.get(b"/c").unwrap(), b"/b");
    assert_eq!(posix(&mut session, b"/c", b"/c"), StatusCode::OK);
    assert_eq!(posix(&mut session, b"/c", b"/d"), StatusCode::FAILURE);
    assert_eq!(posix(&mut session, b"/d", b"/c"), StatusCode::NO_SUCH_FILE);
    assert_eq!(posix(&mut session, b"/empty", b"/d"), StatusCode::FAILURE);
    assert_eq!(posix(&mut session, b"/d", b"/d/e/f"), StatusCode::FAILURE);
    assert_eq!(rename(&mut session, b"/d", b"/d/e/f"), StatusCode::FAILURE);
    assert_eq!(posix(&mut session, b"/", b"/d/root"), StatusCode::FAILURE);
    assert_eq!(posix(&mut session, b"/d/.", b"/x"), StatusCode::FAILURE);
    assert_eq!(posix(&mut session, b"/d", b"/empty"), StatusCode::OK);
    assert_eq!(fs.get(b"/empty/e/x").unwrap(), b"/a");
    assert_eq!(rename(&mut session, b"/empty/", b"/full/"), StatusCode::OK);
    assert_eq!(fs.get(b"/full/e/x").unwrap(), b"/a");
}

#[test]
fn links_are_made_read_and_followed() {
    let fs = MemFs::default();
    fs.make_dir(b"/d", &Attrs::default()).unwrap();
    fs.put(b"/d/f", b"contents").unwrap();
    let mut session = Session::over(&fs);
    let symlink = |session: &mut Session, targetpath, linkpath| {
        session.code(&Symlink {
            targetpath,
            linkpath,
        })
    };
    assert_eq!(
        symlink(&mut session, b"../../d/f", b"/d/up"),
        StatusCode::OK
    );
    assert_eq!(symlink(&mut session, b"/d", b"/dir"), StatusCode::OK);
    assert_eq!(symlink(&mut session, b"loop", b"/loop"), StatusCode::OK);
    assert_eq!(symlink(&mut session, b"x", b"/dir"), StatusCode::FAILURE);
    assert_eq!(
        symlink(&mut session, b"", b"/nothing"),
        StatusCode::NO_SUCH_FILE
    );
    let path = b"/d/up";
    assert_eq!(session.ask(&Readlink { path }).unwrap(), &b"../../d/f"[..]);
    assert_eq!(
        session.code(&Readlink { path: b"/d/f" }),
        StatusCode::FAILURE
    );
    assert_eq!(fs.get(b"/dir/up").unwrap(), b"contents");
    assert_eq!(
        session.code(&Stat { path: b"/loop" }),
        StatusCode::NO_SUCH_FILE
    );
    assert_eq!(session.code(&Lstat { path: b"/loop" }), StatusCode::OK);
    assert_eq!(
        session.code(&Stat { path: b"/d/f/" }),
        StatusCode::NO_SUCH_FILE
    );
    assert_eq!(session.code(&Stat { path: b"/dir/" }), StatusCode::OK);
    // Made where a link leads, but not by whoever asks for a new file.
    assert_eq!(
        symlink(&mut session, b"d/made", b"/to-come"),
        StatusCode::OK
    );
    let exclusive = OpenFlags::WRITE | OpenFlags::CREATE_NEW;
    assert_eq!(
        session.code(&open(b"/to-come", exclusive)),
        StatusCode::FAILURE
    );
    session.open(b"/to-come", new_file());
    assert_eq!(session.code(&Stat { path: b"/d/made" }), StatusCode::OK);
    // A removed link leaves what it leads to.
    session.ask(&Remove { filename: b"/dir" }).unwrap();
    assert_eq!(fs.get(b"/d/f").unwrap(), b"contents");
    let hardlink =
        |session: &mut Session, oldpath, newpath| session.code(&Hardlink { oldpath, newpath });
    assert_eq!(hardlink(&mut session, b"/d/f", b"/h"), StatusCode::OK);
    assert_eq!(hardlink(&mut session, b"/d/f", b"/h"), StatusCode::FAILURE);
    assert_eq!(
        hardlink(&mut session, b"/d", b"/h2"),
        StatusCode::PERMISSION_DENIED
    );
    let handle = session.open(b"/h", OpenFlags::WRITE);
    session.put(&handle, 0, b"CON");
    assert_eq!(fs.get(b"/d/f").unwrap(), b"CONtents");
    // An open file outlives its names.
    session.ask(&Remove { filename: b"/h" }).unwrap();
    session.ask(&Remove { filename: b"/d/f" }).unwrap();
    assert_eq!(session.put(&handle, 3, b"TENTS"), StatusCode::OK);
    let attrs = session.ask(&Fstat {
        handle: handle.as_bytes(),
    });
    assert_eq!(attrs.unwrap().size, Some(8));
}

#[test]
fn paths_become_canonical_and_go_no_higher_than_the_root() {
    let fs = MemFs::default();
    fs.make_dir(b"/d", &Attrs::default()).unwrap();
    fs.symlink(b"d", b"/l").unwrap();
    let mut session = Session::over(&fs);
    for (path, expected) in [
        (&b""[..], Ok(&b"/"[..])),
        (b".", Ok(b"/")),
        (b"/../../..", Ok(b"/")),
        (b"//d//.//", Ok(b"/d")),
        (b"l/../d/none", Ok(b"/d/none")),
        (b"l", Ok(b"/d")),
        (b"none/x", Err(StatusCode::NO_SUCH_FILE)),
        (b"none/..", Err(StatusCode::NO_SUCH_FILE)),
        (b"d\0", Err(StatusCode::BAD_MESSAGE)),
        (&[b'x'; 256], Err(StatusCode::BAD_MESSAGE)),
        (&[b'/'; 5000], Err(StatusCode::BAD_MESSAGE)),
    ] {
        let found = session.ask(&Realpath { path }).map_err(|it| it.code);
        assert_eq!(found.as_deref().map_err(|it| *it), expected, "{path:?}");
    }
    for (path, expected) in [
        (&b"~"[..], Ok(&b"/"[..])),
        (b"~/l", Ok(b"/d")),
        (b"d/~", Ok(b"/d/~")),
        (b"~root", Err(StatusCode::FAILURE)),
    ] {
        let found = session.ask(&ExpandPath { path }).map_err(|it| it.code);
        assert_eq!(found.as_deref().map_err(|it| *it), expected, "{path:?}");
    }
    assert_eq!(session.ask(&HomeDirectory { username: b"" }).unwrap(), "/");
    let other = HomeDirectory { username: b"other" };
    assert_eq!(session.code(&other), StatusCode::FAILURE);
}

#[test]
fn the_extensions_are_announced_and_answered() {
    let mut session = Session::over(&MemFs::new(1 << 20));
    assert_eq!(session.client.extensions(), Extensions::OPENSSH);
    let limits = session.ask(&GetLimits {}).unwrap();
    let expected = Limits {
        max_packet_length: limits::SFTP_MESSAGE as u64,
        max_read_length: 261_120,
        max_write_length: 261_120,
        max_open_handles: 1024,
    };
    assert_eq!(limits, expected);
    let handle = session.open(b"/f", new_file());
    session.put(&handle, 0, &[1; 100_000]);
    let handle = handle.as_bytes();
    session.ask(&Fsync { handle }).unwrap();
    let of_file = session.ask(&Fstatvfs { handle }).unwrap();
    assert_eq!(of_file, session.ask(&Statvfs { path: b"/" }).unwrap());
    assert_eq!(of_file.f_blocks * of_file.f_frsize, 1 << 20);
    assert!(of_file.f_bfree < of_file.f_blocks - 100_000 / 4096);
    let directory = session.open_dir(b"/");
    let handle = directory.as_bytes();
    session.ask(&Fsync { handle }).unwrap();
    session.ask(&Fstatvfs { handle }).unwrap();
    let attrs = session.ask(&Fstat { handle }).unwrap();
    assert_eq!(attrs.file_type(), Some(FileType::Directory));
    let code = session.code(&Statvfs { path: b"/none" });
    assert_eq!(code, StatusCode::NO_SUCH_FILE);
}

/// OpenSSH PROTOCOL §4.12: an answer with a name for each, however many were asked about.
#[test]
fn as_many_owners_are_named_as_an_answer_holds() {
    let mut session = Session::over(&MemFs::default());
    let (mut users, mut groups) = (BytesMut::new(), BytesMut::new());
    let some = UsersGroupsById {
        uids: Ids::pack(&[0, 7], &mut users),
        gids: Ids::pack(&[], &mut groups),
    };
    let names = session.ask(&some).unwrap();
    assert_eq!(names.users, [&b"root"[..], b""]);
    assert!(names.groups.is_empty());
    let roots = vec![0; 60_000];
    let many = UsersGroupsById {
        uids: Ids::pack(&roots, &mut users),
        gids: Ids::pack(&[0], &mut groups),
    };
    let names = session.ask(&many).unwrap();
    assert_eq!((names.users.len(), names.groups.len()), (60_000, 1));
    assert_eq!(names.users.first().unwrap(), "root");
    assert_eq!(names.users.last().unwrap(), "", "there is no more room");
}

#[test]
fn data_is_copied_within_the_server() {
    let fs = MemFs::default();
    let contents: Vec<u8> = (0..700_000_u32).map(|it| (it % 251) as u8).collect();
    fs.put(b"/from", &contents).unwrap();
    let mut session = Session::over(&fs);
    let from = session.open(b"/from", OpenFlags::READ | OpenFlags::WRITE);
    let to = session.open(b"/to", new_file());
    let copy =
        |session: &mut Session, from: &Handle, at: u64, len: u64, to: &Handle, to_at: u64| {
            session.code(&CopyData {
                read_from_handle: from.as_bytes(),
                read_from_offset: at,
                read_data_length: len,
                write_to_handle: to.as_bytes(),
                write_to_offset: to_at,
            })
        };
    assert_eq!(copy(&mut session, &from, 0, 0, &to, 0), StatusCode::OK);
    assert_eq!(fs.get(b"/to").unwrap(), contents);
    assert_eq!(
        copy(&mut session, &from, 10, 300_000, &to, 5),
        StatusCode::OK
    );
    assert_eq!(fs.get(b"/to").unwrap()[5..300_005], contents[10..300_010]);
    // Fewer bytes than were asked for are copied, and it is said.
    assert_eq!(
        copy(&mut session, &from, 699_999, 5, &to, 0),
        StatusCode::EOF
    );
    assert_eq!(fs.get(b"/to").unwrap()[0], contents[699_999]);
    assert_eq!(
        copy(&mut session, &from, u64::MAX, 0, &to, 0),
        StatusCode::OK
    );
    assert_eq!(
        copy(&mut session, &from, u64::MAX, 1, &to, 0),
        StatusCode::EOF
    );
    for to_at in [u64::MAX, i64::MAX as u64] {
        let code = copy(&mut session, &from, 0, 0, &to, to_at);
        assert_eq!(code, StatusCode::FAILURE);
    }
    // A file onto itself: by one handle, and by two.
    assert_eq!(
        copy(&mut session, &from, 0, 1, &from, 10),
        StatusCode::INVALID_PARAMETER
    );
    let again = session.open(b"/from", OpenFlags::READ | OpenFlags::WRITE);
    for (at, len, to_at) in [
        (0, 10, 9),
        (9, 10, 0),
        (0, 0, 1),
        (1, 0, 0),
        (0, u64::MAX, 1),
    ] {
        let code = copy(&mut session, &from, at, len, &again, to_at);
        assert_eq!(code, StatusCode::INVALID_PARAMETER, "{at} {len} {to_at}");
    }
    assert_eq!(copy(&mut session, &from, 0, 10, &again, 10), StatusCode::OK);
    assert_eq!(fs.get(b"/from").unwrap()[10..20], contents[..10]);
    // To the end, behind the end: as much as was there before.
    assert_eq!(
        copy(&mut session, &from, 0, 0, &again, 700_000),
        StatusCode::OK
    );
    assert_eq!(fs.get(b"/from").unwrap().len(), 1_400_000);
    let appender = session.open(b"/from", OpenFlags::WRITE | OpenFlags::APPEND);
    let code = copy(&mut session, &from, 0, 0, &appender, 0);
    assert_eq!(code, StatusCode::INVALID_PARAMETER, "it would never end");
    let directory = session.open_dir(b"/");
    let code = copy(&mut session, &directory, 0, 1, &to, 0);
    assert_eq!(code, StatusCode::FAILURE);
}

#[test]
fn what_is_denied_is_answered_so_and_not_announced() {
    let fs = MemFs::default();
    fs.put(b"/f", b"contents").unwrap();
    let denied = Requests::parse("remove,write,copy-data,close").unwrap();
    let options = Options {
        allowed: Requests::all().without(denied),
        ..Options::default()
    };
    let mut session = Session::of(fs.clone(), options);
    let announced = Extensions::OPENSSH.without(Extension::CopyData);
    assert_eq!(session.client.extensions(), announced);
    let denied = StatusCode::PERMISSION_DENIED;
    assert_eq!(session.code(&Remove { filename: b"/f" }), denied);
    let handle = session.open(b"/f", OpenFlags::READ | OpenFlags::WRITE);
    assert_eq!(session.put(&handle, 0, b"x"), denied);
    let copy = CopyData {
        read_from_handle: handle.as_bytes(),
        read_from_offset: 0,
        read_data_length: 1,
        write_to_handle: b"",
        write_to_offset: 0,
    };
    // The client's own machine would not ask for what was not announced.
    let mut body = BytesMut::new();
    sansftp_proto::wire::Message::write_body(&copy, &mut body);
    assert_eq!(session.close(&handle), denied);
    assert_eq!(
        session.read(&handle, 0, 3).unwrap(),
        b"con",
        "it is still open"
    );
    session.engine.handle_data(raw(200, 77, &body).into());
    let answer = wait(|waker| {
        session.engine.set_waker(waker);
        session.engine.poll_transmit()
    });
    assert_eq!(answer[4..13], [101, 0, 0, 0, 77, 0, 0, 0, 3]);
    assert_eq!(fs.get(b"/f").unwrap(), b"contents");
}

#[test]
fn a_file_system_that_knows_little_says_so() {
    #[derive(Debug)]
    struct Little(MemFs);
    impl FileSystem for Little {
        fn open(&self, path: &[u8], flags: OpenFlags, attrs: &Attrs) -> Outcome<Arc<dyn File>> {
            self.0.open(path, flags, attrs)
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
    let fs = Little(MemFs::default());
    let mut session = Session::of(fs, Options::default());
    let announced = Extensions::NONE.with(Extension::Limits);
    assert_eq!(session.client.extensions(), announced);
    let code = session.code(&Remove { filename: b"/f" });
    assert_eq!(code, StatusCode::OP_UNSUPPORTED);
    session.ask(&GetLimits {}).unwrap();
    session.engine.handle_data(raw(99, 77, b"what?").into());
    let answer = wait(|waker| {
        session.engine.set_waker(waker);
        session.engine.poll_transmit()
    });
    assert_eq!(answer[4..13], [101, 0, 0, 0, 77, 0, 0, 0, 8]);
}

#[test]
fn there_is_no_more_room_than_the_quota() {
    let mut session = Session::over(&MemFs::new(100_000));
    let handle = session.open(b"/f", new_file());
    assert_eq!(session.put(&handle, 0, &[1; 90_000]), StatusCode::OK);
    assert_eq!(
        session.put(&handle, 90_000, &[1; 20_000]),
        StatusCode::FAILURE
    );
    let attrs = Attrs::default();
    let made = (0..1000).take_while(|it| {
        let path = format!("/{it}");
        let path = path.as_bytes();
        session.code(&Mkdir { path, attrs }) == StatusCode::OK
    });
    assert!(made.count() < 100, "names take room as well");
    session.ask(&Remove { filename: b"/f" }).unwrap();
    session.close(&handle);
    let handle = session.open(b"/g", new_file());
    assert_eq!(session.put(&handle, 0, &[1; 50_000]), StatusCode::OK);
}
