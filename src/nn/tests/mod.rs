//! Every layer against PyTorch and Keras ([`frameworks`]), against the plain formulas ([`plain`]) over random shapes ([`shapes`]), and what a
//! network promises as a whole.

mod builder;
mod frameworks;
mod instructions;
mod network;
mod plain;
mod shapes;

use std::sync::{Arc, OnceLock};

use super::{
    layers::{Layer, Operation, Place, Weights},
    loss::Loss,
    tape::{NotRecording, Pass, Tape, Variable},
};
use crate::engine::Buffer;

/// The mean loss of outputs and targets.
fn mean(loss: Loss, output: &[f32], target: &[f32]) -> f64 {
    let output = Variable::<NotRecording>::input(Arc::new(output.to_vec().into()), 1);
    loss.record(output, &target.to_vec().into(), 1.0).0
}

/// A layer in a place of its own.
struct Single<'a> {
    layer: &'a Layer,
    /// The shape of its input, without the batch, channels first.
    input: &'a [usize],
    weights: &'a [Weights],
    slope: f32,
    enlarged: [usize; 2],
}

impl Single<'_> {
    /// What the layer makes of each of some batches (pictures are channels last), in turn and in the same place. Of a tracked one the
    /// gradient comes first among those of the pass.
    fn forward<T: Tape, const N: usize>(&self, batches: [(&[f32], bool, &mut Pass); N]) -> [Variable<T>; N] {
        let (prepared, packed) = (OnceLock::new(), Arc::default());
        let place = Place {
            input: self.input,
            weights: self.weights,
            slope: self.slope,
            pool: None,
            enlarged: self.enlarged,
            normalised: false,
            prepared: &prepared,
            packed: &packed,
        };
        batches.map(|(x, tracked, pass)| {
            let rows = x.len() * self.enlarged[0] * self.enlarged[1] / self.input.iter().product::<usize>();
            let values: Arc<Buffer> = Arc::new(x.to_vec().into());
            let x = if tracked { Variable::tracked(values, rows, pass) } else { Variable::input(values, rows) };
            self.layer.forward(x, place, pass)
        })
    }
}

fn shared(parameters: &[Vec<f32>]) -> Vec<Weights> {
    parameters.iter().cloned().map(Arc::new).collect()
}

fn assert_close(name: &str, got: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(got.len(), expected.len(), "{name}");
    for (index, (g, e)) in got.iter().zip(expected).enumerate() {
        let bound = tolerance * e.abs().max(1.0);
        assert!((g - e).abs() <= bound, "{name}, value {index}: expected {e}, got {g}");
    }
}
