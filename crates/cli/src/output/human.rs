//! The words and tables for people.
//!
//! Nothing is printed here. Names from the other end are escaped: what a terminal would obey, it
//! does not get.

use std::os::unix::ffi::OsStrExt;

use indicatif::{BinaryBytes, HumanCount};
use sansftp_connector::connection::show_duration;
use sansftp_connector::document::{Body, Properties};
use sansftp_connector::listen::ListenEvent;
use sansftp_connector::outcome::{AfterAction, Outcome, SkipReason, Status};
use sansftp_connector::printable;
use sansftp_connector::sftp::{Details, ServerKey};
use sansftp_connector::transcript::Record;
use serde::Deserialize;

use super::{Recorded, Report, Rows, Tally};

/// What an outcome is about: a file at the server, else a local one.
pub(super) fn subject(properties: &Properties) -> Option<String> {
    let name = properties
        .get("relative-path")
        .or_else(|| properties.get("filename"))
        .or_else(|| properties.get("source-document"))?;
    Some(printable(name).into_owned())
}

/// The line of the table for an outcome; failures are told on standard error instead, but for what was
/// delivered all the same.
pub(super) fn row(rows: Rows, outcome: &Outcome, verbose: bool) -> Option<String> {
    match outcome.status {
        Status::Failed => match rows {
            Rows::Get | Rows::Listen if outcome.delivered => {
                Some(transferred(outcome, &got(outcome)))
            }
            _ => None,
        },
        Status::Skipped(reason) => {
            let told = verbose || matches!(reason, SkipReason::NameRefused | SkipReason::Stopped);
            let name = subject(&outcome.properties).unwrap_or_default();
            told.then(|| format!("{:>10}  {name}  skipped: {}", "-", reason.name()))
        }
        Status::Ok => match rows {
            Rows::Get | Rows::Listen => Some(transferred(outcome, &got(outcome))),
            Rows::Send => Some(transferred(outcome, &sent(outcome))),
            Rows::List => entry(outcome),
            Rows::Delete => Some(transferred(outcome, deleted(outcome))),
            Rows::Steps | Rows::Requests | Rows::None => None,
        },
    }
}

/// The line for an event of a listener; outcomes have lines of their own.
pub(super) fn listened(event: &ListenEvent, verbose: bool) -> Option<String> {
    let name = |file: &Properties| {
        let name = file.get("relative-path").or_else(|| file.get("filename"));
        name.map(|name| printable(name).into_owned())
            .unwrap_or_default()
    };
    let size = |file: &Properties, key| {
        let size = file.text(key).and_then(|size| size.parse().ok());
        size.map_or_else(|| "-".to_owned(), |size| BinaryBytes(size).to_string())
    };
    Some(match event {
        ListenEvent::Listening(begun) => {
            let directory = match begun.properties.get("remote-directory").map(|it| &it[..]) {
                None | Some(b".") => "the home directory".into(),
                Some(directory) => printable(directory),
            };
            format!(
                "listening to {directory} at {}, every {}; what is known is kept in {}",
                printable(begun.properties.get("host").map_or(b"", |host| &host[..])),
                show_duration(begun.interval),
                printable(begun.journal.as_os_str().as_bytes()),
            )
        }
        ListenEvent::Added(file) => format!("{:>10}  {}  added", size(file, "size"), name(file)),
        ListenEvent::Modified(file) => format!(
            "{:>10}  {}  modified, was {}",
            size(file, "size"),
            name(file),
            size(file, "previous-size")
        ),
        ListenEvent::Deleted(file) => format!("{:>10}  {}  deleted", "-", name(file)),
        ListenEvent::Away(away) if away.attempt == 1 || verbose => {
            format!("trying again in {:.1} s", away.next.as_secs_f64())
        }
        ListenEvent::Back(back) => {
            format!("listening again, after {:.1} s", back.away.as_secs_f64())
        }
        ListenEvent::Polled(polled) if verbose => format!(
            "{} listed in {:.2} s: {} added, {} modified, {} deleted, {} waiting; {} known",
            HumanCount(polled.listed),
            polled.took.as_secs_f64(),
            HumanCount(polled.added),
            HumanCount(polled.modified),
            HumanCount(polled.deleted),
            HumanCount(polled.waiting),
            HumanCount(polled.known),
        ),
        _ => return None,
    })
}

fn transferred(outcome: &Outcome, how: &str) -> String {
    let properties = &outcome.properties;
    let size = properties.text("size").and_then(|size| size.parse().ok());
    let size = size.map_or_else(|| "-".to_owned(), |size| BinaryBytes(size).to_string());
    let name = subject(properties).unwrap_or_default();
    format!("{size:>10}  {name}{how}")
}

