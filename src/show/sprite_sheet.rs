//! Many small grey images in one PNG file.

use ndarray::{Array4, Axis};

use super::html::escape_html;
use super::png::{data_url, grey_png};
use crate::error::Result;

/// Grey images side by side in rows, as one image.
pub(super) struct SpriteSheet {
    width: usize,
    height: usize,
    levels: usize,
    /// Row by row, each value from 0 (black) to `levels` - 1 (white).
    pixels: Vec<u8>,
}

impl SpriteSheet {
    /// The first channel of images (n, channels, height, width) in rows of `columns`, in 2 to 256 levels of grey.
    /// Values outside \[0, 1\] are black or white.
    pub(super) fn new(images: &Array4<f32>, columns: usize, levels: usize) -> Self {
        let (count, _, high, wide) = images.dim();
        let columns = columns.min(count).max(1);
        let (width, height) = (columns * wide, count.div_ceil(columns) * high);
        let mut pixels = vec![0; width * height];
        for (index, image) in images.axis_iter(Axis(0)).enumerate() {
            for ((y, x), value) in image.axis_iter(Axis(0)).next().iter().flat_map(|channel| channel.indexed_iter()) {
                let (row, column) = (index / columns * high + y, index % columns * wide + x);
                pixels[row * width + column] = (value.clamp(0.0, 1.0) * (levels - 1) as f32).round() as u8;
            }
        }
        Self { width, height, levels, pixels }
    }

    /// As a `data:` URL.
    pub(super) fn url(&self) -> Result<String> {
        Ok(data_url(&grey_png(self.width as u32, self.height as u32, &self.pixels, self.levels)?))
    }

    /// As an HTML element with an alternative text, each pixel a square of `scale` pixels of the page.
    pub(super) fn to_html(&self, scale: usize, alternative: &str) -> Result<String> {
        let style = format!("width: {}px; max-width: 100%; image-rendering: pixelated", scale * self.width);
        let alternative = escape_html(alternative);
        Ok(format!("<img alt=\"{alternative}\" style=\"{style}\" src=\"{}\">", self.url()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_stand_in_rows_and_greys_in_levels() {
        let images = Array4::from_shape_fn((3, 1, 1, 2), |(n, _, _, x)| [[0.0, 0.3], [0.4, 0.6], [-1.0, 9.0]][n][x]);
        let sheet = SpriteSheet::new(&images, 2, 3);
        assert_eq!((sheet.width, sheet.height), (4, 2));
        assert_eq!(sheet.pixels, [0, 1, 1, 1, 0, 2, 0, 0]);
        assert_eq!(SpriteSheet::new(&Array4::zeros((2, 0, 1, 1)), 2, 3).pixels, [0, 0], "without a channel");
        assert!(SpriteSheet::new(&Array4::zeros((0, 1, 0, 0)), 2, 3).url().is_err());
    }
}
