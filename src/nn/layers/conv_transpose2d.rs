use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Bias, Dilation, Groups, HeightWidth, Layer, LayerContext, Operation, Padding, add_gradients, conv2d::spans,
    convolution_gradients, feature_maps, joined,
};
use crate::{
    engine::{Accumulate, Convolution, rectified_gradient},
    nn::{
        init::ParameterSpec,
        sequential::Sequential,
        tape::{OutputGradient, Pass, Variable},
    },
};

/// A transposed convolution with a bias, the adjoint of a convolution: each input pixel adds its kernel to the output,
/// y\[o, stride·q − crop + dilation·t\] = b\[o\] + Σ over q, t, c of x\[c, q\] · W\[t, o, c\], where o are the
/// filters of c's group.
///
/// Shapes: x (n, channels, height, width), W (kernel height, kernel width, filters / groups, channels), b (filters), y
/// (n, filters, out height, out width) with out = (size − 1) · stride + span − 2 · padding + output padding, where a
/// kernel spans dilation · (kernel − 1) + 1 pixels. Backward pass: [`Convolution`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConvTranspose2d {
    filters: usize,
    kernel: HeightWidth,
    stride: HeightWidth,
    padding: Padding,
    output_padding: HeightWidth,
    #[serde(default, skip_serializing_if = "Dilation::is_1")]
    dilation: Dilation,
    #[serde(default, skip_serializing_if = "Groups::is_1")]
    groups: Groups,
    #[serde(default, skip_serializing_if = "Bias::is_used")]
    bias: Bias,
}

impl Sequential {
    /// A transposed 2-D convolution with bias: input `[channels, height, width]`, output `[filters, out height, out
    /// width]`.
    ///
    /// Without modifiers the stride is 1 and nothing is cropped: out = (size − 1) · stride + kernel. With
    /// [`same`](Self::same), Keras' convention, out = size · stride. With [`padding`](Self::padding) and
    /// [`output_padding`](Self::output_padding), PyTorch's, out = (size − 1) · stride + kernel − 2 · padding + output
    /// padding. Where the kernel is smaller than the stride, Keras' `valid` has an output padding of stride − kernel.
    /// It has kernel·channels·filters + filters parameters. [`dilation`](Self::dilation) spreads the kernel,
    /// [`groups`](Self::groups) cuts the channels into groups.
    ///
    /// W is stored as (kernel height, kernel width, filters / groups, channels), Keras' order; PyTorch's
    /// `ConvTranspose2d` holds (channels, filters / groups, kernel height, kernel width).
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// let keras = Sequential::input([64, 7, 7]).conv_transpose2d(32, 3).stride(2).same().build()?;
    /// let pytorch = Sequential::input([64, 7, 7]).conv_transpose2d(32, 3).stride(2).padding(1).output_padding(1);
    /// assert_eq!(keras.output_shape(), [32, 14, 14]);
    /// assert_eq!(pytorch.output_shape(), [32, 14, 14]); // the same size, shifted by a pixel
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn conv_transpose2d(self, filters: usize, kernel: impl Into<HeightWidth>) -> Self {
        let (kernel, stride, output_padding) = (kernel.into(), 1.into(), 0.into());
        self.push(Layer::ConvTranspose2d(ConvTranspose2d {
            filters,
            kernel,
            stride,
            padding: Padding::default(),
            output_padding,
            dilation: Dilation::default(),
            groups: Groups::default(),
            bias: Bias::default(),
        }))
    }

    /// Gives the output of the transposed convolution before it that many more rows and columns, at the bottom and on
    /// the right, as PyTorch's `output_padding`: a convolution with a stride makes the same of several sizes, and this
    /// says which one to go back to.
    ///
    /// Must be smaller than the stride.
    pub fn output_padding(self, padding: impl Into<HeightWidth>) -> Self {
        let padding = padding.into();
        self.amend("output_padding", "a conv_transpose2d", |layer| {
            match layer {
                Layer::ConvTranspose2d(layer) => layer.output_padding = padding,
                _ => return false,
            }
            true
        })
    }
}

impl ConvTranspose2d {
    /// The filter of each of its weights, in their order.
    pub(in crate::nn) fn filters_of_weights(&self, channels: usize) -> impl Iterator<Item = usize> + use<> {
        let (of_group, channels_of_group) = (self.filters / self.groups.0, channels / self.groups.0);
        let filters = move |o| (0..channels).map(move |channel| channel / channels_of_group * of_group + o);
        (0..self.kernel.0[0] * self.kernel.0[1]).flat_map(move |_| (0..of_group).flat_map(filters))
    }

