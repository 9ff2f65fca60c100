//! Trainings that are stopped, and go on from a checkpoint to the same bits.

mod folder;

use std::{fs, path::Path, thread, time::Duration};

use folder::Folder;
use latentlab::{
    Autoencoder, Classifier, Codes, Dataset, ErrorKind, Gan, GanConfig, History, KMeans, Loss, Optimizer, Penalty,
    Result, Schedule, Sequential, Space, StopHandle, StoppedBy, Study, TrainConfig, TrialState, Tsne, Vae, evaluate,
    generate, reconstruct, train_ae, train_classifier, train_gan, train_vae, tsne,
};

fn digits() -> (Dataset, Dataset) {
    Dataset::built_in_digits(260, 0).unwrap().split(200, 60).unwrap()
}

fn config() -> TrainConfig {
    TrainConfig::new().epochs(5).batch_size(64).progress_every(0)
}

/// A file with all weights, to be compared byte for byte.
fn saved(save: impl Fn(&Path) -> Result<()>, folder: &Folder) -> Vec<u8> {
    let path = folder.file("saved.safetensors");
    save(&path).unwrap();
    fs::read(path).unwrap()
}

/// All of a history but the time.
fn without_time(history: History) -> History {
    let mut history = history;
    history.seconds.clear();
    history
}

/// Trains in one go and in two, and compares.
fn check<M>(
    folder: &Folder,
    config: &TrainConfig,
    model: impl Fn() -> M,
    train: impl Fn(&mut M, &TrainConfig) -> Result<History>,
    save: impl Fn(&M, &Path) -> Result<()>,
) -> History {
    let mut whole = model();
    let expected = without_time(train(&mut whole, config).unwrap());

    let file = folder.file("checkpoint.safetensors");
    let first = config.clone().checkpoint(&file);
    train(&mut model(), &first.clone().epochs(2)).unwrap();
    let mut resumed = model();
    let history = train(&mut resumed, &first.resume(&file)).unwrap();
    assert_eq!(history.seconds.len(), history.epochs());
    assert_eq!(without_time(history), expected);
    assert!(saved(|path| save(&resumed, path), folder) == saved(|path| save(&whole, path), folder), "other weights");
    expected
}

#[test]
fn an_autoencoder_goes_on_to_the_same_bits() {
    let folder = Folder::new("resume-autoencoder");
    let (train, test) = digits();
    let model = || {
        Autoencoder::new(
            Sequential::input([1, 28, 28]).conv2d(4, 3).stride(4).batch_norm().relu().flatten().dropout(0.2).dense(3),
            Sequential::input([3]).dense(32).batch_norm().leaky_relu(0.2).dense(784).sigmoid().reshape([1, 28, 28]),
        )
        .unwrap()
        .seed(3)
    };
    for (optimizer, schedule) in [
        (Optimizer::adam(), Schedule::constant()),
        (Optimizer::radam().weight_decay(0.01), Schedule::reduce_on_plateau()),
        (Optimizer::sgd(), Schedule::constant()),
        (Optimizer::sgd().momentum(0.9), Schedule::constant()),
        (Optimizer::nadam(), Schedule::step_decay(2).warm_up(1)),
        (Optimizer::rmsprop().momentum(0.5).centered(), Schedule::exponential(0.8)),
        (Optimizer::lion().weight_decay(0.1), Schedule::reduce_on_plateau().patience(0).warm_up(2)),
    ] {
        let config = config().optimizer(optimizer).schedule(schedule).input_noise(0.3).validation(&test);
        let config = config.learning_rate(0.01).snapshots(&test.take(3), [0, 1, 4, 99]).early_stopping(3);
        let history = check(&folder, &config, model, |m, c| train_ae(m, &train, c), |m, path| m.save(path));
        let epochs: Vec<usize> = history.snapshots.iter().map(|snapshot| snapshot.epoch).collect();
        assert_eq!(epochs, [0, 1, 4]);
    }
}

