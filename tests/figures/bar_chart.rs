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
fn all_numbers_have_the_same_decimals_and_the_line_of_chance_crosses_all_bars() {
    let chart =
        BarChart::new("%").bar("a", 97.0).bar_with_error("b", 91.46, 1.5).bar("c", 9.04).baseline("chance", 10.0);
    let svg = chart.figure().unwrap().to_svg().unwrap();
    for text in ["97.0", "91.5", "9.0", "chance"] {
        assert!(svg.contains(&format!("\n{text}\n")), "{text} in {svg}");
    }
    let whole = BarChart::new("n").bar("a", 97.0).bar("b", 3.0).figure().unwrap().to_svg().unwrap();
    assert!(whole.contains("\n97\n") && whole.contains("\n3\n"));
    let small = BarChart::new("n").bar("a", 97.0).bar("b", 1e-9).figure().unwrap().to_svg().unwrap();
    assert!(small.contains("\n1e-9\n"), "not 0");
    for (chart, expected) in [
        (BarChart::new("x").bar_with_error("a", 1.0, -1.0), "bar \"a\", its error: expected a number from 0 to 1e100"),
        (BarChart::new("x").bar("a", 1.0).baseline("b", f64::NAN), "baseline \"b\": expected a number up to 1e100"),
    ] {
        assert!(chart.figure().unwrap_err().to_string().starts_with(expected));
    }
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
