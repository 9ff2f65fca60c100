//! Values, and the tape that records the backward pass of every operation on them.
//!
//! dfdx's tape holds the backward operations and runs them in reverse order. Values and gradients are buffers of ours:
//! dfdx lends no slice of a tensor's data, and an operation that owns its buffers can work in place. The tape belongs
//! to a [`Pass`]; a [`Variable`] is a cheap handle, so an operation may take several, and several may take the same
//! one: their gradients add up.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    ops::Range,
    rc::Rc,
    sync::Arc,
};

use dfdx::{
    tensor::{Cpu, OwnedTape, PutTape, Tape, Tensor, TensorFromVec},
    tensor_ops::Backward,
};
use rayon::prelude::*;

use super::tensor::Tensor as AnyShape;
use crate::{
    engine::{Accumulate, Buffer, Moments, OnThreads, is_better_by_units, rectified_gradient, shard},
    error::Error,
};

/// A batch of values, (rows, features) row by row, in one [`Pass`].
#[derive(Clone)]
pub(crate) struct Variable {
    pub values: Arc<Buffer>,
    pub rows: usize,
    /// Whether anything upstream wants this gradient: false for the input of a network.
    pub needs_gradient: bool,
    /// The moments of its columns, if the layer before a batch normalisation has taken them.
    pub moments: Option<Arc<Moments>>,
    /// What the layer that made it does first with its gradient, if it takes it with that done as well.
    pub rectifier: Option<Rectifier>,
    /// Under which its gradient is summed.
    number: usize,
}

impl Variable {
    /// Values that no pass computed: nothing before them wants a gradient.
    pub fn constant(values: Arc<Buffer>, rows: usize) -> Self {
        Self { values, rows, needs_gradient: false, moments: None, rectifier: None, number: usize::MAX }
    }

    /// The buffer for an operation that works in place: the values themselves if nothing else needs them, else a copy.
    pub fn take_values(&mut self) -> Buffer {
        Arc::unwrap_or_clone(std::mem::take(&mut self.values))
    }
}

/// The first step of a layer's backward pass: the gradient of its output times `slope` where the output is not above 0,
/// and the sum of that over rows of so many columns, for a bias.
#[derive(Clone, Copy)]
pub(crate) struct Rectifier {
    pub slope: f32,
    pub columns: usize,
}

impl Rectifier {
    /// Of an output y.
    pub fn apply(self, y: &[f32], mut gradient: Buffer) -> Rectified {
        let sums = rectified_gradient(y, &mut gradient, self.slope, self.columns);
        Rectified { gradient, sums }
    }
}

/// What a [`Rectifier`] makes.
pub(crate) struct Rectified {
    pub gradient: Buffer,
    pub sums: Buffer,
}

/// Which parameter of which network: the address of the network, which stays where it is during a pass, and the
/// parameter's number among all of the network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ParameterKey {
    pub network: usize,
    pub number: usize,
}

/// A parameter's place among the gradients of a pass.
#[derive(Clone, Copy)]
pub(crate) struct GradientSlot(usize);

impl GradientSlot {
    /// Of a parameter that gets no gradient.
    pub const FROZEN: Self = Self(usize::MAX);

    pub fn is_frozen(self) -> bool {
        self.0 == Self::FROZEN.0
    }
}

/// A gradient of weights that is yet to be multiplied, xᵀ · g: rows of a layer's input and of the gradient of its
/// output.
pub(crate) struct Factors {
    pub x: Arc<Buffer>,
    pub g: Buffer,
    pub weight_rows: WeightRows,
    /// How many weights each value of a row of x has: one for each value of a row of g.
    pub units: usize,
}

/// Where the weights of each value of a layer's input begin.
pub(crate) type WeightRows = Arc<Vec<u32>>;

/// A gradient of weights that is yet to be transposed, (units, inputs).
pub(crate) struct ByUnits {
    pub sum: Buffer,
    pub weight_rows: WeightRows,
    pub units: usize,
}

