//! What a network promises as a whole: gradients through all layers, also of a batch in parts, dropout, learning, the
//! same bits on any number of threads, and steps that allocate nothing.

use std::{
    ops::Range,
    process::Command,
    sync::{Arc, atomic::Ordering},
};

use super::{assert_close, mean};
use crate::{
    engine::{ALLOCATED, Buffer, Reuse},
    nn::{
        layers::{channels_first, channels_last},
        loss::Loss,
        optimizer::Optimizer,
        optimizer_state::OptimizerState,
        sequential::Sequential,
        step::{BatchSplit, learn_in_parts},
        tape::Pass,
        tensor::Step,
    },
};

#[test]
fn gradients_flow_through_a_whole_network() {
    let network = Sequential::input([6]).dense(5).selu().dense(4).tanh().dense(3).sigmoid().seed(3).build().unwrap();
    let x: Vec<f32> = (0..24).map(|i| (i as f32 * 0.37).sin()).collect();
    let target: Arc<Buffer> = Arc::new((0..12).map(|i| (i % 2) as f32).collect::<Vec<_>>().into());
    let loss_of = |network: &Sequential| {
        let pass = &mut Pass::prediction();
        let x = pass.input(Arc::new(x.clone().into()), 4);
        let y = network.forward_on(x, pass);
        Loss::BinaryCrossEntropy.record(y, &target, 1.0, pass).0
    };
    let mut pass = Pass::training(0);
    let input = pass.input(Arc::new(x.clone().into()), 4);
    let y = network.forward_on(input, &mut pass);
    let (_, loss) = Loss::BinaryCrossEntropy.record(y, &target, 1.0, &mut pass);
    pass.backward(&loss);
    let gradients = pass.gradients(&[&network]);
    for (number, gradient) in gradients.iter().enumerate() {
        for (index, got) in gradient.iter().enumerate() {
            let shifted = |by: f32| {
                let mut network = network.clone();
                Arc::make_mut(network.parameters_mut().nth(number).unwrap())[index] += by;
                loss_of(&network)
            };
            let expected = (shifted(1.0 / 256.0) - shifted(-1.0 / 256.0)) as f32 * 128.0;
            assert!((got - expected).abs() < 1e-4, "parameter {number}, {index}: expected {expected}, got {got}");
        }
    }
}

#[test]
fn dropout_keeps_the_mean_and_only_works_in_training() {
    let network = Sequential::input([20_000]).dropout(0.3).build().unwrap();
    let ones: Arc<Buffer> = Arc::new(vec![1.0; 20_000].into());
    let drop = |seed| {
        let pass = &mut Pass::training(seed).recording(false);
        let x = pass.input(ones.clone(), 1);
        network.forward_on(x, pass).values.to_vec()
    };
    let dropped = drop(1);
    let zeros = dropped.iter().filter(|v| **v == 0.0).count() as f64 / 20_000.0;
    assert!((zeros - 0.3).abs() < 0.015, "{zeros}");
    assert!(dropped.iter().all(|v| *v == 0.0 || (v - 1.0 / 0.7).abs() < 1e-6));
    assert_eq!(dropped, drop(1));
    assert_ne!(dropped, drop(2));
    assert_eq!(network.run(&ones, 1).unwrap(), ones[..]);
}

#[test]
fn the_bits_do_not_depend_on_the_threads() {
    let bits = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut network =
                Sequential::input([300]).dense(70).selu().dropout(0.5).dense(300).sigmoid().build().unwrap();
            let x: Arc<Buffer> =
                Arc::new((0..300 * 130).map(|i| (i as f32 * 0.1).sin().abs()).collect::<Vec<_>>().into());
            let mut optimizer = OptimizerState::new(Optimizer::adam(), 0.01);
            for step in 0..3 {
                let mut pass = Pass::training(step);
                let input = pass.input(x.clone(), 130);
                let y = network.forward_on(input, &mut pass);
                let (_, loss) = Loss::BinaryCrossEntropy.record(y, &x, 1.0, &mut pass);
                pass.backward(&loss);
                let gradients = pass.gradients(&[&network]);
                optimizer.update(network.parameters_mut(), &gradients);
            }
            network.parameters().flat_map(|p| p.iter().map(|v| v.to_bits()).collect::<Vec<_>>()).collect::<Vec<_>>()
        })
    };
    let one = bits(1);
    assert_eq!(one, bits(2));
    assert_eq!(one, bits(3));
    assert_eq!(one, bits(4));
}

