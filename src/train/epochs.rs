//! The loop that all trainings share.

use std::{ptr, sync::Arc, time::Instant};

use ndarray::Array4;
use rayon::prelude::*;

use super::{
    check,
    checkpoint::{self, Settings},
    config::TrainConfig,
    history::{History, Snapshot, StoppedBy},
    progress::{after_epoch, within_epoch},
    tuning::TrialLink,
};
use crate::{
    data::{Dataset, shuffled_indices},
    engine::Reuse,
    error::{Error, ErrorKind, Result},
    nn::{BatchSplit, ModelFile, OptimizerState, Sequential, Weights},
    progress::Progress,
    random,
    relay::Listening,
};

/// What learns from images, batch by batch. It measures N things on the way, the loss first.
pub(super) trait Learner<const N: usize>: Send + Sync {
    /// Whether the history holds an accuracy.
    const ACCURACY: bool = false;

    /// The name of its settings.
    const SETTINGS: &'static str = "TrainConfig";

    /// The networks that change.
    fn networks(&self) -> Vec<&Sequential>;

    /// The same networks.
    fn networks_mut(&mut self) -> Vec<&mut Sequential>;

    /// The optimizers that change them.
    fn descents(&mut self) -> Vec<&mut OptimizerState>;

    /// The model that these networks are part of.
    fn file(&self) -> ModelFile<'_>;

    /// One batch: forward, backward, update. Returns its means; where one is not finite, nothing was updated.
    fn step(&mut self, images: &Dataset, rows: &[usize], seed: u64, learning_rate: f64) -> [f64; N];

    /// The means over all images without dropout, with the same noise each time; for those that can be validated.
    fn measure(&self, _images: &Dataset) -> [f64; N] {
        [f64::NAN; N]
    }

    /// Notes an epoch's means but for the loss, of training and of validation.
    fn note(&mut self, _history: &mut History, _training: [f64; N], _validation: Option<[f64; N]>) {}

    /// What a live view shows of it after each epoch.
    fn sample(&self) -> Result<Option<Array4<f32>>> {
        Ok(None)
    }

    /// The images of a snapshot, for those that can make images.
    fn snapshot(&self) -> Result<Option<Array4<f32>>> {
        Ok(None)
    }
}

/// Trains for the epochs of these settings, which must have been checked; fills the empty history.
pub(super) fn train<const N: usize>(
    learner: &mut impl Learner<N>,
    (training, validation): (&Dataset, Option<&Dataset>),
    config: &TrainConfig,
    history: History,
) -> Result<History> {
    check_batches(learner, training, config)?;
    // On a worker of the pool from beginning to end: a step has dozens of parallel loops, each costs less from there.
    rayon::scope(|_| run(learner, (training, validation), config, history))
}

/// Refuses batches that are too small for a batch normalisation, or too large for the memory.
fn check_batches<const N: usize, L: Learner<N>>(learner: &L, training: &Dataset, config: &TrainConfig) -> Result<()> {
    let place = format!("{}::batch_size", L::SETTINGS);
    if let Some(layer) = layer_of_two_rows(learner) {
        if training.len() < 2 {
            return Err(check::one_row(ErrorKind::Data, "training images", &layer));
        }
        if config.batch_size < 2 {
            return Err(check::one_row(ErrorKind::Argument, place, &layer));
        }
    }
    // The last image may join the batch before it.
    let rows = training.len().min(config.batch_size.saturating_add(1));
    BatchSplit::check(&place, rows, &learner.networks())
}

/// The first layer that is trained and needs batches of at least two rows, if there is one.
fn layer_of_two_rows<const N: usize>(learner: &impl Learner<N>) -> Option<String> {
    let (file, changing) = (learner.file(), learner.networks());
    let mut networks = file.networks;
    networks.retain(|(_, network)| changing.iter().any(|changing| ptr::eq(*changing, *network)));
    check::needs_two_rows(&networks)
}

