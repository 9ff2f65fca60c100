use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{LayerContext, Operation, batch_norm::check_epsilon, columns};
use crate::{
    engine::{Buffer, OnThreads, add_rows, column_sums, tiny_to_zero, vectorized},
    nn::{
        init::ParameterSpec,
        sequential::Sequential,
        tape::{Pass, Variable},
    },
};

/// Layer and group normalisation: y = γ · (x − μ) / √(σ² + ε) + β, with the mean μ and the variance σ² (divided by N)
/// of a group of N values of one sample, in training and in prediction.
///
/// Layer normalisation (Ba et al. 2016) has all values of a sample in one group, and a γ and β for each of them: for
/// feature maps PyTorch's `LayerNorm([channels, height, width])`. Of a sequence, each time step is a group, and γ and β
/// are those of its features. Group normalisation (Wu and He 2018) has all pixels of some channels in a group, and a γ
/// and β for each channel.
///
/// Backward pass, with x̂ = (x − μ) / √(σ² + ε), ĝ = γ · g and ⟨·⟩ the mean over the group: ∂x = (ĝ − ⟨ĝ⟩ − x̂ ·
/// ⟨ĝ·x̂⟩) / √(σ² + ε); ∂γ = Σ g·x̂ and ∂β = Σ g over all that share them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Norm {
    Layer { epsilon: f32 },
    Group { groups: usize, epsilon: f32 },
}

/// PyTorch's.
const EPSILON: f32 = 1e-5;

impl Sequential {
    /// Layer normalisation (Ba et al. 2016): y = γ · (x − mean) / √(variance + ε) + β with the mean and the variance of
    /// one sample's own values, in training as in prediction. Any shape of one to three axes, unchanged.
    ///
    /// The mean is taken over all of `[k]` and of feature maps `[channels, height, width]`, as PyTorch's `LayerNorm` of
    /// that shape does, and over the features of each time step of a sequence `[time, features]`. As many γ and β are
    /// learned as there are values in it; for feature maps they are stored as (height, width, channels). ε is 10⁻⁵, as
    /// in PyTorch, unless [`epsilon`](Self::epsilon) after it says otherwise (Keras: 0.001).
    ///
    /// ```
    /// use latentlab::{Sequential, ndarray::arr2};
    ///
    /// let network = Sequential::input([2]).layer_norm().build()?;
    /// let y = network.predict(&arr2(&[[3.0, 5.0], [70.0, 50.0]]).into_dyn())?;
    /// assert!((y - arr2(&[[-1.0, 1.0], [1.0, -1.0]]).into_dyn()).iter().all(|difference| difference.abs() < 1e-4));
    /// assert_eq!(network.parameter_count(), 4);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn layer_norm(self) -> Self {
        self.push(Norm::Layer { epsilon: EPSILON })
    }

    /// Group normalisation (Wu and He 2018): as [`layer_norm`](Self::layer_norm), but with the mean and the variance of
    /// `groups` groups of neighbouring channels, over all their pixels, and a γ and β for each channel. Input
    /// `[channels, height, width]` or `[k]`, unchanged; `groups` must divide the channels. PyTorch's `GroupNorm`,
    /// Keras' `GroupNormalization` with ε 10⁻⁵; as many groups as channels make it instance normalisation.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// let network = Sequential::input([1, 28, 28]).conv2d(32, 3).group_norm(8).relu().build()?;
    /// assert_eq!(network.parameter_count(), (9 * 32 + 32) + 2 * 32);
    ///
    /// let error = Sequential::input([6, 4, 4]).group_norm(4).build().unwrap_err().to_string();
    /// assert_eq!(error, "layer 1, group_norm: expected groups that divide 6 channels, got 4");
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn group_norm(self, groups: usize) -> Self {
        self.push(Norm::Group { groups, epsilon: EPSILON })
    }
}