/// Of the two dense layers the first leaves its factors for later, the second sums its gradient shard by shard, as the
/// convolution does.
#[test]
fn a_batch_in_parts_gives_the_gradients_of_the_whole() {
    const ROWS: usize = 200;
    let network =
        Sequential::input([2, 6, 6]).conv2d(5, 3).relu().flatten().dense(200).tanh().dense(2).build().unwrap();
    let postpones = |inputs, units| Pass::shard(4, ROWS).postpones(inputs, units);
    assert!(postpones(80, 200) && !postpones(200, 2));
    let x: Vec<f32> = (0..ROWS * 72).map(|i| (i as f32 * 0.37).sin()).collect();
    let target: Vec<f32> = (0..ROWS * 2).map(|i| (i as f32 * 0.11).cos()).collect();
    let loss_of = |rows: Range<usize>, pass: &mut Pass| {
        let share = rows.len() as f64 / ROWS as f64;
        let values = x[rows.start * 72..rows.end * 72].to_vec();
        let x = pass.input(Arc::new(values.into()), rows.len());
        let x = channels_last(x, &[2, 6, 6], pass);
        let target = target[rows.start * 2..rows.end * 2].to_vec();
        let y = network.forward_on(x, pass);
        let (loss, on_tape) = Loss::MeanSquaredError.record(y, &target.into(), share, pass);
        ([loss], on_tape)
    };
    let mut pass = Pass::training(0);
    let ([mean], loss) = loss_of(0..ROWS, &mut pass);
    pass.backward(&loss);
    let expected = pass.gradients(&[&network]);
    for split in
        [BatchSplit { shard: 64, part: 64 }, BatchSplit { shard: 64, part: 13 }, BatchSplit { shard: 200, part: 30 }]
    {
        let learned = learn_in_parts(ROWS, &[&network], split, 0, |rows, _, pass| loss_of(rows, pass));
        assert!((learned.means[0] - mean).abs() < 1e-6 * mean, "{split:?}: {} is not {mean}", learned.means[0]);
        assert_eq!(learned.gradients.len(), expected.len());
        for (number, (got, expected)) in learned.gradients.iter().zip(&expected).enumerate() {
            assert_close(&format!("{split:?}, gradient {number}"), got, expected, 1e-6);
        }
    }
}

#[test]
fn a_batch_is_split_by_its_size_alone() {
    let tiny = Sequential::input([784]).dense(50).relu().dense(784);
    assert_eq!(BatchSplit::new(8192, &[&tiny]), BatchSplit { shard: 512, part: 512 });
    assert_eq!(
        BatchSplit::new(8192, &[&tiny, &Sequential::input([784]).dense(2000)]),
        BatchSplit { shard: 512, part: 256 }
    );
    assert_eq!(BatchSplit::new(256, &[&tiny]), BatchSplit { shard: 64, part: 64 });
    assert_eq!(BatchSplit::new(5, &[&tiny]), BatchSplit { shard: 64, part: 64 });
    let normalised = Sequential::input([784]).dense(50).batch_norm();
    assert_eq!(BatchSplit::new(8192, &[&tiny, &normalised]), BatchSplit { shard: 8192, part: 8192 });
}

