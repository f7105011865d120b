//! Payloads to bytes (RFC 4253 §6).

use super::budget::Budget;
use super::delayed::{Begin, Delayed};
use super::plain::Plain;
use crate::crypto::{Compress, CompressionAlgorithm, CryptoError, SealPacket, SecureRandom};
use bytes::BytesMut;

/// The longest padding that is ever needed: 4 bytes and a block less one.
const PADDING: usize = 64;

/// The sending direction: writes payloads behind each other and seals each in place.
#[derive(Debug)]
pub(crate) struct Encoder {
    sealer: Box<dyn SealPacket>,
    seq: u32,
    budget: Budget,
    out: BytesMut,
    compression: Delayed<dyn Compress>,
    /// A payload on its way into the compressor.
    plain: BytesMut,
    /// RFC 4253 §6 wants padding random. Drawn once per key: under every cipher here a keystream
    /// that never repeats covers it.
    padding: [u8; PADDING],
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self {
            sealer: Box::new(Plain),
            seq: 0,
            budget: Budget::unlimited(),
            out: BytesMut::new(),
            compression: Delayed::new(),
            plain: BytesMut::new(),
            padding: [0; PADDING],
        }
    }

    /// Encodes one packet whose payload `write` appends, or none when it says that it has none. The
    /// one copy that outbound data undergoes is here.
    pub(crate) fn packet(
        &mut self,
        write: impl FnOnce(&mut BytesMut) -> bool,
    ) -> Result<bool, CryptoError> {
        let start = self.out.len();
        self.out.extend_from_slice(&[0; 5]);
        let written = match self.compression.stream(|it| it.compressor()) {
            None => {
                let written = write(&mut self.out);
                self.compression.passed(self.out.get(start + 5));
                written
            }
            Some(stream) => {
                self.plain.clear();
                let written = write(&mut self.plain);
                if written {
                    stream
                        .compress(&self.plain, &mut self.out)
                        .inspect_err(|_| self.out.truncate(start))?;
                }
                written
            }
        };
        if !written {
            self.out.truncate(start);
            return Ok(false);
        }
        let block = self.sealer.block_len();
        let unpadded = self.out.len() - start - if self.sealer.length_is_padded() { 0 } else { 4 };
        let mut padding = block - unpadded % block;
        // RFC 4253 §6: at least four bytes of padding, and at least 16 bytes in all.
        while padding < 4 || self.out.len() - start + padding < 16 {
            padding += block;
        }
        let random = self.padding.get(..padding);
        self.out
            .extend_from_slice(random.ok_or(CryptoError::Failed("block too long"))?);
        let tag = self.sealer.tag_len();
        let len =
            u32::try_from(self.out.len() - start - 4).expect("a packet is shorter than 4 GiB");
        self.out.resize(self.out.len() + tag, 0);
        let packet = self.out.get_mut(start..).expect("the packet begins there");
        if let Some((length, rest)) = packet.split_first_chunk_mut() {
            *length = len.to_be_bytes();
            if let Some(first) = rest.first_mut() {
                *first =
                    u8::try_from(padding).expect("padding is shorter than the table it is from");
            }
        }
        if !self.budget.spend(packet.len()) {
            self.out.truncate(start);
            return Err(CryptoError::Failed("a key may not be used any longer"));
        }
        self.sealer
            .seal(self.seq, packet)
            .inspect_err(|_| self.out.truncate(start))?;
        self.seq = self.seq.wrapping_add(1);
        Ok(true)
    }

    /// Appends bytes outside the packet protocol: the identification line.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// From the next packet on, our new keys hold (RFC 4253 §7.3).
    pub(crate) fn rekey(
        &mut self,
        sealer: Box<dyn SealPacket>,
        budget: Budget,
        compression: Option<&'static dyn CompressionAlgorithm>,
        reset_seq: bool,
        random: &dyn SecureRandom,
    ) -> Result<(), CryptoError> {
        random.fill(&mut self.padding)?;
        self.sealer = sealer;
        self.budget = budget;
        self.compression.agree(compression);
        if reset_seq {
            self.seq = 0;
        }
        Ok(())
    }

    /// Whatever compression is agreed begins.
    pub(crate) const fn begin_compression(&mut self, begin: Begin) {
        self.compression.begin(begin);
    }

    /// Sealed bytes that wait for the socket.
    pub(crate) const fn out(&mut self) -> &mut BytesMut {
        &mut self.out
    }

    pub(crate) const fn is_due(&self) -> bool {
        self.budget.is_due()
    }
}
