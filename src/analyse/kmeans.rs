//! k-means on codes (linfa-clustering).

use linfa::DatasetBase;
use linfa::traits::{Fit, Predict, Transformer};
use ndarray::Axis;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256Plus;

use super::{Clustering, Codes};
use crate::error::{Error, ErrorKind, Result};

/// Clusters the codes by k-means with default settings and says how well clusters and classes agree.
///
/// Same as `KMeans::new(clusters).fit(codes)`: see [`KMeans`].
///
/// ```
/// use latentlab::ndarray::array;
/// use latentlab::{Codes, kmeans_accuracy};
///
/// let points = array![[0.0, 0.1], [0.1, 0.0], [9.0, 9.1], [9.1, 9.0], [9.0, 9.0]];
/// let names = vec!["zero".to_string(), "one".to_string()];
/// let codes = Codes::new(points, array![0, 0, 1, 1, 0], names)?;
///
/// let clustering = kmeans_accuracy(&codes, 2)?;
/// assert_eq!(clustering.accuracy(), 0.8);
/// assert_eq!(clustering.recognised(), [true, true, true, true, false]);
/// # Ok::<(), latentlab::Error>(())
/// ```
///
/// # Errors
/// If `clusters` is 0 or greater than the number of codes.
pub fn kmeans_accuracy(codes: &Codes, clusters: usize) -> Result<Clustering> {
    KMeans::new(clusters).fit(codes)
}

/// The settings of k-means: k-means++ starts (Arthur & Vassilvitskii, 2007), then Lloyd's iterations; of several runs
/// the one with the least inertia counts.
///
/// A run ends when the centroids together move by no more than √(10⁻⁴ · v), where v is the mean variance of the
/// coordinates (scikit-learn's criterion), or after the greatest number of iterations. An old centroid counts as one more
/// point of its cluster when it moves (linfa's guard against empty clusters), so centroids are means up to that tolerance.
/// Computed in double precision.
/// The same seed gives the same bits with any number of threads.
///
/// Defaults: 10 runs, seed 0, at most 300 iterations a run.
#[derive(Clone, Debug)]
pub struct KMeans {
    clusters: usize,
    runs: usize,
    seed: u64,
    max_iterations: usize,
}

impl KMeans {
    /// k-means with `clusters` clusters, from 1 to the number of codes.
    pub fn new(clusters: usize) -> Self {
        Self { clusters, runs: 10, seed: 0, max_iterations: 300 }
    }

    /// How many times to start anew; at least 1.
    pub fn runs(mut self, runs: usize) -> Self {
        self.runs = runs;
        self
    }

    /// The seed of the random starts.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The most iterations of one run; at least 1.
    pub fn max_iterations(mut self, max_iterations: usize) -> Self {
        self.max_iterations = max_iterations;
        self
    }

    /// Clusters the codes and compares the clusters with the labels.
    ///
    /// # Errors
    /// If a setting is out of its range.
    pub fn fit(&self, codes: &Codes) -> Result<Clustering> {
        self.check(codes)?;
        let points = codes.points().mapv(f64::from); // (n, latent_dim); squares of any f32 are finite in f64
        let variance = points.var_axis(Axis(0), 0.0).sum() / codes.latent_dim() as f64;
        let model = linfa_clustering::KMeans::params_with_rng(self.clusters, Xoshiro256Plus::seed_from_u64(self.seed))
            .n_runs(self.runs)
            .max_n_iterations(self.max_iterations as u64)
            .tolerance((1e-4 * variance).sqrt().max(f64::MIN_POSITIVE)) // 0 is refused, but right for constant points
            .fit(&DatasetBase::from(points.view()))
            .map_err(|error: linfa_clustering::KMeansError| {
                Error::new(ErrorKind::Argument, "KMeans", error.to_string()).source(error)
            })?;
        // Not the model's own inertia: that is of the centroids before their last move.
        let inertia = model.transform(&points).sum();
        Ok(Clustering::new(codes, model.predict(&points), model.centroids().mapv(|x| x as f32), inertia))
    }

