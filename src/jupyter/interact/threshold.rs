//! The threshold of an anomaly's score.

use super::{Control, Function, figures, slider, start};
use crate::{
    analyse::{RocCurve, roc_curve},
    error::{Error, Result},
    show::{Histogram, RocChart, row},
};

const THRESHOLD: &str = "threshold";

/// Shows a slider for the score from which on something counts as an anomaly, and below it what follows: the
/// distributions of the scores of what is normal and of the anomalies with the threshold, the point on the ROC curve,
/// and how many of both are flagged, with the precision.
///
/// As for [`roc_curve`], `positive` is true of the anomalies, whose scores should be the higher ones: the errors of
/// [`reconstruction_errors`](crate::reconstruction_errors), say. A score equal to the threshold is flagged. The slider
/// goes from the lowest score to the highest one, and starts where the true positive rate exceeds the false positive
/// rate most (Youden's J). What [`interact`](super::interact) says of kernels, threads and saved notebooks holds here
/// too.
///
/// # Errors
/// As [`roc_curve`], and if all scores are equal or one is beyond ±1e100.
///
/// ```
/// use latentlab::{Autoencoder, Dataset, Loss, anomaly_threshold, reconstruction_errors};
///
/// let (digits, garments) = (Dataset::built_in_digits(100, 0)?, Dataset::built_in_garments(100, 0)?);
/// let autoencoder = Autoencoder::tiny(2)?; // train it with digits
/// let errors = |images| reconstruction_errors(&autoencoder, images, Loss::MeanSquaredError);
/// let scores = [errors(&digits)?, errors(&garments)?].concat();
/// let is_garment: Vec<bool> = (0..200).map(|image| image >= 100).collect();
/// anomaly_threshold(&is_garment, &scores)?;
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn anomaly_threshold(positive: &[bool], scores: &[f64]) -> Result<()> {
    let (controls, function) = moving_threshold(positive, scores)?;
    start(controls, function)
}

fn moving_threshold(positive: &[bool], scores: &[f64]) -> Result<(Vec<Control>, Function)> {
    let roc = roc_curve(positive, scores).map_err(|error| error.within("anomaly_threshold"))?;
    let of = |kind: bool| -> Vec<f64> {
        scores.iter().zip(positive).filter(|(_, positive)| **positive == kind).map(|(score, _)| *score).collect()
    };
    let (normal, anomalies) = (of(false), of(true));
    let lowest = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if lowest == highest {
        return Err(Error::argument(
            "anomaly_threshold, scores",
            "at least 2 different ones",
            format!("only {lowest}"),
        ));
    }
    let histogram = Histogram::new("score").series("normal", &normal).series("anomalies", &anomalies).density();
    histogram.figure().map_err(|error| error.within("anomaly_threshold"))?;
    let chart = RocChart::new().curve("", &roc);
    let threshold = slider(THRESHOLD, lowest..=highest).start_at(best(&roc));
    let function = figures(move |values, _| {
        let threshold = values.float(THRESHOLD)?;
        let flagged = |scores: &[f64]| scores.iter().filter(|score| **score >= threshold).count();
        let (hits, false_alarms) = (flagged(&anomalies), flagged(&normal));
        let rates = [(false_alarms, &normal), (hits, &anomalies)].map(|(count, all)| count as f64 / all.len() as f64);
        let title = format!(
            "flagged: {hits} of {} anomalies (true positive rate {:.3}) and {false_alarms} of {} normal \
             (false positive rate {:.3}), precision {:.3}",
            anomalies.len(),
            rates[1],
            normal.len(),
            rates[0],
            hits as f64 / (hits + false_alarms) as f64
        );
        let scores = histogram.clone().mark(threshold, THRESHOLD).figure()?;
        Ok(row([scores, chart.clone().operating_point(rates).figure()?]).title(title))
    });
    Ok((vec![threshold], function))
}

/// The threshold with the largest difference of the two rates.
fn best(roc: &RocCurve) -> f64 {
    let rates = roc.true_positive_rates().into_iter().zip(roc.false_positive_rates());
    // The first one is infinite.
    let all = rates.map(|(hits, false_alarms)| hits - false_alarms).zip(roc.thresholds()).skip(1);
    all.max_by(|a, b| a.0.total_cmp(&b.0)).map_or(f64::NAN, |(_, threshold)| threshold)
}

#[cfg(test)]
mod tests {
    use super::{super::Values, *};

    #[test]
    fn the_point_and_the_counts_are_those_of_the_threshold() {
        let truth = [false, false, false, true, true, false, true, true];
        let scores = [0.1, 0.2, 0.3, 0.35, 0.5, 0.6, 0.7, 0.9];
        let (controls, mut function) = moving_threshold(&truth, &scores).unwrap();
        let (mut values, mut points) = (Values::new(controls), Vec::new());
        assert_eq!(values.float(THRESHOLD).unwrap(), 0.35);
        for (threshold, hits, false_alarms) in [(0.35, 4, 1), (0.1, 4, 4), (0.55, 2, 1), (0.6, 2, 1), (0.9, 1, 0)] {
            values.set_number(0, threshold);
            let svg = super::super::tests::svg(&mut function, &mut values);
            let text: String = svg.lines().filter(|line| !line.starts_with('<')).collect::<Vec<_>>().join(" ");
            let (true_rate, false_rate) = (f64::from(hits) / 4.0, f64::from(false_alarms) / 4.0);
            let precision = f64::from(hits) / f64::from(hits + false_alarms);
            for part in [
                format!("{hits} of 4 anomalies (true positive rate {true_rate:.3})"),
                format!("{false_alarms} of 4 normal (false positive rate {false_rate:.3}), precision {precision:.3}"),
            ] {
                assert!(text.contains(&part), "{part} in {text}");
            }
            // The point, in a plot of 720 units that starts with the diagonal.
            let circle = svg.lines().rfind(|line| line.starts_with("<circle")).unwrap();
            let number = |line: &str, name: &str| -> f64 {
                line.split_once(&format!(" {name}=\"")).unwrap().1.split('"').next().unwrap().parse().unwrap()
            };
            points.push([number(circle, "cx"), number(circle, "cy")]);
        }
        let of = |index: usize, axis: usize| points[index][axis] - points[1][axis];
        // From the corner of (1, 1).
        assert_eq!((of(0, 0), of(0, 1)), (-540.0, 0.0));
        assert_eq!((of(2, 0), of(2, 1)), (-540.0, 360.0));
        assert_eq!((of(4, 0), of(4, 1)), (-720.0, 540.0));
    }

    #[test]
    fn scores_without_a_threshold_are_refused() {
        for (scores, expected) in [
            ([0.5, 0.5], "anomaly_threshold, scores: expected at least 2 different ones, got only 0.5"),
            ([0.5, f64::NAN], "anomaly_threshold, roc_curve, score 1: expected a finite number, got NaN"),
            (
                [0.5, 1e101],
                "anomaly_threshold, series \"anomalies\", value 1: expected a number up to 1e100, got 1e101",
            ),
        ] {
            assert_eq!(moving_threshold(&[false, true], &scores).map(drop).unwrap_err().to_string(), expected);
        }
    }
}
