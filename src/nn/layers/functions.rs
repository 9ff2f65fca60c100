//! Functions of one value for loops that the compiler shall vectorise, which a library's `exp` or `tanh` prevents. NaN
//! stays NaN.

use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

/// eˣ to two units in the last place. Beyond ±87 it stays at the value there.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let (power, rest) = exp_parts(x);
    (1.0 + rest) * power
}

/// eˣ − 1, exact also where that is near 0.
#[inline(always)]
pub(in crate::nn) fn exp_m1(x: f32) -> f32 {
    let (power, rest) = exp_parts(x);
    power * rest + (power - 1.0)
}

/// eˣ to two units in the last place for any x: ∞ where it is too large for a number, 0 where it is too small.
#[inline(always)]
pub(in crate::nn) fn exp_of_any(x: f32) -> f32 {
    let (rounded, rest) = rounded_exp(x.clamp(-104.0, 89.0));
    let n = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) as u32) << 23);
    // Two factors: the exponent of 2ⁿ itself may be out of range where that of eˣ is not.
    (1.0 + rest) * power(n >> 1) * power(n.wrapping_sub(n >> 1))
}

/// 2ⁿ and eʳ − 1 of which eˣ = 2ⁿ · eʳ: with x = n·ln 2 + r and |r| ≤ ln 2 / 2, 2ⁿ goes straight into the exponent's
/// bits and eʳ − 1 is a Taylor polynomial.
#[inline(always)]
fn exp_parts(x: f32) -> (f32, f32) {
    let (rounded, rest) = rounded_exp(x.clamp(-87.0, 87.0));
    (f32::from_bits(rounded.to_bits().wrapping_add(127) << 23), rest)
}

/// Adding 1.5 · 2²³ rounds to an integer, which is then in the lowest bits.
const ROUND: f32 = 12_582_912.0;

/// ln 2 in two parts, the first so short that its multiples are exact.
const LN2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);

/// n + [`ROUND`] and eʳ − 1.
#[inline(always)]
fn rounded_exp(x: f32) -> (f32, f32) {
    let rounded = x * LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN2.0 - n * LN2.1;
    let tail = 1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0))));
    (rounded, r + r * r * (0.5 + r * tail))
}

/// ln x; −∞ at 0, NaN below. With x = 2ⁿ · (1 + f) and 1 + f between √½ and √2, ln(1 + f) = 2 · artanh(f / (2 + f)):
/// the polynomial is that of FreeBSD's `logf`.
#[inline(always)]
pub(in crate::nn) fn ln(x: f32) -> f32 {
    const SQRT_HALF: u32 = 0x3f35_04f3;
    // A subnormal number's bits begin elsewhere.
    let is_small = x < f32::MIN_POSITIVE;
    let bits = (if is_small { x * 8_388_608.0 } else { x }).to_bits().wrapping_add(0x3f80_0000 - SQRT_HALF);
    let n = ((bits >> 23) as i32 - if is_small { 127 + 23 } else { 127 }) as f32;
    let f = f32::from_bits((bits & 0x007f_ffff) + SQRT_HALF) - 1.0;
    let s = f / (2.0 + f);
    let (z, half) = (s * s, 0.5 * f * f);
    let w = z * z;
    let tail = w * (0.400_009_72 + w * 0.242_790_79) + z * (0.666_666_6 + w * 0.284_987_87);
    let y = s * (half + tail) + n * LN2.1 - half + f + n * LN2.0;
    if x > 0.0 {
        if x < f32::INFINITY { y } else { x }
    } else if x == 0.0 {
        f32::NEG_INFINITY
    } else {
        f32::NAN
    }
}

/// 1 / (1 + e⁻ˣ), without overflow for any x.
#[inline(always)]
pub(in crate::nn) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// (e²ˣ − 1) / (e²ˣ + 1).
#[inline(always)]
pub(in crate::nn) fn tanh(x: f32) -> f32 {
    let power = exp_m1(2.0 * x);
    power / (power + 2.0)
}

/// ln(1 + eˣ), without overflow for any x.
#[inline(always)]
pub(in crate::nn) fn softplus(x: f32) -> f32 {
    // ln(1 + u) = 2 · artanh s with s = u / (2 + u), which is at most 1/3.
    let u = exp(-x.abs());
    let s = u / (2.0 + u);
    let t = s * s;
    let tail = 1.0 / 9.0 + t * (1.0 / 11.0 + t * (1.0 / 13.0 + t * (1.0 / 15.0)));
    let series = 1.0 + t * (1.0 / 3.0 + t * (1.0 / 5.0 + t * (1.0 / 7.0 + t * tail)));
    x.max(0.0) + 2.0 * s * series
}

