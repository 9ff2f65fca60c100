//! Normalisation to mean 0 and standard deviation 1, or to [0, 1]: of all values alike, or of each column.

use rayon::prelude::*;

use super::Dataset;
use crate::error::{Error, ErrorKind, Result};

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
        let values = self.values();
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

/// Shifts and scales each column of a table by itself: scikit-learn's `StandardScaler` and `MinMaxScaler`. Of images,
/// each pixel of each channel is a column.
///
/// A column whose values are all equal is shifted only, as in scikit-learn.
///
/// ```
/// use latentlab::{Dataset, Scaler, ndarray::arr2};
///
/// let table = Dataset::from_array(arr2(&[[1.0, 100.0], [2.0, 500.0], [3.0, 300.0]]))?;
/// let scaler = Scaler::min_max(&table)?; // from the training rows only
/// let scaled = scaler.transform(&table)?;
/// assert_eq!(scaled.to_rows(), arr2(&[[0.0, 0.0], [0.5, 1.0], [1.0, 0.5]]));
/// assert_eq!(scaler.inverse_transform(&scaled)?.images(), table.images());
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Scaler {
    shape: [usize; 3],
    /// Of each column, what is subtracted, and what is then divided by.
    columns: Vec<[f32; 2]>,
}

impl Scaler {
    /// To mean 0 and standard deviation 1 (divided by n, not n − 1) in each column.
    ///
    /// # Errors
    /// When there are no rows, or the differences within a column are too large for a number of 32 bits.
    pub fn standard(data: &Dataset) -> Result<Self> {
        Self::fit(data, |column| {
            let n = column.len() as f64;
            let mean = column.iter().sum::<f64>() / n;
            [mean, (column.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt()]
        })
    }

    /// To [0, 1] in each column.
    ///
    /// # Errors
    /// As [`standard`](Self::standard).
    pub fn min_max(data: &Dataset) -> Result<Self> {
        Self::fit(data, |column| {
            let (low, high) = column.iter().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
            [low, high - low]
        })
    }

    fn fit(data: &Dataset, shift_and_scale: impl Fn(&[f64]) -> [f64; 2] + Sync) -> Result<Self> {
        if data.is_empty() {
            return Err(Error::argument("scaler", "at least 1 row", "none"));
        }
        let (shape, values) = (data.image_shape(), data.values());
        let width: usize = shape.iter().product();
        let of_column = |index: usize| {
            let column: Vec<f64> = values[index..].iter().step_by(width).map(|value| f64::from(*value)).collect();
            let is_constant = column.iter().all(|value| *value == column[0]);
            let [shift, scale] = if is_constant { [column[0], 1.0] } else { shift_and_scale(&column) };
            let column = [shift as f32, scale as f32];
            let is_usable = column[0].is_finite() && column[1].is_finite() && column[1] > 0.0;
            is_usable.then_some(column).ok_or_else(|| {
                let expected = "differences that a number of 32 bits can hold";
                Error::argument(format!("scaler, column {index}"), expected, format!("{scale:e}"))
            })
        };
        let columns = (0..width).into_par_iter().map(of_column).collect::<Vec<Result<_>>>();
        Ok(Self { shape, columns: columns.into_iter().collect::<Result<_>>()? })
    }

    /// The data set with `(value - shift) / scale` for each value, by the shift and scale of its column.
    ///
    /// # Errors
    /// When the rows have another shape than those that the scaler comes from, or a value becomes infinite.
    pub fn transform(&self, data: &Dataset) -> Result<Dataset> {
        self.replaced(data, |value, [shift, scale]| (value - shift) / scale)
    }

    /// The inverse of [`transform`](Self::transform): `value · scale + shift`.
    ///
    /// # Errors
    /// As [`transform`](Self::transform).
    pub fn inverse_transform(&self, data: &Dataset) -> Result<Dataset> {
        self.replaced(data, |value, [shift, scale]| value * scale + shift)
    }

    fn replaced(&self, data: &Dataset, f: impl Fn(f32, [f32; 2]) -> f32) -> Result<Dataset> {
        if data.image_shape() != self.shape {
            let (expected, got) = (format!("rows of shape {:?}", self.shape), format!("{:?}", data.image_shape()));
            return Err(Error::expected(ErrorKind::Shape, "scaler", expected, got));
        }
        let mut images = data.images().clone();
        images.iter_mut().zip(self.columns.iter().cycle()).for_each(|(value, column)| *value = f(*value, *column));
        data.with_images(images).map_err(|error| error.within("scaler"))
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

    /// Values of scikit-learn 1.7's `StandardScaler` and `MinMaxScaler`.
    #[test]
    fn columns_are_scaled_by_themselves() {
        let table = ndarray::arr2(&[[1.0, 200.0, 7.0], [2.0, 100.0, 7.0], [6.0, 600.0, 7.0]]);
        let data = Dataset::from_array(table.clone()).unwrap();
        let standard = Scaler::standard(&data).unwrap();
        let min_max = Scaler::min_max(&data).unwrap();
        for (scaler, expected) in [
            (&standard, [[-0.9258201, -0.46291003, 0.0], [-0.46291003, -0.9258201, 0.0], [1.3887302, 1.3887302, 0.0]]),
            (&min_max, [[0.0, 0.2, 0.0], [0.2, 0.0, 0.0], [1.0, 1.0, 0.0]]),
        ] {
            let scaled = scaler.transform(&data).unwrap();
            let close = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-6;
            assert!(scaled.to_rows().iter().zip(expected.as_flattened()).all(close), "{:?}", scaled.to_rows());
            let back = scaler.inverse_transform(&scaled).unwrap();
            assert!(back.to_rows().iter().zip(&table).all(|(a, b)| (a - b).abs() < 1e-4), "{:?}", back.to_rows());
        }
        let error =
            min_max.transform(&Dataset::from_array(Array1::zeros(6).into_shape_with_order((3, 2)).unwrap()).unwrap());
        assert_eq!(error.unwrap_err().to_string(), "scaler: expected rows of shape [1, 1, 3], got [1, 1, 2]");
        assert_eq!(
            Scaler::standard(&data.take(0)).unwrap_err().to_string(),
            "scaler: expected at least 1 row, got none"
        );
        let far = Dataset::from_array(ndarray::arr2(&[[0.0, f32::MAX], [0.0, f32::MIN]])).unwrap();
        let error = Scaler::min_max(&far).unwrap_err().to_string();
        assert!(error.starts_with("scaler, column 1: expected differences that a number of 32 bits"), "{error}");
    }
}
