//! Certificates of hosts (OpenSSH PROTOCOL.certkeys; sshd(8), `@cert-authority`): whether an authority that
//! is trusted for a host vouches for the key that the host has.
//!
//! That the host holds the key was proved by the handshake. What is to become of a certificate that does
//! not count is not decided here.

use super::{Host, KnownHosts, Pins, Unreadable};
use crate::certificate::{Certificate, CertificateError, CertificateKind, Demand};
use sansftp_proto::crypto::{PublicKey, SignatureAlgorithm};
use std::fmt;
use std::time::SystemTime;

/// What certificates are judged by, beside who is trusted.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::exhaustive_structs,
    reason = "whoever asks must be told of a new question"
)]
pub struct Terms<'a> {
    /// What time it is.
    pub now: SystemTime,
    /// The algorithms that authorities may have signed with; those over SHA-1 never count.
    pub algorithms: &'a [&'static dyn SignatureAlgorithm],
}

/// What is to be thought of a certificate that a host has shown. Only [`Yes`](Self::Yes) is a yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vouched {
    /// An authority for this host signed it, and it holds.
    Yes {
        /// The first line, or entry, that names the authority; from 1.
        line: usize,
    },
    /// A line revokes a part of it for this host: whatever else is listed, nobody is to be talked to.
    Revoked {
        /// That line, or entry; from 1.
        line: usize,
        /// Which part.
        part: Part,
    },
    /// A line that cannot be read could concern this host: it may revoke what another line allows.
    Unreadable(Unreadable),
    /// It counts for nothing. What is left is the key inside, as if it had been shown alone.
    No(Void),
}

/// What can be revoked of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a certificate has no other part")]
pub enum Part {
    /// The certificate itself.
    Certificate,
    /// The key that it is about.
    Key,
    /// The key that signed it.
    Authority,
}

/// Why a certificate counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "either nobody is asked, or the certificate is not good"
)]
pub enum Void {
    /// Nobody trusts its authority for this host.
    Authority,
    /// Its authority is trusted, and it does not hold.
    Certificate(CertificateError),
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::Key => "key",
            Self::Authority => "certificate's authority",
        })
    }
}

impl fmt::Display for Void {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority => f.write_str("its authority is not trusted for this host"),
            Self::Certificate(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Void {}

impl KnownHosts {
    /// Judges a certificate that `host` has shown: revoked in any part, then unreadable, then whether one
    /// of the host's authorities signed it and it holds.
    pub fn check_certificate(
        &self,
        host: &Host,
        certificate: &Certificate,
        terms: &Terms<'_>,
    ) -> Vouched {
        if let Some((line, part)) = self.revoked_part(host, certificate) {
            return Vouched::Revoked { line, part };
        }
        if let Some(unreadable) = self.concerns(host) {
            return Vouched::Unreadable(unreadable.clone());
        }
        judge(
            self.authority(host, certificate.authority()),
            host,
            certificate,
            terms,
        )
    }

    /// The first line that revokes a certificate in any part, and which; to be asked as well when [`Pins`]
    /// decide about everything else.
    pub fn revoked_part(&self, host: &Host, certificate: &Certificate) -> Option<(usize, Part)> {
        revoked(certificate, |key| self.revoked(host, key))
    }
}

impl Pins {
    /// Judges a certificate as [`KnownHosts::check_certificate`] does; an authority may be pinned by its
    /// fingerprint.
    pub fn check_certificate(
        &self,
        host: &Host,
        certificate: &Certificate,
        terms: &Terms<'_>,
    ) -> Vouched {
        if let Some((line, part)) = revoked(certificate, |key| self.revoked(host, key)) {
            return Vouched::Revoked { line, part };
        }
        judge(
            self.authority(host, certificate.authority()),
            host,
            certificate,
            terms,
        )
    }
}

fn revoked(
    certificate: &Certificate,
    revoked: impl Fn(&PublicKey) -> Option<usize>,
) -> Option<(usize, Part)> {
    let parts = [
        (certificate.encoded(), Part::Certificate),
        (certificate.key(), Part::Key),
        (certificate.authority(), Part::Authority),
    ];
    parts
        .into_iter()
        .find_map(|(key, part)| Some((revoked(key)?, part)))
}

fn judge(
    authority: Option<usize>,
    host: &Host,
    certificate: &Certificate,
    terms: &Terms<'_>,
) -> Vouched {
    let Some(line) = authority else {
        return Vouched::No(Void::Authority);
    };
    let demand = Demand {
        kind: CertificateKind::Host,
        names: &[host.name().as_bytes()],
        now: terms.now,
        from: None,
        algorithms: terms.algorithms,
    };
    match certificate.check(&demand) {
        Ok(()) => Vouched::Yes { line },
        Err(error) => Vouched::No(Void::Certificate(error)),
    }
}
