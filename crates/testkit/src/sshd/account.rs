//! The account that the fixture serves: a throwaway one for root, the caller's own for everyone else. Not more than an
//! entry in the user database: it has no home and no files but the fixture's.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{Gid, Uid};

use super::{with_cache, write_private};

/// The name of the throwaway account.
const NAME: &str = "sansftp-test";

#[derive(Debug)]
pub(super) struct Account {
    name: String,
    /// Known only for the throwaway account, which is served by root.
    password: Option<String>,
    owner: Option<(Uid, Gid)>,
}

impl Account {
    /// Makes the throwaway account if it is missing and the caller is root.
    pub(super) fn obtain() -> io::Result<Self> {
        if !rustix::process::getuid().is_root() {
            return Ok(Self {
                name: words_of(Command::new("id").arg("-un"))?,
                password: None,
                owner: None,
            });
        }
        with_cache(|cache| {
            let known = Command::new("id").arg(NAME).output()?.status.success();
            if !known {
                // "/" because sshd complains to the client about a home that does not exist.
                words_of(Command::new("useradd").args([
                    "--no-create-home",
                    "--home-dir",
                    "/",
                    "--shell",
                    "/bin/sh",
                    NAME,
                ]))?;
            }
            let file = cache.join("password");
            let password = match fs::read_to_string(&file) {
                Ok(password) if known => password,
                _ => {
                    let password = random_word()?;
                    set_password(&password)?;
                    write_private(&file, password.as_bytes())?;
                    password
                }
            };
            let number = |flag| -> io::Result<u32> {
                words_of(Command::new("id").args([flag, NAME]))?
                    .parse()
                    .map_err(io::Error::other)
            };
            Ok(Self {
                name: NAME.to_owned(),
                password: Some(password),
                owner: Some((Uid::from_raw(number("-u")?), Gid::from_raw(number("-g")?))),
            })
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// Makes the account the owner; a link itself, not what it points to.
    pub(super) fn own(&self, path: &Path) -> io::Result<()> {
        let Some((uid, gid)) = self.owner else {
            return Ok(());
        };
        let flags = rustix::fs::AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::chownat(
            rustix::fs::CWD,
            path,
            Some(uid),
            Some(gid),
            flags,
        )?)
    }

    /// What root's sshd wants to find, whether a system service ever ran here or not.
    pub(super) fn prepare_to_serve(&self) -> io::Result<()> {
        if self.owner.is_some() {
            fs::create_dir_all("/run/sshd")?;
        }
        Ok(())
    }
}

fn set_password(password: &str) -> io::Result<()> {
    let mut child = Command::new("chpasswd").stdin(Stdio::piped()).spawn()?;
    let mut stdin = child.stdin.take().expect("standard input was asked for");
    writeln!(stdin, "{NAME}:{password}")?;
    drop(stdin);
    if child.wait()?.success() {
        return Ok(());
    }
    Err(io::Error::other(
        "chpasswd refused the test account's password",
    ))
}

/// 24 hexadecimal digits.
fn random_word() -> io::Result<String> {
    let mut bytes = [0; 12];
    io::Read::read_exact(&mut fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Runs it and returns its output, trimmed; an error holds its complaint.
fn words_of(command: &mut Command) -> io::Result<String> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{command:?}: {complaint}")))
}
