//! The innermost loop: a few rows times a few vectors of columns, held in registers from the first to the last step.
//!
//! Two sums run side by side in many lanes, so the order in which a single sum is taken depends on the number of steps
//! alone: how a product is cut into tiles, or tiles are given to threads, does not change a bit of it.

use super::vector::{Instructions, Portable, Vector};

/// What a sum starts from.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a> {
    Zero,
    /// One value a column.
    Bias(&'a [f32]),
    /// What stands in the output.
    Output,
}

/// One tile: `out[i][j] = leaky(start + Σₖ left[rows[i] + steps[k]] · panel[k][j])` for the first `height` rows and `width` columns.
pub(super) struct Tile<'a> {
    pub left: *const f32,
    /// The whole product's rows, of which this tile takes `height` from `row` on.
    pub rows: &'a [u32],
    pub row: usize,
    pub height: usize,
    pub steps: &'a [u32],
    pub panel: *const f32,
    pub start: Start<'a>,
    pub slope: f32,
    pub out: *mut f32,
    pub out_rows: &'a [u32],
    pub column: usize,
    pub width: usize,
}

/// A loop for tiles of a fixed number of rows and vectors.
#[derive(Clone, Copy)]
pub(super) struct Kernel {
    pub rows: usize,
    /// # Safety
    /// The processor has the instructions; `left[rows[i] + steps[k]]`, the panel (steps × the kernel's columns) and
    /// `out[out_rows[i] + column .. + width]` lie in memory that may be read or written.
    pub run: unsafe fn(&Tile<'_>),
}

/// The widest panels, in vectors, that the registers have room for.
pub(super) fn widest(instructions: Instructions) -> usize {
    match instructions {
        Instructions::Portable => 1,
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => 3,
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 => 4,
    }
}

/// The loop for panels of so many vectors: as many rows as there are registers to hold them.
pub(super) fn kernel(instructions: Instructions, vectors: usize) -> Kernel {
    match (instructions, vectors) {
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx512, 4) => Kernel { rows: 6, run: avx512::<6, 4> },
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx512, 3) => Kernel { rows: 9, run: avx512::<9, 3> },
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx512, 2) => Kernel { rows: 8, run: avx512::<8, 2> },
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx512, _) => Kernel { rows: 16, run: avx512::<16, 1> },
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx2, 3) => Kernel { rows: 4, run: avx2::<4, 3> },
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx2, 2) => Kernel { rows: 6, run: avx2::<6, 2> },
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx2, _) => Kernel { rows: 8, run: avx2::<8, 1> },
        (Instructions::Portable, _) => Kernel { rows: 6, run: portable },
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512<const ROWS: usize, const VECTORS: usize>(tile: &Tile<'_>) {
    unsafe { run::<std::arch::x86_64::__m512, ROWS, VECTORS>(tile) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const ROWS: usize, const VECTORS: usize>(tile: &Tile<'_>) {
    unsafe { run::<std::arch::x86_64::__m256, ROWS, VECTORS>(tile) }
}

unsafe fn portable(tile: &Tile<'_>) {
    unsafe { run::<Portable, 6, 1>(tile) }
}

/// SAFETY: as [`Kernel::run`] asks for.
#[inline(always)]
unsafe fn run<V: Vector, const ROWS: usize, const VECTORS: usize>(tile: &Tile<'_>) {
    // Rows beyond the last one repeat it and are not stored.
    let row = |i: usize| tile.row + i.min(tile.height - 1);
    let left: [*const f32; ROWS] = std::array::from_fn(|i| unsafe { tile.left.add(tile.rows[row(i)] as usize) });
    let out = |i: usize| unsafe { tile.out.add(tile.out_rows[row(i)] as usize + tile.column) };
    let full = tile.width == VECTORS * V::LANES;
    let count = |j: usize| tile.width.saturating_sub(j * V::LANES).min(V::LANES);
    unsafe {
        let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
        match tile.start {
            Start::Zero => {}
            Start::Bias(bias) => {
                for j in 0..VECTORS {
                    let bias = V::load_first(bias.as_ptr().add(tile.column).wrapping_add(j * V::LANES), count(j));
                    for sums in &mut sums {
                        sums[j] = bias;
                    }
                }
            }
            Start::Output => {
                for (i, sums) in sums.iter_mut().enumerate() {
                    for (j, sum) in sums.iter_mut().enumerate() {
                        let from = out(i).wrapping_add(j * V::LANES);
                        *sum = if full { V::load(from) } else { V::load_first(from, count(j)) };
                    }
                }
            }
        }
        let mut panel = tile.panel;
        for step in tile.steps {
            let right: [V; VECTORS] = std::array::from_fn(|j| V::load(panel.add(j * V::LANES)));
            for i in 0..ROWS {
                let value = V::splat(*left[i].add(*step as usize));
                for j in 0..VECTORS {
                    sums[i][j] = value.mul_add(right[j], sums[i][j]);
                }
            }
            panel = panel.add(VECTORS * V::LANES);
        }
        let slope = V::splat(tile.slope);
        for (i, sums) in sums.iter().enumerate() {
            if i < tile.height {
                for (j, sum) in sums.iter().enumerate() {
                    let value = if tile.slope == 1.0 { *sum } else { sum.leaky(slope) };
                    let to = out(i).wrapping_add(j * V::LANES);
                    if full { value.store(to) } else { value.store_first(to, count(j)) }
                }
            }
        }
    }
}
