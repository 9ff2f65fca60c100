//! A fitted clustering: the cluster of each point, how well clusters and classes agree, the clusters of new points.

use std::fmt;
use std::iter::zip;
use std::path::Path;

use ndarray::{Array1, Array2, Axis};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::agreement::{
    adjusted_rand_index, contingency, majority_accuracy, majority_class, normalised_mutual_information,
    one_to_one_accuracy,
};
use super::codes::Codes;
use super::point_blocks::{PointBlocks, WIDTH, nearest};
use super::rescale::Rescale;
use crate::error::Result;
use crate::file::tensors::Fitted;
use crate::format::{cell, percent};
use crate::limit;

/// Clusters of codes, compared with the codes' classes. Comes from [`KMeans::fit`](crate::KMeans::fit) or
/// [`kmeans_accuracy`](crate::kmeans_accuracy); [`predict`](Self::predict) gives the clusters of new codes.
///
/// Accuracies are fractions from 0 to 1. `Display` prints a table of the measures and one of the clusters.
#[derive(Clone)]
pub struct Clustering {
    /// The centroids as they were fitted, to points on this scale.
    fitted: Array2<f32>,
    scale: Rescale,
    centroids: Array2<f32>,
    inertia: f64,
    assignments: Array1<usize>,
    labels: Array1<usize>,
    class_names: Vec<String>,
    /// Points by cluster and class, (clusters, classes).
    contingency: Array2<usize>,
    cluster_labels: Vec<Option<usize>>,
}

/// What a file holds beside arrays.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    class_names: Vec<String>,
    inertia: f64,
    unit: f64,
}

const MODEL: &str = "clustering";

impl Clustering {
    /// `fitted`: the centroids of rescaled points, shape `(clusters, latent_dim)`; `assignments` and `labels`: the
    /// cluster and the class of every code, shape `(n)`.
    pub(super) fn new(
        fitted: Array2<f32>,
        scale: Rescale,
        inertia: f64,
        assignments: Array1<usize>,
        labels: Array1<usize>,
        class_names: Vec<String>,
    ) -> Self {
        let centroids = scale.invert(&fitted);
        let contingency = contingency(&assignments, &labels, (fitted.nrows(), class_names.len()));
        let cluster_labels = Vec::from_iter(contingency.rows().into_iter().map(majority_class));
        Self { fitted, scale, centroids, inertia, assignments, labels, class_names, contingency, cluster_labels }
    }

    /// The cluster with the nearest centroid for each code, shape `(n)`. For the codes that were clustered these are
    /// the [`assignments`](Self::assignments).
    ///
    /// # Errors
    /// If the codes have another number of values than the centroids.
    pub fn predict(&self, codes: &Codes) -> Result<Array1<usize>> {
        codes.check_width("Clustering::predict", self.fitted.ncols())?;
        let points = self.scale.apply(codes.points());
        let blocks = PointBlocks::new(points.view());
        let centers = Vec::from_iter(self.fitted.iter().copied());
        let clusters = (0..blocks.all().len()).into_par_iter().flat_map_iter(|block| {
            let (mut which, mut distances) = ([0; WIDTH], [0.0; WIDTH]);
            nearest(blocks.get(block), &centers, &mut which, &mut distances);
            which.map(|cluster| cluster as usize)
        });
        let mut clusters: Vec<usize> = clusters.collect();
        clusters.truncate(codes.len());
        Ok(clusters.into())
    }

