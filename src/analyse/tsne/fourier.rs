//! Convolutions in the plane by fast Fourier transforms (rustfft).

use std::sync::Arc;

use rayon::prelude::*;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner, num_complex::Complex32};

/// Columns or rows that are gathered at a time, so that each cache line is read once.
const BLOCK: usize = 8;

/// The convolution of square images with one symmetric kernel.
pub(super) struct Convolution {
    side: usize,
    along_x: Arc<dyn RealToComplex<f32>>,
    back_along_x: Arc<dyn ComplexToReal<f32>>,
    along_y: Arc<dyn Fft<f32>>,
    back_along_y: Arc<dyn Fft<f32>>,
    /// The kernel's spectrum, divided by the size squared and the response: (kx, ky), kx from 0 to `side`.
    spectrum: Vec<f32>,
}

/// The next side with a fast transform: 32, 64, 96, 128, 192, 256, 384 and so on.
pub(super) fn side_of_at_least(side: usize) -> usize {
    let power = side.next_power_of_two().max(32);
    let between = power / 4 * 3;
    if side <= between && between.is_multiple_of(32) { between } else { power }
}

impl Convolution {
    /// `kernel(dx, dy)` for distances from 0 to `side`, the same in all directions; `response(k)` is what the
    /// spectrum is divided by along each axis, for the frequencies k / (2 · side).
    pub fn new(side: usize, kernel: impl Fn(usize, usize) -> f32 + Sync, response: impl Fn(f64) -> f64) -> Self {
        let size = 2 * side;
        let (mut real, mut complex) = (RealFftPlanner::new(), FftPlanner::new());
        let (along_x, back_along_x) = (real.plan_fft_forward(size), real.plan_fft_inverse(size));
        let (along_y, back_along_y) = (complex.plan_fft_forward(size), complex.plan_fft_inverse(size));
        let fold = |i: usize| i.min(size - i);
        let mut rows = vec![Complex32::ZERO; size * (side + 1)];
        rows.par_chunks_mut(side + 1).enumerate().for_each(|(y, row)| {
            let mut values: Vec<f32> = (0..size).map(|x| kernel(fold(x), fold(y))).collect();
            along_x.process(&mut values, row).expect(FITS);
        });
        let response: Vec<f64> = (0..size).map(|k| response(k as f64 / size as f64)).collect();
        let spectrum = (0..=side).into_par_iter().flat_map_iter(|kx| {
            let mut column: Vec<Complex32> = rows.chunks_exact(side + 1).map(|row| row[kx]).collect();
            along_y.process(&mut column);
            let scale = (size * size) as f64 * response[kx];
            let divided = |(value, response): (&Complex32, &f64)| (f64::from(value.re) / (scale * response)) as f32;
            column.iter().zip(&response).map(divided).collect::<Vec<_>>()
        });
        let spectrum = spectrum.collect();
        Self { side, along_x, back_along_x, along_y, back_along_y, spectrum }
    }

    /// The convolution of an image (side, side), padded with zeros. Each transform is computed by one thread: the same
    /// bits with any number of them.
    pub fn apply(&self, image: &[f32]) -> Vec<f32> {
        let (side, size, width) = (self.side, 2 * self.side, self.side + 1);
        let zeros = |count: usize| vec![Complex32::ZERO; count];
        // Along x: (y, kx).
        let mut rows = zeros(side * width);
        rows.par_chunks_mut(width).zip(image.par_chunks(side)).for_each_init(
            || (vec![0.0; size], self.along_x.make_scratch_vec()),
            |(values, scratch), (row, image)| {
                values[..side].copy_from_slice(image);
                values[side..].fill(0.0);
                self.along_x.process_with_scratch(values, row, scratch).expect(FITS);
            },
        );
        // Along y and back, in between times the spectrum: (kx, y).
        let mut columns = zeros(width * side);
        let scratch = self.along_y.get_inplace_scratch_len().max(self.back_along_y.get_inplace_scratch_len());
        columns.par_chunks_mut(BLOCK * side).zip(self.spectrum.par_chunks(BLOCK * size)).enumerate().for_each_init(
            || (zeros(BLOCK * size), zeros(scratch)),
            |(values, scratch), (block, (columns, spectrum))| {
                let values = &mut values[..spectrum.len()];
                values.fill(Complex32::ZERO);
                for (y, row) in rows.chunks_exact(width).enumerate() {
                    for (values, value) in values.chunks_exact_mut(size).zip(&row[block * BLOCK..]) {
                        values[y] = *value;
                    }
                }
                self.along_y.process_with_scratch(values, scratch);
                values.iter_mut().zip(spectrum).for_each(|(value, factor)| *value *= *factor);
                self.back_along_y.process_with_scratch(values, scratch);
                for (column, values) in columns.chunks_exact_mut(side).zip(values.chunks_exact(size)) {
                    column.copy_from_slice(&values[..side]);
                }
            },
        );
        // Back along x: (y, x).
        let mut out = vec![0.0; side * side];
        out.par_chunks_mut(BLOCK * side).enumerate().for_each_init(
            || (zeros(BLOCK * width), vec![0.0; size], self.back_along_x.make_scratch_vec()),
            |(values, row, scratch), (block, out)| {
                for (kx, column) in columns.chunks_exact(side).enumerate() {
                    for (values, value) in values.chunks_exact_mut(width).zip(&column[block * BLOCK..]) {
                        values[kx] = *value;
                    }
                }
                for (out, values) in out.chunks_exact_mut(side).zip(values.chunks_exact_mut(width)) {
                    // Real but for rounding, which the inverse transform refuses.
                    (values[0].im, values[side].im) = (0.0, 0.0);
                    self.back_along_x.process_with_scratch(values, row, scratch).expect(FITS);
                    out.copy_from_slice(&row[..side]);
                }
            },
        );
        out
    }
}

/// Why a transform cannot fail.
const FITS: &str = "buffers have the sizes of the plan";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn convolutions_are_those_of_the_definition() {
        for side in [32, 64, 96] {
            let kernel = |dx: usize, dy: usize| 1.0 / (1.0 + (dx * dx) as f32 + 0.5 * (dy * dy) as f32);
            let image: Vec<f32> = (0..side * side).map(|i| ((i * 7919) % 17) as f32 - 8.0).collect();
            let out = Convolution::new(side, kernel, |_| 1.0).apply(&image);
            for (x, y) in [(0, 0), (side - 1, 0), (3, 17), (20, 31), (side - 1, side - 1)] {
                let sum: f32 =
                    (0..side * side).map(|i| kernel(x.abs_diff(i % side), y.abs_diff(i / side)) * image[i]).sum();
                assert!((out[y * side + x] - sum).abs() < 1e-3, "{side}: {} is not {sum}", out[y * side + x]);
            }
        }
    }

    #[test]
    fn sides_fit() {
        let sides = [1, 33, 65, 96, 97, 129, 200, 300, 400].map(side_of_at_least);
        assert_eq!(sides, [32, 64, 96, 96, 128, 192, 256, 384, 512]);
    }
}
