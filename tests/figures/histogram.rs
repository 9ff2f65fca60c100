use latentlab::Histogram;

use crate::attribute;

fn message(chart: Histogram) -> String {
    chart.figure().unwrap_err().to_string()
}

/// The heights of the bins of a series with this colour, from left to right, in units of the canvas.
fn heights(svg: &str, color: &str) -> Vec<i32> {
    let bars = svg.lines().filter(|line| line.starts_with("<rect") && line.contains(color));
    let number = |bar: &str, name| attribute(bar, name).parse::<i32>().unwrap();
    bars.map(|bar| number(bar, "height")).collect()
}

#[test]
fn each_wrong_input_is_named() {
    let one = || Histogram::new("error").series("normal", &[1.0, 2.0]);
    for (message, expected) in [
        (message(Histogram::new("error")), "histogram: expected 1 to 10 series, got 0"),
        (
            message((0..11).fold(Histogram::new("x"), |chart, n| chart.series(n.to_string(), &[1.0]))),
            "histogram: expected 1 to 10 series, got 11",
        ),
        (message(one().series("b", &[])), "series \"b\": expected at least 1 value, got none"),
        (
            message(one().series("b", &[f64::NAN])),
            "series \"b\": expected at least 1 value, got only NaN or infinite ones",
        ),
        (message(one().series("b", &[1.0, 1e200])), "series \"b\", value 2: expected a number up to 1e100, got 1e200"),
        (message(one().bins(0)), "histogram, bins: expected 1 to 1000, got 0"),
        (message(one().bins(1001)), "histogram, bins: expected 1 to 1000, got 1001"),
        (message(one().mark(3.0, "here")), "mark \"here\": expected a value from 0.98 to 2.02, got 3"),
        (message(one().mark(f64::NAN, "here")), "mark \"here\": expected a value from 0.98 to 2.02, got NaN"),
    ] {
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn on_a_logarithmic_scale_a_bin_of_one_is_seen_beside_one_of_thousands() {
    let values: Vec<f64> = std::iter::repeat_n(0.0, 10_000).chain([0.5, 1.0, 1.0]).collect();
    let heights = |chart: Histogram| {
        let svg = chart.series("a", &values).bins(4).figure().unwrap().to_svg().unwrap();
        heights(&svg, "#3F90DA")
    };
    let (linear, logarithmic) = (heights(Histogram::new("x")), heights(Histogram::new("x").log_y()));
    assert!(linear[1] <= 1 && logarithmic[1] > 20, "{linear:?}, {logarithmic:?}");
    // Of 10,000, 1 and 2 values.
    let [many, one, two] = [0, 1, 2].map(|bin| f64::from(logarithmic[bin]));
    let unit = (many - one) / 10_000f64.ln();
    assert!((two - one - unit * 2f64.ln()).abs() < 2.0, "{logarithmic:?}");
}

/// Counts of NumPy's `histogram`: [3, 1, 0, 2] for the first series and [0, 2, 1, 0] for the second, since the highest
/// value belongs to the last bin and one on an edge to the bin above it.
#[test]
fn bins_are_shared_and_edges_are_numpys() {
    let chart = Histogram::new("x").series("a", &[0.0, 0.1, 0.9, 1.0, 3.0, 4.0, f64::NAN]);
    let chart = chart.series("b", &[1.5, 1.0, 2.0]).bins(4);
    let svg = chart.figure().unwrap().to_svg().unwrap();
    let (first, second) = (heights(&svg, "#3F90DA"), heights(&svg, "#FFA90E"));
    assert_eq!((first.len(), second.len()), (3, 2), "empty bins have no bar");
    let unit = first[1];
    assert!((first[0] - 3 * unit).abs() <= 2 && (first[2] - 2 * unit).abs() <= 2, "{first:?}");
    assert!((second[0] - 2 * unit).abs() <= 2 && (second[1] - unit).abs() <= 2, "{second:?}");
    assert!(svg.contains("(1 NaN or infinite)") && svg.contains("\ncount\n"), "{svg}");
}

/// A series of a hundred times as many equal values has the same density.
#[test]
fn densities_do_not_depend_on_the_number_of_values() {
    let many: Vec<f64> = [0.0, 1.0, 1.0, 2.0].repeat(100);
    let chart = || Histogram::new("x").series("few", &[0.0, 1.0, 1.0, 2.0]).series("many", &many).bins(3);
    let svg = chart().density().figure().unwrap().to_svg().unwrap();
    assert_eq!(heights(&svg, "#3F90DA"), heights(&svg, "#FFA90E"));
    assert!(svg.contains("\ndensity\n"));
    let counts = chart().figure().unwrap().to_svg().unwrap();
    assert!(heights(&counts, "#3F90DA")[1] * 50 < heights(&counts, "#FFA90E")[1]);
}
