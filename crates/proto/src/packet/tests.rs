//! The four framings against packets written out by hand, key derivation against another program's
//! result, and what must be refused (RFC 4253 §6, §7.2).
//!
//! The ciphers here are toys, so that a packet can be checked with pencil and paper: the keystream
//! counts its own bytes, and the code is the sum of the bytes with the sequence number in front.

mod cbc;

use super::ctr_hmac::{EncryptAndMac, EncryptThenMac, Parts};
use super::plain::Plain;
use super::*;
use crate::crypto::{
    AeadAlgorithm, Cipher, CryptoError, Hash, Mac, MacAlgorithm, MacMode, OpenPacket, SealPacket,
    Secret, SecureRandom, StreamAlgorithm, StreamCipher, Unauthenticated,
};
use crate::limits::{self, Limits};
use crate::role::{Client, Side};
use sha2::Digest;

/// Byte `i` of the keystream is `i`.
#[derive(Debug, Default)]
struct Counting(u8);

impl StreamCipher for Counting {
    fn apply(&mut self, data: &mut [u8]) {
        for byte in data {
            *byte ^= self.0;
            self.0 = self.0.wrapping_add(1);
        }
    }
}

/// The last byte of the sequence number, and the sum of the data as three bytes.
#[derive(Debug)]
struct Sum;

fn sum(seq: u32, data: &[u8]) -> [u8; 4] {
    let sum: u32 = data.iter().map(|&byte| u32::from(byte)).sum();
    ((seq << 24) + sum).to_be_bytes()
}

impl Mac for Sum {
    fn sign(&self, seq: u32, data: &[u8], tag: &mut [u8]) {
        tag.copy_from_slice(&sum(seq, data));
    }

    fn verify(&self, seq: u32, data: &[u8], tag: &[u8]) -> Result<(), Unauthenticated> {
        if tag == sum(seq, data) {
            Ok(())
        } else {
            Err(Unauthenticated)
        }
    }
}

/// Encrypts all but the length, which it authenticates; keeps no state from packet to packet.
#[derive(Debug)]
struct ToyAead;

impl SealPacket for ToyAead {
    fn tag_len(&self) -> usize {
        4
    }

    fn block_len(&self) -> usize {
        16
    }

    fn length_is_padded(&self) -> bool {
        false
    }

    fn seal(&mut self, seq: u32, packet: &mut [u8]) -> Result<(), CryptoError> {
        let (body, tag) = packet.split_at_mut(packet.len() - 4);
        Counting::default().apply(&mut body[4..]);
        tag.copy_from_slice(&sum(seq, body));
        Ok(())
    }
}

impl OpenPacket for ToyAead {
    fn tag_len(&self) -> usize {
        4
    }

    fn block_len(&self) -> usize {
        16
    }

    fn length_is_padded(&self) -> bool {
        false
    }

    fn prefix_len(&self) -> usize {
        4
    }

    fn packet_len(&mut self, _seq: u32, prefix: &mut [u8]) -> u32 {
        u32::from_be_bytes((&*prefix).try_into().unwrap())
    }

