//! Counts in rows and columns, such as a confusion matrix.

use ndarray::Array2;
use plotters::style::FontTransform;

use super::canvas::{Canvas, px, stroke};
use super::chart::Chart;
use super::figure::Figure;
use super::text::{self, HPos, LINE, NORMAL, SMALL, VPos};
use super::theme::{INK, PAPER, Paint};
use crate::error::{Error, ErrorKind, Result};

/// A matrix of counts, each number in a cell that is darker the larger its share of the row: a confusion matrix, or the
/// clusters that each class went to.
///
/// The colours go from white to a dark blue, so that it reads the same without colour; empty cells show no number. With
/// more than thirty rows or columns the cells are smaller and show no numbers.
///
/// ```
/// use latentlab::{Heatmap, ndarray::array};
///
/// let counts = array![[95, 5], [12, 88]];
/// let figure = Heatmap::new(&counts).names(["shirt", "coat"]).axis_names("true", "predicted").figure()?;
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone)]
pub struct Heatmap {
    counts: Array2<usize>,
    row_names: Option<Vec<String>>,
    column_names: Option<Vec<String>>,
    axis_names: (String, String),
}

impl Heatmap {
    /// Counts (rows, columns): in a confusion matrix a row for each true class, a column for each predicted one.
    pub fn new(counts: &Array2<usize>) -> Self {
        Self {
            counts: counts.clone(),
            row_names: None,
            column_names: None,
            axis_names: ("true class".into(), "predicted class".into()),
        }
    }

    /// The names of the rows, and of the columns unless they have [their own](Self::column_names): the classes.
    /// Default: numbers.
    pub fn names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.row_names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// The names of the columns, if they differ from those of the rows.
    pub fn column_names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.column_names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// What the rows and the columns are. Default: "true class" and "predicted class".
    pub fn axis_names(mut self, rows: impl Into<String>, columns: impl Into<String>) -> Self {
        self.axis_names = (rows.into(), columns.into());
        self
    }

    /// The finished figure.
    ///
    /// # Errors
    /// If there are no counts, more than 500 rows or columns, or not a name for each.
    pub fn figure(&self) -> Result<Figure> {
        let (rows, columns) = self.counts.dim();
        if !((1..=MOST).contains(&rows) && (1..=MOST).contains(&columns)) {
            let (expected, got) = (format!("1 to {MOST} rows and columns"), format!("({rows}, {columns})"));
            let error = Error::expected(ErrorKind::Shape, "heatmap, counts", expected, got);
            let is_empty = rows == 0 || columns == 0;
            return Err(if is_empty {
                error
            } else {
                error.hint("Draw a part of the counts, such as the largest classes")
            });
        }
        let [row_names, column_names] = self.all_names();
        for (what, names, count) in [("row", row_names, rows), ("column", column_names, columns)] {
            if names.len() != count {
                let (place, expected) = (format!("heatmap, {what} names"), format!("{count}, one for each {what}"));
                return Err(Error::expected(ErrorKind::Shape, place, expected, names.len()));
            }
        }
        Ok(Figure::new(self.clone()))
    }

    /// The names of the rows and of the columns.
    fn all_names(&self) -> [Vec<String>; 2] {
        let numbers = |count: usize| (0..count).map(|index| index.to_string()).collect();
        let rows = self.row_names.clone().unwrap_or_else(|| numbers(self.counts.nrows()));
        let columns = self.column_names.as_ref().or(self.row_names.as_ref()).cloned();
        [rows, columns.unwrap_or_else(|| numbers(self.counts.ncols()))]
    }

    fn layout(&self) -> Layout {
        let (rows, columns) = self.counts.dim();
        let short = |names: Vec<String>| Vec::from_iter(names.iter().map(|name| text::fitting(name, SMALL, WIDEST)));
        let [row_names, column_names] = self.all_names().map(short);
        let longest = |names: &[String]| text::widest(names, SMALL).ceil() as u32;
        let numbers: Vec<String> = self.counts.iter().map(usize::to_string).collect();
        let count = rows.max(columns);
        let has_numbers = count <= NUMBERED;
        let cell = if has_numbers { (longest(&numbers) + 10).max(36) } else { (900 / count as u32).clamp(2, NAME) };
        // Names that are wider than their column are written upwards.
        let turned = longest(&column_names) + 6 > cell;
        let names = if turned { longest(&column_names) } else { (SMALL * LINE) as u32 };
        let axis = |name: &str, count: usize| {
            text::lines(name, NORMAL, f64::from((count as u32 * cell).max(KEY_HEIGHT + 36)), 2)
        };
        let axis_names = [axis(&self.axis_names.0, rows), axis(&self.axis_names.1, columns)];
        let [beside, below] = axis_names.each_ref().map(|lines| (lines.len() as f64 * NORMAL * LINE) as u32);
        let (left, bottom) = (beside + longest(&row_names) + 14, names + below + 14);
        Layout { cell, has_numbers, turned, left, names, bottom, row_names, column_names, axis_names, below }
    }

    /// One of this many names is written if there is no space for all.
    fn every(cell: u32) -> usize {
        NAME.div_ceil(cell) as usize
    }
}

