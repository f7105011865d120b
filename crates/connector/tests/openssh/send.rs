//! Send: its four rules with and without a move-to directory, staging, two senders at once.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use sansftp_connector::Class;
use sansftp_connector::document::Document;
use sansftp_connector::operation::{IfExists, Permissions, Send, TargetSymlinks, Verify};
use sansftp_connector::outcome::Status;
use sansftp_testkit::sshd::Sshd;
use tempfile::tempdir;

use super::fixture::{self, bad, document, files, good, noise, sha256, those};

fn rule(if_exists: IfExists) -> Send {
    Send {
        if_exists,
        checksum: true,
        ..Send::default()
    }
}

#[tokio::test]
async fn rename_takes_the_first_free_name_before_the_extension() {
    let sshd = Sshd::start();
    sshd.write("output.txt", "0");
    sshd.write("output2.txt", "2");
    let outcomes = fixture::send(
        &sshd,
        rule(IfExists::Rename),
        vec![
            document("output.txt", "1"),
            document("output.txt", "3"),
            document(".profile", "p"),
            document(".profile", "q"),
        ],
    )
    .await;
    for outcome in &outcomes {
        assert_eq!(outcome.status, Status::Ok, "{:?}", outcome.error);
        assert_eq!(outcome.properties.text("claimed-by"), Some("rename"));
        assert_eq!(outcome.properties.text("verified"), Some("size"));
    }
    assert_eq!(
        files(sshd.home()),
        those(&[
            ("output.txt", "0"),
            ("output1.txt", "1"),
            ("output2.txt", "2"),
            ("output3.txt", "3"),
            (".profile", "p"),
            (".profile1", "q"),
        ])
    );
    assert_eq!(outcomes[1].properties.text("filename"), Some("output3.txt"));
}

