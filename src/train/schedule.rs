use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// How the learning rate changes from epoch to epoch, starting from
/// [`learning_rate`](crate::TrainConfig::learning_rate) η.
///
/// | schedule | rate of epoch e (from 1) of E | settings |
/// |---|---|---|
/// | [`constant`](Self::constant), the default | η | |
/// | [`cosine`](Self::cosine) | η_min + ½(η − η_min)(1 + cos(π(e − 1)/E)) | [`minimum`](Self::minimum) η_min 0 |
/// | [`reduce_on_plateau`](Self::reduce_on_plateau) | that of e − 1; `factor` times it after a plateau | see there |
///
/// [`History::learning_rate`](crate::History::learning_rate) holds the rates that were used. Settings are checked
/// when training starts.
///
/// ```
/// use latentlab::{Autoencoder, Dataset, Schedule, TrainConfig, train_ae};
///
/// let digits = Dataset::built_in_digits(200, 0)?;
/// let config = TrainConfig::new().epochs(4).learning_rate(0.01).schedule(Schedule::cosine());
/// let history = train_ae(&mut Autoencoder::tiny(2)?, &digits, &config)?;
/// assert_eq!(history.learning_rate[0], 0.01);
/// assert!((history.learning_rate[2] - 0.005).abs() < 1e-12);
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    kind: Kind,
    // `None` where the schedule has no such setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    factor: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    patience: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    threshold: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    minimum: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Constant,
    Cosine,
    ReduceOnPlateau,
}

impl Schedule {
    /// Whether the rates depend on the number of epochs.
    pub(super) fn depends_on_epochs(&self) -> bool {
        self.kind == Kind::Cosine
    }

    /// The same rate in all epochs.
    pub fn constant() -> Self {
        Self::default()
    }

    /// Cosine annealing over the epochs of the training, without restarts (Loshchilov and Hutter 2017, "SGDR:
    /// stochastic gradient descent with warm restarts"; PyTorch's `CosineAnnealingLR` with `T_max` = epochs).
    pub fn cosine() -> Self {
        Self { kind: Kind::Cosine, minimum: Some(0.0), ..Self::default() }
    }

    /// `factor` times the rate after `patience` + 1 epochs without progress: [`factor`](Self::factor) 0.1,
    /// [`patience`](Self::patience) 10, [`threshold`](Self::threshold) 10⁻⁴, [`minimum`](Self::minimum) 0.
    ///
    /// A lower rate when the validation loss (without validation: the training loss) has stopped falling: PyTorch's
    /// `ReduceLROnPlateau`, but with `eps` 0: no reduction is too small to be made. Keras' differs: it reduces one
    /// epoch earlier, and its threshold is absolute.
    pub fn reduce_on_plateau() -> Self {
        Self {
            kind: Kind::ReduceOnPlateau,
            factor: Some(0.1),
            patience: Some(10),
            threshold: Some(1e-4),
            minimum: Some(0.0),
        }
    }

    /// What the rate is multiplied by on a plateau, in (0, 1).
    pub fn factor(self, factor: f64) -> Self {
        Self { factor: Some(factor), ..self }
    }

    /// How many epochs in a row may pass without progress; the next one reduces the rate.
    pub fn patience(self, epochs: usize) -> Self {
        Self { patience: Some(epochs), ..self }
    }

    /// By what fraction a loss must be below the lowest one to count as progress, in \[0, 1).
    pub fn threshold(self, share: f64) -> Self {
        Self { threshold: Some(share), ..self }
    }

    /// The lowest rate of a cosine or a plateau, from 0 to the training's learning rate.
    pub fn minimum(self, learning_rate: f64) -> Self {
        Self { minimum: Some(learning_rate), ..self }
    }

    /// Refuses settings out of range, and settings that this schedule does not have.
    pub(super) fn check(&self, learning_rate: f64) -> Result<()> {
        let wrong = |setting: &str, expected: String, got: String| {
            Err(Error::expected(ErrorKind::Argument, format!("Schedule::{setting}"), expected, got))
        };
        let on_plateau = self.kind == Kind::ReduceOnPlateau;
        let belongs = [
            ("factor", self.factor.is_some(), on_plateau, "reduce_on_plateau"),
            ("patience", self.patience.is_some(), on_plateau, "reduce_on_plateau"),
            ("threshold", self.threshold.is_some(), on_plateau, "reduce_on_plateau"),
            ("minimum", self.minimum.is_some(), self.kind != Kind::Constant, "cosine or reduce_on_plateau"),
        ];
        let name = match self.kind {
            Kind::Constant => "constant",
            Kind::Cosine => "cosine",
            Kind::ReduceOnPlateau => "reduce_on_plateau",
        };
        for (setting, given, wanted, owners) in belongs {
            match (given, wanted) {
                (true, false) => return wrong(setting, format!("{owners}, which has this setting"), name.into()),
                (false, true) => return wrong(setting, format!("a value for {name}"), "none".into()),
                _ => {}
            }
        }
        if let Some(factor) = self.factor
            && !(factor > 0.0 && factor < 1.0)
        {
            return wrong("factor", "a number in (0, 1)".into(), factor.to_string());
        }
        if let Some(threshold) = self.threshold
            && !(0.0..1.0).contains(&threshold)
        {
            return wrong("threshold", "a number in [0, 1)".into(), threshold.to_string());
        }
        if let Some(minimum) = self.minimum
            && !(0.0..=learning_rate).contains(&minimum)
        {
            return wrong(
                "minimum",
                format!("a number from 0 to the learning rate, {learning_rate}"),
                minimum.to_string(),
            );
        }
        Ok(())
    }

