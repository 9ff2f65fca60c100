//! A Wasserstein autoencoder: its codes as a whole are drawn to N(0, 1) by their maximum mean discrepancy, while each
//! image keeps a code of its own (Tolstikhin et al. 2018).

use latentlab::*;

const LATENT_DIM: usize = 8;

pub fn run() -> Result<()> {
    let (train, _) = Dataset::digits()?.split(10_000, 0)?;
    let mut autoencoder = Autoencoder::strided([12, 24, 48], 128, LATENT_DIM)?;
    let (mut encoder, mut decoder) = (autoencoder.encoder().clone(), autoencoder.decoder().clone());
    let mut adam = Optimizer::adam().init(0.001)?;
    for epoch in 0..5 {
        let (mut sums, mut batches) = ([0.0; 2], 0);
        for batch in train.shuffled_batches(100, epoch)? {
            let step = Step::new(adam.steps());
            if step.should_stop() {
                break;
            }
            let x = step.input(batch.images());
            let codes = encoder.forward(&x);
            let error = (decoder.forward(&codes) - x).square().mean() * 784.0;
            let losses = [error, discrepancy(&codes, &codes.normal_like()) * 100.0];
            let losses = adam.minimize(step, losses, [&mut encoder, &mut decoder])?;
            sums = [sums[0] + losses[0], sums[1] + losses[1] / 100.0];
            batches += 1;
        }
        let [error, discrepancy] = sums.map(|sum| sum / f64::from(batches));
        println!("epoch {}: squared error {error:.1}, discrepancy {discrepancy:.4}", epoch + 1);
    }

    autoencoder = Autoencoder::new(encoder, decoder)?;
    let codes = embed(&autoencoder, &train)?;
    let (mean, deviation) = (codes.points().mean().unwrap_or(f32::NAN), codes.points().std(0.0));
    println!("codes: mean {mean:.2}, standard deviation {deviation:.2}");
    let path = std::env::temp_dir().join("latentlab-wasserstein.png");
    let drawn = decode(&autoencoder, &random_codes(80, LATENT_DIM, 0)?)?;
    ImageGrid::new(&drawn, 10).figure()?.save(&path)?;
    println!("the figure is {}", path.display());
    Ok(())
}

/// The squared maximum mean discrepancy of two samples of equal size, without bias: it may be below 0.
fn discrepancy(codes: &Tensor, prior: &Tensor) -> Tensor {
    let n = codes.shape().first().map_or(1.0, |n| *n as f32);
    // A point is not compared with itself, where the kernel is 1 a scale.
    let among = |x: &Tensor| (kernel(x, x).sum() - n * SCALES.len() as f32) / (n * (n - 1.0));
    among(codes) + among(prior) - kernel(codes, prior).mean() * 2.0
}

/// As multiples of the distance that two points of the prior have.
const SCALES: [f32; 7] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

/// The inverse multiquadratic kernel C / (C + ‖a − b‖²) of all pairs, summed over its scales.
fn kernel(a: &Tensor, b: &Tensor) -> Tensor {
    let distances = (a.unsqueeze(1) - b.unsqueeze(0)).square().sum_axis(-1);
    let scaled = SCALES.map(|scale| 2.0 * LATENT_DIM as f32 * scale);
    scaled.into_iter().map(|c| c / (&distances + c)).fold(distances.zeros_like(), |sum, part| sum + part)
}
