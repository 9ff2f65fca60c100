//! Regret: how far a study's best value is above the minimum after so many trials, on the functions of `functions.rs`.
//! `tests/reference/regret.py` runs Optuna on the same ones, and compares.
//!
//! `cargo run --release --example regret -- ours.csv`
//!
//! `cargo run --release --example regret -- trainings` makes the table of real trainings that one of them is made of,
//! with Fashion-MNIST.

mod functions;

use std::fmt::Write as _;

use functions::{FUNCTIONS, random, run, s2_place, s2_space, s2_table};
use latentlab::*;

/// How many networks are trained for the table.
const TRAININGS: u64 = 150;

/// Trains the networks of report S2's search space, with settings drawn at random, on a few garments.
fn trainings() -> Result<()> {
    let (train, rest) = Dataset::garments()?.shuffled(0).split(2_000, 1_000)?;
    let validation = rest.take(1_000);
    let mut table = "filters1,filters2,filters3,hidden,learning_rate,optimizer".to_string();
    (1..=8).for_each(|epoch| table += &format!(",epoch{epoch}"));
    table += "\n";
    for seed in 0..TRAININGS {
        // The first trial of a study is drawn at random.
        let study = Study::minimize(s2_space())?.seed(seed).progress_every(0);
        let Some(trial) = study.ask()? else { break };
        let filters = [trial.integer("filters1")?, trial.integer("filters2")?, trial.integer("filters3")?];
        let mut model = Autoencoder::strided(filters, trial.integer("hidden")?, 2)?.seed(0);
        let optimizer = if trial.text("optimizer")? == "adam" { Optimizer::adam() } else { Optimizer::radam() };
        let config = TrainConfig::new().epochs(8).batch_size(32).optimizer(optimizer).validation(&validation);
        let config = config.learning_rate(trial.float("learning_rate")?).progress_every(0);
        let history = train_ae(&mut model, &train, &config)?;
        let place = s2_place(&trial)?.map(|number| format!("{number:.4}")).join(",");
        let losses: Vec<String> = history.validation_loss.iter().map(|loss| format!("{loss:.5}")).collect();
        table += &format!("{place},{}\n", losses.join(","));
        println!("{} of {TRAININGS}: {}, {}", seed + 1, history.final_validation_loss(), study.records()[0]);
        std::fs::write(s2_table(), &table).map_err(Error::other)?;
    }
    Ok(())
}

/// How many studies, and their trials.
const SEEDS: u64 = 20;
const TRIALS: usize = 100;

/// Optuna's own figures are beside the reference's program, which compares them with this table.
fn regrets(path: &str) -> Result<()> {
    let mut table = "function,parallel,seed,epochs,best25,best50,best100\n".to_string();
    println!("{:<12} {:>8}  median regret after 25, 50, 100 trials; 100 at random", "function", "parallel");
    for function in &FUNCTIONS {
        for parallel in [1, 8] {
            let mut regrets = [const { Vec::new() }; 3];
            for seed in 0..SEEDS {
                let (values, epochs) = run(function, seed, TRIALS, parallel)?;
                let best = [25, 50, 100].map(|count| values[..count].iter().copied().fold(f64::INFINITY, f64::min));
                let cells = best.map(|best| best.to_string()).join(",");
                writeln!(table, "{},{parallel},{seed},{epochs},{cells}", function.name).map_err(Error::other)?;
                regrets.iter_mut().zip(best).for_each(|(regrets, best)| regrets.push(best - function.minimum));
            }
            let random: Result<Vec<f64>> = (0..SEEDS).map(|seed| random(function, seed, TRIALS as u64)).collect();
            let random = median(random?) - function.minimum;
            let [first, second, third] = regrets.map(median);
            println!("{:<12} {parallel:>8}  {first:9.5} {second:9.5} {third:9.5} {random:9.5}", function.name);
        }
    }
    std::fs::write(path, table).map_err(Error::other)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[(values.len() - 1) / 2].midpoint(values[values.len() / 2])
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["trainings"] => trainings(),
        [path] => regrets(path),
        _ => Err(Error::other("expected `trainings`, or the file for the table of regrets")),
    }
}
