//! Names of users and groups, and the line that shows a file as `ls -l` does, which is for people
//! (draft-ietf-secsh-filexfer-02 §7).

use super::root::Reach;
use bytes::Bytes;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use nix::unistd::{Gid, Group, Uid, User};
use rustix::fs::{FileType, Stat};
use sansftp_proto::sftp::extensions::OwnerNames;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};

/// Names that are remembered of users, and of groups; what is beyond is shown as a number. More than
/// the files beneath one directory have owners, and no client can make it grow without end.
const REMEMBERED: usize = 4096;

/// Names of users and groups, each looked up once: the system may ask a directory service.
#[derive(Debug, Default)]
pub(super) struct Owners {
    users: Mutex<Names>,
    groups: Mutex<Names>,
}

/// By number; empty where the system knows none.
type Names = HashMap<u32, Bytes>;

impl Owners {
    /// The name of a user who owns a file that is shown; empty where there is none.
    fn user(&self, uid: u32) -> Bytes {
        remembered(&self.users, uid, || {
            let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
            user.map(|it| it.name)
        })
    }

    /// The same of a group.
    fn group(&self, gid: u32) -> Bytes {
        remembered(&self.groups, gid, || {
            let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
            group.map(|it| it.name)
        })
    }

    /// Answers `users-groups-by-id@openssh.com`. Where only a directory is served, the names are
    /// known of those whose files were listed: the accounts of the whole system are not its business.
    pub(super) fn names(&self, users: &[u32], groups: &[u32], reach: Reach) -> OwnerNames {
        let listed = |names: &Mutex<Names>, id: &u32| {
            let names = names.lock().unwrap_or_else(PoisonError::into_inner);
            names.get(id).cloned().unwrap_or_default()
        };
        match reach {
            Reach::Whole => OwnerNames {
                users: users.iter().map(|&uid| self.user(uid)).collect(),
                groups: groups.iter().map(|&gid| self.group(gid)).collect(),
            },
            Reach::Beneath => OwnerNames {
                users: users.iter().map(|id| listed(&self.users, id)).collect(),
                groups: groups.iter().map(|id| listed(&self.groups, id)).collect(),
            },
        }
    }
}

fn remembered(names: &Mutex<Names>, id: u32, look_up: impl FnOnce() -> Option<String>) -> Bytes {
    let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
    let full = names.len() >= REMEMBERED;
    match names.entry(id) {
        Entry::Occupied(known) => known.get().clone(),
        Entry::Vacant(_) if full => Bytes::new(),
        Entry::Vacant(unknown) => unknown.insert(look_up().unwrap_or_default().into()).clone(),
    }
}

/// What lines of one listing have in common.
#[derive(Debug)]
pub(super) struct Longnames {
    zone: TimeZone,
    now: Timestamp,
    /// Since when a file's time is shown with the time of day instead of the year.
    recent: Timestamp,
}

impl Longnames {
    pub(super) fn new() -> Self {
        let now = Timestamp::now();
        Self {
            zone: TimeZone::system(),
            now,
            // Half a year, as ls has it.
            recent: now
                .checked_sub((365 * 24 / 2).hours())
                .unwrap_or(Timestamp::MIN),
        }
    }

    /// The line for one file.
    pub(super) fn line(&self, name: &[u8], stat: &Stat, owners: &Owners) -> Bytes {
        let named = |name: Bytes, number: u32| match name.is_empty() {
            true => number.to_string(),
            false => String::from_utf8_lossy(&name).into_owned(),
        };
        let line = format!(
            "{} {:>3} {:<8} {:<8} {:>8} {} ",
            mode(stat.st_mode),
            stat.st_nlink,
            named(owners.user(stat.st_uid), stat.st_uid),
            named(owners.group(stat.st_gid), stat.st_gid),
            stat.st_size,
            self.time(i128::from(stat.st_mtime)),
        );
        [line.as_bytes(), name].concat().into()
    }

    fn time(&self, seconds: i128) -> String {
        let time = i64::try_from(seconds).ok().map(Timestamp::from_second);
        let Some(Ok(time)) = time else {
            return seconds.to_string();
        };
        let format = match (self.recent..=self.now).contains(&time) {
            true => "%b %e %H:%M",
            false => "%b %e  %Y",
        };
        time.to_zoned(self.zone.clone())
            .strftime(format)
            .to_string()
    }
}

/// Type and permissions, as `ls -l` writes them.
fn mode(mode: u32) -> String {
    let kind = match FileType::from_raw_mode(mode) {
        FileType::RegularFile => '-',
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::Fifo => 'p',
        FileType::Socket => 's',
        FileType::CharacterDevice => 'c',
        FileType::BlockDevice => 'b',
        _ => '?',
    };
    let mut text = String::from(kind);
    // Shift of the three bits, the special bit, and what it is written as beside x and without.
    for (shift, special, with_x, without) in [
        (6, 0o4000, 's', 'S'),
        (3, 0o2000, 's', 'S'),
        (0, 0o1000, 't', 'T'),
    ] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, true) => with_x,
            (false, true) => without,
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_written_as_ls_writes_them() {
        for (bits, expected) in [
            (0o100_644, "-rw-r--r--"),
            (0o040_755, "drwxr-xr-x"),
            (0o120_777, "lrwxrwxrwx"),
            (0o041_777, "drwxrwxrwt"),
            (0o104_755, "-rwsr-xr-x"),
            (0o106_640, "-rwSr-S---"),
            (0o041_640, "drw-r----T"),
            (0o010_600, "prw-------"),
            (0o140_600, "srw-------"),
            (0o020_600, "crw-------"),
            (0o060_600, "brw-------"),
        ] {
            assert_eq!(mode(bits), expected);
        }
    }

    #[test]
    fn times_are_shown_as_ls_shows_them() {
        let longnames = Longnames {
            zone: TimeZone::UTC,
            now: "2026-06-01T00:00:00Z".parse().unwrap(),
            recent: "2025-12-01T00:00:00Z".parse().unwrap(),
        };
        for (time, expected) in [
            (1_779_979_500, "May 28 14:45"),
            (1_000_000_000, "Sep  9  2001"),
            (2_000_000_000, "May 18  2033"),
            (-1, "Dec 31  1969"),
            (i128::from(i64::MAX), "9223372036854775807"),
        ] {
            assert_eq!(longnames.time(time), expected);
        }
    }

    #[test]
    fn accounts_that_own_nothing_that_was_listed_have_no_names_beneath_a_directory() {
        let owners = Owners::default();
        let names = |reach| owners.names(&[0, 4_000_000_000], &[0], reach);
        assert_eq!(names(Reach::Beneath).users, [Bytes::new(), Bytes::new()]);
        assert_eq!(owners.user(0), "root");
        let names = names(Reach::Beneath);
        assert_eq!(names.users, [Bytes::from("root"), Bytes::new()]);
        assert_eq!(names.groups, [Bytes::new()]);
        let whole = owners.names(&[0, 4_000_000_000], &[0], Reach::Whole);
        assert_eq!(whole.users, [Bytes::from("root"), Bytes::new()]);
        assert_eq!(whole.groups, [Bytes::from("root")]);
    }

    #[test]
    fn no_client_makes_the_names_grow_without_end() {
        let owners = Owners::default();
        let ids: Vec<u32> = (1_000_000_000..1_000_000_000 + 5000).collect();
        let names = owners.names(&ids, &[], Reach::Whole);
        assert_eq!(names.users.len(), ids.len());
        assert_eq!(owners.users.lock().unwrap().len(), REMEMBERED);
    }
}
