//! Many small images in one PNG file.

use ndarray::{Array4, Axis};

use super::html::escape_html;
use super::png::{color_png, data_url, grey_png};
use crate::error::Result;

/// Images side by side in rows, as one image.
pub(super) struct SpriteSheet {
    width: usize,
    height: usize,
    levels: usize,
    /// 1 for grey, or 3.
    channels: usize,
    /// Row by row, the channels of a pixel beside each other, each value from 0 (black) to `levels` - 1 (white).
    pixels: Vec<u8>,
}

impl SpriteSheet {
    /// Images (n, channels, height, width) in rows of `columns`, in colour if they have three channels, else the first
    /// one in grey, in 2 to 256 levels. Values outside \[0, 1\] become these.
    pub(super) fn new(images: &Array4<f32>, columns: usize, levels: usize) -> Self {
        let (count, channels, high, wide) = images.dim();
        let channels = if channels == 3 { 3 } else { 1 };
        let columns = columns.min(count).max(1);
        let (width, height) = (columns * wide, count.div_ceil(columns) * high);
        let mut pixels = vec![0; width * height * channels];
        for (index, image) in images.axis_iter(Axis(0)).enumerate() {
            for (channel, plane) in image.axis_iter(Axis(0)).take(channels).enumerate() {
                for ((y, x), value) in plane.indexed_iter() {
                    let (row, column) = (index / columns * high + y, index % columns * wide + x);
                    let level = (value.clamp(0.0, 1.0) * (levels - 1) as f32).round() as u8;
                    pixels[(row * width + column) * channels + channel] = level;
                }
            }
        }
        Self { width, height, levels, channels, pixels }
    }

    /// As a `data:` URL.
    pub(super) fn url(&self) -> Result<String> {
        let (width, height) = (self.width as u32, self.height as u32);
        Ok(data_url(&match self.channels {
            1 => grey_png(width, height, &self.pixels, self.levels)?,
            _ => color_png(width, height, &self.pixels, self.levels)?,
        }))
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
        let colored =
            Array4::from_shape_fn((1, 3, 1, 2), |(_, channel, _, x)| [[1.0, 0.2], [0.4, -1.0], [0.0, 2.0]][channel][x]);
        let sheet = SpriteSheet::new(&colored, 1, 6);
        assert_eq!((sheet.width, sheet.height, &sheet.pixels[..]), (2, 1, &[5, 2, 0, 1, 0, 5][..]));
        assert!(sheet.url().unwrap().starts_with("data:image/png;base64,"));
        let two = SpriteSheet::new(&Array4::from_shape_fn((1, 2, 1, 1), |(_, channel, ..)| channel as f32), 1, 3);
        assert_eq!(two.pixels, [0], "the first of two channels");
        assert_eq!(SpriteSheet::new(&Array4::zeros((2, 0, 1, 1)), 2, 3).pixels, [0, 0], "without a channel");
        assert!(SpriteSheet::new(&Array4::zeros((0, 1, 0, 0)), 2, 3).url().is_err());
    }
}
