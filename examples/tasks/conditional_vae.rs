//! A variational autoencoder that is told the digit, and draws any digit asked for (Sohn, Lee and Yan 2015).

use latentlab::*;

pub fn run() -> Result<()> {
    let (train, _) = Dataset::digits()?.split(10_000, 0)?;
    let mut encoder = Sequential::input([1, 28, 28])
        .conv2d(12, 3)
        .stride(2)
        .padding(1)
        .relu()
        .conv2d(24, 3)
        .stride(2)
        .padding(1)
        .relu()
        .conv2d(48, 3)
        .stride(2)
        .relu()
        .flatten()
        .dense(128)
        .relu();
    let mut heads = Sequential::input([128 + 10]).dense(2 * 8);
    let mut decoder = Sequential::input([8 + 10]).dense(256).relu().dense(784);
    let mut adam = Optimizer::adam().init(0.001)?;

    for epoch in 0..12 {
        let (mut sums, mut batches) = ([0.0; 2], 0);
        for batch in train.shuffled_batches(128, epoch)? {
            let step = Step::new(adam.steps());
            if step.should_stop() {
                break;
            }
            let (x, y) = (step.input(batch.images()), step.one_hot(batch.labels(), 10));
            let features = encoder.forward(&x);
            let [mu, log_variance] = heads.forward(&step.concat([&features, &y])).halves();
            let z = &mu + (&log_variance * 0.5).exp() * mu.normal_like();
            let logits = decoder.forward(&step.concat([&z, &y]));
            let entropy = logits.binary_cross_entropy_with_logits(&x.flatten()) * 784.0;
            let losses = [entropy, mu.kl_divergence(&log_variance)];
            let losses = adam.minimize(step, losses, [&mut encoder, &mut heads, &mut decoder])?;
            sums = [sums[0] + losses[0], sums[1] + losses[1]];
            batches += 1;
        }
        let [entropy, divergence] = sums.map(|sum| sum / f64::from(batches));
        println!("epoch {}: cross-entropy {entropy:.1}, divergence {divergence:.1}", epoch + 1);
    }

    // Eight of each digit, from the same eight codes.
    let labels: Vec<usize> = (0..80).map(|place| place % 10).collect();
    let codes = Tensor::from(&random_codes(8, 8, 0)?).index_select(0, &(0..80).map(|n| n / 10).collect::<Vec<_>>());
    let images = decoder.forward(&Tensor::concat([&codes, &Tensor::one_hot(&labels, 10)], -1)).sigmoid();
    let images = images.reshape([80, 1, 28, 28]).to_array()?;
    let path = std::env::temp_dir().join("latentlab-conditional-vae.png");
    ImageGrid::new(&images.into_dimensionality().map_err(Error::other)?, 10).figure()?.save(&path)?;
    println!("the figure is {}", path.display());
    Ok(())
}
