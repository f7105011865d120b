//! Extension negotiation (RFC 8308).

use super::messages;
use crate::limits;
use crate::wire::{Field, Malformed, Message, NameList, Reader, Rest};
use bytes::{Bytes, BytesMut};

/// What a peer told of itself in EXT_INFO. Unknown extensions are ignored (RFC 8308 §2.5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExtInfo {
    /// The signature algorithms that a server takes from users (RFC 8308 §3.1).
    pub server_sig_algs: Option<Vec<String>>,
    /// Whether it answers `ping@openssh.com`.
    pub ping: bool,
}

impl ExtInfo {
    pub(super) fn read(message: &messages::ExtInfo<'_>) -> Result<Self, Malformed> {
        let mut this = Self::default();
        let mut reader = Reader::new(message.extensions.0);
        for seen in 0..message.count {
            if seen as usize >= limits::EXTENSIONS {
                return Err(Malformed("too many extensions"));
            }
            let (name, value): (&[u8], &[u8]) = (reader.read()?, reader.read()?);
            match name {
                b"server-sig-algs" => {
                    let mut encoded = BytesMut::new();
                    value.write(&mut encoded);
                    let names: NameList<'_> = Reader::new(&encoded).read()?;
                    this.server_sig_algs = Some(names.iter().map(str::to_owned).collect());
                }
                b"ping@openssh.com" => this.ping = value == b"0",
                _ => {}
            }
        }
        reader.finish()?;
        Ok(this)
    }

    /// The message with which a server says what it takes.
    pub(super) fn message<'n>(signature_names: impl Iterator<Item = &'n str>) -> Bytes {
        let mut names = String::new();
        let names = NameList::join(signature_names, &mut names);
        let mut extensions = BytesMut::new();
        "server-sig-algs".write(&mut extensions);
        names.write(&mut extensions);
        "ping@openssh.com".write(&mut extensions);
        "0".write(&mut extensions);
        let mut out = BytesMut::new();
        messages::ExtInfo {
            count: 2,
            extensions: Rest(&extensions),
        }
        .write(&mut out);
        out.freeze()
    }
}
