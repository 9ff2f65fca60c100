//! How fast the engine is, for `latentlab bench` and the benches: not part of the public interface.

use std::{sync::Arc, time::Instant};

use rand::Rng;
use rayon::prelude::*;

use crate::{
    engine::{Accumulate, Buffer, GatherLhs, PackedRhs, Reuse, gemm, offsets, vectorized, zeros},
    model::Autoencoder,
    nn::{Loss, Optimizer, OptimizerState, Pass, Plan, Sequential},
    random,
};

/// The multiply-adds that a network needs to predict one output, see [`Plan`](crate::Plan).
///
/// # Panics
/// If the network was not built without mistakes, as all that follows.
pub fn prediction_multiply_adds(network: &Sequential) -> usize {
    network.prediction_plan().expect("a network without mistakes").multiply_adds()
}

/// The multiply-adds that an autoencoder needs to train on one image: as many as in the forward pass for the gradient
/// of the weights, and as many again for the gradient of each layer's input, but for the first layer with weights, of
/// whose input no gradient is wanted.
pub fn training_multiply_adds(autoencoder: &Autoencoder) -> usize {
    let plans = [autoencoder.encoder(), autoencoder.decoder()]
        .map(|network| network.plan().expect("a network without mistakes"));
    let first = plans.iter().find_map(Plan::multiply_adds_of_first).unwrap_or(0);
    3 * plans.iter().map(Plan::multiply_adds).sum::<usize>() - first
}

/// The multiply-adds a second that all threads together reach in the engine's own products, of matrices in the
/// second-level cache: the best of some short rounds.
pub fn gemm_rate() -> f64 {
    const ROUNDS: usize = 30;
    (0..ROUNDS).map(|_| rayon::broadcast(|_| round()).iter().sum()).fold(0.0, f64::max)
}

/// The multiply-adds a second of one thread.
fn round() -> f64 {
    const SECONDS: f64 = 0.01;
    const ROWS: usize = 144;
    const STEPS: usize = 512;
    const COLUMNS: usize = 48;
    let (left, right) = (vec![0.5; ROWS * STEPS], vec![0.5; STEPS * COLUMNS]);
    let mut out = vec![0.0; ROWS * COLUMNS];
    let (rows, steps, out_rows) = (offsets(ROWS, STEPS), offsets(STEPS, 1), offsets(ROWS, COLUMNS));
    let panels = PackedRhs::pack(&right, &offsets(STEPS, COLUMNS), COLUMNS, 1);
    let lhs = GatherLhs { values: &left, rows: &rows, steps: &steps };
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed().as_secs_f64() < SECONDS {
        gemm(lhs, panels.all(), Accumulate::Zero, 1.0, std::hint::black_box(&mut out), &out_rows);
        count += 1;
    }
    (count * ROWS * STEPS * COLUMNS) as f64 / start.elapsed().as_secs_f64()
}

/// How fast all threads together reach memory, in bytes a second.
pub struct MemoryRate {
    /// Of values that are only read.
    pub read: f64,
    /// Of values that are copied: those read and those written.
    pub copy: f64,
}

/// The rates of reading and of copying arrays of 256 MB, which no cache of a usual machine holds: the best of some
/// rounds.
pub fn memory_rate() -> MemoryRate {
    const ROUNDS: usize = 8;
    const VALUES: usize = 1 << 26;
    let (from, mut to) = (zeros(VALUES), zeros(VALUES));
    let share = VALUES / rayon::current_num_threads();
    let bytes = size_of_val(&from[..]) as f64;
    let best = |round: &mut dyn FnMut()| {
        // The first round is not timed: in it the pages come from the operating system.
        let seconds = (0..=ROUNDS).map(|_| {
            let start = Instant::now();
            round();
            start.elapsed().as_secs_f64()
        });
        seconds.skip(1).fold(f64::INFINITY, f64::min)
    };
    let copying = best(&mut || {
        to.par_chunks_mut(share).zip(from.par_chunks(share)).for_each(|(to, from)| to.copy_from_slice(from));
        std::hint::black_box(&to);
    });
    let reading = best(&mut || {
        std::hint::black_box(to.par_chunks(share).map(sum).collect::<Vec<f32>>());
    });
    MemoryRate { read: bytes / reading, copy: 2.0 * bytes / copying }
}

