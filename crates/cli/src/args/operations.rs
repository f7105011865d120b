//! Flags of the operations: each key is a flag of the same name.
//!
//! Not the operations: those are made in the plan. A flag for a yes or no can be given as
//! `--force-move`, and as `--force-move=false` against a configured yes.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sansftp_connector::operation::{
    After, AfterFailure, Change, GetAction, IfExists, LocalIfExists, MoveCollision, Permissions,
    Sort, Symlinks, TargetSymlinks, Verify,
};
use sansftp_connector::{Expression, parse_duration};

use super::words;

/// The keys of Get.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which files")]
pub(crate) struct GetFlags {
    /// Where the files are, unless TARGET says it.
    #[arg(long, value_name = "DIR")]
    pub(crate) remote_directory: Option<OsString>,
    /// Which names: * and ? in patterns, several between semicolons, !PATTERN excludes, or
    /// regex:…
    #[arg(long, value_name = "PATTERNS")]
    pub(crate) file_filter: Option<String>,
    /// Which files, by an expression on name, size, modified, age: 'size > 0 and age > 5m'.
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) filter: Option<Expression>,
    /// At most so many, after filter and sort; all when unset or 0.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_files: Option<usize>,
    /// In which order, by name when unset; a dash before the word reverses it.
    #[arg(long, value_name = "ORDER", allow_hyphen_values = true,
        value_parser = words::<Sort>(Sort::WORDS))]
    pub(crate) sort: Option<Sort>,
    /// Take names that begin with a dot without being asked for.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) hidden: Option<bool>,
    /// Take the files in directories below too. They keep their place below DIR, and below the
    /// move-to directory.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) recursive: Option<bool>,
    /// How many directories down --recursive goes, 1 to 100; 0: as many as there are, up to 100.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_depth: Option<u32>,
    /// Take a file only if it keeps size and modified time so long, such as 10s: all are looked at
    /// twice. Servers tell times in whole seconds. When unset at once, and with listen one --interval.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) stable_for: Option<Duration>,
    /// Take a file only if it was last modified so long ago, such as 5m; the server's time is
    /// compared with this machine's clock.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) min_age: Option<Duration>,
    /// Take a file only if this one lies beside it, such as {name}.done. It goes with its file,
    /// and is never taken itself.
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) done_file: Option<String>,
    /// What happens with symbolic links; skip when unset.
    #[arg(long, value_name = "WHAT", value_parser = words::<Symlinks>(Symlinks::WORDS))]
    pub(crate) symlinks: Option<Symlinks>,
    /// What happens where a local file of the name is there already; error when unset. One of the same
    /// content always counts as delivered.
    #[arg(long, value_name = "WHAT", help_heading = "Delivery",
        value_parser = words::<LocalIfExists>(LocalIfExists::WORDS))]
    pub(crate) local_if_exists: Option<LocalIfExists>,
    /// Compute the SHA-256 on the way.
    #[arg(long, value_name = "BOOL", help_heading = "Delivery",
        num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) checksum: Option<bool>,
    /// Go on with a file where it was cut off, the default, if size and modified time are
    /// unchanged; --resume=false begins it again.
    #[arg(long, value_name = "BOOL", help_heading = "Delivery",
        num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) resume: Option<bool>,
    /// Note in this file what was delivered, so that it is delivered once, whatever happens to this
    /// program; it is made where it is missing.
    #[arg(long, value_name = "FILE", help_heading = "Delivery")]
    pub(crate) journal: Option<PathBuf>,
    /// Let the journal forget what is done and was not met again for so long, such as 90d.
    #[arg(long, value_name = "TIME", help_heading = "Delivery", value_parser = parse_duration)]
    pub(crate) journal_keep: Option<Duration>,
    /// What becomes of a file at the server once it is delivered; get, which leaves it, when unset.
    #[arg(long, value_name = "ACTION", help_heading = "After delivery",
        value_parser = words::<GetAction>(GetAction::WORDS))]
    pub(crate) action: Option<GetAction>,
    /// Where get-and-move moves to.
    #[arg(long, value_name = "DIR", help_heading = "After delivery")]
    pub(crate) move_to_directory: Option<OsString>,
    /// Let a move replace what is there, and copy where it must.
    #[arg(long, value_name = "BOOL", help_heading = "After delivery",
        num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) force_move: Option<bool>,
    /// Whether a move may replace; error when unset, and replace with --force-move.
    #[arg(long, value_name = "WHAT", help_heading = "After delivery",
        value_parser = words::<MoveCollision>(MoveCollision::WORDS))]
    pub(crate) move_collision: Option<MoveCollision>,
    /// Make a missing move-to directory.
    #[arg(long, value_name = "BOOL", help_heading = "After delivery",
        num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) create_directories: Option<bool>,
    /// When the source is deleted or moved: ack, the default, once it is durably delivered; eager, as
    /// soon as it is read.
    #[arg(long, value_name = "WHEN", help_heading = "After delivery",
        value_parser = words::<After>(After::WORDS))]
    pub(crate) after: Option<After>,
    /// What a file counts as that was delivered, but not deleted or moved: failed, or done with a warning;
    /// fail when unset.
    #[arg(long, value_name = "WHAT", help_heading = "After delivery",
        value_parser = words::<AfterFailure>(AfterFailure::WORDS))]
    pub(crate) after_failure: Option<AfterFailure>,
}

