//! What is to be served, to whom, and within which bounds: `sansftp serve` resolved.
//!
//! Nothing is opened here but the directory to be served is looked at; keys and users are read when
//! the server starts.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sansftp_connector::{Error, Result};
use sansftp_server::algorithms::Selection;

use super::Environment;
use crate::args::{ServeArgs, StdioArgs};

/// What `sansftp serve` is to do.
#[derive(Debug)]
pub(crate) enum Serve {
    /// Listen.
    Listen(SocketAddr, Site),
    /// One connection on standard input and output.
    Inetd(Site),
    /// SFTP alone on standard input and output.
    Stdio(Stdio),
    /// Make a line of the users file.
    HashPassword,
    /// Say which requests there are.
    Requests,
}

/// Whether files may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    ReadOnly,
    ReadWrite,
}

/// What a server needs to know, wherever its connections come from.
#[derive(Debug)]
pub(crate) struct Site {
    /// What is served.
    pub(crate) directory: PathBuf,
    /// How.
    pub(crate) access: Access,
    /// To whom.
    pub(crate) who: Who,
    /// The host's keys.
    pub(crate) host_keys: HostKeyFiles,
    /// Certificates for them.
    pub(crate) host_certificates: Vec<PathBuf>,
    /// What is offered.
    pub(crate) algorithms: Selection,
    /// Whether clients that ask for compression get it.
    pub(crate) compression: bool,
    /// The bounds.
    pub(crate) bounds: Bounds,
}

/// Who is let in, and what does so for whoever that is.
#[derive(Debug)]
pub(crate) struct Who {
    /// The users.
    pub(crate) users: UsersOf,
    /// The authorities whose certificates count.
    pub(crate) authorities: Vec<PathBuf>,
    /// Keys that let nobody in.
    pub(crate) revoked: Vec<PathBuf>,
}

impl Who {
    /// Whether there are files that are read again when that is asked for.
    pub(crate) const fn has_files(&self) -> bool {
        matches!(self.users, UsersOf::File { .. })
            || !self.authorities.is_empty()
            || !self.revoked.is_empty()
    }
}

/// Where users come from.
#[derive(Debug)]
pub(crate) enum UsersOf {
    /// There is one.
    One {
        name: String,
        authorized_keys: Option<PathBuf>,
        password: Password,
    },
    /// Those of a file, and keys for all of them, `%u` being the user's name.
    File {
        path: PathBuf,
        authorized_keys: Option<String>,
    },
}

/// Where the one user's password comes from.
#[derive(Debug)]
pub(crate) enum Password {
    /// There is none.
    None,
    /// A file holds it.
    File(PathBuf),
    /// It is made for this run, and shown.
    Made,
}

/// Where the host's keys come from.
#[derive(Debug)]
pub(crate) enum HostKeyFiles {
    /// From these files.
    Given(Vec<PathBuf>),
    /// They are kept in this directory, and made where there are none.
    Kept(PathBuf),
}

/// Bounds; see the flags.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) startups: usize,
    pub(crate) sessions: usize,
    pub(crate) sessions_per_user: usize,
    pub(crate) login: Duration,
    pub(crate) attempts: u32,
    pub(crate) handles: usize,
    pub(crate) memory: usize,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) stop: Duration,
}

/// In the place of sftp-server.
#[derive(Debug)]
pub(crate) struct Stdio {
    /// What is served; all files when unset.
    pub(crate) directory: Option<PathBuf>,
    pub(crate) access: Access,
    /// Where it starts, `%d` and `%u` filled in.
    pub(crate) start: Option<PathBuf>,
    /// Requests that are refused, as they were typed.
    pub(crate) denied: Option<String>,
    /// Requests that alone are answered, as they were typed.
    pub(crate) allowed: Option<String>,
    pub(crate) umask: Option<u32>,
    pub(crate) log: StdioLog,
    pub(crate) handles: usize,
    pub(crate) memory: usize,
}

/// What sftp-server's flags say of the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StdioLog {
    pub(crate) to: LogTo,
    pub(crate) level: LogLevel,
}

/// Where the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogTo {
    StandardError,
    /// With the number of its facility (RFC 5424 §6.2.1).
    System(u8),
}

/// How much is logged, with sftp-server's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LogLevel {
    Quiet,
    Fatal,
    Error,
    Info,
    Verbose,
    Debug,
}

/// What to give where nothing says what lets users in.
const PROOFS: &str = "give --authorized-keys FILE, --trusted-user-ca-keys FILE, --password-file FILE or --users-file FILE";

