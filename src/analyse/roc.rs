//! How well a score tells two classes apart, whatever the threshold.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// The receiver operating characteristic of a score: how many positives, and how many negatives, lie above each
/// threshold. Made by [`roc_curve`].
#[derive(Clone, PartialEq)]
pub struct RocCurve {
    /// False positive rate, true positive rate and threshold of each point.
    points: Vec<[f64; 3]>,
    auc: f64,
    /// Positives and negatives.
    counts: [usize; 2],
}

/// The ROC curve of scores that should be higher where `positive` is true: of reconstruction errors and anomalies, for
/// example.
///
/// As scikit-learn's `roc_curve`: equal scores are one threshold, points on a straight line are left out, and the first
/// point is (0, 0) with an infinite threshold. [`auc`](RocCurve::auc) is `roc_auc_score`, computed from all points.
///
/// # Errors
/// If there are not as many scores as truths, there are none of one kind, or a score is NaN or infinite.
///
/// ```
/// use latentlab::roc_curve;
///
/// let roc = roc_curve(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8])?;
/// assert_eq!(roc.auc(), 0.75);
/// assert_eq!(roc.false_positive_rates(), [0.0, 0.0, 0.5, 0.5, 1.0]);
/// assert_eq!(roc.true_positive_rates(), [0.0, 0.5, 0.5, 1.0, 1.0]);
/// assert_eq!(roc.thresholds(), [f64::INFINITY, 0.8, 0.4, 0.35, 0.1]);
/// let figure = roc.plot()?;
/// # Ok::<(), latentlab::Error>(())
/// ```
#[doc(alias = "roc_auc_score")]
pub fn roc_curve(positive: &[bool], scores: &[f64]) -> Result<RocCurve> {
    if positive.len() != scores.len() {
        let expected = format!("one for each of the {} truths", positive.len());
        return Err(Error::expected(ErrorKind::Shape, "roc_curve, scores", expected, scores.len()));
    }
    if let Some(index) = scores.iter().position(|score| !score.is_finite()) {
        return Err(Error::argument(format!("roc_curve, score {index}"), "a finite number", scores[index]));
    }
    let positives = positive.iter().filter(|positive| **positive).count();
    let counts = [positives, positive.len() - positives];
    if counts.contains(&0) {
        let got = format!("{} positives and {} negatives", counts[0], counts[1]);
        return Err(Error::argument("roc_curve", "at least one positive and one negative", got));
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    // Counts of false and true positives, so that sums are exact.
    let (mut all, mut doubled_area) = (vec![([0, 0], f64::INFINITY)], 0.0);
    for equal in order.chunk_by(|a, b| scores[*a] == scores[*b]) {
        let hits = equal.iter().filter(|index| positive[**index]).count();
        let ([false_before, true_before], _) = all[all.len() - 1];
        let [false_now, true_now] = [false_before + equal.len() - hits, true_before + hits];
        doubled_area += (equal.len() - hits) as f64 * (true_before + true_now) as f64;
        all.push(([false_now, true_now], scores[equal[0]]));
    }
    let steps = |index: usize| [0, 1].map(|axis| all[index + 1].0[axis] - all[index].0[axis]);
    let is_corner = |index: &usize| *index == 0 || *index + 1 == all.len() || steps(index - 1) != steps(*index);
    let point = |index: usize| {
        let ([false_positives, true_positives], threshold) = all[index];
        [false_positives as f64 / counts[1] as f64, true_positives as f64 / counts[0] as f64, threshold]
    };
    let points = (0..all.len()).filter(is_corner).map(point).collect();
    Ok(RocCurve { points, auc: doubled_area / 2.0 / (counts[0] as f64 * counts[1] as f64), counts })
}

impl RocCurve {
    /// The share of the negatives at or above each threshold, rising from 0 to 1.
    pub fn false_positive_rates(&self) -> Vec<f64> {
        self.points.iter().map(|[rate, ..]| *rate).collect()
    }

    /// The share of the positives at or above each threshold, rising from 0 to 1.
    pub fn true_positive_rates(&self) -> Vec<f64> {
        self.points.iter().map(|[_, rate, _]| *rate).collect()
    }

    /// The scores from which on a case counts as positive, falling; the first is infinite.
    pub fn thresholds(&self) -> Vec<f64> {
        self.points.iter().map(|[.., threshold]| *threshold).collect()
    }

    /// The area under the curve: the share of all pairs of a positive and a negative in which the positive has the
    /// higher score, equal scores counting half. 1 is perfect, 0.5 no better than chance.
    pub fn auc(&self) -> f64 {
        self.auc
    }
}

impl fmt::Display for RocCurve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [positives, negatives] = self.counts;
        write!(f, "AUC {:.4}, {positives} positives and {negatives} negatives", self.auc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of scikit-learn 1.7's `roc_curve` and `roc_auc_score`.
    #[test]
    fn ties_are_one_threshold_and_straight_lines_have_no_points() {
        let truth = [1, 0, 1, 1, 0, 0, 1, 0].map(|label| label == 1);
        let roc = roc_curve(&truth, &[0.9, 0.9, 0.8, 0.7, 0.5, 0.5, 0.5, 0.1]).unwrap();
        assert_eq!(roc.false_positive_rates(), [0.0, 0.25, 0.25, 0.75, 1.0]);
        assert_eq!(roc.true_positive_rates(), [0.0, 0.25, 0.75, 1.0, 1.0]);
        assert_eq!(roc.thresholds(), [f64::INFINITY, 0.9, 0.7, 0.5, 0.1]);
        assert_eq!(roc.auc(), 0.71875);
        assert_eq!(roc.to_string(), "AUC 0.7188, 4 positives and 4 negatives");
        let all_equal = roc_curve(&truth, &[0.5; 8]).unwrap();
        assert_eq!((all_equal.auc(), all_equal.points.len()), (0.5, 2));
    }

    /// By its meaning, over all pairs.
    #[test]
    fn the_area_is_the_share_of_pairs_in_order() {
        let random = |seed: usize| (seed * 7919 + 13) % 101;
        for n in [2, 3, 50, 300] {
            let scores: Vec<f64> = (0..n).map(|i| (random(i) / 9) as f64).collect();
            let truth: Vec<bool> = (0..n).map(|i| i == 0 || (i > 1 && random(i + n) > 60)).collect();
            let of = |kind: bool| scores.iter().zip(&truth).filter(move |(_, truth)| **truth == kind);
            let worth = |(p, n): (&f64, &f64)| {
                if p > n {
                    1.0
                } else if p == n {
                    0.5
                } else {
                    0.0
                }
            };
            let pairs: Vec<f64> = of(true).flat_map(|(p, _)| of(false).map(move |(n, _)| worth((p, n)))).collect();
            let expected = pairs.iter().sum::<f64>() / pairs.len() as f64;
            assert!((roc_curve(&truth, &scores).unwrap().auc() - expected).abs() < 1e-12, "{n}");
        }
    }

    #[test]
    fn each_wrong_input_is_named() {
        for (truth, scores, expected) in [
            (&[true, false][..], &[1.0][..], "roc_curve, scores: expected one for each of the 2 truths, got 1"),
            (&[true, false], &[1.0, f64::NAN], "roc_curve, score 1: expected a finite number, got NaN"),
            (
                &[true, true],
                &[1.0, 2.0],
                "roc_curve: expected at least one positive and one negative, got 2 positives and 0 negatives",
            ),
            (&[], &[], "roc_curve: expected at least one positive and one negative, got 0 positives and 0 negatives"),
        ] {
            assert_eq!(roc_curve(truth, scores).unwrap_err().to_string(), expected);
        }
    }
}
