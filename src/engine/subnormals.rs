//! Numbers too small to matter.
//!
//! Where a sigmoid is saturated or a ReLU dead, gradients and what optimizers remember of them fall below 1.2·10⁻³⁸,
//! the smallest normal number, and processors take a hundred times as long for each operation on those. The loops in
//! which they arise therefore set them to 0. (A processor can do so by itself, but that is a setting of the thread: it
//! would change the results of other code, and ours from thread to thread.)

/// Gradients below this are set to 0: they change no sum that matters, and what is above it stays normal when it is
/// multiplied by a weight.
pub(crate) const TINY: f32 = 1e-30;

/// A gradient, or 0 where it is tiny. NaN stays.
#[inline(always)]
pub(crate) fn tiny_to_zero(value: f32) -> f32 {
    if value.abs() < TINY { 0.0 } else { value }
}

/// A number, or 0 where it is subnormal. NaN stays.
#[inline(always)]
pub(crate) fn subnormal_to_zero(value: f32) -> f32 {
    if value.abs() < f32::MIN_POSITIVE { 0.0 } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tiny_numbers_become_zero() {
        for value in [1e-30, -1e-30, 1.0, -3e38, f32::INFINITY] {
            assert_eq!([tiny_to_zero(value), subnormal_to_zero(value)], [value; 2]);
        }
        for value in [f32::MIN_POSITIVE / 2.0, -1e-45, 0.0, -0.0] {
            assert_eq!([tiny_to_zero(value).to_bits(), subnormal_to_zero(value).to_bits()], [0; 2]);
        }
        assert_eq!((tiny_to_zero(9e-31), subnormal_to_zero(9e-31)), (0.0, 9e-31));
        assert!(tiny_to_zero(f32::NAN).is_nan() && subnormal_to_zero(f32::NAN).is_nan());
    }
}
