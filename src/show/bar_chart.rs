//! Bars beside names.

use super::axis::{Axis, LARGEST, range};
use super::canvas::{Canvas, px};
use super::chart::Chart;
use super::figure::Figure;
use super::frame::{Entry, Frame, Legend, Mark, draw_baseline, draw_error};
use super::text::{self, HPos, SMALL, VPos};
use super::theme::{INK, Paint};
use crate::error::{Error, Result};

/// A chart of bars to the right of their names, from top to bottom, each with its number at its end.
///
/// ```
/// use latentlab::BarChart;
///
/// let figure = BarChart::new("share of the variance").bar("learning rate", 0.71).bar("filters", 0.29).figure()?;
/// let accuracy = BarChart::new("test accuracy, %")
///     .bar_with_error("pixels", 92.3, 0.4)
///     .bar_with_error("codes", 91.5, 0.9)
///     .baseline("chance", 10.0)
///     .figure()?;
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone)]
pub struct BarChart {
    value_name: String,
    bars: Vec<(String, f64)>,
    /// By bar; 0 where there is none.
    errors: Vec<f64>,
    baselines: Vec<(String, f64)>,
}

impl BarChart {
    /// A chart without bars yet; `value_name` is written at the axis of the values.
    pub fn new(value_name: impl Into<String>) -> Self {
        Self { value_name: value_name.into(), bars: Vec::new(), errors: Vec::new(), baselines: Vec::new() }
    }

    /// Adds a bar below the others.
    pub fn bar(self, name: impl Into<String>, value: f64) -> Self {
        self.bar_with_error(name, value, 0.0)
    }

    /// Adds a bar with an error bar from `value - error` to `value + error`, such as the standard deviation over seeds.
    pub fn bar_with_error(mut self, name: impl Into<String>, value: f64, error: f64) -> Self {
        self.bars.push((name.into(), value));
        self.errors.push(error);
        self
    }

    /// Adds a dashed line through all bars: chance, or a naive answer. The legend names it.
    pub fn baseline(mut self, name: impl Into<String>, value: f64) -> Self {
        self.baselines.push((name.into(), value));
        self
    }

    /// The finished figure.
    ///
    /// # Errors
    /// If there are no bars or more than 50, a value is NaN, infinite or beyond ±1e100, or an error is below 0 too.
    pub fn figure(&self) -> Result<Figure> {
        if !(1..=50).contains(&self.bars.len()) {
            let error = Error::argument("bar chart", "1 to 50 bars", self.bars.len());
            return Err(if self.bars.is_empty() { error } else { error.hint("Draw the largest, or several charts") });
        }
        if let Some(((name, _), error)) =
            self.bars.iter().zip(&self.errors).find(|(_, e)| !(0.0..=LARGEST).contains(*e))
        {
            return Err(Error::argument(format!("bar {name:?}, its error"), "a number from 0 to 1e100", error));
        }
        let lines = self.baselines.iter().map(|line| ("baseline", line));
        let mut all = self.bars.iter().map(|bar| ("bar", bar)).chain(lines);
        match all.find(|(_, (_, value))| !value.is_finite() || value.abs() > LARGEST) {
            Some((what, (name, value))) => {
                Err(Error::argument(format!("{what} {name:?}"), "a number up to 1e100", value))
            }
            None => Ok(Figure::new(self.clone())),
        }
    }

