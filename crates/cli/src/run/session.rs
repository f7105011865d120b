//! Sessions as the connector makes them, with a note of what each agreed on.
//!
//! Not the connecting: that is the connector's.

use std::sync::{Arc, Mutex, PoisonError};

use sansftp_connector::Result;
use sansftp_connector::remote::Connect;
use sansftp_connector::sftp::{Details, SftpConnect, SftpRemote};

/// Connects as the connector does; logs and notes what was agreed on.
pub(super) struct Noting {
    connect: SftpConnect,
    noted: Noted,
}

/// What the last session agreed on, once there was one. Clones are the same note.
#[derive(Clone, Default)]
pub(super) struct Noted(Arc<Mutex<Option<Details>>>);

impl Noting {
    /// Around what makes the sessions.
    pub(super) fn new(connect: SftpConnect) -> Self {
        Self {
            connect,
            noted: Noted::default(),
        }
    }

    /// Where the note will be.
    pub(super) fn noted(&self) -> Noted {
        self.noted.clone()
    }
}

impl Noted {
    /// Takes the note.
    pub(super) fn take(&self) -> Option<Details> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Connect for Noting {
    type Remote = SftpRemote;

    async fn connect(&self) -> Result<SftpRemote> {
        let remote = self.connect.connect().await?;
        let details = remote.details();
        tracing::info!(
            server = details.server,
            host = details.host,
            port = details.port,
            user = details.user,
            "connected"
        );
        tracing::debug!(
            kex = details.kex,
            host_key = details.host_key_algorithm,
            fingerprint = details.fingerprint,
            cipher_to_server = details.cipher_to_server,
            cipher_to_client = details.cipher_to_client,
            home = details.home,
            "agreed"
        );
        *self.noted.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(details);
        Ok(remote)
    }
}
