//! The sampler and the pruner against Optuna's: what these did stands in tests/reference, written by regret.py there.

#[allow(dead_code)]
#[path = "../examples/regret/functions.rs"]
mod functions;

use std::{fs, path::Path};

use functions::{FUNCTIONS, Function, random, run};
use latentlab::{MedianPruner, Space, Study};
use serde::Deserialize;

const SEEDS: u64 = 20;

fn reference(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(name)).unwrap()
}

fn function(name: &str) -> &'static Function {
    FUNCTIONS.iter().find(|function| function.name == name).unwrap()
}

/// The best of 100 trials for each seed.
fn ours(name: &str, parallel: usize) -> Vec<f64> {
    let best = |seed| run(function(name), seed, 100, parallel).unwrap().0.into_iter().fold(f64::INFINITY, f64::min);
    (0..SEEDS).map(best).collect()
}

fn optunas(name: &str, parallel: usize) -> Vec<f64> {
    let (text, head) = (reference("regret_optuna.csv"), format!("{name},{parallel},"));
    let rows = text.lines().filter(|line| line.starts_with(&head));
    rows.map(|line| line.rsplit(',').next().unwrap().parse().unwrap()).collect()
}

/// By how many standard deviations the first are higher than the second, by the ranks of all (Mann and Whitney 1947).
fn standard_score(first: &[f64], second: &[f64]) -> f64 {
    let above = |a: &f64, b: &f64| f64::from(u8::from(a > b)) + f64::from(u8::from(a == b)) / 2.0;
    let wins: f64 = first.iter().map(|a| second.iter().map(|b| above(a, b)).sum::<f64>()).sum();
    let (m, n) = (first.len() as f64, second.len() as f64);
    (wins - m * n / 2.0) / (m * n * (m + n + 1.0) / 12.0).sqrt()
}

#[test]
fn standard_scores_are_known_ones() {
    let (low, high) = ([1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]);
    // Of 16 pairs none: (0 - 8) / sqrt(16 * 9 / 12).
    assert!((standard_score(&low, &high) + 8.0 / 12f64.sqrt()).abs() < 1e-12);
    assert_eq!(standard_score(&low, &low), 0.0);
}

/// By chance, 1.64 standard deviations are exceeded once in twenty times.
#[test]
fn regrets_are_no_higher_than_optunas_and_lower_than_by_chance() {
    for name in ["branin", "hartmann6", "rosenbrock4", "ackley5", "mixed", "conditional", "s2"] {
        let (ours, optunas) = (ours(name, 1), optunas(name, 1));
        assert_eq!(optunas.len(), ours.len());
        let by_chance: Vec<f64> = (0..SEEDS).map(|seed| random(function(name), seed, 100).unwrap()).collect();
        let (against_optuna, against_chance) = (standard_score(&ours, &optunas), standard_score(&ours, &by_chance));
        println!("{name}: {against_optuna:.2} deviations above Optuna's, {against_chance:.2} above chance");
        assert!(against_optuna < 1.64, "{name}: {ours:?}, Optuna's {optunas:?}");
        // A third of the trials drawn at random are of the best kind, in which half of the studies do not end.
        assert!(against_chance < -3.0 || name == "conditional", "{name}: {ours:?}, by chance {by_chance:?}");
    }
}

#[derive(Deserialize)]
struct Case {
    /// Startup trials, warm-up, interval, fewest trials.
    settings: [usize; 4],
    maximize: bool,
    complete: Vec<Vec<(usize, Option<f64>)>>,
    decided: Vec<(usize, Option<f64>, bool)>,
}

#[test]
fn trials_are_pruned_where_optuna_prunes_them() {
    let cases: Vec<Case> = serde_json::from_str(&reference("median_pruner.json")).unwrap();
    let mut decisions = [0, 0];
    for (index, case) in cases.iter().enumerate() {
        let space = Space::new().float("x", 0.0, 1.0);
        let study = if case.maximize { Study::maximize(space) } else { Study::minimize(space) }.unwrap();
        let [startup, warmup, interval, fewest] = case.settings;
        let pruner = MedianPruner::new().startup_trials(startup).warmup_epochs(warmup);
        let study = study.pruner(pruner.interval_epochs(interval).min_trials(fewest)).unwrap().progress_every(0);
        // All are told as complete, whatever the study decided: as in the reference.
        let trials: Vec<_> = case.complete.iter().map(|reports| (study.ask().unwrap().unwrap(), reports)).collect();
        for (trial, reports) in &trials {
            for (epoch, value) in *reports {
                trial.report(*epoch, value.unwrap_or(f64::NAN)).unwrap();
            }
        }
        for (trial, _) in trials {
            study.tell(trial, 1.0).unwrap();
        }
        let trial = study.ask().unwrap().unwrap();
        for (epoch, value, expected) in &case.decided {
            let decision = trial.report(*epoch, value.unwrap_or(f64::NAN)).unwrap();
            // What reports NaN ends at once here.
            assert_eq!(decision, *expected || value.is_none(), "case {index}, epoch {epoch}");
            decisions[usize::from(decision)] += 1;
        }
    }
    assert!(decisions[0] > 300 && decisions[1] > 100, "{decisions:?}");
}

#[test]
fn a_pruner_that_cannot_work_is_refused() {
    let study = || Study::minimize(Space::new().float("x", 0.0, 1.0)).unwrap();
    for (pruner, expected) in [
        (MedianPruner::new().interval_epochs(0), "median pruner, interval_epochs: expected at least 1, got 0"),
        (MedianPruner::new().min_trials(0), "median pruner, min_trials: expected at least 1, got 0"),
    ] {
        assert_eq!(study().pruner(pruner).err().unwrap().to_string(), expected);
    }
}
