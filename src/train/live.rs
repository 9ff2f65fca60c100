use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use super::training::{LearnerMut, Trainable};
use crate::{
    model::{Autoencoder, Classifier, Gan, Model, Vae},
    nn::{Sequential, Shown, weights_now},
};

/// A view of a model that is being trained, or changed by other means: [`Autoencoder::live`] and its like make it.
///
/// [`model`](Self::model) gives a copy with the weights as they are now. The view is `Send` and owns nothing of the
/// model: it may go into the function of an [`interact`](crate::interact), or to another thread, and the model itself
/// may be trained meanwhile, moved to another variable, or dropped. Clones of a view show the same model.
///
/// ```
/// use latentlab::{Autoencoder, Dataset, ImageGrid, TrainConfig, decode, interact, slider, train_ae};
///
/// let digits = Dataset::built_in_digits(200, 0)?;
/// let mut autoencoder = Autoencoder::tiny(2)?;
///
/// // One cell: each move of a slider shows what the decoder makes of the code at that moment …
/// let live = autoencoder.live();
/// let shown = live.clone();
/// interact([slider("latent 1", 0.0..=30.0), slider("latent 2", 0.0..=30.0)], move |values| {
///     ImageGrid::new(&decode(&shown.model(), &values.code())?, 1).figure()
/// })?;
///
/// // … also while another one trains.
/// train_ae(&mut autoencoder, &digits, &TrainConfig::new().epochs(2))?;
/// assert_eq!(live.model().decoder().weights("1.weight")?, autoencoder.decoder().weights("1.weight")?);
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone)]
pub struct Live<M> {
    networks: Vec<Arc<Shown>>,
    /// As it was when somebody looked last.
    last: Arc<Mutex<M>>,
}

impl<M: Trainable + Clone> Live<M> {
    /// The model with the weights that it has now: in a training those of after the last batch, in steps of your own
    /// those of after the last [`minimize`](crate::OptimizerState::minimize) or
    /// [`apply`](crate::OptimizerState::apply); then what early stopping has restored, what
    /// [`set_weights`](Sequential::set_weights) has set, or what [`seed`](Sequential::seed) has drawn. Where the model
    /// has been dropped, those that it had last.
    ///
    /// All weights are of the same step. A training is not held up, and its results are the same bits; it copies the
    /// weights once for each call that comes while it runs. What is not a weight is as it was when the view was made;
    /// the optimizers of a [`Gan`] are at their beginning.
    pub fn model(&self) -> M {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(now) = weights_now(&self.networks) {
            let LearnerMut(model) = last.learner();
            for (network, now) in model.networks_mut().into_iter().zip(now) {
                // What was computed from weights is kept while they stay the same, and shared with the copies.
                if !network.parameters().zip(&now).all(|(last, now)| Arc::ptr_eq(last, now)) {
                    network.parameters_mut().zip(now).for_each(|(last, now)| *last = now);
                }
            }
        }
        last.clone()
    }
}

impl<M: Trainable + Clone> From<&Self> for Live<M> {
    fn from(live: &Self) -> Self {
        live.clone()
    }
}

impl<M> fmt::Debug for Live<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = std::any::type_name::<M>().rsplit("::").next().unwrap_or_default();
        write!(f, "a live view of {} {name}", if name.starts_with('A') { "an" } else { "a" })
    }
}

macro_rules! live {
    ($($model:ty: $copy:expr),+) => {$(
        impl $model {
            /// A view of this model for other threads and for an [`interact`](crate::interact) in another cell: its
            /// [`model`](Live::model) has the weights as they are at that moment, also while a training changes them.
            /// A clone of this model is another one, which the view does not follow; so is one that is loaded from a
            /// file.
            pub fn live(&self) -> Live<Self> {
                let networks = self.file().networks.into_iter().map(|(_, network)| network.view()).collect();
                Live { networks, last: Arc::new(Mutex::new($copy(self))) }
            }
        }

        impl From<&$model> for Live<$model> {
            fn from(model: &$model) -> Self {
                model.live()
            }
        }
    )+};
}
live!(
    Autoencoder: Self::clone,
    Classifier: Self::clone,
    Gan: |gan: &Self| gan.clone().with_new_optimizers(),
    Sequential: Self::clone,
    Vae: Self::clone
);
