//! Curves over epochs, or over anything else.

use plotters::element::DashedPathElement;
use plotters::prelude::*;

use super::axis::{Axis, LARGEST};
use super::figure::{Area, Drawn, Figure, px};
use super::frame::{Entry, Frame, Mark, draw_line};
use super::palette::{INK, PALETTE};
use super::text::{self, HPos, SMALL, VPos};
use crate::error::{Error, ErrorKind, Result};

/// A chart of up to ten lines, told apart by colour and by pattern (solid, dashed, dotted …).
///
/// The first value of a line stands at x = 1, like a first epoch, unless [`x_values`](Self::x_values) says otherwise.
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
    lines: Vec<(String, Vec<f64>)>,
    x_values: Option<Vec<f64>>,
    marks: Vec<(f64, String)>,
    logarithmic: bool,
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
            logarithmic: false,
        }
    }

    /// Adds a line. Where a value is NaN or infinite, the line has a gap.
    pub fn line(mut self, name: impl Into<String>, values: &[f64]) -> Self {
        self.lines.push((name.into(), values.to_vec()));
        self
    }

    /// The x of each value, for all lines: as many as the longest line has values. Default: 1, 2, 3 …
    pub fn x_values(mut self, values: &[f64]) -> Self {
        self.x_values = Some(values.to_vec());
        self
    }

    /// Marks a place on the x axis by an upright line with a text.
    pub fn mark(mut self, x: f64, text: impl Into<String>) -> Self {
        self.marks.push((x, text.into()));
        self
    }

    /// Draws the y axis with a logarithmic scale; all values must be above zero.
    pub fn logarithmic(mut self) -> Self {
        self.logarithmic = true;
        self
    }

    /// The finished figure.
    ///
    /// An error, if there is nothing to draw, or if a number cannot be drawn: it says which.
    pub fn figure(self) -> Result<Figure> {
        if !(1..=PALETTE.len()).contains(&self.lines.len()) {
            return Err(wrong("line chart", "1 to 10 lines", self.lines.len()));
        }
        let longest = self.lines.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
        if let Some(x_values) = &self.x_values {
            if x_values.len() != longest {
                return Err(wrong(
                    "line chart, x_values",
                    format!("{longest} values, as the longest line has"),
                    x_values.len(),
                ));
            }
            for (index, x) in x_values.iter().enumerate().filter(|(_, x)| !x.is_finite() || x.abs() > LARGEST) {
                return Err(wrong(format!("line chart, x_values[{index}]"), "a finite number", x));
            }
        }
        for (name, values) in &self.lines {
            if !values.iter().any(|value| value.is_finite()) {
                let got = if values.is_empty() { "none" } else { "only NaN or infinite ones" };
                return Err(wrong(format!("line {name:?}"), "at least 1 value", got));
            }
            for (index, value) in values.iter().enumerate().filter(|(_, value)| value.is_finite()) {
                if self.logarithmic && *value <= 0.0 {
                    let hint = "Leave out logarithmic(), or the values that are zero";
                    return Err(
                        wrong(format!("line {name:?}, value {}", index + 1), "a number above 0", value).hint(hint)
                    );
                }
                if value.abs() > LARGEST {
                    return Err(wrong(format!("line {name:?}, value {}", index + 1), "a number up to 1e100", value));
                }
            }
        }
        let (low, high) = self.x_range();
        match self.marks.iter().find(|(x, _)| !(low..=high).contains(x)) {
            Some((x, text)) => Err(wrong(format!("mark {text:?}"), format!("an x from {low} to {high}"), x)),
            None => Ok(self.into()),
        }
    }

    fn x(&self, index: usize) -> f64 {
        self.x_values.as_ref().map_or((index + 1) as f64, |x| x[index])
    }

    /// A value's drawn coordinate.
    fn y(&self, value: f64) -> f64 {
        if self.logarithmic { value.log10() } else { value }
    }

    fn x_range(&self) -> (f64, f64) {
        let longest = self.lines.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
        range((0..longest).map(|index| self.x(index)))
    }

    pub(super) fn point_count(&self) -> usize {
        self.lines.iter().map(|(_, values)| values.len()).sum()
    }

    fn frame(&self) -> Frame<'_> {
        let values = range(self.lines.iter().flat_map(|(_, values)| values).copied().filter(|value| value.is_finite()));
        let axis = if self.logarithmic { Axis::logarithmic } else { Axis::linear };
        let entry = |(series, (name, _)): (usize, &(String, _))| Entry { text: name.clone(), mark: Mark::Line(series) };
        Frame {
            plot: (500, 320),
            x: Axis::linear(self.x_range(), 0.02, 8),
            y: axis(values, 0.06, 6),
            x_name: &self.x_name,
            y_name: &self.y_name,
            legend: self.lines.iter().enumerate().map(entry).collect(),
        }
    }

    pub(super) fn size(&self) -> (u32, u32) {
        self.frame().size()
    }

    pub(super) fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Drawn<DB> {
        let frame = self.frame();
        let chart = frame.draw(area)?;
        let plot = chart.plotting_area();
        let (left, top) = plot.get_base_pixel();
        let local = |x, y| {
            let (x, y) = plot.map_coordinate(&(x, y));
            (x - left, y - top)
        };
        let pixels = plot.strip_coord_spec();
        for (x, text) in &self.marks {
            let (foot, head) = (local(*x, frame.y.low), local(*x, frame.y.high));
            area_line(&pixels, foot, head)?;
            // To the side with more space.
            let right = foot.0 < px(f64::from(frame.plot.0)) / 2;
            let style = text::style(SMALL, if right { HPos::Left } else { HPos::Right }, VPos::Top);
            let shift = if right { 5.0 } else { -5.0 };
            text::draw(&pixels, text, &style, (f64::from(head.0) / f64::from(px(1.0)) + shift, 4.0))?;
        }
        for (series, (_, values)) in self.lines.iter().enumerate() {
            let points: Vec<_> = values.iter().enumerate().map(|(i, &value)| (self.x(i), self.y(value))).collect();
            for piece in points.split(|(_, y)| !y.is_finite()) {
                match piece {
                    [] => {}
                    [(x, y)] => {
                        let color = super::palette::color(series);
                        pixels.draw(&Circle::new(local(*x, *y), px(3.0), color.filled()))?;
                    }
                    _ => draw_line(&pixels, piece.iter().map(|&(x, y)| local(x, y)).collect(), series)?,
                }
            }
        }
        Ok(())
    }
}

fn area_line<DB: DrawingBackend>(area: &Area<DB>, from: (i32, i32), to: (i32, i32)) -> Drawn<DB> {
    area.draw(&DashedPathElement::new(vec![from, to], px(3.0), px(3.0), INK.mix(0.6).stroke_width(px(1.0) as u32)))
}

pub(super) fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)))
}

fn wrong(place: impl Into<String>, expected: impl std::fmt::Display, got: impl std::fmt::Display) -> Error {
    Error::expected(ErrorKind::Argument, place, expected, got)
}
