//! One account on one server, as plain data: where, who, how trusted, how reached.
//!
//! Not a session and not a socket: nothing here connects. Every key is kebab-case and is also the
//! name of a command-line flag. Keys that nothing honours are not accepted.

mod jump;
mod proxy;

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) use self::jump::HOPS;
pub use self::jump::Jump;
pub use self::proxy::{Proxy, ProxyType};
use crate::error::{Error, Result};
pub use crate::secret::{PrivateKey, Secret, SecretRef};
pub use crate::units::{ByteSize, parse_duration, show_duration};
pub use sansftp_proto::config::Profile;

/// One account on one server. Reusable; plain data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Connection {
    /// Name or address of the server; of IPv6 in brackets or not, also with a zone (`fe80::1%eth0`).
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Account; the local login name when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where the password is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// The private key's path, or where its text is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key: Option<PrivateKey>,
    /// Where the private key's passphrase is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<SecretRef>,
    /// A file with an OpenSSH user certificate for the private key, or for a key of the agent's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// Whether the agent that `SSH_AUTH_SOCK` names signs, with each of its keys.
    pub agent: bool,
    /// The only host keys to trust, in any form that a known_hosts line, a public key file or a
    /// fingerprint has. None: the file decides.
    #[serde(
        deserialize_with = "one_or_many",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub known_host: Vec<String>,
    /// The OpenSSH file of known hosts; `~/.ssh/known_hosts` when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_hosts_file: Option<PathBuf>,
    /// What happens with a host key that is not known.
    pub host_key_policy: HostKeyPolicy,
    /// What is offered to the server.
    pub algorithms: Algorithms,
    /// The proxy between us and the server, or the first that is jumped through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
    /// Servers to go through, in order.
    #[serde(
        deserialize_with = "jump::jumps",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub jump: Vec<Jump>,
    /// The local address to connect from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind: Option<IpAddr>,
    /// Whether `~/.ssh/config` says what is not set here: HostName, Port, User, IdentityFile,
    /// ProxyJump, UserKnownHostsFile, HostKeyAlias.
    pub ssh_config: bool,
    /// The directory of operations that name none; the server's home when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_directory: Option<String>,
    /// From name resolution to the SFTP subsystem, together.
    #[serde(with = "crate::units::duration")]
    pub connect_timeout: Duration,
    /// Without progress on any request.
    #[serde(with = "crate::units::duration")]
    pub request_timeout: Duration,
    /// For what may take long on big files: forcing to disk, closing after writing, copying.
    #[serde(with = "crate::units::duration")]
    pub durable_timeout: Duration,
    /// For a whole step; none when unset.
    #[serde(
        with = "crate::units::optional_duration",
        skip_serializing_if = "Option::is_none"
    )]
    pub operation_timeout: Option<Duration>,
    /// Between probes of a silent connection, given up after three; 0s: never.
    #[serde(with = "crate::units::duration")]
    pub keepalive: Duration,
    /// Sessions with this account at once, of all steps of a program together; more wait in a queue.
    pub max_sessions: NonZeroUsize,
    /// How often something is tried again after it failed in a way that this can help.
    pub retries: u32,
    /// The wait before the first retry and the longest: `1s to 60s`.
    pub retry_delay: RetryDelay,
    /// Bytes in flight of all sessions of a program, and the longest listing that is held for sorting.
    pub memory: ByteSize,
    /// Channels of one session that an upload goes over, where a channel's window holds it up.
    pub upload_channels: UploadChannels,
    /// Bytes between key exchanges; the cipher's own bound when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rekey_limit: Option<ByteSize>,
    /// Whether `zlib@openssh.com` is offered. Worth it on slow lines, for what is not compressed already.
    pub compression: bool,
    /// Whether keys that a trusted server announces, and proves that it holds, are recorded in the
    /// known_hosts file. Only where that file knows it, and not `known-host`.
    pub update_host_keys: bool,
    /// A file on this machine into which everything is written that is asked of the server and what it
    /// answers, one line of JSON each, without contents and secrets; written on at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transcript: Option<PathBuf>,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 22,
            user: None,
            password: None,
            private_key: None,
            passphrase: None,
            certificate: None,
            agent: false,
            known_host: Vec::new(),
            known_hosts_file: None,
            host_key_policy: HostKeyPolicy::default(),
            algorithms: Algorithms::default(),
            proxy: None,
            jump: Vec::new(),
            bind: None,
            ssh_config: false,
            remote_directory: None,
            connect_timeout: Duration::from_secs(30),
            request_timeout: Duration::from_secs(60),
            durable_timeout: Duration::from_secs(600),
            operation_timeout: None,
            keepalive: Duration::from_secs(30),
            max_sessions: DEFAULT_SESSIONS,
            retries: 3,
            retry_delay: RetryDelay::default(),
            memory: ByteSize(64 << 20),
            upload_channels: UploadChannels::Auto,
            rekey_limit: None,
            compression: false,
            update_host_keys: false,
            transcript: None,
        }
    }
}

