//! Which entries of a listing are taken, and in which order: a pure decision.
//!
//! Not the listing: entries are offered one by one, as they come. With `max-files` only so many
//! are held; without it one compact record per match, up to a bound.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::error::{Error, Result};
use crate::filter::{DotRule, NameFilter};
use crate::names;
use crate::operation::{Get, List, Sort, Symlinks, setting};
use crate::outcome::SkipReason;
use crate::remote::{Entry, FileKind};
use crate::units::ByteSize;

/// Decides on the entries of one directory.
#[derive(Debug)]
pub(super) struct Selection {
    rules: Rules,
    sort: Sort,
    max: usize,
    memory: u64,
    held_bytes: u64,
    held: BinaryHeap<Ranked>,
    taken: usize,
}

#[derive(Debug)]
struct Rules {
    filter: Option<NameFilter>,
    dots: DotRule,
    kinds: Kinds,
}

/// What is taken at all.
#[derive(Clone, Copy, Debug)]
enum Kinds {
    /// Files, and links as the option says.
    Files(Symlinks),
    /// Whatever there is.
    All,
}

/// What became of an offered entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// It is held for [`Selection::finish`].
    Held,
    /// It is taken at once; nothing is sorted.
    Take(Entry),
    /// It, or one that was held before, is left alone.
    Skip(Entry, SkipReason),
    /// It is none of the kind that is looked for, and not worth a word.
    Ignore,
}

/// A held entry in its order: the largest is the one to give up first.
#[derive(Debug)]
struct Ranked {
    entry: Entry,
    sort: Sort,
}

impl Selection {
    /// By the options of Get.
    pub(super) fn of_get(get: &Get, memory: ByteSize) -> Result<Self> {
        let kinds = Kinds::Files(get.symlinks);
        let filter = get.file_filter.as_ref();
        Self::new(filter, get.hidden, kinds, get.sort, get.max_files, memory)
    }

    /// By the options of List.
    pub(super) fn of_list(list: &List, memory: ByteSize) -> Result<Self> {
        let filter = list.file_filter.as_ref();
        Self::new(
            filter,
            list.hidden,
            Kinds::All,
            list.sort,
            list.max_files,
            memory,
        )
    }

    fn new(
        filter: Option<&String>,
        hidden: bool,
        kinds: Kinds,
        sort: Sort,
        max: usize,
        memory: ByteSize,
    ) -> Result<Self> {
        Ok(Self {
            rules: Rules {
                filter: setting(filter).map(NameFilter::parse).transpose()?,
                dots: if hidden {
                    DotRule::Ignored
                } else {
                    DotRule::Explicit
                },
                kinds,
            },
            sort,
            max,
            memory: memory.0,
            held_bytes: 0,
            held: BinaryHeap::new(),
            taken: 0,
        })
    }

    /// Decides on the next entry.
    ///
    /// # Errors
    /// `configuration` when more would have to be held than there is memory for.
    pub(super) fn offer(&mut self, entry: Entry) -> Result<Offered> {
        match self.rules.judge(&entry) {
            Ok(()) => {}
            Err(None) => return Ok(Offered::Ignore),
            Err(Some(reason)) => return Ok(Offered::Skip(entry, reason)),
        }
        if self.sort == Sort::None {
            if self.max > 0 && self.taken == self.max {
                return Ok(Offered::Skip(entry, SkipReason::Limit));
            }
            self.taken += 1;
            return Ok(Offered::Take(entry));
        }
        self.held_bytes += footprint(&entry);
        self.held.push(Ranked {
            entry,
            sort: self.sort,
        });
        if self.max > 0 && self.held.len() > self.max {
            let last = self.held.pop().expect("one was just pushed").entry;
            self.held_bytes -= footprint(&last);
            return Ok(Offered::Skip(last, SkipReason::Limit));
        }
        if self.held_bytes > self.memory {
            return Err(Error::configuration(format!(
                "the directory has more than {} matching files, too many to sort in {}",
                self.held.len() - 1,
                ByteSize(self.memory)
            ))
            .with_hint("set max-files or sort = \"none\", or raise memory"));
        }
        Ok(Offered::Held)
    }

    /// Those that were held, in order.
    pub(super) fn finish(self) -> Vec<Entry> {
        let held = self.held.into_sorted_vec();
        held.into_iter().map(|ranked| ranked.entry).collect()
    }
}

impl Rules {
    /// Whether it is taken; if not, why, unless that is not worth a word.
    fn judge(&self, entry: &Entry) -> Result<(), Option<SkipReason>> {
        let name = &entry.name[..];
        if name == b"." || name == b".." {
            return Err(None);
        }
        if let Kinds::Files(_) = self.kinds
            && entry.attrs.kind == FileKind::Directory
        {
            return Err(None);
        }
        if !names::is_base_name(name) {
            return Err(Some(SkipReason::NameRefused));
        }
        if names::is_ours(name) {
            return Err(Some(SkipReason::Temporary));
        }
        match &self.filter {
            Some(filter) if !filter.takes(name, self.dots) => {
                return Err(Some(SkipReason::Filtered));
            }
            None if self.dots == DotRule::Explicit && name.first() == Some(&b'.') => {
                return Err(Some(SkipReason::Hidden));
            }
            _ => {}
        }
        match (self.kinds, entry.attrs.kind) {
            (Kinds::Files(Symlinks::Skip), FileKind::Symlink) => Err(Some(SkipReason::Symlink)),
            (Kinds::Files(_), FileKind::Other) => Err(Some(SkipReason::NotAFile)),
            _ => Ok(()),
        }
    }
}

/// What an entry takes in memory, roughly: its record, its name, and the place in the heap.
fn footprint(entry: &Entry) -> u64 {
    (size_of::<Ranked>() + entry.name.len() + 32) as u64
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        let (one, two) = (&self.entry, &other.entry);
        let by_key = match self.sort {
            Sort::Name | Sort::None => Ordering::Equal,
            Sort::NameDescending => two.name.cmp(&one.name),
            Sort::Modified => one.attrs.modified.cmp(&two.attrs.modified),
            Sort::ModifiedDescending => two.attrs.modified.cmp(&one.attrs.modified),
            Sort::Size => one.attrs.size.cmp(&two.attrs.size),
            Sort::SizeDescending => two.attrs.size.cmp(&one.attrs.size),
        };
        by_key.then_with(|| one.name.cmp(&two.name))
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
    use crate::remote::Attrs;

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
        let mut selection = Selection::of_get(get, ByteSize(1 << 20)).unwrap();
        let (mut taken, mut skipped) = (Vec::new(), Vec::new());
        let text = |entry: Entry| String::from_utf8(entry.name.to_vec()).unwrap();
        for entry in entries {
            match selection.offer(entry.clone()).unwrap() {
                Offered::Take(entry) => taken.push(text(entry)),
                Offered::Skip(entry, reason) => skipped.push((text(entry), reason)),
                Offered::Held | Offered::Ignore => {}
            }
        }
        taken.extend(selection.finish().into_iter().map(text));
        (taken, skipped)
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
        let mut selection = Selection::of_get(&Get::default(), ByteSize(1000)).unwrap();
        let error = (0..100)
            .find_map(|n| {
                selection
                    .offer(entry(&n.to_string(), 0, 0, FileKind::File))
                    .err()
            })
            .unwrap();
        assert!(error.hint().unwrap().contains("max-files"), "{error}");
    }
}
