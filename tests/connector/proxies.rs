//! A proxy that does what it is asked and says what that was.
//!
//! Not a proxy for anyone: it connects to ports of 127.0.0.1, whatever host is named.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http,
    Socks4,
    Socks5,
}

/// One that listens until the test ends.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    pub(crate) fn start(speaks: Speaks) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let noted = Arc::clone(&noted);
                thread::spawn(move || {
                    // A client that gave up is nothing to the test.
                    let _ = serve(client, speaks, &noted);
                });
            }
        });
        Self { port, asked }
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut client: TcpStream, speaks: Speaks, noted: &Mutex<Vec<String>>) -> io::Result<()> {
    let note = |words: String| noted.lock().unwrap().push(words);
    let port = match speaks {
        Speaks::Http => {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.extend(take::<1>(&mut client)?);
            }
            let head = String::from_utf8_lossy(&head).into_owned();
            let port = head
                .split_whitespace()
                .nth(1)
                .and_then(|it| it.rsplit_once(':'));
            let port = port.and_then(|(_, port)| port.parse().ok());
            note(head);
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
            port.ok_or(io::ErrorKind::InvalidData)?
        }
        Speaks::Socks4 => {
            let [_, _, high, low] = take(&mut client)?;
            let address: [u8; 4] = take(&mut client)?;
            let user = text(&mut client)?;
            let named = address[..3] == [0; 3] && address[3] != 0;
            let name = if named {
                text(&mut client)?
            } else {
                String::new()
            };
            note(format!("{address:?} {user} {name}"));
            client.write_all(&[0, 90, 0, 0, 0, 0, 0, 0])?;
            u16::from_be_bytes([high, low])
        }
        Speaks::Socks5 => socks5(&mut client, note)?,
    };
    let mut server = TcpStream::connect(("127.0.0.1", port))?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    io::copy(&mut server, &mut client)?;
    client.shutdown(std::net::Shutdown::Write)
}

/// RFC 1928 and, where it is offered, the user and password of RFC 1929.
fn socks5(client: &mut TcpStream, note: impl Fn(String)) -> io::Result<u16> {
    let [_, methods] = take(client)?;
    let methods = counted(client, methods)?;
    if methods.contains(&2) {
        client.write_all(&[5, 2])?;
        let [_, len] = take(client)?;
        let user = counted(client, len)?;
        let [len] = take(client)?;
        let password = counted(client, len)?;
        let shown = |it: &[u8]| String::from_utf8_lossy(it).into_owned();
        note(format!("{}:{}", shown(&user), shown(&password)));
        client.write_all(&[1, 0])?;
    } else {
        client.write_all(&[5, 0])?;
    }
    let [_, _, _, kind] = take(client)?;
    let len = match kind {
        1 => 4,
        4 => 16,
        _ => take::<1>(client)?[0],
    };
    let host = counted(client, len)?;
    note(format!("kind {kind} {}", String::from_utf8_lossy(&host)));
    let port = u16::from_be_bytes(take(client)?);
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0])?;
    Ok(port)
}

fn take<const N: usize>(client: &mut TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn counted(client: &mut TcpStream, len: u8) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len.into()];
    client.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Up to a NUL.
fn text(client: &mut TcpStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    loop {
        match take::<1>(client)? {
            [0] => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            [byte] => bytes.push(byte),
        }
    }
}
