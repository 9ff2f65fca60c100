//! Adam.

use std::sync::Arc;

use rayon::prelude::*;

use super::{
    buffer::Buffer,
    engine::vectorized,
    layers::{BLOCK, Weights},
};

/// Adam (Kingma and Ba 2015, algorithm 1) with its paper's settings: β₁ = 0.9, β₂ = 0.999, ε = 10⁻⁸, as in PyTorch.
pub(crate) struct Adam {
    learning_rate: f64,
    step: i32,
    moments: Vec<(Vec<f32>, Vec<f32>)>,
}

const BETA1: f64 = 0.9;
const BETA2: f64 = 0.999;
const EPSILON: f32 = 1e-8;

impl Adam {
    pub fn new(learning_rate: f64) -> Self {
        Self { learning_rate, step: 0, moments: Vec::new() }
    }

    /// Moves every parameter against its gradient: m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g²,
    /// w ← w − η · m̂ / (√v̂ + ε) with m̂ = m / (1−β₁ᵗ), v̂ = v / (1−β₂ᵗ).
    pub fn update<'a>(&mut self, parameters: impl Iterator<Item = &'a mut Weights>, gradients: &[Buffer]) {
        if self.moments.is_empty() {
            self.moments = gradients.iter().map(|g| (vec![0.0; g.len()], vec![0.0; g.len()])).collect();
        }
        self.step = self.step.saturating_add(1);
        let rate = (self.learning_rate / (1.0 - BETA1.powi(self.step))) as f32;
        let root = (1.0 / (1.0 - BETA2.powi(self.step))).sqrt() as f32;
        let moments = self.moments.iter_mut();
        let blocks: Vec<_> = parameters
            .zip(gradients)
            .zip(moments)
            .flat_map(|((weights, gradient), (m, v))| {
                let moments = m.chunks_mut(BLOCK).zip(v.chunks_mut(BLOCK));
                Arc::make_mut(weights).chunks_mut(BLOCK).zip(gradient.chunks(BLOCK)).zip(moments)
            })
            .collect();
        blocks.into_par_iter().for_each(|((weights, gradient), (m, v))| update(weights, gradient, m, v, rate, root));
    }
}

vectorized! {
    fn update(weights: &mut [f32], gradient: &[f32], m: &mut [f32], v: &mut [f32], rate: f32, root: f32) {
        for (((w, g), m), v) in weights.iter_mut().zip(gradient).zip(m).zip(v) {
            *m = BETA1 as f32 * *m + (1.0 - BETA1) as f32 * g;
            *v = BETA2 as f32 * *v + (1.0 - BETA2) as f32 * g * g;
            *w -= rate * *m / (v.sqrt() * root + EPSILON);
        }
    }
}
