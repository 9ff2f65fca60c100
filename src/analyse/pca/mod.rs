//! Principal components (PCA).
//!
//! Our own, from the covariance. linfa-reduction's takes a few singular vectors of all points by an iterative method: that panics ("NaN values in
//! array") on codes of the real MNIST (60,000 × 32), and its explained variance is divided by the number of components, its ratio a share of the kept
//! components alone. On points where it works it is the reference in a test.

mod eigen;

use crate::engine::{Accumulate, GatherLhs, PackedRhs, gemm, offsets, vectorized};
use std::fmt;

use ndarray::{Array1, Array2};
use rayon::prelude::*;

use super::Codes;
use crate::error::{Error, ErrorKind, Result};
use crate::limit;

/// The principal components of codes: the directions in which they vary most, one after the other. Comes from [`pca`].
///
/// `Display` prints the share of the variance that each explains.
#[derive(Clone)]
pub struct Pca {
    mean: Array1<f32>,
    components: Array2<f32>,
    explained_variance: Vec<f64>,
    explained_variance_ratio: Vec<f64>,
}

/// The first `components` principal components of codes, from 1 to the number of their values (and of the codes).
///
/// Pixels are codes too: [`Codes::of_pixels`]. The covariance is computed in single precision with double-precision sums over parts, its
/// eigenvectors in double precision. The same bits with any number of threads. Codes of any finite size will do.
///
/// ```
/// use latentlab::{Codes, Dataset, pca};
///
/// let pixels = Codes::of_pixels(&Dataset::built_in_digits(200, 0)?)?; // (200, 784)
/// let components = pca(&pixels, 10)?;
/// let codes = components.transform(&pixels)?; // (200, 10)
/// let pictures = components.inverse_transform(&codes)?; // (200, 784), as near as 10 values can come
/// assert_eq!(codes.latent_dim(), 10);
/// assert_eq!(pictures.latent_dim(), 784);
/// assert!(components.explained_variance_ratio().iter().sum::<f64>() > 0.5);
/// # Ok::<(), latentlab::Error>(())
/// ```
///
/// # Errors
/// If there are fewer than 2 codes, `components` is out of its range, or the codes have so many values that one result cannot hold their covariances (4 GiB: about
/// 7,000 values).
pub fn pca(codes: &Codes, components: usize) -> Result<Pca> {
    let (n, dim) = codes.points().dim();
    if n < 2 {
        return Err(Error::expected(ErrorKind::Argument, "pca, codes", "at least 2", n));
    }
    if components == 0 || components > n.min(dim) {
        let range = format!("a number from 1 to {} ({n} codes of {dim} values)", n.min(dim));
        return Err(Error::expected(ErrorKind::Argument, "pca, components", range, components));
    }
    // A sum for each part; in double precision the covariance and the strips of the eigenvectors, and the mirrors, which are half of one.
    let matrices = PARTS.min(n) + 5;
    limit::check("pca, codes", "covariances and eigenvectors", &[matrices, dim, dim])?;
    let mut points = codes.points().as_standard_layout();
    let (mut mean, mut greatest) = mean_and_greatest(points.as_slice().unwrap_or_default(), dim);
    let mut scale = 1.0;
    if greatest > 0.0 && !(1e-30..1e30).contains(&greatest) {
        // A power of two, so that the greatest becomes about 1.
        scale = (-greatest.log2().ceil()).exp2();
        points = scaled(codes.points(), scale).into();
        (mean, greatest) = mean_and_greatest(points.as_slice().unwrap_or_default(), dim);
    }
    // A power of two: what is divided by it can be squared.
    let unit = if greatest > 0.0 { greatest.log2().ceil().exp2() } else { 1.0 };
    let covariance = covariance(points.as_slice().unwrap_or_default(), &mean, unit);
    let mean = mean.into_iter().map(|mean| (f64::from(mean) / scale) as f32).collect::<Array1<f32>>();
    let unit = unit / scale;
    let total: f64 = covariance.iter().step_by(dim + 1).sum();
    let pairs = eigen::greatest(covariance, dim, components);
    // Rounding may leave a variance of nothing a little below zero.
    let variances: Vec<f64> = pairs.iter().map(|(value, _)| value.max(0.0)).collect();
    let share = |value: &f64| if total > 0.0 { value / total } else { 0.0 };
    let vectors = pairs.iter().flat_map(|(_, vector)| {
        let longest = vector.iter().copied().fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
        vector.iter().map(move |value| (value * longest.signum()) as f32)
    });
    Ok(Pca {
        mean,
        components: Array1::from_iter(vectors)
            .into_shape_with_order((components, dim))
            .map_err(|error| Error::new(ErrorKind::Shape, "pca", error.to_string()))?,
        explained_variance_ratio: variances.iter().map(share).collect(),
        explained_variance: variances.iter().map(|value| value * unit * unit).collect(),
    })
}

