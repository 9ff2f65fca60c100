//! Tables and escaped text in HTML.

use crate::error::visible_lines;

/// Text as HTML: `&`, `<`, `>` and quotes are escaped, and control characters except the end of a line are made visible
/// (`\u{1b}`).
///
/// ```
/// assert_eq!(latentlab::jupyter::escape_html("Vec<f32> & co"), "Vec&lt;f32&gt; &amp; co");
/// ```
pub fn escape_html(text: &str) -> String {
    let text = visible_lines(text);
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// A table of cells that are HTML already; `head` may be empty. The first column is text, aligned left, the others are
/// numbers, aligned right.
pub(crate) fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String], tag: &str| {
        let side = |column: usize| if column == 0 { "left" } else { "right" };
        let cell =
            |(column, cell)| format!("<{tag} style=\"text-align: {}; padding: 2px 8px\">{cell}</{tag}>", side(column));
        format!("<tr>{}</tr>", cells.iter().enumerate().map(cell).collect::<String>())
    };
    let rows: String = rows.iter().map(|row| line(row, "td")).collect();
    let head = if head.is_empty() { String::new() } else { format!("<thead>{}</thead>", line(head, "th")) };
    format!("<table>{head}<tbody>{rows}</tbody></table>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_is_escaped_once() {
        assert_eq!(escape_html(r#"<a href="x">&amp;'</a>"#), "&lt;a href=&quot;x&quot;&gt;&amp;amp;&#39;&lt;/a&gt;");
    }

    #[test]
    fn nothing_hidden_stands_in_html() {
        let html = escape_html("a\n\u{1}<\u{b}\u{fffe}\nEVCXR_END_CONTENT");
        assert_eq!(html, "a\n\\u{1}&lt;\\u{b}\\u{fffe}\nEVCXR\\u{5f}END_CONTENT");
    }
}
