//! Autoencoders in Rust, cell by cell in Jupyter, on MNIST and Fashion-MNIST: build a network, train it, look at its
//! codes.
//!
//! The README shows the notebooks and how to start them. This page leads through the library, which is used in the same
//! way in a program and in a notebook's cell.
//!
//! ```
//! use latentlab::*;
//!
//! let (train, test) = Dataset::built_in_digits(600, 0)?.split(500, 100)?; // MNIST is `Dataset::digits()`
//! let mut autoencoder = Autoencoder::new(
//!     Sequential::input([1, 28, 28]).flatten().dense(64).relu().dense(2),
//!     Sequential::input([2]).dense(64).relu().dense(784).sigmoid().reshape([1, 28, 28]),
//! )?;
//! println!("{}", autoencoder.summary());
//!
//! let history = train_ae(&mut autoencoder, &train, &TrainConfig::new().epochs(2).validation(&test))?;
//! let codes = embed(&autoencoder, &test)?; // (100, 2), with their labels
//! println!("{}", kmeans_accuracy(&codes, 10)?);
//! let figure = row([history.plot()?, reconstructions(&autoencoder, &test)?, codes.scatter()?]);
//! # Ok::<(), latentlab::Error>(())
//! ```
//!
//! # From data to figures
//!
//! 1. **Data.** A [`Dataset`] holds images (n, channels, height, width), their labels and class names.
//!    [`Dataset::digits`] and [`Dataset::garments`] are MNIST and Fashion-MNIST, or the built-in images where these
//!    cannot be had; [`Dataset::from_idx`] and [`Dataset::new`] take your own.
//! 2. **Networks.** A [`Sequential`] is a network as a value, built layer by layer. Shapes are inferred and checked as
//!    layers are added, and [`summary`](Sequential::summary) lists them.
//! 3. **Models.** An [`Autoencoder`] is an encoder and a decoder; [`Classifier`], [`Vae`] and [`Gan`] are built in the
//!    same way. Each has ready-made architectures, such as [`Autoencoder::tiny`], and `save` and `load`.
//! 4. **Training.** [`train_ae`], [`train_classifier`], [`train_vae`] and [`train_gan`] take a [`TrainConfig`] (for
//!    GANs a [`GanConfig`]) with [`Loss`], [`Optimizer`] and [`Schedule`], and return a [`History`]. A [`StopHandle`]
//!    stops them, a [`checkpoint`](TrainConfig::checkpoint) lets them resume. [`Watch`] measures gradients and dead
//!    units too; a [`Live`] view shows a model to other threads while it trains. [`Dataset::folds`] cross-validates,
//!    and a [`Study`] searches a [`Space`] for good settings.
//! 5. **Your own.** [`Loss::of`] and [`Sequential::map`] make losses and layers of functions of [`Tensor`]s; a [`Step`]
//!    is a training step over any networks and [`Parameter`]s; [`Training`] goes an epoch at a time; [`train_pairs`]
//!    learns targets that are not the input.
//! 6. **Analysis.** [`embed`] gives [`Codes`], [`decode`] and [`reconstruct`] images. [`kmeans_accuracy`] measures how
//!    well clusters and classes agree; [`pca`] and [`tsne`] bring codes into the plane; [`classify`] gives
//!    [`Predictions`], and [`Confusion`] counts them; [`sample`] and [`generate`] draw new images.
//! 7. **Figures.** [`History::plot`], [`Codes::scatter`], [`reconstructions`] and the charts ([`LineChart`],
//!    [`BarChart`], [`Scatter`], [`Scatter3d`], [`Heatmap`], [`ImageGrid`]) make a [`Figure`], saved as SVG or PNG;
//!    [`row`] and [`grid`] put figures together. [`explore`] is an interactive map of the codes, [`draw`] the same with
//!    a board to draw on; [`interact`] puts sliders above what a function returns; ready-made are [`traverse`],
//!    [`compare_models`], [`tsne_perplexity`], [`compare_beta`], [`anomaly_threshold`] and [`Gan::play`].
//!
//! 8. **Other programs.** [`Autoencoder::save_pytorch`] and [`load_pytorch`](Autoencoder::load_pytorch) exchange
//!    weights with PyTorch, every model's alike; [`StateDictKeys`] are for other keys. [`Autoencoder::save_onnx`] and
//!    those of the others write what a model predicts for onnxruntime. `load_keras`, with the feature `keras`, reads
//!    the weights of Keras. [`History`], [`Codes`] and [`Study`] go into CSV, NumPy's files and, with the feature
//!    `parquet`, Parquet's, [`TrainConfig::tensorboard`] writes for TensorBoard, and [`Codes::save_projector`] for its
//!    Embedding Projector.
//!
//! # What to expect
//!
//! - Every fallible function returns [`Result`]; an [`Error`] says what was expected, what it got instead, and where.
//! - The same seed gives the same bits, whatever the number of threads (linfa's t-SNE excepted).
//! - All types are owned, without generics or lifetimes, so that a notebook can keep them from cell to cell; and
//!   `Send`, but for a [`Tensor`] and its [`Step`].
//! - Arrays are those of [`ndarray`], which is exported again here: a notebook needs no dependency of its own for it.