    /// Saves the clustering as a safetensors file with a SHA-256 of the whole, atomically.
    ///
    /// # Errors
    /// If the file cannot be written.
    ///
    /// ```
    /// use latentlab::{Clustering, Codes, Dataset, kmeans_accuracy};
    /// # let path = std::env::temp_dir().join(format!("latentlab-clusters-{}.safetensors", std::process::id()));
    ///
    /// let codes = Codes::of_pixels(&Dataset::built_in_digits(100, 0)?);
    /// let clustering = kmeans_accuracy(&codes, 10)?;
    /// clustering.save(&path)?; // "clusters.safetensors"
    /// assert_eq!(Clustering::load(&path)?.predict(&codes)?, clustering.predict(&codes)?);
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_to(path.as_ref())
    }

    fn save_to(&self, path: &Path) -> Result<()> {
        let Self { class_names, inertia, scale: Rescale { mean, unit }, .. } = self;
        Fitted::new(Settings { class_names: class_names.clone(), inertia: *inertia, unit: *unit })
            .with("centroids", &self.fitted)
            .with("mean", mean)
            .with("assignments", &self.assignments.mapv(|cluster| cluster as u64))
            .with("labels", &self.labels.mapv(|label| label as u64))
            .save(path, MODEL)
    }

    /// Loads a clustering that [`save`](Self::save) wrote: the same tables, the same predictions.
    ///
    /// # Errors
    /// If the file cannot be read (an [`ErrorKind::Io`](crate::ErrorKind::Io)), or is damaged or of another kind (an
    /// [`ErrorKind::Weights`](crate::ErrorKind::Weights)).
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_from(path.as_ref())
    }

    fn load_from(path: &Path) -> Result<Self> {
        Fitted::<Settings>::load(path, MODEL, |saved| {
            let fitted: Array2<f32> = saved.array("centroids")?;
            let mean: Array1<f64> = saved.array("mean")?;
            let numbers = |name| saved.array::<u64, _>(name).map(|numbers| numbers.mapv(|number| number as usize));
            let (assignments, labels): (Array1<usize>, Array1<usize>) = (numbers("assignments")?, numbers("labels")?);
            let Settings { class_names, inertia, unit } = saved.settings;
            let (clusters, dim) = fitted.dim();
            let is_sound = (1..=assignments.len()).contains(&clusters)
                && dim > 0
                && mean.len() == dim
                && labels.len() == assignments.len()
                && assignments.iter().all(|cluster| *cluster < clusters)
                && labels.iter().all(|label| *label < class_names.len())
                && fitted.iter().all(|value| value.is_finite())
                && inertia >= 0.0;
            let scale = Rescale::of(mean, unit).filter(|_| is_sound).ok_or("its clusters are damaged")?;
            check_counts(clusters, class_names.len()).map_err(|error| error.to_string())?;
            Ok(Self::new(fitted, scale, inertia, assignments, labels, class_names))
        })
    }

    /// The fraction of points whose cluster took their class, when each cluster takes its most common class. Several
    /// clusters may take the same class, so this is never below [`chance`](Self::chance), and more clusters give more.
    pub fn accuracy(&self) -> f64 {
        majority_accuracy(&self.contingency)
    }

    /// The fraction of points whose cluster took their class, when every class goes to at most one cluster, assigned so
    /// that the fraction is greatest (Hungarian method).
    pub fn one_to_one_accuracy(&self) -> f64 {
        one_to_one_accuracy(&self.contingency)
    }

    /// Normalised mutual information of clusters and classes, by the arithmetic mean of both entropies: 0 (independent)
    /// to 1 (the same grouping).
    pub fn nmi(&self) -> f64 {
        normalised_mutual_information(&self.contingency)
    }

    /// Adjusted Rand index of clusters and classes (Hubert & Arabie, 1985): 1 for the same grouping, about 0 for a
    /// random one.
    pub fn ari(&self) -> f64 {
        adjusted_rand_index(&self.contingency)
    }

    /// The accuracy of a single cluster: the fraction of the most common class.
    pub fn chance(&self) -> f64 {
        let most_common = self.contingency.sum_axis(Axis(0)).into_iter().max().unwrap_or(0);
        most_common as f64 / self.assignments.len() as f64
    }

    /// The cluster of every point, shape `(n)`.
    pub fn assignments(&self) -> &Array1<usize> {
        &self.assignments
    }

    /// The centre of every cluster, shape `(clusters, latent_dim)`.
    pub fn centroids(&self) -> &Array2<f32> {
        &self.centroids
    }

    /// The sum of the squared distances of all points to their centroids.
    pub fn inertia(&self) -> f64 {
        self.inertia
    }

    /// How many points of every class each cluster holds, shape `(clusters, classes)`.
    pub fn contingency(&self) -> &Array2<usize> {
        &self.contingency
    }

    /// The number of points in each cluster.
    pub fn cluster_sizes(&self) -> Vec<usize> {
        self.contingency.sum_axis(Axis(1)).to_vec()
    }

    /// The class that each cluster took: its most common one, the first of equally common ones; `None` for a cluster
    /// without points.
    pub fn cluster_labels(&self) -> Vec<Option<usize>> {
        self.cluster_labels.clone()
    }

    /// For every point, whether its cluster took its class; [`accuracy`](Self::accuracy) is the fraction of these
    /// points.
    pub fn recognised(&self) -> Vec<bool> {
        let took = |(&cluster, &label): (&usize, &usize)| self.cluster_labels[cluster] == Some(label);
        zip(&self.assignments, &self.labels).map(took).collect()
    }

    pub(crate) fn measures(&self) -> [(&'static str, String); 5] {
        [
            ("accuracy (each cluster takes its commonest class)", percent(self.accuracy())),
            ("accuracy, one cluster a class", percent(self.one_to_one_accuracy())),
            ("chance (the commonest class)", percent(self.chance())),
            ("normalised mutual information", format!("{:.3}", self.nmi())),
            ("adjusted Rand index", format!("{:.3}", self.ari())),
        ]
    }

    /// Cluster, points, class taken, purity: a row for each cluster.
    pub(crate) fn cluster_rows(&self) -> impl Iterator<Item = [String; 4]> {
        self.contingency.rows().into_iter().zip(&self.cluster_labels).enumerate().map(|(cluster, (counts, label))| {
            let size = counts.sum();
            let (took, purity) = match *label {
                Some(class) => (cell(&self.class_names[class]), percent(counts[class] as f64 / size as f64)),
                None => ("–".into(), "–".into()),
            };
            [cluster.to_string(), size.to_string(), took, purity]
        })
    }
}

