//! A variational autoencoder: new images from random codes, and the plane of all codes.
//!
//! `cargo run --release --example vae`

use latentlab::*;

fn main() -> Result<()> {
    let (train, test) = Dataset::digits()?.split(20_000, 2_000)?;

    // The encoder ends where the code is made: the VAE adds the two dense layers for its mean and its variance.
    let mut vae = Vae::new(
        Sequential::input([1, 28, 28]).flatten().dense(256).relu().dense(64).relu(),
        Sequential::input([2]).dense(64).relu().dense(256).relu().dense(784).sigmoid().reshape([1, 28, 28]),
    )?;
    println!("{}", vae.summary());

    // The loss is the reconstruction's, and the divergence of the codes from N(0, I), weighted by `kl_weight`.
    let config = TrainConfig::new().epochs(20).batch_size(100).loss(Loss::BinaryCrossEntropy);
    let history = train_vae(&mut vae, &train, &config.kl_weight(1.0).validation(&test))?;
    println!("{history}");

    // Codes are close to N(0, I), so random ones decode to digits, and a grid of them shows what lies between.
    let autoencoder = vae.autoencoder();
    let samples = ImageGrid::new(&sample(&vae, 48, 0)?, 6).figure()?;
    let plane = decode(&autoencoder, &code_grid([-2.5, -2.5], [2.5, 2.5], 16)?)?;
    let plane = ImageGrid::new(&plane, 16).figure()?;
    let path = std::env::temp_dir().join("latentlab-vae.png");
    row([samples.title("Samples"), plane.title("The plane of codes, −2.5 to 2.5")]).save(&path)?;
    println!("the figure is {}", path.display());
    Ok(())
}
