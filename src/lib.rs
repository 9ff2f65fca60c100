//! Autoencoders in Rust, cell by cell in Jupyter.

mod analyse;
mod data;
mod error;
mod file;
pub mod jupyter;
mod model;
mod nn;
mod random;
mod show;
mod train;

pub use analyse::{Clustering, Codes, KMeans, decode, embed, kmeans_accuracy, reconstruct};
pub use data::{DataFile, DataFileState, Dataset, Normalisation, data_files, fetch_data};
pub use error::{Error, ErrorKind, Result};
pub use model::Autoencoder;
pub use ndarray;
pub use nn::{Init, Loss, Sequential, Summary, SummaryRow};
pub use show::{Figure, ImageGrid, LineChart, PALETTE, Scatter, grid, reconstructions, row};
pub use train::{History, TrainConfig, evaluate, train_ae};
