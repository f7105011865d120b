//! The rows of Send.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, SystemTime};

use sansftp_connector::document::Document;
use sansftp_connector::operation::{IfExists, Send, Verify};
use sansftp_connector::{Class, is_ours};
use sansftp_testkit::faultproxy::{Direction, Fault, Plan};
use sansftp_testkit::sshd::{Sftp, Sshd};

use super::fixture::{World, bad, document, files, good, noise, said, text};
use super::servers::{Hashes, Renames, Server};

fn one(content: &str) -> Vec<Document> {
    vec![document("a.txt", content)]
}

#[tokio::test]
async fn if_exists() {
    assert_eq!(Send::default().if_exists, IfExists::Rename);
    let world = World::holding(&[("a.txt", "old")]);
    let renamed = good(world.send("", one("new")).await);
    assert_eq!(text(&renamed, "filename"), "a1.txt");
    assert_eq!(
        world.remote(),
        files(&[("a.txt", "old"), ("a1.txt", "new")])
    );
    let again = good(world.send("if-exists = 'rename'", one("3")).await);
    assert_eq!(text(&again, "filename"), "a2.txt");
    good(world.send("if-exists = 'append'", one("+new")).await);
    assert_eq!(world.remote()["a.txt"], "old+new");
    bad(
        world.send("if-exists = 'error'", one("x")).await,
        Class::Exists,
    );
    assert_eq!(world.remote()["a.txt"], "old+new");
    good(world.send("if-exists = 'overwrite'", one("over")).await);
    let expected = [("a.txt", "over"), ("a1.txt", "new"), ("a2.txt", "3")];
    assert_eq!(world.remote(), files(&expected));
    for name in [".profile", "noext"] {
        for _ in 0..2 {
            good(world.send("", vec![document(name, "x")]).await);
        }
    }
    let remote = world.remote();
    for name in [".profile1", "noext1"] {
        assert!(remote.contains_key(name), "{name}: {remote:?}");
    }
    for fresh in ["append", "error", "overwrite"] {
        let sent = vec![document(fresh, "fresh")];
        good(world.send(&format!("if-exists = '{fresh}'"), sent).await);
        assert_eq!(world.remote()[fresh], "fresh");
    }
}

#[tokio::test]
async fn remote_directory() {
    let world = World::start();
    for directory in ["in", "other", "third"] {
        world.sshd.mkdir(directory);
    }
    good(world.send("", one("home")).await);
    let sent = good(world.send("remote-directory = 'in'", one("in")).await);
    let absolute = world.sshd.home().join("in");
    assert_eq!(text(&sent, "remote-directory"), absolute.to_str().unwrap());
    let brought = document("a.txt", "third").with("remote-directory", "third");
    good(world.send("remote-directory = 'in'", vec![brought]).await);
    let connection = world.connection("remote-directory = 'other'");
    good(
        world
            .run_as(connection, "action = 'send'", one("other"))
            .await,
    );
    let expected = [
        ("a.txt", "home"),
        ("in/a.txt", "in"),
        ("other/a.txt", "other"),
        ("third/a.txt", "third"),
    ];
    assert_eq!(world.remote(), files(&expected));
    bad(
        world.send("remote-directory = 'no'", one("x")).await,
        Class::NotFound,
    );
}

#[tokio::test]
async fn filename() {
    let world = World::start();
    let path = world.write("local.csv", "1");
    good(world.send("", vec![Document::file(&path)]).await);
    good(
        world
            .send(
                "",
                vec![Document::file(&path).with("filename", "given.csv")],
            )
            .await,
    );
    assert_eq!(
        world.remote(),
        files(&[("given.csv", "1"), ("local.csv", "1")])
    );
    let nameless = vec![Document::bytes("x")];
    bad(world.send("", nameless).await, Class::Configuration);
    for name in ["a/b", "..", "."] {
        bad(
            world.send("", vec![document(name, "x")]).await,
            Class::Configuration,
        );
    }
    assert_eq!(world.remote().len(), 2);
}

#[tokio::test]
async fn move_to_directory() {
    let world = World::start();
    world.sshd.mkdir("in");
    world.sshd.mkdir("ready");
    let keys = "remote-directory = 'in'\nmove-to-directory = 'ready'";
    let moved = good(world.send(keys, one("1")).await);
    let ready = world.sshd.home().join("ready");
    assert_eq!(text(&moved, "move-to-directory"), ready.to_str().unwrap());
    assert_eq!(world.remote(), files(&[("ready/a.txt", "1")]));
    let second = good(world.send(keys, one("2")).await);
    assert_eq!(text(&second, "filename"), "a1.txt", "free in both");
    bad(
        world
            .send(&format!("{keys}\nif-exists = 'error'"), one("x"))
            .await,
        Class::Exists,
    );
    bad(
        world
            .send(&format!("{keys}\nif-exists = 'overwrite'"), one("x"))
            .await,
        Class::Exists,
    );
    let same = "remote-directory = 'in'\nmove-to-directory = 'ready/../in/'";
    bad(world.send(same, one("x")).await, Class::Configuration);
    let expected = [("ready/a.txt", "1"), ("ready/a1.txt", "2")];
    assert_eq!(
        world.remote(),
        files(&expected),
        "and nothing is left behind"
    );
}

