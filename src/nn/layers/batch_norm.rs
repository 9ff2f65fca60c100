use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Layer, Operation, Place};
use crate::nn::{
    buffer::Buffer,
    engine::{add_rows, four_rows, repeat, shard, vectorized},
    init::ParameterSpec,
    sequential::Sequential,
    tape::{Pass, Tape, Variable, record},
};

/// Batch normalisation (Ioffe and Szegedy 2015): y = γ · (x − μ) / √(σ² + ε) + β, channel by channel.
///
/// μ and σ² are the mean and variance (divided by N) of the channel over the batch and, for pictures, over all N pixels of it; in prediction
/// the running ones. Shapes: x and y (n, channels, height, width) or (n, channels); γ, β and the running statistics (channels). Backwards, with x̂ = (x − μ) / √(σ² + ε)
/// and ⟨·⟩ the mean over N: ∂β = Σ g, ∂γ = Σ g·x̂, ∂x = γ / √(σ² + ε) · (g − ⟨g⟩ − x̂ · ⟨g·x̂⟩).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BatchNorm {
    momentum: f32,
    epsilon: f32,
}

impl Sequential {
    /// Batch normalisation (Ioffe and Szegedy 2015) of pictures, channel by channel, or of rows of values, value by value. Any shape, unchanged.
    ///
    /// In training, y = γ · (x − mean) / √(variance + ε) + β with the batch's own mean and variance; in prediction, with the running ones. Each step moves
    /// these: running ← momentum · running + (1 − momentum) · batch's. The defaults are Keras': momentum 0.99, ε 0.001, the variance divided by N.
    /// PyTorch's are ε 10⁻⁵ and momentum 0.9 in this sense (it writes 0.1, the share of the new), and its running variance is divided by N − 1.
    /// [`momentum`](Self::momentum) and [`epsilon`](Self::epsilon) after it change them.
    ///
    /// It holds 4 numbers a channel: γ and β, which training learns, and the running mean and variance, which it observes; all four are saved.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// let pytorch = Sequential::input([8, 4, 4]).batch_norm().momentum(0.9).epsilon(1e-5).build()?;
    /// assert_eq!(pytorch.parameter_count(), 4 * 8);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn batch_norm(self) -> Self {
        self.push(Layer::BatchNorm(BatchNorm { momentum: 0.99, epsilon: 1e-3 }))
    }

    /// How much of its running statistics the batch normalisation before it keeps in each step, in [0, 1]; default 0.99.
    pub fn momentum(self, momentum: f32) -> Self {
        self.amend("momentum", "a batch_norm", |layer| match layer {
            Layer::BatchNorm(layer) => Some(layer.momentum = momentum),
            _ => None,
        })
    }

    /// What the batch normalisation before it adds to the variance, above 0; default 0.001.
    pub fn epsilon(self, epsilon: f32) -> Self {
        self.amend("epsilon", "a batch_norm", |layer| match layer {
            Layer::BatchNorm(layer) => Some(layer.epsilon = epsilon),
            _ => None,
        })
    }
}

