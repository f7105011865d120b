//! OpenSSH's extensions of SFTP version 3 (its PROTOCOL file §4), and the hashing of files
//! (draft-ietf-secsh-filexfer-extensions-00 §3): what each side announces, and the extended requests
//! and replies, each a type of its own.
//!
//! An extension of OpenSSH's that was not announced with the very version that is known here is not
//! there. The hashing has no version, and is announced under more than one name.

use super::attrs::Attrs;
use super::kind::{self, Expected, Request};
use crate::wire::{Field, Malformed, Message, Parsed, Reader};
use bytes::{BufMut, Bytes, BytesMut};

macro_rules! extensions {
    ($(
        $(#[$meta:meta])*
        $Extension:ident $name:literal $version:literal
        $Message:ident $(<$lt:lifetime>)? { $($field:ident: $ty:ty),* $(,)? } -> $Kind:ident $(, $expected:expr)?;
    )*) => {
        /// An extension that is known here.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Extension {$(
            #[doc = concat!("`", $name, "`, announced with \"", $version, "\"")]
            $Extension,
        )*}

        impl Extension {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$Extension,)*];

            /// Its name, in VERSION and in the requests.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$Extension => $name,)* }
            }

            /// The one version of it that is spoken here; empty where there are none.
            pub const fn version(self) -> &'static str {
                match self { $(Self::$Extension => $version,)* }
            }
        }

        $(
            extensions!(@request [$(#[$meta])*] $Extension $Message [$($lt)?] $Kind ($($field: $ty,)*) $($expected)?);
            extensions!(@sent_by $Message [$($lt)?]);
        )*
    };
    (@sent_by $Message:ident [$($lt:lifetime)?]) => {
        impl $(<$lt>)? crate::wire::SentBy<crate::role::Client> for $Message $(<$lt>)? {}
    };
    (@request [$($meta:tt)*] $Extension:ident $Message:ident [] $Kind:ident ($($field:ident: $ty:ty,)*) $($expected:expr)?) => {
        extensions!(@impl [$($meta)*] $Extension ($Message) 'm ($Message) $Kind ($($field: $ty,)*) $($expected)?);
    };
    (@request [$($meta:tt)*] $Extension:ident $Message:ident [$lt:lifetime] $Kind:ident ($($field:ident: $ty:ty,)*) $($expected:expr)?) => {
        extensions!(@impl [$($meta)*] $Extension ($Message<$lt>) $lt ($Message<$lt>) $Kind ($($field: $ty,)*) $($expected)?);
    };
    (@impl [$($meta:tt)*] $Extension:ident ($($Declared:tt)*) $lt:lifetime ($Type:ty) $Kind:ident ($($field:ident: $ty:ty,)*) $($expected:expr)?) => {
        $($meta)*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[expect(clippy::exhaustive_structs, reason = "the fields are fixed by the extension's version")]
        pub struct $($Declared)* {$(
            #[doc = concat!("The field `", stringify!($field), "` of the extension.")]
            pub $field: $ty,
        )*}

        impl<$lt> Message<$lt> for $Type {
            const NUMBER: u8 = 200;
            const NAME: &'static str = Extension::$Extension.name();
            type Layer = crate::wire::Sftp;

            fn read_body(reader: &mut Reader<$lt>) -> Result<Self, Malformed> {
                if reader.read::<&[u8]>()? != Self::NAME.as_bytes() {
                    return Err(Malformed("another extension"));
                }
                Ok(Self { $($field: reader.read()?,)* })
            }

            fn write_body(&self, out: &mut BytesMut) {
                Self::NAME.write(out);
                $(self.$field.write(out);)*
            }
        }

        impl<$lt> Request<$lt> for $Type {
            type Reply = kind::$Kind;

            $(fn expected(&self) -> Expected {
                ($expected)(self)
            })?
        }
    };
}

extensions! {
    /// PROTOCOL §4.3: renames as POSIX does, over an existing target.
    PosixRename "posix-rename@openssh.com" "1"
        PosixRename<'a> { oldpath: &'a [u8], newpath: &'a [u8] } -> Status;
    /// PROTOCOL §4.4
    Statvfs "statvfs@openssh.com" "2"
        Statvfs<'a> { path: &'a [u8] } -> FileSystem;
    /// PROTOCOL §4.4
    Fstatvfs "fstatvfs@openssh.com" "2"
        Fstatvfs<'a> { handle: &'a [u8] } -> FileSystem;
    /// PROTOCOL §4.5
    Hardlink "hardlink@openssh.com" "1"
        Hardlink<'a> { oldpath: &'a [u8], newpath: &'a [u8] } -> Status;
    /// PROTOCOL §4.6
    Fsync "fsync@openssh.com" "1"
        Fsync<'a> { handle: &'a [u8] } -> Status;
    /// PROTOCOL §4.7: SETSTAT that does not follow links.
    Lsetstat "lsetstat@openssh.com" "1"
        Lsetstat<'a> { path: &'a [u8], attrs: Attrs } -> Status;
    /// PROTOCOL §4.8
    Limits "limits@openssh.com" "1"
        GetLimits {} -> ServerLimits;
    /// PROTOCOL §4.9: REALPATH that knows `~`.
    ExpandPath "expand-path@openssh.com" "1"
        ExpandPath<'a> { path: &'a [u8] } -> Path;
    /// PROTOCOL §4.10: `read_data_length` 0 copies to the end of the file.
    CopyData "copy-data" "1"
        CopyData<'a> {
            read_from_handle: &'a [u8],
            read_from_offset: u64,
            read_data_length: u64,
            write_to_handle: &'a [u8],
            write_to_offset: u64,
        } -> Status;
    /// PROTOCOL §4.11
    HomeDirectory "home-directory" "1"
        HomeDirectory<'a> { username: &'a [u8] } -> Path;
    /// PROTOCOL §4.12
    UsersGroupsById "users-groups-by-id@openssh.com" "1"
        UsersGroupsById<'a> { uids: Ids<'a>, gids: Ids<'a> } -> Owners,
        |it: &Self| Expected::OwnerNames { users: it.uids.len(), groups: it.gids.len() };
    /// draft-ietf-secsh-filexfer-extensions-00 §3: hashes of an open file. A `length` of 0 goes to the
    /// end of the file, a `block_size` of 0 is one hash over all of it.
    CheckFileHandle "check-file-handle" ""
        CheckFileHandle<'a> {
            handle: &'a [u8],
            hash_algorithm_list: &'a [u8],
            start_offset: u64,
            length: u64,
            block_size: u32,
        } -> Hashes;
    /// draft-ietf-secsh-filexfer-extensions-00 §3: the same of a file by its name.
    CheckFileName "check-file-name" ""
        CheckFileName<'a> {
            name: &'a [u8],
            hash_algorithm_list: &'a [u8],
            start_offset: u64,
            length: u64,
            block_size: u32,
        } -> Hashes;
}

