use std::ops::ControlFlow;

use super::{EpochEnd, Observer};
use crate::{
    error::Result,
    train::{history::StoppedBy, tuning::TrialLink},
};

/// Reports to the trial of a study, which may prune the training.
pub(super) struct Report(pub TrialLink);

impl Observer for Report {
    fn after_epoch(&mut self, at: &mut EpochEnd<'_>) -> Result<ControlFlow<StoppedBy>> {
        let value = if self.0.maximizes() { at.history.last_accuracy() } else { at.history.watched().last().copied() };
        let pruned = self.0.report(at.history.epochs(), value.unwrap_or(f64::NAN))?;
        Ok(if pruned { ControlFlow::Break(StoppedBy::Pruning) } else { ControlFlow::Continue(()) })
    }
}
