//! What all sessions of a program share: places per account, one attempt at credentials that nobody
//! knows to be right, and memory for data in flight.
//!
//! Not the connecting, and no pool: a session that ends is not kept for the next.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::connection::Connection;
use crate::error::{Error, Result};

/// Shared by every [`SftpConnect`](super::SftpConnect) of a program; cheap to clone.
///
/// * Of one account, a host, port and user, at most `max-sessions` are open at once; whoever wants
///   more waits in a queue, in the order of coming.
/// * While no session of an account is open, its credentials are tried by one session at a time. A
///   refusal is remembered for the life of this value: whoever comes with the same credentials
///   afterwards, or waited meanwhile, fails alike, and the server is not contacted.
/// * Files that are open for data share their connection's `memory` evenly; each has at least one
///   piece in flight.
///
/// A step that holds a session while it waits for another of the same account takes two of its
/// places: `max-sessions` has to be as large as what is held at once.
#[derive(Clone, Default)]
pub struct Sessions(Arc<Shared>);

#[derive(Default)]
struct Shared {
    accounts: Mutex<HashMap<Account, Arc<Places>>>,
    /// Tells credentials apart without keeping any; its key is drawn for each value.
    hasher: RandomState,
    /// Files that are open for data.
    files: AtomicUsize,
}

/// What a server locks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Account {
    host: String,
    port: u16,
    user: String,
}

impl Sessions {
    /// A value that nothing shares yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells credentials from others.
    pub(super) fn mark(&self, credentials: &[&[u8]]) -> Mark {
        Mark(self.0.hasher.hash_one(credentials))
    }

    /// The account's door for these credentials.
    pub(super) fn door(&self, connection: &Connection, user: &str, mark: Mark) -> Door {
        let account = Account {
            host: connection.host.trim().to_ascii_lowercase(),
            port: connection.port,
            user: user.to_owned(),
        };
        let max = connection.max_sessions.get();
        let places = {
            let mut accounts = locked(&self.0.accounts);
            let places = accounts
                .entry(account.clone())
                .or_insert_with(|| Arc::new(Places::new(max)));
            Arc::clone(places)
        };
        places.limit_to(max);
        let step = {
            let mut steps = locked(&places.steps);
            Arc::clone(steps.entry(mark).or_default())
        };
        Door {
            account,
            places,
            step,
        }
    }

    /// A share of the memory for data in flight, for as long as a file is open.
    pub(super) fn share(&self, memory: usize) -> Share {
        self.0.files.fetch_add(1, Ordering::Relaxed);
        Share {
            sessions: self.clone(),
            memory,
        }
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions")
            .field("files", &self.0.files)
            .finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stands for credentials, of which it tells nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Mark(u64);

/// The places of an account.
#[derive(Debug)]
struct Places {
    free: Arc<Semaphore>,
    bound: Mutex<Bound>,
    steps: Mutex<HashMap<Mark, Arc<DoorStep>>>,
}

/// How many there may be, and how many more than that are still taken.
#[derive(Debug)]
struct Bound {
    places: usize,
    excess: usize,
}

impl Places {
    fn new(places: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
            bound: Mutex::new(Bound { places, excess: 0 }),
            steps: Mutex::default(),
        }
    }

    /// Of several connections with one account the smallest bound holds.
    fn limit_to(&self, places: usize) {
        let mut bound = locked(&self.bound);
        let Some(fewer) = bound.places.checked_sub(places).filter(|it| *it > 0) else {
            return;
        };
        bound.places = places;
        bound.excess += fewer - self.free.forget_permits(fewer);
    }
}

/// What is known of an account's credentials.
#[derive(Debug, Default)]
struct DoorStep {
    /// Held by the one that tries credentials of which nobody knows whether they are right.
    turn: Arc<AsyncMutex<()>>,
    /// Open sessions that these credentials opened.
    inside: AtomicUsize,
    refusal: OnceLock<Error>,
}

impl DoorStep {
    fn check(&self) -> Result<()> {
        match self.refusal.get() {
            Some(refusal) => Err(refusal
                .clone()
                .with_note("not tried again, so that no account is locked")),
            None => Ok(()),
        }
    }
}

/// The way to a session of an account with certain credentials.
#[derive(Clone, Debug)]
pub(super) struct Door {
    account: Account,
    places: Arc<Places>,
    step: Arc<DoorStep>,
}

/// How long it is waited in silence for a place.
const PATIENCE: Duration = Duration::from_secs(10);

impl Door {
    /// Waits for a place.
    ///
    /// # Errors
    /// The refusal of these credentials, if there was one.
    pub(super) async fn enter(&self) -> Result<Place> {
        self.step.check()?;
        let place = Arc::clone(&self.places.free).acquire_owned();
        let mut place = std::pin::pin!(place);
        let permit = match tokio::time::timeout(PATIENCE, &mut place).await {
            Ok(permit) => permit,
            Err(_) => {
                let Account { host, port, user } = &self.account;
                let places = locked(&self.places.bound).places;
                tracing::warn!(
                    host,
                    port,
                    user,
                    places,
                    "all sessions that max-sessions allows are in use; waiting for one to end"
                );
                place.await
            }
        };
        Ok(Place {
            permit: Some(permit.expect("the places of an account are never closed")),
            places: Arc::clone(&self.places),
        })
    }

