//! When compression is in force: it is agreed with each key exchange and begun by authentication.
//!
//! Not compression itself, which is passed in.

use crate::crypto::CompressionAlgorithm;

/// One direction's stream, a [`Compress`](crate::crypto::Compress) or a
/// [`Decompress`](crate::crypto::Decompress).
#[derive(Debug)]
pub(super) struct Delayed<T: ?Sized> {
    agreed: Option<&'static dyn CompressionAlgorithm>,
    begin: Begin,
    /// Made when it is first needed: before authentication it would cost memory for nothing.
    stream: Option<Box<T>>,
}

/// From which packet on it is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// None yet.
    Later,
    /// The one behind the message of this number.
    Behind(u8),
    /// The next one.
    Now,
}

impl<T: ?Sized> Delayed<T> {
    pub(super) const fn new() -> Self {
        Self {
            agreed: None,
            begin: Begin::Later,
            stream: None,
        }
    }

    /// With new keys the stream begins anew (RFC 4253 §6.2).
    pub(super) fn agree(&mut self, agreed: Option<&'static dyn CompressionAlgorithm>) {
        self.agreed = agreed;
        self.stream = None;
    }

    pub(super) const fn begin(&mut self, begin: Begin) {
        self.begin = begin;
    }

    /// A payload that begins with this number has gone as it is.
    pub(super) fn passed(&mut self, number: Option<&u8>) {
        if let (Begin::Behind(last), Some(number)) = (self.begin, number)
            && last == *number
        {
            self.begin = Begin::Now;
        }
    }

    /// The stream that the next packet goes through, if any.
    pub(super) fn stream(
        &mut self,
        start: impl FnOnce(&'static dyn CompressionAlgorithm) -> Box<T>,
    ) -> Option<&mut T> {
        let agreed = self.agreed.filter(|_| self.begin == Begin::Now)?;
        Some(self.stream.get_or_insert_with(|| start(agreed)))
    }
}
