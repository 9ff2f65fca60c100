//! The analysis of codes: their clusters, projections and classes, and new codes to decode.

mod codes;
mod confusion;
mod generation;
mod kmeans;
mod pca;
mod tsne;

use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

/// The random numbers of a test.
fn random(seed: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed)
}
