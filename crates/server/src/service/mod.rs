//! A whole SFTP server, put together: connections are accepted within bounds, users judged, their files
//! served, and everything told that happens.
//!
//! Not the protocol, and no policy: who is let in and what is served is given to it. It answers the
//! `sftp` subsystem alone; commands, shells, terminals and forwarding are refused.
//!
//! ```no_run
//! # async fn f(stop: impl Future<Output = ()>) -> Result<(), Box<dyn std::error::Error>> {
//! use sansftp_server::service::{Limits, Service};
//! use sansftp_server::users::{Sources, User, Users};
//! use sansftp_server::{algorithms, default_provider, host_keys::HostKeys, local::LocalFs};
//! use std::{path::Path, sync::Arc};
//!
//! let provider = default_provider();
//! let keys = HostKeys::load_or_make(Path::new("keys"), &provider)?;
//! let config = algorithms::Selection::default().configure(provider, &keys)?;
//! let mut edi = User::default();
//! edi.authorized_keys = Some("edi.keys".into());
//! let users = Users::load(Sources { users: vec![("edi".into(), edi)], ..Sources::default() })?;
//! let files = Arc::new(LocalFs::new(Path::new("inbox"))?);
//!
//! let service = Service::new(
//!     config,
//!     &Limits::default(),
//!     move |peer| users.authenticate(peer),
//!     move |_identity| files.clone(),
//!     |event| println!("{event:?}"),
//! );
//! let mut bound = service.bind("127.0.0.1:2022".parse()?).await?;
//! tokio::select! {
//!     never = bound.run() => match never {},
//!     () = stop => {}
//! }
//! drop(bound);
//! service.shut_down(std::time::Duration::from_secs(10)).await;
//! # Ok(()) }
//! ```

mod event;
mod limits;
mod stdio;
mod told;
mod transfers;

pub use event::{Event, Proved, What};
pub use limits::Limits;
pub use sansftp_tokio::sftp::server::serve as serve_sftp;
pub use stdio::{StandardError, Stdio};

use crate::sftp::{FileSystem, Options};
use bytes::Bytes;
use sansftp_proto::config::Config;
use sansftp_proto::error::Error;
use sansftp_proto::role::Server;
use sansftp_tokio::Lost;
use sansftp_tokio::server::{
    Authenticate, DisconnectReason, Entrance, Gate, Incoming, Listener, Session, SessionChannel,
    ToServer,
};
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinSet;
use told::Told;
use transfers::Transfers;

/// The subsystem that is served (draft-ietf-secsh-filexfer-02 §3).
const SUBSYSTEM: &[u8] = b"sftp";

/// A server. Cheap to clone: all clones are one server, with one set of bounds.
pub struct Service<A: Authenticate>(Arc<Inner<A>>);

struct Inner<A: Authenticate> {
    config: Arc<Config<Server>>,
    options: Options,
    gate: Gate,
    authenticate: Box<dyn Fn(Option<IpAddr>) -> A + Send + Sync>,
    files: FilesOf<A::Identity>,
    report: Box<dyn Fn(Event) + Send + Sync>,
    connections: AtomicU64,
    /// Whether new connections may still authenticate.
    open: watch::Sender<Open>,
}

/// What is served to whom.
type FilesOf<I> = Box<dyn Fn(&I) -> Arc<dyn FileSystem> + Send + Sync>;

/// Whether anyone is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Yes,
    No,
}

