//! What a connection is told before it starts. Plain data, shared by many connections.

mod offered;
mod profile;

pub use offered::Offered;
pub use profile::Profile;

use crate::crypto::{CompressionAlgorithm, CryptoProvider, SigningKey};
use crate::limits::Limits;
use crate::role::{Client, Role, Server, sealed};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

/// Everything that a connection needs to know.
#[derive(Debug)]
#[non_exhaustive]
pub struct Config<R: Role> {
    /// Where the cryptography comes from.
    pub provider: CryptoProvider,
    /// Which algorithms may be used.
    pub algorithms: Algorithms,
    /// Offered beside no compression, in both directions; a client prefers it. None by default: it costs
    /// more time than it saves on all but slow lines, and tells lengths.
    pub compression: Option<&'static dyn CompressionAlgorithm>,
    /// The bounds that may be set.
    pub limits: Limits,
    /// What stands behind `SSH-2.0-` in our identification (RFC 4253 §4.2): printable ASCII without
    /// spaces or `-`.
    pub software: String,
    /// Whether and how signs of life are asked for.
    pub keepalive: Option<KeepAlive>,
    /// What only this end needs.
    pub local: <R as sealed::Role>::Local,
}

/// Asking for signs of life with `keepalive@openssh.com`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "plain data, both parts needed")]
pub struct KeepAlive {
    /// Silence after which we ask.
    pub interval: Duration,
    /// Questions without any sign of life after which the connection ends.
    pub missed: u32,
}

/// Names of algorithms, in order of preference. Names that the provider does not have are left out
/// of what is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "plain data, one list per category of KEXINIT"
)]
pub struct Algorithms {
    /// Key exchange methods.
    pub kex: Vec<String>,
    /// Host-key signature algorithms; those of certificates ([`certificate_algorithm`]) as well, where
    /// whoever judges the keys knows an authority for the host, or a server has a certificate.
    ///
    /// [`certificate_algorithm`]: crate::crypto::certificate_algorithm
    pub host_key: Vec<String>,
    /// Ciphers, for both directions.
    pub cipher: Vec<String>,
    /// MACs, for both directions.
    pub mac: Vec<String>,
}

impl Algorithms {
    /// All that a provider has, in its order, whatever it is worth: to be cut, or for tests. What is
    /// safe to offer is a [`Profile`]'s to say.
    pub fn of(provider: &CryptoProvider) -> Self {
        Self {
            kex: provider.kex.iter().map(|it| it.name().to_owned()).collect(),
            host_key: provider
                .signatures
                .iter()
                .map(|it| it.name().to_owned())
                .collect(),
            cipher: provider
                .ciphers
                .iter()
                .map(|it| it.name().to_owned())
                .collect(),
            mac: provider
                .macs
                .iter()
                .map(|it| it.name().to_owned())
                .collect(),
        }
    }
}

/// What only a client needs. Trust and credentials are asked for when they are needed.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ClientLocal {
    /// The signature algorithms that the user's keys may prove themselves with, also under certificates.
    /// A key is not offered with any other, whatever it can do and the server would take.
    pub user_algorithms: Vec<String>,
}

/// What only a server needs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerLocal {
    /// The keys that it proves itself with, those with a certificate as keys of their own.
    pub host_keys: Vec<Arc<dyn SigningKey>>,
    /// The methods that it lists when an attempt fails (RFC 4252 §5.1).
    pub methods: Vec<String>,
    /// The signature algorithms that users may prove keys with, also those of certificates. Clients
    /// are told (RFC 8308 §3.1). Names that the provider does not have are left out.
    pub user_algorithms: Vec<String>,
    /// Shown to users before they authenticate (RFC 4252 §5.4).
    pub banner: Option<String>,
}

impl ServerLocal {
    /// The key that signs with `algorithm`.
    pub(crate) fn signer(&self, algorithm: &str) -> Option<&Arc<dyn SigningKey>> {
        self.host_keys
            .iter()
            .find(|key| key.algorithms().contains(&algorithm))
    }
}

impl Config<Client> {
    /// A client with what the provider has of [`Profile::Modern`].
    pub fn client(provider: CryptoProvider) -> Self {
        let user_algorithms = Profile::Modern.algorithms(&provider).host_key;
        Self::new(provider, Profile::Modern, ClientLocal { user_algorithms })
    }

    /// The same with all that its provider has, whatever it is worth and whoever made it: for tests, and
    /// for providers with algorithms of their own.
    #[must_use]
    pub fn with_all_algorithms(mut self) -> Self {
        self.algorithms = Algorithms::of(&self.provider);
        self.local
            .user_algorithms
            .clone_from(&self.algorithms.host_key);
        self
    }
}

impl Config<Server> {
    /// A server with what the provider has of [`Profile::ServerModern`], that takes keys (of users
    /// all that [`Profile::Modern`] has), passwords and keyboard-interactive.
    pub fn server(provider: CryptoProvider, host_keys: Vec<Arc<dyn SigningKey>>) -> Self {
        let methods = ["publickey", "password", "keyboard-interactive"]
            .map(str::to_owned)
            .to_vec();
        let user_algorithms = Profile::Modern.algorithms(&provider).host_key;
        Self::new(
            provider,
            Profile::ServerModern,
            ServerLocal {
                host_keys,
                methods,
                user_algorithms,
                banner: None,
            },
        )
    }

    /// The same with all that its provider has, whatever it is worth and whoever made it: for tests, and
    /// for providers with algorithms of their own.
    #[must_use]
    pub fn with_all_algorithms(mut self) -> Self {
        self.algorithms = Algorithms::of(&self.provider);
        self.local
            .user_algorithms
            .clone_from(&self.algorithms.host_key);
        self
    }
}

impl<R: Role> Config<R> {
    fn new(provider: CryptoProvider, profile: Profile, local: <R as sealed::Role>::Local) -> Self {
        Self {
            algorithms: profile.algorithms(&provider),
            provider,
            compression: None,
            limits: Limits::default(),
            software: concat!("sansftp_", env!("CARGO_PKG_VERSION")).to_owned(),
            keepalive: None,
            local,
        }
    }
}
