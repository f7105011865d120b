//! Exactly once between two servers: wherever a process is dropped, run again it has brought each
//! file over once, and none is gone that did not arrive.

use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::*;
use crate::mem::PlainRename;
use crate::process::Running;

type Files = &'static [(&'static str, &'static str)];

const FILES: Files = &[
    ("a", "the first of them, in several chunks"),
    ("b", ""),
    ("c", "the last"),
];

/// Where a name can only be claimed by an empty file, an empty file cannot be told from a claim.
const NONE_EMPTY: Files = &[
    ("a", "the first of them, in several chunks"),
    ("c", "the last"),
];

/// Two servers and a journal.
struct Scene {
    source: Server,
    target: Server,
    folder: tempfile::TempDir,
    files: Files,
    action: GetAction,
    jobs: usize,
}

impl Scene {
    fn new(files: Files, action: GetAction, jobs: usize, behaviour: Behaviour) -> Self {
        let source = server(&[]);
        source.files(|tree| {
            for (name, content) in files {
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
            files,
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
        for (name, expected) in self.files {
            let at_source = ["out", "done"]
                .iter()
                .any(|directory| content(&self.source, &format!("{directory}/{name}")).is_some());
            let arrived = content(&self.target, &format!("in/{name}"));
            assert!(
                at_source || arrived.as_deref() == Some(*expected),
                "{case}: {name} is lost"
            );
        }
    }

    fn expect_all_once(&self, case: &str) {
        let there = self.target.files(|files| files.file_names());
        let expected: Vec<String> = self
            .files
            .iter()
            .map(|(name, _)| home(&format!("in/{name}")))
            .collect();
        assert_eq!(there, expected, "{case}");
        for (name, expected) in self.files {
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

async fn dropped_at_every_point(
    files: Files,
    action: GetAction,
    jobs: usize,
    behaviour: &Behaviour,
) {
    for left in 0.. {
        let case = format!("{action} by {jobs}, dropped after {left} waits");
        let scene = Scene::new(files, action, jobs, behaviour.clone());
        let running = scene.start();
        let ended = Dropped { running, left }.await;
        scene.expect_nothing_lost(&case);
        let again = scene.start().collect::<Vec<_>>();
        let outcomes = tokio::time::timeout(PATIENCE, again).await.expect(&case);
        for told in &outcomes {
            let error = &told.outcome.error;
            assert_ne!(told.outcome.status, Status::Failed, "{case}: {error:?}");
        }
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
        dropped_at_every_point(FILES, action, 1, &Behaviour::openssh()).await;
    }
}

#[tokio::test]
async fn the_same_where_nothing_but_a_replacing_rename_is_to_be_had() {
    let behaviour = Behaviour::bare(PlainRename::Replaces);
    dropped_at_every_point(NONE_EMPTY, GetAction::GetAndDelete, 1, &behaviour).await;
}

#[tokio::test]
async fn the_same_with_two_jobs_in_each_step() {
    dropped_at_every_point(FILES, GetAction::GetAndDelete, 2, &Behaviour::openssh()).await;
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
