//! The losses: how far a network's output is from its target, and the gradient with which the backward pass begins.

use std::sync::Arc;

use rayon::prelude::*;

use super::{
    bridge::DfdxLoss,
    function::FunctionLoss,
    layers::sigmoid,
    tape::{Pass, Rectified, Variable},
};
use crate::engine::{BLOCK, Buffer, OnThreads, TINY, tiny_to_zero, vectorized, with_column_sums};

/// How far the output is from the target. Always the mean over all pixels of all images of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// Mean squared error, (y − t)². The default.
    #[default]
    MeanSquaredError,
    /// Binary cross-entropy −t·ln y − (1 − t)·ln(1 − y) of probabilities y, as after
    /// [`sigmoid`](crate::Sequential::sigmoid); targets in [0, 1].
    ///
    /// If the network's last layer is a sigmoid, training computes both together from the logits, which is exact where
    /// the sigmoid has saturated. Elsewhere y is clipped to [10⁻⁷, 1 − 10⁻⁷], as Keras does. On grey pixels the floor
    /// is above zero: the mean entropy of the pixels.
    BinaryCrossEntropy,
    /// Binary cross-entropy of logits x, that is of the probabilities 1 / (1 + e⁻ˣ): for a network without a sigmoid at
    /// its end. Computed as max(x, 0) − x·t + ln(1 + e^−|x|), stable for any x.
    BinaryCrossEntropyWithLogits,
    /// A function of dfdx's tensors: see [`Loss::dfdx`].
    Dfdx(DfdxLoss),
    /// A function of [tensors](crate::Tensor): see [`Loss::of`].
    Function(FunctionLoss),
}

/// Keras' clipping of probabilities.
const CLIP: f32 = 1e-7;

impl Loss {
    /// Its name in a figure: "mean squared error", "binary cross-entropy".
    pub fn name(self) -> &'static str {
        match self {
            Self::MeanSquaredError => "mean squared error",
            Self::BinaryCrossEntropy | Self::BinaryCrossEntropyWithLogits => "binary cross-entropy",
            Self::Dfdx(loss) => loss.name,
            Self::Function(loss) => loss.name,
        }
    }

    /// The mean loss over `output` as a `share` of a batch's mean loss (1 if the batch has no other parts), and the
    /// same on the tape, for the backward pass to begin with.
    pub(crate) fn record(self, output: Variable, target: &Buffer, share: f64, pass: &mut Pass) -> (f64, Variable) {
        let width = output.values.len() / output.rows.max(1);
        self.record_shaped(output, &[width], target, share, pass)
    }

    /// The same for rows of this shape, which a function of the user's may need.
    pub(crate) fn record_shaped(
        self,
        output: Variable,
        shape: &[usize],
        target: &Buffer,
        share: f64,
        pass: &mut Pass,
    ) -> (f64, Variable) {
        match self {
            Self::Dfdx(loss) => return loss.record(output, target, share, pass),
            Self::Function(loss) => return loss.record(output, shape, target, share, pass),
            _ => {}
        }
        let (y, needs_gradient) = (&output.values, output.needs_gradient);
        let scale = (share / y.len() as f64) as f32;
        let mean = |sum: f64| share * sum / y.len().max(1) as f64;
        let as_value = |mean: f64| Arc::new(vec![mean as f32].into());
        let slope = output.rectifier.map_or(1.0, |rectifier| rectifier.slope);
        let write = |y: &[f32], t: &[f32], out: &mut [f32]| self.sum_and_derivative(y, t, scale, slope, out);
        // The derivative is computed here too, while the values are at hand, and so is what the layer before does first
        // with it.
        if let Some(rectifier) = output.rectifier.filter(|_| pass.is_recording()) {
            let (gradient, sums, sum) = with_column_sums(y, target, rectifier.columns, write);
            let mut rectified = Rectified { gradient, sums };
            let mean = mean(sum);
            let loss = pass.record(as_value(mean), 1, true, move |gradient, gradients| {
                multiply(&mut rectified.gradient, gradient[0]);
                multiply(&mut rectified.sums, gradient[0]);
                gradients.add_rectified(&output, rectified);
            });
            return (mean, loss);
        }
        // Sums in fixed blocks: the same bits for any number of threads.
        let recording = pass.is_recording() && needs_gradient;
        let mut derivative = Buffer::unset(if recording { y.len() } else { 0 });
        let blocks = y.par_chunks(BLOCK).zip(target.par_chunks(BLOCK));
        let sums: Vec<f64> = if recording {
            let both = derivative.par_chunks_mut(BLOCK).zip(blocks).on_threads();
            both.map(|(out, (y, t))| write(y, t, out))
        } else {
            blocks.map(|(y, t)| self.sum(y, t)).collect()
        };
        let mean = mean(sums.iter().sum());
        let loss = pass.record(as_value(mean), 1, needs_gradient, move |gradient, gradients| {
            multiply(&mut derivative, gradient[0]);
            gradients.add_to(&output, derivative);
        });
        (mean, loss)
    }

    fn sum(self, y: &[f32], target: &[f32]) -> f64 {
        match self {
            Self::MeanSquaredError => squared_errors(y, target),
            Self::BinaryCrossEntropy => sum(y, target, |y, t| {
                let p = y.clamp(CLIP, 1.0 - CLIP); // keeps NaN
                -t * p.ln() - (1.0 - t) * (1.0 - p).ln()
            }),
            Self::BinaryCrossEntropyWithLogits => {
                sum(y, target, |x, t| if x > 0.0 { x } else { 0.0 } - x * t + (-x.abs()).exp().ln_1p())
            }
            Self::Dfdx(_) | Self::Function(_) => f64::NAN, // has a `record` of its own
        }
    }

    /// The derivative is multiplied by `slope` where y is not above 0.
    fn sum_and_derivative(self, y: &[f32], target: &[f32], scale: f32, slope: f32, out: &mut [f32]) -> f64 {
        match self {
            Self::MeanSquaredError => return squared_errors_and_differences(y, target, 2.0 * scale, slope, out),
            Self::BinaryCrossEntropy => fill(y, target, out, |p, t| {
                let clipped = !(CLIP..=1.0 - CLIP).contains(&p);
                if clipped { 0.0 } else { tiny_to_zero(scale * (p - t) / (p * (1.0 - p))) }
            }),
            Self::BinaryCrossEntropyWithLogits => sigmoid_differences(y, target, scale, out),
            Self::Dfdx(_) | Self::Function(_) => out.fill(f32::NAN), // as above
        }
        if slope != 1.0 {
            out.iter_mut().zip(y).for_each(|(out, y)| *out = tiny_to_zero(*out * if *y > 0.0 { 1.0 } else { slope }));
        }
        self.sum(y, target)
    }
}

