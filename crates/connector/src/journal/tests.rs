//! Tests of the journal as a whole: states, owners, files that are none.

use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;

use super::held::Held;
use super::*;
use crate::outcome::AfterAction;
use crate::path::RemotePath;

fn source(name: &str) -> Source {
    Source {
        account: "edi@example:22".into(),
        directory: RemotePath::from("/out"),
        name: Bytes::copy_from_slice(name.as_bytes()),
        size: Some(3),
        modified: Some(1_700_000_000),
    }
}

fn received() -> Received {
    Received {
        size: 3,
        modified: Some(1_700_000_000),
        sha256: [7; 32],
    }
}

async fn take(journal: &Journal, source: &Source) -> Taken {
    match journal.claim(source).await.unwrap() {
        Claimed::Yours(taken) => taken,
        other => panic!("{source:?} is not ours: {other:?}"),
    }
}

fn fresh() -> (tempfile::TempDir, Journal) {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(&folder.path().join("j.db")).unwrap();
    (folder, journal)
}

#[tokio::test]
async fn a_file_goes_through_its_states_and_is_a_new_one_once_it_was_deleted() {
    let (_folder, journal) = fresh();
    let file = source("a");
    let mut taken = take(&journal, &file).await;
    assert_eq!(taken.state(), &FetchState::Claimed { part: None });
    let (part, place) = (Path::new("/in/.a.part"), Path::new("/in/a"));
    taken.part(part).await.unwrap();
    taken.fetched(part, place, received()).await.unwrap();
    taken.placing(Path::new("/in/a1")).await.unwrap();
    taken.delivered(Some(Path::new("/in/a1"))).await.unwrap();
    taken.moving(&RemotePath::from("/done/a")).await.unwrap();
    let state = taken.state().clone();
    assert_eq!(
        state,
        FetchState::Delivered {
            part: Some("/in/.a.part".into()),
            place: Some("/in/a1".into()),
            received: Some(received()),
            moving_to: Some(RemotePath::from("/done/a")),
        }
    );
    taken.give_back().await.unwrap();
    let taken = take(&journal, &file).await;
    assert_eq!(taken.state(), &state);
    taken.done(AfterAction::Moved).await.unwrap();
    let taken = take(&journal, &file).await;
    assert_eq!(taken.state(), &FetchState::Claimed { part: None });
}

#[tokio::test]
async fn a_file_that_stays_is_known_until_its_size_or_time_changes() {
    let (_folder, journal) = fresh();
    let file = source("a");
    let mut taken = take(&journal, &file).await;
    taken.delivered(None).await.unwrap();
    taken.done(AfterAction::None).await.unwrap();
    assert!(matches!(journal.claim(&file).await.unwrap(), Claimed::Done));
    let mut touched = file.clone();
    touched.modified = None;
    drop(take(&journal, &touched).await);
    assert!(matches!(journal.claim(&file).await.unwrap(), Claimed::Done));
    let known = Journal::open(journal.path()).unwrap();
    assert!(matches!(known.claim(&file).await.unwrap(), Claimed::Done));
}

#[tokio::test]
async fn what_one_owner_has_in_hand_no_other_gets_until_it_is_dropped() {
    let (_folder, one) = fresh();
    let other = Journal::open(one.path()).unwrap();
    let file = source("a");
    let mut taken = take(&one, &file).await;
    taken.part(Path::new("/in/.a.part")).await.unwrap();
    for journal in [&one, &other] {
        assert_in_hand(journal, &file).await;
    }
    drop(taken);
    // Its giving back is on its way; the same owner's next transaction writes it at the latest.
    let taken = take(&one, &file).await;
    taken.give_back().await.unwrap();
    let part = Some("/in/.a.part".into());
    let taken = take(&other, &file).await;
    assert_eq!(taken.state(), &FetchState::Claimed { part });
}

#[tokio::test]
async fn what_an_owner_has_in_hand_is_free_when_the_owner_has_ended() {
    let (_folder, one) = fresh();
    let other = Journal::open(one.path()).unwrap();
    let file = source("a");
    let taken = take(&one, &file).await;
    let id = one.owner().id();
    // As a killed process leaves it: the lock is gone, and nobody has written anything.
    let ticket = taken.held.ticket;
    std::mem::forget(taken);
    assert_in_hand(&other, &file).await;
    one.owner().let_go();
    drop(take(&other, &file).await);
    // The dead one's word counts no more, should it come after all.
    let dead = Held::holding(&one, ticket);
    let late = dead.record("done", b"a", move |transaction, ticket, _| {
        transaction.execute(
            "UPDATE fetches SET state = 'done' WHERE id = ?1 AND claims = ?2 AND owner = ?3",
            params![ticket.id, ticket.claims, id],
        )
    });
    let error = late.await.unwrap_err();
    assert!(
        error.message().contains("not in this process's hands"),
        "{error}"
    );
}

