//! Layers and losses of dfdx's tensors give what ours give: outputs and gradients.

use std::sync::Arc;

use dfdx::{
    shapes::{Axis, HasShape},
    tensor::{NoneTape, WithEmptyTape},
    tensor_ops::{BroadcastTo, MeanTo, SumTo},
};

use super::{assert_close, mean};
use crate::{
    engine::Buffer,
    nn::{
        bridge::DfdxTensor,
        loss::Loss,
        sequential::Sequential,
        step::{BatchSplit, learn_in_parts},
        tape::Pass,
    },
};

fn sigmoid(x: DfdxTensor) -> DfdxTensor {
    x.sigmoid()
}

fn squared_error(output: DfdxTensor, target: DfdxTensor<(usize, usize), NoneTape>) -> DfdxTensor<()> {
    (output - target).square().mean()
}

const ROWS: usize = 150;

fn wave(count: usize, speed: f32) -> Vec<f32> {
    (0..count).map(|i| (i as f32 * speed).sin()).collect()
}

/// The mean loss and the gradients of a batch in parts.
fn learn(network: &Sequential, loss: Loss, split: BatchSplit) -> (f64, Vec<Buffer>) {
    let (x, target) = (wave(ROWS * 12, 0.37), wave(ROWS * 5, 0.11));
    let learned = learn_in_parts(ROWS, &[network], split, 0, |rows, _, pass| {
        let share = rows.len() as f64 / ROWS as f64;
        let input = pass.input(Arc::new(Buffer::from(&x[rows.start * 12..rows.end * 12])), rows.len());
        let y = network.forward_on(input, pass);
        let target = Buffer::from(&target[rows.start * 5..rows.end * 5]);
        let (loss, on_tape) = loss.record(y, &target, share, pass);
        ([loss], on_tape)
    });
    (learned.means[0], learned.gradients)
}

#[test]
fn what_dfdx_differentiates_has_the_gradients_of_ours() {
    let start = || Sequential::input([12]).dense(9);
    let ours = start().sigmoid().dense(5).build().unwrap();
    let bridged = start().dfdx("their sigmoid", sigmoid).dense(5).build().unwrap();
    let loss = Loss::dfdx("their squared error", squared_error);
    assert_eq!((bridged.nodes()[1].layer.name(), loss.name()), ("their sigmoid", "their squared error"));
    let x = wave(ROWS * 12, 0.37);
    assert_close("prediction", &bridged.run(&x, ROWS).unwrap(), &ours.run(&x, ROWS).unwrap(), 1e-6);
    for split in [BatchSplit { shard: ROWS, part: ROWS }, BatchSplit { shard: 64, part: 30 }] {
        let (expected, gradients) = learn(&ours, Loss::MeanSquaredError, split);
        for (network, loss) in [(&bridged, Loss::MeanSquaredError), (&ours, loss), (&bridged, loss)] {
            let (mean, got) = learn(network, loss, split);
            assert!((mean - expected).abs() < 1e-6, "{loss:?}: expected {expected}, got {mean}");
            for (number, (got, expected)) in got.iter().zip(&gradients).enumerate() {
                assert_close(&format!("{loss:?}, gradient {number}"), got, expected, 1e-6);
            }
        }
    }
    let (y, target) = (wave(40, 0.3), wave(40, 0.7));
    assert!((mean(loss, &y, &target) - mean(Loss::MeanSquaredError, &y, &target)).abs() < 1e-6);
}

/// A function may drop the tape that it was given: then it has no gradient, and ours go on.
#[test]
fn a_function_that_drops_its_tape_has_no_gradient() {
    fn constant(x: DfdxTensor) -> DfdxTensor {
        x.with_empty_tape().square().with_empty_tape()
    }
    let network = Sequential::input([4]).dense(3).dfdx("constant", constant).dense(2).build().unwrap();
    let mut pass = Pass::training(0);
    let x = pass.input(Arc::new(wave(8, 0.4).into()), 2);
    let y = network.forward_on(x, &mut pass);
    let (_, loss) = Loss::MeanSquaredError.record(y, &wave(4, 0.2).into(), 1.0, &mut pass);
    pass.backward(&loss);
    let gradients = pass.gradients(&[&network]);
    assert!(gradients[..2].iter().all(|gradient| gradient.iter().all(|g| *g == 0.0)));
    assert!(gradients[2..].iter().all(|gradient| gradient.iter().any(|g| *g != 0.0)));
}

#[test]
fn functions_that_do_not_fit_are_refused() {
    fn one_row(x: DfdxTensor) -> DfdxTensor {
        let columns = x.shape().1;
        let sum = x.sum::<(usize,), Axis<0>>();
        sum.broadcast_like::<(usize, usize), Axis<0>>(&(1, columns))
    }
    fn panics(_: DfdxTensor) -> DfdxTensor {
        panic!("a mistake in a cell")
    }
    let flat = || Sequential::input([3]);
    for (network, expected) in [
        (
            Sequential::input([1, 3, 3]).dfdx("maps", sigmoid),
            "expected a flat input [k], got [1, 3, 3]; put .flatten() before it",
        ),
        (flat().dfdx("maps", one_row), "expected (2, k) of its function for an input of 2 rows, got (1, 3)"),
        (flat().dfdx("maps", panics), "its function panicked with an input of shape (2, 3): a mistake in a cell"),
    ] {
        assert_eq!(network.build().unwrap_err().to_string(), format!("layer 1, maps: {expected}"));
    }
    let file = std::env::temp_dir().join(format!("latentlab-bridge-{}.safetensors", std::process::id()));
    let error = flat().dfdx("swish", sigmoid).save(&file).unwrap_err().to_string();
    assert!(error.contains("the layer swish is a function (Sequential::dfdx), which a file cannot hold"), "{error}");
    assert!(!file.exists());
}
