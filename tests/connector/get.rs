//! The rows of Get.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use sansftp_connector::Class;
use sansftp_connector::document::Document;
use sansftp_connector::operation::{
    After, AfterFailure, Get, GetAction, LocalIfExists, Sort, Symlinks,
};
use sansftp_connector::outcome::AfterAction;

use sansftp_testkit::faultproxy::{Direction, Fault, Plan};

use super::fixture::{World, bad, files, good, noise, said, taken, text};

const MOVE: &str = "action = 'get-and-move'\nremote-directory = 'out'\nmove-to-directory = 'done'";

#[tokio::test]
async fn action() {
    assert_eq!(Get::default().action, GetAction::Get);
    let both = [("out/a", "1"), ("done/z", "2")];
    let world = World::holding(&both);
    let outcome = good(world.get("remote-directory = 'out'").await);
    assert_eq!(outcome.after_action, AfterAction::None);
    assert_eq!(world.remote(), files(&both));
    assert_eq!(world.inbox(), files(&[("a", "1")]));
    let world = World::holding(&both);
    let outcome = good(
        world
            .get("action = 'get-and-delete'\nremote-directory = 'out'")
            .await,
    );
    assert_eq!(outcome.after_action, AfterAction::Deleted);
    assert_eq!(world.remote(), files(&both[1..]));
    assert_eq!(world.inbox(), files(&[("a", "1")]));
    let world = World::holding(&both);
    let outcome = good(world.get(MOVE).await);
    assert_eq!(outcome.after_action, AfterAction::Moved);
    assert_eq!(world.remote(), files(&[("done/a", "1"), ("done/z", "2")]));
    assert_eq!(world.inbox(), files(&[("a", "1")]));
}

#[tokio::test]
async fn remote_directory() {
    let world = World::holding(&[("home", "1"), ("deep/er/a", "2")]);
    assert_eq!(taken(&world.get("").await), ["home ok"]);
    let relative = good(world.get("remote-directory = ' deep/er '").await);
    let absolute = world.sshd.home().join("deep/er");
    let absolute = absolute.to_str().unwrap();
    assert_eq!(text(&relative, "remote-directory"), absolute);
    let keys = format!("remote-directory = '{absolute}'\nlocal-if-exists = 'rename'");
    assert_eq!(taken(&world.get(&keys).await), ["a ok"]);
    let document = vec![Document::empty().with("remote-directory", "deep/er")];
    let outcomes = world
        .run("action = 'get'\nremote-directory = 'nowhere'", document)
        .await;
    assert_eq!(taken(&outcomes), ["a ok"]);
    bad(
        world.get("remote-directory = 'nowhere'").await,
        Class::NotFound,
    );
}

#[tokio::test]
async fn file_filter() {
    let names = [
        "a.csv",
        "b.csv",
        "B.CSV",
        "c.tmp",
        ".hidden",
        "x[1].txt",
        "x1.txt",
        "é.md",
        "a;b",
        "!d",
        "e*f",
        ".a.0f8fad5b-d9cb-469f-a165-70867728950e.part",
        "sub/inner.csv",
    ];
    let world = World::holding(&names.map(|name| (name, name)));
    let mut taken_by = Vec::new();
    for (filter, expected) in [
        ("*.csv", &["a.csv", "b.csv"][..]),
        ("?.csv", &["a.csv", "b.csv"]),
        ("a.csv; c.*", &["a.csv", "c.tmp"]),
        ("*.csv;!b*", &["a.csv"]),
        ("x[1].txt", &["x[1].txt"]),
        ("?.md", &["é.md"]),
        (r"a\;b", &["a;b"]),
        (r"\!d", &["!d"]),
        (r"e\*f", &["e*f"]),
        ("regex:[ab].csv", &["a.csv", "b.csv"]),
        (".h*", &[".hidden"]),
        ("*idden", &[]),
        (".a.*;*.part", &[]),
        ("nothing", &[]),
    ] {
        let keys = format!("local-if-exists = 'overwrite'\nfile-filter = '{filter}'");
        let outcomes = world.get(&keys).await;
        let expected: Vec<String> = expected.iter().map(|name| format!("{name} ok")).collect();
        assert_eq!(taken(&outcomes), expected, "{filter}");
        taken_by.push((filter, said(&outcomes)));
    }
    let reasons = &taken_by[0].1;
    for reason in [
        "c.tmp skipped filtered",
        "B.CSV skipped filtered",
        ".hidden skipped hidden",
    ] {
        let same = reasons.iter().any(|it| it == reason);
        let hidden_as_filtered = reason.starts_with(".hidden")
            && reasons.iter().any(|it| it.starts_with(".hidden skipped"));
        assert!(same || hidden_as_filtered, "{reason}: {reasons:?}");
    }
    let temporary =
        |outcomes: &[String]| outcomes.iter().any(|it| it.ends_with("skipped temporary"));
    let all = world
        .get("local-if-exists = 'overwrite'\nhidden = true")
        .await;
    assert!(temporary(&said(&all)), "whatever the filter");
    assert!(taken(&all).contains(&".hidden ok".to_owned()));
    let none = world.get("local-if-exists = 'overwrite'").await;
    assert!(!taken(&none).contains(&".hidden ok".to_owned()));
    assert!(
        !taken(&none).iter().any(|it| it.contains("inner")),
        "not recursive"
    );
    bad(
        world.get("file-filter = 'regex:['").await,
        Class::Configuration,
    );
}

