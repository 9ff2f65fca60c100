//! The reference classifier: a convolutional network by which reconstructed and generated digits are measured.

use latentlab::{Classifier, Dataset, Predictions, Result, TrainConfig, classify, ndarray::Array4, train_classifier};

use super::{results::Number, run::Run};

/// The probability from which on a prediction counts as confident.
pub const CONFIDENT: f32 = 0.9;

const NAME: &str = "reference-classifier";

/// The task that trains it.
pub fn train(run: &mut Run) -> Result<()> {
    let mut classifier = Classifier::convolutional(run.train.class_names().len())?;
    let config = TrainConfig::new().epochs(run.epochs(5)).validation(&run.test);
    let history = run.training(train_classifier, NAME, &mut classifier, &run.train, config)?;
    classifier.save(run.model(NAME))?;
    let accuracy = classify(&classifier, &run.test)?.accuracy();
    let setting = format!("{} epochs, Adam 0.001, batch 128", history.epochs());
    run.number(Number::share("reference classifier: test accuracy", accuracy).at_least(0.98).setting(
        setting,
        0,
        history.total_seconds(),
    ));
    run.text(
        "A plain convolutional network, trained on all training images, classifies the images below. Its confidence is \
         its probability of the predicted class; a prediction counts from 90 % on.",
    );
    run.figure("The reference classifier's accuracy", &history.plot_accuracy()?)
}

/// What it predicts for images.
pub fn predictions(run: &Run, images: &Dataset) -> Result<Predictions> {
    classify(&Classifier::load(run.model(NAME))?, images)
}

/// Of images without labels: the share that is classified with confidence, and how many classes at least one in a
/// hundred images belongs to with confidence.
pub fn coverage(run: &Run, images: &Array4<f32>) -> Result<(f64, usize)> {
    let unlabelled = Dataset::new(images.clone(), vec![0; images.dim().0].into(), run.test.class_names().to_vec())?;
    let predictions = predictions(run, &unlabelled)?;
    let mut counts = vec![0; run.test.class_names().len()];
    for (&label, &confidence) in predictions.labels().iter().zip(&predictions.confidences()) {
        counts[label] += usize::from(confidence >= CONFIDENT);
    }
    let share = counts.iter().sum::<usize>() as f64 / unlabelled.len() as f64;
    Ok((share, counts.iter().filter(|&&count| 100 * count >= unlabelled.len()).count()))
}
