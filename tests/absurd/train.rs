//! Trainings, their settings and histories, and studies.

use std::{fs, ops::ControlFlow, path::Path};

use latentlab::{
    Error, Gan, GanConfig, GanHistory, History, Loss, MedianPruner, Optimizer, Schedule, Sequential, Setting, Space,
    StopHandle, Study, TrainConfig, Training, Trial, Watch, evaluate, gan_step, reconstruction_errors, train_ae,
    train_classifier, train_gan, train_vae,
};

use crate::{
    Row::{Call, Nothing},
    Table,
    arguments::*,
};

fn trained(config: TrainConfig) {
    if let Some(history) = either(train_ae(&mut autoencoder(), &digits(12), &config)) {
        shown(&history);
    }
}

fn trained_gan(config: GanConfig) {
    if let Some(history) = either(train_gan(&mut gan(), &digits(12), &config)) {
        shown(&history);
    }
}

fn gan_config() -> GanConfig {
    GanConfig::new().epochs(1).batch_size(8).progress_every(0)
}

/// Saves where it cannot be, and where it can.
fn saves(save: impl Fn(&Path)) {
    let garbage = Garbage::new("saved");
    paths().iter().chain([&garbage.file("saved")]).for_each(|path| save(path));
}

/// Histories of trainings that came to nothing, and of one that came to something.
fn histories(check: impl Fn(&History)) {
    let stopped = StopHandle::new();
    stopped.stop();
    for config in
        [config().stop_handle(&stopped).epochs(usize::MAX), config(), config().validation(&digits(3)).epochs(3)]
    {
        if let Some(history) = either(train_ae(&mut autoencoder(), &digits(12), &config)) {
            check(&history);
            let mut odd = history.clone();
            odd.objective = texts().concat();
            let curves = texts().into_iter().map(|name| (name, NUMBERS.to_vec()));
            odd.gradient_norms = curves.chain([(String::new(), Vec::new())]).collect();
            odd.dead_units = vec![("a".into(), NUMBERS.to_vec()); 200];
            odd.loss = NUMBERS.to_vec();
            odd.validation_loss = vec![f64::NAN; 2];
            odd.best_epoch = usize::MAX;
            odd.seconds = vec![f64::INFINITY, f64::NAN, -1.0];
            check(&odd);
        }
    }
}

fn gan_histories(check: impl Fn(&GanHistory)) {
    let stopped = StopHandle::new();
    stopped.stop();
    for config in [gan_config().stop_handle(&stopped), gan_config().snapshots(3, [0, 1])] {
        if let Some(history) = either(train_gan(&mut gan(), &digits(12), &config)) {
            check(&history);
            let mut odd = history.clone();
            odd.generator_loss = NUMBERS.to_vec();
            odd.gradient_norms = vec![("a".into(), vec![f64::NAN; 3]), ("b".into(), vec![1e-300, 1e300, 1.0])];
            odd.dead_units = vec![("a".into(), NUMBERS.to_vec()); 200];
            odd.seconds = vec![f64::NAN];
            check(&odd);
        }
    }
}

fn schedules() -> [Schedule; 6] {
    [
        Schedule::constant(),
        Schedule::cosine(),
        Schedule::reduce_on_plateau(),
        Schedule::step_decay(1),
        Schedule::exponential(0.5),
        Schedule::one_cycle(),
    ]
}

fn scheduled(schedule: Schedule) {
    trained(config().epochs(3).schedule(schedule));
}

/// As far as a study of this space goes, at most a few trials.
fn studied(space: Space) {
    for study in [Study::minimize(space.clone()), Study::maximize(space)] {
        let Some(study) = either(study) else { continue };
        let study = study.progress_every(0);
        for value in [1.0, f64::NAN, 2.0, f64::MAX, f64::MIN, 0.5] {
            let Some(Some(trial)) = either(study.ask()) else { break };
            asked(&trial);
            either(study.tell(trial, value));
        }
        shown(&study);
        study.records().iter().for_each(shown);
        either(study.importance());
    }
}

