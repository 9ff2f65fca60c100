//! No size of a network, a model or a training aborts the process: sizes are checked first, and refused if too large.

use std::{process::Command, time::Instant};

use latentlab::{
    Autoencoder, Classifier, Dataset, ErrorKind, Gan, GanConfig, Sequential, TrainConfig, Vae, measure::NetworkStep,
    ndarray::ArrayD, train_ae, train_gan,
};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};

const MOST: usize = usize::MAX;

/// Ordinary sizes, typing errors and extremes.
const SIZES: [usize; 16] =
    [0, 1, 2, 3, 5, 28, 1000, 4097, 65_535, 100_000, 1 << 24, 1 << 32, (1 << 32) + 1, 1 << 62, MOST - 1, MOST];

fn digits(n: usize) -> Dataset {
    Dataset::built_in_digits(n, 0).unwrap()
}

#[test]
fn sizes_without_bounds_are_refused_where_the_layer_is_added() {
    let image = || Sequential::input([1, 28, 28]);
    let table = [
        image().up_sample2d(100_000),
        image().up_sample2d(1 << 32).flatten(),
        image().up_sample2d(MOST),
        image().conv2d(4, 3).padding(100_000),
        image().conv2d(4, 3).padding(MOST),
        image().conv2d(1, 3).padding(1 << 40).stride(1 << 40),
        // An output of 3×3, but an image of 100,003×100,003 with its padding.
        image().conv2d(1, 3).padding(50_000).stride(50_000),
        image().conv2d(1 << 60, 3),
        image().conv2d(4, 60_000).padding(60_000),
        image().conv2d(4, 3).same().stride(1).padding([0, MOST / 2]),
        image().conv_transpose2d(4, 3).stride(100_000),
        image().conv_transpose2d(4, 3).stride(MOST),
        image().conv_transpose2d(4, 3).stride(MOST).same().output_padding(MOST - 1),
        image().conv_transpose2d(4, 3).stride(MOST).output_padding(MOST - 1),
        image().conv_transpose2d(4, MOST).stride(2).same(),
        image().conv_transpose2d(MOST, 3),
        image().flatten().dense(1 << 40),
        image().flatten().dense(MOST),
        Sequential::input([MOST]),
        Sequential::input([1 << 32, 1 << 32]),
        Sequential::input([1 << 20, 1 << 20]).flatten(),
        // Each layer is allowed, all of them are not.
        (0..60).fold(Sequential::input([1 << 25]), |network, _| network.relu()),
    ];
    for (number, network) in table.into_iter().enumerate() {
        let error = network.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument, "row {number}: {error}");
        let text = error.to_string();
        assert!(text.contains("expected at most 4 GiB for one result, got "), "row {number}: {text}");
        assert!(text.contains("LATENTLAB_MAX_BYTES"), "row {number}: {text}");
        let place = text.split(':').next().unwrap();
        assert!(place == "input" || place.starts_with("layer "), "row {number}: {text}");
    }
    // A stride that leaves a single place is as good as any other.
    for stride in [100_000, MOST] {
        let network = image().conv2d(4, 3).stride(stride).build().unwrap();
        assert_eq!(network.output_shape(), [4, 1, 1]);
        let step = NetworkStep::new(&network, 3);
        step.forward();
        step.forward_and_backward();
    }
    let window = Sequential::input([1, 5000, 5000]).max_pool2d(5000).build().unwrap_err().to_string();
    assert_eq!(window, "layer 1, max_pool2d: expected a window of at most 16777216 pixels, got [5000, 5000]");
}

