//! Numbers and names as the text of a sentence or a table's cell.

use crate::error::visible;

/// "70,000"
pub(crate) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}

/// "66.67 %" of a share from 0 to 1.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// Text for the cell of a table, printed or in HTML: one line, at most 60 characters.
pub(crate) fn cell(text: &str) -> String {
    shortened(&visible(text), CELL)
}

const CELL: usize = 60;

/// Text of at most `most` characters. Longer text keeps its beginning and its end, either of which may be all that
/// tells it from others.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.into();
    }
    let (first, last) = (most.saturating_sub(1).div_ceil(2), most.saturating_sub(1) / 2);
    text.chars().take(first).chain(['…']).chain(text.chars().skip(count - last)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_separated() {
        assert_eq!([0, 999, 1000, 12_345_678].map(thousands), ["0", "999", "1,000", "12,345,678"]);
    }

    #[test]
    fn cells_are_one_short_line() {
        assert_eq!(cell("a\nb"), "a\\nb");
        let long = cell(&format!("{}z", "ä".repeat(100_000)));
        assert!(long.chars().count() == CELL && long.contains('…') && long.ends_with('z'), "{long}");
        assert_eq!(
            (shortened("abc", 3), shortened("abcd", 3), shortened("abcd", 1)),
            ("abc".into(), "a…d".into(), "…".into())
        );
    }
}