impl Operation for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        if !(0.0..=1.0).contains(&self.momentum) {
            return Err(format!("expected a momentum in [0, 1], got {}", self.momentum));
        }
        if !(self.epsilon > 0.0 && self.epsilon.is_finite()) {
            return Err(format!("expected an epsilon above 0, got {}", self.epsilon));
        }
        match input {
            [_] | [_, _, _] => Ok(input.to_vec()),
            _ => Err(format!("expected [k] or [channels, height, width], got {input:?}")),
        }
    }

    fn parameters(&self, input: &[usize]) -> Vec<ParameterSpec> {
        vec![
            ParameterSpec::constant("gamma", [input[0]], 1.0),
            ParameterSpec::constant("beta", [input[0]], 0.0),
            ParameterSpec::statistic("running_mean", [input[0]], 0.0),
            ParameterSpec::statistic("running_variance", [input[0]], 1.0),
        ]
    }

    fn takes_slope(&self) -> bool {
        true
    }

    fn forward<T: Tape>(&self, x: Variable<T>, place: Place<'_>, pass: &mut Pass) -> Variable<T> {
        let (gamma, beta) = (&place.weights[0], &place.weights[1]);
        let (gamma_key, beta_key) = (pass.parameter(gamma), pass.parameter(beta));
        let (x, tape) = x.split();
        let (channels, slope, training) = (place.input[0], place.slope, pass.training);
        let count = x.values.len() / channels;

        let (mean, variance) = if training {
            let (mean, variance) = moments(&x.values, channels);
            for (running, batch) in place.weights[2..].iter().zip([&mean, &variance]) {
                let moved = running.iter().zip(batch).map(|(r, b)| self.momentum * r + (1.0 - self.momentum) * b);
                pass.observe(moved.collect());
            }
            (mean, variance)
        } else {
            (place.weights[2].to_vec(), place.weights[3].to_vec())
        };
        let inverse: Vec<f32> = variance.iter().map(|variance| 1.0 / (variance + self.epsilon).sqrt()).collect();
        let scale: Vec<f32> = gamma.iter().zip(&inverse).map(|(gamma, inverse)| gamma * inverse).collect();
        let shift: Vec<f32> =
            beta.iter().zip(&mean).zip(&scale).map(|((beta, mean), scale)| beta - mean * scale).collect();
        let line = Line { scale, shift, slope };

        let y = Arc::new(line.apply(&x.values));
        record(tape, y, x.rows, true, move |mut g, gradients| {
            let (beta_gradient, gamma_gradient) = line.sums(&x.values, &mut g, &mean, &inverse);
            if x.needs_gradient {
                // ∂x = scale · g + constant + factor · x
                let share = if training { 1.0 / count as f32 } else { 0.0 };
                let factor: Vec<f32> =
                    (0..channels).map(|c| -line.scale[c] * inverse[c] * gamma_gradient[c] * share).collect();
                let constant: Vec<f32> =
                    (0..channels).map(|c| -line.scale[c] * beta_gradient[c] * share - factor[c] * mean[c]).collect();
                line.gradient(&x.values, &mut g, &factor, &constant);
                gradients.add_to(&x, g);
            }
            gradients.add_to_parameter(&gamma_key, gamma_gradient);
            gradients.add_to_parameter(&beta_key, beta_gradient);
        })
    }
}

/// Rows whose mean is taken before they are joined with others: few enough to stay in the first-level cache.
const ROWS: usize = 128;

/// The mean and the variance (divided by N) of each column.
///
/// Block by block, each about its own mean, and then joined (Chan, Golub and LeVeque 1983): a column far from 0 loses no digits.
fn moments(x: &[f32], columns: usize) -> (Vec<f32>, Vec<f32>) {
    let width = columns * repeat(x.len() / columns, columns);
    let shard = shard(x.len() / width, width);
    let shards: Vec<Vec<[f64; 2]>> = x
        .par_chunks(shard)
        .map(|x| {
            let mut joined = vec![[0.0; 2]; width];
            let (mut sums, mut squares) = (vec![0.0f32; width], vec![0.0f32; width]);
            let mut rows_before = 0.0;
            for block in x.chunks(ROWS * width) {
                let rows = (block.len() / width) as f32;
                means_and_squares(block, &mut sums, &mut squares);
                for ((joined, mean), square) in joined.iter_mut().zip(&sums).zip(&squares) {
                    join(joined, rows_before, [f64::from(*mean), f64::from(*square)], f64::from(rows));
                }
                rows_before += f64::from(rows);
            }
            joined
        })
        .collect();
    let mut all = vec![[0.0; 2]; columns];
    let mut rows_before = 0.0;
    for (part, x) in shards.iter().zip(x.chunks(shard)) {
        let rows = (x.len() / width) as f64;
        for part in part.chunks_exact(columns) {
            all.iter_mut().zip(part).for_each(|(all, part)| join(all, rows_before, *part, rows));
            rows_before += rows;
        }
    }
    all.iter().map(|[mean, squares]| (*mean as f32, (squares / rows_before.max(1.0)) as f32)).unzip()
}

/// Joins the mean and the sum of squares about it of `count` values with those of `more` others.
fn join([mean, squares]: &mut [f64; 2], count: f64, [other_mean, other_squares]: [f64; 2], more: f64) {
    let (difference, share) = (other_mean - *mean, more / (count + more));
    *mean += difference * share;
    *squares += other_squares + difference * difference * count * share;
}

/// y = leaky(scale · x + shift), column by column.
struct Line {
    scale: Vec<f32>,
    shift: Vec<f32>,
    slope: f32,
}

impl Line {
    fn apply(&self, x: &[f32]) -> Buffer {
        let repeat = repeat(x.len() / self.scale.len(), self.scale.len());
        let (scale, shift) = (self.scale.repeat(repeat), self.shift.repeat(repeat));
        let width = scale.len();
        let shard = shard(x.len() / width, width);
        let mut y = Buffer::unset(x.len());
        y.par_chunks_mut(shard).zip(x.par_chunks(shard)).for_each(|(y, x)| {
            line(x, &scale, &shift, self.slope, y);
        });
        y
    }

