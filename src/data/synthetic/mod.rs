//! The built-in data: handwritten digits and garments drawn from strokes and outlines, so that every lesson runs
//! without a network or a data set.
//!
//! The same labels as MNIST and Fashion-MNIST, 28 × 28 pixels, light on a black background. Image `i` depends only on
//! the seed and on `i`: the first images of a larger set are the smaller set, on any number of threads. No function
//! used here is rounded differently from one platform to the next, so neither are the images.

mod digits;
mod garments;
mod raster;
mod rng;
mod shape;
mod shoes;
mod sketch;
mod tops;

use ndarray::{Array1, Array4};
use raster::{PIXELS, SIDE};
use rayon::prelude::*;
use rng::Rng;

/// The shape of a drawing: height and width.
pub(crate) const SIZE: [usize; 2] = [SIDE; 2];

/// `n` handwritten digits (n, 1, 28, 28) in [0, 1] and their labels (n), 0..=9 in random order and equally often.
pub(crate) fn digits(n: usize, seed: u64) -> (Array4<f32>, Array1<usize>) {
    generate(n, Rng::new(seed).key(), digits::draw)
}

/// `n` garments (n, 1, 28, 28) in [0, 1] and their labels (n) in Fashion-MNIST's order: T-shirt, trouser, pullover,
/// dress, coat, sandal, shirt, sneaker, bag, ankle boot.
pub(crate) fn garments(n: usize, seed: u64) -> (Array4<f32>, Array1<usize>) {
    generate(n, Rng::new(!seed).key(), garments::draw)
}

