//! Whether a server's key is the right one: pins, the known_hosts file, authorities, the policy.
//!
//! A certificate that does not count leaves the key inside, which the server has proved to hold: if that
//! is known it is trusted, as ssh(1) does, for whoever holds it could have shown it plainly.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use sansftp_keys::certificate::Certificate;
use sansftp_keys::known_hosts::{
    Expected, Host, KnownHosts, Part, Pins, Terms, Verdict, Void, Vouched, known_hosts_line,
};
use sansftp_keys::{sha256_fingerprint, write_public};
use sansftp_proto::crypto::{PublicKey, SignatureAlgorithm};
use sansftp_proto::session::Trust;

use super::certified::{Shown, describe, remedy};
use super::connect::{SftpConnect, connect_to_judge};
use super::credentials::{expand_home, home};
use crate::connection::{Connection, HostKeyPolicy};
use crate::error::{Class, Error, Result};

/// All that decides over a host key; read once per connection attempt, so that a line that was added
/// meanwhile counts.
#[derive(Clone, Debug)]
pub(super) struct Judge {
    host: Host,
    pins: Pins,
    policy: HostKeyPolicy,
    file: PathBuf,
    /// What `sansftp trust` has to be told to get to the same server and the same file; none when only
    /// the one who named this connection can say it.
    target: Option<String>,
    known: Arc<KnownHosts>,
    /// What authorities may have signed with.
    algorithms: Vec<&'static dyn SignatureAlgorithm>,
    /// Why the last key was refused.
    refusal: Arc<Mutex<Option<Error>>>,
}

/// What there is to say of what a server has shown.
#[derive(Debug)]
pub(super) enum Judgement {
    /// An authority vouches for it.
    Vouched,
    /// What the file or the pins say of the key; and why the certificate that it was shown in, if it was,
    /// counts for nothing.
    Key(Verdict, Option<Void>),
    /// A part of the certificate that is not the key is revoked.
    Revoked {
        /// By this line or entry.
        line: usize,
        /// Which part.
        part: Part,
    },
}

impl Judge {
    /// `algorithms` are what authorities may have signed certificates with.
    pub(super) fn new(
        connection: &Connection,
        alias: Option<&str>,
        algorithms: Vec<&'static dyn SignatureAlgorithm>,
    ) -> Result<Self> {
        let host = host(connection, alias)?;
        let pins = Pins::parse(&connection.known_host).map_err(|error| {
            Error::configuration(format!(
                "known-host, entry {}: {}",
                error.position, error.reason
            ))
            .with_hint("give 'ssh-ed25519 AAAA…' as ssh-keyscan prints it, or 'SHA256:…'")
        })?;
        let file = known_hosts_file(connection)?;
        let known = Arc::new(read_known_hosts(&file, connection)?);
        let policy = connection.host_key_policy;
        Ok(Self {
            host,
            pins,
            policy,
            target: target(connection, alias),
            file,
            known,
            algorithms,
            refusal: Arc::default(),
        })
    }

    /// Warns of each line of the file that cannot be used.
    pub(super) fn warn(&self) {
        for line in self.known.warnings() {
            tracing::warn!("{}, {line}: not usable", self.file.display());
        }
    }

    /// The types of key that are known for the host: offered first, so that a server with several
    /// keys shows one of those.
    pub(super) fn known_kinds(&self) -> Vec<&str> {
        let mut kinds = self.pins.algorithms_for(&self.host);
        if self.pins.is_empty() {
            kinds.extend(self.known.algorithms_for(&self.host));
        }
        kinds
    }

    /// Whether certificates are to be asked for: an authority is trusted for the host.
    pub(super) fn has_authority(&self) -> bool {
        match self.pins.is_empty() {
            true => self.known.has_authority(&self.host),
            false => self.pins.has_authority(&self.host),
        }
    }

    /// Judges what was shown by what is known; the policy is not asked.
    pub(super) fn judgement(&self, shown: &Shown) -> Judgement {
        let Some(certificate) = &shown.certificate else {
            return Judgement::Key(self.verdict(&shown.key), None);
        };
        match self.vouched(certificate) {
            Vouched::Yes { .. } => Judgement::Vouched,
            Vouched::Revoked {
                line,
                part: Part::Key,
            } => Judgement::Key(Verdict::Revoked { line }, None),
            Vouched::Revoked { line, part } => Judgement::Revoked { line, part },
            Vouched::Unreadable(line) => Judgement::Key(Verdict::Unreadable(line), None),
            Vouched::No(void) => Judgement::Key(self.verdict(&shown.key), Some(void)),
        }
    }