#[test]
fn all_other_models_too() {
    let folder = Folder::new("resume-others");
    let (train, test) = digits();
    let vae = || Vae::strided([2, 4, 4], 8, 2).unwrap();
    let config = config().validation(&test);
    let with_snapshots = config.clone().loss(Loss::BinaryCrossEntropy).snapshots(&test.take(2), [2, 5]);
    check(&folder, &with_snapshots, vae, |m, c| train_vae(m, &train, c), |m, path| m.save(path));

    let encoder = Autoencoder::tiny(4).unwrap().encoder().clone();
    for frozen in [false, true] {
        let model = || {
            let classifier = Classifier::linear(&encoder, 10).unwrap();
            if frozen { classifier.frozen() } else { classifier }
        };
        check(&folder, &config, model, |m, c| train_classifier(m, &train, c), |m, path| m.save(path));
    }

    let gan = || Gan::convolutional(5).unwrap().generator_optimizer(Optimizer::radam(), 0.001);
    let config = GanConfig::new().epochs(3).batch_size(100).progress_every(0).snapshots(4, [0, 1, 3]);
    let mut whole = gan();
    let expected = train_gan(&mut whole, &train, &config).unwrap();
    let file = folder.file("gan.safetensors");
    let first = config.clone().epochs(1).checkpoint(&file);
    train_gan(&mut gan(), &train, &first).unwrap();
    assert!(Gan::load(&file).is_ok());
    let mut resumed = gan();
    let history = train_gan(&mut resumed, &train, &config.resume(&file)).unwrap();
    assert_eq!(history.generator_loss, expected.generator_loss);
    assert_eq!(history.discriminator_loss, expected.discriminator_loss);
    assert_eq!(history.snapshots, expected.snapshots);
    assert_eq!(history.snapshots[2].images, generate(&resumed, 4, 0).unwrap());
    assert!(saved(|path| resumed.save(path), &folder) == saved(|path| whole.save(path), &folder), "other weights");
}

#[test]
fn snapshots_are_reconstructions_of_their_epoch() {
    let (train, test) = digits();
    let some = test.take(4);
    let mut autoencoder = Autoencoder::tiny(3).unwrap();
    let untrained = reconstruct(&autoencoder, &some).unwrap();
    let history = train_ae(&mut autoencoder, &train, &config().snapshots(&some, [5, 0])).unwrap();
    assert_eq!(&history.snapshots[0].images, untrained.images());
    assert_eq!(&history.snapshots[1].images, reconstruct(&autoencoder, &some).unwrap().images());
    let svg = history.plot_snapshots().unwrap().to_svg().unwrap();
    assert!(["original", "epoch 0", "epoch 5"].iter().all(|label| svg.contains(label)));
    assert!(train_ae(&mut autoencoder, &train, &config()).unwrap().plot_snapshots().is_err());
}

