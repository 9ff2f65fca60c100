//! Handwritten digits: a few ways to write each one, with the irregularities of handwriting.

use super::raster::{Mask, PIXELS};
use super::rng::Rng;
use super::shape::{Point, Warp, curve};

/// The pen's path through one stroke, in a box 1 high and about 0.65 wide; a point given twice is a corner.
type Stroke = Vec<Point>;

/// An image of `digit`, as MNIST has them: about 20 pixels high, its centre of mass near the centre.
pub(super) fn draw(digit: usize, rng: &mut Rng) -> [f32; PIXELS] {
    let turn = rng.about(0.11);
    let slant = 0.12 + rng.about(0.21);
    let warp = Warp::new(rng, turn, slant, [1.0; 2], [0.0; 2], 1.95);
    let hand = Hand::new(rng);
    let mut paths = strokes(digit, rng);
    for path in &mut paths {
        *path = curve(&hand.write(std::mem::take(path), rng));
        warp.apply(path);
    }
    let radius = rng.between(0.75, 1.7);
    centre(&mut paths, radius, rng);

    let soft = rng.between(1.2, 1.9);
    let mut mask = Mask::empty();
    for path in &paths {
        let ends = [radius + rng.about(0.12), radius + rng.about(0.12)];
        mask.stroke(path, ends, soft);
    }
    // Full ink in the middle of the stroke, however soft its edge.
    let ink = rng.between(0.95, 1.3);
    let mut image = [0.0; PIXELS];
    for (pixel, cover) in image[mask.cells()].iter_mut().zip(mask.cover()) {
        *pixel = (cover * ink).min(1.0);
    }
    image
}

/// A writer's proportions, the same in all strokes of a digit.
struct Hand {
    /// Positive: the upper half is larger than the lower one.
    waist: f32,
    /// Positive: the lower half is wider than the upper one.
    base: f32,
    width: f32,
    /// Standard deviation of every point's place, in pixels.
    tremor: f32,
}

impl Hand {
    fn new(rng: &mut Rng) -> Self {
        Self {
            waist: rng.about(0.24),
            base: rng.about(0.22),
            width: rng.between(0.75, 1.3),
            tremor: rng.between(0.15, 0.5),
        }
    }

    /// Brings a stroke from its box into the frame.
    fn write(&self, mut stroke: Stroke, rng: &mut Rng) -> Stroke {
        let mut previous = ([f32::NAN; 2], [0.0; 2]);
        for point in &mut stroke {
            let [x, y] = *point;
            if *point != previous.0 {
                let (dx, dy) = (x - 0.33, y - 0.5);
                let placed = [
                    14.0 + 20.0 * dx * self.width * (1.0 + self.base * dy) + rng.about(self.tremor),
                    14.0 + 20.0 * (dy + self.waist * (0.25 - dy * dy)) + rng.about(self.tremor),
                ];
                previous = ([x, y], placed);
            }
            *point = previous.1;
        }
        stroke
    }
}

/// Scales the strokes to a box of about 20 pixels and moves their centre of mass near the frame's centre.
fn centre(paths: &mut [Vec<Point>], radius: f32, rng: &mut Rng) {
    let (mut low, mut high) = ([f32::INFINITY; 2], [f32::NEG_INFINITY; 2]);
    let (mut length, mut moment) = (1e-6, [0.0; 2]);
    for path in paths.iter() {
        for pair in path.windows(2) {
            let step: Point = std::array::from_fn(|k| pair[1][k] - pair[0][k]);
            let span = (step[0] * step[0] + step[1] * step[1]).sqrt();
            length += span;
            for k in 0..2 {
                moment[k] += span * (pair[0][k] + pair[1][k]) / 2.0;
                low[k] = low[k].min(pair[0][k]).min(pair[1][k]);
                high[k] = high[k].max(pair[0][k]).max(pair[1][k]);
            }
        }
    }
    let size = (high[0] - low[0]).max(high[1] - low[1]);
    let scale = (20.0 - 2.0 * radius) * rng.between(0.92, 1.03) / size;
    let target = [14.0 + rng.about(0.5), 14.0 + rng.about(0.5)];
    for point in paths.iter_mut().flatten() {
        for k in 0..2 {
            point[k] = target[k] + scale * (point[k] - moment[k] / length);
        }
    }
}