impl Extension {
    /// The extension of this name.
    pub fn named(name: &[u8]) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|it| it.name().as_bytes() == name)
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// The extensions that one side announced in INIT or VERSION, those apart that nobody here knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extensions(u16);

impl Extensions {
    /// Everything that is known here.
    pub const ALL: Self = Self((1 << Extension::ALL.len()) - 1);

    /// Those that OpenSSH's `sftp-server` has: all but the hashing of files.
    pub const OPENSSH: Self = Self::ALL
        .without(Extension::CheckFileHandle)
        .without(Extension::CheckFileName);

    /// No extension.
    pub const NONE: Self = Self(0);

    /// Whether `extension` was announced, in the version that is spoken here.
    pub const fn contains(self, extension: Extension) -> bool {
        self.0 & extension.bit() != 0
    }

    /// The same with `extension`.
    #[must_use]
    pub const fn with(self, extension: Extension) -> Self {
        Self(self.0 | extension.bit())
    }

    /// The same without `extension`.
    #[must_use]
    pub const fn without(self, extension: Extension) -> Self {
        Self(self.0 & !extension.bit())
    }

    /// Everything that is in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The extensions in the order of PROTOCOL §4, then those of others.
    pub fn iter(self) -> impl Iterator<Item = Extension> {
        Extension::ALL
            .iter()
            .copied()
            .filter(move |&it| self.contains(it))
    }
}

