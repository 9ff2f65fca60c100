use latentlab::Confusion;
use ndarray::array;

fn confusion() -> Confusion {
    let names = ["Bag", "A<B&C", "Coat"].map(String::from).to_vec();
    Confusion::new(&array![0, 0, 0, 0, 1, 1], &array![0, 0, 0, 2, 1, 0], names).unwrap()
}

#[test]
fn shares_are_of_the_true_class() {
    let confusion = confusion();
    assert_eq!(confusion.counts(), array![[3, 0, 1], [1, 1, 0], [0, 0, 0]]);
    assert_eq!(confusion.accuracy(), 4.0 / 6.0);
    assert_eq!(confusion.class_accuracies(), [Some(0.75), Some(0.5), None]);
    assert_eq!(confusion.normalised(), array![[0.75, 0.0, 0.25], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]);
}

#[test]
fn the_table_lines_up() {
    let expected = "\
accuracy 66.67 %

true \\ predicted  Bag  A<B&C  Coat  recognised
Bag                 3      0     1     75.00 %
A<B&C               1      1     0     50.00 %
Coat                0      0     0           –";
    assert_eq!(confusion().to_string(), expected);
    let html = confusion().to_html();
    assert!(html.contains(">A&lt;B&amp;C</td><td style=\"text-align: right; padding: 2px 8px\">1</td>"), "{html}");
}

#[test]
fn of_many_classes_the_most_common_mistakes_are_shown() {
    let names = Vec::from_iter((0..200).map(|class| format!("class {class}")));
    let confusion = Confusion::new(&array![7, 7, 7, 9, 9, 3], &array![7, 8, 8, 9, 4, 3], names).unwrap();
    let expected = "\
accuracy 50.00 %

true     predicted  images  of the class
class 7    class 8       2       66.67 %
class 9    class 4       1       50.00 %";
    assert_eq!(confusion.to_string(), expected);
    assert_eq!(confusion.to_html().matches("<tr>").count(), 3);
}

#[test]
fn counts_are_counted_before_they_are_made() {
    let names = Vec::from_iter((0..100_000).map(|class| class.to_string()));
    let error = Confusion::new(&array![0], &array![0], names).unwrap_err().to_string();
    let expected = "Confusion: expected at most 4 GiB for one result, got 74.5 GiB \
                    (counts of two values each: 100000 × 100000 × 2 values)";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn any_name_fits_into_the_table() {
    let names = vec!["x".repeat(70_000), "a\nb\u{1}latentlab {}".to_string()];
    let text = Confusion::new(&array![0, 1], &array![0, 1], names).unwrap().to_string();
    assert!(text.lines().all(|line| line.chars().count() < 200) && text.lines().count() == 5, "{text}");
    assert!(!text.contains('\u{1}'), "{text}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let names = || vec!["a".to_string(), "b".to_string()];
    for (labels, predictions, message) in [
        (array![], array![], "Confusion, labels: expected at least 1, got 0"),
        (array![0, 1], array![0], "Confusion, predictions: expected one for each of the 2 labels, got 1"),
        (array![0, 2], array![0, 1], "Confusion, label 1: expected a class below 2 (the number of class names), got 2"),
        (
            array![0, 1],
            array![3, 1],
            "Confusion, prediction 0: expected a class below 2 (the number of class names), got 3",
        ),
    ] {
        assert_eq!(Confusion::new(&labels, &predictions, names()).unwrap_err().to_string(), message);
    }
}
