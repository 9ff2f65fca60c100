//! What a training measures beside the loss: right, of all models, kept by a checkpoint, without effect on its bits.

use latentlab::{
    Autoencoder, Classifier, Dataset, ErrorKind, Gan, GanConfig, History, LayerActivations, Loss, Optimizer,
    Sequential, TrainConfig, Training, Vae, Watch,
    ndarray::{Array4, Axis, arr1},
    train_ae, train_classifier, train_gan, train_pairs, train_vae,
};

fn digits() -> Dataset {
    Dataset::built_in_digits(60, 0).unwrap()
}

fn config() -> TrainConfig {
    TrainConfig::new().epochs(2).batch_size(20).progress_every(0)
}

fn all() -> [Watch; 3] {
    [Watch::GradientNorms, Watch::DeadUnits, Watch::LearningRate]
}

fn small() -> Autoencoder {
    Autoencoder::new(
        Sequential::input([1, 28, 28]).conv2d(4, 3).stride(3).relu().flatten().dense(8).relu().dense(2),
        Sequential::input([2]).dense(16).relu().dense(784).sigmoid().reshape([1, 28, 28]),
    )
    .unwrap()
}

fn names(curves: &[(String, Vec<f64>)]) -> Vec<&str> {
    curves.iter().map(|(name, _)| name.as_str()).collect()
}

const LAYERS: [&str; 5] = [
    "encoder, layer 1, conv2d",
    "encoder, layer 4, dense",
    "encoder, layer 6, dense",
    "decoder, layer 1, dense",
    "decoder, layer 3, dense",
];

/// One step of gradient descent moves a layer by the learning rate times its gradient.
#[test]
fn a_norm_is_that_of_the_layers_gradient_before_clipping() {
    let (images, rate) = (digits(), 0.5);
    let config = config().epochs(1).batch_size(60).optimizer(Optimizer::sgd()).learning_rate(rate);
    let norms = |config: TrainConfig| {
        let mut after = small();
        let history = train_ae(&mut after, &images, &config.watch([Watch::GradientNorms])).unwrap();
        (history.gradient_norms, after)
    };
    let (plain, after) = norms(config.clone());
    assert_eq!(names(&plain), LAYERS);
    let before = small();
    for ((name, norm), (network, layer)) in plain.iter().zip([("e", 1), ("e", 4), ("e", 6), ("d", 1), ("d", 3)]) {
        let of = |model: &Autoencoder| {
            let network = if network == "e" { model.encoder() } else { model.decoder() };
            ["weight", "bias"].map(|kind| network.weights(&format!("{layer}.{kind}")).unwrap())
        };
        let moved = of(&before).into_iter().zip(of(&after)).map(|(before, after)| (after - before) / rate as f32);
        let expected = moved.map(|moved| moved.mapv(|g| f64::from(g).powi(2)).sum()).sum::<f64>().sqrt();
        assert!((norm[0] - expected).abs() < 1e-3 * expected, "{name}: {norm:?}, not {expected}");
    }
    assert_eq!(norms(config.clip_norm(1e-6)).0, plain);
}

/// As the layers themselves tell of the first 32 images.
#[test]
fn dead_units_are_those_that_are_0_for_all_images_of_the_sample() {
    let images = digits();
    let mut autoencoder = small();
    // One of four channels and one of eight units that no image of this kind can reach.
    let encoder = autoencoder.encoder().clone();
    let bias = |name: &str| {
        let mut bias = encoder.weights(name).unwrap();
        bias[[1]] = -1e3;
        bias
    };
    let mut dying = encoder.clone();
    ["1.bias", "4.bias"].iter().for_each(|name| dying.set_weights(name, &bias(name)).unwrap());
    autoencoder = Autoencoder::new(dying, autoencoder.decoder().clone()).unwrap();
    let history = train_ae(&mut autoencoder, &images, &config().watch([Watch::DeadUnits])).unwrap();
    assert_eq!(
        names(&history.dead_units),
        ["encoder, layer 2, relu", "encoder, layer 5, relu", "decoder, layer 2, relu"]
    );

    let sample = images.take(32).images().clone().into_dyn();
    let inside = autoencoder.encoder().activations(&sample).unwrap();
    let codes = autoencoder.encoder().predict(&sample).unwrap();
    let decoded = autoencoder.decoder().activations(&codes).unwrap();
    let share = |layer: &LayerActivations| {
        let dead = layer.values.axis_iter(Axis(1)).filter(|unit| unit.iter().all(|value| *value == 0.0)).count();
        dead as f64 / layer.values.len_of(Axis(1)) as f64
    };
    let expected = [share(&inside[1]), share(&inside[4]), share(&decoded[1])];
    assert!(expected[0] >= 0.25 && expected[1] >= 0.125);
    let last: Vec<f64> = history.dead_units.iter().map(|(_, shares)| shares[1]).collect();
    assert_eq!(last, expected);
}

