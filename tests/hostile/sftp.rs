//! SFTP requests that no client should send, to the engine behind a real channel and real files.

use crate::server::{ReadOnly, Scene, Setup};
use bytes::{Buf, BytesMut};
use sansftp_proto::wire::Field;
use sansftp_testkit::peer::messages as say;
use std::fs;

/// A session of SFTP, by hand.
struct Session {
    scene: Scene,
    channel: u32,
    received: BytesMut,
    id: u32,
}

const STATUS: u8 = 101;
const HANDLE: u8 = 102;
const DATA: u8 = 103;
const OK: u32 = 0;
const EOF: u32 = 1;
const PERMISSION_DENIED: u32 = 3;

impl Session {
    fn new(setup: Setup) -> Self {
        let mut scene = Scene::logged_in(setup);
        let channel = scene.opens_sftp();
        let mut session = Self {
            scene,
            channel,
            received: BytesMut::new(),
            id: 0,
        };
        session.sends_raw(b"\0\0\0\x05\x01\0\0\0\x03");
        assert_eq!(session.hears().expect("VERSION comes")[0], 2);
        session
    }

    fn sends_raw(&mut self, data: &[u8]) {
        for piece in data.chunks(32 * 1024) {
            self.scene.peer.sends(&say::Data {
                recipient: self.channel,
                data: piece,
            });
        }
    }

    /// A request of this type and these fields; its answer without the length.
    #[track_caller]
    fn asks(&mut self, number: u8, fields: &[u8]) -> Vec<u8> {
        self.id += 1;
        let len = u32::try_from(fields.len() + 5).unwrap();
        let message = [
            &len.to_be_bytes()[..],
            &[number],
            &self.id.to_be_bytes(),
            fields,
        ]
        .concat();
        self.sends_raw(&message);
        let answer = self
            .hears()
            .unwrap_or_else(|| panic!("no answer to {number}; {:?}", self.scene.told()));
        assert_eq!(answer[1..5], self.id.to_be_bytes(), "the answer to another");
        answer
    }

    /// The next message whole; `None` when the channel or the connection has ended.
    fn hears(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(len) = self
                .received
                .first_chunk::<4>()
                .map(|it| u32::from_be_bytes(*it) as usize)
                && self.received.len() >= 4 + len
            {
                self.received.advance(4);
                return Some(self.received.split_to(len).to_vec());
            }
            let said = self.scene.peer.hears()?;
            match said.number() {
                94 => self
                    .received
                    .extend_from_slice(said.read::<say::Data<'_>>().data),
                // Window adjustments, and the end's own requests.
                93 | 98 => {}
                _ => return None,
            }
        }
    }

    #[track_caller]
    fn status(&mut self, number: u8, fields: &[u8]) -> u32 {
        code(&self.asks(number, fields))
    }

    #[track_caller]
    fn open(&mut self, name: &[u8], flags: u32) -> Vec<u8> {
        let answer = self.asks(
            3,
            &[string(name), flags.to_be_bytes().to_vec(), vec![0; 4]].concat(),
        );
        assert_eq!(answer[0], HANDLE, "{answer:?}");
        answer[9..].to_vec()
    }

    /// It still answers a plain request.
    #[track_caller]
    fn lives(&mut self) {
        assert_eq!(self.asks(17, &string(b"/"))[0], 105, "ATTRS");
    }
}

fn code(answer: &[u8]) -> u32 {
    assert_eq!(answer[0], STATUS, "{answer:?}");
    u32::from_be_bytes(answer[5..9].try_into().unwrap())
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let mut out = BytesMut::new();
    Field::write(&bytes, &mut out);
    out.to_vec()
}

const READ: u32 = 1;
const WRITE: u32 = 2;
const APPEND: u32 = 4;
const CREATE: u32 = 8;
const TRUNCATE: u32 = 16;
const EXCLUSIVE: u32 = 32;

fn session() -> Session {
    Session::new(Setup::default())
}

