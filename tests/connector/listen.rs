//! The rows of Listen. Nothing waits for a time to pass: each test waits for an event.

use std::fs;
use std::time::Duration;

use futures_util::StreamExt;
use sansftp_connector::document::Properties;
use sansftp_connector::listen::{ListenEvent, Listening};
use sansftp_connector::operation::{Listen, Operation};
use sansftp_connector::outcome::Status;
use sansftp_connector::sftp::SftpConnect;
use sansftp_connector::{Connector, Destination};

use super::fixture::{World, files, in_time};

/// A listener, and what it has told, apart from its listings.
struct Ear {
    events: Listening,
    heard: Vec<String>,
}

fn read(keys: &str) -> Listen {
    let operation = toml::from_str(&format!("action = 'listen'\n{keys}"));
    match operation.unwrap_or_else(|error| panic!("{error}")) {
        Operation::Listen(listen) => *listen,
        other => panic!("{other:?}"),
    }
}

impl Ear {
    /// With these keys, often and at sight unless they say otherwise.
    fn start(world: &World, keys: &str) -> Self {
        let hasty = [("interval", "10ms"), ("stable-for", "0s")];
        let hasty = hasty.iter().filter(|(key, _)| !keys.contains(key));
        let hasty: String = hasty
            .map(|(key, value)| format!("{key} = '{value}'\n"))
            .collect();
        let mut listen = read(&format!("{hasty}remote-directory = 'out'\n{keys}"));
        listen.get.journal = Some(world.path("journal"));
        let connection = world.connection("");
        let connect = SftpConnect::prepare(&connection, None).unwrap();
        let connector = Connector::new(connect, connection)
            .with_destination(Destination::Directory(world.path("inbox")));
        Self {
            events: connector.listen(listen, Properties::default()),
            heard: Vec::new(),
        }
    }

    async fn next(&mut self) -> Option<ListenEvent> {
        let event = in_time(self.events.next()).await?;
        let name = |file: &Properties| file.text("filename").unwrap_or("-").to_owned();
        match &event {
            ListenEvent::Added(file) | ListenEvent::Modified(file) | ListenEvent::Deleted(file) => {
                self.heard.push(format!("{} {}", event.name(), name(file)));
            }
            ListenEvent::Outcome(outcome) => {
                let name = name(&outcome.properties);
                self.heard.push(match outcome.status {
                    Status::Ok => format!("fetched {name}"),
                    Status::Skipped(reason) => format!("left {name} {}", reason.name()),
                    Status::Failed => format!("failed {name}"),
                });
            }
            _ => {}
        }
        Some(event)
    }

    /// Goes on until this has been told.
    async fn hears(&mut self, what: &str) {
        while !self.heard.iter().any(|told| told == what) {
            let event = self.next().await;
            assert!(event.is_some(), "no {what}: {:?}", self.heard);
        }
    }

    /// Goes on for so many listings.
    async fn polls(&mut self, mut times: usize) {
        while times > 0 {
            match self.next().await {
                Some(ListenEvent::Polled(_)) => times -= 1,
                Some(_) => {}
                None => panic!("it ended: {:?}", self.heard),
            }
        }
    }

    async fn stopped(mut self) -> Vec<String> {
        self.events.stopper().finish();
        while self.next().await.is_some() {}
        self.heard
    }
}

#[tokio::test]
async fn then() {
    for (then, stays) in [
        ("get", &[("done/z", "2"), ("out/a", "1")][..]),
        ("get-and-delete", &[("done/z", "2")]),
        ("get-and-move", &[("done/a", "1"), ("done/z", "2")]),
    ] {
        let world = World::holding(&[("out/a", "1"), ("done/z", "2")]);
        let target = match then {
            "get-and-move" => "move-to-directory = 'done'",
            _ => "",
        };
        let mut ear = Ear::start(&world, &format!("then = '{then}'\n{target}"));
        ear.hears("fetched a").await;
        ear.polls(2).await;
        assert_eq!(ear.stopped().await, ["added a", "fetched a"], "{then}");
        assert_eq!(world.remote(), files(stays), "{then}");
        assert_eq!(world.inbox(), files(&[("a", "1")]), "{then}");
    }
}

