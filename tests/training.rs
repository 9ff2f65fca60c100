//! What training promises: every image counts, the seed decides, the best weights stay, a diverged training loses
//! nothing.

use latentlab::{
    Autoencoder, Classifier, Dataset, ErrorKind, Gan, GanConfig, Loss, Optimizer, Result, Schedule, Sequential,
    StoppedBy, TrainConfig, Vae, embed, evaluate, reconstruct, train_ae, train_classifier, train_gan, train_pairs,
    train_vae,
};

fn digits(n: usize) -> Dataset {
    Dataset::built_in_digits(n, 0).unwrap()
}

fn quiet() -> TrainConfig {
    TrainConfig::new().progress_every(0)
}

/// A dense autoencoder that ends in a sigmoid.
fn sigmoid_autoencoder() -> Autoencoder {
    Autoencoder::new(
        Sequential::input([1, 28, 28]).flatten().dense(32).leaky_relu(0.2).dropout(0.2).dense(4),
        Sequential::input([4]).dense(32).selu().dense(784).sigmoid().reshape([1, 28, 28]),
    )
    .unwrap()
}

fn bits(autoencoder: &Autoencoder) -> Vec<u32> {
    reconstruct(autoencoder, &digits(8)).unwrap().images().iter().map(|v| v.to_bits()).collect()
}

#[test]
fn the_loss_falls_and_the_history_is_complete() {
    let (train, test) = digits(1200).split(1000, 200).unwrap();
    let mut autoencoder = Autoencoder::tiny(4).unwrap().seed(1);
    let untrained = evaluate(&autoencoder, &test, Loss::MeanSquaredError).unwrap();
    let history = train_ae(&mut autoencoder, &train, &quiet().epochs(20).batch_size(100).validation(&test)).unwrap();
    assert_eq!((history.loss.len(), history.validation_loss.len(), history.seconds.len()), (20, 20, 20));
    let trained = evaluate(&autoencoder, &test, Loss::MeanSquaredError).unwrap();
    assert_eq!(history.validation_loss[19], trained);
    assert!(trained < 0.7 * untrained, "{untrained} before, {trained} after");
    assert!(history.loss.windows(2).filter(|pair| pair[1] < pair[0]).count() > 15, "{:?}", history.loss);
}

#[test]
fn every_image_counts_also_in_the_last_batch() {
    let (images, config) = (digits(103), quiet().epochs(1).batch_size(25).learning_rate(1e-30));
    let mut autoencoder = Autoencoder::tiny(2).unwrap();
    let expected = evaluate(&autoencoder, &images, Loss::MeanSquaredError).unwrap();
    // With such a learning rate nothing moves, so the mean over the batches is the mean over the images.
    let history = train_ae(&mut autoencoder, &images, &config).unwrap();
    assert!((history.loss[0] - expected).abs() < 1e-9, "expected {expected}, got {}", history.loss[0]);
}

#[test]
fn every_optimizer_learns() {
    let images = digits(500);
    for (optimizer, learning_rate) in [
        (Optimizer::adamw(), 0.001),
        (Optimizer::adamax(), 0.002),
        (Optimizer::adagrad(), 0.01),
        (Optimizer::radam(), 0.001),
        (Optimizer::sgd().momentum(0.9).nesterov(), 0.5),
    ] {
        let config = quiet().epochs(10).batch_size(50).optimizer(optimizer).learning_rate(learning_rate);
        let history = train_ae(&mut Autoencoder::tiny(4).unwrap().seed(1), &images, &config).unwrap();
        assert!(history.loss[9] < 0.9 * history.loss[0], "{}: {:?}", optimizer.name(), history.loss);
    }
}

#[test]
fn a_schedule_changes_the_steps_and_the_history_says_how() {
    let (train, test) = digits(300).split(200, 100).unwrap();
    let run = |schedule| {
        let config = quiet().epochs(6).batch_size(50).learning_rate(0.01).schedule(schedule).validation(&test);
        train_ae(&mut Autoencoder::tiny(4).unwrap().seed(1), &train, &config).unwrap()
    };
    let (constant, cosine) = (run(Schedule::constant()), run(Schedule::cosine()));
    assert_eq!(constant.learning_rate, [0.01; 6]);
    let middle = (cosine.learning_rate[3] - 0.005).abs();
    assert!(cosine.learning_rate.is_sorted_by(|a, b| a > b) && middle < 1e-9, "{:?}", cosine.learning_rate);
    assert_eq!(constant.loss[0], cosine.loss[0]);
    assert_ne!(constant.loss[2], cosine.loss[2]);
    // No loss is ever half of the lowest one before: a plateau from the first epoch on.
    let plateau = run(Schedule::reduce_on_plateau().patience(1).threshold(0.5).factor(0.1));
    let expected = [0.01, 0.01, 0.01, 0.001, 0.001, 1e-4];
    let near = |(rate, expected): (&f64, f64)| (rate - expected).abs() < 1e-12;
    assert!(plateau.learning_rate.iter().zip(expected).all(near), "{:?}", plateau.learning_rate);
}

