//! `serve`: the server of this program, listening or on standard input and output.
//!
//! Not the serving: that is `sansftp-server`'s. Here it is put together, shown and ended.

use std::convert::Infallible;
use std::fs::Metadata;
use std::io::{self, BufRead, Read, Write};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::process::{Resource, Rlimit, geteuid, getrlimit, setrlimit};
use sansftp_connector::{Class, Error, Result, printable};
use sansftp_proto::crypto::{CryptoProvider, Secret};
use sansftp_server::ZLIB;
use sansftp_server::host_keys::HostKeys;
use sansftp_server::local::LocalFs;
use sansftp_server::service::{Bound, Event, Limits, Service, StandardError, Stdio};
use sansftp_server::sftp::FileSystem;
use sansftp_server::users::{self, Identity, Judge, Sources, User, Users, hash_password};
use tokio::signal::unix::{SignalKind, signal};

use super::{Ended, stdio};
use crate::args::OutputArgs;
use crate::ask;
use crate::output::{HostCertificateShown, HostKeyShown, Listening, ServeLog};
use crate::plan::{Access, Bounds, HostKeyFiles, Password, Serve, Site, UsersOf, Who};
use crate::signals::Signals;

/// Longest file that is read for a password.
const PASSWORD_FILE: u64 = 4096;

/// Does what was planned.
pub(super) async fn run(
    serve: Serve,
    args: &OutputArgs,
    signals: &mut Signals,
) -> std::result::Result<(), Ended> {
    match serve {
        Serve::Listen(address, site) => listen(address, &site, args, signals).await,
        Serve::Inetd(site) => inetd(&site, args, signals).await,
        Serve::Stdio(plan) => stdio::run(plan, signals).await,
        Serve::Requests => Ok(stdio::requests()?),
        Serve::HashPassword => tokio::select! {
            printed = print_hash() => Ok(printed?),
            code = signals.next() => Err(Ended::Signal(code)),
        },
    }
}

async fn listen(
    address: SocketAddr,
    site: &Site,
    args: &OutputArgs,
    signals: &mut Signals,
) -> std::result::Result<(), Ended> {
    let log = ServeLog::new(args);
    let teller = log.clone();
    open_many_files();
    let mut running = Running::start(address, site, move |event| teller.event(&event)).await?;
    running.show(site, &log);
    let users = running.users.clone();
    let code = tokio::select! {
        never = running.bound.run() => match never {},
        // Where there is nothing to be read again it ends the server, as the end of a terminal should.
        never = reload_when_told(&users, &log), if site.who.has_files() => match never? {},
        code = signals.next() => code,
    };
    let Running { bound, service, .. } = running;
    let sessions = service.sessions();
    let words = if sessions == 0 {
        "stopping".to_owned()
    } else {
        let plural = if sessions == 1 { "" } else { "s" };
        let most = site.bounds.stop.as_secs_f32();
        format!("stopping: waiting for {sessions} session{plural} to end, {most} s at most")
    };
    log.say("stopping", &words);
    // The port is free again, whatever runs on.
    drop(bound);
    tokio::select! {
        () = service.shut_down(site.bounds.stop) => {}
        _ = signals.next() => {}
    }
    log.say("stopped", "stopped");
    log.flush();
    Err(Ended::Signal(code))
}

/// Has the system let this process open as many files as it may. Programs begin with 1,024, which a
/// single client can use up.
fn open_many_files() {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::warn!(%error, "no more than {:?} files can be open", limit.current);
    }
}

/// SIGHUP: the users file is read again. Files of keys are, whenever they change.
async fn reload_when_told(users: &Users, log: &ServeLog) -> Result<Infallible> {
    let mut hangup = signal(SignalKind::hangup())
        .map_err(|error| Error::local_io("signals cannot be caught", error))?;
    loop {
        // A stream of signals ends with the runtime.
        if hangup.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
        let users = users.clone();
        let reloaded = tokio::task::spawn_blocking(move || users.reload()).await;
        match reloaded {
            Ok(Ok(())) => log.say("reloaded", "the users have been read again"),
            Ok(Err(error)) => log.say("not-reloaded", &format!("{error}; users stay as they were")),
            Err(_) => log.say(
                "not-reloaded",
                "reading the users failed; they stay as they were",
            ),
        }
    }
}

