//! Keys from a finished exchange (RFC 4253 §7.2), and the framing that they make.

use super::ctr_hmac::{EncryptAndMac, EncryptThenMac, Parts};
use crate::crypto::{
    Cipher, CompressionAlgorithm, CryptoError, Hash, MacAlgorithm, MacMode, OpenPacket, SealPacket,
    Secret, StreamAlgorithm, StreamCipher,
};
use crate::role::Side;

/// What keys are derived from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeySource<'a> {
    /// The hash of the exchange that has just finished, not that of the first one.
    pub(crate) hash: &'static dyn Hash,
    /// K, encoded as it goes into hashes.
    pub(crate) secret: &'a [u8],
    /// H.
    pub(crate) exchange_hash: &'a [u8],
    /// The first H of the connection.
    pub(crate) session_id: &'a [u8],
}

/// What was agreed for one direction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Directional {
    pub(crate) cipher: Cipher,
    /// Only beside a cipher that does not authenticate by itself.
    pub(crate) mac: Option<&'static dyn MacAlgorithm>,
    pub(crate) compression: Option<&'static dyn CompressionAlgorithm>,
}

impl KeySource<'_> {
    /// `len` bytes of key material for the letter X (RFC 4253 §7.2).
    fn derive(&self, letter: u8, len: usize) -> Secret {
        let first =
            self.hash
                .digest(&[self.secret, self.exchange_hash, &[letter], self.session_id]);
        let mut key = Vec::with_capacity(len.next_multiple_of(self.hash.output_len().max(1)));
        key.extend_from_slice(first.expose());
        while key.len() < len {
            // K2 = HASH(K || H || K1), K3 = HASH(K || H || K1 || K2), …
            let next = self.hash.digest(&[self.secret, self.exchange_hash, &key]);
            key.extend_from_slice(next.expose());
        }
        let mut key = Secret::new(key);
        key.shorten(len);
        key
    }

    /// IV, encryption key and integrity key of what `sender` sends.
    fn keys(&self, sender: Side, suite: &Directional) -> (Secret, Secret, Secret) {
        let [iv, key, mac] = match sender {
            Side::Client => *b"ACE",
            Side::Server => *b"BDF",
        };
        (
            self.derive(iv, suite.cipher.iv_len()),
            self.derive(key, suite.cipher.key_len()),
            self.derive(mac, suite.mac.map_or(0, MacAlgorithm::key_len)),
        )
    }
}

const NO_MAC: CryptoError = CryptoError::Failed("a stream cipher was agreed without a MAC");

/// The sealing half of what `sender` sends.
pub(crate) fn sealer(
    source: &KeySource<'_>,
    sender: Side,
    suite: &Directional,
) -> Result<Box<dyn SealPacket>, CryptoError> {
    let (iv, key, mac_key) = source.keys(sender, suite);
    let algorithm = match suite.cipher {
        Cipher::Aead(aead) => return aead.sealer(key.expose(), iv.expose()),
        Cipher::Stream(algorithm) => algorithm,
    };
    let mac = suite.mac.ok_or(NO_MAC)?;
    let cipher = algorithm.encryptor(key.expose(), iv.expose())?;
    let parts = parts(cipher, algorithm, mac, &mac_key)?;
    Ok(match mac.mode() {
        MacMode::EncryptAndMac => Box::new(EncryptAndMac(parts)),
        MacMode::EncryptThenMac => Box::new(EncryptThenMac(parts)),
    })
}

/// The opening half of what `sender` sends.
pub(crate) fn opener(
    source: &KeySource<'_>,
    sender: Side,
    suite: &Directional,
) -> Result<Box<dyn OpenPacket>, CryptoError> {
    let (iv, key, mac_key) = source.keys(sender, suite);
    let algorithm = match suite.cipher {
        Cipher::Aead(aead) => return aead.opener(key.expose(), iv.expose()),
        Cipher::Stream(algorithm) => algorithm,
    };
    let mac = suite.mac.ok_or(NO_MAC)?;
    let cipher = algorithm.decryptor(key.expose(), iv.expose())?;
    let parts = parts(cipher, algorithm, mac, &mac_key)?;
    Ok(match mac.mode() {
        MacMode::EncryptAndMac => Box::new(EncryptAndMac(parts)),
        MacMode::EncryptThenMac => Box::new(EncryptThenMac(parts)),
    })
}

fn parts(
    cipher: Box<dyn StreamCipher>,
    algorithm: &dyn StreamAlgorithm,
    mac: &dyn MacAlgorithm,
    mac_key: &Secret,
) -> Result<Parts, CryptoError> {
    Ok(Parts {
        cipher,
        mac: mac.start(mac_key.expose())?,
        // RFC 4253 §6: padding aligns to 8 bytes at least.
        block_len: algorithm.block_len().max(8),
        tag_len: mac.tag_len(),
        is_cbc: algorithm.is_cbc(),
    })
}
