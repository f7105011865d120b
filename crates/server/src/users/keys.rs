//! Which keys let whom in: files of authorized keys (sshd(8)), read again when they have changed, and
//! what their options leave of a login.
//!
//! Proves nothing: that a client holds a key the core has seen to.

use super::file::Access;
use super::guarded::{self, Permissions, Stamp, Unusable};
use sansftp_keys::authorized_keys::{AuthorizedKey, AuthorizedKeys, Feature};
use sansftp_proto::crypto::PublicKey;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// Files that are kept read. More are read again each time.
const CACHED: usize = 1024;

/// Everything that can be restricted and that these files know.
pub(super) const FEATURES: [Feature; 5] = [
    Feature::AgentForwarding,
    Feature::PortForwarding,
    Feature::Pty,
    Feature::UserRc,
    Feature::X11Forwarding,
];

/// Whence and when somebody tries.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances {
    /// `None` where there is no address, on pipes for one: then no address is in any list.
    pub(super) peer: Option<IpAddr>,
    pub(super) now: SystemTime,
}

/// What a proof gives, less what was taken from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) access: Access,
    pub(super) forbidden: Vec<Feature>,
    /// Of the line or certificate, for the log.
    pub(super) label: String,
    /// What was proved to be held, whatever it came in; none by a password.
    pub(super) key: Option<PublicKey>,
}

/// Why a key that is listed gives nothing. Without one, nothing was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Withheld(pub(super) String);

/// Reads files of authorized keys, each once per change.
#[derive(Debug)]
pub(super) struct KeyFiles {
    permissions: Permissions,
    read: Mutex<HashMap<PathBuf, (Stamp, Arc<AuthorizedKeys>)>>,
}

impl KeyFiles {
    pub(super) fn new(permissions: Permissions) -> Self {
        Self {
            permissions,
            read: Mutex::default(),
        }
    }

