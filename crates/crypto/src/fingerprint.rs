//! The fingerprint that people compare: SHA-256 of the encoded key, in base64.

use base64ct::{Base64Unpadded, Encoding};
use sansftp_proto::crypto::PublicKey;
use sha2::{Digest, Sha256};

/// `SHA256:` and 43 characters of base64 without padding, as `ssh-keygen -l` prints it.
pub fn sha256_fingerprint(key: &PublicKey) -> String {
    let hash = Sha256::digest(key.as_bytes());
    format!("SHA256:{}", Base64Unpadded::encode_string(&hash))
}