#[tokio::test]
async fn an_owner_whose_lock_was_removed_is_told_and_records_nothing_more() {
    let (folder, journal) = fresh();
    let mut taken = take(&journal, &source("a")).await;
    std::fs::remove_dir_all(folder.path().join("j.db.owners")).unwrap();
    let error = taken.part(Path::new("/in/.a.part")).await.unwrap_err();
    assert_eq!(error.class(), Class::LocalIo);
    assert!(error.message().contains("was removed while it was in use"));
    let other = Journal::open(journal.path()).unwrap();
    assert_eq!(
        take(&other, &source("a")).await.state(),
        &FetchState::Claimed { part: None }
    );
}

#[tokio::test]
async fn what_does_not_follow_from_what_is_recorded_is_refused() {
    let (_folder, journal) = fresh();
    let mut taken = take(&journal, &source("a")).await;
    let error = taken
        .moving(&RemotePath::from("/done/a"))
        .await
        .unwrap_err();
    assert!(
        error.message().contains("the journal says claimed"),
        "{error}"
    );
    let error = taken.placing(Path::new("/in/a")).await.unwrap_err();
    assert_eq!(error.class(), Class::Failure);
    taken.delivered(None).await.unwrap();
    assert!(taken.part(Path::new("/in/.a.part")).await.is_err());
    taken.done(AfterAction::Failed).await.unwrap();
    // The after-action is due again.
    let taken = take(&journal, &source("a")).await;
    assert_eq!(taken.state().name(), "delivered");
}