#[test]
fn a_checkpoint_is_a_file_of_weights() {
    let folder = Folder::new("resume-weights");
    let (train, _) = digits();
    let file = folder.file("checkpoint.safetensors");
    let mut autoencoder = Autoencoder::tiny(2).unwrap();
    train_ae(&mut autoencoder, &train, &config().checkpoint(&file)).unwrap();
    let loaded = Autoencoder::load(&file).unwrap();
    assert_eq!(reconstruct(&loaded, &train).unwrap().images(), reconstruct(&autoencoder, &train).unwrap().images());
    // A training that was finished returns at once.
    let history = train_ae(&mut Autoencoder::tiny(2).unwrap(), &train, &config().resume(&file)).unwrap();
    assert_eq!((history.epochs(), history.stopped_by), (5, None));
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_changes() {
    let folder = Folder::new("resume-refused");
    let (train, test) = digits();
    let file = folder.file("checkpoint.safetensors");
    let resume = config().resume(&file);
    train_ae(&mut Autoencoder::tiny(2).unwrap(), &train, &config().checkpoint(&file)).unwrap();
    let plain = folder.file("plain.safetensors");
    Autoencoder::tiny(2).unwrap().save(&plain).unwrap();
    let damaged = folder.file("damaged.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    for (latent_dim, images, config, kind, text) in [
        (2, &train, resume.clone().batch_size(32), ErrorKind::Argument, "batch_size 64, got 32"),
        (2, &train, resume.clone().seed(1), ErrorKind::Argument, "seed 0, got 1"),
        (
            2,
            &train,
            resume.clone().code_penalty(Penalty::l1(0.1)),
            ErrorKind::Argument,
            "code_penalty none, got Penalty",
        ),
        (2, &train, resume.clone().weight_penalty(Penalty::l2(0.1)), ErrorKind::Argument, "weight_penalty none, got"),
        (2, &train, resume.clone().clip_norm(1.0), ErrorKind::Argument, "gradient clipping none, got Norm(1.0)"),
        (2, &train, resume.clone().targets(&train), ErrorKind::Argument, "targets none, got 200 images"),
        (2, &test, resume.clone(), ErrorKind::Argument, "training images 200 images"),
        (2, &train, resume.clone().epochs(4), ErrorKind::Argument, "at least the 5 of the checkpoint, got 4"),
        (3, &train, resume.clone(), ErrorKind::Weights, "another encoder"),
        (2, &train, config().resume(&plain), ErrorKind::Weights, "expected a checkpoint"),
        (2, &train, config().resume(&damaged), ErrorKind::Weights, "damaged"),
        (2, &train, config().resume(folder.file("none")), ErrorKind::Io, "none"),
        (2, &train, config().checkpoint(folder.file("none/none")), ErrorKind::Io, "none"),
    ] {
        let mut autoencoder = Autoencoder::tiny(latent_dim).unwrap();
        let before = saved(|path| autoencoder.save(path), &folder);
        let error = train_ae(&mut autoencoder, images, &config).unwrap_err();
        assert!(error.kind() == kind && error.to_string().contains(text), "{error}, not {text}");
        assert!(saved(|path| autoencoder.save(path), &folder) == before);
    }

    let penalised = config().weight_penalty(Penalty::l2(0.1)).checkpoint(&file);
    train_ae(&mut Autoencoder::tiny(2).unwrap(), &train, &penalised).unwrap();
    let text = train_ae(&mut Autoencoder::tiny(2).unwrap(), &train, &resume).unwrap_err().to_string();
    assert!(text.contains("weight_penalty Penalty") && text.contains("got none"), "{text}");

    let encoder = |seed| Autoencoder::tiny(2).unwrap().seed(seed).encoder().clone();
    let mut classifier = Classifier::linear(&encoder(0), 10).unwrap().frozen();
    train_classifier(&mut classifier, &train, &config().checkpoint(&file)).unwrap();
    let mut other = Classifier::linear(&encoder(1), 10).unwrap().frozen();
    let text = train_classifier(&mut other, &train, &resume).unwrap_err().to_string();
    assert!(text.contains("expected the frozen encoder of this classifier, got another one"), "{text}");
}

#[test]
fn a_stopped_training_keeps_what_it_has_and_goes_on_to_the_same_bits() {
    let folder = Folder::new("resume-stopped");
    let (train, test) = digits();
    let file = folder.file("checkpoint.safetensors");
    let (stop, epochs) = (StopHandle::new(), 3000);
    let config = config().epochs(epochs).batch_size(1).validation(&test).checkpoint(&file);
    let other = stop.clone();
    let thread = thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        other.stop();
    });
    let mut stopped = Autoencoder::tiny(2).unwrap();
    let history = train_ae(&mut stopped, &train, &config.clone().stop_handle(&stop)).unwrap();
    thread.join().unwrap();
    assert_eq!(history.stopped_by, Some(StoppedBy::Handle));
    assert!(history.epochs() < epochs && history.to_string().ends_with("stopped"), "{history}");
    assert_ne!(
        evaluate(&stopped, &test, Loss::MeanSquaredError).unwrap(),
        evaluate(&Autoencoder::tiny(2).unwrap(), &test, Loss::MeanSquaredError).unwrap()
    );

    let config = config.epochs(history.epochs() + 2);
    let (mut whole, mut resumed) = (Autoencoder::tiny(2).unwrap(), Autoencoder::tiny(2).unwrap());
    let history = train_ae(&mut resumed, &train, &config.clone().resume(&file)).unwrap();
    let expected = train_ae(&mut whole, &train, &config).unwrap();
    assert_eq!(without_time(history), without_time(expected));
    // What starts with a handle that is stopped ends at once.
    assert_eq!(train_ae(&mut whole, &train, &config.stop_handle(&stop)).unwrap().epochs(), 0);
}