#[tokio::test]
async fn filter() {
    let world = World::holding(&[
        ("small.csv", "1"),
        ("big.csv", "1234567890"),
        ("c.txt", "12345"),
    ]);
    let path = world.sshd.home().join("c.txt");
    let old = SystemTime::now() - Duration::from_secs(86_400);
    fs::File::options()
        .append(true)
        .open(path)
        .unwrap()
        .set_modified(old)
        .unwrap();
    for (filter, expected) in [
        (r#"name ~ "*.csv" and size > 5"#, &["big.csv ok"][..]),
        (r#"name =~ "b.*l.*" or size = 1"#, &["small.csv ok"]),
        ("age > 5m", &["c.txt ok"]),
        ("not (age > 5m) and size <= 1", &["small.csv ok"]),
        (r#"modified < "2020-01-01T00:00:00Z""#, &[]),
        (
            "is-directory = false and size != 5",
            &["big.csv ok", "small.csv ok"],
        ),
    ] {
        let keys = format!("local-if-exists = 'overwrite'\nfilter = '{filter}'");
        assert_eq!(taken(&world.get(&keys).await), expected, "{filter}");
    }
    for nonsense in ["colour = 1", "size >", "size ~ 3 and", "name ~ 5"] {
        let error = toml::from_str::<Get>(&format!("filter = '{nonsense}'")).unwrap_err();
        assert!(error.to_string().contains("at character"), "{error}");
    }
}

#[tokio::test]
async fn max_files() {
    assert_eq!(Get::default().max_files, 0);
    let world = World::holding(&[("a", "1"), ("b", "2"), ("c.no", "3"), ("d", "4")]);
    let keys = "max-files = 2\nfile-filter = '!*.no'\nsort = '-name'";
    let outcomes = world.get(keys).await;
    assert_eq!(taken(&outcomes), ["d ok", "b ok"], "after filter and sort");
    assert!(
        said(&outcomes).contains(&"a skipped limit".to_owned()),
        "more are waiting"
    );
    assert_eq!(
        taken(&world.get("local-if-exists = 'overwrite'").await).len(),
        4,
        "0 is all"
    );
}

#[tokio::test]
async fn sort() {
    assert_eq!(Get::default().sort, Sort::Name);
    let world = World::holding(&[("a", "333"), ("b", "1"), ("c", "22"), ("d", "1")]);
    for (name, age) in [("a", 10), ("b", 30), ("c", 20), ("d", 40)] {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000 - age);
        let file = fs::File::options()
            .append(true)
            .open(world.sshd.home().join(name));
        file.unwrap().set_modified(time).unwrap();
    }
    for (sort, expected) in [
        ("name", "abcd"),
        ("-name", "dcba"),
        ("modified", "dbca"),
        ("-modified", "acbd"),
        ("size", "bdca"),
        ("-size", "acbd"),
    ] {
        let keys = format!("local-if-exists = 'overwrite'\nsort = '{sort}'");
        let order: String = world
            .get(&keys)
            .await
            .iter()
            .map(|it| text(it, "filename").to_owned())
            .collect();
        assert_eq!(order, expected, "{sort}");
    }
    let any = world
        .get("local-if-exists = 'overwrite'\nsort = 'none'")
        .await;
    assert_eq!(taken(&any).len(), 4);
}

#[tokio::test]
async fn recursive() {
    let world = World::holding(&[("a", "1"), ("s/b", "2"), ("s/t/c", "3")]);
    assert_eq!(taken(&world.get("").await), ["a ok"]);
    let two = world
        .get("recursive = true\nmax-depth = 1\nlocal-if-exists = 'overwrite'")
        .await;
    assert_eq!(taken(&two), ["a ok", "b ok"]);
    let all = world
        .get("recursive = true\nlocal-if-exists = 'overwrite'")
        .await;
    assert_eq!(taken(&all).len(), 3);
    assert_eq!(
        world.inbox(),
        files(&[("a", "1"), ("s/b", "2"), ("s/t/c", "3")])
    );
    let world = World::holding(&[("out/a", "1"), ("out/s/b", "2")]);
    let keys = format!("{MOVE}\nrecursive = true\ncreate-directories = true");
    assert_eq!(taken(&world.get(&keys).await).len(), 2);
    assert_eq!(world.remote(), files(&[("done/a", "1"), ("done/s/b", "2")]));
}

#[tokio::test]
async fn move_to_directory() {
    let world = World::holding(&[("out/a", "1")]);
    world.sshd.mkdir("done");
    bad(
        world.get("action = 'get-and-move'").await,
        Class::Configuration,
    );
    bad(
        world
            .get("action = 'get-and-move'\nmove-to-directory = ' '")
            .await,
        Class::Configuration,
    );
    bad(
        world.get("move-to-directory = 'done'").await,
        Class::Configuration,
    );
    let keys = "action = 'get-and-move'\nremote-directory = 'out'\nmove-to-directory = './out/'";
    bad(world.get(keys).await, Class::Configuration);
    assert!(world.inbox().is_empty(), "before anything is fetched");
    let moved = good(world.get(MOVE).await);
    let done = world.sshd.home().join("done");
    assert_eq!(text(&moved, "move-to-directory"), done.to_str().unwrap());
    world.sshd.write("out/b", "2");
    let document = Document::empty().with("move-to-directory", "done");
    let outcomes = world
        .run(
            "action = 'get-and-move'\nremote-directory = 'out'",
            vec![document],
        )
        .await;
    assert_eq!(taken(&outcomes), ["b ok"], "a document brings it along");
    assert_eq!(world.remote(), files(&[("done/a", "1"), ("done/b", "2")]));
}

#[tokio::test]
async fn force_move() {
    let world = World::holding(&[("out/a", "new"), ("done/a", "old")]);
    bad(world.get(MOVE).await, Class::Exists);
    assert!(world.inbox().is_empty(), "looked at before the fetch");
    assert_eq!(
        world.remote(),
        files(&[("out/a", "new"), ("done/a", "old")])
    );
    let kept = format!("{MOVE}\nforce-move = true\nmove-collision = 'error'");
    bad(world.get(&kept).await, Class::Exists);
    let moved = good(world.get(&format!("{MOVE}\nforce-move = true")).await);
    assert_eq!(text(&moved, "moved-by"), "posix-rename");
    assert_eq!(world.remote(), files(&[("done/a", "new")]));
    bad(world.get("force-move = true").await, Class::Configuration);
}

#[tokio::test]
async fn create_directories() {
    let world = World::holding(&[("out/a", "1")]);
    bad(world.get(MOVE).await, Class::NotFound);
    assert_eq!(world.remote(), files(&[("out/a", "1")]));
    let deep = MOVE.replace("'done'", "'x/y/z'");
    good(
        world
            .get(&format!(
                "{deep}\ncreate-directories = true\nlocal-if-exists = 'overwrite'"
            ))
            .await,
    );
    assert_eq!(world.remote(), files(&[("x/y/z/a", "1")]));
    bad(
        world.get("create-directories = true").await,
        Class::Configuration,
    );
}

#[tokio::test]
async fn stable_for() {
    let world = World::holding(&[("growing", "x"), ("still", "y")]);
    let path = world.sshd.home().join("growing");
    let stop = Arc::new(AtomicBool::new(false));
    let grows = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            while !stop.load(Ordering::Relaxed) {
                super::fixture::append(&path, "x");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    let outcomes = world
        .get("action = 'get-and-delete'\nstable-for = '2s'")
        .await;
    stop.store(true, Ordering::Relaxed);
    grows.join().unwrap();
    let mut said = said(&outcomes);
    said.sort();
    assert_eq!(said, ["growing skipped still changing", "still ok"]);
    assert_eq!(world.inbox(), files(&[("still", "y")]));
    assert!(world.sshd.home().join("growing").exists());
}

#[tokio::test]
async fn min_age() {
    let world = World::holding(&[("new", "1"), ("old", "2")]);
    let hour = SystemTime::now() - Duration::from_secs(3600);
    let old = fs::File::options()
        .append(true)
        .open(world.sshd.home().join("old"));
    old.unwrap().set_modified(hour).unwrap();
    let outcomes = world.get("min-age = '30m'").await;
    assert!(said(&outcomes).contains(&"new skipped too young".to_owned()));
    assert_eq!(taken(&outcomes), ["old ok"]);
}

#[tokio::test]
async fn done_file() {
    let all = [("a", "1"), ("a.done", ""), ("b", "2")];
    let world = World::holding(&all);
    let keys = "done-file = '{name}.done'\naction = 'get-and-delete'";
    let outcomes = world.get(keys).await;
    assert_eq!(taken(&outcomes), ["a ok"]);
    assert!(said(&outcomes).contains(&"b skipped no done-file".to_owned()));
    assert_eq!(world.inbox(), files(&[("a", "1")]));
    assert_eq!(
        world.remote(),
        files(&[("b", "2")]),
        "the done-file goes with its file"
    );
    let world = World::holding(&[("out/a", "1"), ("out/a.done", "")]);
    let keys = format!("{MOVE}\ncreate-directories = true\ndone-file = '{{name}}.done'");
    assert_eq!(taken(&world.get(&keys).await), ["a ok"]);
    assert_eq!(
        world.remote(),
        files(&[("done/a", "1"), ("done/a.done", "")])
    );
}

#[tokio::test]
async fn after() {
    assert_eq!(Get::default().after, After::Ack);
    // Nothing takes the file: the local directory has something else under its name.
    let world = World::holding(&[("a", "new")]);
    world.write("inbox/a", "mine");
    bad(world.get("action = 'get-and-delete'").await, Class::Exists);
    assert_eq!(
        world.remote(),
        files(&[("a", "new")]),
        "not delivered, not deleted"
    );
    let keys = "action = 'get-and-delete'\nafter = 'eager'\nlocal-if-exists = 'rename'";
    good(world.get(keys).await);
    assert!(world.remote().is_empty());
    bad(world.get("after = 'eager'").await, Class::Configuration);
}

#[tokio::test]
async fn after_failure() {
    assert_eq!(Get::default().after_failure, AfterFailure::Fail);
    let world = World::start();
    if !world.sshd.has_own_account() {
        return;
    }
    let file = world.sshd.write("fixed/a", "stays");
    let directory = file.parent().unwrap();
    let closed = std::os::unix::fs::PermissionsExt::from_mode(0o555);
    fs::set_permissions(directory, closed).unwrap();
    let keys =
        "action = 'get-and-delete'\nremote-directory = 'fixed'\nlocal-if-exists = 'overwrite'";
    let outcomes = world.get(keys).await;
    assert!(outcomes[0].delivered);
    assert_eq!(outcomes[0].after_action, AfterAction::Failed);
    bad(outcomes, Class::Permission);
    let warned = good(world.get(&format!("{keys}\nafter-failure = 'warn'")).await);
    assert_eq!(warned.after_action, AfterAction::Failed);
    assert_eq!(warned.warnings.len(), 1);
    assert_eq!(world.inbox(), files(&[("a", "stays")]));
}

#[tokio::test]
async fn checksum() {
    let world = World::holding(&[("a", "abc")]);
    let plain = good(world.get("").await);
    assert!(
        plain.properties.text("sha256").is_none(),
        "not unless asked for"
    );
    let summed = good(
        world
            .get("checksum = true\nlocal-if-exists = 'overwrite'")
            .await,
    );
    assert_eq!(
        text(&summed, "sha256"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[tokio::test]
async fn resume() {
    assert!(Get::default().resume);
    for (keys, least, most) in [("", 0, 11 << 20), ("resume = false", 13 << 20, u64::MAX)] {
        let world = World::start();
        let content = noise(8 << 20);
        world.sshd.write("big", &content);
        let plan = Plan::one(Direction::ToClient, 6 << 20, Fault::Reset).only(0);
        let (proxy, connection) = world.through(plan);
        let document = vec![Document::empty()];
        let operation = format!("action = 'get'\n{keys}");
        good(world.run_as(connection, &operation, document).await);
        assert_eq!(fs::read(world.path("inbox/big")).unwrap(), content);
        let passed = proxy.passed(Direction::ToClient);
        assert!((least..most).contains(&passed), "{keys}: {passed}");
    }
}

#[tokio::test]
async fn journal_keep() {
    let world = World::holding(&[("a", "1")]);
    let journal = world.path("journal.sqlite");
    let keys = format!("journal = '{}'\njournal-keep = '90d'", journal.display());
    assert_eq!(taken(&world.get(&keys).await), ["a ok"]);
    assert_eq!(
        said(&world.get(&keys).await),
        ["a skipped already processed"]
    );
    bad(
        world.get("journal-keep = '90d'").await,
        Class::Configuration,
    );
}

#[tokio::test]
async fn journal() {
    let world = World::holding(&[("a", "1"), ("b", "2")]);
    let journal = world.path("journal.sqlite");
    let keys = format!(
        "journal = '{}'\nlocal-if-exists = 'overwrite'",
        journal.display()
    );
    assert_eq!(taken(&world.get(&keys).await), ["a ok", "b ok"]);
    // What is left alone comes in the server's order.
    let mut again = said(&world.get(&keys).await);
    again.sort();
    assert_eq!(
        again,
        ["a skipped already processed", "b skipped already processed"]
    );
    world.sshd.write("a", "another");
    assert_eq!(
        taken(&world.get(&keys).await),
        ["a ok"],
        "another size is another file"
    );
    let mode = fs::metadata(&journal).unwrap().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert_eq!(
        taken(&world.get("local-if-exists = 'overwrite'").await).len(),
        2
    );
}

#[tokio::test]
async fn local_if_exists() {
    assert_eq!(Get::default().local_if_exists, LocalIfExists::Error);
    let world = World::holding(&[("a.txt", "new")]);
    world.write("inbox/a.txt", "old");
    bad(world.get("").await, Class::Exists);
    good(world.get("local-if-exists = 'rename'").await);
    assert_eq!(world.inbox(), files(&[("a.txt", "old"), ("a1.txt", "new")]));
    good(world.get("local-if-exists = 'overwrite'").await);
    assert_eq!(world.inbox(), files(&[("a.txt", "new"), ("a1.txt", "new")]));
    let present = good(world.get("action = 'get-and-delete'").await);
    assert_eq!(text(&present, "already-present"), "true");
    assert_eq!(present.after_action, AfterAction::Deleted);
    assert!(world.remote().is_empty());
}

#[tokio::test]
async fn symlinks() {
    assert_eq!(Get::default().symlinks, Symlinks::Skip);
    let world = World::holding(&[("a", "content")]);
    symlink("a", world.sshd.home().join("link")).unwrap();
    let outcomes = world.get("").await;
    let mut told = said(&outcomes);
    told.sort();
    assert_eq!(told, ["a ok", "link skipped symlink"]);
    let keys = "symlinks = 'follow'\nfile-filter = 'link'\naction = 'get-and-delete'";
    assert_eq!(taken(&world.get(keys).await), ["link ok"]);
    assert_eq!(
        world.remote(),
        files(&[("a", "content")]),
        "the link goes, not what it leads to"
    );
    assert_eq!(
        world.inbox(),
        files(&[("a", "content"), ("link", "content")])
    );
}
