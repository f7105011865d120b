//! Logins by our own driver, for crowds: none of them costs a process.

use crate::host::Host;
use sansftp_crypto::default_provider;
use sansftp_keys::{KnownHosts, Verdict, read_private_key};
use sansftp_proto::crypto::SigningKey;
use sansftp_proto::session::{Config, HostKey, Trust};
use sansftp_tokio::{Client, ConnectError, Credentials, Deadlines, Target};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Who logs in where, read from the files once.
#[derive(Clone)]
pub(crate) struct Login {
    host: sansftp_keys::Host,
    port: u16,
    known: Arc<KnownHosts>,
    user: String,
    key: Arc<dyn SigningKey>,
}

impl Login {
    pub(crate) fn new(host: &Host) -> Self {
        let known = std::fs::read(host.known_hosts()).unwrap();
        let key = read_private_key(&std::fs::read(host.key()).unwrap(), None).unwrap();
        Self {
            host: sansftp_keys::Host::new("127.0.0.1", host.port()).unwrap(),
            port: host.port(),
            known: Arc::new(KnownHosts::parse(&known)),
            user: host.user().to_owned(),
            key: default_provider().keys.load(&key.key).unwrap(),
        }
    }

    fn judge(&self) -> impl FnOnce(&HostKey) -> Trust + Send {
        let (host, known) = (self.host.clone(), Arc::clone(&self.known));
        move |key| match known.check(&host, key.key()) {
            Verdict::Known { .. } => Trust::Trusted,
            _ => Trust::Refused,
        }
    }

    fn credentials(&self) -> Credentials {
        Credentials::new(self.user.clone()).key(Arc::clone(&self.key))
    }

    pub(crate) async fn connect(&self) -> Result<Client, ConnectError> {
        let target = Target::new("127.0.0.1", self.port);
        let config = Config::client(default_provider());
        let deadlines = patient();
        Client::connect(
            &target,
            config,
            &deadlines,
            self.judge(),
            self.credentials(),
        )
        .await
    }

    pub(crate) async fn over<Io>(&self, io: Io) -> Result<Client, ConnectError>
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = Config::client(default_provider());
        Client::over(io, config, &patient(), self.judge(), self.credentials()).await
    }
}

/// Two hundred handshakes share two processors with the server.
fn patient() -> Deadlines {
    let mut deadlines = Deadlines::default();
    deadlines.connect = Duration::from_secs(120);
    deadlines
}
