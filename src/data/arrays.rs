//! Data sets from arrays of any number of axes, and arrays from data sets.

use std::sync::Arc;

use ndarray::{Array, Array1, Array2, ArrayD, Axis, Dimension, Ix4};

use super::{Dataset, checked_images, checked_labels, collected_names};
use crate::error::{Error, ErrorKind, Result};
use crate::limit;

impl Dataset {
    /// A data set without labels from an array of
    ///
    /// | shape | what it holds | as images |
    /// |---|---|---|
    /// | (n, features) | rows of a table | \[1, 1, features\] |
    /// | (n, time, features) or (n, height, width) | sequences, or grey images | \[1, height, width\] |
    /// | (n, channels, height, width) | images | \[channels, height, width\] |
    ///
    /// A network for rows or sequences may begin with `Sequential::input([features])` or `input([time, features])`: all
    /// that takes images takes them too. Every row has the label 0 of the one class "unlabelled", until
    /// [`with_labels`](Self::with_labels) gives it another.
    ///
    /// # Errors
    /// When the array has fewer than two or more than four axes, a row has no values, or a value is NaN or infinite.
    ///
    /// ```
    /// use latentlab::{Autoencoder, Dataset, Loss, Sequential, TrainConfig, ndarray::Array2, train_ae};
    ///
    /// let measurements = Array2::from_shape_fn((200, 6), |(row, column)| (row * (column + 1) % 7) as f32 / 7.0);
    /// let data = Dataset::from_array(measurements)?;
    /// let mut autoencoder = Autoencoder::new(
    ///     Sequential::input([6]).dense(8).relu().dense(2),
    ///     Sequential::input([2]).dense(8).relu().dense(6),
    /// )?;
    /// let config = TrainConfig::new().epochs(5).loss(Loss::MeanSquaredError);
    /// let history = train_ae(&mut autoencoder, &data, &config)?;
    /// assert!(history.loss[4] < history.loss[0]);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn from_array<D: Dimension>(values: Array<f32, D>) -> Result<Self> {
        Self::of_rows(values.into_dyn())
    }

    fn of_rows(mut values: ArrayD<f32>) -> Result<Self> {
        let shape = values.shape().to_vec();
        let wrong = || {
            let expected = "(n, features), (n, time, features), (n, height, width) or (n, channels, height, width)";
            Error::expected(ErrorKind::Shape, "from_array", expected, format!("{shape:?}"))
        };
        if shape.len() < 2 {
            return Err(wrong());
        }
        while values.ndim() < 4 {
            values.insert_axis_inplace(Axis(1));
        }
        Self::unlabelled(values.into_dimensionality::<Ix4>().map_err(|_| wrong())?, "arrays".into())
    }

    /// Images without labels, and where they came from.
    pub(super) fn unlabelled(images: ndarray::Array4<f32>, source: Arc<str>) -> Result<Self> {
        let labels = Arc::new(Array1::zeros(images.dim().0));
        let images = checked_images(images, labels.len(), false)?;
        Ok(Self { images, labels, class_names: Arc::new([UNLABELLED.to_string()]), source })
    }

    /// The same images with other labels and class names (label 0 has the first name).
    ///
    /// # Errors
    /// When the numbers of images and labels differ, a label has no class name, or there are more than 1,000,000 class
    /// names.
    ///
    /// ```
    /// use latentlab::{Dataset, ndarray::{Array2, arr1}};
    ///
    /// let points = Dataset::from_array(Array2::zeros((3, 2)))?.with_labels(arr1(&[0, 1, 1]), ["sane", "odd"])?;
    /// assert_eq!(points.class_names()[points.labels()[2]], "odd");
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn with_labels(
        &self,
        labels: Array1<usize>,
        class_names: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self> {
        self.relabelled(labels, collected_names(class_names)?)
    }

    fn relabelled(&self, labels: Array1<usize>, class_names: Arc<[String]>) -> Result<Self> {
        if labels.len() != self.len() {
            let got = format!("{} images and {} labels", self.len(), labels.len());
            return Err(Error::expected(ErrorKind::Shape, "with_labels", "one label for each image", got));
        }
        Ok(Self { labels: checked_labels(labels, &class_names)?, class_names, ..self.clone() })
    }

    /// The same values in images of another shape, \[channels, height, width\]: the pixels of a table's rows, say.
    ///
    /// # Errors
    /// When the shape has another number of values.
    ///
    /// ```
    /// use latentlab::{Dataset, ndarray::Array2};
    ///
    /// let images = Dataset::from_array(Array2::zeros((10, 784)))?.with_image_shape([1, 28, 28])?;
    /// assert_eq!(images.images().dim(), (10, 1, 28, 28));
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn with_image_shape(&self, shape: [usize; 3]) -> Result<Self> {
        let size: usize = self.image_shape().iter().product();
        if shape.iter().try_fold(1_usize, |product, side| product.checked_mul(*side)) != Some(size) {
            let expected = format!("a shape of {size} values, as {:?} has", self.image_shape());
            return Err(Error::expected(ErrorKind::Shape, "with_image_shape", expected, format!("{shape:?}")));
        }
        let [channels, height, width] = shape;
        let images = self.images().clone().into_shape_with_order((self.len(), channels, height, width));
        let images = images.map_err(|error| Error::new(ErrorKind::Shape, "with_image_shape", error.to_string()))?;
        Ok(Self { images: images.into(), ..self.clone() })
    }

    /// The values of each image as a row: (n, channels · height · width), for a table (n, features).
    ///
    /// ```
    /// use latentlab::Dataset;
    ///
    /// assert_eq!(Dataset::built_in_digits(10, 0)?.to_rows().dim(), (10, 784));
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn to_rows(&self) -> Array2<f32> {
        let size = self.image_shape().iter().product();
        // Images are always in standard layout, so the shape fits.
        Array2::from_shape_vec((self.len(), size), self.values().to_vec()).unwrap_or_default()
    }

    /// The labels as rows of zeros with a one: (n, number of [`class_names`](Self::class_names)).
    ///
    /// # Errors
    /// When they would be larger than one result may be (4 GiB, or what the environment variable `LATENTLAB_MAX_BYTES`
    /// says).
    ///
    /// ```
    /// use latentlab::Dataset;
    ///
    /// let digits = Dataset::built_in_digits(10, 0)?;
    /// let one_hot = digits.one_hot()?;
    /// assert_eq!(one_hot.dim(), (10, 10));
    /// assert_eq!(one_hot[[3, digits.labels()[3]]], 1.0);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn one_hot(&self) -> Result<Array2<f32>> {
        let shape = (self.len(), self.class_names().len());
        limit::check("one_hot", "the rows", &[shape.0, shape.1])?;
        let mut rows = Array2::zeros(shape);
        for (mut row, label) in rows.outer_iter_mut().zip(self.labels()) {
            row[*label] = 1.0;
        }
        Ok(rows)
    }
}

