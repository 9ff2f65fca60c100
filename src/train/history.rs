use std::{collections::BTreeMap, fmt};

use ndarray::Array4;
use serde::{Deserialize, Deserializer, Serialize};

use super::objective::Measures;
use crate::{error::Error, progress::duration_text};

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
    /// A classifier's accuracy in each epoch, a share in \[0, 1\] of the training images, measured while the weights
    /// change; empty for other models.
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
    /// The norm of each layer's gradient in each epoch, by the layer's name, for
    /// [`Watch::GradientNorms`](crate::Watch::GradientNorms). NaN for an epoch in which it was not watched, before one
    /// in which it was.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "with_gaps")]
    pub gradient_norms: Vec<(String, Vec<f64>)>,
    /// The share of dead units in each `relu` layer after each epoch, for
    /// [`Watch::DeadUnits`](crate::Watch::DeadUnits); as `gradient_norms`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "with_gaps")]
    pub dead_units: Vec<(String, Vec<f64>)>,
    /// What went wrong without ending the training, with the epoch: a checkpoint that could not be written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The images that [`TrainConfig::snapshots`](crate::TrainConfig::snapshots) asked for, in the order of the epochs.
    #[serde(skip)]
    pub snapshots: Vec<Snapshot>,
    /// What the snapshots are reconstructions of.
    #[serde(skip)]
    pub(crate) originals: Option<Array4<f32>>,
    /// What else was measured in each epoch, by name: the `discriminator_loss` of a [`Gan`](crate::Gan), whose `loss`
    /// is the generator's; empty for other models.
    #[serde(flatten)]
    pub metrics: BTreeMap<String, Vec<f64>>,
}

/// Reads curves in which NaN is written as null.
fn with_gaps<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, Vec<f64>)>, D::Error> {
    let curves: Vec<(String, Vec<Option<f64>>)> = Vec::deserialize(from)?;
    let value = |value: Option<f64>| value.unwrap_or(f64::NAN);
    Ok(curves.into_iter().map(|(name, values)| (name, values.into_iter().map(value).collect())).collect())
}

/// Adds an epoch's values to the curves of the layers of these names.
pub(super) fn record_by_layer(curves: &mut Vec<(String, Vec<f64>)>, epoch: usize, values: Vec<(String, f64)>) {
    for (layer, value) in values {
        let known = curves.iter().position(|(known, _)| *known == layer);
        let index = known.unwrap_or_else(|| {
            curves.push((layer, Vec::new()));
            curves.len() - 1
        });
        curves[index].1.resize(epoch - 1, f64::NAN);
        curves[index].1.push(value);
    }
}

/// The curves of layers as curves of a history.
pub(crate) fn curves_by_layer<'a>(
    name: &'a str,
    curves: &'a [(String, Vec<f64>)],
) -> impl Iterator<Item = (String, &'a [f64])> {
    curves.iter().map(move |(layer, values)| (format!("{name}/{layer}"), &values[..]))
}

/// A model's images after an epoch: reconstructions of the same originals, or samples from the same noise.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Snapshot {
    /// After which epoch, from 1; 0 before the first.
    pub epoch: usize,
    /// The images, (n, channels, height, width).
    pub images: Array4<f32>,
}

/// What ended a training before its last epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StoppedBy {
    /// The loss had no new minimum for [`early_stopping`](crate::TrainConfig::early_stopping)'s patience: the weights
    /// are those of the best epoch.
    EarlyStopping,
    /// The notebook's stop button was pressed, or its [`StopHandle`](crate::StopHandle) used: the weights are those of
    /// the last batch. An epoch that was not finished has no entry in the history.
    Handle,
    /// The study of its [`trial`](crate::TrainConfig::trial) prunes it.
    Pruning,
    /// A function given to [`after_epoch`](crate::TrainConfig::after_epoch) asked for it.
    Callback,
}

