//! Loops over the columns of a matrix (channels, units), wide enough for the machine's vectors also where there are few columns.

use rayon::prelude::*;

use super::vector::vectorized;
use crate::nn::{buffer::Buffer, layers::SHARDS};

/// A matrix of few columns is worked on as one of this many times more columns and fewer rows, where its rows divide so.
const REPEAT: usize = 16;

/// How many rows of `columns` values stand side by side in a row of the loops.
pub(crate) fn repeat(rows: usize, columns: usize) -> usize {
    if columns < REPEAT && rows.is_multiple_of(REPEAT) { REPEAT } else { 1 }
}

/// How many values make a shard of `rows` (each of `width` values).
pub(crate) fn shard(rows: usize, width: usize) -> usize {
    rows.div_ceil(SHARDS).max(1) * width
}

/// The gradient on its way back through a rectified linear unit, in place: g stays where y > 0 and is multiplied by `slope` elsewhere (1 leaves it as it is).
/// Returns its sum over all rows, (columns): the gradient of a bias.
pub(crate) fn rectified_gradient(y: &[f32], gradient: &mut [f32], slope: f32, columns: usize) -> Buffer {
    let repeat = repeat(y.len() / columns, columns);
    let width = columns * repeat;
    let shard = shard(y.len() / width, width);
    let mut sums = Buffer::zeros(y.len().div_ceil(shard) * width);
    let shards = gradient.par_chunks_mut(shard).zip(y.par_chunks(shard));
    sums.par_chunks_mut(width).zip(shards).for_each(|(sums, (g, y))| rectify(g, y, slope, sums));
    let mut sum = Buffer::zeros(columns);
    for part in sums.chunks_exact(columns) {
        sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    sum
}

vectorized! {
    fn rectify(gradient: &mut [f32], y: &[f32], slope: f32, sums: &mut [f32]) {
        for (g, y) in gradient.chunks_exact_mut(sums.len()).zip(y.chunks_exact(sums.len())) {
            for ((g, y), sum) in g.iter_mut().zip(y).zip(&mut *sums) {
                *g *= if *y > 0.0 { 1.0 } else { slope };
                *sum += *g;
            }
        }
    }
}
