//! The names that a plan would have changed, over those that are there.
//!
//! Not a file system: it knows a name only once something would have been done to it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::path::RemotePath;
use crate::remote::{Attrs, Entry, FileKind};

/// Names that are other than the server has them.
#[derive(Debug, Default)]
pub(super) struct Overlay(Mutex<BTreeMap<RemotePath, Known>>);

/// What a name would be.
#[derive(Clone, Debug)]
pub(super) enum Known {
    /// Not there.
    Gone,
    /// There, and where the server has it now, if it has it at all.
    There {
        attrs: Attrs,
        origin: Option<RemotePath>,
    },
}

impl Overlay {
    pub(super) fn get(&self, path: &RemotePath) -> Option<Known> {
        self.names().get(path).cloned()
    }

    pub(super) fn put(&self, path: &RemotePath, known: Known) {
        self.names().insert(path.clone(), known);
    }

    /// So much is in the file now.
    pub(super) fn grow(&self, path: &RemotePath, end: u64, now: i64) {
        if let Some(Known::There { attrs, .. }) = self.names().get_mut(path) {
            attrs.size = Some(attrs.size.unwrap_or(0).max(end));
            attrs.modified = Some(now);
        }
    }

    /// What of a directory is other than the server has it, by base name.
    pub(super) fn within(&self, directory: &RemotePath) -> BTreeMap<Bytes, Known> {
        let names = self.names();
        let inside = names
            .iter()
            .filter(|(path, _)| path.parent().as_ref() == Some(directory));
        inside
            .map(|(path, known)| (Bytes::copy_from_slice(path.name()), known.clone()))
            .collect()
    }

    fn names(&self) -> MutexGuard<'_, BTreeMap<RemotePath, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Something new.
    pub(super) fn new(kind: FileKind, size: u64, now: i64) -> Self {
        Self::There {
            attrs: Attrs {
                kind,
                size: Some(size),
                modified: Some(now),
                ..Attrs::default()
            },
            origin: None,
        }
    }

    /// Its entry in a listing.
    pub(super) fn entry(self, name: Bytes) -> Option<Entry> {
        match self {
            Self::Gone => None,
            Self::There { attrs, .. } => Some(Entry { name, attrs }),
        }
    }
}
