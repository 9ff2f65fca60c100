//! How well two groupings of the same points agree: clusters against classes.
//!
//! Everything is computed from the contingency table, shape `(clusters, classes)`: how many points of each class every
//! cluster holds. Entropies use natural logarithms.

use ndarray::{Array2, ArrayView1, Axis};
use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;

/// Counts points by cluster and class, shape `(clusters, classes)`.
pub(super) fn contingency<'a>(
    assignments: impl IntoIterator<Item = &'a usize>,
    labels: impl IntoIterator<Item = &'a usize>,
    (clusters, classes): (usize, usize),
) -> Array2<usize> {
    let mut table = Array2::zeros((clusters, classes));
    for (&cluster, &class) in assignments.into_iter().zip(labels) {
        table[[cluster, class]] += 1;
    }
    table
}

/// The most common class of a cluster, the first of several; `None` for a cluster without points.
pub(super) fn majority_class(counts: ArrayView1<usize>) -> Option<usize> {
    let most = counts.iter().copied().max().filter(|&most| most > 0)?;
    counts.iter().position(|&count| count == most)
}

/// The fraction of points with their cluster's majority label; several clusters may take the same class.
pub(super) fn majority_accuracy(table: &Array2<usize>) -> f64 {
    let hits: usize = table.rows().into_iter().map(|counts| counts.iter().copied().max().unwrap_or(0)).sum();
    hits as f64 / table.sum() as f64
}

/// The fraction of points with their cluster's label when every class goes to at most one cluster, with the best such
/// assignment (Hungarian method). Clusters beyond the number of classes get none.
pub(super) fn one_to_one_accuracy(table: &Array2<usize>) -> f64 {
    // The method needs no more rows than columns.
    let wide = if table.nrows() > table.ncols() { table.t() } else { table.view() };
    let weights = Matrix::from_fn(wide.nrows(), wide.ncols(), |(row, column)| wide[[row, column]] as i64);
    let (hits, _) = kuhn_munkres(&weights);
    hits as f64 / table.sum() as f64
}

/// Normalised mutual information `I(U; V) / ((H(U) + H(V)) / 2)`, from 0 (independent) to 1 (the same grouping).
/// Two groupings that each put all points into one group are the same: 1.
pub(super) fn normalised_mutual_information(table: &Array2<usize>) -> f64 {
    let n = table.sum() as f64;
    let entropy = |counts: &mut dyn Iterator<Item = &usize>| -> f64 {
        counts.filter(|&&count| count > 0).map(|&count| count as f64 / n).map(|share| -share * share.ln()).sum()
    };
    let clusters = entropy(&mut table.sum_axis(Axis(1)).iter());
    let classes = entropy(&mut table.sum_axis(Axis(0)).iter());
    if clusters + classes == 0.0 {
        return 1.0;
    }
    let mutual_information = clusters + classes - entropy(&mut table.iter());
    // Rounding may leave the range by a few ulp.
    (mutual_information / ((clusters + classes) / 2.0)).clamp(0.0, 1.0)
}

/// The Rand index adjusted for chance (Hubert & Arabie, 1985): 1 for the same grouping, about 0 for random ones,
/// below 0 for worse than random. It compares pairs of points: together in both groupings, or in one of them only.
pub(super) fn adjusted_rand_index(table: &Array2<usize>) -> f64 {
    let pairs = |count: &usize| (count * count.saturating_sub(1) / 2) as f64;
    let in_both: f64 = table.iter().map(pairs).sum();
    let in_cluster: f64 = table.sum_axis(Axis(1)).iter().map(pairs).sum();
    let in_class: f64 = table.sum_axis(Axis(0)).iter().map(pairs).sum();
    if in_cluster == in_both && in_class == in_both {
        return 1.0; // the same grouping; also where chance leaves nothing to adjust (0 / 0)
    }
    let expected = in_cluster * in_class / pairs(&table.sum());
    (in_both - expected) / ((in_cluster + in_class) / 2.0 - expected)
}

#[cfg(test)]
mod tests {
    use rand::seq::SliceRandom;
    use rand::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256Plus;

    use super::*;

    fn table(labels: &[usize], clusters: &[usize]) -> Array2<usize> {
        let count = |groups: &[usize]| groups.iter().max().unwrap() + 1;
        contingency(clusters, labels, (count(clusters), count(labels)))
    }

    fn measures(table: &Array2<usize>) -> [f64; 4] {
        [
            normalised_mutual_information(table),
            adjusted_rand_index(table),
            majority_accuracy(table),
            one_to_one_accuracy(table),
        ]
    }

