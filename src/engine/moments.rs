//! Means and variances of the columns of a matrix.

use rayon::prelude::*;

use super::{
    columns::{add_rows, four_rows, repeat, shard},
    parallel::OnThreads,
    vector::vectorized,
};

/// The mean of each column of some rows, and the sum of the squares about it.
///
/// Taken block by block, each about its own mean, and then joined (Chan, Golub and LeVeque 1983): a column far from 0
/// loses no digits.
pub(crate) struct Moments {
    rows: f64,
    columns: Vec<[f64; 2]>,
}

/// Rows whose mean is taken before they are joined with others: few enough to stay in the first-level cache.
const ROWS: usize = 128;

impl Moments {
    /// Of all rows of x, on all threads.
    pub fn in_parallel(x: &[f32], columns: usize) -> Self {
        let shard = shard(x.len() / columns, columns).next_multiple_of(columns * repeat(x.len() / columns, columns));
        let parts: Vec<_> = x.par_chunks(shard).on_threads().map(|x| Self::of(x, columns));
        Self::joined(&parts)
    }

    /// Of all rows of x, on the calling thread.
    pub fn of(x: &[f32], columns: usize) -> Self {
        let repeated = repeat(x.len() / columns, columns);
        let width = columns * repeated;
        let mut wide = Self { rows: 0.0, columns: vec![[0.0; 2]; width] };
        let (mut means, mut squares) = (vec![0.0f32; width], vec![0.0f32; width]);
        for block in x.chunks(ROWS * width) {
            means_and_squares(block, &mut means, &mut squares);
            let rows = (block.len() / width) as f64;
            let block = means.iter().zip(&squares).map(|(mean, squares)| [f64::from(*mean), f64::from(*squares)]);
            wide.join(rows, block);
        }
        if repeated == 1 {
            return wide;
        }
        let parts = wide.columns.chunks_exact(columns).map(|part| Self { rows: wide.rows, columns: part.to_vec() });
        Self::joined(&parts.collect::<Vec<_>>())
    }

    /// Of all rows of all parts, which are joined in their order.
    pub fn joined(parts: &[Self]) -> Self {
        let columns = parts.first().map_or(0, |part| part.columns.len());
        let mut all = Self { rows: 0.0, columns: vec![[0.0; 2]; columns] };
        parts.iter().for_each(|part| all.join(part.rows, part.columns.iter().copied()));
        all
    }

    fn join(&mut self, rows: f64, columns: impl Iterator<Item = [f64; 2]>) {
        let share = rows / (self.rows + rows);
        for ([mean, squares], [other_mean, other_squares]) in self.columns.iter_mut().zip(columns) {
            let difference = other_mean - *mean;
            *mean += difference * share;
            *squares += other_squares + difference * difference * self.rows * share;
        }
        self.rows += rows;
    }

    /// The mean and the variance (divided by N) of each column.
    pub fn mean_and_variance(&self) -> (Vec<f32>, Vec<f32>) {
        let rows = self.rows.max(1.0);
        self.columns.iter().map(|[mean, squares]| (*mean as f32, (squares / rows) as f32)).unzip()
    }
}

vectorized! {
    /// The mean of each column and the sum of squares about it.
    fn means_and_squares(x: &[f32], means: &mut [f32], squares: &mut [f32]) {
        let width = means.len();
        means.fill(0.0);
        squares.fill(0.0);
        add_rows(x, means);
        let rows = (x.len() / width) as f32;
        means.iter_mut().for_each(|sum| *sum /= rows);
        let fours = x.chunks_exact(4 * width);
        for row in fours.remainder().chunks_exact(width) {
            for ((square, mean), x) in squares.iter_mut().zip(&*means).zip(row) {
                *square += (x - mean) * (x - mean);
            }
        }
        for rows in fours {
            let (a, b, c, d) = four_rows(rows, width);
            for (((((square, mean), a), b), c), d) in squares.iter_mut().zip(&*means).zip(a).zip(b).zip(c).zip(d) {
                let (a, b, c, d) = (a - mean, b - mean, c - mean, d - mean);
                *square += (a * a + b * b) + (c * c + d * d);
            }
        }
    }
}
