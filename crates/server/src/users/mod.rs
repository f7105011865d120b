//! Who may come in, and by which proof: users of a file or of the program's own making, keys, passwords,
//! dialogues and sequences of them.
//!
//! No protocol: signatures are verified and replies sent by the core; how long a failure takes is the
//! driver's to even out. Keys on hardware tokens (`sk-…`) are not known here: the core verifies none.
//!
//! A name that nobody has is treated as one whose proof is wrong: the same replies, and as many hashes
//! computed, with the parameters of some user's, always the same for the name. Which methods are listed
//! does not depend on the name until something was proved under it.

mod certified;
mod file;
mod guarded;
mod hashing;
mod judge;
mod keys;
mod password;

#[cfg(test)]
mod tests;

pub use file::{Access, FileError, Standing, User};
pub use guarded::{Permissions, Unusable};
pub use judge::{Identity, Judge, Proof};
pub use password::{Hash, HashError, hash_password};

use certified::Holder;
use file::Table;
use hashing::Hashing;
use keys::{Circumstances, Grant, KeyFiles, Withheld};
use sansftp_keys::authorized_keys::AuthorizedKeys;
use sansftp_keys::certificate::{Certificate, is_certificate};
use sansftp_proto::auth::{Method, Prompt};
use sansftp_proto::crypto::{PublicKey, Secret};
use sansftp_proto::wire::Malformed;
use std::fmt::{self, Debug};
use std::hash::{DefaultHasher, Hash as _, Hasher};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

/// Where users, and what lets them in, come from.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "plain data, made by naming what is not the default"
)]
pub struct Sources {
    /// A users file; the module's `file.rs` says its form.
    pub file: Option<PathBuf>,
    /// Users beside those of the file, who go before them.
    pub users: Vec<(String, User)>,
    /// Files of authorized keys for every user, `%u` in a path being the user's name. One that does
    /// not exist lets nobody in.
    pub authorized_keys: Vec<String>,
    /// Files of the authorities whose certificates let in the users that they name; public keys, one
    /// on a line.
    pub authorities: Vec<PathBuf>,
    /// Files of keys that let nobody in, by themselves, in a certificate or as an authority; public
    /// keys, one on a line. When one cannot be read no key lets anybody in.
    pub revoked: Vec<PathBuf>,
    /// Which names there are.
    pub names: Names,
    /// How those files are looked at.
    pub permissions: Permissions,
    /// What keyboard-interactive asks for after the password, one after the other.
    pub challenges: Vec<Arc<dyn Challenge>>,
    /// What time it is.
    pub clock: Clock,
}

/// Which names there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Names {
    /// Those of the users file and of the program.
    #[default]
    Listed,
    /// Every name: the keys for every user decide.
    Any,
}

/// Something that keyboard-interactive asks for after the password, such as a one-time code.
pub trait Challenge: Debug + Send + Sync {
    /// What is asked; the same for every name, so that it says nothing about any.
    fn prompts(&self) -> Vec<Prompt>;

    /// Whether these are the user's answers, as many as there were prompts. Asked only for users there
    /// are and whose other answers were right, so that no code is spent on a wrong password. May block.
    fn is_answer(&self, user: &str, responses: &[Secret]) -> bool;
}

/// Tells the time: the system's, or a test's.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> SystemTime + Send + Sync>);

impl Clock {
    /// Asks `now` each time.
    pub fn new(now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new(SystemTime::now)
    }
}

impl Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock(..)")
    }
}

/// Everybody who may come in. Cheap to clone; all clones are the same users.
#[derive(Debug, Clone)]
pub struct Users(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: Option<PathBuf>,
    given: Vec<(String, Arc<User>)>,
    shared_keys: Vec<String>,
    authorities: Vec<PathBuf>,
    revoked: Vec<PathBuf>,
    names: Names,
    permissions: Permissions,
    challenges: Vec<Arc<dyn Challenge>>,
    clock: Clock,
    keys: KeyFiles,
    hashing: Hashing,
    known: RwLock<Arc<Known>>,
}

/// What is known of users at one time.
#[derive(Debug, Default)]
struct Known {
    table: Table,
    /// Whoever is in no table, if every name may come in.
    anybody: Option<Arc<User>>,
    /// What passwords of those are compared with who have none: everybody's.
    decoys: Vec<Hash>,
    /// What is listed to a stranger.
    methods: Vec<String>,
}

