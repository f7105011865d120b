//! What a connection authenticates with: read once, before anything is contacted.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sansftp_keys::{KeyError, read_private_key};
use sansftp_proto::crypto::{CryptoProvider, Secret, SigningKey};
use sansftp_tokio::{Answerer, Credentials};

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
    let mut marked = vec![Secret::new(Vec::new()); 2];
    let mut credentials = Credentials::new(user(connection)?);
    if let Some(key) = &connection.private_key {
        let passphrase = connection.passphrase.as_ref().map(secret).transpose()?;
        let key = signing_key(key, passphrase.as_ref(), provider)?;
        marked[0] = Secret::from(&key.public_key().as_bytes()[..]);
        credentials = credentials.key(key);
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
    connection.private_key.is_some() || connection.password.is_some()
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
        .ok_or_else(|| {
            Error::configuration("no user is set and the local login name is not known")
                .with_hint("set user in the connection, or write sftp://USER@HOST")
        })
}

fn secret(reference: &SecretRef) -> Result<Secret> {
    reference.resolve().map(|it| Secret::from(it.expose()))
}

fn signing_key(
    key: &PrivateKey,
    passphrase: Option<&Secret>,
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
    provider.keys.load(&file.key).map_err(|error| {
        Error::configuration(format!("{name}: {error}"))
            .with_hint("ssh-keygen -t ed25519 makes a key that every server of today takes")
    })
}

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
