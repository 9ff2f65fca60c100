//! The layers' formulas in double precision, loop by loop as in their documentation: slow, and easy to check.
//!
//! Pictures are (n, height, width, channels). Every result is a [`Sum`], which knows how large the terms were that went
//! into it. Where the gradients are not written out, a [`Tape`] of single numbers has them.

use std::cell::RefCell;

/// A sum, and the sum of the magnitudes of its terms: what its rounding errors are to be measured by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    pub value: f64,
    pub size: f64,
}

impl Sum {
    pub fn new(value: f64, size: f64) -> Self {
        Self { value, size }
    }

    fn add(&mut self, term: f64) {
        self.value += term;
        self.size += term.abs();
    }

    fn join(&mut self, other: Self) {
        self.value += other.value;
        self.size += other.size;
    }
}

pub(super) fn double(values: &[f32]) -> Vec<f64> {
    values.iter().map(|v| f64::from(*v)).collect()
}

/// Calls `visit(x, w, y)` with the indices of every product x·w that a layer adds to a y.
pub(super) trait Products {
    fn each(&self, visit: &mut dyn FnMut(usize, usize, usize));
    fn outputs(&self) -> usize;

    /// y = b + Σ x·w, with a bias for each of the innermost indices of y.
    fn forward(&self, x: &[f64], w: &[f64], bias: &[f64]) -> Vec<Sum> {
        let mut y: Vec<Sum> = (0..self.outputs()).map(|i| bias[i % bias.len()]).map(|b| Sum::new(b, b.abs())).collect();
        self.each(&mut |xi, wi, yi| y[yi].add(x[xi] * w[wi]));
        y
    }

    /// The gradients of x, w and b from that of y: each product gives g·w to its x and g·x to its w.
    fn backward(&self, x: &[f64], w: &[f64], biases: usize, g: &[f64]) -> Vec<Vec<Sum>> {
        let (mut x_gradient, mut w_gradient) = (vec![Sum::default(); x.len()], vec![Sum::default(); w.len()]);
        self.each(&mut |xi, wi, yi| {
            x_gradient[xi].add(g[yi] * w[wi]);
            w_gradient[wi].add(g[yi] * x[xi]);
        });
        let mut bias_gradient = vec![Sum::default(); biases];
        g.iter().enumerate().for_each(|(index, g)| bias_gradient[index % biases].add(*g));
        vec![x_gradient, w_gradient, bias_gradient]
    }
}

/// y[n, u] = b[u] + Σ x[n, k] · w[k, u].
pub(super) struct Dense {
    pub rows: usize,
    pub inputs: usize,
    pub units: usize,
}

impl Products for Dense {
    fn each(&self, visit: &mut dyn FnMut(usize, usize, usize)) {
        for n in 0..self.rows {
            for k in 0..self.inputs {
                for u in 0..self.units {
                    visit(n * self.inputs + k, k * self.units + u, n * self.units + u);
                }
            }
        }
    }

    fn outputs(&self) -> usize {
        self.rows * self.units
    }
}

/// A window that moves over a large feature map, one step for each pixel of a small one. Shapes are (height, width,
/// channels).
#[derive(Clone, Debug)]
pub(super) struct Windows {
    pub rows: usize,
    pub large: [usize; 3],
    pub small: [usize; 3],
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    /// How far the first window reaches over the edge.
    pub before: [usize; 2],
}

impl Windows {
    pub fn multiply_adds(&self) -> usize {
        self.rows * self.small.iter().product::<usize>() * self.kernel[0] * self.kernel[1] * self.large[2]
    }

    fn each(&self, visit: &mut dyn FnMut(usize, usize, usize)) {
        self.each_spread([1, 1], 1, visit);
    }

    /// Calls `visit(large, weight, small)` for each value of each window that lies inside the large feature map; the
    /// window's pixels are `dilation` apart, and each of the groups of channels sees the same group of the other.
    fn each_spread(&self, dilation: [usize; 2], groups: usize, visit: &mut dyn FnMut(usize, usize, usize)) {
        let ([height, width, channels], [rows, columns, filters]) = (self.large, self.small);
        let (of_group, filters_of_group) = (channels / groups, filters / groups);
        for n in 0..self.rows {
            for (qy, qx) in places([rows, columns]) {
                for (ty, tx) in places(self.kernel) {
                    let (y, x) = (qy * self.stride[0] + ty * dilation[0], qx * self.stride[1] + tx * dilation[1]);
                    let inside = |at: usize, axis: usize| at.checked_sub(self.before[axis]);
                    let (Some(y), Some(x)) = (inside(y, 0), inside(x, 1)) else { continue };
                    if y >= height || x >= width {
                        continue;
                    }
                    for c in 0..of_group {
                        for o in 0..filters {
                            visit(
                                ((n * height + y) * width + x) * channels + o / filters_of_group * of_group + c,
                                ((ty * self.kernel[1] + tx) * of_group + c) * filters + o,
                                ((n * rows + qy) * columns + qx) * filters + o,
                            );
                        }
                    }
                }
            }
        }
    }
}

