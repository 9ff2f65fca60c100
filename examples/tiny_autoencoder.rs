//! Report S4 in full: both tiny autoencoders, 800 epochs, three seeds.
//!
//! `cargo run --release --example tiny_autoencoder [EPOCHS [SEED…]]`

use latentlab::{Autoencoder, Dataset, Loss, Result, TrainConfig, evaluate, reconstruct, train_ae};

fn main() -> Result<()> {
    let mut numbers = std::env::args().skip(1).filter_map(|text| text.parse().ok());
    let epochs = numbers.next().unwrap_or(800) as usize;
    let seeds = Some(numbers.collect::<Vec<u64>>()).filter(|seeds| !seeds.is_empty()).unwrap_or(vec![0, 1, 2]);
    let digits = Dataset::digits()?;
    println!("{digits}");
    let (train, rest) = digits.shuffled(0).split(50_000, 20_000)?;
    let (validation, test) = rest.split(10_000, 10_000)?;
    for latent_dim in [2, 4] {
        for &seed in &seeds {
            let mut autoencoder = Autoencoder::tiny(latent_dim)?.seed(seed);
            let config = TrainConfig::new().epochs(epochs).batch_size(8192).seed(seed).validation(&validation);
            let history = train_ae(&mut autoencoder, &train, &config.progress_every(200))?;
            let images = reconstruct(&autoencoder, &train)?;
            let is_dead =
                |pixel: usize| images.images().outer_iter().all(|image| image[[0, pixel / 28, pixel % 28]] == 0.0);
            let dead = (0..784).filter(|pixel| is_dead(*pixel)).count();
            let test_loss = evaluate(&autoencoder, &test, Loss::MeanSquaredError)?;
            println!("b = {latent_dim}, seed {seed}: {history}; test {test_loss:.4}; {dead} outputs are always 0");
        }
    }
    Ok(())
}
