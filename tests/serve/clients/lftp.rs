//! `lftp`, which speaks SFTP through a program of our choice: `ssh`.

use super::openssh::options;
use super::{Action, Cell, Client, Script};

pub(crate) struct Lftp;

impl Client for Lftp {
    fn name(&self) -> &'static str {
        "lftp"
    }

    fn script(&self, action: Action, cell: &Cell<'_>) -> Script {
        let here = cell.here.display();
        let dir = &cell.dir;
        let words = match action {
            Action::List => format!("cls -l {dir}/dir/"),
            Action::Get => format!("get {dir}/source -o {here}/got"),
            Action::Put => format!("put {here}/source -o {dir}/sent"),
            Action::Append => {
                return Script::NotOffered(
                    "its put -c resumes a transfer and appends no other file",
                );
            }
            Action::ResumeGet => format!("get -c {dir}/source -o {here}/source"),
            Action::ResumePut => format!("put -c {here}/source -o {dir}/source"),
            Action::Rename => format!("mv {dir}/old {dir}/new"),
            Action::Mkdir => format!("mkdir {dir}/made"),
            Action::Rmdir => format!("rmdir {dir}/empty"),
            Action::Chmod => format!("chmod 640 {dir}/file"),
            Action::Symlink => format!("ln -s file {dir}/link"),
            Action::RecursiveGet => format!("mirror {dir}/tree {here}/tree"),
            Action::RecursivePut => format!("mirror -R {here}/tree {dir}/tree"),
        };
        let ssh = options(cell.host).join(" ");
        let script = format!(
            "set cmd:fail-exit yes\nset net:max-retries 1\nset net:timeout 20\n\
             set sftp:connect-program \"ssh -a -x {ssh}\"\n\
             open -u {user},none sftp://127.0.0.1:{port}\n{words}\n",
            user = cell.host.user(),
            port = cell.host.port(),
        );
        let mut command = cell.command("lftp");
        command.arg("-f").arg(cell.batch(&script));
        Script::Run(command)
    }
}
