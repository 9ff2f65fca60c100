//! Every layer over random shapes, against the plain formulas: the output and all gradients.

use std::sync::Arc;

use proptest::{
    prelude::*,
    sample::{Index, select},
};
use rand::Rng;
use serde_json::json;

use super::{
    Single, backward,
    plain::{self, Number, Products, Sum, Tape, Windows, double},
    shared,
};
use crate::{
    engine::Buffer,
    nn::{
        layers::Layer,
        plan::PlanStep,
        sequential::Sequential,
        tape::{ParameterKey, Pass},
    },
    random,
};

/// Rounding errors that are allowed, as a share of the sum of the terms' magnitudes. A wrong tap among a thousand is
/// 100 times as much.
const TOLERANCE: f64 = 1e-5;

/// More products would take the plain loops of one case too long.
const PRODUCTS: usize = 2_000_000;

fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut random = random::stream(seed, count as u64);
    (0..count).map(|_| random.gen_range(-1.0..1.0)).collect()
}

/// Around the widths of vectors (8, 16) and of tiles (24, 32, 48, 64), and the models' own.
fn channels() -> impl Strategy<Value = usize> {
    select(vec![1, 2, 3, 7, 8, 12, 15, 16, 17, 24, 31, 32, 33, 48, 49, 65, 112])
}

/// Batches are split into 16 shards, and these into groups.
fn rows() -> impl Strategy<Value = usize> {
    select(vec![1, 2, 3, 15, 16, 17, 33, 50])
}

/// The slope below 0 of the rectified linear unit that is fused with a layer; 1 where there is none.
fn slope() -> impl Strategy<Value = f32> {
    select(vec![1.0, 0.0, 0.2])
}

