//! The journal between real processes: two that share one never have the same file in hand, and what a killed one had is
//! free, with what it recorded. This program starts itself again for that.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sansftp_connector::journal::{Claimed, FetchState, Journal, Source, rusqlite};
use sansftp_connector::outcome::AfterAction;
use sansftp_testkit::seeds::Rng;

/// Names the journal's folder; set in the processes that are started.
const FOLDER: &str = "SANSFTP_TEST_JOURNAL";
const FILES: usize = 200;

fn source(number: usize) -> Source {
    Source {
        account: "edi@example:22".to_owned(),
        directory: "/out".into(),
        name: format!("file{number}").into(),
        size: Some(1),
        modified: Some(1),
    }
}

/// This program again, with one test.
fn again(test: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

#[test]
fn processes_and_threads_that_share_a_journal_never_have_the_same_file_in_hand() {
    if let Some(folder) = folder() {
        return hammer(&folder);
    }
    let folder = tempfile::tempdir().unwrap();
    let name = "processes_and_threads_that_share_a_journal_never_have_the_same_file_in_hand";
    let children = [(); 3].map(|()| again(name, folder.path()));
    for child in children {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    let mut done: Vec<&str> = log.lines().collect();
    done.sort_unstable();
    let mut all: Vec<String> = (0..FILES).map(|number| format!("file{number}")).collect();
    all.sort_unstable();
    assert_eq!(done, all);
}

/// Four threads with two owners take all files, each in an order of its own.
fn hammer(folder: &Path) {
    let owners = [(); 2].map(|()| Journal::open(&folder.join("j")).unwrap());
    let seed = u64::from(std::process::id());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let journal = owners[thread % 2].clone();
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                let mut numbers: Vec<usize> = (0..FILES).collect();
                let mut random = Rng::new(seed + thread as u64);
                for place in (1..FILES).rev() {
                    numbers.swap(place, random.below(place + 1));
                }
                for number in numbers {
                    runtime.block_on(handle(&journal, folder, number));
                }
            });
        }
    });
}

async fn handle(journal: &Journal, folder: &Path, number: usize) {
    let Claimed::Yours(mut taken) = journal.claim(&source(number)).await.unwrap() else {
        return;
    };
    assert_eq!(taken.state(), &FetchState::Claimed { part: None });
    let marker = folder.join(format!("in-hand-{number}"));
    File::create_new(&marker).expect("nobody else has it in hand");
    let mut log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("log"))
        .unwrap();
    log.write_all(format!("file{number}\n").as_bytes()).unwrap();
    taken.delivered(None).await.unwrap();
    fs::remove_file(marker).unwrap();
    taken.done(AfterAction::None).await.unwrap();
}

#[test]
fn what_a_killed_process_had_in_hand_is_free_with_what_it_recorded() {
    let part = Path::new("/in/.file7.part");
    if let Some(folder) = folder() {
        let journal = Journal::open(&folder.join("j")).unwrap();
        let runtime = runtime();
        let Claimed::Yours(mut taken) = runtime.block_on(journal.claim(&source(7))).unwrap() else {
            panic!("nobody else is there");
        };
        runtime.block_on(taken.part(part)).unwrap();
        println!("\nin hand");
        loop {
            std::thread::park();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let name = "what_a_killed_process_had_in_hand_is_free_with_what_it_recorded";
    let mut child = again(name, folder.path());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "in hand"));
    let journal = Journal::open(&folder.path().join("j")).unwrap();
    let runtime = runtime();
    let claim = || runtime.block_on(journal.claim(&source(7))).unwrap();
    assert!(matches!(claim(), Claimed::InHand));
    child.kill().unwrap();
    child.wait().unwrap();
    let Claimed::Yours(taken) = claim() else {
        panic!("its owner is dead");
    };
    let part = Some(part.to_owned());
    assert_eq!(taken.state(), &FetchState::Claimed { part });
}

#[test]
fn a_receiver_that_commits_through_the_journal_and_is_killed_receives_each_document_once() {
    if let Some(folder) = folder() {
        return consume(&folder);
    }
    let folder = tempfile::tempdir().unwrap();
    let name =
        "a_receiver_that_commits_through_the_journal_and_is_killed_receives_each_document_once";
    let mut random = Rng::new(1);
    for _ in 0..12 {
        let mut child = again(name, folder.path());
        std::thread::sleep(Duration::from_millis(random.below(80) as u64));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let child = again(name, folder.path());
    assert!(child.wait_with_output().unwrap().status.success());
    let database = rusqlite::Connection::open(folder.path().join("j")).unwrap();
    let number = |sql: &str| database.query_row(sql, [], |row| row.get::<_, isize>(0));
    let all = number("SELECT count(*) FROM consumer_documents").unwrap();
    let different = number("SELECT count(DISTINCT name) FROM consumer_documents").unwrap();
    assert_eq!((all, different), (200, 200));
}

/// A program that fetches: what it receives stands in a table beside the journal's.
fn consume(folder: &Path) {
    let journal = Journal::open(&folder.join("j")).unwrap();
    let runtime = runtime();
    runtime.block_on(async {
        for number in 0..FILES {
            let Claimed::Yours(mut taken) = journal.claim(&source(number)).await.unwrap() else {
                continue;
            };
            if let FetchState::Claimed { .. } = taken.state() {
                let (delivery, _delivered) = taken.delivery();
                delivery
                    .confirm_in(move |transaction| {
                        transaction.execute_batch(
                            "CREATE TABLE IF NOT EXISTS consumer_documents (name TEXT)",
                        )?;
                        transaction.execute(
                            "INSERT INTO consumer_documents VALUES (?1)",
                            [format!("file{number}")],
                        )?;
                        Ok(())
                    })
                    .await
                    .unwrap();
                taken.delivered(None).await.unwrap();
            }
            taken.done(AfterAction::None).await.unwrap();
        }
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}
