//! plotters' bitmap with strokes, areas and text of our own: its thick lines grow spikes where a curve turns sharply,
//! its circles and polygons have jagged edges, and its text drops the space before each letter.

use ab_glyph::{Glyph, GlyphId, OutlinedGlyph, PxScaleFactor, point};
use plotters_backend::text_anchor::HPos;
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind};
use plotters_bitmap::{BitMapBackend, BitMapBackendError};

use super::font::{self, Ink};
use super::text::{PLOTTERS_SIZE, baseline};
use crate::error::{Error, ErrorKind, Result};

pub(super) struct Bitmap<'a> {
    bitmap: BitMapBackend<'a>,
    /// In units of the canvas, which have `scale` pixels each.
    size: (u32, u32),
    scale: f64,
}

/// The rows of a pixel on which an area's edges are looked for.
const PARTS: usize = 4;

type Drawn = Result<(), DrawingErrorKind<BitMapBackendError>>;

impl<'a> Bitmap<'a> {
    /// Draws a canvas of that size into RGB bytes, row by row: `scale` × `scale` pixels for each unit of the canvas.
    pub(super) fn new(pixels: &'a mut [u8], size: (u32, u32), scale: f64) -> Result<Self> {
        let wrong = |what: &str| Error::new(ErrorKind::Figure, "figure", format!("cannot be drawn: {what}"));
        let side = |length: u32| (f64::from(length) * scale).round() as u32;
        let bitmap = BitMapBackend::with_buffer_and_format(pixels, (side(size.0), side(size.1)));
        Ok(Self { bitmap: bitmap.map_err(|error| wrong(&error.to_string()))?, size, scale })
    }

    /// A place of the canvas in pixels.
    fn scaled(&self, (x, y): BackendCoord) -> (f64, f64) {
        (f64::from(x) * self.scale, f64::from(y) * self.scale)
    }

    fn blend(&mut self, at: BackendCoord, color: BackendColor, coverage: f64) -> Drawn {
        let (width, height) = self.bitmap.get_size();
        let inside = (0..width as i32).contains(&at.0) && (0..height as i32).contains(&at.1);
        if inside && coverage > 0.0 {
            self.draw_pixel(at, BackendColor { alpha: color.alpha * coverage.min(1.0), ..color })
        } else {
            Ok(())
        }
    }
}

