//! What charts in the plane share: axes with names, and a legend to their right.

use plotters::style::FontTransform;

use super::axis::Axis;
use super::canvas::{Canvas, Point, px, stroke};
use super::text::{self, HPos, LINE, NORMAL, SMALL, VPos};
use super::theme::{INK, MESH, PAPER, Paint};

/// Axes around a plot of a fixed size in pixels.
pub(super) struct Frame {
    plot: (u32, u32),
    pub(super) x: Axis,
    pub(super) y: Axis,
    legend: Legend,
    /// The names of the axes, broken into lines.
    x_name: Vec<String>,
    y_name: Vec<String>,
    /// The texts of the y axis, shortened where they are long names.
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

/// What is drawn before a legend's text.
#[derive(Clone, Copy)]
pub(super) enum Mark {
    /// A series' number for its pattern, its colour, and whether its points are marked.
    Line(usize, Paint, bool),
    Baseline,
    Dot(Paint),
    Cross(Paint),
    Mean(Paint),
    /// None: an empty line.
    Space,
}

/// Where the series are drawn.
pub(super) struct Plot<'a> {
    frame: &'a Frame,
    pub(super) canvas: Canvas<'a>,
    /// In units of the canvas.
    pub(super) width: i32,
    pub(super) height: i32,
}

impl Plot<'_> {
    /// Where a point given in drawn coordinates of the axes is on the canvas.
    pub(super) fn place(&self, x: f64, y: f64) -> (i32, i32) {
        (self.frame.x.place(x, self.width), self.height - self.frame.y.place(y, self.height))
    }

    /// The lowest drawn coordinate of the y axis.
    pub(super) fn lowest(&self) -> f64 {
        self.frame.y.low
    }

    /// Vertical lines with a text each, given their drawn x.
    pub(super) fn marks<'b>(&self, marks: impl Iterator<Item = (f64, &'b str)>) {
        // Where texts are already: left, right and bottom.
        let mut taken: Vec<(i32, i32, i32)> = Vec::new();
        for (x, text) in marks {
            let (x, _) = self.place(x, self.frame.y.low);
            self.canvas.dashed(&[(x, 0), (x, self.height)], [3.0, 3.0], stroke(INK.mix(0.6), 1.0));
            // The text goes to the wider side.
            let to_the_right = x < self.width / 2;
            let (anchor, at) = if to_the_right { (HPos::Left, x + px(5)) } else { (HPos::Right, x - px(5)) };
            let space = if to_the_right { self.width - at } else { at };
            let lines = text::lines(text, SMALL, f64::from(space) / f64::from(px(1)), MARK_LINES);
            let width = px(text::widest(&lines, SMALL));
            let (low, high) = if to_the_right { (at, at + width) } else { (at - width, at) };
            let height = px(SMALL * LINE) * lines.len() as i32;
            let below =
                taken.iter().filter(|(from, to, _)| *from < high && low < *to).map(|(_, _, below)| *below).max();
            let top = below.filter(|below| below + height <= self.height).unwrap_or(px(4));
            text::draw_lines(&self.canvas, &lines, &text::style(SMALL, anchor, VPos::Top), (at, top));
            taken.push((low, high, top + height));
        }
    }
}

