//! Processes on servers in memory: what comes through, and what becomes of the sources.

mod once;

use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::{StreamExt, stream};

use super::{Parameters, Pipeline, Stage, StepOutcome};
use crate::connection::{Connection, RetryDelay};
use crate::document::Document;
use crate::error::{Class, Error};
use crate::mem::{Behaviour, HOME, Server};
use crate::operation::{After, Get, GetAction, IfExists, List, Operation, Send};
use crate::outcome::{AfterAction, SkipReason, Status};
use crate::remote::RemoteErrorKind;
use crate::run::Connector;

/// So long may nothing hang: no test waits for this to pass.
const PATIENCE: Duration = Duration::from_secs(120);

fn connection(host: &str) -> Connection {
    Connection {
        host: host.to_owned(),
        retries: 1,
        retry_delay: RetryDelay {
            first: Duration::from_micros(1),
            longest: Duration::from_micros(1),
        },
        ..Connection::default()
    }
}

fn stage(server: &Server, operation: impl Into<Operation>) -> Stage<Server> {
    Stage {
        connector: Connector::new(server.clone(), connection("mem")),
        operation: operation.into(),
    }
}

fn with(stage: Stage<Server>, parameters: &[(&str, &str)]) -> Stage<Server> {
    let mut all = Parameters::default();
    for (key, template) in parameters {
        all = all.with(key, template.parse().unwrap_or_else(|never| match never {}));
    }
    Stage {
        connector: stage.connector.with_parameters(all),
        ..stage
    }
}

fn jobs(stage: Stage<Server>, jobs: usize) -> Stage<Server> {
    Stage {
        connector: stage.connector.with_jobs(NonZeroUsize::new(jobs).unwrap()),
        ..stage
    }
}

async fn run(stages: Vec<Stage<Server>>) -> Vec<StepOutcome> {
    run_with(stages, vec![Document::empty()]).await
}

async fn run_with(stages: Vec<Stage<Server>>, documents: Vec<Document>) -> Vec<StepOutcome> {
    let pipeline = Pipeline::new(stages).unwrap();
    let running = pipeline.run(stream::iter(documents)).collect();
    let ended = tokio::time::timeout(PATIENCE, running).await;
    ended.expect("the steps do not wait for one another")
}

fn server(files: &[(&str, &str)]) -> Server {
    let server = Server::new(Behaviour {
        // Many chunks, so that bodies do not fit into the queues between the steps.
        chunk: 16,
        ..Behaviour::openssh()
    });
    server.files(|tree| {
        for directory in ["out", "in", "done"] {
            tree.make_directories(home(directory).as_bytes());
        }
        for (name, content) in files {
            tree.put(&home(name), *content);
        }
    });
    server
}

fn home(name: &str) -> String {
    format!("{HOME}/{name}")
}

fn content(server: &Server, name: &str) -> Option<String> {
    server.files(|files| {
        let content = files.content(&home(name))?;
        Some(String::from_utf8_lossy(content).into_owned())
    })
}

fn get_from(directory: &str, action: GetAction) -> Get {
    Get {
        action,
        remote_directory: Some(directory.to_owned()),
        move_to_directory: (action == GetAction::GetAndMove).then(|| "done".to_owned()),
        ..Get::default()
    }
}

fn send_to(directory: &str) -> Send {
    Send {
        remote_directory: Some(directory.to_owned()),
        if_exists: IfExists::Error,
        ..Send::default()
    }
}

fn of_step(outcomes: &[StepOutcome], step: usize) -> Vec<&crate::outcome::Outcome> {
    let own = outcomes.iter().filter(|outcome| outcome.step == step);
    own.map(|outcome| &outcome.outcome).collect()
}

#[track_caller]
fn all_well(outcomes: &[StepOutcome]) {
    for told in outcomes {
        let error = &told.outcome.error;
        assert_eq!(told.outcome.status, Status::Ok, "{} {error:?}", told.step);
    }
}

fn long() -> String {
    (0..200).map(|line| format!("line {line}\n")).collect()
}