#[tokio::test]
async fn equal_documents_of_one_name_are_as_many_files() {
    let sshd = Sshd::start();
    let documents = (0..6).map(|_| document("beat.txt", "alive")).collect();
    let outcomes = fixture::send(&sshd, rule(IfExists::Rename), documents).await;
    let names: BTreeSet<_> = outcomes
        .iter()
        .map(|outcome| outcome.properties.text("filename").unwrap())
        .collect();
    assert_eq!(names.len(), 6, "{names:?}");
    assert_eq!(files(sshd.home()).len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_senders_at_once_never_overwrite_each_other() {
    let sshd = Sshd::start();
    let connectors = [fixture::connector(&sshd), fixture::connector(&sshd)];
    let documents = |sender: &str| {
        (0..60)
            .map(|n| document("order.xml", format!("{sender} {n}")))
            .collect::<Vec<_>>()
    };
    let operation = || sansftp_connector::operation::Operation::Send(rule(IfExists::Rename));
    let (one, other) = tokio::join!(
        fixture::run(&connectors[0], operation(), documents("one")),
        fixture::run(&connectors[1], operation(), documents("other")),
    );
    let mut expected = std::collections::BTreeMap::new();
    for (sender, outcomes) in [("one", &one), ("other", &other)] {
        assert_eq!(outcomes.len(), 60);
        for (n, outcome) in outcomes.iter().enumerate() {
            assert_eq!(outcome.status, Status::Ok, "{:?}", outcome.error);
            let name = outcome.properties.get("filename").unwrap().to_vec();
            let content = sha256(format!("{sender} {n}").as_bytes());
            assert_eq!(expected.insert(name, content), None, "one name twice");
        }
    }
    assert_eq!(files(sshd.home()), expected);
}

#[tokio::test]
async fn append_error_and_overwrite_do_what_they_say() {
    let sshd = Sshd::start();
    for name in ["append", "error", "overwrite"] {
        sshd.write(name, "old ");
    }
    fs::set_permissions(
        sshd.home().join("overwrite"),
        fs::Permissions::from_mode(0o640),
    )
    .unwrap();
    let big = noise(1_500_000);
    for name in ["append", "new-append"] {
        good(fixture::send(&sshd, rule(IfExists::Append), vec![document(name, &big)]).await);
    }
    let (class, _) =
        bad(fixture::send(&sshd, rule(IfExists::Error), vec![document("error", "new")]).await);
    assert_eq!(class, Class::Exists);
    good(
        fixture::send(
            &sshd,
            rule(IfExists::Error),
            vec![document("new-error", "e")],
        )
        .await,
    );
    let keeping = Send {
        permissions: Some(Permissions::Keep),
        verify: Verify::Hash,
        ..rule(IfExists::Overwrite)
    };
    let outcome = good(fixture::send(&sshd, keeping, vec![document("overwrite", &big)]).await);
    assert_eq!(outcome.properties.text("moved-by"), Some("posix-rename"));
    assert_eq!(outcome.properties.text("verified"), Some("hash"));
    assert_eq!(outcome.properties.text("sha256"), Some(&sha256(&big)[..]));
    assert_eq!(outcome.properties.text("permissions"), Some("0640"));
    assert!(outcome.properties.text("modified").is_some());
    let mode = fs::metadata(sshd.home().join("overwrite"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o640);
    assert_eq!(
        files(sshd.home()),
        those(&[
            ("append", [&b"old "[..], &big].concat()),
            ("new-append", big.clone()),
            ("error", b"old ".to_vec()),
            ("new-error", b"e".to_vec()),
            ("overwrite", big.clone()),
        ])
    );
}

#[tokio::test]
async fn each_rule_with_a_move_to_directory() {
    let to = |if_exists, force_move| Send {
        remote_directory: Some("in".to_owned()),
        move_to_directory: Some("ready".to_owned()),
        staging_directory: Some("staging".to_owned()),
        create_directories: true,
        force_move,
        ..rule(if_exists)
    };
    let sshd = Sshd::start();
    sshd.write("in/a", "in a");
    sshd.write("ready/a1", "ready a1");
    sshd.write("ready/e", "ready e");
    sshd.write("ready/o", "ready o");
    sshd.mkdir("staging");
    let outcome = good(
        fixture::send(
            &sshd,
            to(IfExists::Rename, false),
            vec![document("a", "new")],
        )
        .await,
    );
    assert_eq!(outcome.properties.text("filename"), Some("a2"));
    let plain = [
        (to(IfExists::Error, false), "e"),
        (to(IfExists::Error, false), "a"),
        (to(IfExists::Overwrite, false), "o"),
    ];
    for (operation, name) in plain {
        let (class, text) = bad(fixture::send(&sshd, operation, vec![document(name, "new")]).await);
        assert_eq!(class, Class::Exists, "{name}: {text}");
    }
    good(
        fixture::send(
            &sshd,
            to(IfExists::Overwrite, true),
            vec![document("o", "new o")],
        )
        .await,
    );
    let appending = Send {
        staging_directory: None,
        ..to(IfExists::Append, true)
    };
    good(fixture::send(&sshd, appending, vec![document("a", " and more")]).await);
    assert_eq!(
        files(sshd.home()),
        those(&[
            ("ready/a", "in a and more"),
            ("ready/a1", "ready a1"),
            ("ready/a2", "new"),
            ("ready/e", "ready e"),
            ("ready/o", "new o"),
        ])
    );
}

#[tokio::test]
async fn in_place_and_links_keep_to_their_options() {
    let sshd = Sshd::start();
    let target = sshd.write("elsewhere/target", "old");
    std::os::unix::fs::symlink(&target, sshd.home().join("link")).unwrap();
    let overwrite = rule(IfExists::Overwrite);
    let (class, _) =
        bad(fixture::send(&sshd, overwrite.clone(), vec![document("link", "new")]).await);
    assert_eq!(class, Class::Exists);
    let following = Send {
        symlinks: TargetSymlinks::Follow,
        ..overwrite
    };
    good(fixture::send(&sshd, following, vec![document("link", "new")]).await);
    assert_eq!(fs::read(&target).unwrap(), b"new");
    assert!(sshd.home().join("link").is_symlink());
    let in_place = Send {
        in_place: true,
        ..rule(IfExists::Rename)
    };
    for _ in 0..2 {
        good(fixture::send(&sshd, in_place.clone(), vec![document("x", "y")]).await);
    }
    assert_eq!(
        files(sshd.home()),
        those(&[
            ("elsewhere/target", "new"),
            ("link", "new"),
            ("x", "y"),
            ("x1", "y")
        ])
    );
}

#[tokio::test]
async fn files_keep_their_time_and_their_odd_names() {
    let (sshd, from) = (Sshd::start(), tempdir().unwrap());
    use std::os::unix::ffi::OsStrExt;
    let names: [&[u8]; 6] = [
        b"a b",
        b"'q' \"q\"",
        b"new\nline",
        b"-rf",
        b"\xff\xfe",
        &[b'y'; 255],
    ];
    let mut documents = Vec::new();
    for name in names {
        let path = from.path().join(std::ffi::OsStr::from_bytes(name));
        fs::write(&path, name).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000))
            .unwrap();
        documents.push(Document::file(path));
    }
    let operation = Send {
        preserve_modified: true,
        ..rule(IfExists::Error)
    };
    for outcome in fixture::send(&sshd, operation, documents).await {
        assert_eq!(outcome.status, Status::Ok, "{:?}", outcome.error);
        assert_eq!(
            outcome.properties.text("modified"),
            Some("2001-09-09T01:46:40Z")
        );
        assert!(outcome.properties.get("source-document").is_some());
    }
    assert_eq!(files(sshd.home()), those(&names.map(|name| (name, name))));
}