impl Users {
    /// Reads the users file and checks that somebody can come in. Blocks.
    ///
    /// # Errors
    /// [`UsersError`]: the file, its line, and what to do about it.
    pub fn load(sources: Sources) -> Result<Self, UsersError> {
        let given = sources.users.into_iter();
        let inner = Inner {
            file: sources.file,
            given: given.map(|(name, user)| (name, Arc::new(user))).collect(),
            shared_keys: sources.authorized_keys,
            authorities: sources.authorities,
            revoked: sources.revoked,
            names: sources.names,
            permissions: sources.permissions,
            challenges: sources.challenges,
            clock: sources.clock,
            keys: KeyFiles::new(sources.permissions),
            hashing: Hashing::new(),
            known: RwLock::default(),
        };
        let users = Self(Arc::new(inner));
        users.reload()?;
        Ok(users)
    }

    /// Reads the users file again, and whether authorities and revoked keys can be read. Those, and
    /// files of keys, are read again by themselves when they change. Blocks.
    ///
    /// # Errors
    /// [`UsersError`]; everything then stays as it was.
    pub fn reload(&self) -> Result<(), UsersError> {
        let known = self.0.read()?;
        *self.0.known.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(known);
        Ok(())
    }

    /// What judges one connection. Without an address, keys that are good from some addresses only are
    /// good from nowhere.
    pub fn authenticate(&self, peer: Option<IpAddr>) -> Judge {
        Judge::new(Arc::clone(&self.0), peer)
    }

    /// The methods to list to a client that has proved nothing: a connection's
    /// [`methods`](sansftp_proto::config::ServerLocal::methods).
    pub fn methods(&self) -> Vec<String> {
        self.0.known().methods.clone()
    }
}

impl Inner {
    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn now(&self) -> SystemTime {
        (self.clock.0)()
    }

    /// What a key or certificate gets that a client holds, or would. Blocks.
    fn look_up(
        &self,
        name: &str,
        user: Option<&User>,
        key: &PublicKey,
        circumstances: Circumstances,
    ) -> Option<Grant> {
        let user = user?;
        let looked = if is_certificate(key) {
            let certificate = Certificate::parse(key).ok()?;
            self.look_up_certificate(&Holder {
                name,
                user,
                certificate: &certificate,
                circumstances,
            })
        } else if self.is_revoked([key]) {
            Err(Withheld("the key was revoked".to_owned()))
        } else {
            self.in_files(name, user, |file| keys::look_up(file, key, circumstances))
        };
        looked.unwrap_or_else(|withheld| {
            tracing::warn!(user = ?name, "{}", withheld.0);
            None
        })
    }

    fn look_up_certificate(&self, holder: &Holder<'_>) -> Result<Option<Grant>, Withheld> {
        let certificate = holder.certificate;
        let keys = [
            certificate.encoded(),
            certificate.key(),
            certificate.authority(),
        ];
        if self.is_revoked(keys) {
            return Err(Withheld(
                "the certificate, its key or its authority's was revoked".to_owned(),
            ));
        }
        for path in &self.authorities {
            // One that cannot be read vouches for nobody.
            if let Some(file) = self.read_keys(holder.name, path, Expected::There)
                && let Some(grant) = holder.by_authorities(&file)?
            {
                return Ok(Some(grant));
            }
        }
        self.in_files(holder.name, holder.user, |file| holder.by_line(file))
    }

    /// The first that one of a user's files of keys says.
    fn in_files(
        &self,
        name: &str,
        user: &User,
        look_up: impl Fn(&AuthorizedKeys) -> Result<Option<Grant>, Withheld>,
    ) -> Result<Option<Grant>, Withheld> {
        let own = user.authorized_keys.iter();
        let own = own.map(|it| (it.clone(), Expected::There));
        let shared = self.shared_keys.iter();
        let shared = shared.filter_map(|it| Some((keys::expand(it, name)?, Expected::Perhaps)));
        for (path, expected) in own.chain(shared) {
            if let Some(file) = self.read_keys(name, &path, expected)
                && let Some(grant) = look_up(&file)?
            {
                return Ok(Some(grant));
            }
        }
        Ok(None)
    }

    fn read_keys(
        &self,
        name: &str,
        path: &Path,
        expected: Expected,
    ) -> Option<Arc<AuthorizedKeys>> {
        match self.keys.read(path) {
            Ok(file) => Some(file),
            Err(unusable) => {
                if expected == Expected::There || !unusable.is_absence() {
                    tracing::warn!(user = ?name, "{unusable}");
                }
                None
            }
        }
    }

    /// Whether any of the keys is revoked, or cannot be known not to be.
    fn is_revoked<'k, I: IntoIterator<Item = &'k PublicKey> + Clone>(&self, keys: I) -> bool {
        self.revoked.iter().any(|path| match self.keys.read(path) {
            // A line that is not understood may be the one.
            Ok(file) if !file.warnings().is_empty() => {
                tracing::error!("revoked keys: {}; no key lets anybody in", path.display());
                true
            }
            Ok(file) => certified::revokes(&file, keys.clone()),
            Err(unusable) => {
                tracing::error!("revoked keys: {unusable}; no key lets anybody in");
                true
            }
        })
    }

