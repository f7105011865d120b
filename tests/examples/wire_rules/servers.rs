//! The servers and clients that are on this machine, started for the tables. How servers are is the fixtures' business.

use std::path::{Path, PathBuf};

use sansftp_testkit::inetd::{Inetd, Program};
use sansftp_testkit::serve::{Serve, program};
use sansftp_testkit::sshd::{ClientKey, Sftp, Sshd};

/// A server that runs, until it is dropped.
pub(crate) struct Running {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) key: PathBuf,
    _server: Server,
}

#[expect(dead_code, reason = "held so that they run")]
enum Server {
    OpenSsh(Sshd),
    Ours(Serve),
    Other(Inetd),
}

/// Those that run, and why each other does not.
pub(crate) type All = (Vec<Running>, Vec<(&'static str, String)>);

pub(crate) fn all() -> Result<All, String> {
    let openssh = Sshd::builder().sftp(Sftp::Internal).start();
    // Its widest profile, so that there is something to look at.
    let ours = Serve::builder()
        .arg("--algorithms")
        .arg("compatible")
        .start();
    let mut running = vec![
        Running {
            name: "OpenSSH",
            port: openssh.port(),
            user: openssh.user().to_owned(),
            key: openssh.key(ClientKey::Ed25519),
            _server: Server::OpenSsh(openssh),
        },
        Running {
            name: "sansftp serve",
            port: ours.port(),
            user: ours.user().to_owned(),
            key: ours.key(ClientKey::Ed25519),
            _server: Server::Ours(ours),
        },
    ];
    let mut missing = Vec::new();
    for program in Program::ALL {
        if let Some(why) = program.missing() {
            missing.push((program.name(), why));
            continue;
        }
        let server = program.start().map_err(|error| error.to_string())?;
        running.push(Running {
            name: program.name(),
            port: server.port(),
            user: server.user().to_owned(),
            key: server.key().to_owned(),
            _server: Server::Other(server),
        });
    }
    Ok((running, missing))
}

/// A client, by the command that makes it come to a port.
pub(crate) struct Client {
    pub(crate) name: &'static str,
    pub(crate) command: fn(u16) -> String,
}

/// Those that are here. They take any host key, as ours is a new one each time.
pub(crate) fn clients() -> Vec<Client> {
    let mut clients = vec![
        Client {
            name: "OpenSSH",
            command: |port| {
                format!(
                    "ssh -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
                     -o BatchMode=yes -p {port} nobody@127.0.0.1 -s sftp"
                )
            },
        },
        Client {
            name: "sansftp",
            command: |port| {
                format!(
                    "{} list --host-key-policy accept-any --retries 0 sftp://nobody@127.0.0.1:{port}",
                    program().display()
                )
            },
        },
    ];
    if Path::new("/usr/bin/dbclient").exists() {
        clients.push(Client {
            name: "dropbear",
            command: |port| format!("dbclient -y -y -p {port} nobody@127.0.0.1 -s sftp"),
        });
    }
    clients
}
