//! Text in figures: its width, how it is made to fit, and where it is drawn so that none of it is cut off.

use plotters::prelude::*;
use plotters::style::text_anchor::Pos;
pub(super) use plotters::style::text_anchor::{HPos, VPos};

use super::canvas::{Canvas, px};
use super::font;
use super::theme::{INK, Paint};
use crate::{error::visible, format::shortened};

/// DejaVu Sans for PNG; an SVG is drawn with the first of these that the reader's machine has. All are about equally
/// wide.
const FAMILY: &str = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif";
/// Space is left for a reader whose font is wider by this factor.
const WIDER: f64 = 1.065;

/// What plotters calls a font's size is the height of a line, this many times what others call its size.
pub(super) const PLOTTERS_SIZE: f64 = 1.24;

/// Sizes in pixels.
pub(super) const SMALL: f64 = 12.0;
pub(super) const NORMAL: f64 = 13.0;
pub(super) const TITLE: f64 = 16.0;
/// The height of a line of text, for its size.
pub(super) const LINE: f64 = 1.4;

/// No more characters than these fit on a figure, however narrow, and some texts are very long.
const MOST: usize = 2_000;

/// How far the baseline is below the place of a text's anchor, for its size.
pub(super) fn baseline(vertical: VPos) -> f64 {
    match vertical {
        VPos::Top => 0.76,
        VPos::Center => 0.27,
        VPos::Bottom => -0.27,
    }
}

/// Text of a size in pixels, with the anchor's place in it.
pub(super) fn style(size: f64, horizontal: HPos, vertical: VPos) -> TextStyle<'static> {
    TextStyle::from((FAMILY, px(size) as f64 * PLOTTERS_SIZE).into_font()).pos(Pos::new(horizontal, vertical))
}

/// The width of a text in pixels.
pub(super) fn width(text: &str, size: f64) -> f64 {
    (f64::from(font::width(&visible(text))) * size * WIDER).ceil()
}

/// The width of the widest of some texts.
pub(super) fn widest<'a>(texts: impl IntoIterator<Item = &'a String>, size: f64) -> f64 {
    texts.into_iter().map(|text| width(text, size)).fold(0.0, f64::max)
}

/// A text shortened to a width in pixels: it keeps its beginning and its end, either of which may be all that tells it
/// from others.
pub(super) fn fitting(text: &str, size: f64, widest: f64) -> String {
    let text = shortened(text, MOST);
    let text = visible(&text);
    if width(&text, size) <= widest {
        return text.into_owned();
    }
    let characters: Vec<char> = text.chars().collect();
    let kept = |count: usize| -> String {
        let (first, last) = (count.div_ceil(2), characters.len() - count / 2);
        // No accent without its letter.
        let last = (last..characters.len()).find(|at| !font::is_mark(characters[*at])).unwrap_or(characters.len());
        characters[..first].iter().chain(&['…']).chain(&characters[last..]).collect()
    };
    let (mut fits, mut too_many) = (0, characters.len());
    while fits + 1 < too_many {
        let middle = (fits + too_many) / 2;
        if width(&kept(middle), size) <= widest { fits = middle } else { too_many = middle }
    }
    kept(fits)
}

/// A text in at most `most` lines of a width in pixels, broken between words; lines that are still too long are
/// shortened.
pub(super) fn lines(text: &str, size: f64, widest: f64, most: usize) -> Vec<String> {
    let text = shortened(text, MOST);
    let text = visible(&text);
    if width(&text, size) <= widest {
        return vec![text.into_owned()];
    }
    let (mut lines, mut line) = (Vec::new(), String::new());
    let mut words = text.split(' ').filter(|word| !word.is_empty()).peekable();
    while let Some(word) = words.next() {
        let longer = if line.is_empty() { word.to_string() } else { format!("{line} {word}") };
        if line.is_empty() || width(&longer, size) <= widest {
            line = longer;
        } else if lines.len() + 1 < most {
            lines.push(std::mem::replace(&mut line, word.to_string()));
        } else {
            line = longer;
            words.by_ref().for_each(|word| line = format!("{line} {word}"));
        }
    }
    lines.push(line);
    lines.iter().map(|line| fitting(line, size, widest)).collect()
}

/// Draws text at a place in units of the canvas: moved where it would be cut off, and shortened if it is longer than
/// the canvas.
pub(super) fn draw(canvas: &Canvas<'_>, text: &str, style: &TextStyle<'static>, at: (i32, i32)) {
    draw_in(canvas, text, style, INK, at);
}

