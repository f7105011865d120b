//! The rows of List.

use std::os::unix::fs::symlink;

use sansftp_connector::Class;
use sansftp_connector::document::{Body, Document};
use sansftp_connector::operation::{List, Sort};
use sansftp_connector::outcome::Outcome;

use super::fixture::{World, bad, good, said, taken};

async fn list(world: &World, keys: &str) -> Vec<Outcome> {
    let operation = format!("action = 'list'\n{keys}");
    world.run(&operation, vec![Document::empty()]).await
}

/// The names of what is shown, in the order of the names.
async fn shown(world: &World, keys: &str) -> Vec<String> {
    let mut shown = taken(&list(world, keys).await);
    shown.sort();
    shown
}

#[tokio::test]
async fn remote_directory() {
    let world = World::holding(&[("a", "1"), ("deep/b", "22")]);
    assert_eq!(shown(&world, "").await, ["a ok", "deep ok"]);
    let mut outcome = good(list(&world, "remote-directory = ' deep '").await);
    let document = outcome.document.take().unwrap();
    let Body::Bytes(body) = document.body else {
        panic!("its metadata are in memory");
    };
    let told: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let deep = world.sshd.home().join("deep");
    assert_eq!(told["name"], "b");
    assert_eq!(told["directory"], deep.to_str().unwrap());
    assert_eq!((&told["size"], &told["type"]), (&2.into(), &"file".into()));
    for key in ["modified", "permissions", "uid", "gid"] {
        assert!(!told[key].is_null(), "{key}: {told}");
    }
    let modified = told["modified"].as_str().unwrap();
    assert!(
        modified.ends_with('Z') && modified.contains('T'),
        "{modified}"
    );
    bad(
        list(&world, "remote-directory = 'nowhere'").await,
        Class::NotFound,
    );
}

#[tokio::test]
async fn file_filter() {
    let world = World::holding(&[("a.csv", "1"), ("b.txt", "2"), ("c.csv", "3")]);
    let outcomes = list(&world, "file-filter = '*.csv;!c*'").await;
    assert_eq!(taken(&outcomes), ["a.csv ok"]);
    assert!(said(&outcomes).contains(&"b.txt skipped filtered".to_owned()));
    bad(
        list(&world, "file-filter = 'regex:['").await,
        Class::Configuration,
    );
}

#[tokio::test]
async fn filter() {
    let world = World::holding(&[("a", "1"), ("b", "22"), ("sub/c", "333")]);
    assert_eq!(shown(&world, "filter = 'is-directory'").await, ["sub ok"]);
    let files = "filter = 'not is-directory and size > 1'";
    assert_eq!(shown(&world, files).await, ["b ok"]);
}

#[tokio::test]
async fn max_files() {
    assert_eq!(List::default().max_files, 0);
    let world = World::holding(&[("a", "1"), ("b", "2"), ("c", "3")]);
    let outcomes = list(&world, "max-files = 2\nsort = '-name'").await;
    assert_eq!(taken(&outcomes), ["c ok", "b ok"], "after the sort");
    assert!(said(&outcomes).contains(&"a skipped limit".to_owned()));
    assert_eq!(shown(&world, "max-files = 0").await.len(), 3);
}

#[tokio::test]
async fn sort() {
    assert_eq!(List::default().sort, Sort::None, "it streams");
    let world = World::holding(&[("a", "22"), ("b", "333"), ("c", "1")]);
    for (sort, expected) in [
        ("name", ["a ok", "b ok", "c ok"]),
        ("-name", ["c ok", "b ok", "a ok"]),
        ("size", ["c ok", "a ok", "b ok"]),
    ] {
        let outcomes = list(&world, &format!("sort = '{sort}'")).await;
        assert_eq!(taken(&outcomes), expected, "{sort}");
    }
}

#[tokio::test]
async fn hidden() {
    let world = World::holding(&[("a", "1"), (".b", "2")]);
    let outcomes = list(&world, "").await;
    assert_eq!(taken(&outcomes), ["a ok"]);
    assert!(said(&outcomes).contains(&".b skipped hidden".to_owned()));
    assert_eq!(shown(&world, "hidden = true").await, [".b ok", "a ok"]);
    assert_eq!(shown(&world, "file-filter = '.b'").await, [".b ok"]);
}

#[tokio::test]
async fn recursive() {
    let world = World::holding(&[("a", "1"), ("s/b", "2"), ("s/t/c", "3")]);
    assert_eq!(shown(&world, "").await, ["a ok", "s ok"]);
    let one = "recursive = true\nmax-depth = 1";
    assert_eq!(shown(&world, one).await, ["a ok", "b ok", "s ok", "t ok"]);
    let all = ["a ok", "b ok", "c ok", "s ok", "t ok"];
    assert_eq!(shown(&world, "recursive = true").await, all);
    bad(list(&world, "max-depth = 1").await, Class::Configuration);
}

#[tokio::test]
async fn symlinks() {
    let world = World::holding(&[("below/a", "1"), ("top/b", "2")]);
    let home = world.sshd.home();
    symlink(home.join("below"), home.join("top/link")).unwrap();
    let keys = "remote-directory = 'top'\nrecursive = true";
    assert_eq!(shown(&world, keys).await, ["b ok", "link ok"]);
    let followed = format!("{keys}\nsymlinks = 'follow'");
    assert_eq!(shown(&world, &followed).await, ["a ok", "b ok", "link ok"]);
}
