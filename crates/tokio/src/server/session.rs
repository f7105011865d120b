//! An authenticated connection at the server's end, and how a stream becomes one.

use super::authenticate::{Authenticate, Judgement};
use super::channel::Incoming;
use super::delay;
use super::gate::{Entrance, Resident, TooMany};
use crate::deadline::now;
use crate::driver::Driver;
use crate::error::Lost;
use crate::shared::Shared;
use sansftp_proto::auth::Method;
use sansftp_proto::auth::server::{Attempt, Event};
use sansftp_proto::error::{DisconnectReason, Error as Protocol};
use sansftp_proto::role::Server;
use sansftp_proto::session::{Config, Connection, ServerEvent};
use sansftp_proto::transport::Negotiated;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

/// How long closing in good order may take.
const CLOSE: Duration = Duration::from_secs(5);

/// Why a connection did not become a session. Nothing is left open then.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// The configuration allows no connection: a list of algorithms is empty, or there is no host key
    /// for any of them.
    #[error("no connection can be made: {0}")]
    Unusable(Protocol),
    /// It was not authenticated within [`Limits::login`](sansftp_proto::limits::Limits::login).
    #[error("not authenticated in time (waiting for {waiting_for})")]
    TimedOut {
        /// What the connection was waiting for.
        waiting_for: &'static str,
    },
    /// Too many attempts failed, as
    /// [`Limits::auth_attempts`](sansftp_proto::limits::Limits::auth_attempts) says.
    #[error("too many attempts to authenticate as {}", .user.escape_debug())]
    Refused {
        /// The name in the last attempt.
        user: String,
    },
    /// The connection ended.
    #[error("{lost}")]
    Lost {
        /// The name in the last attempt, once there was one.
        user: Option<String>,
        /// How.
        lost: Lost,
    },
}

/// An authenticated connection at the server's end. Dropping it ends the connection and all that runs
/// in it; [`close`](Self::close) says why.
pub struct Session<I> {
    link: Link,
    identity: I,
    user: String,
    method: Method,
    /// The place that it holds in what the gate counts.
    resident: Option<Resident>,
}

impl<I: Send + 'static> Session<I> {
    /// Handshake and authentication over any stream, within
    /// [`Limits::login`](sansftp_proto::limits::Limits::login).
    ///
    /// Attempts are judged one after the other. The answer to one that fails waits for a time that
    /// does not tell how long its judgement took, 5 to 9 ms at least. A judgement that is under way
    /// when the connection ends is dropped.
    ///
    /// # Errors
    /// [`AcceptError`]
    pub async fn accept<Io, A>(
        io: Io,
        config: Arc<Config<Server>>,
        authenticate: A,
    ) -> Result<Self, AcceptError>
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        A: Authenticate<Identity = I>,
    {
        let conn = Connection::server(config, now()).map_err(AcceptError::Unusable)?;
        let shared = Shared::new(conn);
        let driver = tokio::spawn(Driver::new(Arc::clone(&shared), io));
        // From here on a drop, an error's included, ends the connection.
        let link = Link { shared, driver };
        let (identity, user, method) = link.authenticate(authenticate).await?;
        Ok(Self {
            link,
            identity,
            user,
            method,
            resident: None,
        })
    }
}

impl<I> Session<I> {
    /// Who it is, as [`Judgement::Accept`] said.
    pub const fn identity(&self) -> &I {
        &self.identity
    }

    /// The name that was authenticated.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The method that succeeded last.
    pub const fn method(&self) -> Method {
        self.method
    }

    /// What was negotiated by the newest key exchange.
    pub fn negotiated(&self) -> Option<Negotiated> {
        self.link.shared.lock().conn.negotiated().cloned()
    }

    /// The client's identification line.
    pub fn client_ident(&self) -> Vec<u8> {
        let state = self.link.shared.lock();
        state.conn.peer_ident().unwrap_or_default().to_vec()
    }

    /// How many key exchanges have finished.
    pub fn exchanges(&self) -> u64 {
        self.link.shared.lock().conn.exchanges()
    }

    /// Takes a place among those that the gate admits, until the session is dropped.
    ///
    /// # Errors
    /// [`TooMany`]: the session is then to be closed, with
    /// [`DisconnectReason::TooManyConnections`].
    pub fn admit(&mut self, entrance: Entrance) -> Result<(), TooMany> {
        let shared = Arc::downgrade(&self.link.shared);
        self.resident = Some(entrance.admit(&self.user, shared)?);
        Ok(())
    }

