//! Get with a journal into a directory that somebody empties: each state that a kill can leave on the
//! disk and in the journal, and what the next run makes of it. A file that is taken away before its
//! delivery is recorded is not delivered twice.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;
use crate::journal::{Claimed, Journal, Query, Received, Source};
use crate::mem::HOME;
use crate::operation::{GetAction, LocalIfExists};
use crate::outcome::{AfterAction, SkipReason};
use crate::path::RemotePath;

const CONTENT: &str = "what the file holds";
const PART: &str = ".a.0f8fad5b-d9cb-469f-a165-70867728950e.part";
const SECOND: &str = ".a.0f8fad5b-d9cb-869f-a165-70867728950e.part";
const PLACE: &str = "a";

/// One file at the server that an earlier run had in hand, a local directory, and a journal.
struct Scene {
    server: Server,
    folder: tempfile::TempDir,
    rule: LocalIfExists,
}

/// What the journal says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recorded {
    Fetched,
    Delivered,
}

impl Scene {
    fn new() -> Self {
        let server = Server::new(Behaviour::openssh());
        server.files(|files| files.put(&at_server(), CONTENT));
        let folder = scratch();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        Self {
            server,
            folder,
            rule: LocalIfExists::Error,
        }
    }

    /// The same after a run that was killed, and left these names of one file.
    async fn killed(recorded: Recorded, names: &[&str]) -> Self {
        let scene = Self::new();
        if let Some((first, others)) = names.split_first() {
            std::fs::write(scene.local(first), CONTENT).unwrap();
            for other in others {
                std::fs::hard_link(scene.local(first), scene.local(other)).unwrap();
            }
        }
        let digest = ring::digest::digest(&ring::digest::SHA256, CONTENT.as_bytes());
        let modified = scene.server.files(|files| files.modified(&at_server()));
        let source = Source {
            account: connection(0).account(),
            directory: RemotePath::from("/home/user/out"),
            name: "a".into(),
            size: Some(CONTENT.len() as u64),
            modified,
        };
        let received = Received {
            size: CONTENT.len() as u64,
            modified,
            sha256: digest.as_ref().try_into().unwrap(),
        };
        let journal = Journal::open(&scene.journal()).unwrap();
        let Claimed::Yours(mut taken) = journal.claim(&source).await.unwrap() else {
            panic!("nobody else has it");
        };
        let (part, place) = (scene.local(PART), scene.local(PLACE));
        taken.part(&part).await.unwrap();
        taken.fetched(&part, &place, received).await.unwrap();
        if recorded == Recorded::Delivered {
            taken.delivered(Some(&place)).await.unwrap();
        }
        taken.give_back().await.unwrap();
        scene
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    fn directory(&self) -> PathBuf {
        self.folder.path().join("in").canonicalize().unwrap()
    }

    fn local(&self, name: &str) -> PathBuf {
        self.directory().join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    fn outcomes(&self) -> super::super::Outcomes {
        let connector = Connector::new(self.server.clone(), connection(0))
            .with_destination(Destination::Directory(self.directory()));
        let get = Get {
            action: GetAction::GetAndDelete,
            remote_directory: Some("out".to_owned()),
            local_if_exists: self.rule,
            journal: Some(self.journal()),
            ..Get::default()
        };
        connector.run(Operation::Get(get), stream::iter([Document::empty()]))
    }

    async fn run(&self) -> Vec<Outcome> {
        self.outcomes().collect().await
    }

    /// The run after a kill; the source must be gone then. Answers how often the file was fetched.
    async fn run_to_the_end(&self, case: &str) -> usize {
        let outcome = good(self.run().await);
        assert!(outcome.delivered, "{case}");
        assert_eq!(outcome.after_action, AfterAction::Deleted, "{case}");
        let left = self.server.files(|files| files.file_names());
        assert_eq!(left, [""; 0], "{case}");
        let calls = self.server.calls();
        let opened = calls.iter().filter(|call| call.starts_with("open "));
        opened.count()
    }

    /// Waits until a run that was dropped has let go of everything.
    async fn let_go(&self) {
        let Ok(journal) = Journal::open_existing(&self.journal()) else {
            return;
        };
        loop {
            let entries = journal.entries(&Query::default(), None, 100).await.unwrap();
            if entries.iter().all(|entry| entry.in_hand.is_none()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

fn at_server() -> String {
    format!("{HOME}/out/a")
}

/// The names that a kill can leave after `fetched` was recorded, by what the next run concludes.
#[tokio::test]
async fn each_state_that_a_kill_leaves_ends_with_the_file_delivered_once() {
    let fetched: &[(&[&str], usize, &[&str])] = &[
        // Not delivered: its part gets its place.
        (&[PART], 0, &[PLACE]),
        (&[PART, SECOND], 0, &[PLACE]),
        // In its place, before and after its part was unlinked.
        (&[PART, SECOND, PLACE], 0, &[PLACE]),
        (&[SECOND, PLACE], 0, &[PLACE]),
        // In its place, and taken away.
        (&[SECOND], 0, &[]),
        // Without hard links.
        (&[PLACE], 0, &[PLACE]),
        (&[], 1, &[PLACE]),
    ];
    for &(names, fetches, wanted) in fetched {
        let case = format!("{names:?}");
        let scene = Scene::killed(Recorded::Fetched, names).await;
        assert_eq!(scene.run_to_the_end(&case).await, fetches, "{case}");
        assert_eq!(scene.names(), wanted, "{case}");
    }
    let delivered: &[(&[&str], &[&str])] = &[
        (&[SECOND, PLACE], &[PLACE]),
        (&[SECOND], &[]),
        (&[PLACE], &[PLACE]),
        (&[], &[]),
    ];
    for &(names, wanted) in delivered {
        let case = format!("delivered, {names:?}");
        let scene = Scene::killed(Recorded::Delivered, names).await;
        assert_eq!(scene.run_to_the_end(&case).await, 0, "{case}");
        assert_eq!(scene.names(), wanted, "{case}");
    }
}

/// Whatever has come under its name since, by each rule.
#[tokio::test]
async fn what_was_taken_away_is_not_delivered_again_whatever_has_its_name_by_now() {
    for rule in [
        LocalIfExists::Error,
        LocalIfExists::Rename,
        LocalIfExists::Overwrite,
    ] {
        let mut scene = Scene::killed(Recorded::Fetched, &[SECOND]).await;
        scene.rule = rule;
        std::fs::write(scene.local(PLACE), "another").unwrap();
        let case = format!("{rule:?}");
        assert_eq!(scene.run_to_the_end(&case).await, 0, "{case}");
        assert_eq!(scene.names(), [PLACE], "{case}");
        assert_eq!(std::fs::read(scene.local(PLACE)).unwrap(), b"another");
    }
}

/// A part that is spoilt is no delivery, with a second name or without.
#[tokio::test]
async fn a_spoilt_part_with_its_second_name_is_fetched_anew() {
    let scene = Scene::killed(Recorded::Fetched, &[PART, SECOND]).await;
    std::fs::write(scene.local(PART), "what the file lacks").unwrap();
    assert_eq!(scene.run_to_the_end("spoilt").await, 1);
    assert_eq!(scene.names(), [PLACE]);
    assert_eq!(
        std::fs::read_to_string(scene.local(PLACE)).unwrap(),
        CONTENT
    );
}

/// A refusal gives up the part and its second name, and is no delivery.
#[tokio::test]
async fn a_part_whose_name_is_taken_goes_with_its_second_name() {
    let scene = Scene::killed(Recorded::Fetched, &[PART, SECOND]).await;
    std::fs::write(scene.local(PLACE), "another").unwrap();
    for outcome in scene.run().await {
        let error = outcome.error.expect("the name is taken");
        assert_eq!(error.class(), Class::Exists);
    }
    assert_eq!(scene.names(), [PLACE]);
    std::fs::remove_file(scene.local(PLACE)).unwrap();
    assert_eq!(scene.run_to_the_end("free again").await, 1);
    assert_eq!(
        std::fs::read_to_string(scene.local(PLACE)).unwrap(),
        CONTENT
    );
}

/// A second name of another file, as a copy of the directory makes it, is not taken for a trace.
#[tokio::test]
async fn a_second_name_of_another_file_is_replaced() {
    let scene = Scene::killed(Recorded::Fetched, &[PART]).await;
    std::fs::write(scene.local(SECOND), CONTENT).unwrap();
    assert_eq!(scene.run_to_the_end("a copy").await, 0);
    assert_eq!(scene.names(), [PLACE]);
}

/// Equal content that is there already counts as delivered, and is taken away before that is recorded.
#[tokio::test]
async fn what_is_dropped_anywhere_while_somebody_takes_files_away_is_delivered_once() {
    for present in [false, true] {
        for polls in 1.. {
            let case = format!("dropped at poll {polls}, present {present}");
            let scene = Scene::new();
            if present {
                std::fs::write(scene.local(PLACE), CONTENT).unwrap();
            }
            let mut outcomes = scene.outcomes();
            let mut left = polls;
            let ended = std::future::poll_fn(|context| {
                while left > 0 {
                    left -= 1;
                    match outcomes.poll_next_unpin(context) {
                        std::task::Poll::Ready(None) => return std::task::Poll::Ready(true),
                        std::task::Poll::Ready(Some(_)) => {}
                        std::task::Poll::Pending => return std::task::Poll::Pending,
                    }
                }
                std::task::Poll::Ready(false)
            })
            .await;
            drop(outcomes);
            scene.let_go().await;
            let mut taken = BTreeMap::<String, usize>::new();
            let mut take_away = || {
                for name in scene.names().into_iter().filter(|it| !it.starts_with('.')) {
                    std::fs::remove_file(scene.local(&name)).unwrap();
                    *taken.entry(name).or_default() += 1;
                }
            };
            take_away();
            loop {
                let outcomes = scene.run().await;
                take_away();
                // What was dropped may still be being let go of.
                let in_hand = Status::Skipped(SkipReason::InHand);
                if outcomes.iter().all(|outcome| outcome.status != in_hand) {
                    break;
                }
            }
            let left = scene.server.files(|files| files.file_names());
            assert_eq!(left, [""; 0], "{case}");
            assert_eq!(scene.names(), [""; 0], "{case}");
            // What was there already may have been taken away before it was found to be equal.
            let once = taken == BTreeMap::from([("a".to_owned(), 1)]);
            let before = present && taken == BTreeMap::from([("a".to_owned(), 2)]);
            assert!(once || before, "{case}: {taken:?}");
            if ended {
                assert!(polls > 10, "only {polls} points");
                break;
            }
        }
    }
}
