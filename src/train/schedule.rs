use std::{f64::consts::PI, fmt};

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// How the learning rate changes from epoch to epoch, starting from
/// [`learning_rate`](crate::TrainConfig::learning_rate) η (with [`one_cycle`](Self::one_cycle) η is the highest rate).
///
/// | schedule | rate of epoch e (from 1) of E | settings |
/// |---|---|---|
/// | [`constant`](Self::constant), the default | η | |
/// | [`cosine`](Self::cosine) | η_min + ½(η − η_min)(1 + cos(π(e − 1)/E)) | [`minimum`](Self::minimum) η_min 0 |
/// | [`reduce_on_plateau`](Self::reduce_on_plateau) | that of e − 1; `factor` times it after a plateau | see there |
/// | [`step_decay`](Self::step_decay) | η·f^⌊(e − 1)/every⌋ | [`factor`](Self::factor) f 0.1 |
/// | [`exponential`](Self::exponential) | η·f^(e − 1) | |
/// | [`one_cycle`](Self::one_cycle) | up to η and down to almost 0 | see there |
///
/// [`warm_up`](Self::warm_up) puts epochs with rising rates in front of any of them.
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
#[derive(Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    every: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pct_start: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    div_factor: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    final_div_factor: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warm_up: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Constant,
    Cosine,
    ReduceOnPlateau,
    StepDecay,
    Exponential,
    OneCycle,
}

/// A checkpoint compares this text with that of its own schedule: settings that older versions did not know stand in it
/// only where there are any.
impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Schedule");
        text.field("kind", &self.kind).field("factor", &self.factor).field("patience", &self.patience);
        text.field("threshold", &self.threshold).field("minimum", &self.minimum);
        self.every.iter().for_each(|every| _ = text.field("every", every));
        self.pct_start.iter().for_each(|share| _ = text.field("pct_start", share));
        self.div_factor.iter().for_each(|factor| _ = text.field("div_factor", factor));
        self.final_div_factor.iter().for_each(|factor| _ = text.field("final_div_factor", factor));
        self.warm_up.iter().for_each(|epochs| _ = text.field("warm_up", epochs));
        text.finish()
    }
}

