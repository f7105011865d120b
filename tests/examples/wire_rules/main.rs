//! Rules that implementations get wrong, looked at from outside on a live server or client: `cargo xtask conformance` runs it.
//!
//! Each rule is looked at on connections of its own, by a scripted end with real cryptography. Which rules the project's own
//! code is held to, and by which tests, is in `tests/conformance`; this says what others do.

mod channels;
mod exchange;
mod files;
mod guests;
mod login;
mod report;
mod servers;
mod session;
mod shares;
mod transport;
mod wire;

use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use sansftp_crypto::{default_provider, generate_ed25519};
use sansftp_keys::public::write_public;
use sansftp_keys::read_private_key;
use sansftp_proto::crypto::SigningKey;

use guests::Host;
use report::{Row, Rule, look_at, sum, table};
use session::{Files, Target};

const USAGE: &str = "\
wire_rules HOST:PORT [--user USER --key FILE [--files]] [--patience SECONDS]
wire_rules --listen PORT [--run COMMAND] [--patience SECONDS]
wire_rules --into FILE

  --user, --key  whom to log in as; without them the rules behind the login are not tried
  --files        makes a file in the user's home for the rules that need one, and takes it away again
  --patience     how long silence is waited for (5)
  --listen       looks at clients: each that comes to this port of 127.0.0.1 is taken for the next rule
  --run          the command, for a shell, that makes one come
  --into         looks at the servers that are here, and writes the table to this file";

/// All that can be seen of a server.
const RULES: [&[Rule<Target>]; 5] = [
    transport::RULES,
    shares::RULES,
    login::RULES,
    channels::RULES,
    files::RULES,
];

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("wire_rules: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: Vec<String>) -> Result<(), String> {
    let mut words = words.into_iter();
    let (mut address, mut user, mut key, mut into) = (None, None, None, None);
    let (mut listen, mut command) = (None, None);
    let mut files = Files::Untouched;
    let mut patience = Duration::from_secs(5);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "--user" => user = Some(value()?),
            "--key" => key = Some(value()?),
            "--into" => into = Some(value()?),
            "--listen" => {
                let port: u16 = value()?.parse().map_err(|_| "--listen takes a port")?;
                listen = Some(port);
            }
            "--run" => command = Some(value()?),
            "--files" => files = Files::Made,
            "--patience" => {
                let seconds: u64 = value()?.parse().map_err(|_| "--patience takes seconds")?;
                patience = Duration::from_secs(seconds.max(1));
            }
            _ if word.starts_with('-') || address.is_some() => return Err(USAGE.to_owned()),
            _ => address = Some(word),
        }
    }
    if let Some(into) = into {
        let text = document()?;
        return std::fs::write(&into, text).map_err(|error| format!("{into}: {error}"));
    }
    if let Some(port) = listen {
        let rows = guests_at(port, patience, |_| command)?;
        println!("\n{}", sum(&rows));
        return Ok(());
    }
    let key = key.map(|it| load(Path::new(&it))).transpose()?;
    let rows = at(Target {
        address: address.ok_or(USAGE)?,
        provider: default_provider(),
        patience,
        user: user.unwrap_or_else(|| "nobody".to_owned()),
        key,
        files,
    });
    println!("\n{}", sum(&rows));
    Ok(())
}

/// Looks at whatever clients come to this port, or at those that a command makes come, which is told the port.
fn guests_at(
    port: u16,
    patience: Duration,
    run: impl FnOnce(u16) -> Option<String>,
) -> Result<Vec<Row>, String> {
    let provider = default_provider();
    let key = generate_ed25519(&*provider.random).map_err(|error| error.to_string())?;
    let key = provider.keys.load(&key);
    let key = key.map_err(|error| error.to_string())?;
    let bound = TcpListener::bind(("127.0.0.1", port));
    let listener = bound.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let public = write_public(key.public_key(), "");
    println!("[127.0.0.1]:{} {}\n", address.port(), public.trim());
    let host = Host {
        listener,
        provider,
        key,
        patience,
        run: run(address.port()),
    };
    Ok(look_at(&[guests::RULES], &host))
}

fn at(target: Target) -> Vec<Row> {
    look_at(&RULES, &target)
}

fn load(file: &Path) -> Result<Arc<dyn SigningKey>, String> {
    let text = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let read = read_private_key(&text, None).map_err(|error| error.to_string())?;
    let loaded = default_provider().keys.load(&read.key);
    loaded.map_err(|error| error.to_string())
}

const INTRODUCTION: &str = "\
# Rules on the wire

Written by `cargo xtask conformance`, which starts each server that it finds on the machine and looks at rules of the specifications from
outside, by a scripted client with real cryptography, each on connections of its own; then as a server at the clients. Do not edit it by hand.
`cargo xtask conformance HOST:PORT --user USER --key FILE --files` looks at any other server and prints its report,
`cargo xtask conformance --listen PORT` at any other client, which has to come once for each rule (`--run COMMAND` makes it come).

`ok`: what the rule says was seen. `differs`: something else came, which is told below the table; some of it is meant so by the server's
authors, and for some the specification leaves a choice. Silence is three seconds of it. `not tried`: it cannot be seen there. paramiko is a
library: the files behind its SFTP are those of this project's fixture, which does no more than other tests need.
Which tests hold this project to its rules is in `tests/conformance/rules.toml`.

";

/// How long silence lasts for the document.
const SILENCE: Duration = Duration::from_secs(3);

/// The tables of the servers and clients that are here.
fn document() -> Result<String, String> {
    let mut servers = Vec::new();
    let (running, missing) = servers::all()?;
    let mut sums = String::new();
    for server in running {
        println!("---- {}", server.name);
        let rows = at(Target {
            address: format!("127.0.0.1:{}", server.port),
            provider: default_provider(),
            patience: SILENCE,
            user: server.user.clone(),
            key: Some(load(&server.key)?),
            files: Files::Made,
        });
        sums.push_str(&format!("- {}: {}\n", server.name, sum(&rows)));
        servers.push((server.name.to_owned(), rows));
    }
    for (name, why) in missing {
        sums.push_str(&format!("- {name}: not tried: {why}\n"));
    }
    let mut clients = Vec::new();
    sums.push_str("\nClients:\n\n");
    for client in servers::clients() {
        println!("---- {}", client.name);
        let rows = guests_at(0, SILENCE, |port| Some((client.command)(port)))?;
        sums.push_str(&format!("- {}: {}\n", client.name, sum(&rows)));
        clients.push((client.name.to_owned(), rows));
    }
    Ok(format!(
        "{INTRODUCTION}Servers:\n\n{sums}\n## Servers\n\n{}\n## Clients\n\n{}",
        table(&servers),
        table(&clients)
    ))
}