/// In a process of its own with one thread: other tests use the same pools, and threads need buffers at different
/// times.
#[test]
fn a_steady_step_allocates_no_buffers() {
    const ALONE: &str = "LATENTLAB_TEST_ALONE";
    if std::env::var_os(ALONE).is_none() {
        let test = "nn::tests::network::a_steady_step_allocates_no_buffers";
        let mut command = Command::new(std::env::current_exe().unwrap());
        let output = command.args([test, "--exact"]).env(ALONE, "1").env("RAYON_NUM_THREADS", "1").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let plain =
        Sequential::input([1, 12, 12]).conv2d(8, 3).relu().flatten().dense(100).dropout(0.2).dense(144).sigmoid();
    let normalised = Sequential::input([1, 12, 12])
        .conv2d(8, 3)
        .same()
        .batch_norm()
        .relu()
        .max_pool2d(2)
        .up_sample2d(2)
        .conv2d(1, 3)
        .same();
    let recurrent =
        Sequential::input([1, 12, 12]).prelu().group_norm(1).zero_pad2d(2).crop2d(2).gelu().reshape([12, 12]);
    let recurrent = recurrent.lstm(30).return_sequences().layer_norm().gru(20).repeat_vector(12).dense(12);
    for mut network in [plain, normalised, recurrent] {
        let _reuse = Reuse::begin();
        let mut optimizer = OptimizerState::new(Optimizer::adam(), 0.001);
        let mut allocated = Vec::new();
        for seed in 0..6 {
            network.pack(true, false);
            let (rows, part) = if network.needs_whole_batch() { (64, 64) } else { (200, 20) };
            let split = BatchSplit { shard: 64, part };
            let learned = learn_in_parts(rows, &[&network], split, seed, |rows, _, pass| {
                let x = Arc::new(Buffer::zeros(rows.len() * 144));
                let input = pass.input(Arc::clone(&x), rows.len());
                let y = network.forward_on(input, pass);
                let (loss, on_tape) = Loss::MeanSquaredError.record(y, &x, 0.1, pass);
                ([loss], on_tape)
            });
            optimizer.update(network.trainable_mut(), &learned.gradients);
            allocated.push(ALLOCATED.load(Ordering::SeqCst));
        }
        assert!(allocated[0] > 0);
        assert_eq!(allocated[2..], [allocated[1]; 4], "{allocated:?}");
    }
}

/// The layers that another test has not: the same bits with any number of threads, and of a batch in parts the
/// gradients of the whole.
#[test]
fn recurrent_and_normalising_layers_can_be_split() {
    const ROWS: usize = 150;
    let network = Sequential::input([2, 6, 6])
        .zero_pad2d(1)
        .prelu()
        .group_norm(2)
        .crop2d([[1, 0], [0, 1]])
        .silu()
        .layer_norm()
        .reshape([14, 7])
        .lstm(20)
        .return_sequences()
        .dense(9)
        .gelu()
        .gru(12)
        .repeat_vector(2)
        .layer_norm()
        .gru(5)
        .return_sequences()
        .flatten()
        .build()
        .unwrap();
    let x: Vec<f32> = (0..ROWS * 72).map(|i| (i as f32 * 0.37).sin()).collect();
    let learn = |split: BatchSplit, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let step = |rows: Range<usize>, _, pass: &mut Pass| {
            let share = rows.len() as f64 / ROWS as f64;
            let values = x[rows.start * 72..rows.end * 72].to_vec();
            let input = pass.input(Arc::new(values.into()), rows.len());
            let input = channels_last(input, &[2, 6, 6], pass);
            let target = x[rows.start * 10..rows.end * 10].to_vec();
            let y = network.forward_on(input, pass);
            let (loss, on_tape) = Loss::MeanSquaredError.record(y, &target.into(), share, pass);
            ([loss], on_tape)
        };
        pool.install(|| learn_in_parts(ROWS, &[&network], split, 0, step)).gradients
    };
    let expected = learn(BatchSplit { shard: ROWS, part: ROWS }, 1);
    assert!(expected.iter().all(|gradient| gradient.iter().any(|g| *g != 0.0)));
    for split in [BatchSplit { shard: 64, part: 13 }, BatchSplit { shard: ROWS, part: ROWS }] {
        let got = [1, 2, 3].map(|threads| learn(split, threads));
        for (number, expected) in expected.iter().enumerate() {
            assert!(got.iter().all(|other| other[number][..] == got[0][number][..]), "{split:?}, gradient {number}");
            assert_close(&format!("{split:?}, gradient {number}"), &got[0][number], expected, 1e-6);
        }
    }
}

/// Sequences of 10 numbers, of which a code of 3 must tell when and how high a step is.
#[test]
fn a_recurrent_autoencoder_learns() {
    for gru in [false, true] {
        let recurrent = |network: Sequential, units| if gru { network.gru(units) } else { network.lstm(units) };
        let code = recurrent(Sequential::input([10, 1]), 16).dense(3).repeat_vector(10);
        let mut network = recurrent(code, 16).return_sequences().dense(1).build().unwrap();
        let value = |n: usize, t: usize| if t < 1 + n % 8 { 0.0 } else { 1.0 - 0.25 * (n / 8) as f32 };
        let x: Arc<Buffer> = Arc::new((0..24 * 10).map(|i| value(i / 10, i % 10)).collect::<Vec<_>>().into());
        let mut optimizer = OptimizerState::new(Optimizer::adam(), 0.01);
        let mut losses = Vec::new();
        for step in 0..250 {
            let mut pass = Pass::training(step);
            let input = pass.input(x.clone(), 24);
            let y = network.forward_on(input, &mut pass);
            let (mean, loss) = Loss::MeanSquaredError.record(y, &x, 1.0, &mut pass);
            losses.push(mean);
            pass.backward(&loss);
            let gradients = pass.gradients(&[&network]);
            optimizer.update(network.trainable_mut(), &gradients);
        }
        let (first, last) = (losses[0], losses[249]);
        assert!(last < 0.1 * first, "gru {gru}: {first} before, {last} after");
    }
}

