//! How often values fall into each of a row of bins.

use super::axis::{Axis, LARGEST, range, widened};
use super::canvas::Canvas;
use super::chart::Chart;
use super::figure::Figure;
use super::frame::{Entry, Frame, Legend, Mark, draw_line};
use super::theme::Paint;
use crate::error::{Error, Result};

/// How often the values of one series, or of several with the same bins, fall into bins of equal width.
///
/// The bins reach from the lowest to the highest value of all series, and a value on an edge counts to the bin above
/// it, the highest one to the last bin (NumPy's `histogram`). Default: 30 bins.
///
/// ```
/// use latentlab::{Autoencoder, Dataset, Histogram, Loss, reconstruction_errors};
///
/// let (digits, garments) = (Dataset::built_in_digits(100, 0)?, Dataset::built_in_garments(100, 0)?);
/// let autoencoder = Autoencoder::tiny(2)?;
/// let errors = |images| reconstruction_errors(&autoencoder, images, Loss::MeanSquaredError);
/// let figure = Histogram::new("squared error")
///     .series("digits", &errors(&digits)?)
///     .series("garments", &errors(&garments)?)
///     .bins(20)
///     .figure()?;
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone)]
pub struct Histogram {
    value_name: String,
    series: Vec<(String, Vec<f64>)>,
    bins: usize,
    density: bool,
    log_y: bool,
    marks: Vec<(f64, String)>,
}

/// More series could not be told apart where they overlap.
const MOST_SERIES: usize = 10;
const MOST_BINS: usize = 1000;

impl Histogram {
    /// A histogram without series yet; `value_name` is written at the axis of the values.
    pub fn new(value_name: impl Into<String>) -> Self {
        Self {
            value_name: value_name.into(),
            series: Vec::new(),
            bins: 30,
            density: false,
            log_y: false,
            marks: Vec::new(),
        }
    }

    /// Adds values; those that are NaN or infinite are left out, and the legend counts them.
    pub fn series(mut self, name: impl Into<String>, values: &[f64]) -> Self {
        self.series.push((name.into(), values.to_vec()));
        self
    }

    /// The number of bins, from 1 to 1000.
    pub fn bins(self, bins: usize) -> Self {
        Self { bins, ..self }
    }

    /// Draws densities in place of counts: the area of each series is 1, so that series of different lengths can be
    /// compared.
    pub fn density(self) -> Self {
        Self { density: true, ..self }
    }

    /// Draws the counts, or densities, with a logarithmic scale, on which bins with a few values are seen beside those
    /// with thousands; an empty bin has no height.
    ///
    /// ```
    /// use latentlab::Histogram;
    ///
    /// let errors: Vec<f64> = (1..500).map(|index| 1.0 / f64::from(index)).collect();
    /// let figure = Histogram::new("squared error").series("digits", &errors).log_y().figure()?;
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn log_y(self) -> Self {
        Self { log_y: true, ..self }
    }

    /// Marks a value by a vertical line with a text: a threshold, a mean.
    pub fn mark(mut self, value: f64, text: impl Into<String>) -> Self {
        self.marks.push((value, text.into()));
        self
    }

    /// The finished figure.
    ///
    /// # Errors
    /// If there are no series or more than 10, a series has no finite value, a number is beyond ±1e100, the bins are
    /// none or more than 1000, or a mark is neither among the values nor near them.
    pub fn figure(&self) -> Result<Figure> {
        let series = self.series.len();
        if !(1..=MOST_SERIES).contains(&series) {
            let error = Error::argument("histogram", format!("1 to {MOST_SERIES} series"), series);
            return Err(if series == 0 { error } else { error.hint("Draw several, side by side with row") });
        }
        if !(1..=MOST_BINS).contains(&self.bins) {
            return Err(Error::argument("histogram, bins", format!("1 to {MOST_BINS}"), self.bins));
        }
        for (name, values) in &self.series {
            if !values.iter().any(|value| value.is_finite()) {
                let got = if values.is_empty() { "none" } else { "only NaN or infinite ones" };
                return Err(Error::argument(format!("series {name:?}"), "at least 1 value", got));
            }
            let too_large = |value: &f64| value.is_finite() && value.abs() > LARGEST;
            if let Some(index) = values.iter().position(too_large) {
                let place = format!("series {name:?}, value {}", index + 1);
                return Err(Error::argument(place, "a number up to 1e100", format!("{:e}", values[index])));
            }
        }
        let axis = self.axis();
        match self.marks.iter().find(|(value, _)| !(axis.low..=axis.high).contains(value)) {
            Some((value, text)) => {
                let expected = format!("a value from {} to {}", axis.low, axis.high);
                Err(Error::argument(format!("mark {text:?}"), expected, value))
            }
            None => Ok(Figure::new(self.clone())),
        }
    }