    /// The rate of the epoch after those with these monitored losses, in a training of `epochs`. It depends on the past
    /// alone, so that a resumed training continues as if it had never stopped.
    pub(super) fn rate(&self, learning_rate: f64, epochs: usize, watched: &[f64]) -> f64 {
        let minimum = self.minimum.unwrap_or_default();
        match self.kind {
            Kind::Constant => learning_rate,
            Kind::Cosine => {
                let done = watched.len() as f64 / epochs as f64;
                minimum + (learning_rate - minimum) * (1.0 + (PI * done).cos()) / 2.0
            }
            Kind::ReduceOnPlateau => {
                let factor = self.factor.unwrap_or_default();
                let patience = self.patience.unwrap_or_default();
                let share = 1.0 - self.threshold.unwrap_or_default();
                let (mut rate, mut lowest, mut waited) = (learning_rate, f64::INFINITY, 0);
                for &loss in watched {
                    if loss < lowest * share {
                        (lowest, waited) = (loss, 0);
                    } else {
                        waited += 1;
                    }
                    if waited > patience {
                        (rate, waited) = ((rate * factor).max(minimum), 0);
                    }
                }
                rate
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What tests/reference/optimizers.py writes.
    #[derive(Deserialize)]
    struct PyTorch {
        learning_rate: f64,
        losses: Vec<f64>,
        schedules: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        name: String,
        schedule: Schedule,
        /// Of each epoch.
        rates: Vec<f64>,
    }

    #[test]
    fn rates_agree_with_pytorch() {
        let text = include_str!("../../tests/reference/optimizers.json");
        let PyTorch { learning_rate, losses, schedules } = serde_json::from_str(text).unwrap();
        for Case { name, schedule, rates } in schedules {
            schedule.check(learning_rate).unwrap();
            assert_eq!(rates.len(), losses.len());
            for (epoch, expected) in rates.iter().enumerate() {
                let rate = schedule.rate(learning_rate, losses.len(), &losses[..epoch]);
                assert!(
                    (rate - expected).abs() < 1e-15,
                    "{name}, epoch {}: expected {expected}, got {rate}",
                    epoch + 1
                );
            }
            let defaults = match name.as_str() {
                "constant" => Schedule::constant(),
                "cosine" => Schedule::cosine(),
                "plateau" => Schedule::reduce_on_plateau(),
                "cosine to a minimum" => Schedule::cosine().minimum(0.005),
                "plateau to a minimum" => {
                    Schedule::reduce_on_plateau().factor(0.3).patience(2).threshold(1e-3).minimum(0.001)
                }
                _ => continue,
            };
            assert_eq!(schedule, defaults, "{name}");
            let text = serde_json::to_string(&schedule).unwrap();
            assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), schedule, "{text}");
        }
    }

    #[test]
    fn bad_settings_are_refused() {
        let plateau = Schedule::reduce_on_plateau();
        let table = [
            (plateau.factor(1.0), "factor: expected a number in (0, 1), got 1"),
            (plateau.factor(f64::NAN), "factor: expected a number in (0, 1), got NaN"),
            (plateau.threshold(-1e-4), "threshold: expected a number in [0, 1), got -0.0001"),
            (plateau.minimum(0.1), "minimum: expected a number from 0 to the learning rate, 0.01, got 0.1"),
            (Schedule::cosine().minimum(-1.0), "minimum: expected a number from 0 to the learning rate, 0.01, got -1"),
            (
                Schedule::cosine().patience(3),
                "patience: expected reduce_on_plateau, which has this setting, got cosine",
            ),
            (
                Schedule::constant().minimum(0.0),
                "minimum: expected cosine or reduce_on_plateau, which has this setting, got constant",
            ),
            (serde_json::from_str(r#"{"kind": "cosine"}"#).unwrap(), "minimum: expected a value for cosine, got none"),
        ];
        for (schedule, expected) in table {
            let error = schedule.check(0.01).unwrap_err().to_string();
            assert_eq!(error, format!("Schedule::{expected}"));
        }
    }
}
