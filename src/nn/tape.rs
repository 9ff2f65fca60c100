//! Values, and the tape that records the backward pass of every operation on them.
//!
//! dfdx's tape holds the backward operations and runs them in reverse order. Values and gradients are buffers of ours:
//! dfdx lends no slice of a tensor's data, and an operation that owns its buffers can work in place. The tape belongs
//! to a [`Pass`]; a [`Variable`] is a cheap handle, so an operation may take several, and several may take the same
//! one: their gradients add up.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};

use dfdx::{
    tensor::{Cpu, OwnedTape, PutTape, Tape, Tensor, TensorFromVec},
    tensor_ops::Backward,
};

use crate::engine::{Accumulate, Buffer, Moments};

/// A batch of values, (rows, features) row by row, in one [`Pass`].
#[derive(Clone)]
pub(crate) struct Variable {
    pub values: Arc<Buffer>,
    pub rows: usize,
    /// Whether anything upstream wants this gradient: false for the input of a network.
    pub needs_gradient: bool,
    /// The moments of its columns, if the layer before a batch normalisation has taken them.
    pub moments: Option<Arc<Moments>>,
    /// Under which its gradient is summed.
    number: usize,
}

impl Variable {
    /// The buffer for an operation that works in place: the values themselves if nothing else needs them, else a copy.
    pub fn take_values(&mut self) -> Buffer {
        Arc::unwrap_or_clone(std::mem::take(&mut self.values))
    }
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
pub(crate) struct Parameter(usize);

/// A gradient of weights that is yet to be multiplied, xᵀ · g: rows of a layer's input and of the gradient of its
/// output.
pub(crate) struct Factors {
    pub x: Arc<Buffer>,
    pub g: Buffer,
    /// How many values a row of x and one of g have.
    pub shape: [usize; 2],
}

/// A parameter's gradient over a shard of a batch: `sum`, or the products of `factors`.
pub(crate) struct Gradient {
    pub length: usize,
    pub sum: Option<Buffer>,
    pub factors: Vec<Factors>,
}

impl Gradient {
    fn zero(length: usize) -> Self {
        Self { length, sum: None, factors: Vec::new() }
    }
}

/// The gradients of a pass so far.
#[derive(Default)]
pub(crate) struct Gradients {
    /// Of the variables of the current part.
    variables: Vec<Option<Buffer>>,
    /// Of the parameters, over all parts.
    parameters: Vec<Gradient>,
}

impl Gradients {
    /// Adds to the gradient of an operation's input.
    pub fn add_to(&mut self, variable: &Variable, gradient: Buffer) {
        if variable.needs_gradient {
            add(&mut self.variables[variable.number], gradient);
        }
    }

    /// Adds to the gradient of a parameter.
    pub fn add_to_parameter(&mut self, parameter: Parameter, gradient: Buffer) {
        add(&mut self.parameters[parameter.0].sum, gradient);
    }

    /// The gradient of a parameter so far, taken out to be added to and [put back](Self::put): from zero, where its
    /// numbers mean nothing yet, or from what it holds.
    pub fn take_sum(&mut self, parameter: Parameter, length: usize) -> (Buffer, Accumulate<'static>) {
        match self.parameters[parameter.0].sum.take() {
            Some(sum) => (sum, Accumulate::Output),
            None => (Buffer::unset(length), Accumulate::Zero),
        }
    }

    /// See [`take_sum`](Self::take_sum).
    pub fn put(&mut self, parameter: Parameter, gradient: Buffer) {
        self.parameters[parameter.0].sum = Some(gradient);
    }

    /// Leaves the product of these factors for when all shards are done, see [`Pass::postpones`].
    pub fn postpone(&mut self, parameter: Parameter, factors: Factors) {
        self.parameters[parameter.0].factors.push(factors);
    }
}

fn add(sum: &mut Option<Buffer>, gradient: Buffer) {
    match sum {
        Some(sum) => sum.iter_mut().zip(gradient.iter()).for_each(|(sum, g)| *sum += g),
        None => *sum = Some(gradient),
    }
}

/// Forward and backward pass through networks of a batch, or of parts of one whose gradients are summed: the tape,
/// whether it trains, the randomness of dropout, the gradients of the parameters and the statistics that were observed.
pub(crate) struct Pass {
    /// Whether dropout drops, and batch normalisation takes the batch's own statistics.
    pub training: bool,
    /// Whether backward operations are recorded.
    recording: bool,
    tape: OwnedTape<f32, Cpu>,
    gradients: Rc<RefCell<Gradients>>,
    parameters: BTreeMap<ParameterKey, Parameter>,
    statistics: BTreeMap<ParameterKey, Vec<f32>>,
    /// The randomness of this part: every use of it takes a new stream.
    seed: u64,
    streams: u64,
    /// How many passes share a batch of how many rows.
    shards: usize,
    batch: usize,
}

impl Pass {
    /// A prediction: nothing random, nothing recorded.
    pub fn prediction() -> Self {
        Self { training: false, recording: false, ..Self::training(0) }
    }

