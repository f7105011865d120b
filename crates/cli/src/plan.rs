//! What is to be done: the command line, the environment and the configuration, resolved.
//!
//! Not the doing, and no contact with a server. Precedence, per key: TARGET, then flag, then
//! environment, then configuration, then default. What cannot be carried out is refused here, with
//! its remedy.

mod operations;
mod process;
mod serve;
#[cfg(test)]
mod tests;
mod way;

use std::env;
use std::ffi::{OsStr, OsString};
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use base64ct::{Base64, Encoding};
use sansftp_connector::connection::{Connection, PrivateKey, SecretRef};
use sansftp_connector::document::{Document, Properties};
use sansftp_connector::operation::{List, Listen, Operation};
use sansftp_connector::{Error, Result};

use crate::args::{
    DeleteArgs, FarArgs, GetArgs, ListArgs, ListenArgs, ReachArgs, SendArgs, SessionArgs,
    TargetArgs, TestArgs, TrustArgs,
};
use crate::config::{Config, Located};
use crate::target::Target;

pub(crate) use process::{Process, StepOf, Told, plan, run};
pub(crate) use serve::{
    Access, Bounds, HostKeyFiles, LogLevel, LogTo, Password, Serve, Site, Stdio, StdioLog, UsersOf,
    Who, serve,
};

/// The environment variable that a password is taken from.
pub(crate) const PASSWORD_VARIABLE: &str = "SANSFTP_PASSWORD";

/// SSH's (RFC 4253 §4.1).
const DEFAULT_PORT: u16 = 22;

/// What the environment says, looked at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Environment {
    /// `$HOME`.
    home: Option<PathBuf>,
    /// `$XDG_CONFIG_HOME`, else `$HOME/.config`.
    config_home: Option<PathBuf>,
    /// `$SANSFTP_CONFIG`.
    config: Option<PathBuf>,
    /// `./sansftp.toml`, where it is looked for.
    here: PathBuf,
    /// Whether `$SANSFTP_PASSWORD` holds one.
    password: bool,
    /// `$XDG_STATE_HOME`, else `$HOME/.local/state`.
    state_home: Option<PathBuf>,
    /// `$USER`, else `$LOGNAME`, else the account that this process runs as.
    user: Option<String>,
}

impl Environment {
    /// The environment of this process. An empty variable is an unset one.
    pub(crate) fn of_process() -> Self {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let home = set("HOME").map(PathBuf::from);
        Self {
            config_home: set("XDG_CONFIG_HOME")
                .map(PathBuf::from)
                .or_else(|| home.as_ref().map(|home| home.join(".config"))),
            config: set("SANSFTP_CONFIG").map(PathBuf::from),
            here: PathBuf::from("sansftp.toml"),
            password: set(PASSWORD_VARIABLE).is_some(),
            state_home: set("XDG_STATE_HOME")
                .map(PathBuf::from)
                .or_else(|| home.as_ref().map(|home| home.join(".local").join("state"))),
            user: set("USER")
                .or_else(|| set("LOGNAME"))
                .and_then(|name| name.into_string().ok())
                .or_else(account),
            home,
        }
    }

    /// That of a demonstration, which knows nothing outside of this folder.
    pub(crate) fn within(folder: &Path) -> Self {
        Self {
            here: folder.join("sansftp.toml"),
            state_home: Some(folder.join("state")),
            ..Self::default()
        }
    }

    /// Where a server keeps its keys.
    fn host_keys(&self) -> Result<PathBuf> {
        let state = self.state_home.as_ref().ok_or_else(|| {
            Error::configuration("neither $XDG_STATE_HOME nor $HOME says where host keys are kept")
                .with_hint("give --host-key FILE, or set $HOME")
        })?;
        Ok(state.join("sansftp").join("host-keys"))
    }

    /// Where listeners keep what they know.
    fn listeners(&self) -> Result<PathBuf> {
        let state = self.state_home.as_ref().ok_or_else(|| {
            Error::configuration("neither $XDG_STATE_HOME nor $HOME says where the journal is kept")
                .with_hint("give --journal FILE, or set $HOME")
        })?;
        Ok(state.join("sansftp").join("listen"))
    }

