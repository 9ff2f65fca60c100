//! Autoencoders in Rust, cell by cell in Jupyter.

mod error;
mod file;
mod nn;
mod random;

pub use error::{Error, ErrorKind, Result};
pub use ndarray;
pub use nn::{Init, Loss, Sequential, Summary, SummaryRow};
