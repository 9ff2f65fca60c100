//! How the weights of a new network are drawn.

use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{engine::BLOCK, random};

/// How weights and biases are drawn before training.
///
/// "Inputs" and "outputs" are those of one unit: k and units for [`dense`](crate::Sequential::dense), kernel · channels
/// and kernel · filters for [`conv2d`](crate::Sequential::conv2d), the other way round for
/// [`conv_transpose2d`](crate::Sequential::conv_transpose2d), as both frameworks count them.
/// [`batch_norm`](crate::Sequential::batch_norm) starts from γ = 1 and β = 0 in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Init {
    /// Weights uniform in ±√(6 / (inputs + outputs)), biases 0: Keras' default (Glorot and Bengio 2010). The default
    /// here.
    #[default]
    GlorotUniform,
    /// Weights and biases uniform in ±1/√inputs: PyTorch's default (`kaiming_uniform_` with a = √5; He et al. 2015).
    KaimingUniform,
}

/// A parameter that a layer asks for.
pub(crate) struct ParameterSpec {
    pub name: &'static str,
    pub shape: Vec<usize>,
    role: Role,
    inputs: usize,
    outputs: usize,
}

#[derive(Clone, Copy)]
enum Role {
    Weight,
    Bias,
    /// Starts from this value.
    Constant(f32),
    /// Starts from this value; observed, not learned.
    Statistic(f32),
}

impl ParameterSpec {
    pub fn weight(name: &'static str, shape: impl Into<Vec<usize>>, inputs: usize, outputs: usize) -> Self {
        Self { name, shape: shape.into(), role: Role::Weight, inputs, outputs }
    }

    pub fn bias(name: &'static str, shape: impl Into<Vec<usize>>, inputs: usize) -> Self {
        Self { name, shape: shape.into(), role: Role::Bias, inputs, outputs: 0 }
    }

    pub fn constant(name: &'static str, shape: impl Into<Vec<usize>>, value: f32) -> Self {
        Self { name, shape: shape.into(), role: Role::Constant(value), inputs: 0, outputs: 0 }
    }

    pub fn statistic(name: &'static str, shape: impl Into<Vec<usize>>, value: f32) -> Self {
        Self { name, shape: shape.into(), role: Role::Statistic(value), inputs: 0, outputs: 0 }
    }

    /// Whether training learns it.
    pub fn trainable(&self) -> bool {
        !matches!(self.role, Role::Statistic(_))
    }

    /// Its shape as products take it, at most: its rows and its columns in whole vectors.
    pub fn packed_shape(&self) -> Vec<usize> {
        const LANES: usize = 16;
        let mut shape = self.shape.clone();
        if let (Role::Weight, [.., rows, columns]) = (self.role, &mut shape[..]) {
            [rows, columns].into_iter().for_each(|n| *n = n.div_ceil(LANES).saturating_mul(LANES));
        }
        shape
    }

    /// Draws the values; block by block from streams of their own, so that threads make no difference.
    pub fn draw(&self, init: Init, seed: u64) -> Vec<f32> {
        let bound = match (init, self.role) {
            (_, Role::Constant(value) | Role::Statistic(value)) => return vec![value; self.shape.iter().product()],
            (Init::GlorotUniform, Role::Weight) => (6.0 / (self.inputs + self.outputs) as f64).sqrt(),
            (Init::GlorotUniform, Role::Bias) => 0.0,
            (Init::KaimingUniform, _) => (1.0 / self.inputs as f64).sqrt(),
        } as f32;
        let mut values = vec![0.0; self.shape.iter().product()];
        if bound > 0.0 {
            values.par_chunks_mut(BLOCK).enumerate().for_each(|(block, values)| {
                let mut random = random::stream(seed, block as u64);
                values.iter_mut().for_each(|v| *v = random.gen_range(-bound..bound));
            });
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(values: &[f32]) -> (f64, f64) {
        let largest = values.iter().fold(0.0f32, |a, v| a.max(v.abs()));
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64;
        (f64::from(largest), mean)
    }

    #[test]
    fn bounds_are_those_of_keras_and_pytorch() {
        let weight = ParameterSpec::weight("weight", [784, 50], 784, 50);
        let bias = ParameterSpec::bias("bias", [50_000], 784);
        for (init, bound) in [(Init::GlorotUniform, (6.0 / 834.0f64).sqrt()), (Init::KaimingUniform, 1.0 / 28.0)] {
            let (largest, mean) = spread(&weight.draw(init, 1));
            assert!(largest <= bound && largest > 0.999 * bound, "{init:?}: {largest} for {bound}");
            assert!(mean.abs() < 0.02 * bound, "{init:?}: mean {mean}");
        }
        assert!(bias.draw(Init::GlorotUniform, 1).iter().all(|b| *b == 0.0));
        let (largest, _) = spread(&bias.draw(Init::KaimingUniform, 1));
        assert!(largest <= 1.0 / 28.0 && largest > 0.999 / 28.0);
    }

    #[test]
    fn the_seed_decides() {
        let weight = ParameterSpec::weight("weight", [784, 50], 784, 50);
        assert_eq!(weight.draw(Init::GlorotUniform, 1), weight.draw(Init::GlorotUniform, 1));
        assert_ne!(weight.draw(Init::GlorotUniform, 1), weight.draw(Init::GlorotUniform, 2));
    }
}