fn multiply(values: &mut [f32], factor: f32) {
    if factor != 1.0 {
        values.par_chunks_mut(BLOCK).on_threads().for_each(|block| block.iter_mut().for_each(|v| *v *= factor));
    }
}

/// Σ f(y, t), as eight sums side by side: the loop can be vectorised, and the order is fixed.
fn sum(y: &[f32], target: &[f32], f: impl Fn(f32, f32) -> f32) -> f64 {
    let mut sums = [0.0f64; 8];
    let (y, y_rest) = y.as_chunks::<8>();
    let (target, target_rest) = target.as_chunks::<8>();
    for (y, t) in y.iter().zip(target) {
        for lane in 0..8 {
            sums[lane] += f64::from(f(y[lane], t[lane]));
        }
    }
    let rest: f64 = y_rest.iter().zip(target_rest).map(|(y, t)| f64::from(f(*y, *t))).sum();
    sums.iter().sum::<f64>() + rest
}

fn fill(y: &[f32], target: &[f32], out: &mut [f32], f: impl Fn(f32, f32) -> f32) {
    out.iter_mut().zip(y.iter().zip(target)).for_each(|(out, (y, t))| *out = f(*y, *t));
}

vectorized! {
    fn squared_errors(y: &[f32], target: &[f32]) -> f64 {
        let mut sums = [0.0f64; 16];
        let ((y, y_rest), (target, target_rest)) = (y.as_chunks::<16>(), target.as_chunks::<16>());
        for (y, t) in y.iter().zip(target) {
            for lane in 0..16 {
                sums[lane] += f64::from((y[lane] - t[lane]) * (y[lane] - t[lane]));
            }
        }
        let rest: f64 = y_rest.iter().zip(target_rest).map(|(y, t)| f64::from((y - t) * (y - t))).sum();
        sums.iter().sum::<f64>() + rest
    }

    /// In one sweep, as each takes less time than the values from memory.
    fn squared_errors_and_differences(y: &[f32], target: &[f32], scale: f32, slope: f32, out: &mut [f32]) -> f64 {
        let least = TINY / scale;
        let scaled = |y: f32, difference: f32| {
            let difference = difference * if y > 0.0 { 1.0 } else { slope };
            if difference.abs() < least { 0.0 } else { scale * difference }
        };
        let mut sums = [0.0f64; 16];
        let ((y, y_rest), (target, target_rest)) = (y.as_chunks::<64>(), target.as_chunks::<64>());
        let (out, out_rest) = out.as_chunks_mut::<64>();
        for (out, (y, t)) in out.iter_mut().zip(y.iter().zip(target)) {
            let mut squares = [0.0; 16];
            for first in [0, 16, 32, 48] {
                for lane in 0..16 {
                    let difference = y[first + lane] - t[first + lane];
                    out[first + lane] = scaled(y[first + lane], difference);
                    squares[lane] += difference * difference;
                }
            }
            for lane in 0..16 {
                sums[lane] += f64::from(squares[lane]);
            }
        }
        let mut rest = 0.0;
        for (out, (y, t)) in out_rest.iter_mut().zip(y_rest.iter().zip(target_rest)) {
            *out = scaled(*y, y - t);
            rest += f64::from((y - t) * (y - t));
        }
        sums.iter().sum::<f64>() + rest
    }

    fn sigmoid_differences(x: &[f32], target: &[f32], scale: f32, out: &mut [f32]) {
        let least = TINY / scale;
        for (out, (x, t)) in out.iter_mut().zip(x.iter().zip(target)) {
            let difference = sigmoid(*x) - t;
            *out = if difference.abs() < least { 0.0 } else { scale * difference };
        }
    }
}
