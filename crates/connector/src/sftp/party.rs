//! One server on the way, and what is shown to it: what is offered, who is trusted, what its failures
//! mean.
//!
//! Not the way to it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use sansftp_crypto::{ZLIB, default_provider};
use sansftp_proto::auth::Prompt;
use sansftp_proto::config::{Algorithms as Names, Config, KeepAlive};
use sansftp_proto::crypto::{CryptoProvider, Secret};
use sansftp_proto::error::Error as Protocol;
use sansftp_proto::role::Client as ClientRole;
use sansftp_tokio::{
    Answerer, ConnectError, Credentials, Deadlines, OpenFailureReason, ProxyFailure, Stage, Target,
};

use super::credentials::{self, Read};
use super::sessions::{Door, Sessions};
use super::trust::Judge;
use super::way::Stop;
use crate::connection::{Category, Connection};
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
        let provider = default_provider();
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
        Self::to_look(stop, default_provider())
    }

    fn to_look(stop: Stop, provider: CryptoProvider) -> Result<Self> {
        let party = Self {
            algorithms: algorithms(&stop.connection, &provider)?,
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
        Judge::new(&self.connection, self.host_key_alias.as_deref())
    }

    pub(super) fn config(&self, judge: &Judge) -> Config<ClientRole> {
        let mut config = Config::client(self.provider.clone());
        config.algorithms = self.algorithms.clone();
        prefer(&mut config.algorithms.host_key, &judge.known_kinds());
        config.compression = self.connection.compression.then_some(ZLIB);
        config.limits.rekey_bytes = self.connection.rekey_limit.map(|it| it.0);
        config.keepalive = (!self.connection.keepalive.is_zero()).then_some(KeepAlive {
            interval: self.connection.keepalive,
            missed: MISSED,
        });
        config
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
            && let Protocol::PeerIncompatible { list, ours, theirs } = &lost.protocol
        {
            let explained = self.nothing_in_common(list, ours, theirs);
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

    /// Both offers of a category, and the setting by which there would be something in common.
    fn nothing_in_common(&self, list: &str, ours: &str, theirs: &str) -> Error {
        let (ours, theirs) = (names(ours), names(theirs));
        let error = Error::new(
            Class::NoCommonAlgorithm,
            format!(
                "{self}: no {list} algorithm in common: we offer {}; the server offers {}",
                ours.join(", "),
                theirs.join(", "),
            ),
        );
        let all = Names::of(&self.provider);
        let (category, all) = match list {
            "kex" => (Category::Kex, all.kex),
            "host key" => (Category::HostKey, all.host_key),
            "cipher" => (Category::Cipher, all.cipher),
            "mac" => (Category::Mac, all.mac),
            _ => return error.with_hint("the server has to allow connections without compression"),
        };
        let category_name = category.name();
        let mut usable = all.clone();
        usable.retain(|name| theirs.contains(&name.as_str()));
        if usable.is_empty() {
            return error.with_hint(format!(
                "none of the server's is known here: its administrator has to allow one of these for \
                 {category_name}: {}",
                all.join(", ")
            ));
        }
        let mut setting = self.connection.algorithms.clone();
        setting.lists.insert(category, usable);
        error.with_hint(format!("set algorithms = \"{setting}\" (--algorithms)"))
    }
}

/// The algorithms of a list of KEXINIT, without the words in it that are none.
fn names(list: &str) -> Vec<&str> {
    let is_algorithm =
        |name: &&str| !name.starts_with("kex-strict-") && !name.starts_with("ext-info-");
    list.split(',').filter(is_algorithm).collect()
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

/// The lists to offer: the profile's, cut to what there is, or the ones given instead.
fn algorithms(connection: &Connection, provider: &CryptoProvider) -> Result<Names> {
    let all = Names::of(provider);
    let mut names = connection.algorithms.profile.algorithms(provider);
    for (category, wanted) in &connection.algorithms.lists {
        let (list, known) = match category {
            Category::Kex => (&mut names.kex, &all.kex),
            Category::HostKey => (&mut names.host_key, &all.host_key),
            Category::Cipher => (&mut names.cipher, &all.cipher),
            Category::Mac => (&mut names.mac, &all.mac),
        };
        if let Some(unknown) = wanted.iter().find(|it| !known.contains(it)) {
            return Err(Error::configuration(format!(
                "algorithms: {} '{unknown}' is not known here",
                category.name()
            ))
            .with_hint(format!("there are: {}", known.join(", "))));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Profile;

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
        let modern = Profile::Modern.algorithms(&provider);
        let names = algorithms(
            &connection("modern,cipher=aes256-ctr:aes128-ctr"),
            &provider,
        );
        let names = names.unwrap();
        assert_eq!(names.cipher, ["aes256-ctr", "aes128-ctr"]);
        assert_eq!(names.kex, modern.kex);
        let error = algorithms(&connection("modern,cipher=rot13"), &provider).unwrap_err();
        assert!(error.message().contains("rot13"), "{error}");
        assert!(error.hint().unwrap().contains("aes256-ctr"), "{error}");
    }

    #[test]
    fn an_expired_password_is_refused_authentication_with_the_way_to_a_new_one() {
        let stop = Stop {
            connection: Connection {
                port: 2222,
                ..connection("modern")
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
