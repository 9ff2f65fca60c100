//! Training: the settings, the loop, what it returns.

mod autoencoder;
mod batch;
mod check;
mod checkpoint;
mod classifier;
mod config;
mod epochs;
mod gan;
mod history;
mod progress;
mod schedule;
mod tuning;
mod vae;

pub use autoencoder::{evaluate, train_ae};
pub use classifier::train_classifier;
pub use config::TrainConfig;
pub use gan::{GanConfig, GanHistory, GanLosses, gan_step, train_gan};
pub use history::{History, Snapshot, StoppedBy};
pub use schedule::Schedule;
pub use tuning::{Setting, Space, Study, Trial, TrialRecord, TrialState};
pub use vae::train_vae;