#[tokio::test]
async fn a_file_goes_from_one_server_to_the_other_and_is_deleted_last() {
    let long = long();
    let server = server(&[("out/a", &long), ("out/b", "2")]);
    let steps = vec![
        stage(&server, get_from("out", GetAction::GetAndDelete)),
        stage(&server, send_to("in")),
    ];
    let outcomes = run(steps).await;
    all_well(&outcomes);
    assert_eq!(outcomes.len(), 4);
    assert_eq!(content(&server, "in/a"), Some(long));
    assert_eq!(content(&server, "in/b").as_deref(), Some("2"));
    assert_eq!(content(&server, "out/a"), None);
    let calls = server.calls();
    let position = |begin: &str, end: &str| {
        let found = calls
            .iter()
            .position(|call| call.starts_with(begin) && call.ends_with(end));
        found.unwrap_or_else(|| panic!("{begin} … {end}: {calls:?}"))
    };
    assert!(position("rename", "/in/a") < position("remove", "/out/a"));
    assert_eq!(server.sessions(), (2, 0), "one session a step, and closed");
}

#[tokio::test]
async fn what_a_later_step_refuses_stays_where_it_was() {
    let long = long();
    for action in [GetAction::GetAndDelete, GetAction::GetAndMove] {
        let server = server(&[("out/a", &long), ("out/b", "2"), ("in/a", "old")]);
        let steps = vec![
            stage(&server, get_from("out", action)),
            stage(&server, send_to("in")),
        ];
        let outcomes = run(steps).await;
        let (first, second) = (of_step(&outcomes, 1), of_step(&outcomes, 2));
        assert_eq!(second[0].error.as_ref().unwrap().class(), Class::Exists);
        assert_eq!(first[0].status, Status::Failed);
        assert!(!first[0].delivered);
        assert_eq!(first[1].status, Status::Ok, "the other one goes through");
        assert_eq!(content(&server, "out/a").as_deref(), Some(long.as_str()));
        assert_eq!(content(&server, "in/a").as_deref(), Some("old"));
        assert_eq!(content(&server, "in/b").as_deref(), Some("2"));
        assert_eq!(content(&server, "out/b"), None);
        assert_eq!(server.sessions().1, 0);
    }
}

#[tokio::test]
async fn a_document_is_sent_twice_and_its_source_goes_only_after_both() {
    let long = long();
    let source = server(&[("out/a", &long), ("out/b", "2")]);
    let first = server(&[]);
    let second = server(&[("in/b", "old")]);
    let steps = vec![
        stage(&source, get_from("out", GetAction::GetAndDelete)),
        stage(&first, send_to("in")),
        stage(&second, send_to("in")),
    ];
    let outcomes = run(steps).await;
    assert_eq!(content(&first, "in/a"), Some(long.clone()));
    assert_eq!(content(&second, "in/a"), Some(long));
    assert_eq!(content(&source, "out/a"), None);
    assert_eq!(content(&first, "in/b").as_deref(), Some("2"));
    assert_eq!(content(&source, "out/b").as_deref(), Some("2"), "it stays");
    assert_eq!(of_step(&outcomes, 3)[1].status, Status::Failed);
    assert_eq!(of_step(&outcomes, 2)[1].status, Status::Ok);
    assert_eq!(of_step(&outcomes, 1)[1].status, Status::Failed);
}

#[tokio::test]
async fn files_of_a_person_go_through_two_sends() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.txt");
    std::fs::write(&file, long()).unwrap();
    let (first, second) = (server(&[]), server(&[]));
    let steps = vec![stage(&first, send_to("in")), stage(&second, send_to("in"))];
    let outcomes = run_with(steps, vec![Document::file(&file)]).await;
    all_well(&outcomes);
    assert_eq!(content(&first, "in/a.txt"), Some(long()));
    assert_eq!(content(&second, "in/a.txt"), Some(long()));
}

