//! Sessions that end in the middle: tried again and looked at, or a clear error; nothing lost,
//! nothing doubled, and what is left behind has its name in the error.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};

use sansftp_connector::document::Document;
use sansftp_connector::operation::{Get, GetAction, IfExists, Operation, Send};
use sansftp_connector::outcome::Status;
use sansftp_connector::{Class, Destination};
use sansftp_testkit::faultproxy::{Direction, Fault, FaultProxy, Plan};
use sansftp_testkit::sshd::Sshd;
use tempfile::tempdir;

use super::fixture::{
    self, after, bad, connector, cut_sessions, files, good, leftovers, noise, those,
};

const SIZE: usize = 24 << 20;

fn deleting() -> Operation {
    Operation::Get(Get {
        action: GetAction::GetAndDelete,
        ..Get::default()
    })
}

#[tokio::test]
async fn a_get_that_is_cut_off_begins_again_and_deletes_what_it_delivered() {
    let (sshd, into) = (Sshd::start(), tempdir().unwrap());
    let content = noise(SIZE);
    sshd.write("a", &content);
    sshd.write("b", "small");
    let listener = sshd.pid().unwrap();
    let connector = connector(&sshd)
        .with_destination(Destination::Directory(into.path().to_owned()))
        .with_observer(after(1 << 20, move || cut_sessions(listener)));
    for outcome in fixture::run(&connector, deleting(), vec![Document::empty()]).await {
        assert_eq!(outcome.status, Status::Ok, "{:?}", outcome.error);
    }
    assert_eq!(
        files(into.path()),
        those(&[("a", &content[..]), ("b", b"small")])
    );
    assert_eq!(files(sshd.home()), those(&[("", ""); 0]));
}

/// A long transfer over a bad line: a connection that ends after so many bytes, again and again.
#[tokio::test]
async fn a_get_that_is_cut_off_again_and_again_fetches_little_twice() {
    const CUT: u64 = 12 << 20;
    const LONG: usize = 64 << 20;
    for fault in [Fault::Close, Fault::Reset] {
        let (sshd, into) = (Sshd::start(), tempdir().unwrap());
        let content = noise(LONG);
        sshd.write("a", &content);
        let plan = Plan::one(Direction::ToClient, CUT, fault.clone());
        let proxy = FaultProxy::start(sshd.addr(), plan);
        let connector = fixture::connector_through(&sshd, proxy.port())
            .with_destination(Destination::Directory(into.path().to_owned()));
        good(fixture::run(&connector, deleting(), vec![Document::empty()]).await);
        let delivered = fs::read(into.path().join("a")).unwrap();
        assert!(delivered == content, "{fault:?}: other content");
        let cuts = proxy.connections() - 1;
        assert!(cuts >= LONG as u64 / CUT, "{fault:?}: only {cuts} cuts");
        let twice = proxy.passed(Direction::ToClient) - LONG as u64;
        // What each connection says beside the file, and what is on its way when it ends.
        assert!(
            twice / cuts < 2 << 20,
            "{fault:?}: {twice} bytes in {cuts} cuts"
        );
    }
}

#[tokio::test]
async fn a_get_whose_server_is_gone_for_good_leaves_every_source_and_no_half() {
    let (sshd, into) = (Sshd::start(), tempdir().unwrap());
    let content = noise(SIZE);
    let home = sshd.home().to_owned();
    sshd.write("a", &content);
    sshd.write("b", "small");
    let connector = connector(&sshd);
    let sshd = Arc::new(Mutex::new(sshd));
    let stops = Arc::clone(&sshd);
    let connector = connector
        .with_destination(Destination::Directory(into.path().to_owned()))
        .with_observer(after(1 << 20, move || stops.lock().unwrap().stop()));
    let outcomes = fixture::run(&connector, deleting(), vec![Document::empty()]).await;
    assert_eq!(outcomes.len(), 2);
    assert!(outcomes[0].error.is_some());
    for error in outcomes.iter().filter_map(|it| it.error.as_ref()) {
        let class = error.class();
        let fits = matches!(class, Class::Disconnected | Class::Unreachable);
        assert!(fits && error.retryable(), "{error}");
    }
    // The small one is fetched beside the large one, and may have been done with before the end.
    let (delivered, left) = (files(into.path()), files(&home));
    assert!(delivered.is_empty() || delivered == those(&[("b", "small")]));
    assert!(left.contains_key(&b"a"[..]), "{left:?}");
    let anywhere: BTreeMap<_, _> = delivered.into_iter().chain(left).collect();
    assert_eq!(anywhere, those(&[("a", &content[..]), ("b", b"small")]));
}

#[tokio::test]
async fn a_send_that_is_cut_off_is_there_once_and_leaves_nothing() {
    for if_exists in [
        IfExists::Rename,
        IfExists::Error,
        IfExists::Overwrite,
        IfExists::Append,
    ] {
        let (sshd, from) = (Sshd::start(), tempdir().unwrap());
        let content = noise(SIZE);
        let path = from.path().join("a");
        fs::write(&path, &content).unwrap();
        let listener = sshd.pid().unwrap();
        let connector =
            connector(&sshd).with_observer(after(4 << 20, move || cut_sessions(listener)));
        let operation = Operation::Send(Send {
            if_exists,
            checksum: true,
            ..Send::default()
        });
        let outcome = good(fixture::run(&connector, operation, vec![Document::file(path)]).await);
        assert_eq!(
            outcome.properties.text("filename"),
            Some("a"),
            "{if_exists}"
        );
        assert_eq!(
            outcome.properties.text("sha256"),
            Some(&fixture::sha256(&content)[..])
        );
        assert_eq!(files(sshd.home()), those(&[("a", &content)]), "{if_exists}");
    }
}

#[tokio::test]
async fn a_send_whose_server_is_gone_for_good_names_what_it_left() {
    for if_exists in [IfExists::Rename, IfExists::Overwrite, IfExists::Append] {
        let (sshd, from) = (Sshd::start(), tempdir().unwrap());
        let home = sshd.home().to_owned();
        sshd.write("a", "old");
        let path = from.path().join("a");
        fs::write(&path, noise(SIZE)).unwrap();
        let connector = connector(&sshd);
        let sshd = Arc::new(Mutex::new(sshd));
        let stops = Arc::clone(&sshd);
        let connector =
            connector.with_observer(after(4 << 20, move || stops.lock().unwrap().stop()));
        let operation = Operation::Send(Send {
            if_exists,
            ..Send::default()
        });
        let outcomes = fixture::run(&connector, operation, vec![Document::file(path)]).await;
        let retryable = outcomes[0].error.as_ref().unwrap().retryable();
        let (class, text) = bad(outcomes);
        assert_eq!(class, Class::Disconnected, "{text}");
        let left = leftovers(&home);
        if if_exists == IfExists::Append {
            assert!(text.contains("bytes of it stand"), "{text}");
            assert!(!retryable, "again, it would be there twice: {text}");
            assert!(fs::read(home.join("a")).unwrap().starts_with(b"old"));
            continue;
        }
        assert!(retryable);
        assert_eq!(fs::read(home.join("a")).unwrap(), b"old");
        assert_eq!(files(&home).len(), 1 + left.len());
        for left in left {
            assert!(text.contains(&left), "{left} is not named: {text}");
        }
    }
}
