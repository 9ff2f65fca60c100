//! Trainings in files: written after each epoch, read to continue to the same bits.

use std::{
    collections::BTreeMap,
    fmt,
    ops::ControlFlow,
    path::{Path, PathBuf},
    ptr,
    sync::Arc,
};

use ndarray::Array4;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{EpochEnd, Observer};
use crate::{
    data::Dataset,
    error::{Error, ErrorKind, Result},
    nn::{self, OptimizerState, PastGradients, Weights, read_checkpoint},
    train::{
        config::TrainConfig,
        history::{History, Snapshot, StoppedBy},
        objective::Learner,
        run::restore,
    },
};

/// Writes a file after each epoch.
pub(super) struct Checkpoint {
    path: PathBuf,
    settings: Settings,
    /// The epoch of the file that is there, and whether the last attempt to write a newer one failed.
    written: usize,
    failed: bool,
}

impl Checkpoint {
    pub fn new(path: &Path, settings: &Settings) -> Self {
        Self { path: path.into(), settings: settings.clone(), written: 0, failed: false }
    }
}

impl Observer for Checkpoint {
    /// A path that cannot be written is an error before the first epoch.
    fn begin(&mut self, at: &mut EpochEnd<'_>) -> Result<()> {
        write(&self.path, &self.settings, at)
    }

