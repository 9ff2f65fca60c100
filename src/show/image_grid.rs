//! Images in rows and columns.

use ndarray::{Array4, Axis};
use plotters::style::FontTransform;

use super::axis as numbers;
use super::canvas::{Canvas, Sprite, px, stroke};
use super::chart::Chart;
use super::figure::Figure;
use super::text::{self, HPos, LINE, NORMAL, SMALL, VPos};
use super::theme::INK;
use crate::error::{Error, ErrorKind, Result};

/// Images in rows and columns, each pixel a sharp square: grey from black (0) to white (1), or in colour, red, green
/// and blue from 0 to 1. Values outside are drawn as these.
///
/// ```
/// use latentlab::ImageGrid;
/// use latentlab::ndarray::Array4;
///
/// let images = Array4::zeros((16, 1, 28, 28));
/// let figure = ImageGrid::new(&images, 8).figure()?;
/// let compared = ImageGrid::rows([("original", &images), ("reconstruction", &images)]).figure()?;
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone)]
pub struct ImageGrid {
    sets: Vec<Array4<f32>>,
    /// How many images of each set are beside each other, with those of the next set below them.
    columns: usize,
    captions: Vec<String>,
    row_names: Vec<String>,
    column_names: Vec<String>,
    /// The names of the coordinates across and up, and their values at the first and the last image.
    axes: Option<[(String, [f64; 2]); 2]>,
}

impl ImageGrid {
    /// Images (n, 1, height, width), or (n, 3, height, width) in colour, in rows of `columns`.
    pub fn new(images: &Array4<f32>, columns: usize) -> Self {
        Self {
            sets: vec![images.clone()],
            columns,
            captions: Vec::new(),
            row_names: Vec::new(),
            column_names: Vec::new(),
            axes: None,
        }
    }

