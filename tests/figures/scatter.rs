use latentlab::{Codes, Scatter};
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

#[test]
fn equal_axes_have_one_scale_and_codes_have_them() {
    // Two classes at (0, 0) and (8, 2), and the centres of their dots.
    let centres = |scatter: Scatter| {
        let svg = scatter.figure().unwrap().to_svg().unwrap();
        let circles = svg.lines().filter(|line| line.starts_with("<circle"));
        let number = |circle: &str, name| attribute(circle, name).parse::<f64>().unwrap();
        let centres = circles.map(|circle| [number(circle, "cx"), number(circle, "cy")]);
        let points: Vec<[f64; 2]> = centres.skip(2).collect();
        ((points[0][0] - points[1][0]).abs(), (points[0][1] - points[1][1]).abs())
    };
    let (points, labels) = (array![[0.0, 0.0], [8.0, 2.0]], array![0, 1]);
    for scatter in [
        Scatter::new(&points, &labels).equal_axes(true),
        Scatter::of(&Codes::new(points.clone(), labels.clone(), vec!["a".into(), "b".into()]).unwrap()),
    ] {
        let (across, up) = centres(scatter);
        assert!((across / up - 4.0).abs() < 0.05, "{across} and {up}");
    }
    let (across, up) = centres(Scatter::new(&points, &labels));
    assert!(across / up < 1.5, "each axis fills the plot: {across} and {up}");
}

#[test]
fn labels_at_the_classes_replace_the_legend_and_do_not_touch() {
    let points = array![[0.0, 0.0], [0.01, 0.0], [0.0, 0.01], [5.0, 5.0]];
    let scatter = Scatter::new(&points, &array![0, 1, 2, 3]).names(["T-shirt", "trouser", "pullover", "dress"]);
    let svg = scatter.class_labels().figure().unwrap().to_svg().unwrap();
    let place = |name: &str| {
        let before = svg.split(&format!("\n{name}\n")).next().unwrap();
        let text = &before[before.rfind("<text").unwrap()..];
        ["x", "y"].map(|axis| attribute(text, axis).parse::<f64>().unwrap())
    };
    let places = ["T-shirt", "trouser", "pullover"].map(place);
    for (index, a) in places.iter().enumerate() {
        for b in &places[..index] {
            assert!((a[1] - b[1]).abs() > 25.0 || (a[0] - b[0]).abs() > 60.0, "{places:?}");
        }
    }
    assert_eq!(svg.matches("<circle").count(), 4, "no legend");
}
