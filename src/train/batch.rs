//! Batches of images as networks take them, and means over all images.

use std::sync::Arc;

use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

use crate::{
    data::Dataset,
    engine::{Buffer, OnThreads, for_shards},
    nn::Sequential,
    random,
};

/// The means over so many rows, which go through these networks in predictions, of what `measure(number of the block, its rows)` gives as means over a block, on all threads.
pub(super) fn means<const N: usize>(
    rows: usize,
    networks: &[&Sequential],
    measure: impl Fn(u64, &[usize]) -> [f64; N] + Sync,
) -> [f64; N] {
    Sequential::pack_all(networks, false);
    let all: Vec<usize> = (0..rows).collect();
    let sums = for_shards(all.par_chunks(Sequential::rows_at_once(networks)).enumerate(), |(block, chosen)| {
        measure(block as u64, chosen).map(|mean| mean * chosen.len() as f64)
    });
    std::array::from_fn(|index| sums.iter().map(|sums| sums[index]).sum::<f64>() / rows as f64)
}

/// The chosen images as rows of values.
pub(super) fn gather(images: &Dataset, rows: &[usize]) -> Arc<Buffer> {
    let width: usize = images.image_shape().iter().product();
    let all = images.values();
    let mut batch = Buffer::unset(rows.len() * width);
    batch
        .par_chunks_mut(width)
        .zip(rows)
        .on_threads()
        .for_each(|(out, row)| out.copy_from_slice(&all[row * width..][..width]));
    Arc::new(batch)
}

/// The images with Gaussian noise of this standard deviation; the same images where it is 0.
pub(super) fn with_noise(images: &Arc<Buffer>, standard_deviation: f32, seed: u64) -> Arc<Buffer> {
    const BLOCK: usize = 4096;
    if standard_deviation == 0.0 {
        return Arc::clone(images);
    }
    let mut noisy = Buffer::clone(images);
    noisy.par_chunks_mut(BLOCK).enumerate().for_each(|(block, values)| {
        let mut random = random::stream(!seed, block as u64);
        values.iter_mut().for_each(|v| *v += standard_deviation * random.sample::<f32, _>(StandardNormal));
    });
    Arc::new(noisy)
}
