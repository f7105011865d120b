//! A strict reader of the few ASN.1 values that key files are made of (X.690, DER).
//!
//! Definite, minimal lengths below 64 KiB; tags of one byte; non-negative minimal integers. Own
//! code because that is all there is to it, and because a key with two encodings is to be refused.

use nom::Parser;
use nom::bytes::complete::take;
use nom::number::complete::{be_u8, be_u16};
use sansftp_proto::wire::{Malformed, Parsed};

/// The tags that occur.
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OID: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;

/// The tag of the constructed context-specific element `[n]`.
pub(crate) const fn explicit(n: u8) -> u8 {
    0xa0 | n
}

/// The tag of the primitive context-specific element `[n]`.
pub(crate) const fn implicit(n: u8) -> u8 {
    0x80 | n
}

/// Walks over the elements of one value.
#[derive(Clone, Copy)]
pub(crate) struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// Begins at the front of `input`.
    pub(crate) const fn new(input: &'a [u8]) -> Self {
        Self(input)
    }

    /// Takes the next element, which must have this tag; its content.
    pub(crate) fn take(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        self.take_if(tag)?
            .ok_or(Malformed("another ASN.1 type than the format prescribes"))
    }

    /// Takes the next element if it is there and has this tag.
    pub(crate) fn take_if(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Malformed> {
        if self.0.is_empty() {
            return Ok(None);
        }
        match element(self.0) {
            Ok((rest, (found, content))) if found == tag => {
                self.0 = rest;
                Ok(Some(content))
            }
            Ok(_) => Ok(None),
            Err(nom::Err::Error(cause) | nom::Err::Failure(cause)) => Err(cause),
            Err(nom::Err::Incomplete(_)) => Err(Malformed("truncated")),
        }
    }

    /// Takes a SEQUENCE and steps inside.
    pub(crate) fn sequence(&mut self) -> Result<Self, Malformed> {
        self.take(SEQUENCE).map(Self)
    }

    /// Takes an INTEGER that is not negative: its magnitude, big-endian, without leading zeros.
    pub(crate) fn unsigned(&mut self) -> Result<&'a [u8], Malformed> {
        match self.take(INTEGER)? {
            [] => Err(Malformed("an ASN.1 integer of no bytes")),
            [0] => Ok(&[]),
            [0x80..=0xff, ..] => Err(Malformed("a negative ASN.1 integer")),
            [0, 0..=0x7f, ..] => Err(Malformed("an ASN.1 integer not in its shortest form")),
            [0, magnitude @ ..] | magnitude => Ok(magnitude),
        }
    }

    /// Takes an INTEGER below 2^64.
    pub(crate) fn number(&mut self) -> Result<u64, Malformed> {
        let magnitude = self.unsigned()?;
        if magnitude.len() > 8 {
            return Err(Malformed("an ASN.1 integer that is absurdly large"));
        }
        Ok(magnitude
            .iter()
            .fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    /// Takes an INTEGER below 2^64 if the next element is one.
    pub(crate) fn number_if(&mut self) -> Result<Option<u64>, Malformed> {
        match self.0 {
            [INTEGER, ..] => self.number().map(Some),
            _ => Ok(None),
        }
    }

    /// Takes an INTEGER below 256.
    pub(crate) fn small(&mut self) -> Result<u8, Malformed> {
        match self.unsigned()? {
            [] => Ok(0),
            [value] => Ok(*value),
            _ => Err(Malformed("an unknown version")),
        }
    }

    /// Insists that nothing is left.
    pub(crate) const fn finish(self) -> Result<(), Malformed> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Malformed("trailing bytes"))
        }
    }
}

/// The bytes of a BIT STRING's content, which must be whole bytes.
pub(crate) const fn whole_bytes(content: &[u8]) -> Result<&[u8], Malformed> {
    match content {
        [0, bytes @ ..] => Ok(bytes),
        _ => Err(Malformed("a bit string that is not whole bytes")),
    }
}

fn element(input: &[u8]) -> Parsed<'_, (u8, &[u8])> {
    let (input, (tag, first)) = (be_u8, be_u8).parse(input)?;
    let (input, len) = match first {
        0..=0x7f => (input, usize::from(first)),
        0x81 => at_least(0x80, be_u8.map(u16::from).parse(input)?)?,
        0x82 => at_least(0x100, be_u16.parse(input)?)?,
        _ => {
            return Err(nom::Err::Error(Malformed(
                "an ASN.1 length that no key needs",
            )));
        }
    };
    take(len).map(|content| (tag, content)).parse(input)
}

/// A length has one encoding, the shortest (X.690 §10.1).
fn at_least(least: u16, (input, len): (&[u8], u16)) -> Parsed<'_, usize> {
    if len < least {
        return Err(nom::Err::Error(Malformed(
            "an ASN.1 length not in its shortest form",
        )));
    }
    Ok((input, usize::from(len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_shortest_form_is_read() {
        for bad in [
            &b"\x02\x00"[..],
            b"\x02\x01\x80",
            b"\x02\x02\x00\x7f",
            b"\x02\x81\x01\x05",
            b"\x02\x80\x05\x00\x00",
            b"\x02\x82\x00\x81\x05",
            b"\x02\x84\xff\xff\xff\xff\x05",
            b"\x02\x05\x01",
            b"\x02",
            b"\x04\x01\x05",
        ] {
            assert!(Der::new(bad).unsigned().is_err(), "{bad:02x?}");
        }
        assert_eq!(Der::new(b"\x02\x02\x00\x80").unsigned(), Ok(&b"\x80"[..]));
        assert_eq!(Der::new(b"\x02\x01\x00").unsigned(), Ok(&b""[..]));
    }
}