    fn read(&self) -> Result<Known, UsersError> {
        let mut table = match &self.file {
            Some(path) => read_file(path, self.permissions)?,
            None => Table::new(),
        };
        table.extend(self.given.iter().cloned());
        for path in self.authorities.iter().chain(&self.revoked) {
            let file = self.keys.read(path).map_err(UsersError::Unusable)?;
            // What is not understood is perhaps what was meant to be revoked; of options there are
            // none here.
            let odd = file.warnings().first().map(|it| (it.line, it.reason));
            let mut lines = file.entries().iter();
            let odd = odd.or_else(|| {
                let line = lines.find(|it| !it.options.is_empty())?.line;
                Some((line, Malformed("options, where there are only keys")))
            });
            if let Some((line, reason)) = odd {
                return Err(UsersError::KeyList {
                    path: path.clone(),
                    line,
                    reason,
                });
            }
        }
        let anybody = (self.names == Names::Any).then(Arc::<User>::default);
        // In an order of their own, so that a name has the same one again after the next start.
        let mut decoys: Vec<Hash> = table
            .values()
            .filter_map(|it| it.password.clone())
            .collect();
        decoys.sort_by_cached_key(Hash::number);
        let has_keys = table.values().any(|it| it.authorized_keys.is_some())
            || !self.shared_keys.is_empty()
            || !self.authorities.is_empty();
        let mut methods = Vec::new();
        if has_keys {
            methods.push(Method::PublicKey);
        }
        if !decoys.is_empty() {
            methods.extend([Method::Password, Method::KeyboardInteractive]);
        }
        if methods.is_empty() || (table.is_empty() && anybody.is_none()) {
            return Err(UsersError::Nobody);
        }
        Ok(Known {
            table,
            anybody,
            decoys,
            methods: methods.iter().map(|it| it.name().to_owned()).collect(),
        })
    }
}

/// Whether a file that is not there is worth a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// It was named.
    There,
    /// It is where a user's name leads.
    Perhaps,
}

impl Known {
    fn user(&self, name: &str) -> Option<Arc<User>> {
        self.table.get(name).or(self.anybody.as_ref()).cloned()
    }

    /// What the password of somebody is compared with who has none. Drawn from all that there are, by
    /// the name and by what only the users file knows: so whoever sees a cheap hash computed, or a dear
    /// one, has learned nothing, for those who have none get each as often as those who have one.
    fn decoy(&self, name: &str) -> Option<&Hash> {
        let mut drawn = DefaultHasher::new();
        self.decoys.first()?.number().hash(&mut drawn);
        name.hash(&mut drawn);
        let count = u64::try_from(self.decoys.len()).ok()?;
        let index = usize::try_from(drawn.finish() % count).ok()?;
        self.decoys.get(index)
    }
}

fn read_file(path: &Path, permissions: Permissions) -> Result<Table, UsersError> {
    let (content, stamp) = guarded::read(path, permissions).map_err(UsersError::Unusable)?;
    if stamp.is_public() && permissions == Permissions::Strict {
        let path = path.display();
        tracing::warn!("{path}: everybody here can read its hashes; chmod o-r");
    }
    let mistaken = |error| UsersError::Mistaken(path.to_owned(), error);
    let text = std::str::from_utf8(&content)
        .map_err(|error| mistaken(FileError::not_text(&content, error.valid_up_to())))?;
    file::parse(text, path.parent().unwrap_or(path)).map_err(mistaken)
}

/// Why there are no users. `Display` is one line, with the remedy.
#[derive(Debug)]
#[non_exhaustive]
pub enum UsersError {
    /// A file is not there, or others could have written it.
    Unusable(Unusable),
    /// There is a mistake in the users file.
    Mistaken(PathBuf, FileError),
    /// A line of a file of authorities or revoked keys is not understood.
    KeyList {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        reason: Malformed,
    },
    /// Nobody could ever come in.
    Nobody,
}

impl fmt::Display for UsersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(unusable) => write!(f, "{unusable}"),
            Self::Mistaken(path, error) => {
                write!(f, "users file {}: {error}", path.display())
            }
            Self::KeyList { path, line, reason } => write!(
                f,
                "{}: line {line}: {reason}; public keys are wanted, one on a line",
                path.display()
            ),
            Self::Nobody => f.write_str(
                "nobody could come in: there is no user, or none with a password or keys",
            ),
        }
    }
}

impl std::error::Error for UsersError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unusable(unusable) => Some(unusable),
            Self::Mistaken(_, error) => Some(error),
            Self::KeyList { reason, .. } => Some(reason),
            Self::Nobody => None,
        }
    }
}
