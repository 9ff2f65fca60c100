use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    Bias, HeightWidth, LayerContext, Operation, Weights, add_gradients, convolution_gradients, feature_maps, joined,
};
use crate::{
    engine::{
        Accumulate, Buffer, Convolution, OnThreads, PackedRhs, PackedWeights, PreparedConvolution, rectified_gradient,
    },
    nn::{
        init::ParameterSpec,
        sequential::Sequential,
        tape::{OutputGradient, Pass, Variable},
    },
};

/// A convolution (cross-correlation, as all frameworks have it) with a bias:
/// y\[o, q\] = b\[o\] + Σ over c, t of x\[c, stride·q − before + dilation·t\] · W\[t, c, o\], where c are the
/// channels of o's group.
///
/// Shapes: x (n, channels, height, width), W (kernel height, kernel width, channels / groups, filters), b (filters), y
/// (n, filters, out height, out width) with out = ⌊(size + padding before and after − span) / stride⌋ + 1, where a
/// window spans dilation · (kernel − 1) + 1 pixels. Backward pass: [`Convolution`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Conv2d {
    filters: usize,
    kernel: HeightWidth,
    stride: HeightWidth,
    padding: Padding,
    #[serde(default, skip_serializing_if = "Dilation::is_1")]
    dilation: Dilation,
    #[serde(default, skip_serializing_if = "Groups::is_1")]
    groups: Groups,
    #[serde(default, skip_serializing_if = "Bias::is_used")]
    bias: Bias,
}

/// How far apart the pixels of a window are; not in files of layers in which they are neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Dilation(pub(super) HeightWidth);

impl Default for Dilation {
    fn default() -> Self {
        Self(1.into())
    }
}

impl Dilation {
    pub(super) fn is_1(&self) -> bool {
        *self == Self::default()
    }
}

/// Into how many groups the channels are cut; not in files of layers with one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Groups(pub(super) usize);

impl Default for Groups {
    fn default() -> Self {
        Self(1)
    }
}

impl Groups {
    pub(super) fn is_1(&self) -> bool {
        *self == Self::default()
    }

    /// Refuses a number that does not divide those of channels and filters.
    pub(super) fn checked(self, channels: usize, filters: usize) -> Result<usize, String> {
        match self.0 {
            0 => Err("expected at least 1 group, got 0".into()),
            groups if channels.is_multiple_of(groups) && filters.is_multiple_of(groups) => Ok(groups),
            groups => Err(format!(
                "expected a number of groups that divides the {channels} channels and the {filters} filters, got \
                 {groups}"
            )),
        }
    }
}

/// How far the windows of a convolution reach over the edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Padding {
    /// Not at all.
    #[default]
    Valid,
    /// So far that a stride of 1 keeps the size.
    Same,
    /// On each of two sides.
    Explicit(HeightWidth),
}

impl Sequential {
    /// A 2-D convolution with bias: input `[channels, height, width]`, output `[filters, out height, out width]`.
    ///
    /// `kernel` is `3` for 3×3 or `[5, 3]` for 5 rows and 3 columns. Without modifiers the stride is 1 and there is no
    /// padding (Keras' `valid`); [`same`](Self::same), [`padding`](Self::padding) and [`stride`](Self::stride) after it
    /// change that: out = ⌊(size + padding − kernel) / stride⌋ + 1. It has kernel·channels·filters + filters
    /// parameters. [`dilation`](Self::dilation) spreads the kernel, [`groups`](Self::groups) cuts the channels into
    /// groups.
    ///
    /// W is stored as (kernel height, kernel width, channels / groups, filters), Keras' order; PyTorch's `Conv2d` holds
    /// (filters, channels / groups, kernel height, kernel width).
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// let network = Sequential::input([1, 28, 28]).conv2d(24, 3).stride(2).padding(1).relu();
    /// let network = network.conv2d(48, [3, 5]).same().build()?;
    /// assert_eq!(network.output_shape(), [48, 14, 14]);
    /// assert_eq!(network.parameter_count(), (9 * 24 + 24) + (15 * 24 * 48 + 48));
    ///
    /// let error = Sequential::input([784]).conv2d(32, 3).build().unwrap_err().to_string();
    /// assert!(error.starts_with("layer 1, conv2d: expected an input [channels, height, width], got [784]"));
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn conv2d(self, filters: usize, kernel: impl Into<HeightWidth>) -> Self {
        let (kernel, stride) = (kernel.into(), 1.into());
        let (dilation, groups, bias) = (Dilation::default(), Groups::default(), Bias::default());
        self.push(Conv2d { filters, kernel, stride, padding: Padding::default(), dilation, groups, bias })
    }

