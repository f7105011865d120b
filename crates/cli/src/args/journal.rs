//! `sansftp journal`: looking into a journal, and changing what is in it.
//!
//! Not what get and send do with one: that is their key `journal`.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use sansftp_connector::journal::{EntryId, Query};
use sansftp_connector::parse_duration;

use super::OutputArgs;

/// `sansftp journal`.
#[derive(Debug, Args)]
pub(crate) struct JournalArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub(crate) what: JournalCommand,
}

/// What to do with a journal.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Say what is in it: a line for each file that was fetched and each document that was sent.
    List(JournalListArgs),
    /// Say everything about one entry: all times, and where its bytes are.
    Show(JournalShowArgs),
    /// Let entries be taken again.
    ///
    /// One that is under way goes on where it stands at the next run, which it would anyway; its
    /// failure is forgotten. One that is done and whose file stayed at the server, and a document
    /// that was sent, is forgotten: it is fetched or sent again. One whose file was deleted or moved
    /// needs nothing: the same name is a new file. One in the hands of a living process is refused.
    Retry(JournalRetryArgs),
    /// Remove entries, as if their files and documents had never been met.
    ///
    /// What lies at the server and here is not touched: look at `show` first, it says where
    /// unfinished bytes are.
    Forget(JournalForgetArgs),
}

/// Which journal.
#[derive(Debug, Args)]
pub(crate) struct JournalFile {
    /// The journal's file, as it was given to get and send.
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: PathBuf,
}

/// `sansftp journal list`.
#[derive(Debug, Args)]
pub(crate) struct JournalListArgs {
    #[command(flatten)]
    pub(crate) file: JournalFile,
    /// Only entries in this state; failed: those whose last attempt failed, in whatever state.
    #[arg(long, value_name = "STATE", value_parser = PossibleValuesParser::new(Query::states()))]
    pub(crate) state: Option<String>,
    /// Only entries of this account, written as they are shown: user@host:port.
    #[arg(long, value_name = "ACCOUNT")]
    pub(crate) account: Option<String>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `sansftp journal show`.
#[derive(Debug, Args)]
pub(crate) struct JournalShowArgs {
    #[command(flatten)]
    pub(crate) file: JournalFile,
    /// The entry, as list shows it: g12 or s7.
    #[arg(value_name = "ENTRY")]
    pub(crate) entry: EntryId,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `sansftp journal retry`.
#[derive(Debug, Args)]
pub(crate) struct JournalRetryArgs {
    #[command(flatten)]
    pub(crate) file: JournalFile,
    /// The entries, as list shows them: g12 or s7.
    #[arg(value_name = "ENTRY", required_unless_present = "failed")]
    pub(crate) entries: Vec<EntryId>,
    /// All whose last attempt failed.
    #[arg(long, conflicts_with = "entries")]
    pub(crate) failed: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `sansftp journal forget`.
#[derive(Debug, Args)]
pub(crate) struct JournalForgetArgs {
    #[command(flatten)]
    pub(crate) file: JournalFile,
    /// The entries, as list shows them: g12 or s7.
    #[arg(value_name = "ENTRY", required_unless_present = "older_than")]
    pub(crate) entries: Vec<EntryId>,
    /// All that are done and that nothing has happened to for so long, for instance 90d.
    #[arg(long, value_name = "TIME", conflicts_with = "entries", value_parser = parse_duration)]
    pub(crate) older_than: Option<Duration>,
    /// Do not ask.
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl JournalArgs {
    /// What is printed.
    pub(crate) fn output(&self) -> &OutputArgs {
        match &self.what {
            JournalCommand::List(args) => &args.output,
            JournalCommand::Show(args) => &args.output,
            JournalCommand::Retry(args) => &args.output,
            JournalCommand::Forget(args) => &args.output,
        }
    }
}

pub(super) const JOURNAL_EXAMPLES: &str = "\
Examples:
  sansftp get partner --into inbox --action get-and-delete --journal inbox.journal
  sansftp journal list --journal inbox.journal --state failed
  sansftp journal show --journal inbox.journal g12
  sansftp journal retry --journal inbox.journal --failed
  sansftp journal forget --journal inbox.journal --older-than 90d

A file goes claimed, fetched, delivered, moving, done; a document claimed, begun, written,
publishing (or appending), published, moving, done. An entry that a process left behind when it was
killed is taken up by the next run that meets it.";
