//! Points around zero and of about the size 1, where squares of single precision neither overflow nor vanish.

use ndarray::{Array1, Array2, Axis, Zip};

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
        for (scaled, point) in scaled.rows_mut().into_iter().zip(points.rows()) {
            let scale =
                |scaled: &mut f32, &value: &f32, &mean: &f64| *scaled = ((f64::from(value) - mean) / self.unit) as f32;
            Zip::from(scaled).and(point).and(&self.mean).for_each(scale);
        }
        scaled
    }

    /// Scaled points as they would have been.
    pub fn back(&self, scaled: &Array2<f32>) -> Array2<f32> {
        let mut points = scaled.mapv(f64::from) * self.unit;
        points += &self.mean;
        points.mapv(|value| value as f32)
    }
}