/// The keys of Listen beside those of Get.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Listening")]
pub(crate) struct ListenFlags {
    /// The pause between two looks at the directory; 30s unless configured.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) interval: Option<Duration>,
    /// Which changes are told, with commas between them; all when unset. Files that were added or modified are
    /// fetched when that is told.
    #[arg(long, value_name = "EVENTS", value_delimiter = ',', value_parser = words::<Change>(Change::WORDS))]
    pub(crate) events: Vec<Change>,
    /// How long the file in hand may take after SIGINT or SIGTERM before it is given back; 10s unless
    /// configured. A second signal gives it back at once.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) stop_time: Option<Duration>,
}

/// The keys of Send.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Where and how")]
pub(crate) struct SendFlags {
    /// Where files are written, unless TARGET says it.
    #[arg(long, value_name = "DIR")]
    pub(crate) remote_directory: Option<OsString>,
    /// What happens where the name is taken; rename, to the first of name1, name2, … that is free, when
    /// unset.
    #[arg(long, value_name = "WHAT", value_parser = words::<IfExists>(IfExists::WORDS))]
    pub(crate) if_exists: Option<IfExists>,
    /// Where files are published when complete.
    #[arg(long, value_name = "DIR")]
    pub(crate) move_to_directory: Option<OsString>,
    /// Let a move replace what is there, and copy where it must.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) force_move: Option<bool>,
    /// Whether a move may replace; error when unset, and replace with --force-move.
    #[arg(long, value_name = "WHAT", value_parser = words::<MoveCollision>(MoveCollision::WORDS))]
    pub(crate) move_collision: Option<MoveCollision>,
    /// Where the temporary file is; where the file is written, when unset.
    #[arg(long, value_name = "DIR")]
    pub(crate) staging_directory: Option<String>,
    /// The temporary file's name, .{name}.{uuid}.part when unset.
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) temporary_name: Option<String>,
    /// Write under the final name from the first byte.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) in_place: Option<bool>,
    /// Accept that overwrite with --in-place loses the old content from the first byte.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) allow_truncate: Option<bool>,
    /// Go on with an upload where it was cut off, the default; --resume=false begins it again.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) resume: Option<bool>,
    /// Note in this file what was sent, so that after a crash nothing is sent twice and nothing is
    /// forgotten.
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
    /// Let the journal forget what was sent and was not met again for so long, such as 90d.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) journal_keep: Option<Duration>,
    /// Leave the files after a failed one alone.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) stop_on_error: Option<bool>,
    /// Make missing directories.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) create_directories: Option<bool>,
    /// The name at the server, of {base}, {extension}, {date}, {time}, {uuid} and {seq}.
    #[arg(long, value_name = "TEMPLATE")]
    pub(crate) name_template: Option<String>,
    /// The zone of dates and times in --name-template, such as Europe/Zurich; local when unset.
    #[arg(long, value_name = "ZONE")]
    pub(crate) time_zone: Option<String>,
    /// Permissions to set, as 0644, or keep for those of the file that is overwritten.
    #[arg(long, value_name = "MODE")]
    pub(crate) permissions: Option<Permissions>,
    /// Set the source's modified time.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) preserve_modified: Option<bool>,
    /// Let the server put the file on its disk before it counts; where it can, when unset.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) fsync: Option<bool>,
    /// How the result is looked at before it is published: size when unset; hash, by the server
    /// where it can, else by reading it back.
    #[arg(long, value_name = "HOW", value_parser = words::<Verify>(Verify::WORDS))]
    pub(crate) verify: Option<Verify>,
    /// Compute the SHA-256 on the way.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) checksum: Option<bool>,
    /// What happens where the target of overwrite is a symbolic link; refuse when unset.
    #[arg(long, value_name = "WHAT", value_parser = words::<TargetSymlinks>(TargetSymlinks::WORDS))]
    pub(crate) symlinks: Option<TargetSymlinks>,
}

/// The keys of List.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which entries")]
pub(crate) struct ListFlags {
    /// The directory, unless TARGET says it.
    #[arg(long, value_name = "DIR")]
    pub(crate) remote_directory: Option<OsString>,
    /// Which names: * and ? in patterns, several between semicolons, !PATTERN excludes, or
    /// regex:…
    #[arg(long, value_name = "PATTERNS")]
    pub(crate) file_filter: Option<String>,
    /// Which entries, by an expression on name, size, modified, age, is-directory:
    /// 'not is-directory and size > 1MiB'.
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) filter: Option<Expression>,
    /// At most so many, after filter and sort; all when unset or 0.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_files: Option<usize>,
    /// In which order; none, the default, shows entries as they come.
    #[arg(long, value_name = "ORDER", allow_hyphen_values = true,
        value_parser = words::<Sort>(Sort::WORDS))]
    pub(crate) sort: Option<Sort>,
    /// Show names that begin with a dot without being asked for.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) hidden: Option<bool>,
    /// Show what is in directories below too.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) recursive: Option<bool>,
    /// How many directories down --recursive goes, 1 to 100; 0: as many as there are, up to 100.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_depth: Option<u32>,
    /// Whether --recursive goes through symbolic links; what is shown is the link.
    #[arg(long, value_name = "WHAT", value_parser = words::<Symlinks>(Symlinks::WORDS))]
    pub(crate) symlinks: Option<Symlinks>,
}

/// The keys of Delete.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "What and where")]
pub(crate) struct DeleteFlags {
    /// Where the files are, unless TARGET says it.
    #[arg(long, value_name = "DIR")]
    pub(crate) remote_directory: Option<OsString>,
    /// Count a file that is not there as deleted.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) missing_ok: Option<bool>,
    /// Delete directories too, if they are empty.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) directories: Option<bool>,
    /// Leave the names after a failed one alone.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) stop_on_error: Option<bool>,
}
