use latentlab::LineChart;

fn message(chart: LineChart) -> String {
    chart.figure().unwrap_err().to_string()
}

#[test]
fn each_wrong_input_is_named() {
    let chart = || LineChart::new("epoch", "MSE");
    let one = || chart().line("training", &[3.0, 2.0]);
    for (message, expected) in [
        (message(chart()), "line chart: expected 1 to 100 lines, got 0"),
        (message(chart().line("training", &[])), "line \"training\": expected at least 1 value, got none"),
        (
            message(one().line("validation", &[f64::NAN, f64::INFINITY])),
            "line \"validation\": expected at least 1 value, got only NaN or infinite ones",
        ),
        (
            message(chart().line("training", &[1.0, 0.0]).log_y()),
            "line \"training\", value 2: expected a number above 0, got 0. Leave out log_y(), or the values \
             that are not above 0",
        ),
        (message(chart().line("a", &[1.0, 1e200])), "line \"a\", value 2: expected a number up to 1e100, got 1e200"),
        (message(one().mark(3.0, "best")), "mark \"best\": expected an x from 1 to 2, got 3"),
        (message(one().mark(f64::NAN, "best")), "mark \"best\": expected an x from 1 to 2, got NaN"),
        (message(one().x_values(&[1.0])), "line chart, x_values: expected 2 values, as the longest line has, got 1"),
        (message(one().x_values(&[1.0, f64::NAN])), "line chart, x_values[1]: expected a finite number, got NaN"),
        (
            message(one().x_values(&[0.0, 1.0]).log_x()),
            "line chart, x_values[0]: expected a number above 0, got 0. Leave out log_x()",
        ),
    ] {
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn a_line_has_a_gap_where_there_is_no_number() {
    let figure = LineChart::new("x", "y").line("a", &[1.0, 2.0, f64::NAN, 3.0, 2.0, f64::INFINITY, 1.0]).figure();
    let svg = figure.unwrap().to_svg().unwrap();
    // Two pieces of two points in the line's colour, and a dot for the single point.
    let pieces = svg.lines().filter(|line| line.starts_with("<polyline") && line.contains("#3F90DA")).count();
    assert_eq!((pieces, svg.matches("<circle").count()), (2 + 1, 1), "and the legend's line");
}

#[test]
fn powers_of_ten_are_evenly_spaced_on_a_logarithmic_x_axis() {
    let chart = LineChart::new("labels", "accuracy").line("a", &[0.5, 0.6, 0.7]).x_values(&[10.0, 100.0, 1000.0]);
    let svg = chart.log_x().figure().unwrap().to_svg().unwrap();
    assert!(["\n10\n", "\n100\n", "\n1000\n"].iter().all(|tick| svg.contains(tick)), "{svg}");
    // The longest line in the series' colour; the other one is the legend's.
    let lines = svg.lines().filter(|line| line.starts_with("<polyline") && line.contains("#3F90DA"));
    let points = lines.filter_map(|line| line.split("points=\"").nth(1)).max_by_key(|points| points.len()).unwrap();
    let x: Vec<i32> = points.split(' ').filter_map(|point| point.split_once(',')?.0.parse().ok()).collect();
    assert!(x.len() == 3 && (x[2] - 2 * x[1] + x[0]).abs() <= 1, "{x:?}");
}

#[test]
fn dots_and_crosses_are_not_joined() {
    let chart = LineChart::new("x", "y").dots("a", &[1.0, f64::NAN, 2.0]).crosses("b", &[f64::NAN, 3.0]);
    let svg = chart.figure().unwrap().to_svg().unwrap();
    assert_eq!(svg.matches("<circle").count(), 2 + 1, "and the legend's");
    let strokes = svg.lines().filter(|line| line.starts_with("<polyline") && line.contains("#FFA90E")).count();
    assert_eq!(strokes, 2 + 2, "one cross and the legend's, two strokes each");
}

#[test]
fn flat_lines_and_single_points_are_drawn() {
    for values in [&[0.0][..], &[0.5; 20], &[1e-300], &[1e99, 1e99], &[1.0, 1.0 + f64::EPSILON]] {
        for x_values in [None, Some(vec![7.0; values.len()])] {
            for logarithmic in [false, true] {
                if logarithmic && values[0] == 0.0 {
                    continue;
                }
                let mut chart = LineChart::new("x", "y").line("a", values);
                chart = x_values.as_ref().map_or(chart.clone(), |x_values| chart.x_values(x_values));
                let figure = if logarithmic { chart.log_y() } else { chart }.figure().unwrap();
                assert!(figure.to_svg().is_ok() && figure.to_png().is_ok(), "{values:?}");
            }
        }
    }
}
