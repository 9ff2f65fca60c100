//! Parts of a data set: a range, a shuffle, batches, classes.

use std::ops::Range;
use std::sync::Arc;

use ndarray::{Axis, s};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::Dataset;
use crate::error::{Error, Result};
use crate::limit;

impl Dataset {
    /// The first `train` images, and the `test` images that follow them, both in order.
    ///
    /// # Errors
    /// When there are fewer than `train + test` images.
    pub fn split(&self, train: usize, test: usize) -> Result<(Self, Self)> {
        match train.checked_add(test) {
            Some(end) if end <= self.len() => Ok((self.range(0..train), self.range(train..end))),
            _ => {
                let expected = format!("at most {} images, which is all there are", self.len());
                Err(Error::argument("split", expected, format!("{train} + {test}")))
            }
        }
    }

    /// The first `n` images, or all of them when there are fewer.
    pub fn take(&self, n: usize) -> Self {
        self.range(0..n.min(self.len()))
    }

    /// All images in random order, which depends only on their number and the seed.
    pub fn shuffled(&self, seed: u64) -> Self {
        self.gather(&shuffled_indices(self.len(), seed))
    }

    /// Batches of `batch_size` images, in order; the last one may be smaller.
    ///
    /// # Errors
    /// When `batch_size` is 0.
    pub fn batches(&self, batch_size: usize) -> Result<Vec<Self>> {
        if batch_size == 0 {
            return Err(Error::argument("batches", "a batch size of at least 1", 0));
        }
        let starts = (0..self.len()).step_by(batch_size);
        Ok(starts.map(|start| self.range(start..self.len().min(start.saturating_add(batch_size)))).collect())
    }

    /// The first image of every class, in the order of [`class_names`](Self::class_names).
    ///
    /// # Errors
    /// When a class has no image.
    pub fn one_of_each(&self) -> Result<Self> {
        let first = |class: usize| {
            let missing = || {
                let expected = format!("an image of class {class} ({})", self.class_names()[class]);
                Error::argument("one_of_each", expected, "none").hint("of_classes keeps the classes that have images")
            };
            self.labels().iter().position(|label| *label == class).ok_or_else(missing)
        };
        Ok(self.gather(&(0..self.class_names().len()).map(first).collect::<Result<Vec<_>>>()?))
    }

    /// One data set for each class, in the order of [`class_names`](Self::class_names); empty where a class has no
    /// image.
    pub fn by_class(&self) -> Vec<Self> {
        (0..self.class_names.len()).map(|label| self.with_label(label)).collect()
    }

    /// The images of one class.
    ///
    /// # Errors
    /// When there is no such class.
    pub fn of_class(&self, label: usize) -> Result<Self> {
        if label >= self.class_names.len() {
            let expected = format!("a label below {}", self.class_names.len());
            return Err(Error::argument("of_class", expected, label));
        }
        Ok(self.with_label(label))
    }

    /// The images of some classes, in the order of the images. The classes are renumbered in the order of `labels`:
    /// class `labels[0]` has the label 0 in the result, which has only these class names.
    ///
    /// # Errors
    /// When there is no such class, or one comes twice.
    ///
    /// ```
    /// use latentlab::Dataset;
    ///
    /// let digits = Dataset::built_in_digits(100, 0)?;
    /// let some = digits.of_classes(&[7, 1])?;
    /// assert_eq!(some.class_names(), ["7", "1"]);
    /// assert_eq!(some.len(), 20);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn of_classes(&self, labels: &[usize]) -> Result<Self> {
        let mut renumbered = vec![None; self.class_names.len()];
        for (new, &label) in labels.iter().enumerate() {
            let place = format!("of_classes, label {new}");
            match renumbered.get_mut(label) {
                Some(number @ None) => *number = Some(new),
                Some(Some(_)) => {
                    return Err(Error::argument(place, "each class once", format!("{label} again")));
                }
                None => {
                    let expected = format!("a label below {}", self.class_names.len());
                    return Err(Error::argument(place, expected, label));
                }
            }
        }
        let kept: Vec<usize> = (0..self.len()).filter(|&i| renumbered[self.labels[i]].is_some()).collect();
        let part = self.gather(&kept);
        Ok(Self {
            labels: Arc::new(part.labels.iter().filter_map(|&label| renumbered[label]).collect()),
            class_names: labels.iter().map(|&label| self.class_names[label].clone()).collect(),
            ..part
        })
    }

    /// The images with these indices, in this order; an index may occur more than once.
    ///
    /// # Errors
    /// When an index is not below the number of images, or the result would be larger than one result may be (4 GiB, or
    /// what the environment variable `LATENTLAB_MAX_BYTES` says).
    pub fn select(&self, indices: &[usize]) -> Result<Self> {
        if let Some(position) = indices.iter().position(|&index| index >= self.len()) {
            let expected = format!("a number below {} (the number of images)", self.len());
            let place = format!("select, index {position}");
            return Err(Error::argument(place, expected, indices[position]));
        }
        let [channels, height, width] = self.image_shape();
        limit::check("select", "the images", &[indices.len(), channels, height, width])?;
        Ok(self.gather(indices))
    }

    fn with_label(&self, label: usize) -> Self {
        let indices: Vec<usize> = (0..self.len()).filter(|&i| self.labels[i] == label).collect();
        self.gather(&indices)
    }

    /// `select` for indices that are in range.
    pub(super) fn gather(&self, indices: &[usize]) -> Self {
        Self {
            images: self.images.select(indices),
            labels: Arc::new(self.labels.select(Axis(0), indices)),
            ..self.clone()
        }
    }

    fn range(&self, range: Range<usize>) -> Self {
        Self {
            images: self.images.range(range.clone()),
            labels: Arc::new(self.labels.slice(s![range]).to_owned()),
            ..self.clone()
        }
    }
}