/// A parameter's gradient over a shard of a batch: `sum`, what is `by_units` and the products of `factors` together.
pub(crate) struct Gradient {
    pub length: usize,
    pub sum: Option<Buffer>,
    pub by_units: Option<ByUnits>,
    pub factors: Vec<Factors>,
}

impl Gradient {
    fn zero(length: usize) -> Self {
        Self { length, sum: None, by_units: None, factors: Vec::new() }
    }
}

/// The gradient of an operation's output: values, or what writes them for some rows at a time. What takes the second
/// while they are in a cache saves writing them to memory and reading them again.
pub(crate) enum OutputGradient {
    Values(Buffer),
    ByRows(GradientByRows),
}

/// See [`OutputGradient`].
pub(crate) struct GradientByRows {
    pub rows: usize,
    /// How many values a row has.
    pub width: usize,
    pub write: WriteGradient,
}

/// Writes the gradient of these rows.
pub(crate) type WriteGradient = Box<dyn Fn(Range<usize>, &mut [f32]) + Send + Sync>;

impl OutputGradient {
    /// All values.
    pub fn into_values(self) -> Buffer {
        match self {
            Self::Values(values) => values,
            Self::ByRows(GradientByRows { rows, width, write }) => {
                let mut values = Buffer::unset(rows * width);
                let shard = shard(rows, width.max(1));
                values.par_chunks_mut(shard).enumerate().on_threads().for_each(|(index, values)| {
                    let first = index * shard / width;
                    write(first..first + values.len() / width, values);
                });
                values
            }
        }
    }
}

/// The gradients of a pass so far.
#[derive(Default)]
pub(crate) struct Gradients {
    /// Of the variables of the current part.
    variables: Vec<Option<OutputGradient>>,
    /// What is to be added to these, by their variables' numbers, when they are rectified.
    rectified: BTreeMap<usize, Rectified>,
    /// Of the parameters, over all parts.
    parameters: Vec<Gradient>,
    /// The first mistake of a backward pass that is not ours.
    mistake: Option<Error>,
}

impl Gradients {
    /// Adds to the gradient of an operation's input.
    pub fn add_to(&mut self, variable: &Variable, gradient: Buffer) {
        if variable.needs_gradient {
            let sum = &mut self.variables[variable.number];
            let earlier = sum.take().map(OutputGradient::into_values);
            *sum = Some(OutputGradient::Values(summed(earlier, gradient)));
        }
    }

    /// The same with a gradient that is written when it is taken.
    pub fn add_by_rows(&mut self, variable: &Variable, gradient: GradientByRows) {
        match self.variables.get_mut(variable.number) {
            Some(first @ None) if variable.needs_gradient => *first = Some(OutputGradient::ByRows(gradient)),
            _ => self.add_to(variable, OutputGradient::ByRows(gradient).into_values()),
        }
    }

    /// Adds to the gradient of a layer's output what that layer's [rectifier](Variable::rectifier) has made already.
    pub fn add_rectified(&mut self, variable: &Variable, rectified: Rectified) {
        match self.rectified.get_mut(&variable.number) {
            Some(sum) => {
                add(&mut sum.gradient, &rectified.gradient);
                add(&mut sum.sums, &rectified.sums);
            }
            None => drop(self.rectified.insert(variable.number, rectified)),
        }
    }

    /// Adds to the gradient of a parameter.
    pub fn add_to_parameter(&mut self, parameter: GradientSlot, gradient: Buffer) {
        if !parameter.is_frozen() {
            let sum = &mut self.parameters[parameter.0].sum;
            *sum = Some(summed(sum.take(), gradient));
        }
    }

