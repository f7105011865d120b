//! A client's connection: from a name to authenticated, then sessions of SFTP.

use crate::authenticate::{Credentials, authenticate};
use crate::deadline::{self, Deadlines};
use crate::driver::Driver;
use crate::error::{ConnectError, Lost, ProxyFailure, Stage};
use crate::onward::ChannelStream;
use crate::proxy::{self, Proxy};
use crate::sftp::{Sftp, SftpError};
use crate::shared::Shared;
use crate::tcp::{self, Prompt, Target, Way};
use bytes::Bytes;
use sansftp_proto::crypto::PublicKey;
use sansftp_proto::error::printable;
use sansftp_proto::role::Client as ClientRole;
use sansftp_proto::session::{ClientEvent, Config, Connection, HostKey, Trust};
use sansftp_proto::transport::Negotiated;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// An authenticated connection. Dropping it ends the connection and its sessions;
/// [`close`](Self::close) waits until that is done in good order.
pub struct Client {
    shared: Arc<Shared<ClientRole>>,
    driver: JoinHandle<()>,
    deadlines: Deadlines,
    /// What the connect deadline left for the first session and for what leads onward, until a session is
    /// asked for.
    left: Mutex<Option<Duration>>,
}

impl Client {
    /// Connects over TCP, judges the host key, authenticates.
    ///
    /// # Errors
    /// [`ConnectError`], with how far it had come. Nothing is left open then.
    pub async fn connect(
        target: &Target,
        config: Config<ClientRole>,
        deadlines: &Deadlines,
        judge: impl FnOnce(&HostKey) -> Trust + Send,
        credentials: Credentials,
    ) -> Result<Self, ConnectError> {
        let straight = Way::default();
        Self::connect_by(&straight, target, config, deadlines, judge, credentials).await
    }

    /// The same by a proxy, or from a certain local address.
    ///
    /// # Errors
    /// [`ConnectError`], with how far it had come; [`ConnectError::Proxy`] for all that goes wrong
    /// before the proxy has connected us.
    pub async fn connect_by(
        way: &Way,
        target: &Target,
        config: Config<ClientRole>,
        deadlines: &Deadlines,
        judge: impl FnOnce(&HostKey) -> Trust + Send,
        credentials: Credentials,
    ) -> Result<Self, ConnectError> {
        let clock = Clock::new(deadlines.connect);
        match &way.proxy {
            None => tracing::debug!(%target, "connecting"),
            Some(proxy) => tracing::debug!(%target, proxy = %proxy.target, "connecting"),
        }
        let stream = match &way.proxy {
            None => {
                let connect = tcp::connect(target, way.bind);
                clock
                    .within(Stage::Tcp, "the TCP connection", connect)
                    .await??
            }
            Some(proxy) => {
                let connect = through(proxy, way.bind, target);
                clock
                    .within(Stage::Proxy, "the proxy", connect)
                    .await
                    .unwrap_or(Err(ProxyFailure::TimedOut))
                    .map_err(|failure| ConnectError::Proxy {
                        proxy: proxy.target.to_string(),
                        failure,
                    })?
            }
        };
        let stream = Prompt::new(stream);
        Self::begin(stream, config, deadlines, clock, judge, credentials).await
    }

