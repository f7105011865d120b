//! What clients may make a service spend.
//!
//! The protocol's own bounds are the core's; these are the ones that whoever runs a server may want to
//! set, each with its default.

use crate::sftp;
use sansftp_proto::config::{Config, KeepAlive};
use sansftp_proto::role::Server;
use sansftp_tokio::server::Bounds;
use std::time::Duration;

/// Signs of life that may stay out before a client is taken for gone.
const MISSED: u32 = 3;

/// Bounds of a service.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Limits {
    /// Connections that are not authenticated yet; 400. From three quarters on new ones are dropped at
    /// random, at the bound all. Each may cost a key exchange and some 50 KiB.
    pub half_open: usize,
    /// Sessions in all; 1,000.
    pub sessions: usize,
    /// Sessions of one user; 1,000.
    pub sessions_per_user: usize,
    /// From connecting to the end of authentication; 2 minutes, as OpenSSH's LoginGraceTime.
    pub login: Duration,
    /// Attempts at authentication; 6, as OpenSSH's MaxAuthTries.
    pub attempts: u32,
    /// Channels of one connection, each of which may be an SFTP session; 10, as OpenSSH's MaxSessions.
    pub channels: usize,
    /// Files and directories that one SFTP session may have open; 1,024.
    pub handles: usize,
    /// Bytes of requests and answers that one SFTP session may make the service hold; 8 MiB.
    pub memory: usize,
    /// Silence after which a client is asked for a sign of life, of which it may owe three; 1 minute.
    /// `None`: it may be silent for as long as the network keeps the connection.
    pub keepalive: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        let options = sftp::Options::default();
        Self {
            half_open: 400,
            sessions: 1000,
            sessions_per_user: 1000,
            login: Duration::from_secs(120),
            attempts: 6,
            channels: 10,
            handles: options.handles,
            memory: options.memory,
            keepalive: Some(Duration::from_secs(60)),
        }
    }
}

impl Limits {
    /// Those of a connection.
    pub(super) fn apply(&self, config: &mut Config<Server>) {
        config.limits.login = self.login;
        config.limits.auth_attempts = self.attempts;
        config.limits.channels = self.channels;
        config.keepalive = self.keepalive.map(|interval| KeepAlive {
            interval,
            missed: MISSED,
        });
    }

    /// Those of the gate.
    pub(super) fn bounds(&self) -> Bounds {
        let mut bounds = Bounds::default();
        bounds.half_open_begin = self.half_open - self.half_open / 4;
        bounds.half_open_full = self.half_open;
        bounds.sessions = self.sessions;
        bounds.sessions_per_user = self.sessions_per_user;
        bounds
    }

    /// Those of an SFTP session.
    pub(super) fn options(&self) -> sftp::Options {
        let mut options = sftp::Options::default();
        options.handles = self.handles;
        options.memory = self.memory;
        options
    }
}
