use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{HeightWidth, LayerContext, Operation, feature_maps};
use crate::{
    engine::{Buffer, OnThreads, vectorized},
    nn::{
        sequential::Sequential,
        tape::{Pass, Variable},
    },
};

/// Nearest up-sampling: each pixel becomes factor × factor equal ones, y\[c, p\] = x\[c, ⌊p / factor⌋\]. The backward
/// pass sums their gradients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct UpSample2d {
    factor: HeightWidth,
}

impl UpSample2d {
    /// By how much it enlarges, rows and columns.
    pub(crate) fn factor(&self) -> [usize; 2] {
        self.factor.0
    }
}

impl Sequential {
    /// Nearest up-sampling: each pixel becomes `factor` × `factor` equal ones. Input `[channels, height, width]`,
    /// output `[channels, factor · height, factor · width]`; Keras' `UpSampling2D`, PyTorch's
    /// `Upsample(scale_factor=factor)`.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// assert_eq!(Sequential::input([8, 4, 4]).up_sample2d(3).build()?.output_shape(), [8, 12, 12]);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn up_sample2d(self, factor: impl Into<HeightWidth>) -> Self {
        self.push(UpSample2d { factor: factor.into() })
    }
}

impl Operation for UpSample2d {
    fn name(&self) -> &'static str {
        "up_sample2d"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        let [channels, height, width] = feature_maps(input)?;
        let [rows, columns] = self.factor.at_least_1("factor")?;
        Ok(vec![channels, height.saturating_mul(rows), width.saturating_mul(columns)])
    }

    fn forward(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let [rows, columns] = self.factor.0;
        // A row of a feature map becomes `rows` rows, a pixel in it `columns` pixels.
        let (channels, row) = (context.input[0], context.input[0] * context.input[2]);
        let mut y = Buffer::unset(x.values.len() * rows * columns);
        y.par_chunks_mut(row * columns * rows).zip(x.values.par_chunks(row)).on_threads().for_each(|(out, row)| {
            for out in out.chunks_exact_mut(row.len() * columns) {
                for (out, pixel) in out.chunks_exact_mut(channels * columns).zip(row.chunks_exact(channels)) {
                    out.chunks_exact_mut(channels).for_each(|out| out.copy_from_slice(pixel));
                }
            }
        });
        pass.record(Arc::new(y), x.rows, x.needs_gradient, move |g, gradients| {
            let mut x_gradient = Buffer::zeros(x.values.len());
            x_gradient.par_chunks_mut(row).zip(g.par_chunks(row * columns * rows)).on_threads().for_each(|(out, g)| {
                sum_pixels(g, channels, columns, out);
            });
            gradients.add_to(&x, x_gradient);
        })
    }
}

vectorized! {
    /// Adds the enlarged rows of a gradient to the row `out` that they were made of.
    fn sum_pixels(g: &[f32], channels: usize, columns: usize, out: &mut [f32]) {
        for g in g.chunks_exact(out.len() * columns) {
            for (sums, g) in out.chunks_exact_mut(channels).zip(g.chunks_exact(channels * columns)) {
                for g in g.chunks_exact(channels) {
                    sums.iter_mut().zip(g).for_each(|(sum, g)| *sum += g);
                }
            }
        }
    }
}