async fn inetd(
    site: &Site,
    args: &OutputArgs,
    signals: &mut Signals,
) -> std::result::Result<(), Ended> {
    let stdio =
        Stdio::open().map_err(|error| Error::local_io("standard input and output", error))?;
    let log = ServeLog::new(args);
    let heard = StandardError::of_process() == StandardError::Free;
    let teller = log.clone();
    let (service, _) = service(site, move |event: Event| {
        if heard {
            teller.event(&event);
        }
    })?;
    let peer = stdio.peer();
    let mut serving = std::pin::pin!(service.serve(stdio, peer));
    let ended = tokio::select! {
        () = &mut serving => Ok(()),
        code = signals.next() => {
            // The client is told, if it reads.
            tokio::select! {
                () = service.shut_down(Duration::ZERO) => {}
                () = serving => {}
            }
            Err(Ended::Signal(code))
        }
    };
    log.flush();
    ended
}

/// A server that listens.
pub(super) struct Running {
    bound: Bound<Judge>,
    service: Service<Judge>,
    users: Users,
    keys: HostKeys,
    /// The password that was made for this run.
    password: Option<String>,
}

impl Running {
    /// Makes what is missing, reads what is there, and listens.
    pub(super) async fn start(
        address: SocketAddr,
        site: &Site,
        report: impl Fn(Event) + Send + Sync + 'static,
    ) -> Result<Self> {
        let (
            service,
            Made {
                users,
                keys,
                password,
            },
        ) = service(site, report)?;
        let bound = service.bind(address).await.map_err(|error| {
            let hint = match error.kind() {
                io::ErrorKind::AddrInUse => {
                    "something listens there already; give another port with --listen, or 0 for a free one"
                }
                io::ErrorKind::PermissionDenied => {
                    "ports below 1024 are for the system's services; give another with --listen"
                }
                _ => "give an address of this machine with --listen",
            };
            Error::local_io(format!("{address} cannot be listened on"), error).with_hint(hint)
        })?;
        Ok(Self {
            bound,
            service,
            users,
            keys,
            password,
        })
    }

    /// Where it listens.
    pub(super) const fn address(&self) -> SocketAddr {
        self.bound.address()
    }

    /// Type and base64 of the preferred host key.
    pub(super) fn key_line(&self) -> String {
        shown_keys(&self.keys, "localhost", 22)
            .into_iter()
            .next()
            .map(|it| it.key)
            .unwrap_or_default()
    }

    /// Serves until it is told to stop, and ends all sessions then.
    pub(super) async fn run_until(mut self, stop: tokio::sync::oneshot::Receiver<()>) {
        tokio::select! {
            never = self.bound.run() => match never {},
            // Whoever would tell it is gone: that is a reason to stop as well.
            _ = stop => {}
        }
        self.service.shut_down(Duration::ZERO).await;
    }

    fn show(&self, site: &Site, log: &ServeLog) {
        let address = self.address();
        let host = reached_by(address);
        let shown = site.directory.as_os_str().as_bytes();
        log.listening(&Listening {
            directory: &printable(shown),
            writable: site.access == Access::ReadWrite,
            address,
            host: &host,
            keys: &shown_keys(&self.keys, &host, address.port()),
            certificates: &shown_certificates(&self.keys),
            user: match &site.who.users {
                UsersOf::One { name, .. } => Some(name),
                UsersOf::File { .. } => None,
            },
            password: self.password.as_deref(),
        });
    }
}

/// What came into being beside a service.
struct Made {
    users: Users,
    keys: HostKeys,
    password: Option<String>,
}