fn generate(n: usize, key: u64, draw: fn(usize, &mut Rng) -> [f32; PIXELS]) -> (Array4<f32>, Array1<usize>) {
    let labels: Array1<usize> = (0..n).step_by(10).flat_map(|start| labels_of_ten(key, start)).take(n).collect();
    let mut pixels = vec![0.0; n * PIXELS];
    pixels.par_chunks_mut(PIXELS).enumerate().for_each(|(i, image)| {
        let drawn = draw(labels[i], &mut Rng::new(key.wrapping_add(i as u64)));
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
    Rng::new(!key.wrapping_add(start as u64)).shuffle(&mut labels);
    labels
}

/// One of 256 grey levels, as if read from a file of bytes.
fn as_stored(value: f32) -> f32 {
    f32::from((value * 255.0 + 0.5) as u8) / 255.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{ArrayView1, Axis, s};

    type Draw = fn(usize, u64) -> (Array4<f32>, Array1<usize>);
    const BOTH: [(&str, Draw); 2] = [("digits", digits), ("garments", garments)];

    fn rows(images: &Array4<f32>) -> impl Iterator<Item = ArrayView1<'_, f32>> {
        images.axis_iter(Axis(0)).map(|image| image.into_shape_with_order(PIXELS).unwrap())
    }

    #[test]
    fn images_are_greys_on_black() {
        for (name, draw) in BOTH {
            let (images, labels) = draw(500, 1);
            assert_eq!(images.dim(), (500, 1, 28, 28));
            assert_eq!(labels.len(), 500);
            assert!(images.iter().all(|value| (0.0..=1.0).contains(value)), "{name}");
            let black = images.iter().filter(|&&value| value == 0.0).count() as f32 / images.len() as f32;
            assert!((0.4..0.9).contains(&black), "{name}: {black} of the pixels are black");
        }
    }

    #[test]
    fn brightness_is_near_the_real_data() {
        for ((name, draw), range) in BOTH.into_iter().zip([0.12..0.15, 0.2..0.3]) {
            let mean = draw(1000, 2).0.mean().unwrap();
            assert!(range.contains(&mean), "{name}: {mean}");
        }
    }

    #[test]
    fn every_image_is_drawn_and_centred() {
        for (name, draw) in BOTH {
            for (i, image) in rows(&draw(1000, 3).0).enumerate() {
                let ink = image.sum();
                assert!(ink > 12.0, "{name} {i}: ink {ink}");
                let x = image.iter().enumerate().map(|(at, v)| (at % SIDE) as f32 * v).sum::<f32>() / ink;
                let y = image.iter().enumerate().map(|(at, v)| (at / SIDE) as f32 * v).sum::<f32>() / ink;
                assert!((x - 13.5).abs() < 5.5 && (y - 13.5).abs() < 7.0, "{name} {i}: centre of mass ({x}, {y})");
            }
        }
    }

    #[test]
    fn a_prefix_is_the_smaller_set_on_any_number_of_threads() {
        let on = |threads, draw: Draw, n| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| draw(n, 4))
        };
        for (name, draw) in BOTH {
            let (images, labels) = on(4, draw, 137);
            for n in [0, 1, 10, 73, 137] {
                let (fewer, fewer_labels) = on(1, draw, n);
                assert_eq!(fewer, images.slice(s![..n, .., .., ..]), "{name}: {n} of 137");
                assert_eq!(fewer_labels, labels.slice(s![..n]), "{name}: {n} of 137");
            }
        }
    }

    #[test]
    fn another_seed_gives_other_images_and_another_order() {
        for (name, draw) in BOTH {
            let ((images, labels), (others, other_labels)) = (draw(50, 5), draw(50, 6));
            assert_ne!(labels, other_labels, "{name}");
            assert!(rows(&images).zip(rows(&others)).all(|(a, b)| a != b), "{name}");
        }
    }

    #[test]
    fn labels_are_balanced_and_shuffled() {
        for (name, draw) in BOTH {
            let labels = draw(1003, 7).1;
            let counts: Vec<usize> = (0..10).map(|label| labels.iter().filter(|&&l| l == label).count()).collect();
            assert!(counts.iter().all(|count| (100..=101).contains(count)), "{name}: {counts:?}");
            assert_ne!(labels.slice(s![..10]), labels.slice(s![10..20]), "{name}");
        }
    }

    #[test]
    fn no_two_images_are_alike() {
        for (name, draw) in BOTH {
            let images = draw(300, 8).0;
            let images: Vec<_> = rows(&images).collect();
            for (i, a) in images.iter().enumerate() {
                for b in &images[..i] {
                    let distance = (a - b).mapv(|d| d * d).sum();
                    assert!(distance > 0.5, "{name} {i}: {distance}");
                }
            }
        }
    }

    /// Real MNIST and Fashion-MNIST give about 0.80 and 0.69.
    #[test]
    fn the_nearest_class_mean_classifies_most_but_not_all() {
        for (name, draw) in BOTH {
            let (images, labels) = draw(3000, 9);
            let mut means = vec![Array1::<f32>::zeros(PIXELS); 10];
            for (image, &label) in rows(&images).zip(&labels).take(2000) {
                means[label] += &image;
            }
            let distance =
                |image: &ArrayView1<f32>, label: usize| (image - &means[label] / 200.0).mapv(|d| d * d).sum();
            let is_right = |image: ArrayView1<f32>, label: usize| {
                let own = distance(&image, label);
                (0..10).all(|other| own <= distance(&image, other))
            };
            let right =
                rows(&images).zip(&labels).skip(2000).filter(|(image, label)| is_right(*image, **label)).count();
            assert!((700..930).contains(&right), "{name}: {right} of 1000");
        }
    }

    /// Results in lessons and reports depend on the images: they must not change unnoticed.
    #[test]
    fn the_images_are_those_of_earlier_versions() {
        for ((name, draw), expected) in BOTH.into_iter().zip([4250992578183100405, 17501647904973309683]) {
            let images = draw(100, 10).0;
            let checksum =
                images.iter().fold(0u64, |sum, v| sum.wrapping_mul(31).wrapping_add((v * 255.0).round() as u64));
            assert_eq!(checksum, expected, "{name}: if this is on purpose, say so in CHANGELOG.md");
        }
    }
}
