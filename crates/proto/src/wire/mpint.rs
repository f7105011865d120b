//! Multiple precision integers (RFC 4251 §5): two's complement, big-endian, shortest form.

use super::reader::{Field, Malformed, Parsed};
use bytes::{BufMut, BytesMut};

/// An `mpint` that was read: not negative, in its shortest form, without its sign byte.
///
/// Negative numbers and needless leading bytes are refused: nothing in SSH needs the former, and the
/// latter would make two encodings of one number, which is hashed (RFC 4251 §5, RFC 4253 §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MpInt<'a>(&'a [u8]);

impl<'a> MpInt<'a> {
    /// A big-endian magnitude of any width, for sending.
    pub fn unsigned(magnitude: &'a [u8]) -> Self {
        let zeros = magnitude.iter().take_while(|&&byte| byte == 0).count();
        Self(magnitude.get(zeros..).unwrap_or_default())
    }

    /// The magnitude, big-endian, without leading zeros; empty for zero.
    pub const fn magnitude(&self) -> &'a [u8] {
        self.0
    }
}

impl<'a> Field<'a> for MpInt<'a> {
    fn parse(input: &'a [u8]) -> Parsed<'a, Self> {
        let (rest, bytes) = <&[u8]>::parse(input)?;
        let refused = |why| Err(nom::Err::Error(Malformed(why)));
        match bytes {
            [] => Ok((rest, Self(bytes))),
            [0x80..=0xff, ..] => refused("negative mpint"),
            [0, magnitude @ ..] if magnitude.first().is_some_and(|&it| it >= 0x80) => {
                Ok((rest, Self(magnitude)))
            }
            [0, ..] => refused("mpint not in its shortest form"),
            _ => Ok((rest, Self(bytes))),
        }
    }

    fn write(&self, out: &mut BytesMut) {
        Unsigned(self.0).write(out);
    }
}

/// A big-endian magnitude of any width, to be written as an `mpint`: leading zeros are left out and
/// a zero byte goes before a set top bit.
#[derive(Debug, Clone, Copy)]
pub struct Unsigned<'a>(pub &'a [u8]);

impl Unsigned<'_> {
    /// Appends the number as an `mpint`.
    pub fn write(&self, out: &mut BytesMut) {
        let MpInt(magnitude) = MpInt::unsigned(self.0);
        let sign = magnitude.first().is_some_and(|&byte| byte >= 0x80);
        let len = magnitude.len() + usize::from(sign);
        out.put_u32(u32::try_from(len).expect("a number is shorter than 4 GiB"));
        if sign {
            out.put_u8(0);
        }
        out.put_slice(magnitude);
    }
}
