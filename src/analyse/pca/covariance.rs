//! Principal components as eigenvectors of the covariance matrix.
//!
//! Our own, because linfa-reduction's ([`PcaMethod::Linfa`](super::PcaMethod::Linfa)) is slower on one thread and
//! does not converge on all codes; scikit-learn's `covariance_eigh` is the same method.

use ndarray::Array2;
use rayon::prelude::*;

use super::{Found, eigen, scaled};
use crate::engine::{Accumulate, GatherLhs, PackedRhs, gemm, offsets, vectorized};
use crate::error::Result;
use crate::limit;

pub(super) fn components(codes: &Array2<f32>, count: usize) -> Result<Found> {
    let (n, dim) = codes.dim();
    // One sum for each part; in double precision the covariance, the strips of the eigenvectors and half a matrix of
    // reflections.
    let matrices = PARTS.min(n) + 5;
    limit::check("pca, codes", "covariances and eigenvectors", &[matrices, dim, dim])?;
    let mut points = codes.as_standard_layout();
    let (mut mean, mut greatest) = mean_and_greatest(points.as_slice().unwrap_or_default(), dim);
    let mut scale = 1.0;
    if greatest > 0.0 && !(1e-30..1e30).contains(&greatest) {
        // A power of two, so that the greatest becomes about 1.
        scale = (-greatest.log2().ceil()).exp2();
        points = scaled(codes, scale).into();
        (mean, greatest) = mean_and_greatest(points.as_slice().unwrap_or_default(), dim);
    }
    // A power of two: values divided by it can be squared.
    let unit = if greatest > 0.0 { greatest.log2().ceil().exp2() } else { 1.0 };
    let covariance = covariance(points.as_slice().unwrap_or_default(), &mean, unit);
    let total = covariance.iter().step_by(dim + 1).sum();
    Ok(Found {
        mean: mean.into_iter().map(|mean| (f64::from(mean) / scale) as f32).collect(),
        pairs: eigen::greatest(covariance, dim, count),
        total,
        unit: unit / scale,
    })
}

/// Parts of the points with sums of their own: a fixed number, so the sums do not depend on the number of threads.
const PARTS: usize = 16;

/// Values that are centred at a time, to stay in the second-level cache.
const BLOCK: usize = 1 << 16;

fn part(rows: usize, dim: usize) -> usize {
    rows.div_ceil(PARTS) * dim
}

/// The mean, and the greatest absolute value.
fn mean_and_greatest(values: &[f32], dim: usize) -> (Vec<f32>, f64) {
    let rows = values.len() / dim;
    let parts = values.par_chunks(part(rows, dim)).map(|values| {
        let (mut sums, mut greatest) = (vec![0.0; dim], vec![0.0; dim]);
        add_rows(values, &mut sums, &mut greatest);
        (sums, greatest)
    });
    let parts: Vec<(Vec<f64>, Vec<f32>)> = parts.collect();
    let mean = (0..dim).map(|i| (parts.iter().map(|(sums, _)| sums[i]).sum::<f64>() / rows as f64) as f32).collect();
    let greatest = f64::from(parts.iter().flat_map(|(_, greatest)| greatest).copied().fold(0.0, f32::max));
    (mean, greatest)
}

/// The covariance of values / unit, (dim, dim).
fn covariance(values: &[f32], mean: &[f32], unit: f64) -> Vec<f64> {
    let dim = mean.len();
    let (rows, columns) = (values.len() / dim, offsets(dim, 1));
    let parts = values.par_chunks(part(rows, dim)).map(|values| {
        let mut sums = vec![0.0; dim * dim];
        let mut centred = Vec::with_capacity(BLOCK);
        for values in values.chunks((BLOCK / dim).max(1) * dim) {
            centred.clear();
            centred.extend_from_slice(values);
            centre(&mut centred, mean, (1.0 / unit) as f32);
            let count = values.len() / dim;
            let transposed = GatherLhs { values: &centred, rows: &columns, steps: &offsets(count, dim) };
            let right = PackedRhs::of_rows(&centred, count, dim, dim);
            gemm(transposed, right.all(), Accumulate::Output, 1.0, &mut sums, &offsets(dim, dim));
        }
        sums
    });
    let parts: Vec<Vec<f32>> = parts.collect();
    let sum = |i: usize| parts.iter().map(|part| f64::from(part[i])).sum::<f64>() / (rows - 1) as f64;
    (0..dim * dim).into_par_iter().with_min_len(1 << 12).map(sum).collect()
}

vectorized! {
    fn add_rows(values: &[f32], sums: &mut [f64], greatest: &mut [f32]) {
        for row in values.chunks_exact(sums.len()) {
            for ((sum, greatest), value) in sums.iter_mut().zip(greatest.iter_mut()).zip(row) {
                *sum += f64::from(*value);
                *greatest = greatest.max(value.abs());
            }
        }
    }

    fn centre(values: &mut [f32], mean: &[f32], scale: f32) {
        for row in values.chunks_exact_mut(mean.len()) {
            for (value, mean) in row.iter_mut().zip(mean) {
                *value = (*value - mean) * scale;
            }
        }
    }
}
