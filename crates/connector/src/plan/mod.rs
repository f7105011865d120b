//! Planning: what an operation would ask of a server, on the directories as they are, with nothing
//! changed.
//!
//! ```text
//!   the operation itself ─▶ its transcript ─▶ what looks ──────────────▶ the server
//!                                          └▶ what would change ─▶ names in memory, looked at first
//! ```
//! Not a second reading of the rules: the operation that would run is the one that is run. What is
//! read is zeros of the file's size, so that nothing is transferred.

mod overlay;
mod remote;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use self::overlay::Overlay;
pub(crate) use self::remote::zeros;
pub use self::remote::{PlannedListing, PlannedReader, PlannedRemote, PlannedWriter};
use crate::error::Error;
use crate::remote::Connect;
use crate::transcript::{Record, Transcript};

/// What is planned together: steps with one account see what the others would change.
#[derive(Debug)]
pub struct Plan {
    transcript: Transcript,
    overlays: Mutex<HashMap<String, Arc<Overlay>>>,
}

impl Plan {
    /// A plan, and what would be asked, in that order.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Record>) {
        let (transcript, receiver) = Transcript::to_receiver();
        let overlays = Mutex::default();
        let plan = Self {
            transcript,
            overlays,
        };
        (plan, receiver)
    }

    pub(crate) fn transcript(&self) -> Transcript {
        self.transcript.clone()
    }

    /// Sessions with `account` that change nothing.
    pub(crate) fn around<C>(&self, connect: Arc<C>, account: String) -> Planned<C> {
        let mut overlays = self.overlays.lock().unwrap_or_else(PoisonError::into_inner);
        let overlay = Arc::clone(overlays.entry(account).or_default());
        Planned { connect, overlay }
    }
}

/// Makes sessions that change nothing.
pub struct Planned<C> {
    connect: Arc<C>,
    overlay: Arc<Overlay>,
}

impl<C: Connect> Connect for Planned<C> {
    type Remote = PlannedRemote<C::Remote>;

    async fn connect(&self) -> Result<Self::Remote, Error> {
        let remote = self.connect.connect().await?;
        Ok(PlannedRemote::new(remote, Arc::clone(&self.overlay)))
    }
}

impl<C> fmt::Debug for Planned<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planned").finish_non_exhaustive()
    }
}
