//! The layers, one file each: its builder method on [`Sequential`](crate::Sequential), its shapes, its parameters, its
//! forward and backward pass.
//!
//! Inside a network a batch of feature maps is (n, height, width, channels), so that a vector register holds
//! neighbouring channels; in the public interface it is (n, channels, height, width).

mod activation;
mod avg_pool2d;
mod batch_norm;
mod conv2d;
mod conv_transpose2d;
mod dense;
mod dropout;
mod embedding;
mod flatten;
mod functions;
mod global_pool2d;
mod max_pool2d;
mod norm;
mod order;
mod pad2d;
mod pixel_shuffle;
mod prelu;
mod recurrent;
mod repeat_vector;
mod reshape;
mod size;
mod skip;
mod softmax;
mod up_sample2d;
mod windows;

pub(crate) use activation::Activation;
pub(crate) use conv2d::Conv2d;
pub(crate) use dropout::Dropout;
pub(in crate::nn) use functions::{exp_m1, exp_of_any, ln, normal, sigmoid, softplus, tanh};
pub(crate) use max_pool2d::MaxPool2d;
pub(crate) use norm::Norm;
pub(in crate::nn) use order::transposed;
pub(crate) use order::{channels_first, channels_last};
pub(crate) use pad2d::Pad2d;
pub use size::{HeightWidth, Sides};

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::conv2d::{Dilation, Groups, Padding};
use super::{
    init::ParameterSpec,
    plan::{Caches, Fused},
    sequential::Sequential,
    tape::{GradientSlot, Gradients, ParameterKey, Pass, Variable, WriteGradient},
};
use crate::engine::{
    Accumulate, Buffer, Convolution, Moments, PackedRhs, PreparedConvolution, add_parts, join, rectified_gradient,
};

/// What a layer must say of itself.
pub(crate) trait Operation {
    /// Its name, as in Keras and PyTorch.
    fn name(&self) -> &'static str;

    /// The shape it makes of an input's (both without the batch), or what is wrong: "expected …, got …".
    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String>;

    /// The forward pass, which records the backward pass: `(batch, values of the input shape)` to `(batch, values of
    /// the output shape)`; the weights as in [`Self::parameters`].
    fn forward(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable;

    /// The parameters that it learns or observes, for an input of that shape.
    fn parameters(&self, _input: &[usize]) -> Vec<ParameterSpec> {
        Vec::new()
    }

    /// Refuses what it would need for one sample beside its weights and its output, if that is too large; the output
    /// has been checked.
    fn check_sizes(&self, _place: &str, _input: &[usize]) -> crate::error::Result<()> {
        Ok(())
    }

    /// How many values it keeps of one sample beside its output: what a batch needs is counted with them.
    fn working_values(&self, _input: &[usize]) -> usize {
        0
    }

    /// Whether it needs to see all of a batch at once; else a batch may go through the network in parts.
    fn needs_whole_batch(&self) -> bool {
        false
    }

    /// Whether it takes statistics of a batch of which one row has a single value of each channel.
    fn needs_two_rows(&self, _input: &[usize]) -> bool {
        false
    }

    /// How many multiply-adds its forward pass needs for one input of that shape, which a fused up-sampling by
    /// `up_sample` makes; of matrix products and convolutions only, beside which all else is little.
    fn multiply_adds(&self, _input: &[usize], _up_sample: [usize; 2]) -> usize {
        0
    }

    /// Packs the weights for the products of a step, also for a backward pass; `forward` packs lazily otherwise.
    fn pack(&self, _context: &LayerContext<'_>, _backward: bool) {}

    /// What [`stride`](crate::Sequential::stride) after it changes, if it has a stride.
    fn stride_mut(&mut self) -> Option<&mut HeightWidth> {
        None
    }

    /// What [`same`](crate::Sequential::same) and [`padding`](crate::Sequential::padding) after it change.
    fn padding_mut(&mut self) -> Option<&mut Padding> {
        None
    }

    /// What [`dilation`](crate::Sequential::dilation) after it changes.
    fn dilation_mut(&mut self) -> Option<&mut Dilation> {
        None
    }

    /// What [`groups`](crate::Sequential::groups) after it changes.
    fn groups_mut(&mut self) -> Option<&mut Groups> {
        None
    }

    /// What [`use_bias`](crate::Sequential::use_bias) after it changes.
    fn bias_mut(&mut self) -> Option<&mut Bias> {
        None
    }

    /// What [`epsilon`](crate::Sequential::epsilon) after it changes, if it normalises.
    fn epsilon_mut(&mut self) -> Option<&mut f32> {
        None
    }
}

/// What a layer is given beside its input.
pub(crate) struct LayerContext<'a> {
    /// The shape of its input, without the batch; where an up-sampling is fused, what that would make.
    pub input: &'a [usize],
    /// The shape of its output, without the batch.
    pub output: &'a [usize],
    pub weights: &'a [Weights],
    /// What it computes beside its own operation.
    pub fused: &'a Fused,
    /// Whether it takes the moments of its output for the batch normalisation after it.
    pub moments: bool,
    pub caches: &'a Caches,
    /// The key of its first parameter.
    pub first: ParameterKey,
}

impl LayerContext<'_> {
    /// The slope below 0 of the fused activation: 1 if there is none.
    fn slope(&self) -> f32 {
        self.fused.slope.unwrap_or(1.0)
    }

