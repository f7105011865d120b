//! Client and server talking to each other at several fragmentations.

use super::*;
use crate::sftp::extensions::{
    self, CheckFileHandle, CheckFileName, CopyData, ExpandPath, FileHashes, Fstatvfs, GetLimits,
    Hardlink, HomeDirectory, Ids, Limits, Lsetstat, OwnerNames, PosixRename, StatVfs, Statvfs,
    UsersGroupsById,
};
use crate::sftp::messages::*;
use crate::sftp::transfer::{Download, DownloadPlan, Order, Upload, UploadPlan};

const LIMITS: Limits = Limits {
    max_packet_length: 1,
    max_read_length: 2,
    max_write_length: 3,
    max_open_handles: 4,
};

const STATVFS: StatVfs = StatVfs {
    f_bsize: 1,
    f_frsize: 2,
    f_blocks: 3,
    f_bfree: 4,
    f_bavail: 5,
    f_files: 6,
    f_ffree: 7,
    f_favail: 8,
    f_fsid: 9,
    f_flag: 10,
    f_namemax: 11,
};

struct Pair {
    client: Client,
    server: Server,
    fragment: usize,
}

impl Pair {
    fn new(fragment: usize) -> Self {
        let client = Client::default();
        let mut pair = Self {
            client,
            server: Server::new(Extensions::ALL),
            fragment,
        };
        assert!(pair.turn().is_empty());
        assert!(pair.client.is_ready());
        assert_eq!(pair.client.extensions(), Extensions::ALL);
        pair
    }

    /// Carries bytes both ways until nothing moves; what the server is asked on the way.
    fn turn(&mut self) -> Vec<Asked> {
        let mut asked = Vec::new();
        loop {
            let up = sent(|| self.client.poll_transmit());
            for piece in up.chunks(self.fragment) {
                self.server
                    .handle_data(Bytes::copy_from_slice(piece))
                    .unwrap();
                while let Some(it) = self.server.poll_request().unwrap() {
                    asked.push(it);
                }
            }
            let down = sent(|| self.server.poll_transmit());
            for piece in down.chunks(self.fragment) {
                self.client
                    .handle_data(Bytes::copy_from_slice(piece))
                    .unwrap();
            }
            if up.is_empty() && down.is_empty() {
                return asked;
            }
        }
    }

    /// One request, answered by `answer`, all the way there and back.
    fn ask<'a, Q: Request<'a>>(
        &mut self,
        request: &Q,
        answer: impl FnOnce(&mut Server, Asked),
    ) -> Result<<Q::Reply as Kind>::Value, Status> {
        let pending = self.client.send(request).unwrap();
        let [asked] = <[Asked; 1]>::try_from(self.turn()).unwrap();
        answer(&mut self.server, asked);
        assert!(self.turn().is_empty());
        pending
            .claim(self.client.poll_completion().unwrap())
            .unwrap()
    }
}

const FRAGMENTS: [usize; 6] = [1, 2, 3, 7, 64, usize::MAX];

macro_rules! answer {
    ($variant:ident { $($field:ident == $value:expr),* } => $answer:expr) => {
        |server: &mut Server, asked: Asked| {
            let Asked::$variant { $($field,)* reply } = asked else { panic!("{asked:?}") };
            $(assert_eq!($field, $value);)*
            server.reply(reply, $answer);
        }
    };
}

