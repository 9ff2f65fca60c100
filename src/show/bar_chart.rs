//! Bars beside names.

use plotters::style::Color;

use super::axis::{Axis, LARGEST, range};
use super::canvas::{Canvas, px};
use super::chart::Chart;
use super::figure::Figure;
use super::frame::{Frame, Legend};
use super::palette;
use super::text::{self, HPos, SMALL, VPos};
use crate::error::{Error, Result};

/// A chart of bars to the right of their names, from top to bottom, each with its number at its end.
///
/// ```
/// use latentlab::BarChart;
///
/// let figure = BarChart::new("share of the variance").bar("learning rate", 0.71).bar("filters", 0.29).figure()?;
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone)]
pub struct BarChart {
    value_name: String,
    bars: Vec<(String, f64)>,
}

impl BarChart {
    /// A chart without bars yet; `value_name` is written at the axis of the values.
    pub fn new(value_name: impl Into<String>) -> Self {
        Self { value_name: value_name.into(), bars: Vec::new() }
    }

    /// Adds a bar below the others.
    pub fn bar(mut self, name: impl Into<String>, value: f64) -> Self {
        self.bars.push((name.into(), value));
        self
    }

    /// The finished figure.
    ///
    /// # Errors
    /// If there are no bars or more than 50, or a value is NaN, infinite or beyond ±1e100.
    pub fn figure(&self) -> Result<Figure> {
        if !(1..=50).contains(&self.bars.len()) {
            let error = Error::argument("bar chart", "1 to 50 bars", self.bars.len());
            return Err(if self.bars.is_empty() { error } else { error.hint("Draw the largest, or several charts") });
        }
        match self.bars.iter().find(|(_, value)| !value.is_finite() || value.abs() > LARGEST) {
            Some((name, value)) => Err(Error::argument(format!("bar {name:?}"), "a number up to 1e100", value)),
            None => Ok(Figure::new(self.clone())),
        }
    }

    fn frame(&self) -> Frame {
        const WIDTH: u32 = 420;
        let count = self.bars.len() as f64;
        let (low, high) = range(self.bars.iter().map(|(_, value)| *value).chain([0.0]));
        let mut x = Axis::linear((low, high), 0.0, 6);
        // Space for the numbers at the bars' ends.
        let widest = text::widest(&self.bars.iter().map(|(_, value)| number(*value)).collect::<Vec<_>>(), SMALL);
        let space = (0.12 * f64::from(WIDTH)).max(widest + 10.0);
        let space = space / (f64::from(WIDTH) - 2.0 * space) * (x.high - x.low);
        x.low = if low < 0.0 { x.low - space } else { 0.0 };
        x.high = if high > 0.0 { x.high + space } else { 0.0 };
        if low == high {
            x.high = 1.0;
        }
        x.ticks.retain(|(at, _)| (x.low..=x.high).contains(at));
        let name = |(index, (name, _)): (usize, &(String, f64))| (count - 1.0 - index as f64, name.clone());
        let y = Axis { low: -0.5, high: count - 0.5, ticks: self.bars.iter().enumerate().map(name).collect() };
        let height = 28 * self.bars.len() as u32 + 12;
        Frame::new((WIDTH, height), (x, &self.value_name), (y, ""), Legend::new(Vec::new()))
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
        for ((_, value), (at, _)) in self.bars.iter().zip(&frame.y.ticks) {
            let (from, y) = plot.place(0.0, *at);
            let (to, _) = plot.place(*value, *at);
            let corners = [(from.min(to), y - px(9)), (from.max(to), y + px(9))];
            plot.canvas.rectangle(corners, palette::color(0).filled());
            let (anchor, x) = if *value < 0.0 { (HPos::Right, to - px(5)) } else { (HPos::Left, to + px(5)) };
            text::draw(&plot.canvas, &number(*value), &text::style(SMALL, anchor, VPos::Center), (x, y));
        }
    }
}

/// Three digits.
fn number(value: f64) -> String {
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    if rounded == 0.0 || (1e-3..1e6).contains(&rounded.abs()) { rounded.to_string() } else { format!("{rounded:e}") }
}