#[tokio::test]
async fn several_jobs_in_each_step_bring_everything_through_with_no_more_sessions() {
    let names: Vec<String> = (0..40).map(|number| format!("out/{number:02}")).collect();
    let contents: Vec<String> = names.iter().map(|name| name.repeat(30)).collect();
    let files: Vec<(&str, &str)> = names
        .iter()
        .zip(&contents)
        .map(|(name, content)| (name.as_str(), content.as_str()))
        .collect();
    for (readers, writers) in [(1, 4), (4, 1), (3, 3)] {
        let (source, target) = (server(&files), server(&[]));
        let steps = vec![
            jobs(
                stage(&source, get_from("out", GetAction::GetAndDelete)),
                readers,
            ),
            jobs(stage(&target, send_to("in")), writers),
        ];
        let outcomes = run(steps).await;
        all_well(&outcomes);
        assert_eq!(outcomes.len(), 80);
        for (name, expected) in &files {
            let sent = name.replace("out/", "in/");
            assert_eq!(content(&target, &sent).as_deref(), Some(*expected));
            assert_eq!(content(&source, name), None);
        }
        assert!(source.sessions().0 <= readers && target.sessions().0 <= writers);
        assert_eq!((source.sessions().1, target.sessions().1), (0, 0));
    }
}

/// A server that lets in so many sessions and no more.
struct Crowded(Server, std::sync::atomic::AtomicUsize);

impl crate::remote::Connect for Crowded {
    type Remote = crate::mem::Session;

    async fn connect(&self) -> Result<Self::Remote, Error> {
        use std::sync::atomic::Ordering;
        let fewer = |left: usize| left.checked_sub(1);
        let room = self
            .1
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
        match room {
            Ok(_) => self.0.connect().await,
            Err(_) => Err(Error::new(Class::Authentication, "no more sessions")),
        }
    }
}

#[tokio::test]
async fn jobs_without_a_session_leave_their_documents_to_those_that_have_one() {
    for room in [0, 1, 2] {
        let server = server(&[]);
        let crowded = Crowded(server.clone(), room.into());
        let connector = Connector::new(crowded, connection("mem"));
        let connector = connector.with_jobs(NonZeroUsize::new(4).unwrap());
        let documents =
            (0..20).map(|number| Document::bytes("x").with("filename", number.to_string()));
        let documents = stream::iter(documents.collect::<Vec<_>>());
        let running = connector.run(send_to("in").into(), documents);
        let running = running.collect::<Vec<_>>();
        let outcomes = tokio::time::timeout(PATIENCE, running).await.unwrap();
        assert_eq!(outcomes.len(), 20);
        for outcome in outcomes {
            assert_eq!(
                outcome.status == Status::Ok,
                room > 0,
                "{:?}",
                outcome.error
            );
        }
        assert_eq!(server.sessions(), (room, 0));
    }
}

#[tokio::test]
async fn a_step_that_cannot_connect_lets_every_source_stay_and_comes_to_an_end() {
    let long = long();
    let source = server(&[("out/a", &long), ("out/b", &long), ("out/c", "3")]);
    let target = server(&[]);
    target.refuse("connect", RemoteErrorKind::Permission);
    let steps = vec![
        stage(&source, get_from("out", GetAction::GetAndDelete)),
        stage(&target, send_to("in")),
    ];
    let outcomes = run(steps).await;
    assert_eq!(of_step(&outcomes, 2).len(), 3);
    assert!(
        outcomes
            .iter()
            .all(|told| told.outcome.status == Status::Failed)
    );
    assert!(content(&source, "out/a").is_some() && content(&source, "out/c").is_some());
    let attempts = target.calls();
    assert_eq!(attempts, ["connect"], "wrong credentials are tried once");
}

#[tokio::test]
async fn after_the_first_failure_stop_on_error_sends_nothing_more() {
    let long = long();
    let source = server(&[("out/a", &long), ("out/b", &long), ("out/c", "3")]);
    let target = server(&[("in/a", "old")]);
    let send = Send {
        stop_on_error: true,
        ..send_to("in")
    };
    let steps = vec![
        stage(&source, get_from("out", GetAction::GetAndDelete)),
        stage(&target, send),
    ];
    let outcomes = run(steps).await;
    let second = of_step(&outcomes, 2);
    assert_eq!(second[0].status, Status::Failed);
    assert_eq!(second[1].status, Status::Skipped(SkipReason::Stopped));
    assert_eq!(second[2].status, Status::Skipped(SkipReason::Stopped));
    for name in ["out/a", "out/b", "out/c"] {
        assert!(content(&source, name).is_some(), "{name}");
    }
}