    fn vouched(&self, certificate: &Certificate) -> Vouched {
        let terms = Terms {
            now: SystemTime::now(),
            algorithms: &self.algorithms,
        };
        if self.pins.is_empty() {
            return self
                .known
                .check_certificate(&self.host, certificate, &terms);
        }
        // As with keys: what the file revokes stays revoked.
        if let Some((line, part)) = self.known.revoked_part(&self.host, certificate) {
            return Vouched::Revoked { line, part };
        }
        if let Some(line) = self.known.concerns(&self.host) {
            return Vouched::Unreadable(line.clone());
        }
        self.pins.check_certificate(&self.host, certificate, &terms)
    }

    fn verdict(&self, key: &PublicKey) -> Verdict {
        if self.pins.is_empty() {
            return self.known.check(&self.host, key);
        }
        // Only the pins are trusted, but what the file revokes stays revoked.
        if let Some(line) = self.known.revoked(&self.host, key) {
            return Verdict::Revoked { line };
        }
        if let Some(line) = self.known.concerns(&self.host) {
            return Verdict::Unreadable(line.clone());
        }
        self.pins.check(&self.host, key)
    }

    /// Judges; a refusal is kept for [`take_refusal`](Self::take_refusal).
    pub(super) fn judge(&self, shown: &PublicKey) -> Trust {
        let judged = Shown::of(shown).map_err(|error| {
            let message = format!("{} shows a certificate that is none: {error}", self.host);
            Error::new(Class::HostKey, message)
                .with_hint("the server's administrator has to have another made")
        });
        match judged.and_then(|shown| self.decide(&shown)) {
            Ok(()) => Trust::Trusted,
            Err(refusal) => {
                *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(refusal);
                Trust::Refused
            }
        }
    }

    fn decide(&self, shown: &Shown) -> Result<()> {
        let key = &shown.key;
        if self.policy == HostKeyPolicy::AcceptAny {
            tracing::warn!(
                host = %self.host, fingerprint = %sha256_fingerprint(key),
                "host-key-policy = accept-any: the server's key is not checked"
            );
            return Ok(());
        }
        let judgement = match self.judgement(shown) {
            Judgement::Key(Verdict::Unknown { .. }, void) if self.records_new() => {
                let recorded = self
                    .record_new(shown)
                    .map_err(|error| Error::local_io(self.file.display(), error))?;
                Judgement::Key(recorded, void)
            }
            judgement => judgement,
        };
        match judgement {
            Judgement::Vouched => Ok(()),
            Judgement::Key(Verdict::Known { .. }, void) => {
                if let (Some(certificate), Some(void)) = (&shown.certificate, void) {
                    tracing::warn!(
                        host = %self.host,
                        "the {} does not count ({void}); its key is known by itself",
                        describe(certificate)
                    );
                }
                Ok(())
            }
            judgement => Err(self.refuse(shown, &judgement)),
        }
    }

    /// Pins are complete: what they do not name is not new but wrong.
    fn records_new(&self) -> bool {
        self.policy == HostKeyPolicy::AcceptNew && self.pins.is_empty()
    }

    /// Records a key that was unknown when the file was read, if it still is: of two sessions that
    /// meet the host for the first time at once and see different keys, one is refused.
    ///
    /// The key of a certificate that does not count is recorded as ssh(1) does it, without the certificate.
    fn record_new(&self, shown: &Shown) -> io::Result<Verdict> {
        let key = &shown.key;
        let (mut file, text) = read_locked(&self.file)?;
        let known = KnownHosts::parse(&text);
        let certificate = shown.certificate.as_ref();
        let revoked = certificate.and_then(|it| known.revoked_part(&self.host, it));
        let verdict = match revoked {
            Some((line, _)) => Verdict::Revoked { line },
            None => known.check(&self.host, key),
        };
        if !matches!(verdict, Verdict::Unknown { .. }) {
            return Ok(verdict);
        }
        append_to(&mut file, &known_hosts_line(&self.host, key))?;
        tracing::warn!(
            host = %self.host, fingerprint = %sha256_fingerprint(key),
            file = %self.file.display(), "a new host key was recorded"
        );
        let line = text.split_inclusive(|&it| it == b'\n').count() + 1;
        Ok(Verdict::Known { line })
    }

