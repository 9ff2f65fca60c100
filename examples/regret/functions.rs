//! The functions on which samplers are compared; `tests/reference/regret.py` has the same for Optuna.

use std::{fs, path::Path};

use latentlab::{Result, Space, Study, Trial, TrialRecord, TrialState};

/// A function to minimize: its space, and of a trial the value after each epoch, of which the last one counts.
pub struct Function {
    pub name: &'static str,
    /// Its lowest value: regret is how far the best value so far is above it.
    pub minimum: f64,
    pub space: fn() -> Space,
    pub values: fn(&Trial) -> Result<Vec<f64>>,
}

impl Function {
    const fn new(
        name: &'static str,
        minimum: f64,
        space: fn() -> Space,
        values: fn(&Trial) -> Result<Vec<f64>>,
    ) -> Self {
        Self { name, minimum, space, values }
    }
}

pub static FUNCTIONS: [Function; 8] = [
    Function::new("branin", 0.397_887_357_729_738_2, || floats(&[(-5.0, 10.0), (0.0, 15.0)]), branin),
    Function::new("hartmann6", -3.322_368_011_415_514, || floats(&[(0.0, 1.0); 6]), hartmann6),
    Function::new("rosenbrock4", 0.0, || floats(&[(-5.0, 10.0); 4]), rosenbrock4),
    Function::new("ackley5", 0.0, || floats(&[(-32.768, 32.768); 5]), ackley5),
    Function::new("mixed", 0.0, mixed_space, mixed),
    Function::new("conditional", 0.0, conditional_space, conditional),
    Function::new("s2", 0.03346, s2_space, s2),
    Function::new("s2_pruned", 0.03346, s2_space, s2),
];

/// A study on a function: the value of each trial, infinite if it was pruned, and the epochs of all. `parallel` trials
/// have their settings before any of them has a result.
pub fn run(function: &Function, seed: u64, trials: usize, parallel: usize) -> Result<(Vec<f64>, usize)> {
    let study = Study::minimize((function.space)())?.seed(seed).trials(trials).progress_every(0);
    let mut epochs = 0;
    loop {
        let mut running = Vec::new();
        while running.len() < parallel
            && let Some(trial) = study.ask()?
        {
            running.push(trial);
        }
        if running.is_empty() {
            break;
        }
        let mut results = Vec::new();
        for trial in running {
            let mut last = f64::NAN;
            for (epoch, value) in (1..).zip((function.values)(&trial)?) {
                (last, epochs) = (value, epochs + 1);
                if function.name == "s2_pruned" && trial.report(epoch, value)? {
                    break;
                }
            }
            results.push((trial, last));
        }
        for (trial, value) in results {
            study.tell(trial, value)?;
        }
    }
    let complete = |record: &TrialRecord| record.value.filter(|_| record.state == TrialState::Complete);
    Ok((study.records().iter().map(|record| complete(record).unwrap_or(f64::INFINITY)).collect(), epochs))
}

/// The lowest value of so many trials drawn at random.
pub fn random(function: &Function, seed: u64, trials: u64) -> Result<f64> {
    let mut best = f64::INFINITY;
    for trial in 0..trials {
        // The first trial of a study is drawn at random.
        let study = Study::minimize((function.space)())?.seed(1_000 + trials * seed + trial).progress_every(0);
        if let Some(trial) = study.ask()? {
            best = (function.values)(&trial)?.into_iter().last().map_or(best, |value| best.min(value));
        }
    }
    Ok(best)
}

const NAMES: [&str; 6] = ["x1", "x2", "x3", "x4", "x5", "x6"];

fn floats(ranges: &[(f64, f64)]) -> Space {
    ranges.iter().zip(NAMES).fold(Space::new(), |space, ((low, high), name)| space.float(name, *low, *high))
}

fn point<const N: usize>(trial: &Trial) -> Result<[f64; N]> {
    let mut point = [0.0; N];
    for (x, name) in point.iter_mut().zip(NAMES) {
        *x = trial.float(name)?;
    }
    Ok(point)
}