#[tokio::test]
async fn what_was_begun_is_found_without_a_listing() {
    let (_folder, journal) = fresh();
    let mut below = source("deep");
    below.directory = RemotePath::from("/out/sub");
    let mut beside = source("beside");
    beside.directory = RemotePath::from("/out0");
    for file in [&source("a"), &source("b"), &below, &beside] {
        take(&journal, file).await.give_back().await.unwrap();
    }
    let held = take(&journal, &source("b")).await;
    let (account, directory) = ("edi@example:22", RemotePath::from("/out"));
    let found = journal.unfinished(account, &directory).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].source, source("a"));
    let found = journal.unfinished_below(account, &directory).await.unwrap();
    let names: Vec<&[u8]> = found.iter().map(|it| &it.source.name[..]).collect();
    assert_eq!(names, [&b"a"[..], b"deep"]);
    assert!(
        journal
            .unfinished("else", &directory)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        journal
            .claim_unfinished(&source("b"))
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        journal
            .claim_unfinished(&source("c"))
            .await
            .unwrap()
            .is_none()
    );
    drop(held);
    let taken = journal.claim_unfinished(&source("b")).await.unwrap();
    taken.expect("nobody has it").forget().await.unwrap();
    assert!(
        journal
            .claim_unfinished(&source("b"))
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_document_goes_through_its_states_and_is_not_sent_again() {
    let (_folder, journal) = fresh();
    let key = SendKey {
        account: "edi@example:22".into(),
        document: "order 7".into(),
        directory: RemotePath::from("/in"),
    };
    let mut sending = send(&journal, &key).await;
    assert_eq!(sending.state(), &SendState::Claimed);
    let temporary = RemotePath::from("/in/.a.part");
    let (path, target) = (RemotePath::from("/in/a"), RemotePath::from("/ready/a"));
    sending.begun(&temporary, b"a").await.unwrap();
    assert!(sending.published(&path).await.is_err());
    sending.written(3, [7; 32]).await.unwrap();
    sending
        .publishing(&RemotePath::from("/in/taken"))
        .await
        .unwrap();
    sending.publishing(&path).await.unwrap();
    assert!(matches!(
        journal.sending(&key).await.unwrap(),
        SendClaimed::InHand
    ));
    sending.give_back().await.unwrap();
    let mut sending = send(&journal, &key).await;
    let expected = SendState::Publishing {
        temporary: Some(temporary),
        path: path.clone(),
        size: Some(3),
        sha256: Some([7; 32]),
    };
    assert_eq!(sending.state(), &expected);
    sending.published(&path).await.unwrap();
    sending.moving(&target).await.unwrap();
    let moving = SendState::Moving {
        path,
        target: target.clone(),
    };
    assert_eq!(sending.state(), &moving);
    sending.give_back().await.unwrap();
    let sending = send(&journal, &key).await;
    assert_eq!(sending.state(), &moving);
    sending.done(&target).await.unwrap();
    match journal.sending(&key).await.unwrap() {
        SendClaimed::Done { path } => assert_eq!(path, target),
        other => panic!("{other:?}"),
    }
    let mut elsewhere = key.clone();
    elsewhere.directory = RemotePath::from("/other");
    let mut sending = send(&journal, &elsewhere).await;
    sending.appending(&target, 17).await.unwrap();
    sending.published(&target).await.unwrap();
    sending.done(&target).await.unwrap();
}

#[tokio::test]
async fn a_receiver_may_commit_with_the_delivery_or_not_at_all() {
    let (_folder, journal) = fresh();
    let mut taken = take(&journal, &source("a")).await;
    taken.received(received()).await.unwrap();
    let (delivery, delivered) = taken.delivery();
    let refused = delivery.confirm_in(|transaction| {
        write(transaction, "a")?;
        Err::<(), _>("the order is senseless".into())
    });
    let error = refused.await.unwrap_err();
    assert!(error.message().contains("the order is senseless"));
    assert!(!delivered.wait().await);
    assert!(consumed(&journal).is_empty());
    assert_eq!(taken.state().name(), "claimed");

    let (delivery, delivered) = taken.delivery();
    let confirmed = delivery.confirm_in(|transaction| Ok(write(transaction, "a")?));
    confirmed.await.unwrap();
    assert!(delivered.wait().await);
    // As after a kill before this process heard of it.
    let (second, _) = taken.delivery();
    taken.give_back().await.unwrap();
    let late = second.confirm_in(|transaction| Ok(write(transaction, "a")?));
    assert!(late.await.is_err());
    let mut taken = take(&journal, &source("a")).await;
    let delivered = FetchState::Delivered {
        part: None,
        place: None,
        received: Some(received()),
        moving_to: None,
    };
    assert_eq!(taken.state(), &delivered);
    taken.delivered(None).await.unwrap();
    assert_eq!(taken.state(), &delivered);
    taken.done(AfterAction::Deleted).await.unwrap();
    assert_eq!(consumed(&journal), ["a"]);
    let (plain, _delivered) = crate::document::Delivery::pair();
    let error = plain.confirm_in(|_| Ok(())).await.unwrap_err();
    assert_eq!(error.class(), Class::Configuration);
}

#[tokio::test]
async fn what_is_done_is_forgotten_after_its_time_unless_it_is_met_again() {
    let (_folder, journal) = fresh();
    for name in ["old", "met", "held"] {
        let mut taken = take(&journal, &source(name)).await;
        if name == "held" {
            taken.give_back().await.unwrap();
            continue;
        }
        taken.delivered(None).await.unwrap();
        taken.done(AfterAction::None).await.unwrap();
    }
    let day = Duration::from_secs(24 * 60 * 60);
    let hundred_days_ago = now() - 100 * day.as_millis() as i64;
    lock(&journal.0.connection)
        .execute("UPDATE fetches SET seen_at = ?1", [hundred_days_ago])
        .unwrap();
    assert!(matches!(
        journal.claim(&source("met")).await.unwrap(),
        Claimed::Done
    ));
    assert_eq!(journal.prune(90 * day).await.unwrap(), 1);
    assert!(matches!(
        journal.claim(&source("met")).await.unwrap(),
        Claimed::Done
    ));
    assert_eq!(take(&journal, &source("held")).await.held.ticket.claims, 2);
    assert_eq!(take(&journal, &source("old")).await.held.ticket.claims, 1);
}

#[tokio::test]
async fn a_full_disk_a_read_only_file_and_a_long_wait_claim_nothing() {
    let (_folder, journal) = fresh();
    let set = |pragma: &str, value: i64| {
        let connection = lock(&journal.0.connection);
        // Some answer with a row and some do not.
        let sql = format!("PRAGMA {pragma} = {value}");
        connection.execute_batch(&sql).unwrap();
    };
    set("max_page_count", 1);
    let mut long = source("a");
    long.name = vec![b'a'; 100_000].into();
    let error = journal.claim(&long).await.unwrap_err();
    assert_eq!(error.class(), Class::LocalIo);
    assert!(error.message().contains("the disk is full"), "{error}");
    set("max_page_count", 1 << 20);
    set("query_only", 1);
    let error = journal.claim(&long).await.unwrap_err();
    assert_eq!(error.class(), Class::LocalIo, "{error}");
    set("query_only", 0);

    let busy = Connection::open(journal.path()).unwrap();
    busy.execute_batch("BEGIN IMMEDIATE").unwrap();
    let patience = Duration::from_millis(20);
    lock(&journal.0.connection).busy_timeout(patience).unwrap();
    let error = journal.claim(&long).await.unwrap_err();
    assert_eq!(error.class(), Class::LocalIo);
    assert!(error.message().contains("another process"), "{error}");
    busy.execute_batch("ROLLBACK").unwrap();
    assert_eq!(take(&journal, &long).await.held.ticket.claims, 1);
}

#[test]
fn what_is_no_journal_or_of_a_newer_program_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, words: &str| {
        let path = folder.path().join(name);
        let before = std::fs::read(&path).unwrap();
        let error = Journal::open(&path).unwrap_err();
        assert_eq!(error.class(), Class::Configuration, "{error}");
        assert!(error.message().contains(words), "{error}");
        assert!(error.hint().is_some());
        assert_eq!(std::fs::read(&path).unwrap(), before);
    };
    std::fs::write(folder.path().join("text"), "a text\n".repeat(500)).unwrap();
    refused("text", "no SQLite database");
    let foreign = Connection::open(folder.path().join("foreign")).unwrap();
    foreign.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(foreign);
    refused("foreign", "another program");
    drop(Journal::open(&folder.path().join("newer")).unwrap());
    let newer = Connection::open(folder.path().join("newer")).unwrap();
    newer.pragma_update(None, "user_version", 2).unwrap();
    drop(newer);
    refused("newer", "version 2");
    drop(Journal::open(&folder.path().join("twice")).unwrap());
    std::fs::hard_link(folder.path().join("twice"), folder.path().join("again")).unwrap();
    refused("twice", "several names");
    let error = Journal::open(&folder.path().join("missing/j")).unwrap_err();
    assert_eq!(error.class(), Class::LocalIo);
    assert!(Journal::open(folder.path()).is_err());
}

