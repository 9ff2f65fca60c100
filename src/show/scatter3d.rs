//! Points in space, coloured by class.

use std::collections::BTreeMap;

use ndarray::{Array1, Array2};
use plotters::style::FontTransform;

use super::axis::{Axis, range};
use super::canvas::{Canvas, Point, px, stroke};
use super::chart::Chart;
use super::classes::{Classes, check_classes};
use super::figure::Figure;
use super::frame::Legend;
use super::text::{self, HPos, NORMAL, SMALL, VPos};
use super::theme::{INK, MESH, Paint};
use crate::error::{Error, ErrorKind, Result};

/// A scatter of 3-D points, such as codes of three numbers, coloured by label, in a box seen from a corner. Points that
/// are farther away are smaller and paler. Any number of classes is drawn as in a [`Scatter`](crate::Scatter).
///
/// ```
/// use latentlab::{Scatter3d, ndarray::array};
///
/// let codes = array![[0.0, 1.5, 2.0], [0.3, 1.2, 1.0], [4.0, 0.2, 0.0]];
/// let figure = Scatter3d::new(&codes, &array![0, 0, 1]).names(["zero", "one"]).view(30.0, 20.0).figure()?;
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone)]
pub struct Scatter3d {
    points: Array2<f32>,
    labels: Array1<usize>,
    names: Option<Vec<String>>,
    axis_names: [String; 3],
    /// Degrees.
    azimuth: f64,
    elevation: f64,
}

impl Scatter3d {
    /// Points (n, 3) with the class of each (n).
    pub fn new(points: &Array2<f32>, labels: &Array1<usize>) -> Self {
        Self {
            points: points.clone(),
            labels: labels.clone(),
            names: None,
            axis_names: ["latent 1", "latent 2", "latent 3"].map(String::from),
            azimuth: 35.0,
            elevation: 25.0,
        }
    }

    /// The classes' names for the legend, in the order of the labels. Default: their numbers.
    pub fn names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// The names at the axes. Default: "latent 1", "latent 2", "latent 3"; the third one points upwards.
    pub fn axis_names(mut self, x: impl Into<String>, y: impl Into<String>, z: impl Into<String>) -> Self {
        self.axis_names = [x.into(), y.into(), z.into()];
        self
    }

    /// The direction it is seen from, in degrees: `azimuth` around the vertical axis, `elevation` above the floor, from
    /// 0 to 90. Default: 35 and 25.
    pub fn view(mut self, azimuth: f64, elevation: f64) -> Self {
        (self.azimuth, self.elevation) = (azimuth, elevation);
        self
    }

    /// The finished figure.
    ///
    /// # Errors
    /// If the points do not have three coordinates, the numbers of points and labels differ, there are none, a value is
    /// NaN or infinite, or the view is from below.
    pub fn figure(&self) -> Result<Figure> {
        let wrong = |kind, what: String, expected: String, got: String| {
            Err(Error::expected(kind, format!("3-D scatter, {what}"), expected, got))
        };
        let (count, columns) = self.points.dim();
        if columns != 3 {
            return wrong(ErrorKind::Shape, "points".into(), "shape (n, 3)".into(), format!("({count}, {columns})"));
        }
        if count == 0 {
            return wrong(ErrorKind::Argument, "points".into(), "at least 1".into(), "none".into());
        }
        if let Some(index) = self.points.outer_iter().position(|point| point.iter().any(|value| !value.is_finite())) {
            let got = self.points.row(index).to_string();
            return wrong(ErrorKind::Argument, format!("point {index}"), "finite numbers".into(), got);
        }
        check_classes("3-D scatter", &self.labels, count, self.names.as_deref())?;
        if !(self.azimuth.is_finite() && (0.0..=90.0).contains(&self.elevation)) {
            let got = format!("{} and {}", self.azimuth, self.elevation);
            return wrong(ErrorKind::Argument, "view".into(), "an azimuth, and an elevation from 0 to 90".into(), got);
        }
        Ok(Figure::new(self.clone()))
    }

