//! A TCP socket that connections come to.

use super::gate::{Entrance, Gate};
use crate::tcp;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};

/// How long is waited after a failure before the next connection is accepted: files, memory, whatever
/// is short may have been given back then.
const PAUSE: Duration = Duration::from_millis(100);

/// Accepts connections as far as a [`Gate`] lets them in.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    gate: Gate,
}

/// A connection that was let in.
#[derive(Debug)]
#[non_exhaustive]
pub struct Arrival {
    /// The connection, tuned for small requests.
    pub stream: TcpStream,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// Its place among those that are not authenticated yet.
    pub entrance: Entrance,
}

impl Listener {
    /// Listens at an address; at port 0 wherever there is a free one.
    ///
    /// # Errors
    /// What the system says: the port is taken, the address is not ours, the port is not for us.
    pub async fn bind(address: impl ToSocketAddrs, gate: Gate) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        Ok(Self { socket, gate })
    }

    /// Takes a socket that listens already.
    pub const fn new(socket: TcpListener, gate: Gate) -> Self {
        Self { socket, gate }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// What counts who is inside.
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The next connection that is let in. May be given up and asked for again.
    ///
    /// Connections that end before they are accepted are passed over, and so is a shortage of files or
    /// memory, with a pause of 100 ms: a server must be there when it is over.
    pub async fn next(&mut self) -> Arrival {
        loop {
            let (stream, peer) = match self.socket.accept().await {
                Ok(accepted) => accepted,
                Err(error) if is_the_peers(&error) => continue,
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let Some(entrance) = self.gate.enter() else {
                tracing::info!(%peer, "dropped: too many connections are not authenticated yet");
                continue;
            };
            tcp::tune(&stream);
            return Arrival {
                stream,
                peer,
                entrance,
            };
        }
    }
}

/// Whether the connection failed rather than accepting it.
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}
