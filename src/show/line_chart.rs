//! Curves over epochs, or over anything else.

use super::axis::{Axis, LARGEST, range};
use super::canvas::{Canvas, px};
use super::chart::Chart;
use super::figure::Figure;
use super::frame::{Entry, Frame, Legend, Mark, Plot, draw_baseline, draw_cross, draw_error, draw_line, draw_marker};
use super::theme::Paint;
use crate::error::{Error, Result};

/// A chart of lines, at most a hundred, told apart by colour and by pattern (solid, dashed, dotted …).
///
/// The first value of a line is drawn at x = 1, like a first epoch, unless [`x_values`](Self::x_values) are given.
///
/// ```
/// use latentlab::LineChart;
///
/// // With few values the points are marked; the legend's entries stand beside the lines' ends.
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
    /// Of the line with that number, from 1.
    spreads: Vec<(usize, Spread)>,
    baselines: Vec<(String, f64)>,
    x_values: Option<Vec<f64>>,
    marks: Vec<(f64, String)>,
    log_y: bool,
    log_x: bool,
}

/// How far values may be off: the lowest and the highest at each.
#[derive(Clone)]
struct Spread {
    low: Vec<f64>,
    high: Vec<f64>,
    /// Else a band.
    bars: bool,
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

/// The points of lines are marked up to so many.
const MARKED: usize = 15;

#[derive(Clone, Copy, PartialEq)]
enum Style {
    Line,
    Steps,
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
            spreads: Vec::new(),
            baselines: Vec::new(),
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

    /// Adds the mean of several runs, such as one for each seed, with a band of their standard deviation on both
    /// sides; each value over the runs that have a finite one.
    ///
    /// ```
    /// use latentlab::LineChart;
    ///
    /// let losses = [vec![0.110, 0.081, 0.072], vec![0.121, 0.085, 0.070], vec![0.108, 0.083, 0.075]];
    /// let figure = LineChart::new("epoch", "MSE").runs("Adam, 3 seeds", &losses).baseline("average", 0.1).figure()?;
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn runs(self, name: impl Into<String>, runs: &[Vec<f64>]) -> Self {
        let (means, deviations) = Self::moments(runs);
        let side = |sign: f64| Vec::from_iter(means.iter().zip(&deviations).map(|(mean, d)| mean + sign * d));
        self.line(name, &means).band(&side(-1.0), &side(1.0))
    }

    /// The same with error bars in place of the band, for few values with nothing between them.
    ///
    /// ```
    /// use latentlab::LineChart;
    ///
    /// let accuracies = [vec![44.3, 61.0, 72.5], vec![50.9, 63.2, 71.9], vec![41.4, 60.1, 73.0]];
    /// let figure = LineChart::new("labels", "accuracy, %").x_values(&[20.0, 100.0, 500.0]).log_x()
    ///     .runs_with_error_bars("fine-tuned, 3 draws", &accuracies).baseline("chance", 10.0).figure()?;
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn runs_with_error_bars(self, name: impl Into<String>, runs: &[Vec<f64>]) -> Self {
        let (means, deviations) = Self::moments(runs);
        self.line(name, &means).error_bars(&deviations)
    }

    /// The mean and the standard deviation of each value, over the runs that have a finite one.
    fn moments(runs: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
        let length = runs.iter().map(Vec::len).max().unwrap_or(0);
        let moments = |index: usize| {
            let values = || runs.iter().filter_map(|run| run.get(index)).filter(|value| value.is_finite());
            let count = values().count() as f64;
            let mean = values().sum::<f64>() / count;
            let squares = values().map(|value| (value - mean).powi(2)).sum::<f64>();
            (mean, if count > 1.0 { (squares / (count - 1.0)).sqrt() } else { 0.0 })
        };
        (0..length).map(moments).unzip()
    }

    /// Adds values of which each holds until the next one, as the best value so far does. Where a value is NaN or
    /// infinite, there is a gap.
    pub fn steps(self, name: impl Into<String>, values: &[f64]) -> Self {
        self.series(name.into(), values, Style::Steps, true)
    }

