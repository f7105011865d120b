//! The events of a listener as JSON: one flat object each, `event` first.
//!
//! Names that are not UTF-8 are shown with U+FFFD beside their exact bytes as base64, as in
//! outcomes.

use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::ListenEvent;
use crate::document::Properties;
use crate::outcome::Outcome;
use crate::units::show_duration;

#[derive(Serialize)]
struct Flat<'a> {
    event: &'static str,
    #[serde(flatten)]
    outcome: &'a Outcome,
}

impl ListenEvent {
    /// The name in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Listening(_) => "listening",
            Self::Polled(_) => "poll",
            Self::Added(_) => "added",
            Self::Modified(_) => "modified",
            Self::Deleted(_) => "deleted",
            Self::Outcome(_) => "outcome",
            Self::Away(_) => "away",
            Self::Back(_) => "back",
            Self::Stopped(_) => "stopped",
        }
    }
}

impl Serialize for ListenEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let event = self.name();
        if let Self::Outcome(outcome) = self {
            return Flat { event, outcome }.serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("event", event)?;
        match self {
            Self::Listening(begun) => {
                begun.properties.entries_into(&mut map)?;
                let mut journal = Properties::default();
                use std::os::unix::ffi::OsStrExt;
                journal.set("journal", begun.journal.as_os_str().as_bytes().to_vec());
                journal.entries_into(&mut map)?;
                map.serialize_entry("interval", &show_duration(begun.interval))?;
                map.serialize_entry("stable-for", &show_duration(begun.stable_for))?;
            }
            Self::Polled(polled) => {
                map.serialize_entry("listed", &polled.listed)?;
                map.serialize_entry("added", &polled.added)?;
                map.serialize_entry("modified", &polled.modified)?;
                map.serialize_entry("deleted", &polled.deleted)?;
                map.serialize_entry("waiting", &polled.waiting)?;
                map.serialize_entry("taken", &polled.taken)?;
                map.serialize_entry("known", &polled.known)?;
                map.serialize_entry("seconds", &seconds(polled.took))?;
            }
            Self::Added(file) | Self::Modified(file) | Self::Deleted(file) => {
                file.entries_into(&mut map)?;
            }
            Self::Outcome(_) => {}
            Self::Away(away) => {
                map.serialize_entry("error", &away.error)?;
                map.serialize_entry("attempt", &away.attempt)?;
                map.serialize_entry("next-seconds", &seconds(away.next))?;
            }
            Self::Back(back) => {
                map.serialize_entry("seconds", &seconds(back.away))?;
                map.serialize_entry("attempts", &back.attempts)?;
            }
            Self::Stopped(None) => {}
            Self::Stopped(Some(error)) => map.serialize_entry("error", error)?,
        }
        map.end()
    }
}

/// In milliseconds' precision.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::super::{Away, Begun};
    use super::*;
    use crate::error::{Class, Error};

    fn json(event: &ListenEvent) -> String {
        serde_json::to_string(event).unwrap()
    }

    #[test]
    fn each_event_is_one_flat_object_that_begins_with_its_name() {
        let mut file = Properties::default();
        file.set("filename", &b"a\xff"[..]);
        assert_eq!(
            json(&ListenEvent::Added(file)),
            r#"{"event":"added","filename":"a�","filename-base64":"Yf8="}"#
        );
        let begun = Begun {
            properties: Properties::default(),
            journal: "j".into(),
            interval: Duration::from_secs(30),
            stable_for: Duration::from_millis(200),
        };
        assert_eq!(
            json(&ListenEvent::Listening(begun)),
            r#"{"event":"listening","journal":"j","interval":"30s","stable-for":"200ms"}"#
        );
        assert_eq!(json(&ListenEvent::Stopped(None)), r#"{"event":"stopped"}"#);
        let told = json(&ListenEvent::Outcome(Outcome::default()));
        assert!(
            told.starts_with(r#"{"event":"outcome","status":"ok""#),
            "{told}"
        );
    }

    #[test]
    fn who_is_away_says_why_and_when_it_tries_again() {
        let away = Away {
            error: Error::new(Class::Unreachable, "refused"),
            attempt: 2,
            next: Duration::from_millis(61_500),
        };
        let told: serde_json::Value =
            serde_json::from_str(&json(&ListenEvent::Away(away))).unwrap();
        assert_eq!(told["error"]["class"], "unreachable");
        assert_eq!(
            (&told["attempt"], &told["next-seconds"]),
            (&2.into(), &61.5.into())
        );
    }
}
