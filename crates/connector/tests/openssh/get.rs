//! Get: its three actions, its filter, odd names, moves onto taken names, files that change.

use std::fs;
use std::io::Write;

use sansftp_connector::Class;
use sansftp_connector::document::Document;
use sansftp_connector::operation::Operation;
use sansftp_connector::operation::{Get, GetAction, LocalIfExists, Sort};
use sansftp_connector::outcome::{AfterAction, Outcome, SkipReason, Status};
use sansftp_connector::{Connector, Destination};
use sansftp_testkit::sshd::Sshd;
use tempfile::tempdir;

use super::fixture::{self, after, bad, connection, files, good, leftovers, noise, sha256, those};

fn moving(force_move: bool) -> Get {
    Get {
        action: GetAction::GetAndMove,
        remote_directory: Some("out".to_owned()),
        move_to_directory: Some("done".to_owned()),
        force_move,
        ..Get::default()
    }
}

#[tokio::test]
async fn each_action_delivers_the_same_bytes_and_then_does_its_own() {
    let big = noise(3_000_001);
    let all = [("a.csv", &b"one"[..]), ("b.csv", b""), ("c.csv", &big)];
    for action in [
        GetAction::Get,
        GetAction::GetAndDelete,
        GetAction::GetAndMove,
    ] {
        let (sshd, into) = (Sshd::start(), tempdir().unwrap());
        for (name, content) in all {
            sshd.write(format!("out/{name}"), content);
        }
        sshd.write("out/d.txt", "not asked for");
        let moves = action == GetAction::GetAndMove;
        let operation = Get {
            action,
            remote_directory: Some(" out ".to_owned()),
            file_filter: Some("*.csv".to_owned()),
            move_to_directory: moves.then(|| "done/deep".to_owned()),
            create_directories: moves,
            checksum: true,
            ..Get::default()
        };
        let outcomes = fixture::get(&sshd, into.path(), operation).await;
        assert_eq!(files(into.path()), those(&all), "{action}");
        let left = |outcome: &Outcome| outcome.status == Status::Skipped(SkipReason::Filtered);
        let (skipped, taken): (Vec<_>, Vec<_>) = outcomes.into_iter().partition(left);
        assert_eq!(skipped.len(), 1);
        let expected = match action {
            GetAction::Get => AfterAction::None,
            GetAction::GetAndDelete => AfterAction::Deleted,
            GetAction::GetAndMove => AfterAction::Moved,
        };
        for (outcome, (name, content)) in taken.iter().zip(all) {
            assert_eq!(outcome.status, Status::Ok, "{:?}", outcome.error);
            assert_eq!(outcome.after_action, expected);
            assert!(outcome.delivered);
            let text = |name| outcome.properties.text(name).unwrap_or_default().to_owned();
            assert_eq!(text("filename"), name);
            assert_eq!(text("host"), "127.0.0.1");
            assert_eq!(text("port"), sshd.port().to_string());
            assert_eq!(
                text("remote-directory"),
                sshd.home().join("out").to_str().unwrap()
            );
            assert_eq!(text("size"), content.len().to_string());
            assert_eq!(text("sha256"), sha256(content));
            assert_eq!(text("verified"), "size");
            for present in ["modified", "permissions", "bytes-per-second"] {
                assert!(!text(present).is_empty(), "{present}");
            }
            if moves {
                assert_eq!(text("moved-by"), "rename");
                assert_eq!(text("no-replace"), "atomic");
            }
        }
        let remains = match action {
            GetAction::Get => those(&all.map(|(name, content)| (format!("out/{name}"), content))),
            GetAction::GetAndDelete => those(&[("", ""); 0]),
            GetAction::GetAndMove => {
                those(&all.map(|(name, content)| (format!("done/deep/{name}"), content)))
            }
        };
        let mut remains = remains;
        remains.extend(those(&[("out/d.txt", "not asked for")]));
        assert_eq!(files(sshd.home()), remains, "{action}");
    }
}