impl Pca {
    /// The mean of the codes, shape `(latent_dim)`.
    pub fn mean(&self) -> &Array1<f32> {
        &self.mean
    }

    /// The directions, shape `(components, latent_dim)`: of length 1, at right angles; the greatest value of each is positive.
    pub fn components(&self) -> &Array2<f32> {
        &self.components
    }

    /// The variance along each component, divided by n − 1.
    pub fn explained_variance(&self) -> &[f64] {
        &self.explained_variance
    }

    /// The share of the whole variance along each component; 0 if there is none.
    pub fn explained_variance_ratio(&self) -> &[f64] {
        &self.explained_variance_ratio
    }

    /// Codes as coordinates along the components: (n, latent_dim) to (n, components), with their labels.
    ///
    /// # Errors
    /// If the codes have another number of values than those the components come from, or a result is not finite.
    pub fn transform(&self, codes: &Codes) -> Result<Codes> {
        check_width("Pca::transform", codes, self.components.ncols())?;
        limit::check("Pca::transform", "coordinates", &[codes.len(), self.components.nrows()])?;
        let along = |points: &Array2<f32>, mean: &Array1<f32>| (points - mean).dot(&self.components.t());
        codes.moved(self.finite("Pca::transform", codes, along)?, "component")
    }

    /// Back from the coordinates: (n, components) to (n, latent_dim), as near as these components come.
    ///
    /// # Errors
    /// If the codes have another number of values than there are components, or a result is not finite.
    pub fn inverse_transform(&self, codes: &Codes) -> Result<Codes> {
        check_width("Pca::inverse_transform", codes, self.components.nrows())?;
        limit::check("Pca::inverse_transform", "codes", &[codes.len(), self.components.ncols()])?;
        let back = |points: &Array2<f32>, mean: &Array1<f32>| points.dot(&self.components) + mean;
        codes.moved(self.finite("Pca::inverse_transform", codes, back)?, "latent")
    }

    /// A linear function of codes and the mean; on a smaller scale where single precision does not reach on the way.
    fn finite(
        &self,
        place: &str,
        codes: &Codes,
        function: impl Fn(&Array2<f32>, &Array1<f32>) -> Array2<f32>,
    ) -> Result<Array2<f32>> {
        let points = function(codes.points(), &self.mean);
        if points.iter().all(|value| value.is_finite()) {
            return Ok(points);
        }
        // The greatest number of single precision becomes 1.
        let (down, up) = ((-128_f64).exp2(), 128_f64.exp2());
        let mean = self.mean.mapv(|mean| (f64::from(mean) * down) as f32);
        let points = scaled(&function(&scaled(codes.points(), down), &mean), up);
        match points.indexed_iter().find(|(_, value)| !value.is_finite()) {
            None => Ok(points),
            Some(((i, j), _)) => {
                let (expected, got) = (format!("a value of at most {:e}", f32::MAX), "a greater one");
                Err(Error::expected(ErrorKind::Argument, format!("{place}, code {i}, value {j}"), expected, got)
                    .hint("Divide the codes by a number first"))
            }
        }
    }
}

fn scaled(points: &Array2<f32>, scale: f64) -> Array2<f32> {
    points.mapv(|value| (f64::from(value) * scale) as f32)
}

fn check_width(place: &str, codes: &Codes, width: usize) -> Result<()> {
    if codes.latent_dim() == width {
        return Ok(());
    }
    Err(Error::expected(ErrorKind::Shape, place, format!("codes of {width} values"), codes.latent_dim()))
}

/// The same text as `Display`: a notebook may print either.
impl fmt::Debug for Pca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Pca {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "component   variance    share   together")?;
        let mut together = 0.0;
        for (i, (variance, share)) in self.explained_variance.iter().zip(&self.explained_variance_ratio).enumerate() {
            together += share;
            let (share, together) = (100.0 * share, 100.0 * together);
            write!(f, "\n{:>9}{variance:>11.4}{share:>7.2} %{together:>9.2} %", i + 1)?;
        }
        Ok(())
    }
}

/// Parts of the points that are summed by themselves: the same for any number of threads, so that the sums are too.
const PARTS: usize = 16;

