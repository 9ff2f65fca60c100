//! The layers, one file each: its builder method on [`Sequential`](crate::Sequential), its shapes, its parameters, its mathematics forwards and backwards.
//!
//! Inside the network a batch of pictures is (n, height, width, channels), so that a vector register holds neighbouring channels;
//! in the public interface pictures are (n, channels, height, width).

mod activation;
mod batch_norm;
mod conv2d;
mod conv_transpose2d;
mod dense;
mod dropout;
mod flatten;
mod max_pool2d;
mod order;
mod reshape;
mod size;
mod softmax;
mod up_sample2d;

pub(crate) use activation::sigmoid;
pub(crate) use dense::add_products;
pub(crate) use max_pool2d::MaxPool2d;
pub(crate) use order::{channels_first, channels_last};
pub use size::HeightWidth;

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::{
    init::ParameterSpec,
    tape::{Gradients, NotRecording, Parameter, Pass, Tape, Variable},
};
use crate::engine::{Accumulate, Buffer, Convolution, Moments, PackedWeights, PreparedConvolution, join};

/// What a layer must say of itself.
pub(crate) trait Operation {
    /// Its name, as in Keras and PyTorch.
    fn name(&self) -> &'static str;

    /// The shape it makes of an input's (both without the batch), or what is wrong: "expected …, got …".
    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String>;

    /// The parameters that it learns or observes, for an input of that shape.
    fn parameters(&self, _input: &[usize]) -> Vec<ParameterSpec> {
        Vec::new()
    }

    /// Whether it also does the work of the layer after it, for which [`Place::slope`] then stands.
    fn takes_slope(&self) -> bool {
        false
    }

    /// Whether it also does the work of the max-pooling after it (and after its [`Place::slope`]), for which [`Place::pool`] then stands.
    fn takes_pooling(&self) -> bool {
        false
    }

    /// Whether it also does the work of the nearest up-sampling by `factor` before it, for which [`Place::enlarged`] then stands;
    /// `input` is the shape of its own input, the enlarged pictures.
    fn takes_up_sampling(&self, _input: &[usize], _factor: [usize; 2]) -> bool {
        false
    }

    /// Refuses what it would need for one sample beside its weights and its output, if that is too large; the output has been checked.
    fn check_sizes(&self, _place: &str, _input: &[usize]) -> crate::error::Result<()> {
        Ok(())
    }

    /// Whether it needs to see all of a batch at once; else a batch may go through the network in parts.
    fn needs_whole_batch(&self) -> bool {
        false
    }

    /// Packs the weights for the products of a step, also for the way back if there is one: what `forward` would do by itself when it comes to it.
    fn pack(&self, _place: Place<'_>, _backwards: bool) {}

    /// How many multiply-adds it needs forwards for one input of that shape that has yet to be enlarged so many times (see [`Place`]);
    /// of matrix products and convolutions only, beside which all else is little.
    fn multiply_adds(&self, _input: &[usize], _enlarged: [usize; 2]) -> usize {
        0
    }

    /// `(batch, values of the input shape)` to `(batch, values of the output shape)`; the weights as in [`Self::parameters`].
    fn forward<T: Tape>(&self, x: Variable<T>, place: Place<'_>, pass: &mut Pass) -> Variable<T>;
}

/// Where a layer stands in its network.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The shape of its input, without the batch.
    pub input: &'a [usize],
    pub weights: &'a [Weights],
    /// The slope below 0 of the rectified linear unit after it: 1 if there is none, 0 for a plain one.
    pub slope: f32,
    /// The max-pooling after it, if it is to do that too.
    pub pool: Option<&'a MaxPool2d>,
    /// How many times its input has yet to be enlarged, by rows and columns.
    pub enlarged: [usize; 2],
    /// Whether batch normalisation comes right after it (and after its [`Place::slope`]) and takes the statistics of its output.
    pub normalised: bool,
    /// What a convolution prepares once for all steps.
    pub prepared: &'a OnceLock<Arc<PreparedConvolution>>,
    /// The weights as its products take them, made once for each step.
    pub packed: &'a Arc<PackedWeights>,
}

impl Place<'_> {
    /// Whether a bias has no effect, and no gradient: batch normalisation takes away again what it adds.
    fn bias_is_idle(&self) -> bool {
        self.normalised && self.slope == 1.0
    }

    /// What to take of each piece of the output: its moments, if batch normalisation wants them.
    fn moments(&self, columns: usize) -> impl Fn(&[f32]) -> Option<Moments> + Sync + use<> {
        let wanted = self.normalised;
        move |piece| wanted.then(|| Moments::of(piece, columns))
    }

    /// The layer's convolution, prepared in the first step.
    fn prepared(&self, convolution: impl FnOnce() -> Result<Convolution, String>) -> Arc<PreparedConvolution> {
        let prepare = || Arc::new(PreparedConvolution::new(convolution().expect("output_shape has checked it")));
        Arc::clone(self.prepared.get_or_init(prepare))
    }
}

