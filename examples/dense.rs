//! A dense autoencoder with a code of two numbers, and its codes as a map.
//!
//! `cargo run --release --example dense`

use latentlab::*;

fn main() -> Result<()> {
    // MNIST, if it is there or can be downloaded; else digits that the library draws. It says which.
    let digits = Dataset::digits()?;
    println!("{digits}");
    let (train, test) = digits.split(20_000, 2_000)?;

    // 784 pixels become 2 numbers, and these an image again. Shapes are checked here, not while it trains.
    let encoder =
        Sequential::input([1, 28, 28]).flatten().dense(256).leaky_relu(0.2).dense(64).leaky_relu(0.2).dense(2);
    let decoder = Sequential::input([2]).dense(64).leaky_relu(0.2).dense(256).leaky_relu(0.2).dense(784).sigmoid();
    let mut autoencoder = Autoencoder::new(encoder, decoder.reshape([1, 28, 28]))?;
    println!("{}", autoencoder.summary());

    // Binary cross-entropy suits grey values between 0 and 1; `validation` measures it on held-out images.
    let config = TrainConfig::new().epochs(20).batch_size(100).loss(Loss::BinaryCrossEntropy).validation(&test);
    println!("{}", train_ae(&mut autoencoder, &train, &config)?);

    // How well do clusters of codes agree with the digits' labels, which the autoencoder has never seen?
    let codes = embed(&autoencoder, &test)?;
    println!("{}", kmeans_accuracy(&codes, 10)?);

    // The map of the codes, and what the decoder draws at places between the digits' mean codes.
    let means = codes.class_means()?;
    let range = |axis| means.column(axis).fold((f32::MAX, f32::MIN), |(low, high), x| (low.min(*x), high.max(*x)));
    let ((left, right), (bottom, top)) = (range(0), range(1));
    let plane = ImageGrid::new(&decode(&autoencoder, &code_grid([left, bottom], [right, top], 8)?)?, 8).figure()?;
    let plane = plane.title(format!("decoded between ({left:.0}, {bottom:.0}) and ({right:.0}, {top:.0})"));

    // One digit of each class above its reconstruction, and below them the two.
    let path = std::env::temp_dir().join("latentlab-dense.png");
    let map = codes.scatter()?.title("codes of held-out digits");
    grid(1, [reconstructions(&autoencoder, &test.one_of_each()?)?, row([map, plane])]).save(&path)?;
    println!("the figure is {}", path.display());
    Ok(())
}