vectorized! {
    /// The sum, in as many parts as the processor can add at once.
    fn sum(values: &[f32]) -> f32 {
        let mut sums = [0.0; 64];
        for values in values.as_chunks::<64>().0 {
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        sums.iter().sum()
    }
}

/// A network and a batch of random rows, to go through it again and again.
pub struct NetworkStep {
    network: Sequential,
    x: Arc<Buffer>,
    rows: usize,
    /// The gradient with which the backward pass begins.
    gradient: Buffer,
    _reuse: Reuse,
}

impl NetworkStep {
    /// # Panics
    /// If the network was not built without mistakes.
    pub fn new(network: &Sequential, rows: usize) -> Self {
        let network = network.clone().build().expect("a network without mistakes");
        let values = |shape: &[usize], seed| numbers(rows * shape.iter().product::<usize>(), seed);
        let (x, gradient) = (values(network.input_shape(), 1), values(network.output_shape(), 2));
        Self { network, x: Arc::new(x), rows, gradient, _reuse: Reuse::begin() }
    }

    /// A prediction: dropout does nothing, batch normalisation takes its running statistics, nothing is recorded.
    pub fn forward(&self) {
        // As in training: on a worker of the pool from beginning to end.
        rayon::scope(|_| {
            let mut pass = Pass::prediction();
            let x = pass.input(Arc::clone(&self.x), self.rows);
            std::hint::black_box(&self.network.forward_on(x, &mut pass).values);
        });
    }

    /// A training step without loss and optimizer: forward pass, then the gradients of all weights and of the input
    /// too.
    pub fn forward_and_backward(&self) {
        rayon::scope(|_| {
            let mut pass = Pass::training(0);
            let x = pass.tracked(Arc::clone(&self.x), self.rows);
            let y = self.network.forward_on(x.clone(), &mut pass);
            let gradient = self.gradient.clone();
            let start = pass.record(Arc::default(), 1, true, move |_, gradients| gradients.add_to(&y, gradient));
            pass.backward(&start);
            std::hint::black_box((pass.gradient(&x), pass.gradients(&[&self.network])));
        });
    }
}

/// A loss of random values, to be computed again and again.
pub struct LossStep {
    loss: Loss,
    y: Arc<Buffer>,
    target: Buffer,
    _reuse: Reuse,
}

impl LossStep {
    /// Of that many values.
    pub fn new(loss: Loss, values: usize) -> Self {
        let (y, target) = (Arc::new(numbers(values, 1)), numbers(values, 2));
        Self { loss, y, target, _reuse: Reuse::begin() }
    }

    /// The mean loss.
    pub fn forward(&self) {
        rayon::scope(|_| {
            let mut pass = Pass::prediction();
            let y = pass.input(Arc::clone(&self.y), 1);
            std::hint::black_box(self.loss.record(y, &self.target, 1.0, &mut pass).0);
        });
    }

    /// The mean loss and its gradient.
    pub fn forward_and_backward(&self) {
        rayon::scope(|_| {
            let mut pass = Pass::training(0);
            let y = pass.tracked(Arc::clone(&self.y), 1);
            let (_, loss) = self.loss.record(y.clone(), &self.target, 1.0, &mut pass);
            pass.backward(&loss);
            std::hint::black_box(pass.gradient(&y));
        });
    }
}

/// A network and random gradients, with which an optimizer updates its weights again and again.
pub struct OptimizerStep {
    network: Sequential,
    gradients: Vec<Buffer>,
    state: OptimizerState,
}

impl OptimizerStep {
    /// With a learning rate so small that the weights stay numbers.
    pub fn new(network: &Sequential, optimizer: Optimizer) -> Self {
        let mut network = network.clone();
        let gradients = network.trainable_mut().map(|weights| numbers(weights.len(), 1)).collect();
        Self { network, gradients, state: OptimizerState::new(optimizer, 1e-9) }
    }

    /// One update of all weights.
    pub fn update(&mut self) {
        rayon::scope(|_| self.state.update(self.network.trainable_mut(), &self.gradients));
    }
}

/// Uniform random numbers in [0, 1).
fn numbers(count: usize, seed: u64) -> Buffer {
    let mut random = random::stream(seed, 0);
    (0..count).map(|_| random.r#gen::<f32>()).collect::<Vec<_>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn multiply_adds(network: Sequential) -> usize {
        prediction_multiply_adds(&network.build().unwrap())
    }

    #[test]
    fn multiply_adds_are_those_of_arithmetic() {
        let maps = |channels, size| Sequential::input([channels, size, size]);
        assert_eq!(multiply_adds(Sequential::input([784]).dense(50).relu().dense(4)), 784 * 50 + 50 * 4);
        assert_eq!(multiply_adds(maps(3, 10).conv2d(5, 3)), 8 * 8 * 9 * 3 * 5);
        // Of 14 windows with a padding of 1 and a stride of 2 the first sees 2 of its 3 pixels.
        assert_eq!(multiply_adds(maps(1, 28).conv2d(12, 3).stride(2).padding(1)), 41 * 41 * 12);
        // A transposed convolution counts as the convolution that it is the adjoint of.
        let transposed = maps(12, 14).conv_transpose2d(1, 3).stride(2).padding(1).output_padding(1);
        assert_eq!(multiply_adds(transposed), 41 * 41 * 12);
        // 4 pixels become 12, then 10: of the outputs four see one pixel (three times), six see two.
        assert_eq!(multiply_adds(maps(64, 4).up_sample2d(3).conv2d(112, 3)), 16 * 16 * 64 * 112);
        assert_eq!(multiply_adds(maps(64, 4).up_sample2d(3).conv2d(112, 3).stride(2)), 5 * 5 * 9 * 64 * 112);
        assert_eq!(multiply_adds(maps(3, 10).batch_norm().max_pool2d(2).up_sample2d(2).flatten().dropout(0.5)), 0);
    }

    #[test]
    fn training_needs_no_gradient_of_the_images() {
        let (encoder, decoder) = (784 * 50 + 50 * 4, 4 * 784);
        assert_eq!(training_multiply_adds(&Autoencoder::tiny(4).unwrap()), 3 * (encoder + decoder) - 784 * 50);
    }

    #[test]
    fn steps_go_through() {
        let network = Sequential::input([2, 6, 6]).conv2d(3, 3).batch_norm().relu().max_pool2d(2).dropout(0.5);
        let step = NetworkStep::new(&network, 5);
        step.forward();
        step.forward_and_backward();
        let loss = LossStep::new(Loss::BinaryCrossEntropy, 100);
        loss.forward();
        loss.forward_and_backward();
        let mut step = OptimizerStep::new(&network, Optimizer::adam());
        let before = step.network.parameters().flat_map(|weights| weights.to_vec()).collect::<Vec<_>>();
        step.update();
        assert_ne!(before, step.network.parameters().flat_map(|weights| weights.to_vec()).collect::<Vec<_>>());
        assert!(gemm_rate() > 0.0);
    }

    #[test]
    fn memory_is_read_and_copied() {
        let MemoryRate { read, copy } = memory_rate();
        // Between a disk's rate and that of a first-level cache.
        assert!([read, copy].iter().all(|rate| (1e8..1e13).contains(rate)), "{read}, {copy}");
        assert_eq!(sum(&[0.5; 128]), 64.0);
    }
}
