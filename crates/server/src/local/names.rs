//! Names of users and groups, for `users-groups-by-id@openssh.com` (OpenSSH PROTOCOL §4.12) and for the
//! line that shows a file as `ls -l` does (draft-ietf-secsh-filexfer-02 §7). Not what decides who may
//! do what.

use super::root::Reach;
use bytes::Bytes;
use nix::unistd::{Gid, Group, Uid, User};
use rustix::fs::Stat;
use sansftp_proto::sftp::Attrs;
use sansftp_proto::sftp::extensions::OwnerNames;
use sansftp_tokio::sftp::server::longname;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Names that are remembered of users, and of groups; what is beyond is looked up each time. More than
/// the files beneath one directory have owners, and no client can make it grow without end.
const REMEMBERED: usize = 4096;

/// Names of users and groups, each looked up once: that may take a question to a directory service.
#[derive(Debug, Default)]
pub(super) struct Owners {
    users: Mutex<Names>,
    groups: Mutex<Names>,
}

/// By number; empty where the system knows none.
type Names = HashMap<u32, Bytes>;

impl Owners {
    /// The line for one file of a listing.
    pub(super) fn longname(&self, name: &[u8], stat: &Stat, attrs: &Attrs) -> Bytes {
        let named = |name: Bytes, number: u32| match name.is_empty() {
            true => number.to_string().into(),
            false => name,
        };
        let user = named(self.user(stat.st_uid), stat.st_uid);
        let group = named(self.group(stat.st_gid), stat.st_gid);
        longname(
            name,
            attrs,
            u64::try_from(i128::from(stat.st_nlink)).ok(),
            &user,
            &group,
        )
    }

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
        let listed =
            |names: &Mutex<Names>, id: &u32| locked(names).get(id).cloned().unwrap_or_default();
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

/// Nothing is held while the system is asked: a directory service may take its time.
fn remembered(names: &Mutex<Names>, id: u32, look_up: impl FnOnce() -> Option<String>) -> Bytes {
    if let Some(known) = locked(names).get(&id) {
        return known.clone();
    }
    let name = Bytes::from(look_up().unwrap_or_default());
    let mut names = locked(names);
    if names.len() < REMEMBERED {
        names.insert(id, name.clone());
    }
    name
}

/// A map is whole whatever happened to who held it.
fn locked(names: &Mutex<Names>) -> MutexGuard<'_, Names> {
    names.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

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
