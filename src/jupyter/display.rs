//! Rich output: one value in several forms, through the relay or in blocks that evcxr passes on to Jupyter.

use std::io::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::{
    channel,
    show::{STATED, shown_size},
};

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
    let content = json!({ "data": data, "metadata": metadata(forms), "transient": {} });
    channel::send(&json!({ "content": content }));
}

/// Of a PNG file that states its pixels per metre, the size at which it is shown.
pub(super) fn metadata(forms: &[(&str, &str)]) -> Value {
    let stated = |(media_type, content): &(&str, &str)| {
        let start = content.get(..content.len().min(STATED.div_ceil(3) * 4))?;
        let [width, height] = shown_size(&STANDARD.decode(start).ok()?)?;
        Some((media_type.to_string(), json!({ "width": width, "height": height })))
    };
    Value::Object(forms.iter().filter(|(media_type, _)| *media_type == "image/png").filter_map(stated).collect())
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
    fn a_png_is_shown_at_the_size_that_it_states() {
        let figure = crate::LineChart::new("x", "y").line("a", &[1.0, 2.0]).figure().unwrap();
        let file = STANDARD.encode(figure.to_png().unwrap());
        let stated = metadata(&[("image/png", &file), ("text/plain", "a"), ("text/html", "b")]);
        assert_eq!(stated["image/png"]["width"], figure.width());
        assert_eq!(stated.as_object().unwrap().len(), 1);
        for broken in ["", "AAAA", "é", "not base64"] {
            assert_eq!(metadata(&[("image/png", broken)]), json!({}));
        }
    }

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
