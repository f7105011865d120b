//! Which entries of a listing are taken, and in which order: pure decisions.
//!
//! Not the listing and not the clock: entries are offered one by one, as they come, with what had
//! to be looked up about them. With `max-files` only so many are held; without it one compact
//! record per match, up to a bound.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::iter::once;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::filter::{DotRule, Expression, Known, NameFilter};
use crate::names::{self, DoneFile};
use crate::operation::{DEEPEST, Get, List, Sort, Symlinks, setting};
use crate::outcome::SkipReason;
use crate::path::RemotePath;
use crate::remote::{Attrs, Entry, FileKind};
use crate::units::ByteSize;

/// An entry, and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// What the listing says of it.
    pub(crate) entry: Entry,
    /// The directory that it is in, absolute.
    pub(crate) directory: RemotePath,
    /// The names of the directories between the operation's and the entry: none for one that is in
    /// the operation's directory itself. Each is a base name.
    pub(crate) relative: Arc<[Bytes]>,
}

impl Found {
    /// Its absolute path.
    pub(crate) fn path(&self) -> RemotePath {
        self.directory.join(&self.entry.name)
    }

    /// Its path below the operation's directory: `sub/a.csv`.
    pub(crate) fn relative_path(&self) -> Bytes {
        if self.relative.is_empty() {
            return self.entry.name.clone();
        }
        let mut path = Vec::new();
        for name in self.relative.iter() {
            path.extend_from_slice(name);
            path.push(b'/');
        }
        path.extend_from_slice(&self.entry.name);
        path.into()
    }
}

/// What became of an entry that was listed.
#[derive(Debug)]
pub(crate) enum Seen {
    /// It is taken.
    Take(Found),
    /// It is left alone.
    Skip(Found, SkipReason),
    /// A directory below could not be listed, or not to its end.
    Failed(Found, Error),
}

/// Which entries are wanted, and in which order: the keys of an operation, read.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) file_filter: Option<NameFilter>,
    pub(crate) filter: Option<Expression>,
    pub(crate) dots: DotRule,
    pub(crate) kinds: Kinds,
    pub(crate) links: Symlinks,
    pub(crate) sort: Sort,
    /// At most so many; 0: all.
    pub(crate) max: usize,
    /// How many directories down; 0: not into any.
    pub(crate) depth: Depth,
    pub(crate) min_age: Duration,
    pub(crate) stable_for: Duration,
    pub(crate) done_file: Option<DoneFile>,
    /// So many bytes may be held of a listing.
    pub(crate) memory: ByteSize,
}

/// What is taken at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kinds {
    /// Files, and what links lead to as the option says.
    Files,
    /// Whatever there is.
    All,
}

/// How many directories down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// Into none.
    Here,
    /// So many; deeper ones are left alone.
    UpTo(u32),
    /// As many as there are; more than the bound is an error.
    All,
}

impl Depth {
    fn of(recursive: bool, max_depth: u32) -> Self {
        match (recursive, max_depth) {
            (false, _) => Self::Here,
            (true, 0) => Self::All,
            (true, depth) => Self::UpTo(depth),
        }
    }

    /// Whether a directory so many down is gone into; the operation's own is 0 down.
    pub(super) fn reaches(self, depth: usize) -> bool {
        let bound = match self {
            Self::Here => 0,
            Self::UpTo(bound) => bound,
            Self::All => DEEPEST,
        };
        depth <= bound as usize
    }
}

impl Choice {
    /// By the options of Get.
    pub(crate) fn of_get(get: &Get, memory: ByteSize) -> Result<Self> {
        let filter = setting(get.file_filter.as_ref());
        Ok(Self {
            file_filter: filter.map(NameFilter::parse).transpose()?,
            filter: get.filter.clone(),
            dots: dots(get.hidden),
            kinds: Kinds::Files,
            links: get.symlinks,
            sort: get.sort,
            max: get.max_files,
            depth: Depth::of(get.recursive, get.max_depth),
            min_age: get.min_age,
            stable_for: get.stable_for,
            done_file: get.done_file()?,
            memory,
        })
    }

