//! Bytes to payloads (RFC 4253 §6).

use super::Payload;
use super::budget::Budget;
use super::delayed::{Begin, Delayed};
use super::plain::Plain;
use crate::crypto::{CompressionAlgorithm, Decompress, OpenPacket};
use crate::error::{Error, PeerMisbehaved};
use crate::limits;
use bytes::{Buf, BytesMut};

/// The receiving direction: cuts packets off the front of the input and opens them in place.
#[derive(Debug)]
pub(crate) struct Decoder {
    opener: Box<dyn OpenPacket>,
    seq: u32,
    packets: u64,
    budget: Budget,
    compression: Delayed<dyn Decompress>,
    front: Front,
}

/// What is known of the packet at the front of the input.
#[derive(Debug, Clone, Copy)]
enum Front {
    Unknown,
    /// Its bytes, from the length to the tag.
    Long(usize),
    /// It is wrong, and nobody is told before as much was read as any packet can have.
    Wrong {
        /// To be read yet.
        left: usize,
        /// Opened already, which took its time.
        opened: usize,
    },
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self {
            opener: Box::new(Plain),
            seq: 0,
            packets: 0,
            budget: Budget::unlimited(),
            compression: Delayed::new(),
            front: Front::Unknown,
        }
    }

    /// Takes one packet off the front of `input`, or nothing while it is incomplete.
    pub(crate) fn decode<R>(&mut self, input: &mut BytesMut) -> Result<Option<Payload<R>>, Error> {
        let total = match self.front {
            Front::Long(total) => total,
            Front::Wrong { left, opened } => return self.read_on(left, opened, input),
            Front::Unknown => {
                let Some(prefix) = input.get_mut(..self.opener.prefix_len()) else {
                    return Ok(None);
                };
                let len = self.opener.packet_len(self.seq, prefix) as usize;
                match self.check_length(len) {
                    Ok(total) => total,
                    Err(_) if self.opener.hides_what_was_wrong() => {
                        return self.read_on(self.longest(), 0, input);
                    }
                    Err(wrong) => return Err(wrong.into()),
                }
            }
        };
        if input.len() < total {
            self.front = Front::Long(total);
            return Ok(None);
        }
        self.front = Front::Unknown;
        let mut packet = input.split_to(total);
        if self.opener.open(self.seq, &mut packet).is_err() {
            if self.opener.hides_what_was_wrong() {
                return self.read_on(self.longest().saturating_sub(total), total, input);
            }
            return Err(Error::Integrity);
        }
        if !self.budget.spend(total) {
            return Err(PeerMisbehaved::KeyOverused.into());
        }
        self.seq = self.seq.wrapping_add(1);
        self.packets += 1;
        let body = total - self.opener.tag_len();
        let padding = packet.get(4).copied().map_or(0, usize::from);
        // RFC 4253 §6: "There MUST be at least four bytes of padding."
        let end = body
            .checked_sub(padding)
            .filter(|&end| padding >= 4 && end >= 5);
        let end = end.ok_or(PeerMisbehaved::BadPadding)?;
        packet.truncate(end);
        let mut payload = packet.split_off(5);
        if let Some(stream) = self.compression.stream(|it| it.decompressor()) {
            payload = stream
                .decompress(&payload, limits::PACKET)
                .map_err(|_| PeerMisbehaved::BadCompression)?;
        }
        let payload = Payload::new(payload).ok_or(PeerMisbehaved::EmptyPayload)?;
        Ok(Some(payload))
    }

    /// Takes `left` more bytes, and only then says that something was wrong: in CBC mode the amount
    /// read, the time until the answer and the answer would each tell of a recorded block whether it
    /// decrypts to a length (CVE-2008-5161). Everybody waits for as much as the longest packet has, and
    /// as much is decrypted and put through the MAC.
    fn read_on<R>(
        &mut self,
        left: usize,
        opened: usize,
        input: &mut BytesMut,
    ) -> Result<Option<Payload<R>>, Error> {
        let taken = left.min(input.len());
        input.advance(taken);
        let left = left - taken;
        self.front = Front::Wrong { left, opened };
        if left > 0 {
            return Ok(None);
        }
        let block = self.opener.block_len();
        let body = self.longest().saturating_sub(opened) / block * block;
        // Of one size for all; its result is known.
        let mut nothing = vec![0; body + self.opener.tag_len()];
        let _refused = self.opener.open(self.seq, &mut nothing);
        Err(Error::Integrity)
    }

    /// Bytes of the longest packet that is read, with its tag.
    fn longest(&self) -> usize {
        4 + limits::PACKET + self.opener.tag_len()
    }

    /// Bytes of the whole packet, from its length field.
    fn check_length(&self, len: usize) -> Result<usize, PeerMisbehaved> {
        let padded = if self.opener.length_is_padded() {
            len.wrapping_add(4)
        } else {
            len
        };
        // RFC 4253 §6: a multiple of the block and at least 16 bytes; where the length is outside
        // the multiple, one block holds padding length, a message and four bytes of padding.
        let fits = (8..=limits::PACKET).contains(&len) && padded % self.opener.block_len() == 0;
        if !fits || 4 + len < self.opener.prefix_len() {
            return Err(PeerMisbehaved::BadPacketLength);
        }
        Ok(4 + len + self.opener.tag_len())
    }

    /// From the next packet on, the peer's new keys hold (RFC 4253 §7.3).
    pub(crate) fn rekey(
        &mut self,
        opener: Box<dyn OpenPacket>,
        budget: Budget,
        compression: Option<&'static dyn CompressionAlgorithm>,
        reset_seq: bool,
    ) {
        self.opener = opener;
        self.budget = budget;
        self.compression.agree(compression);
        if reset_seq {
            self.seq = 0;
        }
    }

    /// Whatever compression is agreed begins with the next packet.
    pub(crate) const fn begin_compression(&mut self) {
        self.compression.begin(Begin::Now);
    }

    /// The sequence number of the packet decoded last (RFC 4253 §6.4).
    pub(crate) const fn last_seq(&self) -> u32 {
        self.seq.wrapping_sub(1)
    }

    /// Packets decoded since the connection began.
    pub(crate) const fn packets(&self) -> u64 {
        self.packets
    }

    pub(crate) const fn is_due(&self) -> bool {
        self.budget.is_due()
    }
}

/// The number in the first four bytes; 0, which is no length, when there are fewer.
pub(super) fn length_field(prefix: &[u8]) -> u32 {
    prefix
        .first_chunk()
        .map_or(0, |length| u32::from_be_bytes(*length))
}
