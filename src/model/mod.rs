//! Models: networks with a purpose, and the reports' architectures by name.

mod autoencoder;
mod presets;

#[cfg(test)]
mod tests;

pub use autoencoder::Autoencoder;
