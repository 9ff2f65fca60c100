use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{LayerContext, Operation, shape_text};
use crate::{
    engine::{Buffer, OnThreads},
    nn::{
        sequential::Sequential,
        tape::{Pass, Variable},
    },
};

/// The same row of values n times, y\[t\] = x. The backward pass sums the gradients of all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RepeatVector {
    times: usize,
}

impl Sequential {
    /// Repeats a row of values: input `[k]`, output `[times, k]`, a sequence of equal rows. Keras' `RepeatVector`: it
    /// gives a recurrent decoder the same code at every time step.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// // A recurrent autoencoder of images, read row by row.
    /// let encoder = Sequential::input([1, 28, 28]).reshape([28, 28]).lstm(30).dense(2).build()?;
    /// let decoder = Sequential::input([2]).repeat_vector(28).lstm(30).return_sequences().dense(28).sigmoid();
    /// assert_eq!(decoder.reshape([1, 28, 28]).build()?.output_shape(), [1, 28, 28]);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn repeat_vector(self, times: usize) -> Self {
        self.push(RepeatVector { times })
    }
}

impl Operation for RepeatVector {
    fn name(&self) -> &'static str {
        "repeat_vector"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        match (input, self.times) {
            (_, 0) => Err("expected to repeat at least once, got 0".into()),
            ([k], times) => Ok(vec![times, *k]),
            _ => Err(format!("expected a flat input [k], got {}; put .flatten() before it", shape_text(input))),
        }
    }

    fn forward(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let (width, all) = (context.input[0], context.input[0] * self.times);
        let mut y = Buffer::unset(x.rows * all);
        y.par_chunks_mut(all).zip(x.values.par_chunks(width)).on_threads().for_each(|(y, x)| {
            y.chunks_exact_mut(width).for_each(|y| y.copy_from_slice(x));
        });
        pass.record(Arc::new(y), x.rows, x.needs_gradient, move |g, gradients| {
            let mut x_gradient = Buffer::zeros(x.values.len());
            x_gradient.par_chunks_mut(width).zip(g.par_chunks(all)).on_threads().for_each(|(sums, g)| {
                for g in g.chunks_exact(width) {
                    sums.iter_mut().zip(g).for_each(|(sum, g)| *sum += g);
                }
            });
            gradients.add_to(&x, x_gradient);
        })
    }
}
