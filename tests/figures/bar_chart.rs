use latentlab::BarChart;

use super::attribute;

#[test]
fn each_bar_has_its_name_its_number_and_its_length() {
    let chart = BarChart::new("share").bar("rate", 0.75).bar("filters", 0.25).bar("none", 0.0);
    let svg = chart.figure().unwrap().to_svg().unwrap();
    for text in ["share", "rate", "filters", "none", "0.75", "0.25"] {
        assert!(svg.contains(&format!("\n{text}\n")), "{text} in {svg}");
    }
    let widths: Vec<f64> = (svg.lines())
        .filter(|line| line.starts_with("<rect") && line.contains("#3F90DA"))
        .map(|line| attribute(line, "width").parse().unwrap())
        .collect();
    assert_eq!(widths.len(), 3);
    assert!((widths[0] / widths[1] - 3.0).abs() < 0.02 && widths[2] <= 1.0, "{widths:?}");
}

#[test]
fn any_numbers_are_drawn_or_refused() {
    for values in [[0.0, 0.0], [-1.0, 2.0], [-3.0, -2.0], [1e-12, 2e-12], [5e80, -1.0]] {
        let chart = BarChart::new("x").bar("a", values[0]).bar("b", values[1]);
        assert!(chart.figure().unwrap().to_png().is_ok(), "{values:?}");
    }
    for (chart, expected) in [
        (BarChart::new("x"), "bar chart: expected 1 to 50 bars, got 0"),
        (BarChart::new("x").bar("a", f64::NAN), "bar \"a\": expected a number up to 1e100, got NaN"),
    ] {
        assert_eq!(chart.figure().unwrap_err().to_string(), expected);
    }
}
