//! One server on the way, and what is shown to it: what is offered, who is trusted, what its failures
//! mean.
//!
//! Not the way to it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use sansftp_crypto::{ZLIB, default_provider, with_short_rsa};
use sansftp_proto::auth::Prompt;
use sansftp_proto::config::{Algorithms as Names, Config, KeepAlive};
use sansftp_proto::crypto::{CryptoProvider, Secret, SignatureAlgorithm};
use sansftp_proto::error::Error as Protocol;
use sansftp_proto::role::Client as ClientRole;
use sansftp_tokio::{
    Answerer, Client, ConnectError, Credentials, Deadlines, OpenFailureReason, ProxyFailure, Stage,
    Target,
};

use super::algorithms;
use super::credentials::{self, Read};
use super::sessions::{Door, Sessions};
use super::trust::Judge;
use super::way::Stop;
use crate::connection::Connection;
use crate::error::{Class, Error, Result};

/// Missed signs of life after which a connection is given up.
const MISSED: u32 = 3;

/// One server on the way.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) connection: Connection,
    host_key_alias: Option<String>,
    provider: CryptoProvider,
    pub(super) credentials: Credentials,
    algorithms: Names,
    gives: Gives,
    pub(super) place: Place,
    /// None for one that is only looked at.
    pub(super) door: Option<Door>,
}

/// Whether there is anything to authenticate with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gives {
    Something,
    Nothing,
}

/// Where on the way a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// To be gone through.
    Jump,
    /// The one that is meant.
    End,
}

impl Party {
    /// Reads what it needs. Blocks.
    pub(super) fn new(
        stop: Stop,
        place: Place,
        answerer: Option<Arc<dyn Answerer>>,
        sessions: &Sessions,
    ) -> Result<Self> {
        let connection = &stop.connection;
        let gives = if credentials::are_given(connection) || answerer.is_some() {
            Gives::Something
        } else {
            Gives::Nothing
        };
        let provider = provider_of(connection);
        let server = shown(connection, place);
        let answerer =
            answerer.map(|answerer| Arc::new(Asked { server, answerer }) as Arc<dyn Answerer>);
        let Read { credentials, mark } =
            credentials::read(connection, &provider, answerer, sessions)?;
        let door = sessions.door(connection, credentials.user(), mark);
        let mut party = Self::to_look(stop, provider)?;
        party.credentials = credentials;
        party.gives = gives;
        party.place = place;
        party.door = Some(door);
        Ok(party)
    }

    /// One of which only the key is wanted.
    pub(super) fn only_to_look(stop: Stop) -> Result<Self> {
        let provider = provider_of(&stop.connection);
        Self::to_look(stop, provider)
    }

    fn to_look(stop: Stop, provider: CryptoProvider) -> Result<Self> {
        let party = Self {
            algorithms: algorithms::lists(&stop.connection.algorithms, &provider)?,
            connection: stop.connection,
            host_key_alias: stop.host_key_alias,
            provider,
            credentials: Credentials::new(""),
            gives: Gives::Nothing,
            place: Place::End,
            door: None,
        };
        // What cannot be used is said now, and not at the first session.
        party.judge()?;
        Ok(party)
    }

    pub(super) fn judge(&self) -> Result<Judge> {
        // Authorities sign with what the profile has, whatever hosts are asked to sign with.
        let names = self.profile_signatures();
        let algorithms = names.iter().filter_map(|it| self.provider.signature(it));
        let alias = self.host_key_alias.as_deref();
        Judge::new(&self.connection, alias, algorithms.collect())
    }

    pub(super) fn config(&self, judge: &Judge) -> Config<ClientRole> {
        let mut config = Config::client(self.provider.clone());
        config.algorithms = self.algorithms.clone();
        config.local.user_algorithms = self.profile_signatures();
        algorithms::prefer(&mut config.algorithms.host_key, &judge.known_kinds());
        if judge.has_authority() {
            algorithms::ask_for_certificates(&mut config.algorithms.host_key);
        }
        config.compression = self.connection.compression.then_some(ZLIB);
        config.limits.rekey_bytes = self.connection.rekey_limit.map(|it| it.0);
        config.keepalive = (!self.connection.keepalive.is_zero()).then_some(KeepAlive {
            interval: self.connection.keepalive,
            missed: MISSED,
        });
        config
    }

    fn profile_signatures(&self) -> Vec<String> {
        let profile = self.connection.algorithms.profile;
        profile.algorithms(&self.provider).host_key
    }

