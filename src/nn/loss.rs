//! The losses: how far a network's output is from its target, and the gradient that starts the way back.

use std::sync::Arc;

use rayon::prelude::*;

use super::{
    layers::BLOCK,
    tape::{Tape, Variable, record},
};

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
    /// If the network's last layer is a sigmoid, training computes both together from the logits, which is exact where the
    /// sigmoid has saturated. Elsewhere y is clipped to [10⁻⁷, 1 − 10⁻⁷], as Keras does. On grey pixels the floor is above
    /// zero: the mean entropy of the pixels.
    BinaryCrossEntropy,
    /// Binary cross-entropy of logits x, that is of the probabilities 1 / (1 + e⁻ˣ): for a network without a sigmoid at
    /// its end. Computed as max(x, 0) − x·t + ln(1 + e^−|x|), stable for any x.
    BinaryCrossEntropyWithLogits,
}

/// Keras' clipping of probabilities.
const CLIP: f32 = 1e-7;

impl Loss {
    /// The loss of one value and its derivative by the output.
    fn of(self, y: f32, target: f32) -> (f32, f32) {
        match self {
            Self::MeanSquaredError => ((y - target) * (y - target), 2.0 * (y - target)),
            Self::BinaryCrossEntropy => {
                let p = y.clamp(CLIP, 1.0 - CLIP); // keeps NaN
                let loss = -target * p.ln() - (1.0 - target) * (1.0 - p).ln();
                (loss, if p == y { (p - target) / (p * (1.0 - p)) } else { 0.0 })
            }
            Self::BinaryCrossEntropyWithLogits => {
                let loss = if y > 0.0 { y } else { 0.0 } - y * target + (-y.abs()).exp().ln_1p();
                (loss, super::layers::sigmoid(y) - target)
            }
        }
    }

    /// The mean loss over `output`, and itself on the tape as the start of the way back.
    pub(crate) fn record<T: Tape>(self, output: Variable<T>, target: &Arc<Vec<f32>>) -> (f64, Variable<T>) {
        let (output, tape) = output.split();
        let mean = self.mean(&output.values, target);
        let target = Arc::clone(target);
        let loss = record(tape, Arc::new(vec![mean as f32]), 1, output.needs_gradient, move |gradient, gradients| {
            let y = &output.values;
            let scale = gradient[0] / y.len() as f32;
            let mut gradient = vec![0.0; y.len()];
            let blocks = gradient.par_chunks_mut(BLOCK).zip(y.par_chunks(BLOCK)).zip(target.par_chunks(BLOCK));
            blocks.for_each(|((gradient, y), target)| {
                for ((g, y), t) in gradient.iter_mut().zip(y).zip(target) {
                    *g = scale * self.of(*y, *t).1;
                }
            });
            gradients.add_to(&output, gradient);
        });
        (mean, loss)
    }

    /// The mean loss. Summed in fixed blocks in double precision: the same bits for any number of threads.
    pub(crate) fn mean(self, output: &[f32], target: &[f32]) -> f64 {
        let blocks: Vec<f64> = output
            .par_chunks(BLOCK)
            .zip(target.par_chunks(BLOCK))
            .map(|(y, t)| y.iter().zip(t).map(|(y, t)| f64::from(self.of(*y, *t).0)).sum())
            .collect();
        blocks.iter().sum::<f64>() / output.len().max(1) as f64
    }
}