    /// The next channel that the client wants. May be given up and asked for again.
    ///
    /// # Errors
    /// How the connection ended: every session ends so.
    pub async fn next(&mut self) -> Result<Incoming, Lost> {
        loop {
            let shared = &self.link.shared;
            let offer = poll_fn(|cx| shared.lock().machines.poll_offer(cx)).await?;
            if let Some(incoming) = Incoming::new(Arc::clone(shared), offer) {
                return Ok(incoming);
            }
        }
    }

    /// Changes the keys now (RFC 4253 §9).
    pub fn rekey(&self) {
        // An error is sticky: whoever waits next is told.
        let _ = self.link.shared.with(|state| state.conn.rekey());
    }

    /// Ends the connection and tells the client why, for at most 5 s. The text is for people.
    pub async fn close(mut self, reason: DisconnectReason, text: &str) {
        self.link
            .shared
            .with(|state| state.conn.disconnect_because(reason, text));
        if tokio::time::timeout(CLOSE, &mut self.link.driver)
            .await
            .is_err()
        {
            self.link.driver.abort();
        }
    }
}

impl<I> fmt::Debug for Session<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("user", &self.user)
            .field("method", &self.method)
            .finish_non_exhaustive()
    }
}

/// A connection and its driver. Dropping it ends the connection.
struct Link {
    shared: Arc<Shared<Server>>,
    driver: JoinHandle<()>,
}

impl Link {
    /// Has each attempt judged until one lets the user in: who it is, under which name and how.
    async fn authenticate<A: Authenticate>(
        &self,
        mut authenticate: A,
    ) -> Result<(A::Identity, String, Method), AcceptError> {
        let mut user = None;
        let mut identity = None;
        loop {
            let event = match self.shared.event().await {
                Ok(event) => event,
                Err(lost) => return Err(ended(user, lost)),
            };
            match event {
                ServerEvent::Auth(Event::Attempt(attempt)) => {
                    user = Some(attempt.user.clone());
                    // `None`: the connection has ended, and the next event says how.
                    identity = self.judge(&mut authenticate, attempt).await;
                }
                // The core has taken the last verdict: that was the one which let the user in.
                ServerEvent::Authenticated => {
                    let identity = identity.take().ok_or(AcceptError::Unusable(NO_IDENTITY))?;
                    if let Some((user, method)) = self.who() {
                        return Ok((identity, user, method));
                    }
                    // It has ended since, and the next event says how.
                }
                _ => {}
            }
        }
    }

    /// Has one attempt judged, and answers it; who it is if the core takes that for a success.
    async fn judge<A: Authenticate>(
        &self,
        authenticate: &mut A,
        attempt: Attempt,
    ) -> Option<A::Identity> {
        let arrived = now();
        let judgement = self.unless_ended(authenticate.judge(&attempt)).await?;
        // Only what gives nothing away need not wait.
        if !matches!(judgement, Judgement::Accept(_) | Judgement::Acceptable) {
            let due = delay::due(&attempt.user, arrived, now());
            self.unless_ended(tokio::time::sleep_until(due.into()))
                .await?;
        }
        let (verdict, identity) = judgement.split();
        // An error is sticky: the next event tells it.
        self.shared
            .with(|state| state.conn.decide(attempt, verdict))
            .ok()?;
        identity
    }

    /// Awaits `work`; `None` when the connection ends before.
    async fn unless_ended<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let mut ended = pin!(self.shared.ended());
        poll_fn(|cx| {
            if ended.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(cx).map(Some)
        })
        .await
    }

    /// Whose connection it is, unless it has ended.
    fn who(&self) -> Option<(String, Method)> {
        let mut state = self.shared.lock();
        let proof = state.conn.mux()?.authenticated();
        Some((proof.user().to_owned(), proof.method()))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.with(|state| state.conn.disconnect());
    }
}

/// Says that the core let somebody in whom nobody had accepted.
const NO_IDENTITY: Protocol = Protocol::Unreachable("authenticated without a verdict");

fn ended(user: Option<String>, lost: Lost) -> AcceptError {
    match (lost.protocol, user) {
        (Protocol::TimedOut { waiting_for }, _) => AcceptError::TimedOut { waiting_for },
        (Protocol::AuthenticationFailed, Some(user)) => AcceptError::Refused { user },
        (protocol, user) => AcceptError::Lost {
            user,
            lost: Lost {
                protocol,
                io: lost.io,
            },
        },
    }
}
