//! Normalisation to mean 0 and standard deviation 1.

use rayon::prelude::*;

use super::Dataset;
use crate::error::{Error, Result};

impl Dataset {
    /// The mean of all pixel values; NaN when there is no image.
    pub fn mean(&self) -> f32 {
        self.average(f64::from) as f32
    }

    /// The standard deviation of all pixel values (divided by n, not n − 1); NaN when there is no image.
    pub fn std(&self) -> f32 {
        let mean = self.average(f64::from);
        self.average(|value| (f64::from(value) - mean).powi(2)).sqrt() as f32
    }

    /// The mean of `f` over all values, summed by image: the same bits with any number of threads.
    fn average(&self, f: impl Fn(f32) -> f64 + Sync) -> f64 {
        let values = self.images.as_slice().unwrap_or_default();
        let size: usize = self.image_shape().iter().product();
        let sums: Vec<f64> = values.par_chunks(size).map(|image| image.iter().map(|&value| f(value)).sum()).collect();
        sums.iter().sum::<f64>() / values.len() as f64
    }
}

/// Shifts and scales pixel values: `(value - mean) / std`.
///
/// ```
/// use latentlab::{Dataset, Normalisation};
///
/// let (train, test) = Dataset::built_in_digits(100, 0)?.split(80, 20)?;
/// let normalisation = Normalisation::fit(&train)?; // from the training images only
/// let test = normalisation.transform(&test)?;
/// let grey = normalisation.inverse_transform(&test)?; // grey values again, for figures
///
/// let published = Normalisation::new(0.1307, 0.3081)?; // MNIST's, as PyTorch's examples have it
/// # assert!(published.transform(&grey).is_ok());
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    mean: f32,
    std: f32,
}

impl Normalisation {
    /// With this mean and standard deviation.
    ///
    /// # Errors
    /// When `mean` is not finite or `std` not a positive number.
    pub fn new(mean: f32, std: f32) -> Result<Self> {
        if mean.is_finite() && std.is_finite() && std > 0.0 {
            return Ok(Self { mean, std });
        }
        let expected = "a finite mean and a positive standard deviation";
        Err(Error::argument("normalisation", expected, format!("{mean} and {std}")))
    }

    /// With the mean and standard deviation of a data set.
    ///
    /// # Errors
    /// When there are no images, or all values are equal.
    pub fn fit(data: &Dataset) -> Result<Self> {
        Self::new(data.mean(), data.std())
    }

    /// What is subtracted from each value.
    pub fn mean(&self) -> f32 {
        self.mean
    }

    /// What each value is then divided by.
    pub fn std(&self) -> f32 {
        self.std
    }

    /// The data set with `(value - mean) / std` for each value.
    ///
    /// # Errors
    /// When a value becomes infinite.
    pub fn transform(&self, data: &Dataset) -> Result<Dataset> {
        self.replaced(data, |value| (value - self.mean) / self.std)
    }

    /// The inverse of [`transform`](Self::transform): `value · std + mean`.
    ///
    /// # Errors
    /// When a value becomes infinite.
    pub fn inverse_transform(&self, data: &Dataset) -> Result<Dataset> {
        self.replaced(data, |value| value * self.std + self.mean)
    }

    fn replaced(&self, data: &Dataset, f: impl Fn(f32) -> f32) -> Result<Dataset> {
        data.with_images(data.images().mapv(f)).map_err(|error| error.within("normalisation"))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array4};

    use super::*;

    fn data(value: impl Fn(usize) -> f32) -> Dataset {
        let images = Array4::from_shape_fn((4, 1, 1, 2), |(n, _, _, x)| value(2 * n + x));
        Dataset::new(images, Array1::zeros(4), ["a"]).unwrap()
    }

    #[test]
    fn mean_and_std_of_known_values() {
        // 2 4 4 4 5 5 7 9 has the mean 5 and the standard deviation 2
        let data = data(|i| [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0][i]);
        assert_eq!((data.mean(), data.std()), (5.0, 2.0));
        let normalisation = Normalisation::fit(&data).unwrap();
        let normalised = normalisation.transform(&data).unwrap();
        assert_eq!(normalised.images()[[0, 0, 0, 0]], -1.5);
        assert_eq!((normalised.mean(), normalised.std()), (0.0, 1.0));
        assert_eq!(normalisation.inverse_transform(&normalised).unwrap().images(), data.images());
    }

    #[test]
    fn a_normalisation_without_a_scale_is_refused() {
        let error = Normalisation::fit(&data(|_| 0.25)).unwrap_err().to_string();
        assert_eq!(error, "normalisation: expected a finite mean and a positive standard deviation, got 0.25 and 0");
        assert!(Normalisation::fit(&data(|i| i as f32).take(0)).is_err());
        assert!(Normalisation::new(0.0, -1.0).is_err() && Normalisation::new(f32::NAN, 1.0).is_err());
        let tiny = Normalisation::new(0.0, f32::from_bits(1)).unwrap();
        let error = tiny.transform(&data(|i| i as f32)).unwrap_err().to_string();
        assert_eq!(
            error,
            "normalisation, data set, image 0, channel 0, row 0, column 1: expected a finite value, got inf"
        );
    }
}
