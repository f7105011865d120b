//! Polynomials as bytes (NTRU Prime, §3.2): numbers below small moduli are put together two by two until
//! one is left, and whole bytes are let out as soon as they are there.

use super::ring::Polynomial;
use super::{P, Q, SMALL_LEN};
use zeroize::Zeroizing;

/// Coefficients modulo q.
const PUBLIC_MODULUS: u32 = Q as u32;
/// Multiples of 3 nearest to coefficients modulo q.
const ROUNDED_MODULUS: u32 = (Q as u32).div_ceil(3);
/// What makes a coefficient at least zero.
const HALF: i16 = Q / 2;
/// Moduli stay below this.
const LIMIT: u32 = 1 << 14;

/// A polynomial modulo q: 1158 bytes.
pub(super) fn encode_public(h: &Polynomial) -> Vec<u8> {
    let numbers = h.iter().map(|&number| (number + HALF) as u32);
    encode(numbers.collect(), PUBLIC_MODULUS)
}

/// A polynomial modulo q from public bytes. Numbers that are too large are reduced, as the specification
/// has it; the hash over the bytes tells them apart.
pub(super) fn decode_public(bytes: &[u8]) -> Polynomial {
    let numbers = decode(bytes, PUBLIC_MODULUS).into_iter();
    Zeroizing::new(numbers.map(|number| number as i16 - HALF).collect())
}

/// A polynomial of multiples of 3: 1007 bytes.
pub(super) fn encode_rounded(rounded: &Polynomial) -> Vec<u8> {
    // A third of what is a multiple of 3, by 10923 / 2^15.
    let third = |&number: &i16| ((number + HALF) as u32 * 10_923) >> 15;
    encode(rounded.iter().map(third).collect(), ROUNDED_MODULUS)
}

/// A polynomial of multiples of 3 from public bytes.
pub(super) fn decode_rounded(bytes: &[u8]) -> Polynomial {
    let numbers = decode(bytes, ROUNDED_MODULUS).into_iter();
    Zeroizing::new(numbers.map(|number| number as i16 * 3 - HALF).collect())
}

/// A polynomial of -1, 0 and 1: two bits each.
pub(super) fn encode_small(small: &Polynomial) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(SMALL_LEN));
    for four in small.chunks(4) {
        let byte = four.iter().rev();
        bytes.push(byte.fold(0, |byte, &number| byte << 2 | (number + 1) as u8));
    }
    bytes
}

/// p numbers below `modulus`.
fn encode(numbers: Vec<u32>, modulus: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut numbers = Zeroizing::new(numbers);
    let mut moduli = vec![modulus; P];
    while numbers.len() > 1 {
        let mut next = Zeroizing::new(Vec::with_capacity(P.div_ceil(2)));
        for (pair, moduli) in numbers.chunks(2).zip(moduli.chunks(2)) {
            let (&[low, high], &[m, n]) = (pair, moduli) else {
                next.extend_from_slice(pair);
                continue;
            };
            let mut number = low + m * high;
            for _ in 0..Together::of(m, n).bytes {
                bytes.push(number as u8);
                number >>= 8;
            }
            next.push(number);
        }
        numbers = next;
        moduli = together(&moduli);
    }
    let mut number = numbers[0];
    for _ in 0..last_bytes(moduli[0]) {
        bytes.push(number as u8);
        number >>= 8;
    }
    bytes
}

/// The p numbers below `modulus` in public bytes: divides, and takes more or less time with the number.
fn decode(bytes: &[u8], modulus: u32) -> Vec<u32> {
    decode_level(&mut bytes.iter(), &vec![modulus; P])
}

fn decode_level(bytes: &mut std::slice::Iter<'_, u8>, moduli: &[u32]) -> Vec<u32> {
    if let &[modulus] = moduli {
        return vec![take(bytes, last_bytes(modulus)) % modulus];
    }
    let bottoms: Vec<u32> = moduli
        .chunks(2)
        .map(|pair| match *pair {
            [m, n] => take(bytes, Together::of(m, n).bytes),
            _ => 0,
        })
        .collect();
    let tops = decode_level(bytes, &together(moduli));
    let mut numbers = Vec::with_capacity(moduli.len());
    for ((pair, bottom), top) in moduli.chunks(2).zip(bottoms).zip(tops) {
        let &[m, n] = pair else {
            numbers.push(top);
            continue;
        };
        let number = bottom + (top << (8 * Together::of(m, n).bytes));
        numbers.push(number % m);
        numbers.push(number / m % n);
    }
    numbers
}

/// The next bytes as a number. The caller has seen that there are enough.
fn take(bytes: &mut std::slice::Iter<'_, u8>, count: u32) -> u32 {
    let bytes = bytes.by_ref().take(count as usize).zip((0..).step_by(8));
    bytes.fold(0, |number, (&byte, shift)| {
        number | u32::from(byte) << shift
    })
}

/// What becomes of two numbers below m and n.
struct Together {
    /// So many bytes are let out,
    bytes: u32,
    /// and what is left is below this.
    modulus: u32,
}

impl Together {
    const fn of(m: u32, n: u32) -> Self {
        let (mut bytes, mut modulus) = (0, m * n);
        while modulus >= LIMIT {
            bytes += 1;
            modulus = modulus.div_ceil(256);
        }
        Self { bytes, modulus }
    }
}

/// The moduli of the next level; the last of an odd number stays as it is.
fn together(moduli: &[u32]) -> Vec<u32> {
    let next = moduli.chunks(2).map(|pair| match *pair {
        [m, n] => Together::of(m, n).modulus,
        _ => pair[0],
    });
    next.collect()
}

/// Bytes of the number that is left at last.
const fn last_bytes(mut modulus: u32) -> u32 {
    let mut bytes = 0;
    while modulus > 1 {
        bytes += 1;
        modulus = modulus.div_ceil(256);
    }
    bytes
}
