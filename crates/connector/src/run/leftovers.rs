//! The files of ours that a send has at the server before it is done: which they are, and taking
//! them away when it fails.
//!
//! Not the old content of a replaced file: that is never taken away, only named.

use super::Step;
use super::diagnose::{look, remove_if_there};
use super::session::is_loss;
use crate::error::{Class, Error};
use crate::outcome::Outcome;
use crate::path::RemotePath;
use crate::remote::{Connect, Remote};

/// What a send has at the server before it is done.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    /// The temporary file, from before it is made until it has its name.
    pub(super) temporary: Option<RemotePath>,
    /// Files that are to go, whatever happens.
    pub(super) spent: Vec<RemotePath>,
    /// A new file under its final name that is not complete.
    pub(super) incomplete: Option<RemotePath>,
    /// A name that was being created when the connection was lost: nobody knows whose it is.
    pub(super) unclear: Option<RemotePath>,
}

impl Leftovers {
    /// The failure, once what is ours is gone; names what could not be taken away.
    pub(super) async fn cleaned_up<C: Connect>(&self, step: &Step<C>, mut error: Error) -> Error {
        let ours = self
            .spent
            .iter()
            .chain(&self.temporary)
            .chain(&self.incomplete)
            .chain(&step.session.facts.probes);
        for left in ours {
            if !step.session.is_open() {
                error = error.with_note(format_args!("{left} may be left there"));
                continue;
            }
            let remote = step.session.remote();
            let removed = match look(remote, left).await {
                // Who may not even look into a directory could not make anything in it.
                Err(why) if refused(&why) && refused(&error) => continue,
                Ok(None) => continue,
                Ok(Some(_)) => remove_if_there(remote, left).await,
                Err(why) => Err(why),
            };
            error = match removed {
                Ok(()) => error,
                // The answer was lost, and not always what was asked for.
                Err(why) if is_loss(&why) => {
                    error.with_note(format_args!("{left} may be left there ({why})"))
                }
                Err(why) => error.with_note(format_args!("{left} is left there ({why})")),
            };
        }
        if let Some(unclear) = &self.unclear {
            error = error.with_note(format_args!("{unclear} may be an empty file of ours"));
        }
        error
    }

    /// Takes away what is spent, now that all is well; what stays is a warning.
    pub(super) async fn cleared<R: Remote>(&mut self, remote: &R, outcome: &mut Outcome) {
        for spent in std::mem::take(&mut self.spent) {
            if let Err(error) = remove_if_there(remote, &spent).await {
                let warning = error.with_note(format_args!("{spent} is left there"));
                outcome.warnings.push(warning);
            }
        }
    }

    /// A warning for a name that was being created when the connection was lost, if it is there.
    pub(super) async fn tell_unclear<R: Remote>(
        &mut self,
        remote: &R,
        outcome: &mut Outcome,
    ) -> Result<(), Error> {
        let Some(unclear) = &self.unclear else {
            return Ok(());
        };
        if look(remote, unclear).await?.is_some() {
            let message = format!(
                "{unclear} may be an empty file of ours, left when the connection was lost"
            );
            outcome
                .warnings
                .push(Error::new(Class::Disconnected, message));
        }
        self.unclear = None;
        Ok(())
    }
}

fn refused(error: &Error) -> bool {
    error.class() == Class::Permission
}

/// Gives a reserved name back, unless it holds something by now.
pub(super) async fn released<C: Connect>(
    step: &Step<C>,
    placeholder: &RemotePath,
    error: Error,
) -> Error {
    if !step.session.is_open() {
        return error.with_note(format_args!("{placeholder} may be left there, empty"));
    }
    let remote = step.session.remote();
    let released = match look(remote, placeholder).await {
        Ok(Some(there)) if there.size == Some(0) => remove_if_there(remote, placeholder).await,
        Ok(_) => Ok(()),
        Err(why) => Err(why),
    };
    match released {
        Ok(()) => error,
        Err(why) => error.with_note(format_args!("{placeholder} is left there ({why})")),
    }
}
