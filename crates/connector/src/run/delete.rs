//! Delete: one name per document, in the directory itself.
//!
//! Not a walk and no patterns: what is deleted was named. Names are bytes; a link is deleted, not
//! what it leads to. After a lost connection the name is looked at before anything is repeated.

use bytes::Bytes;

use super::diagnose::{Doing, explain, look, plain};
use super::list::{resolved, track_attrs};
use super::places::remote_directory;
use super::step::Step;
use crate::document::Properties;
use crate::error::{Class, Error, Result};
use crate::names::is_base_name;
use crate::operation::Delete;
use crate::outcome::{AfterAction, Outcome, Status};
use crate::path::{RemotePath, printable};
use crate::remote::{Attrs, Connect, FileKind, Remote};

/// Deletes what the properties of one document name.
pub(super) async fn run<C: Connect>(
    step: &mut Step<C>,
    delete: &Delete,
    properties: Properties,
) -> Outcome {
    let mut outcome = Outcome {
        properties,
        ..Outcome::default()
    };
    match deleted(step, delete, &mut outcome.properties).await {
        Ok(Deleted::Now) => outcome.after_action = AfterAction::Deleted,
        Ok(Deleted::Before) => outcome.properties.set("missing", "true"),
        Err(error) => {
            outcome.status = Status::Failed;
            outcome.error = Some(error);
        }
    }
    outcome
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deleted {
    /// It was there, and is not any more.
    Now,
    /// It was not there.
    Before,
}

async fn deleted<C: Connect>(
    step: &mut Step<C>,
    delete: &Delete,
    properties: &mut Properties,
) -> Result<Deleted> {
    let connection = step.session.connection().clone();
    let name = name(properties)?;
    let named = remote_directory(properties, delete.remote_directory.as_ref(), &connection)?;
    properties.set("host", connection.host.clone());
    properties.set("port", connection.port.to_string());
    properties.set("filename", name.clone());
    let directory = resolved(&mut step.session, &named).await?;
    properties.set("remote-directory", directory.as_bytes().to_vec());
    let path = directory.join(&name);
    let mut retries = step.session.retries();
    // What a request that may have reached the server was to remove.
    let mut tried = None;
    loop {
        let stop = step.session.stop().clone();
        stop.check()?;
        let remote = step.session.remote();
        match attempt(remote, delete, &path, properties, &mut tried).await {
            Err(error) => step.session.recover(error, &mut retries).await?,
            done => return done,
        }
    }
}

async fn attempt<R: Remote>(
    remote: &R,
    delete: &Delete,
    path: &RemotePath,
    properties: &mut Properties,
    tried: &mut Option<Attrs>,
) -> Result<Deleted> {
    let Some(there) = look(remote, path).await? else {
        if tried.is_some() {
            return Ok(Deleted::Now);
        }
        if delete.missing_ok {
            return Ok(Deleted::Before);
        }
        return Err(
            Error::new(Class::NotFound, format!("{path} is not there")).with_hint(
                "check the name and its case, or set missing-ok = true where it may be gone",
            ),
        );
    };
    track_attrs(properties, &there);
    let directory = there.kind == FileKind::Directory;
    if directory && !delete.directories {
        return Err(
            Error::new(Class::Failure, format!("{path} is a directory, and stays"))
                .with_hint("set directories = true to delete directories that are empty"),
        );
    }
    if !directory && tried.is_some_and(|before| !before.same_version(&there)) {
        return Err(Error::new(
            Class::Integrity,
            format!("{path} is not what it was before the connection was lost, and stays"),
        )
        .with_hint("the one before may be deleted already; look, and delete again"));
    }
    *tried = Some(there);
    let removed = match directory {
        true => remote.remove_directory(path).await,
        false => remote.remove(path).await,
    };
    let Err(error) = removed else {
        return Ok(Deleted::Now);
    };
    let doing = Doing::Removing(path);
    if error.is_lost() {
        return Err(plain(doing, error));
    }
    if look(remote, path).await?.is_none() {
        // Another was faster; that it is gone is what was asked for.
        return Ok(Deleted::Now);
    }
    if directory {
        return Err(plain(doing, error).with_hint("only an empty directory can be deleted"));
    }
    Err(explain(remote, doing, error).await)
}

/// The base name that a document brings along.
fn name(properties: &Properties) -> Result<Bytes> {
    let Some(name) = properties.setting("filename")? else {
        return Err(
            Error::configuration("nothing says which file is to be deleted")
                .with_hint("set the document's property filename"),
        );
    };
    if is_base_name(&name) {
        return Ok(name);
    }
    Err(Error::configuration(format!(
        "'{}' is no base name, and is not deleted",
        printable(&name)
    ))
    .with_hint("give the name alone, and its directory as the remote-directory"))
}
