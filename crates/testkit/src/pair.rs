//! Two connections and the two links between them: no sockets, no threads, and the time is what the test says. Not a
//! driver: it runs until nothing moves, and leaves every question to the test.

use crate::link::Link;
use crate::suite::Suite;
use bytes::{Buf, Bytes, BytesMut};
use sansftp_proto::auth::client::{Credential, Turn};
use sansftp_proto::auth::server::{Attempt, Offered, Verdict};
use sansftp_proto::auth::{client, server};
use sansftp_proto::connection::{ChannelEvent, ChannelId, Mux, ToServer};
use sansftp_proto::crypto::Secret;
use sansftp_proto::error::Error;
use sansftp_proto::role::{Client, Role, Server};
use sansftp_proto::session::{
    ClientEvent, Common, Config, Connection, HostKey, ServerEvent, Trust,
};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much an end is asked to seal at a time, in bytes.
const ROOM: usize = 64 * 1024;

/// Steps after which a pair that still moves is taken to be a livelock: far more than a byte-wise
/// handshake with a megabyte behind it needs.
const LIVELOCK: u32 = 20_000_000;

/// What both ends are told before they start. Change what the test is about, then [`start`](Self::start).
#[derive(Debug)]
pub struct Ends {
    /// Of the client.
    pub client: Config<Client>,
    /// Of the server.
    pub server: Config<Server>,
}

impl Ends {
    /// Both with the same provider, from different seeds; the server with one host key.
    pub fn over(suite: Suite) -> Self {
        let server = Config::server(suite.provider(2), vec![suite.key(0)]).with_all_algorithms();
        Self {
            client: Config::client(suite.provider(1)).with_all_algorithms(),
            server,
        }
    }

    /// Begins both connections.
    pub fn start(self) -> Pair {
        let now = Instant::now();
        let client = Connection::client(Arc::new(self.client), now);
        let server = Connection::server(Arc::new(self.server), now);
        Pair {
            client: client.expect("the client's configuration has algorithms"),
            server: server.expect("the server's configuration has algorithms"),
            to_server: Link::new(),
            to_client: Link::new(),
            client_input: BytesMut::new(),
            server_input: BytesMut::new(),
            client_events: VecDeque::new(),
            server_events: VecDeque::new(),
            now,
            told: [false; 2],
        }
    }
}

/// Two connections and what is between them.
#[derive(Debug)]
pub struct Pair {
    /// The end that connects.
    pub client: Connection<Client>,
    /// The end that is connected to.
    pub server: Connection<Server>,
    /// From client to server.
    pub to_server: Link,
    /// From server to client.
    pub to_client: Link,
    /// What the client was told and nobody took.
    pub client_events: VecDeque<ClientEvent>,
    /// What the server was told and nobody took.
    pub server_events: VecDeque<ServerEvent>,
    /// What both ends take for now.
    pub now: Instant,
    client_input: BytesMut,
    server_input: BytesMut,
    /// Which ends have been told that it is over.
    told: [bool; 2],
}

impl Pair {
    /// A pair with nothing special about it.
    pub fn over(suite: Suite) -> Self {
        Ends::over(suite).start()
    }

    /// Both links deliver at most `bytes` at a time.
    pub const fn fragment(&mut self, bytes: usize) {
        self.to_server.chunk = bytes;
        self.to_client.chunk = bytes;
    }

    /// Moves what one move moves, in both directions, and says whether anything did.
    pub fn step(&mut self) -> bool {
        let now = self.now;
        let mut moved = half(
            &mut self.client,
            (&mut self.to_client, &mut self.client_input),
            &mut self.to_server,
            now,
        );
        moved |= half(
            &mut self.server,
            (&mut self.to_server, &mut self.server_input),
            &mut self.to_client,
            now,
        );
        while let Some(event) = self.client.poll_event() {
            told_once(
                &mut self.told[0],
                matches!(event, ClientEvent::Common(Common::Closed(_))),
            );
            self.client_events.push_back(event);
            moved = true;
        }
        while let Some(event) = self.server.poll_event() {
            told_once(
                &mut self.told[1],
                matches!(event, ServerEvent::Common(Common::Closed(_))),
            );
            self.server_events.push_back(event);
            moved = true;
        }
        moved
    }

    /// Runs until nothing moves and nothing is under way. Time passes only as far as delayed bytes
    /// need; timers are for [`pass`](Self::pass).
    pub fn drive(&mut self) {
        for _ in 0..LIVELOCK {
            if self.step() {
                continue;
            }
            let arrivals = [self.to_server.next_arrival(), self.to_client.next_arrival()];
            match arrivals.into_iter().flatten().min() {
                Some(at) if at > self.now => self.now = at,
                _ => return,
            }
        }
        panic!("the pair still moves: a livelock");
    }

