//! Runs on servers in memory, written down and made again without the server.

use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use proptest::prelude::*;

use super::*;
use crate::connection::{Connection, RetryDelay};
use crate::document::Document;
use crate::error::Class;
use crate::mem::{Behaviour, CheckFile, Fault, HOME, PlainRename, Server, What, When};
use crate::operation::{
    Delete, Get, GetAction, IfExists, List, LocalIfExists, Operation, Send, Verify,
};
use crate::outcome::Outcome;
use crate::remote::{Reader, Remote, RemoteErrorKind};
use crate::run::{Connector, Destination};

fn server(behaviour: Behaviour) -> Server {
    server_with(behaviour, &files_there())
}

fn server_with(behaviour: Behaviour, there: &[(&str, String)]) -> Server {
    let server = Server::new(behaviour);
    server.files(|files| {
        for directory in ["out/below", "in", "done", "ready"] {
            files.make_directories(format!("{HOME}/{directory}").as_bytes());
        }
        for (name, content) in there {
            files.put(&format!("{HOME}/{name}"), content.as_str());
        }
    });
    server
}

fn files_there() -> Vec<(&'static str, String)> {
    vec![
        ("out/a", "first".to_owned()),
        ("out/b", String::new()),
        ("out/c", "third ".repeat(20_000)),
        ("out/below/d", "in a directory".to_owned()),
        ("in/new", "old".to_owned()),
        ("in/log", "so far, ".to_owned()),
        ("done/c", "older".to_owned()),
    ]
}

fn connection(transcript: Option<&Path>) -> Connection {
    Connection {
        host: "mem".to_owned(),
        retries: 2,
        retry_delay: RetryDelay {
            first: Duration::from_micros(1),
            longest: Duration::from_micros(1),
        },
        transcript: transcript.map(Path::to_owned),
        ..Connection::default()
    }
}

fn documents(operation: &Operation) -> Vec<Document> {
    match operation {
        Operation::Send(_) => ["new", "other", "log"]
            .map(|name| Document::bytes("content ".repeat(9_000)).with("filename", name))
            .into(),
        Operation::Delete(_) => ["new", "none"]
            .map(|name| Document::empty().with("filename", name))
            .into(),
        _ => vec![Document::empty()],
    }
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .unwrap()
}

/// The outcomes of a run as JSON, without what differs between any two runs.
async fn run<C: Connect>(
    connect: C,
    transcript: Option<&Path>,
    operation: &Operation,
) -> Vec<String> {
    run_most(connect, transcript, operation, usize::MAX).await
}

/// The same with so many documents at most.
async fn run_most<C: Connect>(
    connect: C,
    transcript: Option<&Path>,
    operation: &Operation,
    most: usize,
) -> Vec<String> {
    let folder = scratch();
    let into = Destination::Directory(folder.path().to_owned());
    let connector = Connector::new(connect, connection(transcript)).with_destination(into);
    let documents = documents(operation).into_iter().take(most);
    let outcomes = connector.run(operation.clone(), stream::iter(documents));
    let outcomes: Vec<Outcome> = outcomes.collect().await;
    let here = folder.path().to_str().unwrap();
    let uuid = regex::Regex::new(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}").unwrap();
    let masked = outcomes.into_iter().map(|mut outcome| {
        outcome.properties.remove("bytes-per-second");
        let text = serde_json::to_string(&outcome)
            .unwrap()
            .replace(here, "HERE");
        uuid.replace_all(&text, "UUID").into_owned()
    });
    masked.collect()
}

/// A replay that has the contents which were there.
fn replay(transcript: &Path) -> Replay {
    let mut replay = Replay::from_file(transcript).unwrap();
    for (name, content) in files_there() {
        replay = replay.with_content(format!("{HOME}/{name}").as_str(), content);
    }
    replay
}

/// Runs, writes it down, and runs again on what was written.
async fn twice(name: &str, server: Server, operation: &Operation) -> String {
    twice_most(name, server, operation, usize::MAX).await
}

async fn twice_most(name: &str, server: Server, operation: &Operation, most: usize) -> String {
    let folder = scratch();
    let file = folder.path().join("transcript.jsonl");
    let first = run_most(server, Some(&file), operation, most).await;
    let text =
        std::fs::read_to_string(&file).unwrap_or_else(|why| panic!("{name}: {why}: {first:?}"));
    let replay = replay(&file);
    let second = run_most(replay.clone(), None, operation, most).await;
    if let Err(different) = replay.check() {
        panic!("{name}: {different}\nof:\n{text}");
    }
    assert_eq!(first, second, "{name}, of:\n{text}");
    text
}

