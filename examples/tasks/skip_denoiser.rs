//! A denoiser with and without skip connections: what a bottleneck loses, a U-Net passes by it (Ronneberger, Fischer
//! and Brox 2015; Mao, Shen and Yang 2016).

use latentlab::*;

pub fn run() -> Result<()> {
    let (train, test) = Dataset::garments()?.split(6_000, 500)?;
    let noise = Noise::gaussian(0.3).clipped();
    let (noisy, noisy_test) = (train.with_noise(noise, 1)?, test.with_noise(noise, 2)?);
    let config = TrainConfig::new()
        .epochs(4)
        .batch_size(64)
        .learning_rate(0.002)
        .loss(Loss::MeanSquaredError)
        .validation(&noisy_test)
        .validation_targets(&test);

    let start = Sequential::input([1, 28, 28]).conv2d(16, 3).same().relu();
    // Down to 7 × 7 and up again.
    let small = |network: Sequential| network.max_pool2d(2).conv2d(32, 3).same().relu().up_sample2d(2);
    let down = |network: Sequential| network.max_pool2d(2).conv2d(16, 3).same().relu();
    let up = |network: Sequential| network.conv2d(16, 3).same().relu().up_sample2d(2);
    let end = |network: Sequential| network.conv2d(1, 3).same().sigmoid();
    let chain = end(up(small(down(start.clone()))));
    let skips = end(start.skip_concat(|inner| up(down(inner).skip_concat(small))));
    let some = test.take(10).images().clone();
    let noisy_some = noisy_test.take(10).images().clone();
    let mut rows = vec![("noisy", noisy_some.clone())];
    for (name, mut network) in [("a chain", chain.build()?), ("with skips", skips.build()?)] {
        let history = train_pairs(&mut network, &noisy, &train, &config)?;
        let images = network.predict(&noisy_some.clone().into_dyn())?;
        rows.push((name, images.into_dimensionality().map_err(Error::other)?));
        println!("{name}: mean squared error {:.4} on new images", history.final_validation_loss());
    }
    rows.push(("clean", some));

    let path = std::env::temp_dir().join("latentlab-skip-denoiser.png");
    ImageGrid::rows(rows.iter().map(|(name, images)| (*name, images))).figure()?.save(&path)?;
    println!("the figure is {}", path.display());
    Ok(())
}