#[tokio::test]
async fn a_step_that_has_no_use_for_bodies_takes_them_all_the_same() {
    let long = long();
    let source = server(&[("out/a", &long), ("out/b", &long)]);
    let other = server(&[("in/x", "1")]);
    let list = List {
        remote_directory: Some("in".to_owned()),
        ..List::default()
    };
    let steps = vec![
        stage(&source, get_from("out", GetAction::GetAndMove)),
        with(stage(&other, list), &[("file-filter", "*")]),
    ];
    let outcomes = run(steps).await;
    all_well(&outcomes);
    assert_eq!(of_step(&outcomes, 2).len(), 2, "one listing a document");
    assert_eq!(content(&source, "done/a"), Some(long));
    let of_a = of_step(&outcomes, 2)[0];
    assert_eq!(of_a.properties.text("filename"), Some("x"));
}

#[tokio::test]
async fn a_document_that_becomes_several_is_delivered_when_all_of_them_are() {
    for taken in [false, true] {
        let source = server(&[("out/a", "1")]);
        let other = server(&[("in/x", "1"), ("in/y", "2")]);
        let target = server(&[]);
        if taken {
            target.files(|files| files.put(&home("in/y"), "old"));
        }
        let list = List {
            remote_directory: Some("in".to_owned()),
            ..List::default()
        };
        let steps = vec![
            stage(&source, get_from("out", GetAction::GetAndDelete)),
            with(stage(&other, list), &[("sort", "name")]),
            stage(&target, send_to("in")),
        ];
        let outcomes = run(steps).await;
        assert_eq!(of_step(&outcomes, 3).len(), 2);
        assert_eq!(content(&source, "out/a").is_some(), taken);
        let first = of_step(&outcomes, 1)[0];
        let expected = match taken {
            true => AfterAction::None,
            false => AfterAction::Deleted,
        };
        assert_eq!(first.after_action, expected);
    }
}

#[tokio::test]
async fn a_get_that_waits_for_nobody_lets_the_step_before_it_wait_for_the_last() {
    for taken in [false, true] {
        let source = server(&[("out/a", "1")]);
        let other = server(&[("out/x", "1")]);
        let target = server(&[]);
        if taken {
            target.files(|files| files.put(&home("in/x"), "old"));
        }
        let eager = Get {
            after: After::Eager,
            ..get_from("out", GetAction::GetAndDelete)
        };
        let steps = vec![
            stage(&source, get_from("out", GetAction::GetAndDelete)),
            with(stage(&other, eager), &[("sort", "name")]),
            stage(&target, send_to("in")),
        ];
        let outcomes = run(steps).await;
        assert_eq!(content(&other, "out/x"), None, "it is deleted once read");
        assert_eq!(of_step(&outcomes, 3).len(), 1);
        assert_eq!(content(&source, "out/a").is_some(), taken);
    }
}

/// A get, perhaps a send, a get that takes all documents together, and a send.
fn one_before_all(
    source: &Server,
    target: &Server,
    first: Get,
    between: bool,
) -> Vec<Stage<Server>> {
    let mut steps = vec![jobs(stage(source, first), 2)];
    if between {
        steps.push(stage(target, send_to("done")));
    }
    steps.push(stage(source, get_from("in", GetAction::Get)));
    steps.push(stage(target, send_to("in")));
    steps
}

