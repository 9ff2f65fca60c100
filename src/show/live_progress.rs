//! A run's progress as a notebook shows it: small charts of its own, since it is drawn again several times a second.

use super::axis::{Axis, LARGEST, range};
use super::html::escape_html;
use super::sparkline::polyline;
use super::sprite_sheet::SpriteSheet;
use super::theme::{Paint, Theme};
use crate::{
    error::visible,
    format::{cell, shortened},
    progress::{Curves, Scale, State},
};

const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 160.0;
/// Room for the axes' texts at least.
const LEFT: f64 = 64.0;
/// The width of a character at most, but for those of China, Japan and Korea, which count twice, and of a long name.
const CHARACTER: f64 = 8.0;
const LONG: usize = 40;
const BELOW: f64 = 34.0;
const MARGIN: f64 = 8.0;

/// The bar, its text, the curves and the images.
pub(crate) fn progress_html(state: &State) -> String {
    let percent = 100.0 * state.share.clamp(0.0, 1.0);
    let mut html = format!(
        "<div style=\"background: rgba(128, 128, 128, 0.25); border-radius: 3px; height: 8px; margin: 4px 0; \
         max-width: 640px\">\
         <div style=\"background: {}; border-radius: 3px; height: 8px; width: {percent:.1}%\"></div></div>\
         <div style=\"font-family: monospace; white-space: pre-wrap\">{}</div>",
        Paint::class(0, 1).hex(Theme::current()),
        escape_html(&visible(&state.text)),
    );
    html += &chart(state).unwrap_or_default();
    if !state.charts.is_empty() {
        let charts: String = state.charts.iter().filter_map(small_chart).collect();
        html +=
            &format!("<div style=\"display: flex; flex-wrap: wrap; gap: 8px 24px; margin-top: 4px\">{charts}</div>");
    }
    if let Some((columns, images)) = &state.images {
        html += &SpriteSheet::new(images, *columns, 256)
            .to_html(2, "what the model makes at this moment")
            .unwrap_or_default();
    }
    html
}

/// The curves, as soon as one has two points.
fn chart(state: &State) -> Option<String> {
    let finite = || state.curves.iter().flat_map(|(_, values)| values).copied().filter(|value| value.is_finite());
    let length = state.curves.iter().map(|(_, values)| values.len()).max().filter(|length| *length > 1)?;
    let (low, high) = range(finite());
    if low > high {
        return None;
    }
    let (x, y) = (Axis::counting(length, 8), Axis::linear(bounded(low, high), 0.04, 4));
    let on_axis = |value: &f64| if value.is_finite() { value.clamp(y.low, y.high) } else { *value };
    let left = LEFT.max(6.0 + widest(&y));
    let (right, bottom) = (left + WIDTH, MARGIN + HEIGHT);
    let mut svg = format!(
        "<svg width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" font-size=\"12\" \
         fill=\"currentColor\" style=\"display: block\"><path d=\"M{left} {MARGIN}V{bottom}H{right}\" fill=\"none\" \
         stroke=\"currentColor\" opacity=\"0.4\"/>",
        right + MARGIN.max(widest(&x) / 2.0),
        bottom + BELOW,
    );
    svg += &ticks(&x, &y, [left, MARGIN, WIDTH, HEIGHT]);
    let mut text = |x: f64, y: f64, anchor: &str, text: &str| svg += &svg_text(x, y, anchor, &label(text));
    let [across, up] = &state.axes;
    text(left + WIDTH / 2.0, bottom + 28.0, "middle", across);
    text(right, MARGIN + 10.0, "end", up);
    let line_of = |index: usize| MARGIN + 26.0 + 15.0 * index as f64;
    let named = state.curves.len() > 1;
    for (index, (name, _)) in state.curves.iter().enumerate().filter(|_| named) {
        text(right - 26.0, line_of(index), "end", name);
    }
    for (index, (_, values)) in state.curves.iter().enumerate() {
        let color = Paint::class(index % 2, 2);
        let values: Vec<f64> = values.iter().map(on_axis).collect();
        svg += &polyline(&values, [y.low, y.high], length, inner(&x, length, [left, MARGIN, WIDTH, HEIGHT]), color);
        if named {
            svg += &polyline(&[0.0; 2], [0.0; 2], 2, [right - 20.0, line_of(index) - 4.0, 20.0, 0.0], color);
        }
    }
    Some(svg + "</svg>")
}