impl DrawingBackend for Bitmap<'_> {
    type ErrorType = BitMapBackendError;

    fn get_size(&self) -> (u32, u32) {
        self.size
    }

    fn ensure_prepared(&mut self) -> Drawn {
        self.bitmap.ensure_prepared()
    }

    fn present(&mut self) -> Drawn {
        self.bitmap.present()
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Drawn {
        self.bitmap.draw_pixel(point, color)
    }

    fn draw_rect<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S, fill: bool) -> Drawn {
        if !fill {
            return self.draw_path([from, (to.0, from.1), to, (from.0, to.1), from], style);
        }
        let [from, to] =
            [from, to].map(|corner| self.scaled(corner)).map(|(x, y)| (x.round() as i32, y.round() as i32));
        self.bitmap.draw_rect(from, to, style, true)
    }

    /// A filled circle; figures have no others.
    fn draw_circle<S: BackendStyle>(&mut self, center: BackendCoord, radius: u32, style: &S, _: bool) -> Drawn {
        let ((x, y), radius) = (self.scaled(center), f64::from(radius) * self.scale);
        let around = |middle: f64| (middle - radius - 1.0).floor() as i32..=(middle + radius + 1.0).ceil() as i32;
        for row in around(y) {
            for column in around(x) {
                let distance = (f64::from(column) - x).hypot(f64::from(row) - y);
                self.blend((column, row), style.color(), radius + 0.5 - distance)?;
            }
        }
        Ok(())
    }

    /// A polygon, also one that crosses itself: each pixel is covered by its share between the edges, on a few lines
    /// through it.
    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, corners: I, style: &S) -> Drawn {
        let corners: Vec<(f64, f64)> = corners.into_iter().map(|corner| self.scaled(corner)).collect();
        if corners.len() < 3 {
            return Ok(());
        }
        let (width, height) = self.bitmap.get_size();
        let (top, bottom) = super::axis::range(corners.iter().map(|(_, y)| y.clamp(0.0, f64::from(height))));
        let (top, parts) = (top.floor(), PARTS as f64);
        // Line `n` is at y = top + (n + 0.5) / PARTS - 0.5: pixels have their middle at whole numbers.
        let mut crossings: Vec<Vec<f64>> = vec![Vec::new(); ((bottom - top).ceil() as usize + 1) * PARTS];
        let most = crossings.len();
        let line = |y: f64| (((y - top + 0.5) * parts - 0.5).ceil().max(0.0) as usize).min(most);
        let next = corners.iter().cycle().skip(1);
        for (&(x0, y0), &(x1, y1)) in corners.iter().zip(next) {
            let (first, end) = (line(y0.min(y1)), line(y0.max(y1)));
            for (n, crossings) in crossings.iter_mut().enumerate().take(end).skip(first) {
                let y = top + (n as f64 + 0.5) / parts - 0.5;
                crossings.push(x0 + (y - y0) / (y1 - y0) * (x1 - x0));
            }
        }
        let mut coverage = vec![0.0_f64; width as usize];
        for (row, lines) in (top as i32..).zip(crossings.chunks_mut(PARTS)) {
            let (mut first, mut last) = (usize::MAX, 0);
            for line in lines {
                line.sort_by(f64::total_cmp);
                for ends in line.chunks_exact(2) {
                    let [from, to] = [ends[0], ends[1]].map(|x| (x + 0.5).clamp(0.0, f64::from(width)));
                    for (x, covered) in coverage.iter_mut().enumerate().take(to.ceil() as usize).skip(from as usize) {
                        let inside = to.min(x as f64 + 1.0) - from.max(x as f64);
                        *covered += inside.max(0.0) / parts;
                        (first, last) = (first.min(x), last.max(x + 1));
                    }
                }
            }
            for (x, covered) in coverage.iter_mut().enumerate().take(last).skip(first) {
                self.blend((x as i32, row), style.color(), std::mem::take(covered))?;
            }
        }
        Ok(())
    }

    /// A stroke with round joins: each pixel is covered by how near the path's nearest segment is.
    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        let points: Vec<(f64, f64)> = path.into_iter().map(|point| self.scaled(point)).collect();
        let reach = f64::from(style.stroke_width()) * self.scale / 2.0;
        let bounds = |values: &dyn Fn(&(f64, f64)) -> f64, largest: u32| {
            let (low, high) = points.iter().map(values).fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
            let limit = |value: f64| value.clamp(0.0, f64::from(largest)) as usize;
            limit((low - reach - 1.0).floor())..limit((high + reach + 2.0).ceil())
        };
        let (width, height) = self.bitmap.get_size();
        let (columns, rows) = (bounds(&|p| p.0, width), bounds(&|p| p.1, height));
        let mut coverage = vec![0f32; columns.len() * rows.len()];
        for ends in points.windows(2) {
            let ((x0, y0), (x1, y1)) = (ends[0], ends[1]);
            let (dx, dy) = (x1 - x0, y1 - y0);
            let square = (dx * dx + dy * dy).max(f64::MIN_POSITIVE);
            let near = |a: f64, b: f64, all: &std::ops::Range<usize>| {
                let low = (a.min(b) - reach - 1.0).max(all.start as f64) as usize;
                low..((a.max(b) + reach + 2.0).max(0.0) as usize).min(all.end)
            };
            for y in near(y0, y1, &rows) {
                for x in near(x0, x1, &columns) {
                    let (px, py) = (x as f64 - x0, y as f64 - y0);
                    let along = ((px * dx + py * dy) / square).clamp(0.0, 1.0);
                    let distance = (px - along * dx).hypot(py - along * dy);
                    let covered = &mut coverage[(y - rows.start) * columns.len() + x - columns.start];
                    *covered = covered.max((reach + 0.5 - distance) as f32);
                }
            }
        }
        for (index, covered) in coverage.into_iter().enumerate().filter(|(_, covered)| *covered > 0.0) {
            let at = (columns.start + index % columns.len(), rows.start + index / columns.len());
            self.blend((at.0 as i32, at.1 as i32), style.color(), f64::from(covered))?;
        }
        Ok(())
    }

    /// Text at the same anchors and of the same size as in plotters' SVG.
    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: BackendCoord) -> Drawn {
        let (x, y) = self.scaled(at);
        let (x, y) = (x.round() as i32, y.round() as i32);
        let em = (style.size() / PLOTTERS_SIZE * self.scale) as f32;
        let pieces = font::pieces(text);
        let width = pieces.last().map_or(0.0, |last| (last.x + last.width) * em);
        let left = match style.anchor().h_pos {
            HPos::Left => 0.0,
            HPos::Center => -width / 2.0,
            HPos::Right => -width,
        };
        let baseline = baseline(style.anchor().v_pos) as f32 * em;
        for piece in pieces {
            let position = point(left + piece.x * em, baseline);
            let mut pixels = Vec::new();
            match piece.ink {
                Ink::Outline(outline, unit) => {
                    let scale = PxScaleFactor { horizontal: unit * em, vertical: unit * em };
                    let glyph = Glyph { id: GlyphId(0), scale: em.into(), position };
                    let outline = OutlinedGlyph::new(glyph, outline, scale);
                    let corner = outline.px_bounds().min;
                    outline.draw(|dx, dy, coverage| {
                        pixels.push((corner.x as i32 + dx as i32, corner.y as i32 + dy as i32, coverage))
                    });
                }
                Ink::Box => {
                    let from = ((position.x + 0.08 * em) as i32, (baseline - 0.7 * em) as i32);
                    let to = ((position.x + (piece.width - 0.08) * em) as i32, baseline as i32);
                    let edge = ((0.07 * em) as i32).max(1);
                    for (y, x) in (from.1..to.1).flat_map(|y| (from.0..to.0).map(move |x| (y, x))) {
                        if (x - from.0).min(to.0 - 1 - x).min(y - from.1).min(to.1 - 1 - y) < edge {
                            pixels.push((x, y, 1.0));
                        }
                    }
                }
                Ink::None => {}
            }
            for (dx, dy, coverage) in pixels {
                let (dx, dy) = style.transform().transform(dx, dy);
                self.blend((x + dx, y + dy), style.color(), f64::from(coverage))?;
            }
        }
        Ok(())
    }
}
