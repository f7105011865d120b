//! Plans of operations, compared with the transcripts of the runs that follow.

use std::path::Path;

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc::UnboundedReceiver;

use super::Plan;
use crate::connection::Connection;
use crate::document::Document;
use crate::error::Class;
use crate::mem::{Behaviour, CheckFile, HOME, PlainRename, Server};
use crate::operation::{Get, GetAction, IfExists, LocalIfExists, Operation, Send, Verify};
use crate::outcome::{SkipReason, Status};
use crate::process::{Pipeline, Stage};
use crate::run::{Connector, Destination};
use crate::transcript::{Record, Transcript};

fn connection() -> Connection {
    Connection {
        host: "mem".to_owned(),
        ..Connection::default()
    }
}

fn server(behaviour: Behaviour) -> Server {
    let server = Server::new(behaviour);
    server.files(|files| {
        for directory in ["out", "in", "done", "ready"] {
            files.make_directories(format!("{HOME}/{directory}").as_bytes());
        }
        for (name, content) in [
            ("out/a", "first"),
            ("out/b", ""),
            ("out/c", "third"),
            ("in/new", "old"),
            ("done/c", "older"),
        ] {
            files.put(&format!("{HOME}/{name}"), content);
        }
    });
    server
}

/// All files with their contents and times.
fn everything(server: &Server) -> Vec<(String, Vec<u8>, Option<i64>)> {
    server.files(|files| {
        let names = files.file_names();
        let told = names.into_iter().map(|name| {
            let content = files.content(&name).unwrap_or_default().to_vec();
            let modified = files.modified(&name);
            (name, content, modified)
        });
        told.collect()
    })
}

/// What was asked, without what differs between any two runs.
fn asked(mut records: UnboundedReceiver<Record>) -> Vec<String> {
    let uuid = regex::Regex::new(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}").unwrap();
    let mut asked = Vec::new();
    while let Ok(record) = records.try_recv() {
        let record = Record {
            time: String::new(),
            milliseconds: 0,
            ..record
        };
        let line = serde_json::to_string(&record).unwrap();
        asked.push(uuid.replace_all(&line, "UUID").into_owned());
    }
    asked
}

fn documents(operation: &Operation) -> Vec<Document> {
    match operation {
        Operation::Send(_) => ["new", "other"]
            .map(|name| Document::bytes("content").with("filename", name))
            .into(),
        _ => vec![Document::empty()],
    }
}

async fn outcomes<C: crate::remote::Connect>(
    connector: &Connector<C>,
    operation: &Operation,
) -> Vec<Status> {
    let documents = stream::iter(documents(operation));
    let outcomes = connector.run(operation.clone(), documents);
    outcomes.map(|outcome| outcome.status).collect().await
}

/// Plans, looks that nothing has changed, runs, and compares.
async fn plan_and_run(name: &str, behaviour: Behaviour, operation: impl Into<Operation>) {
    let operation = operation.into();
    let server = server(behaviour);
    let folder = tempfile::tempdir().unwrap();
    let connector = || {
        let into = Destination::Directory(folder.path().to_owned());
        Connector::new(server.clone(), connection()).with_destination(into)
    };
    let before = everything(&server);
    let (plan, planned) = Plan::new();
    let foreseen = outcomes(&connector().planned(&plan), &operation).await;
    assert_eq!(
        everything(&server),
        before,
        "{name}: a plan changes nothing"
    );
    let local = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(local, 0, "{name}: not here either");
    let quiet = [
        "connect", "realpath", "lstat", "stat", "list", "readdir", "statvfs",
    ];
    for call in server.calls() {
        let word = call.split(' ').next().unwrap_or_default();
        assert!(quiet.contains(&word), "{name}: the plan asked for {call}");
    }
    let (transcript, run) = Transcript::to_receiver();
    let came = outcomes(&connector().with_transcript(transcript), &operation).await;
    assert_eq!(foreseen, came, "{name}");
    let (planned, run) = (asked(planned), asked(run));
    assert!(planned.len() > 5, "{name}: {planned:?}");
    same(name, &planned, &run);
}

/// Shows where two lists part. A session has several files in hand at once: what is asked of each has
/// an order, and nothing else.
#[track_caller]
fn same(name: &str, planned: &[String], run: &[String]) {
    let by_file = |lines: &[String]| {
        let mut lines = lines.to_vec();
        lines.sort_by_key(|line| {
            let path = line.split("\"path\":\"").nth(1);
            path.and_then(|rest| rest.split('"').next().map(str::to_owned))
        });
        lines
    };
    let (planned, run) = (by_file(planned), by_file(run));
    for (number, (planned, run)) in planned.iter().zip(&run).enumerate() {
        assert_eq!(planned, run, "{name}: line {number}");
    }
    assert_eq!(planned.len(), run.len(), "{name}");
}