#[tokio::test]
async fn what_a_step_takes_together_is_delivered_together() {
    let long = long();
    for after in [After::Ack, After::Eager] {
        for (between, refused) in [(false, false), (true, false), (false, true)] {
            let files = [
                ("out/a", &long[..]),
                ("out/b", "2"),
                ("in/x", &long),
                ("in/y", "4"),
            ];
            let (source, target) = (server(&files), server(&[]));
            if refused {
                target.files(|files| files.put(&home("in/x"), "old"));
            }
            let first = Get {
                after,
                ..get_from("out", GetAction::GetAndDelete)
            };
            let outcomes = run(one_before_all(&source, &target, first, between)).await;
            let case = format!("{after} {between} {refused}: {outcomes:?}");
            let last = outcomes.iter().map(|told| told.step).max().unwrap();
            assert_eq!(of_step(&outcomes, last).len(), 2, "once for all: {case}");
            let stays = refused && after == After::Ack;
            for name in ["out/a", "out/b"] {
                assert_eq!(content(&source, name).is_some(), stays, "{case}");
            }
            assert_eq!(content(&target, "done/a").is_some(), between, "{case}");
            if !refused {
                all_well(&outcomes);
            }
        }
    }
}

#[tokio::test]
async fn so_many_wait_together_as_there_is_memory_for() {
    let names: Vec<String> = (0..260).map(|number| format!("out/{number:03}")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (&name[..], "x")).collect();
    let source = server(&files);
    source.files(|files| files.put(&home("in/x"), "x"));
    let target = server(&[]);
    let mut steps = one_before_all(
        &source,
        &target,
        get_from("out", GetAction::GetAndDelete),
        false,
    );
    let connection = Connection {
        memory: crate::units::ByteSize(1 << 20),
        ..connection("mem")
    };
    steps[0].connector = Connector::new(source.clone(), connection);
    let outcomes = run(steps).await;
    let first = of_step(&outcomes, 1);
    let failed: Vec<_> = first.iter().filter_map(|it| it.error.as_ref()).collect();
    assert_eq!(failed.len(), 4, "of {}", first.len());
    for error in failed {
        assert_eq!(error.class(), Class::Configuration);
        assert!(error.hint().unwrap().contains("max-files"), "{error}");
    }
    let left = source.files(|files| files.file_names());
    let left = left.iter().filter(|name| name.contains("/out/"));
    assert_eq!(left.count(), 4, "the others are delivered and deleted");
}

#[tokio::test]
async fn a_listing_names_the_files_of_the_get_after_it_exactly() {
    let source = server(&[("out/a*b;!c", "odd"), ("out/aXb", "not this one")]);
    let target = server(&[]);
    let list = List {
        remote_directory: Some("out".to_owned()),
        file_filter: Some("a\\**".to_owned()),
        ..List::default()
    };
    let get = Get {
        max_files: 5,
        ..Get::default()
    };
    let parameters = [
        ("file-filter", "{property.filename}"),
        ("remote-directory", "{property.remote-directory}"),
    ];
    let steps = vec![
        stage(&source, list),
        with(stage(&source, get), &parameters),
        stage(&target, send_to("in")),
    ];
    let outcomes = run(steps).await;
    assert_eq!(of_step(&outcomes, 3).len(), 1);
    assert_eq!(content(&target, "in/a*b;!c").as_deref(), Some("odd"));
}

#[tokio::test]
async fn where_a_document_came_from_does_not_say_where_it_goes() {
    let source = server(&[("out/a", "1")]);
    let target = server(&[]);
    let steps = vec![
        stage(&source, get_from("out", GetAction::GetAndMove)),
        stage(&target, send_to("in")),
    ];
    all_well(&run(steps).await);
    assert_eq!(content(&target, "in/a").as_deref(), Some("1"));
}