    fn open(&mut self, seq: u32, packet: &mut [u8]) -> Result<(), Unauthenticated> {
        let (body, tag) = packet.split_at_mut(packet.len() - 4);
        if *tag != sum(seq, body) {
            return Err(Unauthenticated);
        }
        Counting::default().apply(&mut body[4..]);
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Framing {
    Plain,
    EncryptAndMac,
    EncryptThenMac,
    Aead,
}

const FRAMINGS: [Framing; 4] = [
    Framing::Plain,
    Framing::EncryptAndMac,
    Framing::EncryptThenMac,
    Framing::Aead,
];

fn parts(block_len: usize) -> Parts {
    Parts {
        cipher: Box::new(Counting::default()),
        mac: Box::new(Sum),
        block_len,
        tag_len: 4,
        is_cbc: false,
    }
}

impl Framing {
    fn sealer(self, block_len: usize) -> Box<dyn SealPacket> {
        match self {
            Self::Plain => Box::new(Plain),
            Self::EncryptAndMac => Box::new(EncryptAndMac(parts(block_len))),
            Self::EncryptThenMac => Box::new(EncryptThenMac(parts(block_len))),
            Self::Aead => Box::new(ToyAead),
        }
    }

    fn opener(self, block_len: usize) -> Box<dyn OpenPacket> {
        match self {
            Self::Plain => Box::new(Plain),
            Self::EncryptAndMac => Box::new(EncryptAndMac(parts(block_len))),
            Self::EncryptThenMac => Box::new(EncryptThenMac(parts(block_len))),
            Self::Aead => Box::new(ToyAead),
        }
    }

    fn encoder(self, block_len: usize) -> Encoder {
        let mut encoder = Encoder::new();
        encoder
            .rekey(
                self.sealer(block_len),
                Budget::unlimited(),
                None,
                false,
                &Fives,
            )
            .unwrap();
        encoder
    }

    fn decoder(self, block_len: usize) -> Decoder {
        let mut decoder = Decoder::new();
        decoder.rekey(self.opener(block_len), Budget::unlimited(), None, false);
        decoder
    }
}

/// Padding that shows.
#[derive(Debug)]
struct Fives;

impl SecureRandom for Fives {
    fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError> {
        out.fill(0x55);
        Ok(())
    }
}

fn put(encoder: &mut Encoder, payload: &[u8]) {
    let put = encoder.packet(|out| {
        out.extend_from_slice(payload);
        true
    });
    assert_eq!(put, Ok(true));
}

fn take(decoder: &mut Decoder, input: &mut BytesMut) -> Result<Option<Vec<u8>>, Error> {
    Ok(decoder
        .decode::<Client>(input)?
        .map(|payload| payload.as_slice().to_vec()))
}

/// Two packets with the payload 14 01 02, one behind the other.
fn twice(framing: Framing, block_len: usize) -> Vec<u8> {
    let mut encoder = framing.encoder(block_len);
    put(&mut encoder, &[0x14, 1, 2]);
    put(&mut encoder, &[0x14, 1, 2]);
    encoder.out().to_vec()
}

#[test]
fn plain_packets_are_as_written_by_hand() {
    // 4 + 1 + 3 + 8 of padding = 16: a multiple of 8, and no shorter than 16.
    let once = *b"\0\0\0\x0c\x08\x14\x01\x02\x55\x55\x55\x55\x55\x55\x55\x55";
    assert_eq!(twice(Framing::Plain, 8), [once, once].concat());
    // Before the first NEWKEYS padding is zero: there is nothing for it to hide.
    let mut encoder = Encoder::new();
    put(&mut encoder, &[21]);
    assert_eq!(
        encoder.out()[..],
        *b"\0\0\0\x0c\x0a\x15\0\0\0\0\0\0\0\0\0\0"
    );
}

#[test]
fn encrypt_and_mac_packets_are_as_written_by_hand() {
    // The plaintext of above. Its sum is 0c + 08 + 14 + 01 + 02 + 8 * 55 = 2d3; the keystream runs on.
    let first = *b"\x00\x01\x02\x0f\x0c\x11\x07\x05\x5d\x5c\x5f\x5e\x59\x58\x5b\x5a";
    let second = *b"\x10\x11\x12\x1f\x1c\x01\x17\x15\x4d\x4c\x4f\x4e\x49\x48\x4b\x4a";
    let expected = [&first[..], b"\0\0\x02\xd3", &second, b"\x01\0\x02\xd3"].concat();
    assert_eq!(twice(Framing::EncryptAndMac, 8), expected);
}

#[test]
fn encrypt_then_mac_packets_are_as_written_by_hand() {
    // 1 + 3 + 12 of padding = 16: the length is outside the multiple, and in clear.
    let first = *b"\0\0\0\x10\x0c\x15\x03\x01\x51\x50\x53\x52\x5d\x5c\x5f\x5e\x59\x58\x5b\x5a";
    let second = *b"\0\0\0\x10\x1c\x05\x13\x11\x41\x40\x43\x42\x4d\x4c\x4f\x4e\x49\x48\x4b\x4a";
    // Sums over length and ciphertext: 10 + 25 + 422, and 10 + 45 + 362.
    let sums = [first, second].map(|it| it.iter().map(|&byte| u32::from(byte)).sum::<u32>());
    assert_eq!(sums, [0x457, 0x3b7]);
    let expected = [&first[..], b"\0\0\x04\x57", &second, b"\x01\0\x03\xb7"].concat();
    assert_eq!(twice(Framing::EncryptThenMac, 8), expected);
}

#[test]
fn aead_packets_are_as_written_by_hand() {
    // As encrypt-then-MAC, but the keystream of each packet begins anew.
    let packet = *b"\0\0\0\x10\x0c\x15\x03\x01\x51\x50\x53\x52\x5d\x5c\x5f\x5e\x59\x58\x5b\x5a";
    let expected = [&packet[..], b"\0\0\x04\x57", &packet, b"\x01\0\x04\x57"].concat();
    assert_eq!(twice(Framing::Aead, 16), expected);
}

#[test]
fn every_framing_reads_what_it_wrote_at_any_fragmentation() {
    let payloads: Vec<Vec<u8>> = (1..70).map(|len| (0..len).collect()).collect();
    for framing in FRAMINGS {
        let mut encoder = framing.encoder(16);
        payloads
            .iter()
            .for_each(|payload| put(&mut encoder, payload));
        let wire = encoder.out().to_vec();
        for fragment in [1, 2, 3, 7, 64, wire.len()] {
            let mut decoder = framing.decoder(16);
            let (mut input, mut read) = (BytesMut::new(), Vec::new());
            for bytes in wire.chunks(fragment) {
                input.extend_from_slice(bytes);
                while let Some(payload) = take(&mut decoder, &mut input).unwrap() {
                    read.push(payload);
                }
            }
            assert_eq!(read, payloads, "{framing:?} in pieces of {fragment}");
            assert!(input.is_empty());
        }
    }
}

/// RFC 4253 §6: a multiple of the block, four bytes of padding at least, sixteen bytes in all; the
/// length counts towards the multiple where it is encrypted with the rest.
#[test]
fn padding_keeps_the_rules_for_every_block_length() {
    for framing in FRAMINGS {
        for block_len in [8, 16, 32] {
            let aligned = framing.sealer(block_len).block_len();
            for len in 1..100 {
                let mut encoder = framing.encoder(block_len);
                put(&mut encoder, &vec![1; len]);
                let total = encoder.out().len() - framing.sealer(block_len).tag_len();
                let padding = total - 5 - len;
                let counted = match framing {
                    Framing::Plain | Framing::EncryptAndMac => total,
                    Framing::EncryptThenMac | Framing::Aead => total - 4,
                };
                assert_eq!(counted % aligned, 0, "{framing:?} {block_len} {len}");
                assert!(
                    (4..=255).contains(&padding),
                    "{framing:?} {block_len} {len}: {padding}"
                );
                assert!(total >= 16);
                // No more than a block beyond what is needed.
                assert!(
                    padding < 4 + aligned || total <= 20,
                    "{framing:?} {block_len} {len}"
                );
            }
        }
    }
}

/// A packet with this length field and padding length, sealed as it is.
fn forged(framing: Framing, len: usize, padding: u8) -> BytesMut {
    let mut sealer = framing.sealer(8);
    let mut packet = BytesMut::zeroed(4 + len + sealer.tag_len());
    packet[..4].copy_from_slice(&u32::try_from(len).unwrap().to_be_bytes());
    if len > 0 {
        packet[4] = padding;
    }
    sealer.seal(0, &mut packet).unwrap();
    packet
}

#[test]
fn every_padding_length_in_every_small_packet_is_judged_and_none_panics() {
    let mut accepted = 0;
    for framing in FRAMINGS {
        let (block, counts) = match framing {
            Framing::Plain | Framing::EncryptAndMac => (8, 4),
            Framing::EncryptThenMac => (8, 0),
            Framing::Aead => (16, 0),
        };
        for len in 0..=300 {
            for padding in 0..=255u8 {
                let result = take(&mut framing.decoder(8), &mut forged(framing, len, padding));
                let of_length = len >= 8 && (len + counts) % block == 0;
                let pad = usize::from(padding);
                let expected = match (of_length, pad) {
                    (false, _) => Err(PeerMisbehaved::BadPacketLength),
                    (true, 0..4) => Err(PeerMisbehaved::BadPadding),
                    (true, _) if pad + 1 > len => Err(PeerMisbehaved::BadPadding),
                    (true, _) if pad + 1 == len => Err(PeerMisbehaved::EmptyPayload),
                    (true, _) => Ok(len - 1 - pad),
                };
                let result = result.map(|it| it.expect("the whole packet is there").len());
                // A prefix of a block that is not there is waited for, not judged.
                assert_eq!(
                    result,
                    expected.map_err(Error::from),
                    "{framing:?} {len} {padding}"
                );
                accepted += usize::from(expected.is_ok());
            }
        }
    }
    assert!(accepted > 10_000, "{accepted}");
}

#[test]
fn impossible_lengths_are_refused_before_anything_is_allocated() {
    let longest = u32::try_from(limits::PACKET).unwrap();
    for len in [
        0,
        1,
        4,
        7,
        longest + 1,
        longest + 8,
        0x7fff_ffff,
        0x8000_0000,
        u32::MAX - 3,
        u32::MAX,
    ] {
        for framing in [Framing::Plain, Framing::EncryptThenMac, Framing::Aead] {
            let mut input = BytesMut::from(&len.to_be_bytes()[..]);
            let capacity = input.capacity();
            let result = take(&mut framing.decoder(8), &mut input);
            assert_eq!(
                result,
                Err(PeerMisbehaved::BadPacketLength.into()),
                "{framing:?} {len:#x}"
            );
            assert!(input.capacity() <= capacity);
        }
        // Encrypt-and-MAC has to see a block before it knows.
        let mut block = [&len.to_be_bytes()[..], &[0; 4]].concat();
        Counting::default().apply(&mut block);
        let result = take(
            &mut Framing::EncryptAndMac.decoder(8),
            &mut BytesMut::from(&block[..]),
        );
        assert_eq!(
            result,
            Err(PeerMisbehaved::BadPacketLength.into()),
            "{len:#x}"
        );
    }
}

#[test]
fn the_longest_packet_is_read() {
    // RFC 4253 §6.1 asks for 35,000 bytes; multiples of the block above that are read up to the limit.
    for len in [35_000 - 4, limits::PACKET - 4, limits::PACKET - 12] {
        let mut input = forged(Framing::Plain, len, 4);
        let read = take(&mut Framing::Plain.decoder(8), &mut input)
            .unwrap()
            .unwrap();
        assert_eq!(read.len(), len - 5);
    }
}

#[test]
fn any_flipped_byte_of_an_authenticated_packet_is_noticed() {
    for framing in [
        Framing::EncryptAndMac,
        Framing::EncryptThenMac,
        Framing::Aead,
    ] {
        let mut encoder = framing.encoder(16);
        put(&mut encoder, &[20, 1, 2, 3, 4, 5]);
        let sealed = encoder.out().to_vec();
        for at in 0..sealed.len() {
            let mut input = BytesMut::from(&sealed[..]);
            input[at] ^= 0x01;
            // A changed length leads to a wait, a refusal, or a code in the wrong place.
            input.extend_from_slice(&[0; 64]);
            let result = take(&mut framing.decoder(16), &mut input);
            assert!(
                !matches!(result, Ok(Some(_))),
                "{framing:?}: byte {at} flipped, and read as {result:?}"
            );
        }
    }
}

#[test]
fn nothing_is_read_from_a_packet_before_its_code_is_right() {
    // Padding that cannot be, in a packet that was also tampered with: only the latter is said.
    let mut packet = forged(Framing::EncryptThenMac, 16, 200);
    let last = packet.len() - 1;
    packet[last] ^= 1;
    let result = take(&mut Framing::EncryptThenMac.decoder(8), &mut packet);
    assert_eq!(result, Err(Error::Integrity));
}

/// RFC 4253 §6.4: it counts every packet, is never reset but in strict key exchange, and wraps.
#[test]
fn sequence_numbers_run_on_over_new_keys_unless_they_are_reset() {
    let mut encoder = Framing::Aead.encoder(16);
    let mut decoder = Framing::Aead.decoder(16);
    assert_eq!(decoder.last_seq(), u32::MAX, "none yet");
    let exchange = |encoder: &mut Encoder, decoder: &mut Decoder| {
        put(encoder, &[2, 0]);
        let mut wire = encoder.out().split();
        let tag = wire[wire.len() - 4];
        take(decoder, &mut wire).unwrap().unwrap();
        assert_eq!(
            u32::from(tag),
            decoder.last_seq(),
            "the code is over the same number"
        );
        decoder.last_seq()
    };
    assert_eq!(
        [(); 3].map(|()| exchange(&mut encoder, &mut decoder)),
        [0, 1, 2]
    );
    encoder
        .rekey(Box::new(ToyAead), Budget::unlimited(), None, false, &Fives)
        .unwrap();
    decoder.rekey(Box::new(ToyAead), Budget::unlimited(), None, false);
    assert_eq!(exchange(&mut encoder, &mut decoder), 3);
    encoder
        .rekey(Box::new(ToyAead), Budget::unlimited(), None, true, &Fives)
        .unwrap();
    decoder.rekey(Box::new(ToyAead), Budget::unlimited(), None, true);
    assert_eq!(exchange(&mut encoder, &mut decoder), 0);
    assert_eq!(decoder.packets(), 5);
}

#[test]
fn a_packet_out_of_its_place_is_noticed() {
    let mut encoder = Framing::Aead.encoder(16);
    put(&mut encoder, &[2, 1]);
    let mut first = encoder.out().split();
    put(&mut encoder, &[2, 2]);
    let mut second = encoder.out().split();
    let mut decoder = Framing::Aead.decoder(16);
    assert_eq!(
        take(&mut decoder, &mut second),
        Err(Error::Integrity),
        "dropped"
    );
    let mut decoder = Framing::Aead.decoder(16);
    assert!(take(&mut decoder, &mut first.clone()).is_ok());
    assert_eq!(
        take(&mut decoder, &mut first),
        Err(Error::Integrity),
        "repeated"
    );
}

#[test]
fn keys_are_due_for_change_after_their_bytes_or_packets() {
    let limits = Limits {
        rekey_packets: 3,
        ..Limits::default()
    };
    let mut encoder = Encoder::new();
    encoder
        .rekey(
            Box::new(ToyAead),
            Budget::new(1 << 30, &limits),
            None,
            false,
            &Fives,
        )
        .unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        put(&mut encoder, &[2]);
        seen.push(encoder.is_due());
    }
    assert_eq!(seen, [false, false, true]);
    let limits = Limits {
        rekey_bytes: Some(48),
        ..Limits::default()
    };
    for (budget, due) in [
        (Budget::new(1 << 30, &limits), true),
        (Budget::new(48, &Limits::default()), true),
    ] {
        let mut encoder = Encoder::new();
        encoder
            .rekey(Box::new(ToyAead), budget, None, false, &Fives)
            .unwrap();
        put(&mut encoder, &[2]);
        assert!(!encoder.is_due(), "24 bytes");
        put(&mut encoder, &[2]);
        assert_eq!(encoder.is_due(), due, "48 bytes");
    }
}

// ---- key derivation

#[derive(Debug)]
struct Sha256;

impl Hash for Sha256 {
    fn output_len(&self) -> usize {
        32
    }

