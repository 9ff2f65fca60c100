//! Autoencoders in Rust, cell by cell in Jupyter.
#![warn(missing_docs)]

mod error;
pub mod jupyter;

pub use error::{Error, ErrorKind, Result};
pub use ndarray;
