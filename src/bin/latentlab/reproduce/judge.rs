//! The judge: a convolutional network that names digits, also those that no hand has drawn.

use latentlab::{Classifier, Dataset, Predictions, Result, TrainConfig, classify, ndarray::Array4};

use super::{findings::Number, run::Run};

/// The probability from which on the judge is believed.
pub const CONFIDENT: f32 = 0.9;

const NAME: &str = "judge";

/// The task that trains it.
pub fn train(run: &mut Run) -> Result<()> {
    let mut judge = Classifier::convolutional(run.train.class_names().len())?;
    let config = TrainConfig::new().epochs(run.epochs(5)).validation(&run.test);
    let history = run.train_classifier(NAME, &mut judge, &run.train, config)?;
    judge.save(run.model(NAME))?;
    let accuracy = classify(&judge, &run.test)?.accuracy();
    let setting = format!("{} epochs, Adam 0.001, batch 128", history.epochs());
    run.number(Number::share("judge: test accuracy", accuracy).at_least(0.98).setting(
        setting,
        0,
        history.total_seconds(),
    ));
    run.text(
        "A plain convolutional network of ours, trained on all training images, says below which digit an image shows, \
         and how sure it is of that: its probability of the class. It is believed from 90 % on.",
    );
    run.figure("The judge's accuracy", &history.plot_accuracy()?)
}

/// What it says of images.
pub fn verdicts(run: &Run, images: &Dataset) -> Result<Predictions> {
    classify(&Classifier::load(run.model(NAME))?, images)
}

/// What it says of images that have no label: the share it is sure of, and the classes that at least one in a hundred images is surely of.
pub fn coverage(run: &Run, images: &Array4<f32>) -> Result<(f64, usize)> {
    let unlabelled = Dataset::new(images.clone(), vec![0; images.dim().0].into(), run.test.class_names().to_vec())?;
    let predictions = verdicts(run, &unlabelled)?;
    let mut counts = vec![0; run.test.class_names().len()];
    for (&label, &confidence) in predictions.labels().iter().zip(&predictions.confidences()) {
        counts[label] += usize::from(confidence >= CONFIDENT);
    }
    let share = counts.iter().sum::<usize>() as f64 / unlabelled.len() as f64;
    Ok((share, counts.iter().filter(|&&count| 100 * count >= unlabelled.len()).count()))
}
