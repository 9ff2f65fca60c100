//! Points in blocks with one vector lane each, for distances from one point to many.

use crate::engine::vectorized;
use ndarray::ArrayView2;

/// Points in a block.
pub(super) const WIDTH: usize = 64;

/// One value for each point of a block.
pub(super) type Lane<T = f32> = [T; WIDTH];

/// Points of `dim` values in blocks of 64: first the first value of all 64, then the second.
#[derive(Clone)]
pub(super) struct PointBlocks {
    dim: usize,
    values: Vec<f32>,
}

impl PointBlocks {
    /// The last block is filled with zeros.
    pub fn new(points: ArrayView2<f32>) -> Self {
        let dim = points.ncols();
        let mut values = vec![0.0; points.nrows().div_ceil(WIDTH) * WIDTH * dim];
        for (i, point) in points.rows().into_iter().enumerate() {
            let first = i / WIDTH * WIDTH * dim + i % WIDTH;
            values[first..].iter_mut().step_by(WIDTH).zip(point).for_each(|(to, from)| *to = *from);
        }
        Self { dim, values }
    }

    /// All blocks, each (dim, 64).
    pub fn all(&self) -> impl ExactSizeIterator<Item = &[Lane]> {
        self.values.as_chunks().0.chunks_exact(self.dim)
    }

    /// The block of that number.
    pub fn get(&self, block: usize) -> &[Lane] {
        &self.values.as_chunks().0[block * self.dim..][..self.dim]
    }
}

/// The squared distances from a point to those of a block.
#[inline(always)]
fn distances(block: &[Lane], point: &[f32]) -> Lane {
    let mut sums = [0.0; WIDTH];
    for (values, &at) in block.iter().zip(point) {
        for (sum, value) in sums.iter_mut().zip(values) {
            let difference = value - at;
            *sum += difference * difference;
        }
    }
    sums
}

vectorized! {
    /// The squared distances from a point to those of a block.
    pub(super) fn squared_distances(block: &[Lane], point: &[f32], out: &mut Lane) {
        *out = distances(block, point);
    }

    /// The nearest of `centers` (points of `dim` values) to each point of a block, the first of equally near ones,
    /// and its squared distance.
    pub(super) fn nearest(block: &[Lane], centers: &[f32], which: &mut Lane<u32>, least: &mut Lane) {
        *least = [f32::INFINITY; WIDTH];
        for (index, center) in (0_u32..).zip(centers.chunks_exact(block.len())) {
            let sums = distances(block, center);
            for ((sum, least), which) in sums.iter().zip(least.iter_mut()).zip(which.iter_mut()) {
                *which = if sum < least { index } else { *which };
                *least = if sum < least { *sum } else { *least };
            }
        }
    }
}