/// Twenty images of 8×8, given back through every kind of layer but softmax.
#[test]
fn a_network_of_every_layer_learns() {
    let mut network = Sequential::input([1, 8, 8])
        .conv2d(8, 3)
        .same()
        .batch_norm()
        .leaky_relu(0.2)
        .max_pool2d(2)
        .flatten()
        .dense(6)
        .tanh()
        .dropout(0.1)
        .dense(32)
        .selu()
        .reshape([8, 2, 2])
        .conv_transpose2d(8, 3)
        .stride(2)
        .same()
        .relu()
        .up_sample2d(2)
        .conv2d(1, 3)
        .same()
        .sigmoid()
        .build()
        .unwrap();
    // A bright square in one of four corners, of one of five sizes.
    let pixel = |n: usize, y: usize, x: usize| {
        let (size, corner) = (2 + n / 4, n % 4);
        let (y, x) = (if corner < 2 { y } else { 7 - y }, if corner % 2 == 0 { x } else { 7 - x });
        if y < size && x < size { 1.0 } else { 0.0 }
    };
    let x: Vec<f32> = (0..20 * 64).map(|i| pixel(i / 64, i / 8 % 8, i % 8)).collect();
    let x: Arc<Buffer> = Arc::new(x.into());
    let mut optimizer = OptimizerState::new(Optimizer::adam(), 0.01);
    let mut losses = Vec::new();
    for step in 0..150 {
        let mut pass = Pass::training(step);
        let input = pass.input(x.clone(), 20);
        let y = network.forward_on(input, &mut pass);
        let (mean, loss) = Loss::MeanSquaredError.record(y, &x, 1.0, &mut pass);
        losses.push(mean);
        let statistics = pass.take_statistics(network.statistic_keys());
        pass.backward(&loss);
        let gradients = pass.gradients(&[&network]);
        optimizer.update(network.trainable_mut(), &gradients);
        network.statistics_mut().zip(statistics.into_iter().flatten()).for_each(|(old, new)| *old = Arc::new(new));
    }
    let (first, last) = (losses[0], losses[149]);
    assert!(last < 0.2 * first, "{first} before, {last} after");
    let predicted = mean(Loss::MeanSquaredError, &network.run(&x, 20).unwrap(), &x);
    assert!(predicted < 0.3 * first, "{first} before, {predicted} in prediction");
}

/// A rectified linear unit that turned NaN into 0 would hide a diverged network; one that turned ∞ into NaN would hide
/// why it did.
#[test]
fn nothing_hides_an_overflow() {
    for units in [1, 3, 17, 40] {
        for network in [Sequential::input([1]).dense(units).relu(), Sequential::input([1]).dense(units).leaky_relu(0.2)]
        {
            let mut network = network.build().unwrap();
            network.trainable_mut().for_each(|weights| Arc::make_mut(weights).fill(1.0));
            let y = network.run(&[f32::NAN, f32::INFINITY, 2.0], 3).unwrap();
            let rows: Vec<&[f32]> = y.chunks(units).collect();
            assert!(rows[0].iter().all(|y| y.is_nan()), "{rows:?}");
            assert_eq!(rows[1..], [vec![f32::INFINITY; units], vec![3.0; units]]);
        }
    }
}

/// In predictions batch normalisation is part of the weights before it; recorded, as here for the comparison, it is a
/// layer.
#[test]
fn folded_normalisation_predicts_the_same() {
    let maps = || Sequential::input([2, 5, 5]);
    let plain = maps().conv2d(6, 3).same().batch_norm().leaky_relu(0.2).max_pool2d(2).conv_transpose2d(3, 3).stride(2);
    let plain = plain.batch_norm().up_sample2d(2).conv2d(4, 3).batch_norm().relu().flatten().dense(7).batch_norm();
    let spread = maps().conv2d(6, 3).same().dilation(2).groups(2).batch_norm().relu().conv2d(6, 3).groups(6).same();
    let spread = spread.use_bias(false).batch_norm().leaky_relu(0.2);
    let spread = spread.conv_transpose2d(4, [3, 2]).groups(2).stride(2).use_bias(false).batch_norm();
    let spread = spread.conv_transpose2d(4, 3).groups(4).dilation(2).batch_norm().up_sample2d(2).bilinear();
    folds(plain.build().unwrap(), 4);
    folds(spread.conv2d(4, 3).batch_norm().build().unwrap(), 5);
}

