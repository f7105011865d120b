//! File attributes (draft-ietf-secsh-filexfer-02 §5) and the flags of SSH_FXP_OPEN (§6.3).
//!
//! No interpretation beyond the file type: owners are numbers, times are seconds.

use crate::wire::{Field, Malformed, Parsed};
use bytes::{BufMut, BytesMut};
use nom::Parser;
use nom::number::complete::{be_u32, be_u64};
use std::ops::BitOr;

const SIZE: u32 = 0x0000_0001;
const UIDGID: u32 = 0x0000_0002;
const PERMISSIONS: u32 = 0x0000_0004;
const ACMODTIME: u32 = 0x0000_0008;
const EXTENDED: u32 = 0x8000_0000;

/// ATTRS: what is known, or is to be set, of a file. Absent fields are unknown, or are left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "the fields of ATTRS are fixed by the draft"
)]
pub struct Attrs {
    /// Bytes; any u64.
    pub size: Option<u64>,
    /// Owner and group, both or neither.
    pub owner: Option<Owner>,
    /// `st_mode` of POSIX: the permission bits and, where a server sends it, the file type.
    pub permissions: Option<u32>,
    /// Access and modification, both or neither.
    pub times: Option<Times>,
}

/// Owner and group of a file, as the server numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "fixed by the draft")]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// Times of a file: seconds since 1970-01-01 UTC, unsigned, hence until 2106.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "fixed by the draft")]
pub struct Times {
    /// Last access.
    pub atime: u32,
    /// Last modification.
    pub mtime: u32,
}

/// What a file is, by the S_IFMT bits of its permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileType {
    /// S_IFREG
    Regular,
    /// S_IFDIR
    Directory,
    /// S_IFLNK
    Symlink,
    /// S_IFIFO
    Fifo,
    /// S_IFSOCK
    Socket,
    /// S_IFCHR
    CharDevice,
    /// S_IFBLK
    BlockDevice,
    /// Bits that POSIX does not have.
    Other,
}

impl Attrs {
    /// The type of the file; `None` where the server did not send one.
    pub fn file_type(&self) -> Option<FileType> {
        Some(match self.permissions? & 0o170_000 {
            // Permission bits alone, as in SSH_FXP_SETSTAT and from servers that do not tell.
            0 => return None,
            0o100_000 => FileType::Regular,
            0o040_000 => FileType::Directory,
            0o120_000 => FileType::Symlink,
            0o010_000 => FileType::Fifo,
            0o140_000 => FileType::Socket,
            0o020_000 => FileType::CharDevice,
            0o060_000 => FileType::BlockDevice,
            _ => FileType::Other,
        })
    }

    /// Permission bits without the file type, set-id and sticky bits included.
    pub fn mode(&self) -> Option<u32> {
        self.permissions.map(|it| it & 0o7777)
    }
}

impl<'a> Field<'a> for Attrs {
    /// Fields lie in the order of their flags; a flag that the draft does not have would shift all
    /// that follows, so it is refused. Extended attributes are walked over and not kept.
    fn parse(input: &'a [u8]) -> Parsed<'a, Self> {
        let (mut rest, flags) = be_u32(input)?;
        if flags & !(SIZE | UIDGID | PERMISSIONS | ACMODTIME | EXTENDED) != 0 {
            return Err(nom::Err::Error(Malformed("unknown attribute flags")));
        }
        let mut attrs = Self::default();
        if flags & SIZE != 0 {
            let size;
            (rest, size) = be_u64(rest)?;
            attrs.size = Some(size);
        }
        if flags & UIDGID != 0 {
            let (uid, gid);
            (rest, (uid, gid)) = (be_u32, be_u32).parse(rest)?;
            attrs.owner = Some(Owner { uid, gid });
        }
        if flags & PERMISSIONS != 0 {
            let permissions;
            (rest, permissions) = be_u32(rest)?;
            attrs.permissions = Some(permissions);
        }
        if flags & ACMODTIME != 0 {
            let (atime, mtime);
            (rest, (atime, mtime)) = (be_u32, be_u32).parse(rest)?;
            attrs.times = Some(Times { atime, mtime });
        }
        if flags & EXTENDED != 0 {
            let count;
            (rest, count) = be_u32(rest)?;
            // Each pair takes 8 bytes at least, so the loop ends with the input whatever the count.
            for _ in 0..count {
                (rest, _) = (<&[u8]>::parse, <&[u8]>::parse).parse(rest)?;
            }
        }
        Ok((rest, attrs))
    }

    fn write(&self, out: &mut BytesMut) {
        let flag = |present: bool, bit: u32| if present { bit } else { 0 };
        out.put_u32(
            flag(self.size.is_some(), SIZE)
                | flag(self.owner.is_some(), UIDGID)
                | flag(self.permissions.is_some(), PERMISSIONS)
                | flag(self.times.is_some(), ACMODTIME),
        );
        if let Some(size) = self.size {
            out.put_u64(size);
        }
        if let Some(Owner { uid, gid }) = self.owner {
            out.put_u32(uid);
            out.put_u32(gid);
        }
        if let Some(permissions) = self.permissions {
            out.put_u32(permissions);
        }
        if let Some(Times { atime, mtime }) = self.times {
            out.put_u32(atime);
            out.put_u32(mtime);
        }
    }
}

/// `pflags` of SSH_FXP_OPEN (§6.3), joined with `|`.
///
/// "SSH_FXF_CREAT MUST also be specified" with TRUNC and EXCL: there is no way to say one without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFlags(u32);

impl OpenFlags {
    /// SSH_FXF_READ
    pub const READ: Self = Self(0x01);
    /// SSH_FXF_WRITE
    pub const WRITE: Self = Self(0x02);
    /// SSH_FXF_APPEND: every write goes to the end, whatever its offset.
    pub const APPEND: Self = Self(0x04);
    /// SSH_FXF_CREAT: create the file unless it is there.
    pub const CREATE: Self = Self(0x08);
    /// SSH_FXF_CREAT and SSH_FXF_TRUNC: create the file, or empty it.
    pub const TRUNCATE: Self = Self(0x08 | 0x10);
    /// SSH_FXF_CREAT and SSH_FXF_EXCL: create the file, or fail.
    pub const CREATE_NEW: Self = Self(0x08 | 0x20);

