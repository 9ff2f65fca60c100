//! The innermost loop: a few rows times a few vectors of columns, held in registers from the first to the last step.
//!
//! Two sums run side by side in many lanes, so the order in which a single sum is taken depends on the number of steps
//! alone: how a product is cut into tiles, or tiles are given to threads, does not change a bit of it. That of
//! the last columns, which lie [by themselves](column_by_column), is taken in as many lanes as there are, and then over
//! these.

use super::{
    memory::prefetch_to_second_level,
    vector::{Instructions, Portable, Vector, total},
};

/// What a sum starts from, and so accumulates into.
#[derive(Clone, Copy)]
pub(crate) enum Accumulate<'a> {
    Zero,
    /// One value a column.
    Bias(&'a [f32]),
    /// What the output holds.
    Output,
}

/// Tiles of the same height below each other: `out[i][j] = leaky(start + Σₖ lhs[rows[i] + steps[k]] · panel[k][j])` for
/// a multiple of as many rows as the kernel has, and `width` columns.
#[derive(Clone, Copy)]
pub(super) struct Tiles<'a> {
    pub lhs: *const f32,
    pub rows: &'a [u32],
    pub steps: &'a [u32],
    pub panel: *const f32,
    /// How far apart the panel's steps lie.
    pub panel_stride: usize,
    pub start: Accumulate<'a>,
    pub slope: f32,
    pub out: *mut f32,
    pub out_rows: &'a [u32],
    pub column: usize,
    pub width: usize,
    /// What is multiplied after this panel, of which each tile asks for [a part](ahead) while it multiplies: a
    /// network's weights are in the third-level cache, which gives them more slowly than they are multiplied.
    pub ahead: *const f32,
}

/// How many values a tile of so many steps asks for ahead of their use.
pub(super) fn ahead(instructions: Instructions, steps: usize) -> usize {
    steps * instructions.lanes() / 2
}

/// The loop for tiles of a fixed height and width.
///
/// # Safety
/// The processor has the instructions; `lhs[rows[i] + steps[k]]`, the panel (each step the kernel's columns) and
/// `out[out_rows[i] + column .. + width]` lie in memory that may be read or written.
pub(super) type Kernel = unsafe fn(&Tiles<'_>);

/// The loops for a panel of that many vectors, for 1, 2, 3 … rows: as many as registers can hold. Those that do not
/// read ahead ignore [`Tiles::ahead`].
pub(super) fn kernels(instructions: Instructions, vectors: usize, reads_ahead: bool) -> &'static [Kernel] {
    let kernels = match (instructions, reads_ahead) {
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx2, false) => AVX2,
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx2, true) => AVX2_AHEAD,
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx512, false) => AVX512,
        #[cfg(target_arch = "x86_64")]
        (Instructions::Avx512, true) => AVX512_AHEAD,
        #[cfg(target_arch = "aarch64")]
        (Instructions::Neon, _) => NEON,
        (Instructions::Portable, _) => PORTABLE,
    };
    kernels[vectors - 1]
}

/// The widest panel, in vectors.
pub(super) fn widest(instructions: Instructions) -> usize {
    match instructions {
        Instructions::Portable => PORTABLE.len(),
        #[cfg(target_arch = "aarch64")]
        Instructions::Neon => NEON.len(),
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => AVX2.len(),
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 => AVX512.len(),
    }
}

/// The loop for a few columns of which each lies by itself, `panel_stride` apart, with steps that are side by side in
/// both matrices: any number of rows.
pub(super) fn column_by_column(instructions: Instructions) -> Kernel {
    match instructions {
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => avx2_columns,
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 => avx512_columns,
        #[cfg(target_arch = "aarch64")]
        Instructions::Neon => columns::<std::arch::aarch64::float32x4_t, 2, 4>,
        Instructions::Portable => columns::<Portable, 4, 8>,
    }
}

macro_rules! kernels {
    ($function:ident, $ahead:literal: $([$($rows:literal)+] x $vectors:literal),+) => {
        &[$(&[$($function::<$rows, $vectors, $ahead>),+]),+]
    };
}
const PORTABLE: &[&[Kernel]] = kernels!(portable, false: [1 2 3 4 5 6] x 1);
// Of 32 registers 24 are sums.
#[cfg(target_arch = "aarch64")]
const NEON: &[&[Kernel]] = kernels!(neon, false: [1 2 3 4 5 6 7 8] x 1, [1 2 3 4 5 6 7 8] x 2, [1 2 3 4 5 6 7 8] x 3,
    [1 2 3 4 5 6] x 4);