    /// Draws an error bar at each value of the line, dots or crosses before it, in their colour: from `value - error`
    /// to `value + error`, such as the standard deviation over seeds; none where the error is NaN.
    pub fn error_bars(self, errors: &[f64]) -> Self {
        let values = self.lines.last().map_or(Vec::new(), |line| line.values.clone());
        let side = |sign: f64| {
            let end = |(index, error): (usize, &f64)| values.get(index).copied().unwrap_or_default() + sign * error;
            Vec::from_iter(errors.iter().enumerate().map(end))
        };
        let (low, high) = (side(-1.0), side(1.0));
        self.spread(Spread { low, high, bars: true })
    }

    /// Fills the space between a lowest and a highest value for each of the line before it.
    pub fn band(self, lowest: &[f64], highest: &[f64]) -> Self {
        self.spread(Spread { low: lowest.to_vec(), high: highest.to_vec(), bars: false })
    }

    fn spread(mut self, spread: Spread) -> Self {
        self.spreads.push((self.lines.len(), spread));
        self
    }

    /// Adds a level dashed line: chance, a naive answer, the best possible one. It looks the same in all charts.
    pub fn baseline(mut self, name: impl Into<String>, value: f64) -> Self {
        self.baselines.push((name.into(), value));
        self
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
    /// a logarithmic axis, the `x_values` are not as many as the longest line has, error bars or a band have no line
    /// before them or are not as many as its values, or a mark lies outside the x axis.
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
        self.lines.iter().try_for_each(|line| self.check_line("line", &line.name, &line.values))?;
        self.baselines.iter().try_for_each(|(name, value)| self.check_line("baseline", name, &[*value]))?;
        self.spreads.iter().try_for_each(|(line, spread)| self.check_spread(*line, spread))?;
        let (low, high) = self.x_range();
        match self.marks.iter().find(|(x, _)| !(low..=high).contains(x)) {
            Some((x, text)) => Err(Error::argument(format!("mark {text:?}"), format!("an x from {low} to {high}"), x)),
            None => Ok(Figure::new(self.clone())),
        }
    }

    fn check_spread(&self, line: usize, Spread { low, high, bars }: &Spread) -> Result<()> {
        let what = if *bars { "error bars" } else { "a band" };
        let Some(line) = line.checked_sub(1).map(|line| &self.lines[line]) else {
            return Err(Error::argument(format!("line chart, {what}"), "a line before it", "none"));
        };
        let (place, count) = (format!("{what} of line {:?}", line.name), line.values.len());
        if let Some(other) = [low.len(), high.len()].into_iter().find(|other| *other != count) {
            return Err(Error::argument(place, format!("{count} values, as the line has"), other));
        }
        for (index, (low, high)) in low.iter().zip(high).enumerate() {
            let place = format!("{place}, value {}", index + 1);
            if low > high {
                let (expected, got) = match bars {
                    true => ("an error of at least 0", (high / 2.0 - low / 2.0).to_string()),
                    false => ("a lowest value not above the highest", format!("{low} and {high}")),
                };
                return Err(Error::argument(place, expected, got));
            }
            if low.abs().max(high.abs()) > LARGEST {
                return Err(Error::argument(place, "numbers up to 1e100", format!("{low:e} and {high:e}")));
            }
        }
        Ok(())
    }

