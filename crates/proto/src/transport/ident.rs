//! The identification line (RFC 4253 §4.2), and what servers may say before it.

use crate::error::{Error, PeerMisbehaved};
use crate::limits::{IDENT_LINE, PREAMBLE_LINE, PREAMBLE_LINES};
use crate::role::Side;
use bytes::BytesMut;

/// Reads up to and including the peer's identification line.
#[derive(Debug)]
pub(super) struct IdentReader {
    ours: Side,
    lines: usize,
    /// How far the line at the front was searched for its end.
    searched: usize,
}

impl IdentReader {
    pub(super) const fn new(ours: Side) -> Self {
        Self {
            ours,
            lines: 0,
            searched: 0,
        }
    }

    /// The peer's identification without its line end, or nothing while it is incomplete.
    pub(super) fn read(&mut self, input: &mut BytesMut) -> Result<Option<Vec<u8>>, Error> {
        loop {
            let limit = self.limit(input)?;
            let unsearched = input
                .get(self.searched..input.len().min(limit))
                .unwrap_or_default();
            let Some(at) = unsearched.iter().position(|&byte| byte == b'\n') else {
                if input.len() >= limit {
                    return Err(PeerMisbehaved::BadIdentification.into());
                }
                self.searched = input.len();
                return Ok(None);
            };
            let line = input.split_to(self.searched + at + 1);
            self.searched = 0;
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            // RFC 4253 §4.2: CR LF; a bare LF is what old servers send.
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.starts_with(b"SSH-") {
                return self.accept(line).map(Some);
            }
            self.lines += 1;
            if self.lines > PREAMBLE_LINES {
                return Err(PeerMisbehaved::BadIdentification.into());
            }
        }
    }

    /// How long the line at the front may be.
    fn limit(&self, input: &[u8]) -> Result<usize, Error> {
        let begun = b"SSH-".iter().zip(input).all(|(a, b)| a == b);
        match self.ours {
            _ if begun && input.len() >= 4 => Ok(IDENT_LINE),
            Side::Client => Ok(PREAMBLE_LINE),
            // RFC 4253 §4.2: only a server may send other lines first.
            Side::Server if begun => Ok(IDENT_LINE),
            Side::Server => Err(PeerMisbehaved::BadIdentification.into()),
        }
    }

    fn accept(&self, line: &[u8]) -> Result<Vec<u8>, Error> {
        // RFC 4253 §4.2: "The null character MUST NOT be sent."
        if line.contains(&0) {
            return Err(PeerMisbehaved::BadIdentification.into());
        }
        // RFC 4253 §5.1: a client takes 1.99 as 2.0.
        let speaks = line.starts_with(b"SSH-2.0-")
            || (self.ours == Side::Client && line.starts_with(b"SSH-1.99-"));
        if speaks {
            Ok(line.to_vec())
        } else {
            Err(Error::VersionNotSupported)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(ours: Side, bytes: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        IdentReader::new(ours).read(&mut BytesMut::from(bytes))
    }

    const BAD: Error = Error::PeerMisbehaved(PeerMisbehaved::BadIdentification);

    #[test]
    fn line_ends_are_not_part_of_it_and_what_follows_stays() {
        let mut input = BytesMut::from(&b"SSH-2.0-x y\r\nrest"[..]);
        let ident = IdentReader::new(Side::Server).read(&mut input).unwrap();
        assert_eq!(ident.as_deref(), Some(&b"SSH-2.0-x y"[..]));
        assert_eq!(&input[..], b"rest");
        assert_eq!(
            read(Side::Client, b"SSH-2.0-x\n").unwrap().as_deref(),
            Some(&b"SSH-2.0-x"[..])
        );
    }

    #[test]
    fn a_client_takes_lines_before_it_and_a_server_does_not() {
        let greeting = b"Welcome\r\nto this\r\nSSH-1.99-old\r\n";
        assert_eq!(
            read(Side::Client, greeting).unwrap().as_deref(),
            Some(&b"SSH-1.99-old"[..])
        );
        assert_eq!(read(Side::Server, greeting), Err(BAD));
        assert_eq!(read(Side::Server, b"G"), Err(BAD));
        assert_eq!(
            read(Side::Server, b"SSH-1.99-x\r\n"),
            Err(Error::VersionNotSupported)
        );
        assert_eq!(
            read(Side::Client, b"SSH-1.5-x\r\n"),
            Err(Error::VersionNotSupported)
        );
    }

    #[test]
    fn lines_are_bounded_in_length_and_number() {
        let mut long = b"SSH-2.0-".to_vec();
        long.resize(253, b'a');
        long.extend_from_slice(b"\r\n");
        assert!(read(Side::Client, &long).unwrap().is_some());
        long.insert(20, b'a');
        assert_eq!(read(Side::Client, &long), Err(BAD));
        assert_eq!(read(Side::Client, &vec![b'x'; PREAMBLE_LINE]), Err(BAD));
        assert_eq!(
            read(Side::Client, &b"\n".repeat(PREAMBLE_LINES + 1)),
            Err(BAD)
        );
        assert_eq!(read(Side::Client, b"SSH-2.0-a\0b\r\n"), Err(BAD));
    }

    #[test]
    fn it_is_the_same_at_any_fragmentation() {
        let mut reader = IdentReader::new(Side::Client);
        let mut input = BytesMut::new();
        let bytes = b"hello\r\nSSH-2.0-x\r\n";
        for (at, byte) in bytes.iter().enumerate() {
            input.extend_from_slice(&[*byte]);
            let read = reader.read(&mut input).unwrap();
            assert_eq!(read.is_some(), at + 1 == bytes.len());
        }
    }
}