    /// A path of the configuration or of a flag, `~` at its front being the home: shells expand
    /// `--journal ~/x`, and some do not expand `--journal=~/x`.
    pub(crate) fn expanded(&self, path: &Path) -> PathBuf {
        match (path.strip_prefix("~"), &self.home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => path.to_owned(),
        }
    }

    fn expand(&self, path: &mut PathBuf) {
        *path = self.expanded(path);
    }

    /// The same for the paths of an operation.
    fn expand_operation(&self, operation: &mut Operation) {
        let journal = match operation {
            Operation::Get(get) => &mut get.journal,
            Operation::Listen(listen) => &mut listen.get.journal,
            Operation::Send(send) => &mut send.journal,
            Operation::List(_) | Operation::Delete(_) => return,
        };
        if let Some(journal) = journal {
            self.expand(journal);
        }
    }
}

/// What the system calls the account of this process.
fn account() -> Option<String> {
    use nix::unistd::{Uid, User};
    let account = User::from_uid(Uid::effective()).ok().flatten()?;
    Some(account.name)
}

/// An operation, ready to be run.
#[derive(Debug)]
pub(crate) struct Step {
    /// With whom.
    pub(crate) connection: Connection,
    /// What.
    pub(crate) operation: Operation,
    /// On what.
    pub(crate) documents: Vec<Document>,
    /// Where the files of a Get go.
    pub(crate) into: Option<PathBuf>,
    /// So many sessions at most.
    pub(crate) jobs: NonZeroUsize,
}

/// A host key to look at.
#[derive(Debug)]
pub(crate) struct Trust {
    /// Whose.
    pub(crate) connection: Connection,
    /// Which one is expected.
    pub(crate) fingerprint: Option<String>,
}

/// Resolves `sansftp get`.
///
/// # Errors
/// `configuration`, as all of this module.
pub(crate) fn get(args: &GetArgs, environment: &Environment) -> Result<Step> {
    let directory_flag = args.flags.remote_directory.as_ref();
    let reached = reached_by(&args.target, directory_flag, &args.far, environment)?;
    let (operation, properties) = operations::get(&reached, &args.flags)?;
    let into = environment.expanded(&args.into);
    is_there(&into)?;
    Ok(Step {
        connection: reached.connection,
        operation,
        documents: vec![document(properties)],
        into: Some(into),
        jobs: args.jobs.of(),
    })
}

/// A directory to watch.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Where.
    pub(crate) connection: Connection,
    /// What for, and what is done then.
    pub(crate) listen: Listen,
    /// What the files' outcomes carry.
    pub(crate) properties: Properties,
    /// Where the files go.
    pub(crate) into: PathBuf,
    /// Who chose the journal.
    pub(crate) kept: Kept,
    /// So many sessions at most.
    pub(crate) jobs: NonZeroUsize,
}

/// Who chose where something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// A flag or the configuration: its directory is there.
    Named,
    /// Nobody: its directory may have to be made.
    ByDefault,
}

/// Resolves `sansftp listen`.
pub(crate) fn listen(args: &ListenArgs, environment: &Environment) -> Result<Watch> {
    let directory_flag = args.flags.remote_directory.as_ref();
    let reached = reached_by(&args.target, directory_flag, &args.far, environment)?;
    let (mut listen, properties) = operations::listen(&reached, &args.listening, &args.flags)?;
    let kept = match &mut listen.get.journal {
        Some(_) => Kept::Named,
        unset => {
            let name = journal_name(&reached.connection.account());
            *unset = Some(environment.listeners()?.join(name));
            Kept::ByDefault
        }
    };
    let into = environment.expanded(&args.into);
    is_there(&into)?;
    Ok(Watch {
        connection: reached.connection,
        listen,
        properties,
        into,
        kept,
        jobs: args.jobs.of(),
    })
}

/// The file name of a journal that nobody named: one for each account, so that those who listen to
/// the same directory share it.
fn journal_name(account: &str) -> String {
    let mut name = String::new();
    for byte in account.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'@' | b':' => {
                name.push(char::from(byte));
            }
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    name + ".journal"
}

fn is_there(into: &Path) -> Result<()> {
    if into.is_dir() {
        return Ok(());
    }
    let into = into.display();
    Err(
        Error::configuration(format!("--into {into} is no directory that is there"))
            .with_hint(format!("make it with mkdir -p '{into}'")),
    )
}