    /// Each set of images, grey or in colour, in its own row with its name at the left: originals above
    /// reconstructions, or a row for each model. More than ten images continue in further rows below.
    pub fn rows<'a, S: Into<String>>(rows: impl IntoIterator<Item = (S, &'a Array4<f32>)>) -> Self {
        let (row_names, sets): (_, Vec<_>) = rows.into_iter().map(|(name, set)| (name.into(), set.clone())).unzip();
        let count = sets.first().map_or(0, |set| set.dim().0);
        let columns = count.div_ceil(count.div_ceil(10).max(1));
        Self { sets, columns, captions: Vec::new(), row_names, column_names: Vec::new(), axes: None }
    }

    /// A text under each image, set by set.
    pub fn captions<S: Into<String>>(mut self, captions: impl IntoIterator<Item = S>) -> Self {
        self.captions = captions.into_iter().map(Into::into).collect();
        self
    }

    /// The names above the columns; of [`rows`](Self::rows), above each image of the first set.
    pub fn column_names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.column_names = names.into_iter().map(Into::into).collect();
        self
    }

    /// Draws the coordinates of the images below and at the left, for the images of a
    /// [`code_grid`](crate::code_grid): the same lowest and highest values as there.
    ///
    /// ```
    /// use latentlab::{Autoencoder, ImageGrid, code_grid, decode};
    ///
    /// let images = decode(&Autoencoder::tiny(2)?, &code_grid([0.0, 0.0], [3.0, 3.0], 12)?)?;
    /// let manifold = ImageGrid::new(&images, 12).axes([0.0, 0.0], [3.0, 3.0]).figure()?;
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn axes(mut self, lowest: [f32; 2], highest: [f32; 2]) -> Self {
        let axis = |k: usize| (format!("latent {}", k + 1), [lowest[k], highest[k]].map(f64::from));
        self.axes = Some([axis(0), axis(1)]);
        self
    }

    /// The finished figure.
    ///
    /// # Errors
    /// If there are no images, a shape or a number of texts does not fit, a pixel is NaN, or the axes have no finite
    /// lowest value below their highest, or stand beside named rows.
    pub fn figure(&self) -> Result<Figure> {
        let wrong = |kind, what: &str, expected: String, got: String| {
            Err(Error::expected(kind, format!("image grid, {what}"), expected, got))
        };
        let Some(first) = self.sets.first().map(Array4::dim) else {
            return wrong(ErrorKind::Argument, "rows", "at least 1".into(), "none".into());
        };
        for (row, set) in self.sets.iter().enumerate() {
            let what = self
                .row_names
                .get(row)
                .filter(|_| self.sets.len() > 1)
                .map_or("images".into(), |l| format!("row {l:?}"));
            let (count, channels, height, width) = set.dim();
            if count == 0 {
                return wrong(ErrorKind::Argument, &what, "at least 1 image".into(), "none".into());
            }
            if ![1, 3].contains(&channels) || height == 0 || width == 0 {
                let got = format!("{:?}", set.dim());
                let expected = "shape (n, 1, height, width), or (n, 3, height, width) in colour";
                return wrong(ErrorKind::Shape, &what, expected.into(), got);
            }
            if (count, height, width) != (first.0, first.2, first.3) {
                let (expected, got) = (format!("shape {first:?}, as in the first row"), format!("{:?}", set.dim()));
                return wrong(ErrorKind::Shape, &what, expected, got);
            }
            if let Some(((image, _, y, x), _)) = set.indexed_iter().find(|(_, value)| value.is_nan()) {
                let place = format!("{what}, image {image}, row {y}, column {x}");
                return wrong(ErrorKind::Argument, &place, "a number".into(), "NaN".into());
            }
        }
        crate::limit::check("image grid", "the pixels of all images", &[self.sets.len(), first.0, first.2, first.3])?;
        let fitting = (WIDEST as usize / (first.3.saturating_add(GAP as usize))).max(1);
        if !(1..=fitting).contains(&self.columns) {
            let expected = format!("1 to {fitting} images in a row, {} pixels wide each", first.3);
            return wrong(ErrorKind::Argument, "columns", expected, self.columns.to_string());
        }
        let columns = if self.row_names.is_empty() { self.columns } else { first.0 };
        for (what, texts, needed) in
            [("captions", &self.captions, self.sets.len() * first.0), ("column names", &self.column_names, columns)]
        {
            if !texts.is_empty() && texts.len() != needed {
                return wrong(ErrorKind::Argument, what, needed.to_string(), texts.len().to_string());
            }
        }
        let is_range = |[low, high]: [f64; 2]| low.is_finite() && high.is_finite() && low < high;
        match &self.axes {
            Some(axes) if !axes.iter().all(|(_, ends)| is_range(*ends)) => {
                let got = format!("{:?} and {:?}", axes[0].1, axes[1].1);
                wrong(ErrorKind::Argument, "axes", "lowest values below the highest".into(), got)
            }
            Some(_) if !self.row_names.is_empty() => {
                wrong(ErrorKind::Argument, "axes", "images without names of rows".into(), "rows".into())
            }
            _ => Ok(Figure::new(self.clone())),
        }
    }

    /// The axes of the coordinates: from the middle of the first image to that of the last one.
    fn coordinates(&self) -> Option<[(String, numbers::Axis); 2]> {
        let axis =
            |(name, [low, high]): &(String, [f64; 2])| (name.clone(), numbers::Axis::linear((*low, *high), 0.0, 7));
        self.axes.as_ref().map(|axes| axes.each_ref().map(axis))
    }

    /// How many images each set has.
    fn count(&self) -> usize {
        self.sets[0].dim().0
    }

    /// How many rows each set takes.
    fn bands(&self) -> usize {
        self.count().div_ceil(self.columns)
    }

    /// The pixels of an image, row by row.
    fn pixels(&self, set: usize, index: usize) -> Vec<[u8; 3]> {
        let pixels = self.sets[set].index_axis(Axis(0), index);
        let byte = |value: &f32| (value.clamp(0.0, 1.0) * 255.0).round() as u8;
        match pixels.len_of(Axis(0)) {
            1 => pixels.iter().map(|value| [byte(value); 3]).collect(),
            _ => pixels
                .lanes(Axis(0))
                .into_iter()
                .map(|colors| [0, 1, 2].map(|channel| byte(&colors[channel])))
                .collect(),
        }
    }

    fn layout(&self) -> Layout {
        let (_, _, height, width) = self.sets[0].dim();
        let side = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
        let (height, width, columns) = (side(height), side(width), side(self.columns));
        let mut row_names: Vec<Vec<String>> =
            self.row_names.iter().map(|name| text::lines(name, NORMAL, WIDEST_NAME, LINES)).collect();
        let coordinates = self.coordinates();
        let left = match &coordinates {
            Some([_, (_, up)]) => {
                (text::widest(up.ticks.iter().map(|(_, text)| text), SMALL) + NORMAL * LINE) as u32 + 14
            }
            None if row_names.is_empty() => 0,
            None => text::widest(row_names.iter().flatten(), NORMAL) as u32 + 12,
        };
        let bottom = if coordinates.is_some() { ((SMALL + NORMAL) * LINE) as u32 + 14 } else { 0 };
        let comfortable = match self.sets.len() * self.count() {
            0..=4 => 140,
            5..=40 => 84,
            _ => 56,
        };
        let available = (WIDEST.saturating_sub(left) / columns).saturating_sub(GAP);
        let scale = (available.min(comfortable) / width).min(4 * comfortable / height).max(1);
        let image = (width.saturating_mul(scale), height.saturating_mul(scale));
        let line = (NORMAL * LINE) as u32;
        if image.1 < LINES as u32 * line {
            row_names = self.row_names.iter().map(|l| vec![text::fitting(l, NORMAL, f64::from(left) - 12.0)]).collect();
        }
        let width = f64::from(image.0.max(available).max(LEAST_WIDTH)) - 4.0;
        let lines = |texts: &[String], size: f64| -> Vec<Vec<String>> {
            texts.iter().map(|text| text::lines(text, size, width, LINES)).collect()
        };
        let (captions, column_names) = (lines(&self.captions, SMALL), lines(&self.column_names, NORMAL));
        let widest = |texts: &[Vec<String>], size: f64| text::widest(texts.iter().flatten(), size);
        let texts = widest(&captions, SMALL).max(widest(&column_names, NORMAL)) as u32;
        let tall = |texts: &[Vec<String>], size: f64| match texts.iter().map(Vec::len).max() {
            None => 0,
            Some(lines) => (lines as f64 * size * LINE) as u32 + 2,
        };
        let cell = (
            image.0.max(texts + 4).saturating_add(GAP),
            image
                .1
                .max(if row_names.is_empty() { 0 } else { line })
                .saturating_add(tall(&captions, SMALL))
                .saturating_add(GAP),
        );
        let top = tall(&column_names, NORMAL);
        let band = match self.sets.len() {
            1 => cell.1,
            sets => side(sets).saturating_mul(cell.1).saturating_add(top + 4 * GAP),
        };
        Layout { scale, left, top, bottom, image, cell, band, captions, column_names, row_names }
    }
}