/// A request that is only planned, and its number.
pub(super) fn request(number: u64, request: &Record) -> String {
    let mut line = format!("{number:>5}  {:<16}", request.operation);
    for (before, path) in [(" ", &request.path), (" -> ", &request.to)] {
        if let Some(path) = path {
            line.push_str(&format!("{before}{}", printable(path.as_bytes())));
        }
    }
    let mut notes = Vec::new();
    notes.extend(request.mode.clone());
    notes.extend(request.offset.map(|offset| format!("from byte {offset}")));
    notes.extend(request.bytes.map(|it| counted(it, "byte", "bytes")));
    notes.extend(request.entries.map(|it| counted(it, "entry", "entries")));
    if request.path.is_none() {
        notes.push(request.account.to_string());
    }
    if !notes.is_empty() {
        line.push_str(&format!("  ({})", notes.join(", ")));
    }
    if request.result != "ok" {
        line.push_str(&format!("  {}", printable(request.result.as_bytes())));
    }
    line
}

/// All that is tracked of a document, in lines of a width that terminals have.
pub(super) fn tracked(properties: &Properties) -> String {
    const INDENT: &str = "            ";
    const WIDTH: usize = 100;
    let mut lines = vec![String::from(INDENT)];
    for (name, value) in properties.iter() {
        let pair = format!("{name}={}", printable(value));
        let last = lines.last_mut().expect("there is always a line");
        if last.len() > INDENT.len() && last.len() + pair.len() > WIDTH {
            lines.push(format!("{INDENT}{pair}  "));
        } else {
            last.push_str(&pair);
            last.push_str("  ");
        }
    }
    let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    lines.join("\n")
}

fn got(outcome: &Outcome) -> String {
    let properties = &outcome.properties;
    let mut how = String::new();
    if let Some(local) = properties.get("local-file") {
        how.push_str(&format!(" -> {}", printable(local)));
    }
    if properties.get("already-present").is_some() {
        how.push_str(", already present");
    }
    match outcome.after_action {
        AfterAction::None => {}
        AfterAction::Deleted => how.push_str(", deleted at the server"),
        AfterAction::Moved => {
            let to = properties.get("move-to-directory");
            let to = to.map(|to| printable(to)).unwrap_or_default();
            how.push_str(&format!(", moved to {to}"));
        }
        AfterAction::Failed => how.push_str(", neither deleted nor moved"),
    }
    how
}

fn deleted(outcome: &Outcome) -> &'static str {
    match outcome.after_action {
        AfterAction::Deleted => ", deleted",
        _ => ", was not there",
    }
}

fn sent(outcome: &Outcome) -> String {
    let properties = &outcome.properties;
    let published = properties
        .get("move-to-directory")
        .or_else(|| properties.get("remote-directory"));
    published.map_or_else(String::new, |directory| {
        format!(" -> {}", printable(directory))
    })
}

/// What List tells of an entry, as far as a line has room for it.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    size: Option<u64>,
    modified: Option<String>,
    permissions: Option<String>,
}

fn entry(outcome: &Outcome) -> Option<String> {
    let Body::Bytes(body) = &outcome.document.as_ref()?.body else {
        return None;
    };
    let entry: Entry = serde_json::from_slice(body).ok()?;
    let unknown = || "-".to_owned();
    let size = entry.size.map_or_else(unknown, |size| size.to_string());
    let modified = entry.modified.unwrap_or_else(unknown);
    let name = subject(&outcome.properties)?;
    let mode = mode(&entry.kind, entry.permissions.as_deref());
    Some(format!("{mode:<10} {size:>12} {modified:<20} {name}"))
}

/// Type and permissions as `ls -l` has them.
fn mode(kind: &str, octal: Option<&str>) -> String {
    let kind = match kind {
        "file" => '-',
        "directory" => 'd',
        "symlink" => 'l',
        _ => '?',
    };
    let Some(bits) = octal.and_then(|octal| u32::from_str_radix(octal, 8).ok()) else {
        return kind.to_string();
    };
    let mut text = String::from(kind);
    for (place, letter) in "rwxrwxrwx".chars().enumerate() {
        let set = bits & (0o400 >> place) != 0;
        let special = bits & (0o4000 >> (place / 3)) != 0;
        text.push(match (letter, special, set) {
            ('x', true, true) if place == 8 => 't',
            ('x', true, false) if place == 8 => 'T',
            ('x', true, true) => 's',
            ('x', true, false) => 'S',
            (letter, _, true) => letter,
            (_, _, false) => '-',
        });
    }
    text
}

