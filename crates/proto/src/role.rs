//! Which end of the connection we are. Everything that differs by end hangs off these traits.

use std::fmt::Debug;

/// The end that connects.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a name for a type; there are no values"
)]
pub enum Client {}

/// The end that is connected to.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a name for a type; there are no values"
)]
pub enum Server {}

/// An end as a value, for the two places that name things by end (RFC 4253 §7.2, §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are two ends")]
pub enum Side {
    /// The end that connects.
    Client,
    /// The end that is connected to.
    Server,
}

impl Side {
    /// The other end.
    pub const fn peer(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// One of the two ends. Sealed: there are exactly two.
pub trait Role: sealed::Role {
    /// The other end.
    type Peer: Role<Peer = Self>;
    /// What this end is told.
    type Event: Debug + Send + From<crate::session::Common>;
}

impl Role for Client {
    type Peer = Server;
    type Event = crate::session::ClientEvent;
}

impl Role for Server {
    type Peer = Client;
    type Event = crate::session::ServerEvent;
}

pub(crate) mod sealed {
    //! What an end brings along; only this crate can say it.

    use super::Side;
    use crate::config::Config;
    use crate::connection::{Announced, ChannelEvent, Held, ToClient, ToServer};
    use crate::session::{ClientEvent, HostKey, ServerEvent};
    use crate::transport::{Negotiated, SessionId};
    use std::fmt::Debug;
    use std::sync::Arc;

    /// The private half of [`Role`](super::Role).
    pub trait Role: Sized + 'static + Debug {
        /// Which end this is.
        const SIDE: Side;
        /// What this end needs to be told before it starts.
        type Local: Debug + Send + Sync;
        /// This end's half of a key exchange.
        type Exchange: crate::transport::Exchange<Role = Self>;
        /// This end's half of user authentication.
        type Auth: crate::auth::Machine<Role = Self>;
        /// Which channel requests this end may receive, already parsed.
        type Inbound: crate::connection::InboundRequest;
        /// This end's part in announcing and proving host keys.
        type HostKeys: crate::connection::HostKeys;

        /// How this end words what both ends see of channels.
        fn channel_event(event: ChannelEvent<Self::Inbound>) -> <Self as super::Role>::Event
        where
            Self: super::Role;

        /// How this end words what it sees of user authentication.
        fn auth_event(
            event: <Self::Auth as crate::auth::Machine>::Event,
        ) -> <Self as super::Role>::Event
        where
            Self: super::Role;

        /// How this end asks about a host key; a server never does.
        fn host_key_event(key: HostKey) -> Option<<Self as super::Role>::Event>
        where
            Self: super::Role;

        /// How this end is told that authentication is done.
        fn authenticated_event() -> <Self as super::Role>::Event
        where
            Self: super::Role;

        /// What this end announces and proves of host keys once users are let in.
        fn host_keys(
            config: &Arc<Config<Self>>,
            session: Option<&SessionId>,
            negotiated: Option<&Negotiated>,
        ) -> Self::HostKeys
        where
            Self: super::Role;

        /// The signature algorithms that this end takes from users; a client has none to take.
        fn user_algorithms(local: &Self::Local) -> Option<&[String]>;
    }

    impl Role for super::Client {
        const SIDE: Side = Side::Client;
        type Local = crate::config::ClientLocal;
        type Exchange = crate::transport::ClientExchange;
        type Auth = crate::auth::client::Auth;
        type Inbound = ToClient;
        type HostKeys = Announced;

        fn channel_event(event: ChannelEvent<ToClient>) -> ClientEvent {
            ClientEvent::Channel(event)
        }

        fn auth_event(event: crate::auth::client::Event) -> ClientEvent {
            ClientEvent::Auth(event)
        }

        fn host_key_event(key: HostKey) -> Option<ClientEvent> {
            Some(ClientEvent::HostKey(key))
        }

        fn authenticated_event() -> ClientEvent {
            ClientEvent::Authenticated
        }

        fn host_keys(
            _: &Arc<Config<Self>>,
            _: Option<&SessionId>,
            _: Option<&Negotiated>,
        ) -> Announced {
            Announced::default()
        }

        fn user_algorithms(_: &Self::Local) -> Option<&[String]> {
            None
        }
    }

    impl Role for super::Server {
        const SIDE: Side = Side::Server;
        type Local = crate::config::ServerLocal;
        type Exchange = crate::transport::ServerExchange;
        type Auth = crate::auth::server::Auth;
        type Inbound = ToServer;
        type HostKeys = Held;

        fn channel_event(event: ChannelEvent<ToServer>) -> ServerEvent {
            ServerEvent::Channel(event)
        }

        fn auth_event(event: crate::auth::server::Event) -> ServerEvent {
            ServerEvent::Auth(event)
        }

        fn host_key_event(_: HostKey) -> Option<ServerEvent> {
            None
        }

        fn authenticated_event() -> ServerEvent {
            ServerEvent::Authenticated
        }

        fn host_keys(
            config: &Arc<Config<Self>>,
            session: Option<&SessionId>,
            negotiated: Option<&Negotiated>,
        ) -> Held {
            Held::new(config, session, negotiated)
        }

        fn user_algorithms(local: &Self::Local) -> Option<&[String]> {
            Some(&local.user_algorithms)
        }
    }
}