/// The rows of each batch; a last one alone joins the batch before it if there must be two.
fn batches(order: &[usize], batch_size: usize, two_rows: bool) -> Vec<&[usize]> {
    let mut batches: Vec<_> = order.chunks(batch_size).collect();
    if let [.., _, [_]] = batches[..]
        && two_rows
    {
        batches.truncate(batches.len() - 2);
        batches.push(&order[batches.len() * batch_size..]);
    }
    batches
}

fn run<const N: usize, L: Learner<N>>(
    learner: &mut L,
    (training, validation): (&Dataset, Option<&Dataset>),
    config: &TrainConfig,
    mut history: History,
) -> Result<History> {
    if !L::ACCURACY && config.trial.as_ref().is_some_and(TrialLink::maximizes) {
        let expected = "a trial of a study that minimizes: there is a loss, and no accuracy";
        return Err(Error::expected(ErrorKind::Argument, "TrainConfig::trial", expected, "one that maximizes"));
    }
    let (_reuse, _listening) = (Reuse::begin(), Listening::begin());
    let keeps = config.resume.is_some() || config.checkpoint.is_some();
    let settings = keeps.then(|| Settings::of(config, (training, validation)));
    let save = |learner: &mut _, history: &_, best: &[Weights]| match (&config.checkpoint, &settings) {
        (Some(path), Some(settings)) => checkpoint::write(path, settings, learner, history, best),
        _ => Ok(()),
    };

    let mut best = if config.patience.is_some() { weights(learner) } else { Vec::new() };
    if let (Some(path), Some(settings)) = (&config.resume, &settings) {
        (history, best) = checkpoint::read(path, settings, learner, config.epochs)?;
    } else {
        take_snapshot(learner, config, &mut history)?;
        save(learner, &history, &best)?; // a place where it cannot be written is found before the first epoch
    }
    let mut progress = Progress::begin(config.progress_every);
    history.originals = config.snapshot_images.as_ref().map(|images| images.images().clone());

    while history.epochs() < config.epochs && history.stopped_by.is_none() {
        let last_good = weights(learner);
        match epoch(learner, (training, validation), config, &mut history, &mut progress) {
            Ok(true) => {}
            Ok(false) => {
                history.stopped_by = Some(StoppedBy::Handle);
                progress.unit(history.epochs(), true, || after_epoch(&history, config.epochs, None));
                return Ok(history);
            }
            Err(error) => {
                restore(learner, &last_good);
                return Err(error);
            }
        }
        let epoch = history.epochs();
        let watched = history.watched()[epoch - 1];
        if watched < history.best() {
            history.best_epoch = epoch;
            if config.patience.is_some() {
                best = weights(learner);
            }
        }
        take_snapshot(learner, config, &mut history)?;
        if epoch < config.epochs && config.patience.is_some_and(|patience| epoch - history.best_epoch >= patience) {
            history.stopped_by = Some(StoppedBy::EarlyStopping);
        }
        if let Some(trial) = &config.trial {
            let value = if trial.maximizes() { history.last_accuracy().unwrap_or(f64::NAN) } else { watched };
            if trial.report(epoch, value)? && epoch < config.epochs {
                history.stopped_by = Some(StoppedBy::Pruning);
            }
        }
        save(learner, &history, &best)?;
        let last = epoch == config.epochs || history.stopped_by.is_some();
        let images = if progress.is_live() { learner.sample()? } else { None };
        progress.unit(epoch, last, || after_epoch(&history, config.epochs, images));
    }
    restore(learner, &best);
    Ok(history)
}

