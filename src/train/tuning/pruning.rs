use super::space::wrong;
use super::trial::{TrialRecord, TrialState};
use crate::error::Result;

/// When a [`Study`](crate::Study) ends trials early: the median stopping rule (D. Golovin et al., "Google Vizier: A
/// Service for Black-Box Optimization", KDD 2017), with the settings, defaults and decisions of Optuna's
/// `MedianPruner`.
///
/// A trial is pruned if its best value so far is worse than the median of the complete trials' values at the same
/// epoch. Values that are NaN or infinite do not count; but a trial that reports one ends at once, which Optuna's does
/// not.
///
/// ```
/// use latentlab::{MedianPruner, Space, Study};
///
/// // The first three epochs say little, and then every second one is enough.
/// let pruner = MedianPruner::new().warmup_epochs(4).interval_epochs(2);
/// let study = Study::minimize(Space::new().float("x", 0.0, 1.0))?.pruner(pruner)?;
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MedianPruner {
    startup_trials: usize,
    warmup_epochs: usize,
    interval_epochs: usize,
    min_trials: usize,
}

impl Default for MedianPruner {
    fn default() -> Self {
        Self { startup_trials: 5, warmup_epochs: 0, interval_epochs: 1, min_trials: 1 }
    }
}

impl MedianPruner {
    /// After 5 complete trials, at any epoch that one of them has reported.
    pub fn new() -> Self {
        Self::default()
    }

    /// So many trials must be complete before any is pruned; with `usize::MAX` none ever is. Optuna's
    /// `n_startup_trials`. Default: 5.
    pub fn startup_trials(mut self, count: usize) -> Self {
        self.startup_trials = count;
        self
    }

    /// No trial is pruned before this epoch, counted as in [`Trial::report`](crate::Trial::report): from 1, so that 4
    /// spares the first three. Optuna's `n_warmup_steps`. Default: 0.
    pub fn warmup_epochs(mut self, epoch: usize) -> Self {
        self.warmup_epochs = epoch;
        self
    }

    /// From [`warmup_epochs`](Self::warmup_epochs) on, a trial is looked at once in so many epochs: at its first report
    /// in each interval. Optuna's `interval_steps`; at least 1. Default: 1.
    pub fn interval_epochs(mut self, epochs: usize) -> Self {
        self.interval_epochs = epochs;
        self
    }

    /// So many complete trials must have reported the same epoch. Optuna's `n_min_trials`; at least 1. Default: 1.
    pub fn min_trials(mut self, count: usize) -> Self {
        self.min_trials = count;
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        for (name, number) in [("interval_epochs", self.interval_epochs), ("min_trials", self.min_trials)] {
            if number == 0 {
                return Err(wrong(format!("median pruner, {name}"), "at least 1", 0));
            }
        }
        Ok(())
    }

    /// Whether a trial should end, after its last report. `cost`: lower is better.
    pub(super) fn should_prune<'a>(
        &self,
        trial: &TrialRecord,
        all: impl Iterator<Item = &'a TrialRecord>,
        cost: impl Fn(f64) -> f64,
    ) -> bool {
        let [before @ .., (epoch, last)] = &trial.reports[..] else { return false };
        if last.is_none() {
            return true;
        }
        let complete: Vec<&TrialRecord> = all.filter(|other| other.state == TrialState::Complete).collect();
        if complete.is_empty() || complete.len() < self.startup_trials || *epoch < self.warmup_epochs {
            return false;
        }
        let interval = epoch - (epoch - self.warmup_epochs) % self.interval_epochs;
        if before.last().is_some_and(|(before, _)| *before >= interval) {
            return false;
        }
        let best = trial.reports.iter().filter_map(|(_, value)| value.map(&cost)).fold(f64::INFINITY, f64::min);
        let at_epoch = |other: &&TrialRecord| other.reports.iter().find(|(at, _)| at == epoch).map(|report| report.1);
        let reported: Vec<Option<f64>> = complete.iter().filter_map(at_epoch).collect();
        let mut others: Vec<f64> = reported.iter().flatten().map(|value| cost(*value)).collect();
        others.sort_unstable_by(f64::total_cmp);
        match others.len() {
            0 => false,
            _ if reported.len() < self.min_trials => false,
            count => best > others[(count - 1) / 2].midpoint(others[count / 2]),
        }
    }
}
