use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{LayerContext, Operation};
use crate::{
    engine::{BLOCK, OnThreads, vectorized},
    nn::{
        sequential::Sequential,
        tape::{Pass, Variable},
    },
    random,
};

/// Inverted dropout (Srivastava et al. 2014): in training each value becomes 0 with probability `rate` and x / (1 −
/// rate) otherwise; in prediction nothing happens. The backward pass has the same mask.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Dropout {
    rate: f32,
}

impl Sequential {
    /// Dropout (Srivastava et al. 2014), as Keras and PyTorch have it: in training, each value is set to 0 with
    /// probability `rate` and the others are divided by 1 − `rate`; in prediction nothing happens. Any shape,
    /// unchanged.
    ///
    /// `rate` must be in [0, 1). The mask depends on the training's seed only, not on the number of threads.
    pub fn dropout(self, rate: f32) -> Self {
        self.push(Dropout { rate })
    }
}

impl Dropout {
    /// A new mask of this pass, if it drops anything.
    pub(super) fn mask(self, pass: &mut Pass) -> Option<Mask> {
        (pass.training && self.rate != 0.0).then(|| Mask { rate: self.rate, seed: pass.stream() })
    }
}

/// A factor for each value, 0 or 1 / (1 − rate): computed each time it is applied, not kept.
pub(super) struct Mask {
    rate: f32,
    seed: u64,
}

impl Mask {
    pub fn apply(&self, values: &mut [f32]) {
        // Compared as integers: exact, and less work than drawing floats.
        let threshold = (f64::from(self.rate) * 2f64.powi(32)) as u32;
        let scale = 1.0 / (1.0 - self.rate);
        values.par_chunks_mut(BLOCK).enumerate().on_threads().for_each(|(block, values)| {
            let key = random::mix(self.seed, block as u64);
            mask(values, key as u32, (key >> 32) as u32, threshold, scale);
        });
    }
}

vectorized! {
    /// The randomness of value i is a hash of i and the key, which vectors can compute side by side: two rounds of the
    /// 32-bit finalizer "lowbias32" (C. Wellons 2018, "Prospecting for hash functions").
    fn mask(values: &mut [f32], key: u32, second_key: u32, threshold: u32, scale: f32) {
        let round = |mut h: u32| {
            h = (h ^ (h >> 16)).wrapping_mul(0x7feb_352d);
            h = (h ^ (h >> 15)).wrapping_mul(0x846c_a68b);
            h ^ (h >> 16)
        };
        for (i, value) in (0u32..).zip(values) {
            let hash = round(round(i ^ key) ^ second_key);
            *value *= if hash < threshold { 0.0 } else { scale };
        }
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

    fn forward(&self, mut x: Variable, _context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let Some(mask) = self.mask(pass) else { return x };
        let (rows, needs_gradient) = (x.rows, x.needs_gradient);
        let mut y = x.take_values();
        mask.apply(&mut y);
        pass.record(Arc::new(y), rows, needs_gradient, move |mut gradient, gradients| {
            mask.apply(&mut gradient);
            gradients.add_to(&x, gradient);
        })
    }
}
