//! From a connection's settings to a session: through whom, to whom, what is shared.
//!
//! What is shown to each server on the way is in `party`.

#[cfg(test)]
mod over;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sansftp_keys::sha256_fingerprint;
use sansftp_proto::crypto::PublicKey;
use sansftp_proto::error::printable;
use sansftp_proto::session::{HostKey, Trust};
use sansftp_tokio::{Answerer, ChannelStream, Client, ConnectError, Credentials, Way};

use super::algorithms;
use super::certified::{HostCertificate, Shown};
use super::learn;
use super::party::{self, Party};
use super::remote::{Held, SftpRemote};
use super::sessions::{Door, Inside, Place, Sessions};
use super::trust::{Judge, Judgement, show_key};
use super::way::{self, Stop};
use crate::connection::Connection;
use crate::error::{Class, Error, Result};
use crate::remote::Connect;

/// Makes sessions over SFTP with one account on one server.
#[derive(Debug)]
pub struct SftpConnect {
    /// As configured.
    connection: Connection,
    way: Way,
    /// To be gone through, in order.
    jumps: Vec<Party>,
    end: Party,
    sessions: Sessions,
}

/// A connection to a server that is gone through, and that it is open.
pub(super) type Jumped = (Client, Inside);

/// A stream to a server, through the one before it.
struct Line {
    stream: ChannelStream,
    /// What is left of `connect-timeout`, which is for the whole way.
    time_left: Duration,
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
        let party = |stop| Party::new(stop, party::Place::End, answerer.clone(), sessions);
        Self::with(connection, answerer.clone(), sessions, party)
    }

    /// For who only wants to see the server's key.
    pub(super) fn prepare_to_look(connection: &Connection) -> Result<Self> {
        Self::with(connection, None, &Sessions::new(), Party::only_to_look)
    }

    fn with(
        connection: &Connection,
        answerer: Option<Arc<dyn Answerer>>,
        sessions: &Sessions,
        end: impl FnOnce(Stop) -> Result<Party>,
    ) -> Result<Self> {
        let mut stops = way::stops(connection)?;
        let way = way::way(&stops)?;
        let last = stops.pop().expect("a way ends at the connection's server");
        for stop in &mut stops {
            // One clock runs for the whole way.
            stop.connection.connect_timeout = connection.connect_timeout;
        }
        let jump = |stop| Party::new(stop, party::Place::Jump, answerer.clone(), sessions);
        Ok(Self {
            connection: connection.clone(),
            way,
            jumps: stops.into_iter().map(jump).collect::<Result<_>>()?,
            end: end(last)?,
            sessions: sessions.clone(),
        })
    }

    pub(super) fn judge(&self) -> Result<Judge> {
        self.end.judge()
    }

    /// Goes through all servers that are on the way.
    async fn jump(&self) -> Result<Vec<Jumped>> {
        let mut jumped: Vec<Jumped> = Vec::new();
        for party in &self.jumps {
            let behind = self.line(&jumped, party).await?;
            let next = self.admitted(party, behind).await?;
            jumped.push(next);
        }
        Ok(jumped)
    }

    /// The stream to the next server; none when it is the first.
    async fn line(&self, jumped: &[Jumped], next: &Party) -> Result<Option<Line>> {
        let Some((last, _)) = jumped.last() else {
            return Ok(None);
        };
        let target = next.target();
        let line = last.direct_tcpip(target.host(), target.port()).await;
        // It is the server before that fails here.
        let asked = self.jumps.get(jumped.len() - 1).unwrap_or(next);
        let stream = line.map_err(|error| asked.explain(error))?;
        Ok(Some(Line {
            stream,
            time_left: last.time_left(),
        }))
    }

    /// Connects and authenticates, unless these credentials were refused before.
    async fn admitted(&self, party: &Party, line: Option<Line>) -> Result<Jumped> {
        let door = party
            .door
            .as_ref()
            .expect("whoever is only looked at is not entered");
        let knock = door.knock().await?;
        let judge = party.judge()?;
        judge.warn();
        let credentials = party.credentials.clone();
        let connected = self
            .dial(
                party,
                line,
                &judge,
                |key| judge.judge(key.key()),
                credentials,
            )
            .await;
        match connected {
            Ok(client) => {
                party.warn(&client);
                Ok((client, knock.admitted()))
            }
            Err(error) => {
                let error = match judge.take_refusal() {
                    Some(refusal) => refusal.before_session(),
                    None => party.explain(error),
                };
                if error.class() == Class::Authentication {
                    knock.refused(&error);
                }
                Err(error)
            }
        }
    }

    async fn dial(
        &self,
        party: &Party,
        line: Option<Line>,
        judge: &Judge,
        decide: impl FnOnce(&HostKey) -> Trust + Send,
        credentials: Credentials,
    ) -> Result<Client, ConnectError> {
        let (config, mut deadlines) = (party.config(judge), party.deadlines());
        match line {
            Some(Line { stream, time_left }) => {
                deadlines.connect = time_left;
                Client::over(stream, config, &deadlines, decide, credentials).await
            }
            None => {
                let target = party.target();
                Client::connect_by(&self.way, &target, config, &deadlines, decide, credentials)
                    .await
            }
        }
    }
}

