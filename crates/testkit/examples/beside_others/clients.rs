//! How each client is told to do a piece of work. Not whether it is here: one that is not, or that has no cipher in common
//! with the server, fails in the first round and is left out, with its words.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::field::Field;
use crate::work::Work;

/// The clients, in the order of the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Sansftp,
    Sftp,
    Scp,
    Lftp,
    Curl,
    Rclone,
    Psftp,
    Paramiko,
}

/// What the clients are started with beside the work.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) sansftp: PathBuf,
    /// `many_sessions`, an example of sansftp-tokio.
    pub(crate) sessions: PathBuf,
}

impl Client {
    pub(crate) const ALL: [Self; 8] = [
        Self::Sansftp,
        Self::Sftp,
        Self::Scp,
        Self::Lftp,
        Self::Curl,
        Self::Rclone,
        Self::Psftp,
        Self::Paramiko,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sansftp => "sansftp",
            Self::Sftp => "sftp",
            Self::Scp => "scp",
            Self::Lftp => "lftp",
            Self::Curl => "curl",
            Self::Rclone => "rclone",
            Self::Psftp => "psftp",
            Self::Paramiko => "paramiko",
        }
    }

    /// `None` where the client has no such thing.
    pub(crate) fn command(
        self,
        work: &Work,
        field: &Field,
        tools: &Tools,
    ) -> Result<Option<Command>, Failure> {
        let task = Task { work, field };
        match self {
            Self::Sansftp => Ok(Some(task.sansftp(tools))),
            Self::Sftp => task.sftp().map(Some),
            Self::Scp => Ok(task.scp()),
            Self::Lftp => Ok(task.lftp()),
            Self::Curl => Ok(task.curl()),
            Self::Rclone => Ok(task.rclone()),
            Self::Psftp => task.psftp(),
            Self::Paramiko => task.paramiko().map(Some),
        }
    }
}

/// One piece of work on one field.
struct Task<'a> {
    work: &'a Work,
    field: &'a Field,
}

