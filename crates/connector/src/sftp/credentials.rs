//! What a connection authenticates with: read once, before anything is contacted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::{Uid, User};
use sansftp_crypto::with_short_rsa;
use sansftp_keys::certificate::{Certificate, CertificateKind};
use sansftp_keys::{CertifiedKey, KeyError, read_private_key, read_public};
use sansftp_proto::crypto::{CryptoProvider, PublicKey, Secret, SigningKey, split_certificate};
use sansftp_proto::wire::Malformed;
use sansftp_tokio::{Agent, Answerer, Credentials};

use super::sessions::{Mark, Sessions};
use crate::connection::{Connection, PrivateKey, SecretRef};
use crate::error::{Error, Result};

/// What to authenticate with, and what tells it from other credentials.
pub(super) struct Read {
    pub(super) credentials: Credentials,
    pub(super) mark: Mark,
}

/// Reads password and key. Blocks: files, programs, key derivation.
pub(super) fn read(
    connection: &Connection,
    provider: &CryptoProvider,
    answerer: Option<Arc<dyn Answerer>>,
    sessions: &Sessions,
) -> Result<Read> {
    let mut marked = vec![Secret::new(Vec::new()); 3];
    let mut credentials = Credentials::new(user(connection)?);
    let certificate = connection.certificate.as_deref();
    let certificate = certificate.map(read_certificate).transpose()?;
    if let Some(key) = &connection.private_key {
        let passphrase = connection.passphrase.as_ref().map(secret).transpose()?;
        let key = signing_key(key, passphrase.as_ref(), connection, provider)?;
        marked[0] = Secret::from(&key.public_key().as_bytes()[..]);
        // The certificate before the key alone: most servers that take one take no other.
        match &certificate {
            Some(it) if !connection.agent || is_for(it, key.public_key()) => {
                let certified = CertifiedKey::new(Arc::clone(&key), it.clone())
                    .map_err(|error| unfit(connection, error))?;
                credentials = credentials.key(Arc::new(certified)).key(key);
            }
            _ => credentials = credentials.key(key),
        }
    }
    if connection.agent {
        let mut agent = Agent::new(agent_socket()?);
        marked[2] = Secret::from(agent.socket().as_os_str().as_encoded_bytes());
        if let Some(certificate) = certificate {
            agent = agent.certificate(certificate);
        }
        credentials = credentials.agent(agent);
    }
    if let Some(password) = &connection.password {
        let password = secret(password)?;
        marked[1] = password.clone();
        credentials = credentials.password(password);
    }
    if let Some(answerer) = answerer {
        credentials = credentials.answerer(answerer);
    }
    let marked: Vec<&[u8]> = marked.iter().map(Secret::expose).collect();
    let mark = sessions.mark(&marked);
    Ok(Read { credentials, mark })
}

/// Whether there is anything to authenticate with.
pub(super) const fn are_given(connection: &Connection) -> bool {
    connection.private_key.is_some() || connection.password.is_some() || connection.agent
}

fn user(connection: &Connection) -> Result<String> {
    let given = connection
        .user
        .as_deref()
        .map(str::trim)
        .filter(|it| !it.is_empty());
    if let Some(user) = given {
        return Ok(user.to_owned());
    }
    ["USER", "LOGNAME"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()))
        .or_else(account)
        .ok_or_else(|| {
            Error::configuration("no user is set and the local login name is not known")
                .with_hint("set user in the connection, or write sftp://USER@HOST")
        })
}

/// What the system calls the account of this process.
fn account() -> Option<String> {
    let account = User::from_uid(Uid::effective()).ok().flatten()?;
    Some(account.name)
}

pub(super) fn secret(reference: &SecretRef) -> Result<Secret> {
    reference.resolve().map(|it| Secret::from(it.expose()))
}

fn agent_socket() -> Result<PathBuf> {
    std::env::var_os("SSH_AUTH_SOCK")
        .filter(|it| !it.is_empty())
        .map(PathBuf::from)
        .ok_or_else(|| {
            Error::configuration("agent = true, but SSH_AUTH_SOCK does not say where the agent is")
                .with_hint("start ssh-agent, or leave agent out")
        })
}