#[tokio::test]
async fn odd_names_go_both_ways_as_they_are() {
    let names: [&[u8]; 9] = [
        b"with space",
        b"'single' \"double\"",
        b"new\nline\r",
        b"-rf",
        b"\xff\xfe not utf-8",
        b"*?[a]{b}",
        b"$HOME `id` ;",
        b"back\\slash",
        &[b'x'; 255],
    ];
    let (sshd, into) = (Sshd::start(), tempdir().unwrap());
    for name in names {
        sshd.write(name, name);
    }
    let operation = Get {
        action: GetAction::GetAndMove,
        move_to_directory: Some("-done \n".to_owned() + "'x"),
        create_directories: true,
        ..Get::default()
    };
    for outcome in fixture::get(&sshd, into.path(), operation).await {
        // The directory that they are moved to is there by now.
        let expected = match outcome.properties.get("filename") {
            Some(name) if name.starts_with(b"-done") => Status::Skipped(SkipReason::Directory),
            _ => Status::Ok,
        };
        assert_eq!(outcome.status, expected, "{:?}", outcome.error);
    }
    assert_eq!(files(into.path()), those(&names.map(|name| (name, name))));
    let moved = names.map(|name| ([&b"-done \n'x/"[..], name].concat(), name));
    assert_eq!(files(sshd.home()), those(&moved));
}

#[tokio::test]
async fn a_taken_move_target_stops_the_fetch_unless_the_move_is_forced() {
    let (sshd, into) = (Sshd::start(), tempdir().unwrap());
    sshd.write("out/a", "new");
    sshd.write("done/a", "old");
    let (class, text) = bad(fixture::get(&sshd, into.path(), moving(false)).await);
    assert_eq!(class, Class::Exists, "{text}");
    assert_eq!(files(into.path()), those(&[("", ""); 0]), "fetched before");
    assert_eq!(
        files(sshd.home()),
        those(&[("out/a", "new"), ("done/a", "old")])
    );
    let moved = good(fixture::get(&sshd, into.path(), moving(true)).await);
    assert_eq!(moved.properties.text("moved-by"), Some("posix-rename"));
    assert_eq!(files(sshd.home()), those(&[("done/a", "new")]));
}

#[tokio::test]
async fn a_target_directory_of_the_files_name_is_never_replaced() {
    let (sshd, into) = (Sshd::start(), tempdir().unwrap());
    sshd.write("out/a", "new");
    sshd.write("done/a/keep", "kept");
    let (class, _) = bad(fixture::get(&sshd, into.path(), moving(true)).await);
    assert_eq!(class, Class::Exists);
    assert_eq!(
        files(sshd.home()),
        those(&[("out/a", "new"), ("done/a/keep", "kept")])
    );
}

#[tokio::test]
async fn one_file_under_two_names_is_moved_by_taking_the_first_name_away() {
    let (sshd, into) = (Sshd::start(), tempdir().unwrap());
    let source = sshd.write("out/a", "one file");
    sshd.mkdir("done");
    fs::hard_link(source, sshd.home().join("done/a")).unwrap();
    let moved = good(fixture::get(&sshd, into.path(), moving(true)).await);
    assert_eq!(moved.properties.text("moved-by"), Some("reconciled"));
    assert_eq!(files(sshd.home()), those(&[("done/a", "one file")]));
}

#[tokio::test]
async fn the_same_directory_under_another_name_is_a_wrong_setting() {
    let (sshd, into) = (Sshd::start(), tempdir().unwrap());
    sshd.write("out/a", "x");
    std::os::unix::fs::symlink(sshd.home().join("out"), sshd.home().join("done")).unwrap();
    let (class, _) = bad(fixture::get(&sshd, into.path(), moving(true)).await);
    assert_eq!(class, Class::Configuration);
    assert_eq!(files(into.path()), those(&[("", ""); 0]));
}

