//! Public keys in the file format of RFC 4716, which `ssh-keygen -e` and PuTTYgen write: markers, headers
//! and the key in base64. Reads it only; what SSH.COM called a private key looks alike and is none of this.

use crate::public::{PublicLine, decode};
use crate::text;
use sansftp_proto::wire::Malformed;

const BEGIN: &[u8] = b"---- BEGIN SSH2 PUBLIC KEY ----";
const END: &[u8] = b"---- END SSH2 PUBLIC KEY ----";

/// Whether a line begins such a file.
pub(crate) fn begins(line: &[u8]) -> bool {
    text::trim(line) == BEGIN
}

/// Reads the file, whose first line that is not blank [`begins`] it.
pub(crate) fn read(file: &[u8]) -> Result<PublicLine, Malformed> {
    let mut lines = text::lines(file)
        .map(|(_, line)| text::trim(line))
        .filter(|line| !line.is_empty());
    if !lines.next().is_some_and(begins) {
        return Err(Malformed("it does not begin as RFC 4716 wants"));
    }
    let (mut base64, mut comment) = (Vec::new(), String::new());
    loop {
        let line = lines.next().ok_or(UNENDED)?;
        if line == END {
            break;
        }
        // §3.3: a header has a colon, which base64 has not; and headers come first.
        if !line.contains(&b':') {
            base64.extend_from_slice(line);
            continue;
        }
        if !base64.is_empty() {
            return Err(Malformed("a header behind the beginning of the key"));
        }
        let mut header = line.to_vec();
        while header.last() == Some(&b'\\') {
            header.pop();
            header.extend_from_slice(lines.next().ok_or(UNENDED)?);
        }
        if let Some(value) = comment_in(&header) {
            comment = text::comment(value);
        }
    }
    if lines.next().is_some() {
        return Err(Malformed("something behind the end of the key"));
    }
    let key = decode(&base64)?;
    Ok(PublicLine { key, comment })
}

const UNENDED: Malformed = Malformed("it does not end as RFC 4716 wants");

/// The value of a `Comment` header (§3.3.2), without the quotes that mostly are around it.
fn comment_in(header: &[u8]) -> Option<&[u8]> {
    let colon = header.iter().position(|&byte| byte == b':')?;
    let (tag, value) = (header.get(..colon)?, text::trim(header.get(colon + 1..)?));
    if !text::trim(tag).eq_ignore_ascii_case(b"Comment") {
        return None;
    }
    let unquoted = value
        .strip_prefix(b"\"")
        .and_then(|it| it.strip_suffix(b"\""));
    Some(unquoted.unwrap_or(value))
}
