//! The lexical ground that all line formats share: lines, fields, base64. nom parsers over bytes.

use base64ct::{Base64Unpadded, Encoding};
use nom::Parser;
use nom::bytes::complete::{take_till1, take_while};
use nom::sequence::preceded;
use sansftp_proto::wire::{Malformed, Parsed};

/// White space between fields. Form feed and vertical tab too, so that no marker becomes inert
/// because an unusual blank follows it.
pub(crate) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c)
}

/// Blanks and line ends.
pub(crate) const fn is_space(byte: u8) -> bool {
    is_blank(byte) || matches!(byte, b'\r' | b'\n')
}

/// Takes the next field: whatever stands before the next blank, blanks before it dropped.
pub(crate) fn field(input: &[u8]) -> Parsed<'_, &[u8]> {
    preceded(take_while(is_blank), take_till1(is_blank)).parse(input)
}

/// All fields of a line.
pub(crate) fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&byte| is_blank(byte))
        .filter(|it| !it.is_empty())
}

/// The lines of a file with their numbers, from 1. LF, CR LF and CR all end a line: with LF alone,
/// what follows a stray CR would be silently taken for a comment.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut rest = Some(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text));
    let lines = std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
            rest = None;
            return (!text.is_empty()).then_some(text);
        };
        let (line, after) = text.split_at(end);
        let skip = if after.starts_with(b"\r\n") { 2 } else { 1 };
        rest = after.get(skip..);
        Some(line)
    });
    lines.enumerate().map(|(index, line)| (index + 1, line))
}

/// The line without blanks around it; `None` when nothing or a comment is left.
pub(crate) fn content(line: &[u8]) -> Option<&[u8]> {
    let line = trim(line);
    (!line.is_empty() && !line.starts_with(b"#")).then_some(line)
}

/// Without white space on either side.
pub(crate) fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_space(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_space(*last)
    {
        text = rest;
    }
    text
}

/// Decodes base64 of the standard alphabet. Its padding may lack, as it often does in pasted text.
pub(crate) fn base64(text: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut text = text;
    for _ in 0..2 {
        text = text.strip_suffix(b"=").unwrap_or(text);
    }
    let text = std::str::from_utf8(text).map_err(|_| NOT_BASE64)?;
    Base64Unpadded::decode_vec(text).map_err(|_| NOT_BASE64)
}

const NOT_BASE64: Malformed = Malformed("not base64");

/// Decodes pairs of hexadecimal digits, in either case.
pub(crate) fn hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |&byte: &u8| char::from(byte).to_digit(16);
    let (pairs, []) = text.as_chunks::<2>() else {
        return None;
    };
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(digit(high)? << 4 | digit(low)?).ok())
        .collect()
}

/// A comment for display: bytes that are not UTF-8, and control characters, are replaced.
pub(crate) fn comment(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(trim(bytes));
    text.chars()
        .map(|it| {
            if it.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                it
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_lf_cr_lf_and_cr_and_are_counted_from_one() {
        let seen: Vec<_> = lines(b"\xef\xbb\xbfa\r\nb\rc\n\nd").collect();
        assert_eq!(
            seen,
            [(1, &b"a"[..]), (2, b"b"), (3, b"c"), (4, b""), (5, b"d")]
        );
        assert_eq!(lines(b"").count(), 0);
        assert_eq!(lines(b"a\n").count(), 1);
    }

    #[test]
    fn base64_may_lack_its_padding_but_not_its_meaning() {
        assert_eq!(base64(b"YQ==").unwrap(), b"a");
        assert_eq!(base64(b"YQ").unwrap(), b"a");
        assert_eq!(
            base64(b"YR"),
            Err(NOT_BASE64),
            "bits that are dropped must be zero"
        );
        assert_eq!(base64(b"Y Q"), Err(NOT_BASE64));
        assert_eq!(base64(b"YWI\xff"), Err(NOT_BASE64));
    }
}
