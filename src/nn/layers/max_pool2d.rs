use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{HeightWidth, LayerContext, Operation, windows::Windows};
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
        // The place of a maximum is kept as a number of f32.
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
        // Which place of its window each maximum had.
        let mut places = Buffer::unset(if pass.is_recording() { x.rows * to } else { 0 });
        if pass.is_recording() {
            let outputs = y.par_chunks_mut(to).zip(places.par_chunks_mut(to));
            outputs
                .zip(x.values.par_chunks(from))
                .on_threads()
                .for_each(|((y, places), x)| maxima_and_places(x, windows, y, places));
        } else {
            y.par_chunks_mut(to).zip(x.values.par_chunks(from)).on_threads().for_each(|(y, x)| maxima(x, windows, y));
        }
        pass.record(Arc::new(y), x.rows, x.needs_gradient, move |g, gradients| {
            let mut x_gradient = Buffer::unset(x.rows * from);
            let maps = x_gradient.par_chunks_mut(from).zip(g.par_chunks(to)).zip(places.par_chunks(to));
            maps.on_threads().for_each(|((out, g), places)| scatter(g, places, windows, out));
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

/// Channels that are worked on at once.
const LANES: usize = 16;

vectorized! {
    /// The largest value of each window.
    pub(super) fn maxima(x: &[f32], windows: Windows, y: &mut [f32]) {
        each_maximum::<false>(x, windows, y, &mut []);
    }

    /// Also which place of its window each has.
    pub(super) fn maxima_and_places(x: &[f32], windows: Windows, y: &mut [f32], places: &mut [f32]) {
        each_maximum::<true>(x, windows, y, places);
    }

    /// The gradient of the maxima goes back to where they were.
    pub(super) fn scatter(g: &[f32], places: &[f32], windows: Windows, out: &mut [f32]) {
        // Windows side by side that leave no pixel out need no zeros to start from.
        if windows.are_exact() {
            scatter_each::<true>(g, places, windows, out);
        } else {
            out.fill(0.0);
            scatter_each::<false>(g, places, windows, out);
        }
    }
}

#[inline(always)]
fn each_maximum<const PLACES: bool>(x: &[f32], windows: Windows, y: &mut [f32], places: &mut [f32]) {
    let (channels, offsets) = (windows.channels, windows.offsets());
    let whole = channels / LANES * LANES;
    for window in 0..windows.rows * windows.columns {
        let (x, to) = (&x[windows.start(window)..], window * channels..(window + 1) * channels);
        let y = &mut y[to.clone()];
        let places = if PLACES { &mut places[to] } else { &mut [] };
        for first in (0..whole).step_by(LANES) {
            maximum::<LANES, PLACES>(x, &offsets, first, y, places);
        }
        for first in whole..channels {
            maximum::<1, PLACES>(x, &offsets, first, y, places);
        }
    }
}

#[inline(always)]
fn scatter_each<const EXACT: bool>(g: &[f32], places: &[f32], windows: Windows, out: &mut [f32]) {
    let (channels, offsets) = (windows.channels, windows.offsets());
    let whole = channels / LANES * LANES;
    for window in 0..windows.rows * windows.columns {
        let (out, from) = (&mut out[windows.start(window)..], window * channels..(window + 1) * channels);
        let (g, places) = (&g[from.clone()], &places[from]);
        for first in (0..whole).step_by(LANES) {
            put::<LANES, EXACT>(g, places, first, &offsets, out);
        }
        for first in whole..channels {
            put::<1, EXACT>(g, places, first, &offsets, out);
        }
    }
}

/// N channels of a window from the first on.
#[inline(always)]
fn maximum<const N: usize, const PLACES: bool>(
    x: &[f32],
    offsets: &[usize],
    first: usize,
    y: &mut [f32],
    places: &mut [f32],
) {
    let (mut largest, mut at) = ([f32::NEG_INFINITY; N], [0.0; N]);
    for (place, offset) in offsets.iter().enumerate() {
        let x = &x[offset + first..][..N];
        for i in 0..N {
            // A NaN wins, wherever in its window it is, so that a diverged network shows.
            let larger = x[i] > largest[i] || x[i].is_nan();
            largest[i] = if larger { x[i] } else { largest[i] };
            at[i] = if larger { place as f32 } else { at[i] };
        }
    }
    y[first..][..N].copy_from_slice(&largest);
    if PLACES {
        places[first..][..N].copy_from_slice(&at);
    }
}

/// The gradient of N channels of a window from the first on.
#[inline(always)]
fn put<const N: usize, const EXACT: bool>(g: &[f32], places: &[f32], first: usize, offsets: &[usize], out: &mut [f32]) {
    // Copies, so that the compiler sees that each value may be read whatever its place is.
    let (mut gradient, mut at) = ([0.0; N], [0.0; N]);
    gradient.copy_from_slice(&g[first..][..N]);
    at.copy_from_slice(&places[first..][..N]);
    for (place, offset) in offsets.iter().enumerate() {
        let mut values = [0.0; N];
        for i in 0..N {
            values[i] = if at[i] == place as f32 { gradient[i] } else { 0.0 };
        }
        let out = &mut out[offset + first..][..N];
        if EXACT {
            out.copy_from_slice(&values);
        } else {
            out.iter_mut().zip(values).for_each(|(out, value)| *out += value);
        }
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
            let [mut y, mut with_place, mut places] = [[0.0]; 3];
            maxima(&map, windows, &mut y);
            maxima_and_places(&map, windows, &mut with_place, &mut places);
            assert!(y[0].is_nan() && with_place[0].is_nan() && places[0] == place as f32, "{map:?}");
        }
        let [mut y, mut places] = [[0.0]; 2];
        maxima_and_places(&[3.0, 1.0, 3.0, f32::NEG_INFINITY], windows, &mut y, &mut places);
        assert_eq!((y, places), ([3.0], [0.0]));
    }
}
