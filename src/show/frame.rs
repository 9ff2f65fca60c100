//! What line charts and scatters share: axes with names, and a legend to the right of them, where it covers nothing.

use plotters::element::DashedPathElement;
use plotters::prelude::*;

use super::axis::Axis;
use super::figure::{Area, Drawn, part, px};
use super::palette::{INK, MESH};
use super::text::{self, HPos, LINE, NORMAL, SMALL, VPos};

/// Axes around a plot of a fixed size in pixels.
pub(super) struct Frame {
    plot: (u32, u32),
    pub(super) x: Axis,
    pub(super) y: Axis,
    legend: Legend,
    /// The axes' names in lines.
    x_name: Vec<String>,
    y_name: Vec<String>,
    /// The ticks of the y axis, shortened where they are long names.
    y_texts: Vec<String>,
    /// Space around the plot.
    left: u32,
    right: u32,
    bottom: u32,
}

/// A line of the legend.
pub(super) struct Entry {
    pub(super) text: String,
    pub(super) mark: Mark,
}

/// What stands before a legend's text.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    /// A series' number for its pattern, and its colour.
    Line(usize, RGBColor),
    Dot(RGBColor),
    Cross(RGBColor),
    Mean(RGBColor),
    /// None: an empty line.
    Space,
}

/// Where the series are drawn.
pub(super) struct Plot<'a, DB: DrawingBackend> {
    frame: &'a Frame,
    /// In the canvas' units, from its own upper left corner.
    pub(super) area: Area<DB>,
    pub(super) width: i32,
    pub(super) height: i32,
}

impl<DB: DrawingBackend> Plot<'_, DB> {
    /// The place of a point given in the axes' drawn coordinates.
    pub(super) fn place(&self, x: f64, y: f64) -> (i32, i32) {
        (self.frame.x.place(x, self.width), self.height - self.frame.y.place(y, self.height))
    }
}

/// Space around the plot at least; to the left there are also the y axis' texts.
const LEFT: u32 = 4;
const TOP: u32 = 12;
const RIGHT: u32 = 18;
const BOTTOM: u32 = 48;
/// So many lines an axis' name may have, and so wide a name may be in place of a number.
const NAME_LINES: usize = 2;
const WIDEST_TICK: f64 = 220.0;
/// The width of a legend's marks.
const MARK: f64 = 34.0;
/// A legend has so many lines before it goes on beside them, of so many pixels; in one column there may be more.
const ROWS: usize = 25;
const WIDEST: f64 = 170.0;
const WIDEST_ALONE: f64 = 260.0;

impl Frame {
    pub(super) fn new(plot: (u32, u32), (x, x_name): (Axis, &str), (y, y_name): (Axis, &str), legend: Legend) -> Self {
        let height = plot.1.max(legend.height);
        let (across, up) = (f64::from(plot.0), f64::from(height));
        let x = x.thinned(across, |text| text::width(text, SMALL) + 6.0);
        let y = y.thinned(up, |_| SMALL);
        let y_texts: Vec<String> = y.ticks.iter().map(|(_, text)| text::fitting(text, SMALL, WIDEST_TICK)).collect();
        let x_name = text::lines(x_name, NORMAL, across, NAME_LINES);
        let y_name = text::lines(y_name, NORMAL, up, NAME_LINES);
        let more = |lines: &[String]| (lines.len() - 1) as f64 * NORMAL * LINE;
        let beyond = |(at, text): &(f64, String)| {
            let place = (at - x.low) / (x.high - x.low) * across;
            (text::width(text, SMALL) / 2.0 - place, place + text::width(text, SMALL) / 2.0 - across)
        };
        let (before, behind) =
            x.ticks.iter().map(beyond).fold((0.0, 0.0), |(a, b): (f64, f64), (c, d)| (a.max(c), b.max(d)));
        let left = text::widest(&y_texts, SMALL) + 2.0 * NORMAL + 14.0 + more(&y_name);
        Self {
            left: LEFT + left.max(before) as u32,
            right: RIGHT.max(behind.ceil() as u32 + 2),
            bottom: BOTTOM + more(&x_name) as u32,
            plot: (plot.0, height),
            x,
            y,
            legend,
            x_name,
            y_name,
            y_texts,
        }
    }

    pub(super) fn size(&self) -> (u32, u32) {
        (self.left + self.plot.0 + self.right + self.legend.width, TOP + self.plot.1 + self.bottom)
    }

    /// Draws the axes and the legend.
    pub(super) fn draw<DB: DrawingBackend>(
        &self,
        area: &Area<DB>,
    ) -> Result<Plot<'_, DB>, DrawingAreaErrorKind<DB::ErrorType>> {
        let (width, height) = self.size();
        let beside = width - self.legend.width;
        self.legend.draw(&part(area, beside, TOP, (self.legend.width, height - TOP)))?;

