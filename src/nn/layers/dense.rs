use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Operation, Place, SHARDS, shape_text};
use crate::nn::{
    buffer::Buffer,
    engine::{Left, Panels, Start, offsets, product, rectified_gradient, sum_of_parts},
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

        let panels = Panels::pack(&weight, &offsets(inputs, units), units, 1);
        let y = Arc::new(rows_times(&x.values, inputs, &panels, units, Start::Bias(&bias), slope));
        record(tape, Arc::clone(&y), rows, true, move |mut g, gradients| {
            gradients.add_to_parameter(&bias_key, rectified_gradient(&y, &mut g, slope, units));
            let (weight_gradient, x_gradient) = rayon::join(
                || weight_gradient(&x.values, &g, inputs, units),
                || {
                    x.needs_gradient.then(|| {
                        let panels = Panels::pack(&weight, &offsets(units, 1), inputs, units);
                        rows_times(&g, units, &panels, inputs, Start::Zero, 1.0)
                    })
                },
            );
            gradients.add_to_parameter(&weight_key, weight_gradient);
            x_gradient.into_iter().for_each(|gradient| gradients.add_to(&x, gradient));
        })
    }
}

/// Rows that one task multiplies.
const ROWS: usize = 36;

/// (rows, inputs) · (inputs, units), rows in parallel.
fn rows_times(x: &[f32], inputs: usize, panels: &Panels, units: usize, start: Start<'_>, slope: f32) -> Buffer {
    let rows = x.len() / inputs;
    let task = ROWS.min(rows).max(1);
    let (left_rows, steps, out_rows) = (offsets(task, inputs), offsets(inputs, 1), offsets(task, units));
    let mut y = Buffer::unset(rows * units);
    y.par_chunks_mut(task * units).zip(x.par_chunks(task * inputs)).for_each(|(y, x)| {
        let count = y.len() / units;
        let left = Left { values: x, rows: &left_rows[..count], steps: &steps };
        product(left, panels, start, slope, y, &out_rows[..count]);
    });
    y
}

/// Rows of a batch that are summed in one go; larger batches are cut into parts that are added in order.
const PART: usize = 1024;

/// xᵀ · g, (inputs, units).
fn weight_gradient(x: &[f32], g: &[f32], inputs: usize, units: usize) -> Buffer {
    let rows = x.len() / inputs;
    let part = rows.div_ceil(rows.div_ceil(PART).clamp(1, SHARDS)).max(1);
    // Each task takes some of the inputs of one part.
    let task = inputs.div_ceil(SHARDS).next_multiple_of(18).min(inputs);
    let (left_rows, steps) = (offsets(task, 1), offsets(part, inputs));
    let (right_steps, out_rows) = (offsets(part, units), offsets(task, units));
    let mut sums = Buffer::unset(rows.div_ceil(part) * inputs * units);
    let parts = x.par_chunks(part * inputs).zip(g.par_chunks(part * units));
    sums.par_chunks_mut(inputs * units).zip(parts).for_each(|(sums, (x, g))| {
        let rows = g.len() / units;
        let panels = Panels::pack(g, &right_steps[..rows], units, 1);
        sums.par_chunks_mut(task * units).enumerate().for_each(|(number, out)| {
            let count = out.len() / units;
            let left = Left { values: &x[number * task..], rows: &left_rows[..count], steps: &steps[..rows] };
            product(left, &panels, Start::Zero, 1.0, out, &out_rows[..count]);
        });
    });
    if rows <= part { sums } else { sum_of_parts(&sums, inputs * units) }
}
