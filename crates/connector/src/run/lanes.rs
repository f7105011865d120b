//! Several files at once over one session: how many there may be, and in which order they begin and
//! end where that is seen.
//!
//! Not the session, and not the files: whoever takes one in hand [holds](Room::hold) its bytes here.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use tokio::sync::Notify;

/// So many files of one session are in hand at most: a small file takes about six round trips, so that
/// over 100 ms two hundred pass in a second; and few enough to be begun again when the connection is lost.
pub(super) const LANES: usize = 128;
/// So many where the server does not say how many files it lets a session have open.
const UNANNOUNCED: usize = 16;

/// What the lanes of a session may have in hand together.
#[derive(Debug)]
pub(super) struct Room {
    /// Bytes of whole files from which on no other is begun: one that is large is alone.
    bytes: u64,
    taken: Arc<Mutex<Taken>>,
    changed: Arc<Notify>,
}

#[derive(Debug)]
struct Taken {
    files: usize,
    bytes: u64,
    most: usize,
}

/// A file in hand. Dropped, it is no more.
#[derive(Debug)]
pub(super) struct Held {
    size: u64,
    taken: Arc<Mutex<Taken>>,
    changed: Arc<Notify>,
}

impl Room {
    /// For files of so many bytes together.
    pub(super) fn new(bytes: u64) -> Self {
        Self {
            bytes,
            taken: Arc::new(Mutex::new(Taken {
                files: 0,
                bytes: 0,
                most: UNANNOUNCED,
            })),
            changed: Arc::default(),
        }
    }

    /// The server lets a session have so many files open, where it says. Half of them are left for
    /// listings, copies, and what is not closed yet.
    pub(super) fn limit(&self, open_files: Option<u64>) {
        let most = open_files.map_or(UNANNOUNCED, |most| {
            usize::try_from(most / 2).unwrap_or(LANES)
        });
        lock(&self.taken).most = most.clamp(1, LANES);
    }

    /// Whether one more may be taken in hand.
    pub(super) fn is_free(&self) -> bool {
        let taken = lock(&self.taken);
        taken.files == 0 || taken.files < taken.most && taken.bytes < self.bytes
    }

    /// Waits until one more may be taken in hand.
    pub(super) async fn free(&self) {
        loop {
            // Before the look, so that no change in between is missed.
            let changed = self.changed.notified();
            if self.is_free() {
                return;
            }
            changed.await;
        }
    }

