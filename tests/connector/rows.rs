//! That each row has its test, and each key its row.

use std::collections::BTreeSet;

use sansftp_connector::connection::Connection;
use sansftp_connector::keys_of;
use sansftp_connector::operation::{Delete, Get, List, Polling, Send};

const ROWS: &str = include_str!("rows.txt");

/// Kind, test, keys.
fn rows() -> impl Iterator<Item = (&'static str, &'static str, Vec<&'static str>)> {
    let lines = ROWS
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| {
        let (row, keys) = line.split_once(':').expect("KIND TEST: KEYS");
        let (kind, test) = row.split_once(' ').expect("KIND TEST: KEYS");
        (kind, test, keys.split_whitespace().collect())
    })
}

#[test]
fn every_row_has_a_test_of_its_name() {
    for (kind, test, _) in rows() {
        let source = match kind {
            "connection" => include_str!("connection.rs"),
            "reach" => include_str!("reach.rs"),
            "get" => include_str!("get.rs"),
            "send" => include_str!("send.rs"),
            "list" => include_str!("list.rs"),
            "delete" => include_str!("delete.rs"),
            "listen" => include_str!("listen.rs"),
            "filter" => include_str!("filter.rs"),
            other => panic!("there are no rows of {other}"),
        };
        let begins = |sign: &str| source.contains(&format!("{sign}fn {test}() {{"));
        assert!(
            begins("#[tokio::test]\nasync ") || begins("#[test]\n"),
            "{kind} {test} has no test"
        );
    }
}

#[test]
fn every_key_has_a_row() {
    for (kind, keys) in [
        ("connection", keys_of::<Connection>()),
        ("get", keys_of::<Get>()),
        ("send", keys_of::<Send>()),
        ("list", keys_of::<List>()),
        ("delete", keys_of::<Delete>()),
        // Beside those of Get.
        ("listen", keys_of::<Polling>()),
        (
            "filter",
            &["name", "size", "modified", "age", "is-directory"],
        ),
    ] {
        let listed: BTreeSet<&str> = rows()
            .filter(|row| row.0 == kind || (kind, row.0) == ("connection", "reach"))
            .flat_map(|row| row.2)
            .collect();
        for key in keys {
            assert!(listed.contains(key), "no row of {kind} is about {key}");
        }
        for key in listed {
            let known = keys.contains(&key) || key == "-" || (kind, key) == ("get", "action");
            assert!(known, "{kind} has no key {key}");
        }
    }
}
