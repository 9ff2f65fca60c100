//! What line charts and scatters share: axes with names, and a legend to the right of them, where it covers nothing.

use plotters::coord::ranged1d::Ranged;
use plotters::element::DashedPathElement;
use plotters::prelude::*;

use super::axis::Axis;
use super::figure::{Area, Drawn, part, px};
use super::palette::{self, INK, MESH};
use super::text::{self, HPos, LINE, NORMAL, SMALL, VPos};

/// Axes around a plot of a fixed size in pixels.
pub(super) struct Frame<'a> {
    pub(super) plot: (u32, u32),
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) x_name: &'a str,
    pub(super) y_name: &'a str,
    pub(super) legend: Vec<Entry>,
}

/// A line of the legend.
pub(super) struct Entry {
    pub(super) text: String,
    pub(super) mark: Mark,
}

/// What stands before a legend's text.
pub(super) enum Mark {
    Line(usize),
    Dot(RGBColor),
    Cross(RGBColor),
    Mean(RGBColor),
    /// None: an empty line.
    Space,
}

/// Where the series are drawn.
pub(super) struct Plot<'a, DB: DrawingBackend> {
    frame: &'a Frame<'a>,
    /// In the canvas' units, from its own upper left corner.
    pub(super) area: Area<DB>,
    pub(super) width: i32,
    pub(super) height: i32,
}

impl<DB: DrawingBackend> Plot<'_, DB> {
    /// The place of a point given in the axes' drawn coordinates.
    pub(super) fn place(&self, x: f64, y: f64) -> (i32, i32) {
        (self.frame.x.map(&x, (0, self.width)), self.frame.y.map(&y, (self.height, 0)))
    }
}

/// Space around the plot; to the left there are also the y axis' texts.
const LEFT: u32 = 4;
const TOP: u32 = 12;
const RIGHT: u32 = 18;
const BOTTOM: u32 = 48;
/// The width of a legend's marks.
const MARK: f64 = 34.0;

impl Frame<'_> {
    pub(super) fn size(&self) -> (u32, u32) {
        (
            LEFT + self.left() + self.plot.0 + RIGHT + legend_size(&self.legend).0,
            TOP + self.plot.1.max(legend_size(&self.legend).1) + BOTTOM,
        )
    }

    /// Draws the axes and the legend.
    pub(super) fn draw<DB: DrawingBackend>(
        &self,
        area: &Area<DB>,
    ) -> Result<Plot<'_, DB>, DrawingAreaErrorKind<DB::ErrorType>> {
        let (width, height) = self.size();
        let (legend_width, _) = legend_size(&self.legend);
        draw_legend(&part(area, width - legend_width, TOP, (legend_width, height - TOP)), &self.legend)?;

        let axes = part(area, 0, 0, (width - legend_width, height));
        let mut chart = ChartBuilder::on(&axes)
            .margin_top(px(TOP))
            .margin_left(px(LEFT))
            .margin_right(px(RIGHT))
            .x_label_area_size(px(BOTTOM))
            .y_label_area_size(px(self.left()))
            .build_cartesian_2d(self.x.clone(), self.y.clone())?;
        chart
            .configure_mesh()
            .axis_style(INK.stroke_width(px(1) as u32))
            .bold_line_style(MESH.stroke_width(px(1) as u32))
            .light_line_style(TRANSPARENT)
            .set_all_tick_mark_size(px(4))
            .y_label_offset(px(1))
            .label_style(text::style(SMALL, HPos::Center, VPos::Center))
            .axis_desc_style(text::style(NORMAL, HPos::Center, VPos::Center))
            .x_desc(self.x_name)
            .y_desc(self.y_name)
            .draw()?;
        let area = chart.plotting_area().strip_coord_spec();
        let (width, height) = area.dim_in_pixel();
        Ok(Plot { frame: self, area, width: width as i32, height: height as i32 })
    }

    /// The space for the y axis' name and its widest tick text.
    fn left(&self) -> u32 {
        (text::widest(self.y.ticks.iter().map(|(_, text)| text), SMALL) + 2.0 * NORMAL + 14.0) as u32
    }
}

/// The width and height of a legend in pixels.
pub(super) fn legend_size(legend: &[Entry]) -> (u32, u32) {
    let width = match legend.is_empty() {
        true => 0.0,
        false => text::widest(legend.iter().map(|entry| &entry.text), NORMAL) + MARK + 12.0,
    };
    (width as u32, (legend.len() as f64 * NORMAL * LINE) as u32)
}

pub(super) fn draw_legend<DB: DrawingBackend>(area: &Area<DB>, legend: &[Entry]) -> Drawn<DB> {
    for (index, Entry { text, mark }) in legend.iter().enumerate() {
        let y = px((index as f64 + 0.5) * NORMAL * LINE);
        let middle = (px(MARK) / 2, y);
        let style = text::style(NORMAL, HPos::Left, VPos::Center);
        match *mark {
            Mark::Line(series) => draw_line(area, vec![(px(4), y), (px(MARK) - px(6), y)], series)?,
            Mark::Dot(color) => area.draw(&Circle::new(middle, px(4), color.filled()))?,
            Mark::Cross(color) => draw_cross(area, middle, px(4), color.into())?,
            Mark::Mean(color) => draw_mean(area, middle, color)?,
            Mark::Space => {}
        }
        text::draw(area, text, &style, (px(MARK), y))?;
    }
    Ok(())
}

/// A series' line: its own colour, and a pattern that tells it apart without colour.
pub(super) fn draw_line<DB: DrawingBackend>(area: &Area<DB>, points: Vec<(i32, i32)>, series: usize) -> Drawn<DB> {
    let style = palette::color(series).stroke_width(px(2) as u32);
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
