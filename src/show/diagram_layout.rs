//! Where the blocks of a diagram stand, and how they are drawn.

use super::canvas::{Canvas, Point, Sprite, px, stroke};
use super::chart::Chart;
use super::text::{self, HPos, LINE, NORMAL, SMALL, VPos};
use super::theme::{INK, PALE_INK, PAPER, Paint};
use crate::format::thousands;

/// Blocks from left to right, in as many rows as they need.
#[derive(Clone)]
pub(super) struct Diagram {
    pub(super) blocks: Vec<Block>,
    /// The first block of each network, and its name.
    pub(super) networks: Vec<(usize, String)>,
    /// From which block to which a skip connection leads; inner ones come before those around them.
    pub(super) skips: Vec<[usize; 2]>,
    /// What is to scale, below all.
    pub(super) scale: String,
}

/// What is drawn in one place: a layer, and those after it that keep its shape.
#[derive(Clone)]
pub(super) struct Block {
    pub(super) layers: Vec<(String, Paint)>,
    pub(super) shape: String,
    pub(super) parameters: usize,
    /// The lowest and the highest value.
    pub(super) range: Option<String>,
    pub(super) picture: Picture,
    /// The sign of the operation that a skip connection ends in.
    pub(super) merge: Option<&'static str>,
}

#[derive(Clone)]
pub(super) enum Picture {
    /// A block to scale, of values of this shape.
    Solid(Vec<usize>),
    Maps(Vec<Map>),
}

/// An image, each of whose pixels becomes a square of `scale`.
#[derive(Clone)]
pub(super) struct Map {
    pub(super) scale: u32,
    pub(super) width: u32,
    pub(super) rows: Vec<[u8; 3]>,
}

impl Block {
    /// Adds the layers of another block, which has the same shape.
    pub(super) fn join(&mut self, other: Self) {
        self.layers.extend(other.layers);
        self.parameters += other.parameters;
    }

    /// The lines below the layers' names.
    fn facts(&self) -> Vec<String> {
        let parameters = match self.parameters {
            0 => None,
            1 => Some("1 param".into()),
            count => Some(format!("{} params", thousands(count))),
        };
        let facts = [Some(self.shape.clone()), self.range.clone(), parameters.filter(|_| self.range.is_none())];
        facts.into_iter().flatten().map(|fact| text::fitting(&fact, SMALL, WIDEST_TEXT)).collect()
    }
}

/// Lengths in pixels.
const WIDEST: f64 = 940.0;
const WIDEST_TEXT: f64 = 150.0;
const MARGIN: f64 = 10.0;
const GAP: f64 = 20.0;
/// Between rows.
const BELOW: f64 = 18.0;
const HEADING: f64 = 26.0;
const TEXT: f64 = SMALL * LINE;
/// The square before a layer's name, and the space of both.
const SWATCH: f64 = 8.0;
const BEFORE_NAME: f64 = 13.0;
/// From one skip connection to the one around it.
const LEVEL: f64 = 16.0;
/// The radius of the circle that a skip connection ends in.
const SIGN: f64 = 8.0;
/// The height of the highest block, and how large a pixel may become.
const HIGHEST: f64 = 110.0;
const LARGEST_PIXEL: f64 = 12.0;
/// The width of the block with the most channels at most, and of one channel; of a flat layer, and of a further layer.
const WIDEST_BLOCK: f64 = 48.0;
const CHANNEL: f64 = 3.0;
const BAR: f64 = 10.0;
const SLICE: f64 = 6.0;
/// How far the back of a block is to the right and above its front, as a share of its depth.
const SLANT: f64 = 0.3;
/// Between feature maps.
const BETWEEN: u32 = 3;

/// The size of a block in pixels.
#[derive(Clone, Copy, Default)]
struct Size {
    /// Of the first layer, and with the slices.
    first: f64,
    front: f64,
    height: f64,
    slant: f64,
}

struct Place {
    row: usize,
    left: f64,
    width: f64,
    size: Size,
}

/// From the top of the figure.
struct Row {
    /// The top of all but its heading, the top and the middle of its blocks, the top of the texts.
    top: f64,
    blocks: f64,
    middle: f64,
    texts: f64,
}

struct Layout {
    places: Vec<Place>,
    rows: Vec<Row>,
    /// How many skip connections are inside each one, and it.
    levels: Vec<usize>,
    scale: Vec<String>,
    size: (u32, u32),
}

