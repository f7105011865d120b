//! The keys that a server proves itself with (RFC 4251 §4.1): made once, kept, and loaded again.
//!
//! No signing and no file format: providers sign, `sansftp-keys` reads and writes. Which algorithms are
//! offered with the keys is [`algorithms`](crate::algorithms)' to say.

mod certificate;

pub use certificate::HostCertificate;

use sansftp_crypto::generate_ed25519;
use sansftp_keys::certificate::CertificateError;
use sansftp_keys::known_hosts::known_hosts_line;
use sansftp_keys::private::MAX_KEY_FILE;
use sansftp_keys::{Host, KeyError, read_private_key, sha256_fingerprint, write_openssh};
use sansftp_proto::crypto::{CryptoError, CryptoProvider, PublicKey, Secret, SigningKey};
use sansftp_proto::wire::{MpInt, Reader};
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The key that is made where there is none.
const ED25519: &str = "ssh_host_ed25519_key";
/// Names, as sshd gives them, under which keys of other types are used when they are there.
const OTHERS: [&str; 2] = ["ssh_host_ecdsa_key", "ssh_host_rsa_key"];

/// A server's keys, ready to sign.
#[derive(Debug, Clone)]
pub struct HostKeys {
    keys: Vec<HostKey>,
    certificates: Vec<HostCertificate>,
}

impl From<Vec<HostKey>> for HostKeys {
    fn from(keys: Vec<HostKey>) -> Self {
        let certificates = Vec::new();
        Self { keys, certificates }
    }
}

/// One of them, and where it came from.
#[derive(Debug, Clone)]
pub struct HostKey {
    signing: Arc<dyn SigningKey>,
    path: PathBuf,
    origin: Origin,
}

/// Whether clients can know a key already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The file was there.
    Found,
    /// The file was written just now: no client knows the key.
    Made,
}

impl HostKeys {
    /// Loads the keys in a directory, and makes it and an Ed25519 key where they lack. RSA and ECDSA
    /// keys under sshd's names are used when they are there, and never made. Blocks.
    ///
    /// Of two servers that start at the same time in one directory, both use the key of the one that
    /// was first: a key appears under its name whole, synchronised and mode 0600, and replaces none.
    ///
    /// # Errors
    /// [`HostKeyError`]: what cannot be made or used, and what to do about it.
    pub fn load_or_make(dir: &Path, provider: &CryptoProvider) -> Result<Self, HostKeyError> {
        make_directory(dir).map_err(|error| HostKeyError::io(dir, Problem::Directory, error))?;
        check_directory(dir)?;
        let mut keys = vec![load_or_make_ed25519(dir, provider)?];
        for name in OTHERS {
            let path = dir.join(name);
            match load(&path, provider) {
                Ok(key) => keys.push(key),
                Err(error) if error.is_absence() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(keys.into())
    }

    /// Loads private keys, without passphrase and in any format that `sansftp-keys` reads. Blocks.
    ///
    /// # Errors
    /// [`HostKeyError`] for the first that cannot be used.
    pub fn load<P: AsRef<Path>>(
        files: impl IntoIterator<Item = P>,
        provider: &CryptoProvider,
    ) -> Result<Self, HostKeyError> {
        let keys: Result<Vec<_>, _> = files
            .into_iter()
            .map(|path| load(path.as_ref(), provider))
            .collect();
        Ok(keys?.into())
    }

    /// A key of this process alone, in no file: for demonstrations and tests.
    ///
    /// # Errors
    /// [`CryptoError`] when there is no randomness to be had.
    pub fn transient(provider: &CryptoProvider) -> Result<Self, CryptoError> {
        let key = generate_ed25519(&*provider.random)?;
        let key = HostKey {
            signing: provider.keys.load(&key)?,
            path: PathBuf::new(),
            origin: Origin::Made,
        };
        Ok(vec![key].into())
    }

    /// Where keys are kept when nobody says: `$XDG_STATE_HOME/sansftp/host-keys`, or
    /// `~/.local/state/sansftp/host-keys`. `None` where there is no home.
    pub fn default_directory() -> Option<PathBuf> {
        let absolute = |name| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|it| it.is_absolute())
        };
        absolute("XDG_STATE_HOME")
            .or_else(|| Some(absolute("HOME")?.join(".local/state")))
            .map(|state| state.join("sansftp/host-keys"))
    }

    /// What a connection is configured with: keys under certificates first, then all keys alone.
    pub fn signing(&self) -> Vec<Arc<dyn SigningKey>> {
        let certified = self.certificates.iter().map(|it| &it.signing);
        let plain = self.keys.iter().map(|it| &it.signing);
        certified.chain(plain).map(Arc::clone).collect()
    }