/// The facilities that sftp-server knows, with their numbers (RFC 5424 §6.2.1).
const FACILITIES: &[(&str, u8)] = &[
    ("DAEMON", 3),
    ("USER", 1),
    ("AUTH", 4),
    ("AUTHPRIV", 10),
    ("LOCAL0", 16),
    ("LOCAL1", 17),
    ("LOCAL2", 18),
    ("LOCAL3", 19),
    ("LOCAL4", 20),
    ("LOCAL5", 21),
    ("LOCAL6", 22),
    ("LOCAL7", 23),
];

const LEVELS: &[(&str, LogLevel)] = &[
    ("QUIET", LogLevel::Quiet),
    ("FATAL", LogLevel::Fatal),
    ("ERROR", LogLevel::Error),
    ("INFO", LogLevel::Info),
    ("VERBOSE", LogLevel::Verbose),
    ("DEBUG", LogLevel::Debug),
    ("DEBUG1", LogLevel::Debug),
    ("DEBUG2", LogLevel::Debug),
    ("DEBUG3", LogLevel::Debug),
];

/// Resolves `sansftp serve`.
///
/// # Errors
/// `configuration`.
pub(crate) fn serve(args: &ServeArgs, environment: &Environment) -> Result<Serve> {
    if args.users.hash_password {
        return Ok(Serve::HashPassword);
    }
    if args.stdio_flags.query.is_some() {
        return Ok(Serve::Requests);
    }
    if let Some(directory) = &args.directory {
        is_directory(directory)?;
    }
    if args.stdio {
        return stdio(args, environment).map(Serve::Stdio);
    }
    let site = site(args, environment)?;
    if args.inetd {
        if let UsersOf::One {
            password: Password::Made,
            ..
        } = site.who.users
        {
            return Err(Error::configuration(
                "--inetd lets nobody in: there is no proof to ask for",
            )
            .with_hint(PROOFS));
        }
        return Ok(Serve::Inetd(site));
    }
    Ok(Serve::Listen(args.listen, site))
}

fn site(args: &ServeArgs, environment: &Environment) -> Result<Site> {
    let directory = args.directory.clone();
    let directory = directory.expect("without --stdio and --hash-password there is a directory");
    let host_keys = if args.keys.host_key.is_empty() {
        HostKeyFiles::Kept(environment.host_keys()?)
    } else {
        HostKeyFiles::Given(args.keys.host_key.clone())
    };
    let limits = &args.limits;
    if limits.login_time.is_zero() {
        return Err(
            Error::configuration("--login-time 0s: nobody would be in time")
                .with_hint("leave it out for 2 minutes, or give more"),
        );
    }
    Ok(Site {
        directory,
        access: access(args),
        who: who(args, environment)?,
        host_keys,
        host_certificates: args.keys.host_certificate.clone(),
        algorithms: args.keys.algorithms.clone(),
        compression: args.keys.compression,
        bounds: Bounds {
            startups: limits.max_startups,
            sessions: limits.max_sessions,
            sessions_per_user: limits.max_sessions_per_user.unwrap_or(limits.max_sessions),
            login: limits.login_time,
            attempts: limits.max_attempts,
            handles: limits.max_handles,
            memory: memory(args)?,
            keepalive: (!limits.keepalive.is_zero()).then_some(limits.keepalive),
            stop: limits.stop_time,
        },
    })
}

fn who(args: &ServeArgs, environment: &Environment) -> Result<Who> {
    Ok(Who {
        users: users_of(args, environment)?,
        authorities: args.users.trusted_user_ca_keys.clone(),
        revoked: args.users.revoked_keys.clone(),
    })
}

fn users_of(args: &ServeArgs, environment: &Environment) -> Result<UsersOf> {
    let users = &args.users;
    if let Some(path) = &users.users_file {
        let keys = users.authorized_keys.clone().map(OsString::into_string);
        let authorized_keys = keys.transpose().map_err(|keys| {
            let keys = keys.display();
            Error::configuration(format!(
                "--authorized-keys {keys}: beside --users-file its name has to be UTF-8"
            ))
        })?;
        return Ok(UsersOf::File {
            path: path.clone(),
            authorized_keys,
        });
    }
    let name = users.user.clone().or_else(|| environment.user.clone());
    let name = name.filter(|name| !name.is_empty()).ok_or_else(|| {
        Error::configuration("nobody says what the user is called that is let in")
            .with_hint("give --user NAME")
    })?;
    let has_keys = users.authorized_keys.is_some() || !users.trusted_user_ca_keys.is_empty();
    let password = match &users.password_file {
        Some(file) => Password::File(file.clone()),
        None if has_keys => Password::None,
        None if args.output.json || args.output.quiet => {
            let flag = if args.output.json {
                "--json"
            } else {
                "--quiet"
            };
            return Err(
                Error::configuration(format!("with {flag} no password is made and shown"))
                    .with_hint(PROOFS),
            );
        }
        None => Password::Made,
    };
    let authorized_keys = users.authorized_keys.as_ref().map(|text| {
        expanded(text, |letter| match letter {
            Some(b'u') => Ok(name.as_bytes().to_vec()),
            _ => Err(Error::configuration(format!(
                "--authorized-keys {}: after % stands u or %",
                text.display()
            ))),
        })
    });
    Ok(UsersOf::One {
        authorized_keys: authorized_keys.transpose()?,
        name,
        password,
    })
}