fn read_certificate(path: &Path) -> Result<PublicKey> {
    let path = expand_home(path);
    let refuse = |why: String| {
        Error::configuration(format!("certificate {} {why}", path.display()))
            .with_hint("give the file that ssh-keygen -s made: KEY-cert.pub")
    };
    let text = std::fs::read(&path).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    let key = read_public(&text)
        .map_err(|error| refuse(format!("is none: {error}")))?
        .key;
    let certificate =
        Certificate::parse(&key).map_err(|error| refuse(format!("is none: {error}")))?;
    if certificate.kind() != CertificateKind::User {
        return Err(refuse("is one for hosts, not for users".to_owned()));
    }
    Ok(key)
}

fn is_for(certificate: &PublicKey, key: &PublicKey) -> bool {
    split_certificate(certificate).is_ok_and(|it| it.key == *key)
}

fn unfit(connection: &Connection, error: Malformed) -> Error {
    let path = connection
        .certificate
        .as_deref()
        .unwrap_or_else(|| Path::new(""));
    Error::configuration(format!("certificate {}: {error}", path.display()))
        .with_hint("give the certificate that was made for private-key")
}

fn signing_key(
    key: &PrivateKey,
    passphrase: Option<&Secret>,
    connection: &Connection,
    provider: &CryptoProvider,
) -> Result<Arc<dyn SigningKey>> {
    let (name, text) = match key {
        PrivateKey::Path(path) => {
            let path = expand_home(path);
            let name = format!("private key {}", path.display());
            let text = std::fs::read(&path).map_err(|error| {
                Error::configuration(format!("{name} cannot be read: {error}"))
                    .with_hint("check private-key (or --identity) and the file's permissions")
            })?;
            (name, Secret::new(text))
        }
        PrivateKey::Text(reference) => ("private key".to_owned(), secret(reference)?),
    };
    let file = read_private_key(text.expose(), passphrase).map_err(|error| {
        let hint = match error {
            KeyError::PassphraseMissing(_) => {
                "give --passphrase-file, or passphrase = { env = \"NAME\" } in the connection"
            }
            KeyError::PassphraseWrong(_) => {
                "check --passphrase-file, or the connection's passphrase"
            }
            _ => error.remedy(),
        };
        Error::configuration(format!("{name}: {}", error.cause())).with_hint(hint)
    })?;
    let profile = connection.algorithms.profile;
    let key = match provider.keys.load(&file.key) {
        Ok(key) => key,
        Err(error) => {
            let legacy = with_short_rsa(provider.clone());
            let hint = match legacy.keys.load(&file.key) {
                Ok(_) => ONLY_LEGACY,
                Err(_) => "ssh-keygen -t ed25519 makes a key that every server of today takes",
            };
            return Err(Error::configuration(format!("{name}: {error}")).with_hint(hint));
        }
    };
    let allowed = profile.algorithms(provider).host_key;
    let proves_by = key.algorithms();
    if proves_by.iter().any(|it| allowed.iter().any(|ok| ok == it)) {
        return Ok(key);
    }
    Err(Error::configuration(format!(
        "{name}: it proves itself by {} alone, which algorithms = \"{}\" leaves out",
        proves_by.join(", "),
        profile.name()
    ))
    .with_hint(ONLY_LEGACY))
}

/// What helps whoever has a key that can be broken.
const ONLY_LEGACY: &str = "ssh-keygen -t ed25519 makes a key that every server of today takes; for one that \
                           knows this key alone set algorithms = \"legacy-1024\" (--algorithms), with \
                           ,kex=NAME behind it where the server exchanges keys in a better way";

/// `~/` at the front means the home directory.
pub(super) fn expand_home(path: &Path) -> PathBuf {
    match (path.strip_prefix("~"), home()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => path.to_owned(),
    }
}

pub(super) fn home() -> Option<PathBuf> {
    std::env::var_os("HOME")
        .map(PathBuf::from)
        .filter(|it| it.is_absolute())
}
