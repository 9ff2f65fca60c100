//! Networks and results in the formats of other programs.

mod onnx;
mod projector;
mod pytorch;
mod tables;

pub use pytorch::{IncompatibleKeys, StateDictKeys};