#[test]
fn watching_changes_no_bit() {
    let images = digits();
    let (mut plain, mut watched) = (small(), small());
    let config = config().clip_norm(1.0);
    let history = train_ae(&mut plain, &images, &config).unwrap();
    let all = [&all()[..], &[Watch::Reconstructions(images.take(3))]].concat();
    let history_watched = train_ae(&mut watched, &images, &config.watch(all)).unwrap();
    assert_eq!(history.loss, history_watched.loss);
    for name in plain.encoder().weight_names() {
        assert_eq!(plain.encoder().weights(&name).unwrap(), watched.encoder().weights(&name).unwrap(), "{name}");
    }
    assert!(history.gradient_norms.is_empty() && history.dead_units.is_empty());
    assert!(history_watched.gradient_norms.iter().all(|(_, norms)| norms.len() == 2 && norms.iter().all(|n| *n > 0.0)));
}

#[test]
fn every_model_is_watched() {
    let images = digits();
    let watch = config().watch(all());
    let mut vae = Vae::new(
        Sequential::input([1, 28, 28]).flatten().dense(8).relu(),
        Sequential::input([2]).dense(8).relu().dense(784).sigmoid().reshape([1, 28, 28]),
    )
    .unwrap();
    let history = train_vae(&mut vae, &images, &watch.clone().loss(Loss::BinaryCrossEntropy)).unwrap();
    let norms =
        ["encoder, layer 2, dense", "heads, layer 1, dense", "decoder, layer 1, dense", "decoder, layer 3, dense"];
    assert_eq!(names(&history.gradient_norms), norms);
    assert_eq!(names(&history.dead_units), ["encoder, layer 3, relu", "decoder, layer 2, relu"]);
    assert_eq!(history.dead_units[1].1.len(), 2);

    let mut classifier = Classifier::dense(vae.encoder(), 10).unwrap().frozen();
    let history = train_classifier(&mut classifier, &images, &watch).unwrap();
    assert_eq!(names(&history.gradient_norms), ["head, layer 1, dense", "head, layer 3, dense"]);
    assert_eq!(names(&history.dead_units), ["head, layer 2, relu"]);

    let mut network = Sequential::input([1, 28, 28]).conv2d(2, 3).same().relu().conv2d(1, 3).same();
    let history = train_pairs(&mut network, &images, &images, &watch).unwrap();
    assert_eq!(names(&history.gradient_norms), ["network, layer 1, conv2d", "network, layer 3, conv2d"]);
    assert_eq!(names(&history.dead_units), ["network, layer 2, relu"]);

    let mut gan = Gan::new(
        Sequential::input([4]).dense(8).relu().dense(784).sigmoid().reshape([1, 28, 28]),
        Sequential::input([1, 28, 28]).flatten().dense(8).relu().dense(1),
    )
    .unwrap();
    let settings = GanConfig::new().epochs(2).batch_size(20).progress_every(0).watch(all());
    let history = train_gan(&mut gan, &images, &settings).unwrap();
    let norms = [
        "generator, layer 1, dense",
        "generator, layer 3, dense",
        "discriminator, layer 2, dense",
        "discriminator, layer 4, dense",
    ];
    assert_eq!(names(&history.gradient_norms), norms);
    assert!(history.gradient_norms.iter().all(|(_, norms)| norms.len() == 2 && norms.iter().all(|norm| *norm > 0.0)));
    assert_eq!(names(&history.dead_units), ["generator, layer 2, relu", "discriminator, layer 3, relu"]);
    history.plot_gradient_norms().unwrap().to_svg().unwrap();
    history.plot_dead_units().unwrap().to_svg().unwrap();
    let mut run = Training::of(gan, &images, &settings).unwrap();
    run.epoch().unwrap();
    assert_eq!(names(&run.history().gradient_norms), norms);
}

