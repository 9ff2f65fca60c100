//! The tree-structured Parzen estimator: J. Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NeurIPS
//! 2011, in the multivariate form that is the default of Optuna 5's `TPESampler`, whose names the constants have: a
//! trial is one kernel over all parameters, so that settings which are good only together are found together.
//!
//! As with Optuna's `constant_liar`, trials that run count as bad, so that two workers do not try the same. It differs
//! in these points, measured in docs/tuning.md: more trials are good ([`gamma`]), but the better ones weigh more
//! ([`weights_by_rank`]), and choices that were not good come again sooner ([`CHOICE_PRIOR`]). Trials that have failed
//! count as bad, too, and what was tried before is not tried again while there is something else.

use std::{collections::BTreeMap, f64::consts::FRAC_1_SQRT_2};

use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use super::space::{Parameter, Range, Setting, Space};
use super::trial::{TrialRecord, TrialState};
use crate::random::{Random, stream};

/// So many trials are drawn at random before the estimator is used.
const N_STARTUP_TRIALS: usize = 10;
/// So many candidates are drawn from the good trials' density; the one with the highest expected improvement is tried.
const N_EI_CANDIDATES: usize = 24;
/// In the kernel of a trial its own choice weighs 1 more than any, and any weighs this, divided by the number of
/// kernels; 1 in Optuna. With few good trials, a choice that none of them has would hardly come again.
const CHOICE_PRIOR: f64 = 6.0;

/// How many of the finished trials are good: 15 %, at most 25. Optuna has 10 %, all of the same weight.
fn gamma(finished: usize) -> usize {
    (finished * 3).div_ceil(20).min(25)
}

/// The weights of the good trials from the best to the worst: those of the parents in N. Hansen, "The CMA
/// Evolution Strategy: A Tutorial", 2016, but with a mean of 1, the prior's weight.
fn weights_by_rank(n: usize) -> Vec<f64> {
    let weight = |rank: usize| (n as f64 + 0.5).ln() - (rank as f64).ln();
    let mean = (1..=n).map(weight).sum::<f64>() / n as f64;
    (1..=n).map(|rank| weight(rank) / mean).collect()
}

/// The weights of the bad trials in their order: 1 for the last 25, before that a ramp from 1/n.
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
    let named = |places: &[f64]| -> BTreeMap<String, Setting> {
        let parameters = space.parameters.iter().zip(places);
        parameters.map(|(parameter, place)| (parameter.name.clone(), parameter.at(*place))).collect()
    };
    if good.is_empty() {
        let parameters = space.parameters.iter().enumerate();
        let places = parameters.map(|(index, parameter)| uniform(parameter, &mut stream(seed, index as u64)));
        return named(&places.collect::<Vec<_>>());
    }
    let tried: Vec<&TrialRecord> = good.iter().chain(&bad).copied().collect();
    let mut random = stream(seed, space.parameters.len() as u64);
    let good = Density::of(&space.parameters, &good, weights_by_rank(good.len()));
    let bad = Density::of(&space.parameters, &bad, default_weights(bad.len()));
    let mut best: Option<(bool, f64, BTreeMap<String, Setting>)> = None;
    for _ in 0..N_EI_CANDIDATES {
        let places = good.sample(&mut random);
        let settings = named(&places);
        let is_new = tried.iter().all(|trial| trial.settings != settings);
        let gain = good.log(&places) - bad.log(&places);
        if best.as_ref().is_none_or(|best| (is_new, gain) > (best.0, best.1)) {
            best = Some((is_new, gain, settings));
        }
    }
    best.map(|best| best.2).unwrap_or_default()
}

