//! Bytes of grey images as numbers.

use super::vector::vectorized;

/// 1/255 in two parts, of which the first has an exact product with every byte: the sum of both products is the
/// quotient to the bit, without a division.
const FIRST: f32 = 257.0 / 65_536.0;
const SECOND: f32 = 1.0 / 255.0 / 65_536.0;

vectorized! {
    /// Bytes from 0 to 255 as numbers from 0 to 1.
    pub(crate) fn write_grey_levels(bytes: &[u8], levels: &mut [f32]) {
        let level = |byte: u8| f32::from(byte) * FIRST + f32::from(byte) * SECOND;
        levels.iter_mut().zip(bytes).for_each(|(to, byte)| *to = level(*byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_the_quotients_to_the_bit() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut levels = [f32::NAN; 256];
        write_grey_levels(&bytes, &mut levels);
        bytes.iter().zip(levels).for_each(|(byte, level)| assert_eq!(level, f32::from(*byte) / 255.0));
    }
}
