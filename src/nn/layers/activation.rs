use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{BLOCK, Layer, Operation, Place};
use crate::nn::{
    sequential::Sequential,
    tape::{Pass, Tape, Variable, record},
};

/// An element-wise activation, y = f(x); shapes stay as they are. Every derivative here can be had from y alone, so the
/// input's buffer is overwritten and only y is kept for the way back: ∂x = g · f′.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "function", rename_all = "snake_case")]
pub(crate) enum Activation {
    Relu,
    LeakyRelu { slope: f32 },
    Selu,
    Tanh,
    Sigmoid,
}

/// α and λ of SELU (Klambauer et al. 2017, "Self-Normalizing Neural Networks").
const SELU_ALPHA: f32 = 1.673_263_2;
const SELU_SCALE: f32 = 1.050_701;

impl Sequential {
    /// Rectified linear unit, max(0, x); any shape, unchanged.
    pub fn relu(self) -> Self {
        self.push(Layer::Activation(Activation::Relu))
    }

    /// Leaky rectified linear unit: x where x > 0, `slope`·x elsewhere; any shape, unchanged.
    ///
    /// `slope` must be in (0, 1]. Keras' default is 0.3 (`negative_slope`), PyTorch's 0.01; the reports use 0.2.
    pub fn leaky_relu(self, slope: f32) -> Self {
        self.push(Layer::Activation(Activation::LeakyRelu { slope }))
    }

    /// Scaled exponential linear unit (Klambauer et al. 2017): λ·x where x > 0, λ·α·(eˣ − 1) elsewhere, with
    /// λ = 1.0507 and α = 1.6733; any shape, unchanged.
    pub fn selu(self) -> Self {
        self.push(Layer::Activation(Activation::Selu))
    }

    /// Hyperbolic tangent, into (−1, 1); any shape, unchanged.
    pub fn tanh(self) -> Self {
        self.push(Layer::Activation(Activation::Tanh))
    }

    /// Logistic sigmoid, 1 / (1 + e⁻ˣ), into (0, 1); any shape, unchanged.
    ///
    /// As a network's last layer it goes well with [`Loss::BinaryCrossEntropy`](crate::Loss::BinaryCrossEntropy): training
    /// then computes the two together from the logits, which stays exact where the sigmoid has saturated.
    pub fn sigmoid(self) -> Self {
        self.push(Layer::Activation(Activation::Sigmoid))
    }
}

impl Activation {
    /// The slope below 0 of the rectified linear ones.
    pub(super) fn slope(self) -> Option<f32> {
        match self {
            Self::Relu => Some(0.0),
            Self::LeakyRelu { slope } => Some(slope),
            _ => None,
        }
    }

    fn apply(self, values: &mut [f32]) {
        let each = |f: &dyn Fn(f32) -> f32, values: &mut [f32]| values.iter_mut().for_each(|v| *v = f(*v));
        match self {
            // `f32::max` would turn NaN into 0 and hide a diverged network.
            Self::Relu => values.iter_mut().for_each(|v| *v = if *v < 0.0 { 0.0 } else { *v }),
            Self::LeakyRelu { slope } => values.iter_mut().for_each(|v| *v *= if *v < 0.0 { slope } else { 1.0 }),
            Self::Selu => {
                each(&|v| if v > 0.0 { SELU_SCALE * v } else { SELU_SCALE * SELU_ALPHA * v.exp_m1() }, values)
            }
            Self::Tanh => each(&f32::tanh, values),
            Self::Sigmoid => each(&sigmoid, values),
        }
    }

    /// Turns the gradient of y into that of x.
    fn apply_backward(self, y: &[f32], gradient: &mut [f32]) {
        let pairs = gradient.iter_mut().zip(y);
        match self {
            Self::Relu => pairs.for_each(|(g, y)| *g *= if *y > 0.0 { 1.0 } else { 0.0 }),
            Self::LeakyRelu { slope } => pairs.for_each(|(g, y)| *g *= if *y > 0.0 { 1.0 } else { slope }),
            Self::Selu => {
                pairs.for_each(|(g, y)| *g *= if *y > 0.0 { SELU_SCALE } else { y + SELU_SCALE * SELU_ALPHA })
            }
            Self::Tanh => pairs.for_each(|(g, y)| *g *= 1.0 - y * y),
            Self::Sigmoid => pairs.for_each(|(g, y)| *g *= y * (1.0 - y)),
        }
    }
}

/// 1 / (1 + e⁻ˣ), without overflow for any x.
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

impl Operation for Activation {
    fn name(&self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::LeakyRelu { .. } => "leaky_relu",
            Self::Selu => "selu",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
        }
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        match self {
            // A slope of 0 is ReLU; with a negative one y no longer tells the sign of x.
            Self::LeakyRelu { slope } if !(*slope > 0.0 && *slope <= 1.0) => {
                Err(format!("expected a slope in (0, 1], got {slope}"))
            }
            _ => Ok(input.to_vec()),
        }
    }

    fn forward<T: Tape>(&self, x: Variable<T>, _place: Place<'_>, _pass: &mut Pass) -> Variable<T> {
        let (mut x, tape) = x.split();
        let (rows, needs_gradient, activation) = (x.rows, x.needs_gradient, *self);
        let mut y = x.take_values();
        y.par_chunks_mut(BLOCK).for_each(|block| activation.apply(block));
        let y = Arc::new(y);
        record(tape, Arc::clone(&y), rows, needs_gradient, move |mut gradient, gradients| {
            gradient.par_chunks_mut(BLOCK).zip(y.par_chunks(BLOCK)).for_each(|(g, y)| activation.apply_backward(y, g));
            gradients.add_to(&x, gradient);
        })
    }
}
