//! Networks and results in the formats of other programs.

#[cfg(feature = "keras")]
mod keras;
mod onnx;
#[cfg(feature = "parquet")]
mod parquet;
mod projector;
mod pytorch;
mod tables;

pub use pytorch::{IncompatibleKeys, StateDictKeys};
