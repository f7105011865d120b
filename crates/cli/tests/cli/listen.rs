//! Listen: what is told and fetched as it comes, over restarts, and without doing anything twice.
//!
//! Nothing here waits for a time to pass and hopes: each test waits for an event.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sansftp_testkit::faultproxy::{Direction, Fault, FaultProxy, Plan};
use sansftp_testkit::sshd::HostKey;
use serde_json::Value;

use crate::support::{Scene, files, peak};

/// So long a test waits for an event before it gives up.
const PATIENCE: Duration = Duration::from_secs(120);

/// A listener at work, and what it tells.
struct Ear {
    child: Child,
    events: Receiver<Value>,
    heard: Vec<Value>,
    complaints: Option<thread::JoinHandle<String>>,
}

impl Ear {
    fn start(scene: &Scene, port: u16, flags: &[&str]) -> Self {
        let target = scene.target_at(port, "out");
        let line = scene.sshd.known_hosts_line();
        let (_, bare) = line.split_once(' ').unwrap();
        let words = ["listen", &target, "--json", "-v", "--known-host", bare];
        Self::of(scene, &[&words[..], flags].concat(), &scene.trusted())
    }

    fn of(scene: &Scene, words: &[&str], trusted: &[String]) -> Self {
        let mut program = scene.program();
        program.args(words).args(trusted);
        program.args(["--into", "inbox", "--journal", "journal"]);
        program.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().unwrap();
        let (sender, events) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        thread::spawn(move || {
            for line in lines {
                let event = serde_json::from_str(&line.unwrap()).expect("each line is JSON");
                if sender.send(event).is_err() {
                    break;
                }
            }
        });
        let mut stderr = child.stderr.take().unwrap();
        let complaints = thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        Self {
            child,
            events,
            heard: Vec::new(),
            complaints: Some(complaints),
        }
    }

    /// Waits for an event like this one.
    #[track_caller]
    fn hears(&mut self, what: impl Fn(&Value) -> bool) -> Value {
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(event) => {
                    self.heard.push(event.clone());
                    if what(&event) {
                        return event;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("it was not told: {:#?}", self.heard),
                Err(RecvTimeoutError::Disconnected) => {
                    let complaints = self.complaints.take().unwrap().join().unwrap();
                    panic!("it ended: {complaints} {:#?}", self.heard);
                }
            }
        }
    }

    #[track_caller]
    fn hears_of(&mut self, event: &str, name: &str) -> Value {
        self.hears(|told| told["event"] == event && told["filename"] == name)
    }

    /// Waits until this one is fetched.
    #[track_caller]
    fn fetched(&mut self, name: &str) -> Value {
        self.hears(|told| is_fetched(told) && told["filename"] == name)
    }

    /// Waits until a listing that has not begun yet has been told of, and then another: what was
    /// there before this call has had its chance.
    #[track_caller]
    fn polls(&mut self, times: usize) {
        for _ in 0..times {
            self.hears(|told| told["event"] == "poll");
        }
    }

    fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Waits for its end: the code, everything that it told, and what it complained of.
    fn ended(mut self) -> (ExitStatus, Vec<Value>, String) {
        let status = self.child.wait().unwrap();
        self.heard.extend(self.events.iter());
        let complaints = self.complaints.take().unwrap().join().unwrap();
        assert!(!complaints.contains("panicked"), "{complaints}");
        (status, std::mem::take(&mut self.heard), complaints)
    }

    /// The most memory that it had resident at once, in KiB.
    fn peak(&self) -> u64 {
        peak(self.child.id()).unwrap()
    }

