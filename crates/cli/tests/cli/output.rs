//! What is printed: tables, JSON events, `test`, logs, help, completions.

use std::process::Stdio;

use sansftp_testkit::sshd::Sshd;

use crate::support::Scene;

#[test]
fn json_has_an_outcome_per_file_and_a_summary_at_the_end() {
    let scene = Scene::start();
    scene.sshd.write("out/a.csv", "alpha");
    scene.sshd.write("out/b.txt", "beta");
    let flags = [
        "--json",
        "--file-filter",
        "*.csv",
        "--action",
        "get-and-delete",
        "--checksum",
    ];
    let events = scene.get("out", &flags).done().events();
    let ok = events.iter().find(|event| event["status"] == "ok").unwrap();
    assert_eq!(ok["event"], "outcome");
    assert_eq!(ok["filename"], "a.csv");
    assert_eq!(ok["size"], 5);
    assert_eq!(ok["host"], "127.0.0.1");
    assert_eq!(ok["port"], scene.sshd.port());
    assert_eq!(ok["after-action"], "deleted");
    assert_eq!(ok["sha256"].as_str().unwrap().len(), 64);
    let skipped = events
        .iter()
        .find(|event| event["status"] == "skipped")
        .unwrap();
    assert_eq!(
        (&skipped["filename"], &skipped["reason"]),
        (&"b.txt".into(), &"filtered".into())
    );
    let summary = events.last().unwrap();
    assert_eq!(summary["ok"], 1);
    assert_eq!(summary["failed"], 0);
    assert_eq!(summary["skipped"], 1);
    assert_eq!(summary["bytes"], 5);
    assert!(summary["seconds"].is_f64());
}

#[test]
fn json_tells_every_failure_with_its_class_even_before_there_is_a_session() {
    let mut scene = Scene::start();
    let target = scene.target("absent");
    let ran = scene.run(&["list", &target, "--json"]);
    let error = &ran.events()[0]["error"];
    assert_eq!((ran.code, &error["class"]), (Some(1), &"not-found".into()));
    assert_eq!(error["retryable"], false);
    assert!(error["message"].is_string());
    let ran = scene.run_bare(&["list", "nowhere", "--json"]);
    let events = ran.events();
    assert_eq!(
        (ran.code, &events[0]["error"]["class"]),
        (Some(2), &"configuration".into())
    );
    assert!(events[0]["error"]["hint"].is_string());
    scene.sshd.stop();
    let ran = scene.run(&["list", &target, "--json"]);
    let events = ran.events();
    let error = &events[0]["error"];
    assert_eq!(
        (ran.code, &error["class"]),
        (Some(3), &"unreachable".into())
    );
    assert_eq!(error["retryable"], true);
    assert_eq!(events.last().unwrap()["failed"], 1);
}

#[test]
fn a_listing_has_a_line_per_entry() {
    let scene = Scene::start();
    scene.sshd.write("dir/a b", "12345");
    scene.sshd.mkdir("dir/sub");
    let target = scene.target("dir");
    let ran = scene.run(&["list", &target, "--sort", "name"]).done();
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{ran:?}");
    assert!(
        lines[0].starts_with("-rw") && lines[0].ends_with(" a b"),
        "{ran:?}"
    );
    assert!(lines[0].contains(" 5 "), "{ran:?}");
    assert!(
        lines[1].starts_with('d') && lines[1].ends_with(" sub"),
        "{ran:?}"
    );
    let events = scene
        .run(&["list", &target, "--sort", "name", "--json"])
        .done()
        .events();
    assert_eq!(events[0]["document"]["name"], "a b");
    assert_eq!(events[0]["document"]["type"], "file");
    assert!(events[0]["document"]["uid"].is_u64());
    assert_eq!(events[1]["document"]["type"], "directory");
}

#[test]
fn ten_thousand_entries_are_listed() {
    let scene = Scene::start();
    let directory = scene.sshd.mkdir("many");
    for number in 0..10_000 {
        std::fs::write(directory.join(format!("{number:05}")), "").unwrap();
    }
    let target = scene.target("many");
    let ran = scene.run(&["list", &target, "--sort", "-name"]).done();
    assert_eq!(ran.stdout.lines().count(), 10_000);
    assert!(ran.stdout.lines().next().unwrap().ends_with(" 09999"));
    let ran = scene
        .run(&["list", &target, "--max-files", "3"])
        .with_code(0);
    assert_eq!(ran.stdout.lines().count(), 3);
}

