//! From a connection's settings to a session: what is offered, who is trusted, what failed where.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sansftp_crypto::default_provider;
use sansftp_keys::sha256_fingerprint;
use sansftp_proto::config::{Algorithms as Names, Config, KeepAlive};
use sansftp_proto::crypto::{CryptoProvider, PublicKey};
use sansftp_proto::error::{Error as Protocol, printable};
use sansftp_proto::role::Client as ClientRole;
use sansftp_proto::session::Trust;
use sansftp_tokio::{Answerer, Client, ConnectError, Credentials, Deadlines, Stage, Target};

use super::credentials::{self, Read};
use super::remote::{Held, SftpRemote};
use super::sessions::{Door, Sessions};
use super::trust::{Judge, show_key};
use crate::connection::{Category, Connection};
use crate::error::{Class, Error, Result};
use crate::remote::Connect;

/// Missed signs of life after which a connection is given up.
const MISSED: u32 = 3;

/// Makes sessions over SFTP with one account on one server.
#[derive(Debug)]
pub struct SftpConnect {
    connection: Connection,
    provider: CryptoProvider,
    credentials: Credentials,
    algorithms: Names,
    are_given: bool,
    sessions: Sessions,
    door: Door,
}

impl SftpConnect {
    /// Reads what the connection refers to: key, password, known hosts. Nothing is contacted.
    /// Blocks.
    ///
    /// # Errors
    /// `configuration`: one line that names what cannot be used, and the remedy.
    pub fn prepare(connection: &Connection, answerer: Option<Arc<dyn Answerer>>) -> Result<Self> {
        Self::prepare_with(connection, answerer, &Sessions::new())
    }

    /// The same for a program of several steps, whose sessions share places, memory and what is known
    /// of credentials. Blocks.
    ///
    /// # Errors
    /// As [`prepare`](Self::prepare).
    pub fn prepare_with(
        connection: &Connection,
        answerer: Option<Arc<dyn Answerer>>,
        sessions: &Sessions,
    ) -> Result<Self> {
        let are_given = credentials::are_given(connection) || answerer.is_some();
        let provider = default_provider();
        let Read { credentials, mark } =
            credentials::read(connection, &provider, answerer, sessions)?;
        let door = sessions.door(connection, credentials.user(), mark);
        Self::with(
            connection,
            provider,
            credentials,
            are_given,
            (sessions.clone(), door),
        )
    }

    /// For who only wants to see the server's key.
    pub(super) fn prepare_to_look(connection: &Connection) -> Result<Self> {
        let sessions = Sessions::new();
        let door = sessions.door(connection, "", sessions.mark(&[]));
        let credentials = Credentials::new("");
        Self::with(
            connection,
            default_provider(),
            credentials,
            false,
            (sessions, door),
        )
    }

    fn with(
        connection: &Connection,
        provider: CryptoProvider,
        credentials: Credentials,
        are_given: bool,
        (sessions, door): (Sessions, Door),
    ) -> Result<Self> {
        connection.validate()?;
        let algorithms = algorithms(connection, &provider)?;
        let connection = connection.clone();
        let this = Self {
            connection,
            provider,
            credentials,
            algorithms,
            are_given,
            sessions,
            door,
        };
        // What cannot be used is said now, and not at the first session.
        this.judge()?;
        Ok(this)
    }

    pub(super) fn judge(&self) -> Result<Judge> {
        Judge::new(&self.connection)
    }

    fn config(&self, judge: &Judge) -> Config<ClientRole> {
        let mut config = Config::client(self.provider.clone());
        config.algorithms = self.algorithms.clone();
        prefer(&mut config.algorithms.host_key, &judge.known_kinds());
        config.limits.rekey_bytes = self.connection.rekey_limit.map(|it| it.0);
        config.keepalive = (!self.connection.keepalive.is_zero()).then_some(KeepAlive {
            interval: self.connection.keepalive,
            missed: MISSED,
        });
        config
    }