/// The least space around the plot; at the left there are the texts of the y axis too.
const LEFT: u32 = 4;
const TOP: u32 = 12;
const RIGHT: u32 = 18;
const BOTTOM: u32 = 48;
/// The most lines of an axis' name, and the greatest width of a name in place of a number.
const NAME_LINES: usize = 2;
const WIDEST_TICK: f64 = 220.0;
/// The most lines of a mark's text.
const MARK_LINES: usize = 3;
/// The width of a legend's marks.
const MARK: f64 = 34.0;
/// The lines of a legend's column, and the greatest width of a text where there are several columns, and where there is
/// one.
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

    /// Puts each entry of the legend beside its drawn y.
    pub(super) fn beside(mut self, ends: &[f64]) -> Self {
        let height = f64::from(self.plot.1);
        let down = |at: &f64| height * (1.0 - (at - self.y.low) / (self.y.high - self.y.low));
        let wanted: Vec<f64> = ends.iter().map(down).collect();
        self.legend = self.legend.beside(&wanted, height);
        self
    }

    pub(super) fn size(&self) -> (u32, u32) {
        (self.left + self.plot.0 + self.right + self.legend.width, TOP + self.plot.1 + self.bottom)
    }

    /// Draws the axes and the legend.
    pub(super) fn draw<'a>(&'a self, canvas: &Canvas<'a>) -> Plot<'a> {
        let (width, height) = self.size();
        let beside = width - self.legend.width;
        self.legend.draw(&canvas.part(beside, TOP, (self.legend.width, height - TOP)));

        let axes = canvas.part(0, 0, (beside, height));
        let plot = canvas.part(self.left, TOP, self.plot);
        let (width, height) = (px(self.plot.0), px(self.plot.1));
        let (left, bottom) = (px(self.left), px(TOP) + height);
        let line = |from: Point, to: Point, color: Paint| axes.path(&[from, to], stroke(color, 1.0));
        let across = |at: f64| left + self.x.place(at, width);
        let down = |at: f64| bottom - self.y.place(at, height);
        for (at, _) in &self.x.ticks {
            line((across(*at), px(TOP)), (across(*at), bottom), MESH);
        }
        for (at, _) in &self.y.ticks {
            line((left, down(*at)), (left + width, down(*at)), MESH);
        }
        line((left, px(TOP)), (left, bottom), INK);
        line((left, bottom), (left + width, bottom), INK);
        for (at, text) in &self.x.ticks {
            let x = across(*at);
            line((x, bottom), (x, bottom + px(4)), INK);
            text::draw(&axes, text, &text::style(SMALL, HPos::Center, VPos::Top), (x, bottom + px(8)));
        }
        for ((at, _), text) in self.y.ticks.iter().zip(&self.y_texts) {
            let y = down(*at);
            line((left - px(4), y), (left, y), INK);
            text::draw(&axes, text, &text::style(SMALL, HPos::Right, VPos::Center), (left - px(8), y + px(1)));
        }
        for x in self.x.minor.iter().map(|at| across(*at)) {
            line((x, bottom), (x, bottom + px(2)), INK);
        }
        for y in self.y.minor.iter().map(|at| down(*at)) {
            line((left - px(2), y), (left, y), INK);
        }
        let style = text::style(NORMAL, HPos::Center, VPos::Bottom);
        text::draw_lines(&axes, &self.x_name, &style, (left + width / 2, bottom + px(self.bottom)));
        let style = text::style(NORMAL, HPos::Center, VPos::Top).transform(FontTransform::Rotate270);
        text::draw_lines(&axes, &self.y_name, &style, (px(LEFT), px(TOP) + height / 2));
        Plot { frame: self, canvas: plot, width, height }
    }
}

