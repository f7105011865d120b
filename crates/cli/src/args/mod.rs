//! The command line as pure data: what was typed, checked word by word.
//!
//! Nothing is looked up and nothing is combined here: that is for the plan. Every key of a
//! connection and of an operation is a flag of the same name; secrets have none.

mod connection;
mod import;
mod journal;
mod operations;
mod process;
mod serve;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand};

pub(crate) use connection::{ReachArgs, SessionArgs};
pub(crate) use import::ImportArgs;
pub(crate) use journal::{
    JournalArgs, JournalCommand, JournalFile, JournalForgetArgs, JournalListArgs, JournalRetryArgs,
    JournalShowArgs,
};
pub(crate) use operations::{DeleteFlags, GetFlags, ListFlags, ListenFlags, SendFlags};
pub(crate) use process::{PlanArgs, Planned, RunArgs};
pub(crate) use serve::{DemoArgs, ServeArgs, StdioArgs};

/// Gets files from SFTP servers and sends files to them, losing none and overwriting none by
/// accident.
#[derive(Debug, Parser)]
#[command(
    name = "sansftp",
    version,
    max_term_width = 100,
    after_help = OVERVIEW,
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show it all at work: a server of its own in a temporary folder, files sent, fetched and moved.
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(DemoArgs),
    /// Fetch files into a local directory, and leave, delete or move them at the server.
    #[command(after_help = GET_EXAMPLES)]
    Get(Box<GetArgs>),
    /// Send local files.
    #[command(after_help = SEND_EXAMPLES)]
    Send(Box<SendArgs>),
    /// Say what is in a directory of the server.
    #[command(after_help = LIST_EXAMPLES)]
    List(Box<ListArgs>),
    /// Delete files at the server by name.
    #[command(after_help = DELETE_EXAMPLES)]
    Delete(Box<DeleteArgs>),
    /// Watch a directory of the server, and fetch what is new in it, until it is stopped.
    #[command(after_help = LISTEN_EXAMPLES)]
    Listen(Box<ListenArgs>),
    /// Run a process of the configuration: steps in order, each taking what comes out of the one
    /// before.
    #[command(after_help = process::RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// Show the requests that a process, get, send or delete would make, and change nothing.
    #[command(after_help = process::PLAN_EXAMPLES)]
    Plan(Box<PlanArgs>),
    /// Connect, authenticate and list, and say what was agreed on.
    #[command(after_help = TEST_EXAMPLES)]
    Test(Box<TestArgs>),
    /// Show the server's host key and record it in the file of known hosts.
    #[command(after_help = TRUST_EXAMPLES)]
    Trust(Box<TrustArgs>),
    /// Look into the journal of get and send, and change it.
    #[command(after_help = journal::JOURNAL_EXAMPLES)]
    Journal(Box<JournalArgs>),
    /// Serve a directory to SFTP clients.
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Box<ServeArgs>),
    /// Turn components that the original exported as XML into a configuration, and say what differs.
    #[command(after_help = import::EXAMPLES)]
    Import(ImportArgs),
    /// Print a script that completes sansftp's command line in a shell.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Print a manual page, to be read with `man -l -`.
    Man {
        /// Of which command, such as get or journal list; of sansftp itself when left out.
        command: Vec<String>,
    },
}

/// `sansftp get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// The local directory that files are delivered into. It must be there.
    #[arg(long, value_name = "DIR")]
    pub(crate) into: PathBuf,
    #[command(flatten)]
    pub(crate) flags: GetFlags,
    #[command(flatten)]
    pub(crate) jobs: JobsArgs,
    #[command(flatten)]
    pub(crate) far: FarArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `sansftp send`.
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// The files to send; write ./-x for a name that begins with a dash.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The name at the server; for one file only.
    #[arg(long = "as", value_name = "NAME")]
    pub(crate) rename_to: Option<OsString>,
    #[command(flatten)]
    pub(crate) flags: SendFlags,
    #[command(flatten)]
    pub(crate) jobs: JobsArgs,
    #[command(flatten)]
    pub(crate) far: FarArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `sansftp list`.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) flags: ListFlags,
    #[command(flatten)]
    pub(crate) far: FarArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `sansftp delete`.
