//! `zlib@openssh.com` both ways, and what a hostile end makes of it.

use crate::ZLIB;
use crate::random::SeededRandom;
use bytes::BytesMut;
use sansftp_proto::crypto::{Compress, SecureRandom, Undecompressed};

/// What the core allows a payload to have.
const CEILING: usize = 260 * 1024;

fn packed(stream: &mut dyn Compress, payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::from(&b"head"[..]);
    stream.compress(payload, &mut out).unwrap();
    out.split_off(4)
}

/// `length` bytes, of which no more can be said than themselves.
fn noise(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SeededRandom::new([7; 32]).fill(&mut bytes).unwrap();
    bytes
}

#[test]
fn packets_of_every_ratio_come_back_and_each_can_be_read_without_the_next() {
    let (mut there, mut here) = (ZLIB.compressor(), ZLIB.decompressor());
    let text = b"a line that comes again\n".repeat(4000);
    let noise = noise(200_000);
    let zeros = vec![0; 260 * 1024];
    // Also at the very lengths at which buffers grow and blocks end.
    let around = (16_380..16_390).chain(31_730..31_900);
    let around = around.chain([1, 2, 32_767, 32_768, 32_769, 65_535, 65_536]);
    for length in around {
        let payload = noise.get(..length).unwrap();
        let packet = packed(&mut *there, payload);
        assert_eq!(here.decompress(&packet, CEILING).unwrap(), payload);
    }
    for payload in [&text[..], &noise, &zeros, b"x", &zeros, &noise, &text] {
        let packet = packed(&mut *there, payload);
        assert_eq!(here.decompress(&packet, CEILING).unwrap(), payload);
    }
    let again = packed(&mut *there, &noise[..20_000]);
    assert!(again.len() > 19_000, "noise does not get shorter");
    let again = packed(&mut *there, &text);
    assert!(again.len() < 1000, "what came before is remembered");
}

#[test]
fn what_grows_by_little_still_fits_a_packet() {
    let mut there = ZLIB.compressor();
    for length in [1, 32 * 1024 + 9, 256 * 1024] {
        let grown = packed(&mut *there, &noise(length)).len() - length;
        assert!(grown < 200, "{length} grew by {grown}");
    }
}

#[test]
fn a_bomb_is_refused_at_the_ceiling() {
    for length in [CEILING, CEILING + 1, 64 << 20] {
        let bomb = packed(&mut *ZLIB.compressor(), &vec![0; length]);
        let inflated = ZLIB.decompressor().decompress(&bomb, CEILING);
        match length <= CEILING {
            true => assert_eq!(inflated.unwrap().len(), length),
            false => assert_eq!(inflated, Err(Undecompressed)),
        }
    }
}

#[test]
fn blocks_with_nothing_in_them_give_nothing_and_cost_no_more_than_their_length() {
    let header = packed(&mut *ZLIB.compressor(), b"")[..2].to_vec();
    let empty = [0x00, 0x00, 0x00, 0xff, 0xff];
    let packet = [header, empty.repeat(50_000)].concat();
    let mut here = ZLIB.decompressor();
    assert_eq!(here.decompress(&packet, CEILING), Ok(BytesMut::new()));
    assert_eq!(
        here.decompress(&empty.repeat(50_000), CEILING),
        Ok(BytesMut::new())
    );
}

#[test]
fn damage_is_told_or_gives_other_bytes_but_never_more_than_the_ceiling() {
    let payload = b"some text, and some text again, to be damaged".repeat(3);
    let packet = packed(&mut *ZLIB.compressor(), &payload);
    for at in 0..packet.len() {
        for flip in [1, 0x80, 0xff] {
            let mut damaged = packet.to_vec();
            damaged[at] ^= flip;
            if let Ok(out) = ZLIB.decompressor().decompress(&damaged, 200) {
                assert!(out.len() <= 200);
            }
        }
        let short = ZLIB.decompressor().decompress(&packet[..at], CEILING);
        assert!(payload.starts_with(&short.unwrap_or_default()));
    }
}

#[test]
fn a_stream_that_ends_is_refused() {
    let ended = miniz_oxide::deflate::compress_to_vec_zlib(b"the end", 6);
    let inflated = ZLIB.decompressor().decompress(&ended, CEILING);
    assert_eq!(inflated, Err(Undecompressed));
}