    /// Each key, the preferred one first.
    pub fn iter(&self) -> impl Iterator<Item = &HostKey> {
        self.keys.iter()
    }

    /// The lines of `known_hosts` that make clients trust this server, without a line end behind the
    /// last. `None` when the host's name is not one that such a line can have.
    pub fn known_hosts(&self, host: &str, port: u16) -> Option<String> {
        let host = Host::new(host, port).ok()?;
        let lines: Vec<_> = self
            .keys
            .iter()
            .map(|it| known_hosts_line(&host, it.public_key()))
            .collect();
        Some(lines.join("\n"))
    }
}

impl HostKey {
    /// The public half.
    pub fn public_key(&self) -> &PublicKey {
        self.signing.public_key()
    }

    /// `SHA256:` and the hash, as `ssh-keygen -l` shows it.
    pub fn fingerprint(&self) -> String {
        sha256_fingerprint(self.public_key())
    }

    /// The file; empty for a key that is in none.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether clients can know it already.
    pub const fn origin(&self) -> Origin {
        self.origin
    }
}

/// The length of an RSA key's modulus in bits; `None` for a key of another type.
pub(crate) fn rsa_bits(key: &PublicKey) -> Option<u32> {
    let mut fields = Reader::new(key.as_bytes());
    let kind: &[u8] = fields.read().ok()?;
    if kind != b"ssh-rsa" {
        return None;
    }
    let _exponent: MpInt<'_> = fields.read().ok()?;
    let modulus: MpInt<'_> = fields.read().ok()?;
    let modulus = modulus.magnitude();
    let zeros = modulus.first().map_or(0, |it| it.leading_zeros());
    u32::try_from(modulus.len())
        .ok()?
        .checked_mul(8)?
        .checked_sub(zeros)
}

fn load_or_make_ed25519(dir: &Path, provider: &CryptoProvider) -> Result<HostKey, HostKeyError> {
    let path = dir.join(ED25519);
    match load(&path, provider) {
        Err(error) if error.is_absence() => {}
        loaded => return loaded,
    }
    let made = make_ed25519(dir, &path, provider)?;
    let key = load(&path, provider)?;
    Ok(HostKey {
        origin: made,
        ..key
    })
}

/// Writes a new key beside `path` and gives it that name, unless another has it by then.
fn make_ed25519(
    dir: &Path,
    path: &Path,
    provider: &CryptoProvider,
) -> Result<Origin, HostKeyError> {
    let crypto = |cause| HostKeyError::new(path, Problem::Crypto(cause));
    let io = |error| HostKeyError::io(path, Problem::Write, error);
    let key = generate_ed25519(&*provider.random).map_err(crypto)?;
    let mut check = [0; 4];
    provider.random.fill(&mut check).map_err(crypto)?;
    let text = write_openssh(&key, "", u32::from_be_bytes(check));
    // Created exclusively and with mode 0600, before there is anything in it.
    let mut file = tempfile::Builder::new()
        .prefix(".ssh_host_")
        .tempfile_in(dir)
        .map_err(io)?;
    file.write_all(text.as_bytes()).map_err(io)?;
    file.as_file().sync_all().map_err(io)?;
    match file.persist_noclobber(path) {
        Ok(_) => {
            sync_directory(dir).map_err(io)?;
            Ok(Origin::Made)
        }
        // Another server was quicker: its key is the one to use.
        Err(lost) if lost.error.kind() == io::ErrorKind::AlreadyExists => Ok(Origin::Found),
        Err(lost) => Err(io(lost.error)),
    }
}

fn load(path: &Path, provider: &CryptoProvider) -> Result<HostKey, HostKeyError> {
    let io = |error| HostKeyError::io(path, Problem::Read, error);
    let file = File::open(path).map_err(io)?;
    check_permissions(path, &file)?;
    // One byte more than the most, so that the reader of keys sees that it is too much.
    let most = u64::try_from(MAX_KEY_FILE).unwrap_or(u64::MAX);
    let mut text = Vec::new();
    let read = file.take(most.saturating_add(1)).read_to_end(&mut text);
    let text = Secret::new(text);
    read.map_err(io)?;
    let read = read_private_key(text.expose(), None)
        .map_err(|cause| HostKeyError::new(path, Problem::Key(cause)))?;
    let signing = provider
        .keys
        .load(&read.key)
        .map_err(|cause| HostKeyError::new(path, Problem::Crypto(cause)))?;
    Ok(HostKey {
        signing,
        path: path.to_owned(),
        origin: Origin::Found,
    })
}