fn places([rows, columns]: [usize; 2]) -> impl Iterator<Item = (usize, usize)> {
    (0..rows).flat_map(move |y| (0..columns).map(move |x| (y, x)))
}

/// From the large feature map to the small one.
pub(super) struct Conv2d(pub Windows);

impl Products for Conv2d {
    fn each(&self, visit: &mut dyn FnMut(usize, usize, usize)) {
        self.0.each(visit);
    }

    fn outputs(&self) -> usize {
        self.0.rows * self.0.small.iter().product::<usize>()
    }
}

/// From the small feature map to the large one.
pub(super) struct ConvTranspose2d(pub Windows);

impl Products for ConvTranspose2d {
    fn each(&self, visit: &mut dyn FnMut(usize, usize, usize)) {
        self.0.each(&mut |large, weight, small| visit(small, weight, large));
    }

    fn outputs(&self) -> usize {
        self.0.rows * self.0.large.iter().product::<usize>()
    }
}

/// Either of them, dilated and in groups.
pub(super) struct Spread {
    pub windows: Windows,
    pub dilation: [usize; 2],
    pub groups: usize,
    pub transposed: bool,
}

impl Products for Spread {
    fn each(&self, visit: &mut dyn FnMut(usize, usize, usize)) {
        self.windows.each_spread(self.dilation, self.groups, &mut |large, weight, small| match self.transposed {
            false => visit(large, weight, small),
            true => visit(small, weight, large),
        });
    }

    fn outputs(&self) -> usize {
        let Windows { rows, large, small, .. } = self.windows;
        rows * if self.transposed { large } else { small }.iter().product::<usize>()
    }
}

/// For each value of feature maps (height, width, channels) that are enlarged by `factor`, in order, the values whose
/// shares make it: those of the nearest pixels on either side, along both axes.
pub(super) fn bilinear(
    rows: usize,
    [height, width, channels]: [usize; 3],
    factor: [usize; 2],
) -> Vec<Vec<(usize, f64)>> {
    // The centre of pixel p of the enlarged axis is (p + ½) / factor pixels from the edge.
    let along = |p: usize, size: usize, factor: usize| {
        let at = ((p as f64 + 0.5) / factor as f64 - 0.5).clamp(0.0, (size - 1) as f64);
        (0..size).map(move |i| (i, 1.0 - (at - i as f64).abs())).filter(|(_, share)| *share > 0.0)
    };
    let mut values = Vec::new();
    for n in 0..rows {
        for (y, x) in places([height * factor[0], width * factor[1]]) {
            values.extend((0..channels).map(|c| {
                let near = along(y, height, factor[0]).flat_map(|y| along(x, width, factor[1]).map(move |x| (y, x)));
                near.map(|((y, a), (x, b))| (((n * height + y) * width + x) * channels + c, a * b)).collect()
            }));
        }
    }
    values
}

/// Each value the sum of shares of others.
pub(super) fn shares(x: &[f64], of: &[Vec<(usize, f64)>]) -> Vec<Sum> {
    let sum = |shares: &Vec<(usize, f64)>| {
        let mut sum = Sum::default();
        shares.iter().for_each(|(from, share)| sum.add(x[*from] * share));
        sum
    };
    of.iter().map(sum).collect()
}

/// The gradient of `count` values from that of their [`shares`].
pub(super) fn shares_backward(count: usize, of: &[Vec<(usize, f64)>], g: &[f64]) -> Vec<Sum> {
    let mut gradient = vec![Sum::default(); count];
    of.iter().zip(g).for_each(|(of, g)| of.iter().for_each(|(from, share)| gradient[*from].add(g * share)));
    gradient
}

/// For each pixel of feature maps enlarged by `factor`, in order, the pixel of (height, width, channels) that it
/// repeats.
pub(super) fn up_sampled(rows: usize, [height, width, channels]: [usize; 3], factor: [usize; 2]) -> Vec<usize> {
    let mut from = Vec::new();
    for n in 0..rows {
        for (y, x) in places([height * factor[0], width * factor[1]]) {
            let pixel = (n * height + y / factor[0]) * width + x / factor[1];
            from.extend((0..channels).map(|c| pixel * channels + c));
        }
    }
    from
}