/// The next epoch and its entries in the history; false if it was stopped on the way.
fn epoch<const N: usize>(
    learner: &mut impl Learner<N>,
    (training, validation): (&Dataset, Option<&Dataset>),
    config: &TrainConfig,
    history: &mut History,
    progress: &mut Progress,
) -> Result<bool> {
    let (start, epoch) = (Instant::now(), history.epochs() + 1);
    let learning_rate = config.schedule.rate(config.learning_rate, config.epochs, history.watched());
    let diverged = |step, what| Err(diverged(epoch, step, what, learning_rate));
    let seed = random::mix(config.seed, epoch as u64);
    let order = shuffled_indices(training.len(), seed);
    let mut sums = [0.0; N];
    let mut steps = 0;
    let mut seen = 0;
    let batches = batches(&order, config.batch_size, layer_of_two_rows(learner).is_some());
    for rows in &batches {
        if config.stop.is_wanted() {
            return Ok(false);
        }
        steps += 1;
        let means = learner.step(training, rows, random::mix(seed, steps as u64), learning_rate);
        if let Some(loss) = means.into_iter().find(|mean| !mean.is_finite()) {
            return diverged(steps, format!("the loss became {loss}"));
        }
        seen += rows.len();
        sums.iter_mut().zip(means).for_each(|(sum, mean)| *sum += mean * rows.len() as f64);
        progress.within(|| {
            let batches = [steps, batches.len()];
            within_epoch(history, config.epochs, batches, sums[0] / seen as f64, start.elapsed().as_secs_f64())
        });
    }
    if !weights(learner).iter().all(|weights| weights.par_iter().all(|w| w.is_finite())) {
        return diverged(steps, "a weight became NaN or infinite".into());
    }
    let validated = validation.map(|validation| learner.measure(validation));
    if let Some(loss) = validated.into_iter().flatten().find(|mean| !mean.is_finite()) {
        return diverged(steps, format!("the validation loss became {loss}"));
    }
    let means = sums.map(|sum| sum / training.len() as f64);
    history.learning_rate.push(learning_rate);
    history.loss.push(means[0]);
    history.validation_loss.extend(validated.map(|means| means[0]));
    learner.note(history, means, validated);
    history.seconds.push(start.elapsed().as_secs_f64());
    Ok(true)
}

/// The weights as they are now: shared, and copied only when the next step changes them.
fn weights<const N: usize>(learner: &impl Learner<N>) -> Vec<Weights> {
    learner.networks().into_iter().flat_map(Sequential::parameters).cloned().collect()
}

pub(super) fn restore<const N: usize>(learner: &mut impl Learner<N>, weights: &[Weights]) {
    let parameters = learner.networks_mut().into_iter().flat_map(Sequential::parameters_mut);
    parameters.zip(weights).for_each(|(to, from)| *to = Arc::clone(from));
}

fn take_snapshot<const N: usize>(learner: &impl Learner<N>, config: &TrainConfig, history: &mut History) -> Result<()> {
    let epoch = history.epochs();
    if config.snapshot_epochs.contains(&epoch) {
        history.snapshots.extend(learner.snapshot()?.map(|images| Snapshot { epoch, images }));
    }
    Ok(())
}

fn diverged(epoch: usize, step: usize, what: String, learning_rate: f64) -> Error {
    let kept = match epoch {
        1 => "as they were before training".into(),
        _ => format!("those of the end of epoch {}", epoch - 1),
    };
    Error::new(ErrorKind::Diverged, format!("epoch {epoch}, step {step}"), what).hint(format!(
        "The weights are {kept}. Try a lower learning rate (it is {learning_rate}; {} is a good next guess), and look for \
         input values far outside [0, 1]",
        if learning_rate > 0.001 { 0.001 } else { learning_rate / 10.0 },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_is_lost_or_alone() {
        let order: Vec<usize> = (10..19).collect();
        let sizes = |n: usize, batch_size, two_rows| -> Vec<usize> {
            let batches = batches(&order[..n], batch_size, two_rows);
            assert_eq!(batches.concat(), order[..n]);
            batches.iter().map(|batch| batch.len()).collect()
        };
        assert_eq!(sizes(9, 4, false), [4, 4, 1]);
        assert_eq!(sizes(9, 4, true), [4, 5]);
        assert_eq!(sizes(9, 2, true), [2, 2, 2, 3]);
        assert_eq!(sizes(8, 4, true), [4, 4]);
        assert_eq!(sizes(7, 4, true), [4, 3]);
        assert_eq!(sizes(9, 8, true), [9]);
        assert_eq!(sizes(9, usize::MAX, true), [9]);
        assert_eq!(sizes(1, 4, true), [1]);
    }
}
