//! plotters' bitmap with strokes and text of our own: its thick lines grow spikes where a curve turns sharply, and its text
//! drops the space before each letter.

use ab_glyph::{Font, FontRef, ScaleFont};
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind};
use plotters_bitmap::{BitMapBackend, BitMapBackendError};

use super::text::{FONT, PLOTTERS_SIZE};
use crate::error::{Error, ErrorKind, Result};

pub(super) struct Bitmap<'a> {
    bitmap: BitMapBackend<'a>,
    font: FontRef<'static>,
}

type Drawn = Result<(), DrawingErrorKind<BitMapBackendError>>;

impl<'a> Bitmap<'a> {
    /// Draws into RGB bytes, row by row: 3 × width × height of them.
    pub(super) fn new(pixels: &'a mut [u8], size: (u32, u32)) -> Result<Self> {
        let wrong = |what: &str| Error::new(ErrorKind::Figure, "figure", format!("cannot be drawn: {what}"));
        Ok(Self {
            bitmap: BitMapBackend::with_buffer_and_format(pixels, size).map_err(|error| wrong(&error.to_string()))?,
            font: FontRef::try_from_slice(FONT).map_err(|error| wrong(&error.to_string()))?,
        })
    }

    fn blend(&mut self, at: BackendCoord, color: BackendColor, coverage: f64) -> Drawn {
        let (width, height) = self.get_size();
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
        self.bitmap.get_size()
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
        self.bitmap.draw_rect(from, to, style, fill)
    }

    /// A stroke with round joins: each pixel is covered by how near the path's nearest segment is.
    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(&mut self, path: I, style: &S) -> Drawn {
        let points: Vec<(f64, f64)> = path.into_iter().map(|(x, y)| (f64::from(x), f64::from(y))).collect();
        let reach = f64::from(style.stroke_width()) / 2.0;
        let bounds = |values: &dyn Fn(&(f64, f64)) -> f64, largest: u32| {
            let (low, high) = points.iter().map(values).fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(v), h.max(v)));
            let limit = |value: f64| value.clamp(0.0, f64::from(largest)) as usize;
            limit((low - reach - 1.0).floor())..limit((high + reach + 2.0).ceil())
        };
        let (width, height) = self.get_size();
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

    /// The text where plotters' SVG has it: the same anchors, the same size.
    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, (x, y): BackendCoord) -> Drawn {
        let em = (style.size() / PLOTTERS_SIZE) as f32;
        let font = self.font.clone();
        let font = font.as_scaled(em * font.height_unscaled() / font.units_per_em().unwrap_or(2048.0));
        let mut glyphs = Vec::new();
        let mut width = 0.0;
        for character in text.chars() {
            let mut glyph = font.scaled_glyph(character);
            width += glyphs.last().map_or(0.0, |last: &ab_glyph::Glyph| font.kern(last.id, glyph.id));
            glyph.position.x = width;
            width += font.h_advance(glyph.id);
            glyphs.push(glyph);
        }
        let left = match style.anchor().h_pos {
            HPos::Left => 0.0,
            HPos::Center => -width / 2.0,
            HPos::Right => -width,
        };
        let baseline = match style.anchor().v_pos {
            VPos::Top => 0.76 * em,
            VPos::Center => 0.27 * em,
            VPos::Bottom => -0.27 * em,
        };
        for mut glyph in glyphs {
            glyph.position.x += left;
            glyph.position.y = baseline;
            let Some(outline) = font.outline_glyph(glyph) else { continue };
            let corner = outline.px_bounds().min;
            let mut pixels = Vec::new();
            outline.draw(|dx, dy, coverage| {
                pixels.push((corner.x as i32 + dx as i32, corner.y as i32 + dy as i32, coverage))
            });
            for (dx, dy, coverage) in pixels {
                let (dx, dy) = style.transform().transform(dx, dy);
                self.blend((x + dx, y + dy), style.color(), f64::from(coverage))?;
            }
        }
        Ok(())
    }
}
