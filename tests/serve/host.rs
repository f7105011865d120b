//! The server that a client is set on: `sansftp serve`, or a stock sshd, which shows that a script is right.

use sansftp_testkit::serve::Serve;
use sansftp_testkit::sshd::{ClientKey, HostKey, Sshd};
use std::path::{Path, PathBuf};

pub(crate) enum Host {
    Serve(Serve),
    Sshd(Sshd),
}

impl Host {
    pub(crate) fn serve() -> Self {
        Self::Serve(Serve::start())
    }

    /// With the algorithms that older clients need.
    pub(crate) fn serve_modern() -> Self {
        let builder = Serve::builder().arg("--algorithms").arg("modern");
        Self::Serve(builder.start())
    }

    /// With its files in memory, so that no disk is measured.
    pub(crate) fn serve_in_memory() -> Self {
        Self::Serve(Serve::builder().data_in("/dev/shm").start())
    }

    /// With the one host key that `serve` has too.
    pub(crate) fn sshd() -> Self {
        Self::Sshd(Sshd::builder().host_keys(&[HostKey::Ed25519]).start())
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> u32 {
        match self {
            Self::Serve(serve) => serve.pid(),
            Self::Sshd(sshd) => sshd.pid().unwrap(),
        }
    }

    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Serve(serve) => serve.port(),
            Self::Sshd(sshd) => sshd.port(),
        }
    }

    pub(crate) fn user(&self) -> &str {
        match self {
            Self::Serve(serve) => serve.user(),
            Self::Sshd(sshd) => sshd.user(),
        }
    }

    /// Where a session starts, as it lies on the disk.
    pub(crate) fn home(&self) -> &Path {
        match self {
            Self::Serve(serve) => serve.home(),
            Self::Sshd(sshd) => sshd.home(),
        }
    }

    pub(crate) fn private_dir(&self) -> PathBuf {
        match self {
            Self::Serve(serve) => serve.private_dir(),
            Self::Sshd(sshd) => sshd.private_dir(),
        }
    }

    pub(crate) fn key(&self) -> PathBuf {
        match self {
            Self::Serve(serve) => serve.key(ClientKey::Ed25519),
            Self::Sshd(sshd) => sshd.key(ClientKey::Ed25519),
        }
    }

    pub(crate) fn known_hosts(&self) -> PathBuf {
        match self {
            Self::Serve(serve) => serve.known_hosts_file(),
            Self::Sshd(sshd) => sshd.known_hosts_file(),
        }
    }

    /// `user@127.0.0.1`
    pub(crate) fn account(&self) -> String {
        format!("{}@127.0.0.1", self.user())
    }

    /// Lets the served account have what the test has made there.
    pub(crate) fn give(&self, path: &Path) {
        if let Self::Sshd(sshd) = self {
            sshd.give(path);
        }
    }

    pub(crate) fn log(&self) -> String {
        match self {
            Self::Serve(serve) => serve.log(),
            Self::Sshd(sshd) => sshd.log(),
        }
    }
}