/// Of what shape the samples are: rows of channels, in groups.
#[derive(Clone, Copy)]
struct Groups {
    /// Values of a sample.
    values: usize,
    /// How many γ and β there are.
    channels: usize,
    groups: usize,
    epsilon: f32,
}

impl Norm {
    fn groups(&self, input: &[usize]) -> Groups {
        let all = input.iter().product();
        match (*self, input) {
            (Self::Layer { epsilon }, [_, features]) => {
                Groups { values: *features, channels: *features, groups: 1, epsilon }
            }
            (Self::Layer { epsilon }, _) => Groups { values: all, channels: all, groups: 1, epsilon },
            (Self::Group { groups, epsilon }, _) => Groups { values: all, channels: columns(input), groups, epsilon },
        }
    }
}

impl Operation for Norm {
    fn name(&self) -> &'static str {
        match self {
            Self::Layer { .. } => "layer_norm",
            Self::Group { .. } => "group_norm",
        }
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        match (*self, input) {
            (Self::Layer { epsilon }, [_] | [_, _] | [_, _, _]) => check_epsilon(epsilon)?,
            (Self::Layer { .. }, _) => {
                return Err(format!("expected [k], [time, features] or [channels, height, width], got {input:?}"));
            }
            (Self::Group { groups, epsilon }, [channels] | [channels, _, _]) => {
                if groups == 0 || channels % groups != 0 {
                    return Err(format!("expected groups that divide {channels} channels, got {groups}"));
                }
                check_epsilon(epsilon)?;
            }
            (Self::Group { .. }, _) => return Err(format!("expected [k] or [channels, height, width], got {input:?}")),
        }
        Ok(input.to_vec())
    }

    fn parameters(&self, input: &[usize]) -> Vec<ParameterSpec> {
        let shape = match (self, input) {
            (Self::Layer { .. }, [channels, height, width]) => vec![*height, *width, *channels],
            _ => vec![self.groups(input).channels],
        };
        vec![ParameterSpec::constant("gamma", shape.clone(), 1.0), ParameterSpec::constant("beta", shape, 0.0)]
    }

    fn epsilon_mut(&mut self) -> Option<&mut f32> {
        match self {
            Self::Layer { epsilon } | Self::Group { epsilon, .. } => Some(epsilon),
        }
    }

    fn forward(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let [gamma_parameter, beta_parameter] = [0, 1].map(|index| context.parameter(index, pass));
        let (gamma, beta) = (Arc::clone(&context.weights[0]), &context.weights[1]);
        let (groups, row) = (self.groups(context.input), context.input.iter().product());
        let scratch = move || vec![0.0; groups.channels];
        let mut y = Buffer::unset(x.values.len());
        y.par_chunks_mut(row).zip(x.values.par_chunks(row)).on_threads().for_each_init(scratch, |inverse, (y, x)| {
            for (y, x) in y.chunks_exact_mut(groups.values).zip(x.chunks_exact(groups.values)) {
                groups.standardise(x, inverse, y);
                line(y, &gamma, beta);
            }
        });
        pass.record(Arc::new(y), x.rows, true, move |mut g, gradients| {
            gradients.add_to_parameter(beta_parameter, column_sums(&g, groups.channels));
            // x̂ at first, then its products with g.
            let mut products = Buffer::unset(g.len());
            let rows = g.par_chunks_mut(row).zip(products.par_chunks_mut(row)).zip(x.values.par_chunks(row));
            let init = || [0; 3].map(|_| scratch());
            rows.on_threads().for_each_init(init, |[inverse, first, second], ((g, hat), x)| {
                let samples = g.chunks_exact_mut(groups.values).zip(hat.chunks_exact_mut(groups.values));
                for ((g, hat), x) in samples.zip(x.chunks_exact(groups.values)) {
                    groups.standardise(x, inverse, hat);
                    groups.backward(&gamma, inverse, [&mut *first, &mut *second], hat, g);
                }
            });
            gradients.add_to_parameter(gamma_parameter, column_sums(&products, groups.channels));
            gradients.add_to(&x, g);
        })
    }
}

