//! Rich output: one value in several forms, through the relay or in blocks that evcxr passes on to Jupyter.

use std::io::Write;

use serde_json::{Map, Value, json};

use crate::channel;

/// Shows one value in all the forms given, as pairs of a media type and its content; Jupyter picks the richest one that
/// it can draw. Binary content is given in base64.
pub fn display(forms: &[(&str, &str)]) {
    if !channel::is_open() {
        return print_at_once(&blocks(forms));
    }
    let value = |content: &str| serde_json::from_str(content).unwrap_or_else(|_| content.into());
    let form = |(media_type, content): &(&str, &str)| {
        let content = if media_type.ends_with("json") { value(content) } else { Value::from(*content) };
        (media_type.to_string(), content)
    };
    let data: Map<String, Value> = forms.iter().map(form).collect();
    let content = json!({ "data": data, "metadata": {}, "transient": {} });
    channel::send(&json!({ "content": content }));
}

/// One value in several forms: media types and contents.
pub(crate) type Forms = Vec<(&'static str, String)>;

pub(super) fn display_forms(forms: &Forms) {
    let forms: Vec<(&str, &str)> = forms.iter().map(|(media_type, content)| (*media_type, content.as_str())).collect();
    display(&forms);
}

/// Shows a table, or anything else written in HTML, with the text to use where HTML cannot be shown.
pub fn display_html(html: &str, text: &str) {
    display(&[("text/html", html), ("text/plain", text)]);
}

/// The forms as evcxr reads them, ending with a newline: without one evcxr would wait for ever.
fn blocks(forms: &[(&str, &str)]) -> String {
    let block = |(media_type, content): &(&str, &str)| {
        format!("EVCXR_BEGIN_CONTENT {}\n{}\nEVCXR_END_CONTENT\n", unmarked(media_type), unmarked(content))
    };
    forms.iter().map(block).collect()
}

/// Text in which evcxr finds none of its marks: a zero-width space breaks them.
pub(super) fn unmarked(text: &str) -> String {
    text.replace("EVCXR_", "EVCXR\u{200b}_")
}

/// Prints with one write, so that no other thread prints into a block. A closed output is no reason to panic, least of
/// all while a panic is shown.
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
