//! File contents in pieces, and the two ends of the byte stream: framing on the way in (§3 of
//! draft-ietf-secsh-filexfer-02), headers and riding data on the way out.
//!
//! Pieces are never joined to be looked at, only where they are too small to be worth keeping.

use crate::error::{Error, PeerMisbehaved};
use crate::limits;
use crate::wire::{Field, Message};
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::VecDeque;
use std::{fmt, mem};

/// File contents as they came off the wire, or are to go there: pieces, never copied together.
#[derive(Clone, Default)]
pub struct Data {
    /// Empty only when everything is; so that one piece, the usual case, costs no allocation.
    front: Bytes,
    /// None of them empty.
    rest: VecDeque<Bytes>,
    len: usize,
}

impl Data {
    /// Appends a piece.
    pub fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        self.len += piece.len();
        if self.front.is_empty() {
            self.front = piece;
        } else {
            self.rest.push_back(piece);
        }
    }

    /// Takes the first piece off.
    pub fn pop(&mut self) -> Option<Bytes> {
        (self.len > 0).then(|| self.take_piece(usize::MAX))
    }

    /// Takes `len` bytes off the front, or all there are if they are fewer.
    #[must_use]
    pub fn split_to(&mut self, len: usize) -> Self {
        let mut taken = Self::default();
        while taken.len < len && self.len > 0 {
            taken.push(self.take_piece(len - taken.len));
        }
        taken
    }

    /// Bytes in all pieces.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there is nothing.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces in order, none of them empty.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        std::iter::once(&self.front)
            .filter(|it| !it.is_empty())
            .chain(&self.rest)
    }

    /// Appends a piece; a small one next to a small one is copied to it, so that dribbled bytes
    /// neither each pin a whole buffer nor grow the list.
    pub(super) fn push_joined(&mut self, piece: Bytes) {
        let last = self.rest.back_mut().unwrap_or(&mut self.front);
        let joined = last.len() + piece.len();
        if last.is_empty() || joined > limits::SMALL_PIECE {
            self.push(piece);
            return;
        }
        let mut both = BytesMut::with_capacity(limits::SMALL_PIECE);
        both.put_slice(last);
        both.put_slice(&piece);
        *last = both.freeze();
        self.len += piece.len();
    }

    /// The next bytes of a header, or `None` when there are fewer, which takes none.
    pub(super) fn take_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        if self.len < N {
            return None;
        }
        let mut out = [0; N];
        let mut left = out.as_mut_slice();
        while !left.is_empty() {
            let piece = self.take_piece(left.len());
            let (now, later) = left.split_at_mut(piece.len());
            now.copy_from_slice(&piece);
            left = later;
        }
        Some(out)
    }

    pub(super) fn take_u8(&mut self) -> Option<u8> {
        self.take_array().map(|[byte]| byte)
    }

    pub(super) fn take_u32(&mut self) -> Option<u32> {
        self.take_array().map(u32::from_be_bytes)
    }

    pub(super) fn take_u64(&mut self) -> Option<u64> {
        self.take_array().map(u64::from_be_bytes)
    }

    /// Everything in one piece of its own: for names and numbers, which outlive the buffer that
    /// they came in and must not pin it.
    pub(super) fn copied(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.len);
        self.pieces().for_each(|it| out.put_slice(it));
        out.freeze()
    }

    /// The first piece, or its first `most` bytes.
    fn take_piece(&mut self, most: usize) -> Bytes {
        if self.front.len() > most {
            self.len -= most;
            return self.front.split_to(most);
        }
        self.len -= self.front.len();
        mem::replace(&mut self.front, self.rest.pop_front().unwrap_or_default())
    }
}

impl From<Bytes> for Data {
    fn from(piece: Bytes) -> Self {
        let mut data = Self::default();
        data.push(piece);
        data
    }
}

/// Equal contents, however they are cut.
impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.pieces().flatten().eq(other.pieces().flatten())
    }
}

impl Eq for Data {}

/// Says how much there is, and not what: file contents have no place in a log.
impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Data({} bytes)", self.len)
    }
}

/// The stream from the other end, cut into messages.
///
/// Work per chunk is constant: the length that is waited for is remembered.
#[derive(Debug, Default)]
pub(super) struct Input {
    waiting: Data,
    /// Length of the message at the front, once it is known.
    length: Option<usize>,
}

