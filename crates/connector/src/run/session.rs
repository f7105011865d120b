//! The one session of a step: opened when it is first needed, opened again when it was lost,
//! closed at the end.
//!
//! Not a pool: a step has one session at a time.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use super::diagnose::{Doing, plain};
use super::stop::Stop;
use crate::connection::Connection;
use crate::error::{Class, Error, Result};
use crate::path::RemotePath;
use crate::remote::{Connect, Remote};
use crate::retry::Retries;

/// The session of a step.
pub(super) struct Session<C: Connect> {
    connect: Arc<C>,
    connection: Arc<Connection>,
    stop: Stop,
    remote: Option<C::Remote>,
    home: Option<RemotePath>,
    /// Why there will be no session any more.
    dead: Option<Error>,
    /// What was learned about the server in this step.
    pub(super) facts: Facts,
}

/// What was learned about a server by trying.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// What its plain rename does with an existing target.
    pub(super) plain_rename: Option<PlainRename>,
    /// Probes that may still lie there, because the connection was lost.
    pub(super) probes: Vec<RemotePath>,
    /// Directories that were seen to be there.
    pub(super) directories: HashSet<RemotePath>,
    /// Pairs of directories that are two, by whatever name.
    pub(super) distinct: HashSet<(RemotePath, RemotePath)>,
    /// Of names that were numbered: the number after the last that was found taken or claimed.
    numbered: HashMap<RemotePath, u32>,
    /// Backups that earlier runs left, by the directory that was listed for them.
    backups: HashMap<RemotePath, Vec<Backup>>,
}

/// An old file that an interrupted replacement left aside.
#[derive(Clone, Debug)]
pub(super) struct Backup {
    pub(super) name: Bytes,
    /// When its content was modified, in seconds since 1970.
    pub(super) modified: Option<i64>,
}

/// So much is remembered of each at most; then it is forgotten and learned again.
const REMEMBERED: usize = 1024;

impl Facts {
    pub(super) fn found_directory(&mut self, directory: RemotePath) {
        if self.directories.len() >= REMEMBERED {
            self.directories.clear();
        }
        self.directories.insert(directory);
    }

    pub(super) fn found_distinct(&mut self, one: RemotePath, other: RemotePath) {
        if self.distinct.len() >= REMEMBERED {
            self.distinct.clear();
        }
        self.distinct.insert((one, other));
    }

    /// Which number to try after the name itself was found taken.
    pub(super) fn first_number(&self, path: &RemotePath) -> u32 {
        self.numbered.get(path).copied().unwrap_or(1)
    }

    pub(super) fn found_number(&mut self, path: RemotePath, next: u32) {
        if self.numbered.len() >= REMEMBERED {
            self.numbered.clear();
        }
        self.numbered.insert(path, next);
    }

    /// The backups that a listing of this directory showed; `None` before there was one.
    pub(super) fn backups(&self, directory: &RemotePath) -> Option<&[Backup]> {
        self.backups.get(directory).map(Vec::as_slice)
    }

    /// A listing showed these backups. Too many to remember are listed again.
    pub(super) fn found_backups(&mut self, directory: RemotePath, backups: Vec<Backup>) {
        let known: usize = self.backups.values().map(Vec::len).sum();
        if self.backups.len() >= REMEMBERED || known + backups.len() > REMEMBERED {
            self.backups.clear();
        }
        if backups.len() <= REMEMBERED {
            self.backups.insert(directory, backups);
        }
    }

    /// One was left in this directory: what was listed of it holds no more.
    pub(super) fn left_backup(&mut self, directory: &RemotePath) {
        self.backups.remove(directory);
    }
}

/// What a server's plain rename does with an existing target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlainRename {
    /// It refuses.
    Refuses,
    /// It replaces it.
    Replaces,
    /// It is of no use.
    Unusable,
}

impl<C: Connect> Session<C> {
    pub(super) fn new(connect: Arc<C>, connection: Arc<Connection>, stop: Stop) -> Self {
        Self {
            connect,
            connection,
            stop,
            remote: None,
            home: None,
            dead: None,
            facts: Facts::default(),
        }
    }

    /// Another session with the same account on the same server, not open yet.
    pub(super) fn another(&self) -> Self {
        Self::new(
            Arc::clone(&self.connect),
            Arc::clone(&self.connection),
            self.stop.clone(),
        )
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
        if self.remote.is_some() {
            return Ok(());
        }
        if let Some(dead) = &self.dead {
            return Err(dead.clone());
        }
        let mut retries = self.retries();
        loop {
            self.stop.check().map_err(Error::before_session)?;
            let attempt = self.connect.connect();
            let error = match self.stop.unless(attempt).await {
                Ok(remote) => {
                    self.remote = Some(remote);
                    return Ok(());
                }
                Err(error) => error.before_session(),
            };
            let wait = self.wait_before_retry(&error, &mut retries);
            let Some(wait) = wait else {
                self.dead = Some(error.clone());
                return Err(error);
            };
            tracing::info!(%error, ?wait, "no session; trying again");
            self.pause(wait).await?;
        }
    }

    /// One attempt at a session, if there is none: for those who wait in their own way.
    pub(super) async fn open_once(&mut self) -> Result<()> {
        if self.remote.is_some() {
            return Ok(());
        }
        self.stop.check().map_err(Error::before_session)?;
        let attempt = self.connect.connect();
        let remote = self.stop.unless(attempt).await;
        self.remote = Some(remote.map_err(Error::before_session)?);
        Ok(())
    }

    /// Begins anew with what is there, for a step that goes on for ever: with the time of this
    /// `stop`, and a server that was given up may be asked again. What lies at the server may have
    /// changed meanwhile; how it renames has not.
    pub(super) fn renew(&mut self, stop: Stop) {
        self.stop = stop;
        self.dead = None;
        self.facts.directories.clear();
        self.facts.distinct.clear();
        self.facts.numbered.clear();
        self.facts.backups.clear();
    }

    /// Why there will be no session any more, if so.
    pub(super) fn dead(&self) -> Option<&Error> {
        self.dead.as_ref()
    }

    /// Gives up a session that was lost.
    pub(super) fn drop_lost(&mut self) {
        self.remote = None;
    }

    /// The session with what was learned about the server.
    pub(super) fn parts(&mut self) -> (&C::Remote, &mut Facts) {
        let remote = self
            .remote
            .as_ref()
            .expect("a session is opened before it is used");
        (remote, &mut self.facts)
    }

    /// The open session.
    pub(super) fn remote(&self) -> &C::Remote {
        self.remote
            .as_ref()
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
        let given_up = error.is_before_session() || self.dead.is_some();
        if !is_loss(&error) || given_up || self.stop.check().is_err() {
            return Err(error);
        }
        self.remote = None;
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
                    self.dead = Some(lost.clone());
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
        if self.home.is_none() {
            let here = RemotePath::from(".");
            let home = self
                .remote()
                .realpath(&here)
                .await
                .map_err(|error| plain(Doing::Looking(&here), error))?;
            self.home = Some(home);
        }
        let home = self.home.as_ref().expect("the home was just asked for");
        Ok(home.resolve(directory))
    }

    /// Ends it in good order.
    pub(super) async fn close(mut self) {
        if let Some(remote) = self.remote.take() {
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

/// Whether this failure means that the session is gone and its last request's effect unknown.
pub(super) fn is_loss(error: &Error) -> bool {
    matches!(error.class(), Class::Disconnected | Class::Timeout)
}