impl Chart for Heatmap {
    fn kind(&self) -> &'static str {
        "heatmap"
    }

    fn points(&self) -> usize {
        self.counts.len()
    }

    fn prefers_svg(&self) -> bool {
        self.points() <= 10_000
    }

    fn size(&self) -> (u32, u32) {
        let Layout { cell, left, bottom, .. } = self.layout();
        let (rows, columns) = self.counts.dim();
        let (width, height) = (columns as u32 * cell, rows as u32 * cell);
        (left + width.max(KEY_HEIGHT + 36) + KEY, TOP + height.max(KEY_HEIGHT + 36) + bottom)
    }

    fn draw(&self, canvas: &Canvas<'_>) {
        let layout = self.layout();
        let Layout { cell, has_numbers, turned, left, names, below, .. } = layout;
        let (rows, columns) = self.counts.dim();
        let (width, height) = (columns as u32 * cell, rows as u32 * cell);
        let middle = |index: usize| px(index as u32 * cell) + px(cell) / 2;
        let corner = |row: usize, column: usize| (px(left + column as u32 * cell), px(TOP + row as u32 * cell));
        for (row, counts) in self.counts.outer_iter().enumerate() {
            let total = counts.iter().map(|count| *count as f64).sum::<f64>().max(1.0);
            for (column, &count) in counts.iter().enumerate() {
                let share = count as f64 / total;
                if count == 0 && !has_numbers {
                    continue;
                }
                let (x, y) = corner(row, column);
                canvas.rectangle([(x, y), (x + px(cell), y + px(cell))], Paint::share(share));
                if count > 0 && has_numbers {
                    let ink = if share > 0.5 { PAPER } else { INK };
                    let style = text::style(SMALL, HPos::Center, VPos::Center);
                    let middle = (x + px(cell) / 2, y + px(cell) / 2);
                    text::draw_in(canvas, &count.to_string(), &style, ink, middle);
                }
            }
        }
        let line = stroke(INK.mix(0.25), 1.0);
        let (right, bottom) = (px(left + width), px(TOP + height));
        let lines = if has_numbers { 1 } else { 10 };
        for row in (0..=rows).filter(|row| row % lines == 0 || *row == rows) {
            let y = px(TOP + row as u32 * cell);
            canvas.path(&[(px(left), y), (right, y)], line);
        }
        for column in (0..=columns).filter(|column| column % lines == 0 || *column == columns) {
            let x = px(left + column as u32 * cell);
            canvas.path(&[(x, px(TOP)), (x, bottom)], line);
        }
        for (row, name) in layout.row_names.iter().enumerate().step_by(Self::every(cell)) {
            let style = text::style(SMALL, HPos::Right, VPos::Center);
            text::draw(canvas, name, &style, (px(left) - px(6), px(TOP) + middle(row)));
        }
        for (column, name) in layout.column_names.iter().enumerate().step_by(Self::every(cell)) {
            let (x, y) = (px(left) + middle(column), bottom + px(6));
            if turned {
                let style = text::style(SMALL, HPos::Right, VPos::Center);
                text::draw(canvas, name, &style.transform(FontTransform::Rotate270), (x, y));
            } else {
                text::draw(canvas, name, &text::style(SMALL, HPos::Center, VPos::Top), (x, y));
            }
        }
        let [beside_rows, below_columns] = &layout.axis_names;
        let style = text::style(NORMAL, HPos::Center, VPos::Center);
        let y = bottom + px(names) + px(6) + px(below) / 2 + px(2);
        text::draw_lines(canvas, below_columns, &style, (px(left) + px(width) / 2, y));
        let x = px(beside_rows.len() as f64 * NORMAL * LINE) / 2 + px(2);
        let style = style.transform(FontTransform::Rotate270);
        text::draw_lines(canvas, beside_rows, &style, (x, px(TOP) + px(height) / 2));
        draw_key(canvas, right + px(18));
    }
}

/// A colour bar from dark to white.
fn draw_key(canvas: &Canvas<'_>, left: i32) {
    let (top, height, width) = (px(TOP) + px(28), px(KEY_HEIGHT), px(14));
    for y in (0..height).step_by(4) {
        let share = 1.0 - f64::from(y) / f64::from(height);
        canvas.rectangle([(left, top + y), (left + width, top + y + 4)], Paint::share(share));
    }
    canvas.rectangle([(left, top), (left + width, top + height)], stroke(INK.mix(0.25), 0.5));
    let style = text::style(SMALL, HPos::Left, VPos::Center);
    text::draw(canvas, "of the row", &style, (left, px(TOP) + px(5)));
    for (share, text) in [(0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %")] {
        let y = top + (f64::from(height) * (1.0 - share)) as i32;
        text::draw(canvas, text, &style, (left + width + px(5), y));
    }
}

/// Lengths in pixels.
struct Layout {
    cell: u32,
    has_numbers: bool,
    turned: bool,
    left: u32,
    /// The height of the columns' names.
    names: u32,
    /// The height of the name below them.
    below: u32,
    bottom: u32,
    /// All names as they are drawn.
    row_names: Vec<String>,
    column_names: Vec<String>,
    axis_names: [Vec<String>; 2],
}

/// The most rows and columns, and the most that have numbers in their cells.
const MOST: usize = 500;
const NUMBERED: usize = 30;
/// The height of a name's line.
const NAME: u32 = 15;
/// The width of a long name.
const WIDEST: f64 = 170.0;
const TOP: u32 = 12;
/// The width of the key at the right.
const KEY: u32 = 96;
const KEY_HEIGHT: u32 = 120;
