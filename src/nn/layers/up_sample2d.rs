use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{HeightWidth, Layer, LayerContext, Operation, feature_maps};
use crate::{
    engine::{Buffer, OnThreads, vectorized},
    nn::{
        sequential::Sequential,
        tape::{Pass, Variable},
    },
};

/// Up-sampling, y\[c, p\] = x\[c, ⌊p / factor⌋\] where it is nearest: each pixel becomes factor × factor equal ones,
/// and the backward pass sums their gradients. Bilinear: along each axis y\[p\] = (1 − λ)·x\[i\] + λ·x\[i + 1\] with i
/// + λ = max((p + ½) / factor − ½, 0) and no pixel beyond the last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct UpSample2d {
    factor: HeightWidth,
    #[serde(default, skip_serializing_if = "Interpolation::is_nearest")]
    interpolation: Interpolation,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Interpolation {
    #[default]
    Nearest,
    Bilinear,
}

impl Interpolation {
    fn is_nearest(&self) -> bool {
        *self == Self::Nearest
    }
}

impl UpSample2d {
    /// How often it repeats each pixel, by rows and columns; none if it does more than that.
    pub(crate) fn repeats(&self) -> Option<[usize; 2]> {
        self.interpolation.is_nearest().then_some(self.factor.0)
    }
}

impl Sequential {
    /// Nearest up-sampling: each pixel becomes `factor` × `factor` equal ones. Input `[channels, height, width]`,
    /// output `[channels, factor · height, factor · width]`; Keras' `UpSampling2D`, PyTorch's
    /// `Upsample(scale_factor=factor)`. [`bilinear`](Self::bilinear) after it smooths.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// assert_eq!(Sequential::input([8, 4, 4]).up_sample2d(3).build()?.output_shape(), [8, 12, 12]);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn up_sample2d(self, factor: impl Into<HeightWidth>) -> Self {
        self.push(UpSample2d { factor: factor.into(), interpolation: Interpolation::default() })
    }

    /// Lets the up-sampling before it draw lines between the centres of pixels instead of repeating pixels: PyTorch's
    /// `Upsample(mode="bilinear")` (with `align_corners=False`, its default), Keras' `interpolation="bilinear"`.
    ///
    /// ```
    /// use latentlab::{Sequential, ndarray::array};
    ///
    /// let network = Sequential::input([1, 1, 2]).up_sample2d([1, 2]).bilinear().build()?;
    /// let y = network.predict(&array![[[[0.0, 1.0]]]].into_dyn())?;
    /// assert_eq!(y, array![[[[0.0, 0.25, 0.75, 1.0]]]].into_dyn());
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn bilinear(self) -> Self {
        self.amend("bilinear", "an up_sample2d", |layer| {
            let Layer::UpSample2d(layer) = layer else { return false };
            layer.interpolation = Interpolation::Bilinear;
            true
        })
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
        if self.interpolation == Interpolation::Bilinear {
            return self.interpolate(x, context, pass);
        }
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

/// Of a row or a column that lies between two of the smaller feature map: the first of them, the other, and the
/// other's share.
#[derive(Clone, Copy)]
struct Between {
    first: usize,
    second: usize,
    share: f32,
}

/// Those along an axis of `size`, enlarged by `factor`.
fn between(size: usize, factor: usize) -> Vec<Between> {
    let place = |p: usize| {
        let at = ((p as f64 + 0.5) / factor as f64 - 0.5).max(0.0);
        let first = (at as usize).min(size - 1);
        Between { first, second: (first + 1).min(size - 1), share: (at - first as f64) as f32 }
    };
    (0..size.saturating_mul(factor)).map(place).collect()
}

impl UpSample2d {
    fn interpolate(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let (channels, height, width) = (context.input[0], context.input[1], context.input[2]);
        let (down, right) = (between(height, self.factor.0[0]), between(width, self.factor.0[1]));
        let (row, out_row) = (width * channels, right.len() * channels);
        let mut y = Buffer::unset(x.rows * down.len() * out_row);
        y.par_chunks_mut(down.len() * out_row).zip(x.values.par_chunks(height * row)).on_threads().for_each(
            |(y, x)| {
                let mut blend = Buffer::unset(row);
                for (out, place) in y.chunks_exact_mut(out_row).zip(&down) {
                    mix(&x[place.first * row..][..row], &x[place.second * row..][..row], place.share, &mut blend);
                    for (out, place) in out.chunks_exact_mut(channels).zip(&right) {
                        let [first, second] = [place.first, place.second].map(|at| &blend[at * channels..][..channels]);
                        mix(first, second, place.share, out);
                    }
                }
            },
        );
        pass.record(Arc::new(y), x.rows, x.needs_gradient, move |g, gradients| {
            let mut x_gradient = Buffer::zeros(x.values.len());
            let maps = x_gradient.par_chunks_mut(height * row).zip(g.par_chunks(down.len() * out_row));
            maps.on_threads().for_each(|(x_gradient, g)| {
                let mut blend = Buffer::unset(row);
                for (g, place) in g.chunks_exact(out_row).zip(&down) {
                    blend.fill(0.0);
                    for (g, place) in g.chunks_exact(channels).zip(&right) {
                        add(g, 1.0 - place.share, &mut blend[place.first * channels..][..channels]);
                        add(g, place.share, &mut blend[place.second * channels..][..channels]);
                    }
                    add(&blend, 1.0 - place.share, &mut x_gradient[place.first * row..][..row]);
                    add(&blend, place.share, &mut x_gradient[place.second * row..][..row]);
                }
            });
            gradients.add_to(&x, x_gradient);
        })
    }
}

vectorized! {
    fn mix(first: &[f32], second: &[f32], share: f32, out: &mut [f32]) {
        for ((out, first), second) in out.iter_mut().zip(first).zip(second) {
            *out = (1.0 - share) * first + share * second;
        }
    }

    fn add(values: &[f32], factor: f32, sums: &mut [f32]) {
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * value);
    }

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
