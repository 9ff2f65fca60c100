//! What the tape promises: a value may be used by several operations and an operation may take several values; a step
//! may run a network twice, or two networks. Each against the same in double precision, or against the sum of its
//! parts.

use std::sync::Arc;

use super::{assert_close, backward};
use crate::{
    engine::{Buffer, is_better_by_units},
    nn::{
        layers::channels_last,
        loss::Loss,
        sequential::Sequential,
        step::{BatchSplit, learn_in_parts},
        tape::{Pass, Variable},
        tensor::Tensor,
    },
};

/// a + b.
fn add(a: &Variable, b: &Variable, pass: &mut Pass) -> Variable {
    let sum = a.values.iter().zip(b.values.iter()).map(|(a, b)| a + b).collect::<Vec<_>>();
    let (a, b) = (a.clone(), b.clone());
    pass.record(Arc::new(sum.into()), a.rows, a.needs_gradient || b.needs_gradient, move |g, gradients| {
        gradients.add_to(&a, g.clone());
        gradients.add_to(&b, g);
    })
}

/// a · b, value by value.
fn multiply(a: &Variable, b: &Variable, pass: &mut Pass) -> Variable {
    let times = |a: &[f32], b: &[f32]| Buffer::from(a.iter().zip(b).map(|(a, b)| a * b).collect::<Vec<_>>());
    let (a, b) = (a.clone(), b.clone());
    let values = Arc::new(times(&a.values, &b.values));
    pass.record(values, a.rows, a.needs_gradient || b.needs_gradient, move |g, gradients| {
        gradients.add_to(&a, times(&g, &b.values));
        gradients.add_to(&b, times(&g, &a.values));
    })
}

fn wave(count: usize, speed: f32) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * speed).sin()).collect()
}

/// (a·b + a)·a, in which a is used three times and its product with b once: a²b + a².
#[test]
fn gradients_of_a_value_add_up() {
    let (a_values, b_values, g) = (wave(40, 0.7), wave(40, 0.3), wave(40, 1.1));
    let mut pass = Pass::training(0);
    let [a, b] = [&a_values, &b_values].map(|values| pass.tracked(Arc::new(values.clone().into()), 8));
    let product = multiply(&a, &b, &mut pass);
    let sum = add(&product, &a, &mut pass);
    let y = multiply(&sum, &a, &mut pass);
    backward(&y, &g, &mut pass);
    let (a_gradient, b_gradient) = (pass.gradient(&a), pass.gradient(&b));
    for i in 0..40 {
        let [a, b, g] = [a_values[i], b_values[i], g[i]].map(f64::from);
        for (what, got, expected) in [
            ("y", y.values[i], a * a * b + a * a),
            ("gradient of a", a_gradient[i], g * (2.0 * a * b + 2.0 * a)),
            ("gradient of b", b_gradient[i], g * a * a),
        ] {
            assert!((f64::from(got) - expected).abs() < 1e-6, "{what}, {i}: expected {expected}, got {got}");
        }
    }
}

/// An operation that works in place must not touch values that something else still uses.
#[test]
fn a_skip_around_a_network_sees_its_input() {
    let network = Sequential::input([6]).tanh().build().unwrap();
    let (x, g) = (wave(24, 0.37), wave(24, 0.9));
    let mut pass = Pass::training(0);
    let input = pass.tracked(Arc::new(x.clone().into()), 4);
    let inner = network.forward_on(input.clone(), &mut pass);
    let y = add(&inner, &input, &mut pass);
    backward(&y, &g, &mut pass);
    let gradient = pass.gradient(&input);
    for i in 0..24 {
        let (x, g) = (f64::from(x[i]), f64::from(g[i]));
        assert!((f64::from(y.values[i]) - (x.tanh() + x)).abs() < 1e-6);
        assert!((f64::from(gradient[i]) - g * (2.0 - x.tanh().powi(2))).abs() < 1e-6);
    }
}

