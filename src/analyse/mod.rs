//! Analysis of a latent space: codes with their labels, clusters, projections, new images, a classifier's predictions.

mod agreement;
mod clustering;
mod codes;
mod confusion;
mod embedding;
mod generation;
mod kmeans;
mod neighbours;
mod pca;
mod point_blocks;
mod predictions;
mod rescale;
mod roc;
mod tsne;

pub use clustering::Clustering;
pub use codes::Codes;
pub use confusion::Confusion;
pub use embedding::{decode, embed, reconstruct};
pub use generation::{code_grid, generate, interpolate, random_codes, sample};
pub use kmeans::{KMeans, kmeans_accuracy};
pub use pca::{Pca, PcaMethod, PrincipalComponents, pca};
pub use predictions::{Predictions, classify};
pub use roc::{RocCurve, roc_curve};
pub use tsne::{Tsne, TsneEmbedding, TsneMethod, tsne};
