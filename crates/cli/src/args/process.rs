//! `run` and `plan`: processes of the configuration, and what would be asked of a server.
//!
//! The keys of connections and operations are no flags of a process, which may have several of each.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{DeleteArgs, GetArgs, OutputArgs, SendArgs};

/// `sansftp run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// A process of the configuration.
    #[arg(value_name = "PROCESS")]
    pub(crate) process: String,
    /// Files for its first step; without any it runs once, with nothing.
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The local directory that the last step delivers into, if that is a get. It must be there.
    #[arg(long, value_name = "DIR")]
    pub(crate) into: Option<PathBuf>,
    /// Write everything that is asked of the servers and what they answer into this file, one JSON
    /// object a line, without contents and secrets. A file that is there is written on at its end.
    #[arg(long, value_name = "FILE")]
    pub(crate) transcript: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `sansftp plan`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct PlanArgs {
    /// A command instead of a process.
    #[command(subcommand)]
    pub(crate) command: Option<Planned>,
    /// A process of the configuration.
    #[arg(value_name = "PROCESS", required = true)]
    pub(crate) process: Option<String>,
    /// Files for its first step; without any it runs once, with nothing.
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The local directory that the last step would deliver into, if that is a get.
    #[arg(long, value_name = "DIR")]
    pub(crate) into: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// The commands that can be planned.
#[derive(Debug, Subcommand)]
pub(crate) enum Planned {
    /// What `sansftp get` would ask for, with the same arguments.
    Get(Box<GetArgs>),
    /// What `sansftp send` would ask for, with the same arguments.
    Send(Box<SendArgs>),
    /// What `sansftp delete` would ask for, with the same arguments.
    Delete(Box<DeleteArgs>),
}

impl PlanArgs {
    /// What is printed.
    pub(crate) fn output(&self) -> &OutputArgs {
        match &self.command {
            Some(Planned::Get(args)) => &args.output,
            Some(Planned::Send(args)) => &args.output,
            Some(Planned::Delete(args)) => &args.output,
            None => &self.output,
        }
    }
}

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  sansftp run daily
  sansftp run distribute report.csv orders.csv

The configuration has it as
  [processes.daily]
  steps = [ { connection = \"partner\", operation = \"fetch\" },
            { connection = \"warehouse\", operation = \"put\", jobs = 4,
              parameters = { remote-directory = \"in/{property.host}\" } } ]
All steps work at the same time, and a file at the server is deleted or moved only once the last
step is through with it. A step with parameters runs once per document, and each parameter is a key
of the operation; {property.NAME} stands for a property of the document.

$SANSFTP_PASSWORD is taken for the account that has neither password nor key in the configuration,
if there is but one.";

pub(super) const PLAN_EXAMPLES: &str = "\
Examples:
  sansftp plan daily
  sansftp plan get partner:outbox --into inbox --action get-and-delete
  sansftp plan send partner:in report.csv --if-exists overwrite --json

It connects, looks at the directories as they are, and shows each request that would be made, in
order. Nothing is changed, neither there nor here, and no contents are transferred. The local
directory and the journal are looked at only. UUIDs of temporary names are drawn anew at each run.";
