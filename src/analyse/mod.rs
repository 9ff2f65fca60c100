//! What a latent space holds: codes with their labels, clusters in them, and how well the two agree; what a classifier sees in it.

mod agreement;
mod blocks;
mod clustering;
mod codes;
mod confusion;
mod embedding;
mod generation;
mod kmeans;
mod neighbours;
mod pca;
mod predictions;
mod scaled;
mod tsne;

pub use clustering::Clustering;
pub use codes::Codes;
pub use confusion::Confusion;
pub use embedding::{decode, embed, reconstruct};
pub use generation::{code_grid, generate, interpolate, random_codes, sample};
pub use kmeans::{KMeans, kmeans_accuracy};
pub use pca::{Pca, pca};
pub use predictions::{Predictions, classify};
pub use tsne::{Tsne, TsneEmbedding, TsneMethod, tsne};
