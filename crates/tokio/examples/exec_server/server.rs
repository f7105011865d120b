//! What the example does with connections, channels and requests. Also run by the tests, inside them.

use bytes::Bytes;
use sansftp_proto::auth::server::{Attempt, Offered as Proof};
use sansftp_proto::crypto::PublicKey;
use sansftp_proto::role;
use sansftp_proto::session::Config;
use sansftp_tokio::server::{
    Authenticate, ChannelStream, Incoming, Judgement, Listener, Offered, OpenFailureReason,
    Session, SessionChannel, ToServer,
};
use sansftp_tokio::sftp::server::{FileSystem, Options};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, Command};

/// Bytes of a program's output that are read at once.
const PIECE: usize = 64 * 1024;

/// Serves whoever comes, for ever.
pub(crate) async fn serve(
    mut listener: Listener,
    config: Arc<Config<role::Server>>,
    keys: Vec<PublicKey>,
    files: Arc<dyn FileSystem>,
) {
    let keys = Arc::new(Keys(keys));
    loop {
        let arrival = listener.next().await;
        let (config, keys, files) = (Arc::clone(&config), Arc::clone(&keys), Arc::clone(&files));
        tokio::spawn(async move {
            let session = Session::accept(arrival.stream, config, Holder(keys)).await;
            let Ok(mut session) =
                session.inspect_err(|it| tracing::info!("{}: {it}", arrival.peer))
            else {
                return;
            };
            if let Err(refused) = session.admit(arrival.entrance) {
                let reason = sansftp_tokio::server::DisconnectReason::TooManyConnections;
                return session.close(reason, &refused.to_string()).await;
            }
            while let Ok(incoming) = session.next().await {
                match incoming {
                    Incoming::Session(offer) => {
                        if let Some(channel) = offer.accept() {
                            tokio::spawn(run(channel, Arc::clone(&files)));
                        }
                    }
                    Incoming::DirectTcpip {
                        host, port, offer, ..
                    } => {
                        tokio::spawn(onward(host, port, offer));
                    }
                    _ => {}
                }
            }
        });
    }
}

#[derive(Debug)]
struct Keys(Vec<PublicKey>);

/// Lets in whoever holds one of the keys, under any name.
struct Holder(Arc<Keys>);

impl Authenticate for Holder {
    type Identity = ();

    async fn judge(&mut self, attempt: &Attempt) -> Judgement<()> {
        match &attempt.method {
            Proof::PublicKey { key, .. } if self.0.0.contains(key) => Judgement::Accept(()),
            Proof::PublicKeyProbe { key, .. } if self.0.0.contains(key) => Judgement::Acceptable,
            _ => Judgement::Reject {
                methods: vec!["publickey".to_owned()],
            },
        }
    }
}

/// One session channel, from its first request to its end.
async fn run(mut channel: SessionChannel, files: Arc<dyn FileSystem>) {
    let mut environment = Vec::new();
    while let Some(asked) = channel.next().await {
        let mut command = Command::new("sh");
        match &asked.request {
            ToServer::Env { name, value } if is_harmless(name) => {
                environment.push((os(name), os(value)));
                asked.accept();
                continue;
            }
            ToServer::Subsystem(name) if name == "sftp" => {
                asked.accept();
                channel.serve_sftp(files, Options::default()).await;
                return;
            }
            // To a shell, as sshd gives it: the client's quoting is meant for one.
            ToServer::Exec(line) => command.arg("-c").arg(OsStr::from_bytes(line)),
            ToServer::Shell => &mut command,
            // Terminals, forwarding of agents and the like: refused as they are dropped.
            _ => continue,
        };
        command
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        match command.spawn() {
            Ok(child) => {
                asked.accept();
                return attend(channel, child).await;
            }
            Err(error) => tracing::warn!(%error, "the shell does not start"),
        }
    }
}

/// As sshd is mostly configured: `AcceptEnv LANG LC_*`.
fn is_harmless(name: &[u8]) -> bool {
    name == b"LANG" || name.starts_with(b"LC_")
}

fn os(bytes: &Bytes) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

