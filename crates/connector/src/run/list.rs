//! List: one document per entry, as its listing comes.
//!
//! Nothing is opened: what is told is what the listing says.

use base64ct::{Base64, Encoding};
use jiff::Timestamp;
use serde::Serialize;

use super::places::remote_directory;
use super::selection::{Choice, Found, Seen};
use super::session::Session;
use super::walk::Walk;
use super::{AllWell, Step};
use crate::connection::Connection;
use crate::document::{Document, Properties};
use crate::error::{Error, Result};
use crate::operation::List;
use crate::outcome::{Outcome, Status};
use crate::path::RemotePath;
use crate::remote::{Attrs, Connect, Entry, FileKind};

/// The JSON of an entry.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Told {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_base64: Option<String>,
    directory: String,
    #[serde(rename = "type")]
    kind: FileKind,
    size: Option<u64>,
    modified: Option<String>,
    permissions: Option<String>,
    uid: Option<u32>,
    gid: Option<u32>,
}

pub(super) async fn run<C: Connect>(
    step: &mut Step<C>,
    list: &List,
    properties: &Properties,
) -> Result<AllWell> {
    let connection = step.session.connection().clone();
    let named = remote_directory(properties, list.remote_directory.as_ref(), &connection)?;
    let directory = resolved(&mut step.session, &named).await?;
    let mut walk = Walk::new(Choice::of_list(list, connection.memory)?, directory);
    let mut tracked = Tracked::new(&connection);
    let mut well = AllWell::Yes;
    while let Some(batch) = walk.next(&mut step.session).await? {
        for seen in batch {
            let outcome = match seen {
                Seen::Take(found) => told(&found, tracked.of(&found, properties)),
                Seen::Skip(found, reason) => {
                    Outcome::skipped(tracked.of(&found, properties), reason)
                }
                Seen::Failed(found, error) => {
                    Outcome::failed(tracked.of(&found, properties), error)
                }
            };
            if outcome.status == Status::Failed {
                well = AllWell::No;
            }
            step.emit(outcome).await;
        }
    }
    Ok(well)
}

/// The absolute path of the directory that is meant, with a session to look at it.
pub(super) async fn resolved<C: Connect>(
    session: &mut Session<C>,
    named: &[u8],
) -> Result<RemotePath> {
    let mut retries = session.retries();
    session.open().await?;
    loop {
        match session.resolve(named).await {
            Ok(directory) => return Ok(directory),
            Err(error) => session.recover(error, &mut retries).await?,
        }
    }
}

fn told(found: &Found, own: Properties) -> Outcome {
    let body = match body(&found.entry, &found.directory) {
        Ok(body) => body,
        Err(error) => return Outcome::failed(own, error),
    };
    Outcome {
        properties: own.clone(),
        document: Some(Document {
            properties: own,
            ..Document::bytes(body)
        }),
        ..Outcome::default()
    }
}

fn body(entry: &Entry, directory: &RemotePath) -> Result<Vec<u8>> {
    let text = std::str::from_utf8(&entry.name);
    let told = Told {
        name: String::from_utf8_lossy(&entry.name).into_owned(),
        name_base64: text.is_err().then(|| Base64::encode_string(&entry.name)),
        directory: String::from_utf8_lossy(directory.as_bytes()).into_owned(),
        kind: entry.attrs.kind,
        size: entry.attrs.size,
        modified: entry.attrs.modified.and_then(rfc3339),
        permissions: entry.attrs.permissions.map(octal),
        uid: entry.attrs.uid,
        gid: entry.attrs.gid,
    };
    serde_json::to_vec(&told).map_err(|error| {
        Error::new(
            crate::error::Class::Failure,
            "an entry cannot be told as JSON",
        )
        .with_source(error)
    })
}

/// What the entries of one directory have in common, so that it is made once.
struct Tracked<'a> {
    connection: &'a Connection,
    common: Option<(RemotePath, Properties)>,
}

impl<'a> Tracked<'a> {
    fn new(connection: &'a Connection) -> Self {
        Self {
            connection,
            common: None,
        }
    }

    /// The tracked properties of an entry, with those that a document brought.
    fn of(&mut self, found: &Found, properties: &Properties) -> Properties {
        let common = match &self.common {
            Some((directory, common)) if *directory == found.directory => common.clone(),
            _ => {
                let common = in_common(&found.directory, self.connection);
                self.common = Some((found.directory.clone(), common.clone()));
                common
            }
        };
        let mut own = with_own(common, found);
        own.merge(properties);
        own
    }
}

/// The tracked properties that a listing tells of a file.
pub(super) fn tracked(found: &Found, connection: &Connection) -> Properties {
    with_own(in_common(&found.directory, connection), found)
}

fn in_common(directory: &RemotePath, connection: &Connection) -> Properties {
    let mut properties = Properties::default();
    properties.set("host", connection.host.clone());
    properties.set("port", connection.port.to_string());
    properties.set("remote-directory", directory.as_bytes().to_vec());
    properties
}

fn with_own(mut properties: Properties, found: &Found) -> Properties {
    properties.set("filename", found.entry.name.clone());
    if !found.relative.is_empty() {
        properties.set("relative-path", found.relative_path());
    }
    track_attrs(&mut properties, &found.entry.attrs);
    properties
}

/// The tracked properties that attributes tell.
pub(super) fn track_attrs(properties: &mut Properties, attrs: &Attrs) {
    if let Some(size) = attrs.size {
        properties.set("size", size.to_string());
    }
    if let Some(modified) = attrs.modified.and_then(rfc3339) {
        properties.set("modified", modified);
    }
    if let Some(permissions) = attrs.permissions {
        properties.set("permissions", octal(permissions));
    }
}

fn octal(permissions: u32) -> String {
    format!("{permissions:04o}")
}

pub(super) fn rfc3339(seconds: i64) -> Option<String> {
    Timestamp::from_second(seconds)
        .ok()
        .map(|moment| moment.to_string())
}
