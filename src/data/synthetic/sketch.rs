//! How a garment is drawn: filled outlines, lines on the cloth, patterns, folds.

use super::raster::{Mask, PIXELS, SIDE};
use super::rng::Rng;
use super::shape::{Field, Point, Warp, curve};

/// A garment being drawn: later shapes cover earlier ones.
pub(super) struct Sketch<'a> {
    pub(super) rng: &'a mut Rng,
    pub(super) image: [f32; PIXELS],
    warp: Warp,
    /// Folds and grain of the cloth: what a grey is multiplied with at each pixel.
    light: [f32; PIXELS],
    /// The cloth's grey.
    pub(super) cloth: f32,
}

impl<'a> Sketch<'a> {
    pub(super) fn new(rng: &'a mut Rng) -> Self {
        let turn = rng.about(0.03);
        let slant = rng.about(0.03);
        let size = rng.between(0.96, 1.05);
        let scale = [size * rng.between(0.9, 1.05), size];
        let shift = [rng.about(0.35), rng.about(0.5)];
        let warp = Warp::new(rng, turn, slant, scale, shift, 0.75);
        let grain = rng.between(0.01, 0.06);
        let folds = Field::new(rng, 0.12);
        let across: [f32; SIDE] = std::array::from_fn(|x| folds.at([x as f32, 14.0])[0]);
        let down: [f32; SIDE] = std::array::from_fn(|y| folds.at([14.0, y as f32])[1]);
        let mut light = [1.0; PIXELS];
        for (i, light) in light.iter_mut().enumerate() {
            *light += across[i % SIDE] + down[i / SIDE] + rng.between(-grain, grain);
        }
        let cloth = if rng.chance(0.22) { rng.between(0.22, 0.5) } else { rng.between(0.62, 1.0) };
        Self { rng, image: [0.0; PIXELS], warp, light, cloth }
    }

    /// Covers what is there with `grey`, as far as `mask` reaches.
    fn paint(&mut self, mask: &Mask, grey: f32) {
        let cells = mask.cells();
        for ((pixel, &cover), light) in self.image[cells.clone()].iter_mut().zip(mask.cover()).zip(&self.light[cells]) {
            *pixel += cover * ((grey * light).clamp(0.0, 1.0) - *pixel);
        }
    }

    /// Fills a closed path.
    pub(super) fn fill(&mut self, mut path: Vec<Point>, grey: f32) -> Mask {
        self.warp.apply(&mut path);
        let mask = Mask::fill(&path);
        self.paint(&mask, grey);
        mask
    }

    /// Fills what of a closed path lies on the shape `on`.
    pub(super) fn patch(&mut self, on: &Mask, mut path: Vec<Point>, grey: f32) {
        self.warp.apply(&mut path);
        self.paint(&Mask::fill(&path).within(on), grey);
    }

    /// Draws lines that end where the shape `on` ends.
    pub(super) fn lines(&mut self, on: &Mask, paths: &[&[Point]], radius: f32, grey: f32) {
        let mask = self.strokes(paths, radius).within(on);
        self.paint(&mask, grey);
    }

    /// Draws lines that stand free.
    pub(super) fn straps(&mut self, paths: &[&[Point]], radius: f32, grey: f32) {
        let mask = self.strokes(paths, radius);
        self.paint(&mask, grey);
    }

    fn strokes(&self, paths: &[&[Point]], radius: f32) -> Mask {
        let mut mask = Mask::empty();
        for path in paths {
            let mut path = curve(path);
            self.warp.apply(&mut path);
            mask.stroke(&path, [radius; 2], 1.0);
        }
        mask
    }

    /// A grey that stands out from `grey` by `contrast`: darker on light cloth, lighter on dark cloth.
    pub(super) fn accent(&self, contrast: f32) -> f32 {
        if self.cloth > 0.42 { self.cloth * (1.0 - contrast) } else { self.cloth + 0.65 * contrast }
    }

    /// Stripes, checks or nothing.
    pub(super) fn pattern(&mut self, on: &Mask) {
        if !self.rng.chance(0.35) {
            return;
        }
        let (across, down) = match self.rng.between(0.0, 3.0) as usize {
            0 => (true, false),
            1 => (false, true),
            _ => (true, true),
        };
        let step = self.rng.between(2.6, 5.5);
        let start = self.rng.between(0.0, step);
        let radius = step * self.rng.between(0.1, 0.25);
        let contrast = self.rng.between(0.2, 0.6);
        let mut paths = Vec::new();
        for i in 0..=(28.0 / step) as usize {
            let at = start + i as f32 * step;
            if across {
                paths.push([[0.0, at], [28.0, at]]);
            }
            if down {
                paths.push([[at, 0.0], [at, 28.0]]);
            }
        }
        let paths: Vec<&[Point]> = paths.iter().map(|path| path.as_slice()).collect();
        self.lines(on, &paths, radius, self.accent(contrast));
    }
}

/// A closed outline, symmetric about the middle, from its right half: (distance from the middle, y), top to bottom.
pub(super) fn both_sides(half: &[Point]) -> Vec<Point> {
    let [right, left] = [1.0, -1.0].map(|side| half.iter().map(move |&[distance, y]| [14.0 + side * distance, y]));
    right.chain(left.rev()).collect()
}

/// The path of points (distance from the middle, y), to the right of the middle.
pub(super) fn right<const N: usize>(path: [Point; N]) -> [Point; N] {
    path.map(|[distance, y]| [14.0 + distance, y])
}

/// The path of points (distance from the middle, y), to the left of the middle.
pub(super) fn left<const N: usize>(path: [Point; N]) -> [Point; N] {
    path.map(|[distance, y]| [14.0 - distance, y])
}

/// A stroke so short that the pen leaves a dot.
pub(super) fn dot([x, y]: Point) -> [Point; 2] {
    [[x, y], [x, y + 0.01]]
}
