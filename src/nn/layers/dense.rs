use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Bias, LayerContext, Operation, add_gradients, columns, shape_text};
use crate::{
    engine::{
        Accumulate, Buffer, GatherLhs, PackedRhs, PackedWeights, gemm_in_parallel, offsets, transposed_gemm_in_parallel,
    },
    nn::{
        init::ParameterSpec,
        sequential::Sequential,
        tape::{Factors, Gradients, Pass, Rectified, Rectifier, Variable, WeightRows},
    },
};

/// A fully connected layer, `y = x · W + b`.
///
/// Shapes: x (n, inputs), W (inputs, units), b (units), y (n, units); of sequences, (n, time, inputs) and (n, time,
/// units). Backward pass, with g the gradient of y:
/// ∂x = g · Wᵀ, ∂W = xᵀ · g, ∂b = the sum of g over the batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Dense {
    units: usize,
    #[serde(default, skip_serializing_if = "Bias::is_used")]
    bias: Bias,
}

impl Sequential {
    /// A fully connected layer, y = x·W + b: input `[k]`, output `[units]`, k·units + units parameters
    /// (k·units [without a bias](Self::use_bias)). Of a sequence
    /// `[time, k]` each time step goes through the same weights, output `[time, units]`, as with Keras' and PyTorch's
    /// layers (and Keras' `TimeDistributed`).
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
    ///
    /// let of_each_row = Sequential::input([28, 28]).dense(5).build()?;
    /// assert_eq!((of_each_row.output_shape(), of_each_row.parameter_count()), (&[28, 5][..], 28 * 5 + 5));
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn dense(self, units: usize) -> Self {
        self.push(Dense { units, bias: Bias::default() })
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
            ([time, _], units) => Ok(vec![*time, units]),
            _ => Err(format!("expected a flat input [k], got {}; put .flatten() before it", shape_text(input))),
        }
    }

    fn parameters(&self, input: &[usize]) -> Vec<ParameterSpec> {
        let inputs = columns(input);
        self.bias.after(ParameterSpec::weight("weight", [inputs, self.units], inputs, self.units), self.units, inputs)
    }

    fn bias_mut(&mut self) -> Option<&mut Bias> {
        Some(&mut self.bias)
    }

    fn multiply_adds(&self, input: &[usize], _up_sample: [usize; 2]) -> usize {
        input.iter().product::<usize>() * self.units
    }

    fn pack(&self, context: &LayerContext<'_>, backward: bool) {
        let rows = self.weight_rows(context);
        self.panels(&context.caches.packed, &context.weights[0], &rows);
        if backward {
            self.panels_backward(&context.caches.packed, &context.weights[0], &rows);
        }
    }

    fn forward(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let (weight, packed) = (context.weights[0].clone(), Arc::clone(&context.caches.packed));
        let weight_parameter = context.parameter(0, pass);
        let (bias, bias_parameter) = context.bias(self.bias, pass);
        let (inputs, units, slope) = (columns(context.input), self.units, context.slope());
        // Each time step of a sequence is a row of its own.
        let (layer, rows, weight_rows) = (self.clone(), x.values.len() / inputs, self.weight_rows(context));
        let x_rows = x.rows;

        let lhs = GatherLhs { values: &x.values, rows: &offsets(rows, inputs), steps: &offsets(inputs, 1) };
        let mut y = Buffer::unset(rows * units);
        let start = bias.as_ref().map_or(Accumulate::Zero, |bias| Accumulate::Bias(bias));
        gemm_in_parallel(lhs, layer.panels(&packed, &weight, &weight_rows), start, slope, &mut y);
        let mask = context.fused.dropout.and_then(|dropout| dropout.mask(pass));
        mask.iter().for_each(|mask| mask.apply(&mut y));
        let y = Arc::new(y);
        let postpones = pass.postpones(inputs, units) && !weight_parameter.is_frozen();
        let by_units = pass.parameter_by_units(context.key(0), &weight_rows, units);
        let backward = move |Rectified { gradient: g, sums }: Rectified, gradients: &mut Gradients| {
            if let Some(bias) = bias_parameter {
                gradients.add_to_parameter(bias, sums);
            }
            let x_gradient = || {
                let lhs = GatherLhs { values: &g, rows: &offsets(rows, units), steps: &offsets(units, 1) };
                let mut x_gradient = Buffer::unset(rows * inputs);
                let rhs = layer.panels_backward(&packed, &weight, &weight_rows);
                gemm_in_parallel(lhs, rhs, Accumulate::Zero, 1.0, &mut x_gradient);
                x_gradient
            };
            if postpones {
                let x_gradient = x.needs_gradient.then(x_gradient);
                x_gradient.into_iter().for_each(|gradient| gradients.add_to(&x, gradient));
                let factors = Factors { x: Arc::clone(&x.values), g, weight_rows, units };
                return gradients.postpone(weight_parameter, factors);
            }
            let weight_gradient = |start: Accumulate<'_>, sum: &mut [f32]| match by_units {
                Some(_) => {
                    transposed_gemm_in_parallel(&[(&g, &x.values)], (&offsets(units, inputs), inputs), start, sum)
                }
                None => transposed_gemm_in_parallel(&[(&x.values, &g)], (&weight_rows, units), start, sum),
            };
            let place = by_units.unwrap_or(weight_parameter);
            add_gradients(gradients, (place, weight.len()), weight_gradient, &x, x_gradient);
        };
        let rectifier = Rectifier { slope, columns: units };
        match mask {
            None => pass.record_rectified(y, x_rows, rectifier, backward),
            Some(mask) => pass.record(Arc::clone(&y), x_rows, true, move |mut g, gradients| {
                mask.apply(&mut g);
                backward(rectifier.apply(&y, g), gradients);
            }),
        }
    }
}

impl Dense {
    /// Where the weights of each input begin, in the order in which the inputs are in memory: those of a flattened
    /// feature map channels last, while the layer has it channels first.
    fn weight_rows(&self, context: &LayerContext<'_>) -> WeightRows {
        let rows = || {
            let rows = offsets(columns(context.input), self.units);
            Arc::new(match context.fused.flattened {
                None => rows,
                Some([_, height, width]) => {
                    let pixels = height * width;
                    (0..pixels).flat_map(|pixel| rows[pixel..].iter().step_by(pixels).copied()).collect()
                }
            })
        };
        Arc::clone(context.caches.weight_rows.get_or_init(rows))
    }

    fn panels<'a>(&self, packed: &'a PackedWeights, weight: &[f32], rows: &[u32]) -> &'a PackedRhs<'static> {
        &packed.forward(|| vec![PackedRhs::pack_for_rows(weight, rows, self.units, 1)])[0]
    }

    fn panels_backward<'a>(&self, packed: &'a PackedWeights, weight: &[f32], rows: &[u32]) -> &'a PackedRhs<'static> {
        let steps = offsets(self.units, 1);
        let pack = |weight: &[f32]| PackedRhs::pack_for_rows(weight, &steps, rows.len(), self.units);
        let in_order = || {
            let mut weights = Buffer::unset(weight.len());
            let rows = weights.chunks_exact_mut(self.units).zip(rows);
            rows.for_each(|(to, row)| to.copy_from_slice(&weight[*row as usize..][..self.units]));
            weights
        };
        &packed.backward(|| vec![if rows.is_sorted() { pack(weight) } else { pack(&in_order()) }])[0]
    }
}
