//! What a server offers before anything is agreed: its identification and KEXINIT, as they stand on the wire (RFC 4253 §4.2,
//! §7.1). Not a handshake.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use sansftp_proto::wire::{Malformed, NameList, Reader};

/// The names of a server, in its order.
#[derive(Debug, Default)]
pub(crate) struct Offer {
    /// What it calls itself.
    pub(crate) software: String,
    pub(crate) kex: Vec<String>,
    pub(crate) host_key: Vec<String>,
    pub(crate) cipher: Vec<String>,
    pub(crate) mac: Vec<String>,
    pub(crate) compression: Vec<String>,
}

/// No server's KEXINIT is longer.
const LONGEST: u64 = 64 * 1024;

/// Asks the server on that port of this machine.
pub(crate) fn of(port: u16) -> io::Result<Offer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    stream.write_all(b"SSH-2.0-look\r\n")?;
    let mut input = BufReader::new(stream).take(LONGEST);
    let mut line = String::new();
    while !line.starts_with("SSH-2.0-") {
        line.clear();
        if input.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    // Without the comment behind it, which of some servers is another each time.
    let software = line
        .trim_start_matches("SSH-2.0-")
        .split_whitespace()
        .next();
    let software = software.unwrap_or_default().to_owned();
    let mut head = [0; 5];
    input.read_exact(&mut head)?;
    let [length @ .., padding] = head;
    let whole = u32::from_be_bytes(length).saturating_sub(1);
    let mut payload = Vec::new();
    input.take(whole.into()).read_to_end(&mut payload)?;
    payload.truncate(payload.len().saturating_sub(padding.into()));
    let offer = read(&payload).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(Offer { software, ..offer })
}

fn read(payload: &[u8]) -> Result<Offer, Malformed> {
    const KEXINIT: u8 = 20;
    const COOKIE: usize = 16;
    let body = payload.get(1 + COOKIE..).unwrap_or_default();
    if payload.first() != Some(&KEXINIT) {
        return Err(Malformed("something else than KEXINIT"));
    }
    let mut reader = Reader::new(body);
    let mut list = || -> Result<Vec<String>, Malformed> {
        let list: NameList<'_> = reader.read()?;
        // Words among the names that are no algorithms.
        let markers = ["kex-strict-", "ext-info-", "kexguess2@"];
        let is_marker = |it: &&str| markers.iter().any(|word| it.starts_with(word));
        Ok(list
            .iter()
            .filter(|it| !is_marker(it))
            .map(str::to_owned)
            .collect())
    };
    let (kex, host_key, cipher) = (list()?, list()?, list()?);
    // Servers of today list the same for both directions.
    let _to_client = list()?;
    let mac = list()?;
    let _to_client = list()?;
    Ok(Offer {
        software: String::new(),
        kex,
        host_key,
        cipher,
        mac,
        compression: list()?,
    })
}