// Of sixteen registers twelve are sums. Four rows of three vectors would leave just enough of them for the rest, but
// then the compiler moves half of the registers about in each step.
#[cfg(target_arch = "x86_64")]
const AVX2: &[&[Kernel]] = kernels!(avx2, false: [1 2 3 4 5 6 7 8] x 1, [1 2 3 4 5 6] x 2, [1 2 3] x 3);
#[cfg(target_arch = "x86_64")]
const AVX2_AHEAD: &[&[Kernel]] = kernels!(avx2, true: [1 2 3 4 5 6 7 8] x 1, [1 2 3 4 5 6] x 2, [1 2 3] x 3);
#[cfg(target_arch = "x86_64")]
const AVX512: &[&[Kernel]] = kernels!(avx512, false: [1 2 3 4 5 6 7 8 9] x 1, [1 2 3 4 5 6 7 8 9] x 2,
    [1 2 3 4 5 6 7 8 9] x 3, [1 2 3 4 5 6] x 4);
// A ninth row would leave no register for the address of what is read ahead.
#[cfg(target_arch = "x86_64")]
const AVX512_AHEAD: &[&[Kernel]] = kernels!(avx512, true: [1 2 3 4 5 6 7 8] x 1, [1 2 3 4 5 6 7 8] x 2,
    [1 2 3 4 5 6 7 8] x 3, [1 2 3 4 5 6] x 4);

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512<const ROWS: usize, const VECTORS: usize, const AHEAD: bool>(tiles: &Tiles<'_>) {
    // SAFETY: these are the instructions of this vector; the rest is the caller's, as for every `Kernel`.
    unsafe { run::<std::arch::x86_64::__m512, ROWS, VECTORS, AHEAD>(tiles) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2<const ROWS: usize, const VECTORS: usize, const AHEAD: bool>(tiles: &Tiles<'_>) {
    // SAFETY: as above.
    unsafe { run::<std::arch::x86_64::__m256, ROWS, VECTORS, AHEAD>(tiles) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512_columns(tiles: &Tiles<'_>) {
    // SAFETY: as above.
    unsafe { columns::<std::arch::x86_64::__m512, 8, 16>(tiles) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn avx2_columns(tiles: &Tiles<'_>) {
    // SAFETY: as above.
    unsafe { columns::<std::arch::x86_64::__m256, 4, 8>(tiles) }
}

#[cfg(target_arch = "aarch64")]
unsafe fn neon<const ROWS: usize, const VECTORS: usize, const AHEAD: bool>(tiles: &Tiles<'_>) {
    // SAFETY: as above; every processor of this architecture has them.
    unsafe { run::<std::arch::aarch64::float32x4_t, ROWS, VECTORS, AHEAD>(tiles) }
}

unsafe fn portable<const ROWS: usize, const VECTORS: usize, const AHEAD: bool>(tiles: &Tiles<'_>) {
    // SAFETY: it needs no instructions; the rest is the caller's, as for every `Kernel`.
    unsafe { run::<Portable, ROWS, VECTORS, AHEAD>(tiles) }
}

/// # Safety
/// As for a [`Kernel`].
#[inline(always)]
unsafe fn run<V: Vector, const ROWS: usize, const VECTORS: usize, const AHEAD: bool>(tiles: &Tiles<'_>) {
    let full = tiles.width == VECTORS * V::LANES;
    let count = |j: usize| tiles.width.saturating_sub(j * V::LANES).min(V::LANES);
    let mut ahead = tiles.ahead;
    let ahead_end = tiles.panel.wrapping_add(2 * tiles.steps.len() * VECTORS * V::LANES);
    for (rows, out_rows) in tiles.rows.as_chunks::<ROWS>().0.iter().zip(tiles.out_rows.as_chunks::<ROWS>().0) {
        // SAFETY: the caller has the instructions, all rows of the left matrix and all rows of the output; whole
        // vectors are read and written where `width` reaches or the panel is padded, else only as many values as there
        // are. Pointers that would go beyond, as those of rows without steps, are made by `wrapping_add`, not followed.
        unsafe {
            let lhs = rows.map(|row| tiles.lhs.wrapping_add(row as usize));
            let out = |i: usize| tiles.out.add(out_rows[i] as usize + tiles.column);
            let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
            match tiles.start {
                Accumulate::Zero => {}
                Accumulate::Bias(bias) => {
                    for j in 0..VECTORS {
                        let bias = V::load_first(bias.as_ptr().add(tiles.column).wrapping_add(j * V::LANES), count(j));
                        for sums in &mut sums {
                            sums[j] = bias;
                        }
                    }
                }
                Accumulate::Output => {
                    for (i, sums) in sums.iter_mut().enumerate() {
                        for (j, sum) in sums.iter_mut().enumerate() {
                            let from = out(i).wrapping_add(j * V::LANES);
                            *sum = if full { V::load(from) } else { V::load_first(from, count(j)) };
                        }
                    }
                }
            }
            let mut panel = tiles.panel;
            // Of what follows as much as this panel has, not more: it is to stay in the second-level cache.
            if AHEAD && ahead >= ahead_end {
                ahead = panel;
            }
            for step in tiles.steps {
                if AHEAD {
                    prefetch_to_second_level(ahead);
                    ahead = ahead.wrapping_add(V::LANES / 2);
                }
                let rhs: [V; VECTORS] = std::array::from_fn(|j| V::load(panel.add(j * V::LANES)));
                for i in 0..ROWS {
                    let value = V::splat(*lhs[i].add(*step as usize));
                    for j in 0..VECTORS {
                        sums[i][j] = value.mul_add(rhs[j], sums[i][j]);
                    }
                }
                panel = panel.wrapping_add(tiles.panel_stride);
            }
            let slope = V::splat(tiles.slope);
            for (i, sums) in sums.iter().enumerate() {
                for (j, sum) in sums.iter().enumerate() {
                    let value = if tiles.slope == 1.0 { *sum } else { sum.leaky(slope) };
                    let to = out(i).wrapping_add(j * V::LANES);
                    if full { value.store(to) } else { value.store_first(to, count(j)) }
                }
            }
        }
    }
}

/// Two columns of a few rows at a time, N sums, each of which has a vector until the last step.
///
/// # Safety
/// As for [`column_by_column`].
#[inline(always)]
unsafe fn columns<V: Vector, const ROWS: usize, const N: usize>(tiles: &Tiles<'_>) {
    let count = tiles.steps.len();
    for column in (0..tiles.width).step_by(2) {
        // Beyond the last column or row that one is taken again, and not written.
        let panel = [column, (column + 1).min(tiles.width - 1)];
        for (rows, out_rows) in tiles.rows.chunks(ROWS).zip(tiles.out_rows.chunks(ROWS)) {
            // SAFETY: the caller has the instructions and the matrices; of a row or a column its steps are read, no
            // more.
            unsafe {
                let panel = panel.map(|column| tiles.panel.add(column * tiles.panel_stride));
                let lhs: [_; ROWS] =
                    std::array::from_fn(|row| tiles.lhs.wrapping_add(rows[row.min(rows.len() - 1)] as usize));
                let mut sums = [V::splat(0.0); N];
                let mut step = 0;
                while step < count {
                    let left = count - step;
                    let load = |from: *const f32| {
                        if left < V::LANES { V::load_first(from.add(step), left) } else { V::load(from.add(step)) }
                    };
                    let factors = panel.map(load);
                    for (row, lhs) in lhs.into_iter().enumerate() {
                        let value = load(lhs);
                        for (column, factor) in factors.into_iter().enumerate() {
                            sums[2 * row + column] = factor.mul_add(value, sums[2 * row + column]);
                        }
                    }
                    step += V::LANES;
                }
                let mut totals = [0.0; N];
                total(sums).store(totals.as_mut_ptr());
                for (out_row, totals) in out_rows.iter().zip(totals.as_chunks::<2>().0) {
                    for (column, total) in (column..tiles.width).zip(totals) {
                        let out = tiles.out.add(*out_row as usize + tiles.column + column);
                        let start = match tiles.start {
                            Accumulate::Zero => 0.0,
                            Accumulate::Bias(bias) => bias[tiles.column + column],
                            Accumulate::Output => *out,
                        };
                        let value = start + total;
                        *out = value.max(tiles.slope * value);
                    }
                }
            }
        }
    }
}
