//! UUIDs in paths, and the contents of files.
//!
//! A temporary name has a new UUID in each run. Which new one stands for which recorded one is found out
//! with the first call that has it, and kept.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use ring::digest::{SHA256, digest};

use crate::path::RemotePath;

/// The length of a UUID in hexadecimal with its four hyphens (RFC 9562 §4).
const UUID: usize = 36;

/// Where the UUIDs are.
fn uuids(bytes: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = 0_usize;
    while let Some(window) = bytes.get(at..at.saturating_add(UUID)) {
        if is_uuid(window) {
            found.push(at);
            at += UUID;
        } else {
            at += 1;
        }
    }
    found
}

fn is_uuid(window: &[u8]) -> bool {
    window
        .iter()
        .enumerate()
        .all(|(at, byte)| match [8, 13, 18, 23].contains(&at) {
            true => *byte == b'-',
            false => byte.is_ascii_hexdigit(),
        })
}

/// The same bytes with this in place of each UUID.
fn replaced(bytes: &[u8], mut with: impl FnMut(&[u8]) -> Bytes) -> Bytes {
    let mut made = BytesMut::with_capacity(bytes.len());
    let mut from = 0;
    for at in uuids(bytes) {
        made.extend_from_slice(&bytes[from..at]);
        made.extend_from_slice(&with(&bytes[at..at + UUID]));
        from = at + UUID;
    }
    made.extend_from_slice(&bytes[from..]);
    made.freeze()
}

/// What all paths have in common that differ in UUIDs alone.
pub(super) fn shape(path: &RemotePath) -> RemotePath {
    RemotePath::new(replaced(path.as_bytes(), |_| Bytes::from_static(b"{uuid}")))
}

/// Which UUIDs of this run stand for which of the recorded one.
#[derive(Debug, Default)]
pub(super) struct Uuids {
    recorded: HashMap<Bytes, Bytes>,
    live: HashMap<Bytes, Bytes>,
}

impl Uuids {
    /// A path of this run as it would have been recorded.
    pub(super) fn recorded(&self, path: &RemotePath) -> RemotePath {
        RemotePath::new(swapped(&self.recorded, path.as_bytes()))
    }

    /// A recorded name or path as this run knows it.
    pub(super) fn live(&self, name: &[u8]) -> Bytes {
        swapped(&self.live, name)
    }

    /// Whether one path can stand for the other: they differ in UUIDs alone, none of which stands for
    /// another one yet.
    pub(super) fn may_stand(&self, live: &RemotePath, recorded: &RemotePath) -> bool {
        if shape(live) != shape(recorded) {
            return false;
        }
        pairs(live, recorded).all(|(live, recorded)| {
            live == recorded
                || !self.recorded.contains_key(&live) && !self.live.contains_key(&recorded)
        })
    }

    /// From now on the UUIDs of one stand for those of the other.
    pub(super) fn stand(&mut self, live: &RemotePath, recorded: &RemotePath) {
        for (live, recorded) in pairs(live, recorded) {
            if live != recorded {
                self.recorded.insert(live.clone(), recorded.clone());
                self.live.insert(recorded, live);
            }
        }
    }
}

fn swapped(with: &HashMap<Bytes, Bytes>, bytes: &[u8]) -> Bytes {
    if with.is_empty() {
        return Bytes::copy_from_slice(bytes);
    }
    replaced(bytes, |uuid| {
        let other = with.get(uuid).cloned();
        other.unwrap_or_else(|| Bytes::copy_from_slice(uuid))
    })
}

fn pairs<'a>(
    live: &'a RemotePath,
    recorded: &'a RemotePath,
) -> impl Iterator<Item = (Bytes, Bytes)> + 'a {
    let of = |path: &'a RemotePath| {
        let bytes = path.as_bytes();
        let places = uuids(bytes).into_iter();
        places.map(move |at| Bytes::copy_from_slice(&bytes[at..at + UUID]))
    };
    of(live).zip(of(recorded))
}

/// What is in the files.
#[derive(Debug)]
pub(super) struct Contents {
    pub(super) seed: u64,
    /// What was given, and what was written: kept as long as the replay is.
    known: HashMap<RemotePath, Vec<u8>>,
}

