//! Exactly once between two servers: wherever a process is dropped, run again it has brought each
//! file over once, and none is gone that did not arrive.

use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::*;
use crate::mem::PlainRename;
use crate::process::Running;

const FILES: &[(&str, &str)] = &[
    ("a", "the first of them, in several chunks"),
    ("b", ""),
    ("c", "the last"),
];

/// Two servers and a journal.
struct Scene {
    source: Server,
    target: Server,
    folder: tempfile::TempDir,
    action: GetAction,
    jobs: usize,
}

impl Scene {
    fn new(action: GetAction, jobs: usize, behaviour: Behaviour) -> Self {
        let source = server(&[]);
        source.files(|tree| {
            for (name, content) in FILES {
                tree.put(&home(&format!("out/{name}")), *content);
            }
        });
        let target = Server::new(behaviour);
        target.files(|files| files.make_directories(home("in").as_bytes()));
        Self {
            source,
            target,
            folder: tempfile::tempdir_in("/dev/shm")
                .or_else(|_| tempfile::tempdir())
                .unwrap(),
            action,
            jobs,
        }
    }

    fn start(&self) -> Running {
        let journal = |name: &str| Some(self.folder.path().join(name));
        let get = Get {
            journal: journal("gets"),
            force_move: self.action == GetAction::GetAndMove,
            ..get_from("out", self.action)
        };
        let send = Send {
            journal: journal("sends"),
            if_exists: IfExists::Rename,
            ..send_to("in")
        };
        let steps = vec![
            jobs(stage(&self.source, get), self.jobs),
            jobs(stage(&self.target, send), self.jobs),
        ];
        let pipeline = Pipeline::new(steps).unwrap();
        pipeline.run(stream::iter([Document::empty()]))
    }

    /// No file is missing on both sides, whenever one looks.
    fn expect_nothing_lost(&self, case: &str) {
        for (name, expected) in FILES {
            let at_source = ["out", "done"]
                .iter()
                .any(|directory| content(&self.source, &format!("{directory}/{name}")).is_some());
            let arrived = content(&self.target, &format!("in/{name}"));
            assert!(
                at_source || arrived.as_deref() == Some(*expected),
                "{case}: {name} is lost: {:#?}",
                self.target.calls()
            );
        }
    }

    /// Runs until nothing is left to do. What was dropped may still be being let go of: then it is
    /// in hand, not delivered, and stays.
    async fn finish(&self, case: &str) {
        let in_hand = Status::Skipped(SkipReason::InHand);
        for _ in 0..1000 {
            let again = self.start().collect::<Vec<_>>();
            let outcomes = tokio::time::timeout(PATIENCE, again).await.expect(case);
            self.expect_nothing_lost(case);
            if !outcomes.iter().any(|told| told.outcome.status == in_hand) {
                for told in &outcomes {
                    let error = &told.outcome.error;
                    assert_ne!(told.outcome.status, Status::Failed, "{case}: {error:?}");
                }
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("{case}: it does not come to an end");
    }

    fn expect_all_once(&self, case: &str) {
        let there = self.target.files(|files| files.file_names());
        let expected: Vec<String> = FILES
            .iter()
            .map(|(name, _)| home(&format!("in/{name}")))
            .collect();
        let calls = self.target.calls();
        assert_eq!(there, expected, "{case}: {calls:#?}");
        for (name, expected) in FILES {
            let arrived = content(&self.target, &format!("in/{name}"));
            assert_eq!(arrived.as_deref(), Some(*expected), "{case}: {name}");
            let stays = content(&self.source, &format!("out/{name}"));
            assert_eq!(stays, None, "{case}: {name} is still there");
            let moved = content(&self.source, &format!("done/{name}")).is_some();
            assert_eq!(
                moved,
                self.action == GetAction::GetAndMove,
                "{case}: {name}"
            );
        }
    }
}

/// A run that is dropped after so many times that it waited.
struct Dropped {
    running: Running,
    left: usize,
}

impl Future for Dropped {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ended> {
        let this = &mut *self;
        loop {
            match Pin::new(&mut this.running).poll_next(context) {
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) => return Poll::Ready(Ended::ByItself),
                Poll::Pending if this.left == 0 => return Poll::Ready(Ended::Dropped),
                Poll::Pending => {
                    this.left -= 1;
                    return Poll::Pending;
                }
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    ByItself,
    Dropped,
}

async fn dropped_at_every_point(action: GetAction, jobs: usize, behaviour: &Behaviour) {
    for left in 0.. {
        let case = format!("{action} by {jobs}, dropped after {left} waits");
        let scene = Scene::new(action, jobs, behaviour.clone());
        let running = scene.start();
        let ended = Dropped { running, left }.await;
        scene.expect_nothing_lost(&case);
        scene.finish(&case).await;
        scene.expect_all_once(&case);
        if ended == Ended::ByItself {
            assert!(left > 20, "there are more points than {left}");
            return;
        }
    }
}

#[tokio::test]
async fn a_process_dropped_anywhere_and_run_again_has_brought_each_file_once() {
    for action in [GetAction::GetAndDelete, GetAction::GetAndMove] {
        dropped_at_every_point(action, 1, &Behaviour::openssh()).await;
    }
}

#[tokio::test]
async fn the_same_where_names_are_claimed_by_hard_links() {
    let behaviour = Behaviour {
        hardlink: true,
        ..Behaviour::bare(PlainRename::Replaces)
    };
    dropped_at_every_point(GetAction::GetAndDelete, 1, &behaviour).await;
}

#[tokio::test]
async fn the_same_with_two_jobs_in_each_step() {
    dropped_at_every_point(GetAction::GetAndDelete, 2, &Behaviour::openssh()).await;
}

#[tokio::test]
async fn a_journal_that_cannot_be_opened_fails_the_step_and_asks_nobody() {
    let (source, target) = (server(&[("out/a", "1")]), server(&[]));
    let send = Send {
        journal: Some(Path::new("/dev/null/journal").to_owned()),
        ..send_to("in")
    };
    let steps = vec![
        stage(&source, get_from("out", GetAction::GetAndDelete)),
        stage(&target, send),
    ];
    let outcomes = run(steps).await;
    assert_eq!(of_step(&outcomes, 2)[0].status, Status::Failed);
    assert!(content(&source, "out/a").is_some());
    assert_eq!(target.sessions(), (0, 0));
}
