//! Flags of the connection: its keys, and where the configuration is.
//!
//! Not the connection: that is made in the plan, of these and of what is configured.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sansftp_connector::connection::{Algorithms, ByteSize, HostKeyPolicy, RetryDelay};
use sansftp_connector::parse_duration;

/// What every command that connects needs to reach a server.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ReachArgs {
    /// The configuration file.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Name or address of the server, instead of the configured one.
    #[arg(long)]
    pub(crate) host: Option<String>,
    /// TCP port, 22 when unset.
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// The OpenSSH file of known hosts, ~/.ssh/known_hosts when unset.
    #[arg(long, value_name = "FILE", help_heading = "Host key")]
    pub(crate) known_hosts_file: Option<PathBuf>,
    /// What is offered: modern, or with own lists modern,cipher=NAME:NAME,kex=NAME. The categories
    /// are kex, host-key, cipher and mac.
    #[arg(long, value_name = "LISTS")]
    pub(crate) algorithms: Option<Algorithms>,
    /// From name resolution to a session that answers, such as 30s.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) connect_timeout: Option<Duration>,
}

/// What the commands need that open a session.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct SessionArgs {
    /// Account; the local login name when unset.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// The private key's file.
    #[arg(long, short = 'i', visible_alias = "identity", value_name = "FILE")]
    pub(crate) private_key: Option<PathBuf>,
    /// A file that holds the private key's passphrase.
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// A file that holds the password. Without it $SANSFTP_PASSWORD is taken.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// A host key to trust, and no other: "HOST ssh-ed25519 AAAA…", "ssh-ed25519 AAAA…" or
    /// SHA256:… Can be given more than once.
    #[arg(long, value_name = "ENTRY", help_heading = "Host key")]
    pub(crate) known_host: Vec<String>,
    /// What happens with a host key that is not known: strict refuses it, accept-new records it,
    /// accept-any checks nothing at all.
    #[arg(long, value_name = "POLICY", help_heading = "Host key",
        value_parser = super::words::<HostKeyPolicy>(&["strict", "accept-new", "accept-any"]))]
    pub(crate) host_key_policy: Option<HostKeyPolicy>,
    /// Without progress on any request, such as 60s.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) request_timeout: Option<Duration>,
    /// For what may take long on big files: forcing to disk, closing, copying; such as 10m.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) durable_timeout: Option<Duration>,
    /// For the whole command; none when unset.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) operation_timeout: Option<Duration>,
    /// Between probes of a silent connection, such as 30s; 0s: never.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) keepalive: Option<Duration>,
    /// Sessions with this account at once, 8 when unset; more wait in a queue.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_sessions: Option<NonZeroUsize>,
    /// How often something is tried again where this can help.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) retries: Option<u32>,
    /// The wait before the first retry and the longest: "1s to 60s".
    #[arg(long, value_name = "TIME")]
    pub(crate) retry_delay: Option<RetryDelay>,
    /// Bytes in flight, and the longest listing that is held for sorting, such as 64MiB.
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<ByteSize>,
    /// Bytes between key exchanges, such as 1GiB.
    #[arg(long, value_name = "SIZE")]
    pub(crate) rekey_limit: Option<ByteSize>,
    /// Write everything that is asked of the server into this file, one JSON object a line, without
    /// contents and secrets. A file that is there is written on at its end.
    #[arg(long, value_name = "FILE")]
    pub(crate) transcript: Option<PathBuf>,
}
