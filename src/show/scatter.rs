//! Points in the plane, coloured by class.

use std::collections::BTreeMap;

use super::axis::{Axis, range, widened};
use super::canvas::{Canvas, Point, px};
use super::chart::Chart;
use super::classes::{Classes, check_classes};
use super::figure::Figure;
use super::frame::{Entry, Frame, Legend, Mark, Plot, draw_cross, draw_mean};
use super::palette::OPACITY;
use super::text::{self, HPos, LINE, NORMAL, VPos};
use super::theme::{INK, PAPER};
use crate::error::{Error, ErrorKind, Result};
use ndarray::{Array1, Array2};

/// A scatter of 2-D points, such as codes, coloured by label.
///
/// Up to ten classes have the colours of [`PALETTE`](crate::PALETTE). More classes have as many hues, and their names
/// are written among their points too; of more than 47 the legend names the largest.
///
/// ```
/// use latentlab::Scatter;
/// use latentlab::ndarray::array;
///
/// let codes = array![[0.0, 1.5], [0.3, 1.2], [4.0, 0.2]];
/// let figure = Scatter::new(&codes, &array![0, 0, 1]).names(["zero", "one"]).figure()?.title("Codes");
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone)]
pub struct Scatter {
    points: Array2<f32>,
    labels: Array1<usize>,
    names: Option<Vec<String>>,
    axis_names: (String, String),
    crosses: Option<Crosses>,
    class_means: bool,
    equal_axes: bool,
    class_labels: bool,
    are_clusters: bool,
    notes: Vec<([f32; 2], String)>,
}

/// Which points are drawn as ×, and what × and • mean.
#[derive(Clone)]
struct Crosses {
    chosen: Vec<bool>,
    cross: String,
    dot: String,
}

impl Scatter {
    /// Points (n, 2) with the class of each (n).
    pub fn new(points: &Array2<f32>, labels: &Array1<usize>) -> Self {
        Self {
            points: points.clone(),
            labels: labels.clone(),
            names: None,
            axis_names: ("latent 1".into(), "latent 2".into()),
            crosses: None,
            class_means: false,
            equal_axes: false,
            class_labels: false,
            are_clusters: false,
            notes: Vec::new(),
        }
    }

    /// The classes' names for the legend, in the order of the labels. Default: their numbers.
    pub fn names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// The names at the axes. Default: "latent 1" and "latent 2".
    pub fn axis_names(mut self, x: impl Into<String>, y: impl Into<String>) -> Self {
        self.axis_names = (x.into(), y.into());
        self
    }

    /// Draws the chosen points as × and the others as •, with their meanings in the legend ("recognised", "not
    /// recognised").
    pub fn crosses(mut self, chosen: &[bool], cross: impl Into<String>, dot: impl Into<String>) -> Self {
        self.crosses = Some(Crosses { chosen: chosen.to_vec(), cross: cross.into(), dot: dot.into() });
        self
    }

    /// Marks the mean of each class by a large diamond in its colour.
    pub fn class_means(mut self) -> Self {
        self.class_means = true;
        self
    }

    /// Draws both axes to the same scale, so that distances and the shapes of clusters are true: Matplotlib's
    /// `axis("equal")`. Default: yes for codes ([`Scatter::of`], [`Codes::scatter`](crate::Codes::scatter)), else no.
    pub fn equal_axes(mut self, equal: bool) -> Self {
        self.equal_axes = equal;
        self
    }

    /// Writes the name of each class at the mean of its points, in place of the legend's entries.
    pub fn class_labels(mut self) -> Self {
        self.class_labels = true;
        self
    }