/// The same, not in ink.
pub(super) fn draw_in(canvas: &Canvas<'_>, text: &str, style: &TextStyle<'static>, paint: Paint, (x, y): (i32, i32)) {
    let (across, down) = canvas.size();
    let size = style.font.get_size() / PLOTTERS_SIZE;
    let length = match style.font.get_transform() {
        FontTransform::Rotate90 | FontTransform::Rotate270 => down,
        _ => across,
    };
    let text = fitting(text, size, f64::from(length));
    let ([left, right], [top, bottom]) = extent(&text, style);
    let x = x + into_range(f64::from(x) + left, f64::from(x) + right, f64::from(across));
    let y = y + into_range(f64::from(y) + top, f64::from(y) + bottom, f64::from(down));
    canvas.text(text, style, paint, (x, y));
}

/// Draws lines below each other (of upright text: beside each other), the anchor that of all of them together.
pub(super) fn draw_lines(canvas: &Canvas<'_>, lines: &[String], style: &TextStyle<'static>, (x, y): (i32, i32)) {
    let step = style.font.get_size() / PLOTTERS_SIZE * LINE;
    let before = match style.pos.v_pos {
        VPos::Top => 0.0,
        VPos::Center => (lines.len() as f64 - 1.0) / 2.0,
        VPos::Bottom => lines.len() as f64 - 1.0,
    };
    for (index, line) in lines.iter().enumerate() {
        let moved = ((index as f64 - before) * step).round() as i32;
        let place = match style.font.get_transform() {
            FontTransform::Rotate270 => (x + moved, y),
            _ => (x, y + moved),
        };
        draw(canvas, line, style, place);
    }
}

/// The bounds of a text relative to its anchor, in units of the canvas: left and right, top and bottom.
pub(super) fn extent(text: &str, style: &TextStyle<'_>) -> ([f64; 2], [f64; 2]) {
    let size = style.font.get_size() / PLOTTERS_SIZE;
    let width = width(text, size);
    let along = match style.pos.h_pos {
        HPos::Left => [0.0, width],
        HPos::Center => [-width / 2.0, width / 2.0],
        HPos::Right => [-width, 0.0],
    };
    let across = [-0.76, 0.24].map(|side| (baseline(style.pos.v_pos) + side) * size);
    match style.font.get_transform() {
        FontTransform::Rotate270 => (across, [-along[1], -along[0]]),
        FontTransform::Rotate90 => ([-across[1], -across[0]], along),
        _ => (along, across),
    }
}

/// How far something must be moved to lie between 0 and `size`; its beginning, if it is longer.
fn into_range(low: f64, high: f64, size: f64) -> i32 {
    let moved = if high > size { size - high } else { 0.0 };
    (if low + moved < 0.0 { (-low).ceil() } else { moved.floor() }) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_keeps_its_ends() {
        let name = format!("{}A", "very_".repeat(40));
        let short = fitting(&name, NORMAL, 100.0);
        assert!(short.starts_with("very") && short.contains('…') && short.ends_with('A'), "{short}");
        assert!((80.0..=100.0).contains(&width(&short, NORMAL)), "{}", width(&short, NORMAL));
        assert_eq!(fitting("short", NORMAL, 100.0), "short");
        assert_eq!(fitting("a\nb", NORMAL, 100.0), "a\\nb");
        assert_eq!(fitting("anything", NORMAL, 0.0), "…");
        assert_eq!(fitting("", NORMAL, 0.0), "");
        assert!(fitting(&"お".repeat(1_000_000), NORMAL, 500.0).chars().count() < 60);
        assert!(!fitting(&"e\u{301}".repeat(200), NORMAL, 99.0).contains("…\u{301}"));
    }

    #[test]
    fn lines_break_between_words_and_end_somewhere() {
        let text = "how the loss of all the networks that were trained went down";
        let three = lines(text, NORMAL, 180.0, 3);
        assert!((2..=3).contains(&three.len()) && three.join(" ") == text, "{three:?}");
        let two = lines(&text.repeat(20), NORMAL, 180.0, 2);
        assert!(
            two.len() == 2 && two[1].contains('…') && two.iter().all(|line| width(line, NORMAL) <= 180.0),
            "{two:?}"
        );
        assert_eq!(lines("", NORMAL, 10.0, 2), [""]);
        assert_eq!(lines(&"x".repeat(1_000), NORMAL, 100.0, 3).len(), 1);
        assert_eq!(lines(&" ".repeat(1_000), NORMAL, 100.0, 3), [""]);
    }

    #[test]
    fn what_is_outside_is_moved_in() {
        assert_eq!(into_range(-3.0, 5.0, 10.0), 3);
        assert_eq!(into_range(3.0, 12.0, 10.0), -2);
        assert_eq!(into_range(3.0, 9.0, 10.0), 0);
        assert_eq!(into_range(3.0, 20.0, 10.0), -3);
    }
}
