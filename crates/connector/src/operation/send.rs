//! The options of Send.
//!
//! Not the sending: that is in `run::send`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{MoveCollision, get::collision, setting, words};
use crate::document::Properties;
use crate::error::{Error, Result};
use crate::names::{TemporaryName, template::NameTemplate};

words! {
    /// What happens where the name is taken.
    IfExists("if-exists") {
        /// The first free of `output.txt`, `output1.txt`, `output2.txt`, claimed atomically.
        #[default]
        Rename = "rename",
        /// Goes to the end of the existing file, or into a new one.
        Append = "append",
        /// That document fails.
        Error = "error",
        /// It is replaced; at no moment are both old and new missing.
        Overwrite = "overwrite",
    }
}

words! {
    /// How the result is looked at before it is published.
    Verify("verify") {
        /// Not at all.
        None = "none",
        /// Its size.
        #[default]
        Size = "size",
        /// Its SHA-256: as the server computes it where it can, else by reading it back.
        Hash = "hash",
    }
}

words! {
    /// What happens where the target of `overwrite` is a symbolic link.
    TargetSymlinks("symlinks") {
        /// That document fails.
        #[default]
        Refuse = "refuse",
        /// What it leads to is replaced.
        Follow = "follow",
    }
}

/// The permissions of the new file: octal, or those of the file that is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// The twelve permission bits, written `0644`.
    Mode(u32),
    /// Those of the file that is overwritten, written `keep`.
    Keep,
}

impl FromStr for Permissions {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "keep" {
            return Ok(Self::Keep);
        }
        let digits = text.strip_prefix("0o").unwrap_or(text);
        u32::from_str_radix(digits, 8)
            .ok()
            .filter(|&mode| mode <= 0o7777 && digits.bytes().all(|digit| digit.is_ascii_digit()))
            .map(Self::Mode)
            .ok_or_else(|| format!("'{text}' are no permissions; write them as 0644, or keep"))
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(mode) => write!(f, "{mode:04o}"),
            Self::Keep => f.write_str("keep"),
        }
    }
}

impl Serialize for Permissions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Sends documents: one file per document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Send {
    /// What happens where the name is taken.
    pub if_exists: IfExists,
    /// Where files are written; the connection's directory when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_directory: Option<String>,
    /// Where files are published when complete; where they were written when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub move_to_directory: Option<String>,
    /// Whether a move replaces and copies where it must.
    pub force_move: bool,
    /// Whether a move may replace, apart from `force-move`: unset, it may with and may not without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub move_collision: Option<MoveCollision>,
    /// Where the temporary file is; the remote directory when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub staging_directory: Option<String>,
    /// The temporary file's name, of `{name}` and `{uuid}`; `.{name}.{uuid}.part` when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temporary_name: Option<String>,
    /// Whether files are written under their final name from the first byte.
    pub in_place: bool,
    /// Whether `overwrite` with `in-place` may lose the old content from the first byte.
    pub allow_truncate: bool,
    /// Whether an upload that was cut off goes on where the server acknowledged it, in the same run
    /// or, with a journal, in the next; otherwise it begins again.
    pub resume: bool,
    /// The journal, a file on this machine: a document that is in it as sent is not sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<PathBuf>,
    /// How long the journal keeps what is done and was not met again; for ever when unset.
    #[serde(
        with = "crate::units::optional_duration",
        skip_serializing_if = "Option::is_none"
    )]
    pub journal_keep: Option<Duration>,
    /// Whether the documents after a failed one are left alone.
    pub stop_on_error: bool,
    /// Whether missing directories are made.
    pub create_directories: bool,
    /// The name at the server; the document's own when unset. Of the fields `{base}`,
    /// `{extension}` (the name before and after its last dot), `{date}` (`YYYYMMDD`), `{time}`
    /// (`HHMMSS`), `{uuid}`, `{seq}` (the document's number in the step, from 1), or `$BASE`,
    /// `$EXTENSION`, `$DATE` (`MMDDYYYY`), `$TIME` (`HHMMSS.SSS`), `$UUID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name_template: Option<String>,
    /// The zone of dates and times in `name-template`, such as `Europe/Zurich`; local when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Permissions to set, as well as the server lets us: the outcome's `permissions-set` is `ok`, or
    /// `failed` beside a warning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Permissions>,
    /// Whether the source's modified time is set, as well as the server lets us: `modified-set` says
    /// so as above.
    pub preserve_modified: bool,
    /// Whether the server is to put the file on its disk before it counts; where it can, when
    /// unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fsync: Option<bool>,
    /// How the result is looked at before it is published.
    pub verify: Verify,
    /// Whether the SHA-256 is computed on the way.
    pub checksum: bool,
    /// What happens where the target of `overwrite` is a symbolic link.
    pub symlinks: TargetSymlinks,
}

impl Default for Send {
    fn default() -> Self {
        Self {
            if_exists: IfExists::default(),
            remote_directory: None,
            move_to_directory: None,
            force_move: false,
            move_collision: None,
            staging_directory: None,
            temporary_name: None,
            in_place: false,
            allow_truncate: false,
            resume: true,
            journal: None,
            journal_keep: None,
            stop_on_error: false,
            create_directories: false,
            name_template: None,
            time_zone: None,
            permissions: None,
            preserve_modified: false,
            fsync: None,
            verify: Verify::default(),
            checksum: false,
            symlinks: TargetSymlinks::default(),
        }
    }
}