/// For each value of pooled feature maps, in order, the values in its window.
fn in_windows(windows: &Windows) -> impl Iterator<Item = Vec<usize>> {
    let Windows { rows, large: [height, width, channels], small: [small_rows, columns, _], kernel, stride, .. } =
        *windows;
    let places = (0..rows).flat_map(move |n| places([small_rows, columns]).map(move |(qy, qx)| (n, qy, qx)));
    places.flat_map(move |(n, qy, qx)| {
        let pixel = move |(ty, tx)| (n * height + qy * stride[0] + ty) * width + qx * stride[1] + tx;
        (0..channels).map(move |c| self::places(kernel).map(|t| pixel(t) * channels + c).collect())
    })
}

/// For each value of the pooled feature maps, in order, the first of the largest values in its window.
pub(super) fn maxima(x: &[f32], windows: &Windows) -> Vec<usize> {
    let largest = |values: Vec<usize>| values.into_iter().reduce(|first, i| if x[i] > x[first] { i } else { first });
    in_windows(windows).filter_map(largest).collect()
}

/// The mean of each window.
pub(super) fn means(x: &[f64], windows: &Windows) -> Vec<Sum> {
    let mean = |values: Vec<usize>| {
        let mut sum = Sum::default();
        values.iter().for_each(|i| sum.add(x[*i] / values.len() as f64));
        sum
    };
    in_windows(windows).map(mean).collect()
}

/// The gradient of `count` values from that of their means.
pub(super) fn means_backward(count: usize, windows: &Windows, g: &[f64]) -> Vec<Sum> {
    let mut gradient = vec![Sum::default(); count];
    for (values, g) in in_windows(windows).zip(g) {
        values.iter().for_each(|i| gradient[*i].add(g / values.len() as f64));
    }
    gradient
}

/// The gradient of values of which output i has taken value `from[i]`: the sum of those that took it.
pub(super) fn given_back(from: &[usize], count: usize, g: &[Sum]) -> Vec<Sum> {
    let mut gradient = vec![Sum::default(); count];
    from.iter().zip(g).for_each(|(from, g)| gradient[*from].join(*g));
    gradient
}

/// Batch normalisation of one channel's values: y = γ·x̂ + β with x̂ = (x − μ) / √(σ² + ε).
pub(super) struct Normalised {
    pub mean: f64,
    pub variance: f64,
    x: Vec<f64>,
    gamma: f64,
    beta: f64,
    deviation: f64,
}

impl Normalised {
    pub fn new(x: Vec<f64>, [gamma, beta]: [f64; 2], running: Option<[f64; 2]>, epsilon: f64) -> Self {
        let count = x.len() as f64;
        let [mean, variance] = running.unwrap_or_else(|| {
            let mean = x.iter().sum::<f64>() / count;
            [mean, x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / count]
        });
        Self { mean, variance, x, gamma, beta, deviation: (variance + epsilon).sqrt() }
    }

    /// x̂, and how large the two terms are of which it is the difference.
    fn hat(&self, x: f64) -> Sum {
        Sum::new((x - self.mean) / self.deviation, (x.abs() + self.mean.abs()) / self.deviation)
    }

    pub fn forward(&self) -> Vec<Sum> {
        let line =
            |hat: Sum| Sum::new(self.gamma * hat.value + self.beta, self.gamma.abs() * hat.size + self.beta.abs());
        self.x.iter().map(|x| line(self.hat(*x))).collect()
    }

    /// The gradients of x, γ and β. With the batch's own moments, which follow each x, ∂x = γ / √(σ² + ε) · (g − ⟨g⟩ −
    /// x̂·⟨g·x̂⟩), with ⟨·⟩ the mean over the channel; with the running ones ∂x = γ / √(σ² + ε) · g.
    pub fn backward(&self, g: &[f64], own_moments: bool) -> (Vec<Sum>, Sum, Sum) {
        let (mut gamma, mut beta) = (Sum::default(), Sum::default());
        for (x, g) in self.x.iter().zip(g) {
            let hat = self.hat(*x);
            gamma.join(Sum::new(g * hat.value, g.abs() * hat.size));
            beta.add(*g);
        }
        let (scale, share) = (self.gamma / self.deviation, if own_moments { 1.0 / self.x.len() as f64 } else { 0.0 });
        let gradient = self.x.iter().zip(g).map(|(x, g)| {
            let hat = self.hat(*x);
            Sum::new(
                scale * (g - share * beta.value - hat.value * share * gamma.value),
                scale.abs() * (g.abs() + share * beta.size + hat.size * share * gamma.size),
            )
        });
        (gradient.collect(), gamma, beta)
    }
}