    /// The keys in a file as it is now. Blocks.
    pub(super) fn read(&self, path: &Path) -> Result<Arc<AuthorizedKeys>, Unusable> {
        if let Ok(stamp) = Stamp::of(path)
            && let Some((of_then, keys)) = self.cache().get(path)
            && *of_then == stamp
        {
            return Ok(Arc::clone(keys));
        }
        let before = SystemTime::now();
        let (content, stamp) = guarded::read(path, self.permissions)?;
        let keys = Arc::new(AuthorizedKeys::parse(&content));
        for warning in keys.warnings() {
            tracing::warn!("{}: {warning}", path.display());
        }
        let mut cache = self.cache();
        // What is not kept is read again the next time.
        if !stamp.is_settled(before) {
            cache.remove(path);
        } else if cache.len() < CACHED || cache.contains_key(path) {
            cache.insert(path.to_owned(), (stamp, Arc::clone(&keys)));
        }
        Ok(keys)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, HashMap<PathBuf, (Stamp, Arc<AuthorizedKeys>)>> {
        // A panic elsewhere leaves whole entries behind: they are put in at once.
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts a user's name into a pattern: `%u` is the name, `%%` a percent sign. `None` for a name that
/// would lead elsewhere.
pub(super) fn expand(pattern: &str, user: &str) -> Option<PathBuf> {
    let mut expanded = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('%') {
        expanded.push_str(before);
        rest = if let Some(rest) = after.strip_prefix('u') {
            if !is_file_name(user) {
                return None;
            }
            expanded.push_str(user);
            rest
        } else {
            expanded.push('%');
            after.strip_prefix('%').unwrap_or(after)
        };
    }
    expanded.push_str(rest);
    Some(PathBuf::from(expanded))
}

fn is_file_name(user: &str) -> bool {
    !user.is_empty() && !user.starts_with('.') && !user.contains(['/', '\\', '\0'])
}

/// What a plain key gets by a file: the first line that lists it and whose circumstances are met
/// decides, as at sshd.
pub(super) fn look_up(
    keys: &AuthorizedKeys,
    key: &PublicKey,
    circumstances: Circumstances,
) -> Result<Option<Grant>, Withheld> {
    let found = keys.find(key, circumstances.peer, circumstances.now);
    found.map(grant).transpose()
}

fn grant(entry: &AuthorizedKey) -> Result<Grant, Withheld> {
    Ok(Grant {
        access: commanded(entry.command())?,
        forbidden: FEATURES
            .into_iter()
            .filter(|it| !entry.allows(*it))
            .collect(),
        label: entry.comment.clone(),
        key: Some(entry.key.clone()),
    })
}

/// What a forced command leaves. This server runs none: a key that is meant for one alone opens
/// nothing here, other than sshd's own word for SFTP.
pub(super) fn commanded(command: Option<&[u8]>) -> Result<Access, Withheld> {
    let Some(command) = command else {
        return Ok(Access::ReadWrite);
    };
    let mut words = command
        .split(u8::is_ascii_whitespace)
        .filter(|it| !it.is_empty());
    let is_sftp = words.next() == Some(b"internal-sftp");
    let flags: Vec<_> = words.collect();
    match flags.as_slice() {
        [] if is_sftp => Ok(Access::ReadWrite),
        [b"-R"] if is_sftp => Ok(Access::ReadOnly),
        _ => Err(Withheld(
            "the key is for a forced command, and this server runs none but 'internal-sftp' with \
             or without '-R'"
                .to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH";

    fn look(options: &str, peer: Option<&str>) -> Result<Option<Grant>, Withheld> {
        let keys = AuthorizedKeys::parse(format!("{options} {KEY} me").as_bytes());
        assert!(keys.warnings().is_empty(), "{options}");
        let circumstances = Circumstances {
            peer: peer.map(|it| it.parse().unwrap()),
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000),
        };
        let key = AuthorizedKeys::parse(KEY.as_bytes());
        look_up(&keys, &key.entries()[0].key, circumstances)
    }

    #[test]
    fn options_say_whence_until_when_and_for_what_a_key_is_good() {
        let here = Some("10.1.2.3");
        // 1,800,000,000 is 2027-01-15 08:00 UTC.
        for (options, peer, good) in [
            ("", here, true),
            ("restrict", here, true),
            ("from=\"10.0.0.0/8\"", here, true),
            ("from=\"10.0.0.0/8\"", Some("::ffff:10.1.2.3"), true),
            ("from=\"10.0.0.0/8,!10.1.2.3\"", here, false),
            ("from=\"192.0.2.1\"", here, false),
            ("from=\"*\"", here, true),
            ("from=\"*\"", None, false),
            ("from=\"0.0.0.0\"", None, false),
            ("", None, true),
            ("expiry-time=\"20270115080000Z\"", here, false),
            ("expiry-time=\"20270115080001Z\"", here, true),
            ("cert-authority", here, false),
            ("from=\"10.*\",expiry-time=\"20200101Z\"", here, false),
        ] {
            let found = look(options, peer).unwrap();
            assert_eq!(found.is_some(), good, "{options} {peer:?}");
        }
    }

    #[test]
    fn a_key_for_a_forced_command_opens_nothing_but_sftp() {
        let access = |options: &str| look(options, None).map(|it| it.unwrap().access);
        assert_eq!(access(""), Ok(Access::ReadWrite));
        assert_eq!(access("command=\"internal-sftp\""), Ok(Access::ReadWrite));
        assert_eq!(
            access("restrict,command=\"internal-sftp -R\""),
            Ok(Access::ReadOnly)
        );
        for command in [
            "/bin/backup",
            "internal-sftp -d /x",
            "internal-sftpx",
            "",
            "-R",
        ] {
            let option = format!("command=\"{command}\"");
            assert!(access(&option).is_err(), "{command}");
        }
    }

    #[test]
    fn what_restrict_takes_is_told() {
        let grant = look("restrict,pty", None).unwrap().unwrap();
        assert!(!grant.forbidden.contains(&Feature::Pty));
        assert!(grant.forbidden.contains(&Feature::PortForwarding));
        assert_eq!(grant.label, "me");
    }

    #[test]
    fn the_first_line_that_fits_decides() {
        let file = format!("from=\"192.0.2.1\" {KEY}\ncommand=\"x\" {KEY}\n{KEY}\n");
        let keys = AuthorizedKeys::parse(file.as_bytes());
        let circumstances = Circumstances {
            peer: Some([10, 0, 0, 1].into()),
            now: SystemTime::now(),
        };
        let key = keys.entries()[0].key.clone();
        assert!(look_up(&keys, &key, circumstances).is_err());
    }

    #[test]
    fn a_name_leads_to_no_other_place() {
        let expand = |user| expand("/keys/100%%/%u.pub", user);
        assert_eq!(expand("a"), Some("/keys/100%/a.pub".into()));
        assert_eq!(expand("a%u"), Some("/keys/100%/a%u.pub".into()));
        for bad in [
            "", ".", "..", "../b", "a/b", "/etc/x", "a\0", ".ssh", "a\\b",
        ] {
            assert_eq!(expand(bad), None, "{bad}");
        }
        assert_eq!(super::expand("/all", "../b"), Some("/all".into()));
    }

    /// Lets a file look as if nobody had changed it for an hour.
    fn settle(path: &Path) {
        let long_ago = SystemTime::now() - Duration::from_secs(3600);
        let file = std::fs::File::options().append(true).open(path).unwrap();
        file.set_modified(long_ago).unwrap();
    }

    #[test]
    fn a_file_is_read_again_when_it_has_changed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("keys");
        let files = KeyFiles::new(Permissions::Strict);
        assert!(files.read(&path).unwrap_err().is_absence());
        std::fs::write(&path, KEY).unwrap();
        let first = files.read(&path).unwrap();
        let again = files.read(&path).unwrap();
        assert!(!Arc::ptr_eq(&first, &again), "the next change may not show");
        settle(&path);
        let first = files.read(&path).unwrap();
        assert!(Arc::ptr_eq(&first, &files.read(&path).unwrap()));
        std::fs::write(&path, format!("# none\n#{KEY}\n")).unwrap();
        assert!(files.read(&path).unwrap().entries().is_empty());
        std::fs::remove_file(&path).unwrap();
        assert!(files.read(&path).is_err(), "what is gone lets nobody in");
    }
}