/// Layers of every kind that trains or observes something, with strides, dropout and odd sizes.
fn convolutional_autoencoder() -> Autoencoder {
    Autoencoder::new(
        Sequential::input([1, 28, 28])
            .conv2d(5, 3)
            .same()
            .batch_norm()
            .leaky_relu(0.2)
            .max_pool2d(3)
            .conv2d(17, 3)
            .stride(2)
            .padding(1)
            .relu()
            .dropout(0.3)
            .flatten()
            .dense(6)
            .batch_norm()
            .tanh(),
        Sequential::input([6])
            .dense(3 * 16)
            .selu()
            .reshape([3, 4, 4])
            .conv_transpose2d(12, 3)
            .stride(2)
            .padding(1)
            .batch_norm()
            .relu()
            .up_sample2d(2)
            .conv2d(9, 3)
            .padding(1)
            .leaky_relu(0.2)
            .conv_transpose2d(1, 3)
            .stride(2)
            .same()
            .sigmoid(),
    )
    .unwrap()
}

/// Every number of an autoencoder, moving statistics included: the bytes of its file.
fn file(autoencoder: &Autoencoder, name: &str) -> Vec<u8> {
    let path = std::env::temp_dir().join(format!("latentlab-training-{name}-{}.safetensors", std::process::id()));
    autoencoder.save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    bytes
}

/// Two epochs with shuffling, noise and a last, smaller batch: the trained autoencoder's file, and the losses.
fn two_epochs(
    name: &str,
    mut autoencoder: Autoencoder,
    images: &Dataset,
    seed: u64,
    threads: usize,
) -> (Vec<u8>, Vec<f64>) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let (training, validation) = images.split(images.len() - 9, 9).unwrap();
        let config = quiet().epochs(2).batch_size(37).input_noise(0.3).seed(seed).loss(Loss::BinaryCrossEntropy);
        let history = train_ae(&mut autoencoder, &training, &config.validation(&validation)).unwrap();
        (file(&autoencoder, &format!("{name}-{threads}")), [history.loss, history.validation_loss].concat())
    })
}

#[test]
fn the_seed_decides_and_the_threads_do_not() {
    let small = [12, 24, 48];
    let table = [
        ("dense", sigmoid_autoencoder(), 300),
        ("convolutions", convolutional_autoencoder(), 100),
        ("deep_dense", Autoencoder::deep_dense(2).unwrap(), 100),
        ("convolutional", Autoencoder::convolutional(32).unwrap(), 59),
        ("strided", Autoencoder::strided(small, 128, 2).unwrap(), 100),
        ("wide", Autoencoder::wide().unwrap(), 59),
        ("tiny", Autoencoder::tiny(4).unwrap(), 300),
    ];
    for (name, autoencoder, images) in table {
        let (autoencoder, images) = (autoencoder.seed(5), digits(images));
        let train = |seed, threads| two_epochs(name, autoencoder.clone(), &images, seed, threads);
        let one = train(0, 1);
        assert_eq!(one.1.len(), 4);
        for threads in 1..=4 {
            assert!(one == train(0, threads), "{name}, {threads} threads");
        }
        assert!(one != train(1, 4), "{name}: another seed");
    }
}