#![cfg(feature = "library")]

mod analyse;
mod channel;
mod data;
mod engine;
mod error;
mod exchange;
#[doc(hidden)]
pub mod file;
mod finite;
mod format;
pub mod jupyter;
mod limit;
#[doc(hidden)]
pub mod measure;
mod model;
mod nn;
mod panics;
mod progress;
mod random;
mod show;
mod stop;
mod train;

pub use analyse::{
    Clustering, Codes, Confusion, KMeans, Pca, PcaMethod, Predictions, PrincipalComponents, RocCurve, Tsne,
    TsneEmbedding, TsneMethod, classify, code_grid, decode, embed, generate, interpolate, kmeans_accuracy, pca,
    random_codes, reconstruct, roc_curve, sample, tsne,
};
pub use data::{
    Augmentation, Batches, Csv, DataFile, DataFileState, Dataset, Folds, Noise, Normalisation, Scaler, data_files,
    fetch_data, read_npy, read_npz, write_npy, write_npz,
};
pub use dfdx;
pub use error::{Error, ErrorKind, Result};
pub use exchange::{IncompatibleKeys, StateDictKeys};
pub use jupyter::interact::{
    Control, Shown, Values, anomaly_threshold, button, checkbox, compare_beta, compare_models, dropdown, int_slider,
    interact, selection_slider, slider, text_input, traverse, tsne_perplexity,
};
pub use model::{Autoencoder, Classifier, Gan, Vae};
pub use ndarray;
#[doc(hidden)]
pub use nn::ParameterSet;
pub use nn::{
    DfdxLoss, DfdxTensor, FunctionLoss, HeightWidth, Init, LayerActivations, Loss, Optimizer, OptimizerState,
    Parameter, Parameters, Penalty, Plan, Sequential, Sides, Step, StepGradients, Summary, SummaryRow, Tensor,
};
#[doc(hidden)]
pub use progress::duration_text;
pub use show::{
    BarChart, Explore, Explorer, Figure, Heatmap, Histogram, ImageGrid, LineChart, PALETTE, RocChart, Scatter,
    Scatter3d, Theme, draw, explore, grid, reconstructions, row, set_theme,
};
pub use stop::StopHandle;
pub use train::{
    Epoch, GanConfig, GanHistory, GanLosses, History, Live, MedianPruner, Schedule, Setting, Snapshot, Space,
    StoppedBy, Study, TrainConfig, Trainable, Training, Trial, TrialRecord, TrialState, Watch, evaluate, gan_step,
    reconstruction_errors, train_ae, train_classifier, train_gan, train_pairs, train_vae,
};

/// The README's example is a test like any other.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