/// Values that are centred together, in the second-level cache.
const BLOCK: usize = 1 << 16;

fn part(rows: usize, dim: usize) -> usize {
    rows.div_ceil(PARTS) * dim
}

/// The mean, and the greatest absolute value.
fn mean_and_greatest(values: &[f32], dim: usize) -> (Vec<f32>, f64) {
    let rows = values.len() / dim;
    let parts = values.par_chunks(part(rows, dim)).map(|values| {
        let (mut sums, mut greatest) = (vec![0.0; dim], vec![0.0; dim]);
        add_rows(values, &mut sums, &mut greatest);
        (sums, greatest)
    });
    let parts: Vec<(Vec<f64>, Vec<f32>)> = parts.collect();
    let mean = (0..dim).map(|i| (parts.iter().map(|(sums, _)| sums[i]).sum::<f64>() / rows as f64) as f32).collect();
    let greatest = f64::from(parts.iter().flat_map(|(_, greatest)| greatest).copied().fold(0.0, f32::max));
    (mean, greatest)
}

/// The covariance of values / unit, (dim, dim).
fn covariance(values: &[f32], mean: &[f32], unit: f64) -> Vec<f64> {
    let dim = mean.len();
    let (rows, columns) = (values.len() / dim, offsets(dim, 1));
    let parts = values.par_chunks(part(rows, dim)).map(|values| {
        let mut sums = vec![0.0; dim * dim];
        let mut centred = Vec::with_capacity(BLOCK);
        for values in values.chunks((BLOCK / dim).max(1) * dim) {
            centred.clear();
            centred.extend_from_slice(values);
            centre(&mut centred, mean, (1.0 / unit) as f32);
            let count = values.len() / dim;
            let transposed = GatherLhs { values: &centred, rows: &columns, steps: &offsets(count, dim) };
            let right = PackedRhs::of_rows(&centred, count, dim, dim);
            gemm(transposed, &right, Accumulate::Output, 1.0, &mut sums, &offsets(dim, dim));
        }
        sums
    });
    let parts: Vec<Vec<f32>> = parts.collect();
    let sum = |i: usize| parts.iter().map(|part| f64::from(part[i])).sum::<f64>() / (rows - 1) as f64;
    (0..dim * dim).into_par_iter().with_min_len(1 << 12).map(sum).collect()
}