fn asked(trial: &Trial) {
    for name in ["x", "", "\0"] {
        either(trial.float(name));
        either(trial.integer(name));
        either(trial.text(name));
    }
    let _ = (trial.settings().len(), trial.number());
}

fn study() -> Study {
    Study::minimize(Space::new().float("x", 0.0, 1.0)).unwrap().progress_every(0)
}

/// A study that has seen much.
fn full(seed: u64) -> Study {
    let study = study().seed(seed);
    for value in NUMBERS {
        if let Some(trial) = study.ask().unwrap() {
            either(study.tell(trial, value));
        }
    }
    study
}

/// A study with this pruner, in which all epochs are reported that there can be.
fn pruned(pruner: impl Fn(MedianPruner) -> MedianPruner) {
    for settings in [MedianPruner::new(), MedianPruner::new().startup_trials(0).warmup_epochs(2).interval_epochs(3)] {
        let Some(study) = either(study().pruner(pruner(settings))) else { continue };
        for value in NUMBERS {
            let trial = study.ask().unwrap().unwrap();
            for epoch in SIZES {
                either(trial.report(epoch, value));
            }
            either(study.tell(trial, value));
        }
    }
}

fn with_trial(call: impl Fn(&Trial)) {
    let space = Space::new().float("x", 0.0, 1.0).choice("\u{1}latentlab {}", texts()).integer("n", 0, usize::MAX);
    if let Some(study) =
        either(Study::minimize(space)).or_else(|| either(Study::minimize(Space::new().float("x", 0.0, 1.0))))
    {
        call(&study.progress_every(0).ask().unwrap().unwrap());
    }
}

