//! A client that does what a test says, message by message, and servers for it.

use bytes::{Buf, Bytes, BytesMut};
use sansftp_proto::auth::client::{Credential, Event, Turn};
use sansftp_proto::auth::server::{Attempt, Offered};
use sansftp_proto::connection::{ChannelEvent, ChannelId, ChannelKind, Mux, ToClient, ToServer};
use sansftp_proto::crypto::Secret;
use sansftp_proto::error::Error;
use sansftp_proto::role::{Client as ClientRole, Server as ServerRole};
use sansftp_proto::session::{ClientEvent, Common, Config, Connection, Trust};
use sansftp_testkit::suite::Suite;
use sansftp_tokio::server::{
    AcceptError, Authenticate, Incoming, Judgement, Session, SessionChannel,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Long enough for whatever is to happen at all.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) const PASSWORD: &[u8] = b"open sesame";

/// Lets in whoever knows the password.
#[derive(Debug, Clone)]
pub(crate) struct Password;

/// What a server's [`Password`] knows of a user.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Known(pub String);

impl Authenticate for Password {
    type Identity = Known;

    async fn judge(&mut self, attempt: &Attempt) -> Judgement<Known> {
        match &attempt.method {
            Offered::Password(it) if it.expose() == PASSWORD => {
                Judgement::Accept(Known(attempt.user.clone()))
            }
            _ => Judgement::Reject {
                methods: methods(&["password", "publickey", "keyboard-interactive"]),
            },
        }
    }
}

pub(crate) fn methods(names: &[&str]) -> Vec<String> {
    names.iter().map(|it| (*it).to_owned()).collect()
}

pub(crate) fn server_config() -> Config<ServerRole> {
    Config::server(Suite::Null.provider(2), vec![Suite::Null.key(0)]).with_all_algorithms()
}

pub(crate) fn client_config() -> Config<ClientRole> {
    Config::client(Suite::Null.provider(1)).with_all_algorithms()
}

/// A server's session and a client in it.
pub(crate) async fn session() -> (Session<Known>, Peer) {
    session_with(server_config(), client_config()).await
}

pub(crate) async fn session_with(
    server: Config<ServerRole>,
    client: Config<ClientRole>,
) -> (Session<Known>, Peer) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let accepted = tokio::spawn(Session::accept(theirs, Arc::new(server), Password));
    let mut peer = Peer::new(ours, client);
    peer.authenticates().await;
    let session = accepted.await.unwrap().expect("the password is right");
    (session, peer)
}

/// A connection that becomes a session, or does not.
pub(crate) type Accepting<I> = JoinHandle<Result<Session<I>, AcceptError>>;

/// A server that judges as `authenticate` does, and a client that is asked for a credential.
pub(crate) fn server<A: Authenticate>(
    config: Config<ServerRole>,
    authenticate: A,
) -> (Accepting<A::Identity>, Peer) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let accepted = tokio::spawn(Session::accept(theirs, Arc::new(config), authenticate));
    (accepted, Peer::new(ours, client_config()))
}

/// The next channel that the client wants, which is to be a session's, opened.
pub(crate) async fn accept<I: Send + 'static>(session: &mut Session<I>) -> SessionChannel {
    match timeout(SOON, session.next()).await.unwrap() {
        Ok(Incoming::Session(offer)) => offer.accept().expect("the connection stands"),
        other => panic!("{other:?}"),
    }
}

/// A client.
pub(crate) struct Peer {
    pub(crate) conn: Connection<ClientRole>,
    io: DuplexStream,
    input: BytesMut,
    /// Events that were passed over.
    seen: VecDeque<ClientEvent>,
}

impl Peer {
    pub(crate) fn new(io: DuplexStream, config: Config<ClientRole>) -> Self {
        Self {
            conn: Connection::client(Arc::new(config), Instant::now()).unwrap(),
            io,
            input: BytesMut::new(),
            seen: VecDeque::new(),
        }
    }

