//! The steps of the optimizers: one parallel region over blocks of all weights.

use std::{iter::repeat_with, sync::Arc};

use rayon::prelude::*;

use super::{
    layers::Weights,
    optimizer::{Algorithm, Optimizer},
};
use crate::engine::{BLOCK, Buffer, OnThreads, Reuse, subnormal_to_zero, vectorized};

/// An optimizer at work, made by [`Optimizer::init`]: its learning rate, and what the past gradients left.
// A plain value: one rebuilt from these fields goes on to the same bits.
#[derive(Clone)]
pub struct OptimizerState {
    pub(crate) optimizer: Optimizer,
    /// Of the steps to come; a schedule changes it.
    pub(crate) learning_rate: f64,
    /// How many steps have been made.
    pub(crate) steps: i32,
    /// What each parameter's past gradients left: of Adam, AdamW, RAdam and Nadam m and v, of Adamax m and u, of
    /// Adagrad s, of SGD with momentum b, of RMSprop v, b with momentum, and the mean gradient if it is centered, of
    /// Lion m. Empty where there is nothing to keep, and before the first step.
    pub(crate) moments: Vec<PastGradients>,
    /// The product of Nadam's momenta up to that step: it follows from the steps, and is kept to be made once.
    momenta: (i32, f64),
    /// If they are wanted, the sums of squares of the next gradients, as they come.
    pub(crate) squares: Option<Vec<f64>>,
    /// Keeps the buffers of one step for the next, in steps of one's own.
    pub(super) reuse: Option<Arc<Reuse>>,
}

/// What they left of a parameter: each as long as it, or empty.
pub(crate) type PastGradients = [Vec<f32>; 3];

impl OptimizerState {
    /// At its beginning. The settings must have been checked.
    pub(crate) fn new(optimizer: Optimizer, learning_rate: f64) -> Self {
        Self { optimizer, learning_rate, steps: 0, moments: Vec::new(), momenta: (0, 1.0), squares: None, reuse: None }
    }

    /// Moves every parameter against its gradient; [`Optimizer`] has the formulas.
    pub(crate) fn update<'a>(&mut self, parameters: impl Iterator<Item = &'a mut Weights>, gradients: &[Buffer]) {
        let Optimizer { algorithm, betas, epsilon, momentum, nesterov, weight_decay, .. } = self.optimizer;
        let Optimizer { alpha, centered, momentum_decay, .. } = self.optimizer;
        let (momentum, centered) = (momentum.unwrap_or_default(), centered.unwrap_or_default());
        if self.moments.is_empty() {
            let kept = match algorithm {
                Algorithm::Sgd => [momentum > 0.0, false, false],
                Algorithm::Adagrad | Algorithm::Lion => [true, false, false],
                Algorithm::RmsProp => [true, momentum > 0.0, centered],
                _ => [true, true, false],
            };
            let zeros = |g: &Buffer| kept.map(|kept| vec![0.0; if kept { g.len() } else { 0 }]);
            self.moments = gradients.iter().map(zeros).collect();
        }
        let blocks: Vec<Block> = parameters
            .zip(gradients)
            .zip(&mut self.moments)
            .flat_map(|((weights, gradient), moments)| {
                let [first, second, third] =
                    moments.each_mut().map(|values| values.chunks_mut(BLOCK).chain(repeat_with(Default::default)));
                let moments = first.zip(second).zip(third).map(|((first, second), third)| [first, second, third]);
                Arc::make_mut(weights).chunks_mut(BLOCK).zip(gradient.chunks(BLOCK)).zip(moments)
            })
            .collect();

        self.steps = self.steps.saturating_add(1);
        let betas = betas.unwrap_or_default();
        let [bias1, bias2] = betas.map(|beta| 1.0 - beta.powi(self.steps));
        let epsilon = epsilon.unwrap_or_default() as f32;
        let rate = self.learning_rate as f32;
        let decay = weight_decay as f32;
        let corrected_rate = (self.learning_rate / bias1) as f32;
        let as_adam =
            Adam { betas, rate: corrected_rate, shrink: 1.0, decay, root: (1.0 / bias2).sqrt() as f32, epsilon };
        match algorithm {
            Algorithm::Adam => each(blocks, |w, g, [m, v, _]| adam(w, g, m, v, as_adam)),
            Algorithm::AdamW => {
                let shrink = (1.0 - self.learning_rate * weight_decay) as f32;
                let step = Adam { shrink, decay: 0.0, ..as_adam };
                each(blocks, |w, g, [m, v, _]| adam(w, g, m, v, step));
            }
            Algorithm::RAdam => {
                let step = match rectification(betas[1], self.steps) {
                    Some(factor) => {
                        let rate = (self.learning_rate / bias1 * factor) as f32;
                        Adam { rate, epsilon: epsilon * as_adam.root, ..as_adam }
                    }
                    None => Adam { root: 0.0, epsilon: 1.0, ..as_adam }, // divides by 1
                };
                each(blocks, |w, g, [m, v, _]| adam(w, g, m, v, step));
            }
            Algorithm::Nadam => {
                let momentum = |step| nesterov_momentum(betas[0], momentum_decay.unwrap_or_default(), step);
                let (now, next) = (momentum(self.steps), momentum(self.steps.saturating_add(1)));
                let product = product_up_to(self.steps, &mut self.momenta, momentum);
                let of_gradient = (self.learning_rate * (1.0 - now) / (1.0 - product)) as f32;
                let of_mean = (self.learning_rate * next / (1.0 - product * next)) as f32;
                each(blocks, |w, g, [m, v, _]| nadam(w, g, m, v, as_adam, of_gradient, of_mean));
            }
            Algorithm::RmsProp => {
                let (alpha, momentum) = (alpha.unwrap_or_default(), momentum as f32);
                let step = RmsProp { alpha, rate, decay, epsilon, momentum, centered };
                each(blocks, |w, g, [v, b, mean]| rmsprop(w, g, v, b, mean, step));
            }
            Algorithm::Lion => {
                let shrink = (1.0 - self.learning_rate * weight_decay) as f32;
                each(blocks, |w, g, [m, ..]| lion(w, g, m, betas, rate, shrink));
            }
            Algorithm::Adamax => {
                each(blocks, |w, g, [m, u, _]| adamax(w, g, m, u, betas, corrected_rate, decay, epsilon))
            }
            Algorithm::Adagrad => each(blocks, |w, g, [s, ..]| adagrad(w, g, s, rate, decay, epsilon)),
            Algorithm::Sgd if momentum == 0.0 => each(blocks, |w, g, _| sgd(w, g, rate, decay)),
            Algorithm::Sgd => {
                let ahead = nesterov.unwrap_or_default();
                each(blocks, |w, g, [b, ..]| sgd_with_momentum(w, g, b, rate, decay, momentum as f32, ahead));
            }
        }
    }
}

