//! Secrets, and references to where they are kept.
//!
//! Not a key reader: what a private key's text means is for the keys crate. A [`Secret`] is wiped
//! when dropped and never shown.

use std::fmt;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::error::{Class, Error, Result};

/// Bytes that nobody is to see: wiped on drop, `Debug` says nothing of them.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over; the caller's copy is this one.
    pub fn new(secret: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(secret.into()))
    }

    /// The bytes themselves. Do not copy them into anything that is not wiped.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Where a secret is kept: `{ env = "NAME" }`, `{ file = "path" }`, `{ command = ["pass", "x"] }`,
/// or the text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// The secret itself, written into the configuration.
    Literal(Secret),
    /// The value of an environment variable.
    Env(String),
    /// The content of a file.
    File(PathBuf),
    /// What a program prints. Run directly, not by a shell.
    Command(Vec<String>),
}

impl SecretRef {
    /// Fetches the secret. One line end after it, as files and programs add, is cut off. Blocks.
    ///
    /// # Errors
    /// `configuration`, naming the variable, file or program, never its content.
    pub fn resolve(&self) -> Result<Secret> {
        match self {
            Self::Literal(secret) => Ok(secret.clone()),
            Self::Env(name) => {
                let value = std::env::var_os(name).ok_or_else(|| {
                    Error::configuration(format!("the environment variable {name} is not set"))
                        .with_hint(format!("set {name}, or name another source of the secret"))
                })?;
                Ok(without_line_end(value.into_encoded_bytes()))
            }
            Self::File(path) => std::fs::read(path).map(without_line_end).map_err(|error| {
                Error::configuration(format!(
                    "the secret in {} cannot be read: {error}",
                    path.display()
                ))
                .with_hint("check that the file is there and that you may read it")
                .with_source(error)
            }),
            Self::Command(words) => run(words, PATIENCE),
        }
    }
}

/// A private key: the path of its file, or a reference to its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrivateKey {
    /// The key's file.
    Path(PathBuf),
    /// The key's text, wherever it is kept.
    Text(SecretRef),
}

/// How long a secret's command may take: a person may have to open a store.
const PATIENCE: Duration = Duration::from_secs(120);
/// The longest secret, in bytes, that a command may print: a private key is a tenth of it.
const LONGEST: u64 = 1 << 16;

fn run(words: &[String], deadline: Duration) -> Result<Secret> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(Error::configuration("a secret's command is empty"));
    };
    let failed = |why: String| {
        Error::new(
            Class::Configuration,
            format!("the command {program} that prints a secret {why}"),
        )
        .with_hint("run it by hand; it must print the secret and end with code 0")
    };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::inherit())
        .stderr(Stdio::inherit())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("did not start: {error}")))?;
    let output = child.stdout.take().expect("its output was asked for");
    let (said, heard) = mpsc::channel();
    // It ends with the output: when the program does, or is ended below.
    std::thread::spawn(move || {
        let mut text = Zeroizing::new(Vec::new());
        let read = output.take(LONGEST + 1).read_to_end(&mut text);
        let _ = said.send(read.map(|_| text));
    });
    let text = heard.recv_timeout(deadline);
    if !matches!(&text, Ok(Ok(text)) if text.len() as u64 <= LONGEST) {
        // One that goes on, or goes on talking, is not waited for.
        let _ = child.kill();
    }
    let status = child.wait();
    let text = match text {
        Ok(Ok(text)) if text.len() as u64 <= LONGEST => text,
        Ok(Ok(_)) => return Err(failed(format!("printed more than {LONGEST} bytes"))),
        Ok(Err(error)) => return Err(failed(format!("was not heard: {error}"))),
        Err(_) => {
            return Err(failed(format!(
                "did not end within {} s",
                deadline.as_secs()
            )));
        }
    };
    let secret = without_line_end(text.to_vec());
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(failed(format!("failed: {status}"))),
        Err(error) => return Err(failed(format!("was lost: {error}"))),
    }
    if secret.expose().is_empty() {
        return Err(failed("printed nothing".to_owned()));
    }
    Ok(secret)
}

fn without_line_end(mut secret: Vec<u8>) -> Secret {
    if secret.last() == Some(&b'\n') {
        secret.pop();
        if secret.last() == Some(&b'\r') {
            secret.pop();
        }
    }
    Secret::new(secret)
}

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RefVisitor)
    }
}

struct RefVisitor;

impl<'de> Visitor<'de> for RefVisitor {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, { env = \"NAME\" }, { file = \"path\" } or { command = [\"program\"] }")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<SecretRef, E> {
        Ok(SecretRef::Literal(Secret::new(text)))
    }

