use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{LayerContext, Operation};
use crate::{
    engine::{BLOCK, OnThreads, tiny_to_zero, vectorized},
    nn::{
        sequential::Sequential,
        tape::{Pass, Variable},
    },
};

/// An element-wise activation, y = f(x); shapes stay as they are. Every derivative here can be had from y alone, so the
/// input's buffer is overwritten and only y is kept for the backward pass: ∂x = g · f′.
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
        self.push(Activation::Relu)
    }

    /// Leaky rectified linear unit: x where x > 0, `slope`·x elsewhere; any shape, unchanged.
    ///
    /// `slope` must be in (0, 1]. Keras' default is 0.3 (`negative_slope`), PyTorch's 0.01; the reports use 0.2.
    pub fn leaky_relu(self, slope: f32) -> Self {
        self.push(Activation::LeakyRelu { slope })
    }

    /// Scaled exponential linear unit (Klambauer et al. 2017): λ·x where x > 0, λ·α·(eˣ − 1) elsewhere, with
    /// λ = 1.0507 and α = 1.6733; any shape, unchanged.
    pub fn selu(self) -> Self {
        self.push(Activation::Selu)
    }

    /// Hyperbolic tangent, into (−1, 1); any shape, unchanged.
    pub fn tanh(self) -> Self {
        self.push(Activation::Tanh)
    }

    /// Logistic sigmoid, 1 / (1 + e⁻ˣ), into (0, 1); any shape, unchanged.
    ///
    /// As a network's last layer it goes well with [`Loss::BinaryCrossEntropy`](crate::Loss::BinaryCrossEntropy):
    /// training then computes the two together from the logits, which stays exact where the sigmoid has saturated.
    pub fn sigmoid(self) -> Self {
        self.push(Activation::Sigmoid)
    }
}

impl Activation {
    /// The slope below 0 of the rectified linear ones.
    pub(in crate::nn) fn slope(self) -> Option<f32> {
        match self {
            Self::Relu => Some(0.0),
            Self::LeakyRelu { slope } => Some(slope),
            _ => None,
        }
    }

    /// Whether [`Penalty::contractive`](crate::Penalty::contractive) knows its slope.
    pub(in crate::nn) fn has_slope_by_output(self) -> bool {
        self.slope().is_some() || matches!(self, Self::Sigmoid | Self::Tanh)
    }

    fn apply(self, values: &mut [f32]) {
        match self {
            Self::Relu => rectify(values, 0.0),
            Self::LeakyRelu { slope } => rectify(values, slope),
            Self::Selu => values.iter_mut().for_each(|v| {
                *v = if *v > 0.0 { SELU_SCALE * *v } else { SELU_SCALE * SELU_ALPHA * v.exp_m1() };
            }),
            Self::Tanh => values.iter_mut().for_each(|v| *v = v.tanh()),
            Self::Sigmoid => sigmoids(values),
        }
    }

    /// Turns the gradient of y into that of x.
    fn apply_backward(self, y: &[f32], gradient: &mut [f32]) {
        match self {
            Self::Relu => rectify_gradient(y, 0.0, gradient),
            Self::LeakyRelu { slope } => rectify_gradient(y, slope, gradient),
            Self::Selu => selu_gradient(y, gradient),
            Self::Tanh => tanh_gradient(y, gradient),
            Self::Sigmoid => sigmoid_gradient(y, gradient),
        }
    }
}

vectorized! {
    fn rectify(values: &mut [f32], slope: f32) {
        // `f32::max` would turn NaN into 0 and hide a diverged network.
        values.iter_mut().for_each(|v| *v = if *v < 0.0 { slope * *v } else { *v });
    }

    fn rectify_gradient(y: &[f32], slope: f32, gradient: &mut [f32]) {
        gradient.iter_mut().zip(y).for_each(|(g, y)| *g = tiny_to_zero(*g * if *y > 0.0 { 1.0 } else { slope }));
    }

    fn selu_gradient(y: &[f32], gradient: &mut [f32]) {
        let derivative = |y: f32| if y > 0.0 { SELU_SCALE } else { y + SELU_SCALE * SELU_ALPHA };
        gradient.iter_mut().zip(y).for_each(|(g, y)| *g = tiny_to_zero(*g * derivative(*y)));
    }

    fn tanh_gradient(y: &[f32], gradient: &mut [f32]) {
        gradient.iter_mut().zip(y).for_each(|(g, y)| *g = tiny_to_zero(*g * (1.0 - y * y)));
    }

    fn sigmoids(values: &mut [f32]) {
        values.iter_mut().for_each(|v| *v = sigmoid(*v));
    }

    fn sigmoid_gradient(y: &[f32], gradient: &mut [f32]) {
        gradient.iter_mut().zip(y).for_each(|(g, y)| *g = tiny_to_zero(*g * (y * (1.0 - y))));
    }
}

/// 1 / (1 + e⁻ˣ), without overflow for any x.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// eˣ to two units in the last place, for loops that the compiler shall vectorise (a library's `exp` prevents it): with
/// x = n·ln 2 + r and |r| ≤ ln 2 / 2, 2ⁿ goes straight into the exponent's bits and eʳ is a Taylor polynomial. Beyond
/// ±87 it stays at the value there.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Adding 1.5 · 2²³ rounds to an integer, which is then in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts, the first so short that its multiples are exact.
    const LN2: (f32, f32) = (0.693_359_4, -2.121_944_4e-4);
    let x = x.clamp(-87.0, 87.0);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let n = rounded - ROUND;
    let r = x - n * LN2.0 - n * LN2.1;
    let tail = 1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * (1.0 / 5040.0))));
    let power = f32::from_bits(rounded.to_bits().wrapping_add(127) << 23);
    (1.0 + (r + r * r * (0.5 + r * tail))) * power
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

    fn forward(&self, mut x: Variable, _context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let (rows, needs_gradient, activation) = (x.rows, x.needs_gradient, *self);
        let mut y = x.take_values();
        y.par_chunks_mut(BLOCK).on_threads().for_each(|block| activation.apply(block));
        let y = Arc::new(y);
        pass.record(Arc::clone(&y), rows, needs_gradient, move |mut gradient, gradients| {
            gradient
                .par_chunks_mut(BLOCK)
                .zip(y.par_chunks(BLOCK))
                .on_threads()
                .for_each(|(g, y)| activation.apply_backward(y, g));
            gradients.add_to(&x, gradient);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_right_to_two_units_in_the_last_place() {
        for step in -870_000..=870_000 {
            let x = step as f32 / 10_000.0;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 2.0 * f64::from(f32::EPSILON), "exp({x}): expected {expected}, got {}", exp(x));
        }
        assert!(exp(f32::NAN).is_nan());
        assert_eq!([sigmoid(-1e4), sigmoid(0.0), sigmoid(1e4)].map(|v| (v * 1e6).round() / 1e6), [0.0, 0.5, 1.0]);
        assert!(sigmoid(f32::MIN).is_normal(), "a saturated sigmoid would be slow to compute with");
    }
}
