//! X25519 (RFC 8731, RFC 7748 §5).

use sansftp_proto::crypto::{
    ActiveKex, CryptoError, Hash, KexAlgorithm, NumberEncoding, Secret, SecureRandom,
};
use std::fmt;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// The method, by one of its two names (RFC 8731 §1).
#[derive(Debug)]
pub(crate) struct Curve25519 {
    name: &'static str,
    hash: &'static dyn Hash,
}

impl Curve25519 {
    pub(crate) const fn new(name: &'static str, hash: &'static dyn Hash) -> Self {
        Self { name, hash }
    }
}

impl KexAlgorithm for Curve25519 {
    fn name(&self) -> &'static str {
        self.name
    }

    fn hash(&self) -> &'static dyn Hash {
        self.hash
    }

    fn share_encoding(&self) -> NumberEncoding {
        NumberEncoding::String
    }

    fn secret_encoding(&self) -> NumberEncoding {
        NumberEncoding::MpInt
    }

    fn start(&self, random: &dyn SecureRandom) -> Result<Box<dyn ActiveKex>, CryptoError> {
        let secret = random_secret(random)?;
        let share = PublicKey::from(&secret);
        Ok(Box::new(Exchange { secret, share }))
    }

    fn respond(
        &self,
        client_share: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<(Vec<u8>, Secret), CryptoError> {
        let secret = random_secret(random)?;
        let shared = agree(&secret, client_share)?;
        Ok((PublicKey::from(&secret).as_bytes().to_vec(), shared))
    }
}

struct Exchange {
    secret: StaticSecret,
    share: PublicKey,
}

impl ActiveKex for Exchange {
    fn share(&self) -> &[u8] {
        self.share.as_bytes()
    }

    fn finish(self: Box<Self>, server_share: &[u8]) -> Result<Secret, CryptoError> {
        agree(&self.secret, server_share)
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("X25519(..)")
    }
}

pub(super) fn random_secret(random: &dyn SecureRandom) -> Result<StaticSecret, CryptoError> {
    let mut bytes = Zeroizing::new([0; 32]);
    random.fill(&mut *bytes)?;
    Ok(StaticSecret::from(*bytes))
}

pub(super) fn agree(secret: &StaticSecret, share: &[u8]) -> Result<Secret, CryptoError> {
    // RFC 8731 §3: a share of another length than 32 bytes ends the exchange ..
    let share: [u8; 32] = share.try_into().map_err(|_| CryptoError::BadShare)?;
    let shared = secret.diffie_hellman(&PublicKey::from(share));
    // .. and so does the all-zero result, which every point of low order gives.
    if !shared.was_contributory() {
        return Err(CryptoError::BadShare);
    }
    Ok(Secret::from(shared.as_bytes().as_slice()))
}
