//! Get with a journal: whatever is cut off, given up or dropped at whichever point, each file is
//! delivered once, and nothing is deleted that was not delivered.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::mpsc;

use super::*;
use crate::document::Body;
use crate::journal::{Claimed, FetchState, Journal, Query, Received, Source};
use crate::mem::{Fault, HOME, What, When};
use crate::operation::GetAction;
use crate::outcome::{AfterAction, SkipReason};
use crate::path::RemotePath;
use crate::remote::RemoteErrorKind;

const FILES: &[(&str, &str)] = &[("a", "the first of them"), ("b", ""), ("c", "the last")];

/// A server with files in `out`, a local folder, and a journal beside it.
struct Scene {
    server: Server,
    folder: tempfile::TempDir,
    get: Get,
    jobs: NonZeroUsize,
}

impl Scene {
    fn new(behaviour: Behaviour, action: GetAction) -> Self {
        let server = Server::new(Behaviour {
            chunk: 5,
            ..behaviour
        });
        server.files(|files| {
            for (name, content) in FILES {
                files.put(&home(&format!("out/{name}")), *content);
            }
            files.make_directories(home("done").as_bytes());
        });
        let folder = scratch();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        let move_to = (action == GetAction::GetAndMove).then(|| "done".to_owned());
        let get = Get {
            action,
            remote_directory: Some("out".to_owned()),
            force_move: move_to.is_some(),
            move_to_directory: move_to,
            journal: Some(folder.path().join("journal")),
            ..Get::default()
        };
        Self {
            server,
            folder,
            get,
            jobs: NonZeroUsize::MIN,
        }
    }

    fn local_path(&self) -> PathBuf {
        self.folder.path().join("in")
    }

    fn outcomes(&self, retries: u32) -> super::super::Outcomes {
        let connector = Connector::new(self.server.clone(), connection(retries))
            .with_destination(Destination::Directory(self.local_path()))
            .with_jobs(self.jobs);
        let operation = Operation::Get(self.get.clone());
        connector.run(operation, stream::iter([Document::empty()]))
    }

    async fn run(&self, retries: u32) -> Vec<Outcome> {
        self.outcomes(retries).collect().await
    }

    fn local(&self) -> BTreeMap<String, String> {
        let entries = std::fs::read_dir(self.local_path()).unwrap();
        entries
            .map(|entry| {
                let entry = entry.unwrap();
                let content = std::fs::read_to_string(entry.path()).unwrap_or_default();
                (entry.file_name().into_string().unwrap(), content)
            })
            .collect()
    }

    fn at_server(&self, name: &str, content: &str) -> bool {
        ["out", "done"].iter().any(|directory| {
            let path = home(&format!("{directory}/{name}"));
            let content = Some(content.as_bytes());
            self.server.files(|files| files.content(&path) == content)
        })
    }

    /// No file is missing on both sides.
    fn expect_nothing_lost(&self, case: &str) {
        let local = self.local();
        for &(name, content) in FILES {
            let delivered = local.get(name).is_some_and(|there| there == content);
            assert!(
                delivered || self.at_server(name, content),
                "{case}: {name} is on neither side: {local:?}"
            );
        }
    }

    /// Runs until there is nothing left to do, and looks at what then stands on both sides.
    async fn finish(&self, case: &str) {
        for _ in 0..1000 {
            let outcomes = self.run(2).await;
            let done = outcomes.iter().all(|outcome| match outcome.status {
                Status::Ok => true,
                // What was dropped is still being let go of.
                Status::Skipped(reason) => reason != SkipReason::InHand,
                Status::Failed => panic!("{case}: {:?}", outcome.error),
            });
            self.expect_nothing_lost(case);
            if done {
                return self.expect_done(case);
            }
            tokio::task::yield_now().await;
        }
        panic!("{case}: it does not come to an end");
    }

    fn expect_done(&self, case: &str) {
        let local: Vec<(String, String)> = self.local().into_iter().collect();
        let expected: Vec<(String, String)> = FILES
            .iter()
            .map(|&(name, content)| (name.to_owned(), content.to_owned()))
            .collect();
        assert_eq!(local, expected, "{case}");
        let names = self.server.files(|files| files.file_names());
        let directory = match self.get.action {
            GetAction::Get => "out",
            GetAction::GetAndDelete => {
                assert_eq!(names, [""; 0], "{case}");
                return;
            }
            GetAction::GetAndMove => "done",
        };
        let expected: Vec<String> = FILES
            .iter()
            .map(|(name, _)| home(&format!("{directory}/{name}")))
            .collect();
        assert_eq!(names, expected, "{case}");
    }