/// A program and its channel, until the program has ended and its output has gone.
async fn attend(mut channel: SessionChannel, mut child: Child) {
    let group = child.id();
    if let Some(stdin) = child.stdin.take() {
        tokio::spawn(feed(channel.stream(), stdin));
    }
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (to_stdout, to_stderr) = (channel.stream(), channel.stderr());
    let mut output = tokio::spawn(async move {
        tokio::join!(pass_on(stdout, to_stdout), pass_on(stderr, to_stderr));
    });
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            asked = channel.next() => match asked {
                Some(asked) => {
                    if let ToServer::Signal(name) = &asked.request {
                        signal(group, name);
                    }
                }
                None => {
                    signal(group, b"HUP");
                    break child.wait().await;
                }
            },
        }
    };
    // What the program left running may still hold its output open: for as long as somebody listens.
    tokio::select! {
        _ = &mut output => {}
        () = async { while channel.next().await.is_some() {} } => output.abort(),
    }
    match status.as_ref().map(how) {
        Ok(How::Exited(status)) => channel.exit_status(status),
        Ok(How::Killed(name, core)) => channel.exit_signal(name, core, ""),
        Err(error) => tracing::warn!(%error, "how the program ended is not known"),
    }
    channel.close();
}

/// The channel's data into the program, and its end.
async fn feed(mut stream: ChannelStream, mut stdin: ChildStdin) {
    while let Ok(Some(piece)) = stream.chunk().await {
        if stdin.write_all(&piece).await.is_err() {
            return;
        }
    }
}

/// What a program says, until it says no more or nobody listens.
async fn pass_on(from: Option<impl AsyncRead + Unpin>, mut to: impl AsyncWrite + Unpin) {
    if let Some(from) = from {
        let mut from = BufReader::with_capacity(PIECE, from);
        let _ = tokio::io::copy_buf(&mut from, &mut to).await;
    }
}

/// How a program ended.
enum How {
    Exited(u32),
    Killed(&'static str, bool),
}

fn how(status: &ExitStatus) -> How {
    match (status.code(), status.signal()) {
        (Some(code), _) => How::Exited(code.cast_unsigned()),
        (None, Some(number)) => {
            let named = SIGNALS.iter().find(|(_, it)| it.as_raw() == number);
            How::Killed(named.map_or("KILL", |it| it.0), status.core_dumped())
        }
        (None, None) => How::Exited(255),
    }
}

fn signal(group: Option<u32>, name: &[u8]) {
    let group = group
        .and_then(|it| i32::try_from(it).ok())
        .and_then(rustix::process::Pid::from_raw);
    let signal = SIGNALS.iter().find(|it| it.0.as_bytes() == name);
    if let (Some(group), Some((_, signal))) = (group, signal) {
        // It may have ended meanwhile.
        let _ = rustix::process::kill_process_group(group, *signal);
    }
}

/// The names of RFC 4254 §6.10.
const SIGNALS: [(&str, rustix::process::Signal); 13] = {
    use rustix::process::Signal;
    [
        ("ABRT", Signal::ABORT),
        ("ALRM", Signal::ALARM),
        ("FPE", Signal::FPE),
        ("HUP", Signal::HUP),
        ("ILL", Signal::ILL),
        ("INT", Signal::INT),
        ("KILL", Signal::KILL),
        ("PIPE", Signal::PIPE),
        ("QUIT", Signal::QUIT),
        ("SEGV", Signal::SEGV),
        ("TERM", Signal::TERM),
        ("USR1", Signal::USR1),
        ("USR2", Signal::USR2),
    ]
};

/// A connection onward, wherever the client says.
async fn onward(host: Bytes, port: u16, offer: Offered<ChannelStream>) -> io::Result<()> {
    let connected = match std::str::from_utf8(&host) {
        Ok(host) => TcpStream::connect((host, port)).await,
        Err(_) => Err(io::ErrorKind::InvalidInput.into()),
    };
    let mut there = match connected {
        Ok(there) => there,
        Err(error) => {
            offer.refuse(OpenFailureReason::ConnectFailed, &error.to_string());
            return Ok(());
        }
    };
    let Some(here) = offer.accept() else {
        return Ok(());
    };
    let gone = here.closed();
    let (mut from_here, mut to_here) = tokio::io::split(here);
    let (mut from_there, mut to_there) = there.split();
    let forth = async {
        tokio::io::copy(&mut from_here, &mut to_there).await?;
        to_there.shutdown().await
    };
    let back = async {
        tokio::select! {
            copied = tokio::io::copy(&mut from_there, &mut to_here) => copied.map(drop)?,
            // Nobody is left to hear what may still come.
            () = gone => {}
        }
        to_here.shutdown().await
    };
    tokio::try_join!(forth, back)?;
    Ok(())
}