    /// The gradient of a parameter so far, taken out to be added to and [put back](Self::put): from zero, where its
    /// numbers mean nothing yet, or from what it holds.
    pub fn take_sum(&mut self, parameter: GradientSlot, length: usize) -> (Buffer, Accumulate<'static>) {
        match self.parameters[parameter.0].sum.take() {
            Some(sum) => (sum, Accumulate::Output),
            None => (Buffer::unset(length), Accumulate::Zero),
        }
    }

    /// Notes a mistake, if it is the first one.
    pub fn fail(&mut self, error: Error) {
        self.mistake.get_or_insert(error);
    }

    /// See [`take_sum`](Self::take_sum).
    pub fn put(&mut self, parameter: GradientSlot, gradient: Buffer) {
        self.parameters[parameter.0].sum = Some(gradient);
    }

    /// Leaves the product of these factors for when all shards are done, see [`Pass::postpones`].
    pub fn postpone(&mut self, parameter: GradientSlot, factors: Factors) {
        self.parameters[parameter.0].factors.push(factors);
    }
}

fn summed(earlier: Option<Buffer>, gradient: Buffer) -> Buffer {
    match earlier {
        Some(mut sum) => {
            add(&mut sum, &gradient);
            sum
        }
        None => gradient,
    }
}

fn add(sum: &mut [f32], gradient: &[f32]) {
    sum.iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
}

/// Forward and backward pass through networks of a batch, or of parts of one whose gradients are summed: the tape,
/// whether it trains, the randomness of dropout, the gradients of the parameters and the statistics that were observed.
/// A clone is another handle of the same pass.
#[derive(Clone)]
pub(crate) struct Pass {
    /// Whether dropout drops, and batch normalisation takes the batch's own statistics.
    pub training: bool,
    /// Whether backward operations are recorded.
    recording: bool,
    /// Whether parameters get no gradient.
    frozen: bool,
    /// How many passes share a batch of how many rows.
    shards: usize,
    batch: usize,
    state: Rc<State>,
}

/// What the handles of a pass share.
#[derive(Default)]
struct State {
    tape: RefCell<OwnedTape<f32, Cpu>>,
    gradients: Rc<RefCell<Gradients>>,
    parameters: RefCell<BTreeMap<ParameterKey, GradientSlot>>,
    /// The places of gradients that are summed as (units, inputs).
    by_units: RefCell<BTreeMap<ParameterKey, (GradientSlot, WeightRows)>>,
    statistics: RefCell<BTreeMap<ParameterKey, Vec<f32>>>,
    /// The randomness of this part: every use of it takes a new stream.
    seed: Cell<u64>,
    streams: Cell<u64>,
    /// Counts the parts: what one has computed means nothing to the next.
    part: Cell<u64>,
    /// Which row of the batch, or of what is predicted, the first one of this part is.
    first_row: Cell<usize>,
    /// What is to be added to the loss of this part.
    penalties: RefCell<Vec<Variable>>,
    /// The first mistake that a function of the user's has made.
    mistake: RefCell<Option<Error>>,
}

impl Pass {
    /// A prediction: nothing random, nothing recorded.
    pub fn prediction() -> Self {
        Self { training: false, recording: false, ..Self::training(0) }
    }

    /// A training step with its own randomness.
    pub fn training(seed: u64) -> Self {
        let pass = Self::shard(1, 0);
        pass.state.seed.set(seed);
        pass
    }

    /// One of several passes that run side by side, each with a shard of a batch of that many rows.
    pub fn shard(shards: usize, batch: usize) -> Self {
        Self { training: true, recording: true, frozen: false, shards, batch, state: Rc::default() }
    }

    /// With or without a tape.
    pub fn recording(self, recording: bool) -> Self {
        Self { recording, ..self }
    }

    pub fn is_recording(&self) -> bool {
        self.recording
    }

    /// Without gradients of parameters; of the input, as before.
    pub fn frozen(self) -> Self {
        Self { frozen: true, ..self }
    }

    /// Whether both are handles of one pass, and of the same part of its batch as `part` was.
    pub fn is(&self, other: &Self, part: u64) -> bool {
        Rc::ptr_eq(&self.state, &other.state) && self.part() == part
    }

