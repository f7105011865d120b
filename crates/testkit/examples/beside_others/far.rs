//! Distance: a TCP proxy that hands on each byte half a round trip later. The only thing it models is delay. It ends TCP
//! itself, so what is on its way lies here and not in the kernels' buffers: no slow start, no loss, no limit of bandwidth,
//! and no bound by `net.ipv4.tcp_rmem` and `tcp_wmem`. Not for faults; those are `sansftp_testkit::faultproxy`'s.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_tcp_quickack;

/// A proxy on a free port of 127.0.0.1. Its threads end with the program; each connection's end with the connection.
#[derive(Debug)]
pub(crate) struct Far {
    port: u16,
}

impl Far {
    /// Connects whoever comes to `server`, `round_trip` away.
    pub(crate) fn start(server: SocketAddr, round_trip: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        thread::spawn(move || {
            while let Ok((client, _)) = listener.accept() {
                // A connection that cannot be carried is closed, which its client notices.
                let _ = connect(client, server, round_trip);
            }
        });
        Ok(Self { port })
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

fn connect(client: TcpStream, server: SocketAddr, round_trip: Duration) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    for socket in [&client, &server] {
        socket.set_nodelay(true)?;
    }
    // The client's kernel has shaken hands with ours already. On the real path the client could speak after one round trip,
    // and the server after one and a half.
    let (distance, now) = (round_trip / 2, Instant::now());
    let (asking, answering) = (now + round_trip, now + round_trip + distance);
    carry(client.try_clone()?, server.try_clone()?, distance, asking);
    carry(server, client, distance, answering);
    Ok(())
}

/// One direction. What comes before `first` counts as sent then: the connection was not there yet.
fn carry(mut from: TcpStream, mut to: TcpStream, distance: Duration, first: Instant) {
    let (way, arriving) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        for (due, bytes) in arriving {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
        // The other end may have gone in the meantime; then there is nobody to tell.
        let _ = to.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let mut block = vec![0; 256 << 10];
        loop {
            // Delayed acknowledgements of this hop would be felt by a sender that waits for them (Nagle), which one of
            // the real path would not see from us.
            let _ = set_tcp_quickack(&from, true);
            let Ok(read @ 1..) = from.read(&mut block) else {
                return;
            };
            let due = Instant::now().max(first) + distance;
            if way.send((due, block[..read].to_vec())).is_err() {
                return;
            }
        }
    });
}
