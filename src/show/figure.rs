//! A drawing that can be shown, saved as SVG or PNG, and put beside others.

use std::{cell::RefCell, collections::HashSet, ops::RangeInclusive, path::Path, sync::Arc};

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters_svg::SVGBackend;

use super::bitmap::Bitmap;
use super::canvas::{Canvas, DETAIL, Shape, Sprite, px};
use super::chart::Chart;
use super::png::{Compression, Pixels, data_url};
use super::text::{self, HPos, VPos};
use super::theme::Theme;
use crate::error::{Error, ErrorKind, Result, visible};
use crate::format::shortened;

/// A drawing: a chart, images, or several of them side by side.
///
/// As the last expression of a notebook cell it is shown: lines and a few points as SVG, images and many points as PNG.
///
/// ```
/// use latentlab::LineChart;
///
/// let figure = LineChart::new("epoch", "MSE").line("training", &[0.09, 0.07, 0.06]).figure()?.title("Loss");
/// assert!(figure.to_svg()?.contains("training"));
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone)]
pub struct Figure {
    content: Content,
    title: Option<String>,
    /// How many figures it consists of, and how deep they are nested.
    figures: usize,
    depth: usize,
    theme: Option<Theme>,
    density: usize,
}

#[derive(Clone)]
enum Content {
    Chart(Arc<dyn Chart>),
    Grid {
        columns: usize,
        figures: Vec<Figure>,
    },
    /// Instead of a grid that is too large to be measured.
    Refused(Error),
}

/// Figures side by side.
pub fn row(figures: impl IntoIterator<Item = Figure>) -> Figure {
    let figures: Vec<Figure> = figures.into_iter().collect();
    grid_of(figures.len(), figures)
}

/// Figures in rows of `columns` (at least 1), filled row by row. At most a thousand can be drawn.
pub fn grid(columns: usize, figures: impl IntoIterator<Item = Figure>) -> Figure {
    grid_of(columns, figures.into_iter().collect())
}

fn grid_of(columns: usize, figures: Vec<Figure>) -> Figure {
    let count = figures.iter().fold(0_usize, |count, figure| count.saturating_add(figure.figures));
    let depth = 1 + figures.iter().map(|figure| figure.depth).max().unwrap_or(0);
    let refused = |expected: String, got: usize| {
        let error = Error::argument("grid of figures", expected, got);
        Content::Refused(error.hint("Show fewer things at once"))
    };
    let content = if count > MOST_FIGURES {
        refused(format!("at most {MOST_FIGURES} figures"), count)
    } else if depth > DEEPEST {
        refused(format!("rows and grids at most {DEEPEST} deep in each other"), depth)
    } else {
        Content::Grid { columns, figures }
    };
    let depth = if matches!(content, Content::Refused(_)) { 1 } else { depth };
    Figure { figures: count.max(1), depth, ..Figure::of(content) }
}

impl Figure {
    /// A chart whose settings have been checked.
    pub(super) fn new(chart: impl Chart + 'static) -> Self {
        Self::of(Content::Chart(Arc::new(chart)))
    }

    fn of(content: Content) -> Self {
        Self { content, title: None, figures: 1, depth: 0, theme: None, density: DENSITY }
    }

    /// Puts a title above it, in place of the one it had.
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Draws it light or dark, whatever [`set_theme`](crate::set_theme) says. In a row or a grid, only the theme of the
    /// whole counts.
    pub fn theme(self, theme: Theme) -> Self {
        Self { theme: Some(theme), ..self }
    }

    /// How many pixels a PNG has for each pixel of the figure, across and down: 1 to 4, default 2, so that it is sharp
    /// on screens of twice the usual 96 pixels per inch. It is shown at the same size: the file and the notebook state
    /// it. In a row or a grid, only the density of the whole counts.
    ///
    /// ```
    /// use latentlab::LineChart;
    ///
    /// let figure = LineChart::new("epoch", "MSE").line("training", &[0.09, 0.07, 0.06]).figure()?;
    /// figure.density(3).save(std::env::temp_dir().join("for_print.png"))?; // 288 pixels per inch
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn density(self, density: usize) -> Self {
        Self { density, ..self }
    }

