//! Vectors of RFC 4251 §5, and what must be refused.

use super::*;
use bytes::BytesMut;

fn written(write: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    write(&mut out);
    out.to_vec()
}

fn mpint(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut body = BytesMut::new();
    bytes.write(&mut body);
    let mut reader = Reader::new(&body);
    reader.read::<MpInt<'_>>().map(|it| it.magnitude().to_vec())
}

#[test]
fn mpints_are_those_of_the_rfc() {
    for (magnitude, wire) in [
        (&[][..], &[0, 0, 0, 0][..]),
        (&[0, 0], &[0, 0, 0, 0]),
        (
            &[0x09, 0xa3, 0x78, 0xf9, 0xb2, 0xe3, 0x32, 0xa7],
            &[0, 0, 0, 8, 0x09, 0xa3, 0x78, 0xf9, 0xb2, 0xe3, 0x32, 0xa7],
        ),
        (&[0x80], &[0, 0, 0, 2, 0, 0x80]),
        (&[0, 0, 0x80], &[0, 0, 0, 2, 0, 0x80]),
    ] {
        assert_eq!(written(|out| Unsigned(magnitude).write(out)), wire);
        let stripped: Vec<u8> = magnitude
            .iter()
            .copied()
            .skip_while(|&it| it == 0)
            .collect();
        assert_eq!(
            Reader::new(wire).read::<MpInt<'_>>().unwrap().magnitude(),
            stripped
        );
    }
}

#[test]
fn negative_and_padded_mpints_are_refused() {
    assert_eq!(mpint(&[0xed, 0xcc]), Err(Malformed("negative mpint")));
    assert_eq!(
        mpint(&[0xff, 0x21, 0x52, 0x41, 0x11]),
        Err(Malformed("negative mpint"))
    );
    assert_eq!(
        mpint(&[0]),
        Err(Malformed("mpint not in its shortest form"))
    );
    assert_eq!(
        mpint(&[0, 0x7f]),
        Err(Malformed("mpint not in its shortest form"))
    );
    assert_eq!(
        mpint(&[0, 0, 0x80]),
        Err(Malformed("mpint not in its shortest form"))
    );
}

#[test]
fn name_lists_are_those_of_the_rfc() {
    for (names, wire) in [
        (&[][..], &b"\0\0\0\0"[..]),
        (&["zlib"], b"\0\0\0\x04zlib"),
        (&["zlib", "none"], b"\0\0\0\x09zlib,none"),
    ] {
        let mut buffer = String::new();
        assert_eq!(
            written(|out| NameList::join(names, &mut buffer).write(out)),
            wire
        );
        let read: NameList<'_> = Reader::new(wire).read().unwrap();
        assert_eq!(read.iter().collect::<Vec<_>>(), names);
    }
}

#[test]
fn a_trailing_comma_is_tolerated_and_control_characters_are_not() {
    let list: NameList<'_> = Reader::new(b"\0\0\0\x05a,,b,").read().unwrap();
    assert_eq!(list.iter().collect::<Vec<_>>(), ["a", "b"]);
    assert!(!list.contains(""));
    for bad in [
        &b"\0\0\0\x03a\0b"[..],
        b"\0\0\0\x03a b",
        b"\0\0\0\x02\xc3\xa4",
    ] {
        assert!(Reader::new(bad).read::<NameList<'_>>().is_err());
    }
}

#[test]
fn any_byte_but_zero_is_true() {
    for (byte, truth) in [(0, false), (1, true), (2, true), (255, true)] {
        assert_eq!(Reader::new(&[byte]).read::<bool>(), Ok(truth));
    }
    assert_eq!(written(|out| true.write(out)), [1]);
}

#[test]
fn strings_keep_every_byte_and_lengths_are_checked() {
    assert_eq!(
        Reader::new(b"\0\0\0\x03a\0b").read::<&[u8]>().unwrap(),
        b"a\0b"
    );
    for length in [4u32, 5, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        let mut body = length.to_be_bytes().to_vec();
        body.extend_from_slice(b"abc");
        assert_eq!(
            Reader::new(&body).read::<&[u8]>(),
            Err(Malformed("truncated"))
        );
    }
    assert_eq!(
        Reader::new(b"\0\0\0\x01\xff").read::<&str>(),
        Err(Malformed("not UTF-8"))
    );
}

#[test]
fn trailing_bytes_are_an_error() {
    let mut reader = Reader::new(&[0, 0, 0, 1, 9]);
    assert_eq!(reader.read::<u32>(), Ok(1));
    assert_eq!(reader.finish(), Err(Malformed("trailing bytes")));
}
