//! Trainings that cannot come to anything are refused before they begin, with the value and the way out.

use latentlab::{
    Autoencoder, Classifier, Dataset, Error, ErrorKind, Gan, GanConfig, Loss, Normalisation, Optimizer, Sequential,
    TrainConfig, Vae, classify, evaluate, gan_step,
    ndarray::{Array1, Array4, ArrayD},
    reconstruct, train_ae, train_classifier, train_gan, train_vae,
};

const CROSS_ENTROPIES: [Loss; 2] = [Loss::BinaryCrossEntropy, Loss::BinaryCrossEntropyWithLogits];

fn digits(n: usize) -> Dataset {
    Dataset::built_in_digits(n, 0).unwrap()
}

fn quiet() -> TrainConfig {
    TrainConfig::new().progress_every(0).epochs(1)
}

fn changed(images: &Dataset, change: impl Fn(f32) -> f32) -> Dataset {
    images.with_images(images.images().mapv(change)).unwrap()
}

/// The digits with one value of another kind.
fn spoilt(value: f32) -> Dataset {
    let mut images = digits(20).images().clone();
    images[[7, 0, 3, 5]] = value;
    digits(20).with_images(images).unwrap()
}

fn vae() -> Vae {
    Vae::strided([2, 3, 4], 8, 2).unwrap()
}

#[test]
fn cross_entropy_refuses_targets_outside_of_0_and_1() {
    let mut autoencoder = Autoencoder::tiny(2).unwrap();
    let grey = digits(20);
    let normalised = Normalisation::fit(&grey).unwrap().transform(&grey).unwrap();
    for loss in CROSS_ENTROPIES {
        let config = quiet().loss(loss);
        for wrong in [&normalised, &changed(&grey, |v| v * 255.0), &spoilt(1.01), &spoilt(-0.02)] {
            let refused = [
                train_ae(&mut autoencoder, wrong, &config).map(drop),
                train_ae(&mut autoencoder, &grey, &config.clone().validation(wrong)).map(drop),
                train_ae(&mut autoencoder, wrong, &config.clone().validation_fraction(0.5)).map(drop),
                evaluate(&autoencoder, wrong, loss).map(drop),
                train_vae(&mut vae(), wrong, &config).map(drop),
                train_vae(&mut vae(), &grey, &config.clone().validation(wrong)).map(drop),
            ];
            for refused in refused {
                let error = refused.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Argument);
                let text = error.to_string();
                assert!(text.contains("images, image "), "{text}");
                assert!(
                    text.contains("expected a target in [0, 1] for the loss, binary cross-entropy, got "),
                    "{text}"
                );
                assert!(text.ends_with("undo their normalisation, or divide grey values by 255"), "{text}");
            }
        }
        let text = train_ae(&mut autoencoder, &spoilt(1.5), &config).unwrap_err().to_string();
        assert!(text.starts_with("training images, image 7, channel 0, row 3, column 5: expected"), "{text}");
        assert!(text.contains(", got 1.5. Take Loss::MeanSquaredError"), "{text}");

        // Noise is added to the input, not to the target; a normalisation undone may round.
        train_ae(&mut autoencoder, &grey, &config.clone().input_noise(0.5)).unwrap();
        let undone = Normalisation::fit(&grey).unwrap().inverse_transform(&normalised).unwrap();
        train_ae(&mut autoencoder, &undone, &config).unwrap();
        train_ae(&mut autoencoder, &spoilt(1.0), &config.clone().snapshots(&normalised, [1])).unwrap();
    }
    // A classifier has no such target.
    train_classifier(&mut Classifier::convolutional(10).unwrap(), &normalised, &quiet()).unwrap();
    let mut squared = Autoencoder::tiny(2).unwrap();
    train_ae(&mut squared, &normalised, &quiet()).unwrap();
    assert!(evaluate(&squared, &normalised, Loss::MeanSquaredError).unwrap() > 0.0);
}

#[test]
fn a_generator_that_cannot_make_the_real_images_is_refused() {
    let grey = digits(20);
    let normalised = Normalisation::fit(&grey).unwrap().transform(&grey).unwrap();
    let gan = |end: fn(Sequential) -> Sequential| {
        let generator = end(Sequential::input([4]).dense(784)).reshape([1, 28, 28]);
        Gan::new(generator, Sequential::input([1, 28, 28]).flatten().dense(1)).unwrap()
    };
    let config = GanConfig::new().epochs(1).progress_every(0);
    let (sigmoid, tanh, linear) = (gan(Sequential::sigmoid), gan(Sequential::tanh), gan(|network| network));
    for (gan, images, range) in [
        (&sigmoid, &normalised, "[0, 1], since the generator's sigmoid"),
        (&sigmoid, &changed(&grey, |v| 2.0 * v - 1.0), "[0, 1], since the generator's sigmoid"),
        (&tanh, &changed(&grey, |v| 255.0 * v), "[-1, 1], since the generator's tanh"),
    ] {
        for error in [
            gan_step(&mut gan.clone(), images).map(drop).unwrap_err(),
            train_gan(&mut gan.clone(), images, &config).map(drop).unwrap_err(),
        ] {
            let text = error.to_string();
            assert!(text.starts_with("real images, image ") && text.contains(range), "{text}");
        }
    }
    for (gan, images) in [(&sigmoid, &grey), (&tanh, &changed(&grey, |v| 2.0 * v - 1.0)), (&linear, &normalised)] {
        gan_step(&mut gan.clone(), images).unwrap();
        train_gan(&mut gan.clone(), images, &config).unwrap();
    }
}