    /// Takes the gradient of y back to that of the line, in place; returns its sums Σ g and Σ g · x̂.
    fn sums(&self, x: &[f32], g: &mut [f32], mean: &[f32], inverse: &[f32]) -> (Buffer, Buffer) {
        let columns = self.scale.len();
        let repeat = repeat(x.len() / columns, columns);
        let (scale, shift, mean) = (self.scale.repeat(repeat), self.shift.repeat(repeat), mean.repeat(repeat));
        let width = scale.len();
        let shard = shard(x.len() / width, width);
        let mut sums = Buffer::zeros(x.len().div_ceil(shard) * 2 * width);
        sums.par_chunks_mut(2 * width).zip(g.par_chunks_mut(shard).zip(x.par_chunks(shard))).for_each(
            |(sums, (g, x))| {
                let (sums, products) = sums.split_at_mut(width);
                line_sums(g, x, &scale, &shift, &mean, self.slope, sums, products);
            },
        );
        let mut totals = vec![[0.0f64; 2]; columns];
        for part in sums.chunks_exact(2 * width) {
            let (sums, products) = part.split_at(width);
            for (index, (sum, product)) in sums.iter().zip(products).enumerate() {
                totals[index % columns][0] += f64::from(*sum);
                totals[index % columns][1] += f64::from(*product);
            }
        }
        let sum = totals.iter().map(|total| total[0] as f32).collect::<Vec<_>>();
        let product = totals.iter().zip(inverse).map(|(total, inverse)| total[1] as f32 * inverse).collect::<Vec<_>>();
        (sum.into(), product.into())
    }

    /// ∂x = scale · g + factor · x + constant, in place.
    fn gradient(&self, x: &[f32], g: &mut [f32], factor: &[f32], constant: &[f32]) {
        let repeat = repeat(x.len() / self.scale.len(), self.scale.len());
        let (scale, factor, constant) = (self.scale.repeat(repeat), factor.repeat(repeat), constant.repeat(repeat));
        let width = scale.len();
        let shard = shard(x.len() / width, width);
        g.par_chunks_mut(shard).zip(x.par_chunks(shard)).for_each(|(g, x)| {
            line_gradient(g, x, &scale, &factor, &constant);
        });
    }
}

vectorized! {
    /// The mean of each column and the sum of squares about it.
    fn means_and_squares(x: &[f32], means: &mut [f32], squares: &mut [f32]) {
        let width = means.len();
        means.fill(0.0);
        squares.fill(0.0);
        add_rows(x, means);
        let rows = (x.len() / width) as f32;
        means.iter_mut().for_each(|sum| *sum /= rows);
        let fours = x.chunks_exact(4 * width);
        for row in fours.remainder().chunks_exact(width) {
            for ((square, mean), x) in squares.iter_mut().zip(&*means).zip(row) {
                *square += (x - mean) * (x - mean);
            }
        }
        for rows in fours {
            let (a, b, c, d) = four_rows(rows, width);
            for (((((square, mean), a), b), c), d) in squares.iter_mut().zip(&*means).zip(a).zip(b).zip(c).zip(d) {
                let (a, b, c, d) = (a - mean, b - mean, c - mean, d - mean);
                *square += (a * a + b * b) + (c * c + d * d);
            }
        }
    }

    fn line(x: &[f32], scale: &[f32], shift: &[f32], slope: f32, y: &mut [f32]) {
        for (y, x) in y.chunks_exact_mut(scale.len()).zip(x.chunks_exact(scale.len())) {
            for (((y, x), scale), shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                let value = x * scale + shift;
                *y = if value < 0.0 { slope * value } else { value };
            }
        }
    }

    fn line_sums(
        g: &mut [f32], x: &[f32], scale: &[f32], shift: &[f32], mean: &[f32], slope: f32, sums: &mut [f32], products: &mut [f32],
    ) {
        for (g, x) in g.chunks_exact_mut(scale.len()).zip(x.chunks_exact(scale.len())) {
            let (line, sums) = (scale.iter().zip(shift).zip(mean), sums.iter_mut().zip(&mut *products));
            for (((g, x), ((scale, shift), mean)), (sum, product)) in g.iter_mut().zip(x).zip(line).zip(sums) {
                *g *= if x * scale + shift > 0.0 { 1.0 } else { slope };
                *sum += *g;
                *product += *g * (x - mean);
            }
        }
    }

    fn line_gradient(g: &mut [f32], x: &[f32], scale: &[f32], factor: &[f32], constant: &[f32]) {
        for (g, x) in g.chunks_exact_mut(scale.len()).zip(x.chunks_exact(scale.len())) {
            let line = scale.iter().zip(factor).zip(constant);
            for ((g, x), ((scale, factor), constant)) in g.iter_mut().zip(x).zip(line) {
                *g = *g * scale + x * factor + constant;
            }
        }
    }
}