    fn assert_close(got: [f64; 4], expected: [f64; 4], case: &str) {
        for (got, expected) in got.into_iter().zip(expected) {
            assert!((got - expected).abs() < 1e-9, "{case}: {got} is not {expected}");
        }
    }

    type Case = (&'static str, &'static [usize], &'static [usize], [f64; 4]);

    /// Written by tests/reference/agreement.py (scikit-learn 1.9.1, SciPy): name, labels, clusters, NMI, ARI, majority
    /// accuracy, one-to-one accuracy.
    #[rustfmt::skip]
    const REFERENCE: &[Case] = &[
        ("mixed", &[0, 0, 0, 1, 1, 1, 2, 2, 2, 2], &[1, 1, 0, 0, 0, 2, 2, 2, 2, 1],
            [0.4427012833, 0.2045454545, 0.7000000000, 0.7000000000]),
        ("more clusters", &[0, 0, 0, 1, 1, 1, 2, 2], &[0, 1, 1, 2, 2, 3, 4, 0],
            [0.6881041381, 0.2941176471, 0.8750000000, 0.6250000000]),
        ("fewer clusters", &[0, 0, 1, 1, 2, 2, 3, 3], &[0, 0, 0, 1, 1, 1, 1, 0],
            [0.3333333333, 0.0454545455, 0.5000000000, 0.5000000000]),
        ("shared majority", &[0, 0, 0, 0, 0, 1, 1], &[0, 0, 1, 1, 1, 1, 0],
            [0.0064681642, -0.1351351351, 0.7142857143, 0.5714285714]),
        ("independent", &[0, 0, 1, 1], &[0, 1, 0, 1], [0.0000000000, -0.5000000000, 0.5000000000, 0.5000000000]),
        ("one cluster", &[0, 0, 1, 2], &[0, 0, 0, 0], [0.0000000000, 0.0000000000, 0.5000000000, 0.5000000000]),
        ("one class", &[0, 0, 0, 0], &[0, 1, 1, 0], [0.0000000000, 0.0000000000, 1.0000000000, 0.5000000000]),
        ("one of each", &[0, 0, 0], &[0, 0, 0], [1.0000000000, 1.0000000000, 1.0000000000, 1.0000000000]),
        ("every point alone", &[0, 1, 2], &[2, 0, 1], [1.0000000000, 1.0000000000, 1.0000000000, 1.0000000000]),
        ("perfect, renamed", &[0, 0, 1, 1, 2], &[2, 2, 0, 0, 1],
            [1.0000000000, 1.0000000000, 1.0000000000, 1.0000000000]),
        ("one point", &[0], &[0], [1.0000000000, 1.0000000000, 1.0000000000, 1.0000000000]),
    ];

    #[test]
    fn measures_agree_with_scikit_learn() {
        for &(name, labels, clusters, expected) in REFERENCE {
            assert_close(measures(&table(labels, clusters)), expected, name);
        }
    }

    #[test]
    fn names_of_clusters_and_classes_do_not_matter() {
        let mut random = Xoshiro256Plus::seed_from_u64(3);
        for case in 0..20 {
            let (clusters, classes, n) = (random.gen_range(1..8), random.gen_range(1..8), random.gen_range(1..200));
            let mut draw = |groups| Vec::from_iter((0..n).map(|_| random.gen_range(0..groups)));
            let (assignments, labels) = (draw(clusters), draw(classes));
            let original = contingency(&assignments, &labels, (clusters, classes));

            let mut rename = |groups: &[usize], count| {
                let mut names = Vec::from_iter(0..count);
                names.shuffle(&mut random);
                Vec::from_iter(groups.iter().map(|&group| names[group]))
            };
            let (assignments, labels) = (rename(&assignments, clusters), rename(&labels, classes));
            let renamed = contingency(&assignments, &labels, (clusters, classes));
            assert_close(measures(&renamed), measures(&original), &format!("case {case}"));

            // These three do not care which grouping is called clusters, either.
            let [nmi, ari, _, one_to_one] = measures(&original);
            let [nmi_turned, ari_turned, _, one_to_one_turned] = measures(&original.t().to_owned());
            let turned = [nmi_turned, ari_turned, 0.0, one_to_one_turned];
            assert_close(turned, [nmi, ari, 0.0, one_to_one], &format!("case {case}, turned"));
        }
    }

    #[test]
    fn the_first_of_equal_classes_is_the_majority() {
        let table = ndarray::array![[2, 3, 3], [0, 0, 0]];
        assert_eq!(majority_class(table.row(0)), Some(1));
        assert_eq!(majority_class(table.row(1)), None);
    }
}
