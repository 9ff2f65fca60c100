//! The same small networks in dfdx's own modules, losses and optimizers, from the same weights and on the same images:
//! the losses, gradients and trained weights agree.
//!
//! All images are in one batch, so that shuffling makes no difference. dfdx has no convolutions on stable Rust: they
//! are computed here by its matrix products, with the 0/1 matrix of [`taps`].

mod folder;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use dfdx::prelude::{
    AdamConfig, Axes2, Axes3, Axes4, BroadcastTo, Const, Cpu, DeviceBuildExt, Gradients, Linear, Module, Momentum,
    OwnedTape, PermuteTo, ReLU, ReshapeTo, SgdConfig, Shape, Tensor, TensorFromVec, Trace, TryMatMul, ZeroGrads,
    binary_cross_entropy_with_logits_loss, mse_loss,
};
use dfdx::{
    optim::{Adam, Sgd},
    shapes::HasShape,
    tensor::AsArray,
    tensor_ops::Backward,
};
use folder::Folder;
use latentlab::{Autoencoder, Dataset, Loss, Optimizer, Sequential, TrainConfig, ndarray::s, train_ae};
use safetensors::SafeTensors;

const IMAGES: usize = 48;
const SIDE: usize = 10;
const PIXELS: usize = SIDE * SIDE;
const HIDDEN: usize = 16;
const EPOCHS: usize = 20;

// Both sides sum the same products in single precision, in another order. Measured are 3·10⁻⁶ for the losses (dfdx sums
// all squares one after the other), 3·10⁻⁶ for the gradients, relative to a parameter's largest, and 3·10⁻⁷ for the
// weights after twenty steps.
const SAME_LOSS: f64 = 1e-5;
const SAME_GRADIENT: f64 = 1e-5;
const SAME_WEIGHT: f64 = 2e-6;
/// Adam divides by the size of the gradient: where that is nearly zero, its rounding errors are a part of the step.
/// Measured are 4·10⁻⁶.
const SAME_WEIGHT_OF_ADAM: f64 = 2e-5;

type Weights = BTreeMap<String, Vec<f32>>;

/// Every second pixel of the middle of drawn digits.
fn images() -> Dataset {
    let digits = Dataset::built_in_digits(IMAGES, 3).unwrap();
    let small = digits.images().slice(s![.., .., 4..24;2, 4..24;2]).to_owned();
    digits.with_images(small).unwrap()
}

