//! User authentication (RFC 4252, RFC 4256). Each end decodes only what the other may send.
//!
//! The core has no policy: the client's half asks for one credential per [`client::Turn`], the
//! server's for one verdict per [`server::Attempt`]. Nor does it know whose password or key is
//! right; it sees to it that what is asked, proved and decided belongs together.

pub mod client;
mod messages;
pub mod server;
mod signed_data;

#[cfg(test)]
mod tests;

use crate::config::Config;
use crate::error::Error;
use crate::packet::Payload;
use crate::role::Role;
use crate::transport::{ExtInfo, SessionId};
use crate::wire;
use bytes::BytesMut;
use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::sync::Arc;

/// The service that follows authentication (RFC 4254 §1).
pub(crate) const CONNECTION_SERVICE: &str = "ssh-connection";
/// The service that authenticates (RFC 4252 §1).
pub(crate) const AUTH_SERVICE: &str = "ssh-userauth";

/// One of the methods that this core speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// Nothing is proved (RFC 4252 §5.2).
    None,
    /// RFC 4252 §8.
    Password,
    /// RFC 4252 §7.
    PublicKey,
    /// RFC 4256.
    KeyboardInteractive,
}

impl Method {
    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Password => "password",
            Self::PublicKey => "publickey",
            Self::KeyboardInteractive => "keyboard-interactive",
        }
    }

    /// The method with this name on the wire.
    pub fn named(name: &[u8]) -> Option<Self> {
        [
            Self::None,
            Self::Password,
            Self::PublicKey,
            Self::KeyboardInteractive,
        ]
        .into_iter()
        .find(|it| it.name().as_bytes() == name)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Proof that user authentication succeeded. Only the two halves in this module can make one, and
/// without one there are no channels.
#[derive(Debug)]
pub struct Authenticated {
    user: String,
    method: Method,
    effort: Effort,
    unsent: VecDeque<BytesMut>,
}

/// Whether anything had to be shown for a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effort {
    /// A password, a signature, or the answer to at least one prompt.
    Proved,
    /// Nothing: `none`, or a dialogue without a single prompt.
    Trivial,
}

impl Authenticated {
    /// Whose authentication it was.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The method that succeeded last.
    pub const fn method(&self) -> Method {
        self.method
    }

    /// Whether nothing at all had to be proved. A server that was meant to ask for a proof and did
    /// not may fake a prompt of its own afterwards, in what looks like our dialogue; whoever must not
    /// be fooled refuses such a connection.
    pub fn was_trivial(&self) -> bool {
        self.effort == Effort::Trivial
    }

    /// Messages that the machine had not been asked for when it ended, a server's SUCCESS last. They
    /// go before anything that the next service says.
    pub(crate) fn take_unsent(&mut self) -> VecDeque<BytesMut> {
        std::mem::take(&mut self.unsent)
    }

    /// A proof of nothing, for tests of what stands behind authentication.
    #[cfg(test)]
    pub(crate) fn forged(user: &str) -> Self {
        let (method, effort) = (Method::PublicKey, Effort::Proved);
        Self {
            user: user.into(),
            method,
            effort,
            unsent: VecDeque::new(),
        }
    }
}

/// One question of a dialogue (RFC 4256 §3.2).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Prompt {
    /// What to ask. From a server it comes with control characters replaced.
    pub text: String,
    /// Whether the answer may be seen while it is typed.
    pub echo: bool,
}

impl Prompt {
    /// A question whose answer may be seen.
    pub fn echoed(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            echo: true,
        }
    }

    /// A question whose answer must not be seen.
    pub fn hidden(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            echo: false,
        }
    }
}

/// What became of an authentication by one more message or decision.
#[derive(Debug)]
#[non_exhaustive]
pub enum Step<M> {
    /// It goes on.
    Stay(M),
    /// It succeeded.
    Done(Authenticated),
}

/// One end's half of user authentication.
pub trait Machine: Sized + Debug + Send {
    /// Which end it is.
    type Role: Role;
    /// What the application is told and asked.
    type Event: Debug + Send;
    /// Messages that may still arrive after success, and are dropped (RFC 4252 §5.1).
    const IGNORED_LATE: &'static [u8];
    /// The number of what this end still has to say once it is done, if anything.
    const LAST: Option<u8>;

    /// Begins, once a first key exchange has made a session id.
    fn start(session: SessionId, config: Arc<Config<Self::Role>>) -> Self;

    /// Moves out what the application is to be told or asked, other than by
    /// [`handle`](Self::handle): at the start, and after each of its own answers.
    fn poll_events(&mut self, events: &mut VecDeque<Self::Event>);

    /// The peer's extensions (RFC 8308), which may change what is tried next.
    fn learn(&mut self, extensions: &ExtInfo);

    /// Whether the peer may be read: not while the application owes an answer.
    fn wants_input(&self) -> bool;

    /// Takes one message.
    ///
    /// # Errors
    /// Whatever the peer must not do; the connection then ends.
    fn handle(
        self,
        payload: Payload<Self::Role, wire::Auth>,
        events: &mut VecDeque<Self::Event>,
    ) -> Result<Step<Self>, Error>;

    /// Writes the next message, if there is one.
    fn poll_message(&mut self, out: &mut BytesMut) -> bool;

    /// What is being waited for, for errors.
    fn stage(&self) -> &'static str;
}

/// What a linear token is known by: which connection asked, and which of its questions it was.
#[derive(Debug)]
struct Ticket {
    session: SessionId,
    serial: u64,
}

/// Where tickets come from and go back to. Only the one issued last is good.
#[derive(Debug)]
struct Tickets {
    session: SessionId,
    last: u64,
}

impl Tickets {
    const fn new(session: SessionId) -> Self {
        Self { session, last: 0 }
    }

    fn issue(&mut self) -> Ticket {
        // 2^64 questions are not asked.
        self.last = self.last.wrapping_add(1);
        Ticket {
            session: self.session.clone(),
            serial: self.last,
        }
    }

    /// Takes a ticket back. It is taken by value, so the same one cannot come twice.
    fn redeem(&self, ticket: Ticket) -> Result<(), Error> {
        let ours =
            ticket.session.as_bytes() == self.session.as_bytes() && ticket.serial == self.last;
        if ours {
            Ok(())
        } else {
            Err(Error::ApiMisuse(
                "an answer to another connection's question",
            ))
        }
    }
}
