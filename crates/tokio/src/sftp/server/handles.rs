//! The open files and directories of a session, and the handles that name them
//! (draft-ietf-secsh-filexfer-02 §6.2).

use super::schedule::Lane;
use super::{Directory, File, FileId};
use bytes::{BufMut, Bytes, BytesMut};
use sansftp_proto::sftp::{Entry, Handle};
use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// An open file.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) file: Arc<dyn File>,
    pub(super) id: FileId,
    /// As the client named it.
    pub(super) path: Bytes,
    /// Whether every write goes to the end.
    pub(super) appends: bool,
    /// When it was opened.
    pub(super) since: Instant,
    pub(super) read: AtomicU64,
    pub(super) written: AtomicU64,
}

/// An open directory.
#[derive(Debug)]
pub(super) struct OpenDirectory {
    pub(super) number: u64,
    pub(super) path: Bytes,
    /// Never waited for: one request at a time is at work on a directory.
    pub(super) reading: Mutex<Reading>,
}

/// How far a directory was read.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) directory: Box<dyn Directory>,
    /// Names that did not fit into the last answer.
    pub(super) left: VecDeque<Entry>,
}

/// What a handle names.
#[derive(Debug, Clone)]
pub(super) enum Opened {
    File(Arc<OpenFile>),
    Directory(Arc<OpenDirectory>),
}

impl Opened {
    pub(super) fn lane(&self) -> Lane {
        match self {
            Self::File(file) => Lane::File(file.id),
            Self::Directory(directory) => Lane::Directory(directory.number),
        }
    }
}

/// All that is open. A handle is a place in the table and a tag that no other handle of the session
/// had before, and that cannot be guessed from others: a stale or invented one finds nothing.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Option<(u64, Opened)>>,
    free: Vec<usize>,
    opened: u64,
    tags: RandomState,
}

impl Table {
    pub(super) fn insert(&mut self, opened: Opened) -> Handle {
        self.opened += 1;
        let tag = self.tags.hash_one(self.opened);
        let slot = Some((tag, opened));
        let at = match self.free.pop() {
            Some(at) => {
                self.slots[at] = slot;
                at
            }
            None => {
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        let mut bytes = BytesMut::with_capacity(16);
        bytes.put_u64(at as u64);
        bytes.put_u64(tag);
        Handle::new(bytes.freeze()).expect("16 bytes are no more than 256")
    }

    /// How many there were so far.
    pub(super) const fn opened(&self) -> u64 {
        self.opened
    }

    pub(super) fn get(&self, handle: &Handle) -> Option<&Opened> {
        let at = self.find(handle)?;
        self.slots[at].as_ref().map(|(_, opened)| opened)
    }

    /// Takes out what the handle names; it names nothing from now on.
    pub(super) fn remove(&mut self, handle: &Handle) -> Option<Opened> {
        let at = self.find(handle)?;
        self.free.push(at);
        self.slots[at].take().map(|(_, opened)| opened)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Takes out everything.
    pub(super) fn clear(&mut self) -> Vec<Opened> {
        self.free.clear();
        let slots = std::mem::take(&mut self.slots).into_iter().flatten();
        slots.map(|(_, opened)| opened).collect()
    }

    fn find(&self, handle: &Handle) -> Option<usize> {
        let bytes: &[u8; 16] = handle.as_bytes().try_into().ok()?;
        let (at, tag) = bytes.split_at(8);
        let at = usize::try_from(u64::from_be_bytes(at.try_into().ok()?)).ok()?;
        let (own, _) = self.slots.get(at)?.as_ref()?;
        (own.to_be_bytes() == tag).then_some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sftp::server::Outcome;
    use sansftp_proto::sftp::Attrs;

    #[derive(Debug)]
    struct Nothing;

    impl Directory for Nothing {
        fn read(&mut self, _: usize) -> Outcome<Vec<Entry>> {
            Ok(Vec::new())
        }

        fn stat(&self) -> Outcome<Attrs> {
            Ok(Attrs::default())
        }
    }

    fn opened(number: u64) -> Opened {
        let reading = Reading {
            directory: Box::new(Nothing),
            left: VecDeque::new(),
        };
        Opened::Directory(Arc::new(OpenDirectory {
            number,
            path: Bytes::new(),
            reading: Mutex::new(reading),
        }))
    }

    #[test]
    fn a_handle_finds_what_it_names_and_nothing_once_that_is_closed() {
        let mut table = Table::default();
        let (first, second) = (table.insert(opened(1)), table.insert(opened(2)));
        assert_eq!(table.get(&first).unwrap().lane(), Lane::Directory(1));
        assert!(table.remove(&first).is_some());
        assert!(table.get(&first).is_none() && table.remove(&first).is_none());
        let third = table.insert(opened(3));
        assert_eq!(
            third.as_bytes()[..8],
            first.as_bytes()[..8],
            "the place comes again"
        );
        assert!(table.get(&first).is_none(), "the handle does not");
        assert_eq!(table.get(&third).unwrap().lane(), Lane::Directory(3));
        assert_eq!(table.len(), 2);
        assert_eq!(table.clear().len(), 2);
        assert!(table.get(&second).is_none());
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn what_was_never_handed_out_finds_nothing() {
        let mut table = Table::default();
        let handle = table.insert(opened(1));
        let mut last = handle.as_bytes().to_vec();
        *last.last_mut().unwrap() ^= 1;
        let far = [&u64::MAX.to_be_bytes()[..], &handle.as_bytes()[8..]].concat();
        let long = [handle.as_bytes(), b"\0"].concat();
        for bytes in [
            Vec::new(),
            vec![0],
            vec![0; 16],
            vec![0xff; 256],
            last,
            far,
            long,
        ] {
            let other = Handle::new(bytes.into()).unwrap();
            assert!(table.get(&other).is_none(), "{other:?}");
        }
    }
}