/// Curves of one quantity, beside their names, as soon as one has two points.
fn small_chart(of: &Curves) -> Option<String> {
    const SIZE: [f64; 2] = [240.0, 96.0];
    const ROW: f64 = 14.0;
    const NAMED: usize = 12;
    const POINTS: usize = 200;
    let [width, least_height] = SIZE;
    let scaled = |value: f64| match of.scale {
        Scale::Linear => value,
        Scale::Logarithmic => value.log10(),
        Scale::Percent => 100.0 * value.clamp(0.0, 1.0),
    };
    let length = of.curves.iter().map(|(_, values)| values.len()).max().filter(|length| *length > 1)?;
    let values = of.curves.iter().flat_map(|(_, values)| values).copied();
    let (mut low, mut high) = range(values.filter(|value| scaled(*value).is_finite()));
    if low > high {
        return None;
    }
    if matches!(of.scale, Scale::Percent) {
        (low, high) = (0.0, 100.0 * high.clamp(0.01, 1.0));
    }
    let (low, high) = bounded(low, high);
    let mut y = match of.scale {
        Scale::Logarithmic => Axis::logarithmic((low, high), 0.04, 3),
        Scale::Linear | Scale::Percent => Axis::linear((low, high), 0.04, 3),
    };
    if matches!(of.scale, Scale::Percent) {
        y.ticks.iter_mut().for_each(|(_, text)| *text += " %");
    }
    let x = Axis::counting(length, 5);
    let count = of.curves.len();
    let mut legend: Vec<String> = match count {
        1 => Vec::new(),
        _ => of.curves.iter().take(NAMED).map(|(name, _)| label(name)).collect(),
    };
    legend.extend((count > NAMED).then(|| format!("and {} more", count - NAMED)));
    let left = 6.0 + widest(&y);
    let (top, height) = (MARGIN + 16.0, least_height.max(ROW * legend.len() as f64));
    let (right, bottom) = (left + width, top + height);
    let beside = legend.iter().map(|name| 40.0 + room(name)).fold(widest(&x) / 2.0, f64::max);
    let mut svg = format!(
        "<svg width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" font-size=\"12\" \
         fill=\"currentColor\" style=\"display: block\"><path d=\"M{left} {top}V{bottom}H{right}\" fill=\"none\" \
         stroke=\"currentColor\" opacity=\"0.4\"/>",
        right + MARGIN + beside,
        bottom + BELOW,
    );
    let title = if matches!(of.scale, Scale::Logarithmic) { ", log scale" } else { "" };
    svg += &svg_text(left, MARGIN + 4.0, "start", &format!("{}{title}", of.quantity));
    let place = [left, top, width, height];
    svg += &ticks(&x, &y, place);
    svg += &svg_text(left + width / 2.0, bottom + 28.0, "middle", "epoch");
    let row = |index: usize| top + 10.0 + ROW * index as f64;
    let every = length.div_ceil(POINTS);
    for (index, (_, values)) in of.curves.iter().enumerate() {
        let scaled = values.iter().step_by(every).map(|value| scaled(*value));
        let few: Vec<f64> = scaled.map(|v| if v.is_finite() { v.clamp(y.low, y.high) } else { v }).collect();
        let color = Paint::class(index, count);
        svg += &polyline(&few, [y.low, y.high], length.div_ceil(every), inner(&x, length, place), color);
        if index < legend.len().min(NAMED) {
            let middle = row(index) - 4.0;
            svg += &polyline(&[0.0; 2], [0.0; 2], 2, [right + 12.0, middle, 18.0, 0.0], color);
        }
    }
    for (index, name) in legend.iter().enumerate() {
        svg += &svg_text(right + 36.0, row(index), "start", name);
    }
    Some(svg + "</svg>")
}

