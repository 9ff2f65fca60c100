//! A search for good settings: which of them matter, and which are best.
//!
//! `cargo run --release --example tuning`

use latentlab::*;

fn main() -> Result<()> {
    let (train, validation) = Dataset::digits()?.split(4_000, 1_000)?;

    // `log`: the learning rate is searched by its order of magnitude.
    let space = Space::new()
        .float("learning_rate", 1e-4, 3e-2)
        .log()
        .integer("hidden", 16, 256)
        .choice("batch_size", [32, 64, 128]);
    let study = Study::minimize(space)?.trials(24);

    // The study proposes settings, and learns from the loss that they lead to.
    while let Some(trial) = study.ask()? {
        let hidden = trial.integer("hidden")?;
        let mut autoencoder = Autoencoder::new(
            Sequential::input([1, 28, 28]).flatten().dense(hidden).relu().dense(8),
            Sequential::input([8]).dense(hidden).relu().dense(784).sigmoid().reshape([1, 28, 28]),
        )?;
        let config = TrainConfig::new().epochs(5).batch_size(trial.integer("batch_size")?).progress_every(0);
        let config = config.learning_rate(trial.float("learning_rate")?).validation(&validation);
        // `trial` lets the study end a training that is worse than the others so far.
        let history = train_ae(&mut autoencoder, &train, &config.trial(&trial))?;
        study.tell(trial, history.final_validation_loss())?;
    }
    println!("{study}\nbest: {}", study.best()?);

    let path = std::env::temp_dir().join("latentlab-tuning.png");
    row([study.plot()?, study.plot_importance()?]).save(&path)?;
    println!("the figure is {}", path.display());
    Ok(())
}