impl Connect for SftpConnect {
    type Remote = SftpRemote;

    async fn connect(&self) -> Result<SftpRemote> {
        let place = self.door().enter().await?;
        let jumped = self.jump().await?;
        let line = self.line(&jumped, &self.end).await?;
        let (client, inside) = self.admitted(&self.end, line).await?;
        self.open(client, self.held(place, inside, jumped)).await
    }
}

impl SftpConnect {
    fn door(&self) -> &Door {
        let door = self.end.door.as_ref();
        door.expect("whoever is only looked at is not entered")
    }

    fn held(&self, place: Place, inside: Inside, jumped: Vec<Jumped>) -> Held {
        Held {
            sessions: self.sessions.clone(),
            jumped,
            _inside: inside,
            _place: place,
        }
    }

    /// Begins SFTP on a connection that is authenticated.
    async fn open(&self, mut client: Client, held: Held) -> Result<SftpRemote> {
        let (sftp, home) = client
            .sftp_at_home()
            .await
            .map_err(|error| self.end.explain(error))?;
        if self.connection.update_host_keys {
            let judge = self.end.judge()?;
            let offered = self.end.host_key_algorithms();
            let deadline = self.connection.request_timeout;
            learn::host_keys(&mut client, &judge, &offered, deadline).await;
        }
        let home = home.map_err(|error| {
            Error::new(
                Class::Failure,
                format!("the home directory is not told: {error}"),
            )
            .before_session()
        })?;
        let memory = usize::try_from(self.connection.memory.0).unwrap_or(usize::MAX);
        let details = self.details(&client, &sftp, &home);
        let channels = self.connection.upload_channels;
        Ok(SftpRemote::new(
            client, sftp, details, home, memory, channels, held,
        ))
    }

    /// The certificate that was shown, if it counts.
    fn vouching(&self, shown: &Shown) -> Option<HostCertificate> {
        let certificate = shown.certificate.as_ref()?;
        let judge = self.end.judge().ok()?;
        matches!(judge.judgement(shown), Judgement::Vouched)
            .then(|| HostCertificate::of(certificate))
    }

