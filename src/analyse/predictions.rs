//! A classifier's predictions.

use std::fmt;

use ndarray::{Array1, Array2, Axis};
use rayon::prelude::*;

use super::Confusion;
use crate::{
    data::Dataset,
    error::{Error, ErrorKind, Result},
    finite::first_not_finite,
    format::thousands,
    limit,
    model::{Classifier, encoded},
};

/// A [`Classifier`]'s predictions for some images, with their true classes.
///
/// ```
/// use latentlab::{Classifier, Dataset, classify};
///
/// let digits = Dataset::built_in_digits(50, 0)?;
/// let predictions = classify(&Classifier::convolutional(10)?, &digits)?;
/// assert_eq!(predictions.probabilities().dim(), (50, 10));
/// assert!(predictions.confidences().iter().all(|confidence| *confidence >= 0.1));
/// println!("{predictions}");
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone)]
pub struct Predictions {
    probabilities: Array2<f32>,
    labels: Array1<usize>,
    true_labels: Array1<usize>,
    class_names: Vec<String>,
}

/// The predicted class of every image, with the probabilities of all classes.
///
/// # Errors
/// If the images' shape is not that of the encoder's input, they have another number of classes, a layer cannot take
/// the values, or a probability is not finite.
pub fn classify(classifier: &Classifier, images: &Dataset) -> Result<Predictions> {
    /// Images in a batch: the encoder's output may be larger than they are.
    const ROWS: usize = 8192;
    classifier.check_images(images)?;
    let classes = classifier.classes();
    let mut values = Vec::with_capacity(limit::check("classify", "probabilities", &[images.len(), classes])?);
    for first in (0..images.len()).step_by(ROWS) {
        let rows = ROWS.min(images.len() - first);
        let within = |name: &'static str| move |error: Error| error.within(&format!("classify, {name}"));
        let codes = encoded(classifier.encoder(), images, first..first + rows).map_err(within("encoder"))?;
        values.extend(classifier.head().run_from(first, &codes, rows).map_err(within("head"))?);
    }
    values.par_chunks_mut(classes).for_each(softmax);
    if let Some(index) = first_not_finite(&values) {
        let place = format!("classify, image {}, class {}", index / classes, index % classes);
        return Err(Error::argument(place, "a finite probability", values[index]));
    }
    let probabilities = Array2::from_shape_vec((images.len(), classes), values)
        .map_err(|error| Error::new(ErrorKind::Shape, "classify", error.to_string()))?;
    let most_likely = |row: ndarray::ArrayView1<f32>| {
        let best = |best: usize, class: usize| if row[class] > row[best] { class } else { best };
        (0..classes).fold(0, best)
    };
    let labels = probabilities.map_axis(Axis(1), most_likely);
    let (true_labels, class_names) = (images.labels().clone(), images.class_names().to_vec());
    Ok(Predictions { probabilities, labels, true_labels, class_names })
}

fn softmax(row: &mut [f32]) {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|x| *x = (*x - largest).exp());
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|x| *x /= sum);
}

impl Predictions {
    /// The most likely class of every image, shape `(n)`.
    pub fn labels(&self) -> &Array1<usize> {
        &self.labels
    }

    /// The true class of every image, shape `(n)`.
    pub fn true_labels(&self) -> &Array1<usize> {
        &self.true_labels
    }

    /// The probability of every class for every image, shape `(n, classes)`; those of an image sum to 1.
    pub fn probabilities(&self) -> &Array2<f32> {
        &self.probabilities
    }

    /// The probability of the most likely class of every image, shape `(n)`.
    pub fn confidences(&self) -> Array1<f32> {
        Array1::from_iter(self.labels.iter().enumerate().map(|(image, label)| self.probabilities[[image, *label]]))
    }

    /// The name of every class; a label is an index into it.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// The fraction of images whose most likely class is the true one, in \[0, 1\]; NaN for no images.
    pub fn accuracy(&self) -> f64 {
        let right = self.labels.iter().zip(&self.true_labels).filter(|(label, truth)| label == truth).count();
        right as f64 / self.labels.len() as f64
    }

    /// How often each class was predicted as each.
    ///
    /// # Errors
    /// If there are no images, or one of them has a label that is no class of the classifier.
    pub fn confusion(&self) -> Result<Confusion> {
        Confusion::new(&self.true_labels, &self.labels, self.class_names.clone())
    }
}

impl fmt::Display for Predictions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, classes) = (thousands(self.labels.len()), self.class_names.len());
        write!(f, "predictions for {n} images, {classes} classes: accuracy {:.2} %", 100.0 * self.accuracy())
    }
}