fn network() -> Sequential {
    Sequential::input([2, 4, 4]).conv2d(3, 3).batch_norm().relu().flatten().dense(5).tanh().dense(2).build().unwrap()
}

/// The mean squared error of what a network makes of x.
fn loss(network: &Sequential, x: &[f32], target: &[f32], pass: &mut Pass) -> Variable {
    let x = pass.input(Arc::new(Buffer::from(x)), x.len() / 32);
    let x = channels_last(x, &[2, 4, 4], pass);
    let y = network.forward_on(x, pass);
    Loss::MeanSquaredError.record(y, &Buffer::from(target), 1.0, pass).1
}

fn gradients(networks: &[&Sequential], losses: impl Fn(&mut Pass) -> Vec<Variable>) -> Vec<Buffer> {
    let mut pass = Pass::training(0);
    let losses = losses(&mut pass);
    let total = losses[1..].iter().fold(losses[0].clone(), |total, loss| add(&total, loss, &mut pass));
    pass.backward(&total);
    pass.gradients(networks)
}

#[test]
fn a_network_that_runs_twice_gets_the_sum_of_both_gradients() {
    let network = network();
    let (x, target) = (wave(2 * 32 * 6, 0.37), wave(2 * 2 * 6, 0.11));
    let half =
        |which: usize, pass: &mut Pass| loss(&network, &x[which * 192..][..192], &target[which * 12..][..12], pass);
    let both = gradients(&[&network], |pass| vec![half(0, pass), half(1, pass)]);
    let [first, second] = [0, 1].map(|which| gradients(&[&network], |pass| vec![half(which, pass)]));
    for (number, (both, parts)) in both.iter().zip(first.iter().zip(&second)).enumerate() {
        let sum: Vec<f32> = parts.0.iter().zip(parts.1.iter()).map(|(first, second)| first + second).collect();
        assert_close(&format!("gradient {number}"), both, &sum, 1e-6);
        assert!(both.iter().any(|g| *g != 0.0) || number == 1, "gradient {number} is 0"); // 1 is an idle bias
    }
    // The second run goes on from the running statistics that the first one has noted.
    let mut pass = Pass::training(0);
    let mut noted = |which| {
        half(which, &mut pass);
        network.statistic_keys().map(|key| pass.observed(key).unwrap().to_vec()).collect::<Vec<_>>()
    };
    let (once, twice) = (noted(0), noted(1));
    let mut alone = Pass::training(0);
    half(1, &mut alone);
    for (index, key) in network.statistic_keys().enumerate() {
        let start = [0.0, 1.0][index];
        let noted = alone.observed(key).unwrap();
        let batch = noted.iter().map(|moved| (moved - 0.99 * start) / 0.01);
        let expected: Vec<f32> =
            once[index].iter().zip(batch).map(|(once, batch)| 0.99 * once + 0.01 * batch).collect();
        assert_close("running statistic", &twice[index], &expected, 1e-5);
    }
}

#[test]
fn two_networks_in_one_step_have_gradients_of_their_own() {
    // Two that share their first weights until one of them changes.
    let first = network();
    let second = first.clone();
    let (x, target, other) = (wave(32 * 6, 0.37), wave(12, 0.11), wave(12, 0.23));
    let alone =
        |network: &Sequential, target: &[f32]| gradients(&[network], |pass| vec![loss(network, &x, target, pass)]);
    let expected = [alone(&first, &target), alone(&second, &other)];
    let losses = |pass: &mut Pass| vec![loss(&first, &x, &target, pass), loss(&second, &x, &other, pass)];
    let equal = |got: &[Buffer], expected: &[&[Buffer]]| {
        let expected: Vec<&Buffer> = expected.iter().copied().flatten().collect();
        assert_eq!(got.len(), expected.len());
        got.iter().zip(expected).for_each(|(got, expected)| assert_eq!(got[..], expected[..]));
    };
    equal(&gradients(&[&first, &second], losses), &[&expected[0], &expected[1]]);
    // In the order in which they are asked for, not in that in which the pass meets them.
    equal(&gradients(&[&second, &first], losses), &[&expected[1], &expected[0]]);
    equal(&gradients(&[&second], losses), &[&expected[1]]);
}