fn service(
    site: &Site,
    report: impl Fn(Event) + Send + Sync + 'static,
) -> Result<(Service<Judge>, Made)> {
    let provider = sansftp_server::default_provider();
    let keys = match &site.host_keys {
        HostKeyFiles::Given(files) => {
            HostKeys::load(files, &provider).map_err(|error| local(&error))
        }
        HostKeyFiles::Kept(directory) => {
            HostKeys::load_or_make(directory, &provider).map_err(|error| {
                local(&error).with_hint(
                    "$XDG_STATE_HOME says where keys are kept; --host-key FILE names one",
                )
            })
        }
    }?;
    let keys = keys
        .certify(&site.host_certificates, &provider)
        .map_err(|error| local(&error))?;
    for certificate in keys.certificates() {
        if let Err(doubt) = certificate.check(SystemTime::now(), &provider) {
            let path = certificate.path().display();
            tracing::warn!("host certificate {path}: {doubt}; clients will not take it");
        }
    }
    let (users, password) = users(&site.who, &provider)?;
    let mut config = site
        .algorithms
        .configure(provider, &keys)
        .map_err(|error| Error::configuration(error.to_string()))?;
    config.compression = site.compression.then_some(ZLIB);
    let files = LocalFs::new(&site.directory).map_err(|error| local(&error))?;
    let service = Service::new(
        config,
        &limits(&site.bounds),
        {
            let users = users.clone();
            move |peer| users.authenticate(peer)
        },
        files_of(files, site.access),
        report,
    );
    let made = Made {
        users,
        keys,
        password,
    };
    Ok((service, made))
}

fn limits(bounds: &Bounds) -> Limits {
    let mut limits = Limits::default();
    limits.half_open = bounds.startups;
    limits.sessions = bounds.sessions;
    limits.sessions_per_user = bounds.sessions_per_user;
    limits.login = bounds.login;
    limits.attempts = bounds.attempts;
    limits.handles = bounds.handles;
    limits.memory = bounds.memory;
    limits.keepalive = bounds.keepalive;
    limits
}

/// What each user is served: the same files, as far as neither the server nor the user's own entry
/// forbids to change them.
fn files_of(
    files: LocalFs,
    access: Access,
) -> impl Fn(&Identity) -> Arc<dyn FileSystem> + Send + Sync + 'static {
    move |identity| {
        let files = files.clone().user(identity.user.clone());
        match (access, identity.access) {
            (Access::ReadWrite, users::Access::ReadWrite) => Arc::new(files),
            _ => Arc::new(files.read_only()),
        }
    }
}

/// Who is let in, and the password if one was made.
fn users(who: &Who, provider: &CryptoProvider) -> Result<(Users, Option<String>)> {
    let mut sources = Sources {
        authorities: who.authorities.clone(),
        revoked: who.revoked.clone(),
        ..Sources::default()
    };
    let mut made = None;
    match &who.users {
        UsersOf::File {
            path,
            authorized_keys,
        } => {
            // Whose file is missing has no keys; that the one of all users is, is a mistake.
            if let Some(keys) = authorized_keys.as_ref().filter(|it| !it.contains('%')) {
                is_there(Path::new(keys))?;
            }
            sources.file = Some(path.clone());
            sources.authorized_keys.extend(authorized_keys.clone());
        }
        UsersOf::One {
            name,
            authorized_keys,
            password,
        } => {
            if let Some(keys) = authorized_keys {
                is_there(keys)?;
            }
            let mut user = User::default();
            user.authorized_keys.clone_from(authorized_keys);
            let secret = match password {
                Password::None => None,
                Password::File(path) => Some(password_in(path)?),
                Password::Made => {
                    let word = made_password(provider)?;
                    made = Some(word.clone());
                    Some(Secret::from(word))
                }
            };
            if let Some(secret) = secret {
                let text = hashed(&secret, provider)?;
                let hash = text.parse().map_err(|error| refused(&error))?;
                user.password = Some(hash);
            }
            sources.users.push((name.clone(), user));
        }
    }
    let users = Users::load(sources).map_err(|error| Error::configuration(error.to_string()))?;
    Ok((users, made))
}

fn is_there(authorized_keys: &Path) -> Result<()> {
    std::fs::metadata(authorized_keys)
        .map(drop)
        .map_err(|error| {
            Error::configuration(format!("{}: {error}", authorized_keys.display())).with_hint(
            "--authorized-keys takes a file with a line for each key, as ~/.ssh/authorized_keys",
        )
        })
}