    fn classes(&self) -> Classes<'_> {
        Classes::new(&self.labels, self.names.as_deref())
    }

    /// The three faces behind the points with their grid, and the ticks and names at the outer edges.
    fn draw_box(&self, canvas: &Canvas<'_>, axes: &[Axis; 3], view: &View) {
        let far = view.far;
        let line = |from: [f64; 3], to: [f64; 3], color: Paint| {
            canvas.path(&[view.place(from).at, view.place(to).at], stroke(color, 1.0));
        };
        for k in 0..3 {
            let share = |at: f64| (at - axes[k].low) / (axes[k].high - axes[k].low);
            for (at, _) in &axes[k].ticks {
                // On both faces of this axis, from the edge that they do not share to the other side.
                for other in [(k + 1) % 3, (k + 2) % 3] {
                    let (mut from, mut to) = (far, far);
                    (from[k], to[k]) = (share(*at), share(*at));
                    to[other] = 1.0 - far[other];
                    line(from, to, MESH);
                }
            }
        }
        for (edge, k) in view.edges() {
            let (mut from, mut to) = (edge, edge);
            (from[k], to[k]) = (0.0, 1.0);
            line(from, to, INK.mix(0.4));
        }
        let center = view.place([0.5; 3]).at;
        for (k, name) in self.axis_names.iter().enumerate() {
            let edge = view.axis_edge(k);
            let (mut from, mut to) = (edge, edge);
            (from[k], to[k]) = (0.0, 1.0);
            line(from, to, INK);
            let (a, b) = (view.place(from).at, view.place(to).at);
            // An axis seen from its end has no space for ticks.
            if f64::from(a.0 - b.0).hypot(f64::from(a.1 - b.1)) < f64::from(px(40)) {
                continue;
            }
            let outwards = outwards(a, b, center);
            let style = |size, outwards: (f64, f64)| {
                let anchor = if outwards.0 > ASIDE {
                    HPos::Left
                } else if outwards.0 < -ASIDE {
                    HPos::Right
                } else {
                    HPos::Center
                };
                text::style(size, anchor, VPos::Center)
            };
            let moved = |at: Point, length: f64| (at.0 + px(outwards.0 * length), at.1 + px(outwards.1 * length));
            for (at, label) in &axes[k].ticks {
                let mut place = edge;
                place[k] = (at - axes[k].low) / (axes[k].high - axes[k].low);
                let at = view.place(place).at;
                canvas.path(&[at, moved(at, 4.0)], stroke(INK, 1.0));
                text::draw(canvas, label, &style(SMALL, outwards), moved(at, 10.0));
            }
            let widest = text::widest(axes[k].ticks.iter().map(|(_, text)| text), SMALL);
            let width = if k == 2 { f64::from(PLOT.1) } else { NAME };
            let name = text::lines(name, NORMAL, width, 2);
            // A name in the middle below a sloping axis reaches towards the ticks at its lower side.
            let reach = match k < 2 && outwards.0.abs() <= ASIDE {
                true => widest.max((widest + text::widest(&name, NORMAL)) / 2.0),
                false => widest,
            };
            let distance = 24.0 + outwards.0.abs() * reach;
            let middle = ((a.0 + b.0) / 2, (a.1 + b.1) / 2);
            let style = if k == 2 {
                text::style(NORMAL, HPos::Center, VPos::Center).transform(FontTransform::Rotate270)
            } else {
                style(NORMAL, outwards)
            };
            text::draw_lines(canvas, &name, &style, moved(middle, distance));
        }
    }
}

impl Chart for Scatter3d {
    fn kind(&self) -> &'static str {
        "3-D scatter"
    }

    fn points(&self) -> usize {
        self.labels.len()
    }

    fn size(&self) -> (u32, u32) {
        let legend = Legend::new(self.classes().legend());
        (PLOT.0 + legend.width, PLOT.1.max(TOP + legend.height))
    }

    fn draw(&self, canvas: &Canvas<'_>) {
        let axes =
            [0, 1, 2].map(|k| Axis::linear(range(self.points.column(k).iter().copied().map(f64::from)), 0.04, 6));
        let view = View::new(self.azimuth, self.elevation);
        self.draw_box(&canvas.part(0, 0, PLOT), &axes, &view);

        let share = |index: usize| {
            [0, 1, 2].map(|k| (f64::from(self.points[[index, k]]) - axes[k].low) / (axes[k].high - axes[k].low))
        };
        let mut seen: Vec<_> = (0..self.points()).map(|index| (view.place(share(index)), self.labels[index])).collect();
        // The farthest ones first.
        seen.sort_by(|a, b| b.0.depth.total_cmp(&a.0.depth));
        let radius = match self.points() {
            0..=200 => 4.0,
            201..=1_000 => 3.2,
            1_001..=4_000 => 2.6,
            _ => 2.2,
        };
        let classes = self.classes();
        let mut middles: BTreeMap<usize, ([i64; 2], i64)> = BTreeMap::new();
        for (Seen { at, depth }, label) in seen {
            let (sum, count) = middles.entry(label).or_default();
            (sum[0], sum[1], *count) = (sum[0] + i64::from(at.0), sum[1] + i64::from(at.1), *count + 1);
            let near = 1.0 - depth;
            let color = classes.color(label).mix(0.6 + 0.3 * near);
            canvas.circle(at, px(radius * (0.7 + 0.6 * near)), color);
        }
        let middle = |([x, y], count): ([i64; 2], i64)| ((x / count) as i32, (y / count) as i32);
        let middles = middles.into_iter().map(|(label, sum)| (label, middle(sum))).collect();
        classes.draw_names(&canvas.part(0, 0, PLOT), &middles, false);
        let legend = Legend::new(classes.legend());
        legend.draw(&canvas.part(PLOT.0, TOP, (legend.width, self.size().1 - TOP)));
    }
}

