//! `copy-data`: copies within the server, from one open file to another (OpenSSH PROTOCOL §4.10).

use crate::sftp::server::Outcome;
use crate::sftp::server::engine::Inner;
use crate::sftp::server::handles::OpenFile;
use sansftp_proto::sftp::extensions::RequestLengths;
use sansftp_proto::sftp::{Status, StatusCode};

/// Bytes that are copied at a time: what one request may carry.
const PIECE: u64 = RequestLengths::LONGEST as u64;

impl Inner {
    /// Copies `len` bytes, or everything up to the end where `len` is 0. Within one file, what is
    /// read and what is written must not overlap.
    ///
    /// # Errors
    /// [`StatusCode::EOF`] where there are fewer bytes, which are copied then; any failure of the
    /// files, or that the session ended meanwhile.
    pub(super) fn copy(
        &self,
        from: &OpenFile,
        from_offset: u64,
        len: u64,
        to: &OpenFile,
        to_offset: u64,
    ) -> Outcome<()> {
        let mut left = match len {
            0 => None,
            len => Some(len),
        };
        if from.id == to.id {
            // The end is taken from before the copy, which may move it.
            let size = from.file.stat()?.size.ok_or(SIZE_UNKNOWN)?;
            let there = size.saturating_sub(from_offset);
            let length = left.unwrap_or(there);
            if overlap(from_offset, to_offset, length) || to.appends {
                return Err(ONTO_ITSELF);
            }
            left = Some(length);
        }
        let (mut from_offset, mut to_offset) = (from_offset, to_offset);
        while left != Some(0) {
            if self.is_over() {
                return Err(Status::with_text(StatusCode::FAILURE, "the session ended"));
            }
            let piece = left.unwrap_or(PIECE).min(PIECE);
            let piece = usize::try_from(piece).expect("a piece is what one request may carry");
            let data = from.file.read_at(from_offset, piece)?;
            if data.is_empty() {
                return match left {
                    // "until EOF" was asked for
                    None => Ok(()),
                    Some(_) => Err(StatusCode::EOF.into()),
                };
            }
            let copied = data.len() as u64;
            if copied > piece as u64 {
                return Err(Status::new(StatusCode::FAILURE));
            }
            to.file.write_at(to_offset, &data)?;
            from_offset = from_offset.checked_add(copied).ok_or(TOO_FAR)?;
            to_offset = to_offset.checked_add(copied).ok_or(TOO_FAR)?;
            left = left.map(|left| left - copied);
        }
        Ok(())
    }
}

/// Whether two stretches of `length` bytes have a byte in common, or would if files had no end.
fn overlap(one: u64, other: u64, length: u64) -> bool {
    one.abs_diff(other) < length
}

const ONTO_ITSELF: Status = Status::with_text(
    StatusCode::INVALID_PARAMETER,
    "what is to be read and what is to be written overlap",
);
const TOO_FAR: Status = Status::with_text(StatusCode::FAILURE, "no file is that long");
const SIZE_UNKNOWN: Status =
    Status::with_text(StatusCode::FAILURE, "the size of the file is unknown");
