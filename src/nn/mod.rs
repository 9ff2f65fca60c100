//! Networks as values: layers, their mathematics on dfdx's tape, initialisation, losses, the optimizer, files of weights.
//!
//! To add a layer, copy the file in `layers/` that is nearest to it and add it to the list in `layers/mod.rs`.

mod buffer;
pub(crate) mod engine;
mod init;
mod layers;
mod loss;
mod optimizer;
mod sequential;
mod summary;
mod tape;
mod weights;

#[cfg(test)]
mod tests;

pub use init::Init;
pub use layers::HeightWidth;
pub use loss::Loss;
pub use sequential::Sequential;
pub use summary::{Summary, SummaryRow};

pub(crate) use buffer::{Buffer, Reuse};
pub(crate) use engine::{Left, Panels, Start, offsets, product};
pub(crate) use layers::{Layer, Operation, Weights, channels_first, channels_last};
pub(crate) use optimizer::Adam;
pub(crate) use tape::{NotRecording, Pass, Recording, Tape, Variable, record};
pub(crate) use weights::WeightsFile;
