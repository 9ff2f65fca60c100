use std::{ops::Range, sync::Arc};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    Layer, LayerContext, Operation,
    functions::{sigmoid, tanh},
    shape_text,
};
use crate::{
    engine::{
        self, Accumulate, Buffer, GatherLhs, OnThreads, PackedRhs, PackedWeights, column_sums, gemm, offsets,
        tiny_to_zero, transposed_gemm_in_parallel, vectorized,
    },
    nn::{
        init::ParameterSpec,
        sequential::Sequential,
        tape::{Pass, Variable},
    },
};

/// A long short-term memory or a gated recurrent unit: a state h of `units` values that each time step changes, with
/// PyTorch's formulas. ∘ is the product value by value, σ the sigmoid, and the state before the first step is 0.
///
/// LSTM (Hochreiter and Schmidhuber 1997): (i, f, g, o) = (σ, σ, tanh, σ) of x·W + b + h·U + d, c ← f∘c + i∘g, h ←
/// o∘tanh(c). GRU (Cho et al. 2014), the reset after the product: (r, z) = σ of x·W + b + h·U + d, n = tanh(x·Wₙ + bₙ +
/// r∘(h·Uₙ + dₙ)), h ← (1 − z)∘n + z∘h.
///
/// Shapes: x (n, time, features), W (features, gates · units), U (units, gates · units), b and d (gates · units), y (n,
/// time, units), or (n, units), the last state; the gates are side by side in the order above. Inside, groups of
/// samples go through all steps by themselves. Their rows are sorted by time and then by sample, so that a step's
/// products are one matrix product for the group, and those with W one for all steps.
///
/// Backward pass, through time: from the gradients of a step's h and c those of what its gates take, a; then ∂h of the
/// step before gets ∂a·Uᵀ. Over all steps together ∂W = xᵀ·∂a, ∂U = hᵀ·∂a with the states before each step, ∂b = ∂d =
/// the sum of ∂a, ∂x = ∂a·Wᵀ. In a GRU the part of n has r∘∂a in place of ∂a for U, d and h.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recurrent {
    cell: Cell,
    units: usize,
    sequences: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Cell {
    Lstm,
    Gru,
}

impl Sequential {
    /// A long short-term memory (Hochreiter and Schmidhuber 1997) over a sequence: input `[time, features]`, output
    /// `[units]`, its state after the last time step, or `[time, units]`, that after each, with
    /// [`return_sequences`](Self::return_sequences) after it. As Keras' and PyTorch's `LSTM`, the state starts at 0.
    ///
    /// Gates and parameters are PyTorch's, with the gates in its order (input, forget, cell, output): `weight_ih`
    /// (features, 4·units) and `weight_hh` (units, 4·units), which PyTorch holds transposed, `bias_ih` and `bias_hh`
    /// (4·units). Keras has the same order, and one bias, the sum of both; it starts the forget gate's at 1, which here
    /// starts like the others.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// // An image, row by row.
    /// let network = Sequential::input([1, 28, 28]).reshape([28, 28]).lstm(32).dense(10).build()?;
    /// assert_eq!(network.take(2).output_shape(), [32]);
    /// assert_eq!(network.take(2).parameter_count(), 4 * 32 * (28 + 32 + 2));
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn lstm(self, units: usize) -> Self {
        self.push(Recurrent { cell: Cell::Lstm, units, sequences: false })
    }

    /// A gated recurrent unit (Cho et al. 2014) over a sequence: input `[time, features]`, output `[units]`, its state
    /// after the last time step, or `[time, units]`, that after each, with [`return_sequences`](Self::return_sequences)
    /// after it.
    ///
    /// Gates and parameters are PyTorch's, with the gates in its order (reset, update, new) and the reset gate after
    /// the product with the state (Keras' `reset_after=True`, its default; Keras has update before reset): `weight_ih`
    /// (features, 3·units) and `weight_hh` (units, 3·units), which PyTorch holds transposed, `bias_ih` and `bias_hh`
    /// (3·units).
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// let network = Sequential::input([140, 1]).gru(16).return_sequences().gru(8).build()?;
    /// assert_eq!((network.take(1).output_shape(), network.output_shape()), (&[140, 16][..], &[8][..]));
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn gru(self, units: usize) -> Self {
        self.push(Recurrent { cell: Cell::Gru, units, sequences: false })
    }

