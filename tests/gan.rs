//! What a generative adversarial network promises: both networks move, the seed decides, a file gives the same images,
//! mistakes are explained.

use latentlab::{Dataset, ErrorKind, Gan, GanConfig, Optimizer, Sequential, Vae, gan_step, generate, train_gan};

fn digits(n: usize) -> Dataset {
    Dataset::built_in_digits(n, 0).unwrap()
}

fn quiet() -> GanConfig {
    GanConfig::new().progress_every(0)
}

fn small() -> Gan {
    Gan::new(
        Sequential::input([8])
            .dense(98)
            .batch_norm()
            .selu()
            .reshape([2, 7, 7])
            .up_sample2d(4)
            .conv2d(1, 3)
            .same()
            .sigmoid(),
        Sequential::input([1, 28, 28])
            .conv2d(6, 3)
            .stride(2)
            .batch_norm()
            .leaky_relu(0.2)
            .flatten()
            .dropout(0.2)
            .dense(1),
    )
    .unwrap()
}

/// The bits of the generated images and of the discriminator's outputs for them.
fn bits(gan: &Gan) -> Vec<u32> {
    let images = generate(gan, 6, 1).unwrap();
    let outputs = gan.discriminator().predict(&images.clone().into_dyn()).unwrap();
    images.iter().chain(&outputs).map(|v| v.to_bits()).collect()
}

#[test]
fn it_begins_undecided_and_the_discriminator_learns_first() {
    let images = digits(200);
    let mut gan = Gan::convolutional(16).unwrap().seed(1);
    let first = gan_step(&mut gan, &images).unwrap();
    let ln2 = 2f64.ln();
    assert!((first.discriminator - 2.0 * ln2).abs() < 0.1 && (first.generator - ln2).abs() < 0.1, "{first:?}");
    let history = train_gan(&mut gan, &images, &quiet().epochs(4).batch_size(25)).unwrap();
    assert_eq!((history.generator_loss.len(), history.seconds.len()), (4, 4));
    assert!(history.discriminator_loss[0] < first.discriminator, "{history}");
    assert!(history.plot().unwrap().to_svg().unwrap().contains("discriminator"));
}

#[test]
fn the_generators_images_come_nearer_to_the_real_ones() {
    // As dark on the whole as real ones: the first thing that a generator finds out.
    let images = digits(500);
    let brightness = |gan: &Gan| generate(gan, 200, 0).unwrap().mean().unwrap();
    let real = images.images().mean().unwrap();
    let adam = Optimizer::adam().betas(0.5, 0.999);
    let mut gan = Gan::convolutional(16).unwrap().generator_optimizer(adam, 0.001).discriminator_optimizer(adam, 0.001);
    let before = (brightness(&gan) - real).abs();
    train_gan(&mut gan, &images, &quiet().epochs(6).batch_size(25)).unwrap();
    let after = (brightness(&gan) - real).abs();
    assert!(after < 0.5 * before, "{before} before, {after} after");
}

#[test]
fn the_seed_decides_and_the_threads_do_not() {
    let images = digits(150);
    for gan in [small(), Gan::convolutional(5).unwrap()] {
        let train = |seed, threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut gan = gan.clone().seed(seed);
                let history = train_gan(&mut gan, &images, &quiet().epochs(2).batch_size(70)).unwrap();
                (bits(&gan), history.generator_loss, history.discriminator_loss)
            })
        };
        let one = train(0, 1);
        assert!(one == train(0, 3));
        assert!(one != train(1, 3));
    }
}

#[test]
fn steps_by_hand_are_a_training() {
    let images = digits(50);
    let (mut by_hand, mut trained) = (small(), small());
    (0..3).for_each(|_| _ = gan_step(&mut by_hand, &images).unwrap());
    for _ in 0..3 {
        train_gan(&mut trained, &images.take(50), &quiet().epochs(1).batch_size(50)).unwrap();
    }
    // Of one batch only the order differs, and with it the rounding.
    let pairs = generate(&by_hand, 4, 0).unwrap().into_iter().zip(generate(&trained, 4, 0).unwrap());
    assert!(pairs.into_iter().all(|(a, b)| (a - b).abs() < 0.05));
}

#[test]
fn a_file_gives_the_same_images_and_settings() {
    let path = std::env::temp_dir().join(format!("latentlab-gan-{}.safetensors", std::process::id()));
    let mut gan = small().seed(3).generator_optimizer(Optimizer::sgd(), 0.02).label_smoothing(0.1);
    gan.save(&path).unwrap();
    let mut restored = Gan::load(&path).unwrap();
    assert_eq!(bits(&restored), bits(&gan));
    let images = digits(20);
    assert_eq!(gan_step(&mut restored, &images).unwrap(), gan_step(&mut gan, &images).unwrap());
    assert_eq!(bits(&restored), bits(&gan));
    assert_eq!(Vae::load(&path).unwrap_err().kind(), ErrorKind::Weights);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_diverged_training_keeps_the_last_good_weights() {
    let mut gan = small().generator_optimizer(Optimizer::sgd(), 1e38).discriminator_optimizer(Optimizer::sgd(), 1e38);
    let before = bits(&gan);
    let error = train_gan(&mut gan, &digits(60), &quiet().epochs(9).batch_size(20)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Diverged);
    assert_eq!(bits(&gan), before);
}

#[test]
fn mistakes_are_explained() {
    let generator = || Sequential::input([8]).dense(784).reshape([1, 28, 28]);
    let discriminator = |units| Sequential::input([1, 28, 28]).flatten().dense(units);
    let table = [
        (Gan::new(generator(), discriminator(0)), "discriminator, layer 2, dense: expected at least 1 unit, got 0"),
        (
            Gan::new(generator(), discriminator(2)),
            "gan: the discriminator's output (layer 2, dense) is [2], but it must be one number: [1]",
        ),
        (
            Gan::new(Sequential::input([8]).dense(784), discriminator(1)),
            "gan: discriminator input is [1, 28, 28], but the generator's output (layer 1, dense) is [784]",
        ),
        (
            Gan::new(Sequential::input([8, 1, 1]).flatten().dense(784).reshape([1, 28, 28]), discriminator(1)),
            "gan: generator input is [8, 1, 1], but noise must be flat: [latent_dim]",
        ),
    ];
    for (gan, expected) in table {
        assert_eq!(gan.unwrap_err().to_string(), expected);
    }
    let sgd = Optimizer::sgd;
    let table = [
        (small().label_smoothing(1.0), quiet(), "Gan::label_smoothing: expected a number in [0, 1), got 1"),
        (
            small().discriminator_optimizer(sgd(), 0.0),
            quiet(),
            "Gan::discriminator_optimizer, learning rate: expected a number above 0, got 0",
        ),
        (
            small().generator_optimizer(sgd().momentum(2.0), 0.1),
            quiet(),
            "Optimizer::momentum: expected a number in [0, 1), got 2",
        ),
        (small(), quiet().epochs(0), "GanConfig::epochs: expected at least 1, got 0"),
        (small(), quiet().batch_size(0), "GanConfig::batch_size: expected at least 1, got 0"),
    ];
    for (mut gan, config, expected) in table {
        let error = train_gan(&mut gan, &digits(20), &config).unwrap_err().to_string();
        assert!(error.starts_with(expected), "expected {expected}, got {error}");
    }
    assert_eq!(gan_step(&mut small(), &digits(20).take(0)).unwrap_err().kind(), ErrorKind::Data);
    assert_eq!(train_gan(&mut small(), &digits(20).take(0), &quiet()).unwrap_err().kind(), ErrorKind::Data);
}