    fn check(&self, codes: &Codes) -> Result<()> {
        let expected = |name, range: &str, got: usize| {
            Err(Error::expected(ErrorKind::Argument, format!("KMeans, {name}"), range, got))
        };
        if codes.is_empty() {
            return expected("codes", "at least 1 point", 0);
        }
        if self.clusters == 0 || self.clusters > codes.len() {
            let range = format!("a number from 1 to {} (the number of points)", codes.len());
            return expected("clusters", &range, self.clusters);
        }
        if self.runs == 0 {
            return expected("runs", "at least 1", 0);
        }
        if self.max_iterations == 0 {
            return expected("max_iterations", "at least 1", 0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2, array};
    use rand::Rng;

    use super::*;

    /// `n` points around each of `classes` corners of a square grid with the given spacing; the noise lies within ±1.
    fn blobs(classes: usize, n: usize, spacing: f32) -> Codes {
        let mut random = Xoshiro256Plus::seed_from_u64(7);
        let labels = Array1::from_iter((0..classes * n).map(|i| i % classes));
        let points = Array2::from_shape_fn((classes * n, 2), |(i, axis)| {
            let corner = if axis == 0 { labels[i] % 4 } else { labels[i] / 4 };
            spacing * corner as f32 + random.gen_range(-1.0..1.0)
        });
        Codes::new(points, labels, (0..classes).map(|class| class.to_string()).collect()).unwrap()
    }

    #[test]
    fn separate_blobs_are_found() {
        let codes = blobs(10, 30, 20.0);
        let clustering = kmeans_accuracy(&codes, 10).unwrap();
        for measure in [clustering.accuracy(), clustering.one_to_one_accuracy(), clustering.nmi(), clustering.ari()] {
            assert!((measure - 1.0).abs() < 1e-12, "{measure}");
        }
        assert_eq!(clustering.cluster_sizes(), [30; 10]);
        let means = codes.class_means().unwrap();
        for (centroid, class) in clustering.centroids().rows().into_iter().zip(clustering.cluster_labels()) {
            let gap = &centroid - &means.row(class.unwrap());
            assert!(gap.iter().all(|x| x.abs() < 1e-3), "{centroid} is not the mean {}", means.row(class.unwrap()));
        }
        // Uniform noise within ±1 has the variance 1/3 on each of the two axes.
        let spread = clustering.inertia() / codes.len() as f64;
        assert!((spread - 2.0 / 3.0).abs() < 0.05, "{spread}");
    }

    #[test]
    fn scale_does_not_matter() {
        let codes = blobs(6, 40, 1.5);
        let expected = kmeans_accuracy(&codes, 6).unwrap();
        for scale in [2.0_f32.powi(-120), 2.0_f32.powi(120)] {
            let scaled = Codes::new(codes.points() * scale, codes.labels().clone(), codes.class_names().to_vec());
            assert_eq!(kmeans_accuracy(&scaled.unwrap(), 6).unwrap().assignments(), expected.assignments());
        }
    }

    #[test]
    fn the_seed_decides_not_the_number_of_threads() {
        let codes = blobs(6, 500, 1.0);
        let with_threads = |threads: usize, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| KMeans::new(6).runs(1).max_iterations(3).seed(seed).fit(&codes).unwrap())
        };
        let (one, four, other) = (with_threads(1, 5), with_threads(4, 5), with_threads(4, 6));
        assert_eq!(one.centroids(), four.centroids());
        assert_eq!(one.assignments(), four.assignments());
        assert_eq!(one.inertia().to_bits(), four.inertia().to_bits());
        assert_ne!(one.centroids(), other.centroids());
    }

    #[test]
    fn more_runs_are_never_worse() {
        let codes = blobs(10, 30, 2.5);
        let inertia = |runs| KMeans::new(10).runs(runs).fit(&codes).unwrap().inertia();
        assert!(inertia(20) < inertia(1));
    }

    #[test]
    fn trivial_codes_have_their_limits() {
        let names = || vec!["a".to_string(), "b".to_string()];
        let constant = Codes::new(Array2::ones((4, 3)), array![0, 1, 1, 1], names()).unwrap();
        let clustering = kmeans_accuracy(&constant, 2).unwrap();
        assert_eq!(clustering.cluster_sizes(), [4, 0]);
        assert_eq!(clustering.cluster_labels(), [Some(1), None]);
        assert_eq!((clustering.accuracy(), clustering.chance()), (0.75, 0.75));
        assert_eq!((clustering.nmi(), clustering.ari(), clustering.inertia()), (0.0, 0.0, 0.0));

        let one_class = Codes::new(array![[0.0], [1.0]], array![1, 1], names()).unwrap();
        let clustering = kmeans_accuracy(&one_class, 1).unwrap();
        assert_eq!((clustering.accuracy(), clustering.nmi(), clustering.ari()), (1.0, 1.0, 1.0));
        assert!((clustering.centroids()[[0, 0]] - 0.5).abs() < 0.005, "{}", clustering.centroids()); // √1e-4 · 0.5
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let codes = blobs(2, 2, 9.0);
        let table = [
            (KMeans::new(0), 4, "KMeans, clusters: expected a number from 1 to 4 (the number of points), got 0"),
            (KMeans::new(5), 4, "KMeans, clusters: expected a number from 1 to 4 (the number of points), got 5"),
            (KMeans::new(1), 0, "KMeans, codes: expected at least 1 point, got 0"),
            (KMeans::new(1).runs(0), 4, "KMeans, runs: expected at least 1, got 0"),
            (KMeans::new(1).max_iterations(0), 4, "KMeans, max_iterations: expected at least 1, got 0"),
        ];
        for (kmeans, n, message) in table {
            assert_eq!(kmeans.fit(&codes.take(n)).unwrap_err().to_string(), message);
        }
    }
}