/// The distribution function of N(0, 1) and its density at x: Φ(x) = (1 + erf(x / √2)) / 2 and φ(x) = e^(−x²/2) /
/// √(2π).
#[inline(always)]
pub(in crate::nn) fn normal(x: f32) -> (f32, f32) {
    // Φ(−|x|) = e^(−x²/2) · t · polynomial(t) with t = 1 / (1 + 0.3 · |x| / √2): interpolated in double precision at
    // the Chebyshev nodes of |x| < 14, right to 3·10⁻⁸ of itself. Below, the halves of its coefficients from t⁸ down.
    const TAIL: [f32; 9] = [
        -0.065_385_44,
        0.245_967_14,
        -0.263_075_83,
        0.282_257_1,
        -0.053_491_68,
        0.110_269_59,
        0.073_398_01,
        0.085_474_56,
        0.084_586_53,
    ];
    const DENSITY: f32 = 0.398_942_3;
    let power = exp(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.3 * FRAC_1_SQRT_2 * x.abs());
    let tail = power * t * TAIL.iter().fold(0.0, |sum, coefficient| sum * t + coefficient);
    (if x < 0.0 { tail } else { 1.0 - tail }, DENSITY * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a function at numbers from −`end` to `end`; `error(x, what it gave)` is to be below `bound`.
    fn check(end: f32, function: fn(f32) -> f32, bound: f64, error: impl Fn(f64, f64) -> f64) {
        for step in -500_000..=500_000 {
            let x = end * step as f32 / 500_000.0;
            let got = function(x);
            let error = error(f64::from(x), f64::from(got));
            assert!(error <= bound, "at {x}: got {got}, an error of {error}");
        }
        assert!(function(f32::NAN).is_nan());
    }

    const UNIT: f64 = f32::EPSILON as f64;

    fn relative(got: f64, expected: f64) -> f64 {
        (got - expected).abs() / expected.abs().max(f64::MIN_POSITIVE)
    }

    #[test]
    fn exponentials_are_right_to_some_units_in_the_last_place() {
        check(87.0, exp, 2.0 * UNIT, |x, got| relative(got, x.exp()));
        check(87.0, exp_of_any, 2.0 * UNIT, |x, got| relative(got, x.exp()));
        check(1e-3, |x| ln(1.0 + x), 1.5 * UNIT, |x, got| relative(got, f64::from(1.0 + x as f32).ln()));
        check(40.0, |x| ln(x.exp2()), 1.5 * UNIT, |x, got| relative(got, f64::from((x as f32).exp2()).ln()));
        check(87.0, exp_m1, 3.0 * UNIT, |x, got| relative(got, x.exp_m1()));
        check(1e-3, exp_m1, 2.0 * UNIT, |x, got| relative(got, x.exp_m1()));
        check(40.0, tanh, 4.0 * UNIT, |x, got| relative(got, x.tanh()));
        check(1e-3, tanh, 4.0 * UNIT, |x, got| relative(got, x.tanh()));
        check(87.0, softplus, 4.0 * UNIT, |x, got| relative(got, x.max(0.0) + (-x.abs()).exp().ln_1p()));
    }

    #[test]
    fn functions_stay_finite_for_any_number() {
        assert_eq!([sigmoid(-1e4), sigmoid(0.0), sigmoid(1e4)].map(|v| (v * 1e6).round() / 1e6), [0.0, 0.5, 1.0]);
        assert!(sigmoid(f32::MIN).is_normal(), "a saturated sigmoid would be slow to compute with");
        assert_eq!([tanh(f32::MIN), tanh(0.0), tanh(f32::MAX)], [-1.0, 0.0, 1.0]);
        assert_eq!(softplus(f32::MAX), f32::MAX);
        assert!(softplus(f32::MIN) < 1e-37);
        let ends = [f32::NEG_INFINITY, -104.0, -103.0, -88.0, 88.7, 88.73, f32::INFINITY];
        for (x, got) in ends.map(|x| (f64::from(x), exp_of_any(x))) {
            let expected = x.exp() as f32;
            assert!(
                got == expected || (got / expected - 1.0).abs() < 1e-6 || expected < 1e-40 && got < 1e-40,
                "{x}: {got}"
            );
        }
        assert_eq!([0.0, -0.0, f32::INFINITY].map(ln), [f32::NEG_INFINITY, f32::NEG_INFINITY, f32::INFINITY]);
        assert!([-1.0, f32::NEG_INFINITY, -1e-45].map(ln).iter().all(|y| y.is_nan()));
        assert_eq!([1.0, 1e-45, f32::MAX].map(ln), [0.0, -103.278_93, 88.722_84]);
        assert_eq!([normal(f32::MIN).0, normal(0.0).0, normal(f32::MAX).0], [0.0, 0.5, 1.0]);
    }

    /// Against the integral of the density, by Simpson's rule.
    #[test]
    fn the_normal_distribution_is_right_also_in_its_tail() {
        let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        const STEP: f64 = 1.0 / 1024.0;
        let mut below = 0.0;
        for step in -12 * 1024..=12 * 1024 {
            let x = f64::from(step) * STEP;
            below += STEP / 6.0 * (density(x - STEP) + 4.0 * density(x - 0.5 * STEP) + density(x));
            let (got, height) = normal(x as f32);
            // A tail's error is that of rounding x²/2, too. What lies below −12 is missing in the sum.
            let bound = (4.0 + x * x) * UNIT;
            assert!(relative(f64::from(height), density(x)) < bound, "density at {x}");
            let error = (f64::from(got) - below).abs();
            assert!(error < bound * below + 1e-30 || x < -11.0, "at {x}: expected {below}, got {got}");
        }
        assert!(normal(f32::NAN).0.is_nan());
    }
}
