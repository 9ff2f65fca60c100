//! Whole models against PyTorch: the same weights and batch give the same loss and gradients. tests/reference/models.py
//! computes the numbers and says how weights and batch are made.

use std::sync::Arc;

use serde::Deserialize;

use super::{Autoencoder, Model};
use crate::{
    engine::Buffer,
    nn::{Loss, Pass, Sequential, channels_first, channels_last},
};

#[derive(Deserialize)]
struct Reference {
    models: Vec<ModelCase>,
}

#[derive(Deserialize)]
struct ModelCase {
    name: String,
    seed: u32,
    rows: usize,
    loss: f64,
    parameters: Vec<ParameterCase>,
}

#[derive(Deserialize)]
struct ParameterCase {
    name: String,
    shape: Vec<usize>,
    /// Its numbers are offset + scale · hashed ones.
    offset: f32,
    scale: f32,
    /// Of its gradient: the norm, the dot product with hashed numbers, and some entries, evenly spaced.
    norm: f64,
    projection: f64,
    samples: Vec<f64>,
}

/// Streams of hashed numbers; those of the parameters are 0, 1, 2 …
const BATCH: u32 = 900;
const PROJECTION: u32 = 500;

/// Errors that are allowed, relative to the loss and to the norm of each gradient.
const TOLERANCE: f64 = 1e-4;

/// The i-th integer of a stream.
fn hashed(seed: u32, stream: u32, i: usize) -> u32 {
    let mut x = (i as u32).wrapping_add((seed * 1000 + stream).wrapping_mul(0x9E37_79B9));
    x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
    x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}

/// The i-th number of a stream, in [−1, 1).
fn number(seed: u32, stream: u32, i: usize) -> f32 {
    ((hashed(seed, stream, i) >> 16) as f32 - 32768.0) / 32768.0
}

/// Images of 7×7 patches, each of 4×4 grainy pixels.
fn batch(seed: u32, rows: usize) -> Arc<Buffer> {
    let pixel = |i: usize| {
        let (image, y, x) = (i / 784, i / 28 % 28, i % 28);
        let patch = hashed(seed, BATCH, image * 49 + y / 4 * 7 + x / 4) >> 24;
        let grain = hashed(seed, BATCH + 1, i) >> 24;
        (3 * patch + grain) as f32 / 1024.0
    };
    Arc::new((0..rows * 784).map(pixel).collect::<Vec<_>>().into())
}

/// The benchmark's models with PyTorch's settings, and the presets where these have Keras'.
fn model(name: &str) -> Autoencoder {
    let norm = |network: Sequential| network.batch_norm().momentum(0.9).epsilon(1e-5);
    let transposed = |network: Sequential, filters| {
        norm(network.conv_transpose2d(filters, 3).stride(2).padding(1).output_padding(1))
    };
    let dense = |network: Sequential, widths: [usize; 4]| {
        widths.iter().fold(network, |network, width| network.dense(*width).leaky_relu(0.2).dropout(0.0))
    };
    let image = || Sequential::input([1, 28, 28]);
    let model = match name {
        // As `Autoencoder::deep_dense`, with a dropout of 0.
        "s0-ae32" => Autoencoder::new(
            dense(image().flatten(), [512, 256, 128, 64]).dense(32).leaky_relu(0.2),
            dense(Sequential::input([32]), [64, 128, 256, 512]).dense(784).sigmoid().reshape([1, 28, 28]),
        ),
        "s0-cae32" => {
            let encoder = norm(image().conv2d(32, 3).same()).leaky_relu(0.2).max_pool2d(2);
            let encoder = norm(encoder.conv2d(64, 3).same()).leaky_relu(0.2).max_pool2d(2);
            let decoder = Sequential::input([32]).dense(3136).leaky_relu(0.2).reshape([64, 7, 7]);
            let decoder = transposed(transposed(decoder, 64).leaky_relu(0.2), 1).sigmoid();
            Autoencoder::new(encoder.flatten().dense(32).leaky_relu(0.2), decoder)
        }
        "s0-cae32, Keras" => Autoencoder::convolutional(32),
        "s1-cae10" => Autoencoder::strided([24, 48, 96], 128, 10),
        "s2-cae2" => Autoencoder::strided([12, 24, 48], 128, 2),
        "s3-cae112" => {
            let encoder = norm(image().conv2d(112, 3).relu()).max_pool2d(2);
            let encoder = norm(encoder.conv2d(112, 3).relu()).max_pool2d(2);
            let decoder = norm(norm(Sequential::input([2]).dense(1024).relu()).reshape([64, 4, 4]));
            let decoder = norm(decoder.up_sample2d(3).conv2d(112, 3).relu());
            let decoder = norm(decoder.up_sample2d(3).conv2d(112, 3).relu());
            Autoencoder::new(norm(encoder.flatten().dense(2).relu()), decoder.conv2d(1, 1).sigmoid())
        }
        "s3-cae112, Keras" => Autoencoder::wide(),
        "s4-ae4" => Autoencoder::tiny(4),
        _ => panic!("{name} is not known here"),
    };
    model.unwrap()
}