/// A legend in one column or several.
pub(super) struct Legend {
    entries: Vec<Entry>,
    /// Where the entries stand, if each has a place of its own.
    places: Vec<f64>,
    rows: usize,
    column: u32,
    /// In pixels.
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Legend {
    pub(super) fn new(mut entries: Vec<Entry>) -> Self {
        let columns = entries.len().div_ceil(ROWS);
        let widest = if columns > 1 { WIDEST } else { WIDEST_ALONE };
        for Entry { text, .. } in &mut entries {
            *text = text::fitting(text, NORMAL, widest);
        }
        let column = match columns {
            0 => 0,
            _ => (text::widest(entries.iter().map(|entry| &entry.text), NORMAL) + MARK + 12.0) as u32,
        };
        let rows = entries.len().div_ceil(columns.max(1));
        let height = (rows as f64 * NORMAL * LINE) as u32;
        Self { entries, places: Vec::new(), rows, column, width: columns as u32 * column, height }
    }

    /// Puts each entry beside what it names, `wanted` pixels below the top of a plot of that height, as near as the
    /// others leave space; in one column only.
    fn beside(mut self, wanted: &[f64], height: f64) -> Self {
        let line = NORMAL * LINE;
        if wanted.len() != self.entries.len() || self.rows != wanted.len() || self.rows as f64 * line > height {
            return self;
        }
        let mut order: Vec<usize> = (0..wanted.len()).collect();
        order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
        let mut places = vec![0.0; wanted.len()];
        let mut lowest = line / 2.0;
        for &index in &order {
            places[index] = wanted[index].max(lowest);
            lowest = places[index] + line;
        }
        let mut highest = height - line / 2.0;
        for &index in order.iter().rev() {
            places[index] = places[index].min(highest);
            highest = places[index] - line;
        }
        self.places = places;
        self
    }

    pub(super) fn draw(&self, canvas: &Canvas<'_>) {
        for (index, Entry { text, mark }) in self.entries.iter().enumerate() {
            let left = px(self.column) * (index / self.rows) as i32;
            let y = match self.places.get(index) {
                Some(place) => px(*place),
                None => px(((index % self.rows) as f64 + 0.5) * NORMAL * LINE),
            };
            let middle = (left + px(MARK) / 2, y);
            let line = [(left + px(4), y), (left + px(MARK) - px(6), y)];
            match *mark {
                Mark::Line(series, color, marked) => {
                    draw_line(canvas, &line, series, color);
                    if marked {
                        draw_marker(canvas, middle_of(&line), series, color);
                    }
                }
                Mark::Baseline => draw_baseline(canvas, line),
                Mark::Dot(color) => canvas.circle(middle, px(4), color),
                Mark::Cross(color) => draw_cross(canvas, middle, px(4), color),
                Mark::Mean(color) => draw_mean(canvas, middle, color),
                Mark::Space => {}
            }
            text::draw(canvas, text, &text::style(NORMAL, HPos::Left, VPos::Center), (left + px(MARK), y));
        }
    }
}

/// A series' line: its own colour, and a pattern that tells it apart without colour.
pub(super) fn draw_line(canvas: &Canvas<'_>, points: &[Point], series: usize, color: Paint) {
    let style = stroke(color, 2.0);
    match [None, Some([8.0, 4.0]), Some([2.0, 3.0]), Some([14.0, 6.0])][series % 4] {
        None => canvas.path(points, style),
        Some(dashes) => canvas.dashed(points, dashes, style),
    }
}

/// What all else is compared with, chance or a naive answer: the same in all charts.
pub(super) fn draw_baseline(canvas: &Canvas<'_>, ends: [Point; 2]) {
    canvas.dashed(&ends, [6.0, 4.0], stroke(INK.mix(0.65), 1.5));
}

/// An error bar, upright or lying, with its ends; of no length, nothing.
pub(super) fn draw_error(canvas: &Canvas<'_>, ends: [Point; 2], color: Paint) {
    let [(x0, _), (x1, _)] = ends;
    if ends[0] == ends[1] {
        return;
    }
    let style = stroke(color, 1.3);
    canvas.path(&ends, style);
    for (x, y) in ends {
        let (dx, dy) = if x0 == x1 { (px(3), 0) } else { (0, px(3)) };
        canvas.path(&[(x - dx, y - dy), (x + dx, y + dy)], style);
    }
}

/// The middle of a line.
fn middle_of([(x0, y0), (x1, y1)]: &[Point; 2]) -> Point {
    ((x0 + x1) / 2, (y0 + y1) / 2)
}

/// A point of a series: its colour, and a shape that tells it apart without colour.
pub(super) fn draw_marker(canvas: &Canvas<'_>, (x, y): Point, series: usize, color: Paint) {
    let (r, d) = (px(3.2), px(4.4));
    match series % 4 {
        0 => canvas.circle((x, y), px(3.6), color),
        1 => canvas.rectangle([(x - r, y - r), (x + r, y + r)], color),
        2 => canvas.polygon(&[(x - d, y), (x, y - d), (x + d, y), (x, y + d)], color),
        _ => canvas.polygon(&[(x - d, y + r), (x, y - d), (x + d, y + r)], color),
    }
}

/// An ×, `radius` in units of the canvas.
pub(super) fn draw_cross(canvas: &Canvas<'_>, (x, y): Point, radius: i32, color: Paint) {
    canvas.path(&[(x - radius, y - radius), (x + radius, y + radius)], stroke(color, 1.5));
    canvas.path(&[(x - radius, y + radius), (x + radius, y - radius)], stroke(color, 1.5));
}

/// A large diamond with a white and a black edge: the mean of a class.
pub(super) fn draw_mean(canvas: &Canvas<'_>, (x, y): Point, color: Paint) {
    for (radius, color) in [(px(10), INK), (px(8.5), PAPER), (px(6.5), color)] {
        canvas.polygon(&[(x - radius, y), (x, y - radius), (x + radius, y), (x, y + radius)], color);
    }
}
