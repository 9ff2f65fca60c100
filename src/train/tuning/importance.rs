//! How much each parameter matters: the reduction of variance by a random forest's splits (L. Breiman, "Random
//! Forests", 2001; "mean decrease in impurity"), as a share of the reduction by all splits.

use rand::Rng;

use super::space::Space;
use super::trial::{TrialRecord, TrialState};
use crate::random::{Random, stream};

const TREES: u64 = 64;
/// A leaf with a single trial would fit that trial's noise.
const SMALLEST_LEAF: usize = 2;
/// More trials do not change a tree's result much.
const MOST_ROWS: usize = 1000;

/// A trial's settings as numbers, and its value.
type Row = (Vec<f64>, f64);

/// A share for each parameter, in the space's order; all 0 if the values do not differ. Only complete trials count: a
/// pruned one's value is from an earlier epoch.
pub(super) fn importance<'a>(space: &Space, trials: impl Iterator<Item = &'a TrialRecord>) -> Vec<f64> {
    let complete = trials.filter(|trial| trial.state == TrialState::Complete);
    let mut rows: Vec<Row> = complete
        .filter_map(|trial| {
            let places = space.parameters.iter().map(|parameter| parameter.place(&trial.settings[&parameter.name]));
            Some((places.collect(), trial.value?))
        })
        .collect();
    let mut gains = vec![0.0; space.parameters.len()];
    if rows.is_empty() {
        return gains;
    }
    scale(&mut rows);
    for tree in 0..TREES {
        let mut random: Random = stream(tree, 0);
        let sample = (0..rows.len().min(MOST_ROWS)).map(|_| &rows[random.gen_range(0..rows.len())]).collect();
        grow(sample, &mut gains);
    }
    let total: f64 = gains.iter().sum();
    gains.iter().map(|gain| if total > 0.0 { gain / total } else { 0.0 }).collect()
}

/// Scales the values to about 1 by a power of two, which is exact: squares of the largest numbers would overflow.
fn scale(rows: &mut [Row]) {
    let largest = rows.iter().fold(0.0f64, |largest, row| largest.max(row.1.abs()));
    if largest > 0.0 {
        let exponent = -largest.log2().floor() as i32;
        // In two steps: 2^1074 alone would overflow too.
        let factors = [exponent / 2, exponent - exponent / 2].map(|exponent| 2f64.powi(exponent));
        rows.iter_mut().for_each(|row| row.1 = row.1 * factors[0] * factors[1]);
    }
}

/// Splits the rows where that reduces the variance most, then both parts, and adds each reduction to its parameter.
fn grow(rows: Vec<&Row>, gains: &mut [f64]) {
    // Not recursive: trees of many trials can be deep.
    let mut parts = vec![rows];
    while let Some(mut rows) = parts.pop() {
        let mut best = (0.0, 0, 0.0);
        for parameter in 0..gains.len() {
            rows.sort_by(|a, b| a.0[parameter].total_cmp(&b.0[parameter]));
            let total: f64 = rows.iter().map(|row| row.1).sum();
            let count = rows.len() as f64;
            let mut left = 0.0;
            for split in 1..rows.len() {
                left += rows[split - 1].1;
                let (below, above) = (rows[split - 1].0[parameter], rows[split].0[parameter]);
                if below == above || split < SMALLEST_LEAF || rows.len() - split < SMALLEST_LEAF {
                    continue;
                }
                let (n, right) = (split as f64, total - left);
                let gain = left * left / n + right * right / (count - n) - total * total / count;
                if gain > best.0 {
                    best = (gain, parameter, above);
                }
            }
        }
        let (gain, parameter, above) = best;
        if gain > 0.0 {
            gains[parameter] += gain;
            // At an existing value: between two neighbouring floats there is no other.
            let (left, right) = rows.into_iter().partition(|row| row.0[parameter] < above);
            parts.extend([right, left]);
        }
    }
}
