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
                .for_each(|((y, places), x)| windows.maxima_and_places(x, y, places));
        } else {
            y.par_chunks_mut(to).zip(x.values.par_chunks(from)).on_threads().for_each(|(y, x)| windows.maxima(x, y));
        }
        pass.record(Arc::new(y), x.rows, x.needs_gradient, move |g, gradients| {
            let mut x_gradient = Buffer::unset(x.rows * from);
            let maps = x_gradient.par_chunks_mut(from).zip(g.par_chunks(to)).zip(places.par_chunks(to));
            maps.on_threads().for_each(|((out, g), places)| windows.scatter(g, places, out));
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

impl Windows {
    pub fn maxima(&self, x: &[f32], y: &mut [f32]) {
        for (window, out) in y.chunks_exact_mut(self.channels).enumerate() {
            out.copy_from_slice(&x[self.pixel(window, 0)..][..self.channels]);
            for place in 1..self.places() {
                larger(&x[self.pixel(window, place)..][..self.channels], out);
            }
        }
    }

    pub fn maxima_and_places(&self, x: &[f32], y: &mut [f32], places: &mut [f32]) {
        let windows = y.chunks_exact_mut(self.channels).zip(places.chunks_exact_mut(self.channels));
        for (window, (out, places)) in windows.enumerate() {
            out.copy_from_slice(&x[self.pixel(window, 0)..][..self.channels]);
            places.fill(0.0);
            for place in 1..self.places() {
                larger_and_place(&x[self.pixel(window, place)..][..self.channels], place as f32, out, places);
            }
        }
    }

    pub fn scatter(&self, g: &[f32], places: &[f32], out: &mut [f32]) {
        // Windows side by side that leave no pixel out need no zeros to start from.
        let exact = self.are_exact();
        if !exact {
            out.fill(0.0);
        }
        let windows = g.chunks_exact(self.channels).zip(places.chunks_exact(self.channels));
        for (window, (g, places)) in windows.enumerate() {
            for place in 0..self.places() {
                let out = &mut out[self.pixel(window, place)..][..self.channels];
                if exact { set_where(g, places, place as f32, out) } else { add_where(g, places, place as f32, out) }
            }
        }
    }
}

vectorized! {
    fn larger(x: &[f32], y: &mut [f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            // A NaN wins, wherever in its window it is, so that a diverged network shows.
            *y = if *x > *y || x.is_nan() { *x } else { *y };
        }
    }

    fn larger_and_place(x: &[f32], place: f32, y: &mut [f32], places: &mut [f32]) {
        for ((y, x), largest) in y.iter_mut().zip(x).zip(places) {
            (*y, *largest) = if *x > *y || x.is_nan() { (*x, place) } else { (*y, *largest) };
        }
    }

    fn set_where(g: &[f32], places: &[f32], place: f32, out: &mut [f32]) {
        for ((out, g), largest) in out.iter_mut().zip(g).zip(places) {
            *out = if *largest == place { *g } else { 0.0 };
        }
    }

    fn add_where(g: &[f32], places: &[f32], place: f32, out: &mut [f32]) {
        for ((out, g), largest) in out.iter_mut().zip(g).zip(places) {
            *out += if *largest == place { *g } else { 0.0 };
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
            windows.maxima(&map, &mut y);
            windows.maxima_and_places(&map, &mut with_place, &mut places);
            assert!(y[0].is_nan() && with_place[0].is_nan() && places[0] == place as f32, "{map:?}");
        }
        let [mut y, mut places] = [[0.0]; 2];
        windows.maxima_and_places(&[3.0, 1.0, 3.0, f32::NEG_INFINITY], &mut y, &mut places);
        assert_eq!((y, places), ([3.0], [0.0]));
    }
}