/// What was agreed on, a line each.
pub(super) fn report(report: &Report<'_>) -> String {
    let Details {
        server,
        host,
        port,
        user,
        kex,
        host_key_algorithm,
        host_key,
        fingerprint,
        host_certificate,
        cipher_to_server,
        cipher_to_client,
        mac_to_server,
        mac_to_client,
        compression_to_server,
        compression_to_client,
        strict_kex,
        offered,
        remarks,
        extensions,
        limits,
        home,
    } = report.details;
    let both_ways = |to_server: &str, to_client: &str| {
        if to_server == to_client {
            to_server.to_owned()
        } else {
            format!("{to_server} to the server, {to_client} to us")
        }
    };
    let mac = |mac: &Option<String>| mac.clone().unwrap_or_else(|| "by the cipher".to_owned());
    let compression = |method: &Option<String>| method.clone().unwrap_or_else(|| "none".to_owned());
    let strict = if *strict_kex { "strict" } else { "not strict" };
    let kind = host_key.split(' ').next().unwrap_or_default();
    let mut lines = vec![
        ("server", server.clone()),
        ("address", format!("{host} port {port}")),
        ("user", user.clone()),
        ("key exchange", format!("{kex}, {strict}")),
        (
            "host key",
            format!("{kind} {fingerprint}, signed with {host_key_algorithm}"),
        ),
        ("cipher", both_ways(cipher_to_server, cipher_to_client)),
        (
            "integrity",
            both_ways(&mac(mac_to_server), &mac(mac_to_client)),
        ),
        (
            "compression",
            both_ways(
                &compression(compression_to_server),
                &compression(compression_to_client),
            ),
        ),
        ("offered", format!("key exchange {}", list(&offered.kex))),
        ("", format!("host key {}", list(&offered.host_key))),
        ("", format!("cipher {}", list(&offered.cipher))),
        ("", format!("integrity {}", list(&offered.mac))),
        ("", format!("compression {}", list(&offered.compression))),
        ("extensions", list(extensions)),
    ];
    if let Some(certificate) = host_certificate {
        let after_key = lines.iter().position(|(name, _)| *name == "cipher");
        let line = format!(
            "'{}' (serial {}) by {}, for {}",
            certificate.id,
            certificate.serial,
            certificate.authority,
            list(&certificate.names)
        );
        lines.insert(after_key.unwrap_or(lines.len()), ("certificate", line));
    }
    if let Some(limits) = limits {
        lines.push((
            "limits",
            format!(
                "packet {}, read {}, write {}, open files {}",
                bound(limits.max_packet),
                bound(limits.max_read),
                bound(limits.max_write),
                bound(limits.max_open_handles)
            ),
        ));
    }
    lines.push(("home", home.clone()));
    if let Some(entries) = report.entries {
        let directory = match report.directory {
            [] => String::from("the home"),
            named => printable(named).into_owned(),
        };
        lines.push((
            "listing",
            format!("{} in {directory}", counted(entries, "entry", "entries")),
        ));
    }
    lines.extend(remarks.iter().map(|it| ("note", it.clone())));
    let lines = lines
        .into_iter()
        .map(|(what, value)| format!("{what:<13} {}", printable(value.as_bytes())));
    lines.collect::<Vec<_>>().join("\n")
}

/// A number and what it is a number of.
fn counted(number: u64, one: &str, more: &str) -> String {
    let of = if number == 1 { one } else { more };
    format!("{} {of}", HumanCount(number))
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}

/// A bound of the server's; 0 is its word for none.
fn bound(value: u64) -> String {
    if value == 0 {
        return "unbounded".to_owned();
    }
    HumanCount(value).to_string()
}

/// A host key before anyone decides on it.
pub(super) fn key(key: &ServerKey) -> String {
    let mut text = format!(
        "{} {}\n{}",
        printable(key.kind.as_bytes()),
        printable(key.fingerprint.as_bytes()),
        printable(key.line.as_bytes())
    );
    if let Some(certificate) = &key.certificate {
        text.push_str("\nits ");
        text.push_str(certificate);
    }
    text
}

/// What was done about a host key.
pub(super) fn recorded(key: &ServerKey, recorded: Recorded) -> String {
    let file = key.file.display();
    match recorded {
        Recorded::Known => format!("this key is trusted already, by {file}"),
        Recorded::New => format!("this key is recorded in {file}"),
    }
}