#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// The names to delete, without their directory; write -- before one that begins with a dash.
    /// Patterns are no names: * stands for itself.
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<OsString>,
    #[command(flatten)]
    pub(crate) flags: DeleteFlags,
    #[command(flatten)]
    pub(crate) jobs: JobsArgs,
    #[command(flatten)]
    pub(crate) far: FarArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `sansftp listen`.
#[derive(Debug, Args)]
#[command(mut_arg("action", |action| action.long("then").value_name("ACTION")))]
pub(crate) struct ListenArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    /// The local directory that files are delivered into. It must be there.
    #[arg(long, value_name = "DIR")]
    pub(crate) into: PathBuf,
    #[command(flatten)]
    pub(crate) listening: ListenFlags,
    #[command(flatten)]
    pub(crate) flags: GetFlags,
    #[command(flatten)]
    pub(crate) jobs: JobsArgs,
    #[command(flatten)]
    pub(crate) far: FarArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `sansftp test`.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// `NAME[:DIRECTORY]` of the configuration, or `sftp://[USER@]HOST[:PORT][/DIRECTORY]`.
    #[arg(value_name = "TARGET")]
    pub(crate) target: OsString,
    /// The directory to list, where TARGET names none; the server's home when unset.
    #[arg(long, value_name = "DIR")]
    pub(crate) remote_directory: Option<OsString>,
    #[command(flatten)]
    pub(crate) far: FarArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `sansftp trust`.
#[derive(Debug, Args)]
pub(crate) struct TrustArgs {
    /// NAME of the configuration, or `sftp://HOST[:PORT]`.
    #[arg(value_name = "TARGET")]
    pub(crate) target: OsString,
    /// Record the key only if it has this fingerprint, and do not ask.
    #[arg(long, value_name = "SHA256:…")]
    pub(crate) fingerprint: Option<String>,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Where, and by which configured operation.
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// `NAME[:DIRECTORY]` of the configuration, or `sftp://[USER@]HOST[:PORT][/DIRECTORY]`.
    ///
    /// The DIRECTORY of NAME:DIRECTORY is relative to the account's home unless it begins with a
    /// slash. In an sftp:// target /DIRECTORY is absolute and /~/DIRECTORY relative to the home;
    /// %XX stands for a byte.
    #[arg(value_name = "TARGET")]
    pub(crate) target: OsString,
    /// An operation of the configuration; the flags given beside it win.
    #[arg(long, value_name = "NAME")]
    pub(crate) operation: Option<String>,
}

/// Of each command that opens a session: the server, and who comes.
#[derive(Debug, Args)]
pub(crate) struct FarArgs {
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    #[command(flatten)]
    pub(crate) session: SessionArgs,
}

/// How much at once.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct JobsArgs {
    /// So many sessions at most, each with a file of its own in hand; 1 when unset.
    #[arg(long, value_name = "NUMBER")]
    jobs: Option<NonZeroUsize>,
}

impl JobsArgs {
    /// As given, or one.
    pub(crate) fn of(&self) -> NonZeroUsize {
        self.jobs.unwrap_or(NonZeroUsize::MIN)
    }
}

/// What is printed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Print one JSON object a line on standard output: outcomes and last a summary, or the events
    /// of a server.
    #[arg(long)]
    pub(crate) json: bool,
    /// Print errors only.
    #[arg(long, short, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Log what is done to standard error; -vv logs more. Skipped files are shown too.
    #[arg(long, short, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

/// A flag whose values are a few words, which help and completions list.
fn words<T>(words: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: FromStr + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(words.iter().copied()).map(|word| {
        word.parse()
            .unwrap_or_else(|_| unreachable!("a word of the list is one that the type reads"))
    })
}

const OVERVIEW: &str = "\
Examples:
  sansftp demo
  sansftp trust sftp://edi@partner.example
  sansftp get sftp://edi@partner.example/~/outbox --into inbox
  sansftp send sftp://edi@partner.example/~/in report.csv
  sansftp get partner --operation fetch --into inbox     (both of the configuration)
  sansftp serve . --read-only

Configuration: --config FILE, else $SANSFTP_CONFIG, else ./sansftp.toml, else
$XDG_CONFIG_HOME/sansftp/config.toml. A password comes from --password-file, else
$SANSFTP_PASSWORD, else the configuration, else a question on the terminal.

