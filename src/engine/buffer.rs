//! Buffers that are used again from step to step.
//!
//! A training step needs tens of megabytes for a few milliseconds. Given back to the operating system each time, they
//! cost more in page faults than some of the arithmetic: while a [`Reuse`] lives, dropped buffers wait for the next
//! step instead.

use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Values in memory that may be used again. They begin at a cache line: vectors that straddle two lines cost twice.
#[derive(Default)]
pub(crate) struct Buffer {
    storage: Vec<f32>,
    start: usize,
    length: usize,
}

/// A cache line, in bytes and in values; that many more values are allocated, the first of which are skipped.
const LINE: usize = 64;
const SPARE: usize = LINE / size_of::<f32>();

/// While one of these lives, buffers are kept for the next step; with the last one all memory is given back.
pub(crate) struct Reuse;

static USERS: AtomicUsize = AtomicUsize::new(0);

/// Buffers that wait, by length: in some pools, so that threads seldom wait for each other.
static POOLS: [Mutex<BTreeMap<usize, Vec<Vec<f32>>>>; 16] = [const { Mutex::new(BTreeMap::new()) }; 16];

/// How many buffers worth keeping were allocated and not used again.
#[cfg(test)]
pub(crate) static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

/// Smaller ones are cheap to allocate.
const WORTH_KEEPING: usize = 256;

/// The pools, from that of this thread on.
fn pools() -> impl Iterator<Item = MutexGuard<'static, BTreeMap<usize, Vec<Vec<f32>>>>> {
    let first = rayon::current_thread_index().map_or(0, |index| index + 1);
    // A panic while a pool was locked cannot leave it half changed.
    (first..first + POOLS.len()).map(|index| POOLS[index % POOLS.len()].lock().unwrap_or_else(PoisonError::into_inner))
}

impl Reuse {
    pub fn begin() -> Self {
        USERS.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for Reuse {
    fn drop(&mut self) {
        if USERS.fetch_sub(1, Ordering::SeqCst) == 1 {
            pools().for_each(|mut pool| pool.clear());
        }
    }
}

impl Buffer {
    /// A buffer whose values are about to be overwritten: now they are any numbers.
    pub fn unset(length: usize) -> Self {
        let storage = length + SPARE;
        let kept = storage >= WORTH_KEEPING && USERS.load(Ordering::SeqCst) > 0;
        let used = if kept { pools().find_map(|mut pool| pool.get_mut(&storage)?.pop()) } else { None };
        let allocate = || {
            #[cfg(test)]
            ALLOCATED.fetch_add(usize::from(storage >= WORTH_KEEPING), Ordering::SeqCst);
            vec![0.0; storage]
        };
        let storage = used.unwrap_or_else(allocate);
        let start = storage.as_ptr().align_offset(LINE).min(SPARE);
        Self { storage, start, length }
    }

    /// A buffer of zeros.
    pub fn zeros(length: usize) -> Self {
        let mut buffer = Self::unset(length);
        buffer.fill(0.0);
        buffer
    }
}

impl From<Vec<f32>> for Buffer {
    fn from(values: Vec<f32>) -> Self {
        Self { start: 0, length: values.len(), storage: values }
    }
}

impl From<&[f32]> for Buffer {
    fn from(values: &[f32]) -> Self {
        let mut copy = Self::unset(values.len());
        copy.copy_from_slice(values);
        copy
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        (**self).into()
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.storage[self.start..self.start + self.length]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.storage[self.start..self.start + self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // Only our own allocations are kept: vectors from elsewhere have lengths that are never asked for, and would
        // accumulate.
        let is_ours = self.storage.len() == self.length + SPARE;
        if is_ours
            && self.storage.len() >= WORTH_KEEPING
            && USERS.load(Ordering::SeqCst) > 0
            && let Some(mut pool) = pools().next()
        {
            pool.entry(self.storage.len()).or_default().push(std::mem::take(&mut self.storage));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_while_asked_for() {
        // A length that no other test uses: they share the pool.
        const LENGTH: usize = if cfg!(miri) { 1_237 } else { 1_234_567 };
        let reuse = Reuse::begin();
        let first = Buffer::unset(LENGTH);
        let address = first.as_ptr();
        drop(first);
        let mut second = Buffer::zeros(LENGTH);
        assert_eq!(second.as_ptr(), address);
        second[0] = 3.0;
        assert_eq!(second.clone()[0], 3.0);
        drop(second);
        assert_eq!(Buffer::zeros(LENGTH)[0], 0.0);

        const STRANGE: usize = if cfg!(miri) { 7_657 } else { 7_654_321 };
        drop(Buffer::from(vec![0.0; STRANGE]));
        assert!(pools().all(|pool| !pool.contains_key(&STRANGE)), "memory that is never asked for is kept");
        drop(reuse);
    }
}
