//! What is found and why the rest is not taken: recursion, stability, done-files, limits.

use std::collections::BTreeMap;

use super::*;
use crate::mem::{Fault, HOME, What, When};
use crate::operation::{GetAction, List, Sort, Symlinks};
use crate::remote::RemoteErrorKind;
use crate::units::ByteSize;

fn server_with(names: &[&str]) -> Server {
    let server = Server::new(Behaviour::openssh());
    server.files(|tree| {
        for name in names {
            tree.put(&format!("{HOME}/{name}"), *name);
        }
    });
    server
}

fn below_out() -> Get {
    Get {
        remote_directory: Some("out".to_owned()),
        recursive: true,
        ..Get::default()
    }
}

async fn list(server: &Server, retries: u32, list: List) -> Vec<Outcome> {
    let operation = Operation::List(List {
        remote_directory: Some("out".to_owned()),
        ..list
    });
    let document = vec![Document::empty()];
    run(server, retries, Destination::None, operation, document).await
}

/// The path of each below the operation's directory, and what became of it, in order.
fn told(outcomes: &[Outcome]) -> Vec<(String, &'static str)> {
    let told = outcomes.iter().map(|outcome| {
        let properties = &outcome.properties;
        let path = properties
            .text("relative-path")
            .or_else(|| properties.text("filename"));
        let what = match outcome.status {
            Status::Ok => "ok",
            Status::Failed => "failed",
            Status::Skipped(reason) => reason.name(),
        };
        (path.unwrap_or_default().to_owned(), what)
    });
    told.collect()
}

fn with_status(outcomes: &[Outcome], status: &str) -> Vec<String> {
    let told = told(outcomes).into_iter();
    told.filter(|(_, what)| *what == status)
        .map(|(path, _)| path)
        .collect()
}

const TREE: [&str; 6] = [
    "out/a",
    "out/b/c",
    "out/b/d/e",
    "out/b/d/f/g",
    "out/z",
    "out/.secret/h",
];

#[tokio::test]
async fn a_directory_that_is_a_file_is_told_with_how_to_name_one() {
    let server = server_with(&["out"]);
    let outcomes = list(&server, 0, List::default()).await;
    let error = outcomes[0].error.as_ref().unwrap();
    assert!(error.to_string().contains("out is a file, not a directory"));
    assert!(error.hint().unwrap().contains("--file-filter"));
}

