use latentlab::{RocChart, roc_curve};

#[test]
fn curves_start_and_end_in_the_corners_and_are_named_with_their_area() {
    let truth = [false, true, false, true, true, false];
    let good = roc_curve(&truth, &[0.1, 0.9, 0.3, 0.8, 0.4, 0.5]).unwrap();
    let chance = roc_curve(&truth, &[1.0; 6]).unwrap();
    let chart = RocChart::new().curve("good", &good).curve("a guess", &chance);
    let svg = chart.figure().unwrap().to_svg().unwrap();
    assert!(svg.contains("\nAUC 0.889: good\n") && svg.contains("\nAUC 0.500: a guess\n"), "{svg}");
    let line = svg.lines().filter(|line| line.starts_with("<polyline") && line.contains("#3F90DA"));
    let line = line.max_by_key(|line| line.len()).unwrap();
    let points: Vec<(i32, i32)> = line
        .split_once("points=\"")
        .unwrap()
        .1
        .split([' ', '"'])
        .filter_map(|point| point.split_once(','))
        .filter_map(|(x, y)| Some((x.parse().ok()?, y.parse().ok()?)))
        .collect();
    assert_eq!(points.len(), good.thresholds().len());
    let (first, last) = (points[0], points[points.len() - 1]);
    assert_eq!((last.0 - first.0, first.1 - last.1), (720, 720), "the whole plot, twice its pixels");
    assert!(good.plot().unwrap().to_svg().unwrap().contains("\nAUC 0.889\n"));
}

#[test]
fn no_curves_and_too_many_are_refused() {
    let curve = roc_curve(&[true, false], &[1.0, 0.0]).unwrap();
    let with = |n: usize| (0..n).fold(RocChart::new(), |chart, _| chart.curve("a", &curve)).figure();
    assert_eq!(with(0).unwrap_err().to_string(), "ROC chart: expected 1 to 8 curves, got 0");
    assert!(with(8).is_ok() && with(9).unwrap_err().to_string().contains("got 9"));
}
