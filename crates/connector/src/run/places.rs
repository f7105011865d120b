//! Directories: which one is meant, whether it is there, making it.
//!
//! Precedence: document property, then operation, then connection, then the account's home.

use bytes::Bytes;
use futures_util::future::try_join;

use super::Step;
use super::diagnose::{Doing, explain, plain};
use crate::connection::Connection;
use crate::document::Properties;
use crate::error::{Class, Error, Result};
use crate::operation::setting;
use crate::path::RemotePath;
use crate::remote::{Attrs, Connect, FileKind, Remote, RemoteErrorKind};

/// The directory that an operation works in, as named.
pub(super) fn remote_directory(
    properties: &Properties,
    operation: Option<&String>,
    connection: &Connection,
) -> Result<Bytes> {
    if let Some(directory) = properties.setting("remote-directory")? {
        return Ok(directory);
    }
    let configured = setting(operation).or_else(|| setting(connection.remote_directory.as_ref()));
    Ok(Bytes::copy_from_slice(configured.unwrap_or(b".")))
}

/// The directory that files are moved to, as named.
pub(super) fn move_to_directory(
    properties: &Properties,
    operation: Option<&String>,
) -> Result<Option<Bytes>> {
    if let Some(directory) = properties.setting("move-to-directory")? {
        return Ok(Some(directory));
    }
    Ok(setting(operation).map(Bytes::copy_from_slice))
}

/// What happens to a directory that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// It is made, with those above it.
    Make,
    /// It is an error.
    Refuse,
}

impl Missing {
    pub(super) fn by(create_directories: bool) -> Self {
        if create_directories {
            Self::Make
        } else {
            Self::Refuse
        }
    }
}

/// Sees that a directory is there.
pub(super) async fn ensure<R: Remote>(
    remote: &R,
    directory: &RemotePath,
    missing: Missing,
) -> Result<()> {
    match behind_links(remote, directory).await? {
        Some(there) if is_directory(&there) => Ok(()),
        Some(_) => Err(Error::new(
            Class::Failure,
            format!("{directory} is no directory"),
        )),
        None if missing == Missing::Make => make(remote, directory).await,
        None => Err(Error::new(
            Class::NotFound,
            format!("the directory {directory} is not there"),
        )
        .with_hint("make it, or set create-directories = true")),
    }
}

/// Makes a directory and those above it that are missing. That another made one meanwhile is fine.
async fn make<R: Remote>(remote: &R, directory: &RemotePath) -> Result<()> {
    let mut missing = vec![directory.clone()];
    while let Some(parent) = missing.last().and_then(RemotePath::parent) {
        if behind_links(remote, &parent).await?.is_some() {
            break;
        }
        missing.push(parent);
    }
    while let Some(directory) = missing.pop() {
        let Err(error) = remote.mkdir(&directory).await else {
            continue;
        };
        let doing = Doing::MakingDirectory(&directory);
        if error.is_lost() {
            return Err(plain(doing, error));
        }
        match behind_links(remote, &directory).await? {
            Some(there) if is_directory(&there) => {}
            _ => return Err(explain(remote, doing, error).await),
        }
    }
    Ok(())
}

/// Refuses two names of one directory, before anything is done. The server is asked once in a step.
pub(super) async fn refuse_same<C: Connect>(
    step: &mut Step<C>,
    source: &RemotePath,
    target: &RemotePath,
) -> Result<()> {
    let (remote, facts) = step.session.parts();
    let pair = (source.clone(), target.clone());
    if facts.are_distinct(&pair) {
        return Ok(());
    }
    match try_join(real(remote, source), real(remote, target)).await? {
        (Some(source), Some(target)) if source == target => {
            return Err(Error::configuration(format!(
                "the move-to-directory is the remote-directory, {source}"
            ))
            .with_hint("name another move-to-directory"));
        }
        (Some(_), Some(_)) => facts.found_distinct(pair.0, pair.1),
        // Not there yet: asked again once it may be.
        _ => {}
    }
    Ok(())
}

/// The path that the server means; `None` when it is not there.
async fn real<R: Remote>(remote: &R, path: &RemotePath) -> Result<Option<RemotePath>> {
    match remote.realpath(path).await {
        Ok(real) => Ok(Some(real)),
        Err(error) if error.is_lost() => Err(plain(Doing::Looking(path), error)),
        // Servers differ on the real path of what is missing. Whether it is, is found out next.
        Err(_) => Ok(None),
    }
}

/// What a name leads to; `None` when there is nothing.
pub(super) async fn behind_links<R: Remote>(
    remote: &R,
    path: &RemotePath,
) -> Result<Option<Attrs>> {
    match remote.stat(path).await {
        Ok(attrs) => Ok(Some(attrs)),
        Err(error) if error.kind == RemoteErrorKind::NoSuchFile => Ok(None),
        Err(error) => Err(plain(Doing::Looking(path), error)),
    }
}

/// A server that gives no permissions does not say what it is; then it is believed to be one.
fn is_directory(attrs: &Attrs) -> bool {
    matches!(attrs.kind, FileKind::Directory | FileKind::Unknown)
}