    /// Writes it to a file ending in `.svg` or `.png`: all of it, or nothing.
    ///
    /// # Errors
    /// If the file has another extension or cannot be written, or the figure cannot be drawn.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_to(path.as_ref())
    }

    fn save_to(&self, path: &Path) -> Result<()> {
        let extension = path.extension().and_then(|end| end.to_str()).unwrap_or_default().to_ascii_lowercase();
        let bytes = match extension.as_str() {
            "svg" => self.to_svg()?.into_bytes(),
            "png" => self.to_png()?,
            other => {
                let got = if other.is_empty() { "none".into() } else { format!(".{other}") };
                let place = path.display().to_string();
                return Err(Error::argument(place, "the file extension .svg or .png", got));
            }
        };
        crate::file::write_whole(path, &bytes)
    }

    /// The figure as an SVG document. Images in it are embedded.
    ///
    /// # Errors
    /// If there are no figures in a [`grid`], or more than can be drawn (ten million pixels).
    pub fn to_svg(&self) -> Result<String> {
        let measured = self.measured()?;
        crate::limit::check("figure, as SVG", "its text", &[self.points(), TEXT_OF_A_POINT])?;
        let (width, height) = measured.size;
        let canvas = (width * DETAIL, height * DETAIL);
        let shapes = self.shapes(&measured);
        let mut svg = String::new();
        draw(&shapes, self.in_theme(), SVGBackend::with_string(&mut svg, canvas))?;
        let mut svg = svg.replacen(
            &format!("width=\"{}\" height=\"{}\"", canvas.0, canvas.1),
            &format!("width=\"{width}\" height=\"{height}\""),
            1,
        );
        svg.truncate(svg.rfind("</svg>").unwrap_or(svg.len()));
        for image in sprites(&shapes) {
            let png = Pixels { width: image.width, height: image.height(), rgb: image.rows.as_flattened() }.png()?;
            svg += &format!(
                "<image x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" style=\"image-rendering: pixelated\" \
                 href=\"{}\"/>\n",
                image.x * DETAIL,
                image.y * DETAIL,
                image.width * image.scale * DETAIL,
                image.height() * image.scale * DETAIL,
                data_url(&png),
            );
        }
        Ok(svg + "</svg>\n")
    }

    /// The figure as a PNG file's bytes, of [so many](Self::density) pixels per inch. It has a palette of 256 colours,
    /// which is a third of the size; only images in colour that need more have all of theirs.
    ///
    /// # Errors
    /// As [`to_svg`](Self::to_svg), and if the density is out of its range or makes it more than forty million pixels.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        self.compressed(Compression::High)
    }

    /// As [`to_png`](Self::to_png), compressed in two fifths of the time and some 5 % larger: for a figure that moves.
    pub(crate) fn to_png_in_haste(&self) -> Result<Vec<u8>> {
        self.compressed(Compression::Balanced)
    }

    fn compressed(&self, compression: Compression) -> Result<Vec<u8>> {
        let (width, height, pixels, exact) = self.to_pixels()?;
        Pixels { width, height, rgb: &pixels }.drawing(&exact, self.density as u32, compression)
    }

    fn to_pixels(&self) -> Result<Painted> {
        let measured = self.measured()?;
        if !DENSITIES.contains(&self.density) {
            return Err(Error::argument("figure, density", "1 to 4 pixels for one of the figure", self.density));
        }
        let (density, (width, height)) = (self.density as u32, measured.size);
        if u64::from(width * density) * u64::from(height * density) > MOST_PIXELS * (DENSITY * DENSITY) as u64 {
            let got = format!("{width} × {height} at a density of {density}");
            let error = Error::expected(ErrorKind::Figure, "figure", "at most forty million pixels", got);
            return Err(error.hint("A lower density takes fewer"));
        }
        let shapes = self.shapes(&measured);
        // What has a pixel for each of the figure is averaged from finer ones: the canvas has twice as many.
        let fine = density.max(DETAIL);
        let mut pixels = vec![0; (width * fine * height * fine * 3) as usize];
        let canvas = (width * DETAIL, height * DETAIL);
        draw(&shapes, self.in_theme(), Bitmap::new(&mut pixels, canvas, f64::from(fine) / f64::from(DETAIL))?)?;
        if density < fine {
            pixels = averaged(&pixels, width as usize);
        }
        sprites(&shapes).for_each(|image| paint(image, &mut pixels, (width * density) as usize, density as usize));
        let exact = sprites(&shapes).flat_map(|image| &image.rows).copied().collect();
        Ok((width * density, height * density, pixels, exact))
    }

    fn in_theme(&self) -> Theme {
        self.theme.unwrap_or_else(Theme::current)
    }

    /// Whether it is better shown as SVG than as PNG.
    pub(crate) fn prefers_svg(&self) -> bool {
        match &self.content {
            Content::Chart(chart) => chart.prefers_svg(),
            Content::Grid { figures, .. } => figures.iter().all(Figure::prefers_svg),
            Content::Refused(_) => true,
        }
    }

    /// How many points there are to draw.
    fn points(&self) -> usize {
        match &self.content {
            Content::Chart(chart) => chart.points(),
            Content::Grid { figures, .. } => figures.iter().map(Figure::points).fold(0, usize::saturating_add),
            Content::Refused(_) => 0,
        }
    }

    /// All that there is to draw, in order.
    fn shapes(&self, measured: &Measured) -> Vec<Shape> {
        let shapes = RefCell::default();
        self.draw(&Canvas::new(&shapes, measured.size), measured);
        shapes.into_inner()
    }

    fn draw(&self, canvas: &Canvas<'_>, measured: &Measured) {
        let Measured { size: (width, height), inner, title, top, widths, heights, parts } = measured;
        if !title.is_empty() {
            let style = text::style(text::TITLE, HPos::Center, VPos::Center);
            text::draw_lines(canvas, title, &style, (px(*width) / 2, px(*top) / 2 + px(2)));
        }
        let canvas = canvas.part((width - inner.0) / 2, *top, (inner.0, height - top));
        match &self.content {
            Content::Chart(chart) => chart.draw(&canvas),
            Content::Refused(_) => {}
            Content::Grid { columns, figures } => {
                for (index, (figure, measured)) in figures.iter().zip(parts).enumerate() {
                    let (column, row) = (index % columns, index / columns);
                    let left: u32 = widths[..column].iter().map(|width| width + GAP).sum();
                    let top = heights[..row].iter().map(|height| height + GAP).sum();
                    let (width, _) = measured.size;
                    figure.draw(&canvas.part(left + (widths[column] - width) / 2, top, measured.size), measured);
                }
            }
        }
    }

    /// The sizes of all there is, if it can be drawn.
    fn measured(&self) -> Result<Measured> {
        self.check()?;
        let measured = self.measure();
        let (width, height) = measured.size;
        if u64::from(width) * u64::from(height) > MOST_PIXELS {
            let got = format!("{width} × {height}");
            let error = Error::expected(ErrorKind::Figure, "figure", "at most ten million pixels", got);
            return Err(error.hint("Show fewer things at once"));
        }
        Ok(measured)
    }

    /// Its width in pixels; 0 if it cannot be drawn.
    pub(crate) fn width(&self) -> u32 {
        self.measured().map_or(0, |measured| measured.size.0)
    }

    fn measure(&self) -> Measured {
        let mut parts = Vec::new();
        let (mut widths, mut heights) = (Vec::new(), Vec::new());
        let inner = match &self.content {
            Content::Chart(chart) => chart.size(),
            Content::Refused(_) => (1, 1),
            Content::Grid { columns, figures } => {
                parts = figures.iter().map(Figure::measure).collect();
                // Charts beside each other begin at one height, also where a title has more lines than another.
                for row in parts.chunks_mut((*columns).max(1)) {
                    let tallest = row.iter().map(|part| part.top).max().unwrap_or(0);
                    for part in row {
                        part.size.1 = part.size.1.saturating_add(tallest - part.top);
                        part.top = tallest;
                    }
                }
                widths = vec![0; *columns.min(&figures.len())];
                heights = vec![0; figures.len().div_ceil(*columns)];
                for (index, Measured { size: (width, height), .. }) in parts.iter().enumerate() {
                    widths[index % columns] = *width.max(&widths[index % columns]);
                    heights[index / columns] = *height.max(&heights[index / columns]);
                }
                let total = |sides: &[u32]| {
                    let gaps = GAP * (sides.len() as u32).saturating_sub(1);
                    sides.iter().fold(gaps, |total, side| total.saturating_add(*side))
                };
                (total(&widths), total(&heights))
            }
        };
        let title = match &self.title {
            None => Vec::new(),
            Some(title) => text::lines(title, text::TITLE, f64::from(inner.0.max(TITLE_WIDTH)) - 16.0, TITLE_LINES),
        };
        let top = match title.len() {
            0 => 0,
            lines => 34 + ((lines - 1) as f64 * text::TITLE * text::LINE) as u32,
        };
        let width = if title.is_empty() { 0 } else { text::widest(&title, text::TITLE) as u32 + 16 };
        let size = (inner.0.max(width), inner.1.saturating_add(top));
        Measured { size, inner, title, top, widths, heights, parts }
    }

    /// What a grid cannot report when it is made.
    fn check(&self) -> Result<()> {
        let (columns, figures) = match &self.content {
            Content::Grid { columns, figures } => (columns, figures),
            Content::Refused(error) => return Err(error.clone()),
            Content::Chart(_) => return Ok(()),
        };
        if figures.is_empty() {
            return Err(Error::argument("grid of figures", "at least 1 figure", "none"));
        }
        if *columns == 0 {
            return Err(Error::argument("grid of figures", "at least 1 column", 0));
        }
        figures.iter().try_for_each(Figure::check)
    }

    /// What it is, in a line of text.
    pub(crate) fn describe(&self) -> String {
        let kind = match &self.content {
            Content::Chart(chart) => chart.kind().into(),
            Content::Grid { figures, .. } => format!("{} figures", figures.len()),
            Content::Refused(_) => format!("{} figures", self.figures),
        };
        let title = shortened(self.title.as_deref().unwrap_or("without a title"), 200);
        let text = format!("Figure({kind}, {title:?})");
        visible(&text).into_owned()
    }
}

