//! Polynomials modulo x^p - x - 1: products, and inverses by division steps that are the same for every
//! polynomial (Bernstein and Yang, Fast constant-time gcd computation and modular inversion, §6 and §7).

use super::field::{mod_q, montgomery, reciprocal};
use super::{P, Q};
use std::hint::black_box;
use zeroize::Zeroizing;

/// p coefficients, the constant one first.
pub(super) type Polynomial = Zeroizing<Vec<i16>>;

/// a·b, each coefficient brought back by `reduce`. The coefficients of `a` are at most q/2, those of `b`
/// at most 1 away from zero.
pub(super) fn product(a: &Polynomial, b: &Polynomial, reduce: impl Fn(i32) -> i16) -> Polynomial {
    let mut sums = Zeroizing::new(vec![0i32; 2 * P - 1]);
    for (position, &b) in b.iter().enumerate() {
        for (sum, &a) in sums[position..].iter_mut().zip(a.iter()) {
            *sum += i32::from(a) * i32::from(b);
        }
    }
    // x^p = x + 1. No coefficient is then further from zero than 3·p·q/2, less than 2^23.
    let (low, high) = sums.split_at_mut(P);
    for (position, &sum) in high.iter().enumerate() {
        low[position] += sum;
        low[position + 1] += sum;
    }
    Zeroizing::new(low.iter().map(|&sum| reduce(sum)).collect())
}

/// 1/a modulo 3, for coefficients -1, 0 and 1; `None` where there is none, which says nothing about any
/// polynomial that is used.
pub(super) fn reciprocal_mod3(a: &Polynomial) -> Option<Polynomial> {
    let mut steps = Steps::new(a, 1);
    for _ in 0..2 * P - 1 {
        let (f0, g0) = steps.exchange(|g0| g0);
        // f0 is -1 or 1, so this is g - f·g0/f0.
        let factor = -f0 * g0;
        let step = |f: i16, g: i16| {
            let sum = g + factor * f;
            // From -2..=2 to -1..=1.
            sum - 3 * ((sum - (sum >> 15)) >> 1)
        };
        steps.step(step);
    }
    let sign = steps.f[0];
    (steps.delta == 0).then(|| steps.quotient(|number| sign * number))
}

/// 1/3a modulo q, for an `a` other than zero.
///
/// Each step leaves both rows 2^16 times too small, by Montgomery, which is a common factor of f and v in
/// the end. No coefficient gets further from zero than b = 5600: two products of such are at most
/// 2·(b²/2^16 + q/2) apart.
pub(super) fn reciprocal_of_triple(a: &Polynomial) -> Polynomial {
    const THIRD: i16 = reciprocal(3);
    let mut steps = Steps::new(a, THIRD);
    for _ in 0..2 * P - 1 {
        let (f0, g0) = steps.exchange(|g0| mod_q(g0.into()));
        steps.step(|f, g| montgomery(f0, g) - montgomery(g0, f));
    }
    let scale = i32::from(reciprocal(mod_q(steps.f[0].into())));
    steps.quotient(|number| mod_q(i32::from(number) * scale))
}

/// Two rows, (f, v) and (g, r), where f = v·a and g = r·a up to multiples of the modulus, with all
/// polynomials reversed. Each step makes g one shorter, until f is a constant.
struct Steps {
    f: Row,
    g: Row,
    v: Row,
    r: Row,
    delta: i32,
}

type Row = Zeroizing<Vec<i16>>;

impl Steps {
    fn new(a: &Polynomial, one: i16) -> Self {
        let row = || Zeroizing::new(vec![0i16; P + 1]);
        let (mut f, mut g, v, mut r) = (row(), row(), row(), row());
        f[0] = 1;
        f[P - 1] = -1;
        f[P] = -1;
        for (to, from) in g.iter_mut().zip(a.iter().rev()) {
            *to = *from;
        }
        r[0] = one;
        Self {
            f,
            g,
            v,
            r,
            delta: 1,
        }
    }

    /// Multiplies v by x, and exchanges the rows where it is their turn: where delta is above zero and
    /// the constant of g is not zero. The constants of f and g then.
    fn exchange(&mut self, canonical: impl Fn(i16) -> i16) -> (i16, i16) {
        self.v.copy_within(..P, 1);
        self.v[0] = 0;
        let g0 = i32::from(canonical(self.g[0]));
        // All ones for yes. Hidden from the optimiser, which could branch.
        let turn = black_box((-self.delta >> 31) & ((g0 | -g0) >> 31));
        self.delta = (self.delta ^ (turn & (self.delta ^ -self.delta))) + 1;
        let turn = turn as i16;
        for (a, b) in [(&mut self.f, &mut self.g), (&mut self.v, &mut self.r)] {
            for (a, b) in a.iter_mut().zip(b.iter_mut()) {
                let change = turn & (*a ^ *b);
                *a ^= change;
                *b ^= change;
            }
        }
        (self.f[0], self.g[0])
    }

    /// Puts a sum of both rows into the second, in which the constant of g is zero, and divides g by x.
    fn step(&mut self, sum: impl Fn(i16, i16) -> i16) {
        for (f, g) in [(&self.f, &mut self.g), (&self.v, &mut self.r)] {
            for (f, g) in f.iter().zip(g.iter_mut()) {
                *g = sum(*f, *g);
            }
        }
        self.g.copy_within(1.., 0);
        self.g[P] = 0;
    }

    /// v over the constant that f has become, the right way round again.
    fn quotient(&self, divide: impl Fn(i16) -> i16) -> Polynomial {
        let numbers = self.v[..P].iter().rev();
        Zeroizing::new(numbers.map(|&number| divide(number)).collect())
    }
}

/// Compile-time proof that the bound of [`reciprocal_of_triple`] holds and lets Montgomery's be.
const _: () = {
    let (bound, q) = (5600, Q as i32);
    assert!(2 * (bound * bound / (1 << 16) + q / 2 + 1) < bound);
    assert!(bound * bound < q << 15);
};
