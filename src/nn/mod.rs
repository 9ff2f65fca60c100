//! Networks as values: layers, the plan that runs them, the tape of their backward pass, initialisation, losses,
//! optimizers, files of weights.
//!
//! To add a layer, copy the file in `layers/` that is nearest to it and add it to the list in `layers/mod.rs`.

mod bridge;
mod clip;
mod cross_entropy;
mod function;
mod fusion;
mod init;
mod inspect;
mod layers;
mod live;
mod loss;
mod optimizer;
mod optimizer_state;
mod penalty;
mod plan;
mod reparametrisation;
mod sequential;
mod step;
mod summary;
mod tape;
mod tensor;
mod weights;

#[cfg(test)]
mod tests;

pub use bridge::{DfdxLoss, DfdxTensor};
pub use function::FunctionLoss;
pub use init::Init;
pub use inspect::LayerActivations;
pub use layers::{HeightWidth, Sides};
pub use loss::Loss;
pub use optimizer::Optimizer;
pub use optimizer_state::OptimizerState;
pub use penalty::Penalty;
pub use plan::Plan;
pub use sequential::Sequential;
pub use summary::{Summary, SummaryRow};
pub use tensor::{Parameter, ParameterSet, Parameters, Step, StepGradients, Tensor};

pub(crate) use clip::Clip;
pub(crate) use cross_entropy::cross_entropy;
pub(crate) use layers::{Activation, Layer, Norm, Pad2d, Weights, channels_first, channels_last};
pub(crate) use live::{Shown, publish, weights_now};
pub(crate) use optimizer_state::PastGradients;
pub(crate) use reparametrisation::reparametrise;
pub(crate) use sequential::{LayerParameter, Node, Outputs, rows_of};
pub(crate) use step::{BatchSplit, Learned, learn};
pub(crate) use tape::{Pass, Variable};
pub(crate) use weights::{Checkpoint, ModelFile, read_checkpoint, read_model};
