//! From a refusal to its cause.
//!
//! SFTP v3's FAILURE carries none (draft-ietf-secsh-filexfer-02 §7), so the cause is looked up at
//! the server; it is never guessed from the server's words. Not a place for decisions: only for
//! saying what happened.

use std::fmt;

use crate::error::{Class, Error, Result};
use crate::path::RemotePath;
use crate::remote::{Attrs, FileKind, Remote, RemoteError, RemoteErrorKind, Room};

/// What was being done, for the message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Doing<'a> {
    Looking(&'a RemotePath),
    Listing(&'a RemotePath),
    Opening(&'a RemotePath),
    Reading(&'a RemotePath),
    Hashing(&'a RemotePath),
    Creating(&'a RemotePath),
    Writing(&'a RemotePath),
    Closing(&'a RemotePath),
    Removing(&'a RemotePath),
    MakingDirectory(&'a RemotePath),
    Renaming(&'a RemotePath, &'a RemotePath),
    Linking(&'a RemotePath, &'a RemotePath),
    Copying(&'a RemotePath, &'a RemotePath),
    SettingAttributes(&'a RemotePath),
}

impl fmt::Display for Doing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Looking(path) => write!(f, "looking at {path}"),
            Self::Listing(path) => write!(f, "listing {path}"),
            Self::Opening(path) => write!(f, "opening {path}"),
            Self::Reading(path) => write!(f, "reading {path}"),
            Self::Hashing(path) => write!(f, "hashing {path}"),
            Self::Creating(path) => write!(f, "creating {path}"),
            Self::Writing(path) => write!(f, "writing {path}"),
            Self::Closing(path) => write!(f, "closing {path}"),
            Self::Removing(path) => write!(f, "removing {path}"),
            Self::MakingDirectory(path) => write!(f, "making the directory {path}"),
            Self::Renaming(from, to) => write!(f, "renaming {from} to {to}"),
            Self::Linking(from, to) => write!(f, "linking {from} to {to}"),
            Self::Copying(from, to) => write!(f, "copying {from} to {to}"),
            Self::SettingAttributes(path) => write!(f, "setting attributes of {path}"),
        }
    }
}

impl<'a> Doing<'a> {
    /// The name that must be free for this to succeed.
    fn made(self) -> Option<&'a RemotePath> {
        match self {
            Self::Creating(path) | Self::MakingDirectory(path) => Some(path),
            Self::Renaming(_, to) | Self::Linking(_, to) | Self::Copying(_, to) => Some(to),
            _ => None,
        }
    }

    /// The name that must be there for this to succeed.
    fn used(self) -> Option<&'a RemotePath> {
        match self {
            Self::Renaming(from, _) | Self::Linking(from, _) | Self::Copying(from, _) => Some(from),
            Self::Creating(_) | Self::MakingDirectory(_) => None,
            Self::Looking(path)
            | Self::Listing(path)
            | Self::Opening(path)
            | Self::Reading(path)
            | Self::Hashing(path)
            | Self::Writing(path)
            | Self::Closing(path)
            | Self::Removing(path)
            | Self::SettingAttributes(path) => Some(path),
        }
    }

    fn writes(self) -> bool {
        self.made().is_some() || matches!(self, Self::Writing(_) | Self::Closing(_))
    }
}

/// The failure as the refusal tells it, without asking the server.
pub(super) fn plain(doing: Doing<'_>, error: RemoteError) -> Error {
    let (class, words) = match error.kind {
        RemoteErrorKind::NoSuchFile => (Class::NotFound, format!("{doing}: {error}")),
        RemoteErrorKind::Permission => (Class::Permission, format!("{doing}: {error}")),
        RemoteErrorKind::AlreadyExists => (Class::Exists, format!("{doing}: {error}")),
        RemoteErrorKind::NoSpace => (Class::NoSpace, format!("{doing}: {error}")),
        RemoteErrorKind::Failure => (Class::Failure, format!("{doing}: {error}")),
        RemoteErrorKind::Unsupported => (Class::Unsupported, format!("{doing}: {error}")),
        RemoteErrorKind::BadMessage => (Class::Failure, refused_name(doing, &error)),
        RemoteErrorKind::Misbehaved => (Class::Integrity, format!("{doing}: {error}")),
        RemoteErrorKind::Disconnected => (Class::Disconnected, format!("{error} while {doing}")),
        RemoteErrorKind::Timeout => (Class::Timeout, format!("{error} while {doing}")),
    };
    let explained = Error::new(class, words).with_source(error);
    match hint(doing, class) {
        Some(hint) => explained.with_hint(hint),
        None => explained,
    }
}

/// What to do about a refusal whose class is all that is known.
fn hint(doing: Doing<'_>, class: Class) -> Option<&'static str> {
    Some(match class {
        Class::Permission if doing.writes() || matches!(doing, Doing::Removing(_)) => {
            "the account may not write there: name another directory, or ask the server's \
             administrator"
        }
        Class::Permission => {
            "the account may not read there: ask the server's administrator for the right to"
        }
        Class::NotFound => "check the name and its case; another may have taken the file away",
        Class::NoSpace => "make room at the server, or ask whoever runs it",
        _ => return None,
    })
}

fn refused_name(doing: Doing<'_>, error: &RemoteError) -> String {
    match doing.made().or_else(|| doing.used()) {
        Some(path) => format!(
            "{doing}: name refused, perhaps too long ({} bytes): {error}",
            path.name().len()
        ),
        None => format!("{doing}: {error}"),
    }
}

/// The failure with its cause, as far as looking at the server shows one.
pub(super) async fn explain<R: Remote>(remote: &R, doing: Doing<'_>, error: RemoteError) -> Error {
    let unclear = matches!(
        error.kind,
        RemoteErrorKind::Failure | RemoteErrorKind::NoSuchFile
    );
    if !unclear {
        return plain(doing, error);
    }
    match cause(remote, doing, &error).await {
        Ok(Some(found)) => found.with_source(error),
        Ok(None) => plain(doing, error),
        // Lost while looking: what was refused is asked again on the next session.
        Err(lost) => plain(doing, lost),
    }
}

/// The cause that looking shows. A look that is refused shows nothing; one that is lost is the
/// error.
async fn cause<R: Remote>(
    remote: &R,
    doing: Doing<'_>,
    error: &RemoteError,
) -> Result<Option<Error>, RemoteError> {
    if let Some(made) = doing.made() {
        if let Seen::There(there) = seen(remote, made).await?
            && error.kind == RemoteErrorKind::Failure
        {
            return Ok(Some(exists(made, &there)));
        }
        if let Some(parent) = made.parent()
            && let Seen::Missing = seen_behind_links(remote, &parent).await?
        {
            let message = format!("{doing}: the directory {parent} is not there");
            return Ok(Some(
                Error::new(Class::NotFound, message)
                    .with_hint("make it, or set create-directories = true"),
            ));
        }
    }
    let mut source_is_there = false;
    if let Some(used) = doing.used() {
        match seen(remote, used).await? {
            Seen::Missing => {
                let message = format!("{doing}: {used} is not there");
                return Ok(Some(Error::new(Class::NotFound, message)));
            }
            Seen::There(there)
                if there.kind == FileKind::File && matches!(doing, Doing::Listing(_)) =>
            {
                let message = format!("{doing}: {used} is a file, not a directory ({error})");
                return Ok(Some(Error::new(Class::Failure, message).with_hint(
                    "name the directory that it lies in, and the file by file-filter (--file-filter NAME)",
                )));
            }
            Seen::There(there)
                if there.kind == FileKind::Directory && !matches!(doing, Doing::Listing(_)) =>
            {
                let message = format!("{doing}: {used} is a directory ({error})");
                return Ok(Some(Error::new(Class::Failure, message)));
            }
            Seen::There(_) => source_is_there = true,
            Seen::Refused => {}
        }
    }
    if error.kind != RemoteErrorKind::Failure {
        return Ok(None);
    }
    if doing.writes()
        && remote.capabilities().statvfs
        && let Some(place) = doing
            .made()
            .or_else(|| doing.used())
            .and_then(RemotePath::parent)
        && let Ok(room) = remote.statvfs(&place).await
        && let Some(what) = exhausted(room, doing)
    {
        let message = format!("{doing}: the server's disk {what} ({error})");
        return Ok(Some(
            Error::new(Class::NoSpace, message)
                .with_hint("make room at the server, or ask whoever runs it"),
        ));
    }
    if let Doing::Renaming(..) | Doing::Linking(..) = doing
        && source_is_there
    {
        // The source is there and the target is free: both were just looked at.
        let message = format!(
            "{doing}: the server cannot, probably because these are on two devices ({error})"
        );
        return Ok(Some(
            Error::new(Class::Unsupported, message)
                .with_hint("force-move = true copies where a rename is refused"),
        ));
    }
    Ok(None)
}

/// What there is no more of. File systems that do not count their files tell a total of none.
fn exhausted(room: Room, doing: Doing<'_>) -> Option<&'static str> {
    if room.available == 0 {
        return Some("is full");
    }
    let makes = matches!(doing, Doing::Creating(_) | Doing::MakingDirectory(_));
    (makes && room.files_available == 0 && room.files > 0).then_some("holds no more files")
}

/// The error for a name that is taken.
pub(super) fn exists(path: &RemotePath, there: &Attrs) -> Error {
    let what = match there.kind {
        FileKind::Directory => "a directory of this name is there",
        FileKind::Symlink => "a symbolic link of this name is there",
        _ => "it is there already",
    };
    Error::new(Class::Exists, format!("{path}: {what}")).with_hint(
        "another if-exists takes another name or replaces it; for a move, force-move replaces",
    )
}

/// What a look showed.
enum Seen {
    There(Attrs),
    Missing,
    Refused,
}

async fn seen<R: Remote>(remote: &R, path: &RemotePath) -> Result<Seen, RemoteError> {
    known(remote.lstat(path).await)
}

async fn seen_behind_links<R: Remote>(remote: &R, path: &RemotePath) -> Result<Seen, RemoteError> {
    known(remote.stat(path).await)
}

fn known(look: Result<Attrs, RemoteError>) -> Result<Seen, RemoteError> {
    match look {
        Ok(attrs) => Ok(Seen::There(attrs)),
        Err(error) if error.kind == RemoteErrorKind::NoSuchFile => Ok(Seen::Missing),
        Err(error) if error.is_lost() => Err(error),
        Err(_) => Ok(Seen::Refused),
    }
}

/// What a name is, not following links; `None` when there is nothing.
pub(super) async fn look<R: Remote>(remote: &R, path: &RemotePath) -> Result<Option<Attrs>> {
    match remote.lstat(path).await {
        Ok(attrs) => Ok(Some(attrs)),
        Err(error) if error.kind == RemoteErrorKind::NoSuchFile => Ok(None),
        Err(error) => Err(plain(Doing::Looking(path), error)),
    }
}

/// Removes a file; that it is not there is fine.
pub(super) async fn remove_if_there<R: Remote>(remote: &R, path: &RemotePath) -> Result<()> {
    match remote.remove(path).await {
        Ok(()) => Ok(()),
        Err(error) if error.kind == RemoteErrorKind::NoSuchFile => Ok(()),
        Err(error) if error.is_lost() => Err(plain(Doing::Removing(path), error)),
        // Some servers answer FAILURE for what is not there.
        Err(error) => match look(remote, path).await? {
            None => Ok(()),
            Some(_) => Err(plain(Doing::Removing(path), error)),
        },
    }
}