    /// Lets time pass, with every timer of either end told when it is due.
    pub fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        self.drive();
        loop {
            let timers = [self.client.poll_timeout(), self.server.poll_timeout()];
            let arrivals = [self.to_server.next_arrival(), self.to_client.next_arrival()];
            let next = timers.into_iter().chain(arrivals).flatten().min();
            let Some(next) = next.filter(|at| *at <= until) else {
                break;
            };
            self.now = self.now.max(next);
            // What comes of it is seen in the events.
            let _ = self.client.handle_timeout(self.now);
            let _ = self.server.handle_timeout(self.now);
            self.drive();
        }
        self.now = until;
    }

    // ---- what most tests begin with

    /// To the end of the key exchange: the client trusts whatever key comes.
    pub fn exchange_keys(&mut self) -> Turn {
        self.drive();
        let key = self.host_key();
        self.client
            .judge(key, Trust::Trusted)
            .expect("the key is this connection's");
        self.drive();
        let Some(ClientEvent::Auth(client::Event::AuthRequired { turn, .. })) =
            self.client_events.pop_front()
        else {
            panic!(
                "the client was not asked for a credential: {:?}",
                self.client_events
            );
        };
        turn
    }

    /// The question about the host key, which has come.
    pub fn host_key(&mut self) -> HostKey {
        match self.client_events.pop_front() {
            Some(ClientEvent::HostKey(key)) => key,
            other => panic!(
                "{other:?} instead of the host key; {:?}",
                self.client.error()
            ),
        }
    }

    /// The next attempt at the server, which has come.
    pub fn attempt(&mut self) -> Attempt {
        match self.server_events.pop_front() {
            Some(ServerEvent::Auth(server::Event::Attempt(attempt))) => attempt,
            other => panic!("{other:?} instead of an attempt; {:?}", self.server.error()),
        }
    }

    /// To the end of authentication, with the password `p` of user `u`.
    pub fn connect(&mut self) {
        let turn = self.exchange_keys();
        let credential = Credential::Password {
            user: "u".into(),
            password: Secret::from("p"),
        };
        self.client
            .authenticate(turn, credential)
            .expect("the turn is this connection's");
        self.drive();
        let attempt = self.attempt();
        assert_eq!(attempt.user, "u");
        assert!(
            matches!(&attempt.method, Offered::Password(it) if *it == Secret::from("p")),
            "{attempt:?}"
        );
        self.server
            .decide(attempt, Verdict::Accept)
            .expect("the attempt is this connection's");
        self.drive();
        assert!(
            matches!(
                self.client_events.pop_front(),
                Some(ClientEvent::Authenticated)
            ),
            "{:?}",
            self.client.error()
        );
        assert!(matches!(
            self.server_events.pop_front(),
            Some(ServerEvent::Authenticated)
        ));
    }

    /// A session channel, by its ids at client and server.
    pub fn channel(&mut self) -> (ChannelId, ChannelId) {
        let ours = self
            .client_mux()
            .open_session()
            .expect("there is room for a channel");
        self.drive();
        let Some(ServerEvent::Channel(ChannelEvent::Offered(offer))) =
            self.server_events.pop_front()
        else {
            panic!("no channel was offered: {:?}", self.server_events);
        };
        let theirs = self
            .server_mux()
            .accept(offer)
            .expect("the offer is this connection's");
        self.drive();
        assert!(matches!(
            self.client_events.pop_front(),
            Some(ClientEvent::Channel(ChannelEvent::Opened(id))) if id == ours
        ));
        (ours, theirs)
    }

    /// A session channel on which the `sftp` subsystem has been asked for and granted.
    pub fn subsystem(&mut self) -> (ChannelId, ChannelId) {
        let (ours, theirs) = self.channel();
        self.client_mux()
            .request(ours, &ToServer::Subsystem(Bytes::from_static(b"sftp")))
            .expect("the channel is open");
        self.drive();
        let Some(ServerEvent::Channel(ChannelEvent::Request {
            request: ToServer::Subsystem(name),
            answer: Some(answer),
            ..
        })) = self.server_events.pop_front()
        else {
            panic!("the subsystem was not asked for: {:?}", self.server_events);
        };
        assert_eq!(name, "sftp");
        self.server_mux().answer(answer, true);
        self.drive();
        assert!(matches!(
            self.client_events.pop_front(),
            Some(ClientEvent::Channel(ChannelEvent::Answered {
                ok: true,
                ..
            }))
        ));
        (ours, theirs)
    }

    /// The client's channels.
    pub fn client_mux(&mut self) -> &mut Mux<Client> {
        let error = self.client.error().cloned();
        self.client
            .mux()
            .unwrap_or_else(|| panic!("the client has no channels: {error:?}"))
    }

    /// The server's channels.
    pub fn server_mux(&mut self) -> &mut Mux<Server> {
        let error = self.server.error().cloned();
        self.server
            .mux()
            .unwrap_or_else(|| panic!("the server has no channels: {error:?}"))
    }

    /// Bytes that were delivered and not taken: at the server, and at the client.
    pub fn untaken(&self) -> [usize; 2] {
        [self.server_input.len(), self.client_input.len()]
    }

    /// The errors that have ended the ends, client's first.
    pub fn errors(&self) -> [Option<&Error>; 2] {
        [self.client.error(), self.server.error()]
    }
}

/// One end's turn: bytes in, bytes out.
fn half<R: Role>(
    end: &mut Connection<R>,
    (inbound, input): (&mut Link, &mut BytesMut),
    outbound: &mut Link,
    now: Instant,
) -> bool {
    let delivered = inbound.deliver(now, input);
    let before = input.len();
    // The error is an event too, which the test sees.
    let _ = end.handle_input(now, input);
    let consumed = before - input.len();
    if inbound.is_at_end() && end.error().is_none() && (input.is_empty() || consumed == 0) {
        let _ = end.handle_eof(now);
    }
    let out = end.transmit(now, ROOM);
    let sent = out.len();
    outbound.write(now, out);
    out.advance(sent);
    delivered + consumed + sent > 0
}

/// Nothing may be told after the end, and the end not twice.
fn told_once(told: &mut bool, closed: bool) {
    assert!(!*told, "an event after the end");
    *told = closed;
}
