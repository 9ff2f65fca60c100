use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{LayerContext, Operation, shape_text};
use crate::{
    engine::{OnThreads, tiny_to_zero},
    nn::{
        sequential::Sequential,
        tape::{Pass, Variable},
    },
};

/// Softmax over the k values of a row: yᵢ = e^(xᵢ − max x) / Σⱼ e^(xⱼ − max x); shape (n, k) stays.
///
/// Backward pass: ∂xᵢ = yᵢ · (gᵢ − Σⱼ gⱼ yⱼ).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Softmax {}

impl Sequential {
    /// Softmax: turns `[k]` values into k probabilities that sum to 1. Input and output `[k]`.
    pub fn softmax(self) -> Self {
        self.push(Softmax {})
    }
}

impl Operation for Softmax {
    fn name(&self) -> &'static str {
        "softmax"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        match input {
            [_] => Ok(input.to_vec()),
            _ => Err(format!("expected a flat input [k], got {}; put .flatten() before it", shape_text(input))),
        }
    }

    fn forward(&self, mut x: Variable, _context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let (rows, needs_gradient) = (x.rows, x.needs_gradient);
        let width = (x.values.len() / rows.max(1)).max(1);
        let mut y = x.take_values();
        y.par_chunks_mut(width).on_threads().for_each(|row| {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter_mut().for_each(|v| *v = (*v - largest).exp());
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|v| *v /= sum);
        });
        let y = Arc::new(y);
        pass.record(Arc::clone(&y), rows, needs_gradient, move |mut gradient, gradients| {
            gradient.par_chunks_mut(width).zip(y.par_chunks(width)).on_threads().for_each(|(g, y)| {
                let dot: f32 = g.iter().zip(y).map(|(g, y)| g * y).sum();
                g.iter_mut().zip(y).for_each(|(g, y)| *g = tiny_to_zero(y * (*g - dot)));
            });
            gradients.add_to(&x, gradient);
        })
    }
}
