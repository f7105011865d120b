//! The commands, one file each: a plan is made, carried out, and told.
//!
//! Not the protocol and not the rules of an operation: those are the connector's.

mod demo;
mod journal;
mod listen;
mod process;
mod serve;
mod session;
mod stdio;
mod test;
mod transfer;
mod trust;

use sansftp_connector::connection::Connection;
use sansftp_connector::sftp::{Sessions, SftpConnect};
use sansftp_connector::{Class, Error, Result};
use sansftp_server::service::StandardError;

use self::session::Noting;
use crate::args::Command;
use crate::exit::Code;
use crate::output::{Bars, Output, Rows};
use crate::plan::{self, Environment};
use crate::signals::Signals;
use crate::{ask, logging};

/// Why a command has come to its end early.
enum Ended {
    /// It cannot be carried out.
    Failed(Error),
    /// A signal asked for it.
    Signal(Code),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Carries out a command that connects.
pub(crate) async fn run(command: &Command) -> Code {
    let args = match command {
        Command::Get(args) => &args.output,
        Command::Send(args) => &args.output,
        Command::List(args) => &args.output,
        Command::Delete(args) => &args.output,
        Command::Listen(args) => &args.output,
        Command::Run(args) => &args.output,
        Command::Plan(args) => args.output(),
        Command::Test(args) => &args.output,
        Command::Trust(args) => &args.output,
        Command::Demo(args) => &args.output,
        Command::Journal(args) => args.output(),
        Command::Serve(args) => &args.output,
        Command::Import(_) | Command::Completions { .. } | Command::Man { .. } => {
            return Code::Done;
        }
    };
    let bars = Bars::default();
    if has_room_for_logs(command) {
        logging::start(args, bars.clone());
    }
    let mut output = Output::new(args, bars);
    let rows = Rows::of(command);
    let ended = begin(command, rows, &mut output).await;
    let ended = match ended {
        Err(Ended::Failed(error)) => {
            output.failure(error);
            None
        }
        Err(Ended::Signal(code)) => Some(code),
        Ok(()) => None,
    };
    if matches!(command, Command::Serve(_)) && !output.has_failed() {
        // A server has no result to sum up.
        return ended.unwrap_or(Code::Done);
    }
    let code = output.finish(rows);
    ended.unwrap_or(code)
}

/// Whether standard error is a place for logs: under `--stdio` they are what sftp-server's flags say,
/// and under inetd standard error is the client.
fn has_room_for_logs(command: &Command) -> bool {
    let Command::Serve(args) = command else {
        return true;
    };
    !args.stdio && (!args.inetd || StandardError::of_process() == StandardError::Free)
}

async fn begin(command: &Command, rows: Rows, output: &mut Output) -> Result<(), Ended> {
    let mut signals =
        Signals::catch().map_err(|error| Error::local_io("signals cannot be caught", error))?;
    if matches!(command, Command::Demo(_)) {
        return demo::run(output, &mut signals).await;
    }
    let environment = Environment::of_process();
    carry_out(command, rows, &environment, output, &mut signals).await
}

/// Plans a command in an environment, and carries it out.
async fn carry_out(
    command: &Command,
    rows: Rows,
    environment: &Environment,
    output: &mut Output,
    signals: &mut Signals,
) -> Result<(), Ended> {
    match command {
        Command::Get(args) => {
            transfer::run(plan::get(args, environment)?, rows, output, signals).await
        }
        Command::Send(args) => {
            transfer::run(plan::send(args, environment)?, rows, output, signals).await
        }
        Command::List(args) => {
            transfer::run(plan::list(args, environment)?, rows, output, signals).await
        }
        Command::Delete(args) => {
            transfer::run(plan::delete(args, environment)?, rows, output, signals).await
        }
        Command::Listen(args) => {
            listen::run(plan::listen(args, environment)?, rows, output, signals).await
        }
        Command::Run(args) => process::run(plan::run(args, environment)?, output, signals).await,
        Command::Plan(args) => process::plan(plan::plan(args, environment)?, output, signals).await,
        Command::Test(args) => test::run(plan::test(args, environment)?, output, signals).await,
        Command::Journal(args) => journal::run(args, environment, output, signals).await,
        Command::Trust(args) => trust::run(plan::trust(args, environment)?, output, signals).await,
        Command::Serve(args) => {
            serve::run(plan::serve(args, environment)?, &args.output, signals).await
        }
        // The first of them has been looked at before, and the others connect to nothing.
        Command::Demo(_)
        | Command::Import(_)
        | Command::Completions { .. }
        | Command::Man { .. } => Ok(()),
    }
}

/// Reads keys, secrets and known hosts, on a thread of its own: a secret's command may take long,
/// and a person may be asked.
async fn prepare(connection: &Connection, signals: &mut Signals) -> Result<Noting, Ended> {
    prepare_with(connection, &Sessions::new(), signals).await
}

/// The same for one of several connections.
async fn prepare_with(
    connection: &Connection,
    sessions: &Sessions,
    signals: &mut Signals,
) -> Result<Noting, Ended> {
    let (connection, sessions) = (connection.clone(), sessions.clone());
    let reading = tokio::task::spawn_blocking(move || {
        SftpConnect::prepare_with(&connection, ask::person(), &sessions)
    });
    tokio::select! {
        prepared = reading => match prepared {
            Ok(prepared) => Ok(Noting::new(prepared?)),
            Err(_) => Err(unfinished().into()),
        },
        code = signals.next() => Err(Ended::Signal(code)),
    }
}

fn unfinished() -> Error {
    Error::new(
        Class::Failure,
        "reading keys and secrets did not come to an end; this is a fault of this program",
    )
}