    /// By the options of List.
    pub(crate) fn of_list(list: &List, memory: ByteSize) -> Result<Self> {
        let filter = setting(list.file_filter.as_ref());
        Ok(Self {
            file_filter: filter.map(NameFilter::parse).transpose()?,
            filter: list.filter.clone(),
            dots: dots(list.hidden),
            kinds: Kinds::All,
            links: list.symlinks,
            sort: list.sort,
            max: list.max_files,
            depth: Depth::of(list.recursive, list.max_depth),
            min_age: Duration::ZERO,
            stable_for: Duration::ZERO,
            done_file: None,
            memory,
        })
    }

    /// Whether the target of a link has to be looked at before anything is decided on it.
    pub(super) fn wants_targets(&self) -> bool {
        let matters = self.kinds == Kinds::Files || self.depth != Depth::Here;
        self.links == Symlinks::Follow && matters
    }

    /// Decides by the name alone, for a file.
    pub(super) fn judge_name(&self, name: &[u8]) -> Judged {
        if let Err(judged) = self.judge_form(name) {
            return judged;
        }
        if self.done_file.as_ref().is_some_and(|it| it.is_one(name)) {
            return Judged::Skip(SkipReason::DoneFile);
        }
        match &self.file_filter {
            Some(filter) if !filter.takes(name, self.dots) => Judged::Skip(SkipReason::Filtered),
            None if self.hides(name) => Judged::Skip(SkipReason::Hidden),
            _ => Judged::Take,
        }
    }

    /// Decides whether a directory of this name may be gone into: filters are for what is in it.
    pub(super) fn judge_directory(&self, name: &[u8]) -> Judged {
        match self.judge_form(name) {
            Err(judged) => judged,
            Ok(()) if self.hides(name) => Judged::Skip(SkipReason::Hidden),
            Ok(()) => Judged::Take,
        }
    }

    /// Decides on an entry, apart from what takes a look at something else. `attrs` are those of
    /// what would be taken: behind a link, where links are followed.
    pub(super) fn judge(&self, entry: &Entry, attrs: &Attrs, now: i64) -> Judged {
        let judged = match (self.kinds, attrs.kind) {
            // Filters are for files; what a directory is called does not matter to them.
            (Kinds::Files, FileKind::Directory) => self.judge_directory(&entry.name),
            _ => self.judge_name(&entry.name),
        };
        if judged != Judged::Take {
            return judged;
        }
        if self.kinds == Kinds::Files {
            match (entry.attrs.kind, attrs.kind) {
                (FileKind::Symlink, _) if self.links == Symlinks::Skip => {
                    return Judged::Skip(SkipReason::Symlink);
                }
                (_, FileKind::Directory) => return Judged::Skip(SkipReason::Directory),
                (_, FileKind::Other) => return Judged::Skip(SkipReason::NotAFile),
                _ => {}
            }
        }
        let known = Known {
            name: &entry.name,
            attrs,
            now,
        };
        if self.filter.as_ref().is_some_and(|it| !it.takes(known)) {
            return Judged::Skip(SkipReason::Filtered);
        }
        if self.is_too_young(attrs, now) {
            return Judged::Skip(SkipReason::TooYoung);
        }
        Judged::Take
    }

    fn is_too_young(&self, attrs: &Attrs, now: i64) -> bool {
        if self.min_age.is_zero() {
            return false;
        }
        let age = attrs.modified.and_then(|modified| {
            let age = now.checked_sub(modified)?;
            u64::try_from(age).ok().map(Duration::from_secs)
        });
        age.is_none_or(|age| age < self.min_age)
    }

    fn judge_form(&self, name: &[u8]) -> Result<(), Judged> {
        if name == b"." || name == b".." {
            return Err(Judged::Ignore);
        }
        if !names::is_base_name(name) {
            return Err(Judged::Skip(SkipReason::NameRefused));
        }
        if names::is_ours(name) {
            return Err(Judged::Skip(SkipReason::Temporary));
        }
        Ok(())
    }

    fn hides(&self, name: &[u8]) -> bool {
        self.dots == DotRule::Explicit && name.first() == Some(&b'.')
    }
}

