//! Curves over epochs, or over anything else.

use plotters::style::RGBColor;

use super::axis::{Axis, LARGEST, range};
use super::canvas::{Canvas, px};
use super::chart::Chart;
use super::figure::Figure;
use super::frame::{Entry, Frame, Legend, Mark, draw_cross, draw_line};
use super::palette;
use crate::error::{Error, Result};

/// A chart of lines, at most a hundred, told apart by colour and by pattern (solid, dashed, dotted …).
///
/// The first value of a line is drawn at x = 1, like a first epoch, unless [`x_values`](Self::x_values) are given.
///
/// ```
/// use latentlab::LineChart;
///
/// let figure = LineChart::new("epoch", "MSE")
///     .line("training", &[0.110, 0.081, 0.072, 0.069])
///     .line("validation", &[0.098, 0.079, 0.073, 0.074])
///     .mark(3.0, "best")
///     .figure()?
///     .title("Loss");
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone)]
pub struct LineChart {
    x_name: String,
    y_name: String,
    lines: Vec<Series>,
    x_values: Option<Vec<f64>>,
    marks: Vec<(f64, String)>,
    log_y: bool,
    log_x: bool,
}

/// The values of a line, or of points that are not joined.
#[derive(Clone)]
struct Series {
    name: String,
    values: Vec<f64>,
    style: Style,
    /// Whether values that are NaN or infinite are expected, so that the legend need not count them.
    expects_gaps: bool,
}

/// The most lines of a chart, and of its legend.
const MOST_LINES: usize = 100;
const NAMED: usize = 47;

#[derive(Clone, Copy)]
enum Style {
    Line,
    Dots,
    Crosses,
}

impl LineChart {
    /// A chart with these names at its axes and no lines yet.
    pub fn new(x_name: impl Into<String>, y_name: impl Into<String>) -> Self {
        Self {
            x_name: x_name.into(),
            y_name: y_name.into(),
            lines: Vec::new(),
            x_values: None,
            marks: Vec::new(),
            log_y: false,
            log_x: false,
        }
    }

    /// Adds a line. Where a value is NaN or infinite, the line has a gap, and the legend counts these values.
    pub fn line(self, name: impl Into<String>, values: &[f64]) -> Self {
        self.series(name.into(), values, Style::Line, false)
    }

    /// A line whose gaps the legend does not count.
    pub(super) fn line_with_gaps(self, name: &str, values: &[f64]) -> Self {
        self.series(name.into(), values, Style::Line, true)
    }

    /// Adds values that are drawn as dots and not joined; one that is NaN or infinite is left out.
    pub fn dots(self, name: impl Into<String>, values: &[f64]) -> Self {
        self.series(name.into(), values, Style::Dots, true)
    }

    /// Adds values that are drawn as × and not joined; one that is NaN or infinite is left out.
    pub fn crosses(self, name: impl Into<String>, values: &[f64]) -> Self {
        self.series(name.into(), values, Style::Crosses, true)
    }

    fn series(mut self, name: String, values: &[f64], style: Style, expects_gaps: bool) -> Self {
        self.lines.push(Series { name, values: values.to_vec(), style, expects_gaps });
        self
    }

    /// The x of each value, for all lines: as many as the longest line has values. Default: 1, 2, 3 …
    pub fn x_values(mut self, values: &[f64]) -> Self {
        self.x_values = Some(values.to_vec());
        self
    }

    /// Marks a place on the x axis by a vertical line with a text.
    pub fn mark(mut self, x: f64, text: impl Into<String>) -> Self {
        self.marks.push((x, text.into()));
        self
    }

    /// Draws the y axis with a logarithmic scale; all values must be above zero.
    pub fn log_y(mut self) -> Self {
        self.log_y = true;
        self
    }

    /// Draws the x axis with a logarithmic scale; all [`x_values`](Self::x_values) must be above zero.
    pub fn log_x(mut self) -> Self {
        self.log_x = true;
        self
    }

    /// The finished figure.
    ///
    /// # Errors
    /// If there are no lines or more than 100, a line has no finite value, a number is beyond ±1e100 or not above 0 on
    /// a logarithmic axis, the `x_values` are not as many as the longest line has, or a mark lies outside the x axis.
    pub fn figure(&self) -> Result<Figure> {
        if !(1..=MOST_LINES).contains(&self.lines.len()) {
            let error = Error::argument("line chart", format!("1 to {MOST_LINES} lines"), self.lines.len());
            return Err(if self.lines.is_empty() {
                error
            } else {
                error.hint("Draw several charts, side by side with row")
            });
        }
        if let Some(x_values) = &self.x_values {
            if x_values.len() != self.longest() {
                let expected = format!("{} values, as the longest line has", self.longest());
                return Err(Error::argument("line chart, x_values", expected, x_values.len()));
            }
            if let Some(index) = x_values.iter().position(|x| !x.is_finite() || x.abs() > LARGEST) {
                return Err(Error::argument(
                    format!("line chart, x_values[{index}]"),
                    "a finite number",
                    x_values[index],
                ));
            }
            if let Some(index) = x_values.iter().position(|x| self.log_x && *x <= 0.0) {
                let place = format!("line chart, x_values[{index}]");
                return Err(Error::argument(place, "a number above 0", x_values[index]).hint("Leave out log_x()"));
            }
        }
        self.lines.iter().try_for_each(|line| self.check_line(&line.name, &line.values))?;
        let (low, high) = self.x_range();
        match self.marks.iter().find(|(x, _)| !(low..=high).contains(x)) {
            Some((x, text)) => Err(Error::argument(format!("mark {text:?}"), format!("an x from {low} to {high}"), x)),
            None => Ok(Figure::new(self.clone())),
        }
    }

