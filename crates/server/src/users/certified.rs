//! What a certificate gets its holder (OpenSSH PROTOCOL.certkeys): by an authority of all users, or by
//! one that a line of authorized keys names (sshd(8), `cert-authority`).
//!
//! That the client holds the key inside the core has seen to. A plain key never comes this way, and a
//! certificate never any other.

use super::file::User;
use super::keys::{Circumstances, FEATURES, Grant, Withheld, commanded};
use sansftp_crypto::default_provider;
use sansftp_keys::authorized_keys::{AuthorizedKeys, Feature};
use sansftp_keys::certificate::{Certificate, CertificateKind, Demand};
use sansftp_keys::sha256_fingerprint;
use sansftp_proto::crypto::PublicKey;
use sansftp_proto::error::printable;

/// A certificate that is looked up, for whom and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Holder<'a> {
    pub(super) name: &'a str,
    pub(super) user: &'a User,
    pub(super) certificate: &'a Certificate,
    pub(super) circumstances: Circumstances,
}

impl Holder<'_> {
    /// By an authority of all users: the certificate has to be for the user's own name.
    pub(super) fn by_authorities(&self, file: &AuthorizedKeys) -> Result<Option<Grant>, Withheld> {
        let trusted = file
            .entries()
            .iter()
            .any(|it| it.options.is_empty() && it.key == *self.certificate.authority());
        if !trusted {
            return Ok(None);
        }
        self.check(&[self.name.as_bytes()])?;
        self.grant(None, Vec::new()).map(Some)
    }

    /// By a line of authorized keys: the certificate has to be for one of the names that the line
    /// lists, or else for the user's own; what the line restricts is restricted besides.
    pub(super) fn by_line(&self, file: &AuthorizedKeys) -> Result<Option<Grant>, Withheld> {
        let Circumstances { peer, now } = self.circumstances;
        let line = file.entries().iter().find(|it| {
            it.key == *self.certificate.authority() && it.permits_certificates(peer, now)
        });
        let Some(line) = line else {
            return Ok(None);
        };
        let mut lists = line.principals();
        match lists.next() {
            None => self.check(&[self.name.as_bytes()])?,
            Some(first) => {
                self.check(&first.collect::<Vec<_>>())?;
                for more in lists {
                    self.check(&more.collect::<Vec<_>>())?;
                }
            }
        }
        let forbidden = FEATURES.into_iter().filter(|it| !line.allows(*it));
        self.grant(line.command(), forbidden.collect()).map(Some)
    }

    fn check(&self, names: &[&[u8]]) -> Result<(), Withheld> {
        let demand = Demand {
            kind: CertificateKind::User,
            names,
            now: self.circumstances.now,
            from: self.circumstances.peer,
            // None of them is of SHA-1.
            algorithms: &default_provider().signatures,
        };
        self.certificate
            .check(&demand)
            .map_err(|error| Withheld(format!("{}: {error}", self.label())))
    }

    /// What is left by the certificate and by the line, whose command must not be another.
    fn grant(
        &self,
        command: Option<&[u8]>,
        mut forbidden: Vec<Feature>,
    ) -> Result<Grant, Withheld> {
        let own = self.certificate.command();
        if let (Some(own), Some(command)) = (own, command)
            && own != command
        {
            return Err(Withheld(format!(
                "{}: it forces another command than the line of its authority",
                self.label()
            )));
        }
        let access = commanded(own)?.least(commanded(command)?);
        forbidden.extend(
            FEATURES
                .into_iter()
                .filter(|it| !self.certificate.allows(*it)),
        );
        Ok(Grant {
            access,
            forbidden,
            label: self.label(),
            key: Some(self.certificate.key().clone()),
        })
    }

    /// As sshd logs it.
    fn label(&self) -> String {
        format!(
            "certificate {} (serial {}) by {}",
            printable(self.certificate.key_id()),
            self.certificate.serial(),
            sha256_fingerprint(self.certificate.authority())
        )
    }
}

/// Whether a file of revoked keys lists any of these.
pub(super) fn revokes<'k>(
    file: &AuthorizedKeys,
    keys: impl IntoIterator<Item = &'k PublicKey>,
) -> bool {
    keys.into_iter()
        .any(|key| file.entries().iter().any(|it| it.key == *key))
}