impl Connection {
    /// `user@host:port` as configured, without the `user@` where none is: what a journal keeps
    /// things under.
    pub fn account(&self) -> String {
        let user = self.user.as_deref().map(|user| format!("{user}@"));
        let user = user.unwrap_or_default();
        let is_bare_v6 = self.host.contains(':') && !self.host.starts_with('[');
        match is_bare_v6 {
            true => format!("{user}[{}]:{}", self.host, self.port),
            false => format!("{user}{}:{}", self.host, self.port),
        }
    }

    /// Reports what cannot be carried out.
    ///
    /// # Errors
    /// `configuration`: one line, with the remedy as its hint.
    pub fn validate(&self) -> Result<()> {
        if self.host.trim().is_empty() {
            return Err(Error::configuration("the connection has no host")
                .with_hint("set host to the server's name or address"));
        }
        if self.port == 0 {
            return Err(Error::configuration("port 0 cannot be connected to")
                .with_hint("leave port out for 22"));
        }
        if self.connect_timeout.is_zero() || self.request_timeout.is_zero() {
            return Err(
                Error::configuration("a timeout of zero ends everything at once")
                    .with_hint("leave connect-timeout and request-timeout out for 30s and 60s"),
            );
        }
        if let Some(proxy) = &self.proxy {
            proxy.validate()?;
        }
        let has_key = self.private_key.is_some() || self.ssh_config;
        if self.certificate.is_some() && !has_key && !self.agent {
            return Err(
                Error::configuration("a certificate is set, but no key that it is for")
                    .with_hint("set private-key, or agent = true"),
            );
        }
        if self.passphrase.is_some() && !has_key {
            return Err(Error::configuration(
                "a passphrase is set, but no private-key to open with it",
            )
            .with_hint("set private-key, or leave passphrase out"));
        }
        if self.memory.0 < MINIMAL_MEMORY {
            return Err(Error::configuration(format!(
                "memory = {} is too little to transfer anything",
                self.memory
            ))
            .with_hint("set memory to 1MiB or more; 64MiB is the default"));
        }
        Ok(())
    }
}

/// What servers usually allow: OpenSSH's MaxSessions and MaxStartups are 10.
const DEFAULT_SESSIONS: NonZeroUsize = NonZeroUsize::new(8).expect("eight is not zero");

/// Below this not even one batch of file data fits beside the requests for the next.
const MINIMAL_MEMORY: u64 = 1 << 20;

/// Channels of one session that an upload goes over: one to a temporary name, where the window of a
/// channel is what holds it up. Where the server refuses more, it is done with those that there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UploadChannels {
    /// Up to eight at a server that calls itself OpenSSH and is far away, else one.
    #[default]
    Auto,
    /// So many at any server, 1 to 8.
    UpTo(NonZeroUsize),
}

impl UploadChannels {
    /// The most that there may be: OpenSSH's MaxSessions is 10.
    pub const MOST: NonZeroUsize = NonZeroUsize::new(8).expect("eight is not zero");
}

