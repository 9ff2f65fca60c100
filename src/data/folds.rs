//! k-fold cross-validation.

use std::time::Instant;

use super::{Dataset, shuffled_indices};
use crate::{
    channel::{self, Stoppable},
    error::{Error, Result},
    progress::{Progress, State, times},
};

/// An iterator over the pairs (training images, validation images) of a k-fold cross-validation, from
/// [`Dataset::folds`]. Each pair is made when it is asked for, since it is a copy of all images. It shows its
/// progress, and ends early when a notebook's stop button is pressed.
#[derive(Debug)]
pub struct Folds {
    images: Dataset,
    /// The shuffled indices, of which each validation set is a range.
    order: Vec<usize>,
    count: usize,
    next: usize,
    progress_every: usize,
    /// Set by the first pair.
    run: Option<(Progress, Instant, Stoppable)>,
}

impl Folds {
    /// Prints a line after this number of folds each; 0 prints nothing. Default: 1.
    pub fn progress_every(self, folds: usize) -> Self {
        Self { progress_every: folds, ..self }
    }

    /// Shows how many folds are done.
    fn show_progress(&mut self) {
        let (done, count) = (self.next, self.count);
        let (progress, start, _) =
            self.run.get_or_insert_with(|| (Progress::begin(self.progress_every), Instant::now(), Stoppable::begin()));
        let share = done as f64 / count as f64;
        let text = || format!("{done}/{count} folds  {}", times(start.elapsed().as_secs_f64(), share));
        let state = || State { share, text: text(), ..State::default() };
        if done == 0 { progress.within(state) } else { progress.unit(done, done == count, state) }
    }
}

impl Dataset {
    /// k-fold cross-validation: the shuffled images in `count` parts of equal size (the first ones may have one image
    /// more), each of which is the validation set of one pair and the others its training set. The order depends only
    /// on the number of images and the seed.
    ///
    /// # Errors
    /// When `count` is not between 2 and the number of images.
    ///
    /// ```
    /// use latentlab::{Autoencoder, Dataset, TrainConfig, train_ae};
    ///
    /// let digits = Dataset::built_in_digits(250, 0)?;
    /// let mut losses = Vec::new();
    /// for (train, validation) in digits.folds(5, 0)? {
    ///     let config = TrainConfig::new().epochs(2).validation(&validation).progress_every(0);
    ///     losses.extend(train_ae(&mut Autoencoder::tiny(2)?, &train, &config)?.validation_loss.pop());
    /// }
    /// let mean = losses.iter().sum::<f64>() / 5.0;
    /// let deviation = (losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / 4.0).sqrt();
    /// println!("{mean:.4} ± {deviation:.4} over 5 folds");
    /// # assert!(losses.len() == 5 && deviation < mean);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn folds(&self, count: usize, seed: u64) -> Result<Folds> {
        if !(2..=self.len()).contains(&count) {
            let expected = format!("a number of folds from 2 to {} (the number of images)", self.len());
            return Err(Error::argument("folds", expected, count));
        }
        let order = shuffled_indices(self.len(), seed);
        Ok(Folds { images: self.clone(), order, count, next: 0, progress_every: 1, run: None })
    }
}

impl Iterator for Folds {
    type Item = (Dataset, Dataset);

    fn next(&mut self) -> Option<Self::Item> {
        self.show_progress();
        if self.next == self.count || channel::stop_requested() {
            self.run = None;
            return None;
        }
        let (size, larger) = (self.order.len() / self.count, self.order.len() % self.count);
        let start = |fold: usize| fold * size + fold.min(larger);
        let (before, rest) = self.order.split_at(start(self.next));
        self.next += 1;
        let (validation, after) = rest.split_at(start(self.next) - before.len());
        Some((self.images.gather(&[before, after].concat()), self.images.gather(validation)))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.count - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Folds {}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array4};

    use super::*;

    /// Image i holds the value i and has the label i % 3.
    fn numbered(n: usize) -> Dataset {
        let images = Array4::from_shape_fn((n, 1, 1, 1), |(i, ..)| i as f32);
        Dataset::new(images, Array1::from_shape_fn(n, |i| i % 3), ["a", "b", "c"]).unwrap()
    }

    fn numbers(data: &Dataset) -> Vec<usize> {
        let numbers: Vec<usize> = data.images().iter().map(|value| *value as usize).collect();
        assert!(numbers.iter().zip(data.labels()).all(|(number, label)| number % 3 == *label), "labels follow images");
        numbers
    }

    #[test]
    fn each_image_validates_once_and_never_where_it_trains() {
        for (images, count) in [(11, 3), (10, 5), (2, 2), (7, 7)] {
            let folds = numbered(images).folds(count, 4).unwrap();
            assert_eq!(folds.len(), count);
            let mut validated = Vec::new();
            for (train, validation) in folds {
                assert!((images / count..=images.div_ceil(count)).contains(&validation.len()));
                let validation = numbers(&validation);
                let mut all = [numbers(&train), validation.clone()].concat();
                all.sort_unstable();
                assert_eq!(all, (0..images).collect::<Vec<_>>());
                validated.extend(validation);
            }
            assert_eq!(validated, shuffled_indices(images, 4));
        }
    }

    #[test]
    fn the_number_of_folds_is_checked() {
        for count in [0, 1, 6] {
            let error = numbered(5).folds(count, 0).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("folds: expected a number of folds from 2 to 5 (the number of images), got {count}")
            );
        }
    }
}
