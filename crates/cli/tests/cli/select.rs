//! Which entries are shown or taken, why the others are not, and what is deleted by name.

use std::fs::{self, File};
use std::thread;
use std::time::Duration;

use crate::support::{Ran, Scene, files, peak};

fn outbox() -> Scene {
    let scene = Scene::start();
    scene.sshd.write("out/a.csv", "alpha");
    scene.sshd.write("out/b.csv", "");
    scene.sshd.write("out/sub/c.csv", "gamma");
    scene.sshd.write("out/.hidden", "x");
    scene
}

fn list(scene: &Scene, flags: &[&str]) -> Ran {
    let target = scene.target("out");
    scene.run(&[&["list", &target], flags].concat())
}

/// The last word of each line: names without blanks.
fn names(ran: &Ran) -> Vec<&str> {
    let lines = ran.stdout.lines();
    lines
        .filter_map(|line| line.split_whitespace().last())
        .collect()
}

#[test]
fn a_listing_goes_down_filters_and_says_beside_it_what_was_left_out() {
    let scene = outbox();
    let ran = list(&scene, &["--sort", "name"]).with_code(0);
    assert_eq!(names(&ran), ["a.csv", "b.csv", "sub"]);
    assert_eq!(ran.stderr, "3 shown, 1 skipped (hidden)\n");
    let ran = list(&scene, &["--recursive", "--sort", "name", "--quiet"]).with_code(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.as_str()), ("", ""));
    let ran = list(&scene, &["--recursive", "--sort", "name"]).with_code(0);
    assert_eq!(names(&ran), ["a.csv", "b.csv", "sub", "sub/c.csv"]);
    let filter = r#"not is-directory and size > 0 and name ~ "*.csv""#;
    let ran = list(
        &scene,
        &["--recursive", "--sort", "name", "--filter", filter],
    )
    .with_code(0);
    assert_eq!(names(&ran), ["a.csv", "sub/c.csv"]);
    let ran = list(
        &scene,
        &["--hidden", "--max-files", "1", "--sort", "size", "-v"],
    )
    .with_code(0);
    let left: Vec<_> = ran
        .stdout
        .lines()
        .filter(|it| it.contains("skipped: limit"))
        .collect();
    assert_eq!(left.len(), 3, "{ran:?}");
}

#[test]
fn each_entry_that_is_not_taken_says_why_in_json() {
    let scene = outbox();
    let flags = ["--json", "--filter", "size > 0", "--min-age", "0s"];
    let ran = scene.get("out", &flags).done();
    let mut reasons = Vec::new();
    for event in ran.events() {
        if let Some(reason) = event["reason"].as_str() {
            reasons.push((
                event["filename"].as_str().unwrap().to_owned(),
                reason.to_owned(),
            ));
        }
    }
    reasons.sort();
    let expected = [
        (".hidden", "hidden"),
        ("b.csv", "filtered"),
        ("sub", "directory"),
    ];
    let expected = expected.map(|(name, reason)| (name.to_owned(), reason.to_owned()));
    assert_eq!(reasons, expected);
    let young = scene.get("out", &["--min-age", "1h"]).done();
    assert!(young.stdout.contains("2 skipped (too young)"), "{young:?}");
}

#[test]
fn a_broken_expression_is_refused_with_the_place_before_anyone_is_asked() {
    let scene = Scene::start();
    let ran = scene.get("", &["--filter", "size >> 1"]).with_code(2);
    assert!(
        ran.stderr
            .contains("at character 7 of the filter: expected a size"),
        "{ran:?}"
    );
    scene.write(
        "sansftp.toml",
        "[connections.a]\nhost = 'h'\n[operations.o]\naction = 'list'\nfilter = 'age > x'\n",
    );
    scene.run_bare(&["list", "a", "--operation", "o"]).failed(
        2,
        "configuration",
        &["sansftp.toml:5", "filter", "character 7"],
    );
}

#[test]
fn delete_takes_names_and_says_of_each_what_became_of_it() {
    let scene = outbox();
    let target = scene.target("out");
    let ran = scene
        .run(&["delete", &target, "a.csv", "gone.csv", "sub"])
        .with_code(1);
    assert!(ran.stdout.contains("a.csv, deleted"), "{ran:?}");
    assert!(
        ran.stderr.contains("error (not-found): gone.csv"),
        "{ran:?}"
    );
    assert!(
        ran.stderr.contains("sub is a directory, and stays"),
        "{ran:?}"
    );
    assert!(ran.stdout.contains("1 deleted, 2 failed"), "{ran:?}");
    let ran = scene
        .run(&["delete", &target, "gone.csv", "--missing-ok"])
        .done();
    assert!(ran.stdout.contains("gone.csv, was not there"), "{ran:?}");
    scene
        .run(&["delete", &target, "sub/c.csv"])
        .failed(2, "configuration", &["sub/c.csv", "no base name"])
        .with_hint("remote-directory");
    scene.sshd.mkdir("out/empty");
    scene
        .run(&["delete", &target, "empty", "--directories", "--json"])
        .done();
    assert_eq!(
        scene.remote(),
        files([
            ("out/.hidden", "x"),
            ("out/b.csv", ""),
            ("out/sub/c.csv", "gamma")
        ])
    );
    scene.write(
        "sansftp.toml",
        "[operations.d]\naction = 'delete'\nmissing-ok = true\n",
    );
    scene
        .run(&["delete", &target, "nothing", "--operation", "d"])
        .done();
}

#[test]
#[ignore = "nightly: fifty thousand files"]
fn fifty_thousand_files_are_listed_and_ten_of_them_chosen_in_bounded_memory() {
    let scene = Scene::start();
    scene.crowd(50_000);
    let told = |words: &[&str]| {
        let out = scene.path("told");
        let mut program = scene.program();
        program.args(words).args(scene.trusted());
        program.stdout(File::create(&out).unwrap());
        let mut child = program.spawn().unwrap();
        let mut most = 0;
        let status = loop {
            // Gone with the process; what was seen last is what it came to.
            most = peak(child.id()).unwrap_or(most);
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            thread::sleep(Duration::from_millis(2));
        };
        assert!(status.success(), "{words:?}");
        println!("{}: {most} KiB", words[0]);
        assert!((1..48 * 1024).contains(&most), "{words:?}: {most} KiB");
        fs::read_to_string(out).unwrap()
    };
    let target = scene.target("out");
    let ten = [
        "--max-files",
        "10",
        "--sort",
        "-modified",
        "--into",
        "inbox",
    ];
    told(&[&["get", &target], &ten[..]].concat());
    assert_eq!(scene.inbox().len(), 10);
    let listed = told(&["list", &target, "--json"]);
    let events = listed.lines().filter(|line| line.contains("\"outcome\""));
    assert_eq!(events.count(), 50_000);
}
