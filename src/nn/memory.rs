//! Large results.

/// `length` zeros. Where the system lets us, in large pages: a result of a hundred megabytes is else half of the time spent in page faults.
pub(crate) fn zeros(length: usize) -> Vec<f32> {
    let values = vec![0.0; length];
    #[cfg(target_os = "linux")]
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

#[cfg(test)]
mod tests {
    #[test]
    fn large_results_are_zeros_too() {
        for length in [0, 5, 3 << 20] {
            let values = super::zeros(length);
            assert!(values.len() == length && values.iter().all(|value| *value == 0.0));
        }
    }
}