    fn frame(&self) -> Frame {
        const WIDTH: u32 = 420;
        let count = self.bars.len() as f64;
        let ends = self.bars.iter().zip(&self.errors).flat_map(|((_, value), error)| [value - error, value + error]);
        let (low, high) = range(ends.chain(self.baselines.iter().map(|(_, value)| *value)).chain([0.0]));
        let mut x = Axis::linear((low, high), 0.0, 6);
        // Space for the numbers at the bars' ends.
        let widest = text::widest(&self.numbers(), SMALL);
        let space = (0.12 * f64::from(WIDTH)).max(widest + 10.0);
        let space = space / (f64::from(WIDTH) - 2.0 * space) * (x.high - x.low);
        x.low = if low < 0.0 { x.low - space } else { 0.0 };
        x.high = if high > 0.0 { x.high + space } else { 0.0 };
        if low == high {
            x.high = 1.0;
        }
        x.ticks.retain(|(at, _)| (x.low..=x.high).contains(at));
        let name = |(index, (name, _)): (usize, &(String, f64))| (count - 1.0 - index as f64, name.clone());
        let y = Axis {
            low: -0.5,
            high: count - 0.5,
            ticks: self.bars.iter().enumerate().map(name).collect(),
            minor: Vec::new(),
        };
        let height = 28 * self.bars.len() as u32 + 12;
        let baseline = |(name, _): &(String, f64)| Entry { text: name.clone(), mark: Mark::Baseline };
        let legend = Legend::new(self.baselines.iter().map(baseline).collect());
        Frame::new((WIDTH, height), (x, &self.value_name), (y, ""), legend)
    }

    /// The numbers at the bars' ends: as many decimals for all as the largest needs for three digits, or fewer if all
    /// are as exact with them.
    fn numbers(&self) -> Vec<String> {
        let (_, largest) = range(self.bars.iter().map(|(_, value)| value.abs()));
        let each = |value: f64| if (1e-3..1e6).contains(&largest) { None } else { Some(number(value)) };
        let most = (2 - largest.max(1e-3).log10().floor() as i32).max(0) as usize;
        let is_exact = |decimals: &usize| {
            let same = |(_, value): &(String, f64)| {
                format!("{value:.decimals$}").parse::<f64>().ok() == format!("{value:.most$}").parse::<f64>().ok()
            };
            self.bars.iter().all(same)
        };
        let decimals = (0..most).find(is_exact).unwrap_or(most);
        let text = |value: f64| match format!("{value:.decimals$}") {
            // Not 0.00 for what is not 0.
            text if value != 0.0 && text.parse() == Ok(0.0) => number(value),
            text => text,
        };
        self.bars.iter().map(|(_, value)| each(*value).unwrap_or_else(|| text(*value))).collect()
    }
}

impl Chart for BarChart {
    fn kind(&self) -> &'static str {
        "bar chart"
    }

    fn size(&self) -> (u32, u32) {
        self.frame().size()
    }

    fn draw(&self, canvas: &Canvas<'_>) {
        let frame = self.frame();
        let plot = frame.draw(canvas);
        let bars = self.bars.iter().zip(&self.errors).zip(self.numbers());
        for ((((_, value), error), text), (at, _)) in bars.zip(&frame.y.ticks) {
            let (from, y) = plot.place(0.0, *at);
            let (to, _) = plot.place(*value, *at);
            let corners = [(from.min(to), y - px(9)), (from.max(to), y + px(9))];
            plot.canvas.rectangle(corners, Paint::class(0, 1));
            let [low, high] = [value - error, value + error].map(|end| plot.place(end, *at).0);
            if *error > 0.0 {
                draw_error(&plot.canvas, [(low, y), (high, y)], INK);
            }
            let to = if *value < 0.0 { low.min(to) } else { high.max(to) };
            let (anchor, x) = if *value < 0.0 { (HPos::Right, to - px(5)) } else { (HPos::Left, to + px(5)) };
            text::draw(&plot.canvas, &text, &text::style(SMALL, anchor, VPos::Center), (x, y));
        }
        for (_, value) in &self.baselines {
            let (x, _) = plot.place(*value, 0.0);
            draw_baseline(&plot.canvas, [(x, 0), (x, plot.height)]);
        }
    }
}

/// Three digits.
pub(super) fn number(value: f64) -> String {
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    if rounded == 0.0 || (1e-3..1e6).contains(&rounded.abs()) { rounded.to_string() } else { format!("{rounded:e}") }
}
