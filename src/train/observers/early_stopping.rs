use std::ops::ControlFlow;

use super::{EpochEnd, Observer};
use crate::{
    error::Result,
    train::{history::StoppedBy, run::weights},
};

/// Keeps the best epoch's weights, and stops when there was no better one for some epochs.
pub(super) struct EarlyStopping {
    pub patience: usize,
}

impl Observer for EarlyStopping {
    fn begin(&mut self, at: &mut EpochEnd<'_>) -> Result<()> {
        *at.best = weights(at.model);
        Ok(())
    }

    fn after_epoch(&mut self, at: &mut EpochEnd<'_>) -> Result<ControlFlow<StoppedBy>> {
        let since = at.history.epochs() - at.history.best_epoch;
        if since == 0 {
            *at.best = weights(at.model);
        }
        Ok(if since >= self.patience {
            ControlFlow::Break(StoppedBy::EarlyStopping)
        } else {
            ControlFlow::Continue(())
        })
    }
}
