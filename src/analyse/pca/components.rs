//! Fitted principal components.

use std::fmt;
use std::path::Path;

use ndarray::{Array1, Array2};
use serde::{Deserialize, Serialize};

use super::{super::Codes, scaled};
use crate::error::{Error, Result};
use crate::file::tensors::Fitted;
use crate::limit;

/// The principal components of codes: orthogonal directions of greatest variance. Comes from
/// [`Pca::fit`](crate::Pca::fit) or [`pca`](crate::pca()).
///
/// `Display` prints the share of the variance that each explains.
#[derive(Clone)]
pub struct PrincipalComponents {
    pub(super) mean: Array1<f32>,
    pub(super) components: Array2<f32>,
    pub(super) explained_variance: Vec<f64>,
    pub(super) explained_variance_ratio: Vec<f64>,
}

const MODEL: &str = "principal components";

/// What a file holds beside arrays: nothing.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {}

impl PrincipalComponents {
    /// The mean of the codes, shape `(latent_dim)`.
    pub fn mean(&self) -> &Array1<f32> {
        &self.mean
    }

    /// The directions, shape `(components, latent_dim)`: orthonormal; the largest value of each is positive.
    pub fn components(&self) -> &Array2<f32> {
        &self.components
    }

    /// The variance along each component, divided by n − 1.
    pub fn explained_variance(&self) -> &[f64] {
        &self.explained_variance
    }

    /// The share of the total variance along each component; 0 if there is no variance.
    pub fn explained_variance_ratio(&self) -> &[f64] {
        &self.explained_variance_ratio
    }

    /// Codes as coordinates along the components: (n, latent_dim) to (n, components), with their labels.
    ///
    /// # Errors
    /// If the codes have another number of values than those that were fitted, or a result is not finite.
    pub fn transform(&self, codes: &Codes) -> Result<Codes> {
        let place = "PrincipalComponents::transform";
        codes.check_width(place, self.components.ncols())?;
        limit::check(place, "coordinates", &[codes.len(), self.components.nrows()])?;
        let along = |points: &Array2<f32>, mean: &Array1<f32>| (points - mean).dot(&self.components.t());
        codes.moved(self.finite(place, codes, along)?, "component")
    }

    /// Codes from coordinates: (n, components) to (n, latent_dim), as close as these components come.
    ///
    /// # Errors
    /// If the codes have another number of values than there are components, or a result is not finite.
    pub fn inverse_transform(&self, codes: &Codes) -> Result<Codes> {
        let place = "PrincipalComponents::inverse_transform";
        codes.check_width(place, self.components.nrows())?;
        limit::check(place, "codes", &[codes.len(), self.components.ncols()])?;
        let back = |points: &Array2<f32>, mean: &Array1<f32>| points.dot(&self.components) + mean;
        codes.moved(self.finite(place, codes, back)?, "latent")
    }

    /// A linear function of codes and the mean, on a smaller scale where intermediate results overflow.
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
                Err(Error::argument(format!("{place}, code {i}, value {j}"), expected, got)
                    .hint("Divide the codes by a number first"))
            }
        }
    }

    /// Saves the components as a safetensors file with a SHA-256 of the whole, atomically.
    ///
    /// # Errors
    /// If the file cannot be written.
    ///
    /// ```
    /// use latentlab::{Codes, Dataset, PrincipalComponents, pca};
    /// # let path = std::env::temp_dir().join(format!("latentlab-components-{}.safetensors", std::process::id()));
    ///
    /// let codes = Codes::of_pixels(&Dataset::built_in_digits(100, 0)?);
    /// pca(&codes, 2)?.save(&path)?; // "components.safetensors"
    /// assert_eq!(PrincipalComponents::load(&path)?.transform(&codes)?.latent_dim(), 2);
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_to(path.as_ref())
    }

    fn save_to(&self, path: &Path) -> Result<()> {
        Fitted::new(Settings {})
            .with("mean", &self.mean)
            .with("components", &self.components)
            .with("explained_variance", &Array1::from(self.explained_variance.clone()))
            .with("explained_variance_ratio", &Array1::from(self.explained_variance_ratio.clone()))
            .save(path, MODEL)
    }

    /// Loads components that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// If the file cannot be read (an [`ErrorKind::Io`](crate::ErrorKind::Io)), or is damaged or of another kind (an
    /// [`ErrorKind::Weights`](crate::ErrorKind::Weights)).
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_from(path.as_ref())
    }

    fn load_from(path: &Path) -> Result<Self> {
        Fitted::<Settings>::load(path, MODEL, |saved| {
            let (mean, components): (Array1<f32>, Array2<f32>) = (saved.array("mean")?, saved.array("components")?);
            let variances = |name| saved.array::<f64, ndarray::Ix1>(name).map(|values| values.to_vec());
            let (explained_variance, explained_variance_ratio) =
                (variances("explained_variance")?, variances("explained_variance_ratio")?);
            let (count, dim) = components.dim();
            let is_sound = (1..=dim).contains(&count)
                && mean.len() == dim
                && [explained_variance.len(), explained_variance_ratio.len()] == [count; 2]
                && explained_variance.iter().chain(&explained_variance_ratio).all(|value| value.is_finite())
                && mean.iter().chain(&components).all(|value| value.is_finite());
            let components = Self { mean, components, explained_variance, explained_variance_ratio };
            is_sound.then_some(components).ok_or("its components are damaged".into())
        })
    }
}

impl fmt::Display for PrincipalComponents {
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
