//! Curves through points, and how a drawing as a whole is bent.
//!
//! Coordinates are pixels: x to the right, y down, the frame is 28 × 28 with its centre at (14, 14).

use super::rng::Rng;

pub(super) type Point = [f32; 2];

/// Straight pieces between two points.
const STEPS: usize = 4;

/// A smooth curve through `points` (Catmull-Rom). A point given twice is a corner.
pub(super) fn curve(points: &[Point]) -> Vec<Point> {
    let at = |i: usize| points[i.clamp(1, points.len()) - 1]; // the ends count twice
    let mut path = Vec::with_capacity(points.len() * STEPS);
    path.push(points[0]);
    for i in 1..points.len() {
        let (before, from, to, after) = (at(i - 1), at(i), at(i + 1), at(i + 2));
        if from == to {
            continue;
        }
        path.extend((1..=STEPS).map(|step| {
            let t = step as f32 / STEPS as f32;
            let coordinate = |k: usize| {
                let (start, end) = ((to[k] - before[k]) / 2.0, (after[k] - from[k]) / 2.0);
                let (bend, twist) = (to[k] - from[k] - start, end - start);
                from[k] + t * (start + t * (3.0 * bend - twist + t * (twist - 2.0 * bend)))
            };
            [coordinate(0), coordinate(1)]
        }));
    }
    path
}

/// A closed outline with straight edges, cut into pieces that a [`Warp`] can bend.
pub(super) fn polygon(corners: &[Point]) -> Vec<Point> {
    let mut path = Vec::with_capacity(corners.len() * STEPS);
    let mut from = corners[corners.len() - 1];
    for &to in corners {
        path.extend((1..=STEPS).map(|step| mix(from, to, step as f32 / STEPS as f32)));
        from = to;
    }
    path
}

/// The point at the part `t` of the way from `a` to `b`.
fn mix(a: Point, b: Point, t: f32) -> Point {
    [a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])]
}

/// A random field that varies smoothly over the frame (a quadratic spline): two values at every place.
pub(super) struct Field([[Point; 6]; 6]);

impl Field {
    /// `deviation`: the standard deviation of its knots; that of its values is about 0.6 of it.
    pub(super) fn new(rng: &mut Rng, deviation: f32) -> Self {
        let mut field = Self([[[0.0; 2]; 6]; 6]);
        for knot in field.0.as_flattened_mut() {
            *knot = [rng.about(deviation), rng.about(deviation)];
        }
        field
    }

    #[inline]
    pub(super) fn at(&self, [x, y]: Point) -> Point {
        let place = |v: f32| {
            let v = (v / 7.0).clamp(0.0, 3.999);
            (v as usize, v - v as usize as f32)
        };
        let spline = |[a, b, c]: [Point; 3], t: f32| mix(mix(a, b, 0.5 + 0.5 * t), mix(b, c, 0.5 * t), t);
        let ((i, u), (j, v)) = (place(x), place(y));
        let row = |j: usize| spline([self.0[j][i], self.0[j][i + 1], self.0[j][i + 2]], u);
        spline([row(j), row(j + 1), row(j + 2)], v)
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
    pub(super) fn new(rng: &mut Rng, turn: f32, slant: f32, scale: [f32; 2], shift: Point, bend: f32) -> Self {
        // Rational in the half angle: unlike sin and cos, the same bits everywhere.
        let half = turn / 2.0;
        let (cos, sin) = ((1.0 - half * half) / (1.0 + half * half), 2.0 * half / (1.0 + half * half));
        let matrix =
            [[cos * scale[0], (-slant * cos - sin) * scale[1]], [sin * scale[0], (-slant * sin + cos) * scale[1]]];
        Self { matrix, shift, bend: Field::new(rng, bend) }
    }

    pub(super) fn apply(&self, path: &mut [Point]) {
        for point in path {
            let (x, y) = (point[0] - 14.0, point[1] - 14.0);
            let along = |k: usize| 14.0 + self.matrix[k][0] * x + self.matrix[k][1] * y + self.shift[k];
            let moved = [along(0), along(1)];
            let bend = self.bend.at(moved);
            *point = [moved[0] + bend[0], moved[1] + bend[1]];
        }
    }
}
