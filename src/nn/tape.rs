//! Values on dfdx's tape.
//!
//! dfdx keeps the tape (which operation follows which, run backwards) and the gradients (by tensor). The numbers themselves
//! live in plain vectors of ours: dfdx lends out no slice of a tensor's data, and an operation that owns its buffers can
//! work in place. Each [`Variable`] is therefore a buffer beside a *handle*, a scalar dfdx tensor that carries the tape
//! and is the key of the gradient.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use dfdx::{
    tensor::{
        Cpu, Gradients as DfdxGradients, NoneTape, OwnedTape, PutTape, SplitTape, Tape as _, Tensor, TensorFromVec,
    },
    tensor_ops::Backward,
};

use crate::engine::{Accumulate, Buffer, Moments};

/// A tape on which operations are recorded ([`Recording`]) or not ([`NoneTape`]).
pub(crate) trait Tape: dfdx::tensor::Tape<f32, Cpu> {}
impl<T: dfdx::tensor::Tape<f32, Cpu>> Tape for T {}

/// The tape of a training step.
pub(crate) type Recording = OwnedTape<f32, Cpu>;
/// The tape of a prediction: it records nothing.
pub(crate) type NotRecording = NoneTape;

/// A place on the tape. Made anew for every step: in a notebook each cell may hold its own copy of dfdx's counter of
/// tensor numbers, so a handle that outlives its cell could meet another one with the same number.
pub(crate) type Handle<T = NoneTape> = Tensor<(), f32, Cpu, T>;

fn handle() -> Handle {
    // Only an out-of-memory of four bytes or a wrong element count can fail here: neither can happen.
    Cpu::default().tensor_from_vec(vec![0.0], ())
}

/// A batch of values, `(rows, features)` row by row, and its place on the tape.
pub(crate) struct Variable<T: Tape> {
    pub values: Arc<Buffer>,
    pub rows: usize,
    /// Whether anything upstream wants this gradient: false for the input of a network.
    pub needs_gradient: bool,
    /// The moments of its columns, if a layer has taken them for the batch normalisation after it.
    pub moments: Option<Moments>,
    handle: Handle<T>,
}

impl<T: Tape> Variable<T> {
    /// The input of a network, at the start of a new tape.
    pub fn input(values: Arc<Buffer>, rows: usize) -> Self {
        Self { values, rows, needs_gradient: false, moments: None, handle: handle().put_tape(T::default()) }
    }

    /// An input whose gradient the pass returns among those of its parameters.
    pub fn tracked(values: Arc<Buffer>, rows: usize, pass: &mut Pass) -> Self {
        let handle = pass.parameter(&values).0.put_tape(T::default());
        Self { values, rows, needs_gradient: true, moments: None, handle }
    }

    /// Takes the tape off, so that an operation can continue it.
    pub fn split(self) -> (Variable<NoneTape>, T) {
        let Self { values, rows, needs_gradient, moments, handle } = self;
        let (handle, tape) = handle.split_tape();
        (Variable { values, rows, needs_gradient, moments, handle }, tape)
    }
}

impl Variable<NoneTape> {
    /// The buffer for an operation that works in place: the values themselves if nobody else needs them, else a copy.
    pub fn take_values(&mut self) -> Buffer {
        Arc::unwrap_or_clone(std::mem::take(&mut self.values))
    }
}

/// The result of an operation: `values`, and on the way back `backward(gradient of the values, all gradients)`.
pub(crate) fn record<T: Tape>(
    mut tape: T,
    values: Arc<Buffer>,
    rows: usize,
    needs_gradient: bool,
    backward: impl FnOnce(Buffer, &mut Gradients<'_>) + 'static,
) -> Variable<T> {
    let output = handle();
    if T::OWNS_TAPE && needs_gradient {
        let (key, length) = (output.clone(), values.len());
        tape.add_backward_op(move |gradients| {
            let mut gradients = Gradients(gradients);
            // Zeros if nobody has added to it.
            let gradient = gradients.taken(&key, length).unwrap_or_else(|| Buffer::zeros(length));
            backward(gradient, &mut gradients);
            Ok(())
        });
    }
    Variable { values, rows, needs_gradient, moments: None, handle: output.put_tape(tape) }
}

/// The gradients on the way back through the tape.
pub(crate) struct Gradients<'a>(&'a mut DfdxGradients<f32, Cpu>);

