//! A finished clustering: where every point went, and how well clusters and classes agree.

use std::fmt;
use std::iter::zip;

use ndarray::{Array1, Array2, Axis};

use super::agreement::{
    adjusted_rand_index, contingency, majority_accuracy, majority_class, normalised_mutual_information,
    one_to_one_accuracy,
};
use super::codes::Codes;
use crate::format::{cell, percent};

/// Clusters of codes, compared with the codes' classes. Comes from [`kmeans_accuracy`](crate::kmeans_accuracy) or
/// [`KMeans::fit`](crate::KMeans::fit).
///
/// Accuracies are shares from 0 to 1. `Display` prints a table of the measures and one of the clusters.
#[derive(Clone)]
pub struct Clustering {
    assignments: Array1<usize>,
    centroids: Array2<f32>,
    inertia: f64,
    /// Points by cluster and class, (clusters, classes).
    contingency: Array2<usize>,
    cluster_labels: Vec<Option<usize>>,
    recognised: Vec<bool>,
    class_names: Vec<String>,
}

impl Clustering {
    /// `assignments`: the cluster of every code, shape `(n)`; `centroids`: shape `(clusters, latent_dim)`.
    pub(super) fn new(codes: &Codes, assignments: Array1<usize>, centroids: Array2<f32>, inertia: f64) -> Self {
        let class_names = codes.class_names().to_vec();
        let contingency = contingency(&assignments, codes.labels(), (centroids.nrows(), class_names.len()));
        let cluster_labels = Vec::from_iter(contingency.rows().into_iter().map(majority_class));
        let recognised = zip(&assignments, codes.labels())
            .map(|(&cluster, &label)| cluster_labels[cluster] == Some(label))
            .collect();
        Self { assignments, centroids, inertia, contingency, cluster_labels, recognised, class_names }
    }

    /// The share of points whose cluster took their class, when each cluster takes its commonest class. Several
    /// clusters may take the same class, so this is never below [`chance`](Self::chance), and more clusters give more.
    pub fn accuracy(&self) -> f64 {
        majority_accuracy(&self.contingency)
    }

    /// The share of points whose cluster took their class, when every class goes to at most one cluster, in the best
    /// way (Hungarian method).
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

    /// The accuracy of knowing nothing: the share of the commonest class, which a single cluster reaches.
    pub fn chance(&self) -> f64 {
        let commonest = self.contingency.sum_axis(Axis(0)).into_iter().max().unwrap_or(0);
        commonest as f64 / self.assignments.len() as f64
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

    /// The class that each cluster took: its commonest, the first of equally common ones; `None` for a cluster without
    /// points.
    pub fn cluster_labels(&self) -> Vec<Option<usize>> {
        self.cluster_labels.clone()
    }

    /// For every point, whether its cluster took its own class; [`accuracy`](Self::accuracy) is their share.
    pub fn recognised(&self) -> Vec<bool> {
        self.recognised.clone()
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

/// The same text as `Display`: a notebook may print either.
impl fmt::Debug for Clustering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
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

    fn clustering() -> Clustering {
        let names = vec!["Bag".to_string(), "A<B&C".to_string()];
        let codes = Codes::new(array![[0.0], [1.0], [5.0], [6.0]], array![0, 0, 1, 0], names).unwrap();
        Clustering::new(&codes, array![2, 2, 0, 0], array![[5.5], [9.0], [0.5]], 1.0)
    }

    #[test]
    fn clusters_take_their_commonest_class() {
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

        let names = vec!["A<B&C".to_string()];
        let codes = Codes::new(array![[0.0]], array![0], names).unwrap();
        let html = Clustering::new(&codes, array![0], array![[0.0]], 0.0).to_html();
        assert!(html.contains(">A&lt;B&amp;C</td>"), "{html}");
    }
}