    /// Draws the labels as numbers of clusters: in ten colours that no class has, so that nobody takes a cluster for
    /// the class of its colour.
    ///
    /// ```
    /// use latentlab::{Codes, Scatter, kmeans_accuracy, ndarray::array, row};
    ///
    /// let names = vec!["zero".to_string(), "one".to_string()];
    /// let codes = Codes::new(array![[0.0, 1.0], [0.1, 1.1], [4.0, 4.0]], array![0, 1, 1], names)?;
    /// let found = kmeans_accuracy(&codes, 2)?;
    /// let clusters = Scatter::new(codes.points(), found.assignments()).names(["A", "B"]).cluster_colors();
    /// row([clusters.figure()?, codes.scatter()?]);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn cluster_colors(mut self) -> Self {
        self.are_clusters = true;
        self
    }

    /// Puts a black-edged marker with a short text at a place of the plane.
    pub fn annotate(mut self, place: [f32; 2], text: impl Into<String>) -> Self {
        self.notes.push((place, text.into()));
        self
    }

    /// The finished figure.
    ///
    /// # Errors
    /// If the points do not have two coordinates, the numbers of points and labels differ, there are none, or a value
    /// is NaN or infinite.
    pub fn figure(&self) -> Result<Figure> {
        let wrong = |kind, what: String, expected: String, got: String| {
            Err(Error::expected(kind, format!("scatter, {what}"), expected, got))
        };
        let (count, columns) = self.points.dim();
        if columns != 2 {
            let hint = "Project the codes to two dimensions first, or choose two of their columns";
            let (expected, got) = ("shape (n, 2)", format!("({count}, {columns})"));
            return Err(Error::expected(ErrorKind::Shape, "scatter, points", expected, got).hint(hint));
        }
        if count == 0 {
            return wrong(ErrorKind::Argument, "points".into(), "at least 1".into(), "none".into());
        }
        let places = self.points.outer_iter().enumerate().map(|(i, p)| (format!("point {i}"), [p[0], p[1]]));
        let notes = self.notes.iter().map(|(place, text)| (format!("annotation {text:?}"), *place));
        for (what, [x, y]) in places.chain(notes) {
            if !(x.is_finite() && y.is_finite()) {
                return wrong(ErrorKind::Argument, what, "finite numbers".into(), format!("({x}, {y})"));
            }
        }
        check_classes("scatter", &self.labels, count, self.names.as_deref())?;
        match &self.crosses {
            Some(crosses) if crosses.chosen.len() != count => {
                let expected = format!("{count} values, one for each point");
                wrong(ErrorKind::Shape, "crosses".into(), expected, crosses.chosen.len().to_string())
            }
            _ => Ok(Figure::new(self.clone())),
        }
    }

    fn frame(&self) -> Frame {
        let mut legend = if self.class_labels { Vec::new() } else { self.classes().legend() };
        if let Some(Crosses { cross, dot, .. }) = &self.crosses {
            legend.push(Entry { text: String::new(), mark: Mark::Space });
            legend.push(Entry { text: cross.clone(), mark: Mark::Cross(INK) });
            legend.push(Entry { text: dot.clone(), mark: Mark::Dot(INK) });
        }
        if self.class_means {
            legend.push(Entry { text: String::new(), mark: Mark::Space });
            legend.push(Entry { text: "mean of a class".into(), mark: Mark::Mean(PAPER) });
        }
        let legend = Legend::new(legend);
        let ranges = [0, 1].map(|column| {
            let points = self.points.column(column);
            let notes = self.notes.iter().map(|(place, _)| place[column]);
            range(points.iter().copied().chain(notes).map(f64::from))
        });
        let (size, [x, y]) = match self.equal_axes {
            true => equal_axes(ranges, legend.height),
            false => (PLOT, ranges.map(|range| Axis::linear(range, MARGIN, TICKS))),
        };
        let (x_name, y_name) = &self.axis_names;
        Frame::new(size, (x, x_name), (y, y_name), legend)
    }

    fn classes(&self) -> Classes<'_> {
        let of = if self.are_clusters { Classes::of_clusters } else { Classes::new };
        of(&self.labels, self.names.as_deref())
    }

    /// The mean point of each class.
    fn means(&self) -> BTreeMap<usize, [f64; 2]> {
        let mut sums: BTreeMap<usize, ([f64; 2], f64)> = BTreeMap::new();
        for (point, label) in self.points.outer_iter().zip(&self.labels) {
            let (sum, count) = sums.entry(*label).or_default();
            *sum = [0, 1].map(|k| sum[k] + f64::from(point[k]));
            *count += 1.0;
        }
        sums.into_iter().map(|(class, (sum, count))| (class, sum.map(|sum| sum / count))).collect()
    }
}

