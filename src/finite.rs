//! Numbers that are neither NaN nor infinite.

use rayon::prelude::*;

/// Where the first value is that is NaN or infinite.
pub(crate) fn first_not_finite(values: &[f32]) -> Option<usize> {
    const BLOCK: usize = 16 * 1024;
    // Without an early exit within a block this is many times faster.
    let all_finite = |block: &[f32]| block.iter().fold(true, |finite, value| finite & value.is_finite());
    let block = values.par_chunks(BLOCK).position_first(|block| !all_finite(block))?;
    let place = values[block * BLOCK..].iter().position(|value| !value.is_finite())?;
    Some(block * BLOCK + place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_found_in_any_block() {
        let mut values = vec![1.0; 50_000];
        assert_eq!((first_not_finite(&values), first_not_finite(&[])), (None, None));
        for (place, value) in [(49_999, f32::INFINITY), (20_000, f32::NAN), (0, f32::NEG_INFINITY)] {
            values[place] = value;
            assert_eq!(first_not_finite(&values), Some(place));
        }
    }
}
