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
pub(crate) use max_pool2d::MaxPool2d;
pub(crate) use order::{channels_first, channels_last};
pub use size::HeightWidth;

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use super::{
    buffer::Buffer,
    engine::{Convolution, Prepared},
    init::ParameterSpec,
    tape::{Gradients, Handle, NotRecording, Pass, Tape, Variable},
};

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

    /// Whether it also does the work of the nearest up-sampling before it, for which [`Place::enlarged`] then stands.
    fn takes_up_sampling(&self) -> bool {
        false
    }

    /// How many multiply-adds it needs forwards for one input of that shape that has yet to be enlarged so many times (see [`Place`]);
    /// of matrix products and convolutions only, beside which all else is little.
    fn products(&self, _input: &[usize], _enlarged: [usize; 2]) -> usize {
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
    /// What a convolution prepares once for all steps.
    pub prepared: &'a OnceLock<Arc<Prepared>>,
}

impl Place<'_> {
    /// The layer's convolution, prepared in the first step.
    fn prepared(&self, convolution: impl FnOnce() -> Result<Convolution, String>) -> Arc<Prepared> {
        let prepare = || Arc::new(Prepared::new(convolution().expect("output_shape has checked it")));
        Arc::clone(self.prepared.get_or_init(prepare))
    }
}

/// Adds the gradients of a convolution's bias, of its weights and, if somebody wants it, of its input; the latter two side by side.
fn add_gradients(
    gradients: &mut Gradients<'_>,
    (bias_key, bias_gradient): (&Handle, Buffer),
    (weight_key, weight_gradient): (&Handle, impl FnOnce() -> Buffer + Send),
    (x, x_gradient): (&Variable<NotRecording>, impl FnOnce() -> Buffer + Send),
) {
    let wanted = x.needs_gradient;
    let (weight_gradient, x_gradient) = rayon::join(weight_gradient, || wanted.then(x_gradient));
    gradients.add_to_parameter(bias_key, bias_gradient);
    gradients.add_to_parameter(weight_key, weight_gradient);
    x_gradient.into_iter().for_each(|gradient| gradients.add_to(x, gradient));
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

            fn takes_up_sampling(&self) -> bool {
                match self { $(Self::$variant(layer) => layer.takes_up_sampling()),+ }
            }

            fn products(&self, input: &[usize], enlarged: [usize; 2]) -> usize {
                match self { $(Self::$variant(layer) => layer.products(input, enlarged)),+ }
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

/// Into how many pieces a batch is cut for the threads. Fixed by the batch alone, so that the same seed gives the same bits
/// with any number of threads.
pub(crate) const SHARDS: usize = 16;

/// Values that one task works on in an element-wise operation: enough to be worth a task, few enough to stay in cache.
pub(crate) const BLOCK: usize = 16 * 1024;

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
