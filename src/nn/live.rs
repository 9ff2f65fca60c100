//! The weights of a network, for those who look at it while it changes.
//!
//! What changes weights takes them away first ([`Viewed::withdraw`]) and shows them again afterwards ([`publish`]).
//! In between, which is as long as an optimizer takes for a step, who looks waits. So weights are not copied for being
//! shown: only where a viewer still holds them when the next step changes them.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use super::{layers::Weights, sequential::Sequential};

/// Where a network shows its weights, in the order of [`Sequential::parameters`]; none while they change.
#[derive(Default)]
pub(crate) struct Shown(Mutex<Option<Vec<Weights>>>);

/// A network's link to its viewers. A clone is another network, which nobody views yet.
#[derive(Default)]
pub(super) struct Viewed(Mutex<Weak<Shown>>);

impl Clone for Viewed {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// Held while the weights of several networks are shown or read, so that all are of the same step. Nothing is computed
/// meanwhile.
static TOGETHER: Mutex<()> = Mutex::new(());
static PUBLISHED: Condvar = Condvar::new();

/// How long a viewer waits for a step of an optimizer, at most.
const PATIENCE: Duration = Duration::from_millis(200);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Viewed {
    /// Before the weights change.
    pub fn withdraw(&mut self) {
        let link = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(shown) = link.upgrade() {
            let _together = lock(&TOGETHER);
            *lock(&shown.0) = None;
        }
    }

    fn shown(&self) -> Option<Arc<Shown>> {
        lock(&self.0).upgrade()
    }
}

impl Sequential {
    /// Where this network shows its weights from now on, as long as somebody views it.
    pub(crate) fn view(&self) -> Arc<Shown> {
        let shown = self.viewed().shown().unwrap_or_default();
        *lock(&self.viewed().0) = Arc::downgrade(&shown);
        publish([self]);
        if self.check().is_ok() {
            // So that its copies share what is computed from the weights.
            self.compiled();
        }
        shown
    }
}

/// Shows the weights of these networks as they are now, all at once.
pub(crate) fn publish<'a>(networks: impl IntoIterator<Item = &'a Sequential>) {
    let viewed = networks.into_iter().filter_map(|network| Some((network.viewed().shown()?, network)));
    let viewed: Vec<_> = viewed.collect();
    if !viewed.is_empty() {
        let together = lock(&TOGETHER);
        viewed.iter().for_each(|(shown, network)| *lock(&shown.0) = Some(network.parameters().cloned().collect()));
        drop(together);
        PUBLISHED.notify_all();
    }
}

/// The weights of networks of one model, all of the same step; `None` if they were not shown again in time.
pub(crate) fn weights_now(shown: &[Arc<Shown>]) -> Option<Vec<Vec<Weights>>> {
    let change = |_: &mut ()| shown.iter().any(|shown| lock(&shown.0).is_none());
    let waited = PUBLISHED.wait_timeout_while(lock(&TOGETHER), PATIENCE, change);
    let _together = waited.unwrap_or_else(PoisonError::into_inner);
    shown.iter().map(|shown| lock(&shown.0).clone()).collect()
}
