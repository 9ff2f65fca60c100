//! Models: networks with a purpose, and the reports' architectures by name.

mod autoencoder;
mod presets;

pub use autoencoder::Autoencoder;