    fn key(&self, index: usize) -> ParameterKey {
        ParameterKey { number: self.first.number + index, ..self.first }
    }

    /// The place of a parameter's gradient.
    pub(super) fn parameter(&self, index: usize, pass: &mut Pass) -> GradientSlot {
        pass.parameter(self.key(index), self.weights[index].len())
    }

    /// The bias of a layer, the second of its weights, if it has one (a batch normalisation that became part of it may
    /// have given it one), and the place of its gradient.
    fn bias(&self, bias: Bias, pass: &mut Pass) -> (Option<Weights>, Option<GradientSlot>) {
        (self.weights.get(1).cloned(), bias.0.then(|| self.parameter(1, pass)))
    }

    /// Whether a bias has no effect, and no gradient: a batch normalisation takes away what it adds.
    fn bias_is_idle(&self) -> bool {
        self.moments && self.slope() == 1.0
    }

    /// What to take of each piece of the output: its moments, if batch normalisation wants them.
    fn moments(&self, columns: usize) -> impl Fn(&[f32]) -> Option<Moments> + Sync + use<> {
        let wanted = self.moments;
        move |piece| wanted.then(|| Moments::of(piece, columns))
    }

    /// The layer's convolution, prepared in the first step.
    fn convolution(&self, convolution: impl FnOnce() -> Result<Convolution, String>) -> Arc<PreparedConvolution> {
        let prepare = || Arc::new(PreparedConvolution::new(convolution().expect("output_shape has checked it")));
        Arc::clone(self.caches.convolution.get_or_init(prepare))
    }
}

