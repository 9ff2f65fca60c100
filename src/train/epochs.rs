//! The loop that all trainings share.

use std::{sync::Arc, time::Instant};

use rayon::prelude::*;

use super::{config::TrainConfig, history::History, progress::print_epoch};
use crate::{
    data::{Dataset, shuffled_indices},
    error::{Error, ErrorKind, Result},
    nn::{Reuse, Sequential, Weights},
    random,
};

/// What learns from images, batch by batch. It measures N things on the way, the loss first.
pub(super) trait Learner<const N: usize>: Send + Sync {
    /// The networks that change.
    fn networks(&self) -> Vec<&Sequential>;

    /// The same networks.
    fn networks_mut(&mut self) -> Vec<&mut Sequential>;

    /// One batch: forward, backward, update. Returns its means; where one is not finite, nothing was updated.
    fn step(&mut self, images: &Dataset, rows: &[usize], seed: u64, learning_rate: f64) -> [f64; N];

    /// The means over all images without dropout, with the same noise each time; for those that can be validated.
    fn measure(&self, _images: &Dataset) -> [f64; N] {
        [f64::NAN; N]
    }

    /// Notes an epoch's means but for the loss, of training and of validation.
    fn note(&mut self, _history: &mut History, _training: [f64; N], _validation: Option<[f64; N]>) {}

    /// What the line about an epoch says besides.
    fn remark(&self) -> String {
        String::new()
    }
}

/// Trains for the epochs of these settings, which must have been checked; fills the empty history.
pub(super) fn train<const N: usize>(
    learner: &mut impl Learner<N>,
    (training, validation): (&Dataset, Option<&Dataset>),
    config: &TrainConfig,
    history: History,
) -> Result<History> {
    // On a worker of the pool from beginning to end: a step has dozens of parallel loops, each costs less from there.
    rayon::scope(|_| run(learner, (training, validation), config, history))
}

fn run<const N: usize>(
    learner: &mut impl Learner<N>,
    (training, validation): (&Dataset, Option<&Dataset>),
    config: &TrainConfig,
    mut history: History,
) -> Result<History> {
    let _reuse = Reuse::begin();
    let mut best = (f64::INFINITY, snapshot(learner));
    let mut last_good = snapshot(learner);

    for epoch in 1..=config.epochs {
        let start = Instant::now();
        let learning_rate = config.schedule.rate(config.learning_rate, config.epochs, history.watched());
        history.learning_rate.push(learning_rate);
        let seed = random::mix(config.seed, epoch as u64);
        let order = shuffled_indices(training.len(), seed);
        let mut sums = [0.0; N];
        let mut steps = 0;
        for rows in order.chunks(config.batch_size) {
            steps += 1;
            let means = learner.step(training, rows, random::mix(seed, steps as u64), learning_rate);
            if let Some(loss) = means.into_iter().find(|mean| !mean.is_finite()) {
                restore(learner, &last_good);
                return Err(diverged(epoch, steps, format!("the loss became {loss}"), config));
            }
            sums.iter_mut().zip(means).for_each(|(sum, mean)| *sum += mean * rows.len() as f64);
        }
        let now = snapshot(learner);
        if !now.iter().all(|weights| weights.par_iter().all(|w| w.is_finite())) {
            restore(learner, &last_good);
            return Err(diverged(epoch, steps, "a weight became NaN or infinite".into(), config));
        }
        let validated = validation.map(|validation| learner.measure(validation));
        if let Some(loss) = validated.into_iter().flatten().find(|mean| !mean.is_finite()) {
            restore(learner, &last_good);
            return Err(diverged(epoch, steps, format!("the validation loss became {loss}"), config));
        }
        let means = sums.map(|sum| sum / training.len() as f64);
        history.loss.push(means[0]);
        history.validation_loss.extend(validated.map(|means| means[0]));
        learner.note(&mut history, means, validated);
        last_good = now;
        history.seconds.push(start.elapsed().as_secs_f64());

        let watched = history.watched()[epoch - 1];
        if watched < best.0 {
            best = (watched, last_good.clone());
            history.best_epoch = epoch;
        }
        history.stopped_early =
            epoch < config.epochs && config.patience.is_some_and(|patience| epoch - history.best_epoch >= patience);
        let last = epoch == config.epochs || history.stopped_early;
        if config.progress_every > 0 && (last || epoch == 1 || epoch.is_multiple_of(config.progress_every)) {
            print_epoch(&history, config.epochs, &learner.remark());
        }
        if history.stopped_early {
            break;
        }
    }
    if config.patience.is_some() {
        restore(learner, &best.1);
    }
    Ok(history)
}

/// The weights as they are now: shared, and copied only when the next step changes them.
fn snapshot<const N: usize>(learner: &impl Learner<N>) -> Vec<Weights> {
    learner.networks().into_iter().flat_map(Sequential::parameters).cloned().collect()
}

fn restore<const N: usize>(learner: &mut impl Learner<N>, weights: &[Weights]) {
    let parameters = learner.networks_mut().into_iter().flat_map(Sequential::parameters_mut);
    parameters.zip(weights).for_each(|(to, from)| *to = Arc::clone(from));
}

fn diverged(epoch: usize, step: usize, what: String, config: &TrainConfig) -> Error {
    let kept = match epoch {
        1 => "as they were before training".into(),
        _ => format!("those of the end of epoch {}", epoch - 1),
    };
    let rate = config.learning_rate;
    Error::new(ErrorKind::Diverged, format!("epoch {epoch}, step {step}"), what).hint(format!(
        "The weights are {kept}. Try a lower learning rate (it is {rate}; {} is a good next guess), and look for input \
         values far outside [0, 1]",
        if rate > 0.001 { 0.001 } else { rate / 10.0 },
    ))
}
