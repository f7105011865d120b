//! Get: its three actions, selection, and what becomes of the source.

use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::{Scene, files};

fn outbox() -> Scene {
    let scene = Scene::start();
    scene.sshd.write("out/a.csv", "alpha");
    scene.sshd.write("out/b.csv", "beta");
    scene.sshd.write("out/c.txt", "gamma");
    scene
}

#[test]
fn get_leaves_the_files_where_they_are() {
    let scene = outbox();
    let before = scene.remote();
    let ran = scene.get("out", &["--file-filter", "*.csv"]).done();
    assert_eq!(
        scene.inbox(),
        files([("a.csv", "alpha"), ("b.csv", "beta")])
    );
    assert_eq!(scene.remote(), before);
    assert!(ran.stdout.contains("a.csv -> "), "{ran:?}");
    assert!(
        ran.stdout
            .contains("2 fetched, 1 skipped (filtered); 9 B in "),
        "{ran:?}"
    );
}

#[test]
fn get_and_delete_deletes_what_was_delivered_and_nothing_else() {
    let scene = outbox();
    let flags = ["--file-filter", "*.csv", "--action", "get-and-delete"];
    let ran = scene.get("out", &flags).done();
    assert_eq!(
        scene.inbox(),
        files([("a.csv", "alpha"), ("b.csv", "beta")])
    );
    assert_eq!(scene.remote(), files([("out/c.txt", "gamma")]));
    assert!(ran.stdout.contains("deleted at the server"), "{ran:?}");
}

#[test]
fn get_and_move_moves_what_was_delivered() {
    let scene = outbox();
    scene.sshd.mkdir("archive");
    let flags = [
        "--file-filter",
        "*.csv",
        "--action",
        "get-and-move",
        "--move-to-directory",
        "archive",
    ];
    let ran = scene.get("out", &flags).done();
    assert_eq!(scene.inbox().len(), 2);
    assert_eq!(
        scene.remote(),
        files([
            ("archive/a.csv", "alpha"),
            ("archive/b.csv", "beta"),
            ("out/c.txt", "gamma")
        ])
    );
    assert!(ran.stdout.contains("moved to "), "{ran:?}");
}

#[test]
fn a_taken_place_in_the_archive_is_found_before_the_fetch_and_force_move_replaces_it() {
    let scene = outbox();
    scene.sshd.write("archive/a.csv", "older");
    let flags = [
        "--file-filter",
        "a.csv",
        "--action",
        "get-and-move",
        "--move-to-directory",
        "archive",
    ];
    scene.get("out", &flags).failed(1, "exists", &["a.csv"]);
    assert!(scene.inbox().is_empty(), "it was fetched all the same");
    assert_eq!(scene.remote()[&b"archive/a.csv"[..]], b"older");
    scene
        .get("out", &[&flags[..], &["--force-move"]].concat())
        .done();
    assert_eq!(scene.remote()[&b"archive/a.csv"[..]], b"alpha");
    assert!(!scene.remote().contains_key(&b"out/a.csv"[..]));
}

#[test]
fn a_missing_archive_is_an_error_or_made() {
    let scene = outbox();
    let flags = ["--action", "get-and-move", "--move-to-directory", "x/y"];
    let ran = scene.get("out", &flags);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains("error (not-found)"), "{ran:?}");
    assert_eq!(scene.remote().len(), 3);
    scene
        .get(
            "out",
            &[
                &flags[..],
                &["--create-directories", "--local-if-exists", "overwrite"],
            ]
            .concat(),
        )
        .done();
    assert_eq!(scene.remote()[&b"x/y/a.csv"[..]], b"alpha");
}

#[test]
fn moving_a_directory_into_itself_is_refused() {
    let scene = outbox();
    let flags = ["--action", "get-and-move", "--move-to-directory", "./out"];
    scene
        .get("out", &flags)
        .failed(2, "configuration", &["out"]);
    assert!(scene.inbox().is_empty());
}

