//! The fields of filter expressions, each with each of its operators, over what a server lists.

use std::fs::File;
use std::time::{Duration, SystemTime};

use sansftp_connector::document::Document;
use sansftp_connector::operation::List;

use super::fixture::{World, taken};

/// The names that this expression takes, in their order.
async fn meant(world: &World, expression: &str) -> String {
    let operation = format!("action = 'list'\nsort = 'name'\nfilter = '{expression}'");
    let outcomes = world.run(&operation, vec![Document::empty()]).await;
    let names = taken(&outcomes);
    let names = names.iter().map(|told| {
        let name = told.strip_suffix(" ok");
        name.unwrap_or_else(|| panic!("{expression}: {told}"))
    });
    names.collect::<Vec<_>>().join(" ")
}

async fn all_mean(world: &World, cases: &[(&str, &str)]) {
    for (expression, expected) in cases {
        assert_eq!(meant(world, expression).await, *expected, "{expression}");
    }
}

#[track_caller]
fn refused(expression: &str) {
    let read = toml::from_str::<List>(&format!("filter = '{expression}'"));
    let error = read.expect_err(expression).to_string();
    assert!(error.contains("at character"), "{expression}: {error}");
}

#[tokio::test]
async fn name() {
    let world = World::holding(&[("a.csv", "1"), ("b.csv", "2"), ("c.txt", "3")]);
    let cases = [
        (r#"name = "b.csv""#, "b.csv"),
        (r#"name != "b.csv""#, "a.csv c.txt"),
        (r#"name < "b.csv""#, "a.csv"),
        (r#"name > "b.csv""#, "c.txt"),
        (r#"name <= "b.csv""#, "a.csv b.csv"),
        (r#"name >= "b.csv""#, "b.csv c.txt"),
        (r#"name ~ "*.csv""#, "a.csv b.csv"),
        (r#"name ~ "?.CSV""#, ""),
        (r#"name =~ "[bc][.].*""#, "b.csv c.txt"),
        (r#"name =~ "[bc]""#, ""),
    ];
    all_mean(&world, &cases).await;
    refused("name = 5");
    refused(r#"name =~ "[""#);
}

#[tokio::test]
async fn size() {
    let world = World::holding(&[("a", ""), ("b", "22"), ("c", &"x".repeat(2048))]);
    let cases = [
        ("size = 2", "b"),
        ("size != 2", "a c"),
        ("size < 2", "a"),
        ("size > 0", "b c"),
        ("size <= 2", "a b"),
        ("size >= 2KiB", "c"),
    ];
    all_mean(&world, &cases).await;
    refused("size ~ 2");
    refused("size > ");
}

fn set_modified(world: &World, name: &str, time: SystemTime) {
    let path = world.sshd.home().join(name);
    let file = File::options().append(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

#[tokio::test]
async fn modified() {
    let world = World::holding(&[("a", "1"), ("b", "2"), ("c", "3")]);
    for (name, seconds) in [
        ("a", 1_000_000_000),
        ("b", 1_500_000_000),
        ("c", 2_000_000_000),
    ] {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        set_modified(&world, name, time);
    }
    let cases = [
        (r#"modified = "2017-07-14T02:40:00Z""#, "b"),
        (r#"modified != "2017-07-14T02:40:00Z""#, "a c"),
        (r#"modified < "2017-07-14T04:40:00+02:00""#, "a"),
        (r#"modified > "2017-07-14T02:40:00Z""#, "c"),
        (r#"modified <= "2017-07-14T02:40:00Z""#, "a b"),
        (r#"modified >= "2017-07-14T02:40:00Z""#, "b c"),
        ("modified >= 2017-07-15", "c"),
    ];
    all_mean(&world, &cases).await;
    refused("modified ~ 2017-07-14");
    refused("modified > yesterday");
}

/// Hours apart, so that no machine is too slow for it.
#[tokio::test]
async fn age() {
    let world = World::holding(&[("a", "1"), ("b", "2"), ("c", "3")]);
    for (name, hours) in [("a", 0), ("b", 10), ("c", 20)] {
        let age = Duration::from_secs(hours * 3600);
        set_modified(&world, name, SystemTime::now() - age);
    }
    let cases = [
        ("age < 5h", "a"),
        ("age > 5h", "b c"),
        ("age <= 15h", "a b"),
        ("age >= 15h30m", "c"),
        ("age = 7h", ""),
        ("age != 7h", "a b c"),
    ];
    all_mean(&world, &cases).await;
    refused("age =~ 5m");
    refused("age > 5");
}

#[tokio::test]
async fn is_directory() {
    let world = World::holding(&[("a", "1"), ("sub/b", "2")]);
    let cases = [
        ("is-directory", "sub"),
        ("is-directory = true", "sub"),
        ("is-directory = false", "a"),
        ("is-directory != true", "a"),
        ("is-directory != false", "sub"),
    ];
    all_mean(&world, &cases).await;
    refused("is-directory > true");
}

#[tokio::test]
async fn and_or_not() {
    let world = World::holding(&[("a", "1"), ("b", "22"), ("c", "333")]);
    let cases = [
        (r#"name = "a" or name = "b" and size > 5"#, "a"),
        (r#"(name = "a" or name = "b") and size > 5"#, ""),
        (r#"not name = "a" and size < 3"#, "b"),
        (r#"not (name = "a" or size = 3)"#, "b"),
        (r#"not not name = "c""#, "c"),
    ];
    all_mean(&world, &cases).await;
    refused("size > 1 and");
    refused("(size > 1");
    refused("colour = 1");
}