/// Weights, their gradient and their moments.
type Block<'a> = ((&'a mut [f32], &'a [f32]), [&'a mut [f32]; 3]);

fn each(blocks: Vec<Block>, step: impl Fn(&mut [f32], &[f32], [&mut [f32]; 3]) + Sync) {
    blocks.into_par_iter().on_threads().for_each(|((weights, gradient), moments)| step(weights, gradient, moments));
}

/// Nadam's μ(t).
fn nesterov_momentum(beta1: f64, decay: f64, step: i32) -> f64 {
    beta1 * (1.0 - 0.5 * 0.96f64.powf(f64::from(step) * decay))
}

/// The product of the momenta of the steps 1 to `steps`, from the product so far that is `known`.
fn product_up_to(steps: i32, known: &mut (i32, f64), momentum: impl Fn(i32) -> f64) -> f64 {
    if known.0 > steps {
        *known = (0, 1.0);
    }
    while known.0 < steps && known.1 > 0.0 {
        known.0 += 1;
        known.1 *= momentum(known.0);
    }
    known.1
}

/// RAdam's r, or none where there are too few gradients for it.
fn rectification(beta2: f64, steps: i32) -> Option<f64> {
    let power = beta2.powi(steps);
    let longest = 2.0 / (1.0 - beta2) - 1.0;
    let length = longest - 2.0 * f64::from(steps) * power / (1.0 - power);
    let squared = (length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length);
    (length > 5.0).then(|| squared.sqrt())
}

/// The smallest gradient whose square counts: that of a smaller one is no normal number, and its root nothing beside ε.
#[inline(always)]
fn least_to_square(epsilon: f32) -> f32 {
    (1e-9 * epsilon).min(1e-17)
}

/// The numbers of one step of Adam, AdamW or RAdam.
#[derive(Clone, Copy)]
struct Adam {
    betas: [f64; 2],
    /// η / (1 − β₁ᵗ).
    rate: f32,
    /// What is left of a weight.
    shrink: f32,
    decay: f32,
    /// 1 / √(1 − β₂ᵗ).
    root: f32,
    epsilon: f32,
}

/// The numbers of one step of RMSprop.
#[derive(Clone, Copy)]
struct RmsProp {
    alpha: f64,
    rate: f32,
    decay: f32,
    epsilon: f32,
    momentum: f32,
    centered: bool,
}