#[test]
fn every_request_of_the_draft_arrives_as_it_was_sent_and_so_does_its_answer() {
    let known = Attrs {
        size: Some(9),
        permissions: Some(0o100_600),
        ..Attrs::default()
    };
    let file = Handle::new(Bytes::from_static(b"\0h\xff")).unwrap();
    let h = file.as_bytes();
    let names = vec![Entry {
        filename: "n\n\u{e9}".into(),
        longname: "l".into(),
        attrs: known,
    }];
    for fragment in FRAGMENTS {
        let mut pair = Pair::new(fragment);
        let open = Open {
            filename: b"f\xff",
            pflags: OpenFlags::WRITE | OpenFlags::CREATE_NEW,
            attrs: known,
        };
        let pflags = open.pflags;
        let opened = pair.ask(&open, answer!(Open { path == &b"f\xff"[..], flags == pflags, attrs == known } => Ok(file.clone())));
        assert_eq!(opened, Ok(file.clone()));
        assert_eq!(
            pair.ask(
                &Close { handle: h },
                answer!(Close { handle == file } => Ok(()))
            ),
            Ok(())
        );
        let read = Read {
            handle: h,
            offset: 1 << 40,
            len: 9,
        };
        let data = Data::from(Bytes::from_static(b"contents"));
        assert_eq!(
            pair.ask(
                &read,
                answer!(Read { handle == file, offset == 1 << 40, len == 9 } => Ok(data.clone()))
            ),
            Ok(data)
        );
        assert_eq!(
            pair.ask(
                &Lstat { path: b"p" },
                answer!(Lstat { path == "p" } => Ok(known))
            ),
            Ok(known)
        );
        assert_eq!(
            pair.ask(
                &Fstat { handle: h },
                answer!(Fstat { handle == file } => Ok(known))
            ),
            Ok(known)
        );
        assert_eq!(
            pair.ask(
                &Stat { path: b"p" },
                answer!(Stat { path == "p" } => Ok(known))
            ),
            Ok(known)
        );
        assert_eq!(
            pair.ask(
                &Setstat {
                    path: b"p",
                    attrs: known
                },
                answer!(Setstat { path == "p", attrs == known } => Ok(()))
            ),
            Ok(())
        );
        assert_eq!(
            pair.ask(
                &Fsetstat {
                    handle: h,
                    attrs: known
                },
                answer!(Fsetstat { handle == file, attrs == known } => Ok(()))
            ),
            Ok(())
        );
        assert_eq!(
            pair.ask(
                &Opendir { path: b"p" },
                answer!(Opendir { path == "p" } => Ok(file.clone()))
            ),
            Ok(file.clone())
        );
        assert_eq!(
            pair.ask(
                &Readdir { handle: h },
                answer!(Readdir { handle == file } => Ok(names.clone()))
            ),
            Ok(names.clone())
        );
        assert_eq!(
            pair.ask(
                &Remove { filename: b"p" },
                answer!(Remove { path == "p" } => Ok(()))
            ),
            Ok(())
        );
        assert_eq!(
            pair.ask(
                &Mkdir {
                    path: b"p",
                    attrs: known
                },
                answer!(Mkdir { path == "p", attrs == known } => Ok(()))
            ),
            Ok(())
        );
        assert_eq!(
            pair.ask(
                &Rmdir { path: b"p" },
                answer!(Rmdir { path == "p" } => Ok(()))
            ),
            Ok(())
        );
        assert_eq!(
            pair.ask(
                &Realpath { path: b"p" },
                answer!(Realpath { path == "p" } => Ok("/p".into()))
            ),
            Ok("/p".into())
        );
        let rename = Rename {
            oldpath: b"a",
            newpath: b"b",
        };
        assert_eq!(
            pair.ask(
                &rename,
                answer!(Rename { from == "a", to == "b" } => Ok(()))
            ),
            Ok(())
        );
        assert_eq!(
            pair.ask(
                &Readlink { path: b"p" },
                answer!(Readlink { path == "p" } => Ok("t".into()))
            ),
            Ok("t".into())
        );
        let symlink = Symlink {
            targetpath: b"t",
            linkpath: b"l",
        };
        assert_eq!(
            pair.ask(
                &symlink,
                answer!(Symlink { target == "t", link == "l" } => Ok(()))
            ),
            Ok(())
        );
        let failure = Status {
            code: StatusCode(14),
            message: "no space".into(),
        };
        assert_eq!(
            pair.ask(
                &Rmdir { path: b"p" },
                answer!(Rmdir { path == "p" } => Err(failure.clone()))
            ),
            Err(failure)
        );
        assert_eq!((pair.client.in_flight(), pair.server.unanswered()), (0, 0));
    }
}

