//! Flags of `sansftp serve` and `sansftp demo`.
//!
//! Not what they come to: that is the plan's. The one-letter flags of `serve --stdio` are those of
//! OpenSSH's `sftp-server`, so that one can stand in the other's place.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sansftp_connector::connection::ByteSize;
use sansftp_connector::parse_duration;
use sansftp_server::algorithms::Selection;

use super::OutputArgs;

/// `sansftp serve`.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The directory to serve; nothing outside of it can be reached. With --stdio it may be left
    /// out: then all files are served, with the rights of the account that runs this.
    #[arg(value_name = "DIR", required_unless_present_any = ["stdio", "hash_password"])]
    pub(crate) directory: Option<PathBuf>,
    /// Where to listen: an address and a port, or a port of 127.0.0.1; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:2022", value_parser = listen)]
    pub(crate) listen: SocketAddr,
    /// Serve one SSH connection on standard input and output, as sshd -i does.
    #[arg(long, conflicts_with_all = ["listen", "json"])]
    pub(crate) inetd: bool,
    /// Speak SFTP without SSH on standard input and output, as sftp-server does.
    #[arg(long, conflicts_with_all = ["inetd", "listen", "json", "quiet", "verbose"])]
    pub(crate) stdio: bool,
    /// Refuse everything that would change a file.
    #[arg(long, short = 'R', overrides_with = "read_only")]
    pub(crate) read_only: bool,
    #[command(flatten)]
    pub(crate) users: UserArgs,
    #[command(flatten)]
    pub(crate) keys: HostArgs,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    #[command(flatten)]
    pub(crate) stdio_flags: StdioArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Who may come in.
#[derive(Debug, Args)]
#[command(next_help_heading = "Users")]
pub(crate) struct UserArgs {
    /// The one user that is let in; the local login name when unset.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["users_file", "stdio"])]
    pub(crate) user: Option<String>,
    /// Keys that are let in, as in ~/.ssh/authorized_keys; %u in FILE is the user's name. Beside
    /// --users-file it holds for all of its users. It is read again when it changes.
    #[arg(long, value_name = "FILE", conflicts_with = "stdio")]
    pub(crate) authorized_keys: Option<OsString>,
    /// Public keys of authorities, one on a line, whose certificates (ssh-keygen -s) let in the users
    /// that they name; can be given more than once. It is read again when it changes.
    #[arg(long, value_name = "FILE", conflicts_with = "stdio")]
    pub(crate) trusted_user_ca_keys: Vec<PathBuf>,
    /// Public keys, one on a line, that let nobody in, by themselves, in a certificate or as its
    /// authority; can be given more than once. It is read again when it changes.
    #[arg(long, value_name = "FILE", conflicts_with = "stdio")]
    pub(crate) revoked_keys: Vec<PathBuf>,
    /// A file that holds the user's password. Where no flag says what lets users in, a password is
    /// made for this run and shown.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["users_file", "stdio"])]
    pub(crate) password_file: Option<PathBuf>,
    /// Several users, as TOML: a table for each name, with password (a hash), authorized-keys (a
    /// file), methods, read-only, expires or locked. It is read again at SIGHUP.
    #[arg(long, value_name = "FILE", conflicts_with = "stdio")]
    pub(crate) users_file: Option<PathBuf>,
    /// Ask for a password (or read a line of standard input), print its hash for the users file,
    /// and end.
    #[arg(long, conflicts_with_all = ["directory", "stdio", "inetd", "listen"])]
    pub(crate) hash_password: bool,
}

/// What the server proves itself with.
#[derive(Debug, Args)]
#[command(next_help_heading = "Host key and algorithms")]
pub(crate) struct HostArgs {
    /// The host's private key, without passphrase; can be given more than once. When unset, a key is
    /// made at the first start and kept in $XDG_STATE_HOME/sansftp/host-keys.
    #[arg(long, value_name = "FILE", conflicts_with = "stdio")]
    pub(crate) host_key: Vec<PathBuf>,
    /// A certificate for one of the host's keys, which shows clients that trust its authority
    /// (@cert-authority) who this is; can be given more than once. 'ssh-keygen -s CA -h -I ID -n HOST KEY.pub' makes one.
    #[arg(long, value_name = "FILE", conflicts_with = "stdio")]
    pub(crate) host_certificate: Vec<PathBuf>,
    /// What is offered: server-modern, modern, or with own lists modern,cipher=NAME:NAME,kex=NAME. The
    /// categories are kex, host-key, cipher, mac and user-key.
    #[arg(
        long,
        value_name = "LISTS",
        default_value = "server-modern",
        conflicts_with = "stdio"
    )]
    pub(crate) algorithms: Selection,
    /// Compress for clients that ask for it, with zlib@openssh.com. Costs time, and 400 KiB a session.
    #[arg(long, conflicts_with = "stdio")]
    pub(crate) compression: bool,
}

