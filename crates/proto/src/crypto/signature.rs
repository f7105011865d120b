//! Public keys, signatures and what signs (RFC 4253 §6.6, RFC 5656 §3, RFC 8332, RFC 8709).

use super::{CryptoError, Secret, SecureRandom};
use crate::wire::{Field, Malformed, Reader, Unsigned};
use bytes::{Bytes, BytesMut};
use std::fmt::{self, Debug};
use std::sync::Arc;

/// A public key as SSH encodes it: a string that names the type, then what the type needs.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    blob: Bytes,
    kind: String,
}

impl PublicKey {
    /// Takes an encoded key; only the name of its type is looked at.
    ///
    /// # Errors
    /// [`Malformed`] when it does not begin with a printable name.
    pub fn new(blob: impl Into<Bytes>) -> Result<Self, Malformed> {
        let blob = blob.into();
        let kind: &[u8] = Reader::new(&blob).read()?;
        if kind.is_empty() || kind.len() > 64 || !kind.iter().all(u8::is_ascii_graphic) {
            return Err(Malformed("the type of the key is not a name"));
        }
        let kind = String::from_utf8_lossy(kind).into_owned();
        Ok(Self { blob, kind })
    }

    /// The name of the key's type, for example `ssh-ed25519`; `ssh-rsa` for RSA whatever it signs with.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// The encoded key.
    pub const fn as_bytes(&self) -> &Bytes {
        &self.blob
    }
}

impl Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {} bytes)", self.kind, self.blob.len())
    }
}

/// A signature algorithm as negotiated by name, for example `rsa-sha2-256`.
pub trait SignatureAlgorithm: Debug + Send + Sync {
    /// The name in KEXINIT, in USERAUTH_REQUEST and inside the signature.
    fn name(&self) -> &'static str;
    /// The type of key that it works with: `ssh-rsa` for both of RFC 8332's names.
    fn key_kind(&self) -> &'static str;
    /// Verifies `signature`, without the name in front of it, over `data`.
    ///
    /// # Errors
    /// [`CryptoError::BadKey`] for a key that is malformed or refused, [`CryptoError::BadSignature`]
    /// for a signature that is malformed or does not verify.
    fn verify(&self, key: &PublicKey, data: &[u8], signature: &[u8]) -> Result<(), CryptoError>;
}

/// Something that signs: a key in memory, or a stand-in for one elsewhere.
pub trait SigningKey: Debug + Send + Sync {
    /// The public half.
    fn public_key(&self) -> &PublicKey;
    /// The signature algorithms that it can use, the preferred one first.
    fn algorithms(&self) -> &'static [&'static str];
    /// Signs `data`; the result is without the algorithm's name in front of it.
    ///
    /// # Errors
    /// [`CryptoError::Unsupported`] for an algorithm that is not in
    /// [`algorithms`](Self::algorithms); any other failure to sign.
    fn sign(
        &self,
        algorithm: &str,
        data: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<Vec<u8>, CryptoError>;
}

/// Turns private keys into things that sign.
pub trait KeyLoader: Debug + Send + Sync {
    /// Checks the key and makes it ready.
    ///
    /// # Errors
    /// [`CryptoError::BadKey`] when the halves do not belong together, [`CryptoError::Unsupported`]
    /// when this provider cannot sign with such a key.
    fn load(&self, key: &PrivateKey) -> Result<Arc<dyn SigningKey>, CryptoError>;
}

impl<L: KeyLoader + ?Sized> KeyLoader for &L {
    fn load(&self, key: &PrivateKey) -> Result<Arc<dyn SigningKey>, CryptoError> {
        (**self).load(key)
    }
}

/// The curves of RFC 5656 §10.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// NIST P-521.
    P521,
}

impl Curve {
    /// The identifier, for example `nistp256`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P256 => "nistp256",
            Self::P384 => "nistp384",
            Self::P521 => "nistp521",
        }
    }

    /// The type of a key on the curve, and the name of its signature algorithm.
    pub const fn key_kind(self) -> &'static str {
        match self {
            Self::P256 => "ecdsa-sha2-nistp256",
            Self::P384 => "ecdsa-sha2-nistp384",
            Self::P521 => "ecdsa-sha2-nistp521",
        }
    }

    /// Bytes of a coordinate or scalar.
    pub const fn field_len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// The curve with this identifier.
    pub fn named(name: &[u8]) -> Option<Self> {
        [Self::P256, Self::P384, Self::P521]
            .into_iter()
            .find(|it| it.name().as_bytes() == name)
    }
}

/// A private key's numbers, whatever file they came from. Numbers are big-endian.
#[derive(Debug, Clone)]
pub enum PrivateKey {
    /// RFC 8032.
    Ed25519 {
        /// The 32 bytes that all else is derived from.
        seed: Secret,
        /// The public half.
        public: [u8; 32],
    },
    /// RFC 5656.
    Ecdsa {
        /// The curve.
        curve: Curve,
        /// The private scalar, of the curve's full width.
        scalar: Secret,
        /// The public point, uncompressed (SEC 1 §2.3.3).
        public: Vec<u8>,
    },
    /// RFC 8017 §3.2; without leading zeros.
    Rsa {
        /// Modulus.
        n: Vec<u8>,
        /// Public exponent.
        e: Vec<u8>,
        /// Private exponent.
        d: Secret,
        /// First prime.
        p: Secret,
        /// Second prime.
        q: Secret,
        /// q⁻¹ mod p.
        iqmp: Secret,
    },
    /// RFC 4253 §6.6; without leading zeros. Broken: for servers that know nothing else.
    Dsa {
        /// Modulus.
        p: Vec<u8>,
        /// Order of the subgroup.
        q: Vec<u8>,
        /// Its generator.
        g: Vec<u8>,
        /// The public half, g to the x.
        y: Vec<u8>,
        /// The private half.
        x: Secret,
    },
}

impl PrivateKey {
    /// The public half, derived.
    pub fn public_key(&self) -> PublicKey {
        let mut blob = BytesMut::new();
        match self {
            Self::Ed25519 { public, .. } => {
                "ssh-ed25519".write(&mut blob);
                public.as_slice().write(&mut blob);
            }
            Self::Ecdsa { curve, public, .. } => {
                curve.key_kind().write(&mut blob);
                curve.name().write(&mut blob);
                public.as_slice().write(&mut blob);
            }
            Self::Rsa { n, e, .. } => {
                "ssh-rsa".write(&mut blob);
                Unsigned(e).write(&mut blob);
                Unsigned(n).write(&mut blob);
            }
            Self::Dsa { p, q, g, y, .. } => {
                "ssh-dss".write(&mut blob);
                for number in [p, q, g, y] {
                    Unsigned(number).write(&mut blob);
                }
            }
        }
        PublicKey::new(blob.freeze()).expect("the blob begins with a name just written")
    }
}

/// Splits a signature as SSH encodes it into the algorithm's name and the rest (RFC 4253 §6.6).
///
/// # Errors
/// [`Malformed`] when it is not exactly two strings.
pub fn split_signature(blob: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut reader = Reader::new(blob);
    let name = reader.read()?;
    let signature = reader.read()?;
    reader.finish()?;
    Ok((name, signature))
}

/// Encodes a signature with its algorithm's name (RFC 4253 §6.6).
pub fn write_signature(algorithm: &str, signature: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    algorithm.write(&mut out);
    signature.write(&mut out);
    out.freeze()
}
