//! What happens between epochs: functions of the user's own, checkpoints that fail, trainings by the epoch.

mod folder;

use std::{
    fs,
    ops::ControlFlow,
    path::Path,
    sync::{Arc, Mutex},
};

use folder::Folder;
use latentlab::{
    Autoencoder, Classifier, Dataset, Epoch, ErrorKind, Gan, GanConfig, History, Loss, Optimizer, Result, Schedule,
    Sequential, Space, StopHandle, StoppedBy, Study, TrainConfig, Trainable, Training, Vae, reconstruct, train_ae,
    train_classifier, train_gan, train_vae,
};

const GO_ON: Result<ControlFlow<()>> = Ok(ControlFlow::Continue(()));

fn digits() -> (Dataset, Dataset) {
    Dataset::built_in_digits(260, 0).unwrap().split(200, 60).unwrap()
}

fn config() -> TrainConfig {
    TrainConfig::new().epochs(4).batch_size(64).progress_every(0)
}

fn tiny() -> Autoencoder {
    Autoencoder::tiny(2).unwrap()
}

/// The autoencoder's file.
fn saved(autoencoder: &Autoencoder, folder: &Folder) -> Vec<u8> {
    bytes(folder, |path| autoencoder.save(path))
}

fn bytes(folder: &Folder, save: impl Fn(&Path) -> Result<()>) -> Vec<u8> {
    let path = folder.file("saved.safetensors");
    save(&path).unwrap();
    fs::read(path).unwrap()
}

fn without_time(history: &History) -> History {
    let mut history = history.clone();
    history.seconds.clear();
    history
}

#[test]
fn a_function_sees_each_epoch_and_the_model_as_it_is_then() {
    let (folder, (train, test)) = (Folder::new("epochs-seen"), digits());
    let (seen, images) = (Arc::new(Mutex::new(Vec::new())), test.take(4));
    let (noted, shown) = (Arc::clone(&seen), images.clone());
    let config = config().validation(&test).snapshots(&images, 0..=4).after_epoch(move |epoch| {
        let made = reconstruct(epoch.model::<Autoencoder>()?, &shown)?.images().clone();
        noted.lock().unwrap().push((epoch.number(), epoch.loss(), epoch.validation_loss(), made));
        GO_ON
    });
    let mut autoencoder = tiny();
    let history = train_ae(&mut autoencoder, &train, &config).unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.iter().map(|seen| seen.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert_eq!(seen.iter().map(|seen| seen.1).collect::<Vec<_>>(), history.loss);
    assert_eq!(seen.iter().map(|seen| seen.2).collect::<Vec<_>>(), history.validation_loss);
    assert!(seen.iter().zip(&history.snapshots[1..]).all(|(seen, snapshot)| seen.3 == snapshot.images));
    assert!(seen[0].3 != seen[3].3);

    // Looking changes nothing.
    let mut alone = tiny();
    let plain = TrainConfig::new().epochs(4).batch_size(64).progress_every(0).validation(&test);
    train_ae(&mut alone, &train, &plain).unwrap();
    assert_eq!(saved(&alone, &folder), saved(&autoencoder, &folder));
}

#[test]
fn what_watches_the_epochs_comes_in_its_order() {
    let (folder, (train, test)) = (Folder::new("epochs-order"), digits());
    let file = folder.file("checkpoint.safetensors");
    let study = Arc::new(Study::minimize(Space::new().float("x", 0.0, 1.0)).unwrap().progress_every(0));
    let trial = study.ask().unwrap().unwrap();
    let (images, calls) = (test.take(2), Arc::new(Mutex::new(Vec::new())));
    let first = {
        let (calls, study, file, images) = (Arc::clone(&calls), Arc::clone(&study), file.clone(), images.clone());
        move |epoch: &Epoch<'_>| {
            calls.lock().unwrap().push(1);
            let number = epoch.number();
            // Snapshot, early stopping, report and checkpoint of this epoch are there.
            assert_eq!(epoch.history().snapshots.last().unwrap().epoch, number);
            assert_eq!(study.records()[0].reports.last(), Some(&(number, Some(epoch.loss()))));
            let (here, there) = (reconstruct(epoch.model::<Autoencoder>()?, &images)?, Autoencoder::load(&file)?);
            assert_eq!(here.images(), reconstruct(&there, &images)?.images());
            let stops = number - epoch.history().best_epoch >= 2;
            assert_eq!(epoch.history().stopped_by, stops.then_some(StoppedBy::EarlyStopping));
            GO_ON
        }
    };
    let then = Arc::clone(&calls);
    // So high a rate that the units die and nothing improves any more.
    let config = config().epochs(99).learning_rate(0.5).early_stopping(2).snapshots(&images, 0..99).trial(&trial);
    let config = config.checkpoint(&file).after_epoch(first).after_epoch(move |_| {
        then.lock().unwrap().push(2);
        GO_ON
    });
    let history = train_ae(&mut tiny(), &train, &config).unwrap();
    assert_eq!(history.stopped_by, Some(StoppedBy::EarlyStopping), "{history}");
    assert_eq!(history.epochs(), history.best_epoch + 2);
    assert_eq!(*calls.lock().unwrap(), [1, 2].repeat(history.epochs()));
}