    /// The stream, for bytes that no client says.
    pub(crate) fn into_stream(self) -> DuplexStream {
        self.io
    }

    pub(crate) fn mux(&mut self) -> &mut Mux<ClientRole> {
        self.conn.mux().expect("authentication is done")
    }

    /// The next event; the connection goes on until there is one.
    async fn next(&mut self) -> ClientEvent {
        loop {
            let now = Instant::now();
            // The error is an event.
            let _ = self.conn.handle_input(now, &mut self.input);
            if let Some(event) = self.conn.poll_event() {
                return event;
            }
            if !self.exchange().await {
                let _ = self.conn.handle_eof(now);
            }
        }
    }

    /// Sends what there is, or receives; whether the stream goes on.
    async fn exchange(&mut self) -> bool {
        let (mut reader, mut writer) = tokio::io::split(&mut self.io);
        let sealed = self.conn.transmit(Instant::now(), 256 * 1024);
        let silent = sealed.is_empty();
        tokio::select! {
            read = reader.read_buf(&mut self.input) => read.unwrap_or(0) > 0,
            written = writer.write(sealed), if !silent => {
                sealed.advance(written.unwrap_or(sealed.len()));
                true
            }
        }
    }

    /// Sends all that there is to say.
    pub(crate) async fn flushes(&mut self) {
        loop {
            let sealed = self.conn.transmit(Instant::now(), 256 * 1024);
            if sealed.is_empty() {
                return;
            }
            let written = timeout(SOON, self.io.write(sealed)).await.unwrap();
            sealed.advance(written.unwrap_or(sealed.len()));
        }
    }

    /// Goes on for a while; what happens is kept.
    pub(crate) async fn lives(&mut self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while let Ok(event) = tokio::time::timeout_at(end, self.next()).await {
            self.seen.push_back(event);
        }
    }

    /// The first event for which `which` has a value, whenever it came; what the value is.
    pub(crate) async fn awaits<T>(&mut self, which: impl Fn(&ClientEvent) -> Option<T>) -> T {
        let event = self.takes(|event| which(event).is_some()).await;
        which(&event).expect("it had one just now")
    }

    /// The first event that is such a one, whenever it came.
    pub(crate) async fn takes(&mut self, which: impl Fn(&ClientEvent) -> bool) -> ClientEvent {
        if let Some(at) = self.seen.iter().position(&which) {
            return self.seen.remove(at).expect("it is there");
        }
        let found = timeout(SOON, async {
            loop {
                let event = self.next().await;
                if which(&event) {
                    return event;
                }
                if let ClientEvent::Common(Common::Closed(error)) = &event {
                    panic!("the connection ended: {error}; before: {:?}", self.seen);
                }
                self.seen.push_back(event);
            }
        });
        let Ok(found) = found.await else {
            panic!("waited in vain; there was {:?}", self.seen)
        };
        found
    }

    /// Whether there was such an event that nobody has asked for.
    pub(crate) fn has_seen(&self, which: impl Fn(&ClientEvent) -> bool) -> bool {
        self.seen.iter().any(which)
    }

