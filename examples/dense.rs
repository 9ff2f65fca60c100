//! A dense autoencoder with a code of two numbers, and its codes as a map.
//!
//! `cargo run --release --example dense`

use latentlab::*;

fn main() -> Result<()> {
    // MNIST, if it is there or can be downloaded; else digits that the library draws. It says which.
    let digits = Dataset::digits()?;
    println!("{digits}");
    let (train, test) = digits.split(20_000, 2_000)?;

    // 784 pixels become 2 numbers, and 2 numbers an image again. Shapes are checked here, not while it trains.
    let encoder =
        Sequential::input([1, 28, 28]).flatten().dense(256).leaky_relu(0.2).dense(64).leaky_relu(0.2).dense(2);
    let decoder = Sequential::input([2]).dense(64).leaky_relu(0.2).dense(256).leaky_relu(0.2).dense(784).sigmoid();
    let mut autoencoder = Autoencoder::new(encoder, decoder.reshape([1, 28, 28]))?;
    println!("{}", autoencoder.summary());

    // Binary cross-entropy suits grey values between 0 and 1; `validation` measures the loss on images never trained on.
    let config = TrainConfig::new().epochs(20).batch_size(100).loss(Loss::BinaryCrossEntropy).validation(&test);
    let history = train_ae(&mut autoencoder, &train, &config)?;
    println!("{history}");

    // How well do clusters of codes agree with the digits, of which the autoencoder has never been told?
    let codes = embed(&autoencoder, &test)?;
    println!("{}", kmeans_accuracy(&codes, 10)?);

    // One digit of each class above its reconstruction, and below them the map, with each digit's name at its mean code.
    let means = codes.class_means()?;
    let named = codes.class_names().iter().zip(means.rows());
    let map = named.fold(Scatter::of(&codes), |map, (name, mean)| map.annotate([mean[0], mean[1]], name));
    let path = std::env::temp_dir().join("latentlab-dense.png");
    grid(1, [reconstructions(&autoencoder, &test.one_of_each()?)?, map.figure()?]).save(&path)?;
    println!("the figure is {}", path.display());
    Ok(())
}