fn servers() -> [(&'static str, Behaviour); 4] {
    [
        ("openssh", Behaviour::openssh()),
        (
            "hashes",
            Behaviour {
                check_file: Some(CheckFile::Right),
                ..Behaviour::openssh()
            },
        ),
        (
            "refuses",
            Behaviour {
                plain_rename_known: true,
                ..Behaviour::bare(PlainRename::Refuses)
            },
        ),
        (
            "replaces",
            Behaviour {
                plain_rename_known: true,
                ..Behaviour::bare(PlainRename::Replaces)
            },
        ),
    ]
}

#[tokio::test]
async fn the_plan_of_a_get_is_what_the_run_asks_for() {
    for (name, behaviour) in servers() {
        for (action, force_move) in [
            (GetAction::Get, false),
            (GetAction::GetAndDelete, false),
            (GetAction::GetAndMove, false),
            (GetAction::GetAndMove, true),
        ] {
            let get = Get {
                action,
                force_move,
                remote_directory: Some("out".to_owned()),
                move_to_directory: (action == GetAction::GetAndMove).then(|| "done".to_owned()),
                ..Get::default()
            };
            plan_and_run(
                &format!("{name} {action} {force_move}"),
                behaviour.clone(),
                get,
            )
            .await;
        }
    }
}

#[tokio::test]
async fn the_plan_of_a_get_knows_the_directories_that_it_would_make() {
    let get = Get {
        action: GetAction::GetAndMove,
        remote_directory: Some("out".to_owned()),
        move_to_directory: Some("years/2026/done".to_owned()),
        create_directories: true,
        ..Get::default()
    };
    plan_and_run("new directories", Behaviour::openssh(), get).await;
}

#[tokio::test]
async fn the_plan_of_a_send_is_what_the_run_asks_for() {
    for (name, behaviour) in servers() {
        for word in IfExists::WORDS {
            for target in [None, Some("ready".to_owned())] {
                for verify in [Verify::Size, Verify::Hash] {
                    let name = format!("{name} {word} {target:?} {verify}");
                    let send = Send {
                        if_exists: word.parse().unwrap(),
                        remote_directory: Some("in".to_owned()),
                        move_to_directory: target.clone(),
                        verify,
                        ..Send::default()
                    };
                    plan_and_run(&name, behaviour.clone(), send).await;
                }
            }
        }
    }
}

/// What a get of `out` into this directory comes to, by name: status, class of the error, local name.
async fn told<C: crate::remote::Connect>(
    connector: Connector<C>,
    folder: &Path,
    get: &Get,
) -> Vec<(String, Status, Option<Class>, Option<String>)> {
    let into = Destination::Directory(folder.to_owned());
    let connector = connector.with_destination(into);
    let outcomes = connector.run(get.clone().into(), stream::iter([Document::empty()]));
    let told = outcomes.map(|outcome| {
        let text = |name| outcome.properties.text(name).map(str::to_owned);
        let class = outcome.error.as_ref().map(crate::error::Error::class);
        let name = text("filename").unwrap();
        (name, outcome.status, class, text("local-file"))
    });
    told.collect().await
}

/// Plans and runs, and compares what was asked and what came of it. Answers that.
async fn foreseen_and_done(
    server: &Server,
    folder: &Path,
    get: &Get,
) -> Vec<(String, Status, Option<Class>, Option<String>)> {
    let connector = || Connector::new(server.clone(), connection());
    let (plan, planned) = Plan::new();
    let foreseen = told(connector().planned(&plan), folder, get).await;
    let (transcript, run) = Transcript::to_receiver();
    let came = told(connector().with_transcript(transcript), folder, get).await;
    assert_eq!(foreseen, came);
    same("get", &asked(planned), &asked(run));
    came
}

#[tokio::test]
async fn a_plan_knows_what_the_journal_has_as_handled_and_leaves_it_as_it_is() {
    let server = server(Behaviour::openssh());
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("in");
    std::fs::create_dir(&into).unwrap();
    let journal = folder.path().join("journal");
    let get = Get {
        remote_directory: Some("out".to_owned()),
        journal: Some(journal.clone()),
        max_files: 2,
        ..Get::default()
    };
    let names = || {
        let entries = std::fs::read_dir(folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let (plan, _) = Plan::new();
    let planned = Connector::new(server.clone(), connection()).planned(&plan);
    let foreseen = told(planned, &into, &get).await;
    assert_eq!(foreseen.len(), 3, "{foreseen:?}");
    assert_eq!(names(), before, "no journal is made");
    // The two that are fetched now are known then, and the limit counts those that are not.
    foreseen_and_done(&server, &into, &get).await;
    let (before, content) = (names(), std::fs::read(&journal).unwrap());
    let (plan, _) = Plan::new();
    let planned = Connector::new(server.clone(), connection()).planned(&plan);
    told(planned, &into, &get).await;
    assert_eq!(names(), before);
    assert!(
        std::fs::read(&journal).unwrap() == content,
        "it was written"
    );
    let told = foreseen_and_done(&server, &into, &get).await;
    let known = Status::Skipped(SkipReason::AlreadyProcessed);
    let known = told.iter().filter(|(_, status, ..)| *status == known);
    assert_eq!(known.count(), 2, "{told:?}");
    assert!(into.join("c").exists());
}

#[tokio::test]
async fn a_plan_knows_what_was_sent() {
    let server = server(Behaviour::openssh());
    let folder = tempfile::tempdir().unwrap();
    let send = Send {
        remote_directory: Some("in".to_owned()),
        journal: Some(folder.path().join("journal")),
        ..Send::default()
    };
    let operation = Operation::from(send);
    let connector = || Connector::new(server.clone(), connection());
    let [first, second] = [(); 2].map(|()| async {
        let (plan, planned) = Plan::new();
        let foreseen = outcomes(&connector().planned(&plan), &operation).await;
        let (transcript, run) = Transcript::to_receiver();
        let came = outcomes(&connector().with_transcript(transcript), &operation).await;
        assert_eq!(foreseen, came);
        same("send", &asked(planned), &asked(run));
        came
    });
    assert_eq!(first.await, [Status::Ok; 2]);
    let known = Status::Skipped(SkipReason::AlreadyProcessed);
    assert_eq!(second.await, [known; 2]);
}

#[tokio::test]
async fn a_plan_knows_which_local_names_are_taken() {
    for (rule, status, local) in [
        (LocalIfExists::Error, Status::Failed, None),
        (LocalIfExists::Rename, Status::Ok, Some("a1")),
        (LocalIfExists::Overwrite, Status::Ok, Some("a")),
    ] {
        let server = server(Behaviour::openssh());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a"), "of another size").unwrap();
        let get = Get {
            action: GetAction::GetAndDelete,
            remote_directory: Some("out".to_owned()),
            local_if_exists: rule,
            ..Get::default()
        };
        let told = foreseen_and_done(&server, folder.path(), &get).await;
        let (name, found, class, place) = &told[0];
        assert_eq!((name.as_str(), *found), ("a", status), "{rule:?}");
        let taken = (status == Status::Failed).then_some(Class::Exists);
        assert_eq!(*class, taken, "{rule:?}");
        let wanted = local.map(|it| folder.path().join(it).to_str().unwrap().to_owned());
        assert_eq!(*place, wanted, "{rule:?}");
    }
}

#[tokio::test]
async fn the_plan_of_a_process_is_what_the_run_asks_for() {
    let server = server(Behaviour::openssh());
    let get = Get {
        action: GetAction::GetAndDelete,
        remote_directory: Some("out".to_owned()),
        ..Get::default()
    };
    let send = |directory: &str| Send {
        remote_directory: Some(directory.to_owned()),
        ..Send::default()
    };
    let operations = [get.into(), send("in").into(), send("ready").into()];
    let connector = || Connector::new(server.clone(), connection());
    let before = everything(&server);
    let (plan, planned) = Plan::new();
    let stages = operations.clone().map(|operation| Stage {
        connector: connector().planned(&plan),
        operation,
    });
    let pipeline = Pipeline::new(stages.into()).unwrap();
    let foreseen = pipeline.run(stream::iter([Document::empty()]));
    let foreseen: Vec<_> = foreseen.map(|told| told.outcome.status).collect().await;
    assert_eq!(everything(&server), before);
    let (transcript, run) = Transcript::to_receiver();
    let stages = operations.map(|operation| Stage {
        connector: connector().with_transcript(transcript.clone()),
        operation,
    });
    let pipeline = Pipeline::new(stages.into()).unwrap();
    let came = pipeline.run(stream::iter([Document::empty()]));
    let came: Vec<_> = came.map(|told| told.outcome.status).collect().await;
    assert_eq!(foreseen, came);
    // The steps work side by side: what each session asks for has an order, and nothing else.
    let in_order = |records| {
        let mut lines = asked(records);
        lines.sort_by_key(|line| {
            let session = line.split("\"session\":").nth(1).map(str::to_owned);
            session.and_then(|rest| rest.split(',').next().map(str::to_owned))
        });
        lines
    };
    same("process", &in_order(planned), &in_order(run));
}

#[tokio::test]
async fn a_transcript_in_a_file_is_for_its_owner_and_tells_no_content() {
    use std::os::unix::fs::PermissionsExt;
    let server = server(Behaviour::openssh());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("transcript.jsonl");
    let connection = Connection {
        transcript: Some(file.clone()),
        ..connection()
    };
    let send = Send {
        remote_directory: Some("in".to_owned()),
        ..Send::default()
    };
    let connector = Connector::new(server, connection);
    let none = connector.run(send.clone().into(), stream::empty());
    assert!(none.collect::<Vec<_>>().await.is_empty());
    assert!(!file.exists(), "without documents there is no session");
    let document = Document::bytes("what nobody may read").with("filename", "a");
    let outcomes = connector.run(send.into(), stream::iter([document]));
    outcomes.collect::<Vec<_>>().await;
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains("what nobody may read"));
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let operations: Vec<_> = lines
        .iter()
        .filter_map(|line| line["operation"].as_str())
        .collect();
    assert_eq!(operations.first(), Some(&"connect"));
    assert_eq!(operations.last(), Some(&"disconnect"));
    let write = lines
        .iter()
        .find(|line| line["operation"] == "write")
        .unwrap();
    assert_eq!(write["bytes"], 20);
    assert_eq!(write["result"], "ok");
}
