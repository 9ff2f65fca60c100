//! The layers' formulas in double precision, loop by loop as in their documentation: slow, and easy to check.
//!
//! Pictures are (n, height, width, channels). Every result is a [`Sum`], which knows how large the terms were that went
//! into it.

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
