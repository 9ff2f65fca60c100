use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    LayerContext, Operation,
    functions::{exp_m1, normal, sigmoid, softplus},
};
use crate::{
    engine::{BLOCK, OnThreads, tiny_to_zero, vectorized},
    nn::{
        sequential::Sequential,
        tape::{Pass, Variable},
    },
};

/// An element-wise activation, y = f(x); shapes stay as they are. ∂x = g · f′.
///
/// Where the derivative can be had from y alone, the input's buffer is overwritten and only y is kept for the backward
/// pass; else only x.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "function", rename_all = "snake_case")]
pub(crate) enum Activation {
    Relu,
    LeakyRelu { slope: f32 },
    Selu,
    Tanh,
    Sigmoid,
    Elu { alpha: f32 },
    Softplus,
    HardSigmoid,
    Gelu,
    Silu,
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

    /// Exponential linear unit (Clevert et al. 2015): x where x > 0, `alpha`·(eˣ − 1) elsewhere; any shape, unchanged.
    ///
    /// `alpha` must be above 0; it is 1 by default in Keras and PyTorch.
    ///
    /// ```
    /// use latentlab::{Sequential, ndarray::ArrayD};
    ///
    /// let network = Sequential::input([1]).elu(1.0).build()?;
    /// let y = network.predict(&ArrayD::from_elem(vec![1, 1], -1.0))?;
    /// assert!((y[[0, 0]] - (1.0 / std::f32::consts::E - 1.0)).abs() < 1e-6);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn elu(self, alpha: f32) -> Self {
        self.push(Activation::Elu { alpha })
    }

    /// ln(1 + eˣ), a smooth rectified linear unit that is above 0 everywhere; any shape, unchanged. Keras' `softplus`,
    /// PyTorch's `Softplus` with β = 1.
    ///
    /// ```
    /// use latentlab::{Sequential, ndarray::ArrayD};
    ///
    /// let y = Sequential::input([1]).softplus().predict(&ArrayD::zeros(vec![1, 1]))?;
    /// assert!((y[[0, 0]] - 2f32.ln()).abs() < 1e-6);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn softplus(self) -> Self {
        self.push(Activation::Softplus)
    }

    /// A sigmoid of three straight lines: x / 6 + 1/2, but at least 0 and at most 1; any shape, unchanged.
    ///
    /// That is the formula of PyTorch's `Hardsigmoid` and of Keras 3; Keras 2 had 0.2·x + 0.5.
    ///
    /// ```
    /// use latentlab::{Sequential, ndarray::arr2};
    ///
    /// let y = Sequential::input([3]).hard_sigmoid().predict(&arr2(&[[-4.0, 0.0, 1.5]]).into_dyn())?;
    /// assert_eq!(y, arr2(&[[0.0, 0.5, 0.75]]).into_dyn());
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn hard_sigmoid(self) -> Self {
        self.push(Activation::HardSigmoid)
    }

    /// Gaussian error linear unit (Hendrycks and Gimpel 2016): x·Φ(x) with the normal distribution Φ(x) = (1 + erf(x /
    /// √2)) / 2; any shape, unchanged. The exact formula, which is the default of PyTorch and of Keras, not the
    /// approximation by tanh.
    ///
    /// ```
    /// use latentlab::{Sequential, ndarray::ArrayD};
    ///
    /// let y = Sequential::input([1]).gelu().predict(&ArrayD::from_elem(vec![1, 1], 1.0))?;
    /// assert!((y[[0, 0]] - 0.841_344_7).abs() < 1e-6);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn gelu(self) -> Self {
        self.push(Activation::Gelu)
    }

    /// Sigmoid linear unit, also called swish (Elfwing et al. 2017, Ramachandran et al. 2017): x / (1 + e⁻ˣ); any
    /// shape, unchanged. Keras' `silu`, PyTorch's `SiLU`.
    ///
    /// ```
    /// use latentlab::{Sequential, ndarray::ArrayD};
    ///
    /// let y = Sequential::input([1]).silu().predict(&ArrayD::from_elem(vec![1, 1], 1.0))?;
    /// assert!((y[[0, 0]] - 0.731_058_6).abs() < 1e-6);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn silu(self) -> Self {
        self.push(Activation::Silu)
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
            Self::Elu { alpha } => elus(values, alpha),
            Self::Softplus => softpluses(values),
            Self::HardSigmoid => hard_sigmoids(values),
            Self::Gelu => gelus(values),
            Self::Silu => silus(values),
        }
    }

    /// Whether the derivative takes x, not y.
    fn keeps_input(self) -> bool {
        matches!(self, Self::Gelu | Self::Silu)
    }

    /// Turns the gradient of y into that of x; takes y, or x if it [keeps](Self::keeps_input) that.
    fn apply_backward(self, y: &[f32], gradient: &mut [f32]) {
        match self {
            Self::Relu => rectify_gradient(y, 0.0, gradient),
            Self::LeakyRelu { slope } => rectify_gradient(y, slope, gradient),
            Self::Selu => selu_gradient(y, gradient),
            Self::Tanh => tanh_gradient(y, gradient),
            Self::Sigmoid => sigmoid_gradient(y, gradient),
            Self::Elu { alpha } => elu_gradient(y, alpha, gradient),
            Self::Softplus => softplus_gradient(y, gradient),
            Self::HardSigmoid => hard_sigmoid_gradient(y, gradient),
            Self::Gelu => gelu_gradient(y, gradient),
            Self::Silu => silu_gradient(y, gradient),
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

    fn elus(values: &mut [f32], alpha: f32) {
        values.iter_mut().for_each(|v| *v = if *v > 0.0 { *v } else { alpha * exp_m1(*v) });
    }

    fn elu_gradient(y: &[f32], alpha: f32, gradient: &mut [f32]) {
        let derivative = |y: f32| if y > 0.0 { 1.0 } else { y + alpha };
        gradient.iter_mut().zip(y).for_each(|(g, y)| *g = tiny_to_zero(*g * derivative(*y)));
    }

    fn softpluses(values: &mut [f32]) {
        values.iter_mut().for_each(|v| *v = softplus(*v));
    }

    fn softplus_gradient(y: &[f32], gradient: &mut [f32]) {
        gradient.iter_mut().zip(y).for_each(|(g, y)| *g = tiny_to_zero(*g * -exp_m1(-*y)));
    }

    fn hard_sigmoids(values: &mut [f32]) {
        values.iter_mut().for_each(|v| *v = (*v / 6.0 + 0.5).clamp(0.0, 1.0));
    }

    fn hard_sigmoid_gradient(y: &[f32], gradient: &mut [f32]) {
        let derivative = |y: f32| if y > 0.0 && y < 1.0 { 1.0 / 6.0 } else { 0.0 };
        gradient.iter_mut().zip(y).for_each(|(g, y)| *g = tiny_to_zero(*g * derivative(*y)));
    }

    fn gelus(values: &mut [f32]) {
        values.iter_mut().for_each(|v| *v = tiny_to_zero(*v * normal(*v).0));
    }

    fn gelu_gradient(x: &[f32], gradient: &mut [f32]) {
        for (g, x) in gradient.iter_mut().zip(x) {
            let (below, density) = normal(*x);
            // Beyond ±14 the density is 0 but for its limit, which a large x would make noticeable.
            *g = tiny_to_zero(*g * (below + x.clamp(-14.0, 14.0) * density));
        }
    }

    fn silus(values: &mut [f32]) {
        // Below −87 the sigmoid stays at its limit, which a large x would make noticeable.
        let silu = |x: f32| x.max(-87.0) * sigmoid(x);
        values.iter_mut().for_each(|v| *v = tiny_to_zero(silu(*v)));
    }

    fn silu_gradient(x: &[f32], gradient: &mut [f32]) {
        for (g, x) in gradient.iter_mut().zip(x) {
            let s = sigmoid(*x);
            *g = tiny_to_zero(*g * (s * (1.0 + x.clamp(-87.0, 87.0) * (1.0 - s))));
        }
    }
}

impl Operation for Activation {
    fn name(&self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::LeakyRelu { .. } => "leaky_relu",
            Self::Selu => "selu",
            Self::Tanh => "tanh",
            Self::Sigmoid => "sigmoid",
            Self::Elu { .. } => "elu",
            Self::Softplus => "softplus",
            Self::HardSigmoid => "hard_sigmoid",
            Self::Gelu => "gelu",
            Self::Silu => "silu",
        }
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        match self {
            // A slope of 0 is ReLU; with a negative one y no longer tells the sign of x.
            Self::LeakyRelu { slope } if !(*slope > 0.0 && *slope <= 1.0) => {
                Err(format!("expected a slope in (0, 1], got {slope}"))
            }
            Self::Elu { alpha } if !(*alpha > 0.0 && alpha.is_finite()) => {
                Err(format!("expected an alpha above 0, got {alpha}"))
            }
            _ => Ok(input.to_vec()),
        }
    }

    fn forward(&self, mut x: Variable, _context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let (rows, needs_gradient, activation) = (x.rows, x.needs_gradient, *self);
        let input = (self.keeps_input() && pass.is_recording()).then(|| Arc::clone(&x.values));
        let mut y = x.take_values();
        y.par_chunks_mut(BLOCK).on_threads().for_each(|block| activation.apply(block));
        let y = Arc::new(y);
        let kept = input.unwrap_or_else(|| Arc::clone(&y));
        pass.record(y, rows, needs_gradient, move |mut gradient, gradients| {
            gradient
                .par_chunks_mut(BLOCK)
                .zip(kept.par_chunks(BLOCK))
                .on_threads()
                .for_each(|(g, kept)| activation.apply_backward(kept, g));
            gradients.add_to(&x, gradient);
        })
    }
}
