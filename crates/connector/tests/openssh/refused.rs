//! What a server refuses: the class says why, and nothing is left behind.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sansftp_connector::Class;
use sansftp_connector::operation::{Get, GetAction, IfExists, Send};
use sansftp_testkit::sshd::Sshd;
use tempfile::tempdir;

use super::fixture::{self, bad, document, files, leftovers, noise, those};

#[tokio::test]
async fn what_is_missing_is_not_found() {
    let (sshd, into) = (Sshd::start(), tempdir().unwrap());
    let nowhere = Some("nowhere/deep".to_owned());
    let get = Get {
        remote_directory: nowhere.clone(),
        ..Get::default()
    };
    let send = Send {
        remote_directory: nowhere.clone(),
        ..Send::default()
    };
    let moving = Get {
        action: GetAction::GetAndMove,
        move_to_directory: nowhere,
        ..Get::default()
    };
    sshd.write("a", "x");
    for outcomes in [
        fixture::get(&sshd, into.path(), get).await,
        fixture::get(&sshd, into.path(), moving).await,
        fixture::send(&sshd, send, vec![document("a", "x")]).await,
    ] {
        let (class, text) = bad(outcomes);
        assert_eq!(class, Class::NotFound, "{text}");
        assert!(text.contains("nowhere/deep"), "{text}");
    }
    assert_eq!(files(into.path()), those(&[("", ""); 0]));
    assert_eq!(files(sshd.home()), those(&[("a", "x")]));
}

#[tokio::test]
async fn what_is_forbidden_is_a_missing_permission() {
    let (sshd, into) = (Sshd::start(), tempdir().unwrap());
    if !sshd.has_own_account() {
        return;
    }
    let forbid = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let file = sshd.write("unreadable/a", "secret");
    forbid(&file, 0o000);
    let closed = sshd.mkdir("closed");
    forbid(&closed, 0o000);
    let fixed = sshd.write("fixed/a", "stays");
    forbid(fixed.parent().unwrap(), 0o555);
    let get = |directory: &str, action| Get {
        action,
        remote_directory: Some(directory.to_owned()),
        ..Get::default()
    };
    let send = |if_exists| Send {
        if_exists,
        remote_directory: Some("fixed".to_owned()),
        ..Send::default()
    };
    let one = || vec![document("a", "new")];
    for (what, outcomes) in [
        (
            "read",
            fixture::get(&sshd, into.path(), get("unreadable", GetAction::Get)).await,
        ),
        (
            "list",
            fixture::get(&sshd, into.path(), get("closed", GetAction::Get)).await,
        ),
        (
            "delete",
            fixture::get(&sshd, into.path(), get("fixed", GetAction::GetAndDelete)).await,
        ),
        (
            "create",
            fixture::send(&sshd, send(IfExists::Rename), one()).await,
        ),
        (
            "replace",
            fixture::send(&sshd, send(IfExists::Overwrite), one()).await,
        ),
    ] {
        let (class, text) = bad(outcomes);
        assert_eq!(class, Class::Permission, "{what}: {text}");
        assert!(!text.ends_with("()"), "{what} has no hint: {text}");
    }
    assert_eq!(files(into.path()), those(&[("a", "stays")]));
    assert_eq!(fs::read(fixed).unwrap(), b"stays");
    forbid(&closed, 0o755);
}

/// A small file system, which only root can make.
struct Small(PathBuf);

impl Small {
    fn mount(path: PathBuf, options: &str) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(&path);
        mount.status().ok()?.success().then_some(Self(path))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_is_no_space_and_nothing_stays_on_it() {
    let sshd = Sshd::start();
    let path = sshd.mkdir("small");
    let Some(small) = Small::mount(path, "size=1m,mode=777") else {
        return;
    };
    sshd.write("small/old", "old");
    let send = |if_exists| Send {
        if_exists,
        remote_directory: Some("small".to_owned()),
        ..Send::default()
    };
    for if_exists in [IfExists::Rename, IfExists::Error, IfExists::Overwrite] {
        let name = match if_exists {
            IfExists::Overwrite => "old",
            _ => "new",
        };
        let big = vec![document(name, noise(3 << 20))];
        let (class, text) = bad(fixture::send(&sshd, send(if_exists), big).await);
        assert_eq!(class, Class::NoSpace, "{if_exists}: {text}");
        assert_eq!(files(&small.0), those(&[("old", "old")]), "{if_exists}");
    }
    let big = vec![document("old", noise(3 << 20))];
    let (class, text) = bad(fixture::send(&sshd, send(IfExists::Append), big).await);
    assert_eq!(class, Class::NoSpace, "{text}");
    assert!(text.contains("bytes of it stand"), "{text}");
}

#[tokio::test]
async fn no_room_for_another_name_is_no_space_too() {
    let sshd = Sshd::start();
    let path = sshd.mkdir("small");
    let Some(small) = Small::mount(path, "size=1m,nr_inodes=2,mode=777") else {
        return;
    };
    sshd.write("small/old", "old");
    let send = Send {
        remote_directory: Some("small".to_owned()),
        ..Send::default()
    };
    let (class, text) = bad(fixture::send(&sshd, send, vec![document("new", "x")]).await);
    assert_eq!(class, Class::NoSpace, "{text}");
    assert_eq!(files(&small.0), those(&[("old", "old")]));
}

#[tokio::test]
async fn between_two_devices_a_file_moves_only_by_force_and_as_a_copy() {
    let (sshd, into) = (Sshd::start(), tempdir().unwrap());
    let path = sshd.mkdir("other");
    let Some(other) = Small::mount(path, "size=16m,mode=777") else {
        return;
    };
    let content = noise(2_000_000);
    sshd.write("out/a", &content);
    sshd.write("other/b", "old b");
    sshd.write("out/b", "new b");
    let moving = |force_move| Get {
        action: GetAction::GetAndMove,
        remote_directory: Some("out".to_owned()),
        move_to_directory: Some("other".to_owned()),
        force_move,
        file_filter: Some(if force_move { "*" } else { "a" }.to_owned()),
        ..Get::default()
    };
    let outcomes = fixture::get(&sshd, into.path(), moving(false)).await;
    let failed: Vec<_> = outcomes.iter().filter_map(|it| it.error.as_ref()).collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[0].class(), Class::Unsupported);
    assert!(failed[0].hint().unwrap().contains("force-move"));
    for outcome in fixture::get(&sshd, into.path(), moving(true)).await {
        assert_eq!(outcome.error.map(|it| it.to_string()), None);
        assert_eq!(outcome.properties.text("moved-by"), Some("copy"));
    }
    assert_eq!(
        files(&other.0),
        those(&[("a", &content[..]), ("b", b"new b")])
    );
    assert_eq!(files(&sshd.home().join("out")), those(&[("", ""); 0]));
    // A send that stages on one device and publishes on another.
    let staged = Send {
        staging_directory: Some("out".to_owned()),
        remote_directory: Some("other".to_owned()),
        ..Send::default()
    };
    fixture::good(fixture::send(&sshd, staged, vec![document("a", "again")]).await);
    assert_eq!(fs::read(other.0.join("a1")).unwrap(), b"again");
    assert!(leftovers(sshd.home()).is_empty());
}