impl<A: Authenticate + Sync> Service<A>
where
    A::Identity: Proved + Sync,
{
    /// A server with the algorithms and host keys of `config`, whose bounds are replaced by `limits`.
    /// For each connection `authenticate` is asked for a judge, for each session `files` for what is
    /// served to that user. `report` is told what happens, on the threads that serve, and must not
    /// block.
    pub fn new(
        mut config: Config<Server>,
        limits: &Limits,
        authenticate: impl Fn(Option<IpAddr>) -> A + Send + Sync + 'static,
        files: impl Fn(&A::Identity) -> Arc<dyn FileSystem> + Send + Sync + 'static,
        report: impl Fn(Event) + Send + Sync + 'static,
    ) -> Self {
        limits.apply(&mut config);
        Self(Arc::new(Inner {
            config: Arc::new(config),
            options: limits.options(),
            gate: Gate::new(limits.bounds()),
            authenticate: Box::new(authenticate),
            files: Box::new(files),
            report: Box::new(report),
            connections: AtomicU64::new(0),
            open: watch::Sender::new(Open::Yes),
        }))
    }

    /// Begins to listen.
    ///
    /// # Errors
    /// What the system says: the port is taken, the address is not ours, the port is not for us.
    pub async fn bind(&self, address: SocketAddr) -> io::Result<Bound<A>> {
        let listener = Listener::bind(address, self.0.gate.clone()).await?;
        Ok(Bound {
            address: listener.local_addr()?,
            listener,
            service: self.clone(),
        })
    }

    /// Serves one connection over any stream, to its end. It counts like one that came by a port: the
    /// stream is dropped at once where there are too many that have not authenticated.
    pub async fn serve<Io>(&self, io: Io, peer: Option<SocketAddr>)
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        if let Some(entrance) = self.0.gate.enter() {
            self.connection(io, peer, entrance).await;
        }
    }

    /// Sessions that are running.
    pub fn sessions(&self) -> usize {
        self.0.gate.sessions()
    }

    /// Lets nobody in any more, lets running sessions go on for as long as `grace`, and ends them then.
    pub async fn shut_down(&self, grace: Duration) {
        self.0.open.send_replace(Open::No);
        self.0.gate.shut_down(grace).await;
    }

    async fn connection<Io>(&self, io: Io, peer: Option<SocketAddr>, entrance: Entrance)
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = Connection {
            service: self.clone(),
            number: self.0.connections.fetch_add(1, Ordering::Relaxed) + 1,
            peer,
            user: None,
            since: Instant::now(),
        };
        connection.tell(What::Connected);
        connection.run(io, entrance).await;
    }
}

impl<A: Authenticate> Clone for Service<A> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<A: Authenticate> fmt::Debug for Service<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("gate", &self.0.gate)
            .finish_non_exhaustive()
    }
}

/// A service that listens. Dropping it closes the port; connections go on.
#[derive(Debug)]
pub struct Bound<A: Authenticate> {
    listener: Listener,
    address: SocketAddr,
    service: Service<A>,
}

impl<A: Authenticate + Sync> Bound<A>
where
    A::Identity: Proved + Sync,
{
    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts connections for as long as it is polled; each is served by a task of its own.
    pub async fn run(&mut self) -> std::convert::Infallible {
        loop {
            let arrival = self.listener.next().await;
            let service = self.service.clone();
            tokio::spawn(async move {
                let (stream, peer) = (arrival.stream, arrival.peer);
                service
                    .connection(stream, Some(peer), arrival.entrance)
                    .await;
            });
        }
    }
}

/// One connection, for what is told of it.
struct Connection<A: Authenticate> {
    service: Service<A>,
    number: u64,
    peer: Option<SocketAddr>,
    user: Option<String>,
    since: Instant,
}

