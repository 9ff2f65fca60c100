//! Gradients that are made smaller before an update.

use rayon::prelude::*;

use crate::engine::{BLOCK, Buffer, OnThreads};

/// How gradients are made smaller.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clip {
    /// All by one factor, so that the root of the sum of squares over all of them is at most this.
    Norm(f64),
    /// Each value to plus or minus this.
    Value(f32),
}

impl Clip {
    pub fn apply(self, gradients: &mut [Buffer]) {
        match self {
            Self::Norm(largest) => {
                let norm = squares_of_blocks(gradients).iter().sum::<f64>().sqrt();
                if norm > largest {
                    let factor = (largest / norm) as f32;
                    each(gradients, |g| g * factor);
                }
            }
            Self::Value(largest) => each(gradients, |g| if g.abs() > largest { largest.copysign(g) } else { g }),
        }
    }
}

/// The sum of squares of each gradient.
pub(crate) fn squares(gradients: &[Buffer]) -> Vec<f64> {
    let mut sums = squares_of_blocks(gradients).into_iter();
    gradients.iter().map(|gradient| sums.by_ref().take(gradient.len().div_ceil(BLOCK)).sum()).collect()
}

/// In fixed blocks: the same bits for any number of threads.
fn squares_of_blocks(gradients: &[Buffer]) -> Vec<f64> {
    let squares = |block: &[f32]| block.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
    let blocks: Vec<&[f32]> = gradients.iter().flat_map(|gradient| gradient.chunks(BLOCK)).collect();
    blocks.into_par_iter().on_threads().map(squares)
}

fn each(gradients: &mut [Buffer], f: impl Fn(f32) -> f32 + Sync) {
    let blocks: Vec<&mut [f32]> = gradients.iter_mut().flat_map(|gradient| gradient.chunks_mut(BLOCK)).collect();
    blocks.into_par_iter().on_threads().for_each(|block| block.iter_mut().for_each(|g| *g = f(*g)));
}