impl FromStr for UploadChannels {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let number = text.parse().ok().filter(|it| *it <= Self::MOST);
        let number = number.ok_or_else(|| format!("'{text}' is neither auto nor 1 to 8"))?;
        Ok(Self::UpTo(number))
    }
}

impl fmt::Display for UploadChannels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::UpTo(number) => number.fmt(f),
        }
    }
}

/// What happens with a host key that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostKeyPolicy {
    /// Unknown or changed is refused.
    #[default]
    Strict,
    /// An unknown key is recorded in the file, a changed one refused.
    AcceptNew,
    /// No check; a warning on every connection.
    AcceptAny,
}

impl FromStr for HostKeyPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "strict" => Ok(Self::Strict),
            "accept-new" => Ok(Self::AcceptNew),
            "accept-any" => Ok(Self::AcceptAny),
            other => Err(format!(
                "'{other}' is no host-key-policy; there are strict, accept-new and accept-any"
            )),
        }
    }
}

/// What is offered to the server: a profile, and lists that stand for a category of it.
///
/// Written `modern` or `modern,cipher=aes256-ctr:aes128-ctr,kex=curve25519-sha256`; the profile may
/// be left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Algorithms {
    /// Where the lists come from that are not given.
    pub profile: Profile,
    /// Per category the names in order of preference. Whether they exist is for the one who knows
    /// the algorithms.
    pub lists: BTreeMap<Category, Vec<String>>,
}

/// The profiles that a client may have: all but the servers'.
const PROFILES: [Profile; 4] = [
    Profile::Modern,
    Profile::Compatible,
    Profile::Legacy1024,
    Profile::Jsch0153,
];

impl Default for Algorithms {
    fn default() -> Self {
        Self {
            profile: Profile::Modern,
            lists: BTreeMap::new(),
        }
    }
}

/// A category of algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// Key exchange.
    Kex,
    /// The server's key.
    HostKey,
    /// Encryption, both ways.
    Cipher,
    /// Message authentication, both ways.
    Mac,
}

impl Category {
    /// The name as configurations have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kex => "kex",
            Self::HostKey => "host-key",
            Self::Cipher => "cipher",
            Self::Mac => "mac",
        }
    }
}

impl FromStr for Algorithms {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut algorithms = Self::default();
        for (position, part) in text.split(',').map(str::trim).enumerate() {
            let Some((category, names)) = part.split_once('=') else {
                match PROFILES.into_iter().find(|it| it.name() == part) {
                    Some(profile) if position == 0 => algorithms.profile = profile,
                    _ => {
                        return Err(format!(
                            "'{part}' is no profile of algorithms; there are {}; lists follow it: \
                             modern,cipher=NAME:NAME",
                            PROFILES.map(Profile::name).join(", ")
                        ));
                    }
                }
                continue;
            };
            let category = [
                Category::Kex,
                Category::HostKey,
                Category::Cipher,
                Category::Mac,
            ]
            .into_iter()
            .find(|known| known.name() == category.trim())
            .ok_or_else(|| {
                format!(
                    "'{category}' is no category of algorithms; there are kex, host-key, cipher and mac"
                )
            })?;
            let names: Vec<String> = names
                .split(':')
                .map(|name| name.trim().to_owned())
                .collect();
            if names.iter().any(String::is_empty) {
                return Err(format!("an empty name in the list {part}"));
            }
            if algorithms.lists.insert(category, names).is_some() {
                return Err(format!("{} is given twice", category.name()));
            }
        }
        Ok(algorithms)
    }
}

impl fmt::Display for Algorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.profile.name())?;
        for (category, names) in &self.lists {
            write!(f, ",{}={}", category.name(), names.join(":"))?;
        }
        Ok(())
    }
}

/// The wait before the first retry, and the longest that it grows to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryDelay {
    /// Before the first retry.
    pub first: Duration,
    /// Never longer than this.
    pub longest: Duration,
}

