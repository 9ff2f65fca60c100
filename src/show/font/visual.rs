//! The characters of a line as they are seen: words from right to left, and Arabic letters in the forms that they have
//! beside others. An SVG leaves this to the browser; a PNG has to do it.
//!
//! Our own, because fonts have the forms of Arabic and Persian letters as characters (Unicode's Arabic Presentation
//! Forms), so that a table of these replaces a shaping engine.

/// The characters in visual order, from left to right: runs of right-to-left words, and what is between them, are
/// reversed.
pub(super) fn order(text: &str) -> Vec<char> {
    let characters = joined(text);
    if !characters.iter().any(|c| is_right_to_left(*c)) {
        return characters;
    }
    let (mut seen, mut from) = (Vec::with_capacity(characters.len()), 0);
    while from < characters.len() {
        if !is_right_to_left(characters[from]) {
            seen.push(characters[from]);
            from += 1;
            continue;
        }
        let (mut end, mut at) = (from + 1, from + 1);
        while at < characters.len() && (is_right_to_left(characters[at]) || !characters[at].is_alphanumeric()) {
            at += 1;
            if is_right_to_left(characters[at - 1]) || is_mark(characters[at - 1]) {
                end = at;
            }
        }
        // A mark stays after its letter.
        let mut letters: Vec<&[char]> = characters[from..end].chunk_by(|_, next| is_mark(*next)).collect();
        letters.reverse();
        seen.extend(letters.concat().into_iter().map(mirrored));
        from = end;
    }
    seen
}

/// The mirror image of a bracket.
fn mirrored(character: char) -> char {
    const PAIRS: [char; 10] = ['(', ')', '[', ']', '{', '}', '<', '>', '«', '»'];
    PAIRS.iter().position(|pair| *pair == character).map_or(character, |at| PAIRS[at ^ 1])
}

/// The first form of each letter and how many it has, in the order isolated, final, initial, medial: those with two do
/// not join the next letter.
fn forms(letter: char) -> Option<(u32, u32)> {
    // From hamza (U+0621) to ghain and from feh (U+0641) to yeh the forms follow each other from U+FE80 and U+FED1 on.
    const TO_GHAIN: [u32; 26] = [1, 2, 2, 2, 2, 4, 2, 4, 2, 4, 4, 4, 4, 4, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 4, 4];
    const TO_YEH: [u32; 10] = [4, 4, 4, 4, 4, 4, 4, 2, 2, 4];
    let within = |counts: &[u32], first: u32, letter: u32| {
        (first + counts[..letter as usize].iter().sum::<u32>(), counts[letter as usize])
    };
    match letter {
        '\u{621}'..='\u{63a}' => Some(within(&TO_GHAIN, 0xfe80, letter as u32 - 0x621)),
        '\u{641}'..='\u{64a}' => Some(within(&TO_YEH, 0xfed1, letter as u32 - 0x641)),
        // Persian: peh, cheh, jeh, keheh, gaf, yeh.
        '\u{67e}' => Some((0xfb56, 4)),
        '\u{686}' => Some((0xfb7a, 4)),
        '\u{698}' => Some((0xfb8a, 2)),
        '\u{6a9}' => Some((0xfb8e, 4)),
        '\u{6af}' => Some((0xfb92, 4)),
        '\u{6cc}' => Some((0xfbfc, 4)),
        _ => None,
    }
}

/// The isolated form of lam with this alef, which are written as one; the final form follows it.
fn lam_with(alef: char) -> Option<u32> {
    let alefs = ['\u{622}', '\u{623}', '\u{625}', '\u{627}'];
    alefs.iter().position(|other| *other == alef).map(|index| 0xfef5 + 2 * index as u32)
}

const LAM: char = '\u{644}';
/// Join both neighbours: tatweel, which stretches words, and the zero-width joiner.
const JOINERS: [char; 2] = ['\u{640}', '\u{200d}'];
const NON_JOINER: char = '\u{200c}';