impl Input {
    pub(super) fn push(&mut self, chunk: Bytes) {
        self.waiting.push_joined(chunk);
    }

    /// Whether a whole message waits, or one that is too long to wait for.
    pub(super) fn has_message(&mut self) -> bool {
        !matches!(self.peek_length(), Ok(None))
    }

    /// The next message without its length field; at least its type and four more bytes, as every
    /// message of the draft has (§3).
    pub(super) fn next_message(&mut self) -> Result<Option<Data>, Error> {
        let Some(length) = self.peek_length()? else {
            return Ok(None);
        };
        self.length = None;
        Ok(Some(self.waiting.split_to(length)))
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn peek_length(&mut self) -> Result<Option<usize>, Error> {
        if self.length.is_none() {
            self.length = self.waiting.take_u32().map(|it| it as usize);
        }
        let Some(length) = self.length else {
            return Ok(None);
        };
        if !(5..=limits::SFTP_MESSAGE).contains(&length) {
            return Err(PeerMisbehaved::BadSftpLength.into());
        }
        Ok((self.waiting.len() >= length).then_some(length))
    }
}

/// The message does not fit into what the other end reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// The stream to the other end: headers one after another, file data as the caller's own pieces.
#[derive(Debug, Default)]
pub(super) struct Output {
    pieces: VecDeque<Bytes>,
    /// Messages behind the pieces, to which more are appended.
    tail: BytesMut,
    len: usize,
}

impl Output {
    /// Appends a message; INIT and VERSION alone have no id (§4).
    pub(super) fn message<'a, M: Message<'a>>(
        &mut self,
        id: Option<u32>,
        message: &M,
    ) -> Result<(), TooLong> {
        let start = self.begin(M::NUMBER, id);
        message.write_body(&mut self.tail);
        self.end(start, 0)
    }

    /// Appends SSH_FXP_DATA (§7) with its data uncopied.
    pub(super) fn data(&mut self, id: u32, data: Data) -> Result<(), TooLong> {
        let start = self.begin(super::messages::DataReply::NUMBER, Some(id));
        self.ride(start, data.len())?;
        self.append(data);
        Ok(())
    }

    /// Appends SSH_FXP_WRITE (§6.4) with its data uncopied.
    pub(super) fn write(
        &mut self,
        id: u32,
        handle: &[u8],
        offset: u64,
        data: &Data,
    ) -> Result<(), TooLong> {
        let start = self.begin(super::messages::Write::NUMBER, Some(id));
        handle.write(&mut self.tail);
        self.tail.put_u64(offset);
        self.ride(start, data.len())?;
        self.append(data.clone());
        Ok(())
    }