    fn deadlines(&self) -> Deadlines {
        let mut deadlines = Deadlines::default();
        deadlines.connect = self.connection.connect_timeout;
        deadlines.request = self.connection.request_timeout;
        deadlines.durable = self.connection.durable_timeout;
        deadlines
    }

    fn target(&self) -> Target {
        Target::new(self.connection.host.trim(), self.connection.port)
    }

    async fn client(&self) -> Result<Client> {
        let judge = self.judge()?;
        judge.warn();
        let (target, deadlines) = (self.target(), self.deadlines());
        let connected = Client::connect(
            &target,
            self.config(&judge),
            &deadlines,
            |key| judge.judge(key.key()),
            self.credentials.clone(),
        );
        connected.await.map_err(|error| match judge.take_refusal() {
            Some(refusal) => refusal.before_session(),
            None => self.explain(error),
        })
    }

    /// What went wrong, in the connector's words.
    fn explain(&self, error: ConnectError) -> Error {
        let text = format!("{}: {error}", self.target());
        let class = class_of(&error);
        let explained = match &error {
            ConnectError::Refused {
                remaining, remark, ..
            } => {
                let mut explained = Error::new(class, text);
                if !remaining.is_empty() {
                    explained = explained
                        .with_note(format!("the server still takes: {}", remaining.join(", ")));
                }
                if let Some(remark) = remark {
                    explained = explained.with_note(remark);
                }
                explained.with_hint(if self.are_given {
                    "check user, password and key; nothing is tried twice, so that no account is locked"
                } else {
                    "no credential was given: set private-key (--identity) or password \
                     (--password-file, SANSFTP_PASSWORD)"
                })
            }
            ConnectError::Unreachable { .. } => Error::new(class, text)
                .with_hint("check host and port, and whether the server runs"),
            ConnectError::TimedOut { .. } => Error::new(class, text).with_hint(format!(
                "connect-timeout is {} s; a proxy or firewall may be in the way",
                self.connection.connect_timeout.as_secs()
            )),
            ConnectError::Lost { lost, .. } => match &lost.protocol {
                Protocol::PeerIncompatible { list, ours, theirs } => Error::new(class, text)
                    .with_hint(format!(
                        "the server offers for {list}: {theirs}; we offer: {ours}"
                    )),
                _ => Error::new(class, text),
            },
            ConnectError::NoSubsystem(_) => Error::new(class, text)
                .with_hint("ask the server's administrator whether the account may use SFTP"),
            _ => Error::new(class, text),
        };
        explained.with_source(error).before_session()
    }
}

fn class_of(error: &ConnectError) -> Class {
    match error {
        ConnectError::Unreachable { .. } => Class::Unreachable,
        ConnectError::TimedOut { .. } => Class::Timeout,
        ConnectError::Refused { .. } => Class::Authentication,
        ConnectError::NoSubsystem(_) => Class::Unsupported,
        ConnectError::Lost { stage, lost } => match lost.protocol {
            Protocol::PeerIncompatible { .. } => Class::NoCommonAlgorithm,
            Protocol::HostKeyRejected | Protocol::HostKeyUnproven(_) => Class::HostKey,
            Protocol::AuthenticationFailed => Class::Authentication,
            Protocol::Integrity => Class::Integrity,
            Protocol::TimedOut { .. } => Class::Timeout,
            // Servers say it in words and hang up when there were too many attempts.
            Protocol::Disconnected {
                reason: NO_MORE_AUTH_METHODS,
                ..
            } if *stage == Stage::Authentication => Class::Authentication,
            _ => Class::Disconnected,
        },
        _ => Class::Failure,
    }
}

/// SSH_DISCONNECT_NO_MORE_AUTH_METHODS_AVAILABLE (RFC 4253 §11.1).
const NO_MORE_AUTH_METHODS: u32 = 14;

impl Connect for SftpConnect {
    type Remote = SftpRemote;

