//! The tree-structured Parzen estimator: J. Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS
//! 2011, with the defaults of Optuna's `TPESampler`, whose names the constants have. It differs in one point: trials
//! that run or have failed count as bad (Optuna's `constant_liar` does so for running ones), so that two workers do not
//! try the same.

use std::collections::BTreeMap;

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use super::space::{Parameter, Range, Setting, Space};
use super::trial::{TrialRecord, TrialState};
use crate::random::{Random, stream};

/// So many trials are drawn at random before the estimator is used.
const N_STARTUP_TRIALS: usize = 10;
/// So many candidates are drawn from the good trials' density; the one with the highest expected improvement is tried.
const N_EI_CANDIDATES: usize = 24;

/// How many of the finished trials are good: a tenth, at most 25.
fn gamma(finished: usize) -> usize {
    finished.div_ceil(10).min(25)
}

/// The weights of trials in their order: 1 for the last 25, before that a ramp from 1/n.
fn default_weights(n: usize) -> Vec<f64> {
    let (start, ramp) = (1.0 / n.max(1) as f64, n.saturating_sub(25));
    let step = (1.0 - start) / ramp.saturating_sub(1).max(1) as f64;
    (0..n).map(|index| if index < ramp { start + step * index as f64 } else { 1.0 }).collect()
}

/// What to try next, after trials that each have a setting of every parameter. `cost`: lower is better.
pub(super) fn suggest<'a>(
    space: &Space,
    trials: impl Iterator<Item = &'a TrialRecord>,
    cost: impl Fn(f64) -> f64,
    seed: u64,
) -> BTreeMap<String, Setting> {
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
            let candidates = [0.0; N_EI_CANDIDATES].map(|_| good.sample(&mut random));
            let rated = candidates.iter().map(|&place| (good.log(parameter, place) - bad.log(parameter, place), place));
            // The first where none can be compared: on a line too short for densities.
            rated.fold((f64::NEG_INFINITY, candidates[0]), |best, next| if next.0 > best.0 { next } else { best }).1
        };
        (parameter.name.clone(), parameter.at(place))
    };
    space.parameters.iter().enumerate().map(setting).collect()
}

/// The best trials and the others, each in their order; no best ones before the startup trials have finished.
fn split<'a>(
    trials: impl Iterator<Item = &'a TrialRecord>,
    cost: impl Fn(f64) -> f64,
) -> (Vec<&'a TrialRecord>, Vec<&'a TrialRecord>) {
    let mut ranked: Vec<&TrialRecord> = trials.collect();
    let finished = ranked.iter().filter(|trial| trial.state != TrialState::Running).count();
    let good = if finished < N_STARTUP_TRIALS { 0 } else { gamma(finished) };
    // Complete ones by their value; pruned ones by how far they came, then by their value; the rest.
    let rank = |trial: &TrialRecord| match (trial.state, trial.value) {
        (TrialState::Complete, Some(value)) => (0, 0, cost(value)),
        (TrialState::Pruned, Some(value)) => {
            (1, usize::MAX - trial.reports.last().map_or(0, |last| last.0), cost(value))
        }
        _ => (2, 0, 0.0),
    };
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
    /// From the trials' places in their order, and a prior: anywhere.
    fn of(parameter: &Parameter, places: &[f64]) -> Self {
        let weights = default_weights(places.len());
        if let Range::Choice(settings) = &parameter.range {
            let (n, kernels) = (settings.len() as f64, places.len() as f64 + 1.0);
            let mut shares = vec![1.0 / n; settings.len()];
            for (place, weight) in places.iter().zip(&weights) {
                // Each trial's own distribution, of which a part is uniform.
                let rest = weight / (kernels + n);
                shares.iter_mut().for_each(|share| *share += rest);
                shares[*place as usize] += rest * kernels;
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
        // As wide as the larger gap to a neighbour (the ends of the line are none), but neither so narrow that it finds
        // only itself again nor wider than the line.
        let means: Vec<f64> = kernels.iter().map(|kernel| kernel.mean).collect();
        let narrowest = width / (kernels.len() as f64 + 1.0).min(100.0);
        for (index, kernel) in kernels.iter_mut().enumerate().filter(|(_, kernel)| kernel.deviation == 0.0) {
            let before = index.checked_sub(1).map_or(0.0, |before| kernel.mean - means[before]);
            let after = means.get(index + 1).map_or(0.0, |after| after - kernel.mean);
            kernel.deviation = before.max(after).clamp(narrowest, width);
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
        let below = |place: f64| (1.0 + libm::erf((place - self.mean) / (self.deviation * 2f64.sqrt()))) / 2.0;
        below(to) - below(from)
    }
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
        let settings = BTreeMap::from([("x".into(), Setting::Float(place))]);
        let (state, value) = (TrialState::Complete, Some(value));
        TrialRecord { state, value, ..TrialRecord::new(number, number, settings) }
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
        let (good, bad) = split(trials.iter(), |value| value);
        assert_eq!((numbers(good), bad.len()), (vec![4, 5], 18));
        let (good, _) = split(trials.iter(), |value| -value);
        assert_eq!(numbers(good), [19, 20]);
        assert!(split(trials[..10].iter(), |value| value).0.is_empty(), "nine finished, one runs");
    }

    #[test]
    fn old_trials_fade_as_in_optuna() {
        assert!(default_weights(0).is_empty());
        assert_eq!(default_weights(25), [1.0; 25]);
        assert_eq!(default_weights(26)[..2], [1.0 / 26.0, 1.0]);
        // numpy.linspace(1 / 28, 1, num=3), then 25 ones.
        let (weights, expected) = (default_weights(28), [1.0 / 28.0, 29.0 / 56.0, 1.0, 1.0]);
        assert!(
            weights.iter().zip(expected).all(|(weight, expected)| (weight - expected).abs() < 1e-15),
            "{weights:?}"
        );
        assert_eq!(weights.len(), 28);
    }

    /// What Optuna's `_ParzenEstimator` makes of the same trials by default: endpoints are not considered, the magic
    /// clip is.
    #[test]
    fn densities_are_those_of_optuna() {
        let space = Space::new().float("x", 0.0, 1.0).choice("c", ["a", "b", "c", "d"]);
        let deviations = |places: &[f64]| {
            let Density::Mixture { kernels, .. } = Density::of(&space.parameters[0], places) else { panic!() };
            kernels.iter().map(|kernel| (kernel.mean, kernel.deviation)).collect::<Vec<_>>()
        };
        assert_eq!(deviations(&[0.75, 0.0]), [(0.0, 0.5), (0.5, 1.0), (0.75, 0.25)]);
        // At least 1 / 5 of the line with four kernels.
        assert_eq!(deviations(&[0.0625, 0.125, 0.1875])[..2], [(0.0625, 0.2), (0.125, 0.2)]);
        // Of n kernels one of a trial has (1/n + 1) / (4/n + 1) at its choice, (1/n) / (4/n + 1) at others; the prior
        // 1/4.
        let Density::Shares(shares) = Density::of(&space.parameters[1], &[2.0, 2.0]) else { panic!() };
        let expected = [2.0 / 7.0 + 0.25, 2.0 / 7.0 + 0.25, 8.0 / 7.0 + 0.25, 2.0 / 7.0 + 0.25];
        assert!(shares.iter().zip(expected).all(|(share, expected)| (share - expected).abs() < 1e-15), "{shares:?}");
    }
}