#[test]
fn analysis_and_studies_stop() {
    let (train, _) = digits();
    let codes = Codes::of_pixels(&train);
    let (running, stopped) = (StopHandle::new(), StopHandle::new());
    stopped.stop();
    let settings = Tsne::new().iterations(20).progress_every(0);
    let embedding = tsne(&codes, &settings.clone().stop_handle(&stopped)).unwrap();
    assert_eq!((embedding.iterations(), embedding.codes().len()), (0, 200));
    assert_eq!(tsne(&codes, &settings.stop_handle(&running)).unwrap().iterations(), 20);

    let start = KMeans::new(10).stop_handle(&stopped).fit(&codes).unwrap();
    assert!(start.inertia() > KMeans::new(10).stop_handle(&running).fit(&codes).unwrap().inertia());

    let study = Study::minimize(Space::new().float("rate", 0.1, 1.0)).unwrap().trials(5).stop_handle(&running);
    let (first, second) = (study.ask().unwrap().unwrap(), study.ask().unwrap().unwrap());
    study.tell(first, 1.0).unwrap();
    running.stop();
    study.tell(second, 0.5).unwrap();
    assert!(study.ask().unwrap().is_none());
    assert_eq!(study.best().unwrap().value, Some(1.0));
    assert_eq!(study.records()[1].state, TrialState::Running);
}

#[test]
fn a_training_reports_to_its_trial_and_ends_when_that_is_pruned() {
    let (train, test) = digits();
    let study = Study::minimize(Space::new().float("learning_rate", 1e-5, 1e-2).log()).unwrap().trials(12);
    while let Some(trial) = study.ask().unwrap() {
        // Good ones first, so that bad ones are pruned.
        let learning_rate = if trial.number() <= 6 { 0.01 } else { 1e-6 };
        let config = config().epochs(4).validation(&test).learning_rate(learning_rate).trial(&trial);
        let history = train_ae(&mut Autoencoder::tiny(4).unwrap(), &train, &config).unwrap();
        let pruned = trial.number() > 6;
        assert_eq!(history.stopped_by, pruned.then_some(StoppedBy::Pruning));
        assert_eq!(history.epochs(), if pruned { 1 } else { 4 });
        let (number, loss) = (trial.number(), history.final_validation_loss());
        study.tell(trial, loss).unwrap();
        let record = &study.records()[number - 1];
        assert_eq!(record.state, if pruned { TrialState::Pruned } else { TrialState::Complete });
        assert_eq!(record.reports.last(), Some(&(history.epochs(), Some(loss))));
    }

    let study = Study::maximize(Space::new().integer("latent_dim", 1, 4)).unwrap();
    let trial = study.ask().unwrap().unwrap();
    let error = train_ae(&mut Autoencoder::tiny(4).unwrap(), &train, &config().trial(&trial)).unwrap_err();
    assert!(error.to_string().contains("a study that minimizes"), "{error}");
    let mut classifier = Classifier::linear(Autoencoder::tiny(4).unwrap().encoder(), 10).unwrap();
    let history = train_classifier(&mut classifier, &train, &config().epochs(1).trial(&trial)).unwrap();
    assert_eq!(study.records()[0].reports, [(1, Some(history.accuracy[0]))]);
}