    async fn connect(&self) -> Result<SftpRemote> {
        let place = self.door.enter().await?;
        let knock = self.door.knock().await?;
        let client = match self.client().await {
            Ok(client) => client,
            Err(error) => {
                if error.class() == Class::Authentication {
                    knock.refused(&error);
                }
                return Err(error);
            }
        };
        let held = Held {
            sessions: self.sessions.clone(),
            _inside: knock.admitted(),
            _place: place,
        };
        let sftp = client.sftp().await.map_err(|error| self.explain(error))?;
        let home = sftp.real_path(b".").await.map_err(|error| {
            Error::new(
                Class::Failure,
                format!("the home directory is not told: {error}"),
            )
            .before_session()
        })?;
        let memory = usize::try_from(self.connection.memory.0).unwrap_or(usize::MAX);
        let details = self.details(&client, &sftp, &home);
        Ok(SftpRemote::new(client, sftp, details, memory, held))
    }
}

impl SftpConnect {
    fn details(&self, client: &Client, sftp: &sansftp_tokio::sftp::Sftp, home: &[u8]) -> Details {
        let negotiated = client.negotiated();
        let name = |of: fn(&sansftp_proto::transport::Negotiated) -> &'static str| {
            negotiated
                .as_ref()
                .map_or_else(String::new, |it| of(it).to_owned())
        };
        let mac = |of: fn(&sansftp_proto::transport::Negotiated) -> Option<&'static str>| {
            negotiated.as_ref().and_then(of).map(str::to_owned)
        };
        let key = client.host_key();
        let ident = client.server_ident();
        Details {
            server: printable(ident.strip_prefix(b"SSH-2.0-").unwrap_or(&ident)),
            host: self.connection.host.trim().to_owned(),
            port: self.connection.port,
            user: self.credentials.user().to_owned(),
            kex: name(|it| it.kex),
            host_key_algorithm: name(|it| it.host_key),
            host_key: key.as_ref().map(show_key).unwrap_or_default(),
            fingerprint: key.as_ref().map(sha256_fingerprint).unwrap_or_default(),
            cipher_to_server: name(|it| it.cipher_to_server),
            cipher_to_client: name(|it| it.cipher_to_client),
            mac_to_server: mac(|it| it.mac_to_server),
            mac_to_client: mac(|it| it.mac_to_client),
            strict_kex: negotiated.as_ref().is_some_and(|it| it.strict_kex),
            extensions: sftp
                .extensions()
                .iter()
                .map(|it| it.name().to_owned())
                .collect(),
            limits: sftp.limits().map(|it| ServerLimits {
                max_packet: it.max_packet_length,
                max_read: it.max_read_length,
                max_write: it.max_write_length,
                max_open_handles: it.max_open_handles,
            }),
            home: printable(home),
        }
    }
}

/// What a session turned out to be, for people.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Details {
    /// What the server calls itself, such as `OpenSSH_9.2p1`.
    pub server: String,
    /// As configured.
    pub host: String,
    /// As configured.
    pub port: u16,
    /// The account.
    pub user: String,
    /// Key exchange method.
    pub kex: String,
    /// What the server signed with.
    pub host_key_algorithm: String,
    /// The server's key: type and base64.
    pub host_key: String,
    /// `SHA256:` and the hash of that key.
    pub fingerprint: String,
    /// Cipher from us to the server.
    pub cipher_to_server: String,
    /// Cipher from the server to us.
    pub cipher_to_client: String,
    /// None beside a cipher that authenticates by itself.
    pub mac_to_server: Option<String>,
    /// None beside a cipher that authenticates by itself.
    pub mac_to_client: Option<String>,
    /// Whether the key exchange was strict.
    pub strict_kex: bool,
    /// The extensions of SFTP that the server announced and we know.
    pub extensions: Vec<String>,
    /// What the server says of its limits, if it does.
    pub limits: Option<ServerLimits>,
    /// The account's home directory.
    pub home: String,
}

