//! Loops over the columns of a matrix (channels, units), wide enough for the machine's vectors also where there are few
//! columns.

use rayon::prelude::*;

use super::{
    buffer::Buffer,
    parallel::{BLOCK, OnThreads, SHARDS},
    subnormals::tiny_to_zero,
    tile::Accumulate,
    vector::vectorized,
};

/// A matrix of few columns is worked on as one of this many times more columns and fewer rows, where its rows divide
/// so.
const REPEAT: usize = 16;

/// How many rows of `columns` values are side by side in a row of the loops.
pub(crate) fn repeat(rows: usize, columns: usize) -> usize {
    if columns < REPEAT && rows.is_multiple_of(REPEAT) { REPEAT } else { 1 }
}

/// How many values make a shard of `rows` (each of `width` values): the fixed piece of a batch that is worked on, and
/// summed, by itself.
pub(crate) fn shard(rows: usize, width: usize) -> usize {
    rows.div_ceil(SHARDS).max(BLOCK.div_ceil(width)) * width
}

/// The backward pass of a rectified linear unit, in place: g stays where y > 0 and is multiplied by `slope` elsewhere
/// (1 leaves it as it is). Returns its sum over all rows, (columns): the gradient of a bias.
pub(crate) fn rectified_gradient(y: &[f32], gradient: &mut [f32], slope: f32, columns: usize) -> Buffer {
    if slope == 1.0 {
        return column_sums(gradient, columns);
    }
    let [width, shard] = pieces(y.len(), columns);
    let mut sums = Buffer::zeros(y.len().div_ceil(shard) * width);
    let shards = gradient.par_chunks_mut(shard).zip(y.par_chunks(shard));
    sums.par_chunks_mut(width).zip(shards).on_threads().for_each(|(sums, (g, y))| rectify(g, y, slope, sums));
    sum_of_rows(&sums, columns)
}

/// A gradient that `write(y, of, gradient)` makes a few rows at a time, so that they are still in the first-level cache
/// for their sum over all rows, (columns); both, and the sum of what `write` returns. `of` has as many values as y.
pub(crate) fn with_column_sums(
    y: &[f32],
    of: &[f32],
    columns: usize,
    write: impl Fn(&[f32], &[f32], &mut [f32]) -> f64 + Sync,
) -> (Buffer, Buffer, f64) {
    let [width, shard] = pieces(y.len(), columns);
    let mut gradient = Buffer::unset(y.len());
    let mut sums = Buffer::zeros(y.len().div_ceil(shard) * width);
    let shards = gradient.par_chunks_mut(shard).zip(y.par_chunks(shard).zip(of.par_chunks(shard)));
    let totals = sums.par_chunks_mut(width).zip(shards).on_threads().map(|(sums, (gradient, (y, of)))| {
        let block = rows_at_once(width) * width;
        let blocks = gradient.chunks_mut(block).zip(y.chunks(block).zip(of.chunks(block)));
        let total = |(gradient, (y, of)): (&mut [f32], (&[f32], &[f32]))| {
            let total = write(y, of, gradient);
            add_rows(gradient, sums);
            total
        };
        blocks.map(total).sum::<f64>()
    });
    (gradient, sum_of_rows(&sums, columns), totals.iter().sum())
}

/// Of so many values each: a multiple of four rows, of which three matrices stay in the first-level cache.
fn rows_at_once(width: usize) -> usize {
    4 * (1024 / width).max(1)
}

/// The sum over all rows, (columns).
pub(crate) fn column_sums(values: &[f32], columns: usize) -> Buffer {
    let [width, shard] = pieces(values.len(), columns);
    let mut sums = Buffer::zeros(values.len().div_ceil(shard) * width);
    sums.par_chunks_mut(width).zip(values.par_chunks(shard)).on_threads().for_each(|(sums, v)| add_rows(v, sums));
    sum_of_rows(&sums, columns)
}

/// The width of a row of the loops, and how many values make a shard.
fn pieces(values: usize, columns: usize) -> [usize; 2] {
    let width = columns * repeat(values / columns, columns);
    [width, shard(values / width, width)]
}

fn sum_of_rows(values: &[f32], columns: usize) -> Buffer {
    let parts: Vec<_> = values.chunks_exact(columns).collect();
    let mut sum = Buffer::unset(columns);
    add_parts(&parts, Accumulate::Zero, &mut sum);
    sum
}

/// Adds parts to `sum`, in their order, or sets it to their sum; all are of one length.
pub(crate) fn add_parts(parts: &[&[f32]], start: Accumulate<'_>, sum: &mut [f32]) {
    const BLOCK: usize = 4096;
    sum.par_chunks_mut(BLOCK).enumerate().on_threads().for_each(|(block, sum)| {
        let range = block * BLOCK..block * BLOCK + sum.len();
        if matches!(start, Accumulate::Zero) {
            sum.fill(0.0);
        }
        for part in parts {
            add(&part[range.clone()], sum);
        }
    });
}

vectorized! {
    fn add(values: &[f32], sums: &mut [f32]) {
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }

    /// Adds all rows of `values` to `sums`, four at a time: a sum is then read and written once for four values.
    pub(crate) fn add_rows(values: &[f32], sums: &mut [f32]) {
        let width = sums.len();
        let fours = values.chunks_exact(4 * width);
        for row in fours.remainder().chunks_exact(width) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        for rows in fours {
            let (a, b, c, d) = four_rows(rows, width);
            for ((((sum, a), b), c), d) in sums.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                *sum += (a + b) + (c + d);
            }
        }
    }

    /// [`rectified_gradient`] on the calling thread; adds the sum over all rows to `sums`.
    pub(crate) fn rectify(gradient: &mut [f32], y: &[f32], slope: f32, sums: &mut [f32]) {
        // Block by block, so that the values are still in the first-level cache when they are summed.
        let block = sums.len() * rows_at_once(sums.len());
        for (gradient, y) in gradient.chunks_mut(block).zip(y.chunks(block)) {
            gradient.iter_mut().zip(y).for_each(|(g, y)| *g = tiny_to_zero(*g * if *y > 0.0 { 1.0 } else { slope }));
            add_rows(gradient, sums);
        }
    }
}

#[inline(always)]
pub(crate) fn four_rows(rows: &[f32], width: usize) -> (&[f32], &[f32], &[f32], &[f32]) {
    let ((a, b), (c, d)) = (rows[..2 * width].split_at(width), rows[2 * width..4 * width].split_at(width));
    (a, b, c, d)
}
