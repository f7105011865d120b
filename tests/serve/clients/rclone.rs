//! `rclone`, configured by flags alone. It writes no part of a file, so it can neither append nor resume.

use super::{Action, Cell, Client, Script};

pub(crate) struct Rclone;

impl Client for Rclone {
    fn name(&self) -> &'static str {
        "rclone"
    }

    fn script(&self, action: Action, cell: &Cell<'_>) -> Script {
        let here = |name: &str| cell.local(name).display().to_string();
        let there = |name: &str| format!(":sftp:{}", cell.remote(name));
        let words = match action {
            Action::List => vec!["lsf".to_owned(), there("dir")],
            Action::Get => vec!["copyto".to_owned(), there("source"), here("got")],
            Action::Put => vec!["copyto".to_owned(), here("source"), there("sent")],
            Action::Append => return Script::NotOffered("it writes whole files"),
            Action::ResumeGet | Action::ResumePut => {
                return Script::NotOffered("it starts an unfinished file anew");
            }
            Action::Rename => vec!["moveto".to_owned(), there("old"), there("new")],
            Action::Mkdir => vec!["mkdir".to_owned(), there("made")],
            Action::Rmdir => vec!["rmdir".to_owned(), there("empty")],
            Action::Chmod => return Script::NotOffered("it has no permissions"),
            Action::Symlink => return Script::NotOffered("it makes no links on a server"),
            Action::RecursiveGet => {
                vec![
                    "copy".to_owned(),
                    "--create-empty-src-dirs".to_owned(),
                    there("tree"),
                    here("tree"),
                ]
            }
            Action::RecursivePut => {
                vec![
                    "copy".to_owned(),
                    "--create-empty-src-dirs".to_owned(),
                    here("tree"),
                    there("tree"),
                ]
            }
        };
        let mut command = cell.command("rclone");
        command
            .args(["--config", "/dev/null", "--quiet", "--retries", "1"])
            .args(["--low-level-retries", "1", "--sftp-host", "127.0.0.1"])
            .args(["--sftp-port", &cell.host.port().to_string()])
            .args(["--sftp-user", cell.host.user(), "--sftp-key-file"])
            .arg(cell.host.key())
            .arg("--sftp-known-hosts-file")
            .arg(cell.host.known_hosts())
            // It has no shell there that could compute hashes.
            .args(["--sftp-shell-type", "none", "--sftp-disable-hashcheck"])
            .args(words);
        Script::Run(command)
    }
}