fn dots(hidden: bool) -> DotRule {
    match hidden {
        true => DotRule::Ignored,
        false => DotRule::Explicit,
    }
}

/// A decision on one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// It is taken, as far as the limit lets it.
    Take,
    /// It is left alone.
    Skip(SkipReason),
    /// It is the directory itself or the one above, and not worth a word.
    Ignore,
}

/// Brings what is taken into its order, and counts it.
#[derive(Debug)]
pub(super) struct Selection {
    sort: Sort,
    max: usize,
    memory: u64,
    held_bytes: u64,
    held: BinaryHeap<Ranked>,
    taken: usize,
}

/// What became of an offered entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// It is held for [`Selection::finish`].
    Held,
    /// It is taken at once; nothing is sorted.
    Take(Found),
    /// It, or one that was held before, is one more than may be taken.
    Waits(Found),
}

/// A held entry in its order: the largest is the one to give up first.
#[derive(Debug)]
struct Ranked {
    found: Found,
    size: Option<u64>,
    modified: Option<i64>,
    sort: Sort,
}

impl Selection {
    pub(super) fn new(choice: &Choice) -> Self {
        Self {
            sort: choice.sort,
            max: choice.max,
            memory: choice.memory.0,
            held_bytes: 0,
            held: BinaryHeap::new(),
            taken: 0,
        }
    }

    /// Whether the order is only known at the end of the listing.
    pub(super) fn sorts(&self) -> bool {
        self.sort != Sort::None
    }

    /// Takes an entry into account. `attrs` are those that it is sorted by.
    ///
    /// # Errors
    /// `configuration` when more would have to be held than there is memory for.
    pub(super) fn offer(&mut self, found: Found, attrs: &Attrs) -> Result<Offered> {
        if self.sort == Sort::None {
            if self.max > 0 && self.taken == self.max {
                return Ok(Offered::Waits(found));
            }
            self.taken += 1;
            return Ok(Offered::Take(found));
        }
        let ranked = Ranked {
            found,
            size: attrs.size,
            modified: attrs.modified,
            sort: self.sort,
        };
        self.held_bytes = self.held_bytes.saturating_add(ranked.footprint());
        self.held.push(ranked);
        if self.max > 0 && self.held.len() > self.max {
            let last = self.held.pop().expect("one was just pushed");
            self.held_bytes -= last.footprint();
            return Ok(Offered::Waits(last.found));
        }
        if self.held_bytes > self.memory {
            return Err(too_many(self.held.len() - 1, ByteSize(self.memory)));
        }
        Ok(Offered::Held)
    }

    /// Those that were held, in order.
    pub(super) fn finish(&mut self) -> Vec<Found> {
        let held = std::mem::take(&mut self.held).into_sorted_vec();
        held.into_iter().map(|ranked| ranked.found).collect()
    }
}

/// More than the memory has room for.
pub(super) fn too_many(held: usize, memory: ByteSize) -> Error {
    Error::configuration(format!(
        "there are more than {held} matching files, too many to hold in {memory}"
    ))
    .with_hint("set max-files or sort = \"none\", or raise memory")
}

impl Ranked {
    /// What an entry takes in memory, roughly: its record, its names, and the place in the heap.
    fn footprint(&self) -> u64 {
        let names = match self.found.relative.is_empty() {
            true => 0,
            false => self.found.directory.as_bytes().len(),
        };
        (size_of::<Self>() + self.found.entry.name.len() + names + 32) as u64
    }