#[test]
fn models_refuse_absurd_sizes() {
    let encoder = Autoencoder::tiny(2).unwrap().encoder().clone();
    for n in [0, 1 << 40, MOST / 2, MOST] {
        let refused = [
            Autoencoder::tiny(n).err(),
            Autoencoder::deep_dense(n).err(),
            Autoencoder::convolutional(n).err(),
            Autoencoder::strided([n; 3], 64, 2).err(),
            Autoencoder::strided([4, 8, 16], n, 2).err(),
            Autoencoder::strided([4, 8, n], 64, 2).err(),
            Autoencoder::strided([4, 8, 16], 64, n).err(),
            Vae::strided([4, 8, 16], 64, n).err(),
            Vae::strided([4, 8, n], 64, 2).err(),
            Vae::convolutional(n).err(),
            Vae::new(encoder.clone(), Sequential::input([n, MOST])).err(),
            Vae::new(Sequential::input([n, MOST]), Sequential::input([2])).err(),
            Gan::convolutional(n).err(),
            Gan::new(Sequential::input([n, 2]), Sequential::input([n, 2])).err(),
            Classifier::linear(&encoder, n).err(),
            Classifier::dense(&encoder, n).err(),
            Classifier::convolutional(n).err(),
            Classifier::linear(&Sequential::input([n, MOST]), 3).err(),
        ];
        for (number, error) in refused.into_iter().enumerate() {
            assert!(error.is_some(), "model {number} with {n}");
        }
    }
}

#[test]
fn settings_without_end_are_refused_or_harmless() {
    let images = digits(12);
    let quiet = || TrainConfig::new().progress_every(0).epochs(1);
    let mut model = Autoencoder::tiny(2).unwrap();
    // As large as anything may be, and no reason to refuse it.
    for config in [
        quiet().batch_size(MOST),
        quiet().batch_size(MOST / 2 + 1),
        quiet().early_stopping(MOST),
        quiet().progress_every(MOST),
        quiet().seed(u64::MAX),
        quiet().snapshots(&images, [MOST, 1]),
    ] {
        train_ae(&mut model, &images, &config).unwrap();
    }
    let endless = train_ae(&mut model, &images, &quiet().snapshots(&images, 0..)).unwrap_err().to_string();
    assert!(endless.starts_with("TrainConfig::snapshots: expected at most 1048576 epochs"), "{endless}");
    let many = quiet().epochs(MOST).snapshots(&images, 0..1_000_000);
    let many = train_ae(&mut model, &images, &many).unwrap_err().to_string();
    assert!(many.starts_with("TrainConfig::snapshots: expected at most 4 GiB for one result, got 35.0 GiB"), "{many}");

    let mut gan = Gan::convolutional(4).unwrap();
    for count in [1 << 30, MOST] {
        let config = GanConfig::new().progress_every(0).epochs(1).snapshots(count, [1]);
        let error = train_gan(&mut gan, &images, &config).unwrap_err().to_string();
        assert!(error.starts_with("GanConfig::snapshots: expected at most 4 GiB for one result"), "{error}");
    }
    train_gan(&mut gan, &images, &GanConfig::new().progress_every(0).epochs(1).batch_size(MOST)).unwrap();
}

#[test]
fn a_batch_that_takes_too_much_memory_is_refused_before_it_is_made() {
    // 1 × 512 × 512 through 64 filters and a batch normalisation, which needs the whole batch: 130 MiB an image.
    let encoder = Sequential::input([1, 512, 512]).conv2d(64, 1).batch_norm().max_pool2d(512).flatten().dense(2);
    let decoder = Sequential::input([2]).dense(512 * 512).reshape([1, 512, 512]);
    let mut model = Autoencoder::new(encoder, decoder).unwrap();
    let images = Dataset::new(
        latentlab::ndarray::Array4::zeros((40, 1, 512, 512)),
        latentlab::ndarray::Array1::zeros(40),
        ["nothing"],
    );
    let config = TrainConfig::new().progress_every(0).batch_size(40);
    let error = train_ae(&mut model, &images.unwrap(), &config).unwrap_err().to_string();
    assert!(error.starts_with("TrainConfig::batch_size: expected at most 4 GiB for one result, got 5."), "{error}");
    assert!(error.contains("(a batch in all layers: 40 × "), "{error}");
}

