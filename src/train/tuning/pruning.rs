//! The median stopping rule: Golovin et al., "Google Vizier: A Service for Black-Box Optimization", KDD 2017.

use super::trial::{TrialRecord, TrialState};

/// The number of complete trials before any is pruned (Optuna's `n_startup_trials`).
const COMPLETE: usize = 5;

/// Whether the trial's best value so far is worse than the median of the complete ones at its last epoch. `cost`: lower
/// is better.
pub(super) fn should_prune<'a>(
    trial: &TrialRecord,
    all: impl Iterator<Item = &'a TrialRecord>,
    cost: impl Fn(f64) -> f64,
) -> bool {
    let Some(&(epoch, last)) = trial.reports.last() else { return false };
    if last.is_none() {
        return true;
    }
    let complete: Vec<&TrialRecord> = all.filter(|other| other.state == TrialState::Complete).collect();
    if complete.len() < COMPLETE {
        return false;
    }
    let best = trial.reports.iter().filter_map(|(_, value)| value.map(&cost)).fold(f64::INFINITY, f64::min);
    let at_epoch = |other: &TrialRecord| other.reports.iter().find(|(at, _)| *at == epoch)?.1.map(&cost);
    let mut others: Vec<f64> = complete.into_iter().filter_map(at_epoch).collect();
    others.sort_unstable_by(f64::total_cmp);
    match others.len() {
        0 => false,
        count => best > others[(count - 1) / 2].midpoint(others[count / 2]),
    }
}