impl fmt::Display for StoppedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EarlyStopping => "stopped early",
            Self::Handle => "stopped",
            Self::Callback => "stopped by a callback",
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

    /// Adds an epoch's means, of training and of validation: the loss, and the measures of these names.
    pub(super) fn record(&mut self, names: &[&str], training: Measures, validation: Option<Measures>) {
        for (index, name) in [&["loss"], names].concat().iter().enumerate() {
            self.curve(name, false).push(training[index]);
            if let Some(validation) = validation {
                self.curve(name, true).push(validation[index]);
            }
        }
    }

    /// The curve of a measure, of training or of validation.
    pub(super) fn curve(&mut self, name: &str, validation: bool) -> &mut Vec<f64> {
        match (name, validation) {
            ("loss", false) => &mut self.loss,
            ("loss", true) => &mut self.validation_loss,
            ("accuracy", false) => &mut self.accuracy,
            ("accuracy", true) => &mut self.validation_accuracy,
            ("reconstruction", false) => &mut self.reconstruction,
            ("reconstruction", true) => &mut self.validation_reconstruction,
            ("kl", false) => &mut self.kl,
            ("kl", true) => &mut self.validation_kl,
            (_, false) => self.metrics.entry(name.into()).or_default(),
            (_, true) => self.metrics.entry(format!("validation_{name}")).or_default(),
        }
    }

    /// All curves that have values, by name; those of a layer behind a slash.
    pub(crate) fn curves(&self) -> Vec<(String, &[f64])> {
        let named = [
            ("loss", &self.loss),
            ("validation_loss", &self.validation_loss),
            ("accuracy", &self.accuracy),
            ("validation_accuracy", &self.validation_accuracy),
            ("reconstruction", &self.reconstruction),
            ("validation_reconstruction", &self.validation_reconstruction),
            ("kl", &self.kl),
            ("validation_kl", &self.validation_kl),
        ];
        let named = named.into_iter().chain(self.metrics.iter().map(|(name, values)| (&name[..], values)));
        let named = named.chain([("learning_rate", &self.learning_rate), ("seconds", &self.seconds)]);
        let mut all: Vec<_> = named.map(|(name, values)| (name.to_string(), &values[..])).collect();
        all.extend(curves_by_layer("gradient_norms", &self.gradient_norms));
        all.extend(curves_by_layer("dead_units", &self.dead_units));
        all.retain(|(_, values)| !values.is_empty());
        all
    }

    /// Records whether the last epoch is the best.
    pub(super) fn note_best(&mut self) {
        let watched = self.watched();
        let lowest = self.best_epoch.checked_sub(1).map_or(f64::INFINITY, |epoch| watched[epoch]);
        if watched.last().is_some_and(|loss| *loss < lowest) {
            self.best_epoch = self.epochs();
        }
    }

    /// The losses that early stopping and schedules monitor: those on the validation images, without them the
    /// training's.
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

    /// The epochs before the error that ended a training: with [`Result`](crate::Result)'s `Err`, which has no history
    /// of its own, they are not lost. `None` if the error came before the first epoch, or not from a training.
    ///
    /// ```
    /// use latentlab::{Autoencoder, Dataset, History, TrainConfig, train_ae};
    ///
    /// let (digits, mut autoencoder) = (Dataset::built_in_digits(100, 0)?, Autoencoder::tiny(2)?);
    /// let config = TrainConfig::new().epochs(5).after_epoch(|epoch| {
    ///     epoch.model::<Autoencoder>()?.save(format!("no such folder/{}.safetensors", epoch.number()))?;
    ///     Ok(std::ops::ControlFlow::Continue(()))
    /// });
    /// let error = train_ae(&mut autoencoder, &digits, &config).unwrap_err();
    /// assert!(error.to_string().starts_with("after epoch 1, "));
    /// assert_eq!(History::before(&error).unwrap().epochs(), 1);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn before(error: &Error) -> Option<&Self> {
        let source = std::error::Error::source(error)?;
        source.downcast_ref().map(|Interrupted { history, .. }| history)
    }

    /// The error that ends this training, with its history.
    pub(super) fn until(self, error: Error) -> Error {
        if self.epochs() == 0 { error } else { error.clone().source(Interrupted { history: self, error }) }
    }

    /// How long the training took, in seconds.
    pub fn total_seconds(&self) -> f64 {
        self.seconds.iter().sum()
    }
}

/// The history of a training that an error ended, and the error itself.
#[derive(Debug)]
struct Interrupted {
    history: History,
    error: Error,
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.history)
    }
}

impl std::error::Error for Interrupted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
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
        if let Some(stopped_by) = self.stopped_by {
            write!(f, ", {stopped_by}")?;
        }
        self.warnings.iter().try_for_each(|warning| write!(f, "; warning: {warning}"))
    }
}
