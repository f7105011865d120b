//! Resolving `run` and `plan`: a process of the configuration, or a command, as steps.
//!
//! Not the running, and no contact with a server.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use sansftp_connector::connection::{Connection, SecretRef};
use sansftp_connector::document::Document;
use sansftp_connector::operation::Operation;
use sansftp_connector::process::{Parameters, ProcessStep};
use sansftp_connector::{Error, Result};

use super::{Configured, Environment, PASSWORD_VARIABLE, Step, at, delete, get, is_there, send};
use crate::args::{PlanArgs, Planned, ReachArgs, RunArgs};
use crate::config::Located;

/// Steps in order, and what the first one receives.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) steps: Vec<StepOf>,
    pub(crate) documents: Vec<Document>,
    /// Whether its outcomes say in which step they came to be.
    pub(crate) told: Told,
}

/// How steps are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// With their number.
    Numbered,
    /// There is but one.
    Alone,
}

/// One step.
#[derive(Debug)]
pub(crate) struct StepOf {
    /// With whom; the name is that of the configuration, so that one account is prepared once.
    pub(crate) name: String,
    pub(crate) connection: Connection,
    pub(crate) operation: Operation,
    pub(crate) parameters: Parameters,
    pub(crate) jobs: NonZeroUsize,
    pub(crate) into: Option<PathBuf>,
}

/// Resolves `sansftp run`.
///
/// # Errors
/// `configuration`.
pub(crate) fn run(args: &RunArgs, environment: &Environment) -> Result<Process> {
    let named = Named {
        process: &args.process,
        files: &args.files,
        config: args.config.as_ref(),
        into: args.into.as_ref(),
        transcript: args.transcript.as_ref(),
    };
    process(&named, environment)
}

/// What names a process.
struct Named<'a> {
    process: &'a str,
    files: &'a [PathBuf],
    config: Option<&'a PathBuf>,
    into: Option<&'a PathBuf>,
    transcript: Option<&'a PathBuf>,
}

fn process(args: &Named<'_>, environment: &Environment) -> Result<Process> {
    let reach = ReachArgs {
        config: args.config.cloned(),
        ..ReachArgs::default()
    };
    let config = Configured::of(&reach, environment)?;
    let Located { value, place } = config.file()?.process(args.process)?;
    let count = value.steps.len();
    let mut steps = Vec::with_capacity(count);
    for (number, step) in (1..).zip(&value.steps) {
        let is_last = number == count;
        let step = one(&config, step, args, is_last);
        steps.push(step.map_err(|error| at(Some(place.clone()), error.in_step(number)))?);
    }
    if environment.password {
        take_password(&mut steps).map_err(|error| at(Some(place.clone()), error))?;
    }
    Ok(Process {
        steps,
        documents: match args.files.is_empty() {
            true => vec![Document::empty()],
            false => args.files.iter().map(Document::file).collect(),
        },
        told: Told::Numbered,
    })
}

/// Gives the password of the environment to the account that has no credentials of its own. A password
/// is one account's: it is not shown to the server of another.
fn take_password(steps: &mut [StepOf]) -> Result<()> {
    let bare = |step: &&mut StepOf| {
        let connection = &step.connection;
        connection.password.is_none() && connection.private_key.is_none() && !connection.agent
    };
    let mut taken: Option<String> = None;
    for step in steps.iter_mut().filter(bare) {
        let account = step.connection.account();
        if let Some(other) = taken.as_ref().filter(|other| **other != account) {
            return Err(Error::configuration(format!(
                "${PASSWORD_VARIABLE} is one password, and neither {other} nor {account} has credentials"
            ))
            .with_hint("give each connection its password = { env = \"NAME\" } in the configuration"));
        }
        step.connection.password = Some(SecretRef::Env(PASSWORD_VARIABLE.to_owned()));
        taken = Some(account);
    }
    Ok(())
}

/// Resolves `sansftp plan`.
///
/// # Errors
/// `configuration`.
pub(crate) fn plan(args: &PlanArgs, environment: &Environment) -> Result<Process> {
    let step = match (&args.command, &args.process) {
        (Some(Planned::Get(args)), _) => get(args, environment)?,
        (Some(Planned::Send(args)), _) => send(args, environment)?,
        (Some(Planned::Delete(args)), _) => delete(args, environment)?,
        (None, Some(name)) => {
            let named = Named {
                process: name,
                files: &args.files,
                config: args.config.as_ref(),
                into: args.into.as_ref(),
                transcript: None,
            };
            return process(&named, environment);
        }
        (None, None) => {
            return Err(Error::configuration("there is nothing to plan")
                .with_hint("name a process, or one of get, send and delete"));
        }
    };
    let Step {
        connection,
        operation,
        documents,
        into,
        jobs,
    } = step;
    let step = StepOf {
        name: String::new(),
        connection,
        operation,
        parameters: Parameters::default(),
        jobs,
        into,
    };
    Ok(Process {
        steps: vec![step],
        documents,
        told: Told::Alone,
    })
}

fn one(
    config: &Configured<'_>,
    step: &ProcessStep,
    args: &Named<'_>,
    is_last: bool,
) -> Result<StepOf> {
    let file = config.file()?;
    let mut connection = file.connection(&step.connection)?.value.clone();
    if args.transcript.is_some() {
        connection.transcript = args.transcript.cloned();
    }
    config.settle(&mut connection)?;
    connection.validate()?;
    let mut operation = file.operation(&step.operation)?.value.clone();
    config.environment.expand_operation(&mut operation);
    let into = match args.into {
        Some(into) if is_last => Some(into),
        _ => step.into.as_ref(),
    };
    let into = into.map(|into| config.environment.expanded(into));
    let fetches = matches!(operation, Operation::Get(_) | Operation::Listen(_));
    match &into {
        Some(into) if fetches && is_last => is_there(into)?,
        Some(_) => {
            return Err(Error::configuration(
                "into is for a get that is the last step: others deliver to the next",
            )
            .with_hint("leave into out, or make this the last step"));
        }
        None if fetches && is_last => {
            return Err(Error::configuration(
                "the last step is a get, and nothing says where its files go",
            )
            .with_hint("give the step into = \"DIR\", or run it with --into DIR"));
        }
        None => {}
    }
    Ok(StepOf {
        name: step.connection.clone(),
        connection,
        operation,
        parameters: step.parameters.clone(),
        jobs: step.jobs,
        into,
    })
}
