//! Choosing algorithms (RFC 4253 §7.1): what we offer, and what two offers agree on.

use super::messages::KexInit;
use crate::config::{Config, Offered};
use crate::crypto::{
    CERTIFICATE, Cipher, CompressionAlgorithm, CryptoProvider, Kex, MacAlgorithm, PublicKey,
    SignatureAlgorithm, certificate_algorithm, split_certificate,
};
use crate::error::{Error, PeerMisbehaved};
use crate::packet::Directional;
use crate::role::{Role, Side};
use crate::wire::NameList;

/// Says that EXT_INFO is understood (RFC 8308 §2.1).
const EXT_INFO_CLIENT: &str = "ext-info-c";
const EXT_INFO_SERVER: &str = "ext-info-s";
/// Ask for strict key exchange (draft-ietf-sshm-strict-kex; OpenSSH's PROTOCOL numbers its section
/// differently from release to release).
const STRICT_CLIENT: [&str; 2] = ["kex-strict-c", "kex-strict-c-v00@openssh.com"];
const STRICT_SERVER: [&str; 2] = ["kex-strict-s", "kex-strict-s-v00@openssh.com"];

/// No compression (RFC 4253 §6.2).
const NONE: &str = "none";

/// What this end can do and may do: the configured lists, cut to what the provider has.
#[derive(Debug)]
pub(super) struct Offer {
    kex: Vec<Kex>,
    host_key: Vec<HostKeyAlgorithm>,
    cipher: Vec<Cipher>,
    mac: Vec<&'static dyn MacAlgorithm>,
    compression: Option<&'static dyn CompressionAlgorithm>,
}

/// How a server proves itself: by a signature, and by showing its key plainly or in a certificate.
#[derive(Debug, Clone, Copy)]
pub(super) struct HostKeyAlgorithm {
    name: &'static str,
    form: Form,
    pub(super) signature: &'static dyn SignatureAlgorithm,
}

/// What a server shows.
#[derive(Debug, Clone, Copy)]
enum Form {
    Key,
    /// A certificate for the key (OpenSSH PROTOCOL.certkeys).
    Certificate,
}

/// What both ends will use.
#[derive(Debug, Clone, Copy)]
pub struct Agreement {
    pub(super) kex: Kex,
    pub(super) host_key: HostKeyAlgorithm,
    pub(super) to_server: Directional,
    pub(super) to_client: Directional,
}

/// The names of what was agreed, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Negotiated {
    /// All that the peer offered.
    pub offered: Offered,
    /// Key exchange method.
    pub kex: &'static str,
    /// Host-key signature algorithm.
    pub host_key: &'static str,
    /// Cipher from client to server.
    pub cipher_to_server: &'static str,
    /// Cipher from server to client.
    pub cipher_to_client: &'static str,
    /// MAC from client to server; none beside a cipher that authenticates.
    pub mac_to_server: Option<&'static str>,
    /// MAC from server to client.
    pub mac_to_client: Option<&'static str>,
    /// Compression from client to server, in force behind authentication.
    pub compression_to_server: Option<&'static str>,
    /// Compression from server to client.
    pub compression_to_client: Option<&'static str>,
    /// Whether key exchange is strict (draft-ietf-sshm-strict-kex).
    pub strict_kex: bool,
}

impl HostKeyAlgorithm {
    fn named(name: &str, provider: &CryptoProvider) -> Option<Self> {
        let Some(plain) = name.strip_suffix(CERTIFICATE) else {
            let signature = provider.signature(name)?;
            return Some(Self {
                name: signature.name(),
                form: Form::Key,
                signature,
            });
        };
        Some(Self {
            name: certificate_algorithm(plain)?,
            form: Form::Certificate,
            signature: provider.signature(plain)?,
        })
    }

    /// The name in KEXINIT.
    pub(super) const fn name(&self) -> &'static str {
        self.name
    }

    /// The key that has to have signed where a server shows this.
    ///
    /// # Errors
    /// [`PeerMisbehaved::WrongHostKeyAlgorithm`] when it is not what was agreed on: RFC 8332 §3.
    pub(super) fn signer(&self, shown: &PublicKey) -> Result<PublicKey, Error> {
        let key = match self.form {
            Form::Key => shown.clone(),
            Form::Certificate => {
                split_certificate(shown)
                    .map_err(|_| PeerMisbehaved::WrongHostKeyAlgorithm)?
                    .key
            }
        };
        if key.kind() != self.signature.key_kind() {
            return Err(PeerMisbehaved::WrongHostKeyAlgorithm.into());
        }
        Ok(key)
    }
}