    /// The next bytes to send.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        if let Some(piece) = self.pieces.pop_front() {
            self.len -= piece.len();
            return Some(piece);
        }
        if self.tail.is_empty() {
            return None;
        }
        self.len -= self.tail.len();
        Some(self.tail.split().freeze())
    }

    /// Bytes that wait to be sent.
    pub(super) const fn len(&self) -> usize {
        self.len
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn begin(&mut self, number: u8, id: Option<u32>) -> usize {
        let start = self.tail.len();
        self.tail.put_u32(0);
        self.tail.put_u8(number);
        if let Some(id) = id {
            self.tail.put_u32(id);
        }
        start
    }

    /// Ends a header behind which `len` bytes of data follow as a string.
    fn ride(&mut self, start: usize, len: usize) -> Result<(), TooLong> {
        let Ok(length) = u32::try_from(len) else {
            self.tail.truncate(start);
            return Err(TooLong);
        };
        self.tail.put_u32(length);
        self.end(start, len)
    }

    /// Writes the length of the message that began at `start`, `riding` bytes of data included, or
    /// takes it back.
    fn end(&mut self, start: usize, riding: usize) -> Result<(), TooLong> {
        let header = self.tail.len() - start;
        let length = (header - 4).saturating_add(riding);
        if length > limits::SFTP_MESSAGE {
            self.tail.truncate(start);
            return Err(TooLong);
        }
        let length = u32::try_from(length).expect("SFTP_MESSAGE fits into 32 bits");
        let mut field = self
            .tail
            .get_mut(start..)
            .expect("the message begins inside the buffer");
        field.put_u32(length);
        self.len += header;
        Ok(())
    }

    fn append(&mut self, mut data: Data) {
        if data.is_empty() {
            return;
        }
        self.len += data.len();
        self.pieces.push_back(self.tail.split().freeze());
        while let Some(piece) = data.pop() {
            self.pieces.push_back(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sftp::messages::{Close, Write};
    use proptest::prelude::*;

    #[test]
    fn small_pieces_are_joined_and_large_ones_are_not() {
        let mut data = Data::default();
        for _ in 0..10_000 {
            data.push_joined(Bytes::from_static(b"x"));
        }
        assert_eq!(data.len(), 10_000);
        assert!(data.pieces().count() <= 10_000 / (limits::SMALL_PIECE / 2));
        let large = Bytes::from(vec![7; 4096]);
        data.push_joined(large.clone());
        assert_eq!(data.pieces().last().unwrap().as_ptr(), large.as_ptr());
    }

    #[test]
    fn data_is_taken_off_as_it_lies() {
        let large = Bytes::from(vec![7; 4096]);
        let mut data = Data::from(large.clone());
        data.push(Bytes::new());
        data.push(large.clone());
        let taken = data.split_to(5000);
        assert_eq!(
            taken.pieces().map(Bytes::len).collect::<Vec<_>>(),
            [4096, 904]
        );
        assert_eq!(taken.pieces().next().unwrap().as_ptr(), large.as_ptr());
        assert_eq!(
            (data.len(), data.split_to(9999).len(), data.is_empty()),
            (3192, 3192, true)
        );
        assert_eq!(data.pop(), None);
    }

    /// draft-ietf-secsh-filexfer-02 §3: the length excludes itself.
    #[test]
    fn lengths_that_cannot_be_are_refused_before_their_bytes_come() {
        for length in [0, 4, limits::SFTP_MESSAGE as u32 + 1, u32::MAX] {
            let mut input = Input::default();
            input.push(Bytes::copy_from_slice(&length.to_be_bytes()));
            assert_eq!(
                input.next_message(),
                Err(PeerMisbehaved::BadSftpLength.into()),
                "{length}"
            );
        }
    }

    #[test]
    fn a_message_too_long_to_be_read_leaves_nothing_behind() {
        let mut output = Output::default();
        output.message(Some(1), &Close { handle: b"h" }).unwrap();
        let long = vec![0; limits::SFTP_MESSAGE];
        assert_eq!(
            output.message(Some(2), &Close { handle: &long }),
            Err(TooLong)
        );
        assert_eq!(
            output.write(3, b"h", 0, &Data::from(Bytes::from(long))),
            Err(TooLong)
        );
        assert_eq!(output.len(), 14);
        assert_eq!(
            output.pop().unwrap(),
            &b"\0\0\0\x0a\x04\0\0\0\x01\0\0\0\x01h"[..]
        );
        assert_eq!((output.pop(), output.len()), (None, 0));
    }

    #[test]
    fn written_data_rides_uncopied() {
        let data = Bytes::from(vec![9; 100_000]);
        let mut output = Output::default();
        output.write(1, b"h", 5, &data.clone().into()).unwrap();
        let whole: Vec<u8> = std::iter::from_fn(|| {
            let piece = output.pop()?;
            assert!(piece.len() < 100 || piece.as_ptr() == data.as_ptr());
            Some(piece)
        })
        .flatten()
        .collect();
        let mut expected = Output::default();
        expected
            .message(
                Some(1),
                &Write {
                    handle: b"h",
                    offset: 5,
                    data: &data,
                },
            )
            .unwrap();
        assert_eq!(whole, expected.pop().unwrap());
    }

    proptest! {
        #[test]
        fn messages_are_the_same_at_any_fragmentation(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 5..600), 1..8),
            cuts in prop::collection::vec(1_usize..700, 1..50),
        ) {
            let mut stream: Vec<u8> = Vec::new();
            for body in &bodies {
                stream.extend((body.len() as u32).to_be_bytes());
                stream.extend(body);
            }
            let mut input = Input::default();
            let mut read = Vec::new();
            let mut rest = stream.as_slice();
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                input.push(Bytes::copy_from_slice(now));
                while let Some(message) = input.next_message().unwrap() {
                    read.push(message.copied().to_vec());
                }
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(read, bodies);
        }
    }
}
