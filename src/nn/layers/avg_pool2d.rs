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

/// The mean of each window, y\[c, q\] = ⟨x\[c, stride·q + t\]⟩ over t; windows that do not fit are left out.
///
/// Shapes: x (n, channels, height, width), y (n, channels, ⌊(height − size) / stride⌋ + 1, …). In the backward pass
/// each pixel of a window of m pixels gets g / m.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AvgPool2d {
    pub(crate) size: HeightWidth,
    pub(crate) stride: HeightWidth,
}

impl Sequential {
    /// Average pooling: the mean of each window of `size`, which moves by `size` too unless [`stride`](Self::stride)
    /// says otherwise. Input `[channels, height, width]`, output `[channels, ⌊(height − size) / stride⌋ + 1, …]`:
    /// pixels that fill no window are left out. PyTorch's `AvgPool2d` without padding, Keras' `AveragePooling2D` with
    /// `valid`; with the size of the feature map it is global average pooling.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// assert_eq!(Sequential::input([8, 13, 13]).avg_pool2d(2).build()?.output_shape(), [8, 6, 6]);
    /// assert_eq!(Sequential::input([8, 7, 7]).avg_pool2d(7).flatten().build()?.output_shape(), [8]);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn avg_pool2d(self, size: impl Into<HeightWidth>) -> Self {
        let size = size.into();
        self.push(AvgPool2d { size, stride: size })
    }
}

impl Operation for AvgPool2d {
    fn name(&self) -> &'static str {
        "avg_pool2d"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        Ok(Windows::new(self.size, self.stride, input)?.output_shape())
    }

    fn stride_mut(&mut self) -> Option<&mut HeightWidth> {
        Some(&mut self.stride)
    }

    fn forward(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let windows = Windows::new(self.size, self.stride, context.input).expect("output_shape has checked it");
        let ((from, to), share) = (windows.sizes(), 1.0 / windows.places() as f32);
        let offsets = windows.offsets();
        let mut y = Buffer::zeros(x.rows * to);
        y.par_chunks_mut(to).zip(x.values.par_chunks(from)).on_threads().for_each(|(y, x)| {
            for (window, y) in y.chunks_exact_mut(windows.channels).enumerate() {
                let x = &x[windows.start(window)..];
                offsets.iter().for_each(|offset| add(&x[*offset..][..y.len()], 1.0, y));
                y.iter_mut().for_each(|y| *y *= share);
            }
        });
        pass.record(Arc::new(y), x.rows, x.needs_gradient, move |g, gradients| {
            let mut x_gradient = Buffer::zeros(x.rows * from);
            x_gradient.par_chunks_mut(from).zip(g.par_chunks(to)).on_threads().for_each(|(out, g)| {
                for (window, g) in g.chunks_exact(windows.channels).enumerate() {
                    let out = &mut out[windows.start(window)..];
                    offsets.iter().for_each(|offset| add(g, share, &mut out[*offset..][..g.len()]));
                }
            });
            gradients.add_to(&x, x_gradient);
        })
    }
}

vectorized! {
    fn add(values: &[f32], factor: f32, sums: &mut [f32]) {
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * value);
    }
}