/// How large a figure is, and what it consists of, in pixels.
struct Measured {
    size: (u32, u32),
    /// Without the title.
    inner: (u32, u32),
    /// In lines, and the height of all of them.
    title: Vec<String>,
    top: u32,
    /// Of a grid's columns and rows.
    widths: Vec<u32>,
    heights: Vec<u32>,
    parts: Vec<Measured>,
}

/// Width, height, red, green and blue of each pixel, and the colours of images.
type Painted = (u32, u32, Vec<u8>, HashSet<[u8; 3]>);

/// The space between the figures of a grid.
const GAP: u32 = 16;
/// The pixels of a PNG for one of the figure, unless they are set, and what they may be.
const DENSITY: usize = 2;
const DENSITIES: RangeInclusive<usize> = 1..=4;
/// What a browser and the memory can still take.
const MOST_PIXELS: u64 = 10_000_000;
const MOST_FIGURES: usize = 1_000;
const DEEPEST: usize = 16;
/// What a point takes in an SVG, in units of four bytes.
const TEXT_OF_A_POINT: usize = 25;
/// The width that a title may have even if what is below it is narrower, and its lines at most.
const TITLE_WIDTH: u32 = 560;
const TITLE_LINES: usize = 3;

/// Draws shapes with one of plotters' backends.
fn draw<DB: DrawingBackend>(shapes: &[Shape], theme: Theme, backend: DB) -> Result<()> {
    let area: DrawingArea<DB, Shift> = backend.into_drawing_area();
    area.fill(&theme.paper())
        .and_then(|()| shapes.iter().try_for_each(|shape| shape.draw(&area, theme)))
        .and_then(|()| area.present())
        .map_err(|error| Error::new(ErrorKind::Figure, "figure", format!("cannot be drawn: {error}")))
}