    /// Waits until these credentials may be tried: at once while a session is open that they opened,
    /// else one after the other.
    ///
    /// # Errors
    /// The refusal of these credentials, if there was one.
    pub(super) async fn knock(&self) -> Result<Knock> {
        self.step.check()?;
        if self.step.inside.load(Ordering::Acquire) > 0 {
            return Ok(self.knocking(None));
        }
        let turn = Arc::clone(&self.step.turn).lock_owned().await;
        self.step.check()?;
        if self.step.inside.load(Ordering::Acquire) > 0 {
            return Ok(self.knocking(None));
        }
        Ok(self.knocking(Some(turn)))
    }

    fn knocking(&self, turn: Option<OwnedMutexGuard<()>>) -> Knock {
        Knock {
            step: Arc::clone(&self.step),
            _turn: turn,
        }
    }
}

/// The right to try credentials. Whoever waits for it goes on when it is dropped.
#[derive(Debug)]
pub(super) struct Knock {
    step: Arc<DoorStep>,
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Knock {
    /// The server let us in.
    pub(super) fn admitted(self) -> Inside {
        self.step.inside.fetch_add(1, Ordering::AcqRel);
        Inside(Arc::clone(&self.step))
    }

    /// The server refused these credentials: nobody tries them again.
    pub(super) fn refused(self, error: &Error) {
        // Whoever was first said it for all.
        let _ = self.step.refusal.set(error.clone());
    }
}

/// A session that is open.
#[derive(Debug)]
pub(super) struct Inside(Arc<DoorStep>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One of an account's places.
#[derive(Debug)]
pub(super) struct Place {
    permit: Option<OwnedSemaphorePermit>,
    places: Arc<Places>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut bound = locked(&self.places.bound);
        if bound.excess > 0
            && let Some(permit) = self.permit.take()
        {
            bound.excess -= 1;
            permit.forget();
        }
    }
}

/// What one file may have in flight.
#[derive(Debug)]
pub(super) struct Share {
    sessions: Sessions,
    memory: usize,
}

/// The most that pays for a single file: what the largest receive window of the driver is worth.
const MOST: usize = 24 << 20;
/// What each file may have at least: one piece of the usual length.
const LEAST: usize = 32 << 10;

impl Share {
    /// Bytes, as many files being open as there are now.
    pub(super) fn bytes(&self) -> usize {
        let files = self.sessions.0.files.load(Ordering::Relaxed).max(1);
        (self.memory / files).clamp(LEAST, MOST)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.sessions.0.files.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::error::Class;

    fn door(sessions: &Sessions, max: usize, credentials: &str) -> Door {
        let connection = Connection {
            host: "h".to_owned(),
            max_sessions: NonZeroUsize::new(max).unwrap(),
            ..Connection::default()
        };
        sessions.door(&connection, "u", sessions.mark(&[credentials.as_bytes()]))
    }

    fn is_waiting<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> bool {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        future.poll(&mut cx).is_pending()
    }

    #[tokio::test]
    async fn more_sessions_than_there_are_places_wait_and_do_not_fail() {
        let sessions = Sessions::new();
        let door = door(&sessions, 2, "p");
        let (first, _second) = (door.enter().await.unwrap(), door.enter().await.unwrap());
        let mut third = std::pin::pin!(door.enter());
        assert!(is_waiting(third.as_mut()));
        drop(first);
        third.await.unwrap();
    }

    #[tokio::test]
    async fn of_two_connections_with_one_account_the_smaller_bound_holds() {
        let sessions = Sessions::new();
        let many = door(&sessions, 3, "p");
        let held = [many.enter().await, many.enter().await, many.enter().await];
        let few = door(&sessions, 1, "p");
        let mut next = Box::pin(few.enter());
        let [one, two, three] = held.map(Result::unwrap);
        drop(one);
        drop(two);
        assert!(is_waiting(next.as_mut()), "one is still open");
        drop(three);
        let _held = next.await.unwrap();
        assert!(is_waiting(std::pin::pin!(many.enter())));
    }

    #[tokio::test]
    async fn whoever_waits_for_a_refusal_is_refused_alike() {
        let sessions = Sessions::new();
        let door = door(&sessions, 8, "wrong");
        let first = door.knock().await.unwrap();
        let mut second = std::pin::pin!(door.knock());
        assert!(is_waiting(second.as_mut()));
        first.refused(&Error::new(Class::Authentication, "no"));
        assert_eq!(second.await.unwrap_err().class(), Class::Authentication);
        assert!(door.enter().await.is_err());
        assert!(self::door(&sessions, 8, "wrong").enter().await.is_err());
        assert!(self::door(&sessions, 8, "right").enter().await.is_ok());
    }

    #[tokio::test]
    async fn after_the_first_the_others_try_side_by_side_until_the_last_has_left() {
        let sessions = Sessions::new();
        let door = door(&sessions, 8, "p");
        let inside = door.knock().await.unwrap().admitted();
        let (_second, _third) = (door.knock().await.unwrap(), door.knock().await.unwrap());
        drop(inside);
        let _fourth = door.knock().await.unwrap();
        assert!(is_waiting(std::pin::pin!(door.knock())));
    }

    #[test]
    fn files_share_memory_evenly_and_each_has_a_piece() {
        let sessions = Sessions::new();
        let share = || sessions.share(1 << 20);
        let first = share();
        assert_eq!(first.bytes(), 1 << 20);
        let others: Vec<_> = std::iter::repeat_with(share).take(3).collect();
        assert_eq!(first.bytes(), 256 << 10);
        let more: Vec<_> = std::iter::repeat_with(share).take(96).collect();
        assert_eq!(first.bytes(), LEAST);
        drop((others, more));
        assert_eq!(first.bytes(), 1 << 20);
    }
}