#[tokio::test]
async fn interval() {
    assert_eq!(read("").interval, Duration::from_secs(30));
    let world = World::holding(&[("out/a", "1")]);
    let mut ear = Ear::start(&world, "interval = '300ms'\nthen = 'get-and-delete'");
    ear.polls(1).await;
    let begun = std::time::Instant::now();
    world.sshd.write("out/b", "2");
    ear.polls(2).await;
    assert!(begun.elapsed() >= Duration::from_millis(300), "it pauses");
    ear.hears("fetched b").await;
    ear.stopped().await;
}

#[tokio::test]
async fn events() {
    let world = World::holding(&[("out/a", "1"), ("out/b", "1")]);
    let mut ear = Ear::start(&world, "local-if-exists = 'overwrite'");
    ear.hears("fetched b").await;
    world.sshd.write("out/a", "22");
    ear.hears("modified a").await;
    fs::remove_file(world.sshd.home().join("out/b")).unwrap();
    ear.hears("deleted b").await;
    ear.stopped().await;
    assert_eq!(world.inbox(), files(&[("a", "22"), ("b", "1")]));
    let world = World::holding(&[("out/a", "1"), ("out/b", "1")]);
    let mut ear = Ear::start(&world, "events = ['deleted']");
    ear.polls(2).await;
    fs::remove_file(world.sshd.home().join("out/b")).unwrap();
    ear.hears("deleted b").await;
    assert_eq!(ear.stopped().await, ["deleted b"]);
    assert_eq!(world.inbox(), files(&[]), "what is not told is not fetched");
}

#[tokio::test]
async fn stable_for() {
    assert_eq!(
        read("interval = '7s'").get.stable_for,
        Duration::from_secs(7)
    );
    let world = World::holding(&[("out/a", "1")]);
    let mut ear = Ear::start(&world, "stable-for = '1h'");
    ear.polls(3).await;
    assert_eq!(ear.stopped().await, ["left a still changing"]);
    let mut ear = Ear::start(&world, "stable-for = '1ms'");
    ear.polls(1).await;
    assert_eq!(
        ear.heard,
        ["left a still changing"],
        "one look is not enough"
    );
    ear.hears("fetched a").await;
    ear.stopped().await;
}

#[tokio::test]
async fn stop_time() {
    assert_eq!(read("").stop_time, Duration::from_secs(10));
    let world = World::holding(&[("out/a", "1")]);
    let mut ear = Ear::start(&world, "stop-time = '1h'");
    ear.hears("added a").await;
    // It is told before it is taken: nothing is begun any more.
    assert_eq!(ear.stopped().await, ["added a"]);
    assert_eq!(world.inbox(), files(&[]));
    let mut ear = Ear::start(&world, "stop-time = '1h'");
    ear.hears("fetched a").await;
    ear.stopped().await;
}

#[tokio::test]
async fn done_file() {
    let world = World::holding(&[("out/a", "1")]);
    let mut ear = Ear::start(&world, "done-file = '{name}.done'\nthen = 'get-and-delete'");
    ear.polls(2).await;
    assert_eq!(ear.heard, ["left a no done-file"]);
    world.sshd.write("out/a.done", "");
    ear.hears("fetched a").await;
    ear.stopped().await;
    assert_eq!(world.remote(), files(&[]), "it goes with its file");
    assert_eq!(world.inbox(), files(&[("a", "1")]));
}

#[tokio::test]
async fn journal() {
    let world = World::holding(&[("out/a", "1")]);
    let mut ear = Ear::start(&world, "");
    ear.hears("fetched a").await;
    ear.stopped().await;
    world.sshd.write("out/b", "2");
    let mut ear = Ear::start(&world, "");
    ear.hears("fetched b").await;
    assert_eq!(
        ear.stopped().await,
        ["added b", "fetched b"],
        "what it took is known"
    );
}
