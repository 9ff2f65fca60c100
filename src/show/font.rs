//! The glyphs of a text: from the embedded font, for characters that it lacks from one of the system, else a box.

mod system;
mod visual;

use std::sync::OnceLock;

use ab_glyph::{Font, FontArc, GlyphId, Outline};

use self::visual::is_ignorable;
pub(super) use self::visual::is_mark;

/// DejaVu Sans.
const EMBEDDED: &[u8] = include_bytes!("font/DejaVuSans.ttf");

/// A character and where it is. Lengths are in units of the text's size.
pub(super) struct Piece {
    pub(super) x: f32,
    pub(super) width: f32,
    pub(super) ink: Ink,
}

pub(super) enum Ink {
    /// The outline, y upwards, and the size of its units.
    Outline(Outline, f32),
    /// In place of a character that no font has.
    Box,
    None,
}

/// The embedded font; none if it could not be read, which a test excludes.
fn embedded() -> Option<&'static FontArc> {
    static FONT: OnceLock<Option<FontArc>> = OnceLock::new();
    FONT.get_or_init(|| FontArc::try_from_slice(EMBEDDED).ok()).as_ref()
}

/// The characters of a line of text from left to right, as they are seen.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    advance(text, |character, x, width, found| {
        let ink = match found {
            Some((font, glyph)) => match font.outline(glyph) {
                Some(outline) => Ink::Outline(outline, 1.0 / units(font)),
                None => Ink::None,
            },
            None if is_ignorable(character) => Ink::None,
            None => Ink::Box,
        };
        pieces.push(Piece { x, width, ink });
    });
    pieces
}

/// How wide a line of text is, in units of its size.
pub(super) fn width(text: &str) -> f32 {
    advance(text, |_, _, _, _| {})
}

/// Calls `tell` with each character, its place, its width and its glyph; returns the width of the text.
fn advance(text: &str, mut tell: impl FnMut(char, f32, f32, Option<(&FontArc, GlyphId)>)) -> f32 {
    let (mut x, mut last) = (0.0, None);
    for character in visual::order(text) {
        let own = embedded().map(|font| (font, font.glyph_id(character))).filter(|(_, glyph)| glyph.0 != 0);
        let foreign = match own {
            None if !is_ignorable(character) => system::find(character),
            _ => None,
        };
        let found = own.or_else(|| foreign.as_ref().map(|(font, glyph)| (font, *glyph)));
        let width = match found {
            // A reader of the SVG may have a wider font.
            Some((font, glyph)) => (font.h_advance_unscaled(glyph) / units(font)).max(least_width(character)),
            None if is_ignorable(character) => 0.0,
            None => least_width(character).max(0.6),
        };
        if let (Some((font, glyph)), Some(last)) = (own, last) {
            x += font.kern_unscaled(last, glyph) / units(font);
        }
        last = own.map(|(_, glyph)| glyph);
        tell(character, x, width, found);
        x += width;
    }
    x
}

fn units(font: &FontArc) -> f32 {
    font.units_per_em().filter(|units| *units > 0.0).unwrap_or(1000.0)
}

/// Chinese, Japanese, Korean and full-width characters are squares, and emoji a little wider.
fn least_width(character: char) -> f32 {
    match character {
        '\u{1f000}'..='\u{1faff}' => 1.3,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{20000}'..='\u{3fffd}' => 1.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_font_has_europe_and_mathematics() {
        let font = embedded().unwrap();
        let text = "Straße, œuvre, Ångström, Łódź, Привет, Їжак, Ελληνικά ά ώ, ‖x‖² ≤ ∑ ∫ √ ∂ ∇ ∈ ∀ ∃ ⊂ ∞ ≈ ≠ \
                    ± × ÷ → ⇒ ℝ ℕ … – — “ ” € № ½ ₁ ⁿ";
        for character in text.chars() {
            assert_ne!(font.glyph_id(character).0, 0, "{character}");
        }
    }

    #[test]
    fn a_width_is_the_sum_of_its_parts() {
        assert_eq!(width(""), 0.0);
        assert!(width("WW") > 1.9 * width("W") && width("W") > width("i"));
        assert_eq!(width("e\u{301}"), width("e"), "an accent has no width");
        assert_eq!(width("\u{200d}\u{fe0f}"), 0.0);
        assert!(width("名前") >= 2.0 && width("👾") >= 1.3, "space for the reader's font");
        assert!(width("\u{13000}\u{10ffff}") > 0.5, "whatever it is");
    }

    #[test]
    fn every_character_leaves_ink() {
        for character in "お 名 한 ‖ ά Ж א ب 👨 🦀 क ก ꙮ \u{13000} \u{e000} \u{301}".chars().filter(|c| *c != ' ')
        {
            let pieces = pieces(&format!("{character}"));
            assert!(!matches!(pieces[0].ink, Ink::None), "{character}");
        }
        assert!(pieces(" \u{200d}").iter().all(|piece| matches!(piece.ink, Ink::None)));
    }
}