    /// Spreads the kernel of the convolution before it: its pixels are `dilation` apart, so that a kernel of k spans
    /// dilation · (k − 1) + 1 pixels with no more weights (Yu and Koltun 2016, "Multi-scale context aggregation by
    /// dilated convolutions"). PyTorch's `dilation`, Keras' `dilation_rate`; 1 is the default. Where a size is that of
    /// the kernel, it becomes that of the span.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// let network = Sequential::input([1, 28, 28]).conv2d(8, 3).dilation(2);
    /// assert_eq!(network.output_shape(), [8, 24, 24]); // as with a kernel of 5
    /// assert_eq!(network.parameter_count(), 9 * 8 + 8);
    /// assert_eq!(network.same().build()?.output_shape(), [8, 28, 28]);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn dilation(self, dilation: impl Into<HeightWidth>) -> Self {
        let dilation = Dilation(dilation.into());
        self.amend("dilation", "a conv2d or conv_transpose2d", |layer| {
            layer.operation_mut().dilation_mut().map(|old| *old = dilation).is_some()
        })
    }

    /// Cuts the channels of the convolution before it, and its filters, into that many groups of equal size, side by
    /// side: each group of filters sees its own group of channels, with a `groups`th of the weights and of the work.
    /// PyTorch's and Keras' `groups`; 1 is the default.
    ///
    /// With as many groups as channels it is a *depthwise* convolution, of each channel by itself; one of 1×1 after it
    /// mixes the channels again (a depthwise separable convolution, Chollet 2017, "Xception").
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// let separable = Sequential::input([32, 14, 14]).conv2d(32, 3).groups(32).same().conv2d(64, 1).build()?;
    /// assert_eq!(separable.parameter_count(), (9 * 32 + 32) + (32 * 64 + 64)); // 18,496 without groups
    ///
    /// let error = Sequential::input([3, 8, 8]).conv2d(4, 3).groups(3).build().unwrap_err().to_string();
    /// let expected = "expected a number of groups that divides the 3 channels and the 4 filters, got 3";
    /// assert_eq!(error, format!("layer 1, conv2d: {expected}"));
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn groups(self, groups: usize) -> Self {
        self.amend("groups", "a conv2d or conv_transpose2d", |layer| {
            layer.operation_mut().groups_mut().map(|old| *old = Groups(groups)).is_some()
        })
    }

    /// The stride of the convolution or pooling before it, in pixels; of a transposed convolution, how far its input
    /// pixels are spread.
    pub fn stride(self, stride: impl Into<HeightWidth>) -> Self {
        let stride = stride.into();
        self.amend("stride", "a convolution or pooling", |layer| {
            layer.operation_mut().stride_mut().map(|old| *old = stride).is_some()
        })
    }

    /// Pads the convolution before it so that a stride of 1 keeps the size (Keras' `same`).
    ///
    /// With a stride, the output is ⌈size / stride⌉; of an odd padding the larger half is at the bottom and on the
    /// right. A transposed convolution gives size · stride; Keras crops the last rows and columns of a 3×3 kernel with
    /// stride 2, where PyTorch's `padding=1, output_padding=1` crops the first: the same size, shifted by a pixel.
    pub fn same(self) -> Self {
        self.pad("same", Padding::Same)
    }

    /// Pads the convolution before it with that many zeros on each side, as PyTorch's `padding`; crops a transposed
    /// convolution by that many pixels.
    pub fn padding(self, padding: impl Into<HeightWidth>) -> Self {
        self.pad("padding", Padding::Explicit(padding.into()))
    }

    fn pad(self, method: &str, padding: Padding) -> Self {
        self.amend(method, "a conv2d or conv_transpose2d", |layer| {
            layer.operation_mut().padding_mut().map(|old| *old = padding).is_some()
        })
    }
}

/// How many pixels a dilated kernel spans.
pub(super) fn spans(kernel: [usize; 2], dilation: [usize; 2]) -> [usize; 2] {
    [0, 1].map(|axis| (kernel[axis] - 1).saturating_mul(dilation[axis]).saturating_add(1))
}

