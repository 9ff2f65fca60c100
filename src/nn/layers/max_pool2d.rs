use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    HeightWidth, LayerContext, Operation,
    windows::{Windows, for_channels},
};
use crate::{
    engine::{Buffer, OnThreads, vectorized},
    nn::{
        sequential::Sequential,
        tape::{Pass, Variable},
    },
};

/// The largest value of each window, y\[c, q\] = max over t of x\[c, stride·q + t\]; windows that do not fit are left
/// out.
///
/// Shapes: x (n, channels, height, width), y (n, channels, ⌊(height − size) / stride⌋ + 1, …). In the backward pass the
/// gradient goes to where the maximum was, to the first of equal ones (row by row), as in PyTorch and Keras.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MaxPool2d {
    pub(crate) size: HeightWidth,
    pub(crate) stride: HeightWidth,
}

impl Sequential {
    /// Max-pooling: the largest value of each window of `size`, which moves by `size` too unless
    /// [`stride`](Self::stride) says otherwise. Input `[channels, height, width]`, output `[channels, ⌊(height − size)
    /// / stride⌋ + 1, …]`: pixels that fill no window are left out.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// assert_eq!(Sequential::input([8, 13, 13]).max_pool2d(2).build()?.output_shape(), [8, 6, 6]);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn max_pool2d(self, size: impl Into<HeightWidth>) -> Self {
        let size = size.into();
        self.push(MaxPool2d { size, stride: size })
    }
}

impl Operation for MaxPool2d {
    fn name(&self) -> &'static str {
        "max_pool2d"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        let windows = Windows::new(self.size, self.stride, input)?;
        // Where each pixel of a window lies is held in memory.
        const LARGEST: usize = 1 << 24;
        if windows.places() > LARGEST {
            return Err(format!("expected a window of at most {LARGEST} pixels, got {:?}", windows.size));
        }
        Ok(windows.output_shape())
    }

    fn stride_mut(&mut self) -> Option<&mut HeightWidth> {
        Some(&mut self.stride)
    }

    fn forward(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let windows = self.windows(context.input);
        let (from, to) = windows.sizes();
        let mut y = Buffer::unset(x.rows * to);
        y.par_chunks_mut(to).zip(x.values.par_chunks(from)).on_threads().for_each(|(y, x)| maxima(x, windows, y));
        let y = Arc::new(y);
        pass.record(Arc::clone(&y), x.rows, x.needs_gradient, move |g, gradients| {
            let mut x_gradient = Buffer::unset(x.rows * from);
            let maps = x_gradient.par_chunks_mut(from).zip(x.values.par_chunks(from));
            let windowed = g.par_chunks(to).zip(y.par_chunks(to));
            maps.zip(windowed).on_threads().for_each(|((out, x), (g, y))| scatter(g, x, y, windows, out));
            gradients.add_to(&x, x_gradient);
        })
    }
}

impl MaxPool2d {
    /// The windows in feature maps of that shape.
    pub(super) fn windows(&self, input: &[usize]) -> Windows {
        Windows::new(self.size, self.stride, input).expect("output_shape has checked it")
    }
}

vectorized! {
    /// The largest value of each window. A NaN wins, wherever in its window it is, so that a diverged network shows.
    fn maxima(x: &[f32], windows: Windows, y: &mut [f32]) {
        let offsets = windows.offsets();
        for window in 0..windows.count() {
            let (x, y) = (&x[windows.start(window)..], &mut y[window * windows.channels..]);
            for_channels!(windows.channels, |first, N| {
                let mut largest = [f32::NEG_INFINITY; N];
                for offset in &offsets {
                    let x = &x[offset + first..][..N];
                    for i in 0..N {
                        largest[i] = if x[i] > largest[i] || x[i].is_nan() { x[i] } else { largest[i] };
                    }
                }
                y[first..][..N].copy_from_slice(&largest);
            });
        }
    }

    /// The gradient g of each window goes to the first of its pixels that has the value which `taken` has of it.
    pub(super) fn scatter(g: &[f32], x: &[f32], taken: &[f32], windows: Windows, out: &mut [f32]) {
        // Windows side by side that leave no pixel out need no zeros to start from.
        if windows.are_exact() {
            scatter_each::<true>(g, x, taken, windows, out);
        } else {
            out.fill(0.0);
            scatter_each::<false>(g, x, taken, windows, out);
        }
    }
}

#[inline(always)]
fn scatter_each<const EXACT: bool>(g: &[f32], x: &[f32], taken: &[f32], windows: Windows, out: &mut [f32]) {
    let offsets = windows.offsets();
    for window in 0..windows.count() {
        let (start, from) = (windows.start(window), window * windows.channels);
        let (x, out, g, taken) = (&x[start..], &mut out[start..], &g[from..], &taken[from..]);
        for_channels!(windows.channels, |first, N| {
            let taken = &taken[first..][..N];
            let mut rest = [0.0; N];
            rest.copy_from_slice(&g[first..][..N]);
            for offset in &offsets {
                let (x, out) = (&x[offset + first..][..N], &mut out[offset + first..][..N]);
                let mut gradient = [0.0; N];
                for i in 0..N {
                    let here = x[i] == taken[i] || x[i].is_nan();
                    gradient[i] = if here { rest[i] } else { 0.0 };
                    rest[i] = if here { 0.0 } else { rest[i] };
                }
                if EXACT {
                    out.copy_from_slice(&gradient);
                } else {
                    out.iter_mut().zip(gradient).for_each(|(out, gradient)| *out += gradient);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nan_wins_wherever_it_is() {
        let windows = MaxPool2d { size: 2.into(), stride: 2.into() }.windows(&[1, 2, 2]);
        for place in 0..4 {
            let mut map = [1.0, 4.0, 3.0, 2.0];
            map[place] = f32::NAN;
            let (mut y, mut gradient) = ([0.0], [0.0; 4]);
            maxima(&map, windows, &mut y);
            scatter(&[1.0], &map, &y, windows, &mut gradient);
            assert!(y[0].is_nan() && (0..4).all(|i| gradient[i] == f32::from(i == place)), "{map:?} {gradient:?}");
        }
        let infinite = [f32::NEG_INFINITY; 4];
        for (map, largest) in [([3.0, 1.0, 3.0, f32::NEG_INFINITY], 3.0), (infinite, f32::NEG_INFINITY)] {
            let (mut y, mut gradient) = ([0.0], [0.0; 4]);
            maxima(&map, windows, &mut y);
            scatter(&[1.0], &map, &y, windows, &mut gradient);
            assert_eq!((y, gradient), ([largest], [1.0, 0.0, 0.0, 0.0]));
        }
    }
}
