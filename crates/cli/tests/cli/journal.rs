//! `sansftp journal` on a journal that another process has open: what people and programs see, what
//! is refused, and what changes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sansftp_connector::journal::{Claimed, Journal, SendClaimed, SendKey, Source, Taken};
use sansftp_connector::outcome::AfterAction;
use sansftp_connector::{Class, Error};
use serde_json::Value;
use tempfile::TempDir;

struct Desk {
    folder: TempDir,
    journal: Journal,
}

impl Desk {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("j")).unwrap();
        Self { folder, journal }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("j")
    }

    /// An entry of a Get for a file of this name.
    async fn take(&self, name: &[u8]) -> Taken {
        let source = Source {
            account: "edi@partner:22".to_owned(),
            directory: "/out".into(),
            name: name.to_vec().into(),
            size: Some(5),
            modified: Some(1_700_000_000),
        };
        match self.journal.claim(&source).await.unwrap() {
            Claimed::Yours(taken) => taken,
            other => panic!("{other:?}"),
        }
    }

    fn run(&self, command: &str, words: &[&str]) -> Output {
        run(command, &self.file(), words)
    }

    fn events(&self, command: &str, words: &[&str]) -> Vec<Value> {
        let words = [words, &["--json"]].concat();
        let ran = self.run(command, &words);
        let text = String::from_utf8(ran.stdout).unwrap();
        let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
        events
            .filter(|event: &Value| event["event"] != "summary")
            .collect()
    }
}

fn run(command: &str, journal: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sansftp"))
        .args(["journal", command, "--journal"])
        .arg(journal)
        .args(words)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[tokio::test]
async fn what_is_in_a_journal_is_listed_and_what_a_name_could_do_to_a_terminal_is_not() {
    let desk = Desk::open();
    let held = desk.take(b"a\x1b[2J.csv").await;
    let failed = desk.take(b"b\xff.csv").await;
    let error = Error::new(Class::Permission, "denied by the server");
    failed.failed(&error).await.unwrap();
    let key = SendKey {
        account: "edi@other:22".to_owned(),
        document: "order 7".to_owned(),
        directory: "/in".into(),
    };
    let SendClaimed::Yours(mut sending) = desk.journal.sending(&key).await.unwrap() else {
        panic!("nobody else has it");
    };
    sending
        .begun(&"/in/.c.part".into(), b"c.csv")
        .await
        .unwrap();

    let listed = desk.run("list", &[]);
    let text = said(&listed);
    assert_eq!(listed.status.code(), Some(0), "{text}");
    assert!(text.contains("/out/a\\u{1b}[2J.csv"), "{text}");
    let holder = format!("(in the hands of process {})", std::process::id());
    assert_eq!(text.matches(&holder).count(), 2, "{text}");
    assert!(text.contains("failed (permission): denied"), "{text}");
    assert!(text.contains("/in/c.csv  document order 7"), "{text}");

    let failed = desk.events("list", &["--state", "failed"]);
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0]["entry"], "g2");
    assert_eq!(failed[0]["name"], "b\u{fffd}.csv");
    assert_eq!(failed[0]["name-base64"], "Yv8uY3N2");
    assert_eq!(failed[0]["error"]["class"], "permission");
    let other = desk.events("list", &["--account", "edi@other:22"]);
    assert_eq!(other.len(), 1);
    assert_eq!(other[0]["temporary"], "/in/.c.part");

    let shown = said(&desk.run("show", &["s1"]));
    for words in [
        "temporary     /in/.c.part",
        "state         begun",
        "begun at",
    ] {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    drop(held);
}

#[tokio::test]
async fn retry_lets_a_file_be_fetched_again_and_refuses_what_is_in_hand() {
    let desk = Desk::open();
    let mut done = desk.take(b"stayed").await;
    done.delivered(None).await.unwrap();
    done.done(AfterAction::None).await.unwrap();
    let mut gone = desk.take(b"gone").await;
    gone.delivered(None).await.unwrap();
    gone.done(AfterAction::Deleted).await.unwrap();
    let held = desk.take(b"held").await;

    let again = desk.run("retry", &["g1", "g2", "g3", "g4"]);
    let text = said(&again);
    assert_eq!(again.status.code(), Some(1), "{text}");
    assert!(text.contains("g1 is done again at the next run"), "{text}");
    assert!(text.contains("g2 was finished"), "{text}");
    assert!(text.contains("g3 is in the hands of a process"), "{text}");
    assert!(text.contains("the journal has no entry g4"), "{text}");
    // It is a new file now, and would not be if the entry were there.
    drop(desk.take(b"stayed").await);

    let failure = Error::new(Class::Timeout, "slow");
    held.failed(&failure).await.unwrap();
    let again = said(&desk.run("retry", &["--failed"]));
    assert!(again.contains("g3 goes on at the next run"), "{again}");
    assert!(desk.events("list", &["--state", "failed"]).is_empty());
}

#[tokio::test]
async fn forget_asks_and_refuses_what_is_in_hand() {
    let desk = Desk::open();
    let held = desk.take(b"held").await;
    desk.take(b"free").await.give_back().await.unwrap();
    let unasked = desk.run("forget", &["g2"]);
    assert_eq!(unasked.status.code(), Some(2));
    assert!(said(&unasked).contains("add --yes"));
    let forgotten = desk.run("forget", &["--yes", "g1", "g2"]);
    assert_eq!(forgotten.status.code(), Some(1));
    let text = said(&forgotten);
    assert!(text.contains("g1 is in the hands"), "{text}");
    assert!(text.contains("g2 is forgotten"), "{text}");
    assert_eq!(desk.events("list", &[]).len(), 1);
    drop(held);
    // Nothing is done for as long as a day yet.
    let old = desk.run("forget", &["--older-than", "1d"]);
    assert_eq!(old.status.code(), Some(0), "{}", said(&old));
}

#[test]
fn what_is_no_journal_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let ran = run("list", &missing, &[]);
    assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
    assert!(!missing.exists());
    let text = folder.path().join("text");
    std::fs::write(
        &text,
        "not a database, but long enough to be read as one\n".repeat(99),
    )
    .unwrap();
    let ran = run("list", &text, &[]);
    assert_eq!(ran.status.code(), Some(2), "{}", said(&ran));
    assert!(
        said(&ran).contains("is no SQLite database"),
        "{}",
        said(&ran)
    );
    assert!(std::fs::read(&text).unwrap().starts_with(b"not a database"));
}
