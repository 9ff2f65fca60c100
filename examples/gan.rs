//! A generative adversarial network: digits from noise, after more and more epochs.
//!
//! `cargo run --release --example gan`

use latentlab::*;

fn main() -> Result<()> {
    let train = Dataset::digits()?.shuffled(0).take(6_000);

    // The generator makes images from 64 random numbers; the discriminator says how likely an image is a real one.
    let generator = Sequential::input([64]).dense(64 * 7 * 7).batch_norm().relu().reshape([64, 7, 7]);
    let generator = generator.conv_transpose2d(32, 4).stride(2).same().batch_norm().relu();
    let generator = generator.conv_transpose2d(1, 4).stride(2).same().sigmoid();
    let discriminator = Sequential::input([1, 28, 28]).conv2d(32, 4).stride(2).same().leaky_relu(0.2);
    let discriminator = discriminator.conv2d(64, 4).stride(2).same().leaky_relu(0.2).flatten().dense(1).sigmoid();

    // Less momentum than usual (0.5 instead of 0.9) keeps the two from overshooting each other.
    let adam = Optimizer::adam().betas(0.5, 0.999);
    let gan = Gan::new(generator, discriminator)?;
    let mut gan = gan.generator_optimizer(adam, 0.0005).discriminator_optimizer(adam, 0.0005);
    println!("{}", gan.summary());

    // Snapshots, always of the same ten random codes, show what has been learned by then.
    let config = GanConfig::new().epochs(12).batch_size(32).snapshots(10, [1, 2, 4, 8, 12]);
    let history = train_gan(&mut gan, &train, &config)?;
    println!("{history}");

    let path = std::env::temp_dir().join("latentlab-gan.png");
    grid(1, [history.plot_snapshots()?, history.plot()?]).save(&path)?;
    println!("the figure is {}", path.display());
    Ok(())
}