    /// The convolution of which this is the adjoint: from the large feature map, our output, to the small
    /// one, our input.
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
            let more = self.output_padding.0[axis];
            if more >= stride[axis] && more > 0 {
                return Err(format!(
                    "expected an output padding below the stride {stride:?}, got {:?}",
                    self.output_padding.0
                ));
            }
            let full = (size - 1).saturating_mul(stride[axis]).saturating_add(span[axis]);
            let too_much = || format!("a padding of {:?} leaves nothing of {full} pixels", self.padding);
            let longest = full.saturating_add(more);
            (before[axis], out[axis]) = match self.padding {
                Padding::Valid => (0, longest),
                Padding::Same => (
                    span[axis].saturating_sub(stride[axis]) / 2,
                    size.saturating_mul(stride[axis]).saturating_add(more),
                ),
                Padding::Explicit(HeightWidth(padding)) => {
                    let cropped = padding[axis].checked_mul(2).and_then(|crop| longest.checked_sub(crop));
                    (padding[axis], cropped.filter(|out| *out > 0).ok_or_else(too_much)?)
                }
            };
        }
        let [rows, columns] = out;
        Ok(Convolution {
            large: [rows, columns, self.filters],
            small: [height, width, channels],
            kernel,
            stride,
            before,
            dilation,
            groups,
            up_sampled: false,
        })
    }
}

impl Operation for ConvTranspose2d {
    fn name(&self) -> &'static str {
        "conv_transpose2d"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        let [rows, columns, filters] = self.convolution(feature_maps(input)?)?.large;
        Ok(vec![filters, rows, columns])
    }

    fn parameters(&self, input: &[usize]) -> Vec<ParameterSpec> {
        let ([rows, columns], channels, filters) = (self.kernel.0, input[0], self.filters / self.groups.0);
        // Both frameworks count the filters as a unit's inputs here.
        let (inputs, outputs) = (
            rows.saturating_mul(columns).saturating_mul(filters),
            rows.saturating_mul(columns).saturating_mul(channels),
        );
        let weight = ParameterSpec::weight("weight", [rows, columns, filters, channels], inputs, outputs);
        self.bias.after(weight, self.filters, inputs)
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

    fn multiply_adds(&self, input: &[usize], _up_sample: [usize; 2]) -> usize {
        // An error is that of a layer in no network.
        feature_maps(input)
            .and_then(|input| self.convolution(input))
            .map_or(0, |convolution| convolution.multiply_adds())
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

    fn pack(&self, context: &LayerContext<'_>, backward: bool) {
        let convolution = context.convolution(|| feature_maps(context.input).and_then(|input| self.convolution(input)));
        context.caches.packed.forward(|| convolution.weights_to_large(&context.weights[0]));
        if backward {
            context.caches.packed.backward(|| convolution.weights_to_small(&context.weights[0]));
        }
    }

    fn forward(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let (weight, weight_parameter) = (context.weights[0].clone(), context.parameter(0, pass));
        let (bias, bias_parameter) = context.bias(self.bias, pass);
        let bias = bias.as_ref().map(|bias| &bias[..]);
        let packed = Arc::clone(&context.caches.packed);
        let convolution = context.convolution(|| feature_maps(context.input).and_then(|input| self.convolution(input)));
        let (rows, slope, filters) = (x.rows, context.slope(), self.filters);

        let weights = packed.forward(|| convolution.weights_to_large(&weight));
        let (y, moments) = convolution.to_large(&x.values, weights, bias, slope, context.moments(filters));
        let (y, idle) = (Arc::new(y), context.bias_is_idle());
        let mut y = pass.record_by_rows(Arc::clone(&y), rows, true, move |g, gradients| {
            let backward_weights = || packed.backward(|| convolution.weights_to_small(&weight));
            let mut g = match g {
                OutputGradient::ByRows(g) if !weight_parameter.is_frozen() => {
                    let packed = x.needs_gradient.then(backward_weights);
                    let bias = (idle, bias_parameter);
                    let layer = (&y[..], slope, filters);
                    let gradient =
                        convolution_gradients((&*convolution, false), (&x, packed), layer, bias, &g.write, gradients);
                    gradients.add_to_parameter(weight_parameter, gradient);
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
            let weight_gradient = |start: Accumulate<'_>, sum: &mut [f32]| {
                convolution.weight_gradient(&g, &x.values, start, sum);
            };
            let x_gradient = || convolution.to_small(&g, backward_weights(), None, 1.0, |_| ()).0;
            add_gradients(gradients, (weight_parameter, weight.len()), weight_gradient, &x, x_gradient);
        });
        y.moments = joined(moments);
        y
    }
}