impl Conv2d {
    /// The convolution from a large feature map, the input, to a small one; or what is wrong.
    pub(crate) fn convolution(&self, [channels, height, width]: [usize; 3]) -> Result<Convolution, String> {
        if self.filters == 0 {
            return Err("expected at least 1 filter, got 0".into());
        }
        let (kernel, stride) = (self.kernel.at_least_1("kernel")?, self.stride.at_least_1("stride")?);
        let dilation = self.dilation.0.at_least_1("dilation")?;
        let groups = self.groups.checked(channels, self.filters)?;
        let span = spans(kernel, dilation);
        let (mut before, mut out) = ([0; 2], [0; 2]);
        for (axis, size) in [height, width].into_iter().enumerate() {
            let padding = match self.padding {
                Padding::Valid => 0,
                Padding::Same => {
                    let last = (size.div_ceil(stride[axis]) - 1) * stride[axis];
                    last.saturating_add(span[axis]).saturating_sub(size)
                }
                Padding::Explicit(padding) => padding.0[axis].saturating_mul(2),
            };
            before[axis] = padding / 2;
            let padded = size.saturating_add(padding);
            let windows = padded.checked_sub(span[axis]).ok_or_else(|| {
                let dilated = if self.dilation.is_1() { String::new() } else { format!(", which spans {span:?},") };
                let input = [channels, height, width];
                format!("a kernel of {kernel:?}{dilated} does not fit into {padded} pixels (input {input:?})")
            })?;
            out[axis] = (windows / stride[axis]).saturating_add(1);
        }
        let [rows, columns] = out;
        Ok(Convolution {
            large: [height, width, channels],
            small: [rows, columns, self.filters],
            kernel,
            stride,
            before,
            dilation,
            groups,
            up_sampled: false,
        })
    }
}

impl Conv2d {
    /// The one convolution that an up-sampling by `factor`, which makes this input, and this layer are together, if
    /// they can be merged: see [`Enlarged`].
    pub(in crate::nn) fn merged_with_up_sampling(&self, input: &[usize], factor: [usize; 2]) -> Option<Convolution> {
        // With more padding than this some outputs see no feature map at all; a stride leaves most of the enlarged one
        // unseen.
        let reach = self.kernel.0.map(|kernel| kernel - 1);
        let fits = |padding: [usize; 2]| padding[0] <= reach[0] && padding[1] <= reach[1];
        let too_much = matches!(self.padding, Padding::Explicit(HeightWidth(padding)) if !fits(padding));
        if self.stride != 1.into() || !self.dilation.is_1() || !self.groups.is_1() || too_much {
            return None;
        }
        let convolution = feature_maps(input).and_then(|input| self.convolution(input)).ok()?;
        Some(enlarged(convolution, factor))
    }
}