    /// Whether a server with this key may name others: only one that the file itself knows, and not by a
    /// certificate, which says how further keys are to be known.
    pub(super) fn may_learn_from(&self, own: &PublicKey) -> bool {
        self.pins.is_empty()
            && self.policy != HostKeyPolicy::AcceptAny
            && matches!(self.verdict(own), Verdict::Known { .. })
    }

    /// Whether the server is known, by keys that are all others than this one.
    pub(super) fn is_another(&self, key: &PublicKey) -> bool {
        matches!(self.verdict(key), Verdict::Changed { .. })
    }

    /// Records further keys of the server, those that are still new under the lock. Blocks.
    pub(super) fn learn(&self, keys: &[PublicKey]) -> io::Result<()> {
        let (mut file, text) = read_locked(&self.file)?;
        let known = KnownHosts::parse(&text);
        let is_another =
            |key: &&PublicKey| matches!(known.check(&self.host, key), Verdict::Changed { .. });
        let lines: Vec<_> = keys
            .iter()
            .filter(is_another)
            .map(|key| known_hosts_line(&self.host, key))
            .collect();
        if lines.is_empty() {
            return Ok(());
        }
        append_to(&mut file, &lines.join("\n"))
    }

    pub(super) fn take_refusal(&self) -> Option<Error> {
        self.refusal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn refuse(&self, shown: &Shown, judgement: &Judgement) -> Error {
        let (key, certificate) = (&shown.key, shown.certificate.as_ref());
        let (verdict, void) = match judgement {
            Judgement::Key(verdict, void) => (verdict, *void),
            Judgement::Vouched => (&Verdict::Unknown { authority: None }, None),
            Judgement::Revoked { line, part } => {
                let what = certificate.map(describe).unwrap_or_default();
                let (host, file) = (&self.host, self.file.display());
                let message =
                    format!("the {part} of {host} is revoked ({file}, line {line}): {what}");
                return Error::new(Class::HostKey, message)
                    .with_hint("do not connect; ask the server's administrator");
            }
        };
        let refusal = self.refuse_key(key, verdict);
        match (certificate, void) {
            (Some(certificate), Some(void)) => {
                let hint = match verdict {
                    Verdict::Unknown { .. } => Some(remedy(certificate, void)),
                    _ => None,
                };
                let what = describe(certificate);
                let refusal = refusal
                    .with_note(format_args!("its {what} does not count: {void}"))
                    .with_source(void);
                match hint {
                    Some(hint) => {
                        let other = refusal.hint().unwrap_or_default().to_owned();
                        refusal.with_hint(format!("{hint}; {other}"))
                    }
                    None => refusal,
                }
            }
            _ if matches!(verdict, Verdict::Unknown { authority: Some(_) }) => {
                refusal.with_note("an authority is trusted for it, but it shows no certificate")
            }
            _ => refusal,
        }
    }

    fn refuse_key(&self, key: &PublicKey, verdict: &Verdict) -> Error {
        let offered = format!("{} {}", key.kind(), sha256_fingerprint(key));
        let line = known_hosts_line(&self.host, key);
        let (host, file) = (&self.host, self.file.display());
        let place = if self.pins.is_empty() {
            format!("{file}, line")
        } else {
            "known-host, entry".to_owned()
        };
        let (message, hint) = match verdict {
            Verdict::Changed { expected } => (
                format!(
                    "the host key of {host} has changed: it offers {offered}; expected {}",
                    show(expected, &place)
                ),
                format!(
                    "somebody may be in between; if the server's administrator confirms the new key, \
                     replace the old entry by: {line}"
                ),
            ),
            Verdict::Revoked { line } => (
                format!("the host key of {host} is revoked ({file}, line {line}): {offered}"),
                "do not connect; ask the server's administrator".to_owned(),
            ),
            Verdict::Unreadable(unreadable) => (
                format!(
                    "{file}, {unreadable}: the line cannot be read and could concern {host}, which \
                     offers {offered}"
                ),
                "correct or remove that line".to_owned(),
            ),
            _ if !self.pins.is_empty() => (
                format!("no entry of known-host is about {host}, which offers {offered}"),
                format!("if the fingerprint is right, set known-host = \"{line}\""),
            ),
            _ => (
                format!("the host key of {host} is not known: it offers {offered}"),
                format!(
                    "if the fingerprint is right: sansftp trust {} --fingerprint {}{}, or add to {file}: \
                     {line}",
                    self.target.as_deref().unwrap_or("TARGET"),
                    sha256_fingerprint(key),
                    match &self.target {
                        Some(_) => "",
                        None => " (with the flags of this command)",
                    },
                ),
            ),
        };
        Error::new(Class::HostKey, message).with_hint(hint)
    }
}

fn show(expected: &[Expected], place: &str) -> String {
    let show = |it: &Expected| {
        let kind = it.kind.as_deref().unwrap_or("a key");
        format!("{kind} {} ({place} {})", it.fingerprint, it.line)
    };
    expected.iter().map(show).collect::<Vec<_>>().join(", or ")
}

/// Another name that a key is known by stands in the file without a port, as ssh writes it.
fn host(connection: &Connection, alias: Option<&str>) -> Result<Host> {
    let (name, port) = match alias {
        Some(alias) => (alias, Connection::default().port),
        None => (connection.host.trim(), connection.port),
    };
    Host::new(name, port).map_err(|error| {
        Error::configuration(format!(
            "host '{}': {error}",
            connection.host.escape_debug()
        ))
        .with_hint("give a name or an address, without blanks and without a port")
    })
}

/// A server that is reached straight, as an argument of `sansftp trust`.
fn target(connection: &Connection, alias: Option<&str>) -> Option<String> {
    let is_straight =
        connection.proxy.is_none() && connection.jump.is_empty() && connection.bind.is_none();
    if !is_straight || alias.is_some() {
        return None;
    }
    let host = connection.host.trim();
    let mut target = match host.contains(':') {
        true => format!("'sftp://[{host}]"),
        false => format!("sftp://{host}"),
    };
    if connection.port != Connection::default().port {
        target.push_str(&format!(":{}", connection.port));
    }
    if host.contains(':') {
        // The brackets are the shell's, too.
        target.push('\'');
    }
    if let Some(file) = &connection.known_hosts_file {
        let file = expand_home(file)
            .display()
            .to_string()
            .replace('\'', "'\\''");
        target.push_str(&format!(" --known-hosts-file '{file}'"));
    }
    Some(target)
}

fn known_hosts_file(connection: &Connection) -> Result<PathBuf> {
    if let Some(file) = &connection.known_hosts_file {
        return Ok(expand_home(file));
    }
    home().map(|it| it.join(".ssh/known_hosts")).ok_or_else(|| {
        Error::configuration("there is no home directory to find .ssh/known_hosts in")
            .with_hint("set known-hosts-file or known-host")
    })
}

/// A file that is not there knows nobody; one that cannot be read is an error.
fn read_known_hosts(file: &Path, connection: &Connection) -> Result<KnownHosts> {
    match fs::read(file) {
        Ok(text) => Ok(KnownHosts::parse(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if connection.known_hosts_file.is_some() && connection.known_host.is_empty() {
                tracing::info!(file = %file.display(), "the known_hosts file is not there");
            }
            Ok(KnownHosts::default())
        }
        Err(error) => Err(Error::configuration(format!(
            "known-hosts-file {} cannot be read: {error}",
            file.display()
        ))
        .with_hint("check the file's permissions, or set another known-hosts-file")),
    }
}

/// Opens, under a lock that is held until it is closed, a file that only its owner may write.
fn open_locked(path: &Path) -> io::Result<File> {
    if let Some(directory) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)?;
    }
    loop {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
        // Whoever replaces the file by a rename, as ssh-keygen -R does, leaves us with the old one.
        let locked = file.metadata()?;
        let is_the_one = |it: fs::Metadata| (it.dev(), it.ino()) == (locked.dev(), locked.ino());
        if fs::metadata(path).is_ok_and(is_the_one) {
            return Ok(file);
        }
    }
}