/// Adds the gradients of a layer's weights, of which there are so many, and of its input, if somebody wants it; the two side by side.
/// `add_weight_gradient` adds to what is there already, or sets it, as it is told.
fn add_gradients(
    gradients: &mut Gradients<'_>,
    (weight_key, weights): (&Parameter, usize),
    add_weight_gradient: impl FnOnce(Accumulate<'_>, &mut [f32]) + Send,
    x: &Variable<NotRecording>,
    x_gradient: impl FnOnce() -> Buffer + Send,
) {
    let wanted = x.needs_gradient;
    let (mut sum, start) = gradients.take_sum(weight_key, weights);
    let (_, x_gradient) = join(|| add_weight_gradient(start, &mut sum), || wanted.then(x_gradient));
    gradients.put(weight_key, sum);
    x_gradient.into_iter().for_each(|gradient| gradients.add_to(x, gradient));
}

/// The moments of all pieces together, if they were taken.
fn joined(moments: Vec<Option<Moments>>) -> Option<Moments> {
    moments.into_iter().collect::<Option<Vec<_>>>().map(|parts| Moments::joined(&parts))
}

/// A parameter's numbers, shared with the tape while a step runs.
pub(crate) type Weights = Arc<Vec<f32>>;

/// Declares every layer once; the rest follows from [`Operation`].
macro_rules! layers {
    ($($variant:ident($type:ty) = $key:literal),+ $(,)?) => {
        /// A layer of any kind; in a file of weights it is written as `{"layer": "dense", "units": 50}`.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "layer")]
        pub(crate) enum Layer {
            $(#[serde(rename = $key)] $variant($type)),+
        }

        impl Operation for Layer {
            fn name(&self) -> &'static str {
                match self { $(Self::$variant(layer) => layer.name()),+ }
            }

            fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
                match self { $(Self::$variant(layer) => layer.output_shape(input)),+ }
            }

            fn parameters(&self, input: &[usize]) -> Vec<ParameterSpec> {
                match self { $(Self::$variant(layer) => layer.parameters(input)),+ }
            }

            fn takes_slope(&self) -> bool {
                match self { $(Self::$variant(layer) => layer.takes_slope()),+ }
            }

            fn takes_pooling(&self) -> bool {
                match self { $(Self::$variant(layer) => layer.takes_pooling()),+ }
            }

            fn takes_up_sampling(&self, input: &[usize], factor: [usize; 2]) -> bool {
                match self { $(Self::$variant(layer) => layer.takes_up_sampling(input, factor)),+ }
            }

            fn check_sizes(&self, place: &str, input: &[usize]) -> crate::error::Result<()> {
                match self { $(Self::$variant(layer) => layer.check_sizes(place, input)),+ }
            }

            fn needs_whole_batch(&self) -> bool {
                match self { $(Self::$variant(layer) => layer.needs_whole_batch()),+ }
            }

            fn pack(&self, place: Place<'_>, backwards: bool) {
                match self { $(Self::$variant(layer) => layer.pack(place, backwards)),+ }
            }

            fn multiply_adds(&self, input: &[usize], enlarged: [usize; 2]) -> usize {
                match self { $(Self::$variant(layer) => layer.multiply_adds(input, enlarged)),+ }
            }

            fn forward<T: Tape>(&self, x: Variable<T>, place: Place<'_>, pass: &mut Pass) -> Variable<T> {
                match self { $(Self::$variant(layer) => layer.forward(x, place, pass)),+ }
            }
        }
    };
}

layers! {
    Dense(dense::Dense) = "dense",
    Conv2d(conv2d::Conv2d) = "conv2d",
    ConvTranspose2d(conv_transpose2d::ConvTranspose2d) = "conv_transpose2d",
    BatchNorm(batch_norm::BatchNorm) = "batch_norm",
    MaxPool2d(max_pool2d::MaxPool2d) = "max_pool2d",
    UpSample2d(up_sample2d::UpSample2d) = "up_sample2d",
    Activation(activation::Activation) = "activation",
    Softmax(softmax::Softmax) = "softmax",
    Dropout(dropout::Dropout) = "dropout",
    Flatten(flatten::Flatten) = "flatten",
    Reshape(reshape::Reshape) = "reshape",
}

impl Layer {
    /// The slope below 0 of a rectified linear unit, which the layer before it may [take along](Operation::takes_slope).
    pub(crate) fn slope(&self) -> Option<f32> {
        match self {
            Self::Activation(activation) => activation.slope(),
            _ => None,
        }
    }
}

/// `[1, 28, 28]` as text.
pub(crate) fn shape_text(shape: &[usize]) -> String {
    format!("{shape:?}")
}

/// An input `[channels, height, width]`, or what to say if it is another one.
fn picture(input: &[usize]) -> Result<[usize; 3], String> {
    <[usize; 3]>::try_from(input).map_err(|_| {
        let got = shape_text(input);
        format!(
            "expected pictures [channels, height, width], got {got}; put .reshape([channels, height, width]) before it"
        )
    })
}
