//! Certificates of OpenSSH's own format (PROTOCOL.certkeys; draft-miller-ssh-cert): what an authority
//! says of a key, and whether it holds.
//!
//! A pure function of bytes, a time and whom to trust. That somebody holds the key is proved elsewhere;
//! X.509 is another world. Keys on hardware tokens (`sk-…`) and DSA are not known here.

use crate::authorized_keys::{AddressList, Feature};
use crate::pattern;
use sansftp_proto::crypto::{
    CERTIFICATE, PublicKey, SignatureAlgorithm, split_certificate, split_signature,
};
use sansftp_proto::wire::{Malformed, Reader};
use std::fmt;
use std::net::IpAddr;
use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

/// Names that a certificate can be good for; as OpenSSH.
const PRINCIPALS: usize = 256;
/// Critical options and extensions that are read of one certificate; five of each are defined.
const OPTIONS: usize = 64;

/// A certificate, taken apart. Nothing that it says is true before [`check`](Self::check) said so.
#[derive(Debug, Clone)]
pub struct Certificate {
    blob: PublicKey,
    /// What the authority signed.
    signed: usize,
    key: PublicKey,
    serial: u64,
    kind: CertificateKind,
    key_id: Vec<u8>,
    principals: Vec<Vec<u8>>,
    valid: Range<u64>,
    critical: Vec<CriticalOption>,
    extensions: Vec<Vec<u8>>,
    authority: PublicKey,
    algorithm: Vec<u8>,
    signature: Vec<u8>,
}

/// Whom a certificate speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateKind {
    /// Somebody who logs in.
    User,
    /// A server.
    Host,
}

/// What must be obeyed, or the certificate is good for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CriticalOption {
    /// `force-command`: what is run whatever was asked for.
    ForceCommand(Vec<u8>),
    /// `source-address`: whence the certificate is good.
    SourceAddress(AddressList),
    /// One that is not known here, by its name; `verify-required`, for one, which asks for a token.
    Unknown(Vec<u8>),
}

/// What is asked of a certificate.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::exhaustive_structs,
    reason = "whoever asks must be told of a new question"
)]
pub struct Demand<'a> {
    /// Whom it must speak of.
    pub kind: CertificateKind,
    /// The names that it must have one of: one that it lists, or, of a host, one that a pattern with `*`
    /// and `?` matches.
    pub names: &'a [&'a [u8]],
    /// What time it is.
    pub now: SystemTime,
    /// Whence the client comes; without an address no list of addresses lets it in.
    pub from: Option<IpAddr>,
    /// The algorithms that authorities may have signed with.
    pub algorithms: &'a [&'static dyn SignatureAlgorithm],
}

/// Signatures that vouch for nothing, whatever is allowed elsewhere for servers that know no other: those
/// of an authority are made once and can be worked at for years.
const BROKEN: [&str; 2] = ["ssh-rsa", "ssh-dss"];

impl Certificate {
    /// Whom it says that it speaks of.
    pub const fn kind(&self) -> CertificateKind {
        self.kind
    }

    /// Takes a certificate apart. Its signature is not looked at.
    ///
    /// # Errors
    /// [`Malformed`] for whatever is no whole certificate; for an authority that is itself a
    /// certificate; for an option given twice.
    pub fn parse(certificate: &PublicKey) -> Result<Self, Malformed> {
        let front = split_certificate(certificate)?;
        let mut reader = front.rest;
        let serial = reader.read()?;
        let kind = match reader.read()? {
            1u32 => CertificateKind::User,
            2 => CertificateKind::Host,
            _ => return Err(Malformed("a certificate for neither users nor hosts")),
        };
        let key_id: &[u8] = reader.read()?;
        let principals = principals(reader.read()?)?;
        let valid = reader.read()?..reader.read()?;
        let critical = pairs(reader.read()?)?
            .into_iter()
            .map(|(name, data)| critical(name, data))
            .collect::<Result<_, _>>()?;
        let extensions = pairs(reader.read()?)?;
        let _reserved: &[u8] = reader.read()?;
        let authority: &[u8] = reader.read()?;
        let authority = PublicKey::new(authority.to_vec())?;
        // The draft forbids chains.
        if authority.kind().ends_with(CERTIFICATE) {
            return Err(Malformed("a certificate signed with a certificate"));
        }
        let signed = certificate.as_bytes().len() - reader.remaining().len();
        let signature: &[u8] = reader.read()?;
        reader.finish()?;
        let (algorithm, signature) = split_signature(signature)?;
        Ok(Self {
            blob: certificate.clone(),
            signed,
            key: front.key,
            serial,
            kind,
            key_id: key_id.to_vec(),
            principals,
            valid,
            critical,
            extensions: extensions
                .into_iter()
                .map(|(name, _)| name.to_vec())
                .collect(),
            authority,
            algorithm: algorithm.to_vec(),
            signature: signature.to_vec(),
        })
    }