impl Task<'_> {
    fn one(&self) -> (PathBuf, PathBuf) {
        self.work.one(self.field)
    }

    fn sansftp(&self, tools: &Tools) -> Command {
        let field = self.field;
        let url = |dir: &Path| {
            let (user, port) = (field.user(), field.port());
            format!("sftp://{user}@127.0.0.1:{port}{}", dir.display())
        };
        if let Work::Sessions { count, .. } = self.work {
            let mut command = Command::new(&tools.sessions);
            command
                .arg(format!("127.0.0.1:{}", field.port()))
                .arg(field.user())
                .arg(field.key())
                .arg(field.known_hosts())
                .arg(self.one().0)
                .arg(field.get_into())
                .arg(count.to_string());
            return command;
        }
        let mut command = Command::new(&tools.sansftp);
        match self.work {
            Work::Get { .. } | Work::GetChecked { .. } => command
                .args(["get", &url(&field.sources()), "--file-filter", "big"])
                .arg("--into")
                .arg(field.get_into()),
            Work::Put { .. } => command
                .args(["send", &url(&field.put_into())])
                .arg(self.one().0),
            Work::GetMany { .. } => command
                .args(["get", &url(&field.sources()), "--into"])
                .arg(field.get_into()),
            Work::PutMany { .. } => command
                .args(["send", &url(&field.put_into())])
                .args(self.work.files(field)),
            Work::List { .. } => command.args(["list", &url(&field.sources()), "--json"]),
            Work::Connect | Work::Sessions { .. } => command.args(["test", &url(&field.empty())]),
        };
        if matches!(self.work, Work::GetChecked { .. }) {
            command.arg("--checksum");
        }
        // None of the tester's own settings.
        command.env("SANSFTP_CONFIG", "/dev/null");
        command
            .arg("--quiet")
            .arg("--identity")
            .arg(field.key())
            .arg("--known-hosts-file")
            .arg(field.known_hosts())
            .args(["--algorithms", &format!("modern,cipher={}", field.cipher)]);
        command
    }

    /// The options of OpenSSH's programs.
    fn openssh(&self) -> Vec<OsString> {
        let mut options: Vec<OsString> = ["-F", "/dev/null", "-c", self.field.cipher, "-i"]
            .map(Into::into)
            .to_vec();
        options.push(self.field.key().into());
        for option in [
            "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "PreferredAuthentications=publickey",
            "LogLevel=ERROR",
        ] {
            options.extend(["-o".into(), option.into()]);
        }
        let known = format!("UserKnownHostsFile={}", self.field.known_hosts().display());
        options.extend(["-o".into(), known.into()]);
        options
    }

    fn sftp(&self) -> Result<Command, Failure> {
        let (from, to) = self.one();
        let (from, to) = (from.display(), to.display());
        let sources = self.field.sources();
        let sources = sources.display();
        let words = match self.work {
            Work::Get { .. } | Work::GetChecked { .. } => format!("get {from} {to}\n"),
            Work::Put { .. } => format!("put {from} {to}\n"),
            Work::GetMany { .. } => {
                format!("get {sources}/* {}/\n", self.field.get_into().display())
            }
            Work::PutMany { .. } => {
                format!("put {sources}/* {}/\n", self.field.put_into().display())
            }
            Work::List { .. } => format!("ls -1f {sources}\n"),
            Work::Connect => String::new(),
            Work::Sessions { .. } => return self.sftp_sessions(),
        };
        let batch = self.field.local.path().join("batch");
        fs::write(&batch, words)?;
        let mut command = Command::new("sftp");
        command.arg("-q").args(self.openssh()).arg("-b").arg(batch);
        self.to_server(&mut command);
        Ok(command)
    }

    /// `-P PORT USER@HOST`.
    fn to_server(&self, command: &mut Command) {
        command
            .args(["-P", &self.field.port().to_string()])
            .arg(format!("{}@127.0.0.1", self.field.user()));
    }

    /// As many processes, because one has one session.
    fn sftp_sessions(&self) -> Result<Command, Failure> {
        let (from, _) = self.one();
        let mut script = String::from("#!/bin/sh\n");
        let options: Vec<_> = self
            .openssh()
            .iter()
            .map(|option| option.to_string_lossy().into_owned())
            .collect();
        for number in 0..self.work.count() {
            let to = self.field.get_into().join(format!("{number}"));
            let batch = self.field.local.path().join(format!("batch{number}"));
            fs::write(&batch, format!("get {} {}\n", from.display(), to.display()))?;
            script += &format!(
                "sftp -q {} -b {} -P {} {}@127.0.0.1 &\n",
                options.join(" "),
                batch.display(),
                self.field.port(),
                self.field.user()
            );
        }
        let path = self.field.local.path().join("sessions.sh");
        fs::write(&path, script + "wait\n")?;
        let mut command = Command::new("sh");
        command.arg(path);
        Ok(command)
    }

    fn scp(&self) -> Option<Command> {
        let (from, to) = self.one();
        let remote = |path: &Path| format!("{}@127.0.0.1:{}", self.field.user(), path.display());
        let mut command = Command::new("scp");
        command.arg("-q").args(self.openssh());
        command.args(["-P", &self.field.port().to_string()]);
        match self.work {
            Work::Get { .. } | Work::GetChecked { .. } => command.arg(remote(&from)).arg(to),
            Work::Put { .. } => command.arg(from).arg(remote(&to)),
            Work::GetMany { .. } => command
                .arg(remote(&self.field.sources().join("*")))
                .arg(self.field.get_into()),
            Work::PutMany { .. } => command
                .args(self.work.files(self.field))
                .arg(remote(&self.field.put_into())),
            Work::List { .. } | Work::Connect | Work::Sessions { .. } => return None,
        };
        Some(command)
    }

    fn lftp(&self) -> Option<Command> {
        let (from, to) = self.one();
        let (from, to) = (from.display(), to.display());
        let sources = self.field.sources();
        let sources = sources.display();
        let what = match self.work {
            Work::Get { .. } | Work::GetChecked { .. } => format!("get {from} -o {to}"),
            Work::Put { .. } => format!("put {from} -o {to}"),
            Work::GetMany { .. } => {
                format!("mirror -P 4 {sources} {}", self.field.get_into().display())
            }
            Work::PutMany { .. } => {
                format!(
                    "mirror -R -P 4 {sources} {}",
                    self.field.put_into().display()
                )
            }
            Work::List { .. } => format!("cls -1 {sources}"),
            Work::Connect | Work::Sessions { .. } => return None,
        };
        let options: Vec<_> = self
            .openssh()
            .iter()
            .map(|option| option.to_string_lossy().into_owned())
            .collect();
        let settings = format!(
            "set sftp:auto-confirm yes; set net:max-retries 1; set cmd:fail-exit yes; set sftp:connect-program \"ssh -a -x {}\";",
            options.join(" ")
        );
        let mut command = Command::new("lftp");
        command
            .args(["--norc", "-e", &format!("{settings} {what}; bye")])
            .arg(format!(
                "sftp://{}:x@127.0.0.1:{}",
                self.field.user(),
                self.field.port()
            ));
        Some(command)
    }

    fn curl(&self) -> Option<Command> {
        let (from, to) = self.one();
        let url = |path: &Path| format!("sftp://127.0.0.1:{}{}", self.field.port(), path.display());
        let mut command = Command::new("curl");
        // The host key of a port that changes cannot be told to it.
        command.args(["-q", "-s", "-S", "-f", "-k", "--key"]);
        let public = format!("{}.pub", self.field.key().display());
        command.arg(self.field.key()).args(["--pubkey", &public]);
        command.args(["-u", &format!("{}:", self.field.user())]);
        let last = self.work.count().saturating_sub(1);
        match self.work {
            Work::Get { .. } | Work::GetChecked { .. } => command.arg(url(&from)).arg("-o").arg(to),
            Work::Put { .. } => command.arg("-T").arg(from).arg(url(&to)),
            Work::GetMany { .. } => {
                let range = format!("f[00000-{last:05}]");
                command
                    .arg(url(&self.field.sources().join(range)))
                    .arg("-o")
                    .arg(self.field.get_into().join("f#1"))
            }
            Work::PutMany { .. } => {
                let names = self.work.files(self.field);
                let names: Vec<_> = names
                    .iter()
                    .map(|name| name.display().to_string())
                    .collect();
                command
                    .args(["-T", &format!("{{{}}}", names.join(","))])
                    .arg(url(&self.field.put_into()) + "/")
            }
            Work::List { .. } => command.arg("-l").arg(url(&self.field.sources()) + "/"),
            Work::Connect | Work::Sessions { .. } => return None,
        };
        Some(command)
    }

    fn rclone(&self) -> Option<Command> {
        let (from, to) = self.one();
        let remote = |path: &Path| {
            format!(
                ":sftp,host=127.0.0.1,port={},user={},key_file={},disable_hashcheck=true:{}",
                self.field.port(),
                self.field.user(),
                self.field.key().display(),
                path.display()
            )
        };
        let mut command = Command::new("rclone");
        let copy = ["--no-check-dest", "--retries", "1"];
        let (sources, got) = (self.field.sources(), self.field.get_into());
        match self.work {
            Work::Get { .. } | Work::GetChecked { .. } => {
                command.arg("copyto").args(copy).arg(remote(&from)).arg(to)
            }
            Work::Put { .. } => command.arg("copyto").args(copy).arg(from).arg(remote(&to)),
            Work::GetMany { .. } => command
                .arg("copy")
                .args(copy)
                .arg(remote(&sources))
                .arg(got),
            Work::PutMany { .. } => command
                .arg("copy")
                .args(copy)
                .arg(sources)
                .arg(remote(&self.field.put_into())),
            Work::List { .. } => command.arg("lsf").arg(remote(&sources)),
            Work::Connect | Work::Sessions { .. } => return None,
        };
        command.args(["--config", "/dev/null"]);
        Some(command)
    }

    fn psftp(&self) -> Result<Option<Command>, Failure> {
        let (from, to) = self.one();
        let (from, to) = (from.display(), to.display());
        let (sources, got, put) = (
            self.field.sources(),
            self.field.get_into(),
            self.field.put_into(),
        );
        let words = match self.work {
            Work::Get { .. } | Work::GetChecked { .. } => format!("get {from} {to}\n"),
            Work::Put { .. } => format!("put {from} {to}\n"),
            Work::GetMany { .. } => format!("get -r {} {}\n", sources.display(), got.display()),
            Work::PutMany { .. } => format!("put -r {} {}\n", sources.display(), put.display()),
            Work::List { .. } => format!("ls {}\n", sources.display()),
            Work::Connect => String::new(),
            Work::Sessions { .. } => return Ok(None),
        };
        let home = self.field.local.path();
        let (batch, key) = (home.join("psftp"), home.join("key.ppk"));
        fs::write(&batch, words + "quit\n")?;
        if !key.exists() {
            let made = Command::new("puttygen")
                .arg(self.field.key())
                .args(["-O", "private", "-o"])
                .arg(&key)
                .status();
            if !made.is_ok_and(|made| made.success()) {
                return Ok(None);
            }
        }
        let mut command = Command::new("psftp");
        command.env("HOME", home).arg("-batch").arg("-i").arg(key);
        command
            .args(["-hostkey", &self.field.host_key(), "-b"])
            .arg(batch);
        self.to_server(&mut command);
        Ok(Some(command))
    }

    fn paramiko(&self) -> Result<Command, Failure> {
        let script = self.field.local.path().join("paramiko_client.py");
        if !script.exists() {
            fs::write(&script, include_str!("paramiko_client.py"))?;
            fs::set_permissions(&script, fs::Permissions::from_mode(0o644))?;
        }
        let (from, to) = self.one();
        let (word, from, to) = match self.work {
            Work::Get { .. } | Work::GetChecked { .. } => ("get", from, to),
            Work::Put { .. } => ("put", from, to),
            Work::GetMany { .. } => ("get-all", self.field.sources(), self.field.get_into()),
            Work::PutMany { .. } => ("put-all", self.field.sources(), self.field.put_into()),
            Work::List { .. } => ("list", self.field.sources(), PathBuf::new()),
            Work::Connect => ("connect", PathBuf::new(), PathBuf::new()),
            Work::Sessions { .. } => ("sessions", from, self.field.get_into()),
        };
        let mut command = Command::new("/usr/bin/python3");
        command
            .arg(script)
            .arg(self.field.port().to_string())
            .arg(self.field.user())
            .arg(self.field.key())
            .args([self.field.cipher, word])
            .args([from, to])
            .arg(self.work.count().to_string());
        Ok(command)
    }
}
