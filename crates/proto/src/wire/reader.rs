//! Fields of messages: each is a nom parser and its inverse (RFC 4251 §5).

use bytes::{BufMut, BytesMut};
use nom::bytes::complete::take;
use nom::error::{ErrorKind, ParseError};
use nom::multi::length_data;
use nom::number::complete::{be_u8, be_u32, be_u64};
use nom::{IResult, Parser};
use std::fmt;

/// Why bytes from the peer, or of a file, could not be read. Cheap, and never quotes the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Malformed {}

impl ParseError<&[u8]> for Malformed {
    fn from_error_kind(_: &[u8], kind: ErrorKind) -> Self {
        Self(match kind {
            ErrorKind::Eof | ErrorKind::Complete => "truncated",
            _ => "malformed",
        })
    }

    fn append(_: &[u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

/// What a field's parser returns: the rest, and the field.
pub type Parsed<'a, T> = IResult<&'a [u8], T, Malformed>;

/// One field of a message: a nom parser, and its inverse.
pub trait Field<'a>: Sized {
    /// Takes the field off the front of `input`.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes end too early or are not such a field.
    fn parse(input: &'a [u8]) -> Parsed<'a, Self>;

    /// Appends the field as it goes over the wire.
    fn write(&self, out: &mut BytesMut);
}

/// Walks over one body, field by field.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Begins at the front of `body`.
    pub const fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    /// Takes the next field.
    ///
    /// # Errors
    /// [`Malformed`] when the body ends too early or holds something else.
    pub fn read<T: Field<'a>>(&mut self) -> Result<T, Malformed> {
        match T::parse(self.rest) {
            Ok((rest, field)) => {
                self.rest = rest;
                Ok(field)
            }
            Err(nom::Err::Error(cause) | nom::Err::Failure(cause)) => Err(cause),
            Err(nom::Err::Incomplete(_)) => Err(Malformed("truncated")),
        }
    }

    /// What has not been read yet.
    pub const fn remaining(&self) -> &'a [u8] {
        self.rest
    }

    /// Insists that everything was read: parsers that ignore trailing bytes differ from each other.
    ///
    /// # Errors
    /// [`Malformed`] when bytes are left.
    pub const fn finish(self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Malformed("trailing bytes"))
        }
    }
}

fn malformed<T>(why: &'static str) -> Result<T, nom::Err<Malformed>> {
    Err(nom::Err::Error(Malformed(why)))
}

impl<'a> Field<'a> for u8 {
    fn parse(input: &'a [u8]) -> Parsed<'a, Self> {
        be_u8(input)
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_u8(*self);
    }
}

impl<'a> Field<'a> for u32 {
    fn parse(input: &'a [u8]) -> Parsed<'a, Self> {
        be_u32(input)
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_u32(*self);
    }
}

impl<'a> Field<'a> for u64 {
    fn parse(input: &'a [u8]) -> Parsed<'a, Self> {
        be_u64(input)
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_u64(*self);
    }
}

/// `boolean`: any value but zero is true, and only 0 and 1 are sent (RFC 4251 §5).
impl<'a> Field<'a> for bool {
    fn parse(input: &'a [u8]) -> Parsed<'a, Self> {
        be_u8.map(|byte| byte != 0).parse(input)
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_u8(u8::from(*self));
    }
}

/// `string`: a length and that many bytes of anything, NUL included (RFC 4251 §5).
impl<'a> Field<'a> for &'a [u8] {
    fn parse(input: &'a [u8]) -> Parsed<'a, Self> {
        length_data(be_u32).parse(input)
    }

    fn write(&self, out: &mut BytesMut) {
        // Whatever is longer than 4 GiB was refused long before it became a field.
        out.put_u32(u32::try_from(self.len()).expect("a field is shorter than 4 GiB"));
        out.put_slice(self);
    }
}

/// `string` that the protocol says is UTF-8: a user's or a service's name (RFC 4251 §5).
impl<'a> Field<'a> for &'a str {
    fn parse(input: &'a [u8]) -> Parsed<'a, Self> {
        let (rest, bytes) = <&[u8]>::parse(input)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok((rest, text)),
            Err(_) => malformed("not UTF-8"),
        }
    }

    fn write(&self, out: &mut BytesMut) {
        self.as_bytes().write(out);
    }
}

/// `byte[n]`: exactly `N` bytes with no length (RFC 4251 §5).
impl<'a, const N: usize> Field<'a> for [u8; N] {
    fn parse(input: &'a [u8]) -> Parsed<'a, Self> {
        let (rest, bytes) = take(N)(input)?;
        Ok((rest, bytes.try_into().expect("took exactly N bytes")))
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_slice(self);
    }
}

/// Whatever is left of the message, uninterpreted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest<'a>(pub &'a [u8]);

impl<'a> Field<'a> for Rest<'a> {
    fn parse(input: &'a [u8]) -> Parsed<'a, Self> {
        Ok((&[], Rest(input)))
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_slice(self.0);
    }
}

/// Text from the peer that may lack altogether at the end of a message, as servers are known to
/// leave out the texts of SSH_FXP_STATUS. Bytes, because not all of them send UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Text<'a>(pub &'a [u8]);

impl<'a> Field<'a> for Text<'a> {
    fn parse(input: &'a [u8]) -> Parsed<'a, Self> {
        if input.is_empty() {
            return Ok((input, Text(&[])));
        }
        <&[u8]>::parse(input).map(|(rest, bytes)| (rest, Text(bytes)))
    }

    fn write(&self, out: &mut BytesMut) {
        self.0.write(out);
    }
}