impl Operation for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        let [rows, columns, filters] = self.convolution(feature_maps(input)?)?.small;
        Ok(vec![filters, rows, columns])
    }

    fn parameters(&self, input: &[usize]) -> Vec<ParameterSpec> {
        let ([rows, columns], channels, filters) = (self.kernel.0, input[0] / self.groups.0, self.filters);
        let (inputs, outputs) = (
            rows.saturating_mul(columns).saturating_mul(channels),
            rows.saturating_mul(columns).saturating_mul(filters),
        );
        let weight = ParameterSpec::weight("weight", [rows, columns, channels, filters], inputs, outputs);
        self.bias.after(weight, filters, inputs)
    }

    fn bias_mut(&mut self) -> Option<&mut Bias> {
        Some(&mut self.bias)
    }

    fn check_sizes(&self, place: &str, input: &[usize]) -> crate::error::Result<()> {
        match feature_maps(input).and_then(|input| self.convolution(input)) {
            Ok(convolution) => convolution.check(place),
            Err(_) => Ok(()), // output_shape has said so
        }
    }

    fn stride_mut(&mut self) -> Option<&mut HeightWidth> {
        Some(&mut self.stride)
    }

    fn padding_mut(&mut self) -> Option<&mut Padding> {
        Some(&mut self.padding)
    }

    fn dilation_mut(&mut self) -> Option<&mut Dilation> {
        Some(&mut self.dilation)
    }

    fn groups_mut(&mut self) -> Option<&mut Groups> {
        Some(&mut self.groups)
    }

    fn multiply_adds(&self, input: &[usize], factor: [usize; 2]) -> usize {
        match feature_maps(input).and_then(|input| self.convolution(input)) {
            Ok(convolution) if factor == [1, 1] => convolution.multiply_adds(),
            Ok(convolution) => enlarged(convolution, factor).multiply_adds(),
            Err(_) => 0, // such a layer is in no network
        }
    }

    fn pack(&self, context: &LayerContext<'_>, backward: bool) {
        let weights = Weighted::new(self, context);
        weights.forward();
        if backward {
            weights.backward();
        }
    }

    fn forward(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let (weights, weight_parameter) = (Weighted::new(self, context), context.parameter(0, pass));
        let (bias, bias_parameter) = context.bias(self.bias, pass);
        let bias = bias.as_ref().map(|bias| &bias[..]);
        let (rows, slope, filters) = (x.rows, context.slope(), self.filters);

        let (convolution, finish) = (&weights.convolution, context.moments(self.filters));
        let (y, moments) = match weights.merged {
            None => convolution.to_small(&x.values, weights.forward(), bias, slope, finish),
            Some(_) => convolution.to_large(&x.values, weights.forward(), bias, slope, finish),
        };
        let (y, idle) = (Arc::new(y), context.bias_is_idle());
        let mut y = pass.record_by_rows(Arc::clone(&y), rows, true, move |g, gradients| {
            let mut g = match g {
                OutputGradient::ByRows(g) if !weight_parameter.is_frozen() => {
                    let convolution = (&*weights.convolution, weights.merged.is_none());
                    let packed = x.needs_gradient.then(|| weights.backward());
                    let bias = (idle, bias_parameter);
                    let layer = (&y[..], slope, filters);
                    let gradient = convolution_gradients(convolution, (&x, packed), layer, bias, &g.write, gradients);
                    match &weights.merged {
                        None => gradients.add_to_parameter(weight_parameter, gradient),
                        Some(merged) => {
                            let (mut sum, start) = gradients.take_sum(weight_parameter, weights.weight.len());
                            merged.add_weight_gradient(&gradient, start, &mut sum);
                            gradients.put(weight_parameter, sum);
                        }
                    }
                    return;
                }
                g => g.into_values(),
            };
            if !idle {
                let sums = rectified_gradient(&y, &mut g, slope, filters);
                if let Some(bias) = bias_parameter {
                    gradients.add_to_parameter(bias, sums);
                }
            }
            let convolution = &weights.convolution;
            let weight_gradient = |start: Accumulate<'_>, sum: &mut [f32]| match &weights.merged {
                None => convolution.weight_gradient(&x.values, &g, start, sum),
                Some(merged) => {
                    let mut gradient = Buffer::unset(convolution.convolution.weights());
                    convolution.weight_gradient(&g, &x.values, Accumulate::Zero, &mut gradient);
                    merged.add_weight_gradient(&gradient, start, sum);
                }
            };
            let x_gradient = || match weights.merged {
                None => convolution.to_large(&g, weights.backward(), None, 1.0, |_| ()).0,
                Some(_) => convolution.to_small(&g, weights.backward(), None, 1.0, |_| ()).0,
            };
            add_gradients(gradients, (weight_parameter, weights.weight.len()), weight_gradient, &x, x_gradient);
        });
        y.moments = joined(moments);
        y
    }
}

/// A layer's weights and what it computes with them: its own convolution, or what up-sampling and convolution are
/// together.
struct Weighted {
    weight: Weights,
    convolution: Arc<PreparedConvolution>,
    merged: Option<Enlarged>,
    packed: Arc<PackedWeights>,
}

impl Weighted {
    fn new(layer: &Conv2d, context: &LayerContext<'_>) -> Self {
        let itself = || feature_maps(context.input).and_then(|input| layer.convolution(input));
        let (weight, packed) = (Arc::clone(&context.weights[0]), Arc::clone(&context.caches.packed));
        let factor = context.fused.up_sample;
        if factor == [1, 1] {
            return Self { weight, convolution: context.convolution(itself), merged: None, packed };
        }
        let convolution = context.convolution(|| itself().map(|convolution| enlarged(convolution, factor)));
        let spread = convolution.convolution;
        let merged = Some(Enlarged { kernel: layer.kernel.0, factor, spread });
        Self { weight, convolution, merged, packed }
    }