vectorized! {
    fn adam(weights: &mut [f32], gradient: &[f32], m: &mut [f32], v: &mut [f32], step: Adam) {
        let [(keep1, new1), (keep2, new2)] = step.betas.map(|beta| (beta as f32, (1.0 - beta) as f32));
        let least = least_to_square(step.epsilon);
        for (((w, g), m), v) in weights.iter_mut().zip(gradient).zip(m).zip(v) {
            let g = g + step.decay * *w;
            let large = if g.abs() < least { 0.0 } else { g };
            *m = subnormal_to_zero(keep1 * *m + new1 * g);
            *v = subnormal_to_zero(keep2 * *v + new2 * large * large);
            *w = subnormal_to_zero(step.shrink * *w - step.rate * *m / (v.sqrt() * step.root + step.epsilon));
        }
    }

    fn adamax(
        weights: &mut [f32],
        gradient: &[f32],
        m: &mut [f32],
        u: &mut [f32],
        betas: [f64; 2],
        rate: f32,
        decay: f32,
        epsilon: f32,
    ) {
        let [(keep1, new1), (keep2, _)] = betas.map(|beta| (beta as f32, (1.0 - beta) as f32));
        for (((w, g), m), u) in weights.iter_mut().zip(gradient).zip(m).zip(u) {
            let g = g + decay * *w;
            *m = subnormal_to_zero(keep1 * *m + new1 * g);
            *u = (keep2 * *u).max(g.abs() + epsilon);
            *w = subnormal_to_zero(*w - rate * *m / *u);
        }
    }

    fn adagrad(weights: &mut [f32], gradient: &[f32], s: &mut [f32], rate: f32, decay: f32, epsilon: f32) {
        let least = least_to_square(epsilon);
        for ((w, g), s) in weights.iter_mut().zip(gradient).zip(s) {
            let g = g + decay * *w;
            let large = if g.abs() < least { 0.0 } else { g };
            *s += large * large;
            *w = subnormal_to_zero(*w - rate * g / (s.sqrt() + epsilon));
        }
    }

    fn nadam(
        weights: &mut [f32], gradient: &[f32], m: &mut [f32], v: &mut [f32], step: Adam, of_gradient: f32, of_mean: f32,
    ) {
        let [(keep1, new1), (keep2, new2)] = step.betas.map(|beta| (beta as f32, (1.0 - beta) as f32));
        let least = least_to_square(step.epsilon);
        for (((w, g), m), v) in weights.iter_mut().zip(gradient).zip(m).zip(v) {
            let g = g + step.decay * *w;
            let large = if g.abs() < least { 0.0 } else { g };
            *m = subnormal_to_zero(keep1 * *m + new1 * g);
            *v = subnormal_to_zero(keep2 * *v + new2 * large * large);
            let direction = (of_gradient * g + of_mean * *m) / (v.sqrt() * step.root + step.epsilon);
            *w = subnormal_to_zero(*w - direction);
        }
    }

    fn rmsprop(
        weights: &mut [f32], gradient: &[f32], v: &mut [f32], b: &mut [f32], mean: &mut [f32], step: RmsProp,
    ) {
        const PIECE: usize = 256;
        let (keep, new) = (step.alpha as f32, (1.0 - step.alpha) as f32);
        let least = least_to_square(step.epsilon);
        // What is not kept from step to step is zero at each.
        let (mut no_b, mut no_mean) = ([0.0; PIECE], [0.0; PIECE]);
        let pieces = weights.chunks_mut(PIECE).zip(gradient.chunks(PIECE)).zip(v.chunks_mut(PIECE)).enumerate();
        for (number, ((weights, gradient), v)) in pieces {
            let range = number * PIECE..number * PIECE + weights.len();
            no_b.fill(0.0);
            let b = b.get_mut(range.clone()).unwrap_or(&mut no_b);
            let mean = mean.get_mut(range).unwrap_or(&mut no_mean);
            for ((((w, g), v), b), mean) in weights.iter_mut().zip(gradient).zip(v).zip(b).zip(mean) {
                let g = g + step.decay * *w;
                let large = if g.abs() < least { 0.0 } else { g };
                *v = subnormal_to_zero(keep * *v + new * large * large);
                let mut variance = *v;
                if step.centered {
                    *mean = subnormal_to_zero(keep * *mean + new * g);
                    // Rounding may leave a little less than nothing.
                    variance = (variance - *mean * *mean).max(0.0);
                }
                *b = subnormal_to_zero(step.momentum * *b + g / (variance.sqrt() + step.epsilon));
                *w = subnormal_to_zero(*w - step.rate * *b);
            }
        }
    }

    fn lion(weights: &mut [f32], gradient: &[f32], m: &mut [f32], betas: [f64; 2], rate: f32, shrink: f32) {
        let [(keep1, new1), (keep2, new2)] = betas.map(|beta| (beta as f32, (1.0 - beta) as f32));
        for ((w, g), m) in weights.iter_mut().zip(gradient).zip(m) {
            let mean = keep1 * *m + new1 * g;
            // NaN stays NaN.
            let sign = if mean > 0.0 { 1.0 } else if mean < 0.0 { -1.0 } else { 0.0 * mean };
            *w = subnormal_to_zero(shrink * *w - rate * sign);
            *m = subnormal_to_zero(keep2 * *m + new2 * g);
        }
    }

    fn sgd(weights: &mut [f32], gradient: &[f32], rate: f32, decay: f32) {
        weights.iter_mut().zip(gradient).for_each(|(w, g)| *w = subnormal_to_zero(*w - rate * (g + decay * *w)));
    }

    fn sgd_with_momentum(
        weights: &mut [f32], gradient: &[f32], b: &mut [f32], rate: f32, decay: f32, momentum: f32, nesterov: bool,
    ) {
        for ((w, g), b) in weights.iter_mut().zip(gradient).zip(b) {
            let g = g + decay * *w;
            *b = subnormal_to_zero(momentum * *b + g);
            *w = subnormal_to_zero(*w - rate * if nesterov { g + momentum * *b } else { *b });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [fn() -> Optimizer; 12] = [
        || Optimizer::adam().weight_decay(0.01),
        Optimizer::adamw,
        Optimizer::adamax,
        Optimizer::adagrad,
        Optimizer::radam,
        Optimizer::nadam,
        Optimizer::rmsprop,
        || Optimizer::rmsprop().centered(),
        || Optimizer::rmsprop().momentum(0.9).centered().weight_decay(0.01),
        || Optimizer::lion().weight_decay(0.01),
        Optimizer::sgd,
        || Optimizer::sgd().momentum(0.9).nesterov(),
    ];

    /// Steps from `from` to `to` over two parameters, one of more than a block.
    fn go(state: &mut OptimizerState, weights: &mut [Weights; 2], from: i32, to: i32) {
        for step in from..to {
            let gradients = weights.each_ref().map(|weights| {
                let wave = |(i, w): (usize, &f32)| w + ((i as i32 + step) as f32 * 0.7).sin();
                weights.iter().enumerate().map(wave).collect::<Vec<f32>>().into()
            });
            state.update(weights.iter_mut(), &gradients);
        }
    }

    fn start() -> [Weights; 2] {
        [BLOCK + 77, 5].map(|length| Arc::new((0..length).map(|i| (i as f32 * 0.3).cos()).collect()))
    }

    #[test]
    fn every_weight_moves() {
        for optimizer in ALL {
            let (mut weights, mut state) = (start(), OptimizerState::new(optimizer(), 0.01));
            go(&mut state, &mut weights, 0, 1);
            for (now, then) in weights.iter().zip(start()) {
                assert!(now.iter().zip(then.iter()).all(|(now, then)| now != then), "{}", state.optimizer.name());
            }
        }
    }

    #[test]
    fn rebuilt_from_its_fields_it_goes_on_to_the_same_bits() {
        for optimizer in ALL {
            let (mut weights, mut state) = (start(), OptimizerState::new(optimizer(), 0.01));
            go(&mut state, &mut weights, 0, 9);
            let (mut whole, steps, moments) = (weights.clone(), state.steps, state.moments.clone());
            go(&mut state, &mut whole, 9, 15);
            let mut resumed = OptimizerState { steps, moments, ..OptimizerState::new(state.optimizer, 0.01) };
            go(&mut resumed, &mut weights, 9, 15);
            assert_eq!(weights, whole, "{}", state.optimizer.name());
        }
    }

    /// What dead units leave behind fades to 0, not to the numbers below all normal ones, which would be slow for ever.
    #[test]
    fn moments_fade_to_nothing() {
        for optimizer in ALL {
            let (mut weights, mut state) = (start(), OptimizerState::new(optimizer().weight_decay(0.0), 1e-4));
            state.update(weights.iter_mut(), &start().map(|values| values.to_vec().into()));
            for step in 0..4000 {
                let size = if step < 1000 { 1e-20 } else { 0.0 };
                let gradients = start().map(|values| values.iter().map(|v| size * v).collect::<Vec<f32>>().into());
                state.update(weights.iter_mut(), &gradients);
            }
            let kept = state.moments.iter().flatten().flatten().chain(weights.iter().flat_map(|w| w.iter()));
            assert!(kept.clone().all(|value| !value.is_subnormal()), "{}", state.optimizer.name());
            assert!(kept.into_iter().all(|value| value.is_finite()));
        }
    }
}
