//! The front of a certificate: the key that it is about (OpenSSH PROTOCOL.certkeys).
//!
//! What else a certificate says, who signed it and whether it holds is not looked at: that needs a clock
//! and somebody to trust. The core needs the key alone, which one end proves to hold.

use super::PublicKey;
use crate::wire::{Field, Malformed, Reader};
use bytes::BytesMut;

/// What the type of a certificate has behind the type of its key, and its algorithm behind the name of
/// the signature's.
pub const CERTIFICATE: &str = "-cert-v01@openssh.com";

/// The name that a signature algorithm has where the key is shown in a certificate: in KEXINIT and in
/// USERAUTH_REQUEST. None for algorithms whose certificates are not known here, those over SHA-1 among
/// them.
pub fn certificate_algorithm(signature: &str) -> Option<&'static str> {
    Some(match signature {
        "ssh-ed25519" => "ssh-ed25519-cert-v01@openssh.com",
        "ecdsa-sha2-nistp256" => "ecdsa-sha2-nistp256-cert-v01@openssh.com",
        "ecdsa-sha2-nistp384" => "ecdsa-sha2-nistp384-cert-v01@openssh.com",
        "ecdsa-sha2-nistp521" => "ecdsa-sha2-nistp521-cert-v01@openssh.com",
        "rsa-sha2-512" => "rsa-sha2-512-cert-v01@openssh.com",
        "rsa-sha2-256" => "rsa-sha2-256-cert-v01@openssh.com",
        _ => return None,
    })
}

/// The key that a certificate is about, and what stands around it.
#[derive(Debug, Clone)]
pub struct Certified<'a> {
    /// What the authority drew, so that nobody can choose what it signs.
    pub nonce: &'a [u8],
    /// The key, in the form that it has without a certificate.
    pub key: PublicKey,
    /// Stands behind the key, at the serial number.
    pub rest: Reader<'a>,
}

/// Takes the front of a certificate apart.
///
/// # Errors
/// [`Malformed`] for what is no certificate, or of a key whose type is not known here: Ed25519, ECDSA
/// and RSA are.
pub fn split_certificate(certificate: &PublicKey) -> Result<Certified<'_>, Malformed> {
    let mut reader = Reader::new(certificate.as_bytes());
    let _kind: &[u8] = reader.read()?;
    let Some(kind) = certificate.kind().strip_suffix(CERTIFICATE) else {
        return Err(Malformed("not a certificate"));
    };
    // How many fields the key has, each of which is a string or as long as one says.
    let fields = match kind {
        "ssh-ed25519" => 1,
        "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521" | "ssh-rsa" => 2,
        _ => return Err(Malformed("a certificate of an unknown type of key")),
    };
    let nonce = reader.read()?;
    let mut key = BytesMut::new();
    kind.write(&mut key);
    for _ in 0..fields {
        let field: &[u8] = reader.read()?;
        field.write(&mut key);
    }
    Ok(Certified {
        nonce,
        key: PublicKey::new(key)?,
        rest: reader,
    })
}