#[test]
fn inputs_that_are_no_numbers_are_refused_everywhere() {
    let network = Sequential::input([3]).dense(2);
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut images = digits(20).images().clone();
        images[[7, 0, 3, 5]] = value;
        let error = digits(20).with_images(images).unwrap_err().to_string();
        assert!(error.contains("image 7, channel 0, row 3, column 5: expected a finite value"), "{error}");
        let mut input = ArrayD::zeros(vec![4, 3]);
        input[[2, 1]] = value;
        let error = network.predict(&input).unwrap_err().to_string();
        assert_eq!(error, format!("predict, row 2, value 1: expected a finite value, got {value}"));
        // In another order in memory it is the same value.
        let turned = ArrayD::from_shape_vec(vec![3, 4], vec![0.0; 12]).unwrap();
        let mut turned = turned.reversed_axes();
        turned[[2, 1]] = value;
        assert!(network.predict(&turned).unwrap_err().to_string().starts_with("predict, row 2, value 1"));
    }
}

#[test]
fn a_learning_rate_that_moves_nothing_is_refused() {
    let images = digits(20);
    let mut model = Autoencoder::tiny(2).unwrap();
    for rate in [0.0, -0.001, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e-60, 1e-300, 1e39, 1e300] {
        let error = train_ae(&mut model, &images, &quiet().learning_rate(rate)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument);
        let text = error.to_string();
        assert!(text.starts_with("TrainConfig::learning_rate: expected a number "), "{text}");
        assert!(text.contains(&format!(", got {rate}. 0.001 suits Adam")), "{text}");
        let mut gan = Gan::convolutional(2).unwrap().generator_optimizer(Optimizer::adam(), rate);
        let text = gan_step(&mut gan, &images).unwrap_err().to_string();
        assert!(text.starts_with("Gan::generator_optimizer, learning rate: expected a number "), "{text}");
    }
    let all = Optimizer::adamw().weight_decay(2.0);
    let text = train_ae(&mut model, &images, &quiet().optimizer(all).learning_rate(0.5)).unwrap_err().to_string();
    assert!(
        text.starts_with("Optimizer::weight_decay: expected a number below 1 / the learning rate of 0.5"),
        "{text}"
    );
    for decay in [f64::NAN, -1.0, f64::INFINITY, 1e300] {
        let optimizer = Optimizer::adam().weight_decay(decay);
        assert!(train_ae(&mut model, &images, &quiet().optimizer(optimizer)).is_err(), "{decay}");
    }
    for weight in [f64::NAN, -1.0, f64::INFINITY] {
        assert!(train_vae(&mut vae(), &images, &quiet().kl_weight(weight)).is_err(), "{weight}");
    }
    for noise in [f32::NAN, -1.0, f32::INFINITY] {
        assert!(train_ae(&mut model, &images, &quiet().input_noise(noise)).is_err(), "{noise}");
    }
}

#[test]
fn settings_that_a_model_does_not_use_are_refused() {
    let images = digits(20);
    let head = Classifier::linear(Autoencoder::tiny(2).unwrap().encoder(), 10).unwrap();
    let loss = "TrainConfig::loss: expected the softmax cross-entropy of a classifier, got mean squared error";
    let weight = "TrainConfig::kl_weight: expected a variational autoencoder, which has a divergence, got ";
    for (error, expected) in [
        (train_classifier(&mut head.clone(), &images, &quiet().loss(Loss::MeanSquaredError)), loss.into()),
        (train_classifier(&mut head.clone(), &images, &quiet().kl_weight(1.0)), format!("{weight}a classifier")),
        (
            train_ae(&mut Autoencoder::tiny(2).unwrap(), &images, &quiet().kl_weight(2.0)),
            format!("{weight}an autoencoder"),
        ),
    ] {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument);
        assert_eq!(error.to_string(), format!("{expected}. Leave the setting out"));
    }
    train_vae(&mut vae(), &images, &quiet().kl_weight(2.0).loss(Loss::BinaryCrossEntropy)).unwrap();
}

