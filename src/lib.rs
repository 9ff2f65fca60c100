//! Autoencoders in Rust, cell by cell in Jupyter.
#![warn(missing_docs)]

mod analyse;
mod error;

pub use analyse::{Clustering, Codes, KMeans, kmeans_accuracy};
pub use error::{Error, ErrorKind, Result};
pub use ndarray;