#[tokio::test]
async fn force_move() {
    let world = World::holding(&[("ready/a.txt", "old")]);
    world.sshd.mkdir("in");
    let keys = "remote-directory = 'in'\nmove-to-directory = 'ready'\nif-exists = 'overwrite'";
    bad(world.send(keys, one("new")).await, Class::Exists);
    let kept = format!("{keys}\nforce-move = true\nmove-collision = 'error'");
    bad(world.send(&kept, one("new")).await, Class::Exists);
    good(
        world
            .send(&format!("{keys}\nforce-move = true"), one("new"))
            .await,
    );
    assert_eq!(world.remote(), files(&[("ready/a.txt", "new")]));
    bad(
        world.send("force-move = true", one("x")).await,
        Class::Configuration,
    );
}

#[tokio::test]
async fn staging_directory_and_temporary_name() {
    let world = World::with(Sshd::builder().sftp(Sftp::Logged).start());
    world.sshd.mkdir("tmp");
    good(world.send("", one("1")).await);
    let log = world.sshd.sftp_log();
    let opened = log
        .lines()
        .find_map(|line| line.split_once("open \"")?.1.split_once('"'))
        .map(|(path, _)| path.rsplit('/').next().unwrap().to_owned())
        .unwrap_or_else(|| panic!("{log}"));
    assert!(is_ours(opened.as_bytes()), "a temporary name: {opened}");
    let keys = "staging-directory = 'tmp'\ntemporary-name = '{name}.{uuid}.filepart'";
    good(world.send(keys, one("2")).await);
    let log = world.sshd.sftp_log();
    assert!(
        log.contains("/tmp/a.txt.") && log.contains(".filepart"),
        "{log}"
    );
    let long = "x".repeat(255);
    good(world.send("", vec![document(&long, "3")]).await);
    assert_eq!(world.remote()[&long], "3");
    assert_eq!(world.remote().len(), 3, "nothing is left behind");
    let in_place = "in-place = true\nstaging-directory = 'tmp'";
    bad(world.send(in_place, one("x")).await, Class::Configuration);
    bad(
        world.send("temporary-name = '{name}'", one("x")).await,
        Class::Configuration,
    );
    bad(
        world
            .send("if-exists = 'append'\nstaging-directory = 'tmp'", one("x"))
            .await,
        Class::Configuration,
    );
}

#[tokio::test]
async fn in_place() {
    assert!(!Send::default().in_place);
    let world = World::with(Sshd::builder().sftp(Sftp::Logged).start());
    good(world.send("in-place = true", one("1")).await);
    assert!(
        !world.sshd.sftp_log().contains(".part"),
        "written under its own name"
    );
    let second = good(world.send("in-place = true", one("2")).await);
    assert_eq!(text(&second, "filename"), "a1.txt");
    let overwrite = "in-place = true\nif-exists = 'overwrite'";
    bad(world.send(overwrite, one("x")).await, Class::Configuration);
    good(
        world
            .send(&format!("{overwrite}\nallow-truncate = true"), one("3"))
            .await,
    );
    assert_eq!(world.remote(), files(&[("a.txt", "3"), ("a1.txt", "2")]));
    bad(
        world.send("allow-truncate = true", one("x")).await,
        Class::Configuration,
    );
}

#[tokio::test]
async fn stop_on_error() {
    let world = World::holding(&[("a", "old")]);
    let both = || vec![document("a", "1"), document("b", "2")];
    let outcomes = world.send("if-exists = 'error'", both()).await;
    assert_eq!(said(&outcomes), ["a failed exists", "b ok"]);
    let world = World::holding(&[("a", "old")]);
    let outcomes = world
        .send("if-exists = 'error'\nstop-on-error = true", both())
        .await;
    assert_eq!(said(&outcomes), ["a failed exists", "b skipped stopped"]);
    assert_eq!(world.remote(), files(&[("a", "old")]));
}

