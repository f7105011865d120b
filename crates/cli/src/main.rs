//! The program `sansftp`: gets files from SFTP servers and sends files to them.
//!
//! ```text
//!   args (what was typed) ─▶ plan (environment, configuration) ─▶ run ─▶ output ─▶ exit code
//! ```
//! Not a protocol: everything that is said to a server is said by the connector.

mod args;
mod ask;
mod config;
mod exit;
mod import;
mod logging;
mod output;
mod plan;
mod run;
mod signals;
mod target;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser};

use crate::args::{Cli, Command};
use crate::exit::Code;

/// What still waits on a thread, a question that nobody answered or a disk, is ended with the program after so long.
const THREADS_END: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let code = match Cli::parse().command {
        Command::Completions { shell } => print(|text| {
            clap_complete::generate(shell, &mut Cli::command(), "sansftp", text);
            Ok(())
        }),
        Command::Man { command } => manual(&command),
        Command::Import(args) => import::run(&args),
        command => connected(&command),
    };
    ExitCode::from(code as u8)
}

/// Runs what connects.
fn connected(command: &Command) -> Code {
    let runtime = builder(command).enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("the runtime does not start: {error}")),
    };
    let code = runtime.block_on(run::run(command));
    // Threads that are idle end at once and are joined. Detached while they end, one in thousands of runs dies of
    // a race in glibc's pthread_detach.
    runtime.shutdown_timeout(THREADS_END);
    ask::restore_terminal();
    code
}

/// One thread where there is one session: that is one stream of bytes, and files have threads of
/// their own. A server has many.
fn builder(command: &Command) -> tokio::runtime::Builder {
    match command {
        Command::Demo(_) => tokio::runtime::Builder::new_multi_thread(),
        Command::Serve(args) if !args.stdio && !args.inetd => {
            tokio::runtime::Builder::new_multi_thread()
        }
        _ => tokio::runtime::Builder::new_current_thread(),
    }
}

fn manual(names: &[String]) -> Code {
    let mut program = Cli::command();
    program.build();
    let mut command = &program;
    for name in names {
        command = match command.find_subcommand(name) {
            Some(command) => command,
            None => {
                let names = names.join(" ");
                complain(&format!(
                    "there is no command {names}\nhint: see sansftp --help"
                ));
                return Code::Usage;
            }
        };
    }
    print(|text| clap_mangen::Man::new(command.clone()).render(text))
}

/// Prints a whole text; whoever stops reading it has had enough.
fn print(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Code {
    let mut text = Vec::new();
    let written = write(&mut text).and_then(|()| io::stdout().write_all(&text));
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("standard output: {error}"))
        }
        _ => Code::Done,
    }
}

fn complain(words: &str) -> Code {
    // Without standard error there is nobody to tell.
    let _ = writeln!(io::stderr(), "error: {words}");
    Code::Failed
}