/// The strokes of one way to write `digit`.
fn strokes(digit: usize, rng: &mut Rng) -> Vec<Stroke> {
    match digit {
        0 => zero(rng),
        1 => one(rng),
        2 => two(rng),
        3 => three(rng),
        4 => four(rng),
        5 => five(rng),
        6 => six(rng),
        7 => seven(rng),
        8 => eight(rng),
        _ => nine(rng),
    }
}

/// `count` eighths of an oval, counter-clockwise; `start` counts eighths from the top.
fn oval(centre: Point, radius: Point, start: usize, count: usize) -> Stroke {
    const D: f32 = std::f32::consts::FRAC_1_SQRT_2;
    const EIGHTHS: [Point; 8] = [[0.0, -1.0], [-D, -D], [-1.0, 0.0], [-D, D], [0.0, 1.0], [D, D], [1.0, 0.0], [D, -D]];
    let at = |i: usize| std::array::from_fn(|k| centre[k] + radius[k] * EIGHTHS[(start + i) % 8][k]);
    (0..count).map(at).collect()
}

fn zero(rng: &mut Rng) -> Vec<Stroke> {
    let start = if rng.chance(0.5) { 0 } else { 7 };
    let count = if rng.chance(0.8) { 10 } else { 9 };
    vec![oval([0.33, 0.5], [rng.between(0.22, 0.42), 0.5], start, count)]
}

fn one(rng: &mut Rng) -> Vec<Stroke> {
    if rng.chance(0.7) {
        return vec![vec![[0.33, 0.0], [0.33, 1.0]]];
    }
    let flag = [rng.between(0.13, 0.22), rng.between(0.2, 0.34)];
    let mut strokes = vec![vec![flag, [0.35, 0.0], [0.35, 0.0], [0.33, 1.0]]];
    if rng.chance(0.5) {
        strokes.push(vec![[0.08, 1.0], [0.33, 1.0], [0.6, 0.99]]);
    }
    strokes
}

fn two(rng: &mut Rng) -> Vec<Stroke> {
    let mut stroke = vec![[0.04, 0.24], [0.17, 0.05], [0.4, 0.0], [0.58, 0.17], [0.52, 0.42], [0.28, 0.72]];
    if rng.chance(0.45) {
        stroke.extend([[0.1, 0.92], [0.0, 0.9], [0.06, 0.78], [0.26, 0.86], [0.45, 0.97], [0.72, 0.94]]);
    } else {
        stroke.extend([[0.02, 0.97], [0.02, 0.97], [0.35, rng.between(0.92, 1.0)], [0.68, 0.97]]);
    }
    vec![stroke]
}

fn three(rng: &mut Rng) -> Vec<Stroke> {
    let waist = [rng.between(0.15, 0.34), 0.46];
    let mut stroke = if rng.chance(0.1) {
        vec![[0.06, 0.02], [0.3, 0.02], [0.56, 0.01], [0.56, 0.01], waist, waist]
    } else {
        vec![[0.04, 0.14], [0.24, 0.0], [0.5, 0.08], [0.5, 0.3], waist, waist]
    };
    stroke.extend([[0.52, 0.56], [0.58, 0.78], [0.4, 0.97], [0.16, 0.99], [0.0, 0.86]]);
    vec![stroke]
}