    /// Whether the certificate holds and meets the demand. Whether its
    /// [`authority`](Self::authority) is to be trusted, and whether anything was revoked, the caller
    /// has to know; `force-command` is the caller's to obey.
    ///
    /// # Errors
    /// [`CertificateError`], the first thing that is wrong.
    pub fn check(&self, demand: &Demand<'_>) -> Result<(), CertificateError> {
        self.check_signature(demand.algorithms)?;
        if self.kind != demand.kind {
            return Err(CertificateError::Kind);
        }
        self.check_time(demand.now)?;
        // One without any name would be good for every name. Names of hosts are patterns without
        // case, as OpenSSH takes them; those of users never.
        let listed = |name: &&[u8]| {
            self.principals.iter().any(|it| match self.kind {
                CertificateKind::User => it == name,
                CertificateKind::Host => pattern::matches(it, name),
            })
        };
        if !demand.names.iter().any(listed) {
            return Err(CertificateError::Name);
        }
        for option in &self.critical {
            match option {
                CriticalOption::ForceCommand(_) if self.kind == CertificateKind::User => {}
                CriticalOption::SourceAddress(list) if self.kind == CertificateKind::User => {
                    if !demand.from.is_some_and(|it| list.include(it)) {
                        return Err(CertificateError::Address);
                    }
                }
                _ => return Err(CertificateError::Option),
            }
        }
        Ok(())
    }