/// The distribution function of N(0, 1), by the series of the error function that has positive terms only.
pub(super) fn normal_distribution(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= x * x / f64::from(2 * n + 1);
        sum += term;
    }
    0.5 + normal_density(x) * sum
}

pub(super) fn normal_density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

/// For each pixel of feature maps with that border, in order, the value of (height, width, channels) that it takes, if
/// it is not in the border.
pub(super) fn padded(
    rows: usize,
    [height, width, channels]: [usize; 3],
    [[top, bottom], [left, right]]: [[usize; 2]; 2],
) -> Vec<Option<usize>> {
    let mut from = Vec::new();
    for n in 0..rows {
        for (y, x) in places([top + height + bottom, left + width + right]) {
            let inside = (top..top + height).contains(&y) && (left..left + width).contains(&x);
            let pixel = |c: usize| ((n * height + y - top) * width + x - left) * channels + c;
            from.extend((0..channels).map(|c| inside.then(|| pixel(c))));
        }
    }
    from
}

/// Operations on single numbers, whose gradients follow from them one by one.
#[derive(Default)]
pub(super) struct Tape(RefCell<Vec<Node>>);

/// A result, what it was made of and its slope in each.
struct Node {
    sum: Sum,
    from: [(usize, Sum); 2],
}

/// A number on the tape.
#[derive(Clone, Copy)]
pub(super) struct Number(usize);

impl Tape {
    /// Numbers to start from, whose gradients are wanted.
    pub fn inputs(&self, values: &[f32]) -> Vec<Number> {
        let none = [(0, Sum::default()); 2];
        values.iter().map(|v| self.put(Sum::new(f64::from(*v), f64::from(v.abs())), none)).collect()
    }

    fn put(&self, sum: Sum, from: [(usize, Sum); 2]) -> Number {
        let mut nodes = self.0.borrow_mut();
        nodes.push(Node { sum, from });
        Number(nodes.len() - 1)
    }

    pub fn sum_of(&self, number: Number) -> Sum {
        self.0.borrow()[number.0].sum
    }

    pub fn sums_of(&self, numbers: &[Number]) -> Vec<Sum> {
        numbers.iter().map(|number| self.sum_of(*number)).collect()
    }

    pub fn add(&self, a: Number, b: Number) -> Number {
        let mut sum = self.sum_of(a);
        sum.join(self.sum_of(b));
        self.put(sum, [(a.0, Sum::new(1.0, 1.0)), (b.0, Sum::new(1.0, 1.0))])
    }

    pub fn multiply(&self, a: Number, b: Number) -> Number {
        let (x, y) = (self.sum_of(a), self.sum_of(b));
        let size = x.value.abs() * y.size + x.size * y.value.abs();
        self.put(Sum::new(x.value * y.value, size), [(a.0, y), (b.0, x)])
    }

    /// f(a), given with its slope there.
    pub fn apply(&self, a: Number, function: impl Fn(f64) -> [f64; 2]) -> Number {
        let x = self.sum_of(a);
        let [value, slope] = function(x.value);
        let size = value.abs() + slope.abs() * x.size;
        self.put(Sum::new(value, size), [(a.0, Sum::new(slope, slope.abs())), (a.0, Sum::default())])
    }

    pub fn scale(&self, a: Number, factor: f64) -> Number {
        self.apply(a, |x| [factor * x, factor])
    }

    pub fn sigmoid(&self, a: Number) -> Number {
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let y = self.apply(a, |x| [sigmoid(x), sigmoid(x) * sigmoid(-x)]);
        self.with_slope_of(y, |y| y * (1.0 + y))
    }

    pub fn tanh(&self, a: Number) -> Number {
        let y = self.apply(a, |x| [x.tanh(), 1.0 - x.tanh() * x.tanh()]);
        self.with_slope_of(y, |y| 1.0 + y * y)
    }

    /// Sets the size of the slope of y, which is a difference, y · (1 − y) or 1 − y².
    fn with_slope_of(&self, y: Number, size: impl Fn(f64) -> f64) -> Number {
        let node = &mut self.0.borrow_mut()[y.0];
        node.from[0].1.size = size(node.sum.value);
        y
    }

