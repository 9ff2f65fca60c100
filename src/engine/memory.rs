//! Memory of large results, and of what is read next.

use crate::{
    error::{Error, ErrorKind, Result},
    limit,
};

use super::vector::vectorized;

/// The product of `factors`, if [`limit::check`] allows that many values and offsets of 32 bits reach all of them:
/// those of one feature map, of a layer's weights, of a layer for a whole batch.
pub(crate) fn count(place: &str, what: &str, factors: &[usize]) -> Result<usize> {
    let count = limit::check(place, what, factors)?;
    match u32::try_from(count) {
        Ok(_) => Ok(count),
        Err(_) => {
            let expected = format!("at most {} values, whatever memory there is", u32::MAX);
            Err(Error::expected(ErrorKind::Argument, place, expected, format!("{count} ({what})")))
        }
    }
}

/// `length` zeros, in large pages where the system has them: page faults would otherwise take half of the time of a
/// result of a hundred megabytes.
pub(crate) fn zeros(length: usize) -> Vec<f32> {
    let values = vec![0.0; length];
    #[cfg(all(target_os = "linux", not(miri)))]
    {
        const LARGE_PAGE: usize = 2 << 20;
        let bytes = std::mem::size_of_val(&values[..]);
        let start = values.as_ptr().align_offset(LARGE_PAGE) * size_of::<f32>();
        if bytes >= start.saturating_add(2 * LARGE_PAGE) {
            let length = (bytes - start) / LARGE_PAGE * LARGE_PAGE;
            // SAFETY: whole pages within our own allocation; this is advice about them and changes no value.
            unsafe { libc::madvise(values.as_ptr().cast_mut().byte_add(start).cast(), length, libc::MADV_HUGEPAGE) };
        }
    }
    values
}

vectorized! {
    /// Copies values; returns whether none of them is NaN or infinite.
    pub(crate) fn copy_and_check(from: &[f32], to: &mut [f32]) -> bool {
        const SIGN: u32 = 1 << 31;
        let mut largest = 0;
        for (to, from) in to.iter_mut().zip(from) {
            *to = *from;
            largest = largest.max(from.to_bits() & !SIGN);
        }
        largest < f32::INFINITY.to_bits()
    }
}

/// Asks for values that are about to be read, where the processor cannot foresee it (x86-64).
pub(crate) fn prefetch<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for line in values.chunks(64 / size_of::<T>()) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: it reads and changes no value, wherever the pointer leads.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

/// Asks for the line of a value that is read some microseconds later (x86-64), wherever the pointer leads.
#[inline(always)]
pub(super) fn prefetch_to_second_level(value: *const f32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: it reads and changes no value.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(value.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_copy_knows_whether_all_values_are_finite() {
        let (largest, mut to) = ([f32::MAX, -f32::MAX, -0.0], [1.0; 50]);
        for (value, is_finite) in largest.map(|value| (value, true)).into_iter().chain([
            (f32::INFINITY, false),
            (f32::NEG_INFINITY, false),
            (f32::NAN, false),
            (-f32::NAN, false),
        ]) {
            for place in [0, 31, 49] {
                let mut from = [0.25; 50];
                from[place] = value;
                assert_eq!(super::copy_and_check(&from, &mut to), is_finite, "{value} at {place}");
                assert!(to.map(f32::to_bits) == from.map(f32::to_bits));
            }
        }
    }

    #[test]
    fn large_results_are_zeros_too() {
        for length in [0, 5, if cfg!(miri) { 1 << 10 } else { 3 << 20 }] {
            let values = super::zeros(length);
            assert!(values.len() == length && values.iter().all(|value| *value == 0.0));
        }
    }
}