/// What an axis can show, of values as large as numbers can be.
fn bounded(low: f64, high: f64) -> (f64, f64) {
    (low.clamp(-LARGEST, LARGEST), high.clamp(-LARGEST, LARGEST))
}

/// The ticks of both axes of a chart in a rectangle (left, top, width, height), with their texts.
fn ticks(x: &Axis, y: &Axis, [left, top, width, height]: [f64; 4]) -> String {
    let (bottom, mut svg, mut path) = (top + height, String::new(), String::new());
    let share = |axis: &Axis, at: f64| (at - axis.low) / (axis.high - axis.low);
    for (at, text) in &x.ticks {
        let x = left + width * share(x, *at);
        path += &format!("M{x:.1} {bottom}v4");
        svg += &svg_text((10.0 * x).round() / 10.0, bottom + 16.0, "middle", text);
    }
    let down = |at: f64| bottom - height * share(y, at);
    for (at, text) in &y.ticks {
        path += &format!("M{left} {:.1}h-4", down(*at));
        svg += &svg_text(left - 6.0, (10.0 * down(*at)).round() / 10.0 + 4.0, "end", text);
    }
    for at in &y.minor {
        path += &format!("M{left} {:.1}h-2", down(*at));
    }
    svg + &format!("<path d=\"{path}\" fill=\"none\" stroke=\"currentColor\" opacity=\"0.4\"/>")
}

/// The part of a chart's rectangle from the first of `length` epochs to the last.
fn inner(x: &Axis, length: usize, [left, top, width, height]: [f64; 4]) -> [f64; 4] {
    let unit = width / (x.high - x.low);
    [left + unit * (1.0 - x.low), top, unit * (length - 1) as f64, height]
}

/// The width of the widest text at an axis at most.
fn widest(axis: &Axis) -> f64 {
    axis.ticks.iter().map(|(_, text)| room(text)).fold(0.0, f64::max)
}

fn svg_text(x: f64, y: f64, anchor: &str, text: &str) -> String {
    format!("<text x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{}</text>", escape_html(text))
}

/// A text that is not too long.
fn label(text: &str) -> String {
    shortened(&cell(text), LONG / if is_wide(text) { 2 } else { 1 })
}

/// The width that a text has at most.
fn room(text: &str) -> f64 {
    CHARACTER * (text.chars().count() * if is_wide(text) { 2 } else { 1 }) as f64
}

/// Whether a text has characters that are about as wide as high.
fn is_wide(text: &str) -> bool {
    text.chars().any(|c| matches!(c, '\u{1100}'..='\u{1fff}' | '\u{2e80}'..))
}

#[cfg(test)]
mod tests {
    use ndarray::Array4;

    use super::*;

    #[test]
    fn a_state_is_a_bar_a_line_curves_and_images() {
        let mut state = State { share: 0.25, text: "epoch 1/4 <5 s".into(), ..State::default() };
        let bar = progress_html(&state);
        assert!(bar.contains("width: 25.0%") && bar.contains("epoch 1/4 &lt;5 s") && !bar.contains("<svg"), "{bar}");
        state.axes = ["epoch".into(), "loss".into()];
        state.curves = vec![("training".into(), vec![4.0, 2.0, f64::NAN, 1.0]), ("validation".into(), vec![3.0])];
        state.images = Some((10, Array4::zeros((12, 1, 4, 4))));
        let all = progress_html(&state);
        assert!(all.contains("points=\"72.1,13.9 206.7,112.7 475.9,162.1\""), "{all}");
        assert!(
            ["epoch", "loss", "training", "validation", "image/png"].iter().all(|text| all.contains(text)),
            "{all}"
        );
    }

