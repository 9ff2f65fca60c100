use latentlab::Codes;
use ndarray::{Array2, array};

fn names() -> Vec<String> {
    vec!["a".into(), "b".into()]
}

fn codes() -> Codes {
    let points = array![[0.0, 0.0], [1.0, 1.0], [2.0, 4.0], [3.0, 3.0], [4.0, 5.0]];
    Codes::new(points, array![1, 0, 1, 1, 0], names()).unwrap()
}

#[test]
fn invalid_codes_are_refused() {
    let one = array![[0.0_f32, 1.0]];
    let table = [
        (one.clone(), array![0, 1], "Codes, labels: expected one for each of the 1 points, got 2"),
        (Array2::zeros((1, 0)), array![0], "Codes, points: expected at least 1 value a point, got 0"),
        (one, array![2], "Codes, label 0: expected a label below 2 (the number of class names), got 2"),
        (array![[0.0, f32::NAN]], array![0], "Codes, point 0, value 1: expected a finite number, got NaN"),
        (array![[f32::INFINITY]], array![0], "Codes, point 0, value 0: expected a finite number, got inf"),
    ];
    for (points, labels, message) in table {
        assert_eq!(Codes::new(points, labels, names()).unwrap_err().to_string(), message);
    }
}

#[test]
fn class_means_need_a_point_of_every_class() {
    assert_eq!(codes().class_means().unwrap(), array![[2.5, 3.0], [5.0 / 3.0, 7.0 / 3.0]]);
    let error = codes().take(1).class_means().unwrap_err();
    assert_eq!(error.to_string(), "class_means: expected at least 1 point of class 0 (a), got none");
}

#[test]
fn subsets_keep_points_and_labels_together() {
    assert_eq!(codes().take(2).points(), array![[0.0, 0.0], [1.0, 1.0]]);
    assert_eq!(codes().take(9).len(), 5);
    assert!(codes().take(0).is_empty());

    assert_eq!(codes().indices_per_class(2), [0, 1, 2, 4]);
    let few = codes().per_class(1);
    assert_eq!((few.points(), few.labels()), (&array![[0.0, 0.0], [1.0, 1.0]], &array![1, 0]));

    assert_eq!(codes().select(&[3, 1]).unwrap().points(), array![[3.0, 3.0], [1.0, 1.0]]);
    let error = codes().select(&[0, 5]).unwrap_err();
    assert_eq!(error.to_string(), "Codes::select, indices: expected indices below 5 (the number of codes), got 5");
}
