//! The options of Get.
//!
//! Not the fetching: that is in `run::get`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{setting, words};
use crate::document::Properties;
use crate::error::{Error, Result};
use crate::filter::{Expression, NameFilter};
use crate::names::DoneFile;

/// Directories down that `recursive` goes at most: each holds a listing open at the server.
pub(crate) const DEEPEST: u32 = 100;

words! {
    /// What Get does with a file once it is delivered.
    GetAction("action") {
        /// It stays.
        #[default]
        Get = "get",
        /// It is deleted.
        GetAndDelete = "get-and-delete",
        /// It is moved to the move-to directory.
        GetAndMove = "get-and-move",
    }
}

words! {
    /// The order in which files are taken; ties by the bytes of the names.
    Sort("sort") {
        /// By the bytes of the names.
        #[default]
        Name = "name",
        /// By the bytes of the names, the last first.
        NameDescending = "-name",
        /// The oldest first.
        Modified = "modified",
        /// The newest first.
        ModifiedDescending = "-modified",
        /// The smallest first.
        Size = "size",
        /// The largest first.
        SizeDescending = "-size",
        /// As the server lists them, without holding the listing.
        None = "none",
    }
}

words! {
    /// When the source is deleted or moved.
    After("after") {
        /// Once the document is durably delivered.
        #[default]
        Ack = "ack",
        /// As soon as it is read.
        Eager = "eager",
    }
}

words! {
    /// What becomes of a file that was delivered, but not deleted or moved.
    AfterFailure("after-failure") {
        /// Its outcome is failed, and says that it was delivered.
        #[default]
        Fail = "fail",
        /// Its outcome is ok, with a warning.
        Warn = "warn",
    }
}

words! {
    /// What happens where a local file of the name is there already. One of the same content
    /// always counts as delivered.
    LocalIfExists("local-if-exists") {
        /// The next free name: `a1.txt`, `a2.txt`.
        Rename = "rename",
        /// It is replaced.
        Overwrite = "overwrite",
        /// That file fails.
        #[default]
        Error = "error",
    }
}

words! {
    /// What happens with symbolic links.
    Symlinks("symlinks") {
        /// They are left alone.
        #[default]
        Skip = "skip",
        /// What they lead to is read; deleting and moving concern the link.
        Follow = "follow",
    }
}

words! {
    /// What happens when the target of a move is taken.
    MoveCollision("move-collision") {
        /// It is not replaced, and the file fails.
        #[default]
        Error = "error",
        /// It is replaced.
        Replace = "replace",
    }
}

/// Fetches files, and then leaves, deletes or moves them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Get {
    /// What becomes of the source; in a configuration it is the operation's `action`.
    #[serde(skip)]
    pub action: GetAction,
    /// Where the files are; the connection's directory when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_directory: Option<String>,
    /// Which base names are taken: see [`NameFilter`]; all when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_filter: Option<String>,
    /// Which files are taken by name, size, times: see [`Expression`]; all when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Expression>,
    /// At most so many, after filter and sort; 0: all.
    pub max_files: usize,
    /// The order in which they are taken.
    pub sort: Sort,
    /// Whether names that begin with a dot are taken without being asked for.
    pub hidden: bool,
    /// Whether files in directories below are taken too.
    pub recursive: bool,
    /// How many directories down `recursive` goes, 1 to 100; 0: as many as there are, up to 100.
    pub max_depth: u32,
    /// How long a file must keep its size and modified time before it is taken; 0: it is not looked
    /// at twice. Servers tell times in whole seconds, so shorter waits than some seconds see less.
    #[serde(with = "crate::units::duration")]
    pub stable_for: Duration,
    /// How long ago a file must have been modified. The server's time is compared with this
    /// machine's clock: where the two differ, files seem older or younger by the difference. One
    /// from the future, or of which the server does not tell the time, is too young.
    #[serde(with = "crate::units::duration")]
    pub min_age: Duration,
    /// The name of the file beside a file that says that it is complete, such as `{name}.done`.
    /// It is deleted or moved with its file, after it; it is never taken as a file itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub done_file: Option<String>,
    /// Whether a transfer that was interrupted goes on where it stopped, when the file's size and
    /// modified time are unchanged: after a lost connection within a run, and with a journal, which
    /// knows the part, in a later run too. Otherwise it begins again.
    pub resume: bool,
    /// The journal, a file on this machine: each file is delivered once, across restarts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal: Option<PathBuf>,
    /// How long the journal keeps what is done and was not met again; for ever when unset.
    #[serde(
        with = "crate::units::optional_duration",
        skip_serializing_if = "Option::is_none"
    )]
    pub journal_keep: Option<Duration>,
    /// Where `get-and-move` moves to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub move_to_directory: Option<String>,
    /// Whether a move replaces and copies where it must.
    pub force_move: bool,
    /// Whether a move may replace, apart from `force-move`: unset, it may with and may not without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub move_collision: Option<MoveCollision>,
    /// Whether a missing move-to directory is made.
    pub create_directories: bool,
    /// When the source is deleted or moved.
    pub after: After,
    /// What becomes of a file that was delivered, but not deleted or moved.
    pub after_failure: AfterFailure,
    /// Whether the SHA-256 is computed on the way.
    pub checksum: bool,
    /// What happens where a local file of the name is there already.
    pub local_if_exists: LocalIfExists,
    /// What happens with symbolic links.
    pub symlinks: Symlinks,
}