#[test]
fn another_process_trains_to_the_same_bits() {
    const CHILD: &str = "LATENTLAB_TEST_CHILD";
    let images = digits(100);
    let train = |threads| {
        let (bytes, losses) = two_epochs("process", convolutional_autoencoder(), &images, 3, threads);
        // FNV-1a, to have something short to print
        let hash = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        format!("trained {:x} {losses:?}", bytes.iter().fold(0xcbf2_9ce4_8422_2325, hash))
    };
    if std::env::var_os(CHILD).is_some() {
        println!("{}", train(3));
        return;
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["another_process_trains_to_the_same_bits", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains(&train(2)), "{text}");
}

#[test]
fn early_stopping_restores_the_best_weights() {
    let (train, test) = digits(160).split(60, 100).unwrap();
    let mut autoencoder = sigmoid_autoencoder().seed(2);
    // So few images, so high a rate: it over-fits at once.
    let config = quiet().epochs(400).batch_size(10).learning_rate(0.02).validation(&test).early_stopping(4);
    let history = train_ae(&mut autoencoder, &train, &config).unwrap();
    assert_eq!(history.stopped_by, Some(StoppedBy::EarlyStopping), "{history}");
    assert_eq!(history.epochs(), history.best_epoch + 4);
    let lowest = history.validation_loss.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(history.validation_loss[history.best_epoch - 1], lowest);
    assert_eq!(evaluate(&autoencoder, &test, Loss::MeanSquaredError).unwrap(), lowest);
    assert!(history.validation_loss.last().unwrap() > &lowest);
}

#[test]
fn a_fraction_is_the_last_images() {
    let images = digits(200);
    let (train, last) = images.split(150, 50).unwrap();
    let by_hand = train_ae(&mut sigmoid_autoencoder(), &train, &quiet().epochs(2).validation(&last)).unwrap();
    let fraction = train_ae(&mut sigmoid_autoencoder(), &images, &quiet().epochs(2).validation_fraction(0.25)).unwrap();
    assert_eq!(by_hand.validation_loss, fraction.validation_loss);
    assert_eq!(by_hand.loss, fraction.loss);
}

#[test]
fn cross_entropy_is_the_same_from_logits_and_from_probabilities() {
    let images = digits(100);
    let from_logits = evaluate(&sigmoid_autoencoder(), &images, Loss::BinaryCrossEntropy).unwrap();
    let probabilities = reconstruct(&sigmoid_autoencoder(), &images).unwrap();
    let pairs = probabilities.images().iter().zip(images.images());
    let terms =
        pairs.map(|(p, t)| -f64::from(*t) * f64::from(*p).ln() - (1.0 - f64::from(*t)) * (1.0 - f64::from(*p)).ln());
    let expected = terms.sum::<f64>() / (100.0 * 784.0);
    assert!((from_logits - expected).abs() < 1e-6, "expected {expected}, got {from_logits}");
}

#[test]
fn a_diverged_training_says_where_and_keeps_the_last_good_weights() {
    let images = digits(300);
    let mut autoencoder = Autoencoder::tiny(2).unwrap().seed(1);
    train_ae(&mut autoencoder, &images, &quiet().epochs(1)).unwrap();
    let before = bits(&autoencoder);
    let error = train_ae(&mut autoencoder, &images, &quiet().epochs(5).batch_size(50).learning_rate(1e30)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Diverged);
    let text = error.to_string();
    assert!(text.starts_with("epoch 1, step 2: the loss became inf"), "{text}");
    assert!(text.contains("The weights are as they were before training. Try a lower learning rate"), "{text}");
    assert_eq!(bits(&autoencoder), before);
    // Nothing is lost: it trains on.
    train_ae(&mut autoencoder, &images, &quiet().epochs(1)).unwrap();
    assert_ne!(bits(&autoencoder), before);
}

#[test]
fn bad_settings_and_images_are_refused() {
    let images = digits(20);
    let none = images.take(0);
    let other = Dataset::new(latentlab::ndarray::Array4::zeros((2, 1, 8, 8)), latentlab::ndarray::arr1(&[0, 0]), ["a"]);
    let other = other.unwrap();
    let table = [
        (&images, quiet().epochs(0), "TrainConfig::epochs: expected at least 1, got 0"),
        (&images, quiet().batch_size(0), "TrainConfig::batch_size: expected at least 1, got 0"),
        (&images, quiet().learning_rate(-1.0), "TrainConfig::learning_rate: expected a number above 0, got -1"),
        (&images, quiet().learning_rate(f64::NAN), "TrainConfig::learning_rate: expected a number above 0, got NaN"),
        (&images, quiet().input_noise(-0.1), "TrainConfig::input_noise: expected a number of at least 0, got -0.1"),
        (
            &images,
            quiet().optimizer(Optimizer::sgd().momentum(1.5)),
            "Optimizer::momentum: expected a number in [0, 1), got 1.5",
        ),
        (
            &images,
            quiet().schedule(Schedule::cosine().minimum(0.5)),
            "Schedule::minimum: expected a number from 0 to the learning rate, 0.001, got 0.5",
        ),
        (
            &images,
            quiet().early_stopping(0),
            "TrainConfig::early_stopping: expected a patience of at least 1 epoch, got 0",
        ),
        (&images, quiet().validation(&none), "TrainConfig::validation: expected at least 1 image, got none"),
        (&images, quiet().validation_fraction(1.0), "TrainConfig::validation_fraction: expected a share in (0, 1)"),
        (&images, quiet().validation_fraction(0.001), "TrainConfig::validation_fraction: expected a share in (0, 1)"),
        (&none, quiet(), "training images: expected at least 1, got none"),
        (&other, quiet(), "images: expected [1, 28, 28], the encoder's input, got [1, 8, 8]"),
        (&images, quiet().validation(&other), "images: expected [1, 28, 28], the encoder's input, got [1, 8, 8]"),
    ];
    for (images, config, expected) in table {
        let mut autoencoder = Autoencoder::tiny(2).unwrap();
        let error = train_ae(&mut autoencoder, images, &config).unwrap_err().to_string();
        assert!(error.starts_with(expected), "expected {expected}, got {error}");
    }
    assert!(embed(&Autoencoder::tiny(2).unwrap(), &other).is_err());
    assert!(evaluate(&Autoencoder::tiny(2).unwrap(), &none, Loss::MeanSquaredError).is_err());
    assert_eq!(embed(&Autoencoder::tiny(2).unwrap(), &none).unwrap().len(), 0);
}

/// All weights of some networks.
fn weights<'a>(networks: impl IntoIterator<Item = &'a Sequential>) -> Vec<f32> {
    let of = |network: &'a Sequential| {
        network.weight_names().into_iter().flat_map(|name| network.weights(&name).unwrap().into_iter())
    };
    networks.into_iter().flat_map(of).collect()
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

