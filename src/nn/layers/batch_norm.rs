use std::{ops::Range, sync::Arc};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    Layer, LayerContext, Operation, Weights,
    max_pool2d::scatter,
    windows::{Windows, for_channels},
};
use crate::{
    engine::{Buffer, Moments, OnThreads, prefetch, repeat, shard, tiny_to_zero, vectorized},
    nn::{
        init::ParameterSpec,
        sequential::Sequential,
        tape::{GradientByRows, Pass, Variable},
    },
};

/// Batch normalisation (Ioffe and Szegedy 2015): y = γ · (x − μ) / √(σ² + ε) + β, channel by channel.
///
/// μ and σ² are the mean and variance (divided by N) of the channel over the batch and, for feature maps, over all N
/// pixels of it; in prediction the running ones. Shapes: x and y (n, channels, height, width) or (n, channels); γ, β
/// and the running statistics (channels). Backward pass, with x̂ = (x − μ) / √(σ² + ε) and ⟨·⟩ the mean over N: ∂β = Σ
/// g, ∂γ = Σ g·x̂, ∂x = γ / √(σ² + ε) · (g − ⟨g⟩ − x̂ · ⟨g·x̂⟩).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BatchNorm {
    momentum: f32,
    pub(crate) epsilon: f32,
}

impl Sequential {
    /// Batch normalisation (Ioffe and Szegedy 2015) of feature maps, channel by channel, or of rows of values, value by
    /// value. Any shape, unchanged.
    ///
    /// In training, y = γ · (x − mean) / √(variance + ε) + β with the batch's own mean and variance; in prediction,
    /// with the running ones. Each step moves these: running ← momentum · running + (1 − momentum) · batch's. The
    /// defaults are Keras': momentum 0.99, ε 0.001, the variance divided by N. PyTorch's are ε 10⁻⁵ and momentum 0.9 in
    /// this sense (it writes 0.1, the share of the new), and its running variance is divided by N − 1.
    /// [`momentum`](Self::momentum) and [`epsilon`](Self::epsilon) after it change them.
    ///
    /// It holds 4 numbers a channel: γ and β, which training learns, and the running mean and variance, which it
    /// observes; all four are saved.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// let pytorch = Sequential::input([8, 4, 4]).batch_norm().momentum(0.9).epsilon(1e-5).build()?;
    /// assert_eq!(pytorch.parameter_count(), 4 * 8);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn batch_norm(self) -> Self {
        self.push(BatchNorm { momentum: 0.99, epsilon: 1e-3 })
    }

    /// How much of its running statistics the batch normalisation before it keeps in each step, in [0, 1]; default
    /// 0.99.
    pub fn momentum(self, momentum: f32) -> Self {
        self.amend("momentum", "a batch_norm", |layer| {
            match layer {
                Layer::BatchNorm(layer) => layer.momentum = momentum,
                _ => return false,
            }
            true
        })
    }

    /// What the normalisation before it adds to the variance, above 0; default 0.001 for
    /// [`batch_norm`](Self::batch_norm), 10⁻⁵ for [`layer_norm`](Self::layer_norm) and
    /// [`group_norm`](Self::group_norm).
    pub fn epsilon(self, epsilon: f32) -> Self {
        self.amend("epsilon", "a normalisation", |layer| {
            layer.operation_mut().epsilon_mut().map(|old| *old = epsilon).is_some()
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
        check_epsilon(self.epsilon)?;
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

    fn needs_whole_batch(&self) -> bool {
        true
    }

    fn needs_two_rows(&self, input: &[usize]) -> bool {
        input[1..].iter().all(|n| *n == 1)
    }

    fn epsilon_mut(&mut self) -> Option<&mut f32> {
        Some(&mut self.epsilon)
    }

    fn forward(&self, mut x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let (gamma, beta) = (&context.weights[0], &context.weights[1]);
        let [gamma_parameter, beta_parameter] = [0, 1].map(|index| context.parameter(index, pass));
        let (channels, training) = (context.input[0], pass.training);
        let count = x.values.len() / channels;

        let (mean, variance) = if training {
            let moments = x.moments.take().unwrap_or_else(|| Moments::in_parallel(&x.values, channels).into());
            let (mean, variance) = moments.mean_and_variance();
            for (index, batch) in [(2, &mean), (3, &variance)] {
                // From what this pass has noted, if the network runs in it a second time.
                let running = pass.observed(context.key(index)).unwrap_or_else(|| context.weights[index].to_vec());
                let moved = running.iter().zip(batch).map(|(r, b)| self.momentum * r + (1.0 - self.momentum) * b);
                let moved = moved.collect();
                pass.observe(context.key(index), moved);
            }
            (mean, variance)
        } else {
            (context.weights[2].to_vec(), context.weights[3].to_vec())
        };
        let inverse: Vec<f32> = variance.iter().map(|variance| 1.0 / (variance + self.epsilon).sqrt()).collect();
        let (scale, shift) = line_of(gamma, beta, &mean, &inverse);
        let pooling = context.fused.pool.as_ref().map(|pool| pool.windows(context.input));
        let line = Line::new(&scale, &shift, context.slope(), count);

        let (y, taken) = match pooling {
            None => (line.apply(&x.values), None),
            Some(windows) => {
                let (y, taken) = line.apply_and_pool(&x.values, windows);
                (y, Some(taken))
            }
        };
        pass.record(Arc::new(y), x.rows, true, move |g, gradients| {
            // Where the gradient of a pooled feature map is not zero, x is what was taken.
            let [beta_gradient, gamma_gradient] = line.sums(taken.as_ref().unwrap_or(&x.values), &g, &mean, &inverse);
            if x.needs_gradient {
                // ∂x = scale · g + factor · x + constant
                let share = if training { 1.0 / count as f32 } else { 0.0 };
                let factor: Vec<f32> =
                    (0..channels).map(|c| -scale[c] * inverse[c] * gamma_gradient[c] * share).collect();
                let constant: Vec<f32> =
                    (0..channels).map(|c| -scale[c] * beta_gradient[c] * share - factor[c] * mean[c]).collect();
                let (values, rows) = (Arc::clone(&x.values), x.rows);
                let [width, g_width] = [x.values.len(), g.len()].map(|values| values / rows.max(1));
                let [factor, constant] = [factor, constant].map(|of| of.repeat(line.repeat));
                let write = move |rows: Range<usize>, out: &mut [f32]| {
                    let range = |width: usize| rows.start * width..rows.end * width;
                    let pooled = pooling.zip(taken.as_ref()).map(|(windows, taken)| (windows, &taken[range(g_width)]));
                    line.gradient(&values[range(width)], &g[range(g_width)], pooled, (&factor, &constant), out);
                };
                gradients.add_by_rows(&x, GradientByRows { rows, width, write: Box::new(write) });
            }
            gradients.add_to_parameter(gamma_parameter, gamma_gradient);
            gradients.add_to_parameter(beta_parameter, beta_gradient);
        })
    }
}

/// Refuses an ε that a variance cannot take.
pub(super) fn check_epsilon(epsilon: f32) -> Result<(), String> {
    if epsilon > 0.0 && epsilon.is_finite() {
        Ok(())
    } else {
        Err(format!("expected an epsilon above 0, got {epsilon}"))
    }
}

impl BatchNorm {
    /// What it does in predictions, of each channel: y = scale · x + shift.
    pub(crate) fn line(&self, weights: &[Weights]) -> (Vec<f32>, Vec<f32>) {
        let inverse: Vec<f32> = weights[3].iter().map(|variance| 1.0 / (variance + self.epsilon).sqrt()).collect();
        line_of(&weights[0], &weights[1], &weights[2], &inverse)
    }
}

fn line_of(gamma: &[f32], beta: &[f32], mean: &[f32], inverse: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let scale: Vec<f32> = gamma.iter().zip(inverse).map(|(gamma, inverse)| gamma * inverse).collect();
    let shift = beta.iter().zip(mean).zip(&scale).map(|((beta, mean), scale)| beta - mean * scale).collect();
    (scale, shift)
}

/// y = leaky(scale · x + shift), column by column; max-pooled, if a pooling is fused: then neither the feature maps
/// before the pooling nor their gradient are ever written.
struct Line {
    /// Repeated, see [`repeat`].
    scale: Vec<f32>,
    shift: Vec<f32>,
    slope: f32,
    repeat: usize,
}

/// The windows of a pooling, and the x of which the largest value of each was made.
type Pooled<'a> = Option<(Windows, &'a [f32])>;

impl Line {
    fn new(scale: &[f32], shift: &[f32], slope: f32, rows: usize) -> Self {
        let repeat = repeat(rows, scale.len());
        Self { scale: scale.repeat(repeat), shift: shift.repeat(repeat), slope, repeat }
    }

    fn apply(&self, x: &[f32]) -> Buffer {
        let shard = shard(x.len() / self.scale.len(), self.scale.len());
        let mut y = Buffer::unset(x.len());
        y.par_chunks_mut(shard).zip(x.par_chunks(shard)).on_threads().for_each(|(y, x)| {
            line(x, &self.scale, &self.shift, self.slope, y);
        });
        y
    }

    /// How many values are side by side in a row of the loops over that many: of few rows, which need not be as many as
    /// are [repeated](repeat), one row.
    fn width(&self, values: usize) -> usize {
        if values.is_multiple_of(self.scale.len()) { self.scale.len() } else { self.scale.len() / self.repeat }
    }

    /// The pooled feature maps, and the x of which each of their values was made.
    fn apply_and_pool(&self, x: &[f32], windows: Windows) -> (Buffer, Buffer) {
        let windows = windows.row();
        let ((from, to), offsets) = (windows.sizes(), windows.offsets());
        let mut y = Buffer::unset(x.len() / from * to);
        let mut taken = Buffer::unset(y.len());
        let outputs = y.par_chunks_mut(to).zip(taken.par_chunks_mut(to));
        outputs.zip(x.par_chunks(from).enumerate()).on_threads().for_each(|((y, taken), (row, piece))| {
            prefetch(x.get((row + 1) * from..(row + 2) * from).unwrap_or_default());
            largest_of_line(piece, windows, &offsets, &self.scale, &self.shift, self.slope, y, taken);
        });
        (y, taken)
    }

    /// Σ g and Σ g · x̂ for each column, g being taken back to the line.
    fn sums(&self, x: &[f32], g: &[f32], mean: &[f32], inverse: &[f32]) -> [Buffer; 2] {
        let (columns, width) = (inverse.len(), self.width(x.len()));
        let (scale, shift, mean) = (&self.scale[..width], &self.shift[..width], mean.repeat(width / inverse.len()));
        let shard = shard(x.len() / width, width);
        let mut sums = Buffer::zeros(x.len().div_ceil(shard) * 2 * width);
        let shards = x.par_chunks(shard).zip(g.par_chunks(shard));
        sums.par_chunks_mut(2 * width).zip(shards).on_threads().for_each(|(sums, (x, g))| {
            let (sums, products) = sums.split_at_mut(width);
            line_sums(g, x, scale, shift, &mean, self.slope, sums, products);
        });
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
        [sum.into(), product.into()]
    }

    /// ∂x = scale · g + factor · x + constant, g being taken back to the line; factor and constant are
    /// [repeated](repeat).
    fn gradient(
        &self,
        x: &[f32],
        g: &[f32],
        pooled: Pooled<'_>,
        (factor, constant): (&[f32], &[f32]),
        out: &mut [f32],
    ) {
        let backward = |g: &[f32], x: &[f32], out: &mut [f32]| {
            let width = self.width(out.len());
            let [scale, shift, factor, constant] =
                [&self.scale[..], &self.shift, factor, constant].map(|values| &values[..width]);
            line_gradient(g, x, scale, shift, self.slope, factor, constant, out);
        };
        let Some((windows, taken)) = pooled else { return backward(g, x, out) };
        let windows = windows.row();
        let ((from, to), offsets) = (windows.sizes(), windows.offsets());
        let pooled = g.chunks_exact(to).zip(taken.chunks_exact(to));
        let mut map = Buffer::unset(if windows.are_exact() { 0 } else { from });
        for ((out, x), (g, taken)) in out.chunks_exact_mut(from).zip(read_ahead(x, from)).zip(pooled) {
            if windows.are_exact() {
                let (scale, shift) = (&self.scale, &self.shift);
                pooled_gradient(g, x, taken, windows, &offsets, scale, shift, self.slope, factor, constant, out);
            } else {
                scatter(g, x, taken, windows, &mut map);
                backward(&map, x, out);
            }
        }
    }
}

/// Pieces of that length, of which each asks for the one that follows it.
fn read_ahead(values: &[f32], length: usize) -> impl Iterator<Item = &[f32]> {
    let next = values.chunks_exact(length).skip(1).chain([&[][..]]);
    values.chunks_exact(length).zip(next).map(|(piece, next)| {
        prefetch(next);
        piece
    })
}

vectorized! {
    fn line(x: &[f32], scale: &[f32], shift: &[f32], slope: f32, y: &mut [f32]) {
        for (y, x) in y.chunks_exact_mut(scale.len()).zip(x.chunks_exact(scale.len())) {
            for (((y, x), scale), shift) in y.iter_mut().zip(x).zip(scale).zip(shift) {
                let value = x * scale + shift;
                *y = if value < 0.0 { slope * value } else { value };
            }
        }
    }

    /// The largest value of the leaky line in each window, and the x of which it was made: the largest where the line
    /// rises, the smallest where it falls, the first where it does neither. A NaN wins, as in a pooling by itself.
    fn largest_of_line(
        x: &[f32],
        windows: Windows,
        offsets: &[usize],
        scale: &[f32],
        shift: &[f32],
        slope: f32,
        y: &mut [f32],
        taken: &mut [f32],
    ) {
        for window in 0..windows.count() {
            let (x, to) = (&x[windows.start(window)..], window * windows.channels);
            let (y, taken) = (&mut y[to..], &mut taken[to..]);
            for_channels!(windows.channels, |first, N| {
                let (scale, shift) = (&scale[first..][..N], &shift[first..][..N]);
                let (mut sign, mut largest) = ([1.0; N], [f32::NEG_INFINITY; N]);
                for i in 0..N {
                    sign[i] = if scale[i] < 0.0 { -1.0 } else { 1.0 };
                }
                for offset in offsets {
                    let x = &x[offset + first..][..N];
                    for i in 0..N {
                        let value = sign[i] * x[i];
                        largest[i] = if value > largest[i] || value.is_nan() { value } else { largest[i] };
                    }
                }
                let (x, y, taken) = (&x[first..][..N], &mut y[first..][..N], &mut taken[first..][..N]);
                for i in 0..N {
                    taken[i] = if scale[i] == 0.0 { x[i] } else { sign[i] * largest[i] };
                    let value = taken[i] * scale[i] + shift[i];
                    y[i] = if value < 0.0 { slope * value } else { value };
                }
            });
        }
    }

    /// As [`line_gradient`], where g is that of the windows' largest values and every pixel is in one window.
    fn pooled_gradient(
        g: &[f32],
        x: &[f32],
        taken: &[f32],
        windows: Windows,
        offsets: &[usize],
        scale: &[f32],
        shift: &[f32],
        slope: f32,
        factor: &[f32],
        constant: &[f32],
        out: &mut [f32],
    ) {
        for window in 0..windows.count() {
            let (start, from) = (windows.start(window), window * windows.channels);
            let (x, out, g, taken) = (&x[start..], &mut out[start..], &g[from..], &taken[from..]);
            for_channels!(windows.channels, |first, N| {
                let (g, taken) = (&g[first..][..N], &taken[first..][..N]);
                let (scale, shift) = (&scale[first..][..N], &shift[first..][..N]);
                let (factor, constant) = (&factor[first..][..N], &constant[first..][..N]);
                let mut rest = [0.0; N];
                for i in 0..N {
                    rest[i] = g[i] * (scale[i] * if taken[i] * scale[i] + shift[i] > 0.0 { 1.0 } else { slope });
                }
                for offset in offsets {
                    let (x, mut gradient) = (&x[offset + first..][..N], [0.0; N]);
                    for i in 0..N {
                        let here = x[i] == taken[i] || x[i].is_nan();
                        let given = if here { rest[i] } else { 0.0 };
                        rest[i] = if here { 0.0 } else { rest[i] };
                        gradient[i] = tiny_to_zero(given + x[i] * factor[i] + constant[i]);
                    }
                    // Written at once: the compiler need not fear that it is what is read for the next value.
                    out[offset + first..][..N].copy_from_slice(&gradient);
                }
            });
        }
    }

    fn line_sums(
        g: &[f32],
        x: &[f32],
        scale: &[f32],
        shift: &[f32],
        mean: &[f32],
        slope: f32,
        sums: &mut [f32],
        products: &mut [f32],
    ) {
        for (g, x) in g.chunks_exact(scale.len()).zip(x.chunks_exact(scale.len())) {
            let (line, sums) = (scale.iter().zip(shift).zip(mean), sums.iter_mut().zip(&mut *products));
            for (((g, x), ((scale, shift), mean)), (sum, product)) in g.iter().zip(x).zip(line).zip(sums) {
                let g = g * if x * scale + shift > 0.0 { 1.0 } else { slope };
                *sum += g;
                *product += g * (x - mean);
            }
        }
    }

    fn line_gradient(
        g: &[f32],
        x: &[f32],
        scale: &[f32],
        shift: &[f32],
        slope: f32,
        factor: &[f32],
        constant: &[f32],
        out: &mut [f32],
    ) {
        let width = scale.len();
        for ((out, g), x) in out.chunks_exact_mut(width).zip(g.chunks_exact(width)).zip(x.chunks_exact(width)) {
            let line = scale.iter().zip(shift).zip(factor).zip(constant);
            for (((out, g), x), (((scale, shift), factor), constant)) in out.iter_mut().zip(g).zip(x).zip(line) {
                let rectified = scale * if x * scale + shift > 0.0 { 1.0 } else { slope };
                *out = tiny_to_zero(g * rectified + x * factor + constant);
            }
        }
    }
}
