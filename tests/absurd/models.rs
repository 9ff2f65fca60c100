//! Models: networks with a purpose.

use latentlab::{Autoencoder, Classifier, Gan, Optimizer, Sequential, Vae, gan_step};

use crate::{
    Row::{Call, Nothing},
    Table,
    arguments::*,
};

/// Networks that fit nothing, or that were not built without mistakes.
fn networks() -> Vec<Sequential> {
    let input = |shape: &[usize]| Sequential::input(shape);
    vec![
        input(&[]),
        input(&[0]),
        input(&[usize::MAX]),
        input(&[2]),
        input(&[1, 28, 28]),
        input(&[1, 28, 28]).flatten(),
        input(&[2]).dense(0),
        input(&[2]).dense(784).reshape([1, 28, 28]),
        input(&[2]).dense(784).reshape([28, 28]),
        input(&[1, 1, 1]),
        input(&[1, 1, 1]).flatten().dense(1),
        input(&[1]).reshape([1, 1, 1]),
        input(&[1]).softmax(),
        input(&[3, 28, 28]).conv2d(usize::MAX, 1),
    ]
}

fn all_pairs(make: impl Fn(Sequential, Sequential)) {
    for first in networks() {
        networks().into_iter().for_each(|second| make(first.clone(), second));
    }
}

/// Shapes of images: without pixels, too small, of a size that leaves a rest, too large.
const SHAPES: [[usize; 3]; 12] = [
    [0; 3],
    [1, 0, 28],
    [0, 28, 28],
    [1, 1, 1],
    [3, 8, 9],
    [3, 17, 31],
    [1, 4, 3],
    [1 << 20, 28, 28],
    [1, 1 << 20, 1 << 20],
    [1, usize::MAX, 28],
    [usize::MAX, 19, 28],
    [usize::MAX; 3],
];