/// A direction from which the unit cube is seen, without perspective.
struct View {
    right: [f64; 3],
    up: [f64; 3],
    towards: [f64; 3],
    /// The corner farthest away: all three faces behind the points meet in it.
    far: [f64; 3],
}

/// A projected point, and how far away it is: 0 (the nearest corner) to 1 (the farthest).
struct Seen {
    at: (i32, i32),
    depth: f64,
}

impl View {
    fn new(azimuth: f64, elevation: f64) -> Self {
        let ((sin_a, cos_a), (sin_e, cos_e)) = (azimuth.to_radians().sin_cos(), elevation.to_radians().sin_cos());
        let towards = [cos_e * cos_a, cos_e * sin_a, sin_e];
        Self {
            right: [-sin_a, cos_a, 0.0],
            up: [-sin_e * cos_a, -sin_e * sin_a, cos_e],
            towards,
            far: towards.map(|direction| if direction < 0.0 { 1.0 } else { 0.0 }),
        }
    }

    /// The projection of a point of the unit cube.
    fn place(&self, point: [f64; 3]) -> Seen {
        let along = |axis: &[f64; 3]| (0..3).map(|k| (point[k] - 0.5) * axis[k]).sum::<f64>();
        let at = |length: f64, middle: f64| px(middle + length * SIDE);
        let deepest: f64 = self.towards.iter().map(|direction| direction.abs()).sum();
        Seen {
            at: (at(along(&self.right), f64::from(PLOT.0) / 2.0), at(-along(&self.up), f64::from(PLOT.1) / 2.0 - 8.0)),
            depth: 0.5 - along(&self.towards) / deepest,
        }
    }

    /// The nine edges of the faces behind the points: a corner, and the axis along which the edge runs.
    fn edges(&self) -> impl Iterator<Item = ([f64; 3], usize)> + '_ {
        (0..3).flat_map(move |k| {
            let (a, b) = ((k + 1) % 3, (k + 2) % 3);
            let corner = move |near_a: bool, near_b: bool| {
                let mut corner = self.far;
                if near_a {
                    corner[a] = 1.0 - corner[a];
                }
                if near_b {
                    corner[b] = 1.0 - corner[b];
                }
                (corner, k)
            };
            [corner(false, false), corner(true, false), corner(false, true)]
        })
    }

    /// The edge where an axis has its ticks: those of the floor in front, the vertical one at the left.
    fn axis_edge(&self, axis: usize) -> [f64; 3] {
        let with = |k: usize| {
            let mut edge = self.far;
            edge[k] = 1.0 - edge[k];
            edge
        };
        let left = |edge: &[f64; 3]| self.place(*edge).at.0;
        match axis {
            0 => with(1),
            1 => with(0),
            _ => [with(0), with(1)].into_iter().min_by_key(left).unwrap_or(self.far),
        }
    }
}

/// The direction away from the middle of the figure, at right angles to a line in it.
fn outwards(a: (i32, i32), b: (i32, i32), center: (i32, i32)) -> (f64, f64) {
    let (dx, dy) = (f64::from(b.0 - a.0), f64::from(b.1 - a.1));
    let length = dx.hypot(dy).max(1.0);
    let normal = (-dy / length, dx / length);
    let away = (f64::from((a.0 + b.0) / 2 - center.0), f64::from((a.1 + b.1) / 2 - center.1));
    if normal.0 * away.0 + normal.1 * away.1 < 0.0 { (-normal.0, -normal.1) } else { normal }
}

/// The size of the plot with its axes, and of the cube's side in it, in pixels.
const PLOT: (u32, u32) = (600, 520);
const SIDE: f64 = 270.0;
/// Above the legend.
const TOP: u32 = 12;
/// From here on an axis is so steep that its texts stand beside it.
const ASIDE: f64 = 0.35;
/// The width of an axis' name, which may have two lines.
const NAME: f64 = 150.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_keeps_lengths_and_the_box_on_the_figure() {
        for azimuth in (-360..=360).step_by(15) {
            for elevation in (0..=90).step_by(15) {
                let view = View::new(f64::from(azimuth), f64::from(elevation));
                let dot = |a: &[f64; 3], b: &[f64; 3]| (0..3).map(|k| a[k] * b[k]).sum::<f64>();
                for (a, b, expected) in [
                    (&view.right, &view.right, 1.0),
                    (&view.up, &view.up, 1.0),
                    (&view.right, &view.up, 0.0),
                    (&view.up, &view.towards, 0.0),
                ] {
                    assert!((dot(a, b) - expected).abs() < 1e-12);
                }
                assert!((view.place(view.far).depth - 1.0).abs() < 1e-12);
                for corner in 0..8 {
                    let (x, y) = view.place([0, 1, 2].map(|k| f64::from(corner >> k & 1))).at;
                    assert!((0..px(PLOT.0)).contains(&x) && (0..px(PLOT.1)).contains(&y));
                }
            }
        }
    }
}
