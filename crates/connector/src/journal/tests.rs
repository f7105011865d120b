//! Tests of the journal as a whole: states, owners, files that are none.

use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;

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
async fn what_one_owner_has_in_hand_no_other_gets_until_it_is_dropped_or_its_owner_ends() {
    let (_folder, one) = fresh();
    let other = Journal::open(one.path()).unwrap();
    let file = source("a");
    let taken = take(&one, &file).await;
    for journal in [&one, &other] {
        assert!(matches!(
            journal.claim(&file).await.unwrap(),
            Claimed::InHand
        ));
    }
    drop(taken);
    // Its giving back is on its way; the same owner's next transaction writes it at the latest.
    let mut taken = take(&one, &file).await;
    taken.part(Path::new("/in/.a.part")).await.unwrap();
    std::mem::forget(taken);
    drop(one.unfinished("edi@example:22", &RemotePath::from("/out")));
    assert!(matches!(other.claim(&file).await.unwrap(), Claimed::InHand));
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