    /// A training step with its own randomness.
    pub fn training(seed: u64) -> Self {
        Self { seed, ..Self::shard(1, 0) }
    }

    /// One of several passes that run side by side, each with a shard of a batch of that many rows.
    pub fn shard(shards: usize, batch: usize) -> Self {
        Self {
            training: true,
            recording: true,
            tape: OwnedTape::default(),
            gradients: Rc::default(),
            parameters: BTreeMap::new(),
            statistics: BTreeMap::new(),
            seed: 0,
            streams: 0,
            shards,
            batch,
        }
    }

    /// With or without a tape.
    pub fn recording(self, recording: bool) -> Self {
        Self { recording, ..self }
    }

    pub fn is_recording(&self) -> bool {
        self.recording
    }

    /// Begins with the next part of the shard, which has its own variables and randomness.
    pub fn begin(&mut self, seed: u64) {
        (self.seed, self.streams, self.tape) = (seed, 0, OwnedTape::default());
        self.gradients.borrow_mut().variables.clear();
    }

    /// A new stream of randomness, numbered in the order of the calls.
    pub fn stream(&mut self) -> u64 {
        self.streams += 1;
        crate::random::mix(self.seed, self.streams)
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
        let mut number = 0;
        if self.recording {
            let variables = &mut self.gradients.borrow_mut().variables;
            number = variables.len();
            variables.push(None);
        }
        Variable { values, rows, needs_gradient, moments: None, number }
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
        let output = self.variable(values, rows, needs_gradient);
        if self.recording && needs_gradient {
            let (number, length, gradients) = (output.number, output.values.len(), Rc::clone(&self.gradients));
            self.tape.add_backward_op(move |_| {
                let gradients = &mut *gradients.borrow_mut();
                // Zeros if no operation after it has given it one.
                let gradient = gradients.variables[number].take().unwrap_or_else(|| Buffer::zeros(length));
                backward(gradient, gradients);
                Ok(())
            });
        }
        output
    }

    /// The place of a parameter's gradient: the same for every use of the parameter in this pass.
    pub fn parameter(&mut self, key: ParameterKey, length: usize) -> Parameter {
        if !self.recording {
            return Parameter(usize::MAX);
        }
        let gradients = &mut self.gradients.borrow_mut().parameters;
        *self.parameters.entry(key).or_insert_with(|| {
            gradients.push(Gradient::zero(length));
            Parameter(gradients.len() - 1)
        })
    }

    /// Whether the gradient of (inputs, units) weights is better multiplied when all shards are done: if all shards'
    /// factors are less than each shard's product.
    pub fn postpones(&self, inputs: usize, units: usize) -> bool {
        self.shards > 1 && self.shards * inputs * units > self.batch * (inputs + units)
    }

    /// Notes the new value of a running statistic.
    pub fn observe(&mut self, key: ParameterKey, values: Vec<f32>) {
        self.statistics.insert(key, values);
    }

    /// The value that this pass has noted of a statistic, if it has.
    pub fn observed(&self, key: ParameterKey) -> Option<&[f32]> {
        self.statistics.get(&key).map(Vec::as_slice)
    }

    /// The new values of these statistics, where there is one.
    pub fn take_statistics(&mut self, keys: impl Iterator<Item = ParameterKey>) -> Vec<Option<Vec<f32>>> {
        keys.map(|key| self.statistics.remove(&key)).collect()
    }

    /// Runs the tape backwards from a loss, a single value, adding to the gradients of the parameters.
    pub fn backward(&mut self, loss: &Variable) {
        self.gradients.borrow_mut().variables[loss.number] = Some(vec![1.0].into());
        // dfdx runs the tape of a scalar tensor. Of its errors (out of memory for one float) none can happen; without
        // gradients a step changes nothing.
        let scalar: Tensor<(), f32, Cpu> = Cpu::default().tensor_from_vec(vec![0.0], ());
        drop(scalar.put_tape(std::mem::take(&mut self.tape)).try_backward());
    }

    /// The gradient of an input that is [tracked](Self::tracked), after the backward pass.
    pub fn gradient(&self, variable: &Variable) -> Buffer {
        let gradient = self.gradients.borrow_mut().variables[variable.number].take();
        gradient.unwrap_or_else(|| Buffer::zeros(variable.values.len()))
    }

    /// The gradients of these parameters, given by their keys and lengths: zero for those that the pass has not met.
    pub fn into_gradients(self, parameters: impl Iterator<Item = (ParameterKey, usize)>) -> Vec<Gradient> {
        let mut all = self.gradients.take().parameters;
        let mut take = |(key, length)| {
            let met = self.parameters.get(&key).map(|parameter| &mut all[parameter.0]);
            met.map_or(Gradient::zero(length), |met| std::mem::replace(met, Gradient::zero(length)))
        };
        parameters.map(&mut take).collect()
    }
}
