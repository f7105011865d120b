//! A key that shows a certificate when it signs (OpenSSH PROTOCOL.certkeys).
//!
//! Whether the certificate holds is the server's to judge.

use sansftp_proto::crypto::{
    CERTIFICATE, CryptoError, PublicKey, SecureRandom, SigningKey, split_certificate,
};
use sansftp_proto::wire::Malformed;
use std::sync::Arc;

/// A key and a certificate for it.
#[derive(Debug)]
pub struct CertifiedKey {
    key: Arc<dyn SigningKey>,
    certificate: PublicKey,
    algorithms: &'static [&'static str],
}

impl CertifiedKey {
    /// The key with a certificate.
    ///
    /// # Errors
    /// [`Malformed`] when it is none, or one for another key.
    pub fn new(key: Arc<dyn SigningKey>, certificate: PublicKey) -> Result<Self, Malformed> {
        let certified = split_certificate(&certificate)?.key;
        if certified != *key.public_key() {
            return Err(Malformed("the certificate is for another key"));
        }
        let algorithms: &[&str] = match certified.kind() {
            "ssh-rsa" => &[
                "rsa-sha2-512-cert-v01@openssh.com",
                "rsa-sha2-256-cert-v01@openssh.com",
            ],
            "ssh-ed25519" => &["ssh-ed25519-cert-v01@openssh.com"],
            "ecdsa-sha2-nistp256" => &["ecdsa-sha2-nistp256-cert-v01@openssh.com"],
            "ecdsa-sha2-nistp384" => &["ecdsa-sha2-nistp384-cert-v01@openssh.com"],
            "ecdsa-sha2-nistp521" => &["ecdsa-sha2-nistp521-cert-v01@openssh.com"],
            _ => return Err(Malformed("a certificate of an unknown type of key")),
        };
        Ok(Self {
            key,
            certificate,
            algorithms,
        })
    }
}

impl SigningKey for CertifiedKey {
    fn public_key(&self) -> &PublicKey {
        &self.certificate
    }

    fn algorithms(&self) -> &'static [&'static str] {
        self.algorithms
    }

    fn sign(
        &self,
        algorithm: &str,
        data: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<Vec<u8>, CryptoError> {
        let algorithm = algorithm
            .strip_suffix(CERTIFICATE)
            .ok_or(CryptoError::Unsupported(
                "a signature without the certificate",
            ))?;
        self.key.sign(algorithm, data, random)
    }
}
