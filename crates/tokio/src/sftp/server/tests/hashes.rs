//! Hashes of files, computed where they lie.

use super::*;
use sansftp_proto::sftp::Extensions;
use sansftp_proto::sftp::extensions::{CheckFileHandle, CheckFileName, FileHashes};

/// draft-ietf-secsh-filexfer-extensions-00 §3
#[test]
fn files_are_hashed_where_the_file_system_has_a_hash() {
    /// Its hash is the sum of the bytes.
    #[derive(Debug)]
    struct Summing(MemFs);
    struct Sum(u16);
    impl Hasher for Sum {
        fn update(&mut self, data: &[u8]) {
            self.0 += data.iter().map(|&byte| u16::from(byte)).sum::<u16>();
        }
        fn finish(&mut self) -> Bytes {
            Bytes::copy_from_slice(&std::mem::take(&mut self.0).to_be_bytes())
        }
    }
    impl FileSystem for Summing {
        fn extensions(&self) -> Extensions {
            Extensions::ALL
        }
        fn open(&self, path: &[u8], flags: OpenFlags, attrs: &Attrs) -> Outcome<Arc<dyn File>> {
            self.0.open(path, flags, attrs)
        }
        fn open_dir(&self, path: &[u8]) -> Outcome<Box<dyn Directory>> {
            self.0.open_dir(path)
        }
        fn stat(&self, path: &[u8]) -> Outcome<Attrs> {
            self.0.stat(path)
        }
        fn real_path(&self, path: &[u8]) -> Outcome<Bytes> {
            self.0.real_path(path)
        }
        fn hasher(&self, algorithm: &[u8]) -> Option<Box<dyn Hasher>> {
            (algorithm == b"sum").then(|| Box::new(Sum(0)) as Box<dyn Hasher>)
        }
    }
    let fs = MemFs::default();
    fs.put(b"/f", &[1; 600]).unwrap();
    fs.put(b"/empty", b"").unwrap();
    let mut session = Session::of(Summing(fs), Options::default());
    let handle = session.open(b"/f", OpenFlags::READ);
    let by_name = |name| CheckFileName {
        name,
        hash_algorithm_list: b"sha256,sum",
        start_offset: 0,
        length: 0,
        block_size: 0,
    };
    for (start_offset, length, block_size, expected) in [
        (0, 0, 0, &[600][..]),
        (100, 0, 0, &[500]),
        (100, 20, 0, &[20]),
        (590, 20, 0, &[10]),
        (600, 0, 0, &[0]),
        (u64::MAX, u64::MAX, 0, &[0]),
        (0, 0, 256, &[256, 256, 88]),
        (0, 512, 256, &[256, 256]),
        (600, 0, 256, &[]),
    ] {
        let expected = FileHashes {
            algorithm: "sum".into(),
            hashes: expected
                .iter()
                .flat_map(|it: &u16| it.to_be_bytes())
                .collect(),
        };
        let of_name = CheckFileName {
            start_offset,
            length,
            block_size,
            ..by_name(b"/f")
        };
        let of_handle = CheckFileHandle {
            handle: handle.as_bytes(),
            hash_algorithm_list: b"sum",
            start_offset,
            length,
            block_size,
        };
        assert_eq!(session.ask(&of_name), Ok(expected.clone()), "{of_name:?}");
        assert_eq!(session.ask(&of_handle), Ok(expected), "{of_handle:?}");
    }
    let empty = session.ask(&by_name(b"/empty")).unwrap();
    assert_eq!(empty.hashes, [0, 0][..]);
    for (refused, code) in [
        (by_name(b"/none"), StatusCode::NO_SUCH_FILE),
        (
            CheckFileName {
                block_size: 255,
                ..by_name(b"/f")
            },
            StatusCode::INVALID_PARAMETER,
        ),
        (
            CheckFileName {
                hash_algorithm_list: b"md5,,summ",
                ..by_name(b"/f")
            },
            StatusCode::INVALID_PARAMETER,
        ),
    ] {
        assert_eq!(session.code(&refused), code, "{refused:?}");
    }
    assert_eq!(session.close(&handle), StatusCode::OK);
}