/// The numbers below `n` in random order (Fisher and Yates), the same on every platform: the draws have 64 bits
/// whatever the width of `usize`.
pub(crate) fn shuffled_indices(n: usize, seed: u64) -> Vec<usize> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut indices: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        indices.swap(last, random.gen_range(0..=last as u64) as usize);
    }
    indices
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array4};

    use super::*;

    /// Image i holds the value i everywhere and has the label i % 3; there are four classes.
    fn numbered(n: usize) -> Dataset {
        let images = Array4::from_shape_fn((n, 1, 2, 2), |(i, ..)| i as f32);
        Dataset::new(images, Array1::from_shape_fn(n, |i| i % 3), ["a", "b", "c", "d"]).unwrap()
    }

    fn numbers(data: &Dataset) -> Vec<usize> {
        let numbers: Vec<usize> = data.images().outer_iter().map(|image| image[[0, 1, 1]] as usize).collect();
        assert!(numbers.iter().zip(data.labels()).all(|(number, label)| number % 3 == *label), "labels follow images");
        numbers
    }

    #[test]
    fn split_is_in_order_and_bounded() {
        let (train, test) = numbered(10).split(6, 3).unwrap();
        assert_eq!(numbers(&train), [0, 1, 2, 3, 4, 5]);
        assert_eq!(numbers(&test), [6, 7, 8]);
        let error = numbered(10).split(8, 3).unwrap_err().to_string();
        assert_eq!(error, "split: expected at most 10 images, which is all there are, got 8 + 3");
        assert!(numbered(10).split(usize::MAX, 2).is_err());
    }

    #[test]
    fn take_stops_at_the_end() {
        assert_eq!(numbers(&numbered(5).take(2)), [0, 1]);
        assert_eq!(numbered(5).take(9).len(), 5);
        assert!(numbered(5).take(0).is_empty());
    }

    #[test]
    fn one_of_each_is_the_first_of_every_class() {
        let three = Dataset { class_names: numbered(0).class_names[..3].into(), ..numbered(7).shuffled(0) };
        let firsts = three.one_of_each().unwrap();
        assert_eq!(firsts.labels(), Array1::from(vec![0, 1, 2]));
        let first_of_class_2 = three.labels().iter().position(|label| *label == 2).unwrap();
        assert_eq!(numbers(&firsts)[2], numbers(&three)[first_of_class_2]);
        let error = numbered(7).one_of_each().unwrap_err().to_string();
        assert!(error.starts_with("one_of_each: expected an image of class 3"), "{error}");
    }

    #[test]
    fn shuffled_has_a_fixed_order() {
        // If these numbers change, so does every result in the notebooks.
        assert_eq!(shuffled_indices(10, 0), SEED_0);
        assert_eq!(numbers(&numbered(10).shuffled(0)), SEED_0);
        assert_ne!(shuffled_indices(10, 1), SEED_0);
        let mut sorted = shuffled_indices(1000, 7);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
    }

    const SEED_0: [usize; 10] = [1, 2, 5, 6, 4, 7, 8, 0, 9, 3];

    #[test]
    fn batches_keep_the_last_one() {
        let batches = numbered(10).batches(4).unwrap();
        assert_eq!(batches.iter().map(numbers).collect::<Vec<_>>(), [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9]]);
        assert_eq!(numbered(10).batches(usize::MAX).unwrap().len(), 1);
        assert!(numbered(10).batches(0).is_err());
    }

    #[test]
    fn some_classes_are_kept_and_renumbered() {
        let data = numbered(7).shuffled(1);
        let some = data.of_classes(&[2, 0]).unwrap();
        assert_eq!(some.class_names(), ["c", "a"]);
        let values =
            |data: &Dataset| -> Vec<usize> { data.images().outer_iter().map(|i| i[[0, 0, 0]] as usize).collect() };
        let expected: Vec<usize> = values(&data).into_iter().filter(|value| value % 3 != 1).collect();
        assert_eq!(values(&some), expected);
        let labels: Vec<usize> = expected.iter().map(|value| [1, 9, 0][value % 3]).collect();
        assert_eq!(some.labels().to_vec(), labels);
        assert_eq!(some.one_of_each().unwrap().len(), 2);

        let none = data.of_classes(&[3]).unwrap(); // a class without an image
        assert_eq!((none.len(), none.class_names().len()), (0, 1));
        assert_eq!(data.of_classes(&[]).unwrap().class_names().len(), 0);
        for (labels, expected) in [
            (&[0, 4][..], "of_classes, label 1: expected a label below 4, got 4"),
            (&[usize::MAX], "of_classes, label 0: expected a label below 4, got 18446744073709551615"),
            (&[1, 0, 1], "of_classes, label 2: expected each class once, got 1 again"),
        ] {
            assert_eq!(data.of_classes(labels).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn sizes_are_counted_before_images_are_copied() {
        // One image of 4 MB, a thousand and a hundred times: 4.4 GB.
        let image = Dataset::new(Array4::zeros((1, 1, 1000, 1000)), Array1::zeros(1), ["a"]).unwrap();
        let error = image.select(&[0; 1100]).unwrap_err().to_string();
        assert!(
            error
                .starts_with("select: expected at most 4 GiB for one result, got 4.1 GiB (the images: 1100 × 1 × 1000"),
            "{error}"
        );
    }

    #[test]
    fn no_count_is_too_large_or_too_small() {
        for n in [0, 1, 7] {
            let data = numbered(n);
            for count in [0, 1, 2, n, n + 1, usize::MAX / 2, usize::MAX] {
                assert_eq!(data.take(count).len(), count.min(n));
                assert_eq!(data.split(count, 0).is_ok(), count <= n);
                assert_eq!(data.split(0, count).is_ok(), count <= n);
                assert!(data.split(count, usize::MAX).is_err());
                assert_eq!(
                    data.batches(count).map(|batches| batches.len()).ok(),
                    n.checked_div(count).map(|_| n.div_ceil(count))
                );
                assert_eq!(data.folds(count, u64::MAX).is_ok(), (2..=n).contains(&count));
                assert_eq!(data.of_class(count).is_ok(), count < 4);
                assert_eq!(data.select(&[count]).is_ok(), count < n);
                assert_eq!(data.shuffled(count as u64).len(), n);
                assert_eq!(data.progress_of_folds(count), (2..=n).contains(&count));
            }
            assert_eq!(data.by_class().len(), 4);
            assert_eq!(data.mean().is_nan(), n == 0);
            assert_eq!(data.std().is_nan(), n == 0);
            assert!(data.to_html().contains(" images of shape 1×2×2"));
        }
        let nothing = Dataset::new(Array4::zeros((0, 1, 1, 1)), Array1::zeros(0), [""; 0]).unwrap();
        assert!(
            nothing.one_of_each().unwrap().is_empty()
                && nothing.by_class().is_empty()
                && nothing.batches(1).unwrap().is_empty()
        );
        assert!(nothing.to_string().starts_with("0 images of shape 1×1×1\n0 classes: \n"), "{nothing}");
    }

    impl Dataset {
        /// Whether there are folds; iterates over all of them.
        fn progress_of_folds(&self, count: usize) -> bool {
            self.folds(count, 0).is_ok_and(|folds| folds.progress_every(usize::MAX).count() == count)
        }
    }

    #[test]
    fn classes_and_selection() {
        let data = numbered(7);
        let classes: Vec<_> = data.by_class().iter().map(numbers).collect();
        assert_eq!(classes, [vec![0, 3, 6], vec![1, 4], vec![2, 5], vec![]]);
        assert_eq!(numbers(&data.of_class(1).unwrap()), [1, 4]);
        assert_eq!(data.of_class(4).unwrap_err().to_string(), "of_class: expected a label below 4, got 4");
        assert_eq!(numbers(&data.select(&[6, 0, 6]).unwrap()), [6, 0, 6]);
        let error = data.select(&[1, 7]).unwrap_err().to_string();
        assert_eq!(error, "select, index 1: expected a number below 7 (the number of images), got 7");
    }
}
