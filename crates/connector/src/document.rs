//! Documents: a body and its properties, and the promise that somebody took it over.
//!
//! Not files of either side: a body may lie on disk, in memory, or still be on its way.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64ct::{Base64, Encoding};
use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::stream::Fuse;
use std::task::{Context, Poll};
use tempfile::TempPath;
use tokio::sync::oneshot;

use crate::error::{Class, Error, Result};
use crate::journal::{Fault, Receipt};

/// A body and its properties.
#[derive(Debug, Default)]
pub struct Document {
    /// The content.
    pub body: Body,
    /// Names and directories that stand above the operation's, and whatever else it carries.
    pub properties: Properties,
    /// Told once the document is durably where it is to go; whoever made the document waits for it.
    pub delivery: Option<Delivery>,
}

/// Where a document's content is.
#[derive(Default)]
pub enum Body {
    /// There is none, which is not the same as a file of no bytes: nothing can be sent.
    #[default]
    Absent,
    /// A local file. Can be read again after a lost connection.
    File(PathBuf),
    /// Bytes in memory. Can be read again after a lost connection.
    Bytes(Bytes),
    /// Chunks on their way. Complete only when the stream ended without an error.
    Stream(BodyStream),
    /// A local file that is removed once nobody has a use for it any more. Can be read again.
    Temporary(Temporary),
}

/// A local file that is removed with its last clone.
#[derive(Clone, Debug)]
pub struct Temporary(Arc<TempPath>);

impl Temporary {
    /// A new file, in the system's folder for such, that only this account may read.
    pub(crate) fn make() -> Result<(File, Self)> {
        let made = tempfile::NamedTempFile::new();
        let made = made.map_err(|error| Error::local_io("a temporary file", error))?;
        let (file, path) = made.into_parts();
        Ok((file, Self(Arc::new(path))))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// Chunks of a body in order.
pub type BodyStream = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

impl Body {
    /// The same body, and a hold on what of it is still on its way.
    pub(crate) fn held(self) -> (Self, Rest) {
        let Self::Stream(stream) = self else {
            return (self, Rest(None));
        };
        let shared = Shared(Arc::new(Mutex::new(stream.fuse())));
        (Self::Stream(Box::pin(shared.clone())), Rest(Some(shared)))
    }

    /// Takes what is still on its way, which nobody has a use for: whoever sends it wants to be rid
    /// of it.
    ///
    /// # Errors
    /// Its own.
    pub(crate) async fn read_to_its_end(self) -> Result<()> {
        let Self::Stream(mut chunks) = self else {
            return Ok(());
        };
        while let Some(chunk) = chunks.next().await {
            chunk?;
        }
        Ok(())
    }
}

/// What of a body was not read.
pub(crate) struct Rest(Option<Shared>);

impl Rest {
    /// Takes it, for nobody: the document is where it was to go without.
    ///
    /// # Errors
    /// Its own.
    pub(crate) async fn read_to_its_end(self) -> Result<()> {
        match self.0 {
            Some(rest) => Body::Stream(Box::pin(rest)).read_to_its_end().await,
            None => Ok(()),
        }
    }
}

/// A stream that two have, one after the other.
#[derive(Clone)]
struct Shared(Arc<Mutex<Fuse<BodyStream>>>);

impl Stream for Shared {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        stream.poll_next_unpin(context)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("Absent"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream(..)"),
            Self::Temporary(file) => f.debug_tuple("Temporary").field(file).finish(),
        }
    }
}

impl Document {
    /// A document without a body, as the first step of a process receives it.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A document whose body is a local file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            body: Body::File(path.into()),
            ..Self::default()
        }
    }

    /// A document whose body is in memory.
    pub fn bytes(body: impl Into<Bytes>) -> Self {
        Self {
            body: Body::Bytes(body.into()),
            ..Self::default()
        }
    }

    /// The same with one more property.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Bytes>) -> Self {
        self.properties.set(name, value);
        self
    }
}

/// The right to say, once, that a document is durably delivered.
///
/// Dropped, it says that the document was not delivered: its source stays.
#[derive(Debug)]
#[must_use = "a delivery that is dropped says that the document was not delivered"]
pub struct Delivery {
    confirmed: Told,
    receipt: Option<Receipt>,
}