impl Extensions {
    /// Both ways to have a file hashed.
    const CHECK_FILE: Self = Self::NONE
        .with(Extension::CheckFileHandle)
        .with(Extension::CheckFileName);

    /// What one pair of name and data announces.
    fn announced_by(name: &[u8], data: &[u8]) -> Self {
        match name {
            // Lists of later versions, which servers send to clients of this one, too. What is wrong
            // with them is nobody's concern here.
            b"supported" => Self::in_supported(data).unwrap_or(Self::NONE),
            b"supported2" => Self::in_supported2(data).unwrap_or(Self::NONE),
            _ => match Extension::named(name) {
                Some(extension) if data == extension.version().as_bytes() => {
                    Self::NONE.with(extension)
                }
                _ => Self::check_file_by(name),
            },
        }
    }

    /// Whether the hashing of files goes by this name: the draft's own for both its requests, or that
    /// of one of them.
    fn check_file_by(name: &[u8]) -> Self {
        match name {
            b"check-file" => Self::CHECK_FILE,
            b"check-file-handle" => Self::NONE.with(Extension::CheckFileHandle),
            b"check-file-name" => Self::NONE.with(Extension::CheckFileName),
            _ => Self::NONE,
        }
    }

    /// draft-ietf-secsh-filexfer-05 §4.4: five numbers, then names to the end.
    fn in_supported(data: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(data);
        for _ in 0..5 {
            reader.read::<u32>()?;
        }
        let mut announced = Self::NONE;
        while !reader.remaining().is_empty() {
            announced = announced.union(Self::check_file_by(reader.read()?));
        }
        Ok(announced)
    }

    /// draft-ietf-secsh-filexfer-13 §5.4: five numbers, two numbers of 16 bits, counted names of
    /// attributes, counted names of extensions.
    fn in_supported2(data: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(data);
        for _ in 0..6 {
            reader.read::<u32>()?;
        }
        for _ in 0..reader.read::<u32>()? {
            reader.read::<&[u8]>()?;
        }
        let mut announced = Self::NONE;
        for _ in 0..reader.read::<u32>()? {
            announced = announced.union(Self::check_file_by(reader.read()?));
        }
        Ok(announced)
    }
}

/// Pairs of name and data to the end of the message (draft-ietf-secsh-filexfer-02 §4). Both must
/// match for an extension to count (PROTOCOL §4.2), where it has versions.
impl<'a> Field<'a> for Extensions {
    fn parse(input: &'a [u8]) -> Parsed<'a, Self> {
        let (mut rest, mut announced) = (input, Self::NONE);
        while !rest.is_empty() {
            let (name, data);
            (rest, name) = <&[u8]>::parse(rest)?;
            (rest, data) = <&[u8]>::parse(rest)?;
            announced = announced.union(Self::announced_by(name, data));
        }
        Ok((rest, announced))
    }

    fn write(&self, out: &mut BytesMut) {
        for extension in self.iter() {
            extension.name().write(out);
            extension.version().write(out);
        }
    }
}

crate::messages! { Sftp from server;
    /// The reply to `limits@openssh.com` (PROTOCOL §4.8); in each field 0 says that there is no limit.
    201 Limits {
        max_packet_length: u64,
        max_read_length: u64,
        max_write_length: u64,
        max_open_handles: u64,
    }
    /// The reply to `statvfs@openssh.com` and `fstatvfs@openssh.com` (PROTOCOL §4.4): `struct statvfs`
    /// of POSIX, with sizes in blocks of `f_frsize` bytes.
    201 StatVfs {
        f_bsize: u64,
        f_frsize: u64,
        f_blocks: u64,
        f_bfree: u64,
        f_bavail: u64,
        f_files: u64,
        f_ffree: u64,
        f_favail: u64,
        f_fsid: u64,
        f_flag: u64,
        f_namemax: u64,
    }
}

/// Bytes of data that one READ or WRITE may carry.
///
/// [`max_open_handles`](Limits::max_open_handles) has no part in it: it counts files, not requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestLengths {
    /// Bytes to ask for in one READ; 1 to [`Self::LONGEST`].
    pub read: u32,
    /// Bytes to send in one WRITE; 1 to [`Self::LONGEST`].
    pub write: u32,
}

