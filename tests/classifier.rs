//! What a classifier promises: it learns, a frozen encoder stays, a file gives the same answers, mistakes are
//! explained.

use latentlab::{
    Autoencoder, Classifier, Dataset, ErrorKind, Sequential, TrainConfig, classify, ndarray::Array4, train_classifier,
};

fn digits(n: usize) -> Dataset {
    Dataset::built_in_digits(n, 0).unwrap()
}

fn quiet() -> TrainConfig {
    TrainConfig::new().progress_every(0)
}

fn encoder() -> Sequential {
    Autoencoder::strided([4, 8, 16], 32, 10).unwrap().encoder().clone()
}

fn bits(classifier: &Classifier) -> Vec<u32> {
    classify(classifier, &digits(20)).unwrap().probabilities().iter().map(|p| p.to_bits()).collect()
}

fn codes(classifier: &Classifier) -> Vec<f32> {
    let images = digits(3).images().clone().into_dyn();
    classifier.encoder().predict(&images).unwrap().into_iter().collect()
}

#[test]
fn it_learns_and_the_history_holds_the_accuracy() {
    let (train, test) = digits(1200).split(1000, 200).unwrap();
    let mut classifier = Classifier::dense(&encoder(), 10).unwrap().seed(1);
    let history =
        train_classifier(&mut classifier, &train, &quiet().epochs(12).batch_size(50).validation(&test)).unwrap();
    assert_eq!((history.accuracy.len(), history.validation_accuracy.len()), (12, 12));
    let predictions = classify(&classifier, &test).unwrap();
    assert!((history.validation_accuracy[11] - predictions.accuracy()).abs() < 1e-12);
    assert!(predictions.accuracy() > 0.7, "{predictions}");
    assert!(history.accuracy[11] > history.accuracy[0] + 0.2, "{:?}", history.accuracy);
    let sums = predictions.probabilities().rows().into_iter().map(|row| row.sum());
    assert!(sums.into_iter().all(|sum| (sum - 1.0).abs() < 1e-5));
    assert_eq!(history.objective, "cross-entropy");
    assert!(history.plot_accuracy().unwrap().to_svg().unwrap().contains("accuracy"));
}

#[test]
fn a_frozen_encoder_stays_and_a_fine_tuned_one_moves() {
    let images = digits(300);
    let start = Classifier::linear(&encoder(), 10).unwrap();
    let train = |mut classifier: Classifier| {
        let history = train_classifier(&mut classifier, &images, &quiet().epochs(3).batch_size(37)).unwrap();
        (history.loss, codes(&classifier), bits(&classifier))
    };
    let (loss, frozen, predictions) = train(start.clone().frozen());
    assert_eq!(frozen, codes(&start));
    assert!(loss[2] < loss[0], "{loss:?}");
    assert_ne!(predictions, bits(&start));
    let (_, tuned, _) = train(start.clone().frozen().fine_tuned());
    assert_ne!(tuned, codes(&start));
    let seeded = start.clone().seed(3);
    assert_eq!(codes(&seeded), codes(&start));
    assert_ne!(bits(&seeded), bits(&start));
    assert_ne!(codes(&start.clone().from_scratch(3)), codes(&start));
}

#[test]
fn the_seed_decides_and_the_threads_do_not() {
    let images = digits(150);
    let normalised = Sequential::input([1, 28, 28]).conv2d(4, 3).stride(2).batch_norm().relu().flatten().dropout(0.3);
    for encoder in [encoder(), normalised] {
        let train = |seed, threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut classifier = Classifier::linear(&encoder, 10).unwrap();
                let config = quiet().epochs(2).batch_size(70).seed(seed).input_noise(0.1);
                let history = train_classifier(&mut classifier, &images, &config).unwrap();
                (bits(&classifier), history.loss, history.accuracy)
            })
        };
        let one = train(0, 1);
        assert!(one == train(0, 3));
        assert!(one != train(1, 3));
    }
}

#[test]
fn a_file_gives_the_same_answers() {
    let path = std::env::temp_dir().join(format!("latentlab-classifier-{}.safetensors", std::process::id()));
    for classifier in [Classifier::convolutional(10).unwrap(), Classifier::linear(&encoder(), 10).unwrap().frozen()] {
        classifier.save(&path).unwrap();
        let restored = Classifier::load(&path).unwrap();
        assert_eq!((bits(&restored), restored.is_frozen()), (bits(&classifier), classifier.is_frozen()));
        assert_eq!(Autoencoder::load(&path).unwrap_err().kind(), ErrorKind::Weights);
    }
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn presets_have_the_reports_parameters() {
    assert_eq!(Classifier::linear(&encoder(), 10).unwrap().head().parameter_count(), 110);
    let s0 = Classifier::dense(Autoencoder::convolutional(32).unwrap().encoder(), 10).unwrap();
    assert_eq!(s0.head().parameter_count(), 32 * 64 + 64 + 650);
    assert_eq!(Classifier::convolutional(10).unwrap().parameter_count(), 421_642);
}

#[test]
fn mistakes_are_explained() {
    let head = |classes| Sequential::input([10]).dense(classes);
    let wrong = [
        (Classifier::new(encoder(), head(0)), "head, layer 1, dense: expected at least 1 unit, got 0"),
        (
            Classifier::new(encoder(), head(10).softmax()),
            "classifier: the head ends in a softmax (layer 2, softmax), which training does itself: leave it out",
        ),
        (
            Classifier::new(encoder(), head(10).reshape([5, 2])),
            "classifier: the head's output (layer 2, reshape) is [5, 2], but it must be flat: [classes]",
        ),
        (
            Classifier::new(Sequential::input([2, 1, 5, 1]).flatten(), head(2)),
            "classifier: encoder input is [2, 1, 5, 1], but images are [channels, height, width]",
        ),
    ];
    for (classifier, expected) in wrong {
        assert_eq!(classifier.unwrap_err().to_string(), expected);
    }
    let images = digits(20);
    let other = Dataset::new(Array4::zeros((2, 1, 28, 28)), latentlab::ndarray::arr1(&[0, 1]), ["a", "b"]).unwrap();
    let mut classifier = Classifier::linear(&encoder(), 10).unwrap().frozen();
    let error = train_classifier(&mut classifier, &other, &quiet()).unwrap_err().to_string();
    let hint = "Dataset::of_classes keeps some classes and renumbers them";
    assert_eq!(error, format!("images: expected 10 classes, as many as the head has outputs, got 2 (arrays). {hint}"));
    assert!(classify(&classifier, &other).is_err());
    let error = train_classifier(&mut classifier, &images, &quiet().input_noise(0.5)).unwrap_err().to_string();
    assert!(error.starts_with("TrainConfig::input_noise: expected 0 with a frozen encoder"), "{error}");
    let before = bits(&classifier);
    let error = train_classifier(&mut classifier, &images, &quiet().learning_rate(1e38).epochs(30)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Diverged);
    assert_eq!(bits(&classifier), before);
    assert_eq!(classify(&classifier, &images.take(0)).unwrap().labels().len(), 0);
}
