//! Between the two orders of a feature map's values: (channels, height, width) outside a network, (height, width,
//! channels) inside.

use std::sync::Arc;

use rayon::prelude::*;

use crate::{
    engine::{BLOCK, Buffer, OnThreads, vectorized},
    nn::tape::{Pass, Variable},
};

/// (n, channels, height, width) to (n, height, width, channels); other shapes stay as they are.
pub(crate) fn channels_last(x: Variable, shape: &[usize], pass: &mut Pass) -> Variable {
    match *shape {
        [channels, height, width] => swapped(x, channels, height * width, pass),
        _ => x,
    }
}

/// (n, height, width, channels) to (n, channels, height, width) for feature maps of shape [channels, height, width];
/// other shapes stay as they are.
pub(crate) fn channels_first(x: Variable, shape: &[usize], pass: &mut Pass) -> Variable {
    match *shape {
        [channels, height, width] => swapped(x, height * width, channels, pass),
        _ => x,
    }
}

/// Each row of values as a matrix (rows, columns), transposed.
fn swapped(x: Variable, rows: usize, columns: usize, pass: &mut Pass) -> Variable {
    if rows == 1 || columns == 1 {
        return x;
    }
    let y = Arc::new(transposed(&x.values, rows, columns));
    pass.record(y, x.rows, x.needs_gradient, move |gradient, gradients| {
        gradients.add_to(&x, transposed(&gradient, columns, rows));
    })
}

/// Matrices (rows, columns), each transposed.
pub(in crate::nn) fn transposed(values: &[f32], rows: usize, columns: usize) -> Buffer {
    let mut out = Buffer::unset(values.len());
    if values.is_empty() {
        return out;
    }
    let matrices = out.par_chunks_mut(rows * columns).zip(values.par_chunks(rows * columns));
    matrices.with_min_len((BLOCK / (rows * columns)).max(1)).on_threads().for_each(|(out, values)| {
        let bands = out.par_chunks_mut(TILE * rows).enumerate().with_min_len((BLOCK / (TILE * rows)).max(1));
        bands.on_threads().for_each(|(band, out)| transpose_band(values, rows, columns, band * TILE, out));
    });
    out
}

/// Rows and columns of the tiles in which matrices are transposed: a cache line, as what lies a row apart may push each
/// other out of the cache.
const TILE: usize = 16;

vectorized! {
    /// Some columns, from that one on, as rows.
    fn transpose_band(values: &[f32], rows: usize, columns: usize, first: usize, out: &mut [f32]) {
        let width = out.len() / rows;
        for row in (0..rows).step_by(TILE) {
            let height = TILE.min(rows - row);
            let mut tile = [[0.0; TILE]; TILE];
            for place in 0..height {
                let from = &values[(row + place) * columns + first..][..width];
                match from.first_chunk::<TILE>() {
                    Some(from) => (0..TILE).for_each(|column| tile[column][place] = from[column]),
                    None => tile.iter_mut().zip(from).for_each(|(tile, value)| tile[place] = *value),
                }
            }
            for (out, tile) in out.chunks_exact_mut(rows).zip(&tile) {
                match out[row..].first_chunk_mut::<TILE>() {
                    Some(out) => *out = *tile,
                    None => out[row..].copy_from_slice(&tile[..height]),
                }
            }
        }
    }
}