    /// Which part of the batch it is at.
    pub fn part(&self) -> u64 {
        self.state.part.get()
    }

    /// Begins with the next part of the shard, which has its own variables and randomness, and that row as its first.
    pub fn begin(&mut self, seed: u64, first_row: usize) {
        let state = &self.state;
        state.first_row.set(first_row);
        state.seed.set(seed);
        state.streams.set(0);
        state.part.set(state.part.get() + 1);
        state.tape.take();
        state.penalties.take();
        let gradients = &mut state.gradients.borrow_mut();
        gradients.variables.clear();
        gradients.rectified.clear();
    }

    /// Which row of all its first one is.
    pub fn first_row(&self) -> usize {
        self.state.first_row.get()
    }

    /// Which share of its batch that many rows are.
    pub fn share(&self, rows: usize) -> f64 {
        if self.batch == 0 { 1.0 } else { rows as f64 / self.batch as f64 }
    }

    /// Adds to the loss.
    pub fn add_penalty(&self, penalty: AnyShape) {
        match penalty.into_variable(self) {
            // Without its handle of this pass, which would keep itself alive.
            Ok((penalty, _)) => self.state.penalties.borrow_mut().push(penalty),
            Err(error) => self.fail(error),
        }
    }

    /// The sum of the loss and the penalties that were added to it, if there are any.
    pub fn with_penalties(&self, loss: AnyShape) -> AnyShape {
        let penalties = self.state.penalties.take().into_iter();
        penalties.fold(loss, |sum, penalty| sum + AnyShape::of(penalty, vec![], self))
    }

    /// Notes a mistake, if it is the first one.
    pub fn fail(&self, error: Error) {
        self.state.mistake.borrow_mut().get_or_insert(error);
    }

    /// Notes a mistake in what was to be an output of that many rows of `width` values: NaN stands for it.
    pub fn failed(&mut self, error: Error, rows: usize, width: usize) -> Variable {
        self.fail(error);
        let mut values = Buffer::unset(rows * width);
        values.fill(f32::NAN);
        self.input(Arc::new(values), rows)
    }

    /// The mistake that was noted.
    pub fn take_mistake(&self) -> Option<Error> {
        self.state.mistake.take()
    }

    /// What `work` makes, and the mistake that it has noted, which is no longer one of the pass.
    pub fn attempt<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> (T, Option<Error>) {
        let earlier = self.take_mistake();
        let made = work(self);
        (made, self.state.mistake.replace(earlier))
    }

    /// What `work` makes; a mistake that it notes is one at this place.
    pub fn within<T>(&mut self, place: impl FnOnce() -> String, work: impl FnOnce(&mut Self) -> T) -> T {
        let (made, mistake) = self.attempt(work);
        if let Some(mistake) = mistake {
            self.fail(mistake.within(&place()));
        }
        made
    }

    /// A new stream of randomness, numbered in the order of the calls.
    pub fn stream(&mut self) -> u64 {
        let state = &self.state;
        state.streams.set(state.streams.get() + 1);
        crate::random::mix(state.seed.get(), state.streams.get())
    }

    /// The input of a network.
    pub fn input(&mut self, values: Arc<Buffer>, rows: usize) -> Variable {
        self.variable(values, rows, false)
    }

    /// An input whose [`gradient`](Self::gradient) is wanted.
    pub fn tracked(&mut self, values: Arc<Buffer>, rows: usize) -> Variable {
        self.variable(values, rows, true)
    }

    fn variable(&mut self, values: Arc<Buffer>, rows: usize, needs_gradient: bool) -> Variable {
        let mut number = usize::MAX;
        if self.recording {
            let variables = &mut self.state.gradients.borrow_mut().variables;
            number = variables.len();
            variables.push(None);
        }
        Variable { values, rows, needs_gradient, moments: None, rectifier: None, number }
    }

