//! `cargo xtask bench`: builds the release program and hands it to the measuring program, `beside_openssh`, which is an
//! example of sansftp-testkit, because it needs the fixtures, on which xtask does not depend.

use crate::run::{cargo, succeed, target_dir};
use crate::{Failure, install};

/// Measures `rounds` rounds with a file of `size`; no cipher means those of the measuring program.
pub(crate) fn run(rounds: u32, size: &str, ciphers: &[String]) -> Result<(), Failure> {
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
    for cipher in ciphers {
        command.args(["--cipher", cipher]);
    }
    succeed(&mut command)
}
