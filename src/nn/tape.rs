//! Values on dfdx's tape.
//!
//! dfdx keeps the tape (which operation follows which, run backwards) and the gradients (by tensor). The numbers themselves
//! live in plain vectors of ours: dfdx lends out no slice of a tensor's data, and an operation that owns its buffers can
//! work in place. Each [`Variable`] is therefore a buffer beside a *handle*, a scalar dfdx tensor that carries the tape
//! and is the key of the gradient.

use std::sync::Arc;

use dfdx::{
    tensor::{Cpu, Gradients as DfdxGradients, NoneTape, OwnedTape, PutTape, SplitTape, Tensor, TensorFromVec},
    tensor_ops::Backward,
};

use super::buffer::Buffer;

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
    handle: Handle<T>,
}

impl<T: Tape> Variable<T> {
    /// The input of a network, at the start of a new tape.
    pub fn input(values: Arc<Buffer>, rows: usize) -> Self {
        Self { values, rows, needs_gradient: false, handle: handle().put_tape(T::default()) }
    }

    /// An input whose gradient the pass returns among those of its parameters.
    pub fn tracked(values: Arc<Buffer>, rows: usize, pass: &mut Pass) -> Self {
        let handle = pass.parameter(&values).put_tape(T::default());
        Self { values, rows, needs_gradient: true, handle }
    }

    /// Takes the tape off, so that an operation can continue it.
    pub fn split(self) -> (Variable<NoneTape>, T) {
        let (handle, tape) = self.handle.split_tape();
        (Variable { values: self.values, rows: self.rows, needs_gradient: self.needs_gradient, handle }, tape)
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
            let gradient = gradients.take(&key, length);
            backward(gradient, &mut gradients);
            Ok(())
        });
    }
    Variable { values, rows, needs_gradient, handle: output.put_tape(tape) }
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
    pub fn add_to_parameter(&mut self, parameter: &Handle, gradient: Buffer) {
        self.add(parameter, gradient);
    }

    fn add(&mut self, key: &Handle, gradient: Buffer) {
        // A scalar's slot cannot fail to be allocated.
        let Ok(slot) = self.0.get_or_alloc_mut(key) else { return };
        let sum = if slot.len() == Buffer::storage_length(gradient.len()) {
            let mut sum = Buffer::in_storage(std::mem::take(&mut **slot), gradient.len());
            sum.iter_mut().zip(gradient.iter()).for_each(|(sum, g)| *sum += g);
            sum
        } else {
            gradient // the slot's first: dfdx made it with the handle's length, one zero
        };
        **slot = sum.into_storage();
    }

    /// Moves a gradient out; zeros if nobody has added to it.
    fn take(&mut self, key: &Handle, length: usize) -> Buffer {
        let storage = self.0.get_or_alloc_mut(key).map(|slot| std::mem::take(&mut **slot)).unwrap_or_default();
        if storage.len() == Buffer::storage_length(length) {
            Buffer::in_storage(storage, length)
        } else if storage.len() == length {
            storage.into() // the loss' own, which dfdx sets to 1
        } else {
            Buffer::zeros(length)
        }
    }
}

/// One way through a network: whether it trains, the randomness of its dropout, the parameters that it met and the statistics that it observed.
pub(crate) struct Pass {
    /// Whether dropout drops, and batch normalisation takes the batch's own statistics.
    pub training: bool,
    /// The randomness of this step: every use of it takes a new stream.
    seed: u64,
    streams: u64,
    parameters: Vec<(Handle, usize)>,
    /// New values of the statistics that the network observes, in the order in which the pass met them.
    statistics: Vec<Vec<f32>>,
}

impl Pass {
    /// A prediction: nothing random, nothing recorded.
    pub fn prediction() -> Self {
        Self { training: false, seed: 0, streams: 0, parameters: Vec::new(), statistics: Vec::new() }
    }

    /// A step of training with its own randomness.
    pub fn training(seed: u64) -> Self {
        Self { training: true, seed, streams: 0, parameters: Vec::new(), statistics: Vec::new() }
    }

    /// A new stream of randomness, numbered in the order of the layers.
    pub fn stream(&mut self) -> u64 {
        self.streams += 1;
        crate::random::mix(self.seed, self.streams)
    }

    /// The place of a parameter on this step's tape. Layers ask in the order of their parameters.
    pub fn parameter(&mut self, values: &[f32]) -> Handle {
        let key = handle();
        self.parameters.push((key.clone(), values.len()));
        key
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
    pub fn backward(self, loss: Variable<Recording>) -> Vec<Buffer> {
        let (scalar, tape) = loss.handle.split_tape();
        // Of its errors (out of memory for one float) none can happen; without gradients the step changes nothing.
        let Ok(mut gradients) = scalar.put_tape(tape).try_backward() else { return Vec::new() };
        let mut gradients = Gradients(&mut gradients);
        self.parameters.iter().map(|(key, length)| gradients.take(key, *length)).collect()
    }
}
