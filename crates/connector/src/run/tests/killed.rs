//! A send with a journal that is killed at every call, before and after its effect, and run again:
//! the document is there exactly once, what was there before is as it should be, and no file of ours
//! is left.

use super::*;
use crate::mem::{HOME, When};
use crate::operation::IfExists;
use crate::outcome::SkipReason;

const OLD: &str = "the old content";

struct Case {
    sending: Send,
    old: &'static [&'static str],
    /// What must be there in the end.
    wanted: fn(&str) -> Vec<(&'static str, String)>,
}

fn home(name: &str) -> String {
    format!("{HOME}/{name}")
}

fn into(if_exists: IfExists) -> Send {
    Send {
        if_exists,
        remote_directory: Some("in".to_owned()),
        ..Send::default()
    }
}

fn contents(server: &Server) -> Vec<(String, String)> {
    server.files(|files| {
        let names = files.file_names();
        names
            .into_iter()
            .filter_map(|name| {
                let content = String::from_utf8_lossy(files.content(&name)?).into_owned();
                let name = name.strip_prefix(&format!("{HOME}/"))?.to_owned();
                Some((name, content))
            })
            .collect()
    })
}

/// One run of a process; `None` when it was killed.
async fn one_run(server: &Server, sending: &Send, body: &str) -> Option<Outcome> {
    loop {
        let connector = Connector::new(server.clone(), connection(0));
        let documents = stream::iter([document("a.txt", body).with("document-id", "1")]);
        let outcomes = connector.run(Operation::Send(sending.clone()), documents);
        let outcomes: Vec<_> = tokio::select! {
            biased;
            () = server.hung() => return None,
            outcomes = outcomes.collect() => outcomes,
        };
        let outcome = only(outcomes);
        // The run that was dropped gives its entry back on a thread of its own, as no process does
        // that is killed.
        if outcome.status != Status::Skipped(SkipReason::InHand) {
            return Some(outcome);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn killed_everywhere(name: &str, behaviour: &Behaviour, case: &Case) {
    // More than one block, so that it can be killed between two writes.
    let body: String = (0..30_000).map(|n| format!("line {n}\n")).collect();
    let mut kills = 0;
    for when in [When::Before, When::Halfway, When::After] {
        for at in 0.. {
            let folder = scratch();
            let sending = Send {
                journal: Some(folder.path().join("journal")),
                ..case.sending.clone()
            };
            let server = Server::new(behaviour.clone());
            server.files(|files| {
                for directory in ["in", "pub", "tmp"] {
                    files.make_directories(home(directory).as_bytes());
                }
                for path in case.old {
                    files.put(&home(path), OLD);
                }
            });
            server.hang(at, when);
            let first = one_run(&server, &sending, &body).await;
            let calls = server.calls();
            let Some(call) = calls.get(at) else { break };
            kills += 1;
            let said = format!(
                "{name}, {} to {:?}, in place {}, {when:?} call {at} ({call})",
                sending.if_exists, sending.move_to_directory, sending.in_place
            );
            assert!(first.is_none(), "{said}: it was not killed");
            // Whether a name was created for us or for another cannot be told afterwards.
            let unclear =
                when == When::After && call.starts_with("create ") && !call.ends_with(".part");
            let again = one_run(&server, &sending, &body)
                .await
                .expect("nobody kills it again");
            let calls = server.calls();
            if unclear && sending.if_exists == IfExists::Error {
                let error = again.error.expect("the name is taken");
                assert!(
                    error.message().contains("may be an empty file of ours"),
                    "{error}"
                );
                continue;
            }
            assert_eq!(
                again.status,
                Status::Ok,
                "{said}: {:?}\n{calls:#?}",
                again.error
            );
            let found = contents(&server);
            if unclear {
                let copies = found.iter().filter(|(_, content)| *content == body).count();
                assert_eq!(copies, 1, "{said}");
                let empty = found.iter().find(|(_, content)| content.is_empty());
                let said_so = again
                    .warnings
                    .iter()
                    .any(|warning| empty.is_some_and(|(name, _)| warning.message().contains(name)));
                assert!(empty.is_none() || said_so, "{said}: {found:?}");
                continue;
            }
            let wanted: Vec<_> = (case.wanted)(&body)
                .into_iter()
                .map(|(name, content)| (name.to_owned(), content))
                .collect();
            let names = |all: &[(String, String)]| {
                all.iter()
                    .map(|(name, it)| format!("{name} {}", it.len()))
                    .collect::<Vec<_>>()
            };
            assert!(
                found == wanted,
                "{said}: {:?} and not {:?}: {:?}\n{calls:#?}",
                names(&found),
                names(&wanted),
                again.warnings
            );
            let third = one_run(&server, &sending, &body)
                .await
                .expect("nobody kills it");
            assert_eq!(
                third.status,
                Status::Skipped(SkipReason::AlreadyProcessed),
                "{said}"
            );
            assert!(third.delivered, "{said}");
            assert!(contents(&server) == wanted, "{said}: sent again");
        }
    }
    assert!(kills > 20, "{name}: only {kills} kills");
}

async fn everywhere(case: Case) {
    for (name, behaviour) in behaviours() {
        killed_everywhere(name, &behaviour, &case).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rename_is_there_once() {
    everywhere(Case {
        sending: into(IfExists::Rename),
        old: &["in/a.txt"],
        wanted: |body| vec![("in/a.txt", OLD.into()), ("in/a1.txt", body.into())],
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn error_is_there_once_and_does_not_find_itself_in_its_way() {
    everywhere(Case {
        sending: Send {
            staging_directory: Some("tmp".to_owned()),
            ..into(IfExists::Error)
        },
        old: &[],
        wanted: |body| vec![("in/a.txt", body.into())],
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn overwrite_replaces_once() {
    everywhere(Case {
        sending: into(IfExists::Overwrite),
        old: &["in/a.txt"],
        wanted: |body| vec![("in/a.txt", body.into())],
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn overwrite_with_a_move_replaces_once() {
    everywhere(Case {
        sending: Send {
            move_to_directory: Some("pub".to_owned()),
            force_move: true,
            ..into(IfExists::Overwrite)
        },
        old: &["pub/a.txt"],
        wanted: |body| vec![("pub/a.txt", body.into())],
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rename_with_a_move_is_published_once() {
    everywhere(Case {
        sending: Send {
            move_to_directory: Some("pub".to_owned()),
            ..into(IfExists::Rename)
        },
        old: &["in/a.txt"],
        wanted: |body| vec![("in/a.txt", OLD.into()), ("pub/a1.txt", body.into())],
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn append_is_there_once() {
    everywhere(Case {
        sending: into(IfExists::Append),
        old: &["in/a.txt"],
        wanted: |body| vec![("in/a.txt", format!("{OLD}{body}"))],
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_place_is_there_once() {
    everywhere(Case {
        sending: Send {
            in_place: true,
            ..into(IfExists::Rename)
        },
        old: &["in/a.txt"],
        wanted: |body| vec![("in/a.txt", OLD.into()), ("in/a1.txt", body.into())],
    })
    .await;
    everywhere(Case {
        sending: Send {
            in_place: true,
            ..into(IfExists::Error)
        },
        old: &[],
        wanted: |body| vec![("in/a.txt", body.into())],
    })
    .await;
    everywhere(Case {
        sending: Send {
            in_place: true,
            allow_truncate: true,
            ..into(IfExists::Overwrite)
        },
        old: &["in/a.txt"],
        wanted: |body| vec![("in/a.txt", body.into())],
    })
    .await;
}

/// A source whose earlier version was cut off for good: the part of it that stands is of no use.
#[tokio::test(flavor = "multi_thread")]
async fn what_stands_of_an_older_version_of_the_source_goes() {
    let folder = scratch();
    let path = folder.path().join("a.txt");
    let sending = Send {
        journal: Some(folder.path().join("journal")),
        ..into(IfExists::Rename)
    };
    let server = Server::new(Behaviour::openssh());
    server.files(|files| files.make_directories(home("in").as_bytes()));
    std::fs::write(&path, "the first version".repeat(40_000)).unwrap();
    server.cut_after("write ", 2);
    let run = |document| {
        let connector = Connector::new(server.clone(), connection(0));
        let outcomes = connector.run(Operation::Send(sending.clone()), stream::iter([document]));
        outcomes.collect::<Vec<_>>()
    };
    let outcome = only(run(Document::file(&path)).await);
    let error = outcome
        .error
        .expect("it was cut off, and nothing is tried again");
    assert_eq!(error.class(), Class::Disconnected);
    let left = leftovers(&server);
    assert_eq!(left.len(), 1);
    assert!(error.message().contains(&left[0]), "{error}");
    std::fs::write(&path, "the second").unwrap();
    good(run(Document::file(&path)).await);
    let wanted = vec![("in/a.txt".to_owned(), "the second".to_owned())];
    assert_eq!(contents(&server), wanted);
}

/// What was acknowledged before the first run ended for good is not sent again by the second.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_run_goes_on_where_the_last_was_acknowledged() {
    let folder = scratch();
    let sending = Send {
        journal: Some(folder.path().join("journal")),
        ..into(IfExists::Overwrite)
    };
    let server = Server::new(Behaviour::openssh());
    server.files(|files| files.make_directories(home("in").as_bytes()));
    let body = "0123456789abcdef".repeat(100_000);
    server.cut_after("write ", 4);
    let run = || {
        let connector = Connector::new(server.clone(), connection(0));
        let documents = stream::iter([document("a", &body).with("document-id", "1")]);
        let outcomes = connector.run(Operation::Send(sending.clone()), documents);
        outcomes.collect::<Vec<_>>()
    };
    only(run().await)
        .error
        .expect("it was cut off, and nothing is tried again");
    let before = server.calls().len();
    good(run().await);
    assert_eq!(contents(&server), vec![("in/a".to_owned(), body.clone())]);
    let calls = server.calls().split_off(before);
    let writes = calls
        .iter()
        .filter(|call| call.starts_with("write "))
        .count();
    // Three of seven were acknowledged, and that was noted when the run ended.
    assert_eq!(writes, body.len().div_ceil(256 << 10) - 3, "{calls:#?}");
}
