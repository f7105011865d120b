//! Repeatable inputs: a small generator and what is made with it. Not a source of secrets, and no match for libFuzzer,
//! which runs the same bodies with coverage.

use std::io::{self, Write};

/// xorshift64*: enough to reach every state of a small machine, and the same everywhere.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// The sequence that `seed` stands for; any seed is good.
    pub const fn new(seed: u64) -> Self {
        // Zero would stay zero for ever.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub const fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// The next byte.
    pub const fn byte(&mut self) -> u8 {
        (self.next() >> 56) as u8
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound as u64).expect("it is below a usize")
    }

    /// Up to `longest` bytes.
    pub fn bytes(&mut self, longest: usize) -> Vec<u8> {
        let len = self.below(longest + 1);
        (0..len).map(|_| self.byte()).collect()
    }

    /// Writes `len` bytes in which no stretch repeats and that nothing makes smaller; made eight at a time, for large files.
    ///
    /// # Errors
    /// What `out` says.
    pub fn write_to(&mut self, out: &mut impl Write, len: u64) -> io::Result<()> {
        let mut left = len;
        while left > 0 {
            let bytes = self.next().to_le_bytes();
            let taken = left.min(8);
            out.write_all(&bytes[..taken as usize])?;
            left -= taken;
        }
        Ok(())
    }
}

/// `len` bytes that no compression and no error in an offset would keep; the same each time.
pub fn noise(len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    Rng::new(1)
        .write_to(&mut bytes, len as u64)
        .expect("a vector takes all that is written to it");
    bytes
}

/// Takes decisions off the front of a fuzzer's input; when that has run out, every decision is 0.
#[derive(Debug, Clone)]
pub struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    /// Begins at the front of `data`.
    pub const fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    /// Whether nothing is left to decide with.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One byte.
    pub fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        first
    }

    /// A number below `bound`, which is at most 256 and not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound
    }

    /// Up to `longest` bytes, at most 255, as many as there are.
    pub fn bytes(&mut self, longest: usize) -> &'a [u8] {
        let len = usize::from(self.byte()).min(longest).min(self.0.len());
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        taken
    }

    /// A four-byte number.
    pub fn number(&mut self) -> u32 {
        u32::from_be_bytes([(); 4].map(|()| self.byte()))
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}
