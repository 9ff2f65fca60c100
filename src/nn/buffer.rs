//! Buffers that are used again from step to step.
//!
//! A training step needs tens of megabytes for a few milliseconds. Given back to the operating system each time, they cost
//! more in page faults than some of the arithmetic: while a [`Reuse`] lives, dropped buffers wait for the next step instead.

use std::{
    collections::HashMap,
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Values in memory that may be used again. They begin at a cache line: vectors that straddle two lines cost twice.
#[derive(Default)]
pub(crate) struct Buffer {
    storage: Vec<f32>,
    start: usize,
    length: usize,
}

/// A cache line, in bytes and in values; so many values more are allocated, of which the first ones are skipped.
const LINE: usize = 64;
const SPARE: usize = LINE / size_of::<f32>();

/// While one of these lives, buffers are kept for the next step; with the last one all memory is given back.
pub(crate) struct Reuse;

#[derive(Default)]
struct Pool {
    users: usize,
    free: HashMap<usize, Vec<Vec<f32>>>,
}

static POOL: Mutex<Option<Pool>> = Mutex::new(None);

/// Smaller ones are cheap to allocate.
const WORTH_KEEPING: usize = 4096;

fn pool() -> MutexGuard<'static, Option<Pool>> {
    // A panic while the pool was locked cannot leave it half changed.
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reuse {
    pub fn begin() -> Self {
        pool().get_or_insert_default().users += 1;
        Self
    }
}

impl Drop for Reuse {
    fn drop(&mut self) {
        let mut pool = pool();
        if let Some(open) = pool.as_mut() {
            open.users -= 1;
            if open.users == 0 {
                *pool = None;
            }
        }
    }
}

impl Buffer {
    /// A buffer whose values are about to be overwritten: now they are any numbers.
    pub fn unset(length: usize) -> Self {
        let used = pool().as_mut().and_then(|pool| pool.free.get_mut(&(length + SPARE))?.pop());
        Self::in_storage(used.unwrap_or_else(|| vec![0.0; length + SPARE]), length)
    }

    /// The buffer in storage that [`into_storage`](Self::into_storage) gave.
    pub fn in_storage(storage: Vec<f32>, length: usize) -> Self {
        let start = storage.as_ptr().align_offset(LINE).min(storage.len() - length);
        Self { storage, start, length }
    }

    /// How long the storage of a buffer of that length is.
    pub fn storage_length(length: usize) -> usize {
        length + SPARE
    }

    /// A buffer of zeros.
    pub fn zeros(length: usize) -> Self {
        let mut buffer = Self::unset(length);
        buffer.fill(0.0);
        buffer
    }

    /// The values in their storage, for which nothing is copied.
    pub fn into_storage(self) -> Vec<f32> {
        let mut aligned = if self.storage.len() == self.length + SPARE { self } else { self.clone() };
        std::mem::take(&mut aligned.storage)
    }
}

impl From<Vec<f32>> for Buffer {
    fn from(values: Vec<f32>) -> Self {
        Self { start: 0, length: values.len(), storage: values }
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Self {
        let mut copy = Self::unset(self.len());
        copy.copy_from_slice(self);
        copy
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
        if self.storage.len() >= WORTH_KEEPING
            && let Some(pool) = pool().as_mut()
        {
            pool.free.entry(self.storage.len()).or_default().push(std::mem::take(&mut self.storage));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_while_asked_for() {
        // A length that no other test uses: they share the pool.
        const LENGTH: usize = 1_234_567;
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
        drop(reuse);
    }
}
