use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{LayerContext, Operation, columns};
use crate::{
    engine::{Buffer, OnThreads, column_sums, repeat, shard, tiny_to_zero, vectorized},
    nn::{
        init::ParameterSpec,
        sequential::Sequential,
        tape::{Pass, Variable},
    },
};

/// A leaky rectified linear unit that learns its slopes: y = x where x > 0, a·x elsewhere, with one a for each channel
/// of feature maps, or for each of the last axis of other shapes (PyTorch's `PReLU` of as many parameters).
///
/// Backward pass: ∂x = g where x > 0, a·g elsewhere; ∂a = the sum of g·x where x ≤ 0, over the batch and all pixels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Prelu {}

impl Sequential {
    /// Parametric rectified linear unit (He et al. 2015): x where x > 0, a·x elsewhere, with a slope a that training
    /// learns: one for each channel of feature maps `[channels, height, width]`, for each value of `[k]`, for each
    /// feature of a sequence `[time, features]`. Any shape, unchanged.
    ///
    /// Slopes start at 0.25, as in PyTorch's `PReLU(channels)`; Keras' `PReLU` starts at 0 and has a slope for each
    /// value unless `shared_axes` says otherwise.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// let network = Sequential::input([1, 28, 28]).conv2d(8, 3).prelu().build()?;
    /// assert_eq!(network.parameter_count(), (9 * 8 + 8) + 8);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn prelu(self) -> Self {
        self.push(Prelu {})
    }
}

impl Operation for Prelu {
    fn name(&self) -> &'static str {
        "prelu"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        Ok(input.to_vec())
    }

    fn parameters(&self, input: &[usize]) -> Vec<ParameterSpec> {
        vec![ParameterSpec::constant("slope", [columns(input)], 0.25)]
    }

    fn forward(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let (columns, parameter) = (columns(context.input), context.parameter(0, pass));
        let repeat = repeat(x.values.len() / columns, columns);
        let slopes = context.weights[0].repeat(repeat);
        let block = shard(x.values.len() / slopes.len(), slopes.len());
        let mut y = Buffer::unset(x.values.len());
        y.par_chunks_mut(block).zip(x.values.par_chunks(block)).on_threads().for_each(|(y, x)| bend(x, &slopes, y));
        pass.record(Arc::new(y), x.rows, true, move |mut g, gradients| {
            let mut products = Buffer::unset(g.len());
            let blocks = g.par_chunks_mut(block).zip(x.values.par_chunks(block));
            products.par_chunks_mut(block).zip(blocks).on_threads().for_each(|(products, (g, x))| {
                bend_gradient(x, &slopes, g, products);
            });
            gradients.add_to_parameter(parameter, column_sums(&products, columns));
            gradients.add_to(&x, g);
        })
    }
}

vectorized! {
    fn bend(x: &[f32], slopes: &[f32], y: &mut [f32]) {
        for (y, x) in y.chunks_exact_mut(slopes.len()).zip(x.chunks_exact(slopes.len())) {
            for ((y, x), slope) in y.iter_mut().zip(x).zip(slopes) {
                *y = if *x > 0.0 { *x } else { slope * x };
            }
        }
    }

    /// Turns the gradient of y into that of x; `products` becomes what each value gives to its slope.
    fn bend_gradient(x: &[f32], slopes: &[f32], gradient: &mut [f32], products: &mut [f32]) {
        let rows = gradient.chunks_exact_mut(slopes.len()).zip(products.chunks_exact_mut(slopes.len()));
        for ((gradient, products), x) in rows.zip(x.chunks_exact(slopes.len())) {
            for (((g, product), x), slope) in gradient.iter_mut().zip(products).zip(x).zip(slopes) {
                *product = if *x > 0.0 { 0.0 } else { tiny_to_zero(*g * x) };
                *g = tiny_to_zero(if *x > 0.0 { *g } else { slope * *g });
            }
        }
    }
}
