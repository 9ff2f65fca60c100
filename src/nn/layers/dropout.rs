use std::sync::Arc;

use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{BLOCK, Layer, Operation, Place};
use crate::{
    nn::{
        sequential::Sequential,
        tape::{Pass, Tape, Variable, record},
    },
    random,
};

/// Inverted dropout (Srivastava et al. 2014): in training each value becomes 0 with probability `rate` and x / (1 − rate)
/// otherwise; in prediction nothing happens. Backwards the same mask.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Dropout {
    rate: f32,
}

impl Sequential {
    /// Dropout (Srivastava et al. 2014), as Keras and PyTorch have it: in training, each value is set to 0 with probability
    /// `rate` and the others are divided by 1 − `rate`; in prediction nothing happens. Any shape, unchanged.
    ///
    /// `rate` must be in [0, 1). The mask depends on the training's seed only, not on the number of threads.
    pub fn dropout(self, rate: f32) -> Self {
        self.push(Layer::Dropout(Dropout { rate }))
    }
}

impl Dropout {
    /// Multiplies each value by its mask, 0 or 1 / (1 − rate). The mask is drawn again on the way back, not kept: one
    /// stream for each block of values.
    fn mask(self, values: &mut [f32], seed: u64) {
        // Compared as integers: exact, and half the work of drawing floats.
        let threshold = (f64::from(self.rate) * 2f64.powi(32)) as u32;
        let scale = 1.0 / (1.0 - self.rate);
        values.par_chunks_mut(BLOCK).enumerate().for_each(|(block, values)| {
            let mut random = random::stream(seed, block as u64);
            values.iter_mut().for_each(|v| *v *= if random.r#gen::<u32>() < threshold { 0.0 } else { scale });
        });
    }
}

impl Operation for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        if (0.0..1.0).contains(&self.rate) {
            Ok(input.to_vec())
        } else {
            Err(format!("expected a rate in [0, 1), got {}", self.rate))
        }
    }

    fn forward<T: Tape>(&self, x: Variable<T>, _place: Place<'_>, pass: &mut Pass) -> Variable<T> {
        if !pass.training || self.rate == 0.0 {
            return x;
        }
        let (mut x, tape) = x.split();
        let (rows, needs_gradient, dropout, seed) = (x.rows, x.needs_gradient, *self, pass.stream());
        let mut y = x.take_values();
        dropout.mask(&mut y, seed);
        record(tape, Arc::new(y), rows, needs_gradient, move |mut gradient, gradients| {
            dropout.mask(&mut gradient, seed);
            gradients.add_to(&x, gradient);
        })
    }
}
