//! Autoencoders in Rust, cell by cell in Jupyter.
#![warn(missing_docs)]

mod error;
pub mod jupyter;
mod show;

pub use error::{Error, ErrorKind, Result};
pub use ndarray;
pub use show::{Figure, ImageGrid, LineChart, PALETTE, Scatter, grid, row};
