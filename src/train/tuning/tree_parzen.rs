//! The tree-structured Parzen estimator: J. Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS 2011, with the
//! choices that Optuna documents for its TPESampler: the best tenth of the trials (at most 25) against the others, ten random
//! trials first, 24 candidates, weights that fade for trials before the last 25.

use std::collections::BTreeMap;

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use super::space::{Parameter, Range, Setting, Space};
use super::trial::{TrialRecord, TrialState};
use crate::random::{Random, mix, stream};

const RANDOM_TRIALS: usize = 10;
const CANDIDATES: usize = 24;
const MOST_GOOD: usize = 25;
const UNFADED: usize = 25;

/// What to try next. `cost`: lower is better.
pub(super) fn suggest(
    space: &Space,
    trials: &[TrialRecord],
    cost: impl Fn(f64) -> f64,
    seed: u64,
) -> BTreeMap<String, Setting> {
    let seed = mix(seed, trials.len() as u64);
    let (good, bad) = split(trials, cost);
    let setting = |(index, parameter): (usize, &Parameter)| {
        let mut random = stream(seed, index as u64);
        let place = if good.is_empty() {
            uniform(parameter, &mut random)
        } else {
            let places = |trials: &[&TrialRecord]| -> Vec<f64> {
                trials.iter().map(|trial| parameter.place(&trial.settings[&parameter.name])).collect()
            };
            let (good, bad) = (Density::of(parameter, &places(&good)), Density::of(parameter, &places(&bad)));
            let candidates = [0.0; CANDIDATES].map(|_| good.sample(&mut random));
            let rated = candidates.iter().map(|&place| (good.log(parameter, place) - bad.log(parameter, place), place));
            // The first where none can be compared: on a line too short for densities.
            rated.fold((f64::NEG_INFINITY, candidates[0]), |best, next| if next.0 > best.0 { next } else { best }).1
        };
        (parameter.name.clone(), parameter.at(place))
    };
    space.parameters.iter().enumerate().map(setting).collect()
}

/// The best trials and the others, each in their order; no best ones as long as there are few. Trials that run elsewhere count as
/// bad, so that two workers do not try the same.
fn split(trials: &[TrialRecord], cost: impl Fn(f64) -> f64) -> (Vec<&TrialRecord>, Vec<&TrialRecord>) {
    let finished = trials.iter().filter(|trial| trial.state != TrialState::Running).count();
    let good = if finished < RANDOM_TRIALS { 0 } else { finished.div_ceil(10).min(MOST_GOOD) };
    // Complete ones by their value; pruned ones by how far they came, then by their value; the rest.
    let rank = |trial: &TrialRecord| match (trial.state, trial.value) {
        (TrialState::Complete, Some(value)) => (0, 0, cost(value)),
        (TrialState::Pruned, Some(value)) => {
            (1, usize::MAX - trial.reports.last().map_or(0, |last| last.0), cost(value))
        }
        _ => (2, 0, 0.0),
    };
    let mut ranked: Vec<&TrialRecord> = trials.iter().collect();
    ranked.sort_by(|a, b| {
        let (a, b) = (rank(a), rank(b));
        (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2))
    });
    let mut bad = ranked.split_off(good);
    ranked.sort_by_key(|trial| trial.number);
    bad.sort_by_key(|trial| trial.number);
    (ranked, bad)
}

/// The start: anywhere on the line.
fn uniform(parameter: &Parameter, random: &mut Random) -> f64 {
    match &parameter.range {
        Range::Choice(settings) => random.gen_range(0..settings.len()) as f64,
        _ => {
            let (low, high) = parameter.line();
            low + random.r#gen::<f64>() * (high - low)
        }
    }
}

/// How often a parameter's settings are among some trials.
enum Density {
    /// Of a number: normal distributions around the trials, cut off at the ends of the line.
    Mixture { kernels: Vec<Kernel>, line: (f64, f64) },
    /// Of a choice: a share for each setting.
    Shares(Vec<f64>),
}

struct Kernel {
    weight: f64,
    mean: f64,
    deviation: f64,
}

impl Density {
    /// From the trials' places in their order, and one more for what was known before: anywhere.
    fn of(parameter: &Parameter, places: &[f64]) -> Self {
        let weights = weights(places.len());
        if let Range::Choice(settings) = &parameter.range {
            let mut shares = vec![1.0 / settings.len() as f64; settings.len()];
            for (place, weight) in places.iter().zip(&weights) {
                shares[*place as usize] += weight;
            }
            return Self::Shares(shares);
        }
        let (low, high) = parameter.line();
        let (middle, width) = (low.midpoint(high), high - low);
        let mut kernels: Vec<Kernel> = (places.iter().zip(&weights))
            .map(|(&mean, &weight)| Kernel { weight, mean, deviation: 0.0 })
            .chain([Kernel { weight: 1.0, mean: middle, deviation: width }])
            .collect();
        kernels.sort_by(|a, b| a.mean.total_cmp(&b.mean));
        // As wide as the larger gap to a neighbour, but neither so narrow that it finds only itself again nor wider than the line.
        let means: Vec<f64> = kernels.iter().map(|kernel| kernel.mean).collect();
        let narrowest = width / (kernels.len() as f64 + 1.0).min(100.0);
        for (index, kernel) in kernels.iter_mut().enumerate().filter(|(_, kernel)| kernel.deviation == 0.0) {
            let before = if index == 0 { low } else { means[index - 1] };
            let after = means.get(index + 1).copied().unwrap_or(high);
            kernel.deviation = (kernel.mean - before).max(after - kernel.mean).clamp(narrowest, width);
        }
        Self::Mixture { kernels, line: (low, high) }
    }

