//! Listening on a server in memory, by a clock that only runs when everybody waits: a fault at
//! every call, refusals, and what is known over a restart.

use std::path::PathBuf;

use futures_util::StreamExt;

use super::*;
use crate::document::Properties;
use crate::journal::{Journal, Query};
use crate::listen::{ListenEvent, Listening};
use crate::mem::{Fault, What, When};
use crate::operation::{Change, GetAction, Listen};
use crate::remote::RemoteErrorKind;

/// A server, a local directory and a journal.
struct Scene {
    server: Server,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self::on(Behaviour::openssh())
    }

    fn on(behaviour: Behaviour) -> Self {
        let server = Server::new(behaviour);
        server.files(|files| {
            files.make_directories(b"/home/user/out");
        });
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        Self { server, folder }
    }

    fn put(&self, name: &str, content: &str) {
        let path = format!("/home/user/out/{name}");
        self.server.files(|files| files.put(&path, content));
    }

    fn options(&self, action: GetAction) -> Listen {
        let mut listen = Listen::default();
        listen.get.action = action;
        listen.get.remote_directory = Some("out".to_owned());
        listen.get.journal = Some(self.folder.path().join("journal"));
        listen
    }

    fn listen(&self, listen: Listen) -> Ear {
        let into = Destination::Directory(self.inbox());
        let connector = Connector::new(self.server.clone(), connection(2)).with_destination(into);
        Ear {
            events: connector.listen(listen, Properties::default()),
            heard: Vec::new(),
        }
    }

    fn inbox(&self) -> PathBuf {
        self.folder.path().join("in")
    }

    /// Names and contents that were delivered.
    fn delivered(&self) -> Vec<(String, String)> {
        let mut found: Vec<_> = std::fs::read_dir(self.inbox())
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, std::fs::read_to_string(path).unwrap())
            })
            .collect();
        found.sort();
        found
    }
}

/// A listener and what it has told.
struct Ear {
    events: Listening,
    heard: Vec<String>,
}

impl Ear {
    /// Goes on until this many listings have been told of.
    async fn polls(&mut self, mut times: usize) {
        while times > 0 {
            match self.next().await {
                Some(ListenEvent::Polled(_)) => times -= 1,
                Some(_) => {}
                None => panic!("it ended: {:?}", self.heard),
            }
        }
    }

    async fn next(&mut self) -> Option<ListenEvent> {
        let event = self.events.next().await?;
        let name = |file: &Properties| file.text("filename").unwrap_or_default().to_owned();
        match &event {
            ListenEvent::Added(file) | ListenEvent::Modified(file) | ListenEvent::Deleted(file) => {
                self.heard.push(format!("{} {}", event.name(), name(file)));
            }
            ListenEvent::Outcome(outcome) => match outcome.status {
                Status::Ok => self
                    .heard
                    .push(format!("fetched {}", name(&outcome.properties))),
                Status::Failed => self
                    .heard
                    .push(format!("failed {}", name(&outcome.properties))),
                Status::Skipped(_) => {}
            },
            ListenEvent::Away(away) => self.heard.push(format!("away {}", away.error.class())),
            ListenEvent::Back(_) => self.heard.push("back".to_owned()),
            _ => {}
        }
        Some(event)
    }

    /// Asks it to end and waits for that; why it ended, if not for that.
    async fn stopped(mut self) -> (Vec<String>, Option<Class>) {
        self.events.stopper().finish();
        self.ended().await
    }