/// Dixon and Szegö 1978.
fn branin(trial: &Trial) -> Result<Vec<f64>> {
    use std::f64::consts::PI;
    let [x, y] = point(trial)?;
    let parabola = y - 5.1 / (4.0 * PI * PI) * x * x + 5.0 / PI * x - 6.0;
    Ok(vec![parabola * parabola + 10.0 * (1.0 - 1.0 / (8.0 * PI)) * x.cos() + 10.0])
}

/// Dixon and Szegö 1978: four Gaussian dips in six dimensions.
fn hartmann6(trial: &Trial) -> Result<Vec<f64>> {
    const DEPTHS: [f64; 4] = [1.0, 1.2, 3.0, 3.2];
    const WIDTHS: [[f64; 6]; 4] = [
        [10.0, 3.0, 17.0, 3.5, 1.7, 8.0],
        [0.05, 10.0, 17.0, 0.1, 8.0, 14.0],
        [3.0, 3.5, 1.7, 10.0, 17.0, 8.0],
        [17.0, 8.0, 0.05, 10.0, 0.1, 14.0],
    ];
    const PLACES: [[f64; 6]; 4] = [
        [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
        [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
        [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
        [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
    ];
    let x: [f64; 6] = point(trial)?;
    let dip = |i: usize| {
        let distance: f64 = (0..6).map(|j| WIDTHS[i][j] * (x[j] - PLACES[i][j]).powi(2)).sum();
        DEPTHS[i] * (-distance).exp()
    };
    Ok(vec![-(0..4).map(dip).sum::<f64>()])
}

/// Rosenbrock 1960: a bent valley.
fn rosenbrock4(trial: &Trial) -> Result<Vec<f64>> {
    let x: [f64; 4] = point(trial)?;
    Ok(vec![x.windows(2).map(|x| 100.0 * (x[1] - x[0] * x[0]).powi(2) + (1.0 - x[0]).powi(2)).sum()])
}

/// Ackley 1987: a funnel with many dips.
fn ackley5(trial: &Trial) -> Result<Vec<f64>> {
    use std::f64::consts::{E, TAU};
    let x: [f64; 5] = point(trial)?;
    let mean = |f: fn(f64) -> f64| x.iter().map(|x| f(*x)).sum::<f64>() / 5.0;
    Ok(vec![-20.0 * (-0.2 * mean(|x| x * x).sqrt()).exp() - mean(|x| (TAU * x).cos()).exp() + 20.0 + E])
}

/// Ranges as a network has them: of which size and with which rate it learns best depends on the other settings.
fn mixed_space() -> Space {
    Space::new()
        .float("rate", 1e-5, 1.0)
        .log()
        .integer("layers", 1, 6)
        .integer("units", 8, 1024)
        .log()
        .float("dropout", 0.0, 0.8)
        .choice("optimizer", ["adam", "sgd", "rmsprop"])
        .choice("activation", ["relu", "tanh", "gelu", "elu"])
}

fn mixed(trial: &Trial) -> Result<Vec<f64>> {
    let (layers, units) = (trial.float("layers")?, trial.float("units")?);
    let (best_rate, optimizer) = match trial.text("optimizer")? {
        "adam" => (-3.0, 0.0),
        "sgd" => (-1.0, 0.1),
        _ => (-3.5, 0.2),
    };
    let activation = match trial.text("activation")? {
        "relu" => 0.1,
        "tanh" => 0.3,
        "gelu" => 0.0,
        _ => 0.15,
    };
    let rate = (trial.float("rate")?.log10() - best_rate).powi(2) / 2.0;
    let size = (layers * units / 384.0).ln().powi(2) / 5.0 + (layers - 3.0).abs() / 10.0;
    Ok(vec![rate + size + 3.0 * (trial.float("dropout")? - 0.2).powi(2) + optimizer + activation])
}

/// Each kind of model has settings of its own. A [`Space`] has all of them; in Optuna, those of the kind only.
fn conditional_space() -> Space {
    Space::new()
        .choice("kind", ["linear", "tree", "network"])
        .float("penalty", 1e-6, 1.0)
        .log()
        .integer("depth", 1, 16)
        .integer("leaf", 1, 64)
        .log()
        .float("rate", 1e-5, 1e-1)
        .log()
        .integer("layers", 1, 5)
        .integer("units", 8, 256)
        .log()
        .float("dropout", 0.0, 0.8)
}

fn conditional(trial: &Trial) -> Result<Vec<f64>> {
    Ok(vec![match trial.text("kind")? {
        "linear" => 0.5 + (trial.float("penalty")?.log10() + 2.0).powi(2) / 20.0,
        "tree" => {
            let leaf = (trial.float("leaf")? / 4.0).ln();
            0.25 + (trial.float("depth")? - 9.0).powi(2) / 100.0 + leaf.powi(2) / 20.0
        }
        _ => {
            let (rate, units) = (trial.float("rate")?.log10() + 3.0, (trial.float("units")? / 64.0).ln());
            let (layers, dropout) = (trial.float("layers")? - 2.0, trial.float("dropout")? - 0.2);
            rate.powi(2) / 4.0 + layers.abs() / 5.0 + units.powi(2) / 10.0 + dropout.powi(2)
        }
    }])
}

/// Report S2's search on garments.
pub fn s2_space() -> Space {
    Space::new()
        .integer("filters1", 8, 16)
        .integer("filters2", 16, 32)
        .integer("filters3", 32, 64)
        .integer("hidden", 64, 128)
        .float("learning_rate", 1e-4, 8e-3)
        .log()
        .choice("optimizer", ["adam", "radam"])
}

/// A setting in the unit cube.
pub fn s2_place(trial: &Trial) -> Result<[f64; 6]> {
    let number = |name: &str, low: f64, high: f64| Ok((trial.float(name)? - low) / (high - low));
    Ok([
        number("filters1", 8.0, 16.0)?,
        number("filters2", 16.0, 32.0)?,
        number("filters3", 32.0, 64.0)?,
        number("hidden", 64.0, 128.0)?,
        (trial.float("learning_rate")? / 1e-4).ln() / 80f64.ln(),
        f64::from(u8::from(trial.text("optimizer")? == "radam")),
    ])
}

pub fn s2_table() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/s2_trainings.csv")
}

/// The validation losses of real trainings: each epoch's mean, weighted by how near their settings are.
fn s2(trial: &Trial) -> Result<Vec<f64>> {
    static TABLE: std::sync::LazyLock<Vec<([f64; 6], Vec<f64>)>> = std::sync::LazyLock::new(|| {
        let row = |line: &str| {
            let numbers: Vec<f64> = line.split(',').map(|number| number.parse().unwrap()).collect();
            (numbers[..6].try_into().unwrap(), numbers[6..].to_vec())
        };
        fs::read_to_string(s2_table()).unwrap().lines().skip(1).map(row).collect()
    });
    let place = s2_place(trial)?;
    let mut sums = vec![0.0; TABLE[0].1.len()];
    let mut total = 0.0;
    for (other, losses) in TABLE.iter() {
        let distance: f64 = (0..6).map(|i| (S2_SCALES[i] * (place[i] - other[i])).powi(2)).sum();
        let weight = (-distance).exp();
        total += weight;
        sums.iter_mut().zip(losses).for_each(|(sum, loss)| *sum += weight * loss);
    }
    Ok(sums.into_iter().map(|sum| sum / total).collect())
}

/// How fast a training's weight falls with the distance in each setting, chosen by leave-one-out
/// (`tests/reference/regret.py scales`).
const S2_SCALES: [f64; 6] = [0.25, 3.0, 2.0, 0.5, 24.0, 3.0];
