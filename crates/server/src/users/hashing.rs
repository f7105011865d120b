//! Computing hashes off the event path, and never more at once than memory and cores allow.

use super::password::Hash;
use sansftp_proto::crypto::Secret;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// MiB that all computations together may take: two of the costliest, twenty-six of the usual 19 MiB.
const MEMORY: u32 = 512;

/// Where hashes are computed. Whoever finds it busy waits, in the order of coming, until the login
/// timer ends that.
#[derive(Debug)]
pub(super) struct Hashing {
    memory: Arc<Semaphore>,
    /// MiB that a computation takes of the budget at least, so that there are no more than cores.
    least: u32,
    #[cfg(test)]
    pub(super) computed: std::sync::atomic::AtomicUsize,
}

impl Hashing {
    pub(super) fn new() -> Self {
        let cores = std::thread::available_parallelism()
            .ok()
            .and_then(|it| u32::try_from(it.get()).ok())
            .unwrap_or(1);
        Self {
            memory: Arc::new(Semaphore::new(MEMORY as usize)),
            least: (MEMORY / cores).max(1),
            #[cfg(test)]
            computed: std::sync::atomic::AtomicUsize::new(0),
        }
    }

    /// Whether the hash is the password's.
    pub(super) async fn matches(&self, hash: &Hash, password: &Secret) -> bool {
        #[cfg(test)]
        self.computed
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let share = (hash.cost().memory / 1024).clamp(self.least, MEMORY);
        let Ok(permit) = Arc::clone(&self.memory).acquire_many_owned(share).await else {
            return false;
        };
        let (hash, password) = (hash.clone(), password.clone());
        let computed = tokio::task::spawn_blocking(move || {
            // Given back when the computation ends, and not when a client stops waiting for it.
            let _permit = permit;
            hash.matches(&password)
        });
        // A computation that did not end found nothing.
        computed.await.unwrap_or(false)
    }
}
