use std::fmt;

use super::{config::TrainConfig, history::History, objective::Learner, run::Run};
use crate::{
    data::Dataset,
    error::Result,
    model::{Autoencoder, Classifier, Vae},
    nn::Sequential,
};

/// A model that [`Training`] takes: [`Autoencoder`], [`Vae`], [`Classifier`] and [`Sequential`] with the settings of a
/// [`TrainConfig`], [`Gan`](crate::Gan) with those of a [`GanConfig`](crate::GanConfig).
pub trait Trainable: Sized + 'static {
    /// The type of its settings.
    type Config;

    #[doc(hidden)]
    fn train_config(&self, images: &Dataset, config: &Self::Config) -> Result<TrainConfig>;

    #[doc(hidden)]
    fn learner(&mut self) -> LearnerMut<'_>;
}

/// What other crates can neither make nor use: so they cannot implement [`Trainable`].
pub struct LearnerMut<'a>(pub(super) &'a mut dyn Learner);

macro_rules! trainable {
    ($($model:ty),+) => {$(
        impl Trainable for $model {
            type Config = TrainConfig;

            fn train_config(&self, _images: &Dataset, config: &TrainConfig) -> Result<TrainConfig> {
                Ok(config.clone())
            }

            fn learner(&mut self) -> LearnerMut<'_> {
                LearnerMut(self)
            }
        }
    )+};
}
trainable!(Autoencoder, Classifier, Sequential, Vae);

/// A training that makes one epoch at a time, with whatever you like in between: look at the model, draw, go on in the
/// next cell.
///
/// It owns its model, and shares the images with the [`Dataset`] that they came from: no copy is made. With the same
/// settings it gives the same bits as [`train_ae`](crate::train_ae) and the other trainings, which are loops over
/// [`epoch`](Self::epoch); stop button and handle, early stopping, checkpoints and [`resume`](TrainConfig::resume) work
/// as there.
///
/// ```
/// use latentlab::{Autoencoder, Dataset, TrainConfig, Training, embed};
///
/// let (train, test) = Dataset::built_in_digits(300, 0)?.split(200, 100)?;
/// let config = TrainConfig::new().epochs(3).validation(&test);
/// let mut run = Training::of(Autoencoder::tiny(2)?, &train, &config)?;
/// while run.epoch()? {
///     let figure = embed(run.model(), &test)?.scatter()?;
/// }
/// println!("{}", run.history());
/// let (autoencoder, history) = run.into_parts();
/// assert_eq!(history.epochs(), 3);
/// # Ok::<(), latentlab::Error>(())
/// ```
pub struct Training<M: Trainable> {
    model: M,
    run: Run,
}

impl<M: Trainable> Training<M> {
    /// Before the first epoch, or where [`resume`](TrainConfig::resume)'s checkpoint was.
    ///
    /// # Errors
    /// For images or settings that [`train_ae`](crate::train_ae) (or the model's own training) refuses, and for a
    /// checkpoint that cannot be written or read.
    pub fn of(mut model: M, images: &Dataset, config: &M::Config) -> Result<Self> {
        let config = model.train_config(images, config)?;
        let run = Run::begin(model.learner().0, images, config)?;
        Ok(Self { model, run })
    }

    /// Makes the next epoch, with all that comes after it: snapshot, checkpoint, functions, progress. `true` if it was
    /// made; `false` if none was left, if a stop button or handle ended it before its last batch, or if a function
    /// asked to stop after it. Stopped, it goes on with the next call, unless [`History::stopped_by`] is early stopping
    /// or pruning.
    ///
    /// With [early stopping](TrainConfig::early_stopping) the model has the best epoch's weights after the last one.
    ///
    /// # Errors
    /// - [`ErrorKind::Diverged`](crate::ErrorKind::Diverged) if the loss or the weights become NaN or infinite: the
    ///   weights are those of the epoch before, and the optimizer starts again;
    /// - what a function given to [`after_epoch`](TrainConfig::after_epoch) or a study's journal reports: the epoch is
    ///   made and in the history, and the next call goes on.
    pub fn epoch(&mut self) -> Result<bool> {
        self.run.epoch(self.model.learner().0)
    }

    /// The model as it is now.
    pub fn model(&self) -> &M {
        &self.model
    }

    /// All epochs so far. Of a [`Gan`](crate::Gan), `loss` is the generator's and `metrics["discriminator_loss"]` the
    /// discriminator's.
    pub fn history(&self) -> &History {
        self.run.history()
    }

    /// The model as it is now, and all epochs so far.
    pub fn into_parts(self) -> (M, History) {
        (self.model, self.run.into_history())
    }
}

impl<M: Trainable> fmt::Debug for Training<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.history())
    }
}
