//! The layers, one file each: its builder method on [`Sequential`](crate::Sequential), its shapes, its parameters, its mathematics forwards and backwards.

mod activation;
mod dense;
mod dropout;
mod flatten;
mod reshape;
mod softmax;

pub(crate) use activation::sigmoid;

use serde::{Deserialize, Serialize};

use super::{
    init::ParameterSpec,
    tape::{Pass, Tape, Variable},
};

/// What a layer must say of itself.
pub(crate) trait Operation {
    /// Its name, as in Keras and PyTorch.
    fn name(&self) -> &'static str;

    /// The shape it makes of an input's (both without the batch), or what is wrong: "expected …, got …".
    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String>;

    /// The parameters that it learns, for an input of that shape.
    fn parameters(&self, _input: &[usize]) -> Vec<ParameterSpec> {
        Vec::new()
    }

    /// `(batch, values of the input shape)` to `(batch, values of the output shape)`; `weights` as in [`Self::parameters`].
    fn forward<T: Tape>(&self, x: Variable<T>, weights: &[Weights], pass: &mut Pass) -> Variable<T>;
}

/// A parameter's numbers, shared with the tape while a step runs.
pub(crate) type Weights = std::sync::Arc<Vec<f32>>;

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

            fn forward<T: Tape>(&self, x: Variable<T>, weights: &[Weights], pass: &mut Pass) -> Variable<T> {
                match self { $(Self::$variant(layer) => layer.forward(x, weights, pass)),+ }
            }
        }
    };
}

layers! {
    Dense(dense::Dense) = "dense",
    Activation(activation::Activation) = "activation",
    Softmax(softmax::Softmax) = "softmax",
    Dropout(dropout::Dropout) = "dropout",
    Flatten(flatten::Flatten) = "flatten",
    Reshape(reshape::Reshape) = "reshape",
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
