//! `zlib@openssh.com` (draft-miller-secsh-compression-delayed, RFC 1950) on miniz_oxide. No cryptography,
//! but provided as it is: a value that a connection's configuration is given.

use bytes::BytesMut;
use miniz_oxide::deflate::core::{CompressorOxide, create_comp_flags_from_zip_params};
use miniz_oxide::deflate::stream::deflate;
use miniz_oxide::inflate::stream::{InflateState, inflate};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus};
use sansftp_proto::crypto::{
    Compress, CompressionAlgorithm, CryptoError, Decompress, Undecompressed,
};
use std::fmt;

/// `zlib@openssh.com`. Each direction of a connection holds some 350 KiB to send and 45 KiB to receive,
/// from the first packet behind authentication on.
pub static ZLIB: &dyn CompressionAlgorithm = &Zlib;

/// zlib's own default, and OpenSSH's.
const LEVEL: i32 = 6;
/// A window of 2^15 bytes, with zlib's header.
const WINDOW_BITS: i32 = 15;
/// By how much inflated output grows at a time, in bytes.
const STEP: usize = 16 * 1024;

#[derive(Debug)]
struct Zlib;

impl CompressionAlgorithm for Zlib {
    fn name(&self) -> &'static str {
        "zlib@openssh.com"
    }

    fn compressor(&self) -> Box<dyn Compress> {
        let flags = create_comp_flags_from_zip_params(LEVEL, WINDOW_BITS, 0);
        Box::new(Deflater(Box::new(CompressorOxide::new(flags))))
    }

    fn decompressor(&self) -> Box<dyn Decompress> {
        Box::new(Inflater(InflateState::new_boxed(DataFormat::Zlib)))
    }
}

struct Deflater(Box<CompressorOxide>);

impl Compress for Deflater {
    fn compress(&mut self, payload: &[u8], out: &mut BytesMut) -> Result<(), CryptoError> {
        let start = out.len();
        let bound = bound(payload.len());
        out.resize(start + bound, 0);
        let room = out.get_mut(start..).unwrap_or_default();
        // RFC 4253 §6.2 asks for a partial flush; the empty stored block of this one is read by all that
        // read the other. In one call: after one that ran out of room nobody can say whether the next one
        // has flushed.
        let done = deflate(&mut self.0, payload, room, MZFlush::Sync);
        out.truncate(start + done.bytes_written);
        let all = done.bytes_consumed == payload.len() && done.bytes_written < bound;
        match done.status {
            Ok(MZStatus::Ok) if all => Ok(()),
            _ => Err(CryptoError::Failed("compression")),
        }
    }
}

/// More than any payload of this length can become: miniz's own bound, and its flush.
const fn bound(len: usize) -> usize {
    len + len / 10 + 256
}

struct Inflater(Box<InflateState>);

impl Decompress for Inflater {
    fn decompress(&mut self, packet: &[u8], ceiling: usize) -> Result<BytesMut, Undecompressed> {
        let mut out = BytesMut::new();
        let mut rest = packet;
        loop {
            let start = out.len();
            // One more than is allowed, so that it is seen when there is more.
            let step = STEP.min(ceiling + 1 - start);
            out.resize(start + step, 0);
            let room = out.get_mut(start..).unwrap_or_default();
            let done = inflate(&mut self.0, rest, room, MZFlush::Sync);
            out.truncate(start + done.bytes_written);
            rest = rest.get(done.bytes_consumed..).unwrap_or_default();
            match done.status {
                // It never ends: the stream is as long as the keys are used.
                Ok(MZStatus::Ok) => {}
                // Nothing more can be had from what has come.
                Err(MZError::Buf) if rest.is_empty() => return Ok(out),
                _ => return Err(Undecompressed),
            }
            if out.len() > ceiling {
                return Err(Undecompressed);
            }
            if rest.is_empty() && done.bytes_written < step {
                return Ok(out);
            }
        }
    }
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deflater")
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inflater")
    }
}
