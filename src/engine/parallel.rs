//! Threads. While shards of a batch are queued, a loop within a shard stays on its thread: nested parallelism would
//! cost and gain nothing.

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rayon::{iter::MinLen, prelude::*};

/// Into how many shards a batch is split for the threads, at most. Fixed, so that the same seed gives the same bits
/// with any number of threads.
pub(crate) const SHARDS: usize = 16;

/// Values that one task works on in an element-wise operation: enough to be worth a task, few enough to stay in cache.
pub(crate) const BLOCK: usize = 16 * 1024;

thread_local! {
    /// How many shards of the batch that this thread works on are queued.
    static WAITING: RefCell<Arc<AtomicUsize>> = RefCell::default();
}

/// What `work` makes of each shard, on all threads. Loops within it are spread over the threads only when no shard is
/// queued.
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
    Loop(shards.with_max_len(1)).map(one)
}

/// Gives the thread back to what it did before, also after a panic.
struct Mine(Arc<AtomicUsize>);

impl Drop for Mine {
    fn drop(&mut self) {
        WAITING.set(std::mem::take(&mut self.0));
    }
}

fn shards_are_queued() -> bool {
    WAITING.with_borrow(|waiting| waiting.load(Ordering::Relaxed) > 0)
}

/// [`rayon::join`], or one after the other while shards are queued.
pub(crate) fn join<A: Send, B: Send>(a: impl FnOnce() -> A + Send, b: impl FnOnce() -> B + Send) -> (A, B) {
    if shards_are_queued() { (a(), b()) } else { rayon::join(a, b) }
}

/// For the loops of layers.
pub(crate) trait OnThreads: IndexedParallelIterator {
    /// On all threads, or on this one while shards are queued.
    fn on_threads(self) -> Loop<MinLen<Self>> {
        Loop(self.with_min_len(if shards_are_queued() { usize::MAX } else { 1 }))
    }
}

impl<I: IndexedParallelIterator> OnThreads for I {}

/// A loop that gives rayon its work as a function object: rayon's part is compiled once for all loops over the same
/// kinds of slices, which halves its code in the library.
pub(crate) struct Loop<I>(I);

impl<I: IndexedParallelIterator> Loop<I> {
    /// Calls `work` with each item.
    pub fn for_each(self, work: impl Fn(I::Item) + Sync) {
        let work: &(dyn Fn(I::Item) + Sync) = &work;
        self.0.for_each(work);
    }

    /// The same with something that neighbouring items share, made by `init`.
    pub fn for_each_init<T>(self, init: impl Fn() -> T + Sync, work: impl Fn(&mut T, I::Item) + Sync) {
        let init: &(dyn Fn() -> T + Sync) = &init;
        let work: &(dyn Fn(&mut T, I::Item) + Sync) = &work;
        self.0.for_each_init(init, work);
    }

    /// What `work` makes of each item, in their order.
    pub fn map<R: Send>(self, work: impl Fn(I::Item) -> R + Sync) -> Vec<R> {
        let work: &(dyn Fn(I::Item) -> R + Sync) = &work;
        self.0.map(work).collect()
    }
}
