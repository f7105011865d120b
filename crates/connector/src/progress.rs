//! Who wants to see how far it is.
//!
//! Not an outcome: nothing may be concluded from what is told here, and nothing waits for it.

use std::fmt;
use std::sync::Arc;

/// Told while files are transferred. Called from the transfer itself: return at once.
pub trait Progress: Send + Sync {
    /// This many files with this many bytes in all are about to be transferred, as far as that
    /// is known. Told once per step where a listing or the documents tell it.
    fn expected(&self, files: u64, bytes: u64) {
        let _ = (files, bytes);
    }

    /// A file begins; `size` in bytes where it is known.
    fn started(&self, name: &[u8], size: Option<u64>) {
        let _ = (name, size);
    }

    /// So many more bytes of the file in hand.
    fn advanced(&self, bytes: u64);

    /// So many of the bytes that were told of the file in hand did not count: they are transferred
    /// again.
    fn restarted(&self, bytes: u64) {
        let _ = bytes;
    }

    /// The file in hand is done, well or not.
    fn finished(&self) {}
}

/// A shared [`Progress`], or nobody.
#[derive(Clone, Default)]
pub struct Observer(Option<Arc<dyn Progress>>);

impl Observer {
    /// Tells this one.
    pub fn new(progress: Arc<dyn Progress>) -> Self {
        Self(Some(progress))
    }

    pub(crate) fn tell(&self, what: impl FnOnce(&dyn Progress)) {
        if let Some(progress) = &self.0 {
            what(&**progress);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Observer({})",
            if self.0.is_some() { "some" } else { "none" }
        )
    }
}