    /// Takes a file in hand. One of unknown size fills the room.
    pub(super) fn hold(&self, size: Option<u64>) -> Held {
        let size = size.unwrap_or(self.bytes).min(self.bytes);
        let mut taken = lock(&self.taken);
        taken.files += 1;
        // Each at most the room, and at most as many as there are lanes.
        taken.bytes = taken.bytes.saturating_add(size);
        Held {
            size,
            taken: Arc::clone(&self.taken),
            changed: Arc::clone(&self.changed),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.files = taken.files.saturating_sub(1);
        taken.bytes = taken.bytes.saturating_sub(self.size);
        drop(taken);
        self.changed.notify_waiters();
    }
}

/// What goes on side by side and is told in the order in which it began.
#[derive(Clone, Debug, Default)]
pub(super) struct Order(Arc<Mutex<Places>>);

#[derive(Debug, Default)]
struct Places {
    given: u64,
    /// Whose turn it is.
    next: u64,
    /// Those who went before their turn came.
    gone: BTreeSet<u64>,
    waiting: BTreeMap<u64, Waker>,
}

/// A place in the order. Dropped, it is the next one's turn.
#[derive(Debug)]
pub(super) struct Ticket {
    place: u64,
    order: Order,
}

impl Order {
    /// The place behind all that were given.
    pub(super) fn ticket(&self) -> Ticket {
        let mut places = lock(&self.0);
        let place = places.given;
        places.given += 1;
        Ticket {
            place,
            order: self.clone(),
        }
    }
}

impl Ticket {
    /// Waits until all before it have gone.
    pub(super) async fn turn(&self) {
        poll_fn(|cx| {
            let mut places = lock(&self.order.0);
            if places.next == self.place {
                return Poll::Ready(());
            }
            places.waiting.insert(self.place, cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut places = lock(&self.order.0);
        places.waiting.remove(&self.place);
        places.gone.insert(self.place);
        loop {
            let next = places.next;
            if !places.gone.remove(&next) {
                break;
            }
            places.next += 1;
        }
        let next = places.next;
        let woken = places.waiting.remove(&next);
        drop(places);
        if let Some(woken) = woken {
            woken.wake();
        }
    }
}

/// Names that several have in hand: whoever comes later waits for those before. Names that differ by case
/// alone are one, as they are at some servers.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<BTreeMap<Vec<u8>, Users>>);

#[derive(Debug, Default)]
struct Users {
    order: Order,
    count: usize,
}

/// A name in hand, in its turn. Dropped, it is the next one's.
#[derive(Debug)]
pub(super) struct Name<'a> {
    names: &'a Names,
    name: Vec<u8>,
    /// Always there but in `drop`.
    ticket: Option<Ticket>,
}

impl Names {
    /// Takes a name in hand behind all that have it already.
    pub(super) fn take(&self, name: &[u8]) -> Name<'_> {
        let name = name.to_ascii_lowercase();
        let mut users = lock(&self.0);
        let users = users.entry(name.clone()).or_default();
        users.count += 1;
        Name {
            names: self,
            name,
            ticket: Some(users.order.ticket()),
        }
    }
}

impl Name<'_> {
    /// Waits until nobody before has it in hand.
    pub(super) async fn turn(&self) {
        if let Some(ticket) = &self.ticket {
            ticket.turn().await;
        }
    }
}

impl Drop for Name<'_> {
    fn drop(&mut self) {
        self.ticket = None;
        let mut names = lock(&self.names.0);
        if let Some(users) = names.get_mut(&self.name) {
            users.count -= 1;
            if users.count == 0 {
                names.remove(&self.name);
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::Context;

    fn is_waiting(future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        future.poll(&mut cx).is_pending()
    }

    #[test]
    fn a_large_file_is_begun_beside_small_ones_and_keeps_others_away() {
        let room = Room::new(1000);
        let small = room.hold(Some(10));
        assert!(room.is_free());
        let large = room.hold(Some(u64::MAX));
        assert!(!room.is_free());
        let mut next = pin!(room.free());
        assert!(is_waiting(next.as_mut()));
        drop(small);
        assert!(is_waiting(next.as_mut()));
        drop(large);
        assert!(!is_waiting(next.as_mut()));
    }

    #[test]
    fn no_more_files_are_in_hand_than_the_server_lets_be_open() {
        for (told, most) in [
            (None, UNANNOUNCED),
            (Some(0), 1),
            (Some(10), 5),
            (Some(u64::MAX), LANES),
        ] {
            let room = Room::new(1 << 20);
            room.limit(told);
            let held: Vec<_> = (0..most).map(|_| room.hold(Some(1))).collect();
            assert!(!room.is_free(), "{told:?}");
            drop(held);
            assert!(room.is_free(), "{told:?}");
        }
    }

    #[test]
    fn whoever_has_a_name_in_hand_is_waited_for_and_then_forgotten() {
        let names = Names::default();
        let [first, other, second, third] =
            [&b"a.txt"[..], b"b.txt", b"A.TXT", b"a.txt"].map(|name| names.take(name));
        assert!(!is_waiting(pin!(first.turn())));
        assert!(!is_waiting(pin!(other.turn())));
        assert!(is_waiting(pin!(second.turn())));
        drop(first);
        assert!(!is_waiting(pin!(second.turn())));
        assert!(is_waiting(pin!(third.turn())));
        drop((second, third, other));
        assert!(lock(&names.0).is_empty());
    }

    #[test]
    fn what_ends_early_is_told_in_its_turn() {
        let order = Order::default();
        let [first, second, third] = [order.ticket(), order.ticket(), order.ticket()];
        assert!(!is_waiting(pin!(first.turn())));
        assert!(is_waiting(pin!(third.turn())));
        drop(second);
        assert!(is_waiting(pin!(third.turn())), "the first has not gone");
        drop(first);
        assert!(!is_waiting(pin!(third.turn())));
    }
}