    /// The sum of products of pairs, and of `start`.
    fn dot(&self, start: Number, pairs: impl Iterator<Item = (Number, Number)>) -> Number {
        pairs.fold(start, |sum, (a, b)| self.add(sum, self.multiply(a, b)))
    }

    fn mean(&self, numbers: &[Number]) -> Number {
        let sum = numbers[1..].iter().fold(numbers[0], |sum, number| self.add(sum, *number));
        self.scale(sum, 1.0 / numbers.len() as f64)
    }

    /// The gradients of `inputs` from those of some results.
    pub fn gradients(&self, results: &[Number], g: &[f64], inputs: &[Vec<Number>]) -> Vec<Vec<Sum>> {
        let nodes = self.0.borrow();
        let mut gradients = vec![Sum::default(); nodes.len()];
        results.iter().zip(g).for_each(|(result, g)| gradients[result.0].add(*g));
        for (index, node) in nodes.iter().enumerate().rev() {
            let g = gradients[index];
            for (from, slope) in node.from {
                gradients[from].join(Sum::new(g.value * slope.value, g.size * slope.size));
            }
        }
        inputs.iter().map(|inputs| inputs.iter().map(|input| gradients[input.0]).collect()).collect()
    }

    /// (x − μ) / √(σ² + ε) · γ + β of a group of numbers, each with its γ and β.
    pub fn normalised(&self, x: &[Number], gamma: &[Number], beta: &[Number], epsilon: f64) -> Vec<Number> {
        let minus_mean = self.scale(self.mean(x), -1.0);
        let centred: Vec<Number> = x.iter().map(|x| self.add(*x, minus_mean)).collect();
        let variance = self.mean(&centred.iter().map(|x| self.multiply(*x, *x)).collect::<Vec<_>>());
        let inverse = self.apply(variance, |v| [(v + epsilon).powf(-0.5), -0.5 * (v + epsilon).powf(-1.5)]);
        let parameters = gamma.iter().zip(beta);
        let line = |(x, (gamma, beta)): (&Number, (&Number, &Number))| {
            self.add(self.multiply(self.multiply(*x, inverse), *gamma), *beta)
        };
        centred.iter().zip(parameters).map(line).collect()
    }
}

/// A recurrent layer on a batch (n, time, features); weights as in its documentation.
pub(super) struct Recurrent {
    pub time: usize,
    pub features: usize,
    pub units: usize,
    pub is_lstm: bool,
}

impl Recurrent {
    pub fn gates(&self) -> usize {
        if self.is_lstm { 4 } else { 3 }
    }

    /// The states after all steps, (n, time, units).
    pub fn states(&self, tape: &Tape, x: &[Number], [w, u, b, d]: [&[Number]; 4]) -> Vec<Number> {
        let (units, width) = (self.units, self.gates() * self.units);
        let zeros = || tape.inputs(&vec![0.0; units]);
        let mut all = Vec::new();
        for row in x.chunks(self.time * self.features) {
            let (mut h, mut c) = (zeros(), zeros());
            for x in row.chunks(self.features) {
                // What a gate takes from the input and from the state.
                let from_input = |gate: usize, unit: usize| {
                    let column = gate * units + unit;
                    tape.dot(b[column], x.iter().enumerate().map(|(i, x)| (*x, w[i * width + column])))
                };
                let from_state = |gate: usize, unit: usize| {
                    let column = gate * units + unit;
                    tape.dot(d[column], h.iter().enumerate().map(|(i, h)| (*h, u[i * width + column])))
                };
                let both = |gate: usize, unit: usize| tape.add(from_input(gate, unit), from_state(gate, unit));
                let (mut new_h, mut new_c) = (Vec::new(), Vec::new());
                for unit in 0..units {
                    if self.is_lstm {
                        let [i, f, o] = [0, 1, 3].map(|gate| tape.sigmoid(both(gate, unit)));
                        let g = tape.tanh(both(2, unit));
                        let cell = tape.add(tape.multiply(f, c[unit]), tape.multiply(i, g));
                        new_c.push(cell);
                        new_h.push(tape.multiply(o, tape.tanh(cell)));
                    } else {
                        let [r, z] = [0, 1].map(|gate| tape.sigmoid(both(gate, unit)));
                        let reset = tape.multiply(r, from_state(2, unit));
                        let n = tape.tanh(tape.add(from_input(2, unit), reset));
                        let difference = tape.add(h[unit], tape.scale(n, -1.0));
                        new_h.push(tape.add(n, tape.multiply(z, difference)));
                    }
                }
                (h, c) = (new_h, new_c);
                all.extend(&h);
            }
        }
        all
    }
}