impl Agreement {
    pub(super) fn names(&self, strict_kex: bool, offered: Offered) -> Negotiated {
        Negotiated {
            offered,
            kex: self.kex.name(),
            host_key: self.host_key.name(),
            cipher_to_server: self.to_server.cipher.name(),
            cipher_to_client: self.to_client.cipher.name(),
            mac_to_server: self.to_server.mac.map(MacAlgorithm::name),
            mac_to_client: self.to_client.mac.map(MacAlgorithm::name),
            compression_to_server: self.to_server.compression.map(CompressionAlgorithm::name),
            compression_to_client: self.to_client.compression.map(CompressionAlgorithm::name),
            strict_kex,
        }
    }

    /// What `sender` sends with.
    pub(super) const fn sent_by(&self, sender: Side) -> &Directional {
        match sender {
            Side::Client => &self.to_server,
            Side::Server => &self.to_client,
        }
    }
}

impl Offer {
    /// Cuts the configured lists to what `provider` has and, for a server, to the host keys that
    /// `can_sign` says there are.
    pub(super) fn new<R: Role>(config: &Config<R>, can_sign: impl Fn(&str) -> bool) -> Self {
        fn cut<T: Copy>(
            names: &[String],
            table: &[T],
            name: impl Fn(&T) -> &'static str,
        ) -> Vec<T> {
            names
                .iter()
                .filter_map(|wanted| table.iter().find(|it| name(it) == wanted).copied())
                .collect()
        }
        let (algorithms, provider) = (&config.algorithms, &config.provider);
        let host_key = algorithms.host_key.iter();
        let host_key = host_key
            .filter_map(|wanted| HostKeyAlgorithm::named(wanted, provider))
            .filter(|it| can_sign(it.name()))
            .collect();
        Self {
            kex: cut(&algorithms.kex, &provider.kex, Kex::name),
            host_key,
            cipher: cut(&algorithms.cipher, &provider.ciphers, Cipher::name),
            mac: cut(&algorithms.mac, &provider.macs, |it| it.name()),
            compression: config.compression,
        }
    }

    /// The first list that is empty, which RFC 4253 §7.1 does not allow.
    pub(super) const fn lacking(&self) -> Option<&'static str> {
        if self.kex.is_empty() {
            Some("kex")
        } else if self.host_key.is_empty() {
            Some("host key")
        } else if self.cipher.is_empty() {
            Some("cipher")
        } else {
            None
        }
    }

    /// Hands our KEXINIT to `then`. The pseudo-names go only into the first one of a connection.
    pub(super) fn with_kex_init<T>(
        &self,
        side: Side,
        first: bool,
        cookie: [u8; 16],
        then: impl FnOnce(&KexInit<'_>) -> T,
    ) -> T {
        let markers: &[&str] = match (first, side) {
            (false, _) => &[],
            (true, Side::Client) => &[EXT_INFO_CLIENT, STRICT_CLIENT[0], STRICT_CLIENT[1]],
            (true, Side::Server) => &[STRICT_SERVER[0], STRICT_SERVER[1]],
        };
        let (mut kex, mut host_key) = (String::new(), String::new());
        let (mut cipher, mut mac, mut compression) = (String::new(), String::new(), String::new());
        let kex_names = self
            .kex
            .iter()
            .map(Kex::name)
            .chain(markers.iter().copied());
        let cipher = NameList::join(self.cipher.iter().map(Cipher::name), &mut cipher);
        let mac = NameList::join(self.mac.iter().map(|it| it.name()), &mut mac);
        let methods = self.compression.map(CompressionAlgorithm::name);
        let compression = NameList::join(methods.into_iter().chain([NONE]), &mut compression);
        then(&KexInit {
            cookie,
            kex: NameList::join(kex_names, &mut kex),
            host_key: NameList::join(
                self.host_key.iter().map(HostKeyAlgorithm::name),
                &mut host_key,
            ),
            cipher_to_server: cipher,
            cipher_to_client: cipher,
            mac_to_server: mac,
            mac_to_client: mac,
            compression_to_server: compression,
            compression_to_client: compression,
            languages_to_server: NameList::default(),
            languages_to_client: NameList::default(),
            first_kex_packet_follows: false,
            reserved: 0,
        })
    }

    /// What two KEXINITs agree on (RFC 4253 §7.1). `ours` says which of them is ours, for errors.
    pub(super) fn agree(
        &self,
        client: &KexInit<'_>,
        server: &KexInit<'_>,
        ours: Side,
    ) -> Result<Agreement, Error> {
        // Only names of our tables are found, so pseudo-names are never chosen (RFC 8308 §2.1).
        let kex = common("kex", client.kex, server.kex, ours, |name| {
            self.kex.iter().find(|it| it.name() == name).copied()
        })?;
        let host_key = common("host key", client.host_key, server.host_key, ours, |name| {
            self.host_key.iter().find(|it| it.name() == name).copied()
        })?;
        let direction = |ciphers: (NameList<'_>, NameList<'_>),
                         macs: (NameList<'_>, NameList<'_>),
                         methods: (NameList<'_>, NameList<'_>)| {
            let cipher = common("cipher", ciphers.0, ciphers.1, ours, |name| {
                self.cipher.iter().find(|it| it.name() == name).copied()
            })?;
            // Beside an AEAD cipher the MAC lists are ignored and may even have nothing in common.
            let mac = match cipher {
                Cipher::Aead(_) => None,
                Cipher::Stream(_) => Some(common("mac", macs.0, macs.1, ours, |name| {
                    self.mac.iter().find(|it| it.name() == name).copied()
                })?),
            };
            let compression = common("compression", methods.0, methods.1, ours, |name| {
                let ours = self.compression.filter(|it| it.name() == name).map(Some);
                ours.or_else(|| (name == NONE).then_some(None))
            })?;
            Ok::<_, Error>(Directional {
                cipher,
                mac,
                compression,
            })
        };
        let to_server = direction(
            (client.cipher_to_server, server.cipher_to_server),
            (client.mac_to_server, server.mac_to_server),
            (client.compression_to_server, server.compression_to_server),
        )?;
        let to_client = direction(
            (client.cipher_to_client, server.cipher_to_client),
            (client.mac_to_client, server.mac_to_client),
            (client.compression_to_client, server.compression_to_client),
        )?;
        Ok(Agreement {
            kex,
            host_key,
            to_server,
            to_client,
        })
    }
}

