//! What a server has shown: its key, plainly or in a certificate; and how a certificate is told of.
//!
//! Not who is trusted: that is in `trust`.

use sansftp_keys::certificate::{Certificate, CertificateError, is_certificate};
use sansftp_keys::known_hosts::Void;
use sansftp_keys::sha256_fingerprint;
use sansftp_proto::crypto::PublicKey;
use sansftp_proto::error::printable;
use sansftp_proto::wire::Malformed;

/// Taken apart.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// The key that the server holds.
    pub(super) key: PublicKey,
    /// What an authority says of it; not checked.
    pub(super) certificate: Option<Certificate>,
}

impl Shown {
    /// # Errors
    /// [`Malformed`] for a certificate that does not hold together.
    pub(super) fn of(shown: &PublicKey) -> Result<Self, Malformed> {
        if !is_certificate(shown) {
            return Ok(Self {
                key: shown.clone(),
                certificate: None,
            });
        }
        let certificate = Certificate::parse(shown)?;
        Ok(Self {
            key: certificate.key().clone(),
            certificate: Some(certificate),
        })
    }
}

/// A certificate of a server that an authority vouches for.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HostCertificate {
    /// What the authority calls it.
    pub id: String,
    /// The number that the authority gave it.
    pub serial: u64,
    /// The authority's key: its type, and `SHA256:` and the hash.
    pub authority: String,
    /// The names of hosts that it is for.
    pub names: Vec<String>,
}

impl HostCertificate {
    pub(super) fn of(certificate: &Certificate) -> Self {
        Self {
            id: printable(certificate.key_id()),
            serial: certificate.serial(),
            authority: authority(certificate),
            names: certificate.principals().map(printable).collect(),
        }
    }
}

/// The certificate in words.
pub(super) fn describe(certificate: &Certificate) -> String {
    format!(
        "certificate '{}' (serial {}) by {}",
        printable(certificate.key_id()),
        certificate.serial(),
        authority(certificate)
    )
}

fn authority(certificate: &Certificate) -> String {
    let key = certificate.authority();
    format!(
        "{} {}",
        printable(key.kind().as_bytes()),
        sha256_fingerprint(key)
    )
}

/// What to do about a certificate that counts for nothing.
pub(super) fn remedy(certificate: &Certificate, void: Void) -> String {
    match void {
        Void::Authority => {
            "trust its authority by a line '@cert-authority HOST KEY' if that is the \
                            right one"
                .to_owned()
        }
        Void::Certificate(CertificateError::Name) => {
            let names: Vec<_> = certificate.principals().map(printable).collect();
            match names.is_empty() {
                true => "the server's administrator has to have it made for this host's name \
                         (ssh-keygen -s CA -h -n NAME)"
                    .to_owned(),
                false => format!("connect by a name that it is for: {}", names.join(", ")),
            }
        }
        Void::Certificate(CertificateError::Early) => {
            "check the clocks of this computer and of the authority's".to_owned()
        }
        Void::Certificate(CertificateError::Expired) => {
            "the server's administrator has to have it renewed; or this computer's clock is wrong"
                .to_owned()
        }
        Void::Certificate(_) => {
            "the server's administrator has to have another made (ssh-keygen -s CA -h -n NAME)"
                .to_owned()
        }
    }
}