    fn visit_string<E: serde::de::Error>(self, text: String) -> Result<SecretRef, E> {
        Ok(SecretRef::Literal(Secret::new(text)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretRef, A::Error> {
        use serde::de::Error as _;
        let Some(source) = map.next_key::<String>()? else {
            return Err(A::Error::custom("a secret needs one of env, file, command"));
        };
        let reference = match source.as_str() {
            "env" => SecretRef::Env(map.next_value()?),
            "file" => SecretRef::File(map.next_value()?),
            "command" => SecretRef::Command(map.next_value()?),
            other => {
                return Err(A::Error::unknown_field(other, &["env", "file", "command"]));
            }
        };
        if let Some(second) = map.next_key::<String>()? {
            return Err(A::Error::custom(format!(
                "a secret has one source, not {source} and {second}"
            )));
        }
        Ok(reference)
    }
}

/// A literal is written as `"(redacted)"`: what is serialised may be shown, so it cannot be read
/// back into a working secret.
impl Serialize for SecretRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        if let Self::Literal(_) = self {
            return serializer.serialize_str("(redacted)");
        }
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Literal(_) => {}
            Self::Env(name) => map.serialize_entry("env", name)?,
            Self::File(path) => map.serialize_entry("file", path)?,
            Self::Command(words) => map.serialize_entry("command", words)?,
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for PrivateKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match SecretRef::deserialize(deserializer)? {
            // Pasted text is told from a path by the armour that every text form begins with.
            SecretRef::Literal(text) if is_key_text(text.expose()) => {
                Ok(Self::Text(SecretRef::Literal(text)))
            }
            SecretRef::Literal(path) => String::from_utf8(path.expose().to_vec())
                .map(|path| Self::Path(path.into()))
                .map_err(|_| serde::de::Error::custom("a path in a configuration is UTF-8")),
            reference => Ok(Self::Text(reference)),
        }
    }
}

impl Serialize for PrivateKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Path(path) => path.serialize(serializer),
            Self::Text(text) => text.serialize(serializer),
        }
    }
}

fn is_key_text(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    text.starts_with(b"-----BEGIN") || text.starts_with(b"PuTTY-User-Key-File")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize, Serialize, Debug)]
    #[serde(rename_all = "kebab-case")]
    struct Holder {
        password: SecretRef,
    }

    #[test]
    fn a_secret_is_never_shown() {
        let holder: Holder = toml::from_str("password = 'hunter2'").unwrap();
        assert!(!format!("{holder:?}").contains("hunter2"));
        assert!(!toml::to_string(&holder).unwrap().contains("hunter2"));
        assert_eq!(holder.password.resolve().unwrap().expose(), b"hunter2");
    }

    #[test]
    fn each_source_gives_its_secret_without_the_line_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "from file\n").unwrap();
        let secret = |reference: SecretRef| reference.resolve().unwrap().expose().to_vec();
        assert_eq!(secret(SecretRef::File(path)), b"from file");
        let words = ["echo", "from command"].map(str::to_owned).to_vec();
        assert_eq!(secret(SecretRef::Command(words)), b"from command");
        let missing = SecretRef::Env("SANSFTP_TEST_NO_SUCH_NAME".to_owned());
        let error = missing.resolve().unwrap_err();
        assert_eq!(error.class(), Class::Configuration);
        assert!(error.message().contains("SANSFTP_TEST_NO_SUCH_NAME"));
    }

    #[test]
    fn a_command_that_hangs_fails_or_talks_without_end_gives_no_secret() {
        let run = |words: &[&str], deadline| {
            let words: Vec<String> = words.iter().map(|it| (*it).to_owned()).collect();
            run(&words, deadline).unwrap_err()
        };
        let error = run(&["sleep", "600"], Duration::from_millis(50));
        assert!(error.message().contains("did not end"), "{error}");
        let error = run(&["cat", "/dev/zero"], PATIENCE);
        assert!(error.message().contains("printed more"), "{error}");
        let words = ["sh", "-c", "echo hunter2; exit 3"];
        let error = run(&words, PATIENCE);
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(error.message().contains("failed"), "{error}");
        let words = ["echo", "$HOME; id"].map(str::to_owned);
        let secret = super::run(&words, PATIENCE).unwrap();
        assert_eq!(secret.expose(), b"$HOME; id", "no shell reads the words");
    }

    #[test]
    fn a_secret_has_one_known_source() {
        assert!(toml::from_str::<Holder>("password = { env = 'A', file = 'b' }").is_err());
        assert!(toml::from_str::<Holder>("password = { vault = 'A' }").is_err());
        assert!(toml::from_str::<Holder>("password = {}").is_err());
    }
}
