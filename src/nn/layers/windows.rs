//! The windows of a pooling.

use super::{HeightWidth, feature_maps};

/// The windows of a feature map (height, width, channels), rows × columns of them; what fills no window is left out.
#[derive(Clone, Copy)]
pub(super) struct Windows {
    pub channels: usize,
    pub rows: usize,
    pub columns: usize,
    pub size: [usize; 2],
    stride: [usize; 2],
    height: usize,
    width: usize,
}

impl Windows {
    /// In an input \[channels, height, width\]; or what is wrong.
    pub fn new(size: HeightWidth, stride: HeightWidth, input: &[usize]) -> Result<Self, String> {
        let [channels, height, width] = feature_maps(input)?;
        let (size, stride) = (size.at_least_1("size")?, stride.at_least_1("stride")?);
        if size[0] > height || size[1] > width {
            return Err(format!("a window of {size:?} does not fit into {input:?}"));
        }
        let (rows, columns) = ((height - size[0]) / stride[0] + 1, (width - size[1]) / stride[1] + 1);
        Ok(Self { channels, rows, columns, size, stride, height, width })
    }

    /// The shape of what has one value for each window and channel.
    pub fn output_shape(&self) -> Vec<usize> {
        vec![self.channels, self.rows, self.columns]
    }

    /// How many pixels a feature map has.
    pub fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// How many windows there are.
    pub fn count(&self) -> usize {
        self.rows * self.columns
    }

    /// How many pixels a window has.
    pub fn places(&self) -> usize {
        self.size[0].saturating_mul(self.size[1])
    }

    /// How many values a feature map has, and how many its windows give.
    pub fn sizes(&self) -> (usize, usize) {
        (self.pixels() * self.channels, self.count() * self.channels)
    }

    /// Whether every pixel is in exactly one window.
    pub fn are_exact(&self) -> bool {
        self.size == self.stride && [self.rows * self.size[0], self.columns * self.size[1]] == [self.height, self.width]
    }

    /// A row of windows, which a first-level cache holds, if feature maps may be worked on row by row: if every pixel
    /// is in exactly one window, and its channels fill a vector, so that none are [repeated](crate::engine::repeat).
    pub fn row(self) -> Self {
        if self.are_exact() && self.channels >= 16 { Self { rows: 1, height: self.size[0], ..self } } else { self }
    }

    /// Where the values of a window's first pixel begin.
    pub fn start(&self, window: usize) -> usize {
        let (y, x) = (window / self.columns * self.stride[0], window % self.columns * self.stride[1]);
        (y * self.width + x) * self.channels
    }

    /// How far from there the values of each of its pixels begin.
    pub fn offsets(&self) -> Vec<usize> {
        let pixels = (0..self.size[0]).flat_map(|y| (0..self.size[1]).map(move |x| y * self.width + x));
        pixels.map(|pixel| pixel * self.channels).collect()
    }
}

/// For all channels from `$first` on, `$lanes` at a time: how many these are the compiler knows, and makes vectors of
/// them.
macro_rules! for_channels {
    ($channels:expr, |$first:ident, $lanes:ident| $block:block) => {
        let (mut $first, channels) = (0, $channels);
        for_channels!(16 8 4 1, channels, |$first, $lanes| $block);
    };
    ($($count:literal)+, $channels:ident, |$first:ident, $lanes:ident| $block:block) => {
        $(
            while $channels - $first >= $count {
                const $lanes: usize = $count;
                $block
                $first += $count;
            }
        )+
    };
}
pub(super) use for_channels;
