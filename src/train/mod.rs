//! Training: the settings, the loop, what it returns.

mod autoencoder;
mod check;
mod classifier;
mod config;
mod gan;
mod history;
mod live;
mod network;
mod objective;
mod observers;
mod run;
mod schedule;
mod training;
mod tuning;
mod vae;
mod watch;

pub use autoencoder::{evaluate, reconstruction_errors, train_ae};
pub use classifier::train_classifier;
pub use config::TrainConfig;
pub use gan::{GanConfig, GanHistory, GanLosses, gan_step, train_gan};
pub use history::{History, Snapshot, StoppedBy};
pub use live::Live;
pub use network::train_pairs;
pub use observers::Epoch;
pub use schedule::Schedule;
pub use training::{Trainable, Training};
pub use tuning::{MedianPruner, Setting, Space, Study, Trial, TrialRecord, TrialState};
pub use vae::train_vae;
pub use watch::Watch;
