//! OpenSSH's `sftp` by batch files, and `scp`, which speaks SFTP since 9.0.

use super::{Action, Cell, Client, Script};
use crate::host::Host;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

/// Keeps ssh and its kin away from every file of the tester's own.
pub(crate) fn options(host: &Host) -> Vec<String> {
    let mut words = vec!["-F".to_owned(), "/dev/null".to_owned()];
    let known = format!("UserKnownHostsFile={}", host.known_hosts().display());
    for option in [
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "BatchMode=yes",
        "LogLevel=ERROR",
        known.as_str(),
    ] {
        words.extend(["-o".to_owned(), option.to_owned()]);
    }
    words.extend(["-i".to_owned(), host.key().display().to_string()]);
    words
}

/// A run of `sftp` with this batch.
pub(crate) fn sftp(cell: &Cell<'_>, batch: &str) -> Command {
    let mut command = cell.command("sftp");
    command
        .args(options(cell.host))
        .arg("-b")
        .arg(cell.batch(batch))
        .args(["-P", &cell.host.port().to_string(), &cell.host.account()]);
    command
}

pub(crate) struct Sftp;

impl Client for Sftp {
    fn name(&self) -> &'static str {
        "sftp"
    }

    fn script(&self, action: Action, cell: &Cell<'_>) -> Script {
        let here = cell.here.display();
        let dir = &cell.dir;
        let batch = match action {
            Action::List => format!("ls -l {dir}/dir\n"),
            Action::Get => format!("get {dir}/source {here}/got\n"),
            Action::Put => format!("put {here}/source {dir}/sent\n"),
            Action::Append => {
                return Script::NotOffered("its -a resumes a transfer and appends no other file");
            }
            Action::ResumeGet => format!("reget {dir}/source {here}/source\n"),
            Action::ResumePut => format!("reput {here}/source {dir}/source\n"),
            Action::Rename => format!("rename {dir}/old {dir}/new\n"),
            Action::Mkdir => format!("mkdir {dir}/made\n"),
            Action::Rmdir => format!("rmdir {dir}/empty\n"),
            Action::Chmod => format!("chmod 640 {dir}/file\n"),
            Action::Symlink => format!("symlink file {dir}/link\n"),
            Action::RecursiveGet => format!("get -r {dir}/tree {here}\n"),
            Action::RecursivePut => format!("put -r {here}/tree {dir}\n"),
        };
        Script::Run(sftp(cell, &batch))
    }
}

pub(crate) struct Scp;

impl Scp {
    fn copy(cell: &Cell<'_>, flags: &[&str], from: &str, to: &str) -> Command {
        let mut command = cell.command("scp");
        command
            .args(options(cell.host))
            .args(["-s", "-P", &cell.host.port().to_string()])
            .args(flags)
            .args([from, to]);
        command
    }
}

impl Client for Scp {
    fn name(&self) -> &'static str {
        "scp"
    }

    fn script(&self, action: Action, cell: &Cell<'_>) -> Script {
        let here = |name: &str| cell.local(name).display().to_string();
        let there = |name: &str| format!("{}:{}", cell.host.account(), cell.remote(name));
        Script::Run(match action {
            Action::Get => Self::copy(cell, &[], &there("source"), &here("got")),
            Action::Put => Self::copy(cell, &[], &here("source"), &there("sent")),
            Action::RecursiveGet => Self::copy(cell, &["-r"], &there("tree"), &here("")),
            Action::RecursivePut => Self::copy(cell, &["-r"], &here("tree"), &there("")),
            _ => return Script::NotOffered("it copies files and does nothing else"),
        })
    }
}

#[test]
fn scp_keeps_times_and_modes_both_ways() {
    let host = Host::serve();
    let cell = Cell::new(&host, "scp-p");
    let here = |name: &str| cell.local(name).display().to_string();
    let there = |name: &str| format!("{}:{}", cell.host.account(), cell.remote(name));
    cell.make("source", 1, 1000);
    fs::set_permissions(cell.disk("source"), fs::Permissions::from_mode(0o751)).unwrap();
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_001);
    let file = fs::File::options()
        .write(true)
        .open(cell.disk("source"))
        .unwrap();
    file.set_modified(old).unwrap();

    for (from, to) in [(there("source"), here("got")), (here("got"), there("sent"))] {
        let output = Scp::copy(&cell, &["-p"], &from, &to).output().unwrap();
        assert!(output.status.success(), "{output:?}\n{}", host.log());
    }
    for copy in [cell.local("got"), cell.disk("sent")] {
        let found = fs::metadata(&copy).unwrap();
        assert_eq!(found.mtime(), 1_000_000_001, "{}", copy.display());
        assert_eq!(found.mode() & 0o7777, 0o751, "{}", copy.display());
    }
}

#[test]
fn scp_without_sftp_is_refused_in_words_and_not_left_hanging() {
    let host = Host::serve();
    let cell = Cell::new(&host, "scp-O");
    cell.make("source", 1, 1000);
    let from = format!("{}:{}", cell.host.account(), cell.remote("source"));
    let mut command = cell.command("scp");
    command
        .args(options(&host))
        .args(["-O", "-P", &host.port().to_string()]);
    let output = command.arg(from).arg(cell.local("got")).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("exec request failed"), "{words}");
    assert!(!cell.local("got").exists());
}
