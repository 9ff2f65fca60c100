use std::fmt;

use ndarray::Array4;
use serde::{Deserialize, Serialize};

use crate::progress::duration_text;

/// What happened in a training, epoch by epoch: plain numbers, entry 0 for epoch 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct History {
    /// The name of the loss that was minimised: "mean squared error", "cross-entropy" …
    pub objective: String,
    /// The mean loss over the batches of each epoch, measured while the weights change (as Keras does).
    pub loss: Vec<f64>,
    /// The loss on the validation images after each epoch; empty without validation.
    pub validation_loss: Vec<f64>,
    /// A classifier's accuracy in each epoch, a share in \[0, 1\] of the training images, measured while the weights change; empty for other models.
    pub accuracy: Vec<f64>,
    /// A classifier's accuracy on the validation images after each epoch; empty without validation.
    pub validation_accuracy: Vec<f64>,
    /// A variational autoencoder's reconstruction loss in each epoch, the mean over pixels; empty for other models.
    pub reconstruction: Vec<f64>,
    /// A variational autoencoder's KL divergence from N(0, I) in each epoch, in nats an image; empty for other models.
    pub kl: Vec<f64>,
    /// The reconstruction loss on the validation images after each epoch; empty without validation.
    pub validation_reconstruction: Vec<f64>,
    /// The KL divergence on the validation images after each epoch; empty without validation.
    pub validation_kl: Vec<f64>,
    /// The learning rate of each epoch, as the [`Schedule`](crate::Schedule) had it.
    pub learning_rate: Vec<f64>,
    /// How long each epoch took, validation included, in seconds.
    pub seconds: Vec<f64>,
    /// The epoch (from 1) with the lowest validation loss, or the lowest training loss without validation.
    pub best_epoch: usize,
    /// What ended the training before its last epoch; `None` if all ran.
    pub stopped_by: Option<StoppedBy>,
    /// What was asked for by [`TrainConfig::snapshots`](crate::TrainConfig::snapshots), in the order of the epochs.
    #[serde(skip)]
    pub snapshots: Vec<Snapshot>,
    /// What the snapshots are reconstructions of.
    #[serde(skip)]
    pub(crate) originals: Option<Array4<f32>>,
    /// The discriminator's, of a GAN.
    pub(super) discriminator_loss: Vec<f64>,
}

/// What a model made of the same images after an epoch.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// After which epoch, from 1; 0 before the first.
    pub epoch: usize,
    /// What it made, (n, channels, height, width).
    pub images: Array4<f32>,
}

/// What ended a training before its last epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StoppedBy {
    /// The loss had no new minimum for [`early_stopping`](crate::TrainConfig::early_stopping)'s patience: the weights are those of the best epoch.
    EarlyStopping,
    /// The notebook's stop button was pressed, or its [`StopHandle`](crate::StopHandle) used: the weights are those of the last batch. An epoch that was not finished has no entry in the history.
    Handle,
    /// The study of its [`trial`](crate::TrainConfig::trial) prunes it.
    Pruning,
}

impl fmt::Display for StoppedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EarlyStopping => "stopped early",
            Self::Handle => "stopped",
            Self::Pruning => "pruned",
        })
    }
}

impl History {
    pub(super) fn new(objective: impl Into<String>) -> Self {
        Self { objective: objective.into(), ..Self::default() }
    }

    /// How many epochs ran.
    pub fn epochs(&self) -> usize {
        self.loss.len()
    }

    /// A classifier's accuracy after the last epoch, on the validation images if there are any.
    pub(super) fn last_accuracy(&self) -> Option<f64> {
        self.validation_accuracy.last().or(self.accuracy.last()).copied()
    }

    /// The lowest of the watched losses.
    pub(super) fn best(&self) -> f64 {
        self.best_epoch.checked_sub(1).map_or(f64::INFINITY, |epoch| self.watched()[epoch])
    }

    /// The losses that early stopping and schedules watch: those on the validation images, without them the training's.
    pub(super) fn watched(&self) -> &[f64] {
        if self.validation_loss.is_empty() { &self.loss } else { &self.validation_loss }
    }

    /// The training loss of the last epoch.
    pub fn final_loss(&self) -> f64 {
        self.loss.last().copied().unwrap_or(f64::NAN)
    }

    /// The validation loss of the last epoch; NaN without validation.
    pub fn final_validation_loss(&self) -> f64 {
        self.validation_loss.last().copied().unwrap_or(f64::NAN)
    }

    /// How long the training took, in seconds.
    pub fn total_seconds(&self) -> f64 {
        self.seconds.iter().sum()
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (epochs, time) = (self.epochs(), duration_text(self.total_seconds()));
        write!(f, "{epochs} epochs in {time}")?;
        if epochs > 0 {
            write!(f, ", loss {:.4}", self.final_loss())?;
        }
        if let Some(validation) = self.validation_loss.last() {
            write!(f, ", validation {validation:.4}")?;
        }
        if let Some(accuracy) = self.last_accuracy() {
            write!(f, ", accuracy {:.2} %", 100.0 * accuracy)?;
        }
        if epochs > 0 {
            write!(f, "; best epoch {}", self.best_epoch)?;
        }
        self.stopped_by.map_or(Ok(()), |stopped_by| write!(f, ", {stopped_by}"))
    }
}
