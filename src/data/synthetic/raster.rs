//! From curves to pixels: anti-aliased strokes and filled outlines.

use std::ops::Range;

use super::shape::Point;

/// Width and height of an image.
pub(super) const SIDE: usize = 28;
/// Pixels of an image.
pub(super) const PIXELS: usize = SIDE * SIDE;

/// How much of each pixel a shape covers, 0 to 1.
pub(super) struct Mask {
    cover: [f32; PIXELS],
    /// All other rows are empty, which saves most of the work on small shapes.
    rows: Range<usize>,
}

impl Mask {
    pub(super) fn empty() -> Self {
        Self { cover: [0.0; PIXELS], rows: 0..0 }
    }

    /// What a closed outline encloses.
    pub(super) fn fill(outline: &[Point]) -> Self {
        const LINES: usize = 4; // scan lines to a row of pixels
        // Where an edge crosses a scan line, it adds or takes away everything to the right of it: collect these steps,
        // then sum along each row.
        let mut steps = [0.0; PIXELS + 2];
        let mut mask = Self::empty();
        let mut from = outline[outline.len() - 1];
        for &to in outline {
            let (sign, top, bottom) = if from[1] < to[1] { (1.0, from, to) } else { (-1.0, to, from) };
            let line = |y: f32| ((y * LINES as f32 + 0.5).max(0.0) as usize).min(SIDE * LINES);
            let slope = (bottom[0] - top[0]) / (bottom[1] - top[1]).max(1e-6);
            for scan in line(top[1])..line(bottom[1]) {
                let y = (scan as f32 + 0.5) / LINES as f32;
                let x = (top[0] + slope * (y - top[1])).clamp(0.0, SIDE as f32);
                let cell = scan / LINES * SIDE + x as usize;
                let rest = (x - x as usize as f32) * sign / LINES as f32;
                steps[cell] += sign / LINES as f32 - rest;
                steps[cell + 1] += rest;
            }
            mask.touch(line(top[1]) / LINES..line(bottom[1]).div_ceil(LINES));
            from = to;
        }
        let mut sum = 0.0;
        let cells = mask.cells();
        for (cell, step) in mask.cover[cells.clone()].iter_mut().zip(&steps[cells]) {
            sum += step;
            *cell = f32::abs(sum).min(1.0);
        }
        mask
    }

    /// Adds the trace of a round pen along `path`; its radius goes from `radius[0]` at the start to `radius[1]` at the
    /// end, its edge is `soft` pixels wide.
    pub(super) fn stroke(&mut self, path: &[Point], radius: [f32; 2], soft: f32) {
        let spans = path.len().saturating_sub(1);
        for (i, pair) in path.windows(2).enumerate() {
            let (a, b) = (pair[0], pair[1]);
            let r = radius[0] + (radius[1] - radius[0]) * i as f32 / spans as f32;
            let reach = r + soft / 2.0;
            let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
            let per_length = 1.0 / (dx * dx + dy * dy).max(1e-9);
            let columns = touched(a[0], b[0], reach);
            let rows = touched(a[1], b[1], reach);
            self.touch(rows.clone());
            for y in rows {
                let row = &mut self.cover[y * SIDE..][..SIDE];
                let py = y as f32 + 0.5 - a[1];
                for (x, cell) in columns.clone().zip(&mut row[columns.clone()]) {
                    let px = x as f32 + 0.5 - a[0];
                    let along = ((px * dx + py * dy) * per_length).clamp(0.0, 1.0);
                    let (ex, ey) = (px - along * dx, py - along * dy);
                    let cover = ((reach - (ex * ex + ey * ey).sqrt()) / soft).min(1.0);
                    *cell = cell.max(cover);
                }
            }
        }
    }

    /// What either of the two covers.
    pub(super) fn join(mut self, other: &Self) -> Self {
        self.touch(other.rows.clone());
        for (cell, &more) in self.cover[other.cells()].iter_mut().zip(&other.cover[other.cells()]) {
            *cell = cell.max(more);
        }
        self
    }

    /// Keeps only what `other` covers as well.
    pub(super) fn within(mut self, other: &Self) -> Self {
        let cells = self.cells();
        for (cell, &limit) in self.cover[cells.clone()].iter_mut().zip(&other.cover[cells]) {
            *cell *= limit;
        }
        self
    }

    /// The pixels that may be covered, as indices in the image.
    pub(super) fn cells(&self) -> Range<usize> {
        self.rows.start * SIDE..self.rows.end * SIDE
    }

    /// How much of each of these pixels is covered.
    pub(super) fn cover(&self) -> &[f32] {
        &self.cover[self.cells()]
    }

    fn touch(&mut self, rows: Range<usize>) {
        if self.rows.is_empty() {
            self.rows = rows;
        } else if !rows.is_empty() {
            self.rows = self.rows.start.min(rows.start)..self.rows.end.max(rows.end);
        }
    }
}

/// The pixels of a row or column within `reach` of the interval from `a` to `b`.
fn touched(a: f32, b: f32, reach: f32) -> Range<usize> {
    let from = (a.min(b) - reach).max(0.0) as usize;
    let to = (a.max(b) + reach + 1.0).max(0.0) as usize;
    from.min(SIDE)..to.min(SIDE)
}
