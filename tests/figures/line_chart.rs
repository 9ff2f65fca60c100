use latentlab::LineChart;

use super::attribute;

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
    // Two pieces of two points in the line's colour; a dot at each point, as they are few, and in the legend.
    let pieces = svg.lines().filter(|line| line.starts_with("<polyline") && line.contains("#3F90DA")).count();
    assert_eq!((pieces, svg.matches("<circle").count()), (2 + 1, 5 + 1), "and the legend's line");
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

/// The points of an SVG's lines of a colour.
fn lines(svg: &str, color: &str) -> Vec<Vec<[i32; 2]>> {
    let number = |text: &str| text.parse().unwrap();
    let point = |point: &str| point.split_once(',').map(|(x, y)| [number(x), number(y)]);
    let of_color = svg.lines().filter(|line| line.starts_with("<polyline") && line.contains(color));
    of_color.map(|line| attribute(line, "points").split(' ').filter_map(point).collect()).collect()
}

#[test]
fn steps_hold_each_value_until_the_next() {
    let svg = LineChart::new("trial", "best").steps("best", &[3.0, 1.0, 2.0]).figure().unwrap().to_svg().unwrap();
    let steps = lines(&svg, "#3F90DA").into_iter().max_by_key(Vec::len).unwrap();
    assert_eq!(steps.len(), 5);
    assert!(steps.windows(2).all(|ends| ends[0][0] == ends[1][0] || ends[0][1] == ends[1][1]), "{steps:?}");
}

#[test]
fn few_points_are_marked_and_many_are_not() {
    let circles = |count: usize| {
        let chart = LineChart::new("x", "y").line("a", &vec![1.0; count]).figure();
        chart.unwrap().to_svg().unwrap().matches("<circle").count()
    };
    assert_eq!([circles(2), circles(15), circles(16)], [2 + 1, 15 + 1, 0]);
}

#[test]
fn a_line_of_runs_is_their_mean_in_a_band_of_their_deviation() {
    let runs = [vec![1.0, 4.0], vec![3.0, 4.0], vec![f64::NAN, 4.0]];
    let svg =
        LineChart::new("epoch", "loss").runs("three", &runs).baseline("b", 0.0).figure().unwrap().to_svg().unwrap();
    let band = svg.lines().find(|line| line.starts_with("<polygon")).unwrap();
    let point = |point: &str| point.split_once(',').map(|(_, y)| y.parse::<f64>().unwrap());
    let y: Vec<f64> = attribute(band, "points").split(' ').filter_map(point).collect();
    let line = lines(&svg, "#3F90DA").into_iter().max_by_key(|points| points[1][0] - points[0][0]).unwrap();
    let (mean, same) = (f64::from(line[0][1]), f64::from(line[1][1]));
    // At first 2 ± √2, then 4 ± 0.
    let unit = (mean - same) / 2.0;
    assert!((y[0] - mean - 2f64.sqrt() * unit).abs() < 2.0 && (mean - y[3] - 2f64.sqrt() * unit).abs() < 2.0, "{y:?}");
    assert!((y[1] - same).abs() < 1.0 && (y[2] - same).abs() < 1.0, "{y:?}");
}

#[test]
fn error_bars_have_the_colour_of_their_line() {
    let runs = [vec![1.0, 4.0], vec![3.0, 4.0]];
    let chart = LineChart::new("x", "y").line("a", &[9.0, 0.0]).runs_with_error_bars("b", &runs);
    let svg = chart.figure().unwrap().to_svg().unwrap();
    let upright = |points: &&Vec<[i32; 2]>| points.len() == 2 && points[0][0] == points[1][0];
    let bars: Vec<_> = lines(&svg, "#FFA90E").into_iter().filter(|points| upright(&points)).collect();
    let unit = |svg: &str| {
        let line = lines(svg, "#3F90DA").into_iter().max_by_key(|points| points[1][0] - points[0][0]).unwrap();
        f64::from(line[1][1] - line[0][1]) / 9.0
    };
    // 2 ± √2, and 4 ± 0, a point.
    let length = |bar: &Vec<[i32; 2]>| f64::from((bar[0][1] - bar[1][1]).abs());
    assert!((length(&bars[0]) - 2.0 * 2f64.sqrt() * unit(&svg)).abs() < 2.0, "{bars:?}");
    assert!(bars[1..].iter().all(|bar| length(bar) < 1.0), "{bars:?}");
}

#[test]
fn the_names_stand_beside_the_ends_of_their_lines() {
    let chart = LineChart::new("x", "y").line("low", &[9.0, 1.0]).line("high", &[2.0, 9.0]).baseline("chance", 5.0);
    let svg = chart.figure().unwrap().to_svg().unwrap();
    let y = |name: &str| -> f64 {
        let before = svg.split(&format!("\n{name}\n")).next().unwrap();
        attribute(&before[before.rfind("<text").unwrap()..], "y").parse().unwrap()
    };
    assert!(y("high") < y("chance") && y("chance") < y("low"));
    // As far from each other as the ends are: 4 of 8 units each.
    assert!((y("low") - 2.0 * y("chance") + y("high")).abs() < 3.0);
    let near = LineChart::new("x", "y").line("a", &[1.0, 2.0]).line("b", &[3.0, 2.0]).line("c", &[5.0, 2.0]);
    let svg = near.figure().unwrap().to_svg().unwrap();
    let y = |name: &str| -> f64 {
        let before = svg.split(&format!("\n{name}\n")).next().unwrap();
        attribute(&before[before.rfind("<text").unwrap()..], "y").parse().unwrap()
    };
    assert!(y("b") - y("a") > 30.0 && y("c") - y("b") > 30.0, "no two names touch");
}

#[test]
fn errors_without_a_line_or_of_another_length_are_named() {
    let chart = || LineChart::new("x", "y");
    let one = || chart().line("a", &[1.0, 2.0]);
    for (chart, expected) in [
        (chart().error_bars(&[1.0]).line("a", &[1.0]), "line chart, error bars: expected a line before it, got none"),
        (one().error_bars(&[1.0]), "error bars of line \"a\": expected 2 values, as the line has, got 1"),
        (one().error_bars(&[1.0, -1.0]), "error bars of line \"a\", value 2: expected an error of at least 0, got -1"),
        (
            one().band(&[0.0, 3.0], &[2.0, 2.0]),
            "a band of line \"a\", value 2: expected a lowest value not above the highest, got 3 and 2",
        ),
        (one().baseline("chance", f64::NAN), "baseline \"chance\": expected at least 1 value, got only NaN"),
        (one().baseline("chance", 0.0).log_y(), "baseline \"chance\", value 1: expected a number above 0, got 0"),
    ] {
        let message = message(chart);
        assert!(message.starts_with(expected), "{message}");
    }
    let below_zero = one().error_bars(&[2.0, 0.5]).log_y().figure().unwrap();
    assert!(below_zero.to_png().is_ok(), "an error bar that reaches below 0 ends at the edge");
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
