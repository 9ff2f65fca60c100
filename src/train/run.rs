//! The loop over the epochs that all trainings share.

use std::{ops::ControlFlow, ptr, sync::Arc, time::Instant};

use rayon::prelude::*;

use super::{
    check,
    config::TrainConfig,
    history::{History, StoppedBy},
    objective::{Learner, Measures},
    observers::{self, BatchEnd, EpochEnd, Observer, Settings},
    tuning::TrialLink,
    watch::{self, Gradients},
};
use crate::{
    channel::Stoppable,
    data::{Dataset, shuffled_indices},
    engine::Reuse,
    error::{Error, ErrorKind, Result},
    nn::{BatchSplit, OptimizerState, Sequential, Weights, publish},
    random,
};

/// A training between two epochs, without its model.
pub(super) struct Run {
    config: TrainConfig,
    training: Dataset,
    validation: Option<Dataset>,
    optimizer: OptimizerState,
    history: History,
    /// What early stopping would restore; empty without it.
    best: Vec<Weights>,
    observers: Vec<Box<dyn Observer>>,
}

/// Trains until an end.
pub(super) fn train(model: &mut dyn Learner, images: &Dataset, config: TrainConfig) -> Result<History> {
    let (_reuse, _stoppable) = (Reuse::begin(), Stoppable::begin());
    let mut run = Run::begin(model, images, config)?;
    loop {
        match run.epoch(model) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return Err(run.history.until(error)),
        }
    }
    if run.history.stopped_by == Some(StoppedBy::Callback) {
        restore(model, &run.best);
    }
    Ok(run.history)
}

impl Run {
    /// Checks images and settings, and goes to the beginning or to a checkpoint. After an error nothing has changed.
    pub fn begin(model: &mut dyn Learner, images: &Dataset, mut config: TrainConfig) -> Result<Self> {
        config.split_targets(images)?;
        let (training, validation) = model.prepare(config.prepare(model.settings(), images)?, &config)?;
        check_batches(model, &training, &config)?;
        watch::check(model, &config)?;
        if !model.measures().contains(&"accuracy") && config.trial.as_ref().is_some_and(TrialLink::maximizes) {
            let expected = "a trial of a study that minimizes: there is a loss, and no accuracy";
            return Err(Error::expected(ErrorKind::Argument, "TrainConfig::trial", expected, "one that maximizes"));
        }
        let keeps = config.resume.is_some() || config.checkpoint.is_some();
        let settings = keeps.then(|| Settings::of(&config, (&training, validation.as_ref())));
        let mut run = Self {
            optimizer: OptimizerState::new(config.optimizer, config.learning_rate),
            history: History::new(model.objective(&config)),
            best: Vec::new(),
            observers: observers::of(&config, settings.as_ref())?,
            config,
            training,
            validation,
        };
        if let (Some(path), Some(settings)) = (&run.config.resume, &settings) {
            (run.history, run.best) = observers::resume(path, settings, model, &mut run.optimizer, run.config.epochs)?;
        } else {
            let (mut at, observers) = run.at(model);
            observers.iter_mut().try_for_each(|observer| observer.begin(&mut at))?;
        }
        run.history.originals = run.config.snapshots.originals();
        run.restore_best(model);
        Ok(run)
    }

    pub fn history(&self) -> &History {
        &self.history
    }

    pub fn into_history(self) -> History {
        self.history
    }

    /// Makes the next epoch; false if there is none, or if it or what comes after it was asked to stop.
    pub fn epoch(&mut self, model: &mut dyn Learner) -> Result<bool> {
        let (_reuse, _stoppable) = (Reuse::begin(), Stoppable::begin());
        if matches!(self.history.stopped_by, Some(StoppedBy::Handle | StoppedBy::Callback)) {
            self.history.stopped_by = None;
        }
        if self.is_over() {
            return Ok(false);
        }
        let last_good = weights(model);
        // On a worker of the pool: a step has dozens of parallel loops, each costs less from there.
        match rayon::scope(|_| self.batches(model)) {
            Ok(true) => {}
            Ok(false) => {
                self.history.stopped_by = Some(StoppedBy::Handle);
                let (at, observers) = self.at(model);
                observers.iter_mut().for_each(|observer| observer.stopped(&at));
                return Ok(false);
            }
            Err(error) => {
                restore(model, &last_good);
                for optimizer in model.optimizers(&mut self.optimizer) {
                    // It has seen what is not finite.
                    *optimizer = OptimizerState::new(optimizer.optimizer, optimizer.learning_rate);
                }
                return Err(error);
            }
        }
        self.history.note_best();
        let (mut at, observers) = self.at(model);
        let epoch = at.history.epochs();
        for observer in observers {
            let next = observer.after_epoch(&mut at);
            let next = next.map_err(|error| error.within(&format!("after epoch {epoch}")))?;
            if let ControlFlow::Break(stopped_by) = next
                && epoch < at.config.epochs
            {
                at.history.stopped_by = Some(stopped_by);
            }
        }
        self.restore_best(model);
        Ok(self.history.stopped_by != Some(StoppedBy::Callback))
    }

    fn is_over(&self) -> bool {
        self.history.epochs() >= self.config.epochs || self.history.stopped_by.is_some()
    }

