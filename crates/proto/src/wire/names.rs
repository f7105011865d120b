//! Name-lists (RFC 4251 §5): comma-separated ASCII names.

use super::reader::{Field, Malformed, Parsed};
use bytes::{BufMut, BytesMut};
use std::fmt;

/// A `name-list` as it came: names separated by commas.
///
/// An empty list and a trailing comma are accepted, because peers send them; neither is ever sent.
/// Names that nobody knows, over-long ones included, simply never match (RFC 4251 §6).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct NameList<'a>(&'a str);

impl<'a> NameList<'a> {
    /// The names in their order.
    pub fn iter(&self) -> impl Iterator<Item = &'a str> + Clone + use<'a> {
        self.0.split(',').filter(|name| !name.is_empty())
    }

    /// The first name, if there is one: what a guess of the key exchange is about (RFC 4253 §7).
    pub fn first(&self) -> Option<&'a str> {
        self.iter().next()
    }

    /// Whether `name` is in the list.
    pub fn contains(&self, name: &str) -> bool {
        self.iter().any(|it| it == name)
    }

    /// The list as it stands on the wire.
    pub const fn as_str(&self) -> &'a str {
        self.0
    }

    /// A list for sending, joined from names into `buffer`.
    pub fn join<'b, N: AsRef<str>>(
        names: impl IntoIterator<Item = N>,
        buffer: &'b mut String,
    ) -> NameList<'b> {
        buffer.clear();
        for name in names {
            if !buffer.is_empty() {
                buffer.push(',');
            }
            buffer.push_str(name.as_ref());
        }
        NameList(buffer)
    }
}

impl<'a> Field<'a> for NameList<'a> {
    fn parse(input: &'a [u8]) -> Parsed<'a, Self> {
        let (rest, bytes) = <&[u8]>::parse(input)?;
        // RFC 4251 §5: US-ASCII; a NUL, space or control character can only be meant to mislead.
        if !bytes.iter().all(u8::is_ascii_graphic) {
            return Err(nom::Err::Error(Malformed(
                "name-list is not printable ASCII",
            )));
        }
        let names = std::str::from_utf8(bytes).expect("ASCII is UTF-8");
        Ok((rest, Self(names)))
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_u32(u32::try_from(self.0.len()).expect("a name-list is shorter than 4 GiB"));
        out.put_slice(self.0.as_bytes());
    }
}

impl fmt::Debug for NameList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