    /// Asks it to end and takes what it has told.
    fn stopped(self) -> Vec<Value> {
        self.signal(Signal::TERM);
        let (status, heard, complaints) = self.ended();
        assert_eq!(status.code(), Some(143), "{complaints} {heard:#?}");
        let last: Vec<&Value> = heard.iter().rev().take(2).map(|it| &it["event"]).collect();
        assert_eq!(last, ["summary", "stopped"]);
        heard
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_fetched(event: &Value) -> bool {
    event["event"] == "outcome" && event["status"] == "ok"
}

/// The names that were fetched, in order.
fn names(heard: &[Value]) -> Vec<&str> {
    let fetched = heard.iter().filter(|event| is_fetched(event));
    fetched.map(|it| it["filename"].as_str().unwrap()).collect()
}

fn of<'a>(heard: &'a [Value], event: &str) -> Vec<&'a str> {
    let told = heard.iter().filter(|told| told["event"] == event);
    told.map(|it| it["filename"].as_str().unwrap_or_default())
        .collect()
}

/// A way to the server that can be shut, which cuts those who are on it, and opened again.
struct Gate {
    port: u16,
    state: Arc<Mutex<Way>>,
}

#[derive(Default)]
struct Way {
    open: bool,
    refused: usize,
    streams: Vec<TcpStream>,
}