/// Of the open file, so that nothing can be put in its place between this and reading.
#[cfg(unix)]
fn check_permissions(path: &Path, file: &File) -> Result<(), HostKeyError> {
    use std::os::unix::fs::MetadataExt;
    let metadata = file
        .metadata()
        .map_err(|error| HostKeyError::io(path, Problem::Read, error))?;
    let owner = metadata.uid();
    let ours = owner == rustix::process::geteuid().as_raw();
    if !ours && owner != 0 {
        return Err(HostKeyError::new(path, Problem::Owner { owner }));
    }
    // A group may read what belongs to root: that may be how we can.
    let forbidden = if ours { 0o077 } else { 0o007 };
    if metadata.is_file() && metadata.mode() & forbidden != 0 {
        let mode = metadata.mode() & 0o7777;
        return Err(HostKeyError::new(path, Problem::Exposed { mode }));
    }
    Ok(())
}

/// Whoever can write to it can put another key in the place of ours.
#[cfg(unix)]
fn check_directory(dir: &Path) -> Result<(), HostKeyError> {
    use std::os::unix::fs::MetadataExt;
    let metadata =
        std::fs::metadata(dir).map_err(|error| HostKeyError::io(dir, Problem::Directory, error))?;
    if metadata.mode() & 0o022 != 0 {
        let mode = metadata.mode() & 0o7777;
        return Err(HostKeyError::new(dir, Problem::Writable { mode }));
    }
    Ok(())
}

#[cfg(not(unix))]
#[expect(
    clippy::unnecessary_wraps,
    reason = "the same signature as where there are modes"
)]
fn check_directory(_: &Path) -> Result<(), HostKeyError> {
    Ok(())
}

#[cfg(not(unix))]
#[expect(
    clippy::unnecessary_wraps,
    reason = "the same signature as where there are modes"
)]
fn check_permissions(_: &Path, _: &File) -> Result<(), HostKeyError> {
    Ok(())
}

#[cfg(unix)]
fn make_directory(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
}

#[cfg(not(unix))]
fn make_directory(dir: &Path) -> io::Result<()> {
    std::fs::create_dir_all(dir)
}

/// Makes the new name outlast a crash: otherwise the next start would make another key.
#[cfg(unix)]
fn sync_directory(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(not(unix))]
fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Why a host key cannot be had. `Display` is one line with the remedy.
#[derive(Debug)]
pub struct HostKeyError {
    path: PathBuf,
    problem: Problem,
    source: Option<io::Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Problem {
    Directory,
    Read,
    Write,
    #[cfg(unix)]
    Exposed {
        mode: u32,
    },
    #[cfg(unix)]
    Owner {
        owner: u32,
    },
    #[cfg(unix)]
    Writable {
        mode: u32,
    },
    Key(KeyError),
    Crypto(CryptoError),
    ReadCertificate,
    /// Not a certificate, or not a whole one.
    Certificate(&'static str),
    /// No client takes it.
    Useless(CertificateError),
    OtherKey,
    CertifiedTwice,
}

impl HostKeyError {
    fn new(path: &Path, problem: Problem) -> Self {
        Self {
            path: path.to_owned(),
            problem,
            source: None,
        }
    }

    fn io(path: &Path, problem: Problem, source: io::Error) -> Self {
        Self {
            source: Some(source),
            ..Self::new(path, problem)
        }
    }

    /// The file or directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What to do about it, as an imperative phrase.
    pub const fn remedy(&self) -> &'static str {
        match self.problem {
            Problem::Directory | Problem::Write => {
                "give a directory for host keys that this account may write to"
            }
            Problem::Read | Problem::ReadCertificate => "check its name and permissions",
            #[cfg(unix)]
            Problem::Owner { .. } => "make another, or make it this account's (chown)",
            #[cfg(unix)]
            Problem::Writable { .. } => "make it writable by its owner alone (chmod go-w)",
            #[cfg(unix)]
            Problem::Exposed { .. } => "make it readable by its owner alone (chmod 600)",
            Problem::Key(KeyError::PassphraseMissing(_)) => {
                "a host key has no passphrase: 'ssh-keygen -p -N \"\" -f KEY' removes it"
            }
            Problem::Key(cause) => cause.remedy(),
            Problem::Crypto(_) => "make another: 'ssh-keygen -t ed25519 -N \"\" -f KEY'",
            Problem::Certificate(_) | Problem::Useless(_) => {
                "make another: 'ssh-keygen -s CA -h -I ID -n HOST KEY.pub'"
            }
            Problem::OtherKey => "give the key with --host-key, or certify one that is here",
            Problem::CertifiedTwice => "give one certificate for each key",
        }
    }

    fn is_absence(&self) -> bool {
        let kind = self.source.as_ref().map(io::Error::kind);
        self.problem == Problem::Read && kind == Some(io::ErrorKind::NotFound)
    }
}

impl fmt::Display for HostKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match self.problem {
            Problem::Directory => write!(f, "directory of host keys {path} cannot be made")?,
            Problem::Read => write!(f, "host key {path} cannot be read")?,
            Problem::Write => write!(f, "host key {path} cannot be written")?,
            #[cfg(unix)]
            Problem::Owner { owner } => write!(
                f,
                "host key {path} belongs to user {owner}, who is neither root nor this account"
            )?,
            #[cfg(unix)]
            Problem::Writable { mode } => write!(
                f,
                "directory of host keys {path} can be written by others (mode {mode:04o})"
            )?,
            #[cfg(unix)]
            Problem::Exposed { mode } => {
                write!(f, "host key {path} can be read by others (mode {mode:04o})")?;
            }
            Problem::Key(cause) => write!(f, "host key {path}: {}", cause.cause())?,
            Problem::Crypto(cause) => write!(f, "host key {path}: {cause}")?,
            Problem::ReadCertificate => write!(f, "host certificate {path} cannot be read")?,
            Problem::Certificate(cause) => write!(f, "host certificate {path}: {cause}")?,
            Problem::Useless(cause) => write!(f, "host certificate {path}: {cause}")?,
            Problem::OtherKey => write!(f, "host certificate {path} is for none of the host keys")?,
            Problem::CertifiedTwice => write!(
                f,
                "host certificate {path} is for a key that has a certificate already"
            )?,
        }
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        write!(f, "; {}", self.remedy())
    }
}