    fn details(&self, client: &Client, sftp: &sansftp_tokio::sftp::Sftp, home: &[u8]) -> Details {
        let negotiated = client.negotiated();
        let name = |of: fn(&sansftp_proto::transport::Negotiated) -> &'static str| {
            negotiated
                .as_ref()
                .map_or_else(String::new, |it| of(it).to_owned())
        };
        let optional = |of: fn(&sansftp_proto::transport::Negotiated) -> Option<&'static str>| {
            negotiated.as_ref().and_then(of).map(str::to_owned)
        };
        let shown = client.host_key().and_then(|it| Shown::of(&it).ok());
        let key = shown.as_ref().map(|it| &it.key);
        let ident = client.server_ident();
        let agreed = negotiated.as_ref().map(algorithms::remarks);
        let mut remarks = agreed.unwrap_or_default();
        if client.was_trivial() {
            remarks.push(
                "the server asked for no proof of who this is: whoever knows the user's name is let in, \
                 or it is not the server that it is taken for"
                    .to_owned(),
            );
        }
        Details {
            server: printable(ident.strip_prefix(b"SSH-2.0-").unwrap_or(&ident)),
            host: self.connection.host.trim().to_owned(),
            port: self.connection.port,
            user: self.end.credentials.user().to_owned(),
            kex: name(|it| it.kex),
            host_key_algorithm: name(|it| it.host_key),
            host_key: key.map(show_key).unwrap_or_default(),
            fingerprint: key.map(sha256_fingerprint).unwrap_or_default(),
            host_certificate: shown.as_ref().and_then(|it| self.vouching(it)),
            cipher_to_server: name(|it| it.cipher_to_server),
            cipher_to_client: name(|it| it.cipher_to_client),
            mac_to_server: optional(|it| it.mac_to_server),
            mac_to_client: optional(|it| it.mac_to_client),
            compression_to_server: optional(|it| it.compression_to_server),
            compression_to_client: optional(|it| it.compression_to_client),
            strict_kex: negotiated.as_ref().is_some_and(|it| it.strict_kex),
            offered: negotiated.as_ref().map(Offer::of).unwrap_or_default(),
            remarks,
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
    /// The certificate by which it is trusted, if it is by one.
    pub host_certificate: Option<HostCertificate>,
    /// Cipher from us to the server.
    pub cipher_to_server: String,
    /// Cipher from the server to us.
    pub cipher_to_client: String,
    /// None beside a cipher that authenticates by itself.
    pub mac_to_server: Option<String>,
    /// None beside a cipher that authenticates by itself.
    pub mac_to_client: Option<String>,
    /// Compression from us to the server, if any.
    pub compression_to_server: Option<String>,
    /// Compression from the server to us, if any.
    pub compression_to_client: Option<String>,
    /// Whether the key exchange was strict.
    pub strict_kex: bool,
    /// What the server offers.
    pub offered: Offer,
    /// What a person should know of what was agreed on: what is weak, whether it is post-quantum, and
    /// whether the server asked for any proof.
    pub remarks: Vec<String>,
    /// The extensions of SFTP that the server announced and we know.
    pub extensions: Vec<String>,
    /// What the server says of its limits, if it does.
    pub limits: Option<ServerLimits>,
    /// The account's home directory.
    pub home: String,
}

/// What a server offers, by category, in its order; of ciphers and MACs what it sends with.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Offer {
    /// Key exchange methods.
    pub kex: Vec<String>,
    /// Host-key signature algorithms.
    pub host_key: Vec<String>,
    /// Ciphers.
    pub cipher: Vec<String>,
    /// MACs.
    pub mac: Vec<String>,
    /// Compression.
    pub compression: Vec<String>,
}

impl Offer {
    fn of(negotiated: &sansftp_proto::transport::Negotiated) -> Self {
        let offered = &negotiated.offered;
        let list = |names: &[String]| names.iter().map(|it| printable(it.as_bytes())).collect();
        Self {
            kex: list(&offered.kex),
            host_key: list(&offered.host_key),
            cipher: list(&offered.cipher_to_client),
            mac: list(&offered.mac_to_client),
            compression: list(&offered.compression_to_client),
        }
    }
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
    let jumped = connect.jump().await?;
    let line = connect.line(&jumped, &connect.end).await?;
    let look = |key: &HostKey| {
        *seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.key().clone());
        Trust::Refused
    };
    let refused = connect
        .dial(&connect.end, line, judge, look, Credentials::new(""))
        .await;
    for (client, _inside) in jumped.into_iter().rev() {
        client.close().await;
    }
    match (
        seen.into_inner().unwrap_or_else(PoisonError::into_inner),
        refused,
    ) {
        (Some(key), _) => Ok(key),
        (None, Err(error)) => Err(connect.end.explain(error)),
        (None, Ok(_)) => Err(Error::new(Class::HostKey, "the server showed no key")),
    }
}

/// How long closing in good order may take.
pub(super) const CLOSE: Duration = Duration::from_secs(5);
