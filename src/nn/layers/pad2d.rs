use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{LayerContext, Operation, Sides, feature_maps};
use crate::{
    engine::{Buffer, OnThreads},
    nn::{
        sequential::Sequential,
        tape::{Pass, Variable},
    },
};

/// A border of zeros around feature maps, or one that is cut off: each is the other's backward pass.
///
/// Shapes: x (n, channels, height, width), y (n, channels, height ± top ± bottom, width ± left ± right).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Pad2d {
    Zero { sides: Sides },
    Crop { sides: Sides },
}

impl Sequential {
    /// Puts zeros around feature maps: `2` for two rows and columns at each side, `[1, 3]` for one row at the top and
    /// at the bottom and three columns on the left and on the right, `[[top, bottom], [left, right]]` for each by
    /// itself. Input `[channels, height, width]`, output `[channels, top + height + bottom, left + width + right]`;
    /// Keras' `ZeroPadding2D`. PyTorch's `ZeroPad2d` takes (left, right, top, bottom).
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// assert_eq!(Sequential::input([1, 28, 28]).zero_pad2d(2).build()?.output_shape(), [1, 32, 32]);
    /// assert_eq!(Sequential::input([1, 28, 28]).zero_pad2d([[0, 1], [0, 3]]).build()?.output_shape(), [1, 29, 31]);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn zero_pad2d(self, sides: impl Into<Sides>) -> Self {
        self.push(Pad2d::Zero { sides: sides.into() })
    }

    /// Cuts rows and columns off feature maps, as many at each side as [`zero_pad2d`](Self::zero_pad2d) would add.
    /// Input `[channels, height, width]`, output `[channels, height − top − bottom, width − left − right]`, of which
    /// something must be left; Keras' `Cropping2D`.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// assert_eq!(Sequential::input([1, 32, 32]).crop2d(2).build()?.output_shape(), [1, 28, 28]);
    ///
    /// let error = Sequential::input([1, 4, 9]).crop2d([2, 1]).build().unwrap_err().to_string();
    /// assert_eq!(error, "layer 1, crop2d: 4 rows and 2 columns cut off leave nothing of [1, 4, 9]");
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn crop2d(self, sides: impl Into<Sides>) -> Self {
        self.push(Pad2d::Crop { sides: sides.into() })
    }
}

/// A feature map (height, width, channels), and where in it a smaller one is, row by row.
#[derive(Clone, Copy)]
struct Frame {
    /// Values of the smaller map, and of a row of it.
    small: usize,
    small_row: usize,
    /// Values of the larger map, and of a row of it.
    large: usize,
    large_row: usize,
    /// Where in the larger map the smaller one begins.
    start: usize,
}

impl Frame {
    /// The smaller map with that border is the larger one.
    fn new([channels, height, width]: [usize; 3], sides: Sides) -> Self {
        let [rows, columns] = sides.totals();
        let (small_row, large_row) = (width * channels, (width + columns) * channels);
        Self {
            small: height * small_row,
            small_row,
            large: (height + rows) * large_row,
            large_row,
            start: sides.0[0][0] * large_row + sides.0[1][0] * channels,
        }
    }

    fn padded(&self, maps: &[f32]) -> Buffer {
        let mut out = Buffer::zeros(maps.len() / self.small * self.large);
        out.par_chunks_mut(self.large).zip(maps.par_chunks(self.small)).on_threads().for_each(|(out, map)| {
            let rows = out[self.start..].chunks_mut(self.large_row);
            rows.zip(map.chunks_exact(self.small_row)).for_each(|(out, row)| out[..row.len()].copy_from_slice(row));
        });
        out
    }

    fn cropped(&self, maps: &[f32]) -> Buffer {
        let mut out = Buffer::unset(maps.len() / self.large * self.small);
        out.par_chunks_mut(self.small).zip(maps.par_chunks(self.large)).on_threads().for_each(|(out, map)| {
            let rows = map[self.start..].chunks(self.large_row);
            rows.zip(out.chunks_exact_mut(self.small_row))
                .for_each(|(row, out)| out.copy_from_slice(&row[..out.len()]));
        });
        out
    }
}

impl Operation for Pad2d {
    fn name(&self) -> &'static str {
        match self {
            Self::Zero { .. } => "zero_pad2d",
            Self::Crop { .. } => "crop2d",
        }
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        let [channels, height, width] = feature_maps(input)?;
        match self {
            Self::Zero { sides } => {
                let [rows, columns] = sides.totals();
                Ok(vec![channels, height.saturating_add(rows), width.saturating_add(columns)])
            }
            Self::Crop { sides } => {
                let [rows, columns] = sides.totals();
                if rows >= height || columns >= width {
                    return Err(format!("{rows} rows and {columns} columns cut off leave nothing of {input:?}"));
                }
                Ok(vec![channels, height - rows, width - columns])
            }
        }
    }

    fn forward(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let input = feature_maps(context.input).expect("output_shape has checked it");
        match *self {
            Self::Zero { sides } => {
                let frame = Frame::new(input, sides);
                let y = Arc::new(frame.padded(&x.values));
                pass.record(y, x.rows, x.needs_gradient, move |g, gradients| gradients.add_to(&x, frame.cropped(&g)))
            }
            Self::Crop { sides } => {
                let ([channels, height, width], [rows, columns]) = (input, sides.totals());
                let frame = Frame::new([channels, height - rows, width - columns], sides);
                let y = Arc::new(frame.cropped(&x.values));
                pass.record(y, x.rows, x.needs_gradient, move |g, gradients| gradients.add_to(&x, frame.padded(&g)))
            }
        }
    }
}