impl Schedule {
    /// Whether the rates depend on the number of epochs.
    pub(super) fn depends_on_epochs(&self) -> bool {
        matches!(self.kind, Kind::Cosine | Kind::OneCycle)
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
            ..Self::default()
        }
    }

    /// `factor` times the rate after every so many epochs: PyTorch's `StepLR` with `step_size` = `every`, and its
    /// [`factor`](Self::factor) of 0.1.
    ///
    /// ```
    /// use latentlab::Schedule;
    ///
    /// let schedule = Schedule::step_decay(10).factor(0.5).warm_up(3);
    /// ```
    pub fn step_decay(every: usize) -> Self {
        Self { kind: Kind::StepDecay, every: Some(every), factor: Some(0.1), ..Self::default() }
    }

    /// `factor` times the rate after every epoch: PyTorch's `ExponentialLR` with `gamma` = `factor`.
    pub fn exponential(factor: f64) -> Self {
        Self { kind: Kind::Exponential, factor: Some(factor), ..Self::default() }
    }

    /// One cycle (Smith and Topin 2018, "Super-convergence: very fast training of neural networks using large learning
    /// rates"): up from η / [`div_factor`](Self::div_factor) (25) to η in the first [`pct_start`](Self::pct_start)
    /// (0.3) of the epochs, then down to a [`final_div_factor`](Self::final_div_factor)th (10⁴) of where it began; both
    /// along a cosine.
    ///
    /// These are the rates of PyTorch's `OneCycleLR` with `max_lr` = η and `total_steps` = epochs: the rate changes
    /// from epoch to epoch here, where PyTorch's users change it from batch to batch, so that this is for trainings of
    /// ten epochs and more. The optimizer's momentum stays as it is. A single epoch has the rate η.
    pub fn one_cycle() -> Self {
        Self {
            kind: Kind::OneCycle,
            pct_start: Some(0.3),
            div_factor: Some(25.0),
            final_div_factor: Some(1e4),
            ..Self::default()
        }
    }

    /// Puts that many epochs in front of the schedule, in which the rate rises in equal steps: η·e / (epochs + 1) in
    /// epoch e (Goyal et al. 2017, "Accurate, large minibatch SGD", section 2.2). Then the schedule begins, with η, and
    /// has the rest of the epochs. PyTorch's `LinearLR` with `start_factor` = 1 / (epochs + 1) and `total_iters` =
    /// epochs, and the schedule after it in a `SequentialLR`. A [`one_cycle`](Self::one_cycle) has its own.
    pub fn warm_up(self, epochs: usize) -> Self {
        Self { warm_up: Some(epochs), ..self }
    }

    /// What share of the epochs of a one-cycle has rising rates, in [0, 1].
    pub fn pct_start(self, share: f64) -> Self {
        Self { pct_start: Some(share), ..self }
    }

    /// How many times lower than η the first rate of a one-cycle is, at least 1.
    pub fn div_factor(self, factor: f64) -> Self {
        Self { div_factor: Some(factor), ..self }
    }

    /// How many times lower than its first rate the last rate of a one-cycle is, at least 1.
    pub fn final_div_factor(self, factor: f64) -> Self {
        Self { final_div_factor: Some(factor), ..self }
    }

    /// What the rate is multiplied by on a plateau, or after a step of a step decay, in (0, 1).
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
        let is = |kind| self.kind == kind;
        let (on_plateau, one_cycle) = (is(Kind::ReduceOnPlateau), is(Kind::OneCycle));
        let (step, exponential) = (is(Kind::StepDecay), is(Kind::Exponential));
        let factors = "reduce_on_plateau, step_decay or exponential";
        let belongs = [
            ("factor", self.factor.is_some(), on_plateau || step || exponential, factors),
            ("patience", self.patience.is_some(), on_plateau, "reduce_on_plateau"),
            ("threshold", self.threshold.is_some(), on_plateau, "reduce_on_plateau"),
            ("minimum", self.minimum.is_some(), on_plateau || is(Kind::Cosine), "cosine or reduce_on_plateau"),
            ("every", self.every.is_some(), step, "step_decay"),
            ("pct_start", self.pct_start.is_some(), one_cycle, "one_cycle"),
            ("div_factor", self.div_factor.is_some(), one_cycle, "one_cycle"),
            ("final_div_factor", self.final_div_factor.is_some(), one_cycle, "one_cycle"),
        ];
        let name = match self.kind {
            Kind::Constant => "constant",
            Kind::Cosine => "cosine",
            Kind::ReduceOnPlateau => "reduce_on_plateau",
            Kind::StepDecay => "step_decay",
            Kind::Exponential => "exponential",
            Kind::OneCycle => "one_cycle",
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
        if self.every == Some(0) {
            return wrong("step_decay", "a number of epochs of at least 1".into(), "0".into());
        }
        if let Some(share) = self.pct_start
            && !(0.0..=1.0).contains(&share)
        {
            return wrong("pct_start", "a number in [0, 1]".into(), share.to_string());
        }
        for (setting, factor) in [("div_factor", self.div_factor), ("final_div_factor", self.final_div_factor)] {
            if let Some(factor) = factor
                && !(1.0..=1e30).contains(&factor)
            {
                return wrong(setting, "a number of at least 1 (and at most 1e30)".into(), factor.to_string());
            }
        }
        if one_cycle && self.warm_up.is_some() {
            return wrong("warm_up", "a schedule without a warm-up of its own".into(), name.into());
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
        let warm_up = self.warm_up.unwrap_or_default();
        if watched.len() < warm_up {
            return learning_rate * (watched.len() + 1) as f64 / (warm_up as f64 + 1.0);
        }
        let (watched, epochs) = (&watched[warm_up..], epochs.saturating_sub(warm_up).max(1));
        let factor = self.factor.unwrap_or_default();
        let minimum = self.minimum.unwrap_or_default();
        match self.kind {
            Kind::Constant => learning_rate,
            Kind::Cosine => {
                let done = watched.len() as f64 / epochs as f64;
                minimum + (learning_rate - minimum) * (1.0 + (PI * done).cos()) / 2.0
            }
            Kind::ReduceOnPlateau => {
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
            Kind::StepDecay => learning_rate * factor.powf((watched.len() / self.every.unwrap_or(1).max(1)) as f64),
            Kind::Exponential => learning_rate * factor.powf(watched.len() as f64),
            Kind::OneCycle if epochs == 1 => learning_rate,
            Kind::OneCycle => {
                let first = learning_rate / self.div_factor.unwrap_or(1.0);
                let last = first / self.final_div_factor.unwrap_or(1.0);
                let (done, end) = (watched.len() as f64, epochs as f64 - 1.0);
                let peak = self.pct_start.unwrap_or_default() * epochs as f64 - 1.0;
                let along = |from: f64, to: f64, share: f64| to + (from - to) * (1.0 + (PI * share).cos()) / 2.0;
                match done <= peak && peak > 0.0 {
                    true => along(first, learning_rate, done / peak),
                    false => along(learning_rate, last, (done - peak) / (end - peak)),
                }
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
                "step decay" => Schedule::step_decay(10),
                "step decay, often" => Schedule::step_decay(3).factor(0.7),
                "exponential" => Schedule::exponential(0.9),
                "one cycle" => Schedule::one_cycle(),
                "one cycle, early" => Schedule::one_cycle().pct_start(0.1).div_factor(10.0).final_div_factor(100.0),
                "warm-up, cosine" => Schedule::cosine().warm_up(4),
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
            (
                Schedule::cosine().factor(0.5),
                "factor: expected reduce_on_plateau, step_decay or exponential, which has this setting, got cosine",
            ),
            (Schedule::exponential(1.5), "factor: expected a number in (0, 1), got 1.5"),
            (Schedule::step_decay(0), "step_decay: expected a number of epochs of at least 1, got 0"),
            (
                Schedule::step_decay(3).pct_start(0.3),
                "pct_start: expected one_cycle, which has this setting, got step_decay",
            ),
            (Schedule::one_cycle().pct_start(f64::NAN), "pct_start: expected a number in [0, 1], got NaN"),
            (
                Schedule::one_cycle().final_div_factor(0.5),
                "final_div_factor: expected a number of at least 1 (and at most 1e30), got 0.5",
            ),
            (
                Schedule::one_cycle().warm_up(2),
                "warm_up: expected a schedule without a warm-up of its own, got one_cycle",
            ),
            (serde_json::from_str(r#"{"kind": "cosine"}"#).unwrap(), "minimum: expected a value for cosine, got none"),
        ];
        for (schedule, expected) in table {
            let error = schedule.check(0.01).unwrap_err().to_string();
            assert_eq!(error, format!("Schedule::{expected}"));
        }
    }

    #[test]
    fn a_plateau_is_counted_from_the_end_of_the_warm_up() {
        let schedule = Schedule::reduce_on_plateau().factor(0.5).patience(1).warm_up(3);
        let rates: Vec<f64> = (0..7).map(|epoch| schedule.rate(0.04, 7, &[1.0; 7][..epoch])).collect();
        assert_eq!(rates, [0.01, 0.02, 0.03, 0.04, 0.04, 0.04, 0.02]);
    }

    #[test]
    fn rates_of_few_epochs_are_above_0_and_at_most_the_learning_rate() {
        let all = [
            Schedule::cosine(),
            Schedule::cosine().warm_up(2),
            Schedule::cosine().warm_up(5),
            Schedule::step_decay(1),
            Schedule::exponential(0.5).warm_up(1),
            Schedule::one_cycle(),
            Schedule::one_cycle().pct_start(0.0),
            Schedule::one_cycle().pct_start(1.0),
            Schedule::one_cycle().pct_start(0.5),
        ];
        for (schedule, epochs) in all.into_iter().flat_map(|schedule| (1..6).map(move |epochs| (schedule, epochs))) {
            schedule.check(0.02).unwrap();
            for epoch in 0..epochs {
                let rate = schedule.rate(0.02, epochs, &[1.0; 6][..epoch]);
                assert!(rate > 0.0 && rate <= 0.02, "{schedule:?}, epoch {} of {epochs}: {rate}", epoch + 1);
            }
        }
        assert_eq!(Schedule::one_cycle().rate(0.02, 1, &[]), 0.02);
    }

    /// Checkpoints of older versions hold such texts.
    #[test]
    fn its_text_is_that_of_older_versions() {
        let text = "Schedule { kind: Cosine, factor: None, patience: None, threshold: None, minimum: Some(0.0) }";
        assert_eq!(format!("{:?}", Schedule::cosine()), text);
        assert!(format!("{:?}", Schedule::cosine().warm_up(2)).ends_with("minimum: Some(0.0), warm_up: 2 }"));
    }
}
