use latentlab::{Dataset, History, StoppedBy};
use ndarray::{Array1, Array4, arr1};

#[test]
fn a_data_set_counts_its_classes_and_shows_images() {
    let data = Dataset::new(Array4::zeros((30, 1, 2, 3)), Array1::from_elem(30, 1), ["<cat>", "dog"]).unwrap();
    let html = data.to_html();
    for part in
        ["30 images of shape 1×2×3", "source: arrays", ">&lt;cat&gt;</th>", ">30</td>", "width: 60px", "data:image/png"]
    {
        assert!(html.contains(part), "{part} in {html}");
    }
    assert!(!data.take(0).to_html().contains("<img"));
}

#[test]
fn of_many_classes_and_large_images_the_first_are_shown() {
    let names = (0..1066).map(|class| format!("class {class}"));
    let data = Dataset::new(Array4::zeros((2, 1, 2000, 2000)), arr1(&[0, 1065]), names).unwrap();
    let html = data.to_html();
    assert!(html.contains("and 1,002 more classes") && !html.contains("<img") && html.len() < 20_000, "{html}");
}

#[test]
fn a_history_has_a_row_for_each_curve_that_is_there() {
    let mut history = History::default();
    history.objective = "a < b".into();
    assert_eq!(history.to_html().matches("<td").count(), 0);
    history.loss = vec![0.5, 0.25, 0.125];
    history.validation_loss = vec![0.6, 0.2, 0.4];
    (history.seconds, history.best_epoch) = (vec![1.0; 3], 2);
    history.stopped_by = Some(StoppedBy::EarlyStopping);
    let html = history.to_html();
    assert!(html.contains("3 epochs in 3.0 s") && html.contains("best epoch 2, stopped early</p>"), "{html}");
    assert_eq!((html.matches("<tr>").count(), html.matches("<polyline").count()), (3, 2), "{html}");
    let row = html.split("<tr>").nth(3).unwrap();
    for cell in ["validation loss", "0.6000", "0.4000", "0.2000"] {
        assert!(row.contains(&format!(">{cell}</td>")), "{cell} in {row}");
    }
    assert!(html.contains("loss (a &lt; b)"));
}