/// [`open_locked`], and what is in the file.
fn read_locked(path: &Path) -> io::Result<(File, Vec<u8>)> {
    let mut file = open_locked(path)?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok((file, text))
}

/// Appends a line in one write.
fn append_to(file: &mut File, line: &str) -> io::Result<()> {
    let mut text = String::new();
    // A last line without an end must not swallow ours.
    if file.seek(SeekFrom::End(0))? > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            text.push('\n');
        }
    }
    text.push_str(line);
    text.push('\n');
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A server's key, and what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerKey {
    /// The type, such as `ssh-ed25519`.
    pub kind: String,
    /// `SHA256:` and the hash.
    pub fingerprint: String,
    /// The line for a known_hosts file.
    pub line: String,
    /// The certificate that it was shown in, and whether that counts, in words; a server shows one only
    /// to who trusts an authority for it.
    pub certificate: Option<String>,
    /// What is known about it.
    pub state: KeyState,
    /// The known_hosts file that was looked into.
    pub file: PathBuf,
    host: Host,
    key: PublicKey,
}

/// What is known about a server's key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyState {
    /// It is the one that is trusted.
    Known,
    /// Nothing is known about this server.
    Unknown,
    /// Others are trusted: type, fingerprint and place of each.
    Changed {
        /// Each in words.
        expected: Vec<String>,
    },
    /// It is revoked.
    Revoked,
    /// A line that could be about this server cannot be read: which, and why.
    Unreadable(String),
}

