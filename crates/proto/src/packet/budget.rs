//! How much may pass under one key (RFC 4253 §9, RFC 4344 §3).

use crate::limits::Limits;

/// What passed in one direction since its keys were changed, and what may.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: u64,
    packets: u64,
    bytes_due: u64,
    packets_due: u64,
}

/// Where a sequence number would be used twice under one key, which ChaCha20-Poly1305 does not
/// survive.
const PACKETS_AT_MOST: u64 = 1 << 32;

impl Budget {
    /// Before the first NEWKEYS nothing is secret, and nothing is due.
    pub(crate) const fn unlimited() -> Self {
        Self {
            bytes: 0,
            packets: 0,
            bytes_due: u64::MAX,
            packets_due: u64::MAX,
        }
    }

    /// For a key that its cipher wants changed after `rekey_after` bytes.
    pub(crate) fn new(rekey_after: u64, limits: &Limits) -> Self {
        Self {
            bytes: 0,
            packets: 0,
            bytes_due: limits.rekey_bytes.unwrap_or(rekey_after),
            packets_due: limits.rekey_packets,
        }
    }

    /// Counts one packet. `false`: it may not pass under this key any more.
    pub(crate) const fn spend(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        self.packets += 1;
        self.packets <= PACKETS_AT_MOST
    }

    /// Whether keys are to be changed.
    pub(crate) const fn is_due(&self) -> bool {
        self.bytes >= self.bytes_due || self.packets >= self.packets_due
    }
}
