//! One trial of a study, as a program that `latentlab worker` runs: its settings come as arguments, and what it prints
//! is read.
//!
//! ```sh
//! cargo build --release --example trial
//! cargo latentlab worker --study study.log --trials 40 \
//!     -p hidden=8..64 -p learning_rate=1e-4..1e-1:log -p optimizer=adam,sgd \
//!     -- target/release/examples/trial {hidden} {learning_rate} {optimizer}
//! ```
//!
//! Start the second command as often as you like, at the same time, also on other machines that share the folder.

use std::ops::ControlFlow;

use latentlab::*;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [hidden, learning_rate, optimizer] = &arguments[..] else {
        return Err(Error::other("expected the number of hidden units, the learning rate, and adam or sgd"));
    };
    let hidden = hidden.parse().map_err(Error::other)?;
    let learning_rate = learning_rate.parse().map_err(Error::other)?;
    let optimizer = if optimizer == "adam" { Optimizer::adam() } else { Optimizer::sgd() };

    let (train, validation) = Dataset::built_in_digits(300, 0)?.split(200, 100)?;
    let mut autoencoder = Autoencoder::new(
        Sequential::input([1, 28, 28]).flatten().dense(hidden).relu().dense(4),
        Sequential::input([4]).dense(hidden).relu().dense(784).sigmoid().reshape([1, 28, 28]),
    )?;
    let config = TrainConfig::new().epochs(4).optimizer(optimizer).learning_rate(learning_rate).validation(&validation);
    let config = config.progress_every(0).after_epoch(|epoch| {
        println!("latentlab report {} {}", epoch.number(), epoch.validation_loss());
        Ok(ControlFlow::Continue(()))
    });
    let history = train_ae(&mut autoencoder, &train, &config)?;
    println!("latentlab result {}", history.final_validation_loss());
    Ok(())
}
