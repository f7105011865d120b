//! Base names: which are names at all, the next free one, and those of our own temporary and
//! backup files.
//!
//! Not paths, and no I/O: whether a name is free is for its directory to say.

pub(crate) mod template;

use bytes::Bytes;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::path::printable;

/// The longest base name that file systems commonly take, in bytes.
pub(crate) const MAX_NAME: usize = 255;

/// The end of a file that is not complete yet.
const PART: &[u8] = b".part";
/// The end of an old file that a replacement put aside.
const OLD: &[u8] = b".old";
/// The length of `.{uuid}`.
const DOT_UUID: usize = 37;
/// Where in the text of a UUID its version stands (RFC 9562 §4.2).
const VERSION: usize = 14;
/// So many bytes of a name stand in that of its backup.
const BACKUP_ROOM: usize = MAX_NAME - 1 - DOT_UUID - OLD.len();
/// The length of a UUID's first two groups, `01234567-89ab`: 48 bits.
const DIGEST: usize = 13;

/// Whether this is a base name: not empty, not `.` or `..`, without `/` and NUL. Whatever else it
/// is, it stays inside its directory.
pub fn is_base_name(name: &[u8]) -> bool {
    #[cfg(sansftp_bugs)]
    if sansftp_proto::bugs::seeded("names-unchecked") {
        return true;
    }
    !name.is_empty()
        && name != b"."
        && name != b".."
        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
}

/// Whether this name has the form of our own temporary or backup files,
/// `.{name}.{uuid}.part` and `.{name}.{uuid}.old`.
pub fn is_ours(name: &[u8]) -> bool {
    stem_of(name, PART).is_some() || stem_of(name, OLD).is_some()
}

/// A new temporary name, `.{name}.{uuid}.part`, of at most 255 bytes.
pub(crate) fn temporary(name: &[u8]) -> Bytes {
    composed(b".", name, format!(".{}", Uuid::new_v4()).as_bytes(), PART)
}

/// The temporary name, of the same form, that belongs to `origin`: always the same.
pub(crate) fn temporary_of(name: &[u8], origin: &[u8]) -> Bytes {
    let digest = ring::digest::digest(&ring::digest::SHA256, origin);
    let bytes = digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes");
    let uuid = uuid::Builder::from_random_bytes(*bytes).into_uuid();
    composed(b".", name, format!(".{uuid}").as_bytes(), PART)
}

/// The second name that a complete local temporary file has while it is put into its place: the
/// same but for the version of its UUID, 8 instead of 4. `None` for what is no temporary name of
/// [`temporary`].
pub(crate) fn second_of(temporary: &[u8]) -> Option<Bytes> {
    stem_of(temporary, PART)?;
    let version = temporary.len() - PART.len() - (DOT_UUID - 1) + VERSION;
    if temporary[version] != b'4' {
        return None;
    }
    let mut second = temporary.to_vec();
    second[version] = b'8';
    Some(second.into())
}

/// A new name to put an old file aside under, `.{name}.{uuid}.old`, of at most 255 bytes.
///
/// Where the name had to be cut, the UUID begins with a digest of all of it: names that differ only
/// behind the cut must not take each other's backups for their own.
pub(crate) fn backup(name: &[u8]) -> Bytes {
    let mut uuid = Uuid::new_v4().to_string();
    if cut(name, BACKUP_ROOM).len() < name.len() {
        uuid.replace_range(..DIGEST, &digest_of(name));
    }
    composed(b".", name, format!(".{uuid}").as_bytes(), OLD)
}

/// Whether `candidate` is a backup that [`backup`] made of the file `name`.
pub(crate) fn is_backup_of(candidate: &[u8], name: &[u8]) -> bool {
    let kept = cut(name, BACKUP_ROOM);
    if stem_of(candidate, OLD) != Some(kept) {
        return false;
    }
    let uuid = &candidate[candidate.len() - OLD.len() - (DOT_UUID - 1)..];
    kept.len() == name.len() || uuid.starts_with(digest_of(name).as_bytes())
}

/// Whether this name has the form of a backup, of whatever file.
pub(crate) fn is_backup(name: &[u8]) -> bool {
    stem_of(name, OLD).is_some()
}

/// How the UUID of a cut name's backup begins: its first two groups.
fn digest_of(name: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, name);
    let bytes = digest.as_ref().first_chunk().expect("SHA-256 has 32 bytes");
    let mut uuid = Uuid::from_bytes(*bytes).to_string();
    uuid.truncate(DIGEST);
    uuid
}

/// `output.txt`, `output1.txt`, `output2.txt`: the number goes before the last extension; a leading
/// dot begins no extension. The base is cut where the whole would be longer than 255 bytes.
pub(crate) fn numbered(name: &[u8], number: u32) -> Bytes {
    if number == 0 {
        return Bytes::copy_from_slice(name);
    }
    let (base, extension) = split_extension(name);
    let number = number.to_string();
    // A name of which nothing but extension would be left is numbered as a whole.
    let (base, extension) = if extension.len() + number.len() < MAX_NAME {
        (base, extension)
    } else {
        (name, &b""[..])
    };
    composed(b"", base, number.as_bytes(), extension)
}

