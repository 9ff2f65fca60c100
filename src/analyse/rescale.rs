//! Points moved to zero and scaled to about 1, where squares in single precision neither overflow nor vanish.

use ndarray::{Array1, Array2, ArrayView1, Zip};

/// How far from the mean a rescaled point may lie. One farther out is moved in on the straight line to the mean: the
/// squares of its distances stay finite, and its nearest points are still found.
const FARTHEST: f64 = 4096.0;

/// Rescaled points are `(points - mean) / unit`.
#[derive(Clone)]
pub(super) struct Rescale {
    pub mean: Array1<f64>,
    /// A power of two, so that scaling rounds nothing.
    pub unit: f64,
}

impl Rescale {
    /// The mean and size of at least one point, all finite.
    pub fn fit(points: &Array2<f32>) -> Self {
        let mut mean = Array1::<f64>::zeros(points.ncols());
        for point in points.rows() {
            mean.zip_mut_with(&point, |sum, &value| *sum += f64::from(value));
        }
        mean /= points.nrows() as f64;
        let far = |point: ArrayView1<f32>| {
            point.iter().zip(&mean).map(|(&value, mean)| (f64::from(value) - mean).abs()).fold(0.0, f64::max)
        };
        let greatest = points.rows().into_iter().map(far).fold(0.0, f64::max);
        let unit = if greatest > 0.0 { greatest.log2().floor().exp2() } else { 1.0 };
        Self { mean, unit }
    }

    /// A scale from a file, if it can be one.
    pub fn of(mean: Array1<f64>, unit: f64) -> Option<Self> {
        let is_sound = mean.iter().all(|mean| mean.is_finite()) && unit.is_finite() && unit > 0.0;
        is_sound.then_some(Self { mean, unit })
    }

    pub fn apply(&self, points: &Array2<f32>) -> Array2<f32> {
        let mut rescaled = Array2::zeros(points.dim());
        for (mut rescaled, point) in rescaled.rows_mut().into_iter().zip(points.rows()) {
            let offset = |value: f32, mean: f64| (f64::from(value) - mean) / self.unit;
            let farthest = point.iter().zip(&self.mean).map(|(&x, &mean)| offset(x, mean).abs()).fold(0.0, f64::max);
            let nearer = if farthest > FARTHEST { FARTHEST / farthest } else { 1.0 };
            Zip::from(&mut rescaled)
                .and(point)
                .and(&self.mean)
                .for_each(|rescaled, &value, &mean| *rescaled = (offset(value, mean) * nearer) as f32);
        }
        rescaled
    }

    /// The points that [`apply`](Self::apply) rescaled; clamped to the range of single precision.
    pub fn invert(&self, rescaled: &Array2<f32>) -> Array2<f32> {
        let mut points = rescaled.mapv(f64::from) * self.unit;
        points += &self.mean;
        points.mapv(|value| (value as f32).clamp(f32::MIN, f32::MAX))
    }
}