    /// The state after each time step as output of the recurrent layer before it, `[time, units]`, not the last alone:
    /// Keras' `return_sequences=True`. Another recurrent layer needs it, or a [`dense`](Self::dense) for each step.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// assert_eq!(Sequential::input([5, 3]).lstm(4).return_sequences().build()?.output_shape(), [5, 4]);
    ///
    /// let error = Sequential::input([5, 3]).lstm(4).gru(2).build().unwrap_err().to_string();
    /// let hint = "after a recurrent layer, .return_sequences() keeps its time steps";
    /// assert_eq!(error, format!("layer 2, gru: expected a sequence [time, features], got [4]; {hint}"));
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn return_sequences(self) -> Self {
        self.amend("return_sequences", "an lstm or gru", |layer| {
            match layer {
                Layer::Recurrent(layer) => layer.sequences = true,
                _ => return false,
            }
            true
        })
    }
}

impl Recurrent {
    fn gates(&self) -> usize {
        self.units.saturating_mul(match self.cell {
            Cell::Lstm => 4,
            Cell::Gru => 3,
        })
    }

    /// W and U for the forward pass.
    fn panels<'a>(&self, packed: &'a PackedWeights, weights: [&[f32]; 2]) -> &'a [PackedRhs<'static>] {
        let gates = self.gates();
        packed.forward(|| {
            weights.map(|weight| PackedRhs::pack(weight, &offsets(weight.len() / gates, gates), gates, 1)).into()
        })
    }

    /// Wᵀ and Uᵀ.
    fn panels_backward<'a>(&self, packed: &'a PackedWeights, weights: [&[f32]; 2]) -> &'a [PackedRhs<'static>] {
        let gates = self.gates();
        packed.backward(|| {
            weights.map(|weight| PackedRhs::pack(weight, &offsets(gates, 1), weight.len() / gates, gates)).into()
        })
    }
}

impl Operation for Recurrent {
    fn name(&self) -> &'static str {
        match self.cell {
            Cell::Lstm => "lstm",
            Cell::Gru => "gru",
        }
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        match (input, self.units) {
            (_, 0) => Err("expected at least 1 unit, got 0".into()),
            ([time, _], units) => Ok(if self.sequences { vec![*time, units] } else { vec![units] }),
            ([_], _) => Err(format!(
                "expected a sequence [time, features], got {}; after a recurrent layer, .return_sequences() keeps its \
                 time steps",
                shape_text(input)
            )),
            _ => Err(format!(
                "expected a sequence [time, features], got {}; put .reshape([time, features]) before it",
                shape_text(input)
            )),
        }
    }

    fn parameters(&self, input: &[usize]) -> Vec<ParameterSpec> {
        let (features, units, gates) = (input[1], self.units, self.gates());
        vec![
            ParameterSpec::weight("weight_ih", [features, gates], features, gates),
            ParameterSpec::weight("weight_hh", [units, gates], units, gates),
            ParameterSpec::bias("bias_ih", [gates], units),
            ParameterSpec::bias("bias_hh", [gates], units),
        ]
    }

    fn check_sizes(&self, place: &str, input: &[usize]) -> crate::error::Result<()> {
        engine::count(place, "the states of one sample", &[self.working_values(input)]).map(drop)
    }

    /// The gates, twice in a GRU, and the states of all steps, with their gradients.
    fn working_values(&self, input: &[usize]) -> usize {
        let step = self.gates().saturating_mul(2).saturating_add(self.units.saturating_mul(2));
        input[0].saturating_add(1).saturating_mul(step)
    }

    fn multiply_adds(&self, input: &[usize], _up_sample: [usize; 2]) -> usize {
        input[0] * self.gates() * (input[1] + self.units)
    }

    fn pack(&self, context: &LayerContext<'_>, backward: bool) {
        let weights = [&context.weights[0][..], &context.weights[1]];
        self.panels(&context.caches.packed, weights);
        if backward {
            self.panels_backward(&context.caches.packed, weights);
        }
    }

    fn forward(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let parameters = [0, 1, 2, 3].map(|index| context.parameter(index, pass));
        let weights = [0, 1, 2, 3].map(|index| Arc::clone(&context.weights[index]));
        let (layer, packed) = (*self, Arc::clone(&context.caches.packed));
        let (rows, time, features) = (x.rows, context.input[0], context.input[1]);
        let (units, gates) = (self.units, self.gates());
        let (width, out_width) = (time * features, if self.sequences { time * units } else { units });

        let mut y = Buffer::unset(rows * out_width);
        let panels = self.panels(&packed, [&weights[0], &weights[1]]);
        let groups = y.par_chunks_mut(GROUP * out_width).zip(x.values.par_chunks(GROUP * width));
        let run = |(y, x): (&mut [f32], &[f32])| self.run(x, [time, features], panels, [&weights[2], &weights[3]], y);
        let mut groups: Vec<Group> = groups.on_threads().map(run);

        pass.record(Arc::new(y), rows, true, move |g, gradients| {
            let panels = layer.panels_backward(&packed, [&weights[0], &weights[1]]);
            let mut x_gradient = Buffer::unset(if x.needs_gradient { x.values.len() } else { 0 });
            let back = |(steps, g): (&mut Group, &[f32])| layer.run_back(steps, time, g, panels);
            let all = groups.par_iter_mut().zip(g.par_chunks(GROUP * out_width));
            if x.needs_gradient {
                let all = all.zip(x_gradient.par_chunks_mut(GROUP * width));
                all.on_threads().for_each(|((steps, g), out)| {
                    back((&mut *steps, g));
                    let mut by_time = Buffer::unset(out.len());
                    multiply(&steps.gates, gates, &panels[0], Accumulate::Zero, &mut by_time);
                    reorder(&by_time, [time, out.len() / width], features, out);
                });
            } else {
                all.on_threads().for_each(back);
            }

            let of_input: Vec<_> = groups.iter().map(|steps| (&steps.x[..], &steps.gates[..])).collect();
            let before = |steps: &'_ Group| steps.states.len() - steps.states.len() / (time + 1);
            let of_state: Vec<_> =
                groups.iter().map(|steps| (&steps.states[..before(steps)], layer.of_state(steps))).collect();
            for (index, (pairs, inputs)) in [(&of_input, features), (&of_state, units)].into_iter().enumerate() {
                if parameters[index].is_frozen() {
                    continue;
                }
                let (mut sum, start) = gradients.take_sum(parameters[index], inputs * gates);
                transposed_gemm_in_parallel(pairs, (&offsets(inputs, gates), gates), start, &mut sum);
                gradients.put(parameters[index], sum);
                for (_, g) in pairs {
                    gradients.add_to_parameter(parameters[2 + index], column_sums(g, gates));
                }
            }
            gradients.add_to(&x, x_gradient);
        })
    }
}