/// Who is told of a delivery.
#[derive(Debug)]
enum Told {
    /// Whoever made the document.
    Maker(oneshot::Sender<()>),
    /// The whole that this document is a part of.
    Whole(Part),
}

impl Told {
    fn confirm(self) {
        match self {
            // Whoever made the document may be gone: then nothing will be deleted, and that is safe.
            Self::Maker(sender) => drop(sender.send(())),
            Self::Whole(part) => part.confirm(),
        }
    }
}

impl Delivery {
    /// A delivery, and what its maker waits on.
    pub fn pair() -> (Self, Delivered) {
        let (confirmed, receiver) = oneshot::channel();
        let receipt = None;
        let confirmed = Told::Maker(confirmed);
        (Self { confirmed, receipt }, Delivered(receiver))
    }

    /// The same of a document that a journal knows.
    pub(crate) fn with_receipt(receipt: Receipt) -> (Self, Delivered) {
        let (mut delivery, delivered) = Self::pair();
        delivery.receipt = Some(receipt);
        (delivery, delivered)
    }

    /// The document is durably where it is to go; its source may be deleted.
    pub fn confirm(self) {
        self.confirmed.confirm();
    }

    /// Confirms in a transaction of the journal: `work` writes what the receiver makes of the document
    /// into tables of its own in the journal's database, and both are committed or neither. So the
    /// document is received exactly once, at whatever instruction the process may be killed.
    ///
    /// Call it after the body was read to its end. `work` runs on a thread that may block; names of
    /// tables that begin with `consumer_` are the receiver's and will never be used by the journal.
    ///
    /// # Errors
    /// What `work` answered, as class `failure`; `configuration` when the document comes from an
    /// operation without a journal; `failure` when its entry was given back meanwhile, because the
    /// operation was stopped; `local-io`. In each case nothing is written and nothing is delivered.
    pub async fn confirm_in<T, W>(self, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(
                &rusqlite::Transaction<'_>,
            ) -> Result<T, Box<dyn std::error::Error + Send + Sync>>
            + Send
            + 'static,
    {
        let Some(receipt) = self.receipt else {
            return Err(Error::configuration(
                "this document comes from an operation without a journal",
            )
            .with_hint("set journal for the operation that fetches, or confirm without it"));
        };
        let done = receipt
            .deliver_in(|transaction| {
                work(transaction).map_err(|error| {
                    let words = format!("the document's receiver: {error}");
                    Fault::Work(Error::new(Class::Failure, words))
                })
            })
            .await?;
        self.confirmed.confirm();
        Ok(done)
    }
}

/// Documents that came out of others: these are delivered once all of those are.
#[derive(Clone, Debug)]
pub(crate) struct Whole(Arc<Mutex<Parts>>);

#[derive(Debug)]
struct Parts {
    /// Those that are on their way, and one more until it is known that there will be no more.
    open: usize,
    lost: bool,
    of: Vec<Delivery>,
}

/// A share of a whole. Dropped, it is lost, and the whole with it.
#[derive(Debug)]
struct Part(Option<Whole>);

impl Whole {
    /// What these documents are turned into.
    pub(crate) fn of(deliveries: Vec<Delivery>) -> Self {
        Self(Arc::new(Mutex::new(Parts {
            open: 1,
            lost: false,
            of: deliveries,
        })))
    }

    /// The delivery of one document that came out.
    pub(crate) fn part(&self) -> Delivery {
        self.parts().open += 1;
        Delivery {
            confirmed: Told::Whole(Part(Some(self.clone()))),
            receipt: None,
        }
    }

    /// No more will come out, and all went well so far.
    pub(crate) fn complete(self) {
        self.end_one(Some(()));
    }

    fn end_one(&self, delivered: Option<()>) {
        let mut parts = self.parts();
        parts.open = parts.open.saturating_sub(1);
        parts.lost |= delivered.is_none();
        if parts.open > 0 || parts.lost {
            return;
        }
        let of = std::mem::take(&mut parts.of);
        drop(parts);
        of.into_iter().for_each(Delivery::confirm);
    }