Exit codes: 0 all done; 1 a file or the step failed after authentication; 2 usage or configuration;
3 no session; 4 host key or no common algorithm; 5 authentication; 130 SIGINT; 143 SIGTERM.";

const DEMO_EXAMPLES: &str = "\
Nothing has to be installed, nothing leaves this machine, and nothing stays behind: the server
listens on a free port of 127.0.0.1, its key and all files lie in a temporary folder that is removed
at the end. Each step is shown as the command line that it is.";

const SERVE_EXAMPLES: &str = "\
Examples:
  sansftp serve .                                      makes a password and shows how to connect
  sansftp serve inbox --listen 0.0.0.0:2022 --user edi --authorized-keys ~/.ssh/authorized_keys
  sansftp serve inbox --users-file users.toml --read-only --json
  sansftp serve inbox --user edi --trusted-user-ca-keys ca.pub --revoked-keys revoked
  sansftp serve --hash-password                        prints a hash for the users file
  sansftp serve --stdio -e -l INFO                     instead of sftp-server
  sftp -o ProxyCommand='sansftp serve --inetd DIR --authorized-keys FILE' host

It serves SFTP and nothing else: commands, shells and forwarding are refused. It ends at SIGINT or
SIGTERM, with exit code 130 or 143, once running sessions have ended or --stop-time is over; before
that with 1 where it cannot listen or read its keys, and with 2 for wrong usage or a wrong file.";

const GET_EXAMPLES: &str = "\
Examples:
  sansftp get sftp://edi@partner.example/~/outbox --into inbox --file-filter 'ord*.csv;!*.tmp'
  sansftp get partner:outbox --into inbox --action get-and-delete --max-files 100
  sansftp get partner:outbox --into inbox --filter 'name ~ \"*.csv\" and size > 0' --stable-for 10s
  sansftp get partner:outbox --into inbox --action get-and-move --move-to-directory archive";

const SEND_EXAMPLES: &str = "\
Examples:
  sansftp send sftp://edi@partner.example/~/in report.csv
  sansftp send partner:in *.csv --if-exists overwrite --create-directories
  sansftp send partner:in big.iso --staging-directory tmp --move-to-directory ready
  sansftp send partner:in out.csv --name-template '{base}-{date}.{extension}'";

const LIST_EXAMPLES: &str = "\
Examples:
  sansftp list sftp://edi@partner.example/~/outbox --file-filter '*.csv' --sort -modified
  sansftp list partner:outbox --recursive --filter 'not is-directory and age > 7h'
  sansftp list partner --json";

const DELETE_EXAMPLES: &str = "\
Examples:
  sansftp delete sftp://edi@partner.example/~/outbox report.csv old.csv
  sansftp delete partner:outbox tmp --directories --missing-ok

A directory is deleted only with --directories, and only if it is empty. Of a symbolic link the link
is deleted, not what it leads to. Once deleted, nothing can be brought back.";

const LISTEN_EXAMPLES: &str = "\
Examples:
  sansftp listen sftp://edi@partner.example/~/outbox --into inbox --then get-and-delete
  sansftp listen partner:outbox --into inbox --interval 10s --file-filter '*.csv' --json
  sansftp listen partner --operation watch --into inbox

A file is taken once its size and time have not changed for --stable-for, one interval unless given.
What came while nobody listened is found at the start, and what was taken is not taken again: that is
kept in the journal, which the first line names. A server that cannot be reached is tried again after
a pause that grows to ten intervals, at most 15 minutes. A refused login or another host key ends it,
with exit code 5 or 4. It ends at SIGINT or SIGTERM, with exit code 130 or 143, when the file in hand
is finished.";

const TEST_EXAMPLES: &str = "\
Examples:
  sansftp test sftp://edi@partner.example --private-key ~/.ssh/id_ed25519
  sansftp test partner --algorithms modern,cipher=aes256-ctr";

const TRUST_EXAMPLES: &str = "\
Examples:
  sansftp trust sftp://partner.example
  sansftp trust sftp://partner.example:2222 --fingerprint SHA256:mVPwvezndPv/ARoIadVY98vAC0g+P/5633yTC4d/wXE

A key that has changed is never recorded: take the old line out of the file first, when you know
that the new key is right.";