/// The best trials, best first, and the others in their order; no best ones before the startup trials have finished.
fn split<'a>(
    trials: impl Iterator<Item = &'a TrialRecord>,
    cost: impl Fn(f64) -> f64,
) -> (Vec<&'a TrialRecord>, Vec<&'a TrialRecord>) {
    let mut ranked: Vec<&TrialRecord> = trials.collect();
    let has_ended = |trial: &&&TrialRecord| matches!(trial.state, TrialState::Complete | TrialState::Pruned);
    let finished = ranked.iter().filter(has_ended).count();
    let good = if finished < N_STARTUP_TRIALS { 0 } else { gamma(finished) };
    // Complete ones by their value; pruned ones by how far they came, then by their last report; the rest.
    let rank = |trial: &TrialRecord| match (trial.state, trial.value, trial.reports.last()) {
        (TrialState::Complete, Some(value), _) => (0, 0, cost(value)),
        (TrialState::Pruned, _, Some((epoch, last))) => (1, usize::MAX - epoch, last.map_or(f64::INFINITY, &cost)),
        (TrialState::Pruned, ..) => (2, 0, 0.0),
        _ => (3, 0, 0.0),
    };
    ranked.sort_by(|a, b| {
        let (a, b) = (rank(a), rank(b));
        (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2))
    });
    let mut bad = ranked.split_off(good);
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

/// How often settings are among some trials: a kernel for each trial, and a last one, the prior, that is anywhere.
struct Density<'a> {
    parameters: &'a [Parameter],
    weights: Vec<f64>,
    /// A kernel is a product: for each parameter, its factor of each kernel.
    factors: Vec<Vec<Factor>>,
}

/// How one parameter's setting is distributed in a kernel.
enum Factor {
    /// A number: normally, cut off at the ends of the line. `inside`: how much of the normal distribution is on it.
    Normal { mean: f64, deviation: f64, inside: f64 },
    /// A choice: the share `even` goes to all alike, the rest to one, if there is one.
    Choice { even: f64, to: f64 },
}

impl<'a> Density<'a> {
    fn of(parameters: &'a [Parameter], trials: &[&TrialRecord], mut weights: Vec<f64>) -> Self {
        weights.push(1.0);
        let factors = parameters.iter().map(|parameter| {
            let places: Vec<f64> =
                trials.iter().map(|trial| parameter.place(&trial.settings[&parameter.name])).collect();
            Factor::of(parameter, &places)
        });
        Self { parameters, weights, factors: factors.collect() }
    }

    /// A place for each parameter; of integers, a whole number's.
    fn sample(&self, random: &mut Random) -> Vec<f64> {
        let kernel = pick(&self.weights, random);
        let factors = self.parameters.iter().zip(&self.factors);
        factors.map(|(parameter, factors)| factors[kernel].sample(parameter, random)).collect()
    }

    /// The logarithm of the density at a place, up to a constant; for an integer that of its whole step.
    fn log(&self, places: &[f64]) -> f64 {
        let mut logs: Vec<f64> = self.weights.iter().map(|weight| weight.ln()).collect();
        for ((parameter, factors), place) in self.parameters.iter().zip(&self.factors).zip(places) {
            let step = parameter.step(*place);
            logs.iter_mut().zip(factors).for_each(|(log, factor)| *log += factor.log(parameter, *place, step));
        }
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = logs.iter().map(|log| (log - largest).exp()).sum();
        largest + (sum / self.weights.iter().sum::<f64>()).ln()
    }
}

impl Factor {
    /// Those of trials at these places, and the prior's.
    fn of(parameter: &Parameter, places: &[f64]) -> Vec<Self> {
        let kernels = places.len() as f64 + 1.0;
        if let Range::Choice(settings) = &parameter.range {
            let prior = CHOICE_PRIOR * settings.len() as f64 / kernels;
            let even = prior / (1.0 + prior);
            let choices = places.iter().map(|to| Self::Choice { even, to: *to });
            return choices.chain([Self::Choice { even: 1.0, to: 0.0 }]).collect();
        }
        let (low, high) = parameter.line();
        let width = high - low;
        if width <= 0.0 {
            // As short as rounding.
            return (0..=places.len()).map(|_| Self::Choice { even: 1.0, to: 0.0 }).collect();
        }
        let mut order: Vec<usize> = (0..places.len()).collect();
        order.sort_by(|a, b| places[*a].total_cmp(&places[*b]));
        // As wide as the larger gap to a neighbour (or, without neighbours, to an end of the line), but neither so
        // narrow that it finds only itself again nor wider than the line.
        let narrowest = width / (kernels + 1.0).min(100.0);
        let mut deviations = vec![0.0; places.len()];
        for (index, &trial) in order.iter().enumerate() {
            let gap = |other: Option<&usize>| other.map_or(0.0, |other| (places[*other] - places[trial]).abs());
            let neighbours = gap(index.checked_sub(1).map(|before| &order[before])).max(gap(order.get(index + 1)));
            let gap = if places.len() == 1 { (places[0] - low).max(high - places[0]) } else { neighbours };
            deviations[trial] = gap.max(narrowest).min(width);
        }
        let numbers = places.iter().copied().zip(deviations).chain([(low.midpoint(high), width)]);
        let normal = |(mean, deviation)| Self::Normal { mean, deviation, inside: share(mean, deviation, (low, high)) };
        numbers.map(normal).collect()
    }

