//! Random numbers for drawing.

use rand::seq::SliceRandom;
use rand::{RngCore, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A seeded generator with the few distributions that drawing needs. The images depend on each of its bits.
pub(super) struct Rng(Xoshiro256PlusPlus);

impl Rng {
    pub(super) fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// A seed for further generators.
    pub(super) fn key(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        items.shuffle(&mut self.0);
    }

    /// Uniform between `low` and `high`.
    pub(super) fn between(&mut self, low: f32, high: f32) -> f32 {
        let unit = (self.0.next_u64() >> 40) as f32 / (1u64 << 24) as f32;
        low + (high - low) * unit
    }

    /// Approximately normal with mean 0 and standard deviation `deviation`, within 3.5 standard deviations.
    pub(super) fn about(&mut self, deviation: f32) -> f32 {
        // The sum of four 16-bit uniforms has the variance 4/12.
        let bits = self.0.next_u64();
        let sum: f32 = (0..4).map(|i| ((bits >> (16 * i)) & 0xffff) as f32 / 65_536.0).sum();
        (sum - 2.0) * 1.732_050_8 * deviation
    }

    /// True with probability `p`.
    pub(super) fn chance(&mut self, p: f32) -> bool {
        self.between(0.0, 1.0) < p
    }
}
