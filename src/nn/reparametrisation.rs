//! The middle of a variational autoencoder.

use std::sync::Arc;

use super::tape::{Pass, Variable};
use crate::engine::Buffer;

/// Codes z = μ + σ·ε (Kingma and Welling 2014) of rows \[μ, ln σ²\], with ε of shape (rows, latent_dim) given; and the
/// mean over the rows of the divergence KL(N(μ, σ²) ‖ N(0, 1)) = ½ Σ (μ² + σ² − ln σ² − 1), as a `share` of a batch's.
///
/// The divergence is not on the tape by itself: its gradient, times `kl_weight`, joins that of z in the backward pass.
/// ∂μ = ∂z + w·μ, ∂ln σ² = ½·∂z·σ·ε + ½·w·(σ² − 1), with w = kl_weight · share / rows.
pub(crate) fn reparametrise(
    heads: Variable,
    epsilon: Vec<f32>,
    kl_weight: f64,
    share: f64,
    pass: &mut Pass,
) -> (f64, Variable) {
    let rows = heads.rows;
    let latent_dim = epsilon.len() / rows.max(1);
    let scale = share / rows.max(1) as f64;
    let mut z = Buffer::unset(epsilon.len());
    let mut kl = 0.0;
    // The narrowest layer of the network: not worth other threads.
    let all = heads.values.chunks(2 * latent_dim).zip(epsilon.chunks(latent_dim));
    for ((head, epsilon), z) in all.zip(z.chunks_mut(latent_dim)) {
        let (mean, log_variance) = head.split_at(latent_dim);
        for (i, z) in z.iter_mut().enumerate() {
            let (m, v) = (f64::from(mean[i]), f64::from(log_variance[i]));
            kl += 0.5 * (m * m + v.exp() - v - 1.0);
            *z = (m + (0.5 * v).exp() * f64::from(epsilon[i])) as f32;
        }
    }
    let needs_gradient = heads.needs_gradient;
    let z = pass.record(Arc::new(z), rows, needs_gradient, move |gradient, gradients| {
        let weight = kl_weight * scale;
        let mut of_heads = Buffer::unset(heads.values.len());
        let all = heads.values.chunks(2 * latent_dim).zip(of_heads.chunks_mut(2 * latent_dim));
        for ((head, out), (epsilon, gradient)) in all.zip(epsilon.chunks(latent_dim).zip(gradient.chunks(latent_dim))) {
            let (mean, log_variance) = head.split_at(latent_dim);
            let (of_mean, of_log_variance) = out.split_at_mut(latent_dim);
            for (i, g) in gradient.iter().enumerate() {
                let (m, v, g) = (f64::from(mean[i]), f64::from(log_variance[i]), f64::from(*g));
                of_mean[i] = (g + weight * m) as f32;
                let deviation = (0.5 * v).exp();
                of_log_variance[i] = (0.5 * (g * deviation * f64::from(epsilon[i]) + weight * (v.exp() - 1.0))) as f32;
            }
        }
        gradients.add_to(&heads, of_heads);
    });
    (kl * scale, z)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::nn::loss::Loss;

    /// What tests/reference/steps.py writes.
    #[derive(Deserialize)]
    struct Steps {
        reparametrisation: Case,
    }

    #[derive(Deserialize)]
    struct Case {
        heads: Vec<f32>,
        epsilon: Vec<f32>,
        target: Vec<f32>,
        kl_weight: f64,
        code: Vec<f32>,
        kl: f64,
        reconstruction: f64,
        gradient: Vec<f32>,
    }

    /// The codes, their distance from the target, the divergence, and the gradient of both together.
    fn go(heads: &[f32], epsilon: &[f32], target: &[f32], kl_weight: f64) -> (Vec<f32>, f64, f64, Vec<f32>) {
        let mut pass = Pass::training(0);
        let heads = pass.tracked(Arc::new(heads.to_vec().into()), epsilon.len() / 3);
        let (kl, z) = reparametrise(heads.clone(), epsilon.to_vec(), kl_weight, 1.0, &mut pass);
        let codes = z.values.to_vec();
        let (distance, loss) = Loss::MeanSquaredError.record(z, &target.to_vec().into(), 1.0, &mut pass);
        pass.backward(&loss);
        (codes, distance, kl, pass.gradient(&heads).to_vec())
    }

    fn assert_near(got: &[f32], expected: &[f32]) {
        assert!(got.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-6), "expected {expected:?}, got {got:?}");
    }

    #[test]
    fn it_agrees_with_pytorch() {
        let text = include_str!("../../tests/reference/steps.json");
        let Steps { reparametrisation: case } = serde_json::from_str(text).unwrap();
        let (codes, distance, kl, gradient) = go(&case.heads, &case.epsilon, &case.target, case.kl_weight);
        assert_near(&codes, &case.code);
        assert!((distance - case.reconstruction).abs() < 1e-6 && (kl - case.kl).abs() < 1e-6, "{distance} {kl}");
        assert_near(&gradient, &case.gradient);
    }

    proptest! {
        #[test]
        fn its_gradient_is_the_slope(
            heads in prop::collection::vec(-1.5f32..1.5, 12),
            epsilon in prop::collection::vec(-2.0f32..2.0, 6),
            target in prop::collection::vec(-1.0f32..1.0, 6),
            kl_weight in 0.0..2.0,
        ) {
            const STEP: f32 = 1.0 / 256.0;
            let (.., gradient) = go(&heads, &epsilon, &target, kl_weight);
            for index in 0..heads.len() {
                let at = |by: f32| {
                    let mut heads = heads.clone();
                    heads[index] += by;
                    let (_, distance, kl, _) = go(&heads, &epsilon, &target, kl_weight);
                    distance + kl_weight * kl
                };
                let slope = (at(STEP) - at(-STEP)) / (2.0 * f64::from(STEP));
                prop_assert!((slope - f64::from(gradient[index])).abs() < 2e-3, "{slope}, {}", gradient[index]);
            }
        }
    }
}
