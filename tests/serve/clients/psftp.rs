//! PuTTY's `psftp`, with its own format of keys.

use super::{Action, Cell, Client, Script};
use std::process::Command;

pub(crate) struct Psftp;

impl Client for Psftp {
    fn name(&self) -> &'static str {
        "psftp"
    }

    fn script(&self, action: Action, cell: &Cell<'_>) -> Script {
        let here = cell.here.display();
        let dir = &cell.dir;
        let batch = match action {
            Action::List => format!("ls {dir}/dir\n"),
            Action::Get => format!("get {dir}/source {here}/got\n"),
            Action::Put => format!("put {here}/source {dir}/sent\n"),
            Action::Append => return Script::NotOffered("it has no such command"),
            Action::ResumeGet => format!("reget {dir}/source {here}/source\n"),
            Action::ResumePut => format!("reput {here}/source {dir}/source\n"),
            Action::Rename => format!("mv {dir}/old {dir}/new\n"),
            Action::Mkdir => format!("mkdir {dir}/made\n"),
            Action::Rmdir => format!("rmdir {dir}/empty\n"),
            Action::Chmod => format!("chmod 640 {dir}/file\n"),
            Action::Symlink => return Script::NotOffered("it has no such command"),
            Action::RecursiveGet => format!("get -r {dir}/tree {here}/tree\n"),
            Action::RecursivePut => format!("put -r {here}/tree {dir}/tree\n"),
        };
        let mut command = cell.command("psftp");
        command
            .args(["-batch", "-noagent", "-hostkey", &fingerprint(cell), "-i"])
            .arg(ppk(cell))
            .args(["-P", &cell.host.port().to_string(), "-b"])
            .arg(cell.batch(&batch))
            .arg(cell.host.account());
        Script::Run(command)
    }
}

/// The key as PuTTY keeps it.
fn ppk(cell: &Cell<'_>) -> std::path::PathBuf {
    let path = cell.local("key.ppk");
    let mut puttygen = Command::new("puttygen");
    puttygen
        .arg(cell.host.key())
        .args(["-O", "private", "-o"])
        .arg(&path);
    let output = puttygen.output().expect("puttygen is in putty-tools");
    assert!(output.status.success(), "{output:?}");
    path
}

/// `SHA256:…` of the host key.
fn fingerprint(cell: &Cell<'_>) -> String {
    let mut keygen = Command::new("ssh-keygen");
    let output = keygen
        .arg("-lf")
        .arg(cell.host.known_hosts())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace()
        .nth(1)
        .expect("ssh-keygen -l prints the fingerprint second")
        .to_owned()
}