    fn check_line(&self, name: &str, values: &[f64]) -> Result<()> {
        if !values.iter().any(|value| value.is_finite()) {
            let got = if values.is_empty() { "none" } else { "only NaN or infinite ones" };
            return Err(Error::argument(format!("line {name:?}"), "at least 1 value", got));
        }
        for (index, value) in values.iter().enumerate().filter(|(_, value)| value.is_finite()) {
            let place = format!("line {name:?}, value {}", index + 1);
            if self.log_y && *value <= 0.0 {
                let hint = "Leave out log_y(), or the values that are not above 0";
                return Err(Error::argument(place, "a number above 0", value).hint(hint));
            }
            if value.abs() > LARGEST {
                return Err(Error::argument(place, "a number up to 1e100", format!("{value:e}")));
            }
        }
        Ok(())
    }

    fn x(&self, index: usize) -> f64 {
        self.x_values.as_ref().map_or((index + 1) as f64, |x| x[index])
    }

    /// Where an x is drawn.
    fn drawn_x(&self, x: f64) -> f64 {
        if self.log_x { x.log10() } else { x }
    }

    /// A value's drawn coordinate.
    fn y(&self, value: f64) -> f64 {
        if self.log_y { value.log10() } else { value }
    }

    fn longest(&self) -> usize {
        self.lines.iter().map(|line| line.values.len()).max().unwrap_or(0)
    }

    fn x_range(&self) -> (f64, f64) {
        range((0..self.longest()).map(|index| self.x(index)))
    }

    fn frame(&self) -> Frame {
        let values = range(self.lines.iter().flat_map(|line| &line.values).copied().filter(|value| value.is_finite()));
        let axis = if self.log_y { Axis::logarithmic } else { Axis::linear };
        let mark = |index: usize, style: Style| match style {
            Style::Line => Mark::Line(index, self.color(index)),
            Style::Dots => Mark::Dot(self.color(index)),
            Style::Crosses => Mark::Cross(self.color(index)),
        };
        let entry = |(index, line): (usize, &Series)| Entry { text: line.name.clone(), mark: mark(index, line.style) };
        let mut legend = Vec::new();
        for (index, line) in self.lines.iter().enumerate().take(NAMED) {
            legend.push(entry((index, line)));
            let missing = line.values.iter().filter(|value| !value.is_finite()).count();
            if missing > 0 && !line.expects_gaps {
                legend.push(Entry { text: format!("({missing} NaN or infinite)"), mark: Mark::Space });
            }
        }
        if self.lines.len() > NAMED {
            legend.push(Entry { text: format!("… and {} more", self.lines.len() - NAMED), mark: Mark::Space });
        }
        let x = match self.x_values {
            _ if self.log_x => Axis::logarithmic(self.x_range(), 0.02, 8),
            Some(_) => Axis::linear(self.x_range(), 0.02, 8),
            None => Axis::counting(self.longest(), 8),
        };
        Frame::new((500, 320), (x, &self.x_name), (axis(values, 0.06, 6), &self.y_name), Legend::new(legend))
    }

    fn color(&self, series: usize) -> RGBColor {
        palette::color_of(series, self.lines.len())
    }
}

impl Chart for LineChart {
    fn kind(&self) -> &'static str {
        "line chart"
    }

    fn size(&self) -> (u32, u32) {
        self.frame().size()
    }

    fn points(&self) -> usize {
        self.lines.iter().map(|line| line.values.len()).sum()
    }

    fn prefers_svg(&self) -> bool {
        self.points() <= 10_000
    }

    fn draw(&self, canvas: &Canvas<'_>) {
        let frame = self.frame();
        let plot = frame.draw(canvas);
        plot.marks(self.marks.iter().map(|(x, text)| (self.drawn_x(*x), text.as_str())));
        for (series, line) in self.lines.iter().enumerate() {
            let place = |(i, &value): (usize, &f64)| (self.drawn_x(self.x(i)), self.y(value));
            let points: Vec<_> = line.values.iter().enumerate().map(place).collect();
            for piece in points.split(|(_, y)| !y.is_finite()) {
                let places: Vec<_> = piece.iter().map(|&(x, y)| plot.place(x, y)).collect();
                let color = self.color(series);
                let dot = |place| plot.canvas.circle(place, px(3), color);
                match (line.style, &places[..]) {
                    (Style::Crosses, places) => {
                        places.iter().for_each(|place| draw_cross(&plot.canvas, *place, px(3.5), color.into()));
                    }
                    (Style::Dots, places) => places.iter().copied().for_each(dot),
                    (Style::Line, []) => {}
                    (Style::Line, [alone]) => dot(*alone),
                    (Style::Line, places) => draw_line(&plot.canvas, places, series, color),
                }
            }
        }
    }
}