/// A server's limits; 0 says that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ServerLimits {
    /// Bytes of one message.
    pub max_packet: u64,
    /// Bytes of one read.
    pub max_read: u64,
    /// Bytes of one write.
    pub max_write: u64,
    /// Files open at once.
    pub max_open_handles: u64,
}

/// Connects, takes the server's key and hangs up.
pub(super) async fn connect_to_judge(connect: &SftpConnect, judge: &Judge) -> Result<PublicKey> {
    let seen = Mutex::new(None);
    let (target, deadlines) = (connect.target(), connect.deadlines());
    let refused = Client::connect(
        &target,
        connect.config(judge),
        &deadlines,
        |key| {
            *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.key().clone());
            Trust::Refused
        },
        Credentials::new(""),
    )
    .await;
    match (
        seen.into_inner().unwrap_or_else(PoisonError::into_inner),
        refused,
    ) {
        (Some(key), _) => Ok(key),
        (None, Err(error)) => Err(connect.explain(error)),
        (None, Ok(_)) => Err(Error::new(Class::HostKey, "the server showed no key")),
    }
}

/// The lists to offer: the profile's, cut to what there is, or the ones given instead.
fn algorithms(connection: &Connection, provider: &CryptoProvider) -> Result<Names> {
    let mut names = Names::of(provider);
    for (category, wanted) in &connection.algorithms.lists {
        let list = match category {
            Category::Kex => &mut names.kex,
            Category::HostKey => &mut names.host_key,
            Category::Cipher => &mut names.cipher,
            Category::Mac => &mut names.mac,
        };
        if let Some(unknown) = wanted.iter().find(|it| !list.contains(it)) {
            return Err(Error::configuration(format!(
                "algorithms: {} '{unknown}' is not known here",
                category.name()
            ))
            .with_hint(format!("there are: {}", list.join(", "))));
        }
        list.clone_from(wanted);
    }
    Ok(names)
}

/// Puts those algorithms first that work with keys of these types; the order stays otherwise.
fn prefer(algorithms: &mut [String], kinds: &[&str]) {
    let signs = |algorithm: &str, kind: &str| {
        algorithm == kind || kind == "ssh-rsa" && algorithm.starts_with("rsa-sha2-")
    };
    algorithms.sort_by_key(|algorithm| !kinds.iter().any(|kind| signs(algorithm, kind)));
}

/// How long closing in good order may take.
pub(super) const CLOSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(algorithms: &str) -> Connection {
        Connection {
            host: "h".to_owned(),
            algorithms: algorithms.parse().unwrap(),
            ..Connection::default()
        }
    }

    #[test]
    fn lists_that_are_given_stand_for_their_category() {
        let provider = default_provider();
        let all = Names::of(&provider);
        let names = algorithms(
            &connection("modern,cipher=aes256-ctr:aes128-ctr"),
            &provider,
        );
        let names = names.unwrap();
        assert_eq!(names.cipher, ["aes256-ctr", "aes128-ctr"]);
        assert_eq!(names.kex, all.kex);
        let error = algorithms(&connection("modern,cipher=rot13"), &provider).unwrap_err();
        assert!(error.message().contains("rot13"), "{error}");
        assert!(error.hint().unwrap().contains("aes256-ctr"), "{error}");
    }

    #[test]
    fn algorithms_of_known_keys_go_first_and_keep_their_order() {
        let mut list: Vec<String> = [
            "ssh-ed25519",
            "ecdsa-sha2-nistp256",
            "rsa-sha2-512",
            "rsa-sha2-256",
        ]
        .map(str::to_owned)
        .into();
        prefer(&mut list, &["ssh-rsa"]);
        assert_eq!(
            list,
            [
                "rsa-sha2-512",
                "rsa-sha2-256",
                "ssh-ed25519",
                "ecdsa-sha2-nistp256"
            ]
        );
    }
}