    fn digest(&self, parts: &[&[u8]]) -> Secret {
        let mut hash = sha2::Sha256::new();
        parts.iter().for_each(|part| hash.update(part));
        Secret::new(hash.finalize().to_vec())
    }
}

/// Algorithms and their halves that show the keys which they were given.
#[derive(Debug)]
struct Shown(Vec<u8>);

impl SealPacket for Shown {
    fn tag_len(&self) -> usize {
        0
    }

    fn block_len(&self) -> usize {
        8
    }

    fn length_is_padded(&self) -> bool {
        false
    }

    fn seal(&mut self, _seq: u32, packet: &mut [u8]) -> Result<(), CryptoError> {
        packet.copy_from_slice(&self.0);
        Ok(())
    }
}

impl Mac for Shown {
    fn sign(&self, _seq: u32, _data: &[u8], tag: &mut [u8]) {
        tag.copy_from_slice(&self.0);
    }

    fn verify(&self, _seq: u32, _data: &[u8], _tag: &[u8]) -> Result<(), Unauthenticated> {
        Err(Unauthenticated)
    }
}

#[derive(Debug)]
struct Showing;

impl AeadAlgorithm for Showing {
    fn name(&self) -> &'static str {
        "showing"
    }

    fn key_len(&self) -> usize {
        80
    }

