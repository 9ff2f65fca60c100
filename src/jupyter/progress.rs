//! A run's progress as a notebook shows it.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::escape_html;
use crate::{
    progress::{DRAW, State},
    show::{ImageGrid, LineChart, PALETTE},
};

/// How many images stand in a row.
const COLUMNS: usize = 10;

/// From now on a notebook shows bars and curves.
pub(super) fn install() {
    DRAW.get_or_init(|| draw);
}

fn draw(state: &State) -> Vec<(&'static str, String)> {
    let [red, green, blue] = PALETTE[0];
    let percent = (100.0 * state.share).clamp(0.0, 100.0);
    let mut html = format!(
        "<div style=\"max-width: 640px\"><div style=\"background: rgba(128, 128, 128, 0.25); border-radius: 3px; height: 8px; \
         margin: 4px 0\"><div style=\"background: rgb({red}, {green}, {blue}); border-radius: 3px; height: 8px; width: \
         {percent:.1}%\"></div></div><div style=\"font-family: monospace; white-space: pre-wrap\">{}</div></div>",
        escape_html(&state.text)
    );
    // A curve needs two points; and no picture is a reason to lose a run.
    let [x, y] = &state.axes;
    let lines = state.curves.iter().filter(|(_, values)| values.len() > 1);
    let chart = lines.fold(LineChart::new(x, y), |chart, (name, values)| chart.line(name, values));
    let chart = (state.curves.iter().any(|(_, values)| values.len() > 1)).then(|| chart.figure()).and_then(Result::ok);
    let images = state.images.as_ref().map(|images| ImageGrid::new(images, COLUMNS).figure()).and_then(Result::ok);
    for figure in chart.into_iter().chain(images) {
        if let Ok(png) = figure.to_png() {
            html += &format!("<img src=\"data:image/png;base64,{}\">", STANDARD.encode(png));
        }
    }
    vec![("text/html", html), ("text/plain", state.text.clone())]
}
