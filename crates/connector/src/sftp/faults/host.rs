//! The server of a run: this workspace's own.

use std::sync::Arc;

use sansftp_proto::auth::server::{Attempt, Offered};
use sansftp_proto::config::{Algorithms, Config};
use sansftp_proto::connection::ToServer;
use sansftp_proto::crypto::CryptoProvider;
use sansftp_testkit::null;
use sansftp_testkit::suite::Suite;
use sansftp_tokio::server::{Authenticate, Incoming, Judgement, Session};
use sansftp_tokio::sftp::server::Options;
use tokio::io::DuplexStream;

use super::faulty::Faulty;

pub(super) const USER: &str = "edi";
pub(super) const PASSWORD: &str = "open sesame";

/// What both ends may use: the cipher is one whose packets can be told apart, and whose tags tell a flipped bit.
pub(super) fn algorithms(provider: &CryptoProvider) -> Algorithms {
    let mut algorithms = Algorithms::of(provider);
    algorithms.cipher = vec![null::AEAD.to_owned()];
    algorithms
}

/// Serves one connection until it ends.
pub(super) async fn serve(stream: DuplexStream, files: Arc<Faulty>) {
    let provider = Suite::Null.provider(2);
    let algorithms = algorithms(&provider);
    let mut config = Config::server(provider, vec![Suite::Null.key(0)]);
    config.algorithms = algorithms;
    let Ok(mut session) = Session::accept(stream, Arc::new(config), Password).await else {
        return;
    };
    while let Ok(Incoming::Session(offer)) = session.next().await {
        let Some(mut channel) = offer.accept() else {
            continue;
        };
        let files = Arc::clone(&files);
        tokio::spawn(async move {
            while let Some(asked) = channel.next().await {
                if asked.request == ToServer::Subsystem("sftp".into()) {
                    asked.accept();
                    channel.serve_sftp(files, Options::default()).await;
                    return;
                }
                asked.refuse();
            }
        });
    }
}

struct Password;

impl Authenticate for Password {
    type Identity = ();

    async fn judge(&mut self, attempt: &Attempt) -> Judgement<()> {
        match &attempt.method {
            Offered::Password(it) if it.expose() == PASSWORD.as_bytes() => Judgement::Accept(()),
            _ => Judgement::Reject {
                methods: vec!["password".to_owned()],
            },
        }
    }
}
