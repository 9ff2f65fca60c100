//! What watches the epochs. After each, the loop calls them in this order, so that a later one sees what an earlier
//! one did:
//!
//! 1. [`snapshots`]: what the model makes of the chosen images goes into the history;
//! 2. [`early_stopping`]: keeps the best weights, or stops;
//! 3. [`report`]: tells the trial of a study, which may prune the training;
//! 4. [`tensorboard`]: writes the curves for TensorBoard;
//! 5. [`checkpoint`]: writes all that to a file;
//! 6. [`after_epoch`]: calls what the user has given to [`TrainConfig::after_epoch`];
//! 7. [`progress_line`]: shows where the training is, and what has stopped it.

mod after_epoch;
mod checkpoint;
mod early_stopping;
mod progress_line;
mod report;
mod snapshots;
mod tensorboard;

use std::{ops::ControlFlow, time::Instant};

pub use after_epoch::Epoch;
pub(super) use after_epoch::{AfterEpoch, Callback};
pub(super) use checkpoint::{Settings, resume};

use super::{
    config::TrainConfig,
    history::{History, StoppedBy},
    objective::Learner,
};
use crate::{
    error::Result,
    nn::{OptimizerState, Weights},
};

/// Watches the epochs of a training.
pub(super) trait Observer: Send {
    /// Before the first epoch, unless the training resumes.
    fn begin(&mut self, _at: &mut EpochEnd<'_>) -> Result<()> {
        Ok(())
    }

    /// In an epoch.
    fn after_batch(&mut self, _history: &History, _config: &TrainConfig, _end: &BatchEnd<'_>) {}

    /// After an epoch, which is in the history by then. An error or a break ends the training.
    fn after_epoch(&mut self, at: &mut EpochEnd<'_>) -> Result<ControlFlow<StoppedBy>>;

    /// When a stop button or handle has ended an epoch before its last batch.
    fn stopped(&mut self, _at: &EpochEnd<'_>) {}
}

/// A training between two epochs.
pub(super) struct EpochEnd<'a> {
    pub model: &'a mut dyn Learner,
    pub config: &'a TrainConfig,
    pub optimizer: &'a mut OptimizerState,
    pub history: &'a mut History,
    /// The weights that early stopping would restore.
    pub best: &'a mut Vec<Weights>,
}

/// An epoch after some of its batches.
pub(super) struct BatchEnd<'a> {
    /// Which of how many.
    pub batch: [usize; 2],
    /// Their mean loss.
    pub loss: f64,
    pub start: Instant,
    pub model: &'a dyn Learner,
}

/// Those that these settings ask for, in their order.
pub(super) fn of(config: &TrainConfig, settings: Option<&Settings>) -> Result<Vec<Box<dyn Observer>>> {
    let mut all: Vec<Box<dyn Observer>> = vec![Box::new(snapshots::Snapshots)];
    if let Some(patience) = config.patience {
        all.push(Box::new(early_stopping::EarlyStopping { patience }));
    }
    if let Some(trial) = &config.trial {
        all.push(Box::new(report::Report(trial.clone())));
    }
    if let Some(folder) = &config.tensorboard {
        all.push(Box::new(tensorboard::TensorBoard::new(folder)?));
    }
    if let (Some(path), Some(settings)) = (&config.checkpoint, settings) {
        all.push(Box::new(checkpoint::Checkpoint::new(path, settings)));
    }
    all.push(Box::new(AfterEpoch));
    all.push(Box::new(progress_line::ProgressLine::new(config.progress_every)));
    Ok(all)
}