    fn sample(&self, random: &mut Random) -> f64 {
        match self {
            Self::Shares(shares) => pick(shares.iter().copied(), random) as f64,
            Self::Mixture { kernels, line: (low, high) } => {
                let kernel = &kernels[pick(kernels.iter().map(|kernel| kernel.weight), random)];
                // At least a third of each kernel lies on the line, unless that is as short as rounding.
                for _ in 0..1000 {
                    let normal: f64 = StandardNormal.sample(random);
                    let place = kernel.mean + kernel.deviation * normal;
                    if (*low..=*high).contains(&place) {
                        return place;
                    }
                }
                kernel.mean.max(*low).min(*high)
            }
        }
    }

    /// The logarithm of the density at a place, up to a constant; for an integer that of its whole step.
    fn log(&self, parameter: &Parameter, place: f64) -> f64 {
        let Self::Mixture { kernels, line: (low, high) } = self else {
            let Self::Shares(shares) = self else { return 0.0 };
            return (shares[place as usize] / shares.iter().sum::<f64>()).ln();
        };
        let total: f64 = kernels.iter().map(|kernel| kernel.weight).sum();
        let density = |kernel: &Kernel| {
            let share = kernel.share(*low, *high);
            let here = match parameter.step(place) {
                Some((from, to)) => kernel.share(from, to).max(0.0),
                None => (-((place - kernel.mean) / kernel.deviation).powi(2) / 2.0).exp() / kernel.deviation,
            };
            kernel.weight / total * here / share
        };
        kernels.iter().map(density).sum::<f64>().max(f64::MIN_POSITIVE).ln()
    }
}

impl Kernel {
    /// How much of it lies between two places.
    fn share(&self, from: f64, to: f64) -> f64 {
        let below = |place: f64| (1.0 + error_function((place - self.mean) / (self.deviation * 2f64.sqrt()))) / 2.0;
        below(to) - below(from)
    }
}

/// To 1.5e-7: M. Abramowitz and I. Stegun, "Handbook of Mathematical Functions", 1964, formula 7.1.26.
fn error_function(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.3275911 * x.abs());
    let factors = [0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429];
    let sum = factors.iter().rev().fold(0.0, |sum, factor| (sum + factor) * t);
    (1.0 - sum * (-x * x).exp()).copysign(x)
}

/// The last trials count fully, those before them the less the older they are.
fn weights(count: usize) -> Vec<f64> {
    let faded = count.saturating_sub(UNFADED);
    (0..count).map(|index| if index < faded { (index + 1) as f64 / (faded + 1) as f64 } else { 1.0 }).collect()
}

/// An index, as often as its weight says.
fn pick(weights: impl ExactSizeIterator<Item = f64> + Clone, random: &mut Random) -> usize {
    let last = weights.len() - 1;
    let mut left = random.r#gen::<f64>() * weights.clone().sum::<f64>();
    let mut before = |weight: &f64| {
        left -= weight;
        left >= 0.0
    };
    weights.take_while(|weight| before(weight)).count().min(last)
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use super::*;

    fn trial(number: usize, place: f64, value: f64) -> TrialRecord {
        TrialRecord {
            number,
            settings: BTreeMap::from([("x".into(), Setting::Float(place))]),
            state: TrialState::Complete,
            value: Some(value),
            reports: Vec::new(),
            seconds: 0.0,
            worker: 0,
        }
    }

    #[test]
    fn the_error_function_has_the_tables_values() {
        for (x, expected) in [(0.0, 0.0), (0.5, 0.5204998778), (1.0, 0.8427007929), (-2.0, -0.9953222650)] {
            assert!((error_function(x) - expected).abs() < 2e-7, "{x}: {}", error_function(x));
        }
    }

    #[test]
    fn densities_integrate_to_one() {
        let space = Space::new().float("x", 0.001, 1.0).log().integer("n", 3, 12);
        let (float, integer) = (&space.parameters[0], &space.parameters[1]);
        let (low, high) = float.line();
        let density = Density::of(float, &[low, -3.0, -2.9, high]);
        let steps = 20_000;
        let width = (high - low) / f64::from(steps);
        let sum: f64 = (0..steps).map(|i| density.log(float, low + (f64::from(i) + 0.5) * width).exp() * width).sum();
        assert!((sum - (2.0 * PI).sqrt()).abs() < 1e-4, "up to the constant: {sum}");
        let density = Density::of(integer, &[3.0, 7.0, 7.0]);
        let sum: f64 = (3..=12).map(|n| density.log(integer, f64::from(n)).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
    }

    #[test]
    fn the_best_tenth_is_good_and_failed_and_running_trials_are_bad() {
        let mut trials: Vec<TrialRecord> = (1..=20).map(|number| trial(number, 0.0, number as f64)).collect();
        (trials[0].state, trials[0].value) = (TrialState::Failed, None);
        (trials[1].state, trials[1].value) = (TrialState::Running, None);
        trials[2].state = TrialState::Pruned;
        let numbers = |trials: Vec<&TrialRecord>| trials.iter().map(|trial| trial.number).collect::<Vec<_>>();
        let (good, bad) = split(&trials, |value| value);
        assert_eq!((numbers(good), bad.len()), (vec![4, 5], 18));
        let (good, _) = split(&trials, |value| -value);
        assert_eq!(numbers(good), [19, 20]);
        assert!(split(&trials[..10], |value| value).0.is_empty(), "nine finished, one runs");
    }

    #[test]
    fn old_trials_fade() {
        assert_eq!(weights(3), [1.0; 3]);
        assert_eq!(weights(28)[..4], [0.25, 0.5, 0.75, 1.0]);
    }
}
