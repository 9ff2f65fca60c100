//! Principal component analysis (PCA): its settings, and its two methods.

mod components;
mod covariance;
mod eigen;
mod linfa;

pub use components::PrincipalComponents;

use ndarray::{Array1, Array2};

use super::Codes;
use crate::error::{Error, ErrorKind, Result};

/// The settings of principal component analysis.
///
/// | setting | default | range |
/// |---|---|---|
/// | `components` | | 1 to the number of a code's values (and of the codes) |
/// | [`method`](Self::method) | [`PcaMethod::Covariance`] | |
///
/// Pixels are codes too: [`Codes::of_pixels`]. Codes of any finite size are computed. The same codes give the same bits
/// with any number of threads.
///
/// ```
/// use latentlab::{Codes, Dataset, Pca};
///
/// let (train, test) = Dataset::built_in_digits(200, 0)?.split(150, 50)?;
/// let components = Pca::new(10).fit(&Codes::of_pixels(&train))?;
/// let codes = components.transform(&Codes::of_pixels(&test))?; // (50, 10)
/// let pixels = components.inverse_transform(&codes)?; // (50, 784), as close as 10 components come
/// assert_eq!(codes.latent_dim(), 10);
/// assert_eq!(pixels.latent_dim(), 784);
/// assert!(components.explained_variance_ratio().iter().sum::<f64>() > 0.5);
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Pca {
    components: usize,
    method: PcaMethod,
}

/// How principal components are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PcaMethod {
    /// The eigenvectors of the covariance matrix (scikit-learn's `covariance_eigh`), exactly and on all threads: the
    /// covariance in single precision with double-precision sums, the eigenvectors in double precision.
    #[default]
    Covariance,
    /// The crate linfa-reduction: singular vectors of all codes by an iterative method (LOBPCG), in double precision on
    /// one thread. The codes must vary in as many directions as there are components. Several times as slow.
    Linfa,
}

impl Pca {
    /// The first `components` principal components.
    pub fn new(components: usize) -> Self {
        Self { components, method: PcaMethod::default() }
    }

    /// How the components are computed.
    pub fn method(self, method: PcaMethod) -> Self {
        Self { method, ..self }
    }

    /// Finds the principal components of codes, shape `(n, latent_dim)`.
    ///
    /// # Errors
    /// If there are fewer than 2 codes, the number of components is out of its range, or the matrices are larger than
    /// one result may be (4 GiB: about 7,000 values a code). With [`PcaMethod::Linfa`] also if the codes vary in
    /// fewer directions, or the iterations fail.
    pub fn fit(&self, codes: &Codes) -> Result<PrincipalComponents> {
        let components = self.components;
        let (n, dim) = codes.points().dim();
        if n < 2 {
            return Err(Error::argument("pca, codes", "at least 2", n));
        }
        if components == 0 || components > n.min(dim) {
            let range = format!("a number from 1 to {} ({n} codes of {dim} values)", n.min(dim));
            return Err(Error::argument("pca, components", range, components));
        }
        let found = match self.method {
            PcaMethod::Covariance => covariance::components(codes.points(), components)?,
            PcaMethod::Linfa => linfa::components(codes.points(), components)?,
        };
        let Found { mean, pairs, total, unit } = found;
        // Rounding may leave a variance of zero slightly negative.
        let variances: Vec<f64> = pairs.iter().map(|(value, _)| value.max(0.0)).collect();
        let share = |value: &f64| if total > 0.0 { value / total } else { 0.0 };
        let vectors = pairs.iter().flat_map(|(_, vector)| {
            let largest = vector.iter().copied().fold(0.0, |a: f64, b| if b.abs() > a.abs() { b } else { a });
            vector.iter().map(move |value| (value * largest.signum()) as f32)
        });
        let components = Array2::from_shape_vec((components, dim), vectors.collect())
            .map_err(|error| Error::new(ErrorKind::Shape, "pca", error.to_string()))?;
        let explained_variance_ratio = variances.iter().map(share).collect();
        let explained_variance = variances.iter().map(|value| value * unit * unit).collect();
        Ok(PrincipalComponents { mean, components, explained_variance, explained_variance_ratio })
    }
}

/// `Pca::new(components).fit(codes)`: the first [principal components](Pca) of codes.
///
/// # Errors
/// As [`Pca::fit`].
pub fn pca(codes: &Codes, components: usize) -> Result<PrincipalComponents> {
    Pca::new(components).fit(codes)
}

/// What a method finds.
struct Found {
    mean: Array1<f32>,
    /// Variances and directions of length 1, the greatest variance first.
    pairs: Vec<(f64, Vec<f64>)>,
    /// The sum of all variances.
    total: f64,
    /// Variances are in units of its square.
    unit: f64,
}

/// Points times a number, rounded once.
fn scaled(points: &Array2<f32>, scale: f64) -> Array2<f32> {
    points.mapv(|value| (f64::from(value) * scale) as f32)
}