#[tokio::test]
async fn parameters_steer_each_document_and_what_is_missing_is_named() {
    let server = server(&[]);
    server.files(|files| {
        files.make_directories(home("in/north").as_bytes());
        files.make_directories(home("in/south").as_bytes());
    });
    let parameters = [
        ("remote-directory", "in/{property.region}"),
        ("if-exists", "{property.rule}"),
        ("checksum", "{property.sum}"),
    ];
    let document = |name: &str, region: &str| {
        Document::bytes("x")
            .with("filename", name.to_owned())
            .with("region", region.to_owned())
            .with("rule", "overwrite")
            .with("sum", "true")
    };
    let no_rule = Document::bytes("x")
        .with("filename", "c")
        .with("region", "south")
        .with("sum", "true");
    let bad_rule = document("d", "south").with("rule", "maybe");
    let no_text = document("e", "south").with("rule", &b"\xff"[..]);
    let documents = vec![
        document("a", "north"),
        document("b", "south"),
        no_rule,
        bad_rule,
        no_text,
        document("f", "north").with("remote-directory", "elsewhere"),
    ];
    let steps = vec![with(stage(&server, send_to("nowhere")), &parameters)];
    let outcomes = run_with(steps, documents).await;
    assert!(content(&server, "in/north/a").is_some());
    assert!(content(&server, "in/south/b").is_some());
    assert!(
        content(&server, "in/north/f").is_some(),
        "the parameter wins"
    );
    assert!(outcomes[0].outcome.properties.text("sha256").is_some());
    assert_eq!(outcomes[1].outcome.properties.text("region"), Some("south"));
    for (outcome, words) in outcomes[2..5].iter().zip(["rule", "maybe", "UTF-8"]) {
        let error = outcome.outcome.error.as_ref().unwrap();
        assert_eq!(error.class(), Class::Configuration);
        assert!(error.message().contains(words), "{error}");
        assert!(error.hint().is_some());
    }
}

#[tokio::test]
async fn without_parameters_a_get_runs_once_and_the_first_value_wins() {
    let source = server(&[("out/a", "1"), ("out/b", "2")]);
    let target = server(&[]);
    let first = Document::empty().with("region", "north");
    let second = Document::empty()
        .with("region", "south")
        .with("kind", "order");
    let steps = vec![
        stage(&source, get_from("out", GetAction::Get)),
        stage(&target, send_to("in")),
    ];
    let outcomes = run_with(steps, vec![first, second]).await;
    all_well(&outcomes);
    let sent = of_step(&outcomes, 2);
    assert_eq!(sent.len(), 2, "once, and not once per document");
    for outcome in sent {
        assert_eq!(outcome.properties.text("region"), Some("north"));
        assert_eq!(outcome.properties.text("kind"), Some("order"));
    }
}

#[tokio::test]
async fn without_documents_no_step_connects() {
    let server = server(&[("out/a", "1")]);
    let steps = vec![
        stage(&server, get_from("out", GetAction::Get)),
        stage(&server, send_to("in")),
    ];
    assert!(run_with(steps, Vec::new()).await.is_empty());
    let empty = self::server(&[]);
    let target = self::server(&[]);
    let steps = vec![
        stage(&empty, get_from("out", GetAction::Get)),
        stage(&target, send_to("in")),
    ];
    assert!(run(steps).await.is_empty());
    assert_eq!(server.sessions(), (0, 0));
    assert_eq!(target.sessions(), (0, 0), "nothing came through");
}