/// Connects just far enough to learn the server's key. Nothing is authenticated.
///
/// # Errors
/// As [`Connect::connect`](crate::remote::Connect::connect), up to the key exchange.
pub async fn server_key(connection: &Connection) -> Result<ServerKey> {
    let own = connection.clone();
    // Secrets of servers on the way are read, which blocks.
    let prepared = tokio::task::spawn_blocking(move || SftpConnect::prepare_to_look(&own));
    let connect = prepared.await.map_err(|error| {
        Error::new(
            Class::Failure,
            "reading keys and secrets did not come to an end",
        )
        .with_source(error)
    })??;
    let judge = connect.judge()?;
    let shown = connect_to_judge(&connect, &judge).await?;
    let shown = Shown::of(&shown).map_err(|error| {
        let message = format!(
            "{} shows a certificate that is none: {error}",
            connection.host
        );
        Error::new(Class::HostKey, message)
    })?;
    let key = &shown.key;
    let place = format!("{}, line", judge.file.display());
    let judgement = judge.judgement(&shown);
    let counts = match &judgement {
        Judgement::Key(_, Some(void)) => format!("does not count: {void}"),
        Judgement::Revoked { part, .. } => format!("does not count: the {part} is revoked"),
        Judgement::Vouched | Judgement::Key(..) => "holds".to_owned(),
    };
    let certificate = shown.certificate.as_ref();
    let certificate = certificate.map(|it| format!("{} {counts}", describe(it)));
    let verdict = match judgement {
        Judgement::Vouched => Verdict::Known { line: 0 },
        Judgement::Revoked { line, .. } => Verdict::Revoked { line },
        Judgement::Key(verdict, _) => verdict,
    };
    let state = match verdict {
        Verdict::Known { .. } => KeyState::Known,
        Verdict::Changed { expected } => KeyState::Changed {
            expected: expected
                .iter()
                .map(|it| show(std::slice::from_ref(it), &place))
                .collect(),
        },
        Verdict::Revoked { .. } => KeyState::Revoked,
        Verdict::Unreadable(line) => KeyState::Unreadable(line.to_string()),
        Verdict::Unknown { .. } => KeyState::Unknown,
    };
    Ok(ServerKey {
        kind: key.kind().to_owned(),
        fingerprint: sha256_fingerprint(key),
        line: known_hosts_line(&judge.host, key),
        certificate,
        state,
        file: judge.file,
        host: judge.host,
        key: shown.key,
    })
}

/// Records a server's key in the known_hosts file that was looked into, unless somebody else has by now.
///
/// # Errors
/// `local-io` when the file cannot be written; `host-key` when it says by now that the key is another one
/// or revoked.
pub fn record_server_key(key: &ServerKey) -> Result<()> {
    let local = |error| Error::local_io(key.file.display(), error);
    let (mut file, text) = read_locked(&key.file).map_err(local)?;
    match KnownHosts::parse(&text).check(&key.host, &key.key) {
        Verdict::Known { .. } => Ok(()),
        Verdict::Unknown { .. } => append_to(&mut file, &key.line).map_err(local),
        Verdict::Changed { .. } | Verdict::Revoked { .. } | Verdict::Unreadable(_) => {
            let message = format!(
                "{} has changed meanwhile: {} {} is not recorded",
                key.file.display(),
                key.kind,
                key.fingerprint
            );
            Err(Error::new(Class::HostKey, message)
                .with_hint("look at the server's key again, with sansftp trust"))
        }
    }
}