/// An autoencoder's weights by their names in its file.
fn weights(autoencoder: &Autoencoder) -> Weights {
    static NUMBER: AtomicUsize = AtomicUsize::new(0); // tests run side by side
    let folder = Folder::new(&format!("dfdx-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    autoencoder.save(folder.file("weights.safetensors")).unwrap();
    let bytes = std::fs::read(folder.file("weights.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let floats = |bytes: &[u8]| bytes.chunks(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    tensors.iter().map(|(name, tensor)| (name.to_string(), floats(tensor.data()))).collect()
}

/// The columns of a matrix, one after the other: the library stores (inputs, units) as Keras does, dfdx the transposed.
fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| matrix.iter().skip(column).step_by(columns).copied()).collect()
}

/// The largest difference, relative to the largest value.
fn difference(ours: &[f32], theirs: &[f32]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let largest = theirs.iter().fold(0.0, |largest: f64, value| largest.max(f64::from(value.abs())));
    assert!(largest > 0.0, "nothing to compare");
    let differences = ours.iter().zip(theirs).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
    differences.fold(0.0, f64::max) / largest
}

fn assert_close(what: &str, ours: &Weights, theirs: &Weights, tolerance: f64) {
    assert!(ours.keys().eq(theirs.keys()), "{what}: {:?} and {:?}", ours.keys(), theirs.keys());
    for (name, ours) in ours {
        let difference = difference(ours, &theirs[name]);
        assert!(difference < tolerance, "{what}, {name}: they differ by {difference:.2e} of the largest value");
    }
}

fn assert_losses_close(what: &str, ours: &[f64], theirs: &[f64]) {
    assert_eq!(ours.len(), theirs.len());
    for (epoch, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        let difference = (ours / theirs - 1.0).abs();
        assert!(difference < SAME_LOSS, "{what}, epoch {}: {ours} and {theirs}", epoch + 1);
    }
}

/// One batch an epoch.
fn config(loss: Loss) -> TrainConfig {
    TrainConfig::new().epochs(1).batch_size(IMAGES).loss(loss).progress_every(0)
}

/// The library's loss and gradients g, read off one step of gradient descent, w − ηg. With a large power of two for η
/// the weights before it cost no precision.
fn loss_and_gradients(autoencoder: &Autoencoder, images: &Dataset, loss: Loss) -> (f64, Weights) {
    const RATE: f32 = 65_536.0;
    let mut stepped = autoencoder.clone();
    let config = config(loss).optimizer(Optimizer::sgd()).learning_rate(RATE.into());
    let history = train_ae(&mut stepped, images, &config).unwrap();
    let (before, after) = (weights(autoencoder), weights(&stepped));
    let gradient =
        |name: &String| before[name].iter().zip(&after[name]).map(|(w, stepped)| (w - stepped) / RATE).collect();
    (history.loss[0], before.keys().map(|name| (name.clone(), gradient(name))).collect())
}

fn dense() -> Autoencoder {
    Autoencoder::new(
        Sequential::input([1, SIDE, SIDE]).flatten().dense(HIDDEN).relu(),
        Sequential::input([HIDDEN]).dense(PIXELS).reshape([1, SIDE, SIDE]),
    )
    .unwrap()
    .seed(5)
}

/// The layers of [`dense`] as dfdx's modules.
type Network = (Linear<PIXELS, HIDDEN>, ReLU, Linear<HIDDEN, PIXELS>);
type Built = <Network as dfdx::nn::BuildOnDevice<Cpu, f32>>::Built;

fn dense_of_dfdx(device: &Cpu, weights: &Weights) -> Built {
    let mut network = device.build_module::<Network, f32>();
    let [encoder, decoder] = ["encoder.2", "decoder.1"].map(|layer| {
        let of = |parameter| weights[&format!("{layer}.{parameter}")].clone();
        (of("weight"), of("bias"))
    });
    network.0.weight = device.tensor_from_vec(transposed(&encoder.0, HIDDEN), (Const, Const));
    network.0.bias = device.tensor_from_vec(encoder.1, (Const,));
    network.2.weight = device.tensor_from_vec(transposed(&decoder.0, PIXELS), (Const, Const));
    network.2.bias = device.tensor_from_vec(decoder.1, (Const,));
    network
}

/// A parameter, or its gradient.
fn values<S: Shape>(parameter: &Tensor<S, f32, Cpu>, gradients: Option<&Gradients<f32, Cpu>>) -> Vec<f32> {
    gradients.map_or_else(|| parameter.clone(), |gradients| gradients.get(parameter)).as_vec()
}

/// All weights, or their gradients, under the names and in the order of the library's files.
fn as_in_file(network: &Built, gradients: Option<&Gradients<f32, Cpu>>) -> Weights {
    let parameters = [
        ("encoder.2.weight", transposed(&values(&network.0.weight, gradients), PIXELS)),
        ("encoder.2.bias", values(&network.0.bias, gradients)),
        ("decoder.1.weight", transposed(&values(&network.2.weight, gradients), HIDDEN)),
        ("decoder.1.bias", values(&network.2.bias, gradients)),
    ];
    parameters.map(|(name, values)| (name.to_string(), values)).into()
}

#[test]
fn dense_layers_have_the_gradients_of_dfdx_modules() {
    let (device, images, autoencoder) = (Cpu::default(), images(), dense());
    let x = device.tensor_from_vec(images.images().iter().copied().collect(), (IMAGES, Const::<PIXELS>));
    let network = dense_of_dfdx(&device, &weights(&autoencoder));
    let y = network.forward(x.clone().traced(network.alloc_grads()));
    let loss = mse_loss(y, x);
    let theirs = f64::from(loss.array());
    let gradients = loss.backward();

    let (ours, our_gradients) = loss_and_gradients(&autoencoder, &images, Loss::MeanSquaredError);
    assert_losses_close("dense", &[ours], &[theirs]);
    assert_close("dense, gradient", &our_gradients, &as_in_file(&network, Some(&gradients)), SAME_GRADIENT);
}

/// Trains both from the same weights with the same optimizer, and compares every epoch's loss and the final weights.
fn train_both(
    what: &str,
    optimizer: Optimizer,
    learning_rate: f64,
    mut theirs: impl dfdx::optim::Optimizer<Built, Cpu, f32>,
    tolerance: f64,
) {
    let (device, images, mut autoencoder) = (Cpu::default(), images(), dense());
    let x = device.tensor_from_vec(images.images().iter().copied().collect(), (IMAGES, Const::<PIXELS>));
    let mut network = dense_of_dfdx(&device, &weights(&autoencoder));
    let mut gradients = network.alloc_grads();
    let mut losses = Vec::new();
    for _ in 0..EPOCHS {
        let loss = mse_loss(network.forward(x.clone().traced(gradients)), x.clone());
        losses.push(f64::from(loss.array()));
        gradients = loss.backward();
        theirs.update(&mut network, &gradients).unwrap();
        network.zero_grads(&mut gradients);
    }

    let config = config(Loss::MeanSquaredError).epochs(EPOCHS).optimizer(optimizer).learning_rate(learning_rate);
    let history = train_ae(&mut autoencoder, &images, &config).unwrap();
    assert!(history.loss[EPOCHS - 1] < 0.9 * history.loss[0], "{what} has not learned: {:?}", history.loss);
    assert_losses_close(what, &history.loss, &losses);
    assert_close(what, &weights(&autoencoder), &as_in_file(&network, None), tolerance);
}

#[test]
fn gradient_descent_trains_like_dfdx() {
    let network = dense_of_dfdx(&Cpu::default(), &weights(&dense()));
    let plain = SgdConfig { lr: 2.0, momentum: None, weight_decay: None };
    train_both("SGD", Optimizer::sgd(), 2.0, Sgd::new(&network, plain), SAME_WEIGHT);
    let momentum = SgdConfig { lr: 0.5, momentum: Some(Momentum::Classic(0.9)), weight_decay: None };
    train_both("momentum", Optimizer::sgd().momentum(0.9), 0.5, Sgd::new(&network, momentum), SAME_WEIGHT);
    let nesterov = SgdConfig { lr: 0.5, momentum: Some(Momentum::Nesterov(0.9)), weight_decay: None };
    train_both("Nesterov", Optimizer::sgd().momentum(0.9).nesterov(), 0.5, Sgd::new(&network, nesterov), SAME_WEIGHT);
}

#[test]
fn adam_trains_like_dfdx() {
    let network = dense_of_dfdx(&Cpu::default(), &weights(&dense()));
    let config = AdamConfig { lr: 0.005, ..AdamConfig::default() };
    train_both("Adam", Optimizer::adam(), 0.005, Adam::new(&network, config), SAME_WEIGHT_OF_ADAM);
}

/// Which pixel of an image of `size` × `size` each place of a kernel meets in each window: a matrix of zeros and ones,
/// (pixels, windows · kernel · kernel). What the padding adds is no pixel, and meets nothing.
fn taps(device: &Cpu, size: usize, kernel: usize, stride: usize, padding: usize) -> Tensor<(usize, usize), f32, Cpu> {
    let windows = (size + 2 * padding - kernel) / stride + 1;
    let columns = windows * windows * kernel * kernel;
    let mut matrix = vec![0.0; size * size * columns];
    for (window, place) in (0..windows * windows).flat_map(|w| (0..kernel * kernel).map(move |place| (w, place))) {
        let row = (window / windows * stride + place / kernel).checked_sub(padding).filter(|row| *row < size);
        let column = (window % windows * stride + place % kernel).checked_sub(padding).filter(|column| *column < size);
        if let (Some(row), Some(column)) = (row, column) {
            matrix[(row * size + column) * columns + window * kernel * kernel + place] = 1.0;
        }
    }
    device.tensor_from_vec(matrix, (size * size, columns))
}

type Recording = OwnedTape<f32, Cpu>;
/// (images, channels, pixels), recorded.
type FeatureMaps = Tensor<(usize, usize, usize), f32, Cpu, Recording>;

/// A layer's weights as a matrix, and its bias.
struct Layer {
    name: &'static str,
    weight: Tensor<(usize, usize), f32, Cpu>,
    bias: Tensor<(usize,), f32, Cpu>,
}

impl Layer {
    fn of(device: &Cpu, weights: &Weights, name: &'static str, rows: usize) -> Self {
        let [weight, bias] = ["weight", "bias"].map(|parameter| weights[&format!("{name}.{parameter}")].clone());
        let (columns, outputs) = (weight.len() / rows, bias.len());
        Self {
            name,
            weight: device.tensor_from_vec(weight, (rows, columns)),
            bias: device.tensor_from_vec(bias, (outputs,)),
        }
    }

    /// Adds the bias to (images, pixels, channels), and puts the channels first.
    fn with_bias(&self, y: FeatureMaps) -> FeatureMaps {
        let bias = self.bias.retaped::<Recording>().broadcast_like::<_, Axes2<0, 1>>(y.shape());
        (y + bias).permute::<_, Axes3<0, 2, 1>>()
    }

    fn dense(&self, x: FeatureMaps) -> FeatureMaps {
        let (images, channels, pixels) = *x.shape();
        self.with_bias(x.reshape_like(&(images, 1, channels * pixels)).matmul(self.weight.clone()))
    }

    /// A convolution with the windows of `taps`; weights (kernel · kernel · channels, filters).
    fn conv2d(&self, x: FeatureMaps, taps: &Tensor<(usize, usize), f32, Cpu>) -> FeatureMaps {
        let (images, channels, _) = *x.shape();
        let places = self.weight.shape().0 / channels;
        let windows = taps.shape().1 / places;
        let seen = x.matmul(taps.clone()).reshape_like(&(images, channels, windows, places));
        let seen = seen.permute::<_, Axes4<0, 2, 3, 1>>().reshape_like(&(images, windows, places * channels));
        self.with_bias(seen.matmul(self.weight.clone()))
    }

    /// The adjoint of a convolution with the windows of `taps`; weights (kernel · kernel · filters, channels).
    fn conv_transpose2d(&self, x: FeatureMaps, taps: &Tensor<(usize, usize), f32, Cpu>) -> FeatureMaps {
        let (images, _, windows) = *x.shape();
        let places = taps.shape().1 / windows;
        let filters = self.bias.shape().0;
        let weight = self.weight.retaped::<Recording>().permute::<_, Axes2<1, 0>>();
        let added = x.permute::<_, Axes3<0, 2, 1>>().matmul(weight).reshape_like(&(images, windows, places, filters));
        let added = added.permute::<_, Axes4<0, 3, 1, 2>>().reshape_like(&(images, filters, windows * places));
        let y = added.matmul(taps.clone().permute::<_, Axes2<1, 0>>());
        self.with_bias(y.permute::<_, Axes3<0, 2, 1>>())
    }
}

#[test]
fn convolutions_have_the_gradients_of_dfdx_products() {
    let (device, images) = (Cpu::default(), images());
    let autoencoder = Autoencoder::new(
        Sequential::input([1, SIDE, SIDE])
            .conv2d(3, 3)
            .stride(2)
            .padding(1)
            .relu()
            .conv2d(4, 3)
            .relu()
            .flatten()
            .dense(5),
        Sequential::input([5])
            .dense(4 * 3 * 3)
            .relu()
            .reshape([4, 3, 3])
            .conv_transpose2d(3, 3)
            .relu()
            .conv_transpose2d(1, 3)
            .stride(2)
            .padding(1)
            .output_padding(1),
    )
    .unwrap()
    .seed(5);

    let weights = weights(&autoencoder);
    let layer = |name, rows| Layer::of(&device, &weights, name, rows);
    let layers = [
        layer("encoder.1", 9),
        layer("encoder.3", 9 * 3),
        layer("encoder.6", 4 * 3 * 3),
        layer("decoder.1", 5),
        layer("decoder.4", 9 * 3),
        layer("decoder.6", 9),
    ];
    // From 10 × 10 to 5 × 5 pixels, and from these to 3 × 3; the decoder goes back.
    let (outer, inner) = (taps(&device, SIDE, 3, 2, 1), taps(&device, 5, 3, 1, 0));
    let x = device.tensor_from_vec(images.images().iter().copied().collect(), (IMAGES, 1, PIXELS));
    let y = layers[0].conv2d(x.clone().leaky_traced(), &outer).relu();
    let y = layers[2].dense(layers[1].conv2d(y, &inner).relu());
    let y = layers[3].dense(y).relu().reshape_like(&(IMAGES, 4, 3 * 3));
    let y = layers[4].conv_transpose2d(y, &inner).relu();
    let loss = binary_cross_entropy_with_logits_loss(layers[5].conv_transpose2d(y, &outer), x);
    let theirs = f64::from(loss.array());
    let gradients = loss.backward();
    let of = |layer: &Layer| {
        let Layer { name, weight, bias } = layer;
        [
            (format!("{name}.weight"), gradients.get(weight).as_vec()),
            (format!("{name}.bias"), gradients.get(bias).as_vec()),
        ]
    };

    let (ours, our_gradients) = loss_and_gradients(&autoencoder, &images, Loss::BinaryCrossEntropyWithLogits);
    assert_losses_close("convolutional", &[ours], &[theirs]);
    let theirs = layers.iter().flat_map(of).collect();
    assert_close("convolutional, gradient", &our_gradients, &theirs, SAME_GRADIENT);
}
