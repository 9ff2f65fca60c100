//! Between the two orders of a feature map's values: (channels, height, width) outside a network, (height, width,
//! channels) inside.

use std::sync::Arc;

use rayon::prelude::*;

use crate::{
    engine::{BLOCK, Buffer, Instructions, OnThreads, transpose},
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
    /// Columns that are read together: a cache line, as what lies a row apart may push each other out of the cache.
    const BAND: usize = 16;
    let instructions = Instructions::of_this_machine();
    let mut out = Buffer::unset(values.len());
    if values.is_empty() {
        return out;
    }
    let matrices = out.par_chunks_mut(rows * columns).zip(values.par_chunks(rows * columns));
    matrices.with_min_len((BLOCK / (rows * columns)).max(1)).on_threads().for_each(|(out, values)| {
        let bands = out.par_chunks_mut(BAND * rows).enumerate().with_min_len((BLOCK / (BAND * rows)).max(1));
        bands
            .on_threads()
            .for_each(|(band, out)| transpose(instructions, &values[band * BAND..], columns, rows, rows, out));
    });
    out
}