impl<A: Authenticate + Sync> Connection<A>
where
    A::Identity: Proved + Sync,
{
    async fn run<Io>(mut self, io: Io, entrance: Entrance)
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let inner = Arc::clone(&self.service.0);
        let judge = (inner.authenticate)(self.peer.map(|peer| peer.ip()));
        let told = Told {
            judge,
            tell: self.teller(),
        };
        let mut open = inner.open.subscribe();
        let accepted = tokio::select! {
            accepted = Session::accept(io, Arc::clone(&inner.config), told) => accepted,
            _ = open.wait_for(|open| *open == Open::No) => {
                self.tell(What::Refused { reason: "the server is shutting down".to_owned() });
                return;
            }
        };
        let mut session = match accepted {
            Ok(session) => session,
            Err(error) => {
                let reason = error.to_string();
                self.tell(What::Refused { reason });
                return;
            }
        };
        if let Err(refused) = session.admit(entrance) {
            let reason = refused.to_string();
            session
                .close(DisconnectReason::TooManyConnections, &reason)
                .await;
            self.tell(What::Refused { reason });
            return;
        }
        self.user = Some(session.user().to_owned());
        self.tell(What::Authenticated {
            proofs: session.identity().proofs().to_vec(),
            client: client(&session),
        });
        let (reason, time) = self.channels(&mut session).await;
        self.tell(What::Disconnected { reason, time });
    }

    /// Opens channels until the connection ends, and says how and when it did. By then nothing of it
    /// is at work any more, and its files are closed.
    async fn channels(&self, session: &mut Session<A::Identity>) -> (String, Duration) {
        let mut channels = JoinSet::new();
        let ended = loop {
            // Those that are over, so that what is kept is bounded as open channels are.
            while channels.try_join_next().is_some() {}
            match session.next().await {
                Ok(Incoming::Session(offer)) => {
                    if let Some(channel) = offer.accept() {
                        let files = (self.service.0.files)(session.identity());
                        let options = self.options();
                        channels.spawn(serve_channel(channel, files, options, self.teller()));
                    }
                }
                // Refused as the offer is dropped.
                Ok(_) => self.tell(What::Declined {
                    request: "direct-tcpip",
                }),
                Err(lost) => break (ending(&lost), self.since.elapsed()),
            }
        };
        while channels.join_next().await.is_some() {}
        ended
    }

    fn options(&self) -> Options {
        let mut options = self.service.0.options.clone();
        options.observe = Some(Arc::new(Transfers::new(self.teller())));
        options
    }

    fn tell(&self, what: What) {
        self.teller()(what);
    }

    fn teller(&self) -> impl Fn(What) + Clone + Send + Sync + 'static {
        let service = self.service.clone();
        let (connection, peer, user) = (self.number, self.peer, self.user.clone());
        move |what| {
            let user = user.clone();
            (service.0.report)(Event {
                peer,
                user,
                ..Event::new(connection, what)
            });
        }
    }
}

/// How a session ended, in words: that clients say so when they are done is the rule.
fn ending(lost: &Lost) -> String {
    match lost.protocol {
        Error::Disconnected { reason, .. } if reason == DisconnectReason::ByApplication as u32 => {
            "by the client".to_owned()
        }
        _ => lost.to_string(),
    }
}

/// What the client calls itself, without what all clients say (RFC 4253 §4.2).
fn client<I>(session: &Session<I>) -> Bytes {
    let ident = Bytes::from(session.client_ident());
    match ident.strip_prefix(b"SSH-2.0-") {
        Some(name) => ident.slice_ref(name),
        None => ident,
    }
}

/// Waits for `sftp` on a channel, and serves it. All else is refused, before and after.
async fn serve_channel(
    mut channel: SessionChannel,
    files: Arc<dyn FileSystem>,
    options: Options,
    tell: impl Fn(What),
) {
    loop {
        let Some(asked) = channel.next().await else {
            return;
        };
        match &asked.request {
            ToServer::Subsystem(name) if name.as_ref() == SUBSYSTEM => {
                asked.accept();
                break;
            }
            // Clients send variables and sizes as a matter of course.
            ToServer::Env { .. } | ToServer::WindowChange(_) => {}
            other => tell(What::Declined {
                request: name(other),
            }),
        }
    }
    tell(What::SftpStarted);
    let end = channel.serve_sftp(files, options).await;
    tell(What::SftpEnded {
        read: end.bytes_read,
        written: end.bytes_written,
        // How the connection ended is told of the connection.
        error: end
            .error
            .filter(|error| *error != Error::Closed)
            .map(|error| error.to_string()),
    });
}

/// As RFC 4254 names it.
const fn name(request: &ToServer) -> &'static str {
    match request {
        ToServer::Subsystem(_) => "subsystem",
        ToServer::Exec(_) => "exec",
        ToServer::Shell => "shell",
        ToServer::Env { .. } => "env",
        ToServer::Pty(_) => "pty-req",
        ToServer::WindowChange(_) => "window-change",
        ToServer::Signal(_) => "signal",
        _ => "request",
    }
}
