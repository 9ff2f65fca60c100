use std::{any::Any, fmt, ops::ControlFlow, sync::Arc};

use super::{EpochEnd, Observer};
use crate::{
    error::{Error, ErrorKind, Result},
    train::{
        history::{History, StoppedBy},
        objective::Learner,
        training::Trainable,
    },
};

/// What has been given to [`TrainConfig::after_epoch`](crate::TrainConfig::after_epoch).
#[derive(Clone)]
pub(crate) struct Callback(Arc<Call>);

type Call = dyn Fn(&Epoch<'_>) -> Result<ControlFlow<()>> + Send + Sync;

impl Callback {
    pub fn new(call: impl Fn(&Epoch<'_>) -> Result<ControlFlow<()>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(call))
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a function")
    }
}

/// A training after one of its epochs, as [`TrainConfig::after_epoch`](crate::TrainConfig::after_epoch) shows it.
pub struct Epoch<'a> {
    model: &'a dyn Learner,
    history: &'a History,
}

impl Epoch<'_> {
    /// Its number, from 1.
    pub fn number(&self) -> usize {
        self.history.epochs()
    }

    /// Its training loss, the mean over the batches while the weights changed.
    pub fn loss(&self) -> f64 {
        self.history.final_loss()
    }

    /// Its loss on the validation images; NaN without validation.
    pub fn validation_loss(&self) -> f64 {
        self.history.final_validation_loss()
    }

    /// All epochs so far. Of a [`Gan`](crate::Gan), `loss` is the generator's and `metrics["discriminator_loss"]` the
    /// discriminator's.
    pub fn history(&self) -> &History {
        self.history
    }

    /// The model as it is after this epoch: `epoch.model::<Autoencoder>()?`.
    ///
    /// # Errors
    /// If it is another model that is trained.
    pub fn model<M: Trainable>(&self) -> Result<&M> {
        let model: &dyn Any = self.model;
        model.downcast_ref().ok_or_else(|| {
            let expected = std::any::type_name::<M>().rsplit("::").next().unwrap_or_default();
            let expected = format!("the model that is trained, not {expected}");
            Error::expected(ErrorKind::Argument, "Epoch::model", expected, self.model.file().kind)
        })
    }
}

/// Calls what the user has given.
pub(in crate::train) struct AfterEpoch;

impl Observer for AfterEpoch {
    fn after_epoch(&mut self, at: &mut EpochEnd<'_>) -> Result<ControlFlow<StoppedBy>> {
        let mut next = ControlFlow::Continue(());
        for callback in &at.config.after_epoch {
            if callback.0(&Epoch { model: at.model, history: at.history })?.is_break() {
                next = ControlFlow::Break(at.history.stopped_by.unwrap_or(StoppedBy::Callback));
            }
        }
        Ok(next)
    }
}