    /// Waits until a run that was dropped has given back what it had in hand: that of a process that
    /// is killed is free at once.
    async fn let_go(&self) {
        let Ok(journal) = Journal::open_existing(&self.folder.path().join("journal")) else {
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

    fn reads(&self) -> usize {
        let calls = self.server.calls();
        calls
            .iter()
            .filter(|call| call.starts_with("read "))
            .count()
    }

    fn opened(&self, name: &str) -> usize {
        let line = format!("open {}", home(&format!("out/{name}")));
        let calls = self.server.calls();
        calls.iter().filter(|call| **call == line).count()
    }
}

fn home(name: &str) -> String {
    format!("{HOME}/{name}")
}

/// Polls a stream so many times at most, and drops it then.
struct Dropped {
    outcomes: super::super::Outcomes,
    polls: usize,
}

impl Future for Dropped {
    type Output = bool;

    /// Whether it came to its end.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        loop {
            if self.polls == 0 {
                return Poll::Ready(false);
            }
            self.polls -= 1;
            match Pin::new(&mut self.outcomes).poll_next(context) {
                Poll::Ready(None) => return Poll::Ready(true),
                Poll::Ready(Some(_)) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

async fn dropped_at_every_point(behaviour: &Behaviour, action: GetAction, jobs: usize) {
    for polls in 1.. {
        let case = format!("{action} by {jobs} dropped at poll {polls}");
        let mut scene = Scene::new(behaviour.clone(), action);
        scene.jobs = NonZeroUsize::new(jobs).unwrap();
        let outcomes = scene.outcomes(0);
        let ended = Dropped { outcomes, polls }.await;
        scene.expect_nothing_lost(&case);
        scene.finish(&case).await;
        if ended {
            assert!(polls > 20, "only {polls} points");
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_and_delete_that_is_dropped_anywhere_delivers_once() {
    dropped_at_every_point(&Behaviour::openssh(), GetAction::GetAndDelete, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_and_move_that_is_dropped_anywhere_delivers_once() {
    dropped_at_every_point(&Behaviour::openssh(), GetAction::GetAndMove, 1).await;
    let bare = Behaviour::bare(PlainRename::Refuses);
    dropped_at_every_point(&bare, GetAction::GetAndMove, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_hands_that_are_dropped_anywhere_deliver_once() {
    dropped_at_every_point(&Behaviour::openssh(), GetAction::GetAndMove, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_get_that_is_dropped_anywhere_delivers_once() {
    dropped_at_every_point(&Behaviour::openssh(), GetAction::Get, 1).await;
}

/// Killed at every call, before and after its effect, on servers that move in many steps: what the
/// next run leaves at the server is what was to be there, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_get_and_move_that_is_killed_at_any_call_leaves_nothing_beside_its_files() {
    let names = ["refuses", "replaces", "devices", "devices, no extensions"];
    let behaviours = behaviours().into_iter();
    for (name, behaviour) in behaviours.filter(|(name, _)| names.contains(name)) {
        for when in [When::Before, When::After, When::Halfway] {
            for at in 0.. {
                let scene = Scene::new(behaviour.clone(), GetAction::GetAndMove);
                scene
                    .server
                    .files(|files| files.put(&home("done/a"), "what was there"));
                scene.server.hang(at, when);
                let ended = tokio::select! {
                    biased;
                    () = scene.server.hung() => false,
                    _ = scene.run(0) => true,
                };
                if ended {
                    assert!(at > 30, "{name}: only {at} calls");
                    break;
                }
                scene.let_go().await;
                let call = scene.server.calls()[at].clone();
                let case = format!("{name}: killed {when:?} call {at} ({call})");
                scene.expect_nothing_lost(&case);
                scene.finish(&case).await;
            }
        }
    }
}

/// A part that was complete and is spoilt is not read on from, however far it comes.
#[tokio::test]
async fn a_complete_part_that_is_spoilt_in_the_middle_is_read_anew() {
    let scene = Scene::new(Behaviour::openssh(), GetAction::GetAndDelete);
    let content = "0123456789".repeat(20_000);
    scene
        .server
        .files(|files| files.put(&home("out/a"), content.clone()));
    let modified = scene.server.files(|files| files.modified(&home("out/a")));
    let journal = Journal::open(&scene.folder.path().join("journal")).unwrap();
    let source = Source {
        account: connection(0).account(),
        directory: RemotePath::from("/home/user/out"),
        name: "a".into(),
        size: Some(content.len() as u64),
        modified,
    };
    let Claimed::Yours(mut taken) = journal.claim(&source).await.unwrap() else {
        panic!("nobody else has it");
    };
    let real = scene.local_path().canonicalize().unwrap();
    let part = real.join(".a.0f8fad5b-d9cb-469f-a165-70867728950e.part");
    let received = Received {
        size: content.len() as u64,
        modified,
        sha256: [7; 32],
    };
    taken.part(&part).await.unwrap();
    taken
        .fetched(&part, &real.join("a"), received)
        .await
        .unwrap();
    taken.give_back().await.unwrap();
    std::fs::write(&part, content.replacen("0123", "0124", 1)).unwrap();
    let outcomes = scene.run(0).await;
    assert!(outcomes.iter().all(|outcome| outcome.status == Status::Ok));
    let local = scene.local();
    assert!(local["a"] == content, "the spoilt part was delivered");
    assert_eq!(local.len(), FILES.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_lost_connection_at_any_call_the_next_run_delivers_the_rest() {
    for action in [
        GetAction::Get,
        GetAction::GetAndDelete,
        GetAction::GetAndMove,
    ] {
        for when in [When::Before, When::After, When::Halfway] {
            for at in 0.. {
                let scene = Scene::new(Behaviour::bare(PlainRename::Refuses), action);
                let what = What::Disconnect;
                scene.server.fail(Fault { at, when, what });
                scene.run(0).await;
                let calls = scene.server.calls();
                let Some(call) = calls.get(at) else {
                    break;
                };
                let case = format!("{action}: cut off {when:?} call {at} ({call})");
                scene.expect_nothing_lost(&case);
                scene.finish(&case).await;
            }
        }
    }
}

#[tokio::test]
async fn what_was_handled_and_stays_is_not_handled_again() {
    let scene = Scene::new(Behaviour::openssh(), GetAction::Get);
    assert!(scene.run(0).await.iter().all(|o| o.status == Status::Ok));
    std::fs::remove_file(scene.local_path().join("a")).unwrap();
    let again = scene.run(0).await;
    let known = Status::Skipped(SkipReason::AlreadyProcessed);
    assert!(again.iter().all(|outcome| outcome.status == known));
    assert_eq!(scene.opened("a"), 1);
    scene
        .server
        .files(|files| files.put(&home("out/a"), "another"));
    let outcomes = scene.run(0).await;
    let taken = outcomes.iter().filter(|o| o.status == Status::Ok);
    assert_eq!(taken.count(), 1, "with another time it is another file");
}

#[tokio::test]
async fn what_was_handled_does_not_count_against_the_limit() {
    let mut scene = Scene::new(Behaviour::openssh(), GetAction::Get);
    scene.get.max_files = 1;
    for run in 1..=FILES.len() {
        scene.run(0).await;
        assert_eq!(scene.local().len(), run);
    }
    scene.finish("one file per run").await;
}

#[tokio::test]
async fn a_deleted_file_that_comes_again_is_a_new_one() {
    let scene = Scene::new(Behaviour::openssh(), GetAction::GetAndDelete);
    let modified = scene.server.files(|files| files.modified(&home("out/a")));
    scene.run(0).await;
    std::fs::remove_file(scene.local_path().join("a")).unwrap();
    scene.server.files(|files| {
        files.put(&home("out/a"), FILES[0].1);
        files.set_modified(&home("out/a"), modified.unwrap());
    });
    let outcome = good(scene.run(0).await);
    assert_eq!(outcome.after_action, AfterAction::Deleted);
    scene.expect_done("again");
}

/// What an interrupted run leaves: the first file half read. The others were delivered.
async fn interrupted(scene: &mut Scene) {
    scene.get.file_filter = Some("!a".to_owned());
    scene.run(0).await;
    scene.get.file_filter = Some("a".to_owned());
    let server = &scene.server;
    let calls = server.calls().len();
    // connect, realpath, list, readdir, readdir, then open, fstat, read, read.
    let at = calls + 8;
    let (when, what) = (When::Before, What::Disconnect);
    server.fail(Fault { at, when, what });
    scene.run(0).await;
    assert!(
        server.calls()[at].starts_with("read "),
        "{:?}",
        server.calls()
    );
    scene.get.file_filter = None;
}

#[tokio::test]
async fn the_next_run_reads_on_behind_the_part_that_is_there() {
    let scene = Scene::new(Behaviour::openssh(), GetAction::GetAndDelete);
    scene.server.files(|files| {
        files.put(&home("out/a"), "0123456789".repeat(20_000));
    });
    let calls = scene.server.calls().len();
    let (when, what) = (When::Before, What::Disconnect);
    let at = calls + 8 + 30_000;
    scene.server.fail(Fault { at, when, what });
    scene.run(0).await;
    let before = scene.reads();
    let parts: Vec<String> = scene.local().into_keys().collect();
    assert!(parts[0].ends_with(".part"), "{parts:?}");
    let outcomes = scene.run(0).await;
    assert!(outcomes.iter().all(|outcome| outcome.status == Status::Ok));
    // 40,000 reads are the file, and 64 KiB of the part are compared.
    let again = scene.reads() - before;
    assert!(again < 10_000 + 15_000, "{again} reads");
    let local = scene.local();
    assert_eq!(local["a"], "0123456789".repeat(20_000));
    assert_eq!(local.len(), FILES.len());
}

#[tokio::test]
async fn a_part_that_is_not_what_the_server_has_is_read_anew() {
    for resume in [true, false] {
        let mut scene = Scene::new(Behaviour::openssh(), GetAction::GetAndDelete);
        interrupted(&mut scene).await;
        scene.get.resume = resume;
        let mut parts = scene.local().into_keys();
        let part = parts.find(|name| name.ends_with(".part")).unwrap();
        std::fs::write(scene.local_path().join(part), "spoilt").unwrap();
        scene.finish("spoilt").await;
    }
}

#[tokio::test]
async fn a_part_whose_file_is_gone_is_removed() {
    let mut scene = Scene::new(Behaviour::openssh(), GetAction::GetAndDelete);
    interrupted(&mut scene).await;
    scene.server.files(|files| files.delete(&home("out/a")));
    assert_eq!(scene.local().len(), FILES.len());
    let outcomes = scene.run(0).await;
    assert!(outcomes.is_empty(), "the others were delivered before");
    let names: Vec<String> = scene.local().into_keys().collect();
    assert_eq!(names, ["b", "c"]);
    let journal = Journal::open(&scene.folder.path().join("journal")).unwrap();
    let account = connection(0).account();
    let directory = RemotePath::from("/home/user/out");
    let unfinished = journal.unfinished(&account, &directory).await.unwrap();
    assert!(unfinished.is_empty(), "{unfinished:?}");
}

#[tokio::test]
async fn an_after_action_that_is_due_is_done_by_the_next_run_without_another_fetch() {
    for action in [GetAction::GetAndDelete, GetAction::GetAndMove] {
        let scene = Scene::new(Behaviour::openssh(), action);
        let retries = ["remove", "posix-rename", "rename"];
        for call in retries {
            scene.server.refuse(call, RemoteErrorKind::Permission);
        }
        let outcomes = scene.run(0).await;
        assert!(
            outcomes
                .iter()
                .all(|o| o.delivered && o.status == Status::Failed)
        );
        scene.server.allow_all();
        let outcomes = scene.run(0).await;
        assert!(
            outcomes
                .iter()
                .all(|o| o.delivered && o.status == Status::Ok)
        );
        assert_eq!(scene.opened("a"), 1);
        scene.expect_done("after");
    }
}

#[tokio::test]
async fn a_source_that_was_taken_away_after_delivery_is_settled() {
    let scene = Scene::new(Behaviour::openssh(), GetAction::GetAndDelete);
    scene.server.refuse("remove", RemoteErrorKind::Permission);
    scene.run(0).await;
    scene.server.files(|files| files.delete(&home("out/a")));
    scene.server.allow_all();
    let outcomes = scene.run(0).await;
    assert_eq!(outcomes.len(), FILES.len());
    assert!(outcomes.iter().all(|outcome| outcome.status == Status::Ok));
    scene.expect_done("gone");
}

#[tokio::test]
async fn a_file_that_grew_since_it_was_listed_is_left_for_another_run() {
    let scene = Scene::new(Behaviour::openssh(), GetAction::GetAndDelete);
    let grown = "the first of them, and more";
    scene
        .server
        .before("open", move |files| files.put(&home("out/a"), grown));
    let outcomes = scene.run(0).await;
    assert_eq!(class(failed_only(outcomes)), Class::Integrity);
    let outcome = good(scene.run(0).await);
    assert_eq!(outcome.after_action, AfterAction::Deleted);
    assert_eq!(scene.local()["a"], grown);
}

#[tokio::test]
async fn two_gets_with_one_journal_never_take_the_same_file() {
    let scene = Scene::new(Behaviour::openssh(), GetAction::Get);
    let (one, two) = tokio::join!(scene.run(0), scene.run(0));
    let taken = |outcomes: &[Outcome]| {
        let ok = outcomes.iter().filter(|o| o.status == Status::Ok);
        ok.count()
    };
    assert_eq!(taken(&one) + taken(&two), FILES.len());
    for (name, _) in FILES {
        assert_eq!(scene.opened(name), 1, "{name}");
    }
}

#[tokio::test]
async fn a_receiver_meets_the_same_id_again_until_it_confirmed() {
    let scene = Scene::new(Behaviour::openssh(), GetAction::Get);
    let mut ids = Vec::new();
    for confirm in [false, true] {
        let (sender, mut receiver) = mpsc::channel::<Document>(1);
        let connector = Connector::new(scene.server.clone(), connection(0))
            .with_destination(Destination::Documents(sender));
        let operation = Operation::Get(scene.get.clone());
        let outcomes = connector.run(operation, stream::iter([Document::empty()]));
        drop(connector);
        let receiving = async {
            while let Some(document) = receiver.recv().await {
                let Body::Stream(mut body) = document.body else {
                    panic!("a body that is not on its way");
                };
                while let Some(chunk) = body.next().await {
                    chunk.unwrap();
                }
                let id = document.properties.text("delivery-id").unwrap().to_owned();
                assert_eq!(document.properties.text("document-id"), Some(id.as_str()));
                ids.push(id);
                if confirm {
                    document.delivery.unwrap().confirm();
                }
            }
        };
        let (outcomes, ()) = tokio::join!(outcomes.collect::<Vec<Outcome>>(), receiving);
        assert!(outcomes.iter().all(|outcome| outcome.delivered == confirm));
    }
    assert_eq!(ids.len(), 2 * FILES.len());
    assert_eq!(ids[..FILES.len()], ids[FILES.len()..]);
    let journal = Journal::open(&scene.folder.path().join("journal")).unwrap();
    let directory = RemotePath::from("/home/user/out");
    let account = connection(0).account();
    let unfinished = journal.unfinished(&account, &directory);
    assert!(unfinished.await.unwrap().is_empty());
}

#[tokio::test]
async fn a_name_that_is_taken_after_the_fetch_fails_and_leaves_no_part() {
    let mut scene = Scene::new(Behaviour::openssh(), GetAction::GetAndDelete);
    scene.get.max_files = 1;
    let other = FILES[0].1.to_uppercase();
    std::fs::write(scene.local_path().join("a"), &other).unwrap();
    assert_eq!(class(failed_only(scene.run(0).await)), Class::Exists);
    assert_eq!(scene.local().into_values().collect::<Vec<_>>(), [other]);
    let journal = Journal::open(&scene.folder.path().join("journal")).unwrap();
    let directory = RemotePath::from("/home/user/out");
    let account = connection(0).account();
    let unfinished = journal.unfinished(&account, &directory);
    let unfinished = unfinished.await.unwrap();
    assert!(matches!(unfinished[0].state, FetchState::Claimed { .. }));
}

fn failed_only(outcomes: Vec<Outcome>) -> Vec<Outcome> {
    let failed = outcomes.into_iter();
    failed.filter(|o| o.status == Status::Failed).collect()
}