/// With a learning rate of 1, a step of gradient descent moves the weights by their gradients.
#[test]
fn gradients_are_clipped_in_every_training() {
    let images = digits(40);
    let encoder = || Sequential::input([1, 28, 28]).flatten().dense(8).tanh();
    let decoder = || Sequential::input([2]).dense(784).sigmoid().reshape([1, 28, 28]);
    type Step<'a> = &'a dyn Fn(&TrainConfig) -> Result<Vec<f32>>;
    let moved = |before: Vec<f32>, after: Vec<f32>| before.iter().zip(&after).map(|(a, b)| a - b).collect();
    let autoencoder = |config: &TrainConfig| {
        let mut model = Autoencoder::new(encoder().dense(2), decoder())?;
        let before = weights([model.encoder(), model.decoder()]);
        train_ae(&mut model, &images, config)?;
        Ok(moved(before, weights([model.encoder(), model.decoder()])))
    };
    let pairs = |config: &TrainConfig| {
        let mut model = encoder().dense(784).reshape([1, 28, 28]).build()?;
        let before = weights([&model]);
        train_pairs(&mut model, &images, &images, config)?;
        Ok(moved(before, weights([&model])))
    };
    let vae = |config: &TrainConfig| {
        let mut model = Vae::new(encoder(), decoder())?;
        let before = weights([model.encoder(), model.heads(), model.decoder()]);
        train_vae(&mut model, &images, config)?;
        Ok(moved(before, weights([model.encoder(), model.heads(), model.decoder()])))
    };
    let classifier = |config: &TrainConfig| {
        let mut model = Classifier::linear(&encoder().build()?, 10)?;
        let before = weights([model.encoder(), model.head()]);
        train_classifier(&mut model, &images, config)?;
        Ok(moved(before, weights([model.encoder(), model.head()])))
    };
    let steps: [(&str, Step); 4] =
        [("autoencoder", &autoencoder), ("pairs", &pairs), ("vae", &vae), ("classifier", &classifier)];
    let one_step = quiet().epochs(1).batch_size(40).optimizer(Optimizer::sgd()).learning_rate(1.0);
    for (model, step) in steps {
        let gradients = step(&one_step).unwrap();
        let (whole, largest) = (norm(&gradients), gradients.iter().fold(0.0f32, |a, g| a.max(g.abs())));
        assert_eq!(step(&one_step.clone().clip_norm(1e6)).unwrap(), gradients, "{model}");
        assert_eq!(step(&one_step.clone().clip_value(1e6)).unwrap(), gradients, "{model}");
        let clipped = step(&one_step.clone().clip_norm(0.5 * whole)).unwrap();
        assert!((norm(&clipped) / whole - 0.5).abs() < 1e-4, "{model}: {}", norm(&clipped) / whole);
        assert!(gradients.iter().zip(&clipped).all(|(g, c)| (0.5 * g - c).abs() < 1e-6), "{model}");
        let limit = 0.5 * largest;
        let clipped = step(&one_step.clone().clip_value(limit)).unwrap();
        let off = |(g, c): (&f32, &f32)| (g.clamp(-limit, limit) - c).abs() > 1e-6;
        assert!(!gradients.iter().zip(&clipped).any(off) && gradients.iter().any(|g| g.abs() > limit), "{model}");
    }
    for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let error = autoencoder(&one_step.clone().clip_norm(wrong)).unwrap_err().to_string();
        assert_eq!(error, format!("TrainConfig::clip_norm: expected a number above 0, got {wrong}"));
    }
    let error = autoencoder(&one_step.clip_norm(1.0).clip_value(1.0)).unwrap_err().to_string();
    assert_eq!(error, "TrainConfig::clip_value: expected clip_norm or clip_value, got both");
}

