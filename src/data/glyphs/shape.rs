//! Curves through points, and how a drawing as a whole is bent.
//!
//! Coordinates are pixels: x to the right, y down, the frame is 28 × 28 with its centre at (14, 14).

use super::dice::Dice;

pub(super) type Point = [f32; 2];

/// A smooth open curve through `points` (Catmull-Rom). A point given twice is a corner.
pub(super) fn curve(points: &[Point]) -> Vec<Point> {
    let last = points.len() - 1;
    spline(points.len(), |i| points[i.clamp(1, last + 1) - 1], last)
}

/// A smooth closed curve through `points`. A point given twice is a corner.
pub(super) fn closed(points: &[Point]) -> Vec<Point> {
    spline(points.len(), |i| points[(i + points.len() - 1) % points.len()], points.len())
}

/// `at(1)` is the first point, `at(0)` the one before it.
fn spline(points: usize, at: impl Fn(usize) -> Point, spans: usize) -> Vec<Point> {
    const STEPS: usize = 5;
    let mut path = Vec::with_capacity(points * STEPS + 1);
    path.push(at(1));
    for i in 1..=spans {
        let (before, from, to, after) = (at(i - 1), at(i), at(i + 1), at(i + 2));
        if from == to {
            continue;
        }
        path.extend((1..=STEPS).map(|step| {
            let t = step as f32 / STEPS as f32;
            std::array::from_fn(|k| {
                let (start, end) = ((to[k] - before[k]) / 2.0, (after[k] - from[k]) / 2.0);
                let (bend, twist) = (to[k] - from[k] - start, end - start);
                from[k] + t * (start + t * (3.0 * bend - twist + t * (twist - 2.0 * bend)))
            })
        }));
    }
    path
}

/// A random field that varies smoothly over the frame: two values at every place.
pub(super) struct Field([[Point; 5]; 5]);

impl Field {
    /// `deviation`: the standard deviation of its values.
    pub(super) fn new(dice: &mut Dice, deviation: f32) -> Self {
        Self(std::array::from_fn(|_| std::array::from_fn(|_| [dice.about(deviation), dice.about(deviation)])))
    }

    pub(super) fn at(&self, [x, y]: Point) -> Point {
        // A knot every 7 pixels, eased between knots so that no edge shows.
        let knot = |v: f32| {
            let v = (v / 7.0).clamp(0.0, 3.999);
            let t = v - v.floor();
            (v as usize, t * t * (3.0 - 2.0 * t))
        };
        let ((i, u), (j, v)) = (knot(x), knot(y));
        std::array::from_fn(|k| {
            let row = |j: usize| self.0[j][i][k] + u * (self.0[j][i + 1][k] - self.0[j][i][k]);
            row(j) + v * (row(j + 1) - row(j))
        })
    }
}

/// Where the points of a drawing end up: turned, slanted and scaled about the frame's centre, moved, then bent.
pub(super) struct Warp {
    matrix: [Point; 2],
    shift: Point,
    bend: Field,
}

impl Warp {
    /// `turn` in radians (small), `slant` in pixels to the right per pixel up, `bend` in pixels.
    pub(super) fn new(dice: &mut Dice, turn: f32, slant: f32, scale: [f32; 2], shift: Point, bend: f32) -> Self {
        // Rational in the half angle: unlike sin and cos, the same bits everywhere.
        let half = turn / 2.0;
        let (cos, sin) = ((1.0 - half * half) / (1.0 + half * half), 2.0 * half / (1.0 + half * half));
        let matrix =
            [[cos * scale[0], (-slant * cos - sin) * scale[1]], [sin * scale[0], (-slant * sin + cos) * scale[1]]];
        Self { matrix, shift, bend: Field::new(dice, bend) }
    }

    pub(super) fn apply(&self, path: &mut [Point]) {
        for point in path {
            let (x, y) = (point[0] - 14.0, point[1] - 14.0);
            let moved: Point =
                std::array::from_fn(|k| 14.0 + self.matrix[k][0] * x + self.matrix[k][1] * y + self.shift[k]);
            let bend = self.bend.at(moved);
            *point = [moved[0] + bend[0], moved[1] + bend[1]];
        }
    }
}
