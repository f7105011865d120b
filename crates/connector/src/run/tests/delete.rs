//! Delete: what is named is deleted, nothing else, and a lost connection leaves no doubt.

use super::*;
use crate::mem::{Fault, HOME, What, When};
use crate::operation::Delete;
use crate::outcome::AfterAction;
use crate::remote::RemoteErrorKind;

fn server_with(names: &[&str]) -> Server {
    let server = Server::new(Behaviour::openssh());
    server.files(|tree| {
        for name in names {
            tree.put(&format!("{HOME}/{name}"), *name);
        }
    });
    server
}

async fn delete(server: &Server, options: Delete, names: &[&[u8]]) -> Vec<Outcome> {
    let documents = names
        .iter()
        .map(|name| Document::empty().with("filename", name.to_vec()));
    let options = Delete {
        remote_directory: Some("out".to_owned()),
        ..options
    };
    let operation = Operation::Delete(options);
    run(server, 2, Destination::None, operation, documents.collect()).await
}

#[tokio::test]
async fn each_named_file_is_deleted_and_one_that_is_missing_fails_alone() {
    let server = server_with(&["out/a", "out/b", "out/c"]);
    let outcomes = delete(&server, Delete::default(), &[b"a", b"gone", b"c"]).await;
    assert_eq!(outcomes[0].after_action, AfterAction::Deleted);
    assert_eq!(outcomes[0].properties.text("size"), Some("5"));
    let error = outcomes[1].error.as_ref().unwrap();
    assert_eq!(error.class(), Class::NotFound);
    assert!(error.hint().unwrap().contains("missing-ok"), "{error}");
    assert_eq!(outcomes[2].status, Status::Ok);
    assert_eq!(
        server.files(|files| files.file_names()),
        ["/home/user/out/b"]
    );
    assert_eq!(server.sessions(), (1, 0));
    let allowed = Delete {
        missing_ok: true,
        ..Delete::default()
    };
    let outcome = good(delete(&server, allowed, &[b"gone"]).await);
    assert_eq!(outcome.after_action, AfterAction::None);
    assert_eq!(outcome.properties.text("missing"), Some("true"));
}

#[tokio::test]
async fn stop_on_error_leaves_the_other_names_alone() {
    let server = server_with(&["out/a"]);
    let options = Delete {
        stop_on_error: true,
        ..Delete::default()
    };
    let outcomes = delete(&server, options, &[b"gone", b"a"]).await;
    assert!(matches!(outcomes[1].status, Status::Skipped(_)));
    assert_eq!(server.files(|files| files.file_names()).len(), 1);
}

#[tokio::test]
async fn a_directory_goes_only_on_request_and_only_when_it_is_empty() {
    let server = server_with(&["out/full/a"]);
    server.files(|files| files.make_directories(b"/home/user/out/empty"));
    let refused = delete(&server, Delete::default(), &[b"empty"]).await;
    let hint = refused[0].error.as_ref().unwrap().hint().unwrap();
    assert!(hint.contains("directories = true"), "{hint}");
    let options = Delete {
        directories: true,
        ..Delete::default()
    };
    let outcomes = delete(&server, options, &[b"empty", b"full"]).await;
    assert_eq!(outcomes[0].after_action, AfterAction::Deleted);
    let error = outcomes[1].error.as_ref().unwrap();
    assert!(error.hint().unwrap().contains("empty"), "{error}");
    assert_eq!(
        server.files(|files| files.file_names()),
        ["/home/user/out/full/a"]
    );
}

#[tokio::test]
async fn only_base_names_are_deleted_and_names_are_bytes() {
    let server = server_with(&["out/a", "keep", "out/*"]);
    server.files(|files| {
        files.put_bytes(b"/home/user/out/\xff", "x");
        files.symlink("/home/user/out/link", "../keep");
    });
    for name in [&b"../keep"[..], b"sub/a", b"..", b"/home/user/keep"] {
        let outcomes = delete(&server, Delete::default(), &[name]).await;
        assert_eq!(class(outcomes), Class::Configuration);
    }
    let unnamed = run(
        &server,
        0,
        Destination::None,
        Operation::Delete(Delete::default()),
        vec![Document::empty()],
    );
    assert_eq!(class(unnamed.await), Class::Configuration);
    let outcomes = delete(&server, Delete::default(), &[b"\xff", b"link", b"*"]).await;
    assert!(
        outcomes.iter().all(|it| it.status == Status::Ok),
        "{outcomes:?}"
    );
    let left = server.files(|files| files.file_names());
    assert_eq!(left, ["/home/user/keep", "/home/user/out/a"]);
}

#[tokio::test]
async fn a_connection_lost_at_any_call_deletes_the_file_and_says_so() {
    let whole = server_with(&["out/a"]);
    good(delete(&whole, Delete::default(), &[b"a"]).await);
    for at in 0..whole.calls().len() {
        for when in [When::Before, When::After] {
            let server = server_with(&["out/a"]);
            server.fail(Fault {
                at,
                when,
                what: What::Disconnect,
            });
            let outcome = good(delete(&server, Delete::default(), &[b"a"]).await);
            assert_eq!(outcome.after_action, AfterAction::Deleted, "call {at}");
            assert!(server.files(|files| files.file_names()).is_empty());
        }
    }
}

#[tokio::test]
async fn a_refusal_is_told_with_its_class() {
    let server = server_with(&["out/a"]);
    server.refuse("remove", RemoteErrorKind::Permission);
    let outcomes = delete(&server, Delete::default(), &[b"a"]).await;
    assert_eq!(class(outcomes), Class::Permission);
}

#[tokio::test]
async fn what_came_under_the_name_while_the_connection_was_lost_stays() {
    let server = server_with(&["out/a"]);
    server.cut_after("remove ", 1);
    let another = async {
        while !server.calls().iter().any(|it| it.starts_with("remove ")) {
            tokio::task::yield_now().await;
        }
        server.files(|tree| tree.put(&format!("{HOME}/out/a"), "another one"));
    };
    let (outcomes, ()) = tokio::join!(delete(&server, Delete::default(), &[b"a"]), another);
    assert_eq!(class(outcomes), Class::Integrity);
    assert_eq!(
        server.files(|files| files.file_names()),
        ["/home/user/out/a"]
    );
}
