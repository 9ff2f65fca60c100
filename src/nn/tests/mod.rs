//! Every layer against PyTorch and Keras ([`frameworks`]), against the plain formulas ([`plain`]) over random shapes
//! ([`shapes`]), and what a network promises as a whole.

mod bridge;
mod builder;
mod frameworks;
mod instructions;
mod network;
mod plain;
mod plan;
mod shapes;
mod tape;
mod tensor;
mod tensors_of_pytorch;

use std::sync::Arc;

use super::{
    layers::{Layer, Weights},
    loss::Loss,
    plan::PlanStep,
    tape::{ParameterKey, Pass, Variable},
};
use crate::engine::Buffer;

/// The mean loss of outputs and targets.
fn mean(loss: Loss, output: &[f32], target: &[f32]) -> f64 {
    let mut pass = Pass::prediction();
    let output = pass.input(Arc::new(output.to_vec().into()), 1);
    loss.record(output, &target.to_vec().into(), 1.0, &mut pass).0
}

/// A layer by itself, as a step of a plan.
struct Single<'a> {
    step: PlanStep,
    weights: &'a [Weights],
}

impl<'a> Single<'a> {
    /// For an input of that shape, without the batch, channels first.
    fn new(layer: &Layer, input: &[usize], weights: &'a [Weights]) -> Self {
        Self { step: PlanStep::new(layer, input, &[]), weights }
    }

    /// What the layer makes of a batch (feature maps are channels last); the input needs no gradient unless it is
    /// tracked. Returns the input, too.
    fn forward(&self, x: &[f32], tracked: bool, pass: &mut Pass) -> [Variable; 2] {
        let enlarged: usize = self.step.fused.up_sample.iter().product();
        let rows = x.len() * enlarged / self.step.input.iter().product::<usize>();
        let values: Arc<Buffer> = Arc::new(x.to_vec().into());
        let x = if tracked { pass.tracked(values, rows) } else { pass.input(values, rows) };
        [x.clone(), self.step.forward(self.weights, 0, x, pass)]
    }

    /// The gradients of the parameters that it learns, after the backward pass.
    fn gradients(&self, pass: Pass) -> Vec<Buffer> {
        let specs = self.step.layer.operation().parameters(&self.step.input).into_iter().enumerate();
        let learned = specs.filter(|(_, spec)| spec.trainable());
        let keys = learned.map(|(number, _)| (ParameterKey { network: 0, number }, self.weights[number].len()));
        let gradients = pass.into_gradients(keys).into_iter();
        gradients.map(|gradient| gradient.sum.unwrap_or_else(|| Buffer::zeros(gradient.length))).collect()
    }

    /// The new values of the statistics that it observes.
    fn statistics(&self, pass: &mut Pass) -> Vec<Vec<f32>> {
        let keys = (0..self.weights.len()).map(|number| ParameterKey { network: 0, number });
        pass.take_statistics(keys).into_iter().flatten().collect()
    }
}

/// Runs the tape backwards with `g` as the gradient of an output.
fn backward(output: &Variable, g: &[f32], pass: &mut Pass) {
    let (output, g) = (output.clone(), Buffer::from(g));
    let end = pass.record(Arc::new(vec![0.0].into()), 1, true, move |_, gradients| gradients.add_to(&output, g));
    pass.backward(&end);
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
