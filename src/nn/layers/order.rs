//! Between the two orders of a feature map's values: (channels, height, width) outside a network, (height, width,
//! channels) inside.

use std::sync::Arc;

use rayon::prelude::*;

use crate::{
    engine::{Buffer, OnThreads},
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

fn transposed(values: &[f32], rows: usize, columns: usize) -> Buffer {
    let mut out = Buffer::unset(values.len());
    out.par_chunks_mut(rows * columns).zip(values.par_chunks(rows * columns)).on_threads().for_each(|(out, values)| {
        for (column, out) in out.chunks_exact_mut(rows).enumerate() {
            out.iter_mut().zip(values[column..].iter().step_by(columns)).for_each(|(out, value)| *out = *value);
        }
    });
    out
}
