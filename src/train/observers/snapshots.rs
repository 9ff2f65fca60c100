use std::ops::ControlFlow;

use super::{EpochEnd, Observer};
use crate::{
    error::Result,
    train::history::{Snapshot, StoppedBy},
};

/// Keeps what the model makes after some epochs.
pub(super) struct Snapshots;

impl Observer for Snapshots {
    fn begin(&mut self, at: &mut EpochEnd<'_>) -> Result<()> {
        let epoch = at.history.epochs();
        if at.config.snapshots.epochs.contains(&epoch) {
            let images = at.model.snapshot(at.config)?;
            at.history.snapshots.extend(images.map(|images| Snapshot { epoch, images }));
        }
        Ok(())
    }

    fn after_epoch(&mut self, at: &mut EpochEnd<'_>) -> Result<ControlFlow<StoppedBy>> {
        self.begin(at).map(ControlFlow::Continue)
    }
}
