//! `serve --stdio` in sftp-server's place: under `sftp -D` and as sshd's subsystem, with its flags.
//!
//! What the file system does with each request is compared with the real sftp-server elsewhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use sansftp_testkit::sshd::{ClientKey, Sshd};

use crate::served::{Place, names, ran, ran_with};
use crate::support::Ran;

/// Stock sftp directly on the program, with these flags.
fn direct(place: &Place, flags: &str, batch: &str) -> Ran {
    let server = format!("{} serve --stdio {flags}", env!("CARGO_BIN_EXE_sansftp"));
    ran_with(
        place.command("sftp").args(["-b", "-", "-D", &server]),
        batch,
    )
}

#[test]
fn it_serves_all_files_from_the_current_directory_on() {
    let place = Place::new();
    let large: Vec<u8> = (0..3_000_000_u32).map(|it| (it % 253) as u8).collect();
    place.write("files/large", &large);
    let told = direct(
        &place,
        "-e",
        "pwd\nget files/large back\nput back files/again\nls -l files\n",
    );
    assert_eq!(told.code, Some(0), "{told:?}");
    let here = place.path("").canonicalize().unwrap();
    assert!(
        told.stdout
            .contains(&format!("directory: {}", here.display())),
        "{told:?}"
    );
    assert_eq!(place.read("back"), large);
    assert_eq!(place.read("files/again"), large);
    let told = direct(&place, "-e", "ls /etc/passwd\n");
    assert_eq!(told.code, Some(0), "{told:?}");
}

#[test]
fn with_a_directory_nothing_else_is_there() {
    let place = Place::new();
    place.write("files/a", "alpha");
    let told = direct(&place, "-e files", "pwd\nget /a\n-ls /etc/passwd\nls -l\n");
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.stdout.contains("directory: /\n"), "{told:?}");
    assert!(!told.stdout.contains("\n/etc/passwd"), "{told:?}");
    assert_eq!(place.read("a"), b"alpha");
}

#[test]
fn its_flags_are_those_of_sftp_server() {
    let place = Place::new();
    place.write("files/a", "alpha");
    // -R, also grouped with others and behind them
    for flags in [
        "-R",
        "-eR",
        "-Re -l INFO",
        "-e -lVERBOSE -R",
        "-e -e -R -l quiet -l info",
    ] {
        let told = direct(&place, flags, "put key.pub files/b\n");
        assert_eq!(told.code, Some(1), "{flags}: {told:?}");
        assert!(
            told.stderr.contains("Permission denied"),
            "{flags}: {told:?}"
        );
        assert_eq!(
            direct(&place, flags, "get files/a\n").code,
            Some(0),
            "{flags}"
        );
    }
    // -P and -p
    for (flags, code) in [
        ("-P remove,rmdir", 1),
        ("-p realpath,stat,lstat,open,read,close,opendir,readdir", 1),
        ("-P mkdir", 0),
        ("-p realpath,stat,lstat,remove", 0),
    ] {
        place.write("files/gone", "");
        let told = direct(&place, flags, "rm files/gone\n");
        assert_eq!(told.code, Some(code), "{flags}: {told:?}");
        assert_eq!(place.path("files/gone").exists(), code == 1, "{flags}");
    }
    // -u
    fs::remove_file(place.path("files/gone")).unwrap_or_default();
    let told = direct(&place, "-u 077", "put files/a files/private\n");
    assert_eq!(told.code, Some(0), "{told:?}");
    let mode = place
        .path("files/private")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    // -d
    let told = direct(&place, "-d %d/files", "pwd\nls a\n");
    assert_eq!(told.code, Some(0), "{told:?}");
    assert!(told.stdout.contains("/files\n"), "{told:?}");
    fs::create_dir(place.path("files/tester")).unwrap();
    let told = direct(&place, "-d /%u files", "pwd\n");
    assert!(told.stdout.contains("directory: /tester\n"), "{told:?}");
    // -Q
    let told = place.run(&["serve", "--stdio", "-Q", "requests"]).done();
    assert!(told.stdout.starts_with("open\nclose\n"), "{told:?}");
    assert!(told.stdout.contains("\nposix-rename\n"), "{told:?}");
    for wrong in [
        &["-l", "loud"][..],
        &["-f", "KITCHEN"],
        &["-P", "remove,bogus"],
        &["-u", "999"],
        &["-d", "%x"],
        &["-Q", "weather"],
        &["--json"],
    ] {
        let told = place.run(&[&["serve", "--stdio"][..], wrong].concat());
        assert_eq!((told.code, told.stdout.as_str()), (Some(2), ""), "{told:?}");
    }
}