impl RequestLengths {
    /// 255 KiB, which OpenSSH takes in one message with its header.
    pub const LONGEST: u32 = 255 * 1024;

    /// What every server takes (draft-ietf-secsh-filexfer-02 §3), for those that announce nothing.
    pub const UNANNOUNCED: Self = Self {
        read: 32 * 1024,
        write: 32 * 1024,
    };
}

impl From<&Limits> for RequestLengths {
    fn from(limits: &Limits) -> Self {
        // What type, id, handle, offset and length can take of a message.
        const HEADER: u64 = 1024;
        let bounded = |own: u64| {
            let packet = match limits.max_packet_length {
                0 => u64::MAX,
                packet => packet.saturating_sub(HEADER),
            };
            let own = if own == 0 { u64::MAX } else { own };
            let length = own.min(packet).clamp(1, u64::from(Self::LONGEST));
            u32::try_from(length).expect("LONGEST fits into 32 bits")
        };
        Self {
            read: bounded(limits.max_read_length),
            write: bounded(limits.max_write_length),
        }
    }
}

/// Numbers of users or groups as `users-groups-by-id@openssh.com` packs them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids<'a>(&'a [u8]);

impl<'a> Ids<'a> {
    /// Packs `ids` into `buffer`.
    pub fn pack(ids: &[u32], buffer: &'a mut BytesMut) -> Self {
        buffer.clear();
        ids.iter().for_each(|&id| buffer.put_u32(id));
        Self(buffer)
    }

    /// The numbers in their order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.0
            .as_chunks()
            .0
            .iter()
            .map(|&it| u32::from_be_bytes(it))
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.0.len() / 4
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> Field<'a> for Ids<'a> {
    fn parse(input: &'a [u8]) -> Parsed<'a, Self> {
        let (rest, packed) = <&[u8]>::parse(input)?;
        if packed.len() % 4 != 0 {
            return Err(nom::Err::Error(Malformed("ids are not whole numbers")));
        }
        Ok((rest, Self(packed)))
    }

    fn write(&self, out: &mut BytesMut) {
        self.0.write(out);
    }
}

/// The reply to `users-groups-by-id@openssh.com` (PROTOCOL §4.12): names in the order of the
/// question, empty where the server knows none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "fixed by the extension's version"
)]
pub struct OwnerNames {
    /// Names of users.
    pub users: Vec<Bytes>,
    /// Names of groups.
    pub groups: Vec<Bytes>,
}

impl OwnerNames {
    pub(super) fn read(body: &Bytes) -> Result<Self, Malformed> {
        let names = |packed: &[u8]| {
            let mut reader = Reader::new(packed);
            let mut names = Vec::new();
            while !reader.remaining().is_empty() {
                names.push(body.slice_ref(reader.read()?));
            }
            Ok(names)
        };
        let mut reader = Reader::new(body);
        let (users, groups) = (names(reader.read()?)?, names(reader.read()?)?);
        reader.finish().map(|()| Self { users, groups })
    }

    pub(super) fn write(&self, out: &mut BytesMut) {
        for names in [&self.users, &self.groups] {
            let mut packed = BytesMut::new();
            names.iter().for_each(|name| (&**name).write(&mut packed));
            (&*packed).write(out);
        }
    }
}

/// The reply to `check-file-handle` and `check-file-name`
/// (draft-ietf-secsh-filexfer-extensions-00 §3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[expect(clippy::exhaustive_structs, reason = "fixed by the draft")]
pub struct FileHashes {
    /// Which algorithm of the list that was asked for was used; whatever the server says.
    pub algorithm: Bytes,
    /// The hashes of the blocks, one behind the other, as they came: the server may have put a length
    /// before each.
    pub hashes: Bytes,
}

impl FileHashes {
    /// The one hash of `N` bytes that there is, where there is exactly one.
    ///
    /// The draft puts nothing around it; some servers write it as a string.
    pub fn only<const N: usize>(&self) -> Option<[u8; N]> {
        let bare = match self.hashes.split_first_chunk::<4>() {
            Some((length, rest))
                if rest.len() == N && u32::from_be_bytes(*length) as usize == N =>
            {
                rest
            }
            _ => &self.hashes,
        };
        bare.try_into().ok()
    }