impl Chart for ImageGrid {
    fn kind(&self) -> &'static str {
        "images"
    }

    fn prefers_svg(&self) -> bool {
        false
    }

    fn size(&self) -> (u32, u32) {
        let Layout { left, top, bottom, cell, band, .. } = self.layout();
        let times = |count: usize, length: u32| u32::try_from(count).unwrap_or(u32::MAX).saturating_mul(length);
        let last = times(self.sets.len(), cell.1).saturating_add(top);
        let width = times(self.columns, cell.0).saturating_add(left + GAP);
        (width, times(self.bands() - 1, band).saturating_add(last).saturating_add(GAP + bottom))
    }

    fn draw(&self, canvas: &Canvas<'_>) {
        let layout = self.layout();
        let Layout { scale, left, top, image, cell, band, .. } = layout;
        let x = |index: usize| left + GAP + (index % self.columns) as u32 * cell.0;
        let y = |set: usize, index: usize| GAP + top + set as u32 * cell.1 + (index / self.columns) as u32 * band;
        // The middle of a cell, without the gap that follows it.
        let middle = |index: usize| px(x(index)) + px(cell.0 - GAP) / 2;
        for set in 0..self.sets.len() {
            for index in 0..self.count() {
                let (left, top) = (x(index) + (cell.0 - GAP - image.0) / 2, y(set, index));
                let (width, rows) = (image.0 / scale, self.pixels(set, index));
                canvas.image(Sprite { x: left, y: top, scale, width, rows });
                if let Some(caption) = layout.captions.get(set * self.count() + index) {
                    let style = text::style(SMALL, HPos::Center, VPos::Top);
                    text::draw_lines(canvas, caption, &style, (middle(index), px(top + image.1 + 3)));
                }
            }
        }
        if let Some([across, up]) = self.coordinates() {
            let last = self.columns.min(self.count()) - 1;
            let (columns, rows) = (
                [middle(0), middle(last)],
                [0, self.bands() - 1].map(|band| px(y(0, band * self.columns)) + px(image.1) / 2),
            );
            let bottom = rows[1] + px(image.1) / 2 + px(GAP);
            draw_coordinates(canvas, across, columns, bottom);
            draw_upright_coordinates(canvas, up, rows, px(left));
        }
        for (index, name) in layout.column_names.iter().enumerate() {
            let style = text::style(NORMAL, HPos::Center, VPos::Center);
            text::draw_lines(canvas, name, &style, (middle(index), px(y(0, index)) - px(top) / 2 - px(1)));
        }
        for band in 0..self.bands() {
            for (set, name) in layout.row_names.iter().enumerate() {
                let y = px(y(set, band * self.columns)) + px(image.1) / 2;
                let style = text::style(NORMAL, HPos::Right, VPos::Center);
                text::draw_lines(canvas, name, &style, (px(left) - px(6), y));
            }
        }
    }
}