#[test]
fn whole_models_agree_with_pytorch() {
    let reference: Reference = serde_json::from_str(include_str!("../../tests/reference/models.json")).unwrap();
    assert_eq!(reference.models.len(), 8);
    reference.models.iter().for_each(ModelCase::check);
}

impl ModelCase {
    fn check(&self) {
        let (name, seed, rows) = (&self.name, self.seed, self.rows);
        let mut model = model(name);
        let [encoder, decoder] = model.trained_mut().try_into().unwrap();
        let parameters: Vec<_> = encoder.trainable_mut().chain(decoder.trainable_mut()).collect();
        assert_eq!(parameters.len(), self.parameters.len(), "{name}");
        for (index, (weights, case)) in parameters.into_iter().zip(&self.parameters).enumerate() {
            assert_eq!(weights.len(), case.shape.iter().product::<usize>(), "{name}, {index} {}", case.name);
            let value = |i| case.offset + case.scale * number(seed, index as u32, i);
            *weights = Arc::new((0..weights.len()).map(value).collect());
        }

        let x = batch(seed, rows);
        let mut pass = Pass::training(0);
        let input = pass.input(Arc::clone(&x), rows);
        let input = channels_last(input, &[1, 28, 28], &mut pass);
        let codes = model.encoder().forward_on(input, &mut pass);
        let y = model.decoder().forward_on(codes, &mut pass);
        let y = channels_first(y, &[1, 28, 28], &mut pass);
        let (loss, on_tape) = Loss::MeanSquaredError.record(y, &x, 1.0, &mut pass);
        assert!(
            (loss - self.loss).abs() <= TOLERANCE * self.loss,
            "{name}: expected a loss of {}, got {loss}",
            self.loss
        );

        let mut weights_norm = 0.0;
        pass.backward(&on_tape);
        let gradients = pass.gradients(&model.trained());
        for (index, (gradient, case)) in gradients.iter().zip(&self.parameters).enumerate() {
            if case.name == "weight" {
                weights_norm = case.norm;
            }
            case.check(&format!("{name}, {index} {}", case.name), gradient, weights_norm, |i| {
                f64::from(number(seed, PROJECTION + index as u32, i))
            });
        }
    }
}

impl ParameterCase {
    /// `weights_norm` is that of the gradient of the same layer's weights.
    fn check(&self, place: &str, gradient: &[f32], weights_norm: f64, direction: impl Fn(usize) -> f64) {
        let gradient: Vec<f64> = gradient.iter().map(|g| f64::from(*g)).collect();
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        // A bias right before a batch normalisation has no effect: its gradient is 0 but for rounding, which then has
        // no size of its own to be measured by. The terms that cancel are those whose products with the input make the
        // gradient of the layer's weights.
        let vanishes = self.name == "bias" && self.norm < 1e-9 * weights_norm;
        let bound = TOLERANCE * if vanishes { weights_norm } else { self.norm };
        let check = |what: &str, got: f64, expected: f64| {
            let error = (got - expected).abs();
            assert!(
                error <= bound,
                "{place}: expected a gradient with {what} {expected}, got {got} ({error} > {bound})"
            );
        };
        check("norm", norm, self.norm);
        let projection = gradient.iter().enumerate().map(|(i, g)| g * direction(i)).sum();
        check("projection", projection, self.projection);
        for (k, expected) in self.samples.iter().enumerate() {
            let i = k * gradient.len() / self.samples.len();
            check(&format!("entry {i}"), gradient[i], *expected);
        }
    }
}