    async fn ended(&mut self) -> (Vec<String>, Option<Class>) {
        loop {
            match self.next().await {
                Some(ListenEvent::Stopped(error)) => {
                    assert!(self.next().await.is_none());
                    let class = error.map(|error| error.class());
                    return (std::mem::take(&mut self.heard), class);
                }
                Some(_) => {}
                None => panic!("it ended without a word"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_is_told_and_taken_at_the_poll_after_the_one_that_found_it() {
    let scene = Scene::new();
    scene.put("a", "alpha");
    let mut ear = scene.listen(scene.options(GetAction::Get));
    ear.polls(1).await;
    assert!(ear.heard.is_empty());
    ear.polls(2).await;
    assert_eq!(ear.heard, ["added a", "fetched a"]);
    scene.put("a", "alpha and more");
    ear.polls(1).await;
    scene.put("a", "alpha and more and more");
    ear.polls(1).await;
    assert_eq!(ear.heard.len(), 2, "it still changed");
    scene.server.files(|files| files.delete("/home/user/out/a"));
    ear.polls(1).await;
    let (heard, class) = ear.stopped().await;
    assert_eq!(heard, ["added a", "fetched a", "deleted a"]);
    assert_eq!(class, None);
}

#[tokio::test(start_paused = true)]
async fn the_connectors_own_canceller_ends_it_too() {
    let scene = Scene::new();
    let into = Destination::Directory(scene.inbox());
    let connector = Connector::new(scene.server.clone(), connection(2)).with_destination(into);
    let mut ear = Ear {
        events: connector.listen(scene.options(GetAction::Get), Properties::default()),
        heard: Vec::new(),
    };
    ear.polls(1).await;
    connector.canceller().cancel();
    assert_eq!(ear.ended().await, (Vec::new(), None));
}

#[tokio::test(start_paused = true)]
async fn what_is_known_is_not_opened_and_not_looked_at_again() {
    let scene = Scene::new();
    for number in 0..50 {
        scene.put(&format!("f{number}"), "content");
    }
    let mut ear = scene.listen(scene.options(GetAction::Get));
    ear.polls(3).await;
    let before = scene.server.calls().len();
    ear.polls(4).await;
    let calls = scene.server.calls().split_off(before);
    let others: Vec<_> = calls
        .iter()
        .filter(|call| !call.starts_with("list ") && !call.starts_with("readdir "))
        .collect();
    assert!(others.is_empty(), "{others:?}");
    ear.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn the_done_file_of_what_was_taken_is_not_looked_for_again() {
    // A listing that never has a file and its done-file in one answer.
    let scene = Scene::on(Behaviour {
        batch: 1,
        ..Behaviour::openssh()
    });
    for name in ["a", "a.done", "b", "b.done"] {
        scene.put(name, name);
    }
    let mut listen = scene.options(GetAction::Get);
    listen.get.done_file = Some("{name}.done".to_owned());
    let mut ear = scene.listen(listen);
    ear.polls(3).await;
    assert!(
        ear.heard.contains(&"fetched b".to_owned()),
        "{:?}",
        ear.heard
    );
    let looks = |from: usize| {
        let calls = scene.server.calls().split_off(from);
        calls
            .iter()
            .filter(|call| call.starts_with("lstat "))
            .count()
    };
    let before = scene.server.calls().len();
    ear.polls(3).await;
    assert_eq!(looks(before), 0);
    let before = scene.server.calls().len();
    scene.put("a", "another a");
    ear.polls(3).await;
    assert!(
        looks(before) > 0,
        "a new version waits for its done-file again"
    );
    ear.stopped().await;
}

/// By the real clock, which a thread with an unfinished file does not stop.
#[tokio::test]
async fn what_was_not_begun_when_the_server_went_away_has_not_failed() {
    let scene = Scene::new();
    let names = ["a", "b", "c", "d"];
    for name in names {
        scene.put(name, name);
    }
    let mut listen = scene.options(GetAction::Get);
    listen.interval = Duration::from_millis(1);
    listen.get.stable_for = listen.interval;
    let mut ear = scene.listen(listen);
    ear.polls(1).await;
    scene.server.refuse("connect", RemoteErrorKind::Failure);
    scene.server.cut_after("open ", 1);
    while !ear.heard.iter().any(|it| it.starts_with("away ")) {
        assert!(ear.next().await.is_some());
    }
    let failed: Vec<_> = ear
        .heard
        .iter()
        .filter(|it| it.starts_with("failed"))
        .collect();
    assert_eq!(failed, ["failed a"], "{:?}", ear.heard);
    scene.server.allow_all();
    while scene.delivered().len() < names.len() {
        assert!(ear.next().await.is_some());
    }
    let (heard, class) = ear.stopped().await;
    assert!(heard.contains(&"back".to_owned()), "{heard:?}");
    assert_eq!(class, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_known_survives_a_listener_and_nothing_is_fetched_twice() {
    let scene = Scene::new();
    scene.put("a", "alpha");
    scene.put("b", "beta");
    let mut ear = scene.listen(scene.options(GetAction::Get));
    ear.polls(3).await;
    drop(ear);
    scene.server.files(|files| files.delete("/home/user/out/b"));
    scene.put("c", "gamma");
    let mut ear = scene.listen(scene.options(GetAction::Get));
    ear.polls(3).await;
    let (heard, _) = ear.stopped().await;
    assert_eq!(heard, ["deleted b", "added c", "fetched c"]);
}

#[tokio::test(start_paused = true)]
async fn events_that_nobody_asked_for_are_not_told_and_their_files_not_fetched() {
    let scene = Scene::new();
    scene.put("a", "alpha");
    let mut listen = scene.options(GetAction::Get);
    listen.events = vec![Change::Modified];
    let mut ear = scene.listen(listen);
    ear.polls(3).await;
    assert!(ear.heard.is_empty());
    scene.put("a", "alpha and more");
    ear.polls(3).await;
    let (heard, _) = ear.stopped().await;
    assert_eq!(heard, ["modified a", "fetched a"]);
}

#[tokio::test(start_paused = true)]
async fn at_most_so_many_are_taken_per_poll_and_the_rest_later() {
    let scene = Scene::new();
    for name in ["a", "b", "c", "d", "e"] {
        scene.put(name, name);
    }
    let mut listen = scene.options(GetAction::GetAndDelete);
    listen.get.max_files = 2;
    let mut ear = scene.listen(listen);
    ear.polls(3).await;
    let fetched = |ear: &Ear| {
        ear.heard
            .iter()
            .filter(|it| it.starts_with("fetched"))
            .count()
    };
    assert_eq!(fetched(&ear), 2);
    ear.polls(2).await;
    assert_eq!(fetched(&ear), 5);
    ear.stopped().await;
    assert_eq!(scene.delivered().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_fetched_is_tried_less_and_less_often() {
    let scene = Scene::new();
    scene.put("a", "alpha");
    std::fs::write(scene.inbox().join("a"), "another").unwrap();
    let mut ear = scene.listen(scene.options(GetAction::Get));
    ear.polls(60).await;
    let (heard, _) = ear.stopped().await;
    let failed = heard.iter().filter(|told| *told == "failed a").count();
    // At polls 2, 3, 5, 9, 17, 27, 37, 47, 57.
    assert_eq!(failed, 9, "{heard:?}");
}

/// A lost connection at every call in turn: whatever happens, in the end each file was delivered
/// once, whole, and nothing is left. By the real clock: that of the others stands still while a
/// thread has an unfinished file, and so would the wait before the next try.
#[tokio::test]
async fn a_connection_that_is_lost_at_any_call_costs_nothing_but_time() {
    for when in [When::Before, When::After] {
        for number in 0..40 {
            let scene = Scene::new();
            scene.put("a", "alpha");
            scene.put("b", "beta");
            let mut listen = scene.options(GetAction::GetAndDelete);
            listen.interval = Duration::from_millis(1);
            listen.get.stable_for = listen.interval;
            let mut ear = scene.listen(listen);
            scene.server.fail(Fault {
                at: number,
                when,
                what: What::Disconnect,
            });
            while !["fetched a", "fetched b"]
                .iter()
                .all(|it| ear.heard.iter().any(|told| told == it))
            {
                ear.polls(1).await;
            }
            ear.polls(2).await;
            let (heard, class) = ear.stopped().await;
            assert_eq!(class, None);
            let case = format!("{when:?} {number}: {heard:?}");
            for name in ["a", "b"] {
                let fetched = heard
                    .iter()
                    .filter(|it| **it == format!("fetched {name}"))
                    .count();
                assert!(fetched <= 1, "{case}");
            }
            let expected = [("a", "alpha"), ("b", "beta")];
            let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
            assert_eq!(scene.delivered(), expected, "{case}");
            let left = scene.server.files(|files| files.file_names());
            assert!(left.is_empty(), "{case}: {left:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_is_closed_is_told_once_and_its_files_are_not_deleted() {
    let scene = Scene::new();
    scene.put("a", "alpha");
    let mut ear = scene.listen(scene.options(GetAction::Get));
    ear.polls(3).await;
    let refused = RemoteErrorKind::Permission;
    scene.server.refuse("list /home/user/out", refused);
    let before = scene.server.calls().len();
    let patience = Duration::from_secs(200);
    assert!(tokio::time::timeout(patience, ear.polls(1)).await.is_err());
    let asked = scene.server.calls().split_off(before);
    let lists = asked
        .iter()
        .filter(|call| call.starts_with("list "))
        .count();
    assert!(
        lists >= 6,
        "it was not asked for at each interval: {asked:?}"
    );
    let (heard, class) = ear.stopped().await;
    assert_eq!(heard, ["added a", "fetched a", "away permission"]);
    assert_eq!(class, None);
}

#[tokio::test(start_paused = true)]
async fn a_listener_is_rid_of_old_entries_each_day_and_not_only_when_it_starts() {
    let scene = Scene::new();
    scene.put("a", "first");
    let mut options = scene.options(GetAction::GetAndDelete);
    options.interval = Duration::from_secs(60 * 60);
    options.get.stable_for = Duration::ZERO;
    options.get.journal_keep = Some(Duration::from_millis(1));
    let mut ear = scene.listen(options);
    ear.polls(2).await;
    assert_eq!(scene.delivered().len(), 1);
    let journal = Journal::open(&scene.folder.path().join("journal")).unwrap();
    let entries = async || {
        let query = Query::default();
        let all = journal.entries(&query, None, 10);
        all.await.unwrap().len()
    };
    assert_eq!(entries().await, 1);
    // The journal counts by the time of day, which does not stand still.
    std::thread::sleep(Duration::from_millis(10));
    ear.polls(26).await;
    assert_eq!(entries().await, 0);
}
