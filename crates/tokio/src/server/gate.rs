//! How many come in: connections that are not authenticated yet, sessions in all, and of one user.

use crate::shared::Shared;
use sansftp_proto::error::DisconnectReason;
use sansftp_proto::role::Server;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// The bounds of a [`Gate`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Bounds {
    /// Connections that are not authenticated yet, above which new ones are dropped at random; 10, as
    /// OpenSSH's MaxStartups. The likelihood grows from nothing, here, to certainty at
    /// [`half_open_full`](Self::half_open_full): whoever fills the places cannot keep everybody else
    /// out with less than a flood.
    pub half_open_begin: usize,
    /// Connections that are not authenticated yet, above which every new one is dropped; 100. Each
    /// may cost a key exchange, some 50 KiB (half a MiB for one that sends the longest packets there
    /// are), and [`Limits::login`](sansftp_proto::limits::Limits::login) of time.
    pub half_open_full: usize,
    /// Sessions in all; 1,024.
    pub sessions: usize,
    /// Sessions of one user; 256.
    pub sessions_per_user: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            half_open_begin: 10,
            half_open_full: 100,
            sessions: 1024,
            sessions_per_user: 256,
        }
    }
}

/// Counts who is inside. Cheap to clone: all clones are one gate.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    bounds: Bounds,
    inside: Mutex<Inside>,
    /// Somebody has left.
    left: Notify,
}

#[derive(Default)]
struct Inside {
    half_open: usize,
    sessions: HashMap<u64, Weak<Shared<Server>>>,
    per_user: HashMap<Arc<str>, usize>,
    /// Number of the next session.
    next: u64,
    shut: bool,
}

impl Gate {
    /// Nobody is inside yet.
    pub fn new(bounds: Bounds) -> Self {
        Self(Arc::new(Inner {
            bounds,
            inside: Mutex::default(),
            left: Notify::new(),
        }))
    }

    /// A connection has come. `None`: it is to be dropped, at once and without a word.
    pub fn enter(&self) -> Option<Entrance> {
        let Bounds {
            half_open_begin: begin,
            half_open_full: full,
            ..
        } = self.0.bounds;
        let mut inside = self.0.lock();
        let there = inside.half_open;
        if inside.shut || there >= full {
            return None;
        }
        if there >= begin {
            // As often as `there` is far on the way from `begin` to `full`.
            let (way, length) = (there - begin, full - begin);
            let chance =
                RandomState::new().hash_one(()) % u64::try_from(length).unwrap_or(u64::MAX);
            if chance < u64::try_from(way).unwrap_or(u64::MAX) {
                return None;
            }
        }
        inside.half_open += 1;
        Some(Entrance(self.clone()))
    }

    /// Connections that are not authenticated yet.
    pub fn half_open(&self) -> usize {
        self.0.lock().half_open
    }

    /// Sessions in all.
    pub fn sessions(&self) -> usize {
        self.0.lock().sessions.len()
    }

    /// Lets nobody in any more, waits for those who are inside for as long as `grace`, then
    /// [disconnects](Self::disconnect) them and waits until they are gone, 5 s at most. May be given
    /// up half-way; the gate stays shut.
    pub async fn shut_down(&self, grace: Duration) {
        self.shut();
        if tokio::time::timeout(grace, self.emptied()).await.is_ok() {
            return;
        }
        self.disconnect("the server is shutting down");
        // Whoever holds a session beyond its end is not waited for.
        let _ = tokio::time::timeout(LAST, self.emptied()).await;
    }

    /// Lets nobody in any more. Who is inside may stay, and who is about to authenticate may not:
    /// that is said once it is proved who it is. Whoever wants such connections to end before drops
    /// the future of [`Session::accept`](super::Session::accept).
    pub fn shut(&self) {
        self.0.lock().shut = true;
    }

    /// Ends every session, and says why: `text` is for people.
    pub fn disconnect(&self, text: &str) {
        let sessions: Vec<_> = self.0.lock().sessions.values().cloned().collect();
        for session in sessions.iter().filter_map(Weak::upgrade) {
            session.with(|state| {
                state
                    .conn
                    .disconnect_because(DisconnectReason::ByApplication, text);
            });
        }
    }

    /// Completes when no session is inside.
    async fn emptied(&self) {
        loop {
            let left = self.0.left.notified();
            if self.sessions() == 0 {
                return;
            }
            left.await;
        }
    }
}

/// How long the disconnected may take to go.
const LAST: Duration = Duration::from_secs(5);

impl Inner {
    /// What is counted is whole whenever the lock is free, so also after a panic.
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("half_open", &self.half_open())
            .field("sessions", &self.sessions())
            .finish_non_exhaustive()
    }
}

/// A place among the connections that are not authenticated yet, until it is dropped or becomes a
/// session's by [`Session::admit`](super::Session::admit).
#[derive(Debug)]
#[must_use = "dropping it gives the place away"]
pub struct Entrance(Gate);

impl Entrance {
    /// Changes the place for a session's.
    pub(super) fn admit(
        self,
        user: &str,
        session: Weak<Shared<Server>>,
    ) -> Result<Resident, TooMany> {
        let inner = &self.0.0;
        let mut inside = inner.lock();
        if inside.shut {
            return Err(TooMany::ShuttingDown);
        }
        if inside.sessions.len() >= inner.bounds.sessions {
            return Err(TooMany::Sessions);
        }
        let own = inside.per_user.get(user).copied().unwrap_or(0);
        if own >= inner.bounds.sessions_per_user {
            return Err(TooMany::OfUser);
        }
        let user: Arc<str> = user.into();
        let number = inside.next;
        inside.next += 1;
        inside.per_user.insert(Arc::clone(&user), own + 1);
        inside.sessions.insert(number, session);
        Ok(Resident {
            gate: self.0.clone(),
            number,
            user,
        })
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        self.0.0.lock().half_open -= 1;
    }
}

/// A session's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Resident {
    gate: Gate,
    number: u64,
    user: Arc<str>,
}

impl Drop for Resident {
    fn drop(&mut self) {
        let mut inside = self.gate.0.lock();
        inside.sessions.remove(&self.number);
        if let Some(own) = inside.per_user.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                inside.per_user.remove(&self.user);
            }
        }
        drop(inside);
        self.gate.0.left.notify_waiters();
    }
}

/// Why there is no place for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TooMany {
    /// As many as [`Bounds::sessions`].
    #[error("too many sessions")]
    Sessions,
    /// As many of this user's as [`Bounds::sessions_per_user`].
    #[error("too many sessions of this user")]
    OfUser,
    /// The gate is shut.
    #[error("the server is shutting down")]
    ShuttingDown,
}