impl Gradients<'_> {
    /// Adds to the gradient of an operation's input.
    pub fn add_to(&mut self, variable: &Variable<NoneTape>, gradient: Buffer) {
        if variable.needs_gradient {
            self.add(&variable.handle, gradient);
        }
    }

    /// Adds to the gradient of a parameter.
    pub fn add_to_parameter(&mut self, parameter: &Parameter, gradient: Buffer) {
        self.add(&parameter.0, gradient);
    }

    /// The gradient of a parameter so far, taken out to be added to and [put back](Self::put): from zero, where its numbers mean nothing yet,
    /// or from what stands in it.
    pub fn take_sum(&mut self, parameter: &Parameter, length: usize) -> (Buffer, Accumulate<'static>) {
        match self.taken(&parameter.0, length) {
            Some(sum) => (sum, Accumulate::Output),
            None => (Buffer::unset(length), Accumulate::Zero),
        }
    }

    /// See [`take_sum`](Self::take_sum).
    pub fn put(&mut self, parameter: &Parameter, gradient: Buffer) {
        self.set(&parameter.0, gradient);
    }

    fn add(&mut self, key: &Handle, gradient: Buffer) {
        let sum = match self.taken(key, gradient.len()) {
            Some(mut sum) => {
                sum.iter_mut().zip(gradient.iter()).for_each(|(sum, g)| *sum += g);
                sum
            }
            None => gradient,
        };
        self.set(key, sum);
    }

    fn set(&mut self, key: &Handle, gradient: Buffer) {
        // A scalar's slot cannot fail to be allocated.
        let Ok(slot) = self.0.get_or_alloc_mut(key) else { return };
        **slot = gradient.into_storage();
    }

    /// Moves a gradient out, if somebody has added to it.
    fn taken(&mut self, key: &Handle, length: usize) -> Option<Buffer> {
        let storage = self.0.get_or_alloc_mut(key).map(|slot| std::mem::take(&mut **slot)).unwrap_or_default();
        if storage.len() == Buffer::storage_length(length) {
            Some(Buffer::in_storage(storage, length))
        } else {
            // The slot as dfdx made it, with the handle's one value: the loss' own, which it sets to 1, or 0.
            (length == 1).then(|| storage.into())
        }
    }
}

/// A parameter's place on the tape.
#[derive(Clone)]
pub(crate) struct Parameter(Handle, usize);

/// A gradient of weights that is yet to be multiplied, xᵀ · g: rows of a layer's input and of the gradient of its output.
pub(crate) struct Factors {
    pub x: Arc<Buffer>,
    pub g: Buffer,
    /// How many values a row of x and one of g have.
    pub shape: [usize; 2],
}

/// Where the layers of a pass leave their [`Factors`], by the parameter's number.
type Postponed = Rc<RefCell<Vec<(usize, Factors)>>>;

/// One way through a network, or several with parts of a batch, whose gradients are summed: whether it trains, the randomness of its dropout, the
/// parameters that it met and the statistics that it observed.
pub(crate) struct Pass {
    /// Whether dropout drops, and batch normalisation takes the batch's own statistics.
    pub training: bool,
    /// The randomness of this part: every use of it takes a new stream.
    seed: u64,
    streams: u64,
    /// All parameters, in the order in which the pass met them; their lengths and gradients so far.
    parameters: Vec<(Handle, usize, Option<Buffer>)>,
    /// How many of them this part has met.
    met: usize,
    /// New values of the statistics that the network observes, in the order in which the pass met them.
    statistics: Vec<Vec<f32>>,
    /// How many passes share a batch of how many rows.
    shards: usize,
    batch: usize,
    postponed: Postponed,
}

impl Pass {
    /// A prediction: nothing random, nothing recorded.
    pub fn prediction() -> Self {
        Self { training: false, ..Self::training(0) }
    }

    /// A step of training with its own randomness.
    pub fn training(seed: u64) -> Self {
        let mut pass = Self::shard(1, 0);
        pass.begin(seed);
        pass
    }

