//! Training: the settings, the loop, what it returns.

mod autoencoder;
mod config;
mod history;
mod progress;

pub use autoencoder::{evaluate, train_ae};
pub use config::TrainConfig;
pub use history::History;
pub(crate) use progress::duration_text;
