//! Send: its four rules for a taken name, staging, moving, and names.

use std::os::unix::fs::PermissionsExt;

use crate::support::{Scene, files};

fn with_report() -> Scene {
    let scene = Scene::start();
    scene.write("report.csv", "new");
    scene.sshd.mkdir("in");
    scene
}

#[test]
fn a_file_is_sent_under_its_own_name() {
    let scene = with_report();
    let ran = scene.send("in", &["report.csv"]).done();
    assert_eq!(scene.remote(), files([("in/report.csv", "new")]));
    assert!(ran.stdout.contains("report.csv -> "), "{ran:?}");
    assert!(ran.stdout.contains("1 sent; 3 B in "), "{ran:?}");
}

#[test]
fn rename_takes_the_next_free_name() {
    let scene = with_report();
    scene.sshd.write("in/report.csv", "old");
    let ran = scene.send("in", &["report.csv"]).done();
    assert!(ran.stdout.contains("report1.csv"), "{ran:?}");
    scene.write("report.csv", "newer");
    let ran = scene
        .send("in", &["report.csv", "--if-exists", "rename"])
        .done();
    assert!(ran.stdout.contains("report2.csv"), "{ran:?}");
    assert_eq!(
        scene.remote(),
        files([
            ("in/report.csv", "old"),
            ("in/report1.csv", "new"),
            ("in/report2.csv", "newer")
        ])
    );
}

#[test]
fn append_goes_to_the_end_of_the_file_or_into_a_new_one() {
    let scene = with_report();
    let append = ["report.csv", "--if-exists", "append"];
    scene.send("in", &append).done();
    scene.send("in", &append).done();
    assert_eq!(scene.remote(), files([("in/report.csv", "newnew")]));
}

#[test]
fn error_fails_that_file_and_the_others_are_sent() {
    let scene = with_report();
    scene.write("other.csv", "other");
    scene.sshd.write("in/report.csv", "old");
    let ran = scene.send("in", &["report.csv", "other.csv", "--if-exists", "error"]);
    let ran = ran.failed(1, "exists", &["report.csv"]);
    assert!(ran.stdout.contains("1 sent, 1 failed; "), "{ran:?}");
    assert_eq!(
        scene.remote(),
        files([("in/other.csv", "other"), ("in/report.csv", "old")])
    );
    let flags = [
        "report.csv",
        "last.csv",
        "--if-exists",
        "error",
        "--stop-on-error",
    ];
    let ran = scene
        .send("in", &flags)
        .failed(1, "exists", &["report.csv"]);
    assert!(ran.stdout.contains("1 skipped (stopped)"), "{ran:?}");
}

#[test]
fn overwrite_replaces_the_file() {
    let scene = with_report();
    scene
        .sshd
        .write("in/report.csv", "much longer than the new one");
    scene
        .send("in", &["report.csv", "--if-exists", "overwrite"])
        .done();
    assert_eq!(scene.remote(), files([("in/report.csv", "new")]));
}

#[test]
fn a_file_is_staged_and_published_where_it_is_wanted() {
    let scene = with_report();
    scene.sshd.mkdir("tmp");
    scene.sshd.mkdir("ready");
    let flags = [
        "report.csv",
        "--staging-directory",
        "tmp",
        "--move-to-directory",
        "ready",
    ];
    scene.send("in", &flags).done();
    assert_eq!(scene.remote(), files([("ready/report.csv", "new")]));
}

#[test]
fn missing_directories_are_an_error_or_made() {
    let scene = with_report();
    scene
        .send("in/a/b", &["report.csv"])
        .failed(1, "not-found", &["report.csv"]);
    scene
        .send("in/a/b", &["report.csv", "--create-directories"])
        .done();
    assert_eq!(scene.remote(), files([("in/a/b/report.csv", "new")]));
}

#[test]
fn a_file_is_sent_under_another_name_or_one_that_is_made_of_its_own() {
    let scene = with_report();
    scene
        .send("in", &["report.csv", "--as", "other name"])
        .done();
    scene
        .send(
            "in",
            &["report.csv", "--name-template", "{base}-{seq}.{extension}"],
        )
        .done();
    assert_eq!(
        scene.remote(),
        files([("in/other name", "new"), ("in/report-1.csv", "new")])
    );
}

#[test]
fn permissions_and_time_are_set_where_asked_for() {
    let scene = with_report();
    let flags = [
        "report.csv",
        "--permissions",
        "0640",
        "--preserve-modified",
        "--verify",
        "hash",
    ];
    scene.send("in", &flags).done();
    let sent = std::fs::metadata(scene.sshd.home().join("in/report.csv")).unwrap();
    let source = std::fs::metadata(scene.path("report.csv")).unwrap();
    assert_eq!(sent.permissions().mode() & 0o7777, 0o640);
    let seconds = |data: &std::fs::Metadata| {
        let time = data.modified().unwrap();
        time.duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs()
    };
    assert_eq!(seconds(&sent), seconds(&source));
}

#[test]
fn an_empty_and_a_large_file_arrive_whole() {
    let scene = with_report();
    scene.write("empty", "");
    let content: Vec<u8> = (0..48 << 20)
        .map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    scene.write("large", &content);
    scene
        .send("in", &["empty", "large", "--rekey-limit", "4MiB"])
        .done();
    let remote = scene.remote();
    assert_eq!(remote[&b"in/empty"[..]], b"");
    assert!(remote[&b"in/large"[..]] == content, "the content differs");
}

#[test]
fn a_missing_local_file_fails_alone() {
    let scene = with_report();
    scene
        .send("in", &["absent.csv", "report.csv"])
        .failed(1, "local-io", &["absent.csv"]);
    assert_eq!(scene.remote(), files([("in/report.csv", "new")]));
}