/// What became of everything, in one line.
pub(super) fn summary(rows: Rows, tally: &Tally, requests: u64, seconds: f64) -> Option<String> {
    if rows == Rows::Requests {
        let requests = counted(requests, "request", "requests");
        return Some(format!("{requests}; nothing was changed"));
    }
    let nothing_begun = tally.ok == 0 && tally.skipped.is_empty();
    if nothing_begun && tally.failed > 0 && tally.nameless == tally.failed {
        // The error has said it all.
        return None;
    }
    if rows == Rows::List && tally.skipped.is_empty() {
        return None;
    }
    let mut parts: Vec<String> = match rows {
        Rows::Steps => {
            let steps = tally.steps.iter();
            let told = |(step, (rows, ok)): (_, &(Rows, u64))| {
                format!("step {step}: {} {}", HumanCount(*ok), done(*rows))
            };
            steps.map(told).collect()
        }
        Rows::None => return None,
        _ => vec![format!("{} {}", HumanCount(tally.ok), done(rows))],
    };
    if tally.failed > 0 {
        parts.push(format!("{} failed", HumanCount(tally.failed)));
    }
    for (reason, count) in &tally.skipped {
        parts.push(format!("{} skipped ({reason})", HumanCount(*count)));
    }
    if parts.is_empty() {
        return Some("nothing to do".to_owned());
    }
    if !matches!(rows, Rows::Get | Rows::Send) {
        return Some(parts.join(", "));
    }
    let bytes = BinaryBytes(tally.bytes);
    Some(format!("{}; {bytes} in {seconds:.1} s", parts.join(", ")))
}

/// What was done to what succeeded.
fn done(rows: Rows) -> &'static str {
    match rows {
        Rows::Get | Rows::Listen => "fetched",
        Rows::Send => "sent",
        Rows::Delete => "deleted",
        Rows::List => "shown",
        Rows::Steps | Rows::Requests | Rows::None => "done",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sansftp_connector::document::Document;

    #[test]
    fn a_name_cannot_steer_the_terminal() {
        let mut properties = Properties::default();
        properties.set("filename", &b"a\n\x1b[2J\xff"[..]);
        properties.set("size", "2048");
        let outcome = Outcome {
            properties,
            ..Outcome::default()
        };
        let row = row(Rows::Send, &outcome, false).unwrap();
        assert_eq!(row, "  2.00 KiB  a\\n\\u{1b}[2J\\xff");
    }

    #[test]
    fn a_mode_is_shown_as_ls_shows_it() {
        assert_eq!(mode("file", Some("0644")), "-rw-r--r--");
        assert_eq!(mode("directory", Some("1777")), "drwxrwxrwt");
        assert_eq!(mode("file", Some("4710")), "-rws--x---");
        assert_eq!(mode("symlink", None), "l");
    }

    #[test]
    fn a_listing_line_has_type_size_time_and_name() {
        let mut properties = Properties::default();
        properties.set("filename", "a b");
        let json = r#"{"name":"a b","type":"file","size":12,"modified":"2026-01-01T00:00:00Z","permissions":"0600"}"#;
        let outcome = Outcome {
            properties,
            document: Some(Document::bytes(json)),
            ..Outcome::default()
        };
        assert_eq!(
            row(Rows::List, &outcome, false).unwrap(),
            "-rw-------           12 2026-01-01T00:00:00Z a b"
        );
    }

    #[test]
    fn skipped_files_are_told_on_request_and_refused_names_always() {
        let skipped = |reason| Outcome::skipped(Properties::default(), reason);
        assert!(row(Rows::Get, &skipped(SkipReason::Filtered), false).is_none());
        assert!(row(Rows::Get, &skipped(SkipReason::Filtered), true).is_some());
        assert!(row(Rows::Get, &skipped(SkipReason::NameRefused), false).is_some());
    }

    #[test]
    fn each_step_of_a_process_has_its_own_number() {
        let tally = Tally {
            ok: 5,
            failed: 1,
            steps: [(1, (Rows::Get, 3)), (2, (Rows::Send, 2))].into(),
            ..Tally::default()
        };
        assert_eq!(
            summary(Rows::Steps, &tally, 0, 0.0).unwrap(),
            "step 1: 3 fetched, step 2: 2 sent, 1 failed"
        );
    }

    #[test]
    fn one_is_told_as_one() {
        let told = |number| summary(Rows::Requests, &Tally::default(), number, 0.0).unwrap();
        assert_eq!(told(1), "1 request; nothing was changed");
        assert_eq!(told(1200), "1,200 requests; nothing was changed");
    }

    #[test]
    fn the_summary_counts_each_reason() {
        let tally = Tally {
            ok: 2,
            failed: 1,
            nameless: 0,
            steps: Default::default(),
            skipped: [("filtered", 3), ("limit", 1)].into(),
            bytes: 2048,
        };
        assert_eq!(
            summary(Rows::Get, &tally, 0, 0.25).unwrap(),
            "2 fetched, 1 failed, 3 skipped (filtered), 1 skipped (limit); 2.00 KiB in 0.2 s"
        );
        assert_eq!(
            summary(Rows::List, &tally, 0, 0.25).unwrap(),
            "2 shown, 1 failed, 3 skipped (filtered), 1 skipped (limit)"
        );
        assert!(summary(Rows::List, &Tally::default(), 0, 0.25).is_none());
    }
}