impl Groups {
    /// Sets `out` to x̂ of a sample, and `inverse` to 1 / √(σ² + ε) of each channel.
    fn standardise(&self, x: &[f32], inverse: &mut [f32], out: &mut [f32]) {
        inverse.fill(0.0);
        add_rows(x, inverse);
        self.mean_of_groups(inverse);
        subtract(x, inverse, out);
        inverse.fill(0.0);
        add_products(out, out, inverse);
        self.mean_of_groups(inverse);
        inverse.iter_mut().for_each(|variance| *variance = 1.0 / (*variance + self.epsilon).sqrt());
        multiply(out, inverse);
    }

    /// Turns the gradient of y into that of x, and x̂ into its products with the gradient of y.
    fn backward(&self, gamma: &[f32], inverse: &[f32], means: [&mut [f32]; 2], hat: &mut [f32], g: &mut [f32]) {
        let [mean, mean_of_products] = means;
        mean.fill(0.0);
        mean_of_products.fill(0.0);
        add_rows(g, mean);
        add_products(g, hat, mean_of_products);
        for sums in [&mut *mean, &mut *mean_of_products] {
            multiply(sums, gamma);
            self.mean_of_groups(sums);
        }
        gradient(g, hat, gamma, inverse, mean, mean_of_products);
    }

    /// From the sum of each channel to the mean of its group.
    fn mean_of_groups(&self, sums: &mut [f32]) {
        for group in sums.chunks_exact_mut(self.channels / self.groups) {
            let mean = sum(group) / (self.values / self.groups) as f32;
            group.fill(mean);
        }
    }
}

vectorized! {
    fn sum(values: &[f32]) -> f32 {
        let (lanes, rest) = values.as_chunks::<16>();
        let mut sums = [0.0f32; 16];
        lanes.iter().for_each(|lanes| sums.iter_mut().zip(lanes).for_each(|(sum, value)| *sum += value));
        sums.iter().chain(rest).sum()
    }

    fn add_products(a: &[f32], b: &[f32], sums: &mut [f32]) {
        for (a, b) in a.chunks_exact(sums.len()).zip(b.chunks_exact(sums.len())) {
            sums.iter_mut().zip(a).zip(b).for_each(|((sum, a), b)| *sum += a * b);
        }
    }

    fn subtract(x: &[f32], means: &[f32], out: &mut [f32]) {
        for (out, x) in out.chunks_exact_mut(means.len()).zip(x.chunks_exact(means.len())) {
            out.iter_mut().zip(x).zip(means).for_each(|((out, x), mean)| *out = x - mean);
        }
    }

    fn multiply(values: &mut [f32], factors: &[f32]) {
        for values in values.chunks_exact_mut(factors.len()) {
            values.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
        }
    }

    fn line(y: &mut [f32], gamma: &[f32], beta: &[f32]) {
        for y in y.chunks_exact_mut(gamma.len()) {
            y.iter_mut().zip(gamma).zip(beta).for_each(|((y, gamma), beta)| *y = *y * gamma + beta);
        }
    }

    fn gradient(
        g: &mut [f32],
        hat: &mut [f32],
        gamma: &[f32],
        inverse: &[f32],
        mean: &[f32],
        mean_of_products: &[f32],
    ) {
        for (g, hat) in g.chunks_exact_mut(gamma.len()).zip(hat.chunks_exact_mut(gamma.len())) {
            let channels = gamma.iter().zip(inverse).zip(mean).zip(mean_of_products);
            for ((g, hat), (((gamma, inverse), mean), mean_of_products)) in g.iter_mut().zip(hat).zip(channels) {
                let product = tiny_to_zero(*g * *hat);
                *g = tiny_to_zero((*g * gamma - mean - *hat * mean_of_products) * inverse);
                *hat = product;
            }
        }
    }
}