#[tokio::test]
async fn cancelled_steps_close_their_sessions_and_leave_the_sources() {
    let long = long();
    let source = server(&[("out/a", &long), ("out/b", &long)]);
    let target = server(&[]);
    let pipeline = Pipeline::new(vec![
        stage(&source, get_from("out", GetAction::GetAndDelete)),
        stage(&target, send_to("in")),
    ])
    .unwrap();
    let cancel = pipeline.canceller();
    target.before("write", move |_| cancel.cancel());
    let running = pipeline
        .run(stream::iter([Document::empty()]))
        .collect::<Vec<_>>();
    let outcomes = tokio::time::timeout(PATIENCE, running).await.unwrap();
    let is_cancelled = |error: &Error| error.class() == Class::Cancelled;
    let errors = outcomes
        .iter()
        .filter_map(|told| told.outcome.error.as_ref());
    assert!(errors.into_iter().any(is_cancelled), "{outcomes:?}");
    assert_eq!((source.sessions().1, target.sessions().1), (0, 0));
    assert!(content(&source, "out/a").is_some() && content(&source, "out/b").is_some());
    let left = target.files(|files| files.file_names());
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn dropped_steps_drop_their_sessions() {
    let source = server(&[("out/a", &long()), ("out/b", "2")]);
    let target = server(&[]);
    let mut running = Pipeline::new(vec![
        stage(&source, get_from("out", GetAction::GetAndDelete)),
        stage(&target, send_to("in")),
    ])
    .unwrap()
    .run(stream::iter([Document::empty()]));
    running.next().await.unwrap();
    assert!(source.sessions().1 > 0);
    drop(running);
    assert_eq!((source.sessions().1, target.sessions().1), (0, 0));
}

#[test]
fn what_cannot_work_is_refused_before_anyone_is_asked() {
    let server = server(&[]);
    let error = |stages| Pipeline::new(stages).unwrap_err();
    assert!(error(Vec::new()).message().contains("no steps"));
    let wrong_key = with(stage(&server, send_to("in")), &[("remote-dir", "x")]);
    let refused = error(vec![wrong_key]);
    assert!(
        refused.message().contains("step 1: 'remote-dir'"),
        "{refused}"
    );
    let wrong_value = with(stage(&server, send_to("in")), &[("if-exists", "maybe")]);
    assert!(error(vec![wrong_value]).message().contains("maybe"));
    let fixed = with(stage(&server, send_to("in")), &[("journal", "x")]);
    assert!(error(vec![fixed]).message().contains("journal"));
    let each = with(
        stage(&server, get_from("out", GetAction::GetAndDelete)),
        &[("sort", "name")],
    );
    let circle = vec![
        stage(&server, List::default()),
        each,
        stage(&server, List::default()),
    ];
    let refused = error(circle);
    assert!(refused.message().contains("step 3"), "{refused}");
    assert!(refused.hint().is_some());
}

#[tokio::test]
async fn steps_of_one_account_share_its_sessions_and_cannot_starve_each_other() {
    let names: Vec<String> = (0..12).map(|number| format!("out/{number:02}")).collect();
    let files: Vec<(&str, &str)> = names
        .iter()
        .map(|name| (name.as_str(), "content"))
        .collect();
    let server = server(&files);
    let connector = |sessions| {
        let connection = Connection {
            max_sessions: NonZeroUsize::new(sessions).unwrap(),
            ..connection("mem")
        };
        Connector::new(server.clone(), connection).with_jobs(NonZeroUsize::new(100).unwrap())
    };
    let steps = |sessions| {
        vec![
            Stage {
                connector: connector(sessions),
                operation: get_from("out", GetAction::GetAndDelete).into(),
            },
            Stage {
                connector: connector(sessions),
                operation: send_to("in").into(),
            },
        ]
    };
    let refused = Pipeline::new(steps(1)).unwrap_err();
    assert!(refused.message().contains("max-sessions is 1"), "{refused}");
    let outcomes = run(steps(5)).await;
    all_well(&outcomes);
    assert_eq!(outcomes.len(), 24);
    let (opened, open) = server.sessions();
    assert!(opened <= 5 && open == 0, "{opened} {open}");
}

#[tokio::test]
async fn a_panic_in_a_document_takes_its_sessions_with_it() {
    let (first, second) = (server(&[]), server(&[]));
    let chunk = |number| async move {
        assert!(number < 3, "the maker of this body has a fault");
        Ok(bytes::Bytes::from_static(b"chunk"))
    };
    let body = stream::iter(0..5).then(chunk);
    let faulty = Document {
        body: crate::document::Body::Stream(Box::pin(body)),
        ..Document::empty().with("filename", "b")
    };
    let good = Document::bytes("x").with("filename", "a");
    let steps = vec![stage(&first, send_to("in")), stage(&second, send_to("in"))];
    let running = Pipeline::new(steps).unwrap();
    let running = running.run(stream::iter([good, faulty]));
    let task = tokio::spawn(running.collect::<Vec<_>>());
    let ended = tokio::time::timeout(PATIENCE, task).await;
    let ended = ended.expect("it does not hang");
    assert!(ended.unwrap_err().is_panic());
    assert_eq!(first.sessions(), (1, 0));
    assert_eq!(second.sessions().1, 0);
    assert_eq!(content(&first, "in/b"), None);
}
