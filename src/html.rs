//! What is written in HTML, and is small enough to stand in every notebook: tables, grey pictures, curves no larger than a word.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use ndarray::{Array4, Axis};
use png::{ColorType, Filter};

use crate::error::{Error, ErrorKind, Result, visible, visible_lines};

/// The colours of the first two curves, as in the figures.
pub(crate) const COLORS: [&str; 2] = ["#3f90da", "#ffa90e"];

/// Text as HTML: `&`, `<`, `>` and quotes are written so that they appear as themselves, and control characters but the end of a line
/// so that they appear at all (`\u{1b}`).
///
/// ```
/// assert_eq!(latentlab::jupyter::escape_html("Vec<f32> & co"), "Vec&lt;f32&gt; &amp; co");
/// ```
pub fn escape_html(text: &str) -> String {
    let text = visible_lines(text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// Text for the cell of a table, printed or in HTML: one line, of long text the beginning and the end.
pub(crate) fn cell(text: &str) -> String {
    shortened(&visible(text), CELL)
}

/// So many characters stand in a table's cell.
const CELL: usize = 60;

/// Text of at most so many characters: of longer text the beginning and the end, which may be all that tells it from others.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.into();
    }
    let (first, last) = (most.saturating_sub(1).div_ceil(2), most.saturating_sub(1) / 2);
    text.chars().take(first).chain(['…']).chain(text.chars().skip(count - last)).collect()
}

/// A table of cells that are HTML already, without a head if there is none; the first column is text, to the left, the others are numbers, to the right.
pub(crate) fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String], tag: &str| {
        let side = |column: usize| if column == 0 { "left" } else { "right" };
        let cell =
            |(column, cell)| format!("<{tag} style=\"text-align: {}; padding: 2px 8px\">{cell}</{tag}>", side(column));
        format!("<tr>{}</tr>", cells.iter().enumerate().map(cell).collect::<String>())
    };
    let rows: String = rows.iter().map(|row| line(row, "td")).collect();
    let head = if head.is_empty() { String::new() } else { format!("<thead>{}</thead>", line(head, "th")) };
    format!("<table>{head}<tbody>{rows}</tbody></table>")
}

/// A curve as large as a word; nothing if there are no two values to draw a line between.
pub(crate) fn sparkline(values: &[f64], color: &str) -> String {
    const SIZE: [f64; 2] = [120.0, 22.0];
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    if finite().nth(1).is_none() {
        return String::new();
    }
    let range = [finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max)];
    let every = values.len().div_ceil(SIZE[0] as usize);
    let few: Vec<f64> = values.iter().copied().step_by(every).collect();
    let [width, height] = SIZE.map(|side| side + 4.0);
    let line = polyline(&few, range, few.len(), [2.0, 2.0, SIZE[0], SIZE[1]], color);
    format!(
        "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" aria-hidden=\"true\">{line}</svg>"
    )
}

/// Values as a line in a rectangle (left, top, width, height), in which there would be space for so many, from the lowest to the highest.
pub(crate) fn polyline(
    values: &[f64],
    [low, high]: [f64; 2],
    length: usize,
    [left, top, width, height]: [f64; 4],
    color: &str,
) -> String {
    // Halves, because the difference of two numbers may be larger than any.
    let range = if high > low { high / 2.0 - low / 2.0 } else { 0.5 };
    let mut points = String::new();
    for (index, value) in values.iter().enumerate().filter(|(_, value)| value.is_finite()) {
        let x = left + width * index as f64 / length.saturating_sub(1).max(1) as f64;
        let share = (value / 2.0 - low / 2.0) / range;
        let _ = write!(points, "{x:.1},{:.1} ", top + height - height * share);
    }
    format!("<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>", points.trim_end())
}

/// Grey images side by side in rows, as one.
pub(crate) struct Sheet {
    width: usize,
    height: usize,
    levels: usize,
    /// Row by row, each value 0 (black) to `levels` - 1 (white).
    pixels: Vec<u8>,
}

