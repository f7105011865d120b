//! What was broken and what some servers know alone (RFC 4253 §6.6): signatures over SHA-1, DSA, short RSA
//! moduli. In both providers, behind the feature `legacy`; no profile but those named after them offers
//! any of it.

mod dsa;
mod short_rsa;

use crate::encoding::{RSA_SHA2_256, RSA_SHA2_512, RsaPublic, SSH_RSA};
use crate::pkcs1::{self, Digest};
use sansftp_proto::crypto::{CryptoError, CryptoProvider, PublicKey, SignatureAlgorithm};
use std::borrow::Cow;
use std::sync::Arc;

pub(crate) use dsa::{DSA, SSH_DSS, Signer as DsaSigner};

pub(crate) static RSA_SHA1: ShortRsa = ShortRsa {
    name: SSH_RSA,
    digest: Digest::Sha1,
};
static SHORT_RSA_SHA256: ShortRsa = ShortRsa {
    name: RSA_SHA2_256,
    digest: Digest::Sha256,
};
static SHORT_RSA_SHA512: ShortRsa = ShortRsa {
    name: RSA_SHA2_512,
    digest: Digest::Sha512,
};

/// The same provider, which takes RSA keys from 1024 bits for `rsa-sha2-*` too, and signs with them: for
/// connections under a legacy profile, whose servers may have no longer one. `ssh-rsa` takes them in any
/// case.
pub fn with_short_rsa(provider: CryptoProvider) -> CryptoProvider {
    let signatures = provider.signatures.iter().map(|&it| match it.name() {
        RSA_SHA2_256 => &SHORT_RSA_SHA256,
        RSA_SHA2_512 => &SHORT_RSA_SHA512,
        _ => it,
    });
    CryptoProvider {
        signatures: Cow::Owned(signatures.collect()),
        keys: Arc::new(short_rsa::Loader(provider.keys)),
        ..provider
    }
}

/// RSA with keys from 1024 bits.
#[derive(Debug)]
pub(crate) struct ShortRsa {
    name: &'static str,
    digest: Digest,
}

impl SignatureAlgorithm for ShortRsa {
    fn name(&self) -> &'static str {
        self.name
    }

    fn key_kind(&self) -> &'static str {
        SSH_RSA
    }

    fn verify(&self, key: &PublicKey, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let key = RsaPublic::parse_short(key)?;
        let signature = key.signature(signature)?;
        pkcs1::verify(&key, self.digest, data, &signature)
    }
}
