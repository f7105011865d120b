//! Flags of the connection: its keys, and where the configuration is.
//!
//! Not the connection: that is made in the plan, of these and of what is configured.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sansftp_connector::connection::{
    Algorithms, ByteSize, HostKeyPolicy, Jump, Proxy, ProxyType, RetryDelay, UploadChannels,
};
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
    /// The proxy to go through: http://HOST:PORT, socks4://HOST, socks5://USER@HOST, or runtime for
    /// what HTTPS_PROXY, ALL_PROXY and NO_PROXY say.
    #[arg(long, value_name = "URL", help_heading = "Way")]
    pub(crate) proxy: Option<Proxy>,
    /// What the proxy speaks; runtime takes the one that the environment names.
    #[arg(long, value_name = "TYPE", help_heading = "Way", conflicts_with = "proxy",
        value_parser = super::words::<ProxyType>(&["http", "socks4", "socks5", "runtime"]))]
    pub(crate) proxy_type: Option<ProxyType>,
    /// Name or address of the proxy, which resolves the server's name.
    #[arg(
        long,
        value_name = "HOST",
        help_heading = "Way",
        conflicts_with = "proxy"
    )]
    pub(crate) proxy_host: Option<String>,
    /// TCP port of the proxy, 1080 for SOCKS when unset.
    #[arg(
        long,
        value_name = "PORT",
        help_heading = "Way",
        conflicts_with = "proxy"
    )]
    pub(crate) proxy_port: Option<u16>,
    /// Account at the proxy.
    #[arg(
        long,
        value_name = "USER",
        help_heading = "Way",
        conflicts_with = "proxy"
    )]
    pub(crate) proxy_user: Option<String>,
    /// A file that holds the password of that account.
    #[arg(long, value_name = "FILE", help_heading = "Way")]
    pub(crate) proxy_password_file: Option<PathBuf>,
    /// Servers to go through, in order, with commas between them: names of configured connections, or
    /// USER@HOST:PORT.
    #[arg(long, value_name = "LIST", value_delimiter = ',', help_heading = "Way")]
    pub(crate) jump: Vec<Jump>,
    /// The local address to connect from.
    #[arg(long, value_name = "ADDRESS", help_heading = "Way")]
    pub(crate) bind: Option<IpAddr>,
    /// Take what is not set from ~/.ssh/config: HostName, Port, User, IdentityFile, ProxyJump,
    /// UserKnownHostsFile, HostKeyAlias.
    #[arg(long, value_name = "BOOL", help_heading = "Way",
        num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) ssh_config: Option<bool>,
    /// From name resolution to a session that answers; 30s when unset.
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
    /// A file with an OpenSSH certificate for the private key, or for a key of the agent's.
    #[arg(long, value_name = "FILE")]
    pub(crate) certificate: Option<PathBuf>,
    /// Let the agent that SSH_AUTH_SOCK names sign, with each of its keys.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) agent: Option<bool>,
    /// A file that holds the password. Without it $SANSFTP_PASSWORD is taken.
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// A host key to trust, and no other: "HOST ssh-ed25519 AAAA…", "ssh-ed25519 AAAA…" or
    /// SHA256:… Can be given more than once.
    #[arg(long, value_name = "ENTRY", help_heading = "Host key")]
    pub(crate) known_host: Vec<String>,
    /// What happens with a host key that is not known: strict, the default, refuses it, accept-new
    /// records it, accept-any checks nothing at all.
    #[arg(long, value_name = "POLICY", help_heading = "Host key",
        value_parser = super::words::<HostKeyPolicy>(&["strict", "accept-new", "accept-any"]))]
    pub(crate) host_key_policy: Option<HostKeyPolicy>,
    /// Without progress on any request; 60s when unset.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) request_timeout: Option<Duration>,
    /// For what may take long on big files: forcing to disk, closing, copying; 10m when unset.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) durable_timeout: Option<Duration>,
    /// For the whole command; none when unset.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) operation_timeout: Option<Duration>,
    /// Between probes of a silent connection, 30s when unset; 0s: never.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) keepalive: Option<Duration>,
    /// Sessions with this account at once, 8 when unset; more wait in a queue.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_sessions: Option<NonZeroUsize>,
    /// How often something is tried again where this can help; 3 times when unset.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) retries: Option<u32>,
    /// The wait before the first retry and the longest; "1s to 60s" when unset.
    #[arg(long, value_name = "TIME")]
    pub(crate) retry_delay: Option<RetryDelay>,
    /// Bytes in flight, and the longest listing that is held for sorting; 64MiB when unset.
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<ByteSize>,
    /// Channels that an upload to a temporary name goes over where one's window holds it up: auto, up
    /// to 8 at a far OpenSSH and else 1, or 1 to 8.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) upload_channels: Option<UploadChannels>,
    /// Bytes between key exchanges, such as 1GiB; what the cipher can bear when unset.
    #[arg(long, value_name = "SIZE")]
    pub(crate) rekey_limit: Option<ByteSize>,
    /// Compress what is sent, and have the server do so, if it can; worth it on slow lines alone.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) compression: Option<bool>,
    /// Record further host keys that a known server announces, and proves that it holds, in the
    /// known_hosts file.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) update_host_keys: Option<bool>,
    /// Write everything that is asked of the server and what it answers into this file, one JSON object a
    /// line, without contents and secrets. A file that is there is written on at its end.
    #[arg(long, value_name = "FILE")]
    pub(crate) transcript: Option<PathBuf>,
}
