//! The built-in data: handwritten digits and garments drawn from strokes and outlines, so that every lesson runs
//! without a network or a data set.
//!
//! The same labels as MNIST and Fashion-MNIST, 28 × 28 pixels, light on a black background. Image `i` depends only on
//! the seed and on `i`: the first images of a larger set are the smaller set, on any number of threads. No function
//! used here is rounded differently from one platform to the next, so neither are the images.

mod dice;
mod digits;
mod garments;
mod raster;
mod shape;

use dice::Dice;
use ndarray::{Array1, Array4};
use raster::{PIXELS, SIDE};
use rayon::prelude::*;

/// `n` handwritten digits (n, 1, 28, 28) in [0, 1] and their labels (n), 0..=9 in random order and equally often.
pub(crate) fn digits(n: usize, seed: u64) -> (Array4<f32>, Array1<usize>) {
    generate(n, Dice::new(seed).key(), digits::draw)
}

/// `n` garments (n, 1, 28, 28) in [0, 1] and their labels (n) in Fashion-MNIST's order: T-shirt, trouser, pullover,
/// dress, coat, sandal, shirt, sneaker, bag, ankle boot.
pub(crate) fn garments(n: usize, seed: u64) -> (Array4<f32>, Array1<usize>) {
    generate(n, Dice::new(!seed).key(), garments::draw)
}

fn generate(n: usize, key: u64, draw: fn(usize, &mut Dice) -> [f32; PIXELS]) -> (Array4<f32>, Array1<usize>) {
    let labels: Array1<usize> = (0..n).step_by(10).flat_map(|start| labels_of_ten(key, start)).take(n).collect();
    let mut pixels = vec![0.0; n * PIXELS];
    pixels.par_chunks_mut(PIXELS).enumerate().for_each(|(i, image)| {
        let drawn = draw(labels[i], &mut Dice::new(key.wrapping_add(i as u64)));
        for (pixel, value) in image.iter_mut().zip(drawn) {
            *pixel = as_stored(value);
        }
    });
    let images = Array4::from_shape_vec((n, 1, SIDE, SIDE), pixels).expect("n images of PIXELS pixels each");
    (images, labels)
}

/// The labels of images `start..start + 10`: each label once, so that every prefix is balanced.
fn labels_of_ten(key: u64, start: usize) -> [usize; 10] {
    let mut labels = std::array::from_fn(|label| label);
    Dice::new(!key.wrapping_add(start as u64)).shuffle(&mut labels);
    labels
}

/// One of 256 grey levels, as if read from a file of bytes.
fn as_stored(value: f32) -> f32 {
    f32::from((value * 255.0 + 0.5) as u8) / 255.0
}