/// Ticks and a name below the images, whose first and last column are there.
fn draw_coordinates(canvas: &Canvas<'_>, (name, axis): (String, numbers::Axis), [first, last]: [i32; 2], top: i32) {
    let axis = axis.thinned(f64::from(last - first) / f64::from(px(1)), |text| text::width(text, SMALL) + 6.0);
    for (at, text) in &axis.ticks {
        let x = first + axis.place(*at, last - first);
        canvas.path(&[(x, top), (x, top + px(4))], stroke(INK, 1.0));
        text::draw(canvas, text, &text::style(SMALL, HPos::Center, VPos::Top), (x, top + px(6)));
    }
    let style = text::style(NORMAL, HPos::Center, VPos::Top);
    text::draw(canvas, &name, &style, ((first + last) / 2, top + px(8.0 + SMALL * LINE)));
}

/// The same at the left, from the top row to the bottom one.
fn draw_upright_coordinates(
    canvas: &Canvas<'_>,
    (name, axis): (String, numbers::Axis),
    [top, bottom]: [i32; 2],
    left: i32,
) {
    let axis = axis.thinned(f64::from(bottom - top) / f64::from(px(1)), |_| SMALL + 4.0);
    for (at, text) in &axis.ticks {
        let y = bottom - axis.place(*at, bottom - top);
        canvas.path(&[(left - px(4), y), (left, y)], stroke(INK, 1.0));
        text::draw(canvas, text, &text::style(SMALL, HPos::Right, VPos::Center), (left - px(6), y));
    }
    let style = text::style(NORMAL, HPos::Center, VPos::Top).transform(FontTransform::Rotate270);
    text::draw(canvas, &name, &style, (0, (top + bottom) / 2));
}

/// Lengths in pixels.
struct Layout {
    /// The side of the square drawn for an image's pixel.
    scale: u32,
    left: u32,
    top: u32,
    bottom: u32,
    image: (u32, u32),
    /// From one image to the next.
    cell: (u32, u32),
    /// From one row of a set to its next row.
    band: u32,
    /// All texts, broken into lines.
    captions: Vec<Vec<String>>,
    column_names: Vec<Vec<String>>,
    row_names: Vec<Vec<String>>,
}

