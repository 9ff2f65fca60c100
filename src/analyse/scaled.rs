//! Points around zero and of about the size 1, where squares of single precision neither overflow nor vanish.

use ndarray::{Array1, Array2, Axis, Zip};

/// How far from the mean a point may lie, in units. One that lies farther is moved in on the straight line to the mean: the squares of its distances
/// stay numbers, and which points are nearest to it can still be told.
const FARTHEST: f64 = 4096.0;

/// `points · unit + mean` are the original points.
#[derive(Clone)]
pub(super) struct Scaled {
    pub points: Array2<f32>,
    pub mean: Array1<f64>,
    /// A power of two, so that scaling rounds nothing.
    pub unit: f64,
}

impl Scaled {
    /// At least one point, all finite.
    pub fn new(points: &Array2<f32>) -> Self {
        let mut mean = Array1::<f64>::zeros(points.ncols());
        for point in points.rows() {
            mean.zip_mut_with(&point, |sum, &value| *sum += f64::from(value));
        }
        mean /= points.nrows() as f64;
        let far = |point: ndarray::ArrayView1<f32>| {
            point.iter().zip(&mean).map(|(&value, mean)| (f64::from(value) - mean).abs()).fold(0.0, f64::max)
        };
        let greatest = points.axis_iter(Axis(0)).map(far).fold(0.0, f64::max);
        let unit = if greatest > 0.0 { greatest.log2().floor().exp2() } else { 1.0 };
        let mut scaled = Self { points: Array2::zeros((0, 0)), mean, unit };
        scaled.points = scaled.apply(points);
        scaled
    }

    /// Other points on the same scale.
    pub fn apply(&self, points: &Array2<f32>) -> Array2<f32> {
        let mut scaled = Array2::zeros(points.dim());
        for (mut scaled, point) in scaled.rows_mut().into_iter().zip(points.rows()) {
            let way = |value: f32, mean: f64| (f64::from(value) - mean) / self.unit;
            let farthest = point.iter().zip(&self.mean).map(|(&x, &mean)| way(x, mean).abs()).fold(0.0, f64::max);
            let nearer = if farthest > FARTHEST { FARTHEST / farthest } else { 1.0 };
            Zip::from(&mut scaled)
                .and(point)
                .and(&self.mean)
                .for_each(|scaled, &value, &mean| *scaled = (way(value, mean) * nearer) as f32);
        }
        scaled
    }

    /// Scaled points as they would have been. Rounding takes none beyond the greatest number of single precision.
    pub fn back(&self, scaled: &Array2<f32>) -> Array2<f32> {
        let mut points = scaled.mapv(f64::from) * self.unit;
        points += &self.mean;
        points.mapv(|value| (value as f32).clamp(f32::MIN, f32::MAX))
    }
}
