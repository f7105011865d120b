//! An embedded server, and connections to it.
//!
//! The soak test takes this file as it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sansftp_connector::connection::{Connection, HostKeyPolicy, RetryDelay, Secret, SecretRef};
use sansftp_server::algorithms::Selection;
use sansftp_server::default_provider;
use sansftp_server::host_keys::HostKeys;
use sansftp_server::service::{Limits, Service, What};
use sansftp_server::sftp::FileSystem;
use sansftp_server::users::{Sources, User, Users, hash_password};

/// Files that are served to the user edi.
pub(crate) struct Served {
    pub(crate) port: u16,
    /// Bytes that clients wrote, of files that are closed.
    pub(crate) written: Arc<AtomicU64>,
    service: Service<sansftp_server::users::Judge>,
}

impl Served {
    pub(crate) async fn start(files: Arc<dyn FileSystem>) -> Self {
        let provider = default_provider();
        let keys = HostKeys::transient(&provider).unwrap();
        let mut user = User::default();
        let hash = hash_password(&"edi".to_owned().into(), &*provider.random).unwrap();
        user.password = Some(hash.parse().unwrap());
        let mut sources = Sources::default();
        sources.users.push(("edi".to_owned(), user));
        let users = Users::load(sources).unwrap();
        let config = Selection::default().configure(provider, &keys).unwrap();
        let all_written = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&all_written);
        let service = Service::new(
            config,
            &Limits::default(),
            move |peer| users.authenticate(peer),
            move |_| Arc::clone(&files),
            move |event| {
                if let What::Transferred { written, .. } = event.what {
                    count.fetch_add(written, Ordering::Relaxed);
                }
            },
        );
        let mut bound = service.bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let port = bound.address().port();
        tokio::spawn(async move { bound.run().await });
        Self {
            port,
            written: all_written,
            service,
        }
    }

    /// Waits until every session has ended, and with it every file was closed.
    pub(crate) async fn idle(&self) {
        while self.service.sessions() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// A connection to the server at this port, as edi.
pub(crate) fn connection(port: u16) -> Connection {
    Connection {
        host: "127.0.0.1".to_owned(),
        port,
        user: Some("edi".to_owned()),
        password: Some(SecretRef::Literal(Secret::new("edi"))),
        host_key_policy: HostKeyPolicy::AcceptAny,
        retry_delay: RetryDelay {
            first: Duration::from_millis(10),
            longest: Duration::from_millis(50),
        },
        ..Connection::default()
    }
}