#[test]
fn each_network_of_a_gan_is_clipped_by_itself() {
    let step = |config: &GanConfig| {
        let generator = Sequential::input([4]).dense(784).sigmoid().reshape([1, 28, 28]);
        let discriminator = Sequential::input([1, 28, 28]).flatten().dense(8).tanh().dense(1).sigmoid();
        let gan = Gan::new(generator, discriminator).unwrap();
        let mut gan = gan.generator_optimizer(Optimizer::sgd(), 1.0).discriminator_optimizer(Optimizer::sgd(), 1.0);
        let before = [gan.generator(), gan.discriminator()].map(|network| weights([network]));
        train_gan(&mut gan, &digits(40), config).unwrap();
        let after = [gan.generator(), gan.discriminator()].map(|network| weights([network]));
        [0, 1].map(|n| before[n].iter().zip(&after[n]).map(|(a, b)| a - b).collect::<Vec<f32>>())
    };
    let config = GanConfig::new().epochs(1).batch_size(40).progress_every(0);
    let gradients = step(&config);
    assert_eq!(step(&config.clone().clip_norm(1e6)), gradients);
    let smallest = gradients.iter().map(|gradient| norm(gradient)).fold(f64::INFINITY, f64::min);
    for clipped in step(&config.clone().clip_norm(0.01 * smallest)) {
        assert!((norm(&clipped) / smallest - 0.01).abs() < 1e-4, "{} of {smallest}", norm(&clipped));
    }
    let clipped = step(&config.clip_value(1e-5));
    assert!(clipped.iter().flatten().all(|g| g.abs() < 1.1e-5) && clipped.iter().all(|g| norm(g) > 0.0));
}

/// Their bytes become numbers image by image, where an array is copied.
#[test]
fn images_of_files_train_and_predict_as_the_same_numbers_in_an_array() {
    let folder = tempfile::tempdir().unwrap();
    let (images, labels) = (folder.path().join("images"), folder.path().join("labels"));
    let n = 300;
    let header = |sizes: &[u32]| sizes.iter().flat_map(|size| size.to_be_bytes()).collect::<Vec<u8>>();
    let pixels = (0..n * 784).map(|i| (i % 997 * (i % 89) % 256) as u8);
    std::fs::write(&images, header(&[0x803, n, 28, 28]).into_iter().chain(pixels).collect::<Vec<u8>>()).unwrap();
    let classes = (0..n).map(|i| (i % 10) as u8);
    std::fs::write(&labels, header(&[0x801, n]).into_iter().chain(classes).collect::<Vec<u8>>()).unwrap();

    let of_files = Dataset::from_idx(&images, &labels).unwrap().shuffled(1);
    let array = Dataset::from_idx(&images, &labels).unwrap().shuffled(1);
    let (values, classes) = (array.images().clone(), array.class_names().to_vec());
    let of_array = Dataset::new(values, array.labels().clone(), classes).unwrap();
    let results = [of_files, of_array].map(|data| {
        let mut autoencoder = sigmoid_autoencoder().seed(3);
        let config = quiet().epochs(2).batch_size(64).loss(Loss::BinaryCrossEntropy).validation(&data.take(50));
        let history = train_ae(&mut autoencoder, &data, &config).unwrap();
        let codes = embed(&autoencoder, &data).unwrap();
        let made = reconstruct(&autoencoder, &data).unwrap();
        (history.loss, history.validation_loss, codes.points().clone(), made.images().clone())
    });
    assert_eq!(results[0].0.len(), 2);
    assert!(results[0] == results[1]);
}