    #[test]
    fn a_small_chart_has_a_line_and_a_name_for_each_layer() {
        let layers =
            [("encoder, layer 1, conv2d", [1.0, 0.1, 0.01]), ("encoder, layer 3, dense", [0.0, 0.1, f64::NAN])];
        let curves: Vec<_> = layers.map(|(name, values)| (name.into(), values.to_vec())).into();
        let svg = small_chart(&Curves { quantity: "gradient norm", scale: Scale::Logarithmic, curves }).unwrap();
        // 0 has no place on a logarithmic scale; a tenth stands halfway between 0.01 and 1.
        assert!(svg.contains("points=\"42.6,27.6 158.0,72.0 273.4,116.4\""), "{svg}");
        assert!(svg.contains("points=\"158.0,72.0\"") && svg.contains(">encoder, layer 3, dense<"), "{svg}");
        assert!(svg.contains(">gradient norm, log scale<") && svg.contains(">0.01<"), "{svg}");

        let of = |scale, curves| small_chart(&Curves { quantity: "dead units", scale, curves });
        let share = of(Scale::Percent, vec![("a".into(), vec![0.0, 0.25])]).unwrap();
        assert!(share.contains(">0 %<") && share.contains(">20 %<") && !share.contains(">a<"), "{share}");
        let many =
            of(Scale::Linear, (0..20).map(|layer| (format!("layer {layer}"), vec![1.0, 2.0])).collect()).unwrap();
        assert!(many.contains(">layer 11<") && !many.contains(">layer 12<") && many.contains(">and 8 more<"), "{many}");
        for nothing in [vec![], vec![("a".into(), vec![1.0])], vec![("a".into(), vec![f64::NAN; 3])]] {
            assert!(of(Scale::Linear, nothing.clone()).is_none() && of(Scale::Logarithmic, nothing).is_none());
        }
    }

    /// The number after a prefix.
    fn number(text: &str, prefix: &str) -> f64 {
        text.split_once(prefix).unwrap().1.split('"').next().unwrap().parse().unwrap()
    }

    #[test]
    fn no_text_is_cut_off_or_taken_for_markup() {
        let hostile = "<i>\u{1}latentlab\nEVCXR_END_CONTENT\u{fffe}";
        for (name, values) in [
            ("training", vec![1.0; 15]),
            (hostile, vec![-1e-300, -2.5e-300]),
            (&"very long ".repeat(100), vec![f64::MAX, f64::NAN, f64::MIN]),
            (&"お".repeat(100), vec![1.0; 100_000]),
        ] {
            let curves = vec![(name.into(), values), ("b".into(), vec![1.0])];
            let charts = [Scale::Linear, Scale::Logarithmic, Scale::Percent].map(|scale| {
                let curves = vec![curves.clone(); 15].concat();
                Curves { quantity: "gradient norm", scale, curves }
            });
            let axes = [name.into(), name.into()];
            let state = State { axes, curves, charts: charts.into(), text: hostile.into(), ..State::default() };
            let html = progress_html(&state);
            let charts =
                html.split("<svg ").skip(1).flat_map(|svg| svg.split("<text ").skip(1).map(move |part| (svg, part)));
            for (svg, part) in charts {
                let width = number(svg, "width=\"");
                let (x, text) = (number(part, "x=\""), part.split(['>', '<']).nth(1).unwrap());
                let characters = text.replace("&lt;", "<").replace("&gt;", ">");
                // Digits of a usual font are 7.6 pixels wide.
                let wide: f64 = characters.chars().map(|c| if c == 'お' { 12.0 } else { 7.6 }).sum();
                let before = [("\"end\"", 1.0), ("\"middle\"", 0.5), ("\"start\"", 0.0)];
                let left = x - wide * before.iter().find(|(anchor, _)| part.contains(anchor)).unwrap().1;
                assert!(left >= 0.0 && left + wide <= width, "{text} at {left} of {width}");
            }
            assert!(!html.contains("EVCXR_END_CONTENT") && !html.contains(['\u{1}', '\u{fffe}']), "{html}");
            assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
        }
        let nothing = State { curves: vec![("a".into(), vec![f64::NAN; 3])], ..State::default() };
        assert!(!progress_html(&nothing).contains("<svg"));
    }
}