impl Diagram {
    fn sizes(&self) -> Vec<Size> {
        let shape = |block: &Block| match &block.picture {
            Picture::Solid(shape) => shape.iter().map(|side| *side as f64).collect(),
            Picture::Maps(_) => Vec::new(),
        };
        let height = |shape: &[f64]| match shape {
            [_, height, _] | [height, _] => *height,
            _ => shape.iter().product::<f64>().sqrt(),
        };
        let channels = |shape: &[f64]| match shape {
            [channels, _, _] | [_, channels] => channels.sqrt(),
            _ => 0.0,
        };
        let shapes: Vec<Vec<f64>> = self.blocks.iter().map(shape).collect();
        let highest = |of: &dyn Fn(&[f64]) -> f64| shapes.iter().map(|shape| of(shape)).fold(1.0, f64::max);
        let slanted = |shape: &[f64]| height(shape) + SLANT * shape.get(2).unwrap_or(&0.0);
        let pixel = (HIGHEST / highest(&slanted)).min(LARGEST_PIXEL);
        let channel = (WIDEST_BLOCK / highest(&channels)).min(CHANNEL);
        let size = |(block, shape): (&Block, &Vec<f64>)| {
            if let Picture::Maps(maps) = &block.picture {
                let (width, height) = extent(maps);
                return Size { first: width, front: width, height, slant: 0.0 };
            }
            let slices = SLICE * (block.layers.len() - 1) as f64;
            let first = if shape.len() > 1 { (channel * channels(shape)).max(2.0) } else { BAR };
            let slant = shape.get(2).map_or(0.0, |width| (SLANT * pixel * width).max(1.0));
            Size { first, front: first + slices, height: (pixel * height(shape)).max(3.0), slant }
        };
        self.blocks.iter().zip(&shapes).map(size).collect()
    }

    fn layout(&self) -> Layout {
        let mut levels: Vec<usize> = Vec::new();
        for (index, [from, _]) in self.skips.iter().enumerate() {
            let inside = self.skips[..index].iter().zip(&levels).filter(|([start, _], _)| start >= from);
            levels.push(1 + inside.map(|(_, level)| *level).max().unwrap_or(0));
        }
        let mut places: Vec<Place> = Vec::new();
        let (mut row, mut left) = (0, MARGIN);
        for (index, (block, size)) in self.blocks.iter().zip(self.sizes()).enumerate() {
            let names = block.layers.iter().map(|(name, _)| text::width(&shown(name), SMALL) + BEFORE_NAME);
            let texts = names.chain(block.facts().iter().map(|fact| text::width(fact, SMALL))).fold(0.0, f64::max);
            let width = texts.max(size.front + size.slant);
            let before = if block.merge.is_some() { 2.0 * SIGN + GAP } else { 0.0 };
            let begins = self.networks.iter().any(|(first, _)| *first == index);
            if index > 0 && (begins || left + before + width > WIDEST - MARGIN) {
                (row, left) = (row + 1, MARGIN + if begins { 0.0 } else { GAP });
            }
            places.push(Place { row, left: left + before, width, size });
            left += before + width + GAP;
        }
        let (mut rows, mut top) = (Vec::new(), MARGIN);
        for row in 0..=row {
            let here = || places.iter().zip(&self.blocks).enumerate().filter(|(_, (place, _))| place.row == row);
            let first = here().next().map_or(0, |(index, _)| index);
            let named = self.networks.iter().any(|(start, name)| *start == first && !name.is_empty());
            let begin = top + if named { HEADING } else { 0.0 };
            let passes = |[from, to]: &[usize; 2]| (places[*from].row..=places[*to].row).contains(&row);
            let level = self.skips.iter().zip(&levels).filter(|(skip, _)| passes(skip)).map(|(_, level)| *level).max();
            let highest = here().map(|(_, (place, _))| place.size.height + place.size.slant).fold(20.0, f64::max);
            let lines = here().map(|(_, (_, block))| block.layers.len() + block.facts().len()).max().unwrap_or(0);
            let blocks = begin + LEVEL * level.unwrap_or(0) as f64;
            let texts = blocks + highest + 8.0;
            rows.push(Row { top: begin, blocks, middle: blocks + highest / 2.0, texts });
            top = texts + TEXT * lines as f64 + BELOW;
        }
        let right = places.iter().map(|place| place.left + place.width + GAP).fold(0.0, f64::max).max(360.0);
        let scale = text::lines(&self.scale, SMALL, right - 2.0 * MARGIN, 6);
        let height = top + TEXT * scale.len() as f64 + MARGIN / 2.0;
        Layout { places, rows, levels, scale, size: (right.ceil() as u32, height.ceil() as u32) }
    }
}