/// Refuses a contingency table that is too large.
pub(super) fn check_counts(clusters: usize, classes: usize) -> Result<()> {
    let counts = [clusters, classes, size_of::<usize>() / size_of::<f32>()];
    limit::check("KMeans, clusters", "counts of two values each", &counts).map(drop)
}

impl fmt::Display for Clustering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in self.measures() {
            writeln!(f, "{name:50}{value:>9}")?;
        }
        let width = self.class_names.iter().map(|name| cell(name).chars().count()).max().unwrap_or(0).max(4);
        write!(f, "\ncluster   points   {:width$}     purity", "took")?;
        for [cluster, points, took, purity] in self.cluster_rows() {
            write!(f, "\n{cluster:>7}{points:>9}   {took:width$}{purity:>11}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    fn of(centroids: Array2<f32>, assignments: Array1<usize>, labels: Array1<usize>, names: &[&str]) -> Clustering {
        let scale = Rescale { mean: array![0.0], unit: 1.0 };
        let names = names.iter().map(|name| name.to_string()).collect();
        Clustering::new(centroids, scale, 1.0, assignments, labels, names)
    }

    fn clustering() -> Clustering {
        of(array![[5.5], [9.0], [0.5]], array![2, 2, 0, 0], array![0, 0, 1, 0], &["Bag", "A<B&C"])
    }

    #[test]
    fn clusters_take_their_most_common_class() {
        let clustering = clustering();
        assert_eq!(clustering.contingency(), array![[1, 1], [0, 0], [2, 0]]);
        assert_eq!(clustering.cluster_labels(), [Some(0), None, Some(0)]);
        assert_eq!(clustering.cluster_sizes(), [2, 0, 2]);
        assert_eq!(clustering.recognised(), [true, true, false, true]);
        assert_eq!((clustering.accuracy(), clustering.one_to_one_accuracy(), clustering.chance()), (0.75, 0.75, 0.75));
    }

    #[test]
    fn the_table_lines_up() {
        let expected = "\
accuracy (each cluster takes its commonest class)   75.00 %
accuracy, one cluster a class                       75.00 %
chance (the commonest class)                        75.00 %
normalised mutual information                         0.344
adjusted Rand index                                   0.000

cluster   points   took      purity
      0        2   Bag      50.00 %
      1        0   –              –
      2        2   Bag     100.00 %";
        assert_eq!(clustering().to_string(), expected);
    }

    #[test]
    fn html_holds_the_rows_and_escapes_names() {
        let html = clustering().to_html();
        for cell in ["accuracy, one cluster a class", "Bag", "100.00 %"] {
            assert!(html.contains(&format!(">{cell}</td>")), "{cell} in {html}");
        }

        let html = of(array![[0.0]], array![0], array![0], &["A<B&C"]).to_html();
        assert!(html.contains(">A&lt;B&amp;C</td>"), "{html}");
    }
}
