use latentlab::Scatter;
use ndarray::{Array2, array};

use super::attribute;

fn scatter() -> Scatter {
    Scatter::new(&array![[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], &array![0, 1, 1])
}

#[test]
fn the_legend_names_what_occurs() {
    let names = ["zero", "one", "absent"];
    let figure = scatter().names(names).crosses(&[true, false, false], "recognised", "not recognised");
    let svg = figure.annotate([1.0, 1.0], "A").figure().unwrap().to_svg().unwrap();
    for text in ["zero", "one", "recognised", "not recognised", "A", "latent 1", "latent 2"] {
        assert!(svg.contains(&format!("\n{text}\n")), "{text} in {svg}");
    }
    assert!(!svg.contains("absent"));
    // Two points as dots, three dots in the legend, and a marker of two circles.
    assert_eq!(svg.matches("<circle").count(), 2 + 3 + 2);
}

#[test]
fn class_means_are_where_they_should_be() {
    // The means of both classes, where notes are put too.
    let scatter = scatter().class_means().annotate([0.0, 1.0], "A").annotate([3.0, 4.0], "B");
    let svg = scatter.figure().unwrap().to_svg().unwrap();
    let corners = svg.lines().filter(|line| line.starts_with("<polygon")).map(|diamond| {
        let corners = attribute(diamond, "points").split(' ').filter_map(|corner| corner.split_once(','));
        let corners: Vec<(&str, &str)> = corners.collect();
        (corners[1].0, corners[0].1)
    });
    let diamonds: Vec<(&str, &str)> = corners.collect();
    assert_eq!(diamonds.len(), 3 * 3, "two classes and the legend, three edges each");
    let circles = svg.lines().filter(|line| line.starts_with("<circle"));
    let circles: Vec<(&str, &str)> = circles.map(|circle| (attribute(circle, "cx"), attribute(circle, "cy"))).collect();
    // After two dots of the legend and three points, each note is two circles.
    assert_eq!((diamonds[3], diamonds[6]), (circles[5], circles[7]));
}

#[test]
fn each_wrong_input_is_named() {
    let nan = Scatter::new(&array![[0.0, 1.0], [f32::NAN, 1.0]], &array![0, 0]);
    for (scatter, expected) in [
        (Scatter::new(&Array2::zeros((0, 2)), &array![]), "scatter, points: expected at least 1, got none"),
        (
            Scatter::new(&Array2::zeros((3, 32)), &array![0, 0, 0]),
            "scatter, points: expected shape (n, 2), got (3, 32)",
        ),
        (Scatter::new(&Array2::zeros((3, 2)), &array![0]), "scatter, labels: expected 3, one for each point, got 1"),
        (nan, "scatter, point 1: expected finite numbers, got (NaN, 1)"),
        (scatter().names(["zero"]), "scatter, label 1: expected a class below 1 (the number of names), got 1"),
        (scatter().crosses(&[true], "a", "b"), "scatter, crosses: expected 3 values, one for each point, got 1"),
        (
            scatter().annotate([0.0, f32::INFINITY], "A"),
            "scatter, annotation \"A\": expected finite numbers, got (0, inf)",
        ),
    ] {
        let error = scatter.figure().unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