fn folds(mut network: Sequential, times: usize) {
    assert_eq!(network.prediction_plan().unwrap().to_string().matches("folded").count(), times);
    let x: Arc<Buffer> = Arc::new((0..3 * 50).map(|i| (i as f32 * 0.37).sin()).collect::<Vec<_>>().into());
    let both = |network: &Sequential| {
        let pass = &mut Pass::prediction().recording(true);
        let first = pass.input(Arc::clone(&x), 3);
        let first = channels_last(first, &[2, 5, 5], pass);
        let recorded = network.forward_on(first, pass);
        let recorded = channels_first(recorded, network.output_shape(), pass);
        (network.run(&x, 3).unwrap(), recorded.values.to_vec())
    };
    let (before, _) = both(&network);
    // Other statistics, γ and β than the first ones, which change nothing.
    for (number, values) in network.parameters_mut().enumerate() {
        let all = Arc::make_mut(values);
        all.iter_mut().enumerate().for_each(|(i, value)| *value += 0.3 + 0.2 * ((i + 3 * number) as f32).sin());
    }
    let (predicted, recorded) = both(&network);
    assert_close("predicted", &predicted, &recorded, 1e-4);
    assert_ne!(before, predicted);
}

#[test]
fn a_layer_without_a_bias_is_one_whose_bias_is_zero() {
    let network = |bias| {
        let maps = Sequential::input([2, 6, 6]).seed(3).conv2d(4, 3).same().use_bias(bias).leaky_relu(0.2);
        let maps = maps.conv2d(4, 3).groups(2).use_bias(bias).batch_norm().relu().up_sample2d(2);
        let maps = maps.conv2d(3, 3).use_bias(bias).relu().conv_transpose2d(3, 3).stride(2).use_bias(bias).batch_norm();
        maps.flatten().dense(8).use_bias(bias).relu().dense(2).use_bias(bias).build().unwrap()
    };
    let (with, mut without) = (network(true), network(false));
    assert_eq!(with.parameter_count() - without.parameter_count(), 4 + 4 + 3 + 3 + 8 + 2);
    assert_eq!(with.plan().unwrap().to_string(), without.plan().unwrap().to_string());
    let names = without.weight_names();
    assert!(names.iter().all(|name| !name.ends_with("bias")), "{names:?}");
    // The biases of the other one begin at 0.
    names.iter().for_each(|name| without.set_weights(name, &with.weights(name).unwrap()).unwrap());
    let x = ndarray::Array4::from_shape_fn((3, 2, 6, 6), |(n, c, y, x)| ((n * 72 + c * 36 + y * 6 + x) as f32).sin());
    let run = |network: &Sequential| network.run(x.as_slice().unwrap(), 3).unwrap();
    assert_eq!(run(&with), run(&without));
    let gradients = |network: &Sequential| {
        let step = Step::new(0);
        let loss = network.forward(&step.input(&x)).square().mean();
        step.backward(&loss).unwrap().of(network)
    };
    let of_weights = gradients(&with).into_iter().filter(|(name, _)| !name.ends_with("bias"));
    assert_eq!(of_weights.collect::<Vec<_>>(), gradients(&without));
    let error = Sequential::input([4]).relu().use_bias(false).build().unwrap_err().to_string();
    assert_eq!(error, "after layer 1, .use_bias(): expected a dense, conv2d or conv_transpose2d before it, got relu");
}

/// A network that ends earlier has the same weights, and none of what the longer one has prepared for itself.
#[test]
fn the_first_layers_alone_are_a_network() {
    let short = || Sequential::input([1, 8, 8]).seed(3).conv2d(4, 3).relu().max_pool2d(2);
    let long = short().up_sample2d(2).conv2d(2, 3).batch_norm().build().unwrap();
    let x: Vec<f32> = (0..2 * 64).map(|i| (i as f32 * 0.37).sin()).collect();
    let whole = long.run(&x, 2).unwrap();
    for (layers, expected) in [
        (0, x.clone()),
        (1, Sequential::input([1, 8, 8]).seed(3).conv2d(4, 3).run(&x, 2).unwrap()),
        (3, short().run(&x, 2).unwrap()),
        (6, whole.clone()),
        (99, whole),
    ] {
        assert_eq!(long.take(layers).run(&x, 2).unwrap(), expected, "{layers} layers");
    }
    assert_eq!(long.take(3).output_shape(), [4, 3, 3]);
}