/// An autoencoder with a batch normalisation after a dense layer.
fn normalised() -> Autoencoder {
    let encoder = Sequential::input([1, 28, 28]).flatten().dense(16).batch_norm().relu().dense(2);
    Autoencoder::new(encoder, Sequential::input([2]).dense(784).sigmoid().reshape([1, 28, 28])).unwrap()
}

/// One with a batch normalisation of feature maps only.
fn of_feature_maps() -> Autoencoder {
    let encoder = Sequential::input([1, 28, 28]).conv2d(2, 3).stride(2).batch_norm().flatten().dense(2);
    Autoencoder::new(encoder, Sequential::input([2]).dense(784).sigmoid().reshape([1, 28, 28])).unwrap()
}

fn assert_needs_two(error: Error, place: &str, layer: &str) {
    let text = error.to_string();
    let expected = format!(
        "{place}: expected at least 2 images, of which a batch normalisation takes mean and variance ({layer}), got 1"
    );
    assert!(text.starts_with(&expected), "{text}, not {expected}");
    assert!(text.contains("take larger batches"), "{text}");
}

#[test]
fn batch_normalisation_of_single_rows_is_refused() {
    let images = digits(5);
    let one = images.take(1);
    let layer = "encoder, layer 3, batch_norm";
    let before = reconstruct(&normalised(), &images).unwrap();
    let mut model = normalised();
    let error = train_ae(&mut model, &images, &quiet().batch_size(1)).unwrap_err();
    assert_needs_two(error, "TrainConfig::batch_size", layer);
    assert_needs_two(train_ae(&mut model, &one, &quiet()).unwrap_err(), "training images", layer);
    assert_eq!(reconstruct(&model, &images).unwrap().images(), before.images());
    // The folds of two images train on one.
    for (train, validation) in images.take(2).folds(2, 0).unwrap().progress_every(0) {
        let error = train_ae(&mut normalised(), &train, &quiet().validation(&validation)).unwrap_err();
        assert_needs_two(error, "training images", layer);
    }
    // A validation set of one image is fine, and so are feature maps of more than one pixel, and a single batch.
    train_ae(&mut model, &images, &quiet().validation(&one)).unwrap();
    train_ae(&mut of_feature_maps(), &images, &quiet().batch_size(1)).unwrap();
    train_ae(&mut of_feature_maps(), &one, &quiet()).unwrap();

    // A feature map of one pixel is a row.
    let encoder = Sequential::input([1, 28, 28]).conv2d(3, 28).batch_norm().flatten().dense(2);
    let decoder = || Sequential::input([2]).dense(784).reshape([1, 28, 28]);
    let mut vae = Vae::new(encoder, decoder()).unwrap();
    let error = train_vae(&mut vae, &images, &quiet().batch_size(1)).unwrap_err();
    assert_needs_two(error, "TrainConfig::batch_size", "encoder, layer 2, batch_norm");

    // Of a classifier what is trained counts: a frozen encoder normalises with what it has.
    let head = |network: Sequential| network.dense(10);
    let plain = Classifier::new(normalised().encoder().clone(), head(Sequential::input([2]))).unwrap();
    let error = train_classifier(&mut plain.clone(), &images, &quiet().batch_size(1)).unwrap_err();
    assert_needs_two(error, "TrainConfig::batch_size", layer);
    train_classifier(&mut plain.frozen(), &images, &quiet().batch_size(1)).unwrap();
    let both = Classifier::new(normalised().encoder().clone(), head(Sequential::input([2]).batch_norm())).unwrap();
    let error = train_classifier(&mut both.frozen(), &images, &quiet().batch_size(1)).unwrap_err();
    assert_needs_two(error, "TrainConfig::batch_size", "head, layer 1, batch_norm");

    let generator = Sequential::input([4]).dense(16).batch_norm().relu().dense(784).sigmoid().reshape([1, 28, 28]);
    let discriminator = Sequential::input([1, 28, 28]).flatten().dense(1);
    let mut gan = Gan::new(generator, discriminator).unwrap();
    let layer = "generator, layer 2, batch_norm";
    assert_needs_two(gan_step(&mut gan, &one).unwrap_err(), "gan_step", layer);
    let config = GanConfig::new().epochs(1).progress_every(0);
    let error = train_gan(&mut gan, &images, &config.clone().batch_size(1)).unwrap_err();
    assert_needs_two(error, "GanConfig::batch_size", layer);
    assert_needs_two(train_gan(&mut gan, &one, &config).unwrap_err(), "training images", layer);
    gan_step(&mut gan, &images.take(2)).unwrap();
    train_gan(&mut gan, &images, &config.batch_size(2)).unwrap();
}