    pub(super) fn read(body: &Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body);
        let mut algorithm: &[u8] = reader.read()?;
        // As draft-ietf-secsh-filexfer-09 §9.1.2 has it, which servers follow: the extension's name
        // goes before. No algorithm is called so.
        if algorithm == b"check-file" {
            algorithm = reader.read()?;
        }
        Ok(Self {
            algorithm: body.slice_ref(algorithm),
            hashes: body.slice_ref(reader.remaining()),
        })
    }

    pub(super) fn write(&self, out: &mut BytesMut) {
        (&*self.algorithm).write(out);
        out.put_slice(&self.hashes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announced(pairs: &[(&str, &str)]) -> Result<Extensions, Malformed> {
        let mut out = BytesMut::new();
        for (name, version) in pairs {
            name.write(&mut out);
            version.write(&mut out);
        }
        Reader::new(&out).read()
    }

    /// OpenSSH PROTOCOL §4.2
    #[test]
    fn name_and_version_must_both_match() {
        let statvfs = |version| announced(&[("statvfs@openssh.com", version)]).unwrap();
        assert!(statvfs("2").contains(Extension::Statvfs));
        for version in ["1", "", "02", "2\0", "3"] {
            assert_eq!(statvfs(version), Extensions::NONE, "{version:?}");
        }
        assert_eq!(
            announced(&[("statvfs", "2"), ("copy-data@openssh.com", "1")]),
            Ok(Extensions::NONE)
        );
    }

    #[test]
    fn unknown_extensions_are_passed_over() {
        let pairs = [
            ("vendor-id", "\0\0\x01"),
            ("fsync@openssh.com", "1"),
            ("", ""),
        ];
        assert_eq!(
            announced(&pairs),
            Ok(Extensions::NONE.with(Extension::Fsync))
        );
        assert_eq!(
            Reader::new(b"\0\0\0\x01a").read::<Extensions>(),
            Err(Malformed("truncated"))
        );
    }

    #[test]
    fn what_is_announced_is_understood() {
        let mut out = BytesMut::new();
        Extensions::ALL.write(&mut out);
        assert_eq!(Reader::new(&out).read(), Ok(Extensions::ALL));
        assert_eq!(Extensions::ALL.iter().count(), 13);
        assert_eq!(Extensions::OPENSSH.iter().count(), 11);
        assert!(
            !Extensions::ALL
                .without(Extension::CopyData)
                .contains(Extension::CopyData)
        );
    }

    /// draft-ietf-secsh-filexfer-extensions-00 §3 names `check-file`; servers announce the requests'
    /// own names, too, and all of them where later versions list what they have.
    #[test]
    fn the_hashing_of_files_is_announced_under_each_of_its_names() {
        let handle = Extensions::NONE.with(Extension::CheckFileHandle);
        let name = Extensions::NONE.with(Extension::CheckFileName);
        for (said, expected) in [
            ("check-file", Extensions::CHECK_FILE),
            ("check-file-handle", handle),
            ("check-file-name", name),
            ("check-file@openssh.com", Extensions::NONE),
        ] {
            for data in ["", "1", "md5,sha256"] {
                assert_eq!(announced(&[(said, data)]), Ok(expected), "{said} {data}");
            }
        }
        let string = |it: &str| [&(it.len() as u32).to_be_bytes()[..], it.as_bytes()].concat();
        let names = [string("copy-file"), string("check-file-name")].concat();
        let supported = [&[0; 20][..], &names].concat();
        let two = [0, 0, 0, 2];
        let supported2 = [&[0; 24][..], &two, &names, &two, &names].concat();
        for (said, data) in [("supported", supported), ("supported2", supported2)] {
            for cut in 0..=data.len() {
                let mut out = BytesMut::new();
                said.write(&mut out);
                data.get(..cut).unwrap().write(&mut out);
                let expected = if cut == data.len() {
                    name
                } else {
                    Extensions::NONE
                };
                let found = Reader::new(&out).read::<Extensions>();
                assert_eq!(found, Ok(expected), "{said} cut at {cut}");
            }
        }
        let many = [&[0; 24][..], &[0xff; 4]].concat();
        let mut out = BytesMut::new();
        "supported2".write(&mut out);
        (&*many).write(&mut out);
        assert_eq!(
            Reader::new(&out).read(),
            Ok(Extensions::NONE),
            "counts size nothing"
        );
    }

    /// The two replies that there are, draft-ietf-secsh-filexfer-extensions-00 §3 and
    /// draft-ietf-secsh-filexfer-09 §9.1.2.
    #[test]
    fn file_hashes_are_read_with_and_without_the_name_before_them() {
        let string = |it: &[u8]| [&(it.len() as u32).to_be_bytes()[..], it].concat();
        let read = |body: Vec<u8>| FileHashes::read(&body.into());
        let expected = FileHashes {
            algorithm: "sha256".into(),
            hashes: Bytes::from_static(&[7; 32]),
        };
        let bare = [string(b"sha256"), vec![7; 32]].concat();
        assert_eq!(read(bare.clone()), Ok(expected.clone()));
        assert_eq!(
            read([string(b"check-file"), bare.clone()].concat()),
            Ok(expected.clone())
        );
        assert_eq!(expected.only(), Some([7; 32]));
        assert_eq!(expected.only::<16>(), None, "two of them");
        let prefixed = read([string(b"sha256"), string(&[7; 32])].concat()).unwrap();
        assert_eq!(prefixed.only(), Some([7; 32]));
        assert_eq!(read(string(b"sha256")).unwrap().only::<32>(), None);
        for cut in 0..10 {
            assert!(read(bare[..cut].to_vec()).is_err(), "cut at {cut}");
        }
        let mut out = BytesMut::new();
        expected.write(&mut out);
        assert_eq!(out, bare);
    }

    #[test]
    fn an_extended_request_carries_its_name() {
        let mut out = BytesMut::new();
        Hardlink {
            oldpath: b"a",
            newpath: b"b",
        }
        .write(&mut out);
        assert_eq!(
            out,
            &b"\xc8\0\0\0\x14hardlink@openssh.com\0\0\0\x01a\0\0\0\x01b"[..]
        );
        let mut reader = Reader::new(&out[1..]);
        assert_eq!(
            PosixRename::read_body(&mut reader),
            Err(Malformed("another extension"))
        );
    }

    /// OpenSSH PROTOCOL §4.8: 0 is no limit, and open handles are no count of requests.
    #[test]
    fn request_lengths_follow_the_limits() {
        let lengths = |packet, read, write| {
            let limits = Limits {
                max_packet_length: packet,
                max_read_length: read,
                max_write_length: write,
                max_open_handles: 5,
            };
            let lengths = RequestLengths::from(&limits);
            (lengths.read, lengths.write)
        };
        assert_eq!(lengths(256 * 1024, 261_120, 261_120), (261_120, 261_120));
        assert_eq!(lengths(0, 0, 0), (261_120, 261_120));
        assert_eq!(lengths(u64::MAX, u64::MAX, 4096), (261_120, 4096));
        assert_eq!(lengths(34_000, 0, 1), (32_976, 1));
        assert_eq!(lengths(7, 0, 0), (1, 1));
    }

    #[test]
    fn ids_are_whole_numbers() {
        let mut buffer = BytesMut::new();
        let ids = Ids::pack(&[0, u32::MAX], &mut buffer);
        assert_eq!(
            (ids.len(), ids.iter().collect::<Vec<_>>()),
            (2, vec![0, u32::MAX])
        );
        let odd = Reader::new(b"\0\0\0\x05\0\0\0\0\0").read::<Ids<'_>>();
        assert_eq!(odd, Err(Malformed("ids are not whole numbers")));
    }

    #[test]
    fn owner_names_are_read_as_written() {
        let names = OwnerNames {
            users: vec!["root".into(), "".into()],
            groups: Vec::new(),
        };
        let mut out = BytesMut::new();
        names.write(&mut out);
        let body = out.freeze();
        assert_eq!(OwnerNames::read(&body), Ok(names));
        for cut in 0..body.len() {
            assert!(
                OwnerNames::read(&body.slice(..cut)).is_err(),
                "cut at {cut}"
            );
        }
    }
}
