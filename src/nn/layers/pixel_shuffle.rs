use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{LayerContext, Operation, feature_maps};
use crate::{
    engine::{Buffer, OnThreads},
    nn::{
        sequential::Sequential,
        tape::{Pass, Variable},
    },
};

/// Channels become pixels: y\[c, r·h + i, r·w + j\] = x\[r²·c + r·i + j, h, w\]. The backward pass takes them back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PixelShuffle {
    factor: usize,
}

impl Sequential {
    /// Enlarges feature maps by making pixels of channels: of `factor`² channels the first is at the top left of each
    /// square of `factor` × `factor` pixels, the next on its right. Input `[channels · factor², height, width]`, output
    /// `[channels, factor · height, factor · width]`; PyTorch's `PixelShuffle` (Shi et al. 2016, "Real-time single
    /// image and video super-resolution using an efficient sub-pixel convolutional neural network").
    ///
    /// ```
    /// use latentlab::{Sequential, ndarray::array};
    ///
    /// let network = Sequential::input([4, 1, 1]).pixel_shuffle(2).build()?;
    /// let y = network.predict(&array![[[[1.0]], [[2.0]], [[3.0]], [[4.0]]]].into_dyn())?;
    /// assert_eq!(y, array![[[[1.0, 2.0], [3.0, 4.0]]]].into_dyn());
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn pixel_shuffle(self, factor: usize) -> Self {
        self.push(PixelShuffle { factor })
    }
}

impl Operation for PixelShuffle {
    fn name(&self) -> &'static str {
        "pixel_shuffle"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        let [channels, height, width] = feature_maps(input)?;
        let factor = self.factor;
        if factor == 0 {
            return Err("expected a factor of at least 1, got 0".into());
        }
        match factor.checked_mul(factor).filter(|square| channels.is_multiple_of(*square)) {
            Some(square) => Ok(vec![channels / square, height.saturating_mul(factor), width.saturating_mul(factor)]),
            None => Err(format!("expected a number of channels that {factor}² divides, got {channels}")),
        }
    }

    fn forward(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let (channels, width, factor) = (context.input[0], context.input[2], self.factor);
        let row = channels * width;
        let mut y = Buffer::unset(x.values.len());
        // A row of the input becomes `factor` rows, with as many values.
        y.par_chunks_mut(row).zip(x.values.par_chunks(row)).on_threads().for_each(|(y, x)| {
            each(channels, width, factor, |from, to| y[to] = x[from]);
        });
        pass.record(Arc::new(y), x.rows, x.needs_gradient, move |g, gradients| {
            let mut x_gradient = Buffer::unset(g.len());
            x_gradient.par_chunks_mut(row).zip(g.par_chunks(row)).on_threads().for_each(|(x_gradient, g)| {
                each(channels, width, factor, |from, to| x_gradient[from] = g[to]);
            });
            gradients.add_to(&x, x_gradient);
        })
    }
}

/// Calls `visit(from, to)` with the places of each value of a row of pixels, and of the rows that it becomes.
fn each(channels: usize, width: usize, factor: usize, mut visit: impl FnMut(usize, usize)) {
    let out_channels = channels / (factor * factor);
    for i in 0..factor {
        for (w, j) in (0..width).flat_map(|w| (0..factor).map(move |j| (w, j))) {
            let to = ((i * width + w) * factor + j) * out_channels;
            let from = w * channels + i * factor + j;
            (0..out_channels).for_each(|c| visit(from + c * factor * factor, to + c));
        }
    }
}