    fn parts(&self) -> MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Part {
    fn confirm(mut self) {
        if let Some(whole) = self.0.take() {
            whole.end_one(Some(()));
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(whole) = self.0.take() {
            whole.end_one(None);
        }
    }
}

/// Waits for the [`Delivery`] of one document.
#[derive(Debug)]
pub struct Delivered(oneshot::Receiver<()>);

impl Delivered {
    /// Whether it was delivered; `false` once the [`Delivery`] was dropped.
    pub async fn wait(self) -> bool {
        self.0.await.is_ok()
    }
}

/// Names and their values: bytes, mostly text. Clones share them until one is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties(Arc<BTreeMap<Name, Bytes>>);

/// The name of a property; those that every outcome has are not copied.
type Name = Cow<'static, str>;

/// What every outcome has.
const USUAL: &[&str] = &[
    "filename",
    "host",
    "modified",
    "permissions",
    "port",
    "remote-directory",
    "size",
];

/// Names that are understood as another. The left ones come from the product that this one
/// replaces.
const ALIASES: &[(&str, &str)] = &[
    ("connector.track.sftp.filename", "filename"),
    ("connector.track.sftp.host", "host"),
    ("connector.track.sftp.movetodirectory", "move-to-directory"),
    ("connector.track.sftp.port", "port"),
    ("connector.track.sftp.remotedirectory", "remote-directory"),
    ("connector.dynamic.sftp.filename", "filename"),
    (
        "connector.dynamic.sftp.movetodirectory",
        "move-to-directory",
    ),
    ("connector.dynamic.sftp.remotedirectory", "remote-directory"),
];

impl Properties {
    /// Sets a property; an alias sets what it stands for.
    pub fn set(&mut self, name: &str, value: impl Into<Bytes>) {
        let name = canonical(name);
        let usual = USUAL.iter().find(|it| **it == name);
        let name = usual.map_or_else(|| Cow::Owned(name.to_owned()), |it| Cow::Borrowed(*it));
        Arc::make_mut(&mut self.0).insert(name, value.into());
    }

    /// Unsets a property, and what stands in for it where it could not be written as text.
    pub fn remove(&mut self, name: &str) {
        let name = canonical(name);
        let encoded = format!("{name}-base64");
        for name in [name, &encoded] {
            if self.0.contains_key(name) {
                Arc::make_mut(&mut self.0).remove(name);
            }
        }
    }

    /// Takes over those of `other` that are not set here: the first value wins.
    pub fn merge(&mut self, other: &Self) {
        for (name, value) in &*other.0 {
            if !self.0.contains_key(name) {
                Arc::make_mut(&mut self.0).insert(name.clone(), value.clone());
            }
        }
    }

    /// The value of a property, under its name or an alias.
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.0.get(canonical(name))
    }

    /// The value as text, when it is UTF-8.
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// A name or directory: trimmed, unset when blank, and read from `NAME-base64` where `NAME`
    /// itself could not be written as text.
    ///
    /// # Errors
    /// `configuration` when `NAME-base64` is no base64.
    pub fn setting(&self, name: &str) -> Result<Option<Bytes>> {
        let encoded = format!("{}-base64", canonical(name));
        if let Some(value) = self.get(&encoded).and_then(|value| set(value)) {
            let text = std::str::from_utf8(value).ok();
            return match text.and_then(|text| Base64::decode_vec(text).ok()) {
                Some(value) => Ok(Some(value.into())),
                None => Err(
                    Error::configuration(format!("the property {encoded} is no base64"))
                        .with_hint(format!("set {} as text instead", canonical(name))),
                ),
            };
        }
        Ok(self
            .get(name)
            .and_then(|value| Some(value.slice_ref(set(value)?))))
    }

    /// All names and values in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A value without white space around it; `None` when nothing is left.
pub(crate) fn set(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    (!value.is_empty()).then_some(value)
}

fn canonical(name: &str) -> &str {
    ALIASES
        .iter()
        .find_map(|&(alias, name_of)| (alias == name).then_some(name_of))
        .unwrap_or(name)
}

impl serde::Serialize for Properties {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(None)?;
        self.entries_into(&mut map)?;
        map.end()
    }
}

impl Properties {
    /// Writes the entries into a JSON object: numbers as numbers, and beside what is not UTF-8 the
    /// exact bytes as base64.
    pub(crate) fn entries_into<M: serde::ser::SerializeMap>(
        &self,
        map: &mut M,
    ) -> Result<(), M::Error> {
        for (name, value) in &*self.0 {
            let Ok(text) = std::str::from_utf8(value) else {
                map.serialize_entry(name, &String::from_utf8_lossy(value))?;
                map.serialize_entry(&format!("{name}-base64"), &Base64::encode_string(value))?;
                continue;
            };
            let number = NUMBERS.contains(&&**name).then(|| text.parse::<u64>().ok());
            match number.flatten() {
                Some(number) => map.serialize_entry(name, &number)?,
                None if name == YES_OR_NO && text == "true" => map.serialize_entry(name, &true)?,
                None => map.serialize_entry(name, text)?,
            }
        }
        Ok(())
    }
}

/// The property that says yes or nothing.
const YES_OR_NO: &str = "already-present";

/// Properties whose values are numbers.
const NUMBERS: &[&str] = &["size", "previous-size", "port", "bytes-per-second"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_sets_and_reads_what_it_stands_for() {
        let mut properties = Properties::default();
        properties.set("connector.dynamic.sftp.filename", "a.txt");
        assert_eq!(properties.text("filename"), Some("a.txt"));
        assert_eq!(
            properties.text("connector.track.sftp.filename"),
            Some("a.txt")
        );
    }

    #[test]
    fn numbers_and_yes_are_no_text_in_json() {
        let mut properties = Properties::default();
        properties.set("already-present", "true");
        properties.set("filename", "true");
        properties.set("size", "7");
        assert_eq!(
            serde_json::to_string(&properties).unwrap(),
            r#"{"already-present":true,"filename":"true","size":7}"#
        );
    }

    #[test]
    fn blank_is_unset_and_values_are_trimmed() {
        let mut properties = Properties::default();
        properties.set("remote-directory", "  \t");
        assert_eq!(properties.setting("remote-directory").unwrap(), None);
        properties.set("remote-directory", " in/x ");
        assert_eq!(
            properties.setting("remote-directory").unwrap().unwrap(),
            "in/x"
        );
    }

    #[test]
    fn a_name_that_is_not_text_goes_through_json_and_back() {
        let mut properties = Properties::default();
        properties.set("filename", &b"a\xffb"[..]);
        let json: serde_json::Value = serde_json::to_value(&properties).unwrap();
        assert_eq!(json["filename"], "a\u{fffd}b");
        let mut back = Properties::default();
        back.set("filename", json["filename"].as_str().unwrap().to_owned());
        let encoded = json["filename-base64"].as_str().unwrap().to_owned();
        back.set("filename-base64", encoded);
        assert_eq!(back.setting("filename").unwrap().unwrap(), &b"a\xffb"[..]);
        back.set("filename-base64", "?");
        assert!(back.setting("filename").is_err());
    }

    #[test]
    fn the_first_documents_value_wins() {
        let mut first = Properties::default();
        first.set("region", "north");
        let mut second = Properties::default();
        second.set("region", "south");
        second.set("kind", "order");
        first.merge(&second);
        assert_eq!(first.text("region"), Some("north"));
        assert_eq!(first.text("kind"), Some("order"));
    }

    #[tokio::test]
    async fn a_whole_is_delivered_when_all_its_parts_are() {
        let whole_of_two = || {
            let (delivery, delivered) = Delivery::pair();
            let whole = Whole::of(vec![delivery]);
            let parts = (whole.part(), whole.part());
            (whole, parts, delivered)
        };
        let (whole, (one, other), delivered) = whole_of_two();
        one.confirm();
        whole.complete();
        other.confirm();
        assert!(delivered.wait().await);
        let (whole, (one, other), delivered) = whole_of_two();
        one.confirm();
        drop(other);
        whole.complete();
        assert!(!delivered.wait().await, "one part is lost");
        let (whole, (one, other), delivered) = whole_of_two();
        one.confirm();
        other.confirm();
        drop(whole);
        assert!(!delivered.wait().await, "there might have been more");
    }

    #[tokio::test]
    async fn a_dropped_delivery_is_not_delivered() {
        let (delivery, delivered) = Delivery::pair();
        drop(delivery);
        assert!(!delivered.wait().await);
        let (delivery, delivered) = Delivery::pair();
        delivery.confirm();
        assert!(delivered.wait().await);
    }
}