#[test]
fn test_says_what_was_agreed_on() {
    let scene = Scene::start();
    scene.sshd.write("a", "");
    let target = scene.target("");
    let algorithms = [
        "--algorithms",
        "modern,cipher=aes256-ctr,mac=hmac-sha2-256,kex=curve25519-sha256",
    ];
    let words = [&["test", &target][..], &algorithms].concat();
    let ran = scene.run(&words).done();
    for word in [
        "OpenSSH_",
        "127.0.0.1",
        scene.sshd.user(),
        "curve25519-sha256",
        "aes256-ctr",
        "hmac-sha2-256",
        "SHA256:",
        "posix-rename@openssh.com",
        scene.sshd.home().to_str().unwrap(),
        "1 entry",
        // What the server offers besides, and what is to be known of the choice.
        "chacha20-poly1305@openssh.com",
        "zlib@openssh.com",
        "curve25519-sha256 is not post-quantum",
    ] {
        assert!(ran.stdout.contains(word), "no {word}: {ran:?}");
    }
    let events = scene
        .run(&[&words[..], &["--json"]].concat())
        .done()
        .events();
    assert_eq!(events[0]["event"], "session");
    assert_eq!(events[0]["cipher-to-client"], "aes256-ctr");
    assert_eq!(events[0]["entries"], 1);
    let ciphers = events[0]["offered"]["cipher"].as_array().unwrap();
    assert!(ciphers.iter().any(|it| it == "aes128-ctr"), "{ciphers:?}");
    assert_eq!(events[0]["remarks"].as_array().unwrap().len(), 1);
    assert!(events[0]["limits"]["max-read"].as_u64().unwrap() > 0);
    assert_eq!(events[1]["ok"], 1);
    let ran = scene
        .run(&["test", &scene.target("absent")])
        .failed(1, "not-found", &["absent"]);
    assert!(ran.stdout.contains("OpenSSH_"), "{ran:?}");
}

#[test]
fn what_can_be_broken_is_warned_of_on_each_connection_and_in_the_report() {
    let builder = Sshd::builder().config("Ciphers 3des-cbc");
    let scene = Scene::with(builder.config("MACs hmac-md5").start());
    let target = scene.target("");
    let algorithms = "modern,cipher=3des-cbc,mac=hmac-md5";
    let ran = scene.run(&["test", &target, "--algorithms", algorithms]);
    let ran = ran.with_code(0);
    for word in ["weak: 3des-cbc (", "weak: hmac-md5 ("] {
        assert!(ran.stdout.contains(word), "no {word}: {ran:?}");
    }
    let ran = scene.run(&["list", &target, "--algorithms", algorithms]);
    let ran = ran.with_code(0);
    assert!(
        ran.stderr.contains("WARN") && ran.stderr.contains("3des-cbc ("),
        "{ran:?}"
    );
}

#[test]
fn quiet_prints_errors_only_and_verbose_logs_to_standard_error() {
    let scene = Scene::start();
    scene.sshd.write("out/a", "alpha");
    let ran = scene.get("out", &["--quiet"]).done();
    assert_eq!(ran.stdout, "");
    let ran = scene
        .get("absent", &["--quiet"])
        .failed(1, "not-found", &["absent"]);
    assert_eq!(ran.stdout, "");
    let ran = scene.get("out", &["-vv"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.stderr.contains("DEBUG") || ran.stderr.contains("INFO"),
        "{ran:?}"
    );
    assert!(!ran.stdout.contains("INFO"), "{ran:?}");
}

#[test]
fn a_reader_that_has_had_enough_of_a_listing_ends_it_quietly() {
    let scene = Scene::start();
    let directory = scene.sshd.mkdir("many");
    for number in 0..2_000 {
        std::fs::write(directory.join(number.to_string()), "").unwrap();
    }
    let mut program = scene.program();
    program
        .args(["list", &scene.target("many")])
        .args(scene.trusted());
    let mut child = program
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran = scene.finished(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
}

#[test]
fn help_completions_and_manual_are_there() {
    let scene = Scene::start();
    let ran = scene.run_bare(&["get", "--help"]).done();
    assert!(
        ran.stdout.contains("--file-filter") && ran.stdout.contains("Examples:"),
        "{ran:?}"
    );
    for shell in ["bash", "zsh", "fish"] {
        let ran = scene.run_bare(&["completions", shell]).done();
        assert!(ran.stdout.contains("move-to-directory"), "{shell}");
    }
    let ran = scene.run_bare(&["man", "send"]).done();
    assert!(
        ran.stdout.contains(".TH") && ran.stdout.contains("if\\-exists"),
        "{ran:?}"
    );
    let ran = scene.run_bare(&["man", "journal", "list"]).done();
    assert!(ran.stdout.contains("sansftp\\-journal\\-list"), "{ran:?}");
    assert_eq!(scene.run_bare(&["man", "steal"]).code, Some(2));
    assert_eq!(scene.run_bare(&["man", "journal", "steal"]).code, Some(2));
}
