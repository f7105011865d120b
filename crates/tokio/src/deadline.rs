//! How long each wait may take. Every wait has a deadline.

use std::time::{Duration, Instant};

/// The deadlines of a connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Deadlines {
    /// TCP, key exchange, authentication and the start of SFTP, together; 30 s.
    pub connect: Duration,
    /// Without progress on any request, from the moment the last of them was written; 60 s.
    pub request: Duration,
    /// The same for what may take a server long: FSYNC, CLOSE after writing, copying; 10 min.
    pub durable: Duration,
    /// Closing in good order; 5 s. The connection is gone afterwards either way.
    pub close: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            request: Duration::from_secs(60),
            durable: Duration::from_secs(600),
            close: Duration::from_secs(5),
        }
    }
}

/// The runtime's time: what this crate's timers are set by, so that tests may stop it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
