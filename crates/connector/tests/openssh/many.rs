//! Big directories and many small files: seconds, not minutes.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use sansftp_connector::Destination;
use sansftp_connector::document::Document;
use sansftp_connector::operation::{Get, GetAction, IfExists, Operation, Send};
use sansftp_connector::outcome::Status;
use sansftp_testkit::sshd::Sshd;

use super::fixture::{self, document, noise};

fn sshd() -> Sshd {
    match std::path::Path::new("/dev/shm").is_dir() {
        true => Sshd::builder().data_in("/dev/shm").start(),
        false => Sshd::start(),
    }
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a temporary folder can be made")
}

async fn all_good(sshd: &Sshd, into: &std::path::Path, get: Get) -> (usize, Duration) {
    let connector =
        fixture::connector(sshd).with_destination(Destination::Directory(into.to_owned()));
    let begun = Instant::now();
    let mut outcomes = connector.run(Operation::Get(get), stream::iter([Document::empty()]));
    let mut count = 0;
    while let Some(outcome) = outcomes.next().await {
        assert_eq!(outcome.status, Status::Ok, "{:?}", outcome.error);
        count += 1;
    }
    (count, begun.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_files_are_fetched_and_deleted_in_seconds() {
    let (sshd, into) = (sshd(), scratch());
    for n in 0..10_000 {
        sshd.write(format!("out/file-{n:05}.csv"), format!("{n}"));
    }
    let get = Get {
        action: GetAction::GetAndDelete,
        remote_directory: Some("out".to_owned()),
        ..Get::default()
    };
    let (count, took) = all_good(&sshd, into.path(), get).await;
    println!("10,000 files fetched and deleted in {took:?}");
    assert_eq!(count, 10_000);
    assert_eq!(std::fs::read_dir(into.path()).unwrap().count(), 10_000);
    assert_eq!(
        std::fs::read_dir(sshd.home().join("out")).unwrap().count(),
        0
    );
    assert!(took < Duration::from_secs(120), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_small_files_go_both_ways() {
    let (sshd, into) = (sshd(), scratch());
    let content = noise(10 << 10);
    for n in 0..1000 {
        sshd.write(format!("out/{n:04}"), &content);
    }
    let get = Get {
        remote_directory: Some("out".to_owned()),
        ..Get::default()
    };
    let (count, took) = all_good(&sshd, into.path(), get).await;
    println!("1,000 files of 10 KiB fetched in {took:?}");
    assert_eq!(count, 1000);
    let documents = (0..1000).map(|n| document(format!("{n:04}"), &content));
    sshd.mkdir("in");
    let send = Send {
        remote_directory: Some("in".to_owned()),
        ..Send::default()
    };
    let begun = Instant::now();
    let outcomes = fixture::send(&sshd, send, documents.collect()).await;
    println!("1,000 files of 10 KiB sent in {:?}", begun.elapsed());
    assert!(outcomes.iter().all(|it| it.status == Status::Ok));
    assert_eq!(
        std::fs::read_dir(sshd.home().join("in")).unwrap().count(),
        1000
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_documents_of_one_name_do_not_list_the_directory_a_thousand_times() {
    let sshd = sshd();
    for n in 0..9000 {
        sshd.write(format!("other-{n}"), "");
    }
    let documents = (0..1000).map(|n| document("output.txt", format!("{n}")));
    let send = Send {
        if_exists: IfExists::Rename,
        ..Send::default()
    };
    let begun = Instant::now();
    let outcomes = fixture::send(&sshd, send, documents.collect()).await;
    let took = begun.elapsed();
    println!("1,000 documents of one name sent in {took:?}");
    for (n, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.status, Status::Ok, "{:?}", outcome.error);
        let name = match n {
            0 => "output.txt".to_owned(),
            n => format!("output{n}.txt"),
        };
        assert_eq!(outcome.properties.text("filename"), Some(&name[..]));
    }
    assert!(took < Duration::from_secs(30), "{took:?}");
}
