//! Random polynomials from random bytes.

use super::ring::Polynomial;
use super::sort::sort;
use super::{P, WEIGHT};
use sansftp_proto::crypto::{CryptoError, SecureRandom};
use zeroize::Zeroizing;

/// Each coefficient -1, 0 or 1 alike, but for one in 2^30.
pub(super) fn small(random: &dyn SecureRandom) -> Result<Polynomial, CryptoError> {
    let numbers = numbers(random)?;
    // Three times 30 bits: the two bits above say which third it is.
    let third = |number: &u32| (((number & 0x3fff_ffff) * 3) >> 30) as i16 - 1;
    Ok(Zeroizing::new(numbers.iter().map(third).collect()))
}

/// 286 coefficients -1 or 1, and all others 0, in random places: what sorts them are the upper 30 bits,
/// what they become the lower two.
pub(super) fn short(random: &dyn SecureRandom) -> Result<Polynomial, CryptoError> {
    let mut numbers = numbers(random)?;
    let (set, zero) = numbers.split_at_mut(WEIGHT);
    set.iter_mut().for_each(|number| *number &= !1);
    zero.iter_mut()
        .for_each(|number| *number = *number & !3 | 1);
    sort(&mut numbers);
    let coefficient = |number: &u32| (number & 3) as i16 - 1;
    Ok(Zeroizing::new(numbers.iter().map(coefficient).collect()))
}

/// One number for each coefficient, read little-endian.
fn numbers(random: &dyn SecureRandom) -> Result<Zeroizing<Vec<u32>>, CryptoError> {
    let mut bytes = Zeroizing::new(vec![0; 4 * P]);
    random.fill(&mut bytes)?;
    let (numbers, _) = bytes.as_chunks();
    let numbers = numbers.iter().map(|number| u32::from_le_bytes(*number));
    Ok(Zeroizing::new(numbers.collect()))
}