fn four(rng: &mut Rng) -> Vec<Stroke> {
    let bar = rng.between(0.5, 0.64);
    let stem = rng.between(0.42, 0.56);
    let end = [stem + rng.between(0.04, 0.22), bar - 0.02];
    if rng.chance(0.35) {
        let top = [stem, 0.0];
        let corner = [0.0, bar + 0.03];
        vec![vec![top, [0.25, 0.3], corner, corner, [0.3, bar], end], vec![top, [stem, 0.5], [stem - 0.02, 1.0]]]
    } else {
        let corner = [0.04, bar];
        let top = rng.between(0.0, 0.2);
        vec![
            vec![[0.14, 0.0], [0.06, 0.28], corner, corner, [0.3, bar], end],
            vec![[stem + 0.05, top], [stem, 0.5], [stem - 0.03, 1.0]],
        ]
    }
}

fn five(rng: &mut Rng) -> Vec<Stroke> {
    let top = [rng.between(0.12, 0.24), 0.03];
    let corner = [0.08, rng.between(0.38, 0.48)];
    let bowl = [[0.32, 0.4], [0.56, 0.52], [0.58, 0.76], [0.36, 0.98], [0.12, 0.98], [0.0, 0.88]];
    let bar = [rng.between(0.5, 0.74), rng.between(-0.04, 0.04)];
    let mut body = vec![top, [0.11, 0.22], corner, corner];
    body.extend(bowl);
    if rng.chance(0.5) {
        vec![body, vec![top, [0.35, 0.02], bar]]
    } else {
        let mut stroke = vec![bar, [0.35, 0.02], top];
        stroke.extend(body);
        vec![stroke]
    }
}

fn six(rng: &mut Rng) -> Vec<Stroke> {
    let top = [rng.between(0.3, 0.58), 0.0];
    let height = rng.between(0.46, 0.6);
    vec![vec![
        top,
        [0.2, 0.22],
        [0.05, 0.52],
        [0.06, 0.82],
        [0.26, 1.0],
        [0.5, 0.9],
        [0.53, 0.7],
        [0.34, height],
        [0.14, height + 0.13],
        [0.05, 0.8],
    ]]
}

fn seven(rng: &mut Rng) -> Vec<Stroke> {
    let corner = [0.62, 0.02];
    let mut stroke = vec![[0.0, 0.06], [0.3, 0.05], corner, corner, [0.42, 0.42], [rng.between(0.12, 0.4), 1.0]];
    if rng.chance(0.25) {
        stroke.splice(0..1, [[0.0, 0.2], [0.01, 0.05], [0.01, 0.05]]);
    }
    let mut strokes = vec![stroke];
    if rng.chance(0.25) {
        strokes.push(vec![[0.14, 0.5], [0.36, 0.5], [0.6, 0.47]]);
    }
    strokes
}

fn eight(rng: &mut Rng) -> Vec<Stroke> {
    let waist = rng.between(0.42, 0.5);
    if rng.chance(0.2) {
        let upper = oval([0.33, waist / 2.0], [rng.between(0.18, 0.24), waist / 2.0], 0, 9);
        let lower = oval([0.33, (1.0 + waist) / 2.0], [rng.between(0.22, 0.28), (1.0 - waist) / 2.0], 0, 9);
        return vec![upper, lower];
    }
    vec![vec![
        [0.56, 0.12],
        [0.34, 0.0],
        [0.13, 0.14],
        [0.18, waist - 0.12],
        [0.42, waist + 0.08],
        [0.54, 0.78],
        [0.3, 1.0],
        [0.07, 0.8],
        [0.2, waist + 0.1],
        [0.46, waist - 0.14],
        [0.56, 0.14],
        [0.44, 0.02],
    ]]
}

fn nine(rng: &mut Rng) -> Vec<Stroke> {
    let corner = [0.56, rng.between(0.06, 0.16)];
    let low = rng.between(0.42, 0.54);
    let mut stroke =
        vec![corner, [0.36, 0.0], [0.1, 0.12], [0.06, low - 0.14], [0.24, low], [0.46, low - 0.14], corner, corner];
    if rng.chance(0.7) {
        stroke.extend([[0.54, 0.5], [rng.between(0.36, 0.56), 1.0]]);
    } else {
        stroke.extend([[0.56, 0.5], [0.48, 0.86], [0.3, 1.0], [0.14, 0.96]]);
    }
    vec![stroke]
}