fn pair(range: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = [usize; 2]> {
    proptest::array::uniform2(range)
}

/// Groups, with the channels and the filters of all of them together: of one group, of several, and depthwise.
fn groups() -> impl Strategy<Value = (usize, usize, usize)> {
    let several = (select(vec![1, 2, 3, 5]), select(vec![1, 2, 3, 8, 17]), select(vec![1, 2, 5, 16, 33]));
    prop_oneof![
        several.prop_map(|(groups, channels, filters)| (groups, groups * channels, groups * filters)),
        channels().prop_map(|channels| (channels, channels, channels)),
    ]
}

/// How many pixels a dilated kernel spans.
fn spans(kernel: [usize; 2], dilation: [usize; 2]) -> [usize; 2] {
    [0, 1].map(|axis| dilation[axis] * (kernel[axis] - 1) + 1)
}

#[derive(Clone, Debug)]
enum Padding {
    Valid,
    Same,
    Explicit([usize; 2]),
}

fn padding() -> impl Strategy<Value = Padding> {
    prop_oneof![Just(Padding::Valid), Just(Padding::Same), pair(0..=4).prop_map(Padding::Explicit)]
}

impl Padding {
    fn json(&self) -> serde_json::Value {
        match self {
            Self::Valid => json!("valid"),
            Self::Same => json!("same"),
            Self::Explicit(padding) => json!({"explicit": padding}),
        }
    }
}

fn layer(description: serde_json::Value) -> Layer {
    serde_json::from_value(description).unwrap()
}

/// One layer on one batch.
struct Case {
    layer: Layer,
    /// Without the batch, channels first.
    input: Vec<usize>,
    parameters: Vec<Vec<f32>>,
    x: Vec<f32>,
    slope: f32,
    enlarged: [usize; 2],
    training: bool,
}

fn close(what: &str, got: &[f32], expected: &[Sum]) -> Result<(), TestCaseError> {
    prop_assert_eq!(got.len(), expected.len(), "{}", what);
    for (index, (got, expected)) in got.iter().zip(expected).enumerate() {
        let error = (f64::from(*got) - expected.value).abs();
        prop_assert!(error <= TOLERANCE * expected.size, "{what}, value {index}: expected {expected:?}, got {got}");
    }
    Ok(())
}

impl Case {
    fn new(layer: Layer, input: &[usize], x: Vec<f32>) -> Self {
        Self { layer, input: input.into(), parameters: Vec::new(), x, slope: 1.0, enlarged: [1, 1], training: true }
    }

    fn pass(&self) -> Pass {
        if self.training { Pass::training(3) } else { Pass::prediction() }
    }

    /// Checks the layer, which is to give leaky(y), and from the gradient of y the gradients `backward` of x and of the
    /// parameters.
    ///
    /// Returns the running statistics.
    fn check(&self, y: &[Sum], backward: impl Fn(&[f64]) -> Vec<Vec<Sum>>) -> Result<Vec<Vec<f32>>, TestCaseError> {
        let parameters = shared(&self.parameters);
        let mut single = Single::new(&self.layer, &self.input, &parameters);
        single.step.fused.slope = (self.slope != 1.0).then_some(self.slope);
        single.step.fused.up_sample = self.enlarged;
        let slope = f64::from(self.slope);
        let bent: Vec<Sum> =
            y.iter().map(|y| Sum::new(if y.value > 0.0 { y.value } else { slope * y.value }, y.size)).collect();

        // The gradient of the layer's output. Where y is 0 but for rounding, either slope is right: nothing comes from
        // there.
        let mut g = numbers(1, y.len());
        let at_the_bend = |y: &Sum| self.slope != 1.0 && y.value.abs() <= TOLERANCE * y.size;
        g.iter_mut().zip(y).filter(|(_, y)| at_the_bend(y)).for_each(|(g, _)| *g = 0.0);
        let g_of_y: Vec<f64> =
            g.iter().zip(y).map(|(g, y)| f64::from(*g) * if y.value > 0.0 { 1.0 } else { slope }).collect();

        let mut pass = self.pass().recording(true);
        let [x, output] = single.forward(&self.x, true, &mut pass);
        close("output", &output.values, &bent)?;
        let statistics = single.statistics(&mut pass);
        super::backward(&output, &g, &mut pass);
        let gradients: Vec<Buffer> = [vec![pass.gradient(&x)], single.gradients(pass)].into_iter().flatten().collect();
        let expected = backward(&g_of_y);
        prop_assert_eq!(gradients.len(), expected.len());
        for (number, (got, expected)) in gradients.iter().zip(&expected).enumerate() {
            close(&format!("gradient {number} (0 is that of x)"), got, expected)?;
        }
        // As the first layer of a network, whose input needs no gradient.
        let mut pass = self.pass().recording(true);
        let [_, output] = single.forward(&self.x, false, &mut pass);
        super::backward(&output, &g, &mut pass);
        for (got, expected) in single.gradients(pass).iter().zip(&gradients[1..]) {
            prop_assert_eq!(&got[..], &expected[..], "with and without a gradient of x");
        }
        // Without a tape, and after a smaller batch.
        let rows = self.x.len() * self.enlarged[0] * self.enlarged[1] / self.input.iter().product::<usize>();
        let first = &self.x[..self.x.len() / rows];
        let [first, all] =
            [first, &self.x].map(|x| single.forward(x, false, &mut self.pass().recording(false))[1].clone());
        close("output without a tape", &all.values, &bent)?;
        if statistics.is_empty() {
            close("output of the first row alone", &first.values, &bent[..bent.len() / rows])?;
        }
        Ok(statistics)
    }
}

/// Checks a layer with a weight and a bias.
fn check_products(mut case: Case, products: impl Products, weights: usize, biases: usize) -> Result<(), TestCaseError> {
    case.parameters = vec![numbers(5, weights), numbers(6, biases)];
    let (x, w, b) = (double(&case.x), double(&case.parameters[0]), double(&case.parameters[1]));
    let y = products.forward(&x, &w, &b);
    case.check(&y, |g| products.backward(&x, &w, biases, g))?;
    Ok(())
}

/// As many rows as the plain loops can do in time.
fn fewer(rows: usize, products_a_row: usize) -> usize {
    rows.min(PRODUCTS / products_a_row.max(1)).max(1)
}

/// The windows of a conv2d over feature maps [height, width]; the feature maps grow if the kernel would not fit.
fn conv2d_windows(
    [height, width]: [usize; 2],
    [channels, filters]: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: &Padding,
) -> Windows {
    let (mut large, mut small, mut before) = ([height, width, channels], [0, 0, filters], [0; 2]);
    for axis in 0..2 {
        match padding {
            Padding::Same => {
                // TensorFlow's rule: enough zeros for ⌈size / stride⌉ windows, the larger half after the feature map.
                small[axis] = large[axis].div_ceil(stride[axis]);
                let all = (small[axis] - 1) * stride[axis] + kernel[axis];
                before[axis] = all.saturating_sub(large[axis]) / 2;
            }
            Padding::Valid | Padding::Explicit(_) => {
                before[axis] = if let Padding::Explicit(padding) = padding { padding[axis] } else { 0 };
                large[axis] = large[axis].max(kernel[axis].saturating_sub(2 * before[axis]));
                small[axis] = (large[axis] + 2 * before[axis] - kernel[axis]) / stride[axis] + 1;
            }
        }
    }
    Windows { rows: 1, large, small, kernel, stride, before }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn dense(
        rows in select(vec![1, 2, 16, 17, 36, 37, 300, 1100]), inputs in 1usize..=70, units in channels(),
        slope in slope(),
    ) {
        let rows = fewer(rows, inputs * units);
        let layer = layer(json!({"layer": "dense", "units": units}));
        let case = Case { slope, ..Case::new(layer, &[inputs], numbers(4, rows * inputs)) };
        check_products(case, plain::Dense { rows, inputs, units }, inputs * units, units)?;
    }

    #[test]
    fn conv2d(
        rows in rows(), size in pair(1..=12), channels in (channels(), channels()), kernel in pair(1..=5),
        stride in pair(1..=4), padding in padding(), slope in slope(),
    ) {
        let mut windows = conv2d_windows(size, channels.into(), kernel, stride, &padding);
        windows.rows = fewer(rows, windows.multiply_adds());
        let [height, width, channels] = windows.large;
        let filters = windows.small[2];
        let padding = padding.json();
        let layer = layer(json!({
            "layer": "conv2d", "filters": filters, "kernel": kernel, "stride": stride, "padding": padding,
        }));
        let x = numbers(4, windows.rows * channels * height * width);
        let case = Case { slope, ..Case::new(layer, &[channels, height, width], x) };
        check_products(case, plain::Conv2d(windows), kernel[0] * kernel[1] * channels * filters, filters)?;
    }

    #[test]
    fn conv_transpose2d(
        rows in rows(), size in pair(1..=8), channels in (channels(), channels()), kernel in pair(1..=5),
        stride in pair(1..=4), padding in padding(), more in pair(0..=3), slope in slope(),
    ) {
        let (channels, filters) = channels;
        let more = [more[0] % stride[0], more[1] % stride[1]];
        let (mut out, mut before) = ([0; 2], [0; 2]);
        let mut padding = padding;
        for axis in 0..2 {
            let full = (size[axis] - 1) * stride[axis] + kernel[axis];
            match &mut padding {
                Padding::Valid => out[axis] = full + more[axis],
                Padding::Same => {
                    out[axis] = size[axis] * stride[axis] + more[axis];
                    before[axis] = kernel[axis].saturating_sub(stride[axis]) / 2;
                }
                Padding::Explicit(padding) => {
                    padding[axis] = padding[axis].min((full + more[axis] - 1) / 2);
                    out[axis] = full + more[axis] - 2 * padding[axis];
                    before[axis] = padding[axis];
                }
            }
        }
        let [height, width] = size;
        let (large, small) = ([out[0], out[1], filters], [height, width, channels]);
        let mut windows = Windows { rows: 1, large, small, kernel, stride, before };
        windows.rows = fewer(rows, windows.multiply_adds());
        let layer = layer(json!({
            "layer": "conv_transpose2d", "filters": filters, "kernel": kernel, "stride": stride,
            "padding": padding.json(), "output_padding": more,
        }));
        let x = numbers(4, windows.rows * channels * height * width);
        let case = Case { slope, ..Case::new(layer, &[channels, height, width], x) };
        check_products(case, plain::ConvTranspose2d(windows), kernel[0] * kernel[1] * channels * filters, filters)?;
    }

    #[test]
    fn conv2d_dilated_and_in_groups(
        rows in rows(), size in pair(1..=12), groups in groups(), kernel in pair(1..=4), stride in pair(1..=3),
        dilation in pair(1..=4), padding in padding(), slope in slope(),
    ) {
        let (groups, channels, filters) = groups;
        // The sizes are those of a kernel that fills the span.
        let span = spans(kernel, dilation);
        let mut windows = conv2d_windows(size, [channels, filters], span, stride, &padding);
        windows.kernel = kernel;
        windows.rows = fewer(rows, windows.multiply_adds() / groups);
        let [height, width, _] = windows.large;
        let layer = layer(json!({
            "layer": "conv2d", "filters": filters, "kernel": kernel, "stride": stride, "padding": padding.json(),
            "dilation": dilation, "groups": groups,
        }));
        let x = numbers(4, windows.rows * channels * height * width);
        let case = Case { slope, ..Case::new(layer, &[channels, height, width], x) };
        let products = plain::Spread { windows, dilation, groups, transposed: false };
        check_products(case, products, kernel[0] * kernel[1] * channels * filters / groups, filters)?;
    }

    #[test]
    fn conv_transpose2d_dilated_and_in_groups(
        rows in rows(), size in pair(1..=6), groups in groups(), kernel in pair(1..=4), stride in pair(1..=3),
        dilation in pair(1..=4), same: bool, slope in slope(),
    ) {
        let (groups, channels, filters) = groups;
        let span = spans(kernel, dilation);
        let out = |axis: usize| match same {
            true => size[axis] * stride[axis],
            false => (size[axis] - 1) * stride[axis] + span[axis],
        };
        let before = [0, 1].map(|axis| if same { span[axis].saturating_sub(stride[axis]) / 2 } else { 0 });
        let (large, small) = ([out(0), out(1), filters], [size[0], size[1], channels]);
        let mut windows = Windows { rows: 1, large, small, kernel, stride, before };
        windows.rows = fewer(rows, windows.multiply_adds() / groups);
        let padding = if same { Padding::Same } else { Padding::Valid };
        let layer = layer(json!({
            "layer": "conv_transpose2d", "filters": filters, "kernel": kernel, "stride": stride,
            "padding": padding.json(), "output_padding": [0, 0], "dilation": dilation, "groups": groups,
        }));
        let x = numbers(4, windows.rows * channels * size[0] * size[1]);
        let case = Case { slope, ..Case::new(layer, &[channels, size[0], size[1]], x) };
        let products = plain::Spread { windows, dilation, groups, transposed: true };
        check_products(case, products, kernel[0] * kernel[1] * channels * filters / groups, filters)?;
    }

    /// A conv2d that does the work of the up-sampling before it.
    #[test]
    fn conv2d_of_enlarged_feature_maps(
        rows in rows(), size in pair(1..=5), channels in (channels(), channels()), kernel in pair(1..=4),
        factor in pair(1..=4), padding in padding(), slope in slope(),
    ) {
        let reach = |padding: [usize; 2]| [padding[0].min(kernel[0] - 1), padding[1].min(kernel[1] - 1)];
        let padding = match padding {
            Padding::Explicit(padding) => Padding::Explicit(reach(padding)),
            padding => padding,
        };
        let fits = |axis: usize| matches!(padding, Padding::Same) || size[axis] * factor[axis] >= kernel[axis];
        prop_assume!(fits(0) && fits(1) && factor != [1, 1]);
        let enlarged = [size[0] * factor[0], size[1] * factor[1]];
        let mut windows = conv2d_windows(enlarged, channels.into(), kernel, [1, 1], &padding);
        windows.rows = fewer(rows, windows.multiply_adds());
        let (channels, filters, rows) = (channels.0, channels.1, windows.rows);
        let padding = padding.json();
        let layer = layer(json!({
            "layer": "conv2d", "filters": filters, "kernel": kernel, "stride": [1, 1], "padding": padding,
        }));
        let small = [size[0], size[1], channels];
        let x = numbers(4, rows * small.iter().product::<usize>());
        let mut case = Case::new(layer, &[channels, enlarged[0], enlarged[1]], x);
        (case.slope, case.enlarged) = (slope, factor);
        case.parameters = vec![numbers(5, kernel[0] * kernel[1] * channels * filters), numbers(6, filters)];

        let from = plain::up_sampled(rows, small, factor);
        let x: Vec<f64> = from.iter().map(|from| f64::from(case.x[*from])).collect();
        let (w, b, products) = (double(&case.parameters[0]), double(&case.parameters[1]), plain::Conv2d(windows));
        let y = products.forward(&x, &w, &b);
        case.check(&y, |g| {
            let mut gradients = products.backward(&x, &w, filters, g);
            gradients[0] = plain::given_back(&from, case.x.len(), &gradients[0]);
            gradients
        })?;
    }

    #[test]
    fn up_sample2d(rows in rows(), size in pair(1..=5), channels in channels(), factor in pair(1..=4)) {
        let shape = [size[0], size[1], channels];
        let layer = layer(json!({"layer": "up_sample2d", "factor": factor}));
        let case = Case::new(layer, &[channels, size[0], size[1]], numbers(4, rows * shape.iter().product::<usize>()));
        check_taken(&case, &plain::up_sampled(rows, shape, factor))?;
    }

    #[test]
    fn up_sample2d_bilinear(rows in rows(), size in pair(1..=5), channels in channels(), factor in pair(1..=4)) {
        let shape = [size[0], size[1], channels];
        let layer = layer(json!({"layer": "up_sample2d", "factor": factor, "interpolation": "bilinear"}));
        let case = Case::new(layer, &[channels, size[0], size[1]], numbers(4, rows * shape.iter().product::<usize>()));
        let of = plain::bilinear(rows, shape, factor);
        case.check(&plain::shares(&double(&case.x), &of), |g| vec![plain::shares_backward(case.x.len(), &of, g)])?;
    }

    #[test]
    fn pixel_shuffle(rows in rows(), size in pair(1..=5), channels in 1usize..=17, factor in 1usize..=4) {
        let [height, width] = size;
        let all = channels * factor * factor;
        let mut from = Vec::new();
        for n in 0..rows {
            for (y, x) in (0..height * factor).flat_map(|y| (0..width * factor).map(move |x| (y, x))) {
                let pixel = (n * height + y / factor) * width + x / factor;
                let place = y % factor * factor + x % factor;
                from.extend((0..channels).map(|c| pixel * all + c * factor * factor + place));
            }
        }
        let layer = layer(json!({"layer": "pixel_shuffle", "factor": factor}));
        check_taken(&Case::new(layer, &[all, height, width], numbers(4, from.len())), &from)?;
    }

    #[test]
    fn max_pool2d(
        rows in rows(), size in pair(1..=4), stride in pair(1..=4), more in pair(0..=6), channels in channels(),
        ties: bool,
    ) {
        let [height, width] = [size[0] + more[0], size[1] + more[1]];
        let small = [more[0] / stride[0] + 1, more[1] / stride[1] + 1, channels];
        let windows = Windows { rows, large: [height, width, channels], small, kernel: size, stride, before: [0, 0] };
        let mut x = numbers(4, rows * height * width * channels);
        if ties {
            x.iter_mut().for_each(|x| *x = (*x * 2.0).round());
        }
        let layer = layer(json!({"layer": "max_pool2d", "size": size, "stride": stride}));
        let from = plain::maxima(&x, &windows);
        check_taken(&Case::new(layer, &[channels, height, width], x), &from)?;
    }

    #[test]
    fn avg_pool2d(
        rows in rows(), size in pair(1..=4), stride in pair(1..=4), more in pair(0..=6), channels in channels(),
    ) {
        let [height, width] = [size[0] + more[0], size[1] + more[1]];
        let small = [more[0] / stride[0] + 1, more[1] / stride[1] + 1, channels];
        let windows = Windows { rows, large: [height, width, channels], small, kernel: size, stride, before: [0, 0] };
        let layer = layer(json!({"layer": "avg_pool2d", "size": size, "stride": stride}));
        let case = Case::new(layer, &[channels, height, width], numbers(4, rows * height * width * channels));
        let y = plain::means(&double(&case.x), &windows);
        case.check(&y, |g| vec![plain::means_backward(case.x.len(), &windows, g)])?;
    }

    #[test]
    fn batch_norm(
        rows in rows(), size in proptest::option::of(pair(1..=7)), channels in channels(),
        momentum in select(vec![0.0, 0.9, 0.99]), epsilon in select(vec![1e-5, 1e-3]),
        centre in select(vec![0.0, 0.5, 30.0]), training: bool, slope in slope(),
    ) {
        let input: Vec<usize> = [channels].into_iter().chain(size.into_iter().flatten()).collect();
        let mut x = numbers(4, rows * input.iter().product::<usize>());
        x.iter_mut().enumerate().for_each(|(index, x)| *x += centre * (index % channels) as f32 / channels as f32);
        // A single value, or several that are equal, has no variance; rounding errors of x would be all there is.
        prop_assume!(!training || x.len() / channels > 1);
        let layer = layer(json!({"layer": "batch_norm", "momentum": momentum, "epsilon": epsilon}));
        let mut case = Case { slope, training, ..Case::new(layer, &input, x) };
        let positive = |values: Vec<f32>| values.iter().map(|v| v.abs() + 0.1).collect();
        case.parameters =
            vec![numbers(5, channels), numbers(6, channels), numbers(7, channels), positive(numbers(8, channels))];

        let parameters: Vec<Vec<f64>> = case.parameters.iter().map(|parameter| double(parameter)).collect();
        let columns: Vec<plain::Normalised> = (0..channels)
            .map(|c| {
                let x = case.x.iter().skip(c).step_by(channels).map(|x| f64::from(*x)).collect();
                let running = (!training).then_some([parameters[2][c], parameters[3][c]]);
                plain::Normalised::new(x, [parameters[0][c], parameters[1][c]], running, f64::from(epsilon as f32))
            })
            .collect();
        let y = interleaved(columns.iter().map(|column| column.forward()).collect());
        let statistics = case.check(&y, |g| {
            let each = columns.iter().enumerate().map(|(c, column)| {
                let g: Vec<f64> = g.iter().skip(c).step_by(channels).copied().collect();
                column.backward(&g, training)
            });
            let (mut x, mut gamma, mut beta) = (Vec::new(), Vec::new(), Vec::new());
            for (x_gradient, gamma_gradient, beta_gradient) in each {
                x.push(x_gradient);
                gamma.push(gamma_gradient);
                beta.push(beta_gradient);
            }
            vec![interleaved(x), gamma, beta]
        })?;

        prop_assert_eq!(statistics.len(), if training { 2 } else { 0 });
        for (number, got) in statistics.iter().enumerate() {
            let moved = |(column, old): (&plain::Normalised, &f64)| {
                let new = [column.mean, column.variance][number];
                let size = old.abs() + [column.mean.abs() + 1.0, column.variance][number];
                Sum::new(f64::from(momentum as f32) * old + (1.0 - f64::from(momentum as f32)) * new, size)
            };
            let expected: Vec<Sum> = columns.iter().zip(&parameters[2 + number]).map(moved).collect();
            close(&format!("running statistic {number}"), got, &expected)?;
        }
    }

    #[test]
    fn activations(rows in rows(), width in 1usize..=1200, which in 0usize..10) {
        let x: Vec<f32> = numbers(4, rows * width).iter().map(|x| 6.0 * x).collect();
        let (scale, alpha) = (1.050_700_987_355_480_5_f64, 1.673_263_242_354_377_2);
        type Function = Box<dyn Fn(f64) -> f64>;
        // Each with its derivative.
        let functions: [(serde_json::Value, Function, Function); 10] = [
            (json!({"function": "relu"}), Box::new(|x| x.max(0.0)), Box::new(|x| if x > 0.0 { 1.0 } else { 0.0 })),
            (
                json!({"function": "leaky_relu", "slope": 0.25}),
                Box::new(|x| x.max(x * 0.25)),
                Box::new(|x| if x > 0.0 { 1.0 } else { 0.25 }),
            ),
            (
                json!({"function": "selu"}),
                Box::new(move |x| scale * if x > 0.0 { x } else { alpha * (x.exp() - 1.0) }),
                Box::new(move |x| scale * if x > 0.0 { 1.0 } else { alpha * x.exp() }),
            ),
            (json!({"function": "tanh"}), Box::new(f64::tanh), Box::new(|x| 1.0 - x.tanh().powi(2))),
            (
                json!({"function": "sigmoid"}),
                Box::new(|x| 1.0 / (1.0 + (-x).exp())),
                Box::new(|x| (-x).exp() / (1.0 + (-x).exp()).powi(2)),
            ),
            (
                json!({"function": "elu", "alpha": 1.5}),
                Box::new(|x| if x > 0.0 { x } else { 1.5 * (x.exp() - 1.0) }),
                Box::new(|x| if x > 0.0 { 1.0 } else { 1.5 * x.exp() }),
            ),
            (
                json!({"function": "softplus"}),
                Box::new(|x| (1.0 + x.exp()).ln()),
                Box::new(|x| 1.0 / (1.0 + (-x).exp())),
            ),
            (
                json!({"function": "hard_sigmoid"}),
                Box::new(|x| (x / 6.0 + 0.5).clamp(0.0, 1.0)),
                Box::new(|x| if x.abs() < 3.0 { 1.0 / 6.0 } else { 0.0 }),
            ),
            (
                json!({"function": "gelu"}),
                Box::new(|x| x * plain::normal_distribution(x)),
                Box::new(|x| plain::normal_distribution(x) + x * plain::normal_density(x)),
            ),
            (
                json!({"function": "silu"}),
                Box::new(|x| x / (1.0 + (-x).exp())),
                Box::new(|x| (1.0 + (-x).exp() * (1.0 + x)) / (1.0 + (-x).exp()).powi(2)),
            ),
        ];
        let (description, function, derivative) = &functions[which];
        let mut description = description.clone();
        description["layer"] = json!("activation");
        let case = Case::new(layer(description), &[width], x.clone());
        let y: Vec<Sum> = double(&x).into_iter().map(|x| Sum::new(function(x), 1.0 + x.abs())).collect();
        case.check(&y, |g| {
            vec![g.iter().zip(double(&x)).map(|(g, x)| Sum::new(g * derivative(x), g.abs())).collect()]
        })?;
    }

    #[test]
    fn softmax(rows in rows(), width in 1usize..=60) {
        let x: Vec<f32> = numbers(4, rows * width).iter().map(|x| 8.0 * x).collect();
        let sum_of_row = |row: &[f64]| row.iter().map(|x| x.exp()).sum::<f64>();
        let y: Vec<f64> = double(&x)
            .chunks(width)
            .flat_map(|row| row.iter().map(|x| x.exp() / sum_of_row(row)).collect::<Vec<_>>())
            .collect();
        let expected: Vec<Sum> = y.iter().map(|y| Sum::new(*y, 1.0)).collect();
        Case::new(layer(json!({"layer": "softmax"})), &[width], x).check(&expected, |g| {
            // ∂yⱼ/∂xᵢ = yⱼ·(δᵢⱼ − yᵢ)
            let gradient = |index: usize| {
                let row = index / width * width..index / width * width + width;
                let terms = row.map(|j| g[j] * y[j] * (f64::from(u8::from(j == index)) - y[index]));
                Sum::new(terms.sum(), 1.0)
            };
            vec![(0..g.len()).map(gradient).collect()]
        })?;
    }

    #[test]
    fn prelu(rows in rows(), size in proptest::option::of(pair(1..=7)), channels in channels()) {
        let input: Vec<usize> = [channels].into_iter().chain(size.into_iter().flatten()).collect();
        let x = numbers(4, rows * input.iter().product::<usize>());
        let mut case = Case::new(layer(json!({"layer": "prelu"})), &input, x);
        case.parameters = vec![numbers(5, channels)];
        let (x, slopes) = (double(&case.x), double(&case.parameters[0]));
        let factor = |i: usize| if x[i] > 0.0 { 1.0 } else { slopes[i % channels] };
        let y: Vec<Sum> = (0..x.len()).map(|i| Sum::new(factor(i) * x[i], x[i].abs())).collect();
        case.check(&y, |g| {
            let mut of_slopes = vec![Sum::default(); channels];
            for (i, g) in g.iter().enumerate().filter(|(i, _)| x[*i] <= 0.0) {
                let sum = of_slopes[i % channels];
                of_slopes[i % channels] = Sum::new(sum.value + g * x[i], sum.size + (g * x[i]).abs());
            }
            vec![g.iter().enumerate().map(|(i, g)| Sum::new(factor(i) * g, g.abs())).collect(), of_slopes]
        })?;
    }

    #[test]
    fn global_pool2d(rows in rows(), size in pair(1..=9), channels in channels()) {
        let [height, width] = size;
        let (x, before) = (numbers(4, rows * height * width * channels), [0, 0]);
        let (large, small) = ([height, width, channels], [1, 1, channels]);
        let windows = Windows { rows, large, small, kernel: size, stride: size, before };
        let case = |kind: &str| {
            Case::new(layer(json!({"layer": "global_pool2d", "kind": kind})), &[channels, height, width], x.clone())
        };
        check_taken(&case("max"), &plain::maxima(&x, &windows))?;
        let y = plain::means(&double(&x), &windows);
        case("avg").check(&y, |g| vec![plain::means_backward(x.len(), &windows, g)])?;
    }

    /// Zeros around feature maps, and the same cut off again.
    #[test]
    fn zero_pad2d_and_crop2d(
        rows in rows(), size in pair(1..=6), channels in channels(), sides in proptest::array::uniform2(pair(0..=4)),
    ) {
        let shape = [size[0], size[1], channels];
        let from = plain::padded(rows, shape, sides);
        let x = numbers(4, rows * shape.iter().product::<usize>());
        let case = Case::new(
            layer(json!({"layer": "pad2d", "kind": "zero", "sides": sides})), &[channels, size[0], size[1]], x,
        );
        let exact = |value: f64| Sum::new(value, value.abs());
        let y: Vec<Sum> = from.iter().map(|from| exact(from.map_or(0.0, |from| f64::from(case.x[from])))).collect();
        let inside = from.iter().enumerate().filter_map(|(to, from)| Some((to, (*from)?)));
        let taken: Vec<(usize, usize)> = inside.collect();
        case.check(&y, |g| {
            let mut gradient = vec![Sum::default(); case.x.len()];
            taken.iter().for_each(|(to, from)| gradient[*from] = exact(g[*to]));
            vec![gradient]
        })?;

        let large = [channels, size[0] + sides[0].iter().sum::<usize>(), size[1] + sides[1].iter().sum::<usize>()];
        let crop = layer(json!({"layer": "pad2d", "kind": "crop", "sides": sides}));
        let mut back = taken;
        back.sort_by_key(|(_, from)| *from);
        let back: Vec<usize> = back.into_iter().map(|(to, _)| to).collect();
        check_taken(&Case::new(crop, &large, numbers(4, from.len())), &back)?;
    }

    /// Groups of channels, or all values of a sample, or of a time step.
    #[test]
    fn layer_norm_and_group_norm(
        rows in select(vec![1, 2, 3, 17]), size in pair(1..=5), groups in 1usize..=4, each in channels(),
        which in 0usize..5,
        epsilon in select(vec![1e-5, 1e-3]), centre in select(vec![0.0, 0.5, 30.0]),
    ) {
        let channels = groups * each;
        let maps = vec![channels, size[0], size[1]];
        let (kind, input) = match which {
            0 => ("layer", vec![channels]),
            1 => ("layer", vec![size[0], channels]),
            2 => ("layer", maps),
            3 => ("group", vec![channels]),
            _ => ("group", maps),
        };
        let values: usize = input.iter().product();
        let rows = fewer(rows, 40 * values);
        // Values of a sample, γ and β, groups of a sample.
        let (sample, parameters, groups) = match which {
            0 | 2 => (values, values, 1),
            1 => (channels, channels, 1),
            _ => (values, channels, groups),
        };
        // A single value, or two that are nearly equal, has no variance; rounding errors of x would be all there is.
        prop_assume!(sample / groups > 2);
        let mut x = numbers(4, rows * values);
        x.iter_mut().enumerate().for_each(|(index, x)| *x += centre * (index % channels) as f32 / channels as f32);
        let mut description = json!({"layer": "norm", "kind": kind, "epsilon": epsilon});
        if kind == "group" {
            description["groups"] = json!(groups);
        }
        let mut case = Case::new(layer(description), &input, x);
        case.parameters = vec![numbers(5, parameters), numbers(6, parameters)];

        let tape = Tape::default();
        let x = tape.inputs(&case.x);
        let [gamma, beta] = [0, 1].map(|index| tape.inputs(&case.parameters[index]));
        let mut y = vec![x[0]; x.len()];
        for start in (0..x.len()).step_by(sample) {
            for group in 0..groups {
                let belongs = |i: &usize| (i % parameters) / (parameters / groups) == group;
                let places: Vec<usize> = (0..sample).filter(belongs).collect();
                let pick = |from: &[Number], place: fn(usize, usize, usize) -> usize| -> Vec<Number> {
                    places.iter().map(|i| from[place(*i, start, parameters)]).collect()
                };
                let (gamma, beta) = (pick(&gamma, |i, _, n| i % n), pick(&beta, |i, _, n| i % n));
                let of_group = pick(&x, |i, start, _| start + i);
                let done = tape.normalised(&of_group, &gamma, &beta, f64::from(epsilon as f32));
                places.iter().zip(done).for_each(|(i, done)| y[start + i] = done);
            }
        }
        let inputs = [x, gamma, beta];
        case.check(&tape.sums_of(&y), |g| tape.gradients(&y, g, &inputs))?;
    }

    #[test]
    fn embedding(rows in rows(), k in 1usize..=9, vocabulary in 1usize..=40, dim in channels(), seed: u64) {
        let mut random = random::stream(seed, 0);
        let words: Vec<usize> = (0..rows * k).map(|_| random.gen_range(0..vocabulary)).collect();
        let layer = layer(json!({"layer": "embedding", "vocabulary": vocabulary, "dim": dim}));
        let mut case = Case::new(layer, &[k], words.iter().map(|word| *word as f32).collect());
        case.parameters = vec![numbers(5, vocabulary * dim)];
        let from: Vec<usize> = words.iter().flat_map(|word| word * dim..(word + 1) * dim).collect();
        let exact = |value: f64| Sum::new(value, value.abs());
        let y: Vec<Sum> = from.iter().map(|from| exact(f64::from(case.parameters[0][*from]))).collect();
        case.check(&y, |g| {
            let g: Vec<Sum> = g.iter().map(|g| exact(*g)).collect();
            vec![vec![Sum::default(); case.x.len()], plain::given_back(&from, vocabulary * dim, &g)]
        })?;
    }

    #[test]
    fn repeat_vector(rows in rows(), width in channels(), times in 1usize..=9) {
        let from: Vec<usize> =
            (0..rows * times).flat_map(|i| (0..width).map(move |column| i / times * width + column)).collect();
        let layer = layer(json!({"layer": "repeat_vector", "times": times}));
        check_taken(&Case::new(layer, &[width], numbers(4, rows * width)), &from)?;
    }

    /// Every time step of a sequence goes through the same weights.
    #[test]
    fn dense_of_sequences(
        rows in rows(), time in 1usize..=9, inputs in 1usize..=40, units in channels(), slope in slope(),
    ) {
        let rows = fewer(rows, time * inputs * units);
        let layer = layer(json!({"layer": "dense", "units": units}));
        let case = Case { slope, ..Case::new(layer, &[time, inputs], numbers(4, rows * time * inputs)) };
        check_products(case, plain::Dense { rows: rows * time, inputs, units }, inputs * units, units)?;
    }

    /// Values in another order, (channels, height, width) and (height, width, channels).
    #[test]
    fn flatten_and_reshape(rows in rows(), size in pair(1..=6), channels in channels()) {
        let [height, width] = size;
        let mut from = Vec::new(); // of a flat value, where it is in the feature map
        for n in 0..rows {
            for c in 0..channels {
                from.extend((0..height * width).map(|pixel| (n * height * width + pixel) * channels + c));
            }
        }
        let mut back = vec![0; from.len()];
        from.iter().enumerate().for_each(|(flat, map)| back[*map] = flat);
        let shape = [channels, height, width];
        let x = numbers(4, from.len());
        check_taken(&Case::new(layer(json!({"layer": "flatten"})), &shape, x.clone()), &from)?;
        let reshape = layer(json!({"layer": "reshape", "shape": shape}));
        check_taken(&Case::new(reshape, &[channels * height * width], x), &back)?;
    }

    /// A value passes or not with its gradient, about as often as the rate says; in prediction all pass.
    #[test]
    fn dropout(rows in rows(), width in 1usize..=2000, rate in select(vec![0.0f32, 0.1, 0.5, 0.9]), seed: u64) {
        let (x, g) = (vec![1.0; rows * width], numbers(1, rows * width));
        let layer = layer(json!({"layer": "dropout", "rate": rate}));
        let single = Single::new(&layer, &[width], &[]);
        let mut pass = Pass::training(seed);
        let [input, output] = single.forward(&x, true, &mut pass);
        let mask = output.values.to_vec();
        backward(&output, &g, &mut pass);
        for (got, (mask, g)) in pass.gradient(&input).iter().zip(mask.iter().zip(&g)) {
            prop_assert_eq!(*got, mask * g);
        }
        let kept = 1.0 / (1.0 - rate);
        prop_assert!(mask.iter().all(|m| *m == 0.0 || *m == kept));
        let (count, rate) = (mask.len() as f64, f64::from(rate));
        let dropped = mask.iter().filter(|m| **m == 0.0).count() as f64;
        prop_assert!((dropped - rate * count).abs() <= 6.0 * (rate * (1.0 - rate) * count).sqrt() + 1e-9);
        let [_, predicted] = single.forward(&x, false, &mut Pass::prediction());
        prop_assert_eq!(&predicted.values[..], &x[..]);
    }

    /// A network, in which layers are fused, gives what its layers give one by one.
    #[test]
    fn fusion_changes_nothing(
        rows in rows(), channels in (1usize..=17, 1usize..=17), factor in pair(1..=3), stride in 1usize..=2,
        padding in 0usize..=3, after: [Index; 2],
    ) {
        let network = Sequential::input([channels.0, 3, 4]).up_sample2d(factor).conv2d(channels.1, 3);
        let network = network.stride(stride).padding(padding);
        let network = bend(bend(network, after[0]).conv_transpose2d(channels.0, 3).stride(2), after[1]);
        check_fusion(network.flatten().dense(5), rows)?;
    }

    /// Also where a channel's line falls or does neither, and where windows overlap or leave pixels out.
    #[test]
    fn fusion_of_what_is_pooled_and_dropped_changes_nothing(
        rows in rows(), channels in channels(), size in pair(1..=3), stride in pair(1..=3), more in pair(0..=5),
        after: [Index; 2],
    ) {
        let maps = Sequential::input([channels, size[0] + more[0], size[1] + more[1]]).batch_norm();
        let pooled = bend(maps, after[0]).max_pool2d(size).stride(stride).flatten().dense(40);
        check_fusion(bend(pooled, after[1]).dropout(0.5), rows + 1)?;
    }
}

fn bend(network: Sequential, which: Index) -> Sequential {
    match which.index(3) {
        0 => network,
        1 => network.relu(),
        _ => network.leaky_relu(0.25),
    }
}

/// Compares a network in which layers are fused with its layers one by one.
fn check_fusion(network: Sequential, rows: usize) -> Result<(), TestCaseError> {
    let mut network = network.build().unwrap();
    // Quarters, whose sums are exact up to the last layer: both ways see the same side of a bend. Parameters lie
    // between them, as a value that batch normalisation makes 0 gets its offset then.
    let quarters = |seed, count| numbers(seed, count).iter().map(|v| (v * 4.0).round() / 4.0).collect::<Vec<f32>>();
    let between = |seed, count| quarters(seed, count).iter().map(|v| v + 0.125).collect();
    network.parameters_mut().enumerate().for_each(|(number, p)| *p = Arc::new(between(number as u64, p.len())));
    let x = quarters(4, rows * network.input_shape().iter().product::<usize>());
    let start = |pass: &mut Pass| pass.tracked(Arc::new(x.clone().into()), rows);

    // Each layer has its parameters in a network of its own.
    let mut pass = Pass::training(0);
    let first = start(&mut pass);
    let (mut y, mut keys) = (first.clone(), Vec::new());
    for (number, node) in network.nodes().iter().enumerate() {
        let step = PlanStep::new(&node.layer, &node.input, &node.output);
        y = step.forward(&node.weights(), number, y, &mut pass);
        let parameters = node.parameters.iter().enumerate().filter(|(_, p)| p.trainable);
        keys.extend(parameters.map(|(n, p)| (ParameterKey { network: number, number: n }, p.values.len())));
    }
    let one_by_one = y.values.to_vec();
    let g = quarters(1, one_by_one.len());
    backward(&y, &g, &mut pass);
    let mut expected = vec![pass.gradient(&first)];
    expected.extend(pass.into_gradients(keys.into_iter()).into_iter().map(|gradient| gradient.sum.unwrap()));

    let mut pass = Pass::training(0);
    let first = start(&mut pass);
    let y = network.forward_on(first.clone(), &mut pass);
    near("output", &y.values, &one_by_one, 1)?;
    backward(&y, &g, &mut pass);
    let mut got = vec![pass.gradient(&first)];
    got.extend(pass.gradients(&[&network]));
    prop_assert_eq!(got.len(), expected.len());
    for (number, (got, expected)) in got.iter().zip(&expected).enumerate() {
        near(&format!("gradient {number}"), got, expected, if number == 0 { 1 } else { rows })?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn lstm_and_gru(
        rows in rows(), time in 1usize..=5, features in 1usize..=9, units in select(vec![1, 2, 7, 8, 15, 16, 17, 33]),
        is_lstm: bool, sequences: bool,
    ) {
        // Each product is two numbers on the tape, and time steps multiply what is to be rounded.
        let gates = if is_lstm { 4 } else { 3 };
        let rows = fewer(rows, 20 * time * gates * units * (features + units));
        let plain = plain::Recurrent { time, features, units, is_lstm };
        let cell = if is_lstm { "lstm" } else { "gru" };
        let layer = layer(json!({"layer": "recurrent", "cell": cell, "units": units, "sequences": sequences}));
        let mut case = Case::new(layer, &[time, features], numbers(4, rows * time * features));
        let width = gates * units;
        let lengths = [features * width, units * width, width, width];
        let scale = 1.0 / (units as f32).sqrt();
        let scaled = |(seed, n): (u64, usize)| numbers(seed, n).iter().map(|v| v * scale).collect();
        case.parameters = (5..).zip(lengths).map(scaled).collect();

        let tape = Tape::default();
        let mut inputs = vec![tape.inputs(&case.x)];
        inputs.extend(case.parameters.iter().map(|parameter| tape.inputs(parameter)));
        let states = plain.states(&tape, &inputs[0], [1, 2, 3, 4].map(|index| &inputs[index][..]));
        let last = |row: &[Number]| row[(time - 1) * units..].to_vec();
        let y = if sequences { states } else { states.chunks(time * units).flat_map(last).collect() };
        case.check(&tape.sums_of(&y), |g| tape.gradients(&y, g, &inputs))?;
    }
}

/// Equal but for rounding errors of the largest value, or of the terms that it is the sum of, each around 1.
fn near(what: &str, got: &[f32], expected: &[f32], terms: usize) -> Result<(), TestCaseError> {
    let largest = expected.iter().fold(terms as f32, |largest, v| largest.max(v.abs()));
    let expected: Vec<Sum> = expected.iter().map(|v| Sum::new(f64::from(*v), f64::from(largest))).collect();
    close(what, got, &expected)
}

/// Checks a layer whose output i is its input `from[i]`.
fn check_taken(case: &Case, from: &[usize]) -> Result<(), TestCaseError> {
    let exact = |value: f64| Sum::new(value, value.abs());
    let y: Vec<Sum> = from.iter().map(|from| exact(f64::from(case.x[*from]))).collect();
    case.check(&y, |g| {
        let g: Vec<Sum> = g.iter().map(|g| exact(*g)).collect();
        vec![plain::given_back(from, case.x.len(), &g)]
    })?;
    Ok(())
}

/// Columns to rows: value i of every column, then value i + 1.
fn interleaved(columns: Vec<Vec<Sum>>) -> Vec<Sum> {
    (0..columns[0].len()).flat_map(|i| columns.iter().map(move |column| column[i])).collect()
}