/// A key as public-key files have it, without a comment.
pub(super) fn show_key(key: &PublicKey) -> String {
    write_public(key, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "new.example";

    fn key(byte: u8) -> PublicKey {
        let blob = [b"\0\0\0\x0bssh-ed25519\0\0\0\x20", [byte; 32].as_slice()].concat();
        PublicKey::new(blob).unwrap()
    }

    /// A judge that has read the file as it stands now.
    fn judge(file: &Path) -> Judge {
        let connection = Connection {
            host: HOST.to_owned(),
            known_hosts_file: Some(file.to_owned()),
            host_key_policy: HostKeyPolicy::AcceptNew,
            ..Connection::default()
        };
        Judge::new(&connection, None, Vec::new()).unwrap()
    }

    fn is_trusted(judge: &Judge, key: &PublicKey) -> bool {
        matches!(judge.judge(key), Trust::Trusted)
    }

    #[test]
    fn a_key_that_was_recorded_since_the_file_was_read_is_no_longer_open_to_choice() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ssh/known_hosts");
        let (first, other, same) = (judge(&file), judge(&file), judge(&file));
        assert!(is_trusted(&first, &key(1)));
        let recorded = fs::read_to_string(&file).unwrap();
        assert_eq!(recorded.lines().count(), 1);

        assert!(!is_trusted(&other, &key(2)));
        let refusal = other.take_refusal().unwrap();
        assert_eq!(refusal.class(), Class::HostKey);
        let text = refusal.to_string();
        assert!(text.contains(&sha256_fingerprint(&key(1))), "{text}");
        assert!(text.contains(&sha256_fingerprint(&key(2))), "{text}");

        assert!(is_trusted(&same, &key(1)));
        assert_eq!(fs::read_to_string(&file).unwrap(), recorded);
    }

    fn server_key(file: &Path, byte: u8) -> ServerKey {
        let (judge, key) = (judge(file), key(byte));
        ServerKey {
            kind: key.kind().to_owned(),
            fingerprint: sha256_fingerprint(&key),
            line: known_hosts_line(&judge.host, &key),
            certificate: None,
            state: KeyState::Unknown,
            file: judge.file,
            host: judge.host,
            key,
        }
    }

    #[test]
    fn a_person_records_a_key_once_and_not_beside_another() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("known_hosts");
        let [first, same, other] = [1, 1, 2].map(|byte| server_key(&file, byte));
        record_server_key(&first).unwrap();
        record_server_key(&same).unwrap();
        let refusal = record_server_key(&other).unwrap_err();
        assert_eq!(refusal.class(), Class::HostKey);
        assert_eq!(fs::read_to_string(&file).unwrap(), first.line + "\n");
    }

    #[test]
    fn a_file_that_is_replaced_while_its_lock_is_waited_for_is_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let (path, new) = (
            directory.path().join("known_hosts"),
            directory.path().join("new"),
        );
        let old = open_locked(&path).unwrap();
        fs::write(&new, "new.example\n").unwrap();
        let waiting = {
            let path = path.clone();
            std::thread::spawn(move || read_locked(&path).unwrap())
        };
        // Whether it waits by now or begins later, it is to see the new one.
        std::thread::sleep(std::time::Duration::from_millis(50));
        fs::rename(&new, &path).unwrap();
        drop(old);
        let (mut file, text) = waiting.join().unwrap();
        assert_eq!(text, b"new.example\n");
        append_to(&mut file, "line").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new.example\nline\n");
    }

    #[test]
    fn a_key_that_was_revoked_since_the_file_was_read_is_not_recorded() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("known_hosts");
        let judge = judge(&file);
        let revoked = format!("@revoked * {}", show_key(&key(1)).trim_end());
        fs::write(&file, &revoked).unwrap();
        assert!(!is_trusted(&judge, &key(1)));
        assert!(
            judge
                .take_refusal()
                .unwrap()
                .to_string()
                .contains("revoked")
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), revoked);
        // Another key is recorded behind the line that has no end.
        assert!(is_trusted(&judge, &key(2)));
        let line = known_hosts_line(&judge.host, &key(2));
        let whole = fs::read_to_string(&file).unwrap();
        assert_eq!(whole.lines().collect::<Vec<_>>(), [&*revoked, &*line]);
    }

    #[test]
    fn of_many_that_meet_a_host_at_once_one_records_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("known_hosts");
        let judges: Vec<_> = (0..8).map(|byte| (judge(&file), key(byte))).collect();
        let trusted = std::thread::scope(|scope| {
            let asked: Vec<_> = judges
                .iter()
                .map(|(judge, key)| scope.spawn(move || is_trusted(judge, key)))
                .collect();
            let answers = asked.into_iter().map(|it| it.join().unwrap());
            answers.filter(|&it| it).count()
        });
        assert_eq!(trusted, 1, "eight keys, one of which may be the host's");
        assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 1);
    }
}