/// Adds the gradients of a layer's weights (by their parameter and number) and of its input, if it is wanted; the two
/// side by side. `add_weight_gradient` accumulates as it is given.
fn add_gradients(
    gradients: &mut Gradients,
    (parameter, weights): (GradientSlot, usize),
    add_weight_gradient: impl FnOnce(Accumulate<'_>, &mut [f32]) + Send,
    x: &Variable,
    x_gradient: impl FnOnce() -> Buffer + Send,
) {
    let wanted = x.needs_gradient;
    let x_gradient = if parameter.is_frozen() {
        wanted.then(x_gradient)
    } else {
        let (mut sum, start) = gradients.take_sum(parameter, weights);
        let (_, x_gradient) = join(|| add_weight_gradient(start, &mut sum), || wanted.then(x_gradient));
        gradients.put(parameter, sum);
        x_gradient
    };
    x_gradient.into_iter().for_each(|gradient| gradients.add_to(x, gradient));
}

/// The gradient of a convolution's weights, where that of its output is written for some rows at a time; adds those of
/// its input, if the packed weights are given, and of its bias, if it has one that is not idle.
fn convolution_gradients(
    (convolution, input_is_large): (&PreparedConvolution, bool),
    (x, packed): (&Variable, Option<&[PackedRhs<'_>]>),
    (y, slope, filters): (&[f32], f32, usize),
    (idle, bias): (bool, Option<GradientSlot>),
    write: &WriteGradient,
    gradients: &mut Gradients,
) -> Buffer {
    let width = y.len() / x.rows.max(1);
    let (weight_gradient, x_gradient, sums) = convolution.gradients(input_is_large, &x.values, packed, |rows, g| {
        write(rows.clone(), g);
        (!idle).then(|| rectified_gradient(&y[rows.start * width..rows.end * width], g, slope, filters))
    });
    x_gradient.into_iter().for_each(|gradient| gradients.add_to(x, gradient));
    if let (false, Some(bias)) = (idle, bias) {
        let mut sum = Buffer::unset(filters);
        add_parts(&sums.iter().flatten().map(|sum| &sum[..]).collect::<Vec<_>>(), Accumulate::Zero, &mut sum);
        gradients.add_to_parameter(bias, sum);
    }
    weight_gradient
}

/// The moments of all pieces together, if they were taken.
fn joined(moments: Vec<Option<Moments>>) -> Option<Arc<Moments>> {
    moments.into_iter().collect::<Option<Vec<_>>>().map(|parts| Arc::new(Moments::joined(&parts)))
}

/// A parameter's numbers, shared with the tape while a step runs.
pub(crate) type Weights = Arc<Vec<f32>>;

/// Whether a layer adds a bias; not in files of layers that do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Bias(bool);

impl Default for Bias {
    fn default() -> Self {
        Self(true)
    }
}

impl Bias {
    fn is_used(&self) -> bool {
        self.0
    }

    /// The parameters of a layer with this weight.
    fn after(self, weight: ParameterSpec, columns: usize, inputs: usize) -> Vec<ParameterSpec> {
        let bias = self.0.then(|| ParameterSpec::bias("bias", [columns], inputs));
        [weight].into_iter().chain(bias).collect()
    }
}

impl Sequential {
    /// Whether the dense layer or convolution before it adds a bias, as it does by default: Keras' `use_bias`,
    /// PyTorch's `bias`. A batch normalisation right after it makes a bias useless.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// let network = Sequential::input([1, 28, 28]).conv2d(32, 3).use_bias(false).batch_norm().relu().build()?;
    /// assert_eq!(network.weight_names()[..2], ["1.weight", "2.gamma"]);
    /// assert_eq!(network.parameter_count(), 9 * 32 + 4 * 32);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn use_bias(self, use_bias: bool) -> Self {
        self.amend("use_bias", "a dense, conv2d or conv_transpose2d", |layer| {
            layer.operation_mut().bias_mut().map(|old| *old = Bias(use_bias)).is_some()
        })
    }
}

/// Declares every layer once, with its name in a file of weights.
macro_rules! layers {
    ($($variant:ident($type:ty) = $key:literal),+ $(,)?) => {
        /// A layer of any kind; in a file of weights it is written as `{"layer": "dense", "units": 50}`.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "layer")]
        pub(crate) enum Layer {
            $(#[serde(rename = $key)] $variant($type)),+
        }

        impl Layer {
            pub(crate) fn operation(&self) -> &dyn Operation {
                match self { $(Self::$variant(layer) => layer),+ }
            }

            pub(crate) fn operation_mut(&mut self) -> &mut dyn Operation {
                match self { $(Self::$variant(layer) => layer),+ }
            }
        }

        $(impl From<$type> for Layer {
            fn from(layer: $type) -> Self {
                Self::$variant(layer)
            }
        })+
    };
}

layers! {
    Dense(dense::Dense) = "dense",
    Conv2d(conv2d::Conv2d) = "conv2d",
    ConvTranspose2d(conv_transpose2d::ConvTranspose2d) = "conv_transpose2d",
    BatchNorm(batch_norm::BatchNorm) = "batch_norm",
    MaxPool2d(max_pool2d::MaxPool2d) = "max_pool2d",
    AvgPool2d(avg_pool2d::AvgPool2d) = "avg_pool2d",
    PixelShuffle(pixel_shuffle::PixelShuffle) = "pixel_shuffle",
    UpSample2d(up_sample2d::UpSample2d) = "up_sample2d",
    Activation(activation::Activation) = "activation",
    Softmax(softmax::Softmax) = "softmax",
    Dropout(dropout::Dropout) = "dropout",
    Flatten(flatten::Flatten) = "flatten",
    Reshape(reshape::Reshape) = "reshape",
    Prelu(prelu::Prelu) = "prelu",
    GlobalPool2d(global_pool2d::GlobalPool2d) = "global_pool2d",
    Pad2d(pad2d::Pad2d) = "pad2d",
    Norm(norm::Norm) = "norm",
    Embedding(embedding::Embedding) = "embedding",
    Recurrent(recurrent::Recurrent) = "recurrent",
    RepeatVector(repeat_vector::RepeatVector) = "repeat_vector",
    Dfdx(super::bridge::DfdxLayer) = "dfdx",
    Function(super::function::FunctionLayer) = "function",
    ActivityPenalty(super::penalty::ActivityPenalty) = "activity_penalty",
    Skip(skip::Skip) = "skip",
}

impl Layer {
    pub fn name(&self) -> &'static str {
        self.operation().name()
    }
}

/// `[1, 28, 28]` as text.
pub(crate) fn shape_text(shape: &[usize]) -> String {
    format!("{shape:?}")
}

/// An input `[channels, height, width]`, or what to say if it is another one.
fn feature_maps(input: &[usize]) -> Result<[usize; 3], String> {
    <[usize; 3]>::try_from(input).map_err(|_| {
        let got = shape_text(input);
        format!(
            "expected an input [channels, height, width], got {got}; put .reshape([channels, height, width]) before it"
        )
    })
}

/// How many values lie side by side: the channels of feature maps, else the last axis.
fn columns(input: &[usize]) -> usize {
    match input {
        [channels, _, _] => *channels,
        _ => input.last().copied().unwrap_or(1),
    }
}
