//! Entries of a journal, for people and for programs.
//!
//! Names from the other end are escaped for people, and beside what is not UTF-8 programs get the
//! exact bytes as base64.

use jiff::Timestamp;
use sansftp_connector::document::Properties;
use sansftp_connector::journal::{EntryId, EntryKind, Record};
use sansftp_connector::printable;
use serde_json::{Map, Value};

use super::{Detail, Form, Output};

impl Output {
    /// One entry of a list.
    pub(crate) fn journal_row(&mut self, record: &Record) {
        self.counted();
        match self.form {
            Form::Json => self.line(&event(record)),
            Form::Human => self.line(&row(record, Timestamp::now())),
        }
    }

    /// One entry with all that is known of it.
    pub(crate) fn journal_whole(&mut self, record: &Record) {
        self.counted();
        match self.form {
            Form::Json => self.line(&event(record)),
            Form::Human => self.line(&whole(record)),
        }
    }

    /// What was done to an entry.
    pub(crate) fn journal_changed(&mut self, id: EntryId, what: &str) {
        self.counted();
        match self.form {
            Form::Json => {
                let mut map = Map::new();
                map.insert("event".into(), "changed".into());
                map.insert("entry".into(), id.to_string().into());
                map.insert("change".into(), what.into());
                self.line(&Value::Object(map).to_string());
            }
            Form::Human if self.detail == Detail::Quiet => {}
            Form::Human => self.line(&format!("{id} {what}")),
        }
    }
}

/// `g12    delivered       1234   5m  edi@partner:22  /out/a.csv`, and the failure below it.
fn row(record: &Record, now: Timestamp) -> String {
    let size = record
        .size
        .map_or_else(|| "-".to_owned(), |size| size.to_string());
    let last = record.times.last().map_or(0, |&(_, at)| at);
    let age = age(now.as_millisecond().saturating_sub(last) / 1000);
    let mut text = format!(
        "{:<7} {:<10} {size:>12} {age:>5}  {}  {}",
        record.id.to_string(),
        record.state,
        printable(record.account.as_bytes()),
        subject(record)
    );
    if let Some(process) = record.in_hand {
        text.push_str(&format!("  (in the hands of process {process})"));
    }
    if let Some((class, words)) = &record.failed {
        let words = printable(words.as_bytes());
        text.push_str(&format!("\n        failed ({class}): {words}"));
    }
    text
}

/// What it is about: a path at the server, and of a document its id.
fn subject(record: &Record) -> String {
    let mut path = record.directory.clone();
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(record.name.as_deref().unwrap_or_default());
    let mut text = printable(&path).into_owned();
    if let Some(document) = &record.document {
        text.push_str(&format!("  document {}", printable(document.as_bytes())));
    }
    text
}

fn whole(record: &Record) -> String {
    let kind = match record.id.kind() {
        EntryKind::Get => "get",
        EntryKind::Send => "send",
    };
    let text = |bytes: &[u8]| printable(bytes).into_owned();
    let mut lines = vec![
        ("entry", format!("{} of {kind}", record.id)),
        ("state", record.state.clone()),
        ("account", text(record.account.as_bytes())),
        ("directory", text(&record.directory)),
    ];
    lines.extend(record.name.as_deref().map(|name| ("name", text(name))));
    if let Some(document) = &record.document {
        lines.push(("document", text(document.as_bytes())));
    }
    lines.extend(record.size.map(|size| ("size", size.to_string())));
    if let Some(at) = record.modified {
        lines.push(("modified", seconds(at)));
    }
    lines.extend(record.sha256.map(|sha256| ("sha256", hex(&sha256))));
    for (what, place) in &record.places {
        lines.push((*what, text(place)));
    }
    lines.extend(record.after.clone().map(|after| ("after-action", after)));
    let holder = match record.in_hand {
        Some(process) => format!("process {process}"),
        None => "nobody".to_owned(),
    };
    lines.push((
        "in hand",
        match record.claims {
            1 => format!("{holder}; taken once"),
            claims => format!("{holder}; taken {claims} times"),
        },
    ));
    if let Some((class, words)) = &record.failed {
        lines.push(("failure", format!("{class}: {}", text(words.as_bytes()))));
    }
    let mut lines: Vec<String> = lines
        .into_iter()
        .map(|(what, value)| format!("{what:<13} {value}"))
        .collect();
    for &(what, at) in &record.times {
        lines.push(format!("{:<13} {}", format!("{what} at"), milliseconds(at)));
    }
    lines.join("\n")
}

fn event(record: &Record) -> String {
    let mut bytes = Properties::default();
    bytes.set("directory", record.directory.clone());
    if let Some(name) = &record.name {
        bytes.set("name", name.clone());
    }
    for (what, place) in &record.places {
        bytes.set(what, place.clone());
    }
    let mut map = Map::new();
    map.insert("event".into(), "entry".into());
    map.insert("entry".into(), record.id.to_string().into());
    map.insert("state".into(), record.state.clone().into());
    map.insert("account".into(), record.account.clone().into());
    if let Ok(Value::Object(named)) = serde_json::to_value(&bytes) {
        map.extend(named);
    }
    map.insert("document".into(), record.document.clone().into());
    map.insert("size".into(), record.size.into());
    map.insert("modified".into(), record.modified.map(seconds).into());
    map.insert("sha256".into(), record.sha256.map(|it| hex(&it)).into());
    map.insert("after-action".into(), record.after.clone().into());
    map.insert("in-hand".into(), record.in_hand.into());
    map.insert("claims".into(), record.claims.into());
    let failure = record.failed.as_ref().map(|(class, words)| {
        let mut failure = Map::new();
        failure.insert("class".into(), class.clone().into());
        failure.insert("message".into(), words.clone().into());
        Value::Object(failure)
    });
    map.insert("error".into(), failure.into());
    let times = record.times.iter();
    let times = times.map(|&(what, at)| (what.to_owned(), milliseconds(at).into()));
    map.insert("times".into(), Value::Object(times.collect()));
    Value::Object(map).to_string()
}

fn seconds(at: i64) -> String {
    Timestamp::from_second(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}

fn milliseconds(at: i64) -> String {
    Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |at| at.to_string())
}

/// The largest unit, rounded down.
fn age(seconds: i64) -> String {
    const UNITS: &[(i64, &str)] = &[(86_400, "d"), (3_600, "h"), (60, "m")];
    let seconds = seconds.max(0);
    UNITS
        .iter()
        .find(|&&(unit, _)| seconds >= unit)
        .map_or_else(
            || format!("{seconds}s"),
            |&(unit, letter)| format!("{}{letter}", seconds / unit),
        )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_in_its_largest_unit() {
        let ages = [-3, 0, 59, 60, 3_599, 3_600, 90_000].map(age);
        assert_eq!(ages, ["0s", "0s", "59s", "1m", "59m", "1h", "1d"]);
    }
}