impl Gate {
    fn shut_before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(Mutex::new(Way::default()));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.unwrap();
                let mut way = shared.lock().unwrap();
                if !way.open {
                    way.refused += 1;
                    continue;
                }
                let server = TcpStream::connect(server).unwrap();
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Both);
                    });
                }
                way.streams.extend([client, server]);
            }
        });
        Self { port, state }
    }

    fn open(&self) {
        self.state.lock().unwrap().open = true;
    }

    fn shut(&self) {
        let mut way = self.state.lock().unwrap();
        way.open = false;
        for stream in way.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn outbox() -> Scene {
    let scene = Scene::start();
    scene.sshd.mkdir("out");
    scene
}

const QUICK: [&str; 2] = ["--interval", "100ms"];

#[test]
fn what_came_while_nobody_listened_is_found_and_what_was_taken_is_not_taken_again() {
    let scene = outbox();
    scene.sshd.write("out/first", "1");
    let mut ear = Ear::start(&scene, scene.sshd.port(), &QUICK);
    let begun = ear.hears(|told| told["event"] == "listening");
    assert_eq!(begun["interval"], "100ms");
    assert!(begun["journal"].as_str().unwrap().ends_with("journal"));
    ear.hears_of("added", "first");
    ear.fetched("first");
    scene.sshd.write("out/second", "2");
    ear.fetched("second");
    ear.polls(3);
    let heard = ear.stopped();
    assert_eq!(names(&heard), ["first", "second"]);

    scene.sshd.write("out/third", "3");
    let mut ear = Ear::start(&scene, scene.sshd.port(), &QUICK);
    ear.fetched("third");
    ear.polls(3);
    let heard = ear.stopped();
    assert_eq!(names(&heard), ["third"]);
    assert_eq!(of(&heard, "added"), ["third"]);
    let expected = files([("first", "1"), ("second", "2"), ("third", "3")]);
    assert_eq!(scene.inbox(), expected);
    scene.assert_nothing_left_behind();
}

#[test]
fn each_change_is_told_and_a_modified_file_is_fetched_again() {
    let scene = outbox();
    let path = scene.sshd.write("out/a", "one");
    let flags = [&QUICK[..], &["--local-if-exists", "overwrite"]].concat();
    let mut ear = Ear::start(&scene, scene.sshd.port(), &flags);
    ear.fetched("a");
    fs::write(&path, "three").unwrap();
    let modified = ear.hears_of("modified", "a");
    assert_eq!(
        (&modified["size"], &modified["previous-size"]),
        (&5.into(), &3.into())
    );
    ear.fetched("a");
    assert_eq!(scene.inbox(), files([("a", "three")]));
    fs::remove_file(&path).unwrap();
    let deleted = ear.hears_of("deleted", "a");
    assert_eq!(deleted["size"], 5);
    // Deleted while nobody listens.
    let path = scene.sshd.write("out/b", "b");
    ear.fetched("b");
    ear.stopped();
    fs::remove_file(&path).unwrap();
    let mut ear = Ear::start(&scene, scene.sshd.port(), &QUICK);
    ear.hears_of("deleted", "b");
    ear.polls(2);
    let heard = ear.stopped();
    assert_eq!(of(&heard, "deleted"), ["b"]);
    assert!(names(&heard).is_empty());
}

#[test]
fn only_the_changes_that_are_asked_for_are_told_and_acted_on() {
    let scene = outbox();
    let path = scene.sshd.write("out/a", "one");
    let flags = [&QUICK[..], &["--events", "added"]].concat();
    let mut ear = Ear::start(&scene, scene.sshd.port(), &flags);
    ear.fetched("a");
    fs::write(&path, "three").unwrap();
    ear.polls(4);
    fs::remove_file(&path).unwrap();
    scene.sshd.write("out/b", "b");
    ear.fetched("b");
    let heard = ear.stopped();
    assert_eq!(names(&heard), ["a", "b"]);
    assert!(of(&heard, "modified").is_empty() && of(&heard, "deleted").is_empty());
}

#[test]
fn a_file_that_is_being_written_is_not_taken_before_it_keeps_still() {
    const STABLE: Duration = Duration::from_secs(2);
    for _ in 0..20 {
        let scene = outbox();
        let flags = ["--interval", "50ms", "--stable-for", "2s"];
        let mut ear = Ear::start(&scene, scene.sshd.port(), &flags);
        ear.polls(1);
        let path = scene.sshd.write("out/slow", "");
        let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
        let (mut longest, mut before) = (Duration::ZERO, Instant::now());
        for _ in 0..60 {
            thread::sleep(Duration::from_millis(50));
            file.write_all(b"more").unwrap();
            longest = longest.max(before.elapsed());
            before = Instant::now();
        }
        ear.fetched("slow");
        // On a machine that stood still for so long, the file kept still as well.
        if longest >= STABLE {
            continue;
        }
        let heard = ear.stopped();
        assert_eq!(names(&heard), ["slow"]);
        assert_eq!(scene.inbox(), files([("slow", &"more".repeat(60))]));
        let waited = |told: &Value| told["reason"] == "still changing";
        assert!(heard.iter().any(waited), "{heard:#?}");
        return;
    }
    panic!("this machine stood still each time");
}

#[test]
fn what_is_taken_away_is_not_told_as_deleted() {
    let scene = outbox();
    scene.sshd.mkdir("done");
    for (then, flags) in [
        ("get-and-delete", &[][..]),
        ("get-and-move", &["--move-to-directory", "done"][..]),
    ] {
        scene.sshd.write("out/a", then);
        let flags = [
            &QUICK[..],
            &["--then", then, "--local-if-exists", "overwrite"],
            flags,
        ];
        let mut ear = Ear::start(&scene, scene.sshd.port(), &flags.concat());
        ear.fetched("a");
        ear.polls(3);
        let heard = ear.stopped();
        assert!(of(&heard, "deleted").is_empty(), "{heard:#?}");
        assert_eq!(scene.inbox(), files([("a", then)]));
    }
    assert_eq!(scene.remote(), files([("done/a", "get-and-move")]));
}

#[test]
fn a_server_that_is_away_is_waited_for() {
    let scene = outbox();
    scene.sshd.write("out/a", "a");
    let gate = Gate::shut_before(scene.sshd.addr());
    let mut ear = Ear::start(&scene, gate.port, &QUICK);
    let away = ear.hears(|told| told["event"] == "away");
    assert_eq!(away["attempt"], 1);
    assert!(away["next-seconds"].as_f64().unwrap() <= 0.1, "{away}");
    ear.hears(|told| told["event"] == "away" && told["attempt"] == 3);
    gate.open();
    ear.hears(|told| told["event"] == "back");
    ear.fetched("a");
    gate.shut();
    ear.hears(|told| told["event"] == "away");
    scene.sshd.write("out/b", "b");
    gate.open();
    ear.fetched("b");
    let heard = ear.stopped();
    assert_eq!(names(&heard), ["a", "b"]);
    assert!(of(&heard, "deleted").is_empty());
}

#[test]
fn a_session_that_the_server_has_closed_is_no_reason_to_be_away() {
    let scene = outbox();
    let gate = Gate::shut_before(scene.sshd.addr());
    gate.open();
    let mut ear = Ear::start(&scene, gate.port, &QUICK);
    ear.polls(1);
    {
        let mut way = gate.state.lock().unwrap();
        for stream in way.streams.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
    scene.sshd.write("out/a", "a");
    ear.fetched("a");
    let heard = ear.stopped();
    assert!(of(&heard, "away").is_empty(), "{heard:#?}");
}

#[test]
fn a_directory_that_is_missing_is_told_once_and_looked_for_again() {
    let scene = Scene::start();
    let mut ear = Ear::start(&scene, scene.sshd.port(), &QUICK);
    let away = ear.hears(|told| told["event"] == "away");
    assert_eq!(away["error"]["class"], "not-found");
    scene.sshd.mkdir("out");
    scene.sshd.write("out/a", "a");
    ear.hears(|told| told["event"] == "back");
    ear.fetched("a");
    let heard = ear.stopped();
    assert_eq!(of(&heard, "away").len(), 1, "{heard:#?}");
}

#[test]
fn a_refused_login_ends_it_after_one_attempt() {
    let scene = outbox();
    let password = scene.write("password", "wrong");
    let known = format!(
        "--known-hosts-file={}",
        scene.sshd.known_hosts_file().display()
    );
    let flag = format!("--password-file={}", password.display());
    let target = scene.target("out");
    let words = ["listen", &target, "--json", "--interval", "10ms"];
    let (status, heard, complaints) = Ear::of(&scene, &words, &[known, flag]).ended();
    assert_eq!(status.code(), Some(5), "{complaints}");
    let stopped = heard
        .iter()
        .find(|told| told["event"] == "stopped")
        .unwrap();
    assert_eq!(stopped["error"]["class"], "authentication");
    let log = scene.sshd.log();
    let attempts = log
        .lines()
        .filter(|line| line.contains("Failed password"))
        .count();
    assert_eq!(attempts, 1, "{log}");
}

#[test]
fn another_host_key_ends_it() {
    let scene = outbox();
    let other = scene.sshd.known_hosts_line_of(HostKey::Ed25519);
    let (_, key) = other.split_once(' ').unwrap();
    // The same key with its last byte changed: of the right form, and nobody's.
    let changed = match key.ends_with('A') {
        true => format!("{}B", &key[..key.len() - 1]),
        false => format!("{}A", &key[..key.len() - 1]),
    };
    let target = scene.target("out");
    let words = ["listen", &target, "--json", "--known-host", &changed];
    let (status, heard, complaints) = Ear::of(&scene, &words, &scene.trusted()).ended();
    assert_eq!(status.code(), Some(4), "{complaints} {heard:#?}");
}

#[test]
fn the_file_in_hand_is_finished_before_it_ends() {
    let scene = outbox();
    let content = "0123456789abcdef".repeat(1 << 17);
    scene.sshd.write("out/a", &content);
    scene.sshd.write("out/b", "b");
    let slowly = Plan::one(Direction::ToClient, 256 << 10, Fault::Fragment(512));
    let proxy = FaultProxy::start(scene.sshd.addr(), slowly);
    let flags = [
        &QUICK[..],
        &["--stop-time", "10m", "--then", "get-and-delete"],
    ]
    .concat();
    let mut ear = Ear::start(&scene, proxy.port(), &flags);
    ear.hears_of("added", "b");
    until(|| !scene.inbox().is_empty());
    ear.signal(Signal::INT);
    let (status, heard, complaints) = ear.ended();
    assert_eq!(status.code(), Some(130), "{complaints}");
    if names(&heard) == ["a", "b"] {
        // It was done with both before the signal came.
        return;
    }
    assert_eq!(names(&heard), ["a"]);
    assert!(scene.inbox() == files([("a", &content)]));
    assert_eq!(scene.remote(), files([("out/b", "b")]));
}

#[test]
fn the_file_in_hand_is_given_back_when_its_time_is_over() {
    let scene = outbox();
    let content = "0123456789abcdef".repeat(1 << 18);
    scene.sshd.write("out/a", &content);
    let stalled = Plan::one(Direction::ToClient, 1 << 20, Fault::Stall).only(0);
    let proxy = FaultProxy::start(scene.sshd.addr(), stalled);
    let flags = [
        &QUICK[..],
        &["--stop-time", "200ms", "--then", "get-and-delete"],
    ]
    .concat();
    let mut ear = Ear::start(&scene, proxy.port(), &flags);
    ear.hears_of("added", "a");
    until(|| !scene.inbox().is_empty());
    ear.signal(Signal::TERM);
    let (status, heard, complaints) = ear.ended();
    assert_eq!(status.code(), Some(143), "{complaints} {heard:#?}");
    assert!(names(&heard).is_empty());
    assert!(scene.remote() == files([("out/a", &content)]));

    // The same account, which the journal knows the part under: it goes on with that.
    let mut ear = Ear::start(
        &scene,
        proxy.port(),
        &["--interval", "100ms", "--then", "get-and-delete"],
    );
    ear.fetched("a");
    ear.stopped();
    let inbox = scene.inbox();
    let delivered: Vec<_> = inbox
        .iter()
        .map(|(name, text)| (name, text.len()))
        .collect();
    assert_eq!(delivered, [(&b"a".to_vec(), content.len())]);
    assert!(inbox[&b"a"[..]] == content.as_bytes());
    assert!(scene.remote().is_empty());
}

/// Waits for something to happen at either side.
fn until(what: impl Fn() -> bool) {
    until_in(PATIENCE, what);
}

fn until_in(patience: Duration, what: impl Fn() -> bool) {
    let end = Instant::now() + patience;
    while !what() {
        assert!(Instant::now() < end, "it did not come to that");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn two_that_share_a_journal_take_each_file_once() {
    let scene = outbox();
    let flags = [
        "--interval",
        "20ms",
        "--stable-for",
        "0s",
        "--then",
        "get-and-delete",
    ];
    let mut ears = [(); 2].map(|()| Ear::start(&scene, scene.sshd.port(), &flags));
    ears.iter_mut().for_each(|ear| ear.polls(1));
    let mut expected = BTreeMap::new();
    for number in 0..60 {
        let name = format!("f{number:02}");
        scene.write("next", &name);
        // Whole when it appears.
        fs::rename(
            scene.path("next"),
            scene.sshd.home().join("out").join(&name),
        )
        .unwrap();
        expected.insert(name.clone().into_bytes(), name.into_bytes());
    }
    until(|| scene.remote().is_empty());
    let mut fetched: Vec<String> = Vec::new();
    for ear in ears {
        let heard = ear.stopped();
        fetched.extend(names(&heard).into_iter().map(str::to_owned));
    }
    fetched.sort();
    let wanted: Vec<String> = (0..60).map(|number| format!("f{number:02}")).collect();
    assert_eq!(fetched, wanted);
    assert_eq!(scene.inbox(), expected);
}

#[test]
fn one_that_was_killed_goes_on_where_it_was() {
    let scene = outbox();
    let mut expected = BTreeMap::new();
    for number in 0..40 {
        let name = format!("f{number:02}");
        scene.sshd.write(format!("out/{name}"), &name);
        expected.insert(name.clone().into_bytes(), name.into_bytes());
    }
    let flags = [
        "--interval",
        "50ms",
        "--stable-for",
        "0s",
        "--then",
        "get-and-delete",
    ];
    for round in 0..4 {
        let mut ear = Ear::start(&scene, scene.sshd.port(), &flags);
        ear.fetched(&format!("f{:02}", round * 9 + 8));
        ear.signal(Signal::KILL);
        ear.ended();
    }
    let ear = Ear::start(&scene, scene.sshd.port(), &flags);
    until(|| scene.remote().is_empty());
    ear.stopped();
    assert_eq!(scene.inbox(), expected);
    scene.assert_nothing_left_behind();
}

/// More than one answer of a listing holds.
#[test]
fn a_crowded_directory_is_listed_and_nothing_that_is_known_is_looked_at_again() {
    listened_to(2_000);
}

#[test]
#[ignore = "nightly: fifty thousand files"]
fn of_fifty_thousand_files_none_that_is_known_is_looked_at_again() {
    listened_to(50_000);
}

fn listened_to(number: usize) {
    let scene = outbox();
    scene.crowd(number);
    let proxy = FaultProxy::start(scene.sshd.addr(), Plan::none());
    let flags = [
        "--interval",
        "100ms",
        "--stable-for",
        "0s",
        "--events",
        "modified,deleted",
    ];
    let mut ear = Ear::start(&scene, proxy.port(), &flags);
    let first = ear.hears(|told| told["event"] == "poll");
    assert_eq!(
        (&first["listed"], &first["known"]),
        (&number.into(), &number.into())
    );
    // Nobody asked for what is added: nothing is fetched, and each listing is only a listing.
    let settled = ear.hears(|told| told["event"] == "poll");
    assert_eq!(
        (&settled["added"], &settled["taken"]),
        (&0.into(), &0.into())
    );
    let before = proxy.passed(Direction::ToServer);
    const POLLS: u64 = 5;
    ear.polls(POLLS as usize);
    let sent = (proxy.passed(Direction::ToServer) - before) / POLLS;
    // A request of one listing is some 60 bytes and yields about a hundred names.
    let most = (number as u64 / 50 + 20) * 100;
    assert!(
        sent < most,
        "{sent} bytes were sent for a listing of what is known"
    );
    println!(
        "{number} files: {sent} bytes of requests per listing, {} s, peak {} KiB",
        settled["seconds"],
        ear.peak()
    );
    ear.stopped();
    assert!(scene.inbox().is_empty());
}

#[test]
#[ignore = "nightly: fifty thousand files"]
fn fifty_thousand_files_that_are_found_are_fetched_once_and_killed_in_between() {
    let scene = outbox();
    let number = 50_000;
    scene.crowd(number);
    let flags = ["--interval", "1s", "--stable-for", "0s"];
    let mut fetched = 0;
    for _ in 0..3 {
        let mut ear = Ear::start(&scene, scene.sshd.port(), &flags);
        for _ in 0..5_000 {
            ear.hears(is_fetched);
        }
        ear.signal(Signal::KILL);
        let (_, heard, _) = ear.ended();
        fetched += heard.iter().filter(|told| is_fetched(told)).count();
    }
    let start = Instant::now();
    let mut ear = Ear::start(&scene, scene.sshd.port(), &flags);
    until_in(Duration::from_secs(3_600), || {
        fs::read_dir(scene.path("inbox")).unwrap().count() >= number
    });
    // A listing that found nothing to take.
    ear.hears(|told| told["event"] == "poll" && told["taken"] == 0);
    println!(
        "{} files took {:?}, peak {} KiB",
        number - fetched,
        start.elapsed(),
        ear.peak()
    );
    assert!(ear.peak() < 128 * 1024, "{} KiB", ear.peak());
    let heard = ear.stopped();
    fetched += heard.iter().filter(|told| is_fetched(told)).count();
    // What was told of is fetched; of what was delivered when a kill came the outcome may be lost.
    assert!(fetched <= number, "{fetched} outcomes");
    assert!(fetched + 3 * 64 >= number, "{fetched} outcomes");
    let mut names: Vec<_> = scene.inbox().into_keys().collect();
    names.dedup();
    assert_eq!(
        names,
        scene
            .remote()
            .into_keys()
            .map(|it| it[4..].to_vec())
            .collect::<Vec<_>>()
    );
    scene.assert_nothing_left_behind();
}