    /// One of some passes that go through a network side by side, each with a shard of a batch of so many rows.
    pub fn shard(shards: usize, batch: usize) -> Self {
        Self {
            training: true,
            seed: 0,
            streams: 0,
            parameters: Vec::new(),
            met: 0,
            statistics: Vec::new(),
            shards,
            batch,
            postponed: Postponed::default(),
        }
    }

    /// Begins with the next part of the shard, which has its own randomness.
    pub fn begin(&mut self, seed: u64) {
        (self.seed, self.streams, self.met) = (seed, 0, 0);
    }

    /// A new stream of randomness, numbered in the order of the layers.
    pub fn stream(&mut self) -> u64 {
        self.streams += 1;
        crate::random::mix(self.seed, self.streams)
    }

    /// The place of a parameter on the tape. Layers ask in the order of their parameters.
    pub fn parameter(&mut self, values: &[f32]) -> Parameter {
        if self.met == self.parameters.len() {
            self.parameters.push((handle(), values.len(), None));
        }
        self.met += 1;
        Parameter(self.parameters[self.met - 1].0.clone(), self.met - 1)
    }

    /// Where to leave the factors of a gradient of (inputs, units) weights, if all shards' factors are less than each shard's product.
    pub fn postpones(&self, inputs: usize, units: usize) -> Option<impl Fn(&Parameter, Factors) + use<>> {
        let worth = self.shards > 1 && self.shards * inputs * units > self.batch * (inputs + units);
        let postponed = Rc::clone(&self.postponed);
        worth.then_some(move |parameter: &Parameter, factors| postponed.borrow_mut().push((parameter.1, factors)))
    }

    /// Notes the new value of a statistic. Layers do it in the order of their parameters.
    pub fn observe(&mut self, values: Vec<f32>) {
        self.statistics.push(values);
    }

    /// What the network has observed.
    pub fn take_statistics(&mut self) -> Vec<Vec<f32>> {
        std::mem::take(&mut self.statistics)
    }

    /// Runs the tape backwards from a loss; returns the gradient of every parameter, in the order in which the pass met them.
    pub fn backward(mut self, loss: Variable<Recording>) -> Vec<Buffer> {
        self.add_backward(loss);
        let parameters = self.parameters.into_iter();
        parameters.map(|(_, length, sum)| sum.unwrap_or_else(|| Buffer::zeros(length))).collect()
    }

    /// Runs the tape backwards from a part's loss, adding to the gradients so far.
    pub fn add_backward(&mut self, loss: Variable<Recording>) {
        let (scalar, mut tape) = loss.handle.split_tape();
        let keys: Vec<_> = self.parameters.iter().map(|(key, length, _)| (key.clone(), *length)).collect();
        let sums: Vec<_> = self.parameters.iter_mut().map(|(key, _, sum)| (key.clone(), sum.take())).collect();
        // Recorded last, run first.
        tape.add_backward_op(move |gradients| {
            let mut gradients = Gradients(gradients);
            sums.into_iter().filter_map(|(key, sum)| Some((key, sum?))).for_each(|(key, sum)| gradients.set(&key, sum));
            Ok(())
        });
        // Of its errors (out of memory for one float) none can happen; without gradients the step changes nothing.
        if let Ok(mut gradients) = scalar.put_tape(tape).try_backward() {
            let mut gradients = Gradients(&mut gradients);
            let sums = self.parameters.iter_mut().map(|(_, _, sum)| sum);
            sums.zip(keys).for_each(|(sum, (key, length))| *sum = gradients.taken(&key, length));
        }
    }

    /// The gradients of all parts: of each parameter the sum or the factors of it.
    pub fn into_gradients(self) -> Vec<Gradient> {
        let mut gradients: Vec<_> =
            self.parameters.into_iter().map(|(_, length, sum)| Gradient { length, sum, factors: Vec::new() }).collect();
        self.postponed.take().into_iter().for_each(|(number, factors)| gradients[number].factors.push(factors));
        gradients
    }
}

/// A parameter's gradient over a shard of a batch: `sum`, or the products of `factors`.
pub(crate) struct Gradient {
    pub length: usize,
    pub sum: Option<Buffer>,
    pub factors: Vec<Factors>,
}