#[test]
fn the_newest_come_first_and_no_more_than_wanted() {
    let scene = outbox();
    for (name, time) in [
        ("a.csv", "2020-01-01"),
        ("b.csv", "2022-01-01"),
        ("c.txt", "2021-01-01"),
    ] {
        let path = scene.sshd.home().join("out").join(name);
        let touched = std::process::Command::new("touch")
            .arg("-d")
            .arg(time)
            .arg(path)
            .status();
        assert!(touched.unwrap().success());
    }
    let ran = scene
        .get("out", &["--sort", "-modified", "--max-files", "2"])
        .done();
    assert_eq!(
        scene.inbox(),
        files([("b.csv", "beta"), ("c.txt", "gamma")])
    );
    assert!(ran.stdout.contains("1 skipped (limit)"), "{ran:?}");
}

#[test]
fn a_local_file_is_never_silently_replaced() {
    let scene = outbox();
    scene.write("inbox/a.csv", "mine");
    let only = ["--file-filter", "a.csv", "--action", "get-and-delete"];
    scene.get("out", &only).failed(1, "exists", &["a.csv"]);
    assert_eq!(scene.inbox(), files([("a.csv", "mine")]));
    assert!(scene.remote().contains_key(&b"out/a.csv"[..]), "lost");
    scene
        .get(
            "out",
            &[&only[..2], &["--local-if-exists", "rename"]].concat(),
        )
        .done();
    assert_eq!(
        scene.inbox(),
        files([("a.csv", "mine"), ("a1.csv", "alpha")])
    );
    scene
        .get(
            "out",
            &[&only[..2], &["--local-if-exists", "overwrite"]].concat(),
        )
        .done();
    assert_eq!(scene.inbox()[&b"a.csv"[..]], b"alpha");
    // The same content counts as delivered, and the after-action runs.
    scene.get("out", &only).done();
    assert!(!scene.remote().contains_key(&b"out/a.csv"[..]));
}

#[test]
fn an_empty_file_and_an_empty_directory_are_no_failure() {
    let scene = Scene::start();
    scene.sshd.mkdir("out");
    let ran = scene.get("out", &[]).done();
    assert!(ran.stdout.starts_with("0 fetched; "), "{ran:?}");
    scene.sshd.write("out/empty", "");
    scene.get("out", &["--action", "get-and-delete"]).done();
    assert_eq!(scene.inbox(), files([("empty", "")]));
    assert!(scene.remote().is_empty());
}

#[test]
fn a_file_that_grows_while_it_is_read_is_not_delivered_and_stays() {
    let scene = Scene::start();
    let path = scene.sshd.write("out/growing", vec![7; 64 << 20]);
    let done = AtomicBool::new(false);
    let ran = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
            while !done.load(Ordering::Relaxed) {
                file.write_all(b"more").unwrap();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let ran = scene.get("out", &["--action", "get-and-delete"]);
        done.store(true, Ordering::Relaxed);
        ran
    });
    ran.failed(1, "integrity", &["growing"]);
    assert!(scene.inbox().is_empty());
    assert!(path.exists(), "a file that was not delivered was deleted");
}

#[test]
fn a_large_file_arrives_whole() {
    let scene = Scene::start();
    let content: Vec<u8> = (0..48 << 20)
        .map(|at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    scene.sshd.write("out/large", &content);
    scene.get("out", &["--rekey-limit", "4MiB"]).done();
    assert!(
        scene.inbox()[&b"large"[..]] == content,
        "the content differs"
    );
}

#[test]
fn a_configured_operation_is_run_and_a_flag_overrides_it() {
    let scene = outbox();
    scene.sshd.mkdir("archive");
    let config = format!(
        "[connections.partner]\nhost = '127.0.0.1'\nport = {}\nuser = '{}'\nremote-directory = 'out'\n\
         [operations.fetch]\naction = 'get-and-move'\nfile-filter = '*.csv'\nmove-to-directory = 'archive'\n",
        scene.sshd.port(),
        scene.sshd.user(),
    );
    scene.write("sansftp.toml", config);
    let words = ["get", "partner", "--operation", "fetch", "--into", "inbox"];
    scene
        .run(&[&words[..], &["--file-filter", "b*"]].concat())
        .done();
    assert_eq!(scene.inbox(), files([("b.csv", "beta")]));
    scene.run(&words).done();
    assert_eq!(
        scene.inbox(),
        files([("a.csv", "alpha"), ("b.csv", "beta")])
    );
    assert_eq!(
        scene.remote(),
        files([
            ("archive/a.csv", "alpha"),
            ("archive/b.csv", "beta"),
            ("out/c.txt", "gamma")
        ])
    );
}