/// Rows that go through all time steps by themselves, each group on its thread.
const GROUP: usize = 32;

/// All time steps of a group, sorted by time and then by sample.
struct Group {
    x: Buffer,
    /// The gates; in the backward pass the gradient of what they take.
    gates: Buffer,
    /// Of a GRU what the gates take from the state, and its gradient: of an LSTM it is added at once.
    from_state: Buffer,
    /// Before the first step and after each.
    states: Buffer,
    /// The same of an LSTM's cells.
    cells: Buffer,
}

impl Recurrent {
    /// All time steps of a group of samples; writes the output.
    fn run(
        &self,
        x: &[f32],
        [time, features]: [usize; 2],
        panels: &[PackedRhs<'_>],
        [bias, state_bias]: [&[f32]; 2],
        y: &mut [f32],
    ) -> Group {
        let (units, gates, rows) = (self.units, self.gates(), x.len() / (time * features));
        let is_lstm = self.cell == Cell::Lstm;
        let mut steps = Group {
            x: Buffer::unset(x.len()),
            gates: Buffer::unset(time * rows * gates),
            from_state: Buffer::unset(if is_lstm { 0 } else { time * rows * gates }),
            states: Buffer::unset((time + 1) * rows * units),
            cells: Buffer::unset(if is_lstm { (time + 1) * rows * units } else { 0 }),
        };
        reorder(x, [rows, time], features, &mut steps.x);
        let both: Vec<f32>;
        let start = if is_lstm {
            both = bias.iter().zip(state_bias).map(|(b, d)| b + d).collect();
            &both
        } else {
            bias
        };
        multiply(&steps.x, features, &panels[0], Accumulate::Bias(start), &mut steps.gates);
        for all in [&mut steps.states, &mut steps.cells] {
            all.iter_mut().take(rows * units).for_each(|first| *first = 0.0);
        }
        for t in 0..time {
            let gates_of_step = &mut steps.gates[t * rows * gates..][..rows * gates];
            let place = t * rows * units..(t + 1) * rows * units;
            let (before, state) = before_and_after(&mut steps.states, place.clone());
            if is_lstm {
                multiply(before, units, &panels[1], Accumulate::Output, gates_of_step);
                let (cell_before, cell) = before_and_after(&mut steps.cells, place);
                lstm(gates_of_step, cell_before, cell, state, units);
            } else {
                let from_state = &mut steps.from_state[t * rows * gates..][..rows * gates];
                multiply(before, units, &panels[1], Accumulate::Bias(state_bias), from_state);
                gru(gates_of_step, from_state, before, state, units);
            }
        }
        if self.sequences {
            reorder(&steps.states[rows * units..], [time, rows], units, y);
        } else {
            y.copy_from_slice(&steps.states[time * rows * units..]);
        }
        steps
    }

    /// The backward pass of [`run`](Self::run): leaves the gradients of what the gates take.
    fn run_back(&self, steps: &mut Group, time: usize, g: &[f32], panels: &[PackedRhs<'_>]) {
        let (units, gates) = (self.units, self.gates());
        let rows = steps.states.len() / ((time + 1) * units);
        let mut g_by_time = Buffer::unset(if self.sequences { g.len() } else { 0 });
        let mut state_gradient = if self.sequences { Buffer::zeros(rows * units) } else { g.into() };
        if self.sequences {
            reorder(g, [rows, time], units, &mut g_by_time);
        }
        let mut cell_gradient = Buffer::zeros(rows * units);
        for t in (0..time).rev() {
            let place = t * rows * units..(t + 1) * rows * units;
            if self.sequences {
                state_gradient.iter_mut().zip(&g_by_time[place.clone()]).for_each(|(sum, g)| *sum += g);
            }
            let of_step = t * rows * gates..(t + 1) * rows * gates;
            let gates_of_step = &mut steps.gates[of_step.clone()];
            let (taken, start) = match self.cell {
                Cell::Lstm => {
                    let (before, cell) = before_and_after(&mut steps.cells, place);
                    lstm_backward(gates_of_step, before, cell, &state_gradient, &mut cell_gradient, units);
                    (gates_of_step, Accumulate::Zero)
                }
                Cell::Gru => {
                    let from_state = &mut steps.from_state[of_step];
                    gru_backward(gates_of_step, from_state, &steps.states[place], &mut state_gradient, units);
                    (from_state, Accumulate::Output)
                }
            };
            if t > 0 {
                multiply(taken, gates, &panels[1], start, &mut state_gradient);
            }
        }
    }

    /// What the gates take from the state, or its gradient.
    fn of_state<'a>(&self, steps: &'a Group) -> &'a [f32] {
        if self.cell == Cell::Lstm { &steps.gates } else { &steps.from_state }
    }
}

