//! A study that workers of this library and of Optuna share: start this and the Python program below as often as you
//! like, at the same time, with the same file.
//!
//! `cargo run --release --example optuna -- study.log autoencoder 40`
//!
//! ```python
//! storage = JournalStorage(JournalFileBackend("study.log"))
//! study = optuna.create_study(study_name="autoencoder", storage=storage, load_if_exists=True)
//! for _ in range(10):
//!     trial = study.ask()
//!     hidden = trial.suggest_int("hidden", 8, 64)
//!     learning_rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
//!     optimizer = trial.suggest_categorical("optimizer", ["adam", "sgd"])
//!     study.tell(trial, train(hidden, learning_rate, optimizer))   # the same network in PyTorch, say
//! ```
//!
//! `optuna-dashboard study.log` shows it in the browser.

use latentlab::*;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "study.log".into());
    let name = arguments.next().unwrap_or_else(|| "autoencoder".into());
    let trials = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(40);

    let (train, validation) = Dataset::built_in_digits(300, 0)?.split(200, 100)?;
    let space = Space::new()
        .integer("hidden", 8, 64)
        .float("learning_rate", 1e-4, 1e-1)
        .log()
        .choice("optimizer", ["adam", "sgd"]);
    let study = Study::minimize(space)?.trials(trials).optuna(&path, &name)?;
    while let Some(trial) = study.ask()? {
        let hidden = trial.integer("hidden")?;
        let mut autoencoder = Autoencoder::new(
            Sequential::input([1, 28, 28]).flatten().dense(hidden).relu().dense(4),
            Sequential::input([4]).dense(hidden).relu().dense(784).sigmoid().reshape([1, 28, 28]),
        )?;
        let optimizer = if trial.text("optimizer")? == "adam" { Optimizer::adam() } else { Optimizer::sgd() };
        let config = TrainConfig::new().epochs(4).optimizer(optimizer).learning_rate(trial.float("learning_rate")?);
        let config = config.validation(&validation).progress_every(0).trial(&trial);
        let history = train_ae(&mut autoencoder, &train, &config)?;
        study.tell(trial, history.final_validation_loss())?;
    }
    println!("{study}");
    Ok(())
}