    /// The axis of the values, with some space beside them.
    fn axis(&self) -> Axis {
        let edges = self.edges();
        Axis::linear((edges[0], edges[self.bins]), 0.02, 8)
    }

    /// The edges of the bins.
    fn edges(&self) -> Vec<f64> {
        let values = self.series.iter().flat_map(|(_, values)| values).copied();
        let (low, high) = range(values.filter(|value| value.is_finite()));
        let (low, high) = widened(low, high);
        (0..=self.bins).map(|bin| low + (high - low) * bin as f64 / self.bins as f64).collect()
    }

    /// The height of each bin of a series.
    fn heights(&self, values: &[f64], edges: &[f64]) -> Vec<f64> {
        let (mut counts, mut all) = (vec![0.0; self.bins], 0.0);
        for value in values.iter().filter(|value| value.is_finite()) {
            let above = edges.partition_point(|edge| edge <= value);
            counts[above.clamp(1, self.bins) - 1] += 1.0;
            all += 1.0;
        }
        let unit = if self.density { all * (edges[1] - edges[0]) } else { 1.0 };
        counts.iter().map(|count| count / unit).collect()
    }

    fn color(&self, series: usize) -> Paint {
        Paint::class(series, self.series.len())
    }

    fn frame(&self) -> Frame {
        let edges = self.edges();
        let heights = self.series.iter().flat_map(|(_, values)| self.heights(values, &edges));
        let (lowest, highest) = range(heights.filter(|height| *height > 0.0));
        let y = if self.log_y {
            // The lowest bins stand on half of their height, which no bin has.
            let mut y = Axis::logarithmic((lowest / 2.0, highest), 0.03, 6);
            y.ticks.retain(|(at, _)| *at > lowest.log10() - 1e-9);
            y.minor.retain(|at| *at > lowest.log10() - 1e-9);
            y
        } else {
            let mut y = Axis::linear((0.0, highest), 0.06, 6);
            y.low = 0.0;
            y.ticks.retain(|(at, _)| *at >= 0.0);
            y
        };
        let mut legend = Vec::new();
        for (index, (name, values)) in self.series.iter().enumerate() {
            legend.push(Entry { text: name.clone(), mark: Mark::Line(index, self.color(index), false) });
            let missing = values.iter().filter(|value| !value.is_finite()).count();
            if missing > 0 {
                legend.push(Entry { text: format!("({missing} NaN or infinite)"), mark: Mark::Space });
            }
        }
        let y_name = if self.density { "density" } else { "count" };
        Frame::new((500, 320), (self.axis(), &self.value_name), (y, y_name), Legend::new(legend))
    }
}

impl Chart for Histogram {
    fn kind(&self) -> &'static str {
        "histogram"
    }

    fn size(&self) -> (u32, u32) {
        self.frame().size()
    }

    fn points(&self) -> usize {
        self.bins * self.series.len()
    }

    fn prefers_svg(&self) -> bool {
        self.points() <= 10_000
    }

    fn draw(&self, canvas: &Canvas<'_>) {
        let frame = self.frame();
        let plot = frame.draw(canvas);
        let edges = self.edges();
        let drawn = |height: f64| match self.log_y {
            true if height > 0.0 => height.log10(),
            true => frame.y.low,
            false => height,
        };
        let all: Vec<Vec<f64>> = self.series.iter().map(|(_, values)| self.heights(values, &edges)).collect();
        for (series, heights) in all.iter().enumerate() {
            for (bin, height) in heights.iter().enumerate().filter(|(_, height)| **height > 0.0) {
                let corners = [plot.place(edges[bin], drawn(*height)), plot.place(edges[bin + 1], drawn(0.0))];
                plot.canvas.rectangle(corners, self.color(series).mix(0.3));
            }
        }
        // The outlines above all areas, each with its pattern.
        for (series, heights) in all.iter().enumerate() {
            let tops = heights.iter().enumerate();
            let tops = tops.flat_map(|(bin, height)| [(edges[bin], *height), (edges[bin + 1], *height)]);
            let outline = [(edges[0], 0.0)].into_iter().chain(tops).chain([(edges[self.bins], 0.0)]);
            let places: Vec<_> = outline.map(|(x, y)| plot.place(x, drawn(y))).collect();
            draw_line(&plot.canvas, &places, series, self.color(series));
        }
        plot.marks(self.marks.iter().map(|(x, text)| (*x, text.as_str())));
    }
}
