//! Buffers that are used again from step to step.
//!
//! A training step needs tens of megabytes for a few milliseconds. Given back to the operating system each time, they cost
//! more in page faults than some of the arithmetic: while a [`Reuse`] lives, dropped buffers wait for the next step instead.

use std::{
    collections::HashMap,
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Values in memory that may be used again.
#[derive(Default)]
pub(crate) struct Buffer(Vec<f32>);

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
        let used = pool().as_mut().and_then(|pool| pool.free.get_mut(&length)?.pop());
        Self(used.unwrap_or_else(|| vec![0.0; length]))
    }

    /// A buffer of zeros.
    pub fn zeros(length: usize) -> Self {
        let mut buffer = Self::unset(length);
        buffer.fill(0.0);
        buffer
    }

    /// The values as a plain vector, which is not used again.
    pub fn into_vec(mut self) -> Vec<f32> {
        std::mem::take(&mut self.0)
    }
}

impl From<Vec<f32>> for Buffer {
    fn from(values: Vec<f32>) -> Self {
        Self(values)
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
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.0.len() >= WORTH_KEEPING
            && let Some(pool) = pool().as_mut()
        {
            pool.free.entry(self.0.len()).or_default().push(std::mem::take(&mut self.0));
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
