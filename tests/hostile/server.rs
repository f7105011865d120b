//! The server under attack, with the null provider so that the peer can seal anything, and a record of all that its
//! application is told.

use bytes::BytesMut;
use sansftp_proto::auth::Prompt;
use sansftp_proto::auth::server::{Attempt, Offered};
use sansftp_proto::role;
use sansftp_proto::session::Config;
use sansftp_proto::wire::{Field, Rest};
use sansftp_server::local::LocalFs;
use sansftp_testkit::null::{self, NullKey};
use sansftp_testkit::peer::messages as say;
use sansftp_testkit::peer::{CHANNEL, Peer, Proposal, Wire};
use sansftp_tokio::server::{Authenticate, Incoming, Judgement, Session, ToServer};
use sansftp_tokio::sftp::server::Options;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A client that says anything, and the server opposite.
pub(crate) struct Scene {
    pub(crate) peer: Peer<role::Server, Wire>,
    told: Arc<Mutex<Vec<String>>>,
    root: TempDir,
}

/// Longer than any answer takes, delays of failed attempts included; and what silence costs a test.
const PATIENCE: Duration = Duration::from_millis(1500);

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::new().expect("there is room for two threads"))
}

/// How the server differs from the usual one.
pub(crate) struct Setup {
    pub(crate) config: Config<role::Server>,
    pub(crate) options: Options,
    pub(crate) read_only: ReadOnly,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReadOnly {
    Yes,
    No,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            config: Config::server(null::provider(2), vec![NullKey::named("host key")])
                .with_all_algorithms(),
            options: Options::default(),
            read_only: ReadOnly::No,
        }
    }
}

impl Scene {
    /// Before the first byte.
    pub(crate) fn new() -> Self {
        Self::with(Setup::default())
    }

    pub(crate) fn with(setup: Setup) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        theirs.set_nonblocking(true).unwrap();
        let root = tempfile::tempdir().unwrap();
        let told = Arc::new(Mutex::new(Vec::new()));
        runtime().spawn(serve(
            theirs,
            setup,
            root.path().to_owned(),
            Arc::clone(&told),
        ));
        Self {
            peer: Peer::new(Wire::new(ours, PATIENCE), Instant::now()),
            told,
            root,
        }
    }

    /// Keys are exchanged.
    pub(crate) fn secured() -> Self {
        let mut scene = Self::new();
        scene.secure();
        scene
    }

    pub(crate) fn secure(&mut self) {
        self.peer.greets();
        self.peer.exchanges_keys(&Proposal::default());
    }

    /// Authenticated.
    pub(crate) fn logged_in(setup: Setup) -> Self {
        let mut scene = Self::with(setup);
        scene.secure();
        scene.peer.asks_to_authenticate();
        scene.peer.awaits::<say::AuthSuccess>();
        // The announcement of the host keys.
        scene.peer.expects::<say::GlobalRequest<'_>>();
        scene.is_told("in: u");
        scene.told.lock().unwrap().clear();
        scene
    }

    /// The service of authentication is granted, and nothing tried.
    pub(crate) fn asked_for_service() -> Self {
        let mut scene = Self::secured();
        scene.peer.sends(&say::ServiceRequest {
            name: b"ssh-userauth",
        });
        scene.peer.awaits::<say::ServiceAccept<'_>>();
        scene
    }

    /// Opens a session channel: the server's number of it. The peer's is [`CHANNEL`].
    pub(crate) fn opens(&mut self) -> u32 {
        self.peer.sends(&say::Open {
            kind: b"session",
            sender: CHANNEL,
            window: 1 << 31,
            max_packet: 1 << 18,
            rest: Rest(&[]),
        });
        let said = self.peer.awaits::<say::OpenConfirmation<'_>>();
        said.read::<say::OpenConfirmation<'_>>().sender
    }

    /// The same with SFTP on it, before its INIT.
    pub(crate) fn opens_sftp(&mut self) -> u32 {
        let recipient = self.opens();
        let mut rest = BytesMut::new();
        Field::write(&b"sftp".as_slice(), &mut rest);
        self.peer.sends(&say::Request {
            recipient,
            name: b"subsystem",
            want_reply: true,
            rest: Rest(&rest),
        });
        self.peer.awaits::<say::Success>();
        recipient
    }

    /// What the application was told since.
    pub(crate) fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    /// Waits until the application has been told this.
    pub(crate) fn is_told(&self, what: &str) {
        let end = Instant::now() + Duration::from_secs(10);
        while !self.told().iter().any(|it| it.contains(what)) {
            assert!(Instant::now() < end, "no {what:?} in {:?}", self.told());
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// The served directory.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// A connection that is new is served: nothing of what the peer did stays.
    pub(crate) fn still_serves(&mut self) {
        let recipient = self.opens();
        self.peer.sends(&say::Close { recipient });
        self.peer.awaits::<say::Close>();
    }
}

async fn serve(
    stream: UnixStream,
    setup: Setup,
    root: std::path::PathBuf,
    told: Arc<Mutex<Vec<String>>>,
) {
    let stream = tokio::net::UnixStream::from_std(stream).unwrap();
    let judge = Judge(Arc::clone(&told));
    let config = Arc::new(setup.config);
    let mut session = match Session::accept(stream, config, judge).await {
        Ok(session) => session,
        Err(error) => {
            note(&told, format!("refused: {error}"));
            return;
        }
    };
    note(&told, format!("in: {}", session.user()));
    let files = LocalFs::new(&root).unwrap();
    let files = match setup.read_only {
        ReadOnly::Yes => files.read_only(),
        ReadOnly::No => files,
    };
    let files = Arc::new(files);
    while let Ok(incoming) = session.next().await {
        let Incoming::Session(offer) = incoming else {
            note(&told, format!("offered: {incoming:?}"));
            continue;
        };
        note(&told, "offered: session".to_owned());
        let Some(mut channel) = offer.accept() else {
            continue;
        };
        let (files, options, told) = (Arc::clone(&files), setup.options.clone(), Arc::clone(&told));
        tokio::spawn(async move {
            while let Some(asked) = channel.next().await {
                note(&told, format!("asked: {:?}", asked.request));
                if asked.request == ToServer::Subsystem("sftp".into()) {
                    asked.accept();
                    let end = channel.serve_sftp(files, options).await;
                    note(&told, format!("ended: {:?}", end.error));
                    return;
                }
                match asked.request {
                    ToServer::Env { .. } | ToServer::Pty(_) => asked.accept(),
                    _ => asked.refuse(),
                }
            }
        });
    }
}

fn note(told: &Mutex<Vec<String>>, what: String) {
    told.lock().unwrap().push(what);
}

/// Lets `u` in with the password `p`; asks everyone who wants to be asked two questions, and takes no answer.
struct Judge(Arc<Mutex<Vec<String>>>);

impl Authenticate for Judge {
    type Identity = ();

    async fn judge(&mut self, attempt: &Attempt) -> Judgement<()> {
        // Secrets are not shown by Debug.
        note(
            &self.0,
            format!("judged: {} {:?}", attempt.user, attempt.method),
        );
        let known = attempt.user == "u";
        let reject = || Judgement::Reject {
            methods: ["publickey", "password", "keyboard-interactive"]
                .map(str::to_owned)
                .to_vec(),
        };
        match &attempt.method {
            Offered::Password(password) if known && password.expose() == b"p" => {
                Judgement::Accept(())
            }
            Offered::Interactive { .. } => Judgement::Prompt {
                name: String::new(),
                instruction: String::new(),
                prompts: vec![Prompt::echoed("one"), Prompt::echoed("two")],
            },
            _ => reject(),
        }
    }
}