    fn restore_best(&self, model: &mut dyn Learner) {
        if self.is_over() && self.history.stopped_by != Some(StoppedBy::Callback) {
            restore(model, &self.best);
        }
    }

    /// What observers see, and they.
    fn at<'a>(&'a mut self, model: &'a mut dyn Learner) -> (EpochEnd<'a>, &'a mut [Box<dyn Observer>]) {
        let Self { config, optimizer, history, best, observers, .. } = self;
        (EpochEnd { model, config, optimizer, history, best }, observers)
    }

    /// The batches and the validation of the next epoch, and its entries in the history; false if it was stopped.
    fn batches(&mut self, model: &mut dyn Learner) -> Result<bool> {
        let Self { config, training, validation, optimizer, history, observers, .. } = self;
        let (start, epoch) = (Instant::now(), history.epochs() + 1);
        let learning_rate = config.schedule.rate(config.learning_rate, config.epochs, history.watched());
        let diverged = |step, what| Err(diverged(epoch, step, what, learning_rate));
        let seed = random::mix(config.seed, epoch as u64);
        let order = shuffled_indices(training.len(), seed);
        let mut sums = Measures::default();
        let (mut steps, mut seen) = (0, 0);
        let batches = batches(&order, config.batch_size, layer_of_two_rows(model).is_some());
        let mut gradients = Gradients::of(config, batches.len());
        optimizer.learning_rate = learning_rate;
        for rows in &batches {
            if config.stop.should_stop() {
                return Ok(false);
            }
            steps += 1;
            gradients.before(steps, model.optimizers(optimizer));
            let means = model.step((training, rows), random::mix(seed, steps as u64), config, optimizer);
            let means = means.map_err(|error| error.within(&format!("epoch {epoch}, step {steps}")))?;
            if let Some(loss) = means.into_iter().find(|mean| !mean.is_finite()) {
                return diverged(steps, format!("the loss became {loss}"));
            }
            gradients.after(steps, model.optimizers(optimizer));
            seen += rows.len();
            sums.iter_mut().zip(means).for_each(|(sum, mean)| *sum += mean * rows.len() as f64);
            let end = BatchEnd { batch: [steps, batches.len()], loss: sums[0] / seen as f64, start, model };
            observers.iter_mut().for_each(|observer| observer.after_batch(history, config, &end));
        }
        if !weights(model).iter().all(|weights| weights.par_iter().all(|w| w.is_finite())) {
            return diverged(steps, "a weight became NaN or infinite".into());
        }
        let targets = config.validation_targets.as_ref();
        let measure = |validation| {
            let measures = model.measure(validation, targets, config);
            measures.map_err(|error| error.within(&format!("epoch {epoch}, validation")))
        };
        let validated = validation.as_ref().map(measure).transpose()?;
        if let Some(loss) = validated.into_iter().flatten().find(|mean| !mean.is_finite()) {
            return diverged(steps, format!("the validation loss became {loss}"));
        }
        history.learning_rate.push(learning_rate);
        history.record(model.measures(), sums.map(|sum| sum / training.len() as f64), validated);
        watch::record(model, config, &gradients, training, history);
        history.seconds.push(start.elapsed().as_secs_f64());
        Ok(true)
    }
}

/// Refuses batches that are too small for a batch normalisation, or too large for the memory.
fn check_batches(model: &dyn Learner, training: &Dataset, config: &TrainConfig) -> Result<()> {
    let place = format!("{}::batch_size", model.settings());
    if let Some(layer) = layer_of_two_rows(model) {
        if training.len() < 2 {
            return Err(check::one_row(ErrorKind::Data, "training images", &layer));
        }
        if config.batch_size < 2 {
            return Err(check::one_row(ErrorKind::Argument, place, &layer));
        }
    }
    // The last image may join the batch before it.
    let rows = training.len().min(config.batch_size.saturating_add(1));
    BatchSplit::check(&place, rows, &model.trained())
}

/// The first layer that is trained and needs batches of at least two rows, if there is one.
fn layer_of_two_rows(model: &dyn Learner) -> Option<String> {
    let (mut networks, trained) = (model.file().networks, model.trained());
    networks.retain(|(_, network)| trained.iter().any(|trained| ptr::eq(*trained, *network)));
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

/// The weights as they are now: shared, and copied only when the next step changes them.
pub(super) fn weights(model: &dyn Learner) -> Vec<Weights> {
    model.trained().into_iter().flat_map(Sequential::parameters).cloned().collect()
}

pub(super) fn restore(model: &mut dyn Learner, weights: &[Weights]) {
    let parameters = model.trained_mut().into_iter().flat_map(Sequential::parameters_mut);
    parameters.zip(weights).for_each(|(to, from)| *to = Arc::clone(from));
    publish(model.trained());
}

fn diverged(epoch: usize, step: usize, what: String, learning_rate: f64) -> Error {
    let kept = match epoch {
        1 => "as they were before training".into(),
        _ => format!("those of the end of epoch {}", epoch - 1),
    };
    Error::new(ErrorKind::Diverged, format!("epoch {epoch}, step {step}"), what).hint(format!(
        "The weights are {kept}. Try a lower learning rate (it is {learning_rate}; {} is a good next guess), and look \
         for input values far outside [0, 1]",
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