#[test]
fn a_function_can_stop_the_training() {
    fn after_two(epoch: &Epoch) -> Result<ControlFlow<()>> {
        Ok(if epoch.number() == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
    let (folder, (train, test)) = (Folder::new("epochs-stop"), digits());
    let file = folder.file("checkpoint.safetensors");
    let config = config().checkpoint(&file);
    let mut stopped = tiny();
    let history = train_ae(&mut stopped, &train, &config.clone().after_epoch(after_two)).unwrap();
    assert_eq!((history.epochs(), history.stopped_by), (2, Some(StoppedBy::Callback)));
    assert!(history.to_string().ends_with("stopped by a callback"), "{history}");
    let mut two = tiny();
    train_ae(&mut two, &train, &config.clone().epochs(2)).unwrap();
    assert_eq!(saved(&stopped, &folder), saved(&two, &folder));

    // The function is no setting that the checkpoint would compare, and its stop is not kept.
    let (mut resumed, mut whole) = (tiny(), tiny());
    let history = train_ae(&mut resumed, &train, &config.clone().resume(&file)).unwrap();
    let expected = train_ae(&mut whole, &train, &config).unwrap();
    assert_eq!(without_time(&history), without_time(&expected));
    assert_eq!(saved(&resumed, &folder), saved(&whole, &folder));

    // With early stopping the best weights come back.
    let config = TrainConfig::new().epochs(9).batch_size(64).progress_every(0).learning_rate(0.5).validation(&test);
    let mut best = tiny();
    let history = train_ae(&mut best, &train, &config.early_stopping(8).after_epoch(after_two)).unwrap();
    let lowest = history.validation_loss[history.best_epoch - 1];
    assert_eq!(latentlab::evaluate(&best, &test, Loss::MeanSquaredError).unwrap(), lowest);

    let config = GanConfig::new().epochs(5).progress_every(0).after_epoch(|epoch| {
        assert_eq!(epoch.history().metrics["discriminator_loss"].len(), epoch.number());
        epoch.model::<Gan>()?;
        after_two(epoch)
    });
    let history = train_gan(&mut Gan::convolutional(2).unwrap(), &train.take(20), &config).unwrap();
    assert_eq!((history.generator_loss.len(), history.stopped_by), (2, Some(StoppedBy::Callback)));
}

#[test]
fn an_error_of_a_function_keeps_model_and_history() {
    let (folder, (train, _)) = (Folder::new("epochs-error"), digits());
    let config = config().after_epoch(|epoch| {
        if epoch.number() == 3 {
            epoch.model::<Vae>()?;
        }
        GO_ON
    });
    let mut autoencoder = tiny();
    let error = train_ae(&mut autoencoder, &train, &config).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Argument);
    let text = "after epoch 3, Epoch::model: expected the model that is trained, not Vae, got autoencoder";
    assert_eq!(error.to_string(), text);
    let (mut three, plain) = (tiny(), TrainConfig::new().epochs(3).batch_size(64).progress_every(0));
    let expected = train_ae(&mut three, &train, &plain).unwrap();
    assert_eq!(saved(&autoencoder, &folder), saved(&three, &folder));
    assert_eq!(without_time(History::before(&error).unwrap()), without_time(&expected));

    // By the epoch it goes on after that.
    let mut run = Training::of(tiny(), &train, &config).unwrap();
    assert!(run.epoch().unwrap() && run.epoch().unwrap());
    assert_eq!(run.epoch().unwrap_err().to_string(), text);
    assert_eq!(run.history().epochs(), 3);
    assert!(run.epoch().unwrap() && !run.epoch().unwrap());
    assert_eq!(run.history().epochs(), 4);
}

#[test]
fn a_diverged_training_keeps_the_epochs_before() {
    let (folder, (train, _)) = (Folder::new("epochs-diverged"), digits());
    // One step an epoch: the first makes the weights huge, of which the second shows the loss.
    let config = config().batch_size(200).learning_rate(1e30).optimizer(Optimizer::sgd());
    let mut autoencoder = tiny();
    let error = train_ae(&mut autoencoder, &train, &config).unwrap_err();
    assert_eq!((error.kind(), error.place()), (ErrorKind::Diverged, "epoch 2, step 1"), "{error}");
    assert_eq!(History::before(&error).unwrap().epochs(), 1);
    assert!(History::before(&train_ae(&mut tiny(), &train, &config.clone().epochs(0)).unwrap_err()).is_none());

    let mut run = Training::of(tiny(), &train, &config).unwrap();
    assert!(run.epoch().unwrap());
    assert_eq!(run.epoch().unwrap_err().kind(), ErrorKind::Diverged);
    assert_eq!(run.history().epochs(), 1);
    assert_eq!(saved(run.model(), &folder), saved(&autoencoder, &folder));
}

#[test]
fn a_checkpoint_that_cannot_be_written_does_not_end_the_training() {
    let (folder, (train, _)) = (Folder::new("epochs-checkpoint"), digits());
    let place = folder.file("place");
    let file = place.join("checkpoint.safetensors");
    fs::create_dir(&place).unwrap();
    let config = config().epochs(6).checkpoint(&file).after_epoch({
        let place = place.clone();
        move |epoch| {
            match epoch.number() {
                2 => fs::remove_dir_all(&place).unwrap(),
                4 => fs::create_dir(&place).unwrap(),
                _ => {}
            }
            GO_ON
        }
    });
    let mut autoencoder = tiny();
    let history = train_ae(&mut autoencoder, &train, &config).unwrap();
    assert_eq!(history.epochs(), 6);
    let [warning] = &history.warnings[..] else { panic!("{:?}", history.warnings) };
    assert!(warning.starts_with(&format!("after epoch 3: {}: cannot ", file.display())), "{warning}");
    assert!(warning.ends_with("The training goes on; its last checkpoint is that of epoch 2"), "{warning}");
    assert!(history.to_string().ends_with(&format!("; warning: {warning}")), "{history}");
    let mut plain = tiny();
    train_ae(&mut plain, &train, &TrainConfig::new().epochs(6).batch_size(64).progress_every(0)).unwrap();
    assert_eq!(saved(&plain, &folder), saved(&autoencoder, &folder));
    // It was written again as soon as that was possible.
    let resumed = train_ae(&mut tiny(), &train, &config.resume(&file)).unwrap();
    assert_eq!(without_time(&resumed), without_time(&history));
}

/// Trains in one go and by the epoch, and compares.
fn check<M: Trainable + Clone>(
    (model, config, train): (&M, &M::Config, &Dataset),
    in_one_go: impl Fn(&mut M) -> Vec<Vec<f64>>,
    losses: impl Fn(&History) -> Vec<Vec<f64>>,
    save: impl Fn(&M, &Path) -> Result<()>,
) {
    let folder = Folder::new("epochs-one");
    let mut whole = model.clone();
    let expected = in_one_go(&mut whole);
    let mut run = Training::of(model.clone(), train, config).unwrap();
    let mut epochs = 0;
    while run.epoch().unwrap() {
        epochs += 1;
        assert_eq!(run.history().epochs(), epochs);
    }
    assert!(!run.epoch().unwrap(), "there is no other");
    let (model, history) = run.into_parts();
    assert_eq!((losses(&history), epochs), (expected, history.epochs()));
    assert!(bytes(&folder, |path| save(&model, path)) == bytes(&folder, |path| save(&whole, path)), "other weights");
}

#[test]
fn epochs_one_by_one_are_the_same_training() {
    let (train, test) = digits();
    let all = |h: &History| vec![h.loss.clone(), h.validation_loss.clone(), h.accuracy.clone(), h.kl.clone()];
    let autoencoder = Autoencoder::new(
        Sequential::input([1, 28, 28]).flatten().dense(16).batch_norm().relu().dropout(0.2).dense(3),
        Sequential::input([3]).dense(784).sigmoid().reshape([1, 28, 28]),
    )
    .unwrap();
    let config = config().validation(&test);
    let stops = config.clone().epochs(30).learning_rate(0.1).early_stopping(2).input_noise(0.2);
    for config in [&stops.schedule(Schedule::reduce_on_plateau()), &config] {
        let train_whole = |m: &mut Autoencoder| all(&train_ae(m, &train, config).unwrap());
        check((&autoencoder, config, &train), train_whole, all, |m, path| m.save(path));
    }
    for classifier in [Classifier::linear(tiny().encoder(), 10), Classifier::dense(tiny().encoder(), 10)] {
        let classifier = classifier.unwrap();
        for model in [&classifier, &classifier.clone().frozen()] {
            let train_whole = |m: &mut Classifier| all(&train_classifier(m, &train, &config).unwrap());
            check((model, &config, &train), train_whole, all, |m, path| m.save(path));
        }
    }
    let vae = Vae::strided([2, 4, 4], 8, 2).unwrap();
    let train_whole = |m: &mut Vae| all(&train_vae(m, &train, &config).unwrap());
    check((&vae, &config, &train), train_whole, all, |m, path| m.save(path));

    let (gan, config) = (Gan::convolutional(5).unwrap(), GanConfig::new().epochs(2).batch_size(100).progress_every(0));
    let both = |h: &History| vec![h.loss.clone(), h.metrics["discriminator_loss"].clone()];
    let train_whole = |m: &mut Gan| {
        let history = train_gan(m, &train, &config).unwrap();
        vec![history.generator_loss, history.discriminator_loss]
    };
    check((&gan, &config, &train), train_whole, both, |m, path| m.save(path));
}

#[test]
fn a_training_by_the_epoch_stops_and_resumes() {
    let (folder, (train, test)) = (Folder::new("epochs-resume"), digits());
    let file = folder.file("checkpoint.safetensors");
    let config = config().validation(&test).checkpoint(&file);
    let mut whole = tiny();
    let expected = train_ae(&mut whole, &train, &config).unwrap();

    let mut run = Training::of(tiny(), &train, &config).unwrap();
    assert!(run.epoch().unwrap() && run.epoch().unwrap());
    drop(run);
    let mut run = Training::of(tiny(), &train, &config.clone().resume(&file)).unwrap();
    assert_eq!(run.history().epochs(), 2);
    while run.epoch().unwrap() {}
    assert_eq!(without_time(run.history()), without_time(&expected));
    assert_eq!(saved(run.model(), &folder), saved(&whole, &folder));

    // A function's stop holds for one call, a handle's for all.
    let stop = StopHandle::new();
    let config = config.stop_handle(&stop).after_epoch(|_| Ok(ControlFlow::Break(())));
    let mut run = Training::of(tiny(), &train, &config).unwrap();
    assert!(!run.epoch().unwrap());
    assert_eq!((run.history().epochs(), run.history().stopped_by), (1, Some(StoppedBy::Callback)));
    assert!(!run.epoch().unwrap());
    assert_eq!(run.history().epochs(), 2);
    stop.stop();
    assert!(!run.epoch().unwrap() && !run.epoch().unwrap());
    assert_eq!((run.history().epochs(), run.history().stopped_by), (2, Some(StoppedBy::Handle)));
    assert_eq!(run.history().loss, expected.loss[..2]);

    // It can go through threads and cells.
    fn owned<T: Send + 'static>(_: &T) {}
    owned(&run);
    let run = std::thread::spawn(move || run).join().unwrap();
    assert_eq!(format!("{run:?}"), run.history().to_string());
    assert_eq!(Training::of(tiny(), &train.take(0), &config).unwrap_err().kind(), ErrorKind::Data);
}
