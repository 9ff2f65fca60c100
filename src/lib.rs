//! Autoencoders in Rust, cell by cell in Jupyter.
#![warn(missing_docs)]

mod data;
mod error;
pub mod jupyter;
mod show;

pub use data::{DataFile, DataFileState, Dataset, Normalisation, data_files, fetch_data};
pub use error::{Error, ErrorKind, Result};
pub use ndarray;
pub use show::{Figure, ImageGrid, LineChart, PALETTE, Scatter, grid, row};