/// The characters of a text in their logical order, Arabic letters in the form that they have between their neighbours.
fn joined(text: &str) -> Vec<char> {
    let characters: Vec<char> = text.chars().collect();
    if !characters.iter().any(|letter| forms(*letter).is_some()) {
        return characters;
    }
    let mut shaped = Vec::with_capacity(characters.len());
    // Whether the letter before joins the next one.
    let (mut joins, mut index) = (false, 0);
    while index < characters.len() {
        let letter = characters[index];
        index += 1;
        let next = characters[index..].iter().position(|c| !is_transparent(*c)).map(|marks| index + marks);
        match (forms(letter), next.and_then(|next| lam_with(characters[next]))) {
            (Some(_), Some(ligature)) if letter == LAM => {
                shaped.extend(char::from_u32(ligature + u32::from(joins)));
                let alef = next.unwrap_or(index);
                shaped.extend(&characters[index..alef]);
                (index, joins) = (alef + 1, false);
            }
            (Some((first, count)), _) => {
                let joins_next = count == 4 && next.is_some_and(|next| joins_previous(characters[next]));
                let form = u32::from(joins && count > 1) + if joins_next { 2 } else { 0 };
                shaped.extend(char::from_u32(first + form));
                joins = joins_next;
            }
            (None, _) => {
                shaped.push(letter);
                joins = JOINERS.contains(&letter) || (joins && is_transparent(letter));
            }
        }
    }
    shaped
}

fn joins_previous(letter: char) -> bool {
    JOINERS.contains(&letter) || forms(letter).is_some_and(|(_, count)| count > 1)
}

/// Whether letters join across it.
fn is_transparent(character: char) -> bool {
    is_mark(character) && !JOINERS.contains(&character) && character != NON_JOINER
}

/// Joiners, variation selectors and other characters without a glyph.
pub(super) fn is_ignorable(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}')
}

/// Accents and points, which are drawn on the character before them.
pub(in crate::show) fn is_mark(character: char) -> bool {
    matches!(character,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}' | '\u{5c2}'
        | '\u{5c4}' | '\u{5c5}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{6d6}'..='\u{6dc}' | '\u{1ab0}'..='\u{1aff}'
        | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}')
        || is_ignorable(character)
}

/// Hebrew, Arabic and other characters that are written from right to left.
fn is_right_to_left(character: char) -> bool {
    matches!(character,
        '\u{590}'..='\u{8ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefe}' | '\u{10800}'..='\u{10fff}'
        | '\u{1e800}'..='\u{1efff}')
        && !is_digit(character)
}

fn is_digit(character: char) -> bool {
    matches!(character, '0'..='9' | '\u{660}'..='\u{669}' | '\u{6f0}'..='\u{6f9}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn right_to_left_words_are_reversed() {
        let seen = |text: &str| order(text).into_iter().collect::<String>();
        assert_eq!(seen("abc (d) 12"), "abc (d) 12");
        assert_eq!(seen("אבג דה"), "הד גבא");
        assert_eq!(seen("a אב 12 b"), "a בא 12 b");
        assert_eq!(seen("(א)"), "(א)");
        assert_eq!(seen("א (ב) ג"), "ג (ב) א");
        assert_eq!(seen("שָלום"), "םולשָ");
        assert_eq!(seen("مرحبا"), "\u{fe8e}\u{fe92}\u{fea3}\u{feae}\u{fee3}", "joined first");
    }

    #[test]
    fn letters_take_the_form_of_their_place() {
        for (text, expected) in [
            ("abc אב", "abc אב"),
            ("ب", "\u{fe8f}"),
            ("ببب", "\u{fe91}\u{fe92}\u{fe90}"),
            // Alef does not join the next letter, and hamza joins nothing.
            ("باب", "\u{fe91}\u{fe8e}\u{fe8f}"),
            ("بءب", "\u{fe8f}\u{fe80}\u{fe8f}"),
            ("مرحبا", "\u{fee3}\u{feae}\u{fea3}\u{fe92}\u{fe8e}"),
            ("ي ي", "\u{fef1} \u{fef1}"),
            ("غف", "\u{fecf}\u{fed2}"),
            ("پچژکگی", "\u{fb58}\u{fb7d}\u{fb8b}\u{fb90}\u{fb95}\u{fbfd}"),
            // Marks are between letters without parting them.
            ("بُب", "\u{fe91}\u{64f}\u{fe90}"),
            ("بـ", "\u{fe91}\u{640}"),
            ("ب\u{200c}ب\u{200d}", "\u{fe8f}\u{200c}\u{fe91}\u{200d}"),
            ("سلام", "\u{feb3}\u{fefc}\u{fee1}"),
            ("لإ", "\u{fef9}"),
        ] {
            assert_eq!(joined(text), expected.chars().collect::<Vec<_>>(), "{text}");
        }
    }

    #[test]
    fn the_embedded_font_has_all_forms() {
        use ab_glyph::Font;
        let font = super::super::embedded().unwrap();
        let letters = ('\u{621}'..='\u{6cc}').filter_map(forms).flat_map(|(first, count)| first..first + count);
        for form in letters.chain(0xfef5..=0xfefc) {
            assert_ne!(font.glyph_id(char::from_u32(form).unwrap()).0, 0, "{form:x}");
        }
    }
}
