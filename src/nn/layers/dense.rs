use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Operation, SHARDS, Weights, shape_text};
use crate::nn::{
    buffer::Buffer,
    init::ParameterSpec,
    matrix::{Matrix, product},
    sequential::Sequential,
    tape::{Pass, Tape, Variable, record},
};

/// A fully connected layer, `y = x · W + b`.
///
/// Shapes: x (n, inputs), W (inputs, units), b (units), y (n, units). Backwards, with g the gradient of y:
/// ∂x = g · Wᵀ, ∂W = xᵀ · g, ∂b = the sum of g over the batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Dense {
    units: usize,
}

impl Sequential {
    /// A fully connected layer, y = x·W + b: input `[k]`, output `[units]`, k·units + units parameters.
    ///
    /// W is stored as (inputs, units), as Keras' `Dense` stores it; PyTorch's `Linear` holds the transposed matrix.
    /// Images must be [flattened](Self::flatten) first.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// let network = Sequential::input([784]).dense(50).relu().build()?;
    /// assert_eq!(network.output_shape(), [50]);
    /// assert_eq!(network.parameter_count(), 784 * 50 + 50);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn dense(self, units: usize) -> Self {
        self.push(super::Layer::Dense(Dense { units }))
    }
}

impl Operation for Dense {
    fn name(&self) -> &'static str {
        "dense"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        match (input, self.units) {
            (_, 0) => Err("expected at least 1 unit, got 0".into()),
            ([_], units) => Ok(vec![units]),
            _ => Err(format!("expected a flat input [k], got {}; put .flatten() before it", shape_text(input))),
        }
    }

    fn parameters(&self, input: &[usize]) -> Vec<ParameterSpec> {
        let inputs = input[0];
        vec![
            ParameterSpec::weight("weight", [inputs, self.units], inputs, self.units),
            ParameterSpec::bias("bias", [self.units], inputs),
        ]
    }

    fn forward<T: Tape>(&self, x: Variable<T>, weights: &[Weights], pass: &mut Pass) -> Variable<T> {
        let (weight, bias) = (weights[0].clone(), weights[1].clone());
        let (weight_key, bias_key) = (pass.parameter(&weight), pass.parameter(&bias));
        let (x, tape) = x.split();
        let (rows, units) = (x.rows, self.units);
        let inputs = weight.len() / units;
        let shard = rows.div_ceil(SHARDS).max(1);

        let mut y = Buffer::unset(rows * units); // (rows, units)
        y.par_chunks_mut(shard * units).zip(x.values.par_chunks(shard * inputs)).for_each(|(y, x)| {
            y.chunks_exact_mut(units).for_each(|row| row.copy_from_slice(&bias));
            let rows = y.len() / units;
            product(Matrix::new(x, rows, inputs), Matrix::new(&weight, inputs, units), y, true);
        });

        record(tape, Arc::new(y), rows, true, move |g, gradients| {
            let input_block = inputs.div_ceil(SHARDS).max(16);
            let mut weight_gradient = Buffer::unset(inputs * units); // (inputs, units), a block of inputs for each task
            weight_gradient.par_chunks_mut(input_block * units).enumerate().for_each(|(block, out)| {
                let x = Matrix::block(&x.values[block * input_block..], rows, out.len() / units, inputs);
                product(x.transposed(), Matrix::new(&g, rows, units), out, false);
            });
            let unit_block = units.div_ceil(SHARDS).max(16);
            let mut bias_gradient = Buffer::zeros(units);
            bias_gradient.par_chunks_mut(unit_block).enumerate().for_each(|(block, out)| {
                for row in g.chunks_exact(units) {
                    out.iter_mut().zip(&row[block * unit_block..]).for_each(|(sum, g)| *sum += g);
                }
            });
            gradients.add_to_parameter(&weight_key, weight_gradient);
            gradients.add_to_parameter(&bias_key, bias_gradient);

            if x.needs_gradient {
                let mut x_gradient = Buffer::unset(rows * inputs);
                x_gradient.par_chunks_mut(shard * inputs).zip(g.par_chunks(shard * units)).for_each(|(out, g)| {
                    let rows = out.len() / inputs;
                    product(Matrix::new(g, rows, units), Matrix::new(&weight, inputs, units).transposed(), out, false);
                });
                gradients.add_to(&x, x_gradient);
            }
        })
    }
}
