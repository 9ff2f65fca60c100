//! Stopping runs.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::channel;

/// Stops trainings, t-SNE, k-means and studies from another thread, or from a second cell while a thread trains. They
/// end after the present batch or iteration and return what they have by then.
///
/// Clones are one handle. Once stopped it stays stopped: a run that starts with it ends at once, so that a loop over
/// several trainings ends too. For the next run, make a new one.
///
/// ```
/// use latentlab::{Autoencoder, Dataset, StopHandle, StoppedBy, TrainConfig, train_ae};
///
/// let stop = StopHandle::new();
/// let config = TrainConfig::new().epochs(1_000_000).stop_handle(&stop).progress_every(0);
/// let training = std::thread::spawn(move || {
///     let mut autoencoder = Autoencoder::tiny(2)?;
///     let history = train_ae(&mut autoencoder, &Dataset::built_in_digits(200, 0)?, &config)?;
///     Ok::<_, latentlab::Error>((autoencoder, history))
/// });
/// std::thread::sleep(std::time::Duration::from_millis(200));
/// stop.stop();
/// let (autoencoder, history) = training.join().unwrap()?;
/// assert_eq!(history.stopped_by, Some(StoppedBy::Handle));
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct StopHandle(Arc<AtomicBool>);

impl StopHandle {
    /// A handle that has not been stopped.
    pub fn new() -> Self {
        Self::default()
    }

    /// Stops the runs that were given this handle.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`stop`](Self::stop) has been called.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Whether what runs with this handle should stop: also as long as the cell runs in which a notebook's stop button
    /// has been pressed.
    pub(crate) fn should_stop(&self) -> bool {
        self.is_stopped() || channel::stop_requested()
    }
}