fn stdio(args: &ServeArgs, environment: &Environment) -> Result<Stdio> {
    let flags = &args.stdio_flags;
    Ok(Stdio {
        directory: args.directory.clone(),
        access: access(args),
        start: flags
            .start_directory
            .as_ref()
            .map(|text| start_directory(text, environment))
            .transpose()?,
        denied: flags.denied.clone(),
        allowed: flags.allowed.clone(),
        umask: flags.umask,
        log: log(flags)?,
        handles: args.limits.max_handles,
        memory: memory(args)?,
    })
}

fn log(flags: &StdioArgs) -> Result<StdioLog> {
    let level = match &flags.log_level {
        None => LogLevel::Error,
        Some(word) => named(LEVELS, word).ok_or_else(|| {
            Error::configuration(format!("-l {word}: there is no such level")).with_hint(
                "there are quiet, fatal, error, info, verbose, debug, debug1, debug2 and debug3",
            )
        })?,
    };
    let facility = match &flags.log_facility {
        None => 4,
        Some(word) => named(FACILITIES, word).ok_or_else(|| {
            Error::configuration(format!("-f {word}: there is no such facility"))
                .with_hint("there are DAEMON, USER, AUTH, AUTHPRIV and LOCAL0 to LOCAL7")
        })?,
    };
    let to = if flags.log_stderr {
        LogTo::StandardError
    } else {
        LogTo::System(facility)
    };
    Ok(StdioLog { to, level })
}

fn named<T: Copy>(table: &[(&str, T)], word: &str) -> Option<T> {
    let found = table
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word));
    found.map(|&(_, value)| value)
}

/// `-d`: `%d` is the home directory, `%u` the user, `%%` a percent sign.
fn start_directory(text: &OsStr, environment: &Environment) -> Result<PathBuf> {
    let wrong = |what: &str| Error::configuration(format!("-d: {what}"));
    expanded(text, |letter| match letter {
        Some(b'd') => {
            let home = environment.home.as_ref();
            let home = home.ok_or_else(|| wrong("%d is not known: $HOME is not set"))?;
            Ok(home.as_os_str().as_bytes().to_vec())
        }
        Some(b'u') => {
            let user = environment.user.as_ref();
            let user = user.ok_or_else(|| wrong("%u is not known: $USER is not set"))?;
            Ok(user.as_bytes().to_vec())
        }
        _ => Err(wrong("after % stands d, u or %")),
    })
}

/// Fills in what stands for each letter behind a percent sign; two of them are one.
fn expanded(text: &OsStr, meaning: impl Fn(Option<u8>) -> Result<Vec<u8>>) -> Result<PathBuf> {
    let mut path = Vec::new();
    let mut bytes = text.as_bytes().iter();
    while let Some(&byte) = bytes.next() {
        if byte != b'%' {
            path.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'%') => path.push(b'%'),
            letter => path.extend(meaning(letter.copied())?),
        }
    }
    Ok(OsString::from_vec(path).into())
}

fn access(args: &ServeArgs) -> Access {
    if args.read_only {
        Access::ReadOnly
    } else {
        Access::ReadWrite
    }
}

/// One request has to fit, or nothing could be read at all.
fn memory(args: &ServeArgs) -> Result<usize> {
    const LEAST: u64 = 1 << 20;
    let given = args.limits.memory;
    if given.0 < LEAST {
        return Err(
            Error::configuration(format!("--memory {given} is too little"))
                .with_hint("give at least 1MiB"),
        );
    }
    Ok(usize::try_from(given.0).unwrap_or(usize::MAX))
}