/// Bounds.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Connections that have not authenticated yet, at once; more are dropped.
    #[arg(long, value_name = "NUMBER", default_value_t = 400, conflicts_with_all = ["stdio", "inetd"],
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) max_startups: usize,
    /// Sessions at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, conflicts_with_all = ["stdio", "inetd"],
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) max_sessions: usize,
    /// Sessions of one user at once; as many as in all when unset.
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["stdio", "inetd"],
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    pub(crate) max_sessions_per_user: Option<usize>,
    /// From connecting to the end of authentication.
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = parse_duration, conflicts_with = "stdio")]
    pub(crate) login_time: Duration,
    /// Failed attempts at authentication after which a connection is ended.
    #[arg(long, value_name = "NUMBER", default_value_t = 6, conflicts_with = "stdio",
        value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) max_attempts: u32,
    /// Files and directories that a session may have open at once.
    #[arg(long, value_name = "NUMBER", default_value_t = 1024,
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    pub(crate) max_handles: usize,
    /// Bytes of requests and answers that a session may make the server hold, such as 8MiB.
    #[arg(long, value_name = "SIZE", default_value = "8MiB")]
    pub(crate) memory: ByteSize,
    /// Silence after which a client is asked for a sign of life; it is taken for gone when it leaves
    /// three such questions unanswered. 0s: never.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = parse_duration, conflicts_with = "stdio")]
    pub(crate) keepalive: Duration,
    /// How long running sessions may go on after SIGINT or SIGTERM; a second signal ends them at once.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration, conflicts_with_all = ["stdio", "inetd"])]
    pub(crate) stop_time: Duration,
}

/// `sftp-server`'s own flags.
#[derive(Debug, Args)]
#[command(next_help_heading = "With --stdio, as sftp-server has them")]
pub(crate) struct StdioArgs {
    /// Log to standard error instead of the system log.
    #[arg(
        short = 'e',
        id = "log_stderr",
        requires = "stdio",
        overrides_with = "log_stderr"
    )]
    pub(crate) log_stderr: bool,
    /// What is logged: quiet, fatal, error, info, verbose, debug, debug1, debug2 or debug3; error when
    /// unset.
    #[arg(
        short = 'l',
        id = "log_level",
        value_name = "LEVEL",
        requires = "stdio",
        overrides_with = "log_level"
    )]
    pub(crate) log_level: Option<String>,
    /// The facility of the system log: DAEMON, USER, AUTH, AUTHPRIV or LOCAL0 to LOCAL7; AUTH when
    /// unset.
    #[arg(
        short = 'f',
        id = "log_facility",
        value_name = "FACILITY",
        requires = "stdio",
        overrides_with = "log_facility"
    )]
    pub(crate) log_facility: Option<String>,
    /// The directory to start in; %d is the home directory, %u the user's name, %% a percent sign.
    #[arg(
        short = 'd',
        id = "start_directory",
        value_name = "DIR",
        requires = "stdio",
        overrides_with = "start_directory",
        allow_hyphen_values = true
    )]
    pub(crate) start_directory: Option<OsString>,
    /// Requests that are refused, between commas; -Q requests lists all names.
    #[arg(
        short = 'P',
        id = "denied_requests",
        value_name = "LIST",
        requires = "stdio"
    )]
    pub(crate) denied: Option<String>,
    /// Requests that are answered, between commas; all others are refused.
    #[arg(
        short = 'p',
        id = "allowed_requests",
        value_name = "LIST",
        requires = "stdio"
    )]
    pub(crate) allowed: Option<String>,
    /// The octal umask of files that are made.
    #[arg(short = 'u', id = "umask", value_name = "MASK", requires = "stdio", overrides_with = "umask", value_parser = umask)]
    pub(crate) umask: Option<u32>,
    /// Print the names of all requests, and end.
    #[arg(short = 'Q', id = "query", value_name = "WHAT", requires = "stdio", value_parser = ["requests"])]
    pub(crate) query: Option<String>,
}

/// `sansftp demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// An address with a port, or a port alone.
fn listen(text: &str) -> Result<SocketAddr, String> {
    if let Ok(port) = text.parse::<u16>() {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    if let Some(port) = text
        .strip_prefix("localhost:")
        .and_then(|port| port.parse().ok())
    {
        return Ok(SocketAddr::from(([127, 0, 0, 1], port)));
    }
    text.parse().map_err(|_| {
        "write it as 127.0.0.1:2022, [::1]:2022, 0.0.0.0:22 (all of IPv4), [::]:22, or as a port alone"
            .to_owned()
    })
}

/// Permission bits in octal.
fn umask(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mask) if mask <= 0o777 && !text.starts_with('+') => Ok(mask),
        _ => Err("write it in octal, from 0 to 777, such as 022".to_owned()),
    }
}
