//! SIGINT and SIGTERM: asked to end, the program ends cleanly.
//!
//! Not the cleaning up: that is the connector's, once it is told to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::Code;

/// The signals that end a command.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Catches them from now on.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn catch() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one, and tells with which code the program is to end.
    pub(crate) async fn next(&mut self) -> Code {
        tokio::select! {
            _ = self.interrupt.recv() => Code::Interrupted,
            _ = self.terminate.recv() => Code::Terminated,
        }
    }
}
