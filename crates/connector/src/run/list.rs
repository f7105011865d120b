//! List: one document per entry, as its listing comes.
//!
//! Not recursive, and nothing is opened: what is told is what the listing says.

use base64ct::{Base64, Encoding};
use jiff::Timestamp;
use serde::Serialize;

use super::diagnose::{Doing, plain};
use super::places::remote_directory;
use super::selection::{Offered, Selection};
use super::session::is_loss;
use super::{AllWell, Step};
use crate::connection::Connection;
use crate::document::{Document, Properties};
use crate::error::{Error, Result};
use crate::operation::List;
use crate::outcome::Outcome;
use crate::path::RemotePath;
use crate::remote::{Attrs, Connect, Entry, FileKind, Listing, Remote};

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
    step.session.open().await?;
    let mut retries = step.session.retries();
    let mut told = 0;
    loop {
        let listed = listing(step, list, &named, properties, &mut told).await;
        match listed {
            Ok(()) => return Ok(AllWell::Yes),
            // What was told cannot be taken back, and the next listing may differ.
            Err(error) if told > 0 || !is_loss(&error) => return Err(error),
            Err(error) => step.session.recover(error, &mut retries).await?,
        }
    }
}

async fn listing<C: Connect>(
    step: &mut Step<C>,
    list: &List,
    named: &[u8],
    properties: &Properties,
    told: &mut u64,
) -> Result<()> {
    let stop = step.session.stop().clone();
    let directory = step.session.resolve(named).await?;
    let connection = step.session.connection().clone();
    let mut selection = Selection::of_list(list, connection.memory)?;
    let mut listing = open(step.session.remote(), &directory).await?;
    let doing = Doing::Listing(&directory);
    while let Some(batch) = stop
        .unless(async { listing.batch().await.map_err(|error| plain(doing, error)) })
        .await?
    {
        for entry in batch {
            if let Offered::Take(entry) = selection.offer(entry)? {
                *told += 1;
                step.emit(outcome(&entry, &directory, properties, &connection))
                    .await;
            }
        }
    }
    for entry in selection.finish() {
        *told += 1;
        step.emit(outcome(&entry, &directory, properties, &connection))
            .await;
    }
    Ok(())
}

/// Opens a directory; a refusal says what is wrong with it.
pub(super) async fn open<R: Remote>(remote: &R, directory: &RemotePath) -> Result<R::Listing> {
    match remote.list(directory).await {
        Ok(listing) => Ok(listing),
        Err(error) => Err(super::diagnose::explain(remote, Doing::Listing(directory), error).await),
    }
}

fn outcome(
    entry: &Entry,
    directory: &RemotePath,
    properties: &Properties,
    connection: &Connection,
) -> Outcome {
    let mut own = tracked(entry, directory, connection);
    own.merge(properties);
    let body = match body(entry, directory) {
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

/// The tracked properties that a listing tells of a file.
pub(super) fn tracked(
    entry: &Entry,
    directory: &RemotePath,
    connection: &Connection,
) -> Properties {
    let mut properties = Properties::default();
    properties.set("host", connection.host.clone());
    properties.set("port", connection.port.to_string());
    properties.set("filename", entry.name.clone());
    properties.set("remote-directory", directory.as_bytes().to_vec());
    track_attrs(&mut properties, &entry.attrs);
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

fn rfc3339(seconds: i64) -> Option<String> {
    Timestamp::from_second(seconds)
        .ok()
        .map(|moment| moment.to_string())
}