#[test]
fn every_extended_request_arrives_as_it_was_sent_and_so_does_its_answer() {
    let known = Attrs {
        size: Some(9),
        ..Attrs::default()
    };
    let file = Handle::new(Bytes::from_static(b"h")).unwrap();
    let other = Handle::new(Bytes::from_static(b"i")).unwrap();
    for fragment in FRAGMENTS {
        let mut pair = Pair::new(fragment);
        let rename = PosixRename {
            oldpath: b"a",
            newpath: b"b",
        };
        assert_eq!(
            pair.ask(
                &rename,
                answer!(PosixRename { from == "a", to == "b" } => Ok(()))
            ),
            Ok(())
        );
        let link = Hardlink {
            oldpath: b"a",
            newpath: b"b",
        };
        assert_eq!(
            pair.ask(
                &link,
                answer!(Hardlink { existing == "a", link == "b" } => Ok(()))
            ),
            Ok(())
        );
        assert_eq!(
            pair.ask(
                &Statvfs { path: b"p" },
                answer!(Statvfs { path == "p" } => Ok(STATVFS))
            ),
            Ok(STATVFS)
        );
        assert_eq!(
            pair.ask(
                &Fstatvfs { handle: b"h" },
                answer!(Fstatvfs { handle == file } => Ok(STATVFS))
            ),
            Ok(STATVFS)
        );
        assert_eq!(
            pair.ask(
                &extensions::Fsync { handle: b"h" },
                answer!(Fsync { handle == file } => Ok(()))
            ),
            Ok(())
        );
        let lsetstat = Lsetstat {
            path: b"p",
            attrs: known,
        };
        assert_eq!(
            pair.ask(
                &lsetstat,
                answer!(Lsetstat { path == "p", attrs == known } => Ok(()))
            ),
            Ok(())
        );
        assert_eq!(
            pair.ask(&GetLimits {}, answer!(Limits {} => Ok(LIMITS))),
            Ok(LIMITS)
        );
        assert_eq!(
            pair.ask(
                &ExpandPath { path: b"~" },
                answer!(ExpandPath { path == "~" } => Ok("/srv/u".into()))
            ),
            Ok("/srv/u".into())
        );
        assert_eq!(
            pair.ask(
                &HomeDirectory { username: b"" },
                answer!(HomeDirectory { user == "" } => Ok("/srv/u".into()))
            ),
            Ok("/srv/u".into())
        );
        let copy = CopyData {
            read_from_handle: b"h",
            read_from_offset: 1,
            read_data_length: 2,
            write_to_handle: b"i",
            write_to_offset: 3,
        };
        let copied = pair.ask(
            &copy,
            answer!(CopyData { from == file, from_offset == 1, len == 2, to == other, to_offset == 3 } => Ok(())),
        );
        assert_eq!(copied, Ok(()));
        let (mut uids, mut gids) = (BytesMut::new(), BytesMut::new());
        let question = UsersGroupsById {
            uids: Ids::pack(&[0, 9], &mut uids),
            gids: Ids::pack(&[], &mut gids),
        };
        let root = OwnerNames {
            users: vec!["root".into()],
            groups: vec!["too many".into()],
        };
        let named = pair.ask(
            &question,
            answer!(UsersGroupsById { users == [0, 9], groups == Vec::<u32>::new() } => Ok(root)),
        );
        let padded = OwnerNames {
            users: vec!["root".into(), "".into()],
            groups: Vec::new(),
        };
        assert_eq!(named, Ok(padded), "as many names as were asked about");
        let hashes = FileHashes {
            algorithm: "sha256".into(),
            hashes: Bytes::from_static(&[9; 32]),
        };
        let of_handle = CheckFileHandle {
            handle: b"h",
            hash_algorithm_list: b"sha256,md5",
            start_offset: 1,
            length: 2,
            block_size: 256,
        };
        let given = hashes.clone();
        assert_eq!(
            pair.ask(
                &of_handle,
                answer!(CheckFileHandle { handle == file, algorithms == "sha256,md5", offset == 1, len == 2, block_size == 256 } => Ok(given)),
            ),
            Ok(hashes.clone())
        );
        let of_name = CheckFileName {
            name: b"p",
            hash_algorithm_list: b"sha256",
            start_offset: 0,
            length: 0,
            block_size: 0,
        };
        let given = hashes.clone();
        assert_eq!(
            pair.ask(
                &of_name,
                answer!(CheckFileName { path == "p", algorithms == "sha256", offset == 0, len == 0, block_size == 0 } => Ok(given)),
            ),
            Ok(hashes)
        );
    }
}