fn sprites(shapes: &[Shape]) -> impl Iterator<Item = &Sprite> {
    shapes.iter().filter_map(|shape| match shape {
        Shape::Image(image) => Some(image),
        _ => None,
    })
}

fn paint(image: &Sprite, pixels: &mut [u8], page_width: usize, density: usize) {
    let (scale, width) = (density * image.scale as usize, image.width as usize);
    for y in 0..image.height() as usize * scale {
        for x in 0..width * scale {
            let at = 3 * ((density * image.y as usize + y) * page_width + density * image.x as usize + x);
            pixels[at..at + 3].copy_from_slice(&image.rows[y / scale * width + x / scale]);
        }
    }
}

/// A fine canvas made as coarse as the page: each pixel is the mean of the `DETAIL` × `DETAIL` below it.
fn averaged(fine: &[u8], width: usize) -> Vec<u8> {
    let detail = DETAIL as usize;
    let stride = width * detail * 3;
    let mut pixels = Vec::with_capacity(fine.len() / (detail * detail));
    for rows in fine.chunks_exact(stride * detail) {
        for x in 0..width {
            for channel in 0..3 {
                let at = |dx, dy| usize::from(rows[dy * stride + (x * detail + dx) * 3 + channel]);
                let sum: usize = (0..detail).flat_map(|dy| (0..detail).map(move |dx| at(dx, dy))).sum();
                pixels.push(((sum + detail * detail / 2) / (detail * detail)) as u8);
            }
        }
    }
    pixels
}

#[cfg(test)]
mod hostile;

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2, Array4};

    use super::*;
    use crate::show::{ImageGrid, LineChart, Scatter};

    #[test]
    fn lines_and_few_points_are_shown_as_svg_the_rest_as_png() {
        let chart = || LineChart::new("epoch", "MSE").line("training", &[3.0, 2.0]).figure().unwrap();
        let images = || ImageGrid::new(&Array4::zeros((1, 1, 28, 28)), 1).figure().unwrap();
        let points =
            |count| -> Figure { Scatter::new(&Array2::zeros((count, 2)), &Array1::zeros(count)).figure().unwrap() };
        assert!(chart().prefers_svg() && points(1_000).prefers_svg() && row([chart(), chart()]).prefers_svg());
        assert!(!points(1_001).prefers_svg() && !images().prefers_svg() && !row([chart(), images()]).prefers_svg());
    }
}