#[tokio::test]
async fn resume() {
    assert!(Send::default().resume);
    // A reset takes with it what the server has not read yet: megabytes, when its disk is slow.
    for (keys, least, most) in [("", 0, 48 << 20), ("resume = false", 55 << 20, u64::MAX)] {
        let world = World::start();
        let content = noise(32 << 20);
        let source = world.write("big", &content);
        let plan = Plan::one(Direction::ToServer, 24 << 20, Fault::Reset).only(0);
        let (proxy, connection) = world.through(plan);
        let operation = format!("action = 'send'\n{keys}");
        good(
            world
                .run_as(connection, &operation, vec![Document::file(source)])
                .await,
        );
        assert_eq!(fs::read(world.sshd.home().join("big")).unwrap(), content);
        let passed = proxy.passed(Direction::ToServer);
        assert!((least..most).contains(&passed), "{keys}: {passed}");
    }
}

#[tokio::test]
async fn journal_keep() {
    let world = World::start();
    let journal = world.path("journal.sqlite");
    let keys = format!("journal = '{}'\njournal-keep = '90d'", journal.display());
    good(world.send(&keys, one("1")).await);
    bad(
        world.send("journal-keep = '90d'", one("x")).await,
        Class::Configuration,
    );
    assert_eq!(world.remote().len(), 1);
}

#[tokio::test]
async fn journal() {
    let world = World::start();
    let journal = world.path("journal.sqlite");
    let keys = format!("journal = '{}'", journal.display());
    let path = world.write("order.csv", "1");
    let sent = || vec![Document::file(&path)];
    let once = good(world.send(&keys, sent()).await);
    assert_eq!(text(&once, "filename"), "order.csv");
    world.send(&keys, sent()).await;
    assert_eq!(world.remote(), files(&[("order.csv", "1")]), "sent once");
    let mode = fs::metadata(&journal).unwrap().mode() & 0o777;
    assert_eq!(mode, 0o600);
    good(world.send("", sent()).await);
    assert_eq!(
        world.remote().len(),
        2,
        "without a journal it is sent again"
    );
}

#[tokio::test]
async fn checksum() {
    let world = World::start();
    let plain = good(world.send("", one("abc")).await);
    assert!(
        plain.properties.text("sha256").is_none(),
        "not unless asked for"
    );
    let summed = good(world.send("checksum = true", one("abc")).await);
    let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(text(&summed, "sha256"), expected);
}

#[tokio::test]
async fn create_directories() {
    let world = World::start();
    let keys = "remote-directory = 'x/y'\nmove-to-directory = 'z/w'\nstaging-directory = 's/t'";
    bad(world.send(keys, one("1")).await, Class::NotFound);
    assert!(fs::read_dir(world.sshd.home()).unwrap().next().is_none());
    good(
        world
            .send(&format!("{keys}\ncreate-directories = true"), one("1"))
            .await,
    );
    assert_eq!(world.remote(), files(&[("z/w/a.txt", "1")]));
}

#[tokio::test]
async fn filename_too_long() {
    for keys in ["", "if-exists = 'error'", "if-exists = 'overwrite'"] {
        let world = World::with(Sshd::builder().sftp(Sftp::Logged).start());
        let name = "n".repeat(256);
        let error = bad(
            world.send(keys, vec![document(&name, "x")]).await,
            Class::Failure,
        );
        assert!(error.to_string().contains("too long"), "{error}");
        let log = world.sshd.sftp_log();
        assert!(log.contains("lstat"), "{log}");
        assert!(
            !log.contains("CREATE"),
            "said before anything is sent: {log}"
        );
        let fits = "m".repeat(255);
        good(world.send(keys, vec![document(&fits, "x")]).await);
    }
}

#[tokio::test]
async fn name_template() {
    let world = World::start();
    let names = async |template: &str, zone: &str| {
        let keys = format!("name-template = '{template}'\n{zone}");
        let sent = good(world.send(&keys, vec![document("order.csv", "x")]).await);
        text(&sent, "filename").to_owned()
    };
    assert_eq!(names("{base}-{seq}.{extension}", "").await, "order-1.csv");
    assert_eq!(names("$BASE.x.$EXTENSION", "").await, "order.x.csv");
    let year = |text: &str, at: usize| text.get(at..at + 2) == Some("20");
    let zone = "time-zone = 'Europe/Zurich'";
    let ours = names("{date}{time}", zone).await;
    assert!(ours.len() >= 14 && year(&ours, 0), "{ours}");
    let theirs = names("$DATE.$TIME", zone).await;
    // MMDDYYYY.HHMMSS.SSS
    assert!(theirs.len() == 19 && year(&theirs, 4), "{theirs}");
    for template in ["{uuid}", "$UUID"] {
        let (first, second) = (names(template, "").await, names(template, "").await);
        assert!(first.len() == 36 && first != second, "{first}");
    }
    let nameless = || vec![Document::bytes("x")];
    bad(
        world.send("name-template = '{base}.x'", nameless()).await,
        Class::Configuration,
    );
    good(world.send("name-template = 'fixed.x'", nameless()).await);
    bad(
        world.send("name-template = '{bse}'", one("x")).await,
        Class::Configuration,
    );
    bad(
        world.send("time-zone = 'Europe/Zurich'", one("x")).await,
        Class::Configuration,
    );
}