#[tokio::test]
async fn a_recursive_listing_shows_every_level_and_max_depth_ends_it() {
    let server = server_with(&TREE);
    for sort in [Sort::Name, Sort::None] {
        let recursive = List {
            recursive: true,
            sort,
            ..List::default()
        };
        let outcomes = list(&server, 0, recursive.clone()).await;
        assert_eq!(
            with_status(&outcomes, "ok"),
            ["a", "b", "b/c", "b/d", "b/d/e", "b/d/f", "b/d/f/g", "z"]
        );
        assert_eq!(with_status(&outcomes, "hidden"), [".secret"]);
        let deepest = &outcomes
            .iter()
            .find(|it| it.properties.text("relative-path") == Some("b/d/f/g"));
        let directory = deepest.unwrap().properties.text("remote-directory");
        assert_eq!(directory, Some("/home/user/out/b/d/f"));
        let two = List {
            max_depth: 1,
            ..recursive.clone()
        };
        let outcomes = list(&server, 0, two).await;
        assert_eq!(with_status(&outcomes, "ok"), ["a", "b", "b/c", "b/d", "z"]);
        let all = List {
            hidden: true,
            file_filter: Some("h;g".to_owned()),
            ..recursive
        };
        let outcomes = list(&server, 0, all).await;
        let mut shown = with_status(&outcomes, "ok");
        shown.sort();
        assert_eq!(
            shown,
            [".secret/h", "b/d/f/g"],
            "filters are for what is shown"
        );
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_listed_is_an_outcome_of_its_own_and_hides_nothing() {
    let server = server_with(&TREE);
    server.refuse("list /home/user/out/b/d", RemoteErrorKind::Permission);
    for sort in [Sort::Name, Sort::None] {
        let recursive = List {
            recursive: true,
            sort,
            ..List::default()
        };
        let outcomes = list(&server, 0, recursive).await;
        assert_eq!(with_status(&outcomes, "failed"), ["b/d"]);
        assert_eq!(with_status(&outcomes, "ok"), ["a", "b", "b/c", "b/d", "z"]);
        let failed = outcomes.iter().find(|it| it.status == Status::Failed);
        let error = failed.unwrap().error.as_ref().unwrap();
        assert_eq!(error.class(), Class::Permission);
    }
}

#[tokio::test]
async fn links_to_directories_are_followed_on_request_and_never_round_in_circles() {
    let server = server_with(&["out/a/b", "elsewhere/c"]);
    server.files(|tree| {
        tree.symlink("/home/user/out/a/up", "..");
        tree.symlink("/home/user/out/a/self", ".");
        tree.symlink("/home/user/out/more", "/home/user/elsewhere");
        tree.symlink("/home/user/elsewhere/back", "/home/user/out/a");
    });
    let following = List {
        recursive: true,
        symlinks: Symlinks::Follow,
        ..List::default()
    };
    let outcomes = list(&server, 0, following.clone()).await;
    let shown = with_status(&outcomes, "ok");
    assert_eq!(
        shown,
        ["a", "a/b", "a/self", "a/up", "more", "more/back", "more/c"]
    );
    let folder = scratch();
    let skipping = get(&server, folder.path(), below_out()).await;
    assert_eq!(with_status(&skipping, "ok"), ["a/b"]);
    assert_eq!(
        with_status(&skipping, "symlink"),
        ["a/self", "a/up", "more"]
    );
}

#[tokio::test]
async fn the_directory_that_files_are_moved_to_is_not_gone_into() {
    let server = server_with(&["out/a", "out/sub/b"]);
    server.files(|tree| tree.make_directories(b"/home/user/out/done"));
    let moving = Get {
        action: GetAction::GetAndMove,
        move_to_directory: Some("out/done".to_owned()),
        create_directories: true,
        ..below_out()
    };
    let folder = scratch();
    let first = get(&server, folder.path(), moving.clone()).await;
    assert_eq!(with_status(&first, "ok"), ["a", "sub/b"], "{first:?}");
    assert_eq!(with_status(&first, "directory"), ["done"]);
    let second = get(&server, folder.path(), moving).await;
    assert_eq!(told(&second), [("done".to_owned(), "directory")]);
}

#[tokio::test]
async fn a_file_that_changes_between_two_looks_is_left_alone_and_hides_no_other() {
    let stable = Get {
        stable_for: Duration::from_millis(20),
        max_files: 1,
        ..below_out()
    };
    for sort in [Sort::Name, Sort::None] {
        let server = server_with(&["out/a", "out/b", "out/sub/c"]);
        // After the first look at the directory, before the second.
        server.before("readdir /home/user/out", |tree| {
            tree.put("/home/user/out/a", "grown");
            tree.put("/home/user/out/new", "new");
        });
        let folder = scratch();
        let stable = Get {
            sort,
            ..stable.clone()
        };
        let outcomes = get(&server, folder.path(), stable).await;
        assert_eq!(with_status(&outcomes, "still changing"), ["a", "new"]);
        assert_eq!(with_status(&outcomes, "ok"), ["b"]);
        assert_eq!(with_status(&outcomes, "limit"), ["sub/c"]);
    }
}

#[tokio::test]
async fn a_file_waits_for_its_done_file_wherever_the_listing_shows_that() {
    for batch in [1, 100] {
        let server = Server::new(Behaviour {
            batch,
            ..Behaviour::openssh()
        });
        server.files(|tree| {
            for name in ["a", "a.done", "b", "c.done", "d", "d.done"] {
                tree.put(&format!("{HOME}/out/{name}"), name);
            }
        });
        let done = Get {
            done_file: Some("{name}.done".to_owned()),
            max_files: 1,
            ..below_out()
        };
        let folder = scratch();
        let outcomes = get(&server, folder.path(), done).await;
        assert_eq!(with_status(&outcomes, "ok"), ["a"]);
        assert_eq!(with_status(&outcomes, "no done-file"), ["b"]);
        assert_eq!(with_status(&outcomes, "limit"), ["d"]);
        assert_eq!(
            with_status(&outcomes, "done-file"),
            ["a.done", "c.done", "d.done"]
        );
        let looks = server.calls();
        let looks = looks.iter().filter(|call| call.starts_with("lstat"));
        assert_eq!(looks.count(), if batch == 1 { 3 } else { 1 });
    }
}

#[tokio::test]
async fn young_files_and_those_that_an_expression_leaves_out_say_so() {
    let server = server_with(&["out/big", "out/new", "out/x"]);
    server.files(|tree| tree.set_modified("/home/user/out/new", i64::from(u32::MAX)));
    let options = Get {
        min_age: Duration::from_secs(60),
        filter: Some("size > 5".parse().unwrap()),
        ..below_out()
    };
    let folder = scratch();
    let outcomes = get(&server, folder.path(), options).await;
    assert_eq!(with_status(&outcomes, "too young"), ["new"]);
    assert_eq!(with_status(&outcomes, "filtered"), ["x"]);
    assert_eq!(with_status(&outcomes, "ok"), ["big"]);
}

#[tokio::test]
async fn a_connection_lost_at_any_call_tells_of_each_entry_once() {
    let recursive = List {
        recursive: true,
        hidden: true,
        file_filter: Some("*;!z".to_owned()),
        sort: Sort::Name,
        ..List::default()
    };
    let whole = server_with(&TREE);
    let expected = told(&list(&whole, 1, recursive.clone()).await);
    let by_path = expected.iter().cloned().collect::<BTreeMap<_, _>>();
    assert_eq!(by_path.len(), expected.len());
    for at in 1..whole.calls().len() {
        for when in [When::Before, When::After] {
            let server = server_with(&TREE);
            server.fail(Fault {
                at,
                when,
                what: What::Disconnect,
            });
            let outcomes = list(&server, 1, recursive.clone()).await;
            assert_eq!(told(&outcomes), expected, "call {at}: {:?}", server.calls());
        }
    }
}

#[tokio::test]
async fn fifty_thousand_entries_are_listed_and_the_oldest_taken_in_little_memory() {
    const MANY: usize = 50_000;
    let server = Server::new(Behaviour::openssh());
    server.files(|tree| {
        for n in 0..MANY {
            tree.put(&format!("{HOME}/out/{n:05}"), "");
        }
    });
    let little = Connection {
        memory: ByteSize(1 << 20),
        ..connection(0)
    };
    let connector = Connector::new(server.clone(), little);
    let count = async |options: List| {
        let operation = Operation::List(List {
            remote_directory: Some("out".to_owned()),
            ..options
        });
        let mut outcomes = connector.run(operation, stream::iter(vec![Document::empty()]));
        let mut count = BTreeMap::new();
        while let Some(outcome) = outcomes.next().await {
            let what = told(std::slice::from_ref(&outcome)).remove(0).1;
            *count.entry(what).or_insert(0) += 1;
        }
        count
    };
    assert_eq!(count(List::default()).await, [("ok", MANY)].into());
    let oldest = List {
        max_files: 10,
        sort: Sort::Modified,
        ..List::default()
    };
    let expected = [("ok", 10), ("limit", MANY - 10)];
    assert_eq!(count(oldest.clone()).await, expected.into());
    let sorted = List {
        max_files: 0,
        ..oldest
    };
    assert_eq!(count(sorted).await, [("failed", 1)].into());
}

#[tokio::test]
async fn an_interrupted_stream_of_files_is_no_second_listing() {
    let server = Server::new(Behaviour {
        batch: 1,
        ..Behaviour::openssh()
    });
    server.files(|tree| {
        for name in ["a", "b"] {
            tree.put(&format!("{HOME}/out/{name}"), name);
        }
    });
    let streaming = List::default();
    let whole = list(&server, 1, streaming.clone()).await;
    assert_eq!(with_status(&whole, "ok"), ["a", "b"]);
    let last = server.calls().len() - 1;
    server.fail(Fault {
        at: 2 * last + 1,
        when: When::Before,
        what: What::Disconnect,
    });
    let cut = list(&server, 1, streaming).await;
    assert_eq!(with_status(&cut, "ok"), ["a", "b"]);
    assert_eq!(with_status(&cut, "failed"), [""], "{cut:?}");
}
