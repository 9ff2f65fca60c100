//! SVG curves that are small enough for a table, or for being drawn several times a second.

use std::fmt::Write;

use super::axis::range;
use super::theme::Paint;

/// A curve as large as a word; empty if there are fewer than two finite values.
pub(crate) fn sparkline(values: &[f64], color: Paint) -> String {
    const SIZE: [f64; 2] = [120.0, 22.0];
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    if finite().nth(1).is_none() {
        return String::new();
    }
    let range = range(finite()).into();
    let every = values.len().div_ceil(SIZE[0] as usize);
    let few: Vec<f64> = values.iter().copied().step_by(every).collect();
    let [width, height] = SIZE.map(|side| side + 4.0);
    let line = polyline(&few, range, few.len(), [2.0, 2.0, SIZE[0], SIZE[1]], color);
    format!(
        "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" aria-hidden=\"true\">{line}</svg>"
    )
}

/// Values as a line in a rectangle (left, top, width, height) that has space for `length` values, from `low` to `high`.
pub(crate) fn polyline(
    values: &[f64],
    [low, high]: [f64; 2],
    length: usize,
    [left, top, width, height]: [f64; 4],
    color: Paint,
) -> String {
    // Halves, because the difference of two numbers may be larger than any.
    let range = if high > low { high / 2.0 - low / 2.0 } else { 0.5 };
    let mut points = String::new();
    for (index, value) in values.iter().enumerate().filter(|(_, value)| value.is_finite()) {
        let x = left + width * index as f64 / length.saturating_sub(1).max(1) as f64;
        let share = (value / 2.0 - low / 2.0) / range;
        let _ = write!(points, "{x:.1},{:.1} ", top + height - height * share);
    }
    let stroke = color.stroke_on_page();
    format!("<polyline points=\"{}\" fill=\"none\" {stroke} stroke-width=\"2\"/>", points.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_needs_two_values_and_skips_nan() {
        let sparkline = |values: &[f64]| sparkline(values, Paint::class(1, 2));
        assert_eq!(sparkline(&[1.0, f64::NAN]), "");
        let line = sparkline(&[1.0, f64::NAN, 3.0]);
        assert!(line.contains("points=\"2.0,24.0 122.0,2.0\""), "{line}");
        assert!(line.contains("stroke=\"#ffa90e\" style=\"stroke: color-mix(in srgb, #ffa90e, currentColor 25%)\""));
        assert!(sparkline(&vec![1.0; 100_000]).len() < 2_000);
        let most = sparkline(&[f64::MIN, f64::MAX, 0.0]);
        assert!(most.contains("points=\"2.0,24.0 62.0,2.0 122.0,13.0\""), "{most}");
    }
}