fn password_in(path: &Path) -> Result<Secret> {
    let unusable = |error| Error::configuration(format!("{}: {error}", path.display()));
    let mut text = Vec::new();
    let file = std::fs::File::open(path).map_err(unusable)?;
    check(path, &file.metadata().map_err(unusable)?)?;
    file.take(PASSWORD_FILE)
        .read_to_end(&mut text)
        .map_err(unusable)?;
    // One line end is the file's, not the password's.
    if text.last() == Some(&b'\n') {
        text.pop();
        if text.last() == Some(&b'\r') {
            text.pop();
        }
    }
    Ok(Secret::new(text))
}

/// Whether nobody else could have written a file that lets somebody in. Pipes are whose they are.
fn check(path: &Path, file: &Metadata) -> Result<()> {
    let (owner, mode) = (file.uid(), file.mode());
    let path = path.display();
    if !file.is_file() {
        return Ok(());
    }
    if mode & 0o022 != 0 || ![0, geteuid().as_raw()].contains(&owner) {
        return Err(Error::configuration(format!(
            "{path}: others could have written it (mode {:03o}, owner {owner})",
            mode & 0o7777
        ))
        .with_hint(format!(
            "make it this account's or root's, and chmod 600 '{path}'"
        )));
    }
    if mode & 0o004 != 0 {
        tracing::warn!("{path}: everybody here can read this password; chmod o-r");
    }
    Ok(())
}

/// Twenty letters and digits that look like no others: some 98 bits.
pub(super) fn made_password(provider: &CryptoProvider) -> Result<String> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = [0; 20];
    provider
        .random
        .fill(&mut random)
        .map_err(|error| refused(&error))?;
    let letters = random.map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
    Ok(letters.iter().collect())
}

fn hashed(password: &Secret, provider: &CryptoProvider) -> Result<String> {
    hash_password(password, &*provider.random)
        .map_err(|error| Error::configuration(format!("this password cannot be used: {error}")))
}

/// Asks twice on a terminal, or reads one line.
async fn print_hash() -> Result<()> {
    let password = if ask::is_terminal() {
        let first = ask::hidden("Password: ".to_owned()).await;
        let again = ask::hidden("Again: ".to_owned()).await;
        match (first, again) {
            (Some(first), Some(again)) if first.expose() == again.expose() => first,
            (Some(_), Some(_)) => return Err(Error::configuration("the two are not the same")),
            _ => return Err(Error::configuration("no password was given")),
        }
    } else {
        let read = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            let mut input = io::stdin().lock().take(PASSWORD_FILE);
            input.read_line(&mut line).map(|_| line)
        });
        let line = read.await.unwrap_or_else(|error| Err(error.into()));
        let line = line.map_err(|error| Error::local_io("standard input", error))?;
        Secret::from(line.trim_end_matches(['\n', '\r']).to_owned())
    };
    if password.expose().is_empty() {
        return Err(Error::configuration("no password was given"));
    }
    let hash = hashed(&password, &sansftp_server::default_provider())?;
    writeln!(io::stdout(), "{hash}").map_err(|error| Error::local_io("standard output", error))
}

/// The name by which a client reaches an address: of all addresses, this machine's name.
fn reached_by(address: SocketAddr) -> String {
    if !address.ip().is_unspecified() {
        return address.ip().to_string();
    }
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

fn shown_keys(keys: &HostKeys, host: &str, port: u16) -> Vec<HostKeyShown> {
    let lines = keys.known_hosts(host, port).unwrap_or_default();
    keys.iter()
        .zip(lines.lines())
        .map(|(key, line)| HostKeyShown {
            key: line.split_once(' ').map_or(line, |(_, key)| key).to_owned(),
            fingerprint: key.fingerprint(),
            known_hosts: line.to_owned(),
        })
        .collect()
}

fn shown_certificates(keys: &HostKeys) -> Vec<HostCertificateShown> {
    keys.certificates()
        .map(|it| HostCertificateShown {
            id: printable(it.key_id()).into_owned(),
            names: it.names().map(|it| printable(it).into_owned()).collect(),
            authority: it.authority_fingerprint(),
            expires: it.expires(),
            known_hosts: it.known_hosts(),
        })
        .collect()
}

fn local(error: &dyn std::error::Error) -> Error {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let more = deeper.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        cause = deeper.source();
    }
    Error::new(Class::LocalIo, words)
}

fn refused(error: &dyn std::error::Error) -> Error {
    Error::new(Class::Failure, error.to_string())
}
