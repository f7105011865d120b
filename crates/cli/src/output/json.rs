//! The events for programs: one JSON object a line.
//!
//! Names that are not UTF-8 are shown with U+FFFD beside their exact bytes as base64, by the
//! connector's own serialisation.

use sansftp_connector::document::Body;
use sansftp_connector::listen::ListenEvent;
use sansftp_connector::outcome::Outcome;
use sansftp_connector::sftp::{Details, KeyState, ServerKey};
use sansftp_connector::transcript::Record;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Recorded, Report, Tally};

#[derive(Serialize)]
struct OutcomeEvent<'a> {
    event: &'static str,
    /// The step of a process in which it came to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<usize>,
    #[serde(flatten)]
    outcome: &'a Outcome,
    /// What List tells of an entry, as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<&'a RawValue>,
}

/// One outcome.
pub(super) fn outcome(step: Option<usize>, outcome: &Outcome) -> String {
    let document = match outcome.document.as_ref().map(|document| &document.body) {
        Some(Body::Bytes(body)) => serde_json::from_slice(body).ok(),
        _ => None,
    };
    text(&OutcomeEvent {
        event: "outcome",
        step,
        outcome,
        document,
    })
}

#[derive(Serialize)]
struct RequestEvent<'a> {
    event: &'static str,
    #[serde(flatten)]
    request: &'a Record,
}

/// What would be asked of a server.
pub(super) fn request(request: &Record) -> String {
    text(&RequestEvent {
        event: "request",
        request,
    })
}

/// What a listener tells.
pub(super) fn listened(event: &ListenEvent) -> String {
    text(event)
}

#[derive(Serialize)]
struct Summary {
    event: &'static str,
    ok: u64,
    failed: u64,
    skipped: u64,
    bytes: u64,
    seconds: f64,
}

/// The last event.
pub(super) fn summary(tally: &Tally, seconds: f64) -> String {
    text(&Summary {
        event: "summary",
        ok: tally.ok,
        failed: tally.failed,
        skipped: tally.skipped.values().sum(),
        bytes: tally.bytes,
        seconds: (seconds * 1000.0).round() / 1000.0,
    })
}

#[derive(Serialize)]
struct SessionEvent<'a> {
    event: &'static str,
    #[serde(flatten)]
    details: &'a Details,
    entries: Option<u64>,
}

/// What was agreed on with a server.
pub(super) fn report(report: &Report<'_>) -> String {
    text(&SessionEvent {
        event: "session",
        details: report.details,
        entries: report.entries,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct KeyEvent<'a> {
    event: &'static str,
    #[serde(rename = "type")]
    kind: &'a str,
    fingerprint: &'a str,
    line: &'a str,
    file: std::borrow::Cow<'a, str>,
    state: &'static str,
    recorded: bool,
}

/// What was done about a host key.
pub(super) fn key(key: &ServerKey, recorded: Recorded) -> String {
    text(&KeyEvent {
        event: "host-key",
        kind: &key.kind,
        fingerprint: &key.fingerprint,
        line: &key.line,
        file: key.file.to_string_lossy(),
        state: match key.state {
            KeyState::Known => "known",
            _ => "unknown",
        },
        recorded: recorded == Recorded::New,
    })
}

#[derive(Serialize)]
struct StepEvent<'a> {
    event: &'static str,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<String>,
}

/// A step of a demonstration, and the command line that it is.
pub(super) fn step(words: &str, command: Option<&str>) -> String {
    text(&StepEvent {
        event: "step",
        text: words,
        command: command.map(|words| format!("sansftp {words}")),
    })
}

fn text(event: &impl Serialize) -> String {
    serde_json::to_string(event).expect("an event is made of text, numbers and maps with text keys")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sansftp_connector::document::{Document, Properties};

    #[test]
    fn an_outcome_is_one_flat_object_that_begins_with_its_event() {
        let mut properties = Properties::default();
        properties.set("filename", &b"a\n\xff"[..]);
        let told = outcome(
            None,
            &Outcome {
                properties,
                ..Outcome::default()
            },
        );
        assert_eq!(
            told,
            r#"{"event":"outcome","status":"ok","filename":"a\n�","filename-base64":"YQr/","after-action":"none"}"#
        );
    }

    #[test]
    fn an_entry_of_a_listing_has_its_document() {
        let told = outcome(
            None,
            &Outcome {
                document: Some(Document::bytes(r#"{"name":"a","uid":7}"#)),
                ..Outcome::default()
            },
        );
        assert!(
            told.contains(r#""document":{"name":"a","uid":7}"#),
            "{told}"
        );
    }

    #[test]
    fn the_summary_has_its_five_numbers() {
        let tally = Tally {
            ok: 1,
            failed: 2,
            nameless: 0,
            steps: Default::default(),
            skipped: [("limit", 2), ("hidden", 1)].into(),
            bytes: 4,
        };
        assert_eq!(
            summary(&tally, 1.23456),
            r#"{"event":"summary","ok":1,"failed":2,"skipped":3,"bytes":4,"seconds":1.235}"#
        );
    }
}