/// (outer, inner, width) to (inner, outer, width).
fn reorder(values: &[f32], [outer, inner]: [usize; 2], width: usize, out: &mut [f32]) {
    for (place, out) in out.chunks_exact_mut(outer * width).enumerate() {
        for (out, values) in out.chunks_exact_mut(width).zip(values.chunks_exact(inner * width)) {
            out.copy_from_slice(&values[place * width..][..width]);
        }
    }
}

/// What was before a step, at that place, and what comes after it.
fn before_and_after(all: &mut [f32], place: Range<usize>) -> (&[f32], &mut [f32]) {
    let (before, after) = all.split_at_mut(place.end);
    let length = place.len();
    (&before[place], &mut after[..length])
}

/// The product of rows of `inputs` values with a packed matrix, on this thread.
fn multiply(values: &[f32], inputs: usize, rhs: &PackedRhs<'_>, start: Accumulate<'_>, out: &mut [f32]) {
    let rows = values.len() / inputs;
    let lhs = GatherLhs { values, rows: &offsets(rows, inputs), steps: &offsets(inputs, 1) };
    let out_rows = offsets(rows, out.len() / rows);
    gemm(lhs, rhs.all(), start, 1.0, out, &out_rows);
}

/// The parts of a row, one for each gate.
#[inline(always)]
fn parts<const GATES: usize>(row: &mut [f32], units: usize) -> [&mut [f32]; GATES] {
    let mut parts = row.chunks_exact_mut(units);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

vectorized! {
    /// From what the gates take to the gates, and to the new cell and state.
    fn lstm(gates: &mut [f32], before: &[f32], cell: &mut [f32], state: &mut [f32], units: usize) {
        let new = cell.chunks_exact_mut(units).zip(state.chunks_exact_mut(units));
        let old = gates.chunks_exact_mut(4 * units).zip(before.chunks_exact(units));
        for ((gates, before), (cell, state)) in old.zip(new) {
            let [i, f, g, o] = parts(gates, units);
            let gates = i.iter_mut().zip(f).zip(g).zip(o);
            for ((((i, f), g), o), ((before, cell), state)) in gates.zip(before.iter().zip(cell).zip(state)) {
                (*i, *f, *g, *o) = (sigmoid(*i), sigmoid(*f), tanh(*g), sigmoid(*o));
                *cell = *f * before + *i * *g;
                *state = *o * tanh(*cell);
            }
        }
    }

    /// From the gates to the gradient of what they take; turns the gradient of the cell into that of the one before.
    fn lstm_backward(
        gates: &mut [f32],
        before: &[f32],
        cell: &[f32],
        state_gradient: &[f32],
        cell_gradient: &mut [f32],
        units: usize,
    ) {
        let cells = before.chunks_exact(units).zip(cell.chunks_exact(units));
        let gradients = state_gradient.chunks_exact(units).zip(cell_gradient.chunks_exact_mut(units));
        for ((gates, (before, cell)), (dh, dc)) in gates.chunks_exact_mut(4 * units).zip(cells).zip(gradients) {
            let [i, f, g, o] = parts(gates, units);
            let gates = i.iter_mut().zip(f).zip(g).zip(o);
            let values = before.iter().zip(cell).zip(dh.iter().zip(dc));
            for ((((i, f), g), o), ((before, cell), (dh, dc))) in gates.zip(values) {
                let bent = tanh(*cell);
                let from_both = *dc + dh * *o * (1.0 - bent * bent);
                *dc = tiny_to_zero(from_both * *f);
                (*i, *g, *f, *o) = (
                    tiny_to_zero(from_both * *g * (*i * (1.0 - *i))),
                    tiny_to_zero(from_both * *i * (1.0 - *g * *g)),
                    tiny_to_zero(from_both * before * (*f * (1.0 - *f))),
                    tiny_to_zero(dh * bent * (*o * (1.0 - *o))),
                );
            }
        }
    }

    /// From what the gates take from the input and from the state to the gates, and to the new state.
    fn gru(gates: &mut [f32], from_state: &mut [f32], before: &[f32], state: &mut [f32], units: usize) {
        let states = before.chunks_exact(units).zip(state.chunks_exact_mut(units));
        let gates = gates.chunks_exact_mut(3 * units).zip(from_state.chunks_exact_mut(3 * units));
        for ((gates, from_state), (before, state)) in gates.zip(states) {
            let ([r, z, n], [state_r, state_z, state_n]) = (parts(gates, units), parts(from_state, units));
            let gates = r.iter_mut().zip(z).zip(n);
            let from_state = state_r.iter().zip(state_z.iter()).zip(state_n.iter());
            let values = from_state.zip(before.iter().zip(state));
            for (((r, z), n), (((state_r, state_z), state_n), (before, state))) in gates.zip(values) {
                (*r, *z) = (sigmoid(*r + state_r), sigmoid(*z + state_z));
                *n = tanh(*n + *r * state_n);
                *state = *n + *z * (before - *n);
            }
        }
    }

    /// From the gates to the gradient of what they take from the input, and from the state; turns the gradient of the
    /// state into what goes straight to the one before.
    fn gru_backward(
        gates: &mut [f32],
        from_state: &mut [f32],
        before: &[f32],
        state_gradient: &mut [f32],
        units: usize,
    ) {
        let states = before.chunks_exact(units).zip(state_gradient.chunks_exact_mut(units));
        let gates = gates.chunks_exact_mut(3 * units).zip(from_state.chunks_exact_mut(3 * units));
        for ((gates, from_state), (before, dh)) in gates.zip(states) {
            let ([r, z, n], [state_r, state_z, state_n]) = (parts(gates, units), parts(from_state, units));
            let gates = r.iter_mut().zip(z).zip(n);
            let from_state = state_r.iter_mut().zip(state_z).zip(state_n);
            for (((r, z), n), (((state_r, state_z), state_n), (before, dh))) in
                gates.zip(from_state.zip(before.iter().zip(dh)))
            {
                let new = tiny_to_zero(*dh * (1.0 - *z) * (1.0 - *n * *n));
                let reset = tiny_to_zero(new * *state_n * (*r * (1.0 - *r)));
                let update = tiny_to_zero(*dh * (before - *n) * (*z * (1.0 - *z)));
                *dh = tiny_to_zero(*dh * *z);
                (*state_r, *state_z, *state_n) = (reset, update, tiny_to_zero(new * *r));
                (*r, *z, *n) = (reset, update, new);
            }
        }
    }
}
