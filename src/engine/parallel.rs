//! Who runs the loops of a layer: all threads; or, while there are shards of the batch that wait for a thread, only the one whose shard it is.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rayon::{iter::MinLen, prelude::*};

/// Into how many pieces a batch is split for the threads. Fixed, so that the same seed gives the same bits with any number of threads.
pub(crate) const SHARDS: usize = 16;

/// Values that one task works on in an element-wise operation: enough to be worth a task, few enough to stay in cache.
pub(crate) const BLOCK: usize = 16 * 1024;

thread_local! {
    /// How many shards of the batch of which this thread has one wait for a thread.
    static WAITING: RefCell<Arc<AtomicUsize>> = RefCell::default();
}

/// What `work` makes of each shard, on all threads. Within it, loops are given to other threads only when all shards have one: before that it
/// would cost and gain nothing.
pub(crate) fn for_shards<T, R: Send>(
    shards: impl IndexedParallelIterator<Item = T>,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let waiting = Arc::new(AtomicUsize::new(shards.len()));
    let one = |shard| {
        waiting.fetch_sub(1, Ordering::Relaxed);
        let _mine = Mine(WAITING.replace(Arc::clone(&waiting)));
        work(shard)
    };
    shards.with_max_len(1).map(one).collect()
}

/// Gives the thread back to what it did before, also after a panic.
struct Mine(Arc<AtomicUsize>);

impl Drop for Mine {
    fn drop(&mut self) {
        WAITING.set(std::mem::take(&mut self.0));
    }
}

fn others_are_busy() -> bool {
    WAITING.with_borrow(|waiting| waiting.load(Ordering::Relaxed) > 0)
}

/// [`rayon::join`], or one after the other while all threads are busy.
pub(crate) fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    if others_are_busy() { (a(), b()) } else { rayon::join(a, b) }
}

/// For the loops of layers.
pub(crate) trait OnThreads: IndexedParallelIterator {
    /// On all threads, or on this one while all are busy.
    fn on_threads(self) -> MinLen<Self> {
        self.with_min_len(if others_are_busy() { usize::MAX } else { 1 })
    }
}

impl<I: IndexedParallelIterator> OnThreads for I {}
