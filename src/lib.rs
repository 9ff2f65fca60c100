//! Autoencoders in Rust, cell by cell in Jupyter: train, embed, cluster and look, on MNIST and Fashion-MNIST.
//!
//! ```
//! use latentlab::*;
//!
//! let (train, test) = Dataset::built_in_digits(600, 0)?.split(500, 100)?;
//! let mut autoencoder = Autoencoder::tiny(2)?;
//! let history = train_ae(&mut autoencoder, &train, &TrainConfig::new().epochs(2).validation(&test))?;
//! let figure = row([history.plot()?, embed(&autoencoder, &test)?.scatter()?]);
//! # Ok::<(), latentlab::Error>(())
//! ```
//!
//! The way through the crate is that of the data:
//!
//! - **data**: [`Dataset`] holds images, labels and class names.
//! - **networks**: [`Sequential`] is a network as a value, built layer by layer.
//! - **models**: [`Autoencoder`] is an encoder and a decoder; [`Autoencoder::tiny`] is report S4's. [`Classifier`], [`Vae`] and [`Gan`] are
//!   built the same way.
//! - **training**: [`train_ae`] with a [`TrainConfig`] ([`Loss`], [`Optimizer`], [`Schedule`]) gives a [`History`]; [`evaluate`] gives a loss.
//!   The others have [`train_classifier`], [`train_vae`] and [`train_gan`].
//!   [`Dataset::folds`] cross-validates; a [`Study`] tries the settings of a [`Space`].
//! - **analysis**: [`embed`] gives [`Codes`], [`decode`] images; [`kmeans_accuracy`] says how well clusters and classes agree, [`pca`]
//!   and [`tsne`] bring codes into the plane; [`classify`] is what a classifier sees and [`Confusion`] what it mistakes; [`sample`] and [`generate`] make images that never were.
//! - **figures**: [`Figure`], made by [`History::plot`], [`Codes::scatter`], [`reconstructions`], or built with [`LineChart`],
//!   [`Scatter`], [`Scatter3d`], [`BarChart`], [`Heatmap`] and [`ImageGrid`]; [`row`] and [`grid`] put them together. [`explore`] is a figure to move in.
//!
//! Every fallible function returns [`Result`]; an [`Error`] says what was expected, what came, and where.

mod analyse;
mod data;
mod engine;
mod error;
#[doc(hidden)]
pub mod file;
mod html;
pub mod jupyter;
mod limit;
#[doc(hidden)]
pub mod measure;
mod model;
mod nn;
mod progress;
mod random;
mod relay;
mod show;
mod stop;
mod train;

pub use analyse::{
    Clustering, Codes, Confusion, KMeans, Pca, Predictions, Tsne, TsneEmbedding, TsneMethod, classify, code_grid,
    decode, embed, generate, interpolate, kmeans_accuracy, pca, random_codes, reconstruct, sample, tsne,
};
pub use data::{DataFile, DataFileState, Dataset, Folds, Normalisation, data_files, fetch_data};
pub use dfdx;
pub use error::{Error, ErrorKind, Result};
pub use model::{Autoencoder, Classifier, Gan, Vae};
pub use ndarray;
pub use nn::{DfdxLoss, DfdxTensor, HeightWidth, Init, Loss, Optimizer, Plan, Sequential, Summary, SummaryRow};
#[doc(hidden)]
pub use progress::duration_text;
pub use show::{
    BarChart, Explore, Explorer, Figure, Heatmap, ImageGrid, LineChart, PALETTE, Scatter, Scatter3d, explore, grid,
    reconstructions, row,
};
pub use stop::StopHandle;
pub use train::{
    Epoch, GanConfig, GanHistory, GanLosses, History, Schedule, Setting, Snapshot, Space, StoppedBy, Study,
    TrainConfig, Trainable, Training, Trial, TrialRecord, TrialState, evaluate, gan_step, train_ae, train_classifier,
    train_gan, train_vae,
};

/// The README's example is a test like any other.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
