//! A convolutional autoencoder that removes noise, and a map of its codes by t-SNE.
//!
//! `cargo run --release --example convolutional`

use latentlab::*;

fn main() -> Result<()> {
    let (train, test) = Dataset::garments()?.split(10_000, 2_000)?;

    // Two convolutions with a stride of 2 make 7 × 7 pixels of 28 × 28, two transposed ones go back.
    let encoder = Sequential::input([1, 28, 28]);
    let encoder = encoder.conv2d(16, 3).stride(2).same().batch_norm().leaky_relu(0.2);
    let encoder = encoder.conv2d(32, 3).stride(2).same().batch_norm().leaky_relu(0.2);
    let decoder = Sequential::input([16]).dense(32 * 7 * 7).leaky_relu(0.2).reshape([32, 7, 7]);
    let decoder = decoder.conv_transpose2d(16, 3).stride(2).same().batch_norm().leaky_relu(0.2);
    let decoder = decoder.conv_transpose2d(1, 3).stride(2).same().sigmoid();
    let mut autoencoder = Autoencoder::new(encoder.flatten().dense(16), decoder)?;
    println!("{}", autoencoder.summary());

    // Noise is added to the input, fresh for each batch; the target is the clean image.
    let config = TrainConfig::new().epochs(8).batch_size(64).learning_rate(0.002).input_noise(0.3).validation(&test);
    let history = train_ae(&mut autoencoder, &train, &config)?;
    println!("{history}");

    let clean = test.one_of_each()?;
    let noisy = clean.with_noise(0.3, 1)?;
    let denoised = reconstruct(&autoencoder, &noisy)?;
    let images = [("clean", clean.images()), ("with noise", noisy.images()), ("denoised", denoised.images())];

    // Sixteen numbers do not fit into a plane: t-SNE keeps neighbours together.
    let map = tsne(&embed(&autoencoder, &test)?, &Tsne::new())?.scatter()?;
    let path = std::env::temp_dir().join("latentlab-convolutional.png");
    grid(1, [ImageGrid::rows(images).figure()?, map]).save(&path)?;
    println!("the figure is {}", path.display());
    Ok(())
}
