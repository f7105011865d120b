//! Decompression of whatever comes, and of what we compressed ourselves.

use crate::seeds::Choices;
use sansftp_crypto::ZLIB;

/// No packet gives more than the ceiling, and the same packets give the same; what was compressed comes
/// back.
pub fn zlib(data: &[u8]) {
    let mut choices = Choices::new(data);
    let ceiling = [0, 1, 100, 70_000][choices.below(4)];
    let mut packets = Vec::new();
    loop {
        let packet = choices.bytes(1 << 16);
        if packet.is_empty() {
            break;
        }
        packets.push(packet);
    }
    let mut streams = [ZLIB.decompressor(), ZLIB.decompressor()];
    for packet in &packets {
        let [first, second] = streams.each_mut().map(|it| it.decompress(packet, ceiling));
        assert_eq!(first, second, "the same packets give the same");
        let Ok(payload) = first else { break };
        assert!(payload.len() <= ceiling);
    }
    let (mut there, mut here) = (ZLIB.compressor(), ZLIB.decompressor());
    for payload in &packets {
        let mut packet = bytes::BytesMut::new();
        there
            .compress(payload, &mut packet)
            .expect("anything can be compressed");
        let again = here.decompress(&packet, payload.len());
        assert_eq!(again.expect("it is ours"), payload);
    }
}