    fn forward(&self) -> &[PackedRhs<'static>] {
        self.packed.forward(|| match self.merged {
            None => self.convolution.weights_to_small(&self.weight),
            Some(merged) => self.convolution.weights_to_large(&merged.weights(&self.weight)),
        })
    }

    fn backward(&self) -> &[PackedRhs<'static>] {
        self.packed.backward(|| match self.merged {
            None => self.convolution.weights_to_large(&self.weight),
            Some(merged) => self.convolution.weights_to_small(&merged.weights(&self.weight)),
        })
    }
}

/// The transposed convolution that an up-sampling by `factor` and a `convolution` with a stride of 1 are together: from
/// the feature map as it is (small) to the result (large).
fn enlarged(convolution: Convolution, factor: [usize; 2]) -> Convolution {
    let [height, width, channels] = convolution.large;
    let kernel = convolution.kernel;
    Convolution {
        large: convolution.small,
        small: [height / factor[0], width / factor[1], channels],
        kernel: [factor[0] + kernel[0] - 1, factor[1] + kernel[1] - 1],
        stride: factor,
        before: [kernel[0] - 1 - convolution.before[0], kernel[1] - 1 - convolution.before[1]],
        dilation: [1, 1],
        groups: 1,
        up_sampled: true,
    }
}

/// A convolution of a feature map that is first enlarged: each pixel becomes `factor` equal ones.
///
/// Equal pixels see the sum of their weights, so the enlarged feature map need not exist: with a kernel of k, the two
/// together are a *transposed* convolution of the feature map as it is, with a stride of `factor` and a kernel of
/// factor + k − 1. With factor 3 and a kernel of 3×3 each pixel of the result costs 25/9 multiply-adds instead of 9.
#[derive(Clone, Copy)]
struct Enlarged {
    kernel: [usize; 2],
    factor: [usize; 2],
    /// The two together, see [`enlarged`].
    spread: Convolution,
}

impl Enlarged {
    /// The weights k along an axis that fall together into weight t of the transposed convolution: kernel − 1 ≤ t + k <
    /// kernel − 1 + factor.
    fn together(&self, axis: usize, t: usize) -> impl Iterator<Item = usize> + use<> {
        let (kernel, factor) = (self.kernel[axis], self.factor[axis]);
        (kernel - 1).saturating_sub(t)..(kernel - 1 + factor).saturating_sub(t).min(kernel)
    }

    /// (kernel, channels, filters) to (merged kernel, filters, channels).
    fn weights(&self, weights: &[f32]) -> Buffer {
        let [_, columns] = self.spread.kernel;
        let (channels, filters) = (self.spread.small[2], self.spread.large[2]);
        let mut merged = Buffer::zeros(self.spread.weights());
        merged.par_chunks_mut(channels * filters).enumerate().on_threads().for_each(|(t, out)| {
            for ky in self.together(0, t / columns) {
                for kx in self.together(1, t % columns) {
                    let weights = &weights[(ky * self.kernel[1] + kx) * channels * filters..][..channels * filters];
                    for (channel, row) in weights.chunks_exact(filters).enumerate() {
                        out[channel..].iter_mut().step_by(channels).zip(row).for_each(|(sum, w)| *sum += w);
                    }
                }
            }
        });
        merged
    }

    /// The adjoint of [`weights`](Self::weights), added to `gradient` as `start` says.
    fn add_weight_gradient(&self, merged: &[f32], start: Accumulate<'_>, gradient: &mut [f32]) {
        let [rows, columns] = self.spread.kernel;
        let (channels, filters) = (self.spread.small[2], self.spread.large[2]);
        if matches!(start, Accumulate::Zero) {
            gradient.fill(0.0);
        }
        gradient.par_chunks_mut(channels * filters).enumerate().on_threads().for_each(|(k, out)| {
            let (ky, kx) = (k / self.kernel[1], k % self.kernel[1]);
            for ty in (0..rows).filter(|t| self.together(0, *t).any(|k| k == ky)) {
                for tx in (0..columns).filter(|t| self.together(1, *t).any(|k| k == kx)) {
                    let merged = &merged[(ty * columns + tx) * channels * filters..][..channels * filters];
                    for (channel, row) in out.chunks_exact_mut(filters).enumerate() {
                        row.iter_mut().zip(merged[channel..].iter().step_by(channels)).for_each(|(sum, g)| *sum += g);
                    }
                }
            }
        });
    }
}