    /// Component by component, as if a slash sorted before every other byte.
    fn by_path(&self, other: &Self) -> Ordering {
        fn components(found: &Found) -> impl Iterator<Item = &Bytes> {
            found.relative.iter().chain(once(&found.entry.name))
        }
        components(&self.found).cmp(components(&other.found))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_key = match self.sort {
            Sort::Name | Sort::None => Ordering::Equal,
            Sort::NameDescending => other.by_path(self),
            Sort::Modified => self.modified.cmp(&other.modified),
            Sort::ModifiedDescending => other.modified.cmp(&self.modified),
            Sort::Size => self.size.cmp(&other.size),
            Sort::SizeDescending => other.size.cmp(&self.size),
        };
        by_key.then_with(|| self.by_path(other))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn entry(name: &str, size: u64, modified: i64, kind: FileKind) -> Entry {
        Entry {
            name: name.to_owned().into(),
            attrs: Attrs {
                kind,
                size: Some(size),
                modified: Some(modified),
                ..Attrs::default()
            },
        }
    }

    /// What is taken in order, and what is left alone and why.
    fn decide(get: &Get, entries: &[Entry]) -> (Vec<String>, Vec<(String, SkipReason)>) {
        let choice = Choice::of_get(get, ByteSize(1 << 20)).unwrap();
        let mut selection = Selection::new(&choice);
        let (mut taken, mut skipped) = (Vec::new(), Vec::new());
        let text = |found: Found| String::from_utf8(found.entry.name.to_vec()).unwrap();
        for entry in entries {
            let found = found(entry.clone(), "");
            match choice.judge(entry, &entry.attrs, NOW) {
                Judged::Ignore => continue,
                Judged::Skip(reason) => {
                    skipped.push((text(found), reason));
                    continue;
                }
                Judged::Take => {}
            }
            match selection.offer(found, &entry.attrs).unwrap() {
                Offered::Take(found) => taken.push(text(found)),
                Offered::Waits(found) => skipped.push((text(found), SkipReason::Limit)),
                Offered::Held => {}
            }
        }
        taken.extend(selection.finish().into_iter().map(text));
        (taken, skipped)
    }

    /// An entry so far below, with dots between the names.
    fn found(entry: Entry, below: &str) -> Found {
        let relative = below.split('.').filter(|name| !name.is_empty());
        Found {
            entry,
            directory: RemotePath::from("/out").resolve(below.replace('.', "/").as_bytes()),
            relative: relative.map(|name| Bytes::from(name.to_owned())).collect(),
        }
    }

    #[test]
    fn each_order_holds_and_ties_go_by_name() {
        let entries = [
            entry("b", 3, 10, FileKind::File),
            entry("a", 3, 20, FileKind::File),
            entry("c", 1, 10, FileKind::Unknown),
        ];
        for (sort, expected) in [
            ("name", ["a", "b", "c"]),
            ("-name", ["c", "b", "a"]),
            ("size", ["c", "a", "b"]),
            ("-size", ["a", "b", "c"]),
            ("modified", ["b", "c", "a"]),
            ("-modified", ["a", "b", "c"]),
            ("none", ["b", "a", "c"]),
        ] {
            let get = Get {
                sort: sort.parse().unwrap(),
                ..Get::default()
            };
            assert_eq!(decide(&get, &entries).0, expected, "{sort}");
        }
    }

    #[test]
    fn the_limit_counts_after_filter_and_sort_and_says_what_waits() {
        let entries =
            ["d.csv", "b.csv", "a.txt", "c.csv"].map(|name| entry(name, 1, 1, FileKind::File));
        let get = Get {
            file_filter: Some("*.csv".to_owned()),
            max_files: 2,
            ..Get::default()
        };
        let (taken, skipped) = decide(&get, &entries);
        assert_eq!(taken, ["b.csv", "c.csv"]);
        assert_eq!(
            skipped,
            [
                ("a.txt".to_owned(), SkipReason::Filtered),
                ("d.csv".to_owned(), SkipReason::Limit)
            ]
        );
        let unsorted = Get {
            sort: Sort::None,
            ..get
        };
        assert_eq!(decide(&unsorted, &entries).0, ["d.csv", "b.csv"]);
    }

    #[test]
    fn what_is_never_taken_says_why() {
        let ours = String::from_utf8(names::temporary(b"x").to_vec()).unwrap();
        let entries = [
            entry(".", 0, 0, FileKind::Directory),
            entry("..", 0, 0, FileKind::Directory),
            entry("sub", 0, 0, FileKind::Directory),
            entry("a/b", 0, 0, FileKind::File),
            entry("", 0, 0, FileKind::File),
            entry(&ours, 0, 0, FileKind::File),
            entry(".hidden", 0, 0, FileKind::File),
            entry("link", 0, 0, FileKind::Symlink),
            entry("pipe", 0, 0, FileKind::Other),
        ];
        let (taken, skipped) = decide(&Get::default(), &entries);
        assert_eq!(taken, [""; 0]);
        let reasons: Vec<_> = skipped.iter().map(|(_, reason)| *reason).collect();
        use SkipReason::*;
        assert_eq!(
            reasons,
            [
                Directory,
                NameRefused,
                NameRefused,
                Temporary,
                Hidden,
                Symlink,
                NotAFile
            ]
        );
        let all = Get {
            file_filter: Some("*;.*".to_owned()),
            hidden: true,
            symlinks: Symlinks::Follow,
            ..Get::default()
        };
        assert_eq!(decide(&all, &entries).0, [".hidden", "link"]);
    }

    #[test]
    fn a_listing_too_long_to_sort_is_refused_with_the_remedy() {
        let choice = Choice::of_get(&Get::default(), ByteSize(1000)).unwrap();
        let mut selection = Selection::new(&choice);
        let error = (0..100)
            .find_map(|n| {
                let entry = entry(&n.to_string(), 0, 0, FileKind::File);
                let attrs = entry.attrs;
                selection.offer(found(entry, ""), &attrs).err()
            })
            .unwrap();
        assert!(error.hint().unwrap().contains("max-files"), "{error}");
    }

    #[test]
    fn entries_below_come_in_the_order_of_their_paths() {
        let choice = Choice::of_get(&Get::default(), ByteSize(1 << 20)).unwrap();
        let mut selection = Selection::new(&choice);
        for (below, name) in [
            ("b", "a"),
            ("", "c"),
            ("b.a", "z"),
            ("b", "b"),
            ("", "b0"),
            ("", "a"),
        ] {
            let entry = entry(name, 0, 0, FileKind::File);
            let attrs = entry.attrs;
            let offered = selection.offer(found(entry, below), &attrs).unwrap();
            assert_eq!(offered, Offered::Held);
        }
        let paths = selection.finish();
        let paths: Vec<_> = paths.iter().map(Found::relative_path).collect();
        assert_eq!(paths, ["a", "b/a", "b/a/z", "b/b", "b0", "c"]);
    }

    #[test]
    fn a_file_is_too_young_until_its_age_is_reached_and_without_a_time_for_ever() {
        let get = Get {
            min_age: Duration::from_secs(60),
            ..Get::default()
        };
        let choice = Choice::of_get(&get, ByteSize(1 << 20)).unwrap();
        let judged = |modified: Option<i64>| {
            let mut entry = entry("a", 1, 0, FileKind::File);
            entry.attrs.modified = modified;
            choice.judge(&entry, &entry.attrs, NOW)
        };
        let too_young = Judged::Skip(SkipReason::TooYoung);
        assert_eq!(judged(Some(NOW - 60)), Judged::Take);
        assert_eq!(judged(Some(NOW - 59)), too_young);
        assert_eq!(
            judged(Some(NOW + 3600)),
            too_young,
            "the server's clock is ahead"
        );
        assert_eq!(judged(Some(i64::MIN)), too_young);
        assert_eq!(judged(None), too_young);
    }

    #[test]
    fn a_done_file_is_never_taken_itself() {
        let get = Get {
            done_file: Some("{name}.done".to_owned()),
            ..Get::default()
        };
        let entries = ["a", "a.done", ".done"].map(|name| entry(name, 1, 1, FileKind::File));
        let (taken, skipped) = decide(&get, &entries);
        assert_eq!(taken, ["a"]);
        assert_eq!(skipped[0], ("a.done".to_owned(), SkipReason::DoneFile));
        assert_eq!(skipped[1], (".done".to_owned(), SkipReason::Hidden));
    }

    #[test]
    fn an_expression_decides_after_the_name() {
        let get = Get {
            filter: Some("size > 1".parse().unwrap()),
            ..Get::default()
        };
        let entries = [
            entry("a", 1, 1, FileKind::File),
            entry("b", 2, 1, FileKind::File),
        ];
        let (taken, skipped) = decide(&get, &entries);
        assert_eq!(taken, ["b"]);
        assert_eq!(skipped, [("a".to_owned(), SkipReason::Filtered)]);
    }
}
