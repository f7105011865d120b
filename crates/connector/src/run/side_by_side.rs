//! Sending many documents over one session at once, so that small ones do not wait for each other.
//!
//! Each document goes through its own steps in its own order; what is said of them comes in the order of
//! the documents. Not for documents that have to be sent one after the other: those that are appended,
//! and those of a step that stops at the first failure.

use std::pin::Pin;

use futures_core::Stream;
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::Fuse;

use super::lanes::{LANES, Names, Order};
use super::step::{Begun, Rehearsal, Results, Step};
use crate::document::Document;
use crate::error::Result;
use crate::journal::Journal;
use crate::operation::{IfExists, Operation, Send};
use crate::outcome::Outcome;
use crate::remote::Connect;

/// What the lanes share.
struct Shared<'a, D> {
    operation: &'a Operation,
    send: &'a Send,
    /// Held by the lane that takes the next document, until its place is found.
    feed: tokio::sync::Mutex<Feed<D>>,
    journal: tokio::sync::Mutex<Option<Journal>>,
    order: Order,
    names: Names,
}

struct Feed<D> {
    documents: Pin<Box<Fuse<D>>>,
    /// Of the document taken last, from 1.
    number: u64,
}

impl<C: Connect> Step<C> {
    /// Whether the documents may be in hand together, over the one session that there is.
    pub(super) fn sends_side_by_side<'a>(&self, operation: &'a Operation) -> Option<&'a Send> {
        let Operation::Send(send) = operation else {
            return None;
        };
        let free = self.jobs.get() == 1
            // What a document brings along may be the key that forbids it.
            && self.parameters.is_empty()
            && self.results == Results::Final
            && self.rehearsal == Rehearsal::No
            && send.if_exists != IfExists::Append
            && !operation.stops_on_error();
        free.then_some(send)
    }

    pub(super) async fn run_side_by_side<D>(
        &mut self,
        operation: &Operation,
        send: &Send,
        documents: D,
    ) where
        D: Stream<Item = Document> + std::marker::Send,
    {
        let shared = Shared {
            operation,
            send,
            feed: tokio::sync::Mutex::new(Feed {
                documents: Box::pin(documents.fuse()),
                number: 0,
            }),
            journal: tokio::sync::Mutex::default(),
            order: Order::default(),
            names: Names::default(),
        };
        let mut others: Vec<Self> = (1..LANES).map(|_| self.with(self.session.lane())).collect();
        let lanes = std::iter::once(self).chain(&mut others);
        join_all(lanes.map(|lane| lane.take_documents(&shared))).await;
        join_all(others.into_iter().map(|lane| lane.session.close())).await;
    }

    /// One document after the other, until there are no more.
    async fn take_documents<D>(&mut self, shared: &Shared<'_, D>)
    where
        D: Stream<Item = Document> + std::marker::Send,
    {
        loop {
            self.session.rest();
            self.session.room().free().await;
            let mut feed = shared.feed.lock().await;
            if !self.session.room().is_free() {
                // Another was faster, with a large one.
                continue;
            }
            let Some(document) = feed.documents.next().await else {
                return;
            };
            feed.number += 1;
            let ticket = shared.order.ticket();
            let begun = self.prepared_to_send(shared, document, feed.number).await;
            // The first goes alone, and finds out what holds for all: the directories, and how this
            // server renames.
            let size = match &begun {
                Ok(begun) if feed.number > 1 => begun.draft.size(),
                Ok(_) => None,
                Err(_) => Some(0),
            };
            let held = self.session.hold(size);
            let name = begun
                .as_ref()
                .ok()
                .map(|it| shared.names.take(&it.draft.name));
            drop(feed);
            let outcome = match begun {
                Ok(begun) => {
                    if let Some(name) = &name {
                        name.turn().await;
                    }
                    self.sent(shared.send, begun).await
                }
                Err(failed) => failed,
            };
            drop((name, held));
            // Who is before may have to open a new session, and this one not be in its way.
            self.session.rest();
            ticket.turn().await;
            self.emit(outcome).await;
        }
    }

    /// The document as it will be sent, with the journal open; or what it fails with. Asks nobody.
    async fn prepared_to_send<D>(
        &mut self,
        shared: &Shared<'_, D>,
        mut document: Document,
        number: u64,
    ) -> Result<Begun, Outcome> {
        self.settle_directories(&mut document.properties);
        let ready = match self.checked(shared.operation, &document.properties) {
            Ok(()) => self.share_journal(shared.operation, &shared.journal).await,
            refused => refused,
        };
        if let Err(error) = ready {
            return Err(Outcome::failed(document.properties, error));
        }
        self.begun(shared.send, document, number).await
    }
}
