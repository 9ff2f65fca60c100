//! Matrices transposed in registers.

use super::vector::{Instructions, Portable, Vector, transposed};

/// Writes rows of `width` values: row i has `values[j · stride + i]` for j up to `count`, at most the width, and then
/// zeros.
pub(crate) fn transpose(
    instructions: Instructions,
    values: &[f32],
    stride: usize,
    count: usize,
    width: usize,
    out: &mut [f32],
) {
    match instructions {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: these values exist only where the processor has the instructions; so in all of these.
        Instructions::Avx2 => unsafe { avx2(values, stride, count, width, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Instructions::Avx512 => unsafe { avx512(values, stride, count, width, out) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Instructions::Neon => unsafe {
            run::<std::arch::aarch64::float32x4_t, 4>(values, stride, count, width, out);
        },
        // SAFETY: it needs no instructions.
        Instructions::Portable => unsafe { run::<Portable, 8>(values, stride, count, width, out) },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(values: &[f32], stride: usize, count: usize, width: usize, out: &mut [f32]) {
    // SAFETY: these are the instructions of this vector.
    unsafe { run::<std::arch::x86_64::__m512, 16>(values, stride, count, width, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(values: &[f32], stride: usize, count: usize, width: usize, out: &mut [f32]) {
    // SAFETY: as above.
    unsafe { run::<std::arch::x86_64::__m256, 8>(values, stride, count, width, out) }
}

/// # Safety
/// The processor has the vector's instructions; it holds N values.
#[inline(always)]
unsafe fn run<V: Vector, const N: usize>(values: &[f32], stride: usize, count: usize, width: usize, out: &mut [f32]) {
    let height = out.len() / width;
    for first in (0..width).step_by(N) {
        for row in (0..height).step_by(N) {
            let [lines, columns] = [N.min(height - row), N.min(width - first)];
            // SAFETY: the caller has the instructions; values are read from and written to slices that hold them.
            unsafe {
                let mut square = [V::splat(0.0); N];
                for (column, to) in (first..count).zip(&mut square) {
                    let from = values[column * stride + row..][..lines].as_ptr();
                    *to = if lines == N { V::load(from) } else { V::load_first(from, lines) };
                }
                for (out, values) in out[row * width..].chunks_exact_mut(width).zip(transposed(square)).take(lines) {
                    let to = out[first..][..columns].as_mut_ptr();
                    if columns == N { values.store(to) } else { values.store_first(to, columns) }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instruction_set_transposes_any_size() {
        for instructions in Instructions::all() {
            for (count, width, height) in [(16, 16, 16), (1, 1, 1), (5, 8, 3), (33, 48, 40), (20, 20, 17), (0, 4, 2)] {
                let stride = height + 3;
                let values: Vec<f32> = (0..count * stride).map(|i| i as f32 + 1.0).collect();
                let mut out = vec![f32::NAN; height * width];
                transpose(instructions, &values, stride, count, width, &mut out);
                for (at, out) in out.iter().enumerate() {
                    let (row, column) = (at / width, at % width);
                    let expected = if column < count { values[column * stride + row] } else { 0.0 };
                    assert_eq!(*out, expected, "{instructions:?} {width} × {height}: {row}, {column}");
                }
            }
        }
    }
}