#[test]
fn it_logs_what_is_asked_for_and_ends_with_its_input() {
    let place = Place::new();
    place.write("files/a", "alpha");
    let told = direct(&place, "-e -l INFO", "get files/a\n");
    for words in [
        "session opened",
        "open \"",
        "flags READ",
        "bytes read 5 written 0",
        "session closed",
    ] {
        assert!(told.stderr.contains(words), "no {words}: {told:?}");
    }
    for quiet in ["-e", "-l INFO", "-e -l ERROR"] {
        assert_eq!(direct(&place, quiet, "get files/a\n").stderr, "", "{quiet}");
    }
    place.run(&["serve", "--stdio", "-e"]).done();
    let mut program = place.program();
    let told = ran_with(
        program.args(["serve", "--stdio", "-e"]),
        "GET / HTTP/1.1\r\n\r\n",
    );
    assert_eq!((told.code, told.stdout.as_str()), (Some(1), ""), "{told:?}");
    assert!(!told.stderr.is_empty(), "{told:?}");
}

#[test]
fn it_is_the_subsystem_of_sshd() {
    let place = Place::new();
    // Where the account of the fixture can run it.
    let shared = tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap();
    let program = shared.path().join("sansftp");
    fs::copy(env!("CARGO_BIN_EXE_sansftp"), &program).unwrap();
    let subsystem = |flags: &str| {
        let command = format!("{} serve --stdio {flags}", program.display());
        Sshd::builder().subsystem(command).start()
    };
    let client = |name: &str, sshd: &Sshd| {
        let mut client = place.command(name);
        client
            .args(["-F", "none", "-o", "StrictHostKeyChecking=yes", "-o"])
            .arg(format!(
                "UserKnownHostsFile={}",
                sshd.known_hosts_file().display()
            ))
            .arg("-i")
            .arg(sshd.key(ClientKey::Ed25519))
            .args(["-P", &sshd.port().to_string()]);
        client
    };
    let sftp = |sshd: &Sshd, batch: &str| {
        let mut sftp = client("sftp", sshd);
        sftp.args(["-b", "-"])
            .arg(format!("{}@127.0.0.1", sshd.user()));
        ran_with(&mut sftp, batch)
    };
    let sshd = subsystem("-e");
    sshd.write("in/large", vec![7; 4 << 20]);
    let home = sshd.home().display();
    let batch = format!("cd {home}/in\nget large\nput large copy\nrename copy copied\nls -l\n");
    let told = sftp(&sshd, &batch);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(place.read("large"), vec![7; 4 << 20]);
    assert_eq!(names(&sshd.home().join("in")), ["copied", "large"]);
    let there = format!("{}@127.0.0.1:{home}/in", sshd.user());
    for (from, to) in [(there.as_str(), "."), ("in", there.as_str())] {
        let mut scp = client("scp", &sshd);
        let told = ran(scp.args(["-r", "-p", from, to]));
        assert_eq!(told.code, Some(0), "{from} {to}: {told:?}");
    }
    assert_eq!(place.read("in/copied"), vec![7; 4 << 20]);
    let copied = sshd.home().join("in/in");
    assert_eq!(names(&copied), ["copied", "large"]);
    assert_eq!(fs::read(copied.join("large")).unwrap(), vec![7; 4 << 20]);
    drop(sshd);
    let sshd = subsystem("-R");
    sshd.write("a", "alpha");
    let home = sshd.home().display();
    assert_eq!(sftp(&sshd, &format!("get {home}/a\n")).code, Some(0));
    let told = sftp(&sshd, &format!("put large {home}/large\n"));
    assert_eq!(told.code, Some(1), "{told:?}");
    assert!(!sshd.home().join("large").exists());
}