    fn sample(&self, parameter: &Parameter, random: &mut Random) -> f64 {
        match *self {
            Self::Choice { even, to } if random.r#gen::<f64>() >= even => to,
            Self::Choice { .. } => uniform(parameter, random),
            Self::Normal { mean, deviation, .. } => {
                let (low, high) = parameter.line();
                // At least a third of each kernel lies on the line, unless that is as short as rounding.
                for _ in 0..1000 {
                    let normal: f64 = StandardNormal.sample(random);
                    let place = mean + deviation * normal;
                    if (low..=high).contains(&place) {
                        return place;
                    }
                }
                mean.max(low).min(high)
            }
        }
    }

    /// The logarithm of the density at a place, or of how much is in a step.
    fn log(&self, parameter: &Parameter, place: f64, step: Option<(f64, f64)>) -> f64 {
        match *self {
            Self::Choice { even, to } => {
                let Range::Choice(settings) = &parameter.range else { return 0.0 };
                let own = if place == to { 1.0 - even } else { 0.0 };
                (even / settings.len() as f64 + own).ln()
            }
            Self::Normal { mean, deviation, inside } => match step {
                Some(step) => (share(mean, deviation, step) / inside).max(f64::MIN_POSITIVE).ln(),
                None => -((place - mean) / deviation).powi(2) / 2.0 - (deviation * inside).ln(),
            },
        }
    }
}

/// How much of a normal distribution lies between two places.
fn share(mean: f64, deviation: f64, (from, to): (f64, f64)) -> f64 {
    let below = |place: f64| libm::erf((place - mean) / deviation * FRAC_1_SQRT_2);
    (below(to) - below(from)) / 2.0
}

