//! What replies are made of: handles and directory entries (draft-ietf-secsh-filexfer-02 §6.2, §7).

use super::attrs::Attrs;
use crate::limits;
use crate::wire::{Field, Malformed, Reader};
use bytes::{Bytes, BytesMut};
use std::fmt;

/// Names an open file or directory: opaque to the client, meaningful to the server, 256 bytes at most.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle(Bytes);

impl Handle {
    /// A handle of these bytes; `None` when they are more than 256 (§6.2).
    pub fn new(bytes: Bytes) -> Option<Self> {
        (bytes.len() <= limits::SFTP_HANDLE).then_some(Self(bytes))
    }

    /// The bytes, as requests take them.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.0.escape_ascii())
    }
}

/// One name of SSH_FXP_NAME (§7).
#[derive(Clone, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the fields of a name are fixed by the draft"
)]
pub struct Entry {
    /// The name, without its directory.
    pub filename: Bytes,
    /// A line as `ls -l` writes it: for display only, may be anything, may be empty.
    pub longname: Bytes,
    /// What the server knows of the file.
    pub attrs: Attrs,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field(
                "filename",
                &format_args!("\"{}\"", self.filename.escape_ascii()),
            )
            .field("attrs", &self.attrs)
            .finish_non_exhaustive()
    }
}

impl Entry {
    /// The names of one SSH_FXP_NAME, cut out of `body`. The count sizes nothing: each name must be
    /// there before there is room for the next.
    pub(super) fn read_all(body: &Bytes) -> Result<Vec<Self>, Malformed> {
        let mut reader = Reader::new(body);
        let count: u32 = reader.read()?;
        let mut entries = Vec::new();
        for _ in 0..count {
            let filename: &[u8] = reader.read()?;
            let longname: &[u8] = reader.read()?;
            entries.push(Self {
                filename: body.slice_ref(filename),
                longname: body.slice_ref(longname),
                attrs: reader.read()?,
            });
        }
        reader.finish().map(|()| entries)
    }

    /// The inverse, without the count.
    pub(super) fn write_all<'a>(entries: impl IntoIterator<Item = &'a Self>, out: &mut BytesMut) {
        for entry in entries {
            (&*entry.filename).write(out);
            (&*entry.longname).write(out);
            entry.attrs.write(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::BufMut;

    fn entry(name: &'static [u8], longname: &'static [u8]) -> Entry {
        let attrs = Attrs {
            size: Some(3),
            ..Attrs::default()
        };
        Entry {
            filename: name.into(),
            longname: longname.into(),
            attrs,
        }
    }

    #[test]
    fn handles_have_256_bytes_at_most() {
        assert!(Handle::new(vec![0; 256].into()).is_some());
        assert!(Handle::new(vec![0; 257].into()).is_none());
    }

    /// draft-ietf-secsh-filexfer-02 §7: the long name is for people, whatever is in it.
    #[test]
    fn names_are_read_whole_or_not_at_all() {
        let entries = [
            entry(b"a\xff", b""),
            entry(b"", b"\x1b[2J anything"),
            entry(b"c/d", b"x"),
        ];
        let mut out = BytesMut::new();
        out.put_u32(3);
        Entry::write_all(&entries, &mut out);
        let body = out.freeze();
        assert_eq!(Entry::read_all(&body).unwrap(), entries);
        for cut in 0..body.len() {
            assert!(Entry::read_all(&body.slice(..cut)).is_err(), "cut at {cut}");
        }
        let mut long = body.to_vec();
        long.push(0);
        assert_eq!(
            Entry::read_all(&long.into()),
            Err(Malformed("trailing bytes"))
        );
    }

    #[test]
    fn the_count_of_names_is_not_trusted() {
        let body = Bytes::from_static(&[0xff; 4]);
        assert_eq!(Entry::read_all(&body), Err(Malformed("truncated")));
    }
}
