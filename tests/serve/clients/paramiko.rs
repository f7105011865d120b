//! `paramiko`, by a script of our own (`with_paramiko.py`, beside this file).

use super::{Action, Cell, Client, Script};
use std::process::Command;

/// Debian's, which has Debian's paramiko; not one that was put before it.
pub(crate) const PYTHON: &str = "/usr/bin/python3";

const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/serve/clients/with_paramiko.py"
);

pub(crate) struct Paramiko;

/// A run of the script with these words.
pub(crate) fn script(cell: &Cell<'_>, words: &[&str]) -> Command {
    let mut command = cell.command(PYTHON);
    command
        .arg(SCRIPT)
        .args([&cell.host.port().to_string(), cell.host.user()])
        .arg(cell.host.key())
        .arg(cell.host.known_hosts())
        .arg(&cell.dir)
        .arg(&cell.here)
        .args(words);
    command
}

impl Client for Paramiko {
    fn name(&self) -> &'static str {
        "paramiko"
    }

    fn script(&self, action: Action, cell: &Cell<'_>) -> Script {
        let word = match action {
            Action::List => "list",
            Action::Get => "get",
            Action::Put => "put",
            Action::Append => "append",
            Action::ResumeGet => "resume-get",
            Action::ResumePut => "resume-put",
            Action::Rename => "rename",
            Action::Mkdir => "mkdir",
            Action::Rmdir => "rmdir",
            Action::Chmod => "chmod",
            Action::Symlink => "symlink",
            Action::RecursiveGet | Action::RecursivePut => {
                return Script::NotOffered("a library: walking a tree is its caller's");
            }
        };
        Script::Run(script(cell, &[word]))
    }
}

#[test]
fn paramiko_finds_every_request_of_the_protocol_answered() {
    let host = crate::host::Host::serve();
    let cell = Cell::new(&host, "paramiko-everything");
    cell.make("file", 1, 100_000);
    let output = script(&cell, &["everything"]).output().unwrap();
    assert!(output.status.success(), "{output:?}\n{}", host.log());
}

#[test]
#[ignore = "nightly: the control, the same script against a stock sshd"]
fn paramiko_finds_the_same_in_sshd() {
    let host = crate::host::Host::sshd();
    let cell = Cell::new(&host, "paramiko-everything");
    cell.make("file", 1, 100_000);
    let output = script(&cell, &["everything"]).output().unwrap();
    assert!(output.status.success(), "{output:?}\n{}", host.log());
}