impl Contents {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            known: HashMap::new(),
        }
    }

    pub(super) fn put(&mut self, path: RemotePath, content: Vec<u8>) {
        self.known.insert(path, content);
    }

    pub(super) fn remove(&mut self, path: &RemotePath) {
        self.known.remove(path);
    }

    pub(super) fn rename(&mut self, from: &RemotePath, to: &RemotePath) {
        match self.known.remove(from) {
            Some(content) => self.put(to.clone(), content),
            None => self.remove(to),
        }
    }

    pub(super) fn copy(&mut self, from: &RemotePath, to: &RemotePath) {
        if let Some(content) = self.known.get(from).cloned() {
            self.put(to.clone(), content);
        }
    }

    /// Takes what is written, as far as it goes on from what is known.
    pub(super) fn write(&mut self, path: &RemotePath, offset: u64, data: &[u8]) {
        let content = self.known.entry(path.clone()).or_default();
        let Some(at) = usize::try_from(offset)
            .ok()
            .filter(|at| *at <= content.len())
        else {
            return;
        };
        let over = data.len().min(content.len() - at);
        content[at..at + over].copy_from_slice(&data[..over]);
        content.extend_from_slice(&data[over..]);
    }

    /// What is read there.
    pub(super) fn read(&self, path: &RemotePath, offset: u64, size: usize) -> Bytes {
        let known = self.known.get(path).map_or(&[][..], Vec::as_slice);
        let from = usize::try_from(offset).map_or(known.len(), |at| at.min(known.len()));
        let known = &known[from..known.len().min(from.saturating_add(size))];
        let mut read = BytesMut::with_capacity(size);
        read.extend_from_slice(known);
        let key = self.key(path);
        let mut at = offset.saturating_add(known.len() as u64);
        while read.len() < size {
            read.extend_from_slice(&[made(key, at)]);
            at = at.saturating_add(1);
        }
        read.freeze()
    }

    /// Where the bytes of a file begin in the sequence that they are taken from.
    fn key(&self, path: &RemotePath) -> u64 {
        let seeded = [&self.seed.to_be_bytes()[..], path.as_bytes()].concat();
        let digest = digest(&SHA256, &seeded);
        let first = digest.as_ref().first_chunk();
        u64::from_be_bytes(*first.expect("SHA-256 has 32 bytes"))
    }
}

/// The byte at a place: of splitmix64, eight for each number.
fn made(key: u64, at: u64) -> u8 {
    let mut word = key.wrapping_add((at / 8 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^= word >> 31;
    word.to_be_bytes()[(at % 8) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "/in/.a.7b0c7a8e-0000-4000-8000-000000000001.part";
    const OTHER: &str = "/in/.a.7b0c7a8e-0000-4000-8000-000000000002.part";

    #[test]
    fn a_uuid_stands_for_one_other_and_back() {
        let (one, other) = (RemotePath::from(ONE), RemotePath::from(OTHER));
        let mut uuids = Uuids::default();
        assert_eq!(shape(&one), shape(&other));
        assert!(uuids.may_stand(&one, &other));
        assert!(!uuids.may_stand(&one, &"/in/.b.part".into()));
        uuids.stand(&one, &other);
        assert_eq!(uuids.recorded(&one), other);
        assert_eq!(uuids.live(other.as_bytes()), one.as_bytes());
        assert_eq!(uuids.recorded(&"/in/a".into()), "/in/a".into());
        let third = RemotePath::from("/in/.a.7b0c7a8e-0000-4000-8000-000000000003.part");
        assert!(!uuids.may_stand(&third, &other), "it is taken");
    }

    #[test]
    fn contents_are_those_given_those_written_and_those_of_the_seed() {
        let mut contents = Contents::new(1);
        let (a, b) = (RemotePath::from("a"), RemotePath::from("b"));
        let whole = contents.read(&a, 0, 100);
        assert_eq!(contents.read(&a, 30, 70), whole[30..]);
        assert_ne!(contents.read(&b, 0, 100), whole);
        contents.write(&a, 0, b"first");
        contents.write(&a, 5, b" second");
        contents.write(&a, 100, b"behind a gap");
        contents.write(&a, 1, b"IRS");
        contents.rename(&a, &b);
        assert_eq!(contents.read(&b, 3, 6), "St sec");
        assert_eq!(contents.read(&b, 0, 14).len(), 14);
        assert_eq!(contents.read(&a, 0, 100), whole);
    }
}