/// CVE-2025-48038, CVE-2025-5318, CVE-2025-11624: handles of any length and content that the server never gave.
#[test]
fn handles_that_were_never_given_are_no_handles() {
    let mut session = session();
    let given = session.open(b"f", WRITE | CREATE);
    let near = |change: u8| {
        let mut bytes = given.clone();
        *bytes.last_mut().unwrap() = bytes.last().unwrap().wrapping_add(change);
        bytes
    };
    let mut handles: Vec<Vec<u8>> = [0, 1, 3, 4, 5, 8, 255, 256, 257, 300, 4096, 65_536]
        .iter()
        .map(|len| vec![0xff; *len])
        .collect();
    handles.extend([
        near(1),
        near(255),
        near(128),
        [&given[..], b"x"].concat(),
        given[..given.len() - 1].to_vec(),
    ]);
    for handle in handles {
        let len = handle.len();
        let handle = string(&handle);
        for (number, rest) in [
            (4, vec![]),
            (5, [vec![0; 8], vec![0, 0, 0, 1]].concat()),
            (6, [vec![0; 8], string(b"x")].concat()),
            (8, vec![]),
            (10, vec![0; 4]),
            (12, vec![]),
        ] {
            let code = session.status(number, &[handle.clone(), rest].concat());
            assert!(
                code != OK && code != EOF,
                "request {number} with {len} bytes of handle: {code}"
            );
        }
    }
    assert_eq!(fs::read(session.scene.root().join("f")).unwrap(), b"");
    assert_eq!(
        session.status(4, &string(&given)),
        OK,
        "the one that was given still is one"
    );
    assert_ne!(
        session.status(4, &string(&given)),
        OK,
        "and after its end it is none"
    );
}

/// CVE-2022-32073: each request cut off at each byte, and with each length in it too large.
#[test]
fn requests_that_are_cut_off_or_claim_too_much_are_answered_and_do_nothing() {
    let mut session = session();
    let handle = string(&session.open(b"f", READ | WRITE | CREATE));
    let number = |value: u64| value.to_be_bytes().to_vec();
    let attrs = vec![0; 4];
    let requests: Vec<(u8, Vec<u8>)> = vec![
        (
            3,
            [string(b"new"), vec![0, 0, 0, 10], attrs.clone()].concat(),
        ),
        (4, handle.clone()),
        (5, [handle.clone(), number(0), vec![0, 0, 0, 9]].concat()),
        (6, [handle.clone(), number(0), string(b"data")].concat()),
        (7, string(b"f")),
        (8, handle.clone()),
        (9, [string(b"f"), attrs.clone()].concat()),
        (10, [handle.clone(), attrs.clone()].concat()),
        (11, string(b"/")),
        (13, string(b"f")),
        (14, [string(b"new"), attrs].concat()),
        (15, string(b"/x")),
        (16, string(b"/")),
        (18, [string(b"f"), string(b"g")].concat()),
        (19, string(b"f")),
        (20, [string(b"f"), string(b"new")].concat()),
        (
            200,
            [
                string(b"posix-rename@openssh.com"),
                string(b"f"),
                string(b"g"),
            ]
            .concat(),
        ),
        (
            200,
            [string(b"hardlink@openssh.com"), string(b"f"), string(b"g")].concat(),
        ),
        (200, [string(b"fsync@openssh.com"), handle.clone()].concat()),
        (
            200,
            [string(b"expand-path@openssh.com"), string(b"~/f")].concat(),
        ),
        (
            200,
            [string(b"lsetstat@openssh.com"), string(b"f"), vec![0; 4]].concat(),
        ),
        (
            200,
            [
                string(b"copy-data"),
                handle.clone(),
                number(0),
                number(4),
                handle,
                number(9),
            ]
            .concat(),
        ),
    ];
    for (number, fields) in requests {
        for cut in 0..fields.len() {
            let answer = session.asks(number, &fields[..cut]);
            assert_eq!(
                answer[0], STATUS,
                "request {number} cut at {cut}: {answer:?}"
            );
            assert_ne!(code(&answer), OK, "request {number} cut at {cut}");
        }
        // The first string claims more than there is.
        let mut claims = fields.clone();
        claims[..4].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_ne!(session.status(number, &claims), OK, "request {number}");
    }
    let names: Vec<_> = fs::read_dir(session.scene.root())
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    assert_eq!(names, ["f"], "nothing was made, renamed or removed");
    session.lives();
}

