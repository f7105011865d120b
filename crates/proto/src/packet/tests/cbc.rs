//! Encrypt-and-MAC in CBC mode: what is told, and when (RFC 4253 §6; CVE-2008-5161). Not the cipher.

use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Says no, and counts the bytes that were put through it.
#[derive(Debug, Default)]
struct Weighing(Arc<AtomicUsize>);

impl Mac for Weighing {
    fn sign(&self, _: u32, _: &[u8], _: &mut [u8]) {
        unreachable!()
    }

    fn verify(&self, _: u32, data: &[u8], _: &[u8]) -> Result<(), Unauthenticated> {
        assert_eq!(data.len() % 8, 0, "whole blocks");
        self.0.fetch_add(data.len(), Ordering::Relaxed);
        Err(Unauthenticated)
    }
}

/// Encrypt-and-MAC under a cipher that says it is CBC. What it does to the bytes is not the point.
fn as_cbc() -> Decoder {
    let mut decoder = Decoder::new();
    let parts = Parts {
        is_cbc: true,
        ..parts(8)
    };
    decoder.rekey(
        Box::new(EncryptAndMac(parts)),
        Budget::unlimited(),
        None,
        false,
    );
    decoder
}

/// CVE-2008-5161: how many bytes are read, and what is said then, must not depend on what a block that
/// was put in decrypts to.
#[test]
fn in_cbc_mode_a_wrong_length_and_a_wrong_code_are_told_after_the_same_bytes_and_in_the_same_words()
{
    let longest = u32::try_from(limits::PACKET).unwrap();
    let of_length = |len: u32| {
        let mut block = [&len.to_be_bytes()[..], &[0; 4]].concat();
        Counting::default().apply(&mut block);
        block
    };
    let mut wrong_code = forged(Framing::EncryptAndMac, 20, 6).to_vec();
    *wrong_code.last_mut().unwrap() ^= 1;
    let fronts = [0, 1, 7, 13, longest + 4, 0x8000_0000, u32::MAX].map(of_length);
    let all = 4 + limits::PACKET + 4;
    for front in fronts
        .iter()
        .chain([&wrong_code, &of_length(20), &of_length(30_004)])
    {
        for piece in [1, 1000, 100_000, all] {
            let mut decoder = as_cbc();
            let mut sent = front.clone();
            // Without a right code anywhere.
            sent.resize(all, 0xa5);
            let mut input = BytesMut::new();
            let mut read = 0;
            let said = loop {
                let more = piece.min(all - read);
                input.extend_from_slice(&sent[read..read + more]);
                read += more;
                match take(&mut decoder, &mut input) {
                    Ok(None) => assert!(read < all, "nothing is said at the end"),
                    Ok(Some(_)) => panic!("it was taken for a packet"),
                    Err(error) => break error,
                }
            };
            assert_eq!(
                (said, read),
                (Error::Integrity, all),
                "in pieces of {piece}"
            );
        }
    }
}

/// The time until the answer: as much is put through the code whatever the length seems to be.
#[test]
fn in_cbc_mode_a_wrong_length_costs_as_much_as_a_wrong_code() {
    let all = 4 + limits::PACKET + 4;
    let work = [0, 12, 20, 30_004, 200_004, u32::MAX].map(|len: u32| {
        let weighed = Weighing::default();
        let seen = Arc::clone(&weighed.0);
        let parts = Parts {
            mac: Box::new(weighed),
            is_cbc: true,
            ..parts(8)
        };
        let mut decoder = Decoder::new();
        let opener = Box::new(EncryptAndMac(parts));
        decoder.rekey(opener, Budget::unlimited(), None, false);
        let mut sent = len.to_be_bytes().to_vec();
        sent.resize(8, 0);
        Counting::default().apply(&mut sent);
        sent.resize(all, 0xa5);
        let refused = take(&mut decoder, &mut BytesMut::from(&sent[..]));
        assert_eq!(refused, Err(Error::Integrity));
        seen.load(Ordering::Relaxed)
    });
    for done in work {
        // The tags of one that was opened before, and what is no whole block.
        assert!((all - 16..=all).contains(&done), "{done} of {all}");
    }
}

#[test]
fn in_cbc_mode_a_right_packet_is_read_as_soon_as_it_is_there() {
    let mut packet = forged(Framing::EncryptAndMac, 20, 6);
    let read = take(&mut as_cbc(), &mut packet).unwrap().unwrap();
    assert_eq!(read.len(), 13);
    // With the length in clear and the code checked first there is nothing to hide.
    let mut decoder = Decoder::new();
    let parts = Parts {
        is_cbc: true,
        ..parts(8)
    };
    decoder.rekey(
        Box::new(EncryptThenMac(parts)),
        Budget::unlimited(),
        None,
        false,
    );
    let refused = take(&mut decoder, &mut BytesMut::from(&[0xff; 4][..]));
    assert_eq!(refused, Err(PeerMisbehaved::BadPacketLength.into()));
}
