//! What a latent space holds: codes with their labels, clusters in them, and how well the two agree.

mod agreement;
mod clustering;
mod codes;
mod embedding;
mod kmeans;

pub use clustering::Clustering;
pub use codes::Codes;
pub use embedding::{decode, embed, reconstruct};
pub use kmeans::{KMeans, kmeans_accuracy};