#[tokio::test]
async fn permissions_and_preserve_modified() {
    let world = World::with(Sshd::builder().sftp(Sftp::Logged).start());
    let path = world.write("a.txt", "1");
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    fs::File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .set_modified(time)
        .unwrap();
    let sent = || vec![Document::file(&path)];
    good(world.send("", sent()).await);
    assert!(
        !world.sshd.sftp_log().contains("setstat"),
        "never sent unasked"
    );
    good(
        world
            .send(
                "if-exists = 'overwrite'\npermissions = '0600'\npreserve-modified = true",
                sent(),
            )
            .await,
    );
    let there = || fs::metadata(world.sshd.home().join("a.txt")).unwrap();
    assert_eq!(there().mode() & 0o777, 0o600);
    assert_eq!(there().mtime(), 1_600_000_000);
    let other = fs::Permissions::from_mode(0o640);
    fs::set_permissions(world.sshd.home().join("a.txt"), other).unwrap();
    good(
        world
            .send("if-exists = 'overwrite'\npermissions = 'keep'", one("2"))
            .await,
    );
    assert_eq!(there().mode() & 0o777, 0o640);
    bad(
        world.send("permissions = 'keep'", one("x")).await,
        Class::Configuration,
    );
}

#[tokio::test]
async fn fsync() {
    for (keys, expected) in [("", true), ("fsync = true", true), ("fsync = false", false)] {
        let world = World::with(Sshd::builder().sftp(Sftp::Logged).start());
        good(world.send(keys, one("1")).await);
        let log = world.sshd.sftp_log();
        assert!(log.contains("close"), "{log}");
        let forced = log
            .lines()
            .any(|line| line.contains("fsync") && !line.contains("version"));
        assert_eq!(forced, expected, "{keys}: {log}");
    }
}

#[tokio::test]
async fn verify() {
    assert_eq!(Send::default().verify, Verify::Size);
    let world = World::start();
    for (keys, expected) in [
        ("", "size"),
        ("verify = 'none'", "none"),
        ("verify = 'hash'", "hash"),
    ] {
        let sent = good(world.send(keys, one("abc")).await);
        assert_eq!(sent.properties.text("verified").unwrap_or("none"), expected);
    }
}

#[tokio::test]
async fn verify_by_the_hash_of_the_server() {
    let sending = |if_exists| Send {
        if_exists,
        remote_directory: Some("in".to_owned()),
        verify: Verify::Hash,
        ..Send::default()
    };
    for if_exists in [IfExists::Rename, IfExists::Overwrite, IfExists::Append] {
        for (hashes, verified) in [
            (Hashes::Right, Some("check-file")),
            (Hashes::Other, Some("hash")),
            (Hashes::Wrong, None),
        ] {
            let server = Server::hashing(Renames::Stock, hashes).await;
            server.put("in/a.txt", "one ");
            let outcomes = server.run(sending(if_exists).into(), one("two")).await;
            match verified {
                Some(verified) => {
                    let sent = super::servers::good(outcomes);
                    assert_eq!(sent.properties.text("verified"), Some(verified));
                    assert_eq!(
                        server.all().len(),
                        if if_exists == IfExists::Rename { 2 } else { 1 }
                    );
                }
                None => {
                    let error = super::servers::bad(outcomes);
                    assert_eq!(error.class(), Class::Integrity, "{error}");
                    if if_exists != IfExists::Append {
                        server.expect(&[("in/a.txt", "one ")]);
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn symlinks() {
    let world = World::holding(&[("real", "old")]);
    std::os::unix::fs::symlink("real", world.sshd.home().join("a.txt")).unwrap();
    let keys = "if-exists = 'overwrite'";
    let outcomes = world.send(keys, one("new")).await;
    assert_eq!(said(&outcomes).len(), 1);
    assert!(outcomes[0].error.is_some(), "refused unless asked for");
    assert_eq!(world.remote()["real"], "old");
    good(
        world
            .send(&format!("{keys}\nsymlinks = 'follow'"), one("new"))
            .await,
    );
    assert_eq!(world.remote(), files(&[("a.txt", "new"), ("real", "new")]));
    let link = fs::symlink_metadata(world.sshd.home().join("a.txt")).unwrap();
    assert!(link.is_symlink(), "the link stays one");
    bad(
        world.send("symlinks = 'follow'", one("x")).await,
        Class::Configuration,
    );
}
