//! Between the two orders of a picture's values: (channels, height, width) outside a network, (height, width, channels) inside.

use std::sync::Arc;

use rayon::prelude::*;

use crate::{
    engine::{Buffer, OnThreads},
    nn::tape::{Tape, Variable, record},
};

/// (n, channels, height, width) to (n, height, width, channels); other shapes stay as they are.
pub(crate) fn channels_last<T: Tape>(x: Variable<T>, shape: &[usize]) -> Variable<T> {
    match *shape {
        [channels, height, width] => swapped(x, channels, height * width),
        _ => x,
    }
}

/// (n, height, width, channels) to (n, channels, height, width) for pictures of shape [channels, height, width]; other shapes stay.
pub(crate) fn channels_first<T: Tape>(x: Variable<T>, shape: &[usize]) -> Variable<T> {
    match *shape {
        [channels, height, width] => swapped(x, height * width, channels),
        _ => x,
    }
}

/// Each row of values as a matrix (rows, columns), transposed.
fn swapped<T: Tape>(x: Variable<T>, rows: usize, columns: usize) -> Variable<T> {
    if rows == 1 || columns == 1 {
        return x;
    }
    let (x, tape) = x.split();
    let y = Arc::new(transposed(&x.values, rows, columns));
    record(tape, y, x.rows, x.needs_gradient, move |gradient, gradients| {
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