    /// The client is asked for a credential.
    pub(crate) async fn turn(&mut self) -> Turn {
        loop {
            let asked = self.takes(|event| {
                matches!(
                    event,
                    ClientEvent::HostKey(_) | ClientEvent::Auth(Event::AuthRequired { .. })
                )
            });
            match asked.await {
                ClientEvent::HostKey(key) => self.conn.judge(key, Trust::Trusted).unwrap(),
                ClientEvent::Auth(Event::AuthRequired { turn, .. }) => return turn,
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn tries(&mut self, user: &str, password: &[u8]) {
        let turn = self.turn().await;
        let credential = Credential::Password {
            user: user.to_owned(),
            password: Secret::new(password.to_vec()),
        };
        self.conn.authenticate(turn, credential).unwrap();
        self.flushes().await;
    }

    pub(crate) async fn authenticates(&mut self) {
        self.tries("ann", PASSWORD).await;
        self.awaits(|event| matches!(event, ClientEvent::Authenticated).then_some(()))
            .await;
    }

    /// The error that the connection ends with.
    pub(crate) async fn sees_the_end(&mut self) -> Error {
        self.awaits(|event| match event {
            ClientEvent::Common(Common::Closed(error)) => Some(error.clone()),
            _ => None,
        })
        .await
    }

    // ---- channels

    /// Asks for a session channel; whether it is opened, or why not.
    pub(crate) async fn opens(&mut self) -> Result<ChannelId, u32> {
        let id = self.mux().open_session().unwrap();
        self.decided(id).await
    }

    pub(crate) async fn opens_onward(&mut self, host: &str, port: u16) -> Result<ChannelId, u32> {
        let kind = ChannelKind::DirectTcpip {
            host: Bytes::copy_from_slice(host.as_bytes()),
            port,
            originator: Bytes::from_static(b"::1"),
            originator_port: 9,
        };
        let id = self.mux().open(&kind).unwrap();
        self.decided(id).await
    }

    pub(crate) async fn decided(&mut self, channel: ChannelId) -> Result<ChannelId, u32> {
        self.awaits(|event| match event {
            ClientEvent::Channel(ChannelEvent::Opened(id)) if *id == channel => Some(Ok(*id)),
            ClientEvent::Channel(ChannelEvent::Refused { id, reason, .. }) if *id == channel => {
                Some(Err(reason.code()))
            }
            _ => None,
        })
        .await
    }

    /// Asks for something that is answered; the answer.
    pub(crate) async fn asks(&mut self, channel: ChannelId, request: ToServer) -> bool {
        self.mux().request(channel, &request).unwrap();
        self.answered(channel).await
    }

    pub(crate) async fn answered(&mut self, channel: ChannelId) -> bool {
        self.awaits(|event| match event {
            ClientEvent::Channel(ChannelEvent::Answered { id, ok }) if *id == channel => Some(*ok),
            _ => None,
        })
        .await
    }

    /// What the server tells of the program.
    pub(crate) async fn is_told(&mut self, channel: ChannelId) -> ToClient {
        self.awaits(|event| match event {
            ClientEvent::Channel(ChannelEvent::Request { id, request, .. }) if *id == channel => {
                Some(request.clone())
            }
            _ => None,
        })
        .await
    }

    pub(crate) async fn sees_closed(&mut self, channel: ChannelId) {
        self.awaits(|event| {
            matches!(event, ClientEvent::Channel(ChannelEvent::Closed(id)) if *id == channel)
                .then_some(())
        })
        .await;
    }

    /// Reads until there are `count` bytes, or the end.
    pub(crate) async fn reads(&mut self, channel: ChannelId, count: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < count {
            while let Some(piece) = self.mux().read(channel) {
                all.extend_from_slice(&piece);
            }
            if all.len() >= count || self.mux().at_eof(channel) {
                break;
            }
            self.awaits(|event| {
                matches!(event, ClientEvent::Channel(ChannelEvent::Readable(id)) if *id == channel)
                    .then_some(())
            })
            .await;
        }
        // What credit there is to give leaves.
        self.flushes().await;
        all
    }

    /// Writes all of `data`, as the server gives credit.
    pub(crate) async fn writes(&mut self, channel: ChannelId, data: &[u8]) {
        for piece in data.chunks(100_000) {
            while self.mux().room(channel) == 0 {
                self.lives(Duration::from_millis(1)).await;
            }
            let piece = Bytes::copy_from_slice(piece);
            self.mux().write(channel, piece).unwrap();
        }
        let sent = async {
            while self.mux().queued(channel) > 0 {
                self.lives(Duration::from_millis(1)).await;
            }
        };
        timeout(SOON, sent).await.expect("the server gives credit");
        self.flushes().await;
    }
}

pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| ((at * 31) >> 3) as u8).collect()
}