    /// The result of an operation: `values`, and for the backward pass `backward(gradient of the values, all
    /// gradients)`.
    pub fn record(
        &mut self,
        values: Arc<Buffer>,
        rows: usize,
        needs_gradient: bool,
        backward: impl FnOnce(Buffer, &mut Gradients) + 'static,
    ) -> Variable {
        self.record_by_rows(values, rows, needs_gradient, |gradient, gradients| {
            backward(gradient.into_values(), gradients);
        })
    }

    /// The same for an operation that can take the gradient of some rows at a time.
    pub fn record_by_rows(
        &mut self,
        values: Arc<Buffer>,
        rows: usize,
        needs_gradient: bool,
        backward: impl FnOnce(OutputGradient, &mut Gradients) + 'static,
    ) -> Variable {
        let needs_gradient = needs_gradient && self.recording;
        let output = self.variable(values, rows, needs_gradient);
        if needs_gradient {
            let number = output.number;
            self.on_tape(move |gradients| {
                // None if the loss does not depend on it.
                if let Some(gradient) = gradients.variables[number].take() {
                    backward(gradient, gradients);
                }
            });
        }
        output
    }

    /// The same for a layer that rectifies the gradient of its output first, and takes it from the loss with that done.
    pub fn record_rectified(
        &mut self,
        values: Arc<Buffer>,
        rows: usize,
        rectifier: Rectifier,
        backward: impl FnOnce(Rectified, &mut Gradients) + 'static,
    ) -> Variable {
        let mut output = self.variable(values, rows, self.recording);
        if self.recording {
            output.rectifier = Some(rectifier);
            let y = output.clone();
            self.on_tape(move |gradients| {
                if let Some(gradient) = gradients.variables[y.number].take() {
                    gradients.add_rectified(&y, rectifier.apply(&y.values, gradient.into_values()));
                }
                if let Some(rectified) = gradients.rectified.remove(&y.number) {
                    backward(rectified, gradients);
                }
            });
        }
        output
    }

    fn on_tape(&self, backward: impl FnOnce(&mut Gradients) + 'static) {
        let gradients = Rc::clone(&self.state.gradients);
        self.state.tape.borrow_mut().add_backward_op(move |_| {
            backward(&mut gradients.borrow_mut());
            Ok(())
        });
    }

    /// The place of a parameter's gradient: the same for every use of the parameter in this pass.
    pub fn parameter(&mut self, key: ParameterKey, length: usize) -> GradientSlot {
        if !self.recording || self.frozen {
            return GradientSlot::FROZEN;
        }
        let gradients = &mut self.state.gradients.borrow_mut().parameters;
        let mut parameters = self.state.parameters.borrow_mut();
        // Another length is another network, built where one was that is gone.
        let known = parameters.get(&key).filter(|parameter| gradients[parameter.0].length == length);
        if let Some(known) = known {
            return *known;
        }
        gradients.push(Gradient::zero(length));
        let new = GradientSlot(gradients.len() - 1);
        parameters.insert(key, new);
        new
    }

    /// The place of the gradient of (inputs, units) weights, to which it is added as (units, inputs), to be transposed
    /// when the shards are summed; only if there are several, and if that [is better](is_better_by_units).
    pub fn parameter_by_units(
        &mut self,
        key: ParameterKey,
        weight_rows: &WeightRows,
        units: usize,
    ) -> Option<GradientSlot> {
        let inputs = weight_rows.len();
        if self.shards == 1 || !self.recording || self.frozen || !is_better_by_units(inputs, units) {
            return None;
        }
        let gradients = &mut self.state.gradients.borrow_mut().parameters;
        let mut by_units = self.state.by_units.borrow_mut();
        let known = by_units.get(&key).filter(|(place, _)| gradients[place.0].length == inputs * units);
        if let Some((known, _)) = known {
            return Some(*known);
        }
        gradients.push(Gradient::zero(inputs * units));
        let new = GradientSlot(gradients.len() - 1);
        by_units.insert(key, (new, Arc::clone(weight_rows)));
        Some(new)
    }