    /// Whether everything in `other` is in here.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits of the wire.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl BitOr for OpenFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl<'a> Field<'a> for OpenFlags {
    fn parse(input: &'a [u8]) -> Parsed<'a, Self> {
        let (rest, bits) = be_u32(input)?;
        if bits & !0x3f != 0 {
            return Err(nom::Err::Error(Malformed("unknown open flags")));
        }
        if bits & 0x30 != 0 && bits & 0x08 == 0 {
            return Err(nom::Err::Error(Malformed("TRUNC or EXCL without CREAT")));
        }
        Ok((rest, Self(bits)))
    }

    fn write(&self, out: &mut BytesMut) {
        out.put_u32(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Reader;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<Attrs, Malformed> {
        let mut reader = Reader::new(bytes);
        let attrs = reader.read()?;
        reader.finish().map(|()| attrs)
    }

    fn any_attrs() -> impl Strategy<Value = Attrs> {
        any::<(
            Option<u64>,
            Option<(u32, u32)>,
            Option<u32>,
            Option<(u32, u32)>,
        )>()
        .prop_map(|(size, owner, permissions, times)| Attrs {
            size,
            owner: owner.map(|(uid, gid)| Owner { uid, gid }),
            permissions,
            times: times.map(|(atime, mtime)| Times { atime, mtime }),
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(attrs in any_attrs()) {
            let mut out = BytesMut::new();
            attrs.write(&mut out);
            prop_assert_eq!(read(&out), Ok(attrs));
            for cut in 0..out.len() {
                prop_assert!(read(&out[..cut]).is_err());
            }
        }
    }

    /// draft-ietf-secsh-filexfer-02 §5
    #[test]
    fn fields_lie_in_the_order_of_their_flags() {
        let mut wire = 0x0000_000f_u32.to_be_bytes().to_vec();
        wire.extend(0x1_0000_0002_u64.to_be_bytes());
        for it in [3_u32, 4, 0o100_644, 5, 6] {
            wire.extend(it.to_be_bytes());
        }
        let attrs = read(&wire).unwrap();
        assert_eq!(attrs.size, Some(0x1_0000_0002));
        assert_eq!(attrs.owner, Some(Owner { uid: 3, gid: 4 }));
        assert_eq!(attrs.times, Some(Times { atime: 5, mtime: 6 }));
        assert_eq!(attrs.file_type(), Some(FileType::Regular));
        assert_eq!(attrs.mode(), Some(0o644));
    }

    #[test]
    fn unknown_flags_are_refused() {
        for bit in 4..31 {
            let mut wire = (1_u32 << bit).to_be_bytes().to_vec();
            wire.extend([0; 64]);
            assert_eq!(
                read(&wire),
                Err(Malformed("unknown attribute flags")),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn extended_attributes_are_walked_over_and_their_count_is_not_trusted() {
        let mut wire = EXTENDED.to_be_bytes().to_vec();
        wire.extend(1_u32.to_be_bytes());
        wire.extend(b"\0\0\0\x01a\0\0\0\x02bc");
        assert_eq!(read(&wire), Ok(Attrs::default()));
        wire[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(read(&wire), Err(Malformed("truncated")));
    }

    #[test]
    fn the_file_type_comes_from_the_permissions() {
        for (permissions, expected) in [
            (0o100_600, Some(FileType::Regular)),
            (0o040_755, Some(FileType::Directory)),
            (0o120_777, Some(FileType::Symlink)),
            (0o010_600, Some(FileType::Fifo)),
            (0o140_600, Some(FileType::Socket)),
            (0o020_600, Some(FileType::CharDevice)),
            (0o060_600, Some(FileType::BlockDevice)),
            (0o150_600, Some(FileType::Other)),
            (0o644, None),
        ] {
            let attrs = Attrs {
                permissions: Some(permissions),
                ..Attrs::default()
            };
            assert_eq!(attrs.file_type(), expected, "{permissions:o}");
        }
        assert_eq!(Attrs::default().file_type(), None);
    }

    /// draft-ietf-secsh-filexfer-02 §6.3
    #[test]
    fn truncation_and_exclusion_need_creation() {
        let read = |bits: u32| Reader::new(&bits.to_be_bytes()).read::<OpenFlags>();
        for bits in [0x10, 0x20, 0x12, 0x32] {
            assert_eq!(
                read(bits),
                Err(Malformed("TRUNC or EXCL without CREAT")),
                "{bits:#x}"
            );
        }
        assert_eq!(read(0x40), Err(Malformed("unknown open flags")));
        let flags = OpenFlags::WRITE | OpenFlags::TRUNCATE;
        assert_eq!(read(flags.bits()), Ok(flags));
        assert!(flags.contains(OpenFlags::CREATE) && !flags.contains(OpenFlags::CREATE_NEW));
    }
}