/// Between images.
const GAP: u32 = 3;
/// How wide the images may make a figure.
const WIDEST: u32 = 880;
/// The least width for the text of an image, the greatest for the name of a row, and the lines of each.
const LEAST_WIDTH: u32 = 120;
const WIDEST_NAME: f64 = 200.0;
const LINES: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn images(count: usize) -> Array4<f32> {
        Array4::zeros((count, 1, 28, 28))
    }

    #[test]
    fn names_and_captions_are_written() {
        let (a, b) = (images(2), images(2));
        let grid = ImageGrid::rows([("input", &a), ("b = 2", &b)]).column_names(["zero", "one"]);
        let svg = grid.captions(["p", "q", "r", "s"]).figure().unwrap().to_svg().unwrap();
        for text in ["input", "b = 2", "zero", "one", "p", "q", "r", "s"] {
            assert_eq!(svg.matches(&format!("\n{text}\n")).count(), 1, "{text} in {svg}");
        }
        assert_eq!(svg.matches("<image ").count(), 4);
    }

    #[test]
    fn many_images_continue_below() {
        let (a, b) = (images(16), images(16));
        let grid = ImageGrid::rows([("original", &a), ("reconstruction", &b)]);
        assert_eq!((grid.columns, grid.bands()), (8, 2));
        let svg = grid.figure().unwrap().to_svg().unwrap();
        assert_eq!((svg.matches("\noriginal\n").count(), svg.matches("<image ").count()), (2, 32));
    }

    #[test]
    fn a_figure_is_not_too_wide_and_text_has_space() {
        for count in 1..=28 {
            let (width, _) = ImageGrid::new(&images(count), count).size();
            assert!((31..=900).contains(&width), "{count} images: {width}");
        }
        let caption = "a caption that is much wider than its image";
        let narrow = ImageGrid::new(&images(2), 2).size().0;
        let wide = ImageGrid::new(&images(2), 2).captions([caption, caption]).size().0;
        assert!(f64::from(wide) > 2.0 * text::width(caption, SMALL) && wide > narrow);
    }

    #[test]
    fn colours_are_those_of_the_channels_and_grey_may_stand_beside_them() {
        let colored =
            Array4::from_shape_fn((1, 3, 1, 2), |(_, channel, _, x)| [[1.0, 0.2], [0.4, -1.0], [0.0, 2.0]][channel][x]);
        let grey = Array4::from_elem((1, 1, 1, 2), 0.6);
        let grid = ImageGrid::rows([("colour", &colored), ("grey", &grey)]);
        assert_eq!(grid.pixels(0, 0), [[255, 102, 0], [51, 0, 255]]);
        assert_eq!(grid.pixels(1, 0), [[153; 3]; 2]);
        grid.figure().unwrap().to_png().unwrap();
    }

    #[test]
    fn each_wrong_input_is_named() {
        let mut nan = images(3);
        nan[[2, 0, 5, 7]] = f32::NAN;
        let none: [(&str, &Array4<f32>); 0] = [];
        for (grid, expected) in [
            (ImageGrid::new(&images(0), 1), "image grid, images: expected at least 1 image, got none"),
            (ImageGrid::rows(none), "image grid, rows: expected at least 1, got none"),
            (
                ImageGrid::new(&Array4::zeros((2, 2, 28, 28)), 2),
                "image grid, images: expected shape (n, 1, height, width), or (n, 3, height, width) in colour, \
                 got (2, 2, 28, 28)",
            ),
            (
                ImageGrid::new(&images(2), 0),
                "image grid, columns: expected 1 to 28 images in a row, 28 pixels wide each, got 0",
            ),
            (
                ImageGrid::new(&images(99), 99),
                "image grid, columns: expected 1 to 28 images in a row, 28 pixels wide each, got 99",
            ),
            (ImageGrid::new(&nan, 3), "image grid, images, image 2, row 5, column 7: expected a number, got NaN"),
            (
                ImageGrid::rows([("a", &images(3)), ("b", &images(2))]),
                "image grid, row \"b\": expected shape (3, 1, 28, 28), as in the first row, got (2, 1, 28, 28)",
            ),
            (ImageGrid::new(&images(3), 3).captions(["a"]), "image grid, captions: expected 3, got 1"),
            (ImageGrid::new(&images(6), 3).column_names(["a"]), "image grid, column names: expected 3, got 1"),
        ] {
            assert_eq!(grid.figure().unwrap_err().to_string(), expected);
        }
    }
}
