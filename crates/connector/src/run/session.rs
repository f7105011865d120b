//! The session of a step: opened when it is first needed, opened again when it was lost, closed at
//! the end.
//!
//! ```text
//!   Session ─┐  a lane each: what it has in hand
//!   Session ─┼─▶ Line ─▶ one remote, connected by whoever needs it first
//!   Session ─┘
//! ```
//! Not a pool: the lanes of a line share one session at a time, and what was learned about its server.
//! A lane that waits for another one rests meanwhile, so that it holds no session that was lost.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::diagnose::{Doing, plain};
pub(super) use super::facts::{Backup, Facts, PlainRename};
use super::lanes::{Held, Room};
use super::stop::Stop;
use crate::connection::Connection;
use crate::error::{Class, Error, Result};
use crate::path::RemotePath;
use crate::remote::{Connect, Remote};
use crate::retry::Retries;

/// The session of a step, or a lane of it.
pub(super) struct Session<C: Connect> {
    line: Arc<Line<C>>,
    connection: Arc<Connection>,
    stop: Stop,
    /// The line's, while this lane uses it.
    remote: Option<Arc<C::Remote>>,
    /// What was learned about the server in this step.
    pub(super) facts: Facts,
}

/// What the lanes of one session share.
struct Line<C: Connect> {
    connect: Arc<C>,
    /// Held by the lane that connects; the others find the session open.
    connecting: tokio::sync::Mutex<()>,
    state: Mutex<State<C::Remote>>,
    /// What the lanes may have in hand together.
    room: Room,
}

struct State<R> {
    remote: Option<Arc<R>>,
    /// Why there will be no session any more.
    dead: Option<Error>,
}

impl<C: Connect> Session<C> {
    pub(super) fn new(connect: Arc<C>, connection: Arc<Connection>, stop: Stop) -> Self {
        Self {
            line: Arc::new(Line {
                connect,
                connecting: tokio::sync::Mutex::default(),
                state: Mutex::new(State {
                    remote: None,
                    dead: None,
                }),
                room: Room::new(connection.memory.0 / 2),
            }),
            connection,
            stop,
            remote: None,
            facts: Facts::default(),
        }
    }

    /// Another session with the same account on the same server, not open yet.
    pub(super) fn another(&self) -> Self {
        Self::new(
            Arc::clone(&self.line.connect),
            Arc::clone(&self.connection),
            self.stop.clone(),
        )
    }

    /// The same session for somebody else, who has a file of his own in hand.
    pub(super) fn lane(&self) -> Self {
        Self {
            line: Arc::clone(&self.line),
            connection: Arc::clone(&self.connection),
            stop: self.stop.clone(),
            remote: None,
            facts: self.facts.shared(),
        }
    }

    /// What the lanes of this session may have in hand.
    pub(super) fn room(&self) -> &Room {
        &self.line.room
    }

    /// Takes a file of so many bytes in hand.
    pub(super) fn hold(&self, size: Option<u64>) -> Held {
        self.line.room.hold(size)
    }

    /// Lets go of the session until it is needed again.
    pub(super) fn rest(&mut self) {
        self.remote = None;
    }

    /// Uses the line's session again, if there is one.
    pub(super) fn resume(&mut self) {
        self.remote.clone_from(&self.line.state().remote);
    }

    pub(super) fn stop(&self) -> &Stop {
        &self.stop
    }

    pub(super) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    pub(super) fn retries(&self) -> Retries {
        Retries::new(&self.connection)
    }

    /// The session, connected if it is not. A server that cannot be reached, or that refuses us,
    /// is not asked again in this step.
    pub(super) async fn open(&mut self) -> Result<()> {
        if self.is_connected() {
            return Ok(());
        }
        let line = Arc::clone(&self.line);
        let _connecting = line.connecting.lock().await;
        if self.is_connected() {
            return Ok(());
        }
        if let Some(dead) = self.dead() {
            return Err(dead);
        }
        let mut retries = self.retries();
        loop {
            self.stop.check().map_err(Error::before_session)?;
            let attempt = line.connect.connect();
            let error = match self.stop.unless(attempt).await {
                Ok(remote) => {
                    self.remote = Some(line.opened(remote));
                    return Ok(());
                }
                Err(error) => error.before_session(),
            };
            let wait = self.wait_before_retry(&error, &mut retries);
            let Some(wait) = wait else {
                line.state().dead = Some(error.clone());
                return Err(error);
            };
            tracing::info!(%error, ?wait, "no session; trying again");
            self.pause(wait).await?;
        }
    }

    /// One attempt at a session, if there is none: for those who wait in their own way.
    pub(super) async fn open_once(&mut self) -> Result<()> {
        if self.is_connected() {
            return Ok(());
        }
        self.stop.check().map_err(Error::before_session)?;
        let attempt = self.line.connect.connect();
        let remote = self.stop.unless(attempt).await;
        let remote = remote.map_err(Error::before_session)?;
        self.remote = Some(self.line.opened(remote));
        Ok(())
    }

