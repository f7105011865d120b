//! Numbers modulo 3 and modulo q, each the one nearest to zero, without a division.

use super::Q;

/// 2^40 / q, to the nearest.
const RECIPROCAL: i64 = ((1 << 40) + (Q as i64) / 2) / Q as i64;

/// 1/q modulo 2^16: Newton's iteration doubles the bits that are right, of which an odd number is three
/// of its own inverse.
const INVERSE: i16 = {
    let mut inverse = Q;
    let mut round = 0;
    while round < 4 {
        inverse = inverse.wrapping_mul(2i16.wrapping_sub(Q.wrapping_mul(inverse)));
        round += 1;
    }
    inverse
};

/// The residue in -1, 0, 1. For numbers below 2^14 in either direction, where a third by 10923 / 2^15
/// is rounded as a third is.
pub(super) const fn mod3(number: i32) -> i16 {
    let third = (number * 10_923 + (1 << 14)) >> 15;
    (number - 3 * third) as i16
}

/// The residue from -(q-1)/2 to (q-1)/2. For numbers below 2^25 in either direction: the reciprocal is off
/// by less than 2^-41 of each, and a multiple of 1/q is never nearer to a half than 1/2q.
pub(super) const fn mod_q(number: i32) -> i16 {
    let quotient = (number as i64 * RECIPROCAL + (1 << 39)) >> 40;
    (number as i64 - quotient * Q as i64) as i16
}

/// a·b / 2^16 modulo q (Montgomery), for |a·b| < 2^15·q. The result is at most |a·b| / 2^16 + q/2 away
/// from zero.
pub(super) const fn montgomery(a: i16, b: i16) -> i16 {
    let multiple = a.wrapping_mul(b).wrapping_mul(INVERSE);
    // Both products end in the same 16 bits, so their upper halves differ by what their sum does.
    high(a, b).wrapping_sub(high(multiple, Q))
}

const fn high(a: i16, b: i16) -> i16 {
    ((a as i32 * b as i32) >> 16) as i16
}

/// 1/a modulo q, by Fermat: a^(q-2). The exponent is no secret. Zero for zero.
pub(super) const fn reciprocal(a: i16) -> i16 {
    let mut power = 1;
    let mut bit = 1 << 12;
    while bit > 0 {
        power = mod_q(power as i32 * power as i32);
        if (Q - 2) & bit != 0 {
            power = mod_q(power as i32 * a as i32);
        }
        bit >>= 1;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn residues_modulo_3_are_those_of_division() {
        for number in -(1 << 14) + 1..1 << 14 {
            let nearest = (number + 1i32).rem_euclid(3) - 1;
            assert_eq!(i32::from(mod3(number)), nearest, "{number}");
        }
    }

    #[test]
    fn residues_modulo_q_are_those_of_division() {
        let (q, limit) = (i32::from(Q), 1i32 << 25);
        let half = q / 2;
        let nearest = |number: i32| (number + half).rem_euclid(q) - half;
        // Where a multiple ends and the next begins, at both sides of each.
        for multiple in -limit / q + 1..limit / q {
            for number in [multiple * q - half, multiple * q, multiple * q + half] {
                assert_eq!(i32::from(mod_q(number)), nearest(number), "{number}");
                assert_eq!(
                    i32::from(mod_q(number + 1)),
                    nearest(number + 1),
                    "{number}"
                );
            }
        }
    }

    #[test]
    fn montgomerys_product_is_the_product_over_2_to_the_16() {
        let bound = 2 * i32::from(Q);
        for a in (-bound..bound).step_by(37) {
            for b in (-bound..bound).step_by(41) {
                let product = montgomery(a as i16, b as i16);
                let (q, exact) = (i64::from(Q), i64::from(a) * i64::from(b));
                assert_eq!((i64::from(product) * (1 << 16) - exact) % q, 0, "{a} {b}");
                assert!(i64::from(product).abs() <= exact.abs() / (1 << 16) + q / 2 + 1);
            }
        }
    }

    #[test]
    fn everything_but_zero_has_a_reciprocal() {
        for a in -Q / 2..=Q / 2 {
            let one = mod_q(i32::from(a) * i32::from(reciprocal(a)));
            assert_eq!(one, i16::from(a != 0), "{a}");
        }
    }
}
