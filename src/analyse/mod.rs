//! What a latent space holds: codes with their labels, clusters in them, and how well the two agree.

mod agreement;
mod blocks;
mod clustering;
mod codes;
mod embedding;
mod kmeans;
mod scaled;

pub use clustering::Clustering;
pub use codes::Codes;
pub use embedding::{decode, embed, reconstruct};
pub use kmeans::{KMeans, kmeans_accuracy};