    fn iv_len(&self) -> usize {
        12
    }

    fn rekey_after(&self) -> u64 {
        1 << 30
    }

    fn sealer(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn SealPacket>, CryptoError> {
        Ok(Box::new(Shown([iv, key].concat())))
    }

    fn opener(&self, _key: &[u8], _iv: &[u8]) -> Result<Box<dyn OpenPacket>, CryptoError> {
        Err(CryptoError::Failed("only seals"))
    }
}

impl StreamAlgorithm for Showing {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn key_len(&self) -> usize {
        1
    }

    fn iv_len(&self) -> usize {
        1
    }

    fn block_len(&self) -> usize {
        1
    }

    fn rekey_after(&self) -> u64 {
        1 << 30
    }

    fn encryptor(&self, _key: &[u8], _iv: &[u8]) -> Result<Box<dyn StreamCipher>, CryptoError> {
        Ok(Box::new(Counting::default()))
    }

    fn decryptor(&self, _key: &[u8], _iv: &[u8]) -> Result<Box<dyn StreamCipher>, CryptoError> {
        Ok(Box::new(Counting::default()))
    }
}

impl MacAlgorithm for Showing {
    fn name(&self) -> &'static str {
        "showing"
    }

    fn mode(&self) -> MacMode {
        MacMode::EncryptAndMac
    }

