//! Training: the settings, the loop, what it returns.

mod autoencoder;
mod config;
mod history;
mod progress;
mod schedule;

pub use autoencoder::{evaluate, train_ae};
pub use config::TrainConfig;
pub use history::History;
pub(crate) use progress::duration_text;
pub use schedule::Schedule;