fn is_directory(directory: &Path) -> Result<()> {
    let shown = directory.display();
    match std::fs::metadata(directory) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(Error::configuration(format!("{shown} is no directory"))),
        Err(error) => Err(Error::configuration(format!("{shown}: {error}"))
            .with_hint("name a directory that is there")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn environment() -> Environment {
        Environment {
            home: Some("/users/me".into()),
            state_home: Some("/state".into()),
            user: Some("me".to_owned()),
            ..Environment::default()
        }
    }

    fn plan(words: &str) -> Result<Serve> {
        let words = ["sansftp", "serve"].into_iter().chain(words.split(' '));
        match Cli::try_parse_from(words).unwrap().command {
            Command::Serve(args) => serve(&args, &environment()),
            _ => panic!("not serve"),
        }
    }

    fn site(words: &str) -> (SocketAddr, Site) {
        match plan(words).unwrap() {
            Serve::Listen(address, site) => (address, site),
            other => panic!("{other:?}"),
        }
    }

    fn stdio(words: &str) -> Stdio {
        match plan(words).unwrap() {
            Serve::Stdio(stdio) => stdio,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn with_nothing_said_the_login_name_gets_a_password_and_the_port_is_this_machines() {
        let (address, site) = site("/");
        assert_eq!(address.to_string(), "127.0.0.1:2022");
        assert!(
            matches!(&site.who.users, UsersOf::One { name, password: Password::Made, .. } if name == "me")
        );
        assert!(
            matches!(&site.host_keys, HostKeyFiles::Kept(at) if at == Path::new("/state/sansftp/host-keys"))
        );
        assert_eq!(site.access, Access::ReadWrite);
        assert_eq!(site.bounds.sessions_per_user, site.bounds.sessions);
    }

    #[test]
    fn a_port_alone_is_one_of_this_machine() {
        for (listen, address) in [
            ("2200", "127.0.0.1:2200"),
            ("localhost:7", "127.0.0.1:7"),
            ("0.0.0.0:22", "0.0.0.0:22"),
            ("[::]:22", "[::]:22"),
        ] {
            assert_eq!(site(&format!("/ --listen {listen}")).0.to_string(), address);
        }
    }

    #[test]
    fn a_proof_that_is_named_makes_a_password_needless() {
        let (_, plain) = site("/ --authorized-keys k%%/%u --user edi --keepalive 0s");
        let UsersOf::One {
            name,
            password,
            authorized_keys,
        } = plain.who.users
        else {
            panic!("one user");
        };
        assert_eq!(
            (name.as_str(), authorized_keys),
            ("edi", Some("k%/edi".into()))
        );
        assert!(matches!(password, Password::None));
        assert_eq!(plain.bounds.keepalive, None);
        assert!(plan("/ --authorized-keys k%x").is_err());
        assert!(plan("/ --login-time 0s").is_err());
        let (_, vouched) = site("/ --trusted-user-ca-keys a --trusted-user-ca-keys b");
        assert_eq!(vouched.who.authorities, [Path::new("a"), Path::new("b")]);
        assert!(matches!(
            vouched.who.users,
            UsersOf::One {
                password: Password::None,
                authorized_keys: None,
                ..
            }
        ));
        let (_, many) = site("/ --users-file u --authorized-keys k/%u --revoked-keys r --json");
        assert!(matches!(
            many.who.users,
            UsersOf::File { path, authorized_keys: Some(keys) } if path == Path::new("u") && keys == "k/%u"
        ));
        assert_eq!(many.who.revoked, [Path::new("r")]);
        for words in ["/ --json", "/ --quiet", "--inetd /"] {
            let error = plan(words).unwrap_err();
            assert!(
                error.hint().unwrap().contains("--authorized-keys"),
                "{words}: {error}"
            );
        }
    }

    #[test]
    fn the_flags_of_sftp_server_are_read_as_it_reads_them() {
        let plain = stdio("--stdio");
        assert_eq!(
            (plain.log.to, plain.log.level),
            (LogTo::System(4), LogLevel::Error)
        );
        assert_eq!((plain.directory, plain.umask), (None, None));
        let grouped = stdio("--stdio -eRlDEBUG3 -u 27 -d %d/%u%%");
        assert_eq!(
            (grouped.log.to, grouped.log.level),
            (LogTo::StandardError, LogLevel::Debug)
        );
        assert_eq!(grouped.access, Access::ReadOnly);
        assert_eq!(grouped.umask, Some(0o27));
        assert_eq!(grouped.start, Some("/users/me/me%".into()));
        let last = stdio("--stdio -f local3 -l info -l QUIET -d -x");
        assert_eq!(
            (last.log.to, last.log.level),
            (LogTo::System(19), LogLevel::Quiet)
        );
        assert_eq!(last.start, Some("-x".into()));
        assert!(matches!(
            plan("--stdio -Q requests").unwrap(),
            Serve::Requests
        ));
        for words in [
            "--stdio -l loud",
            "--stdio -f CRON",
            "--stdio -d %h",
            "--stdio --memory 1KiB",
        ] {
            assert!(plan(words).is_err(), "{words}");
        }
    }
}
