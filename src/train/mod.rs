//! Training: the settings, the loop, what it returns.

mod autoencoder;
mod config;
mod history;
mod progress;
mod schedule;

pub use autoencoder::{evaluate, train_ae};
pub use config::TrainConfig;
pub use history::History;
pub use schedule::Schedule;
pub(crate) use progress::duration_text;
