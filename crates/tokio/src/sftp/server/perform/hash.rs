//! `check-file-handle` and `check-file-name`: hashes of a file, computed where it lies
//! (draft-ietf-secsh-filexfer-extensions-00 §3).
//!
//! Not the hash functions: these are the file system's to have.

use crate::sftp::server::engine::Inner;
use crate::sftp::server::{File, Hasher, Outcome};
use bytes::{Bytes, BytesMut};
use sansftp_proto::limits;
use sansftp_proto::sftp::extensions::{FileHashes, RequestLengths};
use sansftp_proto::sftp::{Status, StatusCode};

/// Bytes that are read at a time: what one request may carry.
const PIECE: u64 = RequestLengths::LONGEST as u64;

/// "The block-size MUST NOT be smaller than 256 bytes" (§3).
const SMALLEST_BLOCK: u32 = 256;

/// What is to be hashed, and how.
pub(super) struct Wanted<'a> {
    /// Names with commas between them, the best first.
    pub(super) algorithms: &'a [u8],
    pub(super) offset: u64,
    /// 0 is up to the end of the file.
    pub(super) len: u64,
    /// 0 is one hash over all of it.
    pub(super) block_size: u32,
}

impl Inner {
    /// The hashes of the blocks of a file, the last of which may be shorter.
    ///
    /// # Errors
    /// [`StatusCode::INVALID_PARAMETER`] for blocks that are too small, or where no algorithm is
    /// known; [`StatusCode::FAILURE`] for more hashes than one answer holds, or where the session
    /// ended meanwhile; any failure of the file.
    pub(super) fn hash(&self, file: &dyn File, wanted: &Wanted<'_>) -> Outcome<FileHashes> {
        if (1..SMALLEST_BLOCK).contains(&wanted.block_size) {
            return Err(BLOCK_TOO_SMALL);
        }
        let names = wanted.algorithms.split(|&byte| byte == b',');
        let mut known = names.filter_map(|name| Some((name, self.fs.hasher(name)?)));
        let (name, mut hasher) = known.next().ok_or(NO_ALGORITHM)?;
        let block = match wanted.block_size {
            0 => u64::MAX,
            size => u64::from(size),
        };
        let mut left = match wanted.len {
            0 => u64::MAX,
            len => len,
        };
        let (mut offset, mut in_block) = (wanted.offset, 0);
        let mut hashes = BytesMut::new();
        while left > 0 {
            if self.is_over() {
                return Err(Status::with_text(StatusCode::FAILURE, "the session ended"));
            }
            let most = left.min(block - in_block).min(PIECE);
            let piece = usize::try_from(most).expect("a piece is what one request may carry");
            let data = file.read_at(offset, piece)?;
            if data.is_empty() {
                break;
            }
            if data.len() > piece {
                return Err(Status::new(StatusCode::FAILURE));
            }
            let read = data.len() as u64;
            offset = offset.checked_add(read).ok_or(TOO_FAR)?;
            left -= read;
            for part in data.pieces() {
                hasher.update(part);
            }
            in_block += read;
            if in_block == block {
                put(&mut hashes, &mut *hasher)?;
                in_block = 0;
            }
        }
        if in_block > 0 || wanted.block_size == 0 {
            put(&mut hashes, &mut *hasher)?;
        }
        Ok(FileHashes {
            algorithm: Bytes::copy_from_slice(name),
            hashes: hashes.freeze(),
        })
    }
}

/// One more hash, if the answer has room for it.
fn put(hashes: &mut BytesMut, hasher: &mut dyn Hasher) -> Outcome<()> {
    hashes.extend_from_slice(&hasher.finish());
    match hashes.len() <= limits::SFTP_MESSAGE {
        true => Ok(()),
        false => Err(TOO_MANY),
    }
}

const BLOCK_TOO_SMALL: Status = Status::with_text(
    StatusCode::INVALID_PARAMETER,
    "blocks have at least 256 bytes",
);
const NO_ALGORITHM: Status = Status::with_text(
    StatusCode::INVALID_PARAMETER,
    "none of these algorithms is known here",
);
const TOO_MANY: Status =
    Status::with_text(StatusCode::FAILURE, "the hashes do not fit into a message");
const TOO_FAR: Status = Status::with_text(StatusCode::FAILURE, "no file is that long");