    /// Whether the line has a session, which this lane then uses.
    fn is_connected(&mut self) -> bool {
        self.resume();
        self.remote.is_some()
    }

    /// Begins anew with what is there, for a step that goes on for ever: with the time of this
    /// `stop`, and a server that was given up may be asked again. What lies at the server may have
    /// changed meanwhile; how it renames has not.
    pub(super) fn renew(&mut self, stop: Stop) {
        self.stop = stop;
        self.line.state().dead = None;
        self.facts.renew();
    }

    /// Why there will be no session any more, if so.
    pub(super) fn dead(&self) -> Option<Error> {
        self.line.state().dead.clone()
    }

    /// Gives up a session that was lost, for all lanes.
    pub(super) fn drop_lost(&mut self) {
        let Some(lost) = self.remote.take() else {
            return;
        };
        let mut state = self.line.state();
        // Another lane may have opened the next one already.
        if state
            .remote
            .as_ref()
            .is_some_and(|it| Arc::ptr_eq(it, &lost))
        {
            state.remote = None;
        }
    }

    /// The session with what was learned about the server.
    pub(super) fn parts(&mut self) -> (&C::Remote, &mut Facts) {
        let remote = self
            .remote
            .as_deref()
            .expect("a session is opened before it is used");
        (remote, &mut self.facts)
    }

    /// The open session.
    pub(super) fn remote(&self) -> &C::Remote {
        self.remote
            .as_deref()
            .expect("a session is opened before it is used")
    }

    /// Whether there is a session that may still answer.
    pub(super) fn is_open(&self) -> bool {
        self.remote.is_some()
    }

    /// After a failure: a new session, when the old one was lost and trying again is left;
    /// otherwise the failure. What is repeated afterwards must look first.
    pub(super) async fn recover(&mut self, error: Error, retries: &mut Retries) -> Result<()> {
        // A step whose time is up fails in the same class, with its session whole; and a server
        // that is given up is not waited for again.
        let given_up = error.is_before_session() || self.dead().is_some();
        if !is_loss(&error) || given_up || self.stop.check().is_err() {
            return Err(error);
        }
        self.drop_lost();
        let Some(wait) = self.wait_before_retry(&error, retries) else {
            return Err(error);
        };
        tracing::info!(%error, ?wait, "the session was lost; connecting again");
        if self.pause(wait).await.is_err() {
            return Err(error);
        }
        match self.open().await {
            Ok(()) => Ok(()),
            Err(again) => {
                let lost = error.with_note(format_args!("no new session: {again}"));
                // Whoever goes on after this step must know that it was refused, and by what.
                if again.retryable() {
                    self.line.state().dead = Some(lost.clone());
                }
                Err(lost)
            }
        }
    }

    /// The absolute path of a directory that was named relative to the account's home.
    pub(super) async fn resolve(&mut self, directory: &[u8]) -> Result<RemotePath> {
        if directory.first() == Some(&b'/') {
            return Ok(RemotePath::new(directory.to_vec()));
        }
        if let Some(home) = self.facts.home() {
            return Ok(home.resolve(directory));
        }
        let here = RemotePath::from(".");
        let home = self
            .remote()
            .realpath(&here)
            .await
            .map_err(|error| plain(Doing::Looking(&here), error))?;
        let resolved = home.resolve(directory);
        self.facts.found_home(home);
        Ok(resolved)
    }

    /// Ends it in good order, with the last of its lanes.
    pub(super) async fn close(mut self) {
        self.rest();
        let Some(line) = Arc::into_inner(self.line) else {
            return;
        };
        let state = line.state.into_inner();
        let remote = state.unwrap_or_else(PoisonError::into_inner).remote;
        if let Some(remote) = remote.and_then(Arc::into_inner) {
            remote.close().await;
        }
    }

    fn wait_before_retry(
        &self,
        error: &Error,
        retries: &mut Retries,
    ) -> Option<std::time::Duration> {
        if !error.retryable() || self.stop.check().is_err() {
            return None;
        }
        retries.next_wait()
    }

    fn pause(&self, wait: std::time::Duration) -> impl Future<Output = Result<()>> + Send + use<C> {
        let stop = self.stop.clone();
        async move {
            stop.unless(async {
                tokio::time::sleep(wait).await;
                Ok(())
            })
            .await
        }
    }
}

impl<C: Connect> Line<C> {
    fn state(&self) -> MutexGuard<'_, State<C::Remote>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self, remote: C::Remote) -> Arc<C::Remote> {
        self.room.limit(remote.capabilities().open_files);
        let remote = Arc::new(remote);
        self.state().remote = Some(Arc::clone(&remote));
        remote
    }
}

/// Whether this failure means that the session is gone and its last request's effect unknown.
pub(super) fn is_loss(error: &Error) -> bool {
    matches!(error.class(), Class::Disconnected | Class::Timeout)
}