/// Batches of 4 of 9 images are 4 and 5 where a batch normalisation needs two rows: as a training with batches of 5 of
/// which the first has 4.
#[test]
fn a_last_batch_of_one_joins_the_one_before_it() {
    // Each image is one of two constants, so that which images a batch has does not matter where all are equal.
    let images = |n: usize| Dataset::new(Array4::from_elem((n, 1, 28, 28), 0.9), Array1::zeros(n), ["grey"]).unwrap();
    let sgd = |rate| quiet().optimizer(Optimizer::sgd()).learning_rate(rate);
    let images_of = |model: &Autoencoder| reconstruct(model, &digits(4)).unwrap().images().clone();
    let difference = |a: &Array4<f32>, b: &Array4<f32>| (a - b).iter().fold(0.0f32, |most, d| most.max(d.abs()));
    // Equal images have no variance: every batch of them makes the same step, whatever its size, and one step more is
    // another result.
    let trained = |mut model: Autoencoder, n: usize, rate: f64| {
        let history = train_ae(&mut model, &images(n), &sgd(rate).batch_size(4)).unwrap();
        assert!(history.loss[0].is_finite());
        images_of(&model)
    };
    let two_steps = trained(normalised(), 8, 100.0);
    assert!(difference(&trained(normalised(), 9, 100.0), &two_steps) < 1e-5);
    assert!(difference(&trained(normalised(), 10, 100.0), &two_steps) > 1e-3);
    // Without such a layer the last one is a step of its own.
    let tiny = || Autoencoder::tiny(2).unwrap();
    assert!(difference(&trained(tiny(), 9, 1.0), &trained(tiny(), 8, 1.0)) > 1e-3);
}

/// The processor's treatment of tiny numbers is changed in no thread, and predictions do not
/// depend on it.
#[test]
fn predictions_do_not_depend_on_the_batch_or_the_pool() {
    use std::hint::black_box;
    let network = Sequential::input([64]).dense(48).leaky_relu(0.2).dense(32).sigmoid().dense(20).build().unwrap();
    let linear = Sequential::input([64]).dense(48).batch_norm().dense(20).build().unwrap();
    train_ae(&mut normalised(), &digits(20), &quiet()).unwrap();
    let rows = ArrayD::from_shape_fn(vec![256, 64], |at| (at[0] * 64 + at[1]).wrapping_mul(7919) as f32 % 17.0 * 1e-39);
    let mut subnormal = 0;
    for network in [&network, &linear] {
        let bits = |rows: &ArrayD<f32>| network.predict(rows).unwrap().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        let all = bits(&rows);
        subnormal += all.iter().filter(|bits| f32::from_bits(**bits).is_subnormal()).count();
        for threads in [1, 2, 5] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            for (size, start) in [(64, 0), (64, 192), (1, 0), (1, 255), (129, 100)] {
                let some = rows.slice_each_axis(|axis| match axis.axis.index() {
                    0 => (start..start + size).into(),
                    _ => (..).into(),
                });
                let alone = pool.install(|| bits(&some.to_owned()));
                assert_eq!(alone, all[start * 20..][..size * 20], "{size} rows on {threads} threads");
            }
        }
    }
    assert!(subnormal > 1000, "{subnormal}");
    let products = rayon::broadcast(|_| black_box(f32::MIN_POSITIVE) * black_box(0.25));
    assert!(products.iter().all(|product| product.is_subnormal()), "{products:?}");
}

#[test]
fn labels_that_a_classifier_does_not_know_are_refused() {
    let classifier = Classifier::convolutional(10).unwrap();
    let images = digits(4).images().clone();
    let error = Dataset::new(images.clone(), Array1::from_elem(4, 10), (0..10).map(|n| n.to_string())).unwrap_err();
    assert!(error.to_string().contains("label 0: expected a number below 10"), "{error}");
    let eleven = Dataset::new(images, Array1::from_elem(4, 10), (0..11).map(|n| n.to_string())).unwrap();
    for error in [
        train_classifier(&mut classifier.clone(), &eleven, &quiet()).map(drop).unwrap_err(),
        classify(&classifier, &eleven).map(drop).unwrap_err(),
    ] {
        assert!(error.to_string().starts_with("images: expected 10 classes"), "{error}");
    }
}

#[test]
fn a_loss_that_panics_is_refused_before_the_training() {
    let (images, mut model) = (Dataset::built_in_digits(10, 0).unwrap(), Autoencoder::tiny(2).unwrap());
    let config = TrainConfig::new().epochs(1).loss(Loss::dfdx("mine", |_, _| panic!("a mistake in a cell")));
    let error = train_ae(&mut model, &images, &config).unwrap_err().to_string();
    let got = "a panic with an output and a target of shape (2, 784): a mistake in a cell";
    assert_eq!(error, format!("the loss, mine: expected a function that gives a value, got {got}"));
}