impl Default for Get {
    fn default() -> Self {
        Self {
            action: GetAction::default(),
            remote_directory: None,
            file_filter: None,
            filter: None,
            max_files: 0,
            sort: Sort::default(),
            hidden: false,
            recursive: false,
            max_depth: 0,
            stable_for: Duration::ZERO,
            min_age: Duration::ZERO,
            done_file: None,
            resume: true,
            journal: None,
            journal_keep: None,
            move_to_directory: None,
            force_move: false,
            move_collision: None,
            create_directories: false,
            after: After::default(),
            after_failure: AfterFailure::default(),
            checksum: false,
            local_if_exists: LocalIfExists::default(),
            symlinks: Symlinks::default(),
        }
    }
}

impl Get {
    /// What happens when the target of the move is taken.
    pub fn collision(&self) -> MoveCollision {
        collision(self.move_collision, self.force_move)
    }

    /// How done-files are named.
    ///
    /// # Errors
    /// `configuration`: that is no such name.
    pub(crate) fn done_file(&self) -> Result<Option<DoneFile>> {
        let set = setting(self.done_file.as_ref());
        set.map(DoneFile::parse).transpose()
    }

    /// Reports what cannot be carried out.
    pub(super) fn validate(&self, properties: &Properties) -> Result<()> {
        if let Some(filter) = setting(self.file_filter.as_ref()) {
            NameFilter::parse(filter)?;
        }
        if self.journal_keep.is_some() && self.journal.is_none() {
            return Err(super::keep_without_journal());
        }
        depth(self.recursive, self.max_depth)?;
        self.done_file()?;
        let target = setting(self.move_to_directory.as_ref()).is_some()
            || properties.setting("move-to-directory")?.is_some();
        if self.action == GetAction::GetAndMove {
            if !target {
                return Err(
                    Error::configuration("get-and-move needs a move-to-directory").with_hint(
                        "set move-to-directory, or use the action get or get-and-delete",
                    ),
                );
            }
        } else if setting(self.move_to_directory.as_ref()).is_some()
            || self.force_move
            || self.move_collision.is_some()
            || self.create_directories
        {
            return Err(Error::configuration(format!(
                "move-to-directory, force-move, move-collision and create-directories need the \
                 action get-and-move, not {}",
                self.action
            ))
            .with_hint("set action to get-and-move, or leave these out"));
        }
        if self.action == GetAction::Get && self.after == After::Eager {
            return Err(Error::configuration(
                "after = eager says when the source is deleted or moved, and the action get does neither",
            )
            .with_hint("leave after out, or use get-and-delete or get-and-move"));
        }
        Ok(())
    }
}

/// Reports a `max-depth` that cannot be meant.
pub(super) fn depth(recursive: bool, max_depth: u32) -> Result<()> {
    if max_depth > 0 && !recursive {
        return Err(Error::configuration(
            "max-depth says how far recursive goes, and recursive is not set",
        )
        .with_hint("set recursive = true, or leave max-depth out"));
    }
    if max_depth > DEEPEST {
        return Err(Error::configuration(format!(
            "max-depth is {max_depth}, and at most {DEEPEST}"
        ))
        .with_hint("leave max-depth out to go as far down as there are directories"));
    }
    Ok(())
}

/// The rule for a taken target: its own key, else force-move's.
pub(super) fn collision(set: Option<MoveCollision>, force_move: bool) -> MoveCollision {
    set.unwrap_or(if force_move {
        MoveCollision::Replace
    } else {
        MoveCollision::Error
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_move_needs_a_place_and_only_a_move_takes_one() {
        let none = Properties::default();
        let moving = Get {
            action: GetAction::GetAndMove,
            ..Get::default()
        };
        assert!(moving.validate(&none).is_err());
        let mut brought = Properties::default();
        brought.set("move-to-directory", "done");
        moving.validate(&brought).unwrap();
        let blank = Get {
            move_to_directory: Some("  ".to_owned()),
            ..moving
        };
        assert!(blank.validate(&none).is_err());
        let forced = Get {
            force_move: true,
            ..Get::default()
        };
        assert!(forced.validate(&none).is_err());
        let eager = Get {
            after: After::Eager,
            ..Get::default()
        };
        assert!(eager.validate(&none).is_err());
    }
}