pub fn rows() -> Table {
    vec![
        (
            "train_ae",
            Call(|| {
                for images in datasets() {
                    for loss in [Loss::MeanSquaredError, Loss::BinaryCrossEntropy, Loss::BinaryCrossEntropyWithLogits] {
                        either(train_ae(&mut autoencoder(), &images, &config().loss(loss)));
                    }
                }
            }),
        ),
        ("train_vae", Call(|| datasets().iter().for_each(|d| drop(either(train_vae(&mut vae(), d, &config())))))),
        (
            "train_classifier",
            Call(|| {
                datasets().iter().for_each(|d| drop(either(train_classifier(&mut classifier(), d, &config()))));
            }),
        ),
        ("train_gan", Call(|| datasets().iter().for_each(|d| drop(either(train_gan(&mut gan(), d, &gan_config())))))),
        ("gan_step", Call(|| datasets().iter().for_each(|images| _ = either(gan_step(&mut gan(), images))))),
        (
            "evaluate",
            Call(|| {
                for images in datasets() {
                    for loss in [Loss::MeanSquaredError, Loss::BinaryCrossEntropy, Loss::BinaryCrossEntropyWithLogits] {
                        either(evaluate(&autoencoder(), &images, loss));
                    }
                }
            }),
        ),
        (
            "reconstruction_errors",
            Call(|| {
                for images in datasets() {
                    for loss in [Loss::MeanSquaredError, Loss::BinaryCrossEntropy, Loss::of("sum", |y, _| y.sum())] {
                        either(reconstruction_errors(&autoencoder(), &images, loss));
                    }
                }
            }),
        ),
        ("TrainConfig::new", Nothing("nothing")),
        ("TrainConfig::epochs", Call(|| SIZES.iter().for_each(|n| trained(config().epochs(*n).stop_handle(&soon()))))),
        ("TrainConfig::batch_size", Call(|| SIZES.iter().for_each(|n| trained(config().batch_size(*n))))),
        ("TrainConfig::learning_rate", Call(|| NUMBERS.iter().for_each(|rate| trained(config().learning_rate(*rate))))),
        ("TrainConfig::optimizer", Call(|| trained(config().optimizer(Optimizer::sgd().betas(f64::NAN, 2.0))))),
        ("TrainConfig::schedule", Call(|| schedules().into_iter().for_each(scheduled))),
        ("TrainConfig::loss", Nothing("one of three losses; see train_ae")),
        (
            "TrainConfig::clip_norm",
            Call(|| {
                for largest in NUMBERS {
                    trained(config().clip_norm(largest));
                    trained(config().clip_norm(largest).clip_value(1.0));
                    trained_gan(gan_config().clip_norm(largest));
                }
            }),
        ),
        (
            "TrainConfig::clip_value",
            Call(|| {
                FLOATS.iter().for_each(|largest| trained(config().clip_value(*largest)));
                FLOATS.iter().for_each(|largest| trained_gan(gan_config().clip_value(*largest)));
            }),
        ),
        ("GanConfig::clip_norm", Nothing("see TrainConfig::clip_norm")),
        ("GanConfig::clip_value", Nothing("see TrainConfig::clip_value")),
        ("TrainConfig::seed", Call(|| SEEDS.iter().for_each(|seed| trained(config().seed(*seed))))),
        ("TrainConfig::validation", Call(|| datasets().iter().for_each(|d| trained(config().validation(d))))),
        (
            "TrainConfig::validation_fraction",
            Call(|| {
                NUMBERS.iter().for_each(|share| trained(config().validation_fraction(*share)));
            }),
        ),
        (
            "TrainConfig::early_stopping",
            Call(|| {
                SIZES.iter().for_each(|patience| trained(config().early_stopping(*patience)));
                SIZES.iter().for_each(|patience| trained(config().validation(&digits(3)).early_stopping(*patience)));
            }),
        ),
        ("TrainConfig::input_noise", Call(|| FLOATS.iter().for_each(|noise| trained(config().input_noise(*noise))))),
        (
            "TrainConfig::kl_weight",
            Call(|| {
                for beta in NUMBERS {
                    trained(config().kl_weight(beta));
                    either(train_vae(&mut vae(), &digits(12), &config().kl_weight(beta)));
                }
            }),
        ),
        (
            "TrainConfig::snapshots",
            Call(|| {
                datasets().iter().for_each(|images| trained(config().snapshots(images, [0, 1, usize::MAX])));
                trained(config().snapshots(&digits(2), SIZES));
                trained(config().snapshots(&digits(2), 0..));
                trained(config().snapshots(&digits(2), std::iter::repeat(1)));
                trained(config().snapshots(&digits(2), []));
            }),
        ),
        (
            "TrainConfig::watch",
            Call(|| {
                let some = || [Watch::GradientNorms, Watch::LearningRate];
                trained(config().epochs(3).watch(some()).watch(some()));
                trained(config().watch([Watch::DeadUnits]));
                trained(config().watch([]));
                trained(config().epochs(3).learning_rate(1e30).watch(some()));
                for images in datasets() {
                    for rate in [1e-30, 1.0, 1e30] {
                        let config = config().learning_rate(rate).watch(some()).watch([Watch::DeadUnits]);
                        either(train_vae(&mut vae(), &images, &config));
                    }
                }
                datasets().iter().for_each(|images| trained(config().watch([Watch::Reconstructions(images.clone())])));
                either(train_classifier(&mut classifier(), &digits(12), &config().watch(some())));
            }),
        ),
        (
            "TrainConfig::after_epoch",
            Call(|| {
                for next in [ControlFlow::Continue(()), ControlFlow::Break(())] {
                    let two = config().epochs(2);
                    trained(two.clone().after_epoch(move |_| Ok(next)).after_epoch(move |_| Ok(next)));
                    trained(two.after_epoch(|epoch| epoch.model::<Gan>().map(|_| ControlFlow::Continue(()))));
                }
            }),
        ),
        ("TrainConfig::checkpoint", Call(|| paths().iter().for_each(|path| trained(config().checkpoint(path))))),
        (
            "TrainConfig::resume",
            Call(|| {
                let garbage = Garbage::new("resume");
                let files = garbage.files("safetensors");
                files.iter().chain(&paths()).for_each(|path| trained(config().resume(path)));
            }),
        ),
        ("TrainConfig::tensorboard", Call(|| no_folders().iter().for_each(|path| trained(config().tensorboard(path))))),
        ("TrainConfig::stop_handle", Nothing("a handle; see TrainConfig::epochs")),
        ("TrainConfig::trial", Call(|| with_trial(|trial| trained(config().epochs(2).trial(trial))))),
        ("TrainConfig::progress_every", Call(|| SIZES.iter().for_each(|n| trained(config().progress_every(*n))))),
        ("Schedule::constant", Nothing("nothing")),
        ("Schedule::cosine", Nothing("nothing")),
        ("Schedule::reduce_on_plateau", Nothing("nothing")),
        ("Schedule::step_decay", Call(|| SIZES.iter().for_each(|every| scheduled(Schedule::step_decay(*every))))),
        ("Schedule::exponential", Call(|| NUMBERS.iter().for_each(|f| scheduled(Schedule::exponential(*f))))),
        ("Schedule::one_cycle", Nothing("nothing")),
        (
            "Schedule::warm_up",
            Call(|| {
                for epochs in SIZES {
                    schedules().iter().for_each(|schedule| scheduled(schedule.warm_up(epochs)));
                }
            }),
        ),
        (
            "Schedule::pct_start",
            Call(|| schedules().iter().for_each(|s| NUMBERS.iter().for_each(|n| scheduled(s.pct_start(*n))))),
        ),
        (
            "Schedule::div_factor",
            Call(|| schedules().iter().for_each(|s| NUMBERS.iter().for_each(|n| scheduled(s.div_factor(*n))))),
        ),
        (
            "Schedule::final_div_factor",
            Call(|| schedules().iter().for_each(|s| NUMBERS.iter().for_each(|n| scheduled(s.final_div_factor(*n))))),
        ),
        (
            "Schedule::factor",
            Call(|| {
                schedules().iter().for_each(|s| NUMBERS.iter().for_each(|factor| scheduled(s.factor(*factor))));
            }),
        ),
        (
            "Schedule::patience",
            Call(|| {
                schedules().iter().for_each(|s| SIZES.iter().for_each(|epochs| scheduled(s.patience(*epochs))));
            }),
        ),
        (
            "Schedule::threshold",
            Call(|| {
                schedules().iter().for_each(|s| NUMBERS.iter().for_each(|share| scheduled(s.threshold(*share))));
            }),
        ),
        (
            "Schedule::minimum",
            Call(|| {
                schedules().iter().for_each(|s| NUMBERS.iter().for_each(|rate| scheduled(s.minimum(*rate))));
            }),
        ),
        ("Epoch::number", Nothing("the epoch alone; see TrainConfig::after_epoch")),
        ("Epoch::loss", Nothing("the epoch alone")),
        ("Epoch::validation_loss", Nothing("the epoch alone")),
        ("Epoch::history", Nothing("the epoch alone")),
        ("Epoch::model", Nothing("the epoch alone; of a wrong type in TrainConfig::after_epoch")),
        ("Autoencoder::live", Nothing("the model alone; see Live::model")),
        ("Classifier::live", Nothing("the model alone")),
        ("Gan::live", Nothing("the model alone")),
        ("Sequential::live", Nothing("the model alone")),
        ("Vae::live", Nothing("the model alone")),
        (
            "Live::model",
            Call(|| {
                let mistaken = Sequential::input([2]).dense(0);
                assert!(mistaken.live().model().build().is_err());
                assert!(Sequential::input([0]).live().model().build().is_err());
                let mut endless = autoencoder();
                let live = endless.live();
                drop(either(train_ae(&mut endless, &digits(12), &config().learning_rate(f64::MAX))));
                assert_eq!(live.model().parameter_count(), endless.parameter_count());
                drop(endless);
                let others = (classifier().live(), gan().live(), vae().live());
                shown(&others.0.model().summary());
                shown(&others.1.model().summary());
                shown(&others.2.model().summary());
            }),
        ),
        (
            "Training::of",
            Call(|| {
                for images in datasets() {
                    either(Training::of(autoencoder(), &images, &config()));
                    either(Training::of(gan(), &images, &gan_config()));
                }
                SIZES.iter().for_each(|n| _ = either(Training::of(autoencoder(), &digits(12), &config().epochs(*n))));
            }),
        ),
        (
            "Training::epoch",
            Call(|| {
                for rate in NUMBERS {
                    let run = Training::of(autoencoder(), &digits(12), &config().learning_rate(rate).epochs(2));
                    let Some(mut run) = either(run) else { continue };
                    for _ in 0..4 {
                        either(run.epoch());
                    }
                    shown(run.history());
                }
            }),
        ),
        ("Training::model", Nothing("the training alone")),
        ("Training::history", Nothing("the training alone")),
        ("Training::into_parts", Nothing("the training alone")),
        (
            "History::before",
            Call(|| {
                let unlike = config().after_epoch(|epoch| epoch.model::<Gan>().map(|_| ControlFlow::Continue(())));
                for config in [config().epochs(0), unlike] {
                    let error = train_ae(&mut autoencoder(), &digits(12), &config).unwrap_err();
                    History::before(&error).into_iter().for_each(shown);
                }
            }),
        ),
        ("History::epochs", Call(|| histories(|history| _ = history.epochs()))),
        ("History::final_loss", Call(|| histories(|history| _ = history.final_loss()))),
        ("History::final_validation_loss", Call(|| histories(|history| _ = history.final_validation_loss()))),
        ("History::total_seconds", Call(|| histories(|history| _ = history.total_seconds()))),
        (
            "History::to_html",
            Call(|| {
                histories(|history| assert!(!history.to_html().contains("<script")));
                histories(|history| drop(format!("{history} {history:?}")));
            }),
        ),
        ("History::plot", Call(|| histories(|history| drawn(history.plot())))),
        ("History::plot_snapshots", Call(|| histories(|history| drawn(history.plot_snapshots())))),
        ("History::plot_gradient_norms", Call(|| histories(|history| drawn(history.plot_gradient_norms())))),
        ("History::plot_dead_units", Call(|| histories(|history| drawn(history.plot_dead_units())))),
        ("History::plot_accuracy", Call(|| histories(|history| drawn(history.plot_accuracy())))),
        ("History::save_csv", Call(|| histories(|history| saves(|path| _ = either(history.save_csv(path)))))),
        (
            "History::save_parquet",
            of_parquet!(histories(|history| saves(|path| _ = either(history.save_parquet(path))))),
        ),
        ("History::save_npz", Call(|| histories(|history| saves(|path| _ = either(history.save_npz(path)))))),
        ("History::evcxr_display", Call(|| histories(History::evcxr_display))),
        ("GanConfig::new", Nothing("nothing")),
        (
            "GanConfig::epochs",
            Call(|| SIZES.iter().for_each(|n| trained_gan(gan_config().epochs(*n).stop_handle(&soon())))),
        ),
        ("GanConfig::batch_size", Call(|| SIZES.iter().for_each(|n| trained_gan(gan_config().batch_size(*n))))),
        ("GanConfig::seed", Call(|| SEEDS.iter().for_each(|seed| trained_gan(gan_config().seed(*seed))))),
        (
            "GanConfig::snapshots",
            Call(|| {
                SIZES.iter().for_each(|n| trained_gan(gan_config().snapshots(*n, [0, 1, usize::MAX])));
                trained_gan(gan_config().snapshots(1, 0..));
            }),
        ),
        (
            "GanConfig::watch",
            Call(|| {
                trained_gan(gan_config().watch([Watch::GradientNorms, Watch::DeadUnits, Watch::LearningRate]));
                trained_gan(gan_config().watch([Watch::GradientNorms, Watch::GradientNorms]));
                trained_gan(gan_config().watch([Watch::Reconstructions(digits(0))]));
            }),
        ),
        (
            "GanConfig::after_epoch",
            Call(|| {
                trained_gan(gan_config().after_epoch(|_| Ok(ControlFlow::Break(()))));
                trained_gan(gan_config().after_epoch(|epoch| epoch.model::<Gan>().map(|_| ControlFlow::Continue(()))));
            }),
        ),
        ("GanConfig::checkpoint", Call(|| paths().iter().for_each(|path| trained_gan(gan_config().checkpoint(path))))),
        (
            "GanConfig::resume",
            Call(|| {
                let garbage = Garbage::new("gan-resume");
                let files = garbage.files("safetensors");
                files.iter().chain(&paths()).for_each(|path| trained_gan(gan_config().resume(path)));
            }),
        ),
        (
            "GanConfig::tensorboard",
            Call(|| no_folders().iter().for_each(|path| trained_gan(gan_config().tensorboard(path)))),
        ),
        ("GanConfig::stop_handle", Nothing("a handle; see GanConfig::epochs")),
        ("GanConfig::progress_every", Call(|| SIZES.iter().for_each(|n| trained_gan(gan_config().progress_every(*n))))),
        ("GanHistory::save_csv", Call(|| gan_histories(|history| saves(|path| _ = either(history.save_csv(path)))))),
        (
            "GanHistory::save_parquet",
            of_parquet!(gan_histories(|history| saves(|path| _ = either(history.save_parquet(path))))),
        ),
        ("GanHistory::save_npz", Call(|| gan_histories(|history| saves(|path| _ = either(history.save_npz(path)))))),
        ("GanHistory::to_html", Call(|| gan_histories(|history| drop(history.to_html())))),
        ("GanHistory::plot", Call(|| gan_histories(|history| drawn(history.plot())))),
        ("GanHistory::plot_gradient_norms", Call(|| gan_histories(|history| drawn(history.plot_gradient_norms())))),
        ("GanHistory::plot_dead_units", Call(|| gan_histories(|history| drawn(history.plot_dead_units())))),
        ("GanHistory::plot_snapshots", Call(|| gan_histories(|history| drawn(history.plot_snapshots())))),
        ("GanHistory::evcxr_display", Call(|| gan_histories(GanHistory::evcxr_display))),
        ("StopHandle::new", Nothing("nothing")),
        ("StopHandle::stop", Nothing("the handle alone")),
        ("StopHandle::is_stopped", Nothing("the handle alone")),
        ("Space::new", Call(|| studied(Space::new()))),
        (
            "Space::float",
            Call(|| {
                for low in NUMBERS {
                    NUMBERS.iter().for_each(|high| studied(Space::new().float("x", low, *high)));
                }
                studied(Space::new().float("x", 0.1, 0.1 + 1e-15));
                studied(Space::new().float("x", f64::MIN, f64::MAX));
                texts().iter().for_each(|name| studied(Space::new().float(name.as_str(), 0.0, 1.0)));
            }),
        ),
        (
            "Space::integer",
            Call(|| {
                for low in SIZES {
                    SIZES.iter().for_each(|high| studied(Space::new().integer("x", low, *high)));
                }
            }),
        ),
        (
            "Space::choice",
            Call(|| {
                studied(Space::new().choice("x", [0.0; 0]));
                studied(Space::new().choice("x", NUMBERS));
                studied(Space::new().choice("x", texts()));
                studied(Space::new().choice("x", SIZES));
                studied(Space::new().choice("x", (0..100_000).map(Setting::Integer)));
                texts().iter().for_each(|name| studied(Space::new().choice(name.as_str(), [1.0, 2.0])));
            }),
        ),
        (
            "Space::log",
            Call(|| {
                studied(Space::new().log());
                for low in NUMBERS {
                    NUMBERS.iter().for_each(|high| studied(Space::new().float("x", low, *high).log()));
                }
                for low in SIZES {
                    SIZES.iter().for_each(|high| studied(Space::new().integer("x", low, *high).log()));
                }
                studied(Space::new().choice("x", [1.0]).log());
            }),
        ),
        (
            "Space::grid",
            Call(|| {
                studied(Space::new().grid());
                studied(Space::new().float("x", 0.0, 1.0).grid());
                for high in SIZES.into_iter().chain([1 << 50, 1 << 27]) {
                    studied(Space::new().integer("x", 0, high).grid());
                    studied(Space::new().integer("x", 0, high).integer("y", 0, high).integer("z", 0, high).grid());
                }
            }),
        ),
        ("Study::minimize", Nothing("a space; see the rows of Space")),
        ("Study::maximize", Nothing("a space; see the rows of Space")),
        ("Study::seed", Call(|| SEEDS.iter().for_each(|seed| shown(&full(*seed))))),
        (
            "Study::progress_every",
            Call(|| {
                for every in SIZES {
                    let study = study().progress_every(every);
                    let trial = study.ask().unwrap().unwrap();
                    either(study.tell(trial, 1.0));
                }
            }),
        ),
        (
            "Study::stop_handle",
            Call(|| {
                let stopped = StopHandle::new();
                stopped.stop();
                assert!(study().stop_handle(&stopped).ask().unwrap().is_none());
            }),
        ),
        (
            "Study::trials",
            Call(|| {
                for count in SIZES {
                    let study = study().trials(count);
                    if let Some(trial) = either(study.ask()).flatten() {
                        either(study.tell(trial, 1.0));
                    }
                    shown(&study);
                }
            }),
        ),
        (
            "Study::journal",
            Call(|| {
                let garbage = Garbage::new("journal");
                for path in paths().into_iter().filter(|path| *path != std::path::Path::new("/dev/full")) {
                    refused(study().journal(path));
                }
                for path in garbage.files("jsonl") {
                    // An empty file is a journal that has just begun; no other is changed.
                    let before = fs::read(&path).unwrap();
                    if either(study().journal(&path)).is_none() {
                        assert_eq!(fs::read(&path).unwrap(), before, "{}", path.display());
                    }
                }
            }),
        ),
        (
            "Study::optuna",
            Call(|| {
                let garbage = Garbage::new("optuna");
                for name in texts() {
                    either(study().optuna(garbage.file("study.log"), name));
                }
                refused(study().optuna(garbage.file("study.log"), ""));
                refused(study().optuna(garbage.file("another.log"), "a\nb"));
                let used = full(0);
                refused(used.optuna(garbage.file("another.log"), "late"));
                for server in ["grpc://", "grpc://nowhere", "grpc://:1", "grpc://a b:1", "postgresql://a/b", "://"] {
                    refused(study().optuna(server, "name"));
                    refused(Study::open(server, "name"));
                }
                for path in paths().into_iter().filter(|path| *path != std::path::Path::new("/dev/full")) {
                    refused(study().optuna(path, "name"));
                }
            }),
        ),
        (
            "Study::open",
            Call(|| {
                let garbage = Garbage::new("open");
                let path = garbage.file("study.log");
                drop(study().optuna(&path, "there").unwrap());
                for name in texts() {
                    refused(Study::open(&path, name));
                }
                assert!(Study::open(&path, "there").is_ok());
                for path in paths().into_iter().chain(garbage.files("jsonl")) {
                    refused(Study::open(path, "there"));
                }
            }),
        ),
        (
            "Study::retries",
            Call(|| {
                for count in SIZES {
                    let study = study().trials(1).retries(count);
                    drop(study.ask().unwrap().unwrap());
                    assert_eq!(study.ask().unwrap().is_some(), count > 0);
                }
            }),
        ),
        (
            "Study::pruner",
            Call(|| {
                for count in SIZES {
                    refused(study().pruner(MedianPruner::new().interval_epochs(0).warmup_epochs(count)));
                    refused(study().pruner(MedianPruner::new().min_trials(0).startup_trials(count)));
                }
            }),
        ),
        ("MedianPruner::new", Nothing("no arguments")),
        (
            "MedianPruner::startup_trials",
            Call(|| SIZES.iter().for_each(|n| pruned(|pruner| pruner.startup_trials(*n)))),
        ),
        ("MedianPruner::warmup_epochs", Call(|| SIZES.iter().for_each(|n| pruned(|pruner| pruner.warmup_epochs(*n))))),
        (
            "MedianPruner::interval_epochs",
            Call(|| SIZES.iter().for_each(|n| pruned(|pruner| pruner.interval_epochs(*n)))),
        ),
        ("MedianPruner::min_trials", Call(|| SIZES.iter().for_each(|n| pruned(|pruner| pruner.min_trials(*n))))),
        (
            "Study::fail",
            Call(|| {
                for reason in texts() {
                    let (study, other) = (study(), study());
                    let trial = study.ask().unwrap().unwrap();
                    either(study.fail(trial, &reason));
                    shown(&study);
                    refused(other.fail(study.ask().unwrap().unwrap(), &reason));
                }
            }),
        ),
        (
            "Study::hand_back",
            Call(|| {
                let (study, other) = (study(), study());
                either(study.hand_back(study.ask().unwrap().unwrap()));
                refused(other.hand_back(study.ask().unwrap().unwrap()));
            }),
        ),
        ("Study::is_finished", Nothing("the study alone")),
        (
            "Study::save_csv",
            Call(|| [study(), full(0)].iter().for_each(|study| saves(|path| _ = either(study.save_csv(path))))),
        ),
        (
            "Study::save_parquet",
            of_parquet!([study(), full(0)].iter().for_each(|study| saves(|path| _ = either(study.save_parquet(path))))),
        ),
        ("Study::ask", Nothing("the study alone; see the rows of Space")),
        (
            "Study::tell",
            Call(|| {
                for value in NUMBERS {
                    let (study, other) = (study(), study());
                    let trial = study.ask().unwrap().unwrap();
                    either(study.tell(trial, value));
                    refused(other.tell(study.ask().unwrap().unwrap(), value));
                }
            }),
        ),
        ("Study::records", Nothing("the study alone")),
        (
            "Study::best",
            Call(|| {
                refused(study().best());
                shown(&full(0).best().unwrap());
            }),
        ),
        (
            "Study::importance",
            Call(|| {
                refused(study().importance());
                either(full(0).importance());
            }),
        ),
        ("Study::parameter_names", Nothing("the study alone")),
        ("Study::maximizes", Nothing("the study alone")),
        (
            "Study::to_html",
            Call(|| {
                drop(study().to_html());
                drop(full(0).to_html());
                let space = Space::new().choice("<script>", texts()).choice("\0", ["x".repeat(65_536)]);
                if let Some(study) = either(Study::minimize(space)) {
                    let trial = study.ask().unwrap().unwrap();
                    either(study.tell(trial, 1.0));
                    assert!(!study.to_html().contains("<script"));
                    shown(&study);
                }
            }),
        ),
        (
            "Study::plot",
            Call(|| {
                drawn(study().plot());
                drawn(full(0).plot());
            }),
        ),
        (
            "Study::plot_importance",
            Call(|| {
                drawn(study().plot_importance());
                drawn(full(0).plot_importance());
            }),
        ),
        (
            "Study::evcxr_display",
            Call(|| {
                study().evcxr_display();
                full(0).evcxr_display();
            }),
        ),
        ("Trial::number", Nothing("the trial alone")),
        ("Trial::settings", Nothing("the trial alone")),
        ("Trial::float", Call(|| with_trial(|trial| texts().iter().for_each(|name| _ = either(trial.float(name)))))),
        (
            "Trial::integer",
            Call(|| with_trial(|trial| texts().iter().for_each(|name| _ = either(trial.integer(name))))),
        ),
        ("Trial::text", Call(|| with_trial(|trial| texts().iter().for_each(|name| _ = either(trial.text(name)))))),
        (
            "Trial::report",
            Call(|| {
                for epoch in SIZES {
                    with_trial(|trial| {
                        NUMBERS.iter().for_each(|value| _ = either(trial.report(epoch, *value)));
                        either(trial.report(epoch.wrapping_add(1), 1.0));
                    });
                }
            }),
        ),
        (
            "TrialRecord::float",
            Call(|| {
                full(0).records().iter().for_each(|r| texts().iter().for_each(|name| _ = either(r.float(name))));
            }),
        ),
        (
            "TrialRecord::integer",
            Call(|| {
                full(0).records().iter().for_each(|r| texts().iter().for_each(|name| _ = either(r.integer(name))));
            }),
        ),
        (
            "TrialRecord::text",
            Call(|| {
                full(0).records().iter().for_each(|r| texts().iter().for_each(|name| _ = either(r.text(name))));
            }),
        ),
        ("TrialRecord::evcxr_display", Call(|| full(0).records().iter().for_each(|record| record.evcxr_display()))),
        ("Error::other", Call(|| texts().into_iter().for_each(|text| shown(&Error::other(text))))),
        ("Error::kind", Nothing("the error alone; every row looks at those that come")),
        ("Error::place", Nothing("the error alone; every row looks at those that come")),
    ]
}
