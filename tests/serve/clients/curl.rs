//! `curl`, over libssh2. Debian 12's libssh2 1.10 knows neither AEAD ciphers nor encrypt-then-MAC.

use super::{Action, Cell, Client, Script};
use std::fs;

pub(crate) struct Curl;

impl Client for Curl {
    fn name(&self) -> &'static str {
        "curl"
    }

    fn script(&self, action: Action, cell: &Cell<'_>) -> Script {
        // Strict host keys: it reads this file alone.
        fs::create_dir_all(cell.local(".ssh")).unwrap();
        fs::copy(cell.host.known_hosts(), cell.local(".ssh/known_hosts")).unwrap();
        let key = cell.host.key();
        let mut command = cell.command("curl");
        command
            .args(["--silent", "--show-error", "--user"])
            .arg(format!("{}:", cell.host.user()))
            .arg("--key")
            .arg(&key)
            .arg("--pubkey")
            .arg(key.with_extension("pub"));
        // Its URLs are absolute; `~` is where a session starts. Commands are told paths as they are.
        let url = |name: &str| {
            format!(
                "sftp://127.0.0.1:{}/~/{}",
                cell.host.port(),
                cell.remote(name)
            )
        };
        let dir = &cell.dir;
        let quote = match action {
            Action::List => {
                command.arg(url("dir/"));
                return Script::Run(command);
            }
            Action::Get => {
                command
                    .arg("--output")
                    .arg(cell.local("got"))
                    .arg(url("source"));
                return Script::Run(command);
            }
            Action::Put => {
                command
                    .arg("--upload-file")
                    .arg(cell.local("source"))
                    .arg(url("sent"));
                return Script::Run(command);
            }
            Action::Append => {
                command
                    .arg("--append")
                    .arg("--upload-file")
                    .arg(cell.local("more"))
                    .arg(url("log"));
                return Script::Run(command);
            }
            Action::ResumeGet => {
                command.args(["--continue-at", "-", "--output"]);
                command.arg(cell.local("source")).arg(url("source"));
                return Script::Run(command);
            }
            Action::ResumePut => {
                command.args(["--continue-at", "-", "--upload-file"]);
                command.arg(cell.local("source")).arg(url("source"));
                return Script::Run(command);
            }
            Action::Rename => format!("rename {dir}/old {dir}/new"),
            Action::Mkdir => format!("mkdir {dir}/made"),
            Action::Rmdir => format!("rmdir {dir}/empty"),
            Action::Chmod => format!("chmod 640 {dir}/file"),
            Action::Symlink => format!("symlink file {dir}/link"),
            Action::RecursiveGet | Action::RecursivePut => {
                return Script::NotOffered("it moves the files that are named and walks no tree");
            }
        };
        command
            .args(["--quote", &quote])
            .arg(url(""))
            .arg("--list-only");
        Script::Run(command)
    }
}