/// pkg/sftp c1bc2ff, jsch #1127: a count is no reason to set anything aside.
#[test]
fn extended_attributes_are_as_many_as_there_are() {
    let mut session = session();
    for count in [1, 1 << 20, u32::MAX] {
        let attrs = [(1u32 << 31).to_be_bytes(), count.to_be_bytes()].concat();
        assert_ne!(session.status(14, &[string(b"new"), attrs].concat()), OK);
    }
    assert!(!session.scene.root().join("new").exists());
    session.lives();
}

/// MINA GH-861: no bytes are read and written as any number of bytes is. Positions at their extremes are answered.
#[test]
fn nothing_is_read_and_written_and_positions_may_be_anything() {
    let mut session = session();
    let handle = string(&session.open(b"f", READ | WRITE | CREATE));
    let at = |position: u64| position.to_be_bytes().to_vec();
    assert_eq!(
        session.status(6, &[handle.clone(), at(0), string(b"")].concat()),
        OK
    );
    assert_eq!(
        session.status(6, &[handle.clone(), at(0), string(b"abc")].concat()),
        OK
    );
    for position in [0, 3, 1 << 40] {
        let answer = session.asks(5, &[handle.clone(), at(position), vec![0; 4]].concat());
        assert!(
            answer[0] == DATA || code(&answer) == EOF || code(&answer) == OK,
            "{answer:?}"
        );
    }
    for position in [3, 1 << 62, i64::MAX as u64, 1 << 63, u64::MAX] {
        let answer = session.asks(
            5,
            &[handle.clone(), at(position), vec![0, 1, 0, 0]].concat(),
        );
        assert_ne!(code(&answer), OK, "{position}");
    }
    for position in [i64::MAX as u64, 1 << 63, u64::MAX] {
        assert_ne!(
            session.status(6, &[handle.clone(), at(position), string(b"x")].concat()),
            OK,
            "{position}"
        );
    }
    let all = session.asks(
        5,
        &[handle, at(0), u32::MAX.to_be_bytes().to_vec()].concat(),
    );
    assert_eq!(&all[9..], b"abc", "however much was asked for");
    assert_eq!(fs::read(session.scene.root().join("f")).unwrap(), b"abc");
}

/// OpenSSH 5a5e4774: not through two handles either, nor through another name, where the two stretches meet.
#[test]
fn a_file_is_not_copied_onto_itself() {
    let mut session = session();
    fs::write(session.scene.root().join("f"), b"content").unwrap();
    fs::hard_link(
        session.scene.root().join("f"),
        session.scene.root().join("g"),
    )
    .unwrap();
    let handles = [
        string(&session.open(b"f", READ | WRITE)),
        string(&session.open(b"f", READ | WRITE)),
        string(&session.open(b"g", READ | WRITE)),
    ];
    let at = |position: u64| position.to_be_bytes().to_vec();
    for other in &handles {
        let copy = [
            string(b"copy-data"),
            handles[0].clone(),
            at(0),
            at(0),
            other.clone(),
            at(3),
        ]
        .concat();
        assert_ne!(session.status(200, &copy), OK);
    }
    assert_eq!(
        fs::read(session.scene.root().join("f")).unwrap(),
        b"content"
    );
}

