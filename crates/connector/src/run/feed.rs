//! The documents of a step, for several workers.
//!
//! Not a queue: nothing is taken from the stream before a worker has a hand free. A document that a
//! worker cannot begin goes back, and the next free worker has it.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::Fuse;
use tokio::sync::Notify;

use crate::document::Document;

/// A document and its number in the step, from 1.
pub(super) struct Numbered {
    pub(super) number: u64,
    pub(super) document: Document,
}

/// A stream that several workers share.
pub(super) struct Feed<D> {
    documents: tokio::sync::Mutex<Pin<Box<Fuse<D>>>>,
    number: AtomicU64,
    returned: Mutex<VecDeque<Numbered>>,
    is_returned: Notify,
    workers: AtomicUsize,
}

impl<D: Stream<Item = Document> + Send> Feed<D> {
    pub(super) fn new(documents: D, workers: usize) -> Self {
        Self {
            documents: tokio::sync::Mutex::new(Box::pin(documents.fuse())),
            number: AtomicU64::new(0),
            returned: Mutex::default(),
            is_returned: Notify::new(),
            workers: AtomicUsize::new(workers),
        }
    }

    /// The next document; `None` once there are no more, for this worker.
    pub(super) async fn next(&self) -> Option<Numbered> {
        loop {
            let back = pin!(self.is_returned.notified());
            if let Some(numbered) = self.take_back() {
                return Some(numbered);
            }
            let fresh = pin!(async { self.documents.lock().await.next().await });
            match select(back, fresh).await {
                Either::Left(_) => {}
                Either::Right((Some(document), _)) => {
                    let number = 1 + self.number.fetch_add(1, Ordering::Relaxed);
                    return Some(Numbered { number, document });
                }
                Either::Right((None, _)) => return self.take_back(),
            }
        }
    }

    /// Leaves a document to the other workers, and goes home. The last worker cannot: it gets the
    /// document back.
    pub(super) fn leave(&self, numbered: Numbered) -> Result<(), Box<Numbered>> {
        let fewer = |workers: usize| (workers > 1).then(|| workers - 1);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.workers.fetch_update(set, fetch, fewer).is_err() {
            return Err(Box::new(numbered));
        }
        self.returned().push_back(numbered);
        self.is_returned.notify_one();
        Ok(())
    }

    /// A worker has found nothing more to do.
    pub(super) fn done(&self) {
        self.workers.fetch_sub(1, Ordering::Relaxed);
    }

    fn take_back(&self) -> Option<Numbered> {
        self.returned().pop_front()
    }

    fn returned(&self) -> std::sync::MutexGuard<'_, VecDeque<Numbered>> {
        self.returned.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
