use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{LayerContext, Operation, shape_text};
use crate::{
    engine::{Accumulate, Buffer, OnThreads},
    error::Error,
    nn::{
        init::ParameterSpec,
        sequential::Sequential,
        tape::{Pass, Variable},
    },
};

/// A table of vectors, of which each value of the input takes the one with its number: y\[i\] = W\[x\[i\]\].
///
/// Shapes: x (n, k), W (vocabulary, dim), y (n, k, dim). Backward pass: each row of W gets the sum of the gradients of
/// those that took it; x has none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Embedding {
    vocabulary: usize,
    dim: usize,
}

/// Up to this, every whole number is an `f32`.
const LARGEST: usize = 1 << 24;

impl Sequential {
    /// A learned vector for each of `vocabulary` words or classes, which are given by their numbers 0, 1 … Input `[k]`,
    /// output `[k, dim]`, `vocabulary`·`dim` parameters; Keras' and PyTorch's `Embedding`, and what `dense(dim)`
    /// without a bias makes of one-hot rows: W is drawn as its weights are.
    ///
    /// # Errors
    /// Predictions and trainings return [`ErrorKind::Argument`](crate::ErrorKind::Argument) for a value that is no
    /// whole number from 0 to `vocabulary` − 1, which has no vector, with its row of the input or of the batch.
    ///
    /// ```
    /// use latentlab::{Sequential, ndarray::arr2};
    ///
    /// let network = Sequential::input([2]).embedding(10, 4).build()?;
    /// assert_eq!((network.output_shape(), network.parameter_count()), (&[2, 4][..], 40));
    ///
    /// let error = network.predict(&arr2(&[[3.0, 9.0], [3.0, 10.0]]).into_dyn()).unwrap_err().to_string();
    /// let expected = "expected a whole number from 0 to 9, below the vocabulary of 10";
    /// assert_eq!(error, format!("predict, layer 1, embedding, row 1, value 1: {expected}, got 10"));
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn embedding(self, vocabulary: usize, dim: usize) -> Self {
        self.push(Embedding { vocabulary, dim })
    }
}

impl Embedding {
    /// Where the vector of a value is in the table.
    fn place(&self, value: f32) -> Option<std::ops::Range<usize>> {
        let number = value as usize; // 0 for NaN and what is below 0
        let is_one = number < self.vocabulary && number as f32 == value;
        is_one.then(|| number * self.dim..(number + 1) * self.dim)
    }
}

impl Operation for Embedding {
    fn name(&self) -> &'static str {
        "embedding"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        match input {
            _ if !(1..=LARGEST).contains(&self.vocabulary) => {
                Err(format!("expected a vocabulary of 1 to {LARGEST}, got {}", self.vocabulary))
            }
            _ if self.dim == 0 => Err("expected vectors of at least 1 value, got 0".into()),
            [k] => Ok(vec![*k, self.dim]),
            _ => Err(format!("expected a flat input [k], got {}; put .flatten() before it", shape_text(input))),
        }
    }

    fn parameters(&self, _input: &[usize]) -> Vec<ParameterSpec> {
        vec![ParameterSpec::weight("weight", [self.vocabulary, self.dim], self.vocabulary, self.dim)]
    }

    fn forward(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let (layer, parameter, table) = (self.clone(), context.parameter(0, pass), &context.weights[0]);
        let width = context.input[0];
        if let Some(index) = x.values.iter().position(|value| self.place(*value).is_none()) {
            let place = format!("row {}, value {}", pass.first_row() + index / width, index % width);
            let (last, size) = (self.vocabulary - 1, self.vocabulary);
            let expected = format!("a whole number from 0 to {last}, below the vocabulary of {size}");
            let error = Error::argument(place, expected, x.values[index]);
            return pass.failed(error, x.rows, width * self.dim);
        }
        let mut y = Buffer::unset(x.values.len() * self.dim);
        y.par_chunks_mut(width * self.dim).zip(x.values.par_chunks(width)).on_threads().for_each(|(y, x)| {
            for (y, x) in y.chunks_exact_mut(self.dim).zip(x) {
                self.place(*x).into_iter().for_each(|place| y.copy_from_slice(&table[place]));
            }
        });
        let length = table.len();
        pass.record(Arc::new(y), x.rows, true, move |g, gradients| {
            if parameter.is_frozen() {
                return;
            }
            let (mut sum, start) = gradients.take_sum(parameter, length);
            if matches!(start, Accumulate::Zero) {
                sum.fill(0.0);
            }
            // One after the other: the order of a sum decides its last bits.
            for (g, x) in g.chunks_exact(layer.dim).zip(x.values.iter()) {
                let sums = layer.place(*x).map(|place| &mut sum[place]);
                sums.into_iter().flatten().zip(g).for_each(|(sum, g)| *sum += g);
            }
            gradients.put(parameter, sum);
        })
    }
}
