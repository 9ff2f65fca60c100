//! Shuffled batches, for a training loop of one's own.

use std::fmt;

use super::{Dataset, subset::shuffled_indices};
use crate::error::{Error, Result};

impl Dataset {
    /// Batches of `batch_size` images in random order, which depends only on their number and the seed: an epoch of a
    /// training loop of your own. Each batch is a data set of its own ([`images`](Self::images),
    /// [`labels`](Self::labels), [`one_hot`](Self::one_hot)), copied when its turn comes; the last one may be smaller.
    ///
    /// [`batches`](Self::batches) gives all of them at once and in order.
    ///
    /// # Errors
    /// When `batch_size` is 0.
    ///
    /// ```
    /// use latentlab::Dataset;
    ///
    /// let digits = Dataset::built_in_digits(100, 0)?;
    /// for epoch in 0..2 {
    ///     for batch in digits.shuffled_batches(32, epoch)? {
    ///         assert!(batch.images().dim() == (32, 1, 28, 28) || batch.len() == 4);
    ///         assert_eq!(batch.one_hot()?.dim(), (batch.len(), 10));
    ///     }
    /// }
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn shuffled_batches(&self, batch_size: usize, seed: u64) -> Result<Batches> {
        if batch_size == 0 {
            return Err(Error::argument("shuffled_batches", "a batch size of at least 1", 0));
        }
        Ok(Batches { order: shuffled_indices(self.len(), seed), data: self.clone(), batch_size, taken: 0 })
    }
}

/// The batches of a data set in random order, made by [`Dataset::shuffled_batches`]: an iterator that owns what it
/// needs, so that it can live from one notebook cell to the next.
#[derive(Clone)]
pub struct Batches {
    data: Dataset,
    order: Vec<usize>,
    batch_size: usize,
    /// How many images have been given out.
    taken: usize,
}

impl Iterator for Batches {
    type Item = Dataset;

    fn next(&mut self) -> Option<Dataset> {
        let rest = self.order.get(self.taken..).filter(|rest| !rest.is_empty())?;
        let indices = &rest[..rest.len().min(self.batch_size)];
        let batch = self.data.gather(indices);
        self.taken += indices.len();
        Some(batch)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.order.len() - self.taken).div_ceil(self.batch_size);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Batches {}

impl fmt::Debug for Batches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} more batches of up to {} images", self.len(), self.batch_size)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array4};

    use super::*;

    fn numbered(n: usize) -> Dataset {
        let images = Array4::from_shape_fn((n, 2, 3, 1), |(i, c, y, _)| (10 * i + 3 * c + y) as f32);
        Dataset::new(images, Array1::from_shape_fn(n, |i| i % 3), ["a", "b", "c"]).unwrap()
    }

    #[test]
    fn an_epoch_has_every_image_once_with_its_label() {
        let data = numbered(10);
        let batches = data.shuffled_batches(4, 5).unwrap();
        assert_eq!((batches.len(), format!("{batches:?}")), (3, "3 more batches of up to 4 images".into()));
        let batches: Vec<Dataset> = batches.collect();
        assert_eq!(batches.iter().map(Dataset::len).collect::<Vec<_>>(), [4, 4, 2]);
        let shuffled = data.shuffled(5);
        let values: Vec<f32> = batches.iter().flat_map(|batch| batch.values().to_vec()).collect();
        assert_eq!(values, shuffled.values());
        let labels: Vec<usize> = batches.iter().flat_map(|batch| batch.labels().to_vec()).collect();
        assert_eq!(labels, shuffled.labels().to_vec());
        assert_eq!(batches[0].class_names(), data.class_names());
    }

    #[test]
    fn no_batch_size_is_too_large() {
        for (n, batch_size, count) in [(0, 1, 0), (7, usize::MAX, 1), (7, 7, 1), (7, 1, 7)] {
            let mut batches = numbered(n).shuffled_batches(batch_size, 0).unwrap();
            assert_eq!((batches.len(), batches.by_ref().count()), (count, count));
            assert!(batches.next().is_none());
        }
        assert!(numbered(3).shuffled_batches(0, 0).is_err());
        fn owned<T: Send + 'static>(_: &T) {}
        owned(&numbered(3).shuffled_batches(2, 0).unwrap());
    }
}