/// Resolves `sansftp send`.
pub(crate) fn send(args: &SendArgs, environment: &Environment) -> Result<Step> {
    let directory_flag = args.flags.remote_directory.as_ref();
    let reached = reached_by(&args.target, directory_flag, &args.far, environment)?;
    let (operation, mut properties) = operations::send(&reached, &args.flags)?;
    if let Some(name) = &args.rename_to {
        if args.files.len() > 1 {
            return Err(
                Error::configuration("--as names one file, and several are sent")
                    .with_hint("send one file with --as, or use --name-template"),
            );
        }
        if name.as_bytes().trim_ascii().is_empty() {
            return Err(Error::configuration("--as gives an empty name")
                .with_hint("leave --as out to send the file under its own name"));
        }
        properties.set("filename", name.as_bytes().to_vec());
    }
    let documents = args.files.iter().map(|file| Document {
        properties: properties.clone(),
        ..Document::file(file)
    });
    Ok(Step {
        connection: reached.connection,
        operation,
        documents: documents.collect(),
        into: None,
        jobs: args.jobs.of(),
    })
}

/// Resolves `sansftp list`.
pub(crate) fn list(args: &ListArgs, environment: &Environment) -> Result<Step> {
    let directory_flag = args.flags.remote_directory.as_ref();
    let reached = reached_by(&args.target, directory_flag, &args.far, environment)?;
    let (operation, properties) = operations::list(&reached, &args.flags)?;
    Ok(Step {
        connection: reached.connection,
        operation,
        documents: vec![document(properties)],
        into: None,
        jobs: NonZeroUsize::MIN,
    })
}

/// Resolves `sansftp delete`: each name is a document.
pub(crate) fn delete(args: &DeleteArgs, environment: &Environment) -> Result<Step> {
    let directory_flag = args.flags.remote_directory.as_ref();
    let reached = reached_by(&args.target, directory_flag, &args.far, environment)?;
    let (operation, properties) = operations::delete(&reached, &args.flags)?;
    let documents = args.names.iter().map(|name| {
        let (name, document) = (name.as_bytes(), document(properties.clone()));
        if name.trim_ascii() == name {
            return document.with("filename", name.to_vec());
        }
        // A property is trimmed, but in this form.
        document.with("filename-base64", Base64::encode_string(name))
    });
    Ok(Step {
        connection: reached.connection,
        operation,
        documents: documents.collect(),
        into: None,
        jobs: args.jobs.of(),
    })
}

/// Resolves `sansftp test`: everything in a directory is listed.
pub(crate) fn test(args: &TestArgs, environment: &Environment) -> Result<Step> {
    let flag = args.remote_directory.as_ref();
    let reached = reached(
        (&args.target, flag),
        (&args.far.reach, &args.far.session),
        environment,
    )?;
    let mut properties = Properties::default();
    if let Some(directory) = reached
        .directory
        .clone()
        .or_else(|| flag.map(|flag| flag.as_bytes().to_vec()))
    {
        properties.set("remote-directory", directory);
    }
    let operation = Operation::List(List {
        hidden: true,
        ..List::default()
    });
    Ok(Step {
        connection: reached.connection,
        operation,
        documents: vec![document(properties)],
        into: None,
        jobs: NonZeroUsize::MIN,
    })
}

/// Resolves `sansftp trust`.
pub(crate) fn trust(args: &TrustArgs, environment: &Environment) -> Result<Trust> {
    if let Some(fingerprint) = &args.fingerprint
        && fingerprint
            .strip_prefix("SHA256:")
            .is_none_or(str::is_empty)
    {
        return Err(
            Error::configuration(format!("'{fingerprint}' is no fingerprint"))
                .with_hint("write it as ssh-keygen -l prints it: SHA256:…"),
        );
    }
    let Reached { connection, .. } = reached(
        (&args.target, None),
        (&args.reach, &SessionArgs::default()),
        environment,
    )?;
    Ok(Trust {
        connection,
        fingerprint: args.fingerprint.clone(),
    })
}

fn document(properties: Properties) -> Document {
    Document {
        properties,
        ..Document::empty()
    }
}