/// A dense layer hands its loss what it does first with the gradient of its output, which others may add to.
#[test]
fn a_rectified_output_that_others_use_too_gets_the_sum_of_their_gradients() {
    let whole = Sequential::input([6]).dense(9).leaky_relu(0.2).build().unwrap();
    let apart = [Sequential::input([6]).dense(9), Sequential::input([9]).leaky_relu(0.2)].map(|n| n.build().unwrap());
    let (x, targets) = (wave(6 * 40, 0.37), [0.11, 0.23].map(|speed| Buffer::from(wave(9 * 40, speed))));
    for loss in [Loss::MeanSquaredError, Loss::BinaryCrossEntropy, Loss::BinaryCrossEntropyWithLogits] {
        let learn = |networks: &[&Sequential]| {
            gradients(networks, |pass| {
                let x = pass.input(Arc::new(Buffer::from(&x[..])), 40);
                let y = networks.iter().fold(x, |x, network| network.forward_on(x, pass));
                let square = multiply(&y, &y, pass);
                let first = loss.record(y.clone(), &targets[0], 0.7, pass).1;
                let second = Loss::MeanSquaredError.record(y, &targets[1], 1.0, pass).1;
                let third = Loss::MeanSquaredError.record(square, &targets[1], 1.0, pass).1;
                vec![multiply(&first, &first, pass), second, third]
            })
        };
        let (got, expected) = (learn(&[&whole]), learn(&[&apart[0], &apart[1]]));
        for (number, (got, expected)) in got.iter().zip(&expected).enumerate() {
            assert_close(&format!("{}, gradient {number}", loss.name()), got, expected, 1e-6);
            assert!(got.iter().all(|g| *g != 0.0));
        }
    }
}

/// Also where the gradient of a dense layer is multiplied or transposed only when all shards are done; meanwhile a
/// penalty takes the weights themselves.
#[test]
fn a_network_that_runs_twice_in_each_shard_gets_the_sum_too() {
    const ROWS: usize = 160;
    const WIDTH: usize = 80;
    const UNITS: usize = 101;
    let network = Sequential::input([WIDTH]).dense(UNITS).tanh().dense(WIDTH).build().unwrap();
    let postpones = |shards| Pass::shard(shards, ROWS).postpones(WIDTH, UNITS);
    assert!(postpones(5) && !postpones(3) && is_better_by_units(WIDTH, UNITS));
    let x = wave(ROWS * WIDTH, 0.37);
    let learn = |split| {
        let step = |rows: std::ops::Range<usize>, _, pass: &mut Pass| {
            let share = rows.len() as f64 / ROWS as f64;
            let target = Buffer::from(&x[rows.start * WIDTH..rows.end * WIDTH]);
            let input = pass.input(Arc::new(target.clone()), rows.len());
            let once = network.forward_on(input, pass);
            let twice = network.forward_on(once, pass);
            pass.add_penalty(Tensor::weights(&network, "1.weight", pass).square().sum() * (1e-4 * share as f32));
            let (loss, on_tape) = Loss::MeanSquaredError.record(twice, &target, share, pass);
            ([loss], on_tape)
        };
        learn_in_parts(ROWS, &[&network], split, 0, step)
    };
    let expected = learn(BatchSplit { shard: ROWS, part: ROWS });
    for split in [BatchSplit { shard: 32, part: 32 }, BatchSplit { shard: 64, part: 21 }] {
        let got = learn(split);
        assert!((got.means[0] - expected.means[0]).abs() < 1e-6);
        for (number, (got, expected)) in got.gradients.iter().zip(&expected.gradients).enumerate() {
            assert_close(&format!("{split:?}, gradient {number}"), got, expected, 1e-6);
        }
    }
}
