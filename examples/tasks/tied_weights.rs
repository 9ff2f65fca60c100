//! A stacked autoencoder whose decoder has the transposed weights of its encoder, and only biases of its own.

use latentlab::{ndarray::Array1, *};

/// Decodes with the weights of the encoder's two dense layers and the decoder's biases.
fn decode(codes: &Tensor, weights: [Tensor; 2], biases: [Tensor; 2]) -> Tensor {
    let [first, second] = weights.map(|weights| weights.transpose());
    let [inner, outer] = biases;
    ((codes.matmul(&second) + inner).relu().matmul(&first) + outer).sigmoid()
}

pub fn run() -> Result<()> {
    let (train, test) = Dataset::garments()?.split(10_000, 2_000)?;
    let mut encoder = Sequential::input([1, 28, 28]).flatten().dense(100).relu().dense(30).relu();
    let names = ["2.weight", "4.weight"];
    let mut biases = [100, 784].map(|units| Parameter::new(&Array1::zeros(units)));
    let mut optimizer = Optimizer::nadam().init(0.001)?;

    for epoch in 0..10 {
        let (mut sum, mut batches) = (0.0, 0);
        for batch in train.shuffled_batches(64, epoch)? {
            let step = Step::new(optimizer.steps());
            if step.should_stop() {
                break;
            }
            let x = step.input(batch.images());
            let weights = names.map(|name| step.weights(&encoder, name));
            let output = decode(&encoder.forward(&x), weights, biases.each_ref().map(|bias| step.parameter(bias)));
            let loss = output.mean_squared_error(&x.flatten());
            sum += optimizer.minimize(step, [loss], (&mut encoder, biases.each_mut()))?[0];
            batches += 1;
        }
        println!("epoch {}: mean squared error {:.4}", epoch + 1, sum / f64::from(batches));
    }

    // The same network with weights of its own in the decoder.
    let decoder = Sequential::input([30]).dense(100).relu().dense(784).sigmoid().reshape([1, 28, 28]);
    let free = Sequential::input([1, 28, 28]).flatten().dense(100).relu().dense(30).relu();
    let mut free = Autoencoder::new(free, decoder)?;
    let config = TrainConfig::new().epochs(10).batch_size(64).optimizer(Optimizer::nadam()).progress_every(0);
    train_ae(&mut free, &train, &config)?;

    let weights = names.map(|name| encoder.weights(name).map(|weights| Tensor::from(&weights)));
    let [first, second] = weights;
    let biases = biases.map(|bias| Tensor::from(&bias.to_array()));
    let x = Tensor::from(test.images());
    let output = decode(&encoder.forward(&x), [first?, second?], biases);
    let error = output.mean_squared_error(&x.flatten()).item()?;
    let parameters = encoder.parameter_count() + 100 + 784;
    println!("tied: {parameters} parameters, mean squared error {error:.4} on test images");
    let error = evaluate(&free, &test, Loss::MeanSquaredError)?;
    println!("free: {} parameters, mean squared error {error:.4}", free.parameter_count());

    let tied = output.slice(0, 0..12).reshape([12, 1, 28, 28]).to_array()?;
    let tied = tied.into_dimensionality().map_err(Error::other)?;
    let originals = test.take(12);
    let free = reconstruct(&free, &originals)?;
    let rows = [("garments", originals.images()), ("tied", &tied), ("free", free.images())];
    let path = std::env::temp_dir().join("latentlab-tied-weights.png");
    ImageGrid::rows(rows).figure()?.save(&path)?;
    println!("the figure is {}", path.display());
    Ok(())
}