/// What TARGET and the flags beside it lead to.
struct Reached<'a> {
    config: Configured<'a>,
    connection: Connection,
    /// The directory that TARGET names.
    directory: Option<Vec<u8>>,
    /// The operation of the configuration that is asked for.
    operation: Option<&'a str>,
}

/// Resolves where a command goes that carries out an operation.
fn reached_by<'a>(
    target: &'a TargetArgs,
    directory_flag: Option<&OsString>,
    far: &FarArgs,
    environment: &'a Environment,
) -> Result<Reached<'a>> {
    let far = (&far.reach, &far.session);
    Ok(Reached {
        operation: target.operation.as_deref(),
        ..reached((&target.target, directory_flag), far, environment)?
    })
}

/// Resolves the TARGET of a command, beside which a flag may name the directory: once, not twice.
fn reached<'a>(
    (target, directory_flag): (&OsStr, Option<&OsString>),
    (reach, session): (&ReachArgs, &SessionArgs),
    environment: &'a Environment,
) -> Result<Reached<'a>> {
    let config = Configured::of(reach, environment)?;
    let (connection, directory) = config.session(target, reach, session)?;
    if directory.is_some() && directory_flag.is_some() {
        return Err(given_twice("a directory", "--remote-directory"));
    }
    Ok(Reached {
        config,
        connection,
        directory,
        operation: None,
    })
}

fn given_twice(what: &str, flag: &str) -> Error {
    Error::configuration(format!("TARGET names {what}, and so does {flag}"))
        .with_hint(format!("leave {flag} out, or take it out of TARGET"))
}

/// The configuration file, as far as anyone wants it.
struct Configured<'a> {
    environment: &'a Environment,
    named: Option<PathBuf>,
    read: std::cell::OnceCell<Config>,
}

impl<'a> Configured<'a> {
    /// A file that is named on the command line is read and checked in any case.
    fn of(reach: &ReachArgs, environment: &'a Environment) -> Result<Self> {
        let configured = Self {
            environment,
            named: reach.config.clone(),
            read: std::cell::OnceCell::new(),
        };
        if configured.named.is_some() {
            configured.file()?;
        }
        Ok(configured)
    }

    /// The file; the first of the places that has one.
    fn file(&self) -> Result<&Config> {
        if let Some(config) = self.read.get() {
            return Ok(config);
        }
        let config = Config::read(&self.path()?)?;
        Ok(self.read.get_or_init(|| config))
    }

    fn path(&self) -> Result<PathBuf> {
        if let Some(named) = self.named.as_ref().or(self.environment.config.as_ref()) {
            return Ok(named.clone());
        }
        let mut places = vec![self.environment.here.clone()];
        if let Some(home) = &self.environment.config_home {
            places.push(home.join("sansftp").join("config.toml"));
        }
        if let Some(found) = places.iter().find(|place| place.exists()) {
            return Ok(found.clone());
        }
        let places: Vec<_> = places
            .iter()
            .map(|place| place.display().to_string())
            .collect();
        Err(Error::configuration(format!(
            "there is no configuration file: neither --config nor $SANSFTP_CONFIG is given, and there is no {}",
            places.join(" and no ")
        ))
        .with_hint("make one of them, or write the target as sftp://USER@HOST/DIRECTORY"))
    }

    /// The connection, and the directory that TARGET names.
    fn session(
        &self,
        target: &OsStr,
        reach: &ReachArgs,
        session: &SessionArgs,
    ) -> Result<(Connection, Option<Vec<u8>>)> {
        let (mut connection, place, directory) = match Target::parse(target)? {
            Target::Named { name, directory } => {
                let Located { value, place } = self.file()?.connection(&name)?.clone();
                (value, Some(place), directory)
            }
            Target::Server {
                user,
                host,
                port,
                directory,
            } => {
                if reach.host.is_some() {
                    return Err(given_twice("a host", "--host"));
                }
                if port.is_some() && reach.port.is_some() {
                    return Err(given_twice("a port", "--port"));
                }
                if user.is_some() && session.user.is_some() {
                    return Err(given_twice("a user", "--user"));
                }
                let connection = Connection {
                    user,
                    host,
                    port: port.unwrap_or(DEFAULT_PORT),
                    ..Connection::default()
                };
                (connection, None, directory)
            }
        };
        self.flags(&mut connection, reach, session);
        way::proxy(&mut connection, reach)?;
        self.settle(&mut connection)?;
        connection.validate().map_err(|error| at(place, error))?;
        Ok((connection, directory))
    }

