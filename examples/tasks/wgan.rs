//! A Wasserstein GAN with clipped weights (Arjovsky, Chintala and Bottou 2017): the critic takes five steps for each of
//! the generator.
//!
//! Its successor with a gradient penalty (Gulrajani et al. 2017) cannot be written here: its loss holds the gradient of
//! the critic by its input, and learning from that takes second derivatives, which a [`Step`] does not record.

use latentlab::*;

/// Brings all weights of a network into [−largest, largest].
fn clip_weights(network: &mut Sequential, largest: f32) -> Result<()> {
    for name in network.weight_names() {
        let clipped = network.weights(&name)?.mapv(|weight| weight.clamp(-largest, largest));
        network.set_weights(&name, &clipped)?;
    }
    Ok(())
}

pub fn run() -> Result<()> {
    let (train, _) = Dataset::digits()?.split(10_000, 0)?;
    let mut generator = Sequential::input([32])
        .dense(32 * 7 * 7)
        .batch_norm()
        .relu()
        .reshape([32, 7, 7])
        .conv_transpose2d(16, 4)
        .stride(2)
        .same()
        .batch_norm()
        .relu()
        .conv_transpose2d(1, 4)
        .stride(2)
        .same()
        .sigmoid();
    let mut critic = Sequential::input([1, 28, 28])
        .conv2d(16, 4)
        .stride(2)
        .padding(1)
        .leaky_relu(0.2)
        .conv2d(32, 4)
        .stride(2)
        .padding(1)
        .leaky_relu(0.2)
        .flatten()
        .dense(1);
    let mut of_generator = Optimizer::rmsprop().init(0.001)?;
    let mut of_critic = Optimizer::rmsprop().init(0.0005)?;

    for epoch in 0..30 {
        let (mut sum, mut batches) = (0.0, 0);
        for batch in train.shuffled_batches(64, epoch)? {
            let step = Step::new(of_critic.steps());
            if step.should_stop() {
                break;
            }
            let fake = generator.forward(&step.normal([batch.len(), 32])).detach();
            let (fake, real) = (critic.forward(&fake).mean(), critic.forward(&step.input(batch.images())).mean());
            // The critic's estimate of how far the drawn digits are from the real ones.
            let [distance] = of_critic.minimize(step, [fake - real], &mut critic)?;
            clip_weights(&mut critic, 0.02)?;
            sum -= distance;
            batches += 1;
            if batches % 5 == 0 {
                let step = Step::new(of_generator.steps());
                let fake = generator.forward(&step.normal([64, 32]));
                of_generator.minimize(step, [critic.forward_frozen(&fake).mean() * -1.0], &mut generator)?;
            }
        }
        println!("epoch {}: distance {:.4}", epoch + 1, sum / f64::from(batches));
    }

    let images = generator.forward(&Tensor::from(&random_codes(64, 32, 0)?)).to_array()?;
    let path = std::env::temp_dir().join("latentlab-wgan.png");
    ImageGrid::new(&images.into_dimensionality().map_err(Error::other)?, 16).figure()?.save(&path)?;
    println!("the figure is {}", path.display());
    Ok(())
}