    /// Whether the gradient of (inputs, units) weights is better multiplied when all shards are done: if all shards'
    /// factors are less than each shard's product.
    pub fn postpones(&self, inputs: usize, units: usize) -> bool {
        self.shards > 1 && self.shards * inputs * units > self.batch * (inputs + units)
    }

    /// Notes the new value of a running statistic.
    pub fn observe(&mut self, key: ParameterKey, values: Vec<f32>) {
        self.state.statistics.borrow_mut().insert(key, values);
    }

    /// The value that this pass has noted of a statistic, if it has.
    pub fn observed(&self, key: ParameterKey) -> Option<Vec<f32>> {
        self.state.statistics.borrow().get(&key).cloned()
    }

    /// The new values of these statistics, where there is one.
    pub fn take_statistics(&mut self, keys: impl Iterator<Item = ParameterKey>) -> Vec<Option<Vec<f32>>> {
        keys.map(|key| self.state.statistics.borrow_mut().remove(&key)).collect()
    }

    /// Runs the tape backwards from a loss, a single value, adding to the gradients of the parameters.
    pub fn backward(&mut self, loss: &Variable) {
        if !loss.needs_gradient {
            return;
        }
        self.state.gradients.borrow_mut().variables[loss.number] = Some(OutputGradient::Values(vec![1.0].into()));
        // dfdx runs the tape of a scalar tensor. Of its errors (out of memory for one float) none can happen; without
        // gradients a step changes nothing.
        let scalar: Tensor<(), f32, Cpu> = Cpu::default().tensor_from_vec(vec![0.0], ());
        drop(scalar.put_tape(self.state.tape.take()).try_backward());
        let mistake = self.state.gradients.borrow_mut().mistake.take();
        mistake.into_iter().for_each(|mistake| self.fail(mistake));
    }

    /// The gradients of all parameters that the pass has met, and the new values of all statistics.
    pub fn learned(&mut self) -> (BTreeMap<ParameterKey, Buffer>, BTreeMap<ParameterKey, Vec<f32>>) {
        let gradients = &mut self.state.gradients.borrow_mut().parameters;
        let parameters = self.state.parameters.take();
        let sums =
            parameters.into_iter().filter_map(|(key, parameter)| Some((key, gradients[parameter.0].sum.take()?)));
        (sums.collect(), self.state.statistics.take())
    }

    /// The gradient of an input that is [tracked](Self::tracked), after the backward pass.
    pub fn gradient(&self, variable: &Variable) -> Buffer {
        let gradient = &mut self.state.gradients.borrow_mut().variables[variable.number];
        let values = gradient.take().map(OutputGradient::into_values);
        *gradient = values.clone().map(OutputGradient::Values);
        values.unwrap_or_else(|| Buffer::zeros(variable.values.len()))
    }

    /// The gradients of these parameters, given by their keys and lengths: zero for those that the pass has not met.
    pub fn into_gradients(self, parameters: impl Iterator<Item = (ParameterKey, usize)>) -> Vec<Gradient> {
        let mut all = self.state.gradients.take().parameters;
        let (known, by_units) = (self.state.parameters.take(), self.state.by_units.take());
        let mut take = |(key, length)| {
            let met = known.get(&key).map(|parameter| &mut all[parameter.0]);
            let mut gradient = met.map_or(Gradient::zero(length), |met| std::mem::replace(met, Gradient::zero(length)));
            if let Some((place, weight_rows)) = by_units.get(&key) {
                let (weight_rows, units) = (Arc::clone(weight_rows), length / weight_rows.len());
                gradient.by_units = all[place.0].sum.take().map(|sum| ByUnits { sum, weight_rows, units });
            }
            gradient
        };
        parameters.map(&mut take).collect()
    }
}