/// A layer's name as it is drawn.
fn shown(name: &str) -> String {
    text::fitting(name, SMALL, WIDEST_TEXT)
}

/// The width and height of maps, two of which stand side by side.
fn extent(maps: &[Map]) -> (f64, f64) {
    let side = |length: u32, count: usize| f64::from(length * count as u32 + BETWEEN * (count as u32 - 1));
    let Some(map) = maps.first() else { return (1.0, 1.0) };
    let height = map.rows.len() as u32 / map.width;
    (side(map.scale * map.width, maps.len().min(2)), side(map.scale * height, maps.len().div_ceil(2)))
}

impl Chart for Diagram {
    fn kind(&self) -> &'static str {
        "network diagram"
    }

    fn size(&self) -> (u32, u32) {
        self.layout().size
    }

    fn prefers_svg(&self) -> bool {
        self.blocks.iter().all(|block| matches!(block.picture, Picture::Solid(_)))
    }

    fn draw(&self, canvas: &Canvas<'_>) {
        let layout = self.layout();
        let Layout { places, rows, .. } = &layout;
        for (first, name) in self.networks.iter().filter(|(_, name)| !name.is_empty()) {
            let top = rows[places[*first].row].top - HEADING;
            text::draw(canvas, name, &text::style(NORMAL, HPos::Left, VPos::Top), (px(MARGIN), px(top)));
        }
        for (index, (block, place)) in self.blocks.iter().zip(places).enumerate() {
            let row = &rows[place.row];
            let begins = self.networks.iter().any(|(first, _)| *first == index);
            let before = index.checked_sub(1).filter(|_| !begins).map(|before| &places[before]);
            if let Some(before) = before {
                self.draw_arrow(canvas, [before, place], rows, block.merge);
            }
            draw_block(canvas, block, place, row);
            draw_texts(canvas, block, place, row.texts);
        }
        for ([from, to], level) in self.skips.iter().zip(&layout.levels) {
            draw_skip(canvas, [&places[*from], &places[*to]], rows, *level, f64::from(layout.size.0) - MARGIN);
        }
        let below = f64::from(layout.size.1) - TEXT * layout.scale.len() as f64 - MARGIN / 2.0;
        let style = text::style(SMALL, HPos::Left, VPos::Top);
        text::draw_lines(canvas, &layout.scale, &style, (px(MARGIN), px(below)));
    }
}

impl Place {
    /// Where the block itself begins and ends: it stands in the middle of its texts.
    fn ends(&self) -> [f64; 2] {
        let left = self.left + (self.width - self.size.front - self.size.slant) / 2.0;
        [left, left + self.size.front + self.size.slant]
    }

    /// Where the circle before it is.
    fn sign(&self) -> f64 {
        self.left - GAP / 2.0 - SIGN
    }
}

impl Diagram {
    /// From a block to the next one, through the circle that a skip connection ends in.
    fn draw_arrow(&self, canvas: &Canvas<'_>, [from, to]: [&Place; 2], rows: &[Row], merge: Option<&str>) {
        let (start, end, y) = (from.ends()[1] + 3.0, to.ends()[0] - 3.0, rows[to.row].middle);
        let start = if from.row == to.row {
            start
        } else {
            let out = rows[from.row].middle;
            arrow(canvas, (start, out), from.left + from.width + GAP - 6.0);
            to.left - if merge.is_some() { 2.0 * (GAP + SIGN) } else { GAP } + 2.0
        };
        let Some(sign) = merge else { return arrow(canvas, (start, y), end) };
        let x = to.sign();
        arrow(canvas, (start, y), x - SIGN);
        arrow(canvas, (x + SIGN, y), end);
        canvas.circle((px(x), px(y)), px(SIGN), INK);
        canvas.circle((px(x), px(y)), px(SIGN - 1.2), PAPER);
        let arm = SIGN / 2.0;
        let lines: [[(f64, f64); 2]; 2] = match sign {
            "+" => [[(-arm, 0.0), (arm, 0.0)], [(0.0, -arm), (0.0, arm)]],
            _ => [[(-2.0, -arm), (-2.0, arm)], [(2.0, -arm), (2.0, arm)]],
        };
        for ends in lines {
            canvas.path(&ends.map(|(dx, dy)| (px(x + dx), px(y + dy))), stroke(INK, 1.5));
        }
    }
}