impl Send {
    /// What happens when the target of the move is taken.
    pub fn collision(&self) -> MoveCollision {
        collision(self.move_collision, self.force_move)
    }

    /// Reports what cannot be carried out.
    pub(super) fn validate(&self, properties: &Properties) -> Result<()> {
        if self.journal_keep.is_some() && self.journal.is_none() {
            return Err(super::keep_without_journal());
        }
        let staged = setting(self.staging_directory.as_ref()).is_some()
            || setting(self.temporary_name.as_ref()).is_some();
        if staged && self.in_place {
            return Err(Error::configuration(
                "in-place writes under the final name, so there is no staging-directory or temporary-name",
            )
            .with_hint("leave in-place out, or the other two"));
        }
        if staged && self.if_exists == IfExists::Append {
            return Err(Error::configuration(
                "append writes into the existing file, so there is no staging-directory or temporary-name",
            )
            .with_hint("leave these out with if-exists = append"));
        }
        let truncates = self.in_place && self.if_exists == IfExists::Overwrite;
        if truncates && !self.allow_truncate {
            return Err(Error::configuration(
                "overwrite with in-place loses the old content from the first byte",
            )
            .with_hint("leave in-place out, or accept this with allow-truncate = true"));
        }
        if self.allow_truncate && !truncates {
            return Err(Error::configuration(
                "allow-truncate is for if-exists = overwrite together with in-place",
            )
            .with_hint("leave allow-truncate out"));
        }
        if self.permissions == Some(Permissions::Keep) && self.if_exists != IfExists::Overwrite {
            return Err(Error::configuration(
                "permissions = keep copies those of the file that is overwritten",
            )
            .with_hint("use it with if-exists = overwrite, or give the permissions as 0644"));
        }
        if self.symlinks == TargetSymlinks::Follow && self.if_exists != IfExists::Overwrite {
            return Err(
                Error::configuration("symlinks = follow says which file is overwritten")
                    .with_hint("use it with if-exists = overwrite, or leave symlinks out"),
            );
        }
        let moves = setting(self.move_to_directory.as_ref()).is_some()
            || properties.setting("move-to-directory")?.is_some();
        if (self.force_move || self.move_collision.is_some()) && !moves {
            return Err(Error::configuration(
                "force-move and move-collision need a move-to-directory",
            )
            .with_hint("set move-to-directory, or leave them out"));
        }
        if let Some(name) = setting(self.temporary_name.as_ref()) {
            TemporaryName::parse(name)?;
        }
        self.template().map(|_| ())
    }

    /// The name template, read; `None` when the document's own name is used.
    ///
    /// # Errors
    /// `configuration`.
    pub(crate) fn template(&self) -> Result<Option<NameTemplate>> {
        let zone = setting(self.time_zone.as_ref());
        let Some(template) = setting(self.name_template.as_ref()) else {
            if zone.is_some() {
                return Err(
                    Error::configuration("time-zone is for the dates of a name-template")
                        .with_hint("set name-template, or leave time-zone out"),
                );
            }
            return Ok(None);
        };
        NameTemplate::parse(template, zone).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_impossible_combination_is_reported_with_its_remedy() {
        let text = |text: &str| Some(text.to_owned());
        let broken = [
            Send {
                in_place: true,
                staging_directory: text("tmp"),
                ..Send::default()
            },
            Send {
                if_exists: IfExists::Append,
                temporary_name: text("{name}.tmp"),
                ..Send::default()
            },
            Send {
                if_exists: IfExists::Overwrite,
                in_place: true,
                ..Send::default()
            },
            Send {
                allow_truncate: true,
                ..Send::default()
            },
            Send {
                permissions: Some(Permissions::Keep),
                ..Send::default()
            },
            Send {
                symlinks: TargetSymlinks::Follow,
                ..Send::default()
            },
            Send {
                force_move: true,
                ..Send::default()
            },
            Send {
                temporary_name: text("{name}"),
                ..Send::default()
            },
            Send {
                name_template: text("{bse}"),
                ..Send::default()
            },
            Send {
                time_zone: text("Europe/Zurich"),
                ..Send::default()
            },
        ];
        for send in broken {
            let error = send.validate(&Properties::default()).unwrap_err();
            assert_eq!(error.class(), crate::error::Class::Configuration, "{error}");
            assert!(error.hint().is_some(), "{error}");
        }
        Send::default().validate(&Properties::default()).unwrap();
    }

    #[test]
    fn permissions_are_octal_or_kept() {
        assert_eq!("0640".parse(), Ok(Permissions::Mode(0o640)));
        assert_eq!("keep".parse(), Ok(Permissions::Keep));
        assert!("0899".parse::<Permissions>().is_err());
        assert!("+644".parse::<Permissions>().is_err());
        assert!("77777".parse::<Permissions>().is_err());
        assert_eq!(Permissions::Mode(0o644).to_string(), "0644");
    }
}