    /// The algorithms that the server may prove itself with.
    pub(super) fn host_key_algorithms(&self) -> Vec<&'static dyn SignatureAlgorithm> {
        let names = self.algorithms.host_key.iter();
        names.filter_map(|it| self.provider.signature(it)).collect()
    }

    pub(super) fn deadlines(&self) -> Deadlines {
        let mut deadlines = Deadlines::default();
        deadlines.connect = self.connection.connect_timeout;
        deadlines.request = self.connection.request_timeout;
        deadlines.durable = self.connection.durable_timeout;
        deadlines
    }

    pub(super) fn target(&self) -> Target {
        target(&self.connection)
    }

    /// What went wrong, in the connector's words.
    pub(super) fn explain(&self, error: ConnectError) -> Error {
        if let ConnectError::Lost { lost, .. } = &error
            && let Protocol::PeerIncompatible {
                offered: Some(offered),
                ..
            } = &lost.protocol
        {
            let setting = &self.connection.algorithms;
            let apart = algorithms::apart(setting, &self.algorithms, &self.provider, offered);
            let explained = Error::new(
                Class::NoCommonAlgorithm,
                format!("{self}: {}", apart.message),
            );
            let explained = explained.with_hint(apart.hint);
            return explained.with_source(error).before_session();
        }
        let text = format!("{self}: {error}");
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
                explained.with_hint(match self.gives {
                    Gives::Something => {
                        "check user, password and key; nothing is tried twice, so that no account is \
                         locked"
                    }
                    Gives::Nothing => {
                        "no credential was given: set private-key (--identity) or password \
                         (--password-file, SANSFTP_PASSWORD)"
                    }
                })
            }
            ConnectError::PasswordExpired { .. } => Error::new(class, text).with_hint(format!(
                "log in with 'ssh -p {} {}@{}' and change it there, or have the server's administrator \
                 do it; then set the new one here",
                self.connection.port,
                self.credentials.user(),
                self.target().host(),
            )),
            ConnectError::Unreachable { .. } => Error::new(class, text)
                .with_hint("check host and port, and whether the server runs"),
            ConnectError::Proxy { failure, .. } => {
                Error::new(class, text).with_hint(proxy_hint(failure))
            }
            ConnectError::NotForwarded { .. } => Error::new(class, text)
                .with_hint("check that this server may and can connect to the next one"),
            ConnectError::TimedOut { .. } => Error::new(class, text).with_hint(format!(
                "connect-timeout is {} s; a proxy or firewall may be in the way",
                self.connection.connect_timeout.as_secs()
            )),
            ConnectError::NoSubsystem(_) => Error::new(class, text)
                .with_hint("ask the server's administrator whether the account may use SFTP"),
            _ => Error::new(class, text),
        };
        explained.with_source(error).before_session()
    }

    /// The algorithms that were agreed on, where some of them can be broken; and a word in any case under
    /// a legacy profile.
    pub(super) fn warn(&self, client: &Client) {
        let Some(negotiated) = client.negotiated() else {
            return;
        };
        let weak = algorithms::weak(&negotiated);
        let profile = self.connection.algorithms.profile;
        if weak.is_empty() && !profile.is_legacy() {
            return;
        }
        let agreed = match weak.is_empty() {
            true => "nothing that can be broken was agreed on this time".to_owned(),
            false => format!("agreed on {}", weak.join(", ")),
        };
        tracing::warn!("{self}: algorithms = \"{}\": {agreed}", profile.name());
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.connection, self.place))
    }
}

fn shown(connection: &Connection, place: Place) -> String {
    let target = target(connection);
    match place {
        Place::Jump => format!("jump host {target}"),
        Place::End => target.to_string(),
    }
}

/// Where it is.
pub(super) fn target(connection: &Connection) -> Target {
    Target::new(connection.host.trim(), connection.port)
}

/// Who answers what a server asks, and is told which one it is: there may be several on the way, and each
/// has its own password.
#[derive(Debug)]
struct Asked {
    server: String,
    answerer: Arc<dyn Answerer>,
}

impl Answerer for Asked {
    fn answer<'a>(
        &'a self,
        name: &'a str,
        instruction: &'a str,
        prompts: &'a [Prompt],
    ) -> Pin<Box<dyn Future<Output = Option<Vec<Secret>>> + Send + 'a>> {
        Box::pin(async move {
            let name = match name.trim() {
                "" => format!("{}:", self.server),
                name => format!("{}: {name}", self.server),
            };
            self.answerer.answer(&name, instruction, prompts).await
        })
    }
}

fn proxy_hint(failure: &ProxyFailure) -> &'static str {
    match failure {
        ProxyFailure::Unreachable(_) => {
            "check proxy.host and proxy.port, and whether the proxy runs"
        }
        ProxyFailure::Unauthorized(_) => "check proxy.user and proxy.password",
        ProxyFailure::Refused(_) => {
            "ask the proxy's administrator whether it may connect to this host and port"
        }
        ProxyFailure::Unfit(_) => "use another type of proxy, or another name of the server",
        _ => "check proxy.type and proxy.port: something else may listen there",
    }
}

fn class_of(error: &ConnectError) -> Class {
    match error {
        // One that may not connect us will not the next time either.
        ConnectError::NotForwarded {
            reason: OpenFailureReason::AdministrativelyProhibited,
            ..
        }
        | ConnectError::Proxy { .. } => Class::Proxy,
        ConnectError::Unreachable { .. } | ConnectError::NotForwarded { .. } => Class::Unreachable,
        ConnectError::TimedOut { .. } => Class::Timeout,
        ConnectError::Refused { .. } | ConnectError::PasswordExpired { .. } => {
            Class::Authentication
        }
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

/// The cryptography: old servers may have RSA keys that are too short for everybody else.
fn provider_of(connection: &Connection) -> CryptoProvider {
    let provider = default_provider();
    match connection.algorithms.profile.is_legacy() {
        true => with_short_rsa(provider),
        false => provider,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expired_password_is_refused_authentication_with_the_way_to_a_new_one() {
        let stop = Stop {
            connection: Connection {
                port: 2222,
                host: "h".to_owned(),
                ..Connection::default()
            },
            host_key_alias: None,
        };
        let mut party = Party::only_to_look(stop).unwrap();
        party.credentials = Credentials::new("edi");
        let error = party.explain(ConnectError::PasswordExpired {
            words: "change it".to_owned(),
            tried: vec!["password".to_owned()],
        });
        assert_eq!(error.class(), Class::Authentication);
        assert!(error.message().contains("has expired"), "{error}");
        assert!(error.message().contains("('change it')"), "{error}");
        assert!(error.hint().unwrap().contains("ssh -p 2222 edi@h"));
        assert!(!error.retryable());
    }
}
