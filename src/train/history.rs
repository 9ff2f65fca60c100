use std::fmt;

use super::progress::duration_text;

/// What happened in a training, epoch by epoch: plain numbers, entry 0 for epoch 1.
#[derive(Clone, Debug, PartialEq)]
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
    /// Whether early stopping ended the training before its last epoch.
    pub stopped_early: bool,
}

impl History {
    pub(super) fn new(objective: impl Into<String>) -> Self {
        Self {
            objective: objective.into(),
            loss: Vec::new(),
            validation_loss: Vec::new(),
            accuracy: Vec::new(),
            validation_accuracy: Vec::new(),
            reconstruction: Vec::new(),
            kl: Vec::new(),
            validation_reconstruction: Vec::new(),
            validation_kl: Vec::new(),
            learning_rate: Vec::new(),
            seconds: Vec::new(),
            best_epoch: 0,
            stopped_early: false,
        }
    }

    /// How many epochs ran.
    pub fn epochs(&self) -> usize {
        self.loss.len()
    }

    /// The losses that early stopping and schedules watch: those on the validation images, without them the training's.
    pub(super) fn watched(&self) -> &[f64] {
        if self.validation_loss.is_empty() { &self.loss } else { &self.validation_loss }
    }

    /// The training loss of the last epoch.
    pub fn final_loss(&self) -> f64 {
        self.loss.last().copied().unwrap_or(f64::NAN)
    }

    /// How long the training took, in seconds.
    pub fn total_seconds(&self) -> f64 {
        self.seconds.iter().sum()
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (epochs, time) = (self.epochs(), duration_text(self.total_seconds()));
        write!(f, "{epochs} epochs in {time}, loss {:.4}", self.final_loss())?;
        if let Some(validation) = self.validation_loss.last() {
            write!(f, ", validation {validation:.4}")?;
        }
        if let Some(accuracy) = self.validation_accuracy.last().or(self.accuracy.last()) {
            write!(f, ", accuracy {:.2} %", 100.0 * accuracy)?;
        }
        write!(f, "; best epoch {}", self.best_epoch)?;
        if self.stopped_early { write!(f, ", stopped early") } else { Ok(()) }
    }
}
