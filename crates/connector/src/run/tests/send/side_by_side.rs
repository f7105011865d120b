//! Many documents in hand on one session: told in their order, each in its own steps, those of one name one
//! after the other, and a fault at every call while others are under way.

use super::*;
use crate::document::Body;
use crate::error::Error;
use crate::mem::{Fault, What, When};

const LINE: &str = "a line of a document\n";

/// Documents in the order in which they are sent, each with a name of its own.
fn forty() -> Vec<(String, String)> {
    // The first ones are done last.
    (0..40)
        .map(|at| (format!("{at:02}"), LINE.repeat(2000 / (at + 1))))
        .collect()
}

async fn sent(server: &Server, sending: Send, documents: &[(String, String)]) -> Vec<Outcome> {
    let documents: Vec<_> = documents
        .iter()
        .enumerate()
        .map(|(at, (name, body))| document(name, body).with("document-id", at.to_string()))
        .collect();
    let connector = Connector::new(server.clone(), connection(3));
    let outcomes = connector.run(Operation::Send(sending), stream::iter(documents));
    outcomes.collect().await
}

/// The names under which the documents stand, which must all be good.
#[track_caller]
fn stand(outcomes: &[Outcome]) -> Vec<String> {
    let name = |outcome: &Outcome| {
        assert_eq!(outcome.status, Status::Ok, "{:?}", outcome.error);
        assert!(outcome.delivered);
        outcome.properties.text("filename").unwrap().to_owned()
    };
    outcomes.iter().map(name).collect()
}

/// The most temporary files that there were at once, by what was asked for.
fn most_in_hand(server: &Server) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    for call in server.calls() {
        let verb = call.split(' ').next().unwrap_or_default();
        if verb == "create" && call.contains(".part") {
            now += 1;
        } else if verb.contains("rename") {
            now = now.saturating_sub(1);
        }
        most = most.max(now);
    }
    most
}

#[tokio::test]
async fn documents_are_in_hand_together_and_told_in_their_order() {
    let documents = forty();
    let order: Vec<_> = documents.iter().map(|(name, _)| name.clone()).collect();
    for (name, behaviour) in behaviours() {
        for fault in [None, Some(60), Some(200)] {
            let server = server_of(behaviour.clone(), &[]);
            if let Some(at) = fault {
                let (when, what) = (When::Before, What::Disconnect);
                server.fail(Fault { at, when, what });
            }
            let outcomes = sent(&server, into(IfExists::Rename), &documents).await;
            assert_eq!(stand(&outcomes), order, "{name}");
            for (file, body) in &documents {
                let there = content(&server, &format!("in/{file}"));
                assert!(there.as_ref() == Some(body), "{name}: {file}");
            }
            assert_eq!(
                names(&server).len(),
                documents.len(),
                "{name}: {:?}",
                names(&server)
            );
            // All lanes went over to the one new session, and closed it.
            assert_eq!(
                server.sessions(),
                (1 + usize::from(fault.is_some()), 0),
                "{name}"
            );
        }
    }
    let server = server_of(Behaviour::openssh(), &[]);
    sent(&server, into(IfExists::Rename), &documents).await;
    assert!(most_in_hand(&server) > 8, "{:?}", server.calls());
}

#[tokio::test]
async fn the_first_document_goes_alone_and_finds_out_what_holds_for_all() {
    let server = server_of(Behaviour::openssh(), &[]);
    sent(&server, into(IfExists::Rename), &forty()).await;
    let calls = server.calls();
    let created = calls.iter().filter(|it| it.starts_with("create "));
    assert!(created.count() >= 40);
    let first = calls.iter().position(|it| it.contains("rename")).unwrap();
    let before = calls[..first].iter().filter(|it| it.contains(".part"));
    let names: std::collections::BTreeSet<_> = before
        .filter_map(|it| it.split(' ').find(|word| word.ends_with(".part")))
        .collect();
    assert!(names.len() <= 1, "{names:?}");
    assert_eq!(
        calls.iter().filter(|it| it.starts_with("realpath")).count(),
        1
    );
}

#[tokio::test]
async fn documents_of_one_name_keep_their_order() {
    let mut documents = Vec::new();
    for at in 0..12 {
        // Some servers take both for one name.
        let name = if at % 2 == 0 { "x.txt" } else { "X.txt" };
        let size = 1 + (at * 7) % 12;
        documents.push((name.to_owned(), format!("{at} {}", LINE.repeat(size))));
        documents.push((format!("other{at}"), LINE.repeat(3)));
    }
    for (name, behaviour) in behaviours() {
        let server = server_of(behaviour.clone(), &[]);
        let outcomes = sent(&server, into(IfExists::Overwrite), &documents).await;
        stand(&outcomes);
        for (file, last) in [("x.txt", 20), ("X.txt", 22)] {
            let there = content(&server, &format!("in/{file}"));
            assert_eq!(there.as_ref(), Some(&documents[last].1), "{name}");
        }
        let server = server_of(behaviour, &[]);
        let outcomes = sent(&server, into(IfExists::Rename), &documents).await;
        let given = stand(&outcomes);
        let numbered = |of: &str| -> Vec<_> {
            given
                .iter()
                .filter(|it| it.starts_with(of))
                .cloned()
                .collect()
        };
        assert_eq!(
            numbered("x"),
            ["x.txt", "x1.txt", "x2.txt", "x3.txt", "x4.txt", "x5.txt"]
        );
        assert_eq!(numbered("X")[5], "X5.txt");
        for (file, (_, body)) in given.iter().zip(&documents) {
            let there = content(&server, &format!("in/{file}"));
            assert_eq!(there.as_ref(), Some(body), "{name}: {file}");
        }
    }
}