fn operations() -> Vec<(&'static str, Operation)> {
    let get = Get {
        remote_directory: Some("out".to_owned()),
        ..Get::default()
    };
    let send = Send {
        remote_directory: Some("in".to_owned()),
        ..Send::default()
    };
    let if_exists = |if_exists| Send {
        if_exists,
        ..send.clone()
    };
    vec![
        ("get", get.clone().into()),
        (
            "get, all the way down",
            Get {
                recursive: true,
                local_if_exists: LocalIfExists::Rename,
                ..get.clone()
            }
            .into(),
        ),
        (
            "get and delete",
            Get {
                action: GetAction::GetAndDelete,
                ..get.clone()
            }
            .into(),
        ),
        (
            "get and move",
            Get {
                action: GetAction::GetAndMove,
                move_to_directory: Some("done".to_owned()),
                ..get.clone()
            }
            .into(),
        ),
        (
            "get and move by force",
            Get {
                action: GetAction::GetAndMove,
                move_to_directory: Some("done".to_owned()),
                force_move: true,
                ..get
            }
            .into(),
        ),
        (
            "list",
            List {
                recursive: true,
                ..List::default()
            }
            .into(),
        ),
        (
            "list what is not there",
            List {
                remote_directory: Some("nowhere".to_owned()),
                ..List::default()
            }
            .into(),
        ),
        (
            "delete",
            Operation::Delete(Delete {
                remote_directory: Some("in".to_owned()),
                ..Delete::default()
            }),
        ),
        ("send, rename", if_exists(IfExists::Rename).into()),
        ("send, overwrite", if_exists(IfExists::Overwrite).into()),
        ("send, error", if_exists(IfExists::Error).into()),
        ("send, append", if_exists(IfExists::Append).into()),
        (
            "send, overwrite in place",
            Send {
                in_place: true,
                allow_truncate: true,
                ..if_exists(IfExists::Overwrite)
            }
            .into(),
        ),
        (
            "send, read back",
            Send {
                verify: Verify::Hash,
                ..send.clone()
            }
            .into(),
        ),
        (
            "send and move",
            Send {
                move_to_directory: Some("ready".to_owned()),
                ..send
            }
            .into(),
        ),
    ]
}

fn behaviours() -> Vec<(&'static str, Behaviour)> {
    vec![
        ("openssh", Behaviour::openssh()),
        ("refuses", Behaviour::bare(PlainRename::Refuses)),
        ("replaces", Behaviour::bare(PlainRename::Replaces)),
        (
            "posix only",
            Behaviour {
                posix_rename: true,
                ..Behaviour::bare(PlainRename::Missing)
            },
        ),
        (
            "devices, copies",
            Behaviour {
                directories_are_devices: true,
                copy_data: true,
                ..Behaviour::openssh()
            },
        ),
        (
            "hashes, in small pieces",
            Behaviour {
                check_file: Some(CheckFile::Right),
                chunk: 1000,
                batch: 1,
                ..Behaviour::openssh()
            },
        ),
        (
            "full",
            Behaviour {
                room: Some(0),
                ..Behaviour::openssh()
            },
        ),
    ]
}