/// The class of data without labels.
pub(super) const UNLABELLED: &str = "unlabelled";

#[cfg(test)]
mod tests {
    use ndarray::{Array3, Array4, ArrayD, arr1, arr2};

    use super::*;

    #[test]
    fn arrays_of_two_to_four_axes_become_images() {
        let rows = Dataset::from_array(arr2(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])).unwrap();
        assert_eq!((rows.image_shape(), rows.values()), ([1, 1, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0][..]));
        assert_eq!(rows.to_rows(), arr2(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]));
        assert_eq!(rows.to_string(), "2 rows of 3 features\n1 classes: unlabelled (2)\nsource: arrays");
        let transposed = Dataset::from_array(arr2(&[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]).reversed_axes()).unwrap();
        assert_eq!(transposed.values(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(Dataset::from_array(Array3::zeros((4, 9, 2))).unwrap().image_shape(), [1, 9, 2]);
        assert_eq!(Dataset::from_array(Array4::zeros((4, 3, 9, 2))).unwrap().image_shape(), [3, 9, 2]);
        for shape in [&[][..], &[3], &[1, 1, 1, 1, 1]] {
            let error = Dataset::from_array(ArrayD::zeros(shape)).unwrap_err().to_string();
            assert!(error.starts_with("from_array: expected (n, features)") && error.contains("got ["), "{error}");
        }
        assert!(Dataset::from_array(Array2::zeros((3, 0))).is_err());
        let error = Dataset::from_array(arr2(&[[0.0], [f32::NAN]])).unwrap_err().to_string();
        assert!(error.contains("image 1, channel 0, row 0, column 0: expected a finite value"), "{error}");
    }

    #[test]
    fn labels_and_shapes_are_exchanged() {
        let data = Dataset::from_array(Array2::from_shape_fn((3, 6), |(n, i)| (6 * n + i) as f32)).unwrap();
        let labelled = data.with_labels(arr1(&[1, 0, 1]), ["a", "b"]).unwrap();
        assert_eq!(labelled.one_hot().unwrap(), arr2(&[[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]));
        let error = data.with_labels(arr1(&[0]), ["a"]).unwrap_err().to_string();
        assert_eq!(error, "with_labels: expected one label for each image, got 3 images and 1 labels");
        assert!(data.with_labels(arr1(&[0, 2, 0]), ["a", "b"]).is_err());
        let images = labelled.with_image_shape([1, 2, 3]).unwrap();
        assert_eq!((images.images()[[2, 0, 1, 0]], images.labels()), (15.0, labelled.labels()));
        for shape in [[1, 2, 2], [0, 0, 0], [usize::MAX, 2, 3]] {
            let error = data.with_image_shape(shape).unwrap_err().to_string();
            assert!(error.starts_with("with_image_shape: expected a shape of 6 values, as [1, 1, 6] has"), "{error}");
        }
    }
}
