//! `cargo xtask bench`: builds the release program and hands it to the measuring program, `beside_others`, which is an
//! example of sansftp-testkit, because it needs the fixtures, on which xtask does not depend. Nothing but OpenSSH is
//! installed for it: a client that is not here is left out of the tables.

use crate::run::{cargo, root, succeed, target_dir};
use crate::{Failure, install};

/// What is to be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bench {
    pub(crate) rounds: u32,
    pub(crate) scale: Scale,
    /// Words that names of rows begin with, separated by commas; none is all.
    pub(crate) rows: Vec<String>,
    /// Names of clients, separated by commas; none is all that are here.
    pub(crate) clients: Vec<String>,
    pub(crate) tables: Tables,
}

/// How large everything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// What docs/performance.md tells.
    Full,
    /// A trial in MiB, to see that everything runs. Its figures say nothing.
    Quick,
}

/// Where the tables go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tables {
    /// Into docs/performance.md too, each in the place of its elder.
    Written,
    Printed,
}

pub(crate) fn run(bench: &Bench) -> Result<(), Failure> {
    install::openssh()?;
    let example = [
        "build",
        "--release",
        "-p",
        "sansftp-tokio",
        "--example",
        "many_sessions",
    ];
    succeed(&mut cargo(&["build", "--release", "-p", "sansftp"]))?;
    succeed(&mut cargo(&example))?;
    let mut command = cargo(&[
        "run",
        "--release",
        "-p",
        "sansftp-testkit",
        "--example",
        "beside_others",
        "--",
    ]);
    let built = target_dir().join("release");
    command.arg("--program").arg(built.join("sansftp"));
    command
        .arg("--sessions")
        .arg(built.join("examples/many_sessions"));
    command.args(["--rounds", &bench.rounds.to_string()]);
    for rows in &bench.rows {
        command.args(["--rows", rows]);
    }
    for clients in &bench.clients {
        command.args(["--clients", clients]);
    }
    match bench.scale {
        Scale::Full => {}
        Scale::Quick => {
            command.arg("--quick");
        }
    }
    match bench.tables {
        Tables::Written => {
            command
                .arg("--into")
                .arg(root().join("docs/performance.md"));
        }
        Tables::Printed => {}
    }
    succeed(&mut command)
}