/// The first name of the client's that the server has too, and that we know what to do with.
fn common<T>(
    list: &'static str,
    client: NameList<'_>,
    server: NameList<'_>,
    ours: Side,
    known: impl Fn(&str) -> Option<T>,
) -> Result<T, Error> {
    client
        .iter()
        .filter(|name| server.contains(name))
        .find_map(known)
        .ok_or_else(|| {
            let (ours, theirs) = match ours {
                Side::Client => (client, server),
                Side::Server => (server, client),
            };
            Error::PeerIncompatible {
                list,
                ours: ours.as_str().into(),
                theirs: theirs.as_str().into(),
                offered: None,
            }
        })
}

/// The algorithms of a KEXINIT, without its pseudo-names.
pub(super) fn offered(init: &KexInit<'_>) -> Offered {
    let pseudo = [EXT_INFO_CLIENT, EXT_INFO_SERVER];
    let list = |names: NameList<'_>| {
        let names = names
            .iter()
            .filter(|it| !pseudo.contains(it) && !it.starts_with("kex-strict-"));
        names.map(str::to_owned).collect()
    };
    Offered {
        kex: list(init.kex),
        host_key: list(init.host_key),
        cipher_to_server: list(init.cipher_to_server),
        cipher_to_client: list(init.cipher_to_client),
        mac_to_server: list(init.mac_to_server),
        mac_to_client: list(init.mac_to_client),
        compression_to_server: list(init.compression_to_server),
        compression_to_client: list(init.compression_to_client),
    }
}

/// Whether a guess was right: both first choices agree (RFC 4253 §7).
pub(super) fn guess_is_right(client: &KexInit<'_>, server: &KexInit<'_>) -> bool {
    client.kex.first() == server.kex.first() && client.host_key.first() == server.host_key.first()
}

/// What the pseudo-names of a first KEXINIT ask for.
pub(super) struct Markers {
    pub(super) ext_info: bool,
    pub(super) strict: bool,
}

impl Markers {
    pub(super) fn of(theirs: &KexInit<'_>, sender: Side) -> Self {
        let (ext_info, strict) = match sender {
            Side::Client => (EXT_INFO_CLIENT, STRICT_CLIENT),
            Side::Server => (EXT_INFO_SERVER, STRICT_SERVER),
        };
        Self {
            ext_info: theirs.kex.contains(ext_info),
            strict: strict.iter().any(|marker| theirs.kex.contains(marker)),
        }
    }
}

#[cfg(test)]
mod tests;