    /// The same over any stream: a proxy's, a jump host's, an in-memory pipe.
    ///
    /// # Errors
    /// [`ConnectError`], with how far it had come.
    pub async fn over<Io>(
        io: Io,
        config: Config<ClientRole>,
        deadlines: &Deadlines,
        judge: impl FnOnce(&HostKey) -> Trust + Send,
        credentials: Credentials,
    ) -> Result<Self, ConnectError>
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let clock = Clock::new(deadlines.connect);
        Self::begin(io, config, deadlines, clock, judge, credentials).await
    }

    async fn begin<Io>(
        io: Io,
        mut config: Config<ClientRole>,
        deadlines: &Deadlines,
        mut clock: Clock,
        judge: impl FnOnce(&HostKey) -> Trust + Send,
        credentials: Credentials,
    ) -> Result<Self, ConnectError>
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // The clock below decides, and it stands still while a person is asked.
        config.limits.login = NEVER;
        let conn = Connection::client(Arc::new(config), deadline::now()).map_err(|protocol| {
            ConnectError::Lost {
                stage: Stage::Handshake,
                lost: Lost { protocol, io: None },
            }
        })?;
        let shared = Shared::new(conn);
        let driver = tokio::spawn(Driver::new(Arc::clone(&shared), io));
        // From here on a drop, an error's included, ends the connection.
        let mut client = Self {
            shared,
            driver,
            deadlines: deadlines.clone(),
            left: Mutex::new(None),
        };
        client.judge(judge, &clock).await?;
        authenticate(&client.shared, credentials, &mut clock).await?;
        client.left = Mutex::new(Some(clock.left()));
        Ok(client)
    }

    async fn judge(
        &self,
        judge: impl FnOnce(&HostKey) -> Trust + Send,
        clock: &Clock,
    ) -> Result<(), ConnectError> {
        let key = loop {
            if let ClientEvent::HostKey(key) = clock.event(&self.shared, Stage::Handshake).await? {
                break key;
            }
        };
        let trust = judge(&key);
        self.tell(&key, trust);
        // An error is sticky: whoever waits next is told.
        let _ = self.shared.with(|state| state.conn.judge(key, trust));
        Ok(())
    }

    /// Logs what the first key exchange came to.
    fn tell(&self, key: &HostKey, trust: Trust) {
        let state = self.shared.lock();
        let ident = printable(state.conn.peer_ident().unwrap_or_default());
        if let Some(negotiated) = state.conn.negotiated() {
            let Negotiated {
                kex,
                cipher_to_server,
                cipher_to_client,
                strict_kex,
                ..
            } = negotiated;
            tracing::debug!(%ident, kex, cipher_to_server, cipher_to_client, strict_kex, "keys exchanged");
        }
        tracing::debug!(algorithm = key.algorithm(), ?trust, "host key judged");
    }

    /// Starts a session of SFTP on a channel of its own.
    ///
    /// # Errors
    /// [`ConnectError::NoSubsystem`] when the server refuses; timeouts and losses. The first session
    /// has what [`Deadlines::connect`] left when authentication was done; later ones have all of it.
    pub async fn sftp(&self) -> Result<Sftp, ConnectError> {
        let start = Sftp::start(Arc::clone(&self.shared), self.deadlines.clone());
        self.started(start).await
    }

    /// As [`sftp`](Self::sftp), and asks for the account's home, which is `.` to the server, without
    /// another round trip.
    ///
    /// # Errors
    /// As [`sftp`](Self::sftp); that the home is not told is no error of the session.
    pub async fn sftp_at_home(&self) -> Result<(Sftp, Result<Bytes, SftpError>), ConnectError> {
        let start = Sftp::start_at_home(Arc::clone(&self.shared), self.deadlines.clone());
        self.started(start).await
    }

    async fn started<T>(
        &self,
        start: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        let left = self.left().take();
        let clock = Clock::new(left.unwrap_or(self.deadlines.connect));
        clock
            .within(Stage::Subsystem, "the SFTP subsystem", start)
            .await?
    }

    /// Has the server connect onward to `host`, as a jump host does (RFC 4254 §7.2). The stream lives
    /// no longer than this connection.
    ///
    /// # Errors
    /// [`ConnectError::NotForwarded`] when the server does not; timeouts, after
    /// [`time_left`](Self::time_left), and losses.
    pub async fn direct_tcpip(&self, host: &str, port: u16) -> Result<ChannelStream, ConnectError> {
        let clock = Clock::new(self.time_left());
        let open = ChannelStream::open(Arc::clone(&self.shared), host, port);
        let opened = clock
            .within(Stage::Onward, "the connection onward", open)
            .await?;
        if let Some(left) = self.left().as_mut() {
            *left = clock.left();
        }
        opened
    }

    /// How much of [`Deadlines::connect`] is left for whatever this connection leads to: the deadline of
    /// the next, where several hosts are to be gone through in one. All of it once a session was asked
    /// for. Time that nobody spends connecting does not count.
    pub fn time_left(&self) -> Duration {
        self.left().unwrap_or(self.deadlines.connect)
    }

    fn left(&self) -> MutexGuard<'_, Option<Duration>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) const fn shared(&self) -> &Arc<Shared<ClientRole>> {
        &self.shared
    }

    /// What was negotiated by the newest key exchange.
    pub fn negotiated(&self) -> Option<Negotiated> {
        self.shared.lock().conn.negotiated().cloned()
    }

    /// The host key that was trusted.
    pub fn host_key(&self) -> Option<PublicKey> {
        self.shared.lock().conn.host_key().cloned()
    }

    /// Whether the server let us in without any proof: it asked for none, or for the answers to no
    /// question ([`Authenticated::was_trivial`]). A server that was meant to ask may be another one.
    ///
    /// [`Authenticated::was_trivial`]: sansftp_proto::auth::Authenticated::was_trivial
    pub fn was_trivial(&self) -> bool {
        let mut state = self.shared.lock();
        let mux = state.conn.mux();
        mux.is_some_and(|it| it.authenticated().was_trivial())
    }

    /// The server's identification line.
    pub fn server_ident(&self) -> Vec<u8> {
        self.shared
            .lock()
            .conn
            .peer_ident()
            .unwrap_or_default()
            .to_vec()
    }

    /// Changes the keys now (RFC 4253 §9).
    pub fn rekey(&self) {
        // An error is sticky: whoever waits next is told.
        let _ = self.shared.with(|state| state.conn.rekey());
    }

    /// How many key exchanges have finished.
    pub fn exchanges(&self) -> u64 {
        self.shared.lock().conn.exchanges()
    }

    /// Ends the connection in good order, for at most [`Deadlines::close`].
    pub async fn close(mut self) {
        self.shared.with(|state| state.conn.disconnect());
        if tokio::time::timeout(self.deadlines.close, &mut self.driver)
            .await
            .is_err()
        {
            self.driver.abort();
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.with(|state| state.conn.disconnect());
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("negotiated", &self.negotiated())
            .finish_non_exhaustive()
    }
}