        let axes = part(area, 0, 0, (beside, height));
        let plot = part(area, self.left, TOP, self.plot);
        let (width, height) = (px(self.plot.0), px(self.plot.1));
        let (left, bottom) = (px(self.left), px(TOP) + height);
        let line = |from: (i32, i32), to: (i32, i32), color: RGBColor| {
            axes.draw(&PathElement::new(vec![from, to], color.stroke_width(px(1) as u32)))
        };
        let across = |at: f64| left + self.x.place(at, width);
        let down = |at: f64| bottom - self.y.place(at, height);
        for (at, _) in &self.x.ticks {
            line((across(*at), px(TOP)), (across(*at), bottom), MESH)?;
        }
        for (at, _) in &self.y.ticks {
            line((left, down(*at)), (left + width, down(*at)), MESH)?;
        }
        line((left, px(TOP)), (left, bottom), INK)?;
        line((left, bottom), (left + width, bottom), INK)?;
        for (at, text) in &self.x.ticks {
            let x = across(*at);
            line((x, bottom), (x, bottom + px(4)), INK)?;
            text::draw(&axes, text, &text::style(SMALL, HPos::Center, VPos::Top), (x, bottom + px(8)))?;
        }
        for ((at, _), text) in self.y.ticks.iter().zip(&self.y_texts) {
            let y = down(*at);
            line((left - px(4), y), (left, y), INK)?;
            text::draw(&axes, text, &text::style(SMALL, HPos::Right, VPos::Center), (left - px(8), y + px(1)))?;
        }
        let style = text::style(NORMAL, HPos::Center, VPos::Bottom);
        text::draw_lines(&axes, &self.x_name, &style, (left + width / 2, bottom + px(self.bottom)))?;
        let style = text::style(NORMAL, HPos::Center, VPos::Top).transform(FontTransform::Rotate270);
        text::draw_lines(&axes, &self.y_name, &style, (px(LEFT), px(TOP) + height / 2))?;
        Ok(Plot { frame: self, area: plot, width, height })
    }
}

/// A legend in one column or several.
pub(super) struct Legend {
    entries: Vec<Entry>,
    rows: usize,
    column: u32,
    /// In pixels.
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Legend {
    pub(super) fn new(mut entries: Vec<Entry>) -> Self {
        let columns = entries.len().div_ceil(ROWS);
        let room = if columns > 1 { WIDEST } else { WIDEST_ALONE };
        for Entry { text, .. } in &mut entries {
            *text = text::fitting(text, NORMAL, room);
        }
        let column = match columns {
            0 => 0,
            _ => (text::widest(entries.iter().map(|entry| &entry.text), NORMAL) + MARK + 12.0) as u32,
        };
        let rows = entries.len().div_ceil(columns.max(1));
        let height = (rows as f64 * NORMAL * LINE) as u32;
        Self { entries, rows, column, width: columns as u32 * column, height }
    }

    pub(super) fn draw<DB: DrawingBackend>(&self, area: &Area<DB>) -> Drawn<DB> {
        for (index, Entry { text, mark }) in self.entries.iter().enumerate() {
            let left = px(self.column) * (index / self.rows) as i32;
            let y = px(((index % self.rows) as f64 + 0.5) * NORMAL * LINE);
            let middle = (left + px(MARK) / 2, y);
            match *mark {
                Mark::Line(series, color) => {
                    draw_line(area, vec![(left + px(4), y), (left + px(MARK) - px(6), y)], series, color)?;
                }
                Mark::Dot(color) => area.draw(&Circle::new(middle, px(4), color.filled()))?,
                Mark::Cross(color) => draw_cross(area, middle, px(4), color.into())?,
                Mark::Mean(color) => draw_mean(area, middle, color)?,
                Mark::Space => {}
            }
            let style = text::style(NORMAL, HPos::Left, VPos::Center);
            text::draw(area, text, &style, (left + px(MARK), y))?;
        }
        Ok(())
    }
}

/// A series' line: its own colour, and a pattern that tells it apart without colour.
pub(super) fn draw_line<DB: DrawingBackend>(
    area: &Area<DB>,
    points: Vec<(i32, i32)>,
    series: usize,
    color: RGBColor,
) -> Drawn<DB> {
    let style = color.stroke_width(px(2) as u32);
    match [None, Some((8.0, 4.0)), Some((2.0, 3.0)), Some((14.0, 6.0))][series % 4] {
        None => area.draw(&PathElement::new(points, style)),
        Some((dash, gap)) => area.draw(&DashedPathElement::new(points, px(dash), px(gap), style)),
    }
}

/// An ×, `radius` in the canvas' units.
pub(super) fn draw_cross<DB: DrawingBackend>(
    area: &Area<DB>,
    (x, y): (i32, i32),
    radius: i32,
    color: RGBAColor,
) -> Drawn<DB> {
    let style = color.stroke_width(px(1.5) as u32);
    area.draw(&PathElement::new(vec![(x - radius, y - radius), (x + radius, y + radius)], style))?;
    area.draw(&PathElement::new(vec![(x - radius, y + radius), (x + radius, y - radius)], style))
}

/// A large diamond with a white and a black edge: the mean of a class.
pub(super) fn draw_mean<DB: DrawingBackend>(area: &Area<DB>, (x, y): (i32, i32), color: RGBColor) -> Drawn<DB> {
    for (radius, color) in [(px(10), INK), (px(8.5), WHITE), (px(6.5), color)] {
        let corners = vec![(x - radius, y), (x, y - radius), (x + radius, y), (x, y + radius)];
        area.draw(&Polygon::new(corners, color.filled()))?;
    }
    Ok(())
}
