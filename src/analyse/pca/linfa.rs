//! Principal components by the crate linfa-reduction.
//!
//! Its iterations stop at an absolute error: on large values they never do, until a NaN makes it panic. So the codes
//! are scaled to a total variance of 1 before the call. It also leaves out components of no variance; too few are an
//! error.

use std::thread;

use linfa::DatasetBase;
use linfa::traits::Fit;
use ndarray::{Array2, Axis};

use super::Found;
use crate::error::{Error, ErrorKind, Result};
use crate::limit;

pub(super) fn components(codes: &Array2<f32>, count: usize) -> Result<Found> {
    let wrong = |what: &str, expected: &str, got: &str| {
        Err(Error::argument(format!("pca, linfa, {what}"), expected, got).hint("PcaMethod::Covariance takes any codes"))
    };
    let (n, dim) = codes.dim();
    limit::check("pca, codes", "double-precision copies of the codes", &[8, n, dim])?;
    let mut points = codes.mapv(f64::from);
    let mean = points.mean_axis(Axis(0)).unwrap_or_default();
    points -= &mean;
    let largest = points.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    if largest == 0.0 {
        return wrong("codes", "codes that differ", "equal ones");
    }
    let unit = largest * (points.iter().map(|value| (value / largest).powi(2)).sum::<f64>()).sqrt();
    points /= unit;
    // A panic of the crate ends only this thread.
    let fit = move || linfa_reduction::Pca::params(count).fit(&DatasetBase::from(points));
    let fitting = thread::Builder::new().name("pca, linfa".into()).spawn(fit);
    let fitting = fitting.map_err(|error| Error::new(ErrorKind::Io, "pca, linfa", format!("no thread ({error})")))?;
    let fitted = match fitting.join() {
        Ok(Ok(fitted)) => fitted,
        Ok(Err(error)) => return wrong("result", "principal components", &format!("an error of the crate ({error})")),
        Err(_) => return wrong("result", "principal components", "a panic of the crate linfa-linalg"),
    };
    let (values, vectors) = (fitted.singular_values(), fitted.components());
    if values.iter().chain(vectors).any(|value| !value.is_finite()) {
        return wrong("result", "finite components", "others");
    }
    if values.len() < count {
        let most = format!("at most {} (the directions in which the codes vary)", values.len());
        return wrong("components", &most, &count.to_string());
    }
    let variance = |value: f64| value * value / (n - 1) as f64;
    Ok(Found {
        mean: mean.mapv(|mean| mean as f32),
        pairs: values.iter().zip(vectors.rows()).map(|(value, vector)| (variance(*value), vector.to_vec())).collect(),
        total: variance(1.0),
        unit,
    })
}
