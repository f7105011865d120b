//! Sorting with the same comparisons whatever the numbers are: Batcher's merge exchange.

use std::hint::black_box;

/// Sorts, by Knuth's Algorithm 5.2.2M.
pub(super) fn sort(numbers: &mut [u32]) {
    let top = numbers.len().next_power_of_two() / 2;
    let mut p = top;
    while p > 0 {
        let (mut q, mut r, mut distance) = (top, 0, p);
        loop {
            for lower in 0..numbers.len().saturating_sub(distance) {
                if lower & p == r {
                    exchange(numbers, lower, lower + distance);
                }
            }
            if q == p {
                break;
            }
            distance = q - p;
            q /= 2;
            r = p;
        }
        p /= 2;
    }
}

/// Puts the smaller of two numbers into the lower place.
fn exchange(numbers: &mut [u32], lower: usize, upper: usize) {
    let (a, b) = (numbers[lower], numbers[upper]);
    // All ones where the difference is below zero. Hidden from the optimiser, which could branch.
    let below = black_box((u64::from(b).wrapping_sub(u64::from(a)) >> 32) as u32);
    let change = below & (a ^ b);
    numbers[lower] = a ^ change;
    numbers[upper] = b ^ change;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network sorts everything if it sorts all sequences of zeros and ones (Knuth's 0-1 principle).
    #[test]
    fn every_sequence_of_zeros_and_ones_is_sorted() {
        for len in 0..=13 {
            for bits in 0u32..1 << len {
                let mut numbers: Vec<u32> = (0..len).map(|at| bits >> at & 1).collect();
                sort(&mut numbers);
                assert!(numbers.is_sorted(), "{len} {bits:b}");
                assert_eq!(numbers.iter().sum::<u32>(), bits.count_ones());
            }
        }
    }

    #[test]
    fn the_whole_range_of_numbers_is_sorted_as_ever() {
        let mut state = 1u32;
        let mut numbers: Vec<u32> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state
        })
        .take(761)
        .chain([0, u32::MAX, 0, u32::MAX, 1 << 31])
        .collect();
        let mut expected = numbers.clone();
        expected.sort_unstable();
        sort(&mut numbers);
        assert_eq!(numbers, expected);
    }
}