    fn flags(&self, connection: &mut Connection, reach: &ReachArgs, session: &SessionArgs) {
        over(&mut connection.host, &reach.host);
        over(&mut connection.port, &reach.port);
        over_option(&mut connection.known_hosts_file, &reach.known_hosts_file);
        over(&mut connection.algorithms, &reach.algorithms);
        over(&mut connection.connect_timeout, &reach.connect_timeout);
        over_option(&mut connection.bind, &reach.bind);
        over(&mut connection.ssh_config, &reach.ssh_config);
        if !reach.jump.is_empty() {
            connection.jump.clone_from(&reach.jump);
        }
        over_option(&mut connection.user, &session.user);
        if let Some(path) = &session.private_key {
            connection.private_key = Some(PrivateKey::Path(path.clone()));
            // The configured ones are those of the configured key.
            connection.passphrase = None;
            connection.certificate = None;
        }
        over_option(&mut connection.certificate, &session.certificate);
        over(&mut connection.agent, &session.agent);
        if let Some(path) = &session.passphrase_file {
            connection.passphrase = Some(SecretRef::File(path.clone()));
        }
        if let Some(path) = &session.password_file {
            connection.password = Some(SecretRef::File(path.clone()));
        } else if self.environment.password {
            connection.password = Some(SecretRef::Env(PASSWORD_VARIABLE.to_owned()));
        }
        if !session.known_host.is_empty() {
            connection.known_host.clone_from(&session.known_host);
        }
        over(&mut connection.host_key_policy, &session.host_key_policy);
        over(&mut connection.request_timeout, &session.request_timeout);
        over(&mut connection.durable_timeout, &session.durable_timeout);
        over_option(
            &mut connection.operation_timeout,
            &session.operation_timeout,
        );
        over(&mut connection.keepalive, &session.keepalive);
        over(&mut connection.max_sessions, &session.max_sessions);
        over(&mut connection.retries, &session.retries);
        over(&mut connection.retry_delay, &session.retry_delay);
        over(&mut connection.memory, &session.memory);
        over(&mut connection.upload_channels, &session.upload_channels);
        over_option(&mut connection.rekey_limit, &session.rekey_limit);
        over(&mut connection.compression, &session.compression);
        over(&mut connection.update_host_keys, &session.update_host_keys);
        over_option(&mut connection.transcript, &session.transcript);
    }

    /// All paths that it names.
    fn expand(&self, connection: &mut Connection) {
        let secret = |secret: &mut Option<SecretRef>| {
            if let Some(SecretRef::File(path)) = secret {
                self.environment.expand(path);
            }
        };
        secret(&mut connection.password);
        secret(&mut connection.passphrase);
        if let Some(proxy) = &mut connection.proxy {
            secret(&mut proxy.password);
        }
        if let Some(PrivateKey::Path(path) | PrivateKey::Text(SecretRef::File(path))) =
            &mut connection.private_key
        {
            self.environment.expand(path);
        }
        let others = [
            &mut connection.certificate,
            &mut connection.known_hosts_file,
            &mut connection.transcript,
        ];
        for path in others.into_iter().flatten() {
            self.environment.expand(path);
        }
    }
}

/// A flag that is given wins.
fn over<T: Clone>(value: &mut T, flag: &Option<T>) {
    if let Some(flag) = flag {
        value.clone_from(flag);
    }
}

/// A flag that is given wins over a key that may be unset.
fn over_option<T: Clone>(value: &mut Option<T>, flag: &Option<T>) {
    if flag.is_some() {
        value.clone_from(flag);
    }
}

/// The same complaint with the place of what it is about.
fn at(place: Option<String>, error: Error) -> Error {
    let Some(place) = place else {
        return error;
    };
    let placed = Error::new(error.class(), format!("{place}: {}", error.message()));
    match error.hint() {
        Some(hint) => placed.with_hint(hint),
        None => placed,
    }
}
