//! The database file: made, opened, checked, and what it says when it refuses.
//!
//! Not what is in it: the tables are used in `fetch`, `send`, `owner` and `desk`.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::Fault;
use crate::error::{Class, Error, Result};
use crate::path::printable;

/// So long another process may be at the journal: far longer than any transaction takes, and short
/// enough that somebody notices one that hangs.
const PATIENCE: Duration = Duration::from_secs(30);
/// "sftJ": what `PRAGMA application_id` says of a journal.
const APPLICATION: i32 = 0x7366_744a;
/// What `PRAGMA user_version` says of this schema.
const VERSION: i32 = 1;

const SCHEMA: &str = include_str!("schema.sql");

/// What is done where no file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    Make,
    Refuse,
}

/// Sees to it that a file is there that only its user can read, and says where it is without links:
/// two names of one journal must lead to the same locks.
pub(super) fn prepare(path: &Path, missing: Missing) -> Result<PathBuf> {
    if missing == Missing::Make {
        let made = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        match made {
            // Closed at once and before SQLite opens it: closing it later would end SQLite's locks.
            Ok(file) => drop(file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(no_file(path, error)),
        }
    }
    let path = fs::canonicalize(path).map_err(|error| no_file(path, error))?;
    let metadata = fs::metadata(&path).map_err(|error| no_file(&path, error))?;
    if !metadata.is_file() {
        return Err(foreign(&path, "is no file"));
    }
    if metadata.nlink() > 1 {
        // SQLite keeps what is not yet in the file beside it, by name, and so do the locks.
        return Err(foreign(&path, "has several names (hard links)"));
    }
    Ok(path)
}

/// Opens what [`prepare`] found, and makes the tables in an empty file.
pub(super) fn open(path: &Path) -> Result<Connection> {
    let until = Instant::now() + PATIENCE;
    loop {
        match try_open(path) {
            // Another process opens it at the same time: SQLite's own patience does not cover the
            // moment in which one of them changes the file's mode of work.
            Err(Fault::Database(error)) if is_busy(&error) && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => return opened.map_err(|fault| explain(fault, "opening", path)),
        }
    }
}

fn try_open(path: &Path) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    // Looked at before anything is written: what is not ours stays as it is. In one transaction,
    // since another process may be making it between any two looks.
    let looking = connection.transaction()?;
    let fresh = check(&looking, path)?;
    drop(looking);
    let mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(Error::new(
            Class::LocalIo,
            format!("the journal {} cannot have a write-ahead log", shown(path)),
        )
        .with_hint("it must be on a local file system, in a directory that can be written")
        .into());
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    if fresh == Fresh::Yes {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have been faster.
        if check(&transaction, path)? == Fresh::Yes {
            transaction.execute_batch(SCHEMA)?;
            transaction.pragma_update(None, "application_id", APPLICATION)?;
            transaction.pragma_update(None, "user_version", VERSION)?;
        }
        transaction.commit()?;
    }
    Ok(connection)
}

/// Opens what [`prepare`] found for looking only; `None` where nothing was ever recorded in it.
pub(super) fn open_to_look(path: &Path) -> Result<Option<Connection>> {
    let looking = || {
        // Not read-only, which could leave the files behind that SQLite keeps beside it.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update(None, "query_only", "ON")?;
        let fresh = check(&connection, path)?;
        Ok((fresh == Fresh::No).then_some(connection))
    };
    looking().map_err(|fault| explain(fault, "looking into", path))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fresh {
    Yes,
    No,
}

/// Whether the database is empty; an error when it is neither empty nor a journal that is understood.
fn check(connection: &Connection, path: &Path) -> Result<Fresh, Fault> {
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i32>(0));
    let application = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    if application == 0 && version == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0 {
        return Ok(Fresh::Yes);
    }
    if application != APPLICATION {
        return Err(foreign(path, "is a database of another program").into());
    }
    if version > VERSION {
        return Err(Error::configuration(format!(
            "the journal {} has version {version}, and this program knows versions up to {VERSION}",
            shown(path)
        ))
        .with_hint("use the newer program that made it, or another journal")
        .into());
    }
    if version < 1 {
        return Err(foreign(path, "was not made to the end").into());
    }
    Ok(Fresh::No)
}

/// Turns what went wrong into an error with what to do.
pub(super) fn explain(fault: Fault, doing: &str, path: &Path) -> Error {
    let error = match fault {
        Fault::Work(error) => return error,
        Fault::Database(error) => error,
    };
    let what = format!("{doing} the journal {}", shown(path));
    let (class, message, hint) = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => return foreign(path, "is no SQLite database"),
        Some(ErrorCode::DatabaseCorrupt) => (
            Class::Configuration,
            format!("{what}: it is damaged ({error})"),
            "it is left alone; recover it with sqlite3's .recover, or name another journal after a \
             look at what the server and the local directory hold",
        ),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            Class::LocalIo,
            format!("{what}: another process has held it for {PATIENCE:?}"),
            "see which process that is, for instance with fuser; nothing was claimed",
        ),
        Some(ErrorCode::DiskFull) => (
            Class::LocalIo,
            format!("{what}: the disk is full"),
            "make room; nothing was claimed",
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => (
            Class::LocalIo,
            format!("{what}: {error}"),
            "the file and its directory must be writable: SQLite keeps two more files beside it",
        ),
        _ => (
            Class::LocalIo,
            format!("{what}: {error}"),
            "nothing of this step was recorded",
        ),
    };
    Error::new(class, message)
        .with_hint(hint)
        .with_source(error)
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

fn foreign(path: &Path, why: &str) -> Error {
    Error::configuration(format!("{} is no journal: it {why}", shown(path)))
        .with_hint("it is left alone; name a file that is not there yet, and it will be made")
}

fn no_file(path: &Path, error: io::Error) -> Error {
    let missing = error.kind() == io::ErrorKind::NotFound;
    let error = Error::local_io(format_args!("the journal {}", shown(path)), error);
    if missing {
        return error.with_hint("its directory must be there; the file is made by get and send");
    }
    error
}

/// A path for people.
pub(super) fn shown(path: &Path) -> String {
    printable(path.as_os_str().as_bytes()).into_owned()
}
