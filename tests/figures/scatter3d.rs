use latentlab::Scatter3d;
use ndarray::{Array2, array};

use super::attribute;

#[test]
fn what_is_near_is_drawn_last_and_largest() {
    let points = array![[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.5, 0.5, 0.5]];
    let svg = Scatter3d::new(&points, &array![0, 1, 2]).names(["near", "far", "middle"]).figure().unwrap();
    let svg = svg.to_svg().unwrap();
    let circles: Vec<&str> = svg.lines().filter(|line| line.starts_with("<circle")).take(3).collect();
    let radius = |circle: &str| attribute(circle, "r").parse::<f64>().unwrap();
    for (circle, color) in circles.iter().zip(["#FFA90E", "#BD1F01", "#3F90DA"]) {
        assert!(circle.contains(color), "{circle}");
    }
    assert!(radius(circles[0]) < radius(circles[1]) && radius(circles[1]) < radius(circles[2]));
    for text in ["near", "far", "middle", "latent 1", "latent 2", "latent 3"] {
        assert!(svg.contains(&format!("\n{text}\n")), "{text}");
    }
}

/// The rectangles of the texts in an SVG, horizontal ones, with the texts: left, top, right, bottom.
fn texts(svg: &str) -> Vec<([f64; 4], &str)> {
    let lines: Vec<&str> = svg.lines().collect();
    let horizontal = lines.windows(2).filter(|pair| pair[0].starts_with("<text") && !pair[0].contains("rotate"));
    let rectangle = |element: &str, text: &str| {
        let number = |name: &str| attribute(element, name).parse::<f64>().unwrap();
        let (x, y, size) = (number("x"), number("y"), number("font-size"));
        let width = 0.6 * size * text.chars().count() as f64;
        let left = match attribute(element, "text-anchor") {
            "middle" => x - width / 2.0,
            "end" => x - width,
            _ => x,
        };
        [left, y - 0.4 * size, left + width, y + 0.4 * size]
    };
    horizontal.map(|pair| (rectangle(pair[0], pair[1]), pair[1])).collect()
}

#[test]
fn an_axis_name_covers_no_tick() {
    let points = array![[-3.0, -2.0, -1.0], [2.0, 3.0, 1.0]];
    for (azimuth, elevation) in (0..360).step_by(5).flat_map(|azimuth| [10.0, 25.0, 50.0].map(|e| (azimuth, e))) {
        let chart = Scatter3d::new(&points, &array![0, 1]).view(f64::from(azimuth), elevation);
        let svg = chart.figure().unwrap().to_svg().unwrap();
        let texts = texts(&svg);
        let (names, ticks): (Vec<_>, Vec<_>) = texts.iter().partition(|(_, text)| text.starts_with("latent"));
        for ((name, label), (tick, number)) in names.iter().flat_map(|name| ticks.iter().map(move |tick| (name, tick)))
        {
            let apart = name[0] >= tick[2] || tick[0] >= name[2] || name[1] >= tick[3] || tick[1] >= name[3];
            assert!(apart, "{label} covers {number}, seen from {azimuth}, {elevation}");
        }
    }
}

#[test]
fn each_wrong_input_is_named() {
    let points = array![[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]];
    for (scatter, expected) in [
        (Scatter3d::new(&Array2::zeros((2, 2)), &array![0, 0]), "points: expected shape (n, 3), got (2, 2)"),
        (Scatter3d::new(&Array2::zeros((0, 3)), &array![]), "points: expected at least 1, got none"),
        (Scatter3d::new(&points, &array![0]), "labels: expected 2, one for each point, got 1"),
        (
            Scatter3d::new(&points, &array![0, 1]).names(["a"]),
            "label 1: expected a class below 1 (the number of names), got 1",
        ),
        (Scatter3d::new(&(&points / 0.0), &array![0, 1]), "point 0: expected finite numbers, got [NaN, NaN, NaN]"),
        (
            Scatter3d::new(&points, &array![0, 1]).view(0.0, -10.0),
            "view: expected an azimuth, and an elevation from 0 to 90, got 0 and -10",
        ),
    ] {
        assert_eq!(scatter.figure().unwrap_err().to_string(), format!("3-D scatter, {expected}"));
    }
    assert!(Scatter3d::new(&Array2::zeros((2, 3)), &array![0, 0]).figure().unwrap().to_png().is_ok());
}