#[tokio::test]
async fn a_document_that_fails_does_so_alone_and_in_its_place() {
    let server = server_of(Behaviour::openssh(), &[("in/07", "there already")]);
    let mut documents = forty();
    documents[20].0 = "a/b".to_owned();
    let outcomes = sent(&server, into(IfExists::Error), &documents).await;
    let failed: Vec<_> = (0..40)
        .filter(|at| outcomes[*at].status == Status::Failed)
        .collect();
    assert_eq!(failed, [7, 20]);
    let class = |at: usize| outcomes[at].error.as_ref().unwrap().class();
    assert_eq!((class(7), class(20)), (Class::Exists, Class::Configuration));
    assert_eq!(content(&server, "in/07").unwrap(), "there already");
    assert_eq!(names(&server).len(), 39);
}

#[tokio::test]
async fn what_must_go_one_after_the_other_does() {
    let streamed = |name: &str| {
        let chunks = stream::iter([Ok(LINE.as_bytes().into())]);
        Document {
            body: Body::Stream(Box::pin(chunks)),
            ..document(name, "")
        }
    };
    let append = into(IfExists::Append);
    let stops = Send {
        stop_on_error: true,
        ..into(IfExists::Rename)
    };
    for sending in [append, stops, into(IfExists::Rename)] {
        let server = server_of(Behaviour::openssh(), &[]);
        // Of unknown size: the bodies of the last case.
        let alone = sending.if_exists == IfExists::Rename && !sending.stop_on_error;
        let documents: Vec<_> = (0..10)
            .map(|at| match alone {
                true => streamed(&format!("{at}")),
                false => document(&format!("{at}"), LINE),
            })
            .collect();
        let connector = Connector::new(server.clone(), connection(1));
        let outcomes = connector.run(Operation::Send(sending), stream::iter(documents));
        let outcomes: Vec<Outcome> = outcomes.collect().await;
        assert_eq!(stand(&outcomes).len(), 10);
        assert!(most_in_hand(&server) <= 1, "{:?}", server.calls());
        let creates: Vec<_> = server
            .calls()
            .into_iter()
            .filter(|it| it.starts_with("create "))
            .collect();
        assert!(creates.len() >= 10, "{creates:?}");
    }
}

/// Six documents, two of them of one name; a fault at every call, while others are under way.
#[tokio::test]
async fn a_connection_lost_at_any_call_loses_nothing_and_sends_nothing_twice() {
    let documents: Vec<_> = ["a", "b", "c", "b", "d", "e"]
        .iter()
        .enumerate()
        .map(|(at, name)| ((*name).to_owned(), format!("{at} {}", LINE.repeat(at + 1))))
        .collect();
    let mut points = 0;
    for (name, behaviour) in behaviours() {
        for if_exists in [IfExists::Rename, IfExists::Overwrite] {
            for when in [When::Before, When::Halfway, When::After] {
                for at in 1.. {
                    let server = server_of(behaviour.clone(), &[]);
                    let what = What::Disconnect;
                    server.fail(Fault { at, when, what });
                    let outcomes = sent(&server, into(if_exists), &documents).await;
                    if server.sessions().0 == 1 {
                        break;
                    }
                    points += 1;
                    let case = format!("{name}, {if_exists:?}, {when:?} {at}");
                    let given = stand(&outcomes);
                    let there = names(&server);
                    let wanted = match if_exists {
                        IfExists::Rename => 6,
                        _ => 5,
                    };
                    // A name that was reserved, and the answer lost, may be another's: it stays, and is told.
                    let told: Vec<_> = outcomes.iter().flat_map(|it| &it.warnings).collect();
                    let empty = |it: &&String| content(&server, it).is_some_and(|it| it.is_empty());
                    let reserved: Vec<_> = there.iter().filter(empty).collect();
                    for left in &reserved {
                        let named = |it: &&Error| it.to_string().contains(left.as_str());
                        assert!(told.iter().any(named), "{case}: {left}: {told:?}");
                    }
                    assert_eq!(there.len() - reserved.len(), wanted, "{case}: {there:?}");
                    for (at, (file, (_, body))) in given.iter().zip(&documents).enumerate() {
                        let there = content(&server, &format!("in/{file}"));
                        let replaced = if_exists == IfExists::Overwrite && at == 1;
                        let wanted = if replaced { &documents[3].1 } else { body };
                        assert_eq!(there.as_ref(), Some(wanted), "{case}: {file}");
                    }
                    assert_eq!(server.sessions().1, 0, "{case}");
                }
            }
        }
    }
    assert!(points > 1000, "{points} points");
}
