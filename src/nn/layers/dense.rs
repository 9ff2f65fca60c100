use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Operation, Place, shape_text};
use crate::nn::{
    buffer::Buffer,
    engine::{
        Left, Panels, Start, offsets, product, product_in_parallel, rectified_gradient, rectify, shard, sum_of_parts,
    },
    init::ParameterSpec,
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

    fn takes_slope(&self) -> bool {
        true
    }

    fn products(&self, input: &[usize], _enlarged: [usize; 2]) -> usize {
        input[0] * self.units
    }

    fn forward<T: Tape>(&self, x: Variable<T>, place: Place<'_>, pass: &mut Pass) -> Variable<T> {
        let (weight, bias) = (place.weights[0].clone(), place.weights[1].clone());
        let (weight_key, bias_key) = (pass.parameter(&weight), pass.parameter(&bias));
        let (x, tape) = x.split();
        let (rows, inputs, units, slope) = (x.rows, place.input[0], self.units, place.slope);

        let (left_rows, left_steps) = (offsets(rows, inputs), offsets(inputs, 1));
        let left = Left { values: &x.values, rows: &left_rows, steps: &left_steps };
        let right = |first: usize, count| Panels::of_rows(&weight[first..], inputs, count, units);
        let mut y = Buffer::unset(rows * units);
        product_in_parallel(left, units, right, Start::Bias(&bias), slope, &mut y);
        let y = Arc::new(y);
        record(tape, Arc::clone(&y), rows, true, move |mut g, gradients| {
            let mut x_gradient = Buffer::unset(if x.needs_gradient { rows * inputs } else { 0 });
            let (bias_gradient, weight_gradient) = if rows > LARGE {
                backward_by_parts(&x.values, &y, &mut g, &weight, slope, [inputs, units], &mut x_gradient)
            } else {
                let bias_gradient = rectified_gradient(&y, &mut g, slope, units);
                let mut weight_gradient = Buffer::unset(inputs * units);
                rayon::join(
                    || {
                        let left = Left { values: &x.values, rows: &left_steps, steps: &left_rows };
                        let right = |first: usize, count| Panels::of_rows(&g[first..], rows, count, units);
                        product_in_parallel(left, units, right, Start::Zero, 1.0, &mut weight_gradient);
                    },
                    || {
                        let steps = offsets(units, 1);
                        let left = Left { values: &g, rows: &offsets(rows, units), steps: &steps };
                        let right = |first: usize, count| Panels::pack(&weight[first * units..], &steps, count, units);
                        if x.needs_gradient {
                            product_in_parallel(left, inputs, right, Start::Zero, 1.0, &mut x_gradient);
                        }
                    },
                );
                (bias_gradient, weight_gradient)
            };
            gradients.add_to_parameter(&bias_key, bias_gradient);
            gradients.add_to_parameter(&weight_key, weight_gradient);
            gradients.add_to(&x, x_gradient);
        })
    }
}

/// A batch of more rows than this goes back part by part.
const LARGE: usize = 1024;

/// Rows of a part, which a thread takes through all of the way back while they, and the addresses of their pages, are in its caches.
const PART: usize = 64;

/// The way back of a large batch, part by part: the gradient's rectification, then the sums over the part for bias and weights, then the
/// gradient of x; fixed shards of the batch are summed side by side and then added in order. Returns the gradients of bias and weights.
fn backward_by_parts(
    x: &[f32],
    y: &[f32],
    g: &mut [f32],
    weight: &[f32],
    slope: f32,
    [inputs, units]: [usize; 2],
    x_gradient: &mut [f32],
) -> (Buffer, Buffer) {
    let rows = y.len() / units;
    let shard = shard(rows, 1);
    let shards = rows.div_ceil(shard);
    let (by_inputs, by_units) = (offsets(PART, inputs), offsets(PART, units));
    let (all_inputs, all_units, weight_rows) = (offsets(inputs, 1), offsets(units, 1), offsets(inputs, units));
    let backwards = (!x_gradient.is_empty()).then(|| Panels::pack(weight, &all_units, inputs, units));
    let mut bias_sums = Buffer::zeros(shards * units);
    let mut weight_sums = Buffer::unset(shards * inputs * units);
    let inputs_of_shards =
        x.par_chunks(shard * inputs).zip(y.par_chunks(shard * units)).zip(g.par_chunks_mut(shard * units));
    let outputs = bias_sums.par_chunks_mut(units).zip(weight_sums.par_chunks_mut(inputs * units));
    // A gradient that nobody wants is empty: then every shard gets none of it.
    let mut gradients: Vec<&mut [f32]> = x_gradient.chunks_mut(shard * inputs).collect();
    gradients.resize_with(shards, Default::default);
    inputs_of_shards.zip(outputs).zip(gradients).for_each(|((((x, y), g), (bias_sums, weight_sums)), x_gradient)| {
        for (number, g) in g.chunks_mut(PART * units).enumerate() {
            let rows = g.len() / units;
            let first = number * PART;
            rectify(g, &y[first * units..][..g.len()], slope, bias_sums);
            let left = Left { values: &x[first * inputs..], rows: &all_inputs, steps: &by_inputs[..rows] };
            let start = if number == 0 { Start::Zero } else { Start::Output };
            let right = Panels::of_rows(g, rows, units, units);
            product(left, &right, start, 1.0, weight_sums, &weight_rows);
            if let Some(right) = &backwards {
                let left = Left { values: g, rows: &by_units[..rows], steps: &all_units };
                let out = &mut x_gradient[first * inputs..][..rows * inputs];
                product(left, right, Start::Zero, 1.0, out, &by_inputs[..rows]);
            }
        }
    });
    (sum_of_parts(&bias_sums, units), sum_of_parts(&weight_sums, inputs * units))
}
