//! From curves to pixels: anti-aliased strokes and filled outlines.

use super::shape::Point;

/// Width and height of an image.
pub(super) const SIDE: usize = 28;
/// Pixels of an image.
pub(super) const PIXELS: usize = SIDE * SIDE;

/// How much of each pixel a shape covers, 0 to 1.
pub(super) struct Mask(pub(super) [f32; PIXELS]);

impl Mask {
    pub(super) fn empty() -> Self {
        Self([0.0; PIXELS])
    }

    /// What a closed outline encloses.
    pub(super) fn fill(outline: &[Point]) -> Self {
        const ROWS: usize = 4; // scan lines to a row of pixels
        // Each scan line's crossing adds or takes away everything to its right, up to the running sum below.
        let mut steps = [0.0; PIXELS + 2];
        for (i, &to) in outline.iter().enumerate() {
            let from = outline[(i + outline.len() - 1) % outline.len()];
            let (sign, top, bottom) = if from[1] < to[1] { (1.0, from, to) } else { (-1.0, to, from) };
            let line = |y: f32| (y * ROWS as f32 + 0.5).clamp(0.0, (SIDE * ROWS) as f32) as usize;
            let slope = (bottom[0] - top[0]) / (bottom[1] - top[1]).max(1e-6);
            for scan in line(top[1])..line(bottom[1]) {
                let y = (scan as f32 + 0.5) / ROWS as f32;
                let x = (top[0] + slope * (y - top[1])).clamp(0.0, SIDE as f32);
                let cell = scan / ROWS * SIDE + x as usize;
                let part = (x - x.floor()) * sign / ROWS as f32;
                steps[cell] += sign / ROWS as f32 - part;
                steps[cell + 1] += part;
            }
        }
        let mut sum = 0.0;
        Self(std::array::from_fn(|i| {
            sum += steps[i];
            sum.abs().min(1.0)
        }))
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
            for y in cells(a[1].min(b[1]) - reach, a[1].max(b[1]) + reach) {
                for x in cells(a[0].min(b[0]) - reach, a[0].max(b[0]) + reach) {
                    let (px, py) = (x as f32 + 0.5 - a[0], y as f32 + 0.5 - a[1]);
                    let along = ((px * dx + py * dy) * per_length).clamp(0.0, 1.0);
                    let (ex, ey) = (px - along * dx, py - along * dy);
                    let cover = ((reach - (ex * ex + ey * ey).sqrt()) / soft).min(1.0);
                    let cell = &mut self.0[y * SIDE + x];
                    *cell = cell.max(cover);
                }
            }
        }
    }

    /// Keeps only what `other` covers as well.
    pub(super) fn within(mut self, other: &Self) -> Self {
        for (cell, &limit) in self.0.iter_mut().zip(&other.0) {
            *cell *= limit;
        }
        self
    }
}

/// The pixels of a row or column that the interval touches.
fn cells(from: f32, to: f32) -> std::ops::Range<usize> {
    from.max(0.0) as usize..(to.ceil().max(0.0) as usize).min(SIDE)
}