/// A horizontal arrow.
fn arrow(canvas: &Canvas<'_>, (start, y): (f64, f64), end: f64) {
    canvas.path(&[(px(start), px(y)), (px(end - 4.0), px(y))], stroke(INK.mix(0.7), 1.2));
    canvas.polygon(&[(px(end), px(y)), (px(end - 6.0), px(y - 3.0)), (px(end - 6.0), px(y + 3.0))], INK.mix(0.7));
}

fn draw_block(canvas: &Canvas<'_>, block: &Block, place: &Place, row: &Row) {
    let Size { first, height, slant, .. } = place.size;
    let [left, _] = place.ends();
    let top = row.middle - (height + slant) / 2.0;
    if let Picture::Maps(maps) = &block.picture {
        for (index, map) in maps.iter().enumerate() {
            let rows = map.rows.len() as u32 / map.width;
            let (x, y) =
                (index as u32 % 2 * (map.scale * map.width + BETWEEN), index as u32 / 2 * (map.scale * rows + BETWEEN));
            let (x, y) = (left as u32 + x, top as u32 + y);
            canvas.image(Sprite { x, y, scale: map.scale, width: map.width, rows: map.rows.clone() });
        }
        return;
    }
    let (front, bottom) = (top + slant, top + slant + height);
    let mut x = left;
    for (index, (_, color)) in block.layers.iter().enumerate() {
        let right = x + if index == 0 { first } else { SLICE };
        let corners = |points: &[(f64, f64)]| Vec::<Point>::from_iter(points.iter().map(|(x, y)| (px(*x), px(*y))));
        let is_last = index + 1 == block.layers.len();
        let mut faces = vec![(0.0, corners(&[(x, front), (right, front), (right, bottom), (x, bottom)]))];
        if slant > 0.0 {
            faces.push((0.35, corners(&[(x, front), (x + slant, top), (right + slant, top), (right, front)])));
        }
        if slant > 0.0 && is_last {
            let side = [(right, front), (right + slant, top), (right + slant, bottom - slant), (right, bottom)];
            faces.push((-0.25, corners(&side)));
        }
        for (light, mut face) in faces {
            canvas.polygon(&face, color.lit(light));
            face.push(face[0]);
            canvas.path(&face, stroke(INK.mix(0.55), 0.7));
        }
        x = right;
    }
}

fn draw_texts(canvas: &Canvas<'_>, block: &Block, place: &Place, top: f64) {
    // The texts are a block of their own in the middle of the place, flush left.
    let facts = block.facts();
    let names: Vec<String> = block.layers.iter().map(|(name, _)| shown(name)).collect();
    let width = (text::widest(&names, SMALL) + BEFORE_NAME).max(text::widest(&facts, SMALL));
    let left = place.left + (place.width - width) / 2.0;
    let style = text::style(SMALL, HPos::Left, VPos::Top);
    for (line, (name, (_, color))) in names.iter().zip(&block.layers).enumerate() {
        let y = top + TEXT * line as f64;
        let corner = (px(left), px(y + 2.0));
        canvas.rectangle([corner, (corner.0 + px(SWATCH), corner.1 + px(SWATCH))], *color);
        text::draw(canvas, name, &style, (px(left + BEFORE_NAME), px(y)));
    }
    for (line, fact) in facts.iter().enumerate() {
        let y = top + TEXT * (names.len() + line) as f64;
        text::draw_in(canvas, fact, &style, PALE_INK, (px(left), px(y)));
    }
}

/// From behind a block, above all blocks between, to the circle before another one; through the ends of rows.
fn draw_skip(canvas: &Canvas<'_>, [from, to]: [&Place; 2], rows: &[Row], level: usize, right: f64) {
    let style = stroke(INK.mix(0.7), 1.2);
    let (start, end) = (from.left + from.width + 5.0, to.sign());
    for (index, row) in rows.iter().enumerate().take(to.row + 1).skip(from.row) {
        let y = row.blocks + 6.0 - LEVEL * level as f64;
        let (mut path, mut x) = (Vec::new(), MARGIN);
        if index == from.row {
            path.push((px(start), px(row.middle)));
            x = start;
        }
        path.push((px(x), px(y)));
        if index == to.row {
            path.extend([(px(end), px(y)), (px(end), px(row.middle - SIGN))]);
            let tip = (px(end), px(row.middle - SIGN));
            canvas.polygon(&[tip, (tip.0 - px(3), tip.1 - px(6)), (tip.0 + px(3), tip.1 - px(6))], INK.mix(0.7));
        } else {
            path.push((px(right), px(y)));
        }
        canvas.path(&path, style);
    }
    canvas.circle((px(start), px(rows[from.row].middle)), px(2.5), INK);
}
