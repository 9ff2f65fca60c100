//! Autoencoders in Rust, cell by cell in Jupyter.

mod analyse;
mod error;
mod file;
mod model;
mod nn;
mod random;

pub use analyse::{Clustering, Codes, KMeans, kmeans_accuracy};
pub use error::{Error, ErrorKind, Result};
pub use model::Autoencoder;
pub use ndarray;
pub use nn::{Init, Loss, Sequential, Summary, SummaryRow};