/// A whole file up and down again, through planners and machines.
#[test]
fn a_file_goes_up_and_comes_down_the_same() {
    let content: Vec<u8> = (0..300_000_u32).map(|it| (it ^ it >> 8) as u8).collect();
    for fragment in [977, 40_000, usize::MAX] {
        let stored = upload(&mut Pair::new(fragment), &content);
        assert!(stored == content, "fragments of {fragment}");
        let loaded = download(&mut Pair::new(fragment), &stored);
        assert!(loaded == content, "fragments of {fragment}");
    }
}

fn upload(pair: &mut Pair, content: &[u8]) -> Vec<u8> {
    let handle = Handle::new(Bytes::from_static(b"h")).unwrap();
    let mut stored = vec![0; content.len()];
    let mut pieces = content.chunks(10_000);
    let plan = UploadPlan {
        offset: 0,
        write_len: 32 * 1024,
        max_in_flight_bytes: 100_000,
    };
    let (mut upload, mut pending) = (Upload::new(plan), Vec::new());
    let end = loop {
        while upload.wants_data() {
            match pieces.next() {
                Some(piece) => upload.push(Bytes::copy_from_slice(piece)),
                None => upload.finish(),
            }
        }
        while let Some((write, data)) = upload.next() {
            pending.push((
                pair.client.write(&handle, write.offset, &data).unwrap(),
                write,
            ));
        }
        for asked in pair.turn() {
            let Asked::Write {
                offset,
                data,
                reply,
                ..
            } = asked
            else {
                panic!("{asked:?}")
            };
            for (place, byte) in stored[offset as usize..]
                .iter_mut()
                .zip(data.pieces().flatten())
            {
                *place = *byte;
            }
            pair.server.reply(reply, Ok(()));
        }
        pair.turn();
        while let Some(done) = pair.client.poll_completion() {
            let index = pending
                .iter()
                .position(|(it, _)| it.id() == done.id())
                .unwrap();
            let (waiting, write) = pending.swap_remove(index);
            upload.done(write, waiting.claim(done).unwrap());
        }
        if let Some(end) = upload.finished() {
            break end;
        }
    };
    assert_eq!(end, Ok(content.len() as u64));
    stored
}

fn download(pair: &mut Pair, stored: &[u8]) -> Vec<u8> {
    let mut loaded = Vec::new();
    let plan = DownloadPlan {
        offset: 0,
        size_hint: None,
        request_len: 32 * 1024,
        max_in_flight_bytes: 200_000,
        order: Order::InFile,
    };
    let (mut download, mut pending) = (Download::new(plan), Vec::new());
    let end = loop {
        while let Some(read) = download.next() {
            let request = Read {
                handle: b"h",
                offset: read.offset,
                len: read.len,
            };
            pending.push((pair.client.send(&request).unwrap(), read));
        }
        for asked in pair.turn() {
            let Asked::Read {
                offset, len, reply, ..
            } = asked
            else {
                panic!("{asked:?}")
            };
            let rest = stored.get(offset as usize..).unwrap_or_default();
            let data = Bytes::copy_from_slice(&rest[..rest.len().min(len as usize)]);
            let eof = data.is_empty();
            pair.server.reply(
                reply,
                if eof {
                    Err(StatusCode::EOF.into())
                } else {
                    Ok(data.into())
                },
            );
        }
        pair.turn();
        while let Some(done) = pair.client.poll_completion() {
            let index = pending
                .iter()
                .position(|(it, _)| it.id() == done.id())
                .unwrap();
            let (waiting, read) = pending.swap_remove(index);
            download.done(read, waiting.claim(done).unwrap());
        }
        while let Some(piece) = download.poll_data() {
            assert_eq!(piece.offset, loaded.len() as u64);
            loaded.extend(piece.data.pieces().flatten());
        }
        if let Some(end) = download.finished() {
            break end;
        }
    };
    assert_eq!(end, Ok(stored.len() as u64));
    loaded
}