/// The name before its last extension, and the extension with its dot; the latter is empty where
/// there is none. A leading dot begins no extension.
pub(crate) fn split_extension(name: &[u8]) -> (&[u8], &[u8]) {
    match name.iter().rposition(|&byte| byte == b'.') {
        Some(dot) if dot > 0 => name.split_at(dot),
        _ => (name, b""),
    }
}

/// How temporary files are named: of `{name}` and `{uuid}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TemporaryName {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Name,
    Uuid,
}

impl TemporaryName {
    /// Reads such a template.
    ///
    /// # Errors
    /// `configuration` when it holds other fields or a `/`, or would be the name itself.
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        let broken = |why: &str| {
            Error::configuration(format!("the temporary-name '{}' {why}", printable(text)))
                .with_hint("write it as {name}.tmp or .{name}.{uuid}.part")
        };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.iter().position(|&byte| byte == b'{') {
            let (before, field) = rest.split_at(open);
            if !before.is_empty() {
                parts.push(Part::Text(before.to_vec()));
            }
            if let Some(after) = field.strip_prefix(b"{name}") {
                (rest, _) = (after, parts.push(Part::Name));
            } else if let Some(after) = field.strip_prefix(b"{uuid}") {
                (rest, _) = (after, parts.push(Part::Uuid));
            } else {
                return Err(broken("has fields other than {name} and {uuid}"));
            }
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_vec()));
        }
        if text.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return Err(broken("holds a '/', which no name may"));
        }
        if parts == [Part::Name] {
            return Err(broken("is the final name itself"));
        }
        if !parts
            .iter()
            .any(|part| matches!(part, Part::Name | Part::Uuid))
        {
            return Err(broken("is the same for every file"));
        }
        Ok(Self { parts })
    }

    /// Whether no two names made of it are the same.
    pub(crate) fn is_unique(&self) -> bool {
        self.parts.contains(&Part::Uuid)
    }

    /// A new temporary name for the file `name`; its part of that name is cut so that the whole
    /// has at most 255 bytes.
    pub(crate) fn make(&self, name: &[u8]) -> Bytes {
        let uuid = Uuid::new_v4().to_string();
        let fixed: usize = self
            .parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.len(),
                Part::Name => 0,
                Part::Uuid => uuid.len(),
            })
            .sum();
        let names = self
            .parts
            .iter()
            .filter(|part| **part == Part::Name)
            .count();
        let name = cut(name, MAX_NAME.saturating_sub(fixed) / names.max(1));
        let mut made = Vec::with_capacity(MAX_NAME);
        for part in &self.parts {
            made.extend_from_slice(match part {
                Part::Text(text) => text,
                Part::Name => name,
                Part::Uuid => uuid.as_bytes(),
            });
        }
        made.into()
    }
}

impl Default for TemporaryName {
    fn default() -> Self {
        Self {
            parts: vec![
                Part::Text(b".".to_vec()),
                Part::Name,
                Part::Text(b".".to_vec()),
                Part::Uuid,
                Part::Text(PART.to_vec()),
            ],
        }
    }
}

/// How done-files are named: `{name}` with something before or after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DoneFile {
    before: Vec<u8>,
    after: Vec<u8>,
}

impl DoneFile {
    /// Reads a name such as `{name}.done`.
    ///
    /// # Errors
    /// `configuration`: it is no name, has no `{name}`, or is the file's own name.
    pub(crate) fn parse(text: &[u8]) -> Result<Self> {
        const NAME: &[u8] = b"{name}";
        let broken = |what: &str| {
            Error::configuration(format!("the done-file '{}' {what}", printable(text)))
                .with_hint("write it as {name}.done, which for a.csv is a.csv.done")
        };
        let Some(at) = text.windows(NAME.len()).position(|it| it == NAME) else {
            return Err(broken("has no {name}"));
        };
        let (before, after) = (&text[..at], &text[at + NAME.len()..]);
        if before.is_empty() && after.is_empty() {
            return Err(broken("is the file itself"));
        }
        if [before, after]
            .concat()
            .iter()
            .any(|byte| b"{}/\0".contains(byte))
        {
            return Err(broken("is no name beside the file's"));
        }
        Ok(Self {
            before: before.to_vec(),
            after: after.to_vec(),
        })
    }

    /// The name of a file's done-file.
    pub(crate) fn of(&self, name: &[u8]) -> Bytes {
        [&self.before, name, &self.after].concat().into()
    }

    /// Whether this is the done-file of some file.
    pub(crate) fn is_one(&self, name: &[u8]) -> bool {
        name.strip_prefix(&self.before[..])
            .and_then(|rest| rest.strip_suffix(&self.after[..]))
            .is_some_and(|stem| !stem.is_empty())
    }
}

