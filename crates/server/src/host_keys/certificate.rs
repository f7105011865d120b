//! Certificates for a server's keys (OpenSSH PROTOCOL.certkeys): an authority's word, to clients that know
//! the authority alone, that a key is this host's.
//!
//! Clients judge them; here they are only kept from being shown where no client can take them.

use super::{HostKey, HostKeyError, HostKeys, Problem};
use sansftp_keys::certificate::{Certificate, CertificateError, CertificateKind, Demand};
use sansftp_keys::{CertifiedKey, read_public, sha256_fingerprint, write_public};
use sansftp_proto::crypto::{CryptoProvider, PublicKey, SigningKey};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Bytes that are read of a certificate's file at most; a certificate with all the names that one can
/// have is below it.
const MAX_FILE: u64 = 64 * 1024;

/// A certificate for one of the keys, and that key, which signs under it.
#[derive(Debug, Clone)]
pub struct HostCertificate {
    pub(super) signing: Arc<dyn SigningKey>,
    certificate: Certificate,
    path: PathBuf,
}

impl HostKeys {
    /// The same keys with certificates, from files as `ssh-keygen -s CA -h` writes them. They are offered
    /// before the plain keys, which stay for clients that know those. Blocks.
    ///
    /// # Errors
    /// [`HostKeyError`] for a file that cannot be read or holds no certificate for a host, for a
    /// certificate of a key that is not among these or has another already, and for one that no client
    /// takes: its authority's signature is wrong or of an algorithm that vouches for nothing, or it has
    /// critical options, of which none is defined for hosts.
    pub fn certify<P: AsRef<Path>>(
        mut self,
        files: impl IntoIterator<Item = P>,
        provider: &CryptoProvider,
    ) -> Result<Self, HostKeyError> {
        for path in files {
            let path = path.as_ref();
            let certificate = read(path, provider)?;
            let problem = |problem| HostKeyError::new(path, problem);
            let known = |it: &HostCertificate| it.certificate.key() == certificate.key();
            if self.certificates.iter().any(known) {
                return Err(problem(Problem::CertifiedTwice));
            }
            let key = self
                .keys
                .iter()
                .find(|it| it.public_key() == certificate.key())
                .ok_or_else(|| problem(Problem::OtherKey))?;
            self.certificates
                .push(HostCertificate::new(key, certificate, path)?);
        }
        Ok(self)
    }

    /// The certificates, in the order of their files.
    pub fn certificates(&self) -> impl Iterator<Item = &HostCertificate> {
        self.certificates.iter()
    }
}

impl HostCertificate {
    fn new(key: &HostKey, certificate: Certificate, path: &Path) -> Result<Self, HostKeyError> {
        let signing = Arc::clone(&key.signing);
        let signing = CertifiedKey::new(signing, certificate.encoded().clone())
            .map_err(|cause| HostKeyError::new(path, Problem::Certificate(cause.0)))?;
        Ok(Self {
            signing: Arc::new(signing),
            certificate,
            path: path.to_owned(),
        })
    }

    /// What keeps clients from taking it at this time: that it is not valid yet, or not any more, or
    /// names no host.
    ///
    /// # Errors
    /// [`CertificateError`], of those the first.
    pub fn check(
        &self,
        now: SystemTime,
        provider: &CryptoProvider,
    ) -> Result<(), CertificateError> {
        check(&self.certificate, now, provider)
    }

    /// What the authority calls it, in any bytes.
    pub fn key_id(&self) -> &[u8] {
        self.certificate.key_id()
    }

    /// The hosts that it is for: names and patterns, in any bytes.
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.certificate.principals()
    }

    /// When it ends; `None` when it does not, or beyond what a clock shows.
    pub fn expires(&self) -> Option<SystemTime> {
        match self.certificate.valid().end {
            u64::MAX => None,
            end => UNIX_EPOCH.checked_add(Duration::from_secs(end)),
        }
    }

    /// The key that vouches for it.
    pub const fn authority(&self) -> &PublicKey {
        self.certificate.authority()
    }

    /// `SHA256:` and the hash of the authority's key.
    pub fn authority_fingerprint(&self) -> String {
        sha256_fingerprint(self.authority())
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The line of `known_hosts` that makes clients trust the authority for the hosts that the
    /// certificate is for, without a line end. `None` when it is for none, or for one whose name such
    /// a line cannot have.
    pub fn known_hosts(&self) -> Option<String> {
        let mut names = Vec::new();
        for name in self.names() {
            let fits = |it: &u8| it.is_ascii_graphic() && !b",|!#\"".contains(it);
            let name = std::str::from_utf8(name).ok()?;
            if name.is_empty() || !name.as_bytes().iter().all(fits) {
                return None;
            }
            names.push(name);
        }
        let authority = write_public(self.authority(), "");
        (!names.is_empty()).then(|| format!("@cert-authority {} {authority}", names.join(",")))
    }
}

fn read(path: &Path, provider: &CryptoProvider) -> Result<Certificate, HostKeyError> {
    let io = |error| HostKeyError::io(path, Problem::ReadCertificate, error);
    let mut text = Vec::new();
    let file = File::open(path).map_err(io)?;
    file.take(MAX_FILE).read_to_end(&mut text).map_err(io)?;
    let malformed = |cause: sansftp_proto::wire::Malformed| {
        HostKeyError::new(path, Problem::Certificate(cause.0))
    };
    let line = read_public(&text).map_err(malformed)?;
    let certificate = Certificate::parse(&line.key).map_err(malformed)?;
    let refused = |cause| HostKeyError::new(path, Problem::Useless(cause));
    // Not for what time or the choice of names can cure.
    if let Err(
        cause
        @ (CertificateError::Algorithm | CertificateError::Signature | CertificateError::Kind),
    ) = check(&certificate, SystemTime::now(), provider)
    {
        return Err(refused(cause));
    }
    if !certificate.critical_options().is_empty() {
        return Err(refused(CertificateError::Option));
    }
    Ok(certificate)
}

/// As a client that it names would judge it.
fn check(
    certificate: &Certificate,
    now: SystemTime,
    provider: &CryptoProvider,
) -> Result<(), CertificateError> {
    let names: Vec<_> = certificate.principals().take(1).collect();
    certificate.check(&Demand {
        kind: CertificateKind::Host,
        names: &names,
        now,
        from: None,
        algorithms: &provider.signatures,
    })
}
