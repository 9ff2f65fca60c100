//! Seeded randomness: one stream for each purpose, independent of the order and the thread in which it is drawn.

use rand::{Rng, SeedableRng};
use rand_distr::StandardNormal;
use rand_xoshiro::Xoshiro256PlusPlus;

/// The generator used throughout.
pub(crate) type Random = Xoshiro256PlusPlus;

/// A new seed from a seed and the number of a stream (SplitMix64's finalizer, Steele et al. 2014).
pub(crate) fn mix(seed: u64, stream: u64) -> u64 {
    let mut z = seed.wrapping_add(stream.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The generator of one stream.
pub(crate) fn stream(seed: u64, stream: u64) -> Random {
    Random::seed_from_u64(mix(seed, stream))
}

/// `n` numbers from N(0, 1).
pub(crate) fn normal(n: usize, seed: u64) -> Vec<f32> {
    let mut random = stream(seed, 0);
    (0..n).map(|_| random.sample(StandardNormal)).collect()
}
