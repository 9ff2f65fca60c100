//! Grey images in rows and columns.

use ndarray::Array4;
use plotters::prelude::DrawingBackend;

use super::figure::{Area, Drawn, Figure, Image, Picture};
use super::text::{self, HPos, LINE, NORMAL, SMALL, VPos};
use crate::error::{Error, ErrorKind, Result};

/// Images in rows and columns, each pixel a sharp square, black (0) to white (1); values outside are drawn as these.
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
    /// One set that fills rows of `columns`, or a set for each row.
    sets: Vec<Array4<f32>>,
    columns: usize,
    captions: Vec<String>,
    row_labels: Vec<String>,
    column_labels: Vec<String>,
}

impl ImageGrid {
    /// Images (n, 1, height, width) in rows of `columns`.
    pub fn new(images: &Array4<f32>, columns: usize) -> Self {
        let empty = Vec::new;
        Self { sets: vec![images.clone()], columns, captions: empty(), row_labels: empty(), column_labels: empty() }
    }

    /// Each set of images (n, 1, height, width) in a row of its own with its label at the left: originals above
    /// reconstructions, or one row for each model.
    pub fn rows<'a, S: Into<String>>(rows: impl IntoIterator<Item = (S, &'a Array4<f32>)>) -> Self {
        let (row_labels, sets): (_, Vec<_>) = rows.into_iter().map(|(label, set)| (label.into(), set.clone())).unzip();
        let columns = sets.first().map_or(0, |set| set.dim().0);
        Self { sets, columns, captions: Vec::new(), row_labels, column_labels: Vec::new() }
    }

    /// A text under each image.
    pub fn captions<S: Into<String>>(mut self, captions: impl IntoIterator<Item = S>) -> Self {
        self.captions = captions.into_iter().map(Into::into).collect();
        self
    }

    /// A text to the left of each row.
    pub fn row_labels<S: Into<String>>(mut self, labels: impl IntoIterator<Item = S>) -> Self {
        self.row_labels = labels.into_iter().map(Into::into).collect();
        self
    }

    /// A text above each column.
    pub fn column_labels<S: Into<String>>(mut self, labels: impl IntoIterator<Item = S>) -> Self {
        self.column_labels = labels.into_iter().map(Into::into).collect();
        self
    }

    /// The finished figure.
    ///
    /// An error, if there are no images, a shape or a number of texts does not fit, or a pixel is NaN: it says which.
    pub fn figure(self) -> Result<Figure> {
        let wrong = |kind, what: &str, expected: String, got: String| {
            Err(Error::expected(kind, format!("image grid, {what}"), expected, got))
        };
        let Some(first) = self.sets.first().map(Array4::dim) else {
            return wrong(ErrorKind::Argument, "rows", "at least 1".into(), "none".into());
        };
        for (row, set) in self.sets.iter().enumerate() {
            let what = self
                .row_labels
                .get(row)
                .filter(|_| self.sets.len() > 1)
                .map_or("images".into(), |l| format!("row {l:?}"));
            let (count, channels, height, width) = set.dim();
            if count == 0 {
                return wrong(ErrorKind::Argument, &what, "at least 1 image".into(), "none".into());
            }
            if channels != 1 || height == 0 || width == 0 {
                let got = format!("{:?}", set.dim());
                return wrong(ErrorKind::Shape, &what, "shape (n, 1, height, width)".into(), got);
            }
            if set.dim() != first {
                let (expected, got) = (format!("shape {first:?}, as in the first row"), format!("{:?}", set.dim()));
                return wrong(ErrorKind::Shape, &what, expected, got);
            }
            if let Some(((image, _, y, x), _)) = set.indexed_iter().find(|(_, value)| value.is_nan()) {
                let place = format!("{what}, image {image}, row {y}, column {x}");
                return wrong(ErrorKind::Argument, &place, "a number".into(), "NaN".into());
            }
        }
        let fitting = (WIDEST / (first.3 as u32 + GAP)).max(1) as usize;
        if !(1..=fitting).contains(&self.columns) {
            let expected = format!("1 to {fitting} images in a row, {} pixels wide each", first.3);
            return wrong(ErrorKind::Argument, "columns", expected, self.columns.to_string());
        }
        for (what, texts, needed) in [
            ("captions", &self.captions, self.count()),
            ("row labels", &self.row_labels, self.row_count()),
            ("column labels", &self.column_labels, self.columns),
        ] {
            if !texts.is_empty() && texts.len() != needed {
                return wrong(ErrorKind::Argument, what, needed.to_string(), texts.len().to_string());
            }
        }
        Ok(self.into())
    }

    fn count(&self) -> usize {
        self.sets.iter().map(|set| set.dim().0).sum()
    }

    fn row_count(&self) -> usize {
        self.count().div_ceil(self.columns)
    }

    /// The image at a place in the grid's reading order; all sets have the same size.
    fn image(&self, index: usize) -> Image {
        let (count, _, _, width) = self.sets[0].dim();
        let pixels = self.sets[index / count].index_axis(ndarray::Axis(0), index % count);
        let rows = pixels.iter().map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8).collect();
        Image { width: width as u32, rows }
    }

    fn layout(&self) -> Layout {
        let (_, _, height, width) = self.sets[0].dim();
        let (height, width, columns) = (height as u32, width as u32, self.columns as u32);
        let left = match self.row_labels.is_empty() {
            true => 0,
            false => text::widest(&self.row_labels, NORMAL) as u32 + 12,
        };
        let comfortable = match self.count() {
            0..=4 => 140,
            5..=40 => 84,
            _ => 56,
        };
        let available = (WIDEST.saturating_sub(left) / columns).saturating_sub(GAP);
        let scale = (available.min(comfortable) / width).max(1);
        let texts = text::widest(&self.captions, SMALL).max(text::widest(&self.column_labels, NORMAL)) as u32;
        let line = |texts: &[String], size: f64| if texts.is_empty() { 0 } else { (size * LINE) as u32 + 2 };
        Layout {
            scale,
            left,
            top: line(&self.column_labels, NORMAL),
            image: (width * scale, height * scale),
            cell: ((width * scale).max(texts + 4) + GAP, height * scale + line(&self.captions, SMALL) + GAP),
        }
    }

    pub(super) fn size(&self) -> (u32, u32) {
        let Layout { left, top, cell, .. } = self.layout();
        (left + self.columns as u32 * cell.0 + GAP, top + self.row_count() as u32 * cell.1 + GAP)
    }

    pub(super) fn draw<DB: DrawingBackend>(&self, area: &Area<DB>, pictures: &mut Vec<Picture>) -> Drawn<DB> {
        let Layout { scale, left, top, image, cell } = self.layout();
        let corner = |column: usize, row: usize| (left + GAP + column as u32 * cell.0, top + GAP + row as u32 * cell.1);
        // The middle of what a cell holds, without the gap that follows it.
        let middle = |column: usize| f64::from(corner(column, 0).0) + f64::from(cell.0 - GAP) / 2.0;
        for index in 0..self.count() {
            let (column, row) = (index % self.columns, index / self.columns);
            let (x, y) = corner(column, row);
            let indent = (cell.0 - GAP - image.0) / 2;
            pictures.push(Picture::new(area, (x + indent, y), scale, &self.image(index)));
            if let Some(caption) = self.captions.get(index) {
                let style = text::style(SMALL, HPos::Center, VPos::Top);
                text::draw(area, caption, &style, (middle(column), f64::from(y + image.1) + 3.0))?;
            }
        }
        for (column, label) in self.column_labels.iter().enumerate() {
            let style = text::style(NORMAL, HPos::Center, VPos::Center);
            text::draw(area, label, &style, (middle(column), f64::from(top) / 2.0 + 1.0))?;
        }
        for (row, label) in self.row_labels.iter().enumerate() {
            let y = f64::from(corner(0, row).1) + f64::from(image.1) / 2.0;
            let style = text::style(NORMAL, HPos::Right, VPos::Center);
            text::draw(area, label, &style, (f64::from(left) - 6.0, y))?;
        }
        Ok(())
    }
}

/// Lengths in pixels.
struct Layout {
    /// The side of the square that stands for an image's pixel.
    scale: u32,
    left: u32,
    top: u32,
    image: (u32, u32),
    /// From one image to the next.
    cell: (u32, u32),
}

/// Between images.
const GAP: u32 = 3;
/// How wide a page may become for the sake of the images.
const WIDEST: u32 = 880;
