//! The one font of all figures, and how wide its text is.

use std::sync::OnceLock;

use plotters::prelude::*;
use plotters::style::text_anchor::Pos;
pub(super) use plotters::style::text_anchor::{HPos, VPos};

use super::figure::{Area, Drawn, px};
use super::palette::INK;
use crate::error::{Error, ErrorKind, Result};

/// DejaVu Sans for PNG; an SVG is drawn with the first of these that the reader's machine has. They are about equally wide.
const FAMILY: &str = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif";

/// The file of DejaVu Sans.
pub(super) const FONT: &[u8] = include_bytes!("fonts/DejaVuSans-subset.ttf");

/// What plotters calls a font's size is the height of a line, this many times what others call its size.
pub(super) const PLOTTERS_SIZE: f64 = 1.24;

/// Sizes in pixels.
pub(super) const SMALL: f64 = 12.0;
pub(super) const NORMAL: f64 = 13.0;
pub(super) const TITLE: f64 = 16.0;
/// The height of a line of text, for its size.
pub(super) const LINE: f64 = 1.4;

/// Makes the font known to plotters, once.
pub(super) fn register_font() -> Result<()> {
    static REGISTERED: OnceLock<bool> = OnceLock::new();
    match REGISTERED.get_or_init(|| plotters::style::register_font(FAMILY, FontStyle::Normal, FONT).is_ok()) {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Figure, "font", "the font of the figures cannot be read")),
    }
}

/// Text of a size in pixels, with the anchor's place in it.
pub(super) fn style(size: f64, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    TextStyle::from((FAMILY, px(size) as f64 * PLOTTERS_SIZE).into_font())
        .color(&INK)
        .pos(Pos::new(horizontal, vertical))
}

/// The width of a text in pixels.
pub(super) fn width(text: &str, size: f64) -> f64 {
    let font = (FAMILY, px(size) as f64 * PLOTTERS_SIZE).into_font();
    font.box_size(&clean(text)).map_or(0.0, |(width, _)| f64::from(width) / f64::from(px(1)))
}

/// The width of the widest of some texts.
pub(super) fn widest<'a>(texts: impl IntoIterator<Item = &'a String>, size: f64) -> f64 {
    texts.into_iter().map(|text| width(text, size)).fold(0.0, f64::max)
}

/// Draws text at a place in the canvas' units.
pub(super) fn draw<DB: DrawingBackend>(
    area: &Area<DB>,
    text: &str,
    style: &TextStyle<'_>,
    place: (i32, i32),
) -> Drawn<DB> {
    area.draw_text(&clean(text), style, place)
}

/// Without line ends and other control characters, which a text in SVG must not have.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