/// Also where it was not watched all the time: there are gaps then.
#[test]
fn a_checkpoint_keeps_what_was_watched() {
    let (images, folder) = (digits(), tempfile::tempdir().unwrap());
    let file = folder.path().join("training.safetensors");
    let train = |config: TrainConfig| train_ae(&mut small(), &images, &config.checkpoint(&file)).unwrap();
    let watched = |epochs| config().epochs(epochs).watch(all());
    let whole = train(watched(4));
    train(watched(2));
    let resumed = train(watched(4).resume(&file));
    let same = |a: &History, b: &History| (&a.gradient_norms, &a.dead_units) == (&b.gradient_norms, &b.dead_units);
    assert!(same(&resumed, &whole) && whole.gradient_norms.len() == LAYERS.len());

    train(config().epochs(1));
    train(watched(2).resume(&file));
    train(config().epochs(3).resume(&file));
    let gaps = train(watched(4).resume(&file));
    for (curves, all) in [(&gaps.gradient_norms, &whole.gradient_norms), (&gaps.dead_units, &whole.dead_units)] {
        for ((name, values), (_, whole)) in curves.iter().zip(all) {
            assert_eq!(values.iter().map(|v| v.is_nan()).collect::<Vec<_>>(), [true, false, true, false], "{name}");
            assert_eq!((values[1], values[3]), (whole[1], whole[3]), "{name}");
        }
    }
    gaps.plot_gradient_norms().unwrap().to_svg().unwrap();
    gaps.plot_dead_units().unwrap().to_svg().unwrap();
}

#[test]
fn what_a_model_does_not_have_is_refused() {
    let images = digits();
    let of = |images: &Dataset| config().watch([Watch::Reconstructions(images.clone())]);
    let error = |result: latentlab::Result<History>, kind| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        error.to_string()
    };
    let argument = ErrorKind::Argument;
    let none = error(train_ae(&mut small(), &images, &of(&images.take(0))), argument);
    assert_eq!(none, "TrainConfig::watch: expected at least 1 image to reconstruct, got none");
    let other = Dataset::new(Array4::zeros((2, 1, 8, 8)), arr1(&[0, 0]), ["a"]).unwrap();
    error(train_ae(&mut small(), &images, &of(&other)), ErrorKind::Shape);

    let mut classifier = Classifier::linear(small().encoder(), 10).unwrap();
    let no = error(train_classifier(&mut classifier, &images, &of(&images)), argument);
    let expected = "TrainConfig::watch: expected no Watch::Reconstructions: a classifier does not reconstruct images";
    assert!(no.starts_with(expected), "{no}");
    let mut network = Sequential::input([1, 28, 28]).conv2d(1, 3).same();
    error(train_pairs(&mut network, &images, &images, &of(&images)), argument);
    let no_relu = error(train_pairs(&mut network, &images, &images, &config().watch(all())), argument);
    assert_eq!(no_relu, "TrainConfig::watch: expected a model with a relu layer for Watch::DeadUnits, got none");
    let mut gan = Gan::convolutional(4).unwrap();
    let gan_config = GanConfig::new().watch([Watch::Reconstructions(images.clone())]);
    let no = train_gan(&mut gan, &images, &gan_config).unwrap_err().to_string();
    assert!(no.starts_with("GanConfig::watch: "), "{no}");
    let unwatched = train_ae(&mut small(), &images, &config()).unwrap();
    assert!(unwatched.plot_gradient_norms().is_err() && unwatched.plot_dead_units().is_err());
}