    fn check_line(&self, what: &str, name: &str, values: &[f64]) -> Result<()> {
        if !values.iter().any(|value| value.is_finite()) {
            let got = if values.is_empty() { "none" } else { "only NaN or infinite ones" };
            return Err(Error::argument(format!("{what} {name:?}"), "at least 1 value", got));
        }
        for (index, value) in values.iter().enumerate().filter(|(_, value)| value.is_finite()) {
            let place = format!("{what} {name:?}, value {}", index + 1);
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

    /// Whether the points of lines are marked: they are few.
    fn is_marked(&self) -> bool {
        self.longest() <= MARKED
    }

    fn frame(&self) -> Frame {
        let lines = self.lines.iter().flat_map(|line| &line.values);
        let spreads = self.spreads.iter().flat_map(|(_, spread)| spread.low.iter().chain(&spread.high));
        let values = lines.chain(spreads).chain(self.baselines.iter().map(|(_, value)| value)).copied();
        let values = range(values.filter(|value| value.is_finite() && (!self.log_y || *value > 0.0)));
        let axis = if self.log_y { Axis::logarithmic } else { Axis::linear };
        let mark = |index: usize, style: Style| match style {
            Style::Line => Mark::Line(index, self.color(index), self.is_marked()),
            Style::Steps => Mark::Line(index, self.color(index), false),
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
        let baseline = |(name, _): &(String, f64)| Entry { text: name.clone(), mark: Mark::Baseline };
        legend.extend(self.baselines.iter().map(baseline));
        if self.lines.len() > NAMED {
            legend.push(Entry { text: format!("… and {} more", self.lines.len() - NAMED), mark: Mark::Space });
        }
        let x = match self.x_values {
            _ if self.log_x => Axis::logarithmic(self.x_range(), 0.02, 8),
            Some(_) => Axis::linear(self.x_range(), 0.02, 8),
            None => Axis::counting(self.longest(), 8),
        };
        let y = (axis(values, 0.06, 6), &self.y_name[..]);
        let last = |line: &Series| line.values.iter().rev().copied().find(|value| value.is_finite());
        let ends = self.lines.iter().filter_map(last).chain(self.baselines.iter().map(|(_, value)| *value));
        let ends: Vec<f64> = ends.map(|value| self.y(value)).collect();
        Frame::new((500, 320), (x, &self.x_name), y, Legend::new(legend)).beside(&ends)
    }

    /// The band or the error bars of a line.
    fn draw_spread(&self, plot: &Plot<'_>, color: Paint, Spread { low, high, bars }: &Spread) {
        // On a logarithmic axis what reaches 0 or below goes down to the edge.
        let drawn = |value: f64| if self.log_y && value <= 0.0 { plot.lowest() } else { self.y(value) };
        let ends: Vec<_> = low
            .iter()
            .zip(high)
            .enumerate()
            .map(|(index, (low, high))| {
                let (low, high) = (*low, *high);
                let x = self.drawn_x(self.x(index));
                (low.is_finite() && high.is_finite()).then(|| [plot.place(x, drawn(low)), plot.place(x, drawn(high))])
            })
            .collect();
        if *bars {
            return ends.into_iter().flatten().for_each(|ends| draw_error(&plot.canvas, ends, color));
        }
        for piece in ends.split(Option::is_none).map(|piece| piece.iter().flatten()) {
            let corners: Vec<_> = piece.clone().map(|ends| ends[0]).chain(piece.rev().map(|ends| ends[1])).collect();
            if corners.len() > 2 {
                plot.canvas.polygon(&corners, color.mix(0.2));
            }
        }
    }

    fn color(&self, series: usize) -> Paint {
        Paint::class(series, self.lines.len())
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
        let across = |value: f64| [0, plot.width].map(|x| (x, plot.place(0.0, self.y(value)).1));
        self.baselines.iter().for_each(|(_, value)| draw_baseline(&plot.canvas, across(*value)));
        for (line, spread) in &self.spreads {
            self.draw_spread(&plot, self.color(line - 1), spread);
        }
        for (series, line) in self.lines.iter().enumerate() {
            let place = |(i, &value): (usize, &f64)| (self.drawn_x(self.x(i)), self.y(value));
            let points: Vec<_> = line.values.iter().enumerate().map(place).collect();
            for piece in points.split(|(_, y)| !y.is_finite()) {
                let places: Vec<_> = piece.iter().map(|&(x, y)| plot.place(x, y)).collect();
                let color = self.color(series);
                let dot = |place| plot.canvas.circle(place, px(3), color);
                match (line.style, &places[..]) {
                    (Style::Crosses, places) => {
                        places.iter().for_each(|place| draw_cross(&plot.canvas, *place, px(3.5), color));
                    }
                    (Style::Dots, places) => places.iter().copied().for_each(dot),
                    (Style::Line | Style::Steps, []) => {}
                    (Style::Line | Style::Steps, [alone]) => dot(*alone),
                    (Style::Line, places) => {
                        draw_line(&plot.canvas, places, series, color);
                        let marked = places.iter().filter(|_| self.is_marked());
                        marked.for_each(|place| draw_marker(&plot.canvas, *place, series, color));
                    }
                    (Style::Steps, places) => {
                        let corners = places.windows(2).flat_map(|pair| [pair[0], (pair[1].0, pair[0].1)]);
                        let corners: Vec<_> = corners.chain(places.last().copied()).collect();
                        draw_line(&plot.canvas, &corners, series, color);
                    }
                }
            }
        }
    }
}