/// The size of the plot in pixels, the share of the axes beyond the points, and about how many ticks an axis has.
const PLOT: (u32, u32) = (500, 440);
const MARGIN: f64 = 0.04;
const TICKS: usize = 7;
/// How flat the plot may become where both axes have one scale.
const FLATTEST: f64 = 220.0;

/// A plot, and axes of one scale in it: what is wider than high makes it less high, down to a half of its width.
fn equal_axes(ranges: [(f64, f64); 2], least_height: u32) -> ((u32, u32), [Axis; 2]) {
    let ranges = ranges.map(|(low, high)| widened(low, high));
    let [across, up] = ranges.map(|(low, high)| high - low);
    let width = f64::from(PLOT.0);
    let height = (width * up / across).clamp(FLATTEST, f64::from(PLOT.1)).max(f64::from(least_height)).round();
    let unit = (1.0 + 2.0 * MARGIN) * (across / width).max(up / height);
    let axis = |(low, high): (f64, f64), length: f64| {
        let (middle, half) = (low / 2.0 + high / 2.0, unit * length / 2.0);
        Axis::linear((middle - half, middle + half), 0.0, TICKS)
    };
    ((PLOT.0, height as u32), [axis(ranges[0], width), axis(ranges[1], height)])
}

impl Chart for Scatter {
    fn kind(&self) -> &'static str {
        "scatter"
    }

    fn size(&self) -> (u32, u32) {
        self.frame().size()
    }

    fn points(&self) -> usize {
        self.labels.len()
    }

    fn draw(&self, canvas: &Canvas<'_>) {
        let (frame, classes) = (self.frame(), self.classes());
        let plot = frame.draw(canvas);
        let place = |[x, y]: [f32; 2]| plot.place(f64::from(x), f64::from(y));
        let (radius, opacity) = match self.points() {
            0..=200 => (px(4), 0.9),
            201..=1_000 => (px(3), 0.85),
            1_001..=4_000 => (px(2.5), OPACITY),
            _ => (px(2), OPACITY),
        };
        // Data sets are often sorted by class, and the last class must not cover the others.
        let mut order: Vec<usize> = (0..self.points()).collect();
        order.sort_by_key(|&index| (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        for index in order {
            let center = place([self.points[[index, 0]], self.points[[index, 1]]]);
            let color = classes.color(self.labels[index]).mix(opacity);
            if self.crosses.as_ref().is_some_and(|crosses| crosses.chosen[index]) {
                draw_cross(&plot.canvas, center, radius + 1, color);
            } else {
                plot.canvas.circle(center, radius, color);
            }
        }
        let means = self.means();
        let places = means.iter().map(|(class, [x, y])| (*class, plot.place(*x, *y))).collect();
        for (class, place) in BTreeMap::iter(&places).filter(|_| self.class_means) {
            draw_mean(&plot.canvas, *place, classes.color(*class));
        }
        classes.draw_names(&plot.canvas, &places, self.class_labels);
        self.notes.iter().for_each(|(at, text)| draw_note(&plot, place(*at), text));
    }
}

/// A white marker with a black edge, and its text beside it, on the side where there is space.
fn draw_note(plot: &Plot<'_>, (x, y): Point, text: &str) {
    plot.canvas.circle((x, y), px(6), INK);
    plot.canvas.circle((x, y), px(4), PAPER);
    let text = &text::fitting(text, NORMAL, f64::from(plot.width) / f64::from(px(1)) - 24.0);
    let (width, height) = (px(text::width(text, NORMAL) + 6.0), px(NORMAL * LINE));
    let left = if x + px(9) + width < plot.width { x + px(9) } else { (x - px(9) - width).max(0) };
    let top = (y - height / 2).clamp(0, plot.height - height);
    let behind = [(left, top), (left + width, top + height)];
    plot.canvas.rectangle(behind, PAPER.mix(0.85));
    let style = text::style(NORMAL, HPos::Left, VPos::Center);
    text::draw(&plot.canvas, text, &style, (left + px(3), top + height / 2));
}