/// CVE-2017-15906: whatever would change a file or make one is refused, and opening is a change if it makes or empties.
#[test]
fn a_server_that_only_reads_lets_nothing_be_changed() {
    let setup = Setup {
        read_only: ReadOnly::Yes,
        ..Setup::default()
    };
    let mut session = Session::new(setup);
    let root = session.scene.root().to_owned();
    fs::write(root.join("f"), b"content").unwrap();
    fs::create_dir(root.join("d")).unwrap();
    for flags in [
        WRITE,
        READ | WRITE,
        APPEND,
        WRITE | APPEND,
        WRITE | CREATE,
        WRITE | CREATE | TRUNCATE,
        WRITE | CREATE | EXCLUSIVE,
        READ | CREATE,
        READ | CREATE | TRUNCATE,
        READ | TRUNCATE,
    ] {
        for name in [&b"f"[..], b"new"] {
            let fields = [string(name), flags.to_be_bytes().to_vec(), vec![0; 4]].concat();
            let answer = session.asks(3, &fields);
            assert_eq!(answer[0], STATUS, "flags {flags}: {answer:?}");
        }
    }
    let size_5 = [1u32.to_be_bytes().to_vec(), 5u64.to_be_bytes().to_vec()].concat();
    let attrs = vec![0; 4];
    let handle = string(&session.open(b"f", READ));
    let at = |position: u64| position.to_be_bytes().to_vec();
    for (number, fields) in [
        (6, [handle.clone(), at(0), string(b"x")].concat()),
        (9, [string(b"f"), size_5.clone()].concat()),
        (10, [handle.clone(), size_5.clone()].concat()),
        (13, string(b"f")),
        (14, [string(b"new"), attrs].concat()),
        (15, string(b"d")),
        (18, [string(b"f"), string(b"new")].concat()),
        (20, [string(b"f"), string(b"new")].concat()),
        (
            200,
            [
                string(b"posix-rename@openssh.com"),
                string(b"f"),
                string(b"new"),
            ]
            .concat(),
        ),
        (
            200,
            [
                string(b"hardlink@openssh.com"),
                string(b"f"),
                string(b"new"),
            ]
            .concat(),
        ),
        (
            200,
            [string(b"lsetstat@openssh.com"), string(b"f"), size_5].concat(),
        ),
        (
            200,
            [
                string(b"copy-data"),
                handle.clone(),
                at(0),
                at(0),
                handle,
                at(7),
            ]
            .concat(),
        ),
    ] {
        let code = session.status(number, &fields);
        assert!(
            code == PERMISSION_DENIED || number == 200 && code != OK,
            "request {number}: {code}"
        );
    }
    assert_eq!(fs::read(root.join("f")).unwrap(), b"content");
    assert_eq!(fs::read_dir(&root).unwrap().count(), 2);
    session.lives();
}

/// Handles have a quota, and what is closed is free again.
#[test]
fn one_handle_too_many_is_a_failure_and_the_next_after_a_close_is_not() {
    let mut setup = Setup::default();
    setup.options.handles = 5;
    let mut session = Session::new(setup);
    let handles: Vec<_> = (0..5)
        .map(|number| session.open(&[b'a' + number], WRITE | CREATE))
        .collect();
    for number in [3, 11] {
        let fields = if number == 3 {
            [string(b"a"), READ.to_be_bytes().to_vec(), vec![0; 4]].concat()
        } else {
            string(b"/")
        };
        assert_ne!(session.status(number, &fields), OK);
    }
    assert_eq!(session.status(4, &string(&handles[2])), OK);
    session.open(b"a", READ);
    session.lives();
}

/// libssh2 e3379a5c's mirror: a message of 4 GiB is announced, and the session ends before a byte of it is waited for.
#[test]
fn a_message_of_impossible_length_ends_the_session_and_not_the_connection() {
    for len in [0u32, 1, 4, 300_000, u32::MAX] {
        let mut session = session();
        session.sends_raw(&[&len.to_be_bytes()[..], &[3, 0, 0, 0, 1]].concat());
        assert_eq!(session.hears(), None, "length {len}");
        session.scene.still_serves();
    }
}