pub fn rows() -> Table {
    let alone = "the model alone, which is sound";
    vec![
        (
            "Autoencoder::new",
            Call(|| {
                all_pairs(|encoder, decoder| {
                    if let Some(made) = either(Autoencoder::new(encoder, decoder)) {
                        shown(&made.summary());
                    }
                });
            }),
        ),
        (
            "Autoencoder::tiny_for",
            Call(|| SHAPES.iter().for_each(|shape| drop(either(Autoencoder::tiny_for(*shape, 2))))),
        ),
        (
            "Autoencoder::deep_dense_for",
            Call(|| SHAPES.iter().for_each(|shape| drop(either(Autoencoder::deep_dense_for(*shape, 2))))),
        ),
        (
            "Autoencoder::convolutional_for",
            Call(|| SHAPES.iter().for_each(|shape| drop(either(Autoencoder::convolutional_for(*shape, 2))))),
        ),
        (
            "Autoencoder::strided_for",
            Call(|| {
                for shape in SHAPES {
                    either(Autoencoder::strided_for(shape, [2; 3], 2, 2));
                    refused(Autoencoder::strided_for(shape, [2; 3], 0, 2));
                }
            }),
        ),
        ("Autoencoder::wide_for", Call(|| SHAPES.iter().for_each(|shape| drop(either(Autoencoder::wide_for(*shape)))))),
        (
            "Vae::strided_for",
            Call(|| SHAPES.iter().for_each(|shape| drop(either(Vae::strided_for(*shape, [2; 3], 2, 2))))),
        ),
        (
            "Vae::convolutional_for",
            Call(|| SHAPES.iter().for_each(|shape| drop(either(Vae::convolutional_for(*shape, 2))))),
        ),
        (
            "Gan::convolutional_for",
            Call(|| SHAPES.iter().for_each(|shape| drop(either(Gan::convolutional_for(*shape, 2))))),
        ),
        (
            "Classifier::convolutional_for",
            Call(|| SHAPES.iter().for_each(|shape| drop(either(Classifier::convolutional_for(*shape, 2))))),
        ),
        ("Autoencoder::tiny", Call(|| SIZES.iter().for_each(|dim| drop(either(Autoencoder::tiny(*dim)))))),
        ("Autoencoder::deep_dense", Call(|| SIZES.iter().for_each(|dim| drop(either(Autoencoder::deep_dense(*dim)))))),
        (
            "Autoencoder::convolutional",
            Call(|| {
                SIZES.iter().for_each(|dim| drop(either(Autoencoder::convolutional(*dim))));
            }),
        ),
        (
            "Autoencoder::strided",
            Call(|| {
                for size in SIZES.into_iter().filter(|size| *size != 100_000) {
                    either(Autoencoder::strided([size, 2, 2], 2, 2));
                    either(Autoencoder::strided([2, 2, size], 2, 2));
                    either(Autoencoder::strided([2; 3], size, 2));
                    either(Autoencoder::strided([2; 3], 2, size));
                    either(Autoencoder::strided([size; 3], size, size));
                }
            }),
        ),
        ("Autoencoder::wide", Nothing("nothing")),
        ("Autoencoder::seed", Call(|| SEEDS.iter().for_each(|seed| shown(&autoencoder().seed(*seed).summary())))),
        ("Autoencoder::encoder", Nothing(alone)),
        ("Autoencoder::decoder", Nothing(alone)),
        ("Autoencoder::image_shape", Nothing(alone)),
        ("Autoencoder::latent_dim", Nothing(alone)),
        ("Autoencoder::parameter_count", Nothing(alone)),
        ("Autoencoder::summary", Nothing(alone)),
        ("Autoencoder::save", Call(|| paths().iter().for_each(|path| refused(autoencoder().save(path))))),
        (
            "Autoencoder::load",
            Call(|| {
                let garbage = Garbage::new("autoencoder");
                vae().save(garbage.file("vae.safetensors")).unwrap();
                refused(Autoencoder::load(garbage.file("vae.safetensors")));
                [paths(), garbage.files("safetensors")]
                    .concat()
                    .iter()
                    .for_each(|path| refused(Autoencoder::load(path)));
            }),
        ),
        ("Autoencoder::evcxr_display", Call(|| autoencoder().evcxr_display())),
        (
            "Vae::new",
            Call(|| {
                all_pairs(|encoder, decoder| {
                    if let Some(made) = either(Vae::new(encoder, decoder)) {
                        shown(&made.summary());
                    }
                });
            }),
        ),
        ("Vae::convolutional", Call(|| SIZES.iter().for_each(|dim| drop(either(Vae::convolutional(*dim)))))),
        (
            "Vae::strided",
            Call(|| {
                for size in SIZES.into_iter().filter(|size| *size != 100_000) {
                    either(Vae::strided([size; 3], 2, 2));
                    either(Vae::strided([2; 3], size, 2));
                    either(Vae::strided([2; 3], 2, size));
                }
            }),
        ),
        ("Vae::seed", Call(|| SEEDS.iter().for_each(|seed| shown(&vae().seed(*seed).summary())))),
        ("Vae::autoencoder", Nothing(alone)),
        ("Vae::encoder", Nothing(alone)),
        ("Vae::heads", Nothing(alone)),
        ("Vae::decoder", Nothing(alone)),
        ("Vae::image_shape", Nothing(alone)),
        ("Vae::latent_dim", Nothing(alone)),
        ("Vae::parameter_count", Nothing(alone)),
        ("Vae::summary", Nothing(alone)),
        ("Vae::save", Call(|| paths().iter().for_each(|path| refused(vae().save(path))))),
        (
            "Vae::load",
            Call(|| {
                let garbage = Garbage::new("vae");
                [paths(), garbage.files("safetensors")].concat().iter().for_each(|path| refused(Vae::load(path)));
            }),
        ),
        ("Vae::evcxr_display", Call(|| vae().evcxr_display())),
        (
            "Classifier::new",
            Call(|| {
                all_pairs(|encoder, head| {
                    if let Some(made) = either(Classifier::new(encoder, head)) {
                        shown(&made.summary());
                    }
                });
            }),
        ),
        (
            "Classifier::linear",
            Call(|| {
                for classes in SIZES {
                    networks().iter().for_each(|network| drop(either(Classifier::linear(network, classes))));
                }
            }),
        ),
        (
            "Classifier::dense",
            Call(|| {
                for classes in SIZES {
                    networks().iter().for_each(|network| drop(either(Classifier::dense(network, classes))));
                }
            }),
        ),
        ("Classifier::convolutional", Call(|| SIZES.iter().for_each(|n| drop(either(Classifier::convolutional(*n)))))),
        ("Classifier::frozen", Nothing(alone)),
        ("Classifier::fine_tuned", Nothing(alone)),
        ("Classifier::is_frozen", Nothing(alone)),
        ("Classifier::seed", Call(|| SEEDS.iter().for_each(|seed| shown(&classifier().seed(*seed).summary())))),
        (
            "Classifier::from_scratch",
            Call(|| {
                SEEDS.iter().for_each(|seed| shown(&classifier().from_scratch(*seed).summary()));
            }),
        ),
        ("Classifier::encoder", Nothing(alone)),
        ("Classifier::head", Nothing(alone)),
        ("Classifier::image_shape", Nothing(alone)),
        ("Classifier::classes", Nothing(alone)),
        ("Classifier::parameter_count", Nothing(alone)),
        ("Classifier::summary", Nothing(alone)),
        ("Classifier::save", Call(|| paths().iter().for_each(|path| refused(classifier().save(path))))),
        (
            "Classifier::load",
            Call(|| {
                let garbage = Garbage::new("classifier");
                [paths(), garbage.files("safetensors")]
                    .concat()
                    .iter()
                    .for_each(|path| refused(Classifier::load(path)));
            }),
        ),
        ("Classifier::evcxr_display", Call(|| classifier().evcxr_display())),
        (
            "Gan::new",
            Call(|| {
                all_pairs(|generator, discriminator| {
                    if let Some(made) = either(Gan::new(generator, discriminator)) {
                        shown(&made.summary());
                    }
                });
            }),
        ),
        ("Gan::convolutional", Call(|| SIZES.iter().for_each(|dim| drop(either(Gan::convolutional(*dim)))))),
        (
            "Gan::generator_optimizer",
            Call(|| {
                for rate in NUMBERS {
                    either(gan_step(&mut gan().generator_optimizer(Optimizer::adam(), rate), &digits(4)));
                    either(gan_step(
                        &mut gan().generator_optimizer(Optimizer::sgd().betas(rate, rate), 0.1),
                        &digits(4),
                    ));
                }
            }),
        ),
        (
            "Gan::discriminator_optimizer",
            Call(|| {
                for rate in NUMBERS {
                    either(gan_step(&mut gan().discriminator_optimizer(Optimizer::adam(), rate), &digits(4)));
                    either(gan_step(
                        &mut gan().discriminator_optimizer(Optimizer::adagrad().epsilon(rate), 0.1),
                        &digits(4),
                    ));
                }
            }),
        ),
        (
            "Gan::label_smoothing",
            Call(|| {
                FLOATS.iter().for_each(|share| _ = either(gan_step(&mut gan().label_smoothing(*share), &digits(4))));
            }),
        ),
        ("Gan::seed", Call(|| SEEDS.iter().for_each(|seed| shown(&gan().seed(*seed).summary())))),
        ("Gan::generator", Nothing(alone)),
        ("Gan::discriminator", Nothing(alone)),
        ("Gan::image_shape", Nothing(alone)),
        ("Gan::latent_dim", Nothing(alone)),
        ("Gan::parameter_count", Nothing(alone)),
        ("Gan::summary", Nothing(alone)),
        ("Gan::save", Call(|| paths().iter().for_each(|path| refused(gan().save(path))))),
        (
            "Gan::load",
            Call(|| {
                let garbage = Garbage::new("gan");
                [paths(), garbage.files("safetensors")].concat().iter().for_each(|path| refused(Gan::load(path)));
            }),
        ),
        ("Gan::evcxr_display", Call(|| gan().evcxr_display())),
    ]
}
