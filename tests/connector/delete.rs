//! The rows of Delete.

use sansftp_connector::Class;
use sansftp_connector::document::Document;
use sansftp_connector::outcome::{AfterAction, Outcome};

use super::fixture::{World, bad, files, good, said, text};

async fn delete(world: &World, keys: &str, names: &[&str]) -> Vec<Outcome> {
    let named = |name: &&str| Document::empty().with("filename", (*name).to_owned());
    let operation = format!("action = 'delete'\n{keys}");
    world
        .run(&operation, names.iter().map(named).collect())
        .await
}

#[tokio::test]
async fn remote_directory() {
    let world = World::holding(&[("a", "1"), ("out/a", "2"), ("out/b", "3")]);
    let outcome = good(delete(&world, "remote-directory = 'out'", &["a"]).await);
    assert_eq!(outcome.after_action, AfterAction::Deleted);
    assert_eq!(world.remote(), files(&[("a", "1"), ("out/b", "3")]));
    good(delete(&world, "", &["a"]).await);
    assert_eq!(world.remote(), files(&[("out/b", "3")]));
    for name in ["out/b", "..", "*"] {
        let outcomes = delete(&world, "remote-directory = 'out'", &[name]).await;
        assert!(outcomes[0].error.is_some(), "{name}");
    }
    assert_eq!(world.remote(), files(&[("out/b", "3")]), "by name alone");
}

#[tokio::test]
async fn missing_ok() {
    let world = World::holding(&[("a", "1")]);
    bad(delete(&world, "", &["none"]).await, Class::NotFound);
    let outcome = good(delete(&world, "missing-ok = true", &["none"]).await);
    assert_eq!(text(&outcome, "missing"), "true");
    assert_eq!(outcome.after_action, AfterAction::None);
    assert_eq!(world.remote(), files(&[("a", "1")]));
}

#[tokio::test]
async fn directories() {
    let world = World::holding(&[("full/a", "1")]);
    world.sshd.mkdir("empty");
    let is_there = |name: &str| world.sshd.home().join(name).is_dir();
    bad(delete(&world, "", &["empty"]).await, Class::Failure);
    assert!(is_there("empty"), "never unless it is said");
    let words = bad(
        delete(&world, "directories = true", &["full"]).await,
        Class::Failure,
    );
    assert!(words.contains("empty"), "{words}");
    assert_eq!(world.remote(), files(&[("full/a", "1")]));
    good(delete(&world, "directories = true", &["empty"]).await);
    assert!(!is_there("empty"));
}

#[tokio::test]
async fn stop_on_error() {
    let world = World::holding(&[("a", "1"), ("b", "2")]);
    let outcomes = delete(&world, "stop-on-error = true", &["none", "a"]).await;
    let words = said(&outcomes);
    assert_eq!(words[0], "none failed not-found");
    assert!(words[1].starts_with("a skipped "), "{words:?}");
    assert_eq!(world.remote(), files(&[("a", "1"), ("b", "2")]));
    let outcomes = delete(&world, "", &["none", "a"]).await;
    assert_eq!(said(&outcomes), ["none failed not-found", "a ok"]);
    assert_eq!(world.remote(), files(&[("b", "2")]));
}