    fn key_len(&self) -> usize {
        20
    }

    fn tag_len(&self) -> usize {
        20
    }

    fn start(&self, key: &[u8]) -> Result<Box<dyn Mac>, CryptoError> {
        Ok(Box::new(Shown(key.to_vec())))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The expected values were computed with Python's hashlib, from the sentences of RFC 4253 §7.2:
///
/// ```python
/// K = bytes.fromhex("0000000500ff010203"); H = sha256(b"exchange"); S = sha256(b"session")
/// out = sha256(K + H + letter + S)
/// while len(out) < n: out += sha256(K + H + out)
/// ```
#[test]
fn keys_are_derived_as_by_another_program() {
    let (exchange_hash, session_id) = (Sha256.digest(&[b"exchange"]), Sha256.digest(&[b"session"]));
    let source = KeySource {
        hash: &Sha256,
        secret: b"\0\0\0\x05\0\xff\x01\x02\x03",
        exchange_hash: exchange_hash.expose(),
        session_id: session_id.expose(),
    };
    let aead = Directional {
        cipher: Cipher::Aead(&Showing),
        mac: None,
        compression: None,
    };
    let stream = Directional {
        cipher: Cipher::Stream(&Showing),
        mac: Some(&Showing),
        compression: None,
    };
    for (sender, iv, key, mac_key) in [
        (Side::Client, VECTOR_A, VECTOR_C, VECTOR_E),
        (Side::Server, VECTOR_B, VECTOR_D, VECTOR_F),
    ] {
        let mut shown = [0; 92];
        sealer(&source, sender, &aead)
            .unwrap()
            .seal(0, &mut shown)
            .unwrap();
        assert_eq!(hex(&shown[..12]), iv, "{sender:?}");
        assert_eq!(hex(&shown[12..]), key, "{sender:?}: three hashes long");
        let mut sealer = sealer(&source, sender, &stream).unwrap();
        assert_eq!(sealer.block_len(), 8, "padding aligns to 8 bytes at least");
        let mut shown = [0; 16 + 20];
        sealer.seal(0, &mut shown).unwrap();
        assert_eq!(hex(&shown[16..]), mac_key, "{sender:?}");
    }
}

const VECTOR_A: &str = "a0e17c04911a563b5b1bb3f3";
const VECTOR_B: &str = "4dcf432e5b0f859417b2799a";
const VECTOR_C: &str = "6a479eb23fc0a931fa1bf06b73f1f8ea89717062942cd072a2117858ad6713d82f99fa7b726d0e80\
    d289b8e4284b1895ce4978847f30e59f37434b64983ca63f65151ab6c1bd914aad22fcb25b5ab43d";
const VECTOR_D: &str = "219704eccb86c4488cc18d61f89e258296d7d84bbdea9b60128774d1f3f986e80bdbbd7ac663c00e\
    72fac2f1ff4398e4dd76b1ca5b83ac4b2d37b026f360fbb52e8f3eded10b0c36b565ad88ea7eff40";
const VECTOR_E: &str = "29b0a8e78f18c0592244b2fcb568805cb1037851";
const VECTOR_F: &str = "51d8d956918dec08f3512b6be35a2137622038fc";

#[test]
fn a_stream_cipher_without_a_mac_makes_no_keys() {
    let source = KeySource {
        hash: &Sha256,
        secret: b"",
        exchange_hash: b"",
        session_id: b"",
    };
    let bare = Directional {
        cipher: Cipher::Stream(&Showing),
        mac: None,
        compression: None,
    };
    assert!(sealer(&source, Side::Client, &bare).is_err());
    assert!(opener(&source, Side::Client, &bare).is_err());
}

// ---- payloads

/// RFC 4250 §4.1.1.
#[test]
fn every_number_is_sorted_into_the_layer_that_holds_it() {
    for number in 0..=255u8 {
        let payload = Payload::<Client>::new(BytesMut::from(&[number][..])).unwrap();
        let layer = match payload.sort() {
            Sorted::Transport(_) => wire::Transport::RANGE,
            Sorted::Auth(_) => wire::Auth::RANGE,
            Sorted::Connection(_) => wire::Connection::RANGE,
        };
        assert!(wire::in_range(number, layer), "{number}");
    }
    assert!(Payload::<Client>::new(BytesMut::new()).is_none());
}

#[test]
fn a_tail_is_a_slice_of_the_buffer_that_the_packet_came_in() {
    let mut encoder = Encoder::new();
    put(&mut encoder, &[94; 30_000]);
    let mut wire = BytesMut::with_capacity(1 << 20);
    wire.extend_from_slice(encoder.out());
    let start = wire.as_ptr() as usize;
    let payload = Decoder::new().decode::<Client>(&mut wire).unwrap().unwrap();
    let tail = payload.into_tail(29_991);
    assert_eq!(
        tail.as_ptr() as usize - start,
        5 + 9,
        "behind the lengths and what was not asked for"
    );
    assert_eq!(tail.len(), 29_991);
}

#[test]
fn a_payload_shows_its_number_and_its_length_and_not_what_is_in_it() {
    let payload = Payload::<Client>::new(BytesMut::from(&b"2secret"[..])).unwrap();
    assert_eq!(format!("{payload:?}"), "Payload(50, 7 bytes)");
}