/// An index, as often as its weight says.
fn pick(weights: &[f64], random: &mut Random) -> usize {
    let mut left = random.r#gen::<f64>() * weights.iter().sum::<f64>();
    let mut before = |weight: &&f64| {
        left -= **weight;
        left >= 0.0
    };
    weights.iter().take_while(|weight| before(weight)).count().min(weights.len() - 1)
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

    fn density<'a>(space: &'a Space, trials: &[TrialRecord]) -> Density<'a> {
        Density::of(&space.parameters, &trials.iter().collect::<Vec<_>>(), default_weights(trials.len()))
    }

    #[test]
    fn densities_integrate_to_one() {
        let space = Space::new().float("x", 0.001, 1.0).log().integer("n", 3, 12).choice("c", ["a", "b", "c"]);
        let trials = [(0.001, 3, "a"), (0.05, 7, "c"), (1.0, 7, "c")].map(|(x, n, c)| {
            let settings = [("x", Setting::Float(x)), ("n", Setting::Integer(n)), ("c", Setting::from(c))];
            TrialRecord::new(1, 1, settings.map(|(name, setting)| (name.into(), setting)).into())
        });
        let density = density(&space, &trials);
        let (low, high) = space.parameters[0].line();
        let steps = 500;
        let width = (high - low) / f64::from(steps);
        let mut sum = 0.0;
        for i in 0..steps {
            let x = low + (f64::from(i) + 0.5) * width;
            for n in 3..=12 {
                sum += (0..3).map(|c| density.log(&[x, f64::from(n), f64::from(c)]).exp() * width).sum::<f64>();
            }
        }
        assert!((sum - (2.0 * PI).sqrt()).abs() < 1e-4, "up to the constant: {sum}");
    }

    #[test]
    fn the_best_are_good_and_failed_and_running_trials_are_bad() {
        let mut trials: Vec<TrialRecord> = (1..=20).map(|number| trial(number, 0.0, number as f64)).collect();
        (trials[0].state, trials[0].value) = (TrialState::Failed, None);
        (trials[1].state, trials[1].value) = (TrialState::Running, None);
        trials[2].state = TrialState::Pruned;
        let numbers = |trials: Vec<&TrialRecord>| trials.iter().map(|trial| trial.number).collect::<Vec<_>>();
        let (good, bad) = split(trials.iter(), |value| value);
        assert_eq!((numbers(good), bad.len()), (vec![4, 5, 6], 17));
        let (good, _) = split(trials.iter(), |value| -value);
        assert_eq!(numbers(good), [20, 19, 18]);
        assert!(split(trials[..10].iter(), |value| value).0.is_empty(), "eight have ended with a value");
    }

    #[test]
    fn pruned_trials_are_ranked_by_how_far_they_came() {
        let mut trials: Vec<TrialRecord> = (1..=12).map(|number| trial(number, 0.0, number as f64)).collect();
        for (trial, reports) in
            trials.iter_mut().zip([vec![(1, Some(0.0))], vec![(3, Some(9.0))], vec![(3, Some(8.0))]])
        {
            (trial.state, trial.reports) = (TrialState::Pruned, reports);
        }
        trials[3..].iter_mut().for_each(|trial| trial.state = TrialState::Failed);
        trials[3..10].iter_mut().for_each(|trial| trial.state = TrialState::Pruned);
        let (good, _) = split(trials.iter(), |value| value);
        assert_eq!(good.iter().map(|trial| trial.number).collect::<Vec<_>>(), [3, 2]);
        trials.iter_mut().for_each(|trial| trial.state = TrialState::Failed);
        assert!(split(trials.iter(), |value| value).0.is_empty(), "nothing is learned from failures alone");
    }

    #[test]
    fn better_trials_weigh_more() {
        assert!(weights_by_rank(0).is_empty());
        assert_eq!(weights_by_rank(1), [1.0]);
        // ln 3.5 - ln (1, 2, 3).
        let (weights, sum) = (weights_by_rank(3), 3.0 * 3.5f64.ln() - 6f64.ln());
        let expected = [3.5f64.ln(), 1.75f64.ln(), (3.5f64 / 3.0).ln()].map(|weight| weight * 3.0 / sum);
        assert!(
            weights.iter().zip(expected).all(|(weight, expected)| (weight - expected).abs() < 1e-12),
            "{weights:?}"
        );
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

    /// What `_ParzenEstimator(observations, space, parameters).log_pdf` of Optuna 5.0.0 makes of the first one, the
    /// first three and 40 trials, with the defaults of `TPESampler`.
    #[test]
    fn densities_are_those_of_optuna() {
        let space = Space::new().float("x", 0.0, 1.0).float("rate", 1e-3, 1.0).log().integer("n", 3, 12);
        let space = space.integer("units", 1, 64).log();
        let trial = |(x, rate, n, units): (f64, f64, usize, usize)| {
            let settings = [Setting::Float(x), Setting::Float(rate), Setting::Integer(n), Setting::Integer(units)];
            let names = space.parameters.iter().map(|parameter| parameter.name.clone());
            TrialRecord::new(1, 1, names.zip(settings).collect())
        };
        let few = [(0.75, 0.01, 3, 1), (0.0, 0.1, 7, 16), (0.5, 0.02, 12, 64)].map(trial);
        let many = (0..40).map(|i| {
            let (x, rate) = ((i * 7 % 40) as f64 / 40.0 + 0.01, (i * 11 % 40) as f64 / 40.0);
            trial((x, 1e-3 * 1e3f64.powf(rate), 3 + i % 10, 1 + i * 13 % 64))
        });
        let many: Vec<TrialRecord> = many.collect();
        for (trials, expected) in [
            (&few[..1], [-8.678491955456828, -6.738645195803427]),
            (&few, [-8.05916935987265, -7.305285293950672]),
            (&many, [-12.22600644269943, -10.165187617652789]),
        ] {
            let density = density(&space, trials);
            let places = [[0.7, 0.015f64.ln(), 7.0, 20f64.ln()], [0.1, 0.9f64.ln(), 3.0, 2f64.ln()]];
            // Of each float a constant is left out.
            let logs = places.map(|places| density.log(&places) - (2.0 * PI).ln());
            assert!(logs.iter().zip(expected).all(|(log, expected)| (log - expected).abs() < 1e-9), "{logs:?}");
        }
    }

    #[test]
    fn choices_that_were_not_good_are_tried_again() {
        let space = Space::new().choice("c", ["a", "b", "c", "d"]);
        let settings = BTreeMap::from([("c".into(), Setting::from("b"))]);
        let trials = [1, 2].map(|number| TrialRecord::new(number, number, settings.clone()));
        // Of three kernels, each of a trial has 6/3 for each choice beside its own, the prior has 1/4.
        let shares = [0.0, 1.0, 2.0, 3.0].map(|place| density(&space, &trials).log(&[place]).exp());
        let other = (2.0 / 9.0 + 2.0 / 9.0 + 1.0 / 4.0) / 3.0;
        let expected = [other, 1.0 - 3.0 * other, other, other];
        assert!(shares.iter().zip(expected).all(|(share, expected)| (share - expected).abs() < 1e-12), "{shares:?}");
    }

    /// Workers ask at the same time: each next one knows what the others run.
    #[test]
    fn trials_that_run_are_kept_away_from() {
        let space = Space::new().float("x", 0.0, 1.0).choice("c", ["a", "b"]);
        let trial = |number: usize, x: f64, c: &str, value| {
            let settings = BTreeMap::from([("x".into(), Setting::Float(x)), ("c".into(), Setting::from(c))]);
            let state = if value == Some(0.0) { TrialState::Running } else { TrialState::Complete };
            TrialRecord { state, value, ..TrialRecord::new(number, number, settings) }
        };
        // The best ones are at 0.25.
        let places = (1..=30).map(|i| (i, f64::from(i as u32) / 31.0));
        let trials: Vec<TrialRecord> =
            places.map(|(i, x)| trial(i, x, ["a", "b"][i % 2], Some(0.01 + (x - 0.25).abs()))).collect();
        let spread = |knows: bool| {
            let mut all = trials.clone();
            let mut asked: Vec<f64> = Vec::new();
            for number in 31..=38 {
                let next = suggest(&space, all.iter(), |value| value, number as u64);
                let Setting::Float(x) = next["x"] else { panic!() };
                asked.push(x);
                let Setting::Text(c) = &next["c"] else { panic!() };
                if knows {
                    all.push(trial(number, x, c, Some(0.0)));
                }
            }
            let mean = asked.iter().sum::<f64>() / 8.0;
            (asked.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 8.0).sqrt()
        };
        let (with, without) = (spread(true), spread(false));
        assert!(with > 1.5 * without, "a deviation of {with} with the others known, {without} without");
    }

    #[test]
    fn nothing_is_tried_twice_while_there_is_something_else() {
        let space = Space::new().choice("a", ["x", "y", "z"]).integer("b", 1, 4);
        let mut trials: Vec<TrialRecord> = Vec::new();
        for number in 1..=12 {
            let settings = suggest(&space, trials.iter(), |value| value, number as u64);
            let Setting::Integer(b) = settings["b"] else { panic!() };
            let value = Some((b as f64 - 2.0).abs());
            trials.push(TrialRecord {
                state: TrialState::Complete,
                value,
                ..TrialRecord::new(number, number, settings)
            });
        }
        let late = &trials[N_STARTUP_TRIALS..];
        for trial in late {
            let twice = trials.iter().filter(|other| other.settings == trial.settings).count();
            assert_eq!(twice, 1, "{trial}");
        }
    }
}