/// A layer with arguments from [`SIZES`], and modifiers.
fn any_layer(network: Sequential, random: &mut StdRng) -> Sequential {
    let few = |random: &mut StdRng| *[1, 2, 3, 4, 7, 30].choose(random).unwrap();
    let size = |random: &mut StdRng| if random.gen_bool(0.6) { few(random) } else { *SIZES.choose(random).unwrap() };
    let [a, b, c, d] = std::array::from_fn(|_| size(random));
    let [few_a, few_b] = std::array::from_fn(|_| few(random));
    let kind = random.gen_range(0..12);
    let network = match kind {
        0 => network.dense(a),
        1 => network.flatten().dense(few_a),
        2 => network.conv2d(few_a, [few_b, c]),
        3 => network.conv2d(a, few_b),
        4 => network.conv_transpose2d(few_a, [few_b, c]),
        5 => network.conv_transpose2d(a, few_b),
        6 => network.max_pool2d([few_a, b]),
        7 => network.up_sample2d([few_a, b]),
        8 => network.reshape([a, b, c]),
        9 => network.batch_norm().momentum(0.5),
        10 => network.up_sample2d(few_a).conv2d(few_b, c),
        _ => network.relu(),
    };
    match random.gen_range(0..8) {
        0 => network.stride([few_a, d]),
        1 => network.stride(d),
        2 => network.padding([d, few_a]),
        3 => network.padding(d).stride(a),
        4 => network.same().stride([d, few_b]),
        5 => network.stride(d).output_padding(d.wrapping_sub(1)),
        6 => network.same(),
        _ => network,
    }
}

/// In a process with a limit of 16 MiB for one result: of ten thousand networks of absurd layers none panics, and those
/// that can be built predict and train within little more memory.
#[test]
fn ten_thousand_absurd_networks_are_refused_or_work() {
    const CHILD: &str = "LATENTLAB_TEST_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["ten_thousand_absurd_networks_are_refused_or_work", "--exact", "--nocapture"])
            .env(CHILD, "1")
            .env("LATENTLAB_MAX_BYTES", (16 << 20).to_string())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        assert!(output.status.success() && text.contains("networks refused"), "{:?}: {text}", output.status);
        return;
    }
    let dense =
        (0..4).fold(Sequential::input([1500]), |network, _| network.dense(1500)).build().unwrap_err().to_string();
    assert!(
        dense.starts_with("layer 2, dense: expected at most 16 MiB for one result, got 17.2 MiB (all weights"),
        "{dense}"
    );
    let mut random = StdRng::seed_from_u64(0);
    let (mut refused, mut ran, mut too_slow) = (0, 0, 0);
    for _ in 0..10_000 {
        let shapes: [&[usize]; 5] = [&[1, 28, 28], &[3, 5, 8], &[7], &[2, 1, 900], &[1, 1, 1]];
        let mut network = Sequential::input(shapes.choose(&mut random).unwrap());
        for _ in 0..random.gen_range(1..4) {
            network = any_layer(network, &mut random);
        }
        let start = Instant::now();
        let Ok(network) = network.build() else {
            refused += 1;
            continue;
        };
        let values: usize = network.output_shape().iter().product();
        assert!(values <= 4 << 20, "{network:?}");
        // An upper bound of the multiply-adds: speed is not tested here.
        if network.parameter_count().saturating_mul(values) > 1 << 27 {
            too_slow += 1;
            continue;
        }
        let shape = [&[1], network.input_shape()].concat();
        assert_eq!(network.predict(&ArrayD::from_elem(shape, 0.5)).unwrap().len(), values);
        NetworkStep::new(&network, 2).forward_and_backward();
        ran += 1;
        assert!(start.elapsed().as_secs() < 60, "{network:?}");
    }
    println!("{refused} networks refused, {ran} ran, {too_slow} not tried");
    assert!(refused > 1000 && ran > 500, "{refused} {ran}");
    #[cfg(target_os = "linux")]
    {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
        println!("{peak} kB at most");
        assert!(peak < 1 << 20, "{peak} kB where results may have 16 MiB");
    }
}