#[tokio::test]
async fn what_was_recorded_on_any_server_is_replayed_without_it() {
    for (kind, behaviour) in behaviours() {
        for (what, operation) in operations() {
            let name = format!("{kind}: {what}");
            let text = twice(&name, server(behaviour.clone()), &operation).await;
            assert!(text.lines().count() > 3, "{name}: {text}");
            for content in ["third third", "content content", "so far"] {
                assert!(!text.contains(content), "{name}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_fault_at_any_call_is_replayed() {
    let faults = [
        (When::Before, What::Disconnect),
        (When::After, What::Disconnect),
        (When::Before, What::Refusal(RemoteErrorKind::Failure)),
        (When::After, What::Refusal(RemoteErrorKind::Permission)),
    ];
    // One file at a time: with several in hand it is not the same one each time that a lost connection strikes.
    let others = ["out/b", "out/c", "out/below/d"];
    let mut there = files_there();
    there.retain(|(name, _)| !others.contains(name));
    let mut struck = 0;
    for (kind, behaviour) in behaviours().into_iter().take(3) {
        for (what, operation) in operations() {
            for (when, fault) in faults {
                for at in 0.. {
                    let server = server_with(behaviour.clone(), &there);
                    let planned = Fault {
                        at,
                        when,
                        what: fault,
                    };
                    server.fail(planned);
                    let name = format!("{kind}: {what}, {planned:?}");
                    twice_most(&name, server.clone(), &operation, 1).await;
                    if server.calls().len() <= at {
                        break;
                    }
                    struck += 1;
                }
            }
        }
    }
    assert!(struck > 2400, "{struck}");
}

/// A transcript of a send, and what was sent.
async fn recorded() -> (String, Operation) {
    let operation = Operation::from(Send {
        remote_directory: Some("in".to_owned()),
        ..Send::default()
    });
    let server = server(Behaviour::openssh());
    (twice("send", server, &operation).await, operation)
}

fn read(text: &str) -> Result<Replay, Unreadable> {
    Replay::from_lines(Cursor::new(text))
}

#[tokio::test]
async fn what_was_not_recorded_has_an_error_that_names_it_and_what_was_next() {
    let (text, operation) = recorded().await;
    let renames = |line: &&str| !line.contains("\"operation\":\"rename\"");
    let without: String = text
        .lines()
        .filter(renames)
        .map(|line| format!("{line}\n"))
        .collect();
    assert_ne!(without, text);
    let replay = read(&without).unwrap();
    let outcomes = run(replay.clone(), None, &operation).await;
    // It looks what became of the rename, which was not recorded either.
    assert!(
        outcomes
            .iter()
            .all(|it| it.contains("the transcript has no ")),
        "{outcomes:?}"
    );
    let missing = replay.not_recorded();
    let missing = missing
        .iter()
        .find(|it| it.call.starts_with("rename /home/user/in/.new."));
    let next = missing.and_then(|it| it.next.as_deref()).unwrap();
    assert!(next.starts_with("line "), "{next}");
    let different = replay.check().unwrap_err().to_string();
    assert!(different.contains("the transcript has no rename"));
}

#[tokio::test]
async fn what_was_recorded_and_not_asked_is_told() {
    let (text, operation) = recorded().await;
    let replay = read(&text).unwrap();
    let all = replay.unused().len();
    let lines = text.lines().filter(|line| !line.contains("\"mode\":\"not"));
    assert_eq!(all, lines.count());
    run(replay.clone(), None, &operation).await;
    assert_eq!(replay.unused(), Vec::<String>::new());
    let outcomes = run(replay.clone(), None, &operation).await;
    assert!(outcomes[0].contains("the transcript has no further session"));
    assert_eq!(replay.not_recorded()[0].next, None);
}

#[tokio::test]
async fn contents_that_nobody_gave_have_the_recorded_sizes_and_are_always_the_same() {
    let folder = scratch();
    let file = folder.path().join("transcript.jsonl");
    let operation = Operation::from(Get {
        remote_directory: Some("out".to_owned()),
        checksum: true,
        ..Get::default()
    });
    run(server(Behaviour::openssh()), Some(&file), &operation).await;
    let again = async |seed| {
        let replay = Replay::from_file(&file).unwrap().with_seed(seed);
        let outcomes = run(replay.clone(), None, &operation).await;
        replay.check().unwrap();
        outcomes
    };
    let first = again(7).await;
    let large = |it: &String| it.contains("\"size\":120000");
    assert!(first.iter().any(large), "{first:?}");
    assert_eq!(first, again(7).await);
    assert_ne!(first, again(8).await, "the SHA-256 is another");
}

#[tokio::test]
async fn the_sessions_of_each_account_are_its_own() {
    let (text, operation) = recorded().await;
    let account = connection(None).account();
    // Recorded anew: no two recordings have a UUID in common.
    let other = recorded().await.0;
    let other = other.replace(&account, "other@elsewhere:22");
    let both = format!("{other}{text}");
    let replay = read(&both).unwrap();
    run(replay.of_account(&account), None, &operation).await;
    assert!(replay.not_recorded().is_empty());
    let unused = replay.unused();
    assert!(unused.iter().any(|line| line == "line 1: connect"));
    run(replay.of_account("other@elsewhere:22"), None, &operation).await;
    replay.check().unwrap();
}

/// The first line of a session with a server that can do nothing special.
const CONNECT: &str = r#"{"session":1,"operation":"connect","result":"ok","answer":{"capabilities":{"posix-rename":false,"hardlink":false,"fsync":false,"statvfs":false,"copy-data":false,"check-file":false,"server":"odd"}}}"#;

#[tokio::test]
async fn pieces_come_as_they_came_over_several_lines_and_no_more_than_were_taken() {
    let lines = [
        r#"{"session":1,"operation":"open-read","path":"a","result":"ok"}"#,
        r#"{"session":1,"operation":"read","path":"a","result":"continued","answer":{"chunks":[[4,2]]}}"#,
        r#"{"session":1,"operation":"read","path":"a","offset":8,"result":"given up","answer":{"chunks":[[3,1]]}}"#,
        r#"{"session":1,"operation":"close","path":"a","mode":"not waited for","result":"not waited for"}"#,
    ];
    let replay = read(&format!("{CONNECT}\n{}", lines.join("\n"))).unwrap();
    let replay = replay.with_content("a", "0123456789");
    let session = replay.connect().await.unwrap();
    let mut reader = session.open_read(&"a".into()).await.unwrap();
    let mut sizes = Vec::new();
    let mut content = Vec::new();
    let end = loop {
        match reader.chunk().await {
            Ok(Some(chunk)) => {
                sizes.push(chunk.len());
                content.extend_from_slice(&chunk);
            }
            end => break end,
        }
    };
    assert_eq!(sizes, [4, 4, 3]);
    assert!(content.starts_with(b"0123456789"));
    let error = end.unwrap_err();
    assert_eq!(error.kind, RemoteErrorKind::Misbehaved);
    let source = error.source.unwrap();
    let none = source.downcast_ref::<NotRecorded>().unwrap();
    assert_eq!(none.call, "read a from 11");
    drop(reader);
    assert_eq!(replay.unused(), Vec::<String>::new());
}

#[test]
fn a_line_that_makes_no_sense_is_told_by_its_number() {
    assert_eq!(read(CONNECT).unwrap().unused(), ["line 1: connect"]);
    for (line, why) in [
        ("{", "EOF"),
        ("[]", "invalid"),
        ("\u{fffd}", "expected value"),
        (r#"{"session":1}"#, "missing field `operation`"),
        (
            r#"{"session":2,"operation":"remove","path":"a","result":"ok"}"#,
            "no line before it connects",
        ),
        (
            r#"{"session":1,"operation":"connect","result":"ok"}"#,
            "neither what the server can do",
        ),
        (
            r#"{"session":1,"operation":"paint","path":"a","result":"ok"}"#,
            "unknown operation",
        ),
        (
            r#"{"session":1,"operation":"lstat","path":"a","result":"ok"}"#,
            "without its answer",
        ),
        (
            r#"{"session":1,"operation":"lstat","path":"a","result":"ok","answer":{"chunks":[]}}"#,
            "no such answer",
        ),
        (
            r#"{"session":1,"operation":"remove","path":"a","result":"failure"}"#,
            "the error's kind is missing",
        ),
        (
            r#"{"session":1,"operation":"remove","path":"a","result":"no","error":{"kind":"rage","message":""}}"#,
            "did not match",
        ),
        (
            r#"{"session":1,"operation":"remove","path":"a","path-base64":"!","result":"ok"}"#,
            "base64",
        ),
        (
            r#"{"session":1,"operation":"read","path":"a","result":"ok","answer":{"chunks":[[0,1]]}}"#,
            "empty or larger",
        ),
        (
            r#"{"session":1,"operation":"read","path":"a","result":"ok","answer":{"chunks":[[18446744073709551615,1]]}}"#,
            "empty or larger",
        ),
        (
            r#"{"session":1,"operation":"check-file","path":"a","result":"ok","answer":{"sha256":"abc"}}"#,
            "64 hexadecimal digits",
        ),
    ] {
        let error = read(&format!("{CONNECT}\n\n{line}\n")).unwrap_err();
        assert_eq!(error.line(), 3, "{line}");
        assert!(error.to_string().contains(why), "{line}: {error}");
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    runtime.unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A transcript that somebody has damaged is refused with the number of a line, or is a replay that
    /// ends: with an answer to everything or with an error.
    #[test]
    fn damaged_transcripts_panic_nowhere(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..4)) {
        static RECORDED: std::sync::LazyLock<(String, Operation)> =
            std::sync::LazyLock::new(|| block_on(recorded()));
        let (text, operation) = &*RECORDED;
        let mut bytes = text.clone().into_bytes();
        for (at, byte, what) in changes {
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes[at] = b"0123456789\"{}[],:-"[usize::from(byte) % 18],
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, byte),
            }
        }
        let lines = bytes.split(|byte| *byte == b'\n').count();
        match Replay::from_lines(Cursor::new(&bytes)) {
            Err(error) => prop_assert!((1..=lines).contains(&error.line())),
            Ok(replay) => {
                let ran = block_on(async {
                    let ran = run(replay.clone(), None, operation);
                    // Paused: the time is up as soon as nothing goes on.
                    tokio::time::timeout(Duration::from_secs(86_400), ran).await
                });
                prop_assert!(ran.is_ok() || text.contains("not waited for") || bytes.windows(14).any(|it| it == b"not waited for"));
            }
        }
    }
}

#[test]
fn the_class_of_a_failed_connect_is_replayed() {
    let line = r#"{"session":1,"operation":"connect","result":"no","error":{"class":"authentication","message":"no","hint":"look","retryable":false}}"#;
    let replay = read(line).unwrap();
    let error = block_on(replay.connect()).unwrap_err();
    assert_eq!(error.class(), Class::Authentication);
    assert_eq!((error.message(), error.hint()), ("no", Some("look")));
    replay.check().unwrap();
}
