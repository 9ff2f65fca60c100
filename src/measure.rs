//! How fast the engine is, for `latentlab bench` and the benches: not part of the public interface.

use std::{sync::Arc, time::Instant};

use rand::Rng;

use crate::{
    engine::{Accumulate, Buffer, GatherLhs, PackedRhs, Reuse, gemm, offsets},
    model::Autoencoder,
    nn::{
        Layer, Loss, NotRecording, Operation, Optimizer, OptimizerState, Pass, Recording, Sequential, Variable, record,
    },
    random,
};

/// The multiply-adds that a network needs to predict one output: those of its matrix products and convolutions.
///
/// A convolution counts its weights for each place of the smaller of its two pictures, as far as they see the picture and not the zeros
/// around it. A convolution after an up-sampling counts what is left of it when equal pixels are taken together: with factor 3 and
/// a 3×3 kernel 25/9 instead of 9 products a pixel.
pub fn prediction_multiply_adds(network: &Sequential) -> usize {
    layers(network).iter().map(|layer| layer.products).sum()
}

/// The multiply-adds that an autoencoder needs to train on one image: as many as forwards for the gradient of the weights, and as
/// many again for the gradient of each layer's input, but for the first layer with weights, behind which nobody asks for one.
pub fn training_multiply_adds(autoencoder: &Autoencoder) -> usize {
    let layers = [layers(autoencoder.encoder()), layers(autoencoder.decoder())].concat();
    let first = layers.iter().find(|layer| layer.has_weights).map_or(0, |layer| layer.products);
    3 * layers.iter().map(|layer| layer.products).sum::<usize>() - first
}

#[derive(Clone)]
struct Count {
    products: usize,
    has_weights: bool,
}

fn layers(network: &Sequential) -> Vec<Count> {
    let mut counts = Vec::new();
    let mut before = [1, 1];
    for node in network.nodes() {
        let enlarged = if node.layer.takes_up_sampling(&node.input, before) { before } else { [1, 1] };
        let products = node.layer.multiply_adds(&node.input, enlarged);
        counts.push(Count { products, has_weights: !node.parameters.is_empty() });
        before = if let Layer::UpSample2d(layer) = &node.layer { layer.factor() } else { [1, 1] };
    }
    counts
}

/// The multiply-adds a second that all threads together reach in the engine's own products, of matrices in the second-level cache: the
/// best of some short rounds.
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
    let left = GatherLhs { values: &left, rows: &rows, steps: &steps };
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed().as_secs_f64() < SECONDS {
        gemm(left, &panels, Accumulate::Zero, 1.0, std::hint::black_box(&mut out), &out_rows);
        count += 1;
    }
    (count * ROWS * STEPS * COLUMNS) as f64 / start.elapsed().as_secs_f64()
}

/// A network and a batch of random rows, to go through it again and again.
pub struct Step {
    network: Sequential,
    x: Arc<Buffer>,
    rows: usize,
    /// The gradient with which the way back begins.
    gradient: Buffer,
    _reuse: Reuse,
}

impl Step {
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
            let x = Variable::<NotRecording>::input(Arc::clone(&self.x), self.rows);
            std::hint::black_box(&self.network.forward(x, &mut Pass::prediction()).values);
        });
    }

    /// A training step without loss and optimizer: forwards, then the gradients of all weights and of the input too.
    pub fn forward_and_backward(&self) {
        rayon::scope(|_| {
            let mut pass = Pass::training(0);
            let x = Variable::<Recording>::tracked(Arc::clone(&self.x), self.rows, &mut pass);
            let (y, tape) = self.network.forward(x, &mut pass).split();
            let gradient = self.gradient.clone();
            let start = record(tape, Arc::default(), 1, true, move |_, gradients| gradients.add_to(&y, gradient));
            std::hint::black_box(pass.backward(start));
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
    /// Of so many values.
    pub fn new(loss: Loss, values: usize) -> Self {
        let (y, target) = (Arc::new(numbers(values, 1)), numbers(values, 2));
        Self { loss, y, target, _reuse: Reuse::begin() }
    }

    /// The mean loss.
    pub fn forward(&self) {
        rayon::scope(|_| {
            let y = Variable::<NotRecording>::input(Arc::clone(&self.y), 1);
            std::hint::black_box(self.loss.record(y, &self.target, 1.0).0);
        });
    }

    /// The mean loss and its gradient.
    pub fn forward_and_backward(&self) {
        rayon::scope(|_| {
            let mut pass = Pass::training(0);
            let y = Variable::<Recording>::tracked(Arc::clone(&self.y), 1, &mut pass);
            let (_, loss) = self.loss.record(y, &self.target, 1.0);
            std::hint::black_box(pass.backward(loss));
        });
    }
}

/// A network and random gradients, with which an optimizer updates its weights again and again.
pub struct OptimizerStep {
    network: Sequential,
    gradients: Vec<Buffer>,
    descent: OptimizerState,
}

impl OptimizerStep {
    /// With a learning rate so small that the weights stay numbers.
    pub fn new(network: &Sequential, optimizer: Optimizer) -> Self {
        let mut network = network.clone();
        let gradients = network.trainable_mut().map(|weights| numbers(weights.len(), 1)).collect();
        Self { network, gradients, descent: OptimizerState::new(optimizer, 1e-9) }
    }

    /// One update of all weights.
    pub fn update(&mut self) {
        rayon::scope(|_| self.descent.update(self.network.trainable_mut(), &self.gradients));
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
    fn products_are_those_of_arithmetic() {
        let picture = |channels, size| Sequential::input([channels, size, size]);
        assert_eq!(multiply_adds(Sequential::input([784]).dense(50).relu().dense(4)), 784 * 50 + 50 * 4);
        assert_eq!(multiply_adds(picture(3, 10).conv2d(5, 3)), 8 * 8 * 9 * 3 * 5);
        // Of 14 windows with a padding of 1 and a stride of 2 the first sees 2 of its 3 pixels.
        assert_eq!(multiply_adds(picture(1, 28).conv2d(12, 3).stride(2).padding(1)), 41 * 41 * 12);
        // A transposed convolution counts as the convolution that it is the adjoint of.
        let transposed = picture(12, 14).conv_transpose2d(1, 3).stride(2).padding(1).output_padding(1);
        assert_eq!(multiply_adds(transposed), 41 * 41 * 12);
        // 4 pixels become 12, then 10: of the outputs four see one pixel (three times), six see two.
        assert_eq!(multiply_adds(picture(64, 4).up_sample2d(3).conv2d(112, 3)), 16 * 16 * 64 * 112);
        assert_eq!(multiply_adds(picture(64, 4).up_sample2d(3).conv2d(112, 3).stride(2)), 5 * 5 * 9 * 64 * 112);
        assert_eq!(multiply_adds(picture(3, 10).batch_norm().max_pool2d(2).up_sample2d(2).flatten().dropout(0.5)), 0);
    }

    #[test]
    fn training_needs_no_gradient_of_the_images() {
        let (encoder, decoder) = (784 * 50 + 50 * 4, 4 * 784);
        assert_eq!(training_multiply_adds(&Autoencoder::tiny(4).unwrap()), 3 * (encoder + decoder) - 784 * 50);
    }

    #[test]
    fn steps_go_through() {
        let network = Sequential::input([2, 6, 6]).conv2d(3, 3).batch_norm().relu().max_pool2d(2).dropout(0.5);
        let step = Step::new(&network, 5);
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
}
