//! Rich output: blocks that evcxr passes on to Jupyter, and what goes into them.

use std::io::Write;

use base64::Engine;

use serde_json::{Map, Value, json};

use crate::{error::Result, relay, show::Figure};

/// Shows one value in all the forms given, as pairs of a media type and its content; Jupyter picks the richest one that
/// it can draw. Binary content is given in base64.
pub fn display(forms: &[(&str, &str)]) {
    if !relay::is_there() {
        return print_at_once(&blocks(forms));
    }
    let value = |content: &str| serde_json::from_str(content).unwrap_or_else(|_| content.into());
    let form = |(media_type, content): &(&str, &str)| {
        let content = if media_type.ends_with("json") { value(content) } else { Value::from(*content) };
        (media_type.to_string(), content)
    };
    let data: Map<String, Value> = forms.iter().map(form).collect();
    let content = json!({ "data": data, "metadata": {}, "transient": {} });
    relay::tell(&json!({ "content": content }));
}

/// Shows a table, or anything else written in HTML, with the text to use where HTML cannot be shown.
pub fn display_html(html: &str, text: &str) {
    display(&[("text/html", html), ("text/plain", text)]);
}

impl Figure {
    /// What the Rust kernel calls for a cell's last expression: it prints the figure for Jupyter.
    pub fn evcxr_display(&self) {
        if let Err(error) = self.show() {
            super::show_failure("Error", &error.to_string());
        }
    }

    /// Shows the figure in a notebook, at its place among the lines that the cell prints: in the middle of a cell, in a loop, any number of
    /// them. A kernel without our relay shows the last of a cell, at its end. Elsewhere it prints a line about the figure.
    ///
    /// # Errors
    /// If the figure cannot be drawn.
    ///
    /// ```
    /// use latentlab::LineChart;
    ///
    /// for power in 1..=3 {
    ///     let values: Vec<f64> = (0..10).map(|x| f64::from(x).powi(power)).collect();
    ///     LineChart::new("x", "y").line(format!("power {power}"), &values).figure()?.show()?;
    /// }
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn show(&self) -> Result<()> {
        if std::env::var_os("EVCXR_IS_RUNTIME").is_none() {
            print_at_once(&format!("{}\n", self.describe()));
            return Ok(());
        }
        let shown = if self.prefers_svg() {
            self.to_svg().map(|svg| ("image/svg+xml", svg))
        } else {
            self.to_png().map(|png| ("image/png", base64::engine::general_purpose::STANDARD.encode(png)))
        };
        let (media_type, content) = shown?;
        display(&[(media_type, content.trim_end())]);
        Ok(())
    }
}

/// In a notebook a figure shows itself also where it is only printed. The kernel does so with a cell's last expression if
/// that uses up a variable of the same cell, as in `let chart = …; row([chart])`.
impl std::fmt::Debug for Figure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        debug(f, &self.describe(), || self.evcxr_display())
    }
}

/// `text` for `Debug`; in a notebook the value is shown first, and the relay leaves the text out where it would stand alone below it.
pub(super) fn debug(f: &mut std::fmt::Formatter<'_>, text: &str, show: impl FnOnce()) -> std::fmt::Result {
    if std::env::var_os("EVCXR_IS_RUNTIME").is_some() {
        show();
        relay::tell(&json!({ "shown": text }));
    }
    f.write_str(text)
}

/// The forms as evcxr reads them, ending with a newline: without one it would wait for ever.
fn blocks(forms: &[(&str, &str)]) -> String {
    let block = |(media_type, content): &(&str, &str)| {
        format!("EVCXR_BEGIN_CONTENT {}\n{}\nEVCXR_END_CONTENT\n", unmarked(media_type), unmarked(content))
    };
    forms.iter().map(block).collect()
}

/// Text in which evcxr finds none of its marks: they get a space of no width.
pub(super) fn unmarked(text: &str) -> String {
    text.replace("EVCXR_", "EVCXR\u{200b}_")
}

/// One write, so that no other thread prints into a block. A closed output is no reason to panic, least of all while
/// showing a panic.
pub(super) fn print_at_once(text: &str) {
    let mut output = std::io::stdout().lock();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_each_other_and_end_with_a_newline() {
        assert_eq!(
            blocks(&[("text/html", "<b>1</b>\n<i>2</i>"), ("text/plain", "1")]),
            "EVCXR_BEGIN_CONTENT text/html\n<b>1</b>\n<i>2</i>\nEVCXR_END_CONTENT\n\
             EVCXR_BEGIN_CONTENT text/plain\n1\nEVCXR_END_CONTENT\n"
        );
    }

    #[test]
    fn what_is_shown_cannot_end_its_block_or_begin_another() {
        let text = blocks(&[("text/plain", "a\nEVCXR_END_CONTENT\nEVCXR_BEGIN_CONTENT text/html\n<script>")]);
        assert_eq!(text.matches("EVCXR_END_CONTENT").count(), 1, "{text}");
        assert_eq!(text.matches("EVCXR_BEGIN_CONTENT").count(), 1, "{text}");
    }
}