impl std::error::Error for HostKeyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|it| it as _)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use sansftp_crypto::default_provider;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_key_is_made_once_for_its_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("state/host-keys");
        let provider = default_provider();
        let made = HostKeys::load_or_make(&dir, &provider).unwrap();
        let found = HostKeys::load_or_make(&dir, &provider).unwrap();
        let (made, found) = (&made.keys[0], &found.keys[0]);
        assert_eq!(
            (made.origin(), found.origin()),
            (Origin::Made, Origin::Found)
        );
        assert_eq!(made.public_key(), found.public_key());
        assert_eq!((mode(&dir), mode(made.path())), (0o700, 0o600));
        let names: Vec<_> = fs::read_dir(&dir).unwrap().collect();
        assert_eq!(names.len(), 1, "nothing is left behind: {names:?}");
    }

    #[test]
    fn servers_that_start_together_agree_on_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let start = std::sync::Barrier::new(8);
        let keys: Vec<_> = std::thread::scope(|scope| {
            let starting: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        start.wait();
                        HostKeys::load_or_make(dir.path(), &default_provider()).unwrap()
                    })
                })
                .collect();
            starting.into_iter().map(|it| it.join().unwrap()).collect()
        });
        assert!(
            keys.iter()
                .all(|it| it.keys[0].public_key() == keys[0].keys[0].public_key())
        );
        let makers = keys.iter().filter(|it| it.keys[0].origin == Origin::Made);
        assert_eq!(makers.count(), 1);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let provider = default_provider();
        HostKeys::load_or_make(dir.path(), &provider).unwrap();
        let path = dir.path().join(ED25519);
        for exposed in [0o640, 0o604, 0o660, 0o666] {
            fs::set_permissions(&path, Permissions::from_mode(exposed)).unwrap();
            let error = HostKeys::load_or_make(dir.path(), &provider).unwrap_err();
            let text = error.to_string();
            assert!(text.contains(&format!("{exposed:04o}")), "{text}");
            assert!(text.contains("chmod 600"), "{text}");
        }
        fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
        HostKeys::load_or_make(dir.path(), &provider).unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o770)).unwrap();
        let error = HostKeys::load_or_make(dir.path(), &provider).unwrap_err();
        assert!(error.to_string().contains("chmod go-w"), "{error}");
    }

    #[test]
    fn a_damaged_key_is_an_error_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(ED25519);
        fs::write(&path, "not a key").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let error = HostKeys::load_or_make(dir.path(), &default_provider()).unwrap_err();
        assert!(error.to_string().contains("not a key of any"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"not a key");
    }

    #[test]
    fn the_line_for_clients_names_host_and_port() {
        let keys = HostKeys::transient(&default_provider()).unwrap();
        let line = keys.known_hosts("LocalHost", 2022).unwrap();
        assert!(
            line.starts_with("[localhost]:2022 ssh-ed25519 AAAA"),
            "{line}"
        );
        assert_eq!(line.lines().count(), 1);
        assert!(keys.known_hosts("a b", 22).is_none());
    }
}