/// Connects to a proxy, and has it connect to the server.
async fn through(
    proxy: &Proxy,
    bind: Option<IpAddr>,
    target: &Target,
) -> Result<TcpStream, ProxyFailure> {
    let mut stream = tcp::connect(&proxy.target, bind)
        .await
        .map_err(|error| match error {
            ConnectError::Unreachable { cause, .. } => ProxyFailure::Unreachable(cause),
            other => ProxyFailure::Unreachable(Arc::new(io::Error::other(other))),
        })?;
    proxy::traverse(proxy, &mut stream, target).await?;
    Ok(stream)
}

/// The connect deadline. Stands still while a person is asked.
#[derive(Debug)]
pub(crate) struct Clock {
    deadline: Instant,
}

/// Farther off than any connection lives.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

impl Clock {
    fn new(total: Duration) -> Self {
        let now = deadline::now();
        Self {
            deadline: now.checked_add(total).unwrap_or(now + NEVER),
        }
    }

    /// Awaits `work`, until the deadline.
    pub(crate) async fn within<T>(
        &self,
        stage: Stage,
        doing: &'static str,
        work: impl Future<Output = T>,
    ) -> Result<T, ConnectError> {
        tokio::time::timeout_at(self.deadline.into(), work)
            .await
            .map_err(|_| ConnectError::TimedOut { stage, doing })
    }

    /// The next event, until the deadline. The connection is asked what it waits for.
    pub(crate) async fn event(
        &self,
        shared: &Shared<ClientRole>,
        stage: Stage,
    ) -> Result<ClientEvent, ConnectError> {
        match tokio::time::timeout_at(self.deadline.into(), shared.event()).await {
            Ok(event) => event.map_err(|lost| ConnectError::Lost { stage, lost }),
            Err(_) => {
                let doing = shared.lock().conn.stage();
                Err(ConnectError::TimedOut { stage, doing })
            }
        }
    }

    /// Awaits a person: the deadline moves by as long as that takes. `None` also when the connection
    /// ends meanwhile; the next event says so.
    pub(crate) async fn stopped<T>(
        &mut self,
        shared: &Shared<ClientRole>,
        person: impl Future<Output = Option<T>>,
    ) -> Option<T> {
        let before = deadline::now();
        let mut person = std::pin::pin!(person);
        let mut ended = std::pin::pin!(shared.ended());
        let answer = std::future::poll_fn(|cx| {
            if ended.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            person.as_mut().poll(cx)
        })
        .await;
        self.deadline += deadline::now().saturating_duration_since(before);
        answer
    }

    /// How much of it is left.
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(deadline::now())
    }
}
