//! The key files of the fixture: made by `ssh-keygen`, once per machine and user, under a lock, and kept in the cache
//! directory, because an RSA key takes seconds. Not secret in any sense that matters: they open a throwaway account.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::with_cache;

/// The passphrase of the encrypted client keys.
pub const PASSPHRASE: &str = "key-pass";

/// A host key that the fixture can present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKey {
    /// `ssh-ed25519` (RFC 8709 §4)
    Ed25519,
    /// `ecdsa-sha2-nistp256` (RFC 5656 §3)
    EcdsaP256,
    /// `ecdsa-sha2-nistp384` (RFC 5656 §3)
    EcdsaP384,
    /// RSA with 3072 bits (RFC 8332 §3)
    Rsa,
}

impl HostKey {
    /// All of them, in the order in which sshd is given them.
    pub const ALL: [Self; 4] = [Self::Ed25519, Self::EcdsaP256, Self::EcdsaP384, Self::Rsa];

    fn file(self) -> &'static str {
        match self {
            Self::Ed25519 => "host_ed25519",
            Self::EcdsaP256 => "host_ecdsa256",
            Self::EcdsaP384 => "host_ecdsa384",
            Self::Rsa => "host_rsa",
        }
    }
}

/// A user's key. All but [`ClientKey::Stranger`] are in the fixture's `authorized_keys`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKey {
    /// Ed25519 in OpenSSH's format
    Ed25519,
    /// ECDSA P-256 in OpenSSH's format
    EcdsaP256,
    /// ECDSA P-384 in OpenSSH's format
    EcdsaP384,
    /// RSA, 3072 bits, in OpenSSH's format
    Rsa,
    /// RSA, 2048 bits, `-----BEGIN RSA PRIVATE KEY-----` (PKCS#1)
    RsaPem,
    /// RSA, 2048 bits, PKCS#8 without encryption
    RsaPkcs8,
    /// ECDSA P-256, `-----BEGIN EC PRIVATE KEY-----` (SEC 1)
    EcdsaPem,
    /// Ed25519 in OpenSSH's format, under [`PASSPHRASE`]
    Ed25519Encrypted,
    /// ECDSA P-256 in OpenSSH's format, under [`PASSPHRASE`]
    EcdsaP256Encrypted,
    /// RSA, 3072 bits, in OpenSSH's format, under [`PASSPHRASE`]
    RsaEncrypted,
    /// Ed25519, not authorised
    Stranger,
}

impl ClientKey {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Ed25519,
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::Rsa,
        Self::RsaPem,
        Self::RsaPkcs8,
        Self::EcdsaPem,
        Self::Ed25519Encrypted,
        Self::EcdsaP256Encrypted,
        Self::RsaEncrypted,
        Self::Stranger,
    ];

    /// The file's name, and what `ssh-keygen` is told.
    fn recipe(self) -> (&'static str, &'static [&'static str], &'static str) {
        match self {
            Self::Ed25519 => ("id_ed25519", &["-t", "ed25519"], ""),
            Self::EcdsaP256 => ("id_ecdsa256", &["-t", "ecdsa", "-b", "256"], ""),
            Self::EcdsaP384 => ("id_ecdsa384", &["-t", "ecdsa", "-b", "384"], ""),
            Self::Rsa => ("id_rsa", &["-t", "rsa", "-b", "3072"], ""),
            Self::RsaPem => ("id_rsa_pem", &["-t", "rsa", "-b", "2048", "-m", "PEM"], ""),
            Self::RsaPkcs8 => (
                "id_rsa_pkcs8",
                &["-t", "rsa", "-b", "2048", "-m", "PKCS8"],
                "",
            ),
            Self::EcdsaPem => (
                "id_ecdsa_pem",
                &["-t", "ecdsa", "-b", "256", "-m", "PEM"],
                "",
            ),
            Self::Ed25519Encrypted => ("id_ed25519_enc", &["-t", "ed25519", "-a", "4"], PASSPHRASE),
            Self::EcdsaP256Encrypted => (
                "id_ecdsa256_enc",
                &["-t", "ecdsa", "-b", "256", "-a", "4"],
                PASSPHRASE,
            ),
            Self::RsaEncrypted => (
                "id_rsa_enc",
                &["-t", "rsa", "-b", "3072", "-a", "4"],
                PASSPHRASE,
            ),
            Self::Stranger => ("id_stranger", &["-t", "ed25519"], ""),
        }
    }
}

/// The directory that holds them all.
#[derive(Debug)]
pub(super) struct Keys {
    dir: PathBuf,
}

impl Keys {
    /// Makes what is missing.
    pub(super) fn obtain() -> io::Result<Self> {
        with_cache(|cache| {
            let dir = cache.join("keys");
            fs::create_dir_all(&dir)?;
            for key in HostKey::ALL {
                let kind: &[&str] = match key {
                    HostKey::Ed25519 => &["-t", "ed25519"],
                    HostKey::EcdsaP256 => &["-t", "ecdsa", "-b", "256"],
                    HostKey::EcdsaP384 => &["-t", "ecdsa", "-b", "384"],
                    HostKey::Rsa => &["-t", "rsa", "-b", "3072"],
                };
                make(&dir, key.file(), kind, "")?;
            }
            let mut authorized = String::new();
            for key in ClientKey::ALL {
                let (file, kind, passphrase) = key.recipe();
                make(&dir, file, kind, passphrase)?;
                if key != ClientKey::Stranger {
                    authorized.push_str(&fs::read_to_string(dir.join(file).with_extension("pub"))?);
                }
            }
            super::write_private(&dir.join("authorized_keys"), authorized.as_bytes())?;
            Ok(Self { dir })
        })
    }

    pub(super) fn authorized_keys(&self) -> PathBuf {
        self.dir.join("authorized_keys")
    }

    pub(super) fn host(&self, key: HostKey) -> PathBuf {
        self.dir.join(key.file())
    }

    /// The algorithm and the key, without the comment.
    pub(super) fn host_public(&self, key: HostKey) -> String {
        let line = fs::read_to_string(self.host(key).with_extension("pub"))
            .expect("the public half was made with the private one");
        let mut words = line.split_whitespace();
        let (algorithm, blob) = (words.next(), words.next());
        let (Some(algorithm), Some(blob)) = (algorithm, blob) else {
            panic!("ssh-keygen wrote a public key without two words: {line}");
        };
        format!("{algorithm} {blob}")
    }

    pub(super) fn client(&self, key: ClientKey) -> PathBuf {
        self.dir.join(key.recipe().0)
    }
}

/// One pair of files. Made under another name first: a killed `ssh-keygen` leaves no half of a pair that looks whole.
fn make(dir: &Path, file: &str, kind: &[&str], passphrase: &str) -> io::Result<()> {
    let (private, public) = (dir.join(file), dir.join(file).with_extension("pub"));
    if private.exists() && public.exists() {
        return Ok(());
    }
    let new = tempfile::TempDir::new_in(dir)?;
    let output = Command::new("ssh-keygen")
        .args(["-q", "-N", passphrase, "-C", file])
        .args(kind)
        .arg("-f")
        .arg(new.path().join(file))
        .output()
        .map_err(|error| {
            io::Error::other(format!(
                "ssh-keygen cannot be run ({error}); it is in openssh-client"
            ))
        })?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("ssh-keygen for {file}: {words}")));
    }
    fs::rename(new.path().join(file).with_extension("pub"), public)?;
    fs::rename(new.path().join(file), private)
}
