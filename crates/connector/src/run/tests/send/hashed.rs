//! `verify = "hash"`: by whom the file is hashed, and what a hash that is another comes to.

use super::*;
use crate::mem::CheckFile;

fn hashing(check_file: Option<CheckFile>) -> Behaviour {
    Behaviour {
        check_file,
        ..Behaviour::openssh()
    }
}

fn verifying(if_exists: IfExists) -> Send {
    Send {
        verify: Verify::Hash,
        ..into(if_exists)
    }
}

fn asked(server: &Server, verb: &str) -> bool {
    server.calls().iter().any(|call| call.starts_with(verb))
}

#[tokio::test]
async fn a_file_is_hashed_by_the_server_where_it_can_and_read_back_where_it_cannot() {
    for if_exists in [IfExists::Rename, IfExists::Overwrite, IfExists::Append] {
        for (check_file, refused, verified) in [
            (Some(CheckFile::Right), false, "check-file"),
            (Some(CheckFile::Right), true, "hash"),
            (Some(CheckFile::Other), false, "hash"),
            (None, false, "hash"),
        ] {
            let server = server_of(hashing(check_file), &[("in/a", "one ")]);
            if refused {
                server.refuse("check-file", RemoteErrorKind::Failure);
            }
            let documents = vec![document("a", "two")];
            let outcomes = send(&server, verifying(if_exists), documents).await;
            let case = format!("{if_exists} {check_file:?} {refused}");
            assert_eq!(outcomes[0].status, Status::Ok, "{case}: {outcomes:?}");
            let told = outcomes[0].properties.text("verified");
            assert_eq!(told, Some(verified), "{case}");
            assert_eq!(asked(&server, "read "), verified == "hash", "{case}");
            assert_eq!(asked(&server, "check-file"), check_file.is_some(), "{case}");
        }
    }
}

#[tokio::test]
async fn a_hash_that_is_another_leaves_the_target_untouched() {
    for if_exists in [IfExists::Rename, IfExists::Overwrite] {
        let server = server_of(hashing(Some(CheckFile::Wrong)), &[("in/a", "old")]);
        let documents = vec![document("a", "new")];
        let outcomes = send(&server, verifying(if_exists), documents).await;
        let error = outcomes[0].error.as_ref().unwrap();
        assert_eq!(error.class(), Class::Integrity, "{error}");
        assert!(
            error.to_string().contains("hashed by the server"),
            "{error}"
        );
        assert_eq!(names(&server), ["in/a"]);
        assert_eq!(content(&server, "in/a").unwrap(), "old");
    }
}

#[tokio::test]
async fn a_server_whose_session_is_lost_while_it_hashes_is_asked_again() {
    let server = server_of(hashing(Some(CheckFile::Right)), &[]);
    server.cut_after("check-file", 1);
    let documents = vec![document("a", "new")];
    let outcomes = send(&server, verifying(IfExists::Error), documents).await;
    assert_eq!(outcomes[0].status, Status::Ok, "{outcomes:?}");
    assert_eq!(outcomes[0].properties.text("verified"), Some("check-file"));
    assert_eq!(names(&server), ["in/a"]);
}