/// The name in `.{name}.{uuid}{end}`.
fn stem_of<'a>(name: &'a [u8], end: &[u8]) -> Option<&'a [u8]> {
    let inner = name.strip_prefix(b".")?.strip_suffix(end)?;
    let (stem, dot_uuid) = inner.split_at_checked(inner.len().checked_sub(DOT_UUID)?)?;
    let uuid = dot_uuid.strip_prefix(b".")?;
    let hyphens = [8, 13, 18, 23];
    uuid.iter()
        .enumerate()
        .all(|(at, byte)| match hyphens.contains(&at) {
            true => *byte == b'-',
            false => byte.is_ascii_hexdigit(),
        })
        .then_some(stem)
}

fn composed(before: &[u8], name: &[u8], after: &[u8], end: &[u8]) -> Bytes {
    let room = MAX_NAME.saturating_sub(before.len() + after.len() + end.len());
    [before, cut(name, room), after, end].concat().into()
}

/// At most `room` bytes of a name, not ending inside a character.
fn cut(name: &[u8], room: usize) -> &[u8] {
    if name.len() <= room {
        return name;
    }
    let mut end = room;
    // At most three continuation bytes belong to a character; more are no UTF-8 anyway.
    while end > room.saturating_sub(4) && name[end] & 0xc0 == 0x80 {
        end -= 1;
    }
    &name[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_goes_before_the_last_extension() {
        let numbered =
            |name: &str, n| String::from_utf8(numbered(name.as_bytes(), n).to_vec()).unwrap();
        assert_eq!(numbered("output.txt", 0), "output.txt");
        assert_eq!(numbered("output.txt", 1), "output1.txt");
        assert_eq!(numbered("a.tar.gz", 2), "a.tar2.gz");
        assert_eq!(numbered(".profile", 3), ".profile3");
        assert_eq!(numbered("plain", 12), "plain12");
        assert_eq!(numbered(&"x".repeat(255), 7).len(), 255);
        assert!(numbered(&format!("{}.txt", "x".repeat(251)), 7).ends_with("x7.txt"));
        assert!(numbered(&format!("a.{}", "x".repeat(253)), 7).ends_with("x7"));
    }

    #[test]
    fn our_own_names_are_known_again_and_no_others() {
        for name in [&b"a.csv"[..], b"", b".hidden", b"x\xff", &[b'n'; 300]] {
            assert!(is_ours(&temporary(name)), "{name:?}");
            assert!(is_backup_of(&backup(name), name));
            assert!(temporary(name).len() <= MAX_NAME);
        }
        assert!(!is_backup_of(&backup(b"a"), b"b"));
        assert!(!is_backup_of(&temporary(b"a"), b"a"));
        assert!(!is_ours(b".a.part"));
        assert!(!is_ours(b"a.7b0c7a8e-0000-4000-8000-000000000000.part"));
        assert!(is_ours(b".a.7b0c7a8e-0000-4000-8000-000000000000.part"));
    }

    #[test]
    fn a_part_has_one_second_name_which_is_ours_too_and_has_none_itself() {
        for name in [&b"a.csv"[..], &[b'n'; 300], b""] {
            let part = temporary(name);
            let second = second_of(&part).unwrap();
            assert!(is_ours(&second));
            assert_eq!(second.len(), part.len());
            assert_ne!(second, part);
            assert_eq!(second_of(&part).unwrap(), second);
            assert_eq!(second_of(&second), None);
        }
        assert_eq!(second_of(b"a.part"), None);
        assert_eq!(second_of(&backup(b"a")), None);
    }

    #[test]
    fn long_names_that_begin_alike_do_not_share_a_backup() {
        let long = |end: &str| format!("{}{end}", "n".repeat(230)).into_bytes();
        let (one, other) = (long("1.csv"), long("2.csv"));
        assert!(is_backup_of(&backup(&one), &one));
        assert!(!is_backup_of(&backup(&one), &other));
        assert!(is_ours(&backup(&one)));
        assert_ne!(backup(&one), backup(&one));
    }

    #[test]
    fn a_name_is_never_cut_inside_a_character() {
        let name = "é".repeat(200);
        let made = temporary(name.as_bytes());
        assert!(std::str::from_utf8(&made).is_ok());
        assert!(made.len() >= MAX_NAME - 1);
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for name in [&b""[..], b".", b"..", b"a/b", b"../x", b"a\0b"] {
            assert!(!is_base_name(name));
        }
        assert!(is_base_name(b"-rf"));
        assert!(is_base_name(b"\xff\n"));
    }

    #[test]
    fn a_temporary_name_follows_its_template() {
        let name = TemporaryName::parse(b"{name}.tmp").unwrap();
        assert_eq!(name.make(b"a.csv"), "a.csv.tmp");
        assert_eq!(name.make(&[b'a'; 300]).len(), MAX_NAME);
        assert!(is_ours(&TemporaryName::default().make(b"a")));
        for broken in [&b"{name}"[..], b"fixed", b"tmp/{name}", b"{nome}", b"{"] {
            assert!(TemporaryName::parse(broken).is_err());
        }
    }
}