    /// A full disk must not end the training: it continues, with a warning in its history.
    fn after_epoch(&mut self, at: &mut EpochEnd<'_>) -> Result<ControlFlow<StoppedBy>> {
        let epoch = at.history.epochs();
        match write(&self.path, &self.settings, at) {
            Ok(()) => (self.written, self.failed) = (epoch, false),
            Err(error) if !self.failed => {
                self.failed = true;
                let written = match self.written {
                    0 => String::new(),
                    written => format!("; its last checkpoint is that of epoch {written}"),
                };
                at.history.warnings.push(format!("after epoch {epoch}: {error}. The training goes on{written}"));
            }
            Err(_) => {}
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// What a checkpoint holds beside the model, its optimizer's moments and the images of the snapshots.
#[derive(Serialize, Deserialize)]
struct State {
    settings: Settings,
    /// Of each optimizer.
    steps: Vec<i32>,
    history: History,
    /// Of each snapshot.
    snapshots: Vec<(usize, [usize; 4])>,
}

/// All that decides the bits of a training beside its model, by name and as text, so that a difference can be named.
#[derive(Clone, Serialize, Deserialize)]
pub(in crate::train) struct Settings(BTreeMap<String, String>);

impl Settings {
    pub fn of(config: &TrainConfig, (training, validation): (&Dataset, Option<&Dataset>)) -> Self {
        let mut settings = BTreeMap::new();
        let mut note = |name: &str, value: &dyn fmt::Debug| settings.insert(name.to_string(), format!("{value:?}"));
        note("batch_size", &config.batch_size);
        note("learning_rate", &config.learning_rate);
        note("optimizer", &config.optimizer);
        note("schedule", &config.schedule);
        if config.schedule.depends_on_epochs() {
            note("epochs", &config.epochs);
        }
        note("loss", &config.loss_used());
        note("seed", &config.seed);
        note("early_stopping", &config.patience);
        note("input_noise", &config.input_noise);
        note("kl_weight", &config.kl_weight_used());
        // Noted where they are set, so that files of trainings without them are those of older versions.
        if let Some(clip) = config.clip() {
            note("gradient clipping", &clip);
        }
        let penalties = [("code_penalty", config.code_penalty), ("weight_penalty", config.weight_penalty)];
        for (name, penalty) in penalties {
            if let Some(penalty) = penalty {
                note(name, &penalty);
            }
        }
        let targets = [("targets", &config.targets), ("validation_targets", &config.validation_targets)];
        for (name, targets) in targets {
            settings.extend(targets.as_ref().map(|targets| (name.into(), fingerprint(targets))));
        }
        settings.insert("training images".into(), fingerprint(training));
        settings.insert("validation".into(), validation.map_or("none".into(), fingerprint));
        Self(settings)
    }

    /// Refuses to continue with others.
    fn check(&self, now: &Self, path: &Path, names: &str) -> Result<()> {
        let mut names_of_both = now.0.keys().chain(self.0.keys());
        let Some(name) = names_of_both.find(|name| self.0.get(*name) != now.0.get(*name)) else { return Ok(()) };
        let [then, value] = [self, now].map(|settings| settings.0.get(name).map_or("none", String::as_str));
        let expected = format!("the settings it was written with: {name} {then}");
        let place = format!("{names}::resume, {}", path.display());
        let error = Error::expected(ErrorKind::Argument, place, expected, value);
        Err(error.hint("Only the number of epochs may change, and what does not change the training"))
    }
}

/// The number of images, and the beginning of the SHA-256 of images and labels.
fn fingerprint(images: &Dataset) -> String {
    let mut hash = Sha256::new();
    for values in images.values().chunks(4096) {
        hash.update(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
    }
    hash.update(images.labels().iter().flat_map(|label| (*label as u64).to_le_bytes()).collect::<Vec<u8>>());
    format!("{} images, {}", images.len(), crate::file::hex(&hash.finalize()[..8]))
}

/// Writes the state of a training.
fn write(path: &Path, settings: &Settings, at: &mut EpochEnd<'_>) -> Result<()> {
    let mut tensors = BTreeMap::new();
    let optimizers = at.model.optimizers(at.optimizer);
    for (which, optimizer) in optimizers.iter().enumerate() {
        for (parameter, moments) in optimizer.moments.iter().enumerate() {
            // The first two of every parameter, as all versions have them.
            for (moment, values) in moments.iter().enumerate().filter(|(moment, of)| *moment < 2 || !of.is_empty()) {
                tensors.insert(moment_name(which, parameter, moment), values.clone());
            }
        }
    }
    let steps = optimizers.iter().map(|optimizer| optimizer.steps).collect();
    for (parameter, weights) in at.best.iter().enumerate() {
        tensors.insert(best_name(parameter), weights.to_vec());
    }
    let mut snapshots = Vec::new();
    for Snapshot { epoch, images } in &at.history.snapshots {
        let (n, channels, height, width) = images.dim();
        snapshots.push((*epoch, [n, channels, height, width]));
        tensors.insert(snapshot_name(*epoch), images.iter().copied().collect());
    }
    let state = State { settings: settings.clone(), steps, history: at.history.clone(), snapshots };
    let state = serde_json::to_value(state).map_err(|error| damaged(path, error))?;
    at.model.file().write(path, Some(&nn::Checkpoint { state, tensors }))
}

/// Sets model and optimizer to the checkpoint's state; returns the history, and the weights that early stopping would
/// restore.
pub(in crate::train) fn resume(
    path: &Path,
    settings: &Settings,
    model: &mut dyn Learner,
    of_run: &mut OptimizerState,
    epochs: usize,
) -> Result<(History, Vec<Weights>)> {
    let (networks, nn::Checkpoint { state, mut tensors }) = read_checkpoint(path, &model.file())?;
    let State { settings: then, steps, mut history, snapshots } =
        serde_json::from_value(state).map_err(|error| damaged(path, error))?;
    let (trained, file) = (model.trained(), model.file());
    let mut weights: Vec<Weights> = Vec::new();
    for ((name, network), read) in file.networks.iter().zip(&networks) {
        if trained.iter().any(|trained| ptr::eq(*trained, *network)) {
            weights.extend(read.parameters().cloned());
        } else if network.parameters().ne(read.parameters()) {
            return Err(Error::expected(
                ErrorKind::Weights,
                path.display().to_string(),
                format!("the frozen {name} of this {}", file.kind),
                "another one",
            ));
        }
    }
    then.check(settings, path, model.settings())?;
    if history.epochs() > epochs {
        let (place, expected) =
            (format!("{}::epochs", model.settings()), format!("at least the {} of the checkpoint", history.epochs()));
        return Err(Error::expected(ErrorKind::Argument, place, expected, epochs));
    }
    // Files of before `metrics` name one that has no values.
    history.metrics.retain(|_, values| !values.is_empty());
    if let Err(message) = check_history(&history, model.measures()) {
        return Err(damaged(path, message));
    }
    let mut take = |name: String| tensors.remove(&name).ok_or_else(|| damaged(path, format!("{name} is missing")));
    for (epoch, [n, channels, height, width]) in snapshots {
        if epoch > history.epochs() {
            return Err(damaged(path, format!("a snapshot of epoch {epoch} of {}", history.epochs())));
        }
        let images = Array4::from_shape_vec((n, channels, height, width), take(snapshot_name(epoch))?);
        history.snapshots.push(Snapshot { epoch, images: images.map_err(|error| damaged(path, error))? });
    }

    let best: Vec<Weights> = (0..).map_while(|parameter| tensors.remove(&best_name(parameter)).map(Arc::new)).collect();
    if !best.is_empty() && !best.iter().map(|best| best.len()).eq(weights.iter().map(|weights| weights.len())) {
        return Err(damaged(path, "the best weights have other shapes"));
    }
    // Running statistics have no moments, and before the first step there are none.
    let mut moments = Vec::new();
    for which in 0..steps.len() {
        let all = |parameter| -> Option<PastGradients> {
            let [first, second, third] = [0, 1, 2].map(|n| tensors.remove(&moment_name(which, parameter, n)));
            Some([first?, second?, third.unwrap_or_default()])
        };
        moments.push((0..).map_while(all).collect::<Vec<_>>());
    }
    let sizes = trainable_sizes(model, of_run);
    let fits = |(steps, moments, sizes): (&i32, &Vec<PastGradients>, &Vec<usize>)| {
        let kept = |moment: &Vec<f32>, size: &usize| moment.is_empty() || moment.len() == *size;
        let begun = *steps > 0 && moments.len() == sizes.len();
        (begun || (*steps == 0 && moments.is_empty()))
            && moments.iter().zip(sizes).all(|(all, size)| all.iter().all(|moment| kept(moment, size)))
    };
    if steps.len() != sizes.len() || !steps.iter().zip(&moments).zip(&sizes).map(|((a, b), c)| (a, b, c)).all(fits) {
        return Err(damaged(path, "the state of the optimizer is that of another model"));
    }
    if let Some(name) = tensors.keys().next() {
        return Err(damaged(path, format!("{name} belongs to nothing")));
    }
    restore(model, &weights);
    for (optimizer, (steps, moments)) in model.optimizers(of_run).into_iter().zip(steps.into_iter().zip(moments)) {
        (optimizer.steps, optimizer.moments) = (steps, moments);
    }
    Ok((history, best))
}

/// Checks the history's lengths, on which other code relies.
fn check_history(history: &History, measures: &[&str]) -> Result<(), String> {
    let epochs = history.epochs();
    for (name, series) in [("seconds", &history.seconds), ("learning rates", &history.learning_rate)] {
        if series.len() != epochs {
            return Err(format!("{} {name} for {epochs} epochs", series.len()));
        }
    }
    let curves = [
        &history.validation_loss,
        &history.accuracy,
        &history.validation_accuracy,
        &history.reconstruction,
        &history.kl,
        &history.validation_reconstruction,
        &history.validation_kl,
    ];
    for curve in curves.into_iter().chain(history.metrics.values()) {
        if !curve.is_empty() && curve.len() != epochs {
            return Err(format!("a curve of {} values for {epochs} epochs", curve.len()));
        }
    }
    let by_layer = history.gradient_norms.iter().chain(&history.dead_units);
    if let Some((layer, values)) = by_layer.into_iter().find(|(_, values)| values.len() > epochs) {
        return Err(format!("{} values of {layer} for {epochs} epochs", values.len()));
    }
    if let Some(name) = measures.iter().find(|name| epochs > 0 && history.clone().curve(name, false).is_empty()) {
        return Err(format!("no {name}"));
    }
    // The first epoch is the best so far: a loss is finite.
    if history.best_epoch > epochs || (history.best_epoch == 0) != (epochs == 0) {
        return Err(format!("best epoch {} of {epochs}", history.best_epoch));
    }
    if !history.seconds.iter().all(|seconds| *seconds >= 0.0) {
        return Err("an epoch of negative time".into());
    }
    Ok(())
}

/// The number of values of each trainable parameter, by optimizer.
fn trainable_sizes(model: &mut dyn Learner, of_run: &mut OptimizerState) -> Vec<Vec<usize>> {
    let optimizers = model.optimizers(of_run).len();
    let networks = model.trained().into_iter().map(|network| {
        let parameters = network.nodes().iter().flat_map(|node| &node.parameters);
        parameters.filter(|parameter| parameter.trainable).map(|parameter| parameter.values.len()).collect()
    });
    let sizes: Vec<Vec<usize>> = networks.collect();
    // One for all networks, or one for each.
    if optimizers == 1 { vec![sizes.concat()] } else { sizes }
}

fn moment_name(which: usize, parameter: usize, moment: usize) -> String {
    format!("optimizer.{which}.{parameter}.{moment}")
}

fn best_name(parameter: usize) -> String {
    format!("best.{parameter}")
}

fn snapshot_name(epoch: usize) -> String {
    format!("snapshot.{epoch}")
}

fn damaged(path: &Path, message: impl ToString) -> Error {
    let message = format!("the state of its training is damaged ({})", message.to_string());
    Error::new(ErrorKind::Weights, path.display().to_string(), message)
}
