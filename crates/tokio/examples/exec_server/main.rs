//! An SSH server that runs the commands of whoever holds one of the given keys.
//!
//! **An example, and no more: it gives the account that it runs under to every one of those keys,**
//! without terminals, accounting, resource limits or any of the separation that sshd has. It is there
//! to try stock `ssh`, `scp -O` and `rsync` against this crate's transport and channels.
//!
//! ```text
//! cargo run --release -p sansftp-tokio --example exec_server -- --authorized-keys ~/.ssh/id_ed25519.pub
//! ```

mod server;

use sansftp_crypto::{default_provider, generate_ed25519};
use sansftp_keys::known_hosts::known_hosts_line;
use sansftp_keys::{Host, read_public};
use sansftp_proto::crypto::PublicKey;
use sansftp_proto::session::Config;
use sansftp_tokio::server::{Bounds, Gate, Listener};
use sansftp_tokio::sftp::server::MemFs;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

const USAGE: &str = "usage: exec_server --authorized-keys FILE [--listen ADDRESS]
  --authorized-keys FILE  public keys, one on each line, without options
  --listen ADDRESS        where to listen (default: a free port of 127.0.0.1)";
/// What the `sftp` subsystem may hold, in memory.
const FILES: u64 = 1 << 30;
/// How long sessions may go on when the server is told to stop.
const GRACE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Some((address, keys)) = arguments(std::env::args().skip(1)) else {
        return Err(USAGE.into());
    };
    let keys = read_keys(&std::fs::read(&keys).map_err(|it| format!("{keys}: {it}"))?)?;
    let provider = default_provider();
    let host_key = provider.keys.load(&generate_ed25519(&*provider.random)?)?;
    let listener = Listener::bind(&address, Gate::new(Bounds::default())).await?;
    let at = listener.local_addr()?;
    println!("port {}", at.port());
    let host = Host::new(&at.ip().to_string(), at.port())?;
    println!("{}", known_hosts_line(&host, host_key.public_key()));
    let gate = listener.gate().clone();
    let config = Arc::new(Config::server(provider, vec![host_key]));
    tokio::select! {
        () = server::serve(listener, config, keys, Arc::new(MemFs::new(FILES))) => {}
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            gate.shut_down(GRACE).await;
        }
    }
    Ok(())
}

/// Address and file of keys.
fn arguments(mut arguments: impl Iterator<Item = String>) -> Option<(String, String)> {
    let (mut address, mut keys) = ("127.0.0.1:0".to_owned(), None);
    while let Some(option) = arguments.next() {
        match option.as_str() {
            "--listen" => address = arguments.next()?,
            "--authorized-keys" => keys = Some(arguments.next()?),
            _ => return None,
        }
    }
    Some((address, keys?))
}

fn read_keys(text: &[u8]) -> Result<Vec<PublicKey>, Box<dyn Error>> {
    let lines = text.split(|it| *it == b'\n');
    let keys = lines.filter(|line| !line.trim_ascii().is_empty() && !line.starts_with(b"#"));
    keys.map(|line| Ok(read_public(line)?.key)).collect()
}
