//! What became of one document or file.
//!
//! Not a log: one value per document or file, whole when it is yielded.

use serde::{Serialize, Serializer};

use crate::document::{Document, Properties};
use crate::error::{Error, Result};

/// What became of one document or file.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Done, failed, or left alone and why.
    pub status: Status,
    /// Tracked properties, and those that the document brought along: `filename`, `host`, `port`,
    /// `remote-directory`, `move-to-directory`, `size` (bytes), `modified` (RFC 3339),
    /// `permissions` (octal), `sha256`, `bytes-per-second`, `verified`, `moved-by`, `claimed-by`,
    /// `no-replace`, `source-document`; of Get also `document-id` and `delivery-id` (the same text
    /// whenever this version of the file is met) and `relative-path` (of one in a directory below),
    /// and into a directory `local-file` and `already-present`.
    pub properties: Properties,
    /// What happened to the source after delivery.
    pub after_action: AfterAction,
    /// Whether the document is durably where it was to go; may be true of a failed one.
    pub delivered: bool,
    /// Why it failed.
    pub error: Option<Error>,
    /// What did not succeed beside the main thing: permissions, times, an after-action that may
    /// fail.
    pub warnings: Vec<Error>,
    /// The document that came out, where the operation makes one and nobody else took it.
    pub document: Option<Document>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Done.
    #[default]
    Ok,
    /// Not done, or not wholly; the error says why.
    Failed,
    /// Left alone.
    Skipped(SkipReason),
}

/// Why a file was left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// The file filter does not take this name.
    Filtered,
    /// The name begins with a dot and nobody asked for such.
    Hidden,
    /// The name has the form of our own temporary and backup files.
    Temporary,
    /// More files match than may be taken: this one waits.
    Limit,
    /// The name holds a `/` or NUL, or is empty, `.` or `..`: it is no name.
    NameRefused,
    /// It is a symbolic link, and these are not followed.
    Symlink,
    /// It is no file: a device, a socket, a pipe.
    NotAFile,
    /// It is a directory, and the operation does not go into it.
    Directory,
    /// It has not been there unchanged for as long as `min-age` says.
    TooYoung,
    /// Its size or time changed between two looks.
    StillChanging,
    /// Its done-file is not there yet.
    NotDone,
    /// It is a done-file: it says that another file is complete, and goes with that one.
    DoneFile,
    /// The journal says that it was handled before.
    AlreadyProcessed,
    /// Another process that shares the journal has it in hand.
    InHand,
    /// The step ended before its turn: an earlier document failed and `stop-on-error` is set.
    Stopped,
}

impl SkipReason {
    /// The words for people and JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Filtered => "filtered",
            Self::Hidden => "hidden",
            Self::Temporary => "temporary",
            Self::Limit => "limit",
            Self::NameRefused => "name refused",
            Self::Symlink => "symlink",
            Self::NotAFile => "not a file",
            Self::Directory => "directory",
            Self::TooYoung => "too young",
            Self::StillChanging => "still changing",
            Self::NotDone => "no done-file",
            Self::DoneFile => "done-file",
            Self::AlreadyProcessed => "already processed",
            Self::InHand => "in hand",
            Self::Stopped => "stopped",
        }
    }
}

/// What happened to the source after delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AfterAction {
    /// None was asked for, or it did not come to it.
    #[default]
    None,
    /// The source is gone.
    Deleted,
    /// The source was moved.
    Moved,
    /// It was asked for and did not succeed; the source is where it was.
    Failed,
}

impl Outcome {
    /// A failure that carries these properties.
    pub fn failed(properties: Properties, error: Error) -> Self {
        Self {
            status: Status::Failed,
            properties,
            error: Some(error),
            ..Self::default()
        }
    }

    /// A file that was left alone.
    pub fn skipped(properties: Properties, reason: SkipReason) -> Self {
        Self {
            status: Status::Skipped(reason),
            properties,
            ..Self::default()
        }
    }
}

impl Serialize for Outcome {
    /// One JSON object: the tracked properties, `status`, `after-action`, and where they apply
    /// `reason`, `delivered`, `error`, `warnings`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        match self.status {
            Status::Ok => map.serialize_entry("status", "ok")?,
            Status::Failed => map.serialize_entry("status", "failed")?,
            Status::Skipped(reason) => {
                map.serialize_entry("status", "skipped")?;
                map.serialize_entry("reason", reason.name())?;
            }
        }
        self.properties.entries_into(&mut map)?;
        map.serialize_entry("after-action", &self.after_action)?;
        if self.delivered {
            map.serialize_entry("delivered", &true)?;
        }
        if let Some(error) = &self.error {
            map.serialize_entry("error", error)?;
        }
        if !self.warnings.is_empty() {
            map.serialize_entry("warnings", &self.warnings)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;

    #[test]
    fn the_json_of_an_outcome_is_one_flat_object() {
        let mut properties = Properties::default();
        properties.set("filename", "a");
        properties.set("size", "12");
        let mut outcome = Outcome::failed(properties, Error::new(Class::Exists, "taken"));
        outcome.delivered = true;
        outcome.after_action = AfterAction::Failed;
        assert_eq!(
            serde_json::to_string(&outcome).unwrap(),
            r#"{"status":"failed","filename":"a","size":12,"after-action":"failed","delivered":true,"error":{"class":"exists","message":"taken","hint":null,"retryable":false}}"#
        );
    }

    #[test]
    fn a_skipped_file_says_why() {
        let outcome = Outcome::skipped(Properties::default(), SkipReason::NameRefused);
        let json = serde_json::to_string(&outcome).unwrap();
        assert!(json.contains(r#""reason":"name refused""#), "{json}");
    }
}
