//! `cargo xtask bench`: builds the release program and hands it to the measuring program, `beside_openssh`, which is an
//! example of sansftp-testkit, because it needs the fixtures, on which xtask does not depend.

use crate::run::{cargo, succeed, target_dir};
use crate::{Failure, install};

/// What stands beside OpenSSH's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// `sansftp get` and `send`, beside `sftp`.
    Client,
    /// `sansftp serve`, beside `sshd`.
    Server,
}

/// Measures `rounds` rounds with a file of `size`; no cipher means those of the measuring program.
pub(crate) fn run(
    subject: Subject,
    rounds: u32,
    size: &str,
    ciphers: &[String],
) -> Result<(), Failure> {
    install::openssh()?;
    succeed(&mut cargo(&["build", "--release", "-p", "sansftp"]))?;
    let mut command = cargo(&[
        "run",
        "--release",
        "-p",
        "sansftp-testkit",
        "--example",
        "beside_openssh",
        "--",
    ]);
    command
        .arg("--program")
        .arg(target_dir().join("release/sansftp"))
        .args(["--rounds", &rounds.to_string(), "--size", size]);
    if subject == Subject::Server {
        command.arg("--serve");
    }
    for cipher in ciphers {
        command.args(["--cipher", cipher]);
    }
    succeed(&mut command)
}
