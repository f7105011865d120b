//! Names that are hard to handle, both ways.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::support::{Files, Scene};

const NAMES: &[&[u8]] = &[
    b"with space",
    b" leading and trailing ",
    b"quote'and\"double",
    b"line\nbreak",
    b"-rf",
    b"--help",
    b"not utf-8 \xff\xfe",
    b"star*and?",
    b"back\\slash",
    b"\x1b[31mred",
    "\u{e9}\u{fc}\u{1f600}".as_bytes(),
];

#[test]
fn every_name_is_fetched_as_it_is() {
    let scene = Scene::start();
    let mut expected = Files::new();
    for name in NAMES {
        scene.sshd.write([b"out/", *name].concat(), name);
        expected.insert(name.to_vec(), name.to_vec());
    }
    let ran = scene.get("out", &["--action", "get-and-delete"]).done();
    assert_eq!(scene.inbox(), expected);
    assert!(scene.remote().is_empty());
    assert!(!ran.stdout.contains('\x1b'), "a name steered the terminal");
    assert_eq!(ran.stdout.lines().count(), NAMES.len() + 1, "{ran:?}");
}

#[test]
fn every_name_is_sent_as_it_is() {
    let scene = Scene::start();
    scene.sshd.mkdir("in");
    let mut program = scene.program();
    program
        .args(["send", &scene.target("in"), "--checksum"])
        .args(scene.trusted())
        .arg("--");
    let mut expected = Files::new();
    for name in NAMES {
        program.arg(scene.write(name, name).file_name().unwrap());
        expected.insert([b"in/", *name].concat(), name.to_vec());
    }
    scene.finished(program.output().unwrap()).done();
    assert_eq!(scene.remote(), expected);
}

#[test]
fn a_name_and_a_directory_that_are_not_utf_8_can_be_given() {
    let scene = Scene::start();
    scene.write("f", "content");
    scene.sshd.mkdir(b"in\xff");
    let target = scene.target("in%FF");
    let mut program = scene.program();
    program
        .args(["send", &target, "f", "--as"])
        .arg(OsStr::from_bytes(b"n\xfe"));
    let ran = scene.finished(
        program
            .args(["--json"])
            .args(scene.trusted())
            .output()
            .unwrap(),
    );
    let ran = ran.done();
    assert_eq!(scene.remote()[&b"in\xff/n\xfe"[..]], b"content");
    let event = &ran.events()[0];
    assert_eq!(event["filename"], "n\u{fffd}");
    assert_eq!(event["filename-base64"], "bv4=");
}

#[test]
fn names_with_a_dot_are_taken_only_when_asked_for_and_ours_never() {
    let scene = Scene::start();
    scene.sshd.write("out/.hidden", "h");
    scene.sshd.write("out/shown", "s");
    let ours = ".shown.2f1e6a4e-4c5a-4b7e-9d56-0e3b1c2d4f5a.part";
    let path = scene.sshd.write(format!("out/{ours}"), "p");
    let target = scene.target("out");
    let mut program = scene.program();
    let words = ["get", &target, "--into", "inbox", "--hidden", "-v"];
    let output = program.args(words).args(scene.trusted()).output().unwrap();
    // Taken away first: what is searched for after a run is just such a file.
    std::fs::remove_file(path).unwrap();
    let ran = scene.finished(output);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("skipped: temporary"), "{ran:?}");
    let names: Vec<_> = scene.inbox().into_keys().collect();
    assert_eq!(names, [&b".hidden"[..], b"shown"]);
}