impl Default for RetryDelay {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
        }
    }
}

impl FromStr for RetryDelay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((first, longest)) = text.split_once(" to ") else {
            let first = parse_duration(text)?;
            let longest = Self::default().longest.max(first);
            return Ok(Self { first, longest });
        };
        let (first, longest) = (parse_duration(first)?, parse_duration(longest)?);
        if longest < first {
            return Err(format!("'{text}' ends before it begins"));
        }
        Ok(Self { first, longest })
    }
}

impl fmt::Display for RetryDelay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} to {}",
            show_duration(self.first),
            show_duration(self.longest)
        )
    }
}

macro_rules! serde_as_text {
    ($($name:ty),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
serde_as_text!(Algorithms, RetryDelay);

impl Serialize for UploadChannels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.collect_str(self),
            Self::UpTo(number) => number.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for UploadChannels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(i64),
            Word(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Number(number) => number.to_string(),
            Written::Word(word) => word,
        };
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Visitor;
    impl<'de> serde::de::Visitor<'de> for Visitor {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("one entry or a list of entries")
        }
        fn visit_str<E: serde::de::Error>(self, entry: &str) -> Result<Vec<String>, E> {
            Ok(vec![entry.to_owned()])
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(
            self,
            entries: A,
        ) -> Result<Vec<String>, A::Error> {
            Vec::deserialize(serde::de::value::SeqAccessDeserializer::new(entries))
        }
    }
    deserializer.deserialize_any(Visitor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_read_from_toml_with_its_defaults() {
        let connection: Connection = toml::from_str(
            "host = 'h'\nuser = 'u'\nprivate-key = '~/k'\npassphrase = { env = 'P' }\n\
             known-host = 'h ssh-ed25519 AAAA'\nrequest-timeout = '90s'\nmemory = '32MiB'\n\
             algorithms = 'modern,cipher=aes256-ctr:aes128-ctr'\nretry-delay = '2s to 10s'",
        )
        .unwrap();
        assert_eq!(connection.port, 22);
        assert_eq!(connection.private_key, Some(PrivateKey::Path("~/k".into())));
        assert_eq!(connection.known_host.len(), 1);
        assert_eq!(connection.request_timeout, Duration::from_secs(90));
        assert_eq!(connection.memory, ByteSize(32 << 20));
        assert_eq!(
            connection.algorithms.lists[&Category::Cipher],
            ["aes256-ctr", "aes128-ctr"]
        );
        assert_eq!(connection.retry_delay.longest, Duration::from_secs(10));
        connection.validate().unwrap();
        let written = toml::to_string(&connection).unwrap();
        assert_eq!(toml::from_str::<Connection>(&written).unwrap(), connection);
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = toml::from_str::<Connection>("host = 'h'\nhots = 'x'").unwrap_err();
        assert!(error.to_string().contains("hots"), "{error}");
    }

    #[test]
    fn what_cannot_be_carried_out_is_said_with_the_remedy() {
        let with_host = || Connection {
            host: "h".to_owned(),
            ..Connection::default()
        };
        let broken = [
            Connection::default(),
            Connection {
                port: 0,
                ..with_host()
            },
            Connection {
                passphrase: Some(SecretRef::Env("P".to_owned())),
                ..with_host()
            },
            Connection {
                memory: ByteSize(1000),
                ..with_host()
            },
        ];
        for connection in broken {
            let error = connection.validate().unwrap_err();
            assert_eq!(error.class(), crate::error::Class::Configuration);
            assert!(error.hint().is_some(), "{error}");
        }
        assert!("modern,cipher=".parse::<Algorithms>().is_err());
        assert!("ancient".parse::<Algorithms>().is_err());
        assert!("server-modern".parse::<Algorithms>().is_err());
        assert!("mac=a,modern".parse::<Algorithms>().is_err());
        assert!("modern,sauce=x".parse::<Algorithms>().is_err());
        assert!("modern,mac=a,mac=b".parse::<Algorithms>().is_err());
    }
}