impl Sheet {
    /// The first channel of images (n, channels, height, width), so many in a row, in 2 to 256 levels of grey; values outside \[0, 1\] are black or white.
    pub fn new(images: &Array4<f32>, columns: usize, levels: usize) -> Self {
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

    /// As the address of a picture that is its own content.
    pub fn address(&self) -> Result<String> {
        // A palette, so that the numbers written are small and neighbours differ by little.
        let grey = |level: usize| [(255 * level / (self.levels - 1)) as u8; 3];
        let palette = Vec::from_iter((0..self.levels).flat_map(grey));
        let set = |encoder: &mut Encoder<'_>| {
            encoder.set_color(ColorType::Indexed);
            encoder.set_palette(palette);
            encoder.set_filter(Filter::Adaptive);
        };
        Ok(png_address(&png([self.width, self.height], &self.pixels, set)?))
    }

    /// As a picture, each pixel a square of so many.
    pub fn picture(&self, scale: usize, alternative: &str) -> Result<String> {
        let style = format!("width: {}px; max-width: 100%; image-rendering: pixelated", scale * self.width);
        let alternative = escape_html(alternative);
        Ok(format!("<img alt=\"{alternative}\" style=\"{style}\" src=\"{}\">", self.address()?))
    }
}

/// A PNG file of red, green and blue pixels, eight bits each.
pub(crate) fn rgb_png(width: u32, height: u32, pixels: &[u8]) -> Result<Vec<u8>> {
    // Figures are flat areas: unfiltered they become smallest.
    let set = |encoder: &mut Encoder<'_>| {
        encoder.set_color(ColorType::Rgb);
        encoder.set_filter(Filter::NoFilter);
    };
    png([width as usize, height as usize], pixels, set)
}

type Encoder<'a> = png::Encoder<'static, &'a mut Vec<u8>>;

fn png([width, height]: [usize; 2], pixels: &[u8], set: impl FnOnce(&mut Encoder<'_>)) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    set(&mut encoder);
    encoder
        .write_header()
        .and_then(|mut writer| writer.write_image_data(pixels))
        .map_err(|error| Error::new(ErrorKind::Figure, "picture", format!("cannot be encoded as PNG: {error}")))?;
    Ok(bytes)
}

/// The address of a PNG file that is its own content.
pub(crate) fn png_address(file: &[u8]) -> String {
    format!("data:image/png;base64,{}", STANDARD.encode(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_escaped_once() {
        assert_eq!(escape_html(r#"<a href="x">&amp;'</a>"#), "&lt;a href=&quot;x&quot;&gt;&amp;amp;&#39;&lt;/a&gt;");
    }

    #[test]
    fn nothing_hidden_stands_in_html() {
        let html = escape_html("a\n\u{1}<\u{b}\u{fffe}\nEVCXR_END_CONTENT");
        assert_eq!(html, "a\n\\u{1}&lt;\\u{b}\\u{fffe}\nEVCXR\\u{5f}END_CONTENT");
        assert_eq!(cell("a\nb"), "a\\nb");
        let long = cell(&format!("{}z", "ä".repeat(100_000)));
        assert!(long.chars().count() == CELL && long.contains('…') && long.ends_with('z'), "{long}");
        assert_eq!(
            (shortened("abc", 3), shortened("abcd", 3), shortened("abcd", 1)),
            ("abc".into(), "a…d".into(), "…".into())
        );
    }

    #[test]
    fn images_stand_in_rows_and_greys_in_levels() {
        let images = Array4::from_shape_fn((3, 1, 1, 2), |(n, _, _, x)| [[0.0, 0.3], [0.4, 0.6], [-1.0, 9.0]][n][x]);
        let sheet = Sheet::new(&images, 2, 3);
        assert_eq!((sheet.width, sheet.height), (4, 2));
        assert_eq!(sheet.pixels, [0, 1, 1, 1, 0, 2, 0, 0]);
        assert_eq!(Sheet::new(&Array4::zeros((2, 0, 1, 1)), 2, 3).pixels, [0, 0], "without a channel");
        assert!(Sheet::new(&Array4::zeros((0, 1, 0, 0)), 2, 3).address().is_err());
    }

    #[test]
    fn a_sparkline_needs_two_values_and_skips_what_is_none() {
        assert_eq!(sparkline(&[1.0, f64::NAN], "red"), "");
        let line = sparkline(&[1.0, f64::NAN, 3.0], "red");
        assert!(line.contains("points=\"2.0,24.0 122.0,2.0\""), "{line}");
        assert!(sparkline(&vec![1.0; 100_000], "red").len() < 2_000);
        let most = sparkline(&[f64::MIN, f64::MAX, 0.0], "red");
        assert!(most.contains("points=\"2.0,24.0 62.0,2.0 122.0,13.0\""), "{most}");
    }
}
