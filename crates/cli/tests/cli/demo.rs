//! `demo`: it comes to its end, is quick, and leaves nothing behind, however it ends.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::served::Place;

/// The demonstration's place, in which nothing may appear.
fn assert_untouched(place: &Place) {
    assert!(place.tree("tmp").is_empty(), "{:?}", place.tree("tmp"));
    let home = place.tree("");
    assert_eq!(home.len(), 4, "files, tmp, key and key.pub: {home:?}");
}

#[test]
fn it_shows_each_step_and_leaves_nothing_behind() {
    let place = Place::new();
    let begun = Instant::now();
    let told = place.run(&["demo"]).done();
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    for words in [
        "$ sansftp serve server ",
        "known-host = \"ssh-ed25519 AAAA",
        "$ sansftp send demo:in orders.csv invoice.pdf photos.tar ",
        "orders1.csv -> /in",
        "$ sansftp get demo:in --into inbox --file-filter '*.tar' --action get-and-move ",
        "moved to /done",
        "sha256=",
        "local-file=inbox/photos.tar",
        "all are equal",
        "nothing is left behind",
    ] {
        assert!(told.stdout.contains(words), "no {words}: {told:?}");
    }
    assert_untouched(&place);
}

#[test]
fn its_events_are_those_of_the_commands() {
    let place = Place::new();
    // What the tester has configured is not asked.
    let mut program = place.program();
    program
        .args(["demo", "--json"])
        .env("SANSFTP_PASSWORD", "wrong")
        .env("SANSFTP_CONFIG", "absent.toml");
    let told = crate::served::ran(&mut program).done();
    let events = told.events();
    let of = |name: &str| -> Vec<&Value> {
        events
            .iter()
            .filter(|event| event["event"] == name)
            .collect()
    };
    assert!(of("step").iter().any(|step| step["command"].is_string()));
    let moved = of("outcome")
        .into_iter()
        .find(|it| it["after-action"] == "moved")
        .unwrap();
    assert_eq!(
        (&moved["filename"], &moved["size"]),
        (&"photos.tar".into(), &(48 << 20).into())
    );
    assert_eq!(moved["host"], "127.0.0.1");
    let summary = events.last().unwrap();
    assert_eq!(summary["failed"], 0);
    assert!(summary["bytes"].as_u64().unwrap() > 96 << 20);
    assert_untouched(&place);
}

#[test]
fn interrupted_at_any_time_it_leaves_nothing_behind() {
    for wait in [0, 40, 120, 250, 400, 600] {
        let place = Place::new();
        let mut program = place.program();
        program
            .arg("demo")
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let child = program.spawn().unwrap();
        // Before it catches signals there is nothing to be cleaned up, and nothing that cleans up.
        let end = Instant::now() + Duration::from_secs(20);
        while place.tree("tmp").is_empty() && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(wait));
        let id = i32::try_from(child.id()).unwrap();
        // It may have come to its end already.
        let _ = kill_process(Pid::from_raw(id).unwrap(), Signal::INT);
        let output = child.wait_with_output().unwrap();
        let code = output.status.code();
        assert!(code == Some(130) || code == Some(0), "{wait}: {output:?}");
        assert_untouched(&place);
    }
}

#[test]
fn without_a_temporary_folder_it_says_so() {
    let place = Place::new();
    let mut program = place.program();
    program.arg("demo").env("TMPDIR", place.path("absent"));
    crate::served::ran(&mut program).failed(1, "local-io", &["absent"]);
    // Root writes wherever it likes.
    if !rustix::process::geteuid().is_root() {
        fs::set_permissions(place.path("tmp"), fs::Permissions::from_mode(0o500)).unwrap();
        place.run(&["demo"]).failed(1, "local-io", &["folder"]);
    }
}