#[tokio::test]
async fn a_link_to_a_journal_leads_to_the_same_owners() {
    let (folder, journal) = fresh();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(journal.path(), &link).unwrap();
    let other = Journal::open(&link).unwrap();
    let held = take(&journal, &source("a")).await;
    assert_in_hand(&other, &source("a")).await;
    drop(held);
}

#[tokio::test]
async fn the_files_of_dead_owners_are_removed() {
    let (folder, journal) = fresh();
    let count = || {
        std::fs::read_dir(folder.path().join("j.db.owners"))
            .unwrap()
            .count()
    };
    std::fs::write(
        folder
            .path()
            .join("j.db.owners")
            .join(uuid::Uuid::new_v4().to_string()),
        "",
    )
    .unwrap();
    assert_eq!(count(), 2);
    let other = Journal::open(journal.path()).unwrap();
    assert_eq!(count(), 2);
    drop(other);
    assert_eq!(count(), 1);
}

async fn send(journal: &Journal, key: &SendKey) -> Sending {
    match journal.sending(key).await.unwrap() {
        SendClaimed::Yours(sending) => sending,
        other => panic!("{key:?} is not ours: {other:?}"),
    }
}

async fn assert_in_hand(journal: &Journal, source: &Source) {
    let claimed = journal.claim(source).await.unwrap();
    assert!(matches!(claimed, Claimed::InHand), "{claimed:?}");
}

/// A consumer's table in the journal's database.
fn write(transaction: &Transaction<'_>, name: &str) -> rusqlite::Result<usize> {
    transaction.execute_batch("CREATE TABLE IF NOT EXISTS consumer_orders (name TEXT)")?;
    transaction.execute("INSERT INTO consumer_orders VALUES (?1)", [name])
}

fn consumed(journal: &Journal) -> Vec<String> {
    let connection = Connection::open(journal.path()).unwrap();
    let Ok(mut all) = connection.prepare("SELECT name FROM consumer_orders ORDER BY name") else {
        return Vec::new();
    };
    let rows = all.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

#[tokio::test]
async fn only_its_user_may_read_it() {
    let (folder, journal) = fresh();
    drop(take(&journal, &source("a")).await);
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", entry.path());
    }
}