#[tokio::test]
async fn a_file_that_grows_while_it_is_read_is_not_delivered_and_stays() {
    let (sshd, into) = (Sshd::start(), tempdir().unwrap());
    let path = sshd.write("a", noise(20 << 20));
    let connection = connection(&sshd);
    let grows = path.clone();
    let connector = Connector::new(
        sansftp_connector::sftp::SftpConnect::prepare(&connection, None).unwrap(),
        connection,
    )
    .with_destination(Destination::Directory(into.path().to_owned()))
    .with_observer(after(1, move || {
        let mut file = fs::OpenOptions::new().append(true).open(grows).unwrap();
        file.write_all(b"more").unwrap();
    }));
    let operation = Get {
        action: GetAction::GetAndDelete,
        ..Get::default()
    };
    let outcomes = fixture::run(
        &connector,
        Operation::Get(operation),
        vec![Document::empty()],
    );
    let (class, text) = bad(outcomes.await);
    assert_eq!(class, Class::Integrity, "{text}");
    assert_eq!(files(into.path()), those(&[("", ""); 0]));
    assert_eq!(fs::metadata(path).unwrap().len(), (20 << 20) + 4);
}

#[tokio::test]
async fn limits_sorts_and_hidden_files_are_kept_to() {
    let (sshd, into) = (Sshd::start(), tempdir().unwrap());
    for (name, size) in [("b", 3), ("a", 1), ("c", 2), (".hidden", 9)] {
        sshd.write(name, vec![b'x'; size]);
    }
    sshd.write(
        ".a.01234567-89ab-cdef-0123-456789abcdef.part",
        "someone's half",
    );
    let operation = Get {
        sort: Sort::SizeDescending,
        max_files: 2,
        ..Get::default()
    };
    let outcomes = fixture::get(&sshd, into.path(), operation).await;
    let taken: Vec<_> = outcomes
        .iter()
        .filter(|outcome| outcome.status == Status::Ok)
        .filter_map(|outcome| outcome.properties.text("filename"))
        .collect();
    assert_eq!(taken, ["b", "c"]);
    for reason in [SkipReason::Limit, SkipReason::Hidden, SkipReason::Temporary] {
        let that = |outcome: &&Outcome| outcome.status == Status::Skipped(reason);
        assert_eq!(outcomes.iter().filter(that).count(), 1, "{reason:?}");
    }
}

#[tokio::test]
async fn what_stands_here_already_counts_as_delivered_or_follows_its_rule() {
    let (sshd, into) = (Sshd::start(), tempdir().unwrap());
    sshd.write("a", "same");
    fs::write(into.path().join("a"), "same").unwrap();
    let deleting = |local_if_exists| Get {
        action: GetAction::GetAndDelete,
        local_if_exists,
        ..Get::default()
    };
    let there = good(fixture::get(&sshd, into.path(), deleting(LocalIfExists::Error)).await);
    assert_eq!(there.properties.text("already-present"), Some("true"));
    assert_eq!(there.after_action, AfterAction::Deleted);
    sshd.write("a", "other");
    let (class, _) = bad(fixture::get(&sshd, into.path(), deleting(LocalIfExists::Error)).await);
    assert_eq!(class, Class::Exists);
    good(fixture::get(&sshd, into.path(), deleting(LocalIfExists::Rename)).await);
    assert_eq!(files(into.path()), those(&[("a", "same"), ("a1", "other")]));
    assert_eq!(files(sshd.home()), those(&[("", ""); 0]));
    assert!(leftovers(into.path()).is_empty());
}

#[tokio::test]
async fn a_link_is_left_alone_or_followed_and_what_it_leads_to_stays() {
    let (sshd, into) = (Sshd::start(), tempdir().unwrap());
    let target = sshd.write("elsewhere/target", "content");
    sshd.mkdir("out");
    std::os::unix::fs::symlink(&target, sshd.home().join("out/link")).unwrap();
    let operation = |symlinks| Get {
        action: GetAction::GetAndDelete,
        remote_directory: Some("out".to_owned()),
        symlinks,
        ..Get::default()
    };
    use sansftp_connector::operation::Symlinks;
    let skipped = fixture::get(&sshd, into.path(), operation(Symlinks::Skip)).await;
    assert_eq!(skipped[0].status, Status::Skipped(SkipReason::Symlink));
    good(fixture::get(&sshd, into.path(), operation(Symlinks::Follow)).await);
    assert_eq!(files(into.path()), those(&[("link", "content")]));
    assert_eq!(
        files(sshd.home()),
        those(&[("elsewhere/target", "content")])
    );
}