vectorized! {
    fn add_rows(values: &[f32], sums: &mut [f64], greatest: &mut [f32]) {
        for row in values.chunks_exact(sums.len()) {
            for ((sum, greatest), value) in sums.iter_mut().zip(greatest.iter_mut()).zip(row) {
                *sum += f64::from(*value);
                *greatest = greatest.max(value.abs());
            }
        }
    }

    fn centre(values: &mut [f32], mean: &[f32], scale: f32) {
        for row in values.chunks_exact_mut(mean.len()) {
            for (value, mean) in row.iter_mut().zip(mean) {
                *value = (*value - mean) * scale;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use linfa::DatasetBase;
    use linfa::traits::Fit;
    use ndarray::{Array, Axis, array};
    use rand::Rng;

    use super::*;
    use crate::random;

    /// `n` points whose coordinates vary less and less, mixed with each other, far from zero.
    fn codes(n: usize, dim: usize) -> Codes {
        let mut random = random::stream(5, 0);
        let mixing = Array::from_shape_fn((dim, dim), |_| random.gen_range(-1.0..1.0));
        let points = Array::from_shape_fn((n, dim), |(_, j)| random.gen_range(-1.0_f32..1.0) / (1 + j) as f32);
        Codes::new(points.dot(&mixing) + 10.0, Array1::zeros(n), vec!["a".into()]).unwrap()
    }

    #[test]
    fn components_are_linfas() {
        let codes = codes(500, 6);
        let ours = pca(&codes, 3).unwrap();
        let points = DatasetBase::from(codes.points().mapv(f64::from));
        let theirs = linfa_reduction::Pca::params(3).fit(&points).unwrap();
        for k in 0..3 {
            let same: f64 = (0..6).map(|j| f64::from(ours.components()[[k, j]]) * theirs.components()[[k, j]]).sum();
            assert!((same.abs() - 1.0).abs() < 1e-5, "component {k}: {same}");
            let variance = theirs.singular_values()[k].powi(2) / 499.0; // theirs divides by the number of components
            assert!((ours.explained_variance()[k] / variance - 1.0).abs() < 1e-4);
        }
    }

    #[test]
    fn all_components_lose_nothing() {
        let codes = codes(100, 7);
        let whole = pca(&codes, 7).unwrap();
        assert!((whole.explained_variance_ratio().iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let back = whole.inverse_transform(&whole.transform(&codes).unwrap()).unwrap();
        assert!((back.points() - codes.points()).iter().all(|x| x.abs() < 1e-4));
        let coordinates = whole.transform(&codes).unwrap();
        for (variance, expected) in coordinates.points().var_axis(Axis(0), 1.0).iter().zip(whole.explained_variance()) {
            assert!((f64::from(*variance) / expected - 1.0).abs() < 1e-3);
        }
    }

    #[test]
    fn threads_and_scale_do_not_matter() {
        let codes = codes(3000, 20);
        let with_threads = |threads: usize, codes: &Codes| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| pca(codes, 4).unwrap())
        };
        let (one, three) = (with_threads(1, &codes), with_threads(3, &codes));
        assert_eq!(one.components(), three.components());
        assert_eq!(one.explained_variance(), three.explained_variance());
        let huge = codes.points() * 2.0_f32.powi(120);
        let huge = Codes::new(huge, codes.labels().clone(), codes.class_names().to_vec()).unwrap();
        assert_eq!(pca(&huge, 4).unwrap().components(), one.components());
    }

    #[test]
    fn out_of_range_is_refused() {
        let few = Codes::new(array![[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], array![0, 0], vec!["a".into()]).unwrap();
        assert_eq!(pca(&few, 2).unwrap().explained_variance_ratio(), [0.0, 0.0]);
        for (codes, count, message) in [
            (few.take(1), 1, "pca, codes: expected at least 2, got 1"),
            (few.clone(), 0, "pca, components: expected a number from 1 to 2 (2 codes of 3 values), got 0"),
            (few.clone(), 3, "pca, components: expected a number from 1 to 2 (2 codes of 3 values), got 3"),
        ] {
            assert_eq!(pca(&codes, count).unwrap_err().to_string(), message);
        }
        let wrong = pca(&few, 1).unwrap().inverse_transform(&few).unwrap_err();
        assert_eq!(wrong.to_string(), "Pca::inverse_transform: expected codes of 1 values, got 3");
    }

    #[test]
    fn the_greatest_and_the_smallest_numbers_are_as_good_as_others() {
        let square = array![[1.0_f32, 1.0], [-1.0, -1.0], [0.5, -0.5], [-0.5, 0.5]];
        let of = |points: Array2<f32>| Codes::new(points, Array1::zeros(4), vec!["a".into()]).unwrap();
        for scale in [3e38_f32, 1e-44] {
            let codes = of(&square * scale);
            let components = pca(&codes, 2).unwrap();
            let ratios = components.explained_variance_ratio();
            assert!((ratios[0] - 0.8).abs() < 0.05 && (ratios[1] - 0.2).abs() < 0.05, "{scale}: {ratios:?}");
            let variance = components.explained_variance()[0] / f64::from(scale).powi(2);
            assert!((variance - 4.0 / 3.0).abs() < 0.1, "{scale}: {variance}");
        }
        // 3e38 · √2 is no number of single precision any more; what can be told is.
        let codes = of(&square * 3e38);
        let error = pca(&codes, 2).unwrap().transform(&codes).unwrap_err().to_string();
        let expected = "Pca::transform, code 0, value 0: expected a value of at most 3.4028235e38, got a greater one. Divide the codes by a number first";
        assert_eq!(error, expected);
        let half = of(&square * 2e38);
        let components = pca(&half, 2).unwrap();
        let back = components.inverse_transform(&components.transform(&half).unwrap()).unwrap();
        assert!((back.points() / 2e38 - &square).iter().all(|x| x.abs() < 1e-5), "{}", back.points());
    }

    #[test]
    fn covariances_are_counted_before_they_are_computed() {
        let wide = Codes::new(Array2::ones((2, 60_000)), array![0, 0], vec!["a".into()]).unwrap();
        let error = pca(&wide, 1).unwrap_err().to_string();
        assert!(error.starts_with("pca, codes: expected at most 4 GiB for one result, got 93.9 GiB"), "{error}");
    }

    #[test]
    fn the_table_lines_up() {
        let line = Codes::new(array![[1.0, 1.0], [3.0, 1.0]], array![0, 0], vec!["a".into()]).unwrap();
        let expected = "\
component   variance    share   together
        1     2.0000 100.00 %   100.00 %
        2     0.0000   0.00 %   100.00 %";
        assert_eq!(pca(&line, 2).unwrap().to_string(), expected);
    }
}
