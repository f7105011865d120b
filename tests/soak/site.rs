//! A server that refuses calls at random, a way to it that breaks, and what works on it at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sansftp_connector::connection::{ByteSize, Connection};
use sansftp_connector::sftp::SftpConnect;
use sansftp_connector::{Connector, Destination};
use sansftp_proto::sftp::StatusCode;
use sansftp_server::local::LocalFs;
use sansftp_testkit::faultproxy::{FaultProxy, Plan};
use sansftp_testkit::seeds::Rng;
use tempfile::TempDir;

use crate::Moved;
use crate::faulty::{Effect, Faulty, Kind, Refusal};
use crate::lanes::{self, Lane};
use crate::served::{Served, connection};

/// Of so many calls one is refused; of reads and writes, of which there are more, of ten times as many.
const CALLS: usize = 60;
/// A connection that is harmed is harmed at one of its first so many bytes.
const FARTHEST: u64 = 3 << 20;
/// Bytes under way on each connection.
const MEMORY: u64 = 4 << 20;
/// Bytes between key exchanges.
const REKEY: u64 = 300_000;

/// What one server has, and what is on this side.
pub(crate) struct Site {
    files: Arc<Faulty>,
    served: Served,
    proxy: FaultProxy,
    folder: TempDir,
    name: &'static str,
}

impl Site {
    pub(crate) async fn start(kind: Kind, seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for directory in ["served", "local"] {
            std::fs::create_dir(folder.path().join(directory)).unwrap();
        }
        let local = LocalFs::new(&folder.path().join("served")).unwrap();
        let refuse = move |number: usize, name: &str| refuse(seed, number, name);
        let files = Arc::new(Faulty::new(Arc::new(local), kind, refuse));
        let served = Served::start(Arc::clone(&files) as Arc<_>).await;
        let proxy = FaultProxy::start(
            ([127, 0, 0, 1], served.port).into(),
            Plan::random(seed, FARTHEST),
        );
        let name = match kind {
            Kind::Full => "full",
            Kind::Bare => "bare",
        };
        Self {
            files,
            served,
            proxy,
            folder,
            name,
        }
    }

    /// All lanes once.
    pub(crate) async fn round(&self, round: u64, seed: u64) -> Vec<Moved> {
        let lane = |name, number: u64| {
            Lane::new(self, name, round, Rng::new(seed ^ (round << 8) ^ number))
        };
        let (sent, put, got, moved, heard) = tokio::join!(
            lanes::send(lane("send", 1), None),
            lanes::send(lane("publish", 2), Some("published")),
            lanes::get_and_delete(lane("get", 3)),
            lanes::get_and_move(lane("move", 4)),
            lanes::listen(lane("listen", 5)),
        );
        vec![sent, put, got, moved, heard]
    }

    /// Waits until no session is left.
    pub(crate) async fn idle(&self) {
        self.served.idle().await;
    }

    pub(crate) fn connections(&self) -> u64 {
        self.proxy.connections()
    }

    /// Bytes that were written at the server, those of failed attempts too.
    pub(crate) fn written(&self) -> u64 {
        self.served.written.load(Ordering::Relaxed)
    }

    pub(crate) fn refused(&self) -> usize {
        self.files.refused().1
    }

    /// What the server has under this name.
    pub(crate) fn served(&self, name: &str) -> PathBuf {
        self.folder.path().join("served").join(name)
    }

    /// What is here under this name.
    pub(crate) fn local(&self, name: &str) -> PathBuf {
        self.folder.path().join("local").join(name)
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn connector(&self, inbox: &Path) -> Connector<SftpConnect> {
        let connection = Connection {
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(3),
            durable_timeout: Duration::from_secs(5),
            memory: ByteSize(MEMORY),
            rekey_limit: Some(ByteSize(REKEY)),
            ..connection(self.proxy.port())
        };
        Connector::new(SftpConnect::prepare(&connection, None).unwrap(), connection)
            .with_destination(Destination::Directory(inbox.to_owned()))
    }
}

/// What a call is refused with, if it is. Nothing is said that is not true but that something failed: a server that lies
/// about what it has cannot be told from one where somebody else is at work.
fn refuse(seed: u64, number: usize, name: &str) -> Option<Refusal> {
    let mut rng = Rng::new(seed ^ (number as u64).wrapping_mul(0x2545_f491_4f6c_dd1d));
    rng.next();
    let of = match name {
        "read" | "write" => CALLS * 10,
        _ => CALLS,
    };
    if rng.below(of) != 0 {
        return None;
    }
    let (effect, code) = match rng.below(4) {
        0 => (Effect::None, StatusCode::PERMISSION_DENIED),
        1 => (Effect::None, StatusCode::FAILURE),
        2 => (Effect::Done, StatusCode::FAILURE),
        _ => (Effect::Done, StatusCode::CONNECTION_LOST),
    };
    Some(Refusal { effect, code })
}