    fn check_signature(
        &self,
        algorithms: &[&'static dyn SignatureAlgorithm],
    ) -> Result<(), CertificateError> {
        let algorithm = algorithms
            .iter()
            .find(|it| it.name().as_bytes() == self.algorithm)
            .filter(|it| it.key_kind() == self.authority.kind())
            .filter(|it| !BROKEN.contains(&it.name()))
            .ok_or(CertificateError::Algorithm)?;
        let signed = self
            .blob
            .as_bytes()
            .get(..self.signed)
            .ok_or(CertificateError::Signature)?;
        algorithm
            .verify(&self.authority, signed, &self.signature)
            .map_err(|_| CertificateError::Signature)
    }

    /// From the first moment on, and up to the last but not in it.
    fn check_time(&self, now: SystemTime) -> Result<(), CertificateError> {
        // A clock before 1970 is wrong, and says nothing.
        let now = now.duration_since(UNIX_EPOCH).map(|it| it.as_secs());
        match now {
            Ok(now) if now >= self.valid.end => Err(CertificateError::Expired),
            Ok(now) if now >= self.valid.start => Ok(()),
            _ => Err(CertificateError::Early),
        }
    }

    /// The certificate as it was given.
    pub const fn encoded(&self) -> &PublicKey {
        &self.blob
    }

    /// The key that it is about.
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The key that signed it.
    pub const fn authority(&self) -> &PublicKey {
        &self.authority
    }

    /// The number that the authority gave it.
    pub const fn serial(&self) -> u64 {
        self.serial
    }

    /// What the authority calls it, in any bytes.
    pub fn key_id(&self) -> &[u8] {
        &self.key_id
    }

    /// The names that it is good for, in any bytes but none empty.
    pub fn principals(&self) -> impl Iterator<Item = &[u8]> {
        self.principals.iter().map(Vec::as_slice)
    }

    /// When it is good, in seconds since 1970: from the first on, and up to the last but not in it.
    pub const fn valid(&self) -> &Range<u64> {
        &self.valid
    }

    /// What must be obeyed.
    pub fn critical_options(&self) -> &[CriticalOption] {
        &self.critical
    }

    /// The command that is to be run in place of whatever is asked for.
    pub fn command(&self) -> Option<&[u8]> {
        self.critical.iter().find_map(|it| match it {
            CriticalOption::ForceCommand(command) => Some(command.as_slice()),
            _ => None,
        })
    }

    /// Whether it gives a feature. Extensions that are not known are without effect.
    pub fn allows(&self, feature: Feature) -> bool {
        let name: &[u8] = match feature {
            Feature::AgentForwarding => b"permit-agent-forwarding",
            Feature::PortForwarding => b"permit-port-forwarding",
            Feature::Pty => b"permit-pty",
            Feature::UserRc => b"permit-user-rc",
            Feature::X11Forwarding => b"permit-X11-forwarding",
        };
        self.extensions.iter().any(|it| it == name)
    }
}

/// Whether a key is a certificate by its type.
pub fn is_certificate(key: &PublicKey) -> bool {
    key.kind().ends_with(CERTIFICATE)
}

/// Each name is a string of its own: a comma in one is a byte like any other.
fn principals(list: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut reader = Reader::new(list);
    let mut names = Vec::new();
    while !reader.remaining().is_empty() {
        let name: &[u8] = reader.read()?;
        if name.is_empty() {
            return Err(Malformed("a certificate for an empty name"));
        }
        if names.len() == PRINCIPALS {
            return Err(Malformed("a certificate for too many names"));
        }
        names.push(name.to_vec());
    }
    Ok(names)
}

/// A name and what it comes with.
type Pair<'a> = (&'a [u8], &'a [u8]);

/// Names and what they come with, no name twice.
fn pairs(list: &[u8]) -> Result<Vec<Pair<'_>>, Malformed> {
    let mut reader = Reader::new(list);
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    while !reader.remaining().is_empty() {
        let pair = (reader.read()?, reader.read()?);
        if pairs.iter().any(|(name, _)| *name == pair.0) {
            return Err(Malformed("an option of a certificate given twice"));
        }
        if pairs.len() == OPTIONS {
            return Err(Malformed("too many options in a certificate"));
        }
        pairs.push(pair);
    }
    Ok(pairs)
}

fn critical(name: &[u8], data: &[u8]) -> Result<CriticalOption, Malformed> {
    // What comes with an option is a string inside the string.
    let value = || -> Result<Vec<u8>, Malformed> {
        let mut reader = Reader::new(data);
        let value: &[u8] = reader.read()?;
        reader.finish()?;
        Ok(value.to_vec())
    };
    match name {
        b"force-command" => value().map(CriticalOption::ForceCommand),
        b"source-address" => AddressList::blocks(value()?).map(CriticalOption::SourceAddress),
        _ => Ok(CriticalOption::Unknown(name.to_vec())),
    }
}

/// Why a certificate is not good for what is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateError {
    /// The authority signed with an algorithm that is not allowed, or not its key's.
    Algorithm,
    /// The authority did not sign this.
    Signature,
    /// It is for hosts where one for users is needed, or the reverse.
    Kind,
    /// It is not good yet.
    Early,
    /// It is not good any more.
    Expired,
    /// It is not for this name; perhaps for none.
    Name,
    /// It is not good from this address.
    Address,
    /// It has a critical option that cannot be obeyed here.
    Option,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Algorithm => "its authority signed it with an algorithm that is not taken here",
            Self::Signature => "its authority's signature does not verify",
            Self::Kind => "it is for hosts, or for users, where the other is needed",
            Self::Early => "it is not valid yet",
            Self::Expired => "it has expired",
            Self::Name => "it is for other names, or for none",
            Self::Address => "it is not valid from this address",
            Self::Option => "it has a critical option that is not known here",
        })
    }
}

impl std::error::Error for CertificateError {}
